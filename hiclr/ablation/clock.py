"""How long the rest of an ablation takes, from what its epochs took so far."""

import time
from collections.abc import Callable, Mapping

__all__ = ["Clock"]


class Clock:
    """Seconds per epoch of each variant, start and evaluation of its runs included.

    Args:
        epochs: of a run of each variant.
        now: seconds; another one for tests.
    """

    def __init__(self, epochs: Mapping[str, int], now: Callable[[], float] = time.monotonic) -> None:
        self._epochs, self._now = epochs, now
        self._spent: dict[str, list[float]] = {}  # variant -> [seconds, epochs]
        self._since: dict[str, tuple[float, int]] = {}  # run under way -> (when, epoch) it was last heard of

    def learn(self, variant: str, seconds: float, epochs: float) -> None:
        """What a run took earlier."""
        spent = self._spent.setdefault(variant, [0.0, 0.0])
        spent[0] += seconds
        spent[1] += epochs

    def start(self, run: str, epoch: int) -> None:
        """A run begins, or goes on, with this many epochs done."""
        self._since[run] = self._now(), epoch

    def tick(self, run: str, variant: str, epoch: int) -> None:
        """A run has done this many epochs."""
        since, before = self._since[run]
        self.learn(variant, self._now() - since, epoch - before)
        self._since[run] = self._now(), epoch

    def end(self, run: str, variant: str) -> None:
        """A run is through, or lost."""
        since, _ = self._since.pop(run)
        self.learn(variant, self._now() - since, 0)

    def left(self, runs: Mapping[str, tuple[str, int]], jobs: int) -> float | None:
        """Seconds for these runs, name -> (variant, epochs done); None while nothing is known."""
        known = {name: seconds / epochs for name, (seconds, epochs) in self._spent.items() if epochs}
        if not known:
            return None
        usual = sum(known.values()) / len(known)
        each = [known.get(variant, usual) * (self._epochs[variant] - done) for variant, done in runs.values()]
        return max([sum(each) / jobs, *each], default=0.0)
