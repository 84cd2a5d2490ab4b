"""What a preset reaches on whole sets, over several seeds, beside its floors.

    python -m benchmarks.accuracy synthetic path/to/set.npz --seeds 3 --runs data/runs/accuracy

Finished runs in the folder are taken as they are. Writes benchmarks/results/accuracy.json, a part per set.
"""

import argparse
import dataclasses
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from hiclr.datasets import open_set
from hiclr.evaluation import evaluate
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import Run

RESULTS = Path(__file__).parent / "results" / "accuracy.json"
NUMBERS = {
    "linear": ("linear", "top1"),
    "knn_1": ("knn", "1"),
    "knn_20": ("knn", "20"),
    "random_linear": ("baseline", "random_linear"),
    "random_knn_1": ("baseline", "random_knn_1"),
    "random_knn_20": ("baseline", "random_knn_20"),
    "raw_1nn": ("baseline", "raw_1nn"),
}


def trained(data: str, preset: str, seed: int, runs: Path) -> Run:
    """The finished run of these settings on the train part of a set; trained first where there is none."""
    train, _ = open_set(data).split()
    config = dataclasses.replace(PRESETS[preset], seed=seed)
    run = prepare_run(runs / f"{Path(data).stem}-{preset}-seed{seed}", config, train)
    for _ in pretrain(train, config, run):
        pass
    return run


def one(data: str, preset: str, seed: int, runs: Path) -> dict[str, Any]:
    """One run to its end, evaluated on the test part of the set's first protocol; what it ran on and for how long."""
    clips = open_set(data)
    run = trained(data, preset, seed, runs)
    train, config = clips.split()[0], PRESETS[preset]
    result = evaluate(run, clips)
    rows = run.metrics()
    steps = rows[-1]["step"] / rows[-1]["epoch"]
    return {name: result[part][key] for name, (part, key) in NUMBERS.items()} | {
        "pretraining_s": round(sum(row["seconds"] for row in rows), 1),
        "steps_of_an_epoch": steps,
        "passes_of_an_epoch": round(steps * min(config.batch_size, len(train)) / len(train), 2),
        "environment": run.environment,
    }


def summary(rows: list[dict[str, Any]]) -> dict[str, dict[str, float]]:
    """Mean and standard deviation over seeds."""
    return {
        name: {
            "mean": round(statistics.mean(row[name] for row in rows), 2),
            "sd": round(statistics.stdev(row[name] for row in rows), 2) if len(rows) > 1 else 0.0,
        }
        for name in [*NUMBERS, "pretraining_s"]
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", nargs="+", help='sets; or the word "synthetic"')
    parser.add_argument("--preset", default="small", choices=sorted(PRESETS))
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=Path("data/runs/accuracy"))
    arguments = parser.parse_args()
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for data in arguments.data:
        rows = [one(data, arguments.preset, seed, arguments.runs) for seed in range(arguments.seeds)]
        name = f"{Path(data).stem}, {arguments.preset}"
        kept[name] = {"seeds": rows, "over_seeds": summary(rows)}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
        for number, value in kept[name]["over_seeds"].items():
            print(f"{name:<28} {number:<14} {value['mean']:7.2f} ± {value['sd']:.2f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
