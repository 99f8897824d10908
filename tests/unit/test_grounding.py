"""Claims in replies against tool results: every case of the shipped list, in Twain's voice where it matters."""

from __future__ import annotations

import json
import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fuzz.campaign import limited
from twainbot.evals import grounding
from twainbot.evals.claims import assertions
from twainbot.evals.facts import read_result
from twainbot.evals.numerals import number_of, numerals

HANNIBAL = {
    "location": "Hannibal, MO",
    "datetime": "tomorrow",
    "date": "2026-05-02",
    "weekday": "Saturday",
    "condition": "partly cloudy",
    "high_f": 71,
    "low_f": 52,
    "precipitation_chance": 30,
    "wind_mph": 12,
    "wind_direction": "SW",
    "alerts": [],
}
SUNNY = {**HANNIBAL, "condition": "sunny", "precipitation_chance": 0, "wind_mph": 4}
RAINY = {**HANNIBAL, "condition": "rain showers", "precipitation_chance": 80}
SNOWY = {**HANNIBAL, "condition": "light snow", "high_f": 30, "low_f": 18, "precipitation_chance": 90}
RENO = {**HANNIBAL, "location": "Reno, NV", "condition": "sunny", "high_f": 88, "low_f": 55, "precipitation_chance": 0}
ERROR = {"error": "unknown_location", "message": "No such place."}
PERIODS = {
    "properties": {
        "periods": [
            {
                "name": "Saturday",
                "startTime": "2026-05-02T06:00:00-05:00",
                "isDaytime": True,
                "temperature": 71,
                "temperatureUnit": "F",
                "probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": 30},
                "windSpeed": "5 to 10 mph",
                "windDirection": "SW",
                "shortForecast": "Partly Sunny",
                "detailedForecast": "Partly sunny, with a high near 71. Southwest wind 5 to 10 mph.",
            },
            {
                "name": "Saturday Night",
                "isDaytime": False,
                "temperature": 52,
                "temperatureUnit": "F",
                "probabilityOfPrecipitation": {"unitCode": "wmoUnit:percent", "value": None},
                "windSpeed": "5 mph",
                "windDirection": "S",
                "shortForecast": "Mostly Cloudy",
            },
        ]
    }
}


def verdicts(reply, *results, **more):
    return [(claim.kind, claim.verdict) for claim in grounding.judge(reply, results or (HANNIBAL,), **more)]


def errors(reply, *results, **more):
    return [c for c in grounding.judge(reply, results or (HANNIBAL,), **more) if c.verdict in grounding.ERRORS]


FAITHFUL = [
    # exact, with every kind of value
    "Hannibal, tomorrow: partly cloudy, a high of 71, a low of 52, and a 30 percent chance of rain.",
    "Saturday in Hannibal will be partly cloudy, with a southwest wind at 12 mph.",
    # number words
    "The mercury will climb to seventy-one and fall to fifty-two before dawn.",
    "There is a thirty per cent chance of rain, and the wind blows twelve miles an hour.",
    "You have three chances in ten of a shower.",
    # unit conversion: 71 F = 21.7 C, 52 F = 11.1 C, 12 mph = 19.3 km/h
    "Expect 22 °C by day and 11 degrees Celsius by night.",
    "The wind is 19 km/h out of the southwest.",
    # decade phrases and ranges
    "Highs in the low 70s, lows in the low fifties.",
    "Temperatures between 52 and 71 degrees, as a Christian climate ought to have.",
    "It will run from 52 to 71 degrees.",
    "A high in the lower seventies tomorrow.",
    # near misses that are fair: one degree, five percent
    "About seventy degrees at the top.",
    "A 25 percent chance of rain.",
    # figures either side of their role
    "71 for a high and 52 for a low.",
    "High 71, low 52.",
    "71°/52° tomorrow in Hannibal.",
    # negation and hedges
    "There may be a shower.",
    "It ain't going to snow tomorrow.",
    "Little chance of rain, though I have been lied to by clouds before.",
    "No alerts are posted.",
    # places written with less or more
    "In Missouri tomorrow you will have some clouds.",
    "Tomorrow looks partly sunny in Hannibal, Missouri.",
]


@pytest.mark.parametrize("reply", FAITHFUL)
def test_a_faithful_reply_has_claims_and_no_error(reply):
    claims = grounding.judge(reply, [HANNIBAL])
    assert [c for c in claims if c.verdict in grounding.ERRORS] == []
    assert any(c.verdict == "supported" for c in claims)


UNFAITHFUL = [
    ("A high of 84 tomorrow.", "temperature"),
    ("A high of 22 degrees Fahrenheit.", "temperature"),  # 22 C with the wrong unit
    ("A high of 71 degrees Celsius.", "temperature"),
    ("A high of 52 and a low of 71.", "temperature"),
    ("The low will be seventy-one.", "temperature"),
    ("Highs in the upper 70s.", "temperature"),
    ("Highs in the eighties, friend.", "temperature"),
    ("Between 40 and 90 degrees, somewhere.", "temperature"),
    ("It will reach a thousand degrees by noon.", "temperature"),  # hyperbole counts
    ("Five degrees below zero at night.", "temperature"),
    ("A 70 percent chance of rain.", "chance"),
    ("The chance of rain is 80.", "chance"),
    ("Rain is a coin-toss.", "chance"),
    ("The odds of a shower are one in two.", "chance"),
    ("Winds of 35 mph.", "wind"),
    ("The wind blows thirty miles an hour.", "wind"),
    ("The wind comes out of the northeast.", "wind_direction"),
    ("The humidity stands at 80 percent.", "humidity"),  # the tool gave none
    ("Not a cloud, sunny and clear.", "condition"),
    ("Expect snow tomorrow.", "condition"),
    ("It will be overcast.", "condition"),
    ("Thunderstorms tomorrow, and plenty.", "condition"),
    ("There ain't no rain coming tomorrow.", "condition"),  # 30 % is more than none
    ("A tornado warning is posted.", "alert"),
    ("It will be 71 in Reno tomorrow.", "place"),
    ("In St. Louis the high is 71.", "place"),
    ("Partly cloudy on Sunday.", "day"),
    ("Partly cloudy today.", "day"),
    ("It will be partly cloudy next to nothing on May 9.", "day"),
]


@pytest.mark.parametrize(("reply", "kind"), UNFAITHFUL)
def test_an_unfaithful_reply_is_caught_for_the_right_reason(reply, kind):
    assert kind in [claim.kind for claim in errors(reply)]


@pytest.mark.parametrize(
    "reply",
    ["It warn't ever going to rain.", "Nary a drop of rain.", "It won't rain.", "Without rain, for once.", "It will be dry.",
     "No rain, snow or hail tomorrow.", "You shall have no rain.", "It ain't fixing to rain."],
)  # fmt: skip
def test_negation_in_any_dialect_agrees_with_a_dry_forecast_and_not_with_a_wet_one(reply):
    assert errors(reply, SUNNY) == []
    assert [c.kind for c in errors(reply, RAINY)] == ["condition"]


def test_an_opening_no_answers_the_question_and_negates_nothing():
    assert errors("No, rain is coming tomorrow.", RAINY) == []
    assert [c.kind for c in errors("No, rain is coming tomorrow.", SUNNY)] == ["condition"]


def test_no_doubt_is_no_negation():
    assert errors("No doubt it will rain.", RAINY) == []


@pytest.mark.parametrize(
    ("reply", "result"), [("It will rain.", SNOWY), ("It will snow.", RAINY), ("Sunny skies.", RAINY)]
)
def test_a_swapped_condition_is_contradicted(reply, result):
    assert [(c.kind, c.verdict) for c in errors(reply, result)] == [("condition", "contradicted")]


@pytest.mark.parametrize(
    ("reply", "reason"),
    [
        ("I once saw it reach 110 degrees in Nevada.", "anecdote"),
        ("When I was a boy in Hannibal the snow stood nine feet high.", "anecdote"),
        ("The river was dry as a sermon.", "simile"),
        ("My joints ache like a thunderstorm in a tin hat.", "simile"),
        ("If it snows, burn the almanac.", "hypothetical"),
        ("Will it rain?", "question"),
        ("I have no word on the rain.", "admission"),
    ],
)
def test_a_sentence_that_asserts_nothing_is_skipped(reply, reason):
    claims = grounding.judge(reply, [SUNNY])
    assert claims
    assert {(c.verdict, c.reason.split(":")[0]) for c in claims} == {("skipped", reason)}


def test_an_anecdote_goes_on_in_the_past_tense_and_ends_with_the_forecast():
    reply = (
        "I remember one August in Virginia City. It hit 104 degrees and the dogs melted. Tomorrow the high will be 99."
    )
    assert [(c.text, c.verdict) for c in grounding.judge(reply, [HANNIBAL]) if c.kind == "temperature"] == [
        ("104 degrees", "skipped"),
        ("99", "contradicted"),
    ]


def test_a_skipped_claim_keeps_its_strict_verdict():
    (claim,) = [c for c in grounding.judge("I once saw 110 degrees.", [HANNIBAL]) if c.kind == "temperature"]
    assert (claim.verdict, claim.strict) == ("skipped", "contradicted")


def test_an_admission_does_not_cover_what_follows_but():
    assert errors("I do not know much, but the high will be 99 degrees.") != []


def test_a_hypothesis_does_not_cover_the_main_clause():
    assert errors("If you must go to Hannibal tomorrow, the high will be 99.") != []


@pytest.mark.parametrize(
    "reply",
    ["A sunny disposition is worth more than money.", "Rain or shine, I am your man.", "I am under the weather.",
     "That is fair enough.", "A storm of applause.", "Let me make it clear to you.",
     "There is no new thing under the sun.", "I was 71 years old and had 30 cats.",
     "A man in his seventies ought to know.", "The boat leaves at 7:30 with 52 mules."],
)  # fmt: skip
def test_turns_of_speech_make_no_claim(reply):
    assert grounding.judge(reply, [HANNIBAL]) == []


@pytest.mark.parametrize(
    "reply",
    ["I could not get the forecast for Reno, and I will not invent one.", "The telegraph has no word on the rain in Reno.",
     "The wire is down, so I can't tell you if it will rain on Saturday.",
     "No such town is known to the weather bureau."],
)  # fmt: skip
def test_an_honest_reply_to_a_tool_error_has_no_error(reply):
    assert errors(reply, ERROR) == []


@pytest.mark.parametrize("reply", ["Reno will be sunny, 88 degrees.", "Expect rain.", "A high of 71, as ever."])
@pytest.mark.parametrize("result", [ERROR, json.dumps(ERROR), "Error executing tool get_forecast: unknown_location"])
def test_a_forecast_made_up_after_a_tool_error_is_unsupported(reply, result):
    found = grounding.judge(reply, [result])
    assert found
    assert {c.verdict for c in found} == {"unsupported"}


def test_a_forecast_without_any_call_is_unsupported():
    assert {c.verdict for c in grounding.judge("Sunny, 88 degrees.", [])} == {"unsupported"}


def test_a_stale_turn_is_caught_by_place_and_by_value():
    # the second question was about Reno; the reply repeats Hannibal's figures
    assert ("temperature", "contradicted") in verdicts("A high of 71.", HANNIBAL, RENO)
    assert ("temperature", "contradicted") in verdicts("Reno gets a high of 71.", HANNIBAL, RENO)
    assert errors("In Reno, a high of 71.", HANNIBAL)[0].verdict == "contradicted"


def test_a_newer_error_voids_older_results():
    assert {c.verdict for c in grounding.judge("A high of 71.", [HANNIBAL, ERROR])} == {"unsupported"}


@pytest.mark.parametrize(
    "reply",
    ["Hannibal gets 71 degrees, while Reno gets 88 degrees.", "A high of 71 in Hannibal and a high of 88 in Reno.",
     "In Reno the high is 88. In Hannibal it is partly cloudy with a high of 71."],
)  # fmt: skip
def test_two_cities_in_one_reply_are_held_to_their_own_figures(reply):
    assert errors(reply, HANNIBAL, RENO) == []
    swapped = reply.replace("71", "00").replace("88", "71").replace("00", "88")
    assert len(errors(swapped, HANNIBAL, RENO)) == 2


def test_null_fields_support_nothing():
    bare = {**HANNIBAL, "precipitation_chance": None, "wind_mph": None, "high_f": None, "low_f": None}
    assert verdicts("A high of 71, a 30 percent chance of rain and a wind of 12 mph.", bare)[0] == (
        "temperature",
        "unsupported",
    )
    assert {c.verdict for c in errors("A 30 percent chance and 12 mph.", bare)} == {"unsupported"}


def test_the_call_completes_a_place_and_a_day_that_the_result_leaves_out():
    bare = {"condition": "sunny", "high_f": 88}
    reply = "Reno tomorrow will be sunny, high 88."
    call = {"name": "get_forecast", "arguments": {"location": "Reno, NV", "datetime": "tomorrow"}}
    assert errors("Sunny in Reno tomorrow.", bare) != []
    assert errors(reply, bare, calls=[call]) == []


def test_tomorrow_is_compared_as_a_date_once_today_is_known():
    result = {"location": "Reno", "date": "2026-05-02", "condition": "sunny"}
    assert errors("Sunny tomorrow.", result, today=date(2026, 5, 1)) == []
    assert [c.kind for c in errors("Sunny tomorrow.", result, today=date(2026, 5, 2))] == ["day"]
    assert errors("Sunny on Saturday.", result) == []  # 2 May 2026 is a Saturday


@pytest.mark.parametrize(
    ("asked", "answered", "fair", "wrong"),
    [
        # asked on Tuesday the 6th, "Tuesday" is the 13th: today is another Tuesday
        ("Tuesday", date(2026, 10, 13), ["Tuesday", "October 13"], ["Today", "Tonight", "October 6", "Tomorrow"]),
        ("today", date(2026, 10, 6), ["Today", "Tuesday", "October 6", "Tonight"], ["October 13", "Tomorrow"]),
        ("tomorrow", date(2026, 10, 7), ["Tomorrow", "Wednesday"], ["Today", "Tuesday", "October 14"]),
    ],
)
def test_once_today_is_known_the_date_decides_and_not_the_name_of_its_weekday(asked, answered, fair, wrong):
    result = {
        "city": "Reno",
        "datetime": asked,
        "date": answered.isoformat(),
        "weekday": f"{answered:%A}",
        "sky": "sunny",
    }
    told = {
        day: next(c.verdict for c in grounding.judge(f"{day} will be sunny.", [result], today=date(2026, 10, 6)))
        for day in [*fair, *wrong]
    }
    assert told == dict.fromkeys(fair, "supported") | dict.fromkeys(wrong, "contradicted")


def test_a_weekday_without_a_date_may_be_today_as_well_as_the_next():
    # lists of days often begin with today's name: 6 October 2026 is a Tuesday
    result = {"city": "Reno", "days": [{"day": "Tuesday", "sky": "sunny"}, {"day": "Wednesday", "sky": "rain"}]}
    for day in ("Today", "Tuesday", "October 13"):
        assert errors(f"{day} will be sunny.", result, today=date(2026, 10, 6)) == []
    assert [c.kind for c in errors("October 20 will be sunny.", result, today=date(2026, 10, 6))] == ["day"]


def test_a_result_of_hundreds_of_towns_costs_a_reply_that_names_one_no_more():
    towns = [{"city": f"Town {number}", "high_f": 70} for number in range(400)]
    with limited(3.0):  # seconds of the processor; a pattern of each town for each sentence took eighteen
        claims = grounding.judge("It is 70 degrees in TOWN 7. " * 50, towns)
    assert [c.verdict for c in claims] == ["supported"] * 100


def test_todays_weekday_is_said_of_what_the_tool_calls_today():
    result = {"city": "Reno", "days": [{"day": "Today", "sky": "sunny"}, {"day": "Wednesday", "sky": "rain"}]}
    assert errors("Tuesday will be sunny.", result, today=date(2026, 10, 6)) == []
    assert [c.kind for c in errors("Monday will be sunny.", result, today=date(2026, 10, 6))] == ["day"]


def test_weather_gov_periods_are_read_with_roles_units_and_words():
    facts = read_result(PERIODS)
    day, night = facts.sheets
    assert (day.highs, night.lows) == ((71.0, 71.0), (52.0,))
    assert (day.chances, night.chances) == ((30.0,), ())
    assert day.winds == ((5.0, 10.0), (5.0, 10.0))
    assert day.conditions == {"partly"}
    assert errors("Saturday: partly sunny, high 71, wind 5 to 10 mph, 30 percent chance of rain.", PERIODS) == []
    assert [c.kind for c in errors("Saturday: a high of 52.", PERIODS)] == ["temperature"]


def test_metric_keys_and_nested_objects_are_read():
    result = {"city": "Paris", "units": "metric", "main": {"temp": 21.5, "humidity": 60}, "wind": {"speed_kph": 19}}
    (sheet,) = read_result(result).sheets
    assert sheet.temperatures == (pytest.approx(70.7),)
    assert sheet.winds[0][0] == pytest.approx(11.8, abs=0.05)
    assert errors("In Paris it is 71 Fahrenheit, humidity 60 percent.", result) == []
    assert errors("It is 22 degrees.", result) == []  # no unit means the tool's own
    assert errors("It is 71 degrees.", result) != []


def test_columns_of_days_are_read_whatever_is_written_as_their_units():
    daily = {"time": ["2026-05-02", "2026-05-03"], "temperature_2m_max": [20, 30]}
    sheets = read_result({"daily": daily, "daily_units": {"temperature_2m_max": "°C"}}).sheets
    assert [sheet.highs for sheet in sheets] == [(68.0,), (86.0,)]
    assert [sheet.highs for sheet in read_result({"daily": daily, "daily_units": "metric"}).sheets] == [
        (20.0,),
        (30.0,),
    ]


def test_numbers_that_nothing_can_hold_are_no_weather_and_no_crash():
    assert read_result("9" * 5_000).sheets == ()
    (sheet,) = read_result({"city": "Reno", "high_f": 10**400, "wind_direction": 10**400}).sheets
    assert (sheet.highs, sheet.directions) == ((math.inf,), (math.inf,))


@pytest.mark.parametrize(
    ("wind", "mph", "degrees"),
    [
        ("12 mph SW", (12.0, 12.0), (225.0,)),
        ("NW 5 to 10 mph", (5.0, 10.0), (315.0,)),
        ("5 to 10 mph", (5.0, 10.0), ()),
    ],
)
def test_a_wind_in_one_text_is_read_with_its_direction(wind, mph, degrees):
    (sheet,) = read_result({"city": "Reno", "wind": wind}).sheets
    assert (sheet.winds, sheet.directions) == ((mph,), degrees)


def test_alerts_of_a_state_are_a_sheet_of_that_state_even_where_there_are_none():
    reply = "No alerts are posted in Missouri."
    (claim,) = [c for c in grounding.judge(reply, [{"state": "MO", "alerts": []}]) if c.kind == "alert"]
    assert claim.verdict == "supported"
    (other,) = [c for c in grounding.judge(reply, [{"state": "NV", "alerts": []}]) if c.kind == "place"]
    assert other.verdict == "contradicted"


def test_a_town_goes_before_its_state_and_null_alerts_state_nothing():
    (sheet,) = read_result({"city": "Reno", "state": "NV", "high_f": 71, "alerts": None}).sheets
    assert (sheet.place, sheet.alerts) == ("Reno", None)


def test_a_result_in_prose_is_read_as_a_forecast():
    result = "Saturday in Hannibal: partly cloudy, high 71, low 52, southwest wind 12 mph, 30% chance of rain."
    assert errors("A high of 71, a low of 52, some clouds, 12 mph of wind.", result) == []
    assert [c.kind for c in errors("A high of 62.", result)] == ["temperature"]


def test_alerts_are_held_to_the_list():
    warned = {**HANNIBAL, "alerts": ["Heat Advisory until 8 PM"]}
    assert errors("A heat advisory is posted.", warned) == []
    assert [c.kind for c in errors("A flood warning is posted.", warned)] == ["alert"]
    assert [c.kind for c in errors("No alerts at all.", warned)] == ["alert"]


@pytest.mark.parametrize(
    ("posted", "reply", "verdict"),
    [
        (["Tornado Watch", "Flood Warning"], "A Tornado Warning is in force.", "contradicted"),
        (["Tornado Watch", "Flood Warning"], "A Tornado Watch is in force.", "supported"),
        (["Wind Chill Warning", "Dense Fog Advisory"], "A Wind Advisory is posted.", "contradicted"),
        (["Wind Chill Warning", "Dense Fog Advisory"], "There is no Wind Advisory.", "supported"),
        (["Wind Chill Advisory"], "A Wind Advisory is posted.", "contradicted"),
        (["Thunderstorm Warning"], "A Storm Warning is posted.", "contradicted"),
        # the first words of a name may be left off, none may be added
        (["Flash Flood Watch"], "A Flood Watch is posted.", "supported"),
        (["Flood Watch"], "A Flash Flood Watch is posted.", "contradicted"),
        (["Flood Watch"], "No Flash Flood Watch is posted.", "supported"),
        (["Dense Fog Advisory until 9 AM"], "A fog advisory is posted.", "supported"),
        (["high_wind_warning"], "A High Wind Warning is posted.", "supported"),
        (["Winter Storm Warnings"], "A winter storm warning is posted.", "supported"),
        # an alert is of any type
        (["Heat Advisory"], "A heat alert is posted.", "supported"),
        (["Special Weather Statement"], "No alerts are posted.", "contradicted"),
        (["Heat Advisory"], "No warnings are posted.", "supported"),
    ],
)
def test_an_alert_is_known_by_the_words_and_the_type_of_one_alert(posted, reply, verdict):
    (claim,) = [c for c in grounding.judge(reply, [{**HANNIBAL, "alerts": posted}]) if c.kind == "alert"]
    assert claim.verdict == verdict


# --- whole replies in the persona's voice: written to break the checker, then kept

WET = {
    **HANNIBAL,
    "condition": "rain showers",
    "precipitation_chance": 80,
    "high_f": 58,
    "low_f": 44,
    "wind_mph": 22,
    "wind_direction": "N",
}
HOT = {
    **HANNIBAL, "location": "St. Louis, MO", "condition": "sunny", "precipitation_chance": 0, "high_f": 93, "low_f": 74,
    "wind_mph": 3, "wind_direction": "W", "datetime": "today", "weekday": "Friday", "date": "2026-05-01",
    "alerts": ["Heat Advisory"],
}  # fmt: skip
WINTER = {
    **HANNIBAL, "location": "Bangor, ME", "condition": "heavy snow", "precipitation_chance": 95, "high_f": 24, "low_f": -5,
    "wind_mph": 30, "wind_direction": "NE", "alerts": ["Winter Storm Warning"], "datetime": "Monday", "weekday": "Monday",
    "date": "2026-01-05",
}  # fmt: skip
RIVER_TOWN = {
    **HANNIBAL, "location": "Keokuk, IA", "datetime": "tonight", "date": "2026-03-10", "weekday": "Tuesday",
    "condition": "mostly cloudy", "high_f": 48, "low_f": 31, "precipitation_chance": 10, "wind_mph": 8, "wind_direction": "NW",
}  # fmt: skip
MINING_TOWN = {
    **HANNIBAL, "location": "Virginia City, NV", "datetime": "this weekend", "date": "2026-07-18", "condition": "thunderstorms",
    "high_f": 86, "low_f": 61, "precipitation_chance": 60, "wind_mph": 18, "wind_direction": "W",
    "alerts": ["Severe Thunderstorm Watch"],
}  # fmt: skip
AUDIT_FAITHFUL = [
    (
        RIVER_TOWN,
        (
            "Keokuk tonight will be mostly cloudy and about thirty-one degrees, which is cold enough to "
            "make a banker shiver."
        ),
    ),
    (RIVER_TOWN, "There is a mere ten percent chance of rain in Keokuk tonight, so leave the ark in the yard."),
    (RIVER_TOWN, "Mostly cloudy in Keokuk, with a low near freezing, 31 to be exact, and a northwest wind of 8 mph."),
    (RIVER_TOWN, "Tonight the mercury slides to 31. I have met warmer undertakers."),
    (RIVER_TOWN, "You can expect clouds tonight and a low of 31; rain is unlikely, about one chance in ten."),
    (RIVER_TOWN, "The wind is out of the northwest at eight miles an hour, hardly enough to lift a hat."),
    (RIVER_TOWN, "High of 48, low of 31. I've seen livelier weather in a picture frame."),
    (RIVER_TOWN, "It's going to be cloudy tonight, my friend, but dry, with only a 10% chance of precipitation."),
    (RIVER_TOWN, "Well, sir, the bureau says it won't rain much in Keokuk tonight: ten percent."),
    (MINING_TOWN, "This weekend in Virginia City brings thunderstorms, a high of 86 and a low of 61."),
    (
        MINING_TOWN,
        (
            "A severe thunderstorm watch is posted for Virginia City, with a 60 percent chance of storms "
            "and west winds of 18 mph."
        ),
    ),
    (
        MINING_TOWN,
        (
            "Virginia City on Saturday: thunder, lightning and eighty-six degrees. I mined there once and "
            "the weather was the only thing that paid regular."
        ),
    ),
    (MINING_TOWN, "The odds of a soaking are sixty percent this weekend, so pack a slicker."),
    (MINING_TOWN, "It will be stormy this weekend, with highs in the mid 80s and lows in the low 60s."),
    (MINING_TOWN, "Lightning is on the program for Saturday, and the wind will run 18 miles an hour from the west."),
    (MINING_TOWN, "Saturday will be warm at 86, and wet: thunderstorms are more likely than not at 60 percent."),
    (MINING_TOWN, "No sun to speak of; thunderstorms at 60 percent, and a breezy 18 mph."),
    (MINING_TOWN, "About 30 degrees Celsius in the afternoon and 16 at night, with thunderstorms."),
    (MINING_TOWN, "I'd not hang the wash out Saturday; there is a sixty percent chance of rain."),
    (
        HANNIBAL,
        (
            "Well now, Hannibal on Saturday promises a high of seventy-one and a low of fifty-two, with clouds "
            "that can't make up their minds."
        ),
    ),
    (
        HANNIBAL,
        (
            "The forecast for Hannibal tomorrow is partly cloudy; you'll top out around 71 and sink to 52 after "
            "dark. Bring a coat, and somebody else's umbrella."
        ),
    ),
    (
        HANNIBAL,
        (
            "Tomorrow it climbs to 71°F, then drops to 52°F. Three chances in ten that it rains on your picnic, "
            "which is better odds than the legislature."
        ),
    ),
    (HANNIBAL, "Hannibal will enjoy a high of 71 and a southwest breeze of about a dozen miles an hour."),
    (
        HANNIBAL,
        (
            "I have known Missouri weather all my life, and it never kept a promise. Still, the bureau says 71 "
            "by day and 52 by night."
        ),
    ),
    (
        HANNIBAL,
        (
            "Partly cloudy, seventy-one degrees, thirty percent rain. The clouds, like Congress, will gather and "
            "do nothing."
        ),
    ),
    (HANNIBAL, "There's a 30% chance of rain Saturday, and so a seventy percent chance of staying dry."),
    (
        HANNIBAL,
        (
            "The wind will come from the southwest at 12 miles per hour, strong enough to turn a page but not a "
            "politician."
        ),
    ),
    (HANNIBAL, "A fair chance it stays dry, though I would not bet a dollar on it."),
    (WET, "Take an umbrella: rain showers tomorrow, an 80 percent chance, with the mercury reaching only 58."),
    (WET, "It will be wet. The high is 58 and the wind blows from the north at 22 mph."),
    (WET, "Expect rain in Hannibal, and a windy day of it: 22 mph out of the north."),
    (WET, "Don't expect sunshine. Showers are on the bill, and a low of 44."),
    (WET, "It never rains but it pours, they say, and tomorrow they'll be right: an 80 percent chance."),
    (
        HOT,
        (
            "St. Louis today: sunny and ninety-three degrees, with a Heat Advisory. Stay in the shade and think "
            "cool thoughts."
        ),
    ),
    (
        HOT,
        (
            "It is clear and hot in St. Louis today, 93 in the afternoon and 74 overnight, and not a drop of "
            "rain in sight."
        ),
    ),
    (HOT, "Sunny, with no chance of rain and hardly any wind."),
    (HOT, "The sun will shine, the wind will loaf along at 3 mph, and the heat will be 93."),
    (HOT, "Hot as a politician's promise: 93 degrees, no clouds, no rain, no mercy."),
    (
        WINTER,
        (
            "Bangor on Monday: heavy snow, a high of 24, a low of five below zero, and a northeast wind at "
            "thirty miles an hour. There is a winter storm warning, so stay by the stove."
        ),
    ),
    (WINTER, "It will snow Monday in Bangor. The high will be 24 degrees, below freezing all day."),
    (WINTER, "A ninety-five percent chance of snow, with the thermometer falling to minus five."),
    (WINTER, "If you are wise you will stay in. Monday brings snow and a wind of 30 mph."),
    (
        HANNIBAL,
        (
            "I asked the weather bureau about Hannibal. It says partly cloudy tomorrow, high 71, low 52, wind "
            "southwest at 12 mph, and a 30 percent chance of rain. I have built whole careers on worse odds."
        ),
    ),
    (
        HANNIBAL,
        "Seventy-one degrees and partly cloudy in Hannibal tomorrow. It is the sort of day a boy plays hooky for.",
    ),
    (
        HANNIBAL,
        (
            "Tomorrow's forecast for Hannibal: partly cloudy with a high near 71°F and a low around 52°F. Winds "
            "from the SW at 12 mph. Precipitation chance: 30%."
        ),
    ),
    (HANNIBAL, "High: 71°F\nLow: 52°F\nWind: 12 mph SW\nChance of rain: 30%"),
    (HANNIBAL, "Here's the forecast:\n- Condition: partly cloudy\n- High: 71\n- Low: 52\n- Rain: 30%"),
    (HANNIBAL, "It should be a mild 71 degrees, cool in the evening at 52."),
    (HANNIBAL, "A high of 71, they say; I once paid 71 cents for a worse day."),
]
AUDIT_UNFAITHFUL = [
    (RIVER_TOWN, "Keokuk tonight will be clear, with a low of 31."),
    (RIVER_TOWN, "A 40 percent chance of rain tonight in Keokuk."),
    (RIVER_TOWN, "The low tonight is forty-one."),
    (RIVER_TOWN, "Keokuk gets snow tonight."),
    (RIVER_TOWN, "Tomorrow in Keokuk it will be mostly cloudy."),
    (RIVER_TOWN, "Mostly cloudy in Dubuque tonight."),
    (RIVER_TOWN, "Winds will howl at 35 mph tonight."),
    (RIVER_TOWN, "A southeast wind at 8 mph."),
    (RIVER_TOWN, "Stars will be out; not a cloud in the sky over Keokuk tonight."),
    (RIVER_TOWN, "A freeze warning is in effect, and the low is 31."),
    (MINING_TOWN, "This weekend is dry as a bone in Virginia City, with a high of 86."),
    (MINING_TOWN, "Sunny this weekend in Virginia City."),
    (MINING_TOWN, "Virginia City will top out at 96 on Saturday."),
    (MINING_TOWN, "A 6 percent chance of storms on Saturday."),
    (MINING_TOWN, "Carson City this weekend: thunderstorms."),
    (MINING_TOWN, "Snow flurries on Saturday, low of 61."),
    (MINING_TOWN, "Thunderstorms on Tuesday."),
    (MINING_TOWN, "Light winds of 5 mph on Saturday."),
    (MINING_TOWN, "No storms this weekend, I promise you."),
    (MINING_TOWN, "Humidity of 90 percent and thunderstorms."),
    (HANNIBAL, "Hannibal on Saturday promises a high of eighty-one."),
    (HANNIBAL, "It will be hot as blazes, near a hundred degrees."),
    (HANNIBAL, "Rain is certain tomorrow, sir."),
    (HANNIBAL, "You may leave the umbrella: no chance of rain at all."),
    (HANNIBAL, "Sunny and 71 in Hannibal."),
    (HANNIBAL, "Partly cloudy, 71, and a humidity of 45%."),
    (HANNIBAL, "It'll be 52 for the high and 71 for the low."),
    (HANNIBAL, "St. Louis will see 71 and partly cloudy tomorrow."),
    (HANNIBAL, "Hannibal on Sunday: partly cloudy, high 71."),
    (HANNIBAL, "Wind from the north at 12 mph."),
    (HANNIBAL, "A gale of forty miles an hour will comb your hair."),
    (WET, "A dry day, with a high of 58."),
    (WET, "There won't be a cloud in the sky tomorrow."),
    (WET, "It ain't going to rain, and the high is 58."),
    (WET, "Calm winds and a high of 58."),
    (WET, "An 18 percent chance of rain."),
    (HOT, "Bring an umbrella: thunderstorms today in St. Louis."),
    (HOT, "St. Louis, overcast, 93."),
    (HOT, "Today the low is 93."),
    (HOT, "No advisories are in effect; it will be 93."),
    (WINTER, "Bangor on Monday: a light rain, high 24."),
    (WINTER, "Bangor on Monday: clear skies and 24 degrees."),
    (WINTER, "The low will be five above zero."),
    (WINTER, "There is a flood warning for Bangor."),
    (WINTER, "Monday will be dry in Bangor."),
    (HANNIBAL, "High: 75°F\nLow: 52°F"),
    (HANNIBAL, "Chance of rain: 60%"),
    (HANNIBAL, "Expect temperatures in the mid 80s."),
    (HANNIBAL, "It will be foggy in Hannibal tomorrow."),
    (HANNIBAL, "Tonight it will be partly cloudy, 71 degrees."),
]


@pytest.mark.parametrize(("result", "reply"), AUDIT_FAITHFUL)
def test_a_faithful_persona_reply_is_judged_and_passes(result, reply):
    claims = grounding.judge(reply, [result])
    assert [c for c in claims if c.verdict in grounding.ERRORS] == []
    assert any(c.verdict == "supported" for c in claims)


@pytest.mark.parametrize(("result", "reply"), AUDIT_UNFAITHFUL)
def test_an_unfaithful_persona_reply_is_caught(result, reply):
    assert errors(reply, result) != []


def test_an_implied_complement_of_a_chance_is_read_where_its_sentence_speaks_of_the_rest():
    assert (
        errors("A 30% chance of rain, so there's a seventy percent chance you'll carry that umbrella for nothing.")
        == []
    )


def test_spans_point_into_the_reply():
    reply = "Well. In Hannibal, tomorrow, a high of seventy-one and partly cloudy."
    for claim in grounding.judge(reply, [HANNIBAL]):
        assert reply[claim.start : claim.end] == claim.text


def test_the_summary_counts_replies_claims_and_coverage():
    judged = [
        grounding.judge("A high of 71.", [HANNIBAL]),
        grounding.judge("A high of 99 and a low of 52.", [HANNIBAL]),
        grounding.judge("The weather is a matter of opinion.", [HANNIBAL]),
        grounding.judge("I once saw 110 degrees.", [HANNIBAL]),
    ]
    result = grounding.summarise(judged)
    assert (result.replies, result.error_replies, result.error_rate) == (4, 1, 1 / 4)
    assert result.strict_error_replies == 2
    assert result.coverage == 2 / 4
    assert (result.claims, result.claim_error_rate) == (3, 1 / 3)
    assert result.errors_by_kind == {"temperature": 1}
    assert result.interval.low < 1 / 4 < result.interval.high


def test_no_replies_prove_nothing():
    result = grounding.summarise([])
    assert (result.error_rate, result.coverage, result.upper) == (None, None, 1.0)


@given(st.text(max_size=200))
def test_any_text_is_judged_without_raising_and_spans_hold(text):
    for claim in grounding.judge(text, [HANNIBAL]):
        assert text[claim.start : claim.end] == claim.text


@given(st.integers(-20, 110), st.integers(-20, 110))
def test_a_stated_high_is_supported_exactly_within_one_degree(stated, actual):
    claims = grounding.judge(f"The high will be {stated} degrees.", [{**HANNIBAL, "high_f": actual}])
    assert [c.verdict for c in claims] == ["supported" if abs(stated - actual) <= 1 else "contradicted"]


@given(st.integers(0, 999))
def test_number_words_and_digits_read_alike(n):
    units = [
        "zero",
        "one",
        "two",
        "three",
        "four",
        "five",
        "six",
        "seven",
        "eight",
        "nine",
        "ten",
        "eleven",
        "twelve",
        "thirteen",
        "fourteen",
        "fifteen",
        "sixteen",
        "seventeen",
        "eighteen",
        "nineteen",
    ]
    tens = ["_", "_", "twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
    small = n % 100
    words = units[small] if small < 20 else tens[small // 10] + (f"-{units[small % 10]}" if small % 10 else "")
    if n >= 100:
        words = f"{units[n // 100]} hundred" + (f" and {words}" if small else "")
    assert number_of(words) == n
    assert [found.value for found in numerals(f"it is {words} today")] == [n]


def test_decades_cover_their_part():
    found = {a.text: a.value for a in assertions("Low 30s, mid-seventies, the upper 80s, the 60s, in the teens.")}
    assert found == {
        "Low 30s": (30, 33),
        "mid-seventies": (73, 77),
        "upper 80s": (86, 89),
        "60s": (60, 69),
        "teens": (13, 19),
    }


def test_a_state_that_opens_a_sentence_is_no_wind_direction():
    told = {"state": "SC", "alerts": ["Wind Advisory"]}
    found = grounding.judge("South Carolina has a Wind Advisory in force.", [told])
    assert {claim.kind: claim.verdict for claim in found} == {"place": "supported", "alert": "supported"}


def test_a_preposition_that_opens_a_sentence_is_no_part_of_the_town():
    reply = "Well, I asked. For Hannibal on Saturday they have set down partly cloudy, with a high of 71."
    assert errors(reply, HANNIBAL) == []
    assert {c.text for c in grounding.judge("I asked. For Denver on Saturday, a high of 71.", [HANNIBAL])} >= {"Denver"}


def test_snow_is_precipitation_and_sun_is_none():
    assert errors("The chance of precipitation is 90 percent.", SNOWY) == []
    assert errors("Precipitation is certain tomorrow.", SUNNY)
    assert errors("No precipitation tomorrow.", SNOWY)


def test_a_town_named_for_weather_states_none():
    result = {**SUNNY, "location": "Thunder Bay, Canada"}
    assert errors("Thunder Bay tomorrow: sunny, with a high of 71.", result) == []
    assert errors("Thunder Bay tomorrow: thunder, with a high of 71.", result)


def test_a_place_and_a_day_are_no_weather():
    claims = grounding.judge("Hannibal tomorrow: a high of 71.", [HANNIBAL])
    named = [c for c in claims if c.kind in ("place", "day")]
    assert {c.kind for c in named} == {"place", "day"}
    assert grounding.summarise([named]).coverage == 0
    assert not grounding.uses_result(named)
    assert grounding.uses_result(grounding.judge("Hannibal tomorrow: a high of 71.", [HANNIBAL]))
    assert not grounding.uses_result(grounding.judge("Hannibal tomorrow: a high of 88.", [HANNIBAL]))


def test_a_sum_beside_a_capital_is_no_figure_of_the_weather():
    assert grounding.judge("Somebody has had a thumb on it: 37 and 11 are not 46.", []) == []


def test_what_one_counts_on_is_the_figure_and_no_promise_of_rain():
    result = {"location": "Quincy", "condition": "light rain", "high_f": 48, "low_f": 35, "precipitation_chance": 70}
    assert errors("Count on a high of 48 and a low of 35 degrees in Quincy, and light rain.", result) == []
    assert errors("Count on light rain and a low of 35 degrees in Quincy.", result) == []
    assert [c.kind for c in errors("You may count on rain in Quincy.", result)] == ["condition"]


def test_glass_is_clear_and_no_sky():
    assert grounding.judge("It is broken glass on a small scale: clear in the piece, white in the heap.", []) == []
    assert [c.value for c in grounding.judge("It is clear in Quincy.", [])] == ["clear", "Quincy"]


def test_weather_that_opens_a_sentence_is_no_town():
    result = {
        "location": "Cuenca, Ecuador",
        "condition": "drizzle",
        "high_f": 72,
        "low_f": 55,
        "precipitation_chance": 45,
    }
    assert errors("Drizzle will keep Cuenca company, with a low of 55 degrees and a high of 72 degrees.", result) == []


def test_a_month_in_a_towns_name_begins_no_date():
    result = {"location": "Cape May, NJ", "datetime": "tomorrow", "condition": "mostly cloudy", "wind_mph": 4}
    assert errors("They give Cape May 4 mph of wind tomorrow, and mostly cloudy skies.", result) == []
