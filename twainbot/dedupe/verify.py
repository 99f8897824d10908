"""Exact Jaccard similarity and containment of many pairs of texts at once. Which pairs: buckets.py."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from twainbot.dedupe.engines import distinct
from twainbot.dedupe.flat import Numbers, blocks, gram_hashes, offsets, spread
from twainbot.dedupe.shingles import Hashes

WORDS_AT_ONCE = 1 << 23  # of the texts whose n-grams are held: 64 MB
_CELLS = 1 << 18  # of the matrix in which pairs are counted: 2 MB
_PAD = np.uint64(0xFFFFFFFFFFFFFFFF)
Sets = Callable[[Numbers], tuple[Hashes, Numbers]]  # `gram_sets` of these rows, in order


@dataclass(frozen=True)
class Verified:
    """Pairs of rows with exact values, sorted."""

    first: Numbers
    second: Numbers
    jaccard: NDArray[np.float64]
    containment: NDArray[np.float64]  # shared n-grams over those of the smaller set


def verified(first: Numbers, second: Numbers, words: Numbers, sets_of: Sets, threshold: float) -> Verified:
    """The pairs whose n-gram sets have a Jaccard similarity of at least the threshold.

    `words`: number of words of each row, by which sets are asked for a bounded share at a time.
    """
    made = [
        _share(first[start:stop], second[start:stop], sets_of, threshold)
        for start, stop in _shares(words[first] + words[second])
    ]
    if not made:
        return Verified(first, second, np.zeros(0), np.zeros(0))
    kept, jaccard, containment = (np.concatenate(parts) for parts in zip(*made, strict=True))
    return Verified(first[kept], second[kept], jaccard, containment)


def _shares(sizes: Numbers) -> Iterator[tuple[int, int]]:
    cuts = [0, *(np.flatnonzero(np.diff(np.cumsum(sizes) // WORDS_AT_ONCE)) + 1).tolist(), len(sizes)]
    yield from ((start, stop) for start, stop in pairwise(cuts) if start < stop)


def _share(
    first: Numbers, second: Numbers, sets_of: Sets, threshold: float
) -> tuple[NDArray[np.bool_], NDArray[np.float64], NDArray[np.float64]]:
    """Which pairs reach the threshold, and the values of those."""
    rows = np.unique(np.concatenate([first, second]))
    sets, starts = sets_of(rows)
    a, b = np.searchsorted(rows, first), np.searchsorted(rows, second)
    sizes = np.diff(starts)
    less, more = np.minimum(sizes[a], sizes[b]), np.maximum(sizes[a], sizes[b])
    # the smaller set over the larger one bounds the similarity
    hopeful = np.flatnonzero((less > 0) & (less >= threshold * more - 1e-9))
    shared = _shared(sets, starts, a[hopeful], b[hopeful])
    jaccard = shared / np.maximum(1, (less + more)[hopeful] - shared)
    reached = jaccard >= threshold
    kept = np.zeros(len(first), np.bool_)
    kept[hopeful[reached]] = True
    return kept, jaccard[reached], (shared / np.maximum(1, less[hopeful]))[reached]


def gram_sets(texts: Sequence[str], length: int) -> tuple[Hashes, Numbers]:
    """The distinct n-gram hashes of each text in order, and where each text's start, the total last."""
    values, counts = [np.zeros(0, np.uint64)], [np.zeros(0, np.int64)]
    for block in blocks(texts):
        found, starts = distinct(gram_hashes(block, length), block.starts)
        values.append(found)
        counts.append(np.diff(starts))
    return np.concatenate(values), offsets(np.concatenate(counts))


def _shared(sets: Hashes, starts: Numbers, a: Numbers, b: Numbers) -> Numbers:
    """How many hashes the two sets of each pair share: laid side by side and sorted, those that stand there twice."""
    sizes = np.diff(starts)
    width = sizes[a] + sizes[b]
    order = np.argsort(width, kind="stable")
    shared = np.zeros(len(a), np.int64)
    at = 0
    while at < len(order):
        count = max(1, int(_CELLS // max(1, width[order[at]])))
        some = order[at : at + count]
        some = some[: max(1, int(np.searchsorted(width[some] * np.arange(1, len(some) + 1), _CELLS)))]
        shared[some] = _twice(sets, starts[:-1], sizes, a[some], b[some])
        at += len(some)
    return shared


def _twice(sets: Hashes, starts: Numbers, sizes: Numbers, a: Numbers, b: Numbers) -> Numbers:
    both = np.stack([a, b], axis=1).reshape(-1)
    width = sizes[a] + sizes[b]
    cells = np.full((len(a), int(width.max())), _PAD, np.uint64)
    cells[np.arange(cells.shape[1]) < width[:, None]] = sets[spread(starts[both], sizes[both])]
    cells.sort(axis=1)
    equal = np.count_nonzero(cells[:, 1:] == cells[:, :-1], axis=1)
    return equal - np.maximum(0, cells.shape[1] - width - 1)  # less the padding's own repeats
