"""Positions that are none, frames and joints that are missing, clips in which nothing moves."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.doctor.bodies import Block, Facts
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.datasets.wording import counted

__all__ = ["Absent", "Frozen", "NotFinite"]

_MANY = 0.25  # share of empty frames from which a clip is named: a sensor loses a few frames, not a quarter
_HELD = 0.25  # share of a clip in which one frame is repeated ...
_HELD_FRAMES = 5  # ... and as many at least


@dataclass
class NotFinite:
    """NaN, infinite, or farther away than any room is wide."""

    seen: list[tuple[int, int, int, int, float, int, int]] = field(default_factory=list)

    def look(self, block: Block) -> None:
        """The first such position of each clip, how many there are, and the last frame of them."""
        if block.wrong is None:
            return
        for clip in np.flatnonzero(block.wrong.any(axis=(1, 2, 3, 4))):
            marks = np.argwhere(block.wrong[clip].any(axis=0))  # by frame, joint, person
            frame, joint, person = (int(i) for i in marks[0])
            axis = int(np.argmax(block.wrong[clip, :, frame, joint, person]))
            value = float(block.raw[clip, axis, frame, joint, person])
            self.seen.append((block.start + int(clip), frame, joint, person, value, len(marks), int(marks[-1, 0])))

    def findings(self, facts: Facts) -> list[Finding]:
        """A fault."""
        if not self.seen:
            return []
        places = (
            Place(facts.names[clip], frame, f"{joint} ({facts.layout.joints[joint]})", person,
                  f"{value:g} ({n:,} in all" + (f", the last in frame {last})" if last > frame else ")"))
            for clip, frame, joint, person, value, n, last in self.seen
        )  # fmt: skip
        what = f"positions that are not finite or absurdly far (over 10 km) in {counted(len(self.seen), 'clip')}"
        return [grouped("not finite", "fault", what, "repair these frames, or leave the clips out", places)]


@dataclass
class Absent:
    """Clips without anybody, frames without anybody, joints that the sensor did not give."""

    empty: list[int] = field(default_factory=list)
    gaps: list[tuple[int, int, int, int]] = field(default_factory=list)  # clip, first, empty frames, frames
    lost: list[tuple[int, int, int, int]] = field(default_factory=list)  # clip, frame, joint, times
    frames: int = 0

    def look(self, block: Block) -> None:
        """Frames within each clip's length."""
        anybody = np.asarray(block.present.any(axis=2))
        gone = block.inside & ~anybody
        if block.wrong is not None:  # named as what they are
            gone &= ~np.asarray(block.wrong.any(axis=(1, 3, 4)))
        self.frames += int(block.frames.sum())
        for clip in np.flatnonzero(gone.any(axis=1)):
            if not anybody[clip].any() and gone[clip].sum() == block.frames[clip]:
                self.empty.append(block.start + int(clip))
                continue
            where = np.flatnonzero(gone[clip])
            self.gaps.append((block.start + int(clip), int(where[0]), len(where), int(block.frames[clip])))
        self._look_at_joints(block)

    def _look_at_joints(self, block: Block) -> None:
        zero = ~block.tracks.any(axis=1) & block.there[..., None]  # (P, T, V)
        if block.wrong is not None:  # named as what they are
            clips, persons = block.who
            zero &= ~np.asarray(block.wrong.any(axis=1))[clips, :, :, persons]
        if not zero.any():
            return
        always = np.asarray(
            (zero | ~block.there[..., None]).all(axis=1)
        )  # a centre in the origin, or a joint nobody tracks
        zero &= ~always[:, None]
        for track in np.flatnonzero(zero.any(axis=(1, 2))):
            frame, joint = (int(i) for i in np.argwhere(zero[track])[0])
            clip = block.start + int(block.who[0][track])
            self.lost.append((clip, frame, joint, int(zero[track].sum())))

    def findings(self, facts: Facts) -> list[Finding]:
        """Faults for clips of nobody, notes for the rest."""
        found = []
        if self.empty:
            what = f"nobody in any frame of {counted(len(self.empty), 'clip')}"
            places: Iterable[Place] = (Place(facts.names[clip]) for clip in self.empty)
            found.append(grouped("empty clip", "fault", what, "leave the clips out", places))
        if self.gaps:
            share = sum(gap[2] for gap in self.gaps) / max(self.frames, 1)
            most = sum(gap[2] >= _MANY * gap[3] for gap in self.gaps)
            what = f"frames without anybody in {counted(len(self.gaps), 'clip')} ({share:.2%} of all frames"
            what += f"; in {counted(most, 'clip')} a quarter of the frames or more)" if most else ")"
            worst = sorted(self.gaps, key=lambda gap: -gap[2] / gap[3])
            places = (
                Place(facts.names[c], frame, seen=f"the first of {n} of {of} frames") for c, frame, n, of in worst
            )
            do = "leave out the clips where many are" if most else ""
            found.append(grouped("empty frames", "note", what, do, places))
        if self.lost:
            clips = len({clip for clip, *_ in self.lost})
            what = f"joints exactly at the origin now and then (not tracked) in {counted(clips, 'clip')}"
            places = (
                Place(facts.names[clip], frame, f"{joint} ({facts.layout.joints[joint]})",
                      seen=f"zero, {counted(n, 'time')} in all")
                for clip, frame, joint, n in self.lost
            )  # fmt: skip
            found.append(grouped("lost joints", "note", what, "", places))
        return found


@dataclass
class Frozen:
    """Clips whose frames are all equal to the last digit, or many in a row: no sensor and nobody is that still."""

    seen: list[tuple[int, int]] = field(default_factory=list)
    held: list[tuple[int, int, int, int]] = field(default_factory=list)  # clip, first frame, equal frames, frames

    def look(self, block: Block) -> None:
        """Somebody is there, and frames do not differ from those before."""
        x = block.x
        there = np.asarray(block.present.any(axis=2))
        same = (x[:, :, 1:] == x[:, :, :-1]).all(axis=(1, 3, 4)) & there[:, 1:] & block.inside[:, 1:]
        repeats = same.sum(axis=1)
        still = (repeats == block.frames - 1) & (block.frames > 1) & there.any(axis=1)
        self.seen += [(block.start + int(clip), int(block.frames[clip])) for clip in np.flatnonzero(still)]
        for clip in np.flatnonzero(~still & (repeats >= np.maximum(_HELD * block.frames, _HELD_FRAMES))).tolist():
            first, count = _longest_run(same[clip])
            self.held.append((block.start + clip, first, count + 1, int(block.frames[clip])))

    def findings(self, facts: Facts) -> list[Finding]:
        """A fault; a clip of one frame, resampled to many, has a note of its own. A note where some frames are held."""
        found = []
        frozen = [(c, n) for c, n in self.seen if facts.length is None or facts.length[c] != 1]
        if frozen:
            places = (Place(facts.names[clip], seen=f"{frames} equal frames") for clip, frames in frozen)
            what = f"no motion at all in {counted(len(frozen), 'clip')}: every frame is the first one to the last digit"
            do = "read them again from the source, or leave them out"
            found.append(grouped("frozen", "fault", what, do, places))
        held = [one for one in self.held if one[2] > max(_HELD * one[3], _HELD_FRAMES, 3 * _stretch(facts, one[0]))]
        if held:
            places = (
                Place(facts.names[clip], frame, seen=f"the first of {count} equal frames (of {frames})")
                for clip, frame, count, frames in held
            )
            what = f"one frame is held for a quarter of the clip or more in {counted(len(held), 'clip')}"
            do = "where it fills up the end, give true lengths and zeros after them; else read the source again"
            found.append(grouped("held frames", "note", what, do, places))
        return found


def _longest_run(marks: NDArray[np.bool_]) -> tuple[int, int]:
    """(where the longest stretch of marks begins, how many they are); at least one is set."""
    edges = np.flatnonzero(np.diff(np.concatenate([[0], marks.astype(np.int8), [0]])))
    starts, stops = edges[::2], edges[1::2]
    longest = int(np.argmax(stops - starts))
    return int(starts[longest]), int(stops[longest] - starts[longest])


def _stretch(facts: Facts, clip: int) -> float:
    """Frames here for one in the file: where a clip was stretched, frames may repeat."""
    if facts.length is None or facts.frames is None:
        return 1.0
    return facts.frames / max(int(facts.length[clip]), 1)
