"""`GrowingViews`: ordered sets of augmentations; each view adds one set to the view before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Generator, Tensor

from hiclr.augmentations.base import ActsInside, Op, Params, Shape, check_within, code
from hiclr.augmentations.choosing import mixes_clips
from hiclr.errors import InputError

__all__ = ["NAMES", "Draw", "GrowingViews", "Strength"]

Draw = list[Params]
"""The parameters of one view, one entry for each of its augmentations in the order of `GrowingViews.chain`."""
Transform = Callable[[Tensor], Tensor]
Strength = float | tuple[float, ...]
"""Of a set: one number for all its augmentations, or one for each."""

NAMES = ("basic", "normal", "strong", "strongest")


@dataclass(frozen=True)
class GrowingViews:
    """Ordered sets of augmentations: view i goes through sets 0..i, each view with draws of its own.

    Args:
        sets: k sequences of augmentations, from weakest to strongest.
        names: k names.
        strengths: k strengths in [0, 1], one for each set, or for each of its augmentations; 1 everywhere when left
            out.
        first_query: number of the weakest view that is a query; the keys' view is number 0 all the same. 0: it is
            that of the weakest query too.

    Raises:
        InputError: no set; sets, names and strengths are not equally many; a strength outside [0, 1]; no query; edges
            dropped and added twice in one view.

    Source: HiCLR (arXiv 2211.13466), growing augmentations; the paper has k = 3.
    """

    sets: tuple[tuple[Op, ...], ...]
    names: tuple[str, ...] = NAMES
    strengths: tuple[Strength, ...] = ()
    first_query: int = 0

    def __init__(
        self,
        sets: Sequence[Sequence[Op]],
        names: Sequence[str] | None = None,
        strengths: Sequence[float | Sequence[float]] | None = None,
        first_query: int = 0,
    ) -> None:
        default = NAMES if len(sets) <= len(NAMES) else tuple(f"view {i}" for i in range(len(sets)))
        object.__setattr__(self, "sets", tuple(tuple(ops) for ops in sets))
        object.__setattr__(self, "names", tuple(default[: len(sets)] if names is None else names))
        given = [1.0] * len(sets) if strengths is None else strengths
        object.__setattr__(self, "strengths", tuple(map(_strength, given)))
        object.__setattr__(self, "first_query", first_query)
        if not self.sets or not len(self.sets) == len(self.names) == len(self.strengths):
            raise InputError(
                f"{len(self.sets)} sets, {len(self.names)} names and {len(self.strengths)} strengths were given; "
                "each set needs one name and one strength, and at least one set is needed."
            )
        for name, ops, each in zip(self.names, self.sets, self.each_strength(), strict=True):
            if len(each) != len(ops):
                raise InputError(f"{name} has {len(ops)} augmentations and {len(each)} strengths; give one for each.")
            for strength in each:
                check_within(f"the strength of {name}", strength, 0, 1)
        check_within("first_query", first_query, 0, len(self.sets) - 1)
        twice = [op for ops in self.sets for op in ops if "edges" in _within(op)]
        if len(twice) > 1:
            raise InputError(f"Edges are dropped and added once in a view; these sets do it {len(twice)} times.")

    def __len__(self) -> int:
        return len(self.sets)

    @property
    def queries(self) -> range:
        """The numbers of the views that queries are made of."""
        return range(self.first_query, len(self))

    @property
    def mixes_clips(self) -> bool:
        """Whether an augmentation takes something from another clip of the batch."""
        return any(mixes_clips(op) for ops in self.sets for op in ops)

    def each_strength(self) -> list[tuple[float, ...]]:
        """The strength of each augmentation, set by set."""
        paired = zip(self.sets, self.strengths, strict=True)
        return [s if isinstance(s, tuple) else (s,) * len(ops) for ops, s in paired]

    @property
    def within(self) -> frozenset[str]:
        """Where these views act inside the networks: "edges" of the encoder, "hidden" places for a learned value."""
        return frozenset().union(*(_within(op) for ops in self.sets for op in ops))

    def chain(self, view: int) -> list[Op]:
        """The augmentations of a view, set by set; those that act on the stream are applied last all the same.

        Raises:
            InputError: no such view.
        """
        if not 0 <= view < len(self):
            raise InputError(f"view must be in 0..{len(self) - 1} ({', '.join(self.names)}), got {view}.")
        return [op for ops in self.sets[: view + 1] for op in ops]

    def draw_view(self, view: int, shape: Shape, generator: Generator) -> Draw:
        """Parameters of one view for N clips of this shape (N, 3, T, V, M)."""
        strengths = [strength for each in self.each_strength() for strength in each]
        return [op.sample(shape, s, generator) for op, s in zip(self.chain(view), strengths, strict=False)]

    def draw(self, shape: Shape, generator: Generator) -> list[Draw]:
        """Parameters of all k views, independent of each other."""
        return [self.draw_view(view, shape, generator) for view in range(len(self))]

    def apply_view(self, view: int, x: Tensor, draw: Draw, to_stream: Transform | None = None) -> Tensor:
        """One view of the positions x (N, 3, T, V, M): augment, make the stream, then what acts on the stream.

        What acts inside the networks is not in it, see `make_view`.

        Raises:
            InputError: the draw belongs to another view, or to another number of clips.
        """
        return self.make_view(view, x, draw, to_stream)[0]

    def make_view(self, view: int, x: Tensor, draw: Draw, to_stream: Transform | None = None) -> tuple[Tensor, Params]:
        """One view as `apply_view` makes it, and what is to happen inside the networks, see `encoders.Inside`.

        Hidden places get their learned value last, whatever stands above the mask.

        Raises:
            InputError: as of `apply_view`.
        """
        chain = self.chain(view)
        counts = sorted({len(value) for params in draw for value in params.values()} - {len(x)})
        if len(draw) != len(chain) or counts:
            came = f"{len(draw)} augmentations" + "".join(f", {count} clips" for count in counts)
            raise InputError(
                f"View {self.names[view]!r} of these {len(x)} clips needs a draw for {len(chain)} augmentations and "
                f"{len(x)} clips; this draw is for {came}. Make it with draw_view({view}, x.shape, generator)."
            )
        steps = list(zip(chain, draw, strict=True))
        for op, params in steps:
            x = x if op.after_stream else op.apply(x, params)
        x = x if to_stream is None else to_stream(x)
        inside: Params = {}
        for op, params in steps:
            if op.after_stream:
                inside = _both(inside, op.inside(x, params) if isinstance(op, ActsInside) else {})
                x = op.apply(x, params)
        return x, inside

    def code(self) -> str:
        """Python that makes these views again, to be pasted; with `from hiclr.augmentations import *` and LAYOUTS."""
        rows = "".join(f"        [{', '.join(map(code, ops))}],\n" for ops in self.sets)
        first = f"    first_query={self.first_query},\n" if self.first_query else ""
        return (
            f"GrowingViews(\n    [\n{rows}    ],\n"
            f"    names={list(self.names)},\n    strengths={list(self.strengths)},\n{first})"
        )

    def __call__(self, x: Tensor, generator: Generator, to_stream: Transform | None = None) -> list[Tensor]:
        """k freshly drawn views of x, from weakest to strongest."""
        draws = self.draw(tuple(x.shape), generator)
        return [self.apply_view(view, x, draw, to_stream) for view, draw in enumerate(draws)]


def _strength(given: float | Sequence[float]) -> Strength:
    return tuple(map(float, given)) if isinstance(given, Sequence) else float(given)


def _within(op: Op) -> frozenset[str]:
    return op.within if isinstance(op, ActsInside) else frozenset()


def _both(first: Params, second: Params) -> Params:
    """What two augmentations do inside; what both hide is hidden as one after the other hides it."""
    both = first | second
    if "hidden" in first and "hidden" in second:
        both["hidden"] = 1 - (1 - first["hidden"]) * (1 - second["hidden"])
    return both
