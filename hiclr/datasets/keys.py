"""The keys of an interchange file: what each one holds, in which shape; one that is otherwise is refused by name."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError

__all__ = ["PER_PROTOCOL", "SPLITS", "checked_keys", "objects_refused", "unknown_keys"]

Kind = Literal["whole numbers", "text", "yes or no", "a number"]

PER_PROTOCOL = "protocol."
"""Begins the key of a named test part."""

SPLITS = {
    "test_subjects": ("subject", "cross-subject"),
    "test_cameras": ("camera", "cross-view"),
    "test_setups": ("setup", "cross-setup"),
    "test_styles": ("subject", "cross-style"),
}
"""Key of ids in the test part -> (key in which they are looked up, name of the protocol)."""

_KEYS: dict[str, tuple[Kind, tuple[str | int, ...]]] = {
    "subject": ("whole numbers", ("N",)),
    "camera": ("whole numbers", ("N",)),
    "setup": ("whole numbers", ("N",)),
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
    **dict.fromkeys(SPLITS, ("whole numbers", ("any",))),
    "styles": ("text", ("any",)),  # their names, in files that hold them; nothing here asks for them
    "format": ("text", ()),
    "fingerprint": ("text", ()),
}
_INT64 = np.iinfo(np.int64)


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


def unknown_keys(arrays: Mapping[str, Any], source: str) -> tuple[str, ...]:
    """A sentence for each key that is not read."""
    known = ["x", "y", *_KEYS]
    said = []
    for key in arrays:
        if key not in known and not key.startswith(PER_PROTOCOL):
            near = get_close_matches(key.lower(), known, 1)
            said.append(f"{source}: the key {key!r} is not read" + (f"; was {near[0]!r} meant?" if near else "."))
    return tuple(said)


def objects_refused(source: str, key: str) -> str:
    """What is said of an array of Python objects."""
    return (
        f"{source}: {key!r} holds Python objects, which could run code when read; they are refused. Save it again as "
        f"plain numbers or text: np.asarray(values, dtype=np.int64) or np.asarray(words, dtype=str)."
    )


def _checked(key: str, array: Any, sizes: Mapping[str, int], source: str) -> Any:
    kind, shape = ("yes or no", ("N",)) if key.startswith(PER_PROTOCOL) else _KEYS.get(key, (None, ()))
    if kind is None:
        return array
    value = np.asarray(array)
    if value.dtype == object:
        raise InputError(objects_refused(source, key))
    if not shape and value.size == 1:
        value = value.reshape(())
    if value.size == 0 and "P" in shape:
        value = value.reshape(0, 2)
    typed = _as_kind(value, kind)
    if typed is None or not _fits(value.shape, shape, sizes):
        words = ", ".join(str(sizes.get(str(size), size)) for size in shape)
        wanted = f"{kind} of shape ({words}{',' if len(shape) == 1 else ''})" if shape else f"one value: {kind}"
        held = f"; the first is {value.ravel()[0]}" if value.size and typed is None else ""
        raise InputError(f"{source}: {key} must hold {wanted}; it holds {value.dtype} of shape {value.shape}{held}.")
    return typed


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
