"""How large the bodies are, which way is up, where they look, and whether left is left."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.doctor.bodies import Block, Facts, ends
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.datasets.wording import counted

__all__ = ["Orientation", "Scale"]

Floats = NDArray[np.float32]

# Bones are 0.14 to 0.31 m on average in Kinect, NTU and optical recordings. 5 m is no body in metres, and less than a
# body in centimetres (20 m) or millimetres (200 m).
_BONE = 0.2
_NO_METRES = 5.0
_OTHER_UNIT = 20.0  # times the set's usual size: no two people differ so, centimetres do by 100
_OTHER_SIZE = 2.5  # times: more than a child and an adult
_USUAL = (0.9, 3.6)  # metres from hand to foot along the bones: a child; a tall adult with a sensor's long bones
_TALL = 10.0  # metres from the body's first joint
_UPRIGHT = 0.8  # share of the line from feet to head along one axis
_CLEAR = 0.3  # cosine between the toes and the front that left and right tell
_ODD = 0.5
_MOST = 0.9
_TOLD = 0.5  # share of the bodies whose feet tell clearly; with less the feet of this set tell nothing
_FEW = 3  # bodies: fewer are no set of its own


@dataclass
class Scale:
    """Metres, or another unit; one unit for all clips."""

    bones: list[Floats] = field(default_factory=list)
    sizes: list[Floats] = field(default_factory=list)
    clips: list[NDArray[np.int64]] = field(default_factory=list)
    far: list[tuple[int, float]] = field(default_factory=list)

    def look(self, block: Block) -> None:
        """Bone lengths of each person, and joints far from the rest of the body."""
        if not len(block.tracks):
            return
        self.bones.append(block.bones.mean(axis=1) if block.bones.shape[1] else np.zeros(len(block.bones), np.float32))
        self.sizes.append(block.size)
        self.clips.append(block.start + block.who[0])
        low, high = block.tracks.min(axis=(2, 3)), block.tracks.max(axis=(2, 3))  # a quick look first
        for track in np.flatnonzero((high - low).max(axis=1) > _TALL):
            x = block.tracks[track]
            way = np.abs(x - x[:, :, :1])
            way[:, ~x.any(axis=0)] = 0  # a joint that was not tracked is no far one
            if (most := float(way.max())) > _TALL:
                self.far.append((block.start + int(block.who[0][track]), most))

    def summary(self) -> str:
        """The usual body in words; empty where there is none."""
        return f"{np.median(np.concatenate(self.sizes)):.2f} m from hand to foot along the bones" if self.sizes else ""

    def findings(self, facts: Facts) -> list[Finding]:
        """Faults for other units, notes for other sizes."""
        if not self.bones:
            return []
        bones, sizes, clips = np.concatenate(self.bones), np.concatenate(self.sizes), np.concatenate(self.clips)
        usual, size = float(np.median(bones)), float(np.median(sizes))
        if usual > _NO_METRES:
            return [_whole_set(usual, size)]
        found = []
        ratio = bones / max(usual, 1e-9)
        other = (ratio > _OTHER_UNIT) | (ratio < 1 / _OTHER_UNIT)
        if other.any() and usual > 0:
            places = (Place(facts.names[clips[i]], seen=f"{sizes[i]:.3g} m") for i in np.flatnonzero(other))
            what = f"{_bodies(int(other.sum()))} in another unit than the rest, which measure {size:.2f} m"
            found.append(grouped("scale", "fault", what, "bring these clips to metres, or leave them out", places))
        units = {int(clips[i]) for i in np.flatnonzero(other)}
        far = [(clip, way) for clip, way in self.far if clip not in units]
        if far:
            places = (Place(facts.names[clip], seen=f"{way:.1f} m") for clip, way in far)
            what = f"{_bodies(len(far))} with a joint over {_TALL:.0f} m away from the first joint"
            found.append(grouped("far joint", "fault", what, "repair these frames, or leave the clips out", places))
        odd = ~other & ((ratio > _OTHER_SIZE) | (ratio < 1 / _OTHER_SIZE))
        if odd.any():
            places = (Place(facts.names[clips[i]], seen=f"{sizes[i]:.2f} m") for i in np.flatnonzero(odd))
            what = f"{_bodies(int(odd.sum()))} over {_OTHER_SIZE} times larger or smaller than usual ({size:.2f} m)"
            found.append(grouped("body size", "note", what, "look whether these are people", places))
        if not _USUAL[0] <= size <= _USUAL[1]:
            what = f"bodies measure {size:.3g} from hand to foot along the bones, people some 2 m"
            what += ": normalised, or no metres"
            found.append(
                Finding("scale", "note", what, "lengths in metres are wanted by the size of the augmentations")
            )
        return found


def _bodies(count: int) -> str:
    return counted(count, "body", "bodies")


def _whole_set(bone: float, size: float) -> Finding:
    factor = bone / _BONE
    unit, divide = ("millimetres", 1000) if factor > 300 else ("centimetres", 100) if factor > 50 else ("", 0)
    what = f"bodies measure {size:,.0f} m from hand to foot along the bones, people some 2 m"
    what += f": the positions are in {unit}" if unit else ": another unit than metres"
    return Finding("scale", "fault", what, f"divide the positions by {divide}" if divide else "bring them to metres")


_UP_TO_Y = {
    "-y": "(x, -y, -z)",
    "+z": "(x, z, -y)",
    "-z": "(x, -z, y)",
    "+x": "(-y, x, z)",
    "-x": "(y, -x, z)",
}
"""What to put for (x, y, z) so that y is up: turns, which leave left on the left."""


@dataclass
class Orientation:
    """Which axis goes from the feet to the head; whether the toes point where left and right say the front is."""

    clips: list[NDArray[np.int64]] = field(default_factory=list)
    ups: list[Floats] = field(default_factory=list)
    fronts: list[Floats] = field(default_factory=list)
    agreement: list[Floats] = field(default_factory=list)
    flat: bool = True

    def look(self, block: Block) -> None:
        """A few frames of each person are enough."""
        joints = ends(block.layout)
        if not len(block.tracks):
            return
        self.flat = self.flat and not block.tracks[:, 2].any()
        if not joints["head"] or not joints["toes"]:
            return
        stride = max(block.raw.shape[2] // 12, 1)
        x, there = block.tracks[:, :, ::stride], block.there[:, ::stride]
        feet, head = x[..., list(joints["toes"])].mean(axis=3), x[..., list(joints["head"])].mean(axis=3)
        up = np.where(there[:, None], head - feet, 0).sum(axis=2)
        self.clips.append(block.start + block.who[0])
        self.ups.append(_unit(up, axis=1))
        toes = (x[..., list(joints["toes"])] - x[..., list(joints["ankles"])]).mean(axis=3)
        front = np.where(there[:, None], toes, 0)
        level = front[:, :, :3].sum(axis=2)
        level -= (level * self.ups[-1]).sum(axis=1, keepdims=True) * self.ups[-1]  # toes also point down
        self.fronts.append(_unit(level, axis=1))
        if joints["hips"]:
            left = x[..., joints["hips"][0]] - x[..., joints["hips"][1]]
            trunk = head - x[..., list(joints["hips"])].mean(axis=3)
            said = _unit(np.cross(left, trunk, axis=1), axis=1)  # right-handed: left x up is the front
            cosine = (said * _unit(front, axis=1)).sum(axis=1)
            seen = there.sum(axis=1)
            self.agreement.append(np.asarray((cosine * there).sum(axis=1) / np.maximum(seen, 1), dtype=np.float32))

    def summary(self) -> str:
        """Axis and front in words; empty where the names of the joints do not tell."""
        if self.flat or not self.ups:
            return ""
        up, share = self._up()
        words = f"{up} up" if share >= _MOST else f"no axis is up in most clips ({up} in {share:.0%})"
        front = np.concatenate(self.fronts).mean(axis=0)
        axis = int(np.argmax(np.abs(front)))
        if abs(front[axis]) > 0.5:
            words += f", people look towards {'-+'[int(front[axis] > 0)]}{'xyz'[axis]} at first"
        return words

    def _up(self) -> tuple[str, float]:
        ups = np.concatenate(self.ups)
        axis = np.abs(ups).argmax(axis=1)
        sign = np.take_along_axis(ups, axis[:, None], axis=1)[:, 0] > 0
        counts = np.bincount(axis * 2 + sign, minlength=6)
        most = int(counts.argmax())
        return f"{'-+'[most % 2]}{'xyz'[most // 2]}", float(counts[most] / max(counts.sum(), 1))

    def findings(self, facts: Facts) -> list[Finding]:
        """A fault where nearly all bodies stand along another axis; else notes: these are guesses from the bodies."""
        if self.flat and self.clips:
            return [Finding("axes", "note", "z is 0 everywhere: these are positions in a plane")]
        if not self.ups:
            return []
        return [*self._axes(facts), *self._sides(facts)]

    def _axes(self, facts: Facts) -> list[Finding]:
        up, share = self._up()
        if up != "+y" and share > 0.5:
            way = "up" if up[0] == "+" else "down"
            what = f"{up[1]} goes {way} from the feet to the head in {share:.0%} of the bodies, where y should go up"
            do = f"put {_UP_TO_Y[up]} for (x, y, z), a turn that keeps left and right"
            sure = share >= _MOST and sum(map(len, self.ups)) >= _FEW  # a few clips may be of somebody lying
            return [Finding("axes", "fault" if sure else "note", what, do)]
        ups, clips = np.concatenate(self.ups), np.concatenate(self.clips)
        off = (np.abs(ups[:, [0, 2]]).max(axis=1) > _UPRIGHT) | (ups[:, 1] < -_UPRIGHT)
        if not off.any() or up != "+y":
            return []
        places = (Place(facts.names[clips[i]]) for i in np.flatnonzero(off))
        what = f"{_bodies(int(off.sum()))} not upright, the head not above the feet: lying, or in other axes"
        return [grouped("axes", "note", what, "", places)]

    def _sides(self, facts: Facts) -> list[Finding]:
        if not self.agreement:
            return []
        agreement, clips = np.concatenate(self.agreement), np.concatenate(self.clips)
        clear = np.abs(agreement) > _CLEAR
        if clear.mean() < _TOLD:
            return []
        share = float((agreement[clear] < 0).mean())
        found = []
        if share > _MOST:
            what = f"toes point behind the body in {share:.0%} of the bodies: left and right joints are exchanged, or "
            what += "one axis points the other way (a mirror image)"
            do = "matters where left and right do, and beside other sets: exchange the names of left and right joints"
            found.append(Finding("mirrored", "note", what, do))
        if max(share, 1 - share) < _MOST:
            return self._two_conventions(facts)
        odd = np.flatnonzero(agreement > _ODD if share > _MOST else agreement < -_ODD).tolist()
        if odd:
            places = (Place(facts.names[clips[i]]) for i in odd)
            what = f"{_bodies(len(odd))} mirrored, it seems, beside the rest: where the toes point, left is right"
            found.append(grouped("mirrored", "note", what, "exchange left and right joints in these clips", places))
        return found

    def _two_conventions(self, facts: Facts) -> list[Finding]:
        """No majority: two sets in one where the feet tell clearly in nearly all bodies, else they tell nothing."""
        agreement, clips = np.concatenate(self.agreement), np.concatenate(self.clips)
        wrong, right = agreement < -_CLEAR, agreement > _CLEAR
        if (wrong | right).mean() < _MOST or min(wrong.sum(), right.sum()) < _FEW:
            return []
        share = float(wrong.sum() / (wrong | right).sum())
        what = f"in {share:.0%} of the bodies left is right, where the toes point, in {1 - share:.0%} not: "
        what += "two conventions in one set; "
        fewer = wrong if share <= 0.5 else right
        what += "these are mirrored" if share <= 0.5 else "these are not mirrored, the others are"
        do = f"exchange left and right joints in {'these' if share <= 0.5 else 'all other'} clips"
        places = (Place(facts.names[clips[i]]) for i in np.flatnonzero(fewer))
        return [grouped("mirrored", "note", what, do, places)]


def _unit(vectors: Floats, axis: int) -> Floats:
    return np.asarray(vectors / np.maximum(np.linalg.norm(vectors, axis=axis, keepdims=True), 1e-9))
