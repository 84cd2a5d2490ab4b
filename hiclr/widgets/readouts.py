"""Numbers beside the picture: how far each view has left its clip, and what a run's encoder makes of it."""

import html
import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from hiclr.evaluation import bone_change, displacement, spectrum_change
from hiclr.evaluation.branches import Seen
from hiclr.skeleton import Layout
from hiclr.widgets.bending import View

__all__ = ["Readout", "measure", "plain_table", "table"]


class Readout(NamedTuple):
    """The numbers of one view.

    Args:
        bones: mean change of a bone's length, % of the mean length.
        joints: mean way of a joint from where it was, cm.
        speeds: share of the movement that went to other frequencies, %.
        hidden: share of the joints that is masked, %.
        seen: what the encoder makes of it, where there is a run.
    """

    bones: float
    joints: float
    speeds: float
    hidden: float
    seen: Seen | None = None


def measure(views: Sequence[View], layout: Layout) -> list[Readout]:
    """The numbers of every view after the first, of the pose before joints are masked."""
    original = views[0].pose[None].expand(len(views) - 1, *views[0].pose.shape)
    poses = torch.stack([view.pose for view in views[1:]])
    columns = (bone_change(poses, original, layout), displacement(poses, original), spectrum_change(poses, original))
    shares = [_share(view) for view in views[1:]]
    rows = zip(*(100 * column for column in columns), shares, strict=True)
    return [Readout(float(bones), float(joints), float(speeds), hidden) for bones, joints, speeds, hidden in rows]


def _share(view: View) -> float:
    there = (view.pose != 0).any(dim=0).any(dim=1, keepdim=True)  # (T, 1, M)
    joints: Tensor = there.expand(view.hidden.shape).sum()
    return float(100 * view.hidden.sum() / joints.clamp(min=1))


_HEAD = (
    ("bones", "%", "mean change of a bone's length, in % of the mean bone"),
    ("joints", "cm", "mean way of a joint from where it was"),
    ("speeds", "%", "share of the movement that went to other frequencies"),
    ("hidden", "%", "share of the joints that is masked"),
)
_SEEN = (
    ("cosine", "", "between the features of the view and of the clean clip"),
    ("drift", "nats", "KL of the similarity distribution from the clean clip's, over its key and the queue"),
    ("nearest", "", "class of the nearest other clip, by features"),
)


def _cells(readout: Readout, classes: Sequence[str], own: int) -> list[str]:
    numbers = [f"{value:.1f}" for value in readout[:4]]
    if readout.seen is None:
        return numbers
    kept = readout.seen.label == own
    mark = "✓" if kept else "✗"
    return [
        *numbers,
        f"{readout.seen.cosine:.3f}",
        "–" if math.isnan(readout.seen.drift) else f"{readout.seen.drift:.2f}",  # a method without keys has none
        f"{mark} {classes[readout.seen.label]}",
    ]


def table(names: Sequence[str], rows: Sequence[Readout], classes: Sequence[str], own: int, note: str) -> str:
    """The readouts as HTML. Names are text, never markup.

    Args:
        names: of the views.
        rows: their numbers.
        classes: the name of each class.
        own: the clip's class.
        note: a line below.
    """
    head = _HEAD + (_SEEN if rows[0].seen else ())
    cell = "padding: 1px 6px; text-align: right"  # words may wrap: in a narrow cell the table must not be wider
    titles = "".join(
        f"<th scope='col' title='{html.escape(what, quote=True)}' style='{cell}; font-weight: 600; cursor: help'>{name}"
        f"{f' <small>{unit}</small>' if unit else ''}</th>"
        for name, unit, what in head
    )
    body = ""
    for name, row in zip(names, rows, strict=True):
        values = "".join(f"<td style='{cell}'>{html.escape(text)}</td>" for text in _cells(row, classes, own))
        body += f"<tr><th scope='row' style='{cell}; text-align: left'>{html.escape(name)}</th>{values}</tr>"
    return (
        "<div data-readouts='1' style='overflow-x: auto; line-height: 1.5'>"
        "<table style='border-collapse: collapse; font-variant-numeric: tabular-nums'>"
        f"<thead><tr><th scope='col' style='{cell}; text-align: left'>view</th>{titles}</tr></thead>"
        f"<tbody>{body}</tbody></table><small>{html.escape(note)}</small></div>"
    )


def plain_table(names: Sequence[str], rows: Sequence[Readout], classes: Sequence[str], own: int) -> str:
    """The readouts as aligned text."""
    head = ["view", *(f"{name} {unit}".strip() for name, unit, _ in _HEAD + (_SEEN if rows[0].seen else ()))]
    lines = [head, *([name, *_cells(row, classes, own)] for name, row in zip(names, rows, strict=True))]
    widths = [max(len(line[i]) for line in lines) for i in range(len(head))]
    return "\n".join(
        "  ".join(
            text.ljust(w) if i == 0 else text.rjust(w) for i, (text, w) in enumerate(zip(line, widths, strict=True))
        )
        for line in lines
    )
