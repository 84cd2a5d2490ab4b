"""Does a probe know when it is wrong? Confidence beside accuracy, and the one temperature that mends most of it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets.base import Ids
from hiclr.errors import InputError

__all__ = ["BINS", "Reliability", "adaptive_reliability", "confidence_of", "fit_temperature", "reliability"]

BINS = 15
"""Bins of both errors, as most of the literature; the papers of this field do not say theirs."""

_LOG_BOUND = 7.0  # temperatures from 1/1000 to 1000

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Reliability:
    """Confidence and accuracy of each bin: what a reliability diagram draws.

    Args:
        low: (B,) lowest confidence of the bin; for bins of equal width the edge, which does not belong to it.
        high: (B,) highest confidence, which does.
        count: (B,) clips.
        confidence: (B,) mean confidence, NaN in an empty bin.
        accuracy: (B,) share that is right, NaN in an empty bin.
    """

    low: Floats
    high: Floats
    count: Ids
    confidence: Floats
    accuracy: Floats

    @property
    def error(self) -> float:
        """Mean distance of confidence and accuracy over clips, 0..1: the expected calibration error of these bins.

        Source: Naeini et al., AAAI 2015; Guo et al., ICML 2017.
        """
        gap = np.abs(np.where(self.count > 0, self.confidence - self.accuracy, 0.0))
        return float((self.count * gap).sum() / self.count.sum())

    def to_dict(self) -> dict[str, list[Any]]:
        """Lists for JSON, one entry for each bin that holds clips."""
        kept = self.count > 0
        columns = {"low": self.low, "high": self.high, "count": self.count}
        columns |= {"confidence": self.confidence, "accuracy": self.accuracy}
        return {name: np.round(column[kept], 6).tolist() for name, column in columns.items()}


def confidence_of(logits: NDArray[Any], classes: Ids, y: Ids, temperature: float = 1.0) -> tuple[Floats, Ids]:
    """Confidence of the class that is predicted, and whether it is right.

    Args:
        logits: (n, C') scores; only their differences count.
        classes: (C',) the class of each column.
        y: (n,) true classes; one without a column is never right.
        temperature: what the logits are divided by.

    Returns:
        (n,) softmax of the highest score, 1/C'..1, and (n,) bool.

    Raises:
        InputError: logits that are not finite.
    """
    from scipy.special import softmax

    if not np.isfinite(logits).all():
        raise InputError("logits must be finite to give confidences; the probe that made them ran off.")
    best = logits.argmax(axis=1)
    chance = softmax(np.asarray(logits, dtype=np.float64) / temperature, axis=1)
    return chance[np.arange(len(best)), best], np.asarray(classes)[best] == y


def _check(confidence: NDArray[Any], right: NDArray[Any], bins: int) -> None:
    if confidence.shape != right.shape or confidence.ndim != 1 or not len(confidence):
        raise InputError(
            f"confidence and right must both have shape (n,) with n of at least 1; they have {confidence.shape} and "
            f"{right.shape}."
        )
    if not ((confidence >= 0) & (confidence <= 1)).all():  # NaN as well
        raise InputError(
            f"confidences must lie in 0..1, they reach from {confidence.min():g} to {confidence.max():g}. Logits are "
            "no confidences: take `confidence_of`."
        )
    if bins < 1:
        raise InputError(f"bins must be at least 1, it is {bins}.")


def _binned(confidence: Floats, right: NDArray[Any], bin_of: Ids, low: Floats, high: Floats) -> Reliability:
    count = np.bincount(bin_of, minlength=len(low))
    with np.errstate(invalid="ignore"):
        mean, share = (np.bincount(bin_of, part, len(low)) / count for part in (confidence, right.astype(np.float64)))
    return Reliability(low, high, count, mean, share)


def reliability(confidence: NDArray[Any], right: NDArray[Any], bins: int = BINS) -> Reliability:
    """Bins of equal width over 0..1: (0, 1/B], (1/B, 2/B] … Its `error` is ECE.

    Args:
        confidence: (n,) 0..1, of the class that was predicted.
        right: (n,) bool.
        bins: B.

    Raises:
        InputError: no clip, shapes that differ, confidences outside 0..1, or less than one bin.
    """
    _check(confidence, right, bins)
    edges = np.linspace(0, 1, bins + 1)
    bin_of = np.clip(np.searchsorted(edges, confidence, side="left") - 1, 0, bins - 1)
    return _binned(np.asarray(confidence, dtype=np.float64), right, bin_of, edges[:-1], edges[1:])


def adaptive_reliability(confidence: NDArray[Any], right: NDArray[Any], bins: int = BINS) -> Reliability:
    """Bins of equal mass: n/B clips each, by rising confidence. Its `error` is the adaptive ECE.

    Equal confidences stay together, in the bin of the first of them, so that the order of clips does not matter.

    Raises:
        InputError: as `reliability`.

    Source: Nguyen and O'Connor, EMNLP 2015.
    """
    _check(confidence, right, bins)
    values, of = np.unique(confidence, return_inverse=True)
    first = np.concatenate([[0], np.cumsum(np.bincount(of))[:-1]])  # rank of the first clip with this confidence
    bin_of = (first[of] * bins) // len(confidence)
    low, high = np.full(bins, np.nan), np.full(bins, np.nan)
    at = (first * bins) // len(confidence)  # rising, as the values are
    low[at[::-1]], high[at] = values[::-1], values
    return _binned(np.asarray(confidence, dtype=np.float64), right, bin_of, low, high)


def fit_temperature(logits: NDArray[Any], columns: Ids) -> float:
    """The temperature under which held-out clips are most likely; the class that is predicted does not change.

    Args:
        logits: (h, C') scores of clips that the probe was not fitted on, and that are no test clips.
        columns: (h,) the column of each clip's class.

    Returns:
        Above 1 where the probe is too sure; 0.001 or 1000 where every clip is right, or none tells anything.

    Raises:
        InputError: no clip, or logits that are not finite.

    Source: Guo et al., ICML 2017.
    """
    from scipy.optimize import minimize_scalar
    from scipy.special import log_softmax

    if not len(logits) or not np.isfinite(logits).all():
        raise InputError(f"a temperature needs finite logits of held-out clips; there are {len(logits)} clips.")
    scores, rows = np.asarray(logits, dtype=np.float64), np.arange(len(logits))

    def surprise(log_temperature: float) -> float:
        return float(-log_softmax(scores / np.exp(log_temperature), axis=1)[rows, columns].mean())

    found = minimize_scalar(surprise, bounds=(-_LOG_BOUND, _LOG_BOUND), method="bounded", options={"xatol": 1e-6})
    return float(np.exp(found.x))
