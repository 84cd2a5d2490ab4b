"""One row for each number, which says all that the number is of; and how sure it is."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

from hiclr.datasets.base import Ids
from hiclr.evaluation.names import figure_name
from hiclr.evaluation.protocols import SEED, Outcome, Part, percent
from hiclr.evaluation.statistics import (
    Interval,
    bootstrap,
    class_accuracy,
    confusion_counts,
    group_accuracy,
    mean_class_accuracy,
)

__all__ = ["bounds_of", "interval", "percents", "rows_of", "statistics_of"]


def interval(percent: float, count: int) -> tuple[float, float]:
    """(lowest, highest) % of the 95 % interval (Wilson's) of an accuracy measured on `count` clips.

    It is the uncertainty from the choice of test clips alone; the spread over seeds comes on top.

    Source: Wilson, 1927.
    """
    p, z = percent / 100, 1.96
    middle = (p + z**2 / (2 * count)) / (1 + z**2 / count)
    half = z / (1 + z**2 / count) * math.sqrt(p * (1 - p) / count + z**2 / (4 * count**2))
    return round(100 * max(0.0, middle - half), 2), round(100 * min(1.0, middle + half), 2)


def percents(values: Mapping[str, float]) -> dict[str, float]:
    """Shares as % with two decimals."""
    return {name: percent(value) for name, value in values.items()}


def _pair(bounds: Interval | None) -> list[float] | None:
    return None if bounds is None else [percent(bounds.low), percent(bounds.high)]


def bounds_of(one: Outcome, count: int) -> dict[str, list[float]]:
    """[low, high] in % of every accuracy on `count` test clips (Wilson's), and of every figure that has an interval."""
    others = {name: _pair(bounds) for name, bounds in one.ranges.items()}
    shares = {name: list(interval(percent(value), count)) for name, value in one.shares.items()}
    return shares | {name: pair for name, pair in others.items() if pair is not None}


def statistics_of(one: Outcome, part: Part, classes: Sequence[str]) -> dict[str, Any]:
    """For each accuracy whose predictions are known: bootstrap intervals over clips and over subjects, the mean over
    classes that occur, accuracy of each class and of each subject; in %."""
    return {name: _spread(predicted, part, classes) for name, predicted in one.predicted.items()}


def _spread(predicted: Ids, part: Part, classes: Sequence[str]) -> dict[str, Any]:
    right, who = predicted == part.y_test, part.subjects_test
    table = confusion_counts(part.y_test, predicted, part.num_classes)
    by_class = zip(classes, class_accuracy(table), strict=True)
    return {
        "over_clips": _pair(bootstrap(right)),
        "over_subjects": None if who is None else _pair(bootstrap(right, who)),
        "mean_class": percent(mean_class_accuracy(table)),
        "per_class": {name: percent(value) for name, value in by_class if math.isfinite(value)},
        "per_subject": {} if who is None else {str(n): percent(v) for n, v in group_accuracy(right, who).items()},
    }


def rows_of(result: Mapping[str, Any], name: str, one: Outcome) -> list[dict[str, Any]]:
    """A row for each figure of a protocol, in %: value and intervals, and what makes it what it is.

    Args:
        result: what `evaluate` found, without rows.
        name: of the protocol, or "baseline".
        one: what it measured.
    """
    spread = result["statistics"].get(name, {})
    return [
        {
            "run": result["run"],
            "commit": result["environment"]["commit"],
            "epoch": result["epoch"],
            "stream": result["stream"],
            "protocol": name,
            "measure": measure,
            "name": figure_name(name, measure),
            "value": result[name][measure],
            "interval": result["intervals"][name].get(measure),
            "over_subjects": spread.get(measure, {}).get("over_subjects") or _pair(one.over_subjects.get(measure)),
            "seeds": {"pretraining": result["seed"], "protocol": SEED},
            "train": result["data"]["train"],
            "test": result["data"]["test"],
            "classes": result["data"]["classes"],
            "source": result["source"],
            "split": result["protocol"],
            "synthetic": result["synthetic"],
            "fingerprint": result["fingerprint"],
            "time": result["time"],
            "seconds": result["seconds"][name],
        }
        for measure in (*one.shares, *one.figures)
    ]
