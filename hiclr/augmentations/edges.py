"""Augmentation of what a joint listens to: edges dropped and added inside the encoder."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import ActsInside, Params, Shape, check_call, check_within, uniform
from hiclr.errors import InputError

__all__ = ["DropAddEdges"]


@dataclass(frozen=True)
class DropAddEdges(ActsInside):
    """Drop edges between joints, then add some where there is none, in every layer of the encoder by itself.

    Clips stay as they are: what was drawn goes to the encoder, which changes its graph or its attention by it, see
    `encoders.change_edges`. Both rates are drawn for each clip and layer, from U(0, drop) and U(0, add); which edges
    they hit does not depend on the strength, which blends the changed edges in.

    Args:
        drop: largest share of the edges that are dropped.
        add: largest share of the places without an edge that get one.
        per_clip: a draw for each clip; the release draws once for the whole batch.
        layers: draws for at most this many layers.
        maps: and for at most this many maps (V, V) in each.

    Raises:
        InputError: a rate outside [0, 0.9], no layer, no map.

    Source: HiCLR (arXiv 2211.13466), strong augmentation. Its released ST-GCN has the adding commented out and both
    rates at 0 in its settings; its Transformer has both at work, with the paper's rates.
    """

    drop: float = 0.1
    add: float = 0.05
    per_clip: bool = True
    layers: int = 10
    maps: int = 3
    after_stream: ClassVar[bool] = True

    def __post_init__(self) -> None:
        check_within("DropAddEdges: drop", self.drop, 0, 0.9)
        check_within("DropAddEdges: add", self.add, 0, 0.9)
        if min(self.layers, self.maps) < 1:
            raise InputError(f"DropAddEdges wants at least 1 layer and 1 map, got {self.layers} and {self.maps}.")

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"scores": (N, L, S, V, V) in [0, 1), "drop": (N, L), "add": (N, L), "amount": (N,)}.

        An edge is dropped where its score is below its layer's rate.
        """
        check_call(shape, strength)
        count, joints = shape[0], shape[3]
        draws = count if self.per_clip else 1
        rates = [uniform((draws, self.layers), 0, most, generator) for most in (self.drop, self.add)]
        scores = uniform((draws, self.layers, self.maps, joints, joints), 0, 1, generator)
        drawn = {"scores": scores, "drop": rates[0], "add": rates[1]}
        amount = torch.full((count,), strength, device=generator.device)
        return {name: value.expand(count, *value.shape[1:]) for name, value in drawn.items()} | {"amount": amount}

    def apply(self, x: Tensor, params: Params) -> Tensor:  # noqa: ARG002 - it acts inside the encoder
        """x itself."""
        return x

    @property
    def within(self) -> frozenset[str]:
        """The encoder's edges."""
        return frozenset({"edges"})

    def inside(self, x: Tensor, params: Params) -> Params:
        """{"edges.scores", "edges.drop", "edges.add", "edges.amount"}, on the device of x."""
        return {f"edges.{name}": value.to(x.device) for name, value in params.items()}
