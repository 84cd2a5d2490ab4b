"""What views of a clip are to a run's encoder: how like the clean clip, how far the loss's distribution drifts, and
which class is nearest. Measured on the frozen networks of a run."""

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Generator, Tensor
from torch.nn.functional import normalize

from hiclr.augmentations import GrowingViews, Op, Params
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.streams import to_stream
from hiclr.encoders import Inside, join_inside
from hiclr.errors import InputError
from hiclr.features import CLEAN, check_clips, features, load_model
from hiclr.losses import similarity_logits
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.methods import MomentumMethod
from hiclr.pretraining.model import preprocess_of
from hiclr.runs import Run, load_run

__all__ = ["Branches", "Seen", "drift", "named_ops", "opened", "summary", "sweep"]

GALLERY = 2000
"""Clips among which neighbours are looked for, at most; of a larger set as many of each class as there is room."""

_AT_ONCE = 64  # clips encoded in one go


class Seen(NamedTuple):
    """What the encoder makes of one view.

    Args:
        cosine: between the features of the view and of the clean clip, -1 to 1.
        drift: nats, see `drift`; 0 for the clean clip.
        nearest: the place in the set of the clip with the nearest features, the clip itself left out.
        label: that clip's class.
    """

    cosine: float
    drift: float
    nearest: int
    label: int


def drift(logits: Tensor, clean: Tensor) -> Tensor:
    """KL(p || p_i) between the similarity distributions of the clean clip and of a view.

    Args:
        logits: (N, 1+K) of the views, cosine / temperature.
        clean: (N, 1+K) or (1, 1+K) of the clean clip.

    Returns:
        (N,) nats, at least 0.
    """
    p = clean.log_softmax(dim=1)
    return (p.exp() * (p - logits.log_softmax(dim=1))).sum(dim=1).clamp(min=0)


class Branches:
    """The frozen networks of a run, and clean clips among which neighbours are found.

    Args:
        run: a run with a checkpoint, or its folder.
        clips: a set of the run's layout; up to `GALLERY` of them are encoded, once.

    Raises:
        InputError: no checkpoint, or clips of another layout.
    """

    def __init__(self, run: Run | Path | str, clips: SkeletonSet) -> None:
        self.run = run if isinstance(run, Run) else load_run(run)
        check_clips(self.run, clips)
        self.config = PretrainConfig.from_dict(self.run.config)
        self.preprocess = preprocess_of(self.config)
        self.layout, self.model = clips.layout, load_model(self.run)
        rows = self.run.metrics()
        self.epochs = rows[-1]["epoch"] if rows else 0  # that were trained, now
        self.gallery = _even(clips.y, GALLERY)
        self.labels = clips.y[self.gallery]
        some = clips if len(self.gallery) == len(clips) else clips.subset(self.gallery)
        found = features(self.run, some, [CLEAN], encoder=self.model.encoder)[CLEAN]
        self.model.to("cpu")  # the features may have been made on a GPU
        self.known = normalize(torch.from_numpy(found), dim=1)

    def stream(self, x: Tensor) -> Tensor:
        """The stream that the run was trained on, of positions (N, 3, T, V, M)."""
        return to_stream(x, self.config.stream, self.layout)

    @torch.no_grad()
    def encode(self, values: Tensor, inside: Inside | None = None) -> Tensor:
        """(N, 3, T, V, M) of the stream, and what happens inside the networks -> (N, D) features of unit norm."""
        parts = []
        for start in range(0, len(values), _AT_ONCE):
            rows = slice(start, start + _AT_ONCE)
            own = {name: value[rows] for name, value in (inside or {}).items()}
            parts.append(self.model.embed_view(self.model.encoder, values[rows], own).float())
        return normalize(torch.cat(parts), dim=1)

    @torch.no_grad()
    def see(self, clean: Tensor, views: Tensor, index: int, inside: Sequence[Inside] = ()) -> list[Seen]:
        """What the encoder makes of a clip's views.

        Args:
            clean: (3, T, V, M) of the run's stream, the clip as it is.
            views: (k, 3, T, V, M) of the run's stream.
            index: the clip's place in the set: it is no neighbour of its own.
            inside: what happens inside the networks in each view, each for a batch of one.
        """
        every = torch.cat([clean[None], views])
        raw = self.model.embed_view(self.model.encoder, every, join_inside([{}, *inside])).float()
        z, found = normalize(self.model.head(raw).float(), dim=1), normalize(raw, dim=1)
        nearest = self._nearest(found[1:], index)
        return [
            Seen(float(cosine), float(kl), int(self.gallery[place]), int(self.labels[place]))
            for cosine, kl, place in zip(found[1:] @ found[0], self._drift(clean, z), nearest, strict=True)
        ]

    def _drift(self, clean: Tensor, z: Tensor) -> Tensor:
        """How far the similarities of each view, rows 1.. of z, have moved from the clean clip's, row 0."""
        if not isinstance(self.model, MomentumMethod):  # nothing to be similar to
            return z.new_full((len(z) - 1,), torch.nan)
        key = self.model.project_key(clean[None]).expand(len(z), -1)
        logits = similarity_logits(z, key, self.model.queue.stored()[0], self.config.temperature)
        return drift(logits[1:], logits[:1])

    def _nearest(self, found: Tensor, index: int) -> NDArray[np.int64]:
        scores = found @ self.known.T
        scores[:, torch.from_numpy(self.gallery == index)] = -torch.inf
        return scores.argmax(dim=1).numpy()


def _even(y: NDArray[np.int64], most: int) -> NDArray[np.int64]:
    """Up to `most` indices in order, evenly over the clips sorted by class."""
    order = np.argsort(y, kind="stable")
    return np.sort(order[np.unique(np.linspace(0, len(y) - 1, min(most, len(y))).astype(np.int64))])


def sweep(
    branches: Branches,
    clips: SkeletonSet,
    views: GrowingViews,
    strengths: Sequence[float],
    count: int = 100,
    seed: int = 0,
    told: Callable[[int, int], None] = lambda _done, _of: None,
) -> dict[str, NDArray[np.float32]]:
    """Cosine between the features of bent and clean clips, against strength: of each view and each augmentation.

    An augmentation is measured alone, on every clip: its gate is held open. A view is measured as in training,
    gates and all, with the strength of all its sets scaled. One draw is kept over all strengths.

    Args:
        branches: a run's frozen networks.
        clips: a set of the run's layout.
        views: the ladder.
        strengths: S numbers in [0, 1].
        count: clips, evenly over the classes; all when there are fewer.
        seed: of the draws.
        told: called with how many of all parts are done, after each.

    Returns:
        name -> (S, n): first the views by their names, then the augmentations by theirs.

    Raises:
        InputError: no strength, or one outside [0, 1].
    """
    if not len(strengths) or not all(0 <= s <= 1 for s in strengths):
        raise InputError(f"A sweep wants strengths in [0, 1]; it got {list(strengths)}.")
    x = branches.preprocess.apply(clips.clips(_even(clips.y, count)), branches.layout)
    clean = branches.encode(branches.stream(x))
    parts: dict[str, Callable[[float], tuple[Tensor, Inside]]] = {}
    for view, name in enumerate(views.names):
        parts[name] = _bent_view(branches, views, view, x, seed)
    for name, op in named_ops(views).items():
        parts[name] = _bent(branches, op, x, seed)
    out = {}
    for number, (name, bend) in enumerate(parts.items(), start=1):
        out[name] = np.stack([(branches.encode(*bend(float(s))) * clean).sum(dim=1).numpy() for s in strengths])
        told(number, len(parts))
    return out


def named_ops(views: GrowingViews) -> dict[str, Op]:
    """Every augmentation of a ladder by a name of its own: "Shear", "Shear 2"."""
    named: dict[str, Op] = {}
    for op in views.chain(len(views) - 1):
        name, again = type(op).__name__, 2
        while name in named or name in views.names:
            name, again = f"{type(op).__name__} {again}", again + 1
        named[name] = op
    return named


def _bent_view(
    branches: Branches, views: GrowingViews, view: int, x: Tensor, seed: int
) -> Callable[[float], tuple[Tensor, Inside]]:
    def bend(strength: float) -> tuple[Tensor, Inside]:
        scaled = [[strength * s for s in each] for each in views.each_strength()]
        made = GrowingViews(views.sets, views.names, scaled)
        draw = made.draw_view(view, tuple(x.shape), Generator().manual_seed(seed))
        return made.make_view(view, x, draw, branches.stream)

    return bend


def _bent(branches: Branches, op: Op, x: Tensor, seed: int) -> Callable[[float], tuple[Tensor, Inside]]:
    def bend(strength: float) -> tuple[Tensor, Inside]:
        params = opened(op.sample(tuple(x.shape), strength, Generator().manual_seed(seed)))
        return GrowingViews([[op]]).make_view(0, x, [params], branches.stream)

    return bend


def opened(params: Params) -> Params:
    """The same draw with its gate open for every clip."""
    return {**params, "on": torch.ones_like(params["on"])} if "on" in params else params


def summary(found: Mapping[str, NDArray[Any]], names: Sequence[str]) -> tuple[str, bool]:
    """Whether each view of a ladder is farther from the clean clip than the one before, at the last strength.

    Args:
        found: name -> (S, n) cosines, of the same clips in the same order, as `sweep` gives them.
        names: of the views, weakest first.

    Returns:
        "basic 0.93 > normal 0.92 ≈ strong 0.92", where ≈ stands for a mean difference over clips that is within its
        95 % interval of 0; and False where one is nearer than the one before.
    """
    text = f"{names[0]} {float(np.mean(found[names[0]][-1])):.3f}"
    kept = True
    for weaker, stronger in pairwise(names):
        apart = found[weaker][-1].astype(np.float64) - found[stronger][-1]
        error = 1.96 * float(apart.std(ddof=1)) / np.sqrt(len(apart)) if len(apart) > 1 else np.inf
        sign = "≈" if abs(apart.mean()) <= error else ">" if apart.mean() > 0 else "<"
        kept &= sign != "<"
        text += f" {sign} {stronger} {float(np.mean(found[stronger][-1])):.3f}"
    return text, kept
