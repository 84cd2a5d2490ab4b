"""Every setting of an ablation trains: no number that is not finite, in 32 bit and in bfloat16."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hiclr.errors import InputError
from hiclr.pretraining import PretrainConfig, build_model, prepare_run
from hiclr.pretraining.methods import HiCLR
from hiclr.runs import load_run
from hiclr.skeleton import NTU_25
from tests.test_pretraining import TINY, clips, train

SETTINGS: dict[str, dict[str, Any]] = {
    "one branch": {"branches": 1},
    "two branches": {"branches": 2},
    "reversed": {"direction": "strong_to_weak"},
    "symmetric": {"direction": "symmetric"},
    "every branch with the key": {"direction": "none"},
    "kl": {"distance": "kl", "teacher_temperature": 0.05, "student_temperature": 0.1},
    "l1": {"distance": "l1", "branch_weights": (5.0, 5.0)},
    "cosine": {"distance": "cosine", "direction": "symmetric"},
    "neighbours": {"neighbours": 4},
    "strong keys": {"strong_keys": 0.5},
    "second queue": {"second_queue": True},
    "mining": {"mining_epoch": 1, "mining_top": 2},
    "drop/add edges": {"strong": ("edges",), "encoder": "stgcn"},
    "edges of attention": {"strong": ("edges",), "encoder": "dsta"},
    "strong kinds together": {"strong": ("mask+edges+adain",), "encoder": "stgcn"},
    "one of the strong kinds": {"strong": ("mask|edges|adain",), "encoder": "stgcn"},
    "four branches": {"branches": 4, "strong": ("adain", "mask")},
    "disordered": {"order": (2, 0, 1)},
    "merged": {"branches": 1, "merge": (3,)},
    "key apart": {"branches": 2, "key_apart": True},
    "released views": {"views": "released", "learn_mask": True},
    "recurrent encoder": {"encoder": "bigru"},
    "light encoder": {"encoder": "tcn"},
}


@pytest.mark.parametrize(("precision", "encoder"), [("32", "tcn"), ("bf16-mixed", "stgcn")], ids=["32", "bf16-mixed"])
@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_setting_trains_two_epochs(tmp_path: Path, settings: dict[str, Any], precision: Any, encoder: Any) -> None:
    given = {"encoder": encoder, **settings}
    config = replace(TINY, epochs=2, frames=8, knn_every=0, precision=precision, **given)
    run = train(tmp_path / "run", config, clips(16))
    rows = run.metrics()
    assert len(rows) == 2
    numbers = [value for row in rows for value in row.values() if isinstance(value, float)]
    assert torch.tensor(numbers).isfinite().all()
    latest = load_run(run.path).latest()
    assert latest is not None
    assert all(torch.isfinite(value.float()).all() for value in latest[0]["model"].values())


def test_strong_keys_take_their_share_of_the_queue() -> None:
    config = replace(TINY, strong_keys=0.25)
    model = build_model(config, NTU_25, 24)
    assert isinstance(model, HiCLR)

    class Drawn:
        draws = torch.Generator().manual_seed(0)

    weak, strong = torch.zeros(8, 2), torch.ones(8, 2)
    kept = model._remembered(Drawn(), weak, strong)  # type: ignore[arg-type]
    assert kept[:, 0].sum() == 2
    assert torch.equal(kept[:, 0], kept[:, 1])


def test_a_second_queue_fills_beside_the_first_and_is_saved(tmp_path: Path) -> None:
    run = train(tmp_path / "run", replace(TINY, epochs=1, second_queue=True), clips())
    latest = load_run(run.path).latest()
    assert latest is not None
    state = latest[0]["model"]
    assert state["strong_queue.filled"] == state["queue.filled"] > 0
    assert not torch.equal(state["strong_queue.keys"], state["queue.keys"])
    assert torch.equal(state["strong_queue.ids"], state["queue.ids"])


@pytest.mark.parametrize(
    ("settings", "idle"),
    [({}, []), ({"direction": "none", "neighbours": 4, "second_queue": True}, ["neighbours", "second_queue"]),
     ({"branches": 1, "direction": "symmetric"}, ["direction"]), ({"distance": "l1", "neighbours": 2}, ["neighbours"]),
     ({"method": "vicreg", "distance": "kl"}, ["distance"]), ({"neighbours": 4, "distance": "kl"}, [])],
)  # fmt: skip
def test_settings_that_change_nothing_are_named(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, settings: dict[str, Any], idle: list[str]
) -> None:
    config = replace(TINY, **settings)
    assert config.without_effect() == idle
    prepare_run(tmp_path / "run", config, clips())
    assert ("Without effect" in caplog.text) == bool(idle)


@pytest.mark.parametrize(
    "wrong",
    [{"branch_weights": (1.0,)}, {"branch_weights": (1.0, -1.0)}, {"strong_keys": 1.5}, {"neighbours": 0},
     {"student_temperature": 0.0}, {"temperature": float("inf")}, {"lr_steps": (-5,)},
     {"direction": "up"}, {"distance": "l2"}],
)  # fmt: skip
def test_settings_that_cannot_be_meant_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=next(iter(wrong))):
        PretrainConfig(**wrong)
