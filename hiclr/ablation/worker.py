"""One process of an ablation: takes runs as lines of JSON on stdin, trains and evaluates, answers on stdout.

    python -m hiclr.ablation.worker DATA DEVICE SPLIT

When stdin ends, because all is done, the queue stops or its process is gone, whatever is under way is saved and the
process ends.
"""

import _thread
import json
import logging
import os
import queue
import signal
import sys
import threading
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

from hiclr.datasets import SkeletonSet, open_set
from hiclr.encoders import use_encoder
from hiclr.errors import InputError
from hiclr.evaluation import evaluate
from hiclr.pretraining import PretrainConfig, prepare_run, pretrain
from hiclr.runs import load_run

__all__ = ["main"]

Say = Callable[[dict[str, Any]], None]
_WAIT = 60.0  # seconds for a process that a stopped queue left behind to save and go
PROTOCOLS = ("linear", "knn")


def main(data: str, device: str, split: str | None) -> None:
    """Work until stdin ends."""
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "w", encoding="utf-8")
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # whatever a library prints is no answer
    logging.basicConfig(stream=sys.stderr, format="%(message)s", level=logging.WARNING)
    signal.signal(signal.SIGTERM, _end)
    tasks: queue.SimpleQueue[dict[str, Any] | None] = queue.SimpleQueue()

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    threading.Thread(target=_listen, args=(tasks,), daemon=True).start()
    clips = None
    try:
        while (task := tasks.get()) is not None:
            try:
                clips = open_set(data) if clips is None else clips
                _one(task, clips, device, split, say)
            except InputError as error:
                say({"failed": str(error)})
            except Exception as error:  # one variant must not stop the others
                traceback.print_exc()
                say({"failed": f"{type(error).__name__}: {error}"})
    except (KeyboardInterrupt, BrokenPipeError):
        pass  # what can go on is saved


def _listen(tasks: "queue.SimpleQueue[dict[str, Any] | None]") -> None:
    for line in sys.stdin:
        tasks.put(json.loads(line))
    tasks.put(None)
    _thread.interrupt_main(signal.SIGTERM)


def _end(*_: int | FrameType | None) -> NoReturn:
    raise KeyboardInterrupt


def _one(task: dict[str, Any], clips: SkeletonSet, device: str, split: str | None, say: Say) -> None:
    """Train a run, or go on with it, and evaluate it."""
    folder, name = Path(task["folder"]), task["name"]
    print(f"== {name}", file=sys.stderr, flush=True)
    config = PretrainConfig.from_dict({**task["config"], "device": device})
    if ":" in config.encoder:  # somebody's own: whoever sends the task has named it
        use_encoder(config.encoder)
    since = time.monotonic()
    while (folder / "config.json").exists() and load_run(folder).writer() and time.monotonic() - since < _WAIT:
        time.sleep(0.2)
    train, _ = clips.split(split)
    run = prepare_run(folder, config, train)
    for row in pretrain(train, config, run):
        say({"epoch": row["epoch"], "seconds": row["seconds"]})
    evaluate(run, clips, PROTOCOLS, split, device)
    say({"done": True})


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], sys.argv[3] or None)
