"""The command line as a stranger meets it: a process, its exit code, and what it prints where."""

import contextlib
import io
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import hiclr
from hiclr.__main__ import main
from hiclr.commands.train import Preset, epoch_line, train_part
from hiclr.datasets import RELEASED, RELEASED_CODE, Preprocess, SkeletonSet, open_set, save_set, synthetic
from hiclr.datasets.wording import duration
from hiclr.errors import InputError
from hiclr.pretraining import PRESETS, PretrainConfig
from tests.faults.processes import hiclr as hiclr_forked
from tests.faults.processes import threads

QUICK = ("--epochs", "2", "--batch-size", "8", "--frames", "12", "--channels", "8", "--features", "8",
         "--projection", "8", "--least-steps", "4", "--device", "cpu")  # fmt: skip


def command(*args: str | Path, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "hiclr", *map(str, args)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": "1", **(env or {})},
        timeout=300,
    )


def inside(*args: str | Path) -> subprocess.CompletedProcess[str]:
    """The same without a process of its own, which takes seconds to start."""
    out, err, code = io.StringIO(), io.StringIO(), 0
    before = signal.getsignal(signal.SIGTERM)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main([str(arg) for arg in args])
        except SystemExit as end:
            code = int(end.code or 0)
    signal.signal(signal.SIGTERM, before)
    return subprocess.CompletedProcess(args, code, out.getvalue(), err.getvalue())


def clips(count: int = 36, **more: Any) -> SkeletonSet:
    """Three actions: the arms go up and down once, twice, three times; the last third are test clips."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % 3
    standing = synthetic(subjects=2, cameras=1, noise=0, dropout=0).x[0, :, 0, :, 0]
    x = np.zeros((count, 3, 16, 25, 1)) + standing[None, :, None, :, None]
    phase = np.linspace(0, 2 * np.pi, 16) * (1 + y[:, None]) + rng.uniform(0, 1, (count, 1))
    x[:, 1, :, 4:12, 0] += np.sin(phase)[:, :, None] * np.linspace(0.1, 0.4, 8)
    x += rng.normal(0, 0.01, x.shape)
    more.setdefault("test", np.arange(count) >= 2 * count // 3)
    return SkeletonSet.from_arrays(x, y, classes=("once", "twice", "thrice"), **more)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cli") / "swing.npz"
    save_set(clips(), path)
    return path


@pytest.fixture(scope="module")
def trained(data: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    run = data.parent / "run"
    return run, command("pretrain", "--data", data, "--out", run, *QUICK)


@pytest.fixture(scope="module")
def run(trained: tuple[Path, subprocess.CompletedProcess[str]]) -> Path:
    return trained[0]


def the_object(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What `--json` printed: one JSON object, and nothing else on stdout."""
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert isinstance(found, dict)
    assert done.stdout.count("\n") == 1
    return found


def one_message(done: subprocess.CompletedProcess[str], *parts: str) -> None:
    """Exit 1, nothing on stdout, a message with these words, no traceback."""
    assert done.returncode == 1, (done.returncode, done.stderr)
    assert done.stdout == ""
    assert "Traceback" not in done.stderr
    assert "hiclr: " in done.stderr
    for part in parts:
        assert part in done.stderr


# --- help and usage ---------------------------------------------------------------------------------------------------


def test_a_slip_in_a_commands_name_is_answered_with_the_nearest():
    done = inside("evalute", "run", "--data", "x")
    assert done.returncode == 2
    assert "no command 'evalute'. Did you mean evaluate? There are: prepare, doctor," in done.stderr
    assert "Did you mean" not in inside("potato").stderr


def test_the_version_is_the_packages():
    assert inside("--version").stdout == f"hiclr {hiclr.__version__}\n"


def test_help_names_every_command_and_every_setting_with_the_presets_default():
    text = inside("--help").stdout
    commands = ("prepare", "doctor", "pretrain", "evaluate", "embed", "fuse", "export", "import")
    assert all(name in text for name in commands)
    text = inside("pretrain", "--preset", "paper", "--help").stdout
    for name in PretrainConfig().to_dict():
        assert f"--{name.replace('_', '-')}" in text
    for preset in PRESETS:
        text = inside("pretrain", "--preset", preset, "--help").stdout
        assert f"(default: {PRESETS[preset].epochs})" in " ".join(text.replace("│", " ").split())


@pytest.mark.parametrize(
    "args",
    [
        (),
        ("train",),
        ("evaluate",),
        ("pretrain", "--data", "x", "--out", "y", "--epoch", "3"),
        ("pretrain", "--data", "x", "--out", "y", "--epochs", "many"),
        ("pretrain", "--data", "x", "--out", "y", "--epochs", "0"),
        ("pretrain", "--data", "x", "--out", "y", "--preset", "huge"),
        ("pretrain", "--data", "x", "--out", "y", "--branches", "4"),
        ("pretrain", "--data", "x", "--out", "y", "--device", "potato"),
        ("evaluate", "run", "--data", "x", "--device", "potato"),
        ("evaluate", "run", "--data", "x", "--protocol", "magic"),
        ("embed", "run", "--data", "x", "--out", "y", "--device", "potato"),
        ("prepare", "synthetic", "--out", "y", "--frames", "0"),
        ("prepare", "synthetic", "--out", "y", "--frames", "-3"),
    ],
)
def test_wrong_usage_ends_with_2(args: tuple[str, ...]):
    done = inside(*args)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr
    assert "Traceback" not in done.stderr


def test_every_preset_can_be_chosen():
    assert set(Preset.__args__) == set(PRESETS)  # type: ignore[attr-defined]


# --- pretrain ---------------------------------------------------------------------------------------------------------


def test_pretraining_says_what_it_trains_on_and_leaves_a_run(trained: tuple[Path, subprocess.CompletedProcess[str]]):
    run, done = trained
    assert done.returncode == 0, done.stderr
    assert "24 train clips" in done.stderr
    assert "epoch 1/2" in done.stderr
    assert "epoch 2/2" in done.stderr
    assert str(run) in done.stdout
    assert json.loads((run / "config.json").read_text())["batch_size"] == 8
    assert json.loads((run / "data.json").read_text())["clips"] == 24  # never a test clip


def test_the_same_command_leaves_a_finished_run_alone(run: Path, data: Path):
    before = {path: path.stat().st_mtime_ns for path in run.glob("checkpoint*")}
    found = inside("pretrain", "--data", data, "--out", run, *QUICK, "--json")
    assert the_object(found)["last"]["epoch"] == 2
    assert {path: path.stat().st_mtime_ns for path in run.glob("checkpoint*")} == before
    assert "left as it is" in inside("pretrain", "--data", data, "--out", run, *QUICK).stdout


def test_another_setting_on_the_same_run_is_refused_with_the_difference(run: Path, data: Path):
    one_message(inside("pretrain", "--data", data, "--out", run, *QUICK, "--lr", "0.5"), "lr: 0.002 -> 0.5")


def test_other_data_on_the_same_run_are_refused(run: Path, data: Path):
    other = data.parent / "other.npz"
    save_set(clips(48), other)
    one_message(inside("pretrain", "--data", other, "--out", run, *QUICK), "24 -> 32")


LONG = (*QUICK, "--epochs", "12", "--knn-every", "0")


def rows(run: Path) -> list[dict[str, Any]]:
    lines = (run / "metrics.jsonl").read_text().splitlines()
    return [{k: v for k, v in json.loads(line).items() if k not in ("seconds", "clips_per_s")} for line in lines]


@pytest.fixture(scope="module")
def whole(data: Path) -> list[dict[str, Any]]:
    """The metrics of a run that nobody interrupted."""
    run = data.parent / "whole"
    assert hiclr_forked("pretrain", "--data", data, "--out", run, *LONG, hook=threads, given=(1,)).wait().code == 0
    return rows(run)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_run_goes_on_to_the_same_end(
    data: Path, whole: list[dict[str, Any]], tmp_path: Path, number: signal.Signals
):
    run, limit = tmp_path / "parts", time.monotonic() + 60
    args = [sys.executable, "-m", "hiclr", "pretrain", "--data", str(data), "--out", str(run), *LONG]
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(args, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parent.parent, env=env)
    while not (run / "metrics.jsonl").exists() and time.monotonic() < limit:
        time.sleep(0.005)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 130, said
    assert "of 12 epochs are saved" in said
    assert "Traceback" not in said
    done = hiclr_forked("pretrain", "--data", data, "--out", run, *LONG, hook=threads, given=(1,)).wait()
    assert done.code == 0, done.err
    assert "Going on" in done.err
    assert len(whole) == 12
    assert rows(run) == whole


def test_a_set_without_test_part_is_trained_on_as_a_whole():
    train, words = train_part(clips(test=None), None)
    assert len(train) == 36
    assert "no test part" in words
    with pytest.raises(InputError, match="has no train and test part"):
        train_part(clips(test=None), "cross-view")


def test_the_protocol_can_be_chosen():
    test = np.arange(36) % 4 == 0
    both = clips(protocols={"quarter": test})
    assert [len(train_part(both, name)[0]) for name in (None, "test", "quarter")] == [24, 24, 27]


def test_a_line_for_an_epoch_says_what_is_left():
    row = {"epoch": 3, "loss": 5.0, "info_nce": 4.0, "ln_k": 6.24, "knn_1": None, "seconds": 60.0}
    line = epoch_line(row, 10)
    assert "epoch  3/10" in line
    assert "nothing learned: 6.24" in line
    assert "7 min left" in line
    assert [duration(s) for s in (0.4, 90, 300, 7200)] == ["0 s", "90 s", "5 min", "2 h"]


# --- evaluate and embed -----------------------------------------------------------------------------------------------


def test_evaluate_gives_the_contracts_object(run: Path, data: Path):
    found = the_object(command("evaluate", run, "--data", data, "--protocol", "linear,knn", "--json"))
    assert found["data"] == {"train": 24, "test": 12, "classes": 3}
    assert set(found["linear"]) == {"top1", "top5"}
    assert set(found["knn"]) == {"1", "5", "20"}
    assert {"raw_1nn", "random_linear", "random_knn_1"} <= set(found["baseline"])
    numbers = [*found["linear"].values(), *found["knn"].values(), *found["baseline"].values()]
    assert all(0 <= number <= 100 for number in numbers)
    assert json.loads((run / "results.json").read_text()) == found


def test_evaluate_measures_every_protocol_that_fits(run: Path, data: Path):
    found = the_object(inside("evaluate", run, "--data", data, "--protocol", "all", "--json"))
    for name, key in (("linear-hiclr", "best_on_test"), ("retrieval", "mAP"), ("calibration", "ece"), ("knn", "1")):
        assert 0 <= found[name][key] <= 100
    assert {"run", "commit", "protocol", "seeds", "train", "test", "fingerprint", "time"} <= found["rows"][0].keys()
    assert any("one-shot is not measured" in note for note in found["notes"])
    one_message(inside("evaluate", run, "--data", data, "--protocol", "one-shot"), "20 exemplars")


def test_evaluate_prints_a_table(run: Path, data: Path):
    done = inside("evaluate", run, "--data", data)
    assert done.returncode == 0
    for part in ("pretrained encoder", "random encoder", "raw 1-NN", "chance", "12 test clips"):
        assert part in done.stdout


def test_a_terminal_that_lacks_a_character_still_gets_the_answer(run: Path, data: Path, tmp_path: Path):
    out, terminal = tmp_path / "tänze.npz", {"PYTHONIOENCODING": "ascii", "LC_ALL": "C"}
    done = command("embed", run, "--data", data, "--out", out, env=terminal)
    assert done.returncode == 0, done.stderr
    assert "t?nze.npz" in done.stdout


def test_a_reader_that_leaves_early_is_no_fault(run: Path, data: Path):
    line = f'"{sys.executable}" -m hiclr evaluate "{run}" --data "{data}" | true; exit ${{PIPESTATUS[0]}}'
    done = subprocess.run(
        ["bash", "-c", line], capture_output=True, text=True, check=False, cwd=Path(__file__).parent.parent
    )
    assert done.returncode == 0, done.stderr
    assert "BrokenPipe" not in done.stderr


def test_embed_writes_an_array_for_each_view(run: Path, data: Path, tmp_path: Path):
    out = tmp_path / "new" / "features.npz"
    found = the_object(inside("embed", run, "--data", data, "--out", out, "--json"))
    assert found["views"] == ["clean", "basic", "normal", "strong"]
    with np.load(out, allow_pickle=False) as kept:
        for view in found["views"]:
            assert (kept[view].shape, kept[view].dtype) == ((36, 8), np.float32)
        assert kept["y"].tolist() == clips().y.tolist()
        assert kept["names"].tolist() == list(clips().names)
        assert kept["test"].sum() == 12


def test_what_is_not_there_is_a_message(run: Path, data: Path, tmp_path: Path):
    one_message(command("evaluate", tmp_path / "no-run", "--data", data), "no-run", "does not exist")
    one_message(inside("evaluate", run, "--data", tmp_path / "no-data.npz", "--json"), "no-data.npz")
    one_message(inside("evaluate", run, "--data", data, "--split", "cross-view"), "no protocol 'cross-view'")
    one_message(inside("pretrain", "--data", tmp_path / "no-data.npz", "--out", tmp_path / "r"), "no-data.npz")
    assert not (tmp_path / "r").exists()


# --- prepare and doctor -----------------------------------------------------------------------------------------------


def test_prepare_writes_a_set_that_the_other_commands_open(data: Path, tmp_path: Path):
    found = the_object(inside("prepare", data, "--out", tmp_path / "set", "--frames", "8", "--json"))
    assert (found["clips"], found["classes"], found["frames"], found["skipped"]) == (36, 3, 8, [])
    clips = open_set(tmp_path / "set")
    assert clips.x.shape == (36, 3, 8, 25, 1)
    assert "resample 8" in clips.preprocessing
    done = inside("prepare", data, "--out", tmp_path / "set.npz")
    assert done.returncode == 0
    assert "24 train / 12 test" in done.stdout
    np.testing.assert_array_equal(open_set(tmp_path / "set.npz").x, open_set(data).x)  # untouched unless asked for


@pytest.mark.parametrize(("word", "steps"), [("released", RELEASED), ("released-code", RELEASED_CODE)])
def test_prepare_released_is_the_published_preprocessing(word: str, steps: Preprocess, data: Path, tmp_path: Path):
    assert inside("prepare", data, "--out", tmp_path / "r.npz", "--preprocess", word).returncode == 0
    made, before = open_set(tmp_path / "r.npz"), open_set(data)
    wanted = steps.apply(before.clips(slice(None)), before.layout)
    np.testing.assert_array_equal(made.x, wanted.numpy())


def test_prepare_refuses_what_it_does_not_know(tmp_path: Path, data: Path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "a.txt").write_text("nothing of ours")
    one_message(inside("prepare", tmp_path / "letters", "--out", tmp_path / "x.npz"), "letters", "known")
    one_message(inside("prepare", tmp_path / "gone", "--out", tmp_path / "x.npz", "--json"), "gone")
    one_message(inside("prepare", data, "--out", tmp_path / "x.npz", "--layout", "kinect20-msr"), "ntu25")
    assert not (tmp_path / "x.npz").exists()


def test_a_folder_that_may_not_be_written_is_a_message(data: Path, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    one_message(inside("prepare", data, "--out", tmp_path / "file" / "set.npz"), "file")


def test_doctor_finds_nothing_in_a_good_set(data: Path):
    found = the_object(inside("doctor", data, "--json"))
    assert found["ok"] is True
    assert found["faults"] == []
    done = inside("doctor", data)
    assert done.returncode == 0
    assert "24 train / 12 test" in done.stdout


def test_doctor_ends_with_1_where_something_must_be_fixed(tmp_path: Path):
    good = clips()
    x = good.clips(slice(None)).numpy()
    x[7, 1, 3, 5, 0] = np.nan
    np.savez(tmp_path / "bad.npz", x=x, y=good.y)
    done = inside("doctor", tmp_path / "bad.npz")
    assert done.returncode == 1
    assert "clip000007" in done.stdout
    assert "frame 3" in done.stdout
    done = inside("doctor", tmp_path / "bad.npz", "--json")
    assert done.returncode == 1
    assert json.loads(done.stdout)["ok"] is False
    one_message(inside("doctor", tmp_path / "gone.npz"), "gone.npz")


@pytest.mark.parametrize(
    ("error", "code", "text"),
    [
        (torch.OutOfMemoryError("CUDA out of memory"), 1, "--batch-size"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes\nmore"), 1, "Not enough memory (Default"),
        (PermissionError(13, "Permission denied", "set.npz"), 1, "set.npz: Permission denied"),
        (KeyboardInterrupt(), 130, "Interrupted"),
    ],
)
def test_what_stops_a_command_from_outside_is_a_message(
    monkeypatch: pytest.MonkeyPatch, data: Path, error: BaseException, code: int, text: str
):
    def fail(_: object) -> None:
        raise error

    monkeypatch.setattr("hiclr.commands.Doctor.run", fail)
    done = inside("doctor", data)
    assert (done.returncode, done.stdout) == (code, "")
    assert text in done.stderr


def test_a_fault_of_the_program_is_not_dressed_up_as_one_of_the_input(monkeypatch: pytest.MonkeyPatch, data: Path):
    def fail(_: object) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr("hiclr.commands.Doctor.run", fail)
    with pytest.raises(RuntimeError, match="a bug"):
        inside("doctor", data)


def test_a_folder_is_no_file_to_embed_into(run: Path, data: Path, tmp_path: Path):
    one_message(inside("embed", run, "--data", data, "--out", tmp_path), "is a folder", "features.npz")


def test_a_refusal_names_long_values_by_their_number(run: Path, data: Path):
    with np.load(data) as file:
        arrays = {key: file[key] for key in file.files}
    other = data.with_name("other.npz")
    np.savez(other, **{**arrays, "classes": np.array([f"a class with a long name {i}" for i in range(3)])})
    done = inside("pretrain", "--data", other, "--out", run, *QUICK)
    assert "3 entries" in done.stderr
    assert len(done.stderr) < 500
