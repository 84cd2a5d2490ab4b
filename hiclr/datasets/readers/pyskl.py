"""PYSKL and MMAction2 pickles: {"split": names by part, "annotations": one dict for each clip}.

Source: github.com/kennymckormick/pyskl, tools/data/README.md; the older lists of annotations without splits are read
too. The pickle is looked through once; the keypoints of a clip are read from where they lie in it.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import PurePosixPath
from typing import Any

import numpy as np
from numpy.typing import NDArray

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
from hiclr.datasets.readers.tree import Tree
from hiclr.datasets.readers.units import metres_or
from hiclr.datasets.readers.unpickling import StoredArray, scan
from hiclr.datasets.wording import counted, shown
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS, Layout

__all__ = ["FORMAT"]

PERSONS = 2
_PICKLE = re.compile(r".*\.(pkl|pickle)", re.I)
_SIGNS = (b"annotations", b"frame_dir", b"keypoint", b"split")
_LOOKED_AT = 4096  # bytes
_OTHERS = (".npy", ".npz", ".skeleton", ".bvh", ".txt")
_PART = re.compile(r"(?P<split>.*?)[_-]?(?P<part>train|val|valid|test|eval)(?:ing)?[_-]?(?P<number>\d*)", re.I)
_LARGEST_CLIP = 2**26  # bytes
_MOST_PERSONS = 1000
_MOST_FILES = 1000
_MOST_FAULTS = 150_000  # annotations: NTU 120 has 113,945, and a reason for each is said
_HIGHEST_LABEL = 2**16


@dataclass
class _Content:
    """What the pickles of a source hold."""

    found: list[Found] = field(default_factory=list)
    sizes: set[tuple[int, int]] = field(default_factory=set)  # (joints, coordinates)
    persons: int = 0
    scored: bool = False
    splits: dict[str, list[str]] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    lengths: list[str] = field(default_factory=list)  # what is said of total_frames
    places: set[tuple[str, Any]] = field(default_factory=set)


def _detects(tree: Tree) -> bool:
    pickles = _pickles(tree)
    if pickles and not any(name.lower().endswith(_OTHERS) for name in tree.names):
        return True  # nothing but pickles: whoever wrote them, the reason against them is wanted
    return any(_is_pickle_of_clips(tree, name) for name in pickles[:20])


def _pickles(tree: Tree) -> list[str]:
    names = [name for name in tree.names if _PICKLE.fullmatch(name)]
    return [name for name in names if not re.search(r"label", PurePosixPath(name).name, re.I)]


def _is_pickle_of_clips(tree: Tree, name: str) -> bool:
    try:
        head = read_at(tree, name, 0, min(_LOOKED_AT, tree.size(name)))
    except InputError:
        return False
    return any(sign in head for sign in _SIGNS)


def _find(tree: Tree, options: Options) -> Plan:
    """Look through the pickles; no keypoint is read.

    Raises:
        InputError: no clip in them; the reasons are given.
    """
    content, pickles = _Content(), _pickles(tree)
    if len(pickles) > _MOST_FILES:
        raise InputError(f"{tree.path.name} holds {len(pickles):,} pickles; a set has one, or {_MOST_FILES:,} at most.")
    for name in pickles:
        try:
            _take(tree, name, scan(tree, name), content)
        except InputError as error:
            content.skipped.append(Skipped(tree.place(name), str(error)))
    if not content.found:
        reasons = " ".join(f"{s.file}: {s.reason}" for s in content.skipped[:5])
        raise InputError(f"No clip of {tree.path.name} can be read. {reasons or 'There is no pickle of annotations.'}")
    joints, coordinates = _same_size(content, tree)
    persons = min(content.persons, PERSONS)
    layout, notes = _layout(joints, coordinates, content.scored, options, tree)
    protocols, said = _protocols(content, tree)
    ids = ntu_ids([clip.name for clip in content.found])
    found = (Found(c.name, c.label, c.place, i) for c, i in zip(content.found, ids, strict=True))
    pixels = _flat(coordinates, layout)
    if pixels and options.units is not None:
        raise InputError(f"--units: the keypoints of {tree.path.name} are pixels of a picture. Leave --units out.")
    metres, note = metres_or(options.units)
    return Plan(
        source=f"PYSKL {tree.path.name}",
        layout=layout,
        found=tuple(found),
        read=partial(_read, tree, layout, persons, metres),
        persons=persons,
        protocols=partial(split_masks, protocols),
        published={name: PUBLISHED_SPLITS[name] for name in protocols if name in PUBLISHED_SPLITS},
        skipped=tuple(content.skipped),
        notes=(*notes, *said, *_said_of_lengths(content), *([] if pixels else [note])),
    )


def _take(tree: Tree, name: str, value: Any, content: _Content) -> None:
    """One pickle.

    Raises:
        InputError: it is no dict with annotations, and no list of them.
    """
    annotations = value.get("annotations") if isinstance(value, dict) else value
    if not isinstance(annotations, list | tuple):
        keys = f" with the keys {listed([str(k) for k in value])}" if isinstance(value, dict) else ""
        raise InputError(
            f"{tree.place(name)} holds a {type(value).__name__}{keys}; a dict with 'split' and 'annotations' is wanted."
        )
    faults = 0
    for at, annotation in enumerate(annotations):
        try:
            _take_one(name, annotation, content)
        except InputError as error:
            given = _text(annotation.get("frame_dir")) if isinstance(annotation, dict) else None
            called = given[:80] if isinstance(given, str) else f"annotation {at}"
            content.skipped.append(Skipped(f"{tree.place(name)}: {called}", str(error)))
            faults += 1
            if faults > _MOST_FAULTS:
                del content.skipped[-faults:]
                raise InputError(
                    f"{tree.place(name)}: more than {_MOST_FAULTS:,} of {len(annotations):,} annotations are at fault, "
                    f"such as {called}: {error}"
                ) from error
    splits = value.get("split") if isinstance(value, dict) else {PurePosixPath(name).stem: _names(annotations)}
    if splits is None:
        return
    if not isinstance(splits, dict) or not all(isinstance(part, list | tuple) for part in splits.values()):
        raise InputError(f"{tree.place(name)}: 'split' should hold lists of names by part; its splits are left out.")
    for part, names in splits.items():
        members = content.splits.setdefault(str(_text(part)), [])
        members += [entry for entry in map(_text, names) if isinstance(entry, str)]


def _text(value: Any) -> Any:
    """Bytes as text, as names come from Python 2 and from h5py; all else as it is."""
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _names(annotations: Sequence[Any]) -> list[Any]:
    return [annotation.get("frame_dir") for annotation in annotations if isinstance(annotation, dict)]


def _take_one(file: str, annotation: Any, content: _Content) -> None:
    if not isinstance(annotation, dict):
        raise InputError(f"an annotation should be a dict, it is {type(annotation).__name__}.")
    label, keypoint = (annotation.get(key) for key in ("label", "keypoint"))
    name = _text(annotation.get("frame_dir"))
    if not isinstance(name, str) or not name:
        raise InputError(f"it has no frame_dir (its name); it has {listed([str(key) for key in annotation])}.")
    if isinstance(label, bool) or not isinstance(label, int) or not 0 <= label < _HIGHEST_LABEL:
        raise InputError(f"label should be a whole number from 0, it is {shown(label)}.")
    if not isinstance(keypoint, StoredArray):
        more = " Its keypoints lie in other files (raw_file), which are not read." if "raw_file" in annotation else ""
        raise InputError(f"it has no array keypoint; it has {listed([str(key) for key in annotation])}.{more}")
    shape = _shape(keypoint)
    if ("name", name) in content.places:
        raise InputError("a second annotation of that name; the first is read.")
    place = (file, keypoint.content)
    if not isinstance(keypoint.content, bytes) and place in content.places:
        raise InputError("its keypoints are the very array of another clip.")
    content.places |= {("name", name), place}
    content.found.append(Found(name, label, (file, keypoint)))
    content.sizes.add(shape[2:])
    content.persons = max(content.persons, shape[0])
    content.scored |= "keypoint_score" in annotation
    total = annotation.get("total_frames")
    if isinstance(total, int) and total != shape[1]:
        content.lengths.append(f"{name}: total_frames says {total}, keypoint has {shape[1]}")


def _shape(keypoint: StoredArray) -> tuple[int, int, int, int]:
    """(M, T, V, C) of the keypoints of a clip; one person may come without the first axis."""
    shape = keypoint.shape if len(keypoint.shape) != 3 else (1, *keypoint.shape)
    if np.dtype(keypoint.dtype).kind not in "fiu":
        raise InputError(f"keypoint must hold numbers, its type is {keypoint.dtype}.")
    if len(shape) != 4 or shape[3] not in (2, 3) or 0 in shape or shape[0] > _MOST_PERSONS:
        raise InputError(f"keypoint has shape {keypoint.shape}; (persons, frames, joints, 2 or 3) is wanted.")
    if keypoint.size > _LARGEST_CLIP:
        raise InputError(f"keypoint has shape {keypoint.shape}: {keypoint.size:,} bytes, no known clip has so many.")
    return shape[0], shape[1], shape[2], shape[3]


def _same_size(content: _Content, tree: Tree) -> tuple[int, int]:
    """(joints, coordinates) of most clips; the others are left out."""
    counts: dict[tuple[int, int], int] = {}
    for clip in content.found:
        size = _shape(clip.place[1])[2:]
        counts[size] = counts.get(size, 0) + 1
    most = max(counts, key=lambda size: counts[size])
    for clip in [clip for clip in content.found if _shape(clip.place[1])[2:] != most]:
        joints, coordinates = _shape(clip.place[1])[2:]
        reason = f"{joints} joints with {coordinates} coordinates, where most clips have {most[0]} with {most[1]}."
        content.skipped.append(Skipped(f"{tree.place(clip.place[0])}: {clip.name}", reason))
    content.found = [clip for clip in content.found if _shape(clip.place[1])[2:] == most]
    return most


def _layout(joints: int, coordinates: int, scored: bool, options: Options, tree: Tree) -> tuple[Layout, list[str]]:
    """(the joints, what to say about them)."""
    given, coco, place = options.layout, LAYOUTS["coco17"], f"{tree.path.name}: keypoint"
    flat = (
        f"keypoint has {joints} joints with 2 coordinates (x, y) in pixels, y downwards as in the file; z is set to 0."
    )
    if coordinates == 2:
        layout = coco if given is None and joints == coco.num_joints else choose_layout(joints, given, place)
        return layout, [f"{flat} The layout is {layout.name}. These are no metres."]
    if joints == coco.num_joints and given is None:
        raise InputError(
            f"{place} has 17 joints with 3 numbers: COCO's (x, y, score) or positions in space, nothing says which. "
            "Give --layout coco17, which leaves the score out, or --layout h36m17."
        )
    layout = choose_layout(joints, given, place)
    if layout.name != coco.name or scored:
        return layout, []
    return layout, [f"{flat} The third number is read as the score and left out. The layout is {layout.name}."]


# ---- splits ---------------------------------------------------------------------------------------------------------


def _protocols(content: _Content, tree: Tree) -> tuple[dict[str, frozenset[str]], list[str]]:
    """(protocol -> names of its test clips, what to say): xsub_train and xsub_val are one protocol."""
    names = [clip.name for clip in content.found]
    known, notes = set(names), list[str]()
    parts: dict[str, dict[str, set[str]]] = {}
    for split, members in content.splits.items():
        match = _PART.fullmatch(split)
        if match is None:
            notes.append(f"split {split!r} is no train, val or test part; it is left out.")
            continue
        name = " ".join(filter(None, (match["split"], match["number"]))) or "test"
        part = {"valid": "val", "eval": "val"}.get(match["part"].lower(), match["part"].lower())
        parts.setdefault(name, {}).setdefault(part, set()).update(members)
        strange = sorted(set(members) - known)
        if strange:
            notes.append(f"split {split!r} names {counted(len(strange), 'clip')} not here: {listed(strange)}")
    protocols: dict[str, frozenset[str]] = {}
    for name, by_part in parts.items():
        test = by_part.get("test") or by_part.get("val")
        train = by_part.get("train", set())
        if not test or not test & known:
            continue
        official = official_protocol(name, names, tree.path.stem)
        protocols[official] = frozenset(test)
        notes += _said_of_split(official, names, train, test, by_part)
    return protocols, notes


def _said_of_split(
    name: str, names: list[str], train: set[str], test: set[str], parts: dict[str, set[str]]
) -> list[str]:
    notes = []
    both = sorted(train & test)
    if both:
        notes.append(
            f"{name}: in its train and in its test part, counted as test: {counted(len(both), 'clip')}: {listed(both)}"
        )
    neither = [clip for clip in names if clip not in train and clip not in test]
    if neither and train:
        val = " (val among them)" if {"val", "test"} <= set(parts) else ""
        notes.append(
            f"{name}: in neither part{val}, counted as train: {counted(len(neither), 'clip')}: {listed(neither)}"
        )
    return notes


def _said_of_lengths(content: _Content) -> list[str]:
    lengths = content.lengths
    return (
        [f"all frames are read of {counted(len(lengths), 'clip')} that said another number: {listed(lengths)}."]
        if lengths
        else []
    )


def _flat(coordinates: int, layout: Layout) -> bool:
    """The keypoints are pixels: a third number is their score."""
    return coordinates == 2 or layout.name == "coco17"


# ---- one clip -------------------------------------------------------------------------------------------------------


def _read(tree: Tree, layout: Layout, persons: int, metres: float, clip: Found) -> RawClip:
    """One clip: (M, T, V, C) as (3, T, V, M), at most two persons.

    Raises:
        InputError: its positions are none; the file is damaged.
    """
    file, keypoint = clip.place
    points: NDArray[Any] = keypoint.read(tree, file)
    points = points if points.ndim == 4 else points[None]
    flat = _flat(points.shape[3], layout)
    x = np.zeros((3, *points.shape[1:3], points.shape[0]), dtype=np.float64)
    axes = 2 if flat else 3
    with np.errstate(invalid="ignore"):  # what is not finite is refused below
        x[:axes] = points[..., :axes].transpose(3, 1, 2, 0)
    x, notes = _who_move_most(x)
    return RawClip(checked_positions(x, layout, f"{tree.place(file)}: {clip.name}", persons, metres), tuple(notes))


def _who_move_most(x: NDArray[np.float64]) -> tuple[NDArray[np.float64], list[str]]:
    """(3, T, V, <= 2) and what to say; those who stay keep their order."""
    count = x.shape[3]
    if count <= PERSONS:
        return x, []
    energy = np.array([_energy(x[..., person]) for person in range(count)])
    kept = np.sort(np.argsort(-energy, kind="stable")[:PERSONS])
    dropped = [str(person) for person in range(count) if person not in kept]
    who = f"person {dropped[0]} is" if len(dropped) == 1 else f"persons {listed(dropped)} are"
    return x[..., kept], [f"{count} persons, {who} dropped: two others move more"]


def _energy(x: NDArray[np.float64]) -> float:
    """Motion of one person (3, T, V): the squared way from the mean position, over the frames with anybody in them."""
    there = x[:, x.any(axis=(0, 2))]
    with np.errstate(invalid="ignore", over="ignore"):
        energy = float(there.var(axis=1).sum()) * there.shape[1] if there.size else 0.0
    return energy if np.isfinite(energy) else np.inf


FORMAT = Format(
    "pyskl",
    _detects,
    _find,
    {
        "labels": "each annotation in them has its label",
        "pattern": "each annotation in them has its label, and the splits are lists of names",
    },
)
