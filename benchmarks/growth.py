"""How pretraining grows: with the number of clips, read from a memory-mapped set, with frames, joints and the batch.

    python -m benchmarks.growth [--by clips frames joints batch] [--clips 1000 10000 100000] [--steps 40] [--rounds 2]

The same steps (small preset) on 1,000 clips of 50 frames and 25 joints in batches of 64, and with one of these
changed; each in a process of its own, in turn, so that a busy machine hits all. Writes benchmarks/results/growth.json.
"""

import argparse
import dataclasses
import json
import os
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from hiclr.datasets import SkeletonSet, open_set
from hiclr.pretraining import PRESETS
from hiclr.pretraining.training import Training
from hiclr.runs import environment
from hiclr.skeleton import LAYOUTS

RESULTS = Path(__file__).parent / "results" / "growth.json"
WARM = 5  # steps before the clock starts
LAYOUT_OF = {layout.num_joints: name for name, layout in reversed(LAYOUTS.items())}


@dataclass(frozen=True)
class Point:
    """What is measured at: the sizes that change, and the encoder."""

    clips: int = 1000
    frames: int = 50
    joints: int = 25
    batch: int = 64
    encoder: str = "tcn"

    @property
    def name(self) -> str:
        """Of the folder of the set: batches of any size are taken from one."""
        return f"{self.clips}-{self.frames}-{self.joints}"


AXES: dict[str, tuple[int, ...]] = {
    "clips": (1_000, 10_000, 100_000),
    "frames": (25, 50, 100, 200),
    "joints": (17, 20, 25),
    "batch": (16, 64, 256),
}


def resident() -> dict[str, float]:
    """MB of this process: its own, and pages of mapped files, which the system takes back when it needs them."""
    rows = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
    return {name: int(rows[key].split()[0]) / 1024 for name, key in (("own", "RssAnon"), ("mapped", "RssFile"))}


def write(folder: Path, point: Point) -> None:
    """A set as a folder of npy, written block by block: joints that wander, two persons."""
    folder.mkdir(parents=True)
    count, rng = point.clips, np.random.default_rng(0)
    block = rng.normal(0, 0.02, (500, 3, point.frames, point.joints, 2)).cumsum(axis=2).astype(np.float32)
    x = np.lib.format.open_memmap(folder / "x.npy", "w+", np.float32, (count, *block.shape[1:]))
    for start in range(0, count, len(block)):
        x[start : start + len(block)] = block[: count - start]
    x.flush()
    np.save(folder / "y.npy", np.arange(count) % 60)
    (folder / "meta.json").write_text(json.dumps({"format": "hiclr", "layout": LAYOUT_OF[point.joints]}))


def measure(folder: Path, steps: int, point: Point) -> dict[str, float]:
    """Steps on clips from all over the set."""
    clips: SkeletonSet = open_set(str(folder))
    changes: dict[str, Any] = {"frames": point.frames, "batch_size": point.batch, "encoder": point.encoder}
    config = dataclasses.replace(PRESETS["small"], knn_every=0, device="cpu", queue_size=512, **changes)
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


def alone(folder: Path, steps: int, point: Point) -> dict[str, float]:
    """A point in a process of its own."""
    words = ["--steps", str(steps), "--one", str(folder), *(str(value) for value in dataclasses.astuple(point))]
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", "benchmarks.growth", *words], stdout=subprocess.PIPE, check=True
    )
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--by", nargs="+", default=list(AXES), choices=list(AXES))
    parser.add_argument("--clips", type=int, nargs="+", default=AXES["clips"])
    parser.add_argument("--encoder", default="tcn")
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", nargs=6, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        folder, *sizes, encoder = given.one
        clips, frames, joints, batch = map(int, sizes)
        print(json.dumps(measure(Path(folder), given.steps, Point(clips, frames, joints, batch, encoder))))
        return 0
    base = Point(clips=given.clips[0], encoder=given.encoder)
    found: dict[str, dict[str, list[dict[str, float]]]] = {}
    answer = {"base": dataclasses.asdict(base), "by": found, "machine": environment("cpu"), "load": os.getloadavg()[0]}
    with tempfile.TemporaryDirectory() as home:
        for number in range(given.rounds):
            for axis in given.by:
                for value in given.clips if axis == "clips" else AXES[axis]:
                    changed: dict[str, Any] = {axis: value}
                    point = dataclasses.replace(base, **changed)
                    folder = Path(home) / point.name
                    if not folder.exists():
                        write(folder, point)
                    row = alone(folder, given.steps, point)
                    found.setdefault(axis, {}).setdefault(str(value), []).append(row)
                    print(f"round {number + 1}, {value:>8,} {axis:<7} {row}", flush=True)
                    given.out.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
