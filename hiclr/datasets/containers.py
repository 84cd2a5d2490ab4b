"""The arrays in an npz or in a folder of `.npy`; what is no such thing is named for what it is."""

import json
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.damage import DAMAGED_ZIP, check_unpacked
from hiclr.datasets.keys import is_known, key_of, objects_refused
from hiclr.datasets.rows import MappedFile
from hiclr.errors import InputError

__all__ = ["NO_LABELS", "WANTED", "folder_arrays", "is_folder", "npz_arrays"]

WANTED = "x (N, 3, T, V, M) float32 and y (N,) int64"
NO_LABELS = "Where there are no labels, zeros will do: pretraining reads none."
_MAKES = "np.savez(path, x=x, y=y) makes an npz"
_BEGINS = (
    (b"\x93NUMPY", "is a single array, a .npy under the name of an npz. Give it with its labels: {makes}"),
    (b"\x80", "is a pickle, which could run code when read; it is refused. Save its arrays: {makes}"),
    (b"\x1f\x8b", "is packed with gzip. Unpack it first; {makes}"),
    (b"\x89HDF", "is an HDF5 file. Read it with h5py and save its arrays: {makes}"),
    (b"MATLAB", "is a MATLAB file. Read it with scipy.io.loadmat and save its arrays: {makes}"),
    (b"<", "is a web page or XML, perhaps what a server said instead of the file. Download it again; {makes}"),
)
_MOST_KEYS = 1000
_MOST_PACKED = 2**26  # bytes of an array, however small it is packed: padding is zeros


def npz_arrays(path: Path, without: str | None = None) -> dict[str, NDArray[Any]]:
    """key -> array of an npz; `without` one that is read elsewhere. Nothing in it is ever unpickled.

    Raises:
        InputError: what it is instead, or which array cannot be read.
    """
    _check_container(path)
    try:
        with np.load(path, allow_pickle=False) as file:
            names = [name for name in file.zip.namelist() if name.endswith(".npy")]
            keys = {key_of(name.removesuffix(".npy")): name for name in names}
            return {key: _member(file, key, name, path.name) for key, name in keys.items() if key != without}
    except InputError:
        raise
    except Exception as error:  # a zip file, and the heads of the npy files in it, know many ways to be damaged
        raise InputError(f"{path.name} is no readable npz ({error}). Copy or download it again.") from error


def _check_container(path: Path) -> None:
    """Name what is no zip of arrays."""
    if path.is_dir():
        raise InputError(f"{path.name} is a folder without x.npy; an npz is one file: {_MAKES}.")
    try:
        with path.open("rb") as file:
            begin = file.read(512)
    except OSError as error:
        raise InputError(f"{path.name} cannot be read: {error.strerror or error}.") from error
    if not begin:
        raise InputError(f"{path.name} is empty, 0 bytes. Copy or download it again.")
    for magic, what in _BEGINS:
        if begin.lstrip().startswith(magic):
            raise InputError(f"{path.name} {what.format(makes=_MAKES)}.")
    if not begin.startswith(b"PK"):
        raise InputError(f"{path.name} is no npz: it does not begin as one. Copy or download it again; {_MAKES}.")
    names = _names(path)
    arrays = [name for name in names if name.endswith(".npy")]
    if not arrays:
        held = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "nothing"
        raise InputError(
            f"{path.name} is a zip without arrays (in it: {held}). {_MAKES}; raw files in a zip are read where its "
            "name ends in .zip."
        )
    if all("/" in name for name in arrays) and any(name.endswith("/x.npy") for name in arrays):
        raise InputError(f"{path.name} is a zip of a folder ({arrays[0]}). Unpack it and give that folder.")


def _names(path: Path) -> list[str]:
    """Of the members of a zip; one that would take time and memory out of all proportion is refused."""
    try:
        with zipfile.ZipFile(path) as packed:
            members = packed.infolist()
    except DAMAGED_ZIP as error:
        raise InputError(f"{path.name} is no whole npz ({error}). Copy or download it again.") from error
    if len(members) > _MOST_KEYS:
        raise InputError(f"{path.name} holds {len(members):,} arrays, no set has more than {_MOST_KEYS:,}.")
    check_unpacked(members, path.name, _MOST_PACKED)
    return [member.filename for member in members]


def _member(file: Any, key: str, name: str, source: str) -> NDArray[Any]:
    try:
        array = file[name]
    except Exception as error:  # as above
        if _says_objects(error):
            raise InputError(objects_refused(source, key)) from error
        raise InputError(f"{source}: {key!r} cannot be read ({error}). Copy or download the file again.") from error
    if not isinstance(array, np.ndarray):  # numpy gives the bytes of what does not begin as an array
        raise InputError(f"{source}: {key!r} is no array in numpy's format. Copy or download the file again.")
    return array


def _says_objects(error: BaseException) -> bool:
    return isinstance(error, ValueError) and any(word in str(error) for word in ("pickle", "bject array", "objects"))


def is_folder(path: Path) -> bool:
    """A folder written by `save_set`."""
    return path.is_dir() and (path / "x.npy").is_file()


def folder_arrays(path: Path, x: Any = None) -> tuple[dict[str, Any], bool]:
    """(key -> array of a folder, whether `save_set` has written it). x is mapped, or the one that is given.

    Raises:
        InputError: which file is not what its name says, or is missing.
    """
    arrays: dict[str, Any] = {} if x is None else {"x": x}
    for file in sorted(path.glob("*.npy")):
        key = key_of(file.stem)
        if key not in arrays:
            arrays[key] = _file(file, key)
    more = _meta(path)
    arrays |= {key: array for key, array in more.items() if key not in arrays}
    if "y" not in arrays:
        there = ", ".join(sorted(arrays))
        raise InputError(f"{path.name} has x.npy and no y.npy. Wanted: {WANTED}. It has: {there}. {NO_LABELS}")
    return arrays, "format" in more and str(more["format"]) == "hiclr"


def _file(file: Path, key: str) -> NDArray[Any]:
    try:
        array: NDArray[Any] = MappedFile(file) if key == "x" else np.load(file, allow_pickle=False)
    except Exception as error:  # numpy's parser of the head, a line of Python, knows many ways to fail
        called = f"{file.parent.name}/{file.name}"
        if _says_objects(error):
            raise InputError(objects_refused(called, key)) from error
        raise InputError(f"{called} is no npy file, or not a whole one ({error}). Prepare the set again.") from error
    return array


def _meta(path: Path) -> dict[str, NDArray[Any]]:
    """What meta.json says, as arrays."""
    meta = path / "meta.json"
    if not meta.is_file():
        return {}
    called = f"{path.name}/meta.json"
    try:
        said = json.loads(meta.read_text(encoding="utf-8-sig"))
    except (ValueError, OSError, RecursionError) as error:
        raise InputError(f"{called} is no JSON ({error}). Prepare the set again.") from error
    if not isinstance(said, dict):
        raise InputError(
            f'{called} must hold an object, {{"key": value}}; it holds {str(said)[:40]}. Prepare the set again.'
        )
    return {key: _json_array(value, key, called) for key, value in said.items() if is_known(key)}


def _json_array(value: Any, key: str, called: str) -> NDArray[Any]:
    try:
        array = np.asarray(value)
    except ValueError:  # lists of unequal lengths
        array = np.empty((), dtype=object)
    if array.dtype == object:
        raise InputError(f"{called}: {key!r} must hold a number, a text or a list of such. Mend it, or leave it out.")
    return array
