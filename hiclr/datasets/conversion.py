"""`prepare`: any known source to a set on disk, with a report of what became of every file."""

import dataclasses
from pathlib import Path
from typing import Any, Literal

import numpy as np

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.files import check_target, is_folder, open_folder, open_npz, save_set
from hiclr.datasets.preprocessing import RELEASED, Preprocess
from hiclr.datasets.readers import FORMATS, Conversion
from hiclr.datasets.readers.ntu import PUBLISHED
from hiclr.datasets.synthetic import synthetic
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS

__all__ = ["convert", "report_text"]

Steps = Literal["released", "none"]
_BLOCK = 256


def convert(
    source: Path | str,
    out: Path | str,
    *,
    format: str | None = None,  # noqa: A002 - the contract's word
    frames: int | None = None,
    layout: str | None = None,
    preprocess: Steps = "none",
    progress: bool = False,
) -> dict[str, Any]:
    """Convert a source to a set: PATH.npz, or a folder of `.npy`.

    Args:
        source: raw files, a prepared set, or the word "synthetic".
        out: where to.
        format: name of a format; found by looking when left out.
        frames: resample the valid frames to this many.
        layout: the name that the joints must have; it also names the joints of a file that does not.
        preprocess: "released" (centred, turned, 50 frames) or "none" (as in the file).
        progress: a bar on stderr.

    Returns:
        Plain values: "out", "format", "clips", "classes", "frames", "protocols" {name: {"train", "test",
        "published"}}, "skipped" [{"file", "reason"}], "notes".

    Raises:
        InputError: nothing there or nothing known; `out` would replace what is no set;
            a file that is at fault is skipped and named instead.
    """
    if layout is not None and layout not in LAYOUTS:
        raise InputError(f"layout {layout!r} is not known (known: {', '.join(LAYOUTS)}).")
    check_target(Path(out))  # before hours of reading
    steps = _steps(preprocess, frames)
    name, made = _read(source, format, steps, layout, progress)
    clips = made.clips
    if layout is not None and layout != clips.layout.name:
        raise InputError(f"{source} has the joints of {clips.layout.name!r}, not of {layout!r}.")
    save_set(clips, out)
    return {
        "out": str(out),
        "format": name,
        "clips": len(clips),
        "classes": len(np.unique(clips.y)),
        "frames": clips.x.shape[2],
        "layout": clips.layout.name,
        "preprocessing": list(clips.preprocessing),
        "protocols": _counts(clips),
        "skipped": [{"file": skipped.file, "reason": skipped.reason} for skipped in made.skipped],
        "notes": list(made.notes),
    }


def _steps(preprocess: Steps, frames: int | None) -> Preprocess | None:
    if preprocess == "released":
        return RELEASED if frames is None else dataclasses.replace(RELEASED, frames=frames)
    return None if frames is None else Preprocess(frames, "none", "none")


def _read(
    source: Path | str, name: str | None, steps: Preprocess | None, layout: str | None, progress: bool
) -> tuple[str, Conversion]:
    if str(source) == "synthetic":
        return "synthetic", Conversion(_apply(synthetic(), steps), (), ())
    path = Path(source)
    if not path.exists():
        raise InputError(f"There is no {path}.")
    if is_folder(path) or path.suffix == ".npz":
        given = None if layout is None else LAYOUTS[layout]
        opened = open_folder(path, given) if path.is_dir() else open_npz(path, given)
        return "set", Conversion(_apply(opened.clips, steps), (), (*opened.notes, *opened.faults))
    for kind in FORMATS:
        if kind.name == name or (name is None and kind.detects(path)):
            return kind.name, kind.read(path, steps, progress)
    known = ", ".join(kind.name for kind in FORMATS)
    raise InputError(f"{path} is of no known format (asked for: {name or 'any'}; known: npz, folder of npy, {known}).")


def _apply(clips: SkeletonSet, steps: Preprocess | None) -> SkeletonSet:
    if steps is None:
        return clips
    frames = clips.x.shape[2] if steps.frames is None else steps.frames
    x = np.empty((*clips.x.shape[:2], frames, *clips.x.shape[3:]), dtype=np.float32)
    for start in range(0, len(clips), _BLOCK):
        block = slice(start, start + _BLOCK)
        x[block] = steps.apply(clips.clips(block), clips.layout).numpy()
    done = (*clips.preprocessing, *(step for step in steps.steps(clips.layout) if step not in clips.preprocessing))
    return dataclasses.replace(clips, x=x, preprocessing=done)


def _counts(clips: SkeletonSet) -> dict[str, dict[str, Any]]:
    counts: dict[str, dict[str, Any]] = {}
    for name, test in clips.protocols.items():
        counts[name] = {"train": int((~test).sum()), "test": int(test.sum())}
        if name in PUBLISHED:
            counts[name]["published"] = {"train": PUBLISHED[name][0], "test": PUBLISHED[name][1]}
    return counts


def report_text(report: dict[str, Any]) -> str:
    """The report of `convert` for people."""
    lines = [f"{report['clips']:,} clips, {report['classes']} classes, {report['frames']} frames: {report['out']}"]
    for name, count in report["protocols"].items():
        published = count.get("published")
        beside = f" (published: {published['train']:,} / {published['test']:,})" if published else ""
        lines.append(f"protocol {name}: {count['train']:,} train / {count['test']:,} test{beside}")
    lines += [f"skipped {s['file']}: {s['reason']}" for s in report["skipped"]]
    return "\n".join([*lines, *report["notes"]])
