"""The blind rating page on 127.0.0.1: what it is asked and answers. The page itself is review_page/; ratings are rating.py's.

The page never learns which reply is whose: it is given a first and a second one, and the server alone knows the arms.
Other pages of the same browser are kept out: a request must name this host, a posted one must come from this page.
"""

from __future__ import annotations

import json
import socket
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from twainbot.errors import BadInput, BadUse, TwainBotError
from twainbot_assets import rating
from twainbot_assets.rating import Desk

if TYPE_CHECKING:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import Response

HOST, PORT = "127.0.0.1", 3600
NAMES = ("127.0.0.1", "localhost", "::1")  # what a browser on this machine, or at the end of a tunnel, calls this host
LONGEST_BODY = 16_384  # bytes; a rating has about 300
PAGE = Path(__file__).parent / "review_page"
FILES = {
    "/": ("page.html", "text/html"),
    "/page.css": ("page.css", "text/css"),
    "/page.js": ("page.js", "text/javascript"),
}
HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}


def serve(desk: Desk, rater: str, port: int, say: Callable[[str], None]) -> None:
    """Serve the page until Ctrl-C. Raises BadUse where the port is taken."""
    import uvicorn

    with bound(port) as door:
        say(
            f"Rate at http://{HOST}:{door.getsockname()[1]} (this machine only). Each rating is written as it is saved."
        )
        say("Ctrl-C ends it; ratings stay, and the next start goes on where you left off.")
        config = uvicorn.Config(
            application(desk, rater), log_level="warning", proxy_headers=False, server_header=False, lifespan="off",
            timeout_graceful_shutdown=2,
        )  # fmt: skip
        try:
            uvicorn.Server(config).run(sockets=[door])
        except KeyboardInterrupt:
            return


def bound(port: int) -> socket.socket:
    """A socket bound to this machine's own address. Port 0: any free one."""
    door = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        door.bind((HOST, port))
    except (OSError, OverflowError) as error:
        door.close()
        raise BadUse(
            f"Port {port} of {HOST} cannot be had ({str(error).rstrip('.')}). Take another one with --port."
        ) from error
    return door


def application(desk: Desk, rater: str = "") -> Starlette:
    """The page of one desk. `rater`: who rates, where the command line said so."""
    from starlette.applications import Starlette
    from starlette.concurrency import run_in_threadpool
    from starlette.middleware import Middleware
    from starlette.middleware.base import BaseHTTPMiddleware
    from starlette.responses import Response
    from starlette.routing import Route

    async def page(request: Request) -> Response:
        name, kind = FILES[request.url.path]
        return Response((PAGE / name).read_bytes(), media_type=kind)

    async def session(request: Request) -> Response:
        return answer(await run_in_threadpool(opening, desk, request.query_params.get("rater", ""), rater))

    async def rated(request: Request) -> Response:
        return answer(await run_in_threadpool(accept, desk, await posted(request)))

    routes = [Route(path, page) for path in FILES]
    routes += [Route("/api/session", session), Route("/api/ratings", rated, methods=["POST"])]
    guard = Middleware(BaseHTTPMiddleware, dispatch=at_home)
    return Starlette(routes=routes, middleware=[guard], exception_handlers={TwainBotError: refused})


async def at_home(request: Request, go_on: Callable[[Request], Awaitable[Response]]) -> Response:
    """Let through what is addressed to this host and, where it changes something, was sent by this page."""
    fault = foreign(request.method, request.headers)
    found = answer({"error": fault}, 403) if fault else await go_on(request)
    found.headers.update(HEADERS)
    return found


def foreign(method: str, headers: Mapping[str, str]) -> str:
    """Why a request is not this page's own; empty where it is.

    A rebound name reaches this port under its own host name. Another page may post here, but its browser names its origin.
    """
    host = headers.get("host", "")
    if hostname(f"http://{host}") not in NAMES:
        return f"This page answers to {HOST} and localhost only."
    if method in ("GET", "HEAD"):
        return ""
    if headers.get("origin") != f"http://{host}":
        return "Only the rating page itself may send ratings."
    if headers.get("sec-fetch-site", "same-origin") != "same-origin":
        return "Only the rating page itself may send ratings."
    kind = headers.get("content-type", "").split(";")[0].strip()
    return "" if kind == "application/json" else "Ratings are sent as JSON."


def hostname(url: str) -> str:
    """The host of a URL without its port; empty where it has none."""
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""


async def posted(request: Request) -> dict[str, Any]:
    """The JSON object that was sent. Raises BadInput where it is none, or too long."""
    body = b""
    async for part in request.stream():
        body += part
        if len(body) > LONGEST_BODY:
            raise BadInput(f"A rating has at most {LONGEST_BODY} bytes.")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BadInput("The rating is not JSON. Load the page again.") from error
    if not isinstance(value, dict):
        raise BadInput("The rating is not a JSON object. Load the page again.")
    return value


def accept(desk: Desk, sent: Mapping[str, Any]) -> dict[str, Any]:
    """Write a rating down; what the page then shows."""
    scores = {place: sent[place] for place in rating.PLACES if isinstance(sent.get(place), dict)}
    name = rating.clean_name(str(sent.get("rater") or ""))
    done = desk.save(name, str(sent.get("item")), str(sent.get("pair")), scores)
    return {"done": done, "next": rating.next_step(desk, desk.counted()) if done >= len(desk.pairs) else ""}


def opening(desk: Desk, rater: str, named: str) -> dict[str, Any]:
    """What the page needs: the rubric, and with a rater's name the dialogues in order with the scores given so far.

    named: the rater of the command line, whom the page takes where nobody says another name.
    """
    from twainbot.evals import rubric
    from twainbot.evals.pairs import sides
    from twainbot.evals.ratings import ITEMS, same_rater

    asked = rubric.load()
    scales = [
        {"name": each.name, "title": each.title, "asks": each.asks, "anchors": [*each.anchors.values()]}
        for each in asked.scales
    ]
    about = {
        "recipe": desk.recipe, "voice": desk.voice, "needed": min(ITEMS, len(desk.pairs)), "of": len(desk.pairs),
        "scales": scales, "named": named,
    }  # fmt: skip
    if not rater:
        return {**about, "rater": "", "dialogues": [], "next": ""}
    name = rating.clean_name(rater)
    saved = desk.scores_of(name)
    dialogues = []
    for pair in desk.pairs:
        replies = [
            [asdict(step) for step in pair.reply(arm)] for arm in sides(desk.recipe, pair.item, same_rater(name))
        ]
        dialogues.append({
            "item": pair.item, "pair": pair.digest, "prompt": pair.prompt, "given": [asdict(step) for step in pair.given],
            "first": replies[0], "second": replies[1], "saved": saved.get(pair.item),
        })  # fmt: skip
    done = len(saved) >= len(desk.pairs)
    return {
        **about,
        "rater": name,
        "dialogues": dialogues,
        "next": rating.next_step(desk, desk.counted()) if done else "",
    }


def answer(value: Mapping[str, Any], status: int = 200) -> Response:
    """A JSON answer."""
    from starlette.responses import JSONResponse

    return JSONResponse(value, status)


async def refused(request: Request, error: Exception) -> Response:  # noqa: ARG001 - the shape of a handler
    """Our own errors in their own words."""
    return answer({"error": str(error)}, 409 if isinstance(error, rating.OutOfDate) else 400)
