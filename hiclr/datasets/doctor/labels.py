"""Labels, lengths and splits: what the numbers beside the positions say."""

import re
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.doctor.bodies import Facts
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.errors import InputError

__all__ = ["class_findings", "label_findings", "length_findings", "protocol_findings", "read_labels"]

_UNEVEN = 10  # times: the largest class beside the smallest; the published sets stay below 3
# Against the median of its class a clip may take a few times as long (5 times in MSR-Action3D, where one waits); the
# slip in UTKinect's list of intervals makes 17 times.
_LONG = 8
_FEW = 5  # clips in a class from which its median means something
_MOST_BYTES = 2**31
_SPLIT_IDS = {"sub": "subject", "view": "camera", "camera": "camera", "setup": "setup", "xset": "setup"}


def read_labels(path: Path) -> NDArray[Any]:
    """The labels in a `.npy` file.

    Raises:
        InputError: no labels, Python objects, or a pickle.
    """
    if path.suffix != ".npy":
        raise InputError(f"{path.name} is a pickle, which is not read here. Save the labels as numbers in a .npy file.")
    if path.stat().st_size > _MOST_BYTES:
        raise InputError(f"{path.name} has {path.stat().st_size:,} bytes: no label file is known to be this large.")
    try:
        array = np.load(path, mmap_mode="r", allow_pickle=False)
    except (OSError, EOFError, ValueError) as error:
        if "bject" in str(error) or "pickle" in str(error):
            raise InputError(
                f"{path.name} holds Python objects, which could run code when read; they are refused. Save the labels "
                "again as plain numbers: np.asarray(labels, dtype=np.int64)."
            ) from error
        raise InputError(f"{path.name} is no whole npy file ({error}). Copy or download it again.") from error
    if array.ndim != 1:
        raise InputError(
            f"{path.name} has shape {array.shape}: labels have shape (N,). Positions are looked at with their labels: "
            "give the folder, with x.npy and y.npy in it, or an npz."
        )
    return np.array(array)


def label_findings(y: NDArray[Any]) -> list[Finding]:
    """Range, gaps and balance of the labels of a file without positions."""
    if y.dtype.kind in "US":
        words, y = np.unique(y, return_inverse=True)
        return class_findings(np.asarray(y, dtype=np.int64), [str(word) for word in words])
    whole = y.dtype.kind in "iu" or (y.dtype.kind == "f" and bool(np.isfinite(y).all() and (y == np.round(y)).all()))
    if not whole:
        where = np.flatnonzero(~np.isfinite(y))[:1].tolist() if y.dtype.kind == "f" else []
        more = f"; entry {where[0]} is {y[where[0]]}" if where else ""
        return [Finding("labels", "fault", f"labels must be whole numbers or words, they are {y.dtype}{more}", "")]
    if not y.size:
        return [Finding("labels", "fault", "there are no labels", "")]
    low, high = int(y.min()), int(y.max())
    if low < 0 or high > 10 * len(y) + 1000:
        bad = int(np.argmin(y) if low < 0 else np.argmax(y))
        what = f"labels go from {low} to {high} for {len(y):,} clips; entry {bad} is {int(y[bad])}"
        return [Finding("labels", "fault", what, "labels count the classes: 0 to C-1")]
    found = []
    if low == 1:
        what = f"labels start at 1 (1 to {high}, no label 0); a set without class names takes 1 for its first class"
        found.append(Finding("labels from 1", "note", what))
    names = [str(label) for label in range(low if low == 1 else 0, high + 1)]
    return found + class_findings(y.astype(np.int64) - (low == 1), names)


def class_findings(y: NDArray[np.int64], classes: list[str] | tuple[str, ...]) -> list[Finding]:
    """Classes without clips, and how even the rest are."""
    counts = np.bincount(y, minlength=len(classes))
    found = []
    unused = [classes[i] for i in np.flatnonzero(counts == 0)]
    if unused:
        what = f"{len(unused)} of {len(classes)} classes have no clip"
        found.append(grouped("label gaps", "note", what, "", [Place(name) for name in unused]))
    used = np.flatnonzero(counts)
    if len(used) == 1:
        found.append(Finding("one class", "note", f"all clips are of one class, {classes[used[0]]}", ""))
    elif len(used) and counts.max() >= _UNEVEN * counts[used].min():
        small, large = used[counts[used].argmin()], counts.argmax()
        what = f"classes are uneven: {classes[large]} has {counts[large]:,} clips, {classes[small]} {counts[small]:,}"
        found.append(Finding("class balance", "note", what, "read accuracies per class too"))
    return found


def length_findings(facts: Facts) -> list[Finding]:
    """Clips that are longer than their array, far longer than their class, or of one frame."""
    if facts.length is None:
        return []
    found = []
    length = facts.length
    if facts.frames is not None and not facts.resampled:
        longer = np.flatnonzero(length > facts.frames).tolist()
        if longer:
            what = (
                f"{len(longer):,} clips say more than the {facts.frames} frames that are there: read as their frames "
            )
            places = [Place(facts.names[i], seen=f"{length[i]} frames") for i in longer]
            found.append(grouped("length", "note", what + "before resampling", "", places))
    usual = np.zeros(len(length))
    for label in np.unique(facts.y):
        own = facts.y == label
        usual[own] = np.median(length[own]) if own.sum() >= _FEW else np.inf
    absurd = np.flatnonzero(length >= _LONG * usual).tolist()
    if absurd:
        what = f"{len(absurd):,} clips are at least {_LONG} times as long as their class usually is"
        places = [
            Place(facts.names[i], seen=f"{length[i]} frames, its class {facts.classes[facts.y[i]]} has {usual[i]:g}")
            for i in absurd
        ]
        do = "look at the interval in the list it was cut by: its end may belong to another action"
        found.append(grouped("absurd length", "note", what, do, places))
    single = np.flatnonzero(length == 1).tolist()
    if single:
        places = [Place(facts.names[i]) for i in single]
        found.append(grouped("one frame", "note", f"{len(single):,} clips have a single frame: no motion", "", places))
    return found


def protocol_findings(facts: Facts) -> list[Finding]:
    """Empty parts, classes that are tested and never trained, ids that train and test."""
    if not facts.protocols:
        return [
            Finding("protocols", "note", "the set has no train and test part: it can be pretrained on, not evaluated")
        ]
    found = []
    for name, test in facts.protocols.items():
        if test.all() or not test.any():
            part = "train" if test.all() else "test"
            what = f"protocol {name} has no clip in its {part} part"
            first = name == next(iter(facts.protocols)) and name not in facts.published  # a user's own, and the default
            do = "give a test part that leaves clips on both sides, or none at all" if first else ""
            found.append(Finding("protocols", "fault" if first else "note", what, do))
            continue
        unseen = [facts.classes[i] for i in np.setdiff1d(facts.y[test], facts.y[~test])]
        if unseen:
            what = f"protocol {name}: {len(unseen)} classes are tested and never trained: {', '.join(unseen[:5])}"
            found.append(Finding("protocols", "note", what))
        found += _shared_ids(facts, name, test)
    return found


def _shared_ids(facts: Facts, name: str, test: NDArray[np.bool_]) -> list[Finding]:
    """A split by person, camera or setup that leaves one of them on both sides."""
    key = next((ids for word, ids in _SPLIT_IDS.items() if re.search(word, name) and ids in facts.ids), None)
    if key is None:
        return []
    both = np.intersect1d(facts.ids[key][test], facts.ids[key][~test])
    if not len(both):
        return []
    listed = ", ".join(str(int(i)) for i in both[:5])
    what = f"protocol {name}: {len(both)} {key}s are in the train and in the test part: {listed}"
    return [Finding("overlap", "fault", what, f"split by whole {key}s, or give the protocol another name")]
