"""What stands in a row of metrics."""

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["Row", "loss_terms"]

Row = dict[str, Any]

_BESIDE = {
    *("epoch", "step", "loss", "ln_k", "knn_1", "lr", "momentum", "queue_filled"),
    *("feature_std", "effective_rank", "pretext_top1", "clips_per_s", "seconds"),
}


def loss_terms(rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Names of the terms of the loss, in the order in which they first occur; which there are says the method."""
    return [name for name in dict.fromkeys(key for row in rows for key in row) if name not in _BESIDE]
