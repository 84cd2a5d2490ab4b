"""Losses without negatives: two views agree, and no coordinate repeats another. Computed in float32."""

import torch
from torch import Tensor

from hiclr.errors import InputError

__all__ = ["barlow_loss", "vicreg_loss"]

_EPSILON = 1e-5  # added to the variance by batch norm, which standardises in the released form
_VICREG_EPSILON = 1e-4


def _check_pair(a: Tensor, b: Tensor) -> None:
    if a.dim() != 2 or a.shape != b.shape or len(a) < 2:
        raise InputError(
            f"Two views (N, D) of the same clips are wanted, N at least 2; they are {tuple(a.shape)}, {tuple(b.shape)}."
        )


def _off_diagonal(matrix: Tensor) -> Tensor:
    """The sum of squares of what is not on the diagonal."""
    return matrix.square().sum() - matrix.diagonal().square().sum()


def _standardised(z: Tensor) -> Tensor:
    return (z - z.mean(dim=0)) * torch.rsqrt(z.var(dim=0, unbiased=False) + _EPSILON)


def barlow_loss(a: Tensor, b: Tensor, redundancy: float = 2e-4) -> dict[str, Tensor]:
    """Draw the correlation of two views, coordinate by coordinate, to the identity.

        C = a^T b / N of standardised columns;   loss = (sum_i (1 - C_ii)^2 + w sum_(i != j) C_ij^2) / D

    Args:
        a: (N, D) of one view, N the whole batch. Takes the gradient, as does b.
        b: (N, D) of the other view of the same clips.
        redundancy: w. As published; the balance of the two sums goes with w (D - 1): 1.2 in PSTL.

    Returns:
        "loss", "invariance" (the first sum, over D) and "redundancy" (the second, over D, without w); no unit.

    Raises:
        InputError: shapes differ, or fewer than 2 clips.

    Source: Barlow Twins (arXiv 2103.03230) with the weight of PSTL (arXiv 2302.09018, D = 6144). They do not divide by
    D; here the size of the loss, and with SGD that of a step, does not go with the width.
    """
    _check_pair(a, b)
    with torch.autocast(a.device.type, enabled=False):
        count, width = a.shape
        correlation = _standardised(a.float()).t() @ _standardised(b.float()) / count
        invariance = (1 - correlation.diagonal()).square().sum() / width
        repeated = _off_diagonal(correlation) / width
        return {"loss": invariance + redundancy * repeated, "invariance": invariance, "redundancy": repeated}


def vicreg_loss(
    a: Tensor, b: Tensor, invariance: float = 25.0, variance: float = 25.0, covariance: float = 1.0
) -> dict[str, Tensor]:
    """Two views agree, every coordinate varies over the batch, and no two vary together.

        loss = invariance mean (a - b)^2 + variance (v(a) + v(b)) / 2 + covariance (c(a) + c(b))
        v(z) = mean_i max(0, 1 - sd_i),   c(z) = sum_(i != j) cov_ij^2 / D

    Args:
        a: (N, D) of one view, N the whole batch. Takes the gradient, as does b.
        b: (N, D) of the other view of the same clips.
        invariance: weight of the first term.
        variance: of the second.
        covariance: of the third.

    Returns:
        "loss", and the terms without their weights: "invariance", "variance", "covariance"; no unit.

    Raises:
        InputError: shapes differ, or fewer than 2 clips.

    Source: VICReg (arXiv 2105.04906), with its weights.
    """
    _check_pair(a, b)
    with torch.autocast(a.device.type, enabled=False):
        a, b = a.float(), b.float()
        near = (a - b).square().mean()
        varied = (_narrowness(a) + _narrowness(b)) / 2
        together = _covariance(a) + _covariance(b)
        loss = invariance * near + variance * varied + covariance * together
        return {"loss": loss, "invariance": near, "variance": varied, "covariance": together}


def _narrowness(z: Tensor) -> Tensor:
    return torch.relu(1 - (z.var(dim=0) + _VICREG_EPSILON).sqrt()).mean()


def _covariance(z: Tensor) -> Tensor:
    centred = z - z.mean(dim=0)
    return _off_diagonal(centred.t() @ centred / (len(z) - 1)) / z.shape[1]
