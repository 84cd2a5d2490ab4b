"""The processes of an ablation, as seen from the one that hands out the runs."""

import json
import os
import queue
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, cast

import hiclr
from hiclr.ablation.study import Trial

__all__ = ["Event", "Worker", "how_it_ended"]

Event = tuple["Worker", dict[str, Any]]
_HOME = str(Path(hiclr.__file__).parent.parent)


class Worker:
    """A process that trains one run after another.

    Args:
        number: of its log, log/worker-<number>.txt.
        folder: of the study.
        data: what `open_set` takes.
        split: the set's protocol, or None.
        device: cpu, cuda:1, …
        threads: that it computes with.
        events: where its answers go; {"gone": exit code} is the last.
    """

    def __init__(
        self,
        number: int,
        folder: Path,
        data: str,
        split: str | None,
        device: str,
        threads: int,
        events: "queue.SimpleQueue[Event]",
    ) -> None:
        self.number, self._events = number, events
        self.trial: Trial | None = None
        self.log = folder / "log" / f"worker-{number}.txt"
        self.log.parent.mkdir(exist_ok=True)
        path = os.pathsep.join([_HOME, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": str(threads)}
        command = [sys.executable, "-m", "hiclr.ablation.worker", data, device, split or ""]
        with self.log.open("ab") as log:
            # a session of its own: ctrl-C reaches the queue alone, which lets every process save first
            self._process = subprocess.Popen(  # noqa: S603
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, text=True, encoding="utf-8",
                env=environment, start_new_session=True,
            )  # fmt: skip
        self._orders, self._answers = cast(IO[str], self._process.stdin), cast(IO[str], self._process.stdout)
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        for line in self._answers:
            with suppress(ValueError):  # the torn line of a process that was killed
                self._events.put((self, json.loads(line)))
        self._events.put((self, {"gone": self._process.wait()}))

    def give(self, trial: Trial) -> None:
        """Hand over a run. Where the process has just ended, `events` says so."""
        self.trial = trial
        task = {"name": str(trial), "folder": str(trial.folder), "config": trial.config.to_dict()}
        with suppress(OSError):
            self._orders.write(json.dumps(task) + "\n")
            self._orders.flush()

    def close(self) -> None:
        """Let it save what is under way and end."""
        with suppress(OSError):
            self._orders.close()

    def wait(self, seconds: float) -> None:
        """Until it has ended; after that many seconds it is ended."""
        try:
            self._process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.kill()

    def kill(self) -> None:
        """End it at once; the last checkpoint stays."""
        self._process.kill()
        self._process.wait()


def how_it_ended(code: int) -> str:
    """An exit code in words: "was ended by SIGKILL (as where memory runs out)"."""
    if code >= 0:
        return f"ended with exit code {code}"
    name = signal.Signals(-code).name if -code in set(signal.Signals) else str(-code)
    return f"was ended by {name}{' (as where memory runs out)' if name == 'SIGKILL' else ''}"
