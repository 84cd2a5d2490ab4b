"""How long a map of 20,000 clips takes: PCA to 50 dimensions, then openTSNE.

    python -m benchmarks.maps

Features are 60 Gaussian groups in 256 dimensions: the time depends on N, not on what they mean. CPU time is given
beside the wall clock, since other work may share the machine; its load is written down too.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from hiclr.evaluation import tsne
from hiclr.runs import environment

RESULTS = Path(__file__).parent / "results"
CLASSES, WIDTH = 60, 256


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clips", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=RESULTS / "maps.json")
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    middles = rng.normal(size=(CLASSES, WIDTH))
    y = rng.integers(0, CLASSES, asked.clips)
    x = (middles[y] + 1.2 * rng.normal(size=(asked.clips, WIDTH))).astype(np.float32)
    before, wall, cpu = os.getloadavg()[0], time.perf_counter(), time.process_time()
    made = tsne(x)
    row = {"wall_s": round(time.perf_counter() - wall, 1), "cpu_s": round(time.process_time() - cpu, 1)}
    load = {"before": before, "after": os.getloadavg()[0]}  # processes that want a core, mean of the last minute
    machine = {**environment("cpu"), "cores": os.cpu_count()}
    result = {"clips": asked.clips, "width": WIDTH, "method": made.method, **row, "load": load, "machine": machine}
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(f"{asked.clips:,} clips by {made.method}: {row}, load {load}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
