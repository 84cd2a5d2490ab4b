"""Maps of the same clips side by side: what is pointed at, picked or lassoed in one is marked in all."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import anywidget
import numpy as np
import traitlets
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.figures.style import label
from hiclr.widgets.colouring import Colouring, by_class, density
from hiclr.widgets.scripts import script, style

__all__ = ["Scatter"]

_NAME = 300  # letters of a clip's name that can be searched; the page shows fewer


class Scatter(anywidget.AnyWidget):  # type: ignore[misc]
    """P maps of the same N clips. Drag pans, the wheel zooms, a double-click beside the points resets, a click picks,
    shift and drag selects, the arrow keys pick the neighbour in the order of the set.

    Args:
        maps: name -> (N, 2), finite.
        labels: (N,) indices into classes.
        classes: the names.
        names: N names, shown when a point is hovered.
        height: CSS pixels of a row of maps.
        synthetic: say so beside the legend.
        colourings: what else points can be coloured by; each is also said of a hovered point.
        moves: two of the maps, which share their coordinates: the second shows as arrows where clips came from.
        caption: said below the maps.

    Raises:
        InputError: no map, other shapes, numbers that are not finite, or labels outside the classes.
    """

    front: ClassVar[str] = "explorer"  # the script that draws it
    _esm: ClassVar[str] = script(front)
    _css: ClassVar[str] = style("explorer")

    xy = traitlets.Bytes().tag(sync=True)
    labels = traitlets.Bytes().tag(sync=True)
    panels = traitlets.Int(0).tag(sync=True)
    count = traitlets.Int(0).tag(sync=True)
    titles = traitlets.List(traitlets.Unicode()).tag(sync=True)
    names = traitlets.List(traitlets.Unicode()).tag(sync=True)
    classes = traitlets.List(traitlets.Unicode()).tag(sync=True)
    palette = traitlets.List(traitlets.Unicode()).tag(sync=True)
    markers = traitlets.List(traitlets.Unicode()).tag(sync=True)
    colourings = traitlets.List().tag(sync=True)  # of each: name, words, palette, markers, low, high
    codes = traitlets.Bytes().tag(sync=True)  # uint8, (those with words, N)
    measures = traitlets.Bytes().tag(sync=True)  # little-endian float32, (those without, N)
    density = traitlets.Bytes().tag(sync=True)  # little-endian float32, (P, N)
    moves = traitlets.List(traitlets.Int()).tag(sync=True)
    caption = traitlets.Unicode().tag(sync=True)
    height = traitlets.Int(320).tag(sync=True)
    synthetic = traitlets.Bool(False).tag(sync=True)
    revision = traitlets.Int(0).tag(sync=True)
    near = traitlets.Dict().tag(sync=True)  # {of, space, rows: [[index, cosine], ...]} of the picked clip; with
    # each: [[index, ...], ...] the maps ring clips of their own
    featured = traitlets.Dict().tag(sync=True)  # {title, rows: [[index, note], ...]}: a list that plays
    picked = traitlets.Dict().tag(sync=True)
    beside = traitlets.Dict().tag(sync=True)  # {index, n}: a clip to be played beside the picked one
    hovered = traitlets.Int(-1).tag(sync=True)
    selected = traitlets.Any(b"").tag(sync=True)  # the browser's bytes arrive as a memoryview, which Bytes refuses

    def __init__(
        self,
        maps: Mapping[str, Any],
        labels: Sequence[int] | NDArray[Any],
        classes: Sequence[str],
        names: Sequence[str],
        height: int = 320,
        *,
        synthetic: bool = False,
        colourings: Sequence[Colouring] = (),
        moves: tuple[str, str] | None = None,
        caption: str = "",
    ) -> None:
        own = by_class("labels", labels, classes)
        count = len(own.values)
        points = _points(maps, count)
        if len(names) != count:
            raise InputError(f"There must be one name for each point; for {count:,} there came {len(names):,}.")
        for each in colourings:
            if each.values.shape != (count,):
                came = len(each.values)
                raise InputError(f"{each.name} must hold a value for each of {count:,} clips; it has {came:,}.")
        if moves is not None and not set(moves) <= set(maps):
            raise InputError(f"moves must name two of the maps ({', '.join(maps)}); it is {moves}.")
        super().__init__(
            labels=own.values.tobytes(),
            panels=len(points),
            count=count,
            titles=[label(name, 60) for name in maps],
            names=[label(name, _NAME) for name in names],
            classes=list(own.words),
            palette=list(own.palette),
            markers=list(own.markers),
            colourings=[each.front() for each in colourings],
            codes=b"".join(each.values.tobytes() for each in colourings if each.words),
            measures=b"".join(each.values.astype("<f4").tobytes() for each in colourings if not each.words),
            moves=[] if moves is None else [list(maps).index(name) for name in moves],
            caption=label(caption, 300),
            height=height,
            synthetic=synthetic,
            revision=1,
            **_placed(points),
        )

    def placed(self, maps: Mapping[str, Any]) -> dict[str, bytes]:
        """What the browser would be sent of the same clips on other maps.

        Raises:
            InputError: other maps, or another number of clips.
        """
        points = _points(maps, self.count)
        if [label(name, 60) for name in maps] != list(self.titles):
            raise InputError(f"The maps must be {', '.join(self.titles)}; they are {', '.join(maps)}.")
        return _placed(points)


def _placed(points: NDArray[np.float32]) -> dict[str, bytes]:
    """What the browser is sent of (P, N, 2) points: where they lie, and how densely."""
    return {
        "xy": points.astype("<f4").tobytes(),
        "density": b"".join(density(part).astype("<f4").tobytes() for part in points),
    }


def _points(maps: Mapping[str, Any], count: int) -> NDArray[np.float32]:
    """(P, N, 2) of maps given as arrays or as embeddings that hold their `points`."""
    if not maps or not count:
        raise InputError("The explorer needs at least one map with at least one point: name -> (N, 2).")
    points = [np.asarray(getattr(value, "points", value), dtype=np.float32) for value in maps.values()]
    for name, array in zip(maps, points, strict=True):
        if array.shape != (count, 2):
            raise InputError(f"Map {name!r} must have shape ({count}, 2), a row for each label; it has {array.shape}.")
        if not np.isfinite(array).all():
            raise InputError(f"Map {name!r} holds numbers that are not finite.")
    return np.stack(points)
