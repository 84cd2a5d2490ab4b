"""A user's own layout: a short TOML or JSON file that says which joints there are and how they hang together.

    name = "gloves11"                                # the file's name when left out
    names = ["wrist", "thumb_l", "thumb_r", ...]     # V joint names, unique
    parents = ["wrist", "wrist", "wrist", ...]       # V of them, by name or by index from 0; of the root itself or -1
    pairs = [["thumb_l", "thumb_r"], ...]            # left, right; found from the names when left out
    centre = "wrist"                                 # moved to the origin by preprocessing; the root when left out
    shoulders = ["thumb_l", "thumb_r"]               # left, right; nobody is turned when left out
"""

import json
import tomllib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hiclr.errors import InputError
from hiclr.skeleton import Layout, find_pairs

__all__ = ["read_layout"]

_KEYS = ("name", "names", "parents", "pairs", "centre", "shoulders")
_MOST_BYTES = 2**20
_MOST_JOINTS = 1000
_MOST_LETTERS = 200  # of a name


def read_layout(path: Path | str) -> Layout:
    """The layout that a file describes; keys as at the top of this module.

    Args:
        path: a `.toml` or `.json` file in UTF-8.

    Raises:
        InputError: no such file, or one that is no TOML or JSON; a key that is missing or unknown; a joint that is
            not among the names; parents that are no tree; pairs that share a joint. File and key are named.
    """
    path = Path(path)
    table = _table(path)
    unknown = sorted(set(table) - set(_KEYS))
    if unknown:
        raise InputError(f"{path.name}: there is no key {unknown[0][:40]!r}; the keys are {', '.join(_KEYS)}.")
    joints = _names(table, path)
    index = {joint: v for v, joint in enumerate(joints)}
    parents = tuple(_parent(value, v, index, path) for v, value in enumerate(_parents(table, joints, path)))
    root = next((v for v, parent in enumerate(parents) if v == parent), 0)
    try:
        return Layout(
            _title(table, path),
            joints,
            parents,
            _pairs(table, joints, index, path),
            _joint(table["centre"], "centre", index, path) if "centre" in table else root,
            _pair(table["shoulders"], "shoulders", index, path) if "shoulders" in table else None,
        )
    except InputError as error:
        raise error if str(error).startswith(path.name) else InputError(f"{path.name}: {error}") from error


def _table(path: Path) -> dict[str, Any]:
    wanted = f"{path.name}: a layout is a TOML or JSON file with the keys {', '.join(_KEYS)}"
    if path.suffix.lower() not in (".toml", ".json"):
        raise InputError(f"{wanted}; its name must end in .toml or .json.")
    if not path.is_file():
        raise InputError(f"There is no layout file {path}.")
    with path.open("rb") as file:
        content = file.read(_MOST_BYTES + 1)
    if len(content) > _MOST_BYTES:
        raise InputError(f"{wanted}; this one has more than {_MOST_BYTES:,} bytes.")
    try:
        text = content.decode("utf-8-sig")
        table = tomllib.loads(text) if path.suffix.lower() == ".toml" else json.loads(text)
    except (ValueError, RecursionError) as error:  # both kinds of decoding errors, and text that is not UTF-8
        raise InputError(f"{path.name} cannot be read as {path.suffix[1:].upper()}: {error}") from error
    if not isinstance(table, dict):
        raise InputError(f"{wanted}; this one holds a {type(table).__name__}.")
    return table


def _title(table: dict[str, Any], path: Path) -> str:
    name = table.get("name", path.stem)
    if not _is_name(name):
        raise InputError(f"{path.name}: name must be a short text, it is {_short(name)}.")
    return str(name)


def _names(table: dict[str, Any], path: Path) -> tuple[str, ...]:
    names = _list(table, "names", "the joint names", path)
    if not 1 <= len(names) <= _MOST_JOINTS:
        raise InputError(f"{path.name}: names must hold 1 to {_MOST_JOINTS} joint names, it holds {len(names)}.")
    wrong = next((name for name in names if not _is_name(name)), None)
    if wrong is not None:
        raise InputError(f"{path.name}: names must hold joint names, {_short(wrong)} is none.")
    return tuple(names)


def _is_name(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value.strip()) <= len(value) <= _MOST_LETTERS


def _parents(table: dict[str, Any], joints: Sequence[str], path: Path) -> list[Any]:
    parents = _list(table, "parents", "one parent for each joint, by name or by index from 0", path)
    if len(parents) != len(joints):
        raise InputError(
            f"{path.name}: parents must have one entry for each of the {len(joints)} names, it has {len(parents)}."
        )
    return parents


def _parent(value: Any, joint: int, index: dict[str, int], path: Path) -> int:
    if value is None or (value == -1 and type(value) is int):
        return joint
    return _joint(value, "parents", index, path)


def _pairs(
    table: dict[str, Any], joints: Sequence[str], index: dict[str, int], path: Path
) -> tuple[tuple[int, int], ...]:
    if "pairs" not in table:
        return find_pairs(joints)
    return tuple(_pair(pair, "pairs", index, path) for pair in _list(table, "pairs", "[left, right] joints", path))


def _pair(value: Any, key: str, index: dict[str, int], path: Path) -> tuple[int, int]:
    if not isinstance(value, list) or len(value) != 2:
        raise InputError(f"{path.name}: {key} wants [left, right], two joints by name or index, not {_short(value)}.")
    left, right = (_joint(joint, key, index, path) for joint in value)
    if left == right:
        raise InputError(f"{path.name}: {key} wants two joints, {_short(value)} is the same one twice.")
    return left, right


def _joint(value: Any, key: str, index: dict[str, int], path: Path) -> int:
    if isinstance(value, str):
        if value not in index:
            raise InputError(f"{path.name}: {key} has {_short(value)}, which is not among the names.")
        return index[value]
    if type(value) is not int:  # True is no joint
        raise InputError(f"{path.name}: {key} wants joints by name or by index from 0, not {_short(value)}.")
    if not 0 <= value < len(index):
        raise InputError(f"{path.name}: {key} has joint {_short(value)}; the indices go from 0 to {len(index) - 1}.")
    return value


def _list(table: dict[str, Any], key: str, wanted: str, path: Path) -> list[Any]:
    if key not in table:
        raise InputError(f"{path.name} has no key {key!r}, a list of {wanted}; it has: {', '.join(table) or 'none'}.")
    value = table[key]
    if not isinstance(value, list):
        raise InputError(f"{path.name}: {key} must be a list of {wanted}, it is {_short(value)}.")
    return value


def _short(value: Any) -> str:
    """A value in a message, cut."""
    if type(value) is int and value.bit_length() > 200:
        return "a huge number"
    text = repr(value[:5] if isinstance(value, list | str) and len(str(value)) > 200 else value)
    return text if len(text) <= 60 else f"{text[:57]}..."
