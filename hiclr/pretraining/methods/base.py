"""What a method of learning is: networks, and a loss of the views of a batch."""

import math
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hiclr.encoders import Inside, encode_view
from hiclr.pretraining.batch import Batch

__all__ = ["Embed", "Method", "Outcome", "spread"]

Embed = Callable[..., Any]
"""The method's own `forward`, wrapped for several devices: whatever takes a gradient goes through it."""


@dataclass(frozen=True)
class Outcome:
    """What a step of a method gives.

    Args:
        losses: "loss", which is minimised, and its terms; scalars, of this rank's clips, in a fixed order.
        watched: what is only looked at; see `Method.losses`.
        keys: (B, D) of the whole batch, to remember after the step; None for a method without a queue.
        strong_keys: (B, D) of its strongest view, for a second queue.
    """

    losses: dict[str, Tensor]
    watched: dict[str, Tensor]
    keys: Tensor | None = None
    strong_keys: Tensor | None = None


class Method(nn.Module, ABC):
    """One way to learn from clips without labels; all its state is in its state dict.

    A new method is one class with `losses` (and `update`, where something follows or is remembered), and one line in
    `METHODS`. Data, ranks, draws, checkpoints and evaluation stay what they are.

    Args:
        encoder: (N, 3, T, V, M) -> (N, D); what evaluation reads.
        head: (N, D) -> (N, dim), what the loss compares.

    Some augmentations act inside the networks (`encoders.Inside`): `project` takes that as a second argument, and a
    `forward` of a method's own must as well, where it is to be used with them.
    """

    uses_views: ClassVar[bool] = True
    """Whether the loss is of the views of a batch; clean clips have nothing to learn a mask's value from."""

    def __init__(self, encoder: nn.Module, head: nn.Module) -> None:
        super().__init__()
        self.encoder, self.head = encoder, head
        self.mask_value: nn.Parameter | None = None

    def learn_mask(self) -> None:
        """Make what a hidden joint becomes a parameter, from 0."""
        self.mask_value = nn.Parameter(torch.zeros(()))

    def features(self, x: Tensor) -> Tensor:
        """(N, 3, T, V, M) -> (N, D): what evaluation reads."""
        return self.encoder(x)  # type: ignore[no-any-return]

    def embed_view(self, encoder: nn.Module, x: Tensor, inside: Inside | None = None, **more: Any) -> Tensor:
        """(N, 3, T, V, M) and what happens inside the networks -> (N, D), by one of the method's encoders; see
        `encode_view`."""
        return encode_view(encoder, x, inside, 0.0 if self.mask_value is None else self.mask_value, **more)

    def project(self, x: Tensor, inside: Inside | None = None) -> Tensor:
        """(N, 3, T, V, M) and what happens inside -> (N, dim) float32 of unit norm: what the loss compares."""
        return normalize(self.head(self.embed_view(self.encoder, x, inside)).float(), dim=1)

    def forward(self, x: Tensor, inside: Inside | None = None) -> Tensor:
        """The same as `project`; a method may take and give back more."""
        return self.project(x, inside)

    @abstractmethod
    def losses(self, batch: Batch, embed: Embed) -> Outcome:
        """The loss of a batch.

        Args:
            batch: views and keys.
            embed: see `Embed`.

        Returns:
            Watched is "feature_std" (see `spread`), and with a queue "pretext_top1" in % and "ln_k".
        """

    def update(self, outcome: Outcome, ids: Tensor, momentum: float) -> None:
        """After the optimiser's step: let followers follow, remember keys.

        Args:
            outcome: of the step.
            ids: (B,) int64, the clips of the batch.
            momentum: share of a follower that stays.
        """

    @property
    def encoders(self) -> tuple[nn.Module, ...]:
        """The encoder, and those that follow it."""
        return (self.encoder,)

    @property
    def stored(self) -> int:
        """Keys that the queue holds; 0 without one."""
        return 0

    def learning_parameters(self) -> Iterable[nn.Parameter]:
        """The parameters an optimiser gets."""
        value = [] if self.mask_value is None else [self.mask_value]
        return chain(self.encoder.parameters(), self.head.parameters(), value)


def spread(z: Tensor) -> Tensor:
    """Standard deviation of unit vectors (N, D) over the batch, as a share of that of an even spread, 1 / sqrt(D)."""
    return z.std(dim=0, unbiased=False).mean() * math.sqrt(z.shape[1])
