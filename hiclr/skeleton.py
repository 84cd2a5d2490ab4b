"""Joint layouts: which joints a sensor gives, how they hang together, which are left and right.

A layout is data. Bones, the flip, the graph of the encoder and every picture derive from it, so another sensor
needs a new `Layout` and nothing else.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from hiclr.errors import InputError

__all__ = [
    "BANDAI_21",
    "COCO_17",
    "H36M_17",
    "KINECT_20_MSR",
    "KINECT_20_SDK",
    "LAYOUTS",
    "NTU_25",
    "Layout",
    "Side",
    "find_pairs",
    "match_layout",
]

Side = Literal["left", "right", "middle"]


@dataclass(frozen=True)
class Layout:
    """The joints of one body as a tree.

    Args:
        name: short name, as written in files and shown in titles.
        joints: V joint names, unique.
        parents: V indices; the root is its own parent. One tree: every joint reaches the root.
        pairs: (left, right) joint indices, disjoint; joints in no pair lie in the middle.
        centre: the joint that preprocessing moves to the origin.
        shoulders: (left, right) joints whose line preprocessing turns parallel to the x axis, or None.

    Raises:
        InputError: the parents are no tree, or an index is out of range or used twice.
    """

    name: str
    joints: tuple[str, ...]
    parents: tuple[int, ...]
    pairs: tuple[tuple[int, int], ...]
    centre: int
    shoulders: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        count = len(self.joints)
        if len(set(self.joints)) != count:
            twice = sorted({j for j in self.joints if self.joints.count(j) > 1})
            raise InputError(f"layout {self.name!r}: joint names must be unique, these occur twice: {twice}")
        if len(self.parents) != count:
            raise InputError(f"layout {self.name!r}: {count} joint names but {len(self.parents)} parents")
        members = [*self.parents, self.centre, *(j for pair in self.pairs for j in pair), *(self.shoulders or ())]
        outside = [j for j in members if not 0 <= j < count]
        if outside:
            raise InputError(f"layout {self.name!r}: joint index {outside[0]} is outside 0..{count - 1}")
        paired = [j for pair in self.pairs for j in pair]
        if len(set(paired)) != len(paired):
            raise InputError(f"layout {self.name!r}: a joint stands in two left-right pairs")
        roots = [v for v, parent in enumerate(self.parents) if v == parent]
        if len(roots) != 1:
            named = [self.joints[v] for v in roots]
            raise InputError(f"layout {self.name!r}: one root (a joint that is its own parent) is wanted, got {named}")
        for v in range(count):
            joint = v
            for _ in range(count):
                joint = self.parents[joint]
            if joint != roots[0]:
                raise InputError(f"layout {self.name!r}: joint {self.joints[v]!r} does not reach the root (a loop)")

    @property
    def num_joints(self) -> int:
        """V."""
        return len(self.joints)

    @cached_property
    def root(self) -> int:
        """Index of the joint that is its own parent."""
        return next(v for v, parent in enumerate(self.parents) if v == parent)

    @cached_property
    def bones(self) -> tuple[tuple[int, int], ...]:
        """The V - 1 edges as (child, parent)."""
        return tuple((v, parent) for v, parent in enumerate(self.parents) if v != parent)

    @cached_property
    def mirror(self) -> tuple[int, ...]:
        """The permutation of joints that swaps left and right; applied twice it is the identity."""
        order = list(range(self.num_joints))
        for left, right in self.pairs:
            order[left], order[right] = right, left
        return tuple(order)

    @cached_property
    def sides(self) -> tuple[Side, ...]:
        """For each joint: "left", "right" or "middle"."""
        lefts = {left for left, _ in self.pairs}
        rights = {right for _, right in self.pairs}
        return tuple("left" if v in lefts else "right" if v in rights else "middle" for v in range(self.num_joints))


def _tree(name: str, table: str, centre: str, shoulders: tuple[str, str]) -> Layout:
    """Build a layout from lines "joint parent"; left-right pairs follow from the names."""
    rows = [line.split() for line in table.strip().splitlines()]
    joints = tuple(joint for joint, _ in rows)
    parents = tuple(joints.index(parent) for _, parent in rows)
    left, right = (joints.index(joint) for joint in shoulders)
    return Layout(name, joints, parents, find_pairs(joints), joints.index(centre), (left, right))


_LEFT_TO_RIGHT = (
    (re.compile(r"(?i:left)"), "right"),
    (re.compile(r"(^|[_\W])[lL](?=$|[_\W])"), r"\1r"),
    (re.compile(r"^[lL](?=[A-Z])"), "r"),
)


def find_pairs(joints: Sequence[str]) -> tuple[tuple[int, int], ...]:
    """Left-right pairs by name: `elbow_l`/`elbow_r`, `LeftArm`/`RightArm`, `LHip`/`RHip`, `hip.L`/`hip.R`."""
    index = {joint.lower(): v for v, joint in enumerate(joints)}
    pairs = []
    for v, joint in enumerate(joints):
        mirrored = (pattern.sub(right, joint, count=1) for pattern, right in _LEFT_TO_RIGHT if pattern.search(joint))
        partner = next((index[name.lower()] for name in mirrored if name.lower() in index), v)
        if partner != v:
            pairs.append((v, partner))
    return tuple(pairs)


NTU_25 = _tree(
    "ntu25",
    """
    spine_base spine_mid
    spine_mid spine_shoulder
    neck spine_shoulder
    head neck
    shoulder_l spine_shoulder
    elbow_l shoulder_l
    wrist_l elbow_l
    hand_l wrist_l
    shoulder_r spine_shoulder
    elbow_r shoulder_r
    wrist_r elbow_r
    hand_r wrist_r
    hip_l spine_base
    knee_l hip_l
    ankle_l knee_l
    foot_l ankle_l
    hip_r spine_base
    knee_r hip_r
    ankle_r knee_r
    foot_r ankle_r
    spine_shoulder spine_shoulder
    hand_tip_l thumb_l
    thumb_l hand_l
    hand_tip_r thumb_r
    thumb_r hand_r
    """,
    centre="spine_shoulder",
    shoulders=("shoulder_l", "shoulder_r"),
)

KINECT_20_MSR = _tree(
    "kinect20-msr",
    """
    shoulder_r neck
    shoulder_l neck
    neck spine
    spine hip_center
    hip_r hip_center
    hip_l hip_center
    hip_center hip_center
    elbow_r shoulder_r
    elbow_l shoulder_l
    wrist_r elbow_r
    wrist_l elbow_l
    hand_r wrist_r
    hand_l wrist_l
    knee_r hip_r
    knee_l hip_l
    ankle_r knee_r
    ankle_l knee_l
    foot_r ankle_r
    foot_l ankle_l
    head neck
    """,
    centre="neck",
    shoulders=("shoulder_l", "shoulder_r"),
)

KINECT_20_SDK = _tree(
    "kinect20-sdk",
    """
    hip_center hip_center
    spine hip_center
    shoulder_center spine
    head shoulder_center
    shoulder_l shoulder_center
    elbow_l shoulder_l
    wrist_l elbow_l
    hand_l wrist_l
    shoulder_r shoulder_center
    elbow_r shoulder_r
    wrist_r elbow_r
    hand_r wrist_r
    hip_l hip_center
    knee_l hip_l
    ankle_l knee_l
    foot_l ankle_l
    hip_r hip_center
    knee_r hip_r
    ankle_r knee_r
    foot_r ankle_r
    """,
    centre="shoulder_center",
    shoulders=("shoulder_l", "shoulder_r"),
)

BANDAI_21 = _tree(
    "bandai21",
    """
    Hips Hips
    Spine Hips
    Chest Spine
    Neck Chest
    Head Neck
    Shoulder_L Chest
    UpperArm_L Shoulder_L
    LowerArm_L UpperArm_L
    Hand_L LowerArm_L
    Shoulder_R Chest
    UpperArm_R Shoulder_R
    LowerArm_R UpperArm_R
    Hand_R LowerArm_R
    UpperLeg_L Hips
    LowerLeg_L UpperLeg_L
    Foot_L LowerLeg_L
    Toes_L Foot_L
    UpperLeg_R Hips
    LowerLeg_R UpperLeg_R
    Foot_R LowerLeg_R
    Toes_R Foot_R
    """,
    centre="Chest",
    shoulders=("UpperArm_L", "UpperArm_R"),
)

# COCO has neither pelvis nor neck. The nose is root and centre, as in PYSKL's graph (pyskl/utils/graph.py), so that
# whatever is compared with its published results hangs together as theirs.
COCO_17 = _tree(
    "coco17",
    """
    nose nose
    eye_l nose
    eye_r nose
    ear_l eye_l
    ear_r eye_r
    shoulder_l nose
    shoulder_r nose
    elbow_l shoulder_l
    elbow_r shoulder_r
    wrist_l elbow_l
    wrist_r elbow_r
    hip_l shoulder_l
    hip_r shoulder_r
    knee_l hip_l
    knee_r hip_r
    ankle_l knee_l
    ankle_r knee_r
    """,
    centre="nose",
    shoulders=("shoulder_l", "shoulder_r"),
)

# The 17 of the 32 joints of Human3.6M that are in use, in VideoPose3D's order; positions are given about the pelvis.
H36M_17 = _tree(
    "h36m17",
    """
    pelvis pelvis
    hip_r pelvis
    knee_r hip_r
    ankle_r knee_r
    hip_l pelvis
    knee_l hip_l
    ankle_l knee_l
    spine pelvis
    thorax spine
    neck thorax
    head neck
    shoulder_l thorax
    elbow_l shoulder_l
    wrist_l elbow_l
    shoulder_r thorax
    elbow_r shoulder_r
    wrist_r elbow_r
    """,
    centre="pelvis",
    shoulders=("shoulder_l", "shoulder_r"),
)

LAYOUTS = {layout.name: layout for layout in (NTU_25, KINECT_20_MSR, KINECT_20_SDK, BANDAI_21, COCO_17, H36M_17)}


def match_layout(
    joints: Sequence[str],
    parents: Sequence[int],
    name: str | None = None,
    pairs: Sequence[Sequence[int]] | None = None,
    centre: int | None = None,
) -> Layout:
    """The known layout with these joints and parents, or a new one made from them.

    Args:
        joints: V names.
        parents: V indices; the root is -1 or its own index.
        name: a name for a new layout; "custom-V" when left out.
        pairs: (left, right) indices; found from the names when left out.
        centre: index; when left out, the root.

    Raises:
        InputError: the parents form no tree, or an index is out of range.
    """
    tree = tuple(v if int(parent) == -1 else int(parent) for v, parent in enumerate(parents))
    joints = tuple(str(joint) for joint in joints)
    if pairs is None and centre is None:
        for known in LAYOUTS.values():
            if known.joints == joints and known.parents == tree:
                return known
    found = find_pairs(joints) if pairs is None else tuple((int(left), int(right)) for left, right in pairs)
    root = next((v for v, parent in enumerate(tree) if v == parent), 0)
    shoulders = next((p for p in found if "shoulder" in joints[p[0]].lower()), None)
    return Layout(name or f"custom-{len(joints)}", joints, tree, found, root if centre is None else centre, shoulders)
