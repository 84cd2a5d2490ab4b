"""Sets on disk: the interchange npz, and a folder of `.npy` that is memory-mapped."""

import json
import os
import shutil
import tempfile
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from hiclr.datasets.base import Ids, SkeletonSet
from hiclr.datasets.keys import PER_PROTOCOL, SPLITS, checked_keys, objects_refused, unknown_keys
from hiclr.datasets.rows import MappedFile, NpyRows, StoredRows, blocks
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS, NTU_25, Layout, match_layout

__all__ = [
    "Opened",
    "check_positions",
    "check_target",
    "from_mapping",
    "is_folder",
    "no_positions",
    "open_folder",
    "open_npz",
    "save_set",
    "stream_set",
]

Arrays = Mapping[str, Any]  # arrays, or `StoredRows` in place of x

_WANTED = "x (N, 3, T, V, M) float32 and y (N,) int64"
FARTHEST = 1e4  # metres; beyond it lies no room, only a broken file
_EPOCH = (1980, 1, 1, 0, 0, 0)  # of every file in an npz: the same set has the same bytes on another day


def no_positions(x: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where numbers are no positions in metres: too far, infinite or NaN; None where all are positions."""
    with np.errstate(invalid="ignore"):
        if x.max(initial=0) < FARTHEST and x.min(initial=0) > -FARTHEST:  # NaN fails both
            return None
        return np.asarray(~(np.abs(x) < FARTHEST))  # NaN is not smaller either


@dataclass(frozen=True)
class Opened:
    """A set, and what its reader has to hear about it: how something was read, and what should be put right."""

    clips: SkeletonSet
    notes: tuple[str, ...] = ()
    faults: tuple[str, ...] = ()


def open_npz(path: Path, layout: Layout | None = None, check: bool = True) -> Opened:
    """A set from one npz; keys as data/README.md lists them. Nothing in it is ever unpickled.

    Args:
        path: the file.
        layout: the joints, for a file that does not name them.
        check: refuse positions that are no positions; the doctor names them itself.

    Raises:
        InputError: the file, the key, the shape wanted and the shape that came.
    """
    return from_mapping(_npz_arrays(path), path.name, layout, check)


def _npz_arrays(path: Path, without: str | None = None) -> dict[str, NDArray[Any]]:
    try:
        with np.load(path, allow_pickle=False) as file:
            return {key: _member(file, key, path.name) for key in file.files if key != without}
    except (OSError, EOFError, zipfile.BadZipFile, zlib.error, ValueError, MemoryError) as error:
        if isinstance(error, InputError):
            raise
        raise InputError(f"{path.name} is no readable npz ({error}). Copy or download it again.") from error


def stream_set(path: Path, layout: Layout | None = None, check: bool = True) -> Opened:
    """A set on disk whose positions are read block by block, where the file allows it: for passing through.

    `check` as in `open_npz`, for a file that does not allow it.

    Raises:
        InputError: as `open_npz`.
    """
    folder = path.is_dir()
    try:
        x = NpyRows(path / "x.npy") if folder else NpyRows(path, "x.npy")
    except (OSError, EOFError, KeyError, zipfile.BadZipFile, zlib.error, ValueError):
        # these say what is wrong with it
        return open_folder(path, layout, check) if folder else open_npz(path, layout, check)
    if folder:
        return _from_folder(path, layout, x, check)
    return from_mapping({"x": x, **_npz_arrays(path, without="x")}, path.name, layout, check)


def _member(file: Any, key: str, name: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = file[key]
    except ValueError as error:
        raise InputError(objects_refused(name, key)) from error
    except (zipfile.BadZipFile, OSError, EOFError, MemoryError) as error:
        raise InputError(f"{name}: {key!r} cannot be read ({error}). Copy or download the file again.") from error
    return array


def is_folder(path: Path) -> bool:
    """A folder written by `save_set`."""
    return path.is_dir() and (path / "x.npy").is_file()


def open_folder(path: Path, layout: Layout | None = None, check: bool = True) -> Opened:
    """A set from a folder of `.npy`; x stays on the disk, read as needed. `check` as in `open_npz`.

    Raises:
        InputError: as `open_npz`; a file shorter than its header says is refused before it is mapped.
    """
    return _from_folder(path, layout, None, check)


def _from_folder(path: Path, layout: Layout | None, x: StoredRows | None, check: bool = True) -> Opened:
    arrays: dict[str, Any] = {} if x is None else {"x": x}
    for file in sorted(file for file in path.glob("*.npy") if file.stem not in arrays):
        try:
            arrays[file.stem] = MappedFile(file) if file.stem == "x" else np.load(file, allow_pickle=False)
        except (OSError, EOFError, ValueError, MemoryError) as error:
            if "pickle" in str(error) or "Object arrays" in str(error) or "object" in str(error):
                raise InputError(objects_refused(f"{path.name}/{file.name}", file.stem)) from error
            raise InputError(
                f"{path.name}/{file.name} is shorter than it says or no npy file ({error}). Prepare the set again."
            ) from error
    meta = path / "meta.json"
    more: dict[str, Any] = {}
    if meta.is_file():
        try:
            more = json.loads(meta.read_text(encoding="utf-8"))
        except ValueError as error:
            raise InputError(f"{path.name}/meta.json is no JSON ({error}). Prepare the set again.") from error
    text = {key: np.asarray(value) for key, value in more.items() if key not in arrays}
    opened = from_mapping({**arrays, **text}, path.name, layout, check)
    # what save_set writes it has looked through; to do so each time takes long
    if check and more.get("format") != "hiclr" and not isinstance(x, StoredRows):
        check_positions(opened.clips, path.name)
    return opened


def from_mapping(arrays: Arrays, source: str, layout: Layout | None = None, check: bool = True) -> Opened:
    """A set from the arrays of an interchange file.

    Args:
        arrays: key -> array.
        source: for messages and titles.
        layout: the joints, where the arrays do not name them.
        check: refuse positions that are no positions.

    Raises:
        InputError: naming the key, what was wanted, what came.
    """
    missing = [key for key in ("x", "y") if key not in arrays]
    if missing:
        unlabelled = " Where there are no labels, zeros will do: pretraining reads none." if missing == ["y"] else ""
        raise InputError(
            f"{source} has no key {missing[0]!r}. Wanted: {_WANTED}. It has: {', '.join(sorted(arrays)) or 'nothing'}."
            f"{unlabelled}"
        )
    for key in ("x", "y"):
        if arrays[key].dtype == object:
            raise InputError(objects_refused(source, key))
    x = arrays["x"]
    if x.dtype.kind not in "fiu":
        raise InputError(f"{source}: x must hold numbers, its type is {x.dtype}.")
    if x.ndim != 5 or x.shape[1] != 3:
        raise InputError(f"{_wrong_shape(source, x.shape)} Wanted: {_WANTED}. It has: {', '.join(sorted(arrays))}.")
    if not isinstance(x, StoredRows) and x.dtype != np.float32:
        x = np.asarray(x, dtype=np.float32)
    arrays = checked_keys(arrays, len(x), x.shape[3], source)
    y, classes, notes = _labels(arrays, source)
    protocols, more_notes = _protocols(arrays, source)
    notes = (*notes, *more_notes, *unknown_keys(arrays, source))
    try:
        made = SkeletonSet.from_arrays(
            x,
            y,
            layout=_layout(arrays, x.shape[3], source, layout),
            classes=classes,
            names=_texts(arrays, "names"),
            ids={key: arrays[key] for key in ("subject", "camera", "setup") if key in arrays},
            length=arrays.get("length"),
            protocols=protocols,
            source=str(arrays["source"]) if "source" in arrays else source,
            synthetic=bool(arrays["synthetic"]) if "synthetic" in arrays else False,
            preprocessing=tuple(_texts(arrays, "preprocessing") or ()),
            fps=float(arrays["fps"]) if "fps" in arrays else None,
        )
    except InputError as error:
        raise InputError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from error
    # mapped ones are looked through when they are written
    if check and not isinstance(x, np.memmap | StoredRows):
        check_positions(made, source)
    made, faults = _possible_lengths(made, source)
    return Opened(made, notes, faults)


def _wrong_shape(source: str, shape: tuple[int, ...]) -> str:
    hint = ""
    if len(shape) == 4:
        hint = " One person only? Add the last axis: x[..., None]."
    elif len(shape) == 5 and 3 in shape:
        hint = f" Axis {shape.index(3)} has the 3 coordinates: np.moveaxis(x, {shape.index(3)}, 1) puts them second."
    return f"{source}: x must have shape (N, 3, T, V, M); it has shape {shape}.{hint}"


def _labels(arrays: Arrays, source: str) -> tuple[NDArray[Any], list[str] | None, tuple[str, ...]]:
    """(labels from 0 or words, classes, what to say about it)."""
    y = arrays["y"]
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "iuUS":
        raise InputError(f"{source}: y must hold integers or words, its type is {y.dtype}.")
    classes = _texts(arrays, "classes")
    if y.dtype.kind in "US" or not y.size or y.min() != 1 or (classes is not None and y.max() != len(classes)):
        return y, classes, ()
    # the highest label is the number of classes; without class names, a class 0 that no clip has would be made up
    note = f"{source}: labels start at 1 (1 to {int(y.max())}, no label 0); 1 is read as the first class."
    if classes is None and y.max() <= 10 * len(y) + 1000:  # a label beyond is refused with the set
        classes = [str(label) for label in range(1, int(y.max()) + 1)]
    return y - 1, classes, (note,)


def _texts(arrays: Arrays, key: str) -> list[str] | None:
    return [str(text) for text in arrays[key].ravel()] if key in arrays else None


def _layout(arrays: Arrays, joints: int, source: str, given: Layout | None) -> Layout:
    found = _named_layout(arrays, joints, source, given)
    if "shoulders" not in arrays:
        return found
    pair = arrays["shoulders"].tolist()
    shoulders = (int(pair[0]), int(pair[1])) if pair else None
    return found if shoulders == found.shoulders else replace(found, shoulders=shoulders)


def _named_layout(arrays: Arrays, joints: int, source: str, given: Layout | None) -> Layout:
    name = str(arrays["layout"]) if "layout" in arrays else None
    names = _texts(arrays, "joint_names")
    if names is not None and "parents" in arrays:
        _check_parents(arrays["parents"], source)
        pairs = arrays["pairs"].tolist() if "pairs" in arrays else None
        known = match_layout(names, arrays["parents"].tolist(), name)
        if known.name in LAYOUTS or (pairs is None and "centre" not in arrays):
            return known
        centre = int(arrays["centre"]) if "centre" in arrays else None
        return match_layout(names, arrays["parents"].tolist(), name, pairs, centre)
    if name is not None and name in LAYOUTS:
        return LAYOUTS[name]
    if given is not None:
        return given
    if name is not None:
        raise InputError(
            f"{source}: layout {name!r} is not known (known: {', '.join(LAYOUTS)}). Add joint_names ({joints},) and "
            f"parents ({joints},)."
        )
    if joints == NTU_25.num_joints:
        return NTU_25
    raise InputError(
        f"{source}: x has {joints} joints, and nothing says which. Add joint_names ({joints},) and parents "
        f"({joints},), or layout, one of: {', '.join(LAYOUTS)}."
    )


def _check_parents(parents: Ids, source: str) -> None:
    """Indices counted from 1, as MATLAB writes them, would make a wrong tree or none."""
    count = len(parents)
    if parents.max(initial=0) == count and not (parents == 0).any():
        raise InputError(
            f"{source}: parents must hold joint indices 0..{count - 1}, -1 or itself for the root; they go up to "
            f"{count} and 0 does not occur. They seem to be counted from 1: give parents - 1."
        )


def _protocols(arrays: Arrays, source: str) -> tuple[dict[str, NDArray[np.bool_]], tuple[str, ...]]:
    """(name -> mask of the test part, what to say about it)."""
    found: dict[str, NDArray[np.bool_]] = {}
    notes = []
    for key, array in arrays.items():
        if key.startswith(PER_PROTOCOL):
            found[key.removeprefix(PER_PROTOCOL)] = array
    # a set of ours has its first protocol under this key too, for programs that know no other
    if "test" in arrays and not any(np.array_equal(arrays["test"], mask) for mask in found.values()):
        found.setdefault("test", arrays["test"])
    for key, (ids, name) in SPLITS.items():
        if key in arrays:
            if ids not in arrays:
                raise InputError(f"{source} has {key} but no {ids!r} (N,), in which those ids are looked up.")
            found.setdefault(name, np.isin(arrays[ids], arrays[key]))
            absent = sorted(set(arrays[key].tolist()) - set(arrays[ids].tolist()))
            if absent:
                shown = ", ".join(map(str, absent[:5])) + (f" and {len(absent) - 5} more" if len(absent) > 5 else "")
                notes.append(f"{source}: {key} names {shown}, which no clip has as its {ids}.")
    return found, tuple(notes)


def _possible_lengths(clips: SkeletonSet, source: str) -> tuple[SkeletonSet, tuple[str, ...]]:
    """Lengths below one frame are counted from the positions instead, and said."""
    if clips.length is None or (clips.length >= 1).all():
        return clips, ()
    bad = np.flatnonzero(clips.length < 1)
    length = clips.length.copy()
    for clip in bad:
        there = np.flatnonzero(np.asarray(clips.x[clip]).any(axis=(0, 2, 3)))
        length[clip] = there[-1] + 1 if len(there) else 1
    more = f", and {len(bad) - 10} more" if len(bad) > 10 else ""
    listed = ", ".join(f"{clips.names[i]} says {int(clips.length[i])}" for i in bad[:10]) + more
    fault = (
        f"{source}: length must be at least 1 frame: {listed}. Their frames are counted from the positions instead. "
        f"(A length above T = {clips.x.shape[2]} is read as the frames before resampling.)"
    )
    return replace(clips, length=length), (fault,)


def check_positions(clips: SkeletonSet, source: str) -> None:
    """Refuse positions that are no positions.

    Raises:
        InputError: naming clip, frame and joint of what is NaN, infinite or farther than 10 km away.
    """
    for _ in _checked(clips, source):
        pass


def _checked(clips: SkeletonSet, source: str) -> Iterator[NDArray[np.float32]]:
    """The blocks of x; in the end it raises InputError where one held what is no position."""
    faults: list[str] = []
    for start, block in blocks(clips.x):
        faults += _faults(clips, start, block)
        if not faults:
            yield block
    if faults:
        more = f", and {len(faults) - 10} clips more" if len(faults) > 10 else ""
        raise InputError(
            f"{source}: {len(faults)} clips hold positions that are not finite or absurdly far (over 10 km): "
            f"{'; '.join(faults[:10])}{more}. Repair or drop these clips; positions are metres."
        )


def _faults(clips: SkeletonSet, start: int, block: NDArray[np.float32]) -> list[str]:
    """What is no position in the clips from `start` on, one line for each clip."""
    wrong = no_positions(block)
    if wrong is None:
        return []
    faults = []
    for clip in np.flatnonzero(wrong.any(axis=(1, 2, 3, 4))):
        at = np.argwhere(wrong[clip])[0]
        frame, joint, value = int(at[1]), int(at[2]), block[clip][tuple(at)]
        name = clips.layout.joints[joint]
        faults.append(f"{clips.names[start + clip]}: frame {frame}, joint {joint} ({name}) is {value}")
    return faults


def save_set(clips: SkeletonSet, path: Path | str, *, scratch: Path | None = None, progress: bool = False) -> None:
    """Write a set: one npz when the name ends in .npz, otherwise a folder of `.npy` that is mapped when opened.

    Positions pass through block by block. An old set of that name is replaced in the end and at once; until then it
    is untouched.

    Args:
        clips: the set; its `x` may be `StoredRows`.
        path: where to.
        scratch: a folder on the same disk for what is half written; one beside the target when left out.
        progress: a bar on stderr.

    Raises:
        InputError: something else than a set has that name, a position is none, or the disk has no room.
    """
    target = Path(path)
    check_target(target)
    target.parent.mkdir(parents=True, exist_ok=True)
    _check_room(clips, target.parent)
    if scratch is not None:
        _write(clips, target, scratch, progress)
        return
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name[:100]}.") as beside:
        _write(clips, target, Path(beside), progress)


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
    if target.suffix == ".npz":
        _write_npz(clips, small, made, progress)
        made.replace(target)
        return
    shutil.rmtree(made, ignore_errors=True)
    made.mkdir()
    with (made / "x.npy").open("wb") as file:
        fingerprint = _write_positions(clips, file, progress)
    for key, array in small.items():
        np.save(made / f"{key}.npy", array, allow_pickle=False)
    meta = {"format": "hiclr", "fingerprint": fingerprint}
    (made / "meta.json").write_text(json.dumps(meta), encoding="utf-8")
    _sync(made)
    if target.exists():
        shutil.rmtree(old, ignore_errors=True)
        target.replace(old)
    try:
        made.replace(target)
    except OSError:
        if old.exists():
            old.replace(target)
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
            f"{target} holds what is no prepared set and would be lost ({len(other)} entries: {', '.join(other[:5])}). "
            "Give the name of a new folder."
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
        for block in _checked(clips, clips.source):
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
                with packed.open(zipfile.ZipInfo(f"{key}.npy", _EPOCH), "w", force_zip64=True) as member:
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
        **clips.ids,
        **{f"{PER_PROTOCOL}{name}": np.asarray(mask, dtype=bool) for name, mask in clips.protocols.items()},
    }
    if clips.protocol is not None:
        arrays["test"] = np.asarray(clips.protocols[clips.protocol], dtype=bool)
    if clips.length is not None:
        arrays["length"] = clips.length
    if clips.fps is not None:
        arrays["fps"] = np.array(clips.fps)
    return arrays
