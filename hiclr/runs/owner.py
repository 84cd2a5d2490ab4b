"""One writer at a time: the lock of a run folder, and who holds it."""

import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from filelock import FileLock, Timeout

from hiclr.errors import InputError
from hiclr.runs.writing import write_atomically

__all__ = ["NAME", "PROGRESS", "holds", "owned", "writer"]

NAME = "lock.pid"
PROGRESS = "progress.json"
_SILENT = 900  # seconds without a sign of life of a process on another machine
# what a writer that was killed leaves; results and features are written by others, at the same time perhaps
_WRITERS = ("checkpoint-*", "config.json", "data.json", "environment.json", "not-finite.json", PROGRESS, NAME)

_held: dict[Path, FileLock] = {}  # the runs that this process writes; the latest holder is the valid one


@contextmanager
def owned(folder: Path) -> Iterator[FileLock]:
    """Be the only writer. A loop of this very process that was left hanging (an interrupted cell) gives way.

    Raises:
        InputError: another process writes to this run; it is named.
    """
    key = folder.resolve()
    if key in _held:
        _held.pop(key).release(force=True)
    lock = _held[key] = _acquire(folder)
    try:
        for name in _WRITERS:
            for leftover in folder.glob(f".{name}.*tmp"):
                leftover.unlink(missing_ok=True)
        yield lock
    finally:
        if _held.get(key) is lock:
            _held.pop(key)
            for name in (NAME, PROGRESS):
                with suppress(OSError):
                    (folder / name).unlink(missing_ok=True)
            lock.release(force=True)


def holds(folder: Path, lock: FileLock) -> bool:
    """Whether this lock is still the one by which this process writes the folder."""
    return _held.get(folder.resolve()) is lock


def writer(folder: Path) -> str | None:
    """Who writes this run, as "process 12 on HOST"; None where nobody does, as far as can be told.

    A process on another machine is taken to live for a quarter of an hour after its last sign.
    """
    with suppress(OSError, ValueError):
        text = (folder / NAME).read_text(encoding="utf-8").strip()
        _, number, _, host = text.split()
        if host == socket.gethostname():
            return text if _lives(int(number)) else None
        signs = (folder / name for name in (NAME, PROGRESS, "metrics.jsonl"))
        latest = max(sign.stat().st_mtime for sign in signs if sign.exists())
        return text if time.time() - latest < _SILENT else None
    return None


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except PermissionError:
        return True  # somebody else's
    except OSError:
        return False
    return True


def _acquire(folder: Path) -> FileLock:
    lock, owner = FileLock(folder / "lock", thread_local=False), folder / NAME
    try:
        lock.acquire(timeout=0)
    except Timeout:
        raise InputError(
            f"{folder} is being written by {_owner(owner)}. Wait for it, stop it, or choose another run folder."
        ) from None
    except OSError as error:
        raise InputError(f"{folder} may not be written ({error.strerror or error}). Choose another folder.") from error
    try:
        write_atomically(owner, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
    except InputError:
        lock.release(force=True)
        raise
    return lock


def _owner(path: Path) -> str:
    """Who holds the lock, as it wrote down itself; it may not have come to that yet."""
    with suppress(OSError):
        return path.read_text(encoding="utf-8").strip()
    return "another process"
