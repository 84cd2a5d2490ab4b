"""1-4: a process killed while it saves, and checkpoints cut, changed or lost."""

import signal
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hiclr.errors import InputError
from hiclr.runs import load_run, open_run

from . import LONG
from .processes import hiclr, start, until
from .tiny import CONFIG, FLAGS, assert_same, clips, contents, copy, flags, saved, split, train

KILLS = 200 if LONG else 8


def save_for_ever(folder: Path, said: Path) -> None:
    """Go on from what is there and save one state after another; each is said when it is done."""
    run = load_run(folder)
    with run.locked(), said.open("a", buffering=1) as file:
        latest = run.latest()
        epoch = 0 if latest is None else latest[1]
        file.write("begun\n")
        while True:
            epoch += 1
            run.save({"weight": torch.full((200, 300), float(epoch)), "epoch": epoch}, epoch)
            file.write(f"{epoch}\n")


def test_killed_at_any_moment_of_a_save_a_whole_checkpoint_is_there(tmp_path: Path):
    folder, said, rng = tmp_path / "run", tmp_path / "said", np.random.default_rng(0)
    open_run(folder, {"epochs": 10**9}, {"fingerprint": "none"})
    before, left = 0, 0
    for _ in range(KILLS):
        said.write_text("")
        running = start(save_for_ever, folder, said)
        saves = int(rng.integers(0, 4))
        until(lambda wanted=saves: len(said.read_text().split()) > wanted, running)  # type: ignore[misc]
        time.sleep(float(rng.uniform(0, 0.03)))
        running.send(signal.SIGKILL)
        assert running.wait().code == -signal.SIGKILL
        done = [before, *map(int, said.read_text().split()[1:])][-1]
        left += len(list(folder.glob(".*.tmp")))
        run = load_run(folder)
        if done or any(folder.glob("checkpoint-?.pt")):
            assert done <= saved(folder) <= done + 1, "at most the save that was under way is lost"
            state, before = run.latest()  # type: ignore[misc]
            assert torch.equal(state["weight"], torch.full((200, 300), float(before)))
            assert state["epoch"] == before
        with run.locked():
            assert not list(folder.glob(".*.tmp")), "what a killed save leaves is removed by the next writer"
    assert before > 0
    if LONG:
        assert left, "no kill met a file half written: they come too late"


def kill_while_training(folder: Path, data: Path, config: list[str], after: int, seconds: float = 0.0) -> None:
    """SIGKILL so long after a row of metrics was written."""
    running = hiclr("pretrain", "--data", data, "--out", folder, *config)
    metrics = folder / "metrics.jsonl"
    until(lambda: metrics.exists() and metrics.read_bytes().count(b"\n") >= after, running)
    time.sleep(seconds)
    running.send(signal.SIGKILL)
    running.wait()


@pytest.mark.skipif(not LONG, reason="test_ranks.py kills within an epoch; this, at any moment, with HICLR_FAULTS=long")
@pytest.mark.parametrize("encoder", ["stgcn", "dsta", "tcn"])
def test_killed_after_two_epochs_of_four_a_run_goes_on_to_the_same_bits(tmp_path: Path, encoder: str):
    config = replace(CONFIG, encoder=encoder, mining_epoch=2, dropout=0.3, save_minutes=0, knn_every=1)  # type: ignore[arg-type]
    given, data, rng = flags(config), split(clips(), tmp_path / "set.npz"), np.random.default_rng(1)
    assert hiclr("pretrain", "--data", data, "--out", tmp_path / "whole", *given).wait().code == 0
    for number in range(5):
        parts = tmp_path / f"parts{number}"
        kill_while_training(parts, data, given, 2, float(rng.uniform(0, 0.3)))
        assert hiclr("pretrain", "--data", data, "--out", parts, *given).wait().code == 0
        assert_same(tmp_path / "whole", parts)


def newest(folder: Path) -> Path:
    return max(folder.glob("checkpoint-?.pt"), key=lambda path: torch.load(path, weights_only=True)["epoch"])


def damage(path: Path, how: str) -> None:
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    if how == "bit":
        content[middle] ^= 16
    elif how == "page":
        assert any(content[middle : middle + 4096])
        content[middle : middle + 4096] = bytes(4096)
    else:
        del content[int(len(content) * float(how) / 100) :]
    path.write_bytes(content)


@pytest.mark.parametrize("how", ["99.9", "50", "1", "0", "bit", "page"])
def test_a_damaged_newest_checkpoint_gives_way_and_costs_no_number(
    whole: Path, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
):
    run = copy(whole, tmp_path / "run")
    bad = newest(run)
    damage(bad, how)
    assert saved(run) == CONFIG.epochs - 1
    assert f"{bad.name} is damaged" in caplog.text
    assert f"(epoch {CONFIG.epochs - 1}) instead" in caplog.text
    if how in ("50", "bit"):
        lines = (run / "metrics.jsonl").read_bytes()
        train(run, CONFIG)
        assert (run / "metrics.jsonl").read_bytes().startswith(lines), "nothing of the log is rewritten"
        assert_same(whole, run)


@pytest.mark.parametrize("how", ["50", "bit", "0"])
def test_two_damaged_checkpoints_stop_the_run_and_stay(whole: Path, tmp_path: Path, how: str):
    run = copy(whole, tmp_path / "run")
    for path in run.glob("checkpoint-?.pt"):
        damage(path, how)
    before = contents(run)
    with pytest.raises(InputError, match=r"checkpoint-a\.pt is damaged \(.+\)\. checkpoint-b\.pt is damaged \(.+\)"):
        train(run, CONFIG)
    assert contents(run) == before


def test_two_damaged_checkpoints_are_one_message_of_the_command(data: Path, tmp_path: Path):
    command = ("pretrain", "--data", data, "--out", tmp_path / "run", *FLAGS)
    assert hiclr(*command).wait().code == 0
    for path in (tmp_path / "run").glob("checkpoint-?.pt"):
        damage(path, "50")
    before = contents(tmp_path / "run")
    done = hiclr(*command).wait()
    assert (done.code, done.out) == (1, "")
    assert "Traceback" not in done.err
    assert "checkpoint-a.pt is damaged" in done.err
    assert "checkpoint-b.pt is damaged" in done.err
    assert "nothing was overwritten" in done.err
    assert contents(tmp_path / "run") == before
