"""What a result may depend on besides settings and data: versions, device, processes."""

import logging
import os
import platform
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import torch

import hiclr
from hiclr.errors import InputError

__all__ = ["check_device", "environment", "launched_ranks", "pick_device"]

_say = logging.getLogger(__name__)


def _commit() -> str | None:
    """The commit of the code that runs, "-dirty" when it was changed since; None outside a clone."""
    home, git = Path(hiclr.__file__).parent.parent, shutil.which("git")
    if git is None or not (home / ".git").exists():
        return None
    command = [git, "-C", str(home), "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
    return done.stdout.strip() or None


def launched_ranks() -> tuple[int, int]:
    """(rank of this process, number of processes) as torchrun started them; (0, 1) without it."""
    return int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))


def check_device(name: str) -> tuple[str, int]:
    """(kind, number) of a device by its name alone: no hardware is asked.

    Raises:
        InputError: no name of a device.
    """
    if "," in name or name.isdecimal():
        raise InputError(
            f"device names one device; it is {name!r}. Several are used by several processes: "
            "torchrun --nproc-per-node=2 -m hiclr pretrain … (with --device cuda, or left out)."
        )
    kind, _, number = name.partition(":")
    kind = {"gpu": "cuda"}.get(kind, kind)
    if kind not in ("auto", "cpu", "cuda", "mps") or not (number or "0").isdecimal():
        raise InputError(f"device must be auto, cpu, cuda, cuda:1 or mps; it is {name!r}.")
    return kind, int(number or 0)


def pick_device(name: str, quiet: bool = False) -> torch.device:
    """The device of this name, or the CPU, which is said, where it is missing. "auto": the GPU where there is one.

    Raises:
        InputError: no name of a device.
    """
    kind, number = check_device(name)
    if kind == "auto":
        kind = "cuda" if torch.cuda.is_available() else "cpu"
    there = {
        "cpu": True,
        "cuda": torch.cuda.device_count() > number,
        "mps": torch.backends.mps.is_available(),
    }
    if not there[kind]:
        if not quiet:
            _say.warning("There is no device %s here: computing on the CPU.", name)
        kind = "cpu"
    return torch.device(kind, number) if kind == "cuda" else torch.device(kind)


def environment(device: str = "cpu") -> dict[str, Any]:
    """What a result may depend on besides settings and data; no environment variables, user or host names."""
    used = pick_device(device, quiet=True)
    return {
        "hiclr": hiclr.__version__,
        "commit": _commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": np.__version__,
        "threads": torch.get_num_threads(),
        "device": torch.cuda.get_device_name(used) if used.type == "cuda" else used.type,
        "system": platform.system(),
        "machine": platform.machine(),
        "ranks": launched_ranks()[1],
    }
