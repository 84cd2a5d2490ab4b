"""The loss of HiCLR: InfoNCE on the weakest view, directed consistency up the ladder, and what it is compared with."""

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor

from hiclr.errors import InputError
from hiclr.losses.consistency import Distance, consistency, embedding_consistency, nearest_to_teacher
from hiclr.losses.contrastive import info_nce, nearest_neighbours, own_keys, similarity_logits

__all__ = ["Direction", "growing_loss"]

Direction = Literal["weak_to_strong", "strong_to_weak", "symmetric", "none"]
"""Who teaches: the weaker view, the stronger one, each the other, or the key alone (InfoNCE on every branch)."""

Term = Callable[[Tensor, Tensor], Tensor]


def growing_loss(
    branches: Sequence[Tensor],
    key: Tensor,
    queue: Tensor,
    temperature: float,
    teacher_temperature: float | None = None,
    mining: int | None = None,
    ids: Tensor | None = None,
    queue_ids: Tensor | None = None,
    *,
    student_temperature: float | None = None,
    direction: Direction = "weak_to_strong",
    distance: Distance = "cross_entropy",
    neighbours: int | None = None,
    weights: Sequence[float] | None = None,
    strong: tuple[Tensor, Tensor, Tensor] | None = None,
) -> dict[str, Tensor]:
    """Every term of the loss by its name; each a scalar in nats.

        loss = info_nce(z_0) + sum over i >= 1 of w_i consistency_i,   consistency_i: z_i learns from z_(i-1)

    All branches are compared with the same key and queue. One branch is SkeletonCLR: loss = info_nce.

    Args:
        branches: embeddings (N, D) of each view, weakest first, unit norm. Take the gradient.
        key: (N, D) unit-norm keys of the batch.
        queue: (D, K) unit-norm keys of earlier batches.
        temperature: above 0; 0.07 in the paper.
        teacher_temperature: of the teacher in each consistency term; below `temperature` it teaches a sharper
            distribution. The same as `temperature` when left out, as in the paper.
        mining: this many queue neighbours of each branch join the positives of `info_nce`; None for the key alone.
        ids: (N,) int64 clips of the batch. With `queue_ids` given, a clip's own older keys count neither as negative
            nor as neighbour.
        queue_ids: (K,) int64 clips of the queue's keys.
        student_temperature: of the student in each consistency term; the same as `temperature` when left out.
        direction: "weak_to_strong", the paper's; "strong_to_weak" reverses it; "symmetric" is the mean of both;
            "none" compares every branch with the key instead: terms info_nce_i.
        distance: see `consistency` and `embedding_consistency`; temperatures matter to the first two only.
        neighbours: in each consistency term only the positive key and this many queue keys, the nearest to the
            teacher, count; None for all.
        weights: w_i, one for each branch above the weakest; 1 / (k - 1) each when left out, as released for k = 3.
        strong: ((N, D) keys of the strongest view, (D, K) queue of such keys, (K,) ids); the last term is measured with
            these.

    Returns:
        "loss", "info_nce", and "consistency_1" .. "consistency_(k-1)" for k branches ("info_nce_i" without direction).

    Raises:
        InputError: no branch, shapes that do not fit, a temperature that is not above 0, not k - 1 weights.

    Source: HiCLR (arXiv 2211.13466), whose release halves the sum of its two consistency terms; neighbours and two
    temperatures as in CMD (arXiv 2208.12448).
    """
    if not branches:
        raise InputError("At least one branch is wanted: the embeddings of the weakest view.")
    if weights is not None and len(weights) != len(branches) - 1:
        raise InputError(
            f"{len(branches)} branches have {len(branches) - 1} terms above the first, not {len(weights)}."
        )
    teacher = _ratio("teacher", teacher_temperature, temperature)
    student = _ratio("student", student_temperature, temperature)
    exclude = None if ids is None or queue_ids is None else own_keys(ids, queue_ids)
    logits = [similarity_logits(z, key, queue, temperature, exclude) for z in branches]
    positives = None if mining is None else nearest_neighbours(logits, mining)
    terms = {"info_nce": info_nce(logits[0], positives)}
    if direction == "none":
        steps = {f"info_nce_{i}": info_nce(logits[i], positives) for i in range(1, len(branches))}
    else:
        embedded = distance in ("l1", "cosine")
        pairs = list(pairwise(branches if embedded else logits))
        if strong is not None and pairs and not embedded:
            strong_key, strong_queue, strong_ids = strong
            hidden = None if ids is None or queue_ids is None else own_keys(ids, strong_ids)
            last = [similarity_logits(z, strong_key, strong_queue, temperature, hidden) for z in branches[-2:]]
            pairs[-1] = last[0], last[1]
        learn = _term(distance, teacher, student, neighbours)
        steps = {f"consistency_{i}": _directed(learn, *pair, direction) for i, pair in enumerate(pairs, start=1)}
    if not steps:
        return {"loss": terms["info_nce"], **terms}
    every = torch.stack(list(steps.values()))
    weighed = every.mean() if weights is None else (every * every.new_tensor(weights)).sum()
    return {"loss": terms["info_nce"] + weighed, **terms, **steps}


def _ratio(whose: str, own: float | None, temperature: float) -> float:
    """What logits at the common temperature are multiplied by to be at the teacher's or the student's."""
    if own is None:
        return 1.0
    if not own > 0:
        raise InputError(f"The {whose}'s temperature must be above 0; it is {own}.")
    return temperature / own


def _term(distance: Distance, teacher: float, student: float, neighbours: int | None) -> Term:
    """(teacher, student) -> what the student has to learn."""

    def learn(taught_by: Tensor, learner: Tensor) -> Tensor:
        if distance == "l1" or distance == "cosine":
            return embedding_consistency(learner, taught_by, distance)
        if neighbours is not None:
            taught_by, learner = nearest_to_teacher(taught_by, learner, neighbours)
        return consistency(learner * student, taught_by * teacher, distance)

    return learn


def _directed(learn: Term, weaker: Tensor, stronger: Tensor, direction: Direction) -> Tensor:
    if direction == "weak_to_strong":
        return learn(weaker, stronger)
    if direction == "strong_to_weak":
        return learn(stronger, weaker)
    return (learn(weaker, stronger) + learn(stronger, weaker)) / 2
