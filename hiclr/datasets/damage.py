"""What damaged and hostile files make the libraries raise that read them."""

import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError

__all__ = ["DAMAGED_ZIP", "check_total", "check_unpacked", "is_readable"]

DAMAGED_ZIP: tuple[type[Exception], ...] = (
    zipfile.BadZipFile,
    zlib.error,
    lzma.LZMAError,
    struct.error,
    EOFError,
    OSError,
    KeyError,
    IndexError,  # a member without a name
    ValueError,  # a name that is no text, a place before the file's beginning
    RuntimeError,  # encrypted; a method that is not known
)
"""What a zip file raises when it is opened or read. InputError is among them, as a ValueError: raise it again."""

_MOST_RATIO = (
    200  # positions and text shrink to a third or so, padded with zeros to a tenth; a zip bomb to a thousandth
)
_FREE_TOTAL = 2**30  # bytes of all members together, however small the zip file is


def check_unpacked(members: Iterable[zipfile.ZipInfo], name: str, free: int) -> None:
    """Refuse what unpacks to an absurd size.

    Args:
        members: of a zip file.
        name: of the file, for the message.
        free: bytes that a member may have whatever it is packed in.

    Raises:
        InputError: naming the member.
    """
    for info in members:
        if _is_bomb(info, free):
            raise InputError(
                f"{name}/{info.filename} unpacks to {info.file_size:,} bytes out of {info.compress_size:,}; no real "
                "file does, so it is not read."
            )


def check_total(members: Iterable[zipfile.ZipInfo], name: str, size: int, free: int) -> None:
    """Refuse a zip file whose members unpack to an absurd size together, as those do that share their bytes.

    Args:
        members: of the zip file; those that `check_unpacked` refuses do not count, for they are never read.
        name: of the file, for the message.
        size: bytes of the file.
        free: as in `check_unpacked`.

    Raises:
        InputError: it does.
    """
    total = sum(info.file_size for info in members if not _is_bomb(info, free))
    if total > max(_MOST_RATIO * size, _FREE_TOTAL):
        raise InputError(f"{name} unpacks to {total:,} bytes out of {size:,}; no real file does, so it is not read.")


def _is_bomb(info: zipfile.ZipInfo, free: int) -> bool:
    return info.file_size > max(_MOST_RATIO * info.compress_size, free)


def is_readable(array: NDArray[Any]) -> bool:
    """False for text of characters that do not exist: to look at one ends in a SystemError of Python itself."""
    if array.dtype.kind != "U" or not array.size or not array.dtype.itemsize:
        return True
    native = np.ascontiguousarray(array).astype(array.dtype.newbyteorder("="), copy=False)
    return bool((native.view(np.uint32) <= 0x10FFFF).all())
