"""Simulated forecasts: plausible, honest about failure, and the same on every machine."""

from __future__ import annotations

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.dialogues import weather
from twainbot.dialogues.tools import ERROR_CODES, FORECAST_KEYS
from twainbot.errors import BadUse

FRIDAY = date(2026, 5, 1)
DAYS = st.dates(date(2026, 1, 1), date(2027, 12, 31))
PLACES = st.sampled_from(weather.places())


@given(PLACES, DAYS, st.integers(0, 2**31))
def test_any_forecast_is_physically_consistent(place, today, seed):
    result = weather.simulate(place.canonical, "tomorrow", today, seed)
    assert tuple(result) == FORECAST_KEYS
    assert result["low_f"] < result["high_f"]
    if "snow" in result["condition"]:
        assert result["high_f"] <= weather.SNOW_MAX_HIGH_F
        assert result["low_f"] <= 32
    if result["condition"] == "thunderstorms":
        assert result["high_f"] >= weather.STORM_MIN_HIGH_F
    chances, winds = weather.CONDITIONS[result["condition"]]
    assert chances[0] <= result["precipitation_chance"] <= chances[1]
    assert winds[0] <= result["wind_mph"] <= winds[1]
    assert result["date"] == (today + timedelta(days=1)).isoformat()
    assert result["weekday"] == (today + timedelta(days=1)).strftime("%A")


@given(PLACES, DAYS, st.integers(0, 1000))
def test_equal_inputs_give_equal_forecasts_and_tonight_agrees_with_today(place, today, seed):
    once, again = (weather.simulate(place.canonical, "tonight", today, seed) for _ in range(2))
    assert once == again
    by_day = weather.simulate(place.canonical, "today", today, seed)
    assert (once["high_f"], once["low_f"], once["wind_mph"]) == (by_day["high_f"], by_day["low_f"], by_day["wind_mph"])
    assert "sunny" not in once["condition"]


@pytest.mark.parametrize(
    ("word", "day"),
    [
        ("today", FRIDAY),
        ("tonight", FRIDAY),
        ("tomorrow", date(2026, 5, 2)),
        ("Tomorrow morning", date(2026, 5, 2)),
        ("this weekend", date(2026, 5, 2)),
        ("Saturday", date(2026, 5, 2)),
        ("on Thursday", date(2026, 5, 7)),
        ("Friday", date(2026, 5, 8)),
        ("day after tomorrow", date(2026, 5, 3)),
        ("2026-07-04", date(2026, 7, 4)),
        ("someday", None),
    ],
)
def test_a_day_word_means_the_next_such_day_seen_from_a_friday(word, day):
    assert weather.resolve(word, FRIDAY) == day


def test_julys_mean_high_in_duluth_exceeds_januarys_by_about_the_climates_sixty_degrees():
    def mean(month: int) -> float:
        highs = [weather.simulate("Duluth", "today", date(2026, month, 20), seed)["high_f"] for seed in range(200)]
        return sum(highs) / len(highs)

    assert 83 - 22 - 6 < mean(7) - mean(1) < 83 - 22 + 6


def test_the_southern_hemisphere_is_warm_in_january():
    climate = weather.climates()["southern_temperate"]
    assert climate.warmth(date(2026, 1, 21)) > 0.99 > 0.01 > climate.warmth(date(2026, 7, 22))


def test_an_unknown_place_is_an_error_unless_a_climate_stands_in_for_it():
    assert weather.simulate("Port Nonesuch", "today", FRIDAY, 1)["error"] == "unknown_location"
    stood_in = weather.simulate("Port Nonesuch", "today", FRIDAY, 1, climate_elsewhere="oceanic")
    assert stood_in["location"] == "Port Nonesuch"
    assert stood_in["low_f"] < stood_in["high_f"]


@pytest.mark.parametrize("word", ["2026-05-16", "2026-04-30", "whenever"])
def test_no_forecast_reaches_past_fourteen_days_or_into_the_past(word):
    assert weather.simulate("Reno", word, FRIDAY, 1)["error"] == "no_data_for_date"


def test_the_error_rate_is_met_within_sampling_error():
    # 400 draws at 0.25: mean 100, standard deviation 8.7; four of them are 35
    failed = sum("error" in weather.simulate("Reno", "today", FRIDAY, seed, error_rate=0.25) for seed in range(400))
    assert 65 <= failed <= 135


def test_every_error_code_has_words_and_an_unknown_one_is_refused():
    assert {weather.failure(code, "Reno", "today")["error"] for code in ERROR_CODES} == set(ERROR_CODES)
    with pytest.raises(BadUse, match="rate_limited"):
        weather.failure("rate_limited", "Reno", "today")


def test_there_are_at_least_220_places_none_in_a_region_of_the_evaluation():
    assert len({place.canonical for place in weather.places()}) >= 220
    assert {place.region for place in weather.places()}.isdisjoint(weather.reserved_regions())
    assert {"Kentucky", "Vermont", "Japan", "Canada"} < set(weather.reserved_regions())
    assert sum(" " in place.town for place in weather.places()) >= 80


@given(PLACES)
def test_every_spelling_that_users_are_given_finds_its_place(place):
    assert {weather.find(spelling) for spelling in weather.spellings(place)} == {place}
    assert weather.find(place.spellings[1].lower()) == place


def test_a_town_of_several_regions_is_ambiguous_and_never_written_bare():
    towns = weather.ambiguous_towns()
    assert {place.region for place in towns["Springfield"]} >= {"Illinois", "Missouri", "Massachusetts"}
    assert all(town not in weather.spellings(place) for town, same in towns.items() for place in same)
    assert "Hannibal" not in towns


@pytest.mark.parametrize(("town", "state"), [("Canton", "KY"), ("Bowling Green", "MO")])
def test_a_bulletins_town_of_the_evaluation_is_reserved_by_its_state_or_its_name(town, state):
    assert weather.is_reserved(town, state)
    assert not weather.is_reserved("Canton", "MO")


def test_no_heat_is_posted_in_a_winter_and_no_snow_in_a_summer():
    duluth = weather.find("Duluth, Minnesota")
    assert duluth is not None
    assert "Heat Advisory" not in weather.alert_names(duluth, date(2026, 1, 15))
    assert "Winter Storm Warning" not in weather.alert_names(duluth, date(2026, 7, 15))
