"""What a smaller memory would cost: activation checkpointing, and gradients of small batches added up.

    python -m benchmarks.memory [--batch 16] [--rounds 3]

Three views forward and backward through the paper's ST-GCN, clips of one person stored as two. Peak memory beyond that
of the process before; seconds of the ways in turn, each in a process of its own. And how far the gradient of an InfoNCE
by small batches is from that of the whole one: batch norm sees other statistics, and nothing else differs; beside it
the gradient of another whole batch. Clips are made up and weights initial. Writes benchmarks/results/memory.json.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import normalize
from torch.utils.checkpoint import checkpoint

from benchmarks.step import clips
from hiclr.encoders import STGCN
from hiclr.encoders.stgcn import Block
from hiclr.losses import similarity_logits
from hiclr.pretraining import keep_memory
from hiclr.runs import environment
from hiclr.skeleton import NTU_25

RESULTS = Path(__file__).parent / "results" / "memory.json"
WAYS: dict[str, dict[str, Any]] = {
    "as it is": {},
    "checkpointed block by block": {"again": True},
    "four small batches": {"parts": 4},
    "bf16": {"bf16": True},
}


def encoder(again: bool = False, dropout: float = 0.5) -> STGCN:
    """The paper's; `again`: only what goes into each block is kept, and the block computed once more backwards."""
    torch.manual_seed(0)
    network = STGCN(NTU_25, persons="present", dropout=dropout).train()
    if again:
        for block in network.blocks:
            assert isinstance(block, Block)
            block.forward = _twice(block.forward)  # type: ignore[method-assign]
    return network


def _twice(forward: Callable[..., Tensor]) -> Callable[..., Tensor]:
    def kept_small(*inputs: Tensor) -> Tensor:
        found: Tensor = checkpoint(forward, *inputs, use_reentrant=False)
        return found

    return kept_small


def info_nce(network: STGCN, x: Tensor, seed: int = 0) -> Tensor:
    """InfoNCE of these clips with themselves moved a little, among 256 fixed negatives; the sum over the clips."""
    drawn = torch.Generator().manual_seed(seed)
    queue = normalize(torch.randn(network.features, 256, generator=drawn), dim=0)
    moved = network(x + 0.01 * torch.randn(x.shape[1:], generator=drawn))
    key, z = normalize(moved.float().detach(), dim=1), normalize(network(x).float(), dim=1)
    return -similarity_logits(z, key, queue, 0.07).log_softmax(dim=1)[:, 0].sum()


def gradient(network: STGCN, x: Tensor, parts: int = 1) -> Tensor:
    """Of the mean InfoNCE, added up over so many parts of the batch; flat."""
    network.zero_grad()
    for part in torch.chunk(x, parts):
        torch.autograd.backward(info_nce(network, part) / len(x))
    return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])


def cosines(batch: int) -> dict[str, float]:
    """Between the gradient of a batch and others, without dropout; 1: the same direction."""
    network, (x, other) = encoder(dropout=0), torch.from_numpy(clips(2 * batch, 1)).chunk(2)
    whole = gradient(network, x)
    found = {f"in {parts} parts": gradient(network, x, parts) for parts in (2, 4)}
    found["of another batch"] = gradient(network, other)
    return {name: round(float(torch.cosine_similarity(whole, each, dim=0)), 3) for name, each in found.items()}


def peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure(batch: int, again: bool = False, parts: int = 1, bf16: bool = False) -> dict[str, float]:
    """Seconds of the second of two steps, and the memory that they took."""
    keep_memory()
    network, x, seconds, before = encoder(again), torch.from_numpy(clips(batch, 1)), 0.0, peak_mb()
    for _ in range(2):
        start = time.perf_counter()
        for part in torch.chunk(x, parts):
            with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
                losses = [network(scale * part).float().square().mean() / parts for scale in (0.9, 1.0, 1.1)]
            torch.autograd.backward(losses)
        seconds = time.perf_counter() - start
    return {"seconds": seconds, "mb": peak_mb() - before}


def alone(way: str, batch: int) -> dict[str, float]:
    """A way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.memory", "--one", way, "--batch", str(batch)]
    done = subprocess.run(command, stdout=subprocess.PIPE, check=True)  # noqa: S603
    answer: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return answer


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--one", choices=list(WAYS), help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.one is not None:
        print(json.dumps(measure(given.batch, **WAYS[given.one])))
        return 0
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    for _ in range(given.rounds):
        for way in WAYS:
            found[way].append(alone(way, given.batch))
    rows: dict[str, dict[str, float]] = {}
    for way, answers in found.items():
        rows[way] = {
            "seconds": round(statistics.median(answer["seconds"] for answer in answers), 3),
            "times_the_time": round(
                statistics.median(a["seconds"] / b["seconds"] for a, b in zip(answers, found["as it is"], strict=True)),
                2,
            ),
            "mb": round(statistics.median(answer["mb"] for answer in answers)),
        }
        print(f"{way:<30}{rows[way]}", flush=True)
    same = cosines(given.batch)
    print(f"cosine with the gradient of the whole batch: {same}")
    answer = {"batch": given.batch, "rows": rows, "cosine_of_gradients": same, "machine": environment("cpu"),
              "load": os.getloadavg()[0]}  # fmt: skip
    RESULTS.write_text(json.dumps(answer, indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
