"""What goes wrong between a body and an encoder: parts hidden, frames lost, noise, another camera, sides swapped.

Each one damages clips (N, 3, T, V, M) in one tensor expression. Draws come from a generator and do not depend on the
severity: at a larger one the same clip is damaged in the same way, only more. Where on the way from the sensor to the
encoder it happens is part of what it is:

    "sensor": the prepared positions, before they are centred, resampled and turned
    "input":  after those steps and before the stream, where the published occlusions are applied
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Generator, Tensor

from hiclr.augmentations import rotation_matrix
from hiclr.augmentations.base import over_joints, transform
from hiclr.datasets.preprocessing import presence, sample_frames
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25, Layout

__all__ = ["CORRUPTIONS", "PARTS", "Corruption", "Stage", "body_parts", "drop_frames", "refusals", "swap_sides"]

Stage = Literal["sensor", "input"]
Damage = Callable[[Tensor, float, Layout, Generator], Tensor]


@dataclass(frozen=True)
class Corruption:
    """One kind of damage and the severities at which it is looked at.

    Args:
        title: for figures and tables.
        stage: where it happens, see the top of this module.
        severities: from mild to strong, none of them 0; or numbers of kinds, see `kinds`.
        unit: what severities count, for an axis.
        damage: (x, severity, layout, generator) -> clips of the same shape; x is not modified.
        drawn: whether anything is random.
        kinds: the names of the severities where they are no scale.
        percent: severities are shares, shown in %.
        needs: what a clip must have to be damaged at all.
    """

    title: str
    stage: Stage
    severities: tuple[float, ...]
    unit: str
    damage: Damage
    drawn: bool = True
    kinds: tuple[str, ...] = ()
    percent: bool = False
    needs: Literal["a person", "a second person"] = "a person"

    def label(self, severity: float) -> str:
        """A severity in words."""
        if self.kinds:
            return self.kinds[self.severities.index(severity)]
        return f"{100 * severity:g} %" if self.percent else f"{severity:g} {self.unit}"


# --- body parts -------------------------------------------------------------------------------------------------------

PARTS = ("left arm", "right arm", "hands", "legs", "trunk")
"""RA-GCN's five, in its order; the trunk has neck and head."""

# 0-based; 1-based they are 5-8 22 23, 9-12 24 25, 22-25, 13-20, 1-4 21 (Thomas-yx/RA-GCNv1, src/dataprocessor.py)
_NTU_PARTS = (
    (4, 5, 6, 7, 21, 22),
    (8, 9, 10, 11, 23, 24),
    (21, 22, 23, 24),
    (12, 13, 14, 15, 16, 17, 18, 19),
    (0, 1, 2, 3, 20),
)
_LEG = re.compile(r"hip|knee|ankle|foot|feet|toe|leg|thigh|shin|calf|heel", re.I)
_ARM = re.compile(r"shoulder|collar|clavicle|arm|elbow|wrist|hand|thumb|finger|index|pinky", re.I)
_HAND = re.compile(r"hand|thumb|finger|index|pinky", re.I)


def body_parts(layout: Layout) -> dict[str, tuple[int, ...]]:
    """The joints of the five parts that RA-GCN hides, by the layout's sides and names.

    NTU's 25 joints are RA-GCN's own lists. Elsewhere arms and legs are the left and right joints whose names say so,
    hands are those called hand, thumb or finger (wrists where there are none), and the trunk is all the rest.

    Raises:
        InputError: the layout names no arms and legs on two sides.

    Source: RA-GCN (arXiv 1905.06774) and its code.
    """
    if layout.joints == NTU_25.joints:
        return dict(zip(PARTS, _NTU_PARTS, strict=True))
    sided = [v for v, side in enumerate(layout.sides) if side != "middle"]
    legs = [v for v in sided if _LEG.search(layout.joints[v])]
    arms = [v for v in sided if v not in legs and _ARM.search(layout.joints[v])]
    hands = [v for v in arms if _HAND.search(layout.joints[v])]
    hands = hands or [v for v in arms if "wrist" in layout.joints[v].lower()]
    trunk = [v for v in range(layout.num_joints) if v not in legs and v not in arms]
    left, right = ([v for v in arms if layout.sides[v] == side] for side in ("left", "right"))
    parts = dict(zip(PARTS, map(tuple, (left, right, hands, legs, trunk)), strict=True))
    lacking = [name for name, joints in parts.items() if not joints]
    if lacking:
        raise InputError(
            f"Layout {layout.name!r} tells no {' and no '.join(lacking)}: parts are found by left-right pairs and by "
            "joint names such as shoulder_l, wrist_l, knee_l. Give such names, or leave the part occlusion out."
        )
    return parts


def _hide_part(x: Tensor, severity: float, layout: Layout, generator: Generator) -> Tensor:  # noqa: ARG001
    hidden = body_parts(layout)[PARTS[int(severity) - 1]]
    out = x.clone()
    out[:, :, :, list(hidden)] = 0
    return out


# --- frames -----------------------------------------------------------------------------------------------------------


def _hide_frames(x: Tensor, severity: float, layout: Layout, generator: Generator) -> Tensor:  # noqa: ARG001
    """RA-GCN zeroes `severity` frames in the middle of 100; here the same share in the middle of T."""
    frames = x.shape[2]
    hidden = round(severity * frames / 100)
    start = (frames - hidden) // 2
    out = x.clone()
    out[:, :, start : start + hidden] = 0
    return out


def _valid(x: Tensor) -> Tensor:
    """(N,) frames up to the last one in which anybody is there; at least 1."""
    steps = torch.arange(1, x.shape[2] + 1, device=x.device)
    return (presence(x).any(dim=2) * steps).amax(dim=1).clamp(min=1)


def _uniform(valid: Tensor, frames: int, generator: Generator) -> Tensor:
    """(N, frames) in U(0, 1) of the CPU's generator: the same on every device."""
    return torch.rand(len(valid), frames, generator=generator).to(valid.device)


Way = Literal["uniform", "random", "block"]


def _kept(way: Way, valid: Tensor, frames: int, dropped: float, generator: Generator) -> Tensor:
    """(N, T) bool: the frames that are left of each clip; its first and its last one always are."""
    t, last = torch.arange(frames, device=valid.device), (valid - 1)[:, None]
    count = ((1 - dropped) * valid).round().long().clamp(min=2).minimum(valid)[:, None]
    draws = _uniform(valid, frames, generator)
    inside = t <= last
    if way == "uniform":
        step, before = (torch.div(at * (count - 1), last.clamp(min=1), rounding_mode="floor") for at in (t, t - 1))
        return ((step > before) | (t == 0)) & inside
    if way == "random":
        draws = torch.where((t == 0) | (t == last), 2.0, draws).where(inside, draws.new_tensor(-1.0))
        return (draws.argsort(dim=1, descending=True).argsort(dim=1) < count) & inside
    start = 1 + (draws[:, :1] * (count - 1)).long().minimum((count - 2).clamp(min=0))
    return inside & ~((t >= start) & (t < start + valid[:, None] - count))


def drop_frames(x: Tensor, dropped: float, way: Way, interpolate: bool, generator: Generator) -> Tensor:
    """Lose frames of each clip between its first and its last one.

    Args:
        x: (N, 3, T, V, M).
        dropped: share of each clip's frames, within [0, 1); at least two frames stay.
        way: "uniform" thins evenly, as a slower camera; "random" loses any frames; "block" loses neighbouring ones.
        interpolate: put what is left back at its time, with the frames between on straight lines. Otherwise it is
            closed up, as by a program that takes frames as they come; the clip is shorter then, and zero after it.
        generator: on the CPU.

    Returns:
        (N, 3, T, V, M).

    Source: the three forms of SHARDeg (arXiv 2505.18048) and its mitigation; shares and the two frames that stay are
    our choice.
    """
    frames, valid = x.shape[2], _valid(x)
    kept = _kept(way, valid, frames, dropped, generator)
    count = kept.sum(dim=1, keepdim=True)
    t = torch.arange(frames, device=x.device).expand(len(x), -1)
    order = torch.where(kept, t, t + frames).argsort(dim=1)  # kept frames first, in their order
    last = (valid - 1)[:, None]
    if interpolate:
        before = torch.where(kept, t, 0).cummax(dim=1).values
        after = torch.where(kept, t, frames).flip(1).cummin(dim=1).values.flip(1).minimum(last)
        part = (t - before).float() / (after - before).clamp(min=1)
        at = (kept.cumsum(dim=1) - 1).float() + part
        there = t <= last
    else:
        at, there = t.float(), t < count
    closed = _take(x, order)
    out = sample_frames(closed, at.minimum(count - 1.0))
    return out * there[:, None, :, None, None].to(x.dtype)


def _take(x: Tensor, frames: Tensor) -> Tensor:
    """The frames (N, T) of clips."""
    return x.gather(2, frames[:, None, :, None, None].expand(-1, x.shape[1], -1, *x.shape[3:]))


def _drop(x: Tensor, severity: float, layout: Layout, generator: Generator, way: Way, interpolate: bool) -> Tensor:  # noqa: ARG001
    return drop_frames(x, severity, way, interpolate, generator)


def _stretch(x: Tensor, share: float, generator: Generator) -> Tensor:
    """(N, T) bool: neighbouring frames of each clip, this share of it, anywhere in it."""
    valid = _valid(x)
    length = (share * valid).round().long()
    start = (_uniform(valid, 1, generator)[:, 0] * (valid - length + 1)).long().minimum(valid - length)
    t = torch.arange(x.shape[2], device=x.device)
    return (t >= start[:, None]) & (t < (start + length)[:, None])


# --- noise, camera, sides, persons ------------------------------------------------------------------------------------


def _tremble(x: Tensor, severity: float, layout: Layout, generator: Generator) -> Tensor:  # noqa: ARG001
    noise = torch.randn(x.shape, generator=generator).to(x)
    return torch.addcmul(x, noise, over_joints(presence(x), x), value=severity)


def _turn_camera(x: Tensor, severity: float, layout: Layout, generator: Generator, axis: int) -> Tensor:  # noqa: ARG001
    """Turn each clip about one axis, one way or the other."""
    side = torch.where(torch.rand(len(x), generator=generator) < 0.5, -1.0, 1.0)
    degrees = torch.zeros(len(x), 3)
    degrees[:, axis] = severity * side
    return transform(rotation_matrix(degrees), x)


def swap_sides(x: Tensor, share: float, layout: Layout, generator: Generator) -> Tensor:
    """Take left joints for right ones in neighbouring frames of each clip, as a tracker that sees a back as a front.

    Done twice with the same draws it is the identity.

    Args:
        x: (N, 3, T, V, M).
        share: of each clip's frames; 1 is the whole clip.
        layout: gives the pairs.
        generator: on the CPU; says where.

    Raises:
        InputError: the layout has no left-right pairs.
    """
    if not layout.pairs:
        raise InputError(f"Layout {layout.name!r} has no left-right pairs, so there is no left to take for right.")
    swapped = _stretch(x, share, generator)[:, None, :, None, None]
    return torch.where(swapped, x[:, :, :, list(layout.mirror)], x)


def _lose_second(x: Tensor, severity: float, layout: Layout, generator: Generator) -> Tensor:  # noqa: ARG001
    """Everybody but the first person is gone for a stretch."""
    stays = ~_stretch(x, severity, generator)
    out = x.clone()
    out[..., 1:] *= stays[:, None, :, None, None].to(x.dtype)
    return out


_DROPPED = (0.5, 0.75, 0.875)
_SHARES = (0.25, 0.5, 0.75, 1.0)
_WAYS: tuple[tuple[Way, str], ...] = (
    ("uniform", "every other, 4th, 8th frame"),
    ("random", "frames lost at random"),
    ("block", "one block of frames lost"),
)


def _droppings() -> dict[str, Corruption]:
    made = {}
    for way, title in _WAYS:
        for interpolate in (False, True):
            name = f"drop-{way}{'-interpolated' if interpolate else ''}"
            made[name] = Corruption(
                f"{title}{', interpolated' if interpolate else ''}", "sensor", _DROPPED, "of the frames lost",
                partial(_drop, way=way, interpolate=interpolate), drawn=way != "uniform", percent=True,
            )  # fmt: skip
    return made


CORRUPTIONS: Mapping[str, Corruption] = {
    "parts": Corruption("part of the body hidden", "input", (1, 2, 3, 4, 5), "", _hide_part, drawn=False, kinds=PARTS),
    "frames": Corruption(
        "frames hidden in the middle", "input", (10, 20, 30, 40, 50), "% of the frames", _hide_frames, drawn=False
    ),
    "noise": Corruption("noise on every joint", "sensor", (0.01, 0.02, 0.05, 0.1), "m", _tremble),
    **_droppings(),
    "yaw": Corruption("camera turned to the side", "sensor", (15, 30, 45, 60, 90), "degrees",
                      partial(_turn_camera, axis=1)),
    "pitch": Corruption("camera tilted", "sensor", (10, 20, 30, 45), "degrees", partial(_turn_camera, axis=0)),
    "swap": Corruption("left taken for right", "sensor", _SHARES, "of the frames", swap_sides, percent=True),
    "second-person": Corruption("second person missing", "sensor", _SHARES, "of the frames", _lose_second,
                                percent=True, needs="a second person"),
}  # fmt: skip
"""Name -> corruption. "parts" and "frames" are RA-GCN's occlusions: it zeroes what the network is given, its models
are trained on whole clips; frames are scaled from its 100 to T. Noise is Gaussian, independent for each joint, axis
and frame, severity its standard deviation. The camera turns where it stands: the body swings about the origin, and
centring takes the shift away; yaw is what preprocessing by shoulders undoes. All else: see the functions."""


def refusals(names: Sequence[str], layout: Layout) -> dict[str, str]:
    """Corruption -> why this layout cannot have it."""
    tries: dict[str, Callable[[], object]] = {
        "parts": lambda: body_parts(layout),
        "swap": lambda: swap_sides(torch.zeros(1, 3, 1, layout.num_joints, 1), 1.0, layout, Generator()),
    }
    refused = {}
    for name in names:
        try:
            tries.get(name, lambda: None)()
        except InputError as error:
            refused[name] = str(error)
    return refused
