"""Maps in one frame, samples of a set, and the numbers beside the maps."""

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from hiclr.datasets import stratified_sample
from hiclr.errors import InputError
from hiclr.evaluation import (
    alignment,
    cluster_agreement,
    clusters,
    effective_rank,
    geometry,
    neighbour_change,
    over_runs,
    sample_note,
    silhouette,
    tsne_maps,
    uniformity,
)
from hiclr.evaluation import maps as maps_module
from hiclr.evaluation.clusters import layout_start, solve_tsne
from hiclr.evaluation.geometry import compact


def groups(count: int = 40, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Two tight groups in ten dimensions, and which clip is of which."""
    rng = np.random.default_rng(seed)
    y = np.arange(count) % 2
    return (np.eye(2, 10)[y] * 5 + 0.3 * rng.normal(size=(count, 10))).astype(np.float32), y


def test_maps_share_start_and_frame_and_are_computed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    x, y = groups()
    turn = -np.linalg.qr(np.random.default_rng(1).normal(size=(10, 10)))[0].astype(np.float32)
    made = tsne_maps({"basic": x, "strong": x @ turn}, seed=3, keep=tmp_path / "maps")
    # the same distances: from group to group leads the same way, whatever way the features lie
    ways = [np.subtract(*(made[name].points[y == group].mean(axis=0) for group in (0, 1))) for name in made]
    assert ways[0] @ ways[1] > 0.98 * np.linalg.norm(ways[0]) * np.linalg.norm(ways[1])
    assert made["strong"].start == "PCA of basic"
    assert made["strong"].caption == "t-SNE, N 40, perplexity 13, init PCA of basic, seed 3"
    monkeypatch.setattr(maps_module, "solve_tsne", lambda *_: pytest.fail("computed again"))
    again = tsne_maps({"basic": x, "strong": x @ turn}, seed=3, keep=tmp_path / "maps")
    assert all(np.array_equal(again[name].points, made[name].points) for name in made)
    with pytest.raises(pytest.fail.Exception, match="computed again"):
        tsne_maps({"basic": x}, seed=4, keep=tmp_path / "maps")


@pytest.mark.filterwarnings("error")
def test_maps_start_from_the_first_branch_whose_clips_differ(monkeypatch: pytest.MonkeyPatch):
    x, _ = groups(12)
    dead = np.full((12, 4), 0.1, dtype=np.float32)
    made = tsne_maps({"dead": dead, "basic": x, "zero": 0 * dead})
    assert {each.start for each in made.values()} == {"PCA of basic"}
    assert not layout_start(np.full((37, 4), 0.1)).any() and not layout_start(np.zeros((3, 2))).any()
    started: list[object] = []

    def fast(initialization: object, **_: object) -> SimpleNamespace:
        started.append(initialization)
        return SimpleNamespace(fit=np.array)

    monkeypatch.setitem(sys.modules, "openTSNE", SimpleNamespace(TSNE=fast))
    monkeypatch.setattr(clusters, "_LARGE", 4)
    solve_tsne(x, 0, 3, np.zeros((12, 2)))  # a start of zeros would leave all points on one place
    solve_tsne(dead, 0, 3)
    assert started == ["pca", "random"]


def test_a_damaged_map_is_made_again(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    x, _ = groups(12)
    first = tsne_maps({"a": x}, keep=tmp_path)["a"]
    (kept,) = tmp_path.iterdir()
    kept.write_bytes(b"PK")
    assert np.array_equal(tsne_maps({"a": x}, keep=tmp_path)["a"].points, first.points)
    assert "damaged" in caplog.text


def test_branches_must_hold_the_same_clips():
    with pytest.raises(InputError, match="'a' has 12, 'b' 10"):
        tsne_maps({"a": groups(12)[0], "b": groups(10)[0]})
    with pytest.raises(InputError, match="nothing to map"):
        tsne_maps({})


def test_a_sample_keeps_the_shares_of_the_classes():
    y = np.repeat([0, 1, 2], [600, 300, 3])
    some = stratified_sample(y, 90)
    assert (np.diff(some) > 0).all()
    assert np.bincount(y[some]).tolist() in ([59, 30, 1], [60, 29, 1])
    assert np.array_equal(some, stratified_sample(y, 90))
    assert np.array_equal(stratified_sample(y, 1000), np.arange(903))
    assert sample_note(90, 903) == "90 of 903 clips, the same share of each class"
    assert sample_note(903, 903) == ""
    with pytest.raises(InputError, match="at least 1"):
        stratified_sample(y, 0)


def test_numbers_of_cases_that_are_known():
    square = np.array([[1, 0], [-1, 0], [0, 1], [0, -1]], dtype=np.float32)
    # of 12 ordered pairs, 8 lie at a squared distance of 2 and 4 at 4
    assert uniformity(square) == pytest.approx(np.log((8 * np.exp(-4) + 4 * np.exp(-8)) / 12))
    assert uniformity(np.ones((3, 2))) == pytest.approx(0)
    assert alignment(square, 7 * square) == pytest.approx(0)
    assert alignment(square, -square) == pytest.approx(4)
    assert effective_rank(square) == pytest.approx(2)
    assert effective_rank(np.array([[1.0, 2], [2, 4], [3, 6]])) == pytest.approx(1)
    assert effective_rank(np.ones((3, 2))) == 1
    x, y = groups()
    assert cluster_agreement(x, y) == pytest.approx((1, 1))


@pytest.mark.filterwarnings("error")
def test_a_dead_encoder_gets_no_good_numbers_and_no_warning():
    _, y = groups()
    for dead in (np.zeros((40, 8)), np.ones((40, 8))):
        row = geometry(dead, y, {}, positives=dead)
        assert row["uniformity"] == pytest.approx(0) and row["alignment"] == 0 and row["effective rank"] == 1
        assert row["NMI"] == row["ARI"] == 0


def test_clusters_are_not_compared_with_classes_that_group_nothing():
    x, y = groups(6)
    assert list(geometry(x, np.zeros(6, int), {})) == ["purity", "uniformity", "effective rank"]
    assert list(geometry(x, np.arange(6), {})) == ["uniformity", "effective rank"]
    assert {"NMI", "ARI"} <= set(geometry(x, y, {}))


def test_wide_features_are_measured_in_fewer_dimensions_with_the_same_numbers():
    assert np.abs(compact(np.array([[3.0, 4.0, 0.0]]))).tolist() == [[5.0]]
    rng = np.random.default_rng(0)
    y, ids = np.arange(12) % 3, {"subject": np.arange(12) // 4}
    x = (np.eye(3, 50)[y] + 0.4 * rng.normal(size=(12, 50))).astype(np.float32)
    narrow = compact(x)
    assert narrow.shape == (12, 12) and compact(narrow) is narrow
    np.testing.assert_allclose(narrow @ narrow.T, x.astype(np.float64) @ x.T, atol=1e-5)
    row = geometry(x, y, ids, positives=x[::-1])
    assert row["alignment"] == pytest.approx(alignment(x, x[::-1]))
    assert row["silhouette by subject"] == pytest.approx(silhouette(x, ids["subject"]))
    assert row["uniformity"] == pytest.approx(uniformity(x))
    assert row["effective rank"] == pytest.approx(effective_rank(x))
    assert (row["NMI"], row["ARI"]) == pytest.approx(cluster_agreement(x, y))


def test_all_numbers_of_a_branch_and_their_spread():
    x, y = groups()
    row = geometry(x, y, {"subject": np.arange(40) // 20, "camera": np.zeros(40, int)}, positives=x)
    assert list(row) == [
        "silhouette by class", "silhouette by subject", "purity", "NMI", "ARI", "alignment", "uniformity",
        "effective rank",
    ]  # fmt: skip
    assert row["silhouette by class"] > 0.8 > 0.1 > row["silhouette by subject"]
    assert row["purity"] == 1
    pooled = over_runs([{"a": 1.0, "b": 2.0}, {"a": 3.0}])
    assert pooled == {"a": (2.0, pytest.approx(2**0.5))}
    assert over_runs([{"a": 1.0}]) == {"a": (1.0, None)}


def test_clips_whose_neighbours_changed_come_first():
    x, _ = groups(20)
    names = [f"clip {i}" for i in range(20)]
    other = x.copy()
    other[4] = groups(20, seed=5)[0][5]  # clip 4 has gone to the other group
    order = [3, *range(3), *range(4, 20)]
    found = neighbour_change(x, other[order], (names, [names[i] for i in order]), k=5)
    assert found[0] == ("clip 4", 1.0)
    assert neighbour_change(x, x[order], (names, [names[i] for i in order]))[0][1] == 0
    with pytest.raises(InputError, match="3 are wanted, there are 0"):
        neighbour_change(x, x, (names, [name + "?" for name in names]))
