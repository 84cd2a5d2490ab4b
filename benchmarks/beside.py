"""Views, an epoch and linear evaluation beside the authors' released code, on the same clips.

    python -m benchmarks.beside --released FOLDER [--batch 128] [--clips 512] [--rounds 3]

FOLDER is a checkout of the released code (JHang2020/HiCLR). Theirs makes the views of each clip by itself in numpy,
and encodes all clips again in each of the 100 epochs of its linear evaluation (and the test clips in every fifth);
ours makes the views of a batch at once, and encodes each clip once. An epoch is whole: reading, views, steps, and what
is written at its end; clips have one person, stored as two. Writes benchmarks/results/beside.json.
"""

import argparse
import json
import os
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.step import clips, measure
from hiclr.augmentations import paper_views
from hiclr.datasets import SkeletonSet
from hiclr.encoders import STGCN
from hiclr.evaluation import linear_probe
from hiclr.features import extract
from hiclr.pretraining import PRESETS
from hiclr.runs import environment
from hiclr.skeleton import NTU_25

RESULTS = Path(__file__).parent / "results" / "beside.json"
EPOCHS, TESTS = 100, 20  # of their linear evaluation


def views(x: torch.Tensor, batch: int) -> list[float]:
    """Seconds of the four views of each batch, ours."""
    made, generator, seconds = paper_views(NTU_25), torch.Generator().manual_seed(0), []
    for part in torch.split(x, batch):
        start = time.perf_counter()
        made(part, generator)
        made.apply_view(0, part, made.draw_view(0, tuple(part.shape), generator))
        seconds.append(time.perf_counter() - start)
    return seconds


def linear(x: np.ndarray) -> float:
    """Seconds of ours: encode train and test clips, then fit the probe (as many of each as theirs)."""
    config = PRESETS["paper"]
    both = SkeletonSet.from_arrays(np.concatenate([x, x]), np.arange(2 * len(x)) % 60)
    encoder = STGCN(NTU_25, persons="present")
    start = time.perf_counter()
    features = extract(encoder, both, config, device="cpu")
    linear_probe(features[: len(x)], both.y[: len(x)])
    return time.perf_counter() - start


def own_epoch(way: str, path: Path, batch: int) -> list[float]:
    """Seconds of the second epoch of a process of its own, shared out over its steps."""
    seconds: list[float] = measure("step", "--one", way, "--clips", str(path), "--batch", str(batch))["seconds"]
    return seconds


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--released", type=Path, required=True, help="a checkout of the released code")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--clips", type=int, default=512)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULTS)
    given = parser.parse_args()
    x = clips(given.clips, 1)
    found: dict[str, list[float]] = defaultdict(list)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "clips.npy"
        np.save(path, x)
        for _ in range(given.rounds):
            words = (str(given.released), str(path), "--batch", str(given.batch))
            found["views, released"] += measure("released", *words, "--part", "views")["seconds"]
            found["views, ours"] += views(torch.from_numpy(x), given.batch)
            train, test = measure("released", *words, "--part", "linear")["seconds"]
            found["linear, released"].append(EPOCHS * train + TESTS * test)
            found["linear, ours"].append(linear(x))
            found["epoch, released"] += measure("released", *words, "--part", "epoch")["seconds"]
            found["epoch, ours"].append(sum(own_epoch("ours, fp32", path, given.batch)))
            found["epoch, ours, bf16"].append(sum(own_epoch("ours, bf16", path, given.batch)))
    rows: dict[str, Any] = {
        name: {"median_s": statistics.median(s), "least_s": min(s), "most_s": max(s)} for name, s in found.items()
    }
    for name, row in rows.items():
        part, who = name.split(", ", 1)
        if who != "released":
            row["times_faster"] = rows[f"{part}, released"]["median_s"] / row["median_s"]
    for name, row in rows.items():
        faster = f"{row['times_faster']:>8.1f} times" if "times_faster" in row else ""
        print(f"{name:<20}{row['median_s']:>10.3f} s ({row['least_s']:.3f} to {row['most_s']:.3f}){faster}")
    said = {"linear, released": f"{EPOCHS} x a measured epoch over the train clips + {TESTS} x a measured test"}
    answer = {"settings": {"batch": given.batch, "clips": given.clips, "rounds": given.rounds}, "rows": rows,
              "computed": said, "machine": environment("cpu"), "load": os.getloadavg()[0]}  # fmt: skip
    given.out.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
