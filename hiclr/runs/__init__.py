"""Runs: a folder that says what it was and goes on exactly, and what it ran on."""

from hiclr.runs.environment import check_device, environment, launched_ranks, pick_device
from hiclr.runs.export import write_export
from hiclr.runs.folder import Exported, Run, load_run, open_run, watch
from hiclr.runs.rows import Row, loss_terms
from hiclr.runs.snapshots import Snapshot
from hiclr.runs.writing import write_atomically, write_json

__all__ = [
    "Exported",
    "Row",
    "Run",
    "Snapshot",
    "check_device",
    "environment",
    "launched_ranks",
    "load_run",
    "loss_terms",
    "open_run",
    "pick_device",
    "watch",
    "write_atomically",
    "write_export",
    "write_json",
]
