"""One HTTP client for every source: named, slow on purpose, conditional, bounded. What to fetch is sources.py's business."""

from __future__ import annotations

import fcntl
import ipaddress
import socket
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import TYPE_CHECKING
from urllib.parse import quote, urlsplit

from resources.raw_store import RawFile, RawStore
from twainbot.errors import SourceUnavailable

if TYPE_CHECKING:
    import httpx  # in functions below: it takes a fifth of the time that the code location may take to load

USER_AGENT = "TwainBot/0.1 (+https://github.com/twainbot/twainbot; research corpus builder)"
DELAY_S = 2.0  # between two requests to one host: what Project Gutenberg's own sample command uses
MAX_BYTES = 32 * 2**20  # the largest book of the catalogue is under 4 MB
PASSING = (429, 500, 502, 503, 504)  # answers that a later try may change
MAX_WAIT_S = (
    60.0  # longer than a server may ask us to wait inside one run; past it the unit fails and is tried next time
)


class Passing(SourceUnavailable):
    """A fault worth another try, `wait_s` seconds later where the server said so."""

    def __init__(self, text: str, wait_s: float | None = None) -> None:
        super().__init__(text)
        self.wait_s = wait_s


def worth_another_try(error: Exception) -> bool | float:
    """Whether to try again, and where the server named a time, after how many seconds."""
    if not isinstance(error, Passing) or (error.wait_s or 0.0) > MAX_WAIT_S:
        return False
    return error.wait_s or True


@dataclass
class PoliteClient:
    """Fetches into the raw store, `attempts` times per URL. One request at a time to a host and `delay_s` between two,
    also across the processes that share the store.
    """

    store: RawStore
    delay_s: float = DELAY_S
    attempts: int = 3
    timeout_s: float = 30.0
    max_bytes: int = MAX_BYTES

    def fetch(self, url: str, license: str = "") -> RawFile:  # noqa: A002
        """The URL's current bytes, stored. A 304 answers from the store. Raises SourceUnavailable with URL and fault."""
        import stamina

        for attempt in stamina.retry_context(
            on=worth_another_try, attempts=self.attempts, wait_initial=0.5, wait_max=10.0
        ):
            with attempt:
                return self._once(url, license)
        raise AssertionError("stamina either returns or raises")

    def _once(self, url: str, license: str) -> RawFile:  # noqa: A002
        import httpx

        known = self.store.latest(url)
        hooks = {"request": [stay_public(url)]}
        try:
            with (
                self._turn(urlsplit(url).netloc),
                httpx.Client(
                    timeout=self.timeout_s, follow_redirects=True, max_redirects=5, event_hooks=hooks
                ) as client,
                client.stream("GET", url, headers=request_headers(known)) as answer,
            ):
                if answer.status_code == HTTPStatus.NOT_MODIFIED and known is not None:
                    return self.store.describe(known[0])
                self._refuse(url, answer)
                content = self._body(url, answer)
                kept = {name: answer.headers[name] for name in ("etag", "last-modified") if name in answer.headers}
        except httpx.HTTPError as error:
            raise Passing(f"{url} could not be read: {type(error).__name__}: {error}. Try again later.") from error
        return self.store.put(content, url, license, kept)

    def _refuse(self, url: str, answer: httpx.Response) -> None:
        if answer.status_code in PASSING:
            asked = answer.headers.get("retry-after", "")
            wait_s = float(asked) if asked.isdecimal() else None  # an HTTP date is left to our own pauses
            raise Passing(f"{url} answered {answer.status_code}. Try again later or use another mirror.", wait_s)
        if answer.status_code != HTTPStatus.OK:
            raise SourceUnavailable(
                f"{url} answered {answer.status_code}. Check the URL or take the unit out of the catalogue."
            )

    def _body(self, url: str, answer: httpx.Response) -> bytes:
        """The decoded body, at most `max_bytes`; httpx raises where it is shorter than its Content-Length."""
        parts: list[bytes] = []
        size = 0
        for part in answer.iter_bytes():
            size += len(part)
            if size > self.max_bytes:
                raise SourceUnavailable(f"{url} sent more than {self.max_bytes} bytes. It is no text of ours; skip it.")
            parts.append(part)
        return b"".join(parts)

    @contextmanager
    def _turn(self, host: str) -> Iterator[None]:
        """Hold the host's lock for one request, begun no sooner than `delay_s` after the last one began."""
        path = self.store.root / "hosts" / quote(host, safe="")
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # freed when the file is closed, also by a kill
            file.seek(0)
            since = time.time() - float(file.read() or 0.0)
            time.sleep(min(self.delay_s, max(0.0, self.delay_s - since)))
            file.truncate(0)
            file.write(repr(time.time()))
            file.flush()
            yield


def stay_public(url: str) -> Callable[[httpx.Request], None]:
    """A request hook: whoever answers for `url` may not redirect us to a private address of another host."""
    configured = urlsplit(url).hostname

    def refuse(request: httpx.Request) -> None:
        if request.url.host != configured and is_private(request.url.host):
            raise SourceUnavailable(
                f"{url} redirects to the private address {request.url.host}. Check the source's URL."
            )

    return refuse


def is_private(host: str) -> bool:
    """Whether a host name leads to an address that is not globally reachable. An unknown name does not."""
    try:
        found = socket.getaddrinfo(host, None)
    except OSError:
        return False
    return any(not ipaddress.ip_address(str(entry[4][0]).split("%")[0]).is_global for entry in found)


def request_headers(known: tuple[str, Mapping[str, str]] | None) -> dict[str, str]:
    """User-Agent, and conditional headers where the last answer gave validators."""
    headers = {"User-Agent": USER_AGENT}
    if known is not None:
        validators = known[1]
        if "etag" in validators:
            headers["If-None-Match"] = validators["etag"]
        if "last-modified" in validators:
            headers["If-Modified-Since"] = validators["last-modified"]
    return headers
