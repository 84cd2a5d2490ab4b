"""Models that are passed on: exports, and weights that authors released."""

import hashlib
import json
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from test_cli import inside, one_message, the_object
from test_encoders import peers_state, released_state

import hiclr
from hiclr.datasets import RELEASED_CODE, SkeletonSet, bones, save_set
from hiclr.encoders import load_released
from hiclr.errors import InputError
from hiclr.evaluation import evaluate
from hiclr.features import features, load_encoder, load_model
from hiclr.models import TrainedModel, import_released, read_state_dict
from hiclr.pretraining import PRESETS, prepare_run, pretrain
from hiclr.runs import Exported, Run, load_run, open_run, watch
from hiclr.runs import export as room
from hiclr.skeleton import BANDAI_21, NTU_25

TINY = replace(PRESETS["small"], epochs=2, batch_size=8, least_steps=1, frames=12, channels=8, features=8, projection=8,
               stream="bone", device="cpu")  # fmt: skip
FILES = {"model.safetensors", "config.json", "README.md"}


def clips(**more: Any) -> SkeletonSet:
    x = np.random.default_rng(3).normal(0, 0.3, (24, 3, 12, 25, 1)).astype(np.float32)
    y = np.arange(24) % 2
    return SkeletonSet.from_arrays(x, y, layout=NTU_25, classes=("a", "b"), test=np.arange(24) >= 16, **more)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    run = prepare_run(tmp_path_factory.mktemp("models") / "bones", TINY, clips().split()[0])
    list(pretrain(clips().split()[0], TINY, run))
    return run


@pytest.fixture
def exported(run: Run, tmp_path: Path) -> Path:
    return run.export(tmp_path / "out" / "bones")


def test_an_export_holds_the_weights_what_they_are_and_a_card(run: Run, exported: Path):
    assert {path.name for path in exported.iterdir()} == FILES
    assert {path.name for path in exported.parent.iterdir()} == {"bones"}  # nothing half made is left
    latest = run.latest()
    assert latest is not None
    kept = load_file(exported / "model.safetensors")
    assert {name.split(".")[0] for name in kept} == {"encoder", "head"}
    assert all(torch.equal(value, latest[0]["model"][name]) for name, value in kept.items())
    config = json.loads((exported / "config.json").read_text())
    assert config["settings"]["stream"] == "bone" and config["epoch"] == 2 and config["weights"]["entries"] == len(kept)
    rows = run.metrics()
    assert config["metrics"] == {"last": rows[-1], "best": max(rows, key=lambda row: row["knn_1"])}
    card = (exported / "README.md").read_text()
    for part in ("bone stream", "| seed | 0 |", "| clips trained on | 16 |", "## Data and licence", "not stated here",
                 "| last | 2 |", "hiclr.load", "| epochs | 2 |", config["data"]["fingerprint"]):  # fmt: skip
        assert part in card, part
    head = next(line for line in card.splitlines() if "| info_nce |" in line).split(" | ")
    assert len(head) == len(set(head)), "no two columns have one name"
    said = {line[2:].split(":")[0].split(",")[0] for line in card.splitlines() if line.startswith("- ")}
    assert {name.strip("| ") for name in head[2:]} <= said | {"consistency_2"}
    assert "A fingerprint is" in card


def test_a_loaded_model_prepares_clips_as_the_run_did(run: Run, exported: Path):
    model = hiclr.load(exported)
    assert isinstance(model, TrainedModel) and not model.encoder.training
    assert (model.layout, model.config) == (NTU_25, replace(TINY, device="auto"))
    given = load_encoder(run).state_dict()
    assert all(torch.equal(value, given[name]) for name, value in model.encoder.state_dict().items())
    wanted = features(run, clips(), views=("clean",), device="cpu")["clean"]
    np.testing.assert_array_equal(model.features(clips(), device="cpu"), wanted)
    np.testing.assert_allclose(model(clips().clips(slice(0, 24))).numpy(), wanted, rtol=1e-4, atol=1e-6)
    assert torch.equal(hiclr.load(run.path)(torch.ones(1, 3, 12, 25, 1)), model(torch.ones(1, 3, 12, 25, 1)))


def test_an_export_is_evaluated_as_its_run(run: Run, exported: Path, tmp_path: Path):
    model = load_run(exported)
    assert isinstance(model, Exported)
    mine, theirs = evaluate(model, clips(), device="cpu"), evaluate(run, clips(), device="cpu")
    assert [mine[key] for key in ("linear", "knn", "baseline", "epoch")] == [
        theirs[key] for key in ("linear", "knn", "baseline", "epoch")
    ]
    evaluated = run.export(tmp_path / "evaluated", licence="CC BY 4.0")  # the card shows what was measured
    card = (evaluated / "README.md").read_text()
    assert f"| linear, top-1 | {theirs['linear']['top1']:.2f} | " in card and "16 train / 8 test clips" in card
    assert f"| random encoder, kNN, k = 1 | {theirs['baseline']['random_knn_1']:.2f} | " in card
    after = card.split("What a reader of them must know:")[1]
    assert theirs["notes"] and all(f"- {note}\n" in after for note in theirs["notes"])
    assert "| licence of the data | CC BY 4.0 |" in card
    again = load_run(evaluated).export(tmp_path / "again")  # an export of an export is the same
    assert (again / "model.safetensors").read_bytes() == (evaluated / "model.safetensors").read_bytes()
    assert (again / "README.md").read_text() == card


def test_an_export_is_written_over_and_nothing_else_is(run: Run, exported: Path, tmp_path: Path):
    (exported / "notes.txt").write_text("mine")
    (exported / "results").mkdir()
    measured = [exported / name for name in ("results.json", "predictions.npz", "results/results-1.json")]
    for path in measured:
        path.write_text("{}")
    run.export(exported)
    assert all(path.exists() for path in measured)  # of these very weights
    first = {name: value + 1 if name.endswith("bias") else value for name, value in run.latest()[0]["model"].items()}  # type: ignore[index]
    room.write_export(exported, first, json.loads((exported / "config.json").read_text()))
    assert not any(path.exists() for path in measured) and (exported / "notes.txt").read_text() == "mine"
    for folder in (run.path, tmp_path):
        before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
        with pytest.raises(InputError, match="no exported model"):
            run.export(folder)
        assert before == {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (tmp_path / "empty").mkdir()
    assert hiclr.load(run.export(tmp_path / "empty")).config.stream == "bone"


def test_an_export_that_is_stopped_leaves_no_folder(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, _: bytes) -> None:
        if path.name == "config.json":
            raise InputError("full")

    monkeypatch.setattr(room, "write_atomically", full)
    with pytest.raises(InputError, match="full"):
        run.export(tmp_path / "new")
    assert not list(tmp_path.iterdir())


def test_what_does_not_fit_is_refused(run: Run, exported: Path):
    config = json.loads((exported / "config.json").read_text())
    weights = (exported / "model.safetensors").read_bytes()

    def refused(words: str, **changes: Any) -> None:
        (exported / "config.json").write_text(json.dumps({**config, **changes}))
        with pytest.raises(InputError, match=words):
            hiclr.load(exported)

    refused(r"\d+ of another shape", settings={**config["settings"], "channels": 4})
    refused("version 2", version=2)
    refused("incomplete", settings=None)
    refused("fields this version does not know: colour", settings={**config["settings"], "colour": 1})
    (exported / "model.safetensors").write_bytes(weights[:-4] + b"\0\0\0\1")
    refused("is not the file that config.json")
    (exported / "model.safetensors").unlink()
    refused("cannot be read")
    with pytest.raises(InputError, match=r"holds no config\.json|does not exist"):
        hiclr.load(exported / "nowhere")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"weights": []}, "is not the file that config.json"),
        ({"epoch": float("inf")}, "config.json is incomplete"),
        ({"settings": {"lr": None}}, "a kind that its field cannot have"),
        ({"settings": {"branches": "3"}}, "a kind that its field cannot have"),
    ],
)
def test_what_an_export_cannot_say_of_itself_is_refused(exported: Path, change: dict[str, Any], words: str):
    config = json.loads((exported / "config.json").read_text())
    (exported / "config.json").write_text(json.dumps(config | change))
    with pytest.raises(InputError, match=words):
        hiclr.load(exported)


@pytest.mark.parametrize("data", [b"", b"garbage!" * 10])
def test_weights_that_are_no_safetensors_are_refused_although_their_digest_is_right(exported: Path, data: bytes):
    config = json.loads((exported / "config.json").read_text())
    config["weights"]["sha256"] = hashlib.sha256(data).hexdigest()
    (exported / "config.json").write_text(json.dumps(config))
    (exported / "model.safetensors").write_bytes(data)
    with pytest.raises(InputError, match="is no file of safetensors"):
        hiclr.load(exported)


def test_a_number_in_the_place_of_released_weights_is_refused():
    with pytest.raises(InputError, match="weights are incomplete"):
        load_released({"st_gcn_networks.0.gcn.conv.weight": torch.tensor(1.0)})


def test_nothing_is_trained_in_an_export(exported: Path):
    with pytest.raises(InputError, match="exported model: nothing is trained in it"):
        prepare_run(exported, TINY, clips().split()[0])
    with pytest.raises(InputError, match="exported model"):
        open_run(exported, TINY.to_dict(), {})
    with pytest.raises(InputError, match="exported model"):
        list(watch(exported))
    with pytest.raises(InputError, match="needs the whole model"):  # its queue and key encoder
        load_model(load_run(exported))


def test_a_run_without_a_checkpoint_is_not_exported(tmp_path: Path):
    fresh = prepare_run(tmp_path / "fresh", TINY, clips().split()[0])
    with pytest.raises(InputError, match="no checkpoint"):
        fresh.export(tmp_path / "out")


# --- released ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def released(tmp_path: Path) -> Path:
    torch.save({f"module.{name}": value for name, value in peers_state("encoder_q").items()}, tmp_path / "epoch300.pt")
    return tmp_path / "epoch300.pt"


def test_released_weights_encode_as_the_authors_did(released: Path):
    model = hiclr.load_released_file(released, stream="bone")
    x = clips().clips(slice(0, 4))
    encoder, _ = load_released(released_state(mlp=True))
    with torch.no_grad():
        wanted = encoder(bones(RELEASED_CODE.apply(x, NTU_25), NTU_25.parents))
    torch.testing.assert_close(model(x), wanted)
    assert (model.config.channels, model.config.features, model.config.persons) == (2, 9, "all")


def test_imported_weights_are_evaluated_and_embedded(released: Path, tmp_path: Path):
    save_set(clips(), tmp_path / "set.npz")
    answer = the_object(inside("import", released, "--out", tmp_path / "aimclr", "--stream", "motion", "--json"))
    assert (answer["release"], answer["stream"]) == ("AimCLR or SkeletonCLR", "motion")
    assert answer["expects"] == "centre person, resample 50, turn released, motion stream, metres, y up"
    assert answer["names"]["encoder_q.data_bn.weight"] == "encoder.norm.weight"
    card = (tmp_path / "aimclr" / "README.md").read_text()
    assert "as AimCLR or SkeletonCLR released them" in card
    assert "epochs" not in card.split("## Training")[1].split("##")[0]  # the file says nothing of them
    given = (tmp_path / "aimclr", "--data", tmp_path / "set.npz", "--device", "cpu")
    result = the_object(inside("evaluate", *given, "--json"))
    assert result["stream"] == "motion" and any("pretrained on other clips" in note for note in result["notes"])
    the_object(inside("embed", *given, "--out", tmp_path / "f.npz", "--json"))
    with np.load(tmp_path / "f.npz") as found:
        wanted = hiclr.load_released_file(released, "motion").features(clips(), device="cpu")
        np.testing.assert_allclose(found["clean"], wanted, rtol=1e-5)
    said = inside("import", released, "--out", tmp_path / "aimclr").stdout
    assert "joint is what it was imported as" in said
    assert "encoder_q.A -> encoder.adjacency" in said and "They expect: centre person" in said


def test_one_file_of_crossclr_gives_each_of_its_streams(tmp_path: Path):
    whole = peers_state("encoder_q") | peers_state("encoder_q_motion", 1, nested=True)
    torch.save(whole, tmp_path / "crossclr.pt", _use_new_zipfile_serialization=False)  # as torch 1.4 wrote it
    answer = import_released(tmp_path / "crossclr.pt", tmp_path / "motion", "motion")
    assert answer["release"] == "CrosSCLR" and len(answer["left"]) == len(peers_state("encoder_q"))
    assert hiclr.load(tmp_path / "motion").config.stream == "motion"
    with pytest.raises(InputError, match="no bone stream"):
        import_released(tmp_path / "crossclr.pt", tmp_path / "bone", "bone")
    assert not (tmp_path / "bone").exists()


def test_files_that_hold_no_state_dict_are_refused(tmp_path: Path, released: Path):
    class Harm:
        def __reduce__(self) -> Any:
            return (Path.touch, (tmp_path / "touched",))

    (tmp_path / "harm.pt").write_bytes(pickle.dumps({"A": Harm()}, protocol=2))
    torch.save({"epoch": 3}, tmp_path / "other.pt")
    refusals = {"harm.pt": "without running code", "other.pt": "no state dict", "none.pt": "cannot be read"}
    for name, words in refusals.items():
        with pytest.raises(InputError, match=words):
            read_state_dict(tmp_path / name)
    assert not (tmp_path / "touched").exists()
    state = read_state_dict(released)
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "wrapped.pt")
    save_file(state, tmp_path / "weights.safetensors")
    assert read_state_dict(tmp_path / "wrapped.pt").keys() == read_state_dict(tmp_path / "weights.safetensors").keys()
    one_message(inside("import", tmp_path / "other.pt", "--out", tmp_path / "out"), "no state dict")
    with pytest.raises(InputError, match="another shape"):
        hiclr.load_released_file(released, layout=BANDAI_21)


def test_export_on_the_command_line(run: Run, tmp_path: Path):
    answer = the_object(inside("export", run.path, "--out", tmp_path / "model", "--json"))
    assert answer["epoch"] == 2 and answer["stream"] == "bone"
    assert {path.name for path in (tmp_path / "model").iterdir()} == FILES
    one_message(inside("export", run.path, "--out", run.path), "no exported model")
    save_set(clips(), tmp_path / "set.npz")
    again = inside("pretrain", "--data", tmp_path / "set.npz", "--out", tmp_path / "model", "--device", "cpu")
    one_message(again, "nothing is trained")
