"""The explorer as one page with clips inside: as many as fit under a size, said where it is not all of them."""

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import accumulate, takewhile
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import stratified_sample
from hiclr.datasets.wording import counted
from hiclr.errors import InputError
from hiclr.figures.camera import place_of
from hiclr.skeleton import Layout
from hiclr.widgets.player import Clip, checked, masked_zeros, pack, pack_masks
from hiclr.widgets.standalone import as_json, held, linked

if TYPE_CHECKING:
    from hiclr.widgets.explorer import Explorer

__all__ = ["Kept", "Page", "Played", "explorer_page"]

Kept = Literal["spare", "always", "never"]
"""What is played beside a clip: kept in the room that the clips leave, with each clip, or not at all."""

_DIGITS = 3  # of a cosine


class Played(NamedTuple):
    """What is played for a clip: the clip itself, then what stands beside it.

    Args:
        titles: of each.
        clips: (3, T, V, M) each.
        hidden: (T, V, M) each, the share of a joint that is masked; None: joints at exactly zero are.
    """

    titles: Sequence[str]
    clips: Sequence[Clip]
    hidden: Sequence[NDArray[Any]] | None


class Page(NamedTuple):
    """A page, the number of clips in it, and of those that have beside them what is played beside them."""

    html: bytes
    clips: int
    beside: int


class _Item(NamedTuple):
    """A clip as the page holds it, and what is played beside it; of each the bytes that it adds to the page."""

    number: int
    clip: dict[str, Any]
    beside: list[dict[str, Any]]
    size: int
    more: int

    def whole(self) -> dict[str, Any]:
        return {**self.clip, "views": [*self.clip["views"], *self.beside]}


def explorer_page(explorer: "Explorer", megabytes: float, views: Kept = "spare") -> Page:
    """The page with as many clips as fit: the picked one, those of a list, then the same share of each class.

    Each clip is kept in 16 bits a number, without absent persons: whole numbers with a scale of the clip's own, which
    on clips a metre or two wide err by some hundredths of a millimetre, where half-precision floats of the same size
    err by up to half a millimetre.

    Args:
        explorer: of any set.
        megabytes: of the page, at most; what does not fit is left out.
        views: what of that which is played beside a clip is kept.

    Raises:
        InputError: another word for the views, a size that is none, or not one clip fits.
    """
    if views not in get_args(Kept):
        raise InputError(f"views must be one of {', '.join(get_args(Kept))}; it is {views!r}.")
    if not 0 < megabytes < math.inf:
        raise InputError(f"megabytes must be a number above 0; it is {megabytes}.")
    most, count = int(1e6 * megabytes), len(explorer.labels)
    room = most - len(_written(explorer, {}, ""))
    made: list[_Item] = []
    waiting = (_item(explorer, index) for index in _in_turn(explorer))
    while True:
        chosen, whole = _fitting(made, waiting, room, views)
        if not chosen:
            raise InputError(
                f"Not one clip fits into {megabytes:g} MB beside the maps of {counted(count, 'clip')}; allow more."
            )
        kept = {one.number: one.clip for one in chosen} | {one.number: one.whole() for one in whole}
        some = sum(bool(one.beside) for one in chosen)
        said = _words(len(chosen), count) + (_words_beside(len(whole), some, views) if some else "")
        said += ". A point without its clip says so. No kernel and no network is needed."
        page = _written(explorer, kept, said)
        if len(page) <= most:
            return Page(page, len(chosen), len(whole))
        room -= len(page) - most  # for the words that say what fits


def _fitting(made: list[_Item], waiting: Iterator[_Item], room: int, views: Kept) -> tuple[list[_Item], list[_Item]]:
    """(clips that fit, those of them that fit with what is played beside them); more are made as they are needed."""

    def size(one: _Item) -> int:
        return one.size + (one.more if views == "always" else 0)

    left = room - sum(map(size, made))
    while left >= 0 and (one := next(waiting, None)):
        made.append(one)
        left -= size(one)
    chosen = made[: _most(room, map(size, made))]
    whole = [one for one in chosen if one.beside and views != "never"]
    if views == "spare":
        whole = whole[: _most(room - sum(map(size, chosen)), (one.more for one in whole))]
    return chosen, whole


def _most(room: int, sizes: Iterable[int]) -> int:
    """How many of these, from the first, fit."""
    return sum(1 for _ in takewhile(lambda total: total <= room, accumulate(sizes)))


def _written(explorer: "Explorer", clips: Mapping[int, Any], remarks: str) -> bytes:
    scatter, player = held(explorer.scatter.get_state()), held(explorer.player.get_state())
    each = "each" in scatter["values"]["near"]
    scatter["values"] |= {"picked": {**explorer.picked, "n": 0}, "near": {}, "hovered": -1}
    player["bytes"] = {}  # what is played comes from the clips
    state = {"scatter": scatter, "player": player, "clips": clips, "each": each, "front": explorer.scatter.front}
    return linked(state, explorer.describe(), remarks, explorer.scatter.front).encode()


def _item(explorer: "Explorer", index: int) -> _Item:
    shown, layout = explorer.played(index), explorer.joint_layout
    arrays = checked(shown.clips, layout)
    masks = masked_zeros(arrays, layout) if shown.hidden is None else shown.hidden
    views = [
        {"title": title, **_view(x, mask, layout)} for title, x, mask in zip(shown.titles, arrays, masks, strict=True)
    ]
    near = [
        [[[other, round(cosine, _DIGITS)] for other, cosine in rows] for rows in panels]
        for panels in explorer.near_of_all(index)
    ]
    clip = {"place": place_of(arrays[0], layout)._asdict(), "near": near, "of": len(views), "views": views[:1]}
    beside = views[1:]
    # the braces of one are the comma of another
    return _Item(index, clip, beside, len(as_json({index: clip})), sum(len(as_json([view])) for view in beside))


def _view(x: NDArray[np.float32], mask: NDArray[Any], layout: Layout) -> dict[str, Any]:
    """A skeleton clip as the page keeps it, persons that never appear left out."""
    there = np.flatnonzero((x != 0).any(axis=(0, 1, 2)))
    persons = int(there[-1]) + 1 if len(there) else 1
    packed, hidden = pack([x[..., :persons]], layout), pack_masks([mask[..., :persons]])
    masked = {"hidden": base64.b64encode(hidden).decode()} if hidden else {}
    positions = base64.b64encode(packed.data).decode()
    return {"shape": packed.shape[1:], "scale": packed.scale, "positions": positions, **masked}


def _words(clips: int, count: int) -> str:
    held_all = f"all {count:,} clips" if clips == count else f"{clips:,} of {count:,} clips"
    return f"This page holds {held_all}"


def _words_beside(beside: int, some: int, views: Kept) -> str:
    """Of so many clips that have views."""
    if beside == some:
        return ", each beside its views"
    if beside:
        return f", {beside:,} of them beside their views: there was no room for those of the others"
    return ", without their views" + (": there was no room for them" if views == "spare" else "")


def _in_turn(explorer: "Explorer") -> Iterator[int]:
    """Indices: what is seen first, then in an order whose beginning always holds the same share of each class."""
    first = [explorer.picked["index"], *(index for index, _ in explorer.scatter.featured.get("rows", []))]
    yield from dict.fromkeys([*first, *_stratified(explorer.labels).tolist()])


def _stratified(labels: NDArray[Any]) -> NDArray[np.int64]:
    order, left = [], np.arange(len(labels))
    sizes = [2**k for k in range(len(labels).bit_length())]
    for size in sizes:
        chosen = stratified_sample(labels[left], min(size, len(left)))
        order.append(left[chosen])
        left = np.delete(left, chosen)
    return np.concatenate([*order, left])
