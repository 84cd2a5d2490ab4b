"""`prepare`: any known source to a set on disk, with a report of what became of every file."""

import dataclasses
import os
import shlex
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

import hiclr
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.containers import is_folder
from hiclr.datasets.files import open_folder
from hiclr.datasets.preprocessing import RELEASED, RELEASED_CODE, Preprocess
from hiclr.datasets.readers.ntu import PUBLISHED
from hiclr.datasets.readers.plan import Found, Options, Plan, Skipped, check_options, common_ids, number_labels
from hiclr.datasets.readers.tree import Tree, open_tree
from hiclr.datasets.reading import (
    check_layout,
    check_set_options,
    check_synthetic_options,
    choose_format,
    find_clips,
    open_source_set,
    read_options,
)
from hiclr.datasets.rows import ChangedRows, Positions, StoredRows, read_rows
from hiclr.datasets.saving import check_target, save_set
from hiclr.datasets.scratch import Scratch, half_made
from hiclr.datasets.skipped import list_path, shortened, write_list
from hiclr.datasets.spool import Record, Spool, SpooledRows, fingerprint
from hiclr.datasets.synthetic import synthetic
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["Conversion", "convert", "read_raw", "report_text"]

Steps = Literal["released", "released-code", "none"]
_STEPS: dict[str, Preprocess] = {"released": RELEASED, "released-code": RELEASED_CODE}
_LISTED = 20  # notes on single clips that are shown
_MOST_RAW = 10**9  # bytes of padded positions that are taken from raw files without `prepare`
_ASKED = 16  # clips whose lengths tell how large a set is, before all are read


@dataclass(frozen=True)
class Conversion:
    """A set made of raw files, and what there is to say about it.

    Args:
        clips: the set.
        skipped: what did not become a clip, and why.
        notes: what a user should know of the whole.
        dropped: (clip, what was dropped or mended in it), in words.
        published: protocol -> (train, test) clips as published.
    """

    clips: SkeletonSet
    skipped: tuple[Skipped, ...] = ()
    notes: tuple[str, ...] = ()
    dropped: tuple[tuple[str, str], ...] = ()
    published: Mapping[str, tuple[int, int]] = field(default_factory=lambda: PUBLISHED)

    def all_notes(self) -> list[str]:
        """The notes, those on single clips compact where they are many."""
        listed = [f"{clip}: {what}" for clip, what in self.dropped[:_LISTED]]
        if len(self.dropped) > _LISTED:
            clips = len({clip for clip, _ in self.dropped})
            many = f"{len(self.dropped):,} notes of this kind on {counted(clips, 'clip')}"
            listed.append(f"... {many}, {_LISTED} are shown.")
        return [*self.notes, *listed]


def convert(
    source: Path | str,
    out: Path | str,
    *,
    format: str | None = None,  # noqa: A002 - the contract's word
    frames: int | None = None,
    layout: str | None = None,
    pattern: str | None = None,
    labels: str | None = None,
    units: str = "auto",
    preprocess: Steps = "none",
    workers: int | None = None,
    progress: bool = False,
) -> dict[str, Any]:
    """Convert a source to a set: PATH.npz, or a folder of `.npy`.

    Clips pass through a little memory, whatever their number and length. Interrupted or killed and called again with
    the same arguments, it goes on where it stopped: what was read of raw files lies in OUT.partial until the set is
    written. A prepared set as source is copied from its beginning again; OUT is the old one until the new is whole.

    Args:
        source: raw files, a prepared set, or the word "synthetic".
        out: where to.
        format: name of a format; found by looking when left out.
        frames: resample the valid frames to this many.
        layout: the name that the joints must have, or a layout file (see `layout_files.read_layout`); it also names
            the joints of a file that does not.
        pattern: a regular expression on a clip's name, with a group "class" and, where there are any, "subject",
            "camera", "style"; for formats whose files do not say it.
        labels: a file of labels that does not lie beside the data.
        units: of the positions in files that do not say it: "m", "cm", "mm", "in", or the metres in one unit as text;
            "auto": guessed from the bones of BVH files, metres in all others, and said. Metres come out.
        preprocess: "released" (centred, turned, 50 frames), "released-code" (the same with the published code's own
            arithmetic) or "none" (as in the file).
        workers: processes that read; one for each core when left out.
        progress: a bar on stderr.

    Returns:
        Plain values: "out", "format", "clips", "classes", "frames", "layout", "preprocessing", "protocols" {name:
        {"train", "test", "published"}}, "skipped" [{"file", "reason"}], "skipped_list" (a text file with all of them,
        where the text of the report shows some only; or None), "dropped" [{"clip", "what"}], "notes".

    Raises:
        InputError: nothing there or nothing known; `frames` below 1; `out` would replace what is no set; no room on
            the disk. An option would do nothing, since the files say it themselves. A clip that is at fault is skipped
            and named instead.
    """
    options, steps = read_options(layout, pattern, labels, units), _steps(preprocess, frames)
    check_target(Path(out))  # before hours of reading
    if str(source) != "synthetic" and os.path.realpath(out) == os.path.realpath(source):
        raise InputError(f"{out} is the source itself; it would be overwritten. Give another name to --out.")
    if str(source) == "synthetic":
        check_synthetic_options(options, format)
        kind, made = "synthetic", Conversion(_changed(synthetic(), steps))
    elif not (path := Path(source)).exists():
        raise InputError(f"There is no {path}.")
    elif is_folder(path) or path.suffix == ".npz":
        check_set_options(options, format, path)
        kind, made = "set", _of_set(path, options, steps)
    else:
        return _convert_raw(path, Path(out), format, options, steps, workers, progress)
    check_layout(made.clips.layout, options, str(source))
    seen = _Seen(made.clips.x)
    _save(dataclasses.replace(made.clips, x=seen), Path(out), progress)
    return _report(dataclasses.replace(made, notes=(*made.notes, *_nobody(made.clips, seen.empty))), out, kind)


def _of_set(path: Path, options: Options, steps: Preprocess | None) -> Conversion:
    """A prepared set, changed as it is read."""
    opened = open_source_set(path, options, check=False)  # checked as they are written, when they are metres
    return Conversion(_changed(opened.clips, steps), notes=(*opened.notes, *opened.faults))


def read_raw(path: Path, options: Options | None = None, format: str | None = None) -> Conversion:  # noqa: A002
    """A set from raw files, as in the files: for a look, or a set so small that reading it each time costs little.

    Clips pass through a spool to a file that is mapped and has no name any more: its room on the disk is free again
    when the set is let go, however the process ends.

    Raises:
        InputError: no known format, no clip, or more than 1 GB of positions; with the command that prepares them once.
    """
    tree = open_tree(path)
    plan = find_clips(choose_format(tree, format), tree, options or Options())
    _check_plan(plan, path)
    _check_size(_expected_shape(plan), path)
    # where a mapped file cannot be removed it stays behind for the system to clear away
    with tempfile.TemporaryDirectory(prefix="hiclr-", ignore_cleanup_errors=True) as scratch:
        spool = Spool(Path(scratch) / "spool", plan, None, durable=False)
        spool.fill()
        made = _made(spool, path.name)
        _check_size(made.clips.x.shape, path)
        save_set(made.clips, Path(scratch) / "set", scratch=spool.folder)
        spool.close(remove=True)
        mapped = open_folder(Path(scratch) / "set", check=False).clips
    return dataclasses.replace(made, clips=dataclasses.replace(made.clips, x=mapped.x))


def _expected_shape(plan: Plan) -> tuple[int, ...]:
    """Of the padded positions, at least, if all clips are as the few that are asked: before minutes of reading."""
    asked = plan.found[:: max(1, len(plan.found) // _ASKED)][:_ASKED]
    lengths = []
    for found in asked:
        with suppress(Exception):  # whatever is wrong with it is said when all is read
            lengths.append(plan.read(found).x.shape[1])
    count = len(plan.found) * len(lengths) // len(asked)
    return count, 3, max(lengths, default=0), plan.layout.num_joints, plan.persons


def _check_size(shape: tuple[int, ...], path: Path) -> None:
    size = 4 * int(np.prod(shape, dtype=np.int64))
    if size <= _MOST_RAW:
        return
    source = path if path.name not in ("", "..") else path.resolve()
    out = source.with_name(f"{source.stem if source.is_file() else source.name}-set")
    raise InputError(
        f"{path} holds about {counted(shape[0], 'clip')} of up to {counted(shape[2], 'frame')}, {size / 1e9:,.1f} GB "
        f"of positions: too much to be read from raw files each time (at most {_MOST_RAW / 1e9:g} GB). Prepare it once "
        f"and give that set instead: hiclr prepare {shlex.quote(str(path))} --out {shlex.quote(str(out))}"
    )


def _save(clips: SkeletonSet, out: Path, progress: bool) -> None:
    """Write a set that is not read from a spool: killed and started again, it begins anew and leaves nothing behind."""
    try:
        scratch = Scratch(half_made(out))
    except OSError as error:
        raise _unwritable(out, error) from error
    try:
        save_set(clips, out, scratch=scratch.folder, progress=progress)
    finally:
        scratch.close(remove=not (scratch.folder / "old").exists())  # the set that was to be replaced is never lost


def _unwritable(out: Path, error: OSError) -> InputError:
    return InputError(f"{out} cannot be written: {error.strerror or error}.")


def _convert_raw(
    path: Path,
    out: Path,
    name: str | None,
    options: Options,
    steps: Preprocess | None,
    workers: int | None,
    progress: bool,
) -> dict[str, Any]:
    partial_folder = half_made(out)
    tree = _without(open_tree(path), (out, partial_folder, list_path(out)))
    kind = choose_format(tree, name)
    check_options(options, kind.known, f"files of the format {kind.name}")
    plan = find_clips(kind, tree, options)
    _check_plan(plan, path)
    check_layout(plan.layout, options, str(path))
    settings = f"{hiclr.__version__} {kind.name} {options} {steps}"
    try:
        spool = Spool(partial_folder, plan, steps, fingerprint(plan, _stamps(tree, options), settings))
    except OSError as error:
        raise _unwritable(out, error) from error
    note = _went_on(spool)
    try:
        spool.fill(workers, progress)
        made = _made(spool, path.name)
        with spool.so_far():
            save_set(made.clips, out, scratch=partial_folder, progress=progress)
    except BaseException as error:
        spool.close(remove=isinstance(error, _NoClipError))
        raise
    spool.close(remove=True)
    return _report(dataclasses.replace(made, notes=(*note, *made.notes)), out, kind.name)


def _went_on(spool: Spool) -> tuple[str, ...]:
    if spool.discarded:
        return (f"{spool.folder.name} held clips of another source or other settings: everything was read anew.",)
    done = len(spool.plan.found) - spool.clips_in(spool.missing())
    return (f"Went on: {done:,} of {len(spool.plan.found):,} clips had been read before.",) if done else ()


class _NoClipError(InputError):
    """Nothing was converted and trying again would not help."""


def _made(spool: Spool, source: str) -> Conversion:
    """The set that a filled spool holds; its positions stay there."""
    plan = spool.plan
    kept: list[tuple[Found, Record, int]] = []
    skipped, dropped = list(plan.skipped), []
    for found, record, segment in spool.records():
        if record.reason:
            skipped.append(Skipped(found.called, record.reason))
            continue
        kept.append((found, record, segment))
        dropped += [(found.called, note) for note in record.notes]
    if not kept:
        reasons = "; ".join(f"{s.file}: {s.reason}" for s in skipped[:10])
        raise _NoClipError(f"No clip of {source} could be converted. {reasons}")
    clips = [found for found, _, _ in kept]
    y, classes = number_labels(clips, plan.found, plan.classes)
    fps, said = _common_rate([record.fps for _, record, _ in kept])
    made = SkeletonSet.from_arrays(
        SpooledRows(spool, [(record, segment) for _, record, segment in kept]),
        y,
        layout=plan.layout,
        classes=classes,
        names=[clip.name for clip in clips],
        ids=common_ids(clips),
        length=np.array([record.length for _, record, _ in kept], dtype=np.int64),
        protocols=plan.protocols(clips),
        source=source,
        preprocessing=() if spool.steps is None else spool.steps.steps(plan.layout),
        fps=fps if spool.steps is None or spool.steps.frames is None else None,
    )
    notes = (*plan.notes, *said, *_beside_published(made, plan.published))
    return Conversion(made, tuple(skipped), notes, tuple(dropped), {**PUBLISHED, **plan.published})


def _common_rate(rates: Sequence[float | None]) -> tuple[float | None, list[str]]:
    """(frames a second of all clips, what to say): none where one has none or another one, by more than 1 %."""
    known = [rate for rate in rates if rate is not None]
    if not known:
        return None, []
    middle = float(np.median(known))
    if len(known) == len(rates) and max(abs(rate - middle) for rate in known) <= 0.01 * middle:
        return middle, []
    unknown = f", {len(rates) - len(known):,} clips do not say it" if len(known) < len(rates) else ""
    return None, [f"clips have {min(known):g} to {max(known):g} frames a second{unknown}: the set has no rate"]


def _beside_published(clips: SkeletonSet, published: Mapping[str, tuple[int, int]]) -> list[str]:
    """A line for each protocol with fewer clips than were published."""
    notes = []
    for name, test in clips.protocols.items():
        here, known = len(test), sum(published.get(name, (0, 0)))
        if here < 0.99 * known:
            notes.append(
                f"{name}: {here:,} of the {known:,} published clips are here ({here / known:.1%}). "
                "Results on a part do not compare with published ones."
            )
    return notes


def _without(tree: Tree, paths: tuple[Path, ...]) -> Tree:
    """A folder without what is written into it: a set beside its own source."""
    if not tree.path.is_dir():
        return tree
    source, inside = tree.path.resolve(), []
    for path in paths:
        whole = path.parent.resolve() / path.name
        if whole != source and whole.is_relative_to(source):
            inside.append(whole.relative_to(source).as_posix())
    names = (n for n in tree.names if not any(n == out or n.startswith(f"{out}/") for out in inside))
    return dataclasses.replace(tree, names=tuple(names)) if inside else tree


def _stamps(tree: Tree, options: Options) -> Iterator[tuple[str, int, int]]:
    """(name, bytes, time of change) of every file that a conversion hangs on."""
    files = [tree.path] if tree.zipped or not tree.path.is_dir() else [tree.path / name for name in tree.names]
    yield from ((name, 0, 0) for name in tree.names)
    for path in [*files, *([] if options.labels is None else [Path(options.labels)])]:
        try:
            there = path.stat()
        except OSError:
            yield path.name, -1, -1  # its reader says what is wrong with it
        else:
            yield os.fspath(path), there.st_size, there.st_mtime_ns


def _check_plan(plan: Plan, source: Path) -> None:
    if not plan.found:
        reasons = "; ".join(f"{s.file}: {s.reason}" for s in plan.skipped[:10])
        raise InputError(f"No clip of {source.name} could be converted. {reasons}")
    seen = set[str]()
    for clip in plan.found:
        if clip.name in seen:
            raise InputError(f"{source.name} has two clips of the name {clip.name}. Rename or drop one of them.")
        seen.add(clip.name)


def _steps(preprocess: Steps, frames: int | None) -> Preprocess | None:
    if preprocess in _STEPS:
        steps = _STEPS[preprocess]
        return steps if frames is None else dataclasses.replace(steps, frames=frames)
    return None if frames is None else Preprocess(frames, "none", "none")


def _changed(clips: SkeletonSet, steps: Preprocess | None) -> SkeletonSet:
    """A set with preprocessing that is done when its positions are read."""
    if steps is None:
        return clips
    frames = clips.x.shape[2] if steps.frames is None else steps.frames
    x = ChangedRows(clips.x, partial(_apply, steps, clips.layout), frames)
    done = (*clips.preprocessing, *(step for step in steps.steps(clips.layout) if step not in clips.preprocessing))
    fps = clips.fps if steps.frames is None else None  # each clip was stretched by a factor of its own
    return dataclasses.replace(clips, x=x, preprocessing=done, fps=fps)


class _Seen(StoredRows):
    """Rows as they are; which of them hold nobody is remembered when they are read."""

    def __init__(self, rows: Positions) -> None:
        super().__init__(rows.shape, rows.dtype)
        self.rows, self.empty = rows, set[int]()

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        part = slice(start, stop)
        x = read_rows(self.rows, part) if isinstance(self.rows, np.memmap) else np.asarray(self.rows[part])
        self.empty.update((start + np.flatnonzero(~x.reshape(len(x), -1).any(axis=1))).tolist())
        return x


def _nobody(clips: SkeletonSet, empty: set[int]) -> tuple[str, ...]:
    if not empty:
        return ()
    names = [clips.names[clip] for clip in sorted(empty)[:_LISTED]]
    more = f" and {len(empty) - len(names):,} more" if len(empty) > len(names) else ""
    return (f"nobody is in {counted(len(empty), 'clip')}, all frames are zero: {', '.join(names)}{more}",)


def _apply(steps: Preprocess, layout: Layout, x: NDArray[np.float32]) -> NDArray[np.float32]:
    return steps.apply(torch.from_numpy(x), layout).numpy()


def _report(made: Conversion, out: Path | str, kind: str) -> dict[str, Any]:
    clips, listed = made.clips, write_list(made.skipped, Path(out))
    return {
        "out": str(out),
        "format": kind,
        "clips": len(clips),
        "classes": len(np.unique(clips.y)),
        "frames": clips.x.shape[2],
        "layout": clips.layout.name,
        "preprocessing": list(clips.preprocessing),
        "protocols": _counts(made),
        "skipped": [{"file": skipped.file, "reason": skipped.reason} for skipped in made.skipped],
        "skipped_list": None if listed is None else str(listed),
        "dropped": [{"clip": clip, "what": what} for clip, what in made.dropped],
        "notes": made.all_notes(),
    }


def _counts(made: Conversion) -> dict[str, dict[str, Any]]:
    counts: dict[str, dict[str, Any]] = {}
    for name, test in made.clips.protocols.items():
        counts[name] = {"train": int((~test).sum()), "test": int(test.sum())}
        if name in made.published:
            train, tested = made.published[name]
            counts[name]["published"] = {"train": train, "test": tested}
    return counts


def report_text(report: dict[str, Any]) -> str:
    """The report of `convert` for people; of many skipped files some of each kind, and where all are listed."""
    sizes = ("clips", "clip", "clips"), ("classes", "class", "classes"), ("frames", "frame", "frames")
    lines = [f"{', '.join(counted(report[key], one, more) for key, one, more in sizes)}: {report['out']}"]
    for name, count in report["protocols"].items():
        published = count.get("published")
        beside = f" (published: {published['train']:,} / {published['test']:,})" if published else ""
        lines.append(f"protocol {name}: {count['train']:,} train / {count['test']:,} test{beside}")
    shown, short = shortened([Skipped(s["file"], s["reason"]) for s in report["skipped"]])
    lines += [line if line.startswith("...") else f"skipped {line}" for line in shown]
    if short:
        lines.append(f"{len(report['skipped']):,} are skipped in all; the whole list is {report['skipped_list']}")
    return "\n".join([*lines, *report["notes"]])
