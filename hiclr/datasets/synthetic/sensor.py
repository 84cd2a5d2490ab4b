"""The sensor: where it stands, how it trembles, what it loses."""

from collections.abc import Sequence

import numpy as np
from numpy.random import Generator
from numpy.typing import NDArray

from hiclr.datasets.synthetic.actions import Array
from hiclr.datasets.synthetic.body import spun
from hiclr.skeleton import NTU_25

__all__ = ["lose", "record", "tremble"]


def record(rng: Generator, persons: Sequence[Array], yaw: Array, last: NDArray[np.int64]) -> list[Array]:
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
    seen = [spun(person - middle[:, None, None], turn) + place for person in persons]
    return [spun(person, -pitch, axis=0) for person in seen]


# How far each joint trembles, relative to the trunk: thin and far ends are seen worst.
_TREMBLE = np.array([1.0 + 0.8 * j.startswith(("wrist", "hand", "thumb", "ankle", "foot")) for j in NTU_25.joints])


def tremble(rng: Generator, x: Array, metres: float) -> Array:
    """Add jitter that lasts a few frames; its size differs between clips."""
    rows, frames, joints, axes = (int(size) for size in x.shape)
    quality = metres * np.exp(rng.normal(0, 0.35, (rows, 1, 1)))
    jitter = rng.normal(0, 1, (frames, rows, joints, axes))
    for t in range(1, frames):
        jitter[t] = 0.7 * jitter[t - 1] + np.sqrt(1 - 0.7**2) * jitter[t]
    scale: Array = quality * _TREMBLE[:, None]
    return x + jitter.swapaxes(0, 1) * scale[:, None]


def lose(rng: Generator, x: Array, odds: float) -> Array:
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
