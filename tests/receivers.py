"""Receivers of alerts on this machine: an HTTP server that keeps what it is sent, and a mail server that keeps its mails."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Hooks:
    """What came to a web server: (path, JSON body) of each POST. `status`: its answer; `waits_s`: how long it takes."""

    port: int = 0
    got: list[tuple[str, Any]] = field(default_factory=list)
    status: int = 200
    waits_s: float = 0.0
    location: str = ""
    released: threading.Event = field(default_factory=threading.Event)


@contextmanager
def hooks() -> Iterator[Hooks]:
    """A web server on a free port."""
    kept = Hooks()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            kept.got.append((self.path, json.loads(body) if body else None))
            kept.released.wait(kept.waits_s)
            self.send_response(kept.status)
            if kept.location:
                self.send_header("Location", kept.location)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"ok")

        def log_message(self, *arguments):
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    kept.port = server.server_port
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield kept
    finally:
        kept.released.set()  # nobody waits for who hangs
        server.shutdown()
        server.server_close()


@dataclass
class Mailbox:
    """What came to a mail server: sender, recipients, message."""

    port: int = 0
    got: list[tuple[str, list[str], EmailMessage]] = field(default_factory=list)


@contextmanager
def mailbox() -> Iterator[Mailbox]:
    """aiosmtpd's mail server, without TLS or login, on a free port."""
    from aiosmtpd.smtp import SMTP, Envelope, Session

    kept, ready, ended = Mailbox(), threading.Event(), asyncio.Event()
    loops: list[asyncio.AbstractEventLoop] = []

    class Keeps:
        async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802 - aiosmtpd's name
            mail = message_from_bytes(envelope.content, policy=policy.default)
            kept.got.append((envelope.mail_from, list(envelope.rcpt_tos), mail))
            return "250 kept"

    async def serve() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: SMTP(Keeps(), hostname="127.0.0.1"), "127.0.0.1", 0)
        kept.port = server.sockets[0].getsockname()[1]
        loops.append(loop)
        ready.set()
        await ended.wait()
        server.close()

    thread = threading.Thread(target=lambda: asyncio.run(serve()), daemon=True)
    thread.start()
    assert ready.wait(60)
    try:
        yield kept
    finally:
        loops[0].call_soon_threadsafe(ended.set)
        thread.join(60)
