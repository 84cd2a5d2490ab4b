"""The protocols that take long: under damage, with labels, on another set. Each says how long before it starts."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from torch import nn

from hiclr.datasets import SkeletonSet
from hiclr.datasets.wording import counted, duration
from hiclr.errors import InputError
from hiclr.evaluation.finetune import (
    DRAWS,
    SHARES,
    choose_recipe,
    fine_tune,
    over_few,
    published_recipe,
    semi_supervised,
)
from hiclr.evaluation.names import LOST
from hiclr.evaluation.protocols import Outcome
from hiclr.evaluation.robustness import DRAWS as DAMAGE_DRAWS
from hiclr.evaluation.robustness import measure_robustness, passes, possible_corruptions
from hiclr.evaluation.supervised import FinetuneConfig, Supervised, plan
from hiclr.evaluation.transfer import carry, map_joints, transfer_to
from hiclr.features import extract, load_encoder
from hiclr.pretraining import PretrainConfig, layout_of, progress
from hiclr.runs import Run, pick_device

__all__ = ["LONGER", "SEMI", "TIMED", "TRANSFER", "Longer", "carried", "how_long", "roughly", "seconds_a_clip"]

TRANSFER = "transfer"
"""The protocol whose clips may have another layout than the run's."""

SEMI = {
    "semi": ("cmd", "cmd"),
    "semi-hiclr": ("aimclr", "hiclr-semi"),
    "semi-aimclr": ("aimclr", "aimclr"),
    "semi-mamp": ("mamp", "mamp"),
}
"""Protocol of few labels -> (rule by which they are drawn, settings on large sets): HiCLR draws as AimCLR does."""

TIMED = 32  # clips by which the time is told beforehand
_KEPT_APART = ("predicted",)  # of each training: too long for a file of results
_ABOUT = ("run", "source", "fingerprint", "synthetic", "protocol", "stream", "data", "notes", "seed", "epoch")


@dataclass(frozen=True)
class _Work:
    """What a protocol is going to do: clips that are encoded, clips that are trained on, and both in words."""

    encoded: int
    trained: int
    words: str


@dataclass(frozen=True)
class Longer:
    """One protocol.

    Args:
        measure: (run, clips, split, device, notes to add to) -> outcome.
        work: (run, clips in its layout, split) -> what that is going to be.
    """

    measure: Callable[[Run, SkeletonSet, str | None, str, list[str]], Outcome]
    work: Callable[[Run, SkeletonSet, str | None], _Work]


def how_long(name: str, run: Run, clips: SkeletonSet, split: str | None = None, device: str = "auto") -> str:
    """A sentence that says how long a protocol of `LONGER` takes here, from a few clips that are timed for it.

    Trainings that the run folder has already are not done again, so it may be less.

    Args:
        name: out of `LONGER`.
        run: the run.
        clips: a set with a train and a test part.
        split: the set's protocol; its first when left out.
        device: where it is going to be measured.

    Raises:
        InputError: an unknown name, or no test part.
    """
    return _said(name, run, clips, split, partial(_timed, run=run, split=split, device=device))


def _timed(clips: SkeletonSet, work: _Work, run: Run, split: str | None, device: str) -> str:
    train_at, test_at = clips.split_indices(split)
    few, some = clips.subset(train_at[: 2 * TIMED]), clips.subset(test_at[:TIMED])
    encoder, config = load_encoder(run), PretrainConfig.from_dict(run.config)
    encode, train = seconds_a_clip(encoder, config, few, some, device, bool(work.trained))
    seconds = work.encoded * encode + work.trained * train
    return f"about {duration(max(seconds, 1))} on {pick_device(device).type}"


def roughly(name: str, run: Run, clips: SkeletonSet, split: str | None = None, device: str = "auto") -> str:
    """The same without training on anything for it.

    Where nothing is trained a few clips are encoded, as in `how_long`: it takes a moment, and pretraining's pace would
    say little, since pretraining prepares its clips once and damage has them prepared in every pass. Else it is told
    from the pace at which the run was pretrained, where and whenever that was: a clip costs a pass to encode and three
    to train on (forward, and a backward pass as long as two), so in pretraining one for the key and three for the
    query of each branch.

    Args:
        name: out of `LONGER`.
        run: the run.
        clips: a set with a train and a test part.
        split: the set's protocol; its first when left out.
        device: where it is going to be measured.

    Raises:
        InputError: an unknown name, no test part, or nothing trained yet.
    """
    paces = [row["clips_per_s"] for row in run.metrics() if row.get("clips_per_s")]

    def guessed(clips: SkeletonSet, work: _Work) -> str:
        if not work.trained:
            return _timed(clips, work, run, split, device)
        if not paces:
            return "not measured"
        a_pass = 1 / (float(np.median(paces)) * (1 + 3 * PretrainConfig.from_dict(run.config).branches))
        seconds = a_pass * (work.encoded + 3 * work.trained)
        return f"not measured; roughly {duration(max(seconds, 1))} at the pace of this run's pretraining"

    return _said(name, run, clips, split, guessed)


def _said(
    name: str, run: Run, clips: SkeletonSet, split: str | None, time_of: Callable[[SkeletonSet, _Work], str]
) -> str:
    if name not in LONGER:
        raise InputError(f"There is no longer protocol {name!r}; there are: {', '.join(LONGER)}.")
    try:
        clips = carried(run, clips) if name == TRANSFER else clips
    except InputError as error:
        return f"{name}: not possible here. {error}"
    work = LONGER[name].work(run, clips, split)
    return f"{name}: {time_of(clips, work)} ({work.words})"


def seconds_a_clip(
    encoder: nn.Module, config: PretrainConfig, few: SkeletonSet, some: SkeletonSet, device: str, trains: bool = True
) -> tuple[float, float]:
    """Seconds to encode, and to train on, one clip with labels; the first time does not count.

    Args:
        encoder: what encodes; it stays as it is.
        config: its preprocessing, stream and views.
        few: 2 `TIMED` clips to train on, or what there is.
        some: `TIMED` clips to encode, or what there is.
        device: where.
        trains: without, the second number is 0.
    """
    encode = _second_time(lambda: extract(encoder, some, config, device=device)) / len(some)
    if not trains:
        return encode, 0.0
    data, all_of_them = Supervised(few, some, config, device), np.arange(len(few))
    once = FinetuneConfig(epochs=1, batch_size=TIMED, least_steps=1)
    with progress(2, 0, delay=60) as bar:
        whole = _second_time(lambda: data.fit(encoder, all_of_them, once, bar))
    batch, _, steps = plan(once, len(few))
    return encode, max(whole - len(some) * encode, 0.0) / (batch * steps)


def _second_time(act: Callable[[], Any]) -> float:
    act()
    start = time.perf_counter()
    act()
    return time.perf_counter() - start


def carried(run: Run, clips: SkeletonSet) -> SkeletonSet:
    """The clips in the layout of the run.

    Raises:
        InputError: the encoder's joints are not found in the clips' layout.
    """
    mapping = map_joints(clips.layout, layout_of(run.data))
    return clips if clips.layout == mapping.target else carry(clips, mapping)


# --- under damage -----------------------------------------------------------------------------------------------------


def _robustness(run: Run, clips: SkeletonSet, split: str | None, device: str, notes: list[str]) -> Outcome:
    found = measure_robustness(run, clips, split=split, device=device)
    notes += [f"robustness: {note}" for note in found["notes"] if note not in notes]
    figures = {f"{LOST}{name}": curve["drop"] / 100 for name, curve in found["curves"].items()}
    return Outcome({"clean": found["clean"] / 100}, figures, more=_without(found, ("clean", *_ABOUT)))


def _robustness_work(run: Run, clips: SkeletonSet, split: str | None) -> _Work:  # noqa: ARG001
    test = clips.split_indices(split)[1]
    kinds = possible_corruptions(None, clips, test)[0]
    count = sum(passes(kind, DAMAGE_DRAWS) for kind in kinds.values())
    return _Work(
        count * len(test),
        0,
        f"{counted(len(kinds), 'corruption')}, {count} passes over {counted(len(test), 'test clip')}",
    )


# --- with labels ------------------------------------------------------------------------------------------------------


def _finetune(run: Run, clips: SkeletonSet, split: str | None, device: str, notes: list[str]) -> Outcome:
    found = fine_tune(run, clips, split=split, device=device)
    return _tuned("finetune", found, notes)


def _transfer(run: Run, clips: SkeletonSet, split: str | None, device: str, notes: list[str]) -> Outcome:
    found = transfer_to(run, clips, split=split, device=device)
    return _tuned(TRANSFER, found, notes)


def _tuned(name: str, found: Mapping[str, Any], notes: list[str]) -> Outcome:
    """Of one training: accuracies, with the class of each test clip."""
    notes += [f"{name}: {note}" for note in found["notes"] if note not in notes]
    shares = {f"{kind}top{k}": found[of][f"top{k}"] / 100
              for kind, of in (("", "finetune"), ("scratch ", "scratch")) for k in (1, 5)}  # fmt: skip
    more = _without(found, _ABOUT)
    more |= {of: _without(found[of], _KEPT_APART) for of in ("finetune", "scratch")}
    predicted = {f"{kind}top1": np.array(found[of]["predicted"][0], dtype=np.int64)
                 for kind, of in (("", "finetune"), ("scratch ", "scratch"))}  # fmt: skip
    return Outcome(shares, more=more, predicted=predicted)


def _semi(name: str) -> Longer:
    """Few labels, drawn and learned by the rule and settings of a paper."""
    rule, published = SEMI[name]
    return Longer(
        partial(_few_labels, name, rule, published),
        lambda _, clips, split: _training_work(clips, split, SHARES, DRAWS, published),
    )


def _few_labels(
    name: str,
    rule: str,
    published: str,
    run: Run,
    clips: SkeletonSet,
    split: str | None,
    device: str,
    notes: list[str],
) -> Outcome:
    recipe = choose_recipe(None, len(clips.split_indices(split)[0]), published)[1]
    found = semi_supervised(run, clips, SHARES, rule, DRAWS, recipe, split, device=device)
    notes += [f"{name}: {note}" for note in found["notes"] if note not in notes]
    figures = {
        f"{share} % {kind}top1": row[of]["top1"] / 100
        for share, row in found["shares"].items()
        for kind, of in (("", "finetune"), ("scratch ", "scratch"))
    }
    shares = {
        share: {of: _without(each, _KEPT_APART) for of, each in row.items()} for share, row in found["shares"].items()
    }
    return Outcome({}, figures, more=_without(found, _ABOUT) | {"shares": shares})


def _finetune_work(run: Run, clips: SkeletonSet, split: str | None) -> _Work:
    return _training_work(clips, split, (1.0,), 1, published_recipe(PretrainConfig.from_dict(run.config)))


def _training_work(
    clips: SkeletonSet, split: str | None, shares: tuple[float, ...], draws: int, published: str
) -> _Work:
    """Of trainings on shares of the labels, each from the pretrained and from the untrained encoder."""
    train, test = clips.split_indices(split)
    config = over_few(choose_recipe(None, len(train), published)[0], len(train))
    least = len(np.unique(clips.y[train]))
    looks = -(-config.epochs // config.look_every)
    trained = encoded = 0
    for share in shares:
        batch, _, steps = plan(config, max(int(share * len(train)), least, 2))
        trained += 2 * draws * config.epochs * batch * steps
        encoded += 2 * draws * looks * len(test)
    count = 2 * draws * len(shares)
    return _Work(encoded, trained, f"{count} trainings of {counted(config.epochs, 'epoch')}, {trained:,} clips seen")


def _without(values: Mapping[str, Any], names: tuple[str, ...]) -> dict[str, Any]:
    """Some entries left out, and the rest as JSON gives it back: lists for tuples."""
    kept = {name: value for name, value in values.items() if name not in names}
    return {name: _plain(value) for name, value in kept.items()}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {name: _plain(one) for name, one in value.items()}
    return [_plain(one) for one in value] if isinstance(value, list | tuple) else value


LONGER: dict[str, Longer] = {
    "robustness": Longer(_robustness, _robustness_work),
    "finetune": Longer(_finetune, _finetune_work),
    **{name: _semi(name) for name in SEMI},
    TRANSFER: Longer(_transfer, lambda _, clips, split: _training_work(clips, split, (1.0,), 1, "cmd")),
}
"""Name -> how it is measured, and what it is going to do. Only measured when they are named."""
