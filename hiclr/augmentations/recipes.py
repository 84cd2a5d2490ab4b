"""Recipes: which augmentations a ladder is made of, and how their sets are arranged."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial

from hiclr.augmentations.base import Op
from hiclr.augmentations.choosing import OneOf
from hiclr.augmentations.edges import DropAddEdges
from hiclr.augmentations.growing import NAMES, GrowingViews
from hiclr.augmentations.masking import JointMask
from hiclr.augmentations.mixing import SkeleAdaIN
from hiclr.augmentations.posture import Exaggerate, PoseMix
from hiclr.augmentations.spatial import AxisMask, Flip, Noise, Rotate, Scale, Shear, Yaw
from hiclr.augmentations.temporal import Blur, CropResize, TemporalCrop
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = [
    "RECIPES",
    "VIEWS",
    "Recipe",
    "adain_views",
    "arrange",
    "paper_views",
    "released_views",
    "small_views",
    "whole_ladder",
]


@dataclass(frozen=True)
class Recipe:
    """The augmentations that ladders are made of.

    Args:
        basic: the weakest set.
        normal: the set above it.
        strong: kind -> the augmentation of that kind, which acts on the stream.
    """

    basic: tuple[Op, ...]
    normal: tuple[Op, ...]
    strong: Mapping[str, Op]

    def sets(self, strong: Sequence[str]) -> list[tuple[Op, ...]]:
        """The basic and the normal set, then the strong ones.

        Args:
            strong: for each strong set a kind; several joined by "+" are all applied, in this order, and of several
                joined by "|" one is drawn at each step, the same for the whole batch ("+" binds first).

        Raises:
            InputError: a kind that is none.
        """
        return [self.basic, self.normal, *(self._strong(words) for words in strong)]

    def with_mask(self, learned: bool) -> "Recipe":
        """The same, with the joint mask's value learned or 0."""
        mask = self.strong["mask"]
        return replace(self, strong={**self.strong, "mask": replace(mask, learned=learned)})  # type: ignore[type-var]

    def _strong(self, words: str) -> tuple[Op, ...]:
        options = []
        for option in words.split("|"):
            kinds = [kind.strip() for kind in option.split("+")]
            unknown = [kind for kind in kinds if kind not in self.strong]
            if unknown:
                raise InputError(
                    f"strong must name {', '.join(self.strong)} for each set, several joined by + (all) or | (one of "
                    f"them, drawn at each step); in {words!r} it names {unknown[0]!r}."
                )
            options.append(tuple(self.strong[kind] for kind in kinds))
        return options[0] if len(options) == 1 else (OneOf(options),)


def paper(layout: Layout, encoder: str = "stgcn", released: bool = False) -> Recipe:
    """The paper's augmentations with its constants.

    Args:
        layout: for the flip.
        encoder: whose edges are dropped and added; only the release treats them differently.
        released: with the release's quirks: the blur not normalised; one joint mask, one draw of edges and one shift to
            the partners of SkeleAdaIN for the whole batch; noise, mask and SkeleAdaIN write onto absent persons; the
            mask's value is learned; no edge is dropped or added in an ST-GCN, whose settings have both rates at 0.

    Source: HiCLR (arXiv 2211.13466), its released feeder, and the first version of its release for SkeleAdaIN.
    """
    still = released and encoder == "stgcn"
    return Recipe(
        basic=(TemporalCrop(), Shear()),
        normal=(Flip(layout), Rotate(), Noise(everybody=released), Blur(normalise=not released), AxisMask()),
        strong={
            "mask": JointMask(per_clip=not released, everybody=released, learned=released),
            "edges": DropAddEdges(0.0, 0.0, per_clip=False) if still else DropAddEdges(per_clip=not released),
            "adain": SkeleAdaIN(rolled=released, everybody=released),
        },
    )


def small(layout: Layout, encoder: str = "tcn") -> Recipe:  # noqa: ARG001 - the signature of RECIPES
    """For a few hundred to a few thousand clips: the camera, the size and the tempo vary first."""
    return Recipe(
        basic=(CropResize(0.3), Exaggerate(), PoseMix(), Yaw(45), Shear(0.3), Scale(0.1)),
        normal=(Noise(0.01, probability=1.0),),
        strong={"mask": JointMask(0.2, per_frame=False), "edges": DropAddEdges(), "adain": SkeleAdaIN()},
    )


RECIPES: dict[str, Callable[[Layout, str], Recipe]] = {
    "paper": paper,
    "released": partial(paper, released=True),
    "small": small,
}
"""The recipes that a setting can name, from (layout, name of the encoder). Other ladders are made in code."""


def arrange(
    sets: Sequence[Sequence[Op]],
    branches: int,
    order: Sequence[int] | None = None,
    merge: Sequence[int] = (),
    key_apart: bool = False,
) -> GrowingViews:
    """A ladder of these sets: by itself each view adds the next one.

    Args:
        sets: from weakest to strongest.
        branches: how many query views, from the weakest.
        order: numbers of the sets in the order in which they are added instead, each once: a disordered ladder.
        merge: how many sets each view adds; one each when left out. (3,) is one view with all of three sets.
        key_apart: the weakest view is that of the keys alone; queries are made of those above it.

    Returns:
        Views named after the sets they add: "basic", "normal", "strong", "strongest"; "basic+normal" where merged.

    Raises:
        InputError: an order that is no permutation, more sets merged than there are, more branches than views.
    """
    count = len(sets)
    order = range(count) if order is None else order
    if sorted(order) != list(range(count)):
        raise InputError(f"order must hold each of 0..{count - 1} once, for {count} sets; it is {tuple(order)}.")
    added = [1] * count if not merge else list(merge)
    if min(added) < 1 or sum(added) > count:
        raise InputError(f"merge must hold numbers from 1 that sum to at most {count}, the sets; it is {tuple(merge)}.")
    most = len(added) - key_apart
    if not 1 <= branches <= most:
        raise InputError(f"branches must be 1..{most} with these views, got {branches}.")
    steps, names = [], []
    for i, number in enumerate(added[: branches + key_apart]):
        step = order[sum(added[:i]) : sum(added[:i]) + number]
        steps.append([op for place in step for op in sets[place]])
        names.append("+".join(_name(place) for place in step))
    return GrowingViews(steps, names, first_query=int(key_apart))


def _name(place: int) -> str:
    return NAMES[place] if place < len(NAMES) else f"strong {place - 1}"


def paper_views(layout: Layout, branches: int = 3, released: bool = False) -> GrowingViews:
    """The paper's three sets, see `paper`.

    Args:
        layout: for the flip.
        branches: how many of the sets, from the weakest; 1 is SkeletonCLR's view.
        released: with the release's quirks.

    Raises:
        InputError: branches outside 1..3.
    """
    return arrange(paper(layout, released=released).sets(["mask"]), branches)


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
    return arrange(paper(layout).sets(["adain", "mask"]), branches)


def small_views(layout: Layout, branches: int = 3) -> GrowingViews:
    """Three sets for a few hundred to a few thousand clips, see `small`.

    Raises:
        InputError: branches outside 1..3.
    """
    return arrange(small(layout).sets(["mask"]), branches)


VIEWS: dict[str, Callable[[Layout, int], GrowingViews]] = {
    "paper": paper_views,
    "released": released_views,
    "adain": adain_views,
    "small": small_views,
}
"""Ladders by name, for a look at them; a run's are made of its settings, by `pretraining.views_of`."""


def whole_ladder(name: str, layout: Layout) -> GrowingViews:
    """A named ladder with all of its sets."""
    return VIEWS[name](layout, 4 if name == "adain" else 3)
