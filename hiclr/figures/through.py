"""Through training as a still picture: maps of a few epochs, and the numbers of all that were kept."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.evaluation import Through
from hiclr.figures.embeddings import class_entries, scatter_classes
from hiclr.figures.style import PALETTE, WIDTH, Figure, label, new_figure, styled, titled

__all__ = ["through_training"]

_MAPS = 4  # of a branch
_TICKS = 6  # of epochs that were measured
_CURVES = ("purity", "silhouette by class", "effective rank")


@styled
def through_training(through: Through, title: str = "Through training") -> Figure:
    """A row of maps of a few epochs for each mapped branch, and below them numbers of every branch against the epoch.

    Args:
        through: of `evaluation.through_training`.
        title: above.
    """
    some = through.clips
    epochs = [through.epochs[i] for i in np.unique(np.linspace(0, len(through.epochs) - 1, _MAPS).round().astype(int))]
    handles, columns, below = class_entries(some.y, some.classes)
    side, rows = WIDTH / _MAPS, len(through.maps)
    shown = f"{titled(title, some.synthetic)}   N = {len(some):,} training clips"
    figure = new_figure(rows * (side + 0.28) + 2.5 + below, shown)
    maps, curves = figure.subfigures(2, 1, height_ratios=[rows * (side + 0.28), 2.5], squeeze=False).flat
    grid = maps.subplots(rows, _MAPS, squeeze=False)
    for row, (branch, found) in zip(grid, through.maps.items(), strict=True):
        for axes, epoch in zip(row, epochs, strict=False):
            scatter_classes(axes, np.asarray(found[epoch].points, dtype=np.float64), some.y)
            when = "before training" if epoch == 0 else f"epoch {epoch}"
            axes.set_title(f"{label(branch, 20)}, {when}", fontsize=9.5)
        for axes in row[len(epochs) :]:
            axes.set_axis_off()
    for number, (axes, name) in enumerate(zip(curves.subplots(1, len(_CURVES)), _CURVES, strict=True)):
        _curve(axes, name, through.measured, {branch: found[name] for branch, found in through.numbers.items()})
        if number == 0:
            axes.legend(loc="best", fontsize=8)
    figure.legend(handles=handles, loc="outside lower center", ncols=columns, handletextpad=0.2, columnspacing=1.2)
    return figure


def _curve(axes: Any, name: str, epochs: tuple[int, ...], values: dict[str, NDArray[np.float64]]) -> None:
    """One number of every branch."""
    for index, (branch, each) in enumerate(values.items()):
        axes.plot(epochs, each, color=PALETTE[index % len(PALETTE)], marker="o", ms=3, label=label(branch, 20))
    axes.set_title(name, fontsize=9.5)
    at = np.unique(np.linspace(0, len(epochs) - 1, min(len(epochs), _TICKS)).round().astype(int))
    axes.set_xticks([epochs[i] for i in at])
    axes.set_xlabel("epoch")
    axes.grid(axis="y")
