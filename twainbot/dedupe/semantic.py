"""Texts that are alike in meaning but not in words, by the cosine of their vectors: a report, never a decision.

Near-duplicates in words are pairs.py's. Every pair is compared, in blocks: exact, and with no index to tune. At 60,000
texts of 384 numbers that is 0.7 * 10**12 multiplications, about a minute on two cores; the vectors cost far more.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np
import polars as pl
from numpy.typing import NDArray

from twainbot.dedupe.shingles import shingle_hashes, similarity, words
from twainbot.errors import BadInput

Vectors: TypeAlias = NDArray[np.float32]

BLOCK = 2048  # rows at once: 2048 x 2048 cosines are 16 MB
MOST = 10_000  # pairs kept, the most alike: a table that a person reads
LOOKED_AT = 10 * MOST  # pairs that may be of one work or near-duplicates after all; templates make millions
ALIKE: dict[str, Any] = {"a": pl.String, "b": pl.String, "cosine": pl.Float64, "jaccard": pl.Float64}


def alike_in_meaning(
    chunks: pl.DataFrame, vectors: Vectors, bound: float, threshold: float, shingle: int
) -> pl.DataFrame:
    """Pairs of chunks of different works with a cosine of at least `bound` and a Jaccard similarity under `threshold`.

    Rows of ALIKE, a < b, the most alike first. `vectors`: (chunks, dimensions), of length 1, in the order of the rows.
    Raises BadInput where their numbers differ.
    """
    if len(vectors) != chunks.height:
        raise BadInput(f"{len(vectors)} vectors came for {chunks.height} chunks. Embed the chunks that are compared.")
    ids, works, texts = (chunks[name].to_list() for name in ("chunk_id", "work_id", "text"))
    rows = []
    for cosine, i, j in heapq.nlargest(LOOKED_AT, close_pairs(vectors, bound)):
        if works[i] == works[j]:  # windows of one work overlap, and are split together anyway
            continue
        one, other = (shingle_hashes(words(texts[place]), shingle) for place in (i, j))
        jaccard = similarity(one, other)[0]
        if jaccard < threshold:
            rows.append((*sorted((ids[i], ids[j])), round(cosine, 4), jaccard))  # the last bits are the processor's
        if len(rows) == MOST:
            break
    return pl.DataFrame(rows, schema=ALIKE, orient="row").sort("cosine", "a", "b", descending=[True, False, False])


def close_pairs(vectors: Vectors, bound: float, block: int = BLOCK) -> Iterator[tuple[float, int, int]]:
    """(cosine, row, other row) of every pair with a cosine of at least `bound`, the smaller row first."""
    for top in range(0, len(vectors), block):
        for left in range(top, len(vectors), block):
            cosines = vectors[top : top + block] @ vectors[left : left + block].T
            for i, j in np.argwhere(cosines >= bound).tolist():
                if top + i < left + j:
                    yield float(cosines[i, j]), top + i, left + j


def normalised(vectors: Sequence[NDArray[np.float32]]) -> Vectors:
    """The vectors as one matrix with rows of length 1; a zero row stays zero, and is like nothing."""
    if not len(vectors):
        return np.zeros((0, 0), np.float32)
    stacked = np.stack(list(vectors)).astype(np.float32)
    lengths = np.linalg.norm(stacked, axis=1, keepdims=True)
    return (stacked / np.where(lengths == 0, 1, lengths)).astype(np.float32)
