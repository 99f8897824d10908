"""Chat messages as a data bundle stores them, nested, and as a chat template wants them. Both ways lose nothing.

Arrow gives every object of a column the same keys, and fills what an object lacks with null. A call's arguments differ
from tool to tool, so they are stored as JSON text: no null argument can appear. What else may be null is dropped again.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

CALL = pl.Struct({"type": pl.String, "function": pl.Struct({"name": pl.String, "arguments": pl.String})})
MESSAGE = pl.Struct(
    {
        "role": pl.String,  # system | user | assistant | tool
        "content": pl.String,
        "name": pl.String,  # of the tool that answers; null elsewhere
        "tool_calls": pl.List(CALL),  # of the assistant; null elsewhere. arguments: a JSON object as text
    }
)


def nested(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Messages with every key of MESSAGE, a call's arguments as JSON text."""
    return [
        {
            "role": message["role"],
            "content": message["content"],
            "name": message.get("name"),
            "tool_calls": [stored_call(call) for call in message["tool_calls"]] if message.get("tool_calls") else None,
        }
        for message in messages
    ]


def stored_call(call: Mapping[str, Any]) -> dict[str, Any]:
    """A call whose arguments are JSON text."""
    function = call["function"]
    arguments = json.dumps(function["arguments"], ensure_ascii=False)
    return {"type": call["type"], "function": {"name": function["name"], "arguments": arguments}}


def plain(messages: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Stored messages as a chat template wants them: no nulls, arguments as objects. Undoes `nested`."""
    return [without_nulls({**message, "tool_calls": called(message.get("tool_calls"))}) for message in messages]


def called(calls: Iterable[Mapping[str, Any]] | None) -> list[dict[str, Any]] | None:
    """Stored calls with their arguments as objects; None where there are none."""
    read = [{**call, "function": {**call["function"], "arguments": json.loads(call["function"]["arguments"])}}
            for call in calls or ()]  # fmt: skip
    return read or None


def without_nulls(message: Mapping[str, Any]) -> dict[str, Any]:
    """A message less the keys that it has only because other messages have them."""
    return {key: value for key, value in message.items() if value is not None}


def with_messages(rows: pl.DataFrame, column: str) -> pl.DataFrame:
    """The rows with a column of JSON text as nested messages."""
    stored = [nested(json.loads(text)) for text in rows[column]]
    return rows.with_columns(pl.Series(column, stored, dtype=pl.List(MESSAGE)))
