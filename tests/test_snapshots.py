"""Snapshots: training keeps its bits, files hold what they say, and maps and numbers through training."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from hiclr import figures
from hiclr.datasets import SkeletonSet, synthetic
from hiclr.errors import InputError
from hiclr.evaluation import THROUGH, neighbour_purity, through_training
from hiclr.features import extract, load_encoder
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain, snapshots
from hiclr.pretraining.training import Training
from hiclr.runs import Run, Snapshot
from hiclr.runs.snapshots import read_snapshots, write_snapshot

SHORT = replace(
    PRESETS["small"], epochs=4, frames=12, channels=8, features=8, projection=8, batch_size=16, least_steps=1,
    dropout=0.2, knn_every=0, device="cpu", snapshots=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def clips() -> SkeletonSet:
    return synthetic(subjects=3, cameras=1, frames=16, actions=["wave right hand", "kick right", "sit down"])


def trained(folder: Path, clips: SkeletonSet, config: PretrainConfig) -> Run:
    run = prepare_run(folder, config, clips)
    list(pretrain(clips, config, run))
    return run


@pytest.fixture(scope="module")
def run(clips: SkeletonSet, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return trained(tmp_path_factory.mktemp("snapshots") / "run", clips, SHORT)


def test_a_run_with_snapshots_has_the_bits_of_one_without(run: Run, clips: SkeletonSet, tmp_path: Path):
    without = trained(tmp_path / "run", clips, replace(SHORT, snapshots=0))
    assert without.snapshots() == []
    (with_them, _), (plain, _) = run.latest(), without.latest()  # type: ignore[misc]
    for name, value in plain["model"].items():
        assert torch.equal(value, with_them["model"][name]), name


def test_they_are_kept_at_the_start_every_so_often_and_at_the_end(run: Run, clips: SkeletonSet, tmp_path: Path):
    assert [one.epoch for one in run.snapshots()] == [0, 2, 4]
    config = replace(SHORT, snapshots=3)
    rows = pretrain(clips, config, prepare_run(tmp_path / "run", config, clips))
    next(rows), next(rows), rows.close()  # stopped after two epochs, and taken up again
    again = trained(tmp_path / "run", clips, config)
    assert [one.epoch for one in again.snapshots()] == [0, 3, 4]


def test_the_last_one_holds_what_the_checkpoint_gives(run: Run, clips: SkeletonSet):
    last = run.snapshots()[-1]
    assert set(last.features) == {"clean", "basic", "normal", "strong", "key"}
    own = extract(load_encoder(run), clips, SHORT)
    rows = [clips.names.index(name) for name in last.names]
    assert np.allclose(last.features["clean"], own[rows], rtol=2e-3, atol=2e-3)
    assert not np.allclose(last.features["strong"], last.features["clean"], atol=1e-2)
    assert not np.allclose(last.features["key"], last.features["clean"], atol=1e-4)


def test_views_are_drawn_alike_every_time_and_nothing_is_touched(clips: SkeletonSet):
    training = Training(clips, SHORT)
    training.model.train()
    before, drawn = {k: v.clone() for k, v in training.model.state_dict().items()}, torch.get_rng_state()
    first, second = (snapshots.take_snapshot(training.model, training.source, clips, epoch) for epoch in (1, 2))
    for name, x in first.features.items():
        assert np.array_equal(x, second.features[name]), name
    assert torch.equal(torch.get_rng_state(), drawn) and training.model.training and training.model.encoder.training
    for name, value in training.model.state_dict().items():
        assert torch.equal(value, before[name]), name  # statistics of batch norm included


def test_of_many_clips_some_of_each_class_are_kept(clips: SkeletonSet, tmp_path: Path, monkeypatch):
    monkeypatch.setattr(snapshots, "KEPT", 6)
    (first, *_) = trained(tmp_path / "run", clips, replace(SHORT, epochs=1)).snapshots()
    kept = [clips.y[clips.names.index(name)] for name in first.names]
    assert np.bincount(kept).tolist() == [2, 2, 2] and len(clips) > 6


def test_a_damaged_file_is_left_out_and_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    for epoch in (1, 2):
        write_snapshot(tmp_path, Snapshot(epoch, ("a", "b"), {"clean": np.ones((2, 3), np.float32) * epoch}))
    path = tmp_path / "snapshots" / "epoch-00001.npz"
    path.write_bytes(path.read_bytes()[:60])
    found = read_snapshots(tmp_path)
    assert [one.epoch for one in found] == [2] and found[0].names == ("a", "b")
    assert "epoch-00001.npz is damaged" in caplog.text


def test_a_folder_that_takes_none_costs_the_snapshot_and_not_the_run(
    clips: SkeletonSet, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = prepare_run(tmp_path / "run", SHORT, clips)
    (run.path / "snapshots").write_text("in the way")
    list(pretrain(clips, SHORT, run))
    assert run.finished and "no snapshot is kept" in caplog.text


def three(purities: tuple[bool, ...]) -> list[Snapshot]:
    """Twenty-four clips of two classes: apart in an epoch, or mixed."""
    names = tuple(f"clip {i}" for i in range(24))
    rng = np.random.default_rng(0)
    made = []
    for epoch, apart in enumerate(purities):
        side = np.arange(24) % 2 if apart else np.arange(24) // 6 % 2
        x = np.stack([side, 1 - side, 0.01 * rng.random(24)], axis=1).astype(np.float32)
        made.append(Snapshot(epoch, names, {"clean": x, "strong": x[:, ::-1].copy()}))
    return made


def labelled() -> SkeletonSet:
    base = synthetic(subjects=2, cameras=1, frames=8)
    x = base.x[:24]
    return SkeletonSet.from_arrays(x, np.arange(24) % 2, layout=base.layout, names=[f"clip {i}" for i in range(24)])


def test_numbers_are_those_of_each_epoch():
    found = through_training(three((False, True)), labelled())
    assert found.epochs == found.measured == (0, 1)
    y = found.clips.y
    assert found.numbers["clean"]["purity"][1] == neighbour_purity(found.features[1]["clean"], y) > 0.5
    assert (
        found.numbers["clean"]["silhouette by class"][1] > 0.9 > 0.1 > found.numbers["clean"]["silhouette by class"][0]
    )
    assert found.numbers["clean"]["alignment"].tolist() == [0, 0]
    assert set(found.numbers["strong"]) == set(THROUGH)
    assert set(found.maps) == {"clean", "strong"} and found.maps["clean"][0].points.shape == (24, 2)


def test_snapshots_of_other_clips_are_left_out_and_said(caplog: pytest.LogCaptureFixture):
    first, *rest = three((False, True, True))
    other = Snapshot(first.epoch, tuple(reversed(first.names)), first.features)
    assert through_training([other, *rest], labelled()).measured == (1, 2)
    assert "1 of 3 snapshots hold other clips" in caplog.text


def test_what_does_not_fit_is_said(run: Run):
    with pytest.raises(InputError, match="--snapshots 5"):
        through_training([], labelled())
    with pytest.raises(InputError, match="not in the set"):
        through_training(run.snapshots(), labelled())
    with pytest.raises(InputError, match="no branch 'edges'"):
        through_training(three((True,)), labelled(), ["edges"])


def test_a_number_that_is_not_defined_is_a_dash():
    widgets = pytest.importorskip("hiclr.widgets")
    clips = labelled()
    alone = SkeletonSet.from_arrays(
        clips.clips(slice(None)),
        np.arange(24),
        layout=clips.layout,
        names=clips.names,
        classes=list("abcdefghijklmnopqrstuvwx"),
    )
    numbers = widgets.ThroughTraining(through_training(three((False, True)), alone)).scatter.numbers
    place = numbers["columns"].index("purity")
    assert {row[place] for epoch in numbers["values"] for row in epoch} == {"—"}
    assert "nan" not in str(numbers["values"])


def test_the_slider_moves_points_and_numbers_and_keeps_what_is_picked():
    widgets = pytest.importorskip("hiclr.widgets")
    found = through_training(three((False, True, True)), labelled())
    shown = widgets.ThroughTraining(found)
    scatter = shown.scatter
    assert np.frombuffer(scatter.stage_xy, "<f4").reshape(3, 2, 24, 2) == pytest.approx(
        np.stack([[found.maps[name][epoch].points for name in ("clean", "strong")] for epoch in (0, 1, 2)])
    )
    purity = [f"{found.numbers['strong']['purity'][k]:.3f}" for k in (0, 1, 2)]
    place = scatter.numbers["branches"].index("strong"), scatter.numbers["columns"].index("purity")
    assert [scatter.numbers["values"][k][place[0]][place[1]] for k in (0, 1, 2)] == purity
    shown.pick(5)
    assert (shown.epoch, scatter.stage, scatter.near["stage"]) == (2, 2, 2)
    near = shown.neighbours(5)
    scatter.set_state({"stage": 0})  # what the slider sends
    assert shown.epoch == 0 and shown.picked["index"] == 5
    assert shown.neighbours(5) != near  # of the features of that epoch
    assert scatter.near["stage"] == 0
    assert [row[0] for row in scatter.near["rows"]] == [i for i, _ in shown.neighbours(5)]
    assert [stage[0] for stage in shown.near_of_all(5)][::2] == [shown.neighbours(5), near]
    shown.epoch = 1
    assert scatter.stage == 1
    with pytest.raises(InputError, match="0, 1, 2; there is none of 7"):
        shown.epoch = 7
    assert "at the epochs 0, 1, 2" in shown.describe()
    assert isinstance(shown.picture(), figures.Figure)
    shown.free()
