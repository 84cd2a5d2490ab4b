"""Raw NTU RGB+D 60 and 120 `.skeleton` files: bodies followed by tracking id, false bodies dropped."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import Ids
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

__all__ = ["PUBLISHED", "NtuName", "RawClip", "has_skeletons", "ntu_protocols", "read_skeleton"]

PERSONS = 2
_NAME = re.compile(r"S(\d{3})C(\d{3})P(\d{3})R(\d{3})A(\d{3})")
_STILL = 0.02  # a body with less than this share of the main body's motion does not act
_LYING = 0.8  # wider than 0.8 of its height: no upright person ...
_LYING_FRAMES = 0.7  # ... when so in this share of its frames
_MOST_FRAMES = 100_000

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
    def parse(cls, path: Path) -> "NtuName | None":
        """From SsssCcccPpppRrrrAaaa.skeleton; None for any other name."""
        match = _NAME.fullmatch(path.stem)
        return cls(*map(int, match.groups())) if match and path.suffix == ".skeleton" else None


@dataclass(frozen=True)
class RawClip:
    """One file.

    Args:
        x: (3, T, 25, 2) float32 metres, as in the file; the person who moves most first.
        notes: what was dropped, in words.
    """

    x: NDArray[np.float32]
    notes: tuple[str, ...] = ()


@dataclass
class _Track:
    """One tracking id: its frames and joints."""

    frames: list[int] = field(default_factory=list)
    joints: list[list[list[str]]] = field(default_factory=list)

    def positions(self) -> NDArray[np.float64]:
        """(T', 25, 3)."""
        return np.array(self.joints, dtype=np.float64)


def has_skeletons(path: Path) -> bool:
    """A `.skeleton` file, or a folder that holds one somewhere."""
    return path.suffix == ".skeleton" or (path.is_dir() and next(path.rglob("*.skeleton"), None) is not None)


def read_skeleton(path: Path) -> RawClip:
    """Read one file.

    Raises:
        InputError: empty, cut short, without frames or without bodies; the file is named.
    """
    text = path.read_text(encoding="utf-8-sig", errors="replace").strip()
    if not text:
        raise InputError(f"{path.name} is empty (0 bytes of text). Download it again.")
    lines = text.splitlines()
    count = _count(lines[0], path, "the number of frames", _MOST_FRAMES)
    if count == 0:
        raise InputError(f"{path.name} has no frame: it says 0 frames. Leave it out.")
    tracks = _tracks(lines, count, path)
    if not tracks:
        raise InputError(f"{path.name} has no body in any of its {count} frames. Leave it out.")
    return _choose(tracks, count)


def _count(text: str, path: Path, what: str, most: int) -> int:
    words = text.split()
    if len(words) != 1 or not words[0].isdigit() or int(words[0]) > most:
        raise InputError(f"{path.name}: {what} should stand here, at most {most}; found {text[:40]!r}.")
    return int(words[0])


def _tracks(lines: list[str], count: int, path: Path) -> dict[str, _Track]:
    rest = iter(lines[1:])
    tracks: dict[str, _Track] = {}
    for frame in range(count):
        try:
            bodies = _bodies(rest, path)
        except StopIteration:
            torn = " and a torn one are" if lines[1:] and frame < count else " are"
            raise InputError(
                f"{path.name} ends too early: it says {count} frames, {frame} whole{torn} there. Download it again."
            ) from None
        for identity, joints in bodies:
            track = tracks.setdefault(identity, _Track())
            if not track.frames or track.frames[-1] != frame:
                track.frames.append(frame)
                track.joints.append(joints)
    return tracks


def _bodies(rest: Iterator[str], path: Path) -> list[tuple[str, list[list[str]]]]:
    """The bodies of one frame: tracking id, and 25 times x, y, z as text."""
    bodies = []
    for _ in range(_count(next(rest), path, "the number of bodies", 100)):
        identity = next(rest).split()[0]
        joints = _count(next(rest), path, "the number of joints", 1000)
        rows = [next(rest).split()[:3] for _ in range(joints)]
        if joints != NTU_25.num_joints:
            raise InputError(f"{path.name}: {NTU_25.num_joints} joints are wanted, a body has {joints}.")
        if any(len(row) != 3 for row in rows):
            raise StopIteration
        bodies.append((identity, rows))
    return bodies


def _choose(tracks: dict[str, _Track], count: int) -> RawClip:
    """At most two persons: the bodies that move most, without those that are no persons."""
    positions = {identity: track.positions() for identity, track in tracks.items()}
    for identity, points in positions.items():
        if not np.isfinite(points).all():
            raise InputError(f"tracking id {identity} has positions that are no finite numbers.")
    energy = {identity: float(points.var(axis=0).sum()) * len(points) for identity, points in positions.items()}
    order = sorted(tracks, key=lambda identity: -energy[identity])
    notes: list[str] = []
    kept: list[str] = []
    for identity in order:
        reason = _false_body(positions[identity], pace(positions[order[0]])) if len(order) > 1 else None
        if reason is None or (identity == order[-1] and not kept):
            kept.append(identity)
        else:
            notes.append(f"body {identity} dropped as false: {reason}")
    x = np.zeros((3, count, NTU_25.num_joints, PERSONS), dtype=np.float32)
    taken = np.zeros((count, PERSONS), dtype=bool)
    for identity in kept:
        frames = np.array(tracks[identity].frames)
        slot = next((m for m in range(PERSONS) if not taken[frames, m].any()), None)
        if slot is None:
            notes.append(f"body {identity} dropped: two others are there and move more")
            continue
        taken[frames, slot] = True
        person = x[..., slot]  # a view: indexing both axes at once would move the frames to the front
        person[:, frames] = positions[identity].transpose(2, 0, 1)
    return RawClip(x, tuple(notes))


def pace(points: NDArray[np.float64]) -> float:
    """Mean way of a joint from one frame to the next, in metres; 0 for a single frame."""
    steps = np.linalg.norm(np.diff(points, axis=0), axis=2)
    return float(steps.mean()) if len(steps) else 0.0


def _false_body(points: NDArray[np.float64], main: float) -> str | None:
    """Why this is no person beside the main one, or None. Motion and spread, as the field's usual remedy."""
    if pace(points) < _STILL * main:
        return f"static, {pace(points) / main:.1%} of the main body's motion"
    spread = np.ptp(points, axis=1)  # (T', 3)
    lying = float((spread[:, 0] > _LYING * spread[:, 1]).mean())
    return f"spread wider than high in {lying:.0%} of its frames" if lying >= _LYING_FRAMES else None


def ntu_protocols(performer: Ids, camera: Ids, setup: Ids, action: Ids) -> dict[str, NDArray[np.bool_]]:
    """The published protocols as test masks: of NTU 60, or of NTU 120 where its setups or actions occur."""
    if (action > 60).any() or (setup > 17).any():
        return {"ntu120-xsub": ~np.isin(performer, _TRAIN_120), "ntu120-xset": setup % 2 == 1}
    return {"ntu60-xsub": ~np.isin(performer, _TRAIN_60), "ntu60-xview": ~np.isin(camera, (2, 3))}
