"""11, 13: a run folder given with other settings is refused; another number of threads or processes is said."""

from dataclasses import replace
from pathlib import Path

import pytest
from test_cli import inside, one_message
from test_ranks import launch

from hiclr.errors import InputError
from hiclr.pretraining import check_trainable, describe, size
from hiclr.runs import load_run, open_run

from . import LONG
from .processes import hiclr, threads
from .tiny import CONFIG, FLAGS, clips, contents, copy, train


@pytest.fixture(scope="module")
def trained(data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    run = tmp_path_factory.mktemp("trained") / "run"
    assert hiclr("pretrain", "--data", data, "--out", run, *FLAGS).wait().code == 0
    return run


def test_every_setting_that_differs_is_shown_old_and_new(data: Path, trained: Path):
    before = contents(trained)
    changed = ("--lr", "0.5", "--queue-size", "24", "--branches", "2", "--views", "paper")
    done = inside("pretrain", "--data", data, "--out", trained, *FLAGS, *changed)
    one_message(
        done,
        "lr: 0.002 -> 0.5",
        "queue_size: None -> 24",
        "branches: 3 -> 2",
        "views: small -> paper",
        "new run folder",
    )
    assert "seed" not in done.stderr
    assert contents(trained) == before


def test_another_preset_or_more_epochs_are_other_settings(data: Path, trained: Path):
    one_message(inside("pretrain", "--data", data, "--out", trained, *FLAGS, "--epochs", "9"), "epochs: 4 -> 9")
    one_message(
        inside("pretrain", "--preset", "paper", "--data", data, "--out", trained, *FLAGS), "optimiser: adamw -> sgd"
    )


@pytest.mark.parametrize(
    ("given", "words"),
    [
        (("--channels", "300000"), ("channels 300000", "GiB of memory. Take smaller ones")),
        (("--features", "1000000000"), ("features 1000000000", "have room nowhere")),
        (("--projection", str(10**19)), ("have room nowhere",)),
        (("--queue-size", str(10**11)), ("queue_size 100000000000", "GiB of memory")),
        (("--frames", str(10**9)), ("1,000,000,000 frames", "fewer --frames")),
        (("--method", "barlow", "--expander", "1000000"), ("expander 1000000", "GiB of memory")),
    ],
)
def test_sizes_that_no_memory_holds_are_refused_before_the_folder_is_made(
    data: Path, tmp_path: Path, given: tuple[str, ...], words: tuple[str, ...]
):
    one_message(inside("pretrain", "--data", data, "--out", tmp_path / "run", *FLAGS, *given), *words)
    assert not (tmp_path / "run").exists()


def test_wide_networks_that_have_room_are_not_refused():
    for wide in (replace(CONFIG, projection=20_000), replace(CONFIG, encoder="stgcn", projection=20_000)):
        check_trainable(wide, clips())


def test_channels_are_weighed_before_they_are_made(monkeypatch: pytest.MonkeyPatch):
    """They are far fewer than the numbers that the widest layers have."""
    monkeypatch.setattr(size, "memory_here", lambda: 2**28)
    with pytest.raises(InputError, match="channels 300"):
        check_trainable(replace(CONFIG, encoder="stgcn", channels=300), clips())


def test_what_changes_no_weight_may_differ(data: Path, trained: Path):
    given = ("--knn-every", "1", "--save-minutes", "1", "--device", "auto")
    assert inside("pretrain", "--data", data, "--out", trained, *FLAGS, *given).returncode == 0


def test_another_number_of_threads_is_one_line(data: Path, tmp_path: Path):
    command = ("pretrain", "--data", data, "--out", tmp_path / "run", *FLAGS)
    script = (*command[:-2], "--epochs", "4")
    first = hiclr(*script, hook=stop_after_one_epoch).wait()
    assert first.code == 130, first.err
    done = hiclr(*script, hook=threads, given=(3,)).wait()
    assert done.code == 0, done.err
    assert done.err.count("not bit-exact") == 1
    line = next(line for line in done.err.splitlines() if "not bit-exact" in line)
    assert "-> 3" in line
    assert "threads: " in line
    assert load_run(tmp_path / "run").environment["continued"][0]["threads"] == 3
    again = hiclr(*script, hook=threads, given=(3,)).wait()
    assert "not bit-exact" not in again.err, "a finished run goes on nowhere"


def stop_after_one_epoch() -> None:
    """A hook: threads are one, and the first row of metrics brings SIGTERM."""
    import os
    import signal

    from hiclr.runs import Run

    threads(1)
    healthy = Run.append

    def ending(self: Run, row: object) -> None:
        healthy(self, row)  # type: ignore[arg-type]
        os.kill(os.getpid(), signal.SIGTERM)

    Run.append = ending  # type: ignore[assignment, method-assign]


def test_another_number_of_processes_is_one_line(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    run = copy(whole, tmp_path / "run")
    longer = replace(CONFIG, epochs=9)
    config = (run / "config.json").read_text().replace('"epochs": 4', '"epochs": 9')
    (run / "config.json").write_text(config)
    monkeypatch.setenv("WORLD_SIZE", "2")
    open_run(run, longer.to_dict(), describe(clips()))
    assert caplog.text.count("not bit-exact: ranks: 1 -> 2") == 1


@pytest.mark.skipif(not LONG, reason="two processes under torchrun, with HICLR_FAULTS=long")
def test_a_run_of_one_process_goes_on_with_two(tmp_path: Path):
    launch(tmp_path / "run", CONFIG, ranks=1, epochs=1)
    done = launch(tmp_path / "run", CONFIG, ranks=2)
    assert done.stderr.count("not bit-exact: ranks: 1 -> 2") == 1
    assert [row["epoch"] for row in load_run(tmp_path / "run").metrics()] == [1, 2, 3, 4]
    assert train(tmp_path / "run", CONFIG).finished
