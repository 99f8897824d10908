"""Kappa of two raters: the published formula, its interval, what chance and constancy do to it."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.errors import BadInput
from twainbot.evals.agreement import agreement, agreements, kappa
from twainbot.evals.statistics import quadratic_weighted_kappa

SCORE = st.integers(1, 5)


def scores(values, arm="adapter"):
    return {(f"d{number}", arm): float(value) for number, value in enumerate(values)}


@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=40))
@settings(max_examples=examples(200), deadline=None)
def test_on_whole_scores_it_equals_the_weighted_table_of_the_textbook(pairs):
    first, second = zip(*pairs, strict=True)
    assert kappa(first, second) == pytest.approx(quadratic_weighted_kappa(first, second), abs=1e-9)


@given(st.lists(st.tuples(SCORE, SCORE), min_size=1, max_size=40))
@settings(max_examples=examples(100), deadline=None)
def test_it_lies_between_minus_one_and_one_and_does_not_ask_who_is_first(pairs):
    first, second = zip(*pairs, strict=True)
    assert -1 - 1e-9 <= kappa(first, second) <= 1
    assert kappa(first, second) == pytest.approx(kappa(second, first))


def test_halves_of_a_judge_count():
    # misses 0.5 and 0.5: mean square 0.25; by chance var 4 + var 2.25 + (3 - 3)^2 = 6.25
    assert kappa([1, 5], [1.5, 4.5]) == pytest.approx(1 - 0.25 / 6.25)


def test_two_who_always_give_one_score_agree_and_two_different_ones_do_not():
    assert kappa([3, 3], [3, 3]) == 1.0
    assert kappa([3, 3], [4, 4]) == 0.0


def test_no_replies_or_unequal_lists_are_refused():
    with pytest.raises(BadInput):
        kappa([], [])
    with pytest.raises(BadInput):
        kappa([1], [1, 2])


def test_the_interval_holds_the_value_and_shrinks_with_more_dialogues():
    rng = np.random.default_rng(3)
    widths = []
    for count in (25, 400):
        truth = rng.integers(1, 6, count)
        noisy = np.clip(truth + rng.integers(-1, 2, count), 1, 5)
        found = agreement("a", "b", {"a": scores(truth), "b": scores(noisy)}, seed=1)
        assert found.interval.low < found.kappa < found.interval.high
        widths.append(found.interval.high - found.interval.low)
    # sixteen times the dialogues: about a quarter of the width
    assert widths[1] < widths[0] / 2


def test_both_replies_of_a_dialogue_are_drawn_together():
    truth = [1, 2, 3, 4, 5] * 8
    other = [2, 2, 3, 5, 4] * 8
    alone = agreement("a", "b", {"a": scores(truth), "b": scores(other)}, seed=1)
    doubled = {name: scores(values) | scores(values, "base") for name, values in (("a", truth), ("b", other))}
    twice = agreement("a", "b", doubled, seed=1)
    # the second reply repeats the first, so it brings no news: the interval stays as wide
    assert (twice.n, twice.items) == (80, 40)
    assert twice.interval.low == pytest.approx(alone.interval.low)


def test_only_common_replies_count_and_raters_without_any_give_nothing():
    given = {"a": scores([1, 2, 3]), "b": scores([1, 2, 3, 4, 5]), "c": scores([1], "base")}
    (found,) = agreements(given, seed=1)
    assert (found.first, found.second, found.n) == ("a", "b", 3)


def test_one_dialogue_has_no_interval():
    found = agreement("a", "b", {"a": scores([4]), "b": scores([4])}, seed=1)
    assert math.isinf(found.interval.low)


def test_equal_ratings_give_equal_intervals_on_every_run():
    given = {"a": scores([1, 4, 3, 5] * 9), "b": scores([2, 4, 2, 5] * 9)}
    assert agreements(given, seed=1) == agreements(given, seed=1)
