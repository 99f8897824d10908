"""National Weather Service text products: frames, headings, segments, headlines, sections and prose.

Products as teletype sent them: WMO heading, AWIPS id, mass-news block, UGC and VTEC lines, segments ended by `$$`.
Code lines are read in codelines.py, issue times in issue_times.py, forecasts in forecast_facts.py and
forecast_tables.py; JSON of api.weather.gov in nws.py. Nothing is fetched and no clock is read.

The prose of a product is its lines without those that are code, table rows or repeated time lines. Each line is judged
by itself, so that parsing a product's own prose gives the same prose.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

from twainbot.corpora import codelines, issue_times
from twainbot.corpora.codelines import ZoneLine, expand_ugc
from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.forecast_facts import forecast_facts, period_facts
from twainbot.corpora.forecast_tables import is_table_line, table_facts
from twainbot.corpora.issue_times import IssueTime
from twainbot.corpora.normalize import newlines, squeeze, tidy
from twainbot.errors import UnreadableSource

__all__ = ["Product", "Section", "Segment", "expand_ugc", "parse_product", "period_facts", "split_products"]

MIN_LETTERS = 20  # a product with fewer letters of text is a keep-alive or a cancelled heading
MIN_PROSE_LINES = 4  # with fewer lines of six words, or less than one for twelve rows, a table stays a table
MAX_PREAMBLE = 200  # characters above a heading that belong to it; parse_product looks for the heading in the first 400
MAX_PREAMBLE_LINE = 40
BLOCK_LINES = 20  # within which the mass-news block ends: long UGC lines, title, office, time
FORECAST_KINDS = {"ZFP", "SFP", "CWF", "NSH", "GLF", "OFF", "SRF", "REC", "FWF", "FWS", "LFP"}

_HEADING = re.compile(
    r"^(?:\d{1,3}[ \t]*\n+)?[ \t]*([A-Z]{4}\d{2})[ ]([A-Z]{4})[ ](\d{6})(?:[ ]([A-Z]{3}))?[ \t]*$", re.MULTILINE
)
_AWIPS = re.compile(r"^[ \t]*([A-Z][A-Z0-9]{3,5})[ \t]*$")
_OFFICE_LINE = re.compile(r"^[ \t]*(?:NATIONAL WEATHER SERVICE|NWS|SERVICIO NACIONAL)\b", re.IGNORECASE)
# One C scan finds the lines that may be code, time or table; the other nine of ten are prose without further tests.
_SUSPECT = re.compile(
    r"^(?:[ \t]*(?:[/&$!%@#*0-9.:=+_~|(-]|NNNN|ZCZC|LAT\.|TIME\.|ATTN\.|[A-Z]{2}[CZ](?:\d|ALL)|[A-Z]{4}\d\d[ ]"
    r"|(?i:NOON|MIDNIGHT|ISSUED |UPDATED ))[^\n]*|[^\n]*?(?:\t|[^\s.!?:;,]  )[^\n]*)$",
    re.MULTILINE,
)
_CALL = re.compile(
    r"^(?:(?:URGENTE?|BULLETIN)\b[ .-]*)?(?:(?:IMMEDIATE|EAS|EBS)\b.{0,40}(?:BROADCAST|ACTIVATION) REQUESTED)?",
    re.IGNORECASE,
)
_TEST = re.compile(
    r"\bTHIS IS (?:ONLY )?A (?:(?:TSUNAMI|COMMUNICATIONS?|MONTHLY|WEEKLY|REQUIRED|ROUTINE) )*TEST\b"
    r"|\bFOR[ _]TEST[ _]PURPOSES[ _]ONLY\b|^[ \t.]*TEST(?:\.\.\.|[ \t]*$|[ ]TEST\b)"
    r"|\bDO NOT TAKE ACTION BASED ON THIS (?:TEST )?MESSAGE",
    re.IGNORECASE | re.MULTILINE,
)
_INCLUDING = re.compile(r"INCLUDING(?: THE (?:CITY|CITIES|TOWNS?)(?: OF)?)?(?:\.\.\.|[ ])", re.IGNORECASE)
_SECTION = re.compile(
    r"\n\.([A-Z](?:[^\n.]|\n(?=[^\n. *])){1,160}?)[ ]?\.\.\.+"
)  # on text behind a line end: a literal is found faster than ^
_SECTION_WORD = re.compile(
    r"\b(?:SYNOPSIS|DISCUSSION|TERM|AVIATION|MARINE|FIRE WEATHER|HYDROLOGY|UPDATE|CLIMATE|OUTLOOK|WATCHES|WARNINGS"
    r"|MESSAGES?|SPOTTER|TIDES?|EQUIPMENT|REMARKS|DAYS? (?:ONE|TWO|\d)|TODAY|TONIGHT|OVERNIGHT"
    r"|THIS (?:MORNING|AFTERNOON|EVENING)"
    r"|(?:MON|TUES|WEDNES|THURS|FRI|SATUR|SUN)DAY|MON|TUE|WED|THU|FRI|SAT|SUN|HOY|ESTA NOCHE|SINOPSIS)\b",
    re.IGNORECASE,
)
_SECTIONED_KINDS = {"AFD", "HWO", "FWF", "FWS", "HYD", "PMD"}


@dataclass(frozen=True)
class Section:
    """A named part of a product's text: `.SYNOPSIS...` up to the next one. `text[start:end]` of the product, half-open."""

    name: str
    start: int
    end: int


@dataclass(frozen=True)
class Segment:
    """One part of a product, for the zones or counties of its UGC line; without zones it is an overview."""

    ugc: tuple[str, ...]  # expanded codes, "ILZ003"
    expires: str  # DDHHMM in UTC, or ""
    vtec: tuple[dict[str, str], ...]
    areas: str
    cities: tuple[str, ...]
    text: str
    facts: tuple[dict[str, Any], ...]
    expires_at: str = ""  # ISO 8601 in UTC, "" where the product has no issue time
    hvtec: tuple[dict[str, str], ...] = ()
    headlines: tuple[str, ...] = ()
    outline: tuple[tuple[float, float], ...] = ()  # (degrees north, degrees east) of LAT...LON
    track: dict[str, Any] | None = None
    is_test: bool = False


@dataclass(frozen=True)
class Product:
    """One text product. `issued_at` is ISO 8601 with an offset, "" where no local time line stands in it."""

    wmo: str
    office: str  # four letters, "KBOX"
    issued_ddhhmm: str  # UTC day and time of the WMO heading, which knows neither month nor year
    amendment: str  # AAA amended, CCA corrected, RRA delayed, or ""
    awips: str
    title: str
    issued_at: str
    segments: tuple[Segment, ...]
    sections: tuple[Section, ...]
    text: str
    reject_reason: str | None
    language: str = "en"
    notes: tuple[str, ...] = ()  # what was mended or left out: "am_pm_typo", "table_lines=12", "malformed_ugc=MSC35"
    table: tuple[dict[str, Any], ...] = ()
    digest: str = field(default="", repr=False)

    @property
    def kind(self) -> str:
        """The product type, "AFD" or "ZFP"; "" without an AWIPS id."""
        return self.awips[:3]

    @property
    def key(self) -> str:
        """Type, office, issue time and amendment; a hash of the text stands in for the date where none is printed."""
        day = self.issued_at[:10].replace("-", "")
        parts = (self.awips or self.wmo, day, self.issued_ddhhmm, self.amendment, "" if day else self.digest)
        return "-".join(part for part in parts if part).lower()

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The forecast facts of all segments, in order, then those of the product's table."""
        return [fact for segment in self.segments for fact in segment.facts] + list(self.table)


def split_products(raw: bytes) -> list[str]:
    """The products in a file, in order: from SOH to ETX, and within that from one WMO heading to the next.

    JSON that wraps products is unwrapped. Raises UnreadableSource for bytes that hold no text.
    """
    refuse_non_text(raw, "The weather file")
    if raw.lstrip()[:1] in (b"{", b"["):
        return _from_json(raw)
    text = newlines(decode(raw).text)
    products: list[str] = []
    for frame in re.split("[\x01\x03]", text):
        starts = [match.start() for match in _HEADING.finditer(frame)]
        if starts and _is_preamble(frame[: starts[0]]):
            starts[0] = 0
        bounds = [*(starts or [0]), len(frame)]
        pieces = [frame[: bounds[0]], *(frame[a:b] for a, b in pairwise(bounds))]
        products += [piece.strip("\n") for piece in pieces if re.search(r"[^\W\d_]", piece)]
    return products


def _is_preamble(above: str) -> bool:
    """Whether what stands above a heading is the wire's own line or two ("ZCZC BOSZFPBOS"), and no product of its own."""
    lines = [line for line in above.split("\n") if line.strip()]
    return len(above) <= MAX_PREAMBLE and len(lines) <= 4 and max(map(len, lines), default=0) <= MAX_PREAMBLE_LINE


def _from_json(raw: bytes) -> list[str]:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise UnreadableSource(f"The weather file starts like JSON but is not ({error}). Fetch it again.") from error
    records = found if isinstance(found, list) else found.get("@graph", [found])
    texts = [record["productText"] for record in records if isinstance(record, dict) and record.get("productText")]
    if not texts:
        raise UnreadableSource("The weather JSON has no productText. Fetch /products/{id}, not the list of products.")
    return [newlines(str(text)) for text in texts]


def parse_product(text: str, issued_at: str = "") -> Product:
    """One product read. `issued_at`: what a wrapper says, for products that print no time of their own.

    Never raises: what is no product has a reject_reason ("no_wmo_heading", "test_message", "tabular", "no_text").
    """
    text = tidy(newlines(text))
    heading = _HEADING.search(text[:400])
    wmo, office, ddhhmm, amendment = heading.groups() if heading else ("", "", "", None)
    awips, body = _awips(text[heading.end() :]) if heading else ("", text)
    block = _news_block(body, ddhhmm) if heading else _Block("", IssueTime(), "en", body)
    issue = _best_time(block, ddhhmm, issued_at)
    reader = _Reader(awips[:3], issue.at, east=office == "PGUM")
    segments = tuple(reader.segment(part) for part in _segment_texts(block.body))
    told = [part for part in segments if part.text and not part.is_test]
    prose = "\n\n".join(part.text for part in told)
    return Product(
        wmo=wmo,
        office=office,
        issued_ddhhmm=ddhhmm,
        amendment=amendment or "",
        awips=awips,
        title=block.title,
        issued_at=issue.at,
        segments=segments,
        sections=tuple(_sections([part.text for part in told], awips[:3])),
        text=prose,
        reject_reason=_reject_reason(bool(heading), awips, block.title, segments, reader.table_lines, prose),
        language=block.language,
        notes=(*_preamble_note(text[: heading.start()] if heading else ""), *_notes(issue, reader, segments)),
        table=tuple(table_facts(awips[:3], block.body)),
        digest=hashlib.sha256(text.encode("utf-8", "replace")).hexdigest()[:8],
    )


def _awips(rest: str) -> tuple[str, str]:
    """The AWIPS id of the line under the heading, and what follows it."""
    rest = rest.lstrip("\n")
    line, _, after = rest.partition("\n")
    match = _AWIPS.match(line)
    return (match[1], after) if match else ("", rest)


@dataclass(frozen=True)
class _Block:
    title: str
    issue: IssueTime
    language: str
    body: str
    is_timed: bool = False  # a time line stands in it, be it garbled


def _news_block(body: str, ddhhmm: str) -> _Block:
    """Title, issue time and the text after the mass-news block. A UGC line above the block stays with the text."""
    lines = body.split("\n", BLOCK_LINES)[:BLOCK_LINES]
    timed = next((at for at, line in enumerate(lines) if _is_block_time(line)), None)
    office = next((at for at, line in enumerate(lines) if _OFFICE_LINE.match(line[:80])), None)
    last = timed if timed is not None else office
    head = lines if last is None else lines[: last + 1]
    language = "es" if any("SERVICIO NACIONAL" in line.upper() for line in head) else "en"
    match = issue_times.find_time(lines[timed]) if timed is not None else None
    issue = issue_times.read_time(match, ddhhmm) if match else IssueTime()
    if last is None:
        return _Block(_title(lines), issue, language, body)
    codes = [line for line in head if codelines.is_code(line)]
    rest = body[sum(len(line) + 1 for line in head) :]
    return _Block(_title(head), issue, language, "\n".join([*codes, rest]), timed is not None)


def _is_block_time(line: str) -> bool:
    match = issue_times.find_time(line[:160])
    return match is not None and match.start() < 40 and len(line) - match.end() < 40


def _title(lines: list[str]) -> str:
    """The product's name: the first line that is neither a call for attention, a code, the office nor the time."""
    for line in lines:
        name = _CALL.sub("", line.strip(" .")).strip(" .-")
        if (
            len(name) > 4
            and not re.search(r"\d{6}", name)
            and not codelines.is_code(line)
            and not _OFFICE_LINE.match(line)
            and not _is_block_time(line)
        ):
            return name
    return next((line.strip() for line in lines if _OFFICE_LINE.match(line)), "")


def _best_time(block: _Block, ddhhmm: str, said: str) -> IssueTime:
    """The time that the product prints, else the wrapper's, else the heading's in the month that VTEC shows."""
    if block.issue.at:
        return block.issue
    if said:
        return IssueTime(said, "time_from_wrapper")
    events = () if block.is_timed else codelines.events(block.body[:20000])
    return issue_times.from_stamps(ddhhmm, (event[key] for event in events for key in ("begins_at", "ends_at")))


def _segment_texts(body: str) -> Iterator[tuple[ZoneLine | None, str, str]]:
    """Per segment: its UGC, its whole text, and the text behind the UGC. Text above a UGC is a segment of its own."""
    for part in _closed_parts(body):
        zones = list(codelines.find_zone_lines(part))
        above = part[: zones[0].start] if zones else part
        if above.strip():
            yield None, above, above
        ends = [*(zone.start for zone in zones[1:]), len(part)]
        for zone, end in zip(zones, ends, strict=False):
            yield zone, part[zone.start : end], part[zone.end : end]


def _closed_parts(body: str) -> list[str]:
    parts = [part for part in re.split(r"^\$\$[ \t]*$", body, flags=re.MULTILINE) if part.strip()]
    if len(parts) > 1 and _is_signature(parts[-1]):
        parts.pop()
    return parts


def _is_signature(part: str) -> bool:
    """What stands behind the last $$ is no weather: a name, initials, "SHORT TERM...FAB" in a few short lines."""
    lines = [line for line in part.split("\n", 20) if line.strip()]
    return len(lines) <= 12 and all(len(line) <= 40 and not codelines.is_code(line) for line in lines)


class _Reader:
    """Reads the segments of one product and counts the table rows that it left out."""

    def __init__(self, kind: str, issued_at: str, *, east: bool) -> None:
        self.kind = kind
        self.east = east
        self.table_lines = 0
        self.malformed: list[str] = []
        self.is_cut = False
        issued = datetime.fromisoformat(issued_at) if issued_at else None
        self.issued = issued.replace(tzinfo=issued.tzinfo or UTC) if issued else None

    def segment(self, part: tuple[ZoneLine | None, str, str]) -> Segment:
        """One segment with its codes as facts and its prose without them."""
        zone, whole, after = part
        areas, cities, lines = _segment_head(after.split("\n")) if zone else ("", (), after.split("\n"))
        text = self._prose("\n".join(lines), areas)
        vtec = codelines.events(whole)
        codes = zone.codes if zone else ()
        self._note(zone, after)
        place = {"location": areas, "cities": list(cities), "zones": list(codes)}
        forecasts = forecast_facts(text) if self.kind in FORECAST_KINDS else ()
        return Segment(
            ugc=codes,
            expires=zone.expires if zone else "",
            vtec=vtec,
            areas=areas,
            cities=cities,
            text=text,
            facts=tuple({**place, **fact} for fact in forecasts),
            expires_at=self._purge_time(zone),
            hvtec=codelines.rivers(whole),
            headlines=tuple(_headlines(text)),
            outline=codelines.outline(whole, self.east),
            track=codelines.track(whole, self.east),
            is_test=bool(vtec) and all(event["class"] in "TE" for event in vtec),
        )

    def _prose(self, told: str, areas: str) -> str:
        """A segment without codes and tables: its zones as one heading line, then what a reader would be told."""
        kept: list[str] = []
        at = 0
        for match in _SUSPECT.finditer(told):
            line = match[0]
            is_table = is_table_line(line)
            if is_table or codelines.is_code(line) or issue_times.opens_with_time(line):
                self.table_lines += is_table and not codelines.is_code(line)
                kept.append(told[at : match.start()])
                at = match.end() + 1
        kept.append(told[at:])
        text = squeeze("".join(kept))
        return f"{areas}\n\n{text}" if areas and text else text

    def _purge_time(self, zone: ZoneLine | None) -> str:
        purge = codelines.nearest(zone.expires, self.issued) if zone and zone.expires and self.issued else None
        return purge.isoformat() if purge else ""

    def _note(self, zone: ZoneLine | None, after: str) -> None:
        if zone:
            self.malformed += zone.malformed
            self.is_cut = not zone.expires and not after.strip()


def _segment_head(lines: list[str]) -> tuple[str, tuple[str, ...], list[str]]:
    """Area names, towns and the lines that follow. The names end in hyphens, the towns are "Including the cities of"."""
    at = 0
    while at < len(lines) and (not lines[at].strip() or codelines.is_code(lines[at])):
        at += 1
    stop = _paragraph_end(lines, at)
    last = next((n for n in range(stop - 1, at - 1, -1) if lines[n].rstrip().endswith("-")), None)
    names = lines[at : last + 1] if last is not None and all(map(_names_areas, lines[at : last + 1])) else []
    at += len(names)
    areas = ", ".join(name.strip() for name in _joined(names).split("-") if name.strip())
    if at < len(lines) and _INCLUDING.match(lines[at]) and (names or "CIT" in lines[at][:24].upper()):
        stop = _paragraph_end(lines, at + 1)
        return areas, _towns(" ".join(lines[at:stop])), lines[stop:]
    return areas, (), lines[at:]


def _paragraph_end(lines: list[str], at: int) -> int:
    """The first line from `at` on that neither names areas nor lists towns: blank, a time line, a headline, a period."""
    for number in range(at, min(at + 60, len(lines))):
        line = lines[number]
        if not line.strip() or line.startswith((".", "*")) or codelines.is_code(line):
            return number
        if issue_times.opens_with_time(line) or (number > at and _INCLUDING.match(line)):
            return number
    return min(at + 60, len(lines))


def _names_areas(line: str) -> bool:
    return len(line) <= 100 and not is_table_line(line) and ". " not in line.replace("St. ", "").replace("ST. ", "")


def _joined(lines: list[str]) -> str:
    return " ".join(line.strip() for line in lines)


def _towns(listed: str) -> tuple[str, ...]:
    """The towns of "Including the cities of Canton, Hannibal, and New London"."""
    names = re.split(
        r"\.\.\.|,\s*(?:and\s+)?|\s+and\s+", " ".join(_INCLUDING.sub("", listed).split()), flags=re.IGNORECASE
    )
    return tuple(name.strip(" .") for name in names if name.strip(" ."))


def _headlines(text: str) -> Iterator[str]:
    """What stands between dots, "...WINTER STORM WARNING IN EFFECT UNTIL 6 PM...", over at most six lines."""
    lines = text.split("\n")
    for at, line in enumerate(lines):
        if not line.startswith("...") or line.startswith("...."):
            continue
        for count in range(1, 7):
            headline = " ".join(" ".join(lines[at : at + count]).split())
            if headline.endswith("...") and len(headline) > 6:
                yield headline.strip(".").strip()
                break
            if at + count >= len(lines) or not lines[at + count].strip() or lines[at + count].startswith("..."):
                break


def _sections(texts: list[str], kind: str) -> Iterator[Section]:
    """The named sections of the segments' texts, which a blank line joins. A dot also opens an overview in plain
    sentences, which is no section."""
    offset = 0
    for text in texts:
        matches = _SECTION.finditer(f"\n{text}")
        found = [m for m in matches if kind in _SECTIONED_KINDS or _SECTION_WORD.search(m[1])]
        ends = [*(match.start() for match in found[1:]), len(text)]  # a match starts at the line end before its dot
        for match, end in zip(found, ends, strict=False):
            start = offset + match.start()
            yield Section(" ".join(match[1].split()), start, start + len(text[match.start() : end].rstrip()))
        offset += len(text) + 2


def _reject_reason(
    headed: bool, awips: str, title: str, segments: tuple[Segment, ...], table_lines: int, prose: str
) -> str | None:
    if not headed:
        return "no_wmo_heading"
    vtec = [event for segment in segments for event in segment.vtec]
    opening = f"{title}\n" + "\n".join(segment.text[:1500] for segment in segments[:2])
    is_test = "TEST" in opening.upper() and _TEST.search(opening)
    if awips.startswith("TST") or is_test or (vtec and all(event["class"] in "TE" for event in vtec)):
        return "test_message"
    if table_lines >= MIN_PROSE_LINES and _prose_lines(prose) < max(MIN_PROSE_LINES, table_lines // 12):
        return "tabular"
    letters = len(re.findall(r"[^\W\d_]", prose[:2000]))
    return "no_text" if letters < MIN_LETTERS else None


def _prose_lines(prose: str) -> int:
    return sum(1 for line in prose.split("\n") if len(re.findall(r"[^\W\d_]{2,}", line[:200])) >= 6)


def _preamble_note(above: str) -> Iterator[str]:
    if re.search(r"[^\W\d_]", above):
        yield f"preamble={' '.join(above.split())[:60]}"


def _notes(issue: IssueTime, reader: _Reader, segments: tuple[Segment, ...]) -> Iterator[str]:
    if issue.note:
        yield issue.note
    if not issue.at:
        yield "no_issue_time"
    if reader.table_lines:
        yield f"table_lines={reader.table_lines}"
    if reader.malformed:
        yield f"malformed_ugc={' '.join(reader.malformed[:5])[:60]}"
    if reader.is_cut:
        yield "cut_in_ugc"
    if any(segment.is_test for segment in segments):
        yield f"test_segments={sum(segment.is_test for segment in segments)}"
