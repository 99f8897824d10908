"""Evaluation text inside training text, by shared word n-grams. What is done about a hit is the caller's decision."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import polars as pl

from twainbot.dedupe.shingles import Hashes, ngram_hashes, words

MIN_WORDS = 4  # an item of fewer words ("Will it rain?") occurs in innocent text, and is not looked for
MAX_EXCERPT = 300  # characters of an overlap that are shown; a longer one loses its middle
OVERLAP: Mapping[str, Any] = {
    "text_id": pl.String,
    "suite": pl.String,
    "item_id": pl.String,
    "words": pl.Int64,  # of the longest shared run
    "share": pl.Float64,  # of the item's distinct n-grams that occur in the text, 0..1
    "start": pl.Int64,  # characters of the run in the text, 0-based, inclusive
    "end": pl.Int64,  # exclusive
    "excerpt": pl.String,  # the run as the text has it, on one line
}
_WORDY = re.compile(r"\S+")
_HIT = {"row": pl.Int64, "item": pl.String, "matched": pl.Int64, "fraction": pl.Float64}
_Places: TypeAlias = dict[int, list[tuple[str, int]]]  # n-gram hash -> (item, place in the item)


def contaminated(texts: Sequence[str], eval_texts: Mapping[str, str], n: int = 8) -> pl.DataFrame:
    """Rows of `texts` that share at least n words in a row with an evaluation item, one row per pair, sorted.

    `matched` is the longest shared run in words, `fraction` the share of the item's distinct n-grams that occur in the
    text (0..1). Case, punctuation and layout do not matter. An item of 4 to n-1 words counts where it occurs whole.
    """
    indexes = _indexes(eval_texts, n)
    hits: list[tuple[int, str, int, float]] = []
    for row, text in enumerate(texts):
        text_words = words(text)
        found = (hit for index in indexes for hit in index.hits(text_words))
        hits += [(row, item, matched, share) for item, matched, share, _ in found]
    return pl.DataFrame(hits, schema=_HIT, orient="row").sort("row", "item")


def eval_overlaps(texts: Iterable[tuple[str, str]], eval_texts: Mapping[str, str], n: int = 8) -> pl.DataFrame:
    """`contaminated` with what a report needs: rows of OVERLAP, sorted by text, suite and item. texts: id and text.

    An item's key is `suite/item id`, as resources/suites.py makes it; without a slash it has no suite.
    """
    indexes = _indexes(eval_texts, n)
    rows: list[tuple[str, str, str, int, float, int, int, str]] = []
    for text_id, text in texts:
        text_words = words(text)
        for item, matched, share, last in (hit for index in indexes for hit in index.hits(text_words)):
            suite, item_id = item.split("/", 1) if "/" in item else ("", item)
            start, end = word_span(text, last - matched + 1, last)
            rows.append((text_id, suite, item_id, matched, share, start, end, shortened(text[start:end])))
    return pl.DataFrame(rows, schema=dict(OVERLAP), orient="row").sort("text_id", "suite", "item_id")


def word_span(text: str, first: int, last: int) -> tuple[int, int]:
    """Where the folded words `first` to `last` (0-based, both inclusive) stand in the text as it is, white space apart."""
    start = end = count = 0
    for token in _WORDY.finditer(text):
        held = len(words(token[0]))
        if held and count <= first < count + held:
            start = token.start()
        if held and count <= last < count + held:
            end = token.end()
        count += held
    return start, end


def shortened(text: str) -> str:
    """On one line, and without the middle where it is long."""
    line = " ".join(text.split())
    half = MAX_EXCERPT // 2
    return line if len(line) <= MAX_EXCERPT else f"{line[:half]} … {line[-half:]}"


def _indexes(eval_texts: Mapping[str, str], n: int) -> list[_Index]:
    worded = {item: words(text) for item, text in eval_texts.items()}
    return [_Index.of(length, worded, n) for length in _lengths(worded, n)]


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

    def hits(self, text_words: Sequence[str]) -> list[tuple[str, int, float, int]]:
        """(item, longest shared run in words, share of the item's n-grams, the run's last word in the text) of each item."""
        if len(text_words) < self.length:
            return []
        grams = ngram_hashes(text_words, self.length)
        # `known` is sorted, so a binary search does; np.isin would sort it again for every text (85 % of the time here).
        nearest = np.minimum(np.searchsorted(self.known, grams), len(self.known) - 1)
        if not (self.known[nearest] == grams).any():
            return []
        longest, shared = self._runs(grams.tolist())
        more = self.length - 1  # words of an n-gram after its first
        return [
            (item, run + more, len(shared[item]) / self.totals[item], place + more)
            for item, (run, place) in longest.items()
        ]

    def _runs(self, grams: Sequence[int]) -> tuple[dict[str, tuple[int, int]], dict[str, set[int]]]:
        """By item: the longest run of n-grams that follow each other in text and item alike, with the place of its last
        n-gram in the text (the first of several as long), and the n-grams seen.
        """
        longest: dict[str, tuple[int, int]] = {}
        shared: dict[str, set[int]] = {}
        before: dict[tuple[str, int], int] = {}
        for at, gram in enumerate(grams):
            here = {}
            for item, place in self.places.get(gram, ()):
                here[item, place] = run = before.get((item, place - 1), 0) + 1
                if run > longest.get(item, (0, 0))[0]:
                    longest[item] = run, at
                shared.setdefault(item, set()).add(gram)
            before = here
        return longest, shared
