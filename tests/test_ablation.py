"""Ablations: what a grid file says, what is done when a run fails or everything is stopped, and the numbers by hand."""

import json
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from scipy import stats

from hiclr.__main__ import main
from hiclr.ablation import (
    Study,
    Trial,
    frame,
    markdown,
    over_runs,
    paired_seeds,
    read_grid,
    read_study,
    run_study,
    summarise,
)
from hiclr.ablation.clock import Clock
from hiclr.ablation.crew import Worker, how_it_ended
from hiclr.datasets import SkeletonSet, save_set, synthetic
from hiclr.errors import InputError
from hiclr.pretraining import PRESETS, check_trainable
from hiclr.runs import load_run, open_run

GRIDS = sorted((Path(__file__).parent.parent / "benchmarks" / "grids").glob("*.toml"))

TINY = """
name = "tiny"
reference = "two branches"
[base]
epochs = 2
batch_size = 8
least_steps = 2
channels = 4
features = 4
projection = 4
frames = 8
queue_size = 8
knn_every = 0
[[variant]]
name = "one branch"
branches = 1
[[variant]]
name = "two branches"
branches = 2
[[variant]]
name = "explodes"
lr = 1e30
clip_gradient = "none"
"""


def grid_file(folder: Path, text: str = TINY) -> Path:
    path = folder / "grid.toml"
    path.write_text(text, encoding="utf-8")
    return path


# --- grid files -------------------------------------------------------------------------------------------------------


def test_variants_are_settings_over_a_base_over_a_preset(tmp_path: Path):
    grid = read_grid(grid_file(tmp_path))
    assert (grid.name, grid.reference, grid.preset) == ("tiny", "two branches", "small")
    assert [v.name for v in grid.variants] == ["one branch", "two branches", "explodes"]
    assert [v.slug for v in grid.variants] == ["one-branch", "two-branches", "explodes"]
    first, _, last = (v.config for v in grid.variants)
    assert (first.branches, first.epochs, first.encoder) == (1, 2, PRESETS["small"].encoder)
    assert last.clip_gradient is None and PRESETS["small"].clip_gradient is not None
    other = read_grid(tmp_path / "grid.toml", epochs=7, preset="paper")
    assert [v.config.epochs for v in other.variants] == [7, 7, 7]
    assert (other.preset, other.variants[0].config.encoder) == ("paper", "stgcn")


def test_a_product_goes_with_every_variant(tmp_path: Path):
    variants = '[[variant]]\nname = "a"\n[[variant]]\nname = "b"\nlr = 1\n'
    text = f'{variants}[product]\nbranches = [1, 2]\nencoder = ["tcn", "stgcn"]'
    grid = read_grid(grid_file(tmp_path, text))
    assert len(grid.variants) == 8
    assert grid.variants[5].name == "b, branches 1, encoder stgcn"
    config = grid.variants[5].config
    assert (config.lr, config.branches, config.encoder) == (1, 1, "stgcn")
    alone = read_grid(grid_file(tmp_path, "[product]\nbranches = [1, 2]"))
    assert [v.name for v in alone.variants] == ["branches 1", "branches 2"] and alone.reference == "branches 1"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[[variant]]\nname = "a"\nbranchs = 2', "no setting (in variant 'a') 'branchs'. Did you mean 'branches'?"),
        ('[[varant]]\nname = "a"', "no entry 'varant'. Did you mean 'variant'?"),
        ('[[variant]]\nname = "a"\nbranches = "3"', "branches in variant 'a' must be a whole number; it is '3'"),
        ('[[variant]]\nname = "a"\nbranches = true', "must be a whole number; it is True"),
        ('[[variant]]\nname = "a"\nlr_steps = ["x"]', "lr_steps in variant 'a' must be a list, each a whole number"),
        ('[[variant]]\nname = "a"\nencoder = "gcn"', "variant 'a': encoder must be one of stgcn"),
        ('[[variant]]\nname = "a"\nmomentum = "much"', "momentum in variant 'a' must be a number or \"none\""),
        ('[[variant]]\nname = "a"\ntemperature = 0', "variant 'a': temperature must be above 0"),
        ('[[variant]]\nname = "a"\nseed = 3', "--seeds"),
        ('[base]\ndevice = "cuda"\n[product]\nbranches = [1]', "--device"),
        ('[base]\npreset = "huge"\n[product]\nbranches = [1]', "one of paper, small; it is 'huge'"),
        ("[[variant]]\nbranches = 1", "number 1 has no name"),
        ('[[variant]]\nname = "a b"\n[[variant]]\nname = "A-B"', "'a b' and 'A-B' would have one folder, a-b"),
        ('reference = "c"\n[[variant]]\nname = "a"', "the reference 'c' is none of the variants: 'a'"),
        ('[[variant]]\nname = "a"\nlr = 1\n[product]\nlr = [1, 2]', "lr of variant 'a, lr 1' is in [product] too"),
        ("[product]\nbranches = 1", "must be a list of values; it is 1"),
        ("[base]\nepochs = 1", "neither a [[variant]] nor a [product]"),
        ("name = ", "is no TOML file"),
    ],
)
def test_what_a_grid_cannot_mean_is_named(tmp_path: Path, text: str, said: str):
    with pytest.raises(InputError) as error:
        read_grid(grid_file(tmp_path, text))
    assert said in str(error.value) and "grid.toml" in str(error.value)


def test_a_missing_grid_is_named(tmp_path: Path):
    with pytest.raises(InputError, match=r"none\.toml cannot be read"):
        read_grid(tmp_path / "none.toml")


@pytest.mark.parametrize("path", GRIDS, ids=lambda path: path.stem)
def test_every_shipped_grid_can_be_run_on_ntus_joints(path: Path):
    grid = read_grid(path)
    train = tiny_set()
    for variant in read_grid(path, preset="small").variants:  # the paper's networks take seconds to make
        check_trainable(variant.config, train)
    assert grid.about, "a grid says what it asks"
    configs = [variant.config for variant in grid.variants]
    assert len(set(configs)) == len(configs), "two variants have the same settings"


# --- numbers ----------------------------------------------------------------------------------------------------------


def test_mean_spread_and_interval_by_hand():
    found = over_runs([1.0, 2.0, 3.0, 6.0])  # deviations -2, -1, 0, 3: squares 14, over n - 1 = 3
    assert (found["n"], found["mean"]) == (4, 3.0)
    assert found["sd"] == pytest.approx((14 / 3) ** 0.5)
    half = 3.182446 * (14 / 3) ** 0.5 / 2  # t of 3 degrees of freedom at 97.5 %, over the root of 4
    assert (found["low"], found["high"]) == (pytest.approx(3 - half, 1e-6), pytest.approx(3 + half, 1e-6))
    assert over_runs([5.0]) == {"n": 1, "mean": 5.0, "sd": None, "low": None, "high": None}
    assert over_runs([])["mean"] is None


def test_differences_are_tested_by_pairs():
    a, b = [70.0, 75.0, 81.0], [69.0, 73.0, 78.0]  # differences 1, 2, 3
    found = paired_seeds(a, b)
    assert (found["mean"], found["sd"]) == (2.0, 1.0)
    # t = 2 / (1 / sqrt 3); with 2 degrees of freedom p = 1 - t / sqrt(2 + t²) = 1 - sqrt(12 / 14)
    assert found["p_t"] == pytest.approx(1 - (12 / 14) ** 0.5)
    assert found["p_t"] == pytest.approx(stats.ttest_rel(a, b).pvalue)
    assert found["p_signs"] == found["p_signs_least"] == 0.25  # of 8 choices of signs, all plus and all minus
    assert paired_seeds([1.0, 5.0, 3.0], [2.0, 4.0, 3.0])["p_signs"] == 1.0
    alone = paired_seeds([3.0], [1.0])
    assert (alone["mean"], alone["p_t"], alone["p_signs"]) == (2.0, None, None)
    same = paired_seeds([1.0, 2.0], [1.0, 2.0])
    assert same["p_t"] is None and same["p_signs"] == 1.0
    with pytest.raises(InputError, match="Pairs"):
        paired_seeds([1.0], [1.0, 2.0])


def test_many_pairs_take_the_signed_rank_test():
    x = np.random.default_rng(0).normal(0.5, 1, 20)
    assert paired_seeds(x.tolist(), [0.0] * 20)["p_signs"] == stats.wilcoxon(x).pvalue


STUDY = {
    "grid": "made up", "about": "", "preset": "small", "base": {"epochs": 4}, "reference": "b", "seeds": [0, 1, 2],
    "data": {"source": "x.npz", "synthetic": True, "fingerprint": "f", "protocol": "p", "train": 9, "test": 200,
             "classes": 4},
    "variants": [{"name": name, "about": "", "settings": {}} for name in "abcd"],
}  # fmt: skip


def made_up_rows() -> list[dict[str, Any]]:
    linear = {"a": [60, 61, 62], "b": [70, 71, 72], "c": [75.9, 77, 78.1]}
    more = {"knn_1": 50, "knn_20": 40, "raw_1nn": 30, "random_linear": 20, "random_knn_1": 10, "random_knn_20": 10,
            "epochs": 4, "commit": "abc123", "environment": {"device": "cpu", "threads": 1}}  # fmt: skip
    rows = [
        {"variant": name, "seed": seed, "linear": value, "seconds": 60 + seed, "time": f"2026-01-0{seed + 1}", **more}
        for name, values in linear.items()
        for seed, value in enumerate(values)
    ]
    return [*rows, {"variant": "d", "seed": 0, "error": "its loss was not finite"}]


def test_the_table_is_ordered_by_effect_and_says_what_it_is_of():
    summary = summarise(STUDY, made_up_rows())
    entries = summary["measures"]["linear"]
    assert [entry["variant"] for entry in entries] == ["c", "b", "a", "d"]
    assert [entry["mean"] for entry in entries] == [pytest.approx(77), 71, 61, None]
    above, reference, below, nothing = (entry["difference"] for entry in entries)
    assert reference is None and nothing["n"] == 0 and nothing["verdict"] == "no pair"
    assert above["mean"] == pytest.approx(6) and above["verdict"] == "higher"
    assert above["p_holm"] == above["p_t"]  # the only one with a test: a's differences do not vary
    assert below["mean"] == -10 and below["p_t"] is None and below["verdict"] == "not told apart"
    assert summary["runs"] == {"wanted": 12, "done": 9, "failed": 1, "missing": 2}
    assert summary["seconds"]["a"] == 61 and summary["time"] == ["2026-01-01", "2026-01-03"]
    text = markdown(summary)
    for part in ("| c ", "77.0 ± 1.1", "+6.0 (+5.8 to +6.2)", "synthetic clips", "one is 0.50 points", "seeds 0, 1, 2",
                 "none of it is a number of the paper", "Nothing was chosen on the test part", "abc123", "2026-01-01",
                 "9 of 12 runs", "d, seed 0: its loss was not finite",
                 "cannot be below 0.25 with 3 seeds"):  # fmt: skip
        assert part in text
    with pytest.raises(InputError, match="no measure 'f1'"):
        markdown(summary, ["f1"])


def test_holm_grows_the_smallest_p_by_the_number_of_comparisons():
    rows = made_up_rows()
    for row in rows:
        if row["variant"] == "a" and "error" not in row:
            row["linear"] -= row["seed"] ** 2
    entries = {entry["variant"]: entry["difference"] for entry in summarise(STUDY, rows)["measures"]["linear"]}
    assert entries["c"]["p_t"] < entries["a"]["p_t"] < 0.05
    assert entries["c"]["p_holm"] == 2 * entries["c"]["p_t"]
    assert entries["a"]["p_holm"] == entries["a"]["p_t"]


def test_the_frame_has_the_tables_numbers():
    pytest.importorskip("pandas")
    table = frame(summarise(STUDY, made_up_rows()))
    assert list(table.index) == ["c", "b", "a", "d"]
    assert table.loc["c", "difference"] == pytest.approx(6) and table.loc["b", "to the reference"] == "the reference"


def test_the_figure_shows_every_run():
    figures = pytest.importorskip("hiclr.figures")
    summary = summarise(STUDY, made_up_rows())
    figure = figures.ablation.variants(summary)
    left, right = figure.axes
    dots = [line for line in left.lines if line.get_linestyle() == "None" and line.get_marker() != "D"]
    assert sorted(x for line in dots for x in line.get_xdata()) == sorted([60, 61, 62, 70, 71, 72, 75.9, 77, 78.1])
    shown = [x for line in right.lines if line.get_marker() not in ("D", "None") for x in line.get_xdata()]
    assert sorted(shown) == pytest.approx([-10, -10, -10, 5.9, 6, 6.1])
    assert [text.get_text() for text in left.get_yticklabels()] == ["c", "b", "a"]
    assert "(synthetic)" in figure.get_suptitle()
    with pytest.raises(InputError, match="No run"):
        figures.ablation.variants(summarise(STUDY, []))


def test_time_left_is_what_the_epochs_took():
    now = [0.0]
    clock = Clock({"fast": 10, "slow": 10}, lambda: now[0])
    waiting = {"fast, seed 1": ("fast", 0), "slow, seed 1": ("slow", 0)}
    assert clock.left(waiting, 2) is None
    clock.start("fast, seed 0", 4)
    for epoch in (5, 6):
        now[0] += 3
        clock.tick("fast, seed 0", "fast", epoch)
    assert clock.left(waiting, 1) == 60  # of what is not yet known as much as of what is
    assert clock.left(waiting, 2) == 30
    clock.learn("slow", 100, 10)
    assert clock.left(waiting, 1) == 130
    assert clock.left(waiting, 8) == 100  # one run is not divided
    now[0] += 4  # the evaluation
    clock.end("fast, seed 0", "fast")
    assert clock.left({"fast, seed 1": ("fast", 5)}, 1) == 25


def test_a_run_whose_process_dies_every_time_is_reported_and_the_others_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    """With processes that are none: what they would say is scripted."""
    given, told = [], []

    class Scripted:
        def __init__(self, number: int, folder: Path, *more: Any) -> None:
            self.number, self.trial, self.log, self.events = number, None, folder / "log.txt", more[-1]

        def give(self, trial: Trial) -> None:
            self.trial = trial
            given.append(str(trial))
            self.events.put((self, {"gone": -9} if trial.variant == "one branch" else {"failed": "no data"}))

        def close(self) -> None:
            pass

        def wait(self, _: float) -> None:
            pass

    monkeypatch.setattr("hiclr.ablation.running.Worker", Scripted)
    study = Study(tmp_path / "out", read_grid(grid_file(tmp_path)), [0], tiny_set())
    rows = run_study(study, "synthetic", jobs=1, device="cpu", tell=told.append)
    assert given == ["one branch, seed 0", "one branch, seed 0", "two branches, seed 0", "explodes, seed 0"]
    assert [row["error"] for row in rows] == [
        "Its process was ended by SIGKILL (as where memory runs out), 2 times.", "no data", "no data"
    ]  # fmt: skip


# --- the queue --------------------------------------------------------------------------------------------------------


def tiny_set() -> SkeletonSet:
    clips = synthetic(subjects=2, cameras=1, frames=16, noise=0, dropout=0)
    return clips.subset(np.arange(len(clips)))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("ablation") / "tiny.npz"
    save_set(tiny_set(), path)
    return path


def test_a_killed_process_is_heard_of(tmp_path: Path):
    events: SimpleQueue[Any] = SimpleQueue()
    study = Study(tmp_path, read_grid(grid_file(tmp_path)), [0], tiny_set())
    worker = Worker(3, tmp_path, "synthetic", None, "cpu", 1, events)
    worker.kill()
    worker.give(study.trials[0])
    assert events.get(timeout=30) == (worker, {"gone": -9})
    assert (tmp_path / "log" / "worker-3.txt").exists()


def test_what_is_stopped_goes_on_and_what_fails_is_reported(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    out, told, workers = tmp_path / "out", [], []
    study = Study(out, read_grid(grid_file(tmp_path)), range(2), tiny_set())
    give, tick = Worker.give, Clock.tick

    def interrupt(self: Clock, run: str, variant: str, epoch: int) -> None:
        tick(self, run, variant, epoch)
        if run == "one branch, seed 1" and epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(Worker, "give", lambda self, trial: (workers.append(self), give(self, trial)))
    monkeypatch.setattr(Clock, "tick", interrupt)
    with pytest.raises(KeyboardInterrupt, match="Stopped; 2 of 6 runs are done"):
        run_study(study, str(data), jobs=1, device="cpu", tell=told.append)
    monkeypatch.undo()
    assert [worker._process.poll() for worker in workers] == [0] * 4  # saved, and ended by itself
    assert any(line.startswith("[3/6] explodes, seed 0: failed: Epoch 1: the loss") for line in told)
    half = load_run(out / "one-branch" / "seed-1")
    assert not half.finished and half.latest()[1] >= 1 and half.writer() is None
    rows = [json.loads(line) for line in (out / "results.jsonl").read_text().splitlines()]
    assert [(row["variant"], row["seed"]) for row in rows] == [("one branch", 0), ("two branches", 0), ("explodes", 0)]
    kept = {path: path.read_bytes() for path in out.glob("*/seed-0/*.*") if "explodes" not in str(path)}
    first_row = half.metrics()[0]

    capsys.readouterr()
    arguments = ["--data", str(data), "--out", str(out), "--seeds", "2", "--jobs", "1", "--device", "cpu", "--json"]
    assert main(["ablate", str(grid_file(tmp_path)), *arguments]) == 1
    found = json.loads(capsys.readouterr().out)
    assert found["runs"] == {"wanted": 6, "done": 4, "failed": 2, "missing": 0}
    assert {path: path.read_bytes() for path in kept} == kept, "finished runs are left alone"
    assert [row["epoch"] for row in half.metrics()] == [1, 2] and half.metrics()[0] == first_row
    assert found["measures"]["linear"][0]["n"] == 2 and [row["variant"] for row in found["failed"]] == ["explodes"] * 2
    assert "not finite" in found["failed"][0]["error"]
    assert (out / "table.md").read_text(encoding="utf-8").startswith("# tiny\n")
    assert summarise(*read_study(out))["measures"] == found["measures"]


def test_a_folder_of_other_settings_or_data_is_refused_before_anything_is_changed(tmp_path: Path):
    clips = tiny_set()
    study = Study(tmp_path / "out", read_grid(grid_file(tmp_path)), [0], clips)
    study.open()
    with study.locked():
        pass
    trial = study.trials[0]
    open_run(trial.folder, trial.config.to_dict(), {"fingerprint": "of others", "source": "other.npz"})
    before = (study.folder / "study.json").read_bytes()
    with pytest.raises(InputError, match=r"from other data: source: other\.npz -> synthetic"):
        study.open()
    changed = grid_file(tmp_path, TINY.replace("branches = 1", "branches = 3"))
    with pytest.raises(InputError, match="branches: 1 -> 3"):
        Study(study.folder, read_grid(changed), [0], clips).open()
    assert (study.folder / "study.json").read_bytes() == before


def test_rows_that_the_grid_no_longer_asks_for_are_put_aside_and_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With runs that are none: a row is there for those of the first seed that have a folder."""

    def row(self: Study, trial: Trial) -> dict[str, Any] | None:
        right = {"one-branch": 50.0, "two-branches": 60.0}.get(trial.folder.parent.name)
        if trial.seed or right is None or not (trial.folder / "made").exists():
            return None
        return {"variant": trial.variant, "seed": 0, "linear": right, "knn_1": 1.0, "knn_20": 2.0, "epochs": 2,
                "seconds": 1.0}  # fmt: skip

    monkeypatch.setattr(Study, "row", row)
    monkeypatch.setattr("hiclr.ablation.running._Work.run", lambda _: None)
    out, clips, told = tmp_path / "out", tiny_set(), []
    names = ("one branch", "two branches")

    def run(*kept: str) -> list[dict[str, Any]]:
        text = "\n".join(f'[[variant]]\nname = "{name}"\nbranches = {1 + names.index(name)}' for name in kept)
        grid = read_grid(grid_file(tmp_path, f"[base]\nepochs = 2\n{text}"))
        return run_study(Study(out, grid, [0], clips), "synthetic", device="cpu", tell=told.append)

    def earlier() -> list[dict[str, Any]]:
        path = out / "earlier.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []

    for name in names:
        place = out / name.replace(" ", "-") / "seed-0"
        place.mkdir(parents=True)
        (place / "made").touch()
    both = run(*names)
    assert len(both) == 2 and not earlier() and not told
    assert [row["variant"] for row in run("two branches")] == ["two branches"]
    (aside,) = earlier()
    assert {**aside, "of": 0} == {
        **both[0],
        "of": 0,
    } and "1 row of runs that this grid has not" in told[0]
    assert aside["of"]["settings"] == {"branches": 1} and aside["of"]["base"] == {"epochs": 2}
    assert aside["of"]["data"]["fingerprint"] == clips.fingerprint
    run("two branches")
    assert earlier() == [aside] and len(told) == 1, "once"
    with (out / "results.jsonl").open("a") as file:
        file.write("torn {\n")
    (out / "two-branches" / "seed-0" / "made").unlink()  # as where only the tables were copied
    assert run(*names) == both[:1]
    assert [row.get("variant", row.get("damaged")) for row in earlier()] == ["one branch", "two branches", "torn {"]


def test_two_commands_do_not_work_on_one_folder(tmp_path: Path):
    study = Study(tmp_path / "out", read_grid(grid_file(tmp_path)), [0], tiny_set())
    other = Study(study.folder, read_grid(grid_file(tmp_path, '[[variant]]\nname = "other"')), [0], study.clips)
    study.open()
    with study.locked():
        before = (study.folder / "study.json").read_bytes()
        with pytest.raises(InputError, match="worked on by another process"):
            run_study(other, "synthetic", jobs=1, device="cpu")
    assert (study.folder / "study.json").read_bytes() == before, "by which the first one makes its table"


@pytest.mark.parametrize("name", ["Log", "lock"])
def test_a_variant_has_no_folder_that_the_study_needs_itself(tmp_path: Path, name: str):
    with pytest.raises(InputError, match=f"the folder {name.lower()} is the study's own"):
        read_grid(grid_file(tmp_path, f'[[variant]]\nname = "{name}"'))


def test_views_that_a_variant_cannot_have_are_found_before_the_first_run(tmp_path: Path):
    grid = read_grid(grid_file(tmp_path, '[[variant]]\nname = "many"\nbranches = 9'))
    with pytest.raises(InputError, match="Variant 'many': branches must be"):
        Study(tmp_path / "out", grid, [0], tiny_set())
    assert not (tmp_path / "out").exists()
    grid = read_grid(grid_file(tmp_path, '[[variant]]\nname = "none to drop"\nencoder = "tcn"\nstrong = ["edges"]'))
    with pytest.raises(InputError, match=r"Variant 'none to drop': .*edges"):
        Study(tmp_path / "out", grid, [0], tiny_set())


def test_the_command_names_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    bad = grid_file(tmp_path, '[[variant]]\nname = "a"\nbranchs = 2')
    assert main(["ablate", str(bad), "--data", "synthetic", "--out", str(tmp_path / "out")]) == 1
    assert "Did you mean 'branches'?" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        main(["ablate", str(bad), "--data", "synthetic", "--out", str(tmp_path / "out"), "--seeds", "0"])
    assert "--seeds must be at least 1; it is 0" in capsys.readouterr().err
    with pytest.raises(InputError, match=r"no study\.json"):
        read_study(tmp_path)
    assert how_it_ended(3) == "ended with exit code 3" and "memory" in how_it_ended(-9)
