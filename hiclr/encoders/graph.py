"""The graph of a body: which joint listens to which, in three groups."""

from collections import deque

import torch
from torch import Tensor

from hiclr.skeleton import Layout

__all__ = ["hops_from", "spatial_partition"]


def hops_from(layout: Layout, joint: int) -> tuple[int, ...]:
    """For each of the V joints the number of bones between it and `joint`."""
    neighbours: list[list[int]] = [[] for _ in layout.joints]
    for child, parent in layout.bones:
        neighbours[child].append(parent)
        neighbours[parent].append(child)
    hops = {joint: 0}
    queue = deque([joint])
    while queue:
        here = queue.popleft()
        for there in neighbours[here]:
            if there not in hops:
                hops[there] = hops[here] + 1
                queue.append(there)
    return tuple(hops[v] for v in range(layout.num_joints))


def spatial_partition(layout: Layout, reach: int | None = 1) -> Tensor:
    """Three V x V matrices that move features along the bones: `out = sum_k x @ partition[k]`.

    Convention: entry [k, v, w] carries joint v to joint w. Each joint w takes the plain mean over itself and its bone
    neighbours v; that mean is divided into three groups by distance from the layout's centre joint:

        0  w itself
        1  neighbours that are farther from the centre than w, or count as equally far
        2  neighbours that are nearer to the centre

    Args:
        layout: the V joints; its `centre` is the centre of gravity here.
        reach: distances above this count as equal. 1 is the release's graph: it measures distances one bone far, so
            a bone that touches neither the centre nor a neighbour of it lies in group 1 in both directions.
            None measures all distances, as the text of the ST-GCN paper has it.

    Returns:
        (3, V, V) float32; the sum over the groups has columns that sum to 1.

    Source: ST-GCN (arXiv 1801.07455), spatial configuration partitioning; equal to the released HiCLR graph on NTU-25.
    """
    count = layout.num_joints
    limit = count if reach is None else reach + 1
    distance = [min(hops, limit) for hops in hops_from(layout, layout.centre)]
    links = torch.eye(count, dtype=torch.float64)
    for child, parent in layout.bones:
        links[child, parent] = links[parent, child] = 1
    mean = links / links.sum(dim=0)
    d = torch.tensor(distance)
    itself = torch.eye(count, dtype=torch.bool)
    nearer = d[:, None] < d[None, :]  # [sender, receiver]
    groups = torch.stack([itself, ~itself & ~nearer, nearer])
    return (groups * mean).float()
