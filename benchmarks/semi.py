"""What few labels come to: shares of the training labels, several draws of each, with and without pretraining.

    python -m benchmarks.semi path/to/set.npz --shares 0.05 0.1 --draws 5 --runs data/runs/accuracy

A finished run in the folder is taken as it is, and so is every training with labels that the run folder has already.
Writes benchmarks/results/semi.json, a part per set.
"""

import argparse
import json
import shlex
import sys
from pathlib import Path
from typing import Any

from benchmarks.accuracy import trained
from hiclr.datasets import open_set
from hiclr.evaluation import evaluate, finetune_text, semi_supervised
from hiclr.evaluation.labels import RULES
from hiclr.pretraining import PRESETS
from hiclr.runs import environment

RESULTS = Path(__file__).parent / "results" / "semi.json"
_APART = ("predicted",)  # the class of each test clip: too long for a file of results


def measured(data: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """One set: accuracies of each draw, their mean and standard deviation, beside the probe on all labels."""
    clips = open_set(data)
    run = trained(data, arguments.preset, arguments.seed, arguments.runs)
    found = semi_supervised(run, clips, arguments.shares, arguments.rule, arguments.draws, arguments.recipe)
    frozen = evaluate(run, clips, ["linear"])
    print(finetune_text(found | {"linear": frozen["linear"]}))
    shares = {
        share: {kind: {key: value for key, value in each.items() if key not in _APART} for kind, each in row.items()}
        for share, row in found["shares"].items()
    }
    return {
        **found,
        "shares": shares,
        "linear on all labels": frozen["linear"]["top1"],
        "chance": frozen["chance"],
        "preset": arguments.preset,
        "seed": arguments.seed,
        "pretrained with": run.environment,
        "environment": environment("cpu"),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("data", nargs="+", help='sets; or the word "synthetic"')
    parser.add_argument("--preset", default="small", choices=sorted(PRESETS))
    parser.add_argument("--seed", type=int, default=0, help="of the run")
    parser.add_argument("--shares", type=float, nargs="+", default=[0.05, 0.1])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--rule", default="cmd", choices=sorted(RULES))
    parser.add_argument("--recipe", default=None, help="left out: by the number of training clips")
    parser.add_argument("--runs", type=Path, default=Path("data/runs/accuracy"))
    parser.add_argument("--say", default="", help="words about the machine, kept with the numbers")
    arguments = parser.parse_args()
    kept: dict[str, Any] = json.loads(RESULTS.read_text()) if RESULTS.exists() else {}
    for data in arguments.data:
        name = f"{Path(data).stem}, {arguments.preset}"
        command = f"python -m benchmarks.semi {Path(data).name} {shlex.join(_flags(arguments))}"
        kept[name] = {"command": command, "said": arguments.say, **measured(data, arguments)}
        RESULTS.write_text(json.dumps(kept, indent=1) + "\n")
    return 0


def _flags(arguments: argparse.Namespace) -> list[str]:
    """The settings that decide the numbers, as they are typed."""
    shares = [f"{share:g}" for share in arguments.shares]
    words = ["--preset", arguments.preset, "--seed", str(arguments.seed), "--draws", str(arguments.draws)]
    recipe = [] if arguments.recipe is None else ["--recipe", arguments.recipe]
    return [*words, "--rule", arguments.rule, *recipe, "--shares", *shares]


if __name__ == "__main__":
    sys.exit(main())
