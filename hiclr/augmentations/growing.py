"""`GrowingViews`: ordered sets of augmentations; each view adds one set to the view before."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Generator, Tensor

from hiclr.augmentations.base import Op, Params, Shape, check_within, code
from hiclr.augmentations.masking import JointMask
from hiclr.augmentations.mixing import SkeleAdaIN
from hiclr.augmentations.posture import Exaggerate, PoseMix
from hiclr.augmentations.spatial import AxisMask, Flip, Noise, Rotate, Scale, Shear, Yaw
from hiclr.augmentations.temporal import Blur, CropResize, TemporalCrop
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["VIEWS", "Draw", "GrowingViews", "adain_views", "paper_views", "released_views", "small_views"]

Draw = list[Params]
"""The parameters of one view, one entry for each of its augmentations in the order of `GrowingViews.chain`."""
Transform = Callable[[Tensor], Tensor]

NAMES = ("basic", "normal", "strong", "strongest")


@dataclass(frozen=True)
class GrowingViews:
    """Ordered sets of augmentations: view i goes through sets 0..i, each view with draws of its own.

    Args:
        sets: k sequences of augmentations, from weakest to strongest.
        names: k names.
        strengths: k numbers in [0, 1], the strength of each set; 1 everywhere when left out.

    Raises:
        InputError: no set; sets, names and strengths are not equally many; a strength outside [0, 1].

    Source: HiCLR (arXiv 2211.13466), growing augmentations; the paper has k = 3.
    """

    sets: tuple[tuple[Op, ...], ...]
    names: tuple[str, ...] = NAMES
    strengths: tuple[float, ...] = ()

    def __init__(
        self,
        sets: Sequence[Sequence[Op]],
        names: Sequence[str] | None = None,
        strengths: Sequence[float] | None = None,
    ) -> None:
        default = NAMES if len(sets) <= len(NAMES) else tuple(f"view {i}" for i in range(len(sets)))
        object.__setattr__(self, "sets", tuple(tuple(ops) for ops in sets))
        object.__setattr__(self, "names", tuple(default[: len(sets)] if names is None else names))
        object.__setattr__(self, "strengths", tuple([1.0] * len(sets) if strengths is None else map(float, strengths)))
        if not self.sets or not len(self.sets) == len(self.names) == len(self.strengths):
            raise InputError(
                f"{len(self.sets)} sets, {len(self.names)} names and {len(self.strengths)} strengths were given; "
                "each set needs one name and one strength, and at least one set is needed."
            )

        for name, strength in zip(self.names, self.strengths, strict=True):
            check_within(f"the strength of {name}", strength, 0, 1)

    def __len__(self) -> int:
        return len(self.sets)

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
        strengths = [s for ops, s in zip(self.sets, self.strengths, strict=True) for _ in ops]
        return [op.sample(shape, s, generator) for op, s in zip(self.chain(view), strengths, strict=False)]

    def draw(self, shape: Shape, generator: Generator) -> list[Draw]:
        """Parameters of all k views, independent of each other."""
        return [self.draw_view(view, shape, generator) for view in range(len(self))]

    def apply_view(self, view: int, x: Tensor, draw: Draw, to_stream: Transform | None = None) -> Tensor:
        """One view of the positions x (N, 3, T, V, M): augment, make the stream, then what acts on the stream.

        Raises:
            InputError: the draw belongs to another view, or to another number of clips.
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
        for op, params in steps:
            x = op.apply(x, params) if op.after_stream else x
        return x

    def code(self) -> str:
        """Python that makes these views again, to be pasted; with `from hiclr.augmentations import *` and LAYOUTS."""
        rows = "".join(f"        [{', '.join(map(code, ops))}],\n" for ops in self.sets)
        return (
            f"GrowingViews(\n    [\n{rows}    ],\n"
            f"    names={list(self.names)},\n    strengths={list(self.strengths)},\n)"
        )

    def __call__(self, x: Tensor, generator: Generator, to_stream: Transform | None = None) -> list[Tensor]:
        """k freshly drawn views of x, from weakest to strongest."""
        draws = self.draw(tuple(x.shape), generator)
        return [self.apply_view(view, x, draw, to_stream) for view, draw in enumerate(draws)]


def _ladder(sets: Sequence[Sequence[Op]], branches: int) -> GrowingViews:
    if not 1 <= branches <= len(sets):
        raise InputError(f"branches must be 1..{len(sets)} with these views, got {branches}.")
    return GrowingViews(sets[:branches])


def paper_views(layout: Layout, branches: int = 3, released: bool = False) -> GrowingViews:
    """The paper's three sets with its constants.

    Args:
        layout: for the flip.
        branches: how many of the sets, from the weakest; 1 is SkeletonCLR's view.
        released: with the release's quirks: the blur not normalised, one joint mask for the whole batch, noise and
            mask written onto absent persons.

    Raises:
        InputError: branches outside 1..3.

    Source: HiCLR (arXiv 2211.13466) and its released feeder.
    """
    basic: list[Op] = [TemporalCrop(), Shear()]
    normal: list[Op] = [Flip(layout), Rotate(), Noise(everybody=released), Blur(normalise=not released), AxisMask()]
    strong: list[Op] = [JointMask(per_clip=not released, everybody=released)]
    return _ladder([basic, normal, strong], branches)


def released_views(layout: Layout, branches: int = 3) -> GrowingViews:
    """The paper's three sets with the release's quirks; see `paper_views`.

    Raises:
        InputError: branches outside 1..3.
    """
    return paper_views(layout, branches, released=True)


def adain_views(layout: Layout, branches: int = 3) -> GrowingViews:
    """The paper's sets with SkeleAdaIN as the strong one, and the joint mask above it as a fourth.

    The paper names SkeleAdaIN among its strong augmentations, beside the joint mask; the release masks alone. The
    mask stands last, so that what it hides stays hidden.

    Args:
        layout: for the flip.
        branches: how many of the sets, from the weakest; 4 is the whole ladder.

    Raises:
        InputError: branches outside 1..4.

    Source: HiCLR (arXiv 2211.13466), strong augmentations.
    """
    basic, normal, mask = paper_views(layout).sets
    return _ladder([basic, normal, [SkeleAdaIN()], mask], branches)


def small_views(layout: Layout, branches: int = 3) -> GrowingViews:  # noqa: ARG001 - the signature of VIEWS
    """Three sets for a few hundred to a few thousand clips: the camera, the size and the tempo vary first.

    Args:
        layout: not needed; every recipe takes it.
        branches: how many of the sets, from the weakest.

    Raises:
        InputError: branches outside 1..3.
    """
    basic: list[Op] = [CropResize(0.3), Exaggerate(), PoseMix(), Yaw(45), Shear(0.3), Scale(0.1)]
    normal: list[Op] = [Noise(0.01, probability=1.0)]
    strong: list[Op] = [JointMask(0.2, per_frame=False)]
    return _ladder([basic, normal, strong], branches)


VIEWS: dict[str, Callable[[Layout, int], GrowingViews]] = {
    "paper": paper_views,
    "released": released_views,
    "adain": adain_views,
    "small": small_views,
}
"""The ladders that a setting can name; any other is given in code, as `GrowingViews`."""
