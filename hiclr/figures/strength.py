"""What strength does: how far each augmentation moves the joints, from 0 to 1."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.figures.style import QUIET, Figure, class_colour, label, new_figure, numbers, styled, titled

__all__ = ["moved"]

_COLUMNS = 5


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
