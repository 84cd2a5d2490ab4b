"""What methods without negatives share: a wide projector, and a loss of pairs of views over the whole batch."""

from abc import abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hiclr.encoders import Inside, initialise
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.base import Embed, Method, Outcome, spread
from hiclr.skeleton import Layout

__all__ = ["Decorrelated"]


class Decorrelated(Method):
    """The weakest view is compared with each other one, and takes a gradient as they do; one encoder, no queue.

    A loss of coordinates over the batch needs all of it: among several processes every one sees all embeddings.

    Args:
        config: the settings.
        layout: not needed; every method takes it.
        encoder: (N, 3, T, V, M) -> (N, D).
        head: not used: a projector of three layers of the width `expander` takes its place.
        clips: not needed.

    Source: PSTL (arXiv 2302.09018): a plain view against each of two masked ones, by the three-layer projector.
    """

    def __init__(
        self,
        config: PretrainConfig,
        layout: Layout,  # noqa: ARG002 - the signature of METHODS
        encoder: nn.Module,
        head: nn.Module,  # noqa: ARG002
        clips: int,  # noqa: ARG002
    ) -> None:
        width = config.expander
        layers: list[nn.Module] = []
        for inputs in (config.features, width):
            layers += [nn.Linear(inputs, width, bias=False), nn.BatchNorm1d(width), nn.ReLU(inplace=True)]
        expander = nn.Sequential(*layers, nn.Linear(width, width, bias=False))
        initialise(expander, "default")
        super().__init__(encoder, expander)
        self.config = config

    @abstractmethod
    def compare(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """The loss of two views (B, D) of the whole batch: "loss" and its terms."""

    def forward(self, x: Tensor, inside: Inside | None = None) -> Tensor:
        """(N, 3, T, V, M) and what happens inside -> (N, expander) float32, of any length."""
        return self.head(self.embed_view(self.encoder, x, inside)).float()  # type: ignore[no-any-return]

    def losses(self, batch: Batch, embed: Embed) -> Outcome:
        """The mean over pairs of views; see `compare`."""
        views = batch.branches(embed, joint=self.config.joint_views)
        if len(views) == 1:
            views.append(batch.again(embed))
        first, *others = (batch.together(view) for view in views)
        pairs = [self.compare(first, other) for other in others]
        losses = {name: torch.stack([pair[name] for pair in pairs]).mean() for name in pairs[0]}
        return Outcome(losses, {"feature_std": spread(normalize(first.detach(), dim=1))})
