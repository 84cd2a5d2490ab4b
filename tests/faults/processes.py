"""Real processes that start in a moment: each is forked from one that has imported everything and done nothing."""

import multiprocessing
import os
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import torch

from hiclr.__main__ import main

NOBODY = 65534
_WAIT = 120.0  # seconds

_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "hiclr.commands",
        "hiclr.pretraining",
        "hiclr.evaluation",
        "lightning_fabric",
        "scipy.optimize",
        "scipy.spatial",
        "scipy.special",
        "scipy.stats",
        "sklearn.linear_model",
        "sklearn.metrics",
        "sklearn.pipeline",
        "sklearn.preprocessing",
        "tyro",
        "pytest",
        "encodings.cp437",
        "encodings.utf_8_sig",
    ]
)

Hook = Callable[..., None]


@dataclass(frozen=True)
class Done:
    """What a command left: its exit code (minus the signal's number where one ended it) and what it printed."""

    code: int
    out: str
    err: str


@dataclass(frozen=True)
class Running:
    """A process that was started, and where what it prints goes."""

    process: BaseProcess
    files: tuple[Path, Path]

    @property
    def pid(self) -> int:
        assert self.process.pid is not None
        return self.process.pid

    def send(self, number: int) -> None:
        os.kill(self.pid, number)

    def wait(self, seconds: float = _WAIT) -> Done:
        """Until it ends; one that takes longer is killed, and its exit code says so."""
        self.process.join(seconds)
        if self.process.exitcode is None:
            self.process.kill()
            self.process.join()
        out, err = (path.read_text(encoding="utf-8", errors="replace") for path in self.files)
        for path in self.files:
            path.unlink()
        assert self.process.exitcode is not None
        return Done(self.process.exitcode, out, err)


def start(
    function: Callable[..., int | None], *args: Any, env: Mapping[str, str] | None = None, user: int | None = None
) -> Running:
    """A function of a module, called in a process of its own; its number is the exit code."""
    files = []
    for _ in range(2):
        handle, name = tempfile.mkstemp(prefix="hiclr-said-")
        os.close(handle)
        files.append(Path(name))
    process = _context.Process(target=_child, args=(function, args, files, dict(env or {}), user))
    process.start()
    return Running(process, (files[0], files[1]))


def _child(
    function: Callable[..., int | None], args: tuple[Any, ...], files: list[Path], env: dict[str, str], user: int | None
) -> None:
    for number, path in enumerate(files, start=1):
        os.dup2(os.open(path, os.O_WRONLY), number)
    os.environ.update(env)
    if "TMPDIR" in env:
        tempfile.tempdir = env["TMPDIR"]  # this one and no other: by itself Python looks for one that can be written
    if user is not None:
        os.setgroups([])
        os.setgid(user)
        os.setuid(user)
    sys.exit(function(*args) or 0)


def hiclr(*args: str | Path, hook: Hook | None = None, given: tuple[Any, ...] = (), **more: Any) -> Running:
    """A command of the command line; `hook(*given)` is called before it, in the same process."""
    return start(_command, [str(arg) for arg in args], hook, given, **more)


def _command(args: list[str], hook: Hook | None, given: tuple[Any, ...]) -> int:
    if hook is not None:
        hook(*given)
    return main(args)


def threads(count: int) -> None:
    """A hook: so many threads."""
    torch.set_num_threads(count)


def until(there: Callable[[], bool], running: Running | None = None, seconds: float = 60.0) -> None:
    """Wait for it, as long as the process runs."""
    limit = time.monotonic() + seconds
    while not there() and time.monotonic() < limit and (running is None or running.process.is_alive()):
        time.sleep(0.002)
    assert there(), "it did not come" if running is None else running.wait(0)
