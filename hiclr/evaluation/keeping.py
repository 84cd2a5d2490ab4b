"""Where the answers of `evaluate` lie in a run folder, and how what was measured before stays with them."""

import hashlib
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.errors import InputError
from hiclr.evaluation.longer import LONGER, TRANSFER
from hiclr.evaluation.notes import BELOW
from hiclr.evaluation.predictions import Predictions, load_predictions
from hiclr.evaluation.protocols import PROTOCOLS, Outcome, Part
from hiclr.features import state_digest
from hiclr.runs import Run, write_json

__all__ = [
    "OTHER_SETS",
    "earlier",
    "keep",
    "measured_on",
    "predictions_beside",
    "predictions_of",
    "predictions_path",
    "results_path",
    "with_earlier",
]

OTHER_SETS = "results"
"""Folder in a run folder: results on sets that the run was evaluated on before the last one."""

_SAME = ("epoch", "seed", "fingerprint", "protocol", "data", "weights", "parts")  # equal: one encoder, the same clips
_ALWAYS = 5  # of them are in files of every version


def results_path(run: Run, clips: SkeletonSet, split: str | None = None, moved: bool = False) -> Path:
    """Where `evaluate` keeps its answer: results.json for the set's first split, results.<split>.json for another.

    With `moved` it is that of a transfer: results.transfer.json or results.transfer-<split>.json, so that it does not
    take the place of what was measured on the run's own set.
    """
    own = None if split is None or split == clips.protocol else split
    words = [word for word in (TRANSFER if moved else None, own) if word is not None]
    name = "-".join("".join(sign if sign.isalnum() or sign in "-_" else "_" for sign in word) for word in words)
    return run.path / (f"results.{name}.json" if name else "results.json")


def predictions_path(run: Run, clips: SkeletonSet, split: str | None = None, moved: bool = False) -> Path:
    """Where `evaluate` keeps what was predicted for each test clip: predictions.npz, or predictions.<split>.npz."""
    return predictions_beside(results_path(run, clips, split, moved))


def predictions_beside(results: Path) -> Path:
    """The file of predictions that belongs to a file of results."""
    return results.with_name("predictions" + results.name.removeprefix("results").removesuffix(".json") + ".npz")


def _same(earlier: Any, result: Mapping[str, Any]) -> bool:
    """Whether these are the values of `_SAME`; files of older versions lack the last ones."""
    wanted = [result[key] for key in _SAME]
    return isinstance(earlier, list) and len(earlier) >= _ALWAYS and earlier == wanted[: len(earlier)]


def measured_on(run: Run, clips: SkeletonSet, split: str | None = None) -> dict[str, Any]:
    """What makes two measurements one: which encoder, and which clips in either part, as results say it.

    Raises:
        InputError: no test part, or nothing trained yet.
    """
    train, test = clips.split_indices(split)
    state, epoch = run.trained()
    encoder = {name: value for name, value in state["model"].items() if name.startswith("encoder.")}
    return {
        "epoch": epoch,
        "seed": int(run.config.get("seed", 0)),
        "fingerprint": clips.fingerprint,
        "protocol": clips.protocol if split is None else split,
        "data": {"train": len(train), "test": len(test), "classes": clips.num_classes},
        "weights": state_digest(encoder),
        "parts": _digest(clips, train, test),
    }


def _digest(clips: SkeletonSet, *parts: Ids) -> str:
    """SHA-256 of the names of the clips of each part: which they are is not in the fingerprint of a set."""
    return hashlib.sha256(json.dumps([[clips.names[i] for i in part] for part in parts]).encode()).hexdigest()


def with_earlier(result: dict[str, Any], known: Mapping[str, Any]) -> dict[str, Any]:
    """The result with what was measured before on the same clips with the same encoder, where this time it was not.

    Args:
        result: what `evaluate` found.
        known: what `earlier` gives.
    """
    kept = [name for name in (*PROTOCOLS, *LONGER) if name in known and name not in result]
    if not kept:
        return result
    merged = {**result, **{name: known[name] for name in kept}}
    for key in ("intervals", "statistics", "seconds"):
        before = known.get(key, {})
        merged[key] = {**{name: before[name] for name in kept if name in before}, **result[key]}
    floors = {name: value for name, value in known.get("baseline", {}).items() if name not in result["baseline"]}
    bounds = {name: value for name, value in known["intervals"]["baseline"].items() if name in floors}
    merged["baseline"] = {**floors, **result["baseline"]}
    merged["intervals"]["baseline"] = {**bounds, **result["intervals"]["baseline"]}
    rows = [row for row in known.get("rows", []) if row["protocol"] in kept or row["measure"] in floors]
    merged["rows"] = [*result["rows"], *rows]
    before = [note for note in known.get("notes", []) if not note.startswith(BELOW)]
    merged["notes"] = [*result["notes"], *(note for note in before if note not in result["notes"])]
    return merged


def earlier(path: Path, result: Mapping[str, Any]) -> tuple[dict[str, Any], Predictions | None]:
    """What was measured before on these clips with this encoder, and what was predicted: nothing where it was not.

    Args:
        path: where results lie, see `results_path`; those that `keep` has put aside are found too.
        result: what `evaluate` found, or what `measured_on` gives.
    """
    for file in (path, *_put_aside(path, result)):
        try:
            known = json.loads(file.read_text(encoding="utf-8"))
            if not _same([known[key] for key in _SAME if key in known], result):
                continue
        except (OSError, ValueError, TypeError):
            continue
        try:
            predicted = load_predictions(predictions_beside(file))
            return known, predicted if _same(json.loads(predicted.of), result) else None
        except (InputError, ValueError):  # there are none, or damaged ones: they are written anew
            return known, None
    return {}, None


def keep(path: Path, result: Mapping[str, Any], predicted: Predictions, say: Callable[[str], None]) -> None:
    """Write results and predictions; those on another set that lie there are put into `OTHER_SETS` first.

    Args:
        path: where results lie, see `results_path`.
        result: what `evaluate` found, with what was measured before on the same clips.
        predicted: what `predictions_of` gives.
        say: is told where those on another set are now.

    Raises:
        InputError: the folder cannot be written.
    """
    _set_aside(path, result, say)
    write_json(path, result)
    predicted.save(predictions_beside(path))
    for back in _put_aside(path, result):  # this set was put aside before: all that still holds is in `result`
        for file in (back, predictions_beside(back)):
            file.unlink(missing_ok=True)


def _set_aside(path: Path, result: Mapping[str, Any], say: Callable[[str], None]) -> None:
    try:
        known = json.loads(path.read_text(encoding="utf-8"))
        if known["fingerprint"] == result["fingerprint"] and known.get("parts", result["parts"]) == result["parts"]:
            return
        target = _aside(path, known)
    except (OSError, ValueError, KeyError, TypeError):  # none, or nothing that could be found again
        return
    try:
        target.parent.mkdir(exist_ok=True)
        path.replace(target)
        if predictions_beside(path).exists():
            predictions_beside(path).replace(predictions_beside(target))
    except OSError as error:
        raise InputError(f"{path} cannot be moved to {target} ({error}).") from error
    say(f"what was measured on {known.get('source', 'another set')} is kept as {target}")


def _aside(path: Path, result: Mapping[str, Any]) -> Path:
    """A name of its own for each set and its parts."""
    of = hashlib.sha256(json.dumps([result["fingerprint"], result.get("parts")]).encode()).hexdigest()
    return path.parent / OTHER_SETS / f"{path.stem}-{of[:12]}.json"


def _put_aside(path: Path, result: Mapping[str, Any]) -> tuple[Path, ...]:
    """Where results on this set may lie; those of older versions do not say their parts."""
    return _aside(path, result), _aside(path, {**result, "parts": None})


def predictions_of(
    part: Part, found: Mapping[str, Outcome], result: Mapping[str, Any], before: Predictions | None
) -> Predictions:
    """What was predicted for each test clip, with what is known already of the same encoder and clips."""
    classes = {f"{name}/{key}": value for name, one in found.items() for key, value in one.predicted.items()}
    sure = {f"{name}/{key}": value for name, one in found.items() for key, value in one.confidence.items()}
    if before is not None:
        classes, sure = {**before.classes, **classes}, {**before.confidence, **sure}
    of = json.dumps([result[key] for key in _SAME])
    return Predictions(part.names_test, part.y_test, part.subjects_test, classes, of, sure)
