"""Augmentations between clips: the style of another clip."""

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import MixesClips, Params, Shape, check_call, over_clip
from hiclr.datasets.preprocessing import presence
from hiclr.errors import InputError

__all__ = ["SkeleAdaIN", "transfer_statistics"]

Over = Literal["TV", "V"]
_AXES = {"TV": (2, 3), "V": (3,)}
_EPSILON = 1e-5  # added to the variance, as released


def _statistics(x: Tensor, here: Tensor, over: Over) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (N, 3, T or 1, 1, M) over where `here` (N, 1, T, 1, M) is 1; zero elsewhere."""
    if over not in _AXES:
        raise InputError(f"over must be TV or V, got {over!r}.")
    axes = _AXES[over]
    counted = here.sum(dim=axes, keepdim=True) * x.shape[3]
    mean = x.sum(dim=axes, keepdim=True) / counted.clamp(min=1)
    squares = ((x - mean) * here).square_().sum(dim=axes, keepdim=True)
    return mean, (squares / (counted - 1).clamp(min=1) + _EPSILON).sqrt()


def _towards(content: Tensor, style: Tensor, here: Tensor, there: Tensor, over: Over) -> tuple[Tensor, Tensor]:
    """(factor, offset): content * factor + offset has the statistics of style."""
    mean, deviation = _statistics(content, here, over)
    style_mean, style_deviation = _statistics(style, there, over)
    factor = style_deviation / deviation
    return factor, style_mean - mean * factor


def transfer_statistics(content: Tensor, style: Tensor, over: Over = "TV") -> Tensor:
    """Give content the mean and standard deviation of style, per clip, coordinate and person.

    Absent persons are counted as what they are, zeros; `SkeleAdaIN` leaves them out.

    Args:
        content: (N, 3, T, V, M).
        style: (N, 3, T, V, M).
        over: "TV": one statistic per clip; "V": one per frame.

    Returns:
        (N, 3, T, V, M).

    Source: SkeleAdaIN of HiCLR (arXiv 2211.13466): unbiased variance + 1e-5.
    """
    everywhere = torch.ones_like(content[:, :1, :, :1])
    factor, offset = _towards(content, style, everywhere, everywhere, over)
    return content * factor + offset


@dataclass(frozen=True)
class SkeleAdaIN(MixesClips):
    """Re-colour each clip with the statistics of another clip of the batch; strength blends the result in.

    Statistics are those of the frames in which a person is there. A person who is absent in either clip (in either
    frame, over "V") keeps what it has.

    Args:
        over: "TV" or "V"; see `transfer_statistics`.
        rolled: one shift for the whole batch, as released; otherwise a partner drawn for each clip.
        everybody: absent persons are counted as zeros and re-coloured too, as released.

    Source: HiCLR, strong augmentation; the release rolls, and re-colours the stream.
    """

    over: Over = "TV"
    rolled: bool = False
    everybody: bool = False
    after_stream: ClassVar[bool] = True

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"partner": (N,) indices into the batch, "amount": (N,)}."""
        check_call(shape, strength)
        partner = self.partners(shape[0], generator, self.rolled)
        return {"partner": partner, "amount": torch.full((shape[0],), strength, device=generator.device)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        partner = params["partner"].to(x.device)
        here = torch.ones_like(x[:, :1, :, :1]) if self.everybody else presence(x)[:, None, :, None].to(x.dtype)
        there, style = here[partner], x[partner]
        factor, offset = _towards(x, style, here, there, self.over)
        both = here * there if self.over == "V" else here * there.amax(dim=2, keepdim=True)
        amount = over_clip(params["amount"], x) * both
        return x * (1 + amount * (factor - 1)) + amount * offset
