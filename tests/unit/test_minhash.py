"""Sketches: probabilities as documented, values that agree as often as sets do, datasketch's own as a reference."""

from __future__ import annotations

import datasketch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.dedupe.flat import mixed, offsets
from twainbot.dedupe.minhash import BAND_RECALL, EMPTY, DedupeSettings, bands_for, datasketch_sketch, meets, sketch
from twainbot.dedupe.shingles import shingle_hashes
from twainbot.errors import BadUse


def sketched(sets: list[np.ndarray], config: DedupeSettings | None = None) -> np.ndarray:
    starts = offsets(np.array([len(values) for values in sets], np.int64))
    return sketch(np.concatenate([np.zeros(0, np.uint64), *sets]), starts, config or DedupeSettings())


def pairs_of(size: int, shared: int, count: int) -> list[np.ndarray]:
    """2 * count sets of `size` random hashes, of which each pair of neighbours shares `shared`."""
    made = []
    for number in range(count):
        first = number * 2 * size
        values = mixed(np.arange(first, first + 2 * size - shared, dtype=np.uint64) + np.uint64(7))
        made += [values[:size], values[size - shared :]]
    return made


def test_documented_probabilities_are_the_computed_ones():
    assert bands_for(0.7, 128) == (32, 4)
    assert bands_for(0.8, 128) == (25, 5)
    assert [round(meets(s, 32, 4), 4) for s in (0.7, 0.5, 0.3, 0.1)] == [0.9998, 0.8732, 0.2291, 0.0032]
    assert round(meets(0.8, 25, 5), 5) == 0.99995


def test_the_documented_effect_of_edits_follows_from_the_formula():
    def jaccard(edited: float, shingle: int) -> float:
        kept = (1 - edited) ** shingle
        return round(kept / (2 - kept), 2)

    assert [jaccard(e, 3) for e in (0.02, 0.05, 0.10)] == [0.89, 0.75, 0.57]
    assert [jaccard(e, 5) for e in (0.02, 0.05, 0.10)] == [0.82, 0.63, 0.42]


@settings(deadline=None)
@given(st.floats(0.05, 1.0), st.integers(64, 256))
def test_bands_catch_pairs_at_the_threshold_and_fit_the_permutations(threshold, permutations):
    bands, rows = bands_for(threshold, permutations)
    assert bands * rows <= permutations
    assert rows == 1 or meets(threshold, bands, rows) >= BAND_RECALL


@pytest.mark.parametrize("size", [6, 30, 300, 1500])
def test_values_agree_as_often_as_the_sets_do(size):
    # 4 of 6 shared: 4 / (6 + 6 - 4) = 0.5. Over 200 pairs of 128 values the mean's error is at most
    # sqrt(0.25 / 128 / 200) = 0.003 if values are independent, somewhat more for small sets; four times that is allowed.
    shared = size * 2 // 3
    matrix = sketched(pairs_of(size, shared, 200))
    assert (matrix[0::2] == matrix[1::2]).mean() == pytest.approx(0.5, abs=0.013)


@pytest.mark.parametrize("size", [7, 34, 340])
def test_pairs_at_the_threshold_share_a_band_nearly_always(size):
    shared = -(-size * 14 // 17)  # J = 0.7 and a little more
    matrix = sketched(pairs_of(size, shared, 400))
    met = (matrix[0::2] == matrix[1::2]).reshape(400, 32, 4).all(axis=2).any(axis=1)
    assert met.mean() >= BAND_RECALL - 0.0025, "at most one of 400 missed"


@settings(max_examples=examples(40), deadline=None)
@given(st.lists(st.integers(0, 2**64 - 1), max_size=40), st.randoms())
def test_a_sketch_is_that_of_the_set_whatever_its_order_repeats_and_neighbours(values, rng):
    repeated = values + [rng.choice(values) for _ in range(5) if values]
    rng.shuffle(repeated)
    sets = [np.array(row, np.uint64) for row in (values, repeated, [1, 2, 3])]
    matrix = sketched(sets)
    assert matrix[0].tolist() == matrix[1].tolist() == sketched(sets[:1])[0].tolist()
    assert (matrix == EMPTY).all(axis=1).tolist() == [not values, not values, False]


def test_a_smaller_part_of_a_set_never_has_a_smaller_value():
    values = mixed(np.arange(50, dtype=np.uint64))
    matrix = sketched([values, values[:20]])
    assert (matrix[0] <= matrix[1]).all()


def test_unlike_seeds_give_unlike_sketches():
    values = [mixed(np.arange(50, dtype=np.uint64))]
    assert (sketched(values) == sketched(values, DedupeSettings(seed=2))).mean() < 0.1


def test_no_texts_have_no_signatures():
    assert sketched([]).shape == (0, 128)
    assert datasketch_sketch([], DedupeSettings()).shape == (0, 128)


def test_reference_sketches_are_datasketchs_own():
    hashes = shingle_hashes(["the", "bell", "rang", "in", "the", "fog"], 3)
    own = datasketch.MinHash(num_perm=64, seed=7, hashfunc=lambda value: int(value) & 0xFFFFFFFF, scheme="affine32")
    own.update_batch(hashes.tolist())
    made = datasketch_sketch([hashes], DedupeSettings(permutations=64, seed=7))
    assert made.tolist() == [own.hashvalues.tolist()]


@pytest.mark.parametrize(
    "field", [{"threshold": 0.0}, {"threshold": 1.1}, {"shingle": 0}, {"permutations": 1}, {"engine": "lsh"}]
)
def test_settings_out_of_range_are_refused_by_name(field):
    with pytest.raises(BadUse, match=next(iter(field))):
        DedupeSettings(**field)


def test_the_scheme_names_all_that_changes_a_signature():
    base = DedupeSettings()
    changed = [
        DedupeSettings(shingle=5),
        DedupeSettings(permutations=64),
        DedupeSettings(seed=2),
        *(DedupeSettings(engine=engine) for engine in ("fracminhash", "simhash", "datasketch")),
    ]
    assert len({config.scheme for config in [base, *changed]}) == 7
    assert DedupeSettings(threshold=0.9).scheme == base.scheme, "a new threshold needs no new signatures"
