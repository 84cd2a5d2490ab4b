"""Arrays as CrosSCLR, AimCLR and HiCLR prepare them: `train_position.npy` beside `train_label.pkl`, and the like.

A folder per protocol ("xsub", "xview") holds a train and a val part; the same clips lie in each, split otherwise.

Source: `tools/*_gendata.py` and `feeder/preprocess_*.py` of github.com/Levigty/AimCLR.
"""

import io
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.damage import is_readable
from hiclr.datasets.keys import text_refused
from hiclr.datasets.readers.clips import (
    PUBLISHED_SPLITS,
    checked_positions,
    choose_layout,
    listed,
    ntu_ids,
    official_protocol,
    split_masks,
)
from hiclr.datasets.readers.plan import Format, Found, Options, Plan, RawClip, Skipped
from hiclr.datasets.readers.spans import read_at
from hiclr.datasets.readers.tree import Tree, open_tree
from hiclr.datasets.readers.units import metres_or
from hiclr.datasets.readers.unpickling import safe_loads
from hiclr.datasets.wording import counted, shown
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["FORMAT", "LabelFile", "read_label_file"]

_DATA = re.compile(
    r"(?P<part>(?:.*?[_-])?(?:train|val|valid|test|eval|all)|)[_-]?(?P<kind>position|data(?:_joint)?|joint)\.npy", re.I
)
_TEST = re.compile(r"(?:.*[_-])?(?:val|valid|test|eval)", re.I)
_OTHER_STREAMS = re.compile(r".*(?:motion|bone)\.npy", re.I)
_MOST_PERSONS = 20
_MOST_FILES = 1000
_MOST_LABELS = 1_000_000
_LARGEST_CLIP = 2**26  # bytes: 74,000 frames of three persons
_LONGEST_HEAD = 2**16  # bytes
_SHAPE = "(N, 3, T, V, M): clips, coordinates, frames, joints, persons"


@dataclass(frozen=True)
class _Header:
    """What stands at the head of a `.npy` file."""

    shape: tuple[int, ...]
    dtype: str
    fortran: bool
    offset: int

    @property
    def persons(self) -> int:
        return self.shape[4] if len(self.shape) == 5 else 1

    @property
    def clip_bytes(self) -> int:
        return math.prod(self.shape[1:]) * np.dtype(self.dtype).itemsize


@dataclass(frozen=True)
class _Part:
    """One array of positions with its labels: the train or the test part of one folder."""

    folder: str
    file: str
    header: _Header
    labels: tuple[int | str, ...]
    names: tuple[str, ...] | None
    objects: str = ""  # the label file, where it holds Python objects

    @property
    def test(self) -> bool:
        return _TEST.fullmatch(_part_of(self.file)) is not None


def _detects(tree: Tree) -> bool:
    names = [PurePosixPath(name).name for name in tree.names]
    if "x.npy" in names:  # a set of our own
        return False
    labels = any(_is_label(name) for name in names)
    return any(_DATA.fullmatch(name) for name in names) and (
        labels or len(tree.names) == 1 or any(map(_part_of, names))
    )


def _is_label(name: str) -> bool:
    return re.fullmatch(r".*labels?\.(pkl|pickle|npy)", name, re.I) is not None


def _part_of(name: str) -> str:
    found = _DATA.fullmatch(PurePosixPath(name).name)
    return found["part"] if found else ""


def _find(tree: Tree, options: Options) -> Plan:
    """Look at heads and labels; no clip is read.

    Raises:
        InputError: nothing can be read; the reasons are given.
    """
    chosen, skipped = _choose(tree)
    if len(chosen) > _MOST_FILES:
        raise InputError(f"{tree.path.name} holds {len(chosen):,} arrays; a set has {_MOST_FILES:,} at most.")
    labels = _labels_beside(tree, chosen) if options.labels is None else open_tree(Path(options.labels))
    if labels is not None and len(labels.names) == 1 and len(chosen) > 1:
        raise InputError(
            f"--labels {labels.path.name} is one file, but there are {len(chosen)} arrays: {listed(chosen)}. Give the "
            "folder that holds the labels of each part, or one array alone."
        )
    parts: list[_Part] = []
    for file in chosen:
        try:
            parts.append(_part(tree, file, labels))
        except InputError as error:
            skipped.append(Skipped(tree.place(file), str(error)))
    layout, parts = _same_joints(tree, parts, options, skipped)
    found, protocols, notes = _join(tree, parts, skipped)
    if not found or layout is None:
        reasons = " ".join(s.reason for s in skipped if not s.harmless)
        raise InputError(f"No array of {tree.path.name} can be read. {reasons or 'There is none.'}")
    heads = {part.file: part.header for part in parts}
    ids = ntu_ids([clip.name for clip in found])
    persons = max(header.persons for header in heads.values())
    metres, note = metres_or(options.units)
    return Plan(
        source=f"arrays {tree.path.name}",
        layout=layout,
        found=tuple(replace(clip, ids=known) for clip, known in zip(found, ids, strict=True)),
        read=partial(_read, tree, heads, layout, persons, metres),
        persons=persons,
        classes=None,
        protocols=partial(split_masks, protocols),
        published={name: PUBLISHED_SPLITS[name] for name in protocols if name in PUBLISHED_SPLITS},
        skipped=tuple(skipped),
        notes=(*notes, *_said_of_heads(tree, parts), note),
    )


def _choose(tree: Tree) -> tuple[list[str], list[Skipped]]:
    """(arrays of positions, files that are left alone): of two kinds of one part the one that training takes."""
    best: dict[tuple[str, str], str] = {}
    skipped: list[Skipped] = []
    for name in tree.names:
        path = PurePosixPath(name)
        match = _DATA.fullmatch(path.name)
        if match is None:
            if path.suffix == ".npy" and not _is_label(path.name):
                other = _OTHER_STREAMS.fullmatch(path.name) is not None
                reason = (
                    "motion and bones are made from positions"
                    if other
                    else "its name is none of *_position.npy, *_data.npy"
                )
                skipped.append(Skipped(tree.place(name), reason, harmless=True))
            continue
        key = (path.parent.as_posix(), match["part"].lower())
        old = best.setdefault(key, name)
        if old != name:
            left, best[key] = (old, name) if match["kind"].lower() == "position" else (name, old)
            skipped.append(Skipped(tree.place(left), f"{tree.place(best[key])} is read instead", harmless=True))
    return sorted(
        best.values(), key=lambda n: (PurePosixPath(n).parent.as_posix(), _TEST.fullmatch(_part_of(n)) is not None, n)
    ), skipped


def _part(tree: Tree, file: str, labels: Tree | None) -> _Part:
    header = _head(tree, file)
    _check_shape(header, tree.place(file))
    if header.fortran and tree.zipped:
        raise InputError(
            f"{tree.place(file)} lies in Fortran order, each clip all over the file, which cannot be read in a zip "
            f"file. Unpack {tree.path.name} and give the folder, or save the array with np.ascontiguousarray(x)."
        )
    where, name = _label_file(tree, file, labels)
    names, values = _labels(where, name)
    place = where.place(name)
    if len(values) != header.shape[0]:
        raise InputError(
            f"{place} has {len(values):,} labels, {tree.place(file)} has {header.shape[0]:,} clips: they belong to "
            "different data. Take both from one preparation."
        )
    if names is not None and len(names) != len(values):
        raise InputError(f"{place} has {len(names):,} names and {len(values):,} labels. Prepare it again.")
    objects = place if name.lower().endswith(".npy") and _head(where, name).dtype == "|O" else ""
    return _Part(PurePosixPath(file).parent.as_posix(), file, header, tuple(values), names, objects)


# ---- the head of a .npy file ----------------------------------------------------------------------------------------


def _head(tree: Tree, name: str) -> _Header:
    place = tree.place(name)
    head = io.BytesIO(read_at(tree, name, 0, min(_LONGEST_HEAD, tree.size(name))))
    try:
        version = np.lib.format.read_magic(head)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = read(head)
    except Exception as error:  # numpy's parser of this line of Python knows many ways to fail
        raise InputError(f"{place} is no npy file ({_first_line(error)}). Copy or download it again.") from error
    offset = head.tell()
    if any(n < 0 for n in shape) or not dtype.itemsize:
        raise InputError(f"{place} says shape {shape} of {dtype}. Copy or download it again.")
    if dtype.hasobject:
        return _Header(tuple(shape), "|O", bool(fortran), offset)
    needed, there = offset + math.prod(shape) * dtype.itemsize, tree.size(name)
    if needed > there:
        raise InputError(
            f"{place} ends too early: shape {tuple(shape)} of {dtype} takes {needed:,} bytes, {there:,} are there. "
            "Copy or download it again."
        )
    return _Header(tuple(shape), dtype.str, bool(fortran), offset)


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:200]


def _check_shape(header: _Header, place: str) -> None:
    shape = header.shape
    if header.dtype == "|O":
        raise InputError(
            f"{place} holds Python objects instead of numbers; they are refused, since reading them could run code. "
            "Save it again as one array: np.save(path, np.stack(clips).astype(np.float32))."
        )
    if np.dtype(header.dtype).kind not in "fiu":
        raise InputError(f"{place} must hold numbers, its type is {np.dtype(header.dtype)}.")
    if len(shape) not in (4, 5) or shape[1] != 3:
        axis = shape.index(3) if 3 in shape else None
        hint = f" Axis {axis} has 3 entries: np.moveaxis(x, {axis}, 1) puts the coordinates second." if axis else ""
        raise InputError(f"{place} has shape {shape}; wanted is {_SHAPE}, or the same without M for one person.{hint}")
    if 0 in shape or header.persons > _MOST_PERSONS:
        raise InputError(
            f"{place} has shape {shape}; wanted is {_SHAPE}, at least one of each, {_MOST_PERSONS} persons at most."
        )
    if header.clip_bytes > _LARGEST_CLIP:
        raise InputError(
            f"{place} has shape {shape}: one clip of it takes {header.clip_bytes:,} bytes, no known one does."
        )


# ---- labels ---------------------------------------------------------------------------------------------------------


def _labels_beside(tree: Tree, chosen: list[str]) -> Tree | None:
    """The labels that lie beside an array that was given alone."""
    if tree.zipped or tree.path.is_dir() or not chosen:
        return None
    beside = [tree.path.with_name(name) for name in _label_names(chosen[0])]
    return next((open_tree(path) for path in beside if path.is_file()), None)


def _label_names(data: str) -> list[str]:
    part = _part_of(data)
    stems = [f"{part}_label", f"{part}-label", f"{part}_labels"] if part else ["label", "labels"]
    return [f"{stem}{end}" for stem in stems for end in (".pkl", ".pickle", ".npy")]


def _label_file(tree: Tree, data: str, labels: Tree | None) -> tuple[Tree, str]:
    """Where the labels of an array lie: beside it, or where the user says."""
    path, names = PurePosixPath(data), _label_names(data)
    if labels is None:
        wanted = [(path.parent / name).as_posix() for name in names]
        for name in wanted:
            if name in tree.names:
                return tree, name
        raise InputError(
            f"{tree.place(data)} has no labels beside it ({names[0]} or {names[2]}). Put them there, or say --labels."
        )
    if len(labels.names) == 1 and not labels.path.is_dir():
        return labels, labels.names[0]
    near = [(path.parent / name).as_posix() for name in names]
    for name in (*near, *names):
        if name in labels.names:
            return labels, name
    raise InputError(f"--labels {labels.path.name} holds no {near[0]} or {names[0]} for {tree.place(data)}.")


@dataclass(frozen=True)
class LabelFile:
    """What a file of labels holds.

    Args:
        names: of the clips, where the file holds them.
        labels: one for each clip: numbers, words, or what else somebody put there.
        objects: it is an `.npy` of Python objects.
    """

    names: tuple[str, ...] | None
    labels: tuple[Any, ...]
    objects: bool = False


def read_label_file(tree: Tree, name: str) -> LabelFile:
    """The labels in a `.npy` or a pickle, nothing of which is run.

    Raises:
        InputError: no list of labels, a pickle that names what could run, a file that is damaged.
    """
    place = tree.place(name)
    if not name.lower().endswith(".npy"):
        names, value = _pair(safe_loads(tree.read(name), place), place)
        return LabelFile(names, _entries(value, place))
    header = _head(tree, name)
    if header.dtype == "|O":  # numpy keeps such an array as a pickle after the head
        return LabelFile(None, _entries(safe_loads(tree.read(name)[header.offset :], place), place), objects=True)
    content = io.BytesIO(tree.read(name))
    try:
        return LabelFile(None, _entries(np.lib.format.read_array(content, allow_pickle=False), place))
    except (ValueError, TypeError, EOFError, OverflowError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{place} cannot be read ({_first_line(error)}). Copy or download it again.") from error


def _labels(tree: Tree, name: str) -> tuple[tuple[str, ...] | None, list[int | str]]:
    """(names or None, labels) of a label file."""
    file = read_label_file(tree, name)
    return file.names, _checked(file.labels, tree.place(name))


def _pair(value: Any, place: str) -> tuple[tuple[str, ...] | None, Any]:
    """The (names, labels) of the published code; a plain list of labels is taken too."""
    if isinstance(value, dict):
        raise InputError(
            f"{place} holds a dict with {listed([str(key) for key in value])}; a (names, labels) pair is wanted."
        )
    if (
        isinstance(value, tuple | list)
        and len(value) == 2
        and all(isinstance(part, list | tuple | np.ndarray) for part in value)
    ):
        names = value[0].ravel().tolist() if isinstance(value[0], np.ndarray) else value[0]
        words = [name.decode("utf-8", "replace") if isinstance(name, bytes) else name for name in names]
        if not all(isinstance(word, str) for word in words):
            raise InputError(f"{place}: the first of the pair should be the clips' names; they are no text.")
        return tuple(re.sub(r"\.skeleton$", "", word) for word in words), value[1]
    return None, value


def _entries(value: Any, place: str) -> tuple[Any, ...]:
    """One entry for each clip, whatever it is: numbers in lists of one and bytes are taken out."""
    if isinstance(value, np.ndarray):
        value = _flat(value, place)
    if not isinstance(value, list | tuple):
        raise InputError(f"{place} must hold one label for each clip, it holds {type(value).__name__}.")
    if len(value) > _MOST_LABELS:
        raise InputError(f"{place} holds {len(value):,} labels; no set has more than {_MOST_LABELS:,} clips.")
    return tuple(map(_entry, value))


def _entry(given: Any) -> Any:
    entry = given.item() if isinstance(given, np.ndarray) and given.size == 1 else given
    entry = entry[0] if isinstance(entry, list | tuple) and len(entry) == 1 else entry
    if isinstance(entry, float) and entry.is_integer():
        return int(entry)
    return entry.decode("utf-8", "replace") if isinstance(entry, bytes) else entry


def _checked(entries: Sequence[Any], place: str) -> list[int | str]:
    """Labels: whole numbers from 0, or words."""
    for at, entry in enumerate(entries):
        if (
            isinstance(entry, bool)
            or not isinstance(entry, int | str)
            or (isinstance(entry, int) and not 0 <= entry < 10**6)
        ):
            raise InputError(
                f"{place}: label {at} is {shown(entry)}; whole numbers from 0 or words are wanted. Save them again: "
                "np.save(path, np.asarray(labels, dtype=np.int64))."
            )
    if len({type(entry) for entry in entries}) > 1:
        raise InputError(f"{place} holds numbers and words as labels; one kind is wanted.")
    return list(entries)


def _flat(value: NDArray[Any], place: str) -> list[Any]:
    """(N,), (N, 1), or (N, C) with one 1 in each row, as a list."""
    if value.ndim == 2 and value.shape[1] > 1 and value.dtype.kind in "fiub":
        if not (np.isin(value, (0, 1)).all() and (value.sum(axis=1) == 1).all()):
            raise InputError(f"{place} has shape {value.shape}; one label for each clip is wanted, (N,) or (N, 1).")
        value = value.argmax(axis=1)
    if value.ndim == 0 or value.size != value.shape[0]:
        raise InputError(f"{place} has shape {value.shape}; one label for each clip is wanted, (N,) or (N, 1).")
    if not is_readable(value):
        raise InputError(text_refused(place, "it"))
    found: list[Any] = value.ravel().tolist()
    return found


# ---- from parts to clips --------------------------------------------------------------------------------------------


def _same_joints(
    tree: Tree, parts: list[_Part], options: Options, skipped: list[Skipped]
) -> tuple[Layout | None, list[_Part]]:
    """(the joints, the parts that have them): those of the first part that can be read."""
    layout, good = options.layout, list[_Part]()
    for part in parts:
        try:
            if good and type(part.labels[0]) is not type(good[0].labels[0]):
                raise InputError(
                    f"The labels of {tree.place(part.file)} are words where others are numbers, or the reverse."
                )
            layout = choose_layout(part.header.shape[3], layout, tree.place(part.file))
            good.append(part)
        except InputError as error:
            skipped.append(Skipped(tree.place(part.file), str(error)))
    return layout, good


def _join(
    tree: Tree, parts: list[_Part], skipped: list[Skipped]
) -> tuple[list[Found], dict[str, frozenset[str]], list[str]]:
    """(clips, protocol -> names of its test clips, what to say).

    Folders that hold the same clips, each with both parts, are protocols of one set. Folders of one part each add
    their clips.
    """
    found: dict[str, Found] = {}
    protocols: dict[str, frozenset[str]] = {}
    notes: list[str] = []
    folders: dict[str, list[_Part]] = {}
    for part in parts:
        folders.setdefault(part.folder, []).append(part)
    for folder, mine in sorted(folders.items(), key=lambda item: not _whole(item[1])):
        clips = _clips(mine, tree, notes)
        reason = _no_part_of(mine, clips, found) if protocols else None
        if reason is not None:
            skipped += [Skipped(tree.place(part.file), reason) for part in mine]
            continue
        if not protocols and any(name in found for name in clips):
            clips = {f"{folder}/{n}": (replace(clip, name=f"{folder}/{n}"), test) for n, (clip, test) in clips.items()}
        found |= {name: clip for name, (clip, _) in clips.items() if name not in found}
        if _whole(mine):
            protocols[_protocol(folder, tree, clips, protocols)] = frozenset(
                n for n, (_, test) in clips.items() if test
            )
            notes += _elsewhere(folder, clips, found)
    if parts and not protocols:
        only = "test" if all(part.test for part in parts) else "train"
        notes.append(f"There is no protocol: only a {only} part is here.")
    return list(found.values()), protocols, notes


def _whole(parts: list[_Part]) -> bool:
    """Train and test part are there."""
    return {part.test for part in parts} == {False, True}


def _no_part_of(parts: list[_Part], clips: dict[str, tuple[Found, bool]], found: dict[str, Found]) -> str | None:
    """Why a folder is no other protocol of the clips that are known, or None."""
    if not _whole(parts):
        return "its other part is missing, and other folders have both. Convert it by itself"
    if any(part.names is None for part in parts):
        return (
            "its labels come without names, so its clips cannot be told from those of other folders. Convert it alone"
        )
    if any(name in found and found[name].label != clip.label for name, (clip, _) in clips.items()):
        return "its clips have the names of those in another folder, but other labels. Convert it by itself"
    if 2 * len([name for name in clips if name in found]) < len(clips):
        return "it holds other clips than the folders before. Convert it by itself"
    return None


def _elsewhere(folder: str, clips: dict[str, tuple[Found, bool]], found: dict[str, Found]) -> list[str]:
    """What to say of clips that a folder leaves out."""
    left = [name for name in found if name not in clips]
    return (
        [f"{folder} leaves out {counted(len(left), 'clip')} of other folders, counted as train: {listed(left)}"]
        if left
        else []
    )


def _clips(parts: list[_Part], tree: Tree, notes: list[str]) -> dict[str, tuple[Found, bool]]:
    """Name -> (clip, it is of the test part) in one folder."""
    clips: dict[str, tuple[Found, bool]] = {}
    for part in parts:
        names, twice = part.names, []
        if names is None:
            stem = _part_of(part.file) or "clip"
            names = tuple(f"{stem}{at:06d}" for at in range(len(part.labels)))
        for at, (given, label) in enumerate(zip(names, part.labels, strict=True)):
            name = given
            if name in clips:
                twice.append(name)
                name = f"{given}#{part.file}[{at}]"
            clips[name] = (Found(name, label, (part.file, at)), part.test)
        if twice:
            notes.append(
                f"{tree.place(part.file)}: {counted(len(twice), 'name')} there before, now with a mark: {listed(twice)}"
            )
    return clips


def _protocol(folder: str, tree: Tree, clips: Iterable[str], known: dict[str, Any]) -> str:
    """What to call the split of a folder."""
    own = PurePosixPath(folder).name or tree.path.stem
    name = official_protocol(own, clips, "/".join((*tree.path.parts[-2:], folder)))
    if name == own and folder == ".":  # the folder that was given is no name of a split
        name = "test"
    return name if name not in known else folder.replace("/", "-")


def _said_of_heads(tree: Tree, parts: list[_Part]) -> list[str]:
    notes = []
    for part in parts:
        if len(part.header.shape) == 4:
            notes.append(
                f"{tree.place(part.file)} has shape {part.header.shape} without persons: one person was added."
            )
        kind = np.dtype(part.header.dtype)
        if kind != np.float32:
            notes.append(f"{tree.place(part.file)} is {kind}; it is read as float32.")
        if part.objects:
            notes.append(
                f"{part.objects} holds Python objects (a pickle); only its numbers and words were read, nothing in it "
                "was run. To save it as plain labels: np.save(path, np.asarray(labels, dtype=np.int64))."
            )
    return notes


# ---- one clip -------------------------------------------------------------------------------------------------------


def _read(tree: Tree, heads: dict[str, _Header], layout: Layout, persons: int, metres: float, clip: Found) -> RawClip:
    """One clip, and nothing else of its file.

    Raises:
        InputError: its positions are none; the file is damaged.
    """
    file, at = clip.place
    header = heads[file]
    points = _strided(tree, file, header, at) if header.fortran else _block(tree, file, header, at)
    points = points if points.ndim == 4 else points[..., None]
    place = f"{tree.place(file)}, clip {at} ({clip.name})"
    return RawClip(checked_positions(points, layout, place, persons, metres))


def _block(tree: Tree, file: str, header: _Header, at: int) -> NDArray[Any]:
    content = read_at(tree, file, header.offset + at * header.clip_bytes, header.clip_bytes)
    return np.frombuffer(content, dtype=header.dtype).reshape(header.shape[1:])


def _strided(tree: Tree, file: str, header: _Header, at: int) -> NDArray[Any]:
    """A clip of an array whose first axis runs fastest: it lies all over the file."""
    try:
        mapped = np.memmap(tree.file(file), header.dtype, "r", header.offset, header.shape, "F")
        return np.array(mapped[at])
    except (OSError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{tree.place(file)} cannot be mapped ({error}). Copy or download it again.") from error


FORMAT = Format(
    "arrays",
    _detects,
    _find,
    {"pattern": "the labels lie in a file beside them, or in the one that --labels names"},
)
