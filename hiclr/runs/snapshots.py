"""Small snapshots in a run folder: the features of a few clips at saved epochs."""

import io
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.runs.writing import write_atomically

__all__ = ["Snapshot", "read_snapshots", "write_snapshot"]

FOLDER = "snapshots"
_MOST = 65504  # of half precision, which rounds by 1 part in 2,048
_NOT_FEATURES = ("names", "epoch")

_say = logging.getLogger(__name__)


@dataclass(frozen=True)
class Snapshot:
    """Features of N clips after an epoch.

    Args:
        epoch: epochs done; 0 is before training.
        names: of the clips.
        features: name of a view, "clean" or "key" -> (N, D) float32, kept with half the bits.
    """

    epoch: int
    names: tuple[str, ...]
    features: Mapping[str, NDArray[np.float32]]


def write_snapshot(run: Path, snapshot: Snapshot) -> Path:
    """Keep a snapshot; one of the same epoch is written over.

    Raises:
        InputError: the folder is full or may not be written.
    """
    path = run / FOLDER / f"epoch-{snapshot.epoch:05d}.npz"
    halves: dict[str, Any] = {}
    for name, x in snapshot.features.items():
        halves[name] = np.clip(x, -_MOST, _MOST).astype(np.float16)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, names=np.array(snapshot.names), epoch=np.array(snapshot.epoch), **halves)
    try:
        path.parent.mkdir(exist_ok=True)
    except OSError as error:
        raise InputError(f"{path.parent} cannot be made ({error.strerror or error}).") from error
    write_atomically(path, buffer.getvalue())
    return path


def read_snapshots(run: Path) -> list[Snapshot]:
    """All snapshots of a run folder, by epoch; a damaged one is left out with a warning."""
    found = []
    for path in sorted((run / FOLDER).glob("epoch-*.npz")):
        try:
            with np.load(path, allow_pickle=False) as kept:
                features = {name: kept[name].astype(np.float32) for name in kept.files if name not in _NOT_FEATURES}
                found.append(Snapshot(int(kept["epoch"]), tuple(map(str, kept["names"])), features))
        except Exception as error:  # a damaged zip raises nearly anything
            _say.warning("%s is damaged (%s) and left out.", path.name, error)
    return found
