"""Pieces of large files: read where they lie, in zip files too, without reading the whole."""

import io
import os
from dataclasses import dataclass
from typing import IO

from hiclr.datasets.damage import DAMAGED_ZIP
from hiclr.datasets.readers.tree import Tree
from hiclr.errors import InputError

__all__ = ["open_buffered", "read_at"]


@dataclass
class _Stream:
    """A file inside a zip file that stays open, since each way back in it means to unpack it from its start again."""

    key: tuple[int, str, int, str]
    file: IO[bytes]


_last: list[_Stream] = []  # one at most, of this process


def open_buffered(tree: Tree, name: str) -> IO[bytes]:
    """A file to read in small steps. The caller closes it.

    Raises:
        InputError: it cannot be opened.
    """
    try:
        file = tree.open(name)
        return io.BufferedReader(file, 2**16) if tree.zipped else file  # type: ignore[type-var]
    except InputError:
        raise
    except DAMAGED_ZIP as error:
        raise InputError(f"{tree.place(name)} cannot be read: {error}") from error


def read_at(tree: Tree, name: str, offset: int, length: int) -> bytes:
    """`length` bytes of a file from `offset` on.

    Raises:
        InputError: the file ends before them, or is damaged.
    """
    try:
        if tree.zipped:
            content = _read_packed(tree, name, offset, length)
        else:
            with tree.file(name).open("rb") as file:
                file.seek(offset)
                content = file.read(min(length, max(os.fstat(file.fileno()).st_size - offset, 0)))
    except InputError:
        raise
    except DAMAGED_ZIP as error:
        _forget()
        raise InputError(f"{tree.place(name)} cannot be read: {error}") from error
    if len(content) != length:
        raise InputError(f"{tree.place(name)} ends before byte {offset + length:,}. Copy or download it again.")
    return content


def _read_packed(tree: Tree, name: str, offset: int, length: int) -> bytes:
    # of this process: a stream that was open before a fork would be moved by all the others too
    key = (os.getpid(), str(tree.path), tree.path.stat().st_mtime_ns, name)
    if not _last or _last[0].key != key:
        _forget()
        _last.append(_Stream(key, tree.open(name)))
    file = _last[0].file
    file.seek(offset)
    left = tree.size(name) - offset
    return file.read(min(length, max(left, 0)))


def _forget() -> None:
    while _last:
        old = _last.pop()
        if old.key[0] == os.getpid():
            old.file.close()
