"""Intervals, paired tests, calibration, held-out parts: by hand, and beside scikit-learn's and scipy's."""

import numpy as np
import pytest
from scipy.stats import bootstrap as scipy_bootstrap
from sklearn.metrics import balanced_accuracy_score, log_loss

from hiclr.errors import InputError
from hiclr.evaluation.calibration import adaptive_reliability, confidence_of, fit_temperature, reliability
from hiclr.evaluation.holdout import hold_out
from hiclr.evaluation.statistics import (
    bootstrap,
    class_accuracy,
    confusion_counts,
    group_accuracy,
    mcnemar,
    mean_class_accuracy,
    over_seeds,
    paired,
)

Rng = np.random.Generator


@pytest.fixture
def rng() -> Rng:
    return np.random.default_rng(7)


def bits(text: str) -> np.ndarray:
    return np.array([sign == "1" for sign in text])


# --- intervals --------------------------------------------------------------------------------------------------------


def test_the_interval_over_clips_is_scipys(rng: Rng):
    right = rng.random(400) < 0.7
    theirs = scipy_bootstrap((right,), np.mean, n_resamples=4000, method="percentile", rng=rng).confidence_interval
    ours = bootstrap(right)
    assert ours is not None
    assert tuple(ours) == pytest.approx(tuple(theirs), abs=0.01)
    exact = 1.96 * np.sqrt(right.mean() * (1 - right.mean()) / 400)
    assert ours.high - ours.low == pytest.approx(2 * exact, rel=0.06)


def test_people_who_are_all_right_or_all_wrong_make_a_wide_interval():
    """4 people of 100 clips, two all right: any of 0..4 of 4 drawn people is right, P(0) = 1/16 > 2.5 %."""
    right, who = np.repeat([1, 0, 1, 0], 100), np.repeat([3, 5, 8, 9], 100)
    wide, narrow = bootstrap(right, who), bootstrap(right)
    assert wide == (0.0, 1.0)
    assert narrow is not None
    assert narrow.high - narrow.low < 0.11


def test_drawn_people_bring_all_their_clips():
    """One clip that is right, 99 of another person that are wrong: two draws give 1 (1/4), 1/100 (1/2) or 0 (1/4), so
    both the 30 % and the 70 % quantile are 1/100."""
    found = bootstrap(np.r_[1, np.zeros(99)], np.r_[0, np.ones(99)], level=0.4)
    assert found == pytest.approx((0.01, 0.01))


def test_one_person_gives_no_interval():
    assert bootstrap(bits("1101"), np.zeros(4)) is None
    assert bootstrap(np.ones(1)) is None
    assert bootstrap(bits("11")) == (1.0, 1.0)


@pytest.mark.parametrize("values", [np.array([]), np.array([1.0, np.nan]), np.ones((2, 2))])
def test_values_without_a_mean_are_refused(values: np.ndarray):
    with pytest.raises(InputError, match="finite values"):
        bootstrap(values)
    with pytest.raises(InputError, match="groups"):
        bootstrap(np.ones(3), np.zeros(2))


# --- two runs ---------------------------------------------------------------------------------------------------------


def test_mcnemar_by_hand():
    """1 against 5 clips: 2 (C(6,0) + C(6,1)) / 2^6 = 14 / 64."""
    first, second = bits("1000001111"), bits("0111111111")
    assert mcnemar(first, second) == pytest.approx(14 / 64)
    assert mcnemar(second, first) == pytest.approx(14 / 64)
    assert mcnemar(first, first) == 1.0


def test_a_pair_of_runs_by_hand():
    found = paired(bits("1000001111"), bits("0111111111"), subjects=np.zeros(10))
    assert (found.clips, found.only_first, found.only_second) == (10, 1, 5)
    assert found.difference == pytest.approx(0.4)
    assert found.p == pytest.approx(14 / 64)
    assert found.over_subjects is None
    assert found.over_clips is not None
    assert found.over_clips.low < 0.4 < found.over_clips.high
    with pytest.raises(InputError, match="same clips"):
        paired(bits("10"), bits("100"))


def test_runs_of_one_quality_seldom_differ(rng: Rng):
    """At p < 0.05 an exact test finds a difference that is not there in at most 5 % of the tries."""
    alarms = sum(mcnemar(rng.random(200) < 0.6, rng.random(200) < 0.6) < 0.05 for _ in range(200))
    assert alarms <= 20
    assert mcnemar(rng.random(2000) < 0.6, rng.random(2000) < 0.7) < 0.001


def test_the_spread_over_seeds_is_that_of_a_sample():
    assert over_seeds([1.0, 2.0, 3.0]) == (2.0, 1.0, 3)
    assert over_seeds([5.0]) == (5.0, None, 1)
    with pytest.raises(InputError, match="finite"):
        over_seeds([])


# --- classes and people -----------------------------------------------------------------------------------------------


def test_classes_that_do_not_occur_do_not_count():
    """Class 0: 2 of 3, class 2: 1 of 1, class 1 has no clip and is predicted once."""
    y, predicted = np.array([0, 0, 0, 2]), np.array([0, 0, 1, 2])
    table = confusion_counts(y, predicted, 4)
    assert table.tolist() == [[2, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 0], [0, 0, 0, 0]]
    np.testing.assert_allclose(class_accuracy(table), [2 / 3, np.nan, 1, np.nan])
    assert mean_class_accuracy(table) == pytest.approx((2 / 3 + 1) / 2)
    with pytest.raises(InputError, match=r"0\.\.1"):
        confusion_counts(y, predicted, 2)


def test_mean_class_accuracy_is_scikit_learns(rng: Rng):
    y, predicted = rng.integers(0, 5, 300), rng.integers(0, 5, 300)
    ours = mean_class_accuracy(confusion_counts(y, predicted, 5))
    assert ours == pytest.approx(balanced_accuracy_score(y, predicted))


def test_accuracy_of_each_person():
    assert group_accuracy(bits("1101"), np.array([7, 7, 3, 7])) == {3: 0.0, 7: 1.0}


# --- calibration ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("right", ["10", "01"])
def test_two_sure_clips_of_which_one_is_right(right: str):
    """Confidences .95 and 1.0 lie in the last of 15 bins: |.975 - .5| = .475, whichever of them is right."""
    assert reliability(np.array([0.95, 1.0]), bits(right)).error == pytest.approx(0.475)


def test_bins_of_equal_width_by_hand():
    """Two bins. (0, .5]: .4 and .5, one right, off by .05; (.5, 1]: .6 and .9, both right, off by .25."""
    found = reliability(np.array([0.4, 0.5, 0.6, 0.9]), bits("1011"), bins=2)
    assert found.count.tolist() == [2, 2]
    np.testing.assert_allclose(found.confidence, [0.45, 0.75])
    np.testing.assert_allclose(found.accuracy, [0.5, 1.0])
    assert found.error == pytest.approx((2 * 0.05 + 2 * 0.25) / 4)
    assert found.to_dict()["count"] == [2, 2]
    assert reliability(np.array([0.0, 1.0]), bits("01")).error == 0.0


def test_bins_of_equal_mass_by_hand():
    """Two bins of two: .6 and .7 with one right, off by .15; .8 and 1.0 both right, off by .1. Of equal width all four
    lie in (.5, 1]: |.775 - .75|."""
    confidence, right = np.array([0.8, 0.6, 1.0, 0.7]), bits("1110")
    found = adaptive_reliability(confidence, right, bins=2)
    assert found.count.tolist() == [2, 2]
    assert (found.low.tolist(), found.high.tolist()) == ([0.6, 0.8], [0.7, 1.0])
    assert found.error == pytest.approx(0.125)
    assert reliability(confidence, right, bins=2).error == pytest.approx(0.025)


def test_the_order_of_clips_does_not_move_an_equal_mass_bin(rng: Rng):
    confidence, right = rng.integers(5, 9, 200) / 10, rng.random(200) < 0.6
    order = rng.permutation(200)
    again = adaptive_reliability(confidence[order], right[order])
    assert again.error == pytest.approx(adaptive_reliability(confidence, right).error)
    assert again.count.sum() == 200


def test_a_calibrated_guesser_has_little_error(rng: Rng):
    confidence = rng.uniform(0.2, 1, 20_000)
    right = rng.random(20_000) < confidence
    for found in (reliability(confidence, right), adaptive_reliability(confidence, right)):
        assert found.error < 0.02
    assert reliability(confidence, rng.random(20_000) < confidence**3).error > 0.1


def test_confidences_that_are_none_are_refused():
    for wrong in (np.array([0.5, 1.2]), np.array([0.5, np.nan]), np.array([-0.1, 0.3])):
        with pytest.raises(InputError, match=r"0\.\.1"):
            reliability(wrong, bits("10"))
    with pytest.raises(InputError, match="finite"):
        confidence_of(np.array([[np.nan, 0.0]]), np.arange(2), np.zeros(1))


def test_confidence_is_the_softmax_of_the_class_that_wins():
    logits = np.log([[0.7, 0.2, 0.1], [0.25, 0.5, 0.25]])
    confidence, right = confidence_of(logits, np.array([0, 3, 4]), np.array([0, 1]))
    np.testing.assert_allclose(confidence, [0.7, 0.5])
    assert right.tolist() == [True, False]  # class 3 was said, class 1 was true
    halved, _ = confidence_of(logits, np.array([0, 3, 4]), np.array([0, 1]), temperature=2)
    np.testing.assert_allclose(halved[1], np.sqrt(0.5) / (np.sqrt(0.5) + 2 * np.sqrt(0.25)))


def test_the_temperature_of_logits_that_are_too_large_is_found(rng: Rng):
    logits = rng.normal(size=(6000, 4)) * 1.5
    y = np.array([rng.choice(4, p=p / p.sum()) for p in np.exp(logits)])
    assert fit_temperature(logits, y) == pytest.approx(1, abs=0.06)
    assert fit_temperature(5 * logits, y) == pytest.approx(5 * fit_temperature(logits, y), rel=1e-3)
    shares = np.exp(logits / fit_temperature(logits, y))
    assert log_loss(y, shares / shares.sum(axis=1, keepdims=True)) <= log_loss(
        y, np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    )


def test_a_temperature_where_two_of_three_are_right():
    """Score s for the said class of two: the likeliest has softmax 2/3, so s / T = ln 2."""
    logits, columns = np.array([[3.0, 0.0]] * 3), np.array([0, 0, 1])
    assert fit_temperature(logits, columns) == pytest.approx(3 / np.log(2), rel=1e-3)
    with pytest.raises(InputError, match="held-out"):
        fit_temperature(logits[:0], columns[:0])


# --- held-out parts ---------------------------------------------------------------------------------------------------


def test_whole_people_are_held_out(rng: Rng):
    y, who = np.arange(200) % 4, np.arange(200) // 20
    part = hold_out(y, who)
    assert part.how == "by subject"
    assert sorted(np.concatenate([part.fit, part.held]).tolist()) == list(range(200))
    assert not set(who[part.fit]) & set(who[part.held])
    assert len(part.held) == 40
    np.testing.assert_array_equal(hold_out(y, who).held, part.held)
    assert not np.array_equal(hold_out(y, who, seed=1).held, part.held)


def test_without_people_a_share_of_each_class_is_held_out():
    y = np.arange(40) % 4
    part = hold_out(y)
    assert part.how == "by class"
    assert np.bincount(y[part.held]).tolist() == [2, 2, 2, 2]
    # each of two people has classes of his own: holding one out would leave his classes without clips
    assert hold_out(y, y % 2).how == "by class"


def test_nothing_to_hold_out_is_a_sentence():
    with pytest.raises(InputError, match="nothing to choose on"):
        hold_out(np.arange(4))
    with pytest.raises(InputError, match="between 0 and 1"):
        hold_out(np.arange(4), share=1.0)
