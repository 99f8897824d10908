"""One HTTP client for every source: named, slow on purpose, cached, bounded. What to fetch is the doors' business.

robots.txt is robots.py's, addresses and sizes are network.py's, RFC 9111 is hishel's (http_cache.py).
"""

from __future__ import annotations

import fcntl
import json
import logging
import os
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from email.utils import formatdate, parsedate_to_datetime
from functools import cached_property
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from typing_extensions import override

from resources.lake import replace_file
from resources.raw_store import RawFile, RawStore
from resources.robots import AGENT, Barred, Robots, file_name
from twainbot.errors import SourceUnavailable

if TYPE_CHECKING:
    import httpx  # in functions below: it takes a fifth of the time that the code location may take to load

PROJECT_PAGE = "https://github.com/twainbot/twainbot"
DELAY_S = 2.0  # between two requests to one host: what Project Gutenberg's own sample command uses
MAX_BYTES = 32 * 2**20  # the largest book of the catalogue is under 4 MB
FAULT_BYTES = 64 * 2**10  # of an answer that is no success: enough for its reason
PASSING = (429, 500, 502, 503, 504)  # answers that a later try may change
MAX_WAIT_S = 60.0  # longer than a server may ask us to wait inside one run; past it the host is left alone until then
COOL_DOWN_S = 60.0  # a host that failed all attempts is not asked again for so long
LONGEST_COOL_DOWN_S = 6 * 3600.0
RECHECK_S = 300.0  # an answer whose server names no lifetime is taken as fresh for so long
REDIRECTS = 5

logger = logging.getLogger(__name__)


class Passing(SourceUnavailable):
    """A fault worth another try, `wait_s` seconds later where the server said so. `status`: its answer, if any."""

    def __init__(self, text: str, wait_s: float | None = None, status: int | None = None, body: bytes = b"") -> None:
        super().__init__(text)
        self.wait_s = wait_s
        self.status = status
        self.body = body


class Refused(SourceUnavailable):
    """An answer that a later try will not change. `status` and `body` are the server's; 0 where it gave none."""

    def __init__(self, text: str, status: int = 0, body: bytes = b"") -> None:
        super().__init__(text)
        self.status = status
        self.body = body


class Reserved(Barred):
    """robots.txt keeps agents of model builders out of a URL."""


_FETCHED: dict[tuple[str, str, str], tuple[float, RawFile]] = {}  # this process's answers, by store, URL and headers


def worth_another_try(error: Exception) -> bool | float:
    """Whether to try again, and where the server named a time, after how many seconds."""
    if not isinstance(error, Passing) or (error.wait_s or 0.0) > MAX_WAIT_S:
        return False
    return error.wait_s or True


def user_agent() -> str:
    """Who we are and, where TWAINBOT_CONTACT says so, whom to write to: api.weather.gov asks for that."""
    contact = os.environ.get("TWAINBOT_CONTACT", "").strip()
    return f"{AGENT}/0.1 (+{PROJECT_PAGE}; {contact or 'research corpus builder'})"


@dataclass
class PoliteClient:
    """Fetches into the raw store, `attempts` times per URL. One request at a time to a host and `delay_s` between two,
    also across the processes that share the store. A URL's own host may redirect to itself, its subdomains and `hosts`.
    """

    store: RawStore
    delay_s: float = DELAY_S
    attempts: int = 3
    timeout_s: float = 30.0  # of silence
    limit_s: float = 300.0  # of one connection, however busy
    max_bytes: int = MAX_BYTES
    hosts: frozenset[str] = frozenset()
    configured: tuple[str, ...] = ()  # URLs that the profile names; empty: whatever is asked for
    private: bool = False  # whether configured host names may lead to private addresses; written-out ones always may
    heed_reservations: bool = False  # keep out of what is barred from model builders' agents
    exempt: Mapping[str, str] = field(default_factory=dict)  # host -> why its robots.txt is not applied
    recheck_s: float = RECHECK_S

    def fetch(self, url: str, license: str = "", headers: Mapping[str, str] | None = None) -> RawFile:  # noqa: A002
        """The URL's current bytes, stored; fresh and unchanged ones come from the store.

        Raises SourceUnavailable with URL and fault: Passing where a later try may succeed, Barred by robots.txt.
        """
        import stamina

        if not endpoint(url)[0]:
            raise Refused(f"{url[:200]!r} is no usable address. Check the URL.")
        recent = self._recent(url, headers)
        if recent is not None:
            return recent
        self._refuse_while_down(url)
        try:
            for attempt in stamina.retry_context(
                on=worth_another_try, attempts=self.attempts, wait_initial=0.5, wait_max=10.0
            ):
                with attempt:
                    return self._remembered(url, headers, self._once(url, license, dict(headers or {})))
        except Passing as fault:
            self._leave_alone(url, fault)
            raise
        raise AssertionError("stamina either returns or raises")

    def _recent(self, url: str, headers: Mapping[str, str] | None) -> RawFile | None:
        """What this process fetched within the recheck time: also for answers that say `no-store`."""
        known = _FETCHED.get((str(self.store.root), url, str(headers)))
        if known is None or time.monotonic() - known[0] >= self.recheck_s:
            return None
        return known[1] if self.store.path(known[1].sha256).is_file() else None

    def _remembered(self, url: str, headers: Mapping[str, str] | None, found: RawFile) -> RawFile:
        _FETCHED[str(self.store.root), url, str(headers)] = (time.monotonic(), found)
        return found

    def read(self, url: str, license: str = "", headers: Mapping[str, str] | None = None) -> bytes:  # noqa: A002
        """The URL's current bytes themselves."""
        return self.store.get(self.fetch(url, license, headers).sha256)

    def rules(self, url: str) -> Any:
        """What robots.txt says for the URL's host. Raises SourceUnavailable where it cannot be read."""
        return self.robots.rules(url)

    @cached_property
    def robots(self) -> Robots:
        """The hosts' robots.txt."""
        return Robots(self.store.root / "robots", self._ask_robots)

    def _once(self, url: str, license: str, headers: dict[str, str]) -> RawFile:  # noqa: A002
        from hishel.httpx import CacheTransport

        from resources.http_cache import KEPT, RawCache

        said = self._robots_word(url)
        cache = RawCache(self.store, license, said)
        answer = self._get(url, headers, CacheTransport(guarded(self, url), cache, rfc={"shared": False}))
        self._refuse(url, answer)
        kept = {name: answer.headers[name] for name in KEPT if name in answer.headers}
        # Known bytes keep their first sidecar; what this answer says of their use counts for this fetch.
        return replace(self.store.put(answer.content, url, license, kept, said), headers=kept)

    def _get(self, url: str, headers: dict[str, str], transport: httpx.BaseTransport) -> httpx.Response:
        import httpx

        try:
            with httpx.Client(
                transport=transport, timeout=self.timeout_s, follow_redirects=True, max_redirects=REDIRECTS,
                headers={"User-Agent": user_agent(), "Accept-Encoding": "gzip"},
            ) as client:  # fmt: skip
                return client.get(url, headers=headers)
        except (httpx.TooManyRedirects, httpx.DecodingError, httpx.UnsupportedProtocol, httpx.InvalidURL) as error:
            raise Refused(f"{url} cannot be used: {type(error).__name__}: {error}. Check the URL.") from error
        except httpx.HTTPError as error:
            raise Passing(f"{url} could not be read: {type(error).__name__}: {error}. Try again later.") from error
        except ValueError as error:  # hosts that no name system knows: idna, ports, labels
            raise Refused(f"{url[:200]} is no usable address ({error}). Check the URL.") from error

    def _ask_robots(self, address: str) -> tuple[int, bytes]:
        answer = self._get(address, {}, guarded(self, address, robots=False))
        if answer.status_code in PASSING or answer.status_code >= HTTPStatus.INTERNAL_SERVER_ERROR:
            self._refuse(address, answer)
        return answer.status_code, answer.content

    def _robots_word(self, url: str) -> str:
        """What stands in the sidecar: `allowed`, or why robots.txt is not applied. Raises Barred."""
        host = urlsplit(url).hostname or ""
        if host in self.exempt:
            logger.info("robots.txt of %s is not applied: %s", host, self.exempt[host])
            return f"not applied: {self.exempt[host]}"
        rules = self.robots.rules(url)
        if not rules.allows(url):
            raise Barred(f"robots.txt of {host} keeps {AGENT} out of {url}. Take the unit out, or name a mirror.")
        agents = rules.reserved_for(url) if self.heed_reservations else []
        if agents:
            raise Reserved(
                f"robots.txt of {host} reserves {url} from {', '.join(agents[:3])} and so from us. "
                "Take the feed out of the profile, or get the publisher's permission."
            )
        return "allowed"

    def related(self, url: str, asked: str) -> bool:
        """Whether a URL lies on the host of `asked`, with or without `www.`, on its subdomains, or on one of `hosts`."""
        try:
            host, own = urlsplit(url).hostname or "", (urlsplit(asked).hostname or "").removeprefix("www.")
        except ValueError:
            return False
        return any(host.removeprefix("www.") == known or host.endswith(f".{known}")
                   for known in {own, *(name.removeprefix("www.") for name in self.hosts)} if known)  # fmt: skip

    def permit(self, url: str, asked: str, robots: bool = True) -> None:
        """Raise unless a request for `asked` may go on to `url`: its host known, its scheme no weaker, robots.txt open."""
        scheme, host = urlsplit(url).scheme, urlsplit(url).hostname or ""
        if scheme not in ("http", "https") or (scheme == "http" and urlsplit(asked).scheme == "https"):
            raise Refused(f"{asked} redirects to {url}, which is not encrypted. Check the source's URL.")
        if not self.related(url, asked):
            raise Refused(f"{asked} redirects to another host, {host}. If that is meant, list it under `hosts:`.")
        if robots and url != asked:  # asked itself has been looked up
            self._robots_word(url)

    def private_hosts(self, asked: str) -> frozenset[tuple[str, int]]:
        """Hosts and ports that may lie on private addresses: those of a configured URL that is asked for itself.

        A link inside a document is nobody's configuration, so it never counts.
        """
        from resources.network import ANY_PORT, is_literal_private

        if endpoint(asked) not in {endpoint(url) for url in self.configured or (asked,)}:
            return frozenset()
        named = {endpoint(asked), *((host, ANY_PORT) for host in self.hosts)}
        return frozenset((host, port) for host, port in named if self.private or is_literal_private(host))

    def _refuse(self, url: str, answer: httpx.Response) -> None:
        status, body = answer.status_code, answer.content[:FAULT_BYTES]
        if status in PASSING:
            wait_s = asked_wait_s(answer.headers.get("retry-after", ""))
            raise Passing(f"{url} answered {status}. Try again later or use another mirror.", wait_s, status, body)
        if status != HTTPStatus.OK:
            raise Refused(
                f"{url} answered {status}. Check the URL or take the unit out of the catalogue.", status, body
            )

    @contextmanager
    def turn(self, url: str, robots: bool = True) -> Iterator[None]:
        """Hold the host's lock for one request, begun no sooner than the host's delay after the last one began."""
        asked_s = self._asked_delay_s(url) if robots else 0.0  # before the lock: it may have to ask the same host
        delay_s = max(self.delay_s, asked_s)
        with self._host_file(url).open("a+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)  # freed when the file is closed, also by a kill
            file.seek(0)
            since = time.time() - float(file.read() or 0.0)
            time.sleep(min(delay_s, max(0.0, delay_s - since)))
            file.truncate(0)
            file.write(repr(time.time()))
            file.flush()
            yield

    def _asked_delay_s(self, url: str) -> float:
        """The host's Crawl-delay, where its robots.txt has been read and is applied."""
        return 0.0 if urlsplit(url).hostname in self.exempt else self.robots.rules(url).delay_s()

    def _host_file(self, url: str, end: str = "") -> Any:
        path = self.store.root / "hosts" / (file_name(urlsplit(url).netloc) + end)
        path.parent.mkdir(parents=True, exist_ok=True)
        return path

    def _leave_alone(self, url: str, fault: Passing) -> None:
        """Remember that the whole host is down or has had enough; a fault of one page says nothing about the others."""
        whole = fault.status in (None, 429, 502, 504) or fault.wait_s is not None
        if whole:
            until = time.time() + min(max(fault.wait_s or 0.0, COOL_DOWN_S), LONGEST_COOL_DOWN_S)
            text = json.dumps({"until": until, "why": str(fault)})
            replace_file(self._host_file(url, ".down"), lambda file: file.write_text(text))

    def _refuse_while_down(self, url: str) -> None:
        try:
            known = json.loads(self._host_file(url, ".down").read_text(encoding="utf-8"))
            left = float(known["until"]) - time.time()
        except (OSError, ValueError, KeyError):
            return
        if 0 < left <= LONGEST_COOL_DOWN_S:
            why = str(known.get("why", "")).removesuffix(".")
            raise Passing(f"{url} is not asked for another {left:.0f} s, since {why}.", left)


def guarded(client: PoliteClient, asked: str, robots: bool = True) -> httpx.BaseTransport:
    """The transport under the cache: every hop permitted, in its turn, bounded, and with a lifetime."""
    import httpx

    from resources.network import bounded_body, transport

    inner = transport(client.private_hosts(asked), client.limit_s)

    class Guard(httpx.BaseTransport):
        @override
        def handle_request(self, request: httpx.Request) -> httpx.Response:
            client.permit(str(request.url), asked, robots)
            with client.turn(str(request.url), robots):
                answer = inner.handle_request(request)
                answer.request = request
                try:
                    content = body_of(answer)
                finally:
                    answer.close()
            return httpx.Response(
                answer.status_code, headers=with_lifetime(answer, client.recheck_s), content=content, request=request
            )

        @override
        def close(self) -> None:
            inner.close()

    def body_of(answer: httpx.Response) -> bytes:
        if answer.status_code == HTTPStatus.OK:
            return bounded_body(answer, client.max_bytes)
        try:
            return bounded_body(answer, FAULT_BYTES)
        except (SourceUnavailable, httpx.HTTPError):
            return b""

    return Guard()


def with_lifetime(answer: httpx.Response, recheck_s: float) -> list[tuple[str, str]]:
    """The answer's headers for an unpacked body. One that names no lifetime gets ours: RFC 9111 would guess a week."""
    packing = ("content-encoding", "content-length", "transfer-encoding")
    headers = [(name, value) for name, value in answer.headers.multi_items() if name not in packing]
    names = {name for name, _ in headers}
    if "date" not in names:
        headers.append(("date", formatdate(usegmt=True)))
    said = answer.headers.get("cache-control", "").lower()
    if "expires" not in names and not re.search(r"max-age|s-maxage|no-cache|no-store", said):
        headers.append(("cache-control", f"max-age={recheck_s:.0f}" if recheck_s > 0 else "no-cache"))
    return headers


def endpoint(url: str) -> tuple[str, int]:
    """Host and port of a URL; port 0 where it has none that is one."""
    try:
        parts = urlsplit(url)
        return parts.hostname or "", parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    except ValueError:
        return "", 0


def asked_wait_s(header: str) -> float | None:
    """Seconds of a Retry-After header, which is a number or a date; None where it is neither."""
    if header.strip().isdecimal():
        return float(header)
    try:
        return max(0.0, parsedate_to_datetime(header).timestamp() - time.time())
    except (ValueError, TypeError):
        return None
