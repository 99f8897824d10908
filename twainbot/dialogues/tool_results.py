"""What came back from a tool, made safe to show a model: data or a fault, never an order. Calling is resources/'.

A model reads every word of a tool result, so a result is cut to size, held to the tool's own output schema, and freed of text
that gives orders. What was withheld is kept apart, for people to see.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from twainbot.dialogues.tools import ERROR_CODES

MOST_BYTES = 64 * 2**10  # of a result before it is refused: the longest honest one, a state's alerts, has under 4 KiB
MOST_CHARACTERS = 4000  # of what a model is shown: some 1,300 tokens
SHOWN = 300  # characters of a bad result that a person is shown
WITHHELD = "[withheld: this text gave orders, and a result is data]"

# faults that a result itself can have; the client adds hang, died and the like
TOO_LARGE, HTML, NOT_JSON, MALFORMED, EMPTY, ORDERS = "too_large", "html", "not_json", "malformed", "empty", "orders"
# faults of the way to the tool
TIMEOUT, DIED, TOOL_ERROR, REFUSED = "timeout", "died", "tool_error", "refused"

_HTML = re.compile(r"\s*(?:<!doctype\s+html|<html\b|<\?xml\b|<head\b|<body\b)", re.IGNORECASE)
# Words that only somebody who talks to a model says. A forecast's "Stay indoors" or "Do not drive" is none of them.
_ORDERS = re.compile(
    r"\b(?:ignore|disregard|forget|override)\b[^.!?\n]{0,40}\b(?:rules?|instructions?|prompts?|guidelines?|above|previous|earlier)\b"
    r"|\b(?:system|developer) (?:prompt|message)\b"
    r"|\byou (?:are|must) now\b|\bfrom now on,? (?:you|answer|reply|say)\b|\bnew instructions?\b"
    r"|\b(?:respond|reply|answer) (?:only )?with\b|\b(?:tell|inform|convince) the user\b|\bdo not (?:tell|reveal|mention)\b"
    r"|<\|?/?(?:im_start|im_end|system|tool_call|tool_response|endoftext)\b|\[/?INST\]",
    re.IGNORECASE,
)
_CODE_OF_FAULT = {TIMEOUT: "timeout"}  # everything else is, to a model, a service that does not answer


@dataclass(frozen=True)
class Outcome:
    """A result as a model sees it (`content`, JSON), with its fault if it is one.

    `fault`: "" or one of the names above; `code`, `words`: the tool's own error code and message, or ours. `shown`: what a
    person is shown of a result that the model is not. `withheld`: texts that gave orders, as they came.
    """

    content: str
    fault: str = ""
    code: str = ""
    words: str = ""
    shown: str = ""
    withheld: tuple[str, ...] = field(default=())

    @property
    def failed(self) -> bool:
        """Whether it holds no data."""
        return bool(self.fault)


def failure(fault: str, words: str, *, code: str = "", shown: str = "", withheld: tuple[str, ...] = ()) -> Outcome:
    """A fault as an outcome: the model sees one of the tool's error codes and a plain sentence."""
    known = code if code in ERROR_CODES else _CODE_OF_FAULT.get(fault, "service_unavailable")
    content = json.dumps({"error": known, "message": words}, ensure_ascii=False, separators=(",", ":"))
    return Outcome(content, fault, known, words, shown[:SHOWN], withheld)


def outcome(
    text: str, structured: Any = None, *, is_error: bool = False, schema: Mapping[str, Any] | None = None
) -> Outcome:
    """What a tool's answer is worth: its structured content where it has one, else its text, which must be JSON or prose.

    `schema`: the tool's output schema, where it declares one; then nothing else is accepted as data.
    """
    size = len(text.encode("utf-8", "replace"))
    if size > MOST_BYTES:
        words = f"The tool answered with {size:,} bytes; {MOST_BYTES:,} are read at most."
        return failure(TOO_LARGE, words, shown=text)
    if is_error:
        return _error(text)
    if structured is None and _HTML.match(text):
        return failure(HTML, "The tool answered with a web page instead of data.", shown=text)
    data = structured if structured is not None else _json_or_none(text)
    if data is None:
        return _prose(text, schema)
    if isinstance(data, dict) and data.get("error"):
        return _error(json.dumps(data, ensure_ascii=False))
    if schema is not None and (why := misfit(data, schema)):
        return failure(MALFORMED, f"The tool's answer is not of the form that it declares: {why}", shown=text)
    return _data(data)


def misfit(data: Any, schema: Mapping[str, Any]) -> str:
    """Why data does not fit a JSON schema, "" where it does. A schema that is none is fitted by nothing."""
    try:
        fault = next(iter(validator(schema).iter_errors(data)), None)
    except Exception as error:  # a foreign server's schema may fail in any of jsonschema's and referencing's ways
        return f"the schema itself cannot be used ({type(error).__name__})"
    return "" if fault is None else f"{fault.json_path}: {fault.message[:160]}"


def validator(schema: Mapping[str, Any]) -> Any:
    """jsonschema's validator of a schema, which opens nothing: a `$ref` to an address or a file fails.

    Left to itself jsonschema fetches it, from this machine's own network too, and the schema is a foreign server's.
    """
    from jsonschema import Draft202012Validator
    from jsonschema_specifications import REGISTRY

    return Draft202012Validator(dict(schema), registry=REGISTRY)


def closed(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema without room for what it does not declare.

    What it declares in parts (allOf, anyOf, $ref), or allows by an additionalProperties of its own, is declared.
    """
    return {**schema, "unevaluatedProperties": False}


def undeclarable(schema: Mapping[str, Any]) -> str:
    """Why a JSON schema cannot be that of a tool's arguments, "" where it can."""
    import jsonschema

    try:
        jsonschema.Draft202012Validator.check_schema(dict(schema))
    except jsonschema.SchemaError as error:
        return f"no JSON schema: {error.message[:200]}"
    except RecursionError:
        return "the schema is nested too deeply"
    except Exception as error:  # a pattern of more repetitions than there are numbers for, for one
        return f"no JSON schema that can be used ({type(error).__name__})"
    if schema.get("type", "object") != "object":
        return "arguments are an object, so the schema's type must be object"
    return ""


def unfit(name: Any, arguments: Any, tools: Sequence[Mapping[str, Any]]) -> str:
    """Why a call may not be made of these declared tools, "" where it may. An argument that none declares is a fault too."""
    declared = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools}
    if not isinstance(name, str) or name not in declared:
        return f"No tool is called {str(name)[:60]!r}. Declared are: {', '.join(declared) or 'none'}."
    if not isinstance(arguments, Mapping):
        return f"{name}: the arguments are no object."
    why = misfit(arguments, closed(declared[name]))
    blank = [key for key, value in arguments.items() if isinstance(value, str) and not value.strip()]
    return f"{name}: {why}" if why else f"{name}: {blank[0]} is empty." if blank else ""


def invalid_call(why: str) -> str:
    """What a model is told of a call that was not made, in the form of a failed result."""
    fault = json.dumps({"error": "invalid_call", "message": why}, ensure_ascii=False, separators=(",", ":"))
    return defused(fault)


def gives_orders(text: str) -> bool:
    """Whether a text talks to the model instead of about the weather."""
    return bool(_ORDERS.search(text))


def defused(text: str) -> str:
    """The text with the marks broken by which a chat template or a call would be opened; nothing else changes."""
    return re.sub(r"<(?=\|?/?(?:im_start|im_end|tool_call|tool_response|endoftext)\b)", "‹", text)


def _data(data: Any) -> Outcome:
    withheld: list[str] = []
    clean = _without_orders(data, withheld)
    clean = {"results": clean} if isinstance(clean, list) else clean  # what reads a tool turn takes an object
    content = json.dumps(clean, ensure_ascii=False, separators=(",", ":"))
    if len(content) > MOST_CHARACTERS:
        words = f"The tool answered with {len(content):,} characters; {MOST_CHARACTERS:,} are read at most."
        return failure(TOO_LARGE, words, shown=content)
    return Outcome(content, withheld=tuple(withheld))


def _without_orders(data: Any, withheld: list[str]) -> Any:
    """The data with every text that gives orders replaced; keys are texts too."""
    if isinstance(data, str):
        if gives_orders(data):
            withheld.append(data)
            return WITHHELD
        return defused(data)
    if isinstance(data, Mapping):
        return {_without_orders(str(key), withheld): _without_orders(value, withheld) for key, value in data.items()}
    if isinstance(data, list):
        kept = [_without_orders(value, withheld) for value in data]
        return [value for value in kept if value != WITHHELD]
    return data


def _prose(text: str, schema: Mapping[str, Any] | None) -> Outcome:
    """A text that is no JSON: data only where the tool declares no form, and then quoted as what it is."""
    if not text.strip():
        return failure(EMPTY, "The tool answered with nothing.")
    if gives_orders(text):
        return failure(ORDERS, "The tool answered with orders instead of data.", shown=text, withheld=(text[:SHOWN],))
    if schema is not None:
        return failure(NOT_JSON, "The tool answered with text that is not JSON.", shown=text)
    return _data({"text": text.strip()})


def _error(text: str) -> Outcome:
    """A tool's own error: its code where it names one of ours, its words where they give no orders."""
    data = _json_or_none(text)
    found = data if isinstance(data, dict) else {"message": text}
    words = " ".join(str(found.get("message") or found.get("error") or "The tool failed without a reason.").split())
    if gives_orders(words):
        return failure(TOOL_ERROR, "The tool failed, and its error gave orders.", shown=text, withheld=(text[:SHOWN],))
    fault = REFUSED if found.get("error") == "invalid_call" else TOOL_ERROR
    return failure(fault, defused(words[:SHOWN]), code=str(found.get("error") or ""), shown=text)


def _json_or_none(text: str) -> Any:
    try:
        found: Any = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return None if isinstance(found, str | int | float) else found
