"""17: a clock that is set back, times of files that are equal, in the future or long ago."""

import os
import time
from pathlib import Path

import pytest

from hiclr.pretraining import prepare_run, pretrain
from hiclr.runs import load_run

from .tiny import CONFIG, assert_same, clips, copy, saved, train

NOW = 1.8e9
DAY = 86400.0


@pytest.mark.parametrize("times", ["equal", "reversed", "future", "long ago"])
def test_the_newest_checkpoint_is_that_of_the_highest_epoch(times: str, whole: Path, tmp_path: Path):
    run = copy(whole, tmp_path / "run")
    for path in sorted(run.iterdir()):
        newer = path.name.split(".")[0] == "checkpoint-a"
        at = {"equal": NOW, "reversed": NOW - newer * DAY, "future": NOW + 2e9 + newer * DAY, "long ago": newer * 1.0}
        os.utime(path, (at[times], at[times]))
    assert saved(run) == 4
    for path in sorted(run.iterdir()):
        newer = path.name.split(".")[0] == "checkpoint-b"
        at = {"equal": NOW, "reversed": NOW - newer * DAY, "future": NOW + 2e9 + newer * DAY, "long ago": newer * 1.0}
        os.utime(path, (at[times], at[times]))
    assert saved(run) == 4


def test_a_clock_set_back_while_training_changes_nothing(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = clips()
    going = pretrain(data, CONFIG, prepare_run(tmp_path / "run", CONFIG, data))
    next(going)
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() - DAY)
    for path in (tmp_path / "run").iterdir():
        os.utime(path, (NOW + DAY, NOW + DAY))
    next(going)
    going.close()
    train(tmp_path / "run", CONFIG)
    assert_same(whole, tmp_path / "run")
    assert all(row["seconds"] >= 0 for row in load_run(tmp_path / "run").metrics())
