"""ST-GCN: graph convolution over the joints, then convolution over time, ten times."""

import math
from itertools import pairwise
from typing import Literal, get_args

import torch
from torch import Tensor, nn
from torch.nn.functional import linear

from hiclr.encoders.graph import spatial_partition
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["STGCN", "Init", "Persons", "initialise"]

Persons = Literal["present", "all"]
Init = Literal["default", "released"]


class GraphConvolution(nn.Module):
    """`out[w] = sum_k sum_v importance[k, v, w] adjacency[k, v, w] (weight[k] x[v] + bias[k])`.

    Args:
        inputs: channels C that come in.
        outputs: channels O that go out.
        groups: K, the first axis of the adjacency.
        joints: V.

    Source: ST-GCN (arXiv 1801.07455), with its learnable edge importance.
    """

    def __init__(self, inputs: int, outputs: int, groups: int, joints: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(groups, outputs, inputs) * math.sqrt(2 / inputs))
        self.bias = nn.Parameter(torch.zeros(groups, outputs))
        self.importance = nn.Parameter(torch.ones(groups, joints, joints))

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(R, T, V, C) -> (R, T, V, O).

        Joints are gathered before channels are mixed, which is the same sum and moves less memory while C <= O. With
        channels last, the gathered joints already lie as the second product wants them.
        """
        rows, frames, joints, channels = x.shape
        groups, outputs, _ = self.weight.shape
        edges = adjacency * self.importance  # (K, V, W)
        gather = edges.permute(2, 0, 1).reshape(1, joints * groups, joints).to(x.dtype)  # row w K + k
        flat = x.reshape(rows * frames, joints, channels)
        gathered = torch.bmm(gather.expand(rows * frames, -1, -1), flat)  # (R T, W K, C)
        mix = self.weight.permute(1, 0, 2).reshape(outputs, groups * channels)
        out = linear(gathered.view(rows, frames, joints, groups * channels), mix)
        return out + edges.sum(dim=1).t() @ self.bias


class Block(nn.Module):
    """Graph convolution, temporal convolution, and a shortcut around both.

    Args:
        inputs, outputs: channels.
        groups, joints: K and V of the adjacency.
        kernel: frames that the temporal convolution sees, odd.
        stride: of the temporal convolution; 2 halves the frames (rounded up).
        dropout: rate on the result, before the shortcut is added.
        shortcut: "none" for the first block of the network, else "auto": identity where shapes allow it, else a
            strided 1x1 convolution.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        groups: int,
        joints: int,
        kernel: int,
        stride: int = 1,
        dropout: float = 0.0,
        shortcut: Literal["auto", "none"] = "auto",
    ) -> None:
        super().__init__()
        self.graph = GraphConvolution(inputs, outputs, groups, joints)
        self.norm_graph = nn.BatchNorm2d(outputs)
        self.temporal = nn.Conv2d(outputs, outputs, (kernel, 1), (stride, 1), (kernel // 2, 0))
        self.norm_temporal = nn.BatchNorm2d(outputs)
        self.dropout = nn.Dropout(dropout)
        self.shortcut: nn.Module | None = None
        if shortcut == "auto":
            same = inputs == outputs and stride == 1
            self.shortcut = (
                nn.Identity()
                if same
                else nn.Sequential(nn.Conv2d(inputs, outputs, 1, (stride, 1)), nn.BatchNorm2d(outputs))
            )

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(R, C, T, V) channels-last -> (R, O, ceil(T / stride), V) channels-last."""
        h = self.graph(x.permute(0, 2, 3, 1), adjacency).permute(0, 3, 1, 2)
        h = self.norm_graph(h).relu_()
        h = self.dropout(self.norm_temporal(self.temporal(h)))
        if self.shortcut is not None:
            h = h + self.shortcut(x)
        result: Tensor = h.relu_()
        return result


class STGCN(nn.Module):
    """The ST-GCN of the HiCLR release: ten blocks, from any layout.

    Channels c, c, c, c, 2c, 2c, 2c, 4c, 4c, features; frames are halved where channels double. Batch norm over
    (joint, coordinate) comes first, means over frames, joints and persons last.

    Args:
        layout: gives V and the graph.
        channels: c; the release uses 16.
        features: D, the width of the last block.
        kernel: frames each temporal convolution sees, odd.
        dropout: rate in every block but the first.
        persons: "present": only persons that occur in a clip enter the network, and the mean is over them; a clip of
            one person stored as two costs half. "all": every person, absent ones as zeros, as the release does.
        init: "default" keeps the scale of the features at any depth. "released" draws all weights from N(0, 0.02),
            under which the features of an untrained encoder vanish.
        reach: see `spatial_partition`.

    Raises:
        InputError: a size that is no positive number, an even kernel, an unknown choice.

    Source: ST-GCN (arXiv 1801.07455); sizes of HiCLR (arXiv 2211.13466).
    """

    def __init__(
        self,
        layout: Layout,
        channels: int = 16,
        features: int = 256,
        kernel: int = 9,
        dropout: float = 0.5,
        persons: Persons = "present",
        init: Init = "default",
        reach: int | None = 1,
    ) -> None:
        super().__init__()
        _check(channels, features, kernel, dropout, persons, init)
        self.layout, self.features, self.persons = layout, features, persons
        self.adjacency: Tensor
        self.register_buffer("adjacency", spatial_partition(layout, reach))
        groups, joints, _ = self.adjacency.shape
        self.norm = nn.BatchNorm1d(joints * 3)
        c = channels
        widths = [3, c, c, c, c, 2 * c, 2 * c, 2 * c, 4 * c, 4 * c, features]
        self.blocks = nn.ModuleList(
            Block(
                inputs,
                outputs,
                groups,
                joints,
                kernel,
                stride=2 if i in (4, 7) else 1,
                dropout=dropout if i else 0.0,
                shortcut="auto" if i else "none",
            )
            for i, (inputs, outputs) in enumerate(pairwise(widths))
        )
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, T, V, M) positions in metres, absent persons zero -> (N, D) features.

        With persons "present", a clip in which nobody is present is encoded from its first, all-zero person.

        Raises:
            InputError: x has another shape, or another V than the layout.
        """
        joints = self.adjacency.shape[-1]
        if x.dim() != 5 or x.shape[1] != 3 or x.shape[3] != joints:
            raise InputError(
                f"The encoder wants clips (N, 3, T, {joints}, M) in the layout {self.layout.name!r}; "
                f"it got {tuple(x.shape)}."
            )
        clips, _, frames, _, persons = x.shape
        rows = x.permute(0, 4, 2, 3, 1).reshape(clips * persons, frames, joints, 3)
        if self.persons == "all" or persons == 1:
            return self._encode(rows).view(clips, persons, -1).mean(dim=1)
        present = x.ne(0).flatten(1, 3).any(dim=1)  # (N, M)
        present[:, 0] |= ~present.any(dim=1)
        kept = present.flatten().nonzero().squeeze(1)
        encoded = self._encode(rows.index_select(0, kept))
        # written to their own slots, then summed: the order of additions is fixed on every device
        slots = encoded.new_zeros(clips * persons, self.features).index_copy(0, kept, encoded)
        return slots.view(clips, persons, -1).sum(dim=1) / present.sum(dim=1, keepdim=True)

    def _encode(self, rows: Tensor) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, D)."""
        count, frames, joints, _ = rows.shape
        h = self.norm(rows.reshape(count * frames, joints * 3)).view(count, frames, joints, 3)
        h = h.permute(0, 3, 1, 2)  # (R, C, T, V), channels last in memory from here on
        for block in self.blocks:
            h = block(h, self.adjacency)
        pooled: Tensor = h.mean(dim=(2, 3))
        return pooled


def _check(channels: int, features: int, kernel: int, dropout: float, persons: str, init: str) -> None:
    for name, value in {"channels": channels, "features": features, "kernel": kernel}.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1; it is {value}.")
    if kernel % 2 == 0:
        raise InputError(f"kernel must be odd, so that it has a middle frame; it is {kernel}.")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be in [0, 1); it is {dropout}.")
    for name, choice, choices in (("persons", persons, get_args(Persons)), ("init", init, get_args(Init))):
        if choice not in choices:
            raise InputError(f"{name} must be one of {', '.join(choices)}; it is {choice!r}.")


@torch.no_grad()
def initialise(module: nn.Module, init: Init) -> None:
    """Draw the weights of an encoder or a head anew, from torch's global generator.

    "default": normal with variance 2 / inputs, where inputs counts what is summed into one output. "released":
    N(0, 0.02) for weights and N(1, 0.02) for batch-norm weights. Biases are zero, edge importances one, in both.
    """
    for part in module.modules():
        if isinstance(part, GraphConvolution):
            part.bias.zero_()
            part.importance.fill_(1)
            part.weight.normal_(0, 0.02 if init == "released" else math.sqrt(2 / part.weight.shape[2]))
        elif isinstance(part, nn.Conv2d | nn.Linear):
            part.weight.normal_(0, 0.02 if init == "released" else math.sqrt(2 / part.weight[0].numel()))
            if part.bias is not None:
                part.bias.zero_()
        elif isinstance(part, nn.BatchNorm1d | nn.BatchNorm2d):
            part.bias.zero_()
            part.weight.fill_(1)
            if init == "released":
                part.weight.normal_(1, 0.02)
