"""A step of pretraining beside the authors' released code: the same clips, architecture, batch and number of views.

    python -m benchmarks.step [--released FOLDER] [--batch 128] [--rounds 2]

FOLDER is a checkout of the released code (JHang2020/HiCLR); without one only ours is measured. Every measurement is
a process of its own, theirs and ours in turn, so that neither lends the other its memory or its settings. Writes
benchmarks/results/step.json.
"""

import argparse
import dataclasses
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from hiclr.datasets import SkeletonSet
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import environment

RESULTS = Path(__file__).parent / "results" / "step.json"
STEPS = 3  # of an epoch; the first step of a process warms up and is not counted


def clips(count: int, persons: int) -> np.ndarray:
    """(N, 3, 50, 25, 2) float32: joints that wander; of one person the second place stays empty."""
    rng = np.random.default_rng(0)
    x = rng.normal(0, 0.02, (count, 3, 50, 25, 2)).cumsum(axis=2) + rng.normal(0, 0.5, (count, 3, 1, 25, 2))
    x[..., persons:] = 0
    return x.astype(np.float32)


def ours(path: Path, batch: int, changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """One epoch of the paper preset with these changes; seconds per step, peak memory."""
    x = np.load(path, mmap_mode="r")
    train = SkeletonSet.from_arrays(x, np.zeros(len(x), np.int64))
    preset = PRESETS["paper"]
    config = dataclasses.replace(
        preset, epochs=2, batch_size=batch, knn_every=0, centre="none", turn="none", device="cpu", **changes
    )
    rows = list(pretrain(train, config, prepare_run(folder / "run", config, train)))
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    steps = len(x) // batch
    return {"seconds": [rows[-1]["seconds"] / steps] * steps, "peak_mb": round(peak)}


def measure(module: str, *words: str) -> dict[str, Any]:
    """A process; its answer."""
    done = subprocess.run(  # noqa: S603 - ours
        [sys.executable, "-m", f"benchmarks.{module}", *words], stdout=subprocess.PIPE, check=True
    )
    answer: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return answer


WAYS: dict[str, dict[str, Any]] = {
    "ours, fp32, all places": {"persons": "all"},
    "ours, fp32": {"persons": "present"},
    "ours, bf16": {"persons": "present", "precision": "bf16-mixed"},
}


def compare(persons: int, batch: int, rounds: int, released: Path | None, ways: list[str]) -> dict[str, Any]:
    """Every way in turn, `rounds` times: medians, all values, and how many times faster than the released code."""
    found: dict[str, list[dict[str, Any]]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clips.npy"
        np.save(path, clips(STEPS * batch, persons))
        for _ in range(rounds):
            if released is not None:
                answer = measure("released", str(released), str(path), "--batch", str(batch))
                found.setdefault("released", []).append(answer)
            for way in ways:
                answer = measure("step", "--one", way, "--clips", str(path), "--batch", str(batch))
                found.setdefault(way, []).append(answer)
    rows: dict[str, Any] = {}
    for way, answers in found.items():
        seconds = [s for answer in answers for s in answer["seconds"][1:]]
        rows[way] = {
            "median_s": round(statistics.median(seconds), 3),
            "seconds": [round(s, 3) for s in seconds],
            "peak_mb": max(answer["peak_mb"] for answer in answers),
        }
    if released is not None:
        for row in rows.values():
            row["times_faster_than_released"] = round(rows["released"]["median_s"] / row["median_s"], 2)
            row["share_of_its_memory"] = round(row["peak_mb"] / rows["released"]["peak_mb"], 2)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--released", type=Path, help="a checkout of the released code")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--persons", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--ways", nargs="+", default=list(WAYS), choices=list(WAYS))
    parser.add_argument("--one", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--clips", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    if given.one is not None:
        with tempfile.TemporaryDirectory() as folder:
            print(json.dumps(ours(given.clips, given.batch, WAYS[given.one], Path(folder))))
        return 0
    results: dict[str, Any] = {"batch": given.batch, "machine": environment("cpu"), "load": os.getloadavg()[0]}
    for persons in given.persons:
        rows = compare(persons, given.batch, given.rounds, given.released, given.ways)
        results[f"{persons} of 2 persons there"] = rows
        for way, row in rows.items():
            faster = row.get("times_faster_than_released")
            print(f"{persons} of 2 persons, {way:<24}{row['median_s']:>8.2f} s a step{row['peak_mb']:>8} MB"
                  + ("" if faster is None else f"{faster:>8.2f} times"), flush=True)  # fmt: skip
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
