"""Two encoders on the same clips: linked maps, and a list of the clips that got other neighbours."""

from pathlib import Path
from typing import Any

import numpy as np

from hiclr.datasets import SkeletonSet
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.evaluation import tsne_maps
from hiclr.evaluation.clusters import nearest_others
from hiclr.evaluation.geometry import kept_share, match_clips
from hiclr.features import CLEAN, Features, features, random_encoder
from hiclr.figures import embeddings
from hiclr.figures.embeddings import Changed
from hiclr.figures.style import Figure
from hiclr.pretraining import PretrainConfig, preprocess_of
from hiclr.runs import Run
from hiclr.widgets.explorer import NEIGHBOURS, Explorer, groups_of

__all__ = ["Comparison"]

LISTED = 12
_WIDER = 4  # times as many neighbours: of clips that changed as much, those whose wider surroundings changed come first
_CHANGED = "neighbours changed"


class Comparison(Explorer):
    """Maps of two encoders side by side, clips matched by name, with a list of those whose neighbours changed most.

    A click on a line of the list plays that clip and rings, in each map, the nearest clips in that encoder's own
    features. Points can be coloured by the share of their neighbours that changed.

    Args:
        first: features of clips.
        second: features by another encoder; other clips, or another order, do no harm.
        clips: what is played; clips that are not in both sets of features are left out, and counted in `said`.
        titles: what the two are called.
        view: of the features.
        seed: of the maps.
        keep: a folder in which the maps are kept; see `tsne_maps`.
        note: of a sample, what it is of, for the title; see `sample_note`.
        more: what the explorer takes besides.

    Raises:
        InputError: fewer than 3 clips have features in both, or the features are not finite.
    """

    def __init__(
        self,
        first: Features,
        second: Features,
        clips: SkeletonSet,
        titles: tuple[str, str] = ("first", "second"),
        *,
        view: str = CLEAN,
        seed: int = 0,
        keep: Path | None = None,
        note: str = "",
        **more: Any,
    ) -> None:
        both = match_clips(first.names, second.names)
        played = match_clips(both.names, clips.names)
        self.said = both.said
        if len(played.names) < len(both.names):
            self.said += f"; {len(both.names) - len(played.names):,} of them are not among the clips that are played"
        if len(played.names) < 3:
            raise InputError(f"Two encoders are compared on 3 clips or more that both know: {self.said}.")
        if titles[0] == titles[1]:
            titles = (titles[0], f"{titles[1]} (2)")
        rows = both.first[played.first], both.second[played.first]
        spaces = {title: part[view][at] for title, part, at in zip(titles, (first, second), rows, strict=True)}
        some = clips.subset(played.second)
        k = min(NEIGHBOURS, len(some) - 1)
        near = {title: nearest_others(x, k) for title, x in spaces.items()}
        changed = 1 - kept_share(*near.values())
        wider = kept_share(*(nearest_others(x, min(_WIDER * k, len(some) - 1)) for x in spaces.values()))
        groups = {**groups_of(some), _CHANGED: changed.astype(np.float32)}
        title = f"{titles[0]} and {titles[1]}{note and f', {note}'}"
        more = {"title": title, "groups": groups, "moves": titles, **more}
        super().__init__(tsne_maps(spaces, seed, keep=keep), clips=some, features=spaces, **more)
        self.said += f"; from {titles[0]} to {titles[1]} {changed.mean():.0%} of a clip's {k} nearest clips change"
        self.changed = [
            Changed(int(i), some.names[i], _note(i, some.y, near, changed[i]), {n: ids[i] for n, ids in near.items()})
            for i in np.lexsort((wider, -changed))[:LISTED]
            if changed[i] > 0
        ]
        self.feature(f"other neighbours in {titles[1]}", [(one.clip, f"· {one.note}") for one in self.changed])
        if self.changed:
            self.pick(self.changed[0].clip)

    @classmethod
    def of_runs(
        cls, first: Run, second: Run | None, clips: SkeletonSet, device: str = "auto", **more: Any
    ) -> "Comparison":
        """Two runs on clean clips; without a second one, the first before its training.

        Args:
            first: a run.
            second: another run of the same joints; whatever else it differs in. None: the weights that the first
                started from.
            clips: a set of the runs' layout.
            device: where to encode what is not in the runs' caches.
            more: as for `Comparison`.

        Raises:
            InputError: as `features`.
        """
        config = PretrainConfig.from_dict(first.config)
        names = [run.path.resolve().name for run in (first, second) if run is not None]
        if second is None:
            encoder = random_encoder(config, clips.layout)
            pair = features(first, clips, [CLEAN], encoder, device), features(first, clips, [CLEAN], device=device)
            names = [f"{names[0]}, untrained", names[0]]
        else:
            pair = features(first, clips, [CLEAN], device=device), features(second, clips, [CLEAN], device=device)
        more = {"keep": first.path / "features", "preprocess": preprocess_of(config), **more}
        return cls(*pair, clips, (names[0], names[1]), **more)

    def _rings(self, index: int) -> dict[str, Any]:
        return {"each": [[near for near, _ in self.neighbours(index, panel)] for panel in range(len(self._maps))]}

    def describe(self) -> str:
        return f"Comparison of {' and '.join(self._maps)}: {counted(len(self._labels), 'clip')}"

    def picture(self) -> Figure:
        """The maps, with the clips that changed most numbered and tied to their neighbours."""
        return embeddings.changed_panels(
            self._maps, self._labels, self._classes, self.changed, self._title, synthetic=self._synthetic
        )


def _note(i: int, y: Any, near: dict[str, Any], changed: float) -> str:
    """ "7 of 8 are others; of its class 2 → 7"."""
    before, after = (int((y[ids[i]] == y[i]).sum()) for ids in near.values())
    k = len(next(iter(near.values()))[i])
    return f"{round(changed * k)} of {k} are others; of its class {before} → {after}"
