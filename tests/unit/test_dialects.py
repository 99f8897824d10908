"""Foreign transcripts: OpenAI, Anthropic, Hermes and ShareGPT records, told apart by their shape, or rejected with why."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from tests.unit.test_transcripts import lines
from twainbot.corpora.transcripts import parse_transcripts
from twainbot.corpora.works import Sidecar, works_from_unit
from twainbot.dialogues.tools import to_messages
from twainbot.errors import UnreadableSource
from twainbot.records import TURN

ASK = "Will it rain at Keokuk or at Quincy on Saturday?"
KEOKUK, QUINCY = {"location": "Keokuk", "datetime": "Saturday"}, {"location": "Quincy", "datetime": "Saturday"}
DRY, WET = '{"condition": "sunny", "high_f": 74}', '{"condition": "rain", "high_f": 66}'
REPLY = "Dry at Keokuk, wet at Quincy."
EXPECTED = [
    ("system", "Be brief.", None),
    ("user", ASK, None),
    ("assistant", "Let me look.", KEOKUK),
    ("tool", DRY, None),
    ("assistant", "", QUINCY),
    ("tool", WET, None),
    ("assistant", REPLY, None),
]


def function(name: str, arguments, identity: str) -> dict:
    return {"id": identity, "type": "function", "function": {"name": name, "arguments": json.dumps(arguments)}}


def openai(*, results=(("b", WET), ("a", DRY))) -> dict:
    return {
        "messages": [
            {"role": "developer", "content": "Be brief."},
            {"role": "user", "content": [{"type": "text", "text": ASK}]},
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": [function("get_forecast", KEOKUK, "a"), function("get_weather", QUINCY, "b")],
            },
            *({"role": "tool", "tool_call_id": identity, "content": content} for identity, content in results),
            {"role": "assistant", "content": REPLY},
        ],
        "tools": [{"type": "function", "function": {"name": "get_forecast"}}],
    }


def anthropic(*extra_blocks) -> dict:
    return {
        "id": "msg-9",
        "system": [{"type": "text", "text": "Be brief."}],
        "messages": [
            {"role": "user", "content": ASK},
            {
                "role": "assistant",
                "content": [
                    {"type": "thinking", "thinking": "Two towns.", "signature": "x"},
                    {"type": "text", "text": "Let me look."},
                    {"type": "tool_use", "id": "a", "name": "get_forecast", "input": KEOKUK},
                    {"type": "tool_use", "id": "b", "name": "get_forecast", "input": QUINCY},
                ],
            },
            {
                "role": "user",
                "content": [
                    {"type": "tool_result", "tool_use_id": "b", "content": [{"type": "text", "text": WET}]},
                    {"type": "tool_result", "tool_use_id": "a", "content": DRY},
                    *extra_blocks,
                ],
            },
            {"role": "assistant", "content": [{"type": "text", "text": REPLY}]},
        ],
    }


def tagged(name: str, arguments) -> str:
    return f"<tool_call>\n{json.dumps({'arguments': arguments, 'name': name})}\n</tool_call>"


def response(name: str, content: str) -> str:
    return f"<tool_response>\n{json.dumps({'name': name, 'content': json.loads(content)})}\n</tool_response>"


def hermes(**changes) -> dict:
    said = {
        "system": "Be brief.",
        "human": ASK,
        "call": f"Let me look.\n{tagged('get_forecast', KEOKUK)}\n{tagged('get_forecast', QUINCY)}",
        "tool": f"{response('get_forecast', DRY)}\n{response('get_forecast', WET)}",
        "gpt": REPLY,
    } | changes
    names = {"call": "gpt"}
    return {"id": 7, "conversations": [{"from": names.get(key, key), "value": value} for key, value in said.items()]}


def legacy() -> dict:
    messages = openai()["messages"]
    calls = [call["function"] for call in messages[2]["tool_calls"]]
    return {
        "messages": [
            *messages[:2],
            {"role": "assistant", "content": "Let me look.", "function_call": calls[0]},
            {"role": "function", "name": "get_forecast", "content": DRY},
            {"role": "assistant", "content": None, "function_call": calls[1]},
            {"role": "function", "name": "get_weather", "content": WET},
            messages[-1],
        ]
    }


def qwen() -> dict:
    said = hermes()["conversations"]
    roles = ("system", "user", "assistant", "user", "assistant")
    return {"messages": [{"role": role, "content": turn["value"]} for role, turn in zip(roles, said, strict=True)]}


FORMATS = [
    ("openai", openai()), ("openai", legacy()), ("anthropic", anthropic()), ("hermes", hermes()), ("hermes", qwen())
]  # fmt: skip


def seen(row) -> list[tuple]:
    return [
        (turn["role"], turn["content"], json.loads(turn["tool_call"]["arguments"]) if turn["tool_call"] else None)
        for turn in row["turns"]
    ]


def only(record) -> dict:
    (row,) = parse_transcripts(lines(record))
    return row


@pytest.mark.parametrize(("name", "record"), FORMATS)
def test_every_format_gives_the_same_turns_each_result_behind_its_call(name, record):
    row = only(record)
    assert row["reject_reason"] is None
    assert row["format"] == name
    assert seen(row) == EXPECTED
    assert {turn["tool_call"]["tool_name"] for turn in row["turns"] if turn["tool_call"]} == {
        "weather_api.get_forecast"
    }


@pytest.mark.parametrize(("name", "record"), FORMATS)
def test_every_format_fits_the_dialogue_record_and_renders_to_messages(name, record):
    stored = pl.Series([only(record)["turns"]], dtype=pl.List(TURN)).to_list()[0]
    messages = to_messages(stored)
    assert [message["role"] for message in messages] == [role for role, _, _ in EXPECTED]
    assert messages[2]["tool_calls"][0]["function"] == {"name": "get_forecast", "arguments": KEOKUK}


def test_a_mixed_file_is_read_record_by_record_with_the_projects_own_schema_among_them():
    own = {"conversation_id": "c-1", "turns": [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]}
    rows = parse_transcripts(lines(own, *(record for _, record in FORMATS)))
    assert [row["format"] for row in rows] == ["twainbot", *(name for name, _ in FORMATS)]


@pytest.mark.parametrize(
    "shape",
    [
        lambda records: json.dumps(records, indent=2),
        lambda records: json.dumps({"exported": "today", "conversations": records}),
        lambda records: json.dumps([record.get("messages", record) for record in records]),
        lambda records: "\r\n".join(map(json.dumps, records)),
    ],
)
def test_lists_objects_that_hold_one_and_lines_give_the_same_conversations(shape):
    records = [openai(), hermes()]
    rows = parse_transcripts(shape(records).encode())
    assert [seen(row) for row in rows] == [EXPECTED, EXPECTED]


def test_one_conversation_alone_is_not_taken_for_a_list_of_several():
    for whole in (hermes(), openai()["messages"], anthropic()):
        assert [seen(row) for row in parse_transcripts(json.dumps(whole, indent=1).encode())] == [EXPECTED]


def test_a_missing_id_comes_from_the_content_and_not_from_the_line():
    first, _, second = parse_transcripts(lines(openai(), hermes(), openai()))
    assert first["id"] == second["id"] == only(openai())["id"]
    assert first["id"].startswith("talk-")
    other = openai(results=(("a", WET), ("b", DRY)))
    assert only(other)["id"] != first["id"]


def test_given_ids_are_kept_unless_they_name_a_person():
    assert only(anthropic())["id"] == "msg-9"
    assert only(hermes())["id"] == "7"
    assert only(openai() | {"session_id": "ada@example.org"})["id"].startswith("talk-")


def test_the_projects_own_schema_without_an_id_gets_one_too():
    turns = [{"role": "user", "content": "x"}, {"role": "assistant", "content": "y"}]
    assert only({"turns": turns})["id"].startswith("talk-")


def test_what_has_no_place_in_the_schema_is_named():
    assert only(openai())["left_out"] == ["tools"]
    assert only(anthropic())["left_out"] == ["thinking"]
    assert only(hermes(gpt=f"<think>Dry.</think>\n{REPLY}"))["left_out"] == ["thinking"]


def test_a_call_without_a_result_stays_a_call():
    row = only(openai(results=(("b", WET),)))
    assert seen(row) == [turn for turn in EXPECTED if turn[1] != DRY]


def test_the_users_words_beside_results_follow_them():
    row = only(anthropic({"type": "text", "text": "And Sunday?"}))
    assert seen(row)[5:7] == [("tool", WET, None), ("user", "And Sunday?", None)]


def test_single_quotes_of_old_hermes_records_are_read():
    call = "<tool_call>\n{'arguments': {'location': 'Keokuk', 'datetime': 'Saturday'}, 'name': 'get_forecast'}\n</tool_call>"
    row = only(hermes(call=call, tool=f"<tool_response>\n{DRY}\n</tool_response>"))
    assert seen(row)[2:4] == [("assistant", "", KEOKUK), ("tool", DRY, None)]


def test_an_unmapped_tool_keeps_its_name_and_a_refusal_is_the_assistants_words():
    record = {
        "messages": [
            {"role": "user", "content": "x"},
            {"role": "assistant", "content": None, "tool_calls": [function("tide_table", {}, "a")]},
            {"role": "tool", "tool_call_id": "a", "content": "high"},
            {"role": "assistant", "content": None, "refusal": "I would rather not."},
        ]
    }
    row = only(record)
    assert row["turns"][1]["tool_call"] == {"tool_name": "tide_table", "arguments": "{}"}
    assert row["turns"][3]["content"] == "I would rather not."


def messages(*changed, at: int) -> dict:
    record = openai()
    record["messages"][at : at + 1] = changed
    return record


PICTURE = {
    "role": "user",
    "content": [{"type": "text", "text": "See"}, {"type": "image_url", "image_url": {"url": "x"}}],
}
RESULT = {"role": "tool", "tool_call_id": "z", "content": DRY}
REJECTS = [
    (messages(PICTURE, at=1), "unsupported_content: image_url (turn 2)"),
    (messages({"role": "user", "content": {"text": "x"}}, at=1), "content_not_text (turn 2)"),
    (messages({"role": "user", "content": ""}, at=1), "empty_turn (turn 2)"),
    (messages({"role": "user", "content": "\u200b"}, at=1), "empty_turn (turn 2)"),
    (messages({"role": "narrator", "content": "x"}, at=1), "unknown_role (turn 2)"),
    (messages("x", at=1), "turn_not_an_object (turn 2)"),
    (messages({"role": "assistant", "content": None}, at=5), "empty_turn (turn 6)"),
    (messages({"role": "assistant", "audio": {"id": "x"}}, at=5), "unsupported_content: audio (turn 6)"),
    (messages(RESULT, at=3), "tool_result_without_call (turn 4)"),
    (messages(RESULT | {"tool_call_id": "a"}, at=3), "second_result_for_call (turn 5)"),
    (messages(RESULT | {"tool_call_id": "a", "content": ""}, at=4), "empty_turn (turn 5)"),
    (messages({"role": "user", "content": "Hm?"}, RESULT | {"tool_call_id": "b"}, at=3), "late_tool_result (turn 5)"),
    (messages({"role": "assistant", "tool_calls": ["x"]}, at=2), "unsupported_call (turn 3)"),
    (messages({"role": "assistant", "tool_calls": [{"id": "a", "type": "custom", "custom": {}}]}, at=2),
     "unsupported_call (turn 3)"),
    (messages({"role": "assistant", "tool_calls": [{"function": {"arguments": "{}"}}]}, at=2),
     "tool_call_without_name (turn 3)"),
    (messages({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": '}}]}, at=2),
     "arguments_not_an_object (turn 3)"),
    (messages({"role": "assistant", "tool_calls": [{"function": {"name": "f", "arguments": '{"a": 1e999}'}}]}, at=2),
     "arguments_not_an_object (turn 3)"),
    (messages({"role": "assistant", "tool_calls": [function("f", {}, "a"), function("g", {}, "a")]}, at=2),
     "duplicate_call_id (turn 3)"),
    ({"messages": []}, "no_turns"),
    ({"messages": "none"}, "no_turns"),
    ({"messages": [{"role": "user", "content": "x"}]}, "no_assistant_turn"),
    ({"title": "x", "mapping": {}}, "unknown_format"),
    (openai() | {"note": "\ud83d"}, "lone_surrogate"),
    (anthropic({"type": "image", "source": {"type": "base64", "data": "x"}}), "unsupported_content: image (turn 3)"),
    (anthropic({"type": "tool_result", "tool_use_id": "c", "content": "x"}), "tool_result_without_call (turn 3)"),
    (anthropic({"type": "tool_result", "tool_use_id": "a", "content": [{"type": "image"}]}),
     "unsupported_content: image (turn 3)"),
    (hermes(call=tagged("get_forecast", KEOKUK) + " Wait for it."), "words_after_call (turn 3)"),
    (hermes(call="<tool_call>\n{broken\n</tool_call>"), "malformed_tool_call (turn 3)"),
    (hermes(call=tagged("get_forecast", KEOKUK) + "<tool_call>{"), "unclosed_tool_call (turn 3)"),
    (hermes(call="I know it."), "tool_result_without_call (turn 4)"),
    (hermes(tool=response("tide_table", DRY)), "tool_result_without_call (turn 4)"),
    (hermes(tool=response("get_forecast", DRY) * 3), "second_result_for_call (turn 4)"),
    (hermes(tool=response("get_forecast", DRY) + " as measured"), "words_beside_tool_response (turn 4)"),
]  # fmt: skip


@pytest.mark.parametrize(("record", "reason"), REJECTS)
def test_what_cannot_be_converted_faithfully_is_rejected_with_its_turn(record, reason):
    row = only(record)
    assert (row["reject_reason"], row["turns"], row["text"]) == (reason, [], "")


def test_a_bomb_of_brackets_is_a_rejected_record_or_a_refused_file():
    deep = '{"messages": ' + "[" * 900 + "]" * 900 + "}"
    assert parse_transcripts(lines(openai(), deep))[1]["reject_reason"] is not None
    nested = '{"messages": [' * 400 + "1" + "]}" * 400
    assert parse_transcripts(lines(openai(), nested))[1]["reject_reason"] is not None
    with pytest.raises(UnreadableSource):
        parse_transcripts(b"[" * 100_000)


@pytest.mark.parametrize("raw", [b"[]", b"{", b'[{"messages": [{"role": "user"', b"[1, 2]", b"null"])
def test_json_that_is_cut_or_holds_no_object_is_refused(raw):
    with pytest.raises(UnreadableSource):
        parse_transcripts(raw)


def private() -> dict:
    return {
        "messages": [
            {"role": "user", "content": "Hi, my name is Ada Quill, ada@example.org. Rain at 40.39713, -91.38485?"},
            {"role": "assistant", "tool_calls": [function("get_weather", {"lat": 40.39713, "days": 3}, "a")]},
            {
                "role": "tool",
                "tool_call_id": "a",
                "content": '{"high_f": 74, "lat": 40.39713, "by": "bob@example.org"}',
            },
            {"role": "assistant", "content": "No rain, Ada: 74 at 40.39713, -91.38485. My name is Stormy."},
        ]
    }


def test_personal_data_goes_from_words_arguments_and_results_and_is_counted():
    row = only(private())
    assert [(turn["content"], turn["tool_call"] and turn["tool_call"]["arguments"]) for turn in row["turns"]] == [
        ("Hi, my name is [name], [email]. Rain at 40.40, -91.38?", None),
        ("", '{"days": 3, "lat": 40.4}'),
        ('{"high_f": 74, "lat": 40.4, "by": "[email]"}', None),
        ("No rain, [name]: 74 at 40.40, -91.38. My name is Stormy.", None),
    ]
    assert row["removed"] == {"coordinates": 4, "email": 2, "name": 2}


def test_an_imported_conversation_imported_again_is_the_same():
    for record in (private(), *(record for _, record in FORMATS)):
        row = only(record)
        again = only({"conversation_id": row["id"], "turns": row["turns"]})
        assert (again["turns"], again["removed"]) == (row["turns"], {})


def test_works_keep_format_and_counts():
    frame = works_from_unit("transcripts", "log", lines(private()), Sidecar(rights="cc0"))
    extra = json.loads(frame["extra"][0])
    assert (extra["format"], extra["removed"]["email"], extra["left_out"]) == ("openai", 2, [])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=8) | st.sampled_from(["user", "assistant", "tool", "text"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["messages", "conversations", "role", "from", "value", "content", "type", "tool_calls", "function",
                         "name", "arguments", "id", "turns", "system", "text", "tool_call", "function_call"]),
        inner, max_size=5,
    ),
    max_leaves=14,
)  # fmt: skip


@settings(max_examples=examples(400), deadline=None)
@given(JSON)
def test_any_json_gives_turns_or_a_reason_and_never_a_traceback(value):
    try:
        rows = parse_transcripts(json.dumps(value).encode())
    except UnreadableSource:
        return
    assert all(bool(row["turns"]) != bool(row["reject_reason"]) for row in rows)
