"""Encoders: clips (N, 3, T, V, M) to features (N, D), and the heads on top."""

from hiclr.encoders.bigru import BiGRU
from hiclr.encoders.drop import attention_drop
from hiclr.encoders.dsta import DSTA
from hiclr.encoders.edges import Inside, change_edges, encode_view, join_inside
from hiclr.encoders.graph import hops_from, spatial_partition
from hiclr.encoders.heads import linear_head, projection_head
from hiclr.encoders.initial import Init, initialise
from hiclr.encoders.own import own_encoder, own_source, use_encoder
from hiclr.encoders.persons import Persons, SkeletonEncoder, mean_over_persons
from hiclr.encoders.released import load_released, released_names
from hiclr.encoders.releases import RELEASES, ReleasedMap, map_released
from hiclr.encoders.stgcn import STGCN
from hiclr.encoders.tcn import TCN
from hiclr.encoders.weights import load_weights, strip_module

__all__ = [
    "DSTA",
    "RELEASES",
    "STGCN",
    "TCN",
    "BiGRU",
    "Init",
    "Inside",
    "Persons",
    "ReleasedMap",
    "SkeletonEncoder",
    "attention_drop",
    "change_edges",
    "encode_view",
    "hops_from",
    "initialise",
    "join_inside",
    "linear_head",
    "load_released",
    "load_weights",
    "map_released",
    "mean_over_persons",
    "own_encoder",
    "own_source",
    "projection_head",
    "released_names",
    "spatial_partition",
    "strip_module",
    "use_encoder",
]
