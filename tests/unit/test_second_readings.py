"""Ways of telling a result that a first reading takes amiss; beside each, the fault that its rule must not let through."""

from __future__ import annotations

from itertools import combinations

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from fuzz.campaign import limited
from tests.examples import examples
from twainbot.evals.facts import read_result
from twainbot.evals.grounding import ERRORS, judge
from twainbot.evals.second_readings import lies_between

ONE: dict[str, object] = {
    "location": "Ely, MN", "datetime": "tomorrow", "condition": "thunderstorms", "high_f": 81, "low_f": 60,
    "precipitation_chance": 70, "humidity": 55, "wind_mph": 14, "wind_direction": "NW", "alerts": [],
}  # fmt: skip
FOG = {**ONE, "condition": "fog", "precipitation_chance": 10}
SLEET = {**ONE, "condition": "sleet", "high_f": 34, "low_f": 25}
BELOW = {**ONE, "condition": "clear", "high_f": 6, "low_f": -11, "precipitation_chance": 0}
FRIDAY = {**ONE, "datetime": "Friday", "condition": "rain", "high_f": 66}
SATURDAY = {**ONE, "datetime": "Saturday", "condition": "sunny", "high_f": 72, "precipitation_chance": 0}
DAYS = (FRIDAY, SATURDAY)


def errors(reply: str, *results: object, calls: tuple[dict[str, object], ...] = ()) -> list[str]:
    given = [result for result in results if isinstance(result, (dict, str))]
    return [claim.text for claim in judge(reply, given, calls=calls) if claim.verdict in ERRORS]


FAIR = [
    ("Seventy chances in the hundred that it storms; the other thirty percent I leave to optimists.", ONE),
    ("It is fifty-five in the hundred, humidity, and thunder on the way.", ONE),
    ("Thunderstorms, seventy percent likely and one hundred percent tiresome.", ONE),
    ("Eighty-one, sixty, and fourteen miles an hour, with thunder.", ONE),
    ("The thermometer has twenty-one degrees to fall between noon and midnight, and thunder to fall to.", ONE),
    ("Thunderstorms, with a nor'west wind of fourteen miles an hour.", ONE),
    ("It isn't rain you smell, it's fog.", FOG),
    ("It ain't snow and it ain't rain; it is sleet.", SLEET),
    ("There isn't enough sleet to build a wall of, only enough to fall down upon.", SLEET),
    ("Six above at noon, if noon comes; eleven below when the lamp is out, and clear.", BELOW),
    ("Fair weather never made a sailor. Tomorrow has thunderstorms, seventy percent.", ONE),
    ("Eighty-one, or twenty-seven as they count it in Lyons, with thunderstorms.", ONE),
    ("After Friday's rain Saturday is sunny.", *DAYS),
    ("The rain is Friday's affair; on Saturday it is sunny.", *DAYS),
    ("Sixty-six, seventy-two: Friday and Saturday in their order, and the second of them sunny.", *DAYS),
    ("It can't decide between rain and snow.", {**ONE, "condition": "rain and snow", "high_f": 36, "low_f": 30}),
]
FAULTY = [
    ("Thirty percent is the chance of rain.", ONE),
    ("The humidity is seventy percent.", ONE),
    ("It is ninety-one tomorrow, with thunder.", ONE),
    ("Tomorrow: ninety-one.", ONE),
    ("Thunderstorms, and the high of sixty comes after a low of eighty-one.", ONE),
    ("A sou'west wind of fourteen miles an hour brings the thunder.", ONE),
    ("It isn't going to rain.", ONE),
    ("No chance of fog tomorrow.", FOG),
    ("It falls to eleven above on Thursday, and clear.", BELOW),
    ("Not so much as a sprinkle tomorrow.", ONE),
    ("The sun shines on Ely all day.", ONE),
    ("A dead calm lies over Ely tomorrow.", ONE),
    ("There is a Tsunami Warning for Ely tomorrow.", ONE),
    ("Tomorrow is fine and clear at Ely.", ONE),
    ("Rain is a dead certainty in Ely tomorrow.", {**ONE, "condition": "showers", "precipitation_chance": 40}),
    ("Friday is sunny and Saturday has the rain.", *DAYS),
    ("On Saturday it gets no higher than sixty-six.", *DAYS),
    ("It rains tomorrow in Duluth.", ONE),
]


@pytest.mark.parametrize("case", FAIR, ids=lambda case: str(case[0])[:40])
def test_a_fair_way_of_telling_the_result_is_no_error(case: tuple[object, ...]) -> None:
    assert errors(str(case[0]), *case[1:]) == []


@pytest.mark.parametrize("case", FAULTY, ids=lambda case: str(case[0])[:40])
def test_the_fault_beside_it_is_found(case: tuple[object, ...]) -> None:
    assert errors(str(case[0]), *case[1:])


def test_a_town_that_was_asked_about_in_vain_may_be_named_but_not_forecast() -> None:
    results = (ONE, {"error": "timeout", "message": "No answer."})
    calls: tuple[dict[str, object], ...] = (
        {"name": "w", "arguments": {"location": "Ely, MN"}},
        {"name": "w", "arguments": {"location": "Orr, MN"}},
    )
    assert errors("Ely has thunderstorms tomorrow, and Orr is a mystery.", *results, calls=calls) == []
    assert errors("Ely and Orr both have thunderstorms tomorrow.", *results, calls=calls)


def test_a_forecast_two_lists_deep_is_read_with_its_fused_key_names() -> None:
    day = {
        "maxtemp_c": 11,
        "mintemp_c": 3,
        "daily_will_it_rain": 1,
        "daily_chance_of_rain": 70,
        "condition": {"text": "Sunny"},
    }
    nested = {
        "location": {"name": "Ross", "country": "Australia"},
        "forecast": {"forecastday": [{"date": "2027-07-16", "day": day}]},
    }
    (sheet,) = read_result(nested).sheets
    assert (sheet.place, sheet.chances, sheet.conditions) == ("Ross", (70.0,), {"clear"})
    assert [round(t, 1) for t in (*sheet.highs, *sheet.lows)] == [51.8, 37.4]
    assert sheet.days == {"2027-07-16", "friday"}


def test_prose_that_opens_with_its_place_is_about_that_place() -> None:
    (sheet,) = read_result(
        "Ross, Tasmania. Tuesday: partly sunny with a high of 53. 20 percent chance of showers."
    ).sheets
    assert sheet.place == "Ross, Tasmania"
    assert read_result("Tonight: rain, low 41.").sheets[0].place is None


@given(st.lists(st.floats(-60, 130) | st.integers(-60, 130), max_size=6), st.floats(1, 60), st.sampled_from(["C", "F"]))
@settings(max_examples=examples(200))
def test_a_difference_is_one_of_any_two_figures(readings, value, unit) -> None:
    scales = (1, 9 / 5) if unit == "C" else (1,)
    apart = [abs(x - y) / scale for x, y in combinations(readings, 2) for scale in scales]
    assume(all(abs(abs(value - each) - 0.6) > 1e-9 for each in apart))  # where rounding would decide
    assert lies_between(value, readings, unit) == any(abs(value - each) < 0.6 for each in apart)


@pytest.mark.parametrize(("readings", "apart"), [([66.0], False), ([66.0, 70.0], False), ([66.0, 66.0], True)])
def test_a_reading_is_not_its_own_partner(readings: list[float], apart: bool) -> None:
    assert lies_between(0.0, readings, "F") == apart


def test_a_forecast_of_hundreds_of_hours_is_searched_for_differences_in_step_with_its_length() -> None:
    hours = [
        {"time": f"2026-10-{6 + hour // 24:02d}T{hour % 24:02d}:00", "temp_f": 40 + hour / 16, "wind_mph": hour / 32}
        for hour in range(480)
    ]
    with limited(3.0):  # seconds of the processor; every two hours for each statement took fifteen
        found = judge("It rises by 133 degrees in Reno. " * 90, [{"city": "Reno", "hourly": hours}])
    assert {claim.verdict for claim in found if claim.kind == "temperature"} <= set(ERRORS)
