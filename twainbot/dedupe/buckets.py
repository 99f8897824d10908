"""Rows of equal keys as candidate pairs, one band at a time. Keys come from engines.py, verifying is verify.py's.

A bucket of up to CROWD rows gives all its pairs. In a larger one (a template with a word changed, a phrase that everybody
uses) a square of pairs would be useless work: there each row meets the first few, and those next to it in the order of
the next band's keys, so that what belongs together still hangs together.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from twainbot.dedupe.engines import Band, Values
from twainbot.dedupe.flat import Numbers, spread
from twainbot.dedupe.shingles import Hashes

CROWD = 512  # rows: 131,000 pairs
PIVOT_PAIRS = 1 << 17  # of one larger bucket: each row meets the first PIVOT_PAIRS / rows, and at least two
NEIGHBOURS = 4  # next rows, in the order of the next band's keys; none where a crowd passes 131,000 rows
_AT_ONCE = 1 << 22  # pairs: 32 MB
_LOW_32_BITS = np.uint64(0xFFFFFFFF)
_32 = np.uint64(32)


def candidates(
    bands: Sequence[Band], total: int, fresh: NDArray[np.bool_] | None = None
) -> tuple[Numbers, Numbers, bool]:
    """Distinct pairs of rows (first < second, sorted) that meet in a bucket, and whether any bucket was a crowd.

    With `fresh` (one flag per row) only pairs with at least one fresh row, and none at all where a fresh row stands in a
    crowd, as a crowd's pairs depend on who else is in it: the caller asks again without it.
    """
    if fresh is not None:
        return _fresh_candidates(bands, total, fresh)
    found: list[Numbers] = []
    waiting, crowded = 0, False
    for number, (rows, keys) in enumerate(bands):
        for first, second, crowd in _bucket_pairs(rows, keys, bands[(number + 1) % len(bands)][1]):
            crowded |= crowd
            found.append(first * total + second)
            waiting += len(found[-1])
        if waiting > _AT_ONCE:
            found, waiting = [_distinct(found)], 0
    return *_decoded(found, total), crowded


def _fresh_candidates(bands: Sequence[Band], total: int, fresh: NDArray[np.bool_]) -> tuple[Numbers, Numbers, bool]:
    """What only other rows share is not looked at: rows that may share a fresh one's key are few, and sorted at once."""
    rows_of, keys_of = [np.zeros(0, np.int64)], [np.zeros(0, np.uint64)]
    for number, (rows, keys) in enumerate(bands):
        near = np.flatnonzero(_touched(keys, fresh[rows]))
        rows_of.append(rows[near])
        keys_of.append(keys[near] | np.uint64(number << 32))
    rows, keys = np.concatenate(rows_of), np.concatenate(keys_of)
    order = np.argsort(keys)
    ordered = rows[order]
    begin, size = _stretches(keys[order])
    crowded = bool(size.max(initial=0) > CROWD)
    met = np.flatnonzero(size > 1) if not crowded else np.zeros(0, np.int64)
    begin, size = begin[met], size[met]
    found: list[Numbers] = []
    for start, stop in _shares(size):
        one, other = _all_pairs(ordered, begin[start:stop], size[start:stop])
        kept = fresh[one] | fresh[other]
        one, other = one[kept], other[kept]
        found.append(np.minimum(one, other) * total + np.maximum(one, other))
    return *_decoded(found, total), crowded


def _decoded(coded: Sequence[Numbers], total: int) -> tuple[Numbers, Numbers]:
    pairs = _distinct(coded)
    first, second = pairs // max(1, total), pairs % max(1, total)
    other = first != second  # a row that holds a key twice meets itself
    return first[other], second[other]


def _stretches(ordered: Hashes) -> tuple[Numbers, Numbers]:
    """Where each stretch of equal values begins, and its length."""
    edges = np.concatenate([[0], np.flatnonzero(ordered[1:] != ordered[:-1]) + 1, [len(ordered)]])
    return edges[:-1], np.diff(edges)


def _distinct(coded: Sequence[Numbers]) -> Numbers:
    """Sorted, each once. np.unique hashes and sorts; a sort alone is faster."""
    merged = np.sort(np.concatenate([np.zeros(0, np.int64), *coded]))
    kept = np.ones(len(merged), np.bool_)
    kept[1:] = merged[1:] != merged[:-1]
    return merged[kept]


def _touched(keys: Values, fresh: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Rows that may have the key of a fresh row: equal in the upper 16 bits, which a small table tells."""
    table = np.zeros(1 << 16, np.bool_)
    table[keys[fresh] >> np.uint32(16)] = True
    return table.take(keys >> np.uint32(16))


def _bucket_pairs(rows: Numbers, keys: Values, others: Values) -> Iterator[tuple[Numbers, Numbers, bool]]:
    # one sort of 64-bit numbers orders by key and, within a bucket, by row
    packed = (keys.astype(np.uint64) << _32) | rows.astype(np.uint64)
    order = np.argsort(packed) if len(others) == len(keys) and _has_crowd(keys) else None
    packed = np.sort(packed) if order is None else packed[order]
    ordered = (packed & _LOW_32_BITS).view(np.int64)
    begin, size = _stretches(packed >> _32)
    end = begin + size
    small = (size > 1) & (size <= CROWD)
    for start, stop in _shares(size[small]):
        yield *_all_pairs(ordered, begin[small][start:stop], size[small][start:stop]), False
    for crowd in np.flatnonzero(size > CROWD).tolist():
        members = ordered[begin[crowd] : end[crowd]]
        near = others[order[begin[crowd] : end[crowd]]] if order is not None else np.zeros(len(members), np.uint32)
        yield *_some_pairs(members, near), True


def _has_crowd(keys: Values) -> bool:
    """Whether some bucket may be a crowd: by counts of the upper 16 bits, which are at least the bucket's."""
    return len(keys) > CROWD and int(np.bincount(keys >> np.uint32(16)).max()) > CROWD


def _shares(sizes: Numbers) -> Iterator[tuple[int, int]]:
    """Stretches of buckets with about _AT_ONCE pairs at the most."""
    share = np.cumsum(sizes * (sizes - 1) // 2) // _AT_ONCE
    cuts = [0, *(np.flatnonzero(np.diff(share)) + 1).tolist(), len(sizes)]
    yield from ((start, stop) for start, stop in pairwise(cuts) if start < stop)


def _all_pairs(ordered: Numbers, begin: Numbers, size: Numbers) -> tuple[Numbers, Numbers]:
    places = spread(begin, size)
    later = np.repeat(begin + size, size) - places - 1  # members behind this one
    first, second = np.repeat(ordered[places], later), ordered[spread(places + 1, later)]
    return first, second


def _some_pairs(members: Numbers, near: Values) -> tuple[Numbers, Numbers]:
    firsts: list[Numbers] = []
    seconds: list[Numbers] = []
    for pivot in range(min(len(members) - 1, max(2, PIVOT_PAIRS // len(members)))):
        seconds.append(members[pivot + 1 :])
        firsts.append(np.full(len(seconds[-1]), members[pivot]))
    chain = members[np.lexsort((members, near))]
    for reach in range(1, min(NEIGHBOURS, PIVOT_PAIRS // len(members)) + 1):
        firsts.append(np.minimum(chain[:-reach], chain[reach:]))
        seconds.append(np.maximum(chain[:-reach], chain[reach:]))
    return np.concatenate(firsts), np.concatenate(seconds)
