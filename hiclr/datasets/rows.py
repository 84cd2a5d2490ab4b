"""Positions that stay in a file: read block by block, so that a set of any size passes through a little memory."""

import math
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import IO, Any, Self, cast
from weakref import finalize

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.damage import DAMAGED_ZIP
from hiclr.errors import InputError

__all__ = ["ChangedRows", "MappedFile", "MappedRows", "NpyRows", "Positions", "StoredRows", "blocks", "read_rows"]

Ids = NDArray[np.int64]

_BLOCK_BYTES = 2**25
_BLOCK_CLIPS = 512


class MappedFile(np.memmap[Any, np.dtype[np.float32]]):
    """A whole `.npy`, mapped, and the file held open: rows stay those that were mapped when another takes its name.

    Sent to another process (a worker of a `DataLoader`) it is opened there again, and nothing is copied. Parts of it
    are arrays like any other.

    Args:
        path: the file; nothing in it is ever unpickled.

    Raises:
        ValueError: no npy, Python objects, or shorter than its header says.
    """

    path: Path | None = None  # of the whole file only, as `handle`: what is made from it has neither
    handle: int | None = None
    opened: tuple[int, int, int] | None = None

    def __new__(cls, path: Path) -> Self:
        with path.open("rb", buffering=0) as file:
            shape, fortran, dtype = _header(file)
            if dtype.hasobject:
                raise ValueError("Python objects cannot be mapped")
            mapped = cast("Self", super().__new__(cls, file, dtype, "r", file.tell(), shape, "F" if fortran else "C"))
            mapped.path, mapped.handle = path.resolve(), os.dup(file.fileno())
            mapped.opened = _identity(os.fstat(mapped.handle))
        finalize(mapped, os.close, mapped.handle).atexit = False
        return mapped

    def __getitem__(self, index: Any) -> Any:
        part = super().__getitem__(index)
        return part.view(np.ndarray) if isinstance(part, MappedFile) else part

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        return array[()] if return_scalar else array

    def __reduce_ex__(self, protocol: Any) -> Any:
        """By name, where the file still has it."""
        mine = None if self.handle is None else _identity(os.fstat(self.handle))
        if self.path is None or mine is None or mine != _named(self.path):
            return np.array(self).__reduce_ex__(protocol)
        return _mapped_again, (self.path, mine)


def _identity(there: os.stat_result) -> tuple[int, int, int]:
    return there.st_ino, there.st_size, there.st_mtime_ns


def _named(path: Path) -> tuple[int, int, int] | None:
    """The identity of the file that has this name now."""
    try:
        return _identity(path.stat())
    except OSError:
        return None


def _mapped_again(path: Path, identity: tuple[int, int, int]) -> MappedFile:
    mapped = MappedFile(path) if _named(path) == identity else None
    if mapped is None:
        raise InputError(f"{path} was replaced or removed while it was in use. Open the set again.")
    return mapped


def _header(file: IO[bytes]) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    """(shape, whether in Fortran order, type) of an npy; the file stands where its numbers begin then."""
    major, minor = np.lib.format.read_magic(file)
    if (major, minor) not in ((1, 0), (2, 0)):
        raise ValueError(f"npy version {major}.{minor} is not known")
    read = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
    shape, fortran, dtype = read(file)
    return shape, fortran, dtype


def read_rows(x: "Positions", index: Any) -> NDArray[np.float32]:
    """Rows by integer, slice or index array, as an array in memory.

    Those of a mapped file are read from the file and not through the map: the pages of a map that were touched count
    as memory of the process, after an epoch of NTU120 gigabytes of them.

    Raises:
        InputError: the file was cut or written into since it was opened.
    """
    if isinstance(x, MappedRows):
        return read_rows(x.base, x.rows[index])
    if not isinstance(x, MappedFile) or x.handle is None or not x.flags.c_contiguous or not hasattr(os, "preadv"):
        return np.array(x[index])
    rows = np.arange(len(x))[index]
    made = np.empty((rows.size, *x.shape[1:]), dtype=x.dtype)
    flat, size = rows.ravel(), made[:1].nbytes
    _check_unchanged(x)
    starts = [0, *(np.flatnonzero(np.diff(flat) != 1) + 1).tolist(), rows.size]  # of stretches of neighbours
    for start, stop in pairwise(starts):
        if start < stop:
            _read_into(made[start:stop], x, x.offset + int(flat[start]) * size)
    return made if rows.ndim else made[0]


def _read_into(rows: NDArray[np.float32], x: MappedFile, offset: int) -> None:
    left = rows.data.cast("B")
    while left and x.handle is not None:
        got = os.preadv(x.handle, [left], offset)
        if not got:
            _check_unchanged(x)
            raise InputError(f"{x.path} could not be read at byte {offset}. Give the same command again.")
        left, offset = left[got:], offset + got


def _check_unchanged(x: MappedFile) -> None:
    """A file that was replaced or removed stays what was opened; one that was cut or written into does not."""
    if x.handle is None or x.opened is None:
        return
    now = _identity(os.fstat(x.handle))
    if now == x.opened:
        return
    what = "was cut" if now[1] < x.opened[1] else "was written into"
    raise InputError(
        f"{x.path} {what} after it was opened, so its clips are not those that were asked for. Prepare the set again, "
        "which replaces it as a whole, and give the same command again."
    )


class MappedRows:
    """Some rows of a memory-mapped array, read when indexed: a split of NTU120 costs no memory."""

    def __init__(self, base: NDArray[np.float32], rows: Ids) -> None:
        self.base, self.rows = base, rows
        self.shape, self.dtype = (len(rows), *base.shape[1:]), base.dtype

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        """Rows by integer, slice or index array, as an array in memory."""
        return read_rows(self, index)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        return np.asarray(self[:], dtype=dtype)


class StoredRows(ABC):
    """Rows that are not mapped either: pages of a map count as memory of the process for as long as it lives.

    Args:
        shape: (N, 3, T, V, M), the first axis are the rows.
        dtype: float32, or what a file holds that is no number at all.
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any = np.float32) -> None:
        self.shape, self.dtype, self.ndim = shape, np.dtype(dtype), len(shape)

    @abstractmethod
    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Rows start..stop - 1, in memory."""

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> NDArray[np.float32]:
        """Rows by integer, slice or index array, as an array in memory."""
        if isinstance(index, slice) and index.step in (None, 1):
            start, stop, _ = index.indices(len(self))
            return self.read(start, max(start, stop))
        rows = np.arange(len(self))[index]
        if np.ndim(rows) == 0:
            one: NDArray[np.float32] = self.read(int(rows), int(rows) + 1)[0]
            return one
        made = np.empty((len(rows), *self.shape[1:]), dtype=np.float32)
        for i, row in enumerate(rows):
            made[i] = self.read(int(row), int(row) + 1)[0]
        return made

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.float32]:
        return np.asarray(self[:], dtype=dtype)


Positions = NDArray[np.float32] | MappedRows | StoredRows


def blocks(x: Positions) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(first row, rows) after one another; a block has some tens of megabytes however long its clips are."""
    row_bytes = 4 * int(np.prod(x.shape[1:], dtype=np.int64))
    step = int(np.clip(_BLOCK_BYTES // max(row_bytes, 1), 1, _BLOCK_CLIPS))
    for start in range(0, len(x), step):
        part = slice(start, start + step)
        yield start, read_rows(x, part) if isinstance(x, np.memmap) else np.asarray(x[part])


class ChangedRows(StoredRows):
    """Rows of a set with something done to them, when they are read.

    Args:
        rows: (N, 3, T, V, M).
        change: (n, 3, T, V, M) -> (n, 3, S, V, M).
        frames: S; T when left out.
    """

    def __init__(
        self, rows: Positions, change: Callable[[NDArray[np.float32]], NDArray[np.float32]], frames: int | None = None
    ) -> None:
        super().__init__((*rows.shape[:2], rows.shape[2] if frames is None else frames, *rows.shape[3:]))
        self.rows, self.change = rows, change

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        return self.change(np.array(self.rows[start:stop]))


class NpyRows(StoredRows):
    """The rows of an `.npy` file, or of one inside an npz.

    Args:
        path: the `.npy` or `.npz`.
        member: its name inside the npz.

    Raises:
        ValueError: no npy, in Fortran order, or shorter than its header says.
    """

    def __init__(self, path: Path, member: str | None = None) -> None:
        self.path, self.member = path, member
        self._file: IO[bytes] | None = None
        with self._opened() as file:
            shape, fortran, self.stored = _header(file)
            self.start = file.tell()
        if fortran:
            raise ValueError("Fortran order: its rows lie apart")
        if not shape or min(shape) < 0:
            raise ValueError(f"an array of shape {shape} has no rows")
        super().__init__(shape, np.float32 if self.stored.kind in "fiu" else self.stored)
        self.row_bytes = self.stored.itemsize * math.prod(shape[1:])
        wanted, there = self.start + self.row_bytes * shape[0], self._size()
        if there < wanted and not self.stored.hasobject:
            raise ValueError(f"it says {wanted:,} bytes, {there:,} are there")

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        wanted = (stop - start) * self.row_bytes
        try:
            with self._opened() as file:
                file.seek(self.start + start * self.row_bytes)
                content = file.read(wanted)
        except DAMAGED_ZIP as error:
            raise InputError(f"{self.path.name} cannot be read ({error}). Copy or download it again.") from error
        if len(content) != wanted:
            raise InputError(f"{self.path.name} ends too early. Copy or download it again.")
        rows = np.frombuffer(content, dtype=self.stored).reshape(stop - start, *self.shape[1:])
        with np.errstate(over="ignore"):  # infinite then, and named where positions are checked
            return rows.astype(np.float32)

    def _size(self) -> int:
        if self.member is None:
            return self.path.stat().st_size
        with zipfile.ZipFile(self.path) as packed:
            return packed.getinfo(self.member).file_size

    @contextmanager
    def _opened(self) -> Iterator[IO[bytes]]:
        """Kept open: a packed member is read on from where the last block ended, not from its beginning."""
        if self._file is None:
            if self.member is None:
                self._file = self.path.open("rb")
            else:
                self._file = zipfile.ZipFile(self.path).open(self.member)  # noqa: SIM115
        yield self._file
