"""24: no GPU, one that is too small or lacks bfloat16, a checkpoint that was written on one."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from test_cli import inside, one_message

from hiclr.features import features
from hiclr.pretraining import ranks
from hiclr.pretraining.methods import growing
from hiclr.runs import load_run, open_run

from .tiny import CONFIG, FLAGS, assert_same, clips, copy, saved, train

NO_GPU = pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")


@NO_GPU
def test_a_device_that_is_missing_is_said_once_and_the_cpu_gives_the_same(
    whole: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    run = train(tmp_path / "run", replace(CONFIG, device="cuda"))
    assert caplog.text.count("There is no device cuda here: computing on the CPU.") == 1
    assert_same(whole, run.path)


def test_memory_that_runs_out_names_the_batch_that_fits_and_changes_nothing(
    data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    healthy = growing.growing_loss

    def tight(branches: Any, *args: Any, **kwargs: Any) -> Any:
        if len(branches[0]) > 5:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")
        return healthy(branches, *args, **kwargs)

    monkeypatch.setattr(growing, "growing_loss", tight)
    command = ("pretrain", "--data", data, "--out", tmp_path / "run", *FLAGS)
    done = inside(*command)
    one_message(done, "Epoch 1: a step of 8 clips does not fit", "The largest batch that fits is 5: --batch-size 5")
    assert saved(tmp_path / "run") == 0
    assert load_run(tmp_path / "run").config["batch_size"] == 8, "the method is not changed in silence"
    monkeypatch.undo()
    assert inside(*command).returncode == 0


def test_memory_that_runs_out_elsewhere_is_a_message(
    data: Path, whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def full(*_: Any, **__: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 GiB")

    monkeypatch.setattr("hiclr.features.extract", full)
    done = inside("embed", copy(whole, tmp_path / "run"), "--data", data, "--out", tmp_path / "features.npz")
    one_message(done, "Not enough memory")


@NO_GPU
def test_a_checkpoint_from_a_gpu_opens_on_the_cpu(whole: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    state = load_run(whole).latest()[0]  # type: ignore[index]
    config = {**CONFIG.to_dict(), "epochs": 4}
    run = open_run(tmp_path / "run", config, load_run(whole).data)
    # what torch writes beside each tensor of a GPU
    monkeypatch.setattr(torch.serialization, "location_tag", lambda _: "cuda:0")
    run.save(state, 4)
    monkeypatch.undo()
    path = next(run.path.glob("checkpoint-?.pt"))
    with pytest.raises(RuntimeError, match="CUDA"):
        torch.load(path, weights_only=True)
    loaded = load_run(run.path).latest()[0]  # type: ignore[index]
    assert {value.device.type for value in loaded["model"].values()} == {"cpu"}
    one, other = (features(load_run(path), clips())["clean"] for path in (copy(whole, tmp_path / "whole"), run.path))
    assert (one == other).all()


@pytest.mark.parametrize("has", [True, False])
def test_bfloat16_where_the_gpu_lacks_it_is_32_bit_and_said(
    has: bool, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("lightning_fabric.Fabric", lambda **given: asked.append(given))
    # an older GPU: torch says yes for what it would only emulate
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: has or including_emulation)
    ranks.make_fabric(torch.device("cuda", 0), "bf16-mixed")
    assert asked[0]["precision"] == ("bf16-mixed" if has else "32")
    assert caplog.text.count("no bfloat16: training in 32 bit") == (not has)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_run_on_a_gpu_goes_on_on_the_cpu(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from hiclr.pretraining import prepare_run, pretrain

    data, config = clips(), replace(CONFIG, device="cuda")
    next(pretrain(data, config, prepare_run(tmp_path / "run", config, data)))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    run = train(tmp_path / "run", replace(CONFIG, device="cpu"))
    assert all(math.isfinite(row["loss"]) for row in run.metrics())
