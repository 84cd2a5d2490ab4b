"""`doctor`: what is in a file or folder, and what is wrong with it."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.conversion import read_raw
from hiclr.datasets.files import Opened, check_positions, is_folder, open_folder, open_npz
from hiclr.datasets.synthetic import synthetic
from hiclr.errors import InputError

__all__ = ["diagnose", "diagnosis_text"]

_BLOCK = 512
_TALL = 10.0  # metres from the first joint: more is another unit


def diagnose(path: Path | str) -> dict[str, Any]:
    """Look at a set or at raw files.

    Returns:
        Plain values: "path", "ok" (nothing must be fixed), "summary" {label: text}, "faults" [{"where", "what",
        "do"}] that must be fixed, "notes" [text] that are good to know.
    """
    report: dict[str, Any] = {"path": str(path), "summary": {}, "faults": [], "notes": []}
    try:
        clips = _open(path, report)
        report["summary"] = clips.summary()
        _look(clips, report)
    except InputError as error:
        report["faults"].append({"where": str(path), "what": str(error), "do": "mend or leave out what is named"})
    report["ok"] = not report["faults"]
    return report


def _open(path: Path | str, report: dict[str, Any]) -> SkeletonSet:
    if str(path) == "synthetic":
        return synthetic()
    place = Path(path)
    if not place.exists():
        raise InputError(f"There is no {place}.")
    if is_folder(place):
        return _noted(open_folder(place), report)
    if place.suffix == ".npz":
        return _noted(open_npz(place), report)
    made = read_raw(place)
    report["faults"] += [
        {"where": skipped.file, "what": skipped.reason, "do": "download it again, or leave it out"}
        for skipped in made.skipped
        if not skipped.harmless
    ]
    report["notes"] += [f"{s.file} is left out: {s.reason}." for s in made.skipped if s.harmless]
    report["notes"] += made.all_notes()
    return made.clips


def _noted(opened: Opened, report: dict[str, Any]) -> SkeletonSet:
    report["notes"] += opened.notes
    where = opened.clips.source
    report["faults"] += [{"where": where, "what": fault, "do": "give the true lengths"} for fault in opened.faults]
    return opened.clips


def _look(clips: SkeletonSet, report: dict[str, Any]) -> None:
    check_positions(clips, clips.source)
    empty, frozen, far = [], [], []
    for start in range(0, len(clips), _BLOCK):
        x = np.asarray(clips.x[start : start + _BLOCK])
        first = x[:, :, :, :1]
        here = (x != 0).any(axis=(1, 2, 3, 4))
        empty += [clips.names[start + i] for i in np.flatnonzero(~here)]
        still = here & (np.ptp(x, axis=2).max(axis=(1, 2, 3)) == 0)
        frozen += [clips.names[start + i] for i in np.flatnonzero(still)]
        size = np.where((x != 0).any(axis=1, keepdims=True), np.abs(x - first), 0).max(axis=(1, 2, 3, 4))
        far += [clips.names[start + i] for i in np.flatnonzero(size > _TALL)]
    if empty:
        _fault(report, empty, "nobody is there in any frame", "leave the clips out")
    if far:
        _fault(report, far, "a body is over 10 m large: millimetres?", "divide the positions by 1000, or leave out")
    if frozen:
        report["notes"].append(f"{len(frozen)} clips never move: {', '.join(frozen[:5])}.")
    _look_at_lengths(clips, report)
    _look_for_twins(clips, report)
    counts = np.bincount(clips.y, minlength=clips.num_classes)
    unused = [clips.classes[i] for i in np.flatnonzero(counts == 0)]
    if unused:
        report["notes"].append(f"{len(unused)} of {clips.num_classes} classes have no clip: {', '.join(unused[:5])}.")
    if not clips.protocols:
        report["notes"].append("The set has no train and test part: it can be pretrained on, not evaluated.")
    for name, test in clips.protocols.items():
        unseen = [clips.classes[i] for i in np.setdiff1d(clips.y[test], clips.y[~test])]
        if test.all() or not test.any():
            report["notes"].append(f"Protocol {name} has no clip in its {'train' if test.all() else 'test'} part.")
        elif unseen:
            what = f"{len(unseen)} classes are tested and never trained: {', '.join(unseen[:5])}."
            report["notes"].append(f"Protocol {name}: {what}")


def _look_at_lengths(clips: SkeletonSet, report: dict[str, Any]) -> None:
    frames = clips.x.shape[2]
    longer = [] if clips.length is None else np.flatnonzero(clips.length > frames).tolist()
    resampled = any(step.startswith("resample") for step in clips.preprocessing)
    if longer and not resampled:
        listed = ", ".join(clips.names[i] for i in longer[:5])
        report["notes"].append(
            f"{len(longer)} clips say more than the {frames} frames that are there ({listed}): read as their frames "
            "before resampling."
        )


def _look_for_twins(clips: SkeletonSet, report: dict[str, Any]) -> None:
    """Clips with the very same positions; worst where one trains and the other tests."""
    first: dict[bytes, int] = {}
    twins: list[tuple[int, int]] = []
    for start in range(0, len(clips), _BLOCK):
        block = np.ascontiguousarray(clips.x[start : start + _BLOCK])
        for row, clip in enumerate(block, start):
            if clip.any():  # empty clips are a fault of their own
                one = first.setdefault(hashlib.blake2b(clip.data, digest_size=16).digest(), row)
                twins += [(one, row)] if one != row else []
    if not twins:
        return
    pairs = ", ".join(f"{clips.names[a]} = {clips.names[b]}" for a, b in twins[:5])
    report["notes"].append(f"Positions that occur more than once, {len(twins)} times: {pairs}.")
    for name, test in clips.protocols.items():
        across = [(a, b) for a, b in twins if test[a] != test[b]]
        if across:
            names = [f"{clips.names[a]} = {clips.names[b]}" for a, b in across]
            _fault(report, names, f"in the train and in the test part of {name}", "leave one of each out")


def _fault(report: dict[str, Any], names: list[str], what: str, do: str) -> None:
    report["faults"].append({"where": ", ".join(names[:10]), "what": f"{len(names)} found: {what}", "do": do})


def diagnosis_text(report: dict[str, Any]) -> str:
    """The report of `diagnose` for people."""
    lines = [f"{label}: {text}" for label, text in report["summary"].items()]
    lines += [f"FAULT {fault['where']}: {fault['what']} ({fault['do']})" for fault in report["faults"]]
    lines += [f"note: {note}" for note in report["notes"]]
    return "\n".join([*lines, "Nothing must be fixed." if report["ok"] else "Something must be fixed."])
