"""One look for every picture: colours of classes and limbs, fonts, and a Figure that a notebook shows crisply.

Text in a picture often comes from a file. It is never read as mathematics or markup: `styled` turns mathtext off
and `label` makes any string one short printable line.
"""

import functools
import io
import re
import warnings
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, ParamSpec, TypeVar

import matplotlib
import matplotlib.figure
import numpy as np
from matplotlib import font_manager
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from hiclr.errors import InputError
from hiclr.skeleton import Side

__all__ = [
    "INK",
    "LIMBS",
    "MARKERS",
    "PALETTE",
    "QUIET",
    "WIDTH",
    "Figure",
    "Limb",
    "check_labels",
    "class_colour",
    "class_colours",
    "class_marker",
    "label",
    "new_figure",
    "numbers",
    "pale",
    "percent_axis",
    "styled",
    "titled",
]

WIDTH = 9.5  # inches: a full notebook cell
_SCREEN = 96  # CSS pixels to the inch
_DPI = 144  # 1.5 picture pixels to the CSS pixel: sharp on common screens, small in the file

INK, QUIET, RULE = "#222222", "#6b6b6b", "#d9d9d9"

# Seven colours after Okabe and Ito (2008), the rest found by search: in OKLab no two of the first ten come nearer than
# 0.076, no two of the twenty nearer than 0.055, also with the colours seen by a protanope or deuteranope (Machado
# et al., 2009; black to white is 1). Tableau's ten, matplotlib's default, come as near as 0.007.
PALETTE = (
    "#0072b2", "#e69f00", "#009e73", "#c8401f", "#cc79a7", "#56b4e9", "#5b2a86", "#4ce3a0", "#69391c", "#885677",
    "#7b7dea", "#97b27d", "#8a185c", "#bcc4d8", "#b28324", "#3f7932", "#c9cb6b", "#374cb0", "#668084", "#f385d1",
)  # fmt: skip
MARKERS = ("o", "^", "s", "D", "v", "P", "X")  # seven, by ten classes each: with 20 colours, 140 looks


class Limb(NamedTuple):
    """How the bones of one side are drawn."""

    colour: str
    width: float  # points


# Light, medium and dark: told apart in grey too.
LIMBS: dict[Side, Limb] = {
    "left": Limb("#eb9b0b", 2.2),
    "right": Limb("#1670b8", 2.2),
    "middle": Limb("#2b2b2b", 2.6),
}


def class_colour(index: int) -> str:
    """The colour of a class, "#rrggbb": the same in every figure and widget, and not bound to the other classes."""
    return PALETTE[index % len(PALETTE)]


def class_marker(index: int) -> str:
    """The marker of a class: another one for every ten classes, so that equal or near colours differ in shape."""
    return MARKERS[index // 10 % len(MARKERS)]


def class_colours(count: int) -> list[str]:
    """Colours of classes 0..count-1, for widgets."""
    return [class_colour(index) for index in range(count)]


def pale(colour: str, share: float = 0.38) -> str:
    """The colour mixed with white, solid: `share` is what is left of it."""
    parts = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#" + "".join(f"{round(255 + (part - 255) * share):02x}" for part in parts)


def label(text: object, limit: int = 32) -> str:
    """Any text as one printable line of at most `limit` characters, shortened in its middle.

    Line breaks, tabs, control and direction characters become spaces; `$`, `<` and the like stay what they are.
    """
    line = " ".join("".join(sign if sign.isprintable() else " " for sign in str(text)).split())
    if len(line) <= limit:
        return line
    head = (limit - 1) * 2 // 3
    return f"{line[:head]}…{line[len(line) - (limit - 1 - head) :]}"


def titled(title: str, synthetic: bool = False, limit: int = 110) -> str:
    """A title as one line, with "(synthetic)" where the clips were generated and the title does not say it."""
    line = label(title, limit)
    return f"{line} (synthetic)".strip() if synthetic and not re.search(r"\bsynthetic\b", line) else line


def numbers(values: Any) -> NDArray[np.float64]:
    """A tensor on any device, an array or a list as float64."""
    return np.asarray(values.detach().cpu() if isinstance(values, Tensor) else values, dtype=np.float64)


@functools.cache
def _fonts() -> list[str]:
    """DejaVu Sans, then what this machine has for other scripts: class names may be in any."""
    installed = {font.name for font in font_manager.fontManager.ttflist}
    others = ("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "WenQuanYi Zen Hei", "Microsoft YaHei",
              "PingFang SC", "Noto Sans Arabic", "Noto Sans Devanagari", "Arial Unicode MS", "Noto Emoji")  # fmt: skip
    return ["DejaVu Sans", *(name for name in others if name in installed)]


def _settings() -> dict[str, Any]:
    return {
        "text.parse_math": False,
        "text.usetex": False,
        "text.color": INK,
        "font.family": _fonts(),
        "font.size": 9,
        "axes.titlesize": 10,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "axes.labelsize": 9,
        "axes.labelcolor": QUIET,
        "axes.edgecolor": "#a6a6a6",
        "axes.linewidth": 0.8,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.axisbelow": True,
        "axes.facecolor": "white",
        "axes.unicode_minus": True,
        "figure.facecolor": "white",
        "figure.dpi": _DPI,
        "figure.titlesize": 11,
        "figure.titleweight": "bold",
        "grid.color": "#ececec",
        "grid.linewidth": 0.8,
        "xtick.labelsize": 8.5,
        "ytick.labelsize": 8.5,
        "xtick.color": "#a6a6a6",
        "ytick.color": "#a6a6a6",
        "xtick.labelcolor": INK,
        "ytick.labelcolor": INK,
        "legend.frameon": False,
        "legend.fontsize": 8.5,
        "lines.linewidth": 1.8,
        "lines.solid_capstyle": "round",
        "savefig.facecolor": "white",
        "savefig.bbox": None,
        "svg.hashsalt": "hiclr",
    }


class Figure(matplotlib.figure.Figure):
    """A matplotlib figure that shows itself in a notebook and is known to no figure manager.

    Nothing to close, no `show`, no `%matplotlib`; `savefig` as usual.
    """

    def png(self) -> bytes:
        """The picture as PNG, on white."""
        out = io.BytesIO()
        with matplotlib.rc_context(_settings()), warnings.catch_warnings():
            # A name in a script that no installed font has is drawn as boxes: no reason to fill the notebook.
            warnings.filterwarnings("ignore", message="Glyph .* missing from")
            self.savefig(out, format="png")
        small = io.BytesIO()
        # 256 colours are plenty for lines on white, and a third of the bytes in the notebook. Chosen to cover all
        # colours: the usual median cut gives up those of small dots, and a class would change its colour.
        picture = Image.open(out).convert("RGB")
        picture = picture.quantize(256, Image.Quantize.MAXCOVERAGE, kmeans=1, dither=Image.Dither.NONE)
        picture.save(small, "png", optimize=True)
        return small.getvalue()

    def _repr_png_(self) -> tuple[bytes, dict[str, int]]:
        return self.png(), {"width": round(self.get_figwidth() * _SCREEN)}


P = ParamSpec("P")
R = TypeVar("R")


def styled(function: Callable[P, R]) -> Callable[P, R]:
    """Run a figure function under the project's settings; the caller's own settings are untouched."""

    @functools.wraps(function)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        with matplotlib.rc_context(_settings()):
            return function(*args, **kwargs)

    return run


def new_figure(height: float, title: str = "", width: float = WIDTH) -> Figure:
    """An empty figure, `height` by `width` inches, with room made for all text."""
    figure = Figure(figsize=(width, height), layout="constrained")
    if title:
        figure.suptitle(title, x=0.005, ha="left")
    return figure


def percent_axis(axis: Any, top: float = 100.0) -> None:
    """Values 0..top % on a matplotlib axis, with a quiet grid."""
    setter = axis.axes.set_xlim if axis.axis_name == "x" else axis.axes.set_ylim
    setter(0, top)
    axis.set_major_formatter(lambda value, _: f"{value:g} %")
    axis.grid(True)


def check_labels(labels: NDArray[np.int64], classes: Sequence[str]) -> None:
    """Refuse labels that are no indices into classes.

    Raises:
        InputError: naming the first such label.
    """
    outside = labels[(labels < 0) | (labels >= len(classes))]
    if len(outside):
        raise InputError(
            f"labels must be indices 0..{len(classes) - 1} into the {len(classes)} classes; one is {int(outside[0])}."
        )
