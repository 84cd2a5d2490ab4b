"""A query encoder that learns, a key encoder that follows, and a queue of keys: MoCo's rails, for several methods."""

import math
from collections.abc import Iterable
from copy import deepcopy
from itertools import chain

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hiclr.encoders import Inside
from hiclr.losses import pretext_top1, similarity_logits
from hiclr.momentum import Queue, update_momentum
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.base import Method, Outcome, spread
from hiclr.pretraining.schedule import queue_size
from hiclr.skeleton import Layout

__all__ = ["MomentumMethod"]


class MomentumMethod(Method):
    """Query encoder and head that learn, key encoder and head that follow, and the queue.

    Args:
        config: the settings.
        layout: not needed; every method takes it.
        encoder: (N, 3, T, V, M) -> (N, D).
        head: (N, D) -> (N, dim).
        clips: number of training clips, by which a queue without a set size is measured.

    The key encoder starts as a true copy of the query encoder: the release copies, then draws both anew. It keeps
    batch-norm statistics of its own, from its own forward passes.

    Source: MoCo (arXiv 1911.05722).
    """

    def __init__(
        self,
        config: PretrainConfig,
        layout: Layout,  # noqa: ARG002 - the signature of METHODS
        encoder: nn.Module,
        head: nn.Module,
        clips: int,
    ) -> None:
        super().__init__(encoder, head)
        self.config = config
        self.key_encoder, self.key_head = deepcopy(encoder), deepcopy(head)
        self.queue = Queue(queue_size(config, clips), config.projection)
        for parameter in self.following_parameters():
            parameter.requires_grad_(False)

    @torch.no_grad()
    def project_key(self, x: Tensor, inside: Inside | None = None) -> Tensor:
        """As `project`, through the key encoder and without gradient."""
        return normalize(self.key_head(self.embed_view(self.key_encoder, x, inside)).float(), dim=1)

    def update_key(self, momentum: float) -> None:
        """Let the key encoder and its head follow by one step; see `update_momentum`."""
        update_momentum(self.key_encoder, self.encoder, momentum)
        update_momentum(self.key_head, self.head, momentum)

    def update(self, outcome: Outcome, ids: Tensor, momentum: float) -> None:
        """The key encoder follows; the keys of the batch enter the queue."""
        self.update_key(momentum)
        if outcome.keys is not None:
            self.queue.enqueue(outcome.keys, ids.to(outcome.keys.device))

    def following_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters that follow and get no gradient."""
        return chain(self.key_encoder.parameters(), self.key_head.parameters())

    @property
    def encoders(self) -> tuple[nn.Module, ...]:
        """Query encoder and key encoder."""
        return (self.encoder, self.key_encoder)

    @property
    def stored(self) -> int:
        """Keys that the queue holds."""
        return int(self.queue.filled)

    @torch.no_grad()
    def watch(self, batch: Batch, z: Tensor, key: Tensor, temperature: float) -> dict[str, Tensor]:
        """Spread of the embeddings z (n, D), how often the own key is the nearest one, and what guessing would cost."""
        logits = similarity_logits(z, key, self.queue.stored()[0], temperature)
        return {
            "feature_std": spread(batch.gather(z)),
            "pretext_top1": 100 * pretext_top1(logits),
            "ln_k": logits.new_tensor(math.log(logits.shape[1])),  # of blind guessing among these candidates
        }
