"""The actions: joint angles as functions of time. A new one is one function and one line of `ACTIONS`.

Angles are in degrees; positive means forward (raise), away from the middle (out), towards the middle (turn of a limb),
flexed (elbow, knee). At zero a body stands straight with hanging arms.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

__all__ = ["ACTIONS", "ANGLES", "LIMITS", "Action", "Array", "Pose", "Style", "ease", "mirrored"]

Array = NDArray[np.float64]
Pose = dict[str, Array]  # angle -> (n, T) degrees, or (n, 1) where it does not change

# Angle -> (lowest, highest, how far its rest differs between clips, how far it wanders within one), in degrees.
# The angles of a limb exist twice, with _l and _r.
ANGLES: dict[str, tuple[float, float, float, float]] = {
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
    for name, row in ANGLES.items()
    for side in (("_l", "_r") if name.startswith(_LIMBS) else ("",))
}
"""Angle -> (lowest, highest) in degrees: no pose leaves them."""


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


def ease(p: Array) -> Array:
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
    down, lean = ease(p), _bump(p, 0.5, 0.25)
    deep = 82 + 10 * style.height
    pose = {"bend": rest["bend"] + (32 + 12 * style.manner) * lean, "nod": rest["nod"] - 10 * lean}
    for side in ("_l", "_r"):
        pose["thigh_raise" + side] = rest["thigh_raise" + side] * (1 - down) + deep * down
        pose["knee" + side] = rest["knee" + side] * (1 - down) + deep * down + 14 * lean
        pose["arm_raise" + side] = rest["arm_raise" + side] + 12 * down + 22 * style.amplitude * lean
    return pose


def _lift(p: Array, style: Style, rest: Pose) -> Pose:
    """Down with empty arms, up again with a box in both hands."""
    down, hold = style.amplitude * np.sin(np.pi * np.clip(p, 0, 1)) ** 2, ease((p - 0.5) / 0.4)
    reach = ease(p / 0.45)  # the arms do what they like until then
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


def mirrored(pose: Pose) -> Pose:
    """Swap left and right; what turns or leans to one side turns to the other."""
    swapped = {"_l": "_r", "_r": "_l"}
    other = {k[:-2] + swapped[k[-2:]] if k[-2:] in swapped else k: v for k, v in pose.items()}
    return {k: -v if k in ("turn", "side", "twist", "tilt", "look") else v for k, v in other.items()}
