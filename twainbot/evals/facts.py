"""What tool results say: any JSON object or text of a forecast as fact sheets. What a reply asserts is claims.py's.

Reads TwainBot's own forecast keys, weather.gov periods (`temperature`, `temperatureUnit`, `windSpeed: "5 to 10 mph"`,
`shortForecast`) and most flat weather APIs, by the words inside their key names. Null fields state nothing.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from typing import Any

from twainbot.evals.claims import assertions, compass_degrees
from twainbot.evals.phrases import NO_PLACE
from twainbot.evals.places_dates import STATES, WEEKDAYS
from twainbot.evals.scope import Assertion

Range = tuple[float, float]

_MPH = {"mph": 1.0, "kph": 0.621371, "kn": 1.150779, "m/s": 2.236936}
_HIGH_WORDS = {"high", "max", "maximum", "hi"}
_LOW_WORDS = {"low", "min", "minimum", "lo"}
_OF_A_CHANCE = {"chance", "probability", "pop", "percent", "pct"}
_PERCENT = re.compile(r"%|per\s?cent\b", re.IGNORECASE)  # searched for, so no white space before it
_AMOUNTS = {"in", "inches", "mm", "amount", "total", "sum"}
_FELT = {"dewpoint", "feels", "chill"}
_WARMTH = {"temp", "temperature", "temps"} | _FELT
# what else has highs and lows: `uv_index_max` and `cloud_cover_low` are no temperatures, a bare `high` is one
_NO_WARMTH = {
    "uv", "index", "cloud", "clouds", "cloudcover", "cover", "coverage", "pressure", "visibility", "vis", "tide",
    "tides", "wave", "waves", "swell", "sea", "water", "river", "level", "depth", "snow", "snowfall", "showers",
    "rain", "precip", "precipitation", "humidity", "wind", "windspeed", "windgust", "windgusts", "gust", "gusts",
    "dew", "soil", "moisture", "vapor", "vapour", "sunshine", "daylight", "duration", "hours", "radiation", "solar",
    "pollen", "aqi", "quality", "ozone", "pm", "cape", "risk", "severity", "confidence", "code",
}  # fmt: skip
# a minus counts where nothing that a range would have stands before it: "5-10 mph", "65°-70°"
_NUMBER_IN_TEXT = re.compile(r"(?:(?<![\w°%)])[-−])?\d+(?:\.\d+)?")
_WIND_FROM = re.compile(r"\b[NSEW]{1,3}$|^[NSEW]{1,3}\b")  # "12 mph SW", "SW 5 to 10 mph"
_ERROR_TEXT = re.compile(
    r"^\s*(?:error\b|unknown[_ ]|exception|traceback|timed? ?out|no data|not found|failed)", re.IGNORECASE
)
_NAMES_AN_ALERT = ("event", "headline", "title", "name")  # weather.gov's, weatherapi.com's and others'
_NO_ALERT = re.compile(
    r"(?:none|nil|nothing)\b|no\W*$|no (?:(?:active|current|weather) )*(?:alerts?|warnings|watches|advisories)\b",
    re.IGNORECASE,
)
_COLUMN_UNITS = {"°C": "_c", "°F": "_f", "km/h": "_kmh", "mp/h": "_mph", "m/s": "_ms", "kn": "_kn", "%": "_pct"}
_SUBJECTS = {"location", "city", "place", "town", "address", "area"}
_REGIONS = {"state", "region"}
_DAY_WORDS = {"date", "day", "weekday", "datetime", "start", "period", "when", "time"}
_OF_THE_RECORD = {"update", "updated", "generated", "valid", "created", "expires", "issued", "modified", "published"}
_BESIDE_THE_NAME = {
    "country",
    "lat",
    "lon",
    "latitude",
    "longitude",
    "tz",
    "timezone",
    "id",
    "region",
    "state",
    "localtime",
}
_SKY_WORDS = {"condition", "conditions", "sky", "summary", "description", "detailed", "text", "headline"}
_PROSE = _SKY_WORDS | {"forecast", "weather"}
_FUSED = re.compile(
    r"(?<![a-z])(max|min|avg|total)(?=(?:temp|wind|humidity|precip|vis)[a-z]*)"
)  # weatherapi.com's `maxtemp_c`
_FLAGS = {"will", "icon", "code", "type"}  # `daily_will_it_rain: 1` is no chance of 1 %
_NAMED_FIRST = re.compile(
    r"\s*(?P<place>(?:(?:St|Mt|Ft)\. )?[A-Z][\w’'-]*(?: [A-Z][\w’'-]*){0,3}"
    r"(?:, ?(?:(?:[A-Z]\.)+|[A-Z]\w*(?: [A-Z]\w*)?))?)[.:] "
)


@dataclass(frozen=True)
class Sheet:
    """What one forecast states. Temperatures in F, wind in mph, chances and humidity in percent, directions in degrees."""

    place: str | None = None
    days: frozenset[str] = frozenset()  # every way in which the tool named the day
    highs: tuple[float, ...] = ()
    lows: tuple[float, ...] = ()
    temperatures: tuple[float, ...] = ()  # no role given
    unit: str = "F"  # what the tool wrote: a reply that names no unit means this one
    chances: tuple[float, ...] = ()
    humidities: tuple[float, ...] = ()
    winds: tuple[Range, ...] = ()
    directions: tuple[float, ...] = ()
    conditions: frozenset[str] = frozenset()
    alerts: tuple[str, ...] | None = None  # None: the tool said nothing about alerts

    def states_weather(self) -> bool:
        """Whether the sheet holds any value that a claim could be judged by."""
        return any(
            (
                self.highs,
                self.lows,
                self.temperatures,
                self.chances,
                self.humidities,
                self.winds,
                self.conditions,
                self.alerts is not None,
            )
        )


@dataclass(frozen=True)
class ToolFacts:
    """One tool result: its sheets, or none where the tool failed (`error` then holds its words)."""

    sheets: tuple[Sheet, ...]
    error: str | None = None


@dataclass
class _Draft:
    """A sheet while its fields are read."""

    place: str | None = None
    region: str | None = None  # stands for the place where no town is named: alerts are posted by state
    days: set[str] = field(default_factory=set)
    numbers: dict[str, list[float]] = field(default_factory=dict)
    winds: list[Range] = field(default_factory=list)
    conditions: set[str] = field(default_factory=set)
    alerts: list[str] | None = None
    unit: str = "F"

    def add(self, kind: str, value: float) -> None:
        self.numbers.setdefault(kind, []).append(value)

    def sheet(self) -> Sheet:
        numbers = {kind: tuple(values) for kind, values in self.numbers.items()}
        alerts = None if self.alerts is None else tuple(self.alerts)
        return Sheet(
            place=self.place or self.region, days=frozenset(self.days), unit=self.unit, winds=tuple(self.winds), alerts=alerts,
            conditions=frozenset(self.conditions), **numbers,
        )  # fmt: skip


def read_result(result: Mapping[str, Any] | Sequence[Any] | str) -> ToolFacts:
    """Facts of one tool result. A string is read as JSON where it is JSON, else as a sentence about the weather."""
    if isinstance(result, str):
        try:
            decoded = json.loads(result)
        except (ValueError, RecursionError):  # a number of 5,000 digits is a ValueError only
            return _from_text(result)
        if not isinstance(decoded, (dict, list)):
            return _from_text(result)
        result = decoded
    if isinstance(result, Mapping) and result.get("error"):
        return ToolFacts((), str(result.get("message") or result["error"]))
    sheets = tuple(sheet for sheet in _sheets(result, Sheet()) if sheet.states_weather())
    return ToolFacts(sheets, None if sheets else "the result states no weather")


def with_call(facts: ToolFacts, arguments: Mapping[str, Any]) -> ToolFacts:
    """The same facts, where place and day are completed by what the call asked for."""
    place = called_place(arguments)
    days = {str(v) for k, v in arguments.items() if v and _tokens(k) & _DAY_WORDS}
    sheets = tuple(
        replace(s, place=s.place or place, days=s.days | days if len(facts.sheets) == 1 else s.days)
        for s in facts.sheets
    )
    return replace(facts, sheets=sheets)


def called_place(arguments: Mapping[str, Any]) -> str | None:
    """The place that a call asked about, whatever its parameter is named."""
    return next((str(v) for k, v in arguments.items() if v and _tokens(k) & _SUBJECTS), None)


def to_mph(value: float, unit: str | None) -> float:
    """A speed in miles an hour; a number without a unit is taken as mph."""
    return value * _MPH.get(unit or "mph", 1.0)


def to_fahrenheit(value: float, unit: str | None) -> float:
    """A temperature in Fahrenheit; a number without a unit is taken as Fahrenheit."""
    return value * 9 / 5 + 32 if unit == "C" else value


def figures(sheet: Sheet) -> list[float]:
    """Every number that the sheet states, in both scales and both units of speed."""
    warmth = [*sheet.highs, *sheet.lows, *sheet.temperatures]
    speeds = [end for wind in sheet.winds for end in wind]
    return [
        *warmth,
        *((t - 32) * 5 / 9 for t in warmth),
        *speeds,
        *(speed * 1.609344 for speed in speeds),
        *sheet.chances,
        *sheet.humidities,
    ]


# --- JSON -------------------------------------------------------------------------------------------------------------


def _sheets(result: Mapping[str, Any] | Sequence[Any], parent: Sheet) -> Iterator[Sheet]:
    """One sheet per object of a list of periods; an object without such a list is one sheet with its nested fields."""
    if not isinstance(result, Mapping):
        for item in result:
            if isinstance(item, Mapping):
                yield from _sheets(item, parent)
        return
    result = dict(_rows_of_columns(result))
    draft = _Draft(place=parent.place, days=set(parent.days))
    flat = dict(_flat(result))
    draft.unit = _unit(flat)
    for key, value in flat.items():
        _read_field(draft, key, value, flat)
    own = draft.sheet()
    yield own
    for nested in _lists_within(result):
        yield from _sheets(nested, own)


def _lists_within(result: Mapping[str, Any]) -> Iterator[list[Any]]:
    """Lists of objects at any depth that no other list holds: weather.gov's periods, `forecast: {forecastday: [...]}`."""
    for value in result.values():
        if isinstance(value, Mapping):
            yield from _lists_within(value)
        elif isinstance(value, list) and any(isinstance(item, Mapping) for item in value):
            yield value


def _rows_of_columns(result: Mapping[str, Any]) -> Iterator[tuple[str, Any]]:
    """Open-Meteo's columns (`daily: {time: [...], temperature_2m_max: [...]}`) as one object a day, units beside them.

    Its `current` is one object already; the units of both stand in a neighbour, `current_units`.
    """
    for key, value in result.items():
        if key.endswith("_units") and isinstance(value, Mapping) and key.removesuffix("_units") in result:
            continue
        units = result.get(f"{key}_units")
        if not isinstance(value, Mapping) or not (isinstance(units, Mapping) or isinstance(value.get("time"), list)):
            yield key, value
            continue
        listed = units if isinstance(units, Mapping) else {}
        named = {name: f"{name}{_COLUMN_UNITS.get(str(unit), '')}" for name, unit in listed.items()}
        told = {named.get(name, name): item for name, item in value.items()}
        times = value.get("time")
        yield key, _days_of(told, len(times)) if isinstance(times, list) else told


def _days_of(told: Mapping[str, Any], days: int) -> list[dict[str, Any]]:
    columns = {name: column for name, column in told.items() if isinstance(column, list)}
    return [{name: column[row] for name, column in columns.items() if row < len(column)} for row in range(days)]


def _flat(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        name = f"{prefix}{key}"
        if isinstance(item, Mapping) and {"unitCode", "value"} <= set(item):  # weather.gov's quantities
            yield f"{name}_{str(item['unitCode']).rsplit(':', 1)[-1]}", item["value"]
        elif isinstance(item, Mapping):
            yield from _flat(item, f"{name}_")
        elif not _has_objects(item) or _tokens(key) & {"alert", "alerts"}:
            yield name, item


def _has_objects(item: Any) -> bool:
    return isinstance(item, list) and any(isinstance(member, Mapping) for member in item)


def alert_names(posted: Any) -> list[str]:
    """Names of the alerts that a field posts. Where the house's tool has a list of names, others have a text, or objects
    that bear the name; `none` is no name."""
    named = [
        next((one[key] for key in _NAMES_AN_ALERT if one.get(key)), None) if isinstance(one, Mapping) else one
        for one in (posted if isinstance(posted, list) else [posted])
    ]
    said = [name.strip() for name in named if isinstance(name, str)]
    return [name for name in said if name and not _NO_ALERT.match(name)]


def _unit(flat: Mapping[str, Any]) -> str:
    for key, value in flat.items():
        if _tokens(key) & {"unit", "units"} and isinstance(value, str):
            return "C" if value.strip().lower()[:1] == "c" or value.strip().lower() in ("metric", "si") else "F"
    scales = [_scale(_tokens(key)) for key in flat]
    return "C" if "C" in scales and "F" not in scales else "F"


def _scale(tokens: set[str]) -> str | None:
    if tokens & {"c", "celsius", "degc", "centigrade"}:
        return "C"
    return "F" if tokens & {"f", "fahrenheit", "degf"} else None


def _read_field(draft: _Draft, key: str, value: Any, flat: Mapping[str, Any]) -> None:
    tokens = _tokens(key)
    if value is None or "uom" in tokens:  # weather.gov's grid: `uom: "wmoUnit:km_h-1"`
        return
    if "alerts" in tokens or "alert" in tokens:
        names = alert_names(value)
        if names or isinstance(value, str) or (isinstance(value, list) and not _has_objects(value)):
            draft.alerts = (draft.alerts or []) + names
    elif isinstance(value, (bool, list)):
        return
    elif tokens & {"wind", "gust", "gusts"} and "chill" not in tokens:
        _read_wind(draft, tokens, value)
    elif tokens & {"humidity"}:
        _add_number(draft, "humidities", value)
    elif tokens & {"precip", "precipitation", "pop", "chance", "probability", "rain"} and not tokens & _FLAGS:
        _add_chance(draft, tokens, value)
    elif _is_of_warmth(tokens):
        _add_temperature(draft, tokens, value, flat)
    elif isinstance(value, str):
        _read_words(draft, tokens, value)


def _is_of_warmth(tokens: set[str]) -> bool:
    """Whether a key holds temperatures: by their name, or a high or a low of nothing else."""
    bare = tokens & (_HIGH_WORDS | _LOW_WORDS) and not tokens & _NO_WARMTH
    return bool((tokens & _WARMTH or bare) and "unit" not in tokens)


def _read_words(draft: _Draft, tokens: set[str], value: str) -> None:
    if tokens & _SUBJECTS:
        if not tokens & _BESIDE_THE_NAME:
            draft.place = value
    elif tokens & _REGIONS:
        draft.region = STATES.get(value.lower(), value).title()
    elif (tokens & _DAY_WORDS and not tokens & _SKY_WORDS) or tokens == {"name"}:
        if not tokens & _OF_THE_RECORD and not ("end" in tokens and ":" in value):  # a night ends on the day after
            draft.days |= _day_names(value)
    elif tokens & _PROSE:
        _merge(draft, assertions(value))


def _read_wind(draft: _Draft, tokens: set[str], value: Any) -> None:
    if tokens & {"direction", "dir", "bearing", "deg", "degree", "degrees"}:
        degrees = _as_float(value) if isinstance(value, (int, float)) else compass_degrees(str(value))
        if degrees is not None:
            draft.add("directions", degrees)
        return
    unit = (
        "kph"
        if tokens & {"kph", "kmh", "km"}
        else "m/s"
        if "ms" in tokens
        else "kn"
        if tokens & {"kn", "kt", "knots"}
        else "mph"
    )
    if isinstance(value, str):
        unit = "kph" if re.search(r"km|kph", value) else "kn" if re.search(r"\bkn|\bkt", value) else unit
        written = _WIND_FROM.search(value)
        degrees = compass_degrees(written[0]) if written else None
        if degrees is not None:
            draft.add("directions", degrees)
    ends = _numbers(value)
    if ends:
        draft.winds.append((to_mph(min(ends), unit), to_mph(max(ends), unit)))


def _add_chance(draft: _Draft, tokens: set[str], value: Any) -> None:
    """In percent. A bare `rain` or `precipitation` is an amount, unless it is written in percent."""
    percent = bool(tokens & {"percent", "pct"} or _PERCENT.search(str(value)))
    if tokens & _AMOUNTS or not (percent or tokens & _OF_A_CHANCE):
        return
    # of 1: OpenWeather's `pop`, and whatever has a decimal point; a whole 1 under another name is one percent
    of_one = not percent and ("pop" in tokens or "." in str(value))
    for number in _numbers(value):
        draft.add("chances", number * 100 if of_one and number <= 1 else number)


def _add_temperature(draft: _Draft, tokens: set[str], value: Any, flat: Mapping[str, Any]) -> None:
    scale = _scale(tokens) or draft.unit
    if isinstance(value, str) and (written := re.search(r"\d\s*+°?\s*+([CF])\b", value)):
        scale = written[1]
    role = "temperatures"
    if tokens & _HIGH_WORDS:
        role = "highs"
    elif tokens & _LOW_WORDS:
        role = "lows"
    elif isinstance(flat.get("isDaytime"), bool) and not tokens & _FELT:
        role = "highs" if flat["isDaytime"] else "lows"
    for number in _numbers(value):
        draft.add(role, to_fahrenheit(number, scale))


def _add_number(draft: _Draft, kind: str, value: Any) -> None:
    for number in _numbers(value):
        draft.add(kind, number)


def _numbers(value: Any) -> list[float]:
    if isinstance(value, (int, float)):
        return [_as_float(value)]
    return [float(number.replace("−", "-")) for number in _NUMBER_IN_TEXT.findall(str(value))]


def _as_float(value: float) -> float:
    """As a float; infinity for a whole number that none can hold."""
    try:
        return float(value)
    except OverflowError:
        return math.inf


def _day_names(value: str) -> set[str]:
    """A day as written, and the weekday of an ISO date or time."""
    names = {value}
    if match := re.match(r"(\d{4}-\d\d-\d\d)", value):
        names = {match[1]}
        try:
            names.add(WEEKDAYS[date.fromisoformat(match[1]).weekday()])
        except ValueError:
            return {value}
    return names


def _tokens(key: str) -> set[str]:
    """`probabilityOfPrecipitation` and `high_f` as sets of lower-case words."""
    spaced = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", key)
    parted = _FUSED.sub(r"\1_", spaced.lower())
    return {token for token in re.split(r"[^a-z]+", parted) if token}


# --- text -------------------------------------------------------------------------------------------------------------


def _from_text(text: str) -> ToolFacts:
    if _ERROR_TEXT.search(text):
        return ToolFacts((), text.strip())
    draft = _Draft()
    found = assertions(text)
    _merge(draft, found)
    draft.place = next((a.text for a in found if a.kind == "place"), None) or _place_named_first(text)
    draft.days = {a.value for a in found if a.kind == "day"}
    sheet = draft.sheet()
    return ToolFacts((sheet,), None) if sheet.states_weather() else ToolFacts((), text.strip())


def _place_named_first(text: str) -> str | None:
    """`Kisumu, Kenya. Wednesday: ...` is about Kisumu; `Tonight: ...` is about no place."""
    named = _NAMED_FIRST.match(text)
    return named["place"] if named and named["place"].split()[0].rstrip(".,") not in NO_PLACE else None


def _merge(draft: _Draft, found: Sequence[Assertion]) -> None:
    """What a forecast's prose states, added to the sheet."""
    for a in found:
        ends = a.value if isinstance(a.value, tuple) else (a.value, a.value)
        if a.kind == "condition":
            if not a.negated:
                draft.conditions.add("rain" if a.value == "wet" else str(a.value))
        elif a.kind == "temperature":
            role = {"high": "highs", "low": "lows"}.get(a.role or "", "temperatures")
            for end in dict.fromkeys(ends):
                draft.add(role, to_fahrenheit(end, a.unit or draft.unit))
        elif a.kind == "wind":
            draft.winds.append((to_mph(ends[0], a.unit), to_mph(ends[1], a.unit)))
        elif a.kind in ("chance", "humidity", "wind_direction"):
            kind = {"chance": "chances", "humidity": "humidities", "wind_direction": "directions"}[a.kind]
            for end in dict.fromkeys(ends):
                draft.add(kind, end)
        elif a.kind == "alert" and not a.negated:
            draft.alerts = [*(draft.alerts or []), str(a.value)]
