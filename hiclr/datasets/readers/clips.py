"""What readers of prepared arrays share: positions that are some, joints by their number, names of published sets."""

import re
from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.positions import no_positions
from hiclr.datasets.readers.ntu import NAME, PUBLISHED, NtuName
from hiclr.datasets.readers.plan import Found
from hiclr.datasets.readers.units import scaled
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS, NTU_25, Layout

__all__ = [
    "PUBLISHED_SPLITS",
    "checked_positions",
    "choose_layout",
    "listed",
    "ntu_ids",
    "official_protocol",
    "split_masks",
]

PUBLISHED_SPLITS: dict[str, tuple[int, int]] = {
    **PUBLISHED,
    "pku1-xsub": (18_841, 2_704),
    "pku2-xsub": (5_332, 1_613),
}
"""Protocol -> (train, test) clips as published."""

_SPLITS = {
    "xsub": "xsub",
    "cs": "xsub",
    "crosssubject": "xsub",
    "xview": "xview",
    "cv": "xview",
    "crossview": "xview",
    "xset": "xset",
    "xsetup": "xset",
    "crosssetup": "xset",
}
_PKU = (
    re.compile(r"F\d{3}V\d{3}C\d{3}L\d{3}|\d{4}-[LMR]"),
    re.compile(r"A\d{3}N\d{3}V\d{3}C\d{3}L\d{3}|A\d\dN\d\d-[LMR]"),
)
_LOOKED_AT = 200_000


def checked_positions(
    points: NDArray[np.number], layout: Layout, place: str, persons: int, metres: float = 1.0
) -> NDArray[np.float32]:
    """Positions in metres as float32, without the frames of zeros that fill a clip up to the length of others.

    Args:
        points: (3, T, V, M) of any number type.
        layout: the V joints.
        place: what to call the clip in a message.
        persons: as many as the set has; who is not there is zero.
        metres: in one unit of the points; they are checked when they are metres.

    Returns:
        (3, T', V, persons) with T' <= T.

    Raises:
        InputError: no one is there in any frame; a position is not finite or farther than 10 km away.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.zeros((*points.shape[:3], persons), dtype=np.float32)
        x[..., : points.shape[3]] = points
        x = scaled(x, metres)
    wrong = no_positions(x)
    if wrong is not None:
        _, frame, joint, person = (int(i) for i in np.argwhere(wrong.any(axis=0, keepdims=True))[0])
        axis = int(np.flatnonzero(wrong[:, frame, joint, person])[0])
        raise InputError(
            f"{place}: frame {frame}, joint {joint} ({layout.joints[joint]}) of person {person} is "
            f"{x[axis, frame, joint, person]}, which is no position. Repair or leave out the clip."
        )
    there = np.flatnonzero(x.any(axis=(0, 2, 3)))
    if not len(there):
        raise InputError(f"{place}: nobody is there, all {x.shape[1]} frames are zero. Leave the clip out.")
    return x[:, : there[-1] + 1]


def choose_layout(joints: int, given: Layout | None, place: str) -> Layout:
    """The joints of an array that only tells their number.

    Raises:
        InputError: they are not those that were given, or nothing says which they are.
    """
    if given is not None and given.num_joints != joints:
        raise InputError(f"{place} has {joints} joints, layout {given.name!r} has {given.num_joints}.")
    if given is not None:
        return given
    if joints == NTU_25.num_joints:
        return NTU_25
    fitting = [layout.name for layout in LAYOUTS.values() if layout.num_joints == joints]
    hint = f"--layout {' or '.join(fitting)}" if fitting else "--layout with a file of your own"
    raise InputError(f"{place} has {joints} joints, and nothing says which. Give {hint}.")


def official_protocol(split: str, names: Iterable[str], hint: str = "") -> str:
    """What to call a split: "ntu60-xsub" and the like where names or folders tell the set, else as it was called.

    Args:
        split: "xsub", "cross_view", "xsetup" and the like.
        names: of the clips.
        hint: names of files and folders.
    """
    short = _SPLITS.get(re.sub(r"[^a-z]", "", split.lower()))
    if short is None:
        return split
    known = _set_of([name for name, _ in zip(names, range(_LOOKED_AT), strict=False)]) or _set_in(hint.lower())
    return f"{known}-{short}" if known else short


def _set_of(names: Sequence[str]) -> str | None:
    ntu = [known for name in names if (known := NtuName.from_match(NAME.match(name)))]
    if names and len(ntu) == len(names):
        return "ntu120" if any(name.is_120 for name in ntu) else "ntu60"
    for part, pattern in enumerate(_PKU, start=1):
        if names and all(pattern.match(name) for name in names):
            return f"pku{part}"
    return None


def _set_in(hint: str) -> str | None:
    if "ntu" in hint:
        return "ntu120" if "120" in hint else "ntu60" if "60" in hint else None
    if "pku" in hint:
        found = re.search(r"(?:part|v|phase|mmd)[-_ ]?(1|2|ii|i)(?![\di])", hint)
        return None if found is None else "pku2" if found[1] in ("2", "ii") else "pku1"
    return None


def split_masks(protocols: dict[str, frozenset[str]], clips: Sequence[Found]) -> dict[str, NDArray[np.bool_]]:
    """Names of test clips by protocol -> (n,) bool for each, True is test."""
    return {name: np.array([clip.name in test for clip in clips], dtype=bool) for name, test in protocols.items()}


def ntu_ids(names: Sequence[str]) -> list[dict[str, int]]:
    """Subject, camera and setup of each clip where all have the names of NTU RGB+D; else none of any."""
    found = [known.ids for name in names if (known := NtuName.from_match(NAME.search(name)))]
    return found if len(found) == len(names) else [{} for _ in names]


def listed(names: Sequence[str], most: int = 20) -> str:
    """Names for a message."""
    more = f" and {len(names) - most:,} more" if len(names) > most else ""
    return ", ".join(names[:most]) + more
