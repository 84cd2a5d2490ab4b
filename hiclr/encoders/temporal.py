"""Convolution over time and dropout, in the forms that cost least on a CPU: the sums and the odds of torch's own."""

import math
from functools import cache

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = ["Dropout", "TemporalConvolution"]

_WIDE = 128  # channels; below, the transforms cost what the fewer multiplications save
_LEVELS = 1 << 16


class TemporalConvolution(nn.Conv2d):
    """A k x 1 convolution over the frames of (R, C, T, V), zeros beyond the ends; weights as of `nn.Conv2d`.

    Many channels in 32 bit on a CPU are convolved through their frequencies in time, which takes a quarter of the
    multiplications; the result differs by rounding alone (2e-7 of the largest value).

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
            return _convolve_by_frequency(x, self.weight[..., 0], self.bias)
        return super().forward(x)

    def _by_frequency(self, x: Tensor) -> bool:
        narrow = min(self.in_channels, self.out_channels)
        plain = x.device.type == "cpu" and x.dtype == torch.float32 and not torch.is_autocast_enabled("cpu")
        if torch.compiler.is_exporting():  # a program for any device and any machine
            return False
        return plain and self.stride[0] == 1 and narrow >= _WIDE and x.shape[2] <= narrow


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
    rows, channels, frames, joints = x.shape
    outputs, _, kernel = weight.shape
    clips, kernels, back = _transforms(frames, kernel)
    spectrum = clips @ x.permute(2, 0, 3, 1).reshape(frames, -1)
    weights = torch.einsum("bk,ock->bco", kernels, weight)
    product = torch.bmm(spectrum.view(len(clips), rows * joints, channels), weights)
    out = (back.t() @ product.view(len(clips), -1)).view(frames, rows, joints, outputs)
    out = out.permute(1, 0, 2, 3).contiguous()
    return (out if bias is None else out + bias).permute(0, 3, 1, 2)


class Dropout(nn.Dropout):
    """Dropout with odds in steps of 1 / 65,536, drawn 16 bits at a time on a CPU: torch's takes 2.5 times as long.

    What is kept is scaled by one over its share, as ever; draws come from torch's global generator.
    """

    def forward(self, x: Tensor) -> Tensor:
        """Any shape -> the same."""
        levels = round(self.p * _LEVELS)
        dense = x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)
        if not self.training or not 0 < levels < _LEVELS or x.device.type != "cpu" or not dense:
            return functional.dropout(x, self.p, self.training)
        words = torch.empty((x.numel() + 1) // 2, dtype=torch.int32).random_(-(2**31), 2**31)
        kept = words.view(torch.int16).as_strided(x.shape, x.stride()) >= levels - _LEVELS // 2
        return (x * kept).mul_(_LEVELS / (_LEVELS - levels))
