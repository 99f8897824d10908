"""Data in a reply is told from words, and an echo of the tool's answer is no answer: not to the gate, not in a score."""

from __future__ import annotations

import itertools
import json
import string
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.evals import grounding, verdicts
from twainbot.evals.raw_data import data_spans, in_words

RESULT = {"location": "Reno, NV", "datetime": "tomorrow", "condition": "partly cloudy", "high_f": 71, "low_f": 52}
ECHO = json.dumps(RESULT, separators=(",", ":"))


def data(reply: str) -> list[str]:
    return [reply[start:end] for start, end in data_spans(reply)]


@pytest.mark.parametrize(
    ("reply", "found"),
    [
        (ECHO, [ECHO]),
        (f"Well, I asked. {ECHO} And that is all.", [ECHO]),
        ('{"location":"Reno, NV","high', ['{"location":"Reno, NV","high']),  # the window's end
        ('[{"high": 71}, {"high": 73}] it is', ['[{"high": 71}, {"high": 73}]']),
        ('{"said": "a brace } within", "high_f": 71} so', ['{"said": "a brace } within", "high_f": 71}']),
        ("{location: Reno, high: 71}", ["{location: Reno, high: 71}"]),
        ("high_f: 71, low_f: 52", ["high_f: 71", "low_f: 52"]),
        ('"high": 71', ['"high": 71']),
        ("wind_direction=NE; fine", ["wind_direction=NE"]),
    ],
)
def test_json_and_fields_are_data(reply, found):
    assert data(reply) == found


@pytest.mark.parametrize(
    "reply",
    [
        "Reno tomorrow: partly cloudy, with a high of 71 degrees and a low of 52.",
        'He said "rain": and it rained.',
        "Here is the whole of it: 71 and 52. [I have told longer ones.] {That is a joke.}",
        "'Tis warm: 71. O'Brien said: 'rain', and I said: nothing.",
        "",
    ],
)
def test_prose_is_no_data(reply):
    assert data(reply) == []


def test_an_echo_uses_no_result_and_a_sentence_beside_it_does():
    for reply, told in ((ECHO, False), (f"I asked. {ECHO}", False), (f"{ECHO} So a high of 71 degrees.", True)):
        claims = grounding.judge(reply, [RESULT])
        assert grounding.uses_result(claims)
        assert grounding.uses_result(in_words(reply, claims)) is told


def test_the_verdict_on_an_adapter_that_echoes_fails_and_says_so():
    verdict = verdicts.result_used([False] * 30, [True] * 30)
    assert verdict.state == "fail"
    assert verdict.why.endswith("30 repeat its data as it stands.")
    assert "repeat" not in verdicts.result_used([True] * 30, [False] * 30).why


@settings(max_examples=examples(200), deadline=None)
@given(st.text(alphabet=string.printable + "{}[]\"':_\\", max_size=200))
def test_spans_lie_in_the_reply_in_order_and_apart(reply):
    spans = data_spans(reply)
    assert all(0 <= start < end <= len(reply) for start, end in spans)
    assert all(before[1] <= after[0] for before, after in itertools.pairwise(spans))


@dataclass(frozen=True)
class Piece:
    """A stretch of a reply."""

    start: int
    end: int


@settings(max_examples=examples(100), deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=8),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(st.text(string.ascii_letters, min_size=1, max_size=6), inner, max_size=3)
        ),
        max_leaves=8,
    ),
    st.booleans(),
)
def test_any_object_is_found_whole(value, ascii_only):
    written = json.dumps({"result": value}, ensure_ascii=ascii_only)
    assert data(f"So: {written} it is") == [written]
    assert in_words(f"So: {written}", [Piece(0, 2), Piece(6, 7)]) == [Piece(0, 2)]
