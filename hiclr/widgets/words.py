"""What was drawn, in words: "22° about y"."""

from torch import Tensor

from hiclr.augmentations.base import Params

__all__ = ["words"]

_MOST = 4  # numbers of a parameter that are still read


def words(params: Params) -> str:
    """The parameters that were drawn for the first clip."""
    parts = []
    for name, value in params.items():
        mine = value[0]
        if mine.numel() <= _MOST:
            parts.append(f"{name} {_numbers(mine)}")
    return ", ".join(parts)


def _numbers(value: Tensor) -> str:
    return " ".join(f"{v:.2f}".rstrip("0").rstrip(".") for v in value.flatten().float().tolist())
