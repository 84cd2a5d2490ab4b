"""Encoders: clips (N, 3, T, V, M) to features (N, D), and the heads on top."""

from hiclr.encoders.graph import hops_from, spatial_partition
from hiclr.encoders.heads import linear_head, projection_head
from hiclr.encoders.stgcn import STGCN, Init, Persons, initialise

__all__ = [
    "STGCN",
    "Init",
    "Persons",
    "hops_from",
    "initialise",
    "linear_head",
    "projection_head",
    "spatial_partition",
]
