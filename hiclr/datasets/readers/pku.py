"""PKU-MMD I and II: long videos as text, one frame a line, with label files that say where actions begin and end.

Rule: frames count from 1, and both ends of an interval belong to it, as in the published preparations
(tools/pku_part1_skeleton.py and tools/pku_part2_skeleton.py of github.com/Levigty/AimCLR). So `5,22,22` is one frame,
and an interval may lie inside another, as about half the videos of part II have them.

Source: the README of the set for the lines; arXiv 1703.07475 for actions and protocols.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.damage import DAMAGED_ZIP
from hiclr.datasets.readers.clips import PUBLISHED_SPLITS, checked_positions, listed, official_protocol
from hiclr.datasets.readers.plan import Format, Found, Options, Plan, RawClip, Skipped
from hiclr.datasets.readers.tree import Tree
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

__all__ = ["ACTIONS", "FORMAT"]

PERSONS = 2
FPS = 30.0
_VALUES = PERSONS * NTU_25.num_joints * 3
_VIDEO = re.compile(r"(\d{4}|A\d{2}N\d{2})-([LMR])")
_CAMERAS = {"L": 1, "M": 2, "R": 3}  # as the published preparations number them
_SPLIT = re.compile(r"cross[-_ ]?(?:subject|view)", re.I)
_LARGEST_VIDEO = 2**26  # bytes; the longest of the set has a quarter
_LARGEST_LABELS = 2**20
_LONGEST_CLIP = 10_000  # frames
_MOST_ACTIONS = 500  # in a video; the sets have about 20

ACTIONS = (
    "bow", "brush hair", "brush teeth", "check time", "cheer up", "clap", "cross hands in front", "drink", "drop",
    "eat", "fall", "give something to another person", "wave hand", "shake hands", "hop", "hug another person",
    "jump up", "kick another person", "kick something", "make a phone call", "pat another person's back", "pick up",
    "play with phone", "point at another person", "point to something", "punch another person", "push another person",
    "put on a hat", "put something in a pocket", "read", "rub hands", "salute", "sit down", "stand up",
    "take off a hat", "take off glasses", "take off a jacket", "take something out of a pocket", "take a selfie",
    "tear up paper",
    "throw", "touch back", "touch chest", "touch head", "touch neck", "type on a keyboard", "use a fan",
    "put on a jacket", "put on glasses", "wipe face", "write",
)  # fmt: skip
"""The 51 actions; the first has number 1 in the files."""


@dataclass
class _Files:
    """What the files of a folder are, by the name of the video."""

    videos: dict[str, str] = field(default_factory=dict)
    labels: dict[str, str] = field(default_factory=dict)
    splits: list[str] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)


def _detects(tree: Tree) -> bool:
    return any(_video_of(name) is not None for name in tree.names)


def _video_of(name: str) -> str | None:
    path = PurePosixPath(name)
    return path.stem if path.suffix == ".txt" and _VIDEO.fullmatch(path.stem) else None


def _find(tree: Tree, options: Options) -> Plan:
    """Read label files and split lists; no video is read.

    Raises:
        InputError: no clip in them; the reasons are given.
    """
    if options.layout is not None and options.layout != NTU_25:
        raise InputError(f"PKU-MMD has the joints of {NTU_25.name!r}, not of {options.layout.name!r}.")
    files = _sort(tree)
    found: list[Found] = []
    for video in sorted(files.labels):
        if video in files.videos:
            found += _intervals(tree, video, files)
    _name_those_alone(tree, files)
    if not found:
        reasons = " ".join(f"{s.file}: {s.reason}" for s in files.skipped[:10])
        raise InputError(f"No clip of {tree.path.name} can be read. {reasons or 'There are no label files.'}")
    protocols, notes = _protocols(tree, files)
    return Plan(
        source=f"PKU-MMD {tree.path.name}",
        layout=NTU_25,
        found=tuple(found),
        read=partial(_read, tree),
        persons=PERSONS,
        classes=ACTIONS,
        protocols=partial(_masks, protocols),
        published={name: PUBLISHED_SPLITS[name] for name in protocols if name in PUBLISHED_SPLITS},
        skipped=tuple(files.skipped),
        notes=("Frames of an interval count from 1, both ends included. Cameras: L is 1, M is 2, R is 3.", *notes),
    )


# ---- which file is what ---------------------------------------------------------------------------------------------


def _sort(tree: Tree) -> _Files:
    """Videos and labels have the same names; their folders are told apart by what is in them."""
    files = _Files()
    folders: dict[str, list[str]] = {}
    for name in tree.names:
        path = PurePosixPath(name)
        if _video_of(name) is not None:
            folders.setdefault(path.parent.as_posix(), []).append(name)
        elif path.suffix == ".txt" and _SPLIT.search(path.stem):
            files.splits.append(name)
    for folder, names in sorted(folders.items()):
        _sort_folder(tree, folder, names, files)
    for name in tree.names:
        if _video_of(name) is None and name not in files.splits:
            inside = PurePosixPath(name).parent.as_posix() in folders
            reason = "its name fits none of NNNN-L, NNNN-M, NNNN-R, AnnNnn-L, AnnNnn-M, AnnNnn-R"
            files.skipped.append(Skipped(tree.place(name), reason, harmless=not (inside and name.endswith(".txt"))))
    return files


def _sort_folder(tree: Tree, folder: str, names: list[str], files: _Files) -> None:
    holds = next((kind for name in names[:20] if (kind := _holds(tree, name)) is not None), None)
    if holds is None:
        holds = "labels" if "label" in folder.lower() else "videos"
    target = files.labels if holds == "labels" else files.videos
    for name in names:
        video = PurePosixPath(name).stem
        if video in target:
            reason = f"a second file of {holds[:-1]} {video}; {tree.place(target[video])} is read"
            files.skipped.append(Skipped(tree.place(name), reason))
        else:
            target[video] = name


def _holds(tree: Tree, name: str) -> str | None:
    """ "labels" or "videos", by the first line with anything in it."""
    try:
        with tree.open(name) as file:
            head = file.read(4096)
    except DAMAGED_ZIP:
        return None
    line = next((line for line in head.splitlines() if line.strip()), b"")
    if b"," in line and len(line) < 200:
        return "labels"
    return "videos" if len(line.split()) > 20 else None


def _name_those_alone(tree: Tree, files: _Files) -> None:
    for video in sorted(set(files.videos) - set(files.labels)):
        files.skipped.append(Skipped(tree.place(files.videos[video]), f"there is no label file {video}.txt for it"))
    for video in sorted(set(files.labels) - set(files.videos)):
        files.skipped.append(
            Skipped(tree.place(files.labels[video]), f"there is no video {video}.txt for these labels")
        )


# ---- labels ---------------------------------------------------------------------------------------------------------


def _intervals(tree: Tree, video: str, files: _Files) -> Iterable[Found]:
    """A clip for each good line; each bad one is named."""
    name = files.labels[video]
    try:
        text = tree.read(name, _LARGEST_LABELS).decode("utf-8-sig", "replace")
    except InputError as error:
        files.skipped.append(Skipped(tree.place(name), str(error)))
        return
    lines = [(number, line) for number, line in enumerate(text.splitlines(), start=1) if line.strip()]
    if not lines:
        files.skipped.append(Skipped(tree.place(name), "it is empty: no action in this video", harmless=True))
    if len(lines) > _MOST_ACTIONS:  # each may be as long as the video: a small file would make a set of any size
        reason = f"it has {len(lines):,} lines; a video has {_MOST_ACTIONS} actions at most. Download it again"
        files.skipped.append(Skipped(tree.place(name), reason))
        return
    for number, line in lines:
        try:
            action, start, end = _interval(line)
        except InputError as error:
            files.skipped.append(Skipped(tree.place(name), f"line {number} ({line.strip()[:60]}): {error}"))
            continue
        place = (files.videos[video], name, number, start, end)
        camera = {"camera": _CAMERAS[video[-1]]}
        yield Found(f"{video}_{number:03d}", action - 1, place, camera)


def _interval(line: str) -> tuple[int, int, int]:
    """(action from 1, first frame, last frame)."""
    words = [word.strip() for word in line.split(",")]
    if len(words) not in (3, 4):
        raise InputError(f"action,start,end,confidence is wanted, {len(words)} values are there.")
    action, start, end = (_whole(word) for word in words[:3])
    if not 1 <= action <= len(ACTIONS):
        raise InputError(f"action {action} is none of 1 to {len(ACTIONS)}.")
    if start < 1:
        raise InputError(f"it starts at frame {start}; the first frame is 1.")
    if end < start:
        raise InputError(f"it ends at frame {end}, before its start at frame {start}.")
    if end - start >= _LONGEST_CLIP:
        raise InputError(f"{end - start + 1:,} frames are no single action ({_LONGEST_CLIP:,} at most).")
    return action, start, end


def _whole(word: str) -> int:
    """A whole number, which may be written as 4.0."""
    if re.fullmatch(r"[+-]?\d{1,9}(\.0*)?", word, re.ASCII) is None:
        raise InputError(f"{word[:20]!r} is no whole number.")
    return int(word.split(".")[0])


# ---- splits ---------------------------------------------------------------------------------------------------------


def _protocols(tree: Tree, files: _Files) -> tuple[dict[str, frozenset[str]], list[str]]:
    """(protocol -> its training videos, what to say). As published, whatever does not train is test."""
    notes: list[str] = []
    lists: dict[str, dict[str, set[str]]] = {}
    here = sorted(set(files.videos) & set(files.labels))
    for name in files.splits:
        try:
            parts = _split_lists(tree.read(name, _LARGEST_LABELS).decode("utf-8-sig", "replace"))
        except InputError as error:
            files.skipped.append(Skipped(tree.place(name), str(error)))
            continue
        if not parts["train"]:
            files.skipped.append(Skipped(tree.place(name), "it names no training videos"))
            continue
        _name_strange(tree, name, parts, files)
        split = "xsub" if "subject" in PurePosixPath(name).stem.lower() else "xview"
        known = lists.setdefault(official_protocol(split, here), {"train": set(), "test": set()})
        for part, videos in parts.items():
            known[part] |= videos
    for protocol, parts in lists.items():
        both = sorted(parts["train"] & parts["test"])
        if both:
            notes.append(
                f"{protocol} names {counted(len(both), 'video')} to train and to test, counted as train: {listed(both)}"
            )
        left = [video for video in here if video not in parts["train"] | parts["test"]]
        if left:
            notes.append(f"{protocol} leaves out {counted(len(left), 'video')}, counted as test: {listed(left)}")
    if not lists:
        notes.append("There is no protocol: cross-subject.txt or cross-view.txt is not beside the videos.")
    return {name: frozenset(parts["train"]) for name, parts in lists.items()}, notes


def _name_strange(tree: Tree, name: str, parts: dict[str, set[str]], files: _Files) -> None:
    strange = sorted((parts["train"] | parts["test"]) - set(files.videos) - set(files.labels))
    if strange:
        reason = (
            f"it names {counted(len(strange), 'video')} of which neither frames nor labels are here: {listed(strange)}"
        )
        files.skipped.append(Skipped(tree.place(name), reason, harmless=True))


def _split_lists(text: str) -> dict[str, set[str]]:
    """Videos to train and to test: a heading with "train", then names; any other heading ("Validataion") is test."""
    parts: dict[str, set[str]] = {"train": set(), "test": set()}
    part = "train"
    for line in text.splitlines():
        names = [word for word in re.split(r"[,\s]+", line) if word]
        if any(_VIDEO.fullmatch(name.removesuffix(".txt")) for name in names):
            parts[part] |= {name.removesuffix(".txt") for name in names}
        elif names:
            part = "train" if "train" in line.lower() else "test"
    return parts


def _masks(protocols: dict[str, frozenset[str]], clips: Sequence[Found]) -> dict[str, NDArray[np.bool_]]:
    """(n,) bool for each protocol, True is test."""
    videos = [PurePosixPath(clip.place[0]).stem for clip in clips]
    return {name: np.array([video not in train for video in videos], dtype=bool) for name, train in protocols.items()}


# ---- one clip -------------------------------------------------------------------------------------------------------


def _read(tree: Tree, clip: Found) -> RawClip:
    """The frames of one interval.

    Raises:
        InputError: the video ends before the interval, or a frame in it is at fault.
    """
    file, labels, number, start, end = clip.place
    video = _video(Tree(tree.path, (file,), tree.zipped), _stamp(tree, file))
    if end > len(video.lines):
        raise InputError(
            f"{tree.place(labels)}, line {number}: it ends at frame {end} (it starts at {start}), but "
            f"{tree.place(file)} has {counted(len(video.lines), 'frame')}."
        )
    frames = np.array([video.frame(at, tree.place(file)) for at in range(start - 1, end)])
    x = frames.reshape(len(frames), PERSONS, NTU_25.num_joints, 3).transpose(3, 0, 2, 1)
    place = f"{tree.place(file)}, frames {start} to {end}"
    read = checked_positions(x, NTU_25, place, PERSONS)
    whole = np.zeros((3, len(frames), *read.shape[2:]), dtype=np.float32)  # an interval says how long its action takes
    whole[:, : read.shape[1]] = read
    return RawClip(whole, fps=FPS)


def _stamp(tree: Tree, file: str) -> tuple[int, int]:
    """Changes with the file, so that no lines of an older state are taken."""
    try:
        there = (tree.path if tree.zipped else tree.file(file)).stat()
    except OSError as error:
        raise InputError(f"{tree.place(file)} cannot be read: {error}") from error
    return there.st_mtime_ns, there.st_size


@dataclass(frozen=True)
class _Video:
    """The lines of a video, and those of its frames that have been asked for: an interval may lie inside another."""

    lines: list[bytes]
    frames: dict[int, NDArray[np.float32]] = field(default_factory=dict)

    def frame(self, at: int, place: str) -> NDArray[np.float32]:
        """(150,), counted from 0."""
        if at not in self.frames:
            self.frames[at] = _frame(self.lines[at], place, at + 1)
        return self.frames[at]


@lru_cache(maxsize=1)  # the clips of a video are read one after another
def _video(video: Tree, _stamp: tuple[int, int]) -> _Video:
    """Blank lines at its end are left out."""
    lines = video.read(video.names[0], _LARGEST_VIDEO).removeprefix(b"\xef\xbb\xbf").splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    return _Video(lines)


def _frame(line: bytes, place: str, number: int) -> NDArray[np.float32]:
    """The 150 numbers of a frame."""
    words = line.split()
    if len(words) != _VALUES:
        raise InputError(f"{place}, line {number}: a frame has {_VALUES} numbers, {len(words)} are there.")
    try:
        with np.errstate(over="ignore"):  # what is too large is refused as no position
            return np.array([float(word) for word in words]).astype(np.float32)
    except ValueError as error:
        raise InputError(f"{place}, line {number}: {error}.") from error


FORMAT = Format(
    "pku",
    _detects,
    _find,
    {
        "labels": "the label file of each video says the actions; it has the name of the video",
        "pattern": "the label files say the actions, the names of the videos the camera",
        "units": "they are in metres",
    },
)
