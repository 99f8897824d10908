"""Tools that dialogues offer: schemas, names, arguments out of an ask, and results that the evaluators can read."""

from __future__ import annotations

import json
import random
from datetime import date
from typing import Any

import pytest

from twainbot.dialogues import situations, toolbox, tools, weather
from twainbot.errors import BadUse
from twainbot.evals.facts import read_result

OFFERS = [
    *((name, dialect) for name in toolbox.weather_tools() for dialect in range(toolbox.dialects(name))),
    *((name, 0) for name in toolbox.other_tools()),
]
RESULT: dict[str, Any] = {
    "location": "Reno, NV", "datetime": "tomorrow", "date": "2026-05-02", "weekday": "Saturday",
    "condition": "partly cloudy", "high_f": 71, "low_f": 52, "precipitation_chance": 30, "wind_mph": 12,
    "wind_direction": "SW", "alerts": [],
}  # fmt: skip
LATER = {**RESULT, "date": "2026-05-03", "weekday": "Sunday", "condition": "rain", "high_f": 60, "low_f": 49}


def ask(**changes: Any) -> dict[str, Any]:
    """A question about Reno with all that any tool needs to be called."""
    extra = {
        "observed": "14:00", "temperature_f": 66, "humidity": 40, "alerts": ["Wind Advisory"], "days": [LATER],
        "parts": [{"part": "morning", "condition": "sunny", "temp_f": 58}],
    }  # fmt: skip
    made = {
        "frames": "q", "intent": "general", "location": "Reno, Nevada", "datetime": "tomorrow", "date": "2026-05-02",
        "state": "NV", "count": 2, "extra": extra, "result": RESULT,
    }  # fmt: skip
    return {**made, **changes}


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer[0]}-{offer[1]}")
def test_a_served_name_is_legal_and_leads_back_to_the_stored_one(offer: toolbox.Offer):
    function = toolbox.schema(offer)["function"]
    assert function["name"] == offer[0]
    assert function["name"].replace("_", "").isalnum()
    assert tools.served_name(toolbox.stored(offer[0])) == offer[0]


def test_no_two_tools_share_a_stored_name():
    names = [*toolbox.weather_tools(), *toolbox.other_tools()]
    assert len({toolbox.stored(name) for name in names}) == len(names)


def test_get_weather_is_itself_where_it_is_offered_and_an_alias_elsewhere():
    assert toolbox.stored("get_weather") == "get_weather"
    assert tools.stored_name("get_weather") == "weather_api.get_forecast"
    assert tools.stored_name("get_weather", offered=["get_forecast"]) == "weather_api.get_forecast"


@pytest.mark.parametrize("offer", OFFERS, ids=lambda offer: f"{offer[0]}-{offer[1]}")
def test_a_schema_says_nothing_of_roles_and_stays_short(offer: toolbox.Offer):
    schema = toolbox.schema(offer)
    assert "role" not in json.dumps(schema).replace('"role"', "role").split('"')
    assert set(schema["function"]["parameters"]["required"]) <= set(schema["function"]["parameters"]["properties"])
    assert len(json.dumps(schema)) < 520  # the house's own has 432 characters


@pytest.mark.parametrize("name", [name for name in toolbox.weather_tools() if name != toolbox.HOUSE])
def test_every_tool_but_the_houses_comes_in_dialects_with_other_parameters_or_words(name: str):
    made = [json.dumps(toolbox.schema((name, dialect)), sort_keys=True) for dialect in range(toolbox.dialects(name))]
    assert len(set(made)) == len(made) >= 2


@pytest.mark.parametrize(
    ("offer", "arguments"),
    [
        (("get_forecast", 0), {"location": "Reno, Nevada", "datetime": "tomorrow"}),
        (("get_weather", 0), {"city": "Reno, Nevada", "date": "tomorrow", "units": "fahrenheit"}),
        (("get_weather", 1), {"city": "Reno, Nevada", "date": "2026-05-02", "units": "fahrenheit"}),
        (("get_weather", 2), {"town": "Reno, Nevada", "when": "tomorrow"}),
        (("daily_outlook", 1), {"on_date": "2026-05-02", "town": "Reno, Nevada"}),
        (("get_alerts", 0), {"state": "NV"}),
        (("get_extended_forecast", 1), {"num_days": 2, "city": "Reno, Nevada"}),
    ],
    ids=str,
)
def test_arguments_follow_the_schema_that_is_offered(offer: toolbox.Offer, arguments: dict[str, Any]):
    assert toolbox.arguments(offer, ask()) == arguments


def test_an_optional_unit_is_named_where_it_is_not_the_default():
    assert toolbox.arguments(("get_weather", 2), ask(units="celsius"))["unit"] == "celsius"


def test_an_ask_that_lacks_what_the_tool_requires_is_refused():
    with pytest.raises(BadUse, match="state"):
        toolbox.arguments(("get_alerts", 0), {**ask(), "state": None})


def test_an_unknown_tool_is_named():
    with pytest.raises(BadUse, match="get_rich"):
        toolbox.schema(("get_rich", 0))


@pytest.mark.parametrize("name", ["get_forecast", "get_weather", "daily_outlook"])
def test_the_daily_tools_state_the_same_figures(name: str):
    (sheet,) = read_result(toolbox.result((name, 0), ask())).sheets
    assert (sheet.place, sheet.highs, sheet.lows, sheet.chances) == ("Reno, NV", (71.0,), (52.0,), (30.0,))
    assert sheet.winds == ((12.0, 12.0),)
    assert "saturday" in {day.lower() for day in sheet.days}


def test_celsius_is_converted_exactly_by_the_tool_that_has_units():
    made = toolbox.result(("get_weather", 0), ask(units="celsius"))
    # (71 - 32) / 1.8 = 21.7, (52 - 32) / 1.8 = 11.1, 12 x 1.609 = 19.3
    assert (made["high"], made["low"], made["wind"]) == (22, 11, "19 km/h SW")
    assert read_result(made).sheets[0].directions == (225.0,)


def test_the_other_tools_results_are_read_by_their_own_figures():
    now = read_result(toolbox.result(("get_current_conditions", 0), ask())).sheets[0]
    assert (now.temperatures, now.humidities) == ((66.0,), (40.0,))
    posted = read_result(toolbox.result(("get_alerts", 0), ask())).sheets[0]
    assert (posted.place, posted.alerts) == ("Nevada", ("Wind Advisory",))
    days = read_result(toolbox.result(("get_extended_forecast", 0), ask())).sheets
    assert [sheet.highs for sheet in days] == [(71.0,), (60.0,)]
    assert read_result(toolbox.result(("get_day_parts", 0), ask())).sheets[0].temperatures == (58.0,)


@pytest.mark.parametrize("name", toolbox.weather_tools())
def test_a_failure_is_the_same_for_every_tool(name: str):
    failed = weather.failure("timeout", "Reno", "tomorrow")
    assert toolbox.result((name, 0), ask(result=failed)) == failed


def test_a_stale_result_says_when_it_was_issued():
    assert toolbox.result(("get_forecast", 0), ask(issued_at="2026-04-29 04:00"))["issued_at"] == "2026-04-29 04:00"


@pytest.mark.parametrize("seed", range(40))
def test_an_offer_holds_the_called_tool_once_and_no_rival_of_it(seed: int):
    rng = random.Random(seed)
    primary = toolbox.daily(rng)
    names = [name for name, _ in toolbox.offers(primary, rng, rivals=["get_alerts"])]
    assert names.count(primary[0]) == 1
    assert len(set(names)) == len(names) <= 4
    assert not {*toolbox.DAILY, "get_alerts"} & set(names) - {primary[0]}


def test_tools_without_a_forecast_hold_none():
    rng = random.Random(3)
    for _ in range(20):
        names = {name for name, _ in toolbox.without_forecast(rng)}
        assert not names & {*toolbox.DAILY, "get_day_parts", "get_extended_forecast", "get_alerts"}


def test_a_day_that_a_schema_wants_as_a_date_is_the_forecasts_date():
    rng, today = random.Random(5), date(2026, 5, 1)
    for _ in range(60):
        talk = situations.weather_talk(rng, today, None)
        if (
            "call" not in talk
            or "date" not in toolbox.roles(talk["call"]).values()
            or "error" in talk["asks"][0]["result"]
        ):
            continue
        assert talk["says_today"]
        assert talk["asks"][0]["date"] == talk["asks"][0]["result"]["date"]
