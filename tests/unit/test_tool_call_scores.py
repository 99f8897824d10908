"""Hermes parsing, the leaderboard's rules, the forgiving rules, and sums over rows."""

from __future__ import annotations

import copy
import json
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.builders import FLEXIBLE
from twainbot.dialogues import weather
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadInput
from twainbot.evals import places_dates
from twainbot.evals.tool_calls import (
    CallRow,
    maximum_matching,
    parse_calls,
    parse_message,
    schema_valid,
    score,
    summarise,
    summarise_by_kind,
)

GOLD = [{"get_forecast": {"location": ["Hannibal, MO"], "datetime": ["Saturday"]}}]
CALL = {"name": "get_forecast", "arguments": {"location": "Hannibal, MO", "datetime": "Saturday"}}


def looked_up(**arguments):
    return [{"name": "look_up", "arguments": {"location": "Reno", **arguments}}]


def accepts(**accepted):
    return [{"look_up": {"location": ["Reno"], **accepted}}]


def with_arguments(**changed):
    return [{"name": "get_forecast", "arguments": {**CALL["arguments"], **changed}}]


# --- parsing


def test_a_hermes_call_is_read_with_its_arguments():
    calls, errors = parse_calls(f"Let me look.\n<tool_call>\n{json.dumps(CALL)}\n</tool_call>")
    assert calls == [CALL]
    assert errors == []


def test_two_calls_keep_their_order():
    second = {"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "today"}}
    text = "".join(f"<tool_call>{json.dumps(call)}</tool_call>" for call in (CALL, second))
    assert parse_calls(text) == ([CALL, second], [])


@pytest.mark.parametrize(
    ("text", "kind", "lost"),
    [
        ('<tool_call>{"name": "get_forecast", "arg', "truncated", True),
        ('<tool_call>{"name": "f", "arguments": {}}', "truncated", False),
        ("<tool_call>{'name': 'f'}</tool_call>", "invalid_json", True),
        ("<tool_call>" + "[" * 100_000 + "</tool_call>", "invalid_json", True),
        ('<tool_call>{"name": "f", "arguments": {"days": ' + "9" * 5_000 + "}}</tool_call>", "invalid_json", True),
        ("<tool_call>[1]</tool_call>", "not_an_object", True),
        ('<tool_call>{"arguments": {}}</tool_call>', "no_name", True),
        ('<tool_call>{"name": "f"}</tool_call>', "no_arguments", True),
        ('<tool_call>{"name": "f", "arguments": null}</tool_call>', "no_arguments", True),
        ('<tool_call>{"name": "f", "arguments": "{\\"a\\": 1}"}</tool_call>', "stringified_arguments", False),
        ('<tool_call>{"name": "f", "arguments": "Reno"}</tool_call>', "stringified_arguments", True),
        ('{"name": "f", "arguments": {}}', "untagged", True),
        ('```json\n{"name": "f", "arguments": {}}\n```', "untagged", True),
        ('<tools>\n{"name": "f", "arguments": {}}\n</tools>', "untagged", True),
        ('{"name": "f", "arguments": {}}</tool_call>', "stray_end", True),
    ],
)
def test_a_fault_of_form_is_counted_and_never_dropped(text, kind, lost):
    calls, errors = parse_calls(text)
    assert [(error.kind, error.lost) for error in errors] == [(kind, lost)]
    assert len(calls) == (0 if lost else 1)


def test_a_call_left_open_before_the_next_is_an_error_and_both_are_read():
    calls, errors = parse_calls(f"<tool_call>{json.dumps(CALL)}<tool_call>{json.dumps(CALL)}</tool_call>")
    assert calls == [CALL, CALL]
    assert [error.kind for error in errors] == ["truncated"]


def test_plain_talk_about_json_is_no_call():
    assert parse_calls('I keep my names in {"name": "Tom"}.') == ([], [])


@given(st.text(max_size=80))
def test_any_text_parses_without_raising(text):
    calls, errors = parse_calls("<tool_call>" + text)
    assert len(calls) + len(errors) >= 1


# --- strict


def test_the_expected_call_is_right_both_ways():
    result = score([CALL], GOLD, TOOLS)
    assert (result.strict, result.normalised, result.errors) == (True, True, [])


@pytest.mark.parametrize("town", ["hannibal mo", "HANNIBAL, MO", "Hannibal - M.O."])
def test_case_spaces_and_punctuation_do_not_matter_even_strictly(town):
    assert score(with_arguments(location=town), GOLD, TOOLS).strict


def test_silence_is_right_only_where_no_call_is_expected():
    assert score([], [], TOOLS).strict
    assert not score([CALL], [], TOOLS).strict
    assert score([], GOLD, TOOLS).errors == ["0 calls where 1 are right."]


@pytest.mark.parametrize(
    ("sent", "accepted", "right"),
    [
        ({"days": 3}, {"days": [3]}, True),
        ({"days": 3.0}, {"days": [3]}, False),  # a float never stands for an int
        ({"height": 3}, {"height": [3.0]}, True),  # an int may stand for a float
        ({"height": 10**400}, {"height": [3.0]}, False),  # where one can hold it
        ({"days": True}, {"days": [1]}, False),  # a boolean is no number
        ({"alerts": 1}, {"alerts": [True]}, False),
        ({"days": "3"}, {"days": [3]}, False),
        ({"days": "n"}, {"days": ["n"]}, True),  # a variable's name where the key says so
        ({}, {"unit": ["celsius", ""]}, True),
        ({}, {"unit": ["celsius"]}, False),
        ({"unit": "fahrenheit"}, {}, False),  # equal to the default, yet not in the key
        ({"coordinates": [1.0, 2.5]}, {"coordinates": [[1.0, 2.5]]}, True),
        ({"coordinates": [2.5, 1.0]}, {"coordinates": [[1.0, 2.5]]}, False),
        ({"coordinates": ["1.0", 2.5]}, {"coordinates": [[1.0, 2.5]]}, False),
        ({"options": {"a": "X-1"}}, {"options": [{"a": ["x1"], "b": [2, ""]}]}, True),
        ({"options": {"a": "X-1"}}, {"options": [{"a": ["x1"], "b": [2]}]}, False),
        ({"options": {"c": 1}}, {"options": [{"a": ["x1"]}]}, False),
        ({"stops": [{"a": 1}]}, {"stops": [[{"a": [1]}]]}, True),
        ({"stops": [{"a": 1}, {"a": 1}]}, {"stops": [[{"a": [1]}]]}, False),
        ({"height": None}, {"height": [None, ""]}, True),
    ],
)
def test_strict_types_and_values_follow_the_leaderboard(sent, accepted, right):
    assert score(looked_up(**sent), accepts(**accepted), [FLEXIBLE]).strict is right


def test_a_missing_required_argument_is_named():
    result = score([{"name": "look_up", "arguments": {}}], accepts(), [FLEXIBLE])
    assert result.errors == ["look_up: the required argument 'location' is missing."]


def test_an_extra_argument_is_wrong_both_ways():
    result = score(with_arguments(mood="sour"), GOLD, TOOLS)
    assert (result.strict, result.normalised) == (False, False)
    assert result.errors == ["get_forecast: unexpected argument 'mood'."]


def test_parallel_calls_match_in_any_order():
    gold = [*accepts(days=[1]), *accepts(days=[2])]
    assert score([*looked_up(days=2), *looked_up(days=1)], gold, [FLEXIBLE]).strict
    assert not score([*looked_up(days=2), *looked_up(days=2)], gold, [FLEXIBLE]).strict


def test_greedy_matching_is_strict_and_maximum_matching_is_normalised():
    # the first key takes the call that only the second accepts: the leaderboard says wrong, a best matching says right
    gold = [*accepts(days=[1, 2]), *accepts(days=[1])]
    result = score([*looked_up(days=1), *looked_up(days=2)], gold, [FLEXIBLE])
    assert (result.strict, result.normalised) == (False, True)


# --- normalised


@pytest.mark.parametrize(
    "changed",
    [
        {"location": "Hannibal"},
        {"location": "Hannibal, Missouri"},
        {"location": "Hannibal, MO, USA"},
        {"location": "Hannibal MO"},
        {"datetime": "on Saturday"},
        {"datetime": "this Saturday"},
        {"datetime": "Sat"},
    ],
)
def test_another_way_to_write_place_or_day_is_normalised_right(changed):
    assert score(with_arguments(**changed), GOLD, TOOLS).normalised


@pytest.mark.parametrize(
    "changed",
    [
        {"location": "Hannibal, NY"},
        {"location": "Missouri"},
        {"location": "New Hannibal"},
        {"datetime": "Sunday"},
        {"datetime": "next Saturday"},
        {"datetime": "Saturday night"},
        {"location": 7},
    ],
)
def test_another_place_or_day_is_wrong_both_ways(changed):
    result = score(with_arguments(**changed), GOLD, TOOLS)
    assert (result.strict, result.normalised) == (False, False)


def test_tomorrow_equals_its_date_only_when_today_is_known():
    gold = [{"get_forecast": {"location": ["Reno"], "datetime": ["2026-05-02"]}}]
    call = [{"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "tomorrow"}}]
    assert not score(call, gold, TOOLS).normalised
    assert score(call, gold, TOOLS, today=date(2026, 5, 1)).normalised
    assert not score(call, gold, TOOLS, today=date(2026, 5, 2)).normalised


def test_a_weekday_is_the_next_one_after_today_as_the_simulated_tool_reads_it():
    gold = [{"get_forecast": {"location": ["Reno"], "datetime": ["Tuesday"]}}]
    today = date(2026, 10, 6)  # a Tuesday
    for sent, right in (("2026-10-13", True), ("2026-10-06", False), ("today", False)):
        call = [{"name": "get_forecast", "arguments": {"location": "Reno", "datetime": sent}}]
        assert score(call, gold, TOOLS, today=today).normalised is right


@given(st.dates(date(2020, 1, 1), date(2030, 1, 1)), st.sampled_from([*weather.WEEKDAYS, "today", "tomorrow"]))
def test_a_day_in_words_is_the_date_that_the_simulated_tool_answers_for(today, word):
    assert places_dates.day_key(word, today) == str(weather.resolve(word, today))


def test_the_alias_and_the_stored_name_are_normalised_right_unless_they_are_tools_of_their_own():
    for name in ("get_weather", "weather_api.get_forecast"):
        call = [{**CALL, "name": name}]
        assert not score(call, GOLD, TOOLS).strict
        assert score(call, GOLD, TOOLS).normalised
        other = {"name": name, "parameters": {"type": "object", "properties": {}}}
        assert not score(call, GOLD, [*TOOLS, other]).normalised


def test_an_argument_equal_to_the_default_is_normalised_right():
    result = score(looked_up(unit="Fahrenheit"), accepts(), [FLEXIBLE])
    assert (result.strict, result.normalised) == (False, True)
    assert not score(looked_up(unit="celsius"), accepts(), [FLEXIBLE]).normalised


def test_leaving_out_what_the_default_gives_is_normalised_right():
    result = score(looked_up(), accepts(unit=["fahrenheit"]), [FLEXIBLE])
    assert (result.strict, result.normalised) == (False, True)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("Portland, OR", "Portland, ME", False),
        ("Springfield, IL, USA", "Springfield, MA, USA", False),
        ("St. Louis", "Saint Louis, MO", True),
        ("Divinópolis, MG", "Divinopolis", True),
        ("Kansas City", "Kansas", False),
        ("NYC", "New York, NY", True),
        ("London, UK", "London, England", True),
        ("Paris, France", "Paris, TX", False),
        ("", "Reno", False),
    ],
)
def test_places_agree_when_their_qualifiers_do(a, b, same):
    assert places_dates.same_place(a, b) is same


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        ("July 4, 2026", "2026-07-04", True),
        ("4th of July", "2026-07-04", True),
        ("07/04/2026", "2026-07-04", True),
        ("2026-02-30", "2026-03-02", False),
        ("2026-07-04T00:00:00", "2026-07-04", True),
        ("2026-07-04T18:00:00", "2026-07-04", False),
        ("right now", "today", True),
        ("tonight", "today", False),
        ("this weekend", "weekend", True),
        ("Mond", "Monday", True),
        ("mo", "Monday", False),
    ],
)
def test_days_agree_across_notations(a, b, same):
    assert places_dates.same_day(a, b) is same


@given(st.sampled_from(["Hannibal, MO", "Reno", "St. Louis, Missouri, USA"]), st.text(max_size=20))
def test_place_agreement_is_symmetric(place, other):
    assert places_dates.same_place(place, other) == places_dates.same_place(other, place)


# --- sums


def test_precision_and_recall_count_single_calls():
    # two rows: one call right and one extra; one call missing. TP 1, predicted 2, expected 2
    rows = [CallRow([CALL, {**CALL, "name": "nope"}], GOLD, TOOLS), CallRow([], GOLD, TOOLS)]
    result = summarise(rows)
    assert (result.precision, result.recall) == (1 / 2, 1 / 2)
    assert result.exact_strict == 0.0
    assert result.unknown_tool_rate == 1 / 2


def test_a_model_that_always_calls_wins_recall_and_loses_no_call_accuracy():
    rows = [CallRow([CALL], GOLD, TOOLS), CallRow([CALL], [], TOOLS), CallRow([], [], TOOLS)]
    result = summarise(rows)
    assert result.recall == 1.0
    assert (result.no_call_accuracy, result.false_call_rate) == (1 / 2, 1 / 2)
    assert result.exact_strict == pytest.approx(2 / 3)
    assert result.exact_strict_interval.low < 2 / 3 < result.exact_strict_interval.high


def test_a_lost_call_counts_as_a_wrong_prediction():
    row = CallRow.from_record({"reply": "<tool_call>{oops</tool_call>", "expected": [], "tools": TOOLS})
    result = summarise([row])
    assert (result.predicted_calls, result.no_call_accuracy, result.exact_strict) == (1, 0.0, 0.0)
    assert result.format_error_rate == 1.0


def test_recall_uses_the_best_matching():
    gold = [*accepts(days=[1, 2]), *accepts(days=[1])]
    rows = [CallRow([*looked_up(days=1), *looked_up(days=2)], gold, [FLEXIBLE])]
    assert summarise(rows).recall == 1.0


def test_the_copied_argument_rate_sees_an_invented_town():
    rows = [
        CallRow([CALL], GOLD, TOOLS, prompt="What will Saturday bring to Hannibal?"),
        CallRow(with_arguments(location="Boise, ID"), GOLD, TOOLS, prompt="And Saturday in Hannibal?"),
    ]
    # four string arguments, all written by the user but Boise
    assert summarise(rows).argument_copied_from_prompt_rate == 3 / 4


def test_nothing_gives_no_rates():
    result = summarise([])
    assert (result.precision, result.recall, result.no_call_accuracy, result.exact_strict) == (None,) * 4


@pytest.mark.parametrize("record", [{"reply": "x"}, {"reply": "x", "expected": None}, {"expected": []}])
def test_a_row_without_a_key_or_an_answer_is_refused(record):
    with pytest.raises(BadInput, match="needs"):
        CallRow.from_record(record)


@given(st.lists(st.lists(st.integers(0, 4), max_size=4), max_size=5))
def test_a_maximum_matching_is_one_to_one_and_no_smaller_than_a_greedy_one(links):
    matching = maximum_matching(links)
    assert len(set(matching.values())) == len(matching)
    assert all(right in links[left] for right, left in matching.items())
    taken: set[int] = set()
    for rights in links:
        taken |= set([r for r in rights if r not in taken][:1])
    assert len(matching) >= len(taken)


# --- the leaderboard's weather items


def first_allowed(gold):
    """The call that takes the first accepted value of every parameter, nested objects too."""
    pick = lambda values: next((v for v in values if v != ""), None)  # noqa: E731

    def plain(value):
        if isinstance(value, dict):
            return {key: plain(pick(values)) for key, values in value.items()}
        return [plain(v) for v in value] if isinstance(value, list) else value

    (name, accepted), *_ = gold.items()
    return {"name": name, "arguments": {p: plain(pick(vs)) for p, vs in accepted.items() if any(v != "" for v in vs)}}


@pytest.fixture(scope="session")
def weather_items(shared_data):
    files = sorted((shared_data / "evals" / "bfcl_weather").glob("*.jsonl"))
    rows = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    return [row for row in rows if row["ground_truth"]]


@pytest.mark.shared
def test_the_first_allowed_values_of_every_leaderboard_item_are_accepted(weather_items):
    refused = [
        item["id"]
        for item in weather_items
        if not score([first_allowed(g) for g in item["ground_truth"]], item["ground_truth"], item["function"]).strict
    ]
    assert len(weather_items) == 215
    assert refused == []


@pytest.mark.shared
def test_every_mutation_of_a_leaderboard_item_is_refused(weather_items):
    accepted = []
    for item in weather_items:
        right = [first_allowed(gold) for gold in item["ground_truth"]]
        renamed, extra, doubled, other = (copy.deepcopy(right) for _ in range(4))
        renamed[0]["name"] += "_not"
        extra[0]["arguments"]["zz_unknown"] = 1
        doubled.append(right[0])
        for parameter in other[0]["arguments"]:
            other[0]["arguments"][parameter] = "qqq nowhere"
        wrong = [renamed, extra, doubled, right[1:]] + ([other] if other[0]["arguments"] else [])
        for calls in wrong:
            result = score(calls, item["ground_truth"], item["function"])
            accepted += [(item["id"], calls)] if result.strict or result.normalised else []
    assert accepted == []


# --- other dialects, kinds, schemas


def test_an_openai_message_may_write_its_arguments_as_text_and_a_broken_one_is_counted():
    written = {"function": {"name": CALL["name"], "arguments": json.dumps(CALL["arguments"])}}
    assert parse_message({"tool_calls": [written]}) == ([CALL], [])
    calls, errors = parse_message({"tool_calls": [written, {"function": {"name": "x", "arguments": "{"}}, 7]})
    assert calls == [CALL]
    assert [(error.kind, error.lost) for error in errors] == [("invalid_json", True), ("not_an_object", True)]


@pytest.mark.parametrize("fence", ["{}", "```json\n{}\n```", "<tools>{}</tools>"])
def test_bare_json_is_a_call_only_where_it_was_asked_for(fence):
    text = fence.replace("{}", json.dumps(CALL))
    assert parse_message(text, bare=True) == ([CALL], [])
    assert [error.kind for error in parse_message(text)[1]] == ["untagged"]


def test_a_bare_list_keeps_its_order_and_llamas_parameters_are_arguments():
    other = {"name": "get_forecast", "parameters": {"location": "Reno", "datetime": "today"}}
    calls, errors = parse_message(json.dumps([CALL, other, {"name": ""}]), bare=True)
    assert [call["arguments"]["location"] for call in calls] == ["Hannibal, MO", "Reno"]
    assert [error.kind for error in errors] == ["no_name"]


@pytest.mark.parametrize(
    ("arguments", "valid"),
    [
        ({"location": "Reno", "datetime": "today"}, True),
        ({"location": "Reno"}, False),
        ({"location": 7, "datetime": "today"}, False),
        ({"location": "Reno", "datetime": "today", "units": "F"}, False),
    ],
)
def test_a_call_is_valid_by_its_schema_whether_or_not_it_is_right(arguments, valid):
    assert schema_valid({"name": "get_forecast", "arguments": arguments}, TOOLS) is valid
    assert not schema_valid({"name": "get_tides", "arguments": arguments}, TOOLS)


def test_figures_by_kind_are_those_of_their_rows():
    silent, single = CallRow([], [], TOOLS), CallRow([CALL], GOLD, TOOLS)
    several = CallRow([CALL], [*GOLD, *GOLD], TOOLS)
    found = summarise_by_kind([silent, single, several])
    assert {kind: summary.n for kind, summary in found.items()} == {"none": 1, "parallel": 1, "simple": 1}
    assert (found["simple"].recall, found["parallel"].recall) == (1.0, 1 / 2)
    assert found["simple"].schema_valid_rate == 1.0
