"""The set that ships with the project: people drawn from a seed, moving as a chain of rigid bones.

How a clip is made, in the order of this file: a body (`_bodies`), an action as joint angles over time (`ACTIONS`), the
manner of who performs it (`_manner`), forward kinematics (`_move`), the sensor that looks on (`_record`).

Every action has a partner that shares its poses and differs in motion: a mirrored, a reversed or a faster one.
Convention: right-handed camera space in metres, x to the right hand of a person who faces the camera, y up, z away
from the camera. A body is built facing the camera, so "forward" is -z. Angles are in degrees; positive means forward
(raise), away from the middle (out), towards the middle (turn of a limb), flexed (elbow, knee).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

__all__ = ["ACTIONS", "LIMITS", "Action", "synthetic"]

Array = NDArray[np.float64]
Pose = dict[str, Array]  # angle -> (n, T) degrees, or (n, 1) where it does not change

SECONDS = 64 / 30  # what `frames` frames cover: 64 of them are NTU's 30 per second

# Angle -> (lowest, highest, how far its rest differs between clips, how far it wanders within one), in degrees.
# The angles of a limb exist twice, with _l and _r.
_ANGLES: dict[str, tuple[float, float, float, float]] = {
    "bend": (-20, 90, 4, 2.0),  # spine forward
    "side": (-25, 25, 2.5, 2.0),  # spine to the right
    "twist": (-40, 40, 4, 4.0),  # spine to the left
    "nod": (-40, 50, 8, 4.0),
    "tilt": (-25, 25, 4, 2.0),
    "look": (-60, 60, 12, 8.0),
    "arm_raise": (-50, 175, 5, 3.0),
    "arm_out": (-40, 150, 4, 2.0),
    "arm_turn": (-90, 90, 5, 3.0),
    "elbow": (0, 145, 7, 4.0),
    "wrist": (-50, 50, 8, 4.0),
    "thigh_raise": (-25, 115, 1.5, 0.5),
    "thigh_out": (-20, 50, 1.5, 0.0),
    "thigh_turn": (-40, 40, 4, 0.0),
    "knee": (0, 140, 2, 0.5),
    "ankle": (-45, 30, 0, 0.0),  # toes up
}
_LIMBS = ("arm", "elbow", "wrist", "thigh", "knee", "ankle")

LIMITS: dict[str, tuple[float, float]] = {
    name + side: row[:2]
    for name, row in _ANGLES.items()
    for side in (("_l", "_r") if name.startswith(_LIMBS) else ("",))
}
"""Angle -> (lowest, highest) in degrees: no pose leaves them."""

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
_TORSO, _SHOULDERS, _ARM = ("spine_mid", "spine_shoulder"), ("shoulder",), ("elbow", "wrist")
_HIPS, _LEG = ("hip",), ("knee", "ankle")


# ---------------------------------------------------------------- actions: progress or phase -> angles


def _both(**angles: Array) -> Pose:
    """The same angles left and right."""
    return {name + side: value for name, value in angles.items() for side in ("_l", "_r")}


def _bump(p: Array, at: float, width: float) -> Array:
    return np.exp(-(((p - at) / width) ** 2))


def _ease(p: Array) -> Array:
    """0 to 1 without a jerk, constant outside [0, 1]."""
    p = np.clip(p, 0, 1)
    return p * p * (3 - 2 * p)


def _wave(p: Array, a: Array) -> Pose:
    return {
        "arm_out_r": 70 + 10 * a + 0 * p,
        "arm_raise_r": 15 + 0 * p,
        "arm_turn_r": -78 + 0 * p,
        "elbow_r": 85 + 38 * a * np.sin(p),
        "wrist_r": -12 * np.cos(p),
    }


def _kick(p: Array, a: Array) -> Pose:
    back, front = _bump(p, 0.25, 0.13), _bump(p, 0.55, 0.16)
    return {
        "thigh_raise_r": -20 * back + 78 * a * front,
        "knee_r": 6 + 75 * back + 12 * front,
        "knee_l": 6 + 12 * front,
        "thigh_raise_l": 3 + 6 * front,
        "bend": 6 * back - 12 * front,
        "arm_raise_l": -10 * back + 35 * a * front,
        "arm_raise_r": 10 * back - 30 * a * front,
    }


def _sit(p: Array, a: Array) -> Pose:
    down, lean = _ease(p), _bump(p, 0.5, 0.25)
    return {
        **_both(thigh_raise=2 + 86 * down, knee=5 + 84 * down + 14 * lean, arm_raise=5 + 22 * down + 20 * lean),
        "bend": 2 + 38 * a * lean,
        "nod": 5 - 10 * lean,
    }


def _lift(p: Array, a: Array) -> Pose:
    """Down with empty arms, up again with a box in both hands."""
    down, hold = np.sin(np.pi * np.clip(p, 0, 1)) ** 2, _ease((p - 0.5) / 0.4)
    return {
        **_both(
            thigh_raise=2 + 62 * a * down,
            knee=5 + 72 * a * down,
            arm_raise=4 + 66 * down + 12 * hold,
            arm_turn=10 + 5 * hold,
            elbow=12 + 6 * down + 72 * hold * (1 - 0.8 * down),
        ),
        "bend": 3 + 62 * a * down,
        "nod": 10 * down,
    }


def _stride(p: Array, a: Array, leg: float, lift: float, arm: float, elbow: float) -> Pose:
    pose: Pose = {"twist": 5 * a * np.sin(p), "bend": 2 + 0.12 * elbow + 0 * p}
    for side, q in (("_l", p), ("_r", p + np.pi)):
        swing = np.clip(np.cos(q + 0.25), 0, 1) ** 1.5
        pose["thigh_raise" + side] = 0.25 * lift + leg * a * np.sin(q)
        pose["knee" + side] = 8 + lift * swing
        pose["arm_raise" + side] = -arm * a * np.sin(q)
        pose["elbow" + side] = elbow - 8 * np.sin(q)
    return pose


def _walk(p: Array, a: Array) -> Pose:
    return _stride(p, a, leg=26, lift=48, arm=26, elbow=20)


def _run(p: Array, a: Array) -> Pose:
    return _stride(p, a, leg=36, lift=85, arm=38, elbow=70)


def _clap(p: Array, a: Array) -> Pose:
    apart = 0.5 - 0.5 * np.cos(p)
    return _both(
        arm_raise=32 + 0 * p, arm_out=2 + 14 * a * apart, arm_turn=34 - 55 * a * apart, elbow=80 + 0 * p, wrist=0 * p
    )


def _circle(p: Array, a: Array) -> Pose:
    """Both hands draw circles in front of the body, up in the middle and down outside."""
    return _both(arm_raise=72 + 34 * a * np.cos(p), arm_out=14 + 30 * a * np.sin(p), elbow=18 + 0 * p, arm_turn=0 * p)


def _shake(p: Array, a: Array) -> Pose:
    pump = np.sin(p)
    return {
        "arm_raise_r": 38 + 8 * a * pump,
        "arm_out_r": -8 + 0 * p,
        "arm_turn_r": 25 + 0 * p,
        "elbow_r": 48 + 20 * a * pump,
        "bend": 7 + 0 * p,
    }


@dataclass(frozen=True)
class Action:
    """A class of the synthetic set.

    Args:
        name: the class, in words.
        motion: (p, amplitude) -> angles; p (n, T) is a phase in radians where `rate` is given, else progress 0..1.
        rate: repetitions per second; None for an action that is done once.
        reverse: time runs backwards.
        mirror: left and right are swapped.
        gesture: the limbs start from rest in some clips and take up the motion.
        together: two persons do it, facing each other.
    """

    name: str
    motion: Callable[[Array, Array], Pose]
    rate: float | None = None
    reverse: bool = False
    mirror: bool = False
    gesture: bool = False
    together: bool = False


ACTIONS: tuple[Action, ...] = (
    Action("wave left hand", _wave, rate=1.6, mirror=True, gesture=True),
    Action("wave right hand", _wave, rate=1.6, gesture=True),
    Action("kick left", _kick, mirror=True),
    Action("kick right", _kick),
    Action("sit down", _sit),
    Action("stand up", _sit, reverse=True),
    Action("pick up", _lift),
    Action("put down", _lift, reverse=True),
    Action("walk", _walk, rate=0.95),
    Action("run", _run, rate=2.2),
    Action("clap slowly", _clap, rate=1.0, gesture=True),
    Action("clap fast", _clap, rate=2.8, gesture=True),
    Action("circle hands inwards", _circle, rate=1.0, reverse=True, gesture=True),
    Action("circle hands outwards", _circle, rate=1.0, gesture=True),
    Action("shake hands", _shake, rate=2.0, gesture=True, together=True),
    Action("walk towards each other", _walk, rate=0.95, together=True),
)
"""The classes, partners beside each other."""


def _mirrored(pose: Pose) -> Pose:
    """Swap left and right; what turns or leans to one side turns to the other."""
    swapped = {"_l": "_r", "_r": "_l"}
    other = {k[:-2] + swapped[k[-2:]] if k[-2:] in swapped else k: v for k, v in pose.items()}
    return {k: -v if k in ("side", "twist", "tilt", "look") else v for k, v in other.items()}


# ---------------------------------------------------------------- who performs, and how


def _bodies(rng: Generator, count: int) -> Array:
    """(count, 25, 3) bone vectors in metres: stature 1.5 to 1.95 m, torso, shoulders, arms, hips and legs apart."""
    stature = rng.uniform(1.5, 1.95, count)
    body = np.zeros((count, NTU_25.num_joints, 3))
    for joint, vector in _BONES.items():
        for side, mirror in (("_r", 1.0), ("_l", -1.0)) if joint.endswith("_r") else (("", 1.0),):
            name = joint.removesuffix("_r") + side
            body[:, NTU_25.joints.index(name)] = stature[:, None] * np.array(vector) * [mirror, 1, 1]
    for group in (_TORSO, _SHOULDERS, _ARM, _HIPS, _LEG):
        factor = rng.uniform(0.88, 1.12, (count, 1, 1))
        body[
            :, [v for v, joint in enumerate(NTU_25.joints) if joint.removesuffix("_l").removesuffix("_r") in group]
        ] *= factor
    return body


def _habits(rng: Generator, count: int) -> dict[str, Array]:
    """What a subject keeps from clip to clip: tempo, amplitude and (count,) rest of every angle in degrees."""
    habits = {name: rng.normal(0, _spread(name), count) for name in LIMITS}
    return habits | {"tempo": rng.normal(0, 0.1, count), "amplitude": rng.uniform(0.85, 1.1, count)}


def _spread(name: str, column: int = 2) -> float:
    return _ANGLES[name.removesuffix("_l").removesuffix("_r")][column]


# How an arm that has nothing to do is held: raise, out, turn, elbow.
_IDLE_ARMS = np.array([[0, 9, 10, 14], [2, 12, 5, 30], [-14, 44, 75, 88], [12, 4, 30, 85], [-28, 12, 40, 40]], float)
_IDLE_ODDS = (0.4, 0.2, 0.13, 0.15, 0.12)


def _rest(rng: Generator, rows: int) -> Pose:
    """Standing, every arm held in one of a few ways."""
    pose: Pose = {name: np.zeros((rows, 1)) for name in LIMITS}
    for side in ("_l", "_r"):
        arm = _IDLE_ARMS[rng.choice(len(_IDLE_ARMS), rows, p=_IDLE_ODDS)]
        for column, name in enumerate(("arm_raise", "arm_out", "arm_turn", "elbow")):
            pose[name + side] = arm[:, column, None]
        pose |= {"knee" + side: np.full((rows, 1), 5.0), "thigh_raise" + side: np.full((rows, 1), 2.0)}
        pose |= {"thigh_out" + side: rng.uniform(1, 8, (rows, 1)), "thigh_turn" + side: rng.uniform(-14, 0, (rows, 1))}
    return pose


def _wander(rng: Generator, time: Array) -> Array:
    """(n, T) slow random movement with standard deviation near 1."""
    rows = (len(time), 1)
    moved = np.zeros_like(time)
    for _ in range(2):
        turns = rng.uniform(0.15, 0.6, rows) * time + rng.uniform(0, 1, rows)
        moved += rng.normal(0, 0.8, rows) * np.sin(2 * np.pi * turns)
    return moved


def _perform(rng: Generator, action: Action, habits: dict[str, Array], time: Array, end: Array) -> Pose:
    """The angles of n performances: habits (n,) of each performer, time (n, T) and end (n, 1) in seconds."""
    rows = (len(time), 1)
    tempo = np.exp(habits["tempo"][:, None] + rng.normal(0, 0.06, rows))
    amplitude = habits["amplitude"][:, None] * rng.uniform(0.9, 1.1, rows)
    if action.rate is not None:
        turns = rng.uniform(0, 1, rows) + action.rate * tempo * time
        progress = 2 * np.pi * (-turns if action.reverse else turns)
    else:
        span = end * rng.uniform(0.65, 0.9, rows) / np.clip(tempo, 0.9, None)
        progress = (time - rng.uniform(-0.08, 1, rows) * (end - span)) / span
        progress = 1 - progress if action.reverse else progress
    motion = action.motion(progress, amplitude)
    rest = _rest(rng, len(time))
    taken_up = np.ones(rows)
    if action.gesture:
        taken_up = _ease((time / end - rng.uniform(-0.5, 0.1, rows)) / 0.2)
    pose = {
        name: rest[name] + taken_up * (motion[name] - rest[name]) if name in motion else rest[name] for name in rest
    }
    pose = _mirrored(pose) if action.mirror else pose
    return _manner(rng, pose, habits, time)


def _manner(rng: Generator, pose: Pose, habits: dict[str, Array], time: Array) -> Pose:
    """Add what the subject always does, what this clip has of its own, and idle sway; keep the limits."""
    pose = dict(pose)
    for name, angle in pose.items():
        own = habits[name] + rng.normal(0, _spread(name), len(time))
        pose[name] = angle + own[:, None] + _spread(name, 3) * _wander(rng, time)
    shift = 2.5 * _wander(rng, time)  # of weight, from one leg to the other
    pose["thigh_out_r"], pose["thigh_out_l"] = pose["thigh_out_r"] + shift, pose["thigh_out_l"] - shift
    for side in ("_l", "_r"):  # feet stay flat as far as ankles can
        pose["ankle" + side] = pose["ankle" + side] + pose["knee" + side] - pose["thigh_raise" + side]
    return {name: np.clip(angle, *LIMITS[name]) for name, angle in pose.items()}


# ---------------------------------------------------------------- forward kinematics


def _turned(axis: int, degrees: Array) -> Array:
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
        outward = _turned(2, sign * pose[out + side]) @ _turned(1, sign * pose[turn + side])
        return _turned(0, pose[raised + side]) @ outward

    def spine(share: float) -> Array:
        lean = _turned(0, -share * pose["bend"]) @ _turned(2, -share * pose["side"])
        return lean @ _turned(1, share * pose["twist"])

    base = spine(0.55)
    joints = {"spine_base": base, "spine_mid": spine(0.45)}
    head = _turned(1, pose["look"]) @ _turned(0, -pose["nod"]) @ _turned(2, -pose["tilt"])
    joints |= {"neck": head}
    for side in ("_l", "_r"):
        joints["shoulder" + side] = limb("arm_raise", "arm_out", "arm_turn", side)
        joints["elbow" + side] = _turned(0, pose["elbow" + side])
        joints["wrist" + side] = _turned(2, (-1 if side == "_r" else 1) * pose["wrist" + side])
        # The pelvis bends with the spine; legs are measured from the upright.
        joints["hip" + side] = base.swapaxes(-1, -2) @ limb("thigh_raise", "thigh_out", "thigh_turn", side)
        joints["knee" + side] = _turned(0, -pose["knee" + side])
        joints["ankle" + side] = _turned(0, pose["ankle" + side])
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


def _move(pose: Pose, body: Array, frames: int) -> Array:
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


# ---------------------------------------------------------------- stage and sensor


def _spun(points: Array, degrees: Array) -> Array:
    """Turn (n, T, V, 3) about y by (n,) degrees."""
    return np.asarray(np.einsum("nij,ntvj->ntvi", _turned(1, degrees), points))


def _stage(rng: Generator, first: Array, second: Array | None, action: Action, last: NDArray[np.int64]) -> Array:
    """(n, T, V, 3, 2): persons in the room, seen from the front, in the middle of the scene."""
    rows = len(first)
    if second is None:
        both = np.stack([first, np.zeros_like(first)], axis=-1)
    else:
        first, second = _spun(first, np.full(rows, -90.0)), _spun(second, np.full(rows, 90.0))
        both = _opposite(rng, first, second, action, last)
        swap = rng.random(rows) < 0.5
        both[swap] = both[swap][..., ::-1]
    spine = both[..., NTU_25.centre, :, : 1 if second is None else 2].mean(axis=-1)
    inside = np.arange(first.shape[1]) <= last[:, None]
    middle = (spine * inside[..., None]).sum(axis=1) / inside.sum(axis=1)[:, None]
    both[:, :, :, ::2] -= middle[:, None, None, ::2, None]
    return both


def _opposite(rng: Generator, first: Array, second: Array, action: Action, last: NDArray[np.int64]) -> Array:
    """Put the second person where right hands meet, or where two who walk up to each other stop."""
    hand, clip = NTU_25.joints.index("hand_r"), np.arange(len(first))
    if action.motion is _shake:
        gap = first[clip, last, hand] - second[clip, last, hand]
    else:
        gap = first[clip, last, NTU_25.centre] - second[clip, last, NTU_25.centre]
        gap[:, 0] += rng.uniform(0.6, 1.0, len(first))
        gap[:, 2] += rng.normal(0, 0.1, len(first))
    gap[:, 1] = 0
    return np.stack([first, second + gap[:, None, None]], axis=-1)


def _record(rng: Generator, scene: Array, yaw: Array) -> Array:
    """Camera space: the scene turned by the camera's yaw and the way people face, (n, T, V, 3, M)."""
    rows = len(scene)
    height, distance = rng.uniform(0.9, 1.6, rows), rng.uniform(2.6, 3.8, rows)
    pitch = np.degrees(0.6 * np.arctan2(height - 0.9, distance)) + rng.normal(0, 2, rows)
    turn = _turned(1, yaw + rng.uniform(-15, 15, rows))
    seen = np.einsum("nij,ntvjm->ntvim", turn, scene)
    seen += np.stack([rng.normal(0, 0.2, rows), -height, distance], axis=-1)[:, None, None, :, None]
    return np.asarray(np.einsum("nij,ntvjm->ntvim", _turned(0, -pitch), seen))


# How far each joint trembles, relative to the trunk: thin and far ends are seen worst.
_TREMBLE = np.array([1.0 + 0.8 * j.startswith(("wrist", "hand", "thumb", "ankle", "foot")) for j in NTU_25.joints])


def _noise(rng: Generator, x: Array, metres: float) -> Array:
    """Add jitter that lasts a few frames; its size differs between clips."""
    rows, frames, joints, axes = x.shape
    quality = metres * np.exp(rng.normal(0, 0.35, (rows, 1, 1)))
    jitter = rng.normal(0, 1, (frames, rows, joints, axes))
    for t in range(1, frames):
        jitter[t] = 0.7 * jitter[t - 1] + np.sqrt(1 - 0.7**2) * jitter[t]
    return x + jitter.swapaxes(0, 1) * (quality * _TREMBLE[:, None])[:, None]


def _dropouts(rng: Generator, x: Array, odds: float) -> Array:
    """Lose joints for some frames: one freezes where it was last seen, or jumps aside."""
    rows, frames, joints, _ = x.shape
    source = np.broadcast_to(np.arange(frames)[None, :, None], (rows, frames, joints)).copy()
    aside = np.zeros_like(x)
    clip, weights = np.arange(rows), _TREMBLE / _TREMBLE.sum()
    for _ in range(4):
        lost = rng.random(rows) < odds
        joint = rng.choice(joints, rows, p=weights)
        start = rng.integers(1, frames, rows)[:, None]
        stop = start + rng.integers(4, 16, rows)[:, None]
        during = (np.arange(frames) >= start) & (np.arange(frames) < stop) & lost[:, None]
        jumps = rng.random(rows) < 0.4
        frozen = np.minimum(source[clip, :, joint], start - 1)
        source[clip, :, joint] = np.where(during & ~jumps[:, None], frozen, source[clip, :, joint])
        offset = rng.normal(0, 0.12, (rows, 3))
        aside[clip, :, joint] += offset[:, None] * (during & jumps[:, None])[..., None]
    return np.take_along_axis(x, source[..., None], axis=1) + aside


# ---------------------------------------------------------------- the set


def _clips(
    rng: Generator,
    action: Action,
    who: NDArray[np.int64],
    yaw: Array,
    cast: "_Cast",
    frames: int,
    noise: float,
    dropout: float,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All clips of one action: (n, 3, T, V, 2) and (n,) lengths."""
    rows = len(who)
    length = rng.integers(max(2, round(0.6 * frames)), frames + 1, rows)
    time = np.broadcast_to(np.arange(frames) * (SECONDS / frames), (rows, frames))
    end: Array = length[:, None].astype(np.float64) * (SECONDS / frames)
    persons = [who, cast.partner[who]] if action.together else [who]
    moved = []
    for person in persons:
        habits = {name: value[person] for name, value in cast.habits.items()}
        moved.append(_move(_perform(rng, action, habits, time, end), cast.bodies[person], frames))
    scene = _record(rng, _stage(rng, moved[0], moved[1] if len(moved) == 2 else None, action, length - 1), yaw)
    x = np.zeros_like(scene)
    for m in range(len(moved)):
        x[..., m] = _dropouts(rng, _noise(rng, scene[..., m], noise), dropout)
    x *= (np.arange(frames) < length[:, None])[..., None, None, None]
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2, 4), dtype=np.float32), length


@dataclass(frozen=True)
class _Cast:
    """The subjects: bodies (S, 25, 3), habits of (S,) each, and with whom each does what takes two."""

    bodies: Array
    habits: dict[str, Array]
    partner: NDArray[np.int64]


def _pick(actions: Sequence[str] | None) -> list[int]:
    known = [action.name for action in ACTIONS]
    if actions is None:
        return list(range(len(known)))
    unknown = [name for name in actions if name not in known]
    if unknown or not actions or len(set(actions)) != len(actions):
        raise InputError(f"actions must be different names out of {known}; got {list(actions)}. Choose from the list.")
    return [known.index(name) for name in actions]


def synthetic(
    subjects: int = 20,
    repetitions: int = 1,
    cameras: int = 3,
    frames: int = 64,
    seed: int = 0,
    actions: Sequence[str] | None = None,
    *,
    noise: float = 0.008,
    dropout: float = 0.4,
) -> SkeletonSet:
    """Generate the synthetic set; equal arguments give equal bytes.

    Clips keep their native length (60 to 100 % of `frames`), as a sensor gives them, and are zero after it: the usual
    resampling applies. Each camera records a performance of its own. Half of the subjects, and camera 1, are the test
    parts. Who acts with a partner finds one in the same half.

    Args:
        subjects: S >= 2, who differ in size, proportions, tempo, amplitude and posture.
        repetitions: clips of each action per subject and camera.
        cameras: how many views, from 45 degrees left to 45 degrees right; one is in front.
        frames: T >= 8; they cover 64/30 seconds whatever T is.
        seed: everything derives from it.
        actions: names out of `ACTIONS`, in the order of the labels; all when left out.
        noise: metres, typical deviation of a trunk joint; thin ends have nearly twice as much.
        dropout: chance of each of four losses of a joint per clip.

    Returns:
        SkeletonSet of len(actions) * S * cameras * repetitions clips, (N, 3, T, 25, 2) float32 metres in NTU's camera
        space, protocols "cross-subject" and, with two cameras or more, "cross-view".

    Raises:
        InputError: a number is out of range or an action unknown.
    """
    wanted = {
        "subjects": (subjects, 2),
        "repetitions": (repetitions, 1),
        "cameras": (cameras, 1),
        "frames": (frames, 8),
    }
    for name, (value, least) in wanted.items():
        if value < least:
            raise InputError(f"{name} must be at least {least}, it is {value}. Give a larger number.")
    picked = _pick(actions)
    rng, half, number = np.random.default_rng([seed, len(ACTIONS)]), subjects // 2, np.arange(subjects)
    partner = np.where(number < half, (number + 1) % half, half + (number - half + 1) % (subjects - half))
    cast = _Cast(_bodies(rng, subjects), _habits(rng, subjects), partner)
    who, camera, repeat = (
        axis.ravel() for axis in np.meshgrid(number, np.arange(cameras), np.arange(repetitions), indexing="ij")
    )
    yaw = np.linspace(-45, 45, cameras)[camera] if cameras > 1 else np.zeros(len(who))
    made = [
        _clips(np.random.default_rng([seed, i]), ACTIONS[i], who, yaw, cast, frames, noise, dropout) for i in picked
    ]
    subject, view = np.tile(who + 1, len(picked)), np.tile(camera + 1, len(picked))
    names = tuple(
        f"{ACTIONS[i].name.replace(' ', '-')}_s{s + 1:02d}_c{c + 1}_r{r}"
        for i in picked
        for s, c, r in zip(who, camera, repeat, strict=True)
    )
    protocols = {"cross-subject": subject > half}
    if cameras > 1:
        protocols["cross-view"] = view == 1
    return SkeletonSet(
        x=np.concatenate([x for x, _ in made]),
        y=np.repeat(np.arange(len(picked)), len(who)),
        layout=NTU_25,
        classes=tuple(ACTIONS[i].name for i in picked),
        names=names,
        ids={"subject": subject, "camera": view},
        length=np.concatenate([length for _, length in made]),
        protocols=protocols,
        source="synthetic",
        synthetic=True,
    )
