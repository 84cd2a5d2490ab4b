"""Retrieval, few-shot, one-shot: by hand, beside scikit-learn, without leaks, at chance where nothing is known."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score
from sklearn.neighbors import KNeighborsClassifier

from hiclr.errors import InputError
from hiclr.evaluation import Part, measure
from hiclr.evaluation import retrieval as module
from hiclr.evaluation.retrieval import NOVEL_ACTIONS, few_shot, ntu_one_shot, one_shot, retrieve

Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(11)


def angles(*degrees: float) -> np.ndarray:
    radians = np.radians(degrees)
    return np.stack([np.cos(radians), np.sin(radians)], axis=1).astype(np.float32)


# --- retrieval --------------------------------------------------------------------------------------------------------


def test_average_precision_by_hand():
    """Seen from 0 degrees the classes come as 0 1 0 0 1: (1/1 + 2/3 + 3/4) / 3; class 1: (1/2 + 2/5) / 2."""
    gallery, y = angles(10, 20, 30, 40, 50), np.array([0, 1, 0, 0, 1])
    found = retrieve(gallery, y, angles(0, 0), np.array([0, 1]), ks=(1, 2))
    np.testing.assert_allclose(found.average_precision, [(1 + 2 / 3 + 3 / 4) / 3, (1 / 2 + 2 / 5) / 2])
    assert found.mean_average_precision == pytest.approx(found.average_precision.mean())
    assert found.found[1].tolist() == [True, False]
    assert (found.recall(1), found.recall(2)) == (0.5, 1.0)


def test_a_query_is_never_its_own_answer():
    """Alone with itself: 0 degrees (class 0) sees 10 (1), then 20 (0); without the exclusion it would see itself."""
    x, y = angles(0, 10, 20), np.array([0, 1, 0])
    found = retrieve(x, y, x, y, ks=(1, 2), own=np.arange(3))
    np.testing.assert_allclose(found.average_precision, [1 / 2, np.nan, 1 / 2])
    assert found.answerable.tolist() == [True, False, True]  # class 1 has no other clip
    assert found.mean_average_precision == pytest.approx(0.5)
    assert found.recall(1) == 0
    assert retrieve(x, y, x, y).recall(1) == 1


def test_precision_is_scikit_learns_ties_included(rng: Rng):
    gallery = np.concatenate([np.eye(5), -np.eye(5)])[rng.integers(0, 10, 80)]  # similarities are exact, many equal
    queries, y, asked = rng.normal(size=(30, 5)), rng.integers(0, 4, 80), rng.integers(0, 4, 30)
    found = retrieve(gallery, y, queries, asked)
    theirs = [average_precision_score(y == c, row) for c, row in zip(asked, queries @ gallery.T, strict=True)]
    np.testing.assert_allclose(found.average_precision, theirs, rtol=1e-6)
    order = rng.permutation(80)
    np.testing.assert_allclose(retrieve(gallery[order], y[order], queries, asked).average_precision, theirs, rtol=1e-6)


def test_a_collapsed_encoder_retrieves_by_chance():
    ones, y = np.ones((40, 8), dtype=np.float32), np.arange(40) % 4
    assert retrieve(ones, y, ones, y, own=np.arange(40)).mean_average_precision == pytest.approx(9 / 39)


def test_blocks_change_nothing(rng: Rng, monkeypatch: pytest.MonkeyPatch):
    x, y = rng.normal(size=(50, 4)), rng.integers(0, 3, 50)
    whole = retrieve(x, y, x, y, own=np.arange(50))
    monkeypatch.setattr(module, "_BLOCK_BYTES", 4 * 50 * 3)
    parts = retrieve(x, y, x, y, own=np.arange(50))
    np.testing.assert_array_equal(parts.average_precision, whole.average_precision)
    for k in (1, 5, 10):
        np.testing.assert_array_equal(parts.found[k], whole.found[k])


@pytest.mark.parametrize("size", [1e-30, 1e-8, 1e8])
def test_retrieval_does_not_depend_on_the_scale(rng: Rng, size: float):
    x, y = rng.normal(size=(40, 4)), rng.integers(0, 3, 40)
    a, b = retrieve(x, y, x, y), retrieve(size * x, y, size * x, y)
    np.testing.assert_allclose(a.average_precision, b.average_precision)


def test_what_cannot_be_ranked_is_refused(rng: Rng):
    x, y = rng.normal(size=(6, 4)), np.arange(6) % 2
    for call in (
        lambda: retrieve(x, y, x[:, :3], y),
        lambda: retrieve(x, y[:5], x, y),
        lambda: retrieve(x, y, x, y, ()),
    ):
        with pytest.raises(InputError):
            call()
    x[3, 1] = np.nan
    with pytest.raises(InputError, match="clip 3"):
        retrieve(x, y, x[:2], y[:2])


# --- few-shot ---------------------------------------------------------------------------------------------------------


def test_classes_that_lie_apart_are_told_from_one_example():
    y = np.arange(60) % 3
    x = angles(*(120 * y + np.arange(60) % 7))
    found = few_shot(x[:30], y[:30], x[30:], y[30:], shots=1, episodes=20)
    assert found.accuracy.tolist() == [1.0] * 20
    assert (found.ways, found.shots, found.queries) == (3, 1, 10)  # of 3 classes with 10 queries each
    assert found.half_width == 0


def test_examples_and_queries_come_from_their_own_part(rng: Rng):
    """Queries of other angles than the examples: every class is taken for the other one."""
    y = np.arange(40) % 2
    examples, asked = angles(*(90 * y)), angles(*(90 - 90 * y))
    assert few_shot(examples, y, asked, y, episodes=10).mean == 0


def test_unknown_classes_give_chance(rng: Rng):
    x, y = rng.normal(size=(600, 8)), rng.integers(0, 10, 600)
    found = few_shot(x[:300], y[:300], x[300:], y[300:], shots=5, ways=5, episodes=400, seed=1)
    assert abs(found.mean - 0.2) < 0.02
    again = few_shot(x[:300], y[:300], x[300:], y[300:], shots=5, ways=5, episodes=400, seed=1)
    np.testing.assert_array_equal(found.accuracy, again.accuracy)


def test_all_examples_of_all_classes_are_the_nearest_centroid(rng: Rng):
    """As many shots as clips, all classes, all queries: nothing is drawn, and scikit-learn's class means decide."""
    y, asked = np.arange(40) % 4, np.arange(20) % 4
    x, test = (rng.normal(size=(len(c), 6)) + 1.5 * np.eye(4, 6)[c] for c in (y, asked))
    x, test = (part / np.linalg.norm(part, axis=1, keepdims=True) for part in (x, test))
    centres = np.stack([x[y == c].mean(axis=0) for c in range(4)])
    centres /= np.linalg.norm(centres, axis=1, keepdims=True)
    theirs = KNeighborsClassifier(1, metric="cosine").fit(centres, np.arange(4)).score(test, asked)
    found = few_shot(x, y, test, asked, shots=10, ways=4, asked=5, episodes=3)
    np.testing.assert_allclose(found.accuracy, theirs)
    assert 0.3 < theirs < 1


def test_the_draws_of_an_episode_are_different_clips(rng: Rng):
    y = rng.integers(0, 6, 80)
    counts = np.bincount(y)
    drawn = module._draw(y, counts, np.array([[0, 3], [5, 1]]), 4, rng)
    assert drawn.shape == (2, 2, 4)
    assert all(len(set(row)) == 4 for row in drawn.reshape(4, 4).tolist())
    assert (y[drawn] == np.array([[0, 3], [5, 1]])[..., None]).all()


def test_too_few_examples_are_a_sentence(rng: Rng):
    x, y = rng.normal(size=(6, 4)), np.array([0, 0, 1, 1, 1, 2])
    with pytest.raises(InputError, match="two classes with as many"):
        few_shot(x, y, x, y, shots=3)
    with pytest.raises(InputError, match="2 ways"):
        few_shot(x, y, x, y, ways=1)


# --- one-shot ---------------------------------------------------------------------------------------------------------


def test_one_example_by_hand():
    """Exemplars at 0 (class 0) and 90 (class 1); 30 and 80 degrees, and 60: wrong for class 0. Clip 2 is a view of the
    first exemplar."""
    x, y = angles(0, 90, 30, 80, 60), np.array([0, 1, 0, 1, 0])
    x *= np.array([[0.1], [8], [10], [10], [10]])  # lengths do not count: the clip at 30 lies nearer to the second
    found = one_shot(x, y, np.array([0, 1]), performance=np.array([7, 8, 7, 9, 10]))
    assert found.queries.tolist() == [2, 3, 4]
    assert found.right.tolist() == [True, True, False]
    assert found.other_view.tolist() == [True, False, False]
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.without_other_views == pytest.approx(1 / 2)


def ntu_names(actions: tuple[int, ...] = NOVEL_ACTIONS) -> list[str]:
    """Three cameras of two persons' performances, and an action that is not novel."""
    names = []
    for action in (*actions, 2):
        setup = 1 if action <= 60 else 18
        names += [f"S{setup:03d}C{c:03d}P{p:03d}R001A{action:03d}" for p in (8, 25) for c in (1, 2, 3)]
    return names


def test_the_twenty_novel_actions():
    assert (len(NOVEL_ACTIONS), NOVEL_ACTIONS[:2], NOVEL_ACTIONS[-1]) == (20, (1, 7), 115)


def test_the_exemplars_other_cameras_are_told_apart(rng: Rng):
    """Features by performance: the exemplar's other views lie on it, everybody else's clips lie on the next class."""
    names = ntu_names()
    actions = [int(name[-3:]) for name in names]
    place = [NOVEL_ACTIONS.index(a) if a in NOVEL_ACTIONS else 0 for a in actions]
    off = [0 if "P008" in name else 1 for name in names]
    x = np.eye(20)[(np.array(place) + off) % 20]
    order = rng.permutation(len(names))
    found = ntu_one_shot(x[order], [names[i] + ".skeleton" for i in order])
    assert len(found.queries) == 20 * 5
    assert found.other_view.sum() == 20 * 2
    assert found.accuracy == pytest.approx(40 / 100)
    assert found.without_other_views == 0
    assert all("A002" not in names[order[i]] for i in found.queries)


def test_the_protocol_looks_for_exemplars_and_asks_clips_in_both_parts(rng: Rng):
    """The exemplars of half of the actions are training clips; features as above."""
    names = ntu_names()
    place = np.array([NOVEL_ACTIONS.index(int(n[-3:])) if int(n[-3:]) in NOVEL_ACTIONS else 0 for n in names])
    x = np.eye(20)[(place + np.array(["P008" not in n for n in names])) % 20]
    train = place % 2 == 0
    kept = [[n for n, here in zip(names, train, strict=True) if here == part] for part in (True, False)]
    part = Part(x[train], place[train], x[~train], place[~train], 20, tuple(kept[0]), tuple(kept[1]))
    who = np.array(["P008" in n for n in names]).astype(int)
    part = replace(part, subjects_train=who[train], subjects_test=who[~train])
    found = measure(part, ["one-shot"], [])[0]["one-shot"]
    assert found.figures == {"top1": pytest.approx(40 / 100), "without other views": 0}
    assert found.more == {"queries": 100, "without_other_views": 60}
    # one person's 40 clips are right, the other's 60 are not: half of the draws are of one person alone
    assert found.over_subjects == {"top1": (0, 1), "without other views": None}


def test_a_missing_exemplar_is_named(rng: Rng):
    names = [name for name in ntu_names() if "C003P008R001A115" not in name]
    with pytest.raises(InputError, match="1 are not in this set, the first is S018C003P008R001A115"):
        ntu_one_shot(rng.normal(size=(len(names), 4)), names)
    with pytest.raises(InputError, match="20 are not in this set"):
        ntu_one_shot(rng.normal(size=(3, 4)), ["a", "b", "c"])
