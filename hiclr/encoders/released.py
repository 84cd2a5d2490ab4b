"""Weights of the authors' release: their names, read strictly into our networks."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from hiclr.encoders.dsta import DSTA
from hiclr.encoders.graph import spatial_partition
from hiclr.encoders.heads import linear_head, projection_head
from hiclr.encoders.persons import Persons
from hiclr.encoders.stgcn import STGCN
from hiclr.encoders.weights import examples, load_weights, strip_module
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25, Layout

__all__ = ["load_released", "released_names"]

_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"
_BESIDES = r"encoder_k\..*|queue|queue_ptr|mask_param"  # of a pretraining checkpoint
_GROUPS = 3


@dataclass(frozen=True)
class _Family:
    """Names of one of the release's networks, and ours for them.

    Args:
        name: for messages.
        example: one of its names.
        names: pattern of a released name -> ours.
        constants: pattern of entries that hold no weights.
    """

    name: str
    example: str
    names: Mapping[str, str]
    constants: str = r"$."

    def ours(self, name: str) -> str | None:
        """Our name for a released one; None when this network has no such name."""
        if edges := re.fullmatch(r"edge_importance([1-9]|10)", name):
            name = f"edge_importance.{int(edges[1]) - 1}"  # numbered from 1 there
        for pattern, ours in self.names.items():
            if match := re.fullmatch(pattern, name):
                return match.expand(ours)
        return None


_HEAD = {r"fc\.(weight|bias)": r"head.0.\1", r"fc\.([02])\.(weight|bias)": r"head.\1.\2"}
_STGCN = _Family(
    "ST-GCN",
    "st_gcn_networks.0.gcn.conv.weight",
    {
        r"A": "encoder.adjacency",
        rf"data_bn\.{_NORM}": r"encoder.norm.\1",
        r"st_gcn_networks\.(\d)\.gcn\.conv\.(weight|bias)": r"encoder.blocks.\1.graph.\2",
        rf"st_gcn_networks\.(\d)\.tcn\.0\.{_NORM}": r"encoder.blocks.\1.norm_graph.\2",
        r"st_gcn_networks\.(\d)\.tcn\.2\.(weight|bias)": r"encoder.blocks.\1.temporal.\2",
        rf"st_gcn_networks\.(\d)\.tcn\.3\.{_NORM}": r"encoder.blocks.\1.norm_temporal.\2",
        r"st_gcn_networks\.(\d)\.residual\.0\.(weight|bias)": r"encoder.blocks.\1.shortcut.0.\2",
        rf"st_gcn_networks\.(\d)\.residual\.1\.{_NORM}": r"encoder.blocks.\1.shortcut.1.\2",
        r"edge_importance\.(\d)": r"encoder.blocks.\1.graph.importance",
        **_HEAD,
    },
)
_DSTA_PARTS = {
    "out_nets": "mix", "ff_nets": "feed", "out_nett": "temporal",
    "downs1": "around_mix", "downs2": "around_feed", "downt2": "around_temporal",
}  # fmt: skip
_DSTA = _Family(
    "Transformer",
    "graph_layers.0.in_nets.weight",
    {
        r"proj\.(weight|bias)": r"encoder.lift.0.\1",
        rf"input_map\.0\.{_NORM}": r"encoder.lift.1.\1",
        r"graph_layers\.(\d)\.alphas": r"encoder.blocks.\1.attend.scale",
        r"graph_layers\.(\d)\.attention0s": r"encoder.blocks.\1.attend.shared",
        r"graph_layers\.(\d)\.in_nets\.(weight|bias)": r"encoder.blocks.\1.attend.compare.\2",
        **{
            rf"graph_layers\.(\d)\.{theirs}\.([01])\.{_NORM}": rf"encoder.blocks.\1.{ours}.\2.\3"
            for theirs, ours in _DSTA_PARTS.items()
        },
        **_HEAD,
    },
    constants=r"graph_layers\.\d\.(atts|pes\.pe)",
)


def _family(state: Mapping[str, Tensor]) -> _Family:
    return _DSTA if any(name.startswith(("graph_layers.", "proj.", "input_map.")) for name in state) else _STGCN


def released_names(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A released state dict, of the ST-GCN or of the Transformer, under our names: "encoder.…" and "head.…".

    Accepted as they are: a leading `module.` on every name; a whole pretraining checkpoint, of which the query encoder
    (`encoder_q.`) is taken and key encoder, queue and mask value are left.

    Args:
        state: name -> tensor, as saved by the release.

    Raises:
        InputError: names that the release does not have, with their number and examples.
    """
    return _translated(_queries(state))


def _queries(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The query encoder alone."""
    state = strip_module(state)
    if any(name.startswith("encoder_q.") for name in state):
        rest = {name: value for name, value in state.items() if not re.fullmatch(_BESIDES, name)}
        state = {name.removeprefix("encoder_q."): value for name, value in rest.items()}
    return state


def _translated(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    family = _family(state)
    state = {name: value for name, value in state.items() if not re.fullmatch(family.constants, name)}
    unknown = [name for name in state if family.ours(name) is None]
    if unknown or not state:
        raise InputError(
            f"These are no weights of the released {family.name}: {len(unknown)} of {len(state)} names are unknown"
            + (f" ({examples(unknown)})" if unknown else "")
            + f'. Names such as "{family.example}" are wanted, with or without "module." before them.'
        )
    translated = {str(family.ours(name)): value for name, value in state.items()}
    for name, value in translated.items():
        if re.search(r"\.graph\.(weight|bias)$", name) and value.shape[0] % _GROUPS == 0:
            shape = (_GROUPS, value.shape[0] // _GROUPS, *value.shape[1:2])
            translated[name] = value.reshape(shape) if value.numel() == torch.Size(shape).numel() else value
    return translated


def load_released(
    state: Mapping[str, Tensor], layout: Layout = NTU_25, persons: Persons = "all", dropout: float = 0.5
) -> tuple[STGCN | DSTA, nn.Sequential]:
    """Encoder and head with released weights, both in evaluation mode; network and sizes are read from the weights.

    Args:
        state: name -> tensor, see `released_names`.
        layout: the joints the weights were trained on.
        persons: "all" is what the release computes; see `mean_over_persons`.
        dropout: rate for training on; without effect in evaluation mode.

    Raises:
        InputError: unknown, missing or misshapen entries, with counts and examples; or weights for another graph.
    """
    state = _queries(state)
    family, ours = _family(state), _translated(state)
    wanted = _SIZES[family.name]
    sizes = {f"encoder.{name}": axes for name, axes in wanted.items()} | {"head.0.weight": 2}
    absent = [name for name, axes in sizes.items() if name not in ours or ours[name].dim() != axes]
    if absent:
        raise InputError(
            f"The released weights are incomplete: of {len(ours)} entries none is read here as {', '.join(absent)}. "
            "Give the whole state dict."
        )
    encoder = (_dsta if family is _DSTA else _stgcn)(ours, layout, persons, dropout)
    first = ours["head.0.weight"].shape
    head = linear_head(encoder.features, first[0])
    if "head.2.weight" in ours:
        head = projection_head(encoder.features, first[0], ours["head.2.weight"].shape[0])
    load_weights(nn.ModuleDict({"encoder": encoder, "head": head}), ours, "The released state dict")
    if isinstance(encoder, STGCN) and not torch.equal(encoder.adjacency, spatial_partition(layout)):
        raise InputError(
            f"The released weights were trained on another graph than that of layout {layout.name!r}: their A differs. "
            "Give the layout of their joints."
        )
    return encoder.eval(), head.eval()


_SIZES = {  # name of an entry from which sizes are read -> its axes
    _STGCN.name: {
        "blocks.0.graph.weight": 3, "blocks.9.graph.weight": 3, "blocks.0.temporal.weight": 4, "adjacency": 3,
    },
    _DSTA.name: {
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
