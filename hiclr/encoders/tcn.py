"""TCN: convolution over time alone, on all joints at once. For small sets, where a graph network learns too slowly."""

import torch
from torch import Tensor, nn

from hiclr.datasets.streams import motion
from hiclr.encoders.edges import Inside
from hiclr.encoders.initial import Init, initialise
from hiclr.encoders.persons import Persons, SkeletonEncoder, check_sizes
from hiclr.skeleton import Layout

__all__ = ["TCN"]


class TCN(SkeletonEncoder):
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
        check_sizes(channels, features, kernel, dropout, persons, init)
        super().__init__(layout, features, persons)
        inputs = 6 * layout.num_joints
        self.norm = nn.BatchNorm1d(inputs)
        layers: list[nn.Module] = []
        for outputs, stride in ((channels, 1), (channels, 2), (features, 2), (features, 1)):
            layers += [
                nn.Conv1d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
                nn.BatchNorm1d(outputs),
                nn.ReLU(inplace=True),
                nn.Dropout(dropout),
            ]
            inputs = outputs
        self.layers = nn.Sequential(*layers[:-1])
        initialise(self, init)

    def feature_map(self, rows: Tensor, _: Inside | None = None) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, D, ceil(T / 4), 1): there is no joint to tell apart any more."""
        velocity = motion(rows.permute(0, 3, 1, 2)[..., None])[..., 0].permute(0, 2, 3, 1)
        h = torch.cat([rows, velocity], dim=3).flatten(2).transpose(1, 2)  # (R, 6V, T)
        mapped: Tensor = self.layers(self.norm(h))
        return mapped[..., None]
