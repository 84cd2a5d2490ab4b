"""How accuracy falls under damage: a curve with its band for each corruption, and its one number."""

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from hiclr.errors import InputError
from hiclr.figures.style import INK, PALETTE, QUIET, Figure, label, new_figure, pale, percent_axis, styled, titled

__all__ = ["robustness"]

_INTERPOLATED = "-interpolated"
_COLUMNS = 3


@styled
def robustness(results: Mapping[str, Mapping[str, Any]], title: str = "", *, synthetic: bool = False) -> Figure:
    """A panel for each corruption: accuracy over severity, from the clean clips on the left.

    The line is the mean over draws (and runs, where pooled), the band reaches from the lowest to the highest. What is
    interpolated is dashed in the panel of what is not. The number beside a line's name is its drop: clean minus
    damaged, mean over severities, in points.

    Args:
        results: name -> answer of `hiclr.evaluation.measure_robustness`, of one set; a colour for each.
        title: above.
        synthetic: say so in the title.

    Raises:
        InputError: nothing to draw.
    """
    if not results or not any(result["curves"] for result in results.values()):
        raise InputError("There is no curve to draw: give name -> answer of `hiclr.evaluation.measure_robustness`.")
    names = list(dict.fromkeys(name for result in results.values() for name in result["curves"]))
    panels = [name for name in names if name.removesuffix(_INTERPOLATED) not in names or not _is_twin(name)]
    rows = -(-len(panels) // _COLUMNS)
    figure = new_figure(0.6 + 2.45 * rows, titled(title, synthetic))
    grid = figure.subplots(rows, _COLUMNS, squeeze=False)
    for axes, name in zip(grid.flat, panels, strict=False):
        _panel(axes, name, results)
    for axes in list(grid.flat)[len(panels) :]:
        axes.set_axis_off()
    for row in grid:
        row[0].set_ylabel("accuracy")
    chance = max(float(result["chance"]) for result in results.values())
    figure.legend(handles=_key(results, chance), loc="outside lower left", ncols=4, labelcolor=INK)
    return figure


def _is_twin(name: str) -> bool:
    return name.endswith(_INTERPOLATED)


def _panel(axes: Any, name: str, results: Mapping[str, Mapping[str, Any]]) -> None:
    """One corruption, and beside it the same one interpolated."""
    told = []
    for colour, result in zip(PALETTE, results.values(), strict=False):
        for twin in (name, f"{name}{_INTERPOLATED}"):
            if twin in result["curves"]:
                _curve(axes, result["curves"][twin], colour, dashed=_is_twin(twin))
                told.append((_change(result["curves"][twin]["drop"]), colour, _is_twin(twin)))
        axes.axhline(result["chance"], color=QUIET, lw=1, ls=":", zorder=0)
    first = next(result["curves"][name] for result in results.values() if name in result["curves"])
    axes.set_title(label(first["title"], 40), fontsize=9)
    percent_axis(axes.yaxis)
    axes.set_yticks([0, 50, 100])
    floor = max(result["chance"] for result in results.values()) / 100
    for i, (text, colour, dashed) in enumerate(told):
        axes.text(0.03, floor + 0.04 + 0.1 * (len(told) - 1 - i), f"{text}{' interpolated' if dashed else ''}",
                  transform=axes.transAxes, color=colour, fontsize=8, weight="bold")  # fmt: skip


def _change(drop: float) -> str:
    """A drop of 3 is a change of -3."""
    return "±0" if abs(drop) < 0.05 else f"{-drop:+.1f}".replace("-", "−")


def _curve(axes: Any, curve: Mapping[str, Any], colour: str, dashed: bool) -> None:
    """Severities evenly apart, clean at 0; kinds that are no scale are dots."""
    x = np.arange(len(curve["severities"]) + 1)
    clean = curve["clean"]
    mean, low, high = ([clean, *curve[key]] for key in ("mean", "low", "high"))
    if curve["kinds"]:
        axes.errorbar(x, mean, [np.subtract(mean, low), np.subtract(high, mean)], fmt="o", ms=4.5, color=colour, lw=1.2)
    else:
        axes.fill_between(x, low, high, color=pale(colour, 0.3), lw=0, zorder=1)
        axes.plot(x, mean, color=colour, ls=(0, (4, 1.6)) if dashed else "-", marker="o", ms=3, zorder=2,
                  clip_on=False)  # fmt: skip
    words = ["clean", *(label(text, 18) for text in _short(curve))]
    slant = {"rotation": 30, "ha": "right", "rotation_mode": "anchor"} if curve["kinds"] else {}
    axes.set_xticks(x, words, fontsize=7.5, **slant)
    axes.set_xlabel(label(curve["unit"], 40), fontsize=8)
    axes.margins(x=0.06)


def _short(curve: Mapping[str, Any]) -> list[str]:
    """Severities without their unit, which stands below the axis."""
    unit = f" {curve['unit']}"
    return [text.removesuffix(unit) if curve["unit"] else text for text in curve["labels"]]


def _key(results: Mapping[str, Mapping[str, Any]], chance: float) -> list[Line2D]:
    lines = [
        Line2D([], [], color=colour, marker="o", ms=3, label=label(name, 40))
        for colour, name in zip(PALETTE, results, strict=False)
    ]
    return [
        *lines,
        Line2D([], [], color=QUIET, lw=1, ls=":", label=f"chance, {chance:.3g} %"),
        Line2D([], [], lw=0, label="numbers: mean change over severities, in points"),
    ]
