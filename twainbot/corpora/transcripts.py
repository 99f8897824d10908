"""Conversation logs of any known format to the dialogue schema: checked, freed of personal data, rendered readable.

Which formats there are is dialects.py's business (JSON) and chatlogs.py's (tables and plain pages); what personal data
is, personal.py's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from twainbot.corpora import chatlogs, dialects
from twainbot.corpora.decoding import decode, refuse_non_text
from twainbot.corpora.normalize import newlines, tidy
from twainbot.corpora.personal import MIN_NAME, introduced_names, scrub, scrub_json, scrub_result
from twainbot.dialogues.tools import call_arguments
from twainbot.errors import BadInput, UnreadableSource

MAX_NAME = 48  # characters of an id before its mark, so that both stay in the 60 of a work id
MARK_CHARACTERS = 8  # of a hash
_LIKE_A_NAME = re.compile(r"(?<![A-Za-z])[A-Z][a-z]+[ ._-]+(?:[A-Z]\.? +)?[A-Z][a-z]+(?![A-Za-z])")
ROLES = ("system", "user", "assistant", "tool")


def parse_transcripts(raw: bytes, name: str = "") -> list[dict[str, Any]]:
    """A row per conversation, in order: id, turns (role, content, tool_call with arguments as JSON text), style_tags,
    text, format (twainbot, openai, anthropic, hermes, sharegpt, csv, log), removed (personal data by kind), left_out
    (parts of the record that the schema has no place for), reject_reason ("malformed_json (line 3)", "no_turns" ...).

    `raw` holds JSON lines, a JSON list, an object that holds a list of conversations, a table or a plain log; `name`, if
    it ends in .csv or .tsv, says that it is a table. Where a conversation has no id, its content gives one, so the same
    talk has the same id in any file. Raises UnreadableSource where nothing at all is a conversation.
    """
    refuse_non_text(raw, "The transcript log")
    text = newlines(decode(raw).text)
    records = list(_records(text, name))
    if all(reason and not record for _, record, reason, _ in records):
        raise UnreadableSource(
            f"None of the log's {len(records)} lines is a JSON object, and none begins with a speaker. "
            "Expected one conversation a line, a JSON list of them, a table, or lines such as 'User: ...'."
        )
    return _told_apart([_row(number, record, reason, form) for number, record, reason, form in records])


def _told_apart(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The rows with an id for each talk: another talk whose id reads the same in a file name gets a mark of its content.

    The same talk under the same id keeps it, and is the duplicate that it is.
    """
    first: dict[str, str] = {}
    for row in rows:
        content = json.dumps([row["turns"], row["reject_reason"]], sort_keys=True, ensure_ascii=True)
        name = _short(row["id"])
        if first.setdefault(name, content) != content:
            row["id"] = f"{name[:MAX_NAME]}-{hashlib.sha256(content.encode()).hexdigest()[:MARK_CHARACTERS]}"
    return rows


def _short(identity: str) -> str:
    """What is left of an id in the id of its work: small letters, digits and hyphens, the first 60."""
    return re.sub(r"[^a-z0-9]+", "-", re.sub(r"['\u2019]", "", identity.lower()))[:60].strip("-") or identity


def _records(text: str, name: str) -> Iterator[tuple[int, dict[str, Any], str | None, str]]:
    """Line or entry, record, reason and format; format "" leaves it to the record itself."""
    whole = _json(text) if text.lstrip()[:1] in ("[", "{") else None
    if whole is not None and not isinstance(whole, Exception):
        for number, item in enumerate(_conversations(whole), 1):
            yield number, *_record(item, f"entry {number}"), ""
    elif chatlogs.is_table(text, name):
        yield from ((*found, "csv") for found in chatlogs.table_records(text))
    elif chatlogs.is_log(text):
        yield from ((*found, "log") for found in chatlogs.log_records(text))
    else:
        for number, line in enumerate(text.split("\n"), 1):
            if line.strip():
                yield number, *_record(_json(line), f"line {number}"), ""


def _json(text: str) -> Any:
    """A JSON value; the error itself where it is none."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as error:
        return error


def _conversations(whole: Any) -> list[Any]:
    """The conversations in a whole JSON value: the value itself, or the list that it is or holds."""
    if dialects.is_conversation(whole):
        return [whole]
    if isinstance(whole, list):
        return whole
    lists = [value for value in whole.values() if isinstance(value, list)]
    return next((value for value in lists if any(map(dialects.is_conversation, value))), [whole])


def _record(value: Any, where: str) -> tuple[dict[str, Any], str | None]:
    if isinstance(value, Exception):
        return {}, f"malformed_json ({where})"
    if isinstance(value, list) and dialects.is_conversation(value):
        value = {"messages": value}
    return (value, None) if isinstance(value, dict) else ({}, f"not_an_object ({where})")


def _row(number: int, record: Mapping[str, Any], reason: str | None, form: str) -> dict[str, Any]:
    row: dict[str, Any] = {"turns": [], "format": form or dialects.format_of(record), "removed": {}, "left_out": []}
    tags = record.get("style_tags")
    try:
        json.dumps(record, ensure_ascii=False).encode()
        if not reason:
            row |= _talk(record, row["format"])
    except UnicodeEncodeError:
        reason = "lone_surrogate"
    except RecursionError:
        reason = "nested_too_deeply"
    except BadInput as error:
        reason = str(error)
    safe: Mapping[str, Any] = {} if reason == "nested_too_deeply" else record
    return row | {
        "id": _identity(safe, row["turns"], row.pop("names", ())) if safe else f"line-{number}",
        "style_tags": [scrub(str(tag))[0] for tag in tags] if isinstance(tags, list) and not reason else [],
        "text": render(row["turns"]),
        "reject_reason": reason,
    }


def _talk(record: Mapping[str, Any], form: str) -> dict[str, Any]:
    """Turns, removed and left_out of one record. Raises BadInput whose text is the reason against it."""
    if not form:
        raise BadInput("unknown_format")
    left_out: list[str] = []
    if form == "twainbot":
        fault = reject_reason(record)
        if fault:
            raise BadInput(fault)
        turns = record["turns"]
    else:
        talk = dialects.read(record, form)
        turns, left_out = talk.turns(), sorted(talk.left_out)
    stored = [_turn(turn) for turn in turns]
    blank = next((at for at, turn in enumerate(stored, 1) if not turn["content"] and not turn["tool_call"]), 0)
    if blank:  # a zero-width space, say: tidy leaves nothing of it
        raise BadInput(f"empty_turn (turn {blank})")
    clean, removed = without_personal_data(stored)
    return {"turns": clean, "removed": removed, "left_out": left_out, "names": _names(stored)}


def _names(turns: list[dict[str, Any]]) -> tuple[str, ...]:
    """The names that users give as their own."""
    return introduced_names("\n\n".join(turn["content"] for turn in turns if turn["role"] == "user"))


def _identity(record: Mapping[str, Any], turns: list[dict[str, Any]], names: Iterable[str]) -> str:
    """The record's own id unless it names a person; else one made from the turns, or from the record without turns."""
    keys = ("conversation_id",) if "turns" in record else dialects.IDENTITIES
    given = next((str(record[key]) for key in keys if isinstance(record.get(key), str | int) and record[key]), "")
    if given.strip() and given.isprintable() and not scrub(given)[1] and not _names_a_person(given, names):
        return given
    content = json.dumps(turns or record, sort_keys=True, ensure_ascii=True, default=str)
    return f"talk-{hashlib.sha256(content.encode()).hexdigest()[:16]}"


def _names_a_person(identity: str, names: Iterable[str]) -> bool:
    """Whether an id holds a name given in its talk, or two words beside each other that are written like one's name."""
    words = set(re.split(r"[\W_]+", identity.casefold()))
    told = any(len(name) >= MIN_NAME and name.casefold() in words for name in names)
    return told or bool(_LIKE_A_NAME.search(identity))


def reject_reason(record: Mapping[str, Any]) -> str | None:
    """Why a conversation does not fit the schema; None where it does. Turns are counted from 1."""
    identity = record.get("conversation_id", "-")
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
        json.dumps(call_arguments(call), allow_nan=False)
    except (BadInput, ValueError):
        return f"arguments_not_an_object (turn {number})"
    return None


def _turn(turn: Mapping[str, Any]) -> dict[str, Any]:
    call = turn.get("tool_call")
    stored = None
    if call:
        arguments = json.dumps(call_arguments(call), ensure_ascii=False, sort_keys=True)
        stored = {"tool_name": call["tool_name"], "arguments": arguments}
    return {"role": turn["role"], "content": tidy(turn.get("content") or ""), "tool_call": stored}


def without_personal_data(turns: list[dict[str, Any]]) -> tuple[list[dict[str, Any]], dict[str, int]]:
    """Stored turns without personal data, and what was removed, by kind.

    A name that the user gives goes from everybody's words. The bot's own introduction stays, and calls keep their
    places. Applied twice it changes nothing more.
    """
    names = _names(turns)
    counts: Counter[str] = Counter()
    clean: list[dict[str, Any]] = []
    for turn in turns:
        role, content, call = turn["role"], turn["content"], turn["tool_call"]
        words, found = scrub_result(content) if role == "tool" else scrub(content, names, introductions=role == "user")
        counts.update(found)
        if call:
            arguments, found = scrub_json(json.loads(call["arguments"]))
            counts.update(found)
            call = call | {"arguments": json.dumps(arguments, ensure_ascii=False, sort_keys=True)}
        clean.append({"role": role, "content": words, "tool_call": call})
    return clean, dict(sorted(counts.items()))


def render(turns: list[dict[str, Any]]) -> str:
    """The conversation as a page: "User: ...", "Assistant: ...", calls in brackets, a blank line between turns."""
    lines = []
    for turn in turns:
        call = turn["tool_call"]
        said = [turn["content"]] if turn["content"] else []
        called = [f"[calls {call['tool_name']} {call['arguments']}]"] if call else []
        lines.append(f"{turn['role'].capitalize()}: {' '.join([*said, *called])}")
    return "\n\n".join(lines)
