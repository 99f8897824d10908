"""Any MCP server as a set of tools that plain code can call: a command, a URL, or a server object in this process.

The SDK is asynchronous and wants each connection opened and closed by one task, so a connection lives on a thread of its own.
A server that dies is started again once per call. What a result is worth, twainbot/dialogues/tool_results.py says.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import os
import re
import shlex
import shutil
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import CancelledError, Future
from concurrent.futures import TimeoutError as FutureTimeout
from dataclasses import dataclass
from typing import Any, Protocol, TextIO

from twainbot.dialogues import tool_results
from twainbot.dialogues.tool_results import DIED, TIMEOUT, TOOL_ERROR, Outcome
from twainbot.dialogues.tools import served_name
from twainbot.errors import BadInput, BadUse, SourceUnavailable

CONNECT_S = 120.0  # importing the SDK takes 3 s on a free core, and a busy machine is several times slower
CALL_S = 25.0  # more than the weather server's own limit, so that its words arrive
SLACK_S = 2.0  # after which a call that the SDK itself should have ended is left behind
MOST_TOOLS = 32  # every offered schema is read token by token
MOST_PAGES = 32  # of a server's list: as many as those tools, were each on a page of its own
LONGEST_NAME = 64  # characters of a function's name in OpenAI's API; MCP allows 128, and dots and slashes in them
KEPT_FOR_SERVERS = ("PYTHONPATH", "TWAINBOT_HOME", "TWAINBOT_PROFILE", "TWAINBOT_LAKE", "TWAINBOT_NWS_URL",
                    "TWAINBOT_GEOCODER_URL", "TWAINBOT_CONTACT", "VIRTUAL_ENV")  # fmt: skip


class Tools(Protocol):
    """What a conversation asks of tools."""

    def schemas(self) -> list[dict[str, Any]]:
        """The declared tools, in the served form: {"type": "function", "function": {name, description, parameters}}."""
        ...

    def call(self, name: str, arguments: Mapping[str, Any]) -> Outcome:
        """A call's outcome; never raises for what the tool does."""
        ...

    def close(self) -> None:
        """End the connection."""
        ...


@dataclass(frozen=True)
class Declared:
    """A tool as its server declares it. Offered it may have to have another name: see `aliases`."""

    name: str
    description: str
    parameters: dict[str, Any]
    output: dict[str, Any] | None


class ServerGone(SourceUnavailable):
    """The server ended, or cannot be started."""


class ToolClient:
    """One MCP server behind `schemas` and `call`. Use as a context manager, or call `close`.

    `target`: a command line, an http(s) URL of a streamable HTTP server, or an MCP server object. `own`: whether the
    command is this project's, which may see the TWAINBOT_ settings that it reads; other servers see none.
    `left_out`: tools past MOST_TOOLS, as far as the server's list was read. `unusable`: those whose schema is none.
    """

    def __init__(self, target: Any, *, own: bool = False, call_s: float = CALL_S, connect_s: float = CONNECT_S) -> None:
        """Connect. Raises BadUse for a target that is none, ServerGone where nothing answers."""
        self.call_s, self.connect_s = call_s, connect_s
        self.starts = 0
        self._target, self._own = target, own
        self._closed = False
        self._changing = threading.Lock()  # a server's page calls from several threads
        self._connection: _Connection | None = None
        self._declared: dict[str, Declared] = {}  # by the name that is offered
        self.left_out: list[str] = []
        self.unusable: list[str] = []
        self._connect()

    def schemas(self) -> list[dict[str, Any]]:
        """The declared tools in the served form, in the server's order."""
        return [
            {"type": "function", "function": {"name": name, "description": t.description, "parameters": t.parameters}}
            for name, t in self._declared.items()
        ]

    def call(self, name: str, arguments: Mapping[str, Any]) -> Outcome:
        """The outcome of one call: data, or the fault in words. A dead server is started again once."""
        for attempt in (1, 2):
            connection = None
            try:
                connection = self._connected()
                return self._call_once(connection, name, arguments)
            except ServerGone as gone:
                fault = str(gone)
                self._drop(connection)
                if attempt == 2:
                    break
        return tool_results.failure(DIED, f"The tool's server ended, and again after a new start. {fault}")

    def close(self) -> None:
        """End the connection and the server that it started."""
        with self._changing:
            self._closed = True
            connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    def __enter__(self) -> ToolClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _connected(self) -> _Connection:
        """The connection; a new one where there is none. Raises ServerGone where none is to be had."""
        with self._changing:
            if self._closed:
                raise ServerGone("The connection was closed.")
            return self._connection or self._connect()

    def _call_once(self, connection: _Connection, name: str, arguments: Mapping[str, Any]) -> Outcome:
        declared = self._declared.get(name)
        try:
            found = connection.call(declared.name if declared else name, dict(arguments), self.call_s)
        except FutureTimeout:
            self._drop(connection)  # a server that does not even let go of a call is of no further use
            return tool_results.failure(TIMEOUT, f"The tool did not answer within {self.call_s:g} s.")
        except _Timeout:
            return tool_results.failure(TIMEOUT, f"The tool did not answer within {self.call_s:g} s.")
        except _Rejected as error:
            return tool_results.failure(TOOL_ERROR, f"The tool's server refused the call: {str(error)[:200]}")
        text = "\n".join(part.text for part in found.content if getattr(part, "type", "") == "text")
        return tool_results.outcome(
            text, found.structured_content, is_error=found.is_error, schema=declared.output if declared else None
        )

    def _connect(self) -> _Connection:
        self.starts += 1
        connection = _Connection(self._target, own=self._own)
        try:
            self._offer(connection.open(self.connect_s))
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    def _offer(self, listed: Sequence[Any]) -> None:
        """Sort a server's list into what is offered, under which names, and what is not."""
        told = {tool.name: tool for tool in map(_declared, listed)}
        self.unusable = [name for name, tool in told.items() if tool_results.undeclarable(tool.parameters)]
        usable = [name for name in told if name not in self.unusable]
        self._declared = {alias: told[name] for name, alias in aliases(usable[:MOST_TOOLS]).items()}
        self.left_out = usable[MOST_TOOLS:]

    def _drop(self, connection: _Connection | None) -> None:
        """End a connection, which another call may have replaced already."""
        if connection is None:
            return
        with self._changing:
            if self._connection is connection:
                self._connection = None
        connection.close()


class _Timeout(BadInput):
    """The SDK's own time limit was met."""


class _Rejected(BadInput):
    """An answer of the protocol that is no result."""


class _Connection:
    """An open client on its own thread and loop."""

    def __init__(self, target: Any, *, own: bool) -> None:
        self._transport = transport_of(target, own=own)
        self._loop = asyncio.new_event_loop()
        self._ready: Future[list[Any]] = Future()
        self._stop = asyncio.Event()
        self._client: Any = None
        self._serving: asyncio.Task[None] | None = None
        self._thread = threading.Thread(target=self._run, name="mcp-client", daemon=True)

    def open(self, limit_s: float) -> list[Any]:
        """The server's tools. Raises ServerGone where it does not come up."""
        self._thread.start()
        try:
            return self._ready.result(limit_s)
        except FutureTimeout:
            raise ServerGone(
                f"The tool server did not come up within {limit_s:g} s. Start it by hand to see why."
            ) from None

    def call(self, name: str, arguments: dict[str, Any], limit_s: float) -> Any:
        """The SDK's result. Raises ServerGone, _Timeout, _Rejected, or the future's TimeoutError."""
        if not self._thread.is_alive():
            raise ServerGone("Its connection is closed.")
        asked = asyncio.run_coroutine_threadsafe(self._ask(name, arguments, limit_s), self._loop)
        try:
            return asked.result(limit_s + SLACK_S)
        except FutureTimeout:
            asked.cancel()
            raise
        except CancelledError:
            raise ServerGone("Its connection was closed meanwhile.") from None

    def close(self) -> None:
        """End the connection, the server with it, and the thread."""
        if self._thread.is_alive():
            with contextlib.suppress(RuntimeError):  # the loop has just ended by itself
                self._loop.call_soon_threadsafe(self._end)
            self._thread.join(10.0)

    def _end(self) -> None:
        """On the loop's thread: let go of the server, or of waiting for one that never comes up."""
        self._stop.set()
        if self._client is None and self._serving is not None:
            self._serving.cancel()

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._serving = self._loop.create_task(self._serve())
            self._loop.run_until_complete(self._serving)
        except BaseException as error:  # whatever a foreign server's transport throws is told, not thrown
            if not self._ready.done():
                self._ready.set_exception(ServerGone(f"The tool server cannot be used: {plainly(error)}"))
        finally:
            with contextlib.suppress(Exception):
                self._loop.run_until_complete(_ended(asyncio.all_tasks(self._loop)))
                self._loop.run_until_complete(self._loop.shutdown_asyncgens())
            self._loop.close()

    async def _serve(self) -> None:
        from mcp import Client

        async with Client(self._transport, cache=None) as client:
            # we judge results ourselves, by the same schema, so that a bad one can be told apart and shown
            client.session.validate_tool_result = _unchecked  # type: ignore[method-assign]
            listed = await _listed(client)
            self._client = client
            self._ready.set_result(listed)
            await self._stop.wait()

    async def _ask(self, name: str, arguments: dict[str, Any], limit_s: float) -> Any:
        import anyio
        from mcp.shared.exceptions import MCPError
        from mcp_types import CONNECTION_CLOSED, REQUEST_TIMEOUT

        try:
            return await self._client.call_tool(name, arguments, read_timeout_seconds=limit_s)
        except MCPError as error:
            if error.code == REQUEST_TIMEOUT:
                raise _Timeout(str(error)) from error
            if error.code == CONNECTION_CLOSED:
                raise ServerGone("Its connection closed.") from error
            raise _Rejected(str(error)) from error
        except (anyio.ClosedResourceError, anyio.BrokenResourceError, anyio.EndOfStream, OSError) as error:
            raise ServerGone(f"Its connection broke ({type(error).__name__}).") from error
        except Exception as error:
            if type(error).__module__.startswith("httpx"):
                raise ServerGone(f"It cannot be reached ({type(error).__name__}).") from error
            raise _Rejected(plainly(error)) from error


async def _listed(client: Any) -> list[Any]:
    """The tools of a server's list, page after page, to the end of the page that has the last one that may be offered."""
    found: list[Any] = []
    cursor = None
    for _ in range(MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        found += page.tools
        cursor = page.next_cursor
        if not cursor or len(found) > MOST_TOOLS:
            break
    return found


async def _ended(tasks: set[asyncio.Task[Any]]) -> None:
    """Let calls that are still waiting know that nothing will come."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def _unchecked(_name: str, _result: Any) -> None:
    return None


def _declared(tool: Any) -> Declared:
    return Declared(tool.name, (tool.description or "").strip(), dict(tool.input_schema), tool.output_schema)


def aliases(names: Sequence[str]) -> dict[str, str]:
    """The name to offer each tool under, in order: its own where OpenAI's API allows that, else one like it. One-to-one."""
    allowed = re.compile(rf"[a-zA-Z0-9_-]{{1,{LONGEST_NAME}}}")
    taken = {name for name in names if allowed.fullmatch(name)}
    made: dict[str, str] = {}
    for name in names:
        alias = name if name in taken else next(each for each in _like(name) if each not in taken)
        taken.add(alias)
        made[name] = alias
    return made


def _like(name: str) -> Iterator[str]:
    """Allowed names that resemble one that is not, without end."""
    stem = re.sub(r"[^a-zA-Z0-9_-]", "_", served_name(name))[: LONGEST_NAME - 3] or "tool"
    yield stem
    yield from (f"{stem}_{number}" for number in itertools.count(2))


def unoffered(tools: Tools | None) -> str:
    """What to say of the tools of a server that are not offered, "" where all are."""
    said = []
    if names := getattr(tools, "left_out", []):
        said.append(
            f"Of the server's tools the first {MOST_TOOLS} are offered; left out are {names[0][:60]!r} and what follows it."
        )
    if names := getattr(tools, "unusable", []):
        told = ", ".join(repr(name[:60]) for name in names[:3]) + (" and more" if len(names) > 3 else "")
        said.append(f"The server's input schema of {told} is no JSON schema of an object, so that is not offered.")
    return " ".join(said)


def transport_of(target: Any, *, own: bool = False) -> Any:
    """What the SDK's client connects to. Raises BadUse for a command that is empty, unreadable or not there."""
    if not isinstance(target, str):
        return target
    if target.startswith(("http://", "https://")):
        return target
    try:
        words = shlex.split(target)
    except ValueError as error:
        raise BadUse(f"The tool command {target!r} cannot be read ({error}). Quote it as for a shell.") from error
    if not words:
        raise BadUse("The tool command is empty. Give a command line, or an http URL.")
    if shutil.which(words[0]) is None:
        raise BadUse(
            f"There is no program {words[0]!r} to start as a tool server. Give a command line, or an http URL."
        )
    return started(words, own=own)


def started(words: Sequence[str], *, own: bool) -> Any:
    """A transport that starts the command, its complaints kept off this terminal."""
    from mcp import StdioServerParameters
    from mcp.client.stdio import stdio_client

    kept = {name: os.environ[name] for name in KEPT_FOR_SERVERS if own and name in os.environ}
    parameters = StdioServerParameters(command=words[0], args=list(words[1:]), env=kept or None)
    return stdio_client(parameters, errlog=_complaints())


def _complaints() -> TextIO:
    """Where a server's standard error goes: nowhere, or to ours where TWAINBOT_TOOL_LOG names a file."""
    return open(os.environ.get("TWAINBOT_TOOL_LOG") or os.devnull, "a", encoding="utf-8")  # noqa: PTH123


def own_server(backend: str, *more: str) -> str:
    """The command line of this project's weather server."""
    return shlex.join([sys.executable, "-m", "resources.weather_server", "--backend", backend, *more])


def plainly(error: BaseException) -> str:
    """The first reason inside an exception or a group of them, as `Type: words`."""
    while isinstance(error, BaseExceptionGroup) and error.exceptions:
        error = error.exceptions[0]
    return f"{type(error).__name__}: {str(error)[:200]}".rstrip(": ")
