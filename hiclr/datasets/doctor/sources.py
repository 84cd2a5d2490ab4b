"""What can be looked at: prepared sets, raw files through their readers, arrays in memory; all as blocks of clips."""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.doctor.bodies import Block, Facts
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.datasets.readers.plan import Found, Plan, RawClip, common_ids, number_labels
from hiclr.datasets.skipped import reason_kind
from hiclr.datasets.wording import counted
from hiclr.errors import InputError

__all__ = ["PlanSource", "SetSource", "Source"]

_BYTES = 2**24  # of positions in a block: small enough to stay in the processor's caches, mostly
_BATCH = 64  # raw clips read at once, fewer where they are long
_FIRST = 8  # before it is known how long they are
_MANY = 200  # raw clips from which processes pay
_ASKED = 256  # clips that are asked whether the array was resampled


class Source:
    """Something to look at: blocks first, then the facts."""

    @property
    def count(self) -> int:
        """Clips in all, good or not."""
        raise NotImplementedError

    @property
    def looked(self) -> int:
        """How many of them have been looked at."""
        raise NotImplementedError

    @property
    def readable(self) -> bool:
        """There are facts: some clip could be read."""
        raise NotImplementedError

    def blocks(self) -> Iterator[Block]:
        """All clips, in order."""
        raise NotImplementedError

    def facts(self) -> Facts:
        """What is known once all blocks were made."""
        raise NotImplementedError

    def findings(self) -> list[Finding]:
        """What the source itself has to say."""
        raise NotImplementedError

    def summary(self) -> dict[str, str]:
        """What it is, as label -> text."""
        raise NotImplementedError


@dataclass
class SetSource(Source):
    """A set, in memory or on the disk: read block by block."""

    clips: SkeletonSet
    beyond: list[int] = field(default_factory=list)
    looked: int = 0

    @property
    def count(self) -> int:
        """N."""
        return len(self.clips)

    @property
    def readable(self) -> bool:
        """A set has clips."""
        return True

    def blocks(self) -> Iterator[Block]:
        """Slices of x; a clip's frames end where its length says, or where positions end."""
        clips, resampled = self.clips, self.resampled
        length = None if resampled else clips.length
        count = max(1, _BYTES // (4 * int(np.prod(clips.x.shape[1:]))))
        for start in range(0, len(clips), count):
            raw = np.asarray(clips.x[start : start + count])
            own = None if length is None else length[start : start + count]
            there = (raw != 0).any(axis=(1, 3, 4))  # (n, T)
            last = there.shape[1] - np.argmax(there[:, ::-1], axis=1)
            last = np.where(there.any(axis=1), last, 1 if own is None else own)
            if own is None:
                frames = np.full(len(raw), raw.shape[2]) if resampled else last
            else:
                frames = np.clip(own, 1, raw.shape[2])
                self.beyond += (start + np.flatnonzero(last > frames)).tolist()
            self.looked = start + len(raw)
            yield Block(start, raw, frames.astype(np.int64), self._pace(start, start + count), clips.layout)

    def _pace(self, start: int, stop: int) -> NDArray[np.float32]:
        frames = self.clips.x.shape[2]
        if self.clips.length is None:
            return np.ones(len(self.clips.y[start:stop]), dtype=np.float32)
        return np.asarray(np.maximum(self.clips.length[start:stop] / frames, 1), dtype=np.float32)

    @property
    def resampled(self) -> bool:
        """The frames are not the file's: recorded so, or shorter clips have positions in all frames."""
        clips = self.clips
        if any(step.startswith("resample") for step in clips.preprocessing):
            return True
        if clips.length is None:
            return False
        shorter = np.flatnonzero((clips.length < clips.x.shape[2]) & (clips.length > 0))
        asked = shorter[:: max(1, len(shorter) // _ASKED)][:_ASKED]
        full = sum(bool(np.asarray(clips.x[int(i)])[:, -1].any()) for i in asked)
        return bool(len(asked)) and full > len(asked) / 2

    def facts(self) -> Facts:
        """Of the set."""
        clips = self.clips
        resampled = any(step.startswith("resample") for step in clips.preprocessing)
        return Facts(
            clips.source, clips.layout, clips.names, clips.y, clips.classes, clips.length, clips.x.shape[2], resampled,
            dict(clips.ids), {name: np.asarray(test, dtype=bool) for name, test in clips.protocols.items()},
        )  # fmt: skip

    def findings(self) -> list[Finding]:
        """Positions where the length says that the clip has ended."""
        if not self.beyond:
            return []
        what = f"positions after the last frame of {counted(len(self.beyond), 'clip')}, as `length` says it"
        places = (Place(self.clips.names[i]) for i in self.beyond)
        do = "give the true lengths, or set the frames after the end to zero"
        return [grouped("length", "fault", what, do, places)]

    def summary(self) -> dict[str, str]:
        """As the set says."""
        return self.clips.summary()


@dataclass
class PlanSource(Source):
    """Raw files: each clip is read once, by the reader that found it, and kept no longer than its block."""

    plan: Plan
    read: list[Found] = field(default_factory=list)
    length: list[int] = field(default_factory=list)
    reasons: list[Place] = field(default_factory=list)
    mended: list[Place] = field(default_factory=list)
    largest: int = 0  # bytes of a clip in the batch before

    @property
    def count(self) -> int:
        """Clips that were found."""
        return len(self.plan.found)

    @property
    def looked(self) -> int:
        """Clips that were read, or could not be."""
        return len(self.read) + len(self.reasons)

    @property
    def readable(self) -> bool:
        """At least one could be read."""
        return bool(self.read)

    def blocks(self) -> Iterator[Block]:
        """Clips of their own lengths, padded with zeros to the longest of their block."""
        one = partial(_tried, read=self.plan.read)
        if self.count < _MANY:
            for batch in self._batches():
                yield from self._block(batch, [one(found) for found in batch])
            return
        # a forked process waits forever for the threads that torch had in its parent, unless it wants one only
        with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for batch in self._batches():
                yield from self._block(batch, list(pool.map(one, batch, chunksize=max(1, len(batch) // 16))))

    def _batches(self) -> Iterator[Sequence[Found]]:
        """As many clips at once as have room, going by the longest of those before."""
        at, size = 0, _FIRST
        while at < self.count:
            yield self.plan.found[at : at + size]
            at += size
            size = int(np.clip(_BYTES // max(self.largest, 1), 1, _BATCH))

    def _block(self, batch: Sequence[Found], clips: Sequence[RawClip | str]) -> Iterator[Block]:
        start, good = len(self.read), []
        for found, clip in zip(batch, clips, strict=True):
            if isinstance(clip, str):
                self.reasons.append(Place(found.called, seen=clip))
                continue
            good.append(clip.x)
            self.read.append(found)
            self.length.append(clip.x.shape[1])
            self.mended += [Place(found.called, seen=note) for note in clip.notes]
        if not good:
            return
        frames = np.array([x.shape[1] for x in good])
        raw = np.zeros((len(good), 3, frames.max(), *good[0].shape[2:]), dtype=np.float32)
        for row, x in zip(raw, good, strict=True):
            row[:, : x.shape[1]] = x
        self.largest = raw[0].nbytes
        yield Block(start, raw, frames, np.ones(len(good), dtype=np.float32), self.plan.layout)

    def facts(self) -> Facts:
        """Of the clips that could be read, at least one."""
        y, classes = number_labels(self.read, self.plan.found, self.plan.classes)
        ids = dict(sorted(common_ids(self.read).items()))
        return Facts(
            self.plan.source, self.plan.layout, [found.name for found in self.read], y, classes,
            np.array(self.length, dtype=np.int64), ids=ids, protocols=self.plan.protocols(self.read),
            published=dict(self.plan.published),
        )  # fmt: skip

    def findings(self) -> list[Finding]:
        """What was skipped and why, what was mended: one finding for each kind of reason."""
        skipped = self.plan.skipped
        faults = [*self.reasons, *(Place(s.file, seen=s.reason) for s in skipped if not s.harmless)]
        harmless = [Place(s.file, seen=s.reason) for s in skipped if s.harmless]
        found = [_unreadable(places) for places in _kinds(faults)]
        found += [_left_out(places) for places in _kinds(harmless)]
        found += [_said(places) for places in _kinds(Place(self.plan.source, seen=note) for note in self.plan.notes)]
        twice = [name for name, times in Counter(clip.name for clip in self.plan.found).items() if times > 1]
        if twice:
            do = "rename them, or leave all but one out: prepare refuses the whole source"
            found.append(grouped("names", "fault", "several clips of one name", do, map(Place, twice)))
        for places in _kinds(self.mended):
            what = f"{counted(len({place.clip for place in places}), 'clip')} mended while reading"
            found.append(grouped("mended", "note", what, "", places))
        return found

    def summary(self) -> dict[str, str]:
        """Counts, lengths and ids."""
        rows = {"clips": f"{len(self.read):,} of {self.count:,} found ({self.plan.source})"}
        if not self.read:
            return rows
        facts = self.facts()
        shortest, longest = min(self.length), max(self.length)
        between = f"{shortest:,} to " if shortest < longest else ""
        rows["clip"] = f"{between}{counted(longest, 'frame')}, {facts.layout.num_joints} joints "
        rows["clip"] += f"({facts.layout.name}), up to {counted(self.plan.persons, 'person')}"
        rows["classes"] = f"{len(facts.classes)}"
        rows |= {f"{key}s": f"{len(np.unique(value))}" for key, value in facts.ids.items()}
        for name, test in facts.protocols.items():
            rows[f"protocol {name}"] = f"{int((~test).sum()):,} train / {int(test.sum()):,} test"
        return rows


def _tried(found: Found, read: Callable[[Found], RawClip]) -> RawClip | str:
    """A clip, or why there is none."""
    try:
        return read(found)
    except Exception as error:  # as in `prepare`: a clip that cannot be read costs itself, never the look at all others
        known = isinstance(error, InputError | OSError)
        return str(error) if known and str(error) else f"cannot be read ({type(error).__name__}: {error})"


def _kinds(places: Iterable[Place]) -> list[list[Place]]:
    """Places whose words differ in names and numbers only, together."""
    kinds: dict[str, list[Place]] = {}
    for place in places:
        kinds.setdefault(reason_kind(place.clip, place.seen), []).append(place)
    return list(kinds.values())


def _reason(place: Place) -> str:
    """File and reason, the file once."""
    return place.seen if place.clip in place.seen else f"{place.clip}: {place.seen}"


def _unreadable(places: list[Place]) -> Finding:
    what = _reason(places[0])
    if len(places) > 1:
        what = f"{len(places):,} files or clips cannot be read, all for one kind of reason ({what.rstrip('.')})"
    do = "mend what is named; until then prepare leaves it out"
    return replace(grouped("unreadable", "fault", what, do, places), named=_each_once(places))


def _left_out(places: list[Place]) -> Finding:
    what = f"{places[0].clip} is left out: {places[0].seen}"
    if len(places) > 1:
        reason = _reason(places[0]).rstrip(".")
        what = f"{len(places):,} files or clips are left out, all for one kind of reason ({reason})"
    return replace(grouped("left out", "note", what, "", places), named=_each_once(places))


def _each_once(places: list[Place]) -> bool:
    return len({place.clip for place in places}) == len(places)


def _said(places: list[Place]) -> Finding:
    """What a reader says of the whole; of many such notes the first few."""
    if len(places) == 1:
        return Finding("reader", "note", places[0].seen)
    return grouped("reader", "note", f"{len(places):,} notes of one kind", "", places)
