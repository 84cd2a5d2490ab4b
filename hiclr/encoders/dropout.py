"""Dropout that costs little on a CPU, and the end of a block in one pass: the odds and the sums of torch's own."""

import math
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from hiclr.encoders.temporal import by_hand

__all__ = ["Dropout"]

_LEVELS = 1 << 16
_WORDS = {torch.bfloat16: torch.int16, torch.float16: torch.int16, torch.float32: torch.int32}


class Dropout(nn.Dropout):
    """Dropout with odds in steps of 1 / 65,536, drawn 16 bits at a time on a CPU: torch's takes 2.5 times as long.
    Even odds take one bit for each value.

    What is kept is scaled by one over its share, as ever; draws come from torch's global generator.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        if not self._cheap(x):
            return functional.dropout(x, self.p, self.training)
        return x * _factors(x, self.p, _draw(x, self.p))

    def add_relu(self, x: Tensor, shortcut: Tensor) -> Tensor:
        """`relu(dropout(x) + shortcut)`, both (R, C, T, V) -> the same, written over x where it can be; of the draw the
        bits alone are remembered."""
        if self._cheap(x) and x.dtype == shortcut.dtype and x.stride() == shortcut.stride():
            result: Tensor = _AddRelu.apply(x, shortcut, self.p)  # type: ignore[no-untyped-call]
            return result
        dropped: Tensor = self(x)
        return (dropped + shortcut).relu_()

    def _cheap(self, x: Tensor) -> bool:
        dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
        drops = self.training and 0 < round(self.p * _LEVELS) < _LEVELS
        return drops and dense and by_hand(x)


def _draw(x: Tensor, rate: float) -> Tensor:
    """What decides on each value of x: at even odds a bit of each, else its 16 bits compared with the rate."""
    if rate == 0.5 and x.dtype in _WORDS:
        kind = _WORDS[x.dtype]
        count = math.ceil(x.numel() / (torch.iinfo(kind).bits - 1))  # the sign is not used
        words = torch.empty(math.ceil(count * x.element_size() / 8), dtype=torch.int64)
        return words.random_(-(2**63), None).view(kind)[:count]
    levels = round(rate * _LEVELS)
    words = torch.empty(math.ceil(x.numel() / 2), dtype=torch.int32).random_(-(2**31), 2**31)
    return words.view(torch.int16)[: x.numel()] >= levels - _LEVELS // 2


def _factors(x: Tensor, rate: float, drawn: Tensor) -> Tensor:
    """0 where x is dropped, one over the kept share elsewhere; laid out as x."""
    if drawn.dtype == torch.bool:
        levels = round(rate * _LEVELS)
        flat = drawn.to(x.dtype).mul_(_LEVELS / (_LEVELS - levels))
    else:  # each bit of the words is moved to where it alone makes the number 2
        highest = torch.iinfo(drawn.dtype).bits - 2
        moved = drawn << torch.arange(highest + 1, dtype=drawn.dtype)[:, None]
        flat = moved.bitwise_and_(1 << highest).view(x.dtype)
    return flat.as_strided(x.shape, x.stride())


class _AddRelu(torch.autograd.Function):
    """`relu(dropout(x) + shortcut)` of tensors that lie in memory alike."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, shortcut: Tensor, rate: float) -> Tensor:
        ctx.rate, drawn = rate, _draw(x, rate)
        torch.addcmul(shortcut, x, _factors(x, rate, drawn), out=x).relu_()
        ctx.mark_dirty(x)
        ctx.save_for_backward(x, drawn)
        return x

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:
        result, drawn = ctx.saved_tensors
        passed = torch.empty_like(result)  # laid out as the values are, whatever the layout of the gradient
        torch.ops.aten.threshold_backward.grad_input(gradient, result, 0, grad_input=passed)
        return _factors(result, ctx.rate, drawn).mul_(passed), passed, None
