"""BiGRU, and encoders of one's own: from a class to a trained run and its features, without running a folder's code."""

import math
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from hiclr.ablation import worker
from hiclr.datasets import open_set
from hiclr.datasets.saving import save_set
from hiclr.encoders import BiGRU, own, use_encoder
from hiclr.errors import InputError
from hiclr.features import features, load_encoder, random_encoder
from hiclr.pretraining import PretrainConfig, build_networks, prepare_run, pretrain
from hiclr.runs import load_run
from hiclr.skeleton import BANDAI_21, NTU_25, Layout
from tests.test_cli import inside
from tests.test_pretraining import TINY, clips, rows, train

FAST = replace(TINY, channels=4, frames=8, epochs=2, knn_every=0, views="paper")
MODULE = """
import torch
from torch import nn

class Flat(nn.Module):
    def __init__(self, layout):
        super().__init__()
        self.joints = nn.Linear(3 * layout.num_joints, 8)

    def forward(self, x):
        return self.joints(x.mean(dim=(2, 4)).flatten(1)).relu()
"""


class Mine(nn.Module):
    """Means over frames and persons, then one layer."""

    def __init__(self, layout: Layout) -> None:
        super().__init__()
        self.joints = nn.Linear(3 * layout.num_joints, 8)

    def forward(self, x: Tensor) -> Tensor:
        """(N, 3, T, V, M) -> (N, 8)."""
        return self.joints(x.mean(dim=(2, 4)).flatten(1)).relu()


@pytest.fixture
def unknown(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Nothing is known yet, as in another process."""
    monkeypatch.setattr(own, "_OWN", {})
    yield
    sys.modules.pop("somebodys", None)


# BiGRU


def test_the_cost_of_the_bigru_is_what_its_text_says() -> None:
    with torch.device("meta"):
        encoder = BiGRU(NTU_25)
        both = nn.GRU(2 * 75, 1024, 3, bidirectional=True)
    assert sum(p.numel() for p in encoder.parameters()) == pytest.approx(44.5e6, rel=1e-3)
    assert sum(p.numel() for p in both.parameters()) == pytest.approx(45.0e6, rel=1e-3)
    # two operations for each weight that multiplies something, in each of 64 frames
    for network, wanted in ((encoder.gru, 5.7e9), (both, 5.8e9)):
        weights = sum(p.numel() for name, p in network.named_parameters() if name.startswith("weight"))
        assert 2 * 64 * weights == pytest.approx(wanted, rel=0.01)
    assert encoder.features == 2048


def test_the_bigru_reads_the_whole_clip_both_ways() -> None:
    torch.manual_seed(0)
    encoder = BiGRU(BANDAI_21, channels=3, features=6).eval()
    rows = torch.randn(2, 9, 21, 3)
    mapped = encoder.feature_map(rows)
    assert mapped.shape == (2, 6, 9, 1)
    late, early = rows.clone(), rows.clone()
    late[:, -1] += 1
    early[:, 0] += 1
    forward, backward = slice(0, 3), slice(3, 6)
    first = encoder.gru.num_layers  # only the lowest layer's halves see one way alone
    lowest = nn.GRU(63, 3, batch_first=True, bidirectional=True)
    lowest.load_state_dict({k: v for k, v in encoder.gru.state_dict().items() if "_l0" in k})
    plain, changed = (lowest(x.flatten(2))[0] for x in (rows, late))
    assert torch.equal(plain[:, 0, forward], changed[:, 0, forward])
    assert not torch.allclose(plain[:, 0, backward], changed[:, 0, backward], atol=1e-9)
    assert first == 3
    assert not torch.allclose(encoder.feature_map(late)[:, :, 0], mapped[:, :, 0], atol=1e-9)
    assert not torch.allclose(encoder.feature_map(early)[:, :, -1], mapped[:, :, -1], atol=1e-9)
    frame_by_frame, state = [], None
    for frame in rows.flatten(2).unbind(1):
        out, state = encoder.gru(frame[:, None], state)
        frame_by_frame.append(out)
    assert not torch.allclose(torch.cat(frame_by_frame, dim=1), encoder.gru(rows.flatten(2))[0], atol=1e-3)


@pytest.mark.parametrize("precision", ["32", "bf16-mixed"])
def test_the_bigru_trains_two_epochs(tmp_path: Path, precision: Any) -> None:
    config = replace(FAST, encoder="bigru", features=8 if precision == "32" else 6, dropout=0.2, precision=precision)
    encoder = build_networks(config, NTU_25)[0]
    assert isinstance(encoder.out, nn.Identity if config.features == 8 else nn.Linear)
    assert 0.2 < max(float(p.detach().abs().max()) for p in encoder.gru.parameters()) <= 0.5  # U(-1/2, 1/2) for 4 units
    run = train(tmp_path / "run", config, clips(16))
    assert all(math.isfinite(value) for row in rows(run) for value in row.values() if value is not None)
    assert features(load_run(run.path), clips(16))["strong"].shape == (16, config.features)


def test_released_weights_of_the_bigru_are_small_and_without_bias() -> None:
    torch.manual_seed(0)
    encoder = BiGRU(NTU_25, channels=8, features=4, init="released")
    for name, weight in encoder.named_parameters():
        if "bias" in name:
            assert not weight.any()
        else:
            assert float(weight.detach().std()) == pytest.approx(0.02, rel=0.2)


# an encoder of one's own


def test_an_encoder_of_ones_own_takes_three_lines(tmp_path: Path, unknown: None) -> None:
    config = replace(FAST, encoder=use_encoder(Mine))
    assert config.encoder == f"{__name__}:Mine"
    data = clips(16)
    run = prepare_run(tmp_path / "run", config, data)
    next(iter(pretrain(data, config, run)))
    assert len(list(pretrain(data, config, load_run(run.path)))) == 1, "it goes on"
    assert load_run(run.path).config["encoder"] == config.encoder
    found = features(run, data)
    assert found["strong"].shape == (16, 8)
    clean = found["clean"]
    assert (features(run, data, ["clean"], encoder=random_encoder(config, NTU_25))["clean"] != clean).any()
    torch.manual_seed(1)
    first, again = (build_networks(config, NTU_25)[0].state_dict() for _ in range(2))
    assert all(torch.equal(first[name], again[name]) for name in first), "the seed of the run decides"


def test_a_folder_never_makes_its_code_run(tmp_path: Path, unknown: None, monkeypatch: pytest.MonkeyPatch) -> None:
    config = replace(FAST, encoder=use_encoder(Mine), epochs=1)
    data = clips(16)
    run = train(tmp_path / "run", config, data)
    before = features(run, data, ["clean"])["clean"]
    monkeypatch.setattr(own, "_OWN", {})  # as in another process
    words = r"not run because a run's folder names it. .*--encoder \S*test_own_encoders:Mine .*use_encoder\("
    for reads in (lambda: load_encoder(run.path), lambda: features(run, data)):
        with pytest.raises(InputError, match=words):
            reads()
    with pytest.raises(InputError, match=words):
        prepare_run(tmp_path / "other", PretrainConfig.from_dict(run.config), data)
    assert use_encoder(config.encoder) == config.encoder
    assert np.array_equal(features(run, data, ["clean"])["clean"], before)


def test_the_command_line_names_it_again(tmp_path: Path, unknown: None, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "somebodys.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    save_set(clips(16), "set.npz")
    tested = replace(clips(16), protocols={"test": np.arange(16) >= 10})
    save_set(tested, "tested.npz")
    flags = ("--epochs", "1", "--frames", "8", "--features", "8", "--batch-size", "8", "--least-steps", "1")
    done = inside("pretrain", "--data", "set.npz", "--out", "run", *flags, "--encoder", "somebodys:Flat")
    assert done.returncode == 0, done.stderr
    monkeypatch.setattr(own, "_OWN", {})
    embed = ("embed", "run", "--data", "set.npz", "--out", "f.npz")
    refused = inside(*embed)
    assert (refused.returncode, "Name it yourself: --encoder somebodys:Flat" in refused.stderr) == (1, True)
    done = inside(*embed, "--encoder", "somebodys:Flat")
    assert done.returncode == 0, done.stderr
    with np.load("f.npz") as found:
        assert found["strong"].shape == (16, 8)
    shutil.copytree("run", "second")
    for command, more in (("fuse", ("second",)), ("report", ("--markdown", "r.md"))):
        monkeypatch.setattr(own, "_OWN", {})
        line = (command, "run", *more, "--data", "tested.npz")
        assert "Name it yourself: --encoder somebodys:Flat" in inside(*line).stderr
        assert inside(*line, "--encoder", "somebodys:Flat").returncode == 0, command
    done = inside("evaluate", "run", "--data", "set.npz", "--encoder", "somebodys:Round")
    assert done.returncode == 2
    assert "cannot be imported" in " ".join(done.stderr.split())


def test_an_ablation_runs_what_its_command_names(
    tmp_path: Path, unknown: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "somebodys.py").write_text(MODULE)
    (tmp_path / "grid.toml").write_text(
        "[base]\nepochs = 1\nframes = 8\nfeatures = 8\nbatch_size = 8\nleast_steps = 1\nknn_every = 0\n"
        '[[variant]]\nname = "mine"\nencoder = "somebodys:Flat"'
    )
    monkeypatch.chdir(tmp_path)
    save_set(replace(clips(16), protocols={"test": np.arange(16) >= 10}), "set.npz")
    given: list[dict[str, Any]] = []
    monkeypatch.setattr(
        "hiclr.ablation.running._Work.run",
        lambda work: given.extend({"name": "", "folder": t.folder, "config": t.config.to_dict()} for t in work.waiting),
    )
    line = ("ablate", "grid.toml", "--data", "set.npz", "--out", "out", "--seeds", "1", "--jobs", "1")
    assert "Name it yourself: --encoder somebodys:Flat" in inside(*line).stderr
    assert "not complete" in inside(*line, "--encoder", "somebodys:Flat").stdout.lower() and len(given) == 1
    monkeypatch.setattr(own, "_OWN", {})  # as in the process that is handed the run
    said: list[dict[str, Any]] = []
    worker._one(given[0], open_set("set.npz"), "cpu", None, said.append)
    assert said[-1] == {"done": True}


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda _: 3, "must make an nn.Module of a layout; it made a int"),
        (lambda layout: nn.Linear(layout.num_joints, 8), r"fails on clips \(N, 3, T, V, M\) = .*mat1"),
        (lambda _: nn.Flatten(), r"must give \(N, 8\) of clips .* it gives \(2, 1200\). Set features to what it gives"),
    ],
)
def test_what_is_no_encoder_is_a_sentence_before_training(make: Any, words: str, tmp_path: Path, unknown: None) -> None:
    with pytest.raises(InputError, match=words):
        prepare_run(tmp_path / "run", replace(FAST, encoder=use_encoder(make)), clips())
    assert not (tmp_path / "run").exists()


def test_a_name_that_is_none_is_refused() -> None:
    with pytest.raises(InputError, match=r"encoder must be one of stgcn, dsta, tcn, bigru, or package.module:Name"):
        PretrainConfig(encoder="resnet")
    with pytest.raises(InputError, match="cannot be imported"):
        use_encoder("nowhere.to.be:Found")
    with pytest.raises(InputError, match="is neither"):
        use_encoder(3)  # type: ignore[arg-type]
