"""Conversation logs in the project's dialogue schema, one JSON object a line, checked and rendered readable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.jokes import json_lines
from twainbot.corpora.normalize import tidy
from twainbot.dialogues.tools import call_arguments
from twainbot.errors import BadInput, UnreadableSource

ROLES = ("system", "user", "assistant", "tool")


def parse_transcripts(raw: bytes) -> list[dict[str, Any]]:
    """A row per line, in order: id, turns (role, content, tool_call with arguments as JSON text), style_tags, text,
    reject_reason ("malformed_json (line 3)", "unknown_role (turn 2)" ...).

    Raises UnreadableSource where no line at all is a JSON object.
    """
    refuse_non_text(raw, "The transcript log")
    lines = list(json_lines(decode(raw).text))
    if all(reason for _, _, reason in lines):
        raise UnreadableSource(
            f"None of the log's {len(lines)} lines is a JSON object. Expected one conversation a line."
        )
    return [_row(number, record, reason) for number, record, reason in lines]


def _row(number: int, record: Mapping[str, Any], reason: str | None) -> dict[str, Any]:
    reason = reason or reject_reason(record)
    identity = record.get("conversation_id")
    turns = [] if reason else [_turn(turn) for turn in record["turns"]]
    tags = record.get("style_tags")
    return {
        "id": identity if isinstance(identity, str) and identity else f"line-{number}",
        "turns": turns,
        "style_tags": [str(tag) for tag in tags] if isinstance(tags, list) else [],
        "text": render(turns),
        "reject_reason": reason,
    }


def reject_reason(record: Mapping[str, Any]) -> str | None:
    """Why a conversation does not fit the schema; None where it does. Turns are counted from 1."""
    identity = record.get("conversation_id")
    if not isinstance(identity, str) or not identity.strip():
        return "missing_conversation_id"
    turns = record.get("turns")
    if not isinstance(turns, list) or not turns:
        return "no_turns"
    if not isinstance(record.get("style_tags", []), list):
        return "style_tags_not_a_list"
    faults = (_fault(turn, number, turns[: number - 1]) for number, turn in enumerate(turns, 1))
    found = next((fault for fault in faults if fault), None)
    if found is None and not any(turn["role"] == "assistant" for turn in turns):
        return "no_assistant_turn"
    return found


def _fault(turn: Any, number: int, before: list[Any]) -> str | None:
    if not isinstance(turn, dict):
        return f"turn_not_an_object (turn {number})"
    if turn.get("role") not in ROLES:
        return f"unknown_role (turn {number})"
    content, call = turn.get("content"), turn.get("tool_call")
    if content is not None and not isinstance(content, str):
        return f"content_not_text (turn {number})"
    if call:
        return _call_fault(turn, number)
    if not (content or "").strip():
        return f"empty_turn (turn {number})"
    called = bool(before) and isinstance(before[-1], dict) and before[-1].get("tool_call")
    return f"tool_result_without_call (turn {number})" if turn["role"] == "tool" and not called else None


def _call_fault(turn: Mapping[str, Any], number: int) -> str | None:
    call = turn["tool_call"]
    if turn["role"] != "assistant":
        return f"tool_call_by_{turn['role']} (turn {number})"
    if not isinstance(call, dict) or not isinstance(call.get("tool_name"), str) or not call["tool_name"]:
        return f"tool_call_without_name (turn {number})"
    try:
        call_arguments(call)
    except BadInput:
        return f"arguments_not_an_object (turn {number})"
    return None


def _turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    call = turn.get("tool_call")
    stored = None
    if call:
        arguments = json.dumps(call_arguments(call), ensure_ascii=False, sort_keys=True)
        stored = {"tool_name": call["tool_name"], "arguments": arguments}
    return {"role": turn["role"], "content": tidy(turn.get("content") or ""), "tool_call": stored}


def render(turns: list[dict[str, Any]]) -> str:
    """The conversation as a page: "User: ...", "Assistant: ...", calls in brackets, a blank line between turns."""
    lines = []
    for turn in turns:
        call = turn["tool_call"]
        said = [turn["content"]] if turn["content"] else []
        called = [f"[calls {call['tool_name']} {call['arguments']}]"] if call else []
        lines.append(f"{turn['role'].capitalize()}: {' '.join([*said, *called])}")
    return "\n\n".join(lines)
