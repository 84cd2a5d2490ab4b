"""Similarities to one key and a queue, and the InfoNCE loss over them. Pure functions, computed in float32."""

from collections.abc import Sequence

import torch
from torch import Tensor

from hiclr.errors import InputError

__all__ = ["info_nce", "nearest_neighbours", "own_keys", "pretext_top1", "similarity_logits"]

EXCLUDED = -1e9
"""Logit of a key that does not count: its probability is exactly 0, and 0 times its logarithm stays 0."""


def own_keys(ids: Tensor, queue_ids: Tensor) -> Tensor:
    """(N, K) bool: True where a queue key was made from the very clip of the row; ids below 0 are nobody's.

    Args:
        ids: (N,) int64, the clips of the batch.
        queue_ids: (K,) int64, the clips of the queue's keys.
    """
    return (ids[:, None] == queue_ids) & (ids[:, None] >= 0)


def similarity_logits(
    z: Tensor, key: Tensor, queue: Tensor, temperature: float, exclude: Tensor | None = None
) -> Tensor:
    """Cosine of each embedding with its own key and with every key of the queue, divided by the temperature.

    Args:
        z: (N, D) unit-norm embeddings. Take the gradient.
        key: (N, D) unit-norm keys, row n made from the same clip as z[n]; detached here.
        queue: (D, K) unit-norm keys of earlier batches; detached here. K may be 0.
        temperature: above 0.
        exclude: (N, K) bool, queue keys that do not count for a row; see `own_keys`.

    Returns:
        (N, 1+K) float32, whatever the inputs are and under autocast too; column 0 is the positive key.

    Raises:
        InputError: shapes do not fit, or the temperature is not above 0.
    """
    if z.dim() != 2 or key.shape != z.shape or queue.dim() != 2 or queue.shape[0] != z.shape[1]:
        raise InputError(
            "Embeddings (N, D), keys (N, D) and a queue (D, K) are wanted; "
            f"they are {tuple(z.shape)}, {tuple(key.shape)} and {tuple(queue.shape)}."
        )
    if not temperature > 0:
        raise InputError(f"The temperature must be above 0; it is {temperature}.")
    with torch.autocast(z.device.type, enabled=False):
        z, key, queue = z.float(), key.detach().float(), queue.detach().float()
        negative = z @ queue
        if exclude is not None:
            negative = negative.masked_fill(exclude, EXCLUDED * temperature)
        return torch.cat([(z * key).sum(dim=1, keepdim=True), negative], dim=1) / temperature


def info_nce(logits: Tensor, positives: Tensor | None = None) -> Tensor:
    """Pick out the positive key among all keys; scalar, in nats.

        L = -(1/N) sum_n (1/|P_n|) sum_{k in P_n} log softmax(logits_n)_k

    ln(1+K) is the value of an encoder that tells nothing apart.

    Args:
        logits: (N, 1+K), cosine / temperature.
        positives: (N, 1+K) bool, the set P_n of each row, never empty; column 0 alone when left out.

    Raises:
        InputError: shapes differ.

    Source: MoCo (arXiv 1911.05722); the set of positives as in the HiCLR release after its mining epoch.
    """
    log_probability = logits.log_softmax(dim=1)
    if positives is None:
        return -log_probability[:, 0].mean()
    if positives.shape != logits.shape:
        raise InputError(f"logits are {tuple(logits.shape)}, positives are {tuple(positives.shape)}; they must agree.")
    return -((log_probability * positives).sum(dim=1) / positives.sum(dim=1)).mean()


def nearest_neighbours(branches: Sequence[Tensor], top: int = 1) -> Tensor:
    """The positives of each row: its key, and the queue keys nearest to it in any branch.

    Args:
        branches: logits (N, 1+K) of each branch against the same keys; excluded keys are never chosen.
        top: how many neighbours each branch names; the release takes 1.

    Returns:
        (N, 1+K) bool; column 0 is True. No gradient.

    Raises:
        InputError: no branch, branches of different shape, or top below 1.

    Source: nearest-neighbour mining of AimCLR (arXiv 2112.03590), union over three branches in HiCLR.
    """
    if not branches or any(logits.shape != branches[0].shape for logits in branches):
        raise InputError(f"Logits of equal shape are wanted, got {[tuple(logits.shape) for logits in branches]}.")
    if top < 1:
        raise InputError(f"top must be at least 1 neighbour; it is {top}.")
    positives = torch.zeros_like(branches[0], dtype=torch.bool)
    for logits in branches:
        negative = logits.detach()[:, 1:]
        nearest = negative.topk(min(top, negative.shape[1]), dim=1).indices
        positives.scatter_(1, 1 + nearest, True)
    usable = branches[0].detach() > EXCLUDED / 2
    positives &= usable
    positives[:, 0] = True
    return positives


def pretext_top1(logits: Tensor) -> Tensor:
    """Share of rows whose own key is nearer than every key of the queue; scalar in [0, 1], no gradient."""
    return (logits.detach().argmax(dim=1) == 0).float().mean()
