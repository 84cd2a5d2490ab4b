"""14: two processes and one run folder."""

import signal
import socket
import time
from pathlib import Path

import pytest

from .processes import hiclr, until
from .test_signals import slow_step
from .tiny import FLAGS, assert_same, contents, saved


def test_the_second_is_refused_at_once_and_a_killed_ones_lock_is_none(data: Path, tmp_path: Path):
    run, marker = tmp_path / "run", tmp_path / "marker"
    command = ("pretrain", "--data", data, "--out", run, *FLAGS)
    first = hiclr(*command, hook=slow_step, given=(3, marker, 60.0))
    until(marker.exists, first)
    before, since = contents(run), time.monotonic()
    second = hiclr(*command).wait()
    assert time.monotonic() - since < 10
    assert (second.code, second.out) == (1, "")
    assert f"is being written by process {first.pid} on {socket.gethostname()}." in second.err
    assert "Traceback" not in second.err
    assert contents(run) == before
    reader = hiclr("embed", run, "--data", data, "--out", tmp_path / "features.npz").wait()
    assert reader.code == 0, "who reads does not wait"

    first.send(signal.SIGKILL)
    assert first.wait().code == -signal.SIGKILL
    assert (run / "lock.pid").exists()
    third = hiclr(*command).wait()
    assert third.code == 0, third.err
    assert saved(run) == 4
    assert not (run / "lock.pid").exists(), "a run that is handed on names no host"
    whole = tmp_path / "whole"
    assert hiclr("pretrain", "--data", data, "--out", whole, *FLAGS).wait().code == 0
    assert_same(whole, run)


def test_two_that_begin_together_make_one_run(data: Path, tmp_path: Path):
    run = tmp_path / "run"
    command = ("pretrain", "--data", data, "--out", run, *FLAGS)
    both = [hiclr(*command) for _ in range(2)]
    done = [running.wait() for running in both]
    assert 0 in [one.code for one in done], [one.err for one in done]
    for one in done:
        assert one.code == 0 or "is being written by" in one.err, one.err  # the other may not have named itself yet
    assert saved(run) == 4
    lines = (run / "metrics.jsonl").read_text().splitlines()
    assert len(lines) == 4


@pytest.mark.parametrize("content", ["", "4711\n", "\0\0"])
def test_whatever_a_lock_file_holds_it_is_none_without_its_process(content: str, whole: Path, tmp_path: Path):
    from .tiny import CONFIG, copy, train

    run = copy(whole, tmp_path / "run")
    for name in ("lock", "lock.pid"):
        (run / name).write_text(content)
    assert train(run, CONFIG).finished
