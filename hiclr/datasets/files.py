"""Sets from disk: the interchange npz, and a folder of `.npy` that is memory-mapped."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import Ids, SkeletonSet
from hiclr.datasets.containers import NO_LABELS, WANTED, folder_arrays, npz_arrays
from hiclr.datasets.damage import is_readable
from hiclr.datasets.keys import (
    PER_PROTOCOL,
    SPLITS,
    checked_keys,
    ids_in,
    objects_refused,
    text_refused,
    unknown_keys,
)
from hiclr.datasets.positions import check_positions
from hiclr.datasets.rows import MappedRows, NpyRows, StoredRows
from hiclr.datasets.saving import clear_leftovers
from hiclr.datasets.shapes import moved_joints, reshaped
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.skeleton import LAYOUTS, NTU_25, Layout, match_layout

__all__ = [
    "Opened",
    "from_mapping",
    "open_folder",
    "open_npz",
    "stream_set",
]

Arrays = Mapping[str, Any]  # arrays, or `StoredRows` in place of x


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
    clear_leftovers(path)
    return from_mapping(npz_arrays(path), path.name, layout, check)


def stream_set(path: Path, layout: Layout | None = None, check: bool = True) -> Opened:
    """A set on disk whose positions are read block by block, where the file allows it: for passing through.

    `check` as in `open_npz`, for a file that does not allow it.

    Raises:
        InputError: as `open_npz`.
    """
    clear_leftovers(path)
    folder = path.is_dir()
    try:
        x = NpyRows(path / "x.npy") if folder else NpyRows(path, "x.npy")
    except Exception:  # these say what is wrong with it
        return open_folder(path, layout, check) if folder else open_npz(path, layout, check)
    if folder:
        return _from_folder(path, layout, x, check)
    return from_mapping({"x": x, **npz_arrays(path, without="x")}, path.name, layout, check)


def open_folder(path: Path, layout: Layout | None = None, check: bool = True) -> Opened:
    """A set from a folder of `.npy`; x stays on the disk, read as needed. `check` as in `open_npz`.

    Raises:
        InputError: as `open_npz`; a file shorter than its header says is refused before it is mapped.
    """
    clear_leftovers(path)
    return _from_folder(path, layout, None, check)


def _from_folder(path: Path, layout: Layout | None, x: StoredRows | None, check: bool = True) -> Opened:
    arrays, ours = folder_arrays(path, x)
    opened = from_mapping(arrays, path.name, layout, check)
    # what save_set writes it has looked through; to do so each time takes long
    if check and not ours and isinstance(opened.clips.x, np.memmap):
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
        unlabelled = f" {NO_LABELS}" if missing == ["y"] else ""
        raise InputError(
            f"{source} has no key {missing[0]!r}. Wanted: {WANTED}. It has: {', '.join(sorted(arrays)) or 'nothing'}."
            f"{unlabelled}"
        )
    for key in ("x", "y"):
        if arrays[key].dtype == object:
            raise InputError(objects_refused(source, key))
    x = arrays["x"]
    if x.dtype.kind not in "fiu":
        raise InputError(f"{source}: x must hold numbers, its type is {x.dtype}.")
    if x.ndim != 5 or x.shape[1] != 3:
        raise InputError(
            f"{source}: x must have shape (N, 3, T, V, M); it has shape {x.shape}.{reshaped(x.shape)} Wanted: "
            f"{WANTED}. It has: {', '.join(sorted(arrays))}."
        )
    arrays = checked_keys(arrays, len(x), x.shape[3], source)
    y, classes, notes = _labels(arrays, source)
    protocols, more_notes = _protocols(arrays, source)
    notes = (*_type_notes(x, source), *notes, *more_notes, *unknown_keys(arrays, len(x), source))
    try:
        made = SkeletonSet.from_arrays(
            x,
            y,
            layout=_layout(arrays, x.shape, source, layout),
            classes=classes,
            names=_texts(arrays, "names"),
            ids=ids_in(arrays, len(x)),
            length=arrays.get("length"),
            protocols=protocols,
            source=str(arrays["source"]) if "source" in arrays else source,
            synthetic=bool(arrays["synthetic"]) if "synthetic" in arrays else False,
            preprocessing=tuple(_texts(arrays, "preprocessing") or ()),
            fps=float(arrays["fps"]) if "fps" in arrays else None,
            styles=tuple(_texts(arrays, "styles") or ()),
        )
    except InputError as error:
        raise InputError(f"{source}: {str(error).removeprefix(f'{source}: ')}") from error
    # mapped ones are looked through when they are written
    if check and not isinstance(made.x, np.memmap | MappedRows | StoredRows):
        check_positions(made, source)
    made, faults = _possible_lengths(made, source)
    return Opened(made, notes, faults)


def _type_notes(x: Any, source: str) -> tuple[str, ...]:
    """What to say where positions are not float32, in which they are read."""
    stored = x.stored if isinstance(x, NpyRows) else x.dtype
    if stored == np.float32:
        return ()
    whole = ", all of it into memory; a set that `hiclr prepare` writes is mapped" if isinstance(x, np.memmap) else ""
    called = "float32 in another byte order" if stored.name == "float32" else stored.name
    return (f"{source}: x is {called} and is read as float32{whole}.",)


def _labels(arrays: Arrays, source: str) -> tuple[NDArray[Any], list[str] | None, tuple[str, ...]]:
    """(labels from 0 or words, classes, what to say about it)."""
    y = arrays["y"]
    if y.dtype.kind == "f" and np.isfinite(y).all() and (y == np.round(y)).all():
        y = y.astype(np.int64)
    if y.dtype.kind not in "iuUS":
        raise InputError(f"{source}: y must hold integers or words, its type is {y.dtype}.")
    if not is_readable(y):
        raise InputError(text_refused(source, "y"))
    classes = _texts(arrays, "classes")
    if y.dtype.kind in "US" or not y.size or y.min() != 1 or (classes is not None and y.max() != len(classes)):
        return y, classes, ()
    # the highest label is the number of classes; without class names, a class 0 that no clip has would be made up
    note = f"{source}: labels start at 1 (1 to {int(y.max())}, no label 0); 1 is read as the first class."
    if classes is None and y.max() <= 10 * len(y) + 1000:  # a label beyond is refused with the set
        classes = [str(label) for label in range(1, int(y.max()) + 1)]
    return y - 1, classes, (note,)


def _texts(arrays: Arrays, key: str) -> list[str] | None:
    return list(map(str, arrays[key].ravel().tolist())) if key in arrays else None


def _layout(arrays: Arrays, shape: Sequence[int], source: str, given: Layout | None) -> Layout:
    found = _named_layout(arrays, shape, source, given)
    if "shoulders" not in arrays:
        return found
    pair = arrays["shoulders"].tolist()
    shoulders = (int(pair[0]), int(pair[1])) if pair else None
    return found if shoulders == found.shoulders else replace(found, shoulders=shoulders)


def _named_layout(arrays: Arrays, shape: Sequence[int], source: str, given: Layout | None) -> Layout:
    name = str(arrays["layout"]) if "layout" in arrays else None
    names = _texts(arrays, "joint_names")
    if names is not None and "parents" in arrays:
        return _own_layout(arrays, names, name, source)
    if name is not None and name in LAYOUTS:
        return LAYOUTS[name]
    if given is not None:
        return given
    joints = shape[3]
    if name is not None:
        raise InputError(
            f"{source}: layout {name!r} is not known (known: {', '.join(LAYOUTS)}). Add joint_names ({joints},) and "
            f"parents ({joints},)."
        )
    if joints == NTU_25.num_joints:
        _check_says_ntu(arrays, source)
        return NTU_25
    raise InputError(
        f"{source}: x has {counted(joints, 'joint')}, and nothing says which.{moved_joints(shape, NTU_25.num_joints)} "
        f"Add joint_names ({joints},) and parents ({joints},), or layout, one of: {', '.join(LAYOUTS)}."
    )


def _check_says_ntu(arrays: Arrays, source: str) -> None:
    """25 joints are NTU's unless the file says otherwise; half a layout that says otherwise is never passed over."""
    said: dict[str, bool] = {}
    if (names := _texts(arrays, "joint_names")) is not None:
        said["joint_names"] = names == list(NTU_25.joints)
    if "parents" in arrays:
        _check_parents(arrays["parents"], source)
        parents = [i if p < 0 else int(p) for i, p in enumerate(arrays["parents"].tolist())]
        said["parents"] = parents == list(NTU_25.parents)
    if "pairs" in arrays:
        pairs = {frozenset(pair) for pair in arrays["pairs"].tolist()}
        said["pairs"] = pairs == {frozenset(pair) for pair in NTU_25.pairs}
    if "centre" in arrays:
        said["centre"] = int(arrays["centre"]) == NTU_25.centre
    other = [key for key, same in said.items() if not same]
    if other:
        missing = [key for key in ("joint_names", "parents") if key not in arrays]
        raise InputError(
            f"{source}: {' and '.join(other)} of the 25 joints {'is' if len(other) == 1 else 'are'} not NTU's, and "
            f"without {' and '.join(missing)} nothing says what they are. Add {' and '.join(missing)}, or leave "
            f"{' and '.join(other)} out: 25 joints are then taken in NTU's order."
        )


def _own_layout(arrays: Arrays, names: list[str], name: str | None, source: str) -> Layout:
    """The known layout of these joints, unless the file says all that a layout has and says it otherwise."""
    _check_parents(arrays["parents"], source)
    parents = arrays["parents"].tolist()
    pairs = arrays["pairs"].tolist() if "pairs" in arrays else None
    centre = int(arrays["centre"]) if "centre" in arrays else None
    known = match_layout(names, parents, name)
    is_known = known == LAYOUTS.get(known.name)
    whole = name is not None and pairs is not None and centre is not None and "shoulders" in arrays
    if (is_known and not whole) or (pairs is None and centre is None):
        return known
    made = match_layout(names, parents, name, pairs, centre)
    same = is_known and replace(made, name=known.name, shoulders=known.shoulders) == known
    return known if same and name == known.name else made


def _check_parents(parents: Ids, source: str) -> None:
    """Indices counted from 1, as MATLAB writes them, would make a wrong tree or none."""
    count = len(parents)
    if parents.max(initial=0) == count and not (parents == 0).any():
        raise InputError(
            f"{source}: parents must hold joint indices 0..{count - 1}, -1 or itself for the root; they go up to "
            f"{count} and 0 does not occur. They seem to be counted from 1: give parents - 1."
        )


def _protocols(arrays: Arrays, source: str) -> tuple[dict[str, NDArray[np.bool_]], tuple[str, ...]]:
    """(name -> mask of the test part, the default first, what to say about it)."""
    found: dict[str, NDArray[np.bool_]] = {}
    notes = []
    for key, array in arrays.items():
        if key.startswith(PER_PROTOCOL):
            found[key.removeprefix(PER_PROTOCOL)] = array
    # a set of ours has its first protocol under this key too, for programs that know no other
    first = [] if "test" not in arrays else [n for n, mask in found.items() if np.array_equal(arrays["test"], mask)][:1]
    if "test" in arrays and not first:
        found.setdefault("test", arrays["test"])
    order = _texts(arrays, "protocols")
    for name in order or ():
        if name not in found:
            raise InputError(
                f"{source}: protocols names {name!r}, and there is no key {PER_PROTOCOL + name!r} with its test part."
            )
    for key in [key for key in SPLITS if key in arrays]:
        name, mask, note = _split(arrays, key, source)
        found.setdefault(name, mask)
        notes += note
    names = dict.fromkeys([*(first if order is None else order), *found])
    return {name: found[name] for name in names}, tuple(notes)


def _split(arrays: Arrays, key: str, source: str) -> tuple[str, NDArray[np.bool_], list[str]]:
    """(name of the protocol, mask of the clips whose ids are in this list, what to say about it)."""
    keys, name = SPLITS[key]
    ids = next((ids for ids in keys if ids in arrays), None)
    if ids is None:
        raise InputError(f"{source} has {key} but no {keys[-1]!r} (N,), in which those ids are looked up.")
    wanted, there = set(arrays[key].tolist()), set(arrays[ids].tolist())
    if not wanted & there:
        named = f"names {_some(wanted)}, which no clip has" if wanted else "is empty: it names none that a clip has"
        raise InputError(
            f"{source}: {key} {named} as its {ids}; there are {_some(there)}. Mend the list, or leave the key out."
        )
    absent = wanted - there
    said = f"{source}: {key} names {_some(absent)}, which no clip has as its {ids}."
    return name, np.isin(arrays[ids], arrays[key]), [said] if absent else []


def _some(ids: set[int]) -> str:
    shown = ", ".join(map(str, sorted(ids)[:5]))
    return shown if len(ids) <= 5 else f"{shown} and {len(ids) - 5} more"


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
