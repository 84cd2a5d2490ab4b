"""TCN: convolution over time alone, on all joints at once. For small sets, where a graph network learns too slowly."""

from typing import get_args

import torch
from torch import Tensor, nn

from hiclr.encoders.initial import Init, initialise
from hiclr.encoders.persons import Persons, check_clips, mean_over_persons
from hiclr.errors import InputError
from hiclr.skeleton import Layout

__all__ = ["TCN"]

_LAYERS = 4
_STRIDES = (1, 2, 2, 1)


class TCN(nn.Module):
    """Four convolutions over time, each with batch norm and ReLU, on the coordinates and velocities of all joints.

    Channels c, c, features, features; frames are halved by the second and the third layer, then averaged.

    Args:
        layout: gives V.
        channels: c.
        features: D, the width of the last two layers.
        kernel: frames that each convolution sees, odd.
        dropout: rate after every layer but the last.
        persons: see `mean_over_persons`.
        init: see `initialise`.

    Raises:
        InputError: a size that is no positive number, an even kernel, an unknown choice.

    Source: the plain form of temporal convolution networks (arXiv 1704.04516), four layers deep.
    """

    def __init__(
        self,
        layout: Layout,
        channels: int = 128,
        features: int = 256,
        kernel: int = 5,
        dropout: float = 0.0,
        persons: Persons = "present",
        init: Init = "default",
    ) -> None:
        super().__init__()
        if min(channels, features, kernel) < 1 or kernel % 2 == 0:
            raise InputError(
                f"channels and features must be at least 1 and kernel odd; they are {channels}, {features}, {kernel}."
            )
        if persons not in get_args(Persons):
            raise InputError(f"persons must be one of {', '.join(get_args(Persons))}; it is {persons!r}.")
        self.layout, self.features, self.persons = layout, features, persons
        inputs = 6 * layout.num_joints
        self.norm = nn.BatchNorm1d(inputs)
        layers: list[nn.Module] = []
        for number, outputs in enumerate((channels, channels, features, features)):
            layers += [
                nn.Conv1d(inputs, outputs, kernel, _STRIDES[number], kernel // 2, bias=False),
                nn.BatchNorm1d(outputs),
                nn.ReLU(inplace=True),
            ]
            layers += [nn.Dropout(dropout)] if number + 1 < _LAYERS else []
            inputs = outputs
        self.layers = nn.Sequential(*layers)
        initialise(self, init)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, T, V, M) positions in metres, absent persons zero -> (N, D) features.

        Raises:
            InputError: x has another shape, or another V than the layout.
        """
        check_clips(x, self.layout)
        return mean_over_persons(self._encode, x, self.persons)

    def _encode(self, rows: Tensor) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, D)."""
        here = rows.ne(0).any(dim=3).any(dim=2)[:, :, None, None]
        velocity = torch.zeros_like(rows)
        velocity[:, :-1] = (rows[:, 1:] - rows[:, :-1]) * (here[:, 1:] & here[:, :-1])
        h = torch.cat([rows, velocity], dim=3).flatten(2).transpose(1, 2)  # (R, 6V, T)
        pooled: Tensor = self.layers(self.norm(h)).mean(dim=2)
        return pooled
