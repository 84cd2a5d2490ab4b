"""Initial weights of encoders and heads."""

import math
from typing import Literal

import torch
from torch import nn

__all__ = ["Init", "initialise"]

Init = Literal["default", "released"]

_RELEASED = 0.02
_CONVOLUTIONS = nn.Conv1d | nn.Conv2d | nn.Linear
_NORMS = nn.BatchNorm1d | nn.BatchNorm2d


@torch.no_grad()
def initialise(module: nn.Module, init: Init) -> None:
    """Draw the weights of an encoder or a head anew, from torch's global generator.

    A layer of another kind draws its own in a method `draw_weights(deviation)`, None standing for "default".

    Args:
        module: all its layers.
        init: "default": normal with variance 2 / inputs, where inputs counts what is summed into one output, which
            keeps the scale of the features at any depth. "released": N(0, 0.02) for weights and N(1, 0.02) for
            batch-norm weights. Biases are zero in both.
    """
    deviation = _RELEASED if init == "released" else None
    for part in module.modules():
        if isinstance(part, _CONVOLUTIONS):
            part.weight.normal_(0, deviation or math.sqrt(2 / part.weight[0].numel()))
            if part.bias is not None:
                part.bias.zero_()
        elif isinstance(part, _NORMS):
            part.bias.zero_()
            part.weight.fill_(1)
            if deviation:
                part.weight.normal_(1, deviation)
        elif callable(draw := getattr(part, "draw_weights", None)):
            draw(deviation)
