"""BVH motion files: a hierarchy of joints, then for each frame the values of its channels.

Rules taken where the format leaves them open:
- A joint's rotations multiply in the order in which its own line lists them: R = R1 R2 R3, each about a local axis.
- A position channel replaces the offset's coordinate; a coordinate without one keeps the offset's.
- An End Site ends a bone and is no joint. Where a file has a second ROOT, that figure is left out.
- A root that only carries the scene (its name ends in "root", "scene", "world" or "reference" and its one child has
  positions of its own, as in the Bandai set) moves what hangs below it and is no joint of the body.
- No file says its unit. The longest way from the body's root to an end, over the bones in the first frame, is 0.8 to
  1.3 m in an adult: below 4 it is taken as metres, below 400 as centimetres, otherwise as millimetres. Whoever knows
  the unit gives it with `--units`: inches, for one, are taken for centimetres.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from io import BytesIO
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.readers.plan import Unit
from hiclr.datasets.readers.units import CENTIMETRES, METRES, MILLIMETRES
from hiclr.errors import InputError

__all__ = ["Figure", "Joint", "Motion", "read_figure", "read_motion"]

Floats = NDArray[np.float64]

_MOST_JOINTS = 256
_MOST_FRAMES = 500_000  # more than an hour at 120 frames a second
_MOST_POSITIONS = 2**24  # joints x frames: half an hour of a body with fingers at that rate
_SMALL = 2**20  # joints x frames that any file may have; beyond it, no more than it has bytes
_MOST_HEADER = 2**20  # bytes
_MOST_WORD = 64  # letters of a number
_BLOCK = 2**15  # values, or joints x frames, that are turned into positions at a time
_SHOWN = 4  # of many faults in one frame

_MOTION = re.compile(rb"^[ \t]*MOTION[ \t\r]*$", re.MULTILINE | re.IGNORECASE)
_FRAMES = re.compile(rb"\s*Frames\s*:\s*(\d{1,18})\s*", re.IGNORECASE)
_TIME = re.compile(rb"\s*Frame\s*Time\s*:\s*(\S{1,64})\s*", re.IGNORECASE)
_CHANNEL = re.compile(r"([XYZ])(position|rotation)", re.IGNORECASE)
_NOT_FINITE = re.compile(rb"[-+]?(\d\.#|nan|inf)", re.IGNORECASE)
_SCENE = re.compile(r"(root|scene|world|reference)$", re.IGNORECASE)
_UNITS = ((4.0, METRES), (400.0, CENTIMETRES), (np.inf, MILLIMETRES))


@dataclass(frozen=True)
class Joint:
    """A joint of the hierarchy.

    Args:
        name: as in the file.
        parent: index of its parent, -1 for a root.
        offset: at rest, from its parent, in the file's unit.
        channels: (axis 0-2, is a rotation) in the order of the file.
        end: offset of its End Site, where it has one.
    """

    name: str
    parent: int
    offset: tuple[float, float, float]
    channels: tuple[tuple[int, bool], ...] = ()
    end: tuple[float, float, float] | None = None


@dataclass(frozen=True)
class Figure:
    """A hierarchy.

    Args:
        joints: of all roots, in the order of the file, parents first.
        body: indices of the joints of the body, parents first; the first is its root.
        others: names of further roots, whose joints are left out.
        scene: name of the root that only carries the scene, where there is one.
    """

    joints: tuple[Joint, ...]
    body: tuple[int, ...]
    others: tuple[str, ...] = ()
    scene: str | None = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the body's joints."""
        return tuple(self.joints[v].name for v in self.body)

    @property
    def parents(self) -> tuple[int, ...]:
        """Of the body's joints among themselves; -1 for its root."""
        place = {v: i for i, v in enumerate(self.body)}
        return tuple(place.get(self.joints[v].parent, -1) for v in self.body)


@dataclass(frozen=True)
class Motion:
    """A whole file.

    Args:
        figure: its hierarchy.
        positions: (T, V, 3) float32 of the body's joints in the file's unit.
        frame_time: seconds; None where the file does not say it.
        notes: what was left out or mended.
    """

    figure: Figure
    positions: NDArray[np.float32]
    frame_time: float | None
    notes: tuple[str, ...] = ()

    @property
    def reach(self) -> float:
        """The longest way from the body's root to an end over the bones in the first frame, in the file's unit."""
        figure, first = self.figure, self.positions[0].astype(np.float64)
        ways = [0.0]
        for v, parent in enumerate(figure.parents[1:], start=1):
            ways.append(ways[parent] + float(np.linalg.norm(first[v] - first[parent])))
        ends = (figure.joints[v].end or (0.0, 0.0, 0.0) for v in figure.body)
        return max(way + float(np.linalg.norm(end)) for way, end in zip(ways, ends, strict=True))

    @property
    def unit(self) -> Unit:
        """Guessed from `reach`."""
        reach = self.reach
        return next((unit for most, unit in _UNITS if reach < most), MILLIMETRES)


@dataclass
class _Words:
    """The words of a hierarchy and how far they are read."""

    words: list[str]
    file: str
    at: int = 0

    def take(self, wanted: str) -> str:
        if self.at >= len(self.words):
            raise InputError(f"{self.file} ends inside its hierarchy, where {wanted} should stand. Export it again.")
        self.at += 1
        return self.words[self.at - 1]

    def expect(self, word: str) -> None:
        found = self.take(f"'{word}'")
        if found.upper() != word:
            raise self.wrong(f"'{word}'", found)

    def number(self, wanted: str) -> float:
        word = self.take(wanted)
        try:
            value = float(word) if "_" not in word else np.nan
        except ValueError:
            value = np.nan
        if not np.isfinite(value):
            raise self.wrong(wanted, word)
        return value

    def wrong(self, wanted: str, found: str) -> InputError:
        return InputError(
            f"{self.file}, word {self.at} of its hierarchy: {wanted} should stand here, not {found[:40]!r}."
        )


@dataclass
class _Open:
    """A joint that is being read."""

    name: str
    parent: int
    offset: tuple[float, float, float] | None = None
    channels: tuple[tuple[int, bool], ...] = ()
    end: tuple[float, float, float] | None = None


@dataclass
class _Hierarchy:
    """Joints so far, and which of them are open."""

    joints: list[_Open] = field(default_factory=list)
    stack: list[int] = field(default_factory=list)


def read_figure(content: bytes, file: str) -> Figure:
    """The hierarchy of a file.

    Args:
        content: the file, or its beginning up to the line MOTION.
        file: what to call it in a message.

    Raises:
        InputError: no hierarchy, one that is cut or not closed, an unknown channel, or too many joints.
    """
    if not content.strip():
        raise InputError(f"{file} is empty (0 bytes of text). Export it again.")
    motion = _MOTION.search(content)
    head = content[: min(motion.start() if motion else len(content), _MOST_HEADER)]
    text = head.decode("utf-8-sig", errors="replace").replace("{", " { ").replace("}", " } ")
    words = _Words(text.split(), file)
    if not words.words or words.words[0].upper() != "HIERARCHY":
        raise InputError(f"{file} is no BVH file: it should begin with HIERARCHY. Export it again.")
    words.at = 1
    read = _Hierarchy()
    while words.at < len(words.words):
        _step(words, read)
    if read.stack:
        raise InputError(f"{file} ends inside its hierarchy: joint {read.joints[read.stack[-1]].name!r} is not closed.")
    if not read.joints:
        raise InputError(f"{file} has no ROOT in its hierarchy. Export it again.")
    joints = tuple(_closed(joint, file) for joint in read.joints)
    return _figure(joints, file)


def _step(words: _Words, read: _Hierarchy) -> None:
    """One statement of the hierarchy."""
    word = words.take("ROOT or JOINT")
    key = word.upper()
    if key == ("JOINT" if read.stack else "ROOT"):
        _begin(words, read)
    elif not read.stack:
        raise words.wrong("ROOT or MOTION", word)
    elif key == "OFFSET":
        read.joints[read.stack[-1]].offset = _offset(words)
    elif key == "CHANNELS":
        read.joints[read.stack[-1]].channels = _channels(words)
    elif key == "END":
        words.take("'Site'")
        words.expect("{")
        words.expect("OFFSET")
        read.joints[read.stack[-1]].end = _offset(words)
        words.expect("}")
    elif key == "}":
        read.stack.pop()
    else:
        raise words.wrong("JOINT, OFFSET, CHANNELS, End Site or '}'", word)


def _begin(words: _Words, read: _Hierarchy) -> None:
    name = []
    while (word := words.take("'{'")) != "{":  # a name may hold blanks
        name.append(word)
    if not name or "}" in name or len(name) > 8:
        raise words.wrong("a joint's name and '{'", " ".join(name[:8]))
    if len(read.joints) == _MOST_JOINTS:
        raise InputError(f"{words.file} has more than {_MOST_JOINTS} joints.")
    read.joints.append(_Open(" ".join(name), read.stack[-1] if read.stack else -1))
    read.stack.append(len(read.joints) - 1)


def _offset(words: _Words) -> tuple[float, float, float]:
    return words.number("the offset's x"), words.number("the offset's y"), words.number("the offset's z")


def _channels(words: _Words) -> tuple[tuple[int, bool], ...]:
    count = words.number("the number of channels")
    if count not in range(10):
        raise words.wrong("the number of channels, 0 to 9,", words.words[words.at - 1])
    channels = []
    for _ in range(int(count)):
        word = words.take("a channel")
        match = _CHANNEL.fullmatch(word)
        if match is None:
            raise words.wrong("a channel such as Xposition or Zrotation", word)
        channels.append(("XYZ".index(match[1].upper()), match[2].lower() == "rotation"))
    positions = [axis for axis, turns in channels if not turns]
    if len(set(positions)) < len(positions):
        raise InputError(
            f"{words.file}, word {words.at} of its hierarchy: a joint has the same position channel twice."
        )
    return tuple(channels)


def _closed(joint: _Open, file: str) -> Joint:
    if joint.offset is None:
        raise InputError(f"{file}: joint {joint.name[:60]!r} has no OFFSET. Export it again.")
    return Joint(joint.name, joint.parent, joint.offset, joint.channels, joint.end)


def _figure(joints: tuple[Joint, ...], file: str) -> Figure:
    """Tells the joints of the body from the others."""
    roots = [v for v, joint in enumerate(joints) if joint.parent == -1]
    body = list(range(roots[1] if len(roots) > 1 else len(joints)))
    below = [v for v in body if joints[v].parent == 0]
    scene = None
    if len(below) == 1 and _SCENE.search(joints[0].name) and sum(not turns for _, turns in joints[1].channels) == 3:
        scene = joints[body.pop(0)].name
    names = [joints[v].name for v in body]
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise InputError(f"{file}: joint names must be unique, {twice[:60]!r} occurs twice.")
    return Figure(joints, tuple(body), tuple(joints[v].name for v in roots[1:]), scene)


def read_motion(content: bytes, file: str) -> Motion:
    """A whole file.

    Args:
        content: the file.
        file: what to call it in a message.

    Raises:
        InputError: as `read_figure`; no motion, fewer frames than it says, a frame with too few or too many values, a
            value that is no number or not finite. Line, frame and channel are named.
    """
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    figure = read_figure(content, file)
    motion = _MOTION.search(content)
    if motion is None:
        raise InputError(f"{file} has a hierarchy and no line MOTION: it is cut short. Export it again.")
    width = sum(len(joint.channels) for joint in figure.joints)
    if not width:
        raise InputError(f"{file}: no joint has a channel, so nothing moves. Export it again with its motion.")
    first = content.count(b"\n", 0, motion.end()) + 1  # the number of the line MOTION
    lines = BytesIO(content)
    lines.seek(motion.end())
    lines.readline()
    said, frame_time, first = _motion_head(lines, first, file)
    rows = _Rows(lines, first, width, file)
    blocks = [_positions(figure, values) for values in _values(rows, figure)]
    if not blocks:
        raise InputError(f"{file} has no frame: it says {said}, none is there. Export it again.")
    if rows.frames < said:
        raise InputError(
            f"{file} ends too early: it says {said} frames, {rows.frames} are there. Export or download it again."
        )
    notes = [] if rows.frames == said else [f"it says {said} frames, {rows.frames} are there: all of them are read"]
    if figure.others:
        others = ", ".join(repr(name[:60]) for name in figure.others)
        notes.append(
            f"it has {1 + len(figure.others)} roots: {figure.joints[0].name[:60]!r} is read, {others} left out"
        )
    if frame_time is None:
        notes.append("its Frame Time is no time above 0: the rate is not known")
    return Motion(figure, np.concatenate(blocks), frame_time, tuple(notes))


def _motion_head(lines: BytesIO, at: int, file: str) -> tuple[int, float | None, int]:
    """(frames said, seconds of one or None, number of the last line read)."""
    words = []
    for pattern, wanted in ((_FRAMES, "Frames: <a whole number>"), (_TIME, "Frame Time: <seconds>")):
        line = b""
        while not line.strip():
            line, at = lines.readline(2**12), at + 1
            if not line:
                raise InputError(f"{file} ends where '{wanted}' should stand. Export it again.")
        match = pattern.fullmatch(line)
        if match is None:
            raise InputError(f"{file}, line {at}: '{wanted}' should stand here, not {_shown(line)}.")
        words.append(match[1])
    try:
        time = float(words[1])
    except ValueError:
        time = 0.0
    return int(words[0]), time if 0 < time < np.inf else None, at


@dataclass
class _Rows:
    """The frames of a file, one after the other; a frame may be spread over whole lines."""

    lines: BytesIO
    at: int  # number of the last line read
    width: int
    file: str
    frames: int = 0

    def __iter__(self) -> Iterator[tuple[int, list[bytes]]]:
        """(number of its last line, its values as text)."""
        row: list[bytes] = []
        start = self.at
        for line in self.lines:
            self.at += 1
            words = line.split(None, self.width + 1)
            if not words:
                continue
            start = self.at if not row else start
            if len(row) + len(words) > self.width:
                short = len(row) or len(words)
                there = f"more than {self.width}" if short > self.width else short
                raise self.wrong(start, f"{self.width} values are wanted, {there} are there")
            row += words
            if len(row) == self.width:
                self.frames += 1
                yield self.at, row
                row = []
        if row:
            raise self.wrong(start, f"{self.width} values are wanted, {len(row)} are there: the file is cut short")

    def wrong(self, line: int, what: str) -> InputError:
        return InputError(f"{self.file}, line {line} (frame {self.frames}): {what}. Export or download it again.")


def _values(rows: _Rows, figure: Figure) -> Iterator[Floats]:
    """(frames, channels) blocks."""
    size = max(_BLOCK // max(rows.width, len(figure.joints)), 1)  # a joint without a channel takes room too
    block: list[tuple[int, list[bytes]]] = []
    positions = min(_MOST_POSITIONS, _SMALL + rows.lines.getbuffer().nbytes)
    most = min(positions // len(figure.joints), _MOST_FRAMES)
    for row in rows:
        block.append(row)
        if len(block) == size:
            yield _numbers(block, rows, figure)
            block = []
        if rows.frames > most:
            raise InputError(
                f"{rows.file} has more than {most:,} frames of {len(figure.joints)} joints, the most that are read "
                "from a file of its size. Cut it into shorter clips."
            )
    if block:
        yield _numbers(block, rows, figure)


def _numbers(block: list[tuple[int, list[bytes]]], rows: _Rows, figure: Figure) -> Floats:
    count = len(block) * rows.width
    try:
        values = np.fromiter(map(_number, chain.from_iterable(row for _, row in block)), np.float64, count)
    except ValueError:
        values = np.full(count, np.nan)
    if not np.isfinite(values).all():
        raise _no_number(block, rows, figure)
    return values.reshape(len(block), rows.width)


def _number(word: bytes) -> float:
    if len(word) > _MOST_WORD or b"_" in word:  # Python's float would take 1_0 as 10
        raise ValueError
    return float(word)


def _no_number(block: list[tuple[int, list[bytes]]], rows: _Rows, figure: Figure) -> InputError:
    """Names the frame and channel of the first values that are none."""
    channels = [
        f"{joint.name[:60]} {'XYZ'[axis]}{'rotation' if turns else 'position'}"
        for joint in figure.joints
        for axis, turns in joint.channels
    ]
    for i, (line, row) in enumerate(block):
        wrong = [f"{channel} is {_shown(word)}" for channel, word in zip(channels, row, strict=True) if _faulty(word)]
        if wrong:
            more = f" and {len(wrong) - _SHOWN} more" if len(wrong) > _SHOWN else ""
            broken = any(not _NOT_FINITE.match(word) for word in row if _faulty(word))
            hint = " A decimal comma? Write points." if any(b"," in word for word in row) else ""
            frame = rows.frames - len(block) + i
            return InputError(
                f"{rows.file}, line {line} (frame {frame}): {', '.join(wrong[:_SHOWN])}{more}, which is "
                f"{'no number' if broken else 'not finite'}.{hint}"
            )
    return InputError(f"{rows.file}: a value is no number.")


def _faulty(word: bytes) -> bool:
    try:
        return not np.isfinite(_number(word))
    except ValueError:
        return True


def _shown(word: bytes) -> str:
    return repr(word.strip().decode("utf-8", errors="replace")[:40])


def _positions(figure: Figure, values: Floats) -> NDArray[np.float32]:
    """(T, C) values of the channels -> (T, V, 3) of the body's joints."""
    count = len(values)
    places = np.empty((len(figure.joints), count, 3))
    turns: list[Floats] = []
    at = 0
    last = max(figure.body)
    with np.errstate(all="ignore"):  # what grows beyond all bounds is refused by its position
        for v, joint in enumerate(figure.joints[: last + 1]):
            offset = np.tile(np.array(joint.offset), (count, 1))
            turn = np.tile(np.eye(3), (count, 1, 1))
            for axis, is_turn in joint.channels:
                if is_turn:
                    turn = turn @ _rotation(axis, values[:, at])
                else:
                    offset[:, axis] = values[:, at]
                at += 1
            if joint.parent >= 0:
                offset = places[joint.parent] + (turns[joint.parent] @ offset[..., None])[..., 0]
                turn = turns[joint.parent] @ turn
            places[v] = offset
            turns.append(turn)
        return places[list(figure.body)].transpose(1, 0, 2).astype(np.float32)


def _rotation(axis: int, degrees: Floats) -> Floats:
    """(T,) -> (T, 3, 3) about an axis, right-handed."""
    angle = np.radians(degrees)
    one, two = (axis + 1) % 3, (axis + 2) % 3
    matrix = np.zeros((len(degrees), 3, 3))
    matrix[:, axis, axis] = 1
    matrix[:, one, one] = matrix[:, two, two] = np.cos(angle)
    matrix[:, two, one] = np.sin(angle)
    matrix[:, one, two] = -np.sin(angle)
    return matrix
