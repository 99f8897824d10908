"""What a forecast says, period by period: degrees Fahrenheit, percent, miles per hour, compass letters.

Spoken forecasts are read here, tables in forecast_tables.py. Absent figures are None; nothing is guessed.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

PERIOD_CHARACTERS = 4000  # the longest period in the archive has 900; past this it is no period but a lost heading
MPH_PER_KNOT = 1.150779

_DAY = r"(?:(?:SUN|MON|TUES|WEDNES|THURS|FRI|SATUR)DAY|SUN|MON|TUE|WED|THU|FRI|SAT)"
_PERIOD_NAME = re.compile(
    rf"\b(?:TODAY|TONIGHT|OVERNIGHT|THIS (?:MORNING|AFTERNOON|EVENING)|TOMORROW|{_DAY}|[A-Z' ]+DAY|[A-Z' ]+EVE)\b",
    re.IGNORECASE,
)
_PERIOD_OPEN = r"^\.[A-Z][A-Za-z0-9 ,'/-]{2,60}?\.\.\."
# Fire weather and surf forecasts leave a line free under the period's name.
_PERIOD = re.compile(rf"{_PERIOD_OPEN}\.*\s*(.*?)(?={_PERIOD_OPEN}|\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
_PART = r"(?:LOWER|LOW|MID|MIDDLE|UPPER)"
_FIGURE = rf"(?:{_PART}(?:[ ]TO[ ]{_PART})?)?[ ]?(?:\d{{1,3}}S?|ZERO)"
_NEAR = r"(?:(?:IN THE|AROUND|NEAR|ABOUT|UP TO|FROM|BETWEEN|THE|MOSTLY|MAINLY|GENERALLY)[ ])*"
_SPAN = (
    rf"S?[ ](?:WILL BE[ ])?{_NEAR}({_FIGURE}(?:[ ]BELOW)?)(?:[ ]ZERO)?"
    rf"(?:(?:[ ](?:TO|AND)[ ]{_NEAR}|-)({_FIGURE}(?:[ ](?:BELOW|ABOVE))?))?"
)
_HIGH = re.compile(rf"\bHIGH{_SPAN}")
_LOW = re.compile(rf"\bLOW{_SPAN}")
# Fire weather: "MAX TEMPERATURE.....87-95." Humidity and wind have such lines too.
_MAX = re.compile(r"\bMAX TEMP[A-Z]*[ .:]{1,60}(?:AROUND )?(\d{1,3})(?:(?:-| TO )(\d{1,3}))?\b")
_MIN = re.compile(r"\bMIN TEMP[A-Z]*[ .:]{1,60}(?:AROUND )?(\d{1,3})(?:(?:-| TO )(\d{1,3}))?\b")
_CHANCES = (
    re.compile(r"(\d{1,3})[ ]PERCENT[ ]CHANCE"),
    re.compile(r"CHANCE[ ]OF[ ][A-Z ]{3,60}?[ ](?:NEAR[ ]|AROUND[ ]|ABOUT[ ])?(\d{1,3})[ ]PERCENT"),
)
_KEYED_CHANCE = re.compile(r"CHANCE OF PRECIP[A-Z]*[. ]{1,60}(\d{1,3}) (?:PERCENT|PCT)")
_CHANCES = (*_CHANCES, _KEYED_CHANCE)
_COMPASS = {
    "NORTH": "N", "NORTHEAST": "NE", "EAST": "E", "SOUTHEAST": "SE", "SOUTH": "S", "SOUTHWEST": "SW", "WEST": "W",
    "NORTHWEST": "NW",
}  # fmt: skip
_DIRECTION = (
    r"(?:(?:NORTH|SOUTH|EAST|WEST)[ -]?)?(?:NORTH|SOUTH|EAST|WEST)(?:EAST|WEST)?|[NS]?[NS][EW]|[EW][NS][EW]|[NSEW]"
)
# Marine forecasts say knots, "NW WINDS 10 TO 15 KT", "W WIND 5 TO 15 KNOTS".
_WIND = re.compile(
    rf"\b(?:WINDS?[ ]BECOMING[ ]({_DIRECTION})|({_DIRECTION})(?:[ ]TO[ ](?:{_DIRECTION}))?[ ]WINDS?|WINDS?[ ]({_DIRECTION}))"
    r"(?:[ ](?:AROUND|NEAR|ABOUT|UP TO|OF|INCREASING TO|AT))*[ ](?:\d{1,3}[ ]TO[ ])?(\d{1,3})[ ](MPH|KTS?|KNOTS?)\b",
)
_KEYED_WIND = re.compile(
    rf"\bWINDS?[ -]*\(?20[ -]F(?:EE)?T[^\d]{{1,40}}?\.({_DIRECTION})()()[ ](?:\d{{1,3}}[ ]TO[ ])?(\d{{1,3}})[ ](MPH)\b",
)
_NOT_SKY = re.compile(
    r"^(?:HIGHS?|LOWS?|TEMPERATURES?|(?:[A-Z]+[ ](?:TO[ ][A-Z]+[ ])?)?WINDS?|CHANCE|NEAR STEADY|WIND CHILL|HEAT INDEX"
    r"|(?:[A-Z]+[ ])?(?:WAVES|SEAS|SWELLS?|SURF)|LIGHT[ ](?:AND[ ]VARIABLE[ ])?WINDS?|(?:MAX|MIN)[ ]TEMP|LAL|CWR|GUSTS?)\b",
    re.IGNORECASE,
)
_LABEL = re.compile(r"^\*?[ ]?(?:SKY/WEATHER|WEATHER)[.: ]{1,60}", re.IGNORECASE)
_CHANCE_CLAUSE = re.compile(r"[, ]{0,4}(?:WITH[ ])?(?:A[ ])?(?:\d+ PERCENT |SLIGHT |GOOD )?CHANCE OF.*$", re.IGNORECASE)


def forecast_facts(text: str) -> Iterator[dict[str, Any]]:
    """A fact per forecast period. Absent figures are None; nothing is guessed."""
    for match in _PERIOD.finditer(text):
        name = match[0][1:].split("...")[0]
        if _PERIOD_NAME.search(name):
            yield period_facts(name, match[1])


def period_facts(period: str, text: str) -> dict[str, Any]:
    """What one forecast period says: degrees Fahrenheit, percent, miles per hour, compass letters.

    A spoken range becomes one figure: "lower 70s" 72, "mid 70s" 75, "upper 70s" 78, "in the 70s" 75, "70 to 74" 72.
    Wind is the upper end of the first range named; knots become miles per hour. None where the text does not say.
    """
    flat = " ".join(text[:PERIOD_CHARACTERS].split())
    loud = flat.upper()
    wind = _WIND.search(loud) or _KEYED_WIND.search(loud)
    chances = [int(found) for pattern in _CHANCES for found in pattern.findall(loud)]
    return {
        "period": " ".join(period.split()).title(),
        "condition": _condition(_LABEL.sub("", flat)),
        "high_f": _degrees(_HIGH.search(loud) or _MAX.search(loud)),
        "low_f": _degrees(_LOW.search(loud) or _MIN.search(loud)),
        "precipitation_chance": max((chance for chance in chances if chance <= 100), default=None),
        "wind_mph": round(int(wind[4]) * (1 if wind[5] == "MPH" else MPH_PER_KNOT)) if wind else None,
        "wind_direction": compass(wind[1] or wind[2] or wind[3]) if wind else None,
        "text": flat,
    }


def compass(words: str) -> str | None:
    """One to three letters of a direction: "south southwest" gives SSW, "NW" NW; None for what is no direction."""
    parts = re.split(r"[ -]", words.upper())
    letters = "".join(_COMPASS.get(part, part) for part in parts)
    return letters if re.fullmatch(r"[NS]?[NS][EW]|[EW][NS][EW]|[NSEW]", letters) else None


def _condition(flat: str) -> str | None:
    for sentence in re.split(r"\.(?:\s|$)", flat):
        sky = _CHANCE_CLAUSE.sub("", sentence).strip(" ,").lower()
        if sky and not _NOT_SKY.match(sentence):
            return sky
    return None


def _degrees(match: re.Match[str] | None) -> int | None:
    if match is None:
        return None
    ends = [_figure(part) for part in match.groups() if part]
    if len(ends) == 2 and "BELOW" in match[2].upper() and ends[0] > 0:
        ends[0] = -ends[0]  # "5 to 10 below" is below at both ends
    return round(sum(ends) / len(ends))


_ABOVE_TEN = {"LOW": 2, "MID": 5, "UPPER": 8}  # degrees above the ten: "lower 70s" is 70 to 73, "upper" 76 to 79


def _figure(words: str) -> int:
    upper = words.upper()
    digits = re.search(r"\d+", upper)
    number = int(digits[0]) if digits else 0
    if re.search(r"\d+S", upper):
        parts = [above for part, above in _ABOVE_TEN.items() if re.search(rf"\b{part}", upper)]
        number += round(sum(parts) / len(parts)) if parts else 5
    return -number if "BELOW" in upper else number
