"""The losses, as pure functions of tensors: no queue, no encoder, no device is owned here."""

from hiclr.losses.consistency import consistency
from hiclr.losses.contrastive import info_nce, nearest_neighbours, own_keys, pretext_top1, similarity_logits
from hiclr.losses.growing import growing_loss

__all__ = [
    "consistency",
    "growing_loss",
    "info_nce",
    "nearest_neighbours",
    "own_keys",
    "pretext_top1",
    "similarity_logits",
]
