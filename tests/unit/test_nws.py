"""JSON of api.weather.gov, and whatever weather a file holds. Documents are ours; real ones are read in place."""

from __future__ import annotations

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twainbot.corpora import nws
from twainbot.corpora.material import Part
from twainbot.corpora.quantities import compass_point, quantity, speed
from twainbot.corpora.weather import weather_items
from twainbot.corpora.works import works_from_unit
from twainbot.errors import UnreadableSource

DAY = {
    "number": 1,
    "name": "Today",
    "startTime": "2026-06-14T06:00:00-05:00",
    "endTime": "2026-06-14T18:00:00-05:00",
    "isDaytime": True,
    "temperature": 81,
    "temperatureUnit": "F",
    "probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": 20},
    "windSpeed": "5 to 10 mph",
    "windDirection": "SW",
    "shortForecast": "Mostly Sunny",
    "detailedForecast": "Mostly sunny, with a high near 81.",
}
NIGHT = DAY | {
    "name": "Tonight",
    "isDaytime": False,
    "temperature": {"unitCode": "wmoUnit:degC", "value": 20.0},
    "probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": None},
    "windSpeed": {"unitCode": "wmoUnit:km_h-1", "value": 16.0},
    "detailedForecast": "",
    "shortForecast": "Clear",
}
FORECAST = {
    "type": "Feature",
    "geometry": {"type": "Polygon", "coordinates": [[[-91.36, 39.71], [-91.3, 39.7]]]},
    "properties": {"updateTime": "2026-06-14T10:00:00+00:00", "units": "us", "periods": [DAY, NIGHT]},
}
WARNING = {
    "@type": "wx:Alert",
    "id": "urn:oid:1",
    "areaDesc": "Marion; Ralls",
    "geocode": {"UGC": ["MOC127", "MOC173"]},
    "references": [],
    "sent": "2026-06-14T17:10:00-05:00",
    "onset": None,
    "ends": None,
    "expires": "2026-06-14T20:15:00-05:00",
    "status": "Actual",
    "messageType": "Alert",
    "event": "Flash Flood Warning",
    "senderName": "NWS Hannibal MO",
    "headline": None,
    "description": "The creek is up.\n\n  It means it.",
    "instruction": "Go uphill.",
    "parameters": {
        "NWSheadline": ["FLASH FLOOD WARNING UNTIL 815 PM"],
        "VTEC": ["/O.NEW.KHNB.FF.W.0009.260614T2210Z-260615T0115Z/"],
    },
}
MEASURED = {
    "station": "https://api.weather.gov/stations/KHAE",
    "timestamp": "2026-06-14T17:53:00+00:00",
    "textDescription": "Cloudy",
    "rawMessage": "KHAE 141753Z 15013KT",
    "temperature": {"unitCode": "wmoUnit:degC", "value": 25.0},
    "windSpeed": {"unitCode": "unit:m_s-1", "value": 10},
    "windDirection": {"unitCode": "unit:degree_(angle)", "value": 150},
    "dewpoint": {"unitCode": "unit:degC", "value": None},
    "barometricPressure": {"value": 100920, "unitCode": "unit:Pa"},
}
OBSERVATION = {"type": "Feature", "properties": MEASURED}
TEXT = (
    "\n000\nFXUS63 KHNB 142020\nAFDHNB\n\nArea Forecast Discussion\nNational Weather Service Hannibal MO\n"
    "220 PM CST Wed Jan 14 2026\n\n.SYNOPSIS...\nA fast clipper is on its way to us.\n\n$$\n"
)
ROW = {
    "id": "abc-1",
    "wmoCollectiveId": "FXUS63",
    "issuingOffice": "KHNB",
    "issuanceTime": "2026-01-14T20:20:00+00:00",
    "productCode": "AFD",
    "productName": "Area Forecast Discussion",
}
PRODUCT = ROW | {"productText": TEXT}
PROBLEM = {"type": "urn:noaa:nws:api:UnexpectedProblem", "title": "Unexpected Problem", "status": 500, "detail": "Oh."}


def items(document: object, url: str = "") -> list:
    return list(weather_items(json.dumps(document).encode(), url))


def alert(**changes: object) -> dict:
    return {"type": "Feature", "geometry": None, "properties": WARNING | changes}


def collection(*features: object) -> dict:
    return {
        "type": "FeatureCollection",
        "features": list(features),
        "title": "current watches, warnings, and advisories",
    }


def test_a_point_names_its_grid_cell_and_zone():
    near = {"properties": {"city": "Hannibal", "state": "MO"}}
    found = {"gridId": "HNB", "gridX": 33, "gridY": "37", "forecast": "https://x/forecast", "relativeLocation": near}
    point = nws.read_points({"properties": found | {"forecastZone": "https://x/zones/forecast/MOZ018"}})
    assert (point.office, point.grid_x, point.grid_y, point.zone) == ("HNB", 33, 37, "MOZ018")
    assert (point.city, point.state, point.forecast_url, point.hourly_url) == (
        "Hannibal",
        "MO",
        "https://x/forecast",
        "",
    )


@pytest.mark.parametrize("document", [None, [], {}, {"properties": None}, {"properties": {"gridX": 3}}])
def test_what_is_no_point_is_refused(document):
    with pytest.raises(UnreadableSource):
        nws.read_points(document)


def test_periods_come_in_fahrenheit_and_miles_with_their_originals():
    day, night = nws.read_forecast(FORECAST).periods
    assert (day.temperature_f, day.wind_mph, day.precipitation_chance, day.wind_direction) == (81, 10, 20, "SW")
    # 20 C is 68 F; 16 km/h / 1.609344 is 9.94 mph
    assert (night.temperature_f, night.wind_mph, night.precipitation_chance) == (68, 10, None)
    assert night.originals == {"temperature": [20.0, "degC"], "wind_speed": [16.0, "km_h-1"]}


@pytest.mark.parametrize(
    ("periods", "reason"),
    [
        ([], "no_periods"),
        ([{"name": None, "temperature": None, "shortForecast": None}], "empty_periods"),
        ([None, 3], "empty_periods"),
    ],
)
def test_a_forecast_that_says_nothing_says_why(periods, reason):
    assert nws.read_forecast({"properties": {"periods": periods}}).reject_reason == reason


def test_a_forecast_becomes_a_paragraph_per_period():
    (item,) = items(FORECAST, "https://api.weather.gov/gridpoints/HNB/33,37/forecast")
    assert item.text == "Today: Mostly sunny, with a high near 81.\n\nTonight: Clear."
    assert item.key == "forecast-hnb-33-37-2026-06-14t10-00-00-00-00"
    assert (item.author, item.issued_at) == ("National Weather Service HNB", "2026-06-14T10:00:00+00:00")
    figures = [(fact["high_f"], fact["low_f"], fact["condition"]) for fact in item.facts]
    assert figures == [(81, None, "mostly sunny"), (None, 68, "clear")]


def test_forecasts_of_two_cells_and_two_days_have_different_keys():
    later = FORECAST | {"properties": FORECAST["properties"] | {"updateTime": "2026-06-15T10:00:00+00:00"}}
    asked = [(FORECAST, "/gridpoints/HNB/33,37/"), (FORECAST, "/gridpoints/HNB/33,38/"), (later, ""), (FORECAST, "")]
    assert len({items(document, url)[0].key for document, url in asked}) == 4


def test_hourly_figures_are_facts_and_no_prose():
    hour = DAY | {"name": "", "detailedForecast": ""}
    (item,) = items({"properties": {"forecastGenerator": "HourlyForecastGenerator", "periods": [hour, hour]}})
    assert (item.text, item.reject_reason, len(item.facts)) == ("", "no_prose", 2)
    assert nws.read_hourly({"properties": {"periods": [hour]}}).is_hourly


def test_an_observation_keeps_the_original_beside_the_conversion():
    read = nws.read_observation(OBSERVATION)
    wind = read.measures["windSpeed"]
    assert (read.station, read.measures["temperature"].value, read.wind_direction) == ("KHAE", 77.0, "SSE")
    assert (wind.whole, wind.unit, wind.original, wind.original_unit) == (22, "mph", 10, "m_s-1")  # 36 / 1.609344
    assert read.measures["dewpoint"].value is None
    assert read.measures["barometricPressure"].value == 1009.2
    (item,) = items({"features": [OBSERVATION]})
    assert (item.reject_reason, item.facts[0]["temperature_f"]) == ("no_prose", 77)


@pytest.mark.parametrize(
    ("found", "value"),
    [
        ("41", 41),
        (None, None),
        (True, None),
        ("nan", None),
        ("1e999", None),
        ({"value": "5"}, 5),
        ({"value": None}, None),
        ([], None),
        ("warm", None),
    ],
)
def test_numbers_are_read_out_of_numbers_and_numerals_only(found, value):
    assert quantity(found, "F").value == value


@pytest.mark.parametrize(
    ("found", "mph"),
    [
        ("5 to 10 mph", 10),
        ("16 km/h", 10),
        ("10 kt", 12),
        ("0 mph", 0),
        ("", None),
        (None, None),
        ({"unitCode": "wmoUnit:km_h-1", "minValue": 8, "maxValue": 32.18688}, 20),
    ],
)
def test_wind_speeds_of_every_form_become_miles(found, mph):
    assert speed(found).whole == mph


def test_sixteen_points_of_the_compass():
    assert [compass_point(degrees) for degrees in (0, 11, 12, 349, 360, None)] == ["N", "N", "NNE", "N", "N", None]


def test_an_alert_keeps_the_official_words():
    (item,) = items(collection(alert()))
    assert item.text == "FLASH FLOOD WARNING UNTIL 815 PM\n\nThe creek is up.\n\n  It means it.\n\nGo uphill."
    assert (item.key, item.title) == ("alert-urn-oid-1", "Flash Flood Warning")
    assert item.author == "National Weather Service Hannibal MO"
    assert item.facts[0]["zones"] == ["MOC127", "MOC173"]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"status": "Test"}, "test_message"),
        ({"status": "Exercise"}, "test_message"),
        ({"event": "Test Message"}, "test_message"),
        ({"parameters": {"VTEC": ["/T.NEW.KHNB.FF.W.0009.260614T2210Z-260615T0115Z/"]}}, "test_message"),
        ({"status": "Draft"}, "not_actual"),
        ({"status": None}, "not_actual"),
        ({"description": None, "instruction": None, "parameters": None}, "no_text"),
        ({}, None),
    ],
)
def test_alerts_that_are_no_alerts_say_why(changes, reason):
    (read,) = nws.read_alerts(collection(alert(**changes)))
    assert read.reject_reason == reason


def test_an_update_supersedes_and_a_test_does_not():
    earlier = [{"@id": "https://x/urn:oid:1", "identifier": "urn:oid:1"}]
    update = alert(id="urn:oid:2", messageType="Update", references=earlier)
    cap = alert(id="urn:oid:2", messageType="Cancel", references="w@noaa.gov,urn:oid:1,2026-06-14T17:10:00-05:00")
    test = alert(id="urn:oid:2", status="Test", references=earlier)
    reasons = [
        [read.reject_reason for read in nws.read_alerts(collection(alert(), later))] for later in (update, cap, test)
    ]
    assert reasons == [["superseded", None], ["superseded", None], [None, "test_message"]]


@pytest.mark.parametrize("document", [{"@graph": [WARNING]}, alert(), WARNING, collection(alert())])
def test_alerts_of_every_shape_are_read(document):
    assert [read.id for read in nws.read_alerts(document)] == ["urn:oid:1"]
    assert [item.key for item in items(document)] == ["alert-urn-oid-1"]


def test_an_alert_without_properties_is_a_recorded_reject():
    found = items(collection(alert(), {"type": "Feature"}, None))
    assert [item.reject_reason for item in found] == [None, "no_properties", "no_properties"]


def test_a_product_and_the_list_of_products():
    assert nws.read_product(PRODUCT).text == TEXT
    (row,) = nws.read_product_list({"@graph": [ROW, {"id": None}, 3]})
    assert (row.id, row.code, row.office, row.text) == ("abc-1", "AFD", "KHNB", "")
    with pytest.raises(UnreadableSource, match="productText"):
        nws.read_product(ROW)
    with pytest.raises(UnreadableSource, match="@graph"):
        nws.read_product_list([])


def test_a_product_has_one_key_however_it_came():
    keys = {items(PRODUCT)[0].key, *(item.key for item in weather_items(TEXT.encode()))}
    assert keys == {"afdhnb-20260114-142020"}


def test_a_list_with_texts_gives_works_and_its_bare_rows_are_rejects():
    assert [item.reject_reason for item in items({"@graph": [PRODUCT, ROW]})] == [None, "index_only"]


def test_an_archive_dump_is_cut_at_its_frames():
    raw = f"\x01{TEXT}\x03\x01{TEXT.replace('14', '15')}\x03".encode()
    assert [item.key for item in weather_items(raw)] == ["afdhnb-20260114-142020", "afdhnb-20260115-152020"]


def test_json_lines_and_lists_hold_several_documents():
    lines = b"\n".join(json.dumps(document).encode() for document in (PRODUCT, FORECAST))
    assert [item.title for item in weather_items(lines)] == [item.title for item in items([PRODUCT, FORECAST])]


EXPIRED = {"type": "https://api.weather.gov/problems/ForecastGridExpired", "status": 503, "detail": "old"}
NO_POINT = {"type": "https://api.weather.gov/problems/InvalidPoint", "status": 404, "detail": "sea"}


@pytest.mark.parametrize(
    ("status", "body", "kind", "passing"),
    [
        (503, json.dumps(EXPIRED), "ForecastGridExpired", True),
        (404, json.dumps(NO_POINT), "InvalidPoint", False),
        (500, json.dumps(PROBLEM), "UnexpectedProblem", True),
        (500, json.dumps(PROBLEM | {"status": None}), "UnexpectedProblem", True),
        (403, "Access Denied\nYou don't have permission", "AccessDenied", False),
        (403, "<html><body>Access Denied</body></html>", "AccessDenied", False),
        (429, "", "RateLimited", True),
        (200, "<html><body>maintenance</body></html>", "HtmlPage", True),
        (502, '{"message": "bad gateway"}', "HTTP502", True),
        (410, "", "HTTP410", False),
        (200, json.dumps(FORECAST), "NotAProblem", False),
    ],
)
def test_problems_of_every_form_are_named(status, body, kind, passing):
    content = "text/html" if body[:1] == "<" else "application/problem+json"
    problem = nws.read_problem(status, {"Content-Type": content}, body.encode())
    assert (problem.kind, problem.passing) == (kind, passing)
    assert problem.detail


@pytest.mark.parametrize(
    "raw",
    [
        json.dumps(FORECAST).encode()[:200],
        b"<html><body>Service down</body></html>",
        b"<!DOCTYPE html>\n<html></html>",
        b"\x89PNG\r\n\x1a\n" + bytes(range(256)),
        b"",
        b"{}",
        b"[]",
        b"[" * 100_000,
        b"null",
        json.dumps(PROBLEM).encode(),
        json.dumps({"@graph": [ROW]}).encode(),
        json.dumps(collection(alert(status="Test"))).encode(),
        json.dumps({"properties": {"periods": []}}).encode(),
        json.dumps({"properties": {"periods": None}}).encode(),
        json.dumps(PRODUCT | {"productText": ""}).encode(),
        json.dumps(PRODUCT | {"productText": None}).encode(),
        b"Dear Sir, it rained here for a week.",
    ],
)
def test_a_file_without_anything_to_use_is_refused_in_one_sentence(raw):
    with pytest.raises(UnreadableSource) as caught:
        list(weather_items(raw))
    assert str(caught.value).endswith(".")


def test_another_charset_is_read():
    accented = PRODUCT | {"productText": TEXT.replace("clipper", "café")}
    raw = json.dumps(accented, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "latin-1", "utf-16"):
        (item,) = weather_items(raw.encode(encoding))
        assert "A fast café is on" in item.text, encoding


def test_half_a_character_does_not_reach_the_table():
    raw = json.dumps(PRODUCT | {"productText": TEXT.replace("clipper", "clipper \ud83c")}).encode()
    assert works_from_unit("weather", "HNB-2026", raw)["reject_reason"].to_list() == [None]


_NAMES = [
    *DAY,
    *WARNING,
    *FORECAST,
    *MEASURED,
    *PRODUCT,
    "features",
    "@graph",
    "periods",
    "value",
    "maxTemperature",
    "values",
]
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(_NAMES), inner, max_size=6),
    max_leaves=40,
)


def usable(document: object) -> list:
    """The items of a document, or none where the one allowed error says so."""
    try:
        return items(document)
    except UnreadableSource:
        return []


@settings(deadline=None)
@given(_JSON)
def test_json_of_any_shape_gives_items_or_one_plain_error(document):
    assert all(item.key and (item.text or item.reject_reason) for item in usable(document))


@settings(deadline=None)
@given(st.sampled_from([DAY, WARNING, MEASURED, PRODUCT]), st.data())
def test_nulls_and_odd_values_anywhere_never_raise(base, data):
    odd = st.sampled_from([None, "", "x", [], {}, -1, "12", {"value": None}, {"unitCode": None, "value": []}])
    changed = base | data.draw(st.dictionaries(st.sampled_from(sorted(base)), odd, max_size=8))
    document = {"periods": [changed]} if base is DAY else changed
    found = usable(document if base is PRODUCT else {"properties": document})
    assert all(item.text or item.reject_reason for item in found)


def test_the_works_of_a_unit_carry_text_reason_and_facts():
    raw = json.dumps([FORECAST, OBSERVATION, collection(alert(), alert(id="urn:oid:9", status="Test"))]).encode()
    frame = works_from_unit("weather", "HNB-2026", raw)
    assert frame["reject_reason"].to_list() == [None, "no_prose", None, "test_message"]
    assert frame["text"].to_list()[1] == frame["text"].to_list()[3] == ""
    assert all(row["facts"] for row in map(json.loads, frame["extra"].to_list()[:3]))
    assert frame["rights"].unique().to_list() == ["public_domain"]


@pytest.mark.shared
def test_every_real_document_gives_items_or_one_plain_error(shared_data):
    refused = []
    for path in sorted((shared_data / "nws" / "api").glob("**/*.json")):
        try:
            found = list(weather_items(path.read_bytes()))
        except UnreadableSource:
            refused.append(path.name)
            continue
        assert all(item.text or item.reject_reason for item in found), path.name
    indexes = ("points", "stations.json", "types__AFD", "problem_", "empty", "noprop", "missing_value", "briefing")
    assert [name for name in refused if not any(mark in name for mark in indexes)] == []


@pytest.mark.shared
def test_the_real_active_alerts_hold_one_test_message(shared_data):
    raw = (shared_data / "nws" / "api" / "transcribed" / "alerts_active_2026-09-02.json").read_bytes()
    assert [item.reject_reason for item in weather_items(raw)].count("test_message") == 1


@pytest.mark.shared
def test_the_real_problems_are_passing_or_not(shared_data):
    folder = shared_data / "nws" / "api" / "transcribed"
    found = {}
    for path in folder.glob("problem_*.json"):
        _, status, kind = path.stem.split("_")
        problem = nws.read_problem(int(status), {"content-type": "application/problem+json"}, path.read_bytes())
        assert problem.kind == kind
        found[kind] = problem.passing
    passing = {"ForecastGridExpired": True, "UnavailableWebService": True, "UnexpectedProblem": True}
    assert found == passing | {"InvalidPoint": False}
    assert nws.read_problem(403, {}, (folder / "denied_403_no_user_agent.txt").read_bytes()).kind == "AccessDenied"


def test_the_active_alerts_of_a_quiet_day_are_an_answer_and_no_row():
    assert list(weather_items(json.dumps(collection()).encode())) == []
    assert list(weather_items(b'{"@context": [], "@graph": []}')) == []
    parts = tuple(Part(json.dumps(found).encode()) for found in (FORECAST, collection()))
    frame = works_from_unit("weather", "HNB", parts)
    assert frame["reject_reason"].to_list() == [None]
