"""How clips are looked at: where the camera stands, and where a point in metres falls on the picture."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from hiclr.figures.poses import check_clip
from hiclr.skeleton import Layout

__all__ = ["HOME", "Camera", "Place", "place_of", "to_pixels"]

_MARGIN = 1.12  # the picture is this much larger than the clip it is fitted to
_EYE = 5.0  # distance of the eye in radii, as in the player


class Place(NamedTuple):
    """Where the camera looks: fitted once, so that an update never moves the picture.

    Args:
        target: the point in the middle of the picture, metres.
        radius: half the height of what is shown, metres.
        floor: height of the floor, metres.
        facing: the side to look from, radians about y, 0 being +z.
    """

    target: tuple[float, float, float]
    radius: float
    floor: float
    facing: float


class Camera(NamedTuple):
    """From where the reader looks, beside `Place`: radians about the vertical and above the floor, and the zoom."""

    yaw: float
    pitch: float
    zoom: float


HOME = Camera(0.45, 0.16, 1.0)
"""The first look, from the front and a little from above: the same as in the player."""


def place_of(clip: Any, layout: Layout) -> Place:
    """Where to look, to see all of a clip from the front.

    Args:
        clip: (3, T, V, M) metres, y up.
        layout: the V joints.

    Raises:
        InputError: as `check_clip`.
    """
    x = check_clip(clip, layout)
    there = (x != 0).any(axis=(0, 2))  # (T, M)
    points = x.transpose(1, 3, 2, 0)[there].reshape(-1, 3)
    if not len(points):
        return Place((0.0, 0.0, 0.0), 1.0, -1.0, np.pi)
    low, high = points.min(axis=0), points.max(axis=0)
    across = float(np.hypot(*(high - low)[[0, 2]]))
    radius = _MARGIN * max(float(high[1] - low[1]), across, 1e-3) / 2
    middle = (low + high) / 2
    return Place((float(middle[0]), float(middle[1]), float(middle[2])), radius, float(low[1]), _facing(x, layout))


def _facing(x: NDArray[np.float64], layout: Layout) -> float:
    """The side to look from first: that of the first person's front; with two persons, across the line between them."""
    here = (x != 0).any(axis=(0, 2))  # (T, M)
    both = np.flatnonzero(here[:, :2].all(axis=1)) if here.shape[1] > 1 else np.array([], dtype=int)
    alone = np.flatnonzero(here[:, 0])
    if len(both):
        one, two = x[:, both[0], :, 0].mean(axis=1), x[:, both[0], :, 1].mean(axis=1)
        across = two - one
    elif layout.pairs and len(alone):
        left, right = np.array(layout.pairs).T
        across = (x[:, alone[0], right, 0] - x[:, alone[0], left, 0]).sum(axis=1)  # the front is up × across
    else:
        across = np.array([1.0, 0.0, 0.0])  # as sensors give it: who faces the sensor looks along -z
    return float(np.arctan2(across[2], -across[0])) if across[[0, 2]].any() else np.pi


def to_pixels(
    points: NDArray[Any], place: Place, camera: Camera, size: tuple[int, int], perspective: bool = True
) -> tuple[NDArray[np.float64], float]:
    """Where points fall on a picture of this size, and how many pixels a metre has in its middle.

    Args:
        points: (..., 3) metres.
        place: what is looked at.
        camera: from where.
        size: width and height, pixels.
        perspective: what is near is larger, as in the player's default.

    Returns:
        (..., 4): x to the right, y downwards, depth toward the eye (metres), and the enlargement by nearness; and
        pixels per metre.
    """
    angle = place.facing + camera.yaw
    sa, ca, sp, cp = np.sin(angle), np.cos(angle), np.sin(camera.pitch), np.cos(camera.pitch)
    scale = camera.zoom * min(size) / 2 / place.radius
    distance = _EYE * place.radius
    x, y, z = np.moveaxis(np.asarray(points, dtype=np.float64) - np.array(place.target), -1, 0)
    toward = x * sa + z * ca  # along the floor, toward the eye
    depth = toward * cp + y * sp
    near = distance / np.maximum(distance - depth, 0.2 * distance) if perspective else np.ones_like(depth)
    across = size[0] / 2 + (x * ca - z * sa) * scale * near
    down = size[1] / 2 - (y * cp - toward * sp) * scale * near
    return np.stack([across, down, depth, near], axis=-1), scale
