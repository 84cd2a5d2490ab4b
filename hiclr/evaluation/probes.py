"""The field's own linear probes: SGD on frozen features with each paper's constants, all learning rates at once."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import batch_norm

from hiclr.datasets.base import Ids
from hiclr.errors import InputError
from hiclr.evaluation.holdout import Holdout
from hiclr.evaluation.knn import check_finite
from hiclr.pretraining.process import progress

__all__ = [
    "ACTCLR",
    "HICLR",
    "HICLR_TRANSFORMER",
    "MAMP",
    "SWEEP",
    "SWEEP_RATES",
    "Probe",
    "ProbeConfig",
    "choose_rate",
    "sgd_probe",
]

_EPSILON = 1e-6  # of MAMP's batch norm
_ROWS = 1 << 13  # clips that are scored at once


@dataclass(frozen=True)
class ProbeConfig:
    """Constants of a probe: cross-entropy, SGD with momentum, no weight decay, the last part of an epoch left out.

    Args:
        rate: learning rate for this batch.
        batch: clips of a step; a smaller set is one batch.
        epochs: passes over the train part.
        steps: epochs after which the rate is divided by 10.
        cosine: half a cosine down to 0 instead, anew for every step.
        norm: what stands before the layer: nothing; "batch", a batch norm without parameters; "standard", mean 0 and
            variance 1 by the train part.
        momentum: of SGD.
        start: standard deviation of the initial weights; the bias starts at 0.
        every: epochs between looks at the test part, from which "best on test" is taken.
        source: whose constants these are.
    """

    rate: float
    batch: int
    epochs: int = 100
    steps: tuple[int, ...] = (80,)
    cosine: bool = False
    norm: Literal["none", "batch", "standard"] = "none"
    momentum: float = 0.9
    start: float = 0.02
    every: int = 5
    source: str = ""

    def factor(self, epoch: int, part: float) -> float:
        """What the rate is multiplied by, in this epoch (from 0) after this part (0..1) of it."""
        if self.cosine:
            return (1 + math.cos(math.pi * (epoch + part) / self.epochs)) / 2
        return float(0.1 ** sum(epoch >= step for step in self.steps))


HICLR = ProbeConfig(3.0, 128, source="HiCLR (AAAI 2023), released linear_eval configuration; AimCLR's too")
HICLR_TRANSFORMER = replace(
    HICLR, steps=(30, 80), source="HiCLR (AAAI 2023), released linear_eval configuration of its transformer"
)
ACTCLR = ProbeConfig(24.0, 1024, source="ActCLR (CVPR 2023), released linear_eval configuration")
MAMP = ProbeConfig(
    0.1, 256, cosine=True, norm="batch", start=0.01, every=1,
    source="MAMP (ICCV 2023), released linprobe configuration on two GPUs, without its crops and rotations",
)  # fmt: skip
SWEEP = ProbeConfig(0.3, 1024, norm="standard", source="none: the rate is chosen on held-out training clips")
SWEEP_RATES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0)


@dataclass(frozen=True)
class Probe:
    """Probes of L learning rates after their last epoch, and what they did on the way.

    Args:
        rates: (L,) learning rates.
        looked: (K,) epochs, from 1, after which the test part was looked at; the last one is among them.
        top1: (L, K) test accuracy, 0..1, after each; NaN once a rate has run off.
        loss: (L,) mean training loss over the last epoch, in nats; ln C is no knowledge.
        stopped: (L,) the epoch after which weights were no longer finite; 0 where they stayed so.
        weight: (L, D + 1, C), the bias last; zeros where stopped.
        shift: (D,) taken from features first.
        scale: (D,) that they are divided by then.
    """

    rates: tuple[float, ...]
    looked: tuple[int, ...]
    top1: NDArray[np.float64]
    loss: NDArray[np.float64]
    stopped: tuple[int, ...]
    weight: Tensor
    shift: Tensor
    scale: Tensor

    def logits(self, x: NDArray[Any], which: int = 0) -> NDArray[np.float32]:
        """Scores (n, C) of features (n, D) by the probe of `rates[which]`."""
        parts = torch.split(torch.from_numpy(np.asarray(x, dtype=np.float32)), _ROWS)
        return torch.cat([_with_one((p - self.shift) / self.scale) @ self.weight[which] for p in parts]).numpy()

    def best(self, which: int = 0) -> tuple[float, int]:
        """(accuracy, epoch) of the best look at the test part, as published code reports; no result of ours."""
        at = int(np.nanargmax(self.top1[which]))
        return float(self.top1[which, at]), self.looked[at]

    def check(self, which: int = 0) -> None:
        """Refuse a probe that ran off.

        Raises:
            InputError: when it did, at which rate.
        """
        if self.stopped[which]:
            raise InputError(
                f"the probe with learning rate {self.rates[which]:g} stopped: its weights were no longer finite after "
                f"epoch {self.stopped[which]}. The features are too large for this rate; `linear` standardises them."
            )


def sgd_probe(
    x: NDArray[Any],
    y: Ids,
    test: NDArray[Any],
    y_test: Ids,
    num_classes: int,
    config: ProbeConfig = HICLR,
    rates: Sequence[float] | None = None,
    seed: int = 0,
) -> Probe:
    """Train a linear layer on frozen features by SGD, for several learning rates in one pass.

    All rates see the same batches and start from the same weights, so they are one matrix product a step: D+1 by L*C.
    Each gives what it would give alone. The test part is looked at for the curve only: nothing depends on it.
    Where `norm` is "none" the outcome depends on the scale of the features: at 1e-8, as the released initialisation
    makes an untrained encoder's, lr 3 stays at chance. MAMP's batch norm holds down to about 1e-3, its epsilon's root.

    Args:
        x: (N, D) features of the training clips; as float32, or they are made so.
        y: (N,) classes.
        test: (n, D) features of the test clips.
        y_test: (n,) classes.
        num_classes: C of the set; every class has an output, as in the papers.
        config: the constants.
        rates: learning rates; the configuration's own when left out.
        seed: of the initial weights and of the order of clips.

    Raises:
        InputError: features that are not finite, fewer than 2 training clips, or classes outside 0..C-1.
    """
    _check(x, y, test, y_test, num_classes)
    rates = (config.rate,) if rates is None else tuple(rates)
    generator = torch.Generator().manual_seed(seed)
    keys, labels = torch.from_numpy(np.asarray(x, dtype=np.float32)), torch.from_numpy(np.asarray(y))
    shift, scale = _standard(x) if config.norm == "standard" else (torch.zeros(x.shape[1]), torch.ones(x.shape[1]))
    if config.norm == "standard":
        keys = (keys - shift) / scale
    running = (torch.zeros(x.shape[1]), torch.ones(x.shape[1])) if config.norm == "batch" else None
    weight = torch.zeros(x.shape[1] + 1, len(rates), num_classes)
    first = torch.empty(x.shape[1], num_classes).normal_(0, config.start, generator=generator)
    weight[:-1] = first[:, None]
    velocity, stopped = torch.zeros_like(weight), [0] * len(rates)
    looked, curve = [], []
    loss = torch.zeros(len(rates))
    with progress(config.epochs, 0, unit="epoch", delay=5) as bar:
        for epoch in range(config.epochs):
            loss = _epoch(keys, labels, weight, velocity, running, epoch, config, rates, generator)
            bad = ~torch.isfinite(weight).all(dim=2).all(dim=0)
            weight[:, bad], velocity[:, bad] = 0, 0
            stopped = [before or (epoch + 1 if now else 0) for before, now in zip(stopped, bad.tolist(), strict=True)]
            if (epoch + 1) % config.every == 0 or epoch + 1 == config.epochs:
                if running is not None:
                    shift, scale = running[0], (running[1] + _EPSILON).sqrt()
                looked.append(epoch + 1)
                curve.append(_accuracy(test, y_test, weight, shift, scale))
            bar.update(1)
    off = np.array(stopped) > 0
    top1 = np.where(off[:, None] & (np.array(looked)[None] >= np.array(stopped)[:, None]), np.nan, np.array(curve).T)
    losses = np.where(off, np.nan, loss.double().numpy())
    return Probe(rates, tuple(looked), top1, losses, tuple(stopped), weight.transpose(0, 1).contiguous(), shift, scale)


def _check(x: NDArray[Any], y: Ids, test: NDArray[Any], y_test: Ids, num_classes: int) -> None:
    check_finite(x, "training features")
    check_finite(test, "test features")
    if len(x) < 2 or len(y) != len(x) or len(y_test) != len(test):
        raise InputError(
            f"a probe needs at least 2 training clips and a class for each clip; there are {len(x)} and {len(test)} "
            f"clips with {len(y)} and {len(y_test)} classes."
        )
    both = np.concatenate([y, y_test])
    if not 0 <= int(both.min()) <= int(both.max()) < num_classes:
        raise InputError(f"classes must be in 0..{num_classes - 1}; they reach from {both.min()} to {both.max()}.")


def _standard(x: NDArray[Any]) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each feature, in 64 bit; 1 for one that never changes."""
    wide = np.asarray(x, dtype=np.float64)
    spread = wide.std(axis=0)
    spread = np.where(spread > 0, spread, 1)
    return torch.from_numpy(wide.mean(axis=0).astype(np.float32)), torch.from_numpy(spread.astype(np.float32))


def _with_one(x: Tensor) -> Tensor:
    """(B, D) -> (B, D + 1): the bias is one more weight."""
    return torch.cat([x, torch.ones(len(x), 1)], dim=1)


def _epoch(
    x: Tensor,
    y: Tensor,
    weight: Tensor,
    velocity: Tensor,
    running: tuple[Tensor, Tensor] | None,
    epoch: int,
    config: ProbeConfig,
    rates: tuple[float, ...],
    generator: torch.Generator,
) -> Tensor:
    """One pass: `weight` and `velocity` (D + 1, L, C), and the running mean and variance, are changed in place.

    Returns:
        (L,) mean loss of the pass.
    """
    size = min(config.batch, len(x))
    count = len(x) // size
    order = torch.randperm(len(x), generator=generator)[: count * size]
    step_sizes = torch.tensor(rates)[:, None]  # of (L, C)
    flat, total = weight.flatten(1), torch.zeros(len(rates))
    for number, chosen in enumerate(torch.split(order, size)):
        batch = x[chosen]
        if running is not None:
            batch = batch_norm(batch, *running, training=True, momentum=0.1, eps=_EPSILON)
        batch = _with_one(batch)
        scores = (batch @ flat).view(size, len(rates), -1)
        picked = y[chosen][:, None, None].expand(-1, len(rates), 1)
        total += (scores.logsumexp(dim=2) - scores.gather(2, picked)[:, :, 0]).mean(dim=0)
        gradient = scores.softmax(dim=2)
        gradient.scatter_add_(2, picked, torch.full(picked.shape, -1.0))
        slope = (batch.T @ gradient.flatten(1)).view_as(weight) / size
        velocity.mul_(config.momentum).add_(slope)
        weight.addcmul_(velocity, (-config.factor(epoch, number / count) * step_sizes).expand_as(weight))
    return total / count


def _accuracy(test: NDArray[Any], y: Ids, weight: Tensor, shift: Tensor, scale: Tensor) -> NDArray[np.float64]:
    """(L,) share of test clips whose highest score is their class's."""
    right = np.zeros(weight.shape[1])
    for start in range(0, len(test), _ROWS):
        part = torch.from_numpy(np.asarray(test[start : start + _ROWS], dtype=np.float32))
        scores = (_with_one((part - shift) / scale) @ weight.flatten(1)).view(len(part), *weight.shape[1:])
        right += (scores.argmax(dim=2).numpy() == y[start : start + _ROWS, None]).sum(axis=0)
    return np.asarray(right / len(test))


def choose_rate(
    x: NDArray[Any],
    y: Ids,
    num_classes: int,
    part: Holdout,
    config: ProbeConfig = SWEEP,
    rates: Sequence[float] = SWEEP_RATES,
    seed: int = 0,
) -> tuple[int, Probe]:
    """The rate that is best, after the last epoch, on a held-out part of the training clips: no test clip is seen.

    Args:
        x: (N, D) features of the training clips.
        y: (N,) classes.
        num_classes: C of the set.
        part: what to fit and what to choose on.
        config: the constants.
        rates: those to choose from; of equal ones the smallest.
        seed: as in `sgd_probe`.

    Returns:
        The place of the rate in `rates`, and the probes on the fitted part, whose `top1` is held-out accuracy.

    Raises:
        InputError: as `sgd_probe`; or every rate ran off.
    """
    probe = sgd_probe(x[part.fit], y[part.fit], x[part.held], y[part.held], num_classes, config, rates, seed)
    last = probe.top1[:, -1]
    if np.isnan(last).all():
        raise InputError(f"every learning rate of {', '.join(f'{r:g}' for r in rates)} ran off: no probe is finite.")
    order = np.argsort(rates, kind="stable")
    return int(order[np.nanargmax(last[order])]), probe
