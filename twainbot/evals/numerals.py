"""Numbers as English prose writes them: `71`, `-5`, `seventy-one`, `a hundred and four`. What a number means is claims.py's."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine")
_TEENS = (
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen",
)  # fmt: skip
_TENS = {
    "twenty": 20, "thirty": 30, "forty": 40, "fifty": 50, "sixty": 60, "seventy": 70, "eighty": 80, "ninety": 90,
}  # fmt: skip
_DECADES = {re.sub("y$", "ies", word): value for word, value in _TENS.items()} | {"teens": 10, "hundreds": 100}
_VALUES = {word: i for i, word in enumerate(_UNITS + _TEENS)} | _TENS

_UNIT = "|".join(_UNITS[1:])
_BELOW_HUNDRED = rf"(?:(?:{'|'.join(_TENS)})(?:[-\s](?:{_UNIT}))?|{'|'.join(_TEENS)}|{'|'.join(_UNITS)})"
_WORDS = (
    rf"(?:(?:a|{_UNIT})\s+(?:hundred|thousand|million)(?:\s+(?:and\s+)?{_BELOW_HUNDRED})?|hundred|{_BELOW_HUNDRED})"
)
_NUMBER = re.compile(
    rf"(?<![\w.,/])(?P<minus>[-−]|minus\s+|negative\s+)?"
    rf"(?:(?P<digits>\d{{1,3}}(?:,\d{{3}})+|\d+(?:\.\d+)?)(?P<plural>['’]?s\b)?|(?P<decade>{'|'.join(_DECADES)})\b|(?P<words>{_WORDS})\b)",
    re.IGNORECASE,
)
_ISO_DATE = re.compile(r"\b\d{4}-\d\d-\d\d\b")
# letters that re.IGNORECASE takes for s, i and k, so that `ſeventy` matches and no dictionary knows it; hyphens of models
_LOOKALIKES = (("ſ", "s"), ("ı", "i"), ("İ", "I"), ("\N{KELVIN SIGN}", "K"), ("\u2010", "-"), ("\u2011", "-"))
_DASHED = re.compile(rf"\b({'|'.join(_TENS)})–(?=(?:{_UNIT})\b)", re.IGNORECASE)
_SCALES = {"hundred": 100, "thousand": 1000, "million": 1_000_000}


@dataclass(frozen=True)
class Numeral:
    """A number in a text. `is_decade`: `70s`, `the seventies`; `in_words`: spelled out."""

    value: float
    start: int
    end: int
    is_decade: bool = False
    in_words: bool = False


def in_ascii(text: str) -> str:
    """The text with its look-alike letters and hyphens in ASCII, one character for one: a span holds in both.

    `seventy–one` takes a hyphen too; a dash between the ends of a range (`60–70`, `sixty–seventy`) stays.
    """
    if text.isascii():
        return text
    for written, meant in _LOOKALIKES:
        text = text.replace(written, meant)
    return _DASHED.sub(r"\1-", text) if "–" in text else text


def numerals(text: str) -> Iterator[Numeral]:
    """Every number of the text in order, longest reading first (`a hundred and four` is one number); an ISO date is none."""
    for match in _NUMBER.finditer(_ISO_DATE.sub("_" * len("2026-10-06"), in_ascii(text))):
        sign = -1.0 if match["minus"] else 1.0
        if match["digits"]:
            value = float(match["digits"].replace(",", ""))
            yield Numeral(sign * value, match.start(), match.end(), is_decade=bool(match["plural"]))
        elif match["decade"]:
            value = float(_DECADES[match["decade"].lower()])
            yield Numeral(sign * value, match.start(), match.end(), is_decade=True, in_words=True)
        else:
            yield Numeral(sign * number_of(match["words"]), match.start(), match.end(), in_words=True)


def number_of(words: str) -> float:
    """`seventy-one` is 71.0, `a hundred and four` is 104.0."""
    total = 0.0
    for word in re.split(r"[-\s]+", in_ascii(words).lower().strip()):
        if word in _SCALES:
            total = max(total, 1) * _SCALES[word]
        elif word == "a":
            total = 1
        elif word != "and":
            total += _VALUES[word]
    return total
