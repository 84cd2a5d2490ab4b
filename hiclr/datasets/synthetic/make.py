"""`synthetic`: subjects, actions and cameras become a `SkeletonSet`."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.synthetic.acting import SECONDS, draw_habits, perform, schedule
from hiclr.datasets.synthetic.actions import ACTIONS, Action, Array
from hiclr.datasets.synthetic.body import bodies, move, opposite
from hiclr.datasets.synthetic.sensor import lose, record, tremble
from hiclr.errors import InputError
from hiclr.skeleton import NTU_25

__all__ = ["synthetic"]


@dataclass(frozen=True)
class _Cast:
    """The subjects: statures (S,), bodies (S, 25, 3), habits of (S,) each, and with whom each does what takes two."""

    stature: Array
    bodies: Array
    habits: dict[str, Array]
    partner: NDArray[np.int64]


def _clips(
    rng: Generator,
    action: Action,
    who: NDArray[np.int64],
    yaw: Array,
    cast: _Cast,
    frames: int,
    noise: float,
    dropout: float,
) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """All clips of one action: (n, 3, T, V, 2) and (n,) lengths."""
    rows = len(who)
    length = rng.integers(max(2, round(0.6 * frames)), frames + 1, rows)
    time = np.broadcast_to(np.arange(frames) * (SECONDS / frames), (rows, frames))
    end: Array = length[:, None].astype(np.float64) * (SECONDS / frames)
    timing = schedule(rng, action, cast.habits["tempo"][who], time, end)
    taller = cast.stature[cast.partner[who]] - cast.stature[who] if action.together else None
    persons = [(who, taller)] if taller is None else [(who, taller), (cast.partner[who], -taller)]
    moved = []
    for person, by in persons:
        habits = {name: value[person] for name, value in cast.habits.items()}
        moved.append(move(perform(rng, action, timing, habits, by), cast.bodies[person], frames))
    if action.together:
        moved = list(opposite(rng, moved[0], moved[1], timing[1] if action.gesture else None, length - 1))
        swapped = (rng.random(rows) < 0.5)[:, None, None, None]  # who is person 0 says nothing
        moved = [np.where(swapped, moved[1], moved[0]), np.where(swapped, moved[0], moved[1])]
    x = np.zeros((rows, frames, NTU_25.num_joints, 3, 2))
    for m, seen in enumerate(record(rng, moved, yaw, length - 1)):
        x[..., m] = lose(rng, tremble(rng, seen, noise), dropout)
    x *= (np.arange(frames) < length[:, None])[..., None, None, None]
    return np.ascontiguousarray(x.transpose(0, 3, 1, 2, 4), dtype=np.float32), length


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
        seed: at least 0; everything derives from it.
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
        "seed": (seed, 0),
        "noise": (noise, 0),
        "dropout": (dropout, 0),
    }
    for name, (value, least) in wanted.items():
        if value < least:
            raise InputError(f"{name} must be at least {least}, it is {value}. Give a larger one.")
    picked = _pick(actions)
    rng, half, number = np.random.default_rng([seed, 0]), subjects // 2, np.arange(subjects)
    partner = np.where(number < half, (number + 1) % half, half + (number - half + 1) % (subjects - half))
    stature = rng.uniform(1.5, 1.95, subjects)
    cast = _Cast(stature, bodies(rng, stature), draw_habits(rng, subjects), partner)
    who, camera, repeat = (
        axis.ravel() for axis in np.meshgrid(number, np.arange(cameras), np.arange(repetitions), indexing="ij")
    )
    yaw = np.linspace(-45, 45, cameras)[camera] if cameras > 1 else np.zeros(len(who))
    made = [  # a generator each: a choice of actions leaves their clips as they are
        _clips(np.random.default_rng([seed, 1 + i]), ACTIONS[i], who, yaw, cast, frames, noise, dropout) for i in picked
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
        fps=frames / SECONDS,
    )
