"""MinHash sketches and the candidate pairs that share a band of one. Verifying candidates is pairs.py's business.

Sketches are datasketch's. Its LSH index is a Python dictionary per band; the same buckets are formed here by sorting,
which needs no index in memory and gives the same pairs in any order of input (a test compares the two).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from twainbot.dedupe.shingles import SHINGLES_VERSION, Hashes
from twainbot.errors import BadUse

Signatures: TypeAlias = NDArray[np.uint32]  # (texts, permutations)
Pairs: TypeAlias = NDArray[np.int64]  # (pairs, 2), row numbers, first < second, sorted, distinct

BAND_RECALL = 0.98  # of pairs exactly at the threshold; just above it nearly none is missed, and below none is wanted
BUCKET_REACH = 256  # members of a bucket meet the next 256 only: bounds template texts, whose copies link up in a chain
_LOW_32_BITS = np.uint64(0xFFFFFFFF)


@dataclass(frozen=True)
class DedupeSettings:
    """What counts as a near-duplicate: at least `threshold` Jaccard similarity of the sets of `shingle` words in a row.

    Changing e of the words at random leaves s = (1-e)**shingle of the n-grams and J = s/(2-s). With 3 words, edits of
    2, 5 and 10 % give J = 0.89, 0.75 and 0.57; with 5 words 0.82, 0.63 and 0.42. So at 0.7 three words still catch what
    an edition's changed spelling does to a passage, and five words do not.
    """

    threshold: float = 0.7
    shingle: int = 3
    permutations: int = 128
    seed: int = 1

    def __post_init__(self) -> None:
        """Raises BadUse naming the field that is out of range."""
        if not 0 < self.threshold <= 1:
            raise BadUse(f"threshold={self.threshold} must be above 0 and at most 1.")
        if self.shingle < 1:
            raise BadUse(f"shingle={self.shingle} must be at least one word.")
        if self.permutations < 2:
            raise BadUse(f"permutations={self.permutations} must be at least 2.")

    @property
    def scheme(self) -> str:
        """Names all that a signature depends on. Signatures of unlike schemes say nothing about each other."""
        sketch = f"datasketch-affine32-p{self.permutations}-s{self.seed}"
        return f"{sketch}/shingle{self.shingle}/{SHINGLES_VERSION}"


def sketch(shingles: Iterable[Hashes], settings: DedupeSettings) -> Signatures:
    """One MinHash signature per set of shingle hashes, in order. The empty set's signature is all ones."""
    import datasketch  # takes 0.6 s to import, most of it scipy, and few who import this package sketch

    values = ((hashes & _LOW_32_BITS).tolist() for hashes in shingles)
    made = datasketch.MinHash.generator(
        values, num_perm=settings.permutations, seed=settings.seed, hashfunc=int, scheme="affine32"
    )
    rows = [minhash.hashvalues for minhash in made]
    return np.stack(rows) if rows else np.zeros((0, settings.permutations), np.uint32)


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows per band: as many rows as still catch BAND_RECALL of the pairs at the threshold.

    A pair at similarity s meets with p = 1 - (1 - s**rows)**bands. 128 permutations give 25 x 5 at 0.7 (p = 0.990 there,
    0.548 at 0.5, 0.059 at 0.3) and 18 x 7 at 0.8 (p = 0.986).
    """
    rows = 1
    while meets(threshold, permutations // (rows + 1), rows + 1) >= BAND_RECALL:
        rows += 1
    return permutations // rows, rows


def meets(similarity: float, bands: int, rows: int) -> float:
    """The probability that a pair of the given Jaccard similarity shares at least one band."""
    return 1 - (1 - similarity**rows) ** bands if bands else 0.0


def candidates(signatures: Signatures, bands: int, rows: int) -> Pairs:
    """All pairs of rows that agree in a whole band, up to BUCKET_REACH places apart in a bucket's order of rows."""
    total = len(signatures)
    found = [np.zeros(0, np.int64)]
    for band in range(bands):
        values = np.ascontiguousarray(signatures[:, band * rows : (band + 1) * rows])
        first, second = _bucket_pairs(values.view(np.dtype((np.void, values.itemsize * rows))).ravel())
        found.append(np.unique(first * total + second))
    coded = np.unique(np.concatenate(found))
    return np.stack([coded // max(1, total), coded % max(1, total)], axis=1)


def _bucket_pairs(keys: NDArray[np.void]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    buckets = np.unique(keys, return_inverse=True)[1].ravel()
    order = np.argsort(buckets, kind="stable")  # within a bucket by row number
    ordered = buckets[order]
    firsts, seconds = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)]
    left = np.arange(len(order))
    for reach in range(1, BUCKET_REACH + 1):
        left = left[left + reach < len(order)]
        left = left[ordered[left] == ordered[left + reach]]  # whoever has no neighbour this far has none farther
        if not len(left):
            break
        firsts.append(order[left])
        seconds.append(order[left + reach])
    return np.concatenate(firsts), np.concatenate(seconds)
