"""5, 6, 15: disks that are too small or fill up, a temp folder that is of no use, folders that are read-only."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from test_conversion import ntu_folder

from hiclr.datasets import open_set
from hiclr.errors import InputError
from hiclr.pretraining import prepare_run, pretrain
from hiclr.runs import load_run

from .processes import hiclr
from .tiny import CONFIG, FLAGS, assert_same, clips, contents, saved, train

Disk = Callable[[str], Path]


def fill(folder: Path) -> Path:
    """A file that takes all the room there is."""
    path = folder / "somebody elses"
    with path.open("wb", buffering=0) as file:
        for size in (2**16, 1):
            try:
                while True:
                    file.write(bytes(size))
            except OSError:
                continue
    return path


def test_a_disk_that_is_too_small_is_refused_before_training(disk: Disk, data: Path):
    small = disk("400k")
    done = hiclr("pretrain", "--data", data, "--out", small / "run", *FLAGS).wait()
    assert (done.code, done.out) == (1, "")
    assert "Traceback" not in done.err
    assert "is too small: a checkpoint takes" in done.err
    assert "free" in done.err
    assert "epoch 1/" not in done.err
    assert not list((small / "run").glob("*.pt*"))


def test_a_disk_that_is_full_is_refused_at_once(disk: Disk):
    small = disk("1m")
    fill(small)
    with pytest.raises(InputError, match=r"0 are free|No space left"):
        prepare_run(small / "run", CONFIG, clips())
    assert not (small / "run" / "config.json").exists()


def test_a_disk_that_fills_up_costs_the_epoch_and_no_more(disk: Disk, whole: Path):
    small, data = disk("4m"), clips()
    run = prepare_run(small / "run", CONFIG, data)
    going = pretrain(data, CONFIG, run)
    next(going)
    before = {name: content for name, content in contents(run.path).items() if name.startswith("checkpoint")}
    filler = fill(small)
    with pytest.raises(InputError, match=r"(could not be written|could not be extended).*No space left"):
        list(going)
    assert saved(run) == 1
    now = contents(run.path)
    assert sum(now.get(name) == content for name, content in before.items()) >= 2, "one generation is untouched"
    assert not list(run.path.glob(".*.tmp"))
    filler.unlink()
    train(run.path, CONFIG, data)
    lines = load_run(run.path).metrics()
    assert [row["epoch"] for row in lines] == [1, 2, 3, 4]
    assert_same(whole, run.path)


def test_a_disk_that_is_full_can_still_be_read_from(disk: Disk, data: Path):
    small = disk("4m")
    assert hiclr("pretrain", "--data", data, "--out", small / "run", *FLAGS).wait().code == 0
    fill(small)
    done = hiclr("evaluate", small / "run", "--data", data, "--json").wait()
    assert done.code == 0, done.err
    assert "not kept" in json.loads(done.out)["notes"][-1]
    done = hiclr("embed", small / "run", "--data", data, "--out", small.parent / "features.npz").wait()
    assert done.code == 0, done.err
    assert "not kept" in done.err


@pytest.mark.parametrize("fault", ["full", "read-only", "missing"])
def test_the_systems_temp_folder_is_not_needed(
    fault: str, disk: Disk, data: Path, anybodys: Path, ordinary_user: int | None, tmp_path: Path
):
    user = None
    if fault == "full":
        temporary = disk("64k")
        fill(temporary)
    else:
        temporary, user = anybodys / "temporary", ordinary_user
        if fault == "read-only":
            temporary.mkdir(mode=0o555)
    own = anybodys / "set.npz"
    own.write_bytes(data.read_bytes())
    run, env = anybodys / "run", {"TMPDIR": str(temporary), "HOME": str(anybodys)}
    commands: list[tuple[str | Path, ...]] = [
        ("prepare", own, "--out", anybodys / "again"),
        ("pretrain", "--data", own, "--out", run, *FLAGS),
        ("evaluate", run, "--data", own, "--json"),
    ]
    for command in commands:
        done = hiclr(*command, env=env, user=user).wait()
        assert done.code == 0, done.err
    assert saved(run) == CONFIG.epochs


def test_raw_files_without_a_temp_folder_are_a_sentence(disk: Disk, tmp_path: Path):
    """The one use of it: raw files that are given without being prepared pass through it."""
    temporary = disk("64k")
    fill(temporary)
    raw = ntu_folder(tmp_path / "raw", 6)
    done = hiclr("pretrain", "--data", raw, "--out", tmp_path / "run", *FLAGS, env={"TMPDIR": str(temporary)}).wait()
    assert (done.code, done.out) == (1, "")
    assert "Traceback" not in done.err
    assert "No space left" in done.err or "free" in done.err


def test_data_may_be_read_only_and_a_run_may_not(data: Path, anybodys: Path, ordinary_user: int | None):
    own = anybodys / "data"
    own.mkdir()
    assert hiclr("prepare", data, "--out", own / "set").wait().code == 0
    for path in (*(own / "set").iterdir(), own / "set", own):
        path.chmod(0o555 if path.is_dir() else 0o444)
    run = anybodys / "run"
    command = ("pretrain", "--data", own / "set", "--out", run, *FLAGS)
    done = hiclr(*command, user=ordinary_user).wait()
    assert done.code == 0, done.err

    closed = anybodys / "closed"
    closed.mkdir(mode=0o555)
    for out in (closed, closed / "run"):
        done = hiclr("pretrain", "--data", own / "set", "--out", out, *FLAGS, user=ordinary_user).wait()
        assert (done.code, done.out) == (1, "")
        assert "Traceback" not in done.err
        assert "Permission denied" in done.err
        assert "epoch 1/" not in done.err

    before = contents(run)
    for path in (*run.iterdir(), run):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = hiclr(*command[:-2], "--epochs", "9", user=ordinary_user).wait()
    assert done.code == 1
    done = hiclr("embed", run, "--data", own / "set", "--out", anybodys / "features.npz", user=ordinary_user).wait()
    assert done.code == 0, done.err
    assert "not kept" in done.err
    done = hiclr("evaluate", run, "--data", own / "set", user=ordinary_user).wait()
    assert done.code == 0, done.err
    assert "Note: This answer is not kept in the run folder" in done.out
    assert "Kept as" not in done.err
    run.chmod(0o755)
    assert contents(run) == before


def test_an_unfinished_run_that_may_not_be_written_is_refused_before_training(
    data: Path, anybodys: Path, ordinary_user: int | None
):
    run = anybodys / "run"
    own = anybodys / "set.npz"
    own.write_bytes(data.read_bytes())
    train_clips, _ = open_set(str(own)).split()
    prepared = prepare_run(run, CONFIG, train_clips)
    next(pretrain(train_clips, CONFIG, prepared))
    before = contents(run)
    for path in (*run.iterdir(), run):
        path.chmod(0o555 if path.is_dir() else 0o444)
    done = hiclr("pretrain", "--data", own, "--out", run, *FLAGS, user=ordinary_user).wait()
    assert (done.code, done.out) == (1, "")
    assert "may not be written" in done.err
    assert "epoch 2/" not in done.err
    run.chmod(0o755)
    assert contents(run) == before


def test_modes_bind_the_user_of_these_tests(anybodys: Path, ordinary_user: int | None):
    """Else the tests above would say nothing."""
    (anybodys / "closed").mkdir(mode=0o555)
    done = hiclr("--version", hook=os.mkdir, given=(str(anybodys / "closed" / "x"),), user=ordinary_user).wait()
    assert done.code == 1
    assert "PermissionError" in done.err
