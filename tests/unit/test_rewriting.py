"""Rewriting: what is asked of a draft, what an answer changes, what is refused, mended once, and recorded."""

from __future__ import annotations

import json
import random

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.dialogues import asking, prompt_files, prompts, rewriting
from twainbot.dialogues.asking import Answer
from twainbot.dialogues.rewriting import Writer
from twainbot.errors import BadConfig, BadInput, UnknownName
from twainbot.records import DIALOGUE, frame

WRITER = Writer("openai", "m1")
NEW = "It will be 71 and fair in Reno, which is more than I can say for my knees."


CALL = {"tool_name": "weather_api.get_forecast", "arguments": '{"location": "Reno", "datetime": "tomorrow"}'}
PARENTS = ["local/river/1:0-40"]
BEFORE = {
    "generator": "grammar-v1",
    "data": "d1",
    "model": None,
    "prompt_hash": "p1",
    "seed": 7,
    "parents": PARENTS,
}


def turn(role: str, content: str, call: dict | None = None) -> dict:
    return {"role": role, "content": content, "tool_call": call}


def draft(number: int = 0) -> dict:
    """A dialogue of the grammar with one call and one reply."""
    return {
        "conversation_id": f"b000/tool_calls/{number:04d}",
        "kind": "tool_calls",
        "scenario": "single",
        "tools": "[]",
        "turns": [
            turn("system", "You are TwainBot."),
            turn("user", "What is the high in Reno tomorrow?"),
            turn("assistant", "", CALL),
            turn("tool", '{"location":"Reno","datetime":"tomorrow","condition":"fair","high_f":71,"low_f":48}'),
            turn("assistant", "The high in Reno tomorrow is 71°F."),
        ],
        "style_tags": ["twain", "single", "high"],
        "seed_id": f"b000/tool_calls/{number:04d}",
        "origin": json.dumps(BEFORE),
        "disclaimer": prompts.DISCLAIMER,
    }


def answer(*replies: str, **more: object) -> Answer:
    return Answer(json.dumps({"replies": list(replies)}), **more)


def origin(row) -> dict:
    return json.loads(row["origin"])


def test_a_request_shows_the_whole_dialogue_and_marks_the_spoken_turns_alone():
    request = rewriting.request_for(draft())
    (_, system), (_, user) = request.messages
    turns = json.loads(user.split("Dialogue:\n", 1)[1])
    assert [turn.get("rewrite", False) for turn in turns] == [False, False, False, True]
    assert turns[1] == {"role": "call", "call": CALL["tool_name"], "arguments": CALL["arguments"]}
    assert '{"replies": ["..."]}' in system
    assert request.schema["required"] == ["replies"]
    assert request.request_id == "b000/tool_calls/0000"
    assert request.seed == 7
    assert (request.expected_tokens, request.max_tokens) == (20 + 60, 3 * 80)


def test_the_controls_are_the_seeds_own_and_all_values_occur():
    assert rewriting.controls_of(draft(3)) == rewriting.controls_of(draft(3))
    drawn = [rewriting.controls_of(draft(number)) for number in range(200)]
    for name, values in (("tone", 6), ("length", 4), ("device", 6)):
        assert len({getattr(controls, name) for controls in drawn}) == values
    devices = {controls.device.split(":")[0] for controls in drawn}
    assert {"understatement", "tall tale", "aphorism", "mock-news"} <= devices
    controls = rewriting.controls_of(draft())
    assert all(f": {value}\n" in rewriting.request_for(draft()).messages[1][1] for value in vars(controls).values())


def test_an_answer_changes_spoken_words_alone_and_the_origin_says_who_wrote_them_from_what():
    before = draft()
    row = rewriting.apply(before, answer(f" {NEW} ", model="m1-2026-01-01"), WRITER)
    assert row["turns"][-1]["content"] == NEW
    assert row["turns"][:-1] == before["turns"][:-1]
    told, prompt = origin(row), prompt_files.load("tool_calls")
    assert told == {
        "generator": "openai", "model": "m1", "answered_by": "m1-2026-01-01", "prompt": "tool_calls@1",
        "prompt_hash": prompt.digest, "controls": vars(rewriting.controls_of(before)), "seed": 7,
        "parents": PARENTS, "repaired": False,
        "draft": {"generator": "grammar-v1", "data": "d1", "prompt_hash": "p1"},
    }  # fmt: skip
    assert row["disclaimer"] != prompts.DISCLAIMER
    assert "language model" in row["disclaimer"]


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        (Answer('{"replies": ["The high'), "truncated: JSON breaks off"),
        (Answer('{"replies": [', finish="length", output_tokens=9), "truncated: after 9 tokens"),
        (Answer("", finish="refusal", note="I can't write that."), "refusal: I can't write that."),
        (Answer("I'm sorry, but no."), "refusal: I'm sorry, but no."),
        (Answer("As you wish. The weather is fine."), "not_json: As you wish"),
        (Answer('{"answers": ["x"]}'), "drift: answer lacks replies"),
        (Answer('{"replies": "x"}'), "drift: replies is str, not array"),
        (Answer('{"replies": [1]}'), "drift: replies[0] is int, not string"),
        (Answer('{"replies": ["x"], "mood": 1}'), "drift: answer has more: mood"),
        (Answer('["x"]'), "drift: answer is list, not object"),
        (answer(), "drift: 0 replies for 1 turns"),
        (answer("one", "two"), "drift: 2 replies for 1 turns"),
        (answer("  "), "empty: a turn without words"),
        (Answer(" "), "empty: no words"),
        (answer("明天的天气会很好,最高温度七十一度。"), "language: 明天"),
        (
            answer("Morgen wird es in Reno sonnig, und der alte Mann am Fluss sagt, dass es so bleibt."),
            "language: Morgen",
        ),
        (answer("The high in Reno tomorrow is 71°F."), "unchanged: "),
        (Answer("", finish="no_answer", note="it answered 500."), "no_answer: it answered 500."),
        (Answer("", finish="not_taken", note="it answered 400."), "not_taken: it answered 400."),
    ],
)
def test_what_cannot_be_used_leaves_the_spoken_turn_empty_and_a_short_reason(given, reason):
    row = rewriting.apply(draft(), given, WRITER)
    assert rewriting.rejected(row)[0].startswith(reason)
    assert row["turns"][-1]["content"] == ""
    assert row["turns"][:-1] == draft()["turns"][:-1]
    assert rewriting.accepted(frame([row], DIALOGUE)).is_empty()


def test_json_in_a_fence_or_among_words_is_read_all_the_same():
    for text in (f'```json\n{{"replies": ["{NEW}"]}}\n```', f'Gladly: {{"replies": ["{NEW}"]}} I hope it serves.'):
        assert rewriting.apply(draft(), Answer(text), WRITER)["turns"][-1]["content"] == NEW


@settings(max_examples=examples(40), deadline=None)
@given(st.text(max_size=200))
def test_whatever_a_model_says_gives_a_row_of_the_same_form_or_a_reason(text):
    row = rewriting.apply(draft(), Answer(text), WRITER)
    assert [turn["role"] for turn in row["turns"]] == [turn["role"] for turn in draft()["turns"]]
    assert bool(rewriting.rejected(row)) == (row["turns"][-1]["content"] == "")


class Asked:
    """Answers by turns, and remembers the requests."""

    def __init__(self, *rounds: list[Answer]) -> None:
        self.rounds, self.requests = list(rounds), []

    def __call__(self, requests):
        self.requests.append(list(requests))
        return self.rounds.pop(0) if requests else []


def drafts(count: int) -> pl.DataFrame:
    return frame([draft(number) for number in range(count)], DIALOGUE)


def test_faulty_rows_get_one_repair_round_with_their_reasons_and_then_stay_as_rejects():
    bad, good = answer("It will be 99 in Reno."), answer(NEW)
    asked = Asked([good, bad, bad, Answer("I can't help.")], [good, bad, good])
    faults = lambda row: ["ungrounded_number: 99"] if "99" in row["turns"][-1]["content"] else []  # noqa: E731
    rows_ = rewriting.rewrite(drafts(4), asked, faults, WRITER)
    assert rows_["conversation_id"].to_list() == drafts(4)["conversation_id"].to_list(), "nothing is dropped"
    first, again = asked.requests
    assert [request.request_id for request in again] == [f"b000/tool_calls/000{number}/repair" for number in (1, 2, 3)]
    assert again[0].messages[: len(first[1].messages)] == first[1].messages
    assert again[0].messages[-2] == ("assistant", bad.text)
    assert "- ungrounded_number: 99" in again[0].messages[-1][1]
    assert "- refusal: I can't help." in again[2].messages[-1][1]
    assert [rewriting.rejected(row) for row in rows_.to_dicts()] == [[], [], ["ungrounded_number: 99"], []]
    assert [origin(row)["repaired"] for row in rows_.to_dicts()] == [False, True, True, True]
    assert rewriting.reject_counts(rows_) == {"ungrounded_number": 1}
    assert rewriting.repaired_count(rows_) == 2
    assert rewriting.accepted(rows_).height == 3
    assert "99" in rows_["turns"][2][-1]["content"], "the refused words can be read"


def test_what_got_no_answer_is_not_asked_to_be_mended():
    asked = Asked([Answer("", finish="not_taken", note="no"), answer(NEW)])
    rows_ = rewriting.rewrite(drafts(2), asked, lambda _: [], WRITER)
    assert len(asked.requests) == 1
    assert rewriting.reject_counts(rows_) == {"not_taken": 1}


def test_the_users_words_are_rewritten_only_where_a_prompt_says_so():
    text = (
        "---\nname: x\nversion: 2\nkind: tool_calls\nrewrites: assistant, user\n---\n# system\nS\n\n# user\n$dialogue"
    )
    prompt = prompt_files.parse(text, "x")
    assert rewriting.schema_of(prompt)["required"] == ["replies", "questions"]
    given = Answer(json.dumps({"replies": [NEW], "questions": ["How hot will Reno be tomorrow?"]}))
    row = rewriting.apply(draft(), given, WRITER, prompt=prompt)
    assert [turn["content"] for turn in row["turns"] if turn["role"] == "user"] == ["How hot will Reno be tomorrow?"]
    assert row["turns"][2] == draft()["turns"][2], "the call stays"
    assert origin(row)["prompt"] == "x@2"


def test_a_draft_without_words_is_no_draft():
    silent = draft()
    silent["turns"] = silent["turns"][:-1]
    with pytest.raises(BadInput, match="b000/tool_calls/0000 has no words of assistant"):
        rewriting.request_for(silent)


@pytest.mark.parametrize("name", ["style_transfer", "tool_calls", "no_tool", "repair", "judge"])
def test_a_shipped_prompt_is_named_and_versioned_and_its_hash_is_its_texts(name):
    prompt = prompt_files.load(name)
    assert (prompt.name, prompt.kind) == (name, name)
    assert prompt.label == f"{name}@{prompt.version}"
    assert len(prompt.digest) == 16


def test_an_edited_prompt_has_another_hash_and_so_has_every_request_made_from_it():
    text = "---\nname: x\nversion: 1\nkind: x\nrewrites: assistant\n---\n# user\n{} $dialogue"
    one, other = (prompt_files.parse(text.replace("{}", word), "x") for word in ("Write.", "Write!"))
    assert one.digest != other.digest
    keys = {asking.key_of(rewriting.request_for(draft(), prompt), "m1", 0.8) for prompt in (one, other)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    "text",
    [
        "no front matter",
        "---\nname: x\n---\n# user\nhello",
        "---\nname: x\nversion: 1\nkind: x\n---\nhello",
        "---\n- x\n---\n# user\nx",
    ],
)
def test_a_prompt_of_another_form_is_refused_with_its_file(text):
    with pytest.raises(BadConfig, match=r"prompts/x\.md needs front matter"):
        prompt_files.parse(text, "x")


def test_a_blank_that_nothing_fills_is_refused_and_an_unknown_prompt_lists_the_known():
    prompt = prompt_files.parse("---\nname: x\nversion: 1\nkind: x\n---\n# user\n$mood", "x")
    with pytest.raises(BadConfig, match="blank that nothing fills: 'mood'"):
        prompt.messages(tone="dry")
    with pytest.raises(UnknownName, match="judge"):
        prompt_files.load("ode")


def test_a_persona_without_a_voice_of_its_own_speaks_by_its_system_prompt():
    assert prompt_files.voice("pilot", "You are a pilot.") == "You are a pilot."
    assert all(prompt_files.voice(name, "") for name in prompts.personas())


def test_controls_are_drawn_by_the_given_random_numbers_alone():
    assert prompt_files.draw(random.Random(5)) == prompt_files.draw(random.Random(5))


def test_tokens_are_estimated_from_above():
    assert asking.tokens_of("") == 0
    assert asking.tokens_of("abcd") == 2, "four bytes at three a token"
    request = rewriting.request_for(draft())
    whole = sum(asking.tokens_of(text) + 8 for _, text in request.messages) + asking.tokens_of(
        json.dumps(request.schema)
    )
    assert asking.input_tokens(request) == whole
