"""Augmentations that hide: joints masked in the stream."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import Params, Shape, check_strength, per_clip
from hiclr.datasets.preprocessing import presence

__all__ = ["JointMask"]


@dataclass(frozen=True)
class JointMask:
    """Hide joints, after the stream was made; strength fades them towards `value`.

    int(V * ratio) joints are hidden, at least one; the same in all persons.

    Args:
        ratio: share of joints hidden.
        per_frame: a new choice in every frame, as released; otherwise one for the whole clip.
        per_clip: a choice for each clip; the release hides the same joints in the whole batch.
        value: what a hidden joint becomes: a number or a scalar tensor (the release learns it, from 0).

    Source: HiCLR, strong augmentation; released: 0.1, per frame, not per clip.
    """

    ratio: float = 0.1
    per_frame: bool = True
    per_clip: bool = True
    value: float | Tensor = 0.0
    after_stream: ClassVar[bool] = True

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"mask": (N, T or 1, V)}: 0 for a joint that stays, strength for one that is hidden."""
        check_strength(strength)
        count, _, frames, joints, _ = shape
        size = (count if self.per_clip else 1, frames if self.per_frame else 1, joints)
        scores = torch.rand(size, generator=generator, device=generator.device)
        hidden = scores.topk(max(1, int(joints * self.ratio)), dim=2).indices
        mask = torch.zeros_like(scores).scatter_(2, hidden, strength)
        return {"mask": mask.expand(count, -1, -1)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        mask = per_clip(params["mask"], x)[:, None, :, :, None]
        if isinstance(self.value, float | int) and self.value == 0:
            return x * (1 - mask)
        here = presence(x)[:, None, :, None, :].to(x.dtype)
        return x * (1 - mask) + mask * here * self.value
