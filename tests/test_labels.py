"""Sampling rules: counts worked by hand."""

import numpy as np
import pytest

from hiclr.errors import InputError
from hiclr.evaluation import RULES, draw_labels


def of_sizes(*sizes: int) -> np.ndarray:
    return np.repeat(np.arange(len(sizes)), sizes)


def counts(y: np.ndarray, share: float, rule: str, seed: int = 0) -> list[int]:
    return np.bincount(y[draw_labels(y, share, rule, seed).indices], minlength=int(y.max()) + 1).tolist()


def test_aimclr_draws_a_rounded_share_of_each_class():
    y = of_sizes(200, 149, 151, 50, 250, 30)
    # 2, 1.49, 1.51, 0.5 and 2.5 to the even number (0 and 2), 0.3; then one of each class that has none
    assert counts(y, 0.01, "aimclr") == [2, 1, 2, 1, 2, 1]
    assert draw_labels(y, 0.01, "aimclr").added == (3, 5)
    assert counts(y, 0.1, "aimclr") == [20, 15, 15, 5, 25, 3]
    assert draw_labels(y, 0.1, "aimclr").added == ()


@pytest.mark.parametrize("rule", ["cmd", "mamp"])
def test_cmd_and_mamp_draw_a_share_of_the_whole_rounded_down(rule: str):
    y = of_sizes(400, 350, 249)  # 999 clips
    for share, wanted in ((0.01, 9), (0.05, 49), (0.1, 99)):
        drawn = draw_labels(y, share, rule)
        assert len(drawn.indices) == wanted + len(drawn.added)
    perdraw = np.array([counts(y, 0.1, rule, seed) for seed in range(200)])
    assert (perdraw.sum(axis=1) == 99).all()
    assert perdraw.std(axis=0).min() > 1  # not stratified
    np.testing.assert_allclose(perdraw.mean(axis=0), [99 * n / 999 for n in (400, 350, 249)], atol=1.2)


@pytest.mark.parametrize(("rule", "drawn"), [("aimclr", 0), ("cmd", 2), ("mamp", 2)])
def test_one_percent_of_ten_classes_of_twenty_has_every_class_and_says_so(rule: str, drawn: int):
    y = of_sizes(*[20] * 10)
    one = draw_labels(y, 0.01, rule)
    assert counts(y, 0.01, rule) == [1] * 10 if rule == "aimclr" else min(counts(y, 0.01, rule)) == 1
    assert len(one.indices) == drawn + len(one.added)
    assert f"left {len(one.added)} classes without a labelled clip" in one.said
    assert f"{len(one.indices)} clips are labelled ({len(one.indices) / 2:.1f} %)" in one.said
    ten = draw_labels(y, 0.1, "aimclr")
    assert counts(y, 0.1, "aimclr") == [2] * 10
    assert ten.said == ""


@pytest.mark.parametrize("rule", RULES)
def test_a_draw_depends_on_its_seed_and_on_nothing_else(rule: str):
    y = np.random.default_rng(3).permutation(of_sizes(60, 50, 40))
    first = draw_labels(y, 0.1, rule, seed=4)
    np.random.seed(0)  # noqa: NPY002 - global state must not matter
    assert draw_labels(y, 0.1, rule, seed=4).indices.tolist() == first.indices.tolist()
    assert draw_labels(y, 0.1, rule, seed=5).indices.tolist() != first.indices.tolist()
    assert len(set(first.indices.tolist())) == len(first.indices)
    assert first.indices.tolist() == sorted(first.indices.tolist())
    assert draw_labels(y, 1.0, rule).indices.tolist() == list(range(150))


def test_a_class_that_no_clip_has_is_not_asked_for():
    y = np.array([0, 0, 4, 4])
    drawn = draw_labels(y, 0.1, "cmd")
    assert set(y[drawn.indices]) == {0, 4}
    assert drawn.added == (0, 4)


def test_what_cannot_be_drawn_is_a_sentence():
    y = of_sizes(5, 5)
    with pytest.raises(InputError, match="no sampling rule 'moco'; there are: aimclr, cmd, mamp"):
        draw_labels(y, 0.1, "moco")
    for share in (0, -0.1, 1.5, 10):
        with pytest.raises(InputError, match=r"above 0 and at most 1 \(0.01 for 1 %\)"):
            draw_labels(y, share)
    with pytest.raises(InputError, match="no training clips"):
        draw_labels(y[:0], 0.1)
