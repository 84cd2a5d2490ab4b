"""A layout explained: its joints by name."""

from typing import Any

import numpy as np
from matplotlib.lines import Line2D

from hiclr.errors import InputError
from hiclr.figures.poses import Floats, bare, draw_pose, front, project
from hiclr.figures.style import INK, LIMBS, PALETTE, QUIET, Figure, label, new_figure, numbers, styled, titled
from hiclr.skeleton import Layout

__all__ = ["layout_figure", "standing_pose"]

# Where a standing person has its joints, in metres: (outwards, up, forward). The first word found in a name counts.
_STANDING = {
    "hand_tip": (0.78, 0.96, 0.02), "thumb": (0.67, 0.97, 0.08), "toe": (0.17, 0.0, 0.16), "foot": (0.16, 0.02, 0.12),
    "ankle": (0.14, 0.09, 0.0), "lowerleg": (0.13, 0.48, 0.02), "knee": (0.13, 0.48, 0.02),
    "upperleg": (0.11, 0.88, 0.0), "upperarm": (0.19, 1.42, 0.0), "lowerarm": (0.41, 1.25, 0.0),
    "forearm": (0.41, 1.25, 0.0), "elbow": (0.41, 1.25, 0.0), "wrist": (0.59, 1.1, 0.02), "hand": (0.67, 1.04, 0.03),
    "shoulder": (0.19, 1.4, 0.0), "head": (0.0, 1.7, 0.02), "neck": (0.0, 1.52, 0.0), "chest": (0.0, 1.27, 0.0),
    "hip": (0.1, 0.88, 0.0), "spine_mid": (0.0, 1.14, 0.0), "spine_base": (0.0, 0.93, 0.0), "spine": (0.0, 1.1, 0.0),
    "pelvis": (0.0, 0.93, 0.0), "thorax": (0.0, 1.36, 0.0), "nose": (0.0, 1.64, 0.12), "eye": (0.035, 1.68, 0.1),
    "ear": (0.08, 1.66, 0.02),
}  # fmt: skip
_SPACING = 0.062  # between two names, in heights of the body
_MIDDLE = {"shoulder": (0.0, 1.4, 0.0), "hip": (0.0, 0.93, 0.0)}


def standing_pose(layout: Layout) -> Floats:
    """(3, V) metres: a drawn standing person who faces +z, from the joints' names. A name that says nothing lies
    a little below its parent. For explaining a layout, not for measuring."""
    pose = np.zeros((3, layout.num_joints))
    order = [layout.root]
    for joint in order:
        order += [child for child, parent in layout.bones if parent == joint]
    for joint in order:
        name, side = layout.joints[joint].lower(), layout.sides[joint]
        word = next((word for word in _STANDING if word in name), None)
        if word is None:
            parent = layout.parents[joint]
            pose[:, joint] = pose[:, parent] + (0, -0.12, 0.05) if parent != joint else (0.0, 0.93, 0.0)
            continue
        out, up, forward = _MIDDLE.get(word, _STANDING[word]) if side == "middle" else _STANDING[word]
        pose[:, joint] = {"left": out, "right": -out, "middle": 0.0}[side], up, forward
    return pose


@styled
def layout_figure(layout: Layout, pose: Any | None = None, title: str | None = None) -> Figure:
    """A layout explained: every joint with its number and name, left and right in their colours, the centre ringed.

    Args:
        layout: the joints.
        pose: (3, V) metres, y up, the mean pose of a set for example; a drawn standing person when left out.
        title: the layout's name when left out.

    Raises:
        InputError: the pose has another shape.
    """
    points = standing_pose(layout) if pose is None else numbers(pose)
    if points.shape != (3, layout.num_joints):
        raise InputError(f"A pose of {layout.name!r} must have shape (3, {layout.num_joints}), not {points.shape}.")
    clip = points[:, None, :, None]
    points = project(points, front(clip, layout))
    points[0] -= points[0, layout.root]
    columns = _label_columns(points, layout)
    tall = max(float(np.ptp(points[1])), float(np.ptp(points[0])) / 1.15) or 1.0  # names stand outside of the hands
    most = max(len(column) for column in columns.values())
    high = max(float(np.ptp(points[1])), 0.5 * tall, (most + 1) * _SPACING * tall)
    title = f"{layout.name}: {layout.num_joints} joint{'s' * (layout.num_joints != 1)}" if title is None else title
    figure = new_figure(0.9 + 4.0 * high / tall, titled(title), 7.6)
    axes = figure.add_subplot()
    draw_pose(axes, points, layout, (0.0, 0.0), 1.3, 1.0, np.zeros(layout.num_joints, dtype=bool))
    for joint, marker, size in ((layout.centre, "o", 15), (layout.root, "s", 10)):
        axes.plot(*points[:2, joint], marker, ms=size, mfc="none", mec=PALETTE[3], mew=1.6, ls="none")
    bare(axes)
    axes.set(xticks=[], yticks=[], xlim=(-0.98 * tall, 0.98 * tall))
    below = (high - float(np.ptp(points[1]))) / 2
    axes.set_ylim(points[1].min() - below - 0.06 * tall, points[1].max() + below + 0.08 * tall)
    for side, column in columns.items():
        _draw_names(axes, points, layout, column, side * 0.62 * tall, tall)
    entries = [
        Line2D([], [], ls="none", marker=marker, ms=8, mfc="none", mec=PALETTE[3], mew=1.6, label=text)
        for text, marker in (("centre", "o"), ("root", "s"))
    ]
    sides = [Line2D([], [], color=limb.colour, lw=2.5, label=s) for s, limb in LIMBS.items() if s in layout.sides]
    figure.legend(handles=[*sides, *entries], loc="outside lower center", ncols=5, labelcolor=QUIET)
    return figure


def _label_columns(points: Floats, layout: Layout) -> dict[int, list[int]]:
    """Joints named on the picture's left (-1) and right (+1): where they lie, the middle ones on the emptier side."""
    columns: dict[int, list[int]] = {-1: [], 1: []}
    middles = [v for v, side in enumerate(layout.sides) if side == "middle"]
    for joint, side in enumerate(layout.sides):
        if side != "middle":
            columns[1 if side == "left" else -1].append(joint)
    for joint in sorted(middles, key=lambda v: -points[1, v]):
        columns[1 if len(columns[1]) <= len(columns[-1]) else -1].append(joint)
    return {side: sorted(column, key=lambda v: -points[1, v]) for side, column in columns.items()}


def _draw_names(axes: Any, points: Floats, layout: Layout, column: list[int], x: float, tall: float) -> None:
    """Names in a column, each led to its joint by a thin line; spread so that none overlaps another."""
    if not column:
        return
    spacing = _SPACING * tall
    places = points[1, column].copy()
    for i in range(1, len(places)):  # push down
        places[i] = min(places[i], places[i - 1] - spacing)
    short = points[1].min() - places[-1]
    if short > 0:  # ran below the feet: lift the column, then make room upwards
        places[-1] += short
        for i in range(len(places) - 2, -1, -1):
            places[i] = max(places[i], places[i + 1] + spacing)
    for joint, y in zip(column, places, strict=True):
        colour = LIMBS[layout.sides[joint]].colour
        axes.plot([points[0, joint], 0.94 * x, x], [points[1, joint], y, y], color="#b5b5b5", lw=0.7, zorder=0.5)
        axes.annotate(f"{joint}  {label(layout.joints[joint], 20)}", (x, y), (6 if x > 0 else -6, 0), va="center",
                      textcoords="offset points", ha="left" if x > 0 else "right", fontsize=8.5, color=INK)  # fmt: skip
        axes.plot(x, y, "o", ms=3.5, color=colour)
