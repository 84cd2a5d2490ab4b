"""The numbers beside the maps: of every space and its floors, over seeds; clips matched by name; what is predicted."""

import json
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from test_finetune import TINY, swinging

from hiclr.datasets import SkeletonSet
from hiclr.errors import InputError
from hiclr.evaluation import (
    FinetuneConfig,
    Predictions,
    SpaceRow,
    alignment,
    branch_features,
    geometry,
    guess,
    guesses,
    knn_votes,
    match_clips,
    measure_spaces,
    raw_coordinates,
    taught,
    teach,
)
from hiclr.evaluation.geometry import kept_share
from hiclr.evaluation.keeping import keep, measured_on
from hiclr.evaluation.knn import nearest_besides
from hiclr.evaluation.supervised import Supervised
from hiclr.features import Features, features, random_encoder, weights_digest
from hiclr.pretraining import prepare_run, pretrain, progress
from hiclr.runs import Run
from hiclr.workbook import spaces_page

SHORT = FinetuneConfig(epochs=2, batch_size=16, least_steps=2, lr=5e-3, augment=False)


def at_angles(*degrees: float) -> np.ndarray:
    angles = np.deg2rad(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


# --- votes, matches ---------------------------------------------------------------------------------------------------


def test_the_share_of_the_votes_is_the_confidence():
    train, y = at_angles(0, 10, 20, 90), np.array([0, 0, 1, 1])
    # at 2 degrees the nearest are those at 0, 10 and 20; at 80 those at 90, 20 and 10
    classes, share = knn_votes(train, y, at_angles(2, 80), 3, 2)
    assert classes.tolist() == [0, 1]
    assert share == pytest.approx([2 / 3, 2 / 3])
    assert knn_votes(train, y, at_angles(2), 9, 2)[1].tolist() == [0.5]  # all four


def test_a_clip_has_no_vote_on_itself():
    train, y = at_angles(0, 10, 20, 90), np.array([0, 0, 1, 1])
    test, own = at_angles(20, 21), np.array([2, -1])
    classes, share = knn_votes(train, y, test, 1, 2, own)
    assert classes.tolist() == [0, 1]  # at 20 the other one nearest is at 10; at 21 the training clip at 20
    assert share.tolist() == [1, 1]
    assert knn_votes(train, y, test, 9, 2, own)[1] == pytest.approx([2 / 3, 2 / 3])  # three others at most
    same = np.ones((5, 2))
    assert nearest_besides(same, same[:1], np.array([4]), 2)[0].tolist() == [[0, 1]]
    with pytest.raises(InputError, match=r"1\.\.4, the number of other clips; it is 5"):
        nearest_besides(same, same[:1], np.array([4]), 5)


def test_clips_are_matched_by_name_and_the_others_counted():
    both = match_clips(["a", "b", "c"], ["c", "x", "a"])
    assert (both.names, both.first.tolist(), both.second.tolist()) == (("a", "c"), [0, 2], [2, 0])
    assert both.said == "2 clips matched by name; 1 only in the first, 1 only in the second"
    assert match_clips(["a"], ["a"]).said == "1 clip matched by name"
    assert match_clips(["a"], ["b"]).names == ()
    with pytest.raises(InputError, match="no name may be there twice"):
        match_clips(["a", "a"], ["a"])


def test_neighbours_are_kept_in_any_order():
    assert kept_share(np.array([[1, 2], [0, 2]]), np.array([[2, 1], [2, 3]])).tolist() == [1, 0.5]


# --- predictions for a map --------------------------------------------------------------------------------------------


def pictured(monkeypatch: pytest.MonkeyPatch, **more: Any) -> SkeletonSet:
    """Four training clips and one test clip whose features lie at these angles."""
    names, angles = list("abcde"), dict(zip("abcde", (0, 10, 20, 90, 2), strict=True))
    x = np.random.default_rng(0).normal(size=(5, 3, 4, 25, 1))
    clips = SkeletonSet.from_arrays(x, [0, 0, 1, 1, 0], layout=swinging(9).layout, names=names, **more)

    def encoded(_: Any, some: SkeletonSet, views: Sequence[str], device: str) -> Features:
        return Features({"clean": at_angles(*(angles[name] for name in some.names))}, some.y, some.names)

    monkeypatch.setattr(guesses, "features", encoded)
    monkeypatch.setattr(guesses, "NEIGHBOURS", 3)
    return clips


def a_run(folder: Path, epoch: int = 7, model: Any = None) -> Any:
    return SimpleNamespace(path=folder, config={"seed": 0}, trained=lambda: ({"model": model or {}}, epoch))


def test_without_an_evaluation_neighbours_predict(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    clips = pictured(monkeypatch, test=np.array([0, 0, 0, 0, 1], bool))
    found = guess(a_run(tmp_path), clips, clips.split()[1])
    assert (found.classes.tolist(), found.said) == ([0], "predicted by the 3 nearest of 4 training clips")
    assert found.confidence == pytest.approx([2 / 3])

    whole = pictured(monkeypatch)
    found = guess(a_run(tmp_path), whole, whole.subset([2, 3]))
    # of the clip at 20 the others nearest are at 10, 2 and 0, all of class 0; of that at 90 those at 20, 10 and 2
    assert found.classes.tolist() == [0, 0]
    assert found.confidence == pytest.approx([1, 2 / 3])
    assert found.said == "predicted by the 3 nearest of 5 training clips, a clip itself left out"


def test_what_an_evaluation_kept_comes_first_while_it_is_of_this_encoder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    clips = pictured(monkeypatch, test=np.array([0, 0, 0, 1, 1], bool))
    some, of = clips.split()[1], measured_on(a_run(tmp_path), clips)

    def kept(classes: dict[str, Any], sure: dict[str, Any], of: dict[str, Any], folder: Path = tmp_path) -> None:
        folder.mkdir(exist_ok=True)
        (folder / "results.json").write_text(json.dumps(of))
        values = json.dumps(list(of.values()))
        Predictions(("e", "d"), np.array([0, 1]), None, classes, values, sure).save(folder / "predictions.npz")

    classes, sure = {"linear/top1": np.array([0, 1])}, {"linear/top1": np.array([0.75, 0.5])}
    kept(classes, sure, of)
    found = guess(a_run(tmp_path), clips, some)
    assert found.said == "predicted by the linear probe of the last evaluation (epoch 7)"
    assert (found.classes.tolist(), np.asarray(found.confidence).tolist()) == ([1, 0], [0.5, 0.75])
    assert "nearest" in guess(a_run(tmp_path, epoch=8), clips, some).said
    assert "nearest" in guess(a_run(tmp_path, model={"encoder.a": torch.ones(1)}), clips, some).said
    assert "nearest" in guess(a_run(tmp_path), clips, clips.subset([0, 3])).said  # a clip that was not evaluated
    older = {key: value for key, value in of.items() if key not in ("weights", "parts")}
    kept(classes, {}, older)  # as an older version left it
    assert guess(a_run(tmp_path), clips, some).confidence is None
    kept({}, {}, of)
    assert "nearest" in guess(a_run(tmp_path), clips, some).said
    kept(classes, sure, of)
    other = measured_on(a_run(tmp_path), clips.subset([0, 1, 3, 4]))
    keep(
        tmp_path / "results.json",
        other,
        Predictions((), np.array([]), None, {}, json.dumps(list(other.values()))),
        print,
    )
    assert "last evaluation" in guess(a_run(tmp_path), clips, some).said  # put aside by one on other clips


# --- every space of a run ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Run]:
    train, _ = swinging().split()
    found = []
    for seed in (0, 1):
        config = replace(TINY, seed=seed)
        run = prepare_run(tmp_path_factory.mktemp("spaces") / f"seed{seed}", config, train)
        list(pretrain(train, config, run))
        found.append(run)
    return found


def test_every_space_has_every_number_on_the_same_clips_with_its_spread(runs: list[Run]):
    train, clips = swinging().split()
    said: list[str] = []
    rows = measure_spaces(runs, clips, train, SHORT, (0, 1), "cpu", said.append)
    assert [row.name for row in rows] == [
        "raw joints", "untrained encoder", "supervised encoder", "clean", "basic", "normal", "strong", "key",
    ]  # fmt: skip
    assert [row.seeds for row in rows[:4]] == [(), (0, 1, 2), (0, 1), (0, 1)]
    assert rows[2].note == "saw the labels of 42 clips of train"
    assert said[0].startswith("supervised encoder: about ") and said[0].endswith(
        "(2 trainings of 2 epochs, 42 labels seen)"
    )
    names = ["silhouette by class", "purity", "NMI", "ARI", "alignment", "uniformity", "effective rank"]
    assert all(list(row.values) == names for row in rows)

    by_name = {row.name: row.values for row in rows}
    raw = geometry(raw_coordinates(clips, np.arange(len(clips))).numpy(), clips.y, {})
    for name, value in raw.items():
        assert by_name["raw joints"][name] == (pytest.approx(value), None)
    assert 0 < by_name["raw joints"]["alignment"][0] < 4

    found = [branch_features(run, clips, "cpu") for run in runs]
    assert list(found[0]) == ["clean", "basic", "normal", "strong", "key"]
    strong = [alignment(each["strong"], each["clean"]) for each in found]
    basic = [alignment(each["basic"], each["clean"]) for each in found]
    purity = [geometry(each["key"], clips.y, {})["purity"] for each in found]
    for name, number, values in (
        ("strong", "alignment", strong),
        ("basic", "alignment", basic),
        ("clean", "alignment", basic),
        ("key", "purity", purity),
    ):
        middle, apart = (values[0] + values[1]) / 2, abs(values[0] - values[1])
        assert by_name[name][number] == pytest.approx((middle, apart / 2**0.5))  # of two: their distance over root 2

    alone = measure_spaces(runs[:1], clips, device="cpu")
    assert [row.name for row in alone][:3] == ["raw joints", "untrained encoder", "clean"]
    assert alone[2].values["purity"] == (geometry(found[0]["clean"], clips.y, {})["purity"], None)
    start = features(runs[0], clips, ["clean"], random_encoder(TINY, clips.layout), "cpu")["clean"]
    others = [
        features(runs[0], clips, ["clean"], random_encoder(replace(TINY, seed=seed), clips.layout), "cpu")["clean"]
        for seed in (1, 2)
    ]
    ranks = [geometry(x, clips.y, {})["effective rank"] for x in (start, *others)]
    assert alone[1].values["effective rank"] == pytest.approx((np.mean(ranks), np.std(ranks, ddof=1)))


def test_runs_that_are_not_seeds_of_one_setting_are_refused(runs: list[Run]):
    _, clips = swinging().split()

    def changed(**config: Any) -> Run:
        return Run(runs[1].path, {**runs[1].config, **config}, runs[1].data, {})

    with pytest.raises(InputError, match=r"seed1 differs from seed0 in epochs: 1 -> 9"):
        measure_spaces([runs[0], changed(epochs=9, device="cuda")], clips)
    with pytest.raises(InputError, match="a seed once each; the runs have 0, 0"):
        measure_spaces([runs[0], changed(seed=0)], clips)
    with pytest.raises(InputError, match="no run"):
        measure_spaces([], clips)
    other = Run(runs[1].path, runs[1].config, {**runs[1].data, "fingerprint": "other"}, {})
    with pytest.raises(InputError, match="in other training clips"):
        measure_spaces([runs[0], other], clips)


def test_what_labels_taught_is_kept_and_damage_is_mended(
    runs: list[Run], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    train, clips = swinging().split()
    run = Run(tmp_path, runs[0].config, runs[0].data, {})
    config = replace(SHORT, epochs=12, look_every=1)
    (first,) = teach(run, train, clips, config, device="cpu")
    assert first.fit.top1 > 0.6 and first.fit.losses[-1] < 0.5 * first.fit.losses[0]
    assert not first.encoder.training
    start, learned = random_encoder(TINY, clips.layout), Supervised(train, clips, TINY, "cpu")
    with closing(progress(12, 0)) as bar:
        direct = learned.learn(start, np.arange(42), replace(config, look_every=12), bar).encoder
    assert weights_digest(first.encoder) == weights_digest(direct) != weights_digest(start)

    said: list[str] = []
    (kept,) = tmp_path.glob("finetuned/*.safetensors")
    with monkeypatch.context() as without:
        without.setattr(taught, "Supervised", lambda *_: pytest.fail("trained again"))
        (again,) = teach(run, train, clips, config, device="cpu", say=said.append)
    assert said == ["supervised encoder: kept from before (1 training of 12 epochs, 42 labels seen)"]
    assert again.fit == first.fit
    assert all(torch.equal(a, b) for a, b in zip(again.encoder.parameters(), first.encoder.parameters(), strict=True))

    kept.write_bytes(kept.read_bytes()[:-9])
    (mended,) = teach(run, train, clips, config, device="cpu", say=said.append)
    assert said[1].startswith("supervised encoder: about ")
    assert mended.fit.losses == first.fit.losses


def test_a_table_of_spaces_says_spread_seeds_and_what_is_missing():
    _, clips = swinging().split()
    rows = [
        SpaceRow("raw joints", {"purity": (0.25, None), "effective rank": (90.8364, None)}, ()),
        SpaceRow("supervised encoder", {"purity": (0.5, None)}, (0,), "saw labels"),
        SpaceRow("clean", {"purity": (0.75, 0.0625), "effective rank": (12.0, 1.5)}, (0, 1)),
    ]
    table = spaces_page(rows, clips)
    assert table.title.endswith("the same 18 clips in every row; mean ± standard deviation over the seeds of 2 runs")
    assert list(table.columns) == ["", "purity", "effective rank", "seeds", ""]
    assert [list(row) for row in table.rows] == [
        ["raw joints", "0.250", "90.8", "—", ""],
        ["supervised encoder", "0.500", "—", 1, "saw labels"],
        ["clean", "0.750 ± 0.062", "12.0 ± 1.5", 2, ""],
    ]
    assert "one run, so one seed" in spaces_page(rows[:2], clips).title
    assert "in every row (18 of 60 clips); " in spaces_page(rows, clips, "18 of 60 clips").title
