"""Weights that authors released, HiCLR and its peers, read strictly into our networks."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hiclr.datasets.streams import Stream
from hiclr.encoders.dsta import DSTA
from hiclr.encoders.graph import spatial_partition
from hiclr.encoders.heads import linear_head, projection_head
from hiclr.encoders.persons import Persons
from hiclr.encoders.releases import TRANSFORMER, ReleasedMap, map_released
from hiclr.encoders.stgcn import STGCN
from hiclr.encoders.weights import load_weights, strip_module
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25, Layout

__all__ = ["load_released", "released_names"]

_GROUPS = 3


def released_names(state: Mapping[str, Tensor], stream: Stream | None = None) -> dict[str, Tensor]:
    """A released state dict under our names; see `map_released`.

    Raises:
        InputError: as `map_released`.
    """
    return _translated(state, map_released(state, stream))


def _translated(state: Mapping[str, Tensor], found: ReleasedMap) -> dict[str, Tensor]:
    state = strip_module(state)
    translated = {ours: state[theirs] for theirs, ours in found.names.items()}
    for name, value in translated.items():
        if re.search(r"\.graph\.(weight|bias)$", name) and value.dim() and value.shape[0] % _GROUPS == 0:
            shape = (_GROUPS, value.shape[0] // _GROUPS, *value.shape[1:2])
            translated[name] = value.reshape(shape) if value.numel() == torch.Size(shape).numel() else value
    return translated


def load_released(
    state: Mapping[str, Tensor],
    layout: Layout = NTU_25,
    persons: Persons = "all",
    dropout: float = 0.5,
    stream: Stream | None = None,
) -> tuple[STGCN | DSTA, nn.Sequential]:
    """Encoder and head with released weights, both in evaluation mode; network and sizes are read from the weights.

    Args:
        state: name -> tensor, see `map_released`.
        layout: the joints the weights were trained on.
        persons: "all" is what the release computes; see `mean_over_persons`.
        dropout: rate for training on; without effect in evaluation mode.
        stream: which encoder of a file with several; joint when left out.

    Raises:
        InputError: unknown, missing or misshapen entries, with counts and examples; or weights for another graph.
    """
    found = map_released(state, stream)
    ours, transformer = _translated(state, found), found.network == TRANSFORMER
    wanted = _SIZES[transformer]
    sizes = {f"encoder.{name}": axes for name, axes in wanted.items()} | {"head.0.weight": 2}
    absent = [name for name, axes in sizes.items() if name not in ours or ours[name].dim() != axes]
    if absent:
        raise InputError(
            f"The released weights are incomplete: of {len(ours)} entries none is read here as {', '.join(absent)}. "
            "Give the whole state dict."
        )
    encoder = (_dsta if transformer else _stgcn)(ours, layout, persons, dropout)
    head = _head(ours, encoder.features)
    load_weights(nn.ModuleDict({"encoder": encoder, "head": head}), ours, "The released state dict")
    if isinstance(encoder, STGCN) and not torch.equal(encoder.adjacency, spatial_partition(layout)):
        raise InputError(
            f"The released weights were trained on another graph than that of layout {layout.name!r}: their A differs. "
            "Give the layout of their joints."
        )
    return encoder.eval(), head.eval()


def _head(ours: Mapping[str, Tensor], features: int) -> nn.Sequential:
    """One linear layer, or two or three with ReLUs between them, as wide as their weights say."""
    widths = [ours[f"head.{index}.weight"].shape[0] for index in (0, 2, 4) if f"head.{index}.weight" in ours]
    if len(widths) == 1:
        return linear_head(features, widths[0])
    head = projection_head(features, widths[0], widths[1])
    return head if len(widths) == 2 else nn.Sequential(*head, nn.ReLU(inplace=True), nn.Linear(widths[1], widths[2]))


_SIZES = {  # of the Transformer or not: name of an entry from which sizes are read -> its axes
    False: {
        "blocks.0.graph.weight": 3, "blocks.9.graph.weight": 3, "blocks.0.temporal.weight": 4, "adjacency": 3,
    },
    True: {
        "lift.0.weight": 4, "blocks.0.attend.scale": 4, "blocks.0.temporal.0.weight": 4, "blocks.7.feed.0.weight": 4,
    },
}  # fmt: skip


def _stgcn(ours: Mapping[str, Tensor], layout: Layout, persons: Persons, dropout: float) -> STGCN:
    channels, features = (ours[f"encoder.blocks.{i}.graph.weight"].shape[1] for i in (0, 9))
    kernel = ours["encoder.blocks.0.temporal.weight"].shape[2]
    return STGCN(layout, channels, features, kernel, dropout, persons)


def _dsta(ours: Mapping[str, Tensor], layout: Layout, persons: Persons, dropout: float) -> DSTA:
    channels, features = (ours[f"encoder.{name}.weight"].shape[0] for name in ("lift.0", "blocks.7.feed.0"))
    maps = ours["encoder.blocks.0.attend.scale"].shape[1]
    kernel = ours["encoder.blocks.0.temporal.0.weight"].shape[2]
    return DSTA(layout, channels, features, maps, kernel, dropout, persons)
