"""A run that is over in a second, and what there is to compare of two."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from test_pretraining import CLOCK, TINY, assert_equal, clips, train, weights

from hiclr.datasets import SkeletonSet, save_set
from hiclr.pretraining import PretrainConfig
from hiclr.runs import Run, load_run

__all__ = [
    "CONFIG",
    "FLAGS",
    "all_finite",
    "assert_equal",
    "assert_same",
    "clips",
    "contents",
    "copy",
    "flags",
    "rows",
    "saved",
    "split",
    "train",
]

CONFIG = replace(TINY, encoder="tcn", epochs=4, knn_every=0)


def flags(config: PretrainConfig) -> list[str]:
    """The settings of a run as the command line takes them."""
    given = ("epochs", "batch_size", "least_steps", "frames", "encoder", "channels", "features", "projection", "device")
    given = (*given, "knn_every", "save_minutes", "mining_epoch", "dropout", "seed")
    values = {name: getattr(config, name) for name in given}
    return [word for name, value in values.items() for word in (f"--{name.replace('_', '-')}", str(value))]


FLAGS = flags(CONFIG)


def split(data: SkeletonSet, path: Path) -> Path:
    """The set with clips 2, 5, 8, ... to test on, written; its path."""
    test = [int(name.removeprefix("clip")) % 3 == 2 for name in data.names]
    made = SkeletonSet.from_arrays(
        data.x, data.y, layout=data.layout, classes=data.classes, names=data.names, ids=data.ids, test=test
    )
    save_set(made, path)
    return path


def rows(folder: Path) -> list[dict[str, Any]]:
    """The metrics without what the clock says; of an epoch that was run again both lines, which must agree, as one."""
    lines = (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()
    every = [{key: value for key, value in json.loads(line).items() if key not in CLOCK} for line in lines]
    found = {row["epoch"]: row for row in every}
    assert all(row == found[row["epoch"]] for row in every)
    return list(found.values())


def assert_same(one: Path, other: Path) -> None:
    """Equal lines of metrics, equal bits in every tensor of the last checkpoint."""
    assert rows(one) == rows(other)
    assert_equal(weights(load_run(one)), weights(load_run(other)))


def saved(run: Run | Path) -> int:
    """Epochs done in the newest whole checkpoint."""
    latest = load_run(run.path if isinstance(run, Run) else run).latest()
    assert latest is not None
    return latest[1]


def contents(folder: Path) -> dict[str, bytes]:
    """Every file of a run folder but its locks."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith("lock")
    }


def copy(folder: Path, to: Path) -> Path:
    """A run folder once more."""
    shutil.copytree(folder, to)
    return to


def all_finite(value: Any) -> bool:
    """Whether no tensor in nested dicts and lists holds NaN or infinity."""
    if isinstance(value, torch.Tensor):
        return bool(torch.isfinite(value).all())
    entries = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return all(map(all_finite, entries))
