"""A run with the results and predictions that `evaluate` left in its folder."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from hiclr.errors import InputError
from hiclr.evaluation import Predictions, load_predictions
from hiclr.evaluation.keeping import predictions_beside
from hiclr.runs import Run

__all__ = ["Evaluated", "load_evaluated"]


@dataclass(frozen=True)
class Evaluated:
    """One file of results.

    Args:
        run: the run.
        result: what `evaluate` found.
        predictions: for each test clip, where they were kept.
    """

    run: Run
    result: Mapping[str, Any]
    predictions: Predictions | None

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes; numbered where the run was trained on others."""
        known, count = self.run.data.get("classes", ()), int(self.result["data"]["classes"])
        return tuple(known) if len(known) == count else tuple(f"class {number}" for number in range(count))


def load_evaluated(run: Run, split: str | None = None) -> list[Evaluated]:
    """What was measured of a run: a file of results for each split, and for a transfer.

    Args:
        run: the run.
        split: only results on this train and test part.

    Raises:
        InputError: nothing was measured, or a file cannot be read.
    """
    paths = sorted(run.path.glob("results*.json"), key=lambda path: len(path.name))
    found = []
    for path in paths:
        try:
            result = json.loads(path.read_text(encoding="utf-8"))
            whole = all(key in result for key in ("rows", "data", "baseline", "chance", "statistics", "notes"))
        except (OSError, ValueError, TypeError) as error:
            raise InputError(f"{path} cannot be read ({error}). Evaluate the run again.") from error
        if not whole:
            raise InputError(f"{path} is of an older version, or was made by something else. Evaluate the run again.")
        if split is None or result["protocol"] == split:
            found.append(Evaluated(run, result, _predictions(path, result)))
    if not found:
        of = "" if split is None else f" on {split!r}"
        raise InputError(
            f"{run.path} holds no results{of}: run `hiclr evaluate {run.path} --data F` first, or give --data."
        )
    return found


def _predictions(path: Any, result: Mapping[str, Any]) -> Predictions | None:
    """Those beside a file of results, unless they are of another evaluation."""
    try:
        kept = load_predictions(predictions_beside(path))
    except InputError:
        return None
    return kept if len(kept.y) == result["data"]["test"] else None
