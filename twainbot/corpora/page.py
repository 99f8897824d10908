"""A text with the places of all strings that the cleaning looks for, found in one walk. What they mean is not known here."""

from __future__ import annotations

import re
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cached_property

import polars as pl

from twainbot.corpora.normalize import MAX_BLANK_LINES

Span = tuple[int, int]

# Spelled cases beat a lowered copy of a book: the cases that occur are few. In groups by who asks.
MARKER_HINTS = ("tenb", "TENB", "roject G", "START OF TH", "END OF TH", "SMALL PRINT", "Small Print")
NAME_HINTS = ("tenb", "TENB", "pglaf", "PGLAF", "promo.net/pg", "pgdp.net")
NOTE_HINTS = ("ranscri", "RANSCRI")
EDITION_HINTS = ("taken from",)
LEGAL_HINTS = ("<<THIS ELECTRONIC VERSION OF",)
LIST_HINTS = ("ONTENTS", "ontents", "LLUSTRATIONS", "llustrations", "LIST OF", "List of", "C O N T E")
# Licence and footer openers, in the spellings that occur. Each is enough on a line to end a work where the rest is alike.
TAIL_PHRASES = (
    "file should be named", "editions will replace the previous one", "START: FULL LICENSE",
    "FULL PROJECT GUTENBERG", "reating the works from p", "eBooks are often created from", "Etexts are often created from",
    "ortions of this header are copyright", "need your donations more than ever", "EED YOUR DONATIONS MORE THAN EVER",
    "is to Give Away One Trillion", "is to Give Away 1 Trillion", "etails Above", "ETAILS ABOVE", "etails above",
)  # fmt: skip
_ALL = sorted({*MARKER_HINTS, *NAME_HINTS, *NOTE_HINTS, *EDITION_HINTS, *LEGAL_HINTS, *LIST_HINTS, *TAIL_PHRASES})


_OPENING = re.compile(r"\[")


class Page:
    """Tidy text and where the hints stand in it. `without` makes the page that is left when spans are cut."""

    def __init__(self, text: str, candidates: list[int] | None = None) -> None:
        self.text = text
        self._candidates = _walk(text) if candidates is None else candidates

    @cached_property
    def brackets(self) -> list[int]:
        """Where an opening square bracket stands."""
        return [match.start() for match in _OPENING.finditer(self.text)]

    def places(self, hints: Iterable[str], start: int = 0) -> list[int]:
        """Where any of the hints begins, from character `start` on, in order."""
        wanted = tuple(hints)
        return [at for at in self._candidates if at >= start and self.text.startswith(wanted, at)]

    def without(self, spans: list[Span]) -> Page:
        """The page without the spans, which may overlap and come in any order. What is left is tidy again.

        A paragraph takes the blank line under it along, so that its neighbours stand one gap apart. Hints move along
        with their text; new ones can only come to be where two parts of a line meet, so they are looked for there.
        """
        text = self.text
        left = _Left()
        at = 0
        for start, end in [*sorted(spans), (len(text), len(text))]:
            if start > at:
                left.add(text[at:start], at)
            alone = start == 0 or text.startswith("\n\n", start - 2)
            at = max(at, end + 2 if alone and text.startswith("\n\n", end) else end)
        return left.page(self._candidates)


@dataclass
class _Left:
    """The parts of a text that stay, joined tidily. `moves`: where each part began in the old text and begins now."""

    parts: list[str] = field(default_factory=list)
    moves: list[tuple[int, int, int]] = field(default_factory=list)
    size: int = 0

    def add(self, part: str, origin: int) -> None:
        """Add a part, without the blanks and the line feeds that would be too many where it meets the one before."""
        if self.parts and part.startswith("\n"):
            self._shorten(len(self.parts[-1].rstrip(" \t")))
        if self.parts and part.isspace():
            self.parts[-1] += part
            self.size += len(part)
            return
        if self.parts:
            last = self.parts[-1]
            feeds = len(last) - len(last.rstrip("\n")) + len(part) - len(part.lstrip("\n"))
            self._shorten(len(last) - max(0, feeds - MAX_BLANK_LINES - 1))
        self.moves.append((origin, len(part), self.size))
        self.parts.append(part)
        self.size += len(part)

    def _shorten(self, length: int) -> None:
        self.size -= len(self.parts[-1]) - length
        self.parts[-1] = self.parts[-1][:length]

    def page(self, candidates: list[int]) -> Page:
        joined = "".join(self.parts)
        text = joined.strip("\n")
        lead = len(joined) - len(joined.lstrip("\n"))
        places = {now + at - old for old, length, now in self.moves for at in _between(candidates, old, old + length)}
        places.update(at for _, _, now in self.moves[1:] for at in _at_seam(joined, now))
        return Page(text.rstrip(), sorted(at - lead for at in places))


def _between(candidates: list[int], start: int, end: int) -> list[int]:
    return candidates[bisect_left(candidates, start) : bisect_left(candidates, end)]


def _at_seam(text: str, seam: int) -> list[int]:
    """Where a hint begins that lies across the seam. None where a line ends there: no hint goes over a line end."""
    if "\n" in text[seam - 1 : seam + 1]:
        return []
    found = []
    for hint in _ALL:
        end = seam + len(hint) - 1
        at = text.find(hint, max(0, seam - len(hint) + 1), end)
        while at >= 0:
            found.append(at)
            at = text.find(hint, at + 1, end)
    return found


def _walk(text: str) -> list[int]:
    """Character positions of all hints. One walk by Aho and Corasick takes 4 ms/MB, a str.find for each 30 ms/MB."""
    found = pl.Series([text]).str.find_many(_ALL, overlapping=True)[0]
    offsets = sorted(set(found.to_list()))
    if text.isascii():
        return offsets
    encoded = text.encode()
    places: list[int] = []
    before = at = 0
    for offset in offsets:
        at += len(encoded[before:offset].decode())
        before = offset
        places.append(at)
    return places
