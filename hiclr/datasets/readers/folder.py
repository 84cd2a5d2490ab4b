"""From a folder of raw NTU files to a set: every file is converted or named with the reason why not."""

from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from tqdm import tqdm

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.datasets.readers.ntu import ACTIONS, PUBLISHED, NtuName, RawClip, ntu_protocols, read_skeleton
from hiclr.datasets.readers.ntu_missing import missing_names
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

__all__ = ["Conversion", "Skipped", "read_ntu"]

_MANY = 200  # files from which processes pay


@dataclass(frozen=True)
class Skipped:
    """A file that did not become a clip, and why; `harmless` when nobody has to do anything about it."""

    file: str
    reason: str
    harmless: bool = False


@dataclass(frozen=True)
class Conversion:
    """A set made of raw files, and what there is to say about it."""

    clips: SkeletonSet
    skipped: tuple[Skipped, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _Read:
    path: Path
    x: NDArray[np.float32] | None
    length: int
    notes: tuple[str, ...]
    fault: str = ""


def read_ntu(source: Path, preprocess: Preprocess | None, progress: bool) -> Conversion:
    """All `.skeleton` files in a folder and the folders in it.

    Args:
        source: one file or a folder.
        preprocess: applied to each clip; None keeps positions and frames as in the file, padded with zeros.
        progress: a bar on stderr.

    Raises:
        InputError: no file could be converted; the reasons are given.
    """
    files = [source] if source.is_file() else sorted(p for p in source.rglob("*") if p.is_file())
    wanted, skipped = _sift(files)
    good: list[_Read] = []
    notes: list[str] = []
    for read in tqdm(_read_all(wanted, preprocess), total=len(wanted), unit="file", disable=not progress):
        if read.x is None:
            skipped.append(Skipped(read.path.name, read.fault))
            continue
        good.append(read)
        notes += [f"{read.path.name}: {note}" for note in read.notes]
    if not good:
        reasons = "; ".join(f"{s.file}: {s.reason}" for s in skipped[:10])
        raise InputError(f"No file of {source.name} could be converted. {reasons}")
    clips = _assemble(good, source.name, preprocess)
    return Conversion(clips, tuple(skipped), (*notes, *_beside_published(clips)))


def _beside_published(clips: SkeletonSet) -> list[str]:
    """A line for each protocol with fewer clips than were published."""
    notes = []
    for name, test in clips.protocols.items():
        here, published = len(test), sum(PUBLISHED[name])
        if here < 0.99 * published:
            notes.append(
                f"{name}: {here:,} of the {published:,} published clips are here ({here / published:.1%}). "
                "Results on a part do not compare with published ones."
            )
    return notes


def _sift(files: list[Path]) -> tuple[list[Path], list[Skipped]]:
    """(files to read, files that are left alone with the reason)."""
    missing, seen = missing_names(), set[str]()
    wanted, skipped = [], []
    for path in files:
        name = NtuName.parse(path)
        if name is None:
            reason = "the name does not follow SsssCcccPpppRrrrAaaa.skeleton"
            skipped.append(Skipped(path.name, reason, harmless=".skeleton" not in path.name))
        elif not 1 <= name.action <= ACTIONS:
            skipped.append(Skipped(path.name, f"the name says action {name.action}, known are 1 to {ACTIONS}"))
        elif path.stem in missing:
            reason = "on the published list of clips without a usable skeleton"
            skipped.append(Skipped(path.name, reason, harmless=True))
        elif path.stem in seen:
            skipped.append(Skipped(path.name, "a second file of that name", harmless=True))
        else:
            seen.add(path.stem)
            wanted.append(path)
    return wanted, skipped


def _read_all(files: list[Path], preprocess: Preprocess | None) -> Iterator[_Read]:
    read = partial(_read_one, preprocess=preprocess)
    if len(files) < _MANY:
        yield from map(read, files)
        return
    # a forked process waits forever for the threads that torch had in its parent, unless it wants one only
    with ProcessPoolExecutor(initializer=torch.set_num_threads, initargs=(1,)) as pool:
        yield from pool.map(read, files, chunksize=16)


def _read_one(path: Path, preprocess: Preprocess | None) -> _Read:
    try:
        clip: RawClip = read_skeleton(path)
    except (InputError, OSError, ValueError, IndexError) as error:
        return _Read(path, None, 0, (), str(error))
    x = clip.x
    if preprocess is not None:
        x = preprocess.apply(torch.from_numpy(x)[None], NTU_25)[0].numpy()
    return _Read(path, x, clip.x.shape[1], clip.notes)


def _assemble(reads: Iterable[_Read], source: str, preprocess: Preprocess | None) -> SkeletonSet:
    reads = list(reads)
    frames = max(read.x.shape[1] for read in reads if read.x is not None)
    x = np.zeros((len(reads), 3, frames, NTU_25.num_joints, 2), dtype=np.float32)
    for row, read in zip(x, reads, strict=True):
        if read.x is not None:
            row[:, : read.x.shape[1]] = read.x
    names = [read.path.stem for read in reads]
    parts = [name for read in reads if (name := NtuName.parse(read.path)) is not None]
    ids = {
        "subject": np.array([part.performer for part in parts], dtype=np.int64),
        "camera": np.array([part.camera for part in parts], dtype=np.int64),
        "setup": np.array([part.setup for part in parts], dtype=np.int64),
    }
    action = np.array([part.action for part in parts], dtype=np.int64)
    protocols = ntu_protocols(ids["subject"], ids["camera"], ids["setup"], action)
    last = ACTIONS if "ntu120-xsub" in protocols else 60
    return SkeletonSet.from_arrays(
        x,
        action - 1,
        layout=NTU_25,
        classes=[f"A{i:03d}" for i in range(1, last + 1)],
        names=names,
        ids=ids,
        length=np.array([read.length for read in reads], dtype=np.int64),
        protocols=protocols,
        source=source,
        preprocessing=() if preprocess is None else preprocess.steps(),
    )
