"""Words, n-gram hashes and exact similarity: equal text gives equal hashes, in any process."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.dedupe.shingles import ngram_hashes, shingle_hashes, similarity, text_hash, words

PINNED = 1368918915014361461  # computed once; another value means that stored signatures no longer join
WORDS = st.lists(st.sampled_from(["river", "pilot", "fog", "bell", "mud"]), max_size=12)


def test_case_punctuation_quotes_and_layout_make_no_difference():
    plain = words("The pilot's bell, he said, rang twice")
    assert words("THE PILOT’S BELL -- he said -- “rang\n twice”!") == plain
    assert words("_The_ pilot's  bell; he said: rang twice.") == plain


def test_text_hash_is_128_bits_of_the_words():
    assert text_hash(["river", "fog"]) == text_hash(words("River... fog!"))
    assert len(text_hash([])) == 32
    assert text_hash(["river", "fog"]) != text_hash(["fog", "river"])


@given(WORDS, st.integers(1, 6))
def test_hashes_are_equal_exactly_where_ngrams_are(text_words, length):
    grams = (
        [tuple(text_words[i : i + length]) for i in range(max(1, len(text_words) - length + 1))] if text_words else []
    )
    hashes = ngram_hashes(text_words, length)
    assert len(hashes) == len(grams)
    assert len(shingle_hashes(text_words, length)) == len(set(grams))
    assert len(set(zip(grams, hashes.tolist(), strict=True))) == len(set(grams))


def test_a_text_shorter_than_the_shingle_is_one_shingle():
    assert len(shingle_hashes(["fog", "bell"], 5)) == 1
    assert ngram_hashes(["fog"], 3).tolist() != ngram_hashes(["fog", "fog"], 3).tolist()


def test_a_half_overlap_has_jaccard_one_third():
    # 4 single-word shingles each, 2 shared: 2 / (4 + 4 - 2) = 1/3, and 2 of the smaller set's 4
    a, b = shingle_hashes(list("abcd"), 1), shingle_hashes(list("cdef"), 1)
    assert similarity(a, b) == (pytest.approx(1 / 3), 0.5)


def test_a_contained_text_has_containment_one():
    a, b = shingle_hashes(list("abcdefgh"), 3), shingle_hashes(list("cdef"), 3)  # 6 shingles, 2 of them shared
    assert similarity(a, b) == (pytest.approx(2 / 6), 1.0)


def test_no_words_are_similar_to_nothing():
    none = shingle_hashes([], 3)
    assert similarity(none, none) == (0.0, 0.0)
    assert similarity(none, shingle_hashes(["fog"], 3)) == (0.0, 0.0)


@given(WORDS, WORDS)
def test_similarity_equals_that_of_python_sets(one, other):
    a, b = shingle_hashes(one, 2), shingle_hashes(other, 2)
    left, right = set(a.tolist()), set(b.tolist())
    jaccard = len(left & right) / len(left | right) if left and right else 0.0
    assert similarity(a, b)[0] == pytest.approx(jaccard)


@pytest.mark.parametrize("seed", ["0", "4242"])
def test_hashes_do_not_depend_on_the_process(seed, root):
    code = "from twainbot.dedupe.shingles import *; print(ngram_hashes(words('Fog on the river'), 3).tolist())"
    ran = subprocess.run(
        [sys.executable, "-c", code],
        cwd=root,
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        check=True,
    )
    assert ran.stdout.decode().strip() == str(ngram_hashes(words("Fog on the river"), 3).tolist())


def test_hashes_stay_what_they_were_when_signatures_were_stored():
    assert ngram_hashes(["fog", "on", "river"], 3).dtype == np.uint64
    assert ngram_hashes(["fog", "on", "river"], 3).tolist() == [PINNED]
