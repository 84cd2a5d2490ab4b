"""Numbers beside a map, which need no picture: is it actions that lie together, and how much of the space is used?"""

import warnings
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.evaluation.clusters import nearest_others, neighbour_purity, silhouette
from hiclr.evaluation.knn import check_finite, unit_rows
from hiclr.pretraining.training import effective_rank as watched_rank

__all__ = [
    "Matched",
    "alignment",
    "cluster_agreement",
    "effective_rank",
    "geometry",
    "kept_share",
    "match_clips",
    "neighbour_change",
    "over_runs",
    "uniformity",
]

AT_MOST = 5000  # clips that a number of pairs is taken over
_TEMPERATURE = 2.0  # t of uniformity


def _some(count: int, seed: int) -> NDArray[np.int64]:
    return np.sort(np.random.default_rng(seed).permutation(count)[:AT_MOST])


def alignment(features: NDArray[Any], positives: NDArray[Any]) -> float:
    """Mean squared distance, 0..4, of each clip to its positive on the unit sphere: 0 where a view changes nothing.

    Args:
        features: (N, D).
        positives: (N, D), row n another view of clip n.

    Raises:
        InputError: other shapes, or features that are not finite.

    Source: Wang and Isola, ICML 2020, with exponent 2.
    """
    if features.shape != positives.shape:
        raise InputError(f"Both views must have one shape; they have {features.shape} and {positives.shape}.")
    first, second = _units(features), _units(positives)
    return float(((first - second) ** 2).sum(axis=1).mean())


def uniformity(features: NDArray[Any], seed: int = 0) -> float:
    """log of the mean of exp(-2 d^2) over pairs of clips on the unit sphere: 0 where all lie on one point, lower the
    more evenly they are spread (-4 is the bound in many dimensions).

    Args:
        features: (N, D), N at least 2; of more than 5,000 a draw is looked at.
        seed: of that draw.

    Raises:
        InputError: fewer than 2 clips, or features that are not finite.

    Source: Wang and Isola, ICML 2020, with t = 2.
    """
    if len(features) < 2:
        raise InputError(f"uniformity needs at least 2 clips; there are {len(features)}.")
    x = _units(features)[_some(len(features), seed)]
    length = (x**2).sum(axis=1)  # 1; of a row of zeros 0, which lies on no sphere but at no distance from its like
    squared = np.clip(length[:, None] + length - 2 * (x @ x.T), 0, None)
    total = np.exp(-_TEMPERATURE * squared).sum() - np.exp(-_TEMPERATURE * np.diag(squared)).sum()
    return float(np.log(total / (len(x) * (len(x) - 1))))


def effective_rank(features: NDArray[Any]) -> float:
    """exp of the entropy of the singular values of centred features: how many directions they really use, 1..D.

    Raises:
        InputError: features that are not finite.

    The same as is watched in training, in 64 bit.
    """
    check_finite(features)
    return watched_rank(torch.from_numpy(np.asarray(features, dtype=np.float64)))


def cluster_agreement(features: NDArray[Any], y: NDArray[np.int64], seed: int = 0) -> tuple[float, float]:
    """(normalised mutual information 0..1, adjusted Rand index -0.5..1) of classes and k-means of as many clusters, on
    the unit sphere; both are 1 where each cluster is a class, the second is 0 for clusters at random.

    Args:
        features: (N, D).
        y: (N,) classes.
        seed: of the starts of k-means.

    Raises:
        InputError: features that are not finite.

    Source: Vinh et al., JMLR 2010; Hubert and Arabie, 1985.
    """
    from sklearn.cluster import KMeans
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.metrics import adjusted_rand_score, normalized_mutual_info_score

    with warnings.catch_warnings():  # fewer different clips than clusters: a collapse, and the numbers tell it
        warnings.simplefilter("ignore", ConvergenceWarning)
        clusters = KMeans(len(np.unique(y)), n_init=3, random_state=seed).fit_predict(_units(features))
    return float(normalized_mutual_info_score(y, clusters)), float(adjusted_rand_score(y, clusters))


def geometry(
    features: NDArray[Any],
    y: NDArray[np.int64],
    groups: Mapping[str, NDArray[Any]],
    positives: NDArray[Any] | None = None,
    seed: int = 0,
) -> dict[str, float]:
    """All numbers of one branch, by name; one that cannot be had (a single subject, every clip a class of its own,
    no positives) is left out.

    Args:
        features: (N, D).
        y: (N,) classes.
        groups: "subject", "camera" -> (N,) ids: what a good encoder does not sort by.
        positives: (N, D) of another view of the same clips, for the alignment.
        seed: of draws and of k-means.

    Raises:
        InputError: features that are not finite.
    """
    row: dict[str, float] = {}
    near = {} if positives is None else {"alignment": alignment(features, positives)}
    features = compact(features)
    for name, ids in {"class": y, **groups}.items():
        if 2 <= len(np.unique(ids)) < len(ids):
            row[f"silhouette by {name}"] = silhouette(features, ids, seed)
    if len(np.unique(y)) < len(y):
        row["purity"] = neighbour_purity(features, y)
    if 2 <= len(np.unique(y)) < len(y):
        row["NMI"], row["ARI"] = cluster_agreement(features, y, seed)
    row |= near
    row["uniformity"] = uniformity(features, seed)
    row["effective rank"] = effective_rank(features)
    return row


def compact(features: NDArray[Any]) -> NDArray[Any]:
    """The same clips in as few dimensions as hold them: with more dimensions than clips (N, D) -> (N, N) float64.

    All inner products stay, and so do cosines, distances and the singular values of the centred rows: every number of
    `geometry` is the same, in 8 s instead of 60 for 2,000 clips of 9,600 coordinates.
    """
    if features.shape[1] <= len(features):
        return features
    check_finite(features)
    return np.asarray(np.linalg.qr(np.asarray(features, dtype=np.float64).T, mode="r")).T


def over_runs(rows: Sequence[Mapping[str, float]]) -> dict[str, tuple[float, float | None]]:
    """name -> (mean, standard deviation over seeds or None of one) of the numbers that every row has."""
    if not rows:
        raise InputError("There are no numbers to take a mean of.")
    shared = [name for name in rows[0] if all(name in row for row in rows)]
    values = {name: np.array([row[name] for row in rows]) for name in shared}
    return {name: (float(x.mean()), float(x.std(ddof=1)) if len(x) > 1 else None) for name, x in values.items()}


class Matched(NamedTuple):
    """Clips that two sets of features share.

    Args:
        names: of the shared clips, in the order of the first.
        first: (n,) their rows in the first.
        second: (n,) their rows in the second.
        said: how many there are, and how many only one of the two has.
    """

    names: tuple[str, ...]
    first: NDArray[np.int64]
    second: NDArray[np.int64]
    said: str


def match_clips(first: Sequence[str], second: Sequence[str]) -> Matched:
    """Which clips of two sets have the same name, whatever their order; the others are left out and counted.

    Args:
        first: N clip names.
        second: n clip names.

    Raises:
        InputError: a name twice in one of them.
    """
    places = [{name: i for i, name in enumerate(each)} for each in (first, second)]
    if any(len(place) != len(each) for place, each in zip(places, (first, second), strict=True)):
        raise InputError("Clips are matched by name: no name may be there twice.")
    shared = tuple(name for name in first if name in places[1])
    rows = [np.array([place[name] for name in shared], dtype=np.int64) for place in places]
    alone = [len(place) - len(shared) for place in places]
    said = f"{counted(len(shared), 'clip')} matched by name"
    if any(alone):
        said += f"; {alone[0]:,} only in the first, {alone[1]:,} only in the second"
    return Matched(shared, rows[0], rows[1], said)


def neighbour_change(
    first: NDArray[Any], second: NDArray[Any], names: tuple[Sequence[str], Sequence[str]], k: int = 8
) -> list[tuple[str, float]]:
    """Which clips have other neighbours in one encoder than in another: (name, share of the k nearest that changed),
    most changed first, for the clips that both know.

    Args:
        first: (N, D) features.
        second: (n, d) features; another encoder's, in any order.
        names: the names of the clips of each.
        k: neighbours, by cosine.

    Raises:
        InputError: names twice, or fewer than 3 names in both.
    """
    both = match_clips(*names)
    count = len(both.names)
    if count < 3:
        raise InputError(f"Two encoders are compared on clips that both know: 3 are wanted, there are {count}.")
    k = min(k, count - 1)
    same = kept_share(nearest_others(first[both.first], k), nearest_others(second[both.second], k))
    order = np.argsort(same, kind="stable")
    return [(both.names[i], float(1 - same[i])) for i in order]


def kept_share(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.float64]:
    """(N,) shares, 0..1, of the neighbours (N, k) of the first that the second (N, k) has as well, in any order."""
    return np.asarray((first[:, :, None] == second[:, None, :]).any(axis=2).mean(axis=1))


def _units(features: NDArray[Any]) -> NDArray[np.float64]:
    check_finite(features)
    return unit_rows(np.asarray(features, dtype=np.float64))
