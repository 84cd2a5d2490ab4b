"""A frozen encoder runs once: clips -> (N, D) arrays, kept beside the run under a name that says what they are."""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cache, partial
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

import hiclr
from hiclr.augmentations import Params
from hiclr.datasets.base import Ids, SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.datasets.streams import to_stream
from hiclr.encoders import encode_view, load_weights, own_source
from hiclr.errors import InputError
from hiclr.pretraining.arithmetic import arithmetic
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.feed import Feed
from hiclr.pretraining.methods import Method
from hiclr.pretraining.model import build_model, build_networks, coordinate_scale, layout_of, preprocess_of, views_of
from hiclr.pretraining.process import keep_memory, progress
from hiclr.pretraining.schedule import derive
from hiclr.runs import Exported, Run, load_run, pick_device, write_atomically
from hiclr.skeleton import Layout

__all__ = [
    "CLEAN",
    "Array",
    "Features",
    "check_clips",
    "extract",
    "features",
    "load_encoder",
    "load_model",
    "load_projection",
    "random_encoder",
    "state_digest",
    "view_names",
    "weights_digest",
]

Array = NDArray[np.float32]

CLEAN = "clean"
"""The name of the features of clips as they are, without augmentation: what every evaluation reads."""

_CHUNK = 128  # clips encoded at once; the draws of a view are derived per chunk, so it is part of what is cached
_FAR = 3.0  # ratio of coordinate scales from which on a set is not what the encoder saw

_say = logging.getLogger(__name__)


@dataclass(frozen=True)
class Features:
    """Features of N clips, by the name of the view: "clean", and the views that the run was trained on.

    Args:
        arrays: name -> (N, D) float32.
        y: (N,) labels.
        names: N clip names, by which features of several runs are joined.
        classes: name of each class.
    """

    arrays: Mapping[str, Array]
    y: Ids
    names: tuple[str, ...]
    classes: tuple[str, ...] = field(default=())

    def __getitem__(self, view: str) -> Array:
        if view not in self.arrays:
            raise InputError(f"There are no features of a view {view!r}; there are: {', '.join(self.arrays)}.")
        return self.arrays[view]

    def __len__(self) -> int:
        return len(self.y)


def random_encoder(config: PretrainConfig, layout: Layout) -> nn.Module:
    """The untrained encoder of these settings, in eval mode: exactly the weights the run started from."""
    return build_networks(config, layout)[0].eval()


def load_encoder(run: Run | Path | str, device: str = "cpu") -> nn.Module:
    """The encoder of a run's newest checkpoint, in eval mode.

    Raises:
        InputError: no checkpoint, no whole one, or one whose names or shapes are not those of the settings.
    """
    return _load(run, "encoder.")[0].eval().to(pick_device(device))


def load_projection(run: Run | Path | str, device: str = "cpu") -> nn.Module:
    """The encoder of a run's newest checkpoint with its projection head behind it, (N, 3, T, V, M) -> (N, P): what
    the loss saw, and what some papers' nearest neighbours are taken on.

    Raises:
        InputError: as `load_encoder`.
    """
    return nn.Sequential(*_load(run, "encoder.", "head.")).eval().to(pick_device(device))


def _load(run: Run | Path | str, *prefixes: str) -> list[nn.Module]:
    """Encoder, or encoder and projection head, with the weights of the newest checkpoint under these prefixes."""
    run = run if isinstance(run, Run) else load_run(run)
    return _with_weights(run, _trained(run), *prefixes)


def _trained(run: Run) -> dict[str, Tensor]:
    """The method's state in the newest checkpoint."""
    state: dict[str, Tensor] = run.trained()[0]["model"]
    return state


def _with_weights(run: Run, state: Mapping[str, Tensor], *prefixes: str) -> list[nn.Module]:
    networks = build_networks(PretrainConfig.from_dict(run.config), layout_of(run.data))[: len(prefixes)]
    for prefix, network in zip(prefixes, networks, strict=True):
        weights = {k.removeprefix(prefix): v for k, v in state.items() if k.startswith(prefix)}
        load_weights(network, weights, f"The checkpoint of {run.path}")
    return list(networks)


def load_model(run: Run | Path | str) -> Method:
    """The whole model of a run's newest checkpoint, in eval mode on the CPU: networks and queue.

    Raises:
        InputError: no checkpoint, or one whose names or shapes are not those of the settings.
    """
    run = run if isinstance(run, Run) else load_run(run)
    if isinstance(run, Exported):
        raise InputError(
            f"{run.path} is an exported model: it holds the encoder and its head, and this needs the whole "
            "model. Give the run it was exported from."
        )
    config, state = PretrainConfig.from_dict(run.config), _trained(run)
    if "queue.keys" in state:  # a queue whose size was measured by the clips
        config = replace(config, queue_size=state["queue.keys"].shape[1])
    model = build_model(config, layout_of(run.data))
    try:
        model.load_state_dict(state)
    except RuntimeError as error:
        raise InputError(f"The checkpoint of {run.path} does not fit its settings: {error}") from error
    return model.eval()


def view_names(config: PretrainConfig, layout: Layout) -> tuple[str, ...]:
    """The names of the views that a run with these settings was trained on, weakest first."""
    return tuple(views_of(config, layout).names)


def extract(
    encoder: nn.Module,
    clips: SkeletonSet,
    config: PretrainConfig,
    view: int | None = None,
    seed: int = 0,
    device: str = "cpu",
    preprocess: Preprocess | None = None,
    mask_value: float = 0.0,
) -> Array:
    """Encode every clip once, in eval mode and 32 bit.

    Args:
        encoder: (N, 3, T, V, M) -> (N, D). Its weights, buffers and mode are afterwards what they were.
        clips: any set of the encoder's layout.
        config: preprocessing, stream and views.
        view: None for clean clips, or the number of the view, 0 the weakest; then each clip gets one draw.
        seed: of the draws.
        device: where to compute.
        preprocess: another than the settings name; it is applied to one chunk of clips after the other, in order.
        mask_value: what a masked joint becomes, where that is learned.

    Returns:
        (N, D) float32, in the order of the set.

    Raises:
        InputError: a view that the settings do not have, or clips that the encoder cannot take.
    """
    names = view_names(config, clips.layout)
    if view is not None and not 0 <= view < len(names):
        raise InputError(f"view must be None or 0..{len(names) - 1} ({', '.join(names)}); it is {view}.")
    keep_memory()
    where, training = pick_device(device), encoder.training
    feed = Feed(clips, preprocess or preprocess_of(config), where, resident=False)
    change = _change(config, clips.layout, view, seed)
    chunks = torch.split(torch.arange(len(clips)), _CHUNK)
    parts = []
    encoder.eval().to(where)
    try:
        with torch.no_grad(), arithmetic(), progress(len(clips), 0, unit="clip", delay=5) as bar:
            for number, chunk in enumerate(chunks):
                x, inside = change(feed.batch(chunk), number)
                parts.append(encode_view(encoder, x, inside, mask_value).float().cpu().numpy())
                bar.update(len(chunk))
    finally:
        encoder.train(training)
    return np.concatenate(parts)


def _change(
    config: PretrainConfig, layout: Layout, view: int | None, seed: int
) -> Callable[[Tensor, int], tuple[Tensor, Params]]:
    """(x, number of the chunk) -> what the encoder sees, the stream of the clips or of a drawn view of them, and what
    happens inside it."""
    stream = partial(to_stream, stream=config.stream, layout=layout)
    if view is None:
        return lambda x, _: (stream(x), {})
    views = views_of(config, layout)

    def drawn(x: Tensor, number: int) -> tuple[Tensor, Params]:
        draw = views.draw_view(view, tuple(x.shape), derive(seed, "features", number, view))
        return views.make_view(view, x, draw, stream)

    return drawn


def features(
    run: Run,
    clips: SkeletonSet,
    views: Sequence[str] | None = None,
    encoder: nn.Module | None = None,
    device: str = "auto",
) -> Features:
    """Features of a set by a run's encoder, from the run's cache where they are there.

    A cached array is found by its content: weights, clips, settings and code. Nothing stale is ever returned.

    Args:
        run: the run; its folder `features/` is the cache.
        clips: any set of the run's layout.
        views: names out of "clean" and `view_names`; all of them when left out.
        encoder: another encoder of the same settings (the untrained one, say); the run's own when left out.
        device: where to compute what is not cached.

    Raises:
        InputError: another layout, an unknown view, or no checkpoint.
    """
    config = PretrainConfig.from_dict(run.config)
    check_clips(run, clips)
    mask_value = 0.0
    if encoder is None:
        state = _trained(run)
        (encoder,) = _with_weights(run, state, "encoder.")
        mask_value = float(state.get("mask_value", 0.0))
    known = view_names(config, clips.layout)
    arrays = {}
    for name in (CLEAN, *known) if views is None else views:
        if name != CLEAN and name not in known:
            raise InputError(f"There is no view {name!r}; there are: {', '.join((CLEAN, *known))}.")
        view = None if name == CLEAN else known.index(name)
        arrays[name] = _cached(run, encoder, clips, config, view, device, mask_value)
    return Features(arrays, clips.y, clips.names, clips.classes)


def check_clips(run: Run, clips: SkeletonSet) -> None:
    """Refuse clips of other joints than the run's; say when their coordinates have another scale."""
    trained, given = layout_of(run.data), clips.layout
    if (trained.joints, trained.parents) != (given.joints, given.parents):
        raise InputError(
            f"{run.path.name} was trained on layout {trained.name!r} ({trained.num_joints} joints); "
            f"{clips.source} has {given.name!r} ({given.num_joints} joints). The joints and their parents must agree."
        )
    before, now = run.data.get("scale") or 0.0, coordinate_scale(clips)
    if before > 0 and now > 0 and max(now / before, before / now) > _FAR:
        _say.warning(
            "The coordinates of %s differ in scale from those the encoder was trained on: the median bone measures "
            "%.3g there and %.3g here. Metres are wanted; results will be meaningless.",
            clips.source,
            before,
            now,
        )


def _cached(
    run: Run,
    encoder: nn.Module,
    clips: SkeletonSet,
    config: PretrainConfig,
    view: int | None,
    device: str,
    mask_value: float,
) -> Array:
    content = {
        "weights": weights_digest(encoder),
        "clips": clips.fingerprint,
        "preprocess": asdict(preprocess_of(config)),
        "stream": config.stream,
        "persons": config.persons,
        "own": own_source(config.encoder),
        "view": None if view is None else [views_of(config, clips.layout).code(), view, config.seed, mask_value],
        "code": code_digest(),
    }
    key = hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
    path = run.path / "features" / f"{key[:32]}.npz"
    if path.exists():
        try:
            with np.load(path, allow_pickle=False) as kept:
                if str(kept["key"]) == key:
                    return np.asarray(kept["features"], dtype=np.float32)
        except Exception as error:  # a damaged zip raises nearly anything; the array can be made again
            _say.warning("%s is damaged (%s): its features are computed again.", path.name, error)
    array = extract(encoder, clips, config, view, config.seed, device, None, mask_value)
    buffer = io.BytesIO()
    np.savez(buffer, features=array, key=np.array(key))
    try:
        path.parent.mkdir(exist_ok=True)
        write_atomically(path, buffer.getvalue())
    except (OSError, InputError) as error:  # a full disk, or somebody else's run: they are only computed again
        _say.warning("These features are not kept for another time: %s", error)
    return array


def weights_digest(encoder: nn.Module) -> str:
    """SHA-256 of every parameter and buffer, with its name."""
    return state_digest(encoder.state_dict())


def state_digest(state: Mapping[str, Tensor]) -> str:
    """The same of a state dict."""
    digest = hashlib.sha256()
    for name, value in state.items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


@cache
def code_digest() -> str:
    """SHA-256 of the source that turns clips into features: an edit makes every cached array miss."""
    home = Path(hiclr.__file__).parent
    rooms = [home / "skeleton.py", home / "datasets" / "preprocessing.py", home / "datasets" / "streams.py"]
    rooms += [*(home / "augmentations").glob("*.py"), *(home / "encoders").glob("*.py"), Path(__file__)]
    digest = hashlib.sha256()
    for path in sorted(rooms):
        digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()
