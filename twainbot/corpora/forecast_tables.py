"""Tables of bulletins: which lines are one, and the facts in the layouts that are regular enough to be read.

Read are the tabular state forecast (SFT), the climate report (CLI), storm reports (LSR) and SHEF tables with highs and
lows (RTP). A table is no prose: its lines never become text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

_RULE = re.compile(r"[-=+_*.:~^|/ \t]{4,}")
_GAP = re.compile(r"(?<=[^\s.!?:;,])[ \t]{2,}(?=\S)")
_WORD = re.compile(r"[A-Za-z]{3,}")
EMPTY_FACT: dict[str, Any] = {
    "location": "", "cities": [], "zones": [], "period": "", "condition": None, "high_f": None, "low_f": None,
    "precipitation_chance": None, "wind_mph": None, "wind_direction": None, "text": "",
}  # fmt: skip


def is_table_line(line: str) -> bool:
    """Whether a line is a row, a heading or a rule of a table. Of the line alone, without its neighbours.

    Columns show as two gaps of two spaces that no sentence ends before; one gap counts beside figures.
    """
    if "  " not in line and "\t" not in line:
        bare = line.strip()
        return bare[:1] in ("-", "=", "+", "_", "*", ".", ":", "~", "|") and bool(
            _RULE.fullmatch(line) or bare[:1] == ":"
        )
    inner = line.strip()
    if inner.startswith(":") or (inner[:2] == ".." and inner[2:3] != ".") or _RULE.fullmatch(line):
        return True
    gaps = len(_GAP.findall(inner))
    return gaps >= 2 or (gaps == 1 and len(_WORD.findall(inner)) <= 4)


def table_facts(kind: str, text: str) -> list[dict[str, Any]]:
    """Facts of a product whose kind has a reader here, in the schema of `period_facts` plus location; else none."""
    reader = _READERS.get(kind)
    return [{**EMPTY_FACT, **fact} for fact in reader(text)] if reader else []


_SFT_DAYS = re.compile(r"^[ \t]*(?:(?:SUN|MON|TUE|WED|THU|FRI|SAT|TODAY|TONIGHT)[A-Z]*\b[ \t]*){3,}$", re.IGNORECASE)
_SFT_RANGE = re.compile(r"(-?\d{1,3}|MM)/(-?\d{1,3}|MM)")


def _state_forecast(text: str) -> Iterator[dict[str, Any]]:
    """Per place three rows: weather, early low / daytime high, chance by night / by day (the higher one is taken)."""
    days: list[str] = []
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if _SFT_DAYS.match(line[:200]):
            days = _columns(lines, at)
        elif days and len(ranges := _SFT_RANGE.findall(line[:400])) == len(days) == len(line.split()):
            yield from _place(lines, at, days, ranges)


def _columns(lines: list[str], at: int) -> list[str]:
    """The days of the columns, "Sat Jun 25" where the dates stand below."""
    days = lines[at].split()
    dates = re.findall(r"[A-Za-z]{3} \d{1,2}", lines[at + 1]) if at + 1 < len(lines) else []
    return [f"{day} {date}" for day, date in zip(days, dates, strict=True)] if len(days) == len(dates) else days


def _place(lines: list[str], at: int, days: list[str], ranges: list[tuple[str, str]]) -> Iterator[dict[str, Any]]:
    words = lines[at - 1].split() if at else []
    name = lines[at - 2].strip(" .") if at > 1 else ""
    if len(words) != len(days) or not name or _SFT_RANGE.search(lines[at - 1] + name):
        return  # the chances are a row of ranges too, below a row of ranges
    chances = _SFT_RANGE.findall(lines[at + 1]) if at + 1 < len(lines) else []
    for number, (day, word, (low, high)) in enumerate(zip(days, words, ranges, strict=True)):
        pair = chances[number] if len(chances) == len(days) else ("MM", "MM")
        yield {
            "location": name,
            "period": day,
            "condition": word.lower(),
            "low_f": _figure(low),
            "high_f": _figure(high),
            "precipitation_chance": max((c for c in map(_figure, pair) if c is not None), default=None),
            "text": f"{word} {low}/{high}",
        }


def _figure(cell: str) -> int | None:
    """A whole number out of a cell: "90", "-5", "79R" (a record), "M" (missing) or "5.9"."""
    match = re.match(r"\s*(-?\d{1,4}(?:\.\d+)?)R?\s*$", cell)
    return round(float(match[1])) if match else None


_CLI_TITLE = re.compile(r"\.\.\.[ ]?THE (.{2,60}?) CLIMATE SUMMARY FOR (.{5,30}?)\.\.\.", re.IGNORECASE)


def _climate(text: str) -> Iterator[dict[str, Any]]:
    title = _CLI_TITLE.search(" ".join(text[:4000].split()))
    if title is None:
        return
    high, low = (
        re.search(rf"^[ \t]*{word}[ \t]+(-?\d{{1,3}})R?\b", text, re.MULTILINE | re.IGNORECASE)
        for word in ("MAXIMUM", "MINIMUM")
    )
    wind = re.search(
        r"HIGHEST WIND SPEED[ \t]+(\d{1,3})(?:[ \t]+HIGHEST WIND DIRECTION[ \t]+([NSEW]{1,3})\b)?", text, re.IGNORECASE
    )
    yield {
        "location": title[1].title(),
        "period": title[2].title(),
        "high_f": int(high[1]) if high else None,
        "low_f": int(low[1]) if low else None,
        "wind_mph": int(wind[1]) if wind else None,
        "wind_direction": wind[2].upper() if wind and wind[2] else None,
    }


_SHEF = re.compile(r"^\.BR?[ \t]+\S+[ \t]+(\d{2,8})[ \t]+\S*[ \t]*(\S+)", re.MULTILINE)
_SHEF_HIGH = {"TX", "TAIRZX"}
_SHEF_LOW = {"TN", "TAIRZN", "TAIRZP"}


def _station_table(text: str) -> Iterator[dict[str, Any]]:
    """SHEF .B tables: the opening line names the columns, each row is `ID : NAME : value / value / ...`."""
    columns: list[str] = []
    day = ""
    for line in text.split("\n"):
        opening = _SHEF.match(line[:200])
        if opening:
            day = opening[1]
            columns = [code[:6].upper() for code in opening[2].split("/") if not re.match(r"D[HR]", code.upper())]
        elif line.startswith(".END"):
            columns = []
        elif columns and line.count(":") >= 2 and not line.startswith(":"):
            yield from _station(line[:300], columns, day)


def _station(line: str, columns: list[str], day: str) -> Iterator[dict[str, Any]]:
    _, name, values = line.split(":", 2)
    cells = [cell for cell in values.split("/") if not re.match(r"\s*DH", cell)]
    found = dict(zip(columns, map(_figure, cells), strict=False))
    high = next((found[code] for code in columns if code in _SHEF_HIGH and code in found), None)
    low = next((found[code] for code in columns if code in _SHEF_LOW and code in found), None)
    if high is not None or low is not None:
        yield {
            "location": name.strip().title(),
            "period": day,
            "high_f": high,
            "low_f": low,
            "text": " ".join(line.split()),
        }


_LSR_FIRST = re.compile(r"^(\d{4} [AP]M) {2,}(\S.{0,16}?) *$", re.IGNORECASE)


def _storm_reports(text: str) -> Iterator[dict[str, Any]]:
    """Fixed columns: event from 12, place from 29, position from 53; the date, county and state stand below."""
    lines = text.split("\n")
    for at, line in enumerate(lines[:-1]):
        first, below = _LSR_FIRST.match(line[:29]), lines[at + 1]
        if first and re.match(r"\d{2}/\d{2}/\d{4}", below):
            county, state = below[29:48].strip().title(), below[48:52].strip()
            remark = _remark(lines, at + 2)
            yield {
                "location": ", ".join(part for part in (line[29:53].strip(), county, state) if part),
                "period": f"{below[:10]} {first[1].upper()}",
                "condition": first[2].strip().lower(),
                "text": " ".join(part for part in (below[12:29].strip(), remark) if part),
            }


def _remark(lines: list[str], at: int) -> str:
    words: list[str] = []
    for line in lines[at : at + 40]:
        if line.strip() and not line.startswith("     "):
            break
        words += line.split()
    return " ".join(words)


_READERS: dict[str, Callable[[str], Iterator[dict[str, Any]]]] = {
    "SFT": _state_forecast, "CLI": _climate, "LSR": _storm_reports, "RTP": _station_table, "HYD": _station_table,
    "RR1": _station_table, "OSO": _station_table,
}  # fmt: skip
