"""The code lines of a bulletin: zones (UGC), events (P-VTEC, H-VTEC), outlines and storm tracks, with their times.

Each reader takes text and gives facts; what a reader of prose should not see of them, `is_code` says. Nothing raises,
and every pass is linear: a line is looked at once, however the bulletin was cut.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_ZONE_LINES = 60  # a UGC of every county of Texas takes 17 lines

_ZONE_START = re.compile(r"^[ \t]*[A-Z]{2}[CZ](?:\d{3}|ALL)(?:[->]|[ \t]*$)", re.MULTILINE)
_ZONE_CHARACTERS = re.compile(r"[A-Z0-9>\- \t]+")
_ZONE = re.compile(r"([A-Z]{2}[CZ])?(\d{3}|ALL)(?:>([A-Z]{2}[CZ])?(\d{3}))?")
_STAMP = r"(\d{6}T\d{4}Z)"
_EVENT = re.compile(
    rf"/([OTEX])\.(NEW|CON|EXT|EXA|EXB|UPG|CAN|EXP|COR|ROU)\.([A-Z]{{4}})\.([A-Z]{{2}})\.([A-Z])\.(\d{{4}})\.{_STAMP}-{_STAMP}/"
)
_RIVER = re.compile(rf"/([A-Z0-9]{{5}})\.([0-3NU])\.([A-Z]{{2}})\.{_STAMP}\.{_STAMP}\.{_STAMP}\.([A-Z]{{2}})/")
_OUTLINE = re.compile(r"LAT\.\.\.LON[ \t]*([\d\s]*)")
_TRACK = re.compile(r"TIME\.\.\.MOT\.\.\.LOC[ \t]+(\d{3,4})Z[ \t]+(\d{1,3})DEG[ \t]+(\d{1,3})KTS?[ \t]*([\d\s]*)")
_MONTH = timedelta(days=25)  # reaches the next month and never the one after it
_EVENT_KEYS = ("class", "action", "office", "phenomenon", "significance", "number", "begins", "ends")
_RIVER_KEYS = ("gauge", "severity", "cause", "begins", "crest", "ends", "record")
_CODE_LINE = re.compile(
    r"[ \t]*(?:"
    r"(?:/[OTEX]\.[A-Z]{3}\.[A-Z]{4}\.[^/]*/[ \t]*)+"  # P-VTEC
    r"|/[A-Z0-9]{5}\.[0-9A-Z]\.[A-Z]{2}\.[^/]*/"  # H-VTEC
    r"|&&|\$\$|!!|%%|@@|##|\*\*|N{4}|ZCZC[^\n]*"
    r"|LAT\.\.\.LON[^\n]*|TIME\.\.\.MOT\.\.\.LOC[^\n]*|ATTN\.\.\.(?:WFO|RFC)\.\.\.[A-Z.]*"
    r"|\d{4,8}(?:[ \t]+\d{4,8})*"  # an outline goes on
    r"|[A-Z]{4}\d{2}[ ][A-Z]{4}[ ]\d{6}(?:[ ][A-Z]{3})?"  # a second WMO heading
    r"|\.(?:[ABE]R?[ \t]+[A-Z0-9]{3,8}[ \t]+\d{2,8}\b[^\n]*|END)"  # SHEF, machine-read hydrology
    r")[ \t]*"
)
_ZONE_ROW = re.compile(
    r"[ \t]*(?:[A-Z]{2}[CZ](?:\d{3}|ALL)(?:[->][A-Z0-9>\- \t]*)?|(?:\d{3}(?:>\d{3})?-[ \t]*)+(?:[A-Z0-9>\- \t]*-)?)"
)


@dataclass(frozen=True)
class ZoneLine:
    """One UGC: where it stands in the text (half-open), its codes, its purge time as DDHHMM and what was not understood."""

    start: int
    end: int
    codes: tuple[str, ...]
    expires: str
    malformed: tuple[str, ...]


def find_zone_lines(text: str) -> Iterator[ZoneLine]:
    """Every UGC in the text, in order, over all its lines; one cut before its purge time has `expires` ""."""
    done = 0
    for match in _ZONE_START.finditer(text):
        if match.start() < done:
            continue
        done, lines = _zone_block(text, match.start())
        codes, expires, malformed = read_zones("".join(lines))
        yield ZoneLine(match.start(), done, codes, expires, malformed)


def _zone_block(text: str, start: int) -> tuple[int, list[str]]:
    """The end of a UGC that starts here, and its lines: to the purge time, or to the last line that looks like zones."""
    lines: list[str] = []
    at = start
    while at < len(text) and len(lines) < MAX_ZONE_LINES:
        stop = text.find("\n", at)
        stop = len(text) if stop < 0 else stop
        line = text[at:stop]
        if not _looks_like_zones(line):
            break
        lines.append(line)
        at = stop + 1
        if re.search(r"(?:^|-)[ \t]*\d{6}-?[ \t]*$", line[-12:]):
            break
    return (at - 1 if lines else start), lines


def _looks_like_zones(line: str) -> bool:
    if len(line) > 400 or not _ZONE_CHARACTERS.fullmatch(line):
        return False
    tokens = line.replace("-", " ").split()
    return bool(tokens) and all(token.endswith("ALL") or token[-1].isdigit() for token in tokens)


def read_zones(line: str) -> tuple[tuple[str, ...], str, tuple[str, ...]]:
    """Codes, purge time (DDHHMM or "") and malformed tokens of a UGC. A code that is listed twice counts once."""
    codes: list[str] = []
    malformed: list[str] = []
    prefix = ""
    for token in re.sub(r"\s", "", line).strip("-").split("-"):
        if re.fullmatch(r"\d{6}", token):
            return tuple(dict.fromkeys(codes)), token, tuple(malformed)
        match = _ZONE.fullmatch(token)
        prefix = (match[1] or prefix) if match else prefix
        if match is None or not prefix:
            malformed += [token] if token else []
            continue
        codes += _range(prefix, match[2], match[3] or prefix, match[4])
        if match[4] and not (match[2].isdigit() and match[2] <= match[4] and (match[3] or prefix) == prefix):
            malformed.append(token)
        prefix = match[3] or prefix
    return tuple(dict.fromkeys(codes)), "", tuple(malformed)


def _range(prefix: str, first: str, last_prefix: str, last: str | None) -> list[str]:
    """One code, or those from first to last. Counties count in twos: FIPS gave them the odd numbers.

    A range that runs backwards or from one state into another names its two ends and nothing between.
    """
    if last is None:
        return [prefix + first]
    if last_prefix != prefix or not first.isdigit() or int(first) > int(last):
        return [prefix + first, last_prefix + last]
    step = 2 if prefix[2] == "C" else 1
    return [f"{prefix}{number:03d}" for number in range(int(first), int(last), step)] + [prefix + last]


def expand_ugc(line: str) -> tuple[tuple[str, ...], str]:
    """The codes of a UGC line and its purge time: "ILZ003>005-007-092130-" gives ILZ003 ILZ004 ILZ005 ILZ007, 092130."""
    codes, expires, _ = read_zones(line)
    return codes, expires


def nearest(ddhhmm: str, around: datetime) -> datetime | None:
    """The UTC instant with this day, hour and minute that lies nearest to `around`; None where no month has it."""
    if not re.fullmatch(r"\d{6}", ddhhmm):
        return None
    day, hour, minute = int(ddhhmm[:2]), int(ddhhmm[2:4]), int(ddhhmm[4:])
    extra = timedelta(days=1) if hour == 24 and minute == 0 else timedelta()  # 2400 is how some offices write midnight
    around = around.astimezone(UTC)
    found: list[datetime] = []
    for year, month in {(near.year, near.month) for near in (around - _MONTH, around, around + _MONTH)}:
        try:
            found.append(datetime(year, month, day, 0 if extra else hour, minute, tzinfo=UTC) + extra)
        except ValueError:
            continue
    return min(found, key=lambda instant: abs(instant - around), default=None)


def instant(stamp: str) -> str:
    """ISO 8601 of a VTEC stamp: "200225T0600Z" gives 2020-02-25T06:00:00+00:00; "" for 000000T0000Z, which means open."""
    try:
        moment = datetime.strptime(stamp, "%y%m%dT%H%MZ")  # noqa: DTZ007 (the Z is in the format)
    except ValueError:
        return ""
    return moment.replace(tzinfo=UTC).isoformat()


def events(text: str) -> tuple[dict[str, str], ...]:
    """The P-VTEC strings as mappings: class (O operational, T test, E experimental, X), action, office, phenomenon,
    significance, number, begins, ends, and both instants in ISO 8601 as begins_at and ends_at ("" for open)."""
    rows = (dict(zip(_EVENT_KEYS, found, strict=True)) for found in _EVENT.findall(text))
    return tuple({**row, "begins_at": instant(row["begins"]), "ends_at": instant(row["ends"])} for row in rows)


def rivers(text: str) -> tuple[dict[str, str], ...]:
    """The H-VTEC strings: gauge (five characters, "00000" for an area), severity (N none, 0 unknown... 3 major), cause,
    record, and begins, crest, ends as stamps and, with `_at`, in ISO 8601."""
    rows = (dict(zip(_RIVER_KEYS, found, strict=True)) for found in _RIVER.findall(text))
    return tuple(row | {f"{key}_at": instant(row[key]) for key in ("begins", "crest", "ends")} for row in rows)


def outline(text: str, east: bool = False) -> tuple[tuple[float, float], ...]:
    """The corners of the first LAT...LON as (degrees north, degrees east); west is negative unless `east` (Guam)."""
    match = _OUTLINE.search(text)
    return _corners(match[1], east) if match else ()


def track(text: str, east: bool = False) -> dict[str, Any] | None:
    """TIME...MOT...LOC: `time` (HHMM UTC), `from_degrees` (where the storm comes from), `knots` and its `points`."""
    match = _TRACK.search(text)
    if match is None:
        return None
    time, degrees, knots, points = match.groups()
    return {
        "time": time.zfill(4),
        "from_degrees": int(degrees),
        "knots": int(knots),
        "points": list(_corners(points, east)),
    }


def _corners(digits: str, east: bool) -> tuple[tuple[float, float], ...]:
    """Pairs of hundredths of degrees: "3990 9160", or in one group "39909160", where a longitude past 99.99 lost its 1."""
    groups = digits.split()
    if groups and all(len(group) == 8 for group in groups):
        pairs = [(int(g[:4]), int(g[4:]) + (10000 if int(g[4:]) < 4000 else 0)) for g in groups]
    else:
        numbers = [int(group) for group in groups if 3 <= len(group) <= 5]
        pairs = list(zip(numbers[::2], numbers[1::2], strict=False))
    return tuple((north / 100, _longitude(west / 100, east)) for north, west in pairs)


def _longitude(degrees: float, east: bool) -> float:
    if east:
        return degrees
    return round(360 - degrees, 2) if degrees > 180 else -degrees  # the Aleutians pass 180 west


def is_code(line: str) -> bool:
    """Whether a whole line is code: VTEC, marks, outlines, zones, headings, SHEF. Of the line alone, without its neighbours."""
    if _CODE_LINE.fullmatch(line):
        return True
    return _ZONE_ROW.fullmatch(line) is not None and _looks_like_zones(line)
