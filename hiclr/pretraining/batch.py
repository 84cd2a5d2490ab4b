"""One batch as a method of learning sees it: views of this process's clips, keys of everybody's."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass

import torch
from torch import Generator, Tensor

from hiclr.augmentations import GrowingViews, Params
from hiclr.augmentations.growing import Draw
from hiclr.encoders import join_inside
from hiclr.errors import InputError
from hiclr.pretraining.epoch import Epoch
from hiclr.pretraining.feed import Feed
from hiclr.pretraining.ranks import Ranks
from hiclr.pretraining.schedule import derive

__all__ = ["Batch", "Source"]


@dataclass(frozen=True)
class Source:
    """Where the batches of a run come from.

    Args:
        feed: preprocessed clips by index.
        views: the ladder.
        stream: positions -> what the encoder sees.
        ranks: who encodes which rows.
        autocast: the arithmetic of the run, for what is not wrapped for several devices.
        seed: of the run.
    """

    feed: Feed
    views: GrowingViews
    stream: Callable[[Tensor], Tensor]
    ranks: Ranks
    autocast: Callable[[], AbstractContextManager[None]]
    seed: int


class Batch:
    """B clips of a step, of which this rank encodes its own rows; every rank makes the same draws, for all of them.

    Args:
        source: of the run.
        indices: (B,) int64, which clips.
        epoch: gives the draws, in the order in which they are asked for.
        mining: whether nearest neighbours count as positives by now.

    Raises:
        InputError: on all ranks, when a clip of any of them is not finite.
    """

    def __init__(self, source: Source, indices: Tensor, epoch: Epoch, mining: bool = False) -> None:
        self.source, self.ranks, self.mining = source, source.ranks, mining
        self._indices, self._epoch = indices, epoch
        self._order = self._key_order()
        self._rows, self._key_rows = self.ranks.own(torch.arange(len(indices))), self.ranks.own(self._order)
        fault = ""
        try:
            self._clips = self._read(self._rows)
            self._key_clips = self._clips if self.ranks.size == 1 else self._read(self._key_rows)
        except InputError as error:
            fault = f"Epoch {epoch.number + 1}: {error}"
        self.ranks.agree(fault)  # before anything in which the ranks wait for each other
        self._draws = source.views.draw(self._shape, epoch.draws["queries"])

    @property
    def ids(self) -> Tensor:
        """(n,) int64 on the CPU: which clips this rank's rows are."""
        own: Tensor = self.ranks.own(self._indices)
        return own

    @property
    def all_ids(self) -> Tensor:
        """(B,) the same for the whole batch."""
        return self._indices

    @property
    def _shape(self) -> tuple[int, ...]:
        return (len(self._indices), *self._clips.shape[1:])

    def clean(self) -> Tensor:
        """(n, 3, T, V, M) this rank's clips as the encoder would see them without augmentation."""
        clips = self._clips[self._rows.to(self._clips.device)] if self._mixed else self._clips
        return self.source.stream(clips)

    @property
    def count(self) -> int:
        """How many query views there are."""
        return len(self.source.views.queries)

    def made(self, branch: int) -> tuple[Tensor, Params]:
        """This rank's clips in one of the query views, as `query` gives them, and what happens inside the networks."""
        view = self.source.views.queries[branch]
        return self._view(view, self._clips, self._draws[view], self._rows)

    def query(self, branch: int) -> Tensor:
        """(n, 3, T, V, M) this rank's clips in one of the query views, weakest first; the same draw at every call."""
        return self.made(branch)[0]

    def queries(self) -> list[Tensor]:
        """Every query view."""
        return [self.query(branch) for branch in range(self.count)]

    def branch(self, embed: Callable[..., Tensor], branch: int) -> Tensor:
        """What `embed` makes of one query view of this rank's clips, and of what happens inside the networks."""
        return _embedded(embed, *self.made(branch))

    def branches(self, embed: Callable[..., Tensor], joint: bool = False) -> list[Tensor]:
        """Embeddings (n, D) of every query view, weakest first.

        One forward each, so that batch-norm statistics are per view as in the release, unless they are to be joint.
        """
        if not joint:
            return [self.branch(embed, branch) for branch in range(self.count)]
        views, inside = zip(*map(self.made, range(self.count)), strict=True)
        return list(_embedded(embed, torch.cat(views), join_inside(inside)).chunk(self.count))

    def again(self, embed: Callable[..., Tensor], branch: int = 0) -> Tensor:
        """Embeddings (n, D) of a fresh draw of one query view of this rank's clips."""
        view = self.source.views.queries[branch]
        draw = self.source.views.draw_view(view, self._shape, self._epoch.draws["keys"])
        return _embedded(embed, *self._view(view, self._clips, draw, self._rows))

    @torch.no_grad()
    def keys(self, embed: Callable[..., Tensor], view: int = 0) -> Tensor:
        """Embeddings (B, D) of a fresh draw of a view of the whole batch; no gradient.

        Among several ranks each one encodes clips that it has no queries of: else the batch-norm statistics that a
        query shares with its key would give it away (MoCo's shuffling).

        Args:
            embed: (n, 3, T, V, M), and what happens inside where anything does -> (n, D).
            view: its number in the ladder, in which the keys' own may stand below all queries; -1 is the strongest.
        """
        view = view % len(self.source.views)
        draw = self.source.views.draw_view(view, self._shape, self._epoch.draws["keys"])
        with self.source.autocast():
            found = _embedded(embed, *self._view(view, self._key_clips, draw, self._key_rows))
        found = self.ranks.gather(found)
        return found[self._order.argsort().to(found.device)] if self.ranks.size > 1 else found

    def own(self, rows: Tensor) -> Tensor:
        """This rank's rows (n, ...) of something for the whole batch."""
        mine: Tensor = self.ranks.own(rows)
        return mine

    def gather(self, rows: Tensor) -> Tensor:
        """The rows (B, D) of all ranks; no gradient."""
        return self.ranks.gather(rows)

    def together(self, rows: Tensor) -> Tensor:
        """The rows (B, D) of all ranks, for a loss of the whole batch: with the gradient that they are owed."""
        return self.ranks.together(rows)

    @property
    def draws(self) -> Generator:
        """For what a method draws besides its views; on the device of the augmentations, the same on every rank."""
        return self._epoch.draws["queries"]

    @property
    def _mixed(self) -> bool:
        return self.ranks.size > 1 and self.source.views.mixes_clips

    def _key_order(self) -> Tensor:
        """Which rows of a batch are encoded as keys by which rank."""
        if self.ranks.size == 1:
            return torch.arange(len(self._indices))
        mixed = derive(self.source.seed, "key order", self._epoch.number * 2**20 + self._epoch.steps)
        return torch.randperm(len(self._indices), generator=mixed)

    def _read(self, rows: Tensor) -> Tensor:
        """The clips that these rows of a batch need: themselves, or all where clips are mixed with each other."""
        return self.source.feed.batch(self._indices if self._mixed else self._indices[rows])

    def _view(self, view: int, clips: Tensor, draw: Draw, rows: Tensor) -> tuple[Tensor, Params]:
        """One view of these rows, and what happens inside, from what `_read` gave and a draw for the whole batch."""
        views, stream = self.source.views, self.source.stream
        if self.ranks.size == 1:
            return views.make_view(view, clips, draw, stream)
        if self._mixed:
            x, inside = views.make_view(view, clips, draw, stream)
            return x[rows.to(clips.device)], _of_rows(inside, rows)
        return views.make_view(view, clips, [_of_rows(params, rows) for params in draw], stream)


def _of_rows(params: Params, rows: Tensor) -> Params:
    return {name: value[rows.to(value.device)] for name, value in params.items()}


def _embedded(embed: Callable[..., Tensor], x: Tensor, inside: Params) -> Tensor:
    return embed(x, inside) if inside else embed(x)
