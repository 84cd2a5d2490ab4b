"""What changes while a run goes on, as pure functions of the step: nothing here needs to be saved or restored."""

import hashlib
import math
from typing import Literal, Protocol

import torch
from torch import Generator

from hiclr.pretraining.config import PretrainConfig

__all__ = ["batch_size", "derive", "key_momentum", "learning_rate", "mining", "queue_size"]

Purpose = Literal[
    "weights",
    "method",
    "shuffle",
    "queries",
    "keys",
    "key order",
    "dropout",
    "monitor",
    "features",
    "labels",
    "damage",
    "head",
    "holdout",
    "snapshot",
]
"""What draws are for; each has its own."""

_LAST_MOMENTUM = 0.999


class Paced(Protocol):
    """What `learning_rate` reads of settings."""

    @property
    def epochs(self) -> int:
        """Epochs of the run."""

    @property
    def lr(self) -> float:
        """Highest learning rate."""

    @property
    def warmup(self) -> float:
        """Share of all steps over which it rises."""

    @property
    def schedule(self) -> str:
        """step or cosine."""

    @property
    def lr_steps(self) -> tuple[int, ...]:
        """Epochs after which the step schedule divides by 10."""


def batch_size(config: PretrainConfig, clips: int) -> int:
    """Clips per step: as configured, or all of a smaller set."""
    return min(config.batch_size, clips)


def queue_size(config: PretrainConfig, clips: int) -> int:
    """Keys in the queue; without a setting, the largest multiple of the batch within half the clips (one at least).

    A queue longer than the set would hold a clip's own older keys among its negatives.
    """
    if config.queue_size is not None:
        return config.queue_size
    batch = batch_size(config, clips)
    return max(1, clips // 2 // batch) * batch


def learning_rate(config: Paced, step: int, steps_per_epoch: int) -> float:
    """Learning rate of one step, counted from 0 over the whole run: linear warm-up, then step or cosine."""
    total = config.epochs * steps_per_epoch
    warm = round(config.warmup * total)
    if step < warm:
        return config.lr * (step + 1) / warm
    if config.schedule == "step":
        passed = sum(step // steps_per_epoch >= epoch for epoch in config.lr_steps)
        return config.lr / 10.0**passed
    return config.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, total - warm)))


def key_momentum(config: PretrainConfig, step: int, total: int) -> float:
    """Share of the key encoder that stays at one step of `total`.

    A momentum m averages the last 1 / (1 - m) steps: the rule keeps that near a sixtieth of the run.
    """
    first = config.momentum
    if first is None:
        first = min(max(1 - 60 / total, 0.9), 0.996)
    if config.momentum_schedule == "constant":
        return first
    last = max(first, _LAST_MOMENTUM)
    return last - (last - first) * 0.5 * (1 + math.cos(math.pi * step / total))


def mining(config: PretrainConfig, epoch: int) -> bool:
    """Whether nearest neighbours count as positives in this epoch, counted from 0."""
    return config.mining_epoch is not None and epoch >= config.mining_epoch


def derive(seed: int, purpose: Purpose, epoch: int = 0, rank: int = 0, device: str | torch.device = "cpu") -> Generator:
    """A generator of its own for each use: a resumed epoch draws what it would have drawn, with nothing saved.

    Other devices draw other numbers from the same seed.
    """
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}/{rank}".encode()).digest()
    return torch.Generator(device).manual_seed(int.from_bytes(digest[:8], "big") >> 1)
