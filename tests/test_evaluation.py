"""Evaluation: numbers worked by hand, ties, leaks, floors, and what the report says."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from hiclr.datasets import SkeletonSet, open_set
from hiclr.errors import InputError
from hiclr.evaluation import (
    PROTOCOLS,
    Outcome,
    Part,
    bootstrap,
    chance,
    clamp_perplexity,
    class_scores,
    compare,
    converged,
    evaluate,
    interval,
    knn_accuracy,
    knn_predict,
    linear_probe,
    load_predictions,
    measure,
    nearest,
    neighbour_purity,
    random_features,
    rank_classes,
    raw_coordinates,
    raw_nearest,
    reliability,
    results_path,
    silhouette,
    table,
    top_k_accuracy,
    tsne,
)
from hiclr.evaluation import knn as knn_module
from hiclr.evaluation.names import figure_name
from hiclr.evaluation.notes import BELOW, below_floors
from hiclr.evaluation.rows import statistics_of
from hiclr.features import extract, features, load_encoder, load_projection, random_encoder, weights_digest
from hiclr.pretraining import PRESETS, PretrainConfig, prepare_run, pretrain
from hiclr.runs import Run
from hiclr.skeleton import NTU_25, Layout
from tests.test_pretraining import copied

Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(5)


def angles(*degrees: float) -> np.ndarray:
    """Unit vectors in the plane: the cosine of two is the cosine of the difference of their angles."""
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


# --- nearest neighbours -----------------------------------------------------------------------------------------------


def test_neighbours_come_by_angle_whatever_their_length():
    train = angles(0, 50, 100, 170) * np.array([[1], [100], [1e-3], [7]], dtype=np.float32)
    indices, scores = nearest(train, angles(60), k=3)
    assert indices.tolist() == [[1, 2, 0]]  # 10, 40 and 60 degrees away
    np.testing.assert_allclose(scores, np.cos(np.radians([[10, 40, 60]])), atol=1e-6)


def test_a_row_of_zeros_points_nowhere():
    zeros = np.zeros((1, 2), dtype=np.float32)
    indices, scores = nearest(np.concatenate([angles(100), zeros, angles(10)]), angles(0), k=3)
    assert indices.tolist() == [[2, 1, 0]]  # cos 10 > 0 > cos 100
    assert scores[0, 1] == 0
    assert nearest(angles(0, 50), zeros, k=2)[0].tolist() == [[0, 1]]


def test_euclidean_neighbours_come_by_distance():
    train = np.array([[0.0], [10.0], [4.0]], dtype=np.float32)
    indices, _ = nearest(train, np.array([[1.0], [8.0]], dtype=np.float32), k=3, metric="euclidean")
    assert indices.tolist() == [[0, 2, 1], [1, 2, 0]]  # distances 1 3 9, and 2 4 8


def test_of_equal_neighbours_the_first_ones_are_taken():
    train = angles(90, 20, 0, 20, 20, 20)
    indices, _ = nearest(train, angles(20), k=2)
    assert indices.tolist() == [[1, 3]]
    ones = np.ones((500, 4), dtype=np.float32)  # everything equal: a collapsed encoder
    indices, _ = nearest(ones, ones[:3], k=20)
    assert indices.tolist() == [list(range(20))] * 3


def test_equal_scores_above_the_last_one_also_come_in_order():
    train = angles(30, 0, 80, 0, 30)
    indices, _ = nearest(train, angles(0), k=4)
    assert indices.tolist() == [[1, 3, 0, 4]]


def test_blocks_change_nothing(rng: Rng, monkeypatch: pytest.MonkeyPatch):
    train, test = rng.integers(-1, 2, (60, 3)).astype(np.float32), rng.integers(-1, 2, (40, 3)).astype(np.float32)
    whole = nearest(train, test, k=7)[0]
    monkeypatch.setattr(knn_module, "_BLOCK_BYTES", 4 * 60 * 3)  # three test clips at a time
    np.testing.assert_array_equal(nearest(train, test, k=7)[0], whole)


def test_neighbours_are_those_of_scikit_learn(rng: Rng):
    train, test, y = rng.normal(size=(200, 16)), rng.normal(size=(50, 16)), rng.integers(0, 5, 200)
    theirs = KNeighborsClassifier(n_neighbors=20, metric="cosine").fit(train, y)
    ours, _ = nearest(train, test, k=20)
    np.testing.assert_array_equal(ours, theirs.kneighbors(test, return_distance=False))
    one = KNeighborsClassifier(n_neighbors=1, metric="cosine").fit(train, y)
    np.testing.assert_array_equal(knn_predict(train, y, test, 1, 5), one.predict(test))
    votes = np.stack([np.bincount(row, minlength=5) for row in y[ours]])
    clear = np.sort(votes, axis=1)[:, -1] > np.sort(votes, axis=1)[:, -2]  # equal votes are settled in another way
    assert clear.sum() > 20
    np.testing.assert_array_equal(knn_predict(train, y, test, 20, 5)[clear], theirs.predict(test)[clear])


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8, 1e30])
def test_neighbours_do_not_depend_on_the_scale(rng: Rng, size: float):
    train, test = rng.normal(size=(50, 8)).astype(np.float32), rng.normal(size=(20, 8)).astype(np.float32)
    scale = np.float32(size)
    np.testing.assert_array_equal(nearest(scale * train, scale * test, 5)[0], nearest(train, test, 5)[0])
    raw = nearest(scale * train, scale * test, 5, "euclidean")[0]
    np.testing.assert_array_equal(raw, nearest(train, test, 5, "euclidean")[0])


def test_the_majority_wins_over_the_nearest():
    train, y = angles(10, 20, 25, 90), np.array([0, 1, 1, 0])
    assert knn_predict(train, y, angles(0), 1, 2).tolist() == [0]
    assert knn_predict(train, y, angles(0), 3, 2).tolist() == [1]


def test_equal_votes_go_to_the_nearer_class_then_to_the_lower():
    # two votes each; class 1 sums cos 10 + cos 50 = 1.6276, class 2 sums cos 30 + cos 40 = 1.6321
    train, y = angles(10, 50, -30, -40), np.array([1, 1, 2, 2])
    assert knn_predict(train, y, angles(0), 4, 3).tolist() == [2]
    # exactly equal sums: the lower class, wherever it stands
    even = np.array([[1, 0], [1, 0]], dtype=np.float32)
    assert knn_predict(even, np.array([2, 1]), even[:1], 2, 3).tolist() == [1]


def test_accuracy_is_the_share_of_clips_that_are_right():
    train, y = angles(0, 90, 180), np.array([0, 1, 2])
    test = angles(10, 80, 100, 170)  # found: 0 1 1 2
    assert knn_accuracy(train, y, test, np.array([0, 1, 2, 2]), 1, 3) == 0.75


def test_classes_are_those_of_the_set_not_of_the_test_part():
    """Sized by the test part (one class), the vote for class 4 would fall outside."""
    train, y = angles(0, 90), np.array([4, 0])
    assert knn_accuracy(train, y, angles(5), np.array([0]), 1, 5) == 0.0


def test_more_neighbours_than_clips_are_all_clips():
    train, y = angles(0, 10, 90), np.array([1, 1, 0])
    assert knn_predict(train, y, angles(90), 20, 2).tolist() == [1]


def test_features_that_are_not_finite_are_counted_and_the_first_is_named():
    bad = np.ones((5, 3), dtype=np.float32)
    bad[2, 1], bad[4, 0] = np.nan, np.inf
    for call in (
        lambda: nearest(bad, bad[:1], 1),
        lambda: linear_probe(bad, np.array([0, 1, 0, 1, 0])),
        lambda: tsne(bad),
        lambda: silhouette(bad, np.array([0, 1, 0, 1, 0])),
    ):
        with pytest.raises(InputError, match=r"2 of 5 clips .* the first is clip 2\b"):
            call()


@pytest.mark.parametrize("k", [0, 4])
def test_a_number_of_neighbours_that_cannot_be_is_refused(k: int):
    with pytest.raises(InputError, match=rf"1\.\.3, .* it is {k}"):
        nearest(angles(0, 1, 2), angles(0), k)


# --- the linear probe -------------------------------------------------------------------------------------------------


def blobs(rng: Rng, count: int, classes: int = 4, width: int = 16) -> tuple[np.ndarray, np.ndarray]:
    y = np.arange(count) % classes
    return (3 * np.eye(classes, width)[y] + rng.normal(size=(count, width))).astype(np.float32), y


def test_the_cut_lies_between_two_classes():
    """-3 and -1 against 1 and 3: by symmetry the classes change at 0."""
    x, y = np.array([[-3.0], [-1.0], [1.0], [3.0]]), np.array([0, 0, 1, 1])
    probe = linear_probe(x, y)
    assert rank_classes(probe, np.array([[-0.01], [0.01]]))[:, 0].tolist() == [0, 1]
    assert probe["classify"].coef_.size + probe["classify"].intercept_.size == 2


def test_the_scaler_sees_training_clips_only(rng: Rng):
    x, y = blobs(rng, 80)
    probe = linear_probe(x, y)
    rank_classes(probe, x + 1000)
    np.testing.assert_allclose(probe["scale"].mean_, x.astype(np.float64).mean(axis=0))
    np.testing.assert_allclose(probe["scale"].scale_, x.astype(np.float64).std(axis=0))


def test_it_trains_width_times_classes_numbers_and_one_for_each_class(rng: Rng):
    x, y = blobs(rng, 200, classes=10, width=256)
    probe = linear_probe(x, y)
    assert probe["classify"].coef_.size + probe["classify"].intercept_.size == 2570
    assert converged(probe)


@pytest.mark.parametrize("scale", [1e-8, 1e8])
def test_it_does_not_depend_on_the_scale(rng: Rng, scale: float):
    x, y = blobs(rng, 120)
    test, y_test = blobs(rng, 400)
    size = np.float32(scale)
    plain = top_k_accuracy(rank_classes(linear_probe(x, y), test), y_test, 1)
    other = top_k_accuracy(rank_classes(linear_probe(size * x, y), size * test), y_test, 1)
    assert 0.8 < plain < 1
    assert abs(plain - other) <= 2 / 400


def test_feature_that_never_changes_does_no_harm(rng: Rng):
    x, y = blobs(rng, 80)
    dead = np.concatenate([x, np.full((80, 1), 0.1, dtype=np.float32), np.zeros((80, 1), dtype=np.float32)], axis=1)
    np.testing.assert_array_equal(rank_classes(linear_probe(dead, y), dead), rank_classes(linear_probe(x, y), x))


def test_random_labels_give_chance(rng: Rng):
    x, test = rng.normal(size=(400, 16)), rng.normal(size=(2000, 16))
    y, y_test = rng.integers(0, 4, 400), rng.integers(0, 4, 2000)
    linear = top_k_accuracy(rank_classes(linear_probe(x, y), test), y_test, 1)
    near = knn_accuracy(x, y, test, y_test, 1, 4)
    spread = np.sqrt(0.25 * 0.75 / 2000)
    assert abs(linear - 0.25) < 4 * spread
    assert abs(near - 0.25) < 4 * spread


@pytest.mark.parametrize("classes", [2, 4])
def test_scores_are_the_logits_of_the_probes_probabilities(rng: Rng, classes: int):
    x, y = blobs(rng, 80, classes=classes)
    probe = linear_probe(x, y)
    np.testing.assert_allclose(softmax(class_scores(probe, x), axis=1), probe.predict_proba(x), atol=1e-12)


def test_top_k_counts_the_first_k():
    ranked, y = np.array([[2, 0, 1], [1, 2, 0], [0, 1, 2]]), np.array([2, 0, 1])
    assert [round(3 * top_k_accuracy(ranked, y, k)) for k in (1, 2, 3, 5)] == [1, 2, 3, 3]


def test_a_class_without_training_clips_is_never_found(rng: Rng):
    x, y = blobs(rng, 40)
    y = np.where(y == 2, 7, y)  # classes 0 1 3 7; 2 has no clip
    ranked = rank_classes(linear_probe(x, y), x)
    assert set(ranked.ravel().tolist()) == {0, 1, 3, 7}
    assert top_k_accuracy(ranked, np.full(40, 2), 5) == 0


def test_one_class_is_no_problem_to_learn(rng: Rng):
    with pytest.raises(InputError, match="at least 2 classes"):
        linear_probe(rng.normal(size=(5, 2)), np.zeros(5, dtype=np.int64))


# --- clusters ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("count", "wanted"), [(3, 2 / 3), (4, 1.0), (12, 11 / 3), (90, 89 / 3), (1000, 30.0)])
def test_perplexity_stays_below_a_third_of_the_clips(count: int, wanted: float):
    assert clamp_perplexity(30, count) == pytest.approx(wanted)
    assert clamp_perplexity(30, count) < count / 3


@pytest.mark.parametrize("count", [1, 2])
def test_too_few_clips_for_a_map_is_a_sentence(count: int):
    with pytest.raises(InputError, match=f"at least 3 clips; there (is|are) {count}"):
        tsne(np.ones((count, 4), dtype=np.float32))


@pytest.mark.parametrize("count", [3, 12, 40])
def test_a_map_is_the_same_twice_and_says_its_settings(rng: Rng, count: int):
    x = rng.normal(size=(count, 60)).astype(np.float32)
    first, second = tsne(x, seed=3), tsne(x, seed=3)
    assert first.points.shape == (count, 2)
    assert np.isfinite(first.points).all()
    np.testing.assert_array_equal(first.points, second.points)
    assert f"perplexity {first.perplexity:.3g}" in first.caption
    assert "seed 3" in first.caption


def test_a_large_map_is_the_same_twice_as_well(rng: Rng, monkeypatch: pytest.MonkeyPatch):
    pytest.importorskip("openTSNE")
    monkeypatch.setattr("hiclr.evaluation.clusters._LARGE", 50)
    x = rng.normal(size=(60, 12)).astype(np.float32)
    maps = [tsne(x, seed=seed) for seed in (1, 1, 2)]
    assert maps[0].method == "openTSNE"
    np.testing.assert_array_equal(maps[0].points, maps[1].points)
    assert not np.array_equal(maps[0].points, maps[2].points)


def test_a_map_keeps_neighbours_whatever_the_scale(rng: Rng):
    x = (20 * np.eye(3, 10)[np.arange(60) % 3] + rng.normal(size=(60, 10))).astype(np.float32)
    for scale in (1, 1e-8):
        points = tsne(np.float32(scale) * x).points
        inside = points[np.arange(60) % 3 == 0]
        centres = np.stack([points[np.arange(60) % 3 == c].mean(axis=0) for c in range(3)])
        assert (
            np.linalg.norm(inside - centres[0], axis=1).max() < np.linalg.norm(centres[1:] - centres[0], axis=1).min()
        )


@pytest.mark.parametrize("x", [np.zeros((9, 4)), np.ones((9, 4)), np.arange(9.0)[:, None]])
def test_features_without_spread_or_of_one_number_still_give_a_map(x: np.ndarray):
    points = tsne(x).points
    assert np.isfinite(points).all()
    np.testing.assert_array_equal(tsne(x).points, points)


def test_the_silhouette_of_right_angles():
    """Own class at distance 0, the other at 1 - cos 90 = 1: (1 - 0) / 1 = 1. One clip swapped over: worked below."""
    x = angles(0, 0, 90, 90)
    assert silhouette(x, np.array([0, 0, 1, 1])) == pytest.approx(1)
    # classes mixed: own at 1, other (0 + 1) / 2 = 0.5 away: (0.5 - 1) / 1 = -0.5 for each of the four
    assert silhouette(x, np.array([0, 1, 0, 1])) == pytest.approx(-0.5)


def test_purity_counts_the_neighbours_of_the_same_class():
    x, y = angles(0, 1, 3, 90, 91), np.array([0, 0, 1, 1, 1])
    # nearest other clip: 0 -> 1 (same), 1 -> 0 (same), 2 -> 1 (other), 3 -> 4, 4 -> 3
    assert neighbour_purity(x[[0, 2, 3, 4]], y[[0, 2, 3, 4]], k=1) == pytest.approx(2 / 3)  # 0 is alone, 2 -> 0 no
    # as many as the class has others: 0 -> 1, 1 -> 0, 2 -> 1 and 0, 3 -> 4 and 2, 4 -> 3 and 2
    assert neighbour_purity(x, y, k=99) == pytest.approx((1 + 1 + 0 + 1 + 1) / 5)
    # a clip alone in its class asks for nothing
    assert neighbour_purity(x, np.array([0, 0, 1, 2, 2]), k=99) == 1
    assert np.isnan(neighbour_purity(x, np.arange(5)))


def test_a_clip_is_never_its_own_neighbour_even_among_its_copies():
    same = np.ones((30, 4), dtype=np.float32)
    y = np.r_[0, np.ones(28, dtype=np.int64), 2]
    # each looks at the first clips that are not itself: 0 -> 1 (differs), 1 -> 0 (differs) … 29 -> 0 (differs)
    assert neighbour_purity(same, y, k=1) == 0


# --- floors -----------------------------------------------------------------------------------------------------------

LINE = Layout("line", ("hip", "hand"), (0, 0), (), centre=1)


def one_joint(*heights: float, names: str = "c") -> SkeletonSet:
    """Clips of 3 frames: the hip wanders, the hand stays this high above it."""
    count = len(heights)
    x = np.zeros((count, 3, 3, 2, 1), dtype=np.float32)
    x += np.random.default_rng(1).normal(size=(count, 3, 3, 1, 1)).astype(np.float32)
    x[:, 1, :, 1, 0] += np.array(heights, dtype=np.float32)[:, None]
    return SkeletonSet.from_arrays(x, np.zeros(count, dtype=int), layout=LINE, names=[f"{names}{h}" for h in heights])


def test_raw_coordinates_are_seen_from_the_root_in_every_frame():
    flat = raw_coordinates(one_joint(2.0, 5.0), np.array([0, 1])).view(2, 3, 3, 2, 1)
    wanted = torch.zeros(2, 3, 3, 2, 1)
    wanted[:, 1, :, 1, 0] = torch.tensor([[2.0], [5.0]])  # the hip at 0, wherever it wandered
    torch.testing.assert_close(flat, wanted, atol=1e-6, rtol=0)


def test_the_raw_neighbour_is_the_closest_training_clip(monkeypatch: pytest.MonkeyPatch):
    clips = one_joint(1.0, 9.0, 4.0, 5.5, 8.9, 1.2)
    train, test = np.array([0, 1, 2]), np.array([3, 4, 5])
    assert raw_nearest(clips, train, test).tolist() == [2, 1, 0]
    monkeypatch.setattr("hiclr.evaluation.floors._CLIPS", 1)
    assert raw_nearest(clips, train, test).tolist() == [2, 1, 0]
    assert raw_nearest(one_joint(1.0, 2.0, 3.0).subset([0, 2, 1]), np.array([1, 0]), np.array([2])).tolist() in (
        [1],
        [0],
    )


def test_the_raw_floor_looks_at_the_frames_that_are_there():
    """A clip of 2 frames padded to 6 and the same one stretched over all 6 are one and the same."""
    full = np.zeros((2, 3, 6, 2, 1), dtype=np.float32)
    full[:, :, :, :, 0] = 1.0
    full[0, 1, :, 1, 0] = 3.0
    full[1, 1, :2, 1, 0], full[1, :, 2:] = 3.0, 0.0
    clips = SkeletonSet.from_arrays(full, np.array([0, 1]), layout=LINE)
    a, b = raw_coordinates(clips, np.array([0, 1]))
    torch.testing.assert_close(a, b)


def test_raw_positions_that_are_not_finite_are_named():
    clips = one_joint(1.0, 2.0)
    assert isinstance(clips.x, np.ndarray)
    clips.x[1, 0, 0, 0, 0] = np.nan
    with pytest.raises(InputError, match=r"1 clips .* c2\.0"):
        raw_coordinates(clips, np.array([0, 1]))


def test_chance_by_hand():
    found = chance(np.array([0, 1, 1, 2]), np.array([1, 1, 0, 2, 2]), num_classes=4)
    assert found == {"uniform": 0.25, "majority": 0.4}


# --- the report -------------------------------------------------------------------------------------------------------

TINY = replace(
    PRESETS["small"], epochs=2, batch_size=8, frames=12, channels=8, features=8, projection=8, device="cpu", seed=3
)


def swinging(count: int = 60, classes: int = 3, **more: Any) -> SkeletonSet:
    """Actions that differ in how fast the arms go up and down; every third clip is a test clip."""
    rng = np.random.default_rng(0)
    y = np.arange(count) % classes
    x = np.zeros((count, 3, 16, 25, 1)) + rng.normal(0, 0.3, (1, 3, 1, 25, 1))
    phase = np.linspace(0, 2 * np.pi, 16) * (1 + y[:, None]) + rng.uniform(0, 1, (count, 1))
    x[:, 1, :, 4:12, 0] += np.sin(phase)[:, :, None] * np.linspace(0.1, 0.4, 8)
    x += rng.normal(0, 0.01, x.shape)
    more.setdefault("test", np.arange(count) // classes % 3 == 2)
    return SkeletonSet.from_arrays(x, y, layout=NTU_25, source="swinging", **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Only copied: what is measured is kept in a run's folder, and would stay in the answers of later tests."""
    train, _ = swinging().split()
    run = prepare_run(tmp_path_factory.mktemp("evaluation") / "swing", TINY, train)
    list(pretrain(train, TINY, run))
    return run


@pytest.fixture
def run(trained: Run, tmp_path: Path) -> Run:
    """A folder of the test's own, in which nothing has been measured."""
    return copied(trained, tmp_path)


@pytest.fixture(scope="module")
def measured(trained: Run, tmp_path_factory: pytest.TempPathFactory) -> tuple[Run, dict[str, Any]]:
    run = copied(trained, tmp_path_factory.mktemp("measured"))
    return run, evaluate(run, swinging(), device="cpu")


@pytest.fixture(scope="module")
def result(measured: tuple[Run, dict[str, Any]]) -> dict[str, Any]:
    return measured[1]


def test_the_answer_has_the_names_that_others_read(measured: tuple[Run, dict[str, Any]]):
    run, result = measured
    assert result["data"] == {"train": 42, "test": 18, "classes": 3}
    assert set(result["linear"]) == {"top1", "top5"}
    assert set(result["knn"]) == {"1", "5", "20"}
    assert {"raw_1nn", "random_linear", "random_knn_1"} <= set(result["baseline"])
    assert (result["run"], result["seed"], result["protocol"], result["epoch"]) == ("swing", 3, "test", 2)
    assert result["synthetic"] is False
    assert json.loads((run.path / "results.json").read_text()) == result


def test_every_part_of_the_answer_can_be_worked_out_again(result: dict[str, Any], run: Run):
    clips = swinging()
    train, test = clips.split_indices()
    x = features(run, clips, views=("clean",), device="cpu")["clean"]
    near = knn_accuracy(x[train], clips.y[train], x[test], clips.y[test], 1, 3)
    assert result["knn"]["1"] == round(100 * near, 2)
    raw = clips.y[raw_nearest(clips, train, test)] == clips.y[test]
    assert result["baseline"]["raw_1nn"] == round(100 * raw.mean(), 2)
    start = extract(random_encoder(TINY, NTU_25), clips, TINY)
    assert not np.allclose(start, x)
    near = knn_accuracy(start[train], clips.y[train], start[test], clips.y[test], 1, 3)
    assert result["baseline"]["random_knn_1"] == round(100 * near, 2)
    np.testing.assert_array_equal(random_features(run, clips, "cpu"), start)
    assert result["chance"] == {"uniform": 33.33, "majority": 33.33}
    assert result["linear"]["top5"] == 100  # of 3 classes


def test_the_linear_figures_are_scikit_learns(run: Run):
    """Labels by the dice: neither encoder is right everywhere."""
    clips = replace(swinging(), y=np.random.default_rng(4).integers(0, 3, 60))
    train, test = clips.split_indices()
    found = evaluate(run, clips, ["linear"], device="cpu")
    for figure, encoder in (
        (found["linear"]["top1"], load_encoder(run)),
        (found["baseline"]["random_linear"], random_encoder(TINY, NTU_25)),
    ):
        x = extract(encoder, clips, TINY).astype(np.float64)
        probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000)).fit(x[train], clips.y[train])
        assert 0 < figure < 100
        assert figure == round(100 * probe.score(x[test], clips.y[test]), 2)


def test_the_order_of_clips_changes_nothing(result: dict[str, Any], run: Run):
    order = np.random.default_rng(1).permutation(60)
    shuffled = evaluate(run, swinging().subset(order), device="cpu")
    for key in ("linear", "knn", "baseline", "chance", "data"):
        assert shuffled[key] == pytest.approx(result[key], abs=100 / 18 + 0.01)  # features differ in the last bit


@pytest.mark.parametrize(("protocol", "other"), [("knn", "linear"), ("linear", "knn")])
def test_one_protocol_gives_one_and_its_floors(run: Run, protocol: str, other: str):
    only = evaluate(run, swinging(), protocols=[protocol], device="cpu")
    assert protocol in only and other not in only
    expected = {"linear": {"random_linear"}, "knn": {f"random_knn_{k}" for k in (1, 5, 20)}}[protocol]
    assert set(only["baseline"]) == {"raw_1nn"} | expected
    assert "raw 1-NN" in table(only)


def test_an_unknown_protocol_is_named_with_those_there_are(run: Run):
    with pytest.raises(InputError, match=r"'cross-subject'; there are: linear, knn"):
        evaluate(run, swinging(), protocols=["cross-subject"])


def test_a_set_without_test_part_is_a_sentence(run: Run):
    with pytest.raises(InputError, match="no train and test part"):
        evaluate(run, swinging(test=None))


def test_other_joints_are_refused(run: Run):
    x = np.zeros((6, 3, 4, 2, 1), dtype=np.float32)
    other = SkeletonSet.from_arrays(x, np.arange(6) % 2, layout=LINE, test=np.arange(6) > 3)
    with pytest.raises(InputError, match="25 joints"):
        evaluate(run, other)


def test_a_run_without_checkpoint_is_a_sentence(tmp_path: Path):
    clips = swinging()
    run = prepare_run(tmp_path / "empty", TINY, clips.split()[0])
    with pytest.raises(InputError, match="no checkpoint yet"):
        evaluate(run, clips)


def test_what_a_reader_must_know_is_noted(run: Run):
    x = swinging().clips(slice(None)).numpy()
    x[2 * 3] = x[0]  # a test clip equal to a training clip
    y = np.arange(60) % 3
    y[8] = 3  # a test clip of a class without training clips
    test = np.arange(60) // 3 % 3 == 2
    clips = SkeletonSet.from_arrays(x, y, test=test, classes="abcd", synthetic=True)
    notes = " ".join(evaluate(run, clips, device="cpu")["notes"])
    for text in ("synthetic", "pretrained on other clips", "class d", "1 test clips are equal"):
        assert text in notes


def test_a_result_that_is_not_above_its_floors_says_so():
    found = {"epoch": 3, "linear": {"top1": 58.6}, "knn": {"1": 68.5, "5": 70.0}}
    floors = {"raw_1nn": 77.9, "random_linear": 74.3, "random_knn_1": 60.0, "random_knn_5": 70.0}
    (note,) = below_floors({**found, "baseline": floors})
    assert "kNN, k = 1 68.50 (raw 1-NN: 77.90); linear, top-1 58.60 (random encoder, linear, top-1: 74.30). " in note
    assert "k = 5" not in note and "random encoder, kNN, k = 1:" not in note
    assert below_floors({**found, "epoch": 0, "baseline": floors}) == []  # that is no pretraining
    assert below_floors({**found, "baseline": {"raw_1nn": 68.4, "random_linear": 58.5}}) == []
    assert below_floors({"epoch": 3, "linear": {"top1": 100.0}, "baseline": {"random_linear": 100.0}}) == []


def test_a_plain_result_needs_no_note(result: dict[str, Any]):
    notes = [note for note in result["notes"] if not note.startswith(BELOW)]  # two epochs: it may lose, and says so
    assert notes == ["Top-5 of 3 classes is always right, so the table leaves it out."]


def test_few_training_clips_are_said(run: Run):
    few = evaluate(run, swinging(18), device="cpu")
    assert any("k = 20 takes all 12" in note for note in few["notes"])


def test_the_table_says_what_the_numbers_are_of(result: dict[str, Any]):
    text = table({**result, "synthetic": True})
    for part in ("swing", "seed 3", "protocol test", "(synthetic)", "random encoder", "raw 1-NN", "chance", "classes"):
        assert part in text
    assert f"{result['linear']['top1']:.2f}" in text
    assert "by cosine on the encoder's features, before its projection head" in text
    assert "projection" not in table({name: value for name, value in result.items() if name != "knn"})


@pytest.mark.parametrize(
    ("percent", "count", "low", "high"),
    [(50, 100, 40.38, 59.62), (100, 96, 96.15, 100.0), (0, 96, 0.0, 3.85), (75, 747, 71.77, 77.97)],
)
def test_intervals_are_wilsons(percent: float, count: int, low: float, high: float):
    """By hand: (p + z²/2n ± z sqrt(p(1-p)/n + z²/4n²)) / (1 + z²/n), z = 1.96; at p = 1 from 1 / (1 + z²/n) on."""
    assert interval(percent, count) == pytest.approx((low, high), abs=0.01)


def test_every_accuracy_has_its_interval(result: dict[str, Any]):
    for name in ("linear", "knn", "baseline"):
        assert result["intervals"][name].keys() == result[name].keys()
        for key, (low, high) in result["intervals"][name].items():
            assert 0 <= low <= result[name][key] <= high <= 100


def test_top_5_of_few_classes_is_left_out_of_the_table(result: dict[str, Any]):
    few = result["data"]["classes"] <= 5
    assert few == ("top-5" not in table(result))
    many = table({**result, "data": {**result["data"], "classes": 6}})
    assert "linear top-5" in many


def test_an_untrained_encoder_is_not_called_pretrained(result: dict[str, Any]):
    text = table({**result, "epoch": 0})
    assert "untrained (epoch 0)" in text
    assert "pretrained" not in text


def test_what_was_measured_before_stays_and_another_split_has_a_file_of_its_own(run: Run):
    clips = swinging()
    half = np.arange(len(clips)) % 2 == 0
    clips = replace(clips, protocols={**clips.protocols, "every/second": half})
    before = evaluate(run, clips, protocols=["knn"], device="cpu")
    after = evaluate(run, clips, protocols=["linear"], device="cpu")
    assert after["knn"] == before["knn"]
    assert {"random_linear", "random_knn_1", "random_knn_20", "raw_1nn"} <= after["baseline"].keys()
    kept = (run.path / "results.json").read_bytes()
    other = evaluate(run, clips, split="every/second", device="cpu")
    assert (run.path / "results.json").read_bytes() == kept
    path = results_path(run, clips, "every/second")
    assert path.name == "results.every_second.json"
    assert json.loads(path.read_text()) == other
    again = evaluate(run, replace(clips, y=clips.y[::-1].copy()), protocols=["linear"], device="cpu")
    assert "knn" not in again, "numbers of other clips are not carried over"
    said: list[str] = []
    back = evaluate(run, clips, protocols=["linear"], device="cpu", say=said.append)
    assert back["knn"] == before["knn"], "and were put aside, not lost"
    assert set(load_predictions(run.path / "predictions.npz").classes) >= {"linear/top1", "knn/1"}
    (aside,) = (run.path / "results").glob("*.json")  # those of the other clips now
    assert any(line.endswith(f"is kept as {aside}") for line in said)
    assert json.loads(aside.read_text())["fingerprint"] == again["fingerprint"]
    (run.path / "results.json").write_bytes(kept.replace(b'"epoch": 2', b'"epoch": 1'))
    assert b'"epoch": 1' in (run.path / "results.json").read_bytes()
    again = evaluate(run, clips, protocols=["linear"], device="cpu")
    assert "knn" not in again, "nor those of another epoch"


def test_numbers_of_other_parts_or_weights_are_not_carried_over(run: Run, monkeypatch: pytest.MonkeyPatch):
    clips = swinging()
    (name,) = clips.protocols
    before = evaluate(run, clips, protocols=["knn"], device="cpu")
    older = {key: value for key, value in before.items() if key not in ("weights", "parts")}
    (run.path / "results.json").write_text(json.dumps(older))
    kept = load_predictions(run.path / "predictions.npz")
    replace(kept, of=json.dumps(json.loads(kept.of)[:5])).save(run.path / "predictions.npz")
    assert "knn" in evaluate(run, clips, protocols=["linear"], device="cpu")
    assert {"linear/top1", "knn/1"} <= set(load_predictions(run.path / "predictions.npz").classes)
    (run.path / "results.json").write_text(json.dumps(older))  # they are found where they are put aside, too
    evaluate(run, replace(clips, y=clips.y[::-1].copy()), protocols=["linear"], device="cpu")
    assert "knn" in evaluate(run, clips, protocols=["linear"], device="cpu")
    assert len(list((run.path / "results").glob("*.json"))) == 1  # those of the other clips
    (run.path / "results.json").write_text("null")
    assert "knn" not in evaluate(run, clips, protocols=["linear"], device="cpu")
    moved = replace(clips, protocols={name: np.roll(clips.protocols[name], 1)})  # as many, others
    assert moved.fingerprint == clips.fingerprint
    other = evaluate(run, moved, protocols=["linear"], device="cpu")
    assert "knn" not in other and other["data"] == {**other["data"], "test": int(clips.protocols[name].sum())}
    kept = load_predictions(run.path / "predictions.npz")
    assert set(kept.classes) == {"linear/top1"}
    assert set(kept.names) == {moved.names[i] for i in moved.split_indices()[1]}
    evaluate(run, clips, protocols=["knn"], device="cpu")
    latest = run.latest()
    assert latest is not None
    state = {key: value + 1 if value.is_floating_point() else value for key, value in latest[0]["model"].items()}
    monkeypatch.setattr(Run, "latest", lambda _: ({**latest[0], "model": state}, latest[1]))  # saved within an epoch
    assert "knn" not in evaluate(run, clips, protocols=["linear"], device="cpu")


@pytest.mark.parametrize("seed", [-1, 2**40])
def test_any_seed_that_can_be_trained_with_can_be_evaluated(run: Run, seed: int):
    if seed < 0:
        with pytest.raises(InputError, match="seed must be a whole number from 0"):
            replace(PRESETS["small"], seed=seed)
        return
    other = replace(run, config={**run.config, "seed": seed})
    assert evaluate(other, swinging(), device="cpu")["seed"] == seed


def test_a_new_protocol_is_one_function(run: Run, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(PROTOCOLS, "always", lambda part, _: Outcome({"share": len(part.test) / 18}))
    assert evaluate(run, swinging(), protocols=["always"], device="cpu")["always"] == {"share": 100.0}


def test_the_untrained_floor_is_where_the_run_started(run: Run):
    """A run of the same seed that has not learned anything gives the random floor itself."""
    assert PretrainConfig.from_dict(run.config).seed == 3
    clips = swinging()
    fresh = prepare_run(run.path.parent / "fresh", TINY, clips.split()[0])
    generator = pretrain(clips.split()[0], TINY, fresh)
    next(generator)  # the start is saved as epoch 0; go back to it
    generator.close()
    for slot in fresh.path.glob("checkpoint-b.pt*"):
        slot.unlink()
    answer = evaluate(fresh, clips, device="cpu")
    assert answer["epoch"] == 0
    assert answer["linear"]["top1"] == answer["baseline"]["random_linear"]
    assert answer["knn"]["1"] == answer["baseline"]["random_knn_1"]
    assert any("not finished: 0 of 2" in note for note in answer["notes"])


# --- every protocol ---------------------------------------------------------------------------------------------------

ACTED = {"subject": np.arange(60) // 3 % 6}
MEASURED = [name for name in PROTOCOLS if name != "one-shot"]  # which needs the names of NTU RGB+D 120


@pytest.fixture(scope="module")
def acted(tmp_path_factory: pytest.TempPathFactory) -> Run:
    train, _ = swinging(ids=ACTED).split()
    run = prepare_run(tmp_path_factory.mktemp("all") / "swing", TINY, train)
    list(pretrain(train, TINY, run))
    return run


@pytest.fixture(scope="module")
def everything(acted: Run) -> dict[str, Any]:
    """The networks that were used are, buffers and all, what they were."""
    used: list[tuple[torch.nn.Module, str]] = []

    def watched(network: torch.nn.Module, *given: Any) -> np.ndarray:
        used.append((network, weights_digest(network)))
        return extract(network, *given)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hiclr.features.extract", watched)
        found = evaluate(acted, swinging(ids=ACTED), ["all"], device="cpu")
    assert len({digest for _, digest in used}) == 3  # pretrained, with its projection head, untrained
    for network, before in used:
        assert any(name.endswith("num_batches_tracked") for name in network.state_dict())
        assert weights_digest(network) == before
    return found


def test_all_is_every_protocol_and_what_does_not_fit_is_a_note(everything: dict[str, Any], acted: Run):
    assert [name for name in PROTOCOLS if name in everything] == MEASURED
    assert any("one-shot is not measured: " in note and "20 exemplars" in note for note in everything["notes"])
    with pytest.raises(InputError, match="20 exemplars"):
        evaluate(acted, swinging(ids=ACTED), ["one-shot"], device="cpu")
    assert json.loads((acted.path / "results.json").read_text()) == everything


def test_every_row_says_all_that_it_is_of(everything: dict[str, Any], acted: Run):
    rows = everything["rows"]
    assert {row["protocol"] for row in rows} == {*MEASURED, "baseline"}
    for row in rows:
        assert row["value"] == everything[row["protocol"]][row["measure"]]
        assert row["name"] == figure_name(row["protocol"], row["measure"])
        assert row["run"] == acted.path.name
        assert row["commit"] == everything["environment"]["commit"]
        assert row["seeds"] == {"pretraining": 3, "protocol": 0}
        assert (row["train"], row["test"], row["classes"]) == (42, 18, 3)
        assert row["fingerprint"] == swinging(ids=ACTED).fingerprint
        assert (row["split"], row["time"]) == ("test", everything["time"])
        assert row["seconds"] > 0
        if (row["protocol"], row["measure"]) in {("retrieval", "mAP"), ("knn", "20"), ("linear-mamp", "top1")}:
            assert row["over_subjects"][0] <= row["value"] <= row["over_subjects"][1]
        if row["interval"] is not None:
            assert 0 <= row["interval"][0] <= row["value"] <= row["interval"][1] <= 100
    assert {row["measure"] for row in rows if row["protocol"] == "retrieval"} >= {"mAP", "recall@5"}


def test_the_published_probes_show_last_and_best(everything: dict[str, Any]):
    for name in ("linear-hiclr", "linear-actclr", "linear-mamp", "linear-sgd"):
        one = everything[name]
        curve = one["curve"]
        assert curve["epoch"][-1] == one["epochs"] == 100
        assert one["top1"] == curve["top1"][-1]
        assert one["best_on_test"] == max(curve["top1"])
        assert one["best_epoch"] == curve["epoch"][curve["top1"].index(one["best_on_test"])]
        assert any(note.startswith(name) for note in everything["notes"])  # so few clips are said
    assert "best on test, as published code reports" in table(everything)
    assert (everything["linear-hiclr"]["rate"], everything["linear-actclr"]["rate"]) == (3, 24)


def test_the_rate_and_the_temperature_do_not_depend_on_test_labels(
    acted: Run, everything: dict[str, Any], tmp_path: Path
):
    """Every test clip gets another class: what is chosen stays as it is; what is measured does not."""
    clips = swinging(ids=ACTED)
    _, test = clips.split_indices()
    y = clips.y.copy()
    y[test] = (y[test] + 1) % 3
    names = ["linear-sgd", "calibration"]
    other = evaluate(copied(acted, tmp_path), replace(clips, y=y), names, device="cpu")
    assert other["linear-sgd"]["rate"] == everything["linear-sgd"]["rate"]
    assert other["calibration"]["temperature"] == everything["calibration"]["temperature"]
    assert other["linear-sgd"]["top1"] != everything["linear-sgd"]["top1"]
    assert [row["held_out"] for row in other["linear-sgd"]["rates"]] == [
        row["held_out"] for row in everything["linear-sgd"]["rates"]
    ]


def test_retrieval_and_nearest_neighbours_agree(everything: dict[str, Any]):
    assert everything["retrieval"]["recall@1"] == everything["knn"]["1"]
    assert everything["knn-projection"] != everything["knn"]


def test_people_and_classes_by_hand(everything: dict[str, Any], acted: Run):
    kept = load_predictions(acted.path / "predictions.npz")
    assert set(kept.classes) >= {"linear/top1", "knn/1", "knn/5", "knn/20", "linear-mamp/top1"}
    clips = swinging(ids=ACTED)
    _, test = clips.split_indices()
    assert kept.names == tuple(clips.names[i] for i in test)
    right = kept.classes["knn/1"] == clips.y[test]
    assert everything["knn"]["1"] == round(100 * right.mean(), 2)
    sure, rightly = kept.confidence["linear/top1"], kept.classes["linear/top1"] == clips.y[test]
    assert 100 * reliability(sure, rightly).error == pytest.approx(everything["calibration"]["ece"], abs=0.01)
    spread = everything["statistics"]["knn"]["1"]
    for number in (2, 5):
        mine = right[clips.ids["subject"][test] == number]
        assert spread["per_subject"][str(number)] == round(100 * mine.mean(), 2)
    for c in range(3):
        assert spread["per_class"][str(c)] == round(100 * right[clips.y[test] == c].mean(), 2)
    assert spread["mean_class"] == everything["knn"]["1"]  # six test clips of each class
    assert spread["over_subjects"][0] <= everything["knn"]["1"] <= spread["over_subjects"][1]


def test_runs_are_compared_clip_by_clip_whatever_their_order(acted: Run, everything: dict[str, Any]):
    kept = load_predictions(acted.path / "predictions.npz")
    order = np.random.default_rng(2).permutation(len(kept.y))
    said = {name: value[order] for name, value in kept.classes.items()}
    said["linear/top1"] = kept.y[order]  # the other run is right everywhere
    other = replace(kept, names=tuple(kept.names[i] for i in order), y=kept.y[order], classes=said)
    assert compare(kept, other, "knn/1").only_first == compare(kept, other, "knn/1").only_second == 0
    found = compare(kept, other)
    assert found.only_second == round(18 * (1 - everything["linear"]["top1"] / 100))
    assert 100 * found.difference == pytest.approx(100 - everything["linear"]["top1"], abs=0.01)
    assert kept.subjects is not None
    assert found.over_subjects == bootstrap((kept.classes["linear/top1"] != kept.y).astype(int), kept.subjects)
    for wrong, text in (
        (replace(other, names=("x", *other.names[1:])), "17 are in both"),
        (replace(other, y=(other.y + 1) % 3), "other classes"),
        (replace(other, classes={}), "no predictions of 'linear/top1'"),
    ):
        with pytest.raises(InputError, match=text):
            compare(kept, wrong)


def test_predictions_that_are_not_there_or_torn_are_a_sentence(tmp_path: Path):
    with pytest.raises(InputError, match="evaluate the run first"):
        load_predictions(tmp_path / "predictions.npz")
    (tmp_path / "torn.npz").write_bytes(b"PK torn")
    with pytest.raises(InputError, match="Evaluate the run again"):
        load_predictions(tmp_path / "torn.npz")


def test_what_was_measured_before_keeps_its_rows_and_predictions(
    acted: Run, everything: dict[str, Any], tmp_path: Path
):
    clips, run = swinging(ids=ACTED), copied(acted, tmp_path)
    again = evaluate(run, clips, ["knn"], device="cpu")
    for key in ("linear", "calibration", "linear-mamp"):
        assert again[key] == everything[key]
    assert again["statistics"].keys() == everything["statistics"].keys()
    assert again["intervals"].keys() == everything["intervals"].keys()
    assert len(again["rows"]) == len(everything["rows"])
    assert "linear/top1" in load_predictions(run.path / "predictions.npz").classes


@pytest.mark.parametrize("kind", ["tcn", "stgcn", "dsta"])
def test_a_clip_has_the_same_features_alone_and_among_others(acted: Run, kind: Any):
    """The trained encoder, and untrained ones of the other kinds."""
    clips, config = swinging(ids=ACTED), replace(TINY, encoder=kind)
    encoder = load_encoder(acted) if kind == TINY.encoder else random_encoder(config, NTU_25)
    together = extract(encoder, clips, config)
    for index in (0, 31, 59):
        alone = extract(encoder, clips.subset([index]), config)[0]
        np.testing.assert_allclose(alone, together[index], rtol=0, atol=1e-5 * np.abs(together).max())


def test_the_projection_is_the_head_behind_the_encoder(acted: Run):
    clips, both = swinging(ids=ACTED), load_projection(acted)
    assert not both.training
    encoded = torch.from_numpy(extract(load_encoder(acted), clips, TINY))
    with torch.no_grad():
        np.testing.assert_allclose(extract(both, clips, TINY), both[1](encoded).numpy(), atol=1e-5)


def test_the_parts_are_disjoint_by_name_and_content(acted: Run, tmp_path: Path):
    clips = swinging(ids=ACTED)
    train, test = clips.split_indices()
    assert not {clips.names[i] for i in train} & {clips.names[i] for i in test}
    contents = [{clips.clips([i]).numpy().tobytes() for i in part} for part in (train, test)]
    assert not contents[0] & contents[1]
    x = clips.clips(slice(None)).numpy()
    x[test[0]] = x[train[0]]  # found where it is not so
    found = evaluate(copied(acted, tmp_path), replace(clips, x=x), ["knn"], device="cpu")["notes"]
    assert any("1 test clips are equal to a training clip" in note for note in found)


def test_features_that_are_random_and_labels_too_give_chance_within_the_interval(rng: Rng):
    """Whatever the protocol: 25 % of 4 classes lies in the interval of what it finds, mAP near the share of a class."""
    x, y = rng.normal(size=(900, 8)).astype(np.float32), rng.integers(0, 4, 900)
    part = Part(x[:300], y[:300], x[300:], y[300:], 4, subjects_train=np.arange(300) % 10)
    names = [name for name in MEASURED if name != "knn-projection"]
    found, _ = measure(part, names, [])
    for name, one in found.items():
        for key, share in one.shares.items():
            if key in ("top1", "1", "5", "20", "recall@1"):
                low, high = interval(100 * share, 600)
                assert low - 2 <= 25 <= high + 2, (name, key, share)  # 2: twelve intervals of 95 % each
    assert found["few-shot"].figures["4-way 1-shot"] == pytest.approx(0.25, abs=0.02)
    assert found["retrieval"].figures["mAP"] == pytest.approx(0.25, abs=0.02)
    assert found["calibration"].more["temperature"] > 1.5  # sure of nothing, in truth


def test_what_is_said_of_a_clip_does_not_depend_on_the_other_test_clips(rng: Rng):
    """A hundred times as large, and shifted, they would move any scaler that saw them."""
    (x, y), (test, y_test) = blobs(rng, 120), blobs(rng, 40)
    far = np.concatenate([test, 1000 + 100 * test]).astype(np.float32)
    names = ["linear", "knn", "linear-hiclr", "linear-actclr", "linear-mamp", "linear-sgd"]
    few, _ = measure(Part(x, y, test, y_test, 4), [*names, "calibration"], [])
    many, _ = measure(Part(x, y, far, np.tile(y_test, 2), 4), [*names, "calibration"], [])
    for name in names:
        assert few[name].predicted
        for key, said in few[name].predicted.items():
            np.testing.assert_array_equal(many[name].predicted[key][:40], said)
    np.testing.assert_allclose(many["linear"].confidence["top1"][:40], few["linear"].confidence["top1"])
    assert many["calibration"].more["temperature"] == few["calibration"].more["temperature"]


def test_test_clips_ask_for_each_other_and_never_for_themselves():
    """Test clips at 0, 10, 20 degrees, of classes 0 1 0: each sees a clip of the other class first, 1 has no other."""
    part, notes = Part(angles(0, 90), np.array([0, 1]), angles(0, 10, 20), np.array([0, 1, 0]), 2), list[str]()
    found = measure(part, ["retrieval"], notes)[0]["retrieval"]
    assert found.shares["within-test recall@1"] == 0
    assert found.shares["within-test recall@5"] == pytest.approx(2 / 3)
    assert found.figures["within-test mAP"] == pytest.approx(1 / 2)
    assert found.shares["recall@1"] == pytest.approx(2 / 3)  # the clip at 10 degrees is nearer to 0 than to 90
    assert "no other clip has the class of 1 clip," in notes[0]


def test_few_shot_asks_test_clips():
    """Test clips lie where the other class has its training clips."""
    y = np.arange(40) % 2
    part = Part(angles(*(90 * y)), y, angles(*(90 - 90 * y)), y, 2)
    assert set(measure(part, ["few-shot"], [])[0]["few-shot"].figures.values()) == {0}


def test_intervals_over_people_are_wider_where_people_differ():
    """4 people of 100 clips, two all right: any of 0..4 of 4 drawn people is right, P(0) = 1/16 > 2.5 %."""
    right, who, nothing = np.repeat([True, False, True, False], 100), np.repeat([3, 5, 8, 9], 100), np.zeros((400, 1))
    part = Part(nothing, np.zeros(400, dtype=int), nothing, np.zeros(400, dtype=int), 2, subjects_test=who)
    found = statistics_of(Outcome({}, predicted={"top1": np.where(right, 0, 1)}), part, ("a", "b"))["top1"]
    assert found["over_subjects"] == [0.0, 100.0]
    assert found["over_clips"][0] > 40 and found["over_clips"][1] < 60
    assert found["per_subject"] == {"3": 100.0, "5": 0.0, "8": 100.0, "9": 0.0}


def test_retrieval_has_its_intervals_over_people_too():
    """As above: the clips of two people are found first of two, those of two others last."""
    y = np.repeat([0, 1, 0, 1], 5)
    part = Part(angles(0, 90), np.array([0, 1]), angles(*np.zeros(20)), y, 2, subjects_test=np.repeat([3, 5, 8, 9], 5))
    found = measure(part, ["retrieval"], [])[0]["retrieval"]
    assert found.over_subjects["recall@1"] == (0.0, 1.0)
    assert found.over_subjects["mAP"] == (0.5, 1.0)
    assert set(found.over_subjects) == {*found.shares, *found.figures}
    nobody = measure(replace(part, subjects_test=None), ["retrieval"], [])[0]["retrieval"]
    assert not any(nobody.over_subjects.values())


def test_features_that_vanish_are_said_by_the_probe_that_depends_on_scale(rng: Rng):
    x, y = blobs(rng, 200)
    part, notes = Part(np.float32(1e-8) * x, y, np.float32(1e-8) * x, y, 4), []
    found, _ = measure(part, ["linear", "linear-hiclr", "linear-sgd"], notes)
    assert found["linear"].shares["top1"] > 0.9
    assert found["linear-sgd"].shares["top1"] > 0.9
    assert found["linear-hiclr"].shares["top1"] == 0.25
    assert any("depends on the scale" in note and "e-08" in note for note in notes)


def test_hiclrs_transformer_is_probed_by_its_own_steps(rng: Rng):
    x, y = blobs(rng, 40)
    for encoder, steps in (("stgcn", [80]), ("dsta", [30, 80])):
        found, _ = measure(Part(x, y, x, y, 4, encoder=encoder), ["linear-hiclr", "linear-actclr"], [])
        assert found["linear-hiclr"].more["steps"] == steps
        assert found["linear-actclr"].more["steps"] == [80]


def test_a_probe_that_runs_off_stops_with_the_reason(rng: Rng):
    x, y = blobs(rng, 40)
    part = Part(np.float32(1e20) * x, y, np.float32(1e20) * x, y, 4)
    with pytest.raises(InputError, match=r"no longer finite after epoch \d"):
        measure(part, ["linear-hiclr"], [])
    notes: list[str] = []
    found, _ = measure(part, ["linear", "linear-hiclr"], notes, skip=True)
    assert list(found) == ["linear"]
    assert any("linear-hiclr is not measured" in note for note in notes)


@pytest.mark.real
@pytest.mark.parametrize(("name", "wanted"), [("bandai2", 77.9), ("msr_action3d", 71.6), ("utkinect", 87.3)])
def test_the_raw_floor_of_real_sets_is_the_published_one(name: str, wanted: float):
    source = Path(__file__).parents[2] / "shared" / "data" / f"{name}.npz"
    if not source.exists():
        pytest.skip("the real sets are not here")
    clips = open_set(source)
    train, test = clips.split_indices()
    right = clips.y[raw_nearest(clips, train, test)] == clips.y[test]
    assert round(100 * right.mean(), 1) == wanted
