"""Constrained decoding: calls of declared tools and parameters can be written, and no others."""

from __future__ import annotations

import importlib.util
import json

import pytest
import torch
from tiny_training import base

from resources import constrained
from resources.constrained import CallGrammars, call_frame
from resources.language_model import LanguageModel
from resources.routing import BASE
from resources.speaker import Speaker
from training.base_model import describe, template_of
from training.render import Template, load_template, render, tokenizer_of
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import BadUse, MissingModel
from twainbot.evals.call_parsing import parse_calls

needed = pytest.mark.skipif(importlib.util.find_spec("llguidance") is None, reason="llguidance is not installed")
CALL = '<tool_call>{"name": "get_forecast", "arguments": {"location": "Reno", "datetime": "tomorrow"}}</tool_call>'


@pytest.fixture(scope="module")
def grammars():
    return CallGrammars(tokenizer_of(base()), template_of(base()), describe(base()).eos_id)


def follows(grammars, text, tools=TOOLS):
    """Whether a turn may say this, and whether it may end there."""
    matcher = grammars.begin(tools)
    vocabulary = tokenizer_of(base()).get_vocab_size()
    for token in tokenizer_of(base()).encode(text, add_special_tokens=False).ids:
        if not torch.isfinite(matcher.allowed(torch.zeros(vocabulary))[token]):
            return False, False
        matcher.add(token)
    return True, bool(torch.isfinite(matcher.allowed(torch.zeros(vocabulary))[grammars_eos()]))


def grammars_eos():
    return describe(base()).eos_id


@needed
@pytest.mark.parametrize("text", ["Good day.", "", CALL, f"Well now. {CALL}", CALL + CALL, 'a < b, and {"name": 1}'])
def test_words_and_declared_calls_can_be_written_and_the_turn_may_end_after_them(grammars, text):
    assert follows(grammars, text) == (True, True)


@needed
@pytest.mark.parametrize(
    "text",
    [CALL.replace("get_forecast", "get_river"), CALL.replace("location", "place"), CALL.replace('"Reno"', "5"),
     CALL.replace(', "datetime": "tomorrow"', ""), CALL.replace("}}", ', "unit": "F"}}'), "<tool_call>tomorrow"],
)  # fmt: skip
def test_other_calls_cannot(grammars, text):
    assert follows(grammars, text) == (False, False)


@needed
def test_a_turn_may_not_end_inside_a_call(grammars):
    assert follows(grammars, CALL[:-20]) == (True, False)


@needed
def test_a_model_that_means_to_call_anything_calls_a_declared_tool(monkeypatch):
    model = LanguageModel.load(base())
    begins = '<tool_call>{"name": "get_river", '
    ids = tokenizer_of(base()).encode(begins, add_special_tokens=False).ids
    with Speaker(model, [BASE], adapters=False) as speaker:
        monkeypatch.setattr("resources.speaker.choose", forced(ids))
        text = "".join(speaker.stream([{"role": "user", "content": "?"}], TOOLS, max_new_tokens=400, constrained=True))
    calls, _ = parse_calls(text)
    assert text.startswith('<tool_call>{"name": "get_')
    assert all(call["name"] == "get_forecast" and set(call["arguments"]) == {"location", "datetime"} for call in calls)
    assert "get_river" not in text


def forced(ids):
    """Choosing that prefers these tokens, one after another, and then the quickest end."""

    def choose(logits, rows):
        chosen = []
        for number, row in enumerate(rows):
            mine = logits[number].clone()
            step = len(row.written.ids)
            if step < len(ids):
                mine[ids[step]] += 1e6
            quote = tokenizer_of(base()).encode('"', add_special_tokens=False).ids[0]
            mine[quote] += 1e3
            chosen.append(int(row.matcher.allowed(mine).argmax()))
        return chosen

    return choose


def declared(parameters):
    """A tool f."""
    return {"type": "function", "function": {"name": "f", "parameters": parameters}}


def calling(arguments):
    return f'<tool_call>{{"name": "f", "arguments": {json.dumps(arguments)}}}</tool_call>'


A_WORD = {"properties": {"a": {"type": "string"}}, "required": ["a"]}
# what llguidance 1.9 does not know, each beside a parameter that it does; arguments that fit the whole
UNKNOWN = {
    "uniqueItems": ({"properties": {"a": {"type": "array", "items": {"type": "string"}, "uniqueItems": True}}}, ["x"]),
    **{
        f"format {name}": ({"properties": {"a": {"type": "string", "format": name}}}, "x")
        for name in ("binary", "uri-reference", "path", "password")
    },
    "not": ({"properties": {"a": {"not": {"type": "null"}}}}, "x"),
    "if": ({**A_WORD, "if": {"properties": {"a": {"const": "x"}}}, "then": {"required": ["a"]}}, "x"),
    "dependentRequired": ({**A_WORD, "dependentRequired": {"a": ["b"]}}, "x"),
    "contains": ({"properties": {"a": {"type": "array", "contains": {"const": 1}}}}, [1]),
    "propertyNames": ({"properties": {"a": {"type": "object", "propertyNames": {"pattern": "^b"}}}}, {"b": 1}),
    "lookahead": ({"properties": {"a": {"type": "string", "pattern": "^(?!y).*$"}}}, "x"),
    "overlapping oneOf": ({"properties": {"a": {"oneOf": [{"type": "number"}, {"type": "integer"}]}}}, 1),
    "allOf": ({"allOf": [A_WORD]}, "x"),
    "required alone": ({"required": ["a"]}, "x"),
}


@needed
@pytest.mark.parametrize("what", UNKNOWN)
def test_a_schema_that_is_not_known_in_full_still_keeps_calls_to_its_names(grammars, what):
    parameters, value = UNKNOWN[what]
    tools = [declared(parameters), *TOOLS]
    assert follows(grammars, calling({"a": value}), tools) == (True, True)
    assert follows(grammars, calling({"zz": value}), tools) == (False, False)
    assert follows(grammars, CALL.replace("location", "place"), tools) == (False, False)  # the others lose nothing


@needed
def test_what_a_schema_allows_beside_its_names_can_be_written(grammars):
    for parameters in ({"additionalProperties": {"type": "string"}}, {"$ref": "#/$defs/A", "$defs": {"A": A_WORD}}):
        assert follows(grammars, calling({"a": "x"}), [declared(parameters)]) == (True, True)


@needed
def test_a_grammar_that_cannot_be_made_leaves_the_turn_free(grammars, monkeypatch):
    monkeypatch.setattr(grammars, "_grammar", lambda _tools: "no grammar at all")
    assert grammars.begin([declared({"properties": {"b": {}}})]) is None


@pytest.mark.parametrize("name", ["smollm2", "hermes"])
def test_the_frame_of_a_call_is_the_templates_own(name):
    before, after = call_frame(load_template(name))
    call = {"type": "function", "function": {"name": "f", "arguments": {"a": "b"}}}
    ids, labels = render(
        [{"role": "user", "content": "?"}, {"role": "assistant", "content": "", "tool_calls": [call]}],
        None, tokenizer_of(base()), load_template(name),
    )  # fmt: skip
    said = tokenizer_of(base()).decode([label for label in labels if label >= 0], skip_special_tokens=True)
    assert f"{before}{json.dumps(call['function'])}{after}" in said
    assert len(ids) == len(labels)


def test_a_template_that_writes_calls_otherwise_cannot_be_constrained():
    other = Template("other", load_template("smollm2").text.replace("tool_call>", "call>"))
    with pytest.raises(BadUse, match="Template other does not write calls"):
        call_frame(other)


def test_without_the_package_the_sentence_names_it(monkeypatch):
    monkeypatch.setattr(constrained, "available", lambda: False)
    with pytest.raises(MissingModel, match="pip install"):
        CallGrammars(tokenizer_of(base()), template_of(base()), 2)
