"""Maps of features: one panel for each branch, the same colour for the same class in every panel."""

from collections.abc import Mapping, Sequence
from textwrap import wrap
from typing import Any, NamedTuple

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.evaluation import Embedding
from hiclr.figures.style import (
    INK,
    QUIET,
    WIDTH,
    Figure,
    check_labels,
    class_colour,
    class_marker,
    label,
    new_figure,
    numbers,
    styled,
    titled,
)  # fmt: skip

__all__ = ["Changed", "Ringed", "changed_panels", "tsne_panels", "tsne_panels_by"]

_DRAWN = 3000  # points of a panel; more would cover each other and fill the file
_ROW = 5  # maps side by side, at most
_NAMED = 60  # entries of a legend
_POINTED = 6  # clips that are numbered in the maps
_LINE = 98  # letters of a title that a full width holds
_TITLE_LINE = 0.19  # inches
_LIST = 2.5  # inches beside the maps in which they are listed


@styled
def tsne_panels(
    maps: Mapping[str, Any],
    labels: NDArray[Any] | Sequence[int],
    classes: Sequence[str],
    title: str = "t-SNE",
    *,
    perplexity: float | None = None,
    seed: int | None = None,
    synthetic: bool = False,
    ringed: "Ringed | None" = None,
) -> Figure:
    """Maps side by side, points coloured by class.

    The axes of a map have no unit and two maps no common orientation: only what lies near what is to be read.

    Args:
        maps: name -> (N, 2) or an `Embedding`, whose perplexity and seed are then used.
        labels: (N,) indices into classes.
        classes: the names.
        title: above; N, perplexity and seed are added.
        perplexity: of the maps.
        seed: of the maps.
        synthetic: say so in the title.
        ringed: a clip to find in every map, and its nearest clips.

    Raises:
        InputError: no map, another shape, or labels outside the classes.
    """
    y = np.asarray(labels, dtype=np.int64)
    check_labels(y, classes)
    points = {name: _points(value, len(y)) for name, value in maps.items()}
    if not points:
        raise InputError("There is no map to draw: give name -> (N, 2).")
    for value in maps.values():
        if isinstance(value, Embedding):
            perplexity, seed = value.perplexity, value.seed
    heading = _title(title, synthetic, len(y), perplexity, seed)
    if ringed is None:
        return _panels(points, y, classes, heading)
    figure = _panels(points, y, classes, heading, _ringed_words(ringed, y))
    for axes, xy in zip(figure.axes, points.values(), strict=False):
        _ring(axes, xy, y, ringed)
    return figure


class Ringed(NamedTuple):
    """A clip, and the clips that are near in what one of the maps was made of."""

    clip: int
    name: str
    near: Sequence[int]
    space: str  # the name of that map


def _ringed_words(ringed: Ringed, y: NDArray[np.int64]) -> str:
    said = f"Filled ring: {label(ringed.name, 60)}."
    if not len(ringed.near):
        return said
    alike = int((y[list(ringed.near)] == y[ringed.clip]).sum())
    return (
        f"{said} Its {len(ringed.near)} nearest in {label(ringed.space, 20)}: {alike} of its class (circles), "
        f"{len(ringed.near) - alike} of another (dashed squares)."
    )


def _ring(axes: Any, xy: NDArray[np.float64], y: NDArray[np.int64], ringed: Ringed) -> None:
    """As in the explorer: a circle round a near clip of the same class, a dashed square round another."""
    colour = class_colour(int(y[ringed.clip]))
    axes.plot(*xy[ringed.clip], marker="o", ms=11, mfc=colour, mec=INK, mew=1.8, ls="none", zorder=5)
    for other in ringed.near:
        alike = y[other] == y[ringed.clip]
        axes.scatter(*xy[other], s=62, marker="o" if alike else "s", facecolors="none", edgecolors=INK, zorder=4,
                     linewidths=1.1, linestyles="-" if alike else (0, (2, 1.2)))  # fmt: skip


@styled
def tsne_panels_by(
    maps: Mapping[str, Any],
    groups: NDArray[Any] | Sequence[Any],
    noun: str = "subject",
    title: str = "t-SNE",
    *,
    perplexity: float | None = None,
    seed: int | None = None,
    synthetic: bool = False,
) -> Figure:
    """The same maps coloured by subject, camera or style: what the encoder should not sort by.

    Args:
        maps: as for `tsne_panels`.
        groups: (N,) ids or words.
        noun: what the groups are, for the legend.
        title: above; N, perplexity and seed are added.
        perplexity: of the maps.
        seed: of the maps.
        synthetic: say so in the title.

    Raises:
        InputError: as `tsne_panels`.
    """
    values, index = np.unique(np.asarray(groups), return_inverse=True)
    names = [f"{noun} {value}" for value in values]
    more = f"{title}, by {noun}"
    return tsne_panels(maps, index, names, more, perplexity=perplexity, seed=seed, synthetic=synthetic)


class Changed(NamedTuple):
    """A clip that is pointed out in several maps."""

    clip: int
    name: str
    note: str
    near: Mapping[str, Sequence[int]]  # name of a map -> the clips that are near in what it was made of


@styled
def changed_panels(
    maps: Mapping[str, Any],
    labels: NDArray[Any] | Sequence[int],
    classes: Sequence[str],
    changed: Sequence[Changed],
    title: str = "t-SNE",
    *,
    synthetic: bool = False,
) -> Figure:
    """Maps side by side; some clips are numbered in all of them and tied to their neighbours in each, and listed.

    A bundle of short lines: the clip lies among its neighbours. The lines are neighbours in feature space: a long one
    may be the map's fault.

    Args:
        maps: name -> (N, 2) or an `Embedding`.
        labels: (N,) indices into classes.
        classes: the names.
        changed: the clips, most changed first; the first 6 are drawn.
        title: above.
        synthetic: say so in the title.

    Raises:
        InputError: as `tsne_panels`.
    """
    y = np.asarray(labels, dtype=np.int64)
    check_labels(y, classes)
    points = {name: _points(value, len(y)) for name, value in maps.items()}
    if not points:
        raise InputError("There is no map to draw: give name -> (N, 2).")
    settings = next((value for value in maps.values() if isinstance(value, Embedding)), None)
    perplexity, seed = (None, None) if settings is None else (settings.perplexity, settings.seed)
    handles, columns, below = class_entries(y, classes)
    side = (WIDTH - _LIST) / len(points)
    figure = _headed(min(side, 4.6) + 0.63 + below, _title(title, synthetic, len(y), perplexity, seed))
    *drawn, words = figure.subplots(1, len(points) + 1, squeeze=False, width_ratios=[*[side] * len(points), _LIST])[0]
    order = _drawn(len(y))
    for axes, (name, xy) in zip(drawn, points.items(), strict=True):
        scatter_classes(axes, xy[order], y[order])
        axes.set_title(label(name, 40), fontsize=9.5)
        for number, one in enumerate(changed[:_POINTED], start=1):
            _point_out(axes, xy, one.clip, one.near[name], str(number))
    words.set_axis_off()
    lines = [
        f"{number}  {label(one.name, 34)}\n    {label(classes[y[one.clip]], 34)}\n    {label(one.note, 40)}"
        for number, one in enumerate(changed[:_POINTED], start=1)
    ]
    lines += ["lines lead to the nearest clips in the\nfeatures that the map was made of"] if lines else []
    said = "\n\n".join(lines) or "no clip to point out"
    words.text(0, 1, said, va="top", fontsize=7.5, linespacing=1.1, transform=words.transAxes)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handletextpad=0.2, columnspacing=1.2)
    return figure


def _point_out(axes: Any, xy: NDArray[np.float64], index: int, near: Sequence[int], number: str) -> None:
    """A ring with a number, and a line to each neighbour."""
    for other in near:
        axes.plot(*xy[[index, other]].T, color=INK, lw=0.7, alpha=0.55, zorder=3)
    axes.plot(*xy[index], marker="o", ms=9, mfc="none", mec=INK, mew=1.3, ls="none", zorder=4)
    axes.annotate(
        number, xy[index], (5, 5), textcoords="offset points", fontsize=8.5, weight="bold", zorder=5,
        bbox={"boxstyle": "round,pad=0.12", "fc": "white", "ec": "none", "alpha": 0.85},
    )  # fmt: skip


def _drawn(count: int) -> NDArray[np.int64]:
    """Which points, in which order: no class lies on top; the same every time."""
    return np.random.default_rng(0).permutation(count)[:_DRAWN]


def _points(value: Any, count: int) -> NDArray[np.float64]:
    points = numbers(value.points if isinstance(value, Embedding) else value)
    if points.shape != (count, 2):
        raise InputError(f"A map must have shape ({count}, 2), a row for each label; it has {points.shape}.")
    return points


def _title(title: str, synthetic: bool, count: int, perplexity: float | None, seed: int | None) -> str:
    """What and how, in one line where that fits."""
    how = f"N = {count:,}"
    how += "" if perplexity is None else f", perplexity {perplexity:.3g}"
    how += "" if seed is None else f", seed {seed}"
    how += f" ({_DRAWN:,} points drawn)" if count > _DRAWN else ""
    what = titled(title, synthetic)
    if len(what) + len(how) < _LINE:
        return f"{what}   {how}"
    return "\n".join([*wrap(what, _LINE), how])


def _headed(height: float, title: str) -> Figure:
    """A figure of this height below a title of one line, higher where the title has more."""
    return new_figure(height + _TITLE_LINE * title.count("\n"), title)


def _panels(
    maps: Mapping[str, NDArray[np.float64]], y: NDArray[np.int64], classes: Sequence[str], title: str, caption: str = ""
) -> Figure:
    rows = -(-len(maps) // _ROW)
    columns = -(-len(maps) // rows)  # six maps are two rows of three, not five and one
    side = min((WIDTH - 0.2) / columns, 4.6)
    handles, entries, below = class_entries(y, classes)
    figure = _headed(rows * (side + 0.28) + below + 0.35 + 0.25 * bool(caption), title)
    grid = figure.subplots(rows, columns, squeeze=False)
    order = _drawn(len(y))
    for axes, name in zip(grid.flat, maps, strict=False):
        scatter_classes(axes, maps[name][order], y[order])
        axes.set_title(label(name, 40), fontsize=9.5)
    for axes in grid.flat[len(maps) :]:
        axes.set_axis_off()
    figure.legend(
        handles=handles, loc="outside lower center", ncols=entries, handletextpad=0.2, columnspacing=1.2,
        title=caption or None, title_fontsize=8.5,
    )  # fmt: skip
    return figure


def class_entries(y: NDArray[np.int64], classes: Sequence[str]) -> tuple[list[Line2D], int, float]:
    """(entries of the legend, its columns, its height in inches)."""
    present = np.unique(y)
    named = present[:_NAMED]
    words = [label(classes[c], 24) for c in named]
    handles = [_dot(int(c), word) for c, word in zip(named, words, strict=True)]
    if len(present) > _NAMED:
        handles.append(Line2D([], [], ls="none", label=f"… and {len(present) - _NAMED} more"))
    columns = _columns_of(words)
    return handles, columns, 0.19 * -(-len(handles) // columns) + 0.1


def _columns_of(words: list[str]) -> int:
    """Legend columns that fit the width of a notebook."""
    widest = max((len(word) for word in words), default=1)
    return int(np.clip(WIDTH * 13.5 / (widest + 5), 1, max(len(words), 1)))


def _dot(index: int, name: str) -> Line2D:
    return Line2D([], [], ls="none", marker=class_marker(index), color=class_colour(index), ms=6, label=name)


def scatter_classes(axes: Any, xy: NDArray[np.float64], y: NDArray[np.int64]) -> None:
    size = float(np.clip(9000 / max(len(y), 1), 5, 26))
    for marker in dict.fromkeys(class_marker(int(c)) for c in np.unique(y)):
        mine = np.array([class_marker(int(c)) == marker for c in y], dtype=bool)
        axes.scatter(*xy[mine].T, s=size, marker=marker, c=[class_colour(int(c)) for c in y[mine]], linewidths=0,
                     alpha=0.85)  # fmt: skip
    axes.set_aspect("equal", adjustable="datalim")
    axes.set(xticks=[], yticks=[])
    axes.spines[:].set_visible(True)
    axes.spines[:].set_color("#d9d9d9")
    axes.set_box_aspect(1)
    axes.tick_params(colors=QUIET)
