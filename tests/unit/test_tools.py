"""The stored tool name, the served one, and stored turns as chat messages."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.dialogues import tools
from twainbot.errors import BadInput


def test_the_map_between_stored_and_served_names_is_one_to_one():
    assert {tools.stored_name(tools.served_name(name)) for name in tools.STORED_TO_SERVED} == set(
        tools.STORED_TO_SERVED
    )
    assert len(tools.SERVED_TO_STORED) == len(tools.STORED_TO_SERVED)


def test_an_alias_is_accepted_and_never_emitted():
    assert tools.stored_name("get_weather") == "weather_api.get_forecast"
    assert tools.served_name(tools.stored_name("get_weather")) == "get_forecast"


@given(st.from_regex(r"[a-z_]{1,10}(\.[a-z_]{1,10}){0,3}", fullmatch=True))
def test_a_served_name_has_no_dot(name):
    assert "." not in tools.served_name(name)


def test_turns_become_messages_with_arguments_as_objects_and_the_tool_named():
    call = {"tool_name": "weather_api.get_forecast", "arguments": '{"location": "Reno", "datetime": "today"}'}
    turns = [
        {"role": "user", "content": "Reno?", "tool_call": None},
        {"role": "assistant", "content": None, "tool_call": call},
        {"role": "tool", "content": '{"high_f":71}', "tool_call": None},
    ]
    messages = tools.to_messages(turns)
    function = messages[1]["tool_calls"][0]["function"]
    assert function == {"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "today"}}
    assert messages[2] == {"role": "tool", "name": "get_forecast", "content": '{"high_f":71}'}
    assert messages[0] == {"role": "user", "content": "Reno?"}


@pytest.mark.parametrize("arguments", ["{", "[1]", '"Reno"'])
def test_arguments_that_are_no_json_object_are_refused_with_what_was_found(arguments):
    with pytest.raises(BadInput, match="arguments"):
        tools.call_arguments({"arguments": arguments})


@given(st.dictionaries(st.text(max_size=8), st.text(max_size=8), max_size=3))
def test_arguments_read_the_same_from_text_and_from_an_object(arguments):
    assert tools.call_arguments({"arguments": json.dumps(arguments)}) == tools.call_arguments({"arguments": arguments})


def test_calls_in_a_row_become_one_message_whose_results_are_named_in_their_order():
    def called(name: str) -> dict[str, object]:
        return {"role": "assistant", "content": "", "tool_call": {"tool_name": name, "arguments": "{}"}}

    results = [{"role": "tool", "content": text, "tool_call": None} for text in ("first", "second", "third")]
    turns = [called("weather_api.get_forecast"), called("get_weather"), *results[:2], called("get_weather"), results[2]]
    messages = tools.to_messages(turns)
    assert [message["role"] for message in messages] == ["assistant", "tool", "tool", "assistant", "tool"]
    assert [call["function"]["name"] for call in messages[0]["tool_calls"]] == ["get_forecast", "get_weather"]
    answered = [(message["name"], message["content"]) for message in messages if message["role"] == "tool"]
    assert answered == [("get_forecast", "first"), ("get_weather", "second"), ("get_weather", "third")]


def test_an_alias_that_is_offered_is_a_tool_of_its_own():
    assert tools.stored_name("get_weather", offered=["get_weather"]) == "get_weather"
    assert tools.served_name("get_weather") == "get_weather"
