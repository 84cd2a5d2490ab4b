"""Training with labels: what learns and what stays, which epoch counts, what is kept, few labels, from scratch."""

import copy
import json
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hiclr.augmentations import GrowingViews
from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation import draw_labels
from hiclr.evaluation import finetune as room
from hiclr.evaluation.finetune import fine_tune, finetune_text, published_recipe, semi_supervised
from hiclr.evaluation.supervised import (
    RECIPES,
    FinetuneConfig,
    Fit,
    Supervised,
    _optimiser,
    _Training,
    layer_depths,
    plan,
)
from hiclr.features import load_encoder, random_encoder, weights_digest
from hiclr.pretraining import PRESETS, Stopped, build_networks, prepare_run, pretrain, progress
from hiclr.pretraining.process import StopFlag
from hiclr.runs import Run
from hiclr.skeleton import KINECT_20_SDK, NTU_25
from tests.test_pretraining import copied

TINY = replace(
    PRESETS["small"], epochs=1, batch_size=8, least_steps=1, frames=8, channels=8, features=8, projection=8,
    knn_every=0, device="cpu",
)  # fmt: skip
QUICK = FinetuneConfig(epochs=4, batch_size=16, least_steps=2, lr=5e-3, look_every=2, augment=False)


def swinging(count: int = 60, classes: int = 3, **more: Any) -> SkeletonSet:
    """Actions that differ in how fast the arms go up and down; every third clip is a test clip."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % classes
    x = np.zeros((count, 3, 8, 25, 1)) + rng.normal(0, 0.3, (1, 3, 1, 25, 1))
    phase = np.linspace(0, 2 * np.pi, 8) * (1 + y[:, None]) + rng.uniform(0, 1, (count, 1))
    x[:, 1, :, 4:12, 0] += np.sin(phase)[:, :, None] * np.linspace(0.1, 0.4, 8)
    x += rng.normal(0, 0.01, x.shape)
    more.setdefault("test", np.arange(count) // classes % 3 == 2)
    return SkeletonSet.from_arrays(x, y, layout=NTU_25, source="swinging", **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Only copied: what is trained further is kept in a run's folder, and later tests would find it."""
    train, _ = swinging().split()
    run = prepare_run(tmp_path_factory.mktemp("finetune") / "swing", TINY, train)
    list(pretrain(train, TINY, run))
    return run


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    """A folder of the test's own, in which nothing has been tuned."""
    return copied(trained, tmp_path)


@pytest.fixture(scope="module")
def measured(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    run = copied(trained, tmp_path_factory.mktemp("measured"))
    return run, fine_tune(run, swinging(), QUICK, seeds=(0, 1), device="cpu")


@pytest.fixture(scope="module")
def result(measured: tuple[Run, dict[str, Any]]) -> dict[str, Any]:
    return measured[1]


@pytest.fixture
def tuned(measured: tuple[Run, dict[str, Any]], tmp_path: Path) -> Run:
    """A folder of the test's own, in which `result` is kept."""
    return copied(measured[0], tmp_path)


def data() -> Supervised:
    return Supervised(*swinging().split(), TINY, "cpu")


def fit(config: FinetuneConfig = QUICK, labelled: np.ndarray | None = None, encoder: Any = None) -> Fit:
    encoder = random_encoder(TINY, NTU_25) if encoder is None else encoder
    with closing(progress(config.epochs, 0)) as bar:
        return data().fit(encoder, np.arange(42) if labelled is None else labelled, config, bar)


# --- one training -----------------------------------------------------------------------------------------------------


def test_it_learns_and_leaves_the_encoder_it_was_given_alone():
    encoder = random_encoder(TINY, NTU_25)
    before, state = weights_digest(encoder), torch.get_rng_state()
    found = fit(replace(QUICK, epochs=12), encoder=encoder)
    assert weights_digest(encoder) == before
    assert not encoder.training
    assert torch.equal(torch.get_rng_state(), state)
    assert found.losses[-1] < 0.5 * found.losses[0]
    assert found.top1 > 0.6  # of 3 classes
    assert len(found.predicted) == 18
    assert found.top5 == 1.0  # three classes are among any five


def test_the_result_is_the_last_epoch_and_the_best_one_stands_beside(monkeypatch: pytest.MonkeyPatch):
    _, test = swinging().split()
    right = iter([3, 17, 5])  # of 18, in epochs 2, 4 and 5
    wrong = (test.y + 1) % 3

    def ranked(_: Any) -> np.ndarray:
        share = next(right)
        first = np.where(np.arange(18) < share, test.y, wrong)
        return np.stack([first, (first + 1) % 3], axis=1)

    monkeypatch.setattr(_Training, "rank_test", ranked)
    found = fit(replace(QUICK, epochs=5))
    assert (found.top1, found.best, found.best_epoch) == (5 / 18, 17 / 18, 4)


def test_the_same_seed_gives_the_same_training_and_another_one_another():
    first, again = fit(), fit()
    assert (first.losses, first.predicted) == (again.losses, again.predicted)
    assert fit(replace(QUICK, seed=1)).losses != first.losses
    assert fit(replace(QUICK, augment=True)).losses != first.losses


def test_test_labels_do_not_reach_the_training():
    """Only what is counted depends on them."""
    found = fit()
    train, test = swinging().split()
    shuffled = replace(test, y=np.roll(test.y, 1))
    other = Supervised(train, shuffled, TINY, "cpu")
    with closing(progress(4, 0)) as bar:
        again = other.fit(random_encoder(TINY, NTU_25), np.arange(42), QUICK, bar)
    assert (again.losses, again.predicted) == (found.losses, found.predicted)
    assert again.top1 != found.top1


def test_fixed_norm_keeps_the_statistics_and_else_they_move():
    def buffers_move(fixed: bool) -> bool:
        training = started(replace(QUICK, fixed_norm=fixed))
        before = {name: value.clone() for name, value in training.body.named_buffers()}
        training.epoch(0)
        return any(not torch.equal(before[name], value) for name, value in training.body.named_buffers())

    assert buffers_move(fixed=False)
    assert not buffers_move(fixed=True)


def started(config: FinetuneConfig, labelled: int = 42) -> _Training:
    body, head = random_encoder(TINY, NTU_25), torch.nn.Linear(8, 3)
    return _Training(data(), torch.nn.ModuleList([body, head]), np.arange(labelled), config, StopFlag())


def test_steps_of_an_epoch_are_counted():
    assert started(replace(QUICK, batch_size=16, least_steps=1)).steps == 2  # 42 = 2 * 16 + 10
    few = started(replace(QUICK, batch_size=16, least_steps=5), labelled=6)
    assert (few.batch, few.steps) == (6, 5)
    batches = list(few._batches(0))
    assert [sorted(batch.tolist()) for batch in batches] == [list(range(6))] * 5
    many = started(replace(QUICK, batch_size=16, least_steps=5))
    assert many.steps == 6  # three passes of two


@pytest.mark.parametrize(
    ("step", "rate"), [(0, 3e-4 / 5), (4, 3e-4), (5, 3e-4), (52, 1e-5 + 0.5054 * 2.9e-4), (99, 1e-5)]
)
def test_mamps_learning_rate_by_hand(step: int, rate: float):
    """One step an epoch: up over 5 of 100, then along the cosine to 1e-5."""
    training = started(replace(RECIPES["mamp"], batch_size=42))
    assert training.steps == 1
    assert training._rate(step) == pytest.approx(rate, rel=0.02)


def test_published_step_schedules():
    """HiCLR's code divides where the number of the epoch, from 1, is at least the step; AimCLR's where it is above."""
    for name, (at, wanted) in {
        "hiclr": ((0, 3, 4, 28, 29, 54), (0.02, 0.08, 0.1, 0.1, 0.01, 0.001)),
        "hiclr-transformer": ((0, 4, 33, 34, 54), (0.02, 0.1, 0.1, 0.01, 0.001)),
        "hiclr-semi": ((0, 4, 18, 19, 39), (0.02, 0.1, 0.1, 0.01, 0.001)),
        "aimclr": ((9, 10, 30, 50), (0.1, 0.01, 0.001, 0.0001)),
        "cmd": ((49, 50, 70), (0.01, 0.001, 0.0001)),
    }.items():
        training = started(replace(RECIPES[name], batch_size=42))
        assert [training._rate(step) for step in at] == pytest.approx(list(wanted)), name


def test_layers_learn_the_slower_the_deeper_they_lie():
    """Input norm, four convolutions each with its norm, and the new layer, which has the whole rate."""
    body, head = build_networks(TINY, NTU_25)[0], torch.nn.Linear(8, 3)
    depths = layer_depths(body)
    assert depths["norm.weight"] == 0
    assert [depths[f"layers.{i}.weight"] for i in (0, 1, 4, 5, 8, 9, 12, 13)] == [1, 1, 2, 2, 3, 3, 4, 4]
    groups = _optimiser(body, head, replace(QUICK, layer_decay=0.5, weight_decay=0.1)).param_groups
    scale = {id(p): (g["scale"], g["weight_decay"]) for g in groups for p in g["params"]}
    assert len(scale) == len(list(body.parameters())) + 2
    assert scale[id(head.weight)] == (1.0, 0.1)
    assert scale[id(head.bias)] == (1.0, 0.0)
    assert scale[id(body.layers[12].weight)] == (0.5, 0.1)
    assert scale[id(body.layers[0].weight)] == (0.5**4, 0.1)
    assert scale[id(body.norm.weight)] == (0.5**5, 0.0)
    plain = _optimiser(body, head, replace(QUICK, optimiser="sgd", nesterov=True)).param_groups
    assert [(g["scale"], g["weight_decay"], g["nesterov"]) for g in plain] == [(1.0, 1e-4, True)]


def test_the_steps_are_those_of_torchs_sgd():
    """The same batches through autograd and one optimiser for each rate: half of it for each layer further down."""
    config = replace(
        QUICK, optimiser="sgd", nesterov=True, lr=0.05, warmup=0, schedule="step", layer_decay=0.5, label_smoothing=0.2
    )
    training = started(config)
    body, head = copy.deepcopy(training.body).train(), copy.deepcopy(training.head)
    batches, depths = list(training._batches(0)), layer_depths(body)
    training.epoch(0)
    optimisers = [torch.optim.SGD(head.parameters(), 0.05, 0.9, weight_decay=1e-4, nesterov=True)]
    for name, parameter in body.named_parameters():
        rate = 0.05 * 0.5 ** (max(depths.values()) + 1 - depths[name])
        optimisers.append(torch.optim.SGD([parameter], rate, 0.9, weight_decay=1e-4, nesterov=True))
    train = training.data.train_feed
    for chosen in batches:
        smooth = 0.8 * torch.eye(3)[training.data.labels[chosen]] + 0.2 / 3
        loss = -(smooth * head(body(train.batch(chosen))).log_softmax(dim=1)).sum(dim=1).mean()
        for optimiser in optimisers:
            optimiser.zero_grad()
        loss.backward()
        for optimiser in optimisers:
            optimiser.step()
    assert len(batches) == 2
    for ours, theirs in ((training.body, body), (training.head, head)):
        for name, value in theirs.state_dict().items():
            torch.testing.assert_close(ours.state_dict()[name], value, rtol=1e-4, atol=1e-6)


def test_training_sees_the_weakest_view(monkeypatch: pytest.MonkeyPatch):
    drawn: list[int] = []
    healthy = GrowingViews.draw_view

    def noted(self: GrowingViews, view: int, *given: Any) -> Any:
        drawn.append(view)
        return healthy(self, view, *given)

    monkeypatch.setattr(GrowingViews, "draw_view", noted)
    started(QUICK).epoch(0)
    assert drawn == []
    started(replace(QUICK, augment=True)).epoch(0)
    assert drawn == [0, 0]


@pytest.mark.parametrize("encoder", ["stgcn", "dsta"])
def test_other_encoders_have_layers_too(encoder: Any):
    body = build_networks(replace(TINY, encoder=encoder), NTU_25)[0]
    depths = layer_depths(body)
    assert set(depths) == {name for name, _ in body.named_parameters()}
    assert max(depths.values()) >= 8
    assert sorted(set(depths.values()))[-1] == depths[list(depths)[-1]]


def test_a_loss_that_is_not_finite_stops_with_the_reason():
    with pytest.raises(InputError, match=r"epoch 1: the loss is not finite. Take a lower learning rate than 1e\+30"):
        fit(replace(QUICK, optimiser="sgd", lr=1e30, warmup=0))


def test_weights_that_the_last_step_ruins_give_no_number():
    """One step: its loss is that of the weights before it."""
    with pytest.raises(InputError, match=r"test part: scores are not finite, so the weights are not. Take a lower"):
        fit(replace(QUICK, optimiser="sgd", lr=1e38, warmup=0, epochs=1, batch_size=42, least_steps=1))


def test_a_request_to_stop_is_heard_within_a_step():
    training = started(QUICK)
    training.stop.wanted = True
    with pytest.raises(Stopped, match="in epoch 2 of a training with labels; those that were finished are kept"):
        training.epoch(1)
    with pytest.raises(Stopped, match="while looking at the test part"):
        training.rank_test()


def test_settings_that_cannot_be_meant_are_named():
    for name, value in {
        "epochs": 0,
        "batch_size": 1,
        "lr": 0,
        "layer_decay": 0,
        "warmup": 1,
        "optimiser": "lion",
    }.items():
        with pytest.raises(InputError, match=f"{name} of a training with labels cannot be {value}"):
            FinetuneConfig(**{name: value})  # type: ignore[arg-type]
    with pytest.raises(InputError, match="At least 2 labelled clips"):
        fit(labelled=np.arange(1))


def test_half_precision_learns_as_well():
    training, seen = started(replace(QUICK, precision="bf16-mixed")), []
    training.body.register_forward_hook(lambda *_: seen.append(torch.is_autocast_enabled("cpu")))
    training.epoch(0)
    assert seen == [True, True]
    found = fit(replace(QUICK, precision="bf16-mixed"))
    assert found.losses == pytest.approx(fit().losses, rel=0.05)


# --- fine-tuning ------------------------------------------------------------------------------------------------------


def test_the_answer_has_both_and_says_what_it_is(result: dict[str, Any]):
    assert result["data"] == {"train": 42, "test": 18, "classes": 3}
    assert result["recipe"] == "own"
    assert result["settings"] == asdict(QUICK)
    for kind in ("finetune", "scratch"):
        row = result[kind]
        assert row["clips"] == [42, 42]
        assert row["top1"] == pytest.approx(np.mean(row["each"]), abs=0.01)
        assert row["sd"] == pytest.approx(np.std(row["each"], ddof=1), abs=0.01)
        assert row["best_on_test"] >= row["top1"]
        _, test = swinging().split()
        assert [100 * np.mean(np.array(p) == test.y) for p in row["predicted"]] == pytest.approx(row["each"], abs=0.01)
    assert "chosen on the test part" in result["notes"][0]
    json.dumps(result)
    text = finetune_text(result)
    assert f"{result['scratch']['top1']:.1f} ({result['scratch']['sd']:.1f})" in text
    assert "mean (and sd) of 2 seeds" in text


def test_pretrained_and_untrained_are_what_they_are_called(result: dict[str, Any], run: Run):
    plain = fit(replace(QUICK, seed=1), encoder=load_encoder(run))
    assert result["finetune"]["predicted"][1] == list(plain.predicted)
    assert result["scratch"]["predicted"][1] == list(fit(replace(QUICK, seed=1)).predicted)


def test_what_is_done_is_kept_and_the_next_call_goes_on(
    tuned: Run, result: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(Supervised, "fit", lambda *_: pytest.fail("trained again"))
    assert fine_tune(tuned, swinging(), QUICK, seeds=(0, 1), device="cpu") == result
    trained: list[FinetuneConfig] = []

    def stopped_at_the_second(self: Any, encoder: Any, labelled: Any, config: FinetuneConfig, bar: Any) -> Fit:
        trained.append(config)
        if len(trained) == 2:
            raise Stopped("asked to")
        return Fit(0.5, 1.0, 0.5, 2, len(labelled), 0.0, (0,) * 18, (1.0,))

    monkeypatch.setattr(Supervised, "fit", stopped_at_the_second)
    with pytest.raises(Stopped):
        fine_tune(tuned, swinging(), replace(QUICK, epochs=3), seeds=(0, 1), scratch=False, device="cpu")
    trained.append(QUICK)  # no third stop
    after = fine_tune(tuned, swinging(), replace(QUICK, epochs=3), seeds=(0, 1), scratch=False, device="cpu")
    assert [config.seed for config in trained if config.epochs == 3] == [0, 1, 1]  # the first one was kept
    assert after["finetune"]["each"] == [50.0, 50.0]
    assert "scratch" not in after


FOREIGN = {"key": "other", **asdict(Fit(0.0, 0.0, 0.0, 2, 42, 0.0, (0,) * 18, (1.0,)))}


@pytest.mark.parametrize(
    "damage", ["{", '{"key": "other"}', "[]", json.dumps(FOREIGN)], ids=("cut", "empty", "list", "foreign")
)
def test_a_damaged_or_foreign_file_is_done_again(tuned: Run, result: dict[str, Any], damage: str):
    kept = list((tuned.path / room.FOLDER).glob("*.json"))
    assert len(kept) == 4
    for path in kept:
        path.write_text(damage, encoding="utf-8")
    again = fine_tune(tuned, swinging(), QUICK, seeds=(0, 1), device="cpu")
    assert again["finetune"]["each"] == result["finetune"]["each"]


def test_another_clip_setting_or_code_is_another_training(run: Run, monkeypatch: pytest.MonkeyPatch):
    work = room._Work(run, swinging(), None, "cpu")
    key = work._key(work.encoder, np.arange(42), QUICK)
    assert work._key(work.encoder, np.arange(42), replace(QUICK)) == key
    assert work._key(work.encoder, np.arange(41), QUICK) != key
    assert work._key(random_encoder(TINY, NTU_25), np.arange(42), QUICK) != key
    assert work._key(work.encoder, np.arange(42), replace(QUICK, seed=9)) != key
    monkeypatch.setattr(room, "code_digest", lambda: "edited")
    assert work._key(work.encoder, np.arange(42), QUICK) != key


def test_a_class_without_training_clips_is_said(run: Run):
    clips = swinging(classes=4, test=np.arange(60) % 4 == 3)
    result = fine_tune(run, clips, replace(QUICK, epochs=1), scratch=False, device="cpu")
    assert "No training clip has class 3: its test clips count as wrong." in result["notes"]


def test_recipes_by_name_or_by_size(run: Run, monkeypatch: pytest.MonkeyPatch):
    assert room.choose_recipe(None, 42, "cmd") == (RECIPES["small"], "small")
    assert room.choose_recipe(None, 40_091, "hiclr") == (RECIPES["hiclr"], "hiclr")
    assert room.choose_recipe("mamp", 42, "cmd") == (RECIPES["mamp"], "mamp")
    assert room.choose_recipe(RECIPES["cmd"], 42, "hiclr")[1] == "cmd"
    with pytest.raises(InputError, match="no recipe 'adam'; there are: small, hiclr"):
        fine_tune(run, swinging(), "adam", device="cpu")


def test_published_constants():
    """Batch, weight decay, Nesterov, augmentation, as the released configurations and scripts have them."""
    wanted = {
        "hiclr": (64, 1e-4, True, False), "hiclr-transformer": (128, 5e-4, True, True),
        "hiclr-semi": (64, 1e-4, True, False), "aimclr": (128, 1e-4, True, False), "cmd": (64, 0, False, True),
        "mamp": (48, 0.05, False, True),
    }  # fmt: skip
    for name, values in wanted.items():
        one = RECIPES[name]
        assert (one.batch_size, one.weight_decay, one.nesterov, one.augment) == values, name
        assert one.whole_epochs == (name == "hiclr-semi")
    assert published_recipe(TINY) == "hiclr"
    assert published_recipe(replace(TINY, encoder="dsta")) == "hiclr-transformer"


def test_few_labels_are_gone_through_as_often_as_all_would_be_where_the_code_does_so(
    run: Run, monkeypatch: pytest.MonkeyPatch
):
    """42 training clips in batches of 8 are 5 steps; 6 labelled clips, one step at a time, are gone through 5 times."""
    seen: list[int] = []

    def noted(self: Any, encoder: Any, labelled: Any, config: FinetuneConfig, bar: Any) -> Fit:
        seen.append(plan(config, len(labelled))[2])
        return Fit(0.5, 1.0, 0.5, 2, len(labelled), 0.0, (0,) * 18, (1.0,))

    monkeypatch.setattr(Supervised, "fit", noted)
    for whole in (True, False):
        config = replace(QUICK, batch_size=8, least_steps=1, whole_epochs=whole)
        semi_supervised(run, swinging(), (0.15,), "cmd", 1, config, scratch=False, device="cpu")
    assert seen == [5, 1]


def test_scratch_has_no_decay_for_layers_that_know_nothing(run: Run, monkeypatch: pytest.MonkeyPatch):
    seen: list[FinetuneConfig] = []

    def noted(self: Any, encoder: Any, labelled: Any, config: FinetuneConfig, bar: Any) -> Fit:
        seen.append(config)
        return Fit(0.5, 1.0, 0.5, 2, len(labelled), 0.0, (0,) * 18, (1.0,))

    monkeypatch.setattr(Supervised, "fit", noted)
    fine_tune(run, swinging(), replace(QUICK, layer_decay=0.8, fixed_norm=True, epochs=2), device="cpu")
    assert [(c.layer_decay, c.fixed_norm) for c in seen] == [(0.8, True), (1.0, False)]


def test_other_joints_are_refused(run: Run):
    x = np.ones((6, 3, 8, 20, 1), dtype=np.float32)
    other = SkeletonSet.from_arrays(x, [0, 1] * 3, layout=KINECT_20_SDK, test=np.arange(6) > 3)
    with pytest.raises(InputError, match="The joints and their parents must agree"):
        fine_tune(run, other, QUICK, device="cpu")


# --- few labels -------------------------------------------------------------------------------------------------------


def test_few_labels_are_drawn_by_the_rule_and_the_mean_is_over_draws(run: Run):
    found = semi_supervised(run, swinging(), (0.01, 0.5), "aimclr", 2, replace(QUICK, epochs=2), device="cpu")
    assert list(found["shares"]) == ["1", "50"]
    one, half = found["shares"]["1"], found["shares"]["50"]
    assert one["finetune"]["clips"] == one["scratch"]["clips"] == [3, 3]  # round(0.14) of 14 is none: one of each
    assert half["finetune"]["clips"] == [21, 21]  # 7 of each 14
    for row in (one, half):
        for kind in ("finetune", "scratch"):
            assert len(row[kind]["each"]) == 2
            assert row[kind]["top1"] == pytest.approx(np.mean(row[kind]["each"]), abs=0.01)
    assert any(note.startswith("1 % of 42 clips by the rule of aimclr left 3 classes") for note in found["notes"])
    assert not any("50 %" in note for note in found["notes"])
    text = finetune_text(found)
    assert "labels drawn by the rule of aimclr" in text
    assert any(line.startswith("50 %") and " 21 " in line for line in text.splitlines())


def test_the_labelled_clips_are_those_of_the_draw(run: Run, monkeypatch: pytest.MonkeyPatch):
    seen: list[tuple[list[int], int]] = []

    def noted(self: Any, encoder: Any, labelled: Any, config: FinetuneConfig, bar: Any) -> Fit:
        seen.append((labelled.tolist(), config.seed))
        return Fit(0.5, 1.0, 0.5, 2, len(labelled), 0.0, (0,) * 18, (1.0,))

    monkeypatch.setattr(Supervised, "fit", noted)
    semi_supervised(run, swinging(), (0.2,), "cmd", 3, replace(QUICK, epochs=2), device="cpu")
    train, _ = swinging().split()
    wanted = [(draw_labels(train.y, 0.2, "cmd", seed).indices.tolist(), seed) for seed in range(3)]
    assert seen == wanted * 2  # the same for the pretrained and the untrained encoder
    with pytest.raises(InputError, match="needs a share and a draw"):
        semi_supervised(run, swinging(), (0.2,), draws=0, device="cpu")
    with pytest.raises(InputError, match="no sampling rule"):
        semi_supervised(run, swinging(), (0.2,), "moco", device="cpu")


def test_a_full_folder_only_costs_the_memory(run: Run, caplog: pytest.LogCaptureFixture):
    (run.path / room.FOLDER).write_text("in the way")
    found = fine_tune(run, swinging(), replace(QUICK, epochs=1), scratch=False, device="cpu")
    assert found["finetune"]["clips"] == [42]
    assert "not kept for another time" in caplog.text
