"""BiGRU: a recurrent network that reads a person forwards and backwards in time."""

import math

from torch import Tensor, nn

from hiclr.encoders.edges import Inside
from hiclr.encoders.initial import Init, initialise
from hiclr.encoders.persons import Persons, SkeletonEncoder, check_sizes
from hiclr.skeleton import Layout

__all__ = ["BiGRU"]


class BiGRU(SkeletonEncoder):
    """Three layers of gated recurrent units in both directions over all joints of a person; the mean over frames.

    The whole clip is read at once, so the backward half truly runs backwards. The released CMD calls its network a
    frame at a time with a carried state, by which both halves run forwards: other results, by the same weights. CMD
    also reads two persons side by side, where each is read by itself here.

    It is not small. At CMD's sizes, the defaults, 44.5 M parameters and 5.7 GFLOP for a person of 64 frames and 25
    joints (with two persons side by side 45.0 M, and 5.8 GFLOP for both), against 0.82 M and 0.8 GFLOP of the ST-GCN.
    Every frame waits for the one before it.

    Args:
        layout: gives V.
        channels: units of each direction in each layer; CMD has 1024.
        features: D; where it is not twice `channels`, a linear layer leads to it.
        layers: how many, one above the other.
        dropout: rate between the layers.
        persons: see `mean_over_persons`.
        init: see `initialise`; "default" is torch's own for recurrent layers, U(-1/sqrt(channels), 1/sqrt(channels)).

    Raises:
        InputError: a size that is no positive number, an unknown choice.

    Source: CMD (arXiv 2208.12448), sizes of its encoder.
    """

    def __init__(
        self,
        layout: Layout,
        channels: int = 1024,
        features: int = 2048,
        layers: int = 3,
        dropout: float = 0.0,
        persons: Persons = "present",
        init: Init = "default",
    ) -> None:
        check_sizes(channels, features, 1, dropout, persons, init)
        super().__init__(layout, features, persons)
        self.gru = nn.GRU(
            3 * layout.num_joints,
            channels,
            layers,
            batch_first=True,
            dropout=dropout if layers > 1 else 0.0,
            bidirectional=True,
        )
        self.out = nn.Identity() if features == 2 * channels else nn.Linear(2 * channels, features)
        initialise(self, init)

    def draw_weights(self, deviation: float | None) -> None:
        """For `initialise`: the recurrent layers."""
        bound = 1 / math.sqrt(self.gru.hidden_size)
        for name, weight in self.gru.named_parameters():
            if deviation is None:
                weight.uniform_(-bound, bound)
            elif name.startswith("bias"):
                weight.zero_()
            else:
                weight.normal_(0, deviation)

    def feature_map(self, rows: Tensor, _: Inside | None = None) -> Tensor:
        """(R, T, V, 3) one person per row -> (R, D, T, 1): there is no joint to tell apart any more."""
        outputs: Tensor = self.out(self.gru(rows.flatten(2))[0])
        return outputs.transpose(1, 2)[..., None]
