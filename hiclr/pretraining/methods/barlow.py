"""Barlow Twins, in the form of PSTL."""

from torch import Tensor

from hiclr.losses import barlow_loss
from hiclr.pretraining.methods.decorrelated import Decorrelated

__all__ = ["BarlowTwins"]


class BarlowTwins(Decorrelated):
    """The correlation of two views becomes the identity; see `barlow_loss`.

    Source: Barlow Twins (arXiv 2103.03230), PSTL (arXiv 2302.09018).
    """

    def compare(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """See `barlow_loss`."""
        return barlow_loss(a, b, self.config.redundancy)
