"""Each lever of speed by itself: the same work without it and with it, in turn, so that a busy machine hits both.

    python -m benchmarks.levers [--clips 16] [--rounds 9] [--only WORD ...]

Everything else stays as it is in training. A lever that acts within a process is switched between two calls there; one
that a process is born with (what its allocator keeps, how its threads wait) is measured in two processes that live side
by side and work in turn. Per lever: the median over the rounds of time without / time with, and the middle half of the
rounds. Above 1 it pays; where the middle half holds 1 nothing was found. Writes benchmarks/results/levers.json.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.step import clips
from hiclr.augmentations.base import transform
from hiclr.encoders import STGCN, Inside, SkeletonEncoder, gathering, stgcn
from hiclr.encoders.dropout import Dropout
from hiclr.encoders.stgcn import GraphConvolution
from hiclr.encoders.temporal import TemporalConvolution
from hiclr.momentum import Queue, update_momentum
from hiclr.pretraining import keep_memory
from hiclr.runs import environment
from hiclr.skeleton import NTU_25

RESULTS = Path(__file__).parent / "results" / "levers.json"
STEP = "forward and backward of ST-GCN, paper's width"
Work = Callable[[], object]


@dataclass(frozen=True)
class Lever:
    """One lever: the same work without it and with it.

    Args:
        name: what is switched.
        timed: what the seconds are of.
        off, on: the work.
        note: what else changes with it.
    """

    name: str
    timed: str
    off: Work
    on: Work
    note: str = ""


# --- what training does not do, for comparison ------------------------------------------------------------------------


def mix_first(self: GraphConvolution, x: Tensor, adjacency: Tensor) -> Tensor:
    """`GraphConvolution.forward` in the order of the release: 1x1 convolution to K O channels, then over the joints."""
    rows, frames, joints, _ = x.shape
    groups, outputs, channels = self.weight.shape
    mixed = functional.linear(x, self.weight.reshape(groups * outputs, channels), self.bias.flatten())
    mixed = mixed.view(rows * frames, joints * groups, outputs)
    gather = (adjacency * self.importance).permute(2, 1, 0).reshape(1, joints, joints * groups).to(x.dtype)
    return torch.bmm(gather.expand(rows * frames, -1, -1), mixed).view(rows, frames, joints, outputs)


def plain_end(self: Dropout, x: Tensor, shortcut: Tensor) -> Tensor:
    """The end of a block by torch's own operations."""
    return (functional.dropout(x, self.p, self.training) + shortcut).relu_()


def written_out_mean(self: SkeletonEncoder, rows: Tensor, inside: Inside | None = None) -> Tensor:
    """`SkeletonEncoder.encode` with torch's mean."""
    return self.feature_map(rows, inside).mean(dim=(2, 3))


def channels_first(self: GraphConvolution, x: Tensor, adjacency: Tensor) -> Tensor:
    """The graph convolution with its result laid out frame by frame within each channel, as torch's default has it."""
    found = _aggregate_first(self, x, adjacency)
    return found.permute(0, 3, 1, 2).contiguous().permute(0, 2, 3, 1)


_aggregate_first = GraphConvolution.forward


def never(*_: object) -> bool:
    """What is asked whether a convolution goes by frequency."""
    return False


def follow_one_by_one(key: nn.Module, query: nn.Module, momentum: float) -> None:
    """The release's momentum update: two operations and a new tensor for each parameter."""
    with torch.no_grad():
        for follower, leader in zip(key.parameters(), query.parameters(), strict=True):
            follower.data = follower.data * momentum + leader.data * (1 - momentum)


# --- the levers -------------------------------------------------------------------------------------------------------


class Bench:
    """The paper's encoder and a batch of clips of one person stored as two.

    Args:
        count: clips.
        sizes: of the encoder, where they are not the paper's.
    """

    def __init__(self, count: int, **sizes: int) -> None:
        torch.manual_seed(0)
        self.sizes = sizes
        self.x = torch.from_numpy(clips(count, 1))
        self.encoder = self.made()

    def made(self, **more: Any) -> STGCN:
        """An encoder in training, dropout as in the paper."""
        sizes: dict[str, Any] = {"persons": "present", "dropout": 0.5} | self.sizes | more
        return STGCN(NTU_25, **sizes).train()

    def step(self, encoder: STGCN | None = None, bf16: bool = False) -> None:
        """Features and their gradient; weights stay."""
        encoder = encoder or self.encoder
        encoder.zero_grad()
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
            loss = encoder(self.x).float().square().mean()
        loss.backward()

    def without(self, home: Any, name: str, other: Any, **more: Any) -> Work:
        """A step with one attribute replaced."""

        def work() -> None:
            with mock.patch.object(home, name, other):
                self.step(**more)

        return work


def in_the_encoder(bench: Bench) -> Iterator[Lever]:
    """What is switched within a process, in a forward and backward pass."""
    everybody, halves = bench.made(persons="all"), (lambda: bench.step(bf16=True))
    yield Lever("absent persons skipped", STEP, lambda: bench.step(everybody), bench.step,
                "batch norm and the mean see present persons only")  # fmt: skip
    yield Lever("joints gathered before the 1x1", STEP, bench.without(GraphConvolution, "forward", mix_first),
                bench.step)  # fmt: skip
    frequency = TemporalConvolution, "_by_frequency", never
    yield Lever("9x1 convolution by frequency", STEP, bench.without(*frequency), bench.step)
    yield Lever("9x1 convolution by frequency, bf16", STEP + ", bf16", bench.without(*frequency, bf16=True), halves)
    end = Dropout, "add_relu", plain_end
    yield Lever("dropout by bits, the end of a block in one pass", STEP, bench.without(*end), bench.step)
    yield Lever("the same in bf16", STEP + ", bf16", bench.without(*end, bf16=True), halves)
    mean = SkeletonEncoder, "encode", written_out_mean
    yield Lever("gradient of the mean not written out", STEP, bench.without(*mean), bench.step)
    yield Lever("gradient of the mean not written out, bf16", STEP + ", bf16", bench.without(*mean, bf16=True), halves)
    own = gathering, "by_hand", never
    yield Lever("joints gathered again for the gradient", STEP, bench.without(*own), bench.step, "for its memory")
    kept = stgcn, "made_again", lambda *_: nullcontext()
    yield Lever("norm, ReLU and shortcut made again", STEP, bench.without(*kept), bench.step, "for its memory")
    few = gathering, "_FEW", 0
    yield Lever("coordinates of all joints in one product", STEP, bench.without(*few), bench.step)
    yield Lever("channels last, fp32", STEP, bench.without(GraphConvolution, "forward", channels_first), bench.step)
    yield Lever("channels last, bf16", STEP + ", bf16",
                bench.without(GraphConvolution, "forward", channels_first, bf16=True), halves)  # fmt: skip
    yield Lever("bf16", STEP, bench.step, halves, "another arithmetic; norms and weights stay in 32 bit")


def in_one_pass(bench: Bench) -> Lever:
    """Three views one after another, or as one batch."""
    encoder, views = bench.encoder, [bench.x, 1.1 * bench.x, 0.9 * bench.x]

    def separate() -> None:
        encoder.zero_grad()
        torch.autograd.backward([encoder(x).square().mean() for x in views])

    def joint() -> None:
        encoder.zero_grad()
        encoder(torch.cat(views)).square().mean().backward()

    return Lever("query views in one pass", "three views, forward and backward", separate, joint,
                 "batch norm over all views: the option joint_views")  # fmt: skip


def around_the_encoder(bench: Bench) -> Iterator[Lever]:
    """The momentum update and the queue."""
    key, keys, ids = bench.made(), torch.randn(128, 128), torch.arange(128)
    yield Lever("momentum update of all at once, in place", "momentum update",
                lambda: follow_one_by_one(key, bench.encoder, 0.999),
                lambda: update_momentum(key, bench.encoder, 0.999))  # fmt: skip
    queue, rows = Queue(32768, 128), [torch.zeros(128, 32768)]

    def shift() -> None:
        rows[0] = torch.cat([rows[0][:, 128:], keys.t()], dim=1)

    yield Lever("queue written in place", "128 keys into a queue of 32,768", shift, lambda: queue.enqueue(keys, ids))


def linear_maps() -> Lever:
    """What three linear maps of a view would save as one."""
    x = torch.from_numpy(clips(128, 1))
    maps = [torch.eye(3) + 0.3 * torch.randn(128, 3, 3) for _ in range(3)]

    def one_by_one() -> Tensor:
        return transform(maps[2], transform(maps[1], transform(maps[0], x)))

    return Lever("linear maps of a view composed", "shear, rotation and scale of 128 clips", one_by_one,
                 lambda: transform(maps[2] @ maps[1] @ maps[0], x), "left out: see docs/speed.md")  # fmt: skip


def compiled(bench: Bench) -> Lever:
    """torch.compile, whose first call compiles."""
    encoder = bench.made()
    encoder.load_state_dict(bench.encoder.state_dict())
    encoder.compile()
    start = time.perf_counter()
    bench.step(encoder)
    return Lever("torch.compile", STEP, bench.step, lambda: bench.step(encoder),
                 f"after {time.perf_counter() - start:.0f} s of compiling")  # fmt: skip


# --- two processes that work in turn ----------------------------------------------------------------------------------


@contextmanager
def worker(words: list[str], more: dict[str, str], less: tuple[str, ...] = ()) -> Iterator[Work]:
    """A process that takes a step whenever it is asked; what asks it and waits."""
    env = {name: value for name, value in (os.environ | more).items() if name not in less}
    command = [sys.executable, "-m", "benchmarks.levers", "--worker", *words]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:  # noqa: S603
        asked, answers = process.stdin, process.stdout
        assert asked is not None
        assert answers is not None

        def work() -> None:
            asked.write("step\n")
            asked.flush()
            if not answers.readline():
                raise RuntimeError(f"the process of {words} ended")

        try:
            yield work
        finally:
            asked.close()


def work_on_demand(count: int, keep: bool) -> None:
    """A step for every line of the input."""
    if keep:
        keep_memory()
    bench = Bench(count)
    for _ in sys.stdin:
        bench.step()
        print("done", flush=True)


@contextmanager
def memory_kept(count: int) -> Iterator[Lever]:
    """glibc as it comes, and kept from handing memory back."""
    size = ["--clips", str(count)]
    with worker(size, {}) as off, worker([*size, "--keep"], {}) as on:
        yield Lever("freed memory kept by the process", STEP, off, on)


@contextmanager
def passive_waiting(count: int) -> Iterator[Lever]:
    """OpenMP as it comes, and with threads that sleep while they wait; at two threads at least."""
    words, threads = ["--clips", str(count), "--keep"], str(max(2, torch.get_num_threads()))
    with (
        worker(words, {"OMP_NUM_THREADS": threads}, less=("OMP_WAIT_POLICY",)) as off,
        worker(words, {"OMP_NUM_THREADS": threads, "OMP_WAIT_POLICY": "PASSIVE"}) as on,
    ):
        yield Lever("OpenMP threads wait asleep", STEP + f", {threads} threads", off, on,
                    "pays where other processes want the cores")  # fmt: skip


# --- measuring --------------------------------------------------------------------------------------------------------


def seconds(work: Work) -> float:
    """Of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def verdict(low: float, high: float) -> str:
    """What the middle half of the ratios says."""
    if low > 1:
        return "pays"
    return "costs" if high < 1 else "no difference found"


def measure(lever: Lever, rounds: int) -> dict[str, Any]:
    """Both ways in turn, the first of a round being the second of the next; after a call of each to warm up."""
    lever.off()
    lever.on()
    pairs = []
    for number in range(rounds):
        first, second = (lever.off, lever.on) if number % 2 == 0 else (lever.on, lever.off)
        pair = seconds(first), seconds(second)
        pairs.append(pair if number % 2 == 0 else pair[::-1])
    off, on = np.array(pairs).T
    low, middle, high = np.percentile(off / on, (25, 50, 75))
    row = {
        "timed": lever.timed,
        "off_ms": round(1000 * float(np.median(off)), 2),
        "on_ms": round(1000 * float(np.median(on)), 2),
        "times": round(float(middle), 3),
        "middle_half": [round(float(low), 3), round(float(high), 3)],
        "verdict": verdict(float(low), float(high)),
        "rounds": rounds,
    }
    return row | ({"note": lever.note} if lever.note else {})


def all_of(count: int, wanted: Callable[[str], bool], rounds: int) -> Iterator[tuple[str, dict[str, Any]]]:
    """(name, what was found) of every lever that is wanted."""
    bench = Bench(count)
    for lever in (*in_the_encoder(bench), in_one_pass(bench), *around_the_encoder(bench), linear_maps()):
        if wanted(lever.name):
            yield lever.name, measure(lever, rounds)
    for born_with in (memory_kept, passive_waiting):
        with born_with(count) as lever:
            if wanted(lever.name):
                yield lever.name, measure(lever, rounds)
    if wanted("torch.compile"):
        try:
            yield "torch.compile", measure(compiled(bench), rounds)
        except Exception as error:  # a compiler that is missing or fails raises nearly anything
            yield "torch.compile", {"failed": next(iter(str(error).splitlines()), type(error).__name__)[:300]}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--clips", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--only", nargs="+", help="levers whose name holds one of these words")
    parser.add_argument("--out", type=Path, default=RESULTS)
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--keep", action="store_true", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.worker:
        work_on_demand(given.clips, given.keep)
        return 0
    keep_memory()
    answer: dict[str, Any] = {"clips": given.clips, "machine": environment("cpu"), "load": os.getloadavg()[0]}
    answer["levers"] = {}
    for name, row in all_of(
        given.clips, lambda name: not given.only or any(w in name for w in given.only), given.rounds
    ):
        answer["levers"][name] = row
        said = row.get("failed") or (
            f"{row['off_ms']:>9.1f} ms -> {row['on_ms']:>8.1f} ms{row['times']:>7.2f} times "
            f"({row['middle_half'][0]:.2f} to {row['middle_half'][1]:.2f})  {row['verdict']}"
        )
        print(f"{name:<42}{said}", flush=True)
        given.out.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
