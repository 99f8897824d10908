"""Simulated forecasts, plausible for place and month. Real forecasts are resources/weather.py's business.

A forecast is a pure function of place, day and seed, so two questions about one day agree. Temperatures are in degrees
Fahrenheit, wind in mph, chance in percent, as the tool's contract says (dialogues/tools.py).
"""

from __future__ import annotations

import math
import random
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from typing import Any

import yaml

from twainbot.errors import BadUse
from twainbot.evals.places_dates import after

HORIZON_DAYS = 14  # the National Weather Service publishes 7, other services up to 16
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
DIRECTIONS = ("N", "NE", "E", "SE", "S", "SW", "W", "NW")
DIRECTION_WORDS = dict(
    zip(
        DIRECTIONS,
        ("north", "northeast", "east", "southeast", "south", "southwest", "west", "northwest"),
        strict=True,
    )
)

SNOW_MAX_HIGH_F = 36  # above it snow does not last to be forecast as snow
SLEET_MAX_HIGH_F = 40
STORM_MIN_HIGH_F = 72  # below it thunder is rare enough to leave out


@dataclass(frozen=True)
class Climate:
    """Mean daily highs of the warmest and coldest month (degrees F), daily spread, share of wet days, hemisphere."""

    warm_high: float
    cold_high: float
    spread: float
    wet_warm: float
    wet_cold: float
    south: bool = False

    def warmth(self, day: date) -> float:
        """0 in the coldest weeks, 1 in the warmest: late July in the north, late January in the south."""
        phase = (day.timetuple().tm_yday - 203) / 365.25 + (0.5 if self.south else 0.0)
        return (1 + math.cos(2 * math.pi * phase)) / 2


@dataclass(frozen=True)
class Place:
    """A town that the simulation knows. `abbreviation` is empty outside the United States."""

    town: str
    region: str
    abbreviation: str
    climate: str

    @property
    def canonical(self) -> str:
        """The name as the tool writes it: "Reno, NV", "Buenos Aires, Argentina"."""
        return f"{self.town}, {self.abbreviation or self.region}"

    @property
    def spellings(self) -> tuple[str, ...]:
        """The ways in which a user may write it, the bare town first."""
        full = (self.town, f"{self.town}, {self.region}")
        return (*full, f"{self.town}, {self.abbreviation}") if self.abbreviation else full


# condition: chance range, wind range (inclusive). Chances are multiples of 5, as forecasters give them.
CONDITIONS: Mapping[str, tuple[tuple[int, int], tuple[int, int]]] = {
    "sunny": ((0, 5), (3, 14)),
    "clear": ((0, 5), (2, 12)),
    "mostly sunny": ((0, 10), (3, 15)),
    "mostly clear": ((0, 10), (2, 12)),
    "partly cloudy": ((5, 20), (3, 16)),
    "mostly cloudy": ((10, 30), (4, 17)),
    "overcast": ((15, 35), (4, 17)),
    "fog": ((5, 20), (2, 6)),
    "windy": ((0, 20), (24, 38)),
    "drizzle": ((45, 70), (3, 12)),
    "light rain": ((50, 75), (4, 15)),
    "showers": ((45, 75), (6, 18)),
    "rain": ((65, 90), (6, 20)),
    "heavy rain": ((80, 100), (10, 26)),
    "thunderstorms": ((50, 90), (10, 28)),
    "sleet": ((55, 85), (6, 20)),
    "light snow": ((50, 75), (4, 14)),
    "snow": ((60, 90), (6, 20)),
    "heavy snow": ((80, 100), (10, 28)),
}
_DRY = {"sunny": 9, "mostly sunny": 6, "partly cloudy": 8, "mostly cloudy": 5, "overcast": 4, "fog": 2, "windy": 3}
_RAIN = {"drizzle": 2, "light rain": 5, "showers": 5, "rain": 5, "heavy rain": 2}
_SNOW = {"light snow": 5, "snow": 4, "heavy snow": 2}
_AFTER_DARK = {"sunny": "clear", "mostly sunny": "mostly clear"}

# condition: (alert, probability that the office posts it)
_ALERTS = {
    "heavy snow": ("Winter Storm Warning", 0.7),
    "thunderstorms": ("Severe Thunderstorm Watch", 0.25),
    "windy": ("Wind Advisory", 0.5),
    "fog": ("Dense Fog Advisory", 0.3),
    "heavy rain": ("Flood Watch", 0.5),
    "sleet": ("Winter Weather Advisory", 0.5),
}
_ANY_ALERTS = ("Flood Watch", "Wind Advisory", "Dense Fog Advisory")
_WARM_ALERTS = ("Heat Advisory", "Severe Thunderstorm Watch")
_COLD_ALERTS = ("Winter Storm Warning", "Winter Weather Advisory", "Cold Weather Advisory")
_MESSAGES = {
    "unknown_location": "No place called {location} is known.",
    "service_unavailable": "The weather service is not answering.",
    "timeout": "The weather service took too long to answer.",
    "no_data_for_date": "No forecast is available for {datetime}.",
}


def alert_names(place: Place, day: date) -> list[str]:
    """The alerts that the simulated office may post there on such a day, in order: no heat in winter, no snow in summer."""
    climate = climates()[place.climate]
    mean = climate.cold_high + (climate.warm_high - climate.cold_high) * climate.warmth(day)
    season = _WARM_ALERTS if mean >= 70 else _COLD_ALERTS if mean <= 45 else ()
    return sorted({*_ANY_ALERTS, *season})


@cache
def _data() -> dict[str, Any]:
    return yaml.safe_load((resources.files("twainbot.dialogues") / "places.yaml").read_text("utf-8"))


@cache
def places() -> tuple[Place, ...]:
    """All known places, in the file's order. None lies in a region that the evaluation keeps for itself."""
    return tuple(
        Place(str(town), entry["region"], entry.get("abbreviation", ""), entry["climate"])
        for entry in _data()["places"]
        for town in entry["towns"]
    )


@cache
def climates() -> dict[str, Climate]:
    """The climates by name."""
    return {name: Climate(**values) for name, values in _data()["climates"].items()}


def spellings(place: Place) -> tuple[str, ...]:
    """How users write the place; without the bare town where that alone would mean something else."""
    return place.spellings[1:] if place.town in _data()["needs_region"] else place.spellings


def unknown_places() -> list[str]:
    """Invented names that no forecast covers, for questions that must fail."""
    return list(_data()["unknown"])


def reserved_regions() -> list[str]:
    """Regions whose places only the evaluation may use."""
    return list(_data()["reserved"])


def is_reserved(town: str, state: str) -> bool:
    """Whether a bulletin's town (with its state's two letters) belongs to the evaluation."""
    return state in _data()["reserved_states"] or town in _data()["reserved_towns"]


@cache
def ambiguous_towns() -> dict[str, tuple[Place, ...]]:
    """Towns that stand in more than one region, with their places: named bare, nobody can know which is meant."""
    found: dict[str, list[Place]] = {}
    for place in places():
        found.setdefault(place.town, []).append(place)
    return {town: tuple(same) for town, same in found.items() if len({place.region for place in same}) > 1}


@cache
def region_names() -> dict[str, str]:
    """The regions that have an abbreviation, by it: "MO" is Missouri."""
    return {place.abbreviation: place.region for place in places() if place.abbreviation}


@cache
def _by_spelling() -> dict[str, Place]:
    found: dict[str, Place] = {}
    for place in places():
        for spelling in place.spellings:
            found.setdefault(plain(spelling), place)
    return found


def plain(location: str) -> str:
    """A location for comparison: lower case, no commas or full stops, single spaces."""
    return " ".join(location.casefold().replace(",", " ").replace(".", "").split())


def find(location: str) -> Place | None:
    """The place that a user's spelling means, or None."""
    return _by_spelling().get(plain(location))


def resolve(datetime: str, today: date) -> date | None:
    """The day that the tool's datetime argument means, seen from `today`; None where it means none.

    A weekday is the next such day after today; "this weekend" is the coming Saturday, or today on a Saturday.
    """
    words = plain(datetime).removeprefix("on ").removeprefix("this coming ")
    bare = words.removeprefix("this ").removeprefix("next ")
    if bare == "weekend":
        return after(today, (5 - today.weekday()) % 7)
    if bare.capitalize() in WEEKDAYS:
        return after(today, (WEEKDAYS.index(bare.capitalize()) - today.weekday() - 1) % 7 + 1)
    if words in ("today", "tonight", "now", "right now", "this morning", "this afternoon", "this evening"):
        return today
    if words.split()[:1] == ["tomorrow"]:
        return after(today, 1)
    if words in ("the day after tomorrow", "day after tomorrow"):
        return after(today, 2)
    try:
        return date.fromisoformat(datetime.strip())
    except ValueError:
        return None


def is_night(datetime: str) -> bool:
    """Whether the tool's datetime word means hours without sun."""
    return plain(datetime) in ("tonight", "this evening") or plain(datetime).endswith(" night")


def failure(code: str, location: str, datetime: str) -> dict[str, Any]:
    """A tool result that reports the failure `code` in plain words. Raises BadUse for an unknown code."""
    if code not in _MESSAGES:
        raise BadUse(f"Unknown tool error {code!r}; known are {sorted(_MESSAGES)}.")
    return {"error": code, "message": _MESSAGES[code].format(location=location, datetime=datetime)}


def simulate(
    location: str,
    datetime: str,
    today: date,
    seed: int,
    *,
    error_rate: float = 0.0,
    climate_elsewhere: str | None = None,
) -> dict[str, Any]:
    """A forecast with FORECAST_KEYS, or a failure object: unknown place, no such day, or by `error_rate` (0..1).

    `climate_elsewhere` names the climate of places that are not listed; without it they are unknown_location.
    Deterministic: place, day and seed give the figures, so "tonight" and "today" agree.
    """
    place = find(location)
    if place is None and climate_elsewhere is None:
        return failure("unknown_location", location, datetime)
    day = resolve(datetime, today)
    if day is None or not 0 <= (day - today).days <= HORIZON_DAYS:
        return failure("no_data_for_date", location, datetime)
    name = place.canonical if place else location
    rng = random.Random(f"{seed}|{plain(name)}|{day.isoformat()}")
    if rng.random() < error_rate:
        return failure(rng.choice(("service_unavailable", "timeout")), location, datetime)
    climate = climates()[place.climate if place else str(climate_elsewhere)]
    sky = _draw(climate, day, rng)
    if is_night(datetime):
        sky["condition"] = _AFTER_DARK.get(sky["condition"], sky["condition"])
    return {
        "location": name,
        "datetime": datetime,
        "date": day.isoformat(),
        "weekday": WEEKDAYS[day.weekday()],
        **sky,
    }


def _draw(climate: Climate, day: date, rng: random.Random) -> dict[str, Any]:
    warmth = climate.warmth(day)
    mean = climate.cold_high + (climate.warm_high - climate.cold_high) * warmth
    wet = rng.random() < climate.wet_cold + (climate.wet_warm - climate.wet_cold) * warmth
    # a spell of cold or heat: 5 F is about the day-to-day spread of highs in mid-latitudes; clouds take off some
    high = round(rng.gauss(mean - (4 if wet else 0), 5))
    condition = _condition(wet, high, warmth, rng)
    spread = climate.spread * (rng.uniform(0.45, 0.8) if wet else rng.uniform(0.7, 1.15))
    low = high - max(4, round(spread))
    chances, winds = CONDITIONS[condition]
    wind = rng.randint(*winds)
    return {
        "condition": condition,
        "high_f": high,
        "low_f": low,
        "precipitation_chance": rng.randrange(chances[0], chances[1] + 1, 5),
        "wind_mph": wind,
        "wind_direction": rng.choice(DIRECTIONS),
        "alerts": _alerts(condition, high, low, rng),
    }


def _condition(wet: bool, high: int, warmth: float, rng: random.Random) -> str:
    if not wet:
        options = {name: weight for name, weight in _DRY.items() if name != "fog" or 30 <= high <= 75}
    elif high <= SNOW_MAX_HIGH_F:
        options = _SNOW
    elif high <= SLEET_MAX_HIGH_F:
        options = {"sleet": 2, "light rain": 2, "rain": 1}
    elif high >= STORM_MIN_HIGH_F and warmth > 0.4:
        options = {**_RAIN, "thunderstorms": 9}
    else:
        options = _RAIN
    return rng.choices(list(options), weights=list(options.values()))[0]


def _alerts(condition: str, high: int, low: int, rng: random.Random) -> list[str]:
    if high >= 100:
        alert, probability = "Heat Advisory", 0.6
    elif low <= -10:
        alert, probability = "Cold Weather Advisory", 0.6
    else:
        alert, probability = _ALERTS.get(condition, ("", 0.0))
    return [alert] if rng.random() < probability else []
