"""Features: the frozen encoder, once per clip, and a cache that is never stale."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hiclr import features as room
from hiclr.datasets.base import SkeletonSet
from hiclr.errors import InputError
from hiclr.features import extract, features, load_encoder, random_encoder, view_names
from hiclr.pretraining import PRESETS, build_model, prepare_run, preprocess_of, pretrain
from hiclr.runs import Run, load_run
from hiclr.skeleton import KINECT_20_MSR, NTU_25

CONFIG = replace(
    PRESETS["small"], epochs=1, batch_size=8, frames=16, channels=8, features=8, projection=8, device="cpu"
)


def clips(count: int = 12, scale: float = 1.0, layout: Any = NTU_25) -> SkeletonSet:
    rng = np.random.default_rng(3)
    x = rng.normal(0, 0.3, (count, 3, 16, layout.num_joints, 1)).astype(np.float32)
    return SkeletonSet.from_arrays(scale * x, np.arange(count) % 2, layout=layout, classes=("a", "b"))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = prepare_run(tmp_path_factory.mktemp("features") / "run", CONFIG, clips())
    list(pretrain(clips(), CONFIG, run))
    return run


@pytest.fixture
def counted(monkeypatch: pytest.MonkeyPatch) -> list[int | None]:
    """The views that were really encoded, in order."""
    seen: list[int | None] = []
    healthy = room.extract

    def counting(encoder: Any, given: Any, config: Any, view: int | None, *more: Any) -> Any:
        seen.append(view)
        return healthy(encoder, given, config, view, *more)

    monkeypatch.setattr(room, "extract", counting)
    return seen


def test_the_encoder_of_a_run_has_its_checkpoints_weights(run: Run):
    encoder = load_encoder(run.path)
    latest = run.latest()
    assert latest is not None
    state = latest[0]["model"]
    assert not encoder.training
    assert encoder.state_dict()
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, state[f"encoder.{name}"])


def test_the_random_encoder_is_where_the_run_started(run: Run):
    start = build_model(CONFIG, NTU_25, 12).encoder.state_dict()
    encoder = random_encoder(CONFIG, NTU_25)
    assert not encoder.training
    for name, value in encoder.state_dict().items():
        assert torch.equal(value, start[name])
    trained = load_encoder(run).state_dict()
    assert any(not torch.equal(value, start[name]) for name, value in trained.items())


def test_features_are_the_encoders_output_in_the_order_of_the_set(run: Run):
    encoder, data = load_encoder(run), clips(300)  # more than two chunks
    found = extract(encoder, data, CONFIG)
    assert (found.shape, found.dtype) == ((300, 8), np.float32)
    some = [299, 0, 130]
    with torch.no_grad():
        direct = encoder(preprocess_of(CONFIG).apply(data.clips(some), NTU_25)).numpy()
    np.testing.assert_allclose(found[some], direct, rtol=1e-4, atol=1e-6)


def test_extraction_changes_nothing_in_the_encoder(run: Run):
    encoder = load_encoder(run).train()
    before = {name: value.clone() for name, value in encoder.state_dict().items()}
    first = extract(encoder, clips(), CONFIG)
    assert encoder.training
    assert all(torch.equal(value, before[name]) for name, value in encoder.state_dict().items())
    np.testing.assert_array_equal(extract(encoder, clips(), CONFIG), first)


def test_every_view_has_its_features_by_name(run: Run):
    found = features(run, clips())
    assert list(found.arrays) == ["clean", "basic", "normal", "strong"] == ["clean", *view_names(CONFIG, NTU_25)]
    assert found.names == clips().names
    assert found.classes == ("a", "b")
    assert len(found) == 12
    assert all(np.abs(found["clean"] - found[view]).max() > 1e-4 for view in ("basic", "normal", "strong"))
    with pytest.raises(InputError, match="clean, basic, normal, strong"):
        found["brutal"]
    with pytest.raises(InputError, match="brutal"):
        features(run, clips(), views=["brutal"])


def test_a_view_is_drawn_from_its_seed(run: Run):
    encoder = load_encoder(run)
    first = extract(encoder, clips(), CONFIG, view=2, seed=1)
    np.testing.assert_array_equal(extract(encoder, clips(), CONFIG, view=2, seed=1), first)
    assert not np.array_equal(extract(encoder, clips(), CONFIG, view=2, seed=2), first)
    with pytest.raises(InputError, match=r"0\.\.2"):
        extract(encoder, clips(), CONFIG, view=3)


def test_what_was_encoded_is_not_encoded_again(run: Run, counted: list[int | None]):
    data = clips(13)  # a set that no other test caches
    first = features(run, data, views=["clean", "strong"])
    again = features(load_run(run.path), data, views=["clean", "strong"])
    assert counted == [None, 2]
    np.testing.assert_array_equal(first["clean"], again["clean"])
    assert len({path.stem for path in (run.path / "features").glob("*.npz")}) >= 2


def test_another_weight_clip_setting_or_code_misses_the_cache(
    run: Run, counted: list[int | None], monkeypatch: pytest.MonkeyPatch
):
    data, encoder = clips(14), load_encoder(run)
    features(run, data, views=["clean"], encoder=encoder)
    with torch.no_grad():
        next(encoder.parameters()).view(-1)[0] += 1e-3
    features(run, data, views=["clean"], encoder=encoder)
    assert len(counted) == 2
    changed = clips(14)
    changed.x[0, 0, 0, 0, 0] += 0.1  # type: ignore[index]
    features(run, changed, views=["clean"], encoder=encoder)
    assert len(counted) == 3
    other = replace_config(run, frames=8)
    features(other, data, views=["clean"], encoder=encoder)
    assert len(counted) == 4
    monkeypatch.setattr(room, "code_digest", lambda: "edited")
    features(run, data, views=["clean"], encoder=encoder)
    assert len(counted) == 5


def replace_config(run: Run, **changes: Any) -> Run:
    return Run(run.path, {**run.config, **changes}, run.data, run.environment)


def test_a_damaged_cache_file_is_made_again(run: Run, counted: list[int | None], caplog: pytest.LogCaptureFixture):
    data, before = clips(15), set((run.path / "features").glob("*.npz"))
    first = features(run, data, views=["clean"])
    (path,) = set((run.path / "features").glob("*.npz")) - before
    path.write_bytes(path.read_bytes()[:200])
    np.testing.assert_array_equal(features(run, data, views=["clean"])["clean"], first["clean"])
    assert counted == [None, None]
    assert "is damaged" in caplog.text


def test_clips_in_millimetres_are_said(run: Run, caplog: pytest.LogCaptureFixture):
    features(run, clips(), views=["clean"])
    assert "scale" not in caplog.text
    features(run, clips(scale=1000.0), views=["clean"])
    assert "differ in scale" in caplog.text


def test_other_joints_are_refused(run: Run):
    with pytest.raises(InputError, match=r"ntu25.*kinect20-msr"):
        features(run, clips(layout=KINECT_20_MSR))


def test_a_run_without_checkpoint_is_refused(tmp_path: Path):
    run = prepare_run(tmp_path / "run", CONFIG, clips())
    with pytest.raises(InputError, match="pretrain first"):
        load_encoder(run)


def test_a_checkpoint_of_other_settings_is_refused(run: Run):
    with pytest.raises(InputError, match="does not fit"):
        load_encoder(replace_config(run, channels=16))
