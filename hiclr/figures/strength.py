"""What strength does, from 0 to 1: how far the joints are moved, and how unlike the clean clip a view becomes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.figures.style import QUIET, Figure, class_colour, label, new_figure, numbers, styled, titled

__all__ = ["moved", "similarity"]

_COLUMNS = 5
_ALONE = 4  # panels of single augmentations in a row
_STYLES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))


@styled
def moved(
    strengths: NDArray[Any] | Sequence[float],
    ways: Mapping[str, Any],
    title: str = "How far a joint is moved",
    *,
    synthetic: bool = False,
) -> Figure:
    """A small panel for each augmentation, all on one scale: the way a joint is moved against the strength.

    Args:
        strengths: (S,) from 0 to 1.
        ways: name -> (S,) metres.
        title: above.
        synthetic: say so in the title.

    Raises:
        InputError: nothing to draw, or not one number for each strength.
    """
    x = numbers(strengths)
    lines = {name: 100 * numbers(way) for name, way in ways.items()}
    if not lines:
        raise InputError("There is no augmentation to draw: give name -> (S,) metres.")
    for name, line in lines.items():
        if line.shape != x.shape:
            raise InputError(f"{name} must have one number for each of the {len(x)} strengths; it has {line.shape}.")
    rows = -(-len(lines) // _COLUMNS)
    figure = new_figure(1.25 * rows + 0.75, titled(title, synthetic))
    grid = figure.subplots(rows, _COLUMNS, squeeze=False, sharex=True, sharey=True)
    for axes in grid.flat[len(lines) :]:
        axes.set_axis_off()
    for i, (axes, (name, line)) in enumerate(zip(grid.flat, lines.items(), strict=False)):
        axes.fill_between(x, line, color=class_colour(0), alpha=0.12, lw=0)
        axes.plot(x, line, color=class_colour(0))
        axes.set_title(label(name, 24), fontsize=8.5, fontweight="normal")
        axes.grid(True)
        axes.tick_params(length=0, labelbottom=i + _COLUMNS >= len(lines))
    grid[0, 0].set(xlim=(0, 1), ylim=(0, 1.05 * max(float(np.max(list(lines.values()))), 1.0)), xticks=[0, 0.5, 1])
    grid[0, 0].xaxis.set_major_formatter("{x:g}")
    figure.supxlabel("strength", fontsize=9, color=QUIET)
    figure.supylabel("centimetres", fontsize=9, color=QUIET)
    return figure


@styled
def similarity(
    strengths: NDArray[Any] | Sequence[float],
    views: Mapping[str, Any],
    alone: Mapping[str, Any],
    title: str = "How like the clean clip a view is to the encoder",
    *,
    synthetic: bool = False,
) -> Figure:
    """Cosine of features against strength: the views of a ladder in one panel, each augmentation alone in its own.

    The line is the mean over clips, the band its 95 % interval (1.96 standard errors to each side).

    Args:
        strengths: (S,) from 0 to 1.
        views: name -> (S, n) cosines of n clips, weakest first.
        alone: name -> (S, n) for each augmentation.
        title: above.
        synthetic: say so in the title.

    Raises:
        InputError: nothing to draw, or not (S, n) numbers.
    """
    x = numbers(strengths)
    both = {name: numbers(values) for name, values in (*views.items(), *alone.items())}
    if not views:
        raise InputError("There is no view to draw: give name -> (S, n) cosines.")
    for name, values in both.items():
        if values.ndim != 2 or len(values) != len(x) or not values.size:
            raise InputError(f"{name} must have shape ({len(x)}, n), a row for each strength; it has {values.shape}.")
    rows = max(-(-len(alone) // _ALONE), 2)
    figure = new_figure(1.25 * rows + 0.85, titled(title, synthetic))
    grid = figure.add_gridspec(rows, _ALONE + 2, width_ratios=[1.0] * 2 + [1.0] * _ALONE)
    ladder = figure.add_subplot(grid[:, :2])
    for i, name in enumerate(views):
        _band(ladder, x, both[name], class_colour(i), _STYLES[i % len(_STYLES)], label(name, 16))
    ladder.set(xlim=(0, 1), xticks=[0, 0.5, 1], xlabel="strength of all sets", ylabel="cosine to the clean clip")
    ladder.set_title("views, as in training", fontsize=8.5, fontweight="normal")
    ladder.legend(loc="lower left")
    ladder.grid(True)
    for i, name in enumerate(alone):
        axes = figure.add_subplot(grid[i // _ALONE, 2 + i % _ALONE], sharex=ladder, sharey=ladder)
        _band(axes, x, both[name], class_colour(len(views)), "-")
        axes.set_title(label(name, 18), fontsize=8.5, fontweight="normal")
        axes.grid(True)
        axes.tick_params(length=0, labelleft=i % _ALONE == 0, labelbottom=i + _ALONE >= len(alone))
    lowest = min(float(values.mean(axis=1).min()) for values in both.values())
    below = lowest - 0.1 * (1 - lowest) - 0.01
    ladder.set_ylim(below, 1 + 0.03 * (1 - below))
    ladder.yaxis.set_major_locator(MaxNLocator(4))
    ladder.xaxis.set_major_formatter("{x:g}")
    count = next(iter(both.values())).shape[1]
    figure.supxlabel(
        f"each augmentation alone, on every clip; mean of {count} clips and its 95 % interval",
        fontsize=8.5,
        color=QUIET,
    )
    return figure


def _band(axes: Any, x: Any, values: Any, colour: str, style: Any, words: str = "") -> None:
    mean = values.mean(axis=1)
    error = 1.96 * values.std(axis=1, ddof=1) / np.sqrt(values.shape[1]) if values.shape[1] > 1 else 0 * mean
    axes.fill_between(x, mean - error, mean + error, color=colour, alpha=0.2, lw=0)
    axes.plot(x, mean, color=colour, ls=style, label=words or None)
