"""Clips that occur twice: by name, by positions to the last digit, by positions nearly so."""

import hashlib
import re
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.doctor.bodies import Block, Facts
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.datasets.readers.ntu import NAME
from hiclr.datasets.wording import counted

__all__ = ["Twins", "name_twins"]

_MOMENTS = 8  # frames of a clip that are compared
_NUMBERS = 64  # random projections of them: keep distances to within some 10 %
# Root mean square way between the joints of two clips, of the body: 0.001 is 2 mm, what float16 or rounding to
# millimetres leaves. The nearest two different takes of an optical system differ by 0.0024, of a Kinect by 0.01.
NEAR = 0.001
_PAIRS = 100_000


@dataclass
class Twins:
    """Equal clips are worst where one trains and the other tests."""

    first: dict[bytes, int] = field(default_factory=dict)
    equal: list[tuple[int, int]] = field(default_factory=list)
    signs: list[NDArray[np.float32]] = field(default_factory=list)
    rows: list[int] = field(default_factory=list)

    def look(self, block: Block) -> None:
        """A digest of the valid frames, and a few numbers that hardly change when the clip hardly does."""
        fresh = []
        for clip in np.flatnonzero(block.present.any(axis=(1, 2))):  # empty clips are a fault of their own
            valid = np.ascontiguousarray(block.x[clip, :, : int(block.frames[clip])])
            digest = hashlib.blake2b(valid.data, digest_size=16).digest()
            one = self.first.setdefault(digest, block.start + int(clip))
            if one == block.start + clip:
                fresh.append(int(clip))
            else:
                self.equal.append((one, block.start + int(clip)))
        if fresh:
            self.rows += [block.start + clip for clip in fresh]
            self.signs.append(_signature(block, np.array(fresh)))

    def findings(self, facts: Facts) -> list[Finding]:
        """Faults across train and test, notes elsewhere."""
        found = []
        near = self._near(facts)
        for name, test in facts.protocols.items():
            found += _across(facts, name, self._equal_across(test), "the same positions", "=")
            both = [(a, b) for a, b in near if test[a] != test[b]]
            found += _across(facts, name, both, "nearly the same positions", "~")
        for pairs, sign, what in ((self.equal, "=", "equal to the last digit"), (near, "~", "equal to about 2 mm")):
            if pairs:
                places = (Place(f"{facts.names[a]} {sign} {facts.names[b]}") for a, b in pairs)
                do = "leave one of each pair out, unless they are meant to be there twice"
                found.append(grouped("twins", "note", f"{counted(len(pairs), 'pair')} of clips {what}", do, places))
        return found

    def _equal_across(self, test: NDArray[np.bool_]) -> list[tuple[int, int]]:
        """Pairs of equal clips, one to train and one to test, in which each clip occurs that has such a partner."""
        groups: dict[int, list[int]] = {}
        for first, other in self.equal:
            groups.setdefault(first, [first]).append(other)
        found = []
        for group in groups.values():
            train, tested = [i for i in group if not test[i]], [i for i in group if test[i]]
            if train and tested:
                found += [(train[0], i) for i in tested] + [(i, tested[0]) for i in train[1:]]
        return found

    def _near(self, facts: Facts) -> list[tuple[int, int]]:
        """Pairs of clips nearer than `NEAR` and not equal: the nearest of each, and the nearest across each split."""
        if len(self.rows) < 2:
            return []
        from scipy.spatial import cKDTree

        signs, rows = np.concatenate(self.signs), np.array(self.rows)
        parts = [np.zeros(len(rows), dtype=bool), *(np.asarray(test)[rows] for test in facts.protocols.values())]
        found: set[tuple[int, int]] = set()
        whole = cKDTree(signs)
        for part in parts:
            inside, outside = np.flatnonzero(~part), np.flatnonzero(part)
            if not part.any():
                way, at = whole.query(signs, k=2, distance_upper_bound=NEAR)
                own = at == np.arange(len(rows))[:, None]
                near = np.where(own[:, 0], at[:, 1], at[:, 0])
                pairs = [(i, int(j)) for i, j in enumerate(near) if j < len(rows)]
                if not pairs:
                    return []  # then none across a split either
            elif len(inside):
                way, at = cKDTree(signs[inside]).query(signs[outside], distance_upper_bound=NEAR)
                pairs = [(int(outside[i]), int(inside[at[i]])) for i in np.flatnonzero(np.isfinite(way))]
            else:
                continue
            found |= {(min(rows[i], rows[j]), max(rows[i], rows[j])) for i, j in pairs[:_PAIRS]}
        return sorted((int(a), int(b)) for a, b in found)


def _across(facts: Facts, protocol: str, pairs: list[tuple[int, int]], what: str, sign: str) -> list[Finding]:
    if not pairs:
        return []
    places = (Place(f"{facts.names[a]} {sign} {facts.names[b]}") for a, b in pairs)
    words = (
        f"{counted(len(pairs), 'pair')} of clips with {what}, one in the train and one in the test part of {protocol}"
    )
    return [grouped("overlap", "fault", words, "leave one of each pair out", places)]


def _signature(block: Block, clips: NDArray[np.int64]) -> NDArray[np.float32]:
    """(n, 64): the body at a few moments, from where it stood at first, in lengths of the body, projected.

    The Euclidean distance of two rows is about the root mean square way between their joints.
    """
    moments = np.round(np.linspace(0, 1, _MOMENTS)[None] * (block.frames[clips, None] - 1)).astype(np.int64)
    x = block.x[clips[:, None], :, moments]  # (n, 8, 3, V, M)
    there = block.present[clips[:, None], moments]  # (n, 8, M)
    size = np.full(len(block.raw), 1e-6, dtype=np.float32)
    np.maximum.at(size, block.who[0], block.size)
    start = np.argmax(there[..., 0], axis=1)
    origin = x[np.arange(len(clips)), start][:, :, block.layout.centre, 0]  # (n, 3); zero where nobody is in front
    x = (x - origin[:, None, :, None, None]) * there[:, :, None, None, :] / size[clips][:, None, None, None, None]
    joints = _MOMENTS * block.layout.num_joints
    flat = x.reshape(len(clips), -1)
    mix = np.random.default_rng(0).standard_normal((flat.shape[1], _NUMBERS)) / np.sqrt(_NUMBERS * joints)
    return np.asarray(flat @ mix.astype(np.float32), dtype=np.float32)


_COPY = re.compile(r"(?: \(\d+\)| - copy(?: \(\d+\))?|[_-]copy\d*)$", re.IGNORECASE)
_ENDING = re.compile(r"\.(?:skeleton|npy|npz|txt|csv|json|bvh|pkl|part)$", re.IGNORECASE)


def name_twins(names: Sequence[str]) -> list[tuple[int, int]]:
    """Pairs of clips whose names say that one is a copy: "a" and "a (1)" or "a.npy", one NTU clip in two folders."""
    plain = [_ENDING.sub("", name) for name in names]
    at = {name: i for i, name in reversed(list(enumerate(plain)))}
    found = [(at[bare], i) for i, name in enumerate(plain) if (bare := _COPY.sub("", name)) != name and bare in at]
    found += [(at[name], i) for i, name in enumerate(plain) if at[name] != i]
    whole: dict[str, int] = {}
    for i, name in enumerate(plain):
        clip = NAME.search(name)
        if clip is not None and (one := whole.setdefault(clip[0], i)) != i:
            found.append((one, i))
    return sorted(set(found))


def name_findings(facts: Facts) -> list[Finding]:
    """Faults across train and test, notes elsewhere."""
    pairs = name_twins(facts.names)
    if not pairs:
        return []
    found = []
    for name, test in facts.protocols.items():
        found += _across(facts, name, [(a, b) for a, b in pairs if test[a] != test[b]], "names of one clip", "=")
    places = (Place(f"{facts.names[a]} = {facts.names[b]}") for a, b in pairs)
    what = f"{counted(len(pairs), 'pair')} of names that look like copies of one clip"
    return [*found, grouped("twin names", "note", what, "leave one of each pair out", places)]
