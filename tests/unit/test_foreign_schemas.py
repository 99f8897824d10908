"""Schemas of foreign tools: nothing is fetched for them, and a dialogue that offers a broken one is a fault of its row."""

from __future__ import annotations

import json
import urllib.request

import pytest

from twainbot.dialogues import quality, rows, tool_results

A_WORD = {"properties": {"a": {"type": "string"}}}


def dialogue(schema: object, said: str = "Reno") -> dict:
    """A dialogue that calls a tool of that schema with `a`."""
    tools = [{"type": "function", "function": {"name": "look_up", "description": "", "parameters": schema}}]
    asked, found = rows.turn("user", "Look up Reno."), rows.turn("tool", '{"found": 1}')
    turns = [asked, rows.tool_call("look_up", {"a": said}), found, rows.turn("assistant", "One.")]
    return {"kind": "tool_calls", "tools": json.dumps(tools), "turns": turns}


def of_the_call(schema: object, **more: str) -> list[str]:
    return [why for why in quality.problems(dialogue(schema, **more)) if why.startswith(("arguments", "tools"))]


@pytest.fixture
def fetched(monkeypatch):
    """The addresses that anything opened."""
    opened = []

    def refuse(request, *_more, **_named):
        opened.append(getattr(request, "full_url", request))
        raise OSError("no network in a test")

    monkeypatch.setattr(urllib.request, "urlopen", refuse)
    return opened


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
@pytest.mark.parametrize("address", ["http://127.0.0.1:9/inside", "file:///etc/passwd"])
def test_a_schema_that_refers_to_an_address_or_a_file_opens_neither(fetched, address):
    schema = {"type": "object", "properties": {"a": {"$ref": address}}}
    tools = [{"type": "function", "function": {"name": "f", "parameters": schema}}]
    assert "the schema itself cannot be used" in tool_results.unfit("f", {"a": "x"}, tools)
    assert "the schema itself cannot be used" in tool_results.misfit({"a": "x"}, schema)
    assert of_the_call(schema) == ["tools: the schema cannot be used (_WrappedReferencingError)"]
    assert fetched == []


def test_a_schema_that_leads_nowhere_is_a_fault_of_its_row():
    assert of_the_call({"type": "object", "properties": {"a": {"$ref": "#/nowhere"}}}) == [
        "tools: the schema cannot be used (_WrappedReferencingError)"
    ]
    assert of_the_call({"$ref": "#"}) == ["tools: the schema cannot be used (RecursionError)"]


def test_a_schema_that_is_nested_too_deeply_is_no_schema():
    row = dialogue({})
    row["tools"] = row["tools"].replace("{}", '{"allOf": [' * 3000 + "{}" + "]}" * 3000)
    assert quality.problems(row)[0].startswith("tools: no list of tool schemas (RecursionError")


@pytest.mark.parametrize(
    "schema",
    [{"allOf": [A_WORD]}, {"$ref": "#/$defs/A", "$defs": {"A": A_WORD}}, {"additionalProperties": {"type": "string"}}],
)
def test_what_a_call_may_say_is_declared_in_parts_for_the_gate_too(schema):
    assert of_the_call({"type": "object", **schema}) == []
    assert of_the_call({"type": "object"}) == ["arguments: a is not in the schema"]
    assert of_the_call({"type": "object", **schema}, said=" ") == ["arguments: a is empty"]


def test_a_property_may_be_declared_by_true():
    assert of_the_call({"type": "object", "properties": {"a": True}}) == []
