"""Consistency between two views: what one learns from the other, in one direction or in both."""

from typing import Literal

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, l1_loss

from hiclr.errors import InputError

__all__ = ["Distance", "consistency", "embedding_consistency", "nearest_to_teacher"]

Distance = Literal["cross_entropy", "kl", "l1", "cosine"]
"""Between two distributions over the keys ("cross_entropy", "kl"), or two embeddings ("l1", "cosine")."""


def consistency(strong: Tensor, weak: Tensor, distance: Literal["cross_entropy", "kl"] = "cross_entropy") -> Tensor:
    """Draw the stronger view's similarity distribution to the weaker view's; scalar, in nats.

        L = -(1/N) sum_n sum_k p_nk log q_nk,   p = softmax(weak), q = softmax(strong)

    Args:
        strong: (N, 1+K) logits, cosine / temperature, column 0 the positive key. Takes the gradient.
        weak: (N, 1+K) logits of the weaker view; detached here, so no caller can forget.
        distance: "cross_entropy", the paper's; "kl" is less by the entropy of p, so its minimum is 0.

    Raises:
        InputError: shapes differ.

    Note: both have the same gradient.
    Source: HiCLR (arXiv 2211.13466).
    """
    if strong.shape != weak.shape:
        raise InputError(f"The stronger view has logits {tuple(strong.shape)}, the weaker {tuple(weak.shape)}.")
    wanted, found = weak.detach(), strong.log_softmax(dim=1)
    if distance == "kl":
        found = found - wanted.log_softmax(dim=1)
    return -(wanted.softmax(dim=1) * found).sum(dim=1).mean()


def embedding_consistency(strong: Tensor, weak: Tensor, distance: Literal["l1", "cosine"]) -> Tensor:
    """Draw the stronger view's embedding to the weaker view's, with no key in between; scalar.

    Args:
        strong: (N, D) unit-norm embeddings. Take the gradient.
        weak: (N, D) of the weaker view; detached here.
        distance: "l1", the mean absolute difference of a coordinate; "cosine", 1 minus the cosine.

    Raises:
        InputError: shapes differ.

    Note: the authors weighted the first by 5 and the second by 7, and took the key as teacher.
    """
    if strong.shape != weak.shape:
        raise InputError(f"The stronger view has embeddings {tuple(strong.shape)}, the weaker {tuple(weak.shape)}.")
    if distance == "l1":
        return l1_loss(strong, weak.detach())
    return 1 - cosine_similarity(strong, weak.detach(), dim=1).mean()


def nearest_to_teacher(teacher: Tensor, student: Tensor, count: int) -> tuple[Tensor, Tensor]:
    """Keep the positive key and the queue keys nearest to the teacher, of both views.

    Args:
        teacher: (N, 1+K) logits that choose.
        student: (N, 1+K) logits against the same keys.
        count: queue keys that are kept; all of fewer.

    Returns:
        (N, 1+count) of each.

    Raises:
        InputError: count below 1, or shapes differ.

    Source: CMD (arXiv 2208.12448).
    """
    if count < 1:
        raise InputError(f"At least 1 neighbour is wanted; the number is {count}.")
    if teacher.shape != student.shape:
        raise InputError(f"The teacher has logits {tuple(teacher.shape)}, the student {tuple(student.shape)}.")
    nearest = teacher.detach()[:, 1:].topk(min(count, teacher.shape[1] - 1), dim=1).indices
    chosen = torch.cat([nearest.new_zeros(len(teacher), 1), 1 + nearest], dim=1)
    return teacher.gather(1, chosen), student.gather(1, chosen)
