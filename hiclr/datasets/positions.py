"""What a position in metres cannot be, and which clip, frame and joint holds it."""

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.rows import blocks
from hiclr.datasets.wording import counted
from hiclr.errors import InputError

__all__ = ["FARTHEST", "check_positions", "checked", "no_positions"]

FARTHEST = 1e4  # metres; beyond it lies no room, only a broken file


def no_positions(x: NDArray[Any]) -> NDArray[np.bool_] | None:
    """Where numbers are no positions in metres: too far, infinite or NaN; None where all are positions."""
    with np.errstate(invalid="ignore"):
        if x.max(initial=0) < FARTHEST and x.min(initial=0) > -FARTHEST:  # NaN fails both
            return None
        return np.asarray(~(np.abs(x) < FARTHEST))  # NaN is not smaller either


def check_positions(clips: SkeletonSet, source: str) -> None:
    """Refuse positions that are no positions.

    Raises:
        InputError: naming clip, frame and joint of what is NaN, infinite or farther than 10 km away.
    """
    for _ in checked(clips, source):
        pass


def checked(clips: SkeletonSet, source: str) -> Iterator[NDArray[np.float32]]:
    """The blocks of x as they are read.

    Raises:
        InputError: after the last of them, as `check_positions`; none is given out after one that held what is none.
    """
    faults: list[str] = []
    for start, block in blocks(clips.x):
        faults += _faults(clips, start, block)
        if not faults:
            yield block
    if faults:
        more = f", and {counted(len(faults) - 10, 'clip')} more" if len(faults) > 10 else ""
        raise InputError(
            f"{source}: {counted(len(faults), 'clip holds', 'clips hold')} positions that are not finite or absurdly "
            f"far (over 10 km): {'; '.join(faults[:10])}{more}. Repair or drop them; positions are metres."
        )


def _faults(clips: SkeletonSet, start: int, block: NDArray[np.float32]) -> list[str]:
    """What is no position in the clips from `start` on, one line for each clip."""
    wrong = no_positions(block)
    if wrong is None:
        return []
    faults = []
    for clip in np.flatnonzero(wrong.any(axis=(1, 2, 3, 4))):
        at = np.argwhere(wrong[clip])[0]
        frame, joint, value = int(at[1]), int(at[2]), block[clip][tuple(at)]
        name = clips.layout.joints[joint]
        faults.append(f"{clips.names[start + clip]}: frame {frame}, joint {joint} ({name}) is {value}")
    return faults
