"""Exact values of many pairs at once equal those of two sets at a time; copies and pairs become pairs of rows."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.dedupe import verify
from twainbot.dedupe.groups import MAX_COPIES, Groups
from twainbot.dedupe.shingles import shingle_hashes, similarity, words
from twainbot.dedupe.verify import Verified, gram_sets, verified

TEXTS = st.lists(st.lists(st.sampled_from("abc"), max_size=9).map(" ".join), min_size=2, max_size=7)


def of_texts(texts: list[str], threshold: float, length: int = 2) -> list[tuple[int, int, float, float]]:
    pairs = np.array(list(combinations(range(len(texts)), 2)), np.int64).reshape(-1, 2)
    sizes = np.array([len(words(text)) for text in texts], np.int64)
    made = verified(
        pairs[:, 0], pairs[:, 1], sizes, lambda rows: gram_sets([texts[row] for row in rows], length), threshold
    )
    columns = (made.first, made.second, made.jaccard, made.containment)
    return list(zip(*(column.tolist() for column in columns), strict=True))


def one_by_one(texts: list[str], threshold: float, length: int = 2) -> list[tuple[int, int, float, float]]:
    sets = [shingle_hashes(words(text), length) for text in texts]
    values = ((a, b, *similarity(sets[a], sets[b])) for a, b in combinations(range(len(texts)), 2))
    return [row for row in values if row[2] >= threshold]


@settings(max_examples=examples(80), deadline=None)
@given(TEXTS, st.sampled_from([0.1, 0.5, 0.7, 1.0]))
def test_many_at_once_are_as_exact_as_one_by_one(texts, threshold):
    assert of_texts(texts, threshold) == one_by_one(texts, threshold)


@pytest.mark.parametrize(("words_at_once", "cells"), [(1, 1), (12, 30), (1 << 20, 7)])
def test_shares_do_not_show_in_the_result(monkeypatch, words_at_once, cells):
    texts = ["a b c d e f g h", "a b c d e f g", "a b x d e f g h", "q", "a b c d e f g h i j k l m n"]
    whole = one_by_one(texts, 0.2)
    monkeypatch.setattr(verify, "WORDS_AT_ONCE", words_at_once)
    monkeypatch.setattr(verify, "_CELLS", cells)
    assert of_texts(texts, 0.2) == whole
    assert len(whole) >= 4


def test_no_pairs_are_no_pairs():
    assert of_texts(["a b c", "x y z"], 0.5) == []


def test_a_text_of_copies_is_paired_up_to_a_bound_and_then_with_the_first():
    rows = MAX_COPIES + 6
    first, second = Groups.of(np.zeros(rows, np.int64), 1).copies()
    pairs = set(zip(first.tolist(), second.tolist(), strict=True))
    assert pairs == {*combinations(range(MAX_COPIES), 2), *((0, row) for row in range(MAX_COPIES, rows))}
    assert len(first) == len(pairs)


def test_a_pair_of_texts_is_a_pair_of_all_their_rows():
    groups = Groups.of(np.array([1, 0, -1, 1, 2]), 3)  # text 0 in row 1, text 1 in rows 0 and 3, text 2 in row 4
    near = Verified(np.array([0]), np.array([1]), np.array([0.8]), np.array([0.9]))
    made = groups.expanded(near)
    columns = (made.first, made.second, made.jaccard, made.containment)
    assert list(zip(*(column.tolist() for column in columns), strict=True)) == [
        (0, 1, 0.8, 0.9),
        (0, 3, 1.0, 1.0),
        (1, 3, 0.8, 0.9),
    ]
