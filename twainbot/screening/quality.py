"""Is it prose, or the debris of a file? Rules after Gopher, C4 and FineWeb, with the bounds that suit single passages.

Each rule gives its name where it fails; what failing leads to is decided in decide.py.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

SHORT_STYLES = ("joke", "satire", "weather_fact", "dialogue", "franklin")  # whole by nature: an aphorism has 6 words
TABULAR_STYLES = ("weather_fact", "dialogue")  # numbers, codes and one-line turns are their form

MIN_WORDS, MIN_WORDS_SHORT = 50, 3  # Gopher takes 50 words for a document; a joke is done in three
MEAN_WORD_LENGTH = (3.0, 10.0)  # Gopher
MAX_SYMBOLS_PER_WORD = 0.1  # Gopher: "#" and ellipses
MAX_BULLET_LINES, MAX_ELLIPSIS_LINES = 0.9, 0.3  # Gopher
MIN_ALPHABETIC_WORDS = 0.8  # Gopher
MIN_ALPHABETIC_WORDS_MILD = 0.4  # half of a bulletin's words are numbers and codes, and a few numbers make a joke
STOP_WORDS = frozenset({"the", "be", "to", "of", "and", "that", "have", "with"})  # Gopher's eight
MIN_STOP_WORDS = 2  # Gopher
MAX_DUPLICATE_LINES = 0.3  # Gopher, share of lines that repeat an earlier one
MAX_TOP_NGRAM = {2: 0.20, 3: 0.18, 4: 0.16}  # Gopher, share of characters in the most frequent n-gram
MIN_PUNCTUATED_LINES = 0.12  # FineWeb, share of paragraphs that end in punctuation
MIN_FOR_SHARES = 50  # words; below it shares of lines, n-grams and stop words are noise
_PLACEHOLDERS = ("lorem ipsum", "javascript is disabled", "enable cookies", "terms of use")  # C4

_WORD = re.compile(r"\S+")
_LETTER = re.compile(r"[^\W\d_]")
_MOJIBAKE = re.compile(r"\ufffd|Ã[\u0080-\u00bf©¨¢´¼¶]|â€[\u0080-\u02ff™œ\u009d]")
_BULLET = re.compile(r"^\s*[-*•‣]\s")
_PARAGRAPH = re.compile(r"\n\s*\n")
_CLOSED = re.compile(r"[.!?:;,…—-][\"'”’)\]_*]*$|[\"'”’]$")


def quality_flags(text: str, style: str) -> list[str]:
    """Names of the rules that the text fails, sorted; none for good prose. Short and tabular styles get milder bounds."""
    found = _WORD.findall(text)
    flags = {
        "too_few_words": len(found) < (MIN_WORDS_SHORT if style in SHORT_STYLES else MIN_WORDS),
        "mojibake": bool(_MOJIBAKE.search(text)),
        "placeholder_text": any(phrase in text.lower() for phrase in _PLACEHOLDERS),
        "few_alphabetic_words": _alphabetic(found) < _least_alphabetic(found, style),
        "symbols": text.count("#") + text.count("…") + text.count(". . .") > MAX_SYMBOLS_PER_WORD * len(found),
    }
    if len(found) >= MIN_FOR_SHARES:
        flags |= _line_flags(text, style) | _word_flags(found, style)
    return sorted(name for name, failed in flags.items() if failed)


def _line_flags(text: str, style: str) -> dict[str, bool]:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    paragraphs = [part.strip() for part in _PARAGRAPH.split(text) if part.strip()]
    closed = sum(bool(_CLOSED.search(part)) for part in paragraphs) / len(paragraphs)
    bullets = sum(bool(_BULLET.match(line)) for line in lines) / len(lines)
    ellipses = sum(line.endswith(("...", "…")) for line in lines) / len(lines)
    return {
        "bullet_lines": bullets > MAX_BULLET_LINES,
        "ellipsis_lines": style not in TABULAR_STYLES and ellipses > MAX_ELLIPSIS_LINES,
        "duplicate_lines": 1 - len(set(lines)) / len(lines) > MAX_DUPLICATE_LINES,
        "no_sentences": style not in TABULAR_STYLES and closed < MIN_PUNCTUATED_LINES,
    }


def _word_flags(found: Sequence[str], style: str) -> dict[str, bool]:
    lowered = [word.lower().strip(".,;:!?\"'()[]_*") for word in found]
    shortest, longest = MEAN_WORD_LENGTH
    mean = sum(map(len, found)) / len(found)
    return {
        "word_length": style not in TABULAR_STYLES and not shortest <= mean <= longest,
        "few_stop_words": style not in TABULAR_STYLES and len(STOP_WORDS & set(lowered)) < MIN_STOP_WORDS,
        "repeated_ngrams": any(_top_share(lowered, n) > bound for n, bound in MAX_TOP_NGRAM.items()),
    }


def _alphabetic(found: Sequence[str]) -> float:
    return sum(bool(_LETTER.search(word)) for word in found) / len(found) if found else 1.0


def _least_alphabetic(found: Sequence[str], style: str) -> float:
    mild = style in TABULAR_STYLES or len(found) < MIN_FOR_SHARES
    return MIN_ALPHABETIC_WORDS_MILD if mild else MIN_ALPHABETIC_WORDS


def _top_share(lowered: Sequence[str], n: int) -> float:
    """Share of all characters that lie in repeats of the most frequent n-gram; 0 where none occurs twice."""
    grams = Counter(zip(*(lowered[offset:] for offset in range(n)), strict=False))
    top, count = max(grams.items(), key=lambda item: (item[1] * sum(map(len, item[0])), item[0]), default=((), 0))
    return count * sum(map(len, top)) / max(1, sum(map(len, lowered))) if count > 1 else 0.0
