"""Few clips that stand for many."""

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError

__all__ = ["stratified_sample"]


def stratified_sample(y: NDArray[np.int64], at_most: int, seed: int = 0) -> NDArray[np.int64]:
    """Indices of at most so many clips, in order: of each class its share of the whole, and one at least while there
    is room; all clips where they are not more.

    Args:
        y: (N,) classes.
        at_most: clips wanted, at least 1.
        seed: of the draw.

    Raises:
        InputError: fewer than 1 clip wanted.
    """
    if at_most < 1:
        raise InputError(f"A sample needs at least 1 clip; at_most is {at_most}.")
    if len(y) <= at_most:
        return np.arange(len(y))
    shuffled = np.random.default_rng(seed).permutation(len(y))
    _, group, size = np.unique(y[shuffled], return_inverse=True, return_counts=True)
    order = np.argsort(group, kind="stable")
    rank = np.empty(len(y), dtype=np.int64)  # of each clip among those of its class, 0 first
    rank[order] = np.arange(len(y)) - np.repeat(np.cumsum(size) - size, size)
    depth = (rank + 0.5) / size[group]  # taking the shallowest takes the same share of every class
    depth[rank == 0] = -1.0
    return np.sort(shuffled[np.argsort(depth, kind="stable")[:at_most]])
