"""AimCLR: an extreme view, and what is left of it after a drop, learn from the distribution of the normal view."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hiclr.encoders import Inside, SkeletonEncoder, attention_drop
from hiclr.errors import InputError
from hiclr.losses import aimclr_loss
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.base import Embed, Outcome
from hiclr.pretraining.methods.momentum import MomentumMethod
from hiclr.pretraining.ranks import total_over_ranks
from hiclr.skeleton import Layout

__all__ = ["AimCLR"]


class AimCLR(MomentumMethod):
    """The weakest view of the ladder is the normal one, the strongest the extreme one.

    With the paper's views and two branches these are AimCLR's own: crop and shear; then flip, rotation, noise, blur
    and axis mask on top.

    Args: see `MomentumMethod`; the encoder needs a feature map for the drop.

    Raises:
        InputError: an encoder without a feature map.

    Source: AimCLR (arXiv 2112.03590) and its release; see `aimclr_loss` and `attention_drop`.
    """

    def __init__(self, config: PretrainConfig, layout: Layout, encoder: nn.Module, head: nn.Module, clips: int) -> None:
        if not isinstance(encoder, SkeletonEncoder) or not encoder.has_map:
            raise InputError(
                f"AimCLR drops parts of the encoder's feature map, and {type(encoder).__name__} gives none. Use an "
                "encoder that has a method `feature_map` (stgcn, dsta, tcn), or another method."
            )
        super().__init__(config, layout, encoder, head, clips)

    def _whole_and_dropped(self, rows: Tensor, inside: Inside | None = None) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, 2 D): the mean of the map, and of what is left of it."""
        whole: Tensor = self.encoder.feature_map(rows, inside)  # type: ignore[operator]
        left = attention_drop(whole, self.config.drop_threshold, total_over_ranks)
        places = whole.shape[2] * whole.shape[3]  # sums, for the reason given in `SkeletonEncoder.encode`
        return torch.cat([whole.sum(dim=(2, 3)).float(), left.sum(dim=(2, 3))], dim=1) / places

    def forward(  # type: ignore[override]
        self, normal: Tensor, extreme: Tensor, inside: Sequence[Inside] = ({}, {})
    ) -> Tensor:
        """Two views (N, 3, T, V, M) and what happens inside each -> (3, N, dim) float32 of unit norm: normal, extreme,
        extreme after the drop."""
        both = self.embed_view(self.encoder, extreme, inside[1], per_person=self._whole_and_dropped).chunk(2, dim=1)
        return torch.stack(
            [self.project(normal, inside[0]), *(normalize(self.head(part).float(), dim=1) for part in both)]
        )

    def losses(self, batch: Batch, embed: Embed) -> Outcome:
        """See `aimclr_loss`; all three are compared with one key of the weakest view."""
        config = self.config
        views, inside = zip(*map(batch.made, (0, config.branches - 1)), strict=True)
        normal, extreme, dropped = embed(*views, inside)
        keys = batch.keys(self.project_key)
        queue, queue_ids = self.queue.stored()
        key = batch.own(keys)
        losses = aimclr_loss(
            normal,
            extreme,
            dropped,
            key,
            queue,
            config.temperature,
            mining=config.mining_top if batch.mining else None,
            ids=batch.ids.to(key.device) if config.mask_own else None,
            queue_ids=queue_ids,
        )
        return Outcome(losses, self.watch(batch, normal, key, config.temperature), keys)
