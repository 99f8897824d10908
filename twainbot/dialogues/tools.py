"""The weather tool as dialogues store it and as models see it. Other tools are toolbox.py's, calling resources/weather.py's.

Stored dialogues keep the brief's dotted names. OpenAI-style function names allow no dots, so what is rendered, trained
and served is `get_forecast`. The map is one-to-one, and `stored_name(served_name(x)) == x`.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from twainbot.errors import BadInput

STORED_TO_SERVED = {
    "weather_api.get_forecast": "get_forecast",
    "weather_api.get_day_parts": "get_day_parts",
    "weather_api.get_extended_forecast": "get_extended_forecast",
    "weather_station.get_current_conditions": "get_current_conditions",
    "weather_station.get_observation": "get_observation",
    "weather_office.daily_outlook": "daily_outlook",
    "weather_office.get_alerts": "get_alerts",
}
SERVED_TO_STORED = {served: stored for stored, served in STORED_TO_SERVED.items()}
# accepted from callers and never emitted, unless a dialogue offers a tool of that very name, which the brief writes undotted
ALIASES = {"get_weather": "get_forecast"}

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

# The weather server's other tools (resources/weather_server.py). Dialogues offer those of toolbox.yaml.
ALERTS_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_alerts",
        "description": "Weather alerts in force in a US state.",
        "parameters": {
            "type": "object",
            "properties": {"state": {"type": "string", "description": "Two-letter code, such as MO"}},
            "required": ["state"],
        },
    },
}
OBSERVATION_TOOL: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_observation",
        "description": "What a weather station reads at this hour. No forecast.",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string", "description": "Town, with its state"}},
            "required": ["location"],
        },
    },
}
SERVED: list[dict[str, Any]] = [FORECAST_TOOL, ALERTS_TOOL, OBSERVATION_TOOL]

# What a tool turn holds, as a JSON object. Temperatures in degrees Fahrenheit, wind in mph, chance in percent.
FORECAST_KEYS = (
    "location", "datetime", "date", "weekday", "condition", "high_f", "low_f",
    "precipitation_chance", "wind_mph", "wind_direction", "alerts",
)  # fmt: skip
OBSERVATION_KEYS = (
    "location", "station", "observed", "condition", "temperature_f", "humidity", "wind_mph", "wind_direction",
)  # fmt: skip
ALERTS_KEYS = ("state", "alerts")
# ... or a failure: {"error": one of these, "message": plain words}
ERROR_CODES = ("unknown_location", "service_unavailable", "timeout", "no_data_for_date")


def served_name(stored: str) -> str:
    """The name that a model sees for a stored tool name; unmapped names have their dots replaced by underscores."""
    return STORED_TO_SERVED.get(stored, stored.replace(".", "_"))


def stored_name(served: str, offered: Collection[str] = ()) -> str:
    """The stored name for a name that a model used, aliases resolved.

    `offered`: served names of the tools at hand; an alias that is one of them is that tool, and no alias.
    """
    meant = served if served in offered else ALIASES.get(served, served)
    return SERVED_TO_STORED.get(meant, meant)


def to_messages(turns: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Stored turns as chat-template messages, in order, with served tool names and arguments as objects.

    Calls in a row become one message with several tool_calls; the tool turns after it answer them in order. Raises
    BadInput where a tool call's arguments are not a JSON object.
    """
    messages: list[dict[str, Any]] = []
    names: list[str] = []  # of the calls that wait for a result, the oldest first; the last one stays
    for turn in turns:
        content = turn.get("content") or ""
        call = turn.get("tool_call")
        if call is not None and call.get("tool_name"):
            function = {"name": served_name(call["tool_name"]), "arguments": call_arguments(call)}
            if not (messages and messages[-1].get("tool_calls")):
                messages.append({"role": turn["role"], "content": "", "tool_calls": []})
                names = []
            messages[-1]["tool_calls"].append({"type": "function", "function": function})
            messages[-1]["content"] = " ".join(part for part in (messages[-1]["content"], content) if part)
            names.append(function["name"])
        elif turn["role"] == "tool":
            name = names.pop(0) if len(names) > 1 else "".join(names)
            messages.append({"role": "tool", "name": name, "content": content})
        else:
            messages.append({"role": turn["role"], "content": content})
    return messages


def call_arguments(call: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments of a stored tool call as a dictionary, whether stored as JSON text or as an object."""
    arguments = call.get("arguments") or {}
    if isinstance(arguments, str):
        try:
            arguments = json.loads(arguments)
        except (ValueError, RecursionError) as error:
            raise BadInput(f"Tool call arguments are not JSON ({error}): {arguments[:80]!r}.") from error
    if not isinstance(arguments, dict):
        found = f"{type(arguments).__name__}: {str(arguments)[:80]!r}"
        raise BadInput(f"Tool call arguments must be a JSON object, got {found}.")
    return arguments
