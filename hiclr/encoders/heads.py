"""Projection heads: what stands between the encoder's features and the loss, and is thrown away afterwards."""

from torch import nn

from hiclr.encoders.initial import Init, initialise
from hiclr.errors import InputError

__all__ = ["linear_head", "projection_head"]


def projection_head(
    inputs: int, hidden: int = 256, outputs: int = 128, norm: bool = False, init: Init = "default"
) -> nn.Sequential:
    """Two-layer perceptron (N, inputs) -> (N, outputs); the loss side normalises its result.

    Args:
        inputs: the encoder's features D.
        hidden: width of the middle; the release uses D.
        outputs: width of the embedding; the release uses 128.
        norm: batch norm before the ReLU; off in the release, good for short runs on small sets.
        init: as for the encoder.

    Raises:
        InputError: a width below 1.

    Source: the MLP head of MoCo v2 (arXiv 2003.04297), as in the HiCLR release.
    """
    for name, width in {"inputs": inputs, "hidden": hidden, "outputs": outputs}.items():
        if width < 1:
            raise InputError(f"{name} of a projection head must be at least 1; it is {width}.")
    middle = [nn.BatchNorm1d(hidden)] if norm else []
    head = nn.Sequential(nn.Linear(inputs, hidden), *middle, nn.ReLU(inplace=True), nn.Linear(hidden, outputs))
    initialise(head, init)
    return head


def linear_head(inputs: int, outputs: int, init: Init = "default") -> nn.Sequential:
    """One linear layer (N, inputs) -> (N, outputs): a classifier, or the head of a checkpoint without MLP."""
    head = nn.Sequential(nn.Linear(inputs, outputs))
    initialise(head, init)
    return head
