"""Candidates are the pairs that share a bucket; crowds are bounded without falling apart."""

from __future__ import annotations

from itertools import combinations

import datasketch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.dedupe import buckets
from twainbot.dedupe.clusters import components
from twainbot.dedupe.engines import bands, distinct, keys_of, signatures_of
from twainbot.dedupe.flat import blocks, gram_hashes
from twainbot.dedupe.minhash import DedupeSettings, bands_for

KEYS = st.integers(2, 9).flatmap(
    lambda rows: st.lists(st.lists(st.integers(0, 3), min_size=rows, max_size=rows), min_size=1, max_size=4)
)


def joined(keys: list[list[int]]) -> list[tuple[np.ndarray, np.ndarray]]:
    return [(np.arange(len(band), dtype=np.int64), np.array(band, np.uint32)) for band in keys]


def found(keys: list[list[int]], fresh: list[bool] | None = None) -> list[tuple[int, int]]:
    first, second, _ = buckets.candidates(joined(keys), len(keys[0]), None if fresh is None else np.array(fresh))
    return list(zip(first.tolist(), second.tolist(), strict=True))


@settings(max_examples=examples(60), deadline=None)
@given(KEYS)
def test_candidates_are_all_pairs_of_rows_with_a_key_in_common(keys):
    pairs = combinations(range(len(keys[0])), 2)
    assert found(keys) == [(a, b) for a, b in pairs if any(band[a] == band[b] for band in keys)]


@settings(max_examples=examples(60), deadline=None)
@given(KEYS, st.data())
def test_fresh_candidates_are_those_with_a_fresh_row(keys, data):
    fresh = data.draw(st.lists(st.booleans(), min_size=len(keys[0]), max_size=len(keys[0])))
    assert found(keys, fresh) == [(a, b) for a, b in found(keys) if fresh[a] or fresh[b]]


def test_candidates_are_those_of_datasketchs_own_index():
    texts = [" ".join(f"w{(row * 7 + place * (1 + row % 3)) % 50}" for place in range(60)) for row in range(80)]
    config = DedupeSettings(engine="datasketch")
    (block,) = blocks(texts)
    values, lengths = signatures_of(block, gram_hashes(block, 3), config)
    first, second, _ = buckets.candidates(bands(*keys_of(values, lengths, config), config), len(texts))
    count, width = bands_for(config.threshold, config.permutations)
    index = datasketch.MinHashLSH(num_perm=config.permutations, params=(count, width))
    made = [
        datasketch.MinHash(hashvalues=row, seed=config.seed, scheme="affine32")
        for row in values.reshape(len(texts), -1)
    ]
    for number, minhash in enumerate(made):
        index.insert(number, minhash)
    expected = {(a, b) for a, minhash in enumerate(made) for b in index.query(minhash) if a < b}
    assert set(zip(first.tolist(), second.tolist(), strict=True)) == expected
    assert len(expected) >= 30


@pytest.mark.parametrize("rows", [5, 12, 200])
def test_a_crowd_stays_one_component_with_few_pairs(monkeypatch, rows):
    monkeypatch.setattr(buckets, "CROWD", 4)
    monkeypatch.setattr(buckets, "PIVOT_PAIRS", 40)
    keys = joined([[7] * rows, list(range(rows))])
    first, second, crowded = buckets.candidates(keys, rows)
    assert crowded
    assert set(components(rows, first, second).tolist()) == {0}
    pivots = max(2, 40 // rows)
    assert len(first) <= rows * (pivots + buckets.NEIGHBOURS)


def test_in_a_crowd_rows_that_share_the_next_band_meet(monkeypatch):
    monkeypatch.setattr(buckets, "CROWD", 4)
    monkeypatch.setattr(buckets, "PIVOT_PAIRS", 40)
    monkeypatch.setattr(buckets, "NEIGHBOURS", 1)
    rows = 40
    twins = [row % 20 for row in range(rows)]  # row and row + 20
    first, second, _ = buckets.candidates(joined([[7] * rows, twins]), rows)
    met = set(zip(first.tolist(), second.tolist(), strict=True))
    assert {(row, row + 20) for row in range(20)} <= met


def test_many_pairs_are_handed_on_in_shares(monkeypatch):
    keys = [[row % 5 for row in range(60)], [row % 7 for row in range(60)]]
    whole = found(keys)
    monkeypatch.setattr(buckets, "_AT_ONCE", 8)
    assert found(keys) == whole


def test_a_row_that_holds_a_key_twice_does_not_meet_itself():
    band = (np.array([0, 0, 1], np.int64), np.array([5, 5, 6], np.uint32))
    first, _, _ = buckets.candidates([band], 2)
    assert first.tolist() == []


@settings(deadline=None)
@given(st.lists(st.lists(st.integers(0, 9), max_size=8), max_size=5))
def test_distinct_sorts_each_set_and_drops_repeats(sets):
    starts = np.cumsum([0, *map(len, sets)])
    values, made = distinct(np.array([value for row in sets for value in row], np.uint64), starts)
    assert [part.tolist() for part in np.split(values, made[1:-1])][: len(sets)] == [sorted(set(row)) for row in sets]
