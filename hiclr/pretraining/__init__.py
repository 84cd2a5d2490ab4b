"""Settings, one step, and one loop that yields a row per epoch."""

from hiclr.pretraining.config import PRESETS, PretrainConfig
from hiclr.pretraining.loop import pretrain
from hiclr.pretraining.model import (
    build_model,
    build_networks,
    check_trainable,
    coordinate_scale,
    describe,
    layout_of,
    prepare_run,
    preprocess_of,
    views_of,
)
from hiclr.pretraining.process import Stopped, keep_memory, progress
from hiclr.pretraining.schedule import batch_size, derive, key_momentum, learning_rate, mining, queue_size

__all__ = [
    "PRESETS",
    "PretrainConfig",
    "Stopped",
    "batch_size",
    "build_model",
    "build_networks",
    "check_trainable",
    "coordinate_scale",
    "derive",
    "describe",
    "keep_memory",
    "key_momentum",
    "layout_of",
    "learning_rate",
    "mining",
    "prepare_run",
    "preprocess_of",
    "pretrain",
    "progress",
    "queue_size",
    "views_of",
]
