"""What training asks of the process it runs in: signals, a progress bar, memory that stays."""

import ctypes
import logging
import platform
import signal
import sys
import threading
from types import FrameType
from typing import Any

import torch
from tqdm.auto import tqdm

from hiclr.errors import InputError

__all__ = ["StopFlag", "Stopped", "keep_memory", "pick_device", "progress"]

_say = logging.getLogger(__name__)


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
    watched = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(total=total, initial=done, unit=unit, delay=delay, disable=not watched, leave=False, dynamic_ncols=True)


def pick_device(name: str) -> torch.device:
    """The device of this name, or the CPU, which is said, where it is missing. "auto": the GPU where there is one.

    Raises:
        InputError: no name of a device.
    """
    kind, _, number = name.partition(":")
    kind = {"gpu": "cuda"}.get(kind, kind)
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    if kind not in ("cpu", "cuda", "mps") or not (number or "0").isdecimal():
        raise InputError(f"device must be auto, cpu, cuda, cuda:1 or mps; it is {name!r}.")
    there = {
        "cpu": True,
        "cuda": torch.cuda.device_count() > int(number or 0),
        "mps": torch.backends.mps.is_available(),
    }
    if not there[kind]:
        _say.warning("There is no device %s here: computing on the CPU.", name)
        kind = "cpu"
    return torch.device(kind, int(number or 0)) if kind == "cuda" else torch.device(kind)


_kept = False


def keep_memory() -> bool:
    """Keep glibc from handing freed memory back to the system after every forward pass; True when that is set.

    Large tensors are otherwise mapped and unmapped each time they are made, about a million page faults in a step of
    the paper's encoder. Other systems are left alone.
    """
    global _kept
    if not _kept and sys.platform == "linux" and platform.libc_ver()[0] == "glibc":
        set_option = ctypes.CDLL(None).mallopt
        trim, pad, map_from = -1, -2, -3  # M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD
        largest = 32 * 2**20  # what glibc accepts as a threshold
        _kept = all((set_option(map_from, largest), set_option(trim, 2**31 - 1), set_option(pad, 2**28)))
    return _kept
