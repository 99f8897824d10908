"""Where the words of a text lie, what each costs in tokens, and how good a place to cut the gap before it is.

A word is a run of characters that are no white space. Which of the cuts a window takes is windows.py's business.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np

from twainbot.chunks.counting import LONGEST_KEPT, MOST_KEPT, SEPARATORS, PretokenCounter

BYTES_PER_CHARACTER = 4  # at most, in UTF-8: a byte-level tokenizer gives a character no more tokens than that
WORD, SENTENCE, PARAGRAPH = 0, 1, 2  # how good a place to cut is, worst first
BLOCK = 1 << 20  # characters whose white space is looked for at once: 4 MB as numbers
WORDS_AT_ONCE = 1 << 16
OPENS, ENDS, PLAIN, COST = 1, 2, 4, 3  # what is known of a word, in bits below its cost, which is shifted by COST

Integers: TypeAlias = np.ndarray[Any, np.dtype[Any]]

_LAST_SPACE = 0x3000  # the highest character that is white space
_IS_SPACE = np.array([chr(code).isspace() for code in range(_LAST_SPACE + 1)] + [False])
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n|\r\n[^\S\n]*\r\n")
_SENTENCE_END = re.compile(r"(?<![.!?…])[.!?…]++[\"'”’)\]_*]*$")
_SENTENCE_START = re.compile(r"[\"'“‘(\[_*]*[A-Z0-9]|[-*•]$")
_ABBREVIATION = re.compile(
    r"(?:^|[\"'“‘(])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Rev|Hon|Gen|Col|Capt|Lieut|Prof|Jr|Sr|No|Vol|vs|etc)\.$"
)


@dataclass(frozen=True)
class Words:
    """The words of one text in order, (n,) each: word i is `text[starts[i]:ends[i]]`, `levels[i]` the gap before it.

    `sums` (n + 1,): `sums[j] - sums[i]` is the tokens of words i to j with the white space before i. `joined[i]`: some
    token may hold the end of word i - 1 and the start of the gap. `doubtful` (n + 1,): summed numbers of words whose
    cost is not exact by itself, as they are parts of one word or touch an added token.
    """

    starts: Integers
    ends: Integers
    sums: Integers
    levels: Integers
    joined: Integers
    doubtful: Integers


class WordReader:
    """Reads the words of texts; what it learns of a word is kept for the next text."""

    def __init__(self, counter: PretokenCounter, most: int) -> None:
        """`most`: tokens that a word may have; a longer one comes in parts."""
        self._counter, self._most = counter, most
        self._longest = min(LONGEST_KEPT, most // BYTES_PER_CHARACTER)
        self._spaced = _Learned(counter, " ")  # by word, for words that follow one space
        self._pieces = _Learned(counter, "")  # by white space and word

    def read(self, text: str) -> Words:
        """All words of the text."""
        starts, ends, spaces = _edges(text)
        values = np.zeros(len(starts), np.int64)
        for first in range(0, len(starts), WORDS_AT_ONCE):
            last = min(len(starts), first + WORDS_AT_ONCE)
            values[first:last] = self._values(text, starts, ends, spaces, first, last)
        levels, joined = self._levels(text, starts, ends, values)
        costs = values >> COST
        for place in np.flatnonzero(joined).tolist():
            costs[place] = self._marginal(text, ends, place)
        long = np.flatnonzero(ends - starts > self._longest)
        doubtful = self._touching_added(text, starts, ends)
        columns = (starts, ends, costs, levels, joined, doubtful)
        starts, ends, costs, levels, joined, doubtful = self._with_parts(text, columns, long.tolist())
        return Words(starts, ends, _summed(costs), levels, joined, _summed(doubtful))

    def _values(self, text: str, starts: Integers, ends: Integers, spaces: Integers, first: int, last: int) -> Integers:
        """Cost and bits of words first to last."""
        words = text[starts[first] : ends[last - 1]].split()
        before = _shifted(ends, first, last)
        gaps = starts[first:last] - before
        long = np.flatnonzero(ends[first:last] - starts[first:last] > self._longest).tolist()
        whole = {place: words[place] for place in long}
        for place in long:
            words[place] = ""
        values = np.fromiter(map(self._spaced.__getitem__, words), np.int64, len(words))
        single = (gaps == 1) & _shifted(spaces, first, last)
        other = np.flatnonzero(~single).tolist()
        spans = zip(before[other].tolist(), ends[first:last][other].tolist(), strict=True)
        values[other] = list(map(self._pieces.__getitem__, [text[start:end] for start, end in spans]))
        for place, word in whole.items():
            values[place] = self._pieces[text[before[place] : starts[first + place]] + word]
        return values

    def _levels(self, text: str, starts: Integers, ends: Integers, values: Integers) -> tuple[Integers, Integers]:
        """Level of the gap before each word, and whether it is joined with the word before."""
        levels = np.zeros(len(starts), np.int8)
        joined = np.zeros(len(starts), np.bool_)
        if not len(starts):
            return levels, joined
        follows = (values[:-1] & ENDS > 0) & (values[1:] & OPENS > 0)
        levels[1:][follows] = SENTENCE
        wide = np.flatnonzero(starts[1:] - ends[:-1] > 1) + 1
        places = [0, *wide.tolist()] if starts[0] else wide.tolist()
        blank = [place for place in places if _BLANK_LINE.search(text, ends[place - 1] if place else 0, starts[place])]
        levels[blank] = PARAGRAPH
        if self._counter.joins_line_ends:
            tails = np.flatnonzero(values[:-1] & PLAIN == 0)
            joined[[place + 1 for place in tails.tolist() if text[ends[place]] != " "]] = True
        if any(separator in text for separator in SEPARATORS):
            joined[1:] |= np.fromiter((text[place] in SEPARATORS for place in ends[:-1].tolist()), np.bool_)
        return levels, joined

    def _marginal(self, text: str, ends: Integers, place: int) -> int:
        """What a word adds to the count of the word before it, where a token may reach over the line's end."""
        before = int(ends[place - 2]) if place > 1 else 0
        end = int(ends[place - 1])
        return self._counter.count(text[before : ends[place]]) - self._counter.count(text[before:end])

    def _touching_added(self, text: str, starts: Integers, ends: Integers) -> Integers:
        doubtful = np.zeros(len(starts), np.bool_)
        for match in self._counter.added.finditer(text):
            first = int(np.searchsorted(ends, match.start(), side="left"))  # a word that ends there touches it
            doubtful[first : int(np.searchsorted(starts, match.end(), side="right"))] = True
        return doubtful

    def _with_parts(self, text: str, columns: tuple[Integers, ...], long: list[int]) -> tuple[Integers, ...]:
        """The same columns with a word that could have over `most` tokens in parts of at most `most`."""
        starts, ends, costs, _, _, doubtful = columns
        where: list[int] = []
        rows: list[tuple[int, int, int]] = []
        for place in long:
            parts = list(self._parts(text, int(starts[place]), int(ends[place])))
            if len(parts) > 1:
                gap = text[ends[place - 1] if place else 0 : starts[place]]
                first, last = parts[0]
                costs[place], doubtful[place] = self._counter.count(gap + text[first:last]), True
                where += [place + 1] * (len(parts) - 1)
                rows += [(start, end, self._counter.count(text[start:end])) for start, end in parts[1:]]
                ends[place] = last
        if not rows:
            return columns
        added = np.array(rows, np.int64)
        fresh = (added[:, 0], added[:, 1], added[:, 2], WORD, False, True)
        return tuple(np.insert(column, where, more) for column, more in zip(columns, fresh, strict=True))

    def _parts(self, text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
        while end - start > self._most // BYTES_PER_CHARACTER:
            cut = _longest_prefix(text, start, min(end, start + 8 * self._most), self._counter, self._most)
            yield start, cut
            start = cut
        if start < end:
            yield start, end


class _Learned(dict[str, int]):
    """Cost and bits of words, or of words with the white space before them, worked out when first asked for."""

    def __init__(self, counter: PretokenCounter, space: str) -> None:
        super().__init__()
        self._counter, self._space = counter, space

    def __missing__(self, piece: str) -> int:
        if not piece:
            return 0  # stands for a word that is looked at apart
        value = self._counter.cost(self._space + piece) << COST | _bits(piece if self._space else piece.lstrip())
        if len(piece) <= 2 * LONGEST_KEPT:
            if len(self) >= MOST_KEPT:
                self.clear()
            self[piece] = value
        return value


def _edges(text: str) -> tuple[Integers, Integers, Integers]:
    """First characters of the words, the characters after their last, and whether a space stands there."""
    starts, ends, spaces = [np.zeros(0, np.int64)], [np.zeros(0, np.int64)], [np.zeros(0, np.bool_)]
    was_space = True
    for at in range(0, len(text), BLOCK):
        codes = _codes(text[at : at + BLOCK])
        is_space = _IS_SPACE[codes]
        before = np.concatenate([[was_space], is_space[:-1]])
        changes = np.flatnonzero(before != is_space)
        opening = before[changes]
        closed = changes[~opening]
        starts.append(changes[opening] + at)
        ends.append(closed + at)
        spaces.append(codes[closed] == ord(" "))
        was_space = bool(is_space[-1])
    if not was_space:
        ends.append(np.array([len(text)], np.int64))
        spaces.append(np.zeros(1, np.bool_))
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(spaces)


def _codes(block: str) -> Integers:
    """Its characters as numbers, those beyond the last white space as one."""
    if block.isascii():
        return np.frombuffer(block.encode("ascii"), np.uint8)
    codes = np.frombuffer(block.encode("utf-32-le", "surrogatepass"), np.uint32)
    return np.minimum(codes, _LAST_SPACE + 1)


def _shifted(column: Integers, first: int, last: int) -> Integers:
    """Of words first to last, the value of the word before each; 0 before the first word of all."""
    return column[first - 1 : last - 1] if first else np.concatenate([np.zeros(1, column.dtype), column[: last - 1]])


def _bits(word: str) -> int:
    if not word:
        return 0
    if word.isalpha() and word.isascii():
        return PLAIN if word[0] > "Z" else PLAIN | OPENS
    last = word[-1]
    plain = last.isascii() and last.isalnum()
    ends = not plain and _SENTENCE_END.search(word) and not _ABBREVIATION.search(word)
    opens = not "a" <= word[0] <= "z" and _SENTENCE_START.match(word)
    return (PLAIN if plain else 0) | (ENDS if ends else 0) | (OPENS if opens else 0)


def _summed(numbers: Integers) -> Integers:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(numbers, dtype=np.int64)])


def _longest_prefix(text: str, start: int, end: int, counter: PretokenCounter, most: int) -> int:
    """An end such that text[start:end] has at most `most` tokens or one character: the given one, or an earlier one."""
    found = counter.count(text[start:end])
    while found > most and end - start > 1:
        end = start + max(1, (end - start) * most // found)  # shorter each time, since most < found
        found = counter.count(text[start:end])
    return end
