"""The floor that has seen labels: the run's untrained encoder, trained on them; kept, so that features can be taken."""

import copy
import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.torch import save as tensor_bytes
from torch import nn

from hiclr.datasets import SkeletonSet
from hiclr.datasets.wording import counted, duration
from hiclr.encoders import load_weights
from hiclr.errors import InputError
from hiclr.evaluation.finetune import FOLDER, training_digest
from hiclr.evaluation.longer import TIMED, seconds_a_clip
from hiclr.evaluation.supervised import FinetuneConfig, Fit, Learned, Supervised, plan
from hiclr.features import check_clips, code_digest, random_encoder, weights_digest
from hiclr.pretraining import PretrainConfig, progress
from hiclr.runs import Run, pick_device, write_atomically

__all__ = ["teach"]

_say = logging.getLogger(__name__)


def teach(
    run: Run,
    train: SkeletonSet,
    clips: SkeletonSet,
    config: FinetuneConfig,
    seeds: Sequence[int] = (0,),
    device: str = "auto",
    say: Callable[[str], None] = _say.info,
) -> list[Learned]:
    """Train the run's untrained encoder with the labels of clips, once for each seed: what supervision makes of it.

    Each training that is finished is kept in the run folder, weights and all, and not done again.

    Args:
        run: whose encoder, preprocessing and stream it is.
        train: labels are learned from here.
        clips: looked at after the last epoch, for an accuracy; never learned from, if they are others.
        config: the settings.
        seeds: of the new layer, the order of the clips and the draws.
        device: where to train.
        say: is told how long it takes before it starts, or that it is there already.

    Returns:
        For each seed the training and its encoder.

    Raises:
        InputError: other joints than the run's, fewer than 2 clips, or a loss that is not finite.
        Stopped: interrupted; what was finished is kept.
    """
    check_clips(run, train)
    settings = PretrainConfig.from_dict(run.config)
    untrained = random_encoder(settings, train.layout)
    jobs = [replace(config, seed=seed, look_every=config.epochs) for seed in seeds]
    keys = [_key(run, untrained, train, clips, job) for job in jobs]
    paths = [run.path / FOLDER / f"{key[:32]}.safetensors" for key in keys]
    kept = [_kept(path, key, untrained) for path, key in zip(paths, keys, strict=True)]
    missing = [n for n, one in enumerate(kept) if one is None]
    say(_how_long(untrained, settings, train, clips, config, len(missing), len(jobs), device))
    if missing:
        data = Supervised(train, clips, settings, device)
        with progress(config.epochs * len(missing), 0, unit="epoch", delay=5) as bar:
            for n in missing:
                learned = data.learn(untrained, np.arange(len(train)), jobs[n], bar)
                _keep(paths[n], keys[n], learned)
                kept[n] = learned
    return [one for one in kept if one is not None]


def _how_long(
    untrained: nn.Module,
    settings: PretrainConfig,
    train: SkeletonSet,
    clips: SkeletonSet,
    config: FinetuneConfig,
    missing: int,
    wanted: int,
    device: str,
) -> str:
    words = f"{counted(wanted, 'training')} of {counted(config.epochs, 'epoch')}, {counted(len(train), 'label')} seen"
    if not missing:
        return f"supervised encoder: kept from before ({words})"
    few, some = train.subset(np.arange(min(2 * TIMED, len(train)))), clips.subset(np.arange(min(TIMED, len(clips))))
    encode, learn = seconds_a_clip(untrained, settings, few, some, device)
    batch, _, steps = plan(config, len(train))
    seconds = missing * (config.epochs * batch * steps * learn + len(clips) * encode)
    return f"supervised encoder: about {duration(max(seconds, 1))} on {pick_device(device).type} ({words})"


def _key(run: Run, untrained: nn.Module, train: SkeletonSet, clips: SkeletonSet, config: FinetuneConfig) -> str:
    content = {
        "weights": weights_digest(untrained),
        "train": train.fingerprint,
        "test": clips.fingerprint,
        "pretraining": run.config,
        "settings": asdict(config),
        "code": [code_digest(), training_digest()],
    }
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _kept(path: Path, key: str, untrained: nn.Module) -> Learned | None:
    """What was kept under this key; None where it is not there or damaged."""
    try:
        with safe_open(path, "pt") as file:
            said = file.metadata() or {}
            weights = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - it is no mapping
        if said.get("key") != key:
            return None
        encoder = copy.deepcopy(untrained)
        load_weights(encoder, weights, path.name)
        return Learned(Fit.from_dict(json.loads(said["fit"])), encoder)
    except (OSError, ValueError, KeyError, TypeError, InputError, SafetensorError):
        return None


def _keep(path: Path, key: str, learned: Learned) -> None:
    weights = {name: value.detach().clone().contiguous() for name, value in learned.encoder.state_dict().items()}
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, tensor_bytes(weights, {"key": key, "fit": json.dumps(asdict(learned.fit))}))
    except (OSError, InputError) as error:  # a full disk, or somebody else's run: it is only done again
        _say.warning("This training with labels is not kept for another time: %s", error)
