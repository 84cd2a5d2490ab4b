"""The explorer with a slider over the epochs of training."""

import math
from typing import Any, ClassVar

import traitlets

from hiclr.datasets.preprocessing import Preprocess
from hiclr.errors import InputError
from hiclr.evaluation import THROUGH, Through
from hiclr.figures import through as still
from hiclr.figures.style import Figure, label
from hiclr.widgets.explorer import Explorer
from hiclr.widgets.scatter import Scatter
from hiclr.widgets.scripts import script

__all__ = ["ThroughTraining"]


class _Stages(Scatter):
    """Maps of the same clips at E stages; the browser holds all of them, so that it asks nothing to show another."""

    front: ClassVar[str] = "through"
    _esm: ClassVar[str] = script(front)

    stage = traitlets.Int(0).tag(sync=True)
    stages = traitlets.List(traitlets.Unicode()).tag(sync=True)  # what each is called
    stage_xy = traitlets.Bytes().tag(sync=True)  # little-endian float32, (E, P, N, 2)
    stage_density = traitlets.Bytes().tag(sync=True)  # little-endian float32, (E, P, N)
    numbers = traitlets.Dict().tag(sync=True)  # {columns, branches, values: (E, branches, columns) texts}


class ThroughTraining(Explorer):
    """Maps of a few clips at saved epochs: a slider goes through training, points keep their colour and what is picked.

    Args:
        through: of `evaluation.through_training`.
        preprocess: applied to a clip before it is played.
        title: of the maps and of the still picture.
        more: what the explorer takes besides.
    """

    drawn_by: ClassVar[type[Scatter]] = _Stages

    def __init__(
        self, through: Through, preprocess: Preprocess | None = None, title: str = "Through training", **more: Any
    ) -> None:
        self._through, self._at = through, len(through.epochs) - 1
        self._units_at: list[dict[str, Any]] = [{} for _ in through.epochs]
        last = through.epochs[-1]
        more = {"preprocess": preprocess, "title": title, "features": self._features_at(last), **more}
        super().__init__(self._maps_at(last), clips=through.clips, **more)
        self._units = self._units_at[self._at]
        placed = [self.scatter.placed(self._maps_at(epoch)) for epoch in through.epochs]
        with self.scatter.hold_sync():
            self.scatter.stages = ["before training" if epoch == 0 else f"epoch {epoch}" for epoch in through.epochs]
            self.scatter.stage_xy = b"".join(each["xy"] for each in placed)
            self.scatter.stage_density = b"".join(each["density"] for each in placed)
            self.scatter.numbers = _numbers(through)
            self.scatter.stage = self._at
        self.scatter.observe(self._guarded(self._go), "stage")

    @property
    def epoch(self) -> int:
        """The epoch that is shown; to set it moves the slider.

        Raises:
            InputError: no map is kept of that epoch.
        """
        return self._through.epochs[self._at]

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        if epoch not in self._through.epochs:
            known = ", ".join(map(str, self._through.epochs))
            raise InputError(f"There are maps of the epochs {known}; there is none of {epoch}.")
        self.scatter.stage = self._through.epochs.index(epoch)

    def near_of_all(self, index: int) -> list[list[list[tuple[int, float]]]]:
        shown = self._at
        found = []
        for stage in range(len(self._through.epochs)):
            self._turn_to(stage)
            found += super().near_of_all(index)
        self._turn_to(shown)
        return found

    def _maps_at(self, epoch: int) -> dict[str, Any]:
        return {branch: found[epoch] for branch, found in self._through.maps.items()}

    def _features_at(self, epoch: int) -> dict[str, Any]:
        return {branch: self._through.features[epoch][branch] for branch in self._through.maps}

    def _turn_to(self, stage: int) -> None:
        epoch = self._through.epochs[stage]
        self._at, self._maps, self._features = stage, self._maps_at(epoch), self._features_at(epoch)
        self._units = self._units_at[stage]

    def _go(self, stage: int) -> None:
        self._turn_to(stage)
        self._point_out(self.picked["index"], self.picked["panel"])

    def _rings(self, index: int) -> dict[str, Any]:
        return {**super()._rings(index), "stage": self._at}

    def describe(self) -> str:
        shown = ", ".join(map(str, self._through.epochs))
        return f"{super().describe()}, at the epochs {shown}"

    def picture(self) -> Figure:
        """Maps of a few epochs, and the numbers of all."""
        return still.through_training(self._through, self._title)


def _numbers(through: Through) -> dict[str, Any]:
    """Of every branch, at each epoch that has a map, as they are shown."""
    at = [through.measured.index(epoch) for epoch in through.epochs]
    branches = through.numbers.values()
    values = [[[_shown(found[name][k]) for name in THROUGH] for found in branches] for k in at]
    return {"columns": list(THROUGH), "branches": [label(name, 20) for name in through.numbers], "values": values}


def _shown(value: float) -> str:
    return f"{value:.3f}".replace("-", "−") if math.isfinite(value) else "—"
