"""All that is said about speed on a GPU, measured by one command: a result file of everything.

    python -m benchmarks.gpu [--clips 40091] [--batch 128] [--seconds 300] [--minutes M] [--device cuda] [--out FILE]

Per way of computing (precision, torch.compile, CUDA graphs, joint statistics): seconds of a step of the paper preset
on as many clips as NTU RGB+D 60 cross-subject trains on, hours that 300 epochs would take, peak memory, how busy the
GPU was. Then where a step's time goes, whether a run that was stopped goes on to the same bits, whether augmentations
and features on the GPU are those of the CPU, and features, kNN and the linear probe.

Every part is a process of its own with a limit of time, and what is found is written after each: one that fails or
hangs is recorded as such and costs nothing else. With --minutes, parts for which no time is left are left out and
named. With --device cpu and few clips it runs anywhere, for a test.
"""

import argparse
import dataclasses
import json
import math
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.profile import profile
from benchmarks.step import clips
from hiclr.augmentations import paper_views
from hiclr.datasets import SkeletonSet
from hiclr.evaluation import knn_predict, linear_probe
from hiclr.features import extract
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain
from hiclr.pretraining.model import build_model
from hiclr.runs import environment, pick_device
from hiclr.skeleton import NTU_25

RESULTS = Path(__file__).parent / "results" / "gpu.json"
EPOCHS = 300  # of the paper preset
WAYS: dict[str, dict[str, Any]] = {
    "fp32": {},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16-mixed"},
    "bf16, compiled": {"precision": "bf16-mixed", "compile": "default"},
    "bf16, CUDA graphs": {"precision": "bf16-mixed", "compile": "reduce-overhead"},
    "bf16, joint views": {"precision": "bf16-mixed", "joint_views": True},
    "bf16, joint views, compiled": {"precision": "bf16-mixed", "joint_views": True, "compile": "default"},
    "bf16, all places": {"precision": "bf16-mixed", "persons": "all"},
    "bf16, deterministic": {"precision": "bf16-mixed", "deterministic": True},
}


class Busy:
    """The share of time in which the GPU computed, asked of its driver five times a second."""

    def __init__(self) -> None:
        self.seen: list[float] = []
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> "Busy":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._end.set()
        self._thread.join()

    def _watch(self) -> None:
        tool = shutil.which("nvidia-smi")
        command = [str(tool), "--query-gpu=utilization.gpu", "--format=csv,noheader,nounits", "--id=0"]
        while tool is not None and not self._end.wait(0.2):
            done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603
            if done.returncode == 0 and done.stdout.strip().isdecimal():
                self.seen.append(float(done.stdout))

    def mean(self) -> float | None:
        """In %; None where the driver's tool is missing."""
        return round(sum(self.seen) / len(self.seen), 1) if self.seen else None


def settings(given: argparse.Namespace, **changes: Any) -> PretrainConfig:
    """The paper preset on clips that are preprocessed already; absent persons skipped."""
    ours: dict[str, Any] = {
        "knn_every": 0, "centre": "none", "turn": "none", "persons": "present",
        "device": given.device, "batch_size": given.batch, "channels": given.channels, "features": given.features,
    }  # fmt: skip
    return dataclasses.replace(PRESETS["paper"], **(ours | changes))


def made(count: int) -> SkeletonSet:
    """Clips of which a fifth has two persons, near the share in NTU RGB+D 60."""
    block = clips(min(count, 5000), 2)
    block[np.arange(len(block)) % 5 != 0, ..., 1] = 0
    x = np.concatenate([block] * (-(-count // len(block))))[:count]
    return SkeletonSet.from_arrays(x, np.arange(count) % 60)


def epochs(way: str, given: argparse.Namespace) -> dict[str, Any]:
    """Two epochs: the first warms up (and compiles), the second is measured."""
    train, config = made(given.clips), settings(given, epochs=2, **WAYS[way])
    with tempfile.TemporaryDirectory() as folder:
        loop = pretrain(train, config, prepare_run(Path(folder) / "run", config, train))
        first = next(loop)
        with Busy() as busy:
            row = next(loop)
    steps = given.clips // given.batch
    answer = {
        "ms_a_step": round(1000 * row["seconds"] / steps, 2),
        "clips_per_s": round(row["clips_per_s"]),
        "hours_for_300_epochs": round(EPOCHS * row["seconds"] / 3600 * 40_091 / (steps * given.batch), 3),
        "first_epoch_s": round(first["seconds"], 1),
        "gpu_busy_percent": busy.mean(),
        "loss": row["loss"],
    }
    if pick_device(given.device).type == "cuda":
        answer["peak_mb"] = round(torch.cuda.max_memory_allocated() / 2**20)
    return answer


def resumed(deterministic: bool, given: argparse.Namespace) -> dict[str, Any]:
    """Whether 4 epochs and 2 + 2 epochs end with the same bits, and whether two runs do."""
    few = 4 * given.batch
    changes = {"epochs": 4, "queue_size": few // 2, "mining_epoch": 2, "deterministic": deterministic}
    train, config = made(few), settings(given, **changes)
    states = []
    with tempfile.TemporaryDirectory() as folder:
        for name, cut in (("straight", None), ("again", None), ("cut", 2)):
            path = Path(folder) / name
            for row in pretrain(train, config, prepare_run(path, config, train)):
                if row["epoch"] == cut:
                    break
            run = prepare_run(path, config, train)
            rest = list(pretrain(train, config, run))
            latest = run.latest()
            states.append((len(rest), {} if latest is None else latest[0]["model"]))
    (_, straight), (_, again), (rest_of_cut, cut_state) = states

    def furthest(other: dict[str, torch.Tensor]) -> float:
        return max(float((straight[key].double() - other[key].double()).abs().max()) for key in straight)

    return {"epochs_after_the_cut": rest_of_cut, "cut_and_straight_differ_by": furthest(cut_state),
            "two_runs_differ_by": furthest(again)}  # fmt: skip


def as_on_cpu(given: argparse.Namespace) -> dict[str, float]:
    """Largest difference of the augmentations for one draw, and of features relative to their size."""
    count = min(64, given.clips)
    x = torch.from_numpy(clips(count, 2))
    views, where = paper_views(NTU_25), pick_device(given.device)
    far = 0.0
    for view in range(len(views)):
        draw = views.draw_view(view, tuple(x.shape), torch.Generator().manual_seed(view))
        there = [{name: value.to(where) for name, value in params.items()} for params in draw]
        far = max(
            far, float((views.apply_view(view, x.to(where), there).cpu() - views.apply_view(view, x, draw)).abs().max())
        )
    config, train = settings(given, init="default"), made(count)
    torch.manual_seed(0)
    encoder = build_model(config, NTU_25, count).encoder
    one, other = (extract(encoder, train, config, device=kind) for kind in ("cpu", given.device))
    return {"augmentations_m": far, "features_relative": float(np.abs(one - other).max() / np.abs(one).max())}


def evaluation(given: argparse.Namespace) -> dict[str, float]:
    """Seconds of features, 1-NN and the linear probe at this size."""
    count, tests = given.clips, given.clips * 2 // 5
    config, train = settings(given, init="default"), made(count)
    encoder = build_model(config, NTU_25, count).encoder
    start = time.perf_counter()
    extract(encoder, train, config, device=given.device)
    encoded = time.perf_counter()
    rng = np.random.default_rng(0)
    gallery, queries = (rng.normal(size=(n, 256)).astype(np.float32) for n in (count, tests))
    y = rng.integers(0, 60, count)
    knn_predict(gallery, y, queries, k=1, num_classes=60)
    voted = time.perf_counter()
    linear_probe(gallery, y)
    probed = time.perf_counter()
    return {"features_s": encoded - start, "knn_s": voted - encoded, "linear_s": probed - voted}


def parts() -> dict[str, Callable[[argparse.Namespace], dict[str, Any]]]:
    """Name -> what is measured, what matters most first."""
    ways: dict[str, Callable[[argparse.Namespace], dict[str, Any]]] = {way: partial(epochs, way) for way in WAYS}
    return ways | {
        "a step of bf16, part by part, s": lambda given: profile(settings(given, precision="bf16-mixed", epochs=4), 1),
        "resume": partial(resumed, False),
        "resume, deterministic": partial(resumed, True),
        "beside the CPU": as_on_cpu,
        "evaluation": evaluation,
    }


def alone(part: str, given: argparse.Namespace, seconds: float) -> dict[str, Any]:
    """A part in a process of its own: what it found, or why there is nothing."""
    words = ["--one", part, "--clips", str(given.clips), "--batch", str(given.batch), "--device", given.device]
    words += ["--channels", str(given.channels), "--features", str(given.features)]
    command = [sys.executable, "-m", "benchmarks.gpu", *words]
    return answer_of(command, seconds)


def answer_of(command: list[str], seconds: float) -> dict[str, Any]:
    """The last line that a command prints, read as JSON; it and all that it started are ended when time is up."""
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdout=pipe, stderr=pipe, text=True, start_new_session=True) as process:  # noqa: S603
        try:
            out, err = process.communicate(timeout=seconds)
        except BaseException as error:
            os.killpg(process.pid, signal.SIGKILL)
            if not isinstance(error, subprocess.TimeoutExpired):
                raise
            return {"failed": f"no answer within {seconds:.0f} s"}
    try:
        answer: dict[str, Any] = json.loads(out.splitlines()[-1])
    except (ValueError, IndexError):
        answer = {"failed": err[-500:] or f"exit code {process.returncode}"}
    warnings = [line for line in err.splitlines() if "torch.compile" in line]
    return answer | ({"said": warnings[-1]} if warnings else {})


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clips", type=int, default=40_091)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--channels", type=int, default=16, help="of ST-GCN's first layers")
    parser.add_argument("--features", type=int, default=256)
    parser.add_argument("--parts", nargs="+", default=list(parts()), choices=list(parts()))
    parser.add_argument("--seconds", type=float, default=300, help="that one part may take")
    parser.add_argument("--minutes", type=float, default=math.inf, help="that all parts may take")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--one", choices=list(parts()), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(parts()[given.one](given)))
        return 0
    results: dict[str, Any] = {"machine": environment(given.device), "clips": given.clips, "batch": given.batch}
    results["ways"] = {}
    end = time.monotonic() + 60 * given.minutes
    for part in given.parts:
        left = min(given.seconds, end - time.monotonic())
        found = alone(part, given, left) if left > 1 else {"failed": "no time was left"}
        (results["ways"] if part in WAYS else results)[part] = found
        print(f"{part}: {json.dumps(found)}", flush=True)
        given.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")  # after each part: none is lost
    return 0


if __name__ == "__main__":
    sys.exit(main())
