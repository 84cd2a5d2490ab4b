"""Where the time of a step of pretraining goes, part by part, on a CPU or a GPU.

    python -m benchmarks.profile [--preset paper] [--batch 128] [--device cpu] [--persons 1] [--precision 32]

Each part is timed where it runs, the device waited for before and after; of a part within a part the time counts for
the inner one alone, so that the parts add up to the step. Writes benchmarks/results/profile-<device>.json.
"""

import argparse
import dataclasses
import json
import os
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
from hiclr.augmentations import GrowingViews
from hiclr.datasets import SkeletonSet
from hiclr.losses import growing_loss, pretext_top1, similarity_logits
from hiclr.momentum import Queue
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain
from hiclr.pretraining.feed import Feed
from hiclr.pretraining.methods import Method, MomentumMethod
from hiclr.runs import environment, pick_device

RESULTS = Path(__file__).parent / "results"
STEPS = 4  # of an epoch; the first epoch warms up
REST = "everything else"

METHODS: list[tuple[type, str, str]] = [
    (Feed, "batch", "reading clips"),
    (GrowingViews, "draw", "augmentation: draws"),
    (GrowingViews, "draw_view", "augmentation: draws"),
    (GrowingViews, "make_view", "augmentation: applied"),
    (Method, "project", "query forwards"),
    (MomentumMethod, "project_key", "key forward"),
    (torch.Tensor, "backward", "backward"),
    (torch.optim.SGD, "step", "optimiser"),
    (torch.optim.AdamW, "step", "optimiser"),
    (MomentumMethod, "update_key", "momentum update"),
    (Queue, "enqueue", "queue"),
]
FUNCTIONS: list[tuple[Callable[..., Any], str]] = [
    (growing_loss, "loss"),
    (similarity_logits, "loss"),
    (pretext_top1, "loss"),
    (torch.nn.utils.clip_grad_norm_, "norm of the gradient"),
]


class Clock:
    """Seconds by the name of a part, over all calls."""

    def __init__(self, device: torch.device) -> None:
        self.device, self.seconds = device, defaultdict[str, float](float)
        self._within = [0.0]  # seconds that inner parts took, for each part that is running

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)

    def around(self, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
        """The same call, timed."""

        def timed(*args: Any, **kwargs: Any) -> Any:
            self.wait()
            start = time.perf_counter()
            self._within.append(0.0)
            try:
                return work(*args, **kwargs)
            finally:
                self.wait()
                whole = time.perf_counter() - start
                self.seconds[name] += whole - self._within.pop()
                self._within[-1] += whole

        return timed


def places() -> Iterator[tuple[Any, str, str]]:
    """(what holds it, its name there, the part it is of): functions wherever a module has imported them."""
    yield from METHODS
    rooms = [torch.nn.utils, *(room for name, room in sys.modules.items() if name.startswith("hiclr."))]
    for work, title in FUNCTIONS:
        yield from ((room, work.__name__, title) for room in rooms if vars(room).get(work.__name__) is work)


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Training with a clock around each of its parts."""
    kept = [(home, name, getattr(home, name), title) for home, name, title in places()]
    for home, name, work, title in kept:
        setattr(home, name, clock.around(title, work))
    try:
        yield
    finally:
        for home, name, work, _ in kept:
            setattr(home, name, work)


def profile(config: PretrainConfig, persons: int) -> dict[str, float]:
    """Seconds of each part of a step, medians over the epochs after the first; "step" is all of it."""
    x = clips(STEPS * config.batch_size, persons)
    train, clock = SkeletonSet.from_arrays(x, np.zeros(len(x), np.int64)), Clock(pick_device(config.device))
    rounds: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder, watched(clock):
        for row in pretrain(train, config, prepare_run(Path(folder) / "run", config, train)):
            seconds = {name: value / STEPS for name, value in clock.seconds.items()}
            seconds[REST] = row["seconds"] / STEPS - sum(seconds.values())
            rounds.append({**seconds, "step": row["seconds"] / STEPS})
            clock.seconds.clear()
    return {name: round(statistics.median(r[name] for r in rounds[1:]), 5) for name in rounds[-1]}


def percent(parts: dict[str, float]) -> dict[str, float]:
    """Each part in % of the step."""
    return {name: round(100 * seconds / parts["step"], 2) for name, seconds in parts.items()}


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
    shares = percent(parts)
    for name, seconds in parts.items():
        print(f"{name:<26}{1000 * seconds:>10.1f} ms{shares[name]:>8.2f} %")
    name = pick_device(given.device).type
    answer = {"settings": vars(given), "seconds": parts, "percent": shares, "machine": environment(given.device),
              "load": os.getloadavg()[0]}  # fmt: skip
    (RESULTS / f"profile-{name}.json").write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
