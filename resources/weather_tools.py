"""Where the served weather comes from: api.weather.gov, the lake's bulletins, or a simulation with faults on demand.

What an answer looks like is twainbot/dialogues/served.py's; the server around it, weather_server.py's.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode, urlsplit

from resources.polite_client import Passing, PoliteClient, Refused
from resources.weather_service import JSON, LICENSE, WHY_NO_ROBOTS, at_service, told
from twainbot.dialogues import gazetteer, served, weather
from twainbot.dialogues.served import NoAnswer
from twainbot.errors import BadInput, BadUse, SourceUnavailable, UnreadableSource

if TYPE_CHECKING:
    from resources.home import Home
    from twainbot.corpora.nws import Alert, Point
    from twainbot.dialogues.observations import Observation

NWS = "https://api.weather.gov"
BACKENDS = ("nws", "archive", "mock")
STATIONS_TRIED = 3  # the nearest may be silent for a day; past the third they are another town's
SEED = 1835
ELSEWHERE = "continental"  # the climate that the simulation gives to American towns which it does not list
FAULT = "fault:"  # a place named so makes the simulation misbehave
FAULTS = ("hang", "error", "crash", "huge", "html", "text", "instructions", "poisoned", "die")
_PLAIN_QUERY = {"format": "jsonv2", "limit": "1", "countrycodes": "us"}


class Backend(Protocol):
    """What the server asks. All raise NoAnswer with a tool's error code where there is no answer."""

    name: str

    def forecast(self, location: str, when: str) -> dict[str, Any]:
        """One day at one place, with tools.FORECAST_KEYS."""
        ...

    def alerts(self, state: str) -> dict[str, Any]:
        """Alerts of a state (two letters), with tools.ALERTS_KEYS."""
        ...

    def observation(self, location: str) -> dict[str, Any]:
        """A station's reading at this hour, with tools.OBSERVATION_KEYS."""
        ...


def open_backend(name: str, home: Home, *, today: date | None = None) -> Backend:
    """The backend of that name over this home. Raises BadUse for another name."""
    if name == "mock":
        return MockBackend(today)
    if name == "archive":
        return ArchiveBackend(home.lake, today)
    if name == "nws":
        return live(home)
    raise BadUse(f"No weather backend is called {name!r}; there are {', '.join(BACKENDS)}.")


# --- the live service -----------------------------------------------------------------------------------------------------


def live(home: Home) -> NwsBackend:
    """api.weather.gov, or what TWAINBOT_NWS_URL names; TWAINBOT_GEOCODER_URL finds what the gazetteer lacks."""
    from resources.raw_store import RawStore

    service = (os.environ.get("TWAINBOT_NWS_URL") or NWS).rstrip("/")
    geocoder = os.environ.get("TWAINBOT_GEOCODER_URL") or ""
    hosts = [urlsplit(url).hostname or "" for url in (service, geocoder) if url]
    client = PoliteClient(
        RawStore(home.raw),
        attempts=2,  # somebody waits for the answer
        timeout_s=8.0,
        configured=tuple(filter(None, (service, geocoder))),
        exempt=dict.fromkeys(hosts, WHY_NO_ROBOTS),
    )
    return NwsBackend(client, service, geocoder)


@dataclass
class NwsBackend:
    """The National Weather Service: point, then forecast, stations or alerts. `geocoder`: a search URL, "" for none."""

    client: PoliteClient
    service: str = NWS
    geocoder: str = ""
    name: str = "nws"
    _points: dict[str, Point] = field(default_factory=dict)

    def forecast(self, location: str, when: str) -> dict[str, Any]:
        """One day of the point's forecast, with the alerts in force there on that day."""
        from twainbot.corpora.nws import read_forecast

        place, where = self.find(location)
        point = self.point(where)
        if not point.forecast_url:
            raise NoAnswer("unknown_location", f"The service has no forecast for {place}. It covers the United States.")
        found = read_forecast(self._json(at_service(self.service, point.forecast_url)))
        return served.forecast_of_day(found, place, when, lambda day: self._alerts_at(where, day))

    def alerts(self, state: str) -> dict[str, Any]:
        """The alerts in force in a state."""
        letters = gazetteer.state_letters(state)
        if letters is None:
            raise NoAnswer("unknown_location", f"{state[:60]!r} is no US state. Give its two letters, such as MO.")
        return served.alert_list(self._alerts({"area": letters}), letters)

    def observation(self, location: str) -> dict[str, Any]:
        """The newest reading of the nearest station that says something."""
        from twainbot.corpora.nws import read_observation

        place, where = self.find(location)
        stations = self._stations(self.point(where))
        fault: BadInput = NoAnswer("service_unavailable", f"No station near {place} is known to the service.")
        for station in stations[:STATIONS_TRIED]:
            try:
                url = f"{self.service}/stations/{quote(station)}/observations/latest"
                return served.observed(read_observation(self._json(url)), place)
            except (NoAnswer, UnreadableSource) as error:
                fault = error
        raise fault

    def find(self, location: str) -> tuple[str, str]:
        """(the place as it is written, "lat,lon") of a spelling: the gazetteer first, then the geocoder's first answer."""
        found = gazetteer.spots(location)
        if len(found) > 1:
            raise NoAnswer("unknown_location", gazetteer.question(found))
        if found:
            return found[0].canonical, coordinates(found[0].latitude, found[0].longitude)
        if not self.geocoder:
            raise NoAnswer(
                "unknown_location",
                f"{location[:60]!r} is in no list of American towns here. Name the nearest larger town.",
            )
        return location, self._geocoded(location)

    def _geocoded(self, location: str) -> str:
        rows = self._json(f"{self.geocoder}?{urlencode({'q': location, **_PLAIN_QUERY})}")
        row = rows[0] if isinstance(rows, list) and rows and isinstance(rows[0], Mapping) else {}
        try:
            return coordinates(float(row["lat"]), float(row["lon"]))
        except (KeyError, TypeError, ValueError):
            raise NoAnswer("unknown_location", f"The geocoder knows no American place {location[:60]!r}.") from None

    def point(self, where: str) -> Point:
        """What the service says of a coordinate; it does not change while we run."""
        from twainbot.corpora.nws import read_points

        if where not in self._points:
            self._points[where] = read_points(self._json(f"{self.service}/points/{where}"))
        return self._points[where]

    def _stations(self, point: Point) -> list[str]:
        if not point.stations_url:
            return []
        found = self._json(at_service(self.service, point.stations_url))
        rows = found.get("features") if isinstance(found, Mapping) else None
        named = [row.get("properties") for row in rows or [] if isinstance(row, Mapping)]
        return [
            str(row["stationIdentifier"]) for row in named if isinstance(row, Mapping) and row.get("stationIdentifier")
        ]

    def _alerts_at(self, where: str, day: date) -> list[str] | None:
        """Alerts at a coordinate on a day; None where they cannot be had: a forecast without them is still one."""
        try:
            return served.alerts_on(self._alerts({"point": where}), day)
        except BadInput:
            return None

    def _alerts(self, asked: Mapping[str, str]) -> list[Alert]:
        from twainbot.corpora.nws import read_alerts

        return read_alerts(self._json(f"{self.service}/alerts/active?{urlencode(asked, safe=',')}"))

    def _json(self, url: str) -> Any:
        """A document of the service. Raises NoAnswer with the service's own reason."""
        try:
            return json.loads(self.client.read(url, LICENSE, JSON))
        except (ValueError, RecursionError) as error:
            raise NoAnswer(
                "service_unavailable", f"The weather service sent no JSON ({error}). Try again later."
            ) from error
        except SourceUnavailable as fault:
            raise NoAnswer(code_of(fault), told(fault)) from fault


def code_of(fault: SourceUnavailable) -> str:
    """The tool's error code for what the client met."""
    if isinstance(fault, Refused) and fault.status in (400, 404) and b"InvalidPoint" in fault.body:
        return "unknown_location"
    return "timeout" if isinstance(fault, Passing) and "Timeout" in str(fault) else "service_unavailable"


def coordinates(latitude: float, longitude: float) -> str:
    """ "39.71,-91.36": at most four decimals and no zeros behind them, else the service redirects."""
    return f"{round(latitude, 4):.10g},{round(longitude, 4):.10g}"


# --- the lake's bulletins -------------------------------------------------------------------------------------------------


@dataclass
class ArchiveBackend:
    """Facts of the weather corpus: what bulletins said, by place and day. `today`: None counts from the newest bulletin."""

    lake: str
    today: date | None = None
    name: str = "archive"

    @cached_property
    def said(self) -> list[Observation]:
        """Every forecast period of the corpus's bulletins, removed units' left out. Raises NoAnswer where there is none."""
        import polars as pl

        from resources.lake import Lake
        from resources.views import registered, units_of
        from twainbot.dialogues.observations import observations

        lake, table = Lake(self.lake), "corpora/weather"
        counted = units_of(table, registered(lake))
        keys = [key for key in lake.keys(table) if counted is None or key in counted]
        if not keys:
            raise NoAnswer("service_unavailable", f"The lake {self.lake} holds no bulletins. Run `twainbot run` first.")
        works = lake.scan_all(table, keys).select("work_id", "extra").collect()
        return observations(works, works.select(pl.col("work_id").alias("chunk_id"), "work_id"))

    def forecast(self, location: str, when: str) -> dict[str, Any]:
        """What the newest bulletin said of the day."""
        return served.archived_forecast(self.said, location, when, self.today)

    def alerts(self, state: str) -> dict[str, Any]:
        """An archive knows nothing of what is in force."""
        raise NoAnswer("service_unavailable", f"The archive keeps no alerts in force, for {state[:20]} or elsewhere.")

    def observation(self, location: str) -> dict[str, Any]:
        """An archive of forecasts holds no readings."""
        raise NoAnswer(
            "service_unavailable", f"The archive keeps forecasts, no readings, for {location[:60]} or elsewhere."
        )


# --- the simulation -------------------------------------------------------------------------------------------------------


@dataclass
class MockBackend:
    """Simulated weather: a function of place, day and seed. `today`: None is the calendar's."""

    today: date | None = None
    seed: int = SEED
    name: str = "mock"

    def forecast(self, location: str, when: str) -> dict[str, Any]:
        """The simulator's forecast; American towns that it does not list have an inland climate."""
        found = gazetteer.spots(location)
        if weather.find(location) is None and len(found) > 1:
            raise NoAnswer("unknown_location", gazetteer.question(found))
        climate = ELSEWHERE if found else None
        result = weather.simulate(location, when, self._today(), self.seed, climate_elsewhere=climate)
        if "error" in result:
            raise NoAnswer(result["error"], result["message"])
        return result

    def alerts(self, state: str) -> dict[str, Any]:
        """Whatever the simulator posts today in the state's towns."""
        letters = gazetteer.state_letters(state)
        if letters is None:
            raise NoAnswer("unknown_location", f"{state[:60]!r} is no US state. Give its two letters, such as MO.")
        towns = [place.canonical for place in weather.places() if place.abbreviation == letters]
        posted = [name for town in towns for name in self.forecast(town, "today")["alerts"]]
        return {"state": letters, "alerts": list(dict.fromkeys(posted))}

    def observation(self, location: str) -> dict[str, Any]:
        """A reading that agrees with today's simulated forecast."""
        return served.simulated_observation(self.forecast(location, "today"))

    def _today(self) -> date:
        return self.today or date.today()  # noqa: DTZ011 - the day of whoever runs it


def fault_of(arguments: Mapping[str, Any]) -> str | None:
    """The fault that a call to the simulation asks for: `{"location": "fault:hang"}`. Raises NoAnswer for another name."""
    named = next((value for value in arguments.values() if isinstance(value, str) and value.startswith(FAULT)), None)
    if named is None:
        return None
    kind = named.removeprefix(FAULT).split(",")[0].strip()
    if kind not in FAULTS:
        raise NoAnswer("unknown_location", f"No fault is called {kind[:20]!r}; there are {', '.join(FAULTS)}.")
    return kind
