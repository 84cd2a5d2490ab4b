"""Maps and numbers of a few clips through training, from the snapshots of a run."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation.clusters import Embedding, neighbour_purity, silhouette
from hiclr.evaluation.geometry import alignment, effective_rank, uniformity
from hiclr.evaluation.maps import tsne_maps
from hiclr.features import CLEAN
from hiclr.runs import Snapshot

__all__ = ["MAPPED_EPOCHS", "THROUGH", "Through", "through_training"]

_say = logging.getLogger(__name__)

MAPPED_EPOCHS = 12
"""Epochs that are mapped, at most: the first, the last, and some evenly between."""

THROUGH = ("silhouette by class", "purity", "alignment", "uniformity", "effective rank")
"""The numbers of an epoch, as in `geometry`; alignment is that of a branch to the clean clips."""


@dataclass(frozen=True)
class Through:
    """What became of N clips in E epochs.

    Args:
        epochs: that have a map, ascending.
        measured: that have numbers, ascending: all that have a snapshot.
        clips: the N clips.
        features: epoch -> branch -> (N, D), of the epochs that have a map.
        maps: branch -> epoch -> its map; all maps of a branch lie in one frame.
        numbers: branch -> name of `THROUGH` -> (measured,) values.
    """

    epochs: tuple[int, ...]
    measured: tuple[int, ...]
    clips: SkeletonSet
    features: dict[int, dict[str, NDArray[np.float32]]]
    maps: dict[str, dict[int, Embedding]]
    numbers: dict[str, dict[str, NDArray[np.float64]]]


def through_training(
    snapshots: Sequence[Snapshot],
    clips: SkeletonSet,
    branches: Sequence[str] | None = None,
    seed: int = 0,
    keep: Path | None = None,
) -> Through:
    """Maps and numbers of every branch through training.

    The maps of a branch all start from the last epoch's principal components and are turned onto its map, so that a
    clip can be followed; see `tsne_maps`.

    Args:
        snapshots: of a run: `Run.snapshots`.
        clips: a set that holds those clips, known by their names: the training set of the run.
        branches: which to map; "clean" and the strongest view when left out. Numbers are taken of all.
        seed: of the maps.
        keep: a folder in which the maps are kept.

    Raises:
        InputError: no snapshot, clips that are not in the set, or an unknown branch.
    """
    if not snapshots:
        raise InputError(
            "The run keeps no snapshots of its features. Train with snapshots=5 (hiclr pretrain … --snapshots 5): "
            "then every 5 epochs the features of 300 clips are kept."
        )
    last = snapshots[-1]
    alike = [one for one in snapshots if one.names == last.names and set(one.features) == set(last.features)]
    rows = {name: row for row, name in enumerate(clips.names)}
    if len(alike) < len(snapshots):
        _say.warning(
            "%d of %d snapshots hold other clips or branches than the last one, and are left out.",
            len(snapshots) - len(alike),
            len(snapshots),
        )
    missing = [name for name in last.names if name not in rows]
    if missing:
        raise InputError(
            f"{len(missing)} of the {len(last.names)} clips of the snapshots are not in the set, {missing[0]} say. "
            "Give the training set of the run."
        )
    some = clips.subset(np.array([rows[name] for name in last.names]))
    views = [name for name in last.features if name not in (CLEAN, "key")]
    mapped = list(branches) if branches is not None else [CLEAN, *views[-1:]]
    for name in mapped:
        if name not in last.features:
            raise InputError(f"There is no branch {name!r}; there are: {', '.join(last.features)}.")
    shown = [alike[i] for i in np.unique(np.linspace(0, len(alike) - 1, MAPPED_EPOCHS).round().astype(int))]
    return Through(
        tuple(one.epoch for one in shown),
        tuple(one.epoch for one in alike),
        some,
        {one.epoch: dict(one.features) for one in shown},
        {name: _maps(shown, name, seed, keep) for name in mapped},
        {name: _numbers(alike, name, some.y) for name in last.features},
    )


def _maps(shown: Sequence[Snapshot], branch: str, seed: int, keep: Path | None) -> dict[int, Embedding]:
    found = tsne_maps({f"epoch {one.epoch}": one.features[branch] for one in reversed(shown)}, seed, keep=keep)
    return {one.epoch: found[f"epoch {one.epoch}"] for one in shown}


def _numbers(snapshots: Sequence[Snapshot], branch: str, y: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
    measured = [_number(one.features[branch], one.features[CLEAN], y) for one in snapshots]
    return {name: np.array([row[i] for row in measured]) for i, name in enumerate(THROUGH)}


def _number(x: NDArray[np.float32], clean: NDArray[np.float32], y: NDArray[np.int64]) -> tuple[float, ...]:
    """In the order of `THROUGH`; NaN where a number is not defined: a silhouette of one class, purity of clips that are
    each a class of their own."""
    of_class = silhouette(x, y) if 1 < len(np.unique(y)) < len(y) else np.nan
    return of_class, neighbour_purity(x, y), alignment(clean, x), uniformity(x), effective_rank(x)
