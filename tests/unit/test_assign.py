"""Splits: nothing that belongs together is parted, every stratum is divided alike, and nothing depends on row order."""

from __future__ import annotations

import random
import sys
from itertools import product

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.errors import BadInput, BadUse
from twainbot.records import ASSIGNMENT, SPLITS
from twainbot.splits import assign, balance, leaks
from twainbot.splits.groups import group_labels

split_rules = sys.modules["twainbot.splits.assign"]  # the package's `assign` is the function

SCHEMA = {
    "sample_id": pl.String, "kind": pl.String, "stratum": pl.String,
    "cluster_id": pl.String, "work_id": pl.String, "seed_id": pl.String,
}  # fmt: skip


def samples(*ties: tuple[str | None, str | None, str | None], strata: list[str] | None = None) -> pl.DataFrame:
    """Samples s000, s001, ... with (cluster, work, seed) each."""
    rows = [(f"s{n:04d}", "passage", strata[n] if strata else "twain", *tie) for n, tie in enumerate(ties)]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


def works(sizes: list[int], stratum: str = "twain") -> pl.DataFrame:
    rows = [
        (f"{stratum}-{work}-{n:04d}", "passage", stratum, f"{stratum}-c{work}-{n}", f"{stratum}-w{work}", None)
        for work, size in enumerate(sizes)
        for n in range(size)
    ]
    return pl.DataFrame(rows, schema=SCHEMA, orient="row")


TIE = st.one_of(st.none(), st.sampled_from(["a", "b", "c", "d"]))
TIES = st.lists(st.tuples(TIE, TIE, TIE), max_size=20)


@settings(max_examples=examples(150), deadline=None)
@given(TIES, st.integers(0, 3), st.data())
def test_no_tie_is_ever_parted_and_every_sample_is_assigned_once(ties, seed, data):
    strata = data.draw(st.lists(st.sampled_from(["x", "y"]), min_size=len(ties), max_size=len(ties)))
    given_samples = samples(*ties, strata=strata)
    made = assign(given_samples, seed=seed)
    assert made.schema == pl.Schema(ASSIGNMENT)
    assert made["sample_id"].to_list() == given_samples["sample_id"].to_list()
    assert leaks(made, given_samples) == []


@settings(max_examples=examples(40), deadline=None)
@given(TIES, st.randoms())
def test_the_order_of_rows_does_not_matter(ties, rng):
    given_samples = samples(*ties)
    order = list(range(len(given_samples)))
    rng.shuffle(order)
    assert assign(given_samples[order]).equals(assign(given_samples))


def test_a_group_is_all_that_hangs_together_through_clusters_works_and_seeds():
    chained = samples(
        ("c1", "w1", None), ("c1", "w2", None), (None, "w2", "s1"), (None, None, "s1"), ("c2", "w3", None)
    )
    assert group_labels(chained) == [0, 0, 0, 0, 4]
    assert assign(chained)["group_id"].to_list() == ["s0000"] * 4 + ["s0004"]


def test_a_value_ties_only_within_its_own_column():
    assert group_labels(samples(("a", None, None), (None, "a", None), (None, None, "a"))) == [0, 1, 2]


def test_a_dialogue_with_several_parent_works_ties_them_all():
    rows = pl.DataFrame({"sample_id": ["d", "p1", "p2", "p3"], "work_id": [["w1", "w2"], ["w1"], ["w2"], ["w3"]]})
    assert group_labels(rows) == [0, 0, 0, 3]


def test_a_thousand_free_samples_are_divided_exactly_80_10_10():
    made = assign(samples(*[(None, None, None)] * 1000))
    assert {split: (made["split"] == split).sum() for split in SPLITS} == {"train": 800, "validation": 100, "test": 100}


def test_every_stratum_is_divided_alike_even_when_small():
    frames = [works([1] * 2000, "jokes"), works([1] * 20, "aphorisms"), works([40, 30, 25, 12, 11, 9, 8, 5], "books")]
    table = balance(assign(pl.concat(frames)))
    assert table["note"].to_list() == [None, None, None]
    assert table["validation_share"].is_between(0.10, 0.15).all()
    # of the 20 aphorisms 2 are validation and 2 test
    assert table.filter(stratum="aphorisms").select("validation_share", "test_share").row(0) == (0.1, 0.1)


def test_one_huge_book_goes_to_training_and_does_not_starve_validation():
    made = assign(works([800, 60, 50, 50, 40]))
    assert set(made.filter(pl.col("group_id").str.starts_with("twain-0"))["split"]) == {"train"}
    assert balance(made)["note"].to_list() == [None]


@pytest.mark.parametrize("seed", range(5))
def test_validation_is_not_left_empty_where_training_can_spare_a_work(seed):
    made = assign(works([700, 300, 260]), seed=seed)
    assert made.filter(split="validation")["group_id"].unique().to_list() == ["twain-2-0000"]  # the smallest
    assert (made["split"] == "train").any()


def looked_at_one_by_one(counts, splits, surplus, weights):
    """(group, split) of the move that gains most, the first of equals; every group is looked at."""
    best, found = 1e-9, []
    for group, row in enumerate(counts):
        for to in range(3):
            gain = sum(row * (surplus[splits[group]] - surplus[to]))
            gain -= sum(row**2 * weights) * (split_rules._URGENCY[splits[group]] + split_rules._URGENCY[to]) / 2
            if to != splits[group] and gain > best:
                best, found = gain, [(group, to)]
    return found


@given(
    st.lists(st.tuples(st.sampled_from([(1, 0), (0, 1), (2, 0), (1, 3)]), st.integers(0, 2)), min_size=1, max_size=12)
)
def test_looking_at_one_group_of_each_kind_finds_what_looking_at_all_finds(groups):
    """Shares of 16 and 4 samples: powers of two, so that no sum is rounded and equal moves are equal."""
    counts, splits = np.array([row for row, _ in groups], float), np.array([split for _, split in groups])
    weights, targets = np.array([1 / 16, 1 / 4]), np.array([[4.0, 2.0], [1.0, 1.0], [1.0, 1.0]])
    alike = split_rules._Alike(counts, splits)
    for _ in range(6):
        held = np.stack([counts[splits == split].sum(axis=0) for split in range(3)])
        surplus = (held - targets) * weights * split_rules._URGENCY[:, None]
        moves = alike.best_move(surplus, weights)
        assert moves == looked_at_one_by_one(counts, splits, surplus, weights)
        for group, to in moves:
            splits[group] = to
            alike.move(group, to)


def test_a_stratum_of_a_single_work_trains_and_says_why_it_has_no_validation():
    table = balance(assign(works([30])))
    assert table.select("train_share", "validation_share", "groups").row(0) == (1.0, 0.0, 1)
    assert "30 samples form 1 group(s)" in table["note"][0]


def test_few_samples_go_to_training_first():
    for size, expected in [(1, {"train"}), (2, {"train", "validation"}), (3, {"train", "validation", "test"})]:
        assert set(assign(works([1] * size))["split"]) == expected


def cost(counts: np.ndarray, splits: tuple[int, ...]) -> float:
    """Squared deviations from 80/10/10 (validation rounded up), validation three times: the rule, written again."""
    total = 0.0
    for stratum in counts.T:
        size = stratum.sum()
        validation = min(np.ceil(size / 10 - 1e-9), max(size - 1, 0))
        test = min(max(np.rint(size / 10), 1), max(size - validation - 1, 0))
        for split, (wished, weight) in enumerate([(size - validation - test, 1), (validation, 3), (test, 1)]):
            held = sum(n for n, where in zip(stratum, splits, strict=True) if where == split)
            total += weight * ((held - wished) / max(1, size)) ** 2
    return total


def test_small_cases_come_out_as_good_as_the_best_of_all_divisions():
    rng = random.Random(0)
    best_found = 0
    for _ in range(40):
        sizes = [rng.randint(1, 60) for _ in range(rng.randint(4, 7))]
        made = assign(works(sizes))
        placed = dict(made.select("group_id", "split").unique().iter_rows())
        splits = tuple(SPLITS.index(placed[f"twain-{work}-0000"]) for work in range(len(sizes)))
        counts = np.array([[size] for size in sizes], float)
        # divisions without validation are not wished for, whatever their distance
        divisions = [d for d in product(range(3), repeat=len(sizes)) if 1 in d]
        best = min(cost(counts, division) for division in divisions)
        best_found += cost(counts, splits) <= best + 1e-9
    assert best_found >= 32, f"{best_found} of 40 are the best division"


def test_added_samples_leave_most_others_where_they_were():
    before = assign(works([1] * 2000))
    added = works([1] * 2000).vstack(works([1] * 100, "later").with_columns(stratum=pl.lit("twain")))
    both = before.join(assign(added), on="sample_id")
    moved = (both["split"] != both["split_right"]).mean()
    assert moved < 0.03, "5 % more samples change the split of fewer than 3 %"


def test_another_seed_gives_another_split():
    given_samples = works([1] * 200)
    assert not assign(given_samples, seed=1).equals(assign(given_samples, seed=2))
    assert assign(given_samples, seed=1).equals(assign(given_samples, seed=1))


@pytest.mark.parametrize("fractions", [(0.8, 0.2), (0.8, 0.1, 0.2), (1.1, -0.1, 0.0)])
def test_fractions_that_are_no_division_are_refused(fractions):
    with pytest.raises(BadUse, match="fractions"):
        assign(works([3]), fractions)


def test_a_repeated_sample_id_is_refused_by_name():
    with pytest.raises(BadInput, match="'twain-0-0000'"):
        assign(pl.concat([works([2]), works([1])]))


def test_no_samples_have_no_assignments():
    assert assign(samples()).schema == pl.Schema(ASSIGNMENT)
    assert balance(assign(samples())).is_empty()
