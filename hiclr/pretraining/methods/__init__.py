"""Methods of learning without labels, on the same rails: data, encoder, checkpoints, evaluation."""

from collections.abc import Callable

from torch import nn

from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods.aimclr import AimCLR
from hiclr.pretraining.methods.barlow import BarlowTwins
from hiclr.pretraining.methods.base import Embed, Method, Outcome, spread
from hiclr.pretraining.methods.growing import HiCLR
from hiclr.pretraining.methods.momentum import MomentumMethod
from hiclr.pretraining.methods.ms2l import MS2L
from hiclr.pretraining.methods.vicreg import VICReg
from hiclr.skeleton import Layout

__all__ = [
    "METHODS",
    "MS2L",
    "AimCLR",
    "BarlowTwins",
    "Embed",
    "HiCLR",
    "Method",
    "MomentumMethod",
    "Outcome",
    "VICReg",
    "spread",
]

METHODS: dict[str, Callable[[PretrainConfig, Layout, nn.Module, nn.Module, int], Method]] = {
    "hiclr": HiCLR,
    "aimclr": AimCLR,
    "ms2l": MS2L,
    "barlow": BarlowTwins,
    "vicreg": VICReg,
}
"""The setting `method` -> what makes it from (settings, layout, encoder, head, number of training clips)."""
