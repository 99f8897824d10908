"""The gate on synthetic dialogues: sound ones pass, each planted fault is found, variety is measured in view."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.dialogues import feedback, figures, grounds, prompts, quality, rows, said, seeds, talk, transfer, variety
from twainbot.dialogues.tools import FORECAST_TOOL
from twainbot.records import DIALOGUE, FEEDBACK, SCREENED_DIALOGUE, frame

RESULT = {
    "location": "Reno, NV", "datetime": "tomorrow", "date": "2026-05-02", "weekday": "Saturday",
    "condition": "partly cloudy", "high_f": 71, "low_f": 52, "precipitation_chance": 30, "wind_mph": 12,
    "wind_direction": "SW", "alerts": [],
}  # fmt: skip
REPLY = (
    "I asked the instruments, for they never learned to lie. Reno tomorrow has partly cloudy skies, a high of 71°F and "
    "a low of 52°F, a 30 percent chance of rain, and wind at 12 mph."
)
JOKES = pl.DataFrame(
    {
        "chunk_id": ["jokes/a:0-80", "jokes/b:0-80", "local/c:0-60"],
        "style": ["joke", "joke", "franklin"],
        "text": [
            "Why did the mule cross the river? Because the ferry was closed and nobody told him.",
            "The captain asked how 3 pilots share a cigar. They take turns and each holds the wheel with his knees.",
            "He that is always early is never asked to wait, and a man who waits is never asked twice.",
        ],
    }
)


def row(reply: str = REPLY, *, asked: str = "What's the weather in Reno tomorrow?", **changes: Any) -> dict[str, Any]:
    """A single-call dialogue about Reno; `result`, `call` or `turns` may be put in place of the sound ones."""
    turns = [
        rows.turn("user", asked),
        changes.get("call", rows.call("Reno", "tomorrow")),
        rows.turn("tool", rows.compact(changes.get("result", RESULT))),
        rows.turn("assistant", reply),
    ]
    return {
        "conversation_id": changes.get("id", "t/0"),
        "kind": changes.get("kind", "tool_calls"),
        "scenario": "single",
        "tools": json.dumps([FORECAST_TOOL]),
        "turns": changes.get("turns", turns),
        "style_tags": ["twain", "single", "general"],
        "seed_id": "t/0",
        "origin": rows.origin("twain", 1, []),
        "disclaimer": prompts.DISCLAIMER,
    }


def kinds(made: dict[str, Any]) -> list[str]:
    return [problem.partition(":")[0] for problem in quality.problems(made, FORECAST_TOOL)]


def batch(seed: int, **counts: int) -> pl.DataFrame:
    wanted = seeds.DialogueSettings(**{"tool_calls": 30, "style_transfer": 6, "contrastive": 0, **counts})
    made = seeds.make_seeds(JOKES, "b0", wanted, seed)
    return pl.concat([talk.tool_calls(made), transfer.style_transfer(made)])


def test_a_sound_dialogue_has_no_problem():
    assert quality.problems(row(), FORECAST_TOOL) == []


@pytest.mark.slow
@settings(max_examples=examples(15), deadline=None)
@given(st.integers(0, 2**31))
def test_any_seed_gives_dialogues_in_which_every_number_has_its_ground(seed):
    made = batch(seed)
    assert made.schema == pl.Schema(DIALOGUE)
    assert [(each["conversation_id"], found) for each in made.to_dicts() if (found := quality.problems(each))] == []


@settings(max_examples=examples(5), deadline=None)
@given(st.integers(0, 2**31))
def test_equal_seeds_give_equal_dialogues(seed):
    assert batch(seed).equals(batch(seed))


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (REPLY.replace("71", "79"), "ungrounded_number"),
        (REPLY.replace("71°F", "seventy-nine degrees"), "ungrounded_number"),
        (REPLY.replace("30 percent", "12 percent"), "ungrounded_number"),  # 12 is the wind, not the chance
        (REPLY.replace("71", "xx").replace("52", "71").replace("xx", "52"), "wrong_role"),
        (REPLY + " A Tornado Warning is posted.", "invented_alert"),
        ("Reno, NV: partly cloudy. High 71°F, low 52°F.", "flat_voice"),
        (REPLY + ' {"location": "Reno, NV", "high_f": 71}', "raw_data"),
        ("", "empty"),
    ],
)
def test_a_faulty_reply_is_found_by_its_kind(reply, kind):
    assert kind in kinds(row(reply))


@pytest.mark.parametrize(
    "reply",
    [
        REPLY.replace("71°F", "22°C").replace("52°F", "11°C"),  # (71 - 32) * 5/9 = 21.7, (52 - 32) * 5/9 = 11.1
        REPLY.replace("12 mph", "19 km/h"),  # 12 * 1.609 = 19.3
        REPLY.replace("71°F", "seventy-one degrees"),
        REPLY.replace("71°F", "71 degrees Fahrenheit"),
    ],
)
def test_exact_conversions_and_number_words_are_grounded(reply):
    assert quality.problems(row(reply), FORECAST_TOOL) == []


def test_a_conversion_that_is_off_by_one_is_not_grounded():
    assert kinds(row(REPLY.replace("71°F", "23°C"))) == ["ungrounded_number", "wrong_role"]


def test_a_number_of_the_users_own_may_be_repeated():
    asked = "We are 14 for a picnic in Reno tomorrow. How is the weather?"
    assert kinds(row(REPLY + " Bring 14 hats.", asked=asked)) == []
    assert kinds(row(REPLY + " Bring 15 hats.", asked=asked)) == ["ungrounded_number"]


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (rows.call("Elko", "tomorrow"), "argument_not_said"),
        (rows.call("Reno", "Saturday"), "argument_not_said"),
        (rows.call("Reno", "today"), "argument_not_said"),  # the user did name a day
        ({**rows.call("Reno", "tomorrow"), "tool_call": {"tool_name": "get_river", "arguments": "{}"}}, "unknown_tool"),
        (
            {**rows.call("Reno", ""), "tool_call": {"tool_name": rows.TOOL_NAME, "arguments": '{"location": "Reno"}'}},
            "arguments",
        ),
        ({**rows.call("Reno", ""), "tool_call": {"tool_name": rows.TOOL_NAME, "arguments": "{"}}, "arguments"),
        (
            {
                **rows.call("", ""),
                "tool_call": {"tool_name": rows.TOOL_NAME, "arguments": '{"location": "Reno", "datetime": null}'},
            },
            "arguments",
        ),
        (
            {
                **rows.call("", ""),
                "tool_call": {
                    "tool_name": rows.TOOL_NAME,
                    "arguments": '{"location": "Reno", "datetime": "tomorrow", "unit": "F"}',
                },
            },
            "arguments",
        ),
    ],
)
def test_a_faulty_call_is_found_by_its_kind(call, kind):
    assert kind in kinds(row(call=call))


def test_today_may_be_called_for_where_the_user_names_no_day():
    made = row(REPLY, asked="What's the weather in Reno?", call=rows.call("Reno", "today"))
    assert quality.problems(made, FORECAST_TOOL) == []


@pytest.mark.parametrize(
    ("places", "said"),
    [
        ((0, 1, 3), "roles: assistant after call"),
        ((0, 2, 3), "roles: tool after user"),
        ((0, 1, 2), "roles: end after tool"),
    ],
)
def test_a_call_without_its_result_or_reply_is_out_of_order(places, said):
    turns = row()["turns"]
    assert said in quality.problems(row(turns=[turns[at] for at in places]), FORECAST_TOOL)


def test_a_forecast_in_spite_of_a_failure_is_found_and_an_honest_report_is_not():
    failed = {"error": "timeout", "message": "The weather service took too long to answer."}
    honest = (
        "I asked, and the tool timed out before it said a word of Reno. I have no forecast, and will not make one up."
    )
    assert quality.problems(row(honest, result=failed), FORECAST_TOOL) == []
    assert "forecast_despite_failure" in kinds(row(REPLY, result=failed))
    assert kinds(row("Never mind the tool. Expect rain in Reno tomorrow.", result=failed)) == [
        "forecast_despite_failure"
    ]


def test_weather_stated_without_a_call_is_found():
    turns = [rows.turn("user", "Weather in Reno tomorrow?"), rows.turn("assistant", REPLY)]
    assert "no_call" in kinds(row(turns=turns))


@pytest.mark.parametrize("word", ["rain", "sunny skies", "snow"])
def test_a_forecast_without_figures_still_needs_a_call(word):
    turns = [rows.turn("user", "Weather in Reno?"), rows.turn("assistant", f"Expect {word} in Reno, friend.")]
    assert kinds(row(turns=turns)) == ["no_call"]


@pytest.mark.parametrize(
    ("text", "read"),
    [
        ("a high of 71°F and wind at 12 mph", [(71, "degrees"), (12, "mph")]),
        ("seventy-one degrees, thirty percent", [(71, "degrees"), (30, "percent")]),
        ("a low of -5 degrees on 2026-07-04", [(-5, "degrees"), (2026, ""), (7, ""), (4, "")]),
        ("one of them, one degree", [(1, "degrees")]),
        ("22°C and 19 km/h", [(22, "celsius"), (19, "kmh")]),
        ("one hundred and four", [(104, "")]),
        ("two dozen", [(24, "")]),
        ("1,200 words", [(1200, "")]),
    ],
)
def test_numbers_are_read_with_their_units(text, read):
    assert [(figure.value, figure.unit) for figure in figures.read(text)] == read


@given(st.integers(-60, 130))
def test_celsius_is_within_half_a_degree_of_the_exact_value(fahrenheit):
    assert abs(figures.celsius(fahrenheit) - (fahrenheit - 32) / 1.8) <= 0.5 + 1e-9


def test_the_longest_copied_run_counts_words_whatever_the_marks():
    assert quality.longest_copied_run("He said: the cat sat, on it!", ["why THE CAT SAT ON a mat"]) == 4
    assert quality.longest_copied_run("abc", ["xyz"]) == 0


def test_replies_that_share_seven_of_ten_trigrams_are_near_duplicates():
    # 9 words make 7 trigrams, 12 words make 10; the short text is a part of the long one: 7 / 10
    long = "a b c d e f g h i j k l"
    assert quality.near_duplicates([long, "a b c d e f g h i"]) == {1: 0}
    assert quality.near_duplicates([long, "a b c d e f g h"]) == {}  # 6 / 10


def test_variety_of_two_replies_is_counted_by_hand():
    made = frame([row("the cat sat. the dog sat.", id="a"), row("the cat sat. the cow ran.", id="b")], DIALOGUE)
    spoken = [reply for each in made.to_dicts() for reply in quality.replies(each)]
    # words: the cat sat the dog sat / the cat sat the cow ran: 6 distinct of 12; 7 distinct pairs of 10
    measured = variety.measure(spoken)
    assert measured.distinct_1 == 6 / 12
    assert measured.distinct_2 == pytest.approx(7 / 10)
    assert quality.unique_openings(spoken) == 1.0
    assert quality.unique_openings([*spoken, *spoken]) == 0.5
    assert quality.unique_openings([]) == 0.0
    assert max(quality.longest_copied_run(reply, ["the dog sat"]) for reply in spoken) == 3


def test_a_batch_of_400_is_varied_and_its_tool_replies_have_a_replys_length():
    made = batch(11, tool_calls=400)
    spoken = [reply for each in made.to_dicts() for reply in quality.replies(each)]
    assert len(quality.near_duplicates(spoken)) / len(spoken) < 0.05
    assert variety.measure(spoken).distinct_2 > 0.15
    lengths = [
        len(each["turns"][-1]["content"].split()) for each in made.to_dicts() if each["style_tags"][1] == "single"
    ]
    assert sum(35 <= length <= 90 for length in lengths) / len(lengths) > 0.95


def test_a_style_transfer_reply_is_never_only_a_copy():
    for each in batch(5, tool_calls=0, style_transfer=9).to_dicts():
        user, reply = each["turns"][1]["content"], each["turns"][2]["content"]
        assert quality.longest_copied_run(reply, [user]) < 0.7 * len(reply.split())


class Scorer:
    """Gives each text the same score, or none."""

    def __init__(self, value: float | None) -> None:
        self.backend = "constant" if value is not None else "not_scored"
        self.value = value

    def score(self, texts: list[str]) -> list[float | None]:
        return [self.value] * len(texts)


def test_screening_keeps_the_sound_rejects_the_faulty_and_names_the_reasons():
    made = frame([row(id="a"), row(REPLY.replace("71", "79"), id="b"), row(id="c")], DIALOGUE)
    screened = quality.screen_dialogues(made, Scorer(0.01))
    assert screened.schema == pl.Schema(SCREENED_DIALOGUE)
    assert screened["decision"].to_list() == ["keep", "reject", "reject"]
    assert screened["reasons"].to_list()[1][0].startswith("ungrounded_number: 79")
    assert screened["reasons"].to_list()[2] == ["near_duplicate: a"]


def test_an_absent_scorer_leaves_null_and_says_so():
    screened = quality.screen_dialogues(frame([row()], DIALOGUE), Scorer(None))
    assert screened["toxicity"].to_list() == [None]
    assert screened["toxicity_backend"].to_list() == ["not_scored"]
    assert screened["decision"].to_list() == ["keep"]


def test_a_toxic_reply_is_rejected_and_a_lexical_flag_asks_for_review():
    made = frame([row()], DIALOGUE)
    assert quality.screen_dialogues(made, Scorer(0.9))["reasons"].to_list() == [["toxicity: 0.90 >= 0.5"]]
    flagged = quality.screen_dialogues(made, Scorer(0.0), lexical_flags=lambda text: ["lie"] if "lie" in text else [])
    assert flagged["decision"].to_list() == ["review"]
    assert flagged["reasons"].to_list() == [["lexical: lie"]]


def test_feedback_gives_an_unfounded_reply_factuality_one_and_says_why():
    made = frame([row(id="a"), row(REPLY.replace("71", "79"), id="b")], DIALOGUE)
    rated = feedback.feedback(made)
    assert rated.schema == pl.Schema(FEEDBACK)
    assert rated["factuality"].to_list() == [5, 1]
    assert "ungrounded_number: 79" in rated["rationale"][1]
    assert set(rated["rater"]) == {feedback.RATER}


def test_a_flat_reply_scores_lower_in_style_and_humour_than_a_voiced_one():
    voiced = (
        REPLY + " It is a sky like a deacon, who would sooner be thought of than seen, and I reckon my mule agrees."
    )
    flat = "Reno, NV tomorrow: partly cloudy. High 71°F, low 52°F. Precipitation 30%. Wind SW 12 mph."
    rated = feedback.feedback(frame([row(voiced, id="a"), row(flat, id="b")], DIALOGUE))
    assert rated["style"][0] > rated["style"][1] == 1
    assert rated["humor"][0] > rated["humor"][1] == 1
    assert rated["factuality"].to_list() == [5, 3]


def test_every_dialogue_says_that_it_is_synthetic_and_where_it_came_from():
    for each in batch(2).to_dicts():
        told = json.loads(each["origin"])
        assert each["disclaimer"] == prompts.DISCLAIMER
        assert told["generator"] == rows.GENERATOR
        assert told["model"] is None
        persona, system = each["style_tags"][0], each["turns"][0]["content"]
        assert system.startswith(prompts.system_prompt(persona))  # a stated today may follow
        assert told["prompt_hash"] == prompts.prompt_hash(prompts.system_prompt(persona))
        assert set(told["parents"]) <= set(JOKES["chunk_id"])
        assert bool(told["parents"]) == (each["kind"] == "style_transfer")


def test_a_town_that_is_called_low_has_a_high_too():
    arizona = {**RESULT, "location": "Show Low, AZ"}
    reply = REPLY.replace("Reno tomorrow has partly cloudy skies,", "Partly cloudy skies; Show Low tomorrow has")
    asked = {"asked": "What's the weather in Show Low tomorrow?", "call": rows.call("Show Low", "tomorrow")}
    assert kinds(row(reply, result=arizona, **asked)) == []
    swapped = reply.replace("71", "xx").replace("52", "71").replace("xx", "52")
    assert "wrong_role" in kinds(row(swapped, result=arizona, **asked))


# --- several tools, several calls, a stated today ----------------------------------------------------------------------

SEVERAL = {
    "type": "function",
    "function": {
        "name": "get_days",
        "parameters": {
            "type": "object",
            "properties": {
                "city": {"type": "string"},
                "days": {"type": "integer", "minimum": 1, "maximum": 7},
                "units": {"type": "string", "enum": ["celsius", "fahrenheit"]},
                "start": {"type": "string", "format": "date"},
            },
            "required": ["city"],
        },
    },
}
TODAY = rows.turn("system", "You are Mark Twain. Today is Tuesday, 6 October 2026.")
DAYS = {"city": "Elko, NV", "date": "2026-10-09", "high": 20, "low": 5, "units": "celsius", "wind": "16 km/h W"}
SAID_OF_DAYS = "I asked, since my own guess is worth its price. Elko on Friday has a high of 20°C and a low of 5°C."


def days_call(**arguments: object) -> dict[str, Any]:
    return {
        "role": "assistant",
        "content": "",
        "tool_call": {"tool_name": "get_days", "arguments": json.dumps(arguments)},
    }


def days_row(call: dict[str, Any], asked: str, reply: str = SAID_OF_DAYS, today: bool = True) -> dict[str, Any]:
    turns = [rows.turn("user", asked), call, rows.turn("tool", rows.compact(DAYS)), rows.turn("assistant", reply)]
    return {**row(), "tools": json.dumps([FORECAST_TOOL, SEVERAL]), "turns": [TODAY, *turns] if today else turns}


def test_a_call_is_held_to_the_schema_that_its_row_offers():
    asked = "Elko for the next 3 days, please, in Celsius, from Friday on."
    sound = days_row(days_call(city="Elko", days=3, units="celsius", start="2026-10-09"), asked)
    assert quality.problems(sound) == []
    assert quality.problems({**sound, "tools": json.dumps([FORECAST_TOOL])}) == ["unknown_tool: get_days"]


def test_a_call_with_an_argument_of_a_tool_that_names_none_is_a_fault_and_no_crash():
    bare = {"type": "function", "function": {"name": "get_days", "parameters": {"type": "object"}}}
    made = {**days_row(days_call(city="Elko"), "Elko on Friday, please."), "tools": json.dumps([bare])}
    assert quality.problems(made) == ["arguments: city is not in the schema"]


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        ({"days": 3}, "arguments: 'city' is a required property"),
        ({"city": "Elko", "days": 9}, "arguments: days: 9 is greater than the maximum of 7"),
        ({"city": "Elko", "days": "3"}, "arguments: days: '3' is not of type 'integer'"),
        ({"city": "Elko", "units": "kelvin"}, "arguments: units: 'kelvin' is not one of ['celsius', 'fahrenheit']"),
        ({"city": "Elko", "start": "Friday"}, "arguments: start: 'Friday' is not a 'date'"),
        ({"city": "Elko", "place": "Elko"}, "arguments: place is not in the schema"),
        ({"city": "Elko", "days": 5}, "argument_not_said: days=5 is not in the user's words"),
        ({"city": "Reno"}, "argument_not_said: city='Reno' is not in the user's words"),
    ],
)
def test_each_fault_of_a_call_is_told(arguments, kind):
    assert kind in quality.problems(days_row(days_call(**arguments), "Elko on Friday, for 3 days, please, or 9."))


@pytest.mark.parametrize(
    ("said", "day"),
    [
        ("on Friday", "2026-10-09"), ("tomorrow", "2026-10-07"), ("this weekend", "2026-10-10"),
        ("in three days", "2026-10-09"), ("a week from today", "2026-10-13"), ("on the 9th", "2026-10-09"),
        ("on October 9th", "2026-10-09"), ("next Tuesday", "2026-10-20"), ("on Christmas", "2026-12-25"), ("", "2026-10-06"),
    ],
)  # fmt: skip
def test_a_day_is_resolved_against_the_stated_today_and_only_against_it(said, day):
    call = days_call(city="Elko", start=day)
    asked = f"How is Elko {said}?"
    fault = f"argument_not_said: start={day!r} is not in the user's words"
    assert fault not in quality.problems(days_row(call, asked))
    assert fault in quality.problems(days_row(call, asked, today=False))
    assert fault.replace(day, "2026-10-17") in quality.problems(
        days_row(days_call(city="Elko", start="2026-10-17"), asked)
    )


@pytest.mark.parametrize(
    ("value", "asked", "is_said"),
    [
        ("MO", "Any alerts tomorrow?", False), ("ME", "Some rain, or none?", False), ("IN", "Rain in Gary?", False),
        ("Reno", "How is Moreno Valley?", False), ("5", "Rain on the 15th?", False),
        ("MO", "Hannibal, MO, if you please.", True), ("NJ", "The one in New Jersey.", True), ("reno", "How is Reno?", True),
        ("Reno", "What of Reno's sky?", True), (" Reno ", "And in Reno?", True), ("", "And in Reno?", True),
    ],
)  # fmt: skip
def test_a_value_is_said_in_whole_words_and_two_letters_in_their_case(value, asked, is_said):
    assert said.is_said(value, {}, [asked], [], None) is is_said
    if value.strip() != "NJ":  # a result is no place to spell a state out
        assert said.is_said(value, {}, [], [json.dumps({"said": asked})], None) is is_said


def test_a_value_is_found_in_a_result_behind_a_line_break_and_in_escaped_letters():
    told = [json.dumps({"text": "Nearest towns:\nReno\t12 miles\nAñasco"})]
    assert told == [r'{"text": "Nearest towns:\nReno\t12 miles\nA\u00f1asco"}']
    assert all(said.is_said(town, {}, ["Where?"], told, None) for town in ("Reno", "Añasco"))
    assert not said.is_said("asco", {}, ["Where?"], told, None)


def test_a_state_that_only_letters_of_other_words_spell_is_an_invented_argument():
    call = rows.call("MO", "tomorrow")
    assert "argument_not_said: location='MO' is not in the user's words" in quality.problems(
        row(call=call, asked="Any alerts tomorrow?"), FORECAST_TOOL
    )


def test_a_state_may_be_written_short_and_a_town_completed_from_a_later_turn():
    turns = [
        rows.turn("user", "And Portland tomorrow?"), rows.turn("assistant", "Maine or Oregon, friend?"),
        rows.turn("user", "The one in Maine."), rows.call("Portland, ME", "tomorrow"),
    ]  # fmt: skip
    made = row(
        turns=[
            *turns,
            *row(REPLY.replace("Reno", "Portland"), result={**RESULT, "location": "Portland, ME"})["turns"][2:],
        ]
    )
    assert quality.problems(made) == []
    turns[2] = rows.turn("user", "Give me the other.")
    assert "argument_not_said: location='Portland, ME' is not in the user's words" in quality.problems(
        {**made, "turns": [*turns, *made["turns"][4:]]}
    )


ELKO = {**RESULT, "location": "Elko, NV", "high_f": 60, "low_f": 33}
BOTH = "I had two answers for one breath. Reno tomorrow has a high of 71°F. Elko tomorrow has a high of 60°F."


def two_calls(*kept: int) -> list[dict[str, Any]]:
    turns = [
        rows.turn("user", "Reno and Elko tomorrow?"), rows.call("Reno", "tomorrow"), rows.call("Elko", "tomorrow"),
        rows.turn("tool", rows.compact(RESULT)), rows.turn("tool", rows.compact(ELKO)), rows.turn("assistant", BOTH),
    ]  # fmt: skip
    return [turns[at] for at in kept]


def test_several_calls_in_a_row_want_as_many_results():
    assert quality.problems(row(turns=two_calls(0, 1, 2, 3, 4, 5))) == []
    assert quality.problems(row(turns=two_calls(0, 1, 2, 3, 5))) == ["roles: 1 results of 2 calls"]
    assert quality.problems(row(turns=two_calls(0, 1, 3, 4, 5))) == ["roles: 2 results of 1 calls"]


@pytest.mark.parametrize(
    ("reply", "fault"),
    [
        (REPLY.replace("partly cloudy", "clear"), "ungrounded_claim: condition clear skies"),
        (REPLY.replace("Reno tomorrow has", "In Tulsa tomorrow it has"), "ungrounded_claim: place Tulsa"),
        (REPLY.replace("Reno tomorrow", "Reno on Thursday"), "ungrounded_claim: day Thursday"),
        (REPLY + " There will be thick fog.", "ungrounded_claim: condition fog"),
    ],
)
def test_a_claim_that_no_result_supports_is_told_by_its_kind_and_words(reply, fault):
    found = quality.problems(row(reply))
    assert any(problem.startswith(fault[: fault.rindex(" ")]) for problem in found), found


@pytest.mark.parametrize(
    "talk",
    [
        ("Why is the sky blue?", "The air scatters the blue of the sunlight, and the rain has no hand in it."),
        ("What's the time in Ten Sleep, WY?", "I carry no clock that reaches Ten Sleep, WY, and never did."),
        ("It is snowing here and I am sorry for it.", "I am sorry for your snow, and for the shovel."),
    ],
)
def test_talk_that_forecasts_nothing_needs_no_ground(talk):
    asked, said = talk
    assert quality.problems(row(turns=[rows.turn("user", asked), rows.turn("assistant", said)])) == []


def test_a_chance_of_nothing_is_no_rain_and_a_proverb_no_forecast():
    dry = {**RESULT, "precipitation_chance": 0}
    told = REPLY.replace("30 percent", "0 percent")
    assert quality.problems(row(told, result=dry)) == []
    assert quality.problems(row(told + " A cloudy sky makes a good curtain.", result=dry)) == []
    assert kinds(row(told + " A cloudy sky is what you get.", result=dry)) == ["ungrounded_claim"]


def test_a_retold_bulletin_keeps_its_facts_and_a_joke_has_none_to_keep():
    bulletin = "Tell me this in your way: Monday, mostly sunny, with a high near 60 and a north wind of 10 mph."
    sound = "Monday, the office allows, is mostly sunny, with a high near 60 and a wind of 10 mph to hold your hat."
    turns = [rows.turn("user", bulletin), rows.turn("assistant", sound)]
    assert quality.problems(row(turns=turns, kind="style_transfer")) == []
    turns[1] = rows.turn("assistant", sound.replace("is mostly sunny", "brings heavy snow"))
    assert kinds(row(turns=turns, kind="style_transfer")) == ["ungrounded_claim"]
    joke = [
        rows.turn("user", "Tell this: it rained until the fish drowned."),
        rows.turn("assistant", "It snowed until the fish froze."),
    ]
    assert quality.problems(row(turns=joke, kind="style_transfer")) == []


def test_a_list_of_tools_that_is_none_is_a_fault_of_the_row():
    assert kinds({**row(), "tools": "{"}) == []  # a schema given stands in for the row's own
    assert [found.partition(":")[0] for found in quality.problems({**row(), "tools": "{"})] == ["tools"]
    assert [found.partition(":")[0] for found in quality.problems({**row(), "tools": '[{"function": {}}]'})] == [
        "tools"
    ]


def test_words_beside_a_call_are_judged_too():
    call = {**rows.call("Reno", "tomorrow"), "content": "Expect 99 degrees, but let me ask."}
    assert "no_call: weather stated without the tool" in quality.problems(row(call=call))


def test_the_first_letters_of_a_state_in_another_word_are_no_place_of_the_result():
    result = {"location": "Eau Claire, WI", "days": [{"day": "Friday", "condition": "overcast"}]}
    opening = "Here is the serial for Eau Claire, with the ending left open."
    assert grounds._voice_words(f"{opening} Friday has overcast skies.", result) == len(opening.split())
