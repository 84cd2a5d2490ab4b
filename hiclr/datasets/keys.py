"""The keys of an interchange file: what each one holds, in which shape; one that is otherwise is refused by name."""

import re
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from typing import Any, Literal
from urllib.parse import unquote

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.damage import is_readable
from hiclr.errors import InputError

__all__ = [
    "IDS",
    "PER_ID",
    "PER_PROTOCOL",
    "SPLITS",
    "check_files",
    "checked_keys",
    "file_of",
    "ids_in",
    "is_known",
    "key_of",
    "objects_refused",
    "text_refused",
    "unknown_keys",
    "whole_numbers",
    "yes_or_no",
]

Kind = Literal["whole numbers", "text", "yes or no", "a number"]

PER_PROTOCOL = "protocol."
"""Begins the key of a named test part."""

PER_ID = "id."
"""Begins the key of ids under a name of the user's own."""

IDS = ("subject", "camera", "setup", "view", "style", "replication")
"""Ids with keys of their own."""

SPLITS = {
    "test_subjects": (("subject",), "cross-subject"),
    "test_cameras": (("camera",), "cross-view"),
    "test_setups": (("setup",), "cross-setup"),
    "test_styles": (("style", "subject"), "cross-style"),
}
"""Key of ids in the test part -> (keys; they are looked up in the first that is there; name of the protocol)."""

_KEYS: dict[str, tuple[Kind, tuple[str | int, ...]]] = {
    **dict.fromkeys(IDS, ("whole numbers", ("N",))),
    "length": ("whole numbers", ("N",)),
    "names": ("text", ("N",)),
    "classes": ("text", ("C",)),
    "joint_names": ("text", ("V",)),
    "parents": ("whole numbers", ("V",)),
    "pairs": ("whole numbers", ("P", 2)),
    "centre": ("whole numbers", ()),
    "shoulders": ("whole numbers", ("2 or 0",)),
    "layout": ("text", ()),
    "source": ("text", ()),
    "synthetic": ("yes or no", ()),
    "preprocessing": ("text", ("any",)),
    "fps": ("a number", ()),
    "test": ("yes or no", ("N",)),
    "protocols": ("text", ("any",)),  # their names in order: the first is the default
    **dict.fromkeys(SPLITS, ("whole numbers", ("any",))),
    "styles": ("text", ("any",)),  # their names
    "format": ("text", ()),
    "fingerprint": ("text", ()),
}
_INT64 = np.iinfo(np.int64)
_SURE = 0.8  # so near to a known key that it was meant
_ODD = re.compile(r'[%/\\:*?"<>|]')  # not in the name of a file everywhere
_NO_NAME = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")  # in a name: cut off or refused where it is stored
_LONGEST_FILE = 255  # bytes


def key_of(file: str) -> str:
    """The key of a file, or of a member of an npz, without its ending."""
    return unquote(file) if "%" in file else file


def file_of(key: str) -> str:
    """The name of the file, or of the member of an npz, that holds this key; without its ending."""
    return _ODD.sub(lambda odd: f"%{ord(odd[0]):02X}", key)


def check_files(keys: Iterable[str], folder: bool) -> None:
    """Refuse names of protocols and ids that a set on disk could not give back.

    Args:
        keys: all that are to be written.
        folder: as files of their own, whose names must differ in more than capitals, for disks that tell none.

    Raises:
        InputError: naming the protocol or ids.
    """
    seen: dict[str, str] = {}
    for key in keys:
        called = _called(key)
        if key in (PER_PROTOCOL, PER_ID) or _NO_NAME.search(key):
            raise InputError(f"{called}: a name must be one line of text that can be read. Give another name.")
        length = len(f"{file_of(key)}.npy".encode())
        if folder and length > _LONGEST_FILE:
            raise InputError(
                f"{called[:100]}... would need a file name of {length} bytes, {_LONGEST_FILE} are possible. Give a "
                "shorter name, or write an npz."
            )
        other = seen.setdefault(key.casefold(), key)
        if folder and other != key:
            raise InputError(
                f"{called} and {_called(other)} would lie in files whose names differ in capitals only, which is one "
                "file on some disks. Give one of them another name, or write an npz."
            )


def _called(key: str) -> str:
    for begin, what in ((PER_PROTOCOL, "protocol"), (PER_ID, "ids")):
        if key.startswith(begin):
            return f"{what} {key.removeprefix(begin)!r}"
    return f"{key!r}"


def checked_keys(arrays: Mapping[str, Any], clips: int, joints: int, source: str) -> dict[str, Any]:
    """The same arrays, each in its type: int64, bool, float64 or text; a single value without axes.

    Args:
        arrays: key -> array; "x" and "y", which are checked elsewhere, and unknown keys are passed through.
        clips: N.
        joints: V.
        source: for messages.

    Raises:
        InputError: naming the key, what is wanted and what came.
    """
    sizes = {"N": clips, "V": joints}
    return {key: _checked(key, array, sizes, source) for key, array in arrays.items()}


def ids_in(arrays: Mapping[str, Any], clips: int) -> dict[str, Any]:
    """name -> (N,) ids: those with keys of their own, those of `PER_ID`, unknown keys that could be nothing else."""
    found = {key: arrays[key] for key in IDS if key in arrays}
    for key, array in arrays.items():
        if key.startswith(PER_ID) or (not is_known(key) and _are_ids(key, array, clips)):
            found.setdefault(key.removeprefix(PER_ID), array)
    return found


def unknown_keys(arrays: Mapping[str, Any], clips: int, source: str) -> tuple[str, ...]:
    """A sentence for each key that is not known."""
    said = []
    for key in (key for key in arrays if not is_known(key)):
        near = get_close_matches(key.lower(), _known(), 1)
        if _are_ids(key, arrays[key], clips):
            said.append(f"{source}: the key {key!r} has a whole number for each clip and is read as ids of that name.")
        else:
            said.append(f"{source}: the key {key!r} is not read" + (f"; was {near[0]!r} meant?" if near else "."))
    return tuple(said)


def _known() -> list[str]:
    return ["x", "y", *_KEYS]


def is_known(key: str) -> bool:
    """Whether the key has a meaning here."""
    return key in _known() or key.startswith((PER_PROTOCOL, PER_ID))


def _are_ids(key: str, array: Any, clips: int) -> bool:
    if array.dtype.kind not in "iu" or array.shape != (clips,):
        return False
    return not get_close_matches(key.lower(), _known(), 1, _SURE)


def whole_numbers(values: Any, key: str) -> NDArray[np.int64]:
    """Values as int64.

    Raises:
        InputError: naming the key; they are none.
    """
    typed = _as_kind(np.asarray(values), "whole numbers")
    if typed is None:
        raise InputError(
            f"{key} must hold whole numbers, it holds {np.asarray(values).dtype}. Words are numbered by "
            "np.unique(words, return_inverse=True)[1]."
        )
    return typed


def yes_or_no(values: Any, key: str) -> NDArray[np.bool_]:
    """Values as bool.

    Raises:
        InputError: naming the key; they are none.
    """
    typed = _as_kind(np.asarray(values), "yes or no")
    if typed is None:
        raise InputError(f"{key} must hold True or False for each clip, it holds {np.asarray(values).dtype}.")
    return typed


def objects_refused(source: str, key: str) -> str:
    """What is said of an array of Python objects."""
    if key == "x":
        return (
            f"{source}: 'x' holds Python objects, which could run code when read; they are refused. Save it again as "
            "one array of numbers (N, 3, T, V, M): shorter clips end in zeros, and `length` says how long each is."
        )
    return (
        f"{source}: {key!r} holds Python objects, which could run code when read; they are refused. Save it again as "
        f"plain numbers or text: np.asarray(values, dtype=np.int64) or np.asarray(words, dtype=str)."
    )


def text_refused(source: str, key: str) -> str:
    """What is said of text that no one can read."""
    return f"{source}: {key} holds characters that do not exist. Copy or download it again."


def _checked(key: str, array: Any, sizes: Mapping[str, int], source: str) -> Any:
    kind, shape = _wanted(key)
    if kind is None:
        return array
    value = np.asarray(array)
    if value.dtype == object:
        raise InputError(objects_refused(source, key))
    if not is_readable(value):
        raise InputError(text_refused(source, key))
    if not shape and value.size == 1:
        value = value.reshape(())
    if value.size == 0 and "P" in shape:
        value = value.reshape(0, 2)
    typed = _as_kind(value, kind)
    if typed is None or not _fits(value.shape, shape, sizes):
        words = ", ".join(str(sizes.get(str(size), size)) for size in shape)
        wanted = f"{kind} of shape ({words}{',' if len(shape) == 1 else ''})" if shape else f"one value: {kind}"
        held = f"; the first that does not fit is {_stranger(value, kind)}" if value.size and typed is None else ""
        raise InputError(f"{source}: {key} must hold {wanted}; it holds {value.dtype} of shape {value.shape}{held}.")
    return typed


def _stranger(value: NDArray[Any], kind: Kind) -> Any:
    """The first value that is of no such kind; the first of all where their type is the reason."""
    flat = value.ravel()
    if flat.dtype.kind not in "biuf" or kind not in ("yes or no", "whole numbers"):
        return flat[0]
    with np.errstate(invalid="ignore"):
        good = np.isin(flat, (0, 1)) if kind == "yes or no" else np.isfinite(flat) & (flat == np.round(flat))
    return flat[int(np.argmin(good))]


def _wanted(key: str) -> tuple[Kind | None, tuple[str | int, ...]]:
    if key.startswith(PER_PROTOCOL):
        return "yes or no", ("N",)
    return ("whole numbers", ("N",)) if key.startswith(PER_ID) else _KEYS.get(key, (None, ()))


def _fits(shape: tuple[int, ...], wanted: tuple[str | int, ...], sizes: Mapping[str, int]) -> bool:
    if len(shape) != len(wanted):
        return False
    return all(
        size in (0, 2) if want == "2 or 0" else size == sizes.get(str(want), want if isinstance(want, int) else size)
        for size, want in zip(shape, wanted, strict=True)
    )


def _as_kind(value: NDArray[Any], kind: Kind) -> NDArray[Any] | None:
    """The array in the type of its kind; None where it is of no such kind."""
    if value.size == 0:  # whose type says nothing
        empty = {"whole numbers": np.int64, "text": np.str_, "yes or no": np.bool_, "a number": np.float64}
        return value.astype(empty[kind])
    if kind == "text":
        return _as_text(value)
    if value.dtype.kind not in "biuf" or not np.isfinite(value).all():
        return None
    if kind == "a number":
        return value.astype(np.float64)
    if kind == "yes or no":
        return value.astype(bool) if np.isin(value, (0, 1)).all() else None
    whole = value.dtype.kind in "biu" or bool((value == np.round(value)).all())
    within = float(value.min()) >= _INT64.min and float(value.max()) < _INT64.max
    return value.astype(np.int64) if whole and within else None


def _as_text(value: NDArray[Any]) -> NDArray[Any] | None:
    if value.dtype.kind == "S":
        return np.char.decode(value, "utf-8", "replace")
    return value.astype(np.str_) if value.dtype.kind in "Uiu" else None
