"""How far an epoch has come, and where its draws stand: what a save within an epoch holds."""

from typing import Any

import torch
from torch import Generator, Tensor

from hiclr.pretraining.schedule import derive

__all__ = ["Epoch"]


class Epoch:
    """How far an epoch has come: its steps, what they gave, and where its draws stand.

    Every rank makes the same draws, for the whole batch.

    Args:
        seed: of the run.
        number: epochs done before.
        device: where the augmentations are drawn.
    """

    def __init__(self, seed: int, number: int, device: torch.device) -> None:
        self.seed, self.number, self.device = seed, number, device
        self.draws = self._generators(number)
        self._before: dict[str, Tensor] = {}
        self.values: list[dict[str, Tensor]] = []
        self.seconds = 0.0

    def _generators(self, number: int) -> dict[str, Generator]:
        return {name: derive(self.seed, name, number, device=self.device) for name in ("queries", "keys")}

    @property
    def steps(self) -> int:
        """Steps done."""
        return len(self.values)

    def begin_step(self) -> None:
        """Keep where the draws stand."""
        self._before = {name: draws.get_state() for name, draws in self.draws.items()}

    def step_again(self) -> None:
        """Take the draws back to where the step began."""
        for name, state in self._before.items():
            self.draws[name].set_state(state)

    def state(self) -> dict[str, Any]:
        """What a save within an epoch holds of it."""
        names = list(self.values[0])
        return {
            "values": {name: torch.stack([value[name] for value in self.values]).cpu() for name in names},
            "draws": {name: draws.get_state() for name, draws in self.draws.items()},
            "device": self.device.type,
            "seconds": self.seconds,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Take up such a state."""
        kept = {name: values.to(self.device) for name, values in state["values"].items()}
        count = len(next(iter(kept.values())))
        self.values = [{name: values[i] for name, values in kept.items()} for i in range(count)]
        self.seconds = float(state["seconds"])
        if state.get("device", self.device.type) != self.device.type:
            # a generator of another kind of device cannot take these states up; that is not bit-exact in any case
            self.draws = self._generators(self.number + 2**20 * (count + 1))
            return
        for name, draws in self.draws.items():
            draws.set_state(state["draws"][name])

    def dropout_seed(self, rank: int) -> int:
        """Of the next step."""
        return derive(self.seed, "dropout", self.number * 2**20 + self.steps, rank).initial_seed()
