"""What training asks of the process it runs in: signals, a progress bar, memory that stays."""

import ctypes
import platform
import signal
import sys
import threading
import time
from types import FrameType
from typing import Any

from torch import Tensor
from tqdm.auto import tqdm

from hiclr.datasets.wording import duration
from hiclr.runs import Run, launched_ranks

__all__ = ["Progress", "StopFlag", "Stopped", "keep_memory", "progress"]

_NOTED = 2.0  # seconds between two notes of how far training is
_TOLD = 60.0  # seconds between two lines of it, where nobody watches a bar


class Stopped(KeyboardInterrupt):
    """Training ended early on request; what is saved and how to go on stands in the message."""


class StopFlag:
    """While entered, the first SIGINT or SIGTERM is remembered, a second SIGINT interrupts at once.

    Signals reach the main thread only; elsewhere nothing is changed and `wanted` stays False.
    """

    def __init__(self) -> None:
        self.wanted = False
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> "StopFlag":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGINT, signal.SIGTERM):
                self._before[number] = signal.signal(number, self._remember)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before.clear()

    def _remember(self, number: int, _: FrameType | None) -> None:
        if self.wanted and number == signal.SIGINT:
            raise KeyboardInterrupt
        self.wanted = True


def progress(total: int, done: int, unit: str = "step", delay: float = 0) -> tqdm:
    """A bar with the time left, on stderr or in the notebook; silent when no person watches.

    Args:
        total: steps in all.
        done: steps done before, which do not count for the time left.
        unit: what a step is called.
        delay: seconds before the bar shows: short work shows none.
    """
    watched = (sys.stderr.isatty() or "ipykernel" in sys.modules) and launched_ranks()[0] == 0
    return tqdm(total=total, initial=done, unit=unit, delay=delay, disable=not watched, leave=False, dynamic_ncols=True)


class Progress:
    """How far training is: a bar where a person watches, else a line a minute, and a note in the run folder.

    Args:
        run: takes the notes; None where another process does.
        epochs: of the run.
        steps: of an epoch.
        batch: clips of a step.
        done: steps done before.
    """

    def __init__(self, run: Run | None, epochs: int, steps: int, batch: int, done: int) -> None:
        self.run, self.steps, self.batch, self.total = run, steps, batch, epochs * steps
        self._before = self._done = done
        self._since = self._noted = self._told = time.monotonic()
        self._bar = progress(self.total, done)

    def update(self, loss: Tensor | float) -> None:
        """A step was done, with this loss (which is read from its device once a minute at most)."""
        self._done += 1
        self._bar.update()
        now = time.monotonic()
        if self.run is None:
            return
        if now - self._noted >= _NOTED:
            self._noted = now
            self.run.note(self._how_far(now))
        if self._bar.disable and now - self._told >= _TOLD:
            self._told = now
            far, (epoch, step) = self._how_far(now), divmod(self._done - 1, self.steps)
            text = (
                f"epoch {epoch + 1}/{self.total // self.steps}  step {step + 1}/{self.steps}  loss {float(loss):.3f}  "
                f"{far['clips_per_s']:,.0f} clips/s, {duration(far['seconds_left'])} left"
            )
            print(text, file=sys.stderr, flush=True)

    def _how_far(self, now: float) -> dict[str, float]:
        rate = (self._done - self._before) / (now - self._since)
        epoch = min(self._done // self.steps + 1, self.total // self.steps)
        return {"epoch": epoch, "step": self._done, "steps": self.total, "clips_per_s": rate * self.batch,
                "seconds_left": (self.total - self._done) / rate}  # fmt: skip

    def show(self, **values: Any) -> None:
        """Values beside the bar, at the end of an epoch; its row is a line by itself, and the next minute begins."""
        self._told = time.monotonic()
        self._bar.set_postfix(**values, refresh=False)

    def close(self) -> None:
        """Take the bar away."""
        self._bar.close()


_kept = False


def keep_memory() -> bool:
    """Keep glibc from handing freed memory back to the system after every layer; True when that is set.

    Large tensors are otherwise mapped and unmapped each time they are made: 225,000 page faults in one step of 128
    clips at the paper's width, less than one with this. Other systems are left alone.
    """
    global _kept
    if not _kept and sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        set_option = ctypes.CDLL(None).mallopt
        trim_threshold, top_pad, mmap_max = -1, -2, -4  # the numbers of malloc.h
        # Every call is made: the options are independent, and a refused one only costs speed.
        _kept = all([set_option(mmap_max, 0), set_option(trim_threshold, 2**31 - 1), set_option(top_pad, 2**26)])
    return _kept
