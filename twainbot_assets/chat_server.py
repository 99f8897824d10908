"""The OpenAI-compatible endpoint and the web chat on it: what is asked over HTTP, and what is answered.

Requests and answers as such are openai_requests.py's and openai_answers.py's, the model is resources/speaker.py's, the page
is chat_page/. Other pages of the same browser are kept out: a request must name this host, and none gets CORS.
"""

from __future__ import annotations

import asyncio
import contextlib
import functools
import ipaddress
import json
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

from anyio import CapacityLimiter, to_thread
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from resources.speaker import AUTO, Sampling, Speaker
from resources.tool_client import Tools, unoffered
from resources.turns import Sink, Turn
from twainbot.errors import BadUse, TwainBotError, UnknownName
from twainbot.personas import disclaimed
from twainbot_assets import tool_door
from twainbot_assets.openai_answers import Answer, error_of
from twainbot_assets.openai_requests import ChatRequest, Refused, json_object, read_request
from twainbot_assets.review_server import HEADERS, NAMES, hostname

HOST, PORT = "127.0.0.1", 8017
LONGEST_BODY = 2 * 2**20  # bytes; a full window of 8,192 tokens has about 40,000
DISCLAIMER = "Synthetic: replies by a language model, not by Mark Twain or Benjamin Franklin."
TOOL_THREADS = 16
LOOKS_S = 0.5  # between two looks at whether the client of an answer that is not streamed is still there
PAGE = Path(__file__).parent / "chat_page"
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}


def serve(
    speaker: Speaker, tools: Tools | None, host: str, port: int, say: Callable[[str], None], source: str = ""
) -> None:
    """Serve until Ctrl-C. Raises BadUse where the address cannot be had. source: where the tools' results come from."""
    import uvicorn

    with bound(host, port) as door:
        shown = f"http://{f'[{host}]' if ':' in host else host}:{door.getsockname()[1]}"
        say(
            f"Chat at {shown}; OpenAI clients: base_url={shown}/v1, any api_key, model one of: {', '.join(models(speaker))}."
        )
        if not loopback(host):
            say("Whoever reaches this address may use the model: there is no login. Put one in front of it.")
        if left_out := unoffered(tools):
            say(left_out)
        say("Ctrl-C ends it.")
        config = uvicorn.Config(
            application(speaker, tools, host, source), log_level="warning", proxy_headers=False, server_header=False,
            lifespan="off", timeout_graceful_shutdown=2,
        )  # fmt: skip
        with contextlib.suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[door])


def bound(host: str, port: int) -> socket.socket:
    """A socket bound to an address of this machine. Port 0: any free one."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    door = socket.socket(family, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((host, port))
    except (OSError, OverflowError) as error:
        door.close()
        why = str(error).rstrip(".")
        raise BadUse(f"Port {port} of {host} cannot be had ({why}). Take another one with --port or --host.") from error
    return door


class Endpoint:
    """The handlers over one speaker. tools: what the web chat may have called; source: where results come from."""

    def __init__(self, speaker: Speaker, tools: Tools | None, source: str = "") -> None:
        self.speaker, self.tools, self.source = speaker, tools, source
        self.calls = CapacityLimiter(TOOL_THREADS)  # apart from those that requests are read on: a tool may hang

    async def page(self, request: Request) -> Response:
        """A file of the web chat."""
        name, kind = FILES[request.url.path]
        return Response((PAGE / name).read_bytes(), media_type=kind)

    async def models(self, request: Request) -> Response:
        """All models, or the one that the path names."""
        found = [model_card(name) for name in models(self.speaker)]
        wanted = request.path_params.get("model")
        if wanted is None:
            return JSONResponse({"object": "list", "data": found})
        one = next((card for card in found if card["id"] == wanted), None)
        if one is None:
            raise UnknownName(f"There is no model {wanted!r}. There are: {', '.join(models(self.speaker))}.")
        return JSONResponse(one)

    async def completions(self, request: Request) -> Response:
        """A chat completion, streamed or whole."""
        asked = await run_in_threadpool(read_request, await body_of(request))  # checking large schemas takes seconds
        pieces: asyncio.Queue[str | Exception | None] = asyncio.Queue()
        turn = await run_in_threadpool(begin, self.speaker, asked, into(pieces))
        names = [tool["function"]["name"] for tool in asked.offered]
        answer = Answer(turn.persona, names, one_call=not asked.parallel_tool_calls)
        if not asked.stream:
            return JSONResponse(await gathered(request, turn, pieces, answer))
        parts = events(turn, pieces, answer, asked.stream_options.include_usage)
        return StreamingResponse(parts, media_type="text/event-stream")

    async def offered(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """The tools that the web chat may have called, and where their results come from."""
        found = await run_in_threadpool(tool_door.declared, self.tools) if self.tools else []
        return JSONResponse({"tools": found, "source": self.source, "disclaimer": disclaimed(DISCLAIMER)})

    async def called(self, request: Request) -> Response:
        """A tool's result. How long it may take and what it may hold, the tools themselves see to."""
        given = json_object(await body_of(request))
        if self.tools is None:
            raise Refused("This server offers no tools.", status=404)
        call = functools.partial(tool_door.answer, self.tools, given.get("name"), given.get("arguments"))
        content = await to_thread.run_sync(call, abandon_on_cancel=True, limiter=self.calls)
        return JSONResponse({"name": given.get("name"), "content": content})

    async def health(self, request: Request) -> Response:  # noqa: ARG002 - the shape of a handler
        """How busy the model is."""
        return JSONResponse({"status": "ok", **self.speaker.load_now()})


def application(speaker: Speaker, tools: Tools | None = None, host: str = HOST, source: str = "") -> Starlette:
    """The endpoint and the page. host: the address that is served."""
    found = Endpoint(speaker, tools, source)
    routes = [Route(path, found.page) for path in FILES]
    routes += [
        Route("/v1/models", found.models),
        Route("/v1/models/{model}", found.models),
        Route("/v1/chat/completions", found.completions, methods=["POST"]),
        Route("/v1/tools", found.offered),
        Route("/v1/tools/call", found.called, methods=["POST"]),
        Route("/health", found.health),
    ]
    handlers: dict[Any, Any] = {TwainBotError: failed, HTTPException: astray, Exception: failed}
    return Starlette(routes=routes, middleware=[Middleware(Guard, host=host)], exception_handlers=handlers)


async def failed(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the shape of a handler
    """An error in the API's form."""
    value, status = error_of(error)
    return JSONResponse(value, status, {"Retry-After": "1"} if status == 503 else None)


async def astray(request: Request, error: Exception) -> Response:
    """A path or a method that is not served."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    text = f"{request.method} {request.url.path[:80]} is not served here."
    return JSONResponse(error_of(Refused(text, code="not_found"))[0], status)


class Guard:
    """Lets through what is addressed to this host by no other page. Plain ASGI, so that a hang-up reaches the answer."""

    def __init__(self, app: Any, host: str) -> None:
        self.app, self.host = app, host

    async def __call__(self, scope: Any, receive: Any, send: Callable[[Any], Awaitable[None]]) -> None:
        """Answer or pass on one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return

        async def sealed(message: Any) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        fault = foreign(scope["method"], Headers(scope=scope), self.host)
        refusal = JSONResponse(error_of(Refused(fault))[0], 403) if fault else None
        await (refusal or self.app)(scope, receive, sealed)


def foreign(method: str, headers: Mapping[str, str], served: str) -> str:
    """Why a request is not for this server; empty where it is.

    A rebound name reaches this port under its own host name. Where more than this machine is served, an address in
    digits is fine too: nobody can rebind that. Browsers name the page that a request comes from.
    """
    host = headers.get("host", "")
    name = hostname(f"http://{host}")
    if name not in (*NAMES, served) and (loopback(served) or not _digits(name)):
        return "This server answers to its own address only."
    origin = headers.get("origin")
    if origin is not None and origin != f"http://{host}":
        return "Pages of other origins are not served."
    kind = headers.get("content-type", "").split(";")[0].strip()
    return "Requests are sent as application/json." if method == "POST" and kind != "application/json" else ""


def loopback(host: str) -> bool:
    """Whether only this machine reaches the address."""
    return host == "localhost" or (_digits(host) and ipaddress.ip_address(host).is_loopback)


def _digits(host: str) -> bool:
    try:
        return bool(ipaddress.ip_address(host))
    except ValueError:
        return False


def models(speaker: Speaker) -> list[str]:
    """Names that a request may ask for: "auto" first, which lets the router say."""
    return [AUTO, *speaker.voices]


def model_card(name: str) -> dict[str, Any]:
    """A model as the API lists it."""
    return {"id": name, "object": "model", "created": int(_STARTED), "owned_by": "twainbot"}


_STARTED = time.time()


def begin(speaker: Speaker, asked: ChatRequest, sink: Sink) -> Turn:
    """Start the turn that a request asks for."""
    from resources import constrained

    tools = asked.offered
    return speaker.stream(
        asked.talk(),
        tools,
        persona=asked.model,
        max_new_tokens=asked.new_tokens,
        stop=asked.stop,
        constrained=bool(tools) and constrained.available(),
        sampling=Sampling(asked.temperature, asked.top_p, asked.seed),
        sink=sink,
    )


def into(pieces: asyncio.Queue[str | Exception | None]) -> Sink:
    """A sink that another thread may feed, into a queue of this loop; a loop that has ended takes nothing."""
    loop = asyncio.get_running_loop()

    def put(piece: str | Exception | None) -> None:
        with contextlib.suppress(RuntimeError):
            loop.call_soon_threadsafe(pieces.put_nowait, piece)

    return put


async def events(
    turn: Turn, pieces: asyncio.Queue[str | Exception | None], answer: Answer, with_usage: bool
) -> AsyncIterator[str]:
    """The answer as server-sent events. Where the client hangs up, the turn ends."""
    try:
        yield _event(answer.chunk({"role": "assistant", "content": ""}))
        while True:
            piece = await pieces.get()
            if isinstance(piece, Exception):
                yield _event(error_of(piece)[0])
                return
            for delta in answer.add(piece):
                yield _event(answer.chunk(delta))
            if piece is None or answer.over:
                break
        yield _event(answer.chunk({}, answer.finish(turn.progress)))
        if with_usage:
            yield _event(answer.usage_chunk(turn.progress))
        yield "data: [DONE]\n\n"
    finally:
        turn.close()


async def gathered(
    request: Request, turn: Turn, pieces: asyncio.Queue[str | Exception | None], answer: Answer
) -> dict[str, Any]:
    """The whole answer. Where the client hangs up, the turn ends."""
    looked = time.monotonic()
    try:
        while True:
            piece: str | Exception | None = ""
            with contextlib.suppress(TimeoutError):
                piece = await asyncio.wait_for(pieces.get(), LOOKS_S)
            if isinstance(piece, Exception):
                raise piece
            for _ in answer.add(piece):
                pass
            if piece is None or answer.over:
                return answer.whole(turn.progress)
            if time.monotonic() - looked >= LOOKS_S:
                looked = time.monotonic()
                if await request.is_disconnected():
                    return {}
    finally:
        turn.close()


def _event(value: Mapping[str, Any]) -> str:
    return f"data: {json.dumps(value, ensure_ascii=False)}\n\n"


async def body_of(request: Request) -> bytes:
    """What was sent. Raises Refused where it is too long."""
    body = bytearray()
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise Refused(f"A request has at most {LONGEST_BODY:,} bytes.", status=413)
    return bytes(body)
