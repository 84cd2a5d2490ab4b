"""Maps of features: one panel for each branch, the same colour for the same class in every panel."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.evaluation import Embedding
from hiclr.figures.style import (
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

__all__ = ["tsne_panels", "tsne_panels_by"]

_DRAWN = 3000  # points of a panel; more would cover each other and fill the file
_NAMED = 60  # entries of a legend


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
    return _panels(points, y, classes, _title(title, synthetic, len(y), perplexity, seed))


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


def _points(value: Any, count: int) -> NDArray[np.float64]:
    points = numbers(value.points if isinstance(value, Embedding) else value)
    if points.shape != (count, 2):
        raise InputError(f"A map must have shape ({count}, 2), a row for each label; it has {points.shape}.")
    return points


def _title(title: str, synthetic: bool, count: int, perplexity: float | None, seed: int | None) -> str:
    shown = f"{titled(title, synthetic)}   N = {count:,}"
    shown += "" if perplexity is None else f", perplexity {perplexity:.3g}"
    shown += "" if seed is None else f", seed {seed}"
    return shown + (f" ({_DRAWN:,} points drawn)" if count > _DRAWN else "")


def _panels(
    maps: Mapping[str, NDArray[np.float64]], y: NDArray[np.int64], classes: Sequence[str], title: str
) -> Figure:
    columns = min(len(maps), 4)
    rows = -(-len(maps) // columns)
    side = min((WIDTH - 0.2) / columns, 4.6)
    present = np.unique(y)
    named = present[:_NAMED]
    words = [label(classes[c], 20) for c in named]
    entries = _columns_of(words)
    below = 0.19 * -(-(len(named) + (len(present) > _NAMED)) // entries) + 0.1
    figure = new_figure(rows * (side + 0.28) + below + 0.35, title)
    grid = figure.subplots(rows, columns, squeeze=False)
    order = np.random.default_rng(0).permutation(len(y))[:_DRAWN]  # no class lies on top; the same order every time
    for axes, name in zip(grid.flat, maps, strict=False):
        _scatter(axes, maps[name][order], y[order])
        axes.set_title(label(name, 40), fontsize=9.5)
    for axes in grid.flat[len(maps) :]:
        axes.set_axis_off()
    handles = [_dot(int(c), word) for c, word in zip(named, words, strict=True)]
    if len(present) > _NAMED:
        handles.append(Line2D([], [], ls="none", label=f"… and {len(present) - _NAMED} more"))
    figure.legend(handles=handles, loc="outside lower center", ncols=entries, handletextpad=0.2, columnspacing=1.2)
    return figure


def _columns_of(words: list[str]) -> int:
    """Legend columns that fit the width of a notebook."""
    widest = max((len(word) for word in words), default=1)
    return int(np.clip(WIDTH * 13.5 / (widest + 5), 1, max(len(words), 1)))


def _dot(index: int, name: str) -> Line2D:
    return Line2D([], [], ls="none", marker=class_marker(index), color=class_colour(index), ms=6, label=name)


def _scatter(axes: Any, xy: NDArray[np.float64], y: NDArray[np.int64]) -> None:
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
