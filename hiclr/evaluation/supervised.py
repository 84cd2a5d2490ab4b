"""Training with labels: an encoder and one linear layer, all weights learning; the settings of the field by name."""

import copy
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, fields
from functools import partial
from typing import Any, Literal, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from hiclr.datasets import SkeletonSet, to_stream
from hiclr.datasets.base import Ids
from hiclr.encoders import linear_head
from hiclr.errors import InputError
from hiclr.pretraining import PretrainConfig, Stopped, derive, keep_memory, learning_rate, preprocess_of
from hiclr.pretraining.feed import Feed
from hiclr.pretraining.memory import out_of_memory
from hiclr.pretraining.model import views_of
from hiclr.pretraining.process import StopFlag
from hiclr.runs import pick_device

__all__ = ["RECIPES", "FinetuneConfig", "Fit", "Learned", "Supervised"]

_CHUNK = 256  # test clips encoded at once
_MOMENTUM = 0.9


@dataclass(frozen=True)
class FinetuneConfig:
    """The settings of one training with labels; the defaults are those for small sets, see `RECIPES`.

    Raises:
        InputError: a value that cannot be meant; the field is named.
    """

    epochs: int = 40
    """Passes over the labelled clips."""
    batch_size: int = 64
    """Clips per step; all clips when there are fewer. The last, incomplete batch of a pass is left out."""
    least_steps: int = 10
    """Steps of an epoch, at least: few clips are gone through several times in each epoch."""
    whole_epochs: bool = False
    """An epoch has the steps of one over all training clips, however few of them are labelled."""
    optimiser: Literal["sgd", "adamw"] = "adamw"
    """SGD with momentum 0.9, or AdamW."""
    nesterov: bool = False
    """Nesterov's momentum, with SGD."""
    lr: float = 1e-3
    """Highest learning rate."""
    lowest_lr: float = 0.0
    """Where the cosine ends."""
    weight_decay: float = 1e-4
    """With AdamW of matrices alone, with SGD of every parameter."""
    schedule: Literal["step", "cosine"] = "cosine"
    """Divide the learning rate by 10 at `lr_steps`, or let it fall along a cosine."""
    lr_steps: tuple[int, ...] = ()
    """Epochs after which the step schedule divides."""
    warmup: float = 0.1
    """Share of all steps over which the learning rate rises from 0."""
    layer_decay: float = 1.0
    """Each layer learns at this share of the rate of the one after it; 1: all alike."""
    label_smoothing: float = 0.0
    """Share of the target that is spread over all classes."""
    fixed_norm: bool = False
    """Keep the statistics of batch norm, and dropout off, while training."""
    augment: bool = True
    """Train on the weakest view of the run, drawn anew in each step; else on clean clips."""
    look_every: int = 5
    """Epochs between two looks at the test part, for the best epoch as published code reports it."""
    precision: Literal["32", "bf16-mixed"] = "32"
    """Arithmetic of the encoder."""
    seed: int = 0
    """Fixes the new layer's weights, the order of the clips and every draw."""

    def __post_init__(self) -> None:
        good = {
            "batch_size": self.batch_size >= 2,
            **{name: getattr(self, name) >= 1 for name in ("epochs", "least_steps", "look_every")},
            "lr": self.lr > 0,
            **{name: getattr(self, name) >= 0 for name in ("lowest_lr", "weight_decay")},
            **{name: 0 <= getattr(self, name) < 1 for name in ("warmup", "label_smoothing")},
            "layer_decay": 0 < self.layer_decay <= 1,
            "optimiser": self.optimiser in ("sgd", "adamw"),
            "schedule": self.schedule in ("step", "cosine"),
            "precision": self.precision in ("32", "bf16-mixed"),
        }
        for name, fine in good.items():
            if not fine:
                raise InputError(f"{name} of a training with labels cannot be {getattr(self, name)}.")


RECIPES: dict[str, FinetuneConfig] = {
    "small": FinetuneConfig(),
    "hiclr": FinetuneConfig(
        epochs=70, batch_size=64, least_steps=1, optimiser="sgd", nesterov=True, lr=0.1, schedule="step",
        lr_steps=(29, 54), warmup=5 / 70, augment=False,
    ),
    "hiclr-transformer": FinetuneConfig(
        epochs=80, batch_size=128, least_steps=1, optimiser="sgd", nesterov=True, lr=0.1, weight_decay=5e-4,
        schedule="step", lr_steps=(34, 54), warmup=5 / 80,
    ),
    "hiclr-semi": FinetuneConfig(
        epochs=60, batch_size=64, least_steps=1, whole_epochs=True, optimiser="sgd", nesterov=True, lr=0.1,
        schedule="step", lr_steps=(19, 39), warmup=5 / 60, augment=False,
    ),
    "aimclr": FinetuneConfig(
        epochs=80, batch_size=128, least_steps=1, optimiser="sgd", nesterov=True, lr=0.1, schedule="step",
        lr_steps=(10, 30, 50), warmup=0, fixed_norm=True, augment=False,
    ),
    "cmd": FinetuneConfig(
        epochs=80, batch_size=64, least_steps=1, optimiser="sgd", lr=0.01, weight_decay=0, schedule="step",
        lr_steps=(50, 70), warmup=0,
    ),
    "mamp": FinetuneConfig(
        epochs=100, batch_size=48, least_steps=1, lr=3e-4, lowest_lr=1e-5, weight_decay=0.05, warmup=0.05,
        layer_decay=0.8, label_smoothing=0.1,
    ),
}  # fmt: skip
"""Name -> settings. "small" is ours, for a few hundred to a few thousand clips, fixed beforehand and tuned on nothing.
The others have the constants of released code: HiCLR's configurations (fine-tuning of its graph network and of its
transformer; semi-supervised), where "step: 30" divides in the 30th epoch and not after it; AimCLR's and ActCLR's
fine-tuning, whose code trains in eval mode (`fixed_norm`); CMD's and MAMP's scripts, the latter on two GPUs. HiCLR's
graph network and AimCLR train on clean clips; elsewhere the run's weakest view stands for the code's own crops, shears
and rotations. MAMP's drop path, which these encoders do not have, is missing."""


def plan(config: FinetuneConfig, clips: int) -> tuple[int, int, int]:
    """(clips of a step, passes of an epoch, steps of an epoch) on so many labelled clips."""
    batch = min(config.batch_size, clips)
    once = clips // batch
    passes = math.ceil(config.least_steps / once)
    return batch, passes, once * passes


@dataclass(frozen=True)
class Fit:
    """What one training with labels came to.

    Args:
        top1: accuracy on the test part after the last epoch, 0..1: the result.
        top5: the same, among the first five.
        best: highest accuracy of the epochs looked at. It is chosen on the test part, so it is no result.
        best_epoch: which one.
        clips: trained on.
        seconds: it took.
        predicted: class of each test clip.
        losses: mean of each epoch, in nats.
    """

    top1: float
    top5: float
    best: float
    best_epoch: int
    clips: int
    seconds: float
    predicted: tuple[int, ...] = field(repr=False)
    losses: tuple[float, ...] = field(repr=False)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Fit":
        """From `asdict`, by way of JSON."""
        plain = {f.name: values[f.name] for f in fields(cls)}
        return cls(**plain | {name: tuple(plain[name]) for name in ("predicted", "losses")})


class Learned(NamedTuple):
    """A training with labels, and what has learned."""

    fit: Fit
    encoder: nn.Module  # on the CPU, in eval mode


class Supervised:
    """A train and a test part on a device, to train on some or all labels, any number of times.

    Args:
        train: labels are taken from here.
        test: looked at, never learned from.
        pretraining: preprocessing, stream and views of the run.
        device: where to train.
    """

    def __init__(self, train: SkeletonSet, test: SkeletonSet, pretraining: PretrainConfig, device: str) -> None:
        keep_memory()
        self.device = pick_device(device)
        self.train, self.test, self.pretraining = train, test, pretraining
        steps = preprocess_of(pretraining)
        self.train_feed, self.test_feed = Feed(train, steps, self.device), Feed(test, steps, self.device)
        self.labels = torch.from_numpy(train.y)
        self.stream = partial(to_stream, stream=pretraining.stream, layout=train.layout)
        self.views = views_of(pretraining, train.layout)

    def fit(self, encoder: nn.Module, labelled: Ids, config: FinetuneConfig, bar: Any) -> Fit:
        """What `learn` came to, for who does not need the encoder."""
        return self.learn(encoder, labelled, config, bar).fit

    def learn(self, encoder: nn.Module, labelled: Ids, config: FinetuneConfig, bar: Any) -> Learned:
        """Train a copy of an encoder, and a linear layer on it, on these clips; the encoder itself stays as it is.

        Args:
            encoder: pretrained, or untrained.
            labelled: (n,) indices into the train part.
            config: the settings.
            bar: advanced by an epoch at a time.

        Raises:
            InputError: fewer than 2 clips, a loss that is not finite, or a step that does not fit into memory.
            Stopped: on request; nothing of this training is kept.
        """
        if len(labelled) < 2:
            raise InputError(f"At least 2 labelled clips are needed to train on; there are {len(labelled)}.")
        start = time.perf_counter()
        devices = [self.device.index or 0] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=devices), StopFlag() as stop:
            torch.manual_seed(derive(config.seed, "head").initial_seed())
            body = copy.deepcopy(encoder).to(self.device)
            head = linear_head(self.pretraining.features, self.train.num_classes).to(self.device)
            training = _Training(self, nn.ModuleList([body, head]), labelled, config, stop)
            losses, seen = [], {}
            for epoch in range(config.epochs):
                losses.append(training.epoch(epoch))
                if (epoch + 1) % config.look_every == 0 or epoch + 1 == config.epochs:
                    ranked = training.rank_test()
                    seen[epoch + 1] = float((ranked[:, 0] == self.test.y).mean())
                bar.update()
        best = max(seen, key=lambda number: seen[number])
        fit = Fit(
            top1=seen[config.epochs],
            top5=float((ranked == self.test.y[:, None]).any(axis=1).mean()),
            best=seen[best],
            best_epoch=best,
            clips=len(labelled),
            seconds=round(time.perf_counter() - start, 2),
            predicted=tuple(ranked[:, 0].tolist()),
            losses=tuple(losses),
        )
        return Learned(fit, body.cpu().eval())


class _Training:
    """What lives while one network is trained."""

    def __init__(
        self, data: Supervised, network: nn.ModuleList, labelled: Ids, config: FinetuneConfig, stop: StopFlag
    ) -> None:
        self.data, self.config, self.stop = data, config, stop
        self.body, self.head = network
        self.labelled = torch.from_numpy(np.asarray(labelled))
        self.batch, self.passes, self.steps = plan(config, len(labelled))
        self.optimiser = _optimiser(self.body, self.head, config)
        self.loss = nn.CrossEntropyLoss(label_smoothing=config.label_smoothing)

    def epoch(self, number: int) -> float:
        """One epoch; its mean loss in nats."""
        for part in (self.body, self.head):
            part.train(not self.config.fixed_norm)
        draws = derive(self.config.seed, "queries", number, device=self.data.device)
        total = torch.zeros((), device=self.data.device)
        for step, indices in enumerate(self._batches(number), number * self.steps):
            self._stop_if_wanted(number)
            rate = self._rate(step)
            for group in self.optimiser.param_groups:
                group["lr"] = rate * group["scale"]
            total += self._step(indices, draws)
        mean = float(total) / self.steps
        if not math.isfinite(mean):
            raise self._ran_off(f"epoch {number + 1}: the loss is not finite")
        return mean

    def _ran_off(self, what: str) -> InputError:
        return InputError(
            f"Training with labels, {what}. Take a lower learning rate than {self.config.lr:g}, and look at the clips "
            "with `hiclr doctor`."
        )

    def _step(self, indices: Tensor, draws: torch.Generator) -> Tensor:
        self.optimiser.zero_grad()
        try:
            loss: Tensor = self.loss(
                self._logits(self._views(indices, draws)), self.data.labels[indices].to(self.data.device)
            )
            loss.backward()  # type: ignore[no-untyped-call]
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
            raise InputError(
                f"A step of {self.batch} clips does not fit into the memory of {self.data.device}. Take settings with "
                "a smaller batch_size."
            ) from error
        self.optimiser.step()
        return loss.detach()

    def _rate(self, step: int) -> float:
        """`learning_rate`, with the cosine's end lifted."""
        config, rate = self.config, learning_rate(self.config, step, self.steps)
        warm = step < round(config.warmup * config.epochs * self.steps)
        return rate if warm else config.lowest_lr + rate * (1 - config.lowest_lr / config.lr)

    def _batches(self, number: int) -> Iterator[Tensor]:
        generator = derive(self.config.seed, "shuffle", number)
        whole = self.steps // self.passes * self.batch
        for _ in range(self.passes):
            order = torch.randperm(len(self.labelled), generator=generator)[:whole]
            yield from torch.split(self.labelled[order], self.batch)

    def _views(self, indices: Tensor, draws: torch.Generator) -> Tensor:
        x = self.data.train_feed.batch(indices)
        if not self.config.augment:
            return self.data.stream(x)
        views = self.data.views
        return views.apply_view(0, x, views.draw_view(0, tuple(x.shape), draws), self.data.stream)

    def _logits(self, x: Tensor) -> Tensor:
        with torch.autocast(x.device.type, torch.bfloat16, enabled=self.config.precision == "bf16-mixed"):
            features = self.body(x)
        logits: Tensor = self.head(features.float())
        return logits

    @torch.no_grad()
    def rank_test(self) -> Ids:
        """(n, up to 5) classes of the test clips, likeliest first."""
        for part in (self.body, self.head):
            part.eval()
        found = []
        for indices in torch.split(torch.arange(len(self.data.test)), _CHUNK):
            self._stop_if_wanted(None)
            logits = self._logits(self.data.stream(self.data.test_feed.batch(indices)))
            if not bool(torch.isfinite(logits).all()):  # the last step: no loss came after it
                raise self._ran_off("test part: scores are not finite, so the weights are not")
            found.append(logits.sort(dim=1, descending=True, stable=True).indices[:, :5].cpu())
        return np.asarray(torch.cat(found).numpy())

    def _stop_if_wanted(self, number: int | None) -> None:
        if self.stop.wanted:
            where = "while looking at the test part" if number is None else f"in epoch {number + 1}"
            raise Stopped(f"Stopped {where} of a training with labels; those that were finished are kept.")


def _optimiser(body: nn.Module, head: nn.Module, config: FinetuneConfig) -> torch.optim.Optimizer:
    groups: dict[tuple[float, float], dict[str, Any]] = {}
    depths = layer_depths(body)
    last = max(depths.values()) + 1
    named = [(p, config.layer_decay ** (last - depths[name])) for name, p in body.named_parameters()]
    for parameter, scale in [*named, *((p, 1.0) for p in head.parameters())]:
        decay = config.weight_decay if config.optimiser == "sgd" or parameter.dim() > 1 else 0.0
        group = groups.setdefault((scale, decay), {"params": [], "scale": scale, "weight_decay": decay})
        group["params"].append(parameter)
    if config.optimiser == "sgd":
        return torch.optim.SGD(list(groups.values()), lr=config.lr, momentum=_MOMENTUM, nesterov=config.nesterov)
    return torch.optim.AdamW(list(groups.values()), lr=config.lr)


def layer_depths(network: nn.Module) -> dict[str, int]:
    """Name of each parameter -> number of its layer, in order; a norm belongs to the layer before it."""
    blocks: dict[str, list[tuple[str, nn.Parameter]]] = {}
    for name, parameter in network.named_parameters():
        parts = name.split(".")
        numbered = len(parts) > 2 and parts[1].isdigit()
        blocks.setdefault(".".join(parts[: 2 if numbered else 1]), []).append((name, parameter))
    depth = 0
    found: dict[str, int] = {}
    for members in blocks.values():
        depth += any(parameter.dim() > 1 for _, parameter in members)
        found |= {name: depth for name, _ in members}
    return found
