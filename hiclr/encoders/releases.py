"""The names of weights that authors released, HiCLR and its peers, and ours for them."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from torch import Tensor

from hiclr.datasets.streams import Stream
from hiclr.encoders.weights import examples, strip_module
from hiclr.errors import InputError

__all__ = ["RELEASES", "TRANSFORMER", "Release", "ReleasedMap", "map_released"]

TRANSFORMER = "Transformer"
_NORM = r"(weight|bias|running_mean|running_var|num_batches_tracked)"


@dataclass(frozen=True)
class Release:
    """How authors name what they save.

    Args:
        title: the methods whose checkpoints have these names.
        prefixes: stream -> what stands before the names of its encoder; "" where the file does not say the stream.
        left: pattern of an entry of no use here -> what it is.

    Sources: the repositories JHang2020/HiCLR, Levigty/AimCLR and LinguoLi/CrosSCLR.
    """

    title: str
    prefixes: Mapping[Stream | None, str]
    left: Mapping[str, str]


_LEFT = {
    r"encoder_k\..*": "key encoder, follows the query encoder",
    r"queue|queue_ptr": "queue of keys",
    r"mask_param": "value of a masked joint",
}
RELEASES: dict[str, Release] = {
    "hiclr": Release("HiCLR", {None: "encoder_q."}, _LEFT),
    "aimclr": Release("AimCLR or SkeletonCLR", {None: "encoder_q."}, _LEFT),
    "crossclr": Release(
        "CrosSCLR",
        {"joint": "encoder_q.", "motion": "encoder_q_motion.", "bone": "encoder_q_bone."},
        {
            r"encoder_k(_motion|_bone)?\..*": "key encoder, follows the query encoder",
            r"queue(_ptr)?(_motion|_bone)?": "queue of keys",
            r"encoder_q(_motion|_bone)?\..*": "encoder of another stream",
        },
    ),
}
"""Name -> how its checkpoints are made up. AimCLR and SkeletonCLR save the same names, each stream in its own file;
CrosSCLR saves two or three streams in one file."""


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
        for pattern, ours in self.names.items():
            if match := re.fullmatch(pattern, _from_zero(name)):
                return match.expand(ours)
        return None


def _from_zero(name: str) -> str:
    """A released name with edges counted from 0: HiCLR counts them from 1, its peers have a list."""
    edges = re.fullmatch(r"edge_importance([1-9]|10)", name)
    return f"edge_importance.{int(edges[1]) - 1}" if edges else name


_HEAD = {
    r"fc\.(weight|bias)": r"head.0.\1",
    r"fc\.([02])\.(weight|bias)": r"head.\1.\2",
    # CrosSCLR's heads for motion and bone end in the whole head for joints
    r"fc\.2\.0\.(weight|bias)": r"head.2.\1",
    r"fc\.2\.2\.(weight|bias)": r"head.4.\1",
}
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
    TRANSFORMER,
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


def _family(names: Iterable[str]) -> _Family:
    return _DSTA if any(name.startswith(("graph_layers.", "proj.", "input_map.")) for name in names) else _STGCN


@dataclass(frozen=True)
class ReleasedMap:
    """What of a released state dict becomes what.

    Args:
        release: key of `RELEASES`.
        network: "ST-GCN" or "Transformer".
        stream: of the encoder that was taken; None where the file does not say it.
        names: name in the file -> ours.
        left: name in the file -> why it is not taken.
    """

    release: str
    network: str
    stream: Stream | None
    names: Mapping[str, str]
    left: Mapping[str, str]

    def text(self) -> str:
        """In words: an example and a count for each kind of entry."""
        stream = "" if self.stream is None else f", {self.stream} stream"
        title = f"{RELEASES[self.release].title}, {self.network}{stream}"
        kinds: dict[str, list[str]] = {}
        for theirs, ours in self.names.items():
            kinds.setdefault(_kind(ours), []).append(theirs)
        for theirs, why in self.left.items():
            kinds.setdefault(why, []).append(theirs)
        lines = [f"{title}: {len(self.names)} entries taken, {len(self.left)} left."]
        for members in kinds.values():
            first, more = members[0], len(members) - 1
            target = self.names.get(first) or f"left: {self.left[first]}"
            lines.append(f"  {first} -> {target}" + (f" (and {more} more of this kind)" if more else ""))
        return "\n".join(lines)


def _kind(name: str) -> str:
    """Our name without the number of a layer and without what of the layer it is."""
    return re.sub(rf"\.{_NORM}$", "", re.sub(r"\.\d+\b", "", name))


def map_released(state: Mapping[str, Tensor], stream: Stream | None = None) -> ReleasedMap:
    """What of a released state dict becomes what: "encoder.…" and "head.…".

    Accepted as they are: a leading `module.` on every name; a whole pretraining checkpoint, of which the query encoder
    is taken and key encoder, queue and mask value are left; a plain encoder.

    Args:
        state: name -> tensor, as saved by the release.
        stream: which encoder of a file with several; joint when left out.

    Raises:
        InputError: names that no release has, with their number and examples; or a stream that the file lacks.
    """
    names = [*strip_module(state)]
    release = _release(names)
    wanted, prefix = _prefix(RELEASES[release], names, stream)
    inner = {name: name.removeprefix(prefix) for name in names if name.startswith(prefix)}
    left = {name: why for name in names if name not in inner for why in [_why(RELEASES[release], name)] if why}
    inner |= {name: name for name in names if name not in inner and name not in left}
    family = _family(inner.values())
    left |= {name: "constant" for name, rest in inner.items() if re.fullmatch(family.constants, rest)}
    taken = {name: rest for name, rest in inner.items() if name not in left}
    ours: dict[str, str] = {}
    unknown = []
    for name, rest in taken.items():
        target = family.ours(rest)
        if target is None or target in ours.values():  # two names of one thing: neither is believed
            unknown.append(name)
        else:
            ours[name] = target
    if unknown or not taken:
        raise InputError(
            f"These are no weights of the released {family.name}: {len(unknown)} of {len(taken)} names are unknown"
            + (f" ({examples(unknown)})" if unknown else "")
            + f'. Names such as "{family.example}" are wanted, with or without "module." before them.'
        )
    return ReleasedMap(release, family.name, wanted, ours, left)


def _release(names: list[str]) -> str:
    """Whose names these are; what has none of their marks is read as HiCLR's."""
    if any(name.startswith(("encoder_q_motion.", "encoder_q_bone.")) for name in names):
        return "crossclr"
    return "aimclr" if any(re.fullmatch(r"(encoder_q\.)?edge_importance\.\d", name) for name in names) else "hiclr"


def _prefix(release: Release, names: list[str], stream: Stream | None) -> tuple[Stream | None, str]:
    """The stream that is taken, as far as the file says it, and what stands before the names of its encoder."""
    there = {key: prefix for key, prefix in release.prefixes.items() if any(n.startswith(prefix) for n in names)}
    if None in release.prefixes:
        return None, there.get(None, "")
    wanted: Stream = "motion" if stream == "joint-motion" else stream or "joint"
    if wanted not in there:
        raise InputError(f"These weights hold no {wanted} stream; they hold {', '.join(map(str, there))}.")
    return wanted, there[wanted]


def _why(release: Release, name: str) -> str | None:
    return next((why for pattern, why in release.left.items() if re.fullmatch(pattern, name)), None)
