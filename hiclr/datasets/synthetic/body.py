"""Bodies: bone lengths, forward kinematics from the pelvis, feet that stand on the floor, two who meet.

Right-handed metres: a body is built facing -z, y up, its right hand at larger x.
"""

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hiclr.datasets.synthetic.actions import Array, Pose
from hiclr.skeleton import NTU_25

__all__ = ["bodies", "move", "opposite", "spun"]

# Bone that ends in the joint -> vector from the joint before it, counted from the pelvis, in parts of the stature,
# arms and legs hanging. Right side; the left one is its mirror image.
_BONES: dict[str, tuple[float, float, float]] = {
    "spine_base": (0, 0, 0),
    "spine_mid": (0, 0.165, 0),
    "spine_shoulder": (0, 0.125, 0),
    "neck": (0, 0.035, 0),
    "head": (0, 0.08, -0.012),
    "shoulder_r": (0.098, -0.025, 0),
    "elbow_r": (0, -0.152, 0),
    "wrist_r": (0, -0.138, 0),
    "hand_r": (0, -0.045, 0),
    "thumb_r": (0, -0.018, -0.026),
    "hand_tip_r": (0, -0.025, 0.026),
    "hip_r": (0.047, -0.02, 0),
    "knee_r": (0, -0.245, 0),
    "ankle_r": (0, -0.228, 0),
    "foot_r": (0, -0.035, -0.068),
}
# What is longer or shorter together, apart from the stature.
_PARTS = (("spine_mid", "spine_shoulder"), ("shoulder",), ("elbow", "wrist"), ("hip",), ("knee", "ankle"))


_RIGHT_ARM = ("elbow_r", "wrist_r", "hand_r", "hand_tip_r", "thumb_r")  # in the order of NTU-25


def bodies(rng: Generator, stature: Array) -> Array:
    """(S, 25, 3) bone vectors in metres for (S,) statures; torso, shoulders, arms, hips and legs vary apart."""
    count = len(stature)
    body = np.zeros((count, NTU_25.num_joints, 3))
    for joint, vector in _BONES.items():
        for side, mirror in (("_r", 1.0), ("_l", -1.0)) if joint.endswith("_r") else (("", 1.0),):
            name = joint.removesuffix("_r") + side
            body[:, NTU_25.joints.index(name)] = stature[:, None] * np.array(vector) * [mirror, 1, 1]
    for part in _PARTS:
        factor = rng.uniform(0.88, 1.12, (count, 1, 1))
        body[:, [v for v, joint in enumerate(NTU_25.joints) if joint.startswith(part)]] *= factor
    return body


def turned(axis: int, degrees: Array) -> Array:
    """(n, T) degrees -> (n, T, 3, 3) rotations about x, y or z."""
    angle = np.radians(degrees)
    matrix = np.zeros((*angle.shape, 3, 3))
    matrix[..., axis, axis] = 1
    i, j = (axis + 1) % 3, (axis + 2) % 3
    matrix[..., i, i] = matrix[..., j, j] = np.cos(angle)
    matrix[..., j, i] = np.sin(angle)
    matrix[..., i, j] = -matrix[..., j, i]
    return matrix


def _rotations(pose: Pose) -> dict[str, Array]:
    """Joint -> (n, T, 3, 3) rotation against the joint before it; joints left out do not bend."""

    def limb(raised: str, out: str, turn: str, side: str) -> Array:
        sign = 1 if side == "_r" else -1
        outward = turned(2, sign * pose[out + side]) @ turned(1, sign * pose[turn + side])
        return turned(0, pose[raised + side]) @ outward

    def spine(share: float) -> Array:
        lean = turned(0, -share * pose["bend"]) @ turned(2, -share * pose["side"])
        return lean @ turned(1, share * pose["twist"])

    base = spine(0.55)
    joints = {"spine_base": turned(1, pose["turn"]) @ base, "spine_mid": spine(0.45)}
    head = turned(1, pose["look"]) @ turned(0, -pose["nod"]) @ turned(2, -pose["tilt"])
    joints |= {"neck": head}
    for side in ("_l", "_r"):
        joints["shoulder" + side] = limb("arm_raise", "arm_out", "arm_turn", side)
        joints["elbow" + side] = turned(0, pose["elbow" + side])
        joints["wrist" + side] = turned(2, (-1 if side == "_r" else 1) * pose["wrist" + side])
        # The pelvis bends with the spine; legs are measured from the upright.
        joints["hip" + side] = base.swapaxes(-1, -2) @ limb("thigh_raise", "thigh_out", "thigh_turn", side)
        joints["knee" + side] = turned(0, -pose["knee" + side])
        joints["ankle" + side] = turned(0, pose["ankle" + side])
    return joints


def _from_pelvis() -> list[tuple[int, int]]:
    """(joint, joint before it) over the bones of NTU-25, walked from the pelvis outwards."""
    start = NTU_25.joints.index("spine_base")
    order, seen = [], [start]
    for joint in seen:  # grows while it is walked
        ends = [b if a == joint else a for a, b in NTU_25.bones if joint in (a, b)]
        order += [(end, joint) for end in ends if end not in seen]
        seen += [end for end in ends if end not in seen]
    return order


_CHAIN = _from_pelvis()


def move(pose: Pose, body: Array, frames: int) -> Array:
    """(n, T, 25, 3) metres of bodies (n, 25, 3), the floor at y = 0, the pelvis above the origin in the first frame."""
    rows = len(body)
    rotations = _rotations({name: np.broadcast_to(angle, (rows, frames)) for name, angle in pose.items()})
    pelvis = NTU_25.joints.index("spine_base")
    place = np.zeros((rows, frames, NTU_25.num_joints, 3))
    facing = {pelvis: rotations["spine_base"]}
    for joint, before in _CHAIN:
        bone = np.broadcast_to(body[:, None, joint, :, None], (rows, frames, 3, 1))
        place[:, :, joint] = place[:, :, before] + (facing[before] @ bone)[..., 0]
        own = rotations.get(NTU_25.joints[joint])
        facing[joint] = facing[before] if own is None else facing[before] @ own
    return place + _planted(place)[:, :, None]


def _planted(place: Array) -> Array:
    """(n, T, 3) where the pelvis must be so that the lowest foot stands still on the floor."""
    feet = place[:, :, [NTU_25.joints.index("foot_l"), NTU_25.joints.index("foot_r")]]  # (n, T, 2, 3)
    height = feet[..., 1]
    lowest = height.min(axis=2, keepdims=True)
    weight = np.exp((lowest - height) / 0.015)
    weight /= weight.sum(axis=2, keepdims=True)
    steps = np.diff(feet, axis=1, prepend=feet[:, :1])
    pelvis = -np.cumsum((weight[..., None] * steps).sum(axis=2), axis=1)
    pelvis[..., 1] = -lowest[..., 0]
    return pelvis


def spun(points: Array, degrees: Array, axis: int = 1) -> Array:
    """Turn (n, T, V, 3) by (n,) degrees, about y when no other axis is given."""
    points_turned: Array = points @ turned(axis, degrees)[:, None].swapaxes(-1, -2)
    return points_turned


def opposite(
    rng: Generator, first: Array, second: Array, shaking: Array | None, last: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Turn two persons towards each other, (n, T, V, 3) each, as close as hands reach or as two who met stand.

    shaking (n, T) says how far their right hands have met, 0..1; None: they walk and have met in frame last (n,).
    """
    rows, now, hand = len(first), np.arange(first.shape[1]), NTU_25.joints.index("hand_r")
    first, second = spun(first, np.full(rows, -90.0)), spun(second, np.full(rows, 90.0))
    if shaking is None:
        gap = (first - second)[np.arange(rows), last, NTU_25.centre]
        gap += np.stack([rng.uniform(0.6, 1.0, rows), np.zeros(rows), rng.normal(0, 0.1, rows)], axis=-1)
    else:
        late = ((now > 0.4 * last[:, None]) & (now <= last[:, None]))[..., None]
        gap = ((first - second)[:, :, hand] * late).sum(axis=1) / late.sum(axis=1)
    gap[:, 1] = 0
    second = second + gap[:, None, None]
    if shaking is not None:
        between = (first + second)[:, :, hand] / 2
        first, second = _reach(first, between, shaking), _reach(second, between, shaking)
    return first, second


def _reach(person: Array, target: Array, much: Array) -> Array:
    """Swing the right arm about the shoulder until it points at target (n, T, 3), or much (n, T) of the way."""
    shoulder = person[:, :, [NTU_25.joints.index("shoulder_r")]]
    arm = [v for v, joint in enumerate(NTU_25.joints) if joint in _RIGHT_ARM]
    bones = person[:, :, arm] - shoulder
    here, there = bones[:, :, _RIGHT_ARM.index("hand_r")], target - shoulder[:, :, 0]
    axis = np.cross(here, there)
    sine = np.linalg.norm(axis, axis=-1, keepdims=True)
    angle = much[..., None, None] * np.arctan2(sine, (here * there).sum(axis=-1, keepdims=True))[..., None, :]
    axis = (axis / (sine + 1e-9))[:, :, None]
    along = axis * (axis * bones).sum(axis=-1, keepdims=True)
    moved = person.copy()
    moved[:, :, arm] = shoulder + along + (bones - along) * np.cos(angle) + np.cross(axis, bones) * np.sin(angle)
    return moved
