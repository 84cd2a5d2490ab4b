"""23: fewer clips than a batch, a last batch of one, fewer than k neighbours, queues that do not divide evenly."""

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_cli import inside, one_message, the_object

from hiclr.evaluation import tsne
from hiclr.features import features
from hiclr.pretraining import PretrainConfig
from hiclr.runs import load_run

from .tiny import CONFIG, FLAGS, all_finite, clips, copy, split, train

SHORT = replace(CONFIG, epochs=2, knn_every=1)


@pytest.mark.parametrize(
    ("encoder", "count", "batch", "steps"),
    [
        *(("tcn", 2, 8, 1), ("tcn", 3, 8, 1), ("tcn", 8, 8, 1), ("tcn", 9, 8, 1), ("tcn", 17, 8, 2), ("tcn", 9, 2, 4)),
        *(("stgcn", 3, 8, 1), ("stgcn", 9, 8, 1)),
    ],
)
def test_any_number_of_clips_is_trained_on(
    encoder: str, count: int, batch: int, steps: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    config = replace(SHORT, batch_size=batch, encoder=encoder)  # type: ignore[arg-type]
    run = train(tmp_path / "run", config, clips(count))
    assert [row["step"] for row in run.metrics()] == [steps, 2 * steps], "a last batch that is incomplete is left out"
    assert all(math.isfinite(row["loss"]) for row in run.metrics())
    assert all_finite(run.latest()[0])  # type: ignore[index]
    assert caplog.text.count("fewer than a batch") == (count < batch)
    found = features(load_run(run.path), clips(count))
    assert found["clean"].shape == (count, config.features)


@pytest.mark.parametrize("size", [1, 5, 12, 20, 1000])
def test_a_queue_of_any_size_wraps(size: int, tmp_path: Path):
    config = replace(SHORT, queue_size=size, mining_epoch=1, mask_own=True)
    run = train(tmp_path / "run", config)  # three batches of 8 in each of two epochs
    model = run.latest()[0]["model"]  # type: ignore[index]
    assert int(model["queue.filled"]) == min(size, 48)
    assert int(model["queue.pointer"]) == 48 % size
    norms = model["queue.keys"][:, : min(size, 48)].norm(dim=0)
    torch.testing.assert_close(norms, torch.ones_like(norms))
    assert all(math.isfinite(row["loss"]) for row in run.metrics())


def small_flags(config: PretrainConfig) -> list[str]:
    words = list(FLAGS)
    words[words.index("--epochs") + 1] = str(config.epochs)
    return words


@pytest.mark.parametrize("count", [3, 6])
def test_fewer_clips_than_neighbours_are_said_once(count: int, tmp_path: Path):
    data, run = split(clips(count), tmp_path / "set.npz"), tmp_path / "run"
    assert inside("pretrain", "--data", data, "--out", run, *small_flags(SHORT)).returncode == 0
    found = the_object(inside("evaluate", run, "--data", data, "--json"))
    assert found["data"]["train"] == 2 * count // 3
    said = [note for note in found["notes"] if "k = 20 takes" in note]
    assert len(said) == 1
    assert f"takes all {2 * count // 3} training clips" in said[0]
    assert all(0 <= value <= 100 for value in found["knn"].values())
    inside("embed", run, "--data", data, "--out", tmp_path / "features.npz")
    assert (tmp_path / "features.npz").exists()


def test_one_clip_to_train_on_is_refused_before_a_folder_is_made(tmp_path: Path):
    data = split(clips(24).subset([0, 2]), tmp_path / "set.npz")
    done = inside("pretrain", "--data", data, "--out", tmp_path / "run", *FLAGS)
    one_message(done, "At least 2 clips are needed to train on")
    assert not (tmp_path / "run").exists()


def test_one_test_clip_is_evaluated(tmp_path: Path, whole: Path):
    data = split(clips(24).subset([0, 1, 2, 3, 4]), tmp_path / "set.npz")
    found = the_object(inside("evaluate", copy(whole, tmp_path / "run"), "--data", data, "--json"))
    assert found["data"]["test"] == 1


@pytest.mark.parametrize("count", [3, 4, 10])
def test_fewer_clips_than_the_perplexity_still_give_a_map(count: int):
    points = torch.randn(count, 8, generator=torch.Generator().manual_seed(0)).numpy()
    made = tsne(points, perplexity=30)
    assert made.points.shape == (count, 2)
    assert made.perplexity < count
