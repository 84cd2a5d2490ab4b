"""How accuracy falls when clips are damaged: a probe fitted on clean training clips, read on damaged test clips."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor

from hiclr.datasets import Preprocess, SkeletonSet
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.evaluation.corruptions import CORRUPTIONS, Corruption, refusals
from hiclr.evaluation.floors import chance
from hiclr.evaluation.linear import linear_probe, rank_classes
from hiclr.features import CLEAN, extract, features, load_encoder
from hiclr.pretraining import PretrainConfig, derive, preprocess_of, progress
from hiclr.runs import Run
from hiclr.skeleton import Layout

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["DRAWS", "measure_robustness", "passes", "pool_robustness", "possible_corruptions", "robustness_text"]

DRAWS = 3
"""Of each corruption that draws anything."""


@dataclass(frozen=True, kw_only=True)
class _Damaged(Preprocess):
    """The steps of a run with damage before or after them; the generator is used up by chunks in their order."""

    kind: Corruption
    severity: float
    generator: Generator

    def apply(self, x: Tensor, layout: Layout) -> Tensor:
        """(N, 3, T, V, M) -> (N, 3, frames, V, M)."""
        if self.kind.stage == "input":
            return self.kind.damage(super().apply(x, layout), self.severity, layout, self.generator)
        return super().apply(self.kind.damage(x, self.severity, layout, self.generator), layout)


def measure_robustness(
    run: Run,
    clips: SkeletonSet,
    corruptions: Sequence[str] | None = None,
    draws: int = DRAWS,
    split: str | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Accuracy of the linear probe on damaged test clips, for every severity of every corruption.

    The probe is fitted once, on clean features of the train part; the encoder is frozen and nothing is chosen. What
    is damaged is the test part, made and encoded anew for each severity and draw, 128 clips at a time.

    Args:
        run: the run.
        clips: a set with a train and a test part.
        corruptions: names out of `CORRUPTIONS`; every one that this layout and these clips can have when left out.
        draws: of each corruption that draws anything.
        split: the set's protocol; its first when left out.
        device: where to encode.

    Returns:
        Plain values for JSON, accuracies in %: "run", "seed", "epoch", "source", "fingerprint", "synthetic",
        "protocol", "data" {"train", "test", "classes"}, "probe", "draws", "clean", "chance", "notes" (what was left
        out and why), and "curves": name -> {"title", "stage" ("sensor": before preprocessing, "input": after it),
        "unit", "severities", "labels" (of the severities in words), "kinds" (they are no scale), "accuracy" (for each
        severity one per draw), "mean", "low", "high" (over draws), "clean" (of the same clips undamaged), "clips",
        "drop" (the one number: mean over severities of clean minus mean, in points)}.

    Raises:
        InputError: an unknown corruption, or one asked for by name that these clips or their layout cannot have; no
            test part; other joints than the run's; nothing trained yet.
    """
    train, test = clips.split_indices(split)
    kinds, notes = possible_corruptions(corruptions, clips, test)
    if draws < 1:
        raise InputError(f"draws must be at least 1; it is {draws}.")
    latest = run.latest()
    clean = features(run, clips, views=(CLEAN,), device=device)[CLEAN]
    probe = linear_probe(clean[train], clips.y[train])
    right = rank_classes(probe, clean[test])[:, 0] == clips.y[test]
    if "yaw" in kinds and run.config.get("turn") != "none" and clips.layout.shoulders is not None:
        notes.append("This run turns clips by their shoulders, which undoes a camera that is turned to the side.")
    tested = _Tested(run, clips.subset(test), probe, right, device)
    with progress(sum(passes(kind, draws) for kind in kinds.values()), 0, unit="pass", delay=5) as bar:
        curves = {name: tested.curve(name, kind, draws, bar) for name, kind in kinds.items()}
    return {
        "run": run.path.resolve().name,
        "seed": int(run.config.get("seed", 0)),
        "epoch": None if latest is None else latest[1],
        "source": clips.source,
        "fingerprint": clips.fingerprint,
        "synthetic": clips.synthetic,
        "protocol": clips.protocol if split is None else split,
        "data": {"train": len(train), "test": len(test), "classes": clips.num_classes},
        "probe": "logistic regression on clean training clips",
        "draws": draws,
        "clean": _percent(right),
        "chance": round(100 * chance(clips.y[train], clips.y[test], clips.num_classes)["uniform"], 2),
        "curves": curves,
        "notes": notes,
    }


def possible_corruptions(
    names: Sequence[str] | None, clips: SkeletonSet, test: NDArray[np.int64]
) -> tuple[dict[str, Corruption], list[str]]:
    """The corruptions to look at, and why others are left out."""
    wanted = tuple(CORRUPTIONS) if names is None else tuple(dict.fromkeys(names))
    unknown = [name for name in wanted if name not in CORRUPTIONS]
    if unknown or not wanted:
        raise InputError(
            f"There is no corruption {', '.join(map(repr, unknown)) or '(none given)'}; there are: "
            f"{', '.join(CORRUPTIONS)}."
        )
    refused = refusals(wanted, clips.layout)
    if "second-person" in wanted and not _with_second(clips.subset(test)).any():
        refused["second-person"] = f"No test clip of {clips.source} has a second person to lose."
    if names is not None and refused:
        raise InputError(" ".join(refused.values()))
    notes = [f"Left out, {CORRUPTIONS[name].title}: {why}" for name, why in refused.items()]
    return {name: CORRUPTIONS[name] for name in wanted if name not in refused}, notes


def _with_second(clips: SkeletonSet) -> NDArray[np.bool_]:
    """(N,) bool: somebody besides the first person is there."""
    if clips.x.shape[4] < 2:
        return np.zeros(len(clips), dtype=bool)
    parts = torch.split(torch.arange(len(clips)), 1024)
    found = [clips.clips(part.numpy())[..., 1:].ne(0).flatten(1).any(dim=1) for part in parts]
    return np.asarray(torch.cat(found).numpy())


def passes(kind: Corruption, draws: int) -> int:
    """How often the test part is encoded for one corruption."""
    return len(kind.severities) * (draws if kind.drawn else 1)


class _Tested:
    """The test part of a set, and the probe it is read by."""

    def __init__(self, run: Run, clips: SkeletonSet, probe: "Pipeline", right: NDArray[np.bool_], device: str) -> None:
        self.clips, self.probe, self.right, self.device = clips, probe, right, device
        self.config = PretrainConfig.from_dict(run.config)
        self.encoder = load_encoder(run)

    def curve(self, name: str, kind: Corruption, draws: int, bar: Any) -> dict[str, Any]:
        """One corruption over its severities."""
        concerned = _with_second(self.clips) if kind.needs == "a second person" else np.ones(len(self.clips), bool)
        clips, clean = self.clips.subset(concerned), _percent(self.right[concerned])
        accuracy = []
        for severity in kind.severities:
            each = []
            for draw in range(draws if kind.drawn else 1):
                each.append(self._accuracy(clips, kind, severity, derive(draw, "damage")))
                bar.set_postfix(damage=name, refresh=False)
                bar.update()
            accuracy.append(each)
        return {
            "title": kind.title,
            "stage": kind.stage,
            "unit": kind.unit,
            "severities": list(kind.severities),
            "labels": [kind.label(severity) for severity in kind.severities],
            "kinds": bool(kind.kinds),
            "clips": len(clips),
            "clean": clean,
            **_summary(accuracy, clean),
        }

    def _accuracy(self, clips: SkeletonSet, kind: Corruption, severity: float, generator: Generator) -> float:
        steps = preprocess_of(self.config)
        damaged = _Damaged(steps.frames, steps.centre, steps.turn, kind=kind, severity=severity, generator=generator)
        found = extract(self.encoder, clips, self.config, device=self.device, preprocess=damaged)
        return _percent(rank_classes(self.probe, found)[:, 0] == clips.y)


def _percent(right: NDArray[np.bool_]) -> float:
    return round(100 * float(right.mean()), 2)


def _summary(accuracy: list[list[float]], clean: float | Sequence[float]) -> dict[str, Any]:
    """What follows from the accuracies; `clean` for each draw, or one for all."""
    table = np.array(accuracy)
    return {
        "accuracy": accuracy,
        "mean": [round(float(value), 2) for value in table.mean(axis=1)],
        "low": [float(value) for value in table.min(axis=1)],
        "high": [float(value) for value in table.max(axis=1)],
        "drop": round(float((np.asarray(clean) - table).mean()), 2),
    }


def pool_robustness(results: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Answers of `measure_robustness` for runs that differ in their seed, as one: bands are over runs and draws.

    Args:
        results: of one set, split and number of draws.

    Raises:
        InputError: none, or answers of other clips, splits or corruptions.
    """
    if not results:
        raise InputError("There are no results to pool: give the answers of `measure_robustness`.")
    first = results[0]
    for key in ("fingerprint", "protocol", "draws", "data"):
        if any(result[key] != first[key] for result in results):
            raise InputError(f"Results to pool must agree in {key}; they have {[r[key] for r in results]}.")
    if any(list(result["curves"]) != list(first["curves"]) for result in results):
        raise InputError("Results to pool must be of the same corruptions.")
    curves = {}
    for name, curve in first["curves"].items():
        each = [result["curves"][name] for result in results]
        tables = (one["accuracy"] for one in each)
        accuracy = [list(chain.from_iterable(severity)) for severity in zip(*tables, strict=True)]
        per_draw = np.repeat([one["clean"] for one in each], len(curve["accuracy"][0]))
        mean = round(float(np.mean([one["clean"] for one in each])), 2)
        curves[name] = {**curve, "clean": mean, **_summary(accuracy, per_draw.tolist())}
    return {
        **first,
        "run": ", ".join(str(result["run"]) for result in results),
        "seed": [result["seed"] for result in results],
        "clean": round(float(np.mean([result["clean"] for result in results])), 2),
        "curves": curves,
        "notes": list(dict.fromkeys(note for result in results for note in result["notes"])),
    }


def robustness_text(result: Mapping[str, Any]) -> str:
    """The answer of `measure_robustness` as a table: a row for each corruption, with its drop and its severities."""
    data = result["data"]
    lines = [
        f"{result['run']}: {result['source']}, protocol {result['protocol']}, {counted(data['test'], 'test clip')}; "
        f"{result['probe']}",
        f"clean {result['clean']:.1f} %, chance {result['chance']:.1f} %",
        "",
        f"{'damage to test clips':<46}{'drop':>6}  accuracy in % by severity",
    ]
    for curve in result["curves"].values():
        cells = "  ".join(f"{label} {mean:.1f}" for label, mean in zip(curve["labels"], curve["mean"], strict=True))
        lines.append(f"{curve['title']:<46}{curve['drop']:>6.1f}  {cells}")
    lines += ["", f"drop: clean minus damaged, mean over severities, in points; {counted(result['draws'], 'draw')}."]
    return "\n".join([*lines, *(f"Note: {note}" for note in result["notes"])])
