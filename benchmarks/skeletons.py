"""Files in the format of NTU RGB+D, made up: for measuring what reads them. No data of anybody's is in them."""

from collections.abc import Iterator
from itertools import product
from pathlib import Path

import numpy as np

__all__ = ["NTU120", "names", "write_files"]

NTU120 = 114_480
"""Files of NTU RGB+D 120: 106 performers, 120 actions, nine recordings of each pair."""

_CONTENTS = 48  # different ones
_REST = "277.4419 191.8218 1036.233 519.1677 -0.2059419 0.05349901 0.969249 -0.1239193 2"  # pixels, orientation, state


def names(count: int = NTU120) -> list[str]:
    """So many names with the performers, actions, cameras, setups and replications of NTU RGB+D 120, spread evenly.

    Which setup goes with whom is made up; as published, those up to 17 have the first 60 actions.
    """
    every = [_name(*clip) for clip in product(range(1, 107), range(1, 121), range(3), range(1, 4))]
    return sorted(every[i] for i in np.linspace(0, len(every) - 1, count).astype(int))


def _name(performer: int, action: int, recording: int, camera: int) -> str:
    first, setups = (1, 17) if action <= 60 else (18, 15)
    setup = first + (performer - 1 + recording // 2) % setups
    return f"S{setup:03d}C{camera:03d}P{performer:03d}R{recording % 2 + 1:03d}A{action:03d}"


def write_files(folder: Path, count: int, frames: int, longest: int = 0) -> None:
    """`count` files of about so many frames, one or two bodies; the first has `longest` frames where that is more."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    contents = [_content(rng, max(1, frames + i % 5 - 2), 1 + (i % 4 == 3)) for i in range(_CONTENTS)]
    for i, name in enumerate(names(count)):
        text = _content(rng, longest, 2) if i == 0 and longest > frames else contents[i % _CONTENTS]
        (folder / f"{name}.skeleton").write_text(text)


def _content(rng: np.random.Generator, frames: int, bodies: int) -> str:
    body = rng.normal(size=(bodies, 25, 3)) * (0.1, 0.6, 0.1) + (0, 0, 3)
    points = body + np.cumsum(rng.normal(size=(frames, bodies, 25, 3)) * 0.03, axis=0)
    return "\n".join([str(frames), *(line for frame in points for line in _frame(frame))]) + "\n"


def _frame(bodies: np.ndarray) -> Iterator[str]:
    yield str(len(bodies))
    for identity, joints in enumerate(bodies, 72_057_594_037_931_101):
        yield f"{identity} 0 1 1 1 1 0 -0.2177043 0.06314862 2"
        yield "25"
        for x, y, z in joints:
            yield f"{x:.7f} {y:.7f} {z:.7f} {_REST}"
