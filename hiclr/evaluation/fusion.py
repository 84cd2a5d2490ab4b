"""Fusion of streams: the scores of several encoders for the same clips, joined by clip name and added."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.evaluation.holdout import hold_out
from hiclr.evaluation.linear import class_scores, linear_probe, top_k_accuracy
from hiclr.evaluation.notes import reading_notes
from hiclr.evaluation.protocols import TOP
from hiclr.evaluation.published import benchmark_of, expected_fused
from hiclr.evaluation.rows import interval
from hiclr.evaluation.text import expected_text
from hiclr.features import Features, features
from hiclr.runs import Run, environment

__all__ = ["Scores", "choose_weights", "evaluate_fusion", "fuse", "fusion_table"]

_STEPS = 10  # weights are tried in tenths
_SEED = 0  # of the draw of these clips: the same ones for every run
_MOST = 5  # streams; above, tenths are too many to try
_SHOWN = 3


@dataclass(frozen=True)
class Scores:
    """What one encoder says of n clips.

    Args:
        names: n clip names, each once: by them scores are joined.
        classes: (C,) class of each column.
        values: (n, C), higher is likelier; logits of a linear probe.

    Raises:
        InputError: counts that do not agree, or a name that occurs twice.
    """

    names: tuple[str, ...]
    classes: Ids
    values: NDArray[np.float64]

    def __post_init__(self) -> None:
        if self.values.shape != (len(self.names), len(self.classes)):
            raise InputError(
                f"values must be ({len(self.names)}, {len(self.classes)}), a row for each name and a column for each "
                f"class; they are {self.values.shape}."
            )
        if len(set(self.names)) < len(self.names):
            most, count = Counter(self.names).most_common(1)[0]
            raise InputError(f"Scores are joined by clip name, and {most} occurs {count} times among these names.")

    def ranked(self) -> NDArray[np.int64]:
        """(n, C) classes by falling score, equal scores by lowest column."""
        return np.asarray(self.classes[np.argsort(-self.values, axis=1, kind="stable")], dtype=np.int64)

    def accuracy(self, y: Mapping[str, int], k: int = 1) -> float:
        """Share of the clips, 0..1, whose class (by name) is among the k likeliest."""
        return top_k_accuracy(self.ranked(), np.array([y[name] for name in self.names]), k)


def fuse(parts: Sequence[Scores], weights: Sequence[float] | None = None) -> Scores:
    """The weighted sum of the scores of the same clips, joined by name whatever the order of each part.

    Args:
        parts: one for each stream.
        weights: one for each part; equal ones when left out.

    Returns:
        Scores in the order of the first part's names.

    Raises:
        InputError: no part, clips that not all parts have (their number and examples), other classes, or other than
            one weight of 0 or more for each part.
    """
    if not parts:
        raise InputError("Fusion needs the scores of at least one stream.")
    weights = [1 / len(parts)] * len(parts) if weights is None else list(weights)
    _check_weights(weights, len(parts))
    total = sum(weight * values for weight, values in zip(weights, _joined(parts), strict=True))
    return Scores(parts[0].names, parts[0].classes, np.asarray(total))


def _check_weights(weights: Sequence[float], count: int) -> None:
    if len(weights) != count or min(weights) < 0 or not 0 < sum(weights) < np.inf:
        raise InputError(
            f"Fusion of {count} streams needs {count} weights of at least 0 and not all 0; they are "
            f"{', '.join(f'{weight:g}' for weight in weights)}."
        )


def _joined(parts: Sequence[Scores]) -> list[NDArray[np.float64]]:
    """The values of each part in the order of the first one's names."""
    first, joined = parts[0], [parts[0].values]
    for number, part in enumerate(parts[1:], start=2):
        row = {name: index for index, name in enumerate(part.names)}
        alone = [*(name for name in first.names if name not in row), *(row.keys() - set(first.names))]
        if alone:
            raise InputError(
                f"Scores are joined by clip name: {len(alone)} of the names of stream 1 ({len(first.names)} clips) and "
                f"stream {number} ({len(part.names)} clips) are in one of them alone "
                f"({', '.join(sorted(alone)[:_SHOWN])}{', …' if len(alone) > _SHOWN else ''}). "
                "Use the same clips for all streams."
            )
        if not np.array_equal(first.classes, part.classes):
            raise InputError(f"Streams 1 and {number} were scored for other classes. Use the same clips for all.")
        joined.append(part.values[[row[name] for name in first.names]])
    return joined


def _grid(count: int) -> NDArray[np.float64]:
    """(W, count) weights of sum 1: equal ones, then all in tenths."""
    bars = np.array(list(combinations(range(_STEPS + count - 1), count - 1)), dtype=np.int64).reshape(-1, count - 1)
    edges = np.pad(bars, ((0, 0), (1, 1)), constant_values=((0, 0), (-1, _STEPS + count - 1)))
    tenths = (np.diff(edges, axis=1) - 1) / _STEPS
    return np.concatenate([np.full((1, count), 1 / count), tenths])


def choose_weights(parts: Sequence[Scores], y: Mapping[str, int]) -> tuple[float, ...]:
    """Weights of sum 1 under which most of these clips are right: give it clips held out of train, never test clips.

    Tried are equal weights and all weights in tenths; of equally good ones those nearest to equal weights are taken.

    Args:
        parts: one for each stream, up to five.
        y: class of each clip by name.

    Raises:
        InputError: as `fuse`; more than five streams; or no clips.
    """
    if not 1 <= len(parts) <= _MOST or not parts[0].names:
        raise InputError(f"Weights are chosen for 1 to {_MOST} streams on at least 1 clip; there are {len(parts)}.")
    joined, wanted = _joined(parts), np.array([y[name] for name in parts[0].names])
    tried = _grid(len(parts))
    right = np.array([_right(joined, weights, parts[0].classes, wanted) for weights in tried])
    distance = np.square(tried - 1 / len(parts)).sum(axis=1)
    best = min(range(len(tried)), key=lambda index: (-right[index], round(distance[index], 9)))
    return tuple(float(weight) for weight in tried[best])


def _right(joined: Sequence[NDArray[np.float64]], weights: NDArray[np.float64], classes: Ids, y: Ids) -> int:
    total = sum(weight * values for weight, values in zip(weights, joined, strict=True))
    return int((classes[np.asarray(total).argmax(axis=1)] == y).sum())


def _chosen_on(clips: SkeletonSet, train: Ids) -> NDArray[np.bool_]:
    """(N,) bool: the training clips by which weights are chosen; none where no class has enough of them."""
    subjects = clips.ids.get("subject")
    out = np.zeros(len(train), dtype=bool)
    try:
        out[hold_out(clips.y[train], None if subjects is None else subjects[train], seed=_SEED).held] = True
    except InputError:
        return out
    return out


def evaluate_fusion(
    runs: Sequence[Run],
    clips: SkeletonSet,
    split: str | None = None,
    weights: Sequence[float] | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Linear probes on the frozen encoders of several runs, each alone and fused with equal and with chosen weights.

    Weights are chosen on a part of train (a fifth; where subjects are known whole ones, at least a fifth), with probes
    fitted on the rest of it; then the probes are fitted on the whole train part. The test part decides nothing.

    Args:
        runs: one for each stream, in the order of the weights.
        clips: a set with a train and a test part.
        split: the set's protocol, "cross-subject" say; its first when left out.
        weights: further weights to show, one for each run; AimCLR's are 0.6, 0.6, 0.4 for joint, bone, motion.
        device: where features are computed that are not in a run's cache.

    Returns:
        Plain values for JSON, accuracies in % with two decimals: "streams" (for each run "run", "stream", "epoch",
        "top1", "top5", and "held_out" its accuracy there), "fusion" ("equal", "chosen" and, with `weights`, "given":
        each "weights" of sum 1, "top1", "top5", "held_out"), "data" {"train", "held_out", "test", "classes"},
        "intervals" of each top-1, "source", "fingerprint", "synthetic", "protocol", "time", "environment", "notes", and
        on a public benchmark "expected": see `hiclr.evaluation.published.expected_fused`.

    Raises:
        InputError: fewer than 2 or more than 5 runs, one of them twice, weights that are not one for each run, no
            test part, other joints than a run's, or a run without a checkpoint.
    """
    if not 2 <= len(runs) <= _MOST:
        raise InputError(f"Fusion takes 2 to {_MOST} runs, one for each stream; there are {len(runs)}.")
    folders = [run.path.resolve() for run in runs]
    twice = next((folder for folder in folders if folders.count(folder) > 1), None)
    if twice is not None:
        raise InputError(f"{twice} is given more than once: a run fused with itself tells nothing. Give each run once.")
    train, test = clips.split_indices(split)
    epochs = [run.trained()[1] for run in runs]
    out = _chosen_on(clips, train)
    found = [features(run, clips, views=("clean",), device=device) for run in runs]
    y = dict(zip(clips.names, clips.y.tolist(), strict=True))
    notes = _notes(runs, epochs, clips, train)
    parts = {"test": [_scores(each, clips, train, test) for each in found]}
    if out.any():
        parts["held_out"] = [_scores(each, clips, train[~out], train[out]) for each in found]
    else:
        notes.append("No clips could be held out of the train part, so no weights were chosen: they are equal.")
    streams: list[dict[str, Any]] = [
        {"run": run.path.resolve().name, "stream": run.config.get("stream"), "epoch": epoch}
        | _percent({part: scores[index] for part, scores in parts.items()}, y)
        for index, (run, epoch) in enumerate(zip(runs, epochs, strict=True))
    ]
    fusion: dict[str, dict[str, Any]] = {
        name: {"weights": [round(weight, 4) for weight in tried]}
        | _percent({part: fuse(scores, tried) for part, scores in parts.items()}, y)
        for name, tried in _weights(parts, y, weights).items()
    }
    result = {
        "streams": streams,
        "fusion": fusion,
        "data": {"train": len(train), "held_out": int(out.sum()), "test": len(test), "classes": clips.num_classes},
        "intervals": {
            "streams": [list(interval(row["top1"], len(test))) for row in streams],
            "fusion": {name: list(interval(row["top1"], len(test))) for name, row in fusion.items()},
        },
        "source": clips.source,
        "fingerprint": clips.fingerprint,
        "synthetic": clips.synthetic,
        "protocol": clips.protocol if split is None else split,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(device),
        "notes": notes,
    }
    benchmark = benchmark_of(clips, split)
    return result if benchmark is None else {**result, "expected": expected_fused(result, runs[0].config, benchmark)}


def _weights(
    parts: Mapping[str, Sequence[Scores]], y: Mapping[str, int], given: Sequence[float] | None
) -> dict[str, tuple[float, ...]]:
    """What is tried: equal weights, those chosen on held-out clips, and those that were given, all of sum 1."""
    count = len(parts["test"])
    equal = (1 / count,) * count
    tried = {"equal": equal, "chosen": choose_weights(parts["held_out"], y) if "held_out" in parts else equal}
    if given is not None:
        _check_weights(given, count)
        tried["given"] = tuple(weight / sum(given) for weight in given)
    return tried


def _percent(scores: Mapping[str, Scores], y: Mapping[str, int]) -> dict[str, float]:
    """Accuracies in %: of test clips, and of held-out clips where there are any."""
    found = {"top1": scores["test"].accuracy(y), f"top{TOP}": scores["test"].accuracy(y, TOP)}
    found |= {"held_out": scores["held_out"].accuracy(y)} if "held_out" in scores else {}
    return {name: round(100 * value, 2) for name, value in found.items()}


def _scores(found: Features, clips: SkeletonSet, train: Ids, test: Ids) -> Scores:
    """Of a probe on the train part, for the test part; features are looked up by clip name."""
    row = {name: index for index, name in enumerate(found.names)}
    at = np.array([row[name] for name in clips.names])
    x = found["clean"][at]
    probe = linear_probe(x[train], clips.y[train])
    return Scores(tuple(clips.names[index] for index in test), probe.classes_, class_scores(probe, x[test]))


def _notes(runs: Sequence[Run], epochs: Sequence[int], clips: SkeletonSet, train: Ids) -> list[str]:
    notes = list(
        dict.fromkeys(
            note for run, epoch in zip(runs, epochs, strict=True) for note in reading_notes(run, clips, train, epoch)
        )
    )
    if len({run.data.get("fingerprint") for run in runs}) > 1:
        notes.append("The runs were pretrained on different clips.")
    streams = [str(run.config.get("stream")) for run in runs]
    if len(set(streams)) < len(streams):
        notes.append(f"Several runs see the same stream ({', '.join(streams)}): this is an ensemble.")
    return notes


def fusion_table(result: Mapping[str, Any]) -> str:
    """The answer of `evaluate_fusion` as text: a row for each stream, then one for each choice of weights."""
    data = result["data"]
    lines = [
        f"{result['source']}, protocol {result['protocol']}: {data['train']:,} train / {data['test']:,} test clips, "
        f"{data['classes']} classes",
        "",
        f"{'':<46}{'linear top-1':>14}  {'95 % interval':<16}{'held-out top-1':>14}",
    ]
    for row, bounds in zip(result["streams"], result["intervals"]["streams"], strict=True):
        lines.append(_row(f"{row['stream']} ({row['run']}, epoch {row['epoch']})", row, bounds))
    for name, row in result["fusion"].items():
        words = " ".join(f"{weight:.2f}" for weight in row["weights"])
        lines.append(_row(f"{name} weights {words}", row, result["intervals"]["fusion"][name]))
    held = counted(data["held_out"], "clip")
    lines += ["", f"%; weights were chosen on {held} held out of train, never on test clips."]
    lines += [f"Note: {note}" for note in result["notes"]]
    lines += ["", expected_text(result["expected"])] if "expected" in result else []
    return "\n".join(line.rstrip() for line in lines)


def _row(title: str, row: Mapping[str, Any], bounds: Sequence[float]) -> str:
    held = f"{row['held_out']:>14.2f}" if "held_out" in row else ""
    return f"{title:<46}{row['top1']:>14.2f}  {f'{bounds[0]:.1f} to {bounds[1]:.1f}':<16}{held}"
