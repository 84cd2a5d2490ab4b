"""The losses, as pure functions of tensors: no queue, no encoder, no device is owned here."""

from hiclr.losses.consistency import Distance, consistency, embedding_consistency, nearest_to_teacher
from hiclr.losses.contrastive import info_nce, nearest_neighbours, own_keys, pretext_top1, similarity_logits
from hiclr.losses.decorrelation import barlow_loss, vicreg_loss
from hiclr.losses.extreme import aimclr_loss
from hiclr.losses.growing import Direction, growing_loss
from hiclr.losses.tasks import ms2l_loss, pair_contrast

__all__ = [
    "Direction",
    "Distance",
    "aimclr_loss",
    "barlow_loss",
    "consistency",
    "embedding_consistency",
    "growing_loss",
    "info_nce",
    "ms2l_loss",
    "nearest_neighbours",
    "nearest_to_teacher",
    "own_keys",
    "pair_contrast",
    "pretext_top1",
    "similarity_logits",
    "vicreg_loss",
]
