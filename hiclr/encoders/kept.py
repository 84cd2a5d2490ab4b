"""What autograd keeps for the gradient, made again in place of being kept."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.autograd.graph import saved_tensors_hooks

from hiclr.encoders.temporal import by_hand

__all__ = ["made_again"]


def made_again(value: Tensor, make: Callable[[], Tensor]) -> AbstractContextManager[object]:
    """While entered, autograd keeps of what lies where `value` lies its shape alone, and makes it again when it is
    wanted for the gradient.

    Nothing is changed where no gradient is to come, for values of 16 bits (which are small enough), on other devices
    than a CPU, and under a compiler.

    Args:
        value: what is not to be kept; it may be written over while entered.
        make: gives what lies there in the end, to the bit and with the same strides, without a gradient.
    """
    if not torch.is_grad_enabled() or not by_hand(value) or value.element_size() < 4:
        return nullcontext()
    place, again = value.untyped_storage().data_ptr(), _Again(make)

    def pack(kept: Tensor) -> Tensor | _Part:
        if kept.untyped_storage().data_ptr() != place:
            return kept
        again.keepers += 1
        return _Part(again, kept.shape, kept.stride(), kept.storage_offset())

    def unpack(kept: Tensor | _Part) -> Tensor:
        if isinstance(kept, Tensor):
            return kept
        return kept.again.get().as_strided(kept.shape, kept.stride, kept.offset)

    return saved_tensors_hooks(pack, unpack)


@dataclass
class _Again:
    """A value that is made when it is first asked for, and forgotten once everybody who kept it has asked."""

    make: Callable[[], Tensor]
    keepers: int = 0
    asked: int = 0
    value: list[Tensor] = field(default_factory=list)

    def get(self) -> Tensor:
        if not self.value:
            with torch.no_grad(), torch.autocast("cpu", enabled=False):
                self.value.append(self.make())
        value, self.asked = self.value[0], self.asked + 1
        if self.asked % self.keepers == 0:
            self.value.clear()
        return value


@dataclass(frozen=True)
class _Part:
    """How a kept tensor lies in the value that is made again."""

    again: _Again
    shape: torch.Size
    stride: tuple[int, ...]
    offset: Any
