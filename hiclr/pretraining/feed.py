"""Batches of preprocessed clips on the device, and the split by which a run is watched."""

import numpy as np
import torch
from torch import Tensor

from hiclr.datasets.base import Ids, SkeletonSet
from hiclr.datasets.preprocessing import Preprocess
from hiclr.errors import InputError
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.schedule import derive

__all__ = ["Feed", "some_subjects", "stratified", "watch_split"]

_RESIDENT_BYTES = 10**9  # on a CPU, whose memory others want too
_RESIDENT_SHARE = 0.25  # of a GPU's free memory: NTU RGB+D 120 at 50 frames takes 3.4 GB
_CHUNK = 256
_MONITOR_CLIPS = 2000
_MONITOR_SHARE = 0.2


class Feed:
    """Clips of a set, preprocessed, on a device.

    A set that takes less than 1 GB, or a quarter of a GPU's free memory, is preprocessed once and stays on the device;
    of a larger one each batch is read from its memory map. Either way the same numbers come out.

    Args:
        clips: the set.
        preprocess: what is done to each clip.
        device: where batches are wanted.
        resident: keep everything on the device; decided by size when left out.
    """

    def __init__(
        self, clips: SkeletonSet, preprocess: Preprocess, device: torch.device, resident: bool | None = None
    ) -> None:
        self.clips, self.preprocess, self.device = clips, preprocess, device
        count, coordinates, frames, joints, persons = clips.x.shape
        size = 4 * count * coordinates * (preprocess.frames or frames) * joints * persons
        self._kept: Tensor | None = None
        if size < _room(device) if resident is None else resident:
            first, *others = torch.split(torch.arange(count), _CHUNK)
            read = self._read(first)
            self._kept = read.new_empty((count, *read.shape[1:]))  # not in pieces that are put together: twice as much
            self._kept[first] = read
            for chunk in others:
                self._kept[chunk] = self._read(chunk)

    def batch(self, indices: Tensor) -> Tensor:
        """(n,) int64 on the CPU -> (n, 3, T, V, M) on the device.

        Raises:
            InputError: a clip holds NaN or infinity; it is named.
        """
        return self._read(indices) if self._kept is None else self._kept[indices.to(self.device)]

    def _read(self, indices: Tensor) -> Tensor:
        x = self.clips.clips(indices.numpy())
        finite = torch.isfinite(x).flatten(1).all(dim=1)
        if not bool(finite.all()):
            names = [self.clips.names[int(i)] for i in indices[~finite]]
            raise InputError(
                f"Positions that are NaN or infinite in {name_some(names)}. Repair or leave out "
                f"{'this clip' if len(names) == 1 else 'these clips'}; `hiclr doctor` names the frames."
            )
        return self.preprocess.apply(x.to(self.device), self.clips.layout)


def _room(device: torch.device) -> float:
    """Bytes that clips may take on a device for as long as training lasts."""
    if device.type != "cuda":
        return _RESIDENT_BYTES
    return max(_RESIDENT_BYTES, _RESIDENT_SHARE * torch.cuda.mem_get_info(device)[0])


def name_some(names: list[str]) -> str:
    """The first five names, and how many more there are."""
    more = f" and {len(names) - 5} more" if len(names) > 5 else ""
    return ", ".join(names[:5]) + more


def watch_split(train: SkeletonSet, config: PretrainConfig) -> tuple[Ids, Ids, Ids]:
    """(trained on, gallery, queries): indices for training, and for the nearest-neighbour accuracy on the way.

    Queries are clips of whole subjects where subjects are known, else a stratified draw; the gallery is of the
    others; at most 2,000 of each. With `holdout` the subjects of the queries are not trained on; without, the figure
    watches a run on clips it trains on, and is no estimate of accuracy on new ones.
    """
    generator = derive(config.seed, "monitor")
    share, subject = config.holdout or _MONITOR_SHARE, train.ids.get("subject")
    if subject is not None and len(np.unique(subject)) > 1:
        out = np.isin(subject, some_subjects(subject, share, generator))
    else:
        out = stratified(train.y, share, generator)
    inside, outside = np.flatnonzero(~out), np.flatnonzero(out)
    trained = inside if config.holdout else np.arange(len(train))
    return trained, _some(inside, generator), _some(outside, generator)


def _some(indices: Ids, generator: torch.Generator) -> Ids:
    order = torch.randperm(len(indices), generator=generator).numpy()[:_MONITOR_CLIPS]
    return np.sort(indices[order])


def some_subjects(subject: Ids, share: float, generator: torch.Generator) -> Ids:
    """Subjects in random order until they hold at least this share of the clips; never all of them."""
    known, counts = np.unique(subject, return_counts=True)
    order = torch.randperm(len(known), generator=generator).numpy()
    reached = np.cumsum(counts[order]) >= share * len(subject)
    chosen: Ids = known[order[: min(int(reached.argmax()) + 1, len(known) - 1)]]
    return chosen


def stratified(y: Ids, share: float, generator: torch.Generator) -> np.ndarray:
    """(N,) bool: this share of each class, rounded down."""
    out = np.zeros(len(y), dtype=bool)
    for label in np.unique(y):
        members = np.flatnonzero(y == label)
        order = torch.randperm(len(members), generator=generator).numpy()
        out[members[order[: int(share * len(members))]]] = True
    return out
