"""What counts as a near-duplicate, and MinHash sketches of n-gram sets. Other engines: engines.py; joins: buckets.py."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from twainbot.dedupe.flat import HASH_VERSION, Numbers, mixed, offsets, spread
from twainbot.dedupe.shingles import SHINGLES_VERSION, Hashes
from twainbot.errors import BadUse

Signatures: TypeAlias = NDArray[np.uint32]  # (texts, permutations)

ENGINES = ("minhash", "fracminhash", "simhash", "datasketch")
BAND_RECALL = 0.999  # of pairs exactly at the threshold; just above it none is missed in practice
ROUNDS = 24  # of throwing a set's elements into the bins; later, empty bins are filled one by one
EMPTY = np.uint32(0xFFFFFFFF)
_LOW_32_BITS = np.uint64(0xFFFFFFFF)
_VALUE_BITS = 27  # of a bin's value; the round stands above them, so that an earlier round is always smaller
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_THROWN_AT_ONCE = 1 << 18  # elements: 2 MB an array


@dataclass(frozen=True)
class DedupeSettings:
    """What counts as a near-duplicate: at least `threshold` Jaccard similarity of the sets of `shingle` words in a row.

    Changing e of the words at random leaves s = (1-e)**shingle of the n-grams and J = s/(2-s). With 3 words, edits of
    2, 5 and 10 % give J = 0.89, 0.75 and 0.57; with 5 words 0.82, 0.63 and 0.42. So at 0.7 three words still catch what
    an edition's changed spelling does to a passage, and five words do not: of 1,000 planted copies with 5 % edits 955 and 374
    were found (docs/benchmarks.md). `engine` finds the pairs to verify: one of
    ENGINES, described in engines.py. `permutations`: values of a MinHash signature.
    """

    threshold: float = 0.7
    shingle: int = 3
    permutations: int = 128
    seed: int = 1
    engine: str = "minhash"

    def __post_init__(self) -> None:
        """Raises BadUse naming the field that is out of range."""
        if not 0 < self.threshold <= 1:
            raise BadUse(f"threshold={self.threshold} must be above 0 and at most 1.")
        if self.shingle < 1:
            raise BadUse(f"shingle={self.shingle} must be at least one word.")
        if self.permutations < 2:
            raise BadUse(f"permutations={self.permutations} must be at least 2.")
        if self.engine not in ENGINES:
            raise BadUse(f"engine={self.engine!r} is not known. Choose one of {', '.join(ENGINES)}.")

    @property
    def scheme(self) -> str:
        """Names all that a signature depends on. Signatures of unlike schemes say nothing about each other."""
        sketch = {
            "minhash": f"minhash1-bins{self.permutations}-s{self.seed}",
            "fracminhash": "fracminhash1",
            "simhash": "simhash1",
            "datasketch": f"datasketch-affine32-p{self.permutations}-s{self.seed}",
        }[self.engine]
        version = SHINGLES_VERSION if self.engine == "datasketch" else HASH_VERSION
        return f"{sketch}/shingle{self.shingle}/{version}"

    @property
    def key_scheme(self) -> str:
        """Names all that a text's keys depend on: the scheme, and how keys come from a signature."""
        count, width = bands_for(self.threshold, self.permutations)
        made = {"fracminhash": "sample", "simhash": "quarters"}.get(self.engine, f"bands{count}x{width}")
        return f"{self.scheme}/keys1-{made}"


def sketch(grams: Hashes, starts: Numbers, settings: DedupeSettings) -> Signatures:
    """One MinHash signature per set of n-gram hashes: set i is grams[starts[i]:starts[i + 1]], repeats allowed.

    A signature's values agree with probability J, as those of 128 permutations would, at a twentieth of their price: each
    n-gram is thrown into one bin, and the least value of a bin stands; n-grams are thrown again, with another hash, only
    while a set has an empty bin ("Fast Similarity Sketching", Dahlgaard, Knudsen, Thorup 2017). The empty set's signature
    is all ones.
    """
    lengths, bins = np.diff(starts), settings.permutations
    bins_of = np.full((len(lengths), bins), EMPTY, np.uint32)
    open_sets = np.flatnonzero(lengths)
    owners = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    for number, multiplier in enumerate(_multipliers(ROUNDS, settings.seed)):
        if not len(open_sets):
            return bins_of
        _throw(bins_of.reshape(-1), bins, grams, owners, number, multiplier)
        open_sets = open_sets[(bins_of[open_sets] == EMPTY).any(axis=1)]
        owners, grams = _of_sets(open_sets, len(lengths), owners, grams)
    return _fill(bins_of, open_sets, owners, grams, settings.seed)


def _of_sets(chosen: Numbers, total: int, owners: Numbers, grams: Hashes) -> tuple[Numbers, Hashes]:
    kept = np.zeros(total, np.bool_)
    kept[chosen] = True
    wanted = kept[owners]
    return owners[wanted], grams[wanted]


def _multipliers(count: int, seed: int, stream: int = 0) -> Hashes:
    first = np.uint64((seed * 0x2545F4914F6CDD1D + stream * 0x9E6C63D0876A9A47) & 0xFFFFFFFFFFFFFFFF)
    return mixed(np.arange(1, count + 1, dtype=np.uint64) * _GOLDEN + first) | np.uint64(1)


def _throw(
    flat_bins: Signatures, bins: int, grams: Hashes, owners: Numbers, number: int, multiplier: np.uint64
) -> None:
    """Put the least value of each bin where none of an earlier round stands."""
    above = np.uint32(number << _VALUE_BITS)
    for at in range(0, len(grams), _THROWN_AT_ONCE):
        thrown = grams[at : at + _THROWN_AT_ONCE] * multiplier
        places = (((thrown >> np.uint64(32)) * np.uint64(bins)) >> np.uint64(32)).view(np.int64)
        places += owners[at : at + _THROWN_AT_ONCE] * bins
        values = thrown.astype(np.uint32) >> np.uint32(32 - _VALUE_BITS)
        values |= above
        np.minimum.at(flat_bins, places, values)


def _fill(bins_of: Signatures, open_sets: Numbers, owners: Numbers, grams: Hashes, seed: int) -> Signatures:
    """Give each bin that is still empty the least of all the set's values under a hash of the bin's own."""
    multipliers = _multipliers(bins_of.shape[1], seed, stream=1)
    lengths = np.bincount(owners, minlength=len(bins_of))[open_sets]
    starts = offsets(lengths)[:-1]
    for some in np.array_split(np.arange(len(open_sets)), 1 + int(lengths.sum()) * bins_of.shape[1] // (1 << 22)):
        row, column = np.nonzero(bins_of[open_sets[some]] == EMPTY)
        count = lengths[some][row]
        taken = grams[spread(starts[some][row], count)] * np.repeat(multipliers[column], count)
        values = (taken >> np.uint64(64 - _VALUE_BITS)).astype(np.uint32) | np.uint32(ROUNDS << _VALUE_BITS)
        if len(row):
            bins_of[open_sets[some][row], column] = np.minimum.reduceat(values, offsets(count)[:-1])
    return bins_of


def datasketch_sketch(shingles: Iterable[Hashes], settings: DedupeSettings) -> Signatures:
    """datasketch's own signatures of sets of shingle hashes, in order: the reference, and slower by far."""
    import datasketch  # takes 0.6 s to import, most of it scipy

    values = ((hashes & _LOW_32_BITS).tolist() for hashes in shingles)
    made = datasketch.MinHash.generator(
        values, num_perm=settings.permutations, seed=settings.seed, hashfunc=int, scheme="affine32"
    )
    rows = [minhash.hashvalues for minhash in made]
    return np.stack(rows) if rows else np.zeros((0, settings.permutations), np.uint32)


def bands_for(threshold: float, permutations: int) -> tuple[int, int]:
    """Bands and rows per band: as many rows as still catch BAND_RECALL of the pairs at the threshold.

    A pair at similarity s meets with p = 1 - (1 - s**rows)**bands. 128 permutations give 32 x 4 at 0.7 (p = 0.9998 there,
    0.873 at 0.5, 0.229 at 0.3, 0.003 at 0.1) and 25 x 5 at 0.8 (p = 0.99995).
    """
    rows = 1
    while meets(threshold, permutations // (rows + 1), rows + 1) >= BAND_RECALL:
        rows += 1
    return permutations // rows, rows


def meets(similarity: float, bands: int, rows: int) -> float:
    """The probability that a pair of the given Jaccard similarity shares at least one band."""
    return 1 - (1 - similarity**rows) ** bands if bands else 0.0
