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
    "bend": (-12, 90, 6, 4.0),  # spine forward
    "turn": (-35, 35, 0, 18.0),  # the whole body to the left
    "side": (-25, 25, 4, 3.0),  # spine to the right
    "twist": (-40, 40, 9, 8.0),  # spine to the left
    "nod": (-40, 50, 8, 4.0),
    "tilt": (-25, 25, 4, 2.0),
    "look": (-60, 60, 12, 8.0),
    "arm_raise": (-50, 175, 6.5, 4.0),
    "arm_out": (-40, 150, 5.5, 3.0),
    "arm_turn": (-90, 90, 6, 4.0),
    "elbow": (0, 145, 9, 5.0),
    "wrist": (-50, 50, 8, 5.0),
    "thigh_raise": (-25, 115, 1.5, 0.5),
    "thigh_out": (-20, 50, 1.5, 0.0),
    "thigh_turn": (-40, 40, 4, 0.0),
    "knee": (0, 140, 2, 0.7),
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
_PARTS = (("spine_mid", "spine_shoulder"), ("shoulder",), ("elbow", "wrist"), ("hip",), ("knee", "ankle"))


# ---------------------------------------------------------------- actions: progress or phase -> angles


@dataclass(frozen=True)
class Style:
    """How one clip is performed, (n, 1) each: amplitude near 1; what height and manner in [-1, 1] do, a motion says.

    Between two persons, height is how much taller the partner is, in metres.
    """

    amplitude: Array
    height: Array
    manner: Array


def _both(**angles: Array) -> Pose:
    """The same angles left and right."""
    return {name + side: value for name, value in angles.items() for side in ("_l", "_r")}


def _bump(p: Array, at: float, width: float) -> Array:
    return np.exp(-(((p - at) / width) ** 2))


def _ease(p: Array) -> Array:
    """0 to 1 without a jerk, constant outside [0, 1]."""
    p = np.clip(p, 0, 1)
    return p * p * (3 - 2 * p)


def _wave(p: Array, style: Style, rest: Pose) -> Pose:
    high = style.height
    return {
        "arm_out_r": 62 + 25 * high + 0 * p,
        "arm_raise_r": 20 + 22 * style.manner + 0 * p,
        "arm_turn_r": -76 + 0 * p,
        "elbow_r": 82 - 12 * high + 40 * style.amplitude * np.sin(p),
        "wrist_r": -12 * np.cos(p),
        "tilt": rest["tilt"] + 3 * np.sin(p),
    }


def _kick(p: Array, style: Style, rest: Pose) -> Pose:
    back, front = _bump(p, 0.25, 0.13), style.amplitude * _bump(p, 0.55, 0.16)
    return {
        "thigh_raise_r": rest["thigh_raise_r"] - 20 * back + (70 + 15 * style.height) * front,
        "knee_r": rest["knee_r"] + 70 * back + 25 * _bump(p, 0.42, 0.1) + (18 + 15 * style.manner) * front,
        "knee_l": rest["knee_l"] + 12 * front,
        "thigh_raise_l": rest["thigh_raise_l"] + 6 * front,
        "bend": rest["bend"] + 8 * back - 14 * front,
        "arm_raise_l": rest["arm_raise_l"] - 10 * back + 30 * front,
        "arm_raise_r": rest["arm_raise_r"] + 10 * back - 25 * front,
    }


def _sit(p: Array, style: Style, rest: Pose) -> Pose:
    down, lean = _ease(p), _bump(p, 0.5, 0.25)
    deep = 82 + 10 * style.height
    pose = {"bend": rest["bend"] + (32 + 12 * style.manner) * lean, "nod": rest["nod"] - 10 * lean}
    for side in ("_l", "_r"):
        pose["thigh_raise" + side] = rest["thigh_raise" + side] * (1 - down) + deep * down
        pose["knee" + side] = rest["knee" + side] * (1 - down) + deep * down + 14 * lean
        pose["arm_raise" + side] = rest["arm_raise" + side] + 12 * down + 22 * style.amplitude * lean
    return pose


def _lift(p: Array, style: Style, rest: Pose) -> Pose:
    """Down with empty arms, up again with a box in both hands."""
    down, hold = style.amplitude * np.sin(np.pi * np.clip(p, 0, 1)) ** 2, _ease((p - 0.5) / 0.4)
    reach = _ease(p / 0.45)  # the arms do what they like until then
    knees, back = 1 + 0.35 * style.manner, 1 - 0.25 * style.manner
    pose = {"bend": rest["bend"] + 68 * back * down, "nod": rest["nod"] + 10 * down}
    for side in ("_l", "_r"):
        pose["thigh_raise" + side] = rest["thigh_raise" + side] + 66 * knees * down
        pose["knee" + side] = rest["knee" + side] + 78 * knees * down
        arms = {
            "arm_raise": 4 + 64 * back * down + (14 + 14 * style.height) * hold,
            "arm_out": 6 + 0 * p,
            "arm_turn": 6 + 12 * hold,
            "elbow": 14 + 72 * hold * (1 - 0.8 * down),
        }
        for name, angle in arms.items():
            pose[name + side] = rest[name + side] + reach * (angle - rest[name + side])
    return pose


def _stride(p: Array, style: Style, rest: Pose) -> Pose:
    """A step of each leg per turn of p, arms against the legs."""
    pose: Pose = {"twist": rest["twist"] + 5 * np.sin(p)}
    for side, q in (("_l", p), ("_r", p + np.pi)):
        swing = np.clip(np.cos(q + 0.25), 0, 1) ** 1.5
        pose["thigh_raise" + side] = 10 + 27 * style.amplitude * np.sin(q)
        pose["knee" + side] = 8 + (46 + 8 * style.manner) * swing
        pose["arm_raise" + side] = rest["arm_raise" + side] - 22 * style.amplitude * np.sin(q)
    return pose


def _march(p: Array, style: Style, rest: Pose) -> Pose:
    """On the spot: one knee up, then the other."""
    pose: Pose = {"twist": rest["twist"] + 5 * np.sin(p)}
    for side, q in (("_l", p), ("_r", p + np.pi)):
        up = style.amplitude * np.clip(np.sin(q), 0, 1) ** 1.5
        pose["thigh_raise" + side] = rest["thigh_raise" + side] + (44 + 12 * style.height) * up
        pose["knee" + side] = rest["knee" + side] + (68 + 16 * style.manner) * up
        pose["arm_raise" + side] = rest["arm_raise" + side] - 20 * style.amplitude * np.sin(q)
    return pose


def _clap(p: Array, style: Style, rest: Pose) -> Pose:
    apart = style.amplitude * (0.5 - 0.5 * np.cos(p))
    return _both(
        arm_raise=34 + 30 * style.height + 0 * p,
        arm_out=3 + 14 * apart,
        arm_turn=32 - 62 * apart,
        elbow=80 + 12 * style.manner + 0 * p,
        wrist=0 * p,
    ) | {"bend": rest["bend"] + 2 * np.cos(p)}


def _circle(p: Array, style: Style, rest: Pose) -> Pose:
    """Both hands draw circles in front of the body, up in the middle and down outside."""
    return _both(
        arm_raise=68 + 20 * style.height + 30 * style.amplitude * np.cos(p),
        arm_out=18 + 25 * style.amplitude * np.sin(p),
        arm_turn=0 * p,
        elbow=42 + 30 * style.manner + 0 * p,
    ) | {"bend": rest["bend"] - 3 * np.cos(p)}


def _shake(p: Array, style: Style, rest: Pose) -> Pose:
    pump = style.amplitude * np.sin(p)
    return {
        "arm_raise_r": 38 + 45 * style.height + 8 * pump,
        "arm_out_r": -8 + 0 * p,
        "arm_turn_r": 25 + 0 * p,
        "elbow_r": 48 + 20 * pump,
        "bend": rest["bend"] + 5 + pump,
    }


@dataclass(frozen=True)
class Action:
    """A class of the synthetic set.

    Args:
        name: the class, in words.
        motion: (p, style, rest) -> angles; p (n, T) is a phase in radians where `rate` is given, else progress 0..1;
            `rest` is how the performer stands. Angles left out stay at rest.
        rate: repetitions per second; None for an action that is done once.
        reverse: time runs backwards.
        mirror: left and right are swapped.
        gesture: the limbs start from rest in some clips and take up the motion.
        together: two persons do it, facing each other.
    """

    name: str
    motion: Callable[[Array, Style, Pose], Pose]
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
    Action("walk on the spot", _march, rate=0.9),
    Action("run on the spot", _march, rate=2.3),
    Action("clap slowly", _clap, rate=1.0, gesture=True),
    Action("clap fast", _clap, rate=2.8, gesture=True),
    Action("circle hands inwards", _circle, rate=1.0, reverse=True, gesture=True),
    Action("circle hands outwards", _circle, rate=1.0, gesture=True),
    Action("shake hands", _shake, rate=2.0, gesture=True, together=True),
    Action("walk towards each other", _stride, rate=0.95, together=True),
)
"""The classes, partners beside each other."""


def _mirrored(pose: Pose) -> Pose:
    """Swap left and right; what turns or leans to one side turns to the other."""
    swapped = {"_l": "_r", "_r": "_l"}
    other = {k[:-2] + swapped[k[-2:]] if k[-2:] in swapped else k: v for k, v in pose.items()}
    return {k: -v if k in ("turn", "side", "twist", "tilt", "look") else v for k, v in other.items()}


# ---------------------------------------------------------------- who performs, and how


def _bodies(rng: Generator, stature: Array) -> Array:
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


def _habits(rng: Generator, count: int) -> dict[str, Array]:
    """What a subject keeps from clip to clip: tempo, amplitude and (count,) rest of every angle in degrees."""
    habits = {name: rng.normal(0, _spread(name), count) for name in LIMITS}
    return habits | {"tempo": rng.normal(0, 0.1, count), "amplitude": rng.uniform(0.75, 1.1, count)}


def _spread(name: str, column: int = 2) -> float:
    return _ANGLES[name.removesuffix("_l").removesuffix("_r")][column]


# How an arm that has nothing to do is held: raise, out, turn, elbow.
_IDLE_ARMS = np.array(
    [
        (0, 9, 10, 14),  # hangs
        (2, 12, 5, 35),
        (-14, 44, 75, 88),  # hand on the hip
        (14, 4, 30, 88),  # forearm before the body
        (-28, 12, 40, 40),  # behind the back
        (45, 15, 10, 128),  # a telephone at the ear
        (60, 20, 0, 40),  # stretched forward
        (20, 70, -60, 90),  # raised aside
    ],
    dtype=float,
)
_IDLE_ODDS = (0.2, 0.12, 0.1, 0.13, 0.07, 0.1, 0.12, 0.16)


def _idle_arm(rng: Generator, time: Array) -> Array:
    """(4, n, T) raise, out, turn, elbow: held in one way, in most clips changed slowly into another."""
    rows = len(time)
    one, other = _IDLE_ARMS[rng.choice(len(_IDLE_ARMS), (2, rows), p=_IDLE_ODDS)]
    changed = (rng.random((rows, 1)) < 0.6) * _ease((time - rng.uniform(-0.2, 1.4, (rows, 1))) / 0.9)
    return np.asarray(one.T[..., None] + changed * (other - one).T[..., None])


def _wander(rng: Generator, time: Array) -> Array:
    """(n, T) slow random movement with standard deviation near 1."""
    rows = (len(time), 1)
    moved = np.zeros_like(time)
    for _ in range(2):
        turns = rng.uniform(0.15, 0.6, rows) * time + rng.uniform(0, 1, rows)
        moved += rng.normal(0, 0.8, rows) * np.sin(2 * np.pi * turns)
    return moved


def _rest(rng: Generator, habits: dict[str, Array], time: Array, sway: float) -> Pose:
    """(n, T) angles of people who stand, the arms held somehow: their habits, what this clip has of its own, sway."""
    rows = (len(time), 1)
    pose: Pose = {}
    for name in LIMITS:
        own = habits[name][:, None] + rng.normal(0, _spread(name), rows)
        pose[name] = own + sway * _spread(name, 3) * _wander(rng, time)
    stance, apart, shift = rng.normal(0, 5, rows), rng.uniform(1, 9, rows), 2.5 * _wander(rng, time)
    bent = rng.uniform(4, 20, rows)
    for side, sign in (("_l", -1), ("_r", 1)):
        legs: Pose = {
            "knee": bent,
            "thigh_raise": bent / 2 + sign * stance,
            "thigh_out": apart + sign * shift,
            "thigh_turn": np.full(rows, -7.0),
        }
        arm = dict(zip(("arm_raise", "arm_out", "arm_turn", "elbow"), _idle_arm(rng, time), strict=True))
        for name, angle in (legs | arm).items():
            pose[name + side] += angle
    return pose


def _timing(rng: Generator, action: Action, tempo: Array, time: Array, end: Array) -> tuple[Array, Array]:
    """When what happens in n clips: (n, T) phase or progress, and (n, T) how far a gesture is taken up, 0..1.

    tempo (n,) is 0 for the usual one, time (n, T) and end (n, 1) are seconds.
    """
    rows = (len(time), 1)
    pace = np.exp(tempo[:, None] + rng.normal(0, 0.06, rows))
    if action.rate is not None:
        turns = rng.uniform(0, 1, rows) + action.rate * pace * time + 0.03 * _wander(rng, time)
        progress = 2 * np.pi * (-turns if action.reverse else turns)
    else:
        span = end * rng.uniform(0.45, 0.8, rows) / np.clip(pace, 0.9, None)
        progress = (time - rng.uniform(-0.08, 1, rows) * (end - span)) / span
        progress = 1 - progress if action.reverse else progress
    start = rng.uniform(-0.5, 0.1, rows) if action.gesture else -1.0
    return progress, _ease((time / end - start) / 0.2)


def _perform(
    rng: Generator, action: Action, timing: tuple[Array, Array], habits: dict[str, Array], taller: Array | None
) -> Pose:
    """The angles of n performances by persons with these habits, (n,) each; taller (n,) is by how much a partner is."""
    progress, taken_up = timing
    rows = (len(progress), 1)
    height = rng.uniform(-1, 1, rows) if taller is None else taller[:, None]
    amplitude = habits["amplitude"][:, None] * rng.uniform(0.9, 1.1, rows)
    style = Style(amplitude, height, rng.uniform(-1, 1, rows))
    time = np.arange(progress.shape[1]) * np.full(rows, SECONDS / progress.shape[1])
    rest = _rest(rng, habits, time, sway=0.3 if action.together else 1.0)
    side = _mirrored if action.mirror else dict
    motion = side(action.motion(progress, style, side(rest)))
    pose = {name: angle + taken_up * (motion.get(name, angle) - angle) for name, angle in rest.items()}
    for foot in ("_l", "_r"):  # stays flat as far as ankles can
        pose["ankle" + foot] = pose["knee" + foot] - pose["thigh_raise" + foot]
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
    joints = {"spine_base": _turned(1, pose["turn"]) @ base, "spine_mid": spine(0.45)}
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


def _spun(points: Array, degrees: Array, axis: int = 1) -> Array:
    """Turn (n, T, V, 3) by (n,) degrees, about y when no other axis is given."""
    turned: Array = points @ _turned(axis, degrees)[:, None].swapaxes(-1, -2)
    return turned


def _opposite(
    rng: Generator, first: Array, second: Array, shaking: Array | None, last: NDArray[np.int64]
) -> tuple[Array, Array]:
    """Turn two persons towards each other, (n, T, V, 3) each, as close as hands reach or as two who met stand.

    shaking (n, T) says how far their right hands have met, 0..1; None: they walk and have met in frame last (n,).
    """
    rows, now, hand = len(first), np.arange(first.shape[1]), NTU_25.joints.index("hand_r")
    first, second = _spun(first, np.full(rows, -90.0)), _spun(second, np.full(rows, 90.0))
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


_RIGHT_ARM = ("elbow_r", "wrist_r", "hand_r", "hand_tip_r", "thumb_r")  # in the order of NTU-25


def _record(rng: Generator, persons: Sequence[Array], yaw: Array, last: NDArray[np.int64]) -> list[Array]:
    """Each person (n, T, V, 3) in camera space: on average in the middle, turned by the camera's yaw and by chance."""
    rows, now = len(yaw), np.arange(persons[0].shape[1])
    inside = (now <= last[:, None])[..., None]
    spine = np.mean([person[:, :, NTU_25.centre] for person in persons], axis=0)
    middle = (spine * inside).sum(axis=1) / inside.sum(axis=1)
    middle[:, 1] = 0
    height, distance = rng.uniform(0.9, 1.6, rows), rng.uniform(2.6, 3.8, rows) + 0.6 * (len(persons) - 1)
    pitch = np.degrees(0.6 * np.arctan2(height - 0.9, distance)) + rng.normal(0, 4, rows)
    turn, aside = yaw + rng.uniform(-12, 12, rows), rng.normal(0, 0.2, rows)
    place = np.stack([aside, -height, distance], axis=-1)[:, None, None]
    seen = [_spun(person - middle[:, None, None], turn) + place for person in persons]
    return [_spun(person, -pitch, axis=0) for person in seen]


# How far each joint trembles, relative to the trunk: thin and far ends are seen worst.
_TREMBLE = np.array([1.0 + 0.8 * j.startswith(("wrist", "hand", "thumb", "ankle", "foot")) for j in NTU_25.joints])


def _noise(rng: Generator, x: Array, metres: float) -> Array:
    """Add jitter that lasts a few frames; its size differs between clips."""
    rows, frames, joints, axes = (int(size) for size in x.shape)
    quality = metres * np.exp(rng.normal(0, 0.35, (rows, 1, 1)))
    jitter = rng.normal(0, 1, (frames, rows, joints, axes))
    for t in range(1, frames):
        jitter[t] = 0.7 * jitter[t - 1] + np.sqrt(1 - 0.7**2) * jitter[t]
    scale: Array = quality * _TREMBLE[:, None]
    return x + jitter.swapaxes(0, 1) * scale[:, None]


def _dropouts(rng: Generator, x: Array, odds: float) -> Array:
    """Lose joints for some frames: one freezes where it was last seen, or jumps aside."""
    rows, frames, joints = len(x), x.shape[1], x.shape[2]
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
    timing = _timing(rng, action, cast.habits["tempo"][who], time, end)
    taller = cast.stature[cast.partner[who]] - cast.stature[who] if action.together else None
    persons = [(who, taller)] if taller is None else [(who, taller), (cast.partner[who], -taller)]
    moved = []
    for person, by in persons:
        habits = {name: value[person] for name, value in cast.habits.items()}
        moved.append(_move(_perform(rng, action, timing, habits, by), cast.bodies[person], frames))
    if action.together:
        moved = list(_opposite(rng, moved[0], moved[1], timing[1] if action.gesture else None, length - 1))
        swapped = (rng.random(rows) < 0.5)[:, None, None, None]  # who is person 0 says nothing
        moved = [np.where(swapped, moved[1], moved[0]), np.where(swapped, moved[0], moved[1])]
    x = np.zeros((rows, frames, NTU_25.num_joints, 3, 2))
    for m, seen in enumerate(_record(rng, moved, yaw, length - 1)):
        x[..., m] = _dropouts(rng, _noise(rng, seen, noise), dropout)
    x *= (np.arange(frames) < length[:, None])[..., None, None, None]
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2, 4), dtype=np.float32), length


@dataclass(frozen=True)
class _Cast:
    """The subjects: statures (S,), bodies (S, 25, 3), habits of (S,) each, and with whom each does what takes two."""

    stature: Array
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
    noise: float = 0.01,
    dropout: float = 0.5,
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
    stature = rng.uniform(1.5, 1.95, subjects)
    cast = _Cast(stature, _bodies(rng, stature), _habits(rng, subjects), partner)
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
