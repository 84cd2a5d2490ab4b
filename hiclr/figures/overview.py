"""A set at a glance in numbers: clips per class and subject, lengths, body sizes."""

from typing import Any, NamedTuple

import numpy as np
from matplotlib.patches import Patch
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.errors import InputError
from hiclr.figures.poses import Floats, front, presence, project
from hiclr.figures.style import (
    INK,
    LIMBS,
    PALETTE,
    QUIET,
    Figure,
    class_colours,
    label,
    new_figure,
    pale,
    styled,
    titled,
)

__all__ = ["BoneSize", "bone_lengths", "bone_sizes", "counts", "lengths", "mean_pose"]

_ROWS = 40  # classes in a column, readable
_COLUMNS = 4
_SAMPLED = 300  # clips read for body sizes: enough for a mean, quick on any set


def _title(clips: SkeletonSet, what: str, title: str | None) -> str:
    return titled(f"{clips.source}: {what}" if title is None else title, clips.synthetic)


def _test_part(clips: SkeletonSet) -> NDArray[np.bool_]:
    name = clips.protocol
    return np.zeros(len(clips), dtype=bool) if name is None else np.asarray(clips.protocols[name], dtype=bool)


@styled
def counts(clips: SkeletonSet, by: str = "subject", title: str | None = None) -> Figure:
    """Clips of each class, and of each subject: the train part solid, the test part pale.

    Up to 40 classes make one column; more make several, without the classes that have no clip. Beyond 160 the bars
    stand in the order of their height and have no names.

    Args:
        clips: the set.
        by: "subject", "camera" or "setup": the panel beside or below; left out where the set has no such ids.
        title: the set's source and size when left out.
    """
    test = _test_part(clips)
    shown = np.arange(clips.num_classes) if clips.num_classes <= _ROWS else np.unique(clips.y)
    what = _title(clips, f"{len(clips):,} clip{'s' * (len(clips) != 1)}", title)
    figure, columns, below = _count_panels(what, len(shown), by in clips.ids)
    _draw_classes(columns, clips, shown, test)
    if below is not None:
        _draw_ids(below, clips.ids[by], by, test)
    if test.any():
        parts = [
            Patch(color="#5b6b78", label="train"),
            Patch(color=pale("#5b6b78"), label=f"test ({clips.protocol})"),
        ]
        figure.legend(handles=parts, loc="outside lower right", ncols=2, labelcolor=QUIET)
    return figure


def _count_panels(title: str, classes: int, ids: bool) -> tuple[Figure, list[Any], Any]:
    """(figure, axes of the columns of classes, axes of the ids or None)."""
    columns = max(-(-classes // _ROWS), 1)
    if columns == 1:
        figure = new_figure(float(np.clip(0.21 * classes + 1.3, 3.0, 9.6)), title)
        panels = figure.subplots(1, 1 + ids, squeeze=False, width_ratios=[1, 1.1][: 1 + ids])[0]
        return figure, [panels[0]], panels[1] if ids else None
    columns = 1 if columns > _COLUMNS else columns
    high = 2.2 if columns == 1 else 0.165 * -(-classes // columns) + 0.4
    figure = new_figure(high + 2.3 * ids + 0.7, title)
    grid = figure.add_gridspec(1 + ids, columns, height_ratios=[high, 2.2][: 1 + ids])
    return (
        figure,
        [figure.add_subplot(grid[0, i]) for i in range(columns)],
        (figure.add_subplot(grid[1, :]) if ids else None),
    )


def _draw_classes(columns: list[Any], clips: SkeletonSet, shown: NDArray[Any], test: NDArray[np.bool_]) -> None:
    sizes = np.bincount(clips.y, minlength=clips.num_classes)
    colours = class_colours(clips.num_classes)
    left = clips.num_classes - len(shown)
    note = f"; {left} without a clip {'is' if left == 1 else 'are'} left out" if left else ""
    if len(shown) > _ROWS * _COLUMNS:
        order = shown[np.argsort(-sizes[shown], kind="stable")]
        _stacked(columns[0], clips.y, test, order, [colours[c] for c in order], horizontal=False)
        columns[0].set_xticks([])
        columns[0].set_title(f"clips per class, {len(shown)} classes from the largest to the smallest{note}")
        return
    rows = -(-len(shown) // len(columns))
    alone = len(columns) == 1
    for i, axes in enumerate(columns):
        part = shown[i * rows : (i + 1) * rows]
        _stacked(axes, clips.y, test, part, [colours[c] for c in part], horizontal=True)
        names = [label(clips.classes[c], 26 if alone else 66 // len(columns)) for c in part]
        axes.set_yticks(range(len(part)), names, fontsize=8.5 if alone else 7)
        axes.set_ylim(rows - 0.4, -0.6)
        axes.set_xlim(0, 1.05 * max(int(sizes.max(initial=0)), 1))
    columns[0].set_title(f"clips per class{note}")


def _draw_ids(axes: Any, ids: NDArray[Any], by: str, test: NDArray[np.bool_]) -> None:
    values = np.unique(ids)
    _stacked(axes, ids, test, values, ["#5b6b78"] * len(values), horizontal=False)
    axes.set_title(f"clips per {by}")
    axes.set_xlabel(f"{by} id")
    every = -(-len(values) // 20)
    axes.set_xticks(range(0, len(values), every), [str(value) for value in values[::every]])


def _stacked(axes: Any, ids: NDArray[Any], test: NDArray[np.bool_], values: NDArray[Any], colours: list[str],
             horizontal: bool) -> None:  # fmt: skip
    places = np.arange(len(values))
    train = np.array([int((ids[~test] == value).sum()) for value in values])
    tested = np.array([int((ids[test] == value).sum()) for value in values])
    bar, start = (axes.barh, "left") if horizontal else (axes.bar, "bottom")
    bar(places, train, 0.74, color=colours)
    bar(places, tested, 0.74, **{start: train}, color=[pale(colour) for colour in colours])
    setter = axes.set_xlim if horizontal else axes.set_ylim
    setter(0, 1.05 * max(int((train + tested).max(initial=0)), 1))
    axes.grid(axis="x" if horizontal else "y")
    axes.tick_params(axis="y" if horizontal else "x", length=0)


@styled
def lengths(clips: SkeletonSet, title: str | None = None) -> Figure:
    """How many frames the clips had in their files, and the T of the array that they are kept in.

    Raises:
        InputError: the set does not say how long its clips were.
    """
    if clips.length is None:
        raise InputError(f"{clips.source} holds no `length`, so the clips' lengths in their files are not known.")
    frames, size = np.asarray(clips.length), clips.x.shape[2]
    figure = new_figure(3.0, _title(clips, "frames per clip", title))
    axes = figure.add_subplot()
    edges = np.histogram_bin_edges(frames, bins=min(50, max(5, int(np.ptp(frames)) + 1)))
    axes.hist(frames, bins=edges.tolist(), color=PALETTE[5], edgecolor="white", linewidth=0.5)
    middle = float(np.median(frames))
    for place, text, dash in ((middle, f"median {middle:g}", "-"), (size, f"T = {size} in the array", "--")):
        axes.axvline(place, color=INK, lw=1.2, ls=dash, label=text)
    axes.set_xlabel("frames in the file")
    axes.set_ylabel("clips")
    axes.grid(axis="y")
    figure.legend(loc="outside lower right", ncols=2, labelcolor=QUIET)  # beside the bars: they may stand anywhere
    return figure


def _sample(clips: SkeletonSet) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, len(clips) - 1, min(len(clips), _SAMPLED)).round().astype(np.int64))


class BoneSize(NamedTuple):
    """The length of one bone in a set, in centimetres.

    Args:
        parent: the joint it starts from.
        child: the joint it leads to.
        mean: over frames, then over clips.
        between: standard deviation of the subjects' means (of the clips' means where no subjects are known).
        within: mean over clips of the standard deviation over frames.
    """

    parent: str
    child: str
    mean: float
    between: float
    within: float


class _Bones(NamedTuple):
    """Bone lengths of some clips in metres: means and standard deviations (clips, bones), and whose they are."""

    means: Floats
    spreads: Floats
    subjects: NDArray[np.int64]


def _measure(clips: SkeletonSet) -> _Bones:
    """Of up to 300 clips; those without anybody are passed over."""
    chosen = _sample(clips)
    children, parents = np.array(clips.layout.bones, dtype=np.int64).reshape(-1, 2).T
    found, means, spreads = [], [], []
    for index, clip in zip(chosen, clips.clips(chosen).numpy().astype(np.float64), strict=True):
        person = clip[..., 0][:, presence(clip)[:, 0]]  # (3, F, V)
        if person.shape[1]:
            size = np.linalg.norm(person[:, :, children] - person[:, :, parents], axis=0)
            found.append(index)
            means.append(size.mean(axis=0))
            spreads.append(size.std(axis=0))
    if not found:
        raise InputError(f"Nobody is present in the clips of {clips.source}, so no bone can be measured.")
    subjects = clips.ids["subject"][found] if "subject" in clips.ids else np.zeros(len(found), dtype=np.int64)
    return _Bones(np.array(means), np.array(spreads), subjects)


def bone_sizes(clips: SkeletonSet) -> list[BoneSize]:
    """The length of every bone, of the first person in up to 300 clips.

    Raises:
        InputError: nobody is present in any of the clips.
    """
    bones = _measure(clips)
    people = np.unique(bones.subjects)
    own = np.array([bones.means[bones.subjects == who].mean(axis=0) for who in people])
    between = own.std(axis=0) if len(people) > 1 else bones.means.std(axis=0)
    columns = zip(bones.means.mean(axis=0), between, bones.spreads.mean(axis=0), strict=True)
    names = [(clips.layout.joints[parent], clips.layout.joints[child]) for child, parent in clips.layout.bones]
    return [BoneSize(*ends, *(100 * float(v) for v in values)) for ends, values in zip(names, columns, strict=True)]


@styled
def bone_lengths(clips: SkeletonSet, title: str | None = None) -> Figure:
    """Length of every bone: a dot for each subject, the bar one standard deviation over frames within a clip.

    A bone of a real body keeps its length: a long bar is sensor noise, dots apart are people of different size. Of
    large sets, 300 clips are taken.

    Raises:
        InputError: nobody is present in any of the clips.
    """
    bones, layout = _measure(clips), clips.layout
    figure = new_figure(0.2 * len(layout.bones) + 1.3, _title(clips, "bone lengths", title), 7.6)
    axes = figure.add_subplot()
    for row, (child, _) in enumerate(layout.bones):
        colour = LIMBS[layout.sides[child]].colour
        mean, spread = 100 * bones.means[:, row].mean(), 100 * bones.spreads[:, row].mean()
        axes.plot([mean - spread, mean + spread], [row, row], color=colour, lw=5, alpha=0.35, solid_capstyle="butt")
        each = [100 * bones.means[bones.subjects == s, row].mean() for s in np.unique(bones.subjects)]
        axes.plot(each, [row] * len(each), "o", color=colour, ms=3.2, alpha=0.75, mew=0)
    names = [
        f"{label(layout.joints[parent], 18)} – {label(layout.joints[child], 18)}" for child, parent in layout.bones
    ]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(left=0)
    dot = "a subject's mean" if "subject" in clips.ids else "the mean"
    axes.set_xlabel(f"centimetres; dot: {dot}, bar: ± 1 sd over the frames of a clip")
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    return figure


def mean_pose(clips: SkeletonSet) -> Floats:
    """(3, V) metres: the mean first pose of up to 300 clips, each turned to face +z with its root at horizontal 0.

    For `skeletons.layout_figure`; a mean of poses is a little smaller than a body.

    Raises:
        InputError: nobody is present in any of the clips.
    """
    poses = []
    for clip in clips.clips(_sample(clips)).numpy().astype(np.float64):
        frames = np.flatnonzero(presence(clip)[:, 0])
        if len(frames):
            pose = project(clip[:, frames[0], :, 0], front(clip, clips.layout))
            poses.append(pose - pose[:, [clips.layout.root]] * [[1], [0], [1]])
    if not poses:
        raise InputError(f"Nobody is present in the clips of {clips.source}, so there is no mean pose.")
    mean: Floats = np.mean(poses, axis=0)
    return mean
