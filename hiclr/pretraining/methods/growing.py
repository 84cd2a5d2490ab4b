"""HiCLR, and SkeletonCLR as its first branch: InfoNCE on the weakest view, directed consistency up the ladder."""

import torch
from torch import Tensor, nn

from hiclr.losses import growing_loss
from hiclr.momentum import Queue
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.base import Embed, Outcome
from hiclr.pretraining.methods.momentum import MomentumMethod
from hiclr.skeleton import Layout

__all__ = ["HiCLR"]


class HiCLR(MomentumMethod):
    """The method of the paper, with all its settings; one branch is SkeletonCLR.

    Args: see `MomentumMethod`.

    Source: HiCLR (arXiv 2211.13466); see `growing_loss`.
    """

    def __init__(self, config: PretrainConfig, layout: Layout, encoder: nn.Module, head: nn.Module, clips: int) -> None:
        super().__init__(config, layout, encoder, head, clips)
        self.strong_queue = Queue(self.queue.capacity, config.projection) if config.second_queue else None

    def losses(self, batch: Batch, embed: Embed) -> Outcome:
        """See `growing_loss`; every branch is compared with one key of the weakest view."""
        config = self.config
        branches = batch.branches(embed, joint=config.joint_views)
        keys = batch.keys(self.project_key)
        strong_keys = batch.keys(self.project_key, view=-1) if config.second_queue or config.strong_keys else None
        queue, queue_ids = self.queue.stored()
        key = batch.own(keys)
        own = {"ids": batch.ids.to(key.device), "queue_ids": queue_ids} if config.mask_own else {}
        strong = None
        if self.strong_queue is not None and strong_keys is not None:
            strong = (batch.own(strong_keys), *self.strong_queue.stored())
        losses = growing_loss(
            branches,
            key,
            queue,
            config.temperature,
            config.teacher_temperature,
            mining=config.mining_top if batch.mining else None,
            student_temperature=config.student_temperature,
            direction=config.direction,
            distance=config.distance,
            neighbours=config.neighbours,
            weights=config.branch_weights,
            strong=strong,
            **own,
        )
        watched = self.watch(batch, branches[0], key, config.temperature)
        return Outcome(losses, watched, self._remembered(batch, keys, strong_keys), strong_keys)

    def _remembered(self, batch: Batch, keys: Tensor, strong_keys: Tensor | None) -> Tensor:
        """The keys for the queue: some of them of the strongest view, where that is wanted."""
        if strong_keys is None or not self.config.strong_keys:
            return keys
        chosen = torch.randperm(len(keys), generator=batch.draws, device=batch.draws.device)
        chosen = chosen.to(keys.device) < round(self.config.strong_keys * len(keys))
        return torch.where(chosen[:, None], strong_keys, keys)

    def update(self, outcome: Outcome, ids: Tensor, momentum: float) -> None:
        """As ever; keys of the strongest view enter the second queue."""
        super().update(outcome, ids, momentum)
        if self.strong_queue is not None and outcome.strong_keys is not None:
            self.strong_queue.enqueue(outcome.strong_keys, ids.to(outcome.strong_keys.device))
