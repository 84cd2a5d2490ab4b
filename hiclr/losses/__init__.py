"""The losses, as pure functions of tensors: no queue, no encoder, no device is owned here."""

from hiclr.losses.consistency import Distance, consistency, embedding_consistency, nearest_to_teacher
from hiclr.losses.contrastive import info_nce, nearest_neighbours, own_keys, pretext_top1, similarity_logits
from hiclr.losses.growing import Direction, growing_loss

__all__ = [
    "Direction",
    "Distance",
    "consistency",
    "embedding_consistency",
    "growing_loss",
    "info_nce",
    "nearest_neighbours",
    "nearest_to_teacher",
    "own_keys",
    "pretext_top1",
    "similarity_logits",
]
