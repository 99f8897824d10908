"""National Weather Service text products: frames, headings, segments, prose and forecast facts.

Products as teletype sent them: WMO heading, AWIPS id, mass-news block, UGC and VTEC lines, segments ended by `$$`.
JSON of api.weather.gov is accepted where it wraps such a product. Nothing is fetched and no clock is read.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from itertools import pairwise
from typing import Any

from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.normalize import newlines, tidy
from twainbot.errors import UnreadableSource

MIN_LETTERS = 20  # a product with fewer letters of text is a keep-alive or a cancelled heading

# UTC offsets in hours of the zone names that stations print; S is standard, D daylight time.
TIME_ZONES = {
    "UTC": 0, "GMT": 0, "Z": 0, "AST": -4, "ADT": -3, "EST": -5, "EDT": -4, "CST": -6, "CDT": -5, "MST": -7, "MDT": -6,
    "PST": -8, "PDT": -7, "AKST": -9, "AKDT": -8, "HST": -10, "HDT": -9, "SST": -11, "CHST": 10, "GST": 10,
}  # fmt: skip
_MONTHS = {
    m: n for n, m in enumerate(["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"], 1)
}

_HEADING = re.compile(
    r"^(?:\d{1,3}[ \t]*\n+)?[ \t]*([A-Z]{4}\d{2})[ ]([A-Z]{4})[ ](\d{6})(?:[ ]([A-Z]{3}))?[ \t]*$", re.MULTILINE
)
_AWIPS = re.compile(r"^[ \t]*([A-Z][A-Z0-9]{3,5})[ \t]*$")
_UGC = re.compile(r"^[A-Z]{2}[CZ](?:\d{3}|ALL)[->][A-Z0-9>\-\s]*?\d{6}-[ \t]*$", re.MULTILINE)
_UGC_OPEN = re.compile(r"^[A-Z]{2}[CZ]\d{3}[->][A-Z0-9>-]*$")
_VTEC = re.compile(
    r"/([OTEX])\.(NEW|CON|EXT|EXA|EXB|UPG|CAN|EXP|COR|ROU)\.([A-Z]{4})\.([A-Z]{2})\.([A-Z])\.(\d{4})\.(\d{6}T\d{4}Z)-(\d{6}T\d{4}Z)/"
)
_TIME = re.compile(
    r"^[ \t]*(?:ISSUED (?:AT )?)?/?(\d{1,2}):?(\d{2})[ ]?(AM|PM)?[ ]([A-Z]{1,4})\b[^\n]*?"
    r"\b(?:SUN|MON|TUE|WED|THU|FRI|SAT)[A-Z]*,?[ ]([A-Z]{3})[A-Z]*\.?[ ](\d{1,2}),?[ ](\d{4})",
    re.IGNORECASE | re.MULTILINE,
)
_OFFICE_LINE = re.compile(
    r"^[ \t]*(?:NATIONAL WEATHER SERVICE|NWS|SERVICIO NACIONAL)[^\n]*$", re.IGNORECASE | re.MULTILINE
)
_NOISE = re.compile(
    r"/[OTEX]\.[A-Z]{3}\.[A-Z]{4}\.[^\n/]*/"  # P-VTEC
    r"|^/[A-Z0-9]{5}\.[^\n]*/[ \t]*$"  # H-VTEC
    r"|^[ \t]*(?:&&|\$\$|!!)[ \t]*$"
    r"|^LAT\.\.\.LON[ \d\n]+"
    r"|^TIME\.\.\.MOT\.\.\.LOC[^\n]*$",
    re.MULTILINE,
)
_AREA = re.compile(r"^(?=[^\n]*[A-Za-z])[^\n.]{3,}-[ \t]*$", re.MULTILINE)
_CITIES = re.compile(
    r"^INCLUDING THE (?:CITY|CITIES)[ ](?:OF)?(?:\.\.\.|[ ])[^\n]*(?:\n(?!\d{3,4} [AP]M)[^\n.]+)*",
    re.IGNORECASE | re.MULTILINE,
)
_SECTION = re.compile(r"^\.([A-Z][^\n]*?)\.\.\.+", re.MULTILINE)


@dataclass(frozen=True)
class Segment:
    """One part of a product, for the zones or counties of its UGC line."""

    ugc: tuple[str, ...]  # expanded codes, "ILZ003"
    expires: str  # DDHHMM in UTC, or ""
    vtec: tuple[dict[str, str], ...]
    areas: str
    cities: tuple[str, ...]
    text: str
    facts: tuple[dict[str, Any], ...]


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
    sections: tuple[str, ...]
    text: str
    reject_reason: str | None

    @property
    def kind(self) -> str:
        """The product type, "AFD" or "ZFP"; "" without an AWIPS id."""
        return self.awips[:3]

    @property
    def key(self) -> str:
        """Type, office, issue time and amendment: unlike for any two products of an archive that prints its times."""
        day = self.issued_at[:10].replace("-", "")
        return "-".join(
            part for part in (self.awips or self.wmo, day, self.issued_ddhhmm, self.amendment) if part
        ).lower()

    @property
    def facts(self) -> list[dict[str, Any]]:
        """The forecast facts of all segments, in order."""
        return [fact for segment in self.segments for fact in segment.facts]


def split_products(raw: bytes) -> list[str]:
    """The products in a file, in order: from SOH to ETX, and within that from one WMO heading to the next.

    Raises UnreadableSource for bytes that hold no text.
    """
    refuse_non_text(raw, "The weather file")
    if raw.lstrip()[:1] in (b"{", b"["):
        return _from_json(raw)
    text = newlines(decode(raw).text.replace("\r\r\n", "\n"))
    products: list[str] = []
    for frame in re.split("[\x01\x03]", text):
        starts = [match.start() for match in _HEADING.finditer(frame)]
        bounds = [*(starts or [0]), len(frame)]
        pieces = [frame[: bounds[0]], *(frame[a:b] for a, b in pairwise(bounds))]
        products += [piece.strip("\n") for piece in pieces if sum(map(str.isalpha, piece)) > 0]
    return products


def _from_json(raw: bytes) -> list[str]:
    try:
        found = json.loads(raw)
    except ValueError as error:
        raise UnreadableSource(f"The weather file starts like JSON but is not ({error}). Fetch it again.") from error
    records = found if isinstance(found, list) else found.get("@graph", [found])
    texts = [record["productText"] for record in records if isinstance(record, dict) and record.get("productText")]
    if not texts:
        raise UnreadableSource("The weather JSON has no productText. Fetch /products/{id}, not the list of products.")
    return [newlines(str(text)) for text in texts]


def parse_product(text: str) -> Product:
    """One product read. Never raises: what is not one has a reject_reason ("no_wmo_heading", "no_text")."""
    text = tidy(newlines(text))
    heading = _HEADING.search(text[:400])
    awips, body = _awips(text[heading.end() :] if heading else text)
    title, issued_at, body = _news_block(body)
    kind = awips[:3]
    segments = tuple(_segment(part, kind) for part in _segment_texts(body))
    prose = tidy("\n\n".join(segment.text for segment in segments if segment.text))
    reason = None if heading else "no_wmo_heading"
    if reason is None and sum(map(str.isalpha, prose)) < MIN_LETTERS:
        reason = "no_text"
    wmo, office, issued, amendment = heading.groups() if heading else ("", "", "", None)
    return Product(
        wmo=wmo,
        office=office,
        issued_ddhhmm=issued,
        amendment=amendment or "",
        awips=awips,
        title=title,
        issued_at=issued_at,
        segments=segments,
        sections=tuple(dict.fromkeys(match[1].strip() for match in _SECTION.finditer(prose))),
        text=prose,
        reject_reason=reason,
    )


def _awips(rest: str) -> tuple[str, str]:
    """The AWIPS id of the line under the heading, and what follows it."""
    rest = rest.lstrip("\n")
    line, _, after = rest.partition("\n")
    match = _AWIPS.match(line)
    return (match[1], after) if match else ("", rest)


def _news_block(body: str) -> tuple[str, str, str]:
    """Title, issue time and the text after the mass-news block. A UGC line above the block stays with the text."""
    head = body[:1500]
    time = _TIME.search(head)
    office = _OFFICE_LINE.search(head)
    if time is None and office is None:
        return _title(body.split("\n\n")[0]), "", body
    block_end = time.end() if time else office.end() if office else 0
    block_end = body.find("\n", block_end) if "\n" in body[block_end:] else len(body)
    block = body[:block_end]
    zones = _UGC.search(block)
    kept = "\n".join([zones[0], *(match[0] for match in _VTEC.finditer(block))]) + "\n" if zones else ""
    above = block[zones.end() :] if zones else block
    return _title(above), _issued_at(time), kept + body[block_end:]


def _title(block: str) -> str:
    """The product's name: the first line that is neither a call for attention nor a code."""
    for line in block.split("\n"):
        name = line.strip(" .")
        call = re.match(
            r"(?:URGENT|BULLETIN|FLASH)\b|.*BROADCAST REQUESTED|.*ACTIVATION REQUESTED", name, re.IGNORECASE
        )
        if len(name) > 3 and not call and not _UGC_OPEN.match(name) and not _VTEC.search(name) and "/" not in name[:1]:
            return name
    return ""


def _issued_at(time: re.Match[str] | None) -> str:
    if time is None:
        return ""
    hour, minute, half, zone, month, day, year = time.groups()
    number = _MONTHS.get(month.upper())
    offset = TIME_ZONES.get(zone.upper())
    clock = int(hour) % 12 + (12 if half.upper() == "PM" else 0) if half else int(hour)
    try:
        local = datetime(int(year), number or 0, int(day), clock, int(minute), tzinfo=UTC)
    except ValueError:
        return ""  # a garbled line: month 0, day 32, hour 25
    if offset is None:
        return local.replace(tzinfo=None).isoformat()
    return local.replace(tzinfo=timezone(timedelta(hours=offset))).isoformat()


def _segment_texts(body: str) -> list[str]:
    parts = [part for part in re.split(r"^\$\$[ \t]*$", body, flags=re.MULTILINE) if part.strip()]
    # Behind the last $$ stands the forecaster's name or initials, which is no weather.
    if len(parts) > 1 and len(parts[-1].strip()) < 40 and not _UGC.search(parts[-1]):
        parts.pop()
    return parts


def _segment(part: str, kind: str) -> Segment:
    zones = _UGC.search(part)
    vtec = tuple(
        dict(
            zip(("class", "action", "office", "phenomenon", "significance", "number", "begins", "ends"), m, strict=True)
        )
        for m in _VTEC.findall(part)
    )
    codes, expires = expand_ugc(zones[0]) if zones else ((), "")
    after = part[zones.end() :] if zones else part
    areas = _areas(after[:1500]) if zones else ""
    text = _prose(after, areas)
    cities = _cities(after[:3000])
    place = {"location": areas, "cities": list(cities), "zones": list(codes)}
    facts = tuple({**place, **fact} for fact in _facts(text)) if kind == "ZFP" else ()
    return Segment(ugc=codes, expires=expires, vtec=vtec, areas=areas, cities=cities, text=text, facts=facts)


def expand_ugc(line: str) -> tuple[tuple[str, ...], str]:
    """The codes of a UGC line and its purge time: "ILZ003>005-007-092130-" gives ILZ003 ILZ004 ILZ005 ILZ007, 092130."""
    codes: list[str] = []
    expires = prefix = ""
    for token in re.sub(r"\s", "", line).strip("-").split("-"):
        if re.fullmatch(r"\d{6}", token):
            expires = token
            break
        if match := re.fullmatch(r"([A-Z]{2}[CZ])?(\d{3}|ALL)(?:>(\d{3}))?", token):
            prefix = match[1] or prefix
            first, last = match[2], match[3] or match[2]
            span = range(int(first), int(last) + 1) if first.isdigit() else ()
            codes += [f"{prefix}{number:03d}" for number in span] or [prefix + first]
    return tuple(codes), expires


def _areas(head: str) -> str:
    """The names of a segment's zones, "Lewis, Marion, Ralls"; "" where it does not list them."""
    lines: list[str] = []
    for line in head.strip("\n").split("\n"):
        if _VTEC.search(line) or line.startswith("/"):
            continue
        if not re.fullmatch(r"[^.]*[A-Za-z][^.]*-[ \t]*|[^.]*-[^.]*[A-Za-z]{3,}[^.]*", line) or _TIME.match(line):
            break
        lines.append(line.strip())
    return ", ".join(name.strip() for name in "".join(lines).split("-") if name.strip())


def _cities(head: str) -> tuple[str, ...]:
    """The towns of "Including the cities of Canton, Hannibal, and New London"."""
    match = _CITIES.search(head)
    if match is None:
        return ()
    listed = re.sub(r"^INCLUDING THE (?:CITY|CITIES)(?: OF)?[. ]*", "", " ".join(match[0].split()), flags=re.IGNORECASE)
    names = re.split(r"\.\.\.|,\s*(?:and\s+)?|\s+and\s+", listed, flags=re.IGNORECASE)
    return tuple(name.strip() for name in names if name.strip())


def _prose(part: str, areas: str) -> str:
    """A segment without codes: its zones as one heading line, then what a reader would be told."""
    text = _NOISE.sub("", part)
    text = _CITIES.sub("", _UGC.sub("", text))
    if areas:
        text = _AREA.sub("", text, count=areas.count(",") + 1)
    text = "\n".join(line for line in text.split("\n") if not _TIME.match(line))
    text = tidy(text)
    return f"{areas}\n\n{text}" if areas and text else text


_DAY = r"(?:(?:SUN|MON|TUES|WEDNES|THURS|FRI|SATUR)DAY|SUN|MON|TUE|WED|THU|FRI|SAT)"
_PERIOD_NAME = re.compile(
    rf"\b(?:TODAY|TONIGHT|OVERNIGHT|THIS (?:MORNING|AFTERNOON|EVENING)|TOMORROW|{_DAY}|[A-Z' ]+DAY|[A-Z' ]+EVE)\b",
    re.IGNORECASE,
)
_PERIOD_OPEN = r"^\.[A-Z][A-Za-z0-9 ,'/-]{2,60}?\.\.\."
_PERIOD = re.compile(rf"{_PERIOD_OPEN}\.*[ ]?(.*?)(?={_PERIOD_OPEN}|\n\s*\n|\Z)", re.MULTILINE | re.DOTALL)
_PART = r"(?:LOWER|LOW|MID|MIDDLE|UPPER)"
_FIGURE = rf"(?:{_PART}(?:[ ]TO[ ]{_PART})?)?[ ]?(?:\d{{1,3}}S?|ZERO)"
_NEAR = r"(?:(?:IN THE|AROUND|NEAR|ABOUT|UP TO|FROM|BETWEEN|THE|MOSTLY|MAINLY|GENERALLY)[ ])*"
_SPAN = (
    rf"S?[ ](?:WILL BE[ ])?{_NEAR}({_FIGURE}(?:[ ]BELOW)?)(?:[ ]ZERO)?"
    rf"(?:[ ](?:TO|AND)[ ]{_NEAR}({_FIGURE}(?:[ ](?:BELOW|ABOVE))?))?"
)
_HIGH = re.compile(rf"\bHIGH{_SPAN}", re.IGNORECASE)
_LOW = re.compile(rf"\bLOW{_SPAN}", re.IGNORECASE)
_CHANCES = (
    re.compile(r"(\d{1,3})[ ]PERCENT[ ]CHANCE", re.IGNORECASE),
    re.compile(r"CHANCE[ ]OF[ ][A-Z ]{3,60}?[ ](?:NEAR[ ]|AROUND[ ]|ABOUT[ ])?(\d{1,3})[ ]PERCENT", re.IGNORECASE),
)
_COMPASS = {
    "NORTH": "N", "NORTHEAST": "NE", "EAST": "E", "SOUTHEAST": "SE", "SOUTH": "S", "SOUTHWEST": "SW", "WEST": "W",
    "NORTHWEST": "NW",
}  # fmt: skip
_DIRECTION = r"(?:NORTH|SOUTH|EAST|WEST)(?:EAST|WEST)?"
_WIND = re.compile(
    rf"\b(?:WINDS?[ ]BECOMING[ ]({_DIRECTION})|({_DIRECTION})(?:[ ]TO[ ]{_DIRECTION})?[ ]WINDS?)"
    r"(?:[ ](?:AROUND|NEAR|ABOUT|UP TO|OF|INCREASING TO|AT))*[ ](?:\d{1,3}[ ]TO[ ])?(\d{1,3})[ ]MPH",
    re.IGNORECASE,
)
_NOT_SKY = re.compile(
    r"^(?:HIGHS?|LOWS?|TEMPERATURES?|(?:[A-Z]+[ ])?WINDS?|CHANCE|NEAR STEADY|WIND CHILL|HEAT INDEX)\b", re.IGNORECASE
)
_CHANCE_CLAUSE = re.compile(r"[, ]*(?:WITH[ ])?(?:A[ ])?(?:\d+ PERCENT |SLIGHT |GOOD )?CHANCE OF.*$", re.IGNORECASE)


def _facts(text: str) -> Iterator[dict[str, Any]]:
    """A fact per forecast period. Absent figures are None; nothing is guessed."""
    for match in _PERIOD.finditer(text):
        name = match[0][1:].split("...")[0]
        if _PERIOD_NAME.search(name):
            yield period_facts(name, match[1])


def period_facts(period: str, text: str) -> dict[str, Any]:
    """What one forecast period says: degrees Fahrenheit, percent, miles per hour, compass letters.

    A spoken range becomes one figure: "lower 70s" 72, "mid 70s" 75, "upper 70s" 78, "in the 70s" 75, "70 to 74" 72.
    Wind is the upper end of the first range named. None where the text does not say.
    """
    flat = " ".join(text.split())
    wind = _WIND.search(flat)
    chances = [int(found) for pattern in _CHANCES for found in pattern.findall(flat)]
    return {
        "period": " ".join(period.split()).title(),
        "condition": _condition(flat),
        "high_f": _degrees(_HIGH.search(flat)),
        "low_f": _degrees(_LOW.search(flat)),
        "precipitation_chance": max((chance for chance in chances if chance <= 100), default=None),
        "wind_mph": int(wind[3]) if wind else None,
        "wind_direction": _COMPASS.get((wind[1] or wind[2]).upper()) if wind else None,
        "text": flat,
    }


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
