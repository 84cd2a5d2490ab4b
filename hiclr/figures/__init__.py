"""Pictures: each function takes arrays, layouts, sets or rows of metrics and returns a figure.

    from hiclr import figures
    figures.skeletons.strip(clip, layout)

Works without a screen and leaves no global state; a notebook shows what a cell's last line returns.
"""

try:
    import matplotlib  # noqa: F401
except ImportError as error:
    raise ImportError('Figures need matplotlib. Install it with: pip install "hiclr[notebooks]"') from error

from hiclr.figures import (
    ablation,
    curves,
    embeddings,
    evaluation,
    overview,
    robustness,
    skeletons,
    strength,
    style,
    through,
)
from hiclr.figures.style import Figure, class_colour, class_colours

__all__ = [
    "Figure",
    "ablation",
    "class_colour",
    "class_colours",
    "curves",
    "embeddings",
    "evaluation",
    "overview",
    "robustness",
    "skeletons",
    "strength",
    "style",
    "through",
]
