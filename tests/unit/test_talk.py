"""Tool dialogues over whole batches: grounded, valid against the tools of their row, and the same for equal seeds."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator
from datetime import date
from functools import cache
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from tests.examples import examples
from twainbot.dialogues import quality, rows, seeds, situations, speech, talk, tools, weather
from twainbot.dialogues.observations import Observation
from twainbot.dialogues.seeds import DialogueSettings
from twainbot.evals import grounding
from twainbot.evals.tool_calls import score

NO_PASSAGES = pl.DataFrame(schema={"chunk_id": pl.String, "style": pl.String, "text": pl.String})
LISTED = (  # the kinds that the set must hold, by the scenarios that make them up
    {"single"}, {"two_days", "two_places"}, {"follow_up", "thanks"}, {"parallel"}, {"clarify"}, {"ambiguous"}, {"no_tool"},
    {"unknown_place"}, {"tool_error"}, {"timeout"}, {"stale"}, {"missing"}, {"units"}, {"dates"}, {"refusal"}, {"other_tool"},
)  # fmt: skip


def seen(town: str, state: str, condition: str, **figures: int | None) -> Observation:
    """A period of a bulletin that was written for these tests."""
    known: dict[str, Any] = {"high_f": None, "low_f": None, "precipitation_chance": None, "wind_mph": None, **figures}
    day = date(2026, 10, 7)
    return Observation(
        f"weather/{town}:0-90", f"weather/{town}", town, state, date(2026, 10, 6), day, "Wednesday", condition,
        **known, wind_direction="NW" if known["wind_mph"] else None, text="",
    )  # fmt: skip


SEEN = (
    seen("Canton", "MO", "partly sunny", high_f=64, wind_mph=12),
    seen("Quincy", "IL", "mostly clear", low_f=41),
    seen("Rugby", "ND", "rain", high_f=51, precipitation_chance=80),
    seen("Paducah", "KY", "sunny", high_f=70),  # the evaluation's
    seen("Elgin", "ND", "rain or perhaps frogs", high_f=70),  # nothing that could be spoken
)


def frozen(count: int, seed: int, batch: str = "b000", observations: tuple[Observation, ...] = SEEN) -> pl.DataFrame:
    wanted = DialogueSettings(tool_calls=count, style_transfer=0, contrastive=0)
    return seeds.make_seeds(NO_PASSAGES, batch, wanted, seed, observations)


@cache
def made(count: int = 700, seed: int = 3) -> list[dict[str, Any]]:
    """The dialogues of one batch as rows."""
    return talk.tool_calls(frozen(count, seed)).to_dicts()


def calls(row: dict[str, Any]) -> list[dict[str, Any]]:
    """The calls of a dialogue as a model writes them."""
    called = [turn["tool_call"] for turn in row["turns"] if turn["tool_call"]]
    return [{"name": tools.served_name(c["tool_name"]), "arguments": tools.call_arguments(c)} for c in called]


def judged(row: dict[str, Any]) -> Iterator[grounding.Claim]:
    """The claims of every spoken turn, held to the results before it."""
    for at, turn in enumerate(row["turns"]):
        if turn["role"] == "assistant" and not turn["tool_call"]:
            before = row["turns"][:at]
            results = [item["content"] for item in before if item["role"] == "tool"]
            yield from grounding.judge(turn["content"], results, calls=calls({"turns": before}))


@pytest.mark.slow
def test_no_reply_of_a_batch_states_what_its_results_do_not():
    wrong = [
        (row["conversation_id"], claim.text, claim.reason)
        for row in made()
        for claim in judged(row)
        if claim.verdict in grounding.ERRORS
    ]
    assert wrong == []


def test_every_call_is_valid_against_a_schema_that_its_dialogue_offers():
    for row in made():
        schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in json.loads(row["tools"])}
        for call in calls(row):
            Draft202012Validator(schemas[call["name"]]).validate(call["arguments"])
            assert set(call["arguments"]) <= set(schemas[call["name"]]["properties"])


def test_the_checker_accepts_every_gold_call_and_refuses_it_under_another_tools_name():
    for row in made():
        found, offered = calls(row), json.loads(row["tools"])
        gold = [{call["name"]: {name: [value] for name, value in call["arguments"].items()}} for call in found]
        assert score(found, gold, offered).strict
        if found:
            assert not score([{**call, "name": "get_tide_times"} for call in found], gold, offered).normalised


def test_each_listed_kind_has_its_share_and_a_fifth_calls_nothing():
    counts = Counter(json.loads(payload)["scenario"] for payload in frozen(3000, 7)["payload"])
    for kind in LISTED:
        assert sum(counts[scenario] for scenario in kind) >= 0.03 * 3000, kind
    assert counts["no_tool"] >= 0.2 * 3000


def test_most_dialogues_offer_the_houses_tool_alone_and_the_rest_up_to_four():
    offered = [json.loads(row["tools"]) for row in made()]
    assert sum(tool == tools.TOOLS for tool in offered) >= 0.55 * len(offered)
    assert {len(tool) for tool in offered} == {1, 2, 3, 4}
    names = {tool["function"]["name"] for some in offered for tool in some}
    assert {"get_forecast", "get_weather", "daily_outlook", "get_alerts"} <= names


@settings(max_examples=examples(10), deadline=None)
@given(st.integers(0, 2**31), st.integers(1, 30), st.integers(1, 30))
def test_row_n_is_the_same_however_many_rows_a_batch_has(seed: int, few: int, more: int):
    short, long = sorted((few, more))
    assert talk.tool_calls(frozen(long, seed)).head(short).equals(talk.tool_calls(frozen(short, seed)))


@settings(max_examples=examples(5), deadline=None)
@given(st.integers(0, 2**31))
def test_equal_seeds_give_equal_bytes_and_other_batches_other_dialogues(seed: int):
    again = [json.dumps(talk.tool_calls(frozen(20, seed)).to_dicts()) for _ in range(2)]
    assert again[0] == again[1]
    assert json.dumps(talk.tool_calls(frozen(20, seed, "b001")).to_dicts()) != again[0]


def test_a_new_bulletin_changes_no_dialogue_of_a_frozen_batch():
    before = frozen(60, 5)
    written = talk.tool_calls(before)
    frozen(60, 5, observations=(*SEEN, seen("Mott", "ND", "clear", low_f=30)))
    assert talk.tool_calls(before).equals(written)


def test_a_dialogue_on_a_bulletin_names_its_chunk_and_states_the_bulletins_figures():
    standing = [row for row in made() if json.loads(row["origin"])["parents"]]
    assert len(standing) > 30
    for row in standing:
        (parent,) = json.loads(row["origin"])["parents"]
        period = next(period for period in SEEN if period.chunk_id == parent)
        (result,) = rows.tool_results(row["turns"])
        assert period.location in result.values()
        assert period.town not in ("Paducah", "Elgin")


def test_no_place_of_the_evaluation_stands_in_a_dialogue():
    text = "\n".join(turn["content"] or "" for row in made() for turn in row["turns"])
    assert [region for region in weather.reserved_regions() if re.search(rf"\b{region}\b", text)] == []


def of(scenario: str) -> list[dict[str, Any]]:
    """The dialogues of a scenario in the batch: about 4 % of it, 28."""
    return [row for row in made() if row["scenario"] == scenario]


def last(row: dict[str, Any]) -> str:
    """What the assistant says last."""
    return row["turns"][-1]["content"]


def test_two_questions_at_once_are_two_calls_in_a_row_and_one_reply():
    for row in of("parallel"):
        roles = ["call" if turn["tool_call"] else turn["role"] for turn in row["turns"]]
        assert roles == ["system", "user", "call", "call", "tool", "tool", "assistant"]
        messages = tools.to_messages(row["turns"])
        assert len(messages[2]["tool_calls"]) == 2
        assert calls(row)[0] != calls(row)[1]


def test_a_question_back_comes_before_the_call_and_the_call_has_what_was_answered():
    for row in [*of("clarify"), *of("ambiguous")]:
        roles = ["call" if turn["tool_call"] else turn["role"] for turn in row["turns"]]
        assert roles == ["system", "user", "assistant", "user", "call", "tool", "assistant"]
        assert any(value in row["turns"][3]["content"] for value in calls(row)[0]["arguments"].values())


def test_what_the_first_result_answers_needs_no_second_call():
    assert all(len(calls(row)) == 1 for row in [*of("follow_up"), *of("thanks")])
    assert all(len(calls(row)) == 2 for row in [*of("two_days"), *of("two_places")])


def test_the_second_of_two_days_is_the_later_one():
    payloads = [json.loads(text) for text in frozen(2000, 9)["payload"]]
    pairs = [p["asks"] for p in payloads if p["scenario"] in ("two_days", "parallel")]
    days = [(first["result"]["date"], second["result"]["date"]) for first, second in pairs if "when" not in first]
    apart = [
        (a, b) for (a, b), (first, second) in zip(days, pairs, strict=True) if first["location"] == second["location"]
    ]
    assert len(apart) > 60
    assert all(a < b for a, b in apart)


def test_a_failed_tool_is_reported_and_no_figure_said():
    for row in [*of("tool_error"), *of("timeout")]:
        assert rows.tool_results(row["turns"])[-1]["error"] in tools.ERROR_CODES
        assert not re.search(r"\d", re.sub(r"\d{4}-\d\d-\d\d", "", last(row)))


def test_a_stale_result_is_answered_with_the_day_of_its_issue():
    for row in of("stale"):
        issued = date.fromisoformat(rows.tool_results(row["turns"])[0]["issued_at"][:10])
        assert "Today is" in row["turns"][0]["content"]
        assert "yesterday" in last(row) or weather.WEEKDAYS[issued.weekday()] in last(row)


def test_a_field_that_is_null_is_said_to_be_missing():
    for row in of("missing"):
        assert None in rows.tool_results(row["turns"])[0].values()
        assert any(lead in last(row) for lead in ("blank", "say", "silent", "left out", "empty", "nothing", "filled"))


def test_metric_replies_hold_exact_conversions():
    for row in of("units"):
        assert re.search(r"°C|Celsius|km/h", last(row)), last(row)
        assert not re.search(r"°F| mph|miles an hour", last(row))


def test_a_day_counted_from_today_is_called_for_by_its_date():
    for row in of("dates"):
        assert "Today is" in row["turns"][0]["content"]
        (call,) = calls(row)
        (value,) = [value for value in call["arguments"].values() if re.fullmatch(r"\d{4}-\d\d-\d\d", str(value))]
        assert value not in row["turns"][1]["content"]


@pytest.mark.parametrize("today", [date(2026, 10, 5 + n) for n in range(7)])
def test_next_friday_is_said_only_where_both_readings_of_it_agree(today: date):
    import random

    for seed in range(60):
        for words, day in situations._spoken_dates(random.Random(seed), today):
            if words.startswith("next "):
                monday = today.toordinal() - today.weekday() + 7  # of next week
                assert monday <= day.toordinal() < monday + 7
                assert 1 <= (day - today).days <= 7


def test_a_refusal_gives_no_figure():
    for row in of("refusal"):
        assert not re.search(r"\d", re.sub(r"\d{4}-\d\d-\d\d", "", last(row)))
    assert {row["style_tags"][2] for row in of("refusal")} == set(situations.REFUSALS)


def test_tools_that_cannot_look_ahead_are_not_called():
    assert of("lacking")
    assert all(calls(row) == [] and row["kind"] == "no_tool" for row in of("lacking"))


@pytest.mark.slow
def test_the_replies_of_three_thousand_dialogues_hardly_repeat_each_other():
    texts = ["\n".join(quality.replies(row)) for row in made(3000, 7)]
    assert len(quality.near_duplicates(texts)) / 3000 <= 0.02


def test_replies_read_as_sentences():
    wrong = re.compile(
        r"  | [,.;:]|\.\.|\ba [aeiou]|(?<!')\ban [^aeiou8\W]|[{}<>|]|\bon on\b|\bthe the\b|-?\b1 degrees", re.IGNORECASE
    )
    spared = re.compile(r"\b(?:a one|a u[ns]|an hour|an hono|an honest|an heir|a eu)\w*", re.IGNORECASE)
    found = [
        (m[0], reply) for row in made() for reply in quality.replies(row) if (m := wrong.search(spared.sub("x", reply)))
    ]
    assert found == []


@pytest.mark.parametrize(
    ("number", "said"), [(1, "1st"), (2, "2nd"), (3, "3rd"), (4, "4th"), (11, "11th"), (22, "22nd")]
)
def test_ordinals(number: int, said: str):
    assert speech.ordinal(number) == said
