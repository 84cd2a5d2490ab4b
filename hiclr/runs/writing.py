"""Files that are whole or not there, and JSON in them."""

import contextlib
import json
import math
import os
import secrets
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from hiclr.errors import InputError

__all__ = ["json_bytes", "plain", "read_json", "write_atomically", "write_json"]


def write_atomically(path: Path, data: bytes) -> None:
    """Write a whole file or nothing: temporary file in the same folder, fsync, rename.

    Raises:
        InputError: the folder is full or may not be written; an older file of that name is untouched. Or something
            that is no file has the name: a device, say, which a rename would take away.
    """
    # 40 characters at most: with a name as long as the system allows there would be no room for more
    temporary = path.with_name(f".{path.name[:40]}.{secrets.token_hex(4)}.tmp")
    try:
        if path.exists() and not path.is_file():
            raise InputError(f"{path} is there and is no file: it is left as it is. Name a file to write.")
        with temporary.open("xb") as file:  # not of tempfile, which lets nobody but its maker read: runs are watched
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        free = shutil.disk_usage(path.parent).free if path.parent.is_dir() else 0
        raise InputError(
            f"{path.name} could not be written into {path.parent} ({error.strerror or error}): it takes "
            f"{len(data):,} bytes and {free:,} are free. What was there before is untouched."
        ) from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    """Make a rename durable, where the system lets a folder be opened."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """The same value in JSON's types; a number that is not finite becomes null."""
    if isinstance(value, Mapping):
        return {str(key): plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(entry) for entry in value]
    if isinstance(value, (np.generic, Tensor)):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def write_json(path: Path, value: Any) -> None:
    """Write `value` as readable JSON, atomically; NaN and infinities become null."""
    write_atomically(path, json_bytes(value, indent=2))


def json_bytes(value: Any, indent: int | None = None) -> bytes:
    """JSON with a line end, as UTF-8; a file name that is no text in the system's encoding as JSON's own escapes."""
    return (json.dumps(plain(value), indent=indent, ensure_ascii=False) + "\n").encode("utf-8", "backslashreplace")


def read_json(path: Path) -> dict[str, Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{path} cannot be read as JSON: {error}. Use a new folder, or put the file back.") from error
    if not isinstance(value, dict):
        raise InputError(f"{path} must hold one JSON object, it holds a {type(value).__name__}.")
    return value
