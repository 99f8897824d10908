"""Words and word n-grams of a text as 64-bit hashes, and exact set similarity. Sketches of them live in minhash.py.

Hashes come from blake2b and fixed arithmetic only, so they are the same in every process, version and machine.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from twainbot.corpora.normalize import NORMALISER_VERSION, fold

SHINGLES_VERSION = (
    f"words1-fold{NORMALISER_VERSION}"  # part of every signature's scheme; raise words<n> when _WORD changes
)
Hashes: TypeAlias = NDArray[np.uint64]

_WORD = re.compile(r"[^\W_]+")  # letters and digits; punctuation and Gutenberg's _italics_ make no difference
_BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying loses nothing; n-grams are polynomials in it
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # MurmurHash3's 64-bit finaliser
_SHIFT = np.uint64(33)


def words(text: str) -> list[str]:
    """The folded words of a text in order. Texts that differ in case, punctuation or layout have the same words."""
    return _WORD.findall(fold(text))


def text_hash(text_words: Sequence[str]) -> str:
    """128 bits in hex over the words; equal exactly where the words are equal."""
    return hashlib.blake2b(" ".join(text_words).encode(), digest_size=16).hexdigest()


def ngram_hashes(text_words: Sequence[str], length: int) -> Hashes:
    """Hashes of the word n-grams in order of place; fewer words than `length` are one shorter n-gram, none are none."""
    if not text_words:
        return np.zeros(0, np.uint64)
    hashed = np.fromiter(map(_word_hash, text_words), np.uint64, len(text_words))
    length = min(length, len(hashed))
    count = len(hashed) - length + 1
    grams = np.full(count, length, np.uint64)  # the length comes first: "a" and "a b" never share an n-gram
    for offset in range(length):
        grams = grams * _BASE + hashed[offset : offset + count]
    return _mixed(grams)


def shingle_hashes(text_words: Sequence[str], length: int) -> Hashes:
    """The set of word n-grams as sorted distinct hashes. 64 bits: a false match among 10**9 n-grams has p = 0.03."""
    return np.unique(ngram_hashes(text_words, length))


def similarity(a: Hashes, b: Hashes) -> tuple[float, float]:
    """Exact Jaccard similarity, and containment (shared n-grams over those of the smaller set), of two sorted sets."""
    if not len(a) or not len(b):
        return 0.0, 0.0
    both = np.concatenate([a, b])
    both.sort(kind="stable")  # two sorted runs: merged in linear time
    shared = int(np.count_nonzero(both[1:] == both[:-1]))
    return shared / (len(both) - shared), shared / min(len(a), len(b))


@lru_cache(maxsize=1 << 20)  # a million distinct words is more than any language's books use; about 150 MB when full
def _word_hash(word: str) -> int:
    return int.from_bytes(hashlib.blake2b(word.encode(), digest_size=8).digest(), "little")


def _mixed(values: Hashes) -> Hashes:
    values = (values ^ (values >> _SHIFT)) * _MIX_1
    values = (values ^ (values >> _SHIFT)) * _MIX_2
    return values ^ (values >> _SHIFT)
