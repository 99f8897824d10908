"""What a language model is asked, and what its answer is worth: requests, answers, and the reading of an answer.

Sending is resources/generators.py's; what is asked of a dialogue is rewriting.py's and judging.py's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeAlias

Schema: TypeAlias = Mapping[str, Any]

# How an answer ended. The last two were never given, so nobody pays or remembers them.
STOP, LENGTH, REFUSAL, NOT_TAKEN, NO_ANSWER = "stop", "length", "refusal", "not_taken", "no_answer"
BYTES_PER_TOKEN = (
    3  # of English prose and JSON, on the safe side: 200 of our requests have 3.2 to 4.0 by SmolLM2's tokenizer
)
MESSAGE_TOKENS = 8  # what a chat template adds around a message, rounded up
REASON_CHARACTERS = 120

_TYPES: Mapping[str, type | tuple[type, ...]] = {
    "object": dict,
    "array": list,
    "string": str,
    "integer": int,
    "number": (int, float),
    "boolean": bool,
}
_REFUSED = re.compile(
    r"\s*(?:i(?:'|’)?m sorry|i am sorry|sorry,|i can(?:no|')t|i can’t|i won(?:'|’)t|i am unable|i(?:'|’)m unable|as an ai)",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Request:
    """One question. `request_id` says whose it is; only the rest decides what is asked.

    `messages`: (role, words), the system's first. `schema`: of the JSON object to answer with. `expected_tokens`: of the
    likely answer, for forecasts; `max_tokens`: where it is cut.
    """

    request_id: str
    messages: tuple[tuple[str, str], ...]
    schema: Schema = field(hash=False)
    seed: int
    expected_tokens: int
    max_tokens: int


@dataclass(frozen=True)
class Answer:
    """What came back. `finish`: how it ended; `model`: who says to have written it; `note`: why there is no text."""

    text: str
    finish: str = STOP
    model: str = ""
    input_tokens: int = 0
    output_tokens: int = 0
    note: str = ""

    @property
    def was_given(self) -> bool:
        """Whether a model answered at all, be it with a refusal."""
        return self.finish not in (NOT_TAKEN, NO_ANSWER)


def key_of(request: Request, model: str, temperature: float) -> str:
    """64 hex digits over all that shapes the answer, whichever service gives it."""
    asked = {
        "model": model,
        "messages": [list(message) for message in request.messages],
        "schema": request.schema,
        "temperature": temperature,
        "max_tokens": request.max_tokens,
        "seed": request.seed,
    }
    text = json.dumps(asked, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def tokens_of(text: str) -> int:
    """An upper estimate of a text's tokens, for forecasts: what was really used, the service says."""
    return -(-len(text.encode("utf-8", "surrogatepass")) // BYTES_PER_TOKEN)


def input_tokens(request: Request) -> int:
    """An upper estimate of what a request costs to read, its schema included."""
    words = sum(tokens_of(text) + MESSAGE_TOKENS for _, text in request.messages)
    return words + tokens_of(json.dumps(request.schema))


def read(answer: Answer, schema: Schema) -> tuple[dict[str, Any], str]:
    """The answer's object and an empty reason, or an empty object and why it cannot be used, as `kind: detail`."""
    fault = _unusable(answer)
    if fault:
        return {}, fault
    try:
        found = json.loads(_json_of(answer.text))
    except (ValueError, RecursionError):
        return {}, _no_json(answer.text)
    wrong = drift(found, schema)
    return ({}, f"drift: {wrong}") if wrong else (found, "")


def _unusable(answer: Answer) -> str:
    if answer.finish in (NOT_TAKEN, NO_ANSWER):
        return _reason(answer.finish, answer.note)
    if answer.finish == REFUSAL:
        return _reason(REFUSAL, answer.note or answer.text)
    if answer.finish == LENGTH:
        return f"truncated: after {answer.output_tokens} tokens"
    return "" if answer.text.strip() else "empty: no words"


def _reason(kind: str, detail: str) -> str:
    return f"{kind}: {' '.join(detail.split())[:REASON_CHARACTERS]}"


def _json_of(text: str) -> str:
    """From the first brace to the last, since small models talk around their JSON."""
    start, end = text.find("{"), text.rfind("}")
    return text[start : end + 1] if 0 <= start < end else text


def _no_json(text: str) -> str:
    if _REFUSED.match(text):
        return _reason(REFUSAL, text)
    if text.lstrip().startswith(("{", "```")):
        return _reason("truncated", f"JSON breaks off at {text.rstrip()[-20:]!r}")
    return _reason("not_json", text)


def drift(value: Any, schema: Schema, at: str = "answer") -> str:
    """Where a value first leaves its schema, or nothing. Knows type, enum, properties, required and items."""
    kind = str(schema.get("type", "object"))
    if not isinstance(value, _TYPES[kind]) or (kind in ("integer", "number") and isinstance(value, bool)):
        return f"{at} is {type(value).__name__}, not {kind}"
    if "enum" in schema and value not in schema["enum"]:
        return f"{at} is {str(value)[:40]!r}, not one of {schema['enum']}"
    if kind == "object":
        return _object_drift(value, schema, at)
    return _array_drift(value, schema, at) if kind == "array" else ""


def _object_drift(value: Mapping[str, Any], schema: Schema, at: str) -> str:
    known: Mapping[str, Schema] = schema.get("properties", {})
    missing = [name for name in schema.get("required", ()) if name not in value]
    if missing:
        return f"{at} lacks {', '.join(missing)}"
    if schema.get("additionalProperties") is False and set(value) - set(known):
        return f"{at} has more: {', '.join(sorted(set(value) - set(known)))}"[:REASON_CHARACTERS]
    faults = (drift(value[name], part, name) for name, part in known.items() if name in value)
    return next((fault for fault in faults if fault), "")


def _array_drift(value: Sequence[Any], schema: Schema, at: str) -> str:
    faults = (drift(item, schema.get("items", {}), f"{at}[{number}]") for number, item in enumerate(value))
    return next((fault for fault in faults if fault), "")
