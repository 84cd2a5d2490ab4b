"""Augmentations of space: linear maps, left and right, noise, one axis lost."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Generator, Tensor

from hiclr.augmentations.base import (
    Params,
    Shape,
    check_call,
    check_within,
    gate,
    over_clip,
    over_joints,
    per_clip,
    share,
    transform,
    uniform,
)
from hiclr.datasets.preprocessing import presence
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["AxisMask", "Flip", "Mirror", "Noise", "Rotate", "Scale", "Shear", "Yaw", "rotation_matrix"]


def rotation_matrix(degrees: Tensor) -> Tensor:
    """(N, 3) angles about x, y, z in degrees -> (N, 3, 3): about x first, then y, then z.

    A positive angle turns clockwise for a viewer at whom the axis points: the release multiplies rows, not columns.
    """
    cos, sin = torch.cos(torch.deg2rad(degrees)), torch.sin(torch.deg2rad(degrees))
    matrix = torch.eye(3, device=degrees.device, dtype=degrees.dtype)
    for axis, (a, b) in enumerate(((1, 2), (2, 0), (0, 1))):
        turn = torch.eye(3, device=degrees.device, dtype=degrees.dtype).repeat(len(degrees), 1, 1)
        turn[:, a, a] = turn[:, b, b] = cos[:, axis]
        turn[:, a, b], turn[:, b, a] = sin[:, axis], -sin[:, axis]
        matrix = (turn[..., None] * matrix[..., None, :, :]).sum(dim=2)  # turn @ matrix, in full precision everywhere
    return matrix


@dataclass(frozen=True)
class Shear:
    """Slant every clip with a linear map of its own: x'_n = S_n x_n.

    S_n has ones on its diagonal; its other six entries come from U(-a, a), a = strength * amplitude.

    Args:
        amplitude: bound on the off-diagonal entries at strength 1 (no unit).

    Source: HiCLR (arXiv 2211.13466), basic augmentation; its released setting is 0.5.
    """

    amplitude: float = 0.5
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("Shear: amplitude", self.amplitude, 0)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"matrix": (N, 3, 3)}."""
        check_call(shape, strength)
        entries = uniform((shape[0], 3, 3), -1, 1, generator)
        eye = torch.eye(3, device=entries.device)
        return {"matrix": eye + strength * self.amplitude * entries * (1 - eye)}

    @staticmethod
    def from_released(draws: Tensor) -> Params:
        """The parameters of the release's six draws (N, 6): s1 = first three, s2 = last three."""
        rows = torch.eye(3, dtype=draws.dtype, device=draws.device).repeat(len(draws), 1, 1)
        rows[:, 0, 1], rows[:, 1, 0], rows[:, 2, 0] = draws[:, 0], draws[:, 1], draws[:, 2]
        rows[:, 0, 2], rows[:, 1, 2], rows[:, 2, 1] = draws[:, 3], draws[:, 4], draws[:, 5]
        return {"matrix": rows}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        return transform(params["matrix"], x)


@dataclass(frozen=True)
class Rotate:
    """Turn each clip: one axis by a large angle, the other two by small ones; strength scales the angles.

    Args:
        large: bound in degrees for the axis drawn.
        small: bound in degrees for the other two.
        signed: angles of either sign; the release draws non-negative ones only.

    Source: HiCLR, normal augmentation; released: 30, 1, not signed.
    """

    large: float = 30.0
    small: float = 1.0
    signed: bool = False
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("Rotate: large", self.large, 0)
        check_within("Rotate: small", self.small, 0)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"degrees": (N, 3) about x, y, z, "matrix": (N, 3, 3)}."""
        check_call(shape, strength)
        count = shape[0]
        main = torch.randint(3, (count, 1), generator=generator, device=generator.device)
        angles = uniform((count, 3), -1 if self.signed else 0, 1, generator)
        bound = torch.full_like(angles, self.small).scatter_(1, main, self.large)
        degrees = strength * angles * bound
        return {"degrees": degrees, "matrix": rotation_matrix(degrees)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified. Of the parameters, "matrix" is read."""
        return transform(params["matrix"], x)


@dataclass(frozen=True)
class Yaw:
    """Turn each clip about the vertical, as if the camera stood elsewhere; strength scales the angle.

    Args:
        degrees: the angle comes from U(-degrees, degrees) at strength 1.
    """

    degrees: float = 180.0
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("Yaw: degrees", self.degrees, 0)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"degrees": (N, 1), "matrix": (N, 3, 3)}."""
        check_call(shape, strength)
        angle = strength * uniform((shape[0], 1), -self.degrees, self.degrees, generator)
        return {"degrees": angle, "matrix": rotation_matrix(torch.nn.functional.pad(angle, (1, 1)))}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified. Of the parameters, "matrix" is read."""
        return transform(params["matrix"], x)


@dataclass(frozen=True)
class Scale:
    """A taller or a smaller person: multiply all positions of a clip by 1 + U(-a, a), a = strength * amplitude.

    Args:
        amplitude: largest change of size at strength 1.
    """

    amplitude: float = 0.2
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("Scale: amplitude", self.amplitude, 0, 1)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"factor": (N,)}."""
        check_call(shape, strength)
        return {"factor": 1 + strength * uniform((shape[0],), -self.amplitude, self.amplitude, generator)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        return x * over_clip(params["factor"], x)


@dataclass(frozen=True)
class Flip:
    """Swap the left and right joints of half the clips; x is not negated, so the body turns inside out.

    Strength blends: each joint moves straight towards the place of its partner, and at 1 has reached it.

    Args:
        layout: its left-right pairs are swapped.
        probability: share of clips that are flipped.

    Raises:
        InputError: clips with another number of joints than the layout.

    Source: HiCLR, normal augmentation as released; `Mirror` is the reflection one may have expected.
    """

    layout: Layout
    probability: float = 0.5
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within(f"{type(self).__name__}: probability", self.probability, 0, 1)

    def _check_joints(self, shape: Shape) -> None:
        if shape[3] != self.layout.num_joints:
            raise InputError(
                f"{type(self).__name__} swaps the {self.layout.num_joints} joints of layout {self.layout.name!r}; "
                f"the clips have {shape[3]} (axis 3 of {tuple(shape)}). Give the layout of these clips."
            )

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"on": (N,) bool, "amount": (N,)}."""
        check_call(shape, strength)
        self._check_joints(shape)
        on = gate(shape[0], self.probability, generator)
        return {"on": on, "amount": torch.full((shape[0],), strength, device=on.device)}

    def _swapped(self, x: Tensor) -> Tensor:
        """Joints in the layout's mirrored order, picked from rows of V * M numbers: a tenth of the time."""
        persons = x.shape[4]
        places = torch.tensor(self.layout.mirror)[:, None] * persons + torch.arange(persons)
        rows = x.reshape(-1, x.shape[3] * persons)
        return rows.index_select(1, places.flatten().to(x.device)).view(x.shape)

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        self._check_joints(x.shape)
        return torch.lerp(x, self._swapped(x), share(params, x))


@dataclass(frozen=True)
class Mirror(Flip):
    """A true mirror image of half the clips: left and right joints change places **and** x is negated.

    Strength blends: each joint moves straight towards its place in the image. Not among the paper's augmentations,
    see `Flip`.

    Args:
        layout: its left-right pairs are swapped.
        probability: share of clips that are mirrored.

    Raises:
        InputError: clips with another number of joints than the layout.
    """

    def _swapped(self, x: Tensor) -> Tensor:
        image = super()._swapped(x)
        image[:, 0].neg_()
        return image


@dataclass(frozen=True)
class Noise:
    """Shake every coordinate of half the clips with Gaussian noise of its own; strength scales it.

    Args:
        deviation: standard deviation in metres at strength 1.
        probability: share of clips that are shaken.
        everybody: shake absent persons too, as released; they are no longer absent then.

    Source: HiCLR, normal augmentation; released: 0.01, 0.5, everybody.
    """

    deviation: float = 0.01
    probability: float = 0.5
    everybody: bool = False
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("Noise: deviation", self.deviation, 0)
        check_within("Noise: probability", self.probability, 0, 1)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"on": (N,) bool, "noise": (N, 3, T, V, M) metres}.

        As large as the batch: a generator on a GPU saves the way there.
        """
        check_call(shape, strength)
        on = gate(shape[0], self.probability, generator)
        noise = torch.randn(tuple(shape), generator=generator, device=generator.device, dtype=torch.float32)
        return {"on": on, "noise": noise.mul_(strength * self.deviation)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        wanted = params["on"].to(x.device)[:, None, None]
        wanted = wanted.to(x.dtype)[..., None, None] if self.everybody else over_joints(wanted & presence(x), x)
        return torch.addcmul(x, per_clip(params["noise"], x), wanted)


@dataclass(frozen=True)
class AxisMask:
    """Lose one coordinate axis in half the clips; strength fades it, at 1 it is zero.

    Args:
        probability: share of clips that lose an axis.

    Source: HiCLR, normal augmentation ("channel mask").
    """

    probability: float = 0.5
    after_stream: ClassVar[bool] = False

    def __post_init__(self) -> None:
        check_within("AxisMask: probability", self.probability, 0, 1)

    def sample(self, shape: Shape, strength: float, generator: Generator) -> Params:
        """Draw {"on": (N,) bool, "axis": (N,) 0..2, "amount": (N,)}."""
        check_call(shape, strength)
        on = gate(shape[0], self.probability, generator)
        axis = torch.randint(3, (shape[0],), generator=generator, device=generator.device)
        return {"on": on, "axis": axis, "amount": torch.full((shape[0],), strength, device=on.device)}

    def apply(self, x: Tensor, params: Params) -> Tensor:
        """(N, 3, T, V, M) -> the same shape; x is not modified."""
        axes = torch.arange(3, device=x.device)
        chosen = (params["axis"].to(x.device)[:, None] == axes).to(x.dtype).view(-1, 3, 1, 1, 1)
        return x * (1 - share(params, x) * chosen)
