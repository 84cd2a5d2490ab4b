"""Units of length: which one positions have, where their files do not say it."""

import math

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.readers.plan import Unit
from hiclr.errors import InputError

__all__ = ["CENTIMETRES", "INCHES", "METRES", "MILLIMETRES", "metres_or", "read_unit", "said_unit", "scaled"]

METRES = Unit(1.0, "metres")
CENTIMETRES = Unit(0.01, "centimetres")
MILLIMETRES = Unit(0.001, "millimetres")
INCHES = Unit(0.0254, "inches")
_WORDS = {"m": METRES, "cm": CENTIMETRES, "mm": MILLIMETRES, "in": INCHES}


def read_unit(word: str) -> Unit | None:
    """What `--units` says: a unit, metres in one unit of the files, or "auto", which is None.

    Raises:
        InputError: another word, or no number above 0.
    """
    if word == "auto":
        return None
    if word in _WORDS:
        return _WORDS[word]
    try:
        metres = float(word)
    except ValueError:
        metres = math.nan
    if not 0 < metres < math.inf:
        raise InputError(
            f"--units {word!r} is no unit. Wanted: auto, {', '.join(_WORDS)}, or the metres in one unit of the files "
            "(0.0254 for inches)."
        )
    return Unit(metres, f"units of {metres:g} m")


def metres_or(unit: Unit | None) -> tuple[float, str]:
    """(metres in one unit of files that do not say it, what to say about it): metres where the user gave none."""
    if unit is None:
        return 1.0, "the unit is not in the files: metres are assumed; --units gives another"
    return unit.metres, said_unit(unit)


def said_unit(unit: Unit) -> str:
    """The note on a unit that the user gave."""
    return f"{unit.name} are in the files, as --units says; metres come out"


def scaled(x: NDArray[np.float32], metres: float) -> NDArray[np.float32]:
    """Positions of any shape, in metres; of a unit that is 1 metre, exactly what they were."""
    with np.errstate(all="ignore"):  # what is no position is named where positions are checked
        return x * np.float32(metres)
