"""Positions that stay in a file: read block by block, so that a set of any size passes through a little memory."""

import mmap
import os
import zipfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError

__all__ = ["ChangedRows", "MappedRows", "NpyRows", "Positions", "StoredRows", "blocks", "read_rows"]

Ids = NDArray[np.int64]

_BLOCK_BYTES = 2**25
_BLOCK_CLIPS = 512


def read_rows(x: "Positions", index: Any) -> NDArray[np.float32]:
    """Rows by integer, slice or index array, as an array in memory.

    Those of a mapped file are read from the file and not through the map: the pages of a map that were touched count
    as memory of the process, after an epoch of NTU120 gigabytes of them.
    """
    if isinstance(x, MappedRows):
        return read_rows(x.base, x.rows[index])
    if not isinstance(x, np.memmap) or not hasattr(os, "preadv") or not _is_whole(x):
        return np.array(x[index])
    rows = np.arange(len(x))[index]
    made = np.empty((rows.size, *x.shape[1:]), dtype=x.dtype)
    size = made[:1].nbytes
    with open(str(x.filename), "rb", buffering=0) as file:  # noqa: PTH123 - unbuffered
        for place, row in zip(made, rows.ravel().tolist(), strict=True):
            got = os.preadv(file.fileno(), [place], x.offset + row * size)
            if got != size:
                raise InputError(f"{x.filename} is shorter than it was when it was opened. Prepare the set again.")
    return made if rows.ndim else made[0]


def _is_whole(x: np.memmap[Any, Any]) -> bool:
    """Whether this is the map itself, as opened, and not a part of it."""
    return isinstance(x.base, mmap.mmap) and x.flags.c_contiguous and x.filename is not None and x.size > 0


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
        yield start, np.asarray(x[start : start + step])


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
            major, minor = np.lib.format.read_magic(file)
            if (major, minor) not in ((1, 0), (2, 0)):
                raise ValueError(f"npy version {major}.{minor} is not known")
            header = np.lib.format.read_array_header_1_0 if major == 1 else np.lib.format.read_array_header_2_0
            shape, fortran, self.stored = header(file)
            self.start = file.tell()
        if fortran:
            raise ValueError("Fortran order: its rows lie apart")
        super().__init__(shape, np.float32 if self.stored.kind in "fiu" else self.stored)
        self.row_bytes = self.stored.itemsize * int(np.prod(shape[1:], dtype=np.int64))
        wanted, there = self.start + self.row_bytes * (shape[0] if shape else 1), self._size()
        if there < wanted and not self.stored.hasobject:
            raise ValueError(f"it says {wanted:,} bytes, {there:,} are there")

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        wanted = (stop - start) * self.row_bytes
        try:
            with self._opened() as file:
                file.seek(self.start + start * self.row_bytes)
                content = file.read(wanted)
        except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
            raise InputError(f"{self.path.name} cannot be read ({error}). Copy or download it again.") from error
        if len(content) != wanted:
            raise InputError(f"{self.path.name} ends too early. Copy or download it again.")
        rows = np.frombuffer(content, dtype=self.stored).reshape(stop - start, *self.shape[1:])
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
