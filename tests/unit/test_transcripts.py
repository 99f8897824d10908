"""Conversation logs in the dialogue schema: accepted, normalised, rendered, or rejected with a reason."""

from __future__ import annotations

import json

import polars as pl
import pytest

from twainbot.corpora.transcripts import parse_transcripts
from twainbot.corpora.works import works_from_unit
from twainbot.dialogues.tools import to_messages
from twainbot.errors import UnreadableSource
from twainbot.records import TURN

CALL = {"tool_name": "weather_api.get_forecast", "arguments": {"location": "Keokuk, Iowa", "datetime": "Saturday"}}
TALK = {
    "conversation_id": "c-1",
    "turns": [
        {"role": "user", "content": "Will it rain at Keokuk on Saturday?"},
        {"role": "assistant", "content": "", "tool_call": CALL},
        {"role": "tool", "content": '{"condition": "sunny", "high_f": 74}'},
        {"role": "assistant", "content": "Sunny, they say, and 74; the office has been wrong before."},
    ],
    "style_tags": ["twain"],
}


def lines(*records) -> bytes:
    return "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records).encode()


def with_turn(number: int, turn) -> dict:
    turns = list(TALK["turns"])
    turns[number] = turn
    return TALK | {"turns": turns}


def test_a_whole_conversation_is_kept_and_rendered():
    (row,) = parse_transcripts(lines(TALK))
    assert row["reject_reason"] is None
    assert row["text"].split("\n\n") == [
        "User: Will it rain at Keokuk on Saturday?",
        'Assistant: [calls weather_api.get_forecast {"datetime": "Saturday", "location": "Keokuk, Iowa"}]',
        'Tool: {"condition": "sunny", "high_f": 74}',
        "Assistant: Sunny, they say, and 74; the office has been wrong before.",
    ]


def test_turns_fit_the_dialogue_record_and_render_to_messages():
    (row,) = parse_transcripts(lines(TALK))
    stored = pl.Series([row["turns"]], dtype=pl.List(TURN)).to_list()[0]
    messages = to_messages(stored)
    assert messages[1]["tool_calls"][0]["function"] == {"name": "get_forecast", "arguments": CALL["arguments"]}
    assert [message["role"] for message in messages] == ["user", "assistant", "tool", "assistant"]


def test_arguments_as_text_and_as_an_object_are_stored_alike():
    as_text = with_turn(
        1, {"role": "assistant", "content": "", "tool_call": CALL | {"arguments": json.dumps(CALL["arguments"])}}
    )
    assert parse_transcripts(lines(as_text))[0]["turns"] == parse_transcripts(lines(TALK))[0]["turns"]


def test_a_broken_line_is_recorded_with_its_number():
    rows = parse_transcripts(
        lines(TALK, '{"conversation_id": "c-2", "turns": [', "[]", TALK | {"conversation_id": "c-3"})
    )
    assert [(row["id"], row["reject_reason"]) for row in rows] == [
        ("c-1", None),
        ("line-2", "malformed_json (line 2)"),
        ("line-3", "not_an_object (line 3)"),
        ("c-3", None),
    ]


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        (TALK | {"conversation_id": ""}, "missing_conversation_id"),
        (TALK | {"conversation_id": 7}, "missing_conversation_id"),
        (TALK | {"turns": []}, "no_turns"),
        (TALK | {"turns": "none"}, "no_turns"),
        (TALK | {"style_tags": "twain"}, "style_tags_not_a_list"),
        (TALK | {"turns": TALK["turns"][:1]}, "no_assistant_turn"),
        (with_turn(0, "hello"), "turn_not_an_object (turn 1)"),
        (with_turn(0, {"role": "narrator", "content": "x"}), "unknown_role (turn 1)"),
        (with_turn(0, {"role": "user", "content": "  "}), "empty_turn (turn 1)"),
        (with_turn(0, {"role": "user", "content": 5}), "content_not_text (turn 1)"),
        (with_turn(0, {"role": "user", "content": "x", "tool_call": CALL}), "tool_call_by_user (turn 1)"),
        (with_turn(1, {"role": "assistant", "tool_call": {"arguments": {}}}), "tool_call_without_name (turn 2)"),
        (
            with_turn(1, {"role": "assistant", "tool_call": CALL | {"arguments": "[1]"}}),
            "arguments_not_an_object (turn 2)",
        ),
        (with_turn(1, {"role": "assistant", "content": "Hm."}), "tool_result_without_call (turn 3)"),
    ],
)
def test_each_fault_of_the_schema_has_its_reason(record, reason):
    (row,) = parse_transcripts(lines(record))
    assert (row["reject_reason"], row["turns"], row["text"]) == (reason, [], "")


@pytest.mark.parametrize("raw", [b"", b"no json\nhere", b"\x89PNG\r\n", b"<html><body>gone</body></html>"])
def test_logs_without_a_conversation_are_refused(raw):
    with pytest.raises(UnreadableSource):
        parse_transcripts(raw)


def asked(identity: str, question: str) -> dict:
    said = [{"role": "user", "content": question}, {"role": "assistant", "content": "It will."}]
    return {"conversation_id": identity, "turns": said}


def test_talks_whose_ids_read_alike_in_a_work_id_stay_works_of_their_own():
    long = "weather-assistant/production/cluster-7/session/2026-06-01T10:00:00Z/"  # 67 characters, and 60 are kept
    ids = ("a/b", "A-B", "a/b", f"{long}1", f"{long}2")
    log = lines(*(asked(name, f"Will it rain on day {n}?") for n, name in enumerate(ids)))
    found = works_from_unit("transcripts", "log", log)
    assert found["reject_reason"].to_list() == [None] * 5
    assert found["work_id"].n_unique() == 5
    assert found["work_id"][0] == "transcripts/log/a-b"


def test_the_same_talk_under_the_same_id_is_a_duplicate():
    found = works_from_unit("transcripts", "log", lines(TALK, TALK))
    assert found["reject_reason"].to_list() == [None, "duplicate_work_id"]


@pytest.mark.parametrize(
    ("identity", "question", "kept"),
    [
        ("Ada Quill phone", "Will it rain?", False),
        ("chat-of-ada-7", "My name is Ada. Will it rain?", False),
        ("Quill_2026", "My name is Ada Quill. Will it rain?", False),
        ("chat-7", "My name is Ada. Will it rain?", True),
        ("Session-7", "Will it rain?", True),
        ("A/B", "Will it rain?", True),
    ],
)
def test_an_id_that_names_a_person_is_replaced(identity, question, kept):
    (row,) = parse_transcripts(lines(asked(identity, question)))
    assert (row["id"] == identity) == kept
    assert "uill" not in row["id"]
    assert kept or row["id"].startswith("talk-")
