"""HiCLR, and SkeletonCLR as its first branch: InfoNCE on the weakest view, directed consistency up the ladder."""

from torch import nn

from hiclr.losses import growing_loss
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.base import Embed, Outcome
from hiclr.pretraining.methods.momentum import MomentumMethod
from hiclr.pretraining.schedule import queue_size
from hiclr.skeleton import Layout

__all__ = ["HiCLR"]


class HiCLR(MomentumMethod):
    """The method of the paper, with all its settings; one branch is SkeletonCLR.

    Args:
        config: the settings.
        layout: not needed; every method takes it.
        encoder: (N, 3, T, V, M) -> (N, D).
        head: (N, D) -> (N, dim).
        clips: number of training clips, by which a queue without a set size is measured.

    Source: HiCLR (arXiv 2211.13466); see `growing_loss`.
    """

    def __init__(
        self,
        config: PretrainConfig,
        layout: Layout,  # noqa: ARG002 - the signature of METHODS
        encoder: nn.Module,
        head: nn.Module,
        clips: int,
    ) -> None:
        super().__init__(encoder, head, queue_size(config, clips), config.projection)
        self.config = config

    def losses(self, batch: Batch, embed: Embed) -> Outcome:
        """See `growing_loss`; every branch is compared with one key of the weakest view."""
        config = self.config
        branches = batch.branches(embed, joint=config.joint_views)
        keys = batch.keys(self.project_key)
        queue, queue_ids = self.queue.stored()
        key = batch.own(keys)
        own = {"ids": batch.ids.to(key.device), "queue_ids": queue_ids} if config.mask_own else {}
        losses = growing_loss(
            branches,
            key,
            queue,
            config.temperature,
            teacher_temperature=config.teacher_temperature,
            mining=1 if batch.mining else None,
            **own,
        )
        return Outcome(losses, self.watch(batch, branches[0], key, config.temperature), keys)
