"""Whatever weather came, as works: text bulletins, archive dumps, or JSON of api.weather.gov in any number of documents.

A work has prose only where a forecaster wrote some. Measurements, hourly figures and tables keep their facts and carry a
reason instead of text; indexes (points, lists of products or stations) carry a reason alone.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from itertools import chain
from typing import Any

from twainbot.corpora import bulletins, nws
from twainbot.corpora.decoding import decode
from twainbot.corpora.forecast_tables import EMPTY_FACT
from twainbot.corpora.normalize import tidy
from twainbot.corpora.quantities import quantity
from twainbot.errors import UnreadableSource

MAX_DOCUMENTS = 100_000  # a year of an office's JSON has some ten thousand


@dataclass(frozen=True)
class WeatherItem:
    """One work. `facts`: mappings with period, condition, high_f, low_f (degrees Fahrenheit), precipitation_chance
    (percent), wind_mph, wind_direction, text, location, cities and zones. `issued_at` is ISO 8601 or ""."""

    key: str
    title: str
    author: str
    text: str
    issued_at: str
    facts: tuple[Mapping[str, Any], ...] = ()
    reject_reason: str | None = None
    language: str = "en"
    warnings: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict)


def weather_items(raw: bytes, url: str = "") -> Iterator[WeatherItem]:
    """The works of one file, in its order, rejects included. `url` names the grid cell of a forecast.

    Raises UnreadableSource, after the last document, where none gave text or facts. A list without a member, such as
    the active alerts of a quiet day, is an answer, and no item.
    """
    usable = False
    reasons: Counter[str] = Counter()
    for item in _items(raw, url):
        if item is None:
            usable = True
            continue
        usable |= item.reject_reason is None or bool(item.facts and item.reject_reason != "test_message")
        reasons[item.reject_reason or ""] += 1
        yield item
    if not usable:
        found = ", ".join(f"{count} {reason}" for reason, count in reasons.most_common(4)) or "nothing"
        raise UnreadableSource(f"The weather file holds no usable document (found: {found}). Fetch it again.")


def _items(raw: bytes, url: str) -> Iterator[WeatherItem | None]:
    """The items of all documents, None for one that lists nothing."""
    if decode(raw[:256]).text.lstrip()[:1] in ("{", "["):
        yield from chain.from_iterable(_document(document, url) for document in _documents(decode(raw).text.lstrip()))
    else:
        yield from map(_bulletin, bulletins.split_products(raw))


def _documents(text: str) -> Iterator[Any]:
    """Every JSON document of a file: one, a list of them, or one after the other (JSON Lines)."""
    has_surrogates = "\\ud" in text.lower()  # half a character, which no table can store
    decoder = json.JSONDecoder()
    at = 0
    while at < len(text):
        try:
            found, at = decoder.raw_decode(text, at)
        except (ValueError, RecursionError) as error:
            raise UnreadableSource(
                f"The weather file starts like JSON but is not ({error}). Fetch it again."
            ) from error
        if has_surrogates:
            found = json.loads(json.dumps(found, ensure_ascii=False).encode("utf-8", "replace"))
        yield from found if isinstance(found, list) else [found]
        gap = re.compile(r"[\s\x01\x03\x1e,]*").match(text, at)
        at = gap.end() if gap else at


def _document(document: Any, url: str) -> Iterator[WeatherItem | None]:
    """The works of one document, recognised by its members."""
    found = document if isinstance(document, dict) else {}
    properties = found["properties"] if isinstance(found.get("properties"), dict) else found
    problem = nws.problem_of(found)
    if problem is not None:
        yield _reject(document, "problem", problem.detail, f"problem_{problem.kind}")
    elif "productText" in found:
        yield _wrapped(found)
    elif (listed := found.get("features", found.get("@graph"))) == []:
        yield None
    elif isinstance(listed, list):
        yield from _collection(found, listed, url)
    elif "periods" in properties:
        yield _forecast(document, url)
    elif "messageType" in properties or properties.get("@type") == "wx:Alert":
        yield from map(_alert, nws.read_alerts(document))
    elif isinstance(properties.get("maxTemperature"), dict) or properties.get("@type") == "wx:Gridpoint":
        yield _grid(properties, url)
    elif "rawMessage" in properties or "textDescription" in properties or "dewpoint" in properties:
        yield _observation(document)
    else:
        kind = "index_only" if "gridId" in properties or "stationIdentifier" in properties else "unknown_document"
        yield _reject(document, "document", "", kind)


def _collection(found: dict[str, Any], listed: list[Any], url: str) -> Iterator[WeatherItem | None]:
    """A list of alerts together (they supersede each other), or of other documents one by one."""
    if any(_is_alert(row) for row in listed) or "/alerts" in url or "warnings" in str(found.get("title")):
        yield from map(_alert, nws.read_alerts(found))
        return
    for row in listed[:MAX_DOCUMENTS]:
        is_index = isinstance(row, dict) and "productCode" in row and "productText" not in row
        if is_index:
            yield _reject(row, f"listed-{row.get('id')}", str(row.get("productName") or ""), "index_only")
        else:
            yield from _document(row, url)


def _is_alert(row: Any) -> bool:
    properties = row.get("properties", row) if isinstance(row, dict) else None
    return isinstance(properties, dict) and ("messageType" in properties or properties.get("@type") == "wx:Alert")


def _wrapped(found: dict[str, Any]) -> WeatherItem:
    product = nws.read_product(found)
    item = _bulletin(product.text, product.issued_at)
    extra = {**item.extra, "product_id": product.id}
    title = item.title or product.name
    reason = item.reject_reason if product.text.strip() else "no_text"
    key = item.key if product.text.strip() else f"product-{_slug(product.id)}"
    return replace(item, extra=extra, title=title, reject_reason=reason, key=key)


def _bulletin(text: str, issued_at: str = "") -> WeatherItem:
    product = bulletins.parse_product(text, issued_at)
    return WeatherItem(
        key=product.key or f"product-{product.digest}",
        title=product.title or product.awips,
        author=f"National Weather Service {product.office}".strip(),
        text=product.text,
        issued_at=product.issued_at,
        facts=tuple(product.facts),
        reject_reason=product.reject_reason,
        language=product.language,
        warnings=product.notes,
        extra=product_facts(product),
    )


def product_facts(product: bulletins.Product) -> dict[str, Any]:
    """What a bulletin's codes say, as JSON can hold it."""
    segments = [{name: getattr(part, name) for name in _SEGMENT_MEMBERS} for part in product.segments]
    return {
        "wmo": product.wmo,
        "office": product.office,
        "awips": product.awips,
        "product": product.kind,
        "issued_at": product.issued_at,
        "amendment": product.amendment,
        "sections": list(dict.fromkeys(section.name for section in product.sections)),
        "section_spans": [asdict(section) for section in product.sections],
        "segments": segments,
        "facts": product.facts,
    }


_SEGMENT_MEMBERS = (
    "ugc", "expires", "expires_at", "vtec", "hvtec", "areas", "cities", "headlines", "outline", "track", "is_test",
)  # fmt: skip


def _forecast(document: Any, url: str) -> WeatherItem:
    """A paragraph per period in the forecaster's words; hourly figures have none and stay facts."""
    read = nws.read_forecast(document) if isinstance(_periods(document), list) else None
    if read is None:
        return _reject(document, "forecast", "", "no_periods")
    place = _cell(url) or _position(read.position)
    kind = "hourly" if read.is_hourly else "forecast"
    paragraphs = [_paragraph(period) for period in read.periods if period.name]
    text = tidy("\n\n".join(part for part in paragraphs if part))
    facts = tuple({**EMPTY_FACT, **_period_fact(period), "location": place} for period in read.periods)
    return WeatherItem(
        key="-".join(part for part in (kind, _slug(place), _slug(read.updated) or _digest(document)) if part),
        title=f"{'Hourly forecast' if read.is_hourly else 'Forecast'} {place}".strip(),
        author=f"National Weather Service {place.split('/')[0] if '/' in place else ''}".strip(),
        text=text,
        issued_at=read.updated,
        facts=facts,
        reject_reason=read.reject_reason or (None if text else "no_prose"),
        warnings=() if read.updated else ("no_issue_time",),
        extra={
            "document": kind,
            "issued_at": read.updated,
            "units": read.units,
            "periods": [asdict(p) for p in read.periods],
        },
    )


def _position(found: tuple[float, float] | None) -> str:
    """ "30.00N 84.96W", to the hundredth of a degree, about a kilometre."""
    if found is None:
        return ""
    north, east = found
    return f"{abs(north):.2f}{'N' if north >= 0 else 'S'} {abs(east):.2f}{'E' if east >= 0 else 'W'}"


def _periods(document: Any) -> Any:
    properties = document.get("properties", document)
    return properties.get("periods") if isinstance(properties, dict) else None


def _cell(url: str) -> str:
    """ "OKX/33,37" out of the address of a forecast; "" without one."""
    match = re.search(r"/gridpoints/([A-Z]{3})/(\d+),(\d+)", url)
    return f"{match[1]}/{match[2]},{match[3]}" if match else ""


def _paragraph(period: nws.Period) -> str:
    words = period.detailed or period.short
    return f"{period.name}: {words}{'' if words.endswith(('.', '!')) else '.'}" if words else ""


def _period_fact(period: nws.Period) -> dict[str, Any]:
    by_day = period.is_daytime is not False
    return {
        "period": period.name or period.start,
        "condition": period.short.lower() or None,
        "high_f": period.temperature_f if by_day else None,
        "low_f": None if by_day else period.temperature_f,
        "precipitation_chance": period.precipitation_chance,
        "wind_mph": period.wind_mph,
        "wind_direction": period.wind_direction,
        "text": period.detailed or period.short,
    }


def _observation(document: Any) -> WeatherItem:
    read = nws.read_observation(document)
    measured = {name: found for name, found in read.measures.items() if found.value is not None}
    temperature, wind = measured.get("temperature"), measured.get("windSpeed")
    fact = {
        **EMPTY_FACT,
        "location": read.station,
        "period": read.observed_at,
        "condition": read.text.lower() or None,
        "temperature_f": temperature.whole if temperature else None,
        "wind_mph": wind.whole if wind else None,
        "wind_direction": read.wind_direction if wind and wind.value else None,
        "text": read.raw or read.text,
    }
    return WeatherItem(
        key="-".join(
            p for p in ("observation", _slug(read.station), _slug(read.observed_at) or _digest(document)) if p
        ),
        title=f"Observation {read.station}".strip(),
        author="National Weather Service",
        text="",
        issued_at=read.observed_at,
        facts=(fact,) if measured or read.text else (),
        reject_reason="no_prose",
        extra={"document": "observation", "measures": {name: asdict(found) for name, found in measured.items()}},
    )


def _alert(alert: nws.Alert) -> WeatherItem:
    """Headline, description and instruction, the official words unchanged."""
    text = "\n\n".join(part for part in (alert.headline, alert.description, alert.instruction) if part)
    fact = {
        **EMPTY_FACT,
        "location": alert.areas,
        "zones": list(alert.zones),
        "period": " to ".join(part for part in (alert.onset, alert.ends or alert.expires) if part),
        "condition": alert.event.lower() or None,
        "text": alert.headline,
    }
    return WeatherItem(
        key=f"alert-{_slug(alert.id)}" if alert.id else f"alert-{_digest(asdict(alert))}",
        title=alert.event,
        author=alert.sender.replace("NWS", "National Weather Service", 1) or "National Weather Service",
        text=text,
        issued_at=alert.sent,
        facts=(fact,) if alert.reject_reason is None else (),
        reject_reason=alert.reject_reason,
        extra={"document": "alert", **asdict(alert)},
    )


def _grid(properties: Mapping[str, Any], url: str) -> WeatherItem:
    """Raw layers: daily highs and lows as facts, no prose."""
    place = _cell(str(properties.get("@id") or "")) or _cell(url)
    facts = [
        {**EMPTY_FACT, "location": place, "period": str(row.get("validTime")), name: found.whole, "text": ""}
        for layer, name in (("maxTemperature", "high_f"), ("minTemperature", "low_f"))
        for row in _layer(properties, layer)
        if (found := quantity(row.get("value"), str(properties[layer].get("uom") or "degC"))).value is not None
    ]
    updated = str(properties.get("updateTime") or "")
    return WeatherItem(
        key="-".join(part for part in ("grid", _slug(place), _slug(updated) or _digest(properties)) if part),
        title=f"Grid data {place}".strip(),
        author="National Weather Service",
        text="",
        issued_at=nws.read_time(updated),
        facts=tuple(facts),
        reject_reason="no_prose",
        extra={"document": "grid"},
    )


def _layer(properties: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    layer = properties.get(name)
    values = layer.get("values") if isinstance(layer, dict) else None
    return [row for row in values if isinstance(row, dict)] if isinstance(values, list) else []


def _reject(document: Any, kind: str, title: str, reason: str) -> WeatherItem:
    key = f"{_slug(kind)}-{_digest(document)}"
    return WeatherItem(key, title, "National Weather Service", "", "", reject_reason=reason, extra={"document": kind})


def _digest(document: Any) -> str:
    canonical = json.dumps(document, sort_keys=True, default=str, ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "replace")).hexdigest()[:10]


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")
