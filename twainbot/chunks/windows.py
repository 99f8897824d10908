"""Windows over a work: spans that cover it, fit a token budget and overlap. Token counts come from counting.py,
tags from tags.py; which windows are good enough to train on is decided by screening.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from tokenizers import Tokenizer

from twainbot.chunks.counting import PretokenCounter
from twainbot.chunks.cues import CueReader
from twainbot.chunks.headings import find_headings
from twainbot.chunks.tags import TAGGER_VERSION, tags_of
from twainbot.chunks.words import WORD, WordReader, Words
from twainbot.errors import BadInput, BadUse
from twainbot.records import CHUNK, frame

MIN_SIZE = 8  # tokens; with less, two characters might not fit
# A window is cut at a place in its fuller half. Choosing among all of them costs length (380 tokens a window of 512,
# 450 with the last place), and finds 88-98 % of an old edition's windows to be duplicates (4 books), not 46-88 %.
MIN_FILL = 0.5
LANDMARK = 20  # letters after a cut that decide between equally good cuts


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
    return Chunker(tokenizer, size, overlap, min_tokens).windows(text)


class Chunker:
    """Cuts texts as `windows` does; what it learns of one text's words makes the next one cheaper."""

    def __init__(self, tokenizer: Tokenizer, size: int = 512, overlap: int = 64, min_tokens: int = 0) -> None:
        """Raises BadUse on contradicting sizes."""
        _check(size, overlap, min_tokens)
        self._counter = PretokenCounter(tokenizer)
        self._reader = WordReader(self._counter, size // 4)
        self._size, self._overlap, self._min_tokens = size, overlap, min_tokens

    def windows(self, text: str) -> list[Chunk]:
        """The windows of one text, in reading order. Raises BadInput where the text is no Unicode text."""
        planner = _Planner(text, self._counter, self._reader.read(text), self._size, self._overlap)
        headings = find_headings(text)
        spans = list(planner.spans())
        if len(spans) > 1:
            spans[-1] = planner.lengthened(spans[-1], spans[-2], self._min_tokens)
        chunks = []
        covered = 0
        for first, last in spans:
            start, end = int(planner.starts[first]), int(planner.ends[last - 1])
            heading = headings.at(max(start, covered))
            chunks.append(Chunk(start, end, text[start:end], planner.tokens(first, last), heading))
            covered = int(planner.starts[last]) if last < len(planner.starts) else end
        return chunks


def chunk_works(works: pl.DataFrame, tokenizer: Tokenizer, size: int, overlap: int, min_tokens: int) -> pl.DataFrame:
    """All windows of all works that are not recorded rejects, tagged, as rows of records.CHUNK in the works' order.

    A work that fits in `size` tokens, such as a joke, a news item, a bulletin or a dialogue, stays whole. Raises
    BadInput where an accepted work has no text.
    """
    chunker = Chunker(tokenizer, size, overlap, min_tokens)
    accepted = works.filter(pl.col("reject_reason").is_null())
    missing = accepted.filter(pl.col("text").is_null())["work_id"].to_list()
    if missing:
        found = f"{len(missing)} works have neither a text nor a reject_reason (first {missing[0]!r})."
        raise BadInput(f"{found} Rematerialize their corpus.")
    rows = [_row(work, chunk) for work in accepted.iter_rows(named=True) for chunk in chunker.windows(work["text"])]
    tags = tags_of([row["text"] for row in rows], [row["style"] for row in rows], CueReader())
    return frame(({**row, **found} for row, found in zip(rows, tags, strict=True)), CHUNK)


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
    }


def _check(size: int, overlap: int, min_tokens: int) -> None:
    if size < MIN_SIZE:
        raise BadUse(f"size={size} tokens is too small to hold any character of any text; use at least {MIN_SIZE}.")
    if not 0 <= overlap <= size // 2:
        raise BadUse(f"overlap={overlap} must lie between 0 and half of size={size}, so that each window moves on.")
    if not 0 <= min_tokens <= size:
        raise BadUse(f"min_tokens={min_tokens} must lie between 0 and size={size}.")


class _Planner:
    """Plans windows of one text in units of words, on the summed costs of its words.

    A span (first, last) is half-open in words; its window begins with the first character of `first`.
    """

    def __init__(self, text: str, counter: PretokenCounter, words: Words, size: int, overlap: int) -> None:
        self._text, self._counter, self._size, self._overlap = text, counter, size, overlap
        self.starts, self.ends = words.starts, words.ends
        self._sums, self._levels, self._joined, self._doubtful = words.sums, words.levels, words.joined, words.doubtful

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
        while first - 1 > before[0] and self.tokens(first, last) < min_tokens:
            first -= 1
        return (first, last) if self.tokens(first, last) <= self._size else span

    def tokens(self, first: int, last: int) -> int:
        """Exact count of a span: its first words are counted without the white space before them, the rest is summed."""
        plain = last
        if self._counter.sums_up and self._doubtful[last] == self._doubtful[first]:
            plain = first + 1
            while plain < last and self._joined[plain]:
                plain += 1
        opening = self._counter.count(self._text[self.starts[first] : self.ends[plain - 1]])
        return opening + int(self._sums[last] - self._sums[plain])

    def _end(self, first: int, covered: int) -> int:
        """The best end after `covered` for a window that begins at `first`; `covered` itself where nothing fits."""
        limit = self._limit(first, self._size)
        while limit > covered:
            last = self._cut(first, covered, limit)
            excess = self.tokens(first, last) - self._size
            if excess <= 0:
                return last
            limit = min(last - 1, max(covered + 1, self._limit(first, self._size - excess)))
        return covered

    def _limit(self, first: int, budget: int) -> int:
        """The last end up to which the words from `first` cost no more than `budget` tokens."""
        return int(self._sums.searchsorted(self._before(first) + budget, side="right")) - 1

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
        least = max(covered + 1, int(self._sums.searchsorted(filled, side="left")))
        levels = self._levels[least : limit + 1]
        best = (least + np.flatnonzero(levels == levels.max(initial=WORD))).tolist()
        if len(best) == 1:
            return best[0]
        return max(best, key=lambda place: (self._landmark(place), place), default=limit)

    def _landmark(self, place: int) -> int:
        """A number drawn from the letters that follow a cut, the same in all editions."""
        following = self._text[self.starts[place] : self.starts[place] + 2 * LANDMARK]
        return zlib.crc32("".join(filter(str.isalnum, following.casefold()))[:LANDMARK].encode())

    def _next_start(self, first: int, last: int) -> int:
        """Where a window after the span begins: at a sentence between half and all of the overlap back, or at a word."""
        if not self._overlap or last == len(self.starts):
            return last
        total = self._sums[last]
        far = max(first + 1, int(self._sums.searchsorted(total - self._overlap, side="left")))
        near = int(self._sums.searchsorted(total - self._overlap // 2, side="right")) - 1
        sentences = np.flatnonzero(self._levels[far : near + 1] > WORD)
        return min(last, far + int(sentences[0]) if len(sentences) else far)
