"""Text files of the first Kinect: MSR-Action3D and UTKinect-Action3D, 20 joints each, in two different orders.

- MSR-Action3D, `aAA_sSS_eEE_skeleton3D.txt`: action, subject, repetition; 20 lines "x y z confidence" for each frame,
  in metres, y up, 15 frames a second. Frames whose positions are all zero hold nobody and are dropped. The files
  `..._skeleton.txt` beside them hold screen coordinates and are left alone.
- UTKinect, `joints_sSS_eEE.txt`: one line for each frame, its number and 20 times x y z, in metres, y up, with
  `actionLabel.txt`, which says for each recording from which frame to which each action goes. Both ends count; where
  a frame number is repeated, its first line counts. Lines come at uneven steps of 2 to 10 frames: they have no rate.

Even subjects are the test part of both, as published.
"""

import re
from array import array
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import pairwise
from pathlib import Path, PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.positions import no_positions
from hiclr.datasets.readers.plan import Format, Found, Options, Plan, RawClip, Skipped, check_options
from hiclr.datasets.readers.tree import Tree, open_tree
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.skeleton import KINECT_20_MSR, KINECT_20_SDK, Layout

__all__ = ["FORMAT", "MSR_ACTIONS", "UT_ACTIONS", "Interval", "read_intervals"]

Floats = NDArray[np.float64]

MSR_ACTIONS = (
    "high arm wave", "horizontal arm wave", "hammer", "hand catch", "forward punch", "high throw", "draw x",
    "draw tick", "draw circle", "hand clap", "two hand wave", "side-boxing", "bend", "forward kick", "side kick",
    "jogging", "tennis swing", "tennis serve", "golf swing", "pick up and throw",
)  # fmt: skip
"""Classes of MSR-Action3D in the order of its numbers, which start at 1."""

UT_ACTIONS = ("walk", "sitDown", "standUp", "pickUp", "carry", "throw", "push", "pull", "waveHands", "clapHands")
"""Classes of UTKinect in the order of its label file."""

_MSR = re.compile(r"a(\d{2})_s(\d{2})_e(\d{2})_skeleton3D\.txt", re.IGNORECASE)
_SCREEN = re.compile(r"a(\d{2})_s(\d{2})_e(\d{2})_skeleton\.txt", re.IGNORECASE)
_UT = re.compile(r"joints_s(\d{2})_e(\d{2})\.txt", re.IGNORECASE)
_LABELS = "actionLabel.txt"
_RECORDING = re.compile(r"s\d{2}_e\d{2}", re.IGNORECASE)
_ACTION = re.compile(r"(\w{1,40})\s*:\s*(\S{1,40})\s+(\S{1,40})")

_JOINTS = 20
_MSR_FPS = 15.0
_MOST_BYTES = 2**26
_MOST_FRAMES = 100_000
_MOST_LABEL_BYTES = 2**20
_MOST_INTERVALS = 2000
_MOST_OF_ONE = 200  # intervals of one recording, each of which is compared with all others; the set has 10
_MOST_WORD = 64  # letters of a number
_REPEATED = "frame numbers repeat in these recordings; the first line of each counts"
_SHOWN = 20  # intervals inside others that are named
_TOO_LONG = 8  # times the median of its class: no action lasts so much longer, its interval is a slip


def _detects(tree: Tree) -> bool:
    return any(_MSR.fullmatch(_base(name)) or _UT.fullmatch(_base(name)) for name in tree.names)


def _base(name: str) -> str:
    return PurePosixPath(name).name


def _find(tree: Tree, options: Options) -> Plan:
    msr = [name for name in tree.names if _MSR.fullmatch(_base(name))]
    ut = [name for name in tree.names if _UT.fullmatch(_base(name))]
    if msr and ut:
        raise InputError(
            f"{tree.path.name} holds files of MSR-Action3D ({_base(msr[0])}) and of UTKinect ({_base(ut[0])}), whose "
            "joints come in different orders. Prepare each from a folder of its own."
        )
    if not msr and not ut:
        raise InputError(
            f"{tree.path.name} holds neither aAA_sSS_eEE_skeleton3D.txt (MSR-Action3D) nor joints_sSS_eEE.txt "
            "(UTKinect)."
        )
    known = KINECT_20_MSR if msr else KINECT_20_SDK
    layout = options.layout or known
    if layout.num_joints != _JOINTS:
        raise InputError(f"layout {layout.name!r} has {layout.num_joints} joints, these files have {_JOINTS}.")
    if msr:
        check_options(
            options, {"labels": "the number after a in the name of each file is its class"}, "MSR-Action3D files"
        )
    return _find_msr(tree, msr, layout) if msr else _find_ut(tree, ut, layout, options.labels)


def _even_subjects(found: Sequence[Found]) -> dict[str, NDArray[np.bool_]]:
    return {"cross-subject": np.array([clip.ids["subject"] % 2 == 0 for clip in found], dtype=bool)}


# ---- MSR-Action3D


def _find_msr(tree: Tree, files: Sequence[str], layout: Layout) -> Plan:
    found: dict[str, Found] = {}
    skipped = [_no_clip(name) for name in tree.names if not _MSR.fullmatch(_base(name))]
    for file in files:
        action, subject, again = (int(part) for part in _MSR.fullmatch(_base(file)).groups())  # type: ignore[union-attr]
        name = f"a{action:02d}_s{subject:02d}_e{again:02d}"
        if not 1 <= action <= len(MSR_ACTIONS):
            skipped.append(Skipped(file, f"the name says action {action}, known are 1 to {len(MSR_ACTIONS)}"))
        elif name in found:
            skipped.append(Skipped(file, "a second file of that name", harmless=True))
        else:
            found[name] = Found(name, action - 1, (file,), {"subject": subject})
    if not found:
        raise InputError(f"{tree.path.name}: no file can be a clip. {skipped[-1].file}: {skipped[-1].reason}.")
    read = partial(_read_msr, tree=tree, layout=layout)
    return Plan("MSR-Action3D", layout, tuple(found.values()), read, classes=MSR_ACTIONS, protocols=_even_subjects,
                skipped=tuple(skipped))  # fmt: skip


def _no_clip(name: str) -> Skipped:
    if _SCREEN.fullmatch(_base(name)):
        return Skipped(name, "screen coordinates, not metres; its partner ..._skeleton3D.txt is wanted", harmless=True)
    reason = "the name does not follow aAA_sSS_eEE_skeleton3D.txt"
    return Skipped(name, reason, harmless="skeleton3d" not in _base(name).lower())


def _read_msr(found: Found, *, tree: Tree, layout: Layout) -> RawClip:
    file = str(found.place[0])
    wanted = "four numbers, x y z and confidence,"
    numbers = array("d")
    for line, text in _lines(tree, file):
        numbers.extend(_numbers(tree, file, line, text, 4, wanted)[:3])
    lines = len(numbers) // 3
    if not lines:
        raise InputError(f"{tree.place(file)} is empty. Download it again.")
    whole, rest = divmod(lines, _JOINTS)
    if rest:
        raise InputError(
            f"{tree.place(file)} has {lines} lines, which is no multiple of the {_JOINTS} joints of a frame: {whole} "
            f"whole frames and {rest} lines are there. Download it again."
        )
    values = np.frombuffer(numbers).reshape(-1, _JOINTS, 3)
    return replace(_clip(values, layout, tree.place(file)), fps=_MSR_FPS)


# ---- UTKinect


@dataclass(frozen=True)
class Interval:
    """A line of the label file: an action in a recording, from one frame number to another, both counted."""

    recording: str
    action: str
    start: int
    end: int

    @property
    def name(self) -> str:
        """Of the clip."""
        return f"{self.recording}_{self.action}"

    @property
    def frames(self) -> int:
        """Frame numbers in it; only about every second one has a line."""
        return self.end - self.start + 1

    def __str__(self) -> str:
        return f"{self.recording} {self.action} {self.start}-{self.end}"


def read_intervals(text: str, file: str) -> tuple[list[Interval], list[Skipped]]:
    """The actions of a label file, and the lines of it that are none.

    Args:
        text: lines `sSS_eEE`, each followed by lines `action: start end`.
        file: what to call it.

    Raises:
        InputError: more lines than such a file can have.
    """
    intervals: dict[str, Interval] = {}
    skipped: list[Skipped] = []
    count = Counter[str]()
    recording = ""
    for number, line in enumerate(text.splitlines(), start=1):
        if len(intervals) + len(skipped) > _MOST_INTERVALS:
            raise InputError(f"{file} has more than {_MOST_INTERVALS:,} actions: it is no label file of UTKinect.")
        line = line.strip()
        if _RECORDING.fullmatch(line):
            recording = line.lower()
        elif line:
            read = _interval(line, recording)
            count[recording] += isinstance(read, Interval)
            if count[recording] > _MOST_OF_ONE:
                raise InputError(f"{file} has more than {_MOST_OF_ONE} actions of {recording}.")
            if isinstance(read, Interval) and read.name not in intervals:
                intervals[read.name] = read
                continue
            reason = read if isinstance(read, str) else f"{read.name} a second time"
            known_gap = "NaN" in line  # one of the 200 is published so: nobody can mend it
            skipped.append(Skipped(file, f"line {number}: {reason}", harmless=known_gap))
    return list(intervals.values()), skipped


def _interval(line: str, recording: str) -> Interval | str:
    """A line's interval, or what is wrong with it."""
    match = _ACTION.fullmatch(line)
    if match is None or not recording:
        return f"'sSS_eEE', then 'action: start end' are wanted, not {line[:60]!r}"
    action, *words = match.groups()
    numbers = [int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 10]
    if len(numbers) < 2:
        return f"{recording}_{action} goes from {words[0]} to {words[1]}, which are no frame numbers"
    start, end = numbers
    if end < start:
        return f"{recording}_{action} ends ({end}) before it starts ({start})"
    return Interval(recording, action, start, end)


def _find_ut(tree: Tree, files: Sequence[str], layout: Layout, labels: str | None) -> Plan:
    file, text = _label_text(tree, labels)
    intervals, skipped = read_intervals(text, file)
    recordings: dict[str, str] = {}
    for name in tree.names:
        match = _UT.fullmatch(_base(name))
        if match is None:
            if name != file:
                skipped.append(Skipped(name, "the name does not follow joints_sSS_eEE.txt", harmless=True))
        elif recordings.setdefault(f"s{match[1]}_e{match[2]}", name) != name:
            skipped.append(Skipped(name, "a second file of that name", harmless=True))
    skipped += _without_partner(recordings, intervals, file)
    here = [interval for interval in intervals if interval.recording in recordings]
    if not here:
        raise InputError(f"{file} names no action of the recordings in {tree.path.name} ({_base(files[0])}, ...).")
    known = {interval.action for interval in here} <= set(UT_ACTIONS)
    classes = UT_ACTIONS if known else tuple(sorted({interval.action for interval in here}))
    found = tuple(
        Found(
            i.name,
            classes.index(i.action),
            (recordings[i.recording], i.start, i.end),
            {"subject": int(i.recording[1:3])},
        )
        for i in here
    )
    read = partial(_read_ut, tree=tree, layout=layout)
    published = {"cross-subject": (100, 99)} if known else {}
    return Plan("UTKinect", layout, found, read, classes=classes, protocols=_even_subjects, published=published,
                skipped=tuple(skipped), notes=(_REPEATED, *_doubts(here, intervals, file)))  # fmt: skip


def _label_text(tree: Tree, given: str | None) -> tuple[str, str]:
    """(what to call the label file, its text)."""
    if given is not None:
        path = Path(given)
        if not path.is_file():
            raise InputError(f"There is no label file {given}.")
        return path.name, _text(open_tree(path), path.name)
    names = [name for name in tree.names if _base(name).lower() == _LABELS.lower()]
    if not names:
        raise InputError(
            f"{tree.path.name} holds no {_LABELS}, which says where the actions are. Put it beside the recordings or "
            "name it as the labels."
        )
    return names[0], _text(tree, names[0])


def _text(tree: Tree, file: str) -> str:
    return tree.read(file, _MOST_LABEL_BYTES).decode("utf-8-sig", errors="replace")


def _without_partner(recordings: dict[str, str], intervals: Sequence[Interval], file: str) -> Iterator[Skipped]:
    named = Counter(interval.recording for interval in intervals)
    for recording, count in named.items():
        if recording not in recordings:
            yield Skipped(f"joints_{recording}.txt", f"not there; {file} names {counted(count, 'action')} in it")
    for recording, name in recordings.items():
        if recording not in named:
            yield Skipped(name, f"{file} names no action in it")


def _doubts(here: Iterable[Interval], intervals: Sequence[Interval], file: str) -> Iterator[str]:
    """Intervals that can hardly be meant; they are kept as published, and said."""
    lengths: dict[str, list[int]] = {}
    for interval in intervals:
        lengths.setdefault(interval.action, []).append(interval.frames)
    medians = {action: float(np.median(frames)) for action, frames in lengths.items()}
    for interval in intervals:
        median = medians[interval.action]
        if interval.frames > _TOO_LONG * median:
            yield (
                f"{file}: {interval} is {interval.frames} frames long where the median {interval.action} has "
                f"{median:g}: almost surely a slip in the list; taken as it stands"
            )
    touching, within = [], list[str]()
    by_recording: dict[str, list[Interval]] = {}
    for interval in here:
        by_recording.setdefault(interval.recording, []).append(interval)
    for group in by_recording.values():
        inner = {o.name for o in group for i in group if o is not i and i.start <= o.start and o.end <= i.end}
        for outer in group:
            inside = [o for o in group if o is not outer and outer.start <= o.start and o.end <= outer.end]
            within += [f"{file}: {outer} contains {other}; both are kept" for other in inside]
        rest = sorted((i for i in group if i.name not in inner), key=lambda i: (i.start, i.end))
        touching += [f"{one} and {two}" for one, two in pairwise(rest) if two.start <= one.end]
    yield from within[:_SHOWN]
    if len(within) > _SHOWN:
        yield f"{file}: {len(within) - _SHOWN:,} more intervals lie inside others; all are kept"
    if touching:
        yield f"{file}: intervals overlap or touch: {', '.join(touching)}; their common frames are in both clips"


def _read_ut(found: Found, *, tree: Tree, layout: Layout) -> RawClip:
    file, start, end = str(found.place[0]), int(found.place[1]), int(found.place[2])
    rows: dict[int, array[float]] = {}
    first = last = None
    wanted = "a frame number and 20 times x y z"
    for line, number, row in _numbered_rows(tree, file, start, end, wanted):
        first = number if first is None else first
        if last is not None and number < last:
            raise InputError(
                f"{tree.place(file)}, line {line}: frame {number} comes after frame {last}; frame numbers must not "
                "fall. Download it again."
            )
        last = number
        if row is not None:
            rows.setdefault(number, array("d", row))
    if last is None:
        raise InputError(f"{tree.place(file)} is empty. Download it again.")
    if not rows:
        raise InputError(
            f"{found.name}: frames {start} to {end} are wanted, {tree.place(file)} has frames {first} to {last} and "
            "none of these. Are the labels those of another recording?"
        )
    return _clip(np.array(list(rows.values())).reshape(-1, _JOINTS, 3), layout, f"{found.name} in {tree.place(file)}")


def _numbered_rows(
    tree: Tree, file: str, start: int, end: int, wanted: str
) -> Iterator[tuple[int, int, list[float] | None]]:
    """(line, frame number, its values where it lies between start and end)."""
    for line, text in _lines(tree, file):
        word = text.split(None, 1)[0]
        if not word.isdigit() or len(word) > 9:
            raise _wrong_line(tree, file, line, text, wanted)
        number = int(word)
        inside = start <= number <= end
        yield line, number, _numbers(tree, file, line, text, 1 + 3 * _JOINTS, wanted)[1:] if inside else None


# ---- both


def _lines(tree: Tree, file: str) -> Iterator[tuple[int, bytes]]:
    """Lines that are not blank, with their numbers from 1."""
    content = tree.read(file, _MOST_BYTES).removeprefix(b"\xef\xbb\xbf")
    if b"\n" not in content:
        content = content.replace(b"\r", b"\n")
    most = _MOST_FRAMES * _JOINTS
    at, line = 0, 0
    while at < len(content):
        stop = content.find(b"\n", at)
        stop = len(content) if stop < 0 else stop
        line += 1
        if text := content[at:stop].strip():
            yield line, text
        at = stop + 1
        if line > most:
            raise InputError(f"{tree.place(file)} has more than {most:,} lines: no such file is known to be this long.")


def _numbers(tree: Tree, file: str, line: int, text: bytes, width: int, wanted: str) -> list[float]:
    words = text.split(None, width)
    try:
        if len(words) != width or b"_" in text or max(map(len, words)) > _MOST_WORD:  # Python's float takes 1_0 as 10
            raise ValueError
        return [float(word) for word in words]
    except ValueError:
        raise _wrong_line(tree, file, line, text, wanted) from None


def _wrong_line(tree: Tree, file: str, line: int, text: bytes, wanted: str) -> InputError:
    shown = text[:40].decode("utf-8", errors="replace")
    return InputError(
        f"{tree.place(file)}, line {line}: {wanted} are wanted, {len(text[:4096].split())} words are there, {shown!r}. "
        "Not a skeleton file, or a damaged one: download it again."
    )


def _clip(values: Floats, layout: Layout, file: str) -> RawClip:
    """(T, 20, 3) -> a clip without the frames that hold nobody."""
    if len(values) > _MOST_FRAMES:
        raise InputError(f"{file} has {len(values):,} frames, more than {_MOST_FRAMES:,}.")
    wrong = no_positions(values)
    if wrong is not None:
        frame, joint, axis = (int(i) for i in np.argwhere(wrong)[0])
        where = f"frame {frame}, joint {joint} ({layout.joints[joint]})"
        raise InputError(f"{file}: {where}: {values[frame, joint, axis]} is no position.")
    here = values.any(axis=(1, 2))
    if not here.any():
        raise InputError(f"{file}: all {len(values)} frames are zero, so nobody is in it. Leave it out.")
    notes = () if here.all() else (f"{int((~here).sum())} of {len(values)} frames are all zero and dropped",)
    return RawClip(np.ascontiguousarray(values[here].transpose(2, 0, 1)[..., None], dtype=np.float32), notes)


FORMAT = Format(
    "kinect",
    _detects,
    _find,
    {
        "pattern": "their names say subject and try, and the class or where it is to be found",
        "units": "they are in metres",
    },
)
