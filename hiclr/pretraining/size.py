"""What settings weigh, before any of it is there: a system would end the process without a word."""

import os

import torch

from hiclr.datasets.base import SkeletonSet
from hiclr.errors import InputError
from hiclr.pretraining.config import PretrainConfig
from hiclr.pretraining.schedule import batch_size

__all__ = ["check_batch", "check_network", "memory_here", "sizes", "unusual"]

_NUMBER = 4  # bytes
_UNUSUAL = 16_384
_GROWN = 64  # an encoder has layers many times as wide as its channels, and several: of 256 stgcn's take 0.4 GiB
_GIB = 2**30


def memory_here() -> int | None:
    """Bytes of this machine's memory; None where the system does not tell."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return None


def unusual(config: PretrainConfig) -> bool:
    """Whether the networks or the queue may be too large for a machine, so that weighing them is worth its second."""
    if ":" in config.encoder:
        return False  # somebody's own: there is no weighing it
    widths = (_GROWN * config.channels, config.features, config.projection, config.expander)
    return max(widths) > _UNUSUAL or (config.queue_size or 0) > _UNUSUAL**2 // config.projection


def check_batch(config: PretrainConfig, train: SkeletonSet) -> None:
    """Refuse frames of which not even one batch has room.

    Raises:
        InputError: that is so.
    """
    batch, persons = batch_size(config, len(train)), train.x.shape[4]
    _check(
        batch * 3 * config.frames * train.layout.num_joints * persons * _NUMBER,
        f"A batch of {batch:,} clips of {config.frames:,} frames",
        "fewer --frames or a smaller --batch-size",
    )


def check_network(model: torch.nn.Module, config: PretrainConfig) -> None:
    """Refuse networks and a queue that have no room beside their gradient.

    Args:
        model: of these settings, on the device "meta".
        config: the settings.

    Raises:
        InputError: that is so.
    """
    numbers = sum(value.numel() for value in model.state_dict().values())
    numbers += sum(value.numel() for value in model.parameters() if value.requires_grad)
    _check(numbers * _NUMBER, f"Networks and queue of these settings ({sizes(config)})", "smaller ones")


def sizes(config: PretrainConfig) -> str:
    """The settings that networks and queue are as large as."""
    names = ("channels", "features", "projection", "expander", "queue_size")
    return ", ".join(f"{name} {getattr(config, name)}" for name in names if getattr(config, name) is not None)


def _check(wanted: int, what: str, instead: str) -> None:
    there = memory_here()
    if there is not None and wanted > there:
        raise InputError(
            f"{what} would take {wanted / _GIB:,.0f} GiB, and this machine has {there / _GIB:,.0f} GiB of memory. "
            f"Take {instead}."
        )
