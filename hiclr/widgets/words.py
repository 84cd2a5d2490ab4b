"""What was drawn, in words: "22° about y"."""

from functools import singledispatch
from typing import Any

import torch

from hiclr.augmentations import (
    AxisMask,
    Blur,
    CropResize,
    DropAddEdges,
    Exaggerate,
    Flip,
    JointMask,
    Mirror,
    Noise,
    OneOf,
    Op,
    Params,
    PoseMix,
    Rotate,
    Scale,
    Shear,
    SkeleAdaIN,
    TemporalCrop,
    Yaw,
)
from hiclr.augmentations.choosing import own_params
from hiclr.skeleton import Layout

__all__ = ["words"]

_AXES = "xyz"
_MOST = 4  # numbers, or joints, that are still read
_OFF = "off in this draw"


def words(op: Op, params: Params, frames: int, layout: Layout) -> str:
    """What an augmentation does to the first clip.

    Args:
        op: the augmentation.
        params: what it drew.
        frames: T.
        layout: for the joints' names.

    Returns:
        A short text; numbers of a few parameters for an augmentation that is not known here.
    """
    mine = {name: value[0] for name, value in params.items()}
    if "on" in mine and not mine["on"]:
        return _OFF
    return _say(op, mine, frames, layout)


@singledispatch
def _say(op: Any, mine: Params, frames: int, layout: Layout) -> str:  # noqa: ARG001 - one signature for all
    few = {name: value for name, value in mine.items() if value.numel() <= _MOST}
    return ", ".join(f"{name} {' '.join(map(_number, value.flatten().tolist()))}" for name, value in few.items())


def _number(value: float) -> str:
    return f"{value:.2f}".rstrip("0").rstrip(".").replace("-", "−")


def _percent(value: Any) -> str:
    return f"{float(value):.0%}".replace("%", " %")


@_say.register
def _(_: Rotate, mine: Params, __: int, ___: Layout) -> str:
    degrees = mine["degrees"]
    axis = int(degrees.abs().argmax())
    others = max(abs(float(value)) for place, value in enumerate(degrees) if place != axis)
    more = f", others up to {_number(round(others, 1))}°" if others else ""
    return f"{_number(round(float(degrees[axis]), 1))}° about {_AXES[axis]}{more}"


@_say.register
def _(_: Yaw, mine: Params, __: int, ___: Layout) -> str:
    return f"{_number(round(float(mine['degrees'][0]), 1))}° about y"


@_say.register
def _(_: Shear, mine: Params, __: int, ___: Layout) -> str:
    slant = mine["matrix"] - torch.eye(3)
    largest = slant.flatten().abs().argsort(descending=True)[:2].tolist()
    terms = [(i // 3, i % 3, float(slant[i // 3, i % 3])) for i in largest]
    return "largest: " + ", ".join(f"{_AXES[to]} {value:+.2f} {_AXES[of]}".replace("-", "−") for to, of, value in terms)


@_say.register
def _(_: Scale, mine: Params, __: int, ___: Layout) -> str:
    return f"size × {float(mine['factor']):.2f}"


@_say.register
def _(_: Exaggerate, mine: Params, __: int, ___: Layout) -> str:
    return f"movements × {float(mine['factor']):.2f}"


@_say.register
def _(_: PoseMix, mine: Params, __: int, ___: Layout) -> str:
    return f"{_percent(mine['amount'])} of another clip's mean pose"


@_say.register
def _(op: TemporalCrop, mine: Params, frames: int, _: Layout) -> str:
    shift = float(mine["start"]) - frames // op.padding
    far = round(abs(shift), 1)
    if not far:
        return "no shift"
    return f"starts {_number(far)} frame{'s' * (far != 1)} {'later' if shift >= 0 else 'earlier'}"


@_say.register
def _(_: CropResize, mine: Params, __: int, ___: Layout) -> str:
    start, kept = float(mine["start"]), float(mine["kept"])
    return f"{_percent(start)} to {_percent(start + kept)} of the clip"


@_say.register
def _(_: Noise, mine: Params, __: int, ___: Layout) -> str:
    return f"{_number(round(1000 * float(mine['noise'].std()), 1))} mm at each coordinate"


@_say.register
def _(_: Blur, mine: Params, __: int, ___: Layout) -> str:
    return f"sigma {float(mine['sigma']):.1f} frames, {_percent(mine['amount'])} blended in"


@_say.register
def _(_: AxisMask, mine: Params, __: int, ___: Layout) -> str:
    return f"{_AXES[int(mine['axis'])]} shrunk to {_percent(1 - mine['amount'])}"


@_say.register
def _(_: Flip, mine: Params, __: int, ___: Layout) -> str:
    return f"left and right changed places, {_percent(mine['amount'])} of the way"


@_say.register
def _(_: Mirror, mine: Params, __: int, ___: Layout) -> str:
    return f"mirror image, {_percent(mine['amount'])} of the way"


@_say.register
def _(_: JointMask, mine: Params, __: int, layout: Layout) -> str:
    mask = mine["mask"]  # (T or 1, V)
    count, share = int((mask[0] > 0).sum()), float(mask.max())
    if not count:
        return "no joint hidden"
    faded = "hidden" if share == 1 else f"faded to {_percent(1 - share)}"
    if len(mask) > 1:
        return f"{count} joint{'s' * (count != 1)} {faded} in each frame"
    names = [layout.joints[v] for v in mask[0].nonzero().flatten().tolist()]
    return f"{', '.join(names[:_MOST])}{', …' * (len(names) > _MOST)} {faded}"


@_say.register
def _(_: SkeleAdaIN, mine: Params, __: int, ___: Layout) -> str:
    return f"{_percent(mine['amount'])} of another clip's style"


@_say.register
def _(_: DropAddEdges, mine: Params, __: int, ___: Layout) -> str:
    drop, add = (_percent(float(mine[name].mean() * mine["amount"])) for name in ("drop", "add"))
    return f"in the encoder, not seen here: {drop} of its edges dropped, {add} of the free places filled"


@_say.register
def _(op: OneOf, mine: Params, frames: int, layout: Layout) -> str:
    chosen = int(mine["chosen"])
    said = [_say(part, own_params(mine, start), frames, layout) for i, start, part in op.parts() if i == chosen]
    return "; ".join(said)
