"""The explorer as one page with clips inside: as many as fit under a size, said where it is not all of them."""

import base64
import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from hiclr.datasets import stratified_sample
from hiclr.errors import InputError
from hiclr.figures.camera import place_of
from hiclr.widgets.player import pack
from hiclr.widgets.standalone import held, linked

if TYPE_CHECKING:
    from hiclr.widgets.explorer import Explorer

__all__ = ["explorer_page"]

_DIGITS = 3  # of a cosine
_OF_A_CLIP = 700  # bytes of a clip beside its positions: place, shape, neighbours


def explorer_page(explorer: "Explorer", megabytes: float) -> tuple[str, int]:
    """(page, clips in it). Each clip is kept in 16 bits a number, without absent persons: whole numbers with a scale of
    the clip's own, which on clips a metre or two wide err by some hundredths of a millimetre, where half-precision
    floats of the same size err by up to half a millimetre.

    Args:
        explorer: of any set; of each clip the first view is kept.
        megabytes: of the page, at most; clips are left out, the same share of each class, until it fits.

    Raises:
        InputError: not even one clip fits.
    """
    scatter, player = held(explorer.scatter.get_state()), held(explorer.player.get_state())
    count = len(explorer.labels)
    room = int(1e6 * megabytes) - len(linked({"scatter": scatter, "player": player}, explorer.describe()))
    clips: dict[int, Any] = {}
    places: list[int] = []
    blob: list[bytes] = []
    size = 0
    for index in _in_turn(explorer.labels):
        clip, entry = _clip(explorer, int(index), size)
        if 4 * (2 * size + len(clip)) // 3 + _OF_A_CLIP * (len(places) + 1) > room:
            break
        clips[int(index)] = entry
        places.append(int(index))
        blob.append(clip)
        size += len(clip) // 2
    if not clips:
        raise InputError(f"Not one clip fits into {megabytes:g} MB beside the maps of {count:,} clips; allow more.")
    near = [
        {i: [[j, round(cosine, _DIGITS)] for j, cosine in explorer.neighbours(i, panel)] for i in places}
        for panel in range(explorer.scatter.panels)
    ]
    first = explorer.picked["index"] if explorer.picked["index"] in clips else places[0]
    scatter["values"] |= {"picked": {"index": first, "panel": 0, "n": 0}, "near": _near(explorer, near, first)}
    scatter["values"]["hovered"] = -1
    state = {"scatter": scatter, "player": player, "clips": clips, "near": near}
    state["positions"] = base64.b64encode(b"".join(blob)).decode()
    held_all = f"all {count:,} clips" if len(clips) == count else f"{len(clips):,} of {count:,} clips"
    remarks = f"This page holds {held_all}; a point without its clip says so. It needs no kernel and no network."
    return linked(json.loads(json.dumps(state)), explorer.describe(), remarks), len(clips)


def _in_turn(labels: Any) -> Any:
    """Indices in an order whose beginning always holds the same share of each class."""
    order, left = [], np.arange(len(labels))
    sizes = [2**k for k in range(len(labels).bit_length())]
    for size in sizes:
        chosen = stratified_sample(labels[left], min(size, len(left)))
        order.append(left[chosen])
        left = np.delete(left, chosen)
    return np.concatenate([*order, left])


def _clip(explorer: "Explorer", index: int, at: int) -> tuple[bytes, dict[str, Any]]:
    """(bytes, what the page needs to read them) of a clip's first view, persons that never appear left out."""
    x = explorer.first_view(index)
    there = np.flatnonzero((x != 0).any(axis=(0, 1, 2)))
    x = x[..., : (int(there[-1]) + 1 if len(there) else 1)]
    packed = pack([x], explorer.joint_layout)
    place = place_of(x, explorer.joint_layout)._asdict()
    return packed.data, {"at": at, "shape": packed.shape[1:], "scale": packed.scale, "place": place}


def _near(explorer: "Explorer", near: list[dict[int, Any]], index: int) -> Mapping[str, Any]:
    own = {"each": [[j for j, _ in part.get(index, [])] for part in near]} if "each" in explorer.scatter.near else {}
    return {"of": index, "space": explorer.scatter.titles[0], "rows": near[0].get(index, []), **own}
