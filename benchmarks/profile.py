"""Where the time of a step of pretraining goes, part by part, on a CPU or a GPU.

    python -m benchmarks.profile [--preset paper] [--batch 128] [--device cpu] [--persons 1] [--precision 32]

Each part is timed where it runs, the device waited for before and after, so the parts add up to the step or a little
more. Writes benchmarks/results/profile-<device>.json.
"""

import argparse
import dataclasses
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.step import clips
from hiclr.datasets import SkeletonSet
from hiclr.momentum import Queue
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain
from hiclr.pretraining import training as room
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.methods import Method, MomentumMethod, growing
from hiclr.runs import environment, pick_device

RESULTS = Path(__file__).parent / "results"
STEPS = 4  # of an epoch; the first epoch warms up


class Clock:
    """Seconds by the name of a part, over all calls."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, defaultdict[str, float](float)

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def around(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def timed(*args: Any, **kwargs: Any) -> Any:
            self.wait()
            start = time.perf_counter()
            found = work(*args, **kwargs)
            self.wait()
            self.seconds[name] += time.perf_counter() - start
            return found

        return timed


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Training with a clock around each of its parts."""
    parts: list[tuple[Any, str, str]] = [
        (room.Feed, "batch", "reading clips"),
        (Batch, "_view", "augmentation"),
        (Method, "project", "query forwards"),
        (MomentumMethod, "project_key", "key forward"),
        (growing, "growing_loss", "loss"),
        (room.torch.nn.utils, "clip_grad_norm_", "norm of the gradient"),
        (MomentumMethod, "update_key", "momentum update"),
        (Queue, "enqueue", "queue"),
    ]
    kept = [(home, name, getattr(home, name)) for home, name, _ in parts]
    for home, name, title in parts:
        setattr(home, name, clock.around(title, getattr(home, name)))
    try:
        yield
    finally:
        for home, name, work in kept:
            setattr(home, name, work)


def profile(config: PretrainConfig, persons: int) -> dict[str, Any]:
    """Seconds of each part of a step, medians over the steps of an epoch's worth; what is left is the backward pass,
    the optimiser and everything else."""
    x = clips(STEPS * config.batch_size, persons)
    train, clock = SkeletonSet.from_arrays(x, np.zeros(len(x), np.int64)), Clock(pick_device(config.device))
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, watched(clock):
        for row in pretrain(train, config, prepare_run(Path(folder) / "run", config, train)):
            seconds = {name: value / STEPS for name, value in clock.seconds.items()}
            seconds["backward, optimiser and the rest"] = row["seconds"] / STEPS - sum(seconds.values())
            rounds.append({**seconds, "step": row["seconds"] / STEPS})
            clock.seconds.clear()
    return {name: round(statistics.median(r[name] for r in rounds[1:]), 4) for name in rounds[-1]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--preset", default="paper", choices=sorted(PRESETS))
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--persons", type=int, default=1, help="of two places, how many are filled")
    parser.add_argument("--precision", default="32", choices=["32", "bf16-mixed"])
    parser.add_argument("--epochs", type=int, default=4)
    given = parser.parse_args()
    config = dataclasses.replace(
        PRESETS[given.preset], epochs=given.epochs, batch_size=given.batch, least_steps=1, knn_every=0,
        persons="present", precision=given.precision, device=given.device,
    )  # fmt: skip
    parts = profile(config, given.persons)
    for name, seconds in parts.items():
        print(f"{name:<36}{1000 * seconds:>10.1f} ms{seconds / parts['step']:>8.1%}")
    name = pick_device(given.device).type
    answer = {"settings": vars(given), "seconds": parts, "machine": environment(given.device)}
    (RESULTS / f"profile-{name}.json").write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
