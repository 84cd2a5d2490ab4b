"""Encode each person by itself and average: what every encoder of skeletons has in common."""

from collections.abc import Callable
from typing import Literal

from torch import Tensor

from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["Persons", "check_clips", "mean_over_persons"]

Persons = Literal["present", "all"]


def check_clips(x: Tensor, layout: Layout) -> None:
    """Refuse what is no batch of clips (N, 3, T, V, M) of this layout."""
    if x.dim() != 5 or x.shape[1] != 3 or x.shape[3] != layout.num_joints:
        raise InputError(
            f"The encoder wants clips (N, 3, T, {layout.num_joints}, M) in the layout {layout.name!r}; "
            f"it got {tuple(x.shape)}."
        )


def mean_over_persons(encode: Callable[[Tensor], Tensor], x: Tensor, persons: Persons) -> Tensor:
    """Features of clips from features of persons.

    Args:
        encode: (R, T, V, 3), a person per row -> (R, D).
        x: (N, 3, T, V, M), absent persons zero.
        persons: "present": only persons that occur in a clip are encoded, and the mean is over them; a clip of one
            person stored as two costs half. Of a clip in which nobody is present the first, all-zero person is
            encoded. "all": every person, absent ones as zeros.

    Returns:
        (N, D).
    """
    clips, _, frames, joints, people = x.shape
    rows = x.permute(0, 4, 2, 3, 1).reshape(clips * people, frames, joints, 3)
    if persons == "all" or people == 1:
        return encode(rows).view(clips, people, -1).mean(dim=1)
    present = x.ne(0).flatten(1, 3).any(dim=1)  # (N, M)
    present[:, 0] |= ~present.any(dim=1)
    kept = present.flatten().nonzero().squeeze(1)
    encoded = encode(rows.index_select(0, kept))
    # written to their own slots, then summed: the order of additions is fixed on every device
    slots = encoded.new_zeros(clips * people, encoded.shape[1]).index_copy(0, kept, encoded)
    return slots.view(clips, people, -1).sum(dim=1) / present.sum(dim=1, keepdim=True)
