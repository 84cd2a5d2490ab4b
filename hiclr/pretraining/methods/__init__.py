"""Methods of learning without labels, on the same rails: data, encoder, checkpoints, evaluation."""

from collections.abc import Callable

from torch import nn

from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.base import Embed, Method, Outcome, spread
from hiclr.pretraining.methods.growing import HiCLR
from hiclr.pretraining.methods.momentum import MomentumMethod
from hiclr.skeleton import Layout

__all__ = ["METHODS", "Embed", "HiCLR", "Method", "MomentumMethod", "Outcome", "spread"]

METHODS: dict[str, Callable[[PretrainConfig, Layout, nn.Module, nn.Module, int], Method]] = {
    "hiclr": HiCLR,
}
"""The setting `method` -> what makes it from (settings, layout, encoder, head, number of training clips)."""
