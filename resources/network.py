"""What every request passes on its way out: an address that may be reached, a time limit, a bound on the answer.

Import it inside functions only: httpx takes a fifth of the time that the code location may take to load.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import time
import zlib
from collections.abc import Iterable, Iterator
from functools import cache
from typing import Any

import httpcore
import httpx
from typing_extensions import override

from twainbot.errors import SourceUnavailable

GZIP_OR_ZLIB = 47  # zlib's word for: look at the header, whichever of the two it is
CONNECTIONS = 1
ANY_PORT = 0

NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # ends in the IPv4 address that a gateway passes on to (RFC 6052)
Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class TooMuch(SourceUnavailable):
    """An answer beyond its bound, before or after it was unpacked."""


class NotPublic(SourceUnavailable):
    """A host name that leads to an address which is not globally reachable."""


class TimeLimitStream(httpcore.NetworkStream):
    """A connection that ends at a moment, however slowly the other side drips."""

    def __init__(self, inner: httpcore.NetworkStream, ends: float) -> None:
        self.inner = inner
        self.ends = ends

    def _left(self, timeout: float | None) -> float:
        left = self.ends - time.monotonic()
        if left <= 0:
            raise httpcore.ReadTimeout("the answer took longer than a request may take")
        return left if timeout is None else min(timeout, left)

    @override
    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        return self.inner.read(max_bytes, self._left(timeout))

    @override
    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        self.inner.write(buffer, self._left(timeout))

    @override
    def close(self) -> None:
        self.inner.close()

    @override
    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        return TimeLimitStream(self.inner.start_tls(ssl_context, server_hostname, self._left(timeout)), self.ends)

    @override
    def get_extra_info(self, info: str) -> Any:
        return self.inner.get_extra_info(info)


class CheckedBackend(httpcore.SyncBackend):
    """Connects to the very address that was checked, so that a second look-up cannot lead elsewhere."""

    def __init__(self, private: frozenset[tuple[str, int]], limit_s: float) -> None:
        self.private = private  # hosts with their ports: whoever configured these meant them
        self.limit_s = limit_s

    @override
    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[Any] | None = None,
    ) -> httpcore.NetworkStream:
        meant = {(host, port), (host, ANY_PORT)} & self.private
        *others, last = [host] if meant else public_addresses(host, port)
        ends = time.monotonic() + self.limit_s  # of all tries: a name may have any number of addresses

        def connected(address: str) -> httpcore.NetworkStream:
            left = ends - time.monotonic()
            if left <= 0:
                raise httpcore.ConnectTimeout(f"no address of {host} answered within {self.limit_s:g} s")
            limit = left if timeout is None else min(timeout, left)
            stream = super(CheckedBackend, self).connect_tcp(address, port, limit, local_address, socket_options)
            return TimeLimitStream(stream, ends)

        for address in others:  # the first may be an IPv6 one where only IPv4 leads out
            with contextlib.suppress(httpcore.ConnectError, httpcore.ConnectTimeout):
                return connected(address)
        return connected(last)


def public_addresses(host: str, port: int) -> list[str]:
    """The host's addresses, each of which the whole internet can reach. Raises NotPublic if any of them is not."""
    try:
        entries = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:  # a label over 63 letters, or none
        raise httpcore.ConnectError(f"no address for {host[:80]}: {error}") from error
    found = [str(entry[4][0]).split("%")[0] for entry in entries]
    for address in found:
        if is_private(address):
            raise NotPublic(
                f"{host} leads to the private address {address}. If that is meant, write `private: true` beside the URL."
            )
    return list(dict.fromkeys(found))


def is_private(address: str) -> bool:
    """True unless the whole internet reaches one host by this IP address. Of an IPv4 one inside IPv6, that one is judged."""
    found = unwrapped(ipaddress.ip_address(address))
    # Python calls multicast, fec0::/10 and most of ::/8 global; 64:ff9b:1::/48, a site's own NAT64, is among the reserved
    odd = found.is_multicast or found.is_reserved or getattr(found, "is_site_local", False)
    return odd or not found.is_global


def unwrapped(address: Address) -> Address:
    """The IPv4 address that an IPv6 one stands for (mapped, 6to4, NAT64), else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address in NAT64:
        return ipaddress.IPv4Address(address.packed[-4:])
    return address.ipv4_mapped or address.sixtofour or address


def is_literal_private(host: str) -> bool:
    """Whether the host is written as a private address, or as localhost: whoever writes that knows it."""
    try:
        return is_private(host.strip("[]"))
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


@cache
def tls() -> ssl.SSLContext:
    """Certificates verified; made once, for it costs 30 ms."""
    return httpx.create_ssl_context()


def transport(private: frozenset[tuple[str, int]], limit_s: float) -> httpx.HTTPTransport:
    """httpx's own transport over connections that are checked and end in time."""
    made = httpx.HTTPTransport(verify=tls())
    # httpx takes no network backend by itself; the pool is the one place where httpcore asks for it.
    made._pool = httpcore.ConnectionPool(
        ssl_context=tls(), max_connections=CONNECTIONS, network_backend=CheckedBackend(private, limit_s)
    )
    return made


def bounded_body(answer: httpx.Response, max_bytes: int) -> bytes:
    """The unpacked body, at most `max_bytes`, never holding more than one piece beyond it.

    Raises TooMuch past the bound, httpx.DecodingError for a packing that we did not ask for or that ends too soon.
    """
    url = answer.request.url
    size = 0
    parts: list[bytes] = []
    for part in unpacked(answer, max_bytes + 1):
        size += len(part)
        if size > max_bytes:
            raise TooMuch(f"{url} sent more than {max_bytes} bytes. It is no text of ours; skip it.")
        parts.append(part)
    return b"".join(parts)


def unpacked(answer: httpx.Response, piece: int) -> Iterator[bytes]:
    """The body's bytes in pieces of at most `piece`, gzip undone. A bomb never unfolds beyond one piece at a time."""
    packing = answer.headers.get("content-encoding", "identity").strip().lower()
    if packing in ("", "identity"):
        yield from answer.iter_raw()
        return
    if packing not in ("gzip", "x-gzip", "deflate"):
        raise httpx.DecodingError(f"content-encoding {packing!r}, which was not asked for", request=answer.request)
    zipped = zlib.decompressobj(GZIP_OR_ZLIB)
    try:
        for raw in answer.iter_raw():
            rest = raw
            while rest:
                if zipped.eof:  # a gzip file may have several members, one behind the other
                    zipped = zlib.decompressobj(GZIP_OR_ZLIB)
                yield zipped.decompress(rest, piece)
                rest = zipped.unused_data if zipped.eof else zipped.unconsumed_tail
    except zlib.error as error:
        raise httpx.DecodingError(f"not {packing}: {error}", request=answer.request) from error
    if not zipped.eof:
        raise httpx.DecodingError(f"the {packing} body stops before its end", request=answer.request)
