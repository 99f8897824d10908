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

    With `fresh` (one flag per row, fewer than all) only pairs with at least one fresh row. A crowd's pairs are then
    incomplete, and the caller asks again without it.
    """
    found: list[Numbers] = []
    waiting, crowded = 0, False
    for number, (rows, keys) in enumerate(bands):
        others = bands[(number + 1) % len(bands)][1]
        if fresh is not None:
            near = _touched(keys, fresh[rows])
            rows, keys, others = rows[near], keys[near], others[near] if len(others) == len(near) else keys[near]
        for first, second, crowd in _bucket_pairs(rows, keys, others):
            crowded |= crowd
            kept = slice(None) if fresh is None else fresh[first] | fresh[second]
            found.append((first * total + second)[kept])
            waiting += len(found[-1])
        if waiting > _AT_ONCE:
            found, waiting = [_distinct(found)], 0
    coded = _distinct(found)
    first, second = coded // max(1, total), coded % max(1, total)
    other = first != second  # a row that holds a key twice meets itself
    return first[other], second[other], crowded


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
    return table[keys >> np.uint32(16)]


def _bucket_pairs(rows: Numbers, keys: Values, others: Values) -> Iterator[tuple[Numbers, Numbers, bool]]:
    # one sort of 64-bit numbers orders by key and, within a bucket, by row
    packed = (keys.astype(np.uint64) << _32) | rows.astype(np.uint64)
    order = np.argsort(packed) if len(others) == len(keys) and _has_crowd(keys) else None
    packed = np.sort(packed) if order is None else packed[order]
    ordered = (packed & _LOW_32_BITS).view(np.int64)
    edge = np.flatnonzero(np.diff(packed >> _32)) + 1
    begin, end = np.concatenate([[0], edge]), np.concatenate([edge, [len(ordered)]])
    size = end - begin
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
