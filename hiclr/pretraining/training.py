"""Everything that lives while a run is trained: networks, optimiser, clips; one step, one epoch."""

import logging
import math
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import torch
from torch import Generator, Tensor

from hiclr.datasets.base import Ids, SkeletonSet
from hiclr.datasets.streams import to_stream
from hiclr.errors import InputError
from hiclr.pretraining.batch import Batch, Source
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.epoch import Epoch
from hiclr.pretraining.faulty import Drawn, NotFiniteError
from hiclr.pretraining.feed import Feed, name_some, watch_split
from hiclr.pretraining.memory import out_of_memory, what_fits
from hiclr.pretraining.methods import Method, Outcome
from hiclr.pretraining.model import build_model, preprocess_of, views_of
from hiclr.pretraining.process import Progress, StopFlag, Stopped, keep_memory
from hiclr.pretraining.ranks import Ranks, make_fabric, synchronise
from hiclr.pretraining.schedule import batch_size, derive, key_momentum, learning_rate, mining
from hiclr.runs import Row, pick_device

__all__ = ["Training", "effective_rank", "how_to_go_on"]

_say = logging.getLogger(__name__)

COLLAPSED = 0.01  # spread of the projections; 1 is even over the sphere, 0 is one point


class Training:
    """Networks, optimiser and clips of a run.

    Args:
        train: the training clips.
        config: the settings.

    Raises:
        InputError: a batch that cannot be divided among the processes, or clips that hold no positions.
    """

    def __init__(self, train: SkeletonSet, config: PretrainConfig) -> None:
        keep_memory()
        self.train, self.config = train, config
        self.fabric = make_fabric(pick_device(config.device), config.precision)
        self.trained, self.gallery, self.queries = watch_split(train, config)
        self.batch = batch_size(config, len(self.trained))
        if self.batch < config.batch_size:
            _say.warning(
                "%d clips are fewer than a batch of %d: all of them are one batch.", self.batch, config.batch_size
            )
        self.ranks = Ranks(self.fabric, self.batch)
        once = len(self.trained) // self.batch  # steps of one pass over the clips
        self.passes = math.ceil(config.least_steps / once)
        self.steps = once * self.passes
        self.views = views_of(config, train.layout)
        self.stream = partial(to_stream, stream=config.stream, layout=train.layout)
        self.model: Method = build_model(config, train.layout, len(self.trained))
        if config.sync_norm and self.ranks.size > 1:
            synchronise(self.model)
        self.module, self.optimiser = self.fabric.setup(
            self.model, _optimiser(config, self.model.learning_parameters())
        )
        try:
            self.feed = Feed(train, preprocess_of(config), self.fabric.device)
        except InputError as error:
            raise InputError(f"Before epoch 1: {error}") from error
        self.source = Source(self.feed, self.views, self.stream, self.ranks, self.fabric.autocast, config.seed)
        if config.compile != "no":
            self._compile(config.compile)

    def _compile(self, mode: str) -> None:
        """Try torch.compile on a batch, forwards and backwards; go on without it where it fails, and say so."""
        model = self.model
        encoders, before = model.encoders, {k: v.clone() for k, v in model.state_dict().items()}
        try:
            for encoder in encoders:
                encoder.compile(mode=mode)
            sample = self.stream(self.feed.batch(torch.from_numpy(self.trained[: self.ranks.share])))
            model.train()
            with torch.random.fork_rng(devices=_cuda_devices(self.fabric.device)), self.fabric.autocast():
                model.encoder(sample).float().sum().backward()
                with torch.no_grad():
                    for follower in encoders[1:]:
                        follower(sample)
        except Exception as error:  # a compiler that is missing or fails raises nearly anything
            for encoder in encoders:
                encoder._compiled_call_impl = None
            cause = next(iter(str(error).splitlines()), type(error).__name__)
            _say.warning("torch.compile does not work here (%s): going on without it.", cause)
        finally:
            model.load_state_dict(before)
            self.optimiser.zero_grad()

    def state(self, epoch: Epoch | None = None) -> dict[str, Any]:
        """All that changes; draws are derived from seed and epoch, within an epoch their state is kept."""
        kept = {"model": self.model.state_dict(), "optimiser": self.optimiser.state_dict()}
        return kept if epoch is None else {**kept, "epoch": epoch.state()}

    def optimiser_bytes(self) -> int:
        """What the optimiser will remember from the first step on: one average of each weight, or two."""
        averages = 2 if self.config.optimiser == "adamw" else 1
        return averages * sum(weight.numel() * weight.element_size() for weight in self.model.learning_parameters())

    def load(self, state: dict[str, Any]) -> None:
        """Take up a saved state; strict."""
        try:
            self.model.load_state_dict(state["model"])
            self.optimiser.load_state_dict(state["optimiser"])
        except (KeyError, RuntimeError, ValueError) as error:
            raise InputError(f"The checkpoint does not fit the settings of the run: {error}") from error

    def begin(self, number: int, kept: dict[str, Any] | None) -> Epoch:
        """An epoch at its first step, or where a save within it left off."""
        epoch = Epoch(self.config.seed, number, self.fabric.device)
        if kept is not None:
            epoch.load(kept)
        return epoch

    def run_epoch(self, epoch: Epoch, stop: StopFlag, bar: Progress, keep: Callable[[Epoch], None]) -> Row:
        """Train over all batches of the epoch that are left; the row of metrics.

        Args:
            epoch: from `begin`.
            stop: looked at after every step; leaves the loop, with everything kept.
            bar: advanced by a step at a time.
            keep: writes a checkpoint within the epoch.

        Raises:
            Stopped: on request.
            NotFiniteError: the loss or its gradient is not finite.
            InputError: a clip is not, or a step does not fit into memory.
        """
        config, since = self.config, time.monotonic()
        start, before = time.perf_counter(), epoch.seconds
        batches = self._batches(derive(config.seed, "shuffle", epoch.number))
        self.model.train()
        with torch.random.fork_rng(devices=_cuda_devices(self.fabric.device)):
            for indices in batches[epoch.steps :]:
                torch.manual_seed(epoch.dropout_seed(self.ranks.rank))
                epoch.values.append(self._step_or_say(indices, epoch))
                epoch.seconds = before + time.perf_counter() - start
                bar.update(epoch.values[-1]["loss"])
                if epoch.steps < self.steps:
                    stopped = self.ranks.any(stop.wanted)
                    if stopped or time.monotonic() - since > 60 * config.save_minutes:
                        keep(epoch)
                        since = time.monotonic()
                    if stopped:
                        raise Stopped(how_to_go_on(epoch.number, config.epochs, epoch.steps, self.steps))
        rate = self.steps * self.batch / epoch.seconds
        row = self._row(epoch) | {"clips_per_s": rate, "seconds": epoch.seconds}
        bar.show(epoch=epoch.number + 1, loss=f"{row['loss']:.3f}", clips_per_s=f"{rate:.0f}")
        self._warn(row)
        return row

    def _batches(self, generator: Generator) -> list[Tensor]:
        """Indices of the clips of each step; every pass in an order of its own, without its incomplete last batch."""
        whole = self.steps // self.passes * self.batch
        orders = [torch.randperm(len(self.trained), generator=generator)[:whole] for _ in range(self.passes)]
        return list(torch.split(torch.from_numpy(self.trained)[torch.cat(orders)], self.batch))

    def _step_or_say(self, indices: Tensor, epoch: Epoch) -> dict[str, Tensor]:
        """A step; where memory runs out, how large a batch would have fitted."""
        try:
            return self._step(indices, epoch)
        except (RuntimeError, MemoryError) as error:
            if not out_of_memory(error):
                raise
        advice = what_fits(lambda count: self._try(indices[:count]), self.batch, self.ranks.size)
        text = (
            f"Epoch {epoch.number + 1}: a step of {self.batch} clips does not fit into the memory of "
            f"{self.fabric.device}.{advice} Nothing was changed, and the last checkpoint is whole."
        )
        if self.ranks.rank:  # the first one, which speaks for all, only sees that this one is gone
            _say.error("Process %d: %s", self.ranks.rank, text)
        raise InputError(text)

    def _try(self, indices: Tensor) -> None:
        """The memory of a step of these clips, without the step."""
        epoch = Epoch(self.config.seed, 0, self.fabric.device)
        self._backward(self._losses(indices, epoch).losses["loss"])
        self.optimiser.zero_grad()

    def _step(self, indices: Tensor, epoch: Epoch) -> dict[str, Tensor]:
        """One batch: views, loss, check, update, follow, remember the keys."""
        config, model = self.config, self.model
        step = epoch.number * self.steps + epoch.steps
        epoch.begin_step()
        outcome = self._losses(indices, epoch)
        losses = outcome.losses
        for group in self.optimiser.param_groups:
            group["lr"] = learning_rate(config, step, self.steps)
        self.optimiser.zero_grad()
        self._backward(losses["loss"])
        limit = config.clip_gradient or math.inf
        norm = torch.nn.utils.clip_grad_norm_(list(model.learning_parameters()), limit)
        values = self.ranks.mean({**losses, **outcome.watched})
        if not bool(torch.isfinite(values["loss"] + norm)):
            raise self._not_finite(losses, norm, epoch, indices)
        self.optimiser.step()
        model.update(outcome, indices, key_momentum(config, step, config.epochs * self.steps))
        return values

    def _backward(self, loss: Tensor) -> None:
        """Gradients of every parameter: that of a mask's value is 0 where the masked view only teaches, for several
        processes wait for the gradient of each."""
        value = self.model.mask_value
        self.fabric.backward(loss if value is None else loss + 0 * value)

    def _losses(self, indices: Tensor, epoch: Epoch) -> Outcome:
        batch = Batch(self.source, indices, epoch, mining(self.config, epoch.number))
        return self.model.losses(batch, self.module)

    def _not_finite(self, losses: dict[str, Tensor], norm: Tensor, epoch: Epoch, indices: Tensor) -> NotFiniteError:
        """Why the run stops before the step, so that neither weights nor checkpoint ever hold NaN."""
        drawn, clips = self._drawn_again(epoch, indices), [self.train.names[int(i)] for i in indices]
        rows, sure = drawn.suspects()
        terms = {**losses, "gradient": norm}
        told = ", ".join(f"{name} {float(value.detach()):.4g}" for name, value in terms.items())
        batch = "Augmented, not finite" if sure else "The batch, its largest coordinates first"
        text = (
            f"Epoch {epoch.number + 1}: the loss or its gradient is not finite ({told}). {batch}: "
            f"{name_some([clips[row] for row in rows])}, at step {epoch.steps + 1} of {self.steps} with seed "
            f"{self.config.seed}. The step was not taken and the last checkpoint is whole; look at these clips with "
            "`hiclr doctor`, or lower the learning rate."
        )
        report = {
            "epoch": epoch.number + 1,
            "step": epoch.steps + 1,
            "seed": self.config.seed,
            **{name: str(float(value.detach())) for name, value in terms.items()},
            "not finite after augmentation": sure,
            "clips": drawn.of(rows, clips),
        }
        return NotFiniteError(text, report)

    def _drawn_again(self, epoch: Epoch, indices: Tensor) -> Drawn:
        """The views of a step, drawn once more as they were."""
        epoch.step_again()
        clips = self.feed.batch(indices)
        shape = (len(indices), *clips.shape[1:])
        queries = self.views.draw(shape, epoch.draws["queries"])
        draws = {name: (view, queries[view]) for view, name in enumerate(self.views.names)}
        draws["key"] = 0, self.views.draw_view(0, shape, epoch.draws["keys"])
        return Drawn(self.views, clips, draws, self.stream)

    def _row(self, epoch: Epoch) -> Row:
        mean = {name: float(torch.stack([value[name] for value in epoch.values]).mean()) for name in epoch.values[0]}
        spread, top1, blind = (mean.pop(name, None) for name in ("feature_std", "pretext_top1", "ln_k"))
        config, number, filled = self.config, epoch.number + 1, self.model.stored
        followed = len(self.model.encoders) > 1
        step = number * self.steps
        measure = config.knn_every and (number % config.knn_every == 0 or number == config.epochs)
        knn, rank = self._look() if measure and self.ranks.first else (None, None)
        return {
            "epoch": number,
            "step": step,
            **mean,
            "ln_k": blind,
            "knn_1": knn,
            "lr": learning_rate(config, step - 1, self.steps),
            "momentum": key_momentum(config, step - 1, config.epochs * self.steps) if followed else None,
            "queue_filled": filled,
            "feature_std": spread,
            "effective_rank": rank,
            "pretext_top1": top1,
        }

    @torch.no_grad()
    def _look(self) -> tuple[float | None, float | None]:
        """(share in % of queries whose nearest clip of the gallery has their label, effective rank of the gallery's
        features): clean clips, frozen encoder."""
        if not len(self.gallery) or not len(self.queries):
            return None, None
        self.model.eval()
        gallery, queries = self._encode(self.gallery), self._encode(self.queries)
        nearest = (queries @ gallery.T).argmax(dim=1).cpu().numpy()
        right = self.train.y[self.gallery][nearest] == self.train.y[self.queries]
        return 100 * float(right.mean()), effective_rank(gallery)

    def _encode(self, indices: Ids) -> Tensor:
        parts = []
        for part in torch.split(torch.from_numpy(indices), self.batch):
            with self.fabric.autocast():
                parts.append(self.model.features(self.stream(self.feed.batch(part))).float().clone())
        return torch.nn.functional.normalize(torch.cat(parts), dim=1)

    def _warn(self, row: Row) -> None:
        """Collapse, said as early as it can be seen."""
        if row["feature_std"] < COLLAPSED:
            _say.warning("Epoch %d: collapsed, all clips have the same projection.", row["epoch"])
        elif row["knn_1"] is not None and row["knn_1"] <= self._chance() and row["epoch"] > 1:
            _say.warning(
                "Epoch %d: kNN on watched clips is at chance (%.1f %%): nothing that tells actions apart is learned.",
                row["epoch"],
                row["knn_1"],
            )

    def _chance(self) -> float:
        """Accuracy in % that guessing the commonest class of the queries stays below with a certainty of 97.5 %."""
        y = torch.from_numpy(self.train.y[self.queries])
        share = float(y.bincount().max()) / len(y)
        return 100 * (share + 1.96 * math.sqrt(share * (1 - share) / len(y)))


def how_to_go_on(done: int, epochs: int, step: int = 0, steps: int = 0) -> str:
    """What a run that was stopped says."""
    within = f" and {step} of {steps} steps of the next" if step else ""
    return f"Stopped; {done} of {epochs} epochs{within} are saved. The same call or command goes on from there."


def effective_rank(features: Tensor) -> float:
    """exp of the entropy of the singular values of centred features (N, D): how many directions they really use.

    Source: Roy and Vetterli, 2007.
    """
    values = torch.linalg.svdvals(features - features.mean(dim=0))
    share = values / values.sum().clamp(min=1e-12)
    return float(torch.exp(-(share * share.clamp(min=1e-12).log()).sum()))


def _optimiser(config: PretrainConfig, parameters: Iterable[torch.nn.Parameter]) -> torch.optim.Optimizer:
    if config.optimiser == "sgd":
        return torch.optim.SGD(parameters, lr=config.lr, momentum=0.9, weight_decay=config.weight_decay)
    return torch.optim.AdamW(parameters, lr=config.lr, weight_decay=config.weight_decay)


def _cuda_devices(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []
