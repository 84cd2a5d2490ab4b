"""Files as a reader sees them: one file, a folder, or a zip file that is read from the inside."""

import os
import zipfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import IO

from hiclr.datasets.damage import DAMAGED_ZIP, check_total, check_unpacked
from hiclr.errors import InputError

__all__ = ["Tree", "open_tree"]

_MOST_BYTES = 2**28  # of one text file: a clip of an hour takes less
_MOST_PACKED = 2**20  # bytes of a file in a zip file, however small it is packed


@dataclass(frozen=True)
class Tree:
    """A file, a folder or a zip file. It is sent to other processes, and opens its zip file in each by itself.

    Args:
        path: of the file, the folder or the zip file.
        names: the files in it: paths relative to it with "/" between, sorted; of one file its own name.
        zipped: the path is a zip file.
    """

    path: Path
    names: tuple[str, ...]
    zipped: bool = False

    def place(self, name: str) -> str:
        """What to call a file in a message."""
        return f"{self.path.name}/{name}" if self.zipped else name

    def file(self, name: str) -> Path:
        """Where a file lies on the disk.

        Raises:
            InputError: it lies in a zip file.
        """
        if self.zipped:
            raise InputError(f"{self.place(name)} cannot be mapped inside a zip file; unpack it first.")
        return self.path / name if self.path.is_dir() else self.path

    def size(self, name: str) -> int:
        """Bytes of a file, unpacked."""
        if not self.zipped:
            return self.file(name).stat().st_size
        return _archive(self.path).getinfo(name).file_size

    def open(self, name: str) -> IO[bytes]:
        """A file to read from; the caller closes it.

        Raises:
            InputError: in a zip file it unpacks to absurd size; the others in it can be read.
        """
        if not self.zipped:
            return self.file(name).open("rb")
        packed = _archive(self.path)
        check_unpacked([packed.getinfo(name)], self.path.name, _MOST_PACKED)
        return packed.open(name)

    def read(self, name: str, most: int = _MOST_BYTES) -> bytes:
        """All bytes of a file.

        Raises:
            InputError: more than `most`, in a zip file damaged, encrypted or of absurd size when unpacked.
        """
        try:
            size = self.size(name)  # a reader that is asked for more takes memory for all of it first
            with self.open(name) as file:
                content = file.read(min(size, most) + 1)
        except InputError:
            raise
        except DAMAGED_ZIP as error:
            raise InputError(f"{self.place(name)} cannot be read: {error}") from error
        if len(content) > size:
            raise InputError(f"{self.place(name)} grew while it was read. Try again when it is complete.")
        if len(content) > most:
            raise InputError(
                f"{self.place(name)} has more than {most:,} bytes: no such file is known to be this large."
            )
        return content


def open_tree(path: Path) -> Tree:
    """Look at a path.

    Raises:
        InputError: nothing there, or a zip file that is damaged or unpacks to absurd size.
    """
    if path.is_dir():
        files = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
        return Tree(path, tuple(sorted(files)))
    if not path.exists():
        raise InputError(f"There is no {path}.")
    if path.suffix.lower() == ".zip":
        return Tree(path, _packed(path), zipped=True)
    return Tree(path, (path.name,))


def _archive(path: Path) -> zipfile.ZipFile:
    """The zip file, opened once: its table of a hundred thousand names is not read for each of them."""
    there = path.stat()
    # in each process by itself: two that share a file would move each other's place in it
    return _opened(path, there.st_mtime_ns, there.st_size, os.getpid())


@lru_cache(maxsize=2)
def _opened(path: Path, _mtime: int, _size: int, _process: int) -> zipfile.ZipFile:
    return zipfile.ZipFile(path)


def _packed(path: Path) -> tuple[str, ...]:
    try:
        with zipfile.ZipFile(path) as packed:
            files = [info for info in packed.infolist() if not info.is_dir()]
    except DAMAGED_ZIP as error:
        raise InputError(f"{path.name} is no whole zip file ({error}). Download it again.") from error
    check_total(files, path.name, path.stat().st_size, _MOST_PACKED)
    return tuple(sorted(info.filename for info in files))
