"""The loss of AimCLR: InfoNCE on the normal view, its distribution taught to the extreme view and to what is left."""

from torch import Tensor

from hiclr.losses.consistency import consistency
from hiclr.losses.contrastive import info_nce, nearest_neighbours, own_keys, similarity_logits

__all__ = ["aimclr_loss"]


def aimclr_loss(
    normal: Tensor,
    extreme: Tensor,
    dropped: Tensor,
    key: Tensor,
    queue: Tensor,
    temperature: float,
    mining: int | None = None,
    ids: Tensor | None = None,
    queue_ids: Tensor | None = None,
) -> dict[str, Tensor]:
    """Every term of the loss by its name; each a scalar in nats.

        loss = info_nce(normal) + (consistency_extreme + consistency_dropped) / 2

    Both terms of consistency have the normal view as their teacher: it gets no gradient from them.

    Args:
        normal: (N, D) unit-norm embeddings of the weak view. Take the gradient, as do the next two.
        extreme: (N, D) of the strong view.
        dropped: (N, D) of the strong view after the drop of what stands out; see `attention_drop`.
        key: (N, D) unit-norm keys of the weak view.
        queue: (D, K) unit-norm keys of earlier batches.
        temperature: above 0; 0.07 in the paper.
        mining: this many queue neighbours of each of the three join the positives of `info_nce`; None: none do.
        ids: (N,) int64 clips of the batch. With `queue_ids` given, a clip's own older keys count neither as negative
            nor as neighbour.
        queue_ids: (K,) int64 clips of the queue's keys.

    Returns:
        "loss", "info_nce", "consistency_extreme", "consistency_dropped".

    Raises:
        InputError: shapes that do not fit, or a temperature that is not above 0.

    Source: AimCLR (arXiv 2112.03590), with its D3M loss and nearest-neighbour mining.
    """
    exclude = None if ids is None or queue_ids is None else own_keys(ids, queue_ids)
    logits = [similarity_logits(z, key, queue, temperature, exclude) for z in (normal, extreme, dropped)]
    positives = None if mining is None else nearest_neighbours(logits, mining)
    terms = {
        "info_nce": info_nce(logits[0], positives),
        "consistency_extreme": consistency(logits[1], logits[0]),
        "consistency_dropped": consistency(logits[2], logits[0]),
    }
    taught = (terms["consistency_extreme"] + terms["consistency_dropped"]) / 2
    return {"loss": terms["info_nce"] + taught, **terms}
