"""Protocols in which the encoder goes on learning: fine-tuning, and with few labels; from scratch beside both."""

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from torch import nn

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.evaluation.labels import draw_labels
from hiclr.evaluation.supervised import RECIPES, FinetuneConfig, Fit, Supervised
from hiclr.features import check_clips, code_digest, load_encoder, random_encoder, weights_digest
from hiclr.pretraining import PretrainConfig, progress
from hiclr.pretraining.config import TRANSFORMER
from hiclr.runs import Run, write_atomically
from hiclr.runs.writing import json_bytes

__all__ = [
    "DRAWS",
    "FOLDER",
    "SHARES",
    "choose_recipe",
    "fine_tune",
    "finetune_text",
    "over_few",
    "published_recipe",
    "semi_supervised",
]

_say = logging.getLogger(__name__)

FOLDER = "finetuned"
"""The folder of a run in which each finished training with labels is kept, by its content."""

LARGE = 10_000
"""From this many training clips on, the published settings are taken where none are named."""

SHARES = (0.01, 0.05, 0.1)
"""Of labelled clips, where none are named."""

DRAWS = 5


def fine_tune(
    run: Run,
    clips: SkeletonSet,
    recipe: str | FinetuneConfig | None = None,
    split: str | None = None,
    seeds: Sequence[int] = (0,),
    scratch: bool = True,
    device: str = "auto",
) -> dict[str, Any]:
    """Train all weights with all labels of the train part, from the pretrained encoder and from the untrained one.

    Each training that is finished is kept in the run folder: interrupted, the same call goes on with the next.

    Args:
        run: the run.
        clips: a set with a train and a test part.
        recipe: a name out of `RECIPES` or settings; left out, from 10,000 training clips on "hiclr", of its
            transformer "hiclr-transformer", else "small".
        split: the set's protocol; its first when left out.
        seeds: of the new layer, the order of the clips and the draws; a training for each.
        scratch: train the untrained encoder too, in the same way (without `layer_decay` and `fixed_norm`, which are
            meant for weights that know something).
        device: where to train.

    Returns:
        Plain values for JSON, accuracies in %: "run", "source", "fingerprint", "synthetic", "protocol", "stream",
        "data" {"train", "test", "classes"}, "recipe", "settings", "notes", and "finetune" and "scratch": {"top1",
        "top5" (mean over seeds, last epoch), "sd" (of top1; None for one seed), "each", "best_on_test" (chosen on the
        test part as published code does, no result), "clips", "seconds", "predicted" (class of each test clip, seed by
        seed)}.

    Raises:
        InputError: an unknown recipe, no test part, other joints than the run's, nothing trained yet.
        Stopped: interrupted; see above.
    """
    work = _Work(run, clips, split, device)
    config, name = choose_recipe(recipe, len(work.train), published_recipe(work.pretraining))
    jobs = [(work.everything, replace(config, seed=seed)) for seed in seeds]
    return {
        **work.about(),
        "recipe": name,
        "settings": asdict(config),
        **work.both(jobs, scratch),
        "notes": work.notes(config),
    }


def semi_supervised(
    run: Run,
    clips: SkeletonSet,
    shares: Sequence[float] = SHARES,
    rule: str = "cmd",
    draws: int = DRAWS,
    recipe: str | FinetuneConfig | None = None,
    split: str | None = None,
    scratch: bool = True,
    device: str = "auto",
) -> dict[str, Any]:
    """Train all weights with the labels of a few clips: the mean over draws, for each share.

    Each training that is finished is kept in the run folder: interrupted, the same call goes on with the next.

    Args:
        run: the run.
        clips: a set with a train and a test part.
        shares: of the training clips that keep their label, 0.01 for 1 %.
        rule: how they are drawn, see `draw_labels`; at least one of each class.
        draws: of labelled clips; draw i also fixes the new layer and the order of the clips.
        recipe: a name out of `RECIPES` or settings; left out, that of the rule's paper from 10,000 training clips on,
            else "small".
        split: the set's protocol; its first when left out.
        scratch: see `fine_tune`; on the same draws.
        device: where to train.

    Returns:
        As `fine_tune`, with "rule", "draws" and "shares": "1" (%) -> {"finetune", "scratch"} in place of these two;
        "clips" has the number of labelled clips of each draw.

    Raises:
        InputError: as `fine_tune`, or an unknown rule, a share outside (0, 1], no draw.
        Stopped: interrupted; see above.
    """
    if draws < 1 or not shares:
        raise InputError(f"semi-supervised evaluation needs a share and a draw; got {list(shares)} and {draws} draws.")
    work = _Work(run, clips, split, device)
    y = clips.y[work.train]
    labelled = {share: [draw_labels(y, share, rule, seed) for seed in range(draws)] for share in shares}
    config, name = choose_recipe(recipe, len(work.train), rule)
    config = over_few(config, len(work.train))
    found, notes = {}, work.notes(config)
    for share, drawn in labelled.items():
        jobs = [(one.indices, replace(config, seed=seed)) for seed, one in enumerate(drawn)]
        found[f"{100 * share:g}"] = work.both(jobs, scratch)
        notes += list(dict.fromkeys(one.said for one in drawn if one.said))[:1]
    return {
        **work.about(),
        "rule": rule,
        "draws": draws,
        "recipe": name,
        "settings": asdict(config),
        "shares": found,
        "notes": notes,
    }


def choose_recipe(recipe: str | FinetuneConfig | None, clips: int, published: str) -> tuple[FinetuneConfig, str]:
    """Settings and their name; where none are named, the published ones from `LARGE` training clips on."""
    if isinstance(recipe, FinetuneConfig):
        return recipe, next((name for name, known in RECIPES.items() if known == recipe), "own")
    name = (published if clips >= LARGE else "small") if recipe is None else recipe
    if name not in RECIPES:
        raise InputError(f"There is no recipe {name!r}; there are: {', '.join(RECIPES)}.")
    return RECIPES[name], name


def over_few(config: FinetuneConfig, clips: int) -> FinetuneConfig:
    """The settings for few of so many labels: with `whole_epochs` an epoch has the steps that all would take."""
    if not config.whole_epochs:
        return config
    return replace(config, least_steps=max(config.least_steps, clips // config.batch_size))


def published_recipe(pretraining: PretrainConfig) -> str:
    """The name of HiCLR's own settings for fine-tuning this encoder."""
    return "hiclr-transformer" if pretraining.encoder == TRANSFORMER else "hiclr"


Job = tuple[Ids, FinetuneConfig]
"""Indices of labelled clips among the training clips, and settings."""


class _Work:
    """A run, the two parts of a set, and the trainings with labels that were done before."""

    def __init__(self, run: Run, clips: SkeletonSet, split: str | None, device: str) -> None:
        check_clips(run, clips)
        self.run, self.clips, self.device = run, clips, device
        self.split = clips.protocol if split is None else split
        self.train, self.test = clips.split_indices(split)
        self.everything = np.arange(len(self.train))
        self.pretraining = PretrainConfig.from_dict(run.config)
        self.encoder = load_encoder(run)
        self._data: Supervised | None = None

    def about(self) -> dict[str, Any]:
        """What the numbers are of."""
        return {
            "run": self.run.path.resolve().name,
            "source": self.clips.source,
            "fingerprint": self.clips.fingerprint,
            "synthetic": self.clips.synthetic,
            "protocol": self.split,
            "stream": self.pretraining.stream,
            "data": {"train": len(self.train), "test": len(self.test), "classes": self.clips.num_classes},
        }

    def notes(self, config: FinetuneConfig) -> list[str]:
        """What a reader must know."""
        notes = ["The result is that of the last epoch; best_on_test is chosen on the test part, as published code "
                 f"does (every {config.look_every} epochs)."]  # fmt: skip
        if self.clips.synthetic:
            notes.append("The clips are synthetic: the numbers say nothing about real people.")
        unseen = np.setdiff1d(self.clips.y[self.test], self.clips.y[self.train])
        if len(unseen):
            names = ", ".join(self.clips.classes[label] for label in unseen)
            notes.append(f"No training clip has class {names}: its test clips count as wrong.")
        return notes

    def both(self, jobs: Sequence[Job], scratch: bool) -> dict[str, Any]:
        """The same trainings from the pretrained encoder and from the untrained one."""
        kinds: dict[str, tuple[nn.Module, Sequence[Job]]] = {"finetune": (self.encoder, jobs)}
        if scratch:
            untrained = random_encoder(self.pretraining, self.clips.layout)
            plain = [(labelled, replace(config, layer_decay=1.0, fixed_norm=False)) for labelled, config in jobs]
            kinds["scratch"] = untrained, plain
        epochs = sum(config.epochs for _, each in kinds.values() for _, config in each)
        with progress(epochs, 0, unit="epoch", delay=5) as bar:
            return {
                kind: _summary([self._fit(encoder, *job, bar) for job in each])
                for kind, (encoder, each) in kinds.items()
            }

    def _fit(self, encoder: nn.Module, labelled: Ids, config: FinetuneConfig, bar: Any) -> Fit:
        """One training, or what was kept of it."""
        key = self._key(encoder, labelled, config)
        path = self.run.path / FOLDER / f"{key[:32]}.json"
        kept = _kept(path, key)
        if kept is not None:
            bar.update(config.epochs)
            return kept
        if self._data is None:
            parts = self.clips.subset(self.train), self.clips.subset(self.test)
            self._data = Supervised(*parts, self.pretraining, self.device)
        fit = self._data.fit(encoder, labelled, config, bar)
        try:
            path.parent.mkdir(exist_ok=True)
            write_atomically(path, json_bytes({"key": key, **asdict(fit)}))
        except (OSError, InputError) as error:  # a full disk, or somebody else's run: it is only done again
            _say.warning("This training with labels is not kept for another time: %s", error)
        return fit

    def _key(self, encoder: nn.Module, labelled: Ids, config: FinetuneConfig) -> str:
        content = {
            "weights": weights_digest(encoder),
            "clips": self.clips.fingerprint,
            "train": self.train[labelled].tolist(),
            "test": self.test.tolist(),
            "pretraining": self.run.config,
            "settings": asdict(config),
            "code": [code_digest(), training_digest()],
        }
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


@cache
def training_digest() -> str:
    """SHA-256 of the source that trains with labels."""
    return hashlib.sha256((Path(__file__).parent / "supervised.py").read_bytes()).hexdigest()


def _kept(path: Path, key: str) -> Fit | None:
    try:
        kept = json.loads(path.read_text(encoding="utf-8"))
        return Fit.from_dict(kept) if kept["key"] == key else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _summary(fits: Sequence[Fit]) -> dict[str, Any]:
    each = [100 * fit.top1 for fit in fits]
    return {
        "top1": round(float(np.mean(each)), 2),
        "top5": round(100 * float(np.mean([fit.top5 for fit in fits])), 2),
        "sd": round(float(np.std(each, ddof=1)), 2) if len(each) > 1 else None,
        "each": [round(value, 2) for value in each],
        "best_on_test": round(100 * float(np.mean([fit.best for fit in fits])), 2),
        "clips": [fit.clips for fit in fits],
        "seconds": round(sum(fit.seconds for fit in fits), 1),
        "predicted": [list(fit.predicted) for fit in fits],
    }


def finetune_text(result: Mapping[str, Any]) -> str:
    """The answer of `fine_tune`, `semi_supervised` or `transfer_to` as a table."""
    data = result["data"]
    by = f", labels drawn by the rule of {result['rule']}" if "rule" in result else ""
    lines = [
        f"{result['run']}: {result['source']}, protocol {result['protocol']}, {data['train']:,} train / "
        f"{data['test']:,} test clips, recipe {result['recipe']}{by}",
        "",
        f"{'':<12}{'labels':>10}{'pretrained':>18}{'from scratch':>18}{'best on test (no result)':>28}",
    ]
    shares = result.get("shares", {"100": result})
    for share, row in shares.items():
        tuned, untrained = row["finetune"], row.get("scratch")
        cells = [_cell(tuned), "-" if untrained is None else _cell(untrained), f"{tuned['best_on_test']:.1f}"]
        counts = sorted(set(tuned["clips"]))
        clips = f"{counts[0]}" if len(counts) == 1 else f"{counts[0]}-{counts[-1]}"
        lines.append(f"{share + ' %':<12}{clips:>10}{cells[0]:>18}{cells[1]:>18}{cells[2]:>28}")
    if "linear" in result:
        lines += ["", f"linear probe on frozen features: {result['linear']['top1']:.1f} %"]
    count = len(next(iter(shares.values()))["finetune"]["each"])
    lines += ["", f"%, last epoch, mean (and sd) of {counted(count, 'draw' if 'rule' in result else 'seed')}."]
    return "\n".join([*lines, *(f"Note: {note}" for note in result["notes"])])


def _cell(values: Mapping[str, Any]) -> str:
    return f"{values['top1']:.1f}" + ("" if values["sd"] is None else f" ({values['sd']:.1f})")
