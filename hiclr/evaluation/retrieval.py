"""Retrieval, few-shot and one-shot: what the neighbourhoods of features are worth without any training."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiclr.datasets.base import Ids
from hiclr.datasets.readers.ntu import NAME, NtuName
from hiclr.errors import InputError
from hiclr.evaluation.knn import best, check_finite, nearest, unit_rows

__all__ = [
    "NOVEL_ACTIONS",
    "Episodes",
    "OneShot",
    "Retrieval",
    "few_shot",
    "ntu_one_shot",
    "one_shot",
    "retrieve",
]

_BLOCK_BYTES = 1 << 25  # one block of scores in memory; ranking takes a few times as much beside it
_KEYS = 1 << 24  # random keys of few-shot draws in memory at once

Bools = NDArray[np.bool_]


@dataclass(frozen=True)
class Retrieval:
    """How high the clips of its own class stand in the ranking of each query.

    Args:
        average_precision: (n,) 0..1; NaN for a query whose class has no clip in the gallery.
        found: k -> (n,) bool: one of the first k is of the query's class.
    """

    average_precision: NDArray[np.float64]
    found: Mapping[int, Bools]

    @property
    def answerable(self) -> Bools:
        """(n,) queries whose class the gallery holds; only they count for mAP."""
        return np.isfinite(self.average_precision)

    @property
    def mean_average_precision(self) -> float:
        """mAP, 0..1, over the queries that can be answered; NaN where none can."""
        some = self.average_precision[self.answerable]
        return float(some.mean()) if len(some) else float("nan")

    def recall(self, k: int) -> float:
        """Recall@k, 0..1: share of all queries with a clip of their class among the first k."""
        return float(self.found[k].mean())


def retrieve(
    gallery: NDArray[Any],
    y_gallery: Ids,
    queries: NDArray[Any],
    y_queries: Ids,
    ks: Sequence[int] = (1, 5, 10),
    own: Ids | None = None,
) -> Retrieval:
    """Rank the gallery by cosine similarity for each query.

    Average precision is the mean, over the clips of the query's class, of the precision down to each of them; clips
    at equal similarity share the precision after the last of them, as in scikit-learn, so that their order does not
    matter. Memory beside the features stays below half a GB.

    Args:
        gallery: (N, D) features.
        y_gallery: (N,) classes.
        queries: (n, D) features.
        y_queries: (n,) classes.
        ks: of recall@k.
        own: (n,) the index of each query in the gallery, where it is one of its clips: it is then never ranked.

    Raises:
        InputError: features that are not finite or differ in D, lengths that differ, k below 1.
    """
    _check_pairs(gallery, y_gallery, queries, y_queries)
    if not ks or min(ks) < 1:
        raise InputError(f"recall@k needs k of at least 1; k is {list(ks)}.")
    keys, labels = _unit(gallery), torch.from_numpy(np.asarray(y_gallery))
    asked, few = _unit(queries), min(max(ks), len(gallery))
    itself = torch.full((len(asked),), -1) if own is None else torch.from_numpy(np.asarray(own))
    precision = torch.full((len(asked),), torch.nan, dtype=torch.float64)
    first = torch.zeros(len(asked), few, dtype=torch.bool)
    for label in np.unique(y_queries).tolist():
        alike = (labels == label).nonzero()[:, 0]
        members = torch.from_numpy(np.flatnonzero(np.asarray(y_queries) == label))
        for part in torch.split(members, max(1, _BLOCK_BYTES // (4 * len(keys)))):
            scores, not_self = asked[part] @ keys.T, alike[None] != itself[part, None]
            if own is not None:
                scores.scatter_(1, itself[part, None], -torch.inf)
            precision[part] = _average_precision(scores, scores[:, alike], not_self)
            nearest_ones, _ = best(scores, few)
            first[part] = (labels[nearest_ones] == label) & (nearest_ones != itself[part, None])
    return Retrieval(precision.numpy(), {k: first[:, :k].any(dim=1).numpy() for k in ks})


def _average_precision(scores: Tensor, relevant: Tensor, counts: Tensor) -> Tensor:
    """(n,) from similarities (n, N), those of the relevant clips (n, R), and which of these count (n, R); the others
    must be the lowest. NaN where none counts. Of each relevant clip: the relevant ones at least as near, over all."""
    everything = torch.from_numpy(np.sort(scores.numpy(), axis=1))  # several times as fast as torch's, with its indices
    ordered = relevant.sort(dim=1).values
    above = scores.shape[1] - torch.searchsorted(everything, relevant.contiguous())
    alike = relevant.shape[1] - torch.searchsorted(ordered, relevant.contiguous())
    return (alike.double() / above * counts).sum(dim=1) / counts.sum(dim=1)


def _check_pairs(gallery: NDArray[Any], y_gallery: Ids, queries: NDArray[Any], y_queries: Ids) -> None:
    if gallery.ndim != 2 or queries.ndim != 2 or gallery.shape[1] != queries.shape[1] or not len(gallery):
        raise InputError(
            f"retrieval needs features (N, D) and (n, D) of equal D; they are {gallery.shape} and {queries.shape}."
        )
    if len(y_gallery) != len(gallery) or len(y_queries) != len(queries):
        raise InputError(
            f"every clip needs its class: {len(gallery)} clips have {len(y_gallery)}, {len(queries)} queries have "
            f"{len(y_queries)}."
        )
    check_finite(gallery, "features of the gallery")
    check_finite(queries, "features of the queries")


def _unit(x: NDArray[Any]) -> Tensor:
    return torch.from_numpy(unit_rows(np.asarray(x, dtype=np.float64)).astype(np.float32))


class Episodes(NamedTuple):
    """Few-shot accuracy over episodes."""

    accuracy: NDArray[np.float64]  # (E,) 0..1
    ways: int
    shots: int
    queries: int  # of each class and episode

    @property
    def mean(self) -> float:
        """Mean over episodes, 0..1."""
        return float(self.accuracy.mean())

    @property
    def half_width(self) -> float:
        """Half of the 95 % interval that few-shot papers print: over episodes, which share their clips."""
        return float(1.96 * self.accuracy.std(ddof=1) / np.sqrt(len(self.accuracy)))


def few_shot(
    gallery: NDArray[Any],
    y_gallery: Ids,
    queries: NDArray[Any],
    y_queries: Ids,
    shots: int = 1,
    ways: int = 5,
    episodes: int = 1000,
    asked: int = 15,
    seed: int = 0,
) -> Episodes:
    """Nearest class mean from few examples: `ways` classes, `shots` clips of each from the gallery, `asked` queries.

    An episode draws its classes, and of each class its clips, without replacement; the class whose mean of unit
    features is nearest by cosine wins. With one shot that is 1-NN.

    Args:
        gallery: (N, D) features that examples are drawn from.
        y_gallery: (N,) classes.
        queries: (n, D) features of other clips.
        y_queries: (n,) classes.
        shots: examples of a class.
        ways: classes of an episode; fewer where fewer have enough clips.
        episodes: E.
        asked: queries of each class; fewer where the smallest class has fewer.
        seed: of the draws.

    Raises:
        InputError: as `retrieve`; or less than two classes have `shots` examples and a query.

    Source: prototypical networks (Snell et al., NeurIPS 2017) on frozen features.
    """
    _check_pairs(gallery, y_gallery, queries, y_queries)
    if min(shots, ways - 1, episodes, asked) < 1:
        raise InputError(
            "few-shot needs shots, episodes and queries of at least 1 and 2 ways; they are "
            f"{shots}, {episodes}, {asked} and {ways}."
        )
    size = int(max(np.max(y_gallery, initial=0), np.max(y_queries, initial=0))) + 1
    here, there = np.bincount(y_gallery, minlength=size), np.bincount(y_queries, minlength=size)
    classes = np.flatnonzero((here >= shots) & (there > 0))
    if len(classes) < 2:
        raise InputError(
            f"few-shot with {shots} examples needs two classes with as many training clips and a test clip; "
            f"there {'is' if len(classes) == 1 else 'are'} {len(classes)}."
        )
    ways, asked = min(ways, len(classes)), min(asked, int(there[classes].min()))
    keys, questions = _unit(gallery), _unit(queries)
    rng = np.random.default_rng(seed)
    step = max(1, _KEYS // (ways * int(max(here.max(), there.max()))))
    shares = []
    for start in range(0, episodes, step):
        count = min(step, episodes - start)
        chosen = classes[rng.random((count, len(classes))).argsort(axis=1)[:, :ways]]  # (E, W)
        means = keys[torch.from_numpy(_draw(y_gallery, here, chosen, shots, rng))].mean(dim=2)  # (E, W, D)
        means = torch.nn.functional.normalize(means, dim=2)
        tested = questions[torch.from_numpy(_draw(y_queries, there, chosen, asked, rng))]  # (E, W, Q, D)
        winner = torch.einsum("ewqd,ecd->ewqc", tested, means).argmax(dim=3)
        right = winner == torch.arange(ways)[None, :, None]
        shares.append(right.double().mean(dim=(1, 2)))
    return Episodes(torch.cat(shares).numpy(), ways, shots, asked)


def _draw(y: Ids, counts: Ids, chosen: Ids, size: int, rng: np.random.Generator) -> Ids:
    """(E, W, size) indices of different clips of each chosen class (E, W)."""
    order, starts = np.argsort(y, kind="stable"), np.cumsum(counts) - counts
    have = counts[chosen]
    keys = rng.random((*chosen.shape, int(have.max())))
    keys[np.arange(keys.shape[-1]) >= have[..., None]] = 2  # beyond the clips of the class: never among the first
    ranks = keys.argpartition(size - 1, axis=-1)[..., :size]
    return np.asarray(order[starts[chosen][..., None] + ranks], dtype=np.int64)


NOVEL_ACTIONS = tuple(range(1, 121, 6))
"""The 20 actions of NTU RGB+D 120 that its one-shot protocol holds back: A1, A7 … A115."""

_EXEMPLARS = ((1, 55), (18, 115))  # setup of the exemplar, and the last action it shows; camera 3, person 8, first time
_CAMERA, _PERSON, _REPLICATION = 3, 8, 1


@dataclass(frozen=True)
class OneShot:
    """1-NN to one exemplar of each class.

    Args:
        right: (n,) bool, of every query.
        other_view: (n,) bool: the query is the exemplar's own performance, seen by another camera.
        queries: (n,) their indices.
    """

    right: Bools
    other_view: Bools
    queries: Ids

    @property
    def accuracy(self) -> float:
        """Over all queries, 0..1, as the protocol is run."""
        return float(self.right.mean())

    @property
    def without_other_views(self) -> float:
        """Over the queries that are not the exemplar seen from elsewhere; NaN where there is none."""
        some = self.right[~self.other_view]
        return float(some.mean()) if len(some) else float("nan")


def one_shot(x: NDArray[Any], y: Ids, exemplars: Ids, performance: Ids) -> OneShot:
    """Give every clip of the exemplars' classes the class of the nearest exemplar, by cosine.

    Args:
        x: (N, D) features of all clips.
        y: (N,) classes.
        exemplars: (C',) indices, one for each class.
        performance: (N,) a number for each performance: the same for the views of several cameras of it.

    Raises:
        InputError: two exemplars of one class, or no other clip of these classes.
    """
    if len(np.unique(y[exemplars])) != len(exemplars):
        raise InputError("one-shot needs one exemplar for each class; two of them are of one class.")
    asked = np.setdiff1d(np.flatnonzero(np.isin(y, y[exemplars])), exemplars)
    if not len(asked):
        raise InputError("one-shot needs clips besides the exemplars; there is none of their classes.")
    found, _ = nearest(x[exemplars], x[asked], 1)
    right = y[exemplars][found[:, 0]] == y[asked]
    return OneShot(right, np.isin(performance[asked], performance[exemplars]), asked)


def ntu_one_shot(x: NDArray[Any], names: Sequence[str]) -> OneShot:
    """The one-shot protocol of NTU RGB+D 120: 20 novel actions, one named exemplar of each.

    Exemplars are S001C003P008R001 for actions up to A55 and S018C003P008R001 from A61 on. The two other views of an
    exemplar's performance are among the queries; the answer tells them apart.

    Args:
        x: (N, D) features of all clips, of both parts of the set.
        names: N clip names that hold SsssCcccPpppRrrrAaaa.

    Raises:
        InputError: names that do not say it, or an exemplar that is missing.

    Source: Liu et al., TPAMI 2019 (arXiv 1905.04757).
    """
    parsed = [NtuName.from_match(NAME.search(name)) for name in names]
    kept = [index for index, name in enumerate(parsed) if name is not None and name.action in NOVEL_ACTIONS]
    known = {parsed[index]: index for index in kept}
    wanted = [_exemplar(action) for action in NOVEL_ACTIONS]
    missing = [name for name in wanted if name not in known]
    if missing:
        raise InputError(
            f"the one-shot protocol of NTU RGB+D 120 needs its 20 exemplars by name; {len(missing)} are not in this "
            f"set, the first is {_text(missing[0])}."
        )
    table = np.array([(n.setup, n.performer, n.replication, n.action) for n in (parsed[i] for i in kept) if n])
    performance = np.unique(table, axis=0, return_inverse=True)[1].reshape(-1)
    at = {index: place for place, index in enumerate(kept)}
    exemplars = np.array([at[known[name]] for name in wanted])
    found = one_shot(x[kept], table[:, 3], exemplars, performance)
    return OneShot(found.right, found.other_view, np.asarray(kept)[found.queries])


def _exemplar(action: int) -> NtuName:
    setup = next(setup for setup, last in _EXEMPLARS if action <= last)
    return NtuName(setup, _CAMERA, _PERSON, _REPLICATION, action)


def _text(name: NtuName) -> str:
    return f"S{name.setup:03d}C{name.camera:03d}P{name.performer:03d}R{name.replication:03d}A{name.action:03d}"
