"""Sketches and bands: probabilities as documented, candidates as datasketch's own index finds them."""

from __future__ import annotations

import random
from itertools import combinations

import datasketch
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twainbot.dedupe.minhash import BAND_RECALL, BUCKET_REACH, DedupeSettings, bands_for, candidates, meets, sketch
from twainbot.dedupe.shingles import shingle_hashes
from twainbot.errors import BadUse


def sets(number: int, seed: int = 0) -> list[np.ndarray]:
    """Sets of shingle hashes, every second one a changed copy of the one before it."""
    rng = random.Random(seed)
    made = []
    for _ in range(number // 2):
        text = [f"w{rng.randrange(500)}" for _ in range(60)]
        changed = [word if rng.random() > 0.03 else "changed" for word in text]
        made += [shingle_hashes(text, 3), shingle_hashes(changed, 3)]
    return made


def test_documented_probabilities_are_the_computed_ones():
    assert bands_for(0.7, 128) == (25, 5)
    assert bands_for(0.8, 128) == (18, 7)
    assert [round(meets(s, 25, 5), 3) for s in (0.7, 0.5, 0.3)] == [0.990, 0.548, 0.059]
    assert round(meets(0.8, 18, 7), 3) == 0.986


def test_the_documented_effect_of_edits_follows_from_the_formula():
    def jaccard(edited: float, shingle: int) -> float:
        kept = (1 - edited) ** shingle
        return round(kept / (2 - kept), 2)

    assert [jaccard(e, 3) for e in (0.02, 0.05, 0.10)] == [0.89, 0.75, 0.57]
    assert [jaccard(e, 5) for e in (0.02, 0.05, 0.10)] == [0.82, 0.63, 0.42]


@given(st.floats(0.05, 1.0), st.integers(64, 256))
def test_bands_catch_pairs_at_the_threshold_and_fit_the_permutations(threshold, permutations):
    bands, rows = bands_for(threshold, permutations)
    assert bands * rows <= permutations
    assert rows == 1 or meets(threshold, bands, rows) >= BAND_RECALL


def test_sketches_are_datasketchs_own():
    hashes = sets(2)[0]
    own = datasketch.MinHash(num_perm=64, seed=7, hashfunc=lambda value: int(value) & 0xFFFFFFFF, scheme="affine32")
    own.update_batch(hashes.tolist())
    assert sketch([hashes], DedupeSettings(permutations=64, seed=7)).tolist() == [own.hashvalues.tolist()]


def test_candidates_are_those_of_datasketchs_index():
    config = DedupeSettings()
    matrix = sketch(sets(80), config)
    bands, rows = bands_for(config.threshold, config.permutations)
    index = datasketch.MinHashLSH(num_perm=config.permutations, params=(bands, rows))
    hashed = [datasketch.MinHash(hashvalues=row, seed=config.seed, scheme="affine32") for row in matrix]
    for number, minhash in enumerate(hashed):
        index.insert(number, minhash)
    expected = {(a, b) for a, minhash in enumerate(hashed) for b in index.query(minhash) if a < b}
    assert {tuple(pair) for pair in candidates(matrix, bands, rows).tolist()} == expected
    assert len(expected) >= 30, "most of the 40 planted copies meet"


@settings(max_examples=50)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 2), st.integers(0, 2), st.integers(0, 2)), max_size=12))
def test_candidates_are_all_pairs_that_share_a_band(rows):
    matrix = np.array(rows, np.uint32).reshape(-1, 4)
    pairs = combinations(range(len(rows)), 2)
    expected = [[a, b] for a, b in pairs if rows[a][:2] == rows[b][:2] or rows[a][2:] == rows[b][2:]]
    assert candidates(matrix, 2, 2).tolist() == expected


def test_a_huge_bucket_links_each_member_to_the_next_ones_only():
    total = BUCKET_REACH + 10
    pairs = candidates(np.zeros((total, 2), np.uint32), 1, 2)
    # all pairs but those more than BUCKET_REACH apart: 9 + 8 + ... + 1 of them
    assert len(pairs) == total * (total - 1) // 2 - 45
    assert int((pairs[:, 1] - pairs[:, 0]).max()) == BUCKET_REACH


def test_no_texts_have_no_signatures_and_no_candidates():
    matrix = sketch([], DedupeSettings())
    assert matrix.shape == (0, 128)
    assert candidates(matrix, 25, 5).shape == (0, 2)


@pytest.mark.parametrize("field", [{"threshold": 0.0}, {"threshold": 1.1}, {"shingle": 0}, {"permutations": 1}])
def test_settings_out_of_range_are_refused_by_name(field):
    with pytest.raises(BadUse, match=next(iter(field))):
        DedupeSettings(**field)


def test_the_scheme_names_all_that_changes_a_signature():
    base = DedupeSettings()
    changed = [DedupeSettings(shingle=5), DedupeSettings(permutations=64), DedupeSettings(seed=2)]
    assert len({config.scheme for config in [base, *changed]}) == 4
    assert DedupeSettings(threshold=0.9).scheme == base.scheme, "a new threshold needs no new signatures"
