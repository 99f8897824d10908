"""The served weather: gazetteer, backends, validation and failures. Documents are ours; recorded ones are read in place."""

from __future__ import annotations

import asyncio
import contextlib
import json
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from datetime import date
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources import weather_server
from resources.lake import Lake
from resources.polite_client import PoliteClient
from resources.raw_store import RawStore
from resources.weather_server import INPUTS, OUTPUTS, Desk, address
from resources.weather_tools import ArchiveBackend, MockBackend, NwsBackend, coordinates, fault_of, open_backend
from tests import builders
from tests.fakes import Answer, FakeSite, serving
from twainbot.corpora.inventory import audit
from twainbot.dialogues import gazetteer, served, weather
from twainbot.dialogues.observations import Observation
from twainbot.dialogues.served import NoAnswer
from twainbot.dialogues.tools import (
    ALERTS_KEYS,
    ERROR_CODES,
    FORECAST_KEYS,
    OBSERVATION_KEYS,
    SERVED,
    served_name,
    stored_name,
)
from twainbot.errors import BadUse

TODAY = date(2026, 6, 14)  # a Sunday


def period(start: str, *, day: bool, degrees: int, sky: str = "Mostly Sunny", **more: Any) -> dict[str, Any]:
    return {
        "number": 1, "name": "", "startTime": start, "endTime": start, "isDaytime": day, "temperature": degrees,
        "temperatureUnit": "F", "probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": 20},
        "windSpeed": "5 to 10 mph", "windDirection": "SW", "shortForecast": sky, "detailedForecast": "", **more,
    }  # fmt: skip


PERIODS = [
    period("2026-06-14T14:00:00-05:00", day=True, degrees=81),
    period("2026-06-14T18:00:00-05:00", day=False, degrees=60, sky="Clear"),
    period("2026-06-15T06:00:00-05:00", day=True, degrees=77, sky="Rain Showers"),
    period("2026-06-15T18:00:00-05:00", day=False, degrees=58),
]
WHERE = "39.71,-91.36"  # Hannibal, as the gazetteer has it


def alert(event: str, onset: str, ends: str, **more: Any) -> dict[str, Any]:
    found = {
        "id": f"urn:{event}:{onset}", "status": "Actual", "messageType": "Alert", "event": event, "headline": event,
        "description": "The low road is wet.", "sent": onset, "onset": onset, "ends": ends, **more,
    }  # fmt: skip
    return {"type": "Feature", "id": found["id"], "geometry": None, "properties": found}


ALERTS = [
    alert("Flood Watch", "2026-06-14T08:00:00-05:00", "2026-06-14T20:00:00-05:00"),
    alert("Heat Advisory", "2026-06-15T10:00:00-05:00", "2026-06-15T20:00:00-05:00"),
    alert("Test Message", "2026-06-14T08:00:00-05:00", "2026-06-14T20:00:00-05:00", status="Test"),
]
READING = {
    "station": "https://api.weather.gov/stations/KUIN", "timestamp": "2026-06-14T19:54:00+00:00", "textDescription": "Cloudy",
    "rawMessage": "", "temperature": {"unitCode": "wmoUnit:degC", "value": 20.0},
    "relativeHumidity": {"unitCode": "wmoUnit:percent", "value": 55.4},
    "windSpeed": {"unitCode": "wmoUnit:km_h-1", "value": 16.1},
    "windDirection": {"unitCode": "wmoUnit:degree_(angle)", "value": 225},
}  # fmt: skip


def told(document: Any) -> Answer:
    return Answer(200, json.dumps(document).encode(), {"Content-Type": "application/geo+json"})


def problem(status: int, kind: str) -> Answer:
    found = {
        "type": f"https://api.weather.gov/problems/{kind}",
        "title": kind,
        "status": status,
        "detail": "As it says.",
    }
    return Answer(status, json.dumps(found).encode())


def pages() -> dict[str, Answer]:
    """The service's answers for Hannibal."""
    base = "https://api.weather.gov/gridpoints/LSX/60,100"
    silent = {**READING, "textDescription": "", "temperature": {"unitCode": "wmoUnit:degC", "value": None}}
    point = {"gridId": "LSX", "forecast": f"{base}/forecast", "observationStations": f"{base}/stations"}
    stations = [{"properties": {"stationIdentifier": name}} for name in ("KHAE", "KUIN")]
    return {
        f"/points/{WHERE}": told({"properties": point}),
        "/gridpoints/LSX/60,100/forecast": told({"properties": {"units": "us", "periods": PERIODS}}),
        "/gridpoints/LSX/60,100/stations": told({"features": stations}),
        f"/alerts/active?point={WHERE}": told({"features": ALERTS}),
        "/alerts/active?area=MO": told({"features": [*ALERTS, *ALERTS]}),
        "/stations/KHAE/observations/latest": told({"properties": silent}),
        "/stations/KUIN/observations/latest": told({"properties": READING}),
    }


def nws(site: FakeSite, folder: Path, timeout_s: float = 60.0, **more: Any) -> NwsBackend:
    exempt = {"127.0.0.1": "a documented public API"}
    client = PoliteClient(RawStore(folder), delay_s=0, attempts=1, timeout_s=timeout_s, private=True, exempt=exempt)
    return NwsBackend(client, site.url, **more)


# --- names ----------------------------------------------------------------------------------------------------------------


def test_the_served_tools_map_one_to_one_to_stored_names():
    names = [tool["function"]["name"] for tool in SERVED]
    assert [served_name(stored_name(name, (name,))) for name in names] == names
    assert len({stored_name(name, (name,)) for name in names}) == len(names)
    assert set(names) == set(INPUTS) == set(OUTPUTS)


@pytest.mark.parametrize(
    ("name", "keys"),
    [("get_forecast", FORECAST_KEYS), ("get_alerts", ALERTS_KEYS), ("get_observation", OBSERVATION_KEYS)],
)
def test_a_typed_answer_has_the_keys_that_dialogues_have(name, keys):
    assert tuple(field for field in OUTPUTS[name].model_fields if field != "issued_at") == keys


# --- the gazetteer --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelling", ["Hannibal", "hannibal, mo", "Hannibal, Missouri", "Hannibal MO", "Hannibal, MO, USA"]
)
def test_a_town_is_found_by_every_way_of_writing_it(spelling):
    (spot,) = gazetteer.spots(spelling)
    assert (spot.canonical, coordinates(spot.latitude, spot.longitude)) == ("Hannibal, MO", WHERE)


def test_every_american_town_of_the_simulator_lies_somewhere():
    towns = [place.canonical for place in weather.places() if place.abbreviation]
    assert [town for town in towns if len(gazetteer.spots(town)) != 1] == []


def test_every_town_lies_in_the_united_states():
    for spots in gazetteer._by_town().values():
        for spot in spots:
            assert 18 < spot.latitude < 72, spot
            assert -180 < spot.longitude < -65, spot


def test_a_name_that_stands_in_several_states_is_asked_about():
    found = gazetteer.spots("Springfield")
    assert len(found) > 2
    assert "Springfield, IL or Springfield, MA" in gazetteer.question(found)
    assert gazetteer.spots("Springfield, Guam") == gazetteer.spots("Paris, France") == ()


@pytest.mark.parametrize(
    ("word", "letters"), [("MO", "MO"), ("mo", "MO"), (" new  mexico ", "NM"), ("Ontario", None), ("", None)]
)
def test_states_are_known_by_letters_and_by_name(word, letters):
    assert gazetteer.state_letters(word) == letters


# --- the live service -----------------------------------------------------------------------------------------------------


def test_a_day_is_read_from_its_periods_with_the_alerts_of_that_day(tmp_path):
    with serving(pages()) as site:
        backend = nws(site, tmp_path)
        today = backend.forecast("Hannibal", "today")
        monday = backend.forecast("Hannibal, Missouri", "Monday")
    assert today == {
        "location": "Hannibal, MO", "datetime": "today", "date": "2026-06-14", "weekday": "Sunday", "condition": "mostly sunny",
        "high_f": 81, "low_f": 60, "precipitation_chance": 20, "wind_mph": 10, "wind_direction": "SW",
        "alerts": ["Flood Watch"],
    }  # fmt: skip
    assert (monday["condition"], monday["high_f"], monday["low_f"]) == ("rain showers", 77, 58)
    assert monday["alerts"] == ["Heat Advisory"]


def test_tonight_is_told_by_the_night(tmp_path):
    with serving(pages()) as site:
        found = nws(site, tmp_path).forecast("Hannibal", "tonight")
    assert (found["condition"], found["low_f"]) == ("clear", 60)


@pytest.mark.parametrize("when", ["2026-06-13", "2026-07-01", "once upon a time", "Wednesday"])
def test_a_day_out_of_range_or_none_is_no_data_for_that_date(when, tmp_path):
    with serving(pages()) as site, pytest.raises(NoAnswer) as caught:
        nws(site, tmp_path).forecast("Hannibal", when)
    assert caught.value.code == "no_data_for_date"


def test_a_silent_station_is_passed_over_for_the_next(tmp_path):
    with serving(pages()) as site:
        found = nws(site, tmp_path).observation("Hannibal")
    # 20.0 C is 68 F; 16.1 km/h is 10 mph; 225 degrees is southwest
    assert found == {
        "location": "Hannibal, MO", "station": "KUIN", "observed": "2026-06-14T19:54:00+00:00", "condition": "cloudy",
        "temperature_f": 68, "humidity": 55, "wind_mph": 10, "wind_direction": "SW",
    }  # fmt: skip


def test_a_states_alerts_are_named_once_and_tests_are_none(tmp_path):
    with serving(pages()) as site:
        found = nws(site, tmp_path).alerts("Missouri")
        with pytest.raises(NoAnswer, match="two letters"):
            nws(site, tmp_path).alerts("Bavaria")
    assert found == {"state": "MO", "alerts": ["Flood Watch", "Heat Advisory"]}


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (problem(500, "UnexpectedProblem"), "service_unavailable", "UnexpectedProblem"),
        (problem(404, "InvalidPoint"), "unknown_location", "InvalidPoint"),
        (Answer(200, b"<html>Bad gateway</html>"), "service_unavailable", "no JSON"),
        (Answer(200, b"{}", pause_s=60.0), "timeout", "could not be read"),
    ],
)  # fmt: skip
def test_a_service_that_fails_is_told_with_its_reason(answer, code, words, tmp_path):
    with serving({f"/points/{WHERE}": answer}) as site, pytest.raises(NoAnswer, match=words) as caught:
        nws(site, tmp_path, 0.3 if code == "timeout" else 60.0).forecast("Hannibal", "today")
    assert caught.value.code == code


def test_a_forecast_stands_without_alerts_that_cannot_be_had(tmp_path):
    site_pages = {**pages(), f"/alerts/active?point={WHERE}": Answer(503, b"down")}
    with serving(site_pages) as site:
        assert nws(site, tmp_path).forecast("Hannibal", "today")["alerts"] is None


def test_a_point_is_asked_for_once_and_fresh_documents_not_again(tmp_path):
    with serving(pages()) as site:
        backend = nws(site, tmp_path)
        for when in ("today", "Monday", "tonight"):
            backend.forecast("Hannibal", when)
        assert sorted(site.paths()) == sorted(set(site.paths()))


def test_what_the_gazetteer_lacks_a_configured_geocoder_finds(tmp_path):
    question = "/search?q=Calico+Rock%2C+AR&format=jsonv2&limit=1&countrycodes=us"
    nobody = "/search?q=Nowhere%2C+AR&format=jsonv2&limit=1&countrycodes=us"
    found = {**pages(), question: told([{"lat": "39.7100", "lon": "-91.3600"}]), nobody: told([])}
    with serving(found) as site:
        backend = nws(site, tmp_path, geocoder=f"{site.url}/search")
        assert backend.forecast("Calico Rock, AR", "today")["high_f"] == 81
        with pytest.raises(NoAnswer, match="geocoder knows no") as caught:
            backend.forecast("Nowhere, AR", "today")
        with pytest.raises(NoAnswer, match="in no list"):
            nws(site, tmp_path).forecast("Nowhere, AR", "today")
    assert caught.value.code == "unknown_location"


@pytest.mark.shared
def test_recorded_documents_of_the_service_are_read(shared_data, tmp_path):
    folder = shared_data / "nws" / "api" / "pynws"
    spot = gazetteer.spots("Tallahassee")[0]
    station = json.loads((folder / "gridpoints_stations.json").read_text())["features"][0]["properties"][
        "stationIdentifier"
    ]
    found = {
        f"/points/{coordinates(spot.latitude, spot.longitude)}": "points",
        "/gridpoints/TAE/58,65/forecast": "gridpoints_forecast_us",
        "/gridpoints/TAE/58,65/stations": "gridpoints_stations",
        f"/stations/{station}/observations/latest": "stations_observations_latest",
        "/alerts/active?area=OR": "alerts_active_zone",
    }
    with serving({path: Answer(200, (folder / f"{name}.json").read_bytes()) for path, name in found.items()}) as site:
        backend = nws(site, tmp_path)
        forecast = backend.forecast("Tallahassee, Florida", "today")
        reading = backend.observation("Tallahassee")
        alerts = backend.alerts("OR")
    # the first two periods: 41 F by day (as the test bundle has it), 68 F by night; no alerts page for the point
    assert (forecast["date"], forecast["high_f"], forecast["low_f"], forecast["alerts"]) == ("2019-10-13", 41, 68, None)
    assert (reading["temperature_f"], reading["condition"]) == (73, "mostly cloudy")  # 22.8 C
    assert "Flood Watch" in alerts["alerts"]


# --- the archive ----------------------------------------------------------------------------------------------------------


def said(day: int, name: str, *, issued: int = 2, town: str = "Hannibal", **more: Any) -> Observation:
    known = {"high_f": None, "low_f": None, "precipitation_chance": None, "wind_mph": 10, "wind_direction": "NW"} | more
    return Observation(
        "c", "w", town, "MO", date(2026, 1, issued), date(2026, 1, day), name, known.pop("condition", "sunny"),
        text="", **known,
    )  # fmt: skip


def test_the_newest_bulletin_that_speaks_of_a_day_answers_with_both_halves():
    said_so = [
        said(4, "Sunday", high_f=30, issued=1),
        said(4, "Sunday", high_f=33, precipitation_chance=40, condition="mostly cloudy"),
        said(4, "Sunday Night", low_f=20, condition="cloudy"),
    ]
    found = served.archived_forecast(said_so, "Hannibal, Missouri", "Sunday")
    assert (found["high_f"], found["low_f"], found["precipitation_chance"], found["issued_at"]) == (
        33,
        20,
        40,
        "2026-01-02",
    )
    assert (found["date"], found["condition"], found["alerts"]) == ("2026-01-04", "mostly cloudy", None)
    assert served.archived_forecast(said_so, "Hannibal", "2026-01-04", date(2026, 1, 1))["high_f"] == 30


@pytest.mark.parametrize(
    ("place", "when", "code"),
    [
        ("Quincy", "Sunday", "unknown_location"),
        ("Hannibal", "2026-02-01", "no_data_for_date"),
        ("Hannibal", "x", "no_data_for_date"),
    ],
)
def test_the_archive_names_what_it_has_where_it_has_no_answer(place, when, code):
    with pytest.raises(NoAnswer, match="Hannibal") as caught:
        served.archived_forecast([said(4, "Sunday", high_f=30)], place, when)
    assert caught.value.code == code


def test_an_empty_lake_is_told_and_alerts_and_readings_are_not_invented(tmp_path):
    backend = ArchiveBackend(str(tmp_path))
    with pytest.raises(NoAnswer, match="twainbot run"):
        backend.forecast("Hannibal", "today")
    with pytest.raises(NoAnswer, match="no alerts"):
        backend.alerts("MO")
    with pytest.raises(NoAnswer, match="no readings"):
        backend.observation("Hannibal")


def test_a_bulletin_of_a_unit_that_was_taken_out_is_read_no_more(tmp_path, monkeypatch):
    lake = Lake(str(tmp_path))
    for unit in ("2026-01", "2026-02"):
        lake.write(
            "corpora/weather", unit, builders.works(builders.work(f"weather:{unit}", unit=unit, source="weather"))
        )
    monkeypatch.setattr("twainbot.dialogues.observations.observations", lambda works, _: works["work_id"].to_list())
    assert ArchiveBackend(str(tmp_path)).said == ["weather:2026-01", "weather:2026-02"]  # nothing was audited yet
    rows = audit(lake.read("corpora/weather", "2026-02"), {"weather": ["2026-02"]}, {})
    lake.write("corpora/audit", None, rows)
    assert ArchiveBackend(str(tmp_path)).said == ["weather:2026-02"]


# --- the simulation and the server ----------------------------------------------------------------------------------------


def answer(desk: Desk, name: str, **arguments: Any) -> dict[str, Any]:
    return asyncio.run(desk.answer(name, arguments))


@pytest.mark.parametrize("when", ["today", "tonight", "Saturday", "2026-06-20"])
def test_the_simulation_answers_every_tool_alike_each_time(when):
    backend = MockBackend(TODAY)
    first = answer(Desk(backend), "get_forecast", location="Reno", datetime=when)
    assert first == answer(Desk(MockBackend(TODAY)), "get_forecast", location="Reno, NV", datetime=when)
    reading = backend.observation("Reno")
    assert (
        backend.forecast("Reno", "today")["low_f"]
        <= reading["temperature_f"]
        <= backend.forecast("Reno", "today")["high_f"]
    )
    assert answer(Desk(backend), "get_alerts", state="mo")["state"] == "MO"


@pytest.mark.parametrize(
    ("name", "arguments", "words"),
    [
        ("get_gossip", {}, "No tool is called"),
        ("get_forecast", {"location": "Reno"}, "'datetime' is a required property"),
        ("get_forecast", {"location": "Reno", "datetime": "today", "units": "F"}, "'units' was unexpected"),
        ("get_forecast", {"location": 7, "datetime": "today"}, "7 is not of type"),
        ("get_forecast", {"location": "  ", "datetime": "today"}, "location must be 1 to 200"),
        ("get_forecast", {"location": "R" * 201, "datetime": "today"}, "location must be 1 to 200"),
        ("get_forecast", {"location": "Re\x1bno", "datetime": "today"}, "readable"),
        ("get_alerts", {"state": "MO", "county": "Ralls"}, "'county' was unexpected"),
    ],
)
def test_a_call_that_does_not_fit_its_schema_is_refused_with_the_reason(name, arguments, words):
    with pytest.raises(BadUse, match=words):
        answer(Desk(MockBackend(TODAY)), name, **arguments)


class Slow(MockBackend):
    """A backend that takes its time, and counts who came."""

    asked = 0

    def forecast(self, location: str, when: str) -> dict[str, Any]:
        self.asked += 1
        if location == "Elko":
            time.sleep(0.5)
        return super().forecast(location, when)


def test_an_answer_is_given_again_while_it_is_fresh_and_failures_are_not_kept():
    now, backend = [0.0], Slow(TODAY)
    desk = Desk(backend, fresh_s=10.0, clock=lambda: now[0])
    for moment, asked in ((0.0, 1), (9.0, 1), (11.0, 2)):
        now[0] = moment
        answer(desk, "get_forecast", location="Reno", datetime="today")
        assert backend.asked == asked
    for asked in (3, 4):
        with pytest.raises(NoAnswer):
            answer(desk, "get_forecast", location="Fiddler's Elbow", datetime="today")
        assert backend.asked == asked


def test_a_backend_that_takes_too_long_is_a_timeout():
    with pytest.raises(NoAnswer, match="longer than") as caught:
        answer(Desk(Slow(TODAY), limit_s=0.05), "get_forecast", location="Elko", datetime="today")
    assert caught.value.code == "timeout"


@given(st.text(max_size=30), st.text(max_size=20))
def test_any_words_get_a_typed_answer_or_one_of_the_known_failures(location, when):
    try:
        found = answer(Desk(MockBackend(TODAY)), "get_forecast", location=location, datetime=when)
        assert set(FORECAST_KEYS) <= set(found)
    except NoAnswer as error:
        assert error.code in ERROR_CODES  # noqa: PT017 - an answer is as good
    except BadUse:
        assert not location.strip() or not when.strip() or not (location + when).isprintable()


def test_faults_are_asked_for_by_name():
    assert fault_of({"location": "fault:hang", "datetime": "today"}) == "hang"
    assert fault_of({"location": "Reno"}) is None
    with pytest.raises(NoAnswer, match="No fault is called"):
        fault_of({"location": "fault:earthquake"})


@pytest.mark.parametrize("where", ["0.0.0.0:80", "example.org:80", "127.0.0.1", "127.0.0.1:seven", "127.0.0.1:70000"])
def test_the_server_listens_on_this_machine_alone(where):
    with pytest.raises(BadUse):
        address(where)


def test_addresses_and_backends_are_read():
    assert address("127.0.0.1:8765") == ("127.0.0.1", 8765)
    assert address("[::1]:0") == ("::1", 0)
    assert weather_server.parse(["--backend", "mock", "--today", "2026-06-14"]).today == TODAY
    with pytest.raises(BadUse, match="nws, archive, mock"):
        open_backend("crystal-ball", None)  # type: ignore[arg-type]


# --- over the protocol ----------------------------------------------------------------------------------------------------


def test_a_client_sees_typed_answers_and_failures_as_errors_with_their_code():
    pytest.importorskip("mcp")
    from mcp import Client

    async def ask() -> tuple[Any, ...]:
        async with Client(weather_server.server(MockBackend(TODAY))) as client:
            listed = await client.list_tools()
            told_so = await client.call_tool("get_forecast", {"location": "Reno, NV", "datetime": "today"})
            unknown = await client.call_tool("get_forecast", {"location": "Fiddler's Elbow", "datetime": "today"})
            extra = await client.call_tool("get_forecast", {"location": "Reno", "datetime": "today", "units": "F"})
            return listed.tools, told_so, unknown, extra

    tools, told_so, unknown, extra = asyncio.run(ask())
    assert [tool.name for tool in tools] == list(INPUTS)
    for tool, declared in zip(tools, SERVED, strict=True):
        schema: Mapping[str, Any] = tool.input_schema
        assert {name: schema[name] for name in ("type", "properties", "required")} == declared["function"]["parameters"]
        assert tool.description == declared["function"]["description"]
    assert json.loads(told_so.content[0].text) == told_so.structured_content
    assert unknown.is_error
    assert json.loads(unknown.content[0].text)["error"] == "unknown_location"
    assert "'units' was unexpected" in json.loads(extra.content[0].text)["message"]


@contextlib.contextmanager
def over_http() -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A running server of simulated weather and its URL."""
    pytest.importorskip("mcp")
    command = [sys.executable, "-m", "resources.weather_server", "--backend", "mock", "--http", "127.0.0.1:0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stderr is not None
            yield process, next(line for line in process.stderr if "http://" in line).split()[-1]
        finally:
            process.kill()


@pytest.mark.slow
def test_the_server_answers_over_http_on_loopback():
    from resources.tool_client import ToolClient

    with over_http() as (_, url), ToolClient(url) as tools:
        found = tools.call("get_forecast", {"location": "Reno, NV", "datetime": "today"})
        assert not found.failed, found
        assert tools.call("get_forecast", {"location": "fault:html", "datetime": "today"}).fault == "html"


@pytest.mark.slow
def test_the_server_ends_when_told_to_though_a_client_holds_half_a_request():
    with over_http() as (process, url):
        host = urlsplit(url).netloc
        with socket.create_connection(host.split(":")) as client:
            client.sendall(f"POST /mcp HTTP/1.1\r\nHost: {host}\r\nContent-Length: 100\r\n\r\n".encode())
            time.sleep(1)  # half a request is none to the server before it has read it
            process.terminate()
            process.wait(weather_server.GRACE_S + 30)
