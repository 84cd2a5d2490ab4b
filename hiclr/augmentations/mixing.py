"""Augmentations between clips: the style of another clip."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import Params, Shape, check_strength
from hiclr.datasets.preprocessing import presence

__all__ = ["SkeleAdaIN", "transfer_statistics"]

Over = Literal["TV", "V"]
_EPSILON = 1e-5  # added to the variance, as released


def _statistics(x: Tensor, over: Over) -> tuple[Tensor, Tensor]:
    axes = (2, 3) if over == "TV" else (3,)
    # one frame of one joint has no spread: a correction of 1 would divide by zero
    correction = 1 if x[0, 0].numel() // x.shape[-1] > 1 and (over == "TV" or x.shape[3] > 1) else 0
    variance, mean = torch.var_mean(x, dim=axes, correction=correction, keepdim=True)
    return mean, (variance + _EPSILON).sqrt()


def transfer_statistics(content: Tensor, style: Tensor, over: Over = "TV") -> Tensor:
    """Give content the mean and standard deviation of style, per clip, coordinate and person.

    Args:
        content: (N, 3, T, V, M).
        style: (N, 3, T, V, M).
        over: "TV": one statistic per clip; "V": one per frame.

    Returns:
        (N, 3, T, V, M).

    Source: SkeleAdaIN of HiCLR (arXiv 2211.13466): unbiased variance + 1e-5.
    """
    mean, deviation = _statistics(content, over)
    style_mean, style_deviation = _statistics(style, over)
    return (content - mean) / deviation * style_deviation + style_mean


@dataclass(frozen=True)
class SkeleAdaIN:
    """Re-colour each clip with the statistics of another clip of the batch; strength blends the result in.

    A person who is absent in either clip keeps what it has.

    Args:
        over: "TV" or "V"; see `transfer_statistics`.
        rolled: one shift for the whole batch, as released; otherwise a partner drawn for each clip.

    Source: HiCLR, strong augmentation. Needs the batch: a clip alone is its own partner and stays as it is.
    """

    over: Over = "TV"
    rolled: bool = False
    after_stream: ClassVar[bool] = False

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"partner": (N,) indices into the batch, "amount": (N,)}."""
        check_strength(strength)
        count = shape[0]
        draws = 1 if self.rolled else count
        step = torch.randint(1, max(count, 2), (draws,), generator=generator, device=generator.device)
        partner = (torch.arange(count, device=generator.device) + step) % count
        return {"partner": partner, "amount": torch.full((count,), strength, device=generator.device)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        partner = params["partner"].to(x.device)
        style = x[partner]
        here = presence(x)
        known = here.any(dim=1) & here[partner].any(dim=1)  # (N, M)
        wanted = (here & known[:, None])[:, None, :, None, :] & (partner != torch.arange(len(x), device=x.device)).view(
            -1, 1, 1, 1, 1
        )
        amount = params["amount"].to(x).view(-1, 1, 1, 1, 1)
        return torch.lerp(x, transfer_statistics(x, style, self.over), amount * wanted.to(x.dtype))
