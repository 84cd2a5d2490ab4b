"""What encoders of skeletons have in common: each person is encoded by itself, then the mean is taken."""

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from hiclr.encoders.edges import Inside
from hiclr.encoders.initial import Init
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["Persons", "SkeletonEncoder", "check_sizes", "mean_over_persons"]

Persons = Literal["present", "all"]


def mean_over_persons(
    encode: Callable[..., Tensor], x: Tensor, persons: Persons, inside: Inside | None = None
) -> Tensor:
    """Features of clips from features of persons.

    Args:
        encode: (R, T, V, 3), a person per row -> (R, D); with `inside`, that of each row is its second argument.
        x: (N, 3, T, V, M), absent persons zero.
        persons: "present": only persons that occur in a clip are encoded, and the mean is over them; a clip of one
            person stored as two costs half. Of a clip in which nobody is present the first, all-zero person is
            encoded. "all": every person, absent ones as zeros.
        inside: what happens inside the encoder, for N clips; the same for all persons of a clip.

    Returns:
        (N, D).
    """
    clips, _, frames, joints, people = x.shape
    rows = x.permute(0, 4, 2, 3, 1).reshape(clips * people, frames, joints, 3)
    if persons == "all" or people == 1:
        return encode(rows, *_of_rows(inside, people)).view(clips, people, -1).mean(dim=1)
    present = x.ne(0).flatten(1, 3).any(dim=1)  # (N, M)
    present[:, 0] |= ~present.any(dim=1)
    if torch.compiler.is_exporting():  # no shape may depend on the data there: all are encoded, the absent not counted
        everybody = encode(rows, *_of_rows(inside, people)).view(clips, people, -1) * present[..., None]
        return everybody.sum(dim=1) / present.sum(dim=1, keepdim=True)
    kept = present.flatten().nonzero().squeeze(1)
    encoded = encode(rows.index_select(0, kept), *_of_rows(inside, people, kept))
    # written to their own slots, then summed: the order of additions is fixed on every device
    slots = encoded.new_zeros(clips * people, encoded.shape[1]).index_copy(0, kept, encoded)
    return slots.view(clips, people, -1).sum(dim=1) / present.sum(dim=1, keepdim=True)


def _of_rows(inside: Inside | None, people: int, kept: Tensor | None = None) -> tuple[Inside, ...]:
    """What happens inside for each person of each clip, or those of them that are kept; nothing where nothing does."""
    if inside is None:
        return ()
    each = {name: value.repeat_interleave(people, dim=0) for name, value in inside.items()}
    return (each if kept is None else {name: value.index_select(0, kept) for name, value in each.items()},)


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
        edge_maps: (layers, maps in each) of edges that can be dropped and added; `encode` then takes the draw too.
            None: there are no edges.
    """

    def __init__(
        self, layout: Layout, features: int, persons: Persons, edge_maps: tuple[int, int] | None = None
    ) -> None:
        super().__init__()
        self.layout, self.features, self.persons, self.edge_maps = layout, features, persons, edge_maps

    @property
    def has_map(self) -> bool:
        """Whether there is a `feature_map`."""
        return type(self).feature_map is not SkeletonEncoder.feature_map

    def feature_map(self, rows: Tensor, inside: Inside | None = None) -> Tensor:
        """(R, T, V, 3) one person per row, and what happens inside -> (R, D, T', V'): the features are its mean.

        V' is 1 where the joints are mixed from the start.
        """
        raise NotImplementedError

    def encode(self, rows: Tensor, inside: Inside | None = None) -> Tensor:
        """(R, T, V, 3) one person per row, and what happens inside -> (R, D)."""
        mapped = self.feature_map(rows, inside)
        # a sum's gradient is the same for all places, and not written out; a mean's is, and in torch's default layout,
        # which every layer below would have to turn into its own
        return mapped.sum(dim=(2, 3)) / (mapped.shape[2] * mapped.shape[3])

    def forward(
        self, x: Tensor, per_person: Callable[..., Tensor] | None = None, inside: Inside | None = None
    ) -> Tensor:
        """(N, 3, T, V, M) positions in metres, absent persons zero -> (N, D) features.

        Args:
            x: the clips.
            per_person: (R, T, V, 3) one person per row -> (R, E), in place of `encode`; then (N, E) comes out.
            inside: edges to drop and add, see `change_edges`; `per_person` then gets those of its rows too.

        Raises:
            InputError: x has another shape, or another V than the layout; edges are to change, and there are none.
        """
        if inside is not None and self.edge_maps is None:
            raise InputError(f"{type(self).__name__} has no edges that could be dropped or added.")
        if x.dim() != 5 or x.shape[1] != 3 or x.shape[3] != self.layout.num_joints:
            raise InputError(
                f"The encoder wants clips (N, 3, T, {self.layout.num_joints}, M) in the layout {self.layout.name!r}; "
                f"it got {tuple(x.shape)}."
            )
        encode = self.encode if per_person is None else per_person
        return mean_over_persons(encode, x, self.persons, inside)
