"""One evaluation of a run: every protocol, its floors, and what the numbers are of."""

import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.errors import InputError
from hiclr.evaluation.floors import chance, random_features, raw_nearest
from hiclr.evaluation.knn import knn_accuracy
from hiclr.evaluation.linear import converged, linear_probe, rank_classes, top_k_accuracy
from hiclr.features import features
from hiclr.runs import Run, environment, write_json

__all__ = ["NOT_KEPT", "PROTOCOLS", "Part", "evaluate", "interval", "reading_notes", "results_path", "table"]

NOT_KEPT = "This answer is not kept in the run folder"
KNN = (1, 20)
TOP = 5


@dataclass(frozen=True)
class Part:
    """Frozen features of a train and a test part.

    Args:
        train: (N, D) features.
        y_train: (N,) classes.
        test: (n, D) features.
        y_test: (n,) classes.
        num_classes: C of the set.
    """

    train: NDArray[Any]
    y_train: Ids
    test: NDArray[Any]
    y_test: Ids
    num_classes: int


def _linear(part: Part, notes: list[str]) -> dict[str, float]:
    probe = linear_probe(part.train, part.y_train)
    if not converged(probe):
        notes.append("The linear probe ran out of iterations before it converged.")
    if part.num_classes <= TOP:
        notes.append(f"Top-{TOP} of {part.num_classes} classes is always right, so the table leaves it out.")
    ranked = rank_classes(probe, part.test)
    return {f"top{k}": top_k_accuracy(ranked, part.y_test, k) for k in (1, TOP)}


def _knn(part: Part, notes: list[str]) -> dict[str, float]:
    count = len(part.train)
    notes.extend(f"kNN with k = {k} takes all {count} training clips: there are no more." for k in KNN if k >= count)
    return {str(k): knn_accuracy(part.train, part.y_train, part.test, part.y_test, k, part.num_classes) for k in KNN}


PROTOCOLS: dict[str, Callable[[Part, list[str]], dict[str, float]]] = {"linear": _linear, "knn": _knn}
"""Name -> (features, notes to add to) -> accuracies, 0..1. A new protocol is one function and one line here."""

_FLOORS = {"linear": {"random_linear": "top1"}, "knn": {"random_knn_1": "1", "random_knn_20": "20"}}


def evaluate(
    run: Run,
    clips: SkeletonSet,
    protocols: Sequence[str] = ("linear", "knn"),
    split: str | None = None,
    device: str = "auto",
) -> dict[str, Any]:
    """Evaluate the run's frozen encoder on clean clips, with the same probes on its untrained weights, and keep the
    answer in the run folder: see `results_path`. Measures of the same encoder and clips that are there already stay.
    Where the folder cannot be written a note says so.

    Probes are fitted on the train part alone; nothing is chosen on the test part; the encoder is that of the newest
    checkpoint, whatever its epoch.

    Args:
        run: the run.
        clips: a set with a train and a test part.
        protocols: names out of `PROTOCOLS`.
        split: the set's protocol, "cross-subject" say; its first when left out.
        device: where features are computed that are not in the run's cache.

    Returns:
        Plain values for JSON, accuracies in % with two decimals:
        "data" {"train", "test", "classes"}, one entry per protocol ("linear" {"top1", "top5"}, "knn" {"1", "20"}),
        "baseline" {"raw_1nn", "random_linear", "random_knn_1", "random_knn_20"}, "chance" {"uniform", "majority"},
        "intervals" (under the same names, [low, high] of each accuracy, see `interval`), "run", "epoch", "epochs",
        "seed", "stream", "source", "fingerprint" of the clips, "synthetic", "protocol" (the split), "time",
        "environment", "notes" (sentences that a reader must know).

    Raises:
        InputError: an unknown protocol, no test part, other joints than the run's, or nothing trained yet.
    """
    names = _known(protocols)
    train, test = clips.split_indices(split)
    latest = run.latest()
    if latest is None:
        raise InputError(f"{run.path} holds no checkpoint yet; pretrain first.")
    seed = int(run.config.get("seed", 0))
    notes = reading_notes(run, clips, train, latest[1])

    def measure(x: NDArray[np.float32], say: list[str]) -> dict[str, dict[str, float]]:
        part = Part(x[train], clips.y[train], x[test], clips.y[test], clips.num_classes)
        return {name: PROTOCOLS[name](part, say) for name in names}

    found = measure(features(run, clips, views=("clean",), device=device)["clean"], notes)
    untrained = measure(random_features(run, clips, device), [])
    nearest = raw_nearest(clips, train, test)
    baseline = {"raw_1nn": float((clips.y[nearest] == clips.y[test]).mean())}
    baseline |= {floor: untrained[name][key] for name in names for floor, key in _FLOORS.get(name, {}).items()}
    result = {
        "run": run.path.resolve().name,
        "epoch": latest[1],
        "epochs": run.config.get("epochs"),
        "seed": seed,
        "stream": run.config.get("stream"),
        "source": clips.source,
        "fingerprint": clips.fingerprint,
        "synthetic": clips.synthetic,
        "protocol": clips.protocol if split is None else split,
        "data": {"train": len(train), "test": len(test), "classes": clips.num_classes},
        **{name: _percent(values) for name, values in found.items()},
        "baseline": _percent(baseline),
        "chance": _percent(chance(clips.y[train], clips.y[test], clips.num_classes)),
        "notes": notes,
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "environment": environment(device),
    }
    path = results_path(run, clips, split)
    result = _with_earlier(path, result)
    measures = {name: result[name] for name in (*PROTOCOLS, "baseline") if name in result}
    result["intervals"] = {
        name: {key: list(interval(value, len(test))) for key, value in values.items()}
        for name, values in measures.items()
    }
    try:
        write_json(path, result)
    except InputError as error:  # a full disk, or somebody else's run: the answer is what was asked for
        result["notes"] = [*result["notes"], f"{NOT_KEPT}: {error}"]
    return result


def results_path(run: Run, clips: SkeletonSet, split: str | None = None) -> Path:
    """Where `evaluate` keeps its answer: results.json for the set's first split, results.<split>.json for another."""
    if split is None or split == clips.protocol:
        return run.path / "results.json"
    return run.path / f"results.{''.join(sign if sign.isalnum() or sign in '-_' else '_' for sign in split)}.json"


def _with_earlier(path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """The result with what was measured before on the same clips with the same encoder, where this time it was not."""
    try:
        earlier = json.loads(path.read_text(encoding="utf-8"))
        same = all(earlier.get(key) == result[key] for key in ("epoch", "seed", "fingerprint", "protocol", "data"))
    except (OSError, ValueError, AttributeError):
        return result
    if not same:
        return result
    kept = {name: earlier[name] for name in PROTOCOLS if name in earlier and name not in result}
    notes = [note for note in earlier.get("notes", []) if note not in result["notes"]] if kept else []
    baseline = {**(earlier.get("baseline", {}) if kept else {}), **result["baseline"]}
    return {**result, **kept, "baseline": baseline, "notes": [*result["notes"], *notes]}


def _known(protocols: Sequence[str]) -> tuple[str, ...]:
    unknown = [name for name in protocols if name not in PROTOCOLS]
    if unknown or not protocols:
        raise InputError(
            f"There is no protocol {', '.join(map(repr, unknown)) or '(none given)'}; there are: "
            f"{', '.join(PROTOCOLS)}. A split of the data, cross-subject say, is named with --split."
        )
    return tuple(dict.fromkeys(protocols))


def reading_notes(run: Run, clips: SkeletonSet, train: Ids, epoch: int) -> list[str]:
    """What a reader of the numbers must know."""
    notes = []
    if clips.synthetic:
        notes.append("The clips are synthetic: the numbers say nothing about real people.")
    if epoch < int(run.config.get("epochs", epoch)):
        notes.append(f"The run is not finished: {epoch} of {run.config['epochs']} epochs.")
    if run.data.get("fingerprint") != clips.subset(train).fingerprint:
        notes.append(
            f"The encoder was pretrained on other clips than this train part ({run.data.get('clips', '?')} clips of "
            f"{run.data.get('source', '?')}); it may have seen test clips, without their labels."
        )
    unseen = sorted(set(clips.y.tolist()) - set(clips.y[train].tolist()))
    if unseen:
        notes.append(
            f"No training clip has class {', '.join(clips.classes[c] for c in unseen)}: its test clips count as wrong."
        )
    twins = _twins(clips, train)
    if twins:
        notes.append(f"{twins} test clips are equal to a training clip in every number: they are found by any method.")
    return notes


def _twins(clips: SkeletonSet, train: Ids) -> int:
    """Number of clips outside the train part whose positions also occur in it."""
    hashes = np.empty(len(clips), dtype=np.int64)
    for start in range(0, len(clips), 1024):
        block = clips.clips(slice(start, start + 1024)).numpy()
        hashes[start : start + len(block)] = [hash(clip.tobytes()) for clip in block]
    outside = np.ones(len(clips), dtype=bool)
    outside[train] = False
    return int(np.isin(hashes[outside], hashes[train]).sum())


def _percent(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(100 * value, 2) for name, value in values.items()}


def interval(percent: float, count: int) -> tuple[float, float]:
    """(lowest, highest) % of the 95 % interval (Wilson's) of an accuracy measured on `count` clips.

    It is the uncertainty from the choice of test clips alone; the spread over seeds comes on top.

    Source: Wilson, 1927.
    """
    p, z = percent / 100, 1.96
    middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return round(100 * max(0.0, middle - half), 2), round(100 * min(1.0, middle + half), 2)


_COLUMNS = {"linear top-1": ("linear", "top1"), "linear top-5": ("linear", "top5"),
            "kNN k=1": ("knn", "1"), "kNN k=20": ("knn", "20")}  # fmt: skip
_WIDTH = 25
_UNTRAINED = {"linear top-1": "random_linear", "kNN k=1": "random_knn_1", "kNN k=20": "random_knn_20"}


def table(result: Mapping[str, Any]) -> str:
    """The answer of `evaluate` as text: what was measured on what, then a row for the encoder and for each floor."""
    data, baseline, count = result["data"], result["baseline"], int(result["data"]["test"])
    columns = [name for name, (protocol, key) in _COLUMNS.items() if protocol in result and (
        key != f"top{TOP}" or data["classes"] > TOP)]  # fmt: skip
    rows = {
        _title(result): {name: result[_COLUMNS[name][0]][_COLUMNS[name][1]] for name in columns},
        "random encoder": {name: baseline.get(_UNTRAINED.get(name, "")) for name in columns},
        "raw 1-NN": {"kNN k=1": baseline["raw_1nn"]},
        "chance": {name: result["chance"]["uniform"] for name in columns if name != "linear top-5"},
    }
    if "kNN k=1" not in columns:
        columns = [*columns, "kNN k=1"]
    synthetic = " (synthetic)" if result["synthetic"] and result["source"] != "synthetic" else ""
    lines = [
        f"{result['run']}: epoch {result['epoch']} of {result['epochs']}, seed {result['seed']}, "
        f"{result['stream']} stream",
        f"{result['source']}{synthetic}, protocol {result['protocol']}: "
        f"{data['train']:,} train / {data['test']:,} test clips, {data['classes']} classes",
        "",
        " " * 20 + "".join(f"{name:>{_WIDTH}}" for name in columns),
    ]
    for title, values in rows.items():
        measured = None if title == "chance" else count
        lines.append(f"{title:<20}" + "".join(_cell(values.get(name), measured) for name in columns))
    lines += ["", f"%, with the 95 % interval of {count:,} test {'clip' if count == 1 else 'clips'}; one seed. "
              f"Majority class: {result['chance']['majority']:.2f} %."]  # fmt: skip
    return "\n".join([*(line.rstrip() for line in lines), *(f"Note: {note}" for note in result["notes"])])


def _title(result: Mapping[str, Any]) -> str:
    return "pretrained encoder" if result["epoch"] else "untrained (epoch 0)"


def _cell(value: float | None, count: int | None) -> str:
    if value is None:
        return f"{'-':>{_WIDTH}}"
    low, high = interval(value, count) if count else (0.0, 0.0)
    bounds = f"{low:.1f} to {high:.1f}" if count else ""
    return f"{value:>9.2f}  {bounds:<{_WIDTH - 11}}"
