"""The benchmark suite: `make bench`. Prints a table and writes benchmarks/results/<name>.json with the machine.

Times are medians over repetitions in one process; on a shared machine read the ratios, not the milliseconds.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Generator

from benchmarks.evaluation import rows as protocol_rows
from benchmarks.skeletons import write_files
from hiclr.augmentations import paper_views
from hiclr.datasets import convert
from hiclr.datasets.spool import cores
from hiclr.encoders import STGCN
from hiclr.evaluation import linear_probe
from hiclr.runs import environment
from hiclr.skeleton import NTU_25

RESULTS = Path(__file__).parent / "results"
REPEAT = 5


def timed(work: Callable[[], Any], repeat: int = REPEAT) -> dict[str, float]:
    """Median and spread of the seconds that a call takes, after one call to warm up."""
    work()
    seconds = []
    for _ in range(repeat):
        start = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - start)
    return {"median_s": statistics.median(seconds), "least_s": min(seconds), "most_s": max(seconds), "repeat": repeat}


def augmentation(clips: int = 128) -> dict[str, dict[str, float]]:
    """Four views of a batch: the key's and the three queries'."""
    x = torch.randn(clips, 3, 50, 25, 2, generator=Generator().manual_seed(0))
    views, generator = paper_views(NTU_25), Generator().manual_seed(0)

    def four() -> None:
        views(x, generator)
        views.apply_view(0, x, views.draw_view(0, tuple(x.shape), generator))

    return {f"four paper views, {clips} clips": timed(four)}


def encoder(clips: int = 32) -> dict[str, dict[str, float]]:
    """Forward and backward of the paper's ST-GCN on clips of one person stored as two, and what skipping saves."""
    x = torch.randn(clips, 3, 50, 25, 2, generator=Generator().manual_seed(0))
    x[..., 1] = 0
    rows = {}
    for persons in ("all", "present"):
        network = STGCN(NTU_25, persons=persons)
        for precision, dtype in (("fp32", None), ("bf16", torch.bfloat16)):

            def step(network: STGCN = network, dtype: torch.dtype | None = dtype) -> None:
                with torch.autocast("cpu", dtype=dtype, enabled=dtype is not None):
                    loss = network(x).float().square().mean()
                loss.backward()

            rows[f"ST-GCN step, {clips} clips, persons {persons}, {precision}"] = timed(step, 3)
    return rows


def evaluation() -> dict[str, dict[str, float]]:
    """Every protocol on features at the size of NTU RGB+D 60, and the linear probe at a small set's."""
    rng = np.random.default_rng(0)
    small, labels = rng.normal(size=(1834, 128)).astype(np.float32), rng.integers(0, 10, 1834)
    return protocol_rows() | {"linear probe, 1,834 x 128": timed(lambda: linear_probe(small, labels), 1)}


def prepare() -> dict[str, dict[str, float]]:
    """Raw NTU files to a set: small files, which show what each costs, and files as long as real ones.

    On one core, and on all where there are more.
    """
    rows, threads = {}, torch.get_num_threads()
    torch.set_num_threads(1)  # as in the processes that read: one core is one core
    with tempfile.TemporaryDirectory() as folder:
        for kind, count, frames in (("small", 2000, 8), ("full-size", 400, 90)):
            raw = Path(folder) / kind
            write_files(raw, count, frames)
            for workers in sorted({1, cores()}):

                def work(raw: Path = raw, workers: int = workers) -> None:
                    convert(raw, f"{raw}.set", preprocess="released", workers=workers)

                row = timed(work, 3)
                row["files_per_s"] = count / row["median_s"]
                rows[f"prepare, {count:,} {kind} files, {workers} core{'s' if workers > 1 else ''}"] = row
    torch.set_num_threads(threads)
    return rows


SUITES = (augmentation, encoder, evaluation, prepare)


def main() -> int:
    """Run everything, or the suites that are named, print, write."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    for suite in SUITES:
        if sys.argv[1:] and suite.__name__ not in sys.argv[1:]:
            continue
        before = os.getloadavg()[0]
        rows = suite()
        load = {"before": before, "after": os.getloadavg()[0]}  # processes that want a core, mean of the last minute
        for name, row in rows.items():
            rate = f", {row['files_per_s']:.0f} files/s" if "files_per_s" in row else ""
            print(f"{name:<52}{1000 * row['median_s']:>10.1f} ms   ({1000 * row['least_s']:.1f} to "
                  f"{1000 * row['most_s']:.1f}, {row['repeat']} times{rate})", flush=True)  # fmt: skip
        result = {"suite": suite.__name__, "rows": rows, "machine": environment("cpu"), "load": load}
        text = json.dumps(result, indent=1)
        (RESULTS / f"{suite.__name__}.json").write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
