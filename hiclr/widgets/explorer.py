"""The explorer: a map for each branch, and the clip behind a point."""

import html
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import ipywidgets
import numpy as np
import torch
import traitlets
from numpy.typing import NDArray

from hiclr.augmentations import GrowingViews
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.errors import InputError
from hiclr.evaluation import Embedding
from hiclr.evaluation.knn import best, check_finite, unit_rows
from hiclr.figures import embeddings
from hiclr.figures.style import Figure
from hiclr.skeleton import Layout
from hiclr.widgets.bending import View, bend
from hiclr.widgets.colouring import Colouring, by_class, by_group, by_number, by_rightness
from hiclr.widgets.export import Kept, Played, explorer_page
from hiclr.widgets.picture import Pictured
from hiclr.widgets.player import Clip, Player
from hiclr.widgets.scatter import Scatter

__all__ = ["NEIGHBOURS", "Explorer", "Scatter", "groups_of", "shown_from"]

NEIGHBOURS = 8
_PARTNERS = 4  # clips beside the shown one, for augmentations that mix clips

Shown = Clip | Mapping[str, Clip] | Mapping[str, View]
"""What is played for a point: one clip, or several by title."""


class Explorer(Pictured, ipywidgets.VBox):  # type: ignore[misc]
    """Maps side by side with a player below: a click on a point plays its clip and rings it in every map.

    With `features` the nearest clips of a picked one, by cosine among those features and not on the map, are ringed
    too and listed: each plays beside the picked clip. A lasso or a search selects clips: see `selected`.

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
        features: name of a map -> (N, D) that it was made of; neighbours are those of the map that was clicked.
        views: a ladder of views: a clip of the set is played beside one draw of each.
        predicted: (N,) indices into classes, as a probe says.
        confidence: (N,) of these predictions, 0..1.
        groups: name -> (N,) values to colour by; when left out, the ids and lengths of the set.
        moves: the names of two maps in one frame: the second shows as arrows where clips came from. When left out,
            the weakest and the strongest view, if the maps are Embeddings that were laid out together.

    Raises:
        InputError: something is neither given nor known from a set, or does not fit the maps.
    """

    picked = traitlets.Dict()
    drawn_by: ClassVar[type[Scatter]] = Scatter

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
        features: Mapping[str, NDArray[Any]] | None = None,
        views: GrowingViews | None = None,
        predicted: NDArray[Any] | None = None,
        confidence: NDArray[Any] | None = None,
        groups: Mapping[str, Any] | None = None,
        moves: tuple[str, str] | None = None,
    ) -> None:
        known = clips if isinstance(clips, SkeletonSet) else None
        if known is not None:
            labels = known.y if labels is None else labels
            classes = known.classes if classes is None else classes
            layout = layout or known.layout
            names = known.names if names is None else names
            fps = known.fps if fps is None and preprocess is None else fps
            groups = groups_of(known) if groups is None else groups
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
        self.joint_layout = layout
        self._clip = shown_from(known, preprocess, views) if known is not None else clips
        self._features = _checked_features(features or {}, maps, len(self._labels))
        self._units: dict[str, torch.Tensor] = {}
        self._colourings = {each.name: each for each in self._coloured(groups or {}, predicted, confidence)}
        self.scatter = self.drawn_by(
            maps,
            self._labels,
            self._classes,
            self._names,
            height,
            synthetic=self._synthetic,
            colourings=list(self._colourings.values()),
            moves=_moves(maps) if moves is None else moves,
            caption=_caption(title, maps),
        )
        self.player = Player([self.first_view(0)], layout, None, fps, synthetic=self._synthetic)
        self._play(self.played(0))
        self.message = ipywidgets.HTML()
        super().__init__([self.scatter, self.message, self.player])
        self.scatter.picked = {"index": 0, "panel": 0, "n": 0}
        self.picked = self.scatter.picked
        self._point_out(0, 0)
        self.scatter.observe(self._guarded(self._show), "picked")
        self.scatter.observe(self._guarded(self._show_beside), "beside")

    def _coloured(
        self, groups: Mapping[str, Any], predicted: NDArray[Any] | None, confidence: NDArray[Any] | None
    ) -> list[Colouring]:
        """What points can be coloured by beside their class, in the order of the menu."""
        made = [by_group(name, values) for name, values in groups.items()]
        if predicted is not None:
            if len(predicted) != len(self._labels):
                raise InputError(f"predicted must hold {len(self._labels):,} classes; it holds {len(predicted):,}.")
            made += [by_class("prediction", predicted, self._classes)]
            made += [by_rightness(np.asarray(predicted), self._labels)]
        return made if confidence is None else [*made, by_number("confidence", confidence)]

    @property
    def selected(self) -> NDArray[np.int64]:
        """Indices of the clips in the lasso or found by name, in the order of the set."""
        return np.frombuffer(self.scatter.selected, dtype="<i4").astype(np.int64)

    def select(self, indices: Sequence[int] | NDArray[Any]) -> None:
        """Select clips from Python, as a lasso does; none of them to end the selection.

        Raises:
            InputError: no such clip.
        """
        chosen = np.unique(np.asarray(indices, dtype=np.int64))
        if len(chosen) and not 0 <= chosen[0] <= chosen[-1] < len(self._labels):
            raise InputError(f"indices must be in 0..{len(self._labels) - 1}; they are in {chosen[0]}..{chosen[-1]}.")
        self.scatter.selected = chosen.astype("<i4").tobytes()

    def make_up(self) -> dict[str, dict[str, int]]:
        """What is selected: "class", "subject", ... -> clips of each value, most first."""
        own = by_class("class", self._labels, self._classes)
        return {
            each.name: _counts(each.values[self.selected], each.words)
            for each in (own, *self._colourings.values())
            if each.words
        }

    def pick(self, index: int, panel: int = 0) -> None:
        """Pick a clip from Python, as a click on one of the maps does.

        Raises:
            InputError: no such clip, or no such map.
        """
        if not 0 <= index < len(self._labels):
            raise InputError(f"index must be in 0..{len(self._labels) - 1}, it is {index}.")
        if not 0 <= panel < len(self._maps):
            raise InputError(f"panel must be in 0..{len(self._maps) - 1}, it is {panel}.")
        self.scatter.picked = {"index": int(index), "panel": int(panel), "n": self.picked["n"] + 1}

    def feature(self, title: str, rows: Sequence[tuple[int, str]]) -> None:
        """List clips below the maps, each with a note; a click plays one.

        Raises:
            InputError: no such clip.
        """
        for index, _ in rows:
            if not 0 <= index < len(self._labels):
                raise InputError(f"index must be in 0..{len(self._labels) - 1}, it is {index}.")
        self.scatter.featured = {"title": str(title), "rows": [[int(index), str(note)] for index, note in rows]}

    @property
    def labels(self) -> NDArray[Any]:
        """(N,) indices into the classes."""
        return self._labels

    def first_view(self, index: int) -> NDArray[np.float32]:
        """(3, T, V, M) of a clip as it is."""
        return np.asarray(self.played(index).clips[0], dtype=np.float32)

    def played(self, index: int) -> Played:
        """What is played for a clip: as it is, then beside its views where there are some."""
        shown = self._look_up(index)
        return _parted(list(shown), list(shown.values()))

    def save(self, path: Path | str, megabytes: float = 20.0, views: Kept = "spare") -> Path:
        """Write the explorer as `.html` (works anywhere, with the clips inside), or its maps as `.svg` or `.png`.

        Args:
            path: the file.
            megabytes: of a page, at most; of more clips than fit, a share of each class is kept, and the page says
                how many.
            views: what is played beside a clip: in a page in the room that the clips leave ("spare"), or "always",
                so that fewer clips fit, or "never". The page says how many clips have them.

        Raises:
            InputError: another ending, another word for the views, or not one clip fits.
        """
        target = Path(path)
        if target.suffix not in (".html", ".svg", ".png"):
            raise InputError(f"An explorer is saved as .html, .svg or .png; {target.name!r} ends in none of them.")
        if target.suffix == ".html":
            target.write_bytes(explorer_page(self, megabytes, views).html)
        else:
            self.picture().savefig(target)
        return target

    def neighbours(self, index: int, panel: int = 0) -> list[tuple[int, float]]:
        """The nearest clips of a clip and their cosines, nearest first; empty where the map has no features."""
        name = list(self._maps)[panel]
        if name not in self._features or len(self._labels) < 2:
            return []
        if name not in self._units:
            rows = unit_rows(np.asarray(self._features[name], dtype=np.float64)).astype(np.float32)
            self._units[name] = torch.from_numpy(rows)
        units = self._units[name]
        scores = units[index : index + 1] @ units.T
        scores[0, index] = -torch.inf
        found, cosines = best(scores, min(NEIGHBOURS, len(units) - 1))
        return list(zip(found[0].tolist(), cosines[0].tolist(), strict=True))

    def near_of_all(self, index: int) -> list[list[list[tuple[int, float]]]]:
        """The nearest clips of a clip in each map, at each stage that the maps go through."""
        return [[self.neighbours(index, panel) for panel in range(len(self._maps))]]

    def _title_of(self, index: int) -> str:
        return f"{self._names[index]} · {self._classes[int(self._labels[index])]}"

    def _look_up(self, index: int) -> dict[str, Clip | View]:
        """What is played for a clip, by title; the first is the clip itself."""
        shown = self._clip(index)  # type: ignore[operator]
        first, *others = shown.items() if isinstance(shown, Mapping) else [("", shown)]
        return {self._title_of(index): first[1], **dict(others)}

    def _play(self, shown: Played) -> None:
        self.player.update(shown.clips, shown.titles, refit=True, hidden=shown.hidden)

    def _known(self, index: Any) -> int:
        if not 0 <= int(index) < len(self._labels):
            raise InputError(f"There is no clip {index}.")
        return int(index)

    def _guarded(self, act: Callable[[Any], None]) -> Callable[[Any], None]:
        """An error is shown in the widget, and raised for who called from Python."""

        def run(change: Any) -> None:
            try:
                act(change["new"])
            except Exception as error:
                self.message.value = f"<span role='alert'>{html.escape(f'{type(error).__name__}: {error}')}</span>"
                raise
            self.message.value = ""

        return run

    def _show(self, picked: Mapping[str, Any]) -> None:
        index = self._known(picked["index"])
        self._play(self.played(index))  # first: the clip is what is waited for
        self._point_out(index, int(picked.get("panel", 0)))
        self.picked = dict(picked)

    def _point_out(self, index: int, panel: int) -> None:
        """Say which clips are nearest to the picked one."""
        panel = panel if 0 <= panel < len(self._maps) else 0
        rows = [[near, cosine] for near, cosine in self.neighbours(index, panel)]
        space = list(self.scatter.titles)[panel]
        self.scatter.near = {"of": index, "space": space, "rows": rows, **self._rings(index)}

    def _rings(self, index: int) -> dict[str, Any]:
        """What the maps are told of a picked clip besides, where each has rings of its own."""
        del index
        return {}

    def _show_beside(self, beside: Mapping[str, Any]) -> None:
        """Play another clip beside the picked one."""
        pair = (self.picked["index"], self._known(beside["index"]))
        firsts = [next(iter(self._look_up(index).items())) for index in pair]
        self._play(_parted([title for title, _ in firsts], [clip for _, clip in firsts]))

    def describe(self) -> str:
        clips, maps = len(self._labels), len(self._maps)
        said = f"{clips:,}{' synthetic' * self._synthetic} clip{'s' * (clips != 1)}, {maps} map{'s' * (maps != 1)}"
        return f"Explorer of {said}: {', '.join(self._maps)}"

    def picture(self) -> Figure:
        """The maps, in the same colours; a clip that was picked is ringed with its nearest ones."""
        return embeddings.tsne_panels(
            self._maps, self._labels, self._classes, self._title, synthetic=self._synthetic, ringed=self._ringed()
        )

    def _ringed(self) -> embeddings.Ringed | None:
        if not self.picked.get("n"):
            return None
        index, panel = self.picked["index"], self.picked.get("panel", 0)
        near = [other for other, _ in self.neighbours(index, panel)]
        return embeddings.Ringed(index, self._title_of(index), near, list(self.scatter.titles)[panel])


def _parted(titles: Sequence[str], shown: Sequence[Clip | View]) -> Played:
    """Clips and their masks apart."""
    clips = [one.unmasked if isinstance(one, View) else one for one in shown]
    hidden = [one.hidden.numpy() for one in shown if isinstance(one, View)]
    return Played(titles, clips, hidden if len(hidden) == len(clips) else None)


def groups_of(clips: SkeletonSet) -> dict[str, Any]:
    """Ids and lengths of a set, by name."""
    named: dict[str, Any] = dict(clips.ids)
    if clips.styles and "style" in named:
        named["style"] = np.array(clips.styles)[named["style"]]
    return named if clips.length is None else {**named, "length": clips.length.astype(np.float32)}


def _checked_features(features: Mapping[str, Any], maps: Mapping[str, Any], count: int) -> dict[str, NDArray[Any]]:
    """The features of those maps that have some."""
    for name, array in features.items():
        if name in maps and (array.ndim != 2 or len(array) != count):
            raise InputError(f"features of {name!r} must have shape ({count}, D); they have {array.shape}.")
        check_finite(array)
    return {name: array for name, array in features.items() if name in maps}


def _moves(maps: Mapping[str, Any]) -> tuple[str, str] | None:
    """The weakest and the strongest view, where all maps have one frame."""
    ladder = [name for name, value in maps.items() if name not in ("clean", "key")]
    together = all(isinstance(value, Embedding) and value.start != "PCA" for value in maps.values())
    if not together or len(ladder) < 2:
        return None
    return ("basic" if "basic" in ladder else ladder[0], "strong" if "strong" in ladder else ladder[-1])


def _caption(title: str, maps: Mapping[str, Any]) -> str:
    """What is said below the maps: whose, and how they were made."""
    made = next((value.caption for value in maps.values() if isinstance(value, Embedding)), "")
    return f"{title} · {made}" if made else title


def _counts(values: NDArray[np.uint8], words: Sequence[str]) -> dict[str, int]:
    found = np.bincount(values, minlength=len(words))
    order = np.argsort(-found, kind="stable")
    return {words[i]: int(found[i]) for i in order if found[i]}


def shown_from(clips: SkeletonSet, preprocess: Preprocess | None, views: GrowingViews | None) -> Callable[[int], Shown]:
    """A clip of the set by its index, with one draw of each view where there are views: the same at every call."""

    def prepared(indices: Sequence[int]) -> torch.Tensor:
        x = clips.clips(indices)
        return x if preprocess is None else preprocess.apply(x, clips.layout)

    def look_up(index: int) -> Shown:
        if views is None:
            return prepared([index])[0]
        partners = [(index + step) % len(clips) for step in range(min(_PARTNERS, len(clips)))]
        strengths = [[1.0] * len(ops) for ops in views.sets]
        made = bend(prepared(partners), views, strengths, index, "joint", clips.layout)
        return dict(zip(("original", *views.names), made, strict=True))

    return look_up
