"""Looking on while a run is trained by another process: rows as they come, how far it is, and when it has ended."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from hiclr.__main__ import main
from hiclr.errors import InputError
from hiclr.pretraining.process import Progress
from hiclr.runs import load_run, open_run, watch

EPOCHS = 4
TRAINING = """
import sys
import numpy as np
from hiclr.datasets import synthetic
from hiclr.pretraining import PRESETS, prepare_run, pretrain
import dataclasses
import hiclr.pretraining.process as process

process._NOTED = 0.0
train = synthetic().split()[0].subset(np.arange(24))
config = dataclasses.replace(PRESETS["small"], epochs=4, channels=8, features=8, frames=8, batch_size=8,
                             least_steps=3, queue_size=16, branches=1, device="cpu")
run = prepare_run(sys.argv[1], config, train)
print("ready", flush=True)
for row in pretrain(train, config, run):
    print(row["epoch"], flush=True)
    sys.stdin.readline()  # until the one who looks on has seen this row
"""


@pytest.fixture
def training(tmp_path: Path) -> Iterator[tuple[Path, subprocess.Popen]]:
    folder = tmp_path / "run"
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    child = subprocess.Popen(
        [sys.executable, "-c", TRAINING, str(folder)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    )  # fmt: skip
    assert child.stdout.readline() == "ready\n"
    yield folder, child
    child.kill()
    child.wait()


def test_rows_come_as_another_process_writes_them(training: tuple[Path, subprocess.Popen]):
    folder, child = training
    assert child.stdout.readline() == "1\n"
    assert load_run(folder).writer().startswith(f"process {child.pid} on ")
    under_way = load_run(folder).progress()
    assert under_way["epoch"] in (1, 2)
    assert 0 < under_way["step"] <= under_way["steps"]
    assert under_way["seconds_left"] >= 0
    counts = []
    for rows in watch(folder, seconds=0.02):
        counts.append(len(rows))
        child.stdin.write("\n")
        child.stdin.flush()
    assert counts == [1, 2, 3, 4]
    child.stdin.write("\n")
    child.stdin.close()
    assert child.wait(60) == 0
    assert load_run(folder).writer() is None
    assert load_run(folder).progress() is None


def test_a_killed_training_ends_the_watch(training: tuple[Path, subprocess.Popen], capsys: pytest.CaptureFixture[str]):
    folder, child = training
    assert child.stdout.readline() == "1\n"
    looking = watch(folder, seconds=0.02)
    assert len(next(looking)) == 1
    child.send_signal(signal.SIGKILL)
    child.wait()
    start = time.monotonic()
    assert list(looking) == []
    assert time.monotonic() - start < 30
    assert main(["watch", str(folder)]) == 0
    said = capsys.readouterr()
    assert "epoch 1/4" in said.err
    assert "1 of 4 epochs; nobody trains it now" in said.out


def test_the_command_says_how_far_and_draws(
    training: tuple[Path, subprocess.Popen], capsys: pytest.CaptureFixture[str]
):
    folder, child = training
    assert child.stdout.readline() == "1\n"
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
