"""What finds the pairs worth verifying: the signature of a text under each engine, and the keys on which signatures meet.

* `minhash`: 128 values, joined on bands of 4 at threshold 0.7. The default.
* `fracminhash`: the n-grams with the least hashes, 1 in 16 and at least some 48 of a text; two texts meet that share one
  of the rarer half of those. No similar pair is missed, but what is rare depends on the whole corpus.
* `simhash`: 64 bits, most of which similar texts share; two texts that agree in a quarter of the bits meet. Cheap to
  store, and blind to most of what a threshold of 0.7 asks for: it is here to be measured against.
* `datasketch`: MinHash signatures by that package, joined as ours. The reference, for small corpora.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from twainbot.dedupe.flat import Block, Numbers, offsets, spread
from twainbot.dedupe.minhash import DedupeSettings, bands_for, datasketch_sketch, sketch
from twainbot.dedupe.shingles import Hashes

Values: TypeAlias = NDArray[np.uint32]
Band: TypeAlias = tuple[Numbers, Values]  # row numbers and their keys; rows of equal keys are candidates

SAMPLED = 16  # fracminhash keeps one n-gram in so many
LEAST_SAMPLE = 48  # expected n-grams of a text that it keeps; a text of no more keeps them all
# Of the overlap that a pair at the threshold has at least, this share may be lost to chance: 48 sampled n-grams of a text
# hold 8.5 +- 2.6 that a copy at 0.7 lacks, and 25 are joined. Texts that keep all their n-grams lose nothing for certain.
SLACK = 0.7
SIMHASH_BANDS = 4  # of 16 bits: texts within 3 bits of each other always agree in one
_BASE = np.uint64(0x9E3779B97F4A7C15)
_MIX_1, _MIX_2, _SHIFT = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53), np.uint64(32)


def signatures_of(block: Block, grams: Hashes, settings: DedupeSettings) -> tuple[Values, Numbers]:
    """The signatures of a block's texts, one behind the other, and the number of values of each; grams: of gram_hashes."""
    texts = len(block.starts) - 1
    if settings.engine == "fracminhash":
        return _sample(*distinct(grams, block.starts))
    if settings.engine == "simhash":
        return _simhash(grams, block.starts).view(np.uint32).reshape(-1), np.full(texts, 2, np.int64)
    if settings.engine == "datasketch":
        values, starts = distinct(grams, block.starts)
        made = datasketch_sketch(np.split(values, starts[1:-1]) if texts else [], settings)
    else:
        made = sketch(grams, block.starts, settings)
    return made.reshape(-1), np.full(texts, settings.permutations, np.int64)


def keys_of(values: Values, lengths: Numbers, settings: DedupeSettings) -> tuple[Values, Numbers]:
    """The keys on which signatures meet, one text's behind the other's, and the number of each text's keys."""
    if settings.engine == "fracminhash":
        return values, lengths
    if settings.engine == "simhash":
        made = values.view(np.uint16).reshape(-1, SIMHASH_BANDS).astype(np.uint32)
    else:
        matrix = values.reshape(-1, settings.permutations)
        count, width = bands_for(settings.threshold, settings.permutations)
        made = np.empty((len(matrix), count), np.uint32)
        for band in range(count):
            made[:, band] = _band_keys(matrix[:, band * width : (band + 1) * width])
    return made.reshape(-1), np.full(len(made), made.shape[1], np.int64)


def fixed_keys(settings: DedupeSettings) -> int | None:
    """How many keys each text has; None where that depends on the text."""
    if settings.engine == "fracminhash":
        return None
    return SIMHASH_BANDS if settings.engine == "simhash" else bands_for(settings.threshold, settings.permutations)[0]


def bands(keys: Values, lengths: Numbers, settings: DedupeSettings) -> list[Band]:
    """The keys of texts, numbered from 0, band by band."""
    rows = np.arange(len(lengths), dtype=np.int64)
    if settings.engine == "fracminhash":
        return [(np.repeat(rows, lengths), keys)]
    return [(rows, column) for column in _turned(keys.reshape(len(lengths), int(lengths[0]) if len(lengths) else 0))]


def _turned(matrix: Values) -> Values:
    """The transposed matrix, a few rows at a time: 4 ms for 74,000 x 32, where each column by itself takes 15."""
    made = np.empty(matrix.shape[::-1], matrix.dtype)
    for at in range(0, len(matrix), 1024):
        made[:, at : at + 1024] = matrix[at : at + 1024].T
    return made


def thinned(joined: list[Band], texts: int, settings: DedupeSettings) -> list[Band]:
    """The bands less the keys that need no join, once all texts are there: for fracminhash each text's commonest ones.

    Where the n-grams of all texts are put in one order, rarest first, two texts whose overlap is t of each share one of
    their first (1 - t) of them (prefix filtering: Bayardo, Ma, Srikant 2007).
    """
    if settings.engine != "fracminhash" or not joined:
        return joined
    rows, keys = joined[0]
    rarity = (_occurrences(keys) << _SHIFT) | keys
    order = np.lexsort((rarity, rows))
    sizes = np.bincount(rows, minlength=texts)
    place = spread(np.zeros(texts, np.int64), sizes)
    kept = order[place < np.repeat(sizes - (sizes * settings.threshold * SLACK).astype(np.int64), sizes)]
    return [(rows[kept], keys[kept])]


def _occurrences(keys: Values) -> NDArray[np.uint64]:
    order = np.argsort(keys, kind="stable")
    edge = np.flatnonzero(np.diff(keys[order])) + 1
    begin, end = np.concatenate([[0], edge]), np.concatenate([edge, [len(keys)]])
    counts = np.empty(len(keys), np.uint64)
    counts[order] = np.repeat(end - begin, end - begin)
    return counts


def _band_keys(columns: Values) -> Values:
    """32 bits of each row: half a billionth of unlike rows agree, and are told apart when they are verified."""
    state = np.zeros(len(columns), np.uint64)
    for column in columns.T:
        state += column
        state *= _MIX_1
        state ^= state >> _SHIFT
    state *= _MIX_2
    return (state >> _SHIFT).astype(np.uint32)


def distinct(grams: Hashes, starts: Numbers) -> tuple[Hashes, Numbers]:
    """The sets: the distinct hashes of each stretch in order, and where each set starts, the total last."""
    grams = grams.copy()
    for begin, end in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        grams[begin:end].sort()
    kept = np.ones(len(grams), np.bool_)
    kept[1:] = grams[1:] != grams[:-1]
    filled = starts[:-1][np.diff(starts) > 0]
    kept[filled] = True
    return grams[kept], offsets(kept)[starts]


def _sample(values: Hashes, starts: Numbers) -> tuple[Values, Numbers]:
    """The least hashes of each set: as the limit falls with the set's size only, the samples of like sets are alike."""
    lengths = np.diff(starts)
    share = np.maximum(1 / SAMPLED, LEAST_SAMPLE / np.maximum(lengths, LEAST_SAMPLE))
    limits = np.where(share >= 1, 2.0**64 - 2048, share * 2.0**64).astype(np.uint64)
    # sorted sets: the sample is a set's beginning
    kept = values <= np.repeat(limits, lengths)
    kept |= np.repeat(share >= 1, lengths)
    sizes = np.diff(offsets(kept)[starts])
    return (values[kept] * _BASE >> _SHIFT).astype(np.uint32), sizes


def _simhash(grams: Hashes, starts: Numbers) -> Hashes:
    """64 bits per text, each that of the majority of its n-grams; all zero for a text without words."""
    lengths = np.diff(starts)
    made = np.zeros(len(lengths), np.uint64)
    filled = np.flatnonzero(lengths)
    for some in _limited(filled, lengths[filled], 1 << 18):
        taken = grams[spread(starts[:-1][some], lengths[some])]
        bits = np.unpackbits(taken.view(np.uint8).reshape(-1, 8), axis=1)
        ones = np.add.reduceat(bits, offsets(lengths[some])[:-1], axis=0, dtype=np.int64)
        made[some] = np.packbits(2 * ones > lengths[some][:, None], axis=1).view(np.uint64).reshape(-1)
    return made


def _limited(numbers: Numbers, sizes: Numbers, most: int) -> Sequence[Numbers]:
    """The numbers in stretches whose sizes sum to about `most` at the most."""
    return np.split(numbers, np.flatnonzero(np.diff(np.cumsum(sizes) // most)) + 1) if len(numbers) else []
