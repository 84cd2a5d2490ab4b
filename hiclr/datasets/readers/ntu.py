"""Raw NTU RGB+D 60 and 120 `.skeleton` files: bodies followed by tracking id, false bodies dropped."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import Ids
from hiclr.datasets.positions import no_positions
from hiclr.datasets.readers.ntu_missing import missing_names
from hiclr.datasets.readers.plan import Format, Found, Options, Plan, RawClip, Skipped
from hiclr.datasets.readers.tree import Tree, open_tree
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

__all__ = ["ACTIONS", "FORMAT", "NAME", "PUBLISHED", "NtuName", "ntu_protocols", "read_skeleton"]

ACTIONS = 120
PERSONS = 2
FPS = 30.0
NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_PAIRS = frozenset((*range(50, 61), *range(106, 121)))  # actions of two persons
_VALUES = 12  # of a joint: position, depth and colour pixel, orientation, tracking state
_STILL = 0.02  # a body with less than this share of the main body's motion does not act ...
_STILL_ALONE = 0.1  # ... and where one person acts, a chair that trembles with the sensor does not either
_NEAR = 0.5  # metres that a joint may be away when a lost body is found again under another id
_LYING = 0.8  # wider than 0.8 of its height: no upright person ...
_LYING_FRAMES = 0.7  # ... when so in this share of its frames
_RIVAL = 0.6  # of the main body's reach: with less, nobody else is the one who acts, and the main body may lie
_TREMBLING = 1.0  # a step of each frame as long as the whole reach: no motion of a person ...
_TREMBLING_FRAMES = 10  # ... in as many frames; two frames are always as far apart as that
_MOST_FRAMES = 100_000
_MOST_TRACKS = 500  # tracking ids: a body that is lost gets another, but not for ever
_MOST_BYTES = 2**26  # the longest file of the set has a twentieth

_TRAIN_60 = (1, 2, 4, 5, 8, 9, 13, 14, 15, 16, 17, 18, 19, 25, 27, 28, 31, 34, 35, 38)
_TRAIN_120 = (*_TRAIN_60, 45, 46, 47, 49, 50, 52, 53, 54, 55, 56, 57, 58, 59, 70, 74, 78, 80, 81, 82, 83, 84, 85, 86,
              89, 91, 92, 93, 94, 95, 97, 98, 100, 103)  # fmt: skip

PUBLISHED: dict[str, tuple[int, int]] = {
    "ntu60-xsub": (40_091, 16_487),
    "ntu60-xview": (37_646, 18_932),
    "ntu120-xsub": (63_026, 50_919),
    "ntu120-xset": (54_468, 59_477),
}
"""Protocol -> (train, test) clips after the missing list. With its older 532 names: 50,922 and 54,471."""


@dataclass(frozen=True)
class NtuName:
    """What a file name says."""

    setup: int
    camera: int
    performer: int
    replication: int
    action: int

    @classmethod
    def parse(cls, file: str) -> "NtuName | None":
        """From .../SsssCcccPpppRrrrAaaa.skeleton; None for any other name."""
        path = PurePosixPath(file)
        return cls.from_match(NAME.fullmatch(path.stem) if path.suffix == ".skeleton" else None)

    @classmethod
    def from_match(cls, match: re.Match[str] | None) -> "NtuName | None":
        """From a match of `NAME`."""
        return None if match is None else cls(*map(int, match.groups()))

    @property
    def ids(self) -> dict[str, int]:
        """Subject, camera and setup."""
        return {"subject": self.performer, "camera": self.camera, "setup": self.setup}

    @property
    def is_120(self) -> bool:
        """Only NTU RGB+D 120 has this setup or this action."""
        return self.action > 60 or self.setup > 17


@dataclass
class _Track:
    """One tracking id: its frames and joints."""

    frames: list[int] = field(default_factory=list)
    joints: list[NDArray[np.float64]] = field(default_factory=list)  # (25, 3) each


@dataclass
class _Person:
    """One body through time, under one tracking id or several."""

    identity: str
    frames: Ids  # (T',) rising
    points: NDArray[np.float64]  # (T', 25, 3)

    @property
    def energy(self) -> float:
        """Motion: the squared way from its mean position, summed over joints and frames."""
        return float(self.points.var(axis=0).sum()) * len(self.points)

    @property
    def pace(self) -> float:
        """Mean way of a joint from one frame to the next, in metres; 0 for a single frame."""
        steps = np.linalg.norm(np.diff(self.points, axis=0), axis=2)
        return float(steps.mean()) if len(steps) else 0.0

    @property
    def reach(self) -> float:
        """Root mean square distance of a joint from its own mean position, in metres."""
        return float(np.sqrt(self.points.var(axis=0).sum(axis=1).mean()))

    @property
    def lying(self) -> float:
        """Share of the frames in which the body is wider than high."""
        spread = np.ptp(self.points, axis=1)  # (T', 3)
        return float((spread[:, 0] > _LYING * spread[:, 1]).mean())

    @property
    def lies(self) -> bool:
        """Wider than high most of the time: somebody lying, or no person."""
        return self.lying >= _LYING_FRAMES

    @property
    def trembles(self) -> bool:
        """It goes to and fro from frame to frame and gets nowhere, as the sensor's noise does."""
        return len(self.frames) >= _TREMBLING_FRAMES and self.pace >= _TREMBLING * self.reach


class _EndOfFileError(Exception):
    """The file ends where more was promised."""


@dataclass
class _Lines:
    """The lines of a file and how far they are read."""

    lines: list[str]
    at: int = 0

    def take(self) -> str:
        if self.at >= len(self.lines):
            raise _EndOfFileError
        self.at += 1
        return self.lines[self.at - 1]

    @property
    def ended(self) -> bool:
        return self.at >= len(self.lines)


def _detects(tree: Tree) -> bool:
    return any(name.endswith(".skeleton") for name in tree.names)


def _find(tree: Tree, _: Options) -> Plan:
    """From the names alone: a clip for each file, without the ones that are known to hold no usable skeleton."""
    found, skipped = _sift(tree)
    if not found:
        reasons = "; ".join(f"{s.file}: {s.reason}" for s in skipped[:10])
        raise InputError(f"{tree.path.name} has no NTU clip. {reasons}")
    larger = any(name.is_120 for file in found if (name := NtuName.parse(file.place[0])) is not None)
    return Plan(
        "NTU RGB+D 120" if larger else "NTU RGB+D 60",
        NTU_25,
        found,
        partial(_read, tree),
        persons=PERSONS,
        classes=tuple(f"A{i:03d}" for i in range(1, (ACTIONS if larger else 60) + 1)),
        protocols=partial(_protocols, larger),
        published=PUBLISHED,
        skipped=skipped,
    )


FORMAT = Format(
    "ntu",
    _detects,
    _find,
    {
        "labels": "the number after A in the name of each file is its class",
        "pattern": "the names of the files follow SsssCcccPpppRrrrAaaa, which says class, subject and camera",
        "units": "they are in metres",
    },
)


def _sift(tree: Tree) -> tuple[tuple[Found, ...], tuple[Skipped, ...]]:
    """(files to read, files that are left alone with the reason)."""
    missing, seen = missing_names(), dict[str, str]()
    found, skipped = [], []
    for file in tree.names:
        name, stem, place = NtuName.parse(file), PurePosixPath(file).stem, tree.place(file)
        if name is None:
            reason = "the name does not follow SsssCcccPpppRrrrAaaa.skeleton"
            skipped.append(Skipped(place, reason, harmless=".skeleton" not in PurePosixPath(file).name))
        elif not 1 <= name.action <= ACTIONS:
            skipped.append(Skipped(place, f"the name says action {name.action}, known are 1 to {ACTIONS}"))
        elif stem in missing:
            reason = "on the published list of clips without a usable skeleton"
            skipped.append(Skipped(place, reason, harmless=True))
        elif stem in seen:
            skipped.append(Skipped(place, f"a second file of that name; {seen[stem]} is read", harmless=True))
        else:
            seen[stem] = place
            found.append(Found(stem, name.action - 1, (file,), name.ids, file=place))
    return tuple(found), tuple(skipped)


def _protocols(larger: bool, clips: Sequence[Found]) -> dict[str, NDArray[np.bool_]]:
    def ids(key: str) -> Ids:
        return np.array([clip.ids[key] for clip in clips], dtype=np.int64)

    return ntu_protocols(ids("subject"), ids("camera"), ids("setup"), larger)


def _read(tree: Tree, found: Found) -> RawClip:
    file = str(found.place[0])
    return _parse(_text(tree, file), tree.place(file), NtuName.parse(file))


def _text(tree: Tree, file: str) -> str:
    return tree.read(file, _MOST_BYTES).decode("utf-8-sig", errors="replace")


def read_skeleton(path: Path) -> RawClip:
    """Read one file.

    Returns:
        x (3, T, 25, 2) in metres, as in the file; the person who moves most first.

    Raises:
        InputError: empty, cut short, without frames or without bodies; the file is named.
    """
    return _parse(_text(open_tree(path), path.name), path.name, NtuName.parse(path.name))


def _parse(text: str, place: str, name: NtuName | None) -> RawClip:
    text = text.strip()
    if not text:
        raise InputError(f"{place} is empty (0 bytes of text). Download it again.")
    lines = _Lines(text.splitlines())
    count = _count(lines, place, "the number of frames", _MOST_FRAMES)
    if count == 0:
        raise InputError(f"{place} has no frame: it says 0 frames. Leave it out.")
    tracks, notes = _tracks(lines, count, place)
    clip = _choose(_join(tracks), count, alone=name is not None and name.action not in _PAIRS)
    notes += clip.notes
    if not lines.ended:
        left = len(lines.lines) - lines.at
        notes += (f"goes on for {left} lines after the {count} frames that it says; they are left out",)
    return replace(clip, fps=FPS, notes=notes)


def _count(lines: _Lines, place: str, what: str, most: int) -> int:
    text = lines.take()
    words = text.split()
    if len(words) != 1 or not (words[0].isascii() and words[0].isdigit()) or len(words[0]) > 9 or int(words[0]) > most:
        raise InputError(f"{place}, line {lines.at}: {what} should stand here, at most {most}; it is {text[:40]!r}.")
    return int(words[0])


def _tracks(lines: _Lines, count: int, place: str) -> tuple[dict[str, _Track], tuple[str, ...]]:
    """(tracking id -> where its body is, what to say of it); bodies without any position are absent."""
    tracks, absent, twice = dict[str, _Track](), dict[str, None](), dict[str, int]()
    for frame in range(count):
        bodies = _frame(lines, count, frame, place)
        absent |= dict.fromkeys(identity for identity, joints in bodies if not joints.any())
        for identity, joints in _distinct([body for body in bodies if body[1].any()]):
            track = tracks.setdefault(identity, _Track())
            if len(tracks) > _MOST_TRACKS:  # each is compared with all before it
                raise InputError(f"{place} has more than {_MOST_TRACKS} tracking ids. Download it again.")
            track.frames.append(frame)
            track.joints.append(joints)
            if "#" in identity:
                twice.setdefault(identity, frame)
    if not tracks and absent:
        raise InputError(f"{place}: nobody is there, all {count} frames are zero. Leave it out.")
    if not tracks:
        raise InputError(f"{place} has no body in any of its {count} frames. Leave it out.")
    notes = [f"body {identity} is zero in all its frames: absent" for identity in absent if identity not in tracks]
    notes += [
        f"frame {frame} has another body under the tracking id {identity.partition('#')[0]}: it is read as {identity}"
        for identity, frame in twice.items()
    ]
    return tracks, tuple(notes)


def _frame(lines: _Lines, count: int, frame: int, place: str) -> list[tuple[str, NDArray[np.float64]]]:
    start = lines.at
    try:
        return _bodies(lines, place)
    except _EndOfFileError:
        torn = "whole and a torn one are" if lines.at > start else "are"
        raise InputError(
            f"{place} ends too early: it says {count} frames, {frame} {torn} there. Download it again."
        ) from None


def _distinct(bodies: list[tuple[str, NDArray[np.float64]]]) -> list[tuple[str, NDArray[np.float64]]]:
    """The bodies of a frame, each under a key of its own; one that is written twice is one body."""
    found: dict[str, list[NDArray[np.float64]]] = {}
    for identity, joints in bodies:
        others = found.setdefault(identity, [])
        if not any(np.array_equal(joints, other) for other in others):
            others.append(joints)
    return [
        (f"{identity}#{i + 1}" if i else identity, joints)
        for identity, several in found.items()
        for i, joints in enumerate(several)
    ]


def _bodies(lines: _Lines, place: str) -> list[tuple[str, NDArray[np.float64]]]:
    """The bodies of one frame: tracking id and (25, 3) positions."""
    bodies = []
    for _ in range(_count(lines, place, "the number of bodies", 100)):
        identity = (lines.take().split() or ["?"])[0].replace("#", "?")  # `_distinct` has this sign for itself
        joints = _count(lines, place, "the number of joints", 1000)
        points = _quick(lines, joints) or [_joint(lines, place) for _ in range(joints)]
        if joints != NTU_25.num_joints:
            raise InputError(f"{place}: {NTU_25.num_joints} joints are wanted, a body has {joints}.")
        bodies.append((identity, np.array(points)))
    return bodies


def _quick(lines: _Lines, joints: int) -> list[tuple[float, float, float]]:
    """The joints of a body where its lines are as they should be, on which the time of a conversion hangs; or none."""
    block = lines.lines[lines.at : lines.at + joints]
    try:
        rows = [
            (float(x), float(y), float(z))
            for x, y, z, rest in [line.split(None, 3) for line in block]
            if rest.count(" ") == _VALUES - 4
        ]
    except ValueError:
        return []
    if len(rows) != joints:
        return []
    lines.at += joints
    return rows


def _joint(lines: _Lines, place: str) -> tuple[float, float, float]:
    line = lines.take()
    words = line.split()
    if len(words) < _VALUES:
        if lines.ended:  # a number cut in two would still be a number
            raise _EndOfFileError
        raise InputError(f"{place}, line {lines.at}: a joint has {_VALUES} values, {len(words)} are there.")
    try:
        return float(words[0]), float(words[1]), float(words[2])
    except ValueError:
        raise InputError(f"{place}, line {lines.at}: {' '.join(words[:3])[:60]!r} is no position.") from None


def _join(tracks: dict[str, _Track]) -> list[_Person]:
    """Tracking ids to persons: a body that is lost and found again near by goes on under its new id."""
    persons: list[_Person] = []
    for identity, track in sorted(tracks.items(), key=lambda item: item[1].frames[0]):
        new = _Person(identity, np.array(track.frames), np.stack(track.joints))
        _check_positions(new)
        before = [person for person in persons if person.frames[-1] < new.frames[0]]
        old = min(before, key=lambda person: _gap(person, new), default=None)
        if old is None or _gap(old, new) > _NEAR:
            persons.append(new)
            continue
        old.identity += f"+{new.identity}"
        old.frames = np.concatenate([old.frames, new.frames])
        old.points = np.concatenate([old.points, new.points])
    return persons


def _gap(old: _Person, new: _Person) -> float:
    """Mean distance of the joints between the last frame of one and the first of the other, in metres."""
    return float(np.linalg.norm(old.points[-1] - new.points[0], axis=1).mean())


def _check_positions(person: _Person) -> None:
    wrong = no_positions(person.points)
    if wrong is not None:
        at, joint, axis = (int(i) for i in np.argwhere(wrong)[0])
        value = person.points[at, joint, axis]
        raise InputError(f"frame {person.frames[at]}, joint {joint} of body {person.identity}: {value} is no position.")


def _choose(persons: list[_Person], count: int, alone: bool) -> RawClip:
    """At most two persons, the one who moves most first, without bodies that are no persons."""
    persons = sorted(persons, key=lambda person: (person.lies and person.trembles, -person.energy))
    main = persons[0]
    reasons = [None, *(_false_body(person, main, alone) for person in persons[1:])]
    rivals = [person for person, reason in zip(persons[1:], reasons[1:], strict=True) if not reason]
    if main.lies and any(rival.reach >= _RIVAL * main.reach for rival in rivals):
        reasons[0] = _wide(main)  # else somebody who falls or exercises there: nobody else acts
    notes = [f"body {p.identity} dropped as false: {r}" for p, r in zip(persons, reasons, strict=True) if r]
    real = [person for person, reason in zip(persons, reasons, strict=True) if not reason]
    notes += [f"body {person.identity} dropped: two others move more" for person in real[PERSONS:]]
    notes += [f"bodies {person.identity} read as one person" for person in real[:PERSONS] if "+" in person.identity]
    notes += [_hardly_moves(*real[:PERSONS])] if len(real) > 1 and real[1].reach < _STILL_ALONE * real[0].reach else []
    x = np.zeros((3, count, NTU_25.num_joints, PERSONS), dtype=np.float32)
    for slot, person in enumerate(real[:PERSONS]):
        x[..., slot][:, person.frames] = person.points.transpose(2, 0, 1)
    return RawClip(x, tuple(notes))


def _false_body(body: _Person, main: _Person, alone: bool) -> str | None:
    """Why this is no person beside the main one, or None. Motion and spread, as the field's usual remedy."""
    if body.pace < _STILL * main.pace:
        return f"static, {body.pace / main.pace:.1%} of the main body's motion"
    if body.reach < (_STILL_ALONE if alone else _STILL) * main.reach:
        return f"static, its joints stay within {body.reach * 100:.1f} cm"
    return _wide(body) if body.lies else None


def _wide(body: _Person) -> str:
    return f"spread wider than high in {body.lying:.0%} of its frames"


def _hardly_moves(main: _Person, body: _Person) -> str:
    return (
        f"body {body.identity} is kept as person 2 since two act here, but its joints stay within "
        f"{body.reach * 100:.1f} cm (body {main.identity}: {main.reach * 100:.0f} cm): somebody who stands still, "
        "or a chair"
    )


def ntu_protocols(performer: Ids, camera: Ids, setup: Ids, larger: bool) -> dict[str, NDArray[np.bool_]]:
    """The published protocols as test masks: of NTU 60, or of the larger NTU 120.

    Those that leave both parts a clip come first, since the first is the default.
    """
    if larger:
        masks = {"ntu120-xsub": ~np.isin(performer, _TRAIN_120), "ntu120-xset": setup % 2 == 1}
    else:
        masks = {"ntu60-xsub": ~np.isin(performer, _TRAIN_60), "ntu60-xview": ~np.isin(camera, (2, 3))}
    return dict(sorted(masks.items(), key=lambda item: bool(item[1].all() or not item[1].any())))
