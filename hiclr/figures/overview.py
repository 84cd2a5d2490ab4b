"""A set at a glance in numbers: clips per class and subject, lengths, body sizes."""

from typing import Any

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

__all__ = ["bone_lengths", "counts", "lengths", "mean_pose"]

_SAMPLED = 300  # clips read for body sizes: enough for a mean, quick on any set


def _title(clips: SkeletonSet, what: str, title: str | None) -> str:
    return titled(f"{clips.source}: {what}" if title is None else title, clips.synthetic)


def _test_part(clips: SkeletonSet) -> NDArray[np.bool_]:
    name = clips.protocol
    return np.zeros(len(clips), dtype=bool) if name is None else np.asarray(clips.protocols[name], dtype=bool)


@styled
def counts(clips: SkeletonSet, by: str = "subject", title: str | None = None) -> Figure:
    """Clips of each class, and of each subject: the train part solid, the test part pale.

    Args:
        clips: the set.
        by: "subject", "camera" or "setup": the right panel; left out where the set has no such ids.
        title: the set's source and size when left out.
    """
    test = _test_part(clips)
    ids = clips.ids.get(by)
    figure = new_figure(
        float(np.clip(0.21 * clips.num_classes + 1.3, 3.0, 14)), _title(clips, f"{len(clips):,} clips", title)
    )
    panels = figure.subplots(1, 1 if ids is None else 2, squeeze=False, width_ratios=[1] if ids is None else [1, 1.1])
    colours = class_colours(clips.num_classes)
    _stacked(panels[0, 0], clips.y, test, np.arange(clips.num_classes), colours, horizontal=True)
    panels[0, 0].set_yticks(range(clips.num_classes), [label(name, 26) for name in clips.classes])
    panels[0, 0].set_ylim(clips.num_classes - 0.4, -0.6)
    panels[0, 0].set_title("clips per class")
    if ids is not None:
        values = np.unique(ids)
        _stacked(panels[0, 1], ids, test, values, ["#5b6b78"] * len(values), horizontal=False)
        panels[0, 1].set_title(f"clips per {by}")
        panels[0, 1].set_xlabel(f"{by} id")
        every = -(-len(values) // 20)
        panels[0, 1].set_xticks(range(0, len(values), every), [str(value) for value in values[::every]])
    if test.any():
        parts = [
            Patch(color="#5b6b78", label="train"),
            Patch(color=pale("#5b6b78"), label=f"test ({clips.protocol})"),
        ]
        figure.legend(handles=parts, loc="outside lower right", ncols=2, labelcolor=QUIET)
    return figure


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
    axes.legend(loc="upper right")
    return figure


def _sample(clips: SkeletonSet) -> NDArray[np.int64]:
    return np.unique(np.linspace(0, len(clips) - 1, min(len(clips), _SAMPLED)).round().astype(np.int64))


@styled
def bone_lengths(clips: SkeletonSet, title: str | None = None) -> Figure:
    """Length of every bone: a dot for each subject, the bar one standard deviation over frames within a clip.

    A bone of a real body keeps its length: a long bar is sensor noise, dots apart are people of different size. Of
    large sets, 300 clips are taken.
    """
    chosen = _sample(clips)
    children, parents = np.array(clips.layout.bones).reshape(-1, 2).T
    means, spreads = [], []
    for clip in clips.clips(chosen).numpy().astype(np.float64):
        person = clip[..., 0][:, presence(clip)[:, 0]]  # (3, F, V)
        size = np.linalg.norm(person[:, :, children] - person[:, :, parents], axis=0)
        means.append(size.mean(axis=0) if len(size) else np.full(len(children), np.nan))
        spreads.append(size.std(axis=0) if len(size) else np.full(len(children), np.nan))
    return _draw_bones(clips, np.array(means), np.array(spreads), chosen, _title(clips, "bone lengths", title))


def _draw_bones(clips: SkeletonSet, means: Floats, spreads: Floats, chosen: NDArray[np.int64], title: str) -> Figure:
    layout = clips.layout
    figure = new_figure(0.2 * len(layout.bones) + 1.3, title, 7.6)
    axes = figure.add_subplot()
    subjects = clips.ids.get("subject", np.zeros(len(clips), dtype=np.int64))[chosen]
    for row, (child, _) in enumerate(layout.bones):
        colour = LIMBS[layout.sides[child]].colour
        mean, spread = 100 * np.nanmean(means[:, row]), 100 * np.nanmean(spreads[:, row])
        axes.plot([mean - spread, mean + spread], [row, row], color=colour, lw=5, alpha=0.35, solid_capstyle="butt")
        each = [100 * np.nanmean(means[subjects == s, row]) for s in np.unique(subjects)]
        axes.plot(each, [row] * len(each), "o", color=colour, ms=3.2, alpha=0.75, mew=0)
    names = [
        f"{label(layout.joints[parent], 18)} – {label(layout.joints[child], 18)}" for child, parent in layout.bones
    ]
    axes.set_yticks(range(len(names)), names)
    axes.set_ylim(len(names) - 0.4, -0.6)
    axes.set_xlim(left=0)
    axes.set_xlabel("centimetres; dot: a subject's mean, bar: ± 1 sd over the frames of a clip")
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
