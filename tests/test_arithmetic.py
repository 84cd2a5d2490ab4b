"""TF32 and the order of sums: the switches are set while training runs, and put back."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hiclr.features import features
from hiclr.pretraining import ranks
from hiclr.pretraining.arithmetic import arithmetic, say_what_is_not_exact
from hiclr.pretraining.methods import growing
from tests.test_pretraining import TINY, assert_equal, clips, rows, train, weights

SMALL = replace(TINY, encoder="tcn", epochs=1, knn_every=0)


def switches() -> tuple[bool, ...]:
    return (
        torch.backends.cuda.matmul.allow_tf32,
        torch.backends.cudnn.allow_tf32,
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.utils.deterministic.fill_uninitialized_memory,
        torch.backends.cudnn.benchmark,
    )


@pytest.mark.parametrize("tf32", [True, False])
def test_switches_are_put_back_whatever_happens(tf32: bool) -> None:
    torch.backends.cudnn.benchmark = True
    before = switches()
    try:
        with pytest.raises(RuntimeError), arithmetic(tf32, deterministic=True):
            assert switches() == (tf32, tf32, True, True, False, False)
            raise RuntimeError
        assert switches() == before
        with arithmetic():
            assert switches() == (False, False, *before[2:]), "what somebody else asked for stays"
        assert switches() == before
    finally:
        torch.backends.cudnn.benchmark = False


def test_a_run_is_trained_under_its_switches_and_a_row_is_shown_without(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen, healthy, before = [], growing.growing_loss, switches()

    def looked_at(*args: Any, **kwargs: Any) -> Any:
        seen.append(switches())
        return healthy(*args, **kwargs)

    monkeypatch.setattr(growing, "growing_loss", looked_at)
    fixed = train(tmp_path / "fixed", replace(SMALL, precision="tf32", deterministic=True))
    assert set(seen) == {(True, True, True, True, False, False)}
    assert switches() == before
    seen.clear()
    plain = train(tmp_path / "plain", SMALL)
    assert {each[:3] for each in seen} == {(False, False, False)}
    assert rows(fixed) == rows(plain), "on a CPU neither does anything"
    assert_equal(weights(fixed)["model"], weights(plain)["model"])


def test_features_are_of_32_bit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from hiclr.encoders import SkeletonEncoder

    run, seen, healthy = train(tmp_path / "run", SMALL), [], SkeletonEncoder.forward

    def looked_at(self: SkeletonEncoder, x: torch.Tensor) -> torch.Tensor:
        seen.append(switches()[:2])
        return healthy(self, x)

    monkeypatch.setattr(SkeletonEncoder, "forward", looked_at)
    features(run, clips(), views=["clean"], device="cpu")
    assert set(seen) == {(False, False)}


@pytest.mark.parametrize(
    ("device", "tf32", "deterministic", "said"),
    [
        ("cuda", False, False, "to the same bits only with deterministic=True (--deterministic)"),
        ("cuda", True, True, ""),
        ("cpu", False, False, ""),
        ("cpu", True, False, "TF32 is of NVIDIA's GPUs"),
    ],
)
def test_what_is_not_exact_is_said_in_one_line(
    device: str, tf32: bool, deterministic: bool, said: str, caplog: pytest.LogCaptureFixture
) -> None:
    say_what_is_not_exact(torch.device(device), tf32, deterministic)
    assert len(caplog.messages) == bool(said)
    assert said in caplog.text


def test_tf32_is_32_bit_for_fabric(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []
    monkeypatch.setattr("lightning_fabric.Fabric", lambda **given: asked.append(given))
    ranks.make_fabric(torch.device("cuda", 0), "tf32")
    assert asked[0]["precision"] == "32"
