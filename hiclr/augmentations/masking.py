"""Augmentations that hide: joints masked in the stream."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import ActsInside, Params, Shape, check_call, check_within, over_joints, per_clip, uniform
from hiclr.datasets.preprocessing import presence
from hiclr.errors import InputError

__all__ = ["JointMask"]


@dataclass(frozen=True)
class JointMask(ActsInside):
    """Hide joints, after the stream was made; strength fades them towards `value`.

    int(V * ratio) joints are hidden, at least one unless the ratio is 0; the same in all persons.

    Args:
        ratio: share of joints hidden.
        per_frame: a new choice in every frame, as released; otherwise one for the whole clip.
        per_clip: a choice for each clip; the release hides the same joints in the whole batch.
        value: what a hidden joint becomes.
        everybody: write the value onto absent persons too, as released.
        learned: what a hidden joint becomes is learned with the networks, from 0, as released: it becomes 0 here, and
            the value is added inside them.

    Raises:
        InputError: a ratio outside [0, 1], or a value beside a learned one.

    Source: HiCLR, strong augmentation; released: 0.1, per frame, not per clip, everybody.
    """

    ratio: float = 0.1
    per_frame: bool = True
    per_clip: bool = True
    value: float | Tensor = 0.0
    everybody: bool = False
    learned: bool = False
    after_stream: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_within("JointMask: ratio", self.ratio, 0, 1)
        if self.learned and (isinstance(self.value, Tensor) or self.value != 0):
            raise InputError(f"JointMask: a learned value starts at 0; value is {self.value}. Leave one of them out.")

    def hidden(self, joints: int) -> int:
        """How many of V joints are hidden."""
        rounded = int(joints * self.ratio + 1e-6)  # 0.29 * 100 is 28.999999999999996
        return max(rounded, 1) if self.ratio > 0 else 0

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"mask": (N, T or 1, V)}: 0 for a joint that stays, strength for one that is hidden."""
        check_call(shape, strength)
        count, _, frames, joints, _ = shape
        size = (count if self.per_clip else 1, frames if self.per_frame else 1, joints)
        scores = uniform(size, 0, 1, generator)
        chosen = scores.topk(self.hidden(joints), dim=2).indices
        mask = torch.zeros_like(scores).scatter_(2, chosen, strength)
        return {"mask": mask.expand(count, -1, -1)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) of the stream -> the same shape; x is not modified."""
        mask = per_clip(params["mask"], x)[:, None, :, :, None]
        if not isinstance(self.value, Tensor) and self.value == 0:
            return x * (1 - mask)
        filled = mask * self.value
        return x * (1 - mask) + (filled if self.everybody else filled * over_joints(presence(x), x))

    @property
    def within(self) -> frozenset[str]:
        """The hidden places, where the value is learned."""
        return frozenset({"hidden"} if self.learned else ())

    def inside(self, x: Tensor, params: Params) -> Params:
        """{"hidden": (N, T, V, M), how much of each joint is hidden}, where the value is learned."""
        if not self.learned:
            return {}
        mask = per_clip(params["mask"], x)[..., None].expand(*x.shape[:1], *x.shape[2:])
        return {"hidden": mask if self.everybody else mask * presence(x)[:, :, None].to(x.dtype)}
