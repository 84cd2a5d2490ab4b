"""What to say of positions whose axes lie otherwise than (N, 3, T, V, M): which line of numpy brings them there."""

from collections.abc import Sequence

from hiclr.datasets.wording import counted
from hiclr.skeleton import LAYOUTS, Layout

__all__ = ["joints_wanted", "moved_joints", "reshaped", "wrong_joints"]

_TWO_OF_NTU = 150  # numbers of a frame, as some prepared arrays of NTU RGB+D have them


def reshaped(shape: Sequence[int]) -> str:
    """A sentence for a shape that is not (N, 3, T, V, M), after a blank; "" where nothing is known to help."""
    named = {3: _three_axes, 4: _four_axes, 5: _five_axes}.get(len(shape))
    return "" if named is None else named(tuple(shape))


def _three_axes(shape: tuple[int, ...]) -> str:
    if shape[2] == 3:
        return " One clip as (T, V, 3)? x.transpose(2, 0, 1)[None, ..., None] makes a set of it."
    if shape[0] == 3:
        return " One clip as (3, T, V)? x[None, ..., None] makes a set of it."
    clips, frames, numbers = shape
    if numbers == _TWO_OF_NTU:
        return (
            f" Two persons of 25 joints in one axis? x.reshape({clips}, {frames}, 2, 25, 3).transpose(0, 4, 1, 3, 2) "
            "brings them to that order."
        )
    if numbers % 3 or not numbers:
        return ""
    return (
        f" Joints and coordinates in one axis? x.reshape({clips}, {frames}, {numbers // 3}, 3).transpose(0, 3, 1, 2)"
        "[..., None] brings them to that order."
    )


def _four_axes(shape: tuple[int, ...]) -> str:
    if shape[1] == 3:
        return " One person only? Add an axis for persons: x[..., None]."
    if shape[3] == 3:
        return " One person as (N, T, V, 3)? x.transpose(0, 3, 1, 2)[..., None] brings it to that order."
    if shape[2] == 3:
        return " One person as (N, T, 3, V)? x.transpose(0, 2, 1, 3)[..., None] brings it to that order."
    return " One clip as (3, T, V, M)? x[None] makes a set of it." if shape[0] == 3 else ""


def _five_axes(shape: tuple[int, ...]) -> str:
    """The persons are those of whom there are fewest; frames come before joints."""
    at = next((axis for axis in (4, 3, 2, 0) if shape[axis] == 3), None)
    if at is None:
        return " Two coordinates? Add a third of zeros." if shape[1] == 2 else ""
    if at == 0:
        return " x.transpose(1, 0, 2, 3, 4) brings (3, N, T, V, M) to that order."
    rest = [axis for axis in range(1, 5) if axis != at]
    persons = min(rest, key=lambda axis: (shape[axis], -axis))
    frames, joints = (axis for axis in rest if axis != persons)
    letters = {0: "N", at: "3", frames: "T", joints: "V", persons: "M"}
    came = ", ".join(letters[axis] for axis in range(5))
    return f" Is it ({came})? x.transpose(0, {at}, {frames}, {joints}, {persons}) brings it to that order."


def moved_joints(shape: Sequence[int], joints: int) -> str:
    """A sentence where another axis than 3 has as many entries as there are joints, after a blank."""
    for axis, what in ((4, "persons"), (2, "frames")):
        if shape[axis] == joints:
            return f" Axis {axis} has {joints}: x.swapaxes(3, {axis}) where joints and {what} have changed places."
    return ""


def joints_wanted(shape: Sequence[int]) -> str:
    """How to say which joints these are, with an example."""
    known = [repr(layout.name) for layout in LAYOUTS.values() if layout.num_joints == shape[3]]
    named = f"layout={' or '.join(known)}, or your own: " if known else ""
    return (
        f"x has {counted(shape[3], 'joint')} (axis 3 of {tuple(shape)}), and nothing says which; without a layout they "
        f"are taken for the 25 of NTU RGB+D.{moved_joints(shape, 25)} Say which they are: {named}layout=match_layout("
        '["hip", "hand_l", "hand_r"], [0, 0, 0])'
        " with the name of each joint and the index of its parent (here the "
        "hands hang on the hip, the root on itself); from hiclr.skeleton import match_layout."
    )


def wrong_joints(shape: Sequence[int], layout: Layout) -> str:
    """What is said of positions that have another number of joints than their layout."""
    return (
        f"x has {counted(shape[3], 'joint')} (axis 3 of {tuple(shape)}), layout {layout.name!r} has "
        f"{layout.num_joints}.{moved_joints(shape, layout.num_joints)} Give the layout of these joints: joint names "
        "and parents."
    )
