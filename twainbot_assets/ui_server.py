"""Dagster's web server for this machine's own pages: what `twainbot ui` starts in place of the bare one.

Dagster's looks at neither host nor origin, and runs a mutation that stands in the address of a GET, which an image on
any page can ask for. `python -m twainbot_assets.ui_server` takes the options of `dagster-webserver`; with `dev` first, it
is `dagster dev` with that server.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from twainbot_assets.review_server import NAMES, hostname

if TYPE_CHECKING:
    from starlette.types import ASGIApp, Receive, Scope, Send

MODULE = "twainbot_assets.ui_server"
REFUSED = 1008  # of a web socket: policy


class OwnPages:
    """Lets through what is addressed to this host and, where a page sends it, is sent by a page of this host."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer 403 with the reason, or hand on."""
        from starlette.datastructures import Headers
        from starlette.responses import PlainTextResponse

        fault = foreign(scope, Headers(scope=scope)) if scope["type"] in ("http", "websocket") else ""
        if not fault:
            await self.app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": REFUSED, "reason": fault})
        else:
            await PlainTextResponse(f"{fault}\n", 403)(scope, receive, send)


def foreign(scope: Mapping[str, Any], headers: Mapping[str, str]) -> str:
    """Why a request is not this UI's own; empty where it is. scope: its `type`, `method`, `path` and `query_string`.

    A rebound name reaches this port under its own host name. A page's browser names the page's origin with whatever can
    change something, but not with an image's GET, which therefore may ask nothing of GraphQL.
    """
    host, origin = headers.get("host", ""), headers.get("origin")
    if hostname(f"http://{host}") not in NAMES:
        return f"This UI answers to {', '.join(NAMES)} only. Behind a proxy, have it send one of these as the Host."
    if origin is not None and origin != f"http://{host}":
        return "Pages of other origins may send nothing here."
    path = scope["path"].rstrip()  # Starlette's routes end in `$`, and that stands before a last line break too
    asked = scope["type"] == "http" and path.endswith("/graphql") and scope["query_string"]
    if asked and scope["method"] != "POST" and headers.get("sec-fetch-site") not in ("same-origin", "none"):
        return "GraphQL is asked by POST here."
    return ""


def guard() -> None:
    """Have Dagster's web server, when it starts in this process, look at each request first."""
    from dagster_webserver.webserver import DagsterWebserver
    from starlette.middleware import Middleware

    bare = DagsterWebserver.build_middleware

    def guarded(self: DagsterWebserver[Any, Any]) -> list[Middleware]:
        return [Middleware(OwnPages), *bare(self)]

    DagsterWebserver.build_middleware = guarded  # pyrefly: ignore[method-assign]


def dev() -> None:
    """`dagster dev`, whose web server is this module's. It starts its servers by their modules' names."""
    from dagster._cli import dev as command

    start = command.open_ipc_subprocess

    def started(parts: Sequence[str], **more: Any) -> subprocess.Popen[Any]:
        return start([MODULE if part == "dagster_webserver" else part for part in parts], **more)

    command.open_ipc_subprocess = started
    command.dev_command(prog_name="twainbot ui")


def main() -> None:
    """The web server, or with `dev` all of Dagster's local services."""
    if sys.argv[1:2] == ["dev"]:
        del sys.argv[1]
        return dev()
    from dagster_webserver.cli import main as serve

    guard()
    serve()
    return None


if __name__ == "__main__":
    main()
