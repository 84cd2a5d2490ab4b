"""What the points of a map can be coloured by: words or numbers, one for each clip."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.figures.style import class_colours, class_marker, label

__all__ = ["MOST", "Colouring", "by_class", "by_group", "by_number", "by_rightness", "density"]

MOST = 256  # words that a byte can number
_NEAR = 10  # neighbours on the map within whose distance density is measured
_RIGHT = ("right", "wrong")
_RIGHT_COLOURS = ("#0072b2", "#d55e00")
_RIGHT_MARKERS = ("o", "v")  # told apart without colour too


class Colouring(NamedTuple):
    """One value for each of N clips.

    Args:
        name: what it is: "class", "subject".
        values: (N,) uint8 indices into the words, or float32 where there are none (NaN: not known).
        words: the names of the values.
        palette: a colour for each word.
        markers: a marker for each word.
    """

    name: str
    values: NDArray[Any]
    words: tuple[str, ...] = ()
    palette: tuple[str, ...] = ()
    markers: tuple[str, ...] = ()

    def front(self) -> dict[str, Any]:
        """What the browser is told beside the values."""
        finite = self.values[np.isfinite(self.values)] if not self.words else self.values[:0]
        low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
        return {
            "name": self.name,
            "words": list(self.words),
            "palette": list(self.palette),
            "markers": list(self.markers),
            "low": low,
            "high": high,
        }


def by_class(name: str, values: Sequence[int] | NDArray[Any], classes: Sequence[str]) -> Colouring:
    """Indices into classes, in the colours that the figures give them.

    Raises:
        InputError: more classes than a byte numbers, or an index outside of them.
    """
    y = np.asarray(values, dtype=np.int64)
    if len(classes) > MOST:
        raise InputError(f"The explorer numbers up to {MOST} classes; there are {len(classes):,}.")
    if ((y < 0) | (y >= len(classes))).any():
        raise InputError(f"{name} must be indices 0..{len(classes) - 1} into the {len(classes)} classes.")
    words = _distinct([label(word, 40) for word in classes])
    markers = tuple(class_marker(c) for c in range(len(classes)))
    return Colouring(label(name, 40), y.astype(np.uint8), words, tuple(class_colours(len(classes))), markers)


def _distinct(words: Sequence[str]) -> tuple[str, ...]:
    """The words, with a number where one is there again: long names may differ in what was left out of them."""
    found: dict[str, None] = {}
    for word in words:
        unlike, again = word, 2
        while unlike in found:
            unlike, again = f"{word} ({again})", again + 1
        found[unlike] = None
    return tuple(found)


def by_group(name: str, values: Sequence[Any] | NDArray[Any]) -> Colouring:
    """Subjects, cameras and the like; fractions, and more than 256 different numbers, are coloured by their size.

    Raises:
        InputError: more than 256 different values that are no numbers.
    """
    array = np.asarray(values)
    if array.dtype.kind == "f":
        return by_number(name, array)
    if array.dtype.kind == "O":  # None among numbers, say
        array = array.astype(str)
    found, index = np.unique(array, return_inverse=True)
    if len(found) > MOST:
        if array.dtype.kind not in "iu":
            raise InputError(f"The explorer numbers up to {MOST} values of {name!r}; there are {len(found):,}.")
        return by_number(name, array)
    return by_class(name, index, [str(value) for value in found])


def by_number(name: str, values: Sequence[float] | NDArray[Any]) -> Colouring:
    """A number for each clip; one that is not finite is not known."""
    x = np.asarray(values, dtype=np.float32)
    return Colouring(label(name, 40), np.where(np.isfinite(x), x, np.float32(np.nan)))


def by_rightness(predicted: NDArray[Any], y: NDArray[Any]) -> Colouring:
    """Whether the predicted class is the clip's own."""
    return Colouring("correctness", (predicted != y).astype(np.uint8), _RIGHT, _RIGHT_COLOURS, _RIGHT_MARKERS)


def density(points: NDArray[Any]) -> NDArray[np.float32]:
    """How crowded a map (N, 2) is at each point, 0..1: the rank of the distance to its tenth neighbour on the map;
    the same for equal distances."""
    count = len(points)
    if count < 3:
        return np.zeros(count, dtype=np.float32)
    from scipy.spatial import cKDTree
    from scipy.stats import rankdata

    far = cKDTree(points).query(points, k=min(_NEAR, count - 1) + 1)[0][:, -1]
    return np.asarray((rankdata(-far) - 1) / (count - 1), dtype=np.float32)
