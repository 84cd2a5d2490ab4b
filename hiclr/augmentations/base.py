"""What an augmentation is: sample, then apply."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import ClassVar, Protocol, runtime_checkable

import torch
from torch import Generator, Tensor

from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS, Layout

__all__ = ["ActsInside", "MixesClips", "Op", "Params", "Shape", "code"]

Params = dict[str, Tensor]
"""What was drawn; every value has N as its first axis."""
Shape = tuple[int, ...]
"""(N, 3, T, V, M)"""


@runtime_checkable
class Op(Protocol):
    """One augmentation.

    Sampling sees the shape and never the data; applying sees no randomness. So a draw can be saved, shown, replayed
    on another stream, or applied to one clip alone. The same generator at another strength draws the same direction:
    strength 0 is exactly the identity, 1 the full setting, and the way between is continuous. An augmentation that
    happens to some clips only is a gate "on" (N,) in the parameters; strength never moves the gate.
    """

    after_stream: ClassVar[bool]
    """Acts on the stream (bone, motion) and not on the positions."""

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw parameters for N clips of this shape (N, 3, T, V, M), on the generator's device.

        Raises:
            InputError: strength outside [0, 1], or not the shape of clips.
        """
        ...

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape, unit, dtype and device.

        x is not modified and absent persons stay zero. Parameters may live on another device.
        """
        ...


class MixesClips:
    """What an augmentation is that takes something from another clip of the batch, its partner.

    It needs the batch: a clip alone is its own partner and stays as it is.
    """

    @staticmethod
    def partners(count: int, generator: Generator, rolled: bool = False) -> Tensor:
        """(N,) indices into a batch of N clips, nobody's own; `rolled`: one shift for the whole batch."""
        device = generator.device
        step = torch.randint(1, max(count, 2), (1 if rolled else count,), generator=generator, device=device)
        return (torch.arange(count, device=device) + step) % count


class ActsInside:
    """What an augmentation is that acts, wholly or in part, inside the networks and not on the clips."""

    @property
    def within(self) -> frozenset[str]:
        """Where: "edges" of the encoder, "hidden" places that a learned value goes to; nowhere by these settings."""
        return frozenset()

    def inside(self, x: Tensor, params: Params) -> Params:  # noqa: ARG002 - nothing is done by itself
        """What the networks are told of N clips, each value with N as its first axis and all zeros for no change.

        Args:
            x: (N, 3, T, V, M) of the stream, before this augmentation.
            params: what was drawn.
        """
        return {}


def check_call(shape: Shape, strength: float) -> None:
    """Refuse what no augmentation can draw for."""
    if not 0.0 <= strength <= 1.0:
        raise InputError(f"strength must be in [0, 1], got {strength}.")
    if len(shape) != 5 or shape[1] != 3:
        raise InputError(
            "An augmentation draws for clips of shape (N, 3, T, V, M): clips, coordinates, frames, joints, persons; "
            f"got {tuple(shape)}."
        )


def check_within(what: str, value: float, low: float, high: float = float("inf")) -> None:
    """Refuse a setting outside [low, high]."""
    if not low <= value <= high:
        wanted = f"at least {low:g}" if high == float("inf") else f"in [{low:g}, {high:g}]"
        raise InputError(f"{what} must be {wanted}, got {value}.")


def uniform(shape: Sequence[int], low: float, high: float, generator: Generator) -> Tensor:
    """U(low, high) in float32 on the generator's device."""
    draws = torch.rand(tuple(shape), generator=generator, device=generator.device, dtype=torch.float32)
    return low + (high - low) * draws


def gate(count: int, probability: float, generator: Generator) -> Tensor:
    """(N,) bool: on with this probability, drawn for each clip; no strength enters."""
    return uniform((count,), 0, 1, generator) < probability


def per_clip(value: Tensor, x: Tensor) -> Tensor:
    """(N, ...) parameters in the dtype and on the device of x."""
    return value.to(device=x.device, dtype=x.dtype)


def over_clip(value: Tensor, x: Tensor) -> Tensor:
    """(N,) parameters as (N, 1, 1, 1, 1), to act on all of a clip."""
    return per_clip(value, x).view(-1, 1, 1, 1, 1)


def over_joints(value: Tensor, x: Tensor) -> Tensor:
    """(N, T, M) as (N, 1, T, V, M) in the dtype of x: written out, which is faster than broadcasting M last."""
    return value.to(x.dtype)[:, None, :, None].expand(-1, -1, -1, x.shape[3], -1).contiguous()


def share(params: Params, x: Tensor) -> Tensor:
    """(N, 1, 1, 1, 1), how much of a blended augmentation each clip gets: 0 where off, `amount` (or 1) where on."""
    return over_clip(params["amount"] * params["on"] if "amount" in params else params["on"], x)


def transform(matrix: Tensor, x: Tensor) -> Tensor:
    """x'_n = S_n x_n for (N, 3, 3) matrices.

    Three multiplications and no matrix product: that would be rounded to TF32 or bfloat16 where the training asks for
    it, and strength 0 would not be the identity.
    """
    columns = per_clip(matrix, x)[..., None, None, None].unbind(2)  # 3 x (N, 3, 1, 1, 1)
    out = columns[0] * x[:, 0:1]
    return out.addcmul_(columns[1], x[:, 1:2]).addcmul_(columns[2], x[:, 2:3])


def code(value: object) -> str:
    """An augmentation as Python that makes it again: only what differs from its defaults is written."""
    if isinstance(value, Layout):
        return f"LAYOUTS[{value.name!r}]" if LAYOUTS.get(value.name) == value else repr(value)
    if isinstance(value, tuple):
        return f"({', '.join(map(code, value))},)" if value else "()"
    if not is_dataclass(value):
        return repr(value)
    changed = [f for f in fields(value) if not _same(getattr(value, f.name), f.default)]
    arguments = ", ".join(f"{f.name}={code(getattr(value, f.name))}" for f in changed)
    return f"{type(value).__name__}({arguments})"


def _same(value: object, default: object) -> bool:
    return value is default or (not isinstance(value, Tensor) and value == default)
