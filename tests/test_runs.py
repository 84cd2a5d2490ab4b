"""A run folder: what it keeps, what it refuses, what it survives."""

import getpass
import json
import os
import platform
import shutil
import signal
from pathlib import Path

import pytest
import torch

from hiclr.errors import InputError
from hiclr.runs import Run, environment, load_run, open_run, write_atomically, write_json
from hiclr.runs.differences import differences
from tests.faults.processes import start, until

CONFIG = {"epochs": 3, "lr": 0.1, "seed": 0, "device": "cpu", "lr_steps": (1, 2)}
DATA = {
    "fingerprint": "f0",
    "clips": 5,
    "source": "made up",
    "names_digest": "n0",
    "sorted_names_digest": "s0",
    "labels_digest": "l0",
}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    return open_run(tmp_path / "run", CONFIG, DATA)


def state(value: float) -> dict[str, object]:
    return {"weight": torch.full((4, 3), value), "step": int(value), "groups": [{"lr": 0.5}]}


def saved_epoch(run: Run) -> int:
    latest = load_run(run.path).latest()
    assert latest is not None
    loaded, epoch = latest
    assert torch.equal(loaded["weight"], torch.full((4, 3), float(epoch)))  # the state belongs to its number
    return epoch


def test_same_settings_and_data_open_the_same_run(run: Run):
    run.append({"epoch": 1, "loss": 2.5})
    again = open_run(run.path, CONFIG, DATA)
    assert again.config == {**CONFIG, "lr_steps": [1, 2]}
    assert again.metrics() == [{"epoch": 1, "loss": 2.5}]
    assert again.latest() is None
    assert not again.finished


def test_another_setting_is_refused_with_old_and_new(run: Run):
    before = (run.path / "config.json").read_bytes()
    with pytest.raises(
        InputError, match=r"lr: 0\.1 -> 0\.01; seed: 0 -> 3; extra: \(not set\) -> 1\. .*new run folder"
    ):
        open_run(run.path, {**CONFIG, "lr": 0.01, "seed": 3, "extra": 1}, DATA)
    assert (run.path / "config.json").read_bytes() == before


def test_another_device_is_no_other_setting(run: Run):
    assert open_run(run.path, {**CONFIG, "device": "auto"}, DATA).config["device"] == "auto"


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"clips": 6, "names_digest": "n1", "sorted_names_digest": "s1"}, "clips: 5 -> 6"),
        ({"names_digest": "n1"}, "in another order"),
        ({"names_digest": "n1", "sorted_names_digest": "s1"}, "other names"),
        ({"labels_digest": "l1"}, "labels"),
        ({}, "positions or layout"),
    ],
)
def test_other_data_are_refused_and_the_difference_is_named(run: Run, changed: dict[str, object], words: str):
    with pytest.raises(InputError, match=words):
        open_run(run.path, CONFIG, {**DATA, **changed, "fingerprint": "f1"})


def test_a_moved_copy_of_the_same_data_is_accepted(run: Run):
    open_run(run.path, CONFIG, {**DATA, "source": "elsewhere"})  # content decides, not the file's name


def test_environment_names_no_user_and_no_host():
    text = json.dumps(environment())
    assert {"python", "torch", "numpy", "threads", "device", "commit"} <= set(environment())
    for private in (getpass.getuser(), platform.node(), str(Path.home())):
        assert len(private) < 4 or private not in text


def test_not_a_number_is_written_as_null(run: Run):
    run.append({"epoch": 1, "loss": float("nan"), "deep": [float("inf"), torch.tensor(2.0)]})
    line = (run.path / "metrics.jsonl").read_text()
    assert line == '{"epoch": 1, "loss": null, "deep": [null, 2.0]}\n'


def test_rows_are_appended_and_the_last_of_an_epoch_counts(run: Run):
    for epoch, loss in [(1, 9.0), (2, 8.0), (3, 7.0), (2, 5.0)]:
        run.append({"epoch": epoch, "loss": loss})
    assert len((run.path / "metrics.jsonl").read_text().splitlines()) == 4
    # epoch 3 was reached from an epoch 2 that was run again: it is history
    assert [(row["epoch"], row["loss"]) for row in run.metrics()] == [(1, 9.0), (2, 5.0)]


def test_a_torn_last_line_is_dropped_when_the_run_goes_on(run: Run):
    run.append({"epoch": 1, "loss": 9.0})
    with (run.path / "metrics.jsonl").open("a") as file:
        file.write('{"epoch": 2, "lo')
    assert [row["epoch"] for row in run.metrics()] == [1]
    run.append({"epoch": 2, "loss": 8.0})
    assert [json.loads(line)["loss"] for line in (run.path / "metrics.jsonl").read_text().splitlines()] == [9.0, 8.0]


def test_two_generations_and_the_newest_by_its_number(run: Run):
    for epoch in range(4):
        run.save(state(epoch), epoch)
        assert saved_epoch(run) == epoch
    assert sorted(path.name for path in run.path.glob("*.pt*")) == [
        "checkpoint-a.pt",
        "checkpoint-a.pt.sha256",
        "checkpoint-b.pt",
        "checkpoint-b.pt.sha256",
    ]
    os.utime(run.path / "checkpoint-a.pt", (2**31, 2**31))  # epoch 2, with a clock in the future
    assert saved_epoch(run) == 3


def test_saving_goes_on_over_the_older_generation_after_a_restart(run: Run):
    run.save(state(1), 1)
    run.save(state(2), 2)
    fresh = load_run(run.path)
    fresh.save(state(3), 3)
    (run.path / fresh_slot(run, 3)).write_bytes(b"")
    assert saved_epoch(run) == 2


def fresh_slot(run: Run, epoch: int) -> str:
    return next(
        path.name for path in run.path.glob("checkpoint-?.pt") if torch.load(path, weights_only=True)["epoch"] == epoch
    )


def damage(path: Path, how: str) -> None:
    data = bytearray(path.read_bytes())
    middle = len(data) // 2
    if how == "flip":
        data[middle] ^= 1
    elif how == "zeros":
        data[middle : middle + 64] = bytes(64)
    elif how == "no digest":
        path.with_suffix(".pt.sha256").unlink()
    else:
        del data[int(len(data) * float(how)) :]
    path.write_bytes(bytes(data))


@pytest.mark.parametrize("how", ["0.999", "0.5", "0.01", "0", "flip", "zeros", "no digest"])
def test_a_damaged_newest_checkpoint_gives_way_to_the_one_before(run: Run, how: str, caplog: pytest.LogCaptureFixture):
    run.save(state(1), 1)
    run.save(state(2), 2)
    newest = fresh_slot(run, 2)
    damage(run.path / newest, how)
    assert saved_epoch(run) == 1
    assert f"{newest} is damaged" in caplog.text
    assert "epoch 1" in caplog.text
    again = load_run(run.path)
    again.save(state(2), 2)  # over the damaged one: the good one stays until the new one is whole
    assert fresh_slot(run, 1) != newest
    assert saved_epoch(run) == 2


def test_two_damaged_checkpoints_stop_the_run_and_stay(run: Run):
    run.save(state(1), 1)
    run.save(state(2), 2)
    for path in run.path.glob("checkpoint-?.pt"):
        damage(path, "0.5")
    before = {path.name: path.read_bytes() for path in run.path.glob("checkpoint-*")}
    with pytest.raises(InputError, match=r"checkpoint-a\.pt is damaged.*checkpoint-b\.pt is damaged"):
        load_run(run.path).latest()
    assert {path.name: path.read_bytes() for path in run.path.glob("checkpoint-*")} == before


def test_weights_that_are_not_finite_are_never_saved(run: Run):
    run.save(state(1), 1)
    bad = state(2)
    bad["groups"] = [{"average": torch.tensor([1.0, float("nan")])}]
    with pytest.raises(InputError, match=r"state\.groups\.0\.average"):
        run.save(bad, 2)
    assert saved_epoch(run) == 1


def test_a_full_folder_is_refused_before_training(run: Run, monkeypatch: pytest.MonkeyPatch):
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"three times that is needed, 1,000 are free"):
        run.save(state(0), 0)


def test_a_write_that_fails_leaves_the_old_file(run: Run, monkeypatch: pytest.MonkeyPatch):
    run.save(state(1), 1)
    run.save(state(2), 2)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="No space left"):
        run.save(state(3), 3)
    monkeypatch.undo()
    assert saved_epoch(run) == 2
    assert not list(run.path.glob(".*.tmp"))


def save_for_ever(folder: Path) -> None:
    run = load_run(folder)
    for epoch in range(1, 10**6):
        run.save({"weight": torch.full((4, 3), float(epoch))}, epoch)
        print(epoch, flush=True)


def test_killed_while_saving_a_whole_checkpoint_is_there(run: Run):
    for lines in (1, 4, 7):
        saving = start(save_for_ever, run.path)
        until(lambda saving=saving, lines=lines: saving.files[0].read_text().count("\n") >= lines, saving)
        saving.send(signal.SIGKILL)
        done = saving.wait()
        assert done.code == -signal.SIGKILL
        said = int(done.out.split()[-1])
        assert said <= saved_epoch(run) <= said + 1
        for path in run.path.glob("checkpoint*"):
            path.unlink()


def test_a_second_process_is_refused_with_the_first_ones_pid(run: Run):
    with run.locked():
        second = start(lock_and_say, run.path).wait()
    assert second.code == 1
    assert f"is being written by process {os.getpid()}" in second.err
    assert start(lock_and_say, run.path).wait().out == "in\n"


def lock_and_say(folder: Path) -> None:
    with load_run(folder).locked():
        print("in")


def lock_and_die(folder: Path) -> None:
    with load_run(folder).locked():
        os.kill(os.getpid(), signal.SIGKILL)


def test_a_killed_process_leaves_no_lock(run: Run):
    assert start(lock_and_die, run.path).wait().code == -signal.SIGKILL
    with run.locked():
        run.append({"epoch": 1})


def test_a_loop_left_hanging_in_this_process_gives_way(run: Run):
    hanging = load_run(run.path)
    first = hanging.locked()
    first.__enter__()
    with run.locked():
        run.append({"epoch": 1})
        with pytest.raises(InputError, match="took over"):
            hanging.append({"epoch": 1})
        first.__exit__(None, None, None)  # the hanging loop is closed late: the lock stays with the new one
        run.append({"epoch": 2})
    assert len(run.metrics()) == 2


def test_leftovers_of_a_killed_save_are_removed(run: Run):
    leftover = run.path / ".checkpoint-a.pt.xyz.tmp"
    leftover.write_bytes(b"half")
    with run.locked():
        assert not leftover.exists()


def test_checkpoints_without_settings_are_not_taken_over(run: Run):
    run.save(state(1), 1)
    (run.path / "config.json").unlink()
    with pytest.raises(InputError, match=r"checkpoint-a\.pt but no config\.json"):
        open_run(run.path, CONFIG, DATA)


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="does not exist"):
        load_run(tmp_path / "none")
    with pytest.raises(InputError, match=r"holds no config\.json"):
        load_run(tmp_path)


def test_finished_when_the_last_epoch_is_saved(run: Run):
    run.save(state(2), 2)
    assert not run.finished
    run.save(state(3), 3)
    assert run.finished


@pytest.mark.parametrize(("epoch", "steps"), [(1, 0), (0, 2)])  # also within the first epoch
def test_going_on_elsewhere_is_said_and_written_down(
    run: Run, caplog: pytest.LogCaptureFixture, epoch: int, steps: int
):
    run.save(state(epoch), epoch, steps)
    threads = torch.get_num_threads()
    torch.set_num_threads(threads + 1)
    try:
        again = open_run(run.path, CONFIG, DATA)
    finally:
        torch.set_num_threads(threads)
    assert f"not bit-exact: threads: {threads} -> {threads + 1}" in caplog.text
    assert load_run(again.path).environment["continued"][0]["threads"] == threads + 1


def test_names_are_shown_as_text(tmp_path: Path):
    evil = "<img src=x onerror=alert(1)>"
    shown = open_run(tmp_path / "run", CONFIG, {**DATA, "source": evil})._repr_html_()
    assert evil not in shown
    assert "&lt;img" in shown


def test_odd_characters_in_the_path(tmp_path: Path):
    run = open_run(tmp_path / "a b#c%d '\"\n动作", {**CONFIG, "note": "动作 🏃"}, DATA)
    run.save(state(1), 1)
    run.append({"epoch": 1})
    assert saved_epoch(run) == 1
    assert load_run(run.path).config["note"] == "动作 🏃"


@pytest.mark.skipif(os.name != "posix", reason="file modes are POSIX's")
def test_files_of_a_run_may_be_read_by_whom_the_umask_lets(run: Run):
    before = os.umask(0o027)
    try:
        write_json(run.path / "shared.json", {"epoch": 1})
    finally:
        os.umask(before)
    assert (run.path / "shared.json").stat().st_mode & 0o777 == 0o640


def test_a_difference_is_never_told_with_the_same_words_on_both_sides():
    words, others = [f"class number {i}" for i in range(9)], [f"action number {i}" for i in range(9)]
    old, new = {"epochs": 3, "classes": words, "source": "a" * 99}, {"epochs": 4, "classes": others, "source": "a" * 98}
    assert differences(old, new, free=()) == [
        "epochs: 3 -> 4",
        "classes: 9 entries, not the same ones",
        f"source: {'a' * 60}…, not the same",
    ]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes that have a name here")
def test_what_is_no_file_is_not_replaced(tmp_path: Path):
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", tmp_path):
        with pytest.raises(InputError, match="is no file: it is left as it is"):
            write_atomically(place, b"mine")
    assert (tmp_path / "pipe").is_fifo() and list(tmp_path.iterdir()) == [tmp_path / "pipe"]
