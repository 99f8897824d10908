"""The weather tool as dialogues store it and as models see it. Calling it is resources/weather.py's business.

Stored dialogues keep the brief's dotted name. OpenAI-style function names allow no dots, so what is rendered, trained
and served is `get_forecast`. The map is one-to-one, and `stored_name(served_name(x)) == x`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from twainbot.errors import BadInput

STORED_TO_SERVED = {"weather_api.get_forecast": "get_forecast"}
SERVED_TO_STORED = {served: stored for stored, served in STORED_TO_SERVED.items()}
ALIASES = {"get_weather": "get_forecast"}  # accepted from callers, never emitted

FORECAST_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_forecast",
        "description": "Weather forecast for one place and one day.",
        "parameters": {
            "type": "object",
            "properties": {
                "location": {"type": "string", "description": "Town, with state or country where the user gave one"},
                "datetime": {
                    "type": "string",
                    "description": "today, tonight, tomorrow, a weekday, this weekend, or a date as YYYY-MM-DD",
                },
            },
            "required": ["location", "datetime"],
        },
    },
}
TOOLS: list[dict[str, Any]] = [FORECAST_TOOL]

# What a tool turn holds, as a JSON object. Temperatures in degrees Fahrenheit, wind in mph, chance in percent.
FORECAST_KEYS = (
    "location", "datetime", "date", "weekday", "condition", "high_f", "low_f",
    "precipitation_chance", "wind_mph", "wind_direction", "alerts",
)  # fmt: skip
# ... or a failure: {"error": one of these, "message": plain words}
ERROR_CODES = ("unknown_location", "service_unavailable", "timeout", "no_data_for_date")


def served_name(stored: str) -> str:
    """The name that a model sees for a stored tool name; unmapped names have their dots replaced by underscores."""
    return STORED_TO_SERVED.get(stored, stored.replace(".", "_"))


def stored_name(served: str) -> str:
    """The stored name for a name that a model used, aliases resolved."""
    return SERVED_TO_STORED.get(ALIASES.get(served, served), served)


def to_messages(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Stored turns as chat-template messages, in order, with served tool names and arguments as objects.

    Raises BadInput where a tool call's arguments are not a JSON object.
    """
    messages: list[dict[str, Any]] = []
    last_tool = ""
    for turn in turns:
        call = turn.get("tool_call")
        if call is not None and call.get("tool_name"):
            last_tool = served_name(call["tool_name"])
            function = {"name": last_tool, "arguments": call_arguments(call)}
            messages.append(
                {
                    "role": turn["role"],
                    "content": turn.get("content") or "",
                    "tool_calls": [{"type": "function", "function": function}],
                }
            )
        elif turn["role"] == "tool":
            messages.append({"role": "tool", "name": last_tool, "content": turn.get("content") or ""})
        else:
            messages.append({"role": turn["role"], "content": turn.get("content") or ""})
    return messages


def call_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a stored tool call as a dictionary, whether stored as JSON text or as an object."""
    arguments = call.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except json.JSONDecodeError as error:
            raise BadInput(f"Tool call arguments are not JSON ({error}): {arguments[:80]!r}.") from error
    if not isinstance(arguments, dict):
        found = f"{type(arguments).__name__}: {str(arguments)[:80]!r}"
        raise BadInput(f"Tool call arguments must be a JSON object, got {found}.")
    return arguments
