"""Intervals, paired tests and their correction, against scipy and figures known from elsewhere."""

import itertools

import numpy as np
import pytest
from scipy import stats

from asteroid_bsrnn.evaluation.statistics import compare_pairs, holm, interval, paired_test

from .sounds import refused


def scores(n=20, seed=0, mean=5.0):
    return np.random.default_rng(seed).normal(mean, 2, n)


@pytest.mark.parametrize(("mean", "statistic"), [(True, np.mean), (False, np.median)])
def test_the_interval_of_a_source_is_that_of_scipy(mean, statistic):
    values = scores()
    expected = stats.bootstrap((values,), statistic, rng=np.random.default_rng(1))
    found = interval(values, mean=mean)
    assert found.value == pytest.approx(statistic(values))
    assert (found.low, found.high) == pytest.approx(expected.confidence_interval)
    assert found.n == 20
    assert interval(values, mean=mean) == found
    wider = interval(values, mean=mean, level=0.99)
    assert wider.low < found.low and wider.high > found.high


def test_several_sources_are_drawn_together():
    # What one source loses on a track the other gains: drawn together their mean never varies.
    one = scores()
    both = interval(np.stack([one, 10 - one], axis=1), mean=True)
    assert (both.value, both.low, both.high) == pytest.approx((5, 5, 5))
    alike = interval(np.stack([one, one], axis=1), mean=True)
    assert alike == pytest.approx(interval(one, mean=True))
    # The mean of medians is not the median of means.
    table = np.array([[0.0, 9], [1, 0], [8, 1]])
    assert interval(table, mean=False).value == pytest.approx((1 + 1) / 2)


def test_tracks_without_a_score_are_left_out():
    values = scores(6)
    holes = np.concatenate([values, [np.nan, np.inf]])
    assert interval(holes, mean=True) == interval(values, mean=True)
    assert interval(holes, mean=True).n == 6
    table = np.stack([values, [np.nan] * 5 + [3.0]], axis=1)
    assert interval(table, mean=True).value == pytest.approx((values.mean() + 3) / 2)
    nothing = interval(np.full(4, np.nan), mean=True)
    assert np.isnan(nothing.value) and nothing.n == 0
    single = interval(np.array([2.0]), mean=True)
    assert single.value == 2 and np.isnan(single.low)
    assert interval(np.ones(5), mean=False)[:3] == (1, 1, 1)


def test_ninety_five_of_a_hundred_intervals_hold_the_truth():
    rng = np.random.default_rng(0)
    held = 0
    for _ in range(100):
        found = interval(rng.normal(5, 2, 30), mean=True, resamples=499)
        held += found.low <= 5 <= found.high
    assert 88 <= held <= 99


def test_wilcoxon_by_counting_all_signs():
    one, two = scores(7), scores(7, seed=1, mean=3.5)
    differences = one - two
    ranks = stats.rankdata(np.abs(differences))
    positive = ranks[differences > 0].sum()
    sums = [
        sum(rank for rank, sign in zip(ranks, signs, strict=True) if sign)
        for signs in itertools.product((0, 1), repeat=7)
    ]
    tail = min(positive, ranks.sum() - positive)
    expected = min(1, 2 * np.mean([value <= tail for value in sums]))
    assert paired_test(one, two) == pytest.approx(expected)
    assert paired_test(two, one) == pytest.approx(expected)


def test_permutation_by_counting_all_signs():
    one, two = scores(7), scores(7, seed=1, mean=3.5)
    differences = one - two
    means = [
        np.mean(differences * np.array(signs)) for signs in itertools.product((1, -1), repeat=7)
    ]
    expected = np.mean([abs(m) >= abs(differences.mean()) - 1e-12 for m in means])
    assert paired_test(one, two, "permutation") == pytest.approx(expected)


def test_pairs_that_are_no_pairs():
    values = scores(8)
    for test in ("wilcoxon", "permutation"):
        assert paired_test(values, values, test) == 1
        assert np.isnan(paired_test(values, np.full(8, np.nan), test))
        better = values + 1
        better[0] = np.nan
        assert paired_test(values, better, test) == pytest.approx(2 / 2**7)
    with refused("same tracks"):
        paired_test(values, values[1:])
    with refused("'t'", "wilcoxon, permutation"):
        paired_test(values, values, "t")


def test_holm_by_hand():
    # 4 x 0.005, 3 x 0.01, 2 x 0.03; the last one may not be below the one before it.
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.5, 0.9]) == pytest.approx([1, 1])
    assert holm([0.02]) == pytest.approx([0.02])
    with_none = holm([0.01, float("nan"), 0.02])
    assert with_none[0] == pytest.approx(0.02) and np.isnan(with_none[1])
    assert holm([]) == []


def test_every_pair_of_models():
    base = scores(12)
    noise = 0.1 * scores(12, seed=2, mean=0)
    pairs = compare_pairs({"a": base, "b": base + 1 + noise, "c": base + noise}, mean=True)
    by_names = {(pair["first"], pair["second"]): pair for pair in pairs}
    assert list(by_names) == [("a", "b"), ("a", "c"), ("b", "c")]
    assert by_names["a", "b"]["difference"] == pytest.approx(-1 - noise.mean())
    assert by_names["a", "b"]["high"] < 0 and by_names["b", "c"]["low"] > 0
    smallest = 2 / 2**12
    assert by_names["a", "b"]["p"] == pytest.approx(smallest)
    assert by_names["b", "c"]["p"] == pytest.approx(smallest)
    assert by_names["a", "b"]["p_holm"] == pytest.approx(3 * smallest)
    # Intervals of the models overlap widely, and still they differ: that is what pairs are for.
    one, two = interval(base, mean=True), interval(base + 1 + noise, mean=True)
    assert one.high > two.low
