"""A part of the train part on which a choice is made: a learning rate, a temperature. Never on test clips."""

from typing import NamedTuple

import numpy as np

from hiclr.datasets.base import Ids
from hiclr.errors import InputError
from hiclr.pretraining.feed import some_subjects, stratified
from hiclr.pretraining.schedule import derive

__all__ = ["Holdout", "hold_out"]

SHARE = 0.2
_TRIES = 10


class Holdout(NamedTuple):
    """Indices into the train part, disjoint and together all of it."""

    fit: Ids  # (N - h,) what is fitted on
    held: Ids  # (h,) what is chosen on
    how: str  # "by subject" or "by class"


def hold_out(y: Ids, subjects: Ids | None = None, share: float = SHARE, seed: int = 0) -> Holdout:
    """Hold out whole subjects with at least `share` of the clips; without subjects, this share of each class.

    Every class that is held out is also fitted on: where ten draws of subjects leave no such part, classes are drawn.

    Args:
        y: (N,) classes of the train part.
        subjects: (N,) who acts, where that is known.
        share: of the clips, above 0 and below 1.
        seed: of the draw.

    Raises:
        InputError: a share outside (0, 1), or no class has enough clips to hold one out.
    """
    if not 0 < share < 1:
        raise InputError(f"the share to hold out must lie between 0 and 1; it is {share:g}.")
    for number in range(_TRIES if subjects is not None and len(np.unique(subjects)) > 1 else 0):
        assert subjects is not None  # noqa: S101  # said above; for the type checker
        out = np.isin(subjects, some_subjects(subjects, share, derive(seed, "holdout", number)))
        if np.isin(y[out], y[~out]).all():
            return Holdout(np.flatnonzero(~out), np.flatnonzero(out), "by subject")
    out = stratified(y, share, derive(seed, "holdout"))
    if not out.any():
        raise InputError(
            f"no class of the {len(y)} training clips has the {int(np.ceil(1 / share))} clips that are needed to hold "
            f"out {share:.0%} of each; there is nothing to choose on."
        )
    return Holdout(np.flatnonzero(~out), np.flatnonzero(out), "by class")
