"""What a few clips look like to the encoder while it learns."""

import numpy as np
import torch
from torch import Tensor, nn

from hiclr.augmentations import Params
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.sampling import stratified_sample
from hiclr.pretraining.batch import Source
from hiclr.pretraining.methods import Method
from hiclr.pretraining.schedule import derive
from hiclr.runs import Snapshot

__all__ = ["KEPT", "take_snapshot"]

KEPT = 300
"""Clips of a snapshot, at most: with five views of 256 features a file of 0.7 MB."""

_AT_ONCE = 100


@torch.no_grad()
def take_snapshot(model: Method, source: Source, train: SkeletonSet, epoch: int) -> Snapshot:
    """Features of a sample of the training clips: clean, of one draw of each view, and of the key encoder.

    The clips are the same share of each class, the draws the same at every epoch. Training is not touched: the networks
    are in eval mode meanwhile, and no draw of training is used up.

    Args:
        model: the method that is trained.
        source: where its batches come from.
        train: the training clips.
        epoch: epochs done.
    """
    chosen = stratified_sample(train.y, KEPT)
    key, modes = getattr(model, "key_encoder", None), {part: part.training for part in model.modules()}
    parts: dict[str, list[Tensor]] = {}
    model.eval()
    try:
        for number, indices in enumerate(torch.split(torch.from_numpy(chosen), _AT_ONCE)):
            clips = source.feed.batch(indices)
            clean = source.stream(clips)
            seen: dict[str, tuple[nn.Module, Tensor, Params]] = {"clean": (model.encoder, clean, {})}
            for view, name in enumerate(source.views.names):
                draw = source.views.draw_view(view, tuple(clips.shape), derive(source.seed, "snapshot", number, view))
                seen[name] = (model.encoder, *source.views.make_view(view, clips, draw, source.stream))
            if key is not None:
                seen["key"] = (key, clean, {})
            for name, (encoder, x, inside) in seen.items():
                with source.autocast():
                    parts.setdefault(name, []).append(model.embed_view(encoder, x, inside).float().cpu())
    finally:
        for part, training in modes.items():
            part.training = training
    features = {name: torch.cat(each).numpy().astype(np.float32) for name, each in parts.items()}
    return Snapshot(epoch, tuple(train.names[i] for i in chosen), features)
