"""7, 8: SIGTERM in every long command; ctrl-C once and twice; a notebook's kernel interrupted and restarted."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
from test_conversion import entries

from hiclr import features
from hiclr.datasets import rows, save_set
from hiclr.pretraining.methods import growing

from . import LONG
from .processes import Running, hiclr, until
from .tiny import CONFIG, FLAGS, assert_same, clips, saved, split


def slow_step(number: int, marker: Path, seconds: float) -> None:
    """A hook: that step of training (1, 2, ...) says that it has begun, and takes long."""
    healthy, calls = growing.growing_loss, []

    def slowly(*args: Any, **kwargs: Any) -> Any:
        calls.append(1)
        if len(calls) == number:
            marker.touch()
            limit = time.monotonic() + seconds
            while time.monotonic() < limit:
                time.sleep(0.01)
        return healthy(*args, **kwargs)

    growing.growing_loss = slowly  # type: ignore[assignment]


def slow_features(marker: Path, seconds: float) -> None:
    """A hook: the features say when they are computed, and take long."""
    healthy = features.extract

    def slowly(*args: Any, **kwargs: Any) -> Any:
        marker.touch()
        time.sleep(seconds)
        return healthy(*args, **kwargs)

    features.extract = slowly


def slow_reading(marker: Path, seconds: float) -> None:
    """A hook: the second block of a file that is read says so, and takes long."""
    healthy = rows.NpyRows.read

    def slowly(self: Any, start: int, stop: int) -> Any:
        if start:
            marker.touch()
            time.sleep(seconds)
        return healthy(self, start, stop)

    rows.NpyRows.read = slowly  # type: ignore[method-assign]
    rows._BLOCK_CLIPS = 8


def ended(running: Running, seconds: float, code: int = 130) -> str:
    """It ends within that time, and with this code; what it said."""
    since = time.monotonic()
    done = running.wait()
    assert done.code == code, done.err
    assert time.monotonic() - since < seconds
    assert done.out == ""
    assert "Traceback" not in done.err
    return done.err


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the command line makes of it when nobody interrupts."""
    run = tmp_path_factory.mktemp("trained") / "run"
    assert hiclr("pretrain", "--data", data, "--out", run, *FLAGS).wait().code == 0
    return run


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_training_finishes_the_step_saves_and_goes_on(data: Path, trained: Path, tmp_path: Path, number: int):
    run, marker = tmp_path / "run", tmp_path / "marker"
    command = ("pretrain", "--data", data, "--out", run, *FLAGS)
    running = hiclr(*command, hook=slow_step, given=(3, marker, 0.3))  # two steps an epoch: the first of epoch 2
    until(marker.exists, running)
    running.send(number)
    assert "1 of 4 epochs and 1 of 2 steps of the next are saved" in ended(running, 5)
    done = hiclr(*command).wait()
    assert done.code == 0, done.err
    assert_same(trained, run)


def test_a_second_ctrl_c_stops_at_once_and_costs_what_was_not_saved(data: Path, trained: Path, tmp_path: Path):
    run, marker = tmp_path / "run", tmp_path / "marker"
    command = ("pretrain", "--data", data, "--out", run, *FLAGS)
    running = hiclr(*command, hook=slow_step, given=(3, marker, 60.0))
    until(marker.exists, running)
    running.send(signal.SIGINT)
    time.sleep(0.2)
    assert running.process.is_alive(), "the first finishes the step"
    running.send(signal.SIGINT)
    assert "Interrupted" in ended(running, 5)
    assert saved(run) == 1
    assert not list(run.glob(".*.tmp"))
    assert hiclr(*command).wait().code == 0
    assert_same(trained, run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_evaluation_stops_at_once_and_is_done_again(data: Path, trained: Path, tmp_path: Path, number: int):
    from .tiny import copy

    run, marker = copy(trained, tmp_path / "run"), tmp_path / "marker"
    command = ("evaluate", run, "--data", data, "--json")
    running = hiclr(*command, hook=slow_features, given=(marker, 60.0))
    until(marker.exists, running)
    running.send(number)
    said = ended(running, 5)
    assert ("SIGTERM" if number == signal.SIGTERM else "Interrupted") in said
    assert not (run / "results.json").exists()
    assert not list(run.rglob("*.tmp"))
    done = hiclr(*command).wait()
    assert done.code == 0, done.err
    assert '"linear"' in done.out


def test_prepare_stops_at_once_and_leaves_the_old_set(tmp_path: Path):
    """Of a set; raw files, by SIGTERM, SIGINT and SIGKILL: test_conversion.py."""
    source, marker, out = split(clips(), tmp_path / "set.npz"), tmp_path / "marker", tmp_path / "out" / "again"
    save_set(clips(12), out)
    before = {path.name: path.read_bytes() for path in out.iterdir()}
    command = ("prepare", source, "--out", out)
    running = hiclr(*command, hook=slow_reading, given=(marker, 60.0))
    until(marker.exists, running)
    running.send(signal.SIGTERM)
    assert "SIGTERM" in ended(running, 5)
    assert {path.name: path.read_bytes() for path in out.iterdir()} == before
    assert entries(out.parent) == ["again"]
    assert hiclr(*command).wait().code == 0
    assert {path.name: path.read_bytes() for path in out.iterdir()} != before


CELL = """
from pathlib import Path
from hiclr.pretraining import PretrainConfig, prepare_run, pretrain
from faults.tiny import CONFIG, clips
from faults.test_signals import slow_step

if {slow}:
    slow_step({step}, Path({marker!r}), 0.5)
data = clips()
for row in pretrain(data, CONFIG, prepare_run({run!r}, CONFIG, data)):
    print("epoch", row["epoch"])
"""


@pytest.mark.skipif(not LONG, reason="two starts of a kernel, with HICLR_FAULTS=long")
def test_a_kernel_interrupted_or_restarted_goes_on_in_the_same_cell(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    client_room = pytest.importorskip("jupyter_client")
    pytest.importorskip("ipykernel")
    home = Path(__file__).parents[2]
    monkeypatch.setenv("PYTHONPATH", f"{home}:{home / 'tests'}")
    run, marker = tmp_path / "run", tmp_path / "marker"
    manager, client = client_room.manager.start_new_kernel(kernel_name="python3")

    def cell(slow: bool, step: int, marker: Path) -> str:
        code: str = CELL.format(slow=slow, step=step, marker=str(marker), run=str(run))
        return str(client.execute(code))

    def answer(message: str) -> Any:
        while (reply := client.get_shell_msg(timeout=60))["parent_header"].get("msg_id") != message:
            pass
        return reply["content"]

    try:
        message = cell(slow=True, step=4, marker=marker)
        until(marker.exists)
        manager.interrupt_kernel()
        content = answer(message)
        assert (content["status"], content["ename"]) == ("error", "Stopped")
        assert "1 of 4 epochs and 1 of 3 steps" in content["evalue"]
        assert answer(cell(slow=False, step=0, marker=marker))["status"] == "ok"
        assert_same(whole, run)

        run, marker = tmp_path / "second", tmp_path / "second marker"
        cell(slow=True, step=8, marker=marker)
        until(marker.exists)
        manager.restart_kernel(now=True)
        client.wait_for_ready(timeout=60)
        assert saved(run) == 2
        assert answer(cell(slow=False, step=0, marker=marker))["status"] == "ok"
        assert_same(whole, run)
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)


def test_the_tiny_run_has_the_steps_that_these_tests_count():
    assert (CONFIG.epochs, CONFIG.batch_size, len(clips())) == (4, 8, 24)
