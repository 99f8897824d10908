"""Foreign transcript formats (OpenAI, Anthropic, Hermes, ShareGPT) to turns of the dialogue schema, one record at a time.

A stored turn holds one call. Several calls of one assistant turn become a turn each, every one followed by its own
result, found by id (by name or order where the format has no ids): call, result, call, result. What a schema turn cannot
say (a picture, a result for no call, words after a call) is a BadInput whose text is the reject's reason.
"""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twainbot.dialogues.tools import stored_name
from twainbot.errors import BadInput

ROLE_NAMES = {
    "system": "system", "developer": "system",
    "user": "user", "human": "user",
    "assistant": "assistant", "gpt": "assistant", "model": "assistant", "bot": "assistant", "chatgpt": "assistant",
    "tool": "tool", "function": "tool", "observation": "tool", "function_response": "tool",
}  # fmt: skip
LISTS = ("turns", "messages", "conversations", "conversation")  # keys under which a record holds its turns
IDENTITIES = ("conversation_id", "id", "session_id", "thread_id", "uuid")
_USED = {*LISTS, *IDENTITIES, "system", "style_tags"}
_USED_IN_MESSAGE = {
    "role", "content", "tool_calls", "tool_call_id", "function_call", "name", "refusal", "from", "value", "weight"
}  # fmt: skip
_WORDS = ("text", "input_text", "output_text")
_THOUGHTS = ("thinking", "redacted_thinking", "reasoning")
_ANTHROPIC_BLOCKS = {"tool_use", "tool_result", *_THOUGHTS, "server_tool_use", "document"}
_CALL = re.compile(r"<tool_call>(.*?)</tool_call>", re.DOTALL)
_RESPONSE = re.compile(r"<tool_response>(.*?)</tool_response>", re.DOTALL)
_THINK = re.compile(r"<think>.*?</think>", re.DOTALL)


@dataclass
class _Call:
    """One call with the words said before it, and its result once it came."""

    words: str
    name: str
    arguments: dict[str, Any]
    identity: str | None
    result: str | None = None


@dataclass
class Talk:
    """A conversation as it is read: turns so far, calls that may still be answered, and what had no place."""

    format: str
    entries: list[dict[str, Any] | _Call] = field(default_factory=list)
    open: list[_Call] = field(default_factory=list)
    closed: set[str] = field(default_factory=set)
    left_out: set[str] = field(default_factory=set)

    def say(self, role: str, words: str, number: int) -> None:
        """Add a turn of words. System turns at the head of the conversation are one."""
        if not words.strip():
            raise BadInput(f"empty_turn (turn {number})")
        self.close()
        last = self.entries[-1] if self.entries else None
        if role == "system" and len(self.entries) == 1 and isinstance(last, dict) and last["role"] == "system":
            last["content"] += f"\n\n{words}"
        else:
            self.entries.append({"role": role, "content": words, "tool_call": None})

    def close(self) -> None:
        """From here on no result can answer an earlier call: the talk has gone on."""
        self.closed |= {call.identity for call in self.open if call.identity}
        self.open = []

    def call(self, words: str, name: Any, arguments: Any, identity: Any, number: int) -> None:
        """Add a call to the assistant turn that is being read."""
        if not isinstance(name, str) or not name.strip():
            raise BadInput(f"tool_call_without_name (turn {number})")
        identity = str(identity) if identity else None
        if identity and any(call.identity == identity for call in self.open):
            raise BadInput(f"duplicate_call_id (turn {number})")
        made = _Call(words, stored_name(name.strip()), _arguments(arguments, number), identity)
        self.open.append(made)
        self.entries.append(made)

    def answer(self, content: str, identity: Any, name: Any, number: int) -> None:
        """Give a result to the open call of that id; without an id, to the first unanswered one (of that name)."""
        if not content.strip():
            raise BadInput(f"empty_turn (turn {number})")
        identity = str(identity) if identity else None
        mine = [call for call in self.open if call.identity == identity] if identity else self.open
        if not identity and name:
            mine = [call for call in mine if call.name == stored_name(str(name))]
        waiting = [call for call in mine if call.result is None]
        if not waiting:
            raise BadInput(f"{self._why_unanswerable(mine, identity)} (turn {number})")
        waiting[0].result = content

    def _why_unanswerable(self, mine: Sequence[_Call], identity: str | None) -> str:
        if mine:
            return "second_result_for_call"
        return "late_tool_result" if identity in self.closed else "tool_result_without_call"

    def turns(self) -> list[dict[str, Any]]:
        """The turns in the dialogue schema, arguments as objects, every result behind its call."""
        found: list[dict[str, Any]] = []
        for entry in self.entries:
            if isinstance(entry, dict):
                found.append(entry)
                continue
            call = {"tool_name": entry.name, "arguments": entry.arguments}
            found.append({"role": "assistant", "content": entry.words, "tool_call": call})
            if entry.result is not None:
                found.append({"role": "tool", "content": entry.result, "tool_call": None})
        return found


def is_message(value: Any) -> bool:
    """Whether a JSON value looks like one message of a conversation: somebody says something."""
    return isinstance(value, Mapping) and ("role" in value or "from" in value)


def is_conversation(value: Any) -> bool:
    """Whether a JSON value looks like a conversation: a list of messages, or an object that holds its turns."""
    if isinstance(value, list):
        return bool(value) and all(map(is_message, value))
    if not isinstance(value, Mapping):
        return False
    return any(key in value and not _holds_conversations(value[key]) for key in LISTS)


def _holds_conversations(value: Any) -> bool:
    """Whether a list holds whole conversations, and not the turns of one. Looks one level deep."""
    for item in _list(value):
        if isinstance(item, list) and item and all(map(is_message, item)):
            return True
        if isinstance(item, Mapping) and not is_message(item) and any(key in item for key in LISTS):
            return True
    return False


def format_of(record: Mapping[str, Any]) -> str:
    """twainbot, openai, anthropic, hermes or sharegpt; "" for a record that holds no conversation."""
    if "turns" in record:
        return "twainbot"
    messages = _messages(record)
    if messages is None:
        return ""
    listed = [message for message in _list(messages) if isinstance(message, Mapping)]
    texts = [text for message in listed for text in (message.get("value"), message.get("content"))]
    tagged = any(isinstance(text, str) and ("<tool_call>" in text or "<tool_response>" in text) for text in texts)
    if any("from" in message for message in listed):
        return "hermes" if tagged else "sharegpt"
    blocks = [block for message in listed for block in _list(message.get("content")) if isinstance(block, Mapping)]
    if "system" in record or any(block.get("type") in _ANTHROPIC_BLOCKS or "source" in block for block in blocks):
        return "anthropic"
    return "hermes" if tagged and not any(message.get("tool_calls") for message in listed) else "openai"


def read(record: Mapping[str, Any], format: str = "") -> Talk:  # noqa: A002
    """A foreign record as a Talk. Turns are counted from 1, as the record lists them.

    Raises BadInput whose text is a reason: "unknown_role (turn 2)", "unsupported_content: image_url (turn 3)".
    """
    messages = _messages(record)
    if not isinstance(messages, list) or not messages:
        raise BadInput("no_turns")
    talk = Talk(format or format_of(record))
    talk.left_out |= {key for key, value in record.items() if key not in _USED and value not in (None, "", [], {})}
    system = record.get("system")
    if system:
        talk.say("system", _words(system, 0, talk), 0)
    for number, message in enumerate(messages, 1):
        _read_message(talk, message, number)
    if not any(turn["role"] == "assistant" for turn in talk.turns()):
        raise BadInput("no_assistant_turn")
    return talk


def _messages(record: Mapping[str, Any]) -> Any:
    return next((record[key] for key in LISTS[1:] if key in record), None)


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_message(talk: Talk, message: Any, number: int) -> None:
    if not isinstance(message, Mapping):
        raise BadInput(f"turn_not_an_object (turn {number})")
    given = message.get("role", message.get("from"))
    if given == "function_call":
        message = {"tool_calls": [{"function": _object(str(message.get("value", message.get("content"))))}]}
    role = "assistant" if given == "function_call" else ROLE_NAMES.get(str(given).lower(), "")
    if not role:
        raise BadInput(f"unknown_role (turn {number})")
    unknown = (key for key, value in message.items() if key not in _USED_IN_MESSAGE and value not in (None, "", [], {}))
    talk.left_out |= {f"message.{key}" for key in unknown}
    if message.get("audio"):
        raise BadInput(f"unsupported_content: audio (turn {number})")
    content = message["value"] if "from" in message and "value" in message else message.get("content")
    readers = {"assistant": _read_assistant, "tool": _read_tool, "user": _read_user, "system": _read_system}
    readers[role](talk, message, content, number)


def _read_system(talk: Talk, _message: Mapping[str, Any], content: Any, number: int) -> None:
    talk.say("system", _words(content, number, talk), number)


def _read_user(talk: Talk, _message: Mapping[str, Any], content: Any, number: int) -> None:
    """The user's words. Results that a format puts into the user's turn go to their calls first."""
    results = [block for block in _list(content) if isinstance(block, Mapping) and block.get("type") == "tool_result"]
    for block in results:
        talk.left_out |= {"is_error"} if block.get("is_error") else set()
        talk.answer(_words(block.get("content"), number, talk), block.get("tool_use_id"), None, number)
    others = [block for block in _list(content) if block not in results]
    words = _words(others if isinstance(content, list) else content, number, talk)
    answered = bool(results)
    if talk.open and isinstance(content, str) and "<tool_response>" in words:
        words, answered = _answers_in(talk, words, number), True
    if words.strip() or not answered:
        talk.say("user", words, number)


def _read_tool(talk: Talk, message: Mapping[str, Any], content: Any, number: int) -> None:
    words = _words(content, number, talk)
    if "<tool_response>" not in words:
        talk.answer(words, message.get("tool_call_id"), message.get("name"), number)
    elif _answers_in(talk, words, number).strip():
        raise BadInput(f"words_beside_tool_response (turn {number})")


def _answers_in(talk: Talk, text: str, number: int) -> str:
    """Give every tagged response to its call; what stands outside the tags comes back."""
    for match in _RESPONSE.finditer(text):
        content, name, identity = match[1].strip(), None, None
        found = _object(content)
        if found and "content" in found and set(found) <= {"name", "content", "tool_call_id", "id", "role"}:
            inner = found["content"]
            content = inner if isinstance(inner, str) else json.dumps(inner, ensure_ascii=False)
            name, identity = found.get("name"), found.get("tool_call_id")
        talk.answer(content, identity, name, number)
    outside = _RESPONSE.sub("", text)
    if "<tool_response>" in outside:
        raise BadInput(f"unclosed_tool_response (turn {number})")
    return outside


def _read_assistant(talk: Talk, message: Mapping[str, Any], content: Any, number: int) -> None:
    calls = [*_list(message.get("tool_calls"))]
    if message.get("function_call"):
        calls.append({"function": message["function_call"]})
    if not calls and any(isinstance(block, Mapping) and block.get("type") == "tool_use" for block in _list(content)):
        _read_blocks(talk, content, number)
        return
    words = _words(content if content is not None else message.get("refusal"), number, talk)
    if not calls and "<tool_call>" in words:
        _read_tagged(talk, words, number)
    elif not calls:
        talk.say("assistant", words, number)
    else:
        talk.close()
        for at, call in enumerate(calls):
            function = call.get("function") if isinstance(call, Mapping) else None
            if not isinstance(function, Mapping) or call.get("type", "function") != "function":
                raise BadInput(f"unsupported_call (turn {number})")
            arguments = function.get("arguments")
            talk.call("" if at else words, function.get("name"), arguments, call.get("id"), number)


def _read_blocks(talk: Talk, content: Sequence[Any], number: int) -> None:
    """An assistant turn of blocks: the words before a call go with it; words after the last one have no place."""
    talk.close()
    before: list[Any] = []
    for block in content:
        if isinstance(block, Mapping) and block.get("type") == "tool_use":
            talk.call(_words(before, number, talk), block.get("name"), block.get("input"), block.get("id"), number)
            before = []
        else:
            before.append(block)
    if _words(before, number, talk).strip():
        raise BadInput(f"words_after_call (turn {number})")


def _read_tagged(talk: Talk, text: str, number: int) -> None:
    """An assistant turn with calls as <tool_call> tags in its text."""
    talk.close()
    at = 0
    for match in _CALL.finditer(text):
        found = _object(match[1])
        if found is None:
            raise BadInput(f"malformed_tool_call (turn {number})")
        arguments = found.get("arguments", found.get("parameters"))
        talk.call(text[at : match.start()].strip(), found.get("name"), arguments, found.get("id"), number)
        at = match.end()
    rest = text[at:]
    if "<tool_call>" in rest:
        raise BadInput(f"unclosed_tool_call (turn {number})")
    if rest.strip():
        raise BadInput(f"words_after_call (turn {number})")


def _words(content: Any, number: int, talk: Talk) -> str:
    """Content as text: a string, nothing, or a list of text blocks. Thoughts are left out, which is noted."""
    if content is None:
        return ""
    if isinstance(content, str):
        thought = _THINK.sub("", content)
        talk.left_out |= {"thinking"} if thought != content else set()
        return thought
    if not isinstance(content, list):
        raise BadInput(f"content_not_text (turn {number})")
    parts: list[str] = []
    for block in content:
        kind = block.get("type") if isinstance(block, Mapping) else None
        if isinstance(block, str):
            parts.append(block)
        elif isinstance(block, Mapping) and kind in (*_WORDS, "refusal"):
            text = block.get("refusal" if kind == "refusal" else "text")
            parts.append(_words(text if text is None or isinstance(text, str) else {}, number, talk))
        elif kind in _THOUGHTS:
            talk.left_out.add("thinking")
        else:
            raise BadInput(f"unsupported_content: {str(kind)[:40]} (turn {number})")
    return "\n\n".join(part for part in parts if part.strip())


def _arguments(value: Any, number: int) -> dict[str, Any]:
    """Arguments as an object, whether written as one or as JSON text; nothing counts as no arguments."""
    try:
        found = json.loads(value) if isinstance(value, str) and value.strip() else value or {}
        json.dumps(found, allow_nan=False)
    except (ValueError, TypeError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise BadInput(f"arguments_not_an_object (turn {number})")
    return found


def _object(text: str) -> dict[str, Any] | None:
    """A JSON object, or a Python one (old Hermes sets quote with '), or None."""
    readers = (json.loads, ast.literal_eval)
    for reader in readers:
        try:
            found = reader(text.strip())
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
        return found if isinstance(found, dict) else None
    return None
