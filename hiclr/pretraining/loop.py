"""The loop: a row of metrics per epoch, everything saved before it is shown."""

import logging
from collections.abc import Iterator
from contextlib import closing, contextmanager, nullcontext
from dataclasses import replace

from hiclr.datasets.base import SkeletonSet
from hiclr.errors import InputError
from hiclr.pretraining.arithmetic import arithmetic, say_what_is_not_exact
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.epoch import Epoch
from hiclr.pretraining.faulty import NotFiniteError
from hiclr.pretraining.process import Progress, StopFlag, Stopped
from hiclr.pretraining.snapshots import take_snapshot
from hiclr.pretraining.training import Training, how_to_go_on
from hiclr.runs import Row, Run, launched_ranks, write_json
from hiclr.runs.differences import CHANGE_NO_WEIGHT

__all__ = ["pretrain"]

_say = logging.getLogger(__name__)


def pretrain(train: SkeletonSet, config: PretrainConfig, run: Run) -> Iterator[Row]:
    """Train, or go on training, and yield one row of metrics after each epoch.

    Each row is in metrics.jsonl, and each epoch in a checkpoint, before it is yielded; a finished run yields nothing.
    The same seed, machine and number of threads and processes give the same numbers, interrupted or not.

    Args:
        train: the training clips only.
        config: the settings that `run` was opened with.
        run: from `prepare_run`; locked while the loop runs.

    Yields:
        "epoch" (done), "step", "loss" and every term of it in nats, "ln_k" (the InfoNCE of an encoder that tells
        nothing apart: the mean of ln(1+K) over the steps, K being what the queue held), "knn_1" (%, nearest neighbour
        from some subjects of the training set to the others, trained on without labels unless `holdout` keeps them
        out; None where not measured), "lr", "momentum", "queue_filled",
        "feature_std" (spread of the projections: 1 even, 0 collapsed), "effective_rank" (directions that the
        features use; None where the kNN was not measured), "pretext_top1" (%, own key nearest), "clips_per_s",
        "seconds".

    Raises:
        InputError: settings or data are not the run's, the loss or a gradient is not finite (epoch and clips are
            named, what was drawn for them is in not-finite.json, the last checkpoint is untouched), a batch does not
            fit into memory, or the folder cannot be written.
        Stopped: interrupted; the same call goes on.
    """
    _check_same(train, config, run)
    first = launched_ranks()[0] == 0
    with run.locked() if first else nullcontext():
        latest = run.latest()
        if latest is not None and latest[1] >= config.epochs:
            return
        training = Training(train, config)
        training.ranks.wait()  # until every rank has read what is there
        if latest is not None:
            training.load(latest[0])
        elif first:
            run.save(training.state(), 0, later=training.optimiser_bytes())
            _keep_snapshot(run, training, 0)

        def keep(epoch: Epoch) -> None:
            if first:
                run.save(training.state(epoch), epoch.number, epoch.steps)

        tf32 = config.precision == "tf32"
        say_what_is_not_exact(training.fabric.device, tf32, config.deterministic)
        done, kept = (0, None) if latest is None else (latest[1], latest[0].get("epoch"))
        epoch = training.begin(done, kept)
        before = done * training.steps + epoch.steps
        with closing(Progress(run if first else None, config.epochs, training.steps, training.batch, before)) as bar:
            while epoch.number < config.epochs:
                with StopFlag() as stop, _drawn_kept(run, first), arithmetic(tf32, config.deterministic):
                    row = training.run_epoch(epoch, stop, bar, keep)
                    done += 1
                    if first:
                        run.append(row)
                        _keep_snapshot(run, training, done)
                        run.save(training.state(), done)
                    stopped = training.ranks.any(stop.wanted)
                yield row
                if stopped:
                    raise Stopped(how_to_go_on(done, config.epochs))
                epoch = training.begin(done, None)


def _keep_snapshot(run: Run, training: Training, done: int) -> None:
    """At the start, every so many epochs and at the end; before the checkpoint, so that a stop leaves none out."""
    config = training.config
    if not config.snapshots or (done % config.snapshots and done < config.epochs):
        return
    try:
        run.keep(take_snapshot(training.model, training.source, training.train, done))
    except InputError as error:  # a full disk stops the run at its checkpoint, not for a picture
        _say.warning("Epoch %d: no snapshot is kept: %s", done, error)


def _check_same(train: SkeletonSet, config: PretrainConfig, run: Run) -> None:
    kept = config.kept(run.config)
    if replace(kept, **{name: getattr(config, name) for name in CHANGE_NO_WEIGHT}) != config:
        raise InputError(
            f"{run.path} was opened with other settings. Open it with these: prepare_run(path, config, …)."
        )
    if run.data.get("fingerprint") != train.fingerprint:
        raise InputError(f"{run.path} was opened with other clips. Open it with these: prepare_run(path, config, …).")


@contextmanager
def _drawn_kept(run: Run, first: bool) -> Iterator[None]:
    """What was drawn for the clips of a step that was not finite is kept beside the run."""
    try:
        yield
    except NotFiniteError as fault:
        path = run.path / "not-finite.json"
        try:
            if first:
                write_json(path, fault.report)
        except InputError:  # a full folder is not what the run stops for
            raise fault from None
        raise InputError(f"{fault} What was drawn for them is in {path}.") from fault
