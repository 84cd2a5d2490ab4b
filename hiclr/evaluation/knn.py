"""Nearest neighbours on features: which clips are near, and what they vote."""

from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiclr.errors import InputError

__all__ = [
    "Metric",
    "best",
    "check_finite",
    "knn_accuracy",
    "knn_predict",
    "knn_predictions",
    "knn_votes",
    "nearest",
    "nearest_besides",
    "unit_rows",
]

Metric = Literal["cosine", "euclidean"]

_BLOCK_BYTES = 1 << 28  # one block of scores in memory


def check_finite(features: NDArray[Any], what: str = "features") -> None:
    """Refuse features that hold NaN or infinity.

    Raises:
        InputError: how many rows are not finite and the first of them.
    """
    bad = np.flatnonzero(~np.isfinite(features).all(axis=1))
    if len(bad):
        raise InputError(
            f"{what} must be finite; {len(bad)} of {len(features)} clips have NaN or infinite values, the first is "
            f"clip {int(bad[0])}. The encoder's weights or the clip's positions are damaged: look at the run's "
            "metrics and at `python -m hiclr doctor` for the data."
        )


def nearest(
    train: NDArray[Any], test: NDArray[Any], k: int, metric: Metric = "cosine"
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """The k nearest training rows of every test row, nearest first; equal scores in the order of the training rows.

    Args:
        train: (N, D) features; only their direction counts for "cosine" (a row of zeros is at 0 from everything).
        test: (n, D) features.
        k: number of neighbours, 1..N.
        metric: "cosine" (similarity of L2-normalised rows) or "euclidean".

    Returns:
        Indices (n, k) into `train`, and scores (n, k), higher is nearer: the cosine, or minus half the squared
        distance up to a constant for each test row.

    Raises:
        InputError: k is outside 1..N, or the features are not finite or do not agree in D.
    """
    if train.ndim != 2 or test.ndim != 2 or train.shape[1] != test.shape[1]:
        raise InputError(
            f"nearest neighbours need features (N, D) and (n, D) of equal D; they are {train.shape} and {test.shape}."
        )
    if not 1 <= k <= len(train):
        raise InputError(f"k must be in 1..{len(train)}, the number of training clips; it is {k}.")
    check_finite(train, "training features")
    check_finite(test, "test features")
    keys, queries, offset = _prepare(train, test, metric)
    rows = max(1, _BLOCK_BYTES // (4 * len(keys)))
    blocks = [best(queries[start : start + rows] @ keys.T - offset, k) for start in range(0, len(queries), rows)]
    indices, scores = (torch.cat(part) for part in zip(*blocks, strict=True))
    return indices.numpy(), scores.numpy()


def _prepare(train: NDArray[Any], test: NDArray[Any], metric: Metric) -> tuple[Tensor, Tensor, Tensor]:
    """Float32 keys, queries and offset such that query . key - offset is higher where the key is nearer.

    Normalised and centred in float64 first: features of any scale (1e-30 as well) give the same neighbours.
    """
    keys, queries = (np.asarray(part, dtype=np.float64) for part in (train, test))
    if metric == "cosine":
        keys, queries = (unit_rows(part) for part in (keys, queries))
        offset = np.zeros(len(keys))
    else:
        mean = keys.mean(axis=0)
        keys, queries = keys - mean, queries - mean
        spread = float(np.abs(keys).max()) or 1.0
        keys, queries = keys / spread, queries / spread
        offset = (keys**2).sum(axis=1) / 2
    as_tensor = (torch.from_numpy(part.astype(np.float32)) for part in (keys, queries, offset))
    return next(as_tensor), next(as_tensor), next(as_tensor)


def nearest_besides(
    train: NDArray[Any], test: NDArray[Any], own: NDArray[np.int64], k: int
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """`nearest` by cosine, of training rows other than the test row itself.

    Args:
        train: (N, D) features.
        test: (n, D) features.
        own: (n,) the row of `train` that each test row is, -1 where it is none of them.
        k: number of neighbours, 1..N-1; 1..N where no test row is a training row.

    Raises:
        InputError: as `nearest`.
    """
    more = int((own >= 0).any())
    if more and not 1 <= k < len(train):
        raise InputError(f"k must be in 1..{len(train) - 1}, the number of other clips; it is {k}.")
    indices, scores = nearest(train, test, k + more)
    if not more:
        return indices, scores
    left_out = indices == own[:, None]
    left_out[~left_out.any(axis=1), -1] = True  # one too many where the row itself is not among them: the farthest
    return indices[~left_out].reshape(len(test), k), scores[~left_out].reshape(len(test), k)


def unit_rows(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of length 1; a row of zeros stays zero. Float64 holds the square of any float32."""
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return np.asarray(x / np.where(length > 0, length, 1))


def best(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Indices and values (n, k) of the highest scores (n, N), equal ones by lowest index.

    `topk` picks any of several equal scores, so where scores equal the k-th one the choice is made again: all above
    it, then as many of the equal ones as are missing, in index order.
    """
    top = scores.topk(min(k + 1, scores.shape[1]), dim=1)  # sorted; one more, to see whether the k-th has an equal
    chosen, kth = top.indices[:, :k], top.values[:, k - 1 : k]
    tied = (top.values[:, k:] == kth).any(dim=1).nonzero()[:, 0]
    if len(tied):
        above, equal = scores[tied] > kth[tied], scores[tied] == kth[tied]
        missing = k - above.sum(dim=1, keepdim=True)
        taken = above | (equal & (equal.cumsum(dim=1) <= missing))
        chosen = chosen.clone()
        chosen[tied] = taken.nonzero()[:, 1].view(len(tied), k)
    chosen = chosen.sort(dim=1).values
    values, order = scores.gather(1, chosen).sort(dim=1, descending=True, stable=True)
    return chosen.gather(1, order), values


def knn_predict(
    train: NDArray[Any],
    y: NDArray[np.int64],
    test: NDArray[Any],
    k: int,
    num_classes: int,
    metric: Metric = "cosine",
) -> NDArray[np.int64]:
    """The class (n,) that most of the k nearest training clips have.

    One vote for each neighbour. Equal votes: the larger summed score, then the lowest class.

    Args:
        train: (N, D) features.
        y: (N,) classes of `train`.
        test: (n, D) features.
        k: neighbours; more than N are taken as N.
        num_classes: C of the whole set: a class that no test clip has can still win, and be wrong.
        metric: see `nearest`.

    Raises:
        InputError: as `nearest`, or a class outside 0..C-1.
    """
    return knn_predictions(train, y, test, (k,), num_classes, metric)[k]


def knn_predictions(
    train: NDArray[Any],
    y: NDArray[np.int64],
    test: NDArray[Any],
    ks: Sequence[int],
    num_classes: int,
    metric: Metric = "cosine",
) -> dict[int, NDArray[np.int64]]:
    """`knn_predict` for several k from one search: k -> (n,) classes."""
    if len(y) != len(train) or (len(y) and not 0 <= int(y.min()) <= int(y.max()) < num_classes):
        raise InputError(f"y must hold one class in 0..{num_classes - 1} for each of the {len(train)} training clips.")
    kept = {k: min(k, len(train)) for k in ks}
    indices, scores = nearest(train, test, max(kept.values()), metric)
    return {k: _vote(y[indices[:, :few]], scores[:, :few], num_classes) for k, few in kept.items()}


def knn_votes(
    train: NDArray[Any],
    y: NDArray[np.int64],
    test: NDArray[Any],
    k: int,
    num_classes: int,
    own: NDArray[np.int64] | None = None,
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The class that `knn_predict` finds by cosine, and the share of the votes that are for it.

    Args:
        train: (N, D) features.
        y: (N,) classes of `train`.
        test: (n, D) features.
        k: neighbours; all others where there are fewer.
        num_classes: C of the whole set.
        own: (n,) the row of `train` that each test row is, -1 for none: a clip has no vote on itself (leave-one-out).

    Returns:
        (n,) classes and (n,) shares, 1/k..1.

    Raises:
        InputError: as `nearest_besides`.
    """
    rows = np.full(len(test), -1) if own is None else own
    k = min(k, len(train) - int((rows >= 0).any()))
    indices, scores = nearest_besides(train, test, rows, k)
    found = _vote(y[indices], scores, num_classes)
    return found, np.asarray((y[indices] == found[:, None]).mean(axis=1))


def _vote(classes: NDArray[np.int64], scores: NDArray[np.float32], num_classes: int) -> NDArray[np.int64]:
    """The winner (n,) among the neighbours' classes (n, k), by votes, summed score, lowest class."""
    rows = np.arange(len(classes))[:, None]
    votes = np.zeros((len(classes), num_classes), dtype=np.int64)
    np.add.at(votes, (rows, classes), 1)
    weight = np.zeros((len(classes), num_classes))
    np.add.at(weight, (rows, classes), scores)
    leading = votes == votes.max(axis=1, keepdims=True)
    return np.asarray(np.where(leading, weight, -np.inf).argmax(axis=1), dtype=np.int64)


def knn_accuracy(
    train: NDArray[Any],
    y_train: NDArray[np.int64],
    test: NDArray[Any],
    y_test: NDArray[np.int64],
    k: int,
    num_classes: int,
    metric: Metric = "cosine",
) -> float:
    """Share of test clips, 0..1, whose class `knn_predict` finds."""
    if len(y_test) != len(test):
        raise InputError(f"y_test must hold one class for each of the {len(test)} test clips; it has {len(y_test)}.")
    return float((knn_predict(train, y_train, test, k, num_classes, metric) == y_test).mean())
