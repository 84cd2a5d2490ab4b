"""Convolution over time in the form that costs least on a CPU: the sums of torch's own."""

import math
from functools import cache
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

__all__ = ["TemporalConvolution"]

_WIDE = 128  # channels; below, the transforms cost what the fewer multiplications save
_AT_ONCE = 16  # clips whose spectra are held at a time: as fast as all of them, and they stay small


class TemporalConvolution(nn.Conv2d):
    """A k x 1 convolution over the frames of (R, C, T, V), zeros beyond the ends; weights as of `nn.Conv2d`.

    Many channels on a CPU are convolved through their frequencies in time, which takes a quarter of the
    multiplications. The result differs by rounding alone: by 2e-7 of the largest value in 32 bit; in bfloat16 the
    rounding error is twice that of the convolution (0.5 % of the values, in place of 0.23 %).

    Args:
        inputs, outputs: channels.
        kernel: frames it sees, odd.
        stride: frames from one output to the next.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__(inputs, outputs, (kernel, 1), (stride, 1), (kernel // 2, 0))

    def forward(self, x: Tensor) -> Tensor:
        """(R, C, T, V) -> (R, O, ceil(T / stride), V)."""
        if self._by_frequency(x):
            return _convolve_by_frequency(x.to(computed_in(x)), self.weight[..., 0], self.bias)
        return super().forward(x)

    def _by_frequency(self, x: Tensor) -> bool:
        narrow = min(self.in_channels, self.out_channels)
        known = by_hand(x) and computed_in(x) in (torch.float32, torch.bfloat16)
        return known and self.stride[0] == 1 and narrow >= _WIDE and x.shape[2] <= narrow


def by_hand(x: Tensor) -> bool:
    """Whether the functions here that bring their own gradient are taken: on a CPU, by a program that runs as written.

    A compiled one fuses by itself, an exported one is for any device.
    """
    return x.device.type == "cpu" and not torch.compiler.is_compiling()


def computed_in(x: Tensor) -> torch.dtype:
    """What products of x are computed in here: the type of autocast where it is entered (it leaves 64 bit alone)."""
    mixed = torch.is_autocast_enabled(x.device.type) and x.dtype != torch.float64
    return torch.get_autocast_dtype(x.device.type) if mixed else x.dtype


@cache
def _transforms(frames: int, kernel: int) -> tuple[Tensor, Tensor, Tensor]:
    """What turns clips, kernels and results between time and frequency, each (B, ·) float32.

    Over S = frames + kernel // 2 frames, zeros included, the convolution of `frames` outputs is circular, so it is a
    product at each frequency. A complex product (a + ib)(c + id) is made of three real ones, Gauss's:
    a(d - c), b(c + d) and (a + b)c; the frequencies that are real (0, and S / 2 for even S) need one.

    Returns:
        (B, frames) for clips, (B, kernel) for kernels, (B, frames) back to clips.
    """
    size = frames + kernel // 2
    time = torch.arange(frames, dtype=torch.float64)
    lag = torch.arange(kernel, dtype=torch.float64) - kernel // 2
    whole = 2 * math.pi / size * torch.arange(1, (size + 1) // 2, dtype=torch.float64)[:, None]
    real = 2 * math.pi / size * torch.tensor([0, size // 2] if size % 2 == 0 else [0], dtype=torch.float64)[:, None]
    a, b = torch.cos(whole * time), -torch.sin(whole * time)
    c, d = (
        torch.cos(whole * lag),
        torch.sin(whole * lag),
    )  # conjugate: the kernel is not reversed
    clips = torch.cat([a, b, a + b, torch.cos(real * time)])
    kernels = torch.cat([d - c, c + d, c, torch.cos(real * lag)])
    back = torch.cat([2 * b, -2 * a, 2 * (a + b), torch.cos(real * time)]) / size
    return clips.float(), kernels.float(), back.float()


def _convolve_by_frequency(x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """(R, C, T, V) with weight (O, C, k) and bias (O,) -> (R, O, T, V), channels last in memory."""
    with torch.autocast("cpu", enabled=False):
        out: Tensor = _ByFrequency.apply(x.permute(0, 2, 3, 1), weight)  # type: ignore[no-untyped-call]
        return (out if bias is None else out + bias.to(out.dtype)).permute(0, 3, 1, 2)


class _ByFrequency(torch.autograd.Function):
    """(R, T, V, C) with weight (O, C, k) -> (R, T, V, O); spectra are made again for the gradient, not kept."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor) -> Tensor:
        clips, kernels, back = _transforms(x.shape[1], weight.shape[2])
        weights = torch.einsum("bk,ock->bco", kernels.to(weight.dtype), weight).to(x.dtype)
        ctx.save_for_backward(x, weights)
        ctx.kernels = kernels.to(weight.dtype)
        out = x.new_empty(*x.shape[:3], weights.shape[2])
        for part, result in zip(_parts(x), _parts(out), strict=True):
            result.copy_(_in_time(torch.bmm(_spectrum(part, clips), weights), back, part))
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        x, weights = ctx.saved_tensors
        clips, _, back = _transforms(x.shape[1], ctx.kernels.shape[1])
        of_x, of_weights = torch.empty_like(x), torch.zeros_like(weights, dtype=ctx.kernels.dtype)
        for part, owed, result in zip(_parts(x), _parts(gradient), _parts(of_x), strict=True):
            product = _spectrum(owed, back)
            of_weights += torch.bmm(_spectrum(part, clips).transpose(1, 2), product)
            result.copy_(_in_time(torch.bmm(product, weights.transpose(1, 2)), clips, part))
        return of_x, torch.einsum("bk,bco->ock", ctx.kernels, of_weights)


def _parts(x: Tensor) -> tuple[Tensor, ...]:
    return torch.split(x, _AT_ONCE)


def _spectrum(x: Tensor, transform: Tensor) -> Tensor:
    """(R, T, V, C) with a transform (B, T) -> (B, R V, C)."""
    flat = x.transpose(0, 1).reshape(x.shape[1], -1)
    return (transform.to(x.dtype) @ flat).view(len(transform), -1, x.shape[3])


def _in_time(spectrum: Tensor, transform: Tensor, like: Tensor) -> Tensor:
    """(B, R V, O) with a transform (B, T), and clips (R, T, V, .) -> (R, T, V, O)."""
    rows, frames, joints, _ = like.shape
    flat = transform.t().to(spectrum.dtype).contiguous() @ spectrum.view(len(transform), -1)
    return flat.view(frames, rows, joints, spectrum.shape[2]).transpose(0, 1)
