"""What is predicted for the clips of a map, and how sure that is: from the last evaluation, or from neighbours."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.datasets.sampling import stratified_sample
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.evaluation.keeping import earlier, measured_on, results_path
from hiclr.evaluation.knn import knn_votes
from hiclr.features import CLEAN, features
from hiclr.runs import Run

__all__ = ["Guesses", "guess"]

MEASURE = "linear/top1"
NEIGHBOURS = 20
KNOWN = 10_000
"""Training clips among which neighbours are looked for, at most: the same share of each class."""


class Guesses(NamedTuple):
    """Predictions for N clips.

    Args:
        classes: (N,) predicted.
        confidence: (N,) 0..1; None where an older evaluation did not keep it.
        said: where they are from, as a sentence.
    """

    classes: Ids
    confidence: NDArray[Any] | None
    said: str


def guess(run: Run, clips: SkeletonSet, some: SkeletonSet, device: str = "auto") -> Guesses:
    """Classes of clips as the run's encoder tells them, for a map's colours; not a result.

    Those of the linear probe where the run folder has them, of this encoder and of all these clips. Else those of the
    20 nearest training clips: the class that most of them have, with its share of the votes as the confidence. A clip
    that is itself a training clip has no vote on itself.

    Args:
        run: the run.
        clips: the whole set; its train part is what neighbours are looked for in, all clips where there is none.
        some: clips of the set.
        device: where to encode what is not in the run's cache.

    Raises:
        InputError: nothing trained yet, or fewer than 2 clips.
    """
    return _kept(run, clips, some) or _from_neighbours(run, clips, some, device)


def _kept(run: Run, clips: SkeletonSet, some: SkeletonSet) -> Guesses | None:
    """What `evaluate` kept, where it is of the newest checkpoint and of all these clips."""
    try:
        known, kept = earlier(results_path(run, clips), measured_on(run, clips))
    except InputError:  # no test part
        return None
    place = {} if kept is None else {name: i for i, name in enumerate(kept.names)}
    if kept is None or MEASURE not in kept.classes or not set(some.names) <= set(place):
        return None
    rows = np.array([place[name] for name in some.names])
    sure = kept.confidence.get(MEASURE)
    said = f"predicted by the linear probe of the last evaluation (epoch {known['epoch']})"
    return Guesses(kept.classes[MEASURE][rows], None if sure is None else sure[rows], said)


def _from_neighbours(run: Run, clips: SkeletonSet, some: SkeletonSet, device: str) -> Guesses:
    train = clips.subset(clips.split_indices()[0]) if clips.protocols else clips
    known = train.subset(stratified_sample(train.y, KNOWN))
    place = {name: i for i, name in enumerate(known.names)}
    own = np.array([place.get(name, -1) for name in some.names], dtype=np.int64)
    bank, x = (features(run, part, [CLEAN], device=device)[CLEAN] for part in (known, some))
    classes, confidence = knn_votes(bank, known.y, x, NEIGHBOURS, clips.num_classes, own)
    k = min(NEIGHBOURS, len(known) - int((own >= 0).any()))
    said = f"predicted by the {k} nearest of {counted(len(known), 'training clip')}"
    return Guesses(classes, confidence, said + (", a clip itself left out" if (own >= 0).any() else ""))
