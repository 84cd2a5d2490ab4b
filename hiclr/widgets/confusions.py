"""The clips that a classifier got wrong, laid out as the cells of a confusion matrix: a click plays one."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.widgets.explorer import Explorer

__all__ = ["Confusions"]

_TURN = np.pi * (3 - np.sqrt(5))  # the golden angle: points of a cell spread evenly
_REACH = 0.38  # of a cell's side


class Confusions(Explorer):
    """Wrong clips as points: a row for each true class, from the top, a column for each predicted one.

    Args:
        clips: the clips that were classified.
        predicted: (N,) class of each.
        more: what the explorer takes besides.

    Raises:
        InputError: another number of classes than clips, or every clip is right.
    """

    def __init__(self, clips: SkeletonSet, predicted: NDArray[Any], **more: Any) -> None:
        taken = np.asarray(predicted, dtype=np.int64)
        if taken.shape != (len(clips),):
            raise InputError(f"There must be one class for each clip; for {len(clips):,} there came {taken.shape}.")
        wrong = np.flatnonzero(taken != clips.y)
        if not len(wrong):
            raise InputError("Every clip is right: nothing is confused.")
        some, taken = clips.subset(wrong), taken[wrong]
        names = [f"{name}: taken for {clips.classes[c]}" for name, c in zip(some.names, taken, strict=True)]
        title = "rows: true class, columns: predicted"
        more = {"title": "Confused clips", "predicted": taken, **more}
        super().__init__({title: cells(some.y, taken)}, clips=some, names=names, **more)


def cells(true: NDArray[Any], predicted: NDArray[Any]) -> NDArray[np.float64]:
    """(n, 2) places: each clip in its cell, those of one cell apart from each other."""
    cell = np.stack([predicted, -np.asarray(true)], axis=1)
    _, of = np.unique(cell, axis=0, return_inverse=True)
    of = of.reshape(-1)
    order = np.argsort(of, kind="stable")
    sizes = np.bincount(of)
    number = np.empty(len(of), dtype=np.int64)
    number[order] = np.arange(len(of)) - np.repeat(np.cumsum(sizes) - sizes, sizes)
    radius = _REACH * np.sqrt((number + 0.5) / sizes[of]) * (sizes[of] > 1)
    return np.asarray(cell + radius[:, None] * np.stack([np.cos(number * _TURN), np.sin(number * _TURN)], axis=1))
