"""How people differ while they act: habits, held arms, sway, tempo, the moment at which a clip begins."""

import numpy as np
from numpy.random import Generator

from hiclr.datasets.synthetic.actions import ANGLES, LIMITS, Action, Array, Pose, Style, ease, mirrored

__all__ = ["SECONDS", "draw_habits", "perform", "schedule"]

SECONDS = 64 / 30  # what the frames of a clip cover: 64 of them are NTU's 30 per second


def draw_habits(rng: Generator, count: int) -> dict[str, Array]:
    """What a subject keeps from clip to clip: tempo, amplitude and (count,) rest of every angle in degrees."""
    habits = {name: rng.normal(0, spread(name), count) for name in LIMITS}
    return habits | {"tempo": rng.normal(0, 0.1, count), "amplitude": rng.uniform(0.75, 1.1, count)}


def spread(name: str, column: int = 2) -> float:
    """How far an angle's rest differs between clips, or (column 3) wanders within one, in degrees."""
    return ANGLES[name.removesuffix("_l").removesuffix("_r")][column]


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
    changed = (rng.random((rows, 1)) < 0.6) * ease((time - rng.uniform(-0.2, 1.4, (rows, 1))) / 0.9)
    return np.asarray(one.T[..., None] + changed * (other - one).T[..., None])


def wander(rng: Generator, time: Array) -> Array:
    """(n, T) slow random movement with standard deviation 0.8."""
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
        own = habits[name][:, None] + rng.normal(0, spread(name), rows)
        pose[name] = own + sway * spread(name, 3) * wander(rng, time)
    stance, apart, shift = rng.normal(0, 5, rows), rng.uniform(1, 9, rows), 2.5 * wander(rng, time)
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


def schedule(rng: Generator, action: Action, tempo: Array, time: Array, end: Array) -> tuple[Array, Array]:
    """When what happens in n clips: (n, T) phase or progress, and (n, T) how far a gesture is taken up, 0..1.

    tempo (n,) is 0 for the usual one, time (n, T) and end (n, 1) are seconds.
    """
    rows = (len(time), 1)
    pace = np.exp(tempo[:, None] + rng.normal(0, 0.06, rows))
    if action.rate is not None:
        turns = rng.uniform(0, 1, rows) + action.rate * pace * time + 0.03 * wander(rng, time)
        progress = 2 * np.pi * (-turns if action.reverse else turns)
    else:
        span = end * rng.uniform(0.45, 0.8, rows) / np.clip(pace, 0.9, None)
        progress = (time - rng.uniform(-0.08, 1, rows) * (end - span)) / span
        progress = 1 - progress if action.reverse else progress
    start = rng.uniform(-0.5, 0.1, rows) if action.gesture else -1.0
    return progress, ease((time / end - start) / 0.2)


def perform(
    rng: Generator, action: Action, timing: tuple[Array, Array], habits: dict[str, Array], taller: Array | None
) -> Pose:
    """The angles of n performances by persons with these habits, (n,) each; taller (n,) is by how much a partner is."""
    progress, taken_up = timing
    rows = (len(progress), 1)
    height = rng.uniform(-1, 1, rows) if taller is None else taller[:, None]
    amplitude = habits["amplitude"][:, None] * rng.uniform(0.9, 1.1, rows)
    style = Style(amplitude, height, rng.uniform(-1, 1, rows))
    time = np.arange(progress.shape[1]) * np.full(rows, SECONDS / progress.shape[1])
    rest = _rest(rng, habits, time, sway=0.3 if action.together else 1.0)  # who meets somebody attends to that
    side = mirrored if action.mirror else dict
    motion = side(action.motion(progress, style, side(rest)))
    pose = {name: angle + taken_up * (motion.get(name, angle) - angle) for name, angle in rest.items()}
    for foot in ("_l", "_r"):  # stays flat as far as ankles can
        pose["ankle" + foot] = pose["knee" + foot] - pose["thigh_raise" + foot]
    return {name: np.clip(angle, *LIMITS[name]) for name, angle in pose.items()}
