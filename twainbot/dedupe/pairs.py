"""From texts to verified pairs of row numbers. Chunk rows with stored signatures are chunk_pairs.py's.

Texts that are equal word for word count once: pairs are found between distinct texts, in the order of their hashes, and
then given to every row. So the order of rows cannot show in the result.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from twainbot.dedupe.buckets import candidates
from twainbot.dedupe.engines import Band, bands, distinct, keys_of, signatures_of, thinned
from twainbot.dedupe.flat import Numbers, blocks, gram_hashes, offsets, spread, text_digests
from twainbot.dedupe.groups import Groups
from twainbot.dedupe.minhash import DedupeSettings
from twainbot.dedupe.shingles import Hashes
from twainbot.dedupe.verify import gram_sets, verified

KEPT_GRAMS = 1 << 25  # 256 MB: of larger corpora, the texts of candidates are read a second time
_PAIR = {"a": pl.Int64, "b": pl.Int64, "jaccard": pl.Float64, "containment": pl.Float64}


def near_duplicates(
    texts: Sequence[str | None],
    threshold: float = 0.7,
    *,
    shingle: int = 3,
    permutations: int = 128,
    seed: int = 1,
    engine: str = "minhash",
) -> pl.DataFrame:
    """Pairs of row numbers a < b whose word n-grams have a Jaccard similarity of at least `threshold`, sorted.

    `jaccard` and `containment` (shared n-grams over those of the shorter text) are exact, not estimates; the engine only
    picks the pairs to verify. Nulls and texts without a word are nobody's duplicates. Of more than 64 copies of one text,
    the rest are paired with the first. Raises BadUse on settings out of range.
    """
    settings = DedupeSettings(threshold, shingle, permutations, seed, engine)
    found = _distinct_texts(texts, settings)

    def sets_of(numbers: Numbers) -> tuple[Hashes, Numbers]:
        if found.grams is not None:
            return distinct(*found.grams.of(numbers))
        return gram_sets([texts[row] or "" for row in found.first[numbers].tolist()], shingle)

    first, second, _ = candidates(found.bands, len(found.first))
    pairs = verified(first, second, found.words, sets_of, threshold)
    rows = Groups.of(found.text_of_row, len(found.first)).expanded(pairs)
    return pl.DataFrame([rows.first, rows.second, rows.jaccard, rows.containment], schema=_PAIR)


@dataclass(frozen=True)
class _Grams:
    """The n-gram hashes of all distinct texts, kept where they fit: verifying then reads no text a second time."""

    hashes: Hashes
    starts: Numbers
    lengths: Numbers

    def of(self, numbers: Numbers) -> tuple[Hashes, Numbers]:
        lengths = self.lengths[numbers]
        return self.hashes[spread(self.starts[numbers], lengths)], offsets(lengths)


@dataclass(frozen=True)
class _Distinct:
    """Texts that are equal word for word, once each, numbered in the order of their hashes."""

    text_of_row: Numbers  # -1 where a row has no words
    first: Numbers  # a row of each text
    words: Numbers
    bands: list[Band]
    grams: _Grams | None


def _distinct_texts(texts: Sequence[str | None], settings: DedupeSettings) -> _Distinct:
    number_of: dict[bytes, int] = {}
    text_of_row = np.full(len(texts), -1, np.int64)
    first: list[int] = []
    words: list[Numbers] = [np.zeros(0, np.int64)]
    made: list[list[Band]] = []
    kept: list[Hashes] | None = [np.zeros(0, np.uint64)]
    held = 0
    for block in blocks(texts):
        fresh = np.zeros(len(block.starts) - 1, np.bool_)
        raw, lengths = text_digests(block), block.lengths
        for place in np.flatnonzero(lengths).tolist():
            digest = raw[16 * place : 16 * place + 16]
            number = number_of.setdefault(digest, len(number_of))
            text_of_row[block.first + place] = number
            if number == len(first):
                fresh[place] = True
                first.append(block.first + place)
        if fresh.any():
            block = block.select(fresh)
            grams = gram_hashes(block, settings.shingle)
            made.append(
                _shifted(
                    bands(*keys_of(*signatures_of(block, grams, settings), settings), settings),
                    len(first) - len(block.lengths),
                )
            )
            words.append(block.lengths)
            held += len(grams)
            if kept is not None:
                kept = [*kept, grams] if held <= KEPT_GRAMS else None
    order = np.array(sorted(range(len(first)), key=list(number_of).__getitem__), np.int64)
    rank = np.empty_like(order)
    rank[order] = np.arange(len(order))
    text_of_row[text_of_row >= 0] = rank[text_of_row[text_of_row >= 0]]
    lengths = np.concatenate(words)
    grams_of = _Grams(np.concatenate(kept), offsets(lengths)[:-1][order], lengths[order]) if kept is not None else None
    joined = thinned(_joined(made, rank), len(rank), settings)
    return _Distinct(text_of_row, np.array(first, np.int64)[order], lengths[order], joined, grams_of)


def _shifted(made: list[Band], shift: int) -> list[Band]:
    return [(rows + shift, keys) for rows, keys in made]


def _joined(made: list[list[Band]], rank: Numbers) -> list[Band]:
    """Bands of all blocks together, rows by rank."""
    parts = zip(*made, strict=True)
    return [
        (rank[np.concatenate([rows for rows, _ in band])], np.concatenate([keys for _, keys in band])) for band in parts
    ]
