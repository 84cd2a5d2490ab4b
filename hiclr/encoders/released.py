"""Weights of the authors' release: their names, read strictly into our networks."""

import re
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from hiclr.encoders.graph import spatial_partition
from hiclr.encoders.heads import linear_head, projection_head
from hiclr.encoders.persons import Persons
from hiclr.encoders.stgcn import STGCN
from hiclr.encoders.weights import examples, load_weights, strip_module
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25, Layout

__all__ = ["load_released", "released_names"]

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_NAMES = tuple(
    (re.compile(pattern), ours)
    for pattern, ours in (
        (r"A", "encoder.adjacency"),
        (rf"data_bn\.{_NORM}", r"encoder.norm.\1"),
        (r"st_gcn_networks\.(\d)\.gcn\.conv\.(weight|bias)", r"encoder.blocks.\1.graph.\2"),
        (rf"st_gcn_networks\.(\d)\.tcn\.0\.{_NORM}", r"encoder.blocks.\1.norm_graph.\2"),
        (r"st_gcn_networks\.(\d)\.tcn\.2\.(weight|bias)", r"encoder.blocks.\1.temporal.\2"),
        (rf"st_gcn_networks\.(\d)\.tcn\.3\.{_NORM}", r"encoder.blocks.\1.norm_temporal.\2"),
        (r"st_gcn_networks\.(\d)\.residual\.0\.(weight|bias)", r"encoder.blocks.\1.shortcut.0.\2"),
        (rf"st_gcn_networks\.(\d)\.residual\.1\.{_NORM}", r"encoder.blocks.\1.shortcut.1.\2"),
        (r"fc\.(weight|bias)", r"head.0.\1"),
        (r"fc\.([02])\.(weight|bias)", r"head.\1.\2"),
    )
)
_EDGES = re.compile(r"edge_importance([1-9]|10)")
_BESIDES = re.compile(r"encoder_k\..*|queue|queue_ptr|mask_param")
_GROUPS = 3


def _ours(name: str) -> str | None:
    """Our name for a released one; None when the release has no such name."""
    if edges := _EDGES.fullmatch(name):
        return f"encoder.blocks.{int(edges[1]) - 1}.graph.importance"
    for pattern, ours in _NAMES:
        if match := pattern.fullmatch(name):
            return match.expand(ours)
    return None


def released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released ST-GCN state dict under our names: "encoder.…" and "head.…".

    Accepted as they are: a leading `module.` on every name; a whole pretraining checkpoint, of which the query encoder
    (`encoder_q.`) is taken and key encoder, queue and mask value are left.

    Args:
        state: name -> tensor, as saved by the release.

    Raises:
        InputError: names that the release does not have, with their number and examples.
    """
    state = strip_module(state)
    if any(name.startswith("encoder_q.") for name in state):
        rest = {name: value for name, value in state.items() if not _BESIDES.fullmatch(name)}
        state = {name.removeprefix("encoder_q."): value for name, value in rest.items()}
    unknown = [name for name in state if _ours(name) is None]
    if unknown or not state:
        raise InputError(
            f"These are no weights of the released ST-GCN: {len(unknown)} of {len(state)} names are unknown"
            + (f" ({examples(unknown)})" if unknown else "")
            + '. Names such as "st_gcn_networks.0.gcn.conv.weight" are wanted, with or without "module." before them.'
        )
    translated = {str(_ours(name)): value for name, value in state.items()}
    for name, value in translated.items():
        if re.search(r"\.graph\.(weight|bias)$", name) and value.shape[0] % _GROUPS == 0:
            shape = (_GROUPS, value.shape[0] // _GROUPS, *value.shape[1:2])
            translated[name] = value.reshape(shape) if value.numel() == torch.Size(shape).numel() else value
    return translated


def load_released(
    state: Mapping[str, Tensor], layout: Layout = NTU_25, persons: Persons = "all", dropout: float = 0.5
) -> tuple[STGCN, nn.Sequential]:
    """Encoder and head with released weights, both in evaluation mode; the sizes are read from the weights.

    Args:
        state: name -> tensor, see `released_names`.
        layout: the joints the weights were trained on.
        persons: "all" is what the release computes; see `STGCN`.
        dropout: rate for training on; without effect in evaluation mode.

    Raises:
        InputError: unknown, missing or misshapen entries, with counts and examples; or weights for another graph.
    """
    ours = released_names(state)
    wanted = {"blocks.0.graph.weight": 3, "blocks.9.graph.weight": 3, "blocks.0.temporal.weight": 4, "adjacency": 3}
    sizes = {f"encoder.{name}": axes for name, axes in wanted.items()} | {"head.0.weight": 2}
    absent = [name for name, axes in sizes.items() if name not in ours or ours[name].dim() != axes]
    if absent:
        raise InputError(
            f"The released weights are incomplete: of {len(ours)} entries none is read here as {', '.join(absent)}. "
            "Give the whole state dict."
        )
    channels, features = (ours[f"encoder.blocks.{i}.graph.weight"].shape[1] for i in (0, 9))
    kernel = ours["encoder.blocks.0.temporal.weight"].shape[2]
    encoder = STGCN(layout, channels, features, kernel, dropout, persons)
    first = ours["head.0.weight"].shape
    head = linear_head(features, first[0])
    if "head.2.weight" in ours:
        head = projection_head(features, first[0], ours["head.2.weight"].shape[0])
    load_weights(nn.ModuleDict({"encoder": encoder, "head": head}), ours, "The released state dict")
    if not torch.equal(encoder.adjacency, spatial_partition(layout)):
        raise InputError(
            f"The released weights were trained on another graph than that of layout {layout.name!r}: their A differs. "
            "Give the layout of their joints."
        )
    return encoder.eval(), head.eval()
