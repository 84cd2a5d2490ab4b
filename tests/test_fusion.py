"""Fusion of streams: joined by clip name, weights found on clips held out of train."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_cli import inside, one_message, the_object

from hiclr.datasets import SkeletonSet, save_set
from hiclr.errors import InputError
from hiclr.evaluation import (
    Scores,
    choose_weights,
    evaluate_fusion,
    fuse,
    fusion_table,
    hold_out,
    linear_probe,
    top_k_accuracy,
)
from hiclr.evaluation.linear import class_scores
from hiclr.features import features
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import Run, load_run
from hiclr.skeleton import NTU_25

CLASSES = np.array([0, 1, 2])


def scores(values: Any, names: str = "abc") -> Scores:
    return Scores(tuple(names), CLASSES, np.array(values, dtype=np.float64))


def test_a_weighted_sum_by_hand():
    one = scores([[1, 0, 0], [0, 2, 0], [0, 0, 3]])
    two = scores([[0, 3, 0], [1, 0, 0], [0, 4, 0]])
    mean = fuse([one, two])
    assert mean.values.tolist() == [[0.5, 1.5, 0], [0.5, 1, 0], [0, 2, 1.5]]
    assert mean.ranked()[:, 0].tolist() == [1, 1, 1]
    assert fuse([one, two], (0.75, 0.25)).ranked()[:, 0].tolist() == [0, 1, 2]  # .75 of 1 and .25 of 3: the first wins
    assert mean.accuracy({"a": 0, "b": 1, "c": 2}) == pytest.approx(1 / 3)
    assert mean.accuracy({"a": 0, "b": 1, "c": 2}, k=2) == 1


def test_the_order_of_rows_in_a_stream_changes_nothing():
    rng = np.random.default_rng(0)
    names = tuple(f"clip {number}" for number in range(60))
    y = dict(zip(names, (rng.integers(0, 3, 60)).tolist(), strict=True))
    parts = [Scores(names, CLASSES, np.eye(3)[list(y.values())] + rng.normal(0, 0.7, (60, 3))) for _ in range(3)]
    order = rng.permutation(60)
    shuffled = Scores(tuple(names[index] for index in order), CLASSES, parts[1].values[order])
    fused = fuse([parts[0], shuffled, parts[2]])
    assert fused.names == names
    np.testing.assert_array_equal(fused.values, fuse(parts).values)
    assert fuse([shuffled, parts[0], parts[2]]).accuracy(y) == fuse(parts).accuracy(y)
    by_row = Scores(names, CLASSES, sum(part.values for part in (parts[0], shuffled, parts[2])))
    assert by_row.accuracy(y) < fused.accuracy(y)  # what joining by row would have given
    assert choose_weights([parts[0], shuffled, parts[2]], y) == choose_weights(parts, y)


def test_clips_that_one_stream_lacks_are_counted_and_named():
    whole = scores(np.eye(3))
    with pytest.raises(InputError, match=r"2 of the names of stream 1 \(3 clips\) and stream 2 \(3 clips\).*\(c, d\)"):
        fuse([whole, scores(np.eye(3), "abd")])
    with pytest.raises(InputError, match="a occurs 2 times"):
        scores(np.eye(3), "aba")
    with pytest.raises(InputError, match="other classes"):
        fuse([whole, replace(whole, classes=np.array([0, 1, 3]))])
    with pytest.raises(InputError, match=r"\(3, 3\)"):
        scores(np.zeros((3, 2)))


@pytest.mark.parametrize("weights", [(1.0,), (1.0, -0.1), (0.0, 0.0), (1.0, float("inf"))])
def test_what_are_no_weights_is_refused(weights: tuple[float, ...]):
    with pytest.raises(InputError, match="2 weights"):
        fuse([scores(np.eye(3)), scores(np.eye(3))], weights)


def test_weights_go_to_the_stream_that_is_right_and_stay_equal_where_nothing_is_gained():
    y = {"a": 0, "b": 1, "c": 2}
    good, bad = scores(np.eye(3)), scores(2.0 * np.roll(np.eye(3), 1, axis=1))
    # the good one wins from a weight of 2/3 on: 0.7 is the first tenth, and the nearest to equal weights
    assert choose_weights([good, bad], y) == (0.7, pytest.approx(0.3))
    assert choose_weights([good, good, good], y) == (1 / 3, 1 / 3, 1 / 3)
    with pytest.raises(InputError, match="1 to 5"):
        choose_weights([good] * 6, y)


# --- runs -------------------------------------------------------------------------------------------------------------

TINY = replace(PRESETS["small"], epochs=1, batch_size=8, least_steps=1, frames=12, channels=8, features=8, projection=8,
               device="cpu")  # fmt: skip


def waving(**more: Any) -> SkeletonSet:
    """Arms of four people that go up and down at three speeds; the fourth person's clips are test clips."""
    rng = np.random.default_rng(0)
    y, subject = np.arange(96) % 3, np.arange(96) // 24
    x = np.zeros((96, 3, 12, 25, 1)) + rng.normal(0, 0.3, (1, 3, 1, 25, 1))
    phase = np.linspace(0, 2 * np.pi, 12) * (1 + y[:, None]) + rng.uniform(0, 6, (96, 1))
    x[:, 1, :, 4:12, 0] += np.sin(phase)[:, :, None] * np.linspace(0.1, 0.4, 8)
    x += rng.normal(0, 0.05, x.shape)
    return SkeletonSet.from_arrays(
        x, more.get("y", y), layout=NTU_25, ids={"subject": subject}, test=subject == 3, classes=("1", "2", "3")
    )


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    train, folder = waving().split()[0], tmp_path_factory.mktemp("fusion")
    made = []
    for stream in ("joint", "bone-motion"):
        config = replace(TINY, stream=stream)
        made.append(prepare_run(folder / stream, config, train))
        list(pretrain(train, config, made[-1]))
    return made


@pytest.fixture(scope="module")
def result(runs: list[Run]) -> dict[str, Any]:
    return evaluate_fusion(runs, waving(), weights=(3, 1), device="cpu")


def test_each_stream_and_each_choice_of_weights_is_shown(result: dict[str, Any], runs: list[Run]):
    assert result["data"] == {"train": 72, "held_out": 24, "test": 24, "classes": 3}  # one of three people is held out
    assert [row["stream"] for row in result["streams"]] == ["joint", "bone-motion"]
    assert result["fusion"]["equal"]["weights"] == [0.5, 0.5]
    assert result["fusion"]["given"]["weights"] == [0.75, 0.25]
    assert sum(result["fusion"]["chosen"]["weights"]) == pytest.approx(1)
    assert result["fusion"]["chosen"]["held_out"] >= result["fusion"]["equal"]["held_out"]
    clips = waving()
    train, test = clips.split_indices()
    parts = []
    for run, row in zip(runs, result["streams"], strict=True):  # worked out again, row by row
        x = features(run, clips, views=("clean",), device="cpu")["clean"]
        parts.append(class_scores(linear_probe(x[train], clips.y[train]), x[test]))
        assert row["top1"] == round(100 * top_k_accuracy(np.argsort(-parts[-1], axis=1), clips.y[test], 1), 2)
        cut = hold_out(clips.y[train], clips.ids["subject"][train])
        fit, held = train[cut.fit], train[cut.held]
        assert row["held_out"] == round(100 * linear_probe(x[fit], clips.y[fit]).score(x[held], clips.y[held]), 2)
    right = (sum(parts).argmax(axis=1) == clips.y[test]).mean()  # type: ignore[union-attr]
    assert result["fusion"]["equal"]["top1"] == round(100 * float(right), 2)
    table = fusion_table(result)
    assert "joint (joint, epoch 1)" in table and "equal weights 0.50 0.50" in table and "held out of train" in table


def test_the_test_part_has_no_say_in_the_weights(result: dict[str, Any], runs: list[Run]):
    clips = waving()
    y = clips.y.copy()
    y[72:] = np.roll(y[72:], 1)  # every test clip has another class
    other = evaluate_fusion(runs, waving(y=y), device="cpu")
    assert other["fusion"]["chosen"]["weights"] == result["fusion"]["chosen"]["weights"]
    assert other["fusion"]["chosen"]["held_out"] == result["fusion"]["chosen"]["held_out"]
    assert other["fusion"]["equal"]["top1"] != result["fusion"]["equal"]["top1"]


def test_the_order_of_the_clips_changes_nothing(result: dict[str, Any], runs: list[Run]):
    clips = waving()
    again = evaluate_fusion(runs, clips.subset(np.random.default_rng(1).permutation(96)), device="cpu")
    assert again["fusion"]["equal"]["top1"] == result["fusion"]["equal"]["top1"]


def test_what_cannot_be_fused_is_a_sentence(runs: list[Run], tmp_path: Path):
    with pytest.raises(InputError, match="2 to 5 runs"):
        evaluate_fusion(runs[:1], waving())
    with pytest.raises(InputError, match="more than once"):
        evaluate_fusion([runs[0], runs[0]], waving())
    again = load_run(shutil.copytree(runs[0].path, tmp_path / "again"))
    twice = evaluate_fusion([runs[0], again], waving(), device="cpu")
    assert any("same stream (joint, joint)" in note for note in twice["notes"])
    fresh = prepare_run(tmp_path / "fresh", TINY, waving().split()[0])
    with pytest.raises(InputError, match="no checkpoint"):
        evaluate_fusion([runs[0], fresh], waving())


def test_fuse_on_the_command_line(runs: list[Run], result: dict[str, Any], tmp_path: Path):
    save_set(waving(), tmp_path / "waving.npz")
    given = ("fuse", *(run.path for run in runs), "--data", tmp_path / "waving.npz", "--device", "cpu")
    answer = the_object(inside(*given, "--json"))
    assert answer["fusion"]["equal"] == result["fusion"]["equal"] and "given" not in answer["fusion"]
    assert "chosen weights" in inside(*given).stdout
    one_message(inside(*given, "--weights", "1", "2", "3"), "2 weights")
    assert json.dumps(answer)
