"""Graph convolution as products of matrices, with the gradient that costs least on a CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from hiclr.encoders.temporal import by_hand, computed_in

__all__ = ["gather_and_mix"]

_FEW = 4  # channels; up to here one product over joints and channels at once is faster than two small ones
_AT_ONCE = 1 << 21  # bytes


def gather_and_mix(x: Tensor, edges: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """`out[f, w] = sum_k sum_v edges[k, v, w] (weight[k] x[f, v] + bias[k])`.

    Joints are gathered before channels are mixed, which is the same sum and moves less memory while C <= O. With
    channels last, the gathered joints already lie as the second product wants them. In 32 bit on a CPU they are
    gathered once more for the gradient, not kept: they take as much memory as all else that a block keeps.

    Args:
        x: (F, V, C), the frames of all clips.
        edges: (K, V, W).
        weight: (K, O, C).
        bias: (K, O).

    Returns:
        (F, W, O), in the arithmetic of autocast where it is entered.
    """
    offset = edges.sum(dim=1).t() @ bias  # (W, O)
    if x.shape[2] <= _FEW:
        return _at_once(x, edges, weight, offset)
    if (
        not by_hand(x) or computed_in(x).itemsize < 4
    ):  # in 16 bits there is room, and gathering again takes 7 % of a step
        return linear(_gather(x, edges), _mix(weight)) + offset
    out: Tensor = _GatherAndMix.apply(x, edges, weight, offset)  # type: ignore[no-untyped-call]
    return out


def _at_once(x: Tensor, edges: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
    frames, joints, channels = x.shape
    groups, _, receivers = edges.shape
    pairs = edges.reshape(groups, joints * receivers).t() @ weight.reshape(groups, -1)
    whole = pairs.view(joints, receivers, -1, channels).permute(0, 3, 1, 2).reshape(joints * channels, -1)
    return torch.addmm(offset.flatten(), x.reshape(frames, -1), whole).view(frames, receivers, -1)


def _gather(x: Tensor, edges: Tensor) -> Tensor:
    """(F, V, C) -> (F, W, K C)."""
    (frames, joints, channels), (groups, _, receivers) = x.shape, edges.shape
    gather = edges.permute(2, 0, 1).reshape(1, receivers * groups, joints).to(x.dtype)  # row w K + k
    return torch.bmm(gather.expand(frames, -1, -1), x).view(frames, receivers, groups * channels)


def _mix(weight: Tensor) -> Tensor:
    """(K, O, C) -> (O, K C)."""
    return weight.permute(1, 0, 2).reshape(weight.shape[1], -1)


class _GatherAndMix(torch.autograd.Function):
    """The same with offset (W, O), some frames at a time: what is gathered of them fits into a processor's cache.

    Sums over frames are products with ones, which cost a tenth of torch's sums.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, edges: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
        mix = _mix(weight)
        ctx.save_for_backward(x, edges, mix)
        out = x.new_empty(x.shape[0], *offset.shape)
        for some in _parts(x, edges):
            torch.mm(_gather(x[some], edges).flatten(0, 1), mix.t(), out=out[some].flatten(0, 1))
            out[some] += offset
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, edges, mix = ctx.saved_tensors
        groups, joints, receivers = edges.shape
        gradient, of_x = gradient.contiguous(), torch.empty_like(x)
        of_mix, of_offset = torch.zeros_like(mix), x.new_zeros(gradient.shape[1:])
        of_edges = edges.new_zeros(receivers * groups, joints)
        scatter = edges.permute(1, 2, 0).reshape(1, joints, -1)
        for some in _parts(x, edges):
            rows, frames = gradient[some].flatten(0, 1), some.stop - some.start
            of_mix += rows.t() @ _gather(x[some], edges).flatten(0, 1)
            of_gathered = (rows @ mix).view(frames, receivers * groups, -1)
            torch.bmm(scatter.expand(frames, -1, -1), of_gathered, out=of_x[some])
            of_edges += _total(torch.bmm(of_gathered, x[some].transpose(1, 2)))
            of_offset += _total(gradient[some])
        by_group = of_mix.view(len(of_mix), groups, -1).permute(1, 0, 2)
        return of_x, of_edges.view(receivers, groups, joints).permute(1, 2, 0), by_group, of_offset


def _parts(x: Tensor, edges: Tensor) -> list[slice]:
    """Frames of x (F, V, C) that are gathered at a time."""
    groups, _, receivers = edges.shape
    size = max(1, _AT_ONCE // (receivers * groups * x.shape[2] * x.element_size()))
    return [slice(start, min(start + size, len(x))) for start in range(0, len(x), size)]


def _total(x: Tensor) -> Tensor:
    """(F, A, B) -> (A, B), the sum over F."""
    return (x.new_ones(1, len(x)) @ x.view(len(x), -1)).view(x.shape[1:])
