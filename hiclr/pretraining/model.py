"""The networks of a run from its settings, and what a run remembers of its training set."""

import hashlib
import logging
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from hiclr.augmentations import RECIPES, GrowingViews, arrange
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.doctor import diagnose_set
from hiclr.datasets.preprocessing import Preprocess
from hiclr.encoders import DSTA, STGCN, TCN, BiGRU, own_encoder, projection_head
from hiclr.errors import InputError
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.feed import watch_split
from hiclr.pretraining.methods import METHODS, Method
from hiclr.pretraining.ranks import first_alone
from hiclr.pretraining.schedule import derive
from hiclr.pretraining.size import check_batch, check_network, sizes, unusual
from hiclr.runs import Run, load_run, open_run, pick_device
from hiclr.skeleton import LAYOUTS, Layout

__all__ = [
    "build_model",
    "build_networks",
    "check_trainable",
    "coordinate_scale",
    "describe",
    "describe_layout",
    "layout_of",
    "prepare_run",
    "preprocess_of",
    "views_of",
]


_say = logging.getLogger(__name__)
_LOOKED_AT = 256


def preprocess_of(config: PretrainConfig) -> Preprocess:
    """The preprocessing that these settings name."""
    return Preprocess(frames=config.frames, centre=config.centre, turn=config.turn)


_ENCODERS: dict[str, type[STGCN | DSTA | TCN | BiGRU]] = {"stgcn": STGCN, "dsta": DSTA, "tcn": TCN, "bigru": BiGRU}


def build_networks(config: PretrainConfig, layout: Layout) -> tuple[nn.Module, nn.Sequential]:
    """Encoder and projection head with the run's own initial weights; torch's global generator is left as it was.

    Raises:
        InputError: sizes that no encoder can have, or an encoder of one's own that is not known; see `use_encoder`.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.seed, "weights").initial_seed())
        encoder = _encoder(config, layout)
        head = projection_head(
            config.features, config.features, config.projection, norm=config.projection_norm, init=config.init
        )
    return encoder, head


def _encoder(config: PretrainConfig, layout: Layout) -> nn.Module:
    if config.encoder not in _ENCODERS:
        return own_encoder(config.encoder, layout, config.features, config.frames)
    return _ENCODERS[config.encoder](
        layout,
        channels=config.channels,
        features=config.features,
        dropout=config.dropout,
        persons=config.persons,
        init=config.init,
    )


def build_model(config: PretrainConfig, layout: Layout, clips: int | None = None) -> Method:
    """The whole model of a run by its method, with its initial weights and an empty queue.

    Args:
        config: the settings.
        layout: the V joints.
        clips: number of training clips, by which a queue without a set size is measured.
    """
    encoder, head = build_networks(config, layout)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive(config.seed, "method").initial_seed())
        count = 2 * config.batch_size if clips is None else clips
        method = METHODS[config.method](config, layout, encoder, head, count)
    if method.uses_views and "hidden" in views_of(config, layout).within:
        method.learn_mask()
    return method


def views_of(config: PretrainConfig, layout: Layout) -> GrowingViews:
    """The views that a run with these settings draws.

    Raises:
        InputError: an unknown strong kind, or sets that cannot be arranged like this; see `arrange`.
    """
    recipe = RECIPES[config.views](layout, config.encoder)
    if config.learn_mask is not None:
        recipe = recipe.with_mask(config.learn_mask)
    views = arrange(recipe.sets(config.strong), config.branches, config.order, config.merge, config.key_apart)
    if not config.strengths:
        return views
    return GrowingViews(views.sets, views.names, config.strengths, views.first_query)


def _weigh(config: PretrainConfig, train: SkeletonSet) -> None:
    try:
        with torch.device("meta"):
            check_network(build_model(config, train.layout, len(train)), config)
    except (RuntimeError, TypeError) as error:  # of more than an index can count
        if "overflow" not in str(error).lower():
            raise
        raise InputError(f"Networks and queue of these settings ({sizes(config)}) have room nowhere.") from error


def coordinate_scale(clips: SkeletonSet) -> float:
    """Median length of a bone over up to 256 clips, in the set's unit (metres wanted); 0 when nobody is there."""
    index = np.unique(np.linspace(0, len(clips) - 1, min(len(clips), 256)).astype(np.int64))
    x = clips.clips(index)
    child, parent = (list(end) for end in zip(*clips.layout.bones, strict=True)) if clips.layout.bones else ([], [])
    length = (x[:, :, :, child] - x[:, :, :, parent]).norm(dim=1)
    length = length[length > 0]
    return float(length.median()) if len(length) else 0.0


def _digest(words: Iterable[str]) -> str:
    return hashlib.sha256("\n".join(words).encode()).hexdigest()


def describe(train: SkeletonSet) -> dict[str, Any]:
    """What a run keeps of its training set: enough to rebuild the encoder, and to say what differs later."""
    return {
        "source": train.source,
        "synthetic": train.synthetic,
        "clips": len(train),
        "frames": train.x.shape[2],
        "persons": train.x.shape[4],
        "classes": list(train.classes),
        "preprocessing": list(train.preprocessing),
        "scale": round(coordinate_scale(train), 6),
        "layout": describe_layout(train.layout),
        "names_digest": _digest(train.names),
        "sorted_names_digest": _digest(sorted(train.names)),
        "labels_digest": hashlib.sha256(np.ascontiguousarray(train.y).tobytes()).hexdigest(),
        "subjects_digest": hashlib.sha256(np.asarray(train.ids.get("subject", ())).tobytes()).hexdigest(),
        "fingerprint": train.fingerprint,
    }


def describe_layout(layout: Layout) -> dict[str, Any]:
    """A layout as data.json holds it; `layout_of` reads it."""
    return {
        "name": layout.name,
        "joints": layout.joints,
        "parents": layout.parents,
        "pairs": layout.pairs,
        "centre": layout.centre,
        "shoulders": layout.shoulders,
    }


def layout_of(data: Mapping[str, Any]) -> Layout:
    """The layout that a run was trained with.

    Raises:
        InputError: the run's data.json names none.
    """
    try:
        kept = data["layout"]
        layout = Layout(
            name=kept["name"],
            joints=tuple(kept["joints"]),
            parents=tuple(kept["parents"]),
            pairs=tuple((left, right) for left, right in kept["pairs"]),
            centre=kept["centre"],
            shoulders=None if kept["shoulders"] is None else tuple(kept["shoulders"]),
        )
    except (KeyError, TypeError) as error:
        raise InputError(f"data.json of the run does not name its layout ({error!r}). Put the file back.") from error
    known = LAYOUTS.get(layout.name)
    return known if known == layout else layout


def prepare_run(path: Path | str, config: PretrainConfig, train: SkeletonSet) -> Run:
    """The run folder for these settings and this training set: new, or the one to go on with.

    Raises:
        InputError: settings that cannot be trained with on these clips (before the folder is made), or the folder
            holds a run with other settings or other data; see `open_run`.
    """
    check_trainable(config, train)
    if not (Path(path) / "config.json").exists():
        _warn_of_faults(train)
    if idle := config.without_effect():
        _say.warning("Without effect beside the other settings: %s.", ", ".join(idle))
    device = pick_device(config.device, quiet=True)
    run: Run = first_alone(
        device, lambda: open_run(path, _as_known(path, config), describe(train)), otherwise=lambda: load_run(path)
    )
    return run


def _as_known(path: Path | str, config: PretrainConfig) -> dict[str, Any]:
    """The settings as the run in this folder would hold them: an older version's run lacks settings that came later,
    or has another name for them; what means the same is as it is there."""
    settings = config.to_dict()
    if not (Path(path) / "config.json").exists():
        return settings
    kept = load_run(path).config
    meant = config.kept(kept).to_dict()
    same = {name for name, value in settings.items() if meant[name] == value}
    there = {name: value for name, value in kept.items() if name in same}
    return there | {name: value for name, value in settings.items() if name not in same}


def _warn_of_faults(train: SkeletonSet) -> None:
    """What the doctor finds wrong with the bodies of some clips: training would go on, and come to nothing."""
    some = np.unique(np.linspace(0, len(train) - 1, min(len(train), _LOOKED_AT)).astype(np.int64))
    for fault in diagnose_set(train.subset(some))["faults"]:
        if fault["kind"] in ("scale", "empty clip", "frozen"):
            of = f"Of {len(some)} clips looked at: " if len(some) < len(train) and fault["count"] else ""
            _say.warning("%s%s (%s). `hiclr doctor` says more.", of, fault["what"], fault["do"])


def check_trainable(config: PretrainConfig, train: SkeletonSet) -> None:
    """Refuse what would only be found out once training begins.

    Raises:
        InputError: views that cannot be made, edges to drop in an encoder without any, fewer than two clips, or sizes
            that no memory here can hold.
    """
    check_batch(config, train)
    if unusual(config):
        _weigh(config, train)
    views, model = views_of(config, train.layout), build_model(config, train.layout, len(train))
    if model.uses_views and "edges" in views.within and getattr(model.encoder, "edge_maps", None) is None:
        raise InputError(
            f"The views drop and add edges (strong: {', '.join(config.strong)}), and the encoder {config.encoder} has "
            "none. Take stgcn or dsta, or other strong kinds; an encoder of your own says in edge_maps that it has."
        )
    trained, _, _ = watch_split(train, config)
    if len(trained) < 2:
        held = f" after a holdout of {config.holdout:g}" if config.holdout else ""
        raise InputError(
            f"At least 2 clips are needed to train on; {train.source} has {len(trained)}{held}. A contrastive loss "
            "compares clips with each other."
        )
