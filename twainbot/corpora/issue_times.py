"""When a bulletin was issued: its local time line, checked against the day and hour of its WMO heading.

The heading knows day, hour and minute in UTC, the time line the rest. Typists err: AM for PM, 1951 for 1151.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone

from twainbot.corpora.codelines import nearest

# UTC offsets in hours of the zone names that stations print; S is standard, D daylight time.
TIME_ZONES = {
    "UTC": 0, "GMT": 0, "Z": 0, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
    "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "HDT": -9, "SST": -11, "CHST": 10, "GST": 10, "PWT": 9,
    "CHUT": 10, "PONT": 11, "KOST": 11, "MHT": 12, "WAKT": 12, "CVT": -1,
}  # fmt: skip
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_NUMBERS = {month: number for number, month in enumerate(_MONTHS, 1)} | {
    "ENE": 1, "ABR": 4, "AGO": 8, "SET": 9, "DIC": 12
}  # fmt: skip
HALF_DAY = timedelta(hours=12)
SLACK = timedelta(minutes=20)  # between writing the time line and sending; pyIEM allows 15
DATE_SLACK = timedelta(hours=36)  # a heading further from its time line's date belongs to another day

_YEAR = re.compile(r"\b(?:19|20)\d\d\b")
_OPENING = re.compile(r"[ \t/(]*(?:\d|NOON|MIDNIGHT|ISSUED |UPDATED )", re.IGNORECASE)
_CLOCK = (
    r"(?:(?P<clock>\d{1,2}:\d{2}|\d{1,4})(?:[ ]?(?P<half>[AP])\.?M\.?)?|(?:12(?:00)?[ ])?(?P<word>NOON|MIDNIGHT))"
    r"[ ]?(?P<zone>[A-Z]{1,4})\b"
)
_TIME = re.compile(
    rf"(?:^|(?<=[ /(])){_CLOCK}(?P<between>[^\n]{{0,80}}?)[ ,/]"
    r"(?:(?P<month>[A-Z]{3})[A-Z]*\.?[ ]{1,2}(?P<day>\d{1,2})(?:ST|ND|RD|TH)?,?|"
    r"(?P<dia>\d{1,2})[ ]DE[ ](?P<mes>[A-Z]{3})[A-Z]*(?:[ ]DEL?)?)[ ]{1,2}(?P<year>\d{4})\b",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class IssueTime:
    """ISO 8601 with an offset (without one where the zone is unknown, "" where there is no date), and what was mended."""

    at: str = ""
    note: str = ""


def find_time(line: str) -> re.Match[str] | None:
    """The time in a line such as "1035 AM CST /935 AM MST/ Sun Feb 23 2020"; None in a line without a full date."""
    return _TIME.search(line) if _YEAR.search(line) else None


def opens_with_time(line: str) -> bool:
    """Whether a whole line is a time line, as each segment repeats it."""
    if not _OPENING.match(line):
        return False
    match = find_time(line[:160])
    return match is not None and match.start() < 12 and len(line) - match.end() < 40


def read_time(match: re.Match[str], ddhhmm: str) -> IssueTime:
    """The instant of a time line. `ddhhmm` of the WMO heading settles half days and garbled clocks."""
    month = _NUMBERS.get((match["month"] or match["mes"]).upper())
    offset = TIME_ZONES.get(match["zone"].upper())
    zone = timezone(timedelta(hours=offset)) if offset is not None else None
    try:
        date = datetime(int(match["year"]), month or 0, int(match["day"] or match["dia"]), tzinfo=zone or UTC)
    except ValueError:
        return IssueTime()  # month 0, day 32
    minutes = _minutes(match)
    if minutes is None:
        return _from_heading(date, ddhhmm, "clock_from_heading")
    local = date + timedelta(minutes=minutes)
    if zone is None:
        sent = _from_heading(date, ddhhmm, "unknown_time_zone")
        return sent if sent.at else IssueTime(local.replace(tzinfo=None).isoformat(), "unknown_time_zone")
    return _without_half_day(local, ddhhmm)


def _minutes(match: re.Match[str]) -> int | None:
    """Minutes since local midnight; None where the clock is none: 2561, or 1951 AM."""
    if match["word"]:
        return 0 if match["word"].upper() == "MIDNIGHT" else 720
    digits = match["clock"].replace(":", "")
    hour, minute = (int(digits[:-2]), int(digits[-2:])) if len(digits) > 2 else (int(digits), 0)
    half = (match["half"] or "").upper()
    if hour > 23 or minute > 59 or (half == "A" and hour > 12):
        return None
    if half and hour <= 12:
        hour = hour % 12 + (12 if half == "P" else 0)
    return hour * 60 + minute


def _from_heading(date: datetime, ddhhmm: str, note: str) -> IssueTime:
    sent = nearest(ddhhmm, date + HALF_DAY)
    if sent is None or abs(sent - date - HALF_DAY) > DATE_SLACK:
        return IssueTime()
    return IssueTime(sent.astimezone(date.tzinfo).isoformat(), note)


def _without_half_day(local: datetime, ddhhmm: str) -> IssueTime:
    """The same time, moved by twelve hours where the heading shows that AM stands for PM or PM for AM."""
    sent = nearest(ddhhmm, local)
    apart = sent - local if sent else timedelta()
    if abs(abs(apart) - HALF_DAY) <= SLACK:
        return IssueTime((local + (HALF_DAY if apart > timedelta() else -HALF_DAY)).isoformat(), "am_pm_typo")
    return IssueTime(local.isoformat(), "time_differs_from_heading" if abs(apart) > DATE_SLACK else "")


def from_stamps(ddhhmm: str, stamps: Iterable[str]) -> IssueTime:
    """For a bulletin without a date of its own: the heading's day and hour in the month of the nearest VTEC instant."""
    for stamp in stamps:
        around = datetime.fromisoformat(stamp) if stamp else None
        sent = nearest(ddhhmm, around) if around else None
        if sent and around and abs(sent - around) < timedelta(days=8):
            return IssueTime(sent.isoformat(), "date_from_vtec")
    return IssueTime()
