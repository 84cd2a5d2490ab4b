"""Pretraining: schedules by hand, exact resume, what stops a run, what it says."""

import dataclasses
import json
import math
import os
import shutil
import signal
import sys
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from hiclr.augmentations import GrowingViews
from hiclr.datasets.base import SkeletonSet
from hiclr.datasets.synthetic import synthetic
from hiclr.errors import InputError
from hiclr.features import features
from hiclr.pretraining import (
    PRESETS,
    PretrainConfig,
    Stopped,
    batch_size,
    build_model,
    derive,
    describe,
    key_momentum,
    layout_of,
    learning_rate,
    mining,
    prepare_run,
    pretrain,
    queue_size,
    training,
)
from hiclr.pretraining.feed import Feed, watch_split
from hiclr.pretraining.methods import HiCLR, growing
from hiclr.pretraining.model import coordinate_scale, preprocess_of
from hiclr.pretraining.process import StopFlag
from hiclr.runs import Run, load_run
from hiclr.skeleton import KINECT_20_MSR, NTU_25, Layout
from tests.faults.processes import start

TINY = replace(
    PRESETS["small"],
    epochs=3,
    batch_size=8,
    least_steps=1,
    frames=16,
    encoder="tcn",
    channels=8,
    features=8,
    projection=8,
    device="cpu",
)
TINY_STGCN = replace(TINY, encoder="stgcn")  # five times as slow: for what hangs on graphs or on ten blocks
CLOCK = ("seconds", "clips_per_s")
UPRIGHT = (  # metres above the hips, so that the doctor has nothing to mend
    *(0.0, 0.25, 0.55, 0.7, 0.45, 0.2, 0.0, -0.1, 0.45, 0.2, 0.0, -0.1),
    *(0.0, -0.45, -0.85, -0.9, 0.0, -0.45, -0.85, -0.9, 0.45, -0.15, -0.1, -0.15, -0.1),
)


def clips(count: int = 24, layout: Layout = NTU_25, persons: int = 1, subjects: int = 4, **more: Any) -> SkeletonSet:
    """Three actions: the whole body swings along x, y or z."""
    rng = np.random.default_rng(7)
    y = np.arange(count) % 3
    x = rng.normal(0, 0.3, (1, 3, 1, layout.num_joints, 1)) + rng.normal(0, 0.02, (count, 3, 16, 1, persons))
    swing = np.sin(np.linspace(0, 6, 16)) * rng.uniform(0.5, 1, (count, 1))
    x = x + np.zeros((count, 3, 16, layout.num_joints, persons))
    if layout == NTU_25:
        x[:, 1] += np.array(UPRIGHT)[:, None]
    x[np.arange(count), y] *= 1 + swing[:, :, None, None]
    x[: count // 2, ..., 1:] = 0  # a second person in half of the clips
    return SkeletonSet.from_arrays(
        x.astype(np.float32), y, layout=layout, ids={"subject": np.arange(count) // 3 % subjects}, **more
    )


def train(folder: Path, config: PretrainConfig = TINY, data: SkeletonSet | None = None) -> Run:
    data = clips() if data is None else data
    run = prepare_run(folder, config, data)
    list(pretrain(data, config, run))
    return run


def copied(run: Run, folder: Path) -> Run:
    """The run once more, in a folder in there: what is measured of it is kept beside it, where later tests find it."""
    return load_run(shutil.copytree(run.path, folder / run.path.name))


def rows(run: Run) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key not in CLOCK} for row in run.metrics()]


def weights(run: Run) -> dict[str, Any]:
    latest = run.latest()
    assert latest is not None
    return latest[0]


def assert_equal(a: Any, b: Any, name: str = "state") -> None:
    if isinstance(a, torch.Tensor):
        assert torch.equal(a, b), name
    elif isinstance(a, dict):
        assert a.keys() == b.keys()
        for key in a:
            assert_equal(a[key], b[key], f"{name}.{key}")
    elif isinstance(a, list):
        for index, (one, other) in enumerate(zip(a, b, strict=True)):
            assert_equal(one, other, f"{name}.{index}")
    else:
        assert a == b, name


# --- settings and schedules -----------------------------------------------------------------------------------------


def test_every_setting_is_documented_for_the_command_line():
    source = Path(sys.modules[PretrainConfig.__module__].__file__ or "").read_text().splitlines()
    for field in dataclasses.fields(PretrainConfig):
        line = next(i for i, text in enumerate(source) if text.startswith(f"    {field.name}:"))
        assert source[line + 1].strip().startswith('"""'), field.name


def test_the_paper_preset_has_the_published_constants():
    paper = PRESETS["paper"]
    assert (paper.epochs, paper.batch_size, paper.frames, paper.channels, paper.features) == (300, 128, 50, 16, 256)
    assert (paper.queue_size, paper.temperature, paper.momentum, paper.mining_epoch) == (32768, 0.07, 0.999, 150)
    assert (paper.optimiser, paper.lr, paper.lr_steps, paper.weight_decay) == ("sgd", 0.1, (250,), 1e-4)


def test_settings_survive_json():
    config = replace(TINY, lr_steps=(3, 5), teacher_temperature=0.05)
    assert PretrainConfig.from_dict(json.loads(json.dumps(config.to_dict()))) == config
    with pytest.raises(InputError, match="learning_rate"):
        PretrainConfig.from_dict({**config.to_dict(), "learning_rate": 1})


@pytest.mark.parametrize(
    "bad",
    [
        {"epochs": 0},
        {"temperature": 0.0},
        {"dropout": 1.0},
        {"momentum": 1.5},
        {"queue_size": 0},
        {"lr": -1.0},
        {"least_steps": 0},
        {"encoder": "resnet"},
        {"turn": True},
    ],
)
def test_a_setting_that_cannot_be_meant_is_named(bad: dict[str, Any]):
    with pytest.raises(InputError, match=next(iter(bad))):
        PretrainConfig(**bad)


def test_step_schedule_by_hand():
    config = PretrainConfig(lr=0.1, lr_steps=(2, 4), schedule="step", epochs=5)
    of_epoch = [learning_rate(config, 10 * epoch + 9, 10) for epoch in range(5)]
    assert of_epoch == pytest.approx([0.1, 0.1, 0.01, 0.01, 0.001])


def test_warm_up_and_cosine_by_hand():
    config = PretrainConfig(lr=0.8, schedule="cosine", warmup=0.2, epochs=2)  # 10 steps, 2 of them warm-up
    assert [learning_rate(config, step, 5) for step in (0, 1, 2)] == pytest.approx([0.4, 0.8, 0.8])
    assert learning_rate(config, 6, 5) == pytest.approx(0.4)  # half way through the other 8
    assert learning_rate(config, 8, 5) == pytest.approx(0.8 * 0.5 * (1 - math.sqrt(0.5)))  # three quarters


def test_key_momentum_by_hand():
    rule = replace(PRESETS["small"], momentum=None)
    constant = replace(rule, momentum_schedule="constant")
    # 1 - 60 / steps: 2000 steps .97; below 600 clipped to .9, above 15,000 to .996
    assert [key_momentum(constant, 0, total) for total in (100, 2000, 100_000)] == pytest.approx([0.9, 0.97, 0.996])
    assert key_momentum(rule, 0, 2000) == pytest.approx(0.97)
    assert key_momentum(rule, 1000, 2000) == pytest.approx((0.97 + 0.999) / 2)
    assert key_momentum(rule, 2000, 2000) == pytest.approx(0.999)
    assert key_momentum(PRESETS["paper"], 5, 10) == 0.999


def test_queue_size_is_the_largest_multiple_of_the_batch_within_half():
    small = replace(PRESETS["small"], batch_size=64)
    assert [queue_size(small, count) for count in (1834, 291, 128, 100, 40)] == [896, 128, 64, 64, 40]
    assert queue_size(PRESETS["paper"], 100) == 32768
    assert batch_size(small, 40) == 40


def test_mining_starts_after_its_epoch():
    config = PretrainConfig(mining_epoch=2)
    assert [mining(config, epoch) for epoch in range(4)] == [False, False, True, True]
    assert not mining(replace(config, mining_epoch=None), 299)


def test_generators_differ_by_purpose_epoch_rank_and_seed_and_repeat():
    keys = [(0, "shuffle", 0, 0), (1, "shuffle", 0, 0), (0, "keys", 0, 0), (0, "shuffle", 1, 0), (0, "shuffle", 0, 1)]
    draws = [torch.rand(4, generator=derive(*key)) for key in keys]
    assert len({tuple(draw.tolist()) for draw in draws}) == len(keys)
    assert torch.equal(torch.rand(4, generator=derive(*keys[0])), draws[0])


# --- model and data -------------------------------------------------------------------------------------------------


def test_building_a_model_leaves_global_randomness_alone_and_repeats():
    before = torch.get_rng_state()
    first, second = build_model(TINY_STGCN, NTU_25, 24), build_model(TINY_STGCN, NTU_25, 24)
    other = build_model(replace(TINY_STGCN, seed=1), NTU_25, 24)
    assert torch.equal(torch.get_rng_state(), before)
    assert_equal(dict(first.state_dict()), dict(second.state_dict()))
    assert not torch.equal(first.encoder.blocks[1].temporal.weight, other.encoder.blocks[1].temporal.weight)


def test_the_key_encoder_starts_as_a_true_copy(tmp_path: Path):
    data = clips()
    run = prepare_run(tmp_path / "run", TINY_STGCN, data)
    loop_rows = pretrain(data, TINY_STGCN, run)
    next(loop_rows)
    loop_rows.close()
    model = build_model(TINY_STGCN, NTU_25, 24)
    for name, value in model.encoder.state_dict().items():
        assert torch.equal(model.key_encoder.state_dict()[name], value)
        assert model.key_encoder.state_dict()[name].data_ptr() != value.data_ptr() or value.numel() == 0
    first = build_model(TINY_STGCN, NTU_25, 24).encoder.blocks[1].temporal.weight
    state = weights(run)["model"]
    query, key = (state[f"{part}.blocks.1.temporal.weight"] for part in ("encoder", "key_encoder"))
    assert 0 < (key - first).norm() < (query - first).norm()  # it follows from the same start


def test_the_layout_comes_back_from_the_run():
    own = Layout("three", ("a", "b", "c"), (0, 0, 1), ((1, 2),), 1)
    data = clips(6, layout=own)
    assert layout_of(json.loads(json.dumps(describe(data)))) == own
    assert layout_of(json.loads(json.dumps(describe(clips(3))))) is NTU_25


def test_coordinate_scale_is_the_median_bone():
    own = Layout("line", ("a", "b", "c"), (0, 0, 1), (), 0)
    x = np.zeros((2, 3, 4, 3, 2), np.float32)
    x[:, 0, :, 1, 0], x[:, 0, :, 2, 0] = 1.0, 3.0  # bones of 1 and 2 m; the second person is absent
    assert coordinate_scale(SkeletonSet.from_arrays(x, [0, 1], layout=own)) in (1.0, 2.0)
    assert coordinate_scale(SkeletonSet.from_arrays(1000 * x, [0, 1], layout=own)) in (1000.0, 2000.0)


def test_clips_read_batchwise_equal_clips_kept_on_the_device():
    data, device = clips(), torch.device("cpu")
    index = torch.tensor([3, 0, 17])
    kept = Feed(data, preprocess_of(TINY), device, resident=True).batch(index)
    assert torch.equal(Feed(data, preprocess_of(TINY), device, resident=False).batch(index), kept)
    assert kept.shape == (3, 3, 16, 25, 1)


@pytest.mark.parametrize("holdout", [0.0, 0.25])
def test_the_watched_queries_are_whole_subjects(holdout: float):
    data = clips(24, subjects=4)
    trained, gallery, queries = watch_split(data, replace(TINY, holdout=holdout))
    subject = data.ids["subject"]
    assert set(subject[gallery]).isdisjoint(subject[queries])
    assert len(queries) == 6  # one subject of four: 20 or 25 % want one
    assert len(trained) == (18 if holdout else 24)
    if holdout:
        assert set(trained).isdisjoint(queries)


def test_without_subjects_the_queries_are_drawn_from_every_class():
    data = replace(clips(30), ids={})
    _, gallery, queries = watch_split(data, TINY)
    assert np.bincount(data.y[queries]).tolist() == [2, 2, 2]  # a fifth of ten
    assert len(gallery) == 24


# --- the loop -------------------------------------------------------------------------------------------------------


def test_a_row_holds_every_term_by_its_name(tmp_path: Path):
    run = train(tmp_path / "run")
    first, _, last = run.metrics()
    assert list(first) == [
        *("epoch", "step", "loss", "info_nce", "consistency_1", "consistency_2", "ln_k", "knn_1", "lr", "momentum"),
        *("queue_filled", "feature_std", "effective_rank", "pretext_top1", "clips_per_s", "seconds"),
    ]
    assert (first["epoch"], first["step"], last["step"]) == (1, 3, 9)  # 24 clips in batches of 8
    assert first["queue_filled"] == 8  # the largest multiple of 8 within 12
    assert first["ln_k"] == pytest.approx(2 / 3 * math.log(9))  # the first step had an empty queue
    assert last["ln_k"] == pytest.approx(math.log(9))
    for row in run.metrics():
        mean = (row["consistency_1"] + row["consistency_2"]) / 2
        assert row["loss"] == pytest.approx(row["info_nce"] + mean, rel=1e-5)
        assert 0 <= row["knn_1"] <= 100
    assert run.finished
    assert list(pretrain(clips(), TINY, run)) == []  # a finished run is left alone


def test_same_seed_same_numbers_another_seed_others(tmp_path: Path):
    one, two = train(tmp_path / "1"), train(tmp_path / "2")
    assert rows(one) == rows(two)
    other = train(tmp_path / "3", replace(TINY, seed=1))
    assert rows(one)[0]["loss"] != rows(other)[0]["loss"]


def go_on(folder: Path, threads: int) -> None:
    """In a process of its own: with the settings that the folder has."""
    torch.set_num_threads(threads)
    train(folder, run_config(load_run(folder)))


@pytest.mark.parametrize(
    "config",
    [
        TINY,
        replace(TINY_STGCN, mining_epoch=2, dropout=0.3, optimiser="sgd", lr=0.01),
        replace(TINY, mining_epoch=2, dropout=0.3, encoder="dsta"),
    ],
)
def test_a_resumed_run_equals_an_unbroken_one(tmp_path: Path, config: PretrainConfig):
    whole = train(tmp_path / "whole", config)
    data = clips()
    first = pretrain(data, config, prepare_run(tmp_path / "parts", config, data))
    next(first)
    first.close()
    done = start(go_on, tmp_path / "parts", torch.get_num_threads()).wait()
    assert done.code == 0, done.err
    parts = load_run(tmp_path / "parts")
    assert rows(parts) == rows(whole)
    assert_equal(weights(parts), weights(whole))


def test_a_run_of_an_older_version_goes_on_without_the_settings_that_came_later(tmp_path: Path):
    run = train(tmp_path / "run", replace(TINY, epochs=1))
    kept = json.loads((run.path / "config.json").read_text())
    for name in ("direction", "branch_weights"):
        del kept[name]
    (run.path / "config.json").write_text(json.dumps(kept))
    train(tmp_path / "run", replace(TINY, epochs=1))
    with pytest.raises(InputError, match="direction"):
        train(tmp_path / "run", replace(TINY, epochs=1, direction="symmetric"))


def test_a_changed_setting_is_refused(tmp_path: Path):
    train(tmp_path / "run")
    with pytest.raises(InputError, match=r"queue_size: None -> 16"):
        prepare_run(tmp_path / "run", replace(TINY, queue_size=16), clips())
    with pytest.raises(InputError, match="other settings"):
        next(pretrain(clips(), replace(TINY, lr=1.0), load_run(tmp_path / "run")))


def test_changed_clips_are_refused(tmp_path: Path):
    run = train(tmp_path / "run")
    data = clips()
    data.x[3, 0, 0, 0, 0] += 1  # type: ignore[index]
    with pytest.raises(InputError, match="positions"):
        prepare_run(tmp_path / "run", TINY, data)
    with pytest.raises(InputError, match="other clips"):
        next(pretrain(data, TINY, run))


def test_a_damaged_newest_checkpoint_costs_one_epoch_and_no_number(tmp_path: Path):
    whole = train(tmp_path / "whole")
    run = train(tmp_path / "run")
    newest = next(p for p in run.path.glob("*.pt") if torch.load(p, weights_only=True)["epoch"] == 3)
    newest.write_bytes(newest.read_bytes()[:-100])
    assert [row["epoch"] for row in pretrain(clips(), TINY, load_run(run.path))] == [3]
    assert rows(run) == rows(whole)
    assert_equal(weights(run), weights(whole))


def test_a_clip_that_is_not_finite_is_named_before_training(tmp_path: Path):
    data = clips()
    data.x[5, 1, 2, 3, 0] = np.nan  # type: ignore[index]
    with pytest.raises(InputError, match=r"epoch 1.*clip000005"):
        train(tmp_path / "run", data=data)


def test_a_loss_that_is_not_finite_stops_before_the_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data = clips()
    run = prepare_run(tmp_path / "run", TINY, data)
    going = pretrain(data, TINY, run)
    next(going)
    before = {path.name: path.read_bytes() for path in run.path.glob("checkpoint*")}
    healthy, calls = growing.growing_loss, []

    def broken(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        terms = healthy(*args, **kwargs)
        return {**terms, "loss": terms["loss"] * float("nan")} if len(calls) == 2 else terms

    monkeypatch.setattr(growing, "growing_loss", broken)
    with pytest.raises(InputError, match=r"Epoch 2: .*not finite.*loss nan.*clip0000\d\d, .* and 3 more"):
        next(going)
    assert {path.name: path.read_bytes() for path in run.path.glob("checkpoint*")} == before
    monkeypatch.undo()
    again = load_run(run.path)
    assert [row["epoch"] for row in pretrain(data, TINY, again)] == [2, 3]
    assert rows(again) == rows(train(tmp_path / "whole"))


def test_an_infinite_gradient_stops_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(training.torch.nn.utils, "clip_grad_norm_", lambda *_: torch.tensor(float("inf")))
    trained = training.Training(clips(), TINY)
    before = {name: value.clone() for name, value in trained.model.named_parameters()}
    with pytest.raises(InputError, match="gradient inf"):
        trained._step(torch.arange(8), trained.begin(0, None))
    assert all(torch.equal(value, before[name]) for name, value in trained.model.named_parameters())
    with pytest.raises(InputError, match="gradient inf"):
        train(tmp_path / "run")
    assert load_run(tmp_path / "run").latest()[1] == 0  # type: ignore[index]


def test_one_branch_is_skeletonclr(tmp_path: Path):
    run = train(tmp_path / "run", replace(TINY, branches=1, epochs=1))
    (row,) = run.metrics()
    assert row["loss"] == row["info_nce"]
    assert not [name for name in row if name.startswith("consistency")]


@pytest.mark.parametrize("views", ["small", "paper"])
@pytest.mark.parametrize(("layout", "persons"), [(KINECT_20_MSR, 1), (NTU_25, 2)])
def test_other_layouts_and_persons(tmp_path: Path, layout: Layout, persons: int, views: Any):
    config = replace(TINY_STGCN, epochs=1, views=views, stream="bone")
    (row,) = train(tmp_path / "run", config, clips(layout=layout, persons=persons)).metrics()
    assert math.isfinite(row["loss"])


def test_a_small_set_is_passed_several_times_in_an_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    seen: list[int] = []
    healthy = Feed.batch

    def batch(self: Feed, indices: torch.Tensor) -> torch.Tensor:
        if torch.is_grad_enabled():
            seen.extend(indices.tolist())
        return healthy(self, indices)

    monkeypatch.setattr(Feed, "batch", batch)
    run = train(tmp_path / "run", replace(TINY, epochs=2, least_steps=7, knn_every=0), clips(26))  # 3 steps a pass
    assert [row["step"] for row in run.metrics()] == [9, 18]
    passes = torch.tensor(seen).view(6, 24)  # without the incomplete batch
    assert all(len(one.unique()) == 24 for one in passes)
    assert len({tuple(one.tolist()) for one in passes}) == 6
    assert run.metrics()[-1]["lr"] == learning_rate(run_config(run), 17, 9)


def run_config(run: Run) -> PretrainConfig:
    return PretrainConfig.from_dict(run.config)


def test_the_light_encoder_is_a_setting(tmp_path: Path):
    run = train(tmp_path / "run", TINY, clips(persons=2))
    assert all(math.isfinite(row["loss"]) for row in run.metrics())
    assert sum(p.numel() for p in build_model(run_config(run), NTU_25).encoder.parameters()) < 10_000


def test_the_paper_preset_runs(tmp_path: Path):
    config = replace(PRESETS["paper"], epochs=1, batch_size=8, channels=8, features=8, queue_size=20, device="cpu")
    (row,) = train(tmp_path / "run", config).metrics()
    assert row["queue_filled"] == 20  # no multiple of the batch: it wraps


def test_the_queue_keeps_the_ids_of_the_newest_clips(tmp_path: Path):
    data = clips()
    run = train(tmp_path / "run", replace(TINY, epochs=1, queue_size=16))
    order = torch.randperm(24, generator=derive(0, "shuffle", 0))
    state = weights(run)["model"]
    assert sorted(state["queue.ids"].tolist()) == sorted(order[8:].tolist())
    assert len(data) == 24
    torch.testing.assert_close(state["queue.keys"].norm(dim=0), torch.ones(16))


def test_held_out_clips_are_not_trained_on(tmp_path: Path):
    data = clips()
    config = replace(TINY, epochs=2, holdout=0.25, queue_size=24, batch_size=6)
    trained, _, queries = watch_split(data, config)
    ids = weights(train(tmp_path / "run", config))["model"]["queue.ids"].tolist()
    assert set(ids) == set(trained.tolist())
    assert set(ids).isdisjoint(queries.tolist())


def test_fewer_clips_than_a_batch_are_one_batch_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    run = train(tmp_path / "run", replace(TINY, batch_size=64, epochs=2))
    assert [row["step"] for row in run.metrics()] == [1, 2]
    assert caplog.text.count("fewer than a batch") == 1


def test_a_constant_encoder_is_called_collapsed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.value = nn.Parameter(torch.ones(TINY.features))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.value.expand(len(x), -1)

    def build(config: PretrainConfig, *_: Any) -> Any:
        return HiCLR(config, NTU_25, Constant(), nn.Linear(config.features, config.projection), 24)

    monkeypatch.setattr(training, "build_model", build)
    run = train(tmp_path / "run", replace(TINY, epochs=2))
    assert "Epoch 1: collapsed" in caplog.text
    assert run.metrics()[-1]["feature_std"] < 1e-3


def test_training_leaves_global_randomness_alone(tmp_path: Path):
    before = torch.get_rng_state()
    train(tmp_path / "run", replace(TINY_STGCN, epochs=1, dropout=0.5))
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.skipif(threading.current_thread() is not threading.main_thread(), reason="signals need the main thread")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_interrupted_the_step_is_finished_and_a_rerun_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
):
    data, healthy, calls = clips(), growing.growing_loss, []
    handlers = signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)

    def interrupting(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        if len(calls) == 5:  # the second step of epoch 2
            os.kill(os.getpid(), number)
        return healthy(*args, **kwargs)

    monkeypatch.setattr(growing, "growing_loss", interrupting)
    run = prepare_run(tmp_path / "run", TINY, data)
    with pytest.raises(Stopped, match="1 of 3 epochs and 2 of 3 steps of the next are saved"):
        list(pretrain(data, TINY, run))
    assert len(calls) == 5
    assert (signal.getsignal(signal.SIGINT), signal.getsignal(signal.SIGTERM)) == handlers
    assert [row["epoch"] for row in pretrain(data, TINY, prepare_run(tmp_path / "run", TINY, data))] == [2, 3]
    assert len(calls) == 9, "no step is lost and none is made twice"
    monkeypatch.undo()
    whole = train(tmp_path / "whole")
    assert rows(run) == rows(whole)
    assert_equal(weights(run), weights(whole))


def test_a_second_interrupt_stops_at_once():
    with pytest.raises(KeyboardInterrupt), StopFlag() as stop:
        signal.raise_signal(signal.SIGINT)
        assert stop.wanted
        signal.raise_signal(signal.SIGINT)
        pytest.fail("went on")
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_cell_interrupted_while_it_shows_a_row_can_be_run_again(tmp_path: Path):
    data = clips()
    left = pretrain(data, TINY, prepare_run(tmp_path / "run", TINY, data))
    next(left)  # and never closed: an error in the body of the for loop
    assert [row["epoch"] for row in pretrain(data, TINY, prepare_run(tmp_path / "run", TINY, data))] == [2, 3]
    left.close()


def test_knn_is_measured_every_so_often_and_changes_nothing(tmp_path: Path):
    often = train(tmp_path / "often")
    never = train(tmp_path / "never", replace(TINY, knn_every=0))
    second = train(tmp_path / "second", replace(TINY, knn_every=2))
    assert [row["knn_1"] is None for row in never.metrics()] == [True] * 3
    assert [row["knn_1"] is None for row in second.metrics()] == [True, False, False]  # and the last epoch
    assert_equal(weights(often), weights(never))


def test_an_unknown_device_is_named_and_a_missing_one_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with pytest.raises(InputError, match="tpu"):
        train(tmp_path / "run", replace(TINY, device="tpu"))
    if not torch.cuda.is_available():
        train(tmp_path / "other", replace(TINY, device="cuda", epochs=1))
        assert "no device cuda here" in caplog.text


def test_bf16_runs(tmp_path: Path):
    (row,) = train(tmp_path / "run", replace(TINY_STGCN, precision="bf16-mixed", epochs=1)).metrics()
    assert math.isfinite(row["loss"])


@pytest.mark.parametrize("changes", [{"encoder": "tcn"}, {"encoder": "stgcn", "branches": 1, "frames": 8}])
def test_a_few_epochs_learn_something(tmp_path: Path, changes: dict[str, Any]):
    config = replace(TINY, epochs=20, features=16, knn_every=0, temperature=0.3, **changes)
    last = train(tmp_path / "run", config, clips(48)).metrics()[-1]
    assert last["info_nce"] < last["ln_k"] - 0.1


def test_four_views_with_skeleadain_train_and_have_features(tmp_path: Path):
    config = replace(TINY, epochs=1, views="paper", strong=("adain", "mask"), branches=4)
    run = train(tmp_path / "run", config)
    (row,) = rows(run)
    assert all(math.isfinite(row[f"consistency_{i}"]) for i in (1, 2, 3))
    found = features(load_run(run.path), clips())
    assert list(found.arrays) == ["clean", "basic", "normal", "strong", "strongest"]
    assert not np.array_equal(found.arrays["strong"], found.arrays["strongest"])


def test_a_key_apart_is_weaker_than_every_query(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    config = replace(TINY, epochs=1, merge=(2, 1), key_apart=True, branches=1)
    seen: list[tuple[str, int]] = []
    healthy = GrowingViews.make_view

    def spy(views: GrowingViews, view: int, *rest: Any) -> Any:
        seen.append((views.names[view], view))
        return healthy(views, view, *rest)

    monkeypatch.setattr(GrowingViews, "make_view", spy)
    run = train(tmp_path / "run", config)
    assert seen[:2] == [("strong", 1), ("basic+normal", 0)]
    assert set(rows(run)[0]) & {"info_nce", "consistency_1"} == {"info_nce"}
    assert list(features(load_run(run.path), clips()).arrays) == ["clean", "basic+normal", "strong"]


# --- what can be known before training --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("change", "data", "words"),
    [
        ({"branches": 5}, {}, "branches must be 1..3"),
        ({}, {"count": 1}, "At least 2 clips are needed to train on"),
        ({"holdout": 0.9}, {"count": 4, "subjects": 4}, "after a holdout of 0.9"),
        ({"channels": 12, "encoder": "stgcn"}, {}, ""),
    ],
)
def test_what_cannot_be_trained_leaves_no_folder(
    change: dict[str, Any], data: dict[str, Any], words: str, tmp_path: Path
):
    config = replace(TINY, **change)
    if not words:
        assert prepare_run(tmp_path / "run", config, clips()).path.exists()
        return
    with pytest.raises(InputError, match=words):
        prepare_run(tmp_path / "run", config, clips(**data))
    assert not (tmp_path / "run").exists()
    assert prepare_run(tmp_path / "run", TINY, clips()).path.exists(), "the corrected call goes through"


def test_a_batch_of_one_is_no_batch():
    with pytest.raises(InputError, match="batch_size must be at least 2"):
        replace(TINY, batch_size=1)


@pytest.mark.parametrize(("factor", "word"), [(1.0, None), (1000.0, "metres")])
def test_millimetres_are_said_before_training(
    factor: float, word: str | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    body = synthetic(subjects=2, cameras=1, frames=24)
    data = replace(body, x=np.array(body.x) * np.float32(factor))
    prepare_run(tmp_path / "run", TINY, data)
    said = [record.getMessage() for record in caplog.records if "hiclr doctor" in record.getMessage()]
    assert len(said) == (0 if word is None else 1)
    assert word is None or word in said[0]
    prepare_run(tmp_path / "run", TINY, data)
    assert len([r for r in caplog.records if "hiclr doctor" in r.getMessage()]) == len(said), (
        "said once, not on going on"
    )


def test_an_encoder_at_chance_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    data = clips(48)
    data = replace(data, y=np.random.default_rng(0).permutation(data.y))  # labels that no motion tells
    train(tmp_path / "run", data=data)
    assert "Epoch 1" not in caplog.text
    assert "at chance" in caplog.text


def test_theeffective_rank_counts_the_directions_in_use():
    from hiclr.pretraining.training import effective_rank

    rng = torch.Generator().manual_seed(0)
    flat = torch.randn(200, 3, generator=rng) @ torch.eye(3, 20)
    assert effective_rank(flat) == pytest.approx(3, abs=0.1)
    assert effective_rank(torch.ones(50, 20)) == pytest.approx(1, abs=0.01)
