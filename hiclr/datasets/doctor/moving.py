"""What happens between two frames: jumps, sides and persons that change places; one person twice."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.doctor.bodies import Block, Facts
from hiclr.datasets.doctor.finding import Finding, Place, Severity, grouped
from hiclr.datasets.wording import counted

__all__ = ["Doubles", "Jumps", "PersonExchanges", "SideExchanges"]

# A body (hand to foot along the bones) is about 2 m. 0.4 of it between two frames is 0.8 m: 24 m/s at 30 frames/s,
# where the fastest kick or throw stays below 15 m/s.
JUMP = 0.4
# Nobody's hand goes 0.3 m in one frame and is back in the next; in real recordings one clip of some 300 has it.
SPIKE = 0.15
OUT_OF_LINE = 6.0  # and this many times the joint's median step in the clip: fast clips are fast everywhere
# Two ends have changed places when the line between them turned round: what differs after turning it back is small.
TURNED = 0.3
SIDES_APART = 0.1  # of the body, 0.2 m: nearer joints may cross
PERSONS_APART = 0.2  # of the body, 0.4 m
# The sensor exchanges sides or persons now and then; in more than one clip of a hundred it was the preparation.
SYSTEMATIC = 0.01
_FEW = 3
NEAR_DOUBLE = 0.01  # of the body, 2 cm: one body that the sensor tracks twice

Floats = NDArray[np.float32]


def _steps(points: Floats) -> Floats:
    """(P, 3, T, K) -> (P, T-1, K) way from one frame to the next."""
    difference = np.diff(points, axis=2)
    return np.asarray(np.sqrt(np.einsum("pctk,pctk->ptk", difference, difference)))


def _of(count: int, clips: int, thing: str) -> str:
    return f"{count:,} of {counted(clips, thing)}"


def _severity(clips: int, of: int) -> Severity:
    return "fault" if clips >= SYSTEMATIC * of else "note"


@dataclass
class Jumps:
    """A joint moves farther between two frames than anybody can, or goes off for a single frame and comes back."""

    seen: list[tuple[int, int, int | None, int, float]] = field(default_factory=list)

    def look(self, block: Block) -> None:
        """The first jump of each person."""
        if block.raw.shape[2] < 2 or not len(block.tracks):
            return
        steps = _steps(block.tracks)
        steps[~block.moved] = 0
        clip, person = (side.tolist() for side in block.who)
        unit = block.size * block.pace[block.who[0]]
        for track in np.flatnonzero(steps.max(axis=(1, 2)) > SPIKE * unit).tolist():
            odd = _odd(block.tracks[track], steps[track], float(unit[track]))
            if not odd.any():
                continue
            frame = int(np.argmax(odd.any(axis=1)))
            joint = int(np.argmax(np.where(odd[frame], steps[track, frame], 0)))
            whole = odd[frame].mean() > 0.5
            far = float(steps[track, frame, joint])
            self.seen.append((block.start + clip[track], frame + 1, None if whole else joint, person[track], far))

    def findings(self, facts: Facts) -> list[Finding]:
        """A note: sensors do this."""
        if not self.seen:
            return []
        places = (
            Place(facts.names[clip], frame, None if joint is None else facts.layout.joints[joint], person,
                  f"{far:.2f} m from where it was" + (" (the whole body)" if joint is None else ""))
            for clip, frame, joint, person, far in self.seen
        )  # fmt: skip
        clips = counted(len({s[0] for s in self.seen}), "clip")
        what = f"jumps in {clips}: a joint moves over {JUMP:.0%} of the body's length between two frames, or over "
        what += f"{SPIKE:.0%} in one frame and back in the next"
        do = "look at some of them; where they are many, smooth the clips or leave them out"
        return [grouped("jump", "note", what, do, places)]


def _odd(x: Floats, steps: Floats, unit: float) -> NDArray[np.bool_]:
    """(T-1, V) jumps of one person (3, T, V): a fast clip is fast everywhere, so they stand out of its usual steps."""
    usual = np.median(steps, axis=0)
    odd = (steps > JUMP * unit) & (steps > OUT_OF_LINE * usual)
    there = np.minimum(steps[:-1], steps[1:])
    back = np.linalg.norm(x[:, 2:] - x[:, :-2], axis=0)
    odd[:-1] |= (there > SPIKE * unit) & (there > OUT_OF_LINE / 2 * usual) & (back < there / 2)
    return np.asarray(odd)


@dataclass(frozen=True)
class _Exchange:
    """The first of a person: `pair` changes places in `frame`; `whole`: so do all pairs that lie apart."""

    clip: int
    frame: int
    pair: int
    person: int
    far: float
    whole: bool

    def place(self, facts: Facts) -> Place:
        """As it is named."""
        apart = f"({self.far:.2f} m apart)"
        if self.whole:
            return Place(facts.names[self.clip], self.frame, None, self.person, f"exchanged as a whole {apart}")
        return Place(facts.names[self.clip], self.frame, _pair(facts, self.pair), self.person, f"exchanged {apart}")


@dataclass
class SideExchanges:
    """Left and right joints change places between two frames."""

    seen: list[_Exchange] = field(default_factory=list)
    clips: int = 0

    def look(self, block: Block) -> None:
        """The line from a left joint to its right one turns round at once."""
        self.clips += len(block.raw)
        pairs = block.layout.pairs
        if not pairs or block.raw.shape[2] < 2 or not len(block.tracks):
            return
        left, right = (list(side) for side in zip(*pairs, strict=True))
        line = block.tracks[..., left] - block.tracks[..., right]  # (P, 3, T, K)
        apart = SIDES_APART * block.size
        turned, changes = _turned(line, block.moved[..., left] & block.moved[..., right], apart[:, None, None])
        clip, person = (side.tolist() for side in block.who)
        for track in np.flatnonzero(turned.any(axis=(1, 2))).tolist():
            frame, pair = (int(i) for i in np.argwhere(turned[track])[0])
            wide = np.linalg.norm(line[track, :, frame], axis=0) > apart[track]
            whole = bool(wide.sum() > 1 and turned[track, frame][wide].all())
            far = float(changes[track, frame, pair]) / 2
            self.seen.append(_Exchange(block.start + clip[track], frame + 1, pair, person[track], far, whole))

    def findings(self, facts: Facts) -> list[Finding]:
        """A note, or a fault where too many clips have it for the sensor to have done it."""
        if not self.seen:
            return []
        count = len({one.clip for one in self.seen})
        # of a few clips one is more than a hundredth: the sensor mixes up a hand or two, not the sides of the body
        sensor = count < _FEW and not any(one.whole for one in self.seen)
        severity = "note" if sensor else _severity(count, self.clips)
        what = f"left and right joints change places between two frames in {_of(count, self.clips, 'clip')}"
        do = "exchange them back from that frame on, or read the source again"
        return [grouped("left-right exchange", severity, what, do, (one.place(facts) for one in self.seen))]


def _pair(facts: Facts, pair: int) -> str:
    left, right = facts.layout.pairs[pair]
    return f"{facts.layout.joints[left]} / {facts.layout.joints[right]}"


def _turned(line: Floats, both: NDArray[np.bool_], apart: NDArray[np.floating]) -> tuple[NDArray[np.bool_], Floats]:
    """((P, T-1, K) lines that turn round between two frames, by how many metres their ends change).

    Somebody who turns, or legs that pass each other, turn the line too, but over several frames: so the change must
    stand out from what is usual in the clip. `both` (P, T-1, K): the ends are there in both frames.
    """
    change = _steps(line) * both
    candidate = change > 2 * apart
    turned = np.zeros(candidate.shape, dtype=bool)
    for track in np.flatnonzero(candidate.any(axis=(1, 2))):
        rest = line[track, :, 1:] + line[track, :, :-1]
        left_over = np.sqrt(np.einsum("ctk,ctk->tk", rest, rest))
        usual = np.median(np.minimum(change[track], left_over), axis=0)
        turned[track] = candidate[track] & (left_over < TURNED * change[track]) & (change[track] > OUT_OF_LINE * usual)
    return turned, change


@dataclass
class PersonExchanges:
    """Two persons change places between two frames: their tracks were mixed up."""

    seen: list[tuple[int, int, int, int, float]] = field(default_factory=list)
    clips: int = 0

    def look(self, block: Block) -> None:
        """The lines between the same joints of two persons turn round at once; or one moves to a free place."""
        persons = block.raw.shape[4]
        self.clips += int((block.present.any(axis=1).sum(axis=1) > 1).sum())
        for one in range(persons):
            for other in range(one + 1, persons):
                self._look_at_two(block, one, other)

    def _look_at_two(self, block: Block, one: int, other: int) -> None:
        rows = np.flatnonzero(block.present[..., one].any(axis=1) & block.present[..., other].any(axis=1))
        if not len(rows) or block.raw.shape[2] < 2:
            return
        there = block.present[rows][:, :, [one, other]]
        a, b = block.x[rows, ..., one], block.x[rows, ..., other]
        line = (a - b).mean(axis=3, keepdims=True)  # (R, 3, T, 1): the middles of the two
        size = _sizes(block, rows)
        both = np.asarray(there[:, 1:].all(axis=2) & there[:, :-1].all(axis=2))
        turned, change = _turned(line, both[..., None], (PERSONS_APART * size)[:, None, None])
        taken = _taken_over(a, b, there, PERSONS_APART * size) | _taken_over(
            b, a, there[..., ::-1], PERSONS_APART * size
        )
        for row in np.flatnonzero((turned[..., 0] | taken).any(axis=1)):
            frame = int(np.argmax(turned[row, :, 0] | taken[row]))
            self.seen.append((block.start + int(rows[row]), frame + 1, one, other, float(change[row, frame, 0]) / 2))

    def findings(self, facts: Facts) -> list[Finding]:
        """A note, or a fault where too many clips have it for the sensor to have done it."""
        if not self.seen:
            return []
        count = len({s[0] for s in self.seen})
        places = [
            Place(facts.names[clip], frame, seen=f"where persons {one} and {other} change places"
                  + (f" ({far:.2f} m apart)" if far else ""))
            for clip, frame, one, other, far in self.seen
        ]  # fmt: skip
        what = f"two persons change places between two frames in {_of(count, self.clips, 'clip')} with two persons"
        do = "exchange the two from that frame on, or follow the tracking ids when reading the source"
        return [grouped("swapped persons", _severity(count, self.clips), what, do, places)]


def _sizes(block: Block, rows: NDArray[np.int64]) -> Floats:
    """(R,) the larger of a clip's bodies."""
    size = np.zeros(len(block.raw), dtype=np.float32)
    np.maximum.at(size, block.who[0], block.size)
    return size[rows]


def _taken_over(a: Floats, b: Floats, there: NDArray[np.bool_], apart: NDArray[np.floating]) -> NDArray[np.bool_]:
    """(R, T-1): `a` goes, and `b`, who was away, stands with every joint where `a` was."""
    handed = there[:, :-1, 0] & ~there[:, 1:, 0] & ~there[:, :-1, 1] & there[:, 1:, 1]
    if not handed.any():
        return handed
    way = np.linalg.norm(b[:, :, 1:] - a[:, :, :-1], axis=1).mean(axis=2)  # (R, T-1)
    return np.asarray(handed & (way < TURNED * apart[:, None]))


@dataclass
class Doubles:
    """The second person is the first one again."""

    exact: list[tuple[int, int, int, int]] = field(default_factory=list)
    near: list[tuple[int, int, int, int]] = field(default_factory=list)

    def look(self, block: Block) -> None:
        """Over the frames in which both are there."""
        for one in range(block.raw.shape[4]):
            for other in range(one + 1, block.raw.shape[4]):
                self._look_at_two(block, one, other)

    def _look_at_two(self, block: Block, one: int, other: int) -> None:
        both = block.present[..., one] & block.present[..., other]
        rows = np.flatnonzero(both.any(axis=1))
        if not len(rows):
            return
        size = _sizes(block, rows)
        apart = np.linalg.norm(block.x[rows, ..., one] - block.x[rows, ..., other], axis=1).mean(axis=2)  # (R, T)
        for row, clip in enumerate(rows):
            there, way = int(both[clip].sum()), apart[row][both[clip]]
            equal, near = int((way == 0).sum()), int((way < NEAR_DOUBLE * size[row]).sum())
            entry = (block.start + int(clip), one, other)
            if equal:
                self.exact.append((*entry, equal))
            elif near > there / 2:
                self.near.append((*entry, near))

    def findings(self, facts: Facts) -> list[Finding]:
        """A fault where equal to the last digit, a note where nearly so: some sensors track one body twice."""

        def places(seen: list[tuple[int, int, int, int]]) -> list[Place]:
            return [
                Place(facts.names[clip], seen=f"persons {one} and {other} in {frames} frames")
                for clip, one, other, frames in seen
            ]

        found = []
        if self.exact:
            what = f"one person twice, equal to the last digit, in {counted(len(self.exact), 'clip')}"
            do = "set the second person to zero: an absent person is exactly zero"
            found.append(grouped("duplicate person", "fault", what, do, places(self.exact)))
        if self.near:
            what = f"two persons in one place, within 1% of the body, in {counted(len(self.near), 'clip')}"
            do = "look whether it is one who was tracked twice; then set the second to zero"
            found.append(grouped("duplicate person", "note", what, do, places(self.near)))
        return found
