"""Methods beside HiCLR: each trains, resumes to the same bits, and sends its gradients where they belong."""

import json
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn.functional import mse_loss

from hiclr.commands.train import epoch_line
from hiclr.encoders import TCN, SkeletonEncoder
from hiclr.errors import InputError
from hiclr.features import features
from hiclr.figures import curves
from hiclr.pretraining import PRESETS, PretrainConfig, build_networks, prepare_run
from hiclr.pretraining.batch import Batch
from hiclr.pretraining.epoch import Epoch
from hiclr.pretraining.methods import METHODS, MS2L, AimCLR
from hiclr.pretraining.methods.ms2l import hide_end, mix_segments
from hiclr.pretraining.training import Training
from hiclr.runs import load_run, loss_terms
from hiclr.skeleton import NTU_25
from tests.test_pretraining import TINY, clips, train, weights
from tests.test_ranks import goes_on_after_a_kill, launch, train_on_a_rank

SMALL = replace(TINY, encoder="tcn", expander=12, hidden_end=0.25, epochs=2)
RIVALS: list[Any] = [name for name in METHODS if name != "hiclr"]


def prepared(method: Any, **settings: Any) -> tuple[Training, Batch]:
    """A run of these settings before its first step, and its first batch."""
    training = Training(clips(persons=2), replace(SMALL, method=method, **settings))
    training.model.train()
    return training, Batch(training.source, torch.arange(8), Epoch(0, 0, torch.device("cpu")))


# settings


def test_skeletonclr_is_hiclr_with_one_branch() -> None:
    alias = replace(TINY, method="skeletonclr", branches=3)
    assert alias == replace(TINY, method="hiclr", branches=1)
    assert PretrainConfig.from_dict(json.loads(json.dumps(alias.to_dict()))) == alias


def test_a_run_of_an_older_version_is_gone_on_with_by_its_preset(tmp_path: Path) -> None:
    data, config = clips(), replace(PRESETS["small"], views="paper", strong=("adain", "mask"), epochs=1, knn_every=0)
    path = prepare_run(tmp_path, config, data).path / "config.json"
    later = ("method", "strong", "order", "merge", "direction", "expander", "redundancy")
    kept = {name: value for name, value in json.loads(path.read_text()).items() if name not in later}
    path.write_text(json.dumps(kept | {"views": "adain"}))  # as version 0.1 wrote it
    train(tmp_path, config, data)
    assert load_run(tmp_path).finished
    with pytest.raises(InputError, match=r"settings: method: \(not set\) -> barlow\."):
        prepare_run(tmp_path, replace(config, method="barlow"), data)
    with pytest.raises(InputError, match=r"settings: views: adain -> small\."):
        prepare_run(tmp_path, replace(config, views="small"), data)


def test_the_views_of_a_method_are_its_own() -> None:
    assert PretrainConfig(method="aimclr").branches == 2  # AimCLR's normal and extreme sets are the paper's first two
    assert replace(PRESETS["small"], method="aimclr").branches == 3
    assert replace(TINY, method="ms2l").branches == 1
    assert replace(TINY, method="barlow", branches=2).branches == 2


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"method": "byol"}, "method must be one of hiclr, skeletonclr, aimclr, ms2l, barlow, vicreg"),
        ({"segments": 1}, "segments must be within 2 and 6"),
        ({"hidden_end": 1.0}, "hidden_end must be within"),
        ({"drop_threshold": 0.0}, "drop_threshold must be above 0"),
        ({"expander": 0}, "expander must be at least 1"),
        ({"redundancy": -1.0}, "redundancy must be at least 0"),
        ({"contrast_temperature": 0.0}, "contrast_temperature must be above 0"),
    ],
)
def test_settings_of_methods_at_fault_are_sentences(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(InputError, match=words):
        replace(TINY, **settings)


# training


@pytest.mark.parametrize(("precision", "encoder"), [("32", "tcn"), ("bf16-mixed", "stgcn")], ids=["32", "bf16-mixed"])
@pytest.mark.parametrize("method", ["hiclr", "skeletonclr", *RIVALS])
def test_every_method_trains_two_epochs_with_finite_numbers(
    tmp_path: Path, method: Any, precision: Any, encoder: Any
) -> None:
    data = clips(persons=2)
    config = replace(SMALL, encoder=encoder, frames=8, channels=4, method=method, precision=precision, mining_epoch=1)
    run = train(tmp_path / "run", config, data)
    assert len(run.metrics()) == 2
    for row in run.metrics():
        assert loss_terms([row])
        assert all(math.isfinite(value) for value in row.values() if value is not None), row
        assert row["feature_std"] > 0.05
        assert (row["momentum"] is None) == (method in ("ms2l", "barlow", "vicreg"))
        assert f"loss {row['loss']:.3f}" in epoch_line(row, 2)
    assert all(bool(torch.isfinite(value).all()) for value in weights(run)["model"].values())
    assert features(run, data)["clean"].shape == (24, 8)


@pytest.mark.parametrize("method", RIVALS)
def test_killed_within_an_epoch_a_run_of_any_method_goes_on_to_the_same_bits(tmp_path: Path, method: Any) -> None:
    config = replace(SMALL, method=method, epochs=4, dropout=0.2, mining_epoch=2, save_minutes=0)
    goes_on_after_a_kill(tmp_path, config)


@pytest.mark.parametrize("method", RIVALS)
def test_every_parameter_learns_and_no_other_gets_a_gradient(method: Any) -> None:
    training, batch = prepared(method)
    model = training.model
    for step in range(2):  # with an empty queue, and with a full one
        training.optimiser.zero_grad()
        outcome = model.losses(batch, training.module)
        outcome.losses["loss"].backward()
        model.update(outcome, batch.all_ids, 0.9)
        assert step == 0 or model.stored in (0, 8)
    learning = {id(parameter) for parameter in model.learning_parameters()}
    for name, parameter in model.named_parameters():
        if id(parameter) in learning:
            assert parameter.grad is not None, name
            assert torch.isfinite(parameter.grad).all(), name
        else:
            assert parameter.grad is None, name
            assert name.startswith("key_"), name
    assert all(not buffer.requires_grad for buffer in model.buffers())
    watched = {"feature_std", "pretext_top1", "ln_k"} if method == "aimclr" else {"feature_std"}
    assert outcome.watched.keys() == watched


# AimCLR


def test_the_views_of_aimclr_learn_from_the_normal_one() -> None:
    training, batch = prepared("aimclr")
    model = training.model
    assert isinstance(model, AimCLR)
    model.update(model.losses(batch, training.module), batch.all_ids, 0.9)
    kept = []

    def embed(*views: Tensor) -> Tensor:
        kept.append(model(*views))
        kept[0].retain_grad()
        return kept[0]

    losses = model.losses(batch, embed).losses
    (losses["consistency_extreme"] + losses["consistency_dropped"]).backward()
    normal, extreme, dropped = kept[0].grad
    assert not normal.any(), "the teacher takes no gradient"
    assert extreme.any()
    assert dropped.any()


def test_as_many_neighbours_as_are_set_join_the_positives_of_aimclr() -> None:
    found = set()
    for settings in ({"mining_epoch": None}, {"mining_epoch": 1}, {"mining_epoch": 1, "mining_top": 3}):
        training, batch = prepared("aimclr", mask_own=False, **settings)
        training.model.update(training.model.losses(batch, training.module), batch.all_ids, 0.9)
        batch.mining = training.config.mining_epoch is not None
        found.add(training.model.losses(batch, training.module).losses["info_nce"].item())
    assert len(found) == 3


def test_the_extreme_view_is_encoded_once_and_what_is_dropped_is_another_embedding() -> None:
    training, batch = prepared("aimclr")
    model, views = training.model.eval(), (batch.query(0), batch.query(2))
    normal, extreme, dropped = model(*views)
    torch.testing.assert_close(normal, model.project(views[0]))
    torch.testing.assert_close(extreme, model.project(views[1]))
    assert not torch.allclose(extreme, dropped, atol=1e-3)
    assert torch.allclose(dropped.norm(dim=1), torch.ones(8))


def test_aimclr_refuses_an_encoder_without_a_map_before_anything_is_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TCN, "feature_map", SkeletonEncoder.feature_map)
    with pytest.raises(InputError, match=r"AimCLR drops parts .*TCN gives none"):
        prepare_run(tmp_path / "run", replace(SMALL, method="aimclr"), clips())
    assert not (tmp_path / "run").exists()


# MS2L


def test_segments_change_places_as_told() -> None:
    x = torch.arange(8.0).view(1, 1, 8, 1, 1).expand(2, 3, 8, 1, 2)
    mixed = mix_segments(x, torch.tensor([[2, 0, 1], [0, 1, 2]]))  # three segments of two frames, two that stay
    assert mixed[0, 1, :, 0, 1].tolist() == [4, 5, 0, 1, 2, 3, 6, 7]
    assert torch.equal(mixed[1], x[1])


def test_the_end_is_hidden() -> None:
    shown = hide_end(torch.ones(2, 10, 1, 3), 0.3)
    assert shown[1, :, 0, 2].tolist() == [1] * 7 + [0] * 3
    assert torch.equal(hide_end(shown, 0.0), shown)


def test_the_motion_error_is_that_of_the_persons_who_are_there() -> None:
    training, batch = prepared("ms2l")
    model, x = training.model.eval(), batch.clean()
    assert isinstance(model, MS2L)
    order = torch.zeros(8, dtype=torch.int64)
    versions, error, jigsaw = model(x, order)
    assert (versions.shape, error.shape, jigsaw.shape) == ((3, 8, 8), (8,), (8, 6))
    alone = x[0, ..., 0].permute(1, 2, 0)[None]  # the second person is absent in the first clip
    coordinates = model.decoder(model.encoder.encode(hide_end(alone, 0.25)), 16)
    assert coordinates.shape == (1, 16, 25, 3)
    assert error[0].item() == pytest.approx(mse_loss(coordinates, alone).item(), rel=1e-5)


def test_ms2l_refuses_what_it_cannot_cut_or_predict(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="MS2L cuts clips into 3 segments, and they have 2 frames"):
        prepare_run(tmp_path / "run", replace(SMALL, method="ms2l", frames=2), clips())
    flat = nn.Sequential(nn.Flatten(), nn.LazyLinear(8))
    for method, words in (("ms2l", "Sequential does not take persons"), ("aimclr", "Sequential gives none")):
        with pytest.raises(InputError, match=words):
            METHODS[method](replace(SMALL, method=method), NTU_25, flat, build_networks(SMALL, NTU_25)[1], 24)


# without negatives


def test_one_view_is_compared_with_another_draw_of_it() -> None:
    training, batch = prepared("barlow", branches=1)
    seen: list[Tensor] = []

    def embed(x: Tensor) -> Tensor:
        seen.append(x)
        return training.model(x)  # type: ignore[no-any-return]

    assert training.model.losses(batch, embed).losses["invariance"].item() > 0
    assert len(seen) == 2
    assert not torch.equal(*seen)


def every_method_on_a_rank(folder: Path, config: PretrainConfig) -> int:
    return max(train_on_a_rank(folder / method, replace(config, method=method)) for method in RIVALS)


def test_two_processes_with_half_the_batch_each_equal_one(tmp_path: Path) -> None:
    config = replace(SMALL, sync_norm=True, optimiser="sgd", lr=0.01, queue_size=16)
    launch(tmp_path / "two", config, work=every_method_on_a_rank)
    for method in RIVALS:
        one = train(tmp_path / f"one-{method}", replace(config, method=method))
        two = load_run(tmp_path / "two" / method)
        assert two.environment["ranks"] == 2
        for ours, theirs in zip(one.metrics(), two.metrics(), strict=True):
            for name in ("loss", *loss_terms([ours])):
                assert theirs[name] == pytest.approx(ours[name], rel=1e-4), (method, name)


# what is said and drawn of a run without InfoNCE


def test_rows_without_infonce_are_said_and_drawn() -> None:
    row = {"epoch": 1, "loss": 1.5, "invariance": 1.0, "redundancy": 0.5, "ln_k": None, "knn_1": 50.0, "seconds": 2.0}
    assert loss_terms([row]) == ["invariance", "redundancy"]
    assert "loss 1.500  invariance 1.000  redundancy 0.500  kNN on watched clips 50.0 %" in epoch_line(row, 3)
    figure = curves.training([row, row | {"epoch": 2}], "barlow")
    losses = figure.axes[0]
    assert [line.get_label() for line in losses.lines] == ["invariance", "redundancy"]
    assert "nats" not in losses.get_ylabel()
    other = {"epoch": 1, "loss": 2.0, "info_nce": 2.0, "ln_k": 3.0, "knn_1": 40.0}
    both = curves.compare({"negatives": [other], "none": [row]})
    assert {text.get_text() for text in both.legends[0].get_texts()} >= {"negatives", "none"}
