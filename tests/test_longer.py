"""Protocols that take long: by name, never by default, each with its time said first and figures of its own."""

import json
import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation import (
    DEFAULT,
    LONGER,
    PROTOCOLS,
    RECIPES,
    FinetuneConfig,
    evaluate,
    finetune,
    finetune_text,
    how_long,
    load_predictions,
    longer,
    predictions_path,
    results_path,
    robustness,
    roughly,
    table,
)
from hiclr.evaluation.longer import SEMI
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import Run
from hiclr.skeleton import KINECT_20_SDK, NTU_25, Layout

TINY = replace(
    PRESETS["small"], epochs=1, batch_size=8, least_steps=1, frames=8, channels=8, features=8, projection=8,
    knn_every=0, device="cpu",
)  # fmt: skip


def moving(layout: Layout = NTU_25, **more: Any) -> SkeletonSet:
    """36 clips of 3 classes by 6 people; every third one is a test clip."""
    rng = np.random.default_rng(0)
    y = np.arange(36) % 3
    x = rng.normal(0, 0.3, (36, 3, 8, layout.num_joints, 1)) + y[:, None, None, None, None] * 0.2
    more = {"test": np.arange(36) // 3 % 3 == 2, "ids": {"subject": np.arange(36) // 6}, **more}
    return SkeletonSet.from_arrays(x, y, layout=layout, source="moving", **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    train, _ = moving().split()
    run = prepare_run(tmp_path_factory.mktemp("longer") / "moving", TINY, train)
    list(pretrain(train, TINY, run))
    return run


@pytest.fixture(scope="module")
def patched() -> Any:
    """One corruption of one severity, and trainings of one epoch on two draws of one share."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RECIPES, "small", FinetuneConfig(epochs=1, batch_size=8, least_steps=1))
        patch.setattr(longer, "SHARES", (0.5,))
        patch.setattr(longer, "DRAWS", 2)
        kept = robustness.CORRUPTIONS["noise"]
        patch.setattr(robustness, "CORRUPTIONS", {"noise": replace(kept, severities=kept.severities[:1])})
        yield


@pytest.fixture(scope="module")
def heard(run: Run, patched: None) -> tuple[dict[str, Any], list[str]]:
    said: list[str] = []
    names = ["linear", "robustness", "finetune", "semi"]
    return evaluate(run, moving(), names, device="cpu", say=said.append), said


def test_none_of_them_is_measured_unless_it_is_named(run: Run):
    assert not {*DEFAULT, *PROTOCOLS} & set(LONGER)
    with pytest.raises(InputError, match="semi-mamp, transfer, or all"):
        evaluate(run, moving(), ["semisupervised"])


def test_each_says_how_long_before_it_starts(heard: tuple[dict[str, Any], list[str]]):
    _, (first, *said, last) = heard
    assert (first.split(":")[0], last.split(":")[0]) == ("linear", "floors")
    assert [line.split(":")[0] for line in said] == ["robustness", "finetune", "semi"]
    assert all(re.search(r"about \d+(\.\d)? (s|min|h) on cpu \(", line) for line in said)
    assert "1 corruption, 3 passes over 12 test clips" in said[0]  # one severity, 3 draws
    assert "2 trainings of 1 epoch, 48 clips seen" in said[1]  # 24 clips, pretrained and from scratch
    # 12 of 24 clips are one step of 8: 8 clips, 2 draws, 2 encoders
    assert "4 trainings of 1 epoch, 32 clips seen" in said[2]


def test_the_time_said_grows_with_the_work(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(longer, "seconds_a_clip", lambda *_: (0.5, 2.0))
    monkeypatch.setitem(RECIPES, "small", FinetuneConfig(epochs=2, batch_size=8, least_steps=1, look_every=1))
    assert "about 4 min" in how_long("finetune", run, moving())  # 96 trained, 2 trainings x 2 looks x 12 clips encoded
    monkeypatch.setattr(longer, "seconds_a_clip", lambda *_: (50.0, 200.0))
    assert "about 6 h" in how_long("finetune", run, moving())
    with pytest.raises(InputError, match="robustness, finetune, semi, semi-hiclr, semi-aimclr, semi-mamp, transfer"):
        how_long("linear", run, moving())


def test_labels_are_drawn_by_the_rule_that_the_protocol_names(run: Run, monkeypatch: pytest.MonkeyPatch):
    asked: list[tuple[Any, ...]] = []

    def watched(run: Run, clips: SkeletonSet, *given: Any, **more: Any) -> Any:
        asked.append((given[1], given[3]))
        return {"notes": ["drawn"], "shares": {}, "rule": given[1]}

    monkeypatch.setattr(longer, "semi_supervised", watched)
    monkeypatch.setattr(finetune, "LARGE", 10)
    for name in SEMI:
        notes: list[str] = []
        LONGER[name].measure(run, moving(), None, "cpu", notes)
        assert notes == [f"{name}: drawn"]
    assert asked == [("cmd", "cmd"), ("aimclr", "hiclr-semi"), ("aimclr", "aimclr"), ("mamp", "mamp")]
    # HiCLR's epoch has the steps of one over all labels: 24 // 2 of 2 clips, whatever the share
    monkeypatch.setitem(RECIPES, "hiclr-semi", FinetuneConfig(epochs=1, batch_size=2, least_steps=1, whole_epochs=True))
    monkeypatch.setattr(longer, "SHARES", (0.25,))
    monkeypatch.setattr(longer, "DRAWS", 3)
    assert f"{2 * 3 * 24} clips seen" in roughly("semi-hiclr", run, moving())


def test_what_is_only_encoded_is_timed_and_what_is_trained_is_told_from_the_runs_pace(
    run: Run, patched: None, monkeypatch: pytest.MonkeyPatch
):
    asked: list[bool] = []

    def timed(*given: Any) -> tuple[float, float]:
        asked.append(given[-1])
        return 0.5, 2.0

    monkeypatch.setattr(longer, "seconds_a_clip", timed)
    monkeypatch.setattr(Run, "metrics", lambda _: [{"clips_per_s": 1.0}, {}, {"clips_per_s": 3.0}])
    monkeypatch.setitem(RECIPES, "small", FinetuneConfig(epochs=2, batch_size=8, least_steps=1, look_every=1))
    assert "robustness: about 18 s on" in roughly("robustness", run, moving())  # 3 passes over 12 clips, 0.5 s each
    assert asked == [False]
    # 2 clips/s, and 1 + 3 * 3 passes a clip: 0.05 s a pass, of 3 * 96 + 48
    assert "finetune: not measured; roughly 17 s at the pace" in roughly("finetune", run, moving())
    assert asked == [False]
    monkeypatch.setattr(Run, "metrics", lambda _: [])
    assert "finetune: not measured (" in roughly("finetune", run, moving())


def test_their_figures_have_rows_intervals_and_predictions(heard: tuple[dict[str, Any], list[str]], run: Run):
    result, _ = heard
    rows = {(row["protocol"], row["measure"]): row for row in result["rows"]}
    assert rows["finetune", "top1"]["value"] == result["finetune"]["finetune"]["top1"]
    assert rows["finetune", "scratch top1"]["value"] == result["finetune"]["scratch"]["top1"]
    assert rows["semi", "50 % top1"]["value"] == result["semi"]["shares"]["50"]["finetune"]["top1"]
    assert rows["robustness", "drop noise"]["value"] == result["robustness"]["curves"]["noise"]["drop"]
    assert rows["robustness", "clean"]["value"] == result["linear"]["top1"]  # the same probe on the same clips
    assert rows["finetune", "top1"]["interval"] and rows["finetune", "top1"]["over_subjects"]
    assert rows["semi", "50 % top1"]["interval"] is None  # a mean over draws is no share of clips
    kept = load_predictions(predictions_path(run, moving()))
    assert 100 * (kept.classes["finetune/top1"] == kept.y).mean() == pytest.approx(result["finetune"]["top1"], abs=0.01)
    text = table(result)
    assert "finetune, scratch top1" in text and "points lost, noise on every joint" in text
    assert "labels drawn by the rule of cmd" in finetune_text({**result, **result["semi"]})


def test_transfer_takes_another_layout_and_has_a_file_of_its_own(run: Run, patched: None):
    own = json.loads(results_path(run, moving()).read_text()) if results_path(run, moving()).exists() else None
    other = moving(KINECT_20_SDK)
    said: list[str] = []
    found = evaluate(run, other, ["linear", "transfer"], device="cpu", say=said.append)
    told = [line for line in said if line.startswith("transfer: about")]
    assert len(told) == 1 and said[0] == "linear: 1 of 1 on frozen features" and said[-1].startswith("floors: ")
    assert found["transfer"]["linear"]["top1"] == found["linear"]["top1"]
    assert found["transfer"]["joints"]["from"] == KINECT_20_SDK.name
    assert any("does not have" in note for note in found["notes"])
    path = results_path(run, other, moved=True)
    assert path.name == "results.transfer.json" and json.loads(path.read_text()) == found
    if own is not None:
        assert json.loads(results_path(run, moving()).read_text()) == own
    strange = replace(other, layout=replace(KINECT_20_SDK, joints=tuple(f"j{v}" for v in range(20))))
    assert "not possible here. Only" in how_long("transfer", run, strange)
    with pytest.raises(InputError):
        evaluate(run, other, ["linear"], device="cpu")  # without transfer other joints are refused as before


def test_what_was_measured_stays_when_others_are_measured(heard: tuple[dict[str, Any], list[str]], run: Run):
    first, _ = heard
    again = evaluate(run, moving(), ["knn"], device="cpu")
    assert again["semi"] == first["semi"]
    assert {row["protocol"] for row in again["rows"]} >= {"semi", "robustness", "finetune", "knn"}


def test_a_file_name_is_made_of_the_split_and_the_transfer(run: Run):
    clips = moving(protocols={"every/second": np.arange(36) % 2 == 0})
    other = "every/second"
    asked = ((None, False), ("test", False), (other, False), (None, True), (other, True))
    names = [results_path(run, clips, split, moved).name for split, moved in asked]
    assert names == ["results.json", "results.json", "results.every_second.json", "results.transfer.json",
                     "results.transfer-every_second.json"]  # fmt: skip
