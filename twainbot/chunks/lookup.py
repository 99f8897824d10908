"""The words of many texts at once: where they lie in the texts' bytes, and which number each was given when first met.

Words are those of `str.split`, compared byte for byte, so no two ever share a number. What is known of a word is kept by
that number in a Table; what the words mean is cues.py's and screening's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, TypeAlias

import numpy as np

Integers: TypeAlias = np.ndarray[Any, np.dtype[Any]]

LONGEST = 16  # bytes of a word that two numbers hold; 2 in 1,000 words of prose are longer, and lie in a dictionary
BLOCK_CHARACTERS = 1 << 20  # of texts read at once: their arrays stay in the cache
SLICE = 1 << 18  # words of one long text that are looked up at once
_SPACE = 0x20
_ASCII_SPACES = bytes(_SPACE if code < 128 and chr(code).isspace() else code for code in range(256))
_OTHER_SPACES = re.compile("[" + "".join(c for c in map(chr, range(128, 0x3001)) if c.isspace()) + "]")
_FREE = -1
_MIX_1, _MIX_2 = np.uint64(0xFF51AFD7ED558CCD), np.uint64(0xC4CEB9FE1A85EC53)  # MurmurHash3's 64-bit finaliser
_SHIFT = np.uint64(32)
# No byte of UTF-8 is 0xFF: behind the end of a word it tells "a" from "a" and a zero byte.
_BEHIND = np.array([(1 << 64) - (1 << 8 * count) for count in range(9)], np.uint64)


class WordPlaces:
    """Numbers words in the order in which they are first met."""

    def __init__(self) -> None:
        """Empty."""
        self._long: dict[bytes, int] = {}
        self._size = 0
        self._first = np.zeros(0, np.uint64)
        self._second = np.zeros(0, np.uint64)
        self._place = np.zeros(0, np.int64)
        self._held = 0
        self._resize(1 << 14)

    def __len__(self) -> int:
        """How many words have a number."""
        return self._size

    def find(
        self, data: bytes, starts: Integers, stops: Integers, learn: Callable[[Sequence[bytes]], object]
    ) -> Integers:
        """The number of each word `data[start:stop]`; `learn` is told the new ones, if any, in the order of their numbers.

        At least LONGEST bytes must stand behind the last word.
        """
        parts = [
            self._find(data, starts[at : at + SLICE], stops[at : at + SLICE], learn)
            for at in range(0, len(starts), SLICE)
        ]
        return np.concatenate([np.zeros(0, np.int64), *parts])

    def _find(
        self, data: bytes, starts: Integers, stops: Integers, learn: Callable[[Sequence[bytes]], object]
    ) -> Integers:
        lengths = stops - starts
        first, second = _halves(data, starts, lengths)
        places = self._search(first, second)
        long = np.flatnonzero(lengths > LONGEST)
        places[long] = 0
        unknown = np.flatnonzero(places < 0)
        if len(unknown):
            places[unknown], new = self._insert(first[unknown], second[unknown])
            spans = zip(starts[unknown[new]].tolist(), stops[unknown[new]].tolist(), strict=True)
            learn([data[start:stop] for start, stop in spans])
        if len(long):
            spans = zip(starts[long].tolist(), stops[long].tolist(), strict=True)
            places[long] = self._long_ones([data[start:stop] for start, stop in spans], learn)
        return places

    def _long_ones(self, words: Sequence[bytes], learn: Callable[[Sequence[bytes]], object]) -> list[int]:
        new = [word for word in dict.fromkeys(words) if word not in self._long]
        self._long.update(zip(new, range(self._size, self._size + len(new)), strict=True))
        self._size += len(new)
        if new:
            learn(new)
        return [self._long[word] for word in words]

    def _search(self, first: Integers, second: Integers) -> Integers:
        slot = self._slots(first, second)
        places = self._place[slot]
        wrong = np.flatnonzero((places >= 0) & ((self._first[slot] != first) | (self._second[slot] != second)))
        slot, mask = slot[wrong], len(self._place) - 1
        while len(wrong):
            slot = (slot + 1) & mask
            found = self._place[slot]
            places[wrong] = found
            on = (found >= 0) & ((self._first[slot] != first[wrong]) | (self._second[slot] != second[wrong]))
            wrong, slot = wrong[on], slot[on]
        return places

    def _insert(self, first: Integers, second: Integers) -> tuple[Integers, Integers]:
        """The numbers of words that are not in the table yet, and which of them are the first of their kind, in order."""
        self._make_room(len(first))
        slot, mask = self._slots(first, second), len(self._place) - 1
        settled = np.zeros(len(first), np.int64)
        won: list[Integers] = []
        left = np.arange(len(first))
        while len(left):
            free = np.flatnonzero(self._place[slot] < 0)
            self._place[slot[free]] = left[free]  # of those that meet in one slot, the last stays
            winners = free[self._place[slot[free]] == left[free]]
            won.append(left[winners])
            self._first[slot[winners]], self._second[slot[winners]] = first[left[winners]], second[left[winners]]
            on = (self._first[slot] != first[left]) | (self._second[slot] != second[left])
            settled[left[~on]] = slot[~on]
            left, slot = left[on], (slot[on] + 1) & mask
        new = np.sort(np.concatenate(won))
        self._place[settled[new]] = np.arange(self._size, self._size + len(new))
        self._size += len(new)
        self._held += len(new)
        return self._place[settled], new

    def _make_room(self, more: int) -> None:
        if 2 * (self._held + more) <= len(self._place):
            return
        kept = np.flatnonzero(self._place >= 0)
        first, second, places = self._first[kept], self._second[kept], self._place[kept]
        self._resize(4 * (self._held + more))
        slot, mask, left = self._slots(first, second), len(self._place) - 1, np.arange(len(kept))
        while len(left):
            free = np.flatnonzero(self._place[slot] < 0)
            self._place[slot[free]] = places[left[free]]
            winners = free[self._place[slot[free]] == places[left[free]]]
            self._first[slot[winners]], self._second[slot[winners]] = first[left[winners]], second[left[winners]]
            on = np.delete(np.arange(len(left)), winners)
            left, slot = left[on], (slot[on] + 1) & mask

    def _resize(self, least: int) -> None:
        size = 1 << (least - 1).bit_length()
        self._first, self._second = np.zeros(size, np.uint64), np.zeros(size, np.uint64)
        self._place = np.full(size, _FREE, np.int64)

    def _slots(self, first: Integers, second: Integers) -> Integers:
        mixed = (first ^ (second * _MIX_2)) * _MIX_1
        mixed ^= mixed >> _SHIFT
        return (mixed * _MIX_2 >> np.uint64(65 - len(self._place).bit_length())).astype(np.int64)


def _halves(data: bytes, starts: Integers, lengths: Integers) -> tuple[Integers, Integers]:
    """The first and the second eight bytes of each word as numbers, bytes behind its end all ones."""
    # the eight bytes from every place on, without a copy
    eights = np.ndarray((len(data) - 7,), "<u8", buffer=data, strides=(1,))
    first = eights[starts] | _BEHIND.take(lengths, mode="clip")
    second = np.full(len(starts), _BEHIND[0])
    longer = np.flatnonzero(lengths > 8)
    second[longer] = eights[starts[longer] + 8] | _BEHIND.take(lengths[longer] - 8, mode="clip")
    return first, second


class Table:
    """Columns of integers that grow by rows."""

    def __init__(self, width: int) -> None:
        self._held = np.zeros((width, 1 << 12), np.int64)
        self._size = 0

    @property
    def columns(self) -> Integers:
        """(width, rows)"""
        return self._held[:, : self._size]

    def append(self, *columns: Iterable[int]) -> None:
        """Rows more, given by columns."""
        added = [np.array(list(column), np.int64) for column in columns]
        size = self._size + len(added[0])
        if size > self._held.shape[1]:
            grown = np.zeros((len(columns), 2 * size), np.int64)
            grown[:, : self._size] = self.columns
            self._held = grown
        for place, column in enumerate(added):
            self._held[place, self._size : size] = column
        self._size = size


def blocks(texts: Sequence[str]) -> Iterator[tuple[int, Sequence[str]]]:
    """The texts in runs of so many characters, each with the number of its first text."""
    first = size = 0
    for number, text in enumerate(texts):
        if number > first and size + len(text) > BLOCK_CHARACTERS:
            yield first, texts[first:number]
            first, size = number, 0
        size += len(text) + 1
    if first < len(texts):
        yield first, texts[first:]


def laid_out(texts: Sequence[str]) -> tuple[bytes, Integers]:
    """The texts as UTF-8, every white space one space, a space before each text and `LONGEST` behind; where each begins."""
    plain = [
        text if text.isascii() or not _OTHER_SPACES.search(text) else _OTHER_SPACES.sub(" ", text) for text in texts
    ]
    encoded = [text.encode("utf-8", "surrogatepass") for text in plain]
    lengths = np.fromiter(map(len, encoded), np.int64, len(encoded)) + 1
    data = b" ".join([b"", *encoded, b" " * LONGEST]).translate(_ASCII_SPACES)
    return data, np.cumsum(lengths) - lengths + 1


def edges(data: bytes) -> tuple[Integers, Integers]:
    """The first byte of each word, and the byte after its last."""
    filled = np.frombuffer(data, np.uint8) != _SPACE
    edges = np.flatnonzero(filled[1:] != filled[:-1]) + 1
    return edges[0::2], edges[1::2]
