"""ST-GCN: graph convolution over the joints, then convolution over time, ten times."""

import math
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import batch_norm, linear

from hiclr.encoders.dropout import Dropout
from hiclr.encoders.edges import Inside, change_edges
from hiclr.encoders.gathering import gather_and_mix
from hiclr.encoders.graph import spatial_partition
from hiclr.encoders.initial import Init, initialise
from hiclr.encoders.kept import made_again
from hiclr.encoders.persons import Persons, SkeletonEncoder, check_sizes
from hiclr.encoders.temporal import TemporalConvolution
from hiclr.skeleton import Layout

__all__ = ["STGCN", "Block", "GraphConvolution"]

_BLOCKS = 10


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

    def draw_weights(self, deviation: float | None) -> None:
        """For `initialise`: weights from N(0, deviation), None keeping the scale; no bias, all edges alike."""
        self.weight.normal_(0, deviation or math.sqrt(2 / self.weight.shape[2]))
        self.bias.zero_()
        self.importance.fill_(1)

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(R, T, V, C) with an adjacency (K, V, V), or one for each row (R, K, V, V) -> (R, T, V, O)."""
        rows, frames, joints, channels = x.shape
        edges = adjacency * self.importance  # (K, V, W)
        if edges.dim() == 4:
            return self._each_its_own(x, edges)
        flat = x.reshape(rows * frames, joints, channels)
        return gather_and_mix(flat, edges, self.weight, self.bias).view(rows, frames, joints, -1)

    def _each_its_own(self, x: Tensor, edges: Tensor) -> Tensor:
        """The same with edges (R, K, V, W): all frames of a row are gathered in one product."""
        rows, frames, joints, channels = x.shape
        groups, outputs, _ = self.weight.shape
        gather = edges.permute(0, 3, 1, 2).reshape(rows, joints * groups, joints).to(x.dtype)
        gathered = torch.bmm(gather, x.transpose(1, 2).reshape(rows, joints, frames * channels))
        gathered = gathered.view(rows, joints, groups, frames, channels).permute(0, 3, 1, 2, 4)
        mix = self.weight.permute(1, 0, 2).reshape(outputs, groups * channels)
        out = linear(gathered.reshape(rows, frames, joints, groups * channels), mix)
        return out + (edges.sum(dim=2).transpose(1, 2) @ self.bias)[:, None]


class Block(nn.Module):
    """Graph convolution, temporal convolution, and a shortcut around both.

    Args:
        inputs, outputs: channels.
        groups, joints: K and V of the adjacency.
        kernel: frames that the temporal convolution sees, odd.
        stride: of the temporal convolution; 2 halves the frames (rounded up).
        dropout: rate on the result, before the shortcut is added.
        shortcut: "none" for the first block of the network, else "auto": identity where shapes allow it, else a
            1x1 convolution.
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
        self.temporal = TemporalConvolution(outputs, outputs, kernel, stride)
        self.norm_temporal = nn.BatchNorm2d(outputs)
        self.dropout = Dropout(dropout)
        self.stride = stride
        self.shortcut: nn.Module | None = None
        if shortcut == "auto":
            same = inputs == outputs and stride == 1
            self.shortcut = (
                nn.Identity() if same else nn.Sequential(nn.Conv2d(inputs, outputs, 1), nn.BatchNorm2d(outputs))
            )

    def forward(self, x: Tensor, adjacency: Tensor) -> Tensor:
        """(R, C, T, V) channels-last, adjacency as of `GraphConvolution` -> (R, O, ceil(T / stride), V) likewise."""
        h = self.graph(x.permute(0, 2, 3, 1), adjacency).permute(0, 3, 1, 2)
        h = self.norm_temporal(self._over_time(h))
        if self.shortcut is None:
            result: Tensor = self.dropout(h).relu_()
            return result
        # frames are left out before the 1x1 convolution, not by it: in the weights' gradient of a strided one with
        # channels last, oneDNN 3.12 (torch 2.13 on a CPU) writes past the end of its memory; and what is left of an odd
        # number of frames would not pass for channels last, were it not copied
        seen = x[:, :, :: self.stride].contiguous(memory_format=torch.channels_last)
        return self.dropout.add_relu(h, self._beside(seen))

    def _over_time(self, h: Tensor) -> Tensor:
        """(R, O, T, V) from the graph convolution through norm, ReLU and temporal convolution."""
        norm = self.norm_graph
        normed: Tensor = norm(h)
        if type(norm) is not nn.BatchNorm2d or not norm.training:  # statistics that are not of this batch alone
            return self.temporal(normed.relu_())  # type: ignore[no-any-return]
        with made_again(normed, lambda: batch_norm(h, None, None, norm.weight, norm.bias, True, eps=norm.eps).relu_()):
            return self.temporal(normed.relu_())  # type: ignore[no-any-return]

    def _beside(self, seen: Tensor) -> Tensor:
        """The shortcut of the frames that are left."""
        if not isinstance(self.shortcut, nn.Sequential):
            return seen
        convolution, norm = self.shortcut
        mixed = convolution(seen)
        with made_again(mixed, lambda: convolution(seen)):
            return norm(mixed)  # type: ignore[no-any-return]


class STGCN(SkeletonEncoder):
    """The ST-GCN of the HiCLR release: ten blocks, from any layout.

    Channels c, c, c, c, 2c, 2c, 2c, 4c, 4c, features; frames are halved where channels double. Batch norm over
    (joint, coordinate) comes first, means over frames, joints and persons last.

    Args:
        layout: gives V and the graph.
        channels: c; the release uses 16.
        features: D, the width of the last block.
        kernel: frames each temporal convolution sees, odd.
        dropout: rate in every block but the first.
        persons: see `mean_over_persons`; the release takes "all".
        init: see `initialise`; under "released" the features of an untrained encoder vanish.
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
        check_sizes(channels, features, kernel, dropout, persons, init)
        graph = spatial_partition(layout, reach)
        groups, joints, _ = graph.shape
        super().__init__(layout, features, persons, edge_maps=(_BLOCKS, groups))
        self.adjacency: Tensor
        self.register_buffer("adjacency", graph)
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

    def feature_map(self, rows: Tensor, inside: Inside | None = None) -> Tensor:
        """(R, T, V, 3) one person per row, and edges of the graph to drop and add -> (R, D, ceil(T / 4), V)."""
        count, frames, joints, _ = rows.shape
        h: Tensor = self.norm(rows.reshape(count * frames, joints * 3)).view(count, frames, joints, 3)
        h = h.permute(0, 3, 1, 2)  # (R, C, T, V), channels last in memory from here on
        for layer, block in enumerate(self.blocks):
            h = block(h, self.adjacency if inside is None else change_edges(self.adjacency, inside, layer))
        return h
