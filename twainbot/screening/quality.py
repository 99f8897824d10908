"""Is it prose, or the debris of a file? Rules after Gopher, C4 and FineWeb, with the bounds that suit single passages.

Each rule gives its name where it fails; what failing leads to is decided in decide.py.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

import polars as pl

from twainbot.screening.words import Counts, WordCounter

SHORT_STYLES = ("joke", "satire", "weather_fact", "dialogue", "franklin")  # whole by nature: an aphorism has 6 words
TABULAR_STYLES = ("weather_fact", "dialogue")  # numbers, codes and one-line turns are their form

MIN_WORDS, MIN_WORDS_SHORT = 50, 3  # Gopher takes 50 words for a document; a joke is done in three
MEAN_WORD_LENGTH = (3.0, 10.0)  # Gopher
MAX_SYMBOLS_PER_WORD = 0.1  # Gopher: "#" and ellipses
MAX_BULLET_LINES, MAX_ELLIPSIS_LINES = 0.9, 0.3  # Gopher
MIN_ALPHABETIC_WORDS = 0.8  # Gopher
MIN_ALPHABETIC_WORDS_MILD = 0.4  # half of a bulletin's words are numbers and codes, and a few numbers make a joke
MIN_STOP_WORDS = 2  # Gopher
MAX_DUPLICATE_LINES = 0.3  # Gopher, share of lines that repeat an earlier one
MAX_TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}  # Gopher, share of characters in the most frequent n-gram
MIN_PUNCTUATED_LINES = 0.12  # FineWeb, share of paragraphs that end in punctuation
MIN_FOR_SHARES = 50  # words; below it shares of lines, n-grams and stop words are noise
_PLACEHOLDERS = ("lorem ipsum", "javascript is disabled", "enable cookies", "terms of use")  # C4

_MOJIBAKE = re.compile(r"\ufffd|Ã[\u0080-\u00bf©¨¢´¼¶]|â€[\u0080-\u02ff™œ\u009d]")
_MOJIBAKE_SIGNS = ("\ufffd", "Ã", "â€")  # one of which each match holds
_PLACEHOLDER = "(?i)" + "|".join(_PLACEHOLDERS)
_BULLETS, _ELLIPSES = ("-", "*", "•", "‣"), ("...", "…")
_BULLET = re.compile(r"^\s*[-*•‣]\s")
_PARAGRAPH = re.compile(r"\n\s*\n")
_CLOSERS, _QUOTES = "\"'”’)]_*", "\"'”’"
_CLOSING_MARKS = frozenset(".!?:;,…—-")


def quality_flags(text: str, style: str) -> list[str]:
    """Names of the rules that the text fails, sorted; none for good prose. Short and tabular styles get milder bounds."""
    return flags_of([text], [style], WordCounter(lambda _: 0).count([text]))[0]


def flags_of(texts: Sequence[str], styles: Sequence[str], counts: Counts) -> list[list[str]]:
    """The failed rules of each text, in order, given the counts of its words."""
    columns = [getattr(counts, name).tolist() for name in _Numbers._fields]
    rows = zip(texts, styles, _with_placeholders(texts), map(_Numbers, *columns), strict=True)
    return [_flags(text, style, placeholder, numbers) for text, style, placeholder, numbers in rows]


class _Numbers(NamedTuple):
    """Fields of Counts, of one text."""

    words: int
    characters: int
    alphabetic: int
    stops: int
    plain: int
    top2: int
    top3: int
    top4: int
    layout: int


def _with_placeholders(texts: Sequence[str]) -> list[bool]:
    """Which texts hold a placeholder in any case. The first search, 1 µs a text, finds all of them and a few beside."""
    try:
        held = pl.Series(texts, dtype=pl.String).str.contains(_PLACEHOLDER).to_list()
    except UnicodeEncodeError:  # a lone surrogate: no text of a table, where there are none
        held = [True] * len(texts)
    return [
        held and any(phrase in text.lower() for phrase in _PLACEHOLDERS) for text, held in zip(texts, held, strict=True)
    ]


def _flags(text: str, style: str, placeholder: bool, numbers: _Numbers) -> list[str]:
    words = numbers.words
    alphabetic = numbers.alphabetic / words if words else 1.0
    flags = {
        "too_few_words": words < (MIN_WORDS_SHORT if style in SHORT_STYLES else MIN_WORDS),
        "mojibake": _has_mojibake(text),
        "placeholder_text": placeholder,
        "few_alphabetic_words": alphabetic < _least_alphabetic(words, style),
        "symbols": numbers.layout > 0 and _symbols(text) > MAX_SYMBOLS_PER_WORD * words,
    }
    if words >= MIN_FOR_SHARES:
        flags |= _line_flags(text, style, numbers.layout) | _word_flags(style, numbers)
    return sorted([name for name, failed in flags.items() if failed])


def _has_mojibake(text: str) -> bool:
    if text.isascii() or not any(sign in text for sign in _MOJIBAKE_SIGNS):
        return False
    return bool(_MOJIBAKE.search(text))


def _symbols(text: str) -> int:
    return text.count("#") + text.count("…") + text.count(". . .")


def _line_flags(text: str, style: str, layout: int) -> dict[str, bool]:
    """`layout`: how many words of the text belong to its layout; without one no line is a bullet's or ends in an ellipsis."""
    lines = list(map(str.strip, text.splitlines()))
    blank = lines.count("")
    filled, distinct = len(lines) - blank, len(set(lines)) - (blank > 0)
    tabular = style in TABULAR_STYLES
    return {
        "bullet_lines": layout > 0 and sum(map(_is_bullet, lines)) / filled > MAX_BULLET_LINES,
        "ellipsis_lines": layout > 0 and not tabular and _ellipses(lines) / filled > MAX_ELLIPSIS_LINES,
        "duplicate_lines": 1 - distinct / filled > MAX_DUPLICATE_LINES,
        "no_sentences": not tabular and _few_closed(text, blank + 1),
    }


def _is_bullet(line: str) -> bool:
    return line.startswith(_BULLETS) and bool(_BULLET.match(line))


def _ellipses(lines: Iterable[str]) -> int:
    return sum(line.endswith(_ELLIPSES) for line in lines)


def _few_closed(text: str, most: int) -> bool:
    """Whether too few paragraphs, of which there are at most so many, end in punctuation. One that does may be enough."""
    if 1 / most >= MIN_PUNCTUATED_LINES and _is_closed(text.rstrip()):
        return False
    paragraphs = [stripped for part in _PARAGRAPH.split(text) if (stripped := part.strip())]
    return sum(map(_is_closed, paragraphs)) / len(paragraphs) < MIN_PUNCTUATED_LINES


def _is_closed(paragraph: str) -> bool:
    return paragraph.rstrip(_CLOSERS)[-1:] in _CLOSING_MARKS or paragraph[-1] in _QUOTES


def _word_flags(style: str, numbers: _Numbers) -> dict[str, bool]:
    shortest, longest = MEAN_WORD_LENGTH
    mean = numbers.characters / numbers.words
    return {
        "word_length": style not in TABULAR_STYLES and not shortest <= mean <= longest,
        "few_stop_words": style not in TABULAR_STYLES and numbers.stops.bit_count() < MIN_STOP_WORDS,
        "repeated_ngrams": _repeats(numbers),
    }


def _repeats(numbers: _Numbers) -> bool:
    total = max(1, numbers.plain)
    if numbers.top2 > MAX_TOP_NGRAM[2] * total:
        return True
    return numbers.top3 / total > MAX_TOP_NGRAM[3] or numbers.top4 / total > MAX_TOP_NGRAM[4]


def _least_alphabetic(words: int, style: str) -> float:
    mild = style in TABULAR_STYLES or words < MIN_FOR_SHARES
    return MIN_ALPHABETIC_WORDS_MILD if mild else MIN_ALPHABETIC_WORDS
