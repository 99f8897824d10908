"""Tool calls out of what a model wrote: Hermes tags, OpenAI's objects, bare JSON. Whether they are right is tool_calls.py's.

What cannot be read is a format error, counted and never dropped.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

_BLOCK = re.compile(r"<tool_call>(?P<body>.*?)(?P<end></tool_call>|(?=<tool_call>)|\Z)", re.DOTALL)
_STRAY_END = re.compile(r"</tool_call>")
_FENCES = (("```json", "```"), ("```", "```"), ("<tools>", "</tools>"))


@dataclass(frozen=True)
class FormatError:
    """A tool call written wrongly. `lost`: no call could be read from it, so it counts as a wrong prediction."""

    # truncated, invalid_json, not_an_object, no_name, no_arguments, stringified_arguments, untagged or stray_end
    kind: str
    text: str
    lost: bool


def parse_calls(reply: str) -> tuple[list[dict[str, Any]], list[FormatError]]:
    """Calls in the order written, and every fault of form. Each `<tool_call>` yields a call, an error or both.

    A call whose tag is cut off or whose arguments are a JSON string is read where possible, and still counts as an error.
    """
    calls: list[dict[str, Any]] = []
    errors: list[FormatError] = []
    blocks = list(_BLOCK.finditer(reply))
    for block in blocks:
        call, faults = _read_block(block["body"].strip(), closed=bool(block["end"]))
        errors += faults
        if call is not None:
            calls.append(call)
    rest = _BLOCK.sub("", reply).strip()
    if _STRAY_END.search(rest):
        errors.append(FormatError("stray_end", rest[-80:], lost=not blocks))
    elif not blocks and _looks_like_a_call(rest):
        errors.append(FormatError("untagged", rest[:200], lost=True))
    return calls, errors


def parse_message(
    message: Mapping[str, Any] | str, *, bare: bool = False
) -> tuple[list[dict[str, Any]], list[FormatError]]:
    """Calls of an OpenAI message (`tool_calls`, whose arguments are JSON text by contract), else those of its text.

    `bare`: the model was asked for JSON without tags, so an object or a list of calls as the whole text is no fault.
    """
    if isinstance(message, str):
        return _parse_bare(message) if bare else parse_calls(message)
    written = message.get("tool_calls")
    if not written:
        return parse_message(str(message.get("content") or ""), bare=bare)
    if not isinstance(written, list):
        return [], [FormatError("not_an_object", str(written)[:200], lost=True)]
    return _gathered([_read_openai(entry) for entry in written])


def _read_block(body: str, *, closed: bool) -> tuple[dict[str, Any] | None, list[FormatError]]:
    value = _json_or_none(body)
    if value is None:
        return None, [FormatError("invalid_json" if closed else "truncated", body[:200], lost=True)]
    faults: list[FormatError] = [] if closed else [FormatError("truncated", body[:200], lost=False)]
    call, fault = _read_call(value)
    if fault is not None:
        faults = [FormatError(fault, body[:200], lost=call is None)]
    return call, faults


def _read_call(value: Any) -> tuple[dict[str, Any] | None, str | None]:
    """(the call or None, the fault of form or None)."""
    if not isinstance(value, dict):
        return None, "not_an_object"
    name, arguments = value.get("name"), value.get("arguments")
    if not isinstance(name, str) or not name:
        return None, "no_name"
    if isinstance(arguments, str):
        decoded = _json_or_none(arguments)
        return ({"name": name, "arguments": decoded} if isinstance(decoded, dict) else None), "stringified_arguments"
    if not isinstance(arguments, dict):
        return None, "no_arguments"
    return {"name": name, "arguments": arguments}, None


def _read_openai(entry: Any) -> tuple[dict[str, Any] | None, FormatError | None]:
    function = entry.get("function") if isinstance(entry, Mapping) else None
    if not isinstance(function, Mapping):
        return None, FormatError("not_an_object", str(entry)[:200], lost=True)
    written = function.get("arguments")
    arguments = _json_or_none(written) if isinstance(written, str) else written
    if isinstance(written, str) and arguments is None:
        return None, FormatError("invalid_json", written[:200], lost=True)
    call, fault = _read_call({"name": function.get("name"), "arguments": arguments})
    return call, FormatError(fault, str(entry)[:200], lost=call is None) if fault else None


def _parse_bare(text: str) -> tuple[list[dict[str, Any]], list[FormatError]]:
    """A text that is nothing but JSON, fenced or not; any other text is read for tags."""
    value = _json_or_none(_unfenced(text.strip()))
    if not isinstance(value, (dict, list)):
        return parse_calls(text)
    read = []
    for entry in value if isinstance(value, list) else [value]:
        llama = isinstance(entry, dict) and "parameters" in entry and "arguments" not in entry  # Llama's key
        call, fault = _read_call({**entry, "arguments": entry["parameters"]} if llama else entry)
        read.append((call, FormatError(fault, str(entry)[:200], lost=call is None) if fault else None))
    return _gathered(read)


def _gathered(
    read: Sequence[tuple[dict[str, Any] | None, FormatError | None]],
) -> tuple[list[dict[str, Any]], list[FormatError]]:
    return [call for call, _ in read if call is not None], [fault for _, fault in read if fault is not None]


def _unfenced(text: str) -> str:
    """The text without a fence around the whole of it. By hand: a pattern took minutes over a fence of white space."""
    ended = text.rstrip("\n")
    for opens, closes in _FENCES:
        if ended.startswith(opens) and ended.endswith(closes) and len(ended) >= len(opens) + len(closes):
            return ended[len(opens) : -len(closes)].strip()
    return text


def _json_or_none(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):  # a model can write 5,000 digits, or open a hundred thousand brackets
        return None


def _looks_like_a_call(text: str) -> bool:
    value = _json_or_none(_unfenced(text))
    return isinstance(value, dict) and isinstance(value.get("name"), str) and "arguments" in value
