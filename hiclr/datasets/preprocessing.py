"""What is done to clips before an encoder sees them: centre, resample, turn. In batches, on any device."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = [
    "RELEASED",
    "RELEASED_CODE",
    "Centre",
    "Preprocess",
    "Turn",
    "centre",
    "presence",
    "resample",
    "sample_frames",
    "turn",
]

Centre = Literal["frame", "first", "person", "none"]
Turn = Literal["first", "frame", "released", "none"]

_COINCIDE = 1e-6  # metres
_RELEASED_DISTANCE = 1e-4  # metres


def presence(x: Tensor) -> Tensor:
    """Who is there when.

    Args:
        x: (N, 3, T, V, M); an absent person is all zeros.

    Returns:
        (N, T, M) bool: the person has a joint away from the origin in that frame.
    """
    return (x != 0).any(dim=1).any(dim=2)


def _only_present(x: Tensor, here: Tensor) -> Tensor:
    """x with zeros wherever `here` (N, T, M) is False."""
    return x * here[:, None, :, None, :].to(x.dtype)


def centre(x: Tensor, joint: int, per: Centre = "frame") -> Tensor:
    """Move one joint to the origin.

    The main person of a frame is the first one present in it, so that a gap in the first track does not throw the
    second person off.

    Args:
        x: (N, 3, T, V, M) metres.
        joint: index of the joint.
        per: "frame": the main person's joint in every frame, which takes the way through the room away; everybody
            else moves along. "first": the main person's in the first frame in which anybody is there, which keeps
            the way. "person": in every frame everybody by a joint of his own, as released, which also takes away
            where two people stand to each other. "none": x as it is.

    Returns:
        (N, 3, T, V, M); absent persons stay zero.

    Source: the released preprocessing centres every person in every frame on joint 21 of NTU's 25.
    """
    if per == "none":
        return x
    here = presence(x)
    if per == "person":
        return _only_present(x - x[:, :, :, joint : joint + 1], here)
    person = here.to(torch.uint8).argmax(dim=2)  # (N, T), the first person present
    origins = x[:, :, :, joint].gather(3, person[:, None, :, None].expand(-1, 3, -1, 1)).squeeze(3)  # (N, 3, T)
    if per == "first":
        origins = origins.gather(2, _first_frame(here)[:, None, None].expand(-1, 3, 1))
    return _only_present(x - origins[:, :, :, None, None], here)


def _first_frame(here: Tensor) -> Tensor:
    """(N, T, M) -> (N,): the first frame in which anybody is there; 0 where nobody ever is."""
    return here.any(dim=2).to(torch.uint8).argmax(dim=1)


def turn(x: Tensor, shoulders: tuple[int, int], per: Turn = "first") -> Tensor:
    """Turn about the vertical until the shoulders lie along x, the right one at the larger x.

    Args:
        x: (N, 3, T, V, M) metres, y up.
        shoulders: (left, right) joints.
        per: "first": each clip by the main person's shoulders in the first frame, which keeps every turn after it.
            "frame": every person in every frame by its own shoulders, which takes turns away. "released": as "frame",
            with the release's arithmetic: one sign for all angles of a person's clip, so that frames on the other
            side are turned the wrong way, and 0.1 mm added to the shoulders' distance. "none": x as it is.

    Returns:
        (N, 3, T, V, M). Where shoulders coincide seen from above nothing is turned.

    Source: the released preprocessing, which also lays right minus left along +x.
    """
    if per == "none":
        return x
    left, right = shoulders
    across, along = (x[:, :, :, right] - x[:, :, :, left])[:, [0, 2]].unbind(1)  # (N, T, M) each
    if per == "first":
        here = presence(x)
        count, frame = torch.arange(len(x), device=x.device), _first_frame(here)
        person = here[count, frame].to(torch.uint8).argmax(dim=1)
        across, along = (way[count, frame, person][:, None, None] for way in (across, along))
    length = torch.hypot(across, along)
    if per == "released":
        cos = across / (length + _RELEASED_DISTANCE)
        side = torch.where(along.sum(dim=1, keepdim=True) >= 0, 1.0, -1.0).to(x.dtype)
        sin = side * (1 - cos.square()).clamp(min=0).sqrt()
    else:
        still = length < _COINCIDE
        cos = torch.where(still, 1.0, across / length.clamp(min=_COINCIDE))
        sin = torch.where(still, 0.0, along / length.clamp(min=_COINCIDE))
    cos, sin = cos[:, :, None], sin[:, :, None]  # over joints
    return torch.stack([cos * x[:, 0] + sin * x[:, 2], x[:, 1], cos * x[:, 2] - sin * x[:, 0]], dim=1)


def sample_frames(x: Tensor, positions: Tensor) -> Tensor:
    """Read clips between their frames.

    A person is there in a new frame when it is there in the nearest old one; next to a frame without it, the
    nearest frame is taken as it is, so that nobody glides in from the origin.

    Args:
        x: (N, 3, T, V, M).
        positions: (N, S) frame numbers, 0..T-1, fractions welcome.

    Returns:
        (N, 3, S, V, M).
    """
    lower = positions.floor().clamp(0, x.shape[2] - 1)
    weight = (positions - lower).to(x.dtype)
    before = lower.long()
    after = (before + 1).clamp(max=x.shape[2] - 1)
    here = presence(x)
    both = _at(here, before) & _at(here, after)
    weight = torch.where(both, weight[..., None], (weight >= 0.5).to(x.dtype)[..., None])  # (N, S, M)
    # written out for every joint: broadcasting the short last axis takes several times as long
    weight = weight[:, None, :, None].expand(-1, -1, -1, x.shape[3], -1).contiguous()
    return torch.lerp(_frames(x, before), _frames(x, after), weight)


def _at(here: Tensor, frames: Tensor) -> Tensor:
    """(N, T, M) at frame numbers (N, S) -> (N, S, M)."""
    return here.gather(1, frames[..., None].expand(-1, -1, here.shape[2]))


def _frames(x: Tensor, at: Tensor) -> Tensor:
    """(N, 3, T, V, M) at frame numbers (N, S) -> (N, 3, S, V, M), copied row by row."""
    count, coordinates, frames, joints, persons = x.shape
    clips = torch.arange(count * coordinates, device=x.device).view(count, coordinates, 1)
    rows = (clips * frames + at[:, None]).flatten()
    return x.reshape(-1, joints * persons).index_select(0, rows).view(count, coordinates, -1, joints, persons)


def resample(x: Tensor, frames: int) -> Tensor:
    """Stretch the valid frames of each clip to the same number.

    Valid are the frames up to the last one in which anybody is there: found from the positions, since a file's
    `length` may count the frames before an earlier resampling. A clip of that very length comes back unchanged.

    Args:
        x: (N, 3, T, V, M).
        frames: S, at least 1.

    Returns:
        (N, 3, S, V, M), linear between neighbouring frames; one frame is repeated.

    Source: the release's bilinear resizing (pixel centres, align_corners=False).
    """
    if frames < 1:
        raise InputError(f"frames must be at least 1, got {frames}.")
    anybody = presence(x).any(dim=2)
    steps = torch.arange(1, x.shape[2] + 1, device=x.device)
    valid = (anybody * steps).amax(dim=1).clamp(min=1)  # (N,)
    if frames == x.shape[2] and bool((valid == frames).all()):
        return x.clone()
    at = (torch.arange(frames, device=x.device, dtype=torch.float32) + 0.5) * (valid[:, None] / frames) - 0.5
    return sample_frames(x, at.clamp(min=0).minimum(valid[:, None] - 1.0))


@dataclass(frozen=True)
class Preprocess:
    """The steps between a file and an encoder, in the order centre, resample, turn; each one optional.

    Applied twice it changes nothing more, so a set that was prepared earlier may pass through again. ("released"
    turns are the exception: they leave up to two degrees.)

    Args:
        frames: length after resampling; None keeps the frames.
        centre: see `centre`. The joint is the layout's centre.
        turn: see `turn`; layouts that name no shoulders are not turned.

    Raises:
        InputError: frames below 1.
    """

    frames: int | None = 50
    centre: Centre = "frame"
    turn: Turn = "first"

    def __post_init__(self) -> None:
        if self.frames is not None and self.frames < 1:
            raise InputError(f"frames must be at least 1; it is {self.frames}.")

    def apply(self, x: Tensor, layout: Layout) -> Tensor:
        """(N, 3, T, V, M) -> (N, 3, frames, V, M); x is not modified."""
        x = centre(x, layout.centre, self.centre)
        x = x if self.frames is None else resample(x, self.frames)
        return x if layout.shoulders is None else turn(x, layout.shoulders, self.turn)

    def steps(self, layout: Layout | None = None) -> tuple[str, ...]:
        """In words, as a set records them; without the turn where the layout names no shoulders."""
        steps = [] if self.centre == "none" else [f"centre {self.centre}"]
        steps += [] if self.frames is None else [f"resample {self.frames}"]
        turned = self.turn != "none" and (layout is None or layout.shoulders is not None)
        return tuple([*steps, f"turn {self.turn}"] if turned else steps)


RELEASED = Preprocess(50, "person", "frame")
"""The release's steps, every frame turned exactly: the shoulders lie along x in all of them."""

RELEASED_CODE = Preprocess(50, "person", "released")
"""The same with the release's own arithmetic, which turns some frames the wrong way: for weights trained on its
arrays."""
