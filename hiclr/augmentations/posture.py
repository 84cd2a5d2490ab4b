"""Augmentations of posture: the mean pose of a clip, and how far its movements leave it.

Two people who do the same thing stand differently and move more or less: that is what these two make up.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import (
    MixesClips,
    Params,
    Shape,
    check_call,
    check_within,
    over_clip,
    over_joints,
    uniform,
)
from hiclr.datasets.preprocessing import presence

__all__ = ["Exaggerate", "PoseMix", "mean_pose"]

_LARGEST_DRAW = 2.5  # standard deviations


def mean_pose(x: Tensor) -> Tensor:
    """The mean over the frames in which a person is there.

    Args:
        x: (N, 3, T, V, M); absent persons are zeros.

    Returns:
        (N, 3, 1, V, M); zeros for a person who never appears.
    """
    counted = presence(x).sum(dim=1)[:, None, None, None]  # (N, 1, 1, 1, M)
    return x.sum(dim=2, keepdim=True) / counted.clamp(min=1)


@dataclass(frozen=True)
class Exaggerate:
    """Move more, or less: the way from a person's mean pose to each pose, times a factor for the whole clip.

    The factor is exp(strength * spread * z), z from N(0, 1) within ±2.5: halving is as likely as doubling. Bones keep
    their length in the mean pose alone.

    Args:
        spread: standard deviation of the factor's logarithm at strength 1; 0.5 gives factors from 0.29 to 3.5.
    """

    spread: float = 0.5
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("Exaggerate: spread", self.spread, 0)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"factor": (N,)}."""
        check_call(shape, strength)
        z = torch.randn(shape[0], generator=generator, device=generator.device)
        return {"factor": torch.exp(strength * self.spread * z.clamp(-_LARGEST_DRAW, _LARGEST_DRAW))}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        more = over_joints(presence(x), x) * (over_clip(params["factor"], x) - 1)
        return torch.addcmul(x, x - mean_pose(x), more)


@dataclass(frozen=True)
class PoseMix(MixesClips):
    """Start from somebody else's posture: the mean pose moves towards that of another clip of the batch.

    Every clip gets a partner and an amount from U(0, most), times strength. The movement itself stays. A person who is
    absent in either clip keeps what it has.

    Args:
        most: largest amount at strength 1; at 1 the mean pose is all the partner's.
    """

    most: float = 1.0
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("PoseMix: most", self.most, 0, 1)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"partner": (N,) indices into the batch, "amount": (N,)}."""
        check_call(shape, strength)
        partner = self.partners(shape[0], generator)
        return {"partner": partner, "amount": strength * uniform((shape[0],), 0, self.most, generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        partner, here = params["partner"].to(x.device), presence(x)
        pose, anywhere = mean_pose(x), here.any(dim=1)  # (N, M)
        both = here & (anywhere & anywhere[partner])[:, None]
        return torch.addcmul(x, pose[partner] - pose, over_joints(both, x) * over_clip(params["amount"], x))
