"""The client of foreign MCP servers: what they declare is read whole, and offered under names that every API takes."""

from __future__ import annotations

import json
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources.tool_client import MOST_TOOLS, ServerGone, ToolClient, aliases, unoffered
from twainbot_assets.openai_requests import NAME, read_request


def server(*pages: list[str], schemas: dict[str, Any] | None = None) -> Any:
    """A server in this process that declares these tools, a page at a time; each call answers with the name it came by."""
    types = pytest.importorskip("mcp.types")
    lowlevel = pytest.importorskip("mcp.server.lowlevel")

    async def listed(_context: Any, asked: Any) -> Any:
        number = int(getattr(asked, "cursor", None) or 0)
        tools = [
            types.Tool(name=name, description="d", input_schema=(schemas or {}).get(name, {"type": "object"}))
            for name in pages[number]
        ]
        more = str(number + 1) if number + 1 < len(pages) else None
        return types.ListToolsResult(tools=tools, next_cursor=more)

    async def called(_context: Any, asked: Any) -> Any:
        return types.CallToolResult(content=[types.TextContent(text=json.dumps({"called": asked.name}))])

    return lowlevel.Server("foreign", version="1", on_list_tools=listed, on_call_tool=called)


def offered(client: ToolClient) -> list[str]:
    return [tool["function"]["name"] for tool in client.schemas()]


def test_a_tool_with_dots_in_its_name_is_offered_without_them_and_called_by_its_own():
    with ToolClient(server(["weather.get_forecast", "weather_get_forecast", "maps/find"])) as client:
        assert offered(client) == ["weather_get_forecast_2", "weather_get_forecast", "maps_find"]
        found = [json.loads(client.call(name, {}).content)["called"] for name in offered(client)]
    assert found == ["weather.get_forecast", "weather_get_forecast", "maps/find"]


def test_the_briefs_own_dotted_name_is_offered_as_the_model_knows_it():
    assert aliases(["weather_api.get_forecast"]) == {"weather_api.get_forecast": "get_forecast"}


@given(
    st.sets(st.text(max_size=80) | st.sampled_from(["a.b", "a_b", "a/b", "", "tool", "x" * 65, "x" * 61]), max_size=32)
)
def test_whatever_tools_are_called_the_offered_names_are_allowed_and_each_is_one_tools(names):
    found = aliases(sorted(names))
    assert list(found) == sorted(names)
    assert len(set(found.values())) == len(names)
    assert all(NAME.fullmatch(alias) for alias in found.values())
    assert all(found[name] == name for name in names if NAME.fullmatch(name))


def test_all_pages_of_a_servers_list_are_read():
    with ToolClient(server(["first"], [], ["get_forecast"])) as client:
        assert offered(client) == ["first", "get_forecast"]
        assert unoffered(client) == ""


def test_past_the_most_tools_nothing_is_offered_and_what_is_left_out_is_said():
    pages = [[f"tool_{page}_{number}" for number in range(20)] for page in range(4)]
    with ToolClient(server(*pages)) as client:
        assert len(offered(client)) == MOST_TOOLS == 20 + 12
        assert unoffered(client) == (
            "Of the server's tools the first 32 are offered; left out are 'tool_1_12' and what follows it."
        )


def test_a_tool_whose_schema_is_none_is_not_offered_and_does_not_stop_the_others():
    schemas = {
        "bad": {"type": "object", "properties": {"day": {"type": "text"}}},
        "list": {"type": "object", "required": "day"},
    }
    with ToolClient(server(["bad", "get_forecast", "list"], schemas=schemas)) as client:
        assert offered(client) == ["get_forecast"]
        assert unoffered(client) == (
            "The server's input schema of 'bad', 'list' is no JSON schema of an object, so that is not offered."
        )
        ask = {"model": "m", "messages": [{"role": "user", "content": "Hm?"}], "tools": client.schemas()}
        assert len(read_request(json.dumps(ask).encode()).tools) == 1


def test_a_list_that_cannot_be_judged_leaves_no_connection_open(monkeypatch):
    def fails(_schema: Any) -> str:
        raise OverflowError("the repetition number is too large")

    monkeypatch.setattr("twainbot.dialogues.tool_results.undeclarable", fails)
    with pytest.raises(OverflowError):
        ToolClient(server(["get_forecast"]))
    assert "mcp-client" not in [thread.name for thread in threading.enumerate()]


def test_no_tools_leave_nothing_out():
    assert unoffered(None) == ""


def children() -> set[str]:
    """Ids of this process's own children."""
    return {pid for task in Path("/proc/self/task").iterdir() for pid in (task / "children").read_text().split()}


@pytest.mark.slow
def test_a_server_that_hangs_at_its_start_is_ended():
    pytest.importorskip("mcp")
    before = children()
    with pytest.raises(ServerGone, match="did not come up within 2 s"):
        ToolClient(f"{sys.executable} -c 'import time; time.sleep(600)'", connect_s=2.0)
    assert children() <= before
    assert [thread.name for thread in threading.enumerate() if thread.name == "mcp-client"] == []
