"""The loss of HiCLR: InfoNCE on the weakest view, directed consistency up the ladder."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor

from hiclr.errors import InputError
from hiclr.losses.consistency import consistency
from hiclr.losses.contrastive import info_nce, nearest_neighbours, own_keys, similarity_logits

__all__ = ["growing_loss"]


def growing_loss(
    branches: Sequence[Tensor],
    key: Tensor,
    queue: Tensor,
    temperature: float,
    teacher_temperature: float | None = None,
    mining: int | None = None,
    ids: Tensor | None = None,
    queue_ids: Tensor | None = None,
) -> dict[str, Tensor]:
    """Every term of the loss by its name; each a scalar in nats.

        loss = info_nce(z_0) + mean over i >= 1 of consistency_i,   consistency_i: z_i learns from z_(i-1)

    All branches are compared with the same key and queue. One branch is SkeletonCLR: loss = info_nce.

    Args:
        branches: embeddings (N, D) of each view, weakest first, unit norm. Take the gradient.
        key: (N, D) unit-norm keys of the batch.
        queue: (D, K) unit-norm keys of earlier batches.
        temperature: above 0; 0.07 in the paper.
        teacher_temperature: of the weaker view in each consistency term; below `temperature` it teaches a sharper
            distribution. The same as `temperature` when left out, as in the paper.
        mining: this many queue neighbours of each branch join the positives of `info_nce`; None for the key alone.
        ids: (N,) int64 clips of the batch. With `queue_ids` given, a clip's own older keys count neither as negative
            nor as neighbour.
        queue_ids: (K,) int64 clips of the queue's keys.

    Returns:
        "loss", "info_nce", and "consistency_1" .. "consistency_(k-1)" for k branches.

    Raises:
        InputError: no branch, shapes that do not fit, a temperature that is not above 0.

    Source: HiCLR (arXiv 2211.13466) and its release, which halves the sum of its two consistency terms.
    """
    if not branches:
        raise InputError("At least one branch is wanted: the embeddings of the weakest view.")
    teacher = temperature if teacher_temperature is None else teacher_temperature
    if not teacher > 0:
        raise InputError(f"The teacher's temperature must be above 0; it is {teacher}.")
    exclude = None if ids is None or queue_ids is None else own_keys(ids, queue_ids)
    logits = [similarity_logits(z, key, queue, temperature, exclude) for z in branches]
    positives = None if mining is None else nearest_neighbours(logits, mining)
    terms = {"info_nce": info_nce(logits[0], positives)}
    steps = [consistency(strong, weak * (temperature / teacher)) for weak, strong in pairwise(logits)]
    terms |= {f"consistency_{i}": step for i, step in enumerate(steps, start=1)}
    loss = terms["info_nce"] + torch.stack(steps).mean() if steps else terms["info_nce"]
    return {"loss": loss, **terms}
