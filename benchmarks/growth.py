"""How pretraining grows with the number of clips, read from a memory-mapped set: clips/s and memory.

    python -m benchmarks.growth [--clips 1000 10000 100000] [--steps 40]

The same steps (small preset, batch 64) on sets of different size, each in a process of its own, in turn and twice.
Writes benchmarks/results/growth.json.
"""

import argparse
import dataclasses
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hiclr.datasets import SkeletonSet, open_set
from hiclr.pretraining import PRESETS
from hiclr.pretraining.training import Training
from hiclr.runs import environment

RESULTS = Path(__file__).parent / "results" / "growth.json"
WARM = 5  # steps before the clock starts
FRAMES = 50


def resident() -> dict[str, float]:
    """MB of this process: its own, and pages of mapped files, which the system takes back when it needs them."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: int(rows[key].split()[0]) / 1024 for name, key in (("own", "RssAnon"), ("mapped", "RssFile"))}


def write(folder: Path, count: int) -> None:
    """A set of so many clips as a folder of npy, written block by block: joints that wander, two persons."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    block = rng.normal(0, 0.02, (500, 3, FRAMES, 25, 2)).cumsum(axis=2).astype(np.float32)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (count, *block.shape[1:]))
    for start in range(0, count, len(block)):
        x[start : start + len(block)] = block[: count - start]
    x.flush()
    np.save(folder / "y.npy", np.arange(count) % 60)
    (folder / "meta.json").write_text(json.dumps({"format": "hiclr"}))


def measure(folder: Path, steps: int) -> dict[str, float]:
    """Steps on clips from all over the set."""
    clips: SkeletonSet = open_set(str(folder))
    config = dataclasses.replace(PRESETS["small"], knn_every=0, device="cpu", frames=FRAMES, queue_size=512)
    before = resident()
    training = Training(clips, config)
    order = torch.from_numpy(np.random.default_rng(1).permutation(len(clips)))
    batches = [b for _ in range(99) for b in torch.split(order, config.batch_size) if len(b) == config.batch_size]
    epoch, start = training.begin(0, None), 0.0
    training.model.train()
    for number, batch in enumerate(batches[: WARM + steps]):
        if number == WARM:
            start = time.perf_counter()
        epoch.values.append(training._step(batch, epoch))
    seconds, after = time.perf_counter() - start, resident()
    return {
        "clips_per_s": round(steps * config.batch_size / seconds, 1),
        **{f"{name}_mb_grown": round(after[name] - before[name], 1) for name in after},
        "own_mb": round(after["own"], 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clips", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--one", type=Path, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.one, given.steps)))
        return 0
    found: dict[str, list[Any]] = {str(count): [] for count in given.clips}
    with tempfile.TemporaryDirectory() as folder:
        for count in given.clips:
            write(Path(folder) / str(count), count)
        for _ in range(given.rounds):
            for count in given.clips:
                command = [sys.executable, "-m", "benchmarks.growth", "--steps", str(given.steps)]
                done = subprocess.run(  # noqa: S603 - ours
                    [*command, "--one", str(Path(folder) / str(count))], stdout=subprocess.PIPE, check=True
                )
                found[str(count)].append(json.loads(done.stdout.splitlines()[-1]))
                print(f"{count:>8,} clips  {found[str(count)][-1]}", flush=True)
    RESULTS.write_text(json.dumps({"rows": found, "machine": environment("cpu")}, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
