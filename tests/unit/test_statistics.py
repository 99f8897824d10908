"""Intervals and paired tests: published values, hand-made tables and invariants."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.errors import BadInput
from twainbot.evals import statistics


@pytest.mark.parametrize(("errors", "n"), [(0, 59), (1, 93), (2, 124), (4, 200), (8, 300), (16, 500)])
def test_the_published_error_budgets_stay_under_five_percent(errors, n):
    assert statistics.upper_bound(errors, n) < 0.05


@pytest.mark.parametrize(("errors", "n"), [(0, 58), (1, 92), (2, 123), (5, 200), (9, 300), (17, 500)])
def test_one_error_more_or_one_reply_less_is_not_enough(errors, n):
    assert statistics.upper_bound(errors, n) > 0.05


def test_no_error_in_fifty_leaves_an_upper_bound_of_five_point_eight_percent():
    # (1 - p)^50 = 0.05  =>  p = 1 - 0.05^(1/50)
    assert statistics.upper_bound(0, 50) == pytest.approx(1 - 0.05 ** (1 / 50), abs=1e-12)
    assert round(statistics.upper_bound(0, 50), 3) == 0.058


@pytest.mark.parametrize(("good", "n"), [(47, 50), (92, 100), (179, 200), (266, 300)])
def test_the_published_style_counts_just_clear_eighty_five_percent(good, n):
    assert statistics.lower_bound(good, n) > 0.85 > statistics.lower_bound(good - 1, n)


def test_two_sided_clopper_pearson_matches_the_closed_form_at_the_edge():
    interval = statistics.clopper_pearson(0, 10)
    assert (interval.low, interval.high) == (0.0, pytest.approx(1 - 0.025**0.1, abs=1e-12))


def test_wilson_of_one_in_ten_matches_the_formula_worked_by_hand():
    # z^2 = 3.8415: centre (0.1 + 0.19207) / 1.38415 = 0.21101; half 1.95996 / 1.38415 * sqrt(0.009 + 0.009604) = 0.19314
    interval = statistics.wilson(1, 10)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.0179, 0.4042)


def test_an_empty_sample_knows_nothing():
    assert (statistics.lower_bound(0, 0), statistics.upper_bound(0, 0)) == (0.0, 1.0)
    assert statistics.wilson(0, 0) == statistics.Interval(0.0, 1.0)


def test_more_successes_than_trials_is_refused():
    with pytest.raises(BadInput, match="6 successes of 5"):
        statistics.upper_bound(6, 5)


@given(st.integers(1, 400), st.data())
@settings(max_examples=examples(60), deadline=None)
def test_intervals_hold_their_estimate_and_exact_is_never_shorter_than_wilson_at_the_far_end(n, data):
    k = data.draw(st.integers(0, n))
    exact, score = statistics.clopper_pearson(k, n), statistics.wilson(k, n)
    assert exact.low <= k / n <= exact.high
    assert score.low - 1e-12 <= k / n <= score.high + 1e-12
    assert exact.high - exact.low >= (score.high - score.low) * 0.9


@given(st.integers(2, 200), st.data())
@settings(max_examples=examples(40), deadline=None)
def test_the_bound_of_errors_mirrors_the_bound_of_successes(n, data):
    k = data.draw(st.integers(0, n))
    assert statistics.upper_bound(k, n) == pytest.approx(1 - statistics.lower_bound(n - k, n), abs=1e-9)


def test_a_bound_at_a_hundred_thousand_does_not_overflow():
    # far from the edges the bound is close to the normal one: 0.02 + 1.645 * sqrt(0.02 * 0.98 / 1e5) = 0.02073
    assert statistics.upper_bound(2000, 100_000) == pytest.approx(0.02073, abs=3e-5)


def test_mcnemar_of_ten_against_two_is_seventy_nine_of_two_thousand_and_forty_eight():
    # 2 * (C(12,0) + C(12,1) + C(12,2)) / 2^12 = 2 * 79 / 4096
    assert statistics.mcnemar_exact(10, 2) == pytest.approx(2 * 79 / 4096)
    assert statistics.mcnemar_exact(2, 10) == statistics.mcnemar_exact(10, 2)
    assert statistics.mcnemar_exact(0, 0) == 1.0
    assert statistics.mcnemar_exact(3, 3) == 1.0


def test_a_paired_gain_is_antisymmetric_and_holds_its_mean():
    first = [True] * 30 + [False] * 20
    second = [True] * 25 + [False] * 5 + [True] * 15 + [False] * 5
    there, back = statistics.paired_share_gain(first, second), statistics.paired_share_gain(second, first)
    assert there.mean == pytest.approx(40 / 50 - 30 / 50)
    assert there.interval.low < there.mean < there.interval.high
    assert back.interval.low == pytest.approx(-there.interval.high)


def test_five_pairs_without_a_change_do_not_prove_equality_but_five_hundred_do():
    few = statistics.paired_share_gain([True] * 5, [True] * 5)
    many = statistics.paired_share_gain([True] * 500, [True] * 500)
    assert few.mean == many.mean == 0.0
    assert few.interval.low < -0.3
    assert many.interval.low > -0.02


def test_the_paired_interval_covers_the_truth_about_as_often_as_it_claims():
    # 300 draws of 80 pairs: first right 0.6; second keeps 0.9 of those and wins 0.25 of the rest; gain = 0.64 - 0.6
    rng = np.random.default_rng(3)
    hits = 0
    for _ in range(300):
        first = rng.random(80) < 0.6
        second = np.where(first, rng.random(80) < 0.9, rng.random(80) < 0.25)
        gain = statistics.paired_share_gain(first.tolist(), second.tolist())
        hits += gain.interval.low <= 0.04 <= gain.interval.high
    assert 0.91 <= hits / 300 <= 0.99


def test_unequal_arms_are_refused():
    with pytest.raises(BadInput, match="1 and 2"):
        statistics.paired_share_gain([True], [True, False])


def test_discordant_counts_each_side():
    assert statistics.discordant([True, True, False, False], [True, False, True, True]) == (1, 2)


def test_the_bootstrap_is_repeatable_and_centres_on_the_mean_difference():
    first, second = [1.0, 2.0, 3.0, 4.0], [2.0, 2.0, 5.0, 5.0]
    one = statistics.paired_bootstrap(first, second, seed=5)
    assert one == statistics.paired_bootstrap(first, second, seed=5)
    assert one.mean == pytest.approx((1 + 0 + 2 + 1) / 4)
    assert one.interval.low <= one.mean <= one.interval.high


def test_clusters_widen_the_interval_when_turns_of_a_dialogue_agree():
    rng = np.random.default_rng(0)
    per_dialogue = rng.normal(size=20)
    second = np.repeat(per_dialogue, 5)
    labels = np.repeat(np.arange(20), 5).tolist()
    alone = statistics.paired_bootstrap(np.zeros(100), second, seed=1)
    together = statistics.paired_bootstrap(np.zeros(100), second, seed=1, clusters=labels)
    width = lambda gain: gain.interval.high - gain.interval.low  # noqa: E731
    # five equal turns a dialogue: the naive standard error is too small by sqrt(5) = 2.24
    assert width(together) / width(alone) == pytest.approx(math.sqrt(5), rel=0.15)
    assert (alone.clusters, together.clusters) == (100, 20)


def test_a_single_cluster_shows_no_spread():
    gain = statistics.paired_bootstrap([0, 0], [1, 2], seed=1, clusters=["a", "a"])
    assert gain.interval == statistics.Interval(-math.inf, math.inf)


def test_a_label_short_is_refused():
    with pytest.raises(BadInput, match="1 cluster labels for 2 pairs"):
        statistics.paired_bootstrap([0, 0], [1, 2], seed=1, clusters=["a"])


def test_kappa_is_one_for_equal_raters_and_falls_below_zero_for_opposed_ones():
    assert statistics.quadratic_weighted_kappa([1, 3, 5], [1, 3, 5]) == 1.0
    assert statistics.quadratic_weighted_kappa([1, 5], [5, 1]) == -1.0
    assert statistics.quadratic_weighted_kappa([4, 4], [4, 4]) == 1.0


def test_kappa_of_a_worked_table():
    # scores 1..3; pairs (1,1) (2,2) (3,3) (1,2): seen loss 1; margins 2,1,1 and 1,2,1 over 4 items:
    # expected = (2*2*1 + 2*1*4 + 1*1*1 + 1*1*1 + 1*1*4 + 1*2*1) / 4 = 20 / 4 = 5; kappa = 1 - 1/5
    assert statistics.quadratic_weighted_kappa([1, 2, 3, 1], [1, 2, 3, 2], 1, 3) == pytest.approx(0.8)


def test_a_score_off_the_scale_is_refused():
    with pytest.raises(BadInput, match=r"outside 1\.\.5"):
        statistics.quadratic_weighted_kappa([6], [1])


def test_rogan_gladen_corrects_five_percent_to_three_point_four():
    assert statistics.rogan_gladen(0.05, 0.02, 0.90) == pytest.approx(0.03 / 0.88)
    assert statistics.rogan_gladen(0.01, 0.02, 0.90) == 0.0
    with pytest.raises(BadInput, match="tells nothing"):
        statistics.rogan_gladen(0.05, 0.5, 0.5)
