"""What a result has to beat: distances between raw clips, an untrained encoder, chance."""

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from hiclr.datasets import SkeletonSet
from hiclr.datasets.base import Ids
from hiclr.datasets.preprocessing import centre, resample
from hiclr.errors import InputError
from hiclr.evaluation.protocols import KNN
from hiclr.features import features, random_encoder
from hiclr.pretraining import PretrainConfig
from hiclr.runs import Run

__all__ = ["BESIDE", "RAW", "UNTRAINED", "chance", "random_features", "raw_coordinates", "raw_nearest"]

RAW = "raw_1nn"
"""The floor of `raw_nearest`, as results name it."""
UNTRAINED = {"random_linear": ("linear", "top1"), **{f"random_knn_{k}": ("knn", str(k)) for k in KNN}}
"""Floor of the untrained encoder, as results name it -> (protocol, measure) that it is measured by."""
BESIDE = {**UNTRAINED, RAW: ("knn", "1")}
"""Floor -> (protocol, measure) of the pretrained encoder that it stands beside."""

RAW_FRAMES = 64  # longer sets are resampled to this many; at most
_CLIPS = 1024


def raw_coordinates(clips: SkeletonSet, indices: Ids) -> Tensor:
    """Clips as plain vectors: every frame minus the root joint of its main person, the valid frames stretched to T.

    No setting of a run enters, so the number that follows belongs to the file. T is the set's own, 64 at most.

    Args:
        clips: the set.
        indices: which clips.

    Returns:
        (len(indices), 3*T*V*M) float32, metres; absent persons stay zero.

    Raises:
        InputError: positions that are NaN or infinite.
    """
    x = clips.clips(indices)
    finite = torch.isfinite(x).flatten(1).all(dim=1)
    if not bool(finite.all()):
        first = int(indices[int((~finite).nonzero()[0, 0])])
        raise InputError(
            f"{int((~finite).sum())} clips of {clips.source} hold positions that are NaN or infinite, the first is "
            f"{clips.names[first]}. `hiclr doctor` names the frames; repair the clips or leave them out."
        )
    return resample(centre(x, clips.layout.root, per="frame"), min(x.shape[2], RAW_FRAMES)).flatten(1)


def raw_nearest(clips: SkeletonSet, train: Ids, test: Ids) -> Ids:
    """For each test clip the training clip (its index in `clips`) at the smallest Euclidean distance of
    `raw_coordinates`; of equal ones the first.

    Training clips are read in blocks: a mapped set need not fit into memory, its test part must.

    Args:
        clips: the set.
        train: (N,) indices.
        test: (n,) indices.

    Returns:
        (n,) indices.
    """
    queries = torch.cat([raw_coordinates(clips, part) for part in _blocks(test)])
    origin = queries.mean(dim=0)  # distances do not change, and small ones lose fewer digits
    queries = queries - origin
    best = torch.full((len(test),), -torch.inf)
    found = np.zeros(len(test), dtype=np.int64)
    for part in _blocks(train):
        keys = raw_coordinates(clips, part) - origin
        # nearer where -|q - k|^2 / 2 is higher; |q|^2 is the same for every key
        score, at = (queries @ keys.T - keys.square().sum(dim=1) / 2).max(dim=1)
        better = score > best
        best = torch.where(better, score, best)
        found = np.where(better.numpy(), part[at.numpy()], found)
    return found


def _blocks(indices: Ids) -> list[Ids]:
    return [indices[start : start + _CLIPS] for start in range(0, len(indices), _CLIPS)]


def random_features(run: Run, clips: SkeletonSet, device: str = "auto") -> NDArray[np.float32]:
    """Features (N, D) of clean clips by the untrained encoder: the very weights the run started from."""
    encoder = random_encoder(PretrainConfig.from_dict(run.config), clips.layout)
    return features(run, clips, views=("clean",), encoder=encoder, device=device)["clean"]


def chance(y_train: Ids, y_test: Ids, num_classes: int) -> dict[str, float]:
    """What no look at the clips gives, 0..1: "uniform", any class at random; "majority", always the class with most
    training clips (of equal ones the lowest)."""
    most = int(np.bincount(y_train, minlength=num_classes).argmax())
    return {"uniform": 1 / num_classes, "majority": float((y_test == most).mean())}
