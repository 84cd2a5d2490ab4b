"""Graph convolution as products of matrices, with the gradient that costs least on a CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import linear

from hiclr.encoders.temporal import by_hand, computed_in

__all__ = ["gather_and_mix"]

_FEW = 4  # channels; up to here one product over joints and channels at once is faster than two small ones


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
    if not by_hand(x):
        return linear(_gather(x, edges), _mix(weight)) + offset
    dtype = computed_in(x)
    with torch.autocast(x.device.type, enabled=False):
        out: Tensor = _GatherAndMix.apply(x.to(dtype), edges, weight, offset)  # type: ignore[no-untyped-call]
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
    """The same with offset (W, O); sums over frames are products with ones, which cost a tenth of torch's sums."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, edges: Tensor, weight: Tensor, offset: Tensor) -> Tensor:
        gathered, mix = _gather(x, edges), _mix(weight).to(x.dtype)
        ctx.save_for_backward(x, edges, mix, gathered if x.element_size() < 4 else None)
        return linear(gathered, mix).add_(offset.to(x.dtype))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        x, edges, mix, kept = ctx.saved_tensors
        (frames, joints, channels), (groups, _, receivers) = x.shape, edges.shape
        rows = gradient.reshape(frames * receivers, -1)
        gathered = (_gather(x, edges) if kept is None else kept).view(len(rows), -1)
        of_mix = (rows.t() @ gathered).view(-1, groups, channels).permute(1, 0, 2)
        of_gathered = (rows @ mix).view(frames, receivers * groups, channels)
        scatter = edges.permute(1, 2, 0).reshape(1, joints, -1).to(x.dtype)
        of_x = torch.bmm(scatter.expand(frames, -1, -1), of_gathered)
        of_edges = _total(torch.bmm(of_gathered, x.transpose(1, 2))).view(receivers, groups, joints).permute(1, 2, 0)
        return of_x, of_edges.to(edges.dtype), of_mix.to(edges.dtype), _total(rows.view(frames, receivers, -1))


def _total(x: Tensor) -> Tensor:
    """(F, A, B) -> (A, B), the sum over F."""
    return (x.new_ones(1, len(x)) @ x.view(len(x), -1)).view(x.shape[1:])
