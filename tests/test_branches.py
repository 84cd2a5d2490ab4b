"""How far views leave their clip, in the pose and to a frozen encoder."""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from hiclr.augmentations import (
    VIEWS,
    AxisMask,
    GrowingViews,
    JointMask,
    Noise,
    Rotate,
    Scale,
    Shear,
    code,
    small_views,
    whole_ladder,
)
from hiclr.datasets.base import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation import bone_change, displacement, spectrum_change
from hiclr.evaluation.branches import Branches, drift, named_ops, opened, summary, sweep
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain, views_of
from hiclr.runs import Run
from hiclr.skeleton import NTU_25, Layout

TWO = Layout("two", ("root", "tip"), (0, 0), (), centre=0, shoulders=None)


def clip(*joints: tuple[float, float, float], frames: int = 4, persons: int = 1) -> Tensor:
    """(1, 3, T, V, M): the first person at these joints in every frame, the others absent."""
    x = torch.zeros(1, 3, frames, len(joints), persons)
    x[0, :, :, :, 0] = torch.tensor(joints).T[:, None]
    return x


def test_bones_are_measured_in_shares_of_their_mean_length():
    before = clip((0, 1, 0), (0, 3, 0), persons=2)  # one bone of 2 m
    after = clip((0, 1, 0), (0, 1, 2.5), persons=2)  # turned, and 2.5 m long
    assert float(bone_change(after, before, TWO)) == pytest.approx(0.25)
    assert float(bone_change(before + 7 * (before != 0).any(1, keepdim=True), before, TWO)) == pytest.approx(
        0, abs=1e-6
    )


def test_joints_are_measured_in_metres_over_who_is_there():
    before = clip((0, 1, 0), (0, 3, 0), persons=2)
    after = before.clone()
    after[:, 0, :, 1, 0] += 0.3  # one joint of two
    after[..., 1] = 5.0  # somebody who was not there
    assert float(displacement(after, before)) == pytest.approx(0.15)
    both = torch.cat([before, after])
    assert displacement(both, torch.cat([before, before])).tolist() == pytest.approx([0, 0.15])


def test_speeds_are_compared_by_frequency_and_not_by_size():
    t = torch.arange(33) / 32  # 32 ways, a whole number of swings
    slow, fast = (torch.zeros(1, 3, 33, 2, 1) for _ in range(2))
    slow[0, 1, :, 1, 0] = 2 + torch.sin(2 * math.pi * 2 * t)
    fast[0, 1, :, 1, 0] = 2 + torch.sin(2 * math.pi * 8 * t)
    assert float(spectrum_change(fast, slow)) == pytest.approx(1, abs=1e-5)
    assert float(spectrum_change(3 * slow, slow)) == pytest.approx(0, abs=1e-5)
    # the speed of a sampled swing goes with sin(pi f / 32): equal power where the heights make up for it
    ratio = math.sin(math.pi * 2 / 32) / math.sin(math.pi * 8 / 32)
    assert float(spectrum_change(slow + ratio * fast, slow)) == pytest.approx(0.5, abs=1e-3)
    still = torch.ones(1, 3, 33, 2, 1)
    assert float(spectrum_change(still, slow)) == pytest.approx(1)
    assert float(spectrum_change(still, still)) == 0


def test_measures_refuse_other_shapes():
    with pytest.raises(InputError, match="one shape"):
        displacement(clip((0, 1, 0)), clip((0, 1, 0), (0, 2, 0)))


def test_drift_is_the_divergence_worked_by_hand():
    p, q = torch.tensor([[0.5, 0.5]]), torch.tensor([[0.25, 0.75]])
    assert float(drift(q.log(), p.log())) == pytest.approx(0.5 * math.log(2) + 0.5 * math.log(2 / 3))
    assert drift(p.log() + 3, p.log()).tolist() == pytest.approx([0], abs=1e-7)


# ---------------------------------------------------------------- strengths


def test_a_strength_for_each_augmentation():
    x = torch.randn(3, 3, 8, 25, 1, generator=torch.Generator().manual_seed(0))
    views = GrowingViews([[Shear(), Scale()], [Rotate()]], strengths=[[0.5, 0], 1])
    assert views.each_strength() == [(0.5, 0.0), (1.0,)]
    draw = views.draw_view(0, tuple(x.shape), torch.Generator().manual_seed(1))
    whole = Shear().sample(tuple(x.shape), 0.5, torch.Generator().manual_seed(1))
    assert torch.equal(draw[0]["matrix"], whole["matrix"])
    assert torch.equal(draw[1]["factor"], torch.ones(3))
    with pytest.raises(InputError, match="2 augmentations and 1 strengths"):
        GrowingViews([[Shear(), Scale()]], strengths=[[0.5]])
    with pytest.raises(InputError, match=r"strength of basic must be in \[0, 1\]"):
        GrowingViews([[Shear()]], strengths=[[1.5]])


def test_code_with_strengths_makes_the_same_views():
    names = {cls.__name__: cls for cls in (GrowingViews, Shear, Scale, Rotate)}
    views = GrowingViews([[Shear(0.2), Scale()], [Rotate()]], strengths=[[0.5, 0], 1])
    assert eval(views.code(), names) == views  # noqa: S307 - our own text


def test_a_run_may_take_its_ladder_weaker():
    config = PretrainConfig(strengths=(1, 0.5, 0.2))
    assert PretrainConfig.from_dict(config.to_dict()) == config
    views = views_of(config, NTU_25)
    assert views.strengths == (1.0, 0.5, 0.2)
    for wrong in ((1.0,), (1.0, 2.0, 0.0)):
        with pytest.raises(InputError, match="strengths must be 3 numbers"):
            PretrainConfig(strengths=wrong)


@pytest.mark.parametrize("name", VIEWS)
def test_a_whole_ladder_has_no_further_set(name: str):
    views = whole_ladder(name, NTU_25)
    with pytest.raises(InputError, match="branches"):
        VIEWS[name](NTU_25, len(views) + 1)


def test_every_augmentation_of_a_ladder_has_a_name_of_its_own():
    views = GrowingViews([[Shear(), Shear(0.1)], [Rotate()]], names=["Rotate", "b"])
    assert [f"{name}: {code(op)}" for name, op in named_ops(views).items()] == [
        "Shear: Shear()",
        "Shear 2: Shear(amplitude=0.1)",
        "Rotate 2: Rotate()",
    ]


# ---------------------------------------------------------------- a run

CONFIG = replace(
    PRESETS["small"], epochs=1, least_steps=1, batch_size=8, frames=16, channels=8, features=8, projection=8,
    device="cpu", knn_every=0,
)  # fmt: skip


def clips(count: int = 12) -> SkeletonSet:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 0.3, (count, 3, 16, 25, 1)).astype(np.float32)
    return SkeletonSet.from_arrays(x, np.arange(count) % 2, layout=NTU_25, classes=("a", "b"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = prepare_run(tmp_path_factory.mktemp("branches") / "run", CONFIG, clips())
    list(pretrain(clips(), CONFIG, run))
    return run


def test_the_clean_clip_has_cosine_one_no_drift_and_another_clip_as_neighbour(run: Run):
    branches = Branches(run, clips())
    x = branches.preprocess.apply(clips().clips([4, 7]), NTU_25)
    same, other = branches.see(x[0], x, 4)
    assert (same.cosine, same.drift) == pytest.approx((1, 0), abs=1e-5)
    assert other.cosine < 0.999 and other.drift > 0
    scores = (branches.known @ branches.known[4]).numpy()
    scores[4] = -1
    assert same.nearest == int(scores.argmax()) and same.label == same.nearest % 2
    assert other.nearest == 7 and other.label == 1  # clip 7 itself, for it is a neighbour of clip 4


def test_drift_is_over_the_key_and_what_the_queue_holds(run: Run):
    branches = Branches(run, clips())
    model = branches.model
    x = branches.preprocess.apply(clips().clips([0, 1]), NTU_25)
    with torch.no_grad():
        z, key = model.project(x), model.project_key(x[:1])
    held = model.queue.keys[:, : int(model.queue.filled)]
    assert 0 < held.shape[1] <= model.queue.capacity
    logits = torch.cat([z @ key.T, z @ held], dim=1) / CONFIG.temperature
    p, q = logits.softmax(dim=1)
    wanted = float((p * (p / q).log()).sum())
    assert branches.see(x[0], x[1:], 0)[0].drift == pytest.approx(wanted, rel=1e-4)


def test_a_large_set_is_taken_evenly_over_its_classes(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hiclr.evaluation.branches.GALLERY", 4)
    branches = Branches(run, clips())
    assert sorted(branches.labels.tolist()) == [0, 0, 1, 1]
    assert (clips().y[branches.gallery] == branches.labels).all()


def test_branches_want_a_run_with_a_checkpoint(tmp_path: Path):
    fresh = prepare_run(tmp_path / "fresh", CONFIG, clips())
    with pytest.raises(InputError, match="no checkpoint"):
        Branches(fresh, clips())


def test_a_sweep_starts_at_one_holds_gates_open_and_tells_how_far_it_is(run: Run):
    branches = Branches(run, clips())
    views = GrowingViews([[Shear()], [Noise(probability=0.0), AxisMask()], [JointMask(0.3)]])
    told: list[tuple[int, int]] = []
    found = sweep(branches, clips(), views, [0, 0.5, 1], count=5, told=lambda *at: told.append(at))
    assert list(found) == ["basic", "normal", "strong", "Shear", "Noise", "AxisMask", "JointMask"]
    assert told == [(i, 7) for i in range(1, 8)]
    assert all(values.shape == (3, 5) for values in found.values())
    assert all(np.allclose(values[0], 1, atol=1e-5) for values in found.values())
    assert (found["Noise"][2] < 1 - 1e-6).all(), "a gate of probability 0 is held open"
    assert found["Shear"][2].mean() < found["Shear"][1].mean() < 1
    with pytest.raises(InputError, match="strengths"):
        sweep(branches, clips(), views, [0, 2])


def test_the_order_of_the_ladder_is_said_as_it_was_found():
    rows = {"a": [0.9, 0.8, 0.7], "b": [0.7, 0.6, 0.4], "c": [0.75, 0.55, 0.4], "d": [0.9, 0.8, 0.8]}
    found = {name: np.array([[1.0, 1.0, 1.0], row]) for name, row in rows.items()}
    assert summary(found, ["a", "b", "c"]) == ("a 0.800 > b 0.567 ≈ c 0.567", True)
    assert summary(found, ["a", "b", "d"]) == ("a 0.800 > b 0.567 < d 0.833", False)
    alone = {name: values[:, :1] for name, values in found.items()}
    assert summary(alone, ["a", "b"]) == ("a 0.900 ≈ b 0.700", True), "one clip tells nothing"


def test_a_gate_is_opened_and_the_rest_kept():
    params = {"on": torch.tensor([True, False]), "amount": torch.ones(2)}
    assert opened(params)["on"].all() and not params["on"].all()
    assert opened({"matrix": torch.ones(1)}).keys() == {"matrix"}


def test_small_views_have_gates_that_strength_does_not_move():
    assert small_views(NTU_25).each_strength() == [(1.0,) * 6, (1.0,), (1.0,)]
