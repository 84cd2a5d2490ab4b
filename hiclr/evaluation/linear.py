"""The linear probe: how much of the classes a straight cut through frozen features finds."""

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from hiclr.datasets.spool import cores
from hiclr.errors import InputError
from hiclr.evaluation.knn import check_finite

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline

__all__ = ["class_scores", "converged", "linear_probe", "rank_classes", "top_k_accuracy"]

PENALTY = 1.0  # scikit-learn's C, its default
MAX_ITERATIONS = 1000
_SMALL = 10**8  # products of one pass over the clips, under which several threads mostly wait for each other


def linear_probe(x: NDArray[Any], y: NDArray[np.int64]) -> "Pipeline":
    """Fit a linear classifier on frozen features.

    Float64, then mean 0 and variance 1 for each feature (by the training clips alone), then multinomial logistic
    regression: scikit-learn's C = 1 (L2) by L-BFGS up to 1,000 iterations. These are constants, not tuned on any
    set. The standardisation makes the result independent of the features' scale: features of size 1e-8, as the
    released initialisation gives, are probed like any others. Nothing is drawn. The encoder is not touched: D x C + C
    numbers are trained, none of them in it.

    Args:
        x: (N, D) features of the training clips.
        y: (N,) classes of the training clips.

    Returns:
        A fitted `Pipeline`: give it features (n, D).

    Raises:
        InputError: features that are not finite, or training clips of one class only.
    """
    from sklearn.exceptions import ConvergenceWarning
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import FunctionTransformer, StandardScaler

    check_finite(x, "training features")
    if len(y) != len(x):
        raise InputError(f"y must hold one class for each of the {len(x)} training clips; it has {len(y)}.")
    if len(np.unique(y)) < 2:
        raise InputError("a linear probe needs training clips of at least 2 classes; all of them are of one class.")
    probe = Pipeline(
        [
            ("float64", FunctionTransformer(np.float64)),
            ("scale", StandardScaler()),
            ("classify", LogisticRegression(C=PENALTY, max_iter=MAX_ITERATIONS)),
        ]
    )
    # BLAS threads spin while they wait: on two busy cores 128 clips took 5 s instead of 0.1 s, and 40,091 clips five
    # times the work. One for small sets, else half of the cores.
    threads = 1 if x.size * len(np.unique(y)) < _SMALL else max(1, cores() // 2)
    with threadpool_limits(threads), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # `converged` says it where it can be read
        return probe.fit(x, y)


def converged(probe: "Pipeline") -> bool:
    """False where the iterations ran out first."""
    return bool(np.max(probe["classify"].n_iter_) < MAX_ITERATIONS)


def class_scores(probe: "Pipeline", x: NDArray[Any]) -> NDArray[np.float64]:
    """Logits (n, C') of the classes that have training clips, in the order of `probe.classes_`; higher is likelier.

    Their softmax are the probe's probabilities: of two classes the first is at 0.
    """
    check_finite(x, "test features")
    scores = np.asarray(probe.decision_function(x), dtype=np.float64)
    return np.stack([np.zeros_like(scores), scores], axis=1) if scores.ndim == 1 else scores


def rank_classes(probe: "Pipeline", x: NDArray[Any]) -> NDArray[np.int64]:
    """Classes (n, C') by falling score; C' are the classes that have training clips, equal scores by lowest class."""
    order = np.argsort(-class_scores(probe, x), axis=1, kind="stable")
    return np.asarray(probe.classes_[order], dtype=np.int64)


def top_k_accuracy(ranked: NDArray[np.int64], y: NDArray[np.int64], k: int) -> float:
    """Share of clips, 0..1, whose class is among the first k of `rank_classes` (all of them where there are fewer).

    A class without training clips is never among them.
    """
    if len(ranked) != len(y):
        raise InputError(f"y must hold one class for each of the {len(ranked)} clips; it has {len(y)}.")
    return float((ranked[:, :k] == y[:, None]).any(axis=1).mean())
