"""The clips that a classifier got wrong, laid out as the cells of a confusion matrix: a click plays one."""

from typing import Any, ClassVar

import numpy as np
import traitlets
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation import confusion_counts, most_confused
from hiclr.figures import skeletons
from hiclr.figures.style import Figure
from hiclr.widgets.explorer import Explorer
from hiclr.widgets.scatter import Scatter
from hiclr.widgets.scripts import script

__all__ = ["Confusions"]

_ROW, _LEAST, _MOST = 22, 320, 900  # CSS pixels: of a row, and of the whole matrix
_TURN = np.pi * (3 - np.sqrt(5))  # the golden angle: points of a cell spread evenly
_REACH = 0.38  # of a cell's side


class _Matrix(Scatter):
    """Points in the cells of a matrix; a click on a cell lists what lies in it."""

    front: ClassVar[str] = "confusions"
    _esm: ClassVar[str] = script(front)

    rows = traitlets.List(traitlets.Unicode()).tag(sync=True)
    columns = traitlets.List(traitlets.Unicode()).tag(sync=True)


class Confusions(Explorer):
    """Wrong clips as points in a matrix: a row for each true class that has some, a column for each predicted one.

    A click on a cell plays its first clip and lists all of it; a click on a point or in the list plays that clip.

    Args:
        clips: the clips that were classified.
        predicted: (N,) class of each.
        more: what the explorer takes besides.

    Raises:
        InputError: another number of classes than clips, a class that the set has not, or every clip is right.
    """

    drawn_by: ClassVar[type[Scatter]] = _Matrix

    def __init__(self, clips: SkeletonSet, predicted: NDArray[Any], **more: Any) -> None:
        taken = np.asarray(predicted, dtype=np.int64)
        if taken.shape != (len(clips),):
            raise InputError(f"There must be one class for each clip; for {len(clips):,} there came {taken.shape}.")
        if ((taken < 0) | (taken >= len(clips.classes))).any():
            raise InputError(f"predicted must be indices 0..{len(clips.classes) - 1} into the classes of the set.")
        wrong = np.flatnonzero(taken != clips.y)
        if not len(wrong):
            raise InputError("Every clip is right: nothing is confused.")
        some, taken = clips.subset(wrong), taken[wrong]
        rows, row = np.unique(some.y, return_inverse=True)
        columns, column = np.unique(taken, return_inverse=True)
        names = [f"{name}: taken for {clips.classes[c]}" for name, c in zip(some.names, taken, strict=True)]
        height = min(max(_ROW * len(rows) + 150, _LEAST), _MOST)
        more = {"title": "Confused clips", "predicted": taken, "height": height, **more}
        title = "rows: true class, columns: predicted"
        super().__init__({title: cells(row, column)}, clips=some, names=names, **more)
        counts = confusion_counts(some.y, taken, len(clips.classes))
        ((true, other),) = most_confused(counts, 1)
        self._first = int(np.flatnonzero((some.y == true) & (taken == other))[0])
        classes = list(self.scatter.classes)
        with self.scatter.hold_sync():
            self.scatter.rows, self.scatter.columns = [classes[c] for c in rows], [classes[c] for c in columns]
            self.scatter.revision += 1
        self.pick(self._first)

    def _title_of(self, index: int) -> str:
        name, _, taken = self._names[index].rpartition(": taken for ")
        return f"{name} · {self._classes[int(self._labels[index])]}, taken for {taken}"

    def picture(self) -> Figure:
        """A clip of the largest confusion."""
        clip, said = self.first_view(self._first), self._title_of(self._first)
        return skeletons.strip(clip, self.joint_layout, title=said, synthetic=self._synthetic)


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
