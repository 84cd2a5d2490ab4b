"""Do the clips of a class lie together? t-SNE coordinates to look at, and two numbers that need no picture."""

import math
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiclr.errors import InputError
from hiclr.evaluation.knn import check_finite, nearest_besides

__all__ = [
    "Embedding",
    "clamp_perplexity",
    "layout_start",
    "nearest_others",
    "neighbour_purity",
    "silhouette",
    "solve_tsne",
    "tsne",
]

_ROUNDING = 1e-13  # relative, of a mean in 64 bit
_LARGE = 5000  # from here on openTSNE, where it is installed, is much faster than scikit-learn


class Embedding(NamedTuple):
    """Points of a t-SNE map and the settings to print beside them."""

    points: NDArray[np.float32]  # (N, 2), no unit
    perplexity: float
    seed: int
    method: str  # "scikit-learn" or "openTSNE"
    start: str = "PCA"  # or "PCA of NAME", of maps that were laid out together and turned to one another

    @property
    def caption(self) -> str:
        """What a figure says below the map."""
        return f"t-SNE, N {len(self.points):,}, perplexity {self.perplexity:.3g}, init {self.start}, seed {self.seed}"


def clamp_perplexity(perplexity: float, count: int) -> float:
    """The perplexity, made smaller where it is not below a third of the clips.

    A neighbourhood of a third of the map shows nothing, and one of N is refused by every implementation.

    Raises:
        InputError: fewer than 3 clips, or a perplexity below 1.
    """
    if count < 3:
        raise InputError(f"a t-SNE map needs at least 3 clips; there {'is' if count == 1 else 'are'} {count}.")
    if not perplexity >= 1:
        raise InputError(f"perplexity must be at least 1, it is {perplexity:g}.")
    # (n-1)/3 is below n/3 and at least the 1 neighbour that a point of a small set can have, except at n = 3
    return min(float(perplexity), max((count - 1) / 3, 2 / 3))


def tsne(features: NDArray[Any], seed: int = 0, perplexity: float = 30.0) -> Embedding:
    """Lay features out in the plane, near ones near; the same features and seed give the same map.

    Standard recipe: at most 50 principal components, then t-SNE from a PCA start. From 5,000 clips on by openTSNE
    where that is installed.

    Args:
        features: (N, D), N at least 3.
        seed: of the solver of t-SNE.
        perplexity: about the number of neighbours that count; taken smaller for few clips, see the result.

    Raises:
        InputError: fewer than 3 clips, or features that are not finite.

    Source: van der Maaten and Hinton, JMLR 2008; PCA start: Kobak and Berens, 2019.
    """
    perplexity = clamp_perplexity(perplexity, len(features))
    check_finite(features)
    method, points = solve_tsne(features, seed, perplexity)
    return Embedding(np.asarray(points, dtype=np.float32), perplexity, seed, method)


def _reduced(features: NDArray[Any]) -> NDArray[np.float64]:
    """(N, at most 50) principal components of features whose scale is taken out: t-SNE's early steps depend on it."""
    from sklearn.decomposition import PCA

    given = np.asarray(features, dtype=np.float64)
    x = given - given.mean(axis=0)
    spread = float(np.sqrt((x**2).sum(axis=1).mean()))
    same = spread <= _ROUNDING * np.abs(given).max()  # all rows are one: what is left of them is the mean's rounding
    x = np.zeros_like(x) if same else x / spread
    components = min(50, *x.shape)
    if x.shape[1] > components or not x.any():
        x = PCA(components, svd_solver="full").fit_transform(x) if x.any() else x[:, :components]
    return np.asarray(x)


def layout_start(features: NDArray[Any]) -> NDArray[np.float64]:
    """(N, 2) places from which several maps can start: two principal components, as small as t-SNE wants them; zeros
    where all clips have the same features."""
    from sklearn.decomposition import PCA

    x = _reduced(features)
    if not x.any():
        return np.zeros((len(x), 2))
    x = PCA(min(2, *x.shape), svd_solver="full").fit_transform(x)
    x = np.pad(x, ((0, 0), (0, 2 - x.shape[1])))
    return np.asarray(1e-4 * x / (float(x[:, 0].std()) or 1.0))


def solve_tsne(
    features: NDArray[Any], seed: int, perplexity: float, start: NDArray[np.float64] | None = None
) -> tuple[str, NDArray[Any]]:
    """(method, points (N, 2)) of finite features; `start` (N, 2) instead of their own principal components."""
    x = _reduced(features)
    own = "pca" if x.shape[1] >= 2 and x.any() else "random"
    start = None if start is None or not start.any() else start
    if len(x) >= _LARGE:
        try:
            import openTSNE
        except ImportError:
            pass
        else:
            begin: Any = own if start is None else start
            fast = openTSNE.TSNE(perplexity=perplexity, initialization=begin, random_state=seed, n_jobs=1)
            return "openTSNE", np.asarray(fast.fit(x))
    from sklearn.manifold import TSNE

    init: Any = own if start is None else start.astype(np.float32)
    exact = TSNE(2, perplexity=perplexity, init=init, learning_rate="auto", random_state=seed, n_jobs=1)
    return "scikit-learn", exact.fit_transform(x.astype(np.float32))


def silhouette(features: NDArray[Any], y: NDArray[np.int64], seed: int = 0, at_most: int = 5000) -> float:
    """Mean silhouette of the classes by cosine distance, -1..1: 1 tight and apart, 0 mixed.

    Args:
        features: (N, D).
        y: (N,) classes.
        seed: of the draw where N is above `at_most` (the cost grows with N squared).
        at_most: clips that are looked at.

    Raises:
        InputError: fewer than 2 classes, every clip a class of its own, or features that are not finite.

    Source: Rousseeuw, 1987.
    """
    from sklearn.metrics import silhouette_score

    check_finite(features)
    found = len(np.unique(y))
    if not 2 <= found < len(y):
        raise InputError(f"a silhouette needs at least 2 classes and fewer classes than clips; {found} of {len(y)}.")
    some = np.arange(len(y))
    if len(y) > at_most:
        some = np.sort(np.random.default_rng(seed).permutation(len(y))[:at_most])
    return float(silhouette_score(np.asarray(features[some], dtype=np.float64), y[some], metric="cosine"))


def neighbour_purity(features: NDArray[Any], y: NDArray[np.int64], k: int = 10) -> float:
    """Mean share, 0..1, of a clip's k nearest other clips (cosine) that have its class: of fewer where its class has
    fewer others, so that 1 can be reached, and of no clip that is alone in its class. For mixed classes about the sum
    of the squared shares of the classes; nan where every clip is alone.

    Raises:
        InputError: fewer than 2 clips, or features that are not finite.
    """
    if len(features) < 2:
        raise InputError(f"neighbours need at least 2 clips; there are {len(features)}.")
    others = nearest_others(features, min(k, len(features) - 1))
    _, group, sizes = np.unique(y, return_inverse=True, return_counts=True)
    asked = np.minimum(sizes[group] - 1, others.shape[1])
    of_class = (y[others] == y[:, None]) & (np.arange(others.shape[1]) < asked[:, None])
    counted = asked > 0
    return float((of_class.sum(axis=1)[counted] / asked[counted]).mean()) if counted.any() else math.nan


def nearest_others(features: NDArray[Any], k: int) -> NDArray[np.int64]:
    """(N, k) rows nearest to each row by cosine, nearest first, and never the row itself."""
    return nearest_besides(features, features, np.arange(len(features)), k)[0]
