"""Sets to disk: as an interchange npz, or as a folder of `.npy` that is mapped when opened."""

import json
import os
import shutil
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.containers import is_folder
from hiclr.datasets.keys import IDS, PER_ID, PER_PROTOCOL, check_files, file_of
from hiclr.datasets.positions import checked
from hiclr.datasets.scratch import Scratch, half_made
from hiclr.datasets.wording import counted
from hiclr.errors import InputError

__all__ = ["check_target", "clear_leftovers", "save_set"]

Arrays = Mapping[str, NDArray[Any]]

_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in an npz: the same set has the same bytes on another day


def save_set(clips: SkeletonSet, path: Path | str, *, scratch: Path | None = None, progress: bool = False) -> None:
    """Write a set: one npz when the name ends in .npz, otherwise a folder of `.npy` that is mapped when opened.

    Positions pass through block by block. An old set of that name is replaced in the end and at once; until then it
    is untouched. What a process that was killed has left of it is removed.

    Args:
        clips: the set; its `x` may be `StoredRows`.
        path: where to.
        scratch: a folder on the same disk for what is half written; one beside the target when left out.
        progress: a bar on stderr.

    Raises:
        InputError: something else than a set has that name, a position is none, a protocol has a name that cannot be
            stored, the disk has no room, or another process writes to that name.
    """
    target = Path(path)
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_room(clips, target.parent)
    if scratch is not None:
        _write(clips, target, scratch, progress)
        return
    beside = Scratch(half_made(target, hidden=True))
    try:
        _write(clips, target, beside.folder, progress)
    finally:
        _put_back(target, beside.folder)
        beside.close(remove=True)


def clear_leftovers(path: Path) -> None:
    """What a `save_set` to this path that was killed has left beside it is removed; a living one is left alone."""
    folder = half_made(path, hidden=True)
    if not folder.is_dir():
        return
    # another process writes to it, it is not ours, or nothing may be changed here
    with suppress(InputError, OSError, RuntimeError):
        beside = Scratch(folder, wait=0)
        _put_back(path, folder)
        beside.close(remove=True)


def _put_back(target: Path, scratch: Path) -> None:
    """The old set has its name again where a process was ended before the new one took it."""
    if (scratch / "old").exists() and not target.exists():
        (scratch / "old").replace(target)


def _check_room(clips: SkeletonSet, folder: Path) -> None:
    wanted, free = 4 * int(np.prod(clips.x.shape, dtype=np.int64)), shutil.disk_usage(folder).free
    if wanted > free:
        raise InputError(
            f"The set takes {wanted / 1e9:,.2f} GB, {free / 1e9:,.2f} GB are free in {folder}. Make room, or write "
            f"fewer frames (resampling to 50 frames takes {50 / clips.x.shape[2]:.0%} of it)."
        )


def _write(clips: SkeletonSet, target: Path, scratch: Path, progress: bool) -> None:
    """Everything is written in `scratch` and on the disk before it takes the target's name."""
    made, old = scratch / f"new{target.suffix if target.suffix == '.npz' else ''}", scratch / "old"
    small = _small_arrays(clips)
    check_files(["x", *small], folder=target.suffix != ".npz")
    _put_back(target, scratch)
    if target.suffix == ".npz":
        _write_npz(clips, small, made, progress)
        made.replace(target)
        return
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    with (made / "x.npy").open("wb") as file:
        fingerprint = _write_positions(clips, file, progress)
    for key, array in small.items():
        np.save(made / f"{file_of(key)}.npy", array, allow_pickle=False)
    meta = {"format": "hiclr", "fingerprint": fingerprint}
    (made / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    _sync(made)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.replace(old)
    try:
        made.replace(target)
    except OSError:
        _put_back(target, scratch)
        raise
    shutil.rmtree(old, ignore_errors=True)


def check_target(target: Path) -> None:
    """Refuse to replace what is no set: its files would be gone.

    Raises:
        InputError: naming what is in the way.
    """
    if target.suffix == ".npz":
        if target.is_dir():
            raise InputError(f"{target} is a folder, an npz is one file. Give another name.")
        return
    if target.is_file():
        raise InputError(
            f"{target} is a file and would be lost. Give a name that ends in .npz, or one for a new folder."
        )
    if not target.is_dir():
        return
    there = sorted(file.name for file in target.iterdir())
    ours = "meta.json" in there and is_folder(target)
    other = [name for name in there if not ours or not (name == "meta.json" or name.endswith(".npy"))]
    if other:
        raise InputError(
            f"{target} holds what is no prepared set and would be lost ({counted(len(other), 'entry', 'entries')}: "
            f"{', '.join(other[:5])}). Give the name of a new folder."
        )


def _sync(folder: Path) -> None:
    """All of a folder is on the disk before it takes its name."""
    for path in (*folder.iterdir(), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _write_positions(clips: SkeletonSet, file: IO[bytes], progress: bool) -> str:
    """x as npy, checked on its way; the fingerprint of the set."""
    header = {"descr": np.lib.format.dtype_to_descr(np.dtype(np.float32)), "fortran_order": False}
    np.lib.format.write_array_header_1_0(file, {**header, "shape": clips.x.shape})
    digest = clips.begin_fingerprint()
    with tqdm(total=len(clips), unit="clip", desc="writing", disable=not progress) as bar:
        for block in checked(clips, clips.source):
            content = np.ascontiguousarray(block).data.cast("B")
            digest.update(content)
            file.write(content)
            bar.update(len(block))
    return digest.hexdigest()


def _write_npz(clips: SkeletonSet, small: Arrays, made: Path, progress: bool) -> None:
    """Member by member, as `numpy.savez` does with arrays in memory."""
    with made.open("wb") as file:
        with zipfile.ZipFile(file, "w") as packed:
            with packed.open(zipfile.ZipInfo("x.npy", _EPOCH), "w", force_zip64=True) as member:
                _write_positions(clips, member, progress)
            for key, array in small.items():
                with packed.open(zipfile.ZipInfo(f"{file_of(key)}.npy", _EPOCH), "w", force_zip64=True) as member:
                    np.lib.format.write_array(member, np.asanyarray(array), allow_pickle=False)
        file.flush()
        os.fsync(file.fileno())


def _small_arrays(clips: SkeletonSet) -> dict[str, NDArray[Any]]:
    layout = clips.layout
    arrays: dict[str, Any] = {
        "y": clips.y,
        "names": np.array(clips.names, dtype=str),
        "classes": np.array(clips.classes, dtype=str),
        "layout": np.array(layout.name),
        "joint_names": np.array(layout.joints, dtype=str),
        "parents": np.array(layout.parents),
        "pairs": np.array(layout.pairs, dtype=np.int64).reshape(-1, 2),
        "centre": np.array(layout.centre),
        "shoulders": np.array(layout.shoulders or (), dtype=np.int64),
        "source": np.array(clips.source),
        "synthetic": np.array(clips.synthetic),
        "preprocessing": np.array(clips.preprocessing, dtype=str),
        **{key if key in IDS else f"{PER_ID}{key}": value for key, value in clips.ids.items()},
        **{f"{PER_PROTOCOL}{name}": np.asarray(mask, dtype=bool) for name, mask in clips.protocols.items()},
    }
    if clips.protocol is not None:
        arrays["protocols"] = np.array(list(clips.protocols), dtype=str)
        arrays["test"] = np.asarray(clips.protocols[clips.protocol], dtype=bool)
    if clips.length is not None:
        arrays["length"] = clips.length
    if clips.styles:
        arrays["styles"] = np.array(clips.styles, dtype=str)
    if clips.fps is not None:
        arrays["fps"] = np.array(clips.fps)
    return arrays
