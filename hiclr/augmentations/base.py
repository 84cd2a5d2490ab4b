"""What an augmentation is: sample, then apply."""

from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from hiclr.errors import InputError

__all__ = ["Op", "Params", "Shape"]

Params = dict[str, Tensor]
"""What was drawn; every value has N as its first axis."""
Shape = tuple[int, ...]
"""(N, 3, T, V, M)"""


@runtime_checkable
class Op(Protocol):
    """One augmentation.

    Sampling sees the shape and never the data; applying sees no randomness. So a draw can be saved, shown, replayed
    on another stream, or applied to one clip alone. The same generator at another strength draws the same direction:
    strength 0 is exactly the identity, 1 the full setting, and the way between is continuous.
    """

    after_stream: ClassVar[bool]
    """Acts on the stream (bone, motion) and not on the positions."""

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw parameters for N clips, on the generator's device."""
        ...

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape, dtype and device; x is not modified, absent persons stay zero."""
        ...


def check_strength(strength: float) -> None:
    """Refuse a strength outside [0, 1]."""
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength must be in [0, 1], got {strength}.")


def uniform(shape: Shape, low: float, high: float, generator: Generator) -> Tensor:
    """U(low, high) on the generator's device."""
    return low + (high - low) * torch.rand(shape, generator=generator, device=generator.device)


def gate(count: int, probability: float, generator: Generator) -> Tensor:
    """(N,) bool: on with this probability, drawn for each clip; no strength enters."""
    return torch.rand(count, generator=generator, device=generator.device) < probability


def share(params: Params, x: Tensor) -> Tensor:
    """(N, 1, 1, 1, 1), how much of a blended augmentation each clip gets: 0 where off, `amount` (or 1) where on."""
    amount = params["amount"] if "amount" in params else torch.ones(len(x), device=params["on"].device)
    return (amount * params["on"]).to(x).view(-1, 1, 1, 1, 1)


def per_clip(value: Tensor, x: Tensor) -> Tensor:
    """(N, ...) parameters in the dtype and on the device of x."""
    return value.to(device=x.device, dtype=x.dtype, non_blocking=True)


def transform(matrix: Tensor, x: Tensor) -> Tensor:
    """x'_n = S_n x_n for (N, 3, 3) matrices: one batched product over all points of a clip."""
    return torch.bmm(per_clip(matrix, x), x.flatten(2)).view(x.shape)
