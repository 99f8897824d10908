"""Results of other people's weather tools as fact sheets: weather.gov, Open-Meteo, OpenWeather, and what MCP servers write."""

from __future__ import annotations

import pytest

from twainbot.evals.facts import read_result


def sheet(**fields):
    """The one sheet of a result for Reno."""
    (found,) = read_result({"city": "Reno", "temp": 50, **fields}).sheets
    return found


def test_a_period_has_the_day_on_which_it_begins_and_not_that_of_the_bulletin_or_its_end():
    periods = [
        {"name": "Wednesday", "startTime": "2026-10-07T06:00:00-05:00", "endTime": "2026-10-07T18:00:00-05:00",
         "temperature": 66, "temperatureUnit": "F", "isDaytime": True},
        {"name": "Wednesday Night", "startTime": "2026-10-07T18:00:00-05:00", "endTime": "2026-10-08T06:00:00-05:00",
         "temperature": 48, "temperatureUnit": "F", "isDaytime": False},
    ]  # fmt: skip
    written = {"units": "us", "generatedAt": "2026-10-06T03:11:00+00:00", "updateTime": "2026-10-06T02:05:00+00:00"}
    day, night = read_result({"properties": {**written, "periods": periods}}).sheets
    assert day.days == {"Wednesday", "2026-10-07", "wednesday"}
    assert night.days == {"Wednesday Night", "2026-10-07", "wednesday"}


@pytest.mark.parametrize("key", ["updated_date", "generatedTime", "validTime", "created_datetime", "expires_date"])
def test_when_a_result_was_made_or_runs_out_is_no_day_of_its_weather(key):
    assert sheet(date="2026-10-07", **{key: "2026-10-04T10:00:00Z"}).days == {"2026-10-07", "wednesday"}


def test_the_last_day_of_a_stretch_is_a_day_of_it():
    assert sheet(start_date="2026-10-10", end_date="2026-10-11").days >= {"saturday", "sunday"}


@pytest.mark.parametrize(
    "amount",
    [{"precipitation": 0.3}, {"rain": {"1h": 0.5}}, {"precipitation_hours": 3}, {"precip": 2}, {"rain_max": 12},
     {"precipitation": "0.3 mm"}],
)  # fmt: skip
def test_how_much_rain_falls_is_no_chance_of_it_and_no_temperature(amount):
    found = sheet(**amount)
    assert (found.chances, found.highs, found.temperatures) == ((), (), (50.0,))


@pytest.mark.parametrize(
    ("fields", "percent"),
    [
        ({"rain_chance": 20}, 20),
        ({"precipitation_probability_max": 35}, 35),
        ({"rain": "30%"}, 30),
        ({"precipitation": "30 percent"}, 30),
        ({"precip_pct": 30}, 30),
        ({"pop": 30}, 30),
        ({"pop": 0}, 0),
        ({"chance": 1}, 1),
        ({"probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": 1}}, 1),
        # of 1, as OpenWeather's are
        ({"pop": 0.4}, 40),
        ({"pop": 1}, 100),
        ({"pop": 1.0}, 100),
        ({"pop": "0.4"}, 40),
        ({"precipProbability": 1.0}, 100),
    ],
)
def test_a_chance_is_known_by_its_name_or_its_percent_sign(fields, percent):
    assert sheet(**fields).chances == (percent,)


@pytest.mark.parametrize(
    "key",
    ["cloud_cover_high", "cloud_cover_low", "uv_index_max", "pressure_min", "visibility_max", "tide_high", "snowfall_max",
     "windspeed_10m_max", "weather_code_max"],
)  # fmt: skip
def test_highs_and_lows_of_other_things_are_no_temperatures(key):
    found = sheet(**{key: 9})
    assert (found.highs, found.lows, found.temperatures) == ((), (), (50.0,))


@pytest.mark.parametrize("key", ["high", "temp_max", "maxtemp_f", "forecast_day_high", "maximum"])
def test_a_bare_high_is_a_temperature(key):
    assert sheet(**{key: 71}).highs == (71.0,)


@pytest.mark.parametrize(
    ("written", "read"),
    [("5-10", (5, 10)), ("5–10", (5, 10)), ("5 - 10", (5, 10)), ("-10 to -5", (-10, -5)), ("-10--5", (-10, -5)),
     ("−5 to 5", (-5, 5)), ("5°-10°", (5, 10))],
)  # fmt: skip
def test_a_minus_between_two_numbers_is_a_range_and_before_one_a_sign(written, read):
    assert sheet(range_temperature=written).temperatures == (50, *read)


def test_a_wind_from_five_to_ten_is_one_range():
    assert sheet(wind="5-10 mph").winds == ((5.0, 10.0),)


def test_a_wind_chill_is_a_temperature_and_no_wind():
    found = sheet(windChill={"unitCode": "wmoUnit:degF", "value": 23})
    assert (found.winds, found.directions, found.temperatures) == ((), (), (50.0, 23.0))


def test_the_unit_of_a_grid_is_no_reading():
    assert sheet(windSpeed={"uom": "wmoUnit:km_h-1", "values": []}).winds == ()


def test_the_units_of_a_current_reading_stand_beside_it():
    told = {
        "current_units": {"time": "iso8601", "temperature_2m": "°C", "wind_speed_10m": "km/h"},
        "current": {"time": "2026-10-06T12:00", "temperature_2m": 21.5, "wind_speed_10m": 16.1},
        "current_weather": {"temperature": 21.5},
    }
    (sheet,) = [sheet for sheet in read_result(told).sheets if sheet.winds]
    assert sheet.temperatures[0] == pytest.approx(70.7)
    assert sheet.winds == ((pytest.approx(10.0, abs=0.01), pytest.approx(10.0, abs=0.01)),)
    assert sheet.unit == "C"  # in which a bare figure of a reply is meant


@pytest.mark.parametrize("chance", [0.8, 1.0, 35])
def test_a_chance_in_a_column_of_percent_is_no_share_of_one(chance):
    told = {
        "daily_units": {"time": "iso8601", "precipitation_probability_mean": "%", "relative_humidity_2m_mean": "%"},
        "daily": {
            "time": ["2026-10-06"],
            "precipitation_probability_mean": [chance],
            "relative_humidity_2m_mean": [60],
        },
    }
    (sheet,) = read_result(told).sheets
    assert (sheet.chances, sheet.humidities) == ((chance,), (60,))


@pytest.mark.parametrize(
    ("posted", "read"),
    [
        (["Flood Watch"], ("Flood Watch",)), ("Flood Watch", ("Flood Watch",)), ([], ()), ("None", ()), (None, None),
        ([{"event": "Flood Watch", "headline": "Rivers rise"}], ("Flood Watch",)),
        ({"alert": [{"headline": "Heat"}]}, ("Heat",)), ([{"id": 5}], None), (True, None), (3, None),
    ],
)  # fmt: skip
def test_alerts_are_read_in_each_form_and_nothing_is_said_where_none_can_be(posted, read):
    assert sheet(alerts=posted).alerts == read
