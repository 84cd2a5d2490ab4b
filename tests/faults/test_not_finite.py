"""9, 10: clips that are not finite or empty, and a loss that becomes so: stopped before the step, named, and drawn."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_cli import inside, one_message

from hiclr.augmentations import Scale
from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.pretraining import feed, prepare_run, pretrain, training
from hiclr.pretraining.faulty import Drawn
from hiclr.pretraining.methods import growing
from hiclr.runs import load_run

from .tiny import CONFIG, FLAGS, all_finite, assert_same, clips, contents, saved, train


def spoilt(clip: int, value: float, where: tuple[int, ...] = (1, 5, 7, 0)) -> SkeletonSet:
    data = clips()
    x = np.array(data.x)
    x[(clip, *where)] = value
    return replace(data, x=x)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_the_doctor_and_the_command_name_clip_and_frame(value: float, tmp_path: Path):
    data = spoilt(9, value)
    np.savez(tmp_path / "set.npz", x=np.asarray(data.x), y=data.y)
    done = inside("doctor", tmp_path / "set.npz", "--json")
    assert done.returncode == 1
    assert "clip000009" in done.stdout
    assert "frame 5" in inside("doctor", tmp_path / "set.npz").stdout
    one_message(
        inside("pretrain", "--data", tmp_path / "set.npz", "--out", tmp_path / "run", *FLAGS), "clip000009: frame 5"
    )
    assert not (tmp_path / "run").exists()


def test_a_clip_that_goes_bad_while_training_is_named_with_its_epoch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(feed, "_RESIDENT_BYTES", 0)  # as with a set that is too large to be kept
    data = clips()
    going = pretrain(data, CONFIG, prepare_run(tmp_path / "run", CONFIG, data))
    next(going)
    before = contents(tmp_path / "run")
    data.x[9, 1, 5, 7, 0] = np.nan  # type: ignore[index]
    with pytest.raises(InputError, match=r"Epoch 2: Positions that are NaN or infinite in clip000009"):
        next(going)
    assert contents(tmp_path / "run") == before
    assert all_finite(load_run(tmp_path / "run").latest()[0])  # type: ignore[index]


def test_an_empty_clip_is_said_by_the_doctor_and_does_no_harm(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    data = clips()
    x = np.array(data.x)
    x[9] = 0
    np.savez(tmp_path / "set.npz", x=x, y=data.y)
    assert "clip000009" in inside("doctor", tmp_path / "set.npz").stdout
    run = train(tmp_path / "run", CONFIG, replace(data, x=x))
    assert "nobody in any frame of 1 clip" in caplog.text
    assert all_finite(run.latest()[0])  # type: ignore[index]
    assert all(np.isfinite(row["loss"]) for row in run.metrics())


def test_a_clip_too_large_to_be_squared_is_named_with_what_was_drawn_for_it(tmp_path: Path):
    data = spoilt(9, 3e38)
    run = prepare_run(tmp_path / "run", CONFIG, data)
    with pytest.raises(InputError, match=r"Epoch 1: the loss .* not finite: clip000009.*, at step \d of 3 with seed 0"):
        list(pretrain(data, CONFIG, run))
    report = json.loads((run.path / "not-finite.json").read_text())
    assert report["not finite after augmentation"]
    clip = report["clips"][0]  # the others have taken of its posture
    assert (clip["clip"], clip["largest coordinate"]) == ("clip000009", "inf")
    assert saved(run) == 0
    assert all_finite(run.latest()[0])  # type: ignore[index]


def test_an_augmentation_that_breaks_one_clip_is_found_and_its_parameters_are_those_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data, healthy, shown, going_on = clips(), Scale.apply, [], False

    def breaking(self: Scale, x: torch.Tensor, params: dict[str, torch.Tensor]) -> torch.Tensor:
        made = healthy(self, x, params)
        bad = (params["factor"] < 0.92).flatten()
        if going_on and bad.any():
            made = made.clone()
            made[bad] = torch.nan
            shown.append(params["factor"][bad].flatten().tolist())
        return made

    monkeypatch.setattr(Scale, "apply", breaking)
    run = prepare_run(tmp_path / "run", CONFIG, data)
    going = pretrain(data, CONFIG, run)
    next(going)
    going_on = True
    before = {name: content for name, content in contents(run.path).items() if name.startswith("checkpoint")}
    with pytest.raises(InputError, match=r"Augmented, not finite: clip0000\d\d.*What was drawn for them is in .*json"):
        list(going)
    report = json.loads((run.path / "not-finite.json").read_text())
    drawn = [
        entry["factor"] if isinstance(entry["factor"], float) else np.ravel(entry["factor"])[0]
        for clip in report["clips"]
        for view in clip["views"].values()
        for entry in view
        if entry["augmentation"] == "Scale"
    ]
    assert {round(value, 6) for values in shown for value in values} <= {round(float(value), 6) for value in drawn}
    assert len(report["clips"]) < CONFIG.batch_size, "the others are not suspected"
    assert set(report["clips"][0]["views"]) == {"basic", "normal", "strong", "key"}
    now = contents(run.path)
    assert report["epoch"] > 2 or {name: now[name] for name in before} == before


def test_a_loss_that_is_made_nan_leaves_both_checkpoints_and_the_run_goes_on(
    whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    data, healthy, calls = clips(), growing.growing_loss, []
    run = prepare_run(tmp_path / "run", CONFIG, data)

    def broken(*args: Any, **kwargs: Any) -> dict[str, torch.Tensor]:
        calls.append(1)
        terms = healthy(*args, **kwargs)
        return {**terms, "loss": terms["loss"] * torch.nan} if len(calls) == 8 else terms

    monkeypatch.setattr(growing, "growing_loss", broken)
    going = pretrain(data, CONFIG, run)
    next(going), next(going)
    before = contents(run.path)
    with pytest.raises(InputError, match=r"Epoch 3: .*loss nan.*its largest coordinates first: clip.* and 3 more"):
        next(going)
    after = contents(run.path)
    report = json.loads(after.pop("not-finite.json"))
    assert after == before
    assert (report["epoch"], report["step"], len(report["clips"])) == (3, 2, 8)
    assert {entry["augmentation"] for entry in report["clips"][0]["views"]["strong"]} >= {"Shear", "Noise", "JointMask"}
    monkeypatch.undo()
    train(run.path, CONFIG)
    assert_same(whole, run.path)


def test_what_was_drawn_again_is_what_was_drawn(monkeypatch: pytest.MonkeyPatch):
    trained = training.Training(clips(), CONFIG)
    epoch, indices = trained.begin(0, None), torch.arange(8)
    trained._step(indices, epoch)
    applied: list[Any] = []
    healthy = trained.views.make_view

    def seen(view: int, clips: torch.Tensor, draw: Any, *more: Any) -> Any:
        applied.append((view, draw))
        return healthy(view, clips, draw, *more)

    monkeypatch.setattr(type(trained.views), "make_view", lambda _, *args: seen(*args))
    epoch.values.append(trained._step(indices, epoch))
    again: Drawn = trained._drawn_again(epoch, indices)
    assert [view for view, _ in again.draws.values()] == [view for view, _ in applied] == [0, 1, 2, 0]
    for (_, one), (_, other) in zip(applied, again.draws.values(), strict=True):
        for params, same in zip(one, other, strict=True):
            assert all(torch.equal(value, same[name]) for name, value in params.items())


def test_a_full_folder_does_not_hide_why_a_run_stops(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from hiclr.pretraining import loop

    def full(*_: Any) -> None:
        raise InputError("full")

    monkeypatch.setattr(loop, "write_json", full)
    with pytest.raises(InputError, match="the loss or its gradient is not finite") as caught:
        train(tmp_path / "run", CONFIG, spoilt(9, 3e38))
    assert "What was drawn" not in str(caught.value)
