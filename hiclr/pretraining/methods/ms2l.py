"""MS2L: motion to predict, segments to put in order, and versions of a clip to tell from those of others."""

from collections.abc import Iterable
from itertools import chain, permutations
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from hiclr.encoders import SkeletonEncoder, projection_head
from hiclr.errors import InputError
from hiclr.losses import ms2l_loss
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.base import Embed, Method, Outcome, spread
from hiclr.skeleton import Layout

__all__ = ["MS2L", "MotionDecoder", "hide_end", "mix_segments"]


def hide_end(rows: Tensor, share: float) -> Tensor:
    """(R, T, V, 3) with zeros from frame T (1 - share) on, as predicted from the frames before."""
    frames = rows.shape[1]
    shown = torch.arange(frames, device=rows.device) < frames * (1 - share)
    return rows * shown.view(-1, 1, 1)


def mix_segments(x: Tensor, order: Tensor) -> Tensor:
    """Put the S segments of T // S frames of each clip into an order of its own; frames beyond S (T // S) stay.

    Args:
        x: (N, 3, T, V, M).
        order: (N, S) int64, which segment comes first, second, ...

    Returns:
        (N, 3, T, V, M).
    """
    count, segments = order.shape
    length = x.shape[2] // segments
    within = torch.arange(length, device=x.device)
    moved = (order.to(x.device)[:, :, None] * length + within).flatten(1)
    stay = torch.arange(segments * length, x.shape[2], device=x.device).expand(count, -1)
    frames = torch.cat([moved, stay], dim=1)
    return x.gather(2, frames.view(count, 1, -1, 1, 1).expand_as(x))


class MotionDecoder(nn.Module):
    """Features of a person -> its coordinates in every frame.

    A GRU of two layers reads the features once for each frame; a linear layer makes coordinates of its outputs.

    Args:
        features: D, also the width of the GRU.
        joints: V.
    """

    def __init__(self, features: int, joints: int) -> None:
        super().__init__()
        self.gru = nn.GRU(features, features, num_layers=2, batch_first=True)
        self.coordinates = nn.Linear(features, 3 * joints)

    def forward(self, features: Tensor, frames: int) -> Tensor:
        """(R, D) -> (R, T, V, 3) float32."""
        with torch.autocast(features.device.type, enabled=False):
            hidden, _ = self.gru(features.float()[:, None].expand(-1, frames, -1))
            coordinates: Tensor = self.coordinates(hidden)
            return coordinates.view(*coordinates.shape[:2], -1, 3)


class MS2L(Method):
    """Three versions of clips that are not augmented: as they are, with their end hidden, with segments mixed up.

    The original encodes both persons of a clip together by a GRU of two directions and decodes its outputs frame by
    frame. Here each person is encoded and predicted alone, and from its features, so that any encoder will do.

    Args:
        config: the settings.
        layout: gives V.
        encoder: (N, 3, T, V, M) -> (N, D).
        head: (N, D) -> (N, dim), for the contrast.
        clips: not needed.

    Raises:
        InputError: fewer frames than segments, or an encoder that does not take persons one by one.

    Source: MS2L (arXiv 2010.05599) and its release; see `ms2l_loss`.
    """

    uses_views: ClassVar[bool] = False

    def __init__(
        self,
        config: PretrainConfig,
        layout: Layout,
        encoder: nn.Module,
        head: nn.Module,
        clips: int,  # noqa: ARG002 - the signature of METHODS
    ) -> None:
        if config.frames < config.segments:
            raise InputError(
                f"MS2L cuts clips into {config.segments} segments, and they have {config.frames} frames. Take more "
                "frames, or fewer segments."
            )
        if not isinstance(encoder, SkeletonEncoder):
            raise InputError(
                f"MS2L predicts the motion of each person, and {type(encoder).__name__} does not take persons one by "
                "one. Use an encoder that is a SkeletonEncoder, or another method."
            )
        super().__init__(encoder, head)
        self.config = config
        self.decoder = MotionDecoder(config.features, layout.num_joints)
        orders = list(permutations(range(config.segments)))
        self.jigsaw_head = projection_head(config.features, config.features, len(orders), norm=True)
        self.orders: Tensor
        self.register_buffer("orders", torch.tensor(orders), persistent=False)

    def _predicted(self, rows: Tensor) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, D + 1): features without the end, and the mean squared error."""
        features: Tensor = self.encoder.encode(hide_end(rows, self.config.hidden_end))  # type: ignore[operator]
        error = (self.decoder(features, rows.shape[1]) - rows.float()).square().mean(dim=(1, 2, 3))
        return torch.cat([features.float(), error[:, None]], dim=1)

    def forward(self, x: Tensor, order: Tensor) -> tuple[Tensor, Tensor, Tensor]:  # type: ignore[override]
        """Clips and the number (N,) of an order for each.

        Args:
            x: (N, 3, T, V, M).
            order: (N,) int64, rows of `orders`.

        Returns:
            (3, N, dim) float32 projections of the versions; (N,) squared error of the motion; (N, S!) logits.
        """
        plain = self.encoder(x)
        predicted = self.encoder(x, self._predicted)
        mixed = self.encoder(mix_segments(x, self.orders[order]))
        versions = [self.head(features).float() for features in (plain, predicted[:, :-1], mixed)]
        return torch.stack(versions), predicted[:, -1], self.jigsaw_head(mixed).float()

    def losses(self, batch: Batch, embed: Embed) -> Outcome:
        """See `ms2l_loss`; the contrast is over the whole batch, the other tasks are each clip's own."""
        draws = batch.draws
        drawn = torch.randint(len(self.orders), batch.all_ids.shape, generator=draws, device=draws.device)
        order = batch.own(drawn).to(self.orders.device)
        versions, error, jigsaw = embed(batch.clean(), order)
        whole = [batch.together(version) for version in versions]
        losses = ms2l_loss(whole, self.config.contrast_temperature, error, jigsaw, order)
        return Outcome(losses, {"feature_std": spread(normalize(whole[0].detach(), dim=1))})

    def learning_parameters(self) -> Iterable[nn.Parameter]:
        """Those of the encoder, its head, the decoder and the head of the jigsaw."""
        return chain(super().learning_parameters(), self.decoder.parameters(), self.jigsaw_head.parameters())
