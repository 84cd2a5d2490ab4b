"""Clips of any number and length, read in parallel and kept on the disk until all are there.

How many frames a set has is known when its longest clip has been read. Until then each clip lies in a spool with its
own frames only: a folder of segments, each the clips of one stretch of the plan. A segment takes its name when it is
whole and on the disk, so whatever ends the process costs the segments that were being read and nothing else.

Memory: a process that reads holds one clip at a time; the one that writes the set holds the spool's index and one
block. Neither grows with the number of frames of the set.
"""

import errno
import hashlib
import json
import os
import signal
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import closing, contextmanager
from dataclasses import dataclass
from multiprocessing import connection, parent_process
from pathlib import Path
from typing import IO, Any

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from hiclr.datasets.positions import no_positions
from hiclr.datasets.preprocessing import Preprocess
from hiclr.datasets.readers.plan import Found, Plan, RawClip
from hiclr.datasets.rows import StoredRows
from hiclr.datasets.scratch import Scratch
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["Record", "Spool", "SpooledRows", "cores"]

_MANY = 200  # clips from which processes pay
_LARGEST_SEGMENT = 64
_SEGMENTS = 200  # about so many, where there are few clips for each
_FULL = (errno.ENOSPC, errno.EDQUOT)


@dataclass(frozen=True)
class Record:
    """What became of one clip.

    Args:
        reason: why it is skipped; "" where it was read.
        notes: what its reader said.
        length: its frames in the file.
        frames: its frames after preprocessing.
        stored: (frames, persons) in the spool: those after the last one in which anybody is there are zero.
        at: where in its segment, in bytes.
        fps: frames a second in the file, where it says so.
    """

    reason: str = ""
    notes: tuple[str, ...] = ()
    length: int = 0
    frames: int = 0
    stored: tuple[int, int] = (0, 0)
    at: int = 0
    fps: float | None = None


@dataclass(frozen=True)
class _Work:
    """What a process has to know to read segments."""

    read: Callable[[Found], RawClip]
    layout: Layout
    persons: int
    steps: Preprocess | None
    folder: Path
    durable: bool


def cores() -> int:
    """Processes that can run at once."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class Spool(Scratch):
    """The clips of a plan on the disk, as far as they have been read.

    Args:
        folder: made when it is not there.
        plan: the clips.
        steps: preprocessing of each clip, or None.
        fingerprint: of the source and the settings; a spool of others is emptied.
        durable: each segment is forced to the disk before it counts.

    Raises:
        InputError: as `Scratch`.
    """

    def __init__(
        self, folder: Path, plan: Plan, steps: Preprocess | None, fingerprint: str = "", *, durable: bool = True
    ) -> None:
        self.plan, self.steps = plan, steps
        self.size = int(np.clip(len(plan.found) // _SEGMENTS, 1, _LARGEST_SEGMENT))
        self.durable = durable
        super().__init__(folder, fingerprint)

    def segments(self) -> range:
        """Numbers of all segments, whether they are there or not."""
        return range(-(-len(self.plan.found) // self.size))

    def missing(self) -> list[int]:
        """Segments that are still to be read."""
        return [number for number in self.segments() if not _path(self.folder, number).is_file()]

    def clips_in(self, numbers: Sequence[int]) -> int:
        """How many clips these segments have."""
        return sum(len(self._stretch(number)) for number in numbers)

    def _stretch(self, number: int) -> tuple[Found, ...]:
        return self.plan.found[number * self.size : (number + 1) * self.size]

    def fill(self, workers: int | None = None, progress: bool = False) -> None:
        """Read what is missing.

        Args:
            workers: processes; None: one for each core, and none for a few clips. 1 reads in this process.
            progress: a bar on stderr, with the time that is left.

        Raises:
            InputError: the disk is full, or a reader was ended from outside. What was read stays.
            KeyboardInterrupt: after the segments that are being read, with what to do.
        """
        missing = self.missing()
        left, total = self.clips_in(missing), len(self.plan.found)
        processes = (cores() if left >= _MANY else 1) if workers is None else workers
        with (
            self.so_far(),
            tqdm(total=total, initial=total - left, unit="clip", desc="reading", disable=not progress) as bar,
            closing(self._read_all(missing, processes)) as done,  # closed, no process is left
        ):
            for number in done:
                bar.update(len(self._stretch(number)))

    @contextmanager
    def so_far(self) -> Iterator[None]:
        """Who is stopped in here, by a signal or a full disk, hears how far it came and what to do."""
        try:
            yield
        except KeyboardInterrupt as stop:
            raise KeyboardInterrupt(f"{stop or 'Interrupted.'} {self._so_far()}") from None
        except BrokenProcessPool:
            raise InputError(
                f"A process that read clips was killed, as when memory is short. {self._so_far()}"
            ) from None
        except OSError as error:
            if error.errno not in _FULL:
                raise
            raise InputError(f"No room is left on the disk of {self.folder}. {self._so_far()}") from error

    def _so_far(self) -> str:
        done = len(self.plan.found) - self.clips_in(self.missing())
        return f"{done:,} of {len(self.plan.found):,} clips are read; the same command goes on from there."

    def _read_all(self, numbers: list[int], processes: int) -> Generator[int, None, None]:
        plan = self.plan
        work = _Work(plan.read, plan.layout, plan.persons, self.steps, self.folder, self.durable)
        if processes <= 1:
            for number in numbers:
                _read_segment(work, number, self._stretch(number))
                yield number
            return
        pool = ProcessPoolExecutor(processes, initializer=_start, initargs=(work,))
        left, running = iter(numbers), dict[Future[None], int]()
        try:
            while True:
                for number in left:
                    running[pool.submit(_work_on, number, self._stretch(number))] = number
                    if len(running) >= 2 * processes:  # one in work and one that waits for each
                        break
                if not running:
                    return
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    future.result()
                    yield running.pop(future)
        finally:
            pool.shutdown(cancel_futures=True)

    def records(self) -> Iterator[tuple[Found, Record, int]]:
        """(clip, what became of it, its segment) in the plan's order; all segments must be there."""
        for number in self.segments():
            with _path(self.folder, number).open("rb") as file:
                index = _index(file)
            for found, row in zip(self._stretch(number), index, strict=True):
                yield found, _record(row), number


def _record(row: dict[str, Any]) -> Record:
    return Record(**{**row, "notes": tuple(row.get("notes", ())), "stored": tuple(row.get("stored", (0, 0)))})


class SpooledRows(StoredRows):
    """The clips of a spool that were read, padded with zeros to the longest.

    Args:
        spool: filled.
        kept: of each clip its record and its segment.
    """

    def __init__(self, spool: Spool, kept: Sequence[tuple[Record, int]]) -> None:
        frames = max(record.frames for record, _ in kept)
        super().__init__((len(kept), 3, frames, spool.plan.layout.num_joints, spool.plan.persons))
        self.folder = spool.folder
        self.segment = np.array([number for _, number in kept])
        self.at = np.array([record.at for record, _ in kept], dtype=np.int64)
        self.stored = np.array([record.stored for record, _ in kept], dtype=np.int64).reshape(-1, 2)

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        made = np.zeros((stop - start, *self.shape[1:]), dtype=np.float32)
        joints = self.shape[3]
        for number in np.unique(self.segment[start:stop]):
            with _path(self.folder, int(number)).open("rb") as file:
                for row in start + np.flatnonzero(self.segment[start:stop] == number):
                    frames, persons = (int(size) for size in self.stored[row])
                    file.seek(int(self.at[row]))
                    clip = np.frombuffer(file.read(12 * frames * joints * persons), dtype=np.float32)
                    made[row - start, :, :frames, :, :persons] = clip.reshape(3, frames, joints, persons)
        return made


# --- in the processes that read ---------------------------------------------------------------------------------------


_WORK: list[_Work] = []  # of this process, given once: a plan's reader may know of a hundred thousand files


def _start(work: _Work) -> None:
    # a forked process waits forever for the threads that torch had in its parent, unless it wants one only
    torch.set_num_threads(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent hears it too and lets this one finish its segment
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=_end_with_parent, daemon=True).start()
    _WORK[:] = [work]


def _end_with_parent() -> None:
    parent = parent_process()
    if parent is not None:
        connection.wait([parent.sentinel])
        os._exit(1)  # killed, it could not tell: nobody takes what would be read from here on


def _work_on(number: int, stretch: tuple[Found, ...]) -> None:
    _read_segment(_WORK[0], number, stretch)


def _path(folder: Path, number: int) -> Path:
    return folder / f"{number:06d}.segment"


def _read_segment(work: _Work, number: int, stretch: tuple[Found, ...]) -> None:
    """Clips, then their index, then its length in 8 bytes."""
    path = _path(work.folder, number)
    half = path.with_suffix(f".{os.getpid()}.half")
    try:
        with half.open("wb") as file:
            index = json.dumps([_read_clip(work, found, file) for found in stretch]).encode()
            file.write(index)
            file.write(len(index).to_bytes(8, "little"))
            if work.durable:
                file.flush()
                os.fsync(file.fileno())
        half.replace(path)
    finally:
        half.unlink(missing_ok=True)


def _index(file: IO[bytes]) -> list[dict[str, Any]]:
    file.seek(-8, os.SEEK_END)
    size = int.from_bytes(file.read(8), "little")
    file.seek(-8 - size, os.SEEK_END)
    rows: list[dict[str, Any]] = json.loads(file.read(size))
    return rows


def _read_clip(work: _Work, found: Found, file: IO[bytes]) -> dict[str, Any]:
    """Write one clip; its record."""
    try:
        clip = work.read(found)
        x = _whole(clip.x, work.layout.num_joints, work.persons)
        length = x.shape[1]
        if work.steps is not None:
            x = work.steps.apply(torch.from_numpy(x)[None], work.layout)[0].numpy()
    except Exception as error:  # a clip that cannot be read costs itself, never the hours of all others
        known = isinstance(error, InputError | OSError)
        return {"reason": str(error) if known else f"cannot be read ({type(error).__name__}: {error})"}
    frames, persons = _occupied(x)
    record = {"length": length, "frames": x.shape[1], "stored": [frames, persons], "at": file.tell(), "fps": clip.fps}
    file.write(np.ascontiguousarray(x[:, :frames, :, :persons]).data.cast("B") if frames else b"")
    return {**record, "notes": list(clip.notes)} if clip.notes else record


def _whole(x: NDArray[Any], joints: int, persons: int) -> NDArray[np.float32]:
    """(3, T, V, M) float32 with M as planned.

    Raises:
        InputError: another shape, or a position that is none.
    """
    if x.ndim != 4 or x.shape[0] != 3 or x.shape[1] < 1 or x.shape[2] != joints or not 1 <= x.shape[3] <= persons:
        raise InputError(f"(3, T, {joints}, {persons}) is wanted, the clip is {x.shape}.")
    x = np.ascontiguousarray(x, dtype=np.float32)
    wrong = no_positions(x)
    if wrong is not None:
        axis, frame, joint, person = (int(i) for i in np.argwhere(wrong)[0])
        value = x[axis, frame, joint, person]
        raise InputError(f"frame {frame}, joint {joint} is {value}: no position in metres.")
    return x if x.shape[3] == persons else np.pad(x, [(0, 0), (0, 0), (0, 0), (0, persons - x.shape[3])])


def _occupied(x: NDArray[np.float32]) -> tuple[int, int]:
    """(frames up to the last in which anybody is there, persons up to the last who ever is)."""
    frames, persons = np.flatnonzero(x.any(axis=(0, 2, 3))), np.flatnonzero(x.any(axis=(0, 1, 2)))
    return (int(frames[-1]) + 1, int(persons[-1]) + 1) if len(frames) else (0, 0)


# --- what a spool was made of -----------------------------------------------------------------------------------------


def fingerprint(plan: Plan, files: Iterator[tuple[str, int, int]], settings: str) -> str:
    """Of the clips as planned, of (name, bytes, time of change) of the files, and of what was asked for."""
    digest = hashlib.sha256(f"{settings}\n{plan.layout}\n{plan.persons}\n".encode())
    for clip in plan.found:
        digest.update(f"{clip.name!r} {clip.label!r} {clip.place!r} {sorted(clip.ids.items())}\n".encode())
    for name, size, changed in files:
        digest.update(f"{name!r} {size} {changed}\n".encode())
    return digest.hexdigest()
