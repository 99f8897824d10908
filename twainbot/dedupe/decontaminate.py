"""Evaluation text inside training text, by shared word n-grams. What is done about a hit is the caller's decision."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import polars as pl

from twainbot.dedupe.shingles import Hashes, ngram_hashes, words

MIN_WORDS = 4  # an item of fewer words ("Will it rain?") occurs in innocent text, and is not looked for
_HIT = {"row": pl.Int64, "item": pl.String, "matched": pl.Int64, "fraction": pl.Float64}
_Places: TypeAlias = dict[int, list[tuple[str, int]]]  # n-gram hash -> (item, place in the item)


def contaminated(texts: Sequence[str], eval_texts: Mapping[str, str], n: int = 8) -> pl.DataFrame:
    """Rows of `texts` that share at least n words in a row with an evaluation item, one row per pair, sorted.

    `matched` is the longest shared run in words, `fraction` the share of the item's distinct n-grams that occur in the
    text (0..1). Case, punctuation and layout do not matter. An item of 4 to n-1 words counts where it occurs whole.
    """
    worded = {item: words(text) for item, text in eval_texts.items()}
    indexes = [_Index.of(length, worded, n) for length in _lengths(worded, n)]
    hits: list[tuple[int, str, int, float]] = []
    for row, text in enumerate(texts):
        text_words = words(text)
        hits += [(row, *hit) for index in indexes for hit in index.hits(text_words)]
    return pl.DataFrame(hits, schema=_HIT, orient="row").sort("row", "item")


def _lengths(worded: Mapping[str, Sequence[str]], n: int) -> list[int]:
    return sorted({min(n, len(item)) for item in worded.values() if len(item) >= min(n, MIN_WORDS)})


@dataclass(frozen=True)
class _Index:
    """The n-grams of one length of all items that are matched at that length."""

    length: int
    known: Hashes
    places: _Places
    totals: dict[str, int]  # distinct n-grams of each item

    @classmethod
    def of(cls, length: int, worded: Mapping[str, Sequence[str]], n: int) -> _Index:
        places: _Places = {}
        totals = {}
        for item, item_words in worded.items():
            if min(n, len(item_words)) == length:
                grams = ngram_hashes(item_words, length).tolist()
                totals[item] = len(set(grams))
                for place, gram in enumerate(grams):
                    places.setdefault(gram, []).append((item, place))
        return cls(length, np.array(sorted(places), np.uint64), places, totals)

    def hits(self, text_words: Sequence[str]) -> list[tuple[str, int, float]]:
        """(item, longest shared run in words, share of the item's n-grams) of each item that the words touch."""
        if len(text_words) < self.length:
            return []
        grams = ngram_hashes(text_words, self.length)
        # `known` is sorted, so a binary search does; np.isin would sort it again for every text (85 % of the time here).
        nearest = np.minimum(np.searchsorted(self.known, grams), len(self.known) - 1)
        if not (self.known[nearest] == grams).any():
            return []
        longest, shared = self._runs(grams.tolist())
        return [(item, longest[item] + self.length - 1, len(shared[item]) / self.totals[item]) for item in longest]

    def _runs(self, grams: Sequence[int]) -> tuple[dict[str, int], dict[str, set[int]]]:
        """Longest run of n-grams that follow each other in text and item alike, and the n-grams seen, by item."""
        longest: dict[str, int] = {}
        shared: dict[str, set[int]] = {}
        before: dict[tuple[str, int], int] = {}
        for gram in grams:
            here = {}
            for item, place in self.places.get(gram, ()):
                here[item, place] = run = before.get((item, place - 1), 0) + 1
                longest[item] = max(longest.get(item, 0), run)
                shared.setdefault(item, set()).add(gram)
            before = here
        return longest, shared
