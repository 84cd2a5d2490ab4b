"""12, 16: data that are not those of the run, and files of a set that change while it is read."""

import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from test_cli import inside, one_message
from test_conversion import ntu_folder

from hiclr.datasets import SkeletonSet, open_set, save_set
from hiclr.errors import InputError
from hiclr.pretraining import feed, prepare_run, pretrain

from .processes import hiclr
from .tiny import CONFIG, FLAGS, assert_same, clips, contents, saved, split, train


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    assert hiclr("pretrain", "--data", data, "--out", run, *FLAGS).wait().code == 0
    return run


def changed(how: str) -> SkeletonSet:
    data = clips()
    if how == "one number":
        x = np.array(data.x)
        x[7, 0, 0, 0, 0] += np.float32(1e-6)
        return replace(data, x=x)
    if how == "label":
        y = data.y.copy()
        y[7] = (y[7] + 1) % 3
        return replace(data, y=y)
    if how == "subject":
        return replace(data, ids={"subject": (data.ids["subject"] + (np.arange(24) == 7)) % 4})
    if how == "one clip less":
        return data.subset(np.flatnonzero(np.arange(24) != 7))
    order = np.arange(24)
    order[[0, 12]] = order[[12, 0]]  # both to train on, of one class and one subject
    moved = data.subset(order)
    return replace(moved, names=data.names) if how == "rows without names" else moved


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("one number", "positions or layout: at least one value changed"),
        ("label", "labels: at least one changed"),
        ("subject", "subjects: at least one changed"),
        ("one clip less", "clips: 16 -> "),
        ("rows", "clips: in another order"),
        ("rows without names", "positions or layout: at least one value changed"),
    ],
)
def test_changed_data_are_refused_and_the_difference_is_named(how: str, words: str, trained: Path, tmp_path: Path):
    other, before = split(changed(how), tmp_path / "set.npz"), contents(trained)
    one_message(inside("pretrain", "--data", other, "--out", trained, *FLAGS), "other data", words, "new run folder")
    assert contents(trained) == before


@pytest.fixture
def mapped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The tiny set as a folder that is mapped, and read batch by batch as a large one is."""
    monkeypatch.setattr(feed, "_RESIDENT_BYTES", 0)
    save_set(clips(), tmp_path / "set")
    return tmp_path / "set"


def test_a_mapped_file_cut_while_training_is_named_and_the_run_goes_on(mapped: Path, whole: Path, tmp_path: Path):
    data, file = open_set(str(mapped)), mapped / "x.npy"
    kept = file.read_bytes()
    run = prepare_run(tmp_path / "run", CONFIG, data)
    going = pretrain(data, CONFIG, run)
    next(going)
    os.truncate(file, len(kept) // 2)
    with pytest.raises(InputError, match=r"x\.npy was cut after it was opened"):
        list(going)
    assert saved(run) == 1
    with pytest.raises(InputError, match=r"x\.npy is no npy file, or not a whole one"):
        open_set(str(mapped))
    file.write_bytes(kept)
    train(run.path, CONFIG, open_set(str(mapped)))
    assert_same(whole, run.path)


def test_a_mapped_file_cut_before_training_is_no_end_of_the_process(mapped: Path, tmp_path: Path):
    data = open_set(str(mapped))
    os.truncate(mapped / "x.npy", 4096)
    with pytest.raises(InputError, match=r"x\.npy was cut"):
        prepare_run(tmp_path / "run", CONFIG, data)


def test_a_mapped_file_written_into_is_named(mapped: Path, tmp_path: Path):
    data = open_set(str(mapped))
    going = pretrain(data, CONFIG, prepare_run(tmp_path / "run", CONFIG, data))
    next(going)
    with (mapped / "x.npy").open("r+b") as file:
        file.seek(-4, os.SEEK_END)
        file.write(b"\0\0\0\0")
    with pytest.raises(InputError, match=r"x\.npy was written into after it was opened"):
        list(going)


@pytest.mark.parametrize("how", ["prepared again", "removed"])
def test_a_set_that_is_replaced_or_removed_stays_what_was_opened(mapped: Path, whole: Path, tmp_path: Path, how: str):
    data = open_set(str(mapped))
    going = pretrain(data, CONFIG, prepare_run(tmp_path / "run", CONFIG, data))
    next(going)
    if how == "removed":
        shutil.rmtree(mapped)
    else:
        save_set(changed("one number"), mapped)
    list(going)
    assert_same(whole, tmp_path / "run")
    if how == "prepared again":
        with pytest.raises(InputError, match="other data: positions"):
            prepare_run(tmp_path / "run", CONFIG, open_set(str(mapped)))


def test_raw_files_that_are_not_prepared_are_trained_on(tmp_path: Path):
    """They pass through a mapped file that has lost its name."""
    raw = ntu_folder(tmp_path / "raw", 12)
    done = hiclr("pretrain", "--data", raw, "--out", tmp_path / "run", *FLAGS).wait()
    assert done.code == 0, done.err
    assert saved(tmp_path / "run") == CONFIG.epochs
