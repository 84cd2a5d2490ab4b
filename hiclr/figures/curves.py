"""How training went: every loss term, the line of an encoder that learned nothing, and live kNN."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.figures.style import (
    INK,
    PALETTE,
    QUIET,
    Figure,
    class_colour,
    label,
    new_figure,
    percent_axis,
    styled,
    titled,
)
from hiclr.runs.rows import loss_terms

__all__ = ["compare", "training"]

Rows = Sequence[Mapping[str, Any]]

_DASHES = ("-", (0, (5, 1.5)), (0, (1.5, 1.2)), (0, (5, 1.5, 1.5, 1.5)))


def _column(rows: Rows, key: str) -> NDArray[np.float64]:
    """(E,) values of a key; NaN where a row has none."""
    return np.array([np.nan if row.get(key) is None else float(row[key]) for row in rows])


def _check_rows(rows: Rows, whose: str = "The run") -> None:
    if not rows:
        raise InputError(f"{whose} has no epoch yet, so there is no curve. Train at least one epoch first.")


@styled
def training(rows: Rows, title: str = "", *, chance: float | None = None, synthetic: bool = False) -> Figure:
    """Loss terms on the left, nearest-neighbour accuracy on the right, over epochs.

    Args:
        rows: of `run.metrics()`: "epoch", the terms of the loss ("info_nce", "consistency_1", ... in nats), "ln_k"
            (nats), "knn_1" (%), None where not measured.
        title: above.
        chance: accuracy of guessing in %, drawn beside kNN.
        synthetic: say so in the title.

    Raises:
        InputError: no row.
    """
    _check_rows(rows)
    figure = new_figure(3.6, titled(title, synthetic))
    losses, nearest = figure.subplots(1, 2, width_ratios=(1.25, 1))
    for i, name in enumerate(loss_terms(rows)):
        words = label(name.replace("_", " ").replace("info nce", "InfoNCE"))
        _line(losses, rows, name, PALETTE[(0, 1, 2, 4, 6)[i % 5]], words, i)
    _floor(losses, rows, color=QUIET, lw=1.2, ls="--", label="learned nothing: ln(1+K)")
    _loss_axes(losses, "loss terms", "nats" if _contrasts(rows) else "loss (units of its terms)")
    _knn_axes(nearest, rows, chance)
    for axes in (losses, nearest):
        _epoch_axis(axes, _epochs(rows).max())
    return figure


def _epochs(rows: Rows) -> NDArray[np.float64]:
    return np.array([float(row.get("epoch", i + 1)) for i, row in enumerate(rows)])


def _epoch_axis(axes: Any, last: float) -> None:
    axes.set_xlabel("epoch")
    axes.set_xlim(0, 1.02 * last)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8, steps=[1, 2, 5, 10]))


def _floor(axes: Any, rows: Rows, **look: Any) -> None:
    """The InfoNCE of an encoder that tells nothing apart; a single row gets a line as well."""
    epochs, floor = _epochs(rows), _column(rows, "ln_k")
    if np.isfinite(floor).any():
        start = epochs[:1] - 1 if len(rows) == 1 else epochs[:0]
        axes.plot([*start, *epochs], [*floor[: len(start)], *floor], **look)


def _line(axes: Any, rows: Rows, key: str, colour: str, name: str, dash: int) -> bool:
    """One curve through the rows that have a value; a dot where it would be too short to see. False if none has."""
    x, y = _epochs(rows), _column(rows, key)
    there = np.isfinite(y)
    if not there.any():
        return False
    few = there.sum() <= 12
    style = _DASHES[dash % len(_DASHES)]
    axes.plot(x[there], y[there], color=colour, ls=style, marker="o" if few else None, ms=3.5, label=name)
    return True


def _contrasts(rows: Rows) -> bool:
    """Whether the method has an InfoNCE, so that its loss is in nats and blind guessing has a value."""
    return "info_nce" in loss_terms(rows)


def _loss_axes(axes: Any, title: str, unit: str = "nats") -> None:
    axes.set_title(title)
    axes.set_ylabel(unit)
    axes.grid(axis="y")
    low, high = axes.get_ylim()
    axes.set_ylim(max(0.0, low), high + 0.04 * (high - low))
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)


def _knn_axes(axes: Any, rows: Rows, chance: float | None) -> None:
    axes.set_title("live kNN within the train part")
    if not _line(axes, rows, "knn_1", PALETTE[0], "kNN, k = 1", 0):
        axes.text(0.5, 0.5, "not measured in this run", transform=axes.transAxes, ha="center", color=QUIET)
    else:
        last = [(row["epoch"], row["knn_1"]) for row in rows if row.get("knn_1") is not None][-1]
        axes.annotate(f"{last[1]:.1f} %", last, (-2, 7), textcoords="offset points", ha="right", color=PALETTE[0])
    _finish_knn(axes, chance)


def _finish_knn(axes: Any, chance: float | None) -> None:
    percent_axis(axes.yaxis)
    if chance is not None:
        axes.axhline(chance, color=QUIET, lw=1.2, ls="--", label=f"chance, {chance:.1f} %")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.2), ncols=2)


@styled
def compare(runs: Mapping[str, Rows], title: str = "", *, chance: float | None = None,
            synthetic: bool = False) -> Figure:  # fmt: skip
    """Several runs over epochs: InfoNCE on the left, live kNN on the right; one colour and dash for each run.

    InfoNCE of runs with queues of different size is not comparable; each run's own "learned nothing" line is dotted
    in its colour, so the distance below it is. A run whose method has no InfoNCE is on the right alone.

    Args:
        runs: name -> rows of `run.metrics()`.
        title: above.
        chance: accuracy of guessing in %.
        synthetic: say so in the title.

    Raises:
        InputError: no run, or a run without a row.
    """
    if not runs:
        raise InputError("There is no run to compare: give name -> rows of `run.metrics()`.")
    names = {name: label(name, 28) for name in runs}
    figure = new_figure(3.6 + 0.16 * -(-len(runs) // 4), titled(title, synthetic))
    losses, nearest = figure.subplots(1, 2)
    for i, (name, rows) in enumerate(runs.items()):
        _check_rows(rows, f"Run {names[name]!r}")
        colour = class_colour(i)
        _line(losses, rows, "info_nce", colour, names[name], i)
        _floor(losses, rows, color=colour, lw=1, ls=":")
        _line(nearest, rows, "knn_1", colour, names[name], i)
        if not _contrasts(rows):
            losses.plot([], [], color=colour, ls=_DASHES[i % len(_DASHES)], label=names[name])
    losses.plot([], [], color=QUIET, lw=1, ls=":", label="learned nothing: ln(1+K)")
    entries = losses.get_legend_handles_labels()
    _loss_axes(losses, "InfoNCE")
    nearest.set_title("live kNN (k = 1) within the train part")
    if chance is not None:
        nearest.text(1, chance + 1.5, "chance", transform=nearest.get_yaxis_transform(), ha="right", color=QUIET)
    _finish_knn(nearest, chance)
    for axes in (losses, nearest):
        _epoch_axis(axes, max(_epochs(rows).max() for rows in runs.values()))
        axes.get_legend() and axes.get_legend().remove()
    figure.legend(*entries, loc="outside lower center", ncols=4, labelcolor=INK)
    return figure
