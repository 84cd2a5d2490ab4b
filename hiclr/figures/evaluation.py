"""What the numbers say: results beside their floors, the confusion matrix, accuracy of each class."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.lines import Line2D
from matplotlib.patches import Rectangle
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.evaluation import interval, most_confused
from hiclr.evaluation.floors import BESIDE, RAW
from hiclr.evaluation.names import RANDOM_ENCODER, RAW_DISTANCES, figure_name
from hiclr.figures.style import (
    INK,
    PALETTE,
    QUIET,
    Figure,
    check_labels,
    class_colours,
    label,
    new_figure,
    pale,
    percent_axis,
    styled,
    titled,
)  # fmt: skip

__all__ = ["confusion", "per_class", "reliability", "result_bars"]

Ids = NDArray[np.int64]

_BLUES = LinearSegmentedColormap.from_list("share", ["#ffffff", "#cfe3f3", "#5aa3d6", "#0b5394", "#062c52"])
_READABLE = 26  # classes up to which a cell has room for its count


def _check_pairs(y_true: Any, y_pred: Any, classes: Sequence[str]) -> tuple[Ids, Ids]:
    true, predicted = np.asarray(y_true, dtype=np.int64), np.asarray(y_pred, dtype=np.int64)
    if true.shape != predicted.shape or true.ndim != 1 or not len(true):
        raise InputError(
            f"y_true and y_pred must both have shape (N,) with N of at least 1; they have {true.shape} and "
            f"{predicted.shape}."
        )
    check_labels(true, classes)
    check_labels(predicted, classes)
    return true, predicted


def _accuracy(true: Ids, predicted: Ids) -> str:
    right, count = int((true == predicted).sum()), len(true)
    percent = 100 * right / count
    low, high = interval(percent, count)
    return f"{percent:.1f} % of {count:,} {'clip' if count == 1 else 'clips'} ({low:.1f} to {high:.1f})"


@styled
def confusion(
    y_true: Any, y_pred: Any, classes: Sequence[str], title: str = "Confusion", *, synthetic: bool = False
) -> Figure:
    """Which class is taken for which: rows are the true class, shade is the share of the row, numbers are clips.

    The three largest confusions are framed and told in words below.

    Args:
        y_true: (N,) indices into classes.
        y_pred: (N,) indices into classes.
        classes: the names; a class without a clip keeps its empty row.
        title: above; accuracy and N are added.
        synthetic: say so in the title.

    Raises:
        InputError: no clip, lengths that differ, or a label outside the classes.
    """
    true, predicted = _check_pairs(y_true, y_pred, classes)
    count = len(classes)
    table = np.zeros((count, count), dtype=np.int64)
    np.add.at(table, (true, predicted), 1)
    share = table / np.maximum(table.sum(axis=1, keepdims=True), 1)
    side = float(np.clip(0.44 * count, 3.4, 6.6))
    figure = new_figure(side + 2.1, f"{titled(title, synthetic, 60)}\n{_accuracy(true, predicted)}", side + 2.7)
    axes = figure.add_subplot()
    image = axes.imshow(share, cmap=_BLUES, vmin=0, vmax=1)
    _class_ticks(axes, classes)
    if count <= _READABLE:
        _write_counts(axes, table, share)
    worst = most_confused(table)
    for row, column in worst:
        axes.add_patch(Rectangle((column - 0.5, row - 0.5), 1, 1, fill=False, ec=PALETTE[3], lw=1.8))
    bar = figure.colorbar(image, ax=axes, shrink=0.5, aspect=18, pad=0.02, ticks=[0, 0.5, 1])
    bar.ax.set_yticklabels(["0 %", "50 %", "100 %"])
    bar.outline.set_visible(False)
    bar.set_label("share of the true class")
    figure.supxlabel("\n".join(_in_words(table, worst, classes)), fontsize=8.5, color=INK, x=0.01, ha="left")
    return figure


def _class_ticks(axes: Any, classes: Sequence[str]) -> None:
    count = len(classes)
    size = 8.5 if count <= 12 else 8 if count <= _READABLE else 5 if count <= 64 else 3
    names = [label(name, 24) for name in classes]
    slant = {"rotation": 90} if count > _READABLE else {"rotation": 45, "ha": "right", "rotation_mode": "anchor"}
    axes.set_xticks(range(count), names, fontsize=size, **slant)
    axes.set_yticks(range(count), names, fontsize=size)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)
    if count <= _READABLE:
        axes.set_xticks(np.arange(count - 1) + 0.5, minor=True)
        axes.set_yticks(np.arange(count - 1) + 0.5, minor=True)
        axes.grid(which="minor", color="#eeeeee", lw=0.7)
        axes.tick_params(which="minor", length=0)


def _write_counts(axes: Any, table: Ids, share: NDArray[np.float64]) -> None:
    size = 9 if len(table) <= 12 else 7.5
    for row, column in np.argwhere(table):
        dark = share[row, column] > 0.45
        axes.text(column, row, f"{table[row, column]}", ha="center", va="center", fontsize=size,
                  color="white" if dark else INK)  # fmt: skip


def _in_words(table: Ids, worst: list[tuple[int, int]], classes: Sequence[str]) -> list[str]:
    if not worst:
        return ["Nothing is confused."]
    lines = []
    for row, column in worst:
        of = int(table[row].sum())
        lines.append(
            f"{label(classes[row])} taken for {label(classes[column])}: {table[row, column]} of {of} "
            f"({100 * table[row, column] / of:.0f} %)"
        )
    return ["Most confused", *lines]


@styled
def per_class(
    y_true: Any, y_pred: Any, classes: Sequence[str], title: str = "Accuracy by class", *, synthetic: bool = False
) -> Figure:
    """Accuracy of each class in its colour, with the 95 % interval of its test clips and their number.

    Args:
        y_true: (N,) indices into classes.
        y_pred: (N,) indices into classes.
        classes: the names; a class without a clip keeps its empty row.
        title: above; accuracy and N are added.
        synthetic: say so in the title.

    Raises:
        InputError: as `confusion`.
    """
    true, predicted = _check_pairs(y_true, y_pred, classes)
    count = len(classes)
    clips = np.bincount(true, minlength=count)
    right = np.bincount(true[true == predicted], minlength=count)
    percent = 100 * right / np.maximum(clips, 1)
    figure = new_figure(0.24 * count + 1.1, f"{titled(title, synthetic, 60)}   {_accuracy(true, predicted)}")
    axes = figure.add_subplot()
    rows = np.arange(count)
    axes.barh(rows, percent, color=class_colours(count), height=0.68)
    for c in range(count):
        if clips[c]:
            _whisker(axes, percent[c], int(clips[c]), c)
        text = f"{right[c]} of {clips[c]}" if clips[c] else "no test clip"
        axes.text(101, c, text, va="center", color=QUIET, fontsize=8.5, clip_on=False)
    mean = 100 * float((true == predicted).mean())
    axes.axvline(mean, color=INK, lw=1, ls="--", zorder=0.9)
    axes.set_yticks(rows, [label(name, 28) for name in classes])
    axes.set_ylim(count - 0.4, -0.6)
    axes.tick_params(axis="y", length=0)
    percent_axis(axes.xaxis)
    axes.set_xlabel("right, with 95 % interval; dashed: all clips")
    return figure


def _whisker(axes: Any, percent: float, count: int, y: float) -> None:
    """The 95 % interval of an accuracy; it is not symmetric near 0 and 100."""
    low, high = interval(percent, count)
    for colour, width in (("white", 3.0), (INK, 1.2)):  # the white rim shows it on dark bars
        axes.plot([low, high], [y, y], color=colour, lw=width, alpha=0.9, solid_capstyle="butt", zorder=3)


_DIAGRAMS = (
    ("reliability", "ece", "all training clips"),
    ("reliability_before", "ece_before", "held-out clips kept from the probe"),
    ("reliability_after", "ece_after", "the same, temperature fitted"),
)


@styled
def reliability(found: Mapping[str, Any], title: str = "Calibration", *, synthetic: bool = False) -> Figure:
    """How often the linear probe is right at each confidence: bars on the diagonal are honest, below it too sure.

    Shade of a bar: clips in it; the red step is the distance to the diagonal, whose mean over clips is the error.

    Args:
        found: what `evaluate` has as "calibration".
        title: above.
        synthetic: say so in the title.

    Raises:
        InputError: there is no diagram.
    """
    shown = [entry for entry in _DIAGRAMS if entry[0] in found]
    if not shown:
        raise InputError('There is no reliability diagram: give what `evaluate` with "calibration" has as that.')
    figure = new_figure(3.9, titled(title, synthetic), 3.3 * len(shown))
    for axes, (name, error, words) in zip(np.atleast_1d(figure.subplots(1, len(shown))), shown, strict=True):
        _diagram(axes, found[name])
        axes.set_title(f"{words}\nECE {found[error]:.1f} %", fontsize=9)
    return figure


def _diagram(axes: Any, table: Mapping[str, Any]) -> None:
    low, high, accuracy, confidence = (
        100 * np.asarray(table[key], dtype=float) for key in ("low", "high", "accuracy", "confidence")
    )
    count = np.asarray(table["count"], dtype=float)
    shades = [pale(PALETTE[0], 0.25 + 0.75 * share) for share in count / count.max()]
    axes.bar(low, accuracy, width=high - low, align="edge", color=shades, edgecolor="white", lw=0.6)
    axes.plot([0, 100], [0, 100], color=INK, lw=1, ls=(0, (3, 2)))
    axes.vlines(
        confidence, np.minimum(accuracy, confidence), np.maximum(accuracy, confidence), color=PALETTE[3], lw=2.2
    )
    for x, y, clips in zip(confidence, np.maximum(accuracy, confidence), count, strict=True):
        axes.text(min(x, 97), min(y + 2, 104), f"{clips:.0f}", ha="center", fontsize=6.5, color=QUIET)
    for axis in (axes.xaxis, axes.yaxis):
        percent_axis(axis, 110 if axis.axis_name == "y" else 100)
    axes.set_yticks(range(0, 101, 20))
    axes.set_xlabel("confidence (numbers: clips of the bin)")
    axes.set_ylabel("right")


_GROUPS = (("knn", "1"), ("knn", "20"), ("linear", "top1"), ("linear", "top5"))  # (protocol, measure)
_FILL = {"pretrained": PALETTE[0], RANDOM_ENCODER: "#a9b4bd", RAW_DISTANCES: "#d5c7a3"}


@styled
def result_bars(results: Mapping[str, Any], title: str | None = None) -> Figure:
    """The pretrained encoder beside its floors, each with the 95 % interval of the test clips; chance is a line.

    Args:
        results: of `hiclr.evaluation.evaluate`, or results.json of a run; protocols that it lacks are left out.
        title: run, protocol, seed and N when left out.

    Raises:
        InputError: no protocol that has bars, or no number of test clips.
    """
    groups = [(protocol, key) for protocol, key in _GROUPS if key in results.get(protocol, {})]
    test = int(results.get("data", {}).get("test", 0))
    if not groups or test < 1:
        raise InputError('The results hold neither "knn" nor "linear" with "data": {"test": n}. Run evaluate first.')
    bars, ticks = _layout_bars(results, groups)
    figure = new_figure(0.27 * bars[-1][0] + 1.75, _result_title(results, title))
    axes = figure.add_subplot()
    for y, name, value in bars:
        axes.barh(y, value, color=_FILL[name], height=0.82)
        _whisker(axes, value, test, y)
        end = interval(value, test)[1]
        axes.text(end + 1, y, f"{value:.1f}", va="center", fontweight="bold" if name == "pretrained" else "normal")
    axes.set_yticks([y for y, *_ in bars], [name for _, name, _ in bars])
    axes.set_ylim(bars[-1][0] + 0.7, -1.5)
    axes.tick_params(axis="y", length=0)
    for y, name in ticks:
        axes.text(0.0, y, name, fontweight="bold", va="center", fontsize=9)
    percent_axis(axes.xaxis, 108)
    axes.set_xticks(range(0, 101, 20))
    single = bars[:-1] if groups[-1] == ("linear", "top5") else bars
    _chance_line(figure, axes, results, single)
    axes.set_xlabel(f"accuracy, with the 95 % interval of {test:,} test clips (one seed)")
    return figure


def _layout_bars(
    results: Mapping[str, Any], groups: Sequence[tuple[str, str]]
) -> tuple[list[tuple[float, str, float]], list[tuple[float, str]]]:
    """Bars as (place, name, %), and the groups' titles as (place, text), from the top down."""
    bars: list[tuple[float, str, float]] = []
    titles = []
    y = 0.0
    floors = results.get("baseline", {})
    for group in groups:
        titles.append((y - 0.85, figure_name(*group)))
        bars.append((y, "pretrained", float(results[group[0]][group[1]])))
        y += 1
        for floor, beside in BESIDE.items():
            if beside == group and floors.get(floor) is not None:
                bars.append((y, RAW_DISTANCES if floor == RAW else RANDOM_ENCODER, float(floors[floor])))
                y += 1
        y += 1.1
    return bars, titles


def _result_title(results: Mapping[str, Any], title: str | None) -> str:
    if title is None:
        parts = [results.get("run"), results.get("source"), results.get("protocol")]
        title = " · ".join(label(part, 36) for part in parts if part) or "Results"
        title += f" · seed {results['seed']}" if "seed" in results else ""
    return titled(title, bool(results.get("synthetic")))


def _chance_line(figure: Figure, axes: Any, results: Mapping[str, Any], bars: list[tuple[float, str, float]]) -> None:
    """Uniform guessing, across the bars that are one guess each: not top-5, not the groups' titles."""
    chance = results.get("chance", {}).get("uniform")
    if chance is None and results.get("data", {}).get("classes"):
        chance = 100 / results["data"]["classes"]
    if chance is None:
        return
    for y, *_ in bars:
        axes.plot([chance, chance], [y - 0.5, y + 0.5], color=INK, lw=1.2, ls=(0, (3, 2)), zorder=3)
    line = Line2D([], [], color=INK, lw=1.2, ls=(0, (3, 2)), label=f"chance, {chance:.3g} %")
    figure.legend(handles=[line], loc="outside lower right", labelcolor=QUIET)
