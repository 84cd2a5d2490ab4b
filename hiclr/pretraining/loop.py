"""One step, and one loop that yields a row per epoch."""

import logging
import math
import time
from collections.abc import Iterable, Iterator
from contextlib import closing
from dataclasses import replace
from functools import partial
from typing import Any, Literal

import torch
from lightning_fabric import Fabric
from torch import Generator, Tensor

from hiclr.augmentations import VIEWS
from hiclr.datasets.base import Ids, SkeletonSet
from hiclr.datasets.streams import to_stream
from hiclr.errors import InputError
from hiclr.losses import growing_loss, pretext_top1, similarity_logits
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.feed import Feed, name_some, watch_split
from hiclr.pretraining.model import build_model, preprocess_of
from hiclr.pretraining.process import StopFlag, Stopped, keep_memory, progress
from hiclr.pretraining.schedule import batch_size, derive, key_momentum, learning_rate, mining
from hiclr.runs import Row, Run, pick_device

__all__ = ["pretrain"]

_say = logging.getLogger(__name__)

_COLLAPSED = 0.01  # spread of the projections; 1 is even over the sphere, 0 is one point


def pretrain(train: SkeletonSet, config: PretrainConfig, run: Run) -> Iterator[Row]:
    """Train, or go on training, and yield one row of metrics after each epoch.

    Each row is in metrics.jsonl, and each epoch in a checkpoint, before it is yielded; a finished run yields nothing.
    The same seed, machine and number of threads give the same numbers, interrupted or not.

    Args:
        train: the training clips only.
        config: the settings that `run` was opened with.
        run: from `prepare_run`; locked while the loop runs.

    Yields:
        "epoch" (done), "step", "loss" and every term of it in nats, "ln_k" (the InfoNCE of an encoder that tells
        nothing apart, for the queue's present filling), "knn_1" (%, nearest neighbour from some
        subjects of the training set to the others; None where not measured), "lr", "momentum", "queue_filled",
        "feature_std" (spread of the projections: 1 even, 0 collapsed), "pretext_top1" (%, own key nearest),
        "clips_per_s", "seconds".

    Raises:
        InputError: settings or data are not the run's, the loss or a gradient is not finite (epoch and clips are
            named, the last checkpoint is untouched), or the folder cannot be written.
        Stopped: interrupted; the same call goes on.
    """
    _check_same(train, config, run)
    with run.locked():
        latest = run.latest()
        if latest is not None and latest[1] >= config.epochs:
            return
        training = _Training(train, config)
        if latest is None:
            run.save(training.state(), 0)
        else:
            training.load(latest[0])
        done = 0 if latest is None else latest[1]
        with closing(progress(config.epochs * training.steps, done * training.steps)) as bar:
            for epoch in range(done, config.epochs):
                with StopFlag() as stop:
                    row = training.epoch(epoch, stop, bar)
                    run.append(row)
                    run.save(training.state(), epoch + 1)
                yield row
                if stop.wanted:
                    raise Stopped(_how_to_go_on(epoch + 1, config))


def _how_to_go_on(done: int, config: PretrainConfig) -> str:
    return f"Stopped; {done} of {config.epochs} epochs are saved. The same call or command goes on from there."


def _check_same(train: SkeletonSet, config: PretrainConfig, run: Run) -> None:
    kept = PretrainConfig.from_dict(run.config)
    if replace(kept, device=config.device, knn_every=config.knn_every) != config:
        raise InputError(
            f"{run.path} was opened with other settings. Open it with these: prepare_run(path, config, …)."
        )
    if run.data.get("fingerprint") != train.fingerprint:
        raise InputError(f"{run.path} was opened with other clips. Open it with these: prepare_run(path, config, …).")


class _Training:
    """Everything that lives while a run is trained: networks, optimiser, clips. Its `state` is what a save holds."""

    def __init__(self, train: SkeletonSet, config: PretrainConfig) -> None:
        keep_memory()
        self.train, self.config = train, config
        self.fabric = _fabric(config)
        self.trained, self.gallery, self.queries = watch_split(train, config)
        self.batch = batch_size(config, len(self.trained))
        if self.batch < config.batch_size:
            _say.warning(
                "%d clips are fewer than a batch of %d: all of them are one batch.", self.batch, config.batch_size
            )
        once = len(self.trained) // self.batch  # steps of one pass over the clips
        self.passes = math.ceil(config.least_steps / once)
        self.steps = once * self.passes
        self.views = VIEWS[config.views](train.layout, config.branches)
        self.stream = partial(to_stream, stream=config.stream, layout=train.layout)
        self.model = build_model(config, train.layout, len(self.trained))
        self.module, self.optimiser = self.fabric.setup(
            self.model, _optimiser(config, self.model.learning_parameters())
        )
        try:
            self.feed = Feed(train, preprocess_of(config), self.fabric.device)
        except InputError as error:
            raise InputError(f"Before epoch 1: {error}") from error

    def state(self) -> dict[str, Any]:
        """All that changes from epoch to epoch; every draw is derived from seed and epoch and needs no saving."""
        return {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state; strict."""
        try:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"The checkpoint does not fit the settings of the run: {error}") from error

    def epoch(self, epoch: int, stop: StopFlag, bar: Any) -> Row:
        """Train over all batches of the epoch; the row of metrics."""
        start = time.perf_counter()
        batches = self._batches(self._generator("shuffle", epoch))
        generators = self._generator("queries", epoch), self._generator("keys", epoch)
        values: list[dict[str, Tensor]] = []
        self.model.train()
        with torch.random.fork_rng(devices=_cuda_devices(self.fabric.device)):
            torch.manual_seed(self._generator("dropout", epoch).initial_seed())
            for number, indices in enumerate(batches):
                values.append(self._step(indices, epoch, epoch * self.steps + number, *generators))
                bar.update()
                if stop.wanted and number + 1 < self.steps:
                    raise Stopped(_how_to_go_on(epoch, self.config))
        seconds = time.perf_counter() - start
        row = self._row(epoch, values) | {"clips_per_s": self.steps * self.batch / seconds, "seconds": seconds}
        bar.set_postfix(epoch=epoch + 1, loss=f"{row['loss']:.3f}")
        if row["feature_std"] < _COLLAPSED:
            _say.warning("Epoch %d: collapsed, all clips have the same projection.", epoch + 1)
        return row

    def _batches(self, generator: Generator) -> list[Tensor]:
        """Indices of the clips of each step; every pass in an order of its own, without its incomplete last batch."""
        whole = self.steps // self.passes * self.batch
        orders = [torch.randperm(len(self.trained), generator=generator)[:whole] for _ in range(self.passes)]
        return list(torch.split(torch.from_numpy(self.trained)[torch.cat(orders)], self.batch))

    def _generator(self, purpose: Literal["shuffle", "queries", "keys", "dropout"], epoch: int) -> Generator:
        return derive(self.config.seed, purpose, epoch, self.fabric.global_rank)

    def _step(self, indices: Tensor, epoch: int, step: int, queries: Generator, keys: Generator) -> dict[str, Tensor]:
        """One batch: views, loss, check, update, follow, remember the keys."""
        config, model = self.config, self.model
        try:
            x = self.feed.batch(indices)
        except InputError as error:
            raise InputError(f"Epoch {epoch + 1}: {error}") from error
        branches = self._branches(x, queries)
        key = self._key(x, keys)
        queue, queue_ids = model.queue.stored()
        ids = indices.to(x.device)
        own = {"ids": ids, "queue_ids": queue_ids} if config.mask_own else {}
        losses = growing_loss(
            branches,
            key,
            queue,
            config.temperature,
            teacher_temperature=config.teacher_temperature,
            mining=1 if mining(config, epoch) else None,
            **own,
        )
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, step, self.steps)
        self.optimiser.zero_grad()
        self.fabric.backward(losses["loss"])
        limit = config.clip_gradient or math.inf
        norm = torch.nn.utils.clip_grad_norm_(list(model.learning_parameters()), limit)
        self._check_finite(losses, norm, epoch, indices)
        self.optimiser.step()
        model.update_key(key_momentum(config, step, config.epochs * self.steps))
        with torch.no_grad():
            logits = similarity_logits(branches[0], key, queue, config.temperature)
            watched = {"feature_std": _spread(branches[0]), "pretext_top1": 100 * pretext_top1(logits)}
        model.queue.enqueue(key, ids)
        return {**{name: value.detach() for name, value in losses.items()}, **watched}

    def _branches(self, x: Tensor, generator: Generator) -> list[Tensor]:
        """Projections of each view. One forward each: batch-norm statistics are per view, as in the release."""
        draws = self.views.draw(tuple(x.shape), generator)
        return [self.module(self.views.apply_view(i, x, draw, self.stream)) for i, draw in enumerate(draws)]

    @torch.no_grad()
    def _key(self, x: Tensor, generator: Generator) -> Tensor:
        """Projection of another draw of the weakest view, by the key encoder."""
        draw = self.views.draw_view(0, tuple(x.shape), generator)
        with self.fabric.autocast():
            return self.model.project_key(self.views.apply_view(0, x, draw, self.stream))

    def _check_finite(self, losses: dict[str, Tensor], norm: Tensor, epoch: int, indices: Tensor) -> None:
        """Stop before the step, so that neither weights nor checkpoint ever hold NaN."""
        if bool(torch.isfinite(losses["loss"].detach() + norm)):
            return
        terms = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in losses.items())
        names = [self.train.names[int(i)] for i in indices]
        raise InputError(
            f"Epoch {epoch + 1}: the loss or its gradient is not finite ({terms}, gradient {float(norm):.4g}). "
            f"The batch was {name_some(names)}. The step was not taken and the last checkpoint is whole; "
            "look at these clips with `hiclr doctor`, or lower the learning rate."
        )

    def _row(self, epoch: int, values: list[dict[str, Tensor]]) -> Row:
        mean = {name: float(torch.stack([value[name] for value in values]).mean()) for name in values[0]}
        spread, top1 = mean.pop("feature_std"), mean.pop("pretext_top1")
        config, step, filled = self.config, (epoch + 1) * self.steps, int(self.model.queue.filled)
        measure = config.knn_every and ((epoch + 1) % config.knn_every == 0 or epoch + 1 == config.epochs)
        return {
            "epoch": epoch + 1,
            "step": step,
            **mean,
            "ln_k": math.log1p(filled),
            "knn_1": self._nearest_accuracy() if measure else None,
            "lr": learning_rate(config, step - 1, self.steps),
            "momentum": key_momentum(config, step - 1, config.epochs * self.steps),
            "queue_filled": filled,
            "feature_std": spread,
            "pretext_top1": top1,
        }

    @torch.no_grad()
    def _nearest_accuracy(self) -> float | None:
        """Share, in %, of queries whose nearest clip of the gallery has their label; clean clips, frozen encoder."""
        if not len(self.gallery) or not len(self.queries):
            return None
        self.model.eval()
        gallery, queries = self._encode(self.gallery), self._encode(self.queries)
        nearest = (queries @ gallery.T).argmax(dim=1).cpu().numpy()
        return 100 * float((self.train.y[self.gallery][nearest] == self.train.y[self.queries]).mean())

    def _encode(self, indices: Ids) -> Tensor:
        parts = []
        for part in torch.split(torch.from_numpy(indices), self.batch):
            with self.fabric.autocast():
                parts.append(self.model.features(self.stream(self.feed.batch(part))).float())
        return torch.nn.functional.normalize(torch.cat(parts), dim=1)


def _spread(z: Tensor) -> Tensor:
    """Standard deviation of unit vectors (N, D) over the batch, as a share of that of an even spread, 1 / sqrt(D)."""
    return z.std(dim=0, unbiased=False).mean() * math.sqrt(z.shape[1])


def _optimiser(config: PretrainConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, momentum=0.9, weight_decay=config.weight_decay)
    return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)


def _fabric(config: PretrainConfig) -> Fabric:
    """Device and precision as asked for, or the nearest there is, which is said."""
    device, precision = pick_device(config.device), config.precision
    if precision == "bf16-mixed" and device.type == "cuda" and not torch.cuda.is_bf16_supported():
        _say.warning("This GPU has no bfloat16: training in 32 bit.")
        precision = "32"
    return Fabric(accelerator=device.type, devices=1 if device.index is None else [device.index], precision=precision)


def _cuda_devices(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []
