"""Windows over a work: spans that cover it, fit a token budget and overlap. Token counts come from counting.py,
tags from tags.py; which windows are good enough to train on is decided by screening.
"""

from __future__ import annotations

import json
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from twainbot.chunks.counting import PretokenCounter
from twainbot.chunks.headings import find_headings
from twainbot.chunks.tags import TAGGER_VERSION, tag
from twainbot.errors import BadUse
from twainbot.records import CHUNK, frame

BYTES_PER_CHARACTER = 4  # at most, in UTF-8: a byte-level tokenizer gives a character no more tokens than that
MIN_SIZE = 8  # tokens; with less, two characters might not fit
# A window is cut at a place in its fuller half. Choosing among all of them costs length (380 tokens a window of 512,
# 450 with the last place), and finds 88-98 % of an old edition's windows to be duplicates (4 books), not 46-88 %.
MIN_FILL = 0.5
LANDMARK = 20  # letters after a cut that decide between equally good cuts
WORD, SENTENCE, PARAGRAPH = 0, 1, 2  # how good a place to cut is, worst first

_WORDS = re.compile(r"\S+")
_BLANK_LINE = re.compile(r"\n[^\S\n]*\n|\r\n[^\S\n]*\r\n")
_SENTENCE_END = re.compile(r"[.!?…]+[\"'”’)\]_*]*$")
_SENTENCE_START = re.compile(r"[\"'“‘(\[_*]*[A-Z0-9]|[-*•]$")
_ABBREVIATION = re.compile(
    r"(?:^|[\"'“‘(])(?:[A-Z]|Mr|Mrs|Ms|Dr|St|Rev|Hon|Gen|Col|Capt|Lieut|Prof|Jr|Sr|No|Vol|vs|etc)\.$"
)


@dataclass(frozen=True)
class Chunk:
    """A span of a text: `text == source[start:end]` in characters, 0-based and half-open; `token_count` is exact."""

    start: int
    end: int
    text: str
    token_count: int
    heading: str = ""


def windows(text: str, tokenizer: Tokenizer, size: int = 512, overlap: int = 64, *, min_tokens: int = 0) -> list[Chunk]:
    """Windows of at most `size` tokens in reading order; together they cover every non-whitespace character.

    A window ends at a paragraph's end where one leaves it half full, else at a sentence's, else at a word's; words
    too long for that are cut between characters. The next one begins about `overlap` tokens earlier, at a sentence
    where one is near. A last window under `min_tokens` begins earlier instead. Raises BadUse on contradicting sizes.
    """
    return _windows(text, PretokenCounter(tokenizer), size, overlap, min_tokens)


def chunk_works(works: pl.DataFrame, tokenizer: Tokenizer, size: int, overlap: int, min_tokens: int) -> pl.DataFrame:
    """All windows of all works that are not recorded rejects, tagged, as rows of records.CHUNK in the works' order.

    A work that fits in `size` tokens, such as a joke, a news item, a bulletin or a dialogue, stays whole.
    """
    counter = PretokenCounter(tokenizer)
    accepted = works.filter(pl.col("reject_reason").is_null())
    rows = (
        _row(work, chunk)
        for work in accepted.iter_rows(named=True)
        for chunk in _windows(work["text"], counter, size, overlap, min_tokens)
    )
    return frame(rows, CHUNK)


def _row(work: dict[str, Any], chunk: Chunk) -> dict[str, Any]:
    known = ("title", "author", "edition", "url", "license", "raw_sha256")
    provenance = {**{key: work[key] for key in known}, "tagger": TAGGER_VERSION}
    return {
        "chunk_id": f"{work['work_id']}:{chunk.start}-{chunk.end}",
        **{key: work[key] for key in ("work_id", "source", "unit", "style")},
        "start": chunk.start,
        "end": chunk.end,
        "text": chunk.text,
        "token_count": chunk.token_count,
        "copyright_status": work["rights"],
        "heading": chunk.heading,
        "provenance": json.dumps(provenance, sort_keys=True, ensure_ascii=False),
        **tag(chunk.text, work["style"]),
    }


def _windows(text: str, counter: PretokenCounter, size: int, overlap: int, min_tokens: int) -> list[Chunk]:
    _check(size, overlap, min_tokens)
    planner = _Planner(text, counter, size, overlap)
    headings = find_headings(text)
    spans = list(planner.spans())
    if len(spans) > 1:
        spans[-1] = planner.lengthened(spans[-1], spans[-2], min_tokens)
    chunks = []
    covered = 0
    for first, last in spans:
        start, end = planner.starts[first], planner.ends[last - 1]
        heading = headings.at(max(start, covered))
        chunks.append(Chunk(start, end, text[start:end], counter.count(text[start:end]), heading))
        covered = planner.starts[last] if last < len(planner.starts) else end
    return chunks


def _check(size: int, overlap: int, min_tokens: int) -> None:
    if size < MIN_SIZE:
        raise BadUse(f"size={size} tokens is too small to hold any character of any text; use at least {MIN_SIZE}.")
    if not 0 <= overlap <= size // 2:
        raise BadUse(f"overlap={overlap} must lie between 0 and half of size={size}, so that each window moves on.")
    if not 0 <= min_tokens <= size:
        raise BadUse(f"min_tokens={min_tokens} must lie between 0 and size={size}.")


class _Planner:
    """Plans windows of one text in units of words, on summed word costs; only a planned window is counted exactly.

    `sums[j] - sums[i]` is about the tokens of words i to j with the whitespace before i, `levels[i]` how good a place
    the gap before word i is to cut. A span (first, last) is half-open in words.
    """

    def __init__(self, text: str, counter: PretokenCounter, size: int, overlap: int) -> None:
        self._text, self._counter, self._size, self._overlap = text, counter, size, overlap
        pieces = list(_pieces(text, counter, size // 4))
        self.starts = [start for start, _ in pieces]
        self.ends = [end for _, end in pieces]
        words = [text[start:end] for start, end in pieces]
        spaces = [text[end:start] for end, start in zip([0, *self.ends], self.starts, strict=False)]
        costs = [counter.count(space + word) for space, word in zip(spaces, words, strict=True)]
        self._sums = np.concatenate([np.zeros(1, np.int64), np.cumsum(costs, dtype=np.int64)])
        self._levels = np.array(list(map(_level, ["", *words], spaces, words)), np.int8)

    def spans(self) -> Iterator[tuple[int, int]]:
        """Spans in words, each ending after the one before it; they cover all words."""
        first, covered = 0, 0
        while covered < len(self.starts):
            last = self._end(first, covered)
            if last == covered:  # with so much whitespace in between, the overlap leaves no room for the next word
                first, last = covered, self._end(covered, covered)
            yield first, last
            first, covered = self._next_start(first, last), last

    def lengthened(self, span: tuple[int, int], before: tuple[int, int], min_tokens: int) -> tuple[int, int]:
        """The last span begun earlier, but after the start of the span before it, until it has `min_tokens`."""
        first, last = span
        while first - 1 > before[0] and self._tokens(first, last) < min_tokens:
            first -= 1
        return (first, last) if self._tokens(first, last) <= self._size else span

    def _tokens(self, first: int, last: int) -> int:
        return self._counter.count(self._text[self.starts[first] : self.ends[last - 1]])

    def _end(self, first: int, covered: int) -> int:
        """The best end after `covered` for a window that begins at `first`; `covered` itself where nothing fits."""
        limit = self._limit(first, self._size)
        while limit > covered:
            last = self._cut(first, covered, limit)
            excess = self._tokens(first, last) - self._size
            if excess <= 0:
                return last
            limit = min(last - 1, max(covered + 1, self._limit(first, self._size - excess)))
        return covered

    def _limit(self, first: int, budget: int) -> int:
        """The last end up to which the words from `first` cost no more than `budget` tokens."""
        return int(np.searchsorted(self._sums, self._before(first) + budget, side="right")) - 1

    def _before(self, first: int) -> int:
        """Summed cost of all that stands before the first character of a word, the whitespace there included."""
        body = self._counter.count(self._text[self.starts[first] : self.ends[first]])
        return int(self._sums[first + 1]) - body

    def _cut(self, first: int, covered: int, limit: int) -> int:
        """A cut of the highest level in the fuller half of a window; `limit` where nothing is left to cut.

        Of equals the one with the highest landmark, not the last: two editions of a text then choose the same cuts, and
        their windows fall in step again after each difference.
        """
        if limit == len(self.starts):
            return limit
        filled = self._before(first) + int(self._size * MIN_FILL)
        least = max(covered + 1, int(np.searchsorted(self._sums, filled, side="left")))
        levels = self._levels[least : limit + 1]
        best = least + np.flatnonzero(levels == levels.max(initial=WORD))
        return max(best.tolist(), key=lambda place: (self._landmark(place), place), default=limit)

    def _landmark(self, place: int) -> int:
        """A number drawn from the letters that follow a cut, the same in all editions."""
        following = self._text[self.starts[place] : self.starts[place] + 2 * LANDMARK]
        return zlib.crc32("".join(filter(str.isalnum, following.casefold()))[:LANDMARK].encode())

    def _next_start(self, first: int, last: int) -> int:
        """Where a window after the span begins: at a sentence between half and all of the overlap back, or at a word."""
        if not self._overlap or last == len(self.starts):
            return last
        total = self._sums[last]
        far = max(first + 1, int(np.searchsorted(self._sums, total - self._overlap, side="left")))
        near = int(np.searchsorted(self._sums, total - self._overlap // 2, side="right")) - 1
        sentences = np.flatnonzero(self._levels[far : near + 1] > WORD)
        return min(last, far + int(sentences[0]) if len(sentences) else far)


def _pieces(text: str, counter: PretokenCounter, most: int) -> Iterator[tuple[int, int]]:
    """Character spans of the words; a word that could have over `most` tokens comes in parts of at most `most`."""
    for match in _WORDS.finditer(text):
        start, end = match.span()
        while end - start > most // BYTES_PER_CHARACTER:
            cut = _longest_prefix(text, start, min(end, start + 8 * most), counter, most)
            yield start, cut
            start = cut
        if start < end:
            yield start, end


def _longest_prefix(text: str, start: int, end: int, counter: PretokenCounter, most: int) -> int:
    """An end such that text[start:end] has at most `most` tokens or one character: the given one, or an earlier one."""
    found = counter.count(text[start:end])
    while found > most and end - start > 1:
        end = start + max(1, (end - start) * most // found)  # shorter each time, since most < found
        found = counter.count(text[start:end])
    return end


def _level(previous: str, space: str, word: str) -> int:
    if not space:
        return WORD
    if _BLANK_LINE.search(space):
        return PARAGRAPH
    ends = _SENTENCE_END.search(previous) and not _ABBREVIATION.search(previous)
    return SENTENCE if ends and _SENTENCE_START.match(word) else WORD
