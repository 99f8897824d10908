"""The gate on synthetic dialogues: sound ones pass, each planted fault is found, variety is measured in view."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twainbot.dialogues import feedback, figures, prompts, quality, rows, seeds, talk, transfer
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


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**31))
def test_any_seed_gives_dialogues_in_which_every_number_has_its_ground(seed):
    made = batch(seed)
    assert made.schema == pl.Schema(DIALOGUE)
    assert [
        (each["conversation_id"], found) for each in made.to_dicts() if (found := quality.problems(each, FORECAST_TOOL))
    ] == []


@settings(max_examples=5, deadline=None)
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
    measured = quality.variety(made, ["the dog sat"])
    # words: the cat sat the dog sat / the cat sat the cow ran: 6 distinct of 12; 8 distinct pairs of 10
    assert measured["distinct_1"] == 6 / 12
    assert measured["distinct_2"] == pytest.approx(7 / 10)
    assert measured["unique_openings"] == 1.0
    assert measured["longest_copied_run"] == 3


def test_a_batch_of_400_is_varied_and_its_tool_replies_have_a_replys_length():
    made = batch(11, tool_calls=400)
    measured = quality.variety(made)
    assert measured["near_duplicate_share"] < 0.05
    assert measured["distinct_2"] > 0.15
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
        assert told["prompt_hash"] == prompts.prompt_hash(each["turns"][0]["content"])
        assert set(told["parents"]) <= set(JOKES["chunk_id"])
        assert bool(told["parents"]) == (each["kind"] == "style_transfer")


def test_a_town_that_is_called_low_has_a_high_too():
    arizona = {**RESULT, "location": "Show Low, AZ"}
    reply = REPLY.replace("Reno tomorrow has partly cloudy skies,", "Partly cloudy skies; Show Low tomorrow has")
    asked = {"asked": "What's the weather in Show Low tomorrow?", "call": rows.call("Show Low", "tomorrow")}
    assert kinds(row(reply, result=arizona, **asked)) == []
    swapped = reply.replace("71", "xx").replace("52", "71").replace("xx", "52")
    assert "wrong_role" in kinds(row(swapped, result=arizona, **asked))
