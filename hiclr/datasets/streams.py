"""Streams: what of the positions an encoder sees. Joints, bones, and the motion of either."""

from collections.abc import Sequence
from typing import Literal, get_args

import torch
from torch import Tensor

from hiclr.datasets.preprocessing import presence
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["STREAMS", "Stream", "bones", "motion", "to_stream"]

Stream = Literal["joint", "bone", "motion", "joint-motion", "bone-motion"]
"""Names as in the field; "joint-motion" is another name of "motion"."""

STREAMS: tuple[Stream, ...] = get_args(Stream)


def bones(x: Tensor, parents: Sequence[int] | Tensor) -> Tensor:
    """Replace each joint by the vector that leads to it from its parent.

    Convention: bone[v] = joint[v] - joint[parents[v]], stored at the child's index. The root is its own parent, so
    its bone is zero (NTU-25: the upper spine, index 20).

    Args:
        x: (N, 3, T, V, M) joint positions in metres.
        parents: V indices.

    Returns:
        (N, 3, T, V, M) in metres; an absent person stays all zeros.

    Raises:
        InputError: x and parents disagree on V.

    Source: 2s-AGCN (arXiv 1805.07694); same tree as the released HiCLR code.
    """
    if x.shape[3] != len(parents):
        raise InputError(f"x has {x.shape[3]} joints (axis 3 of {tuple(x.shape)}), parents has {len(parents)}.")
    return x - x[:, :, :, torch.as_tensor(parents, device=x.device)]


def motion(x: Tensor) -> Tensor:
    """Replace each frame by the way to the next one; the last frame is zero.

    Args:
        x: (N, 3, T, V, M) joint positions in metres.

    Returns:
        (N, 3, T, V, M) in metres per frame; zero for a person who is absent in either of the two frames, so that
        nobody flies in from the origin.

    Source: HiCLR (arXiv 2211.13466), motion stream.
    """
    here = presence(x)
    both = (here[:, 1:] & here[:, :-1])[:, None, :, None, :]
    out = torch.zeros_like(x)
    out[:, :, :-1] = (x[:, :, 1:] - x[:, :, :-1]) * both.to(x.dtype)
    return out


def to_stream(x: Tensor, stream: Stream, layout: Layout) -> Tensor:
    """(N, 3, T, V, M) positions -> the stream, same shape, by the layout's parents.

    The motion of bones is made from the motion of joints, which is the same difference and still knows from the
    positions who is there.

    Raises:
        InputError: no such stream.

    Source: "joint-motion" and "bone-motion" as in MS-AAGCN (arXiv 1912.06971).
    """
    if stream not in STREAMS:
        raise InputError(f"stream must be one of {', '.join(STREAMS)}; it is {stream!r}.")
    if stream.endswith("motion"):
        x = motion(x)
    return bones(x, layout.parents) if stream.startswith("bone") else x
