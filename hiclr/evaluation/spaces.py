"""Every feature space of a run beside its floors: the numbers of `geometry` on the same clips, with their spread."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from torch import Tensor, nn

from hiclr.datasets import SkeletonSet
from hiclr.datasets.preprocessing import centre
from hiclr.errors import InputError
from hiclr.evaluation.floors import raw_coordinates
from hiclr.evaluation.geometry import alignment, geometry, over_runs
from hiclr.evaluation.supervised import FinetuneConfig
from hiclr.evaluation.taught import teach
from hiclr.features import CLEAN, check_clips, extract, features, load_model, random_encoder, view_names
from hiclr.pretraining import PretrainConfig
from hiclr.runs import Exported, Run
from hiclr.runs.differences import CHANGE_NO_WEIGHT, differences

__all__ = [
    "KEY",
    "NUMBERS",
    "RAW",
    "SEED_APART",
    "SUPERVISED",
    "UNTRAINED",
    "SpaceRow",
    "branch_features",
    "measure_spaces",
]

RAW, UNTRAINED, SUPERVISED = "raw joints", "untrained encoder", "supervised encoder"
KEY = "key"
"""The slowly following encoder on clean clips, of methods that have one."""

NUMBERS = ("purity", "NMI", "ARI", "alignment", "uniformity", "effective rank")
"""What a row has, in this order, after the silhouettes; purity, NMI and ARI only of classes that group the clips."""

SEEDS_UNTRAINED = 3
SEED_APART = ("seed", *CHANGE_NO_WEIGHT)
"""The settings that runs of several seeds may differ in: the seed, and what changes no weight."""

_log = logging.getLogger(__name__)


class _Space(NamedTuple):
    """Features of clips, and a pair of views whose distance is the alignment."""

    x: NDArray[Any]
    clean: NDArray[Any]
    view: NDArray[Any]


@dataclass(frozen=True)
class SpaceRow:
    """The numbers of one space.

    Args:
        name: `RAW`, `UNTRAINED`, `SUPERVISED`, the name of a view, or `KEY`.
        values: by name of the number: mean, and standard deviation over seeds (None of one).
        seeds: of the encoders that were measured; none where no seed enters.
        note: what a reader must know.
    """

    name: str
    values: Mapping[str, tuple[float, float | None]]
    seeds: tuple[int, ...]
    note: str = ""


def branch_features(run: Run, clips: SkeletonSet, device: str = "auto") -> dict[str, NDArray[np.float32]]:
    """Features (N, D) by the run's encoder: "clean", each of its views, and `KEY` where the method has that encoder.

    Raises:
        InputError: as `features`.
    """
    found = dict(features(run, clips, device=device).arrays)
    key = _key_encoder(run)
    return found if key is None else {**found, KEY: features(run, clips, [CLEAN], key, device)[CLEAN]}


def _key_encoder(run: Run) -> nn.Module | None:
    return None if isinstance(run, Exported) else getattr(load_model(run), "key_encoder", None)


def measure_spaces(
    runs: Sequence[Run],
    clips: SkeletonSet,
    train: SkeletonSet | None = None,
    recipe: FinetuneConfig | None = None,
    seeds: Sequence[int] = (0,),
    device: str = "auto",
    say: Callable[[str], None] = _log.info,
) -> list[SpaceRow]:
    """The numbers of `geometry` of the floors and of every branch, all on the same clips.

    The alignment of a view is that to its clean clip; of clean clips, that of the weakest view of the same encoder.
    The raw joints are those of `raw_coordinates`; their alignment is between the joints that the encoder is given and
    the weakest view of them.

    Args:
        runs: of one setting with several seeds, or one run. The floors are those of the first.
        clips: what is measured; take a sample of more than a few thousand (see `stratified_sample`): k-means and the
            silhouettes are the longest, most of all of the raw joints.
        train: clips with labels for the supervised encoder; there is none when left out.
        recipe: its settings; wanted with `train`.
        seeds: of its trainings.
        device: where to encode and to train.
        say: is told how long the training with labels takes before it starts.

    Returns:
        A row for each space, floors first. `UNTRAINED` is that of 3 seeds, the first that of the first run.

    Raises:
        InputError: no run, runs that differ in more than their seed, one seed twice, or other joints than theirs.
    """
    if not runs:
        raise InputError("There is no run to measure.")
    _check_seeds(runs)
    first, config = runs[0], PretrainConfig.from_dict(runs[0].config)
    check_clips(first, clips)
    view = view_names(config, clips.layout)[0]

    def encoded(encoder: nn.Module) -> dict[str, float]:
        return _numbers(_clean(first, clips, view, encoder, device), clips)

    rows = [SpaceRow(RAW, over_runs([_numbers(_raw(clips, config), clips)]), ())]
    starts = tuple(range(config.seed, config.seed + SEEDS_UNTRAINED))
    untrained = [encoded(random_encoder(replace(config, seed=seed), clips.layout)) for seed in starts]
    rows.append(SpaceRow(UNTRAINED, over_runs(untrained), starts, "random weights"))
    if train is not None and recipe is not None:
        learned = teach(first, train, clips, recipe, seeds, device, say)
        note = _what_it_saw(train, clips)
        rows.append(SpaceRow(SUPERVISED, over_runs([encoded(one.encoder) for one in learned]), tuple(seeds), note))
    branches = [
        {name: _numbers(space, clips) for name, space in _branches(run, clips, view, device).items()} for run in runs
    ]
    trained = tuple(int(run.config.get("seed", 0)) for run in runs)
    return rows + [SpaceRow(name, over_runs([each[name] for each in branches]), trained) for name in branches[0]]


def _check_seeds(runs: Sequence[Run]) -> None:
    """Refuse runs that are not one setting with several seeds."""
    for run in runs[1:]:
        other = differences(runs[0].config, run.config, SEED_APART)
        if runs[0].data.get("fingerprint") != run.data.get("fingerprint"):
            other.append("other training clips")
        if other:
            raise InputError(
                f"A mean over seeds is taken over runs that differ in nothing else; {run.path.name} differs from "
                f"{runs[0].path.name} in {'; '.join(other)}. Leave it out, and compare the two side by side."
            )
    seeds = [run.config.get("seed", 0) for run in runs]
    if len(set(seeds)) < len(seeds):
        raise InputError(f"A mean over seeds needs a seed once each; the runs have {', '.join(map(str, seeds))}.")


def _what_it_saw(train: SkeletonSet, clips: SkeletonSet) -> str:
    shared = len(set(train.names) & set(clips.names))
    own = f", {shared:,} of them those of this table" if shared else ""
    return f"saw the labels of {len(train):,} clips of train{own}"


def _numbers(space: _Space, clips: SkeletonSet) -> dict[str, float]:
    row = geometry(space.x, clips.y, clips.ids) | {"alignment": alignment(space.clean, space.view)}
    silhouettes = [name for name in row if name not in NUMBERS]
    return {name: row[name] for name in (*silhouettes, *NUMBERS) if name in row}


def _clean(run: Run, clips: SkeletonSet, view: str, encoder: nn.Module, device: str) -> _Space:
    found = features(run, clips, [CLEAN, view], encoder, device)
    return _Space(found[CLEAN], found[CLEAN], found[view])


def _branches(run: Run, clips: SkeletonSet, view: str, device: str) -> dict[str, _Space]:
    found = features(run, clips, device=device).arrays
    clean = found[CLEAN]
    spaces = {name: _Space(x, clean, x) for name, x in found.items()} | {CLEAN: _Space(clean, clean, found[view])}
    key = _key_encoder(run)
    return spaces if key is None else {**spaces, KEY: _clean(run, clips, view, key, device)}


def _raw(clips: SkeletonSet, config: PretrainConfig) -> _Space:
    joints = replace(config, stream="joint")
    clean, view = (extract(_Joints(clips.layout.root), clips, joints, which, config.seed) for which in (None, 0))
    return _Space(raw_coordinates(clips, np.arange(len(clips))).numpy(), clean, view)


class _Joints(nn.Module):
    """No encoder: joints seen from the root joint, as a vector."""

    def __init__(self, root: int) -> None:
        super().__init__()
        self.root = root

    def forward(self, x: Tensor, inside: Mapping[str, Tensor] | None = None) -> Tensor:
        """(N, 3, T, V, M) -> (N, 3*T*V*M); what happens inside an encoder does not concern joints."""
        del inside
        return centre(x, self.root, per="frame").flatten(1)
