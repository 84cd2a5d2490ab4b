"""A drop of what stands out in a feature map: what is easiest to recognise a clip by is hidden."""

from collections.abc import Callable

import torch
from torch import Tensor

__all__ = ["attention_drop"]

_EPSILON = 1e-4  # added to the variance, as released


@torch.no_grad()
def _attention(h: Tensor) -> Tensor:
    """(R, C, T, V) in (0.62, 1): how far each value is from the mean of its channel in this person."""
    centred = (h - h.mean(dim=(2, 3), keepdim=True)).square()
    variance = centred.sum(dim=(2, 3), keepdim=True) / max(1, h.shape[2] * h.shape[3] - 1)
    return torch.sigmoid(centred / (4 * (variance + _EPSILON)) + 0.5)


def attention_drop(
    h: Tensor, threshold: float = 0.7, over_ranks: Callable[[Tensor], Tensor] = lambda counts: counts
) -> Tensor:
    """Zero the joints of each person, then the single values, whose attention reaches the threshold.

        attention = sigmoid((h - mean)^2 / (4 (variance + 1e-4)) + 1/2), over T and V of each channel of a person

    A joint's attention is the mean over channels and frames. After each of the two steps what is left is divided by
    the share that is left, over all rows. Of a map that has one joint (V = 1) single values alone are dropped.

    Args:
        h: (R, C, T, V), a person per row. Takes the gradient; the choice of what is dropped gives none.
        threshold: 0.7 in the paper; what is left of the map is empty at 0.62 and all of it at 1.
        over_ranks: sums counts (2,) over the processes that share a batch.

    Returns:
        (R, C, T, V) float32.

    Source: the energy-based attention-guided drop of AimCLR (arXiv 2112.03590), in the form of its release, which
    calls the second step temporal; the energy is that of SimAM (ICML 2021).
    """
    with torch.autocast(h.device.type, enabled=False):
        h = h.float()
        attention = _attention(h)
        kept = [attention < threshold]
        if h.shape[3] > 1:
            kept.insert(0, attention.mean(dim=(1, 2), keepdim=True) < threshold)
        for mask in kept:
            left, whole = over_ranks(torch.stack([mask.sum(), mask.new_tensor(mask.numel(), dtype=torch.int64)]))
            h = h * mask * (whole / left.clamp(min=1))
        return h
