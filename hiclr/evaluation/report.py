"""One evaluation of a run: every protocol, its floors, and what the numbers are of."""

import logging
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.errors import InputError
from hiclr.evaluation.floors import RAW, UNTRAINED, chance, random_features, raw_nearest
from hiclr.evaluation.keeping import (
    earlier,
    keep,
    measured_on,
    predictions_of,
    results_path,
    with_earlier,
)
from hiclr.evaluation.longer import LONGER, TRANSFER, carried, how_long
from hiclr.evaluation.notes import below_floors, reading_notes
from hiclr.evaluation.protocols import DEFAULT, PROTOCOLS, Outcome, Part
from hiclr.evaluation.published import benchmark_of, expected
from hiclr.evaluation.rows import bounds_of, percents, rows_of, statistics_of
from hiclr.features import CLEAN, features, load_projection
from hiclr.runs import Run, environment

__all__ = [
    "ALL",
    "NOT_KEPT",
    "evaluate",
    "measure",
    "named_protocols",
]

NOT_KEPT = "This answer is not kept in the run folder"
ALL = "all"
"""Instead of the names of protocols: every one on frozen features; what cannot be measured on these clips is a note.
Those of `LONGER` are named one by one."""

_log = logging.getLogger(__name__)


def evaluate(
    run: Run,
    clips: SkeletonSet,
    protocols: Sequence[str] = DEFAULT,
    split: str | None = None,
    device: str = "auto",
    say: Callable[[str], None] = _log.info,
) -> dict[str, Any]:
    """Evaluate the run's frozen encoder on clean clips, with the same probes on its untrained weights, and keep the
    answer in the run folder: see `results_path` and `predictions_path`. Measures of the same encoder and clips that
    are there already stay, those on another set are put aside; where the folder cannot be written a note says so.

    Probes are fitted on the train part alone; choices (a learning rate, a temperature) are made on a held-out piece of
    it; nothing is chosen on the test part; the encoder is that of the newest checkpoint, whatever its epoch.

    Args:
        run: the run.
        clips: a set with a train and a test part.
        protocols: names out of `PROTOCOLS` and `LONGER`, or "all" for those on frozen features: then what cannot be
            measured here is said in the notes. With "transfer" the clips may have another layout than the run.
        split: the set's protocol, "cross-subject" say; its first when left out.
        device: where features are computed that are not in the run's cache.
        say: is told each protocol before it starts, and of one of `LONGER` how long it takes.

    Returns:
        Plain values for JSON, accuracies in % with two decimals:
        "data" {"train", "test", "classes"}, one entry per protocol ("linear" {"top1", "top5"}, "knn" {"1", "5", "20"}
        …), "baseline" {"raw_1nn", "random_linear", "random_knn_1", …}, "chance" {"uniform", "majority"},
        "intervals" (under the same names, [low, high] of each figure; of an accuracy as in `interval`),
        "statistics" (under the same names, for each accuracy "over_clips" and "over_subjects", bootstrap intervals,
        "mean_class", "per_class", "per_subject"), "seconds" of each protocol, "rows" (one for each figure, each saying
        all that it is of: see `hiclr.evaluation.rows`), "run", "epoch", "epochs", "seed", "stream", "source",
        "fingerprint" of the clips, "weights" of the encoder and "parts", which clips are train and test (SHA-256),
        "synthetic", "protocol" (the split), "time", "environment", "notes" (sentences that a reader must know), and on
        a public benchmark "expected": see `hiclr.evaluation.published.expected`.

    Raises:
        InputError: an unknown protocol, no test part, other joints than the run's, nothing trained yet, or a protocol
            that was asked for by name and cannot be measured on these clips.
    """
    names = named_protocols(protocols)
    given, clips = clips, carried(run, clips) if TRANSFER in names else clips
    train, test = clips.split_indices(split)
    of = measured_on(run, clips, split)
    notes = reading_notes(run, clips, train, of["epoch"])

    def part(x: NDArray[np.float32], **more: Any) -> Part:
        return _part(x, clips, train, test, encoder=str(run.config.get("encoder", "")), **more)

    def projected() -> Part:
        return part(features(run, clips, views=(CLEAN,), encoder=load_projection(run), device=device)[CLEAN])

    encoded = part(features(run, clips, views=(CLEAN,), device=device)[CLEAN], projected=projected)
    frozen = [name for name in names if name in PROTOCOLS]
    found, seconds = measure(encoded, frozen, notes, skip=ALL in protocols, say=say)
    for name in [name for name in names if name in LONGER]:
        found[name], seconds[name] = _measure_longer(name, run, given, split, device, notes, say)
    say("floors: raw distances, and the same on the untrained encoder")
    baseline, floors_s = _floors(run, clips, train, test, [name for name in names if name in found], device)
    outcomes = found | {"baseline": Outcome(baseline)}
    result = {
        **of,
        "run": run.path.resolve().name,
        "epochs": run.config.get("epochs"),
        "stream": run.config.get("stream"),
        "source": clips.source,
        "synthetic": clips.synthetic,
        **{name: percents({**one.shares, **one.figures}) | dict(one.more) for name, one in found.items()},
        "baseline": percents(baseline),
        "chance": percents(chance(clips.y[train], clips.y[test], clips.num_classes)),
        "notes": notes,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(device),
        "intervals": {name: bounds_of(one, len(test)) for name, one in outcomes.items()},
        "statistics": {name: statistics_of(one, encoded, clips.classes) for name, one in found.items()},
        "seconds": seconds | {"baseline": floors_s},
    }
    result["rows"] = [row for name, one in outcomes.items() for row in rows_of(result, name, one)]
    path = results_path(run, clips, split, moved=TRANSFER in names)
    known, predicted = earlier(path, result)
    result = with_earlier(result, known)
    result["notes"] = [*below_floors(result), *result["notes"]]
    benchmark = benchmark_of(clips, split)
    if benchmark is not None:
        result["expected"] = expected(result, run.config, benchmark)
    try:
        keep(path, result, predictions_of(encoded, found, result, predicted), say)
    except InputError as error:  # a full disk, or somebody else's run: the answer is what was asked for
        result["notes"] = [*result["notes"], f"{NOT_KEPT}: {error}"]
    return result


def measure(
    part: Part,
    names: Sequence[str],
    notes: list[str],
    skip: bool = False,
    say: Callable[[str], None] = _log.debug,
) -> tuple[dict[str, Outcome], dict[str, float]]:
    """Run protocols on frozen features.

    Args:
        part: the features.
        names: out of `PROTOCOLS`.
        notes: takes sentences that a reader must know.
        skip: note a protocol that cannot be measured on these clips, and go on.
        say: is told each protocol before it starts.

    Returns:
        What each measured, and the seconds that it took.

    Raises:
        InputError: features that are not finite, or, without `skip`, a protocol that cannot be measured.
    """
    found, seconds = {}, {}
    for number, name in enumerate(names, 1):
        say(f"{name}: {number} of {len(names)} on frozen features")
        start = time.perf_counter()
        try:
            found[name] = PROTOCOLS[name](part, notes)
        except InputError as error:
            if not skip or name in DEFAULT:
                raise
            notes.append(f"{name} is not measured: {error}")
            continue
        seconds[name] = round(time.perf_counter() - start, 3)
    return found, seconds


def _measure_longer(
    name: str,
    run: Run,
    clips: SkeletonSet,
    split: str | None,
    device: str,
    notes: list[str],
    say: Callable[[str], None],
) -> tuple[Outcome, float]:
    """One protocol of `LONGER`, and the seconds that it took; how long it takes is said first."""
    say(how_long(name, run, clips, split, device))
    start = time.perf_counter()
    return LONGER[name].measure(run, clips, split, device, notes), round(time.perf_counter() - start, 3)


def _part(x: NDArray[np.float32], clips: SkeletonSet, train: Ids, test: Ids, **more: Any) -> Part:
    who = clips.ids.get("subject")
    return Part(
        x[train],
        clips.y[train],
        x[test],
        clips.y[test],
        clips.num_classes,
        names_train=tuple(clips.names[i] for i in train),
        names_test=tuple(clips.names[i] for i in test),
        subjects_train=None if who is None else who[train],
        subjects_test=None if who is None else who[test],
        **more,
    )


def _floors(
    run: Run, clips: SkeletonSet, train: Ids, test: Ids, names: Sequence[str], device: str
) -> tuple[dict[str, float], float]:
    """Raw distances, and the same probes on the untrained encoder; and the seconds they took."""
    start = time.perf_counter()
    nearest = raw_nearest(clips, train, test)
    floors = {RAW: float((clips.y[nearest] == clips.y[test]).mean())}
    like = {floor: key for floor, key in UNTRAINED.items() if key[0] in names}
    asked = list(dict.fromkeys(protocol for protocol, _ in like.values()))
    if asked:
        untrained, _ = measure(_part(random_features(run, clips, device), clips, train, test), asked, [])
        floors |= {floor: untrained[protocol].shares[key] for floor, (protocol, key) in like.items()}
    return floors, round(time.perf_counter() - start, 3)


def named_protocols(protocols: Sequence[str]) -> tuple[str, ...]:
    """The protocols of these names, "all" being every one on frozen features.

    Raises:
        InputError: a name that is none, or no name.
    """
    unknown = [name for name in protocols if name not in PROTOCOLS and name not in LONGER and name != ALL]
    if unknown or not protocols:
        raise InputError(
            f"There is no protocol {', '.join(map(repr, unknown)) or '(none given)'}; there are: "
            f"{', '.join((*PROTOCOLS, *LONGER))}, or {ALL}. A split of the data, cross-subject say, is named with "
            "--split."
        )
    frozen = tuple(PROTOCOLS) if ALL in protocols else ()
    return tuple(dict.fromkeys((*frozen, *(name for name in protocols if name != ALL))))
