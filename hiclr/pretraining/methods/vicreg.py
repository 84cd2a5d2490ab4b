"""VICReg: two views agree, coordinates vary, and do so apart from each other."""

from torch import Tensor

from hiclr.losses import vicreg_loss
from hiclr.pretraining.methods.decorrelated import Decorrelated

__all__ = ["VICReg"]


class VICReg(Decorrelated):
    """Distance of two views, variance and covariance of each; see `vicreg_loss`.

    Source: VICReg (arXiv 2105.04906).
    """

    def compare(self, a: Tensor, b: Tensor) -> dict[str, Tensor]:
        """See `vicreg_loss`."""
        config = self.config
        return vicreg_loss(a, b, config.invariance, config.variance, config.covariance)
