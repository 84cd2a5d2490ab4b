"""What is done to clips before an encoder sees them: centre, turn, resample. In batches, on any device."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["RELEASED", "Preprocess", "centre", "presence", "resample", "sample_frames", "turn"]

Per = Literal["frame", "first"]


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


def centre(x: Tensor, joint: int, per: Per = "frame") -> Tensor:
    """Move one joint of the main person to the origin; everybody else moves along.

    The main person of a frame is the first one present in it, so that a gap in the first track does not throw the
    second person off.

    Args:
        x: (N, 3, T, V, M) metres.
        joint: index of the joint.
        per: "frame": in every frame, which takes the way through the room away; "first": by the first frame in
            which anybody is there, which keeps it.

    Returns:
        (N, 3, T, V, M); absent persons stay zero.

    Source: the released preprocessing centres every frame on joint 21 of NTU's 25.
    """
    here = presence(x)
    person = here.to(torch.uint8).argmax(dim=2)  # (N, T), the first person present
    origins = x[:, :, :, joint].gather(3, person[:, None, :, None].expand(-1, 3, -1, 1)).squeeze(3)  # (N, 3, T)
    if per == "first":
        origins = origins.gather(2, _first_frame(here)[:, None, None].expand(-1, 3, 1))
    return _only_present(x - origins[:, :, :, None, None], here)


def _first_frame(here: Tensor) -> Tensor:
    """(N, T, M) -> (N,): the first frame in which anybody is there; 0 where nobody ever is."""
    return here.any(dim=2).to(torch.uint8).argmax(dim=1)


def turn(x: Tensor, shoulders: tuple[int, int]) -> Tensor:
    """Turn each clip about the vertical until the main person's shoulders lie along x in its first frame.

    Args:
        x: (N, 3, T, V, M) metres, y up.
        shoulders: (left, right) joints. The left one comes to the larger x: the person looks at a viewer who
            looks along -z.

    Returns:
        (N, 3, T, V, M). Clips whose shoulders coincide seen from above are left as they are.

    Not as released: the release turns every frame and every person by itself, and lays right minus left along +x, half
    a turn from this. Weights of the authors expect that; training from scratch should not care.
    """
    here = presence(x)
    count = torch.arange(len(x), device=x.device)
    frame = _first_frame(here)
    person = here[count, frame].to(torch.uint8).argmax(dim=1)
    left, right = (x[count, :, frame, joint, person] for joint in shoulders)
    across, along = (left - right)[:, 0], (left - right)[:, 2]
    length = torch.hypot(across, along)
    still = length < 1e-6
    cos = torch.where(still, 1.0, across / length.clamp(min=1e-6))
    sin = torch.where(still, 0.0, along / length.clamp(min=1e-6))
    zero, one = torch.zeros_like(cos), torch.ones_like(cos)
    matrix = torch.stack([cos, zero, sin, zero, one, zero, -sin, zero, cos], dim=1).view(-1, 3, 3)
    return torch.einsum("nij,njtvm->nitvm", matrix, x)


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
    """The steps between a file and an encoder, in the order centre, turn, resample; each one optional.

    Applied twice it changes nothing more, so a set that was prepared earlier may pass through again.

    Args:
        frames: length after resampling; None keeps the frames.
        centre: "frame", "first" or "none"; see `centre`. The joint is the layout's centre.
        turn: shoulders parallel to x in the first frame; layouts that name no shoulders are not turned.
    """

    frames: int | None = 50
    centre: Literal["frame", "first", "none"] = "frame"
    turn: bool = True

    def apply(self, x: Tensor, layout: Layout) -> Tensor:
        """(N, 3, T, V, M) -> (N, 3, frames, V, M); x is not modified."""
        if self.centre != "none":
            x = centre(x, layout.centre, self.centre)
        if self.turn and layout.shoulders is not None:
            x = turn(x, layout.shoulders)
        return x if self.frames is None else resample(x, self.frames)

    def steps(self, layout: Layout | None = None) -> tuple[str, ...]:
        """In words, as a set records them; without the turn where the layout names no shoulders."""
        steps = [] if self.centre == "none" else [f"centre {self.centre}"]
        steps += ["turn"] if self.turn and (layout is None or layout.shoulders is not None) else []
        return tuple(steps if self.frames is None else [*steps, f"resample {self.frames}"])


RELEASED = Preprocess()
