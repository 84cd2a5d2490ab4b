"""An ablation: every run a dot, the mean of each variant, and what the reference would have had with the same seed."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from hiclr.ablation import MEASURE_NAMES
from hiclr.errors import InputError
from hiclr.figures.style import INK, MARKERS, PALETTE, QUIET, Figure, label, new_figure, pale, styled, titled

__all__ = ["variants"]

_SEEDS_NAMED = 10
_OF_MEANS = "D"
_OF_SEEDS = tuple(marker for marker in MARKERS if marker != _OF_MEANS)


@styled
def variants(summary: Mapping[str, Any], measure: str = "linear", title: str | None = None) -> Figure:
    """Accuracy of each variant on the left, its difference to the reference on the right; the highest mean on top.

    A dot is a run, in the colour and shape of its seed; a line joins the runs of a seed. The diamond is the mean, the
    bar its 95 % interval over seeds. Where the bar on the right keeps clear of the zero line, and the table's test
    says so too, the difference is more than the luck of the seeds.

    Args:
        summary: of `hiclr.ablation.summarise`.
        measure: one of `MEASURE_NAMES`.
        title: the grid, the data and the measure when left out.

    Raises:
        InputError: an unknown measure, or no run yet.
    """
    if measure not in MEASURE_NAMES:
        raise InputError(f"There is no measure {measure!r}; there are: {', '.join(MEASURE_NAMES)}.")
    entries = [entry for entry in summary["measures"][measure] if entry["n"]]
    if not entries:
        raise InputError("No run is through yet: there is nothing to draw.")
    if title is None:
        title = f"{label(summary['grid'], 50)} · {label(summary['data']['source'], 30)} · {MEASURE_NAMES[measure]}"
    figure = new_figure(0.36 * len(entries) + 1.5, titled(title, bool(summary["data"]["synthetic"])))
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.15, 1))
    seeds = [str(seed) for seed in summary["seeds"]]
    _dots(left, [entry["values"] for entry in entries], seeds)
    _means(left, entries, (0, 100))
    values: dict[str, Mapping[str, float]] = {entry["variant"]: entry["values"] for entry in entries}
    reference = values.get(summary["reference"], {})
    differences = [{} if entry["difference"] is None else _differences(entry["values"], reference) for entry in entries]
    _dots(right, differences, seeds, joined=False)
    _means(right, [entry["difference"] for entry in entries])
    right.axvline(0, color=INK, lw=1, zorder=0.9)
    names = [label(entry["variant"], 38) for entry in entries]
    left.set_yticks(range(len(entries)), names)
    for text, entry in zip(left.get_yticklabels(), entries, strict=True):
        text.set_fontweight("bold" if entry["variant"] == summary["reference"] else "normal")
    left.set_ylim(len(entries) - 0.5, -0.5)
    for axes in (left, right):
        axes.tick_params(axis="y", length=0)
        axes.grid(True, axis="x")
    left.xaxis.set_major_formatter(lambda value, _: f"{value:g} %")
    right.xaxis.set_major_formatter(lambda value, _: f"{value:+g}" if value else "0")
    left.set_xlabel(f"accuracy on {summary['data']['test']:,} test clips")
    right.set_xlabel(f"points above or below {label(summary['reference'], 34)}, same seed")
    _legend(figure, seeds)
    return figure


def _differences(values: Mapping[str, float], reference: Mapping[str, float]) -> dict[str, float]:
    return {seed: value - reference[seed] for seed, value in values.items() if seed in reference}


def _dots(axes: Any, rows: Sequence[Mapping[str, float]], seeds: Sequence[str], joined: bool = True) -> None:
    """The runs of each variant; a seed is a little higher or lower in its row, so that equal values are both seen."""
    for number, seed in enumerate(seeds):
        shift = 0.36 * ((number + 0.5) / len(seeds) - 0.5)
        points = [(row[seed], y + shift) for y, row in enumerate(rows) if seed in row]
        if not points:
            continue
        x, y = zip(*points, strict=True)
        colour = _colour(number)
        if joined:
            axes.plot(x, y, color=pale(colour, 0.3), lw=0.9, zorder=1)
        axes.plot(x, y, ls="", marker=_marker(number), color=pale(colour, 0.75), ms=4.8, mec="white", mew=0.5, zorder=2)


def _means(axes: Any, entries: Sequence[Mapping[str, Any] | None], within: tuple[float, float] | None = None) -> None:
    """Means with their intervals, these no further than an accuracy can go."""
    for y, entry in enumerate(entries):
        if entry is None or entry["mean"] is None:
            continue
        if entry["low"] is not None:
            ends = np.clip((entry["low"], entry["high"]), *(within or (-np.inf, np.inf)))
            axes.plot(ends, [y, y], color=INK, lw=1.6, solid_capstyle="butt", zorder=3)
        axes.plot(entry["mean"], y, marker=_OF_MEANS, color=INK, ms=6, mec="white", mew=0.9, zorder=4)


def _colour(number: int) -> str:
    return PALETTE[number % len(PALETTE)]


def _marker(number: int) -> str:
    return _OF_SEEDS[number % len(_OF_SEEDS)]


def _legend(figure: Figure, seeds: Sequence[str]) -> None:
    lines = [
        Line2D([], [], marker=_OF_MEANS, color=INK, ms=6, lw=1.6, mec="white", label="mean, 95 % interval over seeds")
    ]
    for number, seed in enumerate(seeds[:_SEEDS_NAMED]):
        lines.append(
            Line2D([], [], ls="", marker=_marker(number), color=pale(_colour(number), 0.75), label=f"seed {seed}")
        )
    figure.legend(handles=lines, loc="outside lower center", ncols=min(len(lines), 6), labelcolor=QUIET)
