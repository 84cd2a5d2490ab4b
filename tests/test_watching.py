"""Looking on while a run is trained by another process: rows as they come, how far it is, and when it has ended."""

import json
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import replace
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from hiclr.__main__ import main
from hiclr.datasets import synthetic
from hiclr.errors import InputError
from hiclr.pretraining import PRESETS, prepare_run, pretrain, process
from hiclr.pretraining.process import Progress
from hiclr.runs import load_run, open_run, watch
from tests.faults.processes import Running, start

EPOCHS = 4


def train_row_by_row(folder: Path, other: Connection) -> None:
    """Train; after each row, wait until the one who looks on has seen it."""
    process._NOTED = 0.0
    train = synthetic().split()[0].subset(np.arange(24))
    config = replace(
        PRESETS["small"], epochs=EPOCHS, channels=8, features=8, frames=8, batch_size=8, least_steps=3, queue_size=16,
        branches=1, device="cpu",
    )  # fmt: skip
    run = prepare_run(folder, config, train)
    for row in pretrain(train, config, run):
        other.send(row["epoch"])
        other.recv()


class Trained(NamedTuple):
    """A run that a process of its own trains, which stays at the first row."""

    folder: Path
    child: Running
    other: Connection


@pytest.fixture
def training(tmp_path: Path) -> Iterator[Trained]:
    ours, theirs = Pipe()
    child = start(train_row_by_row, tmp_path / "run", theirs)
    theirs.close()
    assert ours.recv() == 1
    yield Trained(tmp_path / "run", child, ours)
    child.process.kill()
    child.process.join()


def test_rows_come_as_another_process_writes_them(training: Trained):
    folder, child, other = training
    assert load_run(folder).writer().startswith(f"process {child.pid} on ")
    under_way = load_run(folder).progress()
    assert under_way["epoch"] in (1, 2)
    assert 0 < under_way["step"] <= under_way["steps"]
    assert under_way["seconds_left"] >= 0
    counts = []
    for rows in watch(folder, seconds=0.02):
        counts.append(len(rows))
        other.send("seen")
    assert counts == [1, 2, 3, 4]
    assert child.wait(60).code == 0
    assert load_run(folder).writer() is None
    assert load_run(folder).progress() is None


def test_a_killed_training_ends_the_watch(training: Trained, capsys: pytest.CaptureFixture[str]):
    folder, child, _ = training
    looking = watch(folder, seconds=0.02)
    assert len(next(looking)) == 1
    child.send(signal.SIGKILL)
    assert child.wait().code == -signal.SIGKILL
    start = time.monotonic()
    assert list(looking) == []
    assert time.monotonic() - start < 30
    assert main(["watch", str(folder)]) == 0
    said = capsys.readouterr()
    assert "epoch 1/4" in said.err
    assert "1 of 4 epochs; nobody trains it now" in said.out


def test_the_command_says_how_far_and_draws(training: Trained, capsys: pytest.CaptureFixture[str]):
    folder = training.folder
    assert main(["watch", str(folder), "--once", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["done"] == 1
    assert said["epochs"] == EPOCHS
    assert said["progress"]["steps"] > said["progress"]["step"] > 0
    pytest.importorskip("matplotlib")
    picture = folder.parent / "curves.png"
    assert main(["watch", str(folder), "--once", "--figure", str(picture)]) == 0
    assert picture.read_bytes().startswith(b"\x89PNG")
    assert "left." in capsys.readouterr().out


def test_a_finished_run_is_shown_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run = open_run(tmp_path / "run", {"epochs": 1}, {"fingerprint": "f"})
    run.append({"epoch": 1, "loss": 1.0, "info_nce": 1.0, "ln_k": 2.0, "seconds": 1.0})
    assert [len(rows) for rows in watch(run.path)] == [1]
    assert main(["watch", str(run.path)]) == 0
    assert "1 of 1 epoch, finished." in capsys.readouterr().out
    with pytest.raises(InputError, match="does not exist"):
        next(watch(tmp_path / "none"))


def test_time_left_is_what_remains_at_the_rate_so_far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    run, now = open_run(tmp_path / "run", {"epochs": 2}, {"fingerprint": "f"}), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    with run.locked():
        progress = Progress(run, epochs=2, steps=10, batch=8, done=4)  # a run that goes on after 4 steps
        for _ in range(6):
            now[0] += 3.0
            progress.update(1.0)
        progress.close()
        found = run.progress()
    assert found == {"epoch": 2, "step": 10, "steps": 20, "clips_per_s": 8 / 3, "seconds_left": 30.0}


@pytest.mark.parametrize(("watched", "first"), [(False, True), (True, True), (False, False)])
def test_without_a_terminal_a_long_epoch_says_how_far_it_is_once_a_minute(
    watched: bool, first: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    run, now = open_run(tmp_path / "run", {"epochs": 2}, {"fingerprint": "f"}), [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    monkeypatch.setattr(sys.stderr, "isatty", lambda: watched, raising=False)
    monkeypatch.delitem(sys.modules, "ipykernel", raising=False)
    with run.locked():
        progress = Progress(run if first else None, epochs=3, steps=10, batch=800, done=10)
        for step in range(1, 12):  # the second epoch and a step of the third, 25 s each
            now[0] += 25.0
            progress.update(torch.tensor(step / 4))
            if step == 10:
                progress.show(epoch=2, loss="2.5")  # whose row is printed: the minute begins anew
        progress.close()
    said = capsys.readouterr().err
    if watched or not first:
        assert "loss 0.750" not in said
        return
    assert said.splitlines() == [
        "epoch 2/3  step 3/10  loss 0.750  32 clips/s, 7 min left",
        "epoch 2/3  step 6/10  loss 1.500  32 clips/s, 6 min left",
        "epoch 2/3  step 9/10  loss 2.250  32 clips/s, 5 min left",
    ]
