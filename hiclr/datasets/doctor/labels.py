"""Labels, lengths and splits: what the numbers beside the positions say."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.doctor.bodies import Facts
from hiclr.datasets.doctor.finding import Finding, Place, grouped
from hiclr.datasets.readers.ntu import NAME
from hiclr.datasets.rows import Ids
from hiclr.datasets.wording import counted, shown

__all__ = ["action_findings", "class_findings", "label_findings", "length_findings", "protocol_findings"]

_UNEVEN = 10  # times: the largest class beside the smallest; the published sets stay below 3
# Against the median of its class a clip may take a few times as long (5 times in MSR-Action3D, where one waits); the
# slip in UTKinect's list of intervals makes 17 times.
_LONG = 8
_FEW = 5  # clips in a class from which its median means something
_SPLIT_IDS = {"sub": "subject", "view": "camera", "camera": "camera", "setup": "setup", "xset": "setup"}


def label_findings(labels: Sequence[Any], names: Sequence[str] | None = None) -> list[Finding]:
    """Range, gaps and balance of the labels of a file without positions.

    Args:
        labels: one for each clip, as they were found: whole numbers, words, or what is neither.
        names: of the clips, where they are known.
    """
    if not labels:
        return [Finding("labels", "fault", "there are no labels", "give one for each clip")]
    words = sum(isinstance(label, str) for label in labels)
    if words == len(labels):
        classes, y = np.unique(np.array(labels), return_inverse=True)
        return class_findings(np.asarray(y, dtype=np.int64), classes.tolist())
    if words:
        what = f"words and others are mixed: {words:,} of {counted(len(labels), 'label')} words"
        return [Finding("labels", "fault", what, "give all as words, or all as whole numbers from 0")]
    high = 10 * len(labels) + 1000
    bad = [at for at, label in enumerate(labels) if type(label) is not int or not 0 <= label <= high]
    if not bad:
        return _number_findings(np.array(labels, dtype=np.int64))
    what = f"no whole number from 0 to {high:,} in {counted(len(bad), 'label')} of {len(labels):,}"
    called = names if names is not None and len(names) == len(labels) else [f"entry {at}" for at in range(len(labels))]
    places = (Place(called[at], seen=shown(labels[at])) for at in bad)
    return [grouped("labels", "fault", what, "labels count the classes: 0 to C-1", places)]


def _number_findings(y: NDArray[np.int64]) -> list[Finding]:
    low, high = int(y.min()), int(y.max())
    found = []
    if low == 1:
        what = f"labels start at 1 (1 to {high}, no label 0); a set without class names takes 1 for its first class"
        found.append(Finding("labels from 1", "note", what))
    names = [str(label) for label in range(low if low == 1 else 0, high + 1)]
    return found + class_findings(y - (low == 1), names)


def class_findings(y: NDArray[np.int64], classes: Sequence[str]) -> list[Finding]:
    """Classes without clips, and how even the rest are."""
    counts = np.bincount(y, minlength=len(classes))
    found = []
    unused = np.flatnonzero(counts == 0).tolist()
    if unused:
        what = f"no clip in {len(unused):,} of {counted(len(classes), 'class', 'classes')}"
        places = (Place(classes[i]) for i in unused)
        found.append(grouped("label gaps", "note", what, "", places))
    used = np.flatnonzero(counts)
    if len(used) == 1:
        do = "nothing can be told apart: look whether the labels were read right"
        found.append(Finding("one class", "note", f"all clips are of one class, {classes[int(used[0])]}", do))
    elif len(used) and counts.max() >= _UNEVEN * counts[used].min():
        small, large = int(used[counts[used].argmin()]), int(counts.argmax())
        what = f"classes are uneven: {classes[large]} has {counted(int(counts[large]), 'clip')}, "
        what += f"{classes[small]} has {counted(int(counts[small]), 'clip')}"
        found.append(Finding("class balance", "note", what, "read accuracies per class too"))
    return found


def action_findings(facts: Facts) -> list[Finding]:
    """NTU names say the action: clips of one action have one label."""
    actions = [m[5] if (m := NAME.search(name)) else "" for name in facts.names]
    labels: dict[str, Counter[int]] = {}
    for action, label in zip(actions, facts.y.tolist(), strict=True):
        labels.setdefault(action, Counter())[label] += 1
    labels.pop("", None)
    usual = {action: counts.most_common(1)[0][0] for action, counts in labels.items()}
    odd = [i for i, action in enumerate(actions) if action and facts.y[i] != usual[action]]
    if not odd:
        return []
    if 2 * len(odd) > len(facts.names):
        return [Finding("mislabelled", "note", "the labels are not the actions that the names say")]
    what = f"{counted(len(odd), 'clip')} with another label than most of the action that the name says"
    places = (
        Place(facts.names[i], seen=f"label {facts.y[i]}, most of A{actions[i]} have {usual[actions[i]]}") for i in odd
    )
    return [grouped("mislabelled", "note", what, "correct them, unless the names are wrong", places)]


def length_findings(facts: Facts) -> list[Finding]:
    """Clips that are longer than their array, far longer than their class, or of one frame."""
    if facts.length is None:
        return []
    return [*_longer(facts, facts.length), *_absurd(facts, facts.length), *_single(facts, facts.length)]


def _longer(facts: Facts, length: Ids) -> list[Finding]:
    if facts.frames is None or facts.resampled:
        return []
    longer = np.flatnonzero(length > facts.frames).tolist()
    if not longer:
        return []
    clips = counted(len(longer), "clip")
    what = f"`length` is above the {facts.frames} frames of x in {clips}: read as the frames before resampling"
    places = (Place(facts.names[i], seen=counted(int(length[i]), "frame")) for i in longer)
    return [grouped("length", "note", what, "", places)]


def _absurd(facts: Facts, length: Ids) -> list[Finding]:
    usual = np.zeros(len(length))
    for label in np.unique(facts.y):
        own = facts.y == label
        usual[own] = np.median(length[own]) if own.sum() >= _FEW else np.inf
    absurd = np.flatnonzero(length >= _LONG * usual).tolist()
    if not absurd:
        return []
    what = f"at least {_LONG} times as long as the class usually is: {counted(len(absurd), 'clip')}"
    places = (
        Place(facts.names[i], seen=f"{counted(int(length[i]), 'frame')}, {facts.classes[facts.y[i]]} has {usual[i]:g}")
        for i in absurd
    )
    do = "look at the interval in the list it was cut by: its end may belong to another action"
    return [grouped("absurd length", "note", what, do, places)]


def _single(facts: Facts, length: Ids) -> list[Finding]:
    single = np.flatnonzero(length == 1).tolist()
    if not single:
        return []
    what = f"a single frame, so no motion, in {counted(len(single), 'clip')}"
    places = (Place(facts.names[i]) for i in single)
    return [grouped("one frame", "note", what, "leave them out where motion matters", places)]


def protocol_findings(facts: Facts) -> list[Finding]:
    """Empty parts, classes that are tested and never trained, ids that train and test."""
    if not facts.protocols:
        return [Finding("protocols", "note", "there is no train and test part: good to pretrain on, not to evaluate")]
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
            classes = counted(len(unseen), "class", "classes")
            what = f"protocol {name}: {classes} tested and never trained"
            found.append(grouped("protocols", "note", what, "", map(Place, unseen)))
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
    what = f"protocol {name}: {counted(len(both), key)} both in the train and in the test part"
    do = f"split by whole {key}s, or give the protocol another name"
    return [grouped("overlap", "fault", what, do, (Place(f"{key} {int(i)}") for i in both))]
