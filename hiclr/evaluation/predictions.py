"""What each protocol said of each test clip, kept beside the results: two runs are compared clip by clip."""

import io
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import Ids
from hiclr.errors import InputError
from hiclr.evaluation.statistics import Paired, paired
from hiclr.runs import write_atomically

__all__ = ["Predictions", "compare", "load_predictions"]


@dataclass(frozen=True)
class Predictions:
    """Classes that protocols predicted for the test clips.

    Args:
        names: n clip names, by which runs are joined.
        y: (n,) true classes.
        subjects: (n,) who acts; None where that is not known.
        classes: "protocol/measure" -> (n,) predicted classes.
        of: what they are of, as text: encoder and clips.
        confidence: (n,) of these classes, 0..1, under the same names, where a protocol has one.
    """

    names: tuple[str, ...]
    y: Ids
    subjects: Ids | None
    classes: Mapping[str, Ids]
    of: str
    confidence: Mapping[str, NDArray[Any]] = field(default_factory=dict)

    def save(self, path: Path) -> None:
        """Write an npz, whole or not at all.

        Raises:
            InputError: the folder cannot be written.
        """
        arrays: dict[str, Any] = {f"predicted/{name}": value.astype(np.int32) for name, value in self.classes.items()}
        arrays |= {f"confidence/{name}": value.astype(np.float32) for name, value in self.confidence.items()}
        arrays |= {} if self.subjects is None else {"subject": self.subjects}
        buffer = io.BytesIO()
        np.savez_compressed(buffer, names=np.array(self.names), y=self.y, of=np.array(self.of), **arrays)
        write_atomically(path, buffer.getvalue())


def load_predictions(path: Path | str) -> Predictions:
    """Read what `evaluate` kept: `predictions.npz` of a run folder.

    Raises:
        InputError: there is none, or it cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as kept:
            return Predictions(
                names=tuple(kept["names"].tolist()),
                y=kept["y"].astype(np.int64),
                subjects=kept["subject"].astype(np.int64) if "subject" in kept else None,
                classes={name: value.astype(np.int64) for name, value in _named(kept, "predicted/").items()},
                of=str(kept["of"]),
                confidence=_named(kept, "confidence/"),
            )
    except FileNotFoundError as error:
        raise InputError(f"{path} does not exist; evaluate the run first.") from error
    except Exception as error:  # a damaged zip raises nearly anything
        raise InputError(f"{path} cannot be read ({error}). Evaluate the run again.") from error


def _named(kept: Mapping[str, NDArray[Any]], prefix: str) -> dict[str, NDArray[Any]]:
    return {name.removeprefix(prefix): kept[name] for name in kept if name.startswith(prefix)}


def compare(first: Predictions, second: Predictions, measure: str = "linear/top1") -> Paired:
    """Test whether two runs differ on the same clips, joined by name whatever their order.

    Args:
        first: of one run.
        second: of another one.
        measure: "protocol/measure", as in `Predictions.classes`.

    Raises:
        InputError: other clips or classes, or a measure that one of them lacks.
    """
    for one in (first, second):
        if measure not in one.classes:
            raise InputError(f"There are no predictions of {measure!r}; there are: {', '.join(one.classes) or 'none'}.")
    places = {name: place for place, name in enumerate(second.names)}
    if set(places) != set(first.names):
        both = len(set(places) & set(first.names))
        raise InputError(
            f"A paired test needs the same test clips; of {len(first.names)} and {len(second.names)} clips {both} are "
            "in both runs. Evaluate both on the same set and split."
        )
    order = np.array([places[name] for name in first.names])
    if not np.array_equal(first.y, second.y[order]):
        raise InputError("The two runs were evaluated with other classes for the same clips; evaluate both again.")
    right = first.classes[measure] == first.y, second.classes[measure][order] == first.y
    return paired(*right, subjects=first.subjects)
