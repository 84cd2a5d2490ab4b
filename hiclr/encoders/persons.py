"""What encoders of skeletons have in common: each person is encoded by itself, then the mean is taken."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hiclr.encoders.initial import Init
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["Persons", "SkeletonEncoder", "check_sizes", "mean_over_persons"]

Persons = Literal["present", "all"]


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
    if torch.compiler.is_exporting():  # no shape may depend on the data there: all are encoded, the absent not counted
        everybody = encode(rows).view(clips, people, -1) * present[..., None]
        return everybody.sum(dim=1) / present.sum(dim=1, keepdim=True)
    kept = present.flatten().nonzero().squeeze(1)
    encoded = encode(rows.index_select(0, kept))
    # written to their own slots, then summed: the order of additions is fixed on every device
    slots = encoded.new_zeros(clips * people, encoded.shape[1]).index_copy(0, kept, encoded)
    return slots.view(clips, people, -1).sum(dim=1) / present.sum(dim=1, keepdim=True)


def check_sizes(channels: int, features: int, kernel: int, dropout: float, persons: str, init: str) -> None:
    """Refuse settings that no encoder can be made of.

    Raises:
        InputError: a size that is no positive number, an even kernel, a dropout outside [0, 1), an unknown choice.
    """
    for name, value in {"channels": channels, "features": features, "kernel": kernel}.items():
        if value < 1:
            raise InputError(f"{name} must be at least 1; it is {value}.")
    if kernel % 2 == 0:
        raise InputError(f"kernel must be odd, so that it has a middle frame; it is {kernel}.")
    if not 0 <= dropout < 1:
        raise InputError(f"dropout must be in [0, 1); it is {dropout}.")
    for name, choice, choices in (("persons", persons, get_args(Persons)), ("init", init, get_args(Init))):
        if choice not in choices:
            raise InputError(f"{name} must be one of {', '.join(choices)}; it is {choice!r}.")


class SkeletonEncoder(nn.Module):
    """(N, 3, T, V, M) -> (N, D); a subclass says what is done with one person: in `feature_map`, or else in `encode`.

    Args:
        layout: gives V.
        features: D.
        persons: see `mean_over_persons`.
    """

    def __init__(self, layout: Layout, features: int, persons: Persons) -> None:
        super().__init__()
        self.layout, self.features, self.persons = layout, features, persons

    @property
    def has_map(self) -> bool:
        """Whether there is a `feature_map`."""
        return type(self).feature_map is not SkeletonEncoder.feature_map

    def feature_map(self, rows: Tensor) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, D, T', V'), what the features are the mean of.

        V' is 1 where the joints are mixed from the start.
        """
        raise NotImplementedError

    def encode(self, rows: Tensor) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, D)."""
        return self.feature_map(rows).mean(dim=(2, 3))

    def forward(self, x: Tensor, per_person: Callable[[Tensor], Tensor] | None = None) -> Tensor:
        """(N, 3, T, V, M) positions in metres, absent persons zero -> (N, D) features.

        Args:
            x: the clips.
            per_person: (R, T, V, 3) one person per row -> (R, E), in place of `encode`; then (N, E) comes out.

        Raises:
            InputError: x has another shape, or another V than the layout.
        """
        if x.dim() != 5 or x.shape[1] != 3 or x.shape[3] != self.layout.num_joints:
            raise InputError(
                f"The encoder wants clips (N, 3, T, {self.layout.num_joints}, M) in the layout {self.layout.name!r}; "
                f"it got {tuple(x.shape)}."
            )
        return mean_over_persons(self.encode if per_person is None else per_person, x, self.persons)
