"""From one set to another: joints are carried from layout to layout by name, then the encoder is probed and tuned."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from hiclr.datasets import SkeletonSet
from hiclr.datasets.rows import blocks
from hiclr.errors import InputError
from hiclr.evaluation.finetune import fine_tune
from hiclr.evaluation.linear import linear_probe, rank_classes, top_k_accuracy
from hiclr.evaluation.supervised import FinetuneConfig
from hiclr.features import CLEAN, features
from hiclr.pretraining import layout_of
from hiclr.runs import Run
from hiclr.skeleton import Layout, Side

__all__ = ["JointMap", "carry", "map_joints", "transfer_to"]

# What the joints of a body are called, by sensors and by animation programs. Letters only, without left and right.
_MIDDLE = {
    "pelvis": ("spinebase", "hipcenter", "hipscenter", "midhip", "pelvis", "hips", "hip", "belt"),
    "spine": ("spinemid", "spine", "torso", "belly"),
    "chest": ("spineshoulder", "shouldercenter", "thorax", "chest", "upperchest"),
    "neck": ("neck",),
    "head": ("head",),
    "nose": ("nose",),
}
_SIDED = {
    "shoulder": ("shoulder",), "elbow": ("elbow",), "wrist": ("wrist",), "hand": ("hand",), "thumb": ("thumb",),
    "hand tip": ("handtip", "fingertip"), "hip": ("hip",), "knee": ("knee",), "ankle": ("ankle",),
    "foot": ("foot", "toe", "toes"), "eye": ("eye",), "ear": ("ear",),
}  # fmt: skip
# Animation programs name the piece that begins at a joint: the hand begins at the wrist.
_SEGMENTS = {
    "collar": ("shoulder", "collar", "clavicle"), "shoulder": ("upperarm", "arm"), "elbow": ("lowerarm", "forearm"),
    "wrist": ("hand",), "hip": ("upperleg", "upleg", "thigh"), "knee": ("lowerleg", "leg", "shin", "calf"),
    "ankle": ("foot",), "foot": ("toes", "toe", "toebase"),
}  # fmt: skip
_TELLS_SEGMENTS = re.compile(r"upperarm|lowerarm|forearm|upperleg|upleg|lowerleg|thigh|shin|calf")
Place = tuple[str, Side]
"""What a joint is, and on which side."""

_HIPS: tuple[Place, ...] = (("hip", "left"), ("hip", "right"))
_SHOULDERS: tuple[Place, ...] = (("shoulder", "left"), ("shoulder", "right"))
_HEAD: tuple[Place, ...] = (("head", "middle"),)
_BETWEEN: Mapping[str, tuple[tuple[Place, ...], ...]] = {
    "pelvis": (_HIPS,),
    "chest": (_SHOULDERS,),
    "spine": ((("pelvis", "middle"), ("chest", "middle")), (*_HIPS, *_SHOULDERS)),
    "head": ((("nose", "middle"),),),
    "nose": (_HEAD,),
    "eye": (_HEAD,),
    "ear": (_HEAD,),
}
"""Where a joint is whose like a layout does not have: in the middle of the first of these that it has all of."""

_FEWEST = 0.5  # of the encoder's joints that must be found


def places(layout: Layout) -> dict[Place, int]:
    """(what a joint is, its side) -> its index, for the joints whose names say it."""
    words = [_letters(name, side) for name, side in zip(layout.joints, layout.sides, strict=True)]
    sided = _SEGMENTS if any(_TELLS_SEGMENTS.search(word) for word in words) else _SIDED
    found: dict[Place, int] = {}
    for v, (word, side) in enumerate(zip(words, layout.sides, strict=True)):
        table = _MIDDLE if side == "middle" else sided
        what = next((place for place, names in table.items() if word in names), None)
        if what is not None:
            found.setdefault((what, side), v)
    neck, shoulder = found.get(("neck", "middle")), found.get(("shoulder", "left"))
    if ("chest", "middle") not in found and None not in (neck, shoulder) and layout.parents[shoulder or 0] == neck:
        found[("chest", "middle")] = found.pop(("neck", "middle"))  # where the arms begin, as in MSR's list
    return found


def _letters(name: str, side: Side) -> str:
    """A joint's name in small letters, without its side and a program's prefix ("mixamorig:")."""
    name = re.sub(r"^.*:", "", name)
    if side != "middle":
        first = f"[{side[0]}{side[0].upper()}]"
        signs = (rf"(?i:{side})", rf"(?:^|[_\W]){first}(?=$|[_\W])", rf"^{first}(?=[A-Z])")
        name = next((re.sub(sign, "", name, count=1) for sign in signs if re.search(sign, name)), name)
    return re.sub(r"[^a-z]", "", name.lower())


@dataclass(frozen=True)
class JointMap:
    """Where each joint of an encoder's layout comes from in another layout.

    Args:
        source: the layout of the clips.
        target: the layout of the encoder.
        parts: for each target joint the source joints whose mean it is; one for most.
        guessed: target joints that the source does not have: midpoints, and copies of other joints.
    """

    source: Layout
    target: Layout
    parts: tuple[tuple[int, ...], ...]
    guessed: tuple[int, ...]

    @cached_property
    def weights(self) -> NDArray[np.float32]:
        """(V of the target, V of the source); each row sums to 1."""
        made = np.zeros((self.target.num_joints, self.source.num_joints), dtype=np.float32)
        for row, part in zip(made, self.parts, strict=True):
            row[list(part)] = 1 / len(part)
        return made

    @property
    def names(self) -> dict[str, str]:
        """Target joint -> where it comes from, in words."""
        joints = self.source.joints
        return {
            name: " + ".join(joints[v] for v in part) for name, part in zip(self.target.joints, self.parts, strict=True)
        }

    @property
    def unused(self) -> tuple[str, ...]:
        """Source joints that no target joint comes from."""
        used = {v for part in self.parts for v in part}
        return tuple(name for v, name in enumerate(self.source.joints) if v not in used)

    @property
    def said(self) -> str:
        """What a reader must know; empty where every joint has its own."""
        if not self.guessed:
            return ""
        names = self.names
        guessed = ", ".join(f"{self.target.joints[v]} from {names[self.target.joints[v]]}" for v in self.guessed)
        return (
            f"Of the encoder's {self.target.num_joints} joints {self.source.name!r} does not have "
            f"{len(self.guessed)}: {guessed}."
        )


def map_joints(source: Layout, target: Layout, joints: Mapping[str, str] | None = None) -> JointMap:
    """Find an encoder's joints in another layout by their names.

    A joint that the other layout lacks is put in the middle of what it lies between (the pelvis of the hips), else on
    the nearest joint that was found, along the encoder's tree: never at the origin, which is no place on a body.

    Args:
        source: the layout of the clips.
        target: the layout of the encoder.
        joints: target joint -> source joint, where names do not tell or you know better.

    Raises:
        InputError: `joints` names a joint that is not there, or fewer than half of the target's joints are found.
    """
    if source.joints == target.joints:
        return JointMap(source, target, tuple((v,) for v in range(target.num_joints)), ())
    found = _found(source, target) | _given(source, target, joints or {})
    guessed = tuple(v for v in range(target.num_joints) if v not in found)
    parts = found | _between(source, target, guessed)
    if len(parts) < _FEWEST * target.num_joints:
        missing = next(name for v, name in enumerate(target.joints) if v not in parts)
        raise InputError(
            f"Only {len(parts)} of the {target.num_joints} joints of {target.name!r} are found by name in "
            f"{source.name!r}. Give the others as joints={{{missing!r}: ..., ...}}; {source.name!r} has: "
            f"{', '.join(source.joints)}."
        )
    found = dict(parts)
    for v in [v for v in guessed if v not in parts]:
        parts[v] = parts[_nearest(target, v, found)]
    return JointMap(source, target, tuple(parts[v] for v in range(target.num_joints)), guessed)


def _found(source: Layout, target: Layout) -> dict[int, tuple[int, ...]]:
    """Target joint -> source joint, where both names say the same place, or are the same word."""
    there, index = places(source), {name: v for v, name in enumerate(source.joints)}
    found: dict[int, tuple[int, ...]] = {v: (there[place],) for place, v in places(target).items() if place in there}
    taken = {v for part in found.values() for v in part}
    known = set(places(target).values())
    for v, name in enumerate(target.joints):
        if v not in found and v not in known and name in index and index[name] not in taken:
            found[v] = (index[name],)
    return found


def _given(source: Layout, target: Layout, joints: Mapping[str, str]) -> dict[int, tuple[int, ...]]:
    for layout, names in ((target, joints.keys()), (source, joints.values())):
        unknown = [name for name in names if name not in layout.joints]
        if unknown:
            raise InputError(
                f"joints names {unknown[0]!r}, which {layout.name!r} does not have; it has: {', '.join(layout.joints)}."
            )
    return {target.joints.index(name): (source.joints.index(other),) for name, other in joints.items()}


def _between(source: Layout, target: Layout, guessed: Sequence[int]) -> dict[int, tuple[int, ...]]:
    """Target joint -> the source joints that it lies in the middle of."""
    there = places(source)
    found: dict[int, tuple[int, ...]] = {}
    for (what, _), v in places(target).items():
        choices = [ends for ends in _BETWEEN.get(what, ()) if all(end in there for end in ends)]
        if v in guessed and choices:
            found[v] = tuple(there[end] for end in choices[0])
    return found


def _nearest(layout: Layout, joint: int, known: Mapping[int, Any]) -> int:
    """The joint with the fewest bones between it and this one among those known; towards the root first."""
    seen, ring = {joint}, [joint]
    while True:
        ring = [n for v in ring for n in (layout.parents[v], *(c for c, p in layout.bones if p == v)) if n not in seen]
        for neighbour in ring:
            if neighbour in known:
                return neighbour
        seen.update(ring)


def carry(clips: SkeletonSet, mapping: JointMap) -> SkeletonSet:
    """The same clips in the layout of an encoder, in memory; absent persons and frames stay zero.

    Raises:
        InputError: the clips have another layout than the map's source.
    """
    if clips.layout.joints != mapping.source.joints:
        raise InputError(
            f"This map starts from {mapping.source.name!r}; {clips.source} has {clips.layout.name!r}. Make one with "
            "map_joints(clips.layout, ...)."
        )
    # a product of matrices, one row of persons and joints after the other: no clip is looped over
    carried = [np.einsum("wv,nctvm->nctwm", mapping.weights, block, optimize=True) for _, block in blocks(clips.x)]
    x = np.ascontiguousarray(np.concatenate(carried), dtype=np.float32)
    return replace(clips, x=x, layout=mapping.target)


def transfer_to(
    run: Run,
    clips: SkeletonSet,
    joints: Mapping[str, str] | None = None,
    recipe: str | FinetuneConfig | None = None,
    split: str | None = None,
    seeds: Sequence[int] = (0,),
    scratch: bool = True,
    device: str = "auto",
) -> dict[str, Any]:
    """What an encoder trained on one set is worth on another: the linear probe, and fine-tuning with all labels.

    Args:
        run: of the first set.
        clips: the second set, of any layout in which the encoder's joints are found.
        joints: see `map_joints`.
        recipe: see `fine_tune`; left out, "cmd" (the field's transfer) from 10,000 training clips on, else "small".
        split: the second set's protocol; its first when left out.
        seeds: see `fine_tune`.
        scratch: see `fine_tune`: the same network on the same joints without pretraining.
        device: where to compute.

    Returns:
        As `fine_tune`, with "from" (the set that the run was trained on), "linear" {"top1", "top5"} and "joints":
        {"from", "to" (layouts), "map" (encoder's joint -> where it comes from), "guessed", "unused"}.

    Raises:
        InputError: joints that are not found, or as `fine_tune`.
        Stopped: as `fine_tune`.
    """
    mapping = map_joints(clips.layout, layout_of(run.data), joints)
    moved = clips if clips.layout == mapping.target else carry(clips, mapping)
    train, test = moved.split_indices(split)
    x = features(run, moved, views=(CLEAN,), device=device)[CLEAN]
    ranked = rank_classes(linear_probe(x[train], moved.y[train]), x[test])
    recipe = "cmd" if recipe is None and len(train) >= 10_000 else recipe
    result = fine_tune(run, moved, recipe, split, seeds, scratch, device)
    own = run.data.get("fingerprint") == moved.subset(train).fingerprint
    said = [mapping.said, "This is the very set that the run was trained on: no transfer." if own else ""]
    return {
        **result,
        "from": run.data.get("source"),
        "linear": {f"top{k}": round(100 * top_k_accuracy(ranked, moved.y[test], k), 2) for k in (1, 5)},
        "joints": {
            "from": mapping.source.name,
            "to": mapping.target.name,
            "map": mapping.names,
            "guessed": [mapping.target.joints[v] for v in mapping.guessed],
            "unused": list(mapping.unused),
        },
        "notes": [*result["notes"], *(line for line in said if line)],
    }
