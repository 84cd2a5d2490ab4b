"""Pictures of poses: a clip as a strip, a set at a glance, the ladder of views.

Every flat picture is an orthographic projection: rotation about the vertical, then x to the right and y up, in metres,
never stretched. Left limbs are light orange, right limbs blue, the middle black.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.transforms import ScaledTranslation
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.errors import InputError
from hiclr.figures.anatomy import layout_figure, standing_pose
from hiclr.figures.player3d import player_3d
from hiclr.figures.poses import (
    Bools,
    Floats,
    Shares,
    bare,
    check_clip,
    draw_frame,
    extent,
    front,
    in_place,
    limb_legend,
    line_size,
    pick_frames,
    presence,
    project,
    view_angle,
)
from hiclr.figures.style import RULE, WIDTH, Figure, class_colour, label, new_figure, numbers, styled, titled
from hiclr.skeleton import Layout

__all__ = ["contact_sheet", "front", "ladder", "layout_figure", "player_3d", "project", "standing_pose", "strip"]

_GAP = 0.07  # between neighbouring poses, in heights of a pose
_FADING = 0.45  # of a pose beneath the next one in time


@styled
def strip(
    clip: Any,
    layout: Layout,
    frames: int = 8,
    title: str = "",
    *,
    view: float | None = None,
    synthetic: bool = False,
) -> Figure:
    """One clip as a row of poses over time, in one scale, on one ground line.

    Each pose stands in its own place: the walk is taken out, height is not. A second person is paler.

    Args:
        clip: (3, T, V, M) metres, y up; tensor or array.
        layout: the V joints.
        frames: how many poses, evenly over the frames in which anyone is present.
        title: above.
        view: degrees about y from which to look, 0 being x to the right; when left out, 30 off the front of the
            first person, or off the line from the first person to the second.
        synthetic: say so in the title.

    Raises:
        InputError: the clip has another shape than the layout says, or is not finite.
    """
    x = check_clip(clip, layout)
    x = project(x, view_angle(x, layout, view))
    present = presence(x)
    shown = pick_frames(present, frames)
    x, present = x[:, shown], present[shown]
    x = in_place(x, present, layout.root)
    left, right, low, high = extent(x, present)
    tall = max(high - low, 0.3 * (right - left), 1e-6)
    height = 1.1 * tall
    step = max(right - left, 0.35 * tall) + _GAP * tall
    inches, step = _fit(WIDTH - 0.15, height, step, len(shown), 1.2, 3.0)
    places = [i * step for i in range(len(shown))]
    figure = new_figure(inches + 0.72 + 0.24 * bool(title), titled(title, synthetic))
    axes = figure.add_subplot()
    axes.axhline(low - 0.02 * tall, color=RULE, lw=1.2, zorder=0)
    for i, place in enumerate(places):
        at = (place - (left + right) / 2, 0.0)
        draw_frame(axes, x[:, i], present[i], layout, at, line_size(inches / height))
    bare(axes)
    axes.set_xlim(-step / 2, (len(shown) - 0.5) * step)
    axes.set_ylim(low - 0.045 * tall, low + 1.055 * tall)
    axes.set_yticks([])
    _frame_ticks(axes, places, shown)
    limb_legend(figure, layout, persons=bool(present[:, 1:].any()))
    return figure


def _fit(width: float, height: float, step: float, count: int, least: float, most: float) -> tuple[float, float]:
    """(inches high, step between poses) so that `count` poses of this height fill `width` inches in true proportion,
    and the picture stays between `least` and `most` inches high: then poses stand further apart, or smaller."""
    inches = float(np.clip(width * height / (step * count), least, most))
    return inches, max(step, width * height / inches / count)


@styled
def contact_sheet(
    clips: SkeletonSet,
    indices: Sequence[int] | NDArray[Any] | None = None,
    *,
    poses: int = 3,
    columns: int | None = None,
    title: str | None = None,
    view: float | None = None,
) -> Figure:
    """A set at a glance: a few poses of each clip over time, in one scale, with its class.

    Poses stand side by side. A clip too wide for that, of two people far apart for example, has its poses in one
    place, the earlier ones paler.

    Args:
        clips: the set.
        indices: which clips; when left out, the first of each class.
        poses: poses per clip, evenly over time; fewer beside each other where they would run into each other.
        columns: clips in a row; chosen from their number when left out.
        title: the set's source when left out.
        view: as for `strip`; when left out, chosen for each clip.

    Raises:
        InputError: no clip, or one that is not finite.
    """
    chosen = np.asarray(_one_per_class(clips) if indices is None else indices, dtype=np.int64)
    if not len(chosen):
        raise InputError("A contact sheet needs at least one clip; none was given.")
    cells = [_cell_poses(clip, clips.layout, poses, view) for clip in clips.clips(chosen)]
    extents = np.array([extent(x, present) for x, present in cells])
    tall = max(float((extents[:, 3] - extents[:, 2]).max()), 1e-6)
    wide = extents[:, 1] - extents[:, 0]
    step = max(min(wide.max(), 1.3 * float(np.quantile(wide, 0.9))), 0.25 * tall) + 0.02 * tall
    height = 1.09 * tall
    columns = min(columns or _columns(len(chosen)), len(chosen))
    rows = -(-len(chosen) // columns)
    inches, step = _fit((WIDTH - 0.3) / columns, height, step, poses, 0.8, 1.8)
    figure = new_figure(
        rows * (inches + 0.34) + 0.62, titled(clips.source if title is None else title, clips.synthetic)
    )
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(chosen) :]:
        axes.set_axis_off()
    earlier = False
    for axes, index, (x, present) in zip(grid.flat, chosen, cells, strict=False):
        earlier |= _draw_cell(axes, x, present, clips.layout, step * poses, line_size(inches / height))
        bare(axes)
        axes.axhline(-0.02 * tall, color=RULE, lw=1, zorder=0)
        axes.set(xticks=[], yticks=[], xlim=(0, step * poses), ylim=(-0.05 * tall, height - 0.05 * tall))
        _class_title(axes, int(clips.y[index]), clips.classes[int(clips.y[index])])
    limb_legend(figure, clips.layout, any(present[:, 1:].any() for _, present in cells), earlier=earlier)
    return figure


def _frame_ticks(axes: Any, places: Sequence[float], frames: NDArray[np.int64]) -> None:
    axes.set_xticks(places, [f"{t}" for t in frames])
    axes.set_xlabel("frame")


def _draw_cell(axes: Any, x: Floats, present: Bools, layout: Layout, width: float, size: float) -> bool:
    """The poses of one clip within `width` metres; True where only one fits, so that they lie over each other."""
    left, right, low, _ = extent(x, present)
    poses = x.shape[1]
    fitting = int(np.clip(width // max(1.02 * (right - left), 1e-6), 1, poses))
    if fitting == 1 < poses:
        for i in range(poses):
            at = (width / 2 - (left + right) / 2, -low)
            draw_frame(axes, x[:, i], present[i], layout, at, size, alpha=_FADING ** (poses - 1 - i))
        return True
    for place, i in enumerate(np.linspace(0, poses - 1, fitting).round().astype(int)):
        at = ((place + 0.5) * width / fitting - (left + right) / 2, -low)
        draw_frame(axes, x[:, i], present[i], layout, at, size)
    return False


def _columns(count: int) -> int:
    """Cells in a row: the fewest empty cells at the end."""
    return 4 if count <= 8 else min((5, 4, 6), key=lambda columns: -count % columns)


def _one_per_class(clips: SkeletonSet) -> NDArray[np.int64]:
    return np.unique(clips.y, return_index=True)[1]


def _cell_poses(clip: Any, layout: Layout, poses: int, view: float | None) -> tuple[Floats, Bools]:
    x = check_clip(clip, layout)
    x = project(x, view_angle(x, layout, view))
    present = presence(x)
    frames = np.flatnonzero(present.any(axis=1))
    frames = frames if len(frames) else np.arange(len(present))
    inner = (np.arange(poses) + 0.5) / poses * len(frames)  # the middle of each part: not the rest before and after
    shown = frames[inner.astype(int)]
    return in_place(x[:, shown], present[shown], layout.root), present[shown]


def _class_title(axes: Any, index: int, name: str) -> None:
    """The class in words, with a dot of its colour."""
    axes.set_title(f"    {label(name, 24)}", fontsize=9, fontweight="normal", pad=3)
    axes.plot(0.018, 1.0, "o", color=class_colour(index), transform=_above(axes), clip_on=False, ms=7)


def _above(axes: Any) -> Any:
    return axes.transAxes + ScaledTranslation(0, 7 / 72, axes.figure.dpi_scale_trans)


@styled
def ladder(
    views: Mapping[str, Any],
    layout: Layout,
    frames: int = 8,
    title: str = "",
    *,
    view: float | None = None,
    hidden: Mapping[str, Any] | None = None,
    synthetic: bool = False,
) -> Figure:
    """The same clip as each view shows it to the encoder: a row for each view, a column for each frame, one scale.

    The viewer's angle is that of the first row in every row, so a rotation is seen as one. A joint that is zero in a
    view but not in the first row is masked: it is drawn hollow, between where it is before and after, or where the
    first row's bones put it if it is masked in all frames.

    Args:
        views: name -> (3, T, V, M) positions; the first is the original.
        layout: the V joints.
        frames: columns.
        title: above.
        view: as for `strip`.
        hidden: name -> (T, V, M), the share of each joint that is masked, where the views hold the joints as they
            were before; by default a joint is masked that is zero, as above.
        synthetic: say so in the title.

    Raises:
        InputError: no view, views of different shape, masks of another shape, or as `strip`.
    """
    if not views:
        raise InputError("The ladder needs at least one view: name -> clip (3, T, V, M).")
    clips = {name: check_clip(clip, layout) for name, clip in views.items()}
    if len({x.shape for x in clips.values()}) > 1:
        shapes = ", ".join(f"{name} {x.shape}" for name, x in clips.items())
        raise InputError(f"All views must have one shape; they have: {shapes}.")
    original = next(iter(clips.values()))
    degrees = view_angle(original, layout, view)
    shown = pick_frames(presence(original), frames)
    masks = {name: _share(mask, original, name) for name, mask in (hidden or {}).items()}
    rows = [_rung(x, original, layout, degrees, masks.get(name), shown) for name, x in clips.items()]
    return _draw_ladder([label(name, 14) for name in clips], rows, layout, shown, titled(title, synthetic))


def _share(mask: Any, clip: Floats, name: str) -> Floats:
    share = numbers(mask)
    if share.shape != clip.shape[1:]:
        raise InputError(f"hidden[{name!r}] must have shape (T, V, M), here {clip.shape[1:]}; it has {share.shape}.")
    return share


def _rung(
    x: Floats, original: Floats, layout: Layout, degrees: float, hidden: Floats | None, shown: NDArray[np.int64]
) -> tuple[Floats, Bools, Shares]:
    """Of the shown frames (projected view with masked joints put in place, (T, M) present, (T, V, M) masked)."""
    present = presence(x)
    if hidden is not None:
        masked: Shares = hidden
    else:
        masked = zero = (x == 0).all(axis=0) & (original != 0).any(axis=0) & present[:, None]
        x, zero = _between(x, zero, present)
        x = _fill(x, original, zero, layout)
    placed = in_place(project(x[:, shown], degrees), present[shown], layout.root)
    return placed, present[shown], masked[shown]


def _between(x: Floats, masked: Bools, present: Bools) -> tuple[Floats, Bools]:
    """Put joints that are masked in some frames where they are between their neighbours in time; what is left."""
    x, left = x.copy(), masked.copy()
    for joint, person in np.argwhere(masked.any(axis=0)):
        gone = masked[:, joint, person]
        known = np.flatnonzero(present[:, person] & ~gone)
        if len(known):
            for values in x[:, :, joint, person]:
                values[gone] = np.interp(np.flatnonzero(gone), known, values[known])
            left[:, joint, person] = False
    return x, left


def _fill(x: Floats, original: Floats, masked: Bools, layout: Layout) -> Floats:
    """Put masked joints where the original's bones lead from the nearest joint that is not masked."""
    x, waiting = x.copy(), masked.copy()
    edges = [*layout.bones, *((parent, child) for child, parent in layout.bones)]
    for _ in range(layout.num_joints):
        if not waiting.any():
            break
        known = ~waiting
        for joint, other in edges:
            take = waiting[:, joint] & known[:, other]
            bone = original[:, :, joint] - original[:, :, other]
            x[:, :, joint] = np.where(take, x[:, :, other] + bone, x[:, :, joint])
            waiting[:, joint] &= ~take
    return x


def _draw_ladder(
    names: list[str], rows: list[tuple[Floats, Bools, Shares]], layout: Layout, shown: NDArray[np.int64], title: str
) -> Figure:
    extents = np.array([extent(x, present) for x, present, _ in rows])
    left, right = extents[:, 0].min(), extents[:, 1].max()
    tops = extents[:, 3] - extents[:, 2]
    tall = max(float(tops.max()), 1e-6)
    rooms = np.maximum(tops, 0.3 * tall)  # a row that is flat, one coordinate masked, still has a name
    heights = rooms + 0.13 * tall
    floors = 0.05 * tall - np.cumsum(heights)
    most = 6.4 if len(rows) <= 4 else 1.6 * len(rows)
    step = right - left + _GAP * tall
    inches, step = _fit(WIDTH - 1.1, heights.sum() + 0.05 * tall, step, len(shown), 0.45 * len(rows), most)
    figure = new_figure(inches + 0.72 + 0.24 * bool(title), title)
    axes = figure.add_subplot()
    places = [i * step for i in range(len(shown))]
    for floor, (x, present, masked), box in zip(floors, rows, extents, strict=True):
        axes.axhline(floor - 0.025 * tall, color=RULE, lw=1.2, zorder=0)
        for i, place in enumerate(places):
            at = (place - (left + right) / 2, floor - box[2])
            draw_frame(axes, x[:, i], present[i], layout, at, line_size(inches / heights.sum()), masked[i])
    bare(axes)
    axes.set_xlim(-step / 2, (len(shown) - 0.5) * step)
    axes.set_ylim(floors[-1] - 0.05 * tall, 0.05 * tall)
    axes.set_yticks(floors + rooms / 2, names, fontweight="bold", fontsize=9)
    _frame_ticks(axes, places, shown)
    persons = any(present[:, 1:].any() for _, present, _ in rows)
    limb_legend(figure, layout, persons, masked=_masked_words([masked for *_, masked in rows]))
    return figure


def _masked_words(masks: Sequence[Shares]) -> str:
    """What a hollow joint is, for the legend; nothing where there is none."""
    shares = np.concatenate([np.asarray(mask, dtype=np.float64).ravel() for mask in masks])
    shares = shares[shares > 0]
    if not len(shares):
        return ""
    return "masked: zero for the encoder" if (shares == 1).all() else "masked in part: drawn at its own place"
