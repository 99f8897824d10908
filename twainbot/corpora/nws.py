"""JSON of api.weather.gov: points, forecasts, observations, alerts, text products and error bodies. Nothing is fetched.

Readers take a parsed document and return small frozen records; null, text for numbers and lost members are weather, not
errors. A document of another shape raises UnreadableSource. Which document it is and what works it yields, weather.py says.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from twainbot.corpora.quantities import Quantity, compass_point, number, quantity, speed
from twainbot.errors import UnreadableSource

PASSING_STATUS = {408, 425, 429, 500, 502, 503, 504}
_MEASURES = (
    "temperature", "dewpoint", "windDirection", "windSpeed", "windGust", "barometricPressure", "visibility",
    "relativeHumidity", "windChill", "heatIndex", "precipitationLastHour",
)  # fmt: skip


@dataclass(frozen=True)
class Point:
    """Where a coordinate lies in the forecast grid, and the addresses of its forecasts."""

    office: str  # "OKX"
    grid_x: int | None
    grid_y: int | None
    forecast_url: str
    hourly_url: str
    stations_url: str
    city: str
    state: str
    time_zone: str
    zone: str  # "NYZ072"
    county: str
    radar: str


@dataclass(frozen=True)
class Period:
    """One forecast period. Figures that were null are None; `originals` keeps them in the units that the service sent."""

    number: int | None
    name: str  # "" in hourly forecasts
    start: str  # ISO 8601, "" where it is none
    end: str
    is_daytime: bool | None
    temperature_f: int | None
    precipitation_chance: int | None  # percent
    wind_mph: int | None  # the upper end of a range
    wind_direction: str | None
    short: str
    detailed: str  # "" in hourly forecasts
    originals: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Forecast:
    """A daily or an hourly forecast of one grid cell; reject_reason "no_periods" or "empty_periods" where it says nothing."""

    updated: str
    units: str
    is_hourly: bool
    position: tuple[float, float] | None  # (degrees north, degrees east) of the cell's first corner
    periods: tuple[Period, ...]
    reject_reason: str | None = None


@dataclass(frozen=True)
class Observation:
    """What one station measured: Fahrenheit, mph, hPa, metres, percent. `measures` holds each figure with its original."""

    station: str
    observed_at: str
    text: str  # "Cloudy"
    raw: str  # METAR
    measures: Mapping[str, Quantity]

    @property
    def wind_direction(self) -> str | None:
        """Compass letters of where the wind comes from."""
        found = self.measures.get("windDirection")
        return compass_point(found.value) if found else None


@dataclass(frozen=True)
class Alert:
    """One alert, its texts unchanged. `supersedes` lists the ids of the messages that an Update or a Cancel replaces."""

    id: str
    status: str
    message_type: str
    event: str
    headline: str
    description: str
    instruction: str
    areas: str
    zones: tuple[str, ...]
    sent: str
    onset: str
    expires: str
    ends: str
    severity: str
    certainty: str
    urgency: str
    sender: str
    vtec: tuple[str, ...]
    supersedes: tuple[str, ...]
    reject_reason: str | None = None


@dataclass(frozen=True)
class TextProduct:
    """A text product, or a row of a list of them, whose `text` is ""."""

    id: str
    wmo: str
    office: str
    issued_at: str
    code: str
    name: str
    text: str


@dataclass(frozen=True)
class Problem:
    """Why the service did not answer: `kind` is the last part of the problem's type, or what else the body is.

    `passing`: a later try may succeed. Kinds without a problem document: AccessDenied, RateLimited, HtmlPage, HTTP<status>;
    NotAProblem for an answer that is none.
    """

    kind: str
    passing: bool
    detail: str


def read_points(document: Any) -> Point:
    """The answer of /points/{lat},{lon}."""
    found = _properties(document, "a point")
    near = _mapping(_mapping(found.get("relativeLocation")).get("properties"))
    office = _text(found.get("gridId")) or _text(found.get("cwa"))
    if not office:
        raise UnreadableSource("The point names no forecast office (gridId). Fetch /points/{lat},{lon} again.")
    return Point(
        office=office,
        grid_x=_whole(found.get("gridX")),
        grid_y=_whole(found.get("gridY")),
        forecast_url=_text(found.get("forecast")),
        hourly_url=_text(found.get("forecastHourly")),
        stations_url=_text(found.get("observationStations")),
        city=_text(near.get("city")),
        state=_text(near.get("state")),
        time_zone=_text(found.get("timeZone")),
        zone=_last(found.get("forecastZone")),
        county=_last(found.get("county")),
        radar=_text(found.get("radarStation")),
    )


def read_forecast(document: Any, *, hourly: bool = False) -> Forecast:
    """The answer of /gridpoints/.../forecast."""
    found = _properties(document, "a forecast")
    listed = found.get("periods")
    if not isinstance(listed, list):
        raise UnreadableSource(
            "The forecast has no list of periods. Fetch /gridpoints/{office}/{x},{y}/forecast again."
        )
    periods = tuple(_period(row) for row in listed if isinstance(row, dict))
    told = tuple(period for period in periods if period.short or period.detailed or period.temperature_f is not None)
    return Forecast(
        updated=read_time(found.get("updateTime"))
        or read_time(found.get("updated"))
        or read_time(found.get("generatedAt")),
        units=_text(found.get("units")),
        is_hourly=hourly or "Hourly" in _text(found.get("forecastGenerator")),
        position=_position(_mapping(document).get("geometry")),
        periods=told,
        reject_reason=None if told else "empty_periods" if listed else "no_periods",
    )


def read_hourly(document: Any) -> Forecast:
    """The answer of /gridpoints/.../forecast/hourly: periods without names and without detailed text."""
    return read_forecast(document, hourly=True)


def _period(row: dict[str, Any]) -> Period:
    unit = _text(row.get("temperatureUnit")) or "F"
    temperature = quantity(row.get("temperature"), unit)
    wind = speed(row.get("windSpeed"))
    chance = quantity(row.get("probabilityOfPrecipitation"), "percent")
    day = row.get("isDaytime")
    return Period(
        number=_whole(row.get("number")),
        name=_text(row.get("name")),
        start=read_time(row.get("startTime")),
        end=read_time(row.get("endTime")),
        is_daytime=day if isinstance(day, bool) else None,
        temperature_f=temperature.whole,
        precipitation_chance=chance.whole if chance.value is not None and 0 <= chance.value <= 100 else None,
        wind_mph=wind.whole,
        wind_direction=_text(row.get("windDirection")) or None,
        short=_text(row.get("shortForecast")),
        detailed=_text(row.get("detailedForecast")),
        originals={
            "temperature": [temperature.original, temperature.original_unit],
            "wind_speed": [wind.original, wind.original_unit],
        },
    )


def read_observation(document: Any) -> Observation:
    """One observation of a station: /stations/{id}/observations/latest, or a feature of a list of them."""
    found = _properties(document, "an observation")
    if not any(name in found for name in ("timestamp", "rawMessage", *_MEASURES)):
        raise UnreadableSource("The observation measures nothing. Fetch /stations/{id}/observations/latest again.")
    return Observation(
        station=_last(found.get("station")),
        observed_at=read_time(found.get("timestamp")),
        text=_text(found.get("textDescription")),
        raw=_text(found.get("rawMessage")),
        measures={name: quantity(found.get(name)) for name in _MEASURES if name in found},
    )


def read_alerts(document: Any) -> list[Alert]:
    """Every alert of a collection, a JSON-LD graph or a single document, rejects included.

    Rejected are messages that are not Actual ("test_message" for Test and Exercise, else "not_actual"), those without
    properties or text, and those that a later message of the same document updates or cancels ("superseded").
    """
    alerts = [_alert(row) for row in _members(document, "alerts")]
    replaced = {old: alert.id for alert in alerts for old in alert.supersedes if alert.reject_reason is None}
    return [
        _rejected(alert, "superseded")
        if alert.reject_reason is None and replaced.get(alert.id, alert.id) != alert.id
        else alert
        for alert in alerts
    ]


def _alert(row: Any) -> Alert:
    is_feature = isinstance(row, dict) and ("properties" in row or row.get("type") == "Feature")
    found = _mapping(row.get("properties")) if is_feature else _mapping(row)
    geocode = _mapping(found.get("geocode"))
    parameters = _mapping(found.get("parameters"))
    zones = _texts(geocode.get("UGC")) or tuple(map(_last, _texts(found.get("affectedZones"))))
    alert = Alert(
        id=_text(found.get("id")) or _last(found.get("@id")) or _last(_mapping(row).get("id")),
        status=_text(found.get("status")),
        message_type=_text(found.get("messageType")),
        event=_text(found.get("event")),
        headline=_text(found.get("headline")) or next(iter(_texts(parameters.get("NWSheadline"))), ""),
        description=_text(found.get("description")),
        instruction=_text(found.get("instruction")),
        areas=_text(found.get("areaDesc")),
        zones=zones,
        sent=read_time(found.get("sent")),
        onset=read_time(found.get("onset")),
        expires=read_time(found.get("expires")),
        ends=read_time(found.get("ends")),
        severity=_text(found.get("severity")),
        certainty=_text(found.get("certainty")),
        urgency=_text(found.get("urgency")),
        sender=_text(found.get("senderName")),
        vtec=_texts(parameters.get("VTEC")),
        supersedes=_references(found.get("references")),
    )
    return _rejected(alert, _alert_fault(alert, found))


def _references(found: Any) -> tuple[str, ...]:
    """Ids of earlier messages: objects with `identifier`, or CAP's "sender,identifier,sent" divided by blanks."""
    if isinstance(found, str):
        return tuple(part.split(",")[1] for part in found.split() if part.count(",") == 2)
    rows = found if isinstance(found, list) else []
    ids = (
        _text(row.get("identifier")) or _last(row.get("@id")) if isinstance(row, dict) else _last(row) for row in rows
    )
    return tuple(identity for identity in ids if identity)


def _alert_fault(alert: Alert, found: Mapping[str, Any]) -> str | None:
    if not found:
        return "no_properties"
    if alert.status in ("Test", "Exercise") or alert.event == "Test Message" or _is_test_event(alert.vtec):
        return "test_message"
    if alert.status != "Actual":
        return "not_actual"
    return None if alert.description or alert.headline else "no_text"


def _is_test_event(vtec: tuple[str, ...]) -> bool:
    return bool(vtec) and all(re.match(r"/[TE]\.", code) for code in vtec)


def _rejected(alert: Alert, reason: str | None) -> Alert:
    return replace(alert, reject_reason=reason)


def read_product(document: Any) -> TextProduct:
    """The answer of /products/{id}, with productText."""
    found = _mapping(document)
    if "productText" not in found:
        raise UnreadableSource("The JSON has no productText. Fetch /products/{id}, not the list of products.")
    return _product(found)


def read_product_list(document: Any) -> list[TextProduct]:
    """The rows of /products/types/{type}/locations/{office}: ids to fetch, newest first as the service lists them."""
    found = _mapping(document).get("@graph")
    if not isinstance(found, list):
        raise UnreadableSource(
            "The list of products has no @graph. Fetch /products/types/{type}/locations/{office} again."
        )
    return [_product(row) for row in found if isinstance(row, dict) and row.get("id")]


def _product(found: Mapping[str, Any]) -> TextProduct:
    return TextProduct(
        id=_text(found.get("id")) or _last(found.get("@id")),
        wmo=_text(found.get("wmoCollectiveId")),
        office=_text(found.get("issuingOffice")),
        issued_at=read_time(found.get("issuanceTime")),
        code=_text(found.get("productCode")),
        name=_text(found.get("productName")),
        text=found["productText"] if isinstance(found.get("productText"), str) else "",
    )


def read_problem(status: int, headers: Mapping[str, str], body: bytes) -> Problem:
    """What an answer that is no weather says: both forms of problem documents, the door-keeper's page, or neither."""
    kind = next((value for name, value in headers.items() if name.lower() == "content-type"), "").lower()
    document = _json_or_none(body)
    found = problem_of(document)
    if found is not None:
        return (
            found
            if number(_mapping(document).get("status"))
            else Problem(found.kind, status in PASSING_STATUS, found.detail)
        )
    text = " ".join(body[:2000].decode("utf-8", "replace").split())
    if status == 403 or text.startswith("Access Denied"):
        return Problem("AccessDenied", False, "The service refused the request: send a User-Agent with a contact.")
    if status == 429:
        return Problem("RateLimited", True, "Too many requests: wait a few seconds, or as long as Retry-After says.")
    if document is None and ("html" in kind or text[:1] == "<"):
        return Problem(
            "HtmlPage", status < 400 or status in PASSING_STATUS, f"An HTML page with status {status}: {text[:80]}"
        )
    if status < 400:
        return Problem("NotAProblem", False, f"Status {status} with an ordinary body.")
    return Problem(f"HTTP{status}", status in PASSING_STATUS, text[:200] or f"Status {status} without a body.")


def problem_of(document: Any) -> Problem | None:
    """A problem document read by its own status; None for what is none."""
    found = _mapping(document)
    kind = _text(found.get("type"))
    if (
        not re.search(r"(?:/problems/|urn:noaa:nws:api:)\w+$", kind)
        and not {"title", "status", "detail"} <= found.keys()
    ):
        return None
    status = int(number(found.get("status")) or 0)
    detail = _text(found.get("detail")) or _text(found.get("title"))
    return Problem(re.split(r"[/:]", kind)[-1] or f"HTTP{status}", status in PASSING_STATUS, detail)


def _json_or_none(body: bytes) -> Any:
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        return None


def _properties(document: Any, what: str) -> Mapping[str, Any]:
    """GeoJSON keeps its members under `properties`, JSON-LD beside its type."""
    found = _mapping(document)
    inner = found.get("properties", found)
    if not isinstance(inner, dict) or not inner:
        raise UnreadableSource(f"The JSON is not {what}: it has no properties. Fetch it again.")
    return inner


def _members(document: Any, what: str) -> list[Any]:
    found = _mapping(document)
    listed = found.get("features", found.get("@graph"))
    if isinstance(listed, list):
        return listed
    if not found:
        raise UnreadableSource(f"The JSON holds no {what}. Expected a FeatureCollection or one Feature.")
    return [found]


def _mapping(found: Any) -> Mapping[str, Any]:
    return found if isinstance(found, dict) else {}


def _text(found: Any) -> str:
    return found.strip() if isinstance(found, str) else ""


def _texts(found: Any) -> tuple[str, ...]:
    return tuple(part.strip() for part in found if isinstance(part, str)) if isinstance(found, list) else ()


def _whole(found: Any) -> int | None:
    value = number(found)
    return None if value is None else round(value)


def _last(found: Any) -> str:
    """The last part of an address: ".../zones/forecast/NYZ072" gives NYZ072."""
    return _text(found).rstrip("/").rsplit("/", 1)[-1]


def read_time(found: Any) -> str:
    """An ISO 8601 instant as it came; "" for anything else, such as the "date:now" of test bundles."""
    text = _text(found)
    try:
        datetime.fromisoformat(text)
    except ValueError:
        return ""
    return text


def _position(geometry: Any, depth: int = 0) -> tuple[float, float] | None:
    """The first coordinate pair of a geometry, as (degrees north, degrees east)."""
    found = geometry
    if isinstance(found, dict):
        found = found.get("coordinates") or found.get("geometries")
    if not isinstance(found, list) or not found or depth > 6:
        return None
    east, north = number(found[0]), number(found[1]) if len(found) > 1 else None
    return (north, east) if east is not None and north is not None else _position(found[0], depth + 1)
