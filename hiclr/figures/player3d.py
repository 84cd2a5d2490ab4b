"""A clip in three dimensions, to turn and to play."""

import html
from collections.abc import Iterator
from typing import Any

import numpy as np

from hiclr.figures.poses import Bools, Floats, check_clip, in_place, pick_frames, presence, view_angle
from hiclr.figures.style import INK, LIMBS, QUIET, titled
from hiclr.skeleton import Layout, Side

__all__ = ["player_3d"]


_ZOOM = 1.75  # fills the height of the output; with an orthographic camera the size of the box is the zoom


def player_3d(
    clip: Any, layout: Layout, title: str = "", *, frames: int = 24, fps: float = 12.0, synthetic: bool = False
) -> Any:
    """One clip in 3D, to turn with the mouse and to play.

    Plotly keeps every frame in the notebook file, so at most `frames` of the clip are taken, evenly, to the
    millimetre. The walk is taken out, as in `skeletons.strip`. The three axes have one fixed scale: nothing jumps and
    nothing is stretched.

    Args:
        clip: (3, T, V, M) metres, y up.
        layout: the V joints.
        title: above; shown as text whatever it holds.
        frames: frames kept.
        fps: frames played per second.
        synthetic: say so in the title.

    Returns:
        A plotly Figure. Put `skeletons.strip` of the same clip beside it, for readers without a live notebook.

    Raises:
        InputError: the clip has another shape than the layout says, or is not finite.
        ImportError: plotly is not installed.
    """
    try:
        import plotly.graph_objects as go
    except ImportError as error:
        raise ImportError('The 3D player needs plotly. Install it with: pip install "hiclr[notebooks]"') from error
    x = check_clip(clip, layout)
    shown = pick_frames(presence(x), frames)
    x, present = x[:, shown], presence(x)[shown]
    angle = np.radians(view_angle(x, layout, None))
    x = in_place(x, present, layout.root)
    space = np.round(np.stack([x[0], -x[2], x[1]]), 3)  # plotly's third axis points up; left stays left
    parts = [(int(m), side) for m in np.flatnonzero(present.any(axis=0)) for side in LIMBS if side in layout.sides]
    names = [str(t) for t in shown]
    poses = [list(_limbs(space[:, i], present[i], layout, parts)) for i in range(len(shown))]
    looks = [_look(person, side) for person, side in parts]
    figure = go.Figure(
        data=[{**look, **points} for look, points in zip(looks, poses[0], strict=True)],
        frames=[{"name": name, "data": pose} for name, pose in zip(names, poses, strict=True)],
    )
    figure.update_layout(
        title={"text": html.escape(titled(title, synthetic)), "x": 0.01, "font": {"size": 15}},
        scene=_scene(space, present, angle),
        template="none",
        font={"family": "sans-serif", "size": 12, "color": INK},
        height=460,
        margin={"l": 0, "r": 8, "t": 40, "b": 26},
        legend={"x": 0.01, "y": 0.95, "bgcolor": "rgba(255,255,255,0.6)"},
        paper_bgcolor="white",
        updatemenus=[_buttons(fps)],
        sliders=[_slider(names)],
    )
    return figure


def _limbs(pose: Floats, present: Bools, layout: Layout, parts: list[tuple[int, Side]]) -> Iterator[dict[str, Any]]:
    """For each person and side the bones as one broken line: x, y and z; empty for an absent person."""
    for person, side in parts:
        bones = [bone for bone in layout.bones if layout.sides[bone[0]] == side] if present[person] else []
        points = pose[..., person]
        yield {
            "type": "scatter3d",
            **{
                axis: [value for bone in bones for value in (*points[i, list(bone)].tolist(), None)]
                for i, axis in enumerate("xyz")
            },
        }


def _look(person: int, side: Side) -> dict[str, Any]:
    limb = LIMBS[side]
    return {
        "mode": "lines+markers",
        "name": side if person == 0 else f"{side}, person {person + 1}",
        "line": {"color": limb.colour, "width": 7 if person == 0 else 4},
        "marker": {"color": limb.colour, "size": 3 if person == 0 else 2},
        "opacity": 1.0 if person == 0 else 0.6,
        "hoverinfo": "skip",
        "connectgaps": False,
    }


def _scene(space: Floats, present: Bools, angle: float) -> dict[str, Any]:
    """Fixed ranges that hold every shown frame, in one scale, seen from `angle` (radians about the vertical)."""
    points = space.transpose(1, 3, 2, 0)[present].reshape(-1, 3)
    points = points if len(points) else np.array([[-0.5, -0.5, 0.0], [0.5, 0.5, 1.8]])
    low, high = points.min(axis=0) - 0.1, points.max(axis=0) + 0.1
    sides = np.maximum(high - low, 0.35 * (high - low).max())
    middle = (high + low) / 2
    quiet = {"showticklabels": False, "title": {"text": ""}, "showspikes": False, "zeroline": False,
             "gridcolor": "#e6e6e6", "showbackground": False}  # fmt: skip
    ranges = {
        f"{axis}axis": {**quiet, "range": [round(float(middle[i] + sign * sides[i] / 2), 3) for sign in (-1, 1)]}
        for i, axis in enumerate("xyz")
    }
    ratio = _ZOOM * sides / sides.max()
    return {
        **ranges,
        "domain": {"x": [0, 1], "y": [0.17, 1]},
        "aspectmode": "manual",  # the sides in proportion to their ranges: a metre is a metre in every direction
        "aspectratio": {axis: round(float(ratio[i]), 6) for i, axis in enumerate("xyz")},
        "camera": {
            "eye": {"x": -2 * np.sin(angle), "y": -2 * np.cos(angle), "z": 0.5},
            "projection": {"type": "orthographic"},
        },
        "dragmode": "turntable",
    }


def _animate(milliseconds: float, target: Any) -> list[Any]:
    return [
        target,
        {
            "frame": {"duration": milliseconds, "redraw": True},
            "transition": {"duration": 0},
            "fromcurrent": True,
            "mode": "immediate",
        },
    ]


def _buttons(fps: float) -> dict[str, Any]:
    return {
        "type": "buttons",
        "direction": "left",
        "x": 0.01, "y": 0.03, "xanchor": "left", "yanchor": "bottom", "showactive": False,
        "buttons": [
            {"label": "▶ play", "method": "animate", "args": _animate(1000 / fps, None)},
            {"label": "❚❚ pause", "method": "animate", "args": _animate(0, [None])},
        ],
    }  # fmt: skip


def _slider(names: list[str]) -> dict[str, Any]:
    return {
        "x": 0.22, "y": 0.0, "len": 0.76, "xanchor": "left", "yanchor": "bottom",
        "pad": {"t": 0, "b": 0},
        "currentvalue": {"prefix": "frame ", "xanchor": "right", "font": {"color": QUIET}},
        "steps": [{"label": name, "method": "animate", "args": _animate(0, [name])} for name in names],
        "tickcolor": QUIET,
    }  # fmt: skip
