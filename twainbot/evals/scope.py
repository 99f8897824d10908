"""Sentences of a reply, and whether what one says is asserted: questions, tales, similes, hypotheses and admissions are not.

Such statements are marked with the reason, not dropped, so that a strict reading can still count them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from twainbot.evals import phrases

Span = tuple[int, int]


@dataclass(frozen=True)
class Assertion:
    """One checkable statement. `start`, `end`: characters of the reply, half-open.

    value: a number, a (low, high) range, or a word; unit: F, C, %, mph, kph, kn, m/s or None where none is written.
    """

    # temperature | chance | wind | wind_direction | humidity | figure (of unknown meaning) | condition | alert | day | place
    kind: str
    text: str
    start: int
    end: int
    value: Any
    unit: str | None = None
    role: str | None = None  # high | low, for temperatures
    negated: bool = False
    hedge: str | None = None  # for conditions: possible ("may") | unlikely ("little chance of") | certain
    numbered: bool = False  # a chance stands in the same sentence: "rain, at twenty percent"
    loose_unit: bool = False  # no unit written, and the sentence speaks of a second scale
    bare: bool = False  # a number with no unit written beside it: its kind is read off the words around
    firm_role: bool = True  # the role stands in the number's own clause
    skip: str | None = None  # question | anecdote | simile | hypothetical | admission


# Characters of a sentence: every number in one is read against the whole of it, so that a text without a full stop cost
# the square of its length. Nobody's sentence is so long.
_LONGEST = 1_000
_ABBREVIATED = 16  # characters: "approx." and what stands before it
_BUT = re.compile(r"\bbut\b|[;—]|\bstill\b", re.IGNORECASE)


@dataclass(frozen=True)
class Sentence:
    """A sentence, the character it starts at, and whether the one before it told a tale."""

    text: str
    start: int
    after_anecdote: bool = False

    def clause_span(self, start: int, end: int) -> Span:
        """The stretch between separators that holds the span, both in characters of the sentence."""
        low, high = 0, len(self.text)
        for cut_start, cut_end in self._cuts:
            if cut_end <= start:
                low = cut_end
            elif cut_start >= end:
                return low, cut_start
        return low, high

    def says(self, pattern: re.Pattern[str], low: int = 0, high: int | None = None) -> bool:
        """Whether a pattern is found in that stretch of the sentence. Each is looked for once, however many numbers ask."""
        return bool(self.places_of(pattern, low, high))

    def places_of(self, pattern: re.Pattern[str], low: int = 0, high: int | None = None) -> Sequence[int]:
        """Where in the sentence the pattern begins within the stretch."""
        stretch = (pattern, low, high)
        if stretch not in self._found:
            self._found[stretch] = [low + m.start() for m in pattern.finditer(self.text[low:high])]
        return self._found[stretch]

    @cached_property
    def _cuts(self) -> list[Span]:
        return [cut.span() for cut in phrases.SEPARATOR.finditer(self.text)]

    @cached_property
    def _found(self) -> dict[tuple[re.Pattern[str], int, int | None], list[int]]:
        return {}


def sentences(reply: str) -> Iterator[Sentence]:
    """The sentences of a reply, in order."""
    start, after_anecdote = 0, False
    ends = [
        m.end()
        for m in phrases.SENTENCE_END.finditer(reply)
        if not phrases.ABBREVIATION.search(reply, max(0, m.end() - _ABBREVIATED), m.end())
    ]
    for end in _within_reach(reply, [*ends, len(reply)]):
        text = reply[start:end]
        if text.strip():
            sentence = Sentence(text, start, after_anecdote)
            yield sentence
            after_anecdote = bool(_anecdotal(sentence))
        start = end


def _within_reach(reply: str, ends: Sequence[int]) -> Iterator[int]:
    """The ends, and further ones at a space where a sentence would be longer than `_LONGEST`."""
    start = 0
    for end in ends:
        while end - start > _LONGEST:
            cut = reply.rfind(" ", start + 1, start + _LONGEST)
            start = cut if cut > start else start + _LONGEST
            yield start
        yield end
        start = end


def _anecdotal(sentence: Sentence, position: int | None = None) -> bool:
    """Whether the sentence tells a tale, or with a position, whether the tale has begun by the end of that part of it."""
    ends = sentence.places_of(phrases.ANECDOTE_ENDS) if position is not None else ()
    if sentence.says(phrases.ANECDOTE, 0, next((end for end in ends if end >= (position or 0)), None)):
        return True
    return sentence.after_anecdote and sentence.says(phrases.PAST) and not sentence.says(phrases.FORECAST)


def scoped(found: Sequence[Assertion], sentence: Sentence) -> list[Assertion]:
    """The same assertions with their reason to be skipped, if any."""
    similes = [m.span() for m in phrases.SIMILE.finditer(sentence.text)]
    scoped = [replace(a, skip=_skip_reason(a, sentence, similes)) for a in found]
    weather = [a.skip for a in scoped if a.kind not in ("day", "place")]
    if weather and all(weather):  # a day and a place beside weather that is not asserted are not asserted either
        return [replace(a, skip=a.skip or weather[0]) for a in scoped]
    return scoped


def _skip_reason(a: Assertion, sentence: Sentence, similes: Sequence[Span]) -> str | None:
    start, end = a.start - sentence.start, a.end - sentence.start
    clause = sentence.clause_span(start, end)
    if sentence.text.rstrip(' "”’)\n').endswith("?"):
        return "question"
    if a.kind not in ("day", "place") and any(low <= start and end <= high for low, high in similes):
        return "simile"
    if _anecdotal(sentence, end) and not sentence.says(phrases.FORECAST, *clause):
        return "anecdote"
    if a.kind == "condition" and sentence.says(phrases.NO_PROMISE, *clause):
        return "admission"
    if sentence.says(phrases.ADMISSION, 0, _next_but(sentence.text, start)) and not _reaches_over_but(sentence, start):
        return "admission"
    return "hypothetical" if sentence.says(phrases.HYPOTHESIS, *clause) else None


def _next_but(text: str, start: int) -> int:
    cut = _BUT.search(text, start)
    return cut.start() if cut else len(text)


def _reaches_over_but(sentence: Sentence, start: int) -> bool:
    """Whether a `but`, semicolon or full `and it will` parts the admission from the claim."""
    admission = phrases.ADMISSION.search(sentence.text)
    if admission is None:
        return True
    return sentence.says(phrases.ADMISSION_ENDS, *sorted((admission.end(), start)))
