"""From a clip to lines on paper: the projection, the frames to show, and one drawn pose."""

from typing import Any

import numpy as np
from matplotlib.collections import LineCollection
from matplotlib.lines import Line2D
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.figures.style import LIMBS, QUIET, Figure, numbers, pale
from hiclr.skeleton import Layout

__all__ = [
    "Bools",
    "Floats",
    "Shares",
    "bare",
    "check_clip",
    "draw_frame",
    "draw_pose",
    "extent",
    "front",
    "in_place",
    "limb_legend",
    "line_size",
    "pick_frames",
    "presence",
    "project",
    "side_by_side",
    "view_angle",
]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Shares = NDArray[np.bool_] | NDArray[np.float64]
"""How much of each joint is masked, 0 to 1; True is all of it."""

_THREE_QUARTER = 30.0  # degrees off the front: shows arms that reach forward, and still left beside right


def check_clip(clip: Any, layout: Layout) -> Floats:
    """(3, T, V, M) float64 of a clip.

    Raises:
        InputError: another shape, other joints than the layout's, or numbers that are not finite.
    """
    x = numbers(clip)
    if x.ndim != 4 or x.shape[0] != 3 or x.shape[2] != layout.num_joints:
        raise InputError(
            f"A clip of layout {layout.name!r} must have shape (3, T, {layout.num_joints}, M): coordinates, frames, "
            f"joints, persons; it has shape {x.shape}."
        )
    if not np.isfinite(x).all():
        raise InputError("The clip holds numbers that are not finite, so it has no picture. `hiclr doctor` finds them.")
    return x


def presence(x: Floats) -> Bools:
    """(3, T, V, M) -> (T, M): the person has a joint that is not zero."""
    found: Bools = (x != 0).any(axis=(0, 2))
    return found


def front(x: Floats, layout: Layout) -> float:
    """Degrees about y that turn the first person, in its first frame, to face the viewer; 0 without shoulders.

    The front is where up × (left to right shoulder) points, in a right-handed frame.
    """
    frames = np.flatnonzero(presence(x)[:, 0])
    if layout.shoulders is None or not len(frames):
        return 0.0
    left, right = layout.shoulders
    across = x[:, frames[0], right, 0] - x[:, frames[0], left, 0]
    return float(np.degrees(np.arctan2(-across[2], -across[0]))) if across[[0, 2]].any() else 0.0


def project(x: Floats, degrees: float) -> Floats:
    """Turn (3, ...) about y by `degrees`; then axis 0 is right, up, towards the viewer. At 0 nothing changes."""
    angle = np.radians(degrees)
    cos, sin = np.cos(angle), np.sin(angle)
    return np.stack([cos * x[0] + sin * x[2], x[1], cos * x[2] - sin * x[0]])


def side_by_side(x: Floats, layout: Layout) -> float | None:
    """Degrees about y that put the second person to the right of the first, in the first frame that has both."""
    present = presence(x)
    frames = np.flatnonzero(present[:, :2].all(axis=1))
    if x.shape[3] < 2 or not len(frames):
        return None
    between = x[:, frames[0], layout.root, 1] - x[:, frames[0], layout.root, 0]
    return float(np.degrees(np.arctan2(between[2], between[0])))


def view_angle(x: Floats, layout: Layout, view: float | None) -> float:
    """The asked angle; else a three-quarter view of the first person, or of two beside each other: degrees about y."""
    if view is not None:
        return view
    beside = side_by_side(x, layout)
    return (front(x, layout) if beside is None else beside) + _THREE_QUARTER


def pick_frames(present: Bools, count: int) -> NDArray[np.int64]:
    """At most `count` frames, evenly over those in which anyone is present (over all if nobody ever is)."""
    frames = np.flatnonzero(present.any(axis=1))
    frames = frames if len(frames) else np.arange(len(present))
    chosen: NDArray[np.int64] = frames[np.linspace(0, len(frames) - 1, min(count, len(frames))).round().astype(int)]
    return chosen


def in_place(x: Floats, present: Bools, root: int) -> Floats:
    """Take the walk out of the picture: per frame the present persons' roots lie, on average, on the vertical axis."""
    weight = present / np.maximum(present.sum(axis=1, keepdims=True), 1)
    x = x.copy()
    for axis in (0, 2):
        x[axis] -= (x[axis, :, root] * weight).sum(axis=1)[:, None, None]
    return x


def extent(x: Floats, present: Bools) -> tuple[float, float, float, float]:
    """(left, right, low, high) of the present persons in (3, T, V, M); a standing person's size if there are none."""
    points = x[:2].transpose(1, 3, 2, 0)[present].reshape(-1, 2)
    if not len(points):
        return -0.4, 0.4, 0.0, 1.7
    (left, low), (right, high) = points.min(axis=0), points.max(axis=0)
    return float(left), float(right), float(low), float(high)


def _heads(layout: Layout) -> list[int]:
    """The joints drawn as a head: a disc on a nose would cover it and the eyes, in the layouts that have them."""
    names = [name.lower().split(".")[-1] for name in layout.joints]
    drawn = ("head",) if any("eye" in name for name in names) else ("head", "nose")
    return [v for v, name in enumerate(names) if name in drawn]


def draw_pose(
    axes: Any, pose: Floats, layout: Layout, at: tuple[float, float], size: float, alpha: float, hidden: Shares
) -> None:
    """One person: a bone for each edge of the layout, far ones first; hidden joints hollow, their bones dotted.

    A joint that is hidden in part is filled the paler, the more of it is hidden.

    Args:
        axes: where.
        pose: (3, V) projected.
        layout: the V joints.
        at: added to right and up.
        size: factor on line widths and dots.
        alpha: 1 for the first person, less for others and for earlier poses.
        hidden: (V,) joints that are masked: True, or the share of each that is.
    """
    shares = np.asarray(hidden, dtype=np.float64)
    hidden = shares > 0
    points = pose[:2].T + at
    bones = sorted(layout.bones, key=lambda bone: pose[2, list(bone)].sum())
    looks = [LIMBS[layout.sides[child]] for child, _ in bones]
    dotted = [bool(hidden[child] or hidden[parent]) for child, parent in bones]
    axes.add_collection(
        LineCollection(
            [points[[parent, child]] for child, parent in bones],
            colors=[look.colour for look in looks],
            linewidths=[look.width * size * (0.5 if thin else 1) for look, thin in zip(looks, dotted, strict=True)],
            linestyles=[(0, (1, 1.5)) if thin else "solid" for thin in dotted],
            capstyle="round",
            alpha=alpha,
            gid="bones",
        ),
        autolim=False,
    )
    colours = np.array([LIMBS[side].colour for side in layout.sides])
    sizes = np.full(layout.num_joints, 7.0)
    sizes[_heads(layout)] = 60.0
    faces = np.array([pale(colour, 1 - share) for colour, share in zip(colours, shares, strict=True)])
    for chosen, larger in ((~hidden, 1.0), (hidden, 1.6)):
        axes.scatter(
            *points[chosen].T,
            s=sizes[chosen] * size**2 * larger,
            c=faces[chosen],
            edgecolors=colours[chosen],
            linewidths=0.9 * size,
            alpha=alpha,
            zorder=2.5,
        )


def draw_frame(axes: Any, pose: Floats, present: Bools, layout: Layout, at: tuple[float, float], size: float,
               hidden: Shares | None = None, alpha: float = 1.0) -> None:  # fmt: skip
    """The present (M,) persons of one frame (3, V, M), with hidden joints (V, M); the first person on top."""
    hidden = np.zeros(pose.shape[1:], dtype=bool) if hidden is None else hidden
    for person in np.flatnonzero(present)[::-1]:
        own = alpha * (1.0 if person == 0 else 0.45)
        draw_pose(axes, pose[..., person], layout, at, size, own, hidden[:, person])


def limb_legend(figure: Figure, layout: Layout, persons: bool = False, masked: str = "", earlier: bool = False) -> None:
    """What the colours mean, in one quiet row below; `masked`: what a hollow joint is."""
    sides = [side for side in LIMBS if side in layout.sides]
    entries = [Line2D([], [], color=LIMBS[s].colour, lw=2.5, label=s) for s in sides]
    if persons:
        entries.append(Line2D([], [], color=LIMBS["middle"].colour, lw=2.5, alpha=0.4, label="second person"))
    if masked:
        entries.append(Line2D([], [], color=QUIET, lw=1, ls=":", marker="o", mfc="white", label=masked))
    if earlier:
        entries.append(Line2D([], [], color=LIMBS["middle"].colour, lw=2.5, alpha=0.25, label="paler: earlier"))
    figure.legend(handles=entries, loc="outside lower right", ncols=len(entries), labelcolor=QUIET)


def bare(axes: Any) -> None:
    axes.set_aspect("equal")
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)


def line_size(inches_per_metre: float) -> float:
    """Line widths that suit a pose drawn at this scale."""
    return float(np.clip(inches_per_metre / 1.3, 0.42, 1.0))
