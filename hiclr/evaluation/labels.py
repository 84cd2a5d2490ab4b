"""Which training clips keep their label when only a share of them may: the sampling rules of the field, by name."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator

from hiclr.datasets.base import Ids
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.pretraining.schedule import derive

__all__ = ["RULES", "Labelled", "draw_labels"]


def _of_each_class(y: Ids, share: float, random: Generator) -> Ids:
    """round(share * n_c) clips of each class c; Python's `round`, so .5 goes to the even number."""
    members = (np.flatnonzero(y == label) for label in np.unique(y))
    drawn = [random.choice(rows, round(share * len(rows)), replace=False) for rows in members]
    return np.concatenate(drawn) if drawn else np.empty(0, dtype=np.int64)


def _of_the_whole(y: Ids, share: float, random: Generator) -> Ids:
    """int(share * N) clips, whatever their class."""
    return random.permutation(len(y))[: int(share * len(y))]


RULES: dict[str, Callable[[Ids, float, Generator], Ids]] = {
    "aimclr": _of_each_class,
    "cmd": _of_the_whole,
    "mamp": _of_the_whole,
}
"""Name -> (labels (N,), share, random numbers) -> indices. Sources: `Feeder_semi` of Levigty/AimCLR,
`random_select_data` of maoyunyao/CMD and, the same rule, of maoyunyao/MAMP."""


@dataclass(frozen=True)
class Labelled:
    """One draw of labelled clips.

    Args:
        indices: (n,) sorted indices into the labels that were drawn from.
        rule: name of the sampling rule.
        share: of the labels that was asked for, above 0 up to 1.
        of: N, clips drawn from.
        added: classes of which the rule drew nothing; one clip of each was added.
    """

    indices: Ids
    rule: str
    share: float
    of: int
    added: tuple[int, ...]

    @property
    def said(self) -> str:
        """What a reader must know of the draw; empty where the rule needed no help."""
        if not self.added:
            return ""
        return (
            f"{100 * self.share:g} % of {counted(self.of, 'clip')} by the rule of {self.rule} left "
            f"{counted(len(self.added), 'class', 'classes')} without a labelled clip; one clip of each was added, so "
            f"{len(self.indices)} clips are labelled ({100 * len(self.indices) / self.of:.1f} %)."
        )


def draw_labels(y: Ids, share: float, rule: str = "cmd", seed: int = 0) -> Labelled:
    """Draw the clips that keep their label.

    "aimclr": round(share * n_c) clips of each class; "cmd" and "mamp": int(share * N) clips of the whole set, not
    stratified. Whatever the rule, at least one clip of each class that occurs: the published codes leave such classes
    out, and a network then cannot learn them; `Labelled.said` says where that was so.

    Args:
        y: (N,) labels of the training clips.
        share: above 0 up to 1.
        rule: a name out of `RULES`.
        seed: of the draw.

    Raises:
        InputError: no clips, an unknown rule, or a share outside (0, 1].
    """
    if rule not in RULES:
        raise InputError(f"There is no sampling rule {rule!r}; there are: {', '.join(RULES)}.")
    if not 0 < share <= 1:
        raise InputError(f"the share of labelled clips must be above 0 and at most 1 (0.01 for 1 %); it is {share:g}.")
    if not len(y):
        raise InputError("There are no training clips to draw labelled ones from.")
    random = np.random.default_rng(derive(seed, "labels").initial_seed())
    drawn = RULES[rule](y, share, random)
    missing = np.setdiff1d(y, y[drawn])
    more = [random.choice(np.flatnonzero(y == label), 1) for label in missing]
    indices = np.sort(np.concatenate([drawn, *more])).astype(np.int64)
    return Labelled(indices, rule, share, len(y), tuple(missing.tolist()))
