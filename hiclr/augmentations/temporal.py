"""Augmentations of time: which part of a clip, and how sharp."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import (
    Params,
    Shape,
    check_call,
    check_within,
    gate,
    over_joints,
    per_clip,
    share,
    uniform,
)
from hiclr.datasets.preprocessing import presence, sample_frames
from hiclr.errors import InputError

__all__ = ["Blur", "CropResize", "TemporalCrop"]


@dataclass(frozen=True)
class TemporalCrop:
    """Start the clip a little earlier or later: mirror T // `padding` frames at each end, cut T frames anywhere.

    Strength scales the shift, which is linear between frames; at 1 it is a whole number of frames, as released. A
    person who comes or goes within the clip is there in a frame or not, as in the nearest one.

    Args:
        padding: the share of the clip that is mirrored at each end is 1 / padding.

    Source: HiCLR, basic augmentation; released: 6 (8 frames of 50).
    """

    padding: int = 6
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("TemporalCrop: padding", self.padding, 1)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"start": (N,)}, the first frame kept, counted in the padded clip; T // padding is no shift."""
        check_call(shape, strength)
        pad = shape[2] // self.padding
        start = torch.randint(2 * pad + 1, (shape[0],), generator=generator, device=generator.device)
        return {"start": pad + strength * (start - pad)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        frames = x.shape[2]
        steps = torch.arange(frames, device=x.device, dtype=torch.float32)
        at = params["start"].to(x.device).float()[:, None] - frames // self.padding + steps
        # the mirror stands half a frame outside, so the first and the last frame occur twice, as released
        mirrored = (frames - 0.5) - ((at + 0.5).abs() - frames).abs()
        return sample_frames(x, mirrored.clamp(0, frames - 1))


@dataclass(frozen=True)
class CropResize:
    """Keep a random part of the clip and stretch it to full length; strength scales what is cut off.

    A person who comes or goes within the clip is there in a frame or not, as in the nearest one.

    Args:
        least: the smallest share of the clip kept at strength 1.

    Source: crop-and-resize of CMD (least 0.1) and MAMP (0.5).
    """

    least: float = 0.5
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("CropResize: least", self.least, 0, 1)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"kept": (N,) share of the clip, "start": (N,) share before it}."""
        check_call(shape, strength)
        kept = 1 - strength * uniform((shape[0],), 0, 1 - self.least, generator)
        return {"kept": kept, "start": uniform((shape[0],), 0, 1, generator) * (1 - kept)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        kept, start = (params[key].to(x.device).float()[:, None] for key in ("kept", "start"))
        steps = torch.arange(x.shape[2], device=x.device, dtype=torch.float32)
        return sample_frames(x, start * (x.shape[2] - 1) + kept * steps)


@dataclass(frozen=True)
class Blur:
    """Smooth half the clips in time with a Gaussian; strength blends the smoothed clip in.

    Args:
        taps: length of the kernel in frames, odd.
        least: smallest standard deviation in frames.
        most: largest standard deviation in frames.
        probability: share of clips that are smoothed.
        normalise: divide by the kernel's sum over the frames in which the person is there. The release does not: its
            taps are exp(-d^2 / 2 s^2) itself, padded with zeros, which scales the clip up (by 2.5 s or so) and
            fades it at both ends.

    Source: HiCLR, normal augmentation; released: 15, 0.1, 2, 0.5, not normalised.
    """

    taps: int = 15
    least: float = 0.1
    most: float = 2.0
    probability: float = 0.5
    normalise: bool = True
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if self.taps < 1 or self.taps % 2 == 0:
            raise InputError(f"Blur: taps must be odd, so that the kernel has a middle; got {self.taps}.")
        if not 0 < self.least <= self.most:
            raise InputError(f"Blur: 0 < least <= most is wanted, got least {self.least} and most {self.most}.")
        check_within("Blur: probability", self.probability, 0, 1)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"on": (N,) bool, "sigma": (N,) frames, "amount": (N,)}."""
        check_call(shape, strength)
        on = gate(shape[0], self.probability, generator)
        sigma = uniform((shape[0],), self.least, self.most, generator)
        return {"on": on, "sigma": sigma, "amount": torch.full((shape[0],), strength, device=on.device)}

    def _taps(self, sigma: Tensor) -> Tensor:
        """(N, taps): the kernel, 1 in the middle."""
        reach = self.taps // 2
        far = torch.arange(-reach, reach + 1, device=sigma.device)
        taps = torch.exp(-far.square() / (2 * sigma.float().square()[:, None]))
        return taps * (taps > 1e-30)  # smaller ones change nothing, and denormal numbers are slow

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        taps = per_clip(self._taps(params["sigma"]), x)
        here = presence(x)[:, None, :, None].to(x.dtype)  # (N, 1, T, 1, M)
        # only where a person is: nobody glows into the frames before it came
        kept = here / _weighted_sum(here, taps).clamp(min=1e-6) if self.normalise else here
        smooth = _weighted_sum(x, taps).mul_(over_joints(kept[:, 0, :, 0], x))
        return torch.lerp(x, smooth, share(params, x))


def _weighted_sum(x: Tensor, taps: Tensor) -> Tensor:
    """Slide the kernels (N, taps) over the frames of (N, C, T, ., .), zeros beyond the ends.

    A sum of shifted clips and no convolution or matrix product: those are rounded to TF32 or bfloat16 where the
    training asks for it, and are no faster.
    """
    padded = torch.nn.functional.pad(x, (0, 0, 0, 0, *[taps.shape[1] // 2] * 2))
    out = torch.zeros_like(x)
    for shift, tap in enumerate(taps.view(len(taps), -1, 1, 1, 1, 1).unbind(1)):
        out.addcmul_(padded[:, :, shift : shift + x.shape[2]], tap)
    return out
