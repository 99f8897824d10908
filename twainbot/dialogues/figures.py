"""Numbers in running text: reading them, with their units, and converting units exactly. Judging them is quality.py's.

Digits and number words both count. "One" alone does not, being a pronoun as often as a number, unless a unit follows.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from twainbot.evals.numerals import in_ascii

SMALL = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
         "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen")  # fmt: skip
TENS = ("twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety")
_WORDS = {word: value for value, word in enumerate(SMALL)} | {word: 20 + 10 * i for i, word in enumerate(TENS)}
_LARGE = {"dozen": 12, "hundred": 100, "thousand": 1000, "million": 1_000_000}

_UNITS = {
    "celsius": r"°\s?C\b|degrees? (?:Celsius|centigrade)|(?<=\d)C\b",
    "degrees": r"°\s?F\b|°|degrees?\b|below\b",
    "percent": r"%|percent\b|per cent\b",
    "kmh": r"km/h\b|kph\b|kilomet(?:er|re)s an hour",
    "mph": r"mph\b|miles (?:an|per) hour",
}
_UNIT = re.compile(
    r"[\s-]?(?:" + "|".join(f"(?P<{name}>{pattern})" for name, pattern in _UNITS.items()) + ")", re.IGNORECASE
)
_WORD = "|".join(sorted([*_WORDS, *_LARGE], key=len, reverse=True))
# a minus counts where nothing that a date or a range would have stands before it
_NUMBER = re.compile(
    rf"(?P<digits>(?:(?<![\w-])[-−])?(?<![\w.])\d[\d,]*(?:\.\d+)?)|\b(?P<words>(?:{_WORD})(?:[\s-]+(?:and\s+)?(?:{_WORD}))*)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Figure:
    """A number as it stands in a text. `unit`: celsius, degrees, percent, kmh, mph, or "" where none follows."""

    value: float
    unit: str
    start: int


def read(text: str) -> list[Figure]:
    """All numbers of the text in order. A number without a unit takes the unit of "between A and B degrees"."""
    found: list[Figure] = []
    text = in_ascii(text)
    for match in _NUMBER.finditer(text):
        unit = _UNIT.match(text, match.end())
        name = str(unit.lastgroup) if unit else ""
        for value in _values(match):
            if value == 1 and match["words"] and not name:
                continue
            found.append(Figure(value, name, match.start()))
    return found


def _values(match: re.Match[str]) -> list[float]:
    if match["digits"]:
        return [float(match["digits"].rstrip(",").replace(",", "").replace("−", "-"))]
    total, values = 0, list[float]()
    for word in re.findall(_WORD, match["words"].lower()):
        if word in _LARGE:
            total = max(total, 1) * _LARGE[word]
        elif total and (total % 100 < 20 or _WORDS[word] >= 10) and total % 100:
            values.append(total)  # "ten twelve": two numbers side by side
            total = _WORDS[word]
        else:
            total += _WORDS[word]
    return [*values, total]


def celsius(fahrenheit: float) -> int:
    """Degrees Celsius, rounded half to even: 50 F is 10 C."""
    return round((fahrenheit - 32) * 5 / 9)


def kmh(mph: float) -> int:
    """Kilometres an hour, rounded half to even: 10 mph is 16 km/h."""
    return round(mph * 1.609344)
