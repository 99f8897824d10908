"""Stand-ins for what tests may not touch: a web server with chosen manners, a toxicity scorer with chosen scores."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Answer:
    """One HTTP answer. `promised`: a Content-Length other than the body's; `pause_s`: silence before the body.

    `drip_s`: the body goes out byte by byte, so long apart. `chunked`: in chunks, the last one missing if `cut`.
    """

    status: int = 200
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    promised: int | None = None
    pause_s: float = 0.0
    drip_s: float = 0.0
    chunked: bool = False
    cut: bool = False


@dataclass(kw_only=True)
class Busy:
    """What a server counts while it answers. `busiest`: the most requests that were being answered at one time."""

    url: str = ""
    busiest: int = 0
    _active: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _stop: threading.Event = field(default_factory=threading.Event)

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Count this request among those being answered."""
        with self._lock:
            self._active += 1
            self.busiest = max(self.busiest, self._active)
        try:
            yield
        finally:
            with self._lock:
                self._active -= 1

    @contextmanager
    def running(self, handler: type[BaseHTTPRequestHandler]) -> Iterator[None]:
        """Answer on a free port of 127.0.0.1 while the block runs."""
        server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{server.server_port}"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield
        finally:
            self._stop.set()
            server.shutdown()
            server.server_close()
            thread.join()


@dataclass
class FakeSite(Busy):
    """A site on 127.0.0.1. `pages`: path to its answers in turn, the last one repeated; other paths are 404.

    A page with an ETag answers 304 to whoever sends it back; a site without `/robots.txt` has no rules.
    `seen`: (path, request headers) in order. `sent`: bytes of all bodies.
    """

    pages: dict[str, Sequence[Answer]]
    seen: list[tuple[str, dict[str, str]]] = field(default_factory=list)
    sent: int = 0

    def paths(self) -> list[str]:
        """What was asked for, in order."""
        return [path for path, _ in self.seen]

    def answer(self, path: str, headers: Mapping[str, str]) -> Answer:
        """The answer to one request, recorded."""
        if path == "/robots.txt" and path not in self.pages:
            return Answer(404, b"no rules")  # not recorded: most tests count what they asked for
        before = self.paths().count(path)
        self.seen.append((path, {name.lower(): value for name, value in headers.items()}))
        listed = self.pages.get(path)
        if listed is None:
            return Answer(404, b"no such page")
        page = listed[min(before, len(listed) - 1)]
        known = self.seen[-1][1].get("if-none-match")
        return Answer(304, headers=page.headers) if known is not None and known == page.headers.get("ETag") else page


def pieces(page: Answer) -> Iterator[bytes]:
    """What goes over the wire as the answer's body, in order."""
    if page.status == 304:
        return
    if page.drip_s:
        yield from (page.body[number : number + 1] for number in range(len(page.body)))
    elif not page.chunked:
        yield page.body
    else:
        half = max(1, len(page.body) // 2)
        yield from (b"%x\r\n%s\r\n" % (len(part), part) for part in (page.body[:half], page.body[half:]) if part)
        yield b"" if page.cut else b"0\r\n\r\n"


def handler(site: FakeSite) -> type[BaseHTTPRequestHandler]:
    """A handler class that answers for the site."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            with site.busy():  # ends before the last byte: whoever has that one may ask anew before this thread goes on
                page = self.begin()
            with suppress(OSError):  # the client had enough
                site.sent += len(page.body) if page.status == 200 else 0
                for part in pieces(page):
                    self.wfile.write(part)
                    site._stop.wait(page.drip_s)

        def begin(self) -> Answer:
            page = site.answer(self.path, dict(self.headers.items()))
            self.send_response(page.status)
            for name, value in page.headers.items():
                self.send_header(name, value)
            self.send_header("Connection", "close")
            self.close_connection = True
            if page.chunked:
                self.send_header("Transfer-Encoding", "chunked")
            elif page.status != 304:
                self.send_header("Content-Length", str(len(page.body) if page.promised is None else page.promised))
            self.end_headers()
            site._stop.wait(page.pause_s)
            return page

        def log_message(self, *_: object) -> None:
            """Tests are quiet."""

    return Handler


@contextmanager
def serving(pages: Mapping[str, Answer | Sequence[Answer]]) -> Iterator[FakeSite]:
    """A FakeSite that answers on a free port of 127.0.0.1 while the block runs."""
    site = FakeSite({path: [page] if isinstance(page, Answer) else page for path, page in pages.items()})
    with site.running(handler(site)):
        yield site


@dataclass
class FakeScorer:
    """A toxicity scorer whose score is a function of the text."""

    judge: Callable[[str], float | None] = lambda _text: 0.0
    backend: str = "fake"

    def score(self, texts: list[str]) -> list[float | None]:
        """One score for each text, in order."""
        return [self.judge(text) for text in texts]
