"""A step that is not finite: which clips of the batch made it so, and what was drawn for them."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from hiclr.augmentations import GrowingViews
from hiclr.augmentations.growing import Draw
from hiclr.errors import InputError

__all__ = ["Drawn", "NotFiniteError"]

_LONG = 64  # numbers of one parameter of one clip that are written out


class NotFiniteError(InputError):
    """The loss or its gradient is not finite; no weight was changed.

    Args:
        message: for the person who trains.
        report: plain values: the step, its losses, and what was drawn for each clip.
    """

    def __init__(self, message: str, report: dict[str, Any]) -> None:
        super().__init__(message)
        self.report = report


@dataclass(frozen=True)
class Drawn:
    """The views of a batch once more, for a look.

    Args:
        views: the ladder.
        clips: (N, 3, T, V, M).
        draws: name of the view -> (its number in the ladder, what was drawn for it).
        stream: positions -> what the encoder sees.
    """

    views: GrowingViews
    clips: Tensor
    draws: dict[str, tuple[int, Draw]]
    stream: Callable[[Tensor], Tensor]

    @torch.no_grad()
    def largest(self) -> Tensor:
        """(N,) the largest coordinate of each clip in any view; infinite where one is NaN or infinite."""
        seen = [self.views.apply_view(view, self.clips, draw, self.stream) for view, draw in self.draws.values()]
        return torch.stack([_largest(x) for x in seen]).amax(dim=0)

    def suspects(self) -> tuple[list[int], bool]:
        """(rows, whether they are sure): those that a view is not finite of, else all; largest coordinates first.

        Of several that are not finite, those that were largest before: an augmentation may take from another clip.
        """
        size, before = self.largest().tolist(), _largest(self.clips).tolist()
        order = sorted(range(len(size)), key=lambda row: (-size[row], -before[row], row))
        bad = [row for row in order if math.isinf(size[row])]
        return (bad, True) if bad else (order, False)

    def of(self, rows: Sequence[int], names: Sequence[str]) -> list[dict[str, Any]]:
        """Each of these clips: its name, its largest coordinate, and the parameters of every augmentation by view."""
        size = self.largest()
        return [
            {
                "clip": names[row],
                "largest coordinate": _plain(size[row]),
                "views": {name: self._parameters(view, draw, row) for name, (view, draw) in self.draws.items()},
            }
            for row in rows
        ]

    def _parameters(self, view: int, draw: Draw, row: int) -> list[dict[str, Any]]:
        return [
            {"augmentation": type(op).__name__, **{name: _plain(value[row]) for name, value in params.items()}}
            for op, params in zip(self.views.chain(view), draw, strict=True)
        ]


def _largest(x: Tensor) -> Tensor:
    """(N,) on the CPU; infinite where anything is not finite."""
    return x.abs().flatten(1).amax(dim=1).nan_to_num(math.inf, math.inf).cpu()  # a maximum over NaN is NaN


def _plain(value: Tensor) -> Any:
    """Numbers for JSON, one that is not finite as a word; of very many the range."""
    if value.numel() > _LONG:
        low, high = (_plain(end) for end in value.float().aminmax())
        return {"shape": list(value.shape), "lowest": low, "highest": high}
    return _words(value.tolist())


def _words(value: Any) -> Any:
    if isinstance(value, list):
        return [_words(entry) for entry in value]
    return value if not isinstance(value, float) or math.isfinite(value) else str(value)
