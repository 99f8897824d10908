"""Whether an argument of a tool call was said: by the user, by an earlier tool result, or as a day that follows from the
stated today. The shape of arguments is quality.py's.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from datetime import MAXYEAR, date
from functools import lru_cache
from typing import Any, TypeAlias

from twainbot.dialogues import figures, weather
from twainbot.evals.places_dates import MONTHS, STATES, after, plain, read_date

Row: TypeAlias = Mapping[str, Any]

_WEEKDAY = r"(?:mon|tues|wednes|thurs|fri|satur|sun)day"
_DAY = re.compile(
    rf"\b(?:today|tonight|tomorrow|weekend|this (?:morning|afternoon|evening)|{_WEEKDAY}|\d{{4}}-\d\d-\d\d)\b",
    re.IGNORECASE,
)
_MONTH = "|".join(MONTHS)
_TH = r"(?:st|nd|rd|th)"
_PHRASE = re.compile(
    rf"\b(?:(?:the )?day after tomorrow|tomorrow|today|tonight|this (?:morning|afternoon|evening|weekend)|weekend"
    rf"|(?P<coming>next|this|on|this coming)?\s?(?P<weekday>{_WEEKDAY})|\d{{4}}-\d\d-\d\d"
    rf"|(?:{_MONTH}) (?:the )?\d{{1,2}}{_TH}?(?:,? \d{{4}})?"
    rf"|(?:the )?\d{{1,2}}{_TH}? (?:of )?(?:{_MONTH})(?:,? \d{{4}})?"
    r"|the (?P<nth>\d{1,2})(?:st|nd|rd|th)"
    r"|in (?P<days>(?!the\b)\w+) days?(?: time)?|(?P<hence>\w+) days from (?:now|today)"
    r"|(?P<week>in a week|a week from (?:now|today|tomorrow)|next week|week from (?:now|today)))\b",
    re.IGNORECASE,
)
_STATED = re.compile(
    r"\btoday is (?:\w+day,? )?(?:the )?"
    rf"(?P<day>\d{{4}}-\d\d-\d\d|\d{{1,2}}{_TH}? (?:of )?\w+,? \d{{4}}|\w+ \d{{1,2}}{_TH}?,? \d{{4}})",
    re.IGNORECASE,
)
_FEASTS = {"new year's day": (1, 1), "fourth of july": (7, 4), "independence day": (7, 4), "halloween": (10, 31),
           "christmas eve": (12, 24), "christmas": (12, 25), "new year's eve": (12, 31)}  # fmt: skip
_ESCAPED = re.compile(r"\\(?:u([0-9a-fA-F]{4})|.)")  # of JSON
_SPANS = {"week": 7.0, "weekend": 2.0, "fortnight": 14.0, "today": 1.0, "tomorrow": 1.0, "couple": 2.0}  # of days


def stated_today(turns: Sequence[Row]) -> date | None:
    """The day that the system prompt states ("Today is Tuesday, 6 October 2026."), or None where it states none."""
    prompts = [turn["content"] or "" for turn in turns[:1] if turn["role"] == "system"]
    found = _STATED.search(prompts[0]) if prompts else None
    if found is None:
        return None
    read = read_date(re.sub(r"[, ]+", " ", plain(found["day"]).replace(",", " ")))
    return date.fromisoformat(read) if read and len(read) == len("2026-10-06") else None


def is_said(value: Any, schema: Any, words: Sequence[str], results: Sequence[str], today: date | None) -> bool:
    """Whether an argument stands in the user's `words`, in an earlier tool result, or follows from `today`.

    A choice out of an enum, a flag, and the schema's default need not be said; a number may be said in words.
    """
    schema = schema if isinstance(schema, Mapping) else {}  # `true` is a schema too
    if isinstance(value, bool) or "enum" in schema or value == schema.get("default", ...):
        return True
    if isinstance(value, (int, float)):
        return any(float(value) in _numbers(text) for text in (*words, *results))
    if isinstance(value, list):
        items = schema.get("items") or {}
        return all(is_said(item, items, words, results, today) for item in value)
    if not isinstance(value, str) or _stands(value, words) or _stands(value, [_unescaped(text) for text in results]):
        return True
    if value == "today" and not any(_DAY.search(text) for text in words):
        return True
    if today is not None and (day := _iso_day(value)) is not None:
        return day in _days(" | ".join(words), today)
    return _place_stands(value, words)


def _stands(value: str, texts: Sequence[str]) -> bool:
    """Whether the value stands in one of the texts in whole words: `Reno` is not said in `Moreno Valley`. Nothing stands
    everywhere: that an argument is empty is quality.py's to tell."""
    form = value.strip()
    return not form or any(_word_stands(form, text) for text in texts)


def _unescaped(result: str) -> str:
    """A tool's JSON with its letters as they are meant: after a line break, `\\nReno` is Reno and no `nReno`."""
    return _ESCAPED.sub(lambda escape: chr(int(escape[1], 16)) if escape[1] else " ", result)


def _numbers(text: str) -> set[float]:
    spans = {days for word, days in _SPANS.items() if re.search(rf"\b{word}\b", text, re.IGNORECASE)}
    return {figure.value for figure in figures.read(text)} | spans


def _place_stands(value: str, words: Sequence[str]) -> bool:
    """`Portland, ME` of a user who said Portland, then Maine, and `NJ` of one who said New Jersey: part by part."""
    parts = [part.strip() for part in value.split(",")]
    said = " | ".join(words)
    return all(any(_word_stands(form, said) for form in _forms(part)) for part in parts)


def _forms(part: str) -> set[str]:
    short = {full: code.upper() for code, full in STATES.items()}
    known = {part, STATES.get(part.lower(), part), short.get(part.lower(), part)}
    return {form for form in known if form}


def _word_stands(form: str, said: str) -> bool:
    case = re.IGNORECASE if len(form) > 2 else 0  # "in", "or" and "me" are words, IN, OR and ME are states
    return re.search(rf"(?<!\w){re.escape(form)}(?!\w)", said, case) is not None


def _iso_day(value: str) -> date | None:
    try:
        return date.fromisoformat(value.strip()[:10])
    except ValueError:
        return None


@lru_cache(maxsize=1 << 12)
def _days(text: str, today: date) -> frozenset[date]:
    """Every day that a phrase of the text can mean, seen from `today`; today itself where it names none."""
    found = {day for match in _PHRASE.finditer(text) for day in _meant(match, today)}
    lowered = text.casefold().replace("’", "'")
    found |= {_on_or_after(today, *feast) for name, feast in _FEASTS.items() if name in lowered}
    return frozenset(found) if _DAY.search(text) or found else frozenset({today})


def _meant(match: re.Match[str], today: date) -> Iterator[date]:
    if match["weekday"]:
        day = weather.resolve(match["weekday"], today) or today
        yield day
        if (match["coming"] or "").lower() == "next":
            yield after(day, 7)
    elif match["days"] or match["hence"]:
        counted = [figure.value for figure in figures.read(match["days"] or match["hence"])]
        yield from (after(today, int(days)) for days in counted if days <= 366)
    elif match["week"]:
        yield after(today, 8 if match[0].lower().endswith("tomorrow") else 7)
    elif match["nth"]:
        yield from _nth(int(match["nth"]), today)
    else:
        yield from _written(match[0], today)


def _written(phrase: str, today: date) -> Iterator[date]:
    words = re.sub(r"\bthe\b|\bof\b", " ", plain(phrase)).replace(",", " ")
    read = read_date(" ".join(words.split()))
    if read and len(read) == len("07-04"):
        yield _on_or_after(today, int(read[:2]), int(read[3:]))
    elif read:
        yield date.fromisoformat(read)
    elif (day := weather.resolve(phrase, today)) is not None:
        yield day
        if "weekend" in phrase.lower():
            yield after(day, 1)


def _nth(number: int, today: date) -> Iterator[date]:
    """`the 9th`: of this month, or of the next where this month's is past."""
    for months in (0, 1):
        year, month = divmod(today.year * 12 + today.month - 1 + months, 12)
        try:
            day = date(year, month + 1, number)
        except ValueError:
            continue
        if day >= today:
            yield day
            return


def _on_or_after(today: date, month: int, day: int) -> date:
    """The next such day of a year; 29 February becomes the 28th where the year has none."""
    for year in (today.year, following := min(today.year + 1, MAXYEAR)):
        try:
            found = date(year, month, day)
        except ValueError:
            found = date(year, month, min(day, 28))
        if found >= today:
            return found
    return date(following, month, min(day, 28))
