"""DSTA: attention between the joints, then convolution over time, eight times. The paper's Transformer."""

import math
from collections.abc import Callable
from functools import partial
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import leaky_relu

from hiclr.encoders.edges import Inside, change_edges
from hiclr.encoders.initial import Init, initialise
from hiclr.encoders.persons import Persons, SkeletonEncoder, check_sizes
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["DSTA", "AttentionBlock", "JointAttention"]

_SLOPE = 0.1  # of every leaky ReLU
Change = Callable[[Tensor], Tensor]
_STRIDES = (1, 1, 2, 1, 2, 1, 1, 1)


def _positions(joints: int, channels: int) -> Tensor:
    """(C, 1, V): sines in even channels, cosines in odd ones, of the joint's number."""
    rate = torch.exp(torch.arange(0, channels, 2) * (-math.log(10000.0) / channels))
    angle = torch.arange(joints)[:, None] * rate
    table = torch.stack([angle.sin(), angle.cos()], dim=2).flatten(1)
    return table[:, :channels].t()[:, None]


class JointAttention(nn.Module):
    """What each joint gathers from the others, by several maps (V, V): one part learned, one part from the clip.

    `map = shared + scale tanh(query key / (E T))`, over all frames at once; no softmax.

    Args:
        channels: C.
        width: E, channels of a query and of a key.
        maps: S.
        joints: V.

    Source: DSTA-Net (arXiv 2007.03263), in the form of the HiCLR release.
    """

    def __init__(self, channels: int, width: int, maps: int, joints: int) -> None:
        super().__init__()
        self.maps, self.width = maps, width
        self.compare = nn.Conv2d(channels, 2 * maps * width, 1)
        self.scale = nn.Parameter(torch.ones(1, maps, 1, 1))
        self.shared = nn.Parameter(torch.full((1, maps, joints, joints), 1 / joints))
        self.positions: Tensor
        self.register_buffer("positions", _positions(joints, channels), persistent=False)

    def draw_weights(self, _: float | None) -> None:
        """For `initialise`: every joint gathers the mean of all."""
        self.scale.fill_(1)
        self.shared.fill_(1 / self.shared.shape[3])

    def attention(self, x: Tensor) -> Tensor:
        """(R, C, T, V) -> (R, S, V, V), summed over the first V when joints are gathered."""
        rows, _, frames, joints = x.shape
        compared = self.compare(x + self.positions.to(x.dtype))
        query, key = compared.view(rows, 2, self.maps, self.width * frames, joints).unbind(1)
        return self.shared + self.scale * torch.tanh(query.transpose(2, 3) @ key / (self.width * frames))

    def forward(self, x: Tensor, change: Change | None = None) -> Tensor:
        """(R, C, T, V) -> (R, S C, T, V); `change` may change the attention before it is used."""
        rows, channels, frames, joints = x.shape
        attention = self.attention(x) if change is None else change(self.attention(x))
        gathered = x.reshape(rows, 1, channels * frames, joints) @ attention.to(x.dtype)
        return gathered.view(rows, self.maps * channels, frames, joints)


class AttentionBlock(nn.Module):
    """Attention, a layer on each joint, convolution over time, each with a shortcut from the block's input.

    Args:
        inputs, outputs: channels.
        width, maps, joints: see `JointAttention`.
        kernel: frames that the convolution sees, odd.
        stride: 2 halves the frames (rounded up).
        dropout: rate on the last shortcut, as released.
    """

    def __init__(
        self, inputs: int, outputs: int, width: int, maps: int, joints: int, kernel: int, stride: int, dropout: float
    ) -> None:
        super().__init__()
        same = inputs == outputs and stride == 1
        self.attend = JointAttention(inputs, width, maps, joints)
        self.mix = _normed(maps * inputs, outputs)
        self.feed = _normed(outputs, outputs)
        self.temporal = _normed(outputs, outputs, kernel, stride)
        self.around_mix = nn.Identity() if same else _normed(inputs, outputs)
        self.around_feed = nn.Identity() if same else _normed(inputs, outputs)
        self.around_temporal = nn.Identity() if same else _normed(outputs, outputs)
        self.dropout = nn.Dropout(dropout)
        self.stride = stride

    def forward(self, x: Tensor, change: Change | None = None) -> Tensor:
        """(R, C, T, V) -> (R, O, ceil(T / stride), V); `change` as of `JointAttention`."""
        h = leaky_relu(self.around_mix(x) + self.mix(self.attend(x, change)), _SLOPE)
        h = leaky_relu(self.around_feed(x) + self.feed(h), _SLOPE)
        around = self.around_temporal(h[:, :, :: self.stride])
        return leaky_relu(self.dropout(around) + self.temporal(h), _SLOPE)


def _normed(inputs: int, outputs: int, kernel: int = 1, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, (kernel, 1), (stride, 1), (kernel // 2, 0)), nn.BatchNorm2d(outputs)
    )


class DSTA(SkeletonEncoder):
    """The Transformer of the HiCLR release: eight blocks, for any layout and any number of frames.

    Channels c, c, 2c, 2c, 4c, 4c, 4c, features; frames are halved where channels double but for the last time. Queries
    and keys are c / 2 wide in the first four blocks and c in the others. Means over frames, joints and persons last.

    Args:
        layout: gives V.
        channels: c, even; the release uses 32.
        features: D, the width of the last block.
        maps: S, attention maps in each block.
        kernel: frames each convolution over time sees, odd.
        dropout: rate on the last shortcut of each block.
        persons: see `mean_over_persons`; the release takes "all".
        init: see `initialise`.

    Raises:
        InputError: a size that is no positive number, odd channels, an even kernel, an unknown choice.

    Source: DSTA-Net (arXiv 2007.03263); sizes of HiCLR (arXiv 2211.13466): spatial attention only.
    """

    def __init__(
        self,
        layout: Layout,
        channels: int = 32,
        features: int = 256,
        maps: int = 3,
        kernel: int = 7,
        dropout: float = 0.5,
        persons: Persons = "present",
        init: Init = "default",
    ) -> None:
        check_sizes(channels, features, kernel, dropout, persons, init)
        if channels % 2 or maps < 1:
            raise InputError(f"channels must be even and maps at least 1; they are {channels} and {maps}.")
        super().__init__(layout, features, persons, edge_maps=(len(_STRIDES), maps))
        c, joints = channels, layout.num_joints
        self.lift = nn.Sequential(nn.Conv2d(3, c, 1), nn.BatchNorm2d(c), nn.LeakyReLU(_SLOPE))
        widths = [c, c, c, 2 * c, 2 * c, 4 * c, 4 * c, 4 * c, features]
        self.blocks = nn.ModuleList(
            AttentionBlock(inputs, outputs, c // 2 if i < 4 else c, maps, joints, kernel, _STRIDES[i], dropout)
            for i, (inputs, outputs) in enumerate(pairwise(widths))
        )
        initialise(self, init)

    def feature_map(self, rows: Tensor, inside: Inside | None = None) -> Tensor:
        """(R, T, V, 3) one person per row, and attention to drop and add -> (R, D, ceil(T / 4), V)."""
        h: Tensor = self.lift(rows.permute(0, 3, 1, 2).contiguous())
        for layer, block in enumerate(self.blocks):
            change = None if inside is None else partial(change_edges, inside=inside, layer=layer, signed=True)
            h = block(h, change)
        return h
