"""Runs of words that a reply shares with the corpora. How long a run may be, and what of it is a quotation: quality.py's
and gather.py's.

The n-grams of all replies are hashed once and sorted; the passages then stream past block by block, so memory holds the
replies' n-grams and one block, however large the corpora.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from twainbot.dedupe.flat import Numbers, blocks, gram_hashes, spread
from twainbot.dedupe.shingles import Hashes

LEAST_RUN = 8  # words; shorter runs are common speech, and are not looked for

_Flags: TypeAlias = NDArray[np.bool_]


@dataclass(frozen=True)
class Run:
    """The longest run that a text shares with a passage: its length in words, and which passage (the first such one)."""

    words: int
    passage: int


def longest_runs(
    texts: Sequence[str], passages: Iterable[str], quoted: Sequence[str] | None = None, least: int = LEAST_RUN
) -> list[Run | None]:
    """Per text the longest run of at least `least` words that it shares with any passage, or None.

    `quoted`: per text words that it may repeat, such as the line that it was given. n-grams that stand there do not
    count, so a run that goes on behind a quotation is told from `least` - 1 words before its end.
    """
    owner, place, hashes = _grams(texts, least)
    if quoted is not None:
        own = ~_in_same_text(owner, hashes, *_owned(quoted, least))
        owner, place, hashes = owner[own], place[own], hashes[own]
    order = np.argsort(hashes, kind="stable")
    known = hashes[order]
    best: list[Run | None] = [None] * len(texts)
    for block in blocks(passages):
        inside, where, found = _whole_grams(block.lengths, gram_hashes(block, least), least)
        low, high = np.searchsorted(known, found, "left"), np.searchsorted(known, found, "right")
        hit = np.flatnonzero(high > low)
        counts = high[hit] - low[hit]
        mine = order[spread(low[hit], counts)]
        theirs = np.repeat(hit, counts)
        _keep_longest(best, owner[mine], place[mine], inside[theirs] + block.first, where[theirs], least)
    return best


def _grams(texts: Sequence[str], size: int) -> tuple[Numbers, Numbers, Hashes]:
    """Owner, place and hash of every n-gram of `size` words of the texts."""
    parts = []
    for block in blocks(texts):
        inside, where, hashes = _whole_grams(block.lengths, gram_hashes(block, size), size)
        parts.append((inside + block.first, where, hashes))
    if not parts:
        return np.zeros(0, np.int64), np.zeros(0, np.int64), np.zeros(0, np.uint64)
    owners, places, hashes = zip(*parts, strict=True)
    return np.concatenate(owners), np.concatenate(places), np.concatenate(hashes)


def _owned(texts: Sequence[str], size: int) -> tuple[Numbers, Hashes]:
    owner, _, hashes = _grams(texts, size)
    return owner, hashes


def _whole_grams(lengths: Numbers, hashes: Hashes, size: int) -> tuple[Numbers, Numbers, Hashes]:
    """As `gram_hashes` gives a hash per word, those of the places from which `size` words follow in the same text."""
    inside = np.repeat(np.arange(len(lengths), dtype=np.int64), lengths)
    where = spread(np.zeros(len(lengths), np.int64), lengths)
    whole = where + size <= lengths[inside]
    return inside[whole], where[whole], hashes[whole]


def _in_same_text(owner: Numbers, hashes: Hashes, other_owner: Numbers, other: Hashes) -> _Flags:
    """Per n-gram whether the text of the same number holds it among the others."""
    held = set(zip(other_owner.tolist(), other.tolist(), strict=True))
    pairs = zip(owner.tolist(), hashes.tolist(), strict=True)
    return np.fromiter((pair in held for pair in pairs), np.bool_, len(hashes))


def _keep_longest(
    best: list[Run | None], text: Numbers, place: Numbers, passage: Numbers, where: Numbers, least: int
) -> None:
    """Join hits that follow each other in text and passage alike, and keep each text's longest run."""
    order = np.lexsort((place, where - place, passage, text))
    text, place, passage, shift = text[order], place[order], passage[order], (where - place)[order]
    goes_on = (
        (text[1:] == text[:-1])
        & (passage[1:] == passage[:-1])
        & (shift[1:] == shift[:-1])
        & (place[1:] == place[:-1] + 1)
    )
    starts = np.flatnonzero(np.concatenate([[True], ~goes_on])) if len(text) else np.zeros(0, np.int64)
    grams = np.diff(np.concatenate([starts, [len(text)]]))
    for start, count in zip(starts.tolist(), grams.tolist(), strict=True):
        run, number = Run(count + least - 1, int(passage[start])), int(text[start])
        held = best[number]
        if held is None or run.words > held.words:
            best[number] = run
