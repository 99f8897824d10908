"""Is it prose, or the debris of a file? Rules after Gopher, C4 and FineWeb, with the bounds that suit single passages.

Each rule gives its name where it fails; what failing leads to is decided in decide.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from twainbot.screening.words import EDGE, Counts, WordCounter

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
    columns = [getattr(counts, name).tolist() for name in _USED]
    rows = zip(texts, styles, *columns, strict=True)
    return [_flags(text, style, _Numbers(*numbers)) for text, style, *numbers in rows]


_USED = ("words", "characters", "alphabetic", "stops", "plain", "top", "most", "longest")


@dataclass(frozen=True, slots=True)
class _Numbers:
    words: int
    characters: int
    alphabetic: int
    stops: int
    plain: int
    top: int
    most: int
    longest: int


def _flags(text: str, style: str, numbers: _Numbers) -> list[str]:
    words = numbers.words
    lowered = text.lower()
    alphabetic = numbers.alphabetic / words if words else 1.0
    flags = {
        "too_few_words": words < (MIN_WORDS_SHORT if style in SHORT_STYLES else MIN_WORDS),
        "mojibake": not text.isascii() and bool(_MOJIBAKE.search(text)),
        "placeholder_text": any(phrase in lowered for phrase in _PLACEHOLDERS),
        "few_alphabetic_words": alphabetic < _least_alphabetic(words, style),
        "symbols": text.count("#") + text.count("…") + text.count(". . .") > MAX_SYMBOLS_PER_WORD * words,
    }
    if words >= MIN_FOR_SHARES:
        flags |= _line_flags(text, style) | _word_flags(text, style, numbers)
    return sorted([name for name, failed in flags.items() if failed])


def _line_flags(text: str, style: str) -> dict[str, bool]:
    lines = [stripped for line in text.splitlines() if (stripped := line.strip())]
    paragraphs = [stripped for part in _PARAGRAPH.split(text) if (stripped := part.strip())]
    closed = sum(map(_is_closed, paragraphs)) / len(paragraphs)
    bullets = sum(line.startswith(_BULLETS) and bool(_BULLET.match(line)) for line in lines) / len(lines)
    ellipses = sum(line.endswith(_ELLIPSES) for line in lines) / len(lines)
    return {
        "bullet_lines": bullets > MAX_BULLET_LINES,
        "ellipsis_lines": style not in TABULAR_STYLES and ellipses > MAX_ELLIPSIS_LINES,
        "duplicate_lines": 1 - len(set(lines)) / len(lines) > MAX_DUPLICATE_LINES,
        "no_sentences": style not in TABULAR_STYLES and closed < MIN_PUNCTUATED_LINES,
    }


def _is_closed(paragraph: str) -> bool:
    return paragraph.rstrip(_CLOSERS)[-1:] in _CLOSING_MARKS or paragraph[-1] in _QUOTES


def _word_flags(text: str, style: str, numbers: _Numbers) -> dict[str, bool]:
    shortest, longest = MEAN_WORD_LENGTH
    mean = numbers.characters / numbers.words
    return {
        "word_length": style not in TABULAR_STYLES and not shortest <= mean <= longest,
        "few_stop_words": style not in TABULAR_STYLES and numbers.stops.bit_count() < MIN_STOP_WORDS,
        "repeated_ngrams": _repeats(text, numbers),
    }


def _repeats(text: str, numbers: _Numbers) -> bool:
    """Whether some n-gram repeats too much. A longer n-gram occurs no more often than the pairs in it, so most texts are
    cleared by their most frequent pair and their longest four words.
    """
    total = max(1, numbers.plain)
    if numbers.top > MAX_TOP_NGRAM[2] * total:
        return True
    if numbers.most < 2 or numbers.most * numbers.longest <= min(MAX_TOP_NGRAM.values()) * total:
        return False
    stems = [word.lower().replace("’", "'").strip(EDGE) for word in text.split()]
    return any(_top_share(stems, n) > bound for n, bound in MAX_TOP_NGRAM.items() if n > 2)


def _least_alphabetic(words: int, style: str) -> float:
    mild = style in TABULAR_STYLES or words < MIN_FOR_SHARES
    return MIN_ALPHABETIC_WORDS_MILD if mild else MIN_ALPHABETIC_WORDS


def _top_share(lowered: Sequence[str], n: int) -> float:
    """Share of all characters that lie in repeats of the most frequent n-gram; 0 where none occurs twice."""
    grams = Counter(zip(*(lowered[offset:] for offset in range(n)), strict=False))
    shares = [count * sum(map(len, gram)) for gram, count in grams.items() if count > 1]
    return max(shares, default=0) / max(1, sum(map(len, lowered)))
