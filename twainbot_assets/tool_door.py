"""The tools beside chat and web chat: which weather, where it says it comes from, and a call as the page asks for it.

Calling is resources/tool_client.py's, and so are the bounds in size and time; what a result is worth, tool_results.py says.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twainbot.dialogues import tool_results
from twainbot.dialogues.tools import stored_name
from twainbot.errors import BadUse

if TYPE_CHECKING:
    from resources.tool_client import ToolClient, Tools

OFFLINE = ("tiny", "sample")  # profiles that ask nobody over the net, their chats no more than their runs
NONE = "none"
SOURCES = {
    "mock": "simulated by TwainBot: made up, whatever the sky does",
    "nws": "National Weather Service, api.weather.gov",
    "archive": "weather bulletins in TwainBot's lake",
}


def chosen(weather: str | None, profile: str) -> str:
    """The weather of a command line, or without one the profile's."""
    return weather or ("mock" if profile in OFFLINE else "nws")


def opened(weather: str) -> ToolClient | None:
    """The tools of a weather: one of our own, an MCP server's command or its URL; None for none."""
    from resources.tool_client import ToolClient, own_server
    from resources.weather_tools import BACKENDS

    if weather == NONE:
        return None
    if weather in BACKENDS:
        return ToolClient(own_server(weather), own=True)
    try:
        return ToolClient(weather)
    except BadUse as error:  # perhaps a mistyped name
        raise BadUse(f"{error} Or name a weather: {', '.join(SOURCES)}, {NONE}.") from error


def source_of(weather: str) -> str:
    """Where results come from, for people. Of a foreign server its host or program alone: the rest may hold a key."""
    if weather == NONE:
        return ""
    if weather in SOURCES:
        return SOURCES[weather]
    host = urlsplit(weather).hostname if weather.startswith(("http://", "https://")) else None
    return f"the MCP server {host or Path(weather.split()[0]).name}"


def declared(tools: Tools) -> list[dict[str, Any]]:
    """The tools, each with the name that stored dialogues give it."""
    found = tools.schemas()
    names = [tool["function"]["name"] for tool in found]
    return [{**tool, "stored_name": stored_name(name, names)} for tool, name in zip(found, names, strict=True)]


def answer(tools: Tools, name: Any, arguments: Any) -> str:
    """A call's result as JSON text; what is wrong with the call or the tool, as a failure object."""
    why = tool_results.unfit(name, arguments, tools.schemas())
    return tool_results.invalid_call(why) if why else tools.call(name, arguments).content
