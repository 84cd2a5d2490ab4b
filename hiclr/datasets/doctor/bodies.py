"""A block of clips as the checks see it, and what each check must offer."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cache, cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import Ids
from hiclr.datasets.doctor.finding import Finding
from hiclr.datasets.positions import no_positions
from hiclr.skeleton import Layout

__all__ = ["Block", "Check", "Facts", "ends", "spans"]

Floats = NDArray[np.float32]
Mask = NDArray[np.bool_]

_MEASURED = 8  # frames of a clip in which bones are measured: their lengths hardly change


@dataclass
class Facts:
    """What is known of the whole source once all its clips have been looked at.

    Args:
        source: its name, for messages.
        layout: the V joints.
        names: N.
        y: (N,) labels from 0.
        classes: C names.
        length: (N,) frames in the source file, where known.
        frames: T of the array; None for raw files, whose clips have their own.
        resampled: the frames in the array are not those of the file.
        ids: (N,) each.
        protocols: (N,) bool each, True is test.
        published: protocol -> (train, test) clips as published.
    """

    source: str
    layout: Layout
    names: Sequence[str]
    y: Ids
    classes: Sequence[str]
    length: Ids | None = None
    frames: int | None = None
    resampled: bool = False
    ids: dict[str, Ids] = field(default_factory=dict)
    protocols: dict[str, Mask] = field(default_factory=dict)
    published: dict[str, tuple[int, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class Block:
    """Some clips in a row.

    Args:
        start: index of the first clip in the source.
        raw: (n, 3, T, V, M) float32 as stored, NaN and all; frames past a clip's end are zero.
        frames: (n,) valid frames of each clip.
        pace: (n,) frames of the file that go into one here, at least 1: motion between frames grows with it.
        layout: the V joints.
    """

    start: int
    raw: Floats
    frames: Ids
    pace: Floats
    layout: Layout

    @cached_property
    def wrong(self) -> Mask | None:
        """Where positions are no positions, shaped as `raw`; None where all are."""
        return no_positions(self.raw)

    @cached_property
    def x(self) -> Floats:
        """`raw` with zero for joints that have no position."""
        if self.wrong is None:
            return self.raw
        return np.where(self.wrong.any(axis=1, keepdims=True), np.float32(0), self.raw)

    @cached_property
    def inside(self) -> Mask:
        """(n, T): before the clip's end."""
        return np.asarray(np.arange(self.raw.shape[2])[None] < self.frames[:, None])

    @cached_property
    def present(self) -> Mask:
        """(n, T, M): the person is there: some position is not zero."""
        there: Mask = np.stack([(self.x[..., m] != 0).any(axis=(1, 3)) for m in range(self.x.shape[4])], axis=-1)
        return there & self.inside[..., None]

    @cached_property
    def who(self) -> tuple[Ids, Ids]:
        """(clip in the block, person) of each of the P tracks: persons who are there at all."""
        clip, person = np.nonzero(self.present.any(axis=1))
        return clip, person

    @cached_property
    def tracks(self) -> Floats:
        """(P, 3, T, V)."""
        clip, person = self.who
        return np.ascontiguousarray(np.moveaxis(self.x, 4, 1)[clip, person])

    @cached_property
    def there(self) -> Mask:
        """(P, T): frames in which the person of a track is there."""
        clip, person = self.who
        return self.present[clip, :, person]

    @cached_property
    def moved(self) -> Mask:
        """(P, T-1, V): joints that are given in this frame and in the next; one that is not lies in the origin."""
        given = np.asarray(self.tracks.any(axis=1))
        pair = self.there[:, 1:] & self.there[:, :-1]
        return np.asarray(given[:, 1:] & given[:, :-1] & pair[..., None])

    @cached_property
    def bones(self) -> Floats:
        """(P, V-1) median bone lengths over a few frames; 0 for a joint that is never there."""
        frames = _some_frames(self.there)
        some = np.take_along_axis(self.tracks, frames[:, None, :, None], axis=2)
        child, parent = (list(side) for side in zip(*self.layout.bones, strict=True))
        return np.asarray(np.median(np.linalg.norm(some[..., child] - some[..., parent], axis=1), axis=1))

    @cached_property
    def size(self) -> Floats:
        """(P,) the longest way along the bones from one end of the body to another: hand to foot, some 2 m."""
        return np.asarray(np.maximum((self.bones @ spans(self.layout).T).max(axis=1), 1e-6))


class Check(Protocol):
    """Looks at all blocks, then says what it found."""

    def look(self, block: Block) -> None:
        """One block; what is seen is remembered by the clip's index."""

    def findings(self, facts: Facts) -> list[Finding]:
        """After the last block."""


def _some_frames(there: Mask) -> Ids:
    """(P, k) frames in which a person is there, spread over them."""
    count = there.sum(axis=1)
    order = np.argsort(~there, axis=1, kind="stable")  # those in which somebody is there first
    at = np.linspace(0, 1, _MEASURED)[None] * (count[:, None] - 1)
    return np.take_along_axis(order, np.round(at).astype(np.int64), axis=1)


@cache
def spans(layout: Layout) -> Floats:
    """(ways, V-1) bool as float: the bones on the way between any two ends of the tree."""
    bone = {child: i for i, (child, _) in enumerate(layout.bones)}
    parents = {parent for _, parent in layout.bones}
    tips = [v for v in range(layout.num_joints) if v not in parents or v == layout.root]

    def way(joint: int) -> set[int]:
        found = set()
        while joint != layout.root:
            found.add(bone[joint])
            joint = layout.parents[joint]
        return found

    ways = [way(one) ^ way(other) for i, one in enumerate(tips) for other in tips[i + 1 :]]
    rows = np.zeros((max(len(ways), 1), max(len(bone), 1)), dtype=np.float32)
    for row, found in zip(rows, ways, strict=False):
        row[list(found)] = 1
    return rows


@cache
def ends(layout: Layout) -> dict[str, tuple[int, ...]]:
    """Joints by what their names say: "head", "toes", "ankles" (one for each toe), "hips" (left, right)."""
    names = [joint.lower() for joint in layout.joints]

    def named(*words: str) -> tuple[int, ...]:
        return tuple(v for v, name in enumerate(names) if any(word in name for word in words))

    toes = named("toe") or named("foot") or named("ankle")
    hips = next((p for p in layout.pairs if any(w in names[p[0]] for w in ("hip", "upperleg", "upleg", "thigh"))), ())
    return {
        "head": named("head") or named("nose") or named("neck"),
        "toes": toes,
        "ankles": tuple(layout.parents[v] for v in toes),
        "hips": tuple(hips),
    }
