"""The explorer: a map for each branch, and the clip behind a point."""

import html
from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import anywidget
import ipywidgets
import numpy as np
import traitlets
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.errors import InputError
from hiclr.figures import embeddings
from hiclr.figures.style import Figure, class_colours, class_marker, label
from hiclr.skeleton import Layout
from hiclr.widgets.picture import Pictured
from hiclr.widgets.player import Clip, Player
from hiclr.widgets.scripts import script, style

__all__ = ["Explorer", "Scatter"]

_MOST = 256  # classes that a byte can number

Shown = Clip | Mapping[str, Clip]
"""What is played for a point: one clip, or several by title."""


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

    Raises:
        InputError: no map, other shapes, numbers that are not finite, or labels outside the classes.
    """

    _esm: ClassVar[str] = script("explorer")
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
    height = traitlets.Int(320).tag(sync=True)
    synthetic = traitlets.Bool(False).tag(sync=True)
    revision = traitlets.Int(0).tag(sync=True)
    picked = traitlets.Dict().tag(sync=True)
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
    ) -> None:
        y = np.asarray(labels, dtype=np.int64)
        points = _points(maps, len(y))
        if len(classes) > _MOST:
            raise InputError(f"The explorer numbers up to {_MOST} classes; there are {len(classes):,}.")
        if ((y < 0) | (y >= len(classes))).any():
            raise InputError(f"labels must be indices 0..{len(classes) - 1} into the {len(classes)} classes.")
        if len(names) != len(y):
            raise InputError(f"There must be one name for each point; for {len(y):,} there came {len(names):,}.")
        super().__init__(
            xy=points.astype("<f4").tobytes(),
            labels=y.astype(np.uint8).tobytes(),
            panels=len(points),
            count=len(y),
            titles=[label(name, 60) for name in maps],
            names=[label(name, 60) for name in names],
            classes=[label(name, 40) for name in classes],
            palette=class_colours(len(classes)),
            markers=[class_marker(c) for c in range(len(classes))],
            height=height,
            synthetic=synthetic,
            revision=1,
        )


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


class Explorer(Pictured, ipywidgets.VBox):  # type: ignore[misc]
    """Maps side by side with a player below: a click on a point plays its clip and rings it in every map.

    Args:
        maps: name -> (N, 2) or an `evaluation.Embedding`; a panel for each, linked.
        labels: (N,) indices into classes; when left out, those of the set.
        classes: the names; when left out, those of the set.
        clips: a SkeletonSet of the N clips, or a function index -> clip (3, T, V, M), or -> {title: clip} to play
            several side by side.
        layout: the joints; when left out, those of the set.
        names: N names; when left out, those of the set.
        preprocess: applied to a clip of the set before it is played.
        title: of the still picture.
        fps: frames a second of the clips, where it is known: then the player shows seconds.
        height: CSS pixels of a row of maps.
        synthetic: say so beside the maps, below the player and in the still picture; when left out, as the set says.

    Raises:
        InputError: something is neither given nor known from a set, or does not fit the maps.
    """

    picked = traitlets.Dict()

    def __init__(
        self,
        maps: Mapping[str, Any],
        labels: Sequence[int] | NDArray[Any] | None = None,
        classes: Sequence[str] | None = None,
        clips: SkeletonSet | Callable[[int], Shown] | None = None,
        layout: Layout | None = None,
        names: Sequence[str] | None = None,
        *,
        preprocess: Preprocess | None = None,
        title: str = "t-SNE",
        fps: float | None = None,
        height: int = 320,
        synthetic: bool | None = None,
    ) -> None:
        known = clips if isinstance(clips, SkeletonSet) else None
        if known is not None:
            labels = known.y if labels is None else labels
            classes = known.classes if classes is None else classes
            layout = layout or known.layout
            names = known.names if names is None else names
            fps = known.fps if fps is None and preprocess is None else fps
        if labels is None or classes is None or layout is None or clips is None:
            raise InputError("An explorer needs clips, labels, classes and layout, or a SkeletonSet as clips.")
        self._maps, self._labels, self._classes = dict(maps), np.asarray(labels), tuple(classes)
        self._names = tuple(names) if names is not None else tuple(f"clip {i}" for i in range(len(self._labels)))
        self._title, self._synthetic = title, bool(known and known.synthetic) if synthetic is None else synthetic
        if known is not None and len(known) != len(self._labels):
            raise InputError(
                f"There must be one label for each clip of the set; for {len(known):,} there came "
                f"{len(self._labels):,}."
            )
        self._clip = _from_set(known, preprocess) if known is not None else clips
        self.scatter = Scatter(maps, self._labels, self._classes, self._names, height, synthetic=self._synthetic)
        shown, titles = self._look_up(0)
        self.player = Player(shown, layout, titles, fps, synthetic=self._synthetic)
        self.message = ipywidgets.HTML()
        super().__init__([self.scatter, self.message, self.player])
        self.scatter.picked = {"index": 0, "panel": 0, "n": 0}
        self.picked = self.scatter.picked
        self.scatter.observe(self._show, "picked")

    @property
    def selected(self) -> NDArray[np.int64]:
        """Indices of the clips in the lasso, in the order of the set."""
        return np.frombuffer(self.scatter.selected, dtype="<i4").astype(np.int64)

    def pick(self, index: int) -> None:
        """Pick a clip from Python, as a click does.

        Raises:
            InputError: no such clip.
        """
        if not 0 <= index < len(self._labels):
            raise InputError(f"index must be in 0..{len(self._labels) - 1}, it is {index}.")
        self.scatter.picked = {"index": int(index), "panel": 0, "n": self.picked["n"] + 1}

    def _look_up(self, index: int) -> tuple[list[Clip], list[str]]:
        shown = self._clip(index)  # type: ignore[operator]
        title = f"{self._names[index]} · {self._classes[int(self._labels[index])]}"
        if isinstance(shown, Mapping):
            return list(shown.values()), [title if i == 0 else name for i, name in enumerate(shown)]
        return [shown], [title]

    def _show(self, change: Any) -> None:
        """Play what was picked. An error is shown in the widget, and raised for who called from Python."""
        try:
            index = int(change["new"]["index"])
            if not 0 <= index < len(self._labels):
                raise InputError(f"There is no clip {index}.")
            clips, titles = self._look_up(index)
            self.player.update(clips, titles, refit=True)
        except Exception as error:
            self.message.value = f"<span role='alert'>{html.escape(f'{type(error).__name__}: {error}')}</span>"
            raise
        self.message.value = ""
        self.picked = change["new"]

    def describe(self) -> str:
        clips, maps = len(self._labels), len(self._maps)
        said = f"{clips:,}{' synthetic' * self._synthetic} clip{'s' * (clips != 1)}, {maps} map{'s' * (maps != 1)}"
        return f"Explorer of {said}: {', '.join(self._maps)}"

    def picture(self) -> Figure:
        """The maps, in the same colours."""
        return embeddings.tsne_panels(self._maps, self._labels, self._classes, self._title, synthetic=self._synthetic)


def _from_set(clips: SkeletonSet, preprocess: Preprocess | None) -> Callable[[int], Clip]:
    def look_up(index: int) -> Clip:
        x = clips.clips([index])
        return (x if preprocess is None else preprocess.apply(x, clips.layout))[0]

    return look_up
