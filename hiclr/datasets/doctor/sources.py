"""What can be looked at: prepared sets, raw files through their readers, arrays in memory; all as blocks of clips."""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.doctor.bodies import Block, Facts
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.datasets.readers.plan import Found, Plan, RawClip, common_ids, number_labels
from hiclr.errors import InputError

__all__ = ["PlanSource", "SetSource", "Source"]

_BYTES = 2**24  # of positions in a block: small enough to stay in the processor's caches, mostly
_BATCH = 64  # raw clips read at once
_MANY = 200  # raw clips from which processes pay
_ASKED = 256  # clips that are asked whether the array was resampled


class Source:
    """Something to look at: blocks first, then the facts."""

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
    """A set, in memory or mapped: read block by block."""

    clips: SkeletonSet
    beyond: list[int] = field(default_factory=list)

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
        what = f"{len(self.beyond):,} clips have positions after their last frame"
        places = [Place(self.clips.names[i]) for i in self.beyond]
        do = "give the true lengths, or zeros after the end"
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

    def blocks(self) -> Iterator[Block]:
        """Clips of their own lengths, padded with zeros to the longest of their block."""
        batches = [self.plan.found[i : i + _BATCH] for i in range(0, len(self.plan.found), _BATCH)]
        one = partial(_tried, read=self.plan.read)
        if len(self.plan.found) < _MANY:
            for batch in batches:
                yield from self._block(batch, [one(found) for found in batch])
            return
        # a forked process waits forever for the threads that torch had in its parent, unless it wants one only
        with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
            for batch in batches:
                yield from self._block(batch, list(pool.map(one, batch, chunksize=4)))

    def _block(self, batch: Sequence[Found], clips: Sequence[RawClip | str]) -> Iterator[Block]:
        start, good = len(self.read), []
        for found, clip in zip(batch, clips, strict=True):
            if isinstance(clip, str):
                self.reasons.append(Place(found.name, seen=clip))
                continue
            good.append(clip.x)
            self.read.append(found)
            self.length.append(clip.x.shape[1])
            self.mended += [Place(found.name, seen=note) for note in clip.notes]
        if not good:
            return
        frames = np.array([x.shape[1] for x in good])
        raw = np.zeros((len(good), 3, frames.max(), *good[0].shape[2:]), dtype=np.float32)
        for row, x in zip(raw, good, strict=True):
            row[:, : x.shape[1]] = x
        yield Block(start, raw, frames, np.ones(len(good), dtype=np.float32), self.plan.layout)

    def facts(self) -> Facts:
        """Of the clips that could be read.

        Raises:
            InputError: none could be.
        """
        if not self.read:
            reasons = "; ".join(map(str, self.reasons[:10]))
            raise InputError(f"No clip of {self.plan.source} could be read. {reasons}")
        y, classes = number_labels(self.read, self.read, self.plan.classes)
        ids = dict(sorted(common_ids(self.read).items()))
        return Facts(
            self.plan.source, self.plan.layout, [found.name for found in self.read], y, classes,
            np.array(self.length, dtype=np.int64), ids=ids, protocols=self.plan.protocols(self.read),
            published=dict(self.plan.published),
        )  # fmt: skip

    def findings(self) -> list[Finding]:
        """What was skipped and why, what was mended."""
        found = [Finding("unreadable", "fault", str(place), "mend it, or leave it out") for place in self.reasons]
        for skipped in self.plan.skipped:
            place = Place(skipped.file, seen=skipped.reason)
            if skipped.harmless:
                found.append(Finding("left out", "note", f"{skipped.file} is left out: {skipped.reason}"))
            else:
                found.append(Finding("unreadable", "fault", str(place), "mend it, or leave it out", (place,)))
        found += [Finding("reader", "note", note.rstrip(".")) for note in self.plan.notes]
        if self.mended:
            what = f"{len(self.mended):,} clips were mended while reading"
            found.append(grouped("mended", "note", what, "", self.mended))
        return found

    def summary(self) -> dict[str, str]:
        """Counts, lengths and ids."""
        facts = self.facts()
        rows = {"clips": f"{len(facts.names):,} of {len(self.plan.found):,} found ({self.plan.source})"}
        rows["clip"] = f"{min(self.length)} to {max(self.length)} frames, {facts.layout.num_joints} joints "
        rows["clip"] += f"({facts.layout.name}), up to {self.plan.persons} persons"
        rows["classes"] = f"{len(facts.classes)}"
        rows |= {f"{key}s": f"{len(np.unique(value))}" for key, value in facts.ids.items()}
        for name, test in facts.protocols.items():
            rows[f"protocol {name}"] = f"{int((~test).sum()):,} train / {int(test.sum()):,} test"
        return rows


def _tried(found: Found, read: Callable[[Found], RawClip]) -> RawClip | str:
    """A clip, or why there is none."""
    try:
        return read(found)
    except (InputError, OSError, ValueError, IndexError) as error:
        return str(error) or type(error).__name__
