"""Tools that the web chat may have called: which there are, and a call's result. A simulated weather service by default.

Anything with `schemas` and `call` fits, a client of an MCP server as well. What it answers is bounded here, in size and in
time, and its faults become results that a model can read.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

from twainbot.dialogues import weather
from twainbot.dialogues.tools import TOOLS, stored_name

MOST_CHARACTERS = 16_384  # of a result: some 5,000 tokens, past which a small model's window is gone
SEED = 1835
ELSEWHERE = "continental"  # the climate of places that the simulation does not list
SIMULATED = "simulated by TwainBot: made up, whatever the sky does"


class Result(Protocol):
    """What a tool answered."""

    @property
    def content(self) -> str:
        """JSON, as a model reads it."""
        ...


class Tools(Protocol):
    """What is asked of tools."""

    def schemas(self) -> list[dict[str, Any]]:
        """The declared tools: {"type": "function", "function": {name, description, parameters}}."""
        ...

    def call(self, name: str, arguments: Mapping[str, Any]) -> Result:
        """What a call brings."""
        ...


@dataclass(frozen=True)
class Text:
    """A result that is no more than its text."""

    content: str


class SimulatedWeather:
    """The forecast tool over the simulator. Today is the calendar's."""

    source = SIMULATED

    def schemas(self) -> list[dict[str, Any]]:
        """get_forecast."""
        return TOOLS

    def call(self, name: str, arguments: Mapping[str, Any]) -> Text:  # noqa: ARG002 - there is one tool
        """The simulated forecast of a place and a day; a failure object where there is none."""
        place, when = str(arguments.get("location", "")), str(arguments.get("datetime", ""))
        today = date.today()  # noqa: DTZ011 - the user's own day
        found = weather.simulate(place, when, today, SEED, climate_elsewhere=ELSEWHERE)
        return Text(json.dumps(found, ensure_ascii=False, separators=(",", ":")))


def declared(tools: Tools) -> list[dict[str, Any]]:
    """The tools, each with the name that stored dialogues give it."""
    found = tools.schemas()
    names = [tool["function"]["name"] for tool in found]
    return [{**tool, "stored_name": stored_name(name, names)} for tool, name in zip(found, names, strict=True)]


def answer(tools: Tools, name: Any, arguments: Any) -> str:
    """A call's result as JSON text; what is wrong with the call or the tool, as a failure object."""
    schemas = {tool["function"]["name"]: tool["function"]["parameters"] for tool in tools.schemas()}
    if not isinstance(name, str) or name not in schemas:
        return _failure("unknown_tool", f"There is no tool {str(name)[:80]!r}. There are: {', '.join(schemas)}.")
    fault = _fault(schemas[name], arguments)
    if fault:
        return _failure("bad_arguments", fault)
    try:
        content = tools.call(name, arguments).content
        json.loads(content)
    except ValueError:
        return _failure("service_unavailable", "The tool answered with something that is not JSON.")
    except Exception as error:  # a tool may fail in any way; the conversation goes on
        return _failure("service_unavailable", f"The tool failed ({type(error).__name__}).")
    if len(content) > MOST_CHARACTERS:
        return _failure(
            "service_unavailable", f"The tool answered with {len(content):,} characters, which is too much."
        )
    return content


def _fault(schema: Mapping[str, Any], arguments: Any) -> str:
    from jsonschema import Draft202012Validator

    closed = {"additionalProperties": False, **schema}
    found = next(iter(Draft202012Validator(closed).iter_errors(arguments)), None)
    return f"The arguments do not fit the tool: {found.message[:200]}." if found else ""


def _failure(code: str, words: str) -> str:
    return json.dumps({"error": code, "message": words}, ensure_ascii=False, separators=(",", ":"))
