"""The client is named, slow, cached and bounded, obeys robots.txt, and no half answer reaches the store."""

from __future__ import annotations

import gzip
import json
import socket
import threading
import time
import zlib
from collections.abc import Iterator
from email.utils import formatdate

import pytest
import stamina

from resources import network
from resources.network import is_literal_private, is_private
from resources.polite_client import (
    Passing,
    PoliteClient,
    Refused,
    Reserved,
    asked_wait_s,
    user_agent,
    worth_another_try,
)
from resources.raw_store import RawStore
from resources.robots import Barred
from tests.fakes import Answer, serving
from twainbot.errors import SourceUnavailable

BOOK = b"Call me Sam. " * 100


@pytest.fixture
def store(tmp_path) -> RawStore:
    return RawStore(tmp_path / "raw")


@pytest.fixture
def client(store) -> Iterator[PoliteClient]:
    """No delay between requests, and two attempts without a pause between them."""
    with stamina.set_testing(True, attempts=2, cap=True):
        yield PoliteClient(store, delay_s=0.0, timeout_s=60.0, recheck_s=0.0)


def stored_files(store: RawStore) -> list[str]:
    beside = ("hosts", "robots")
    return [path.name for path in store.root.rglob("*") if path.is_file() and path.parent.name not in beside]


def test_an_answer_is_stored_with_its_url_licence_and_validators(client, store):
    headers = {"ETag": '"one"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "X-Other": "no"}
    with serving({"/pg76.txt": Answer(body=BOOK, headers=headers)}) as site:
        found = client.fetch(f"{site.url}/pg76.txt", "Public domain")
    assert store.get(found.sha256) == BOOK
    assert (found.url, found.license) == (f"{site.url}/pg76.txt", "Public domain")
    assert found.headers == {"etag": '"one"', "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    assert site.seen[0][1]["user-agent"] == user_agent()
    assert site.seen[0][1]["accept-encoding"] == "gzip"


def test_the_client_names_whom_to_write_to(monkeypatch):
    monkeypatch.setenv("TWAINBOT_CONTACT", "tests@example.org")
    assert user_agent().startswith("TwainBot/")
    assert "tests@example.org" in user_agent()


def test_the_second_request_is_conditional_and_304_answers_from_the_store(client, store):
    with serving({"/b": Answer(body=BOOK, headers={"ETag": '"one"'})}) as site:
        first = client.fetch(f"{site.url}/b")
        second = client.fetch(f"{site.url}/b")
    assert "if-none-match" not in site.seen[0][1]
    assert site.seen[1][1]["if-none-match"] == '"one"'
    assert second == first
    assert store.get(second.sha256) == BOOK


def test_new_bytes_replace_the_answer_though_the_old_ones_had_a_tag(client, store):
    pages = [Answer(body=b"old", headers={"ETag": '"1"'}), Answer(body=b"new", headers={"ETag": '"2"'})]
    with serving({"/b": pages}) as site:
        client.fetch(f"{site.url}/b")
        assert store.get(client.fetch(f"{site.url}/b").sha256) == b"new"
        assert store.latest(f"{site.url}/b")[1] == {"etag": '"2"'}


def test_bytes_that_were_deleted_are_asked_for_in_full_again(client, store):
    with serving({"/b": Answer(body=BOOK, headers={"ETag": '"one"'})}) as site:
        found = client.fetch(f"{site.url}/b")
        store.path(found.sha256).unlink()
        assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK
    assert "if-none-match" not in site.seen[1][1]


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_refusal_is_final_after_one_request(client, store, status):
    with (
        serving({"/b": Answer(status)}) as site,
        pytest.raises(SourceUnavailable, match=f"/b answered {status}") as hit,
    ):
        client.fetch(f"{site.url}/b")
    assert not isinstance(hit.value, Passing)
    assert len(site.seen) == 1
    assert stored_files(store) == []


@pytest.mark.parametrize("status", [429, 500, 502, 503, 504])
def test_a_passing_fault_is_tried_again(client, store, status):
    with serving({"/b": [Answer(status), Answer(body=BOOK)]}) as site:
        assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK
    assert site.paths() == ["/b", "/b"]


def test_a_fault_that_stays_is_told_after_the_last_attempt(client):
    with serving({"/b": Answer(500)}) as site, pytest.raises(Passing, match=r"/b answered 500. Try again later"):
        client.fetch(f"{site.url}/b")
    assert len(site.seen) == 2


@pytest.mark.slow
def test_a_server_that_names_a_time_is_left_alone_until_then(store):
    start = time.monotonic()
    with serving({"/b": [Answer(429, headers={"Retry-After": "2"}), Answer(body=BOOK)]}) as site:
        PoliteClient(store, delay_s=0.0).fetch(f"{site.url}/b")  # of itself it would wait 0.5 to 1.5 s
    assert time.monotonic() - start >= 2


def test_a_server_that_wants_an_hour_is_not_waited_for(store):
    with serving({"/b": Answer(503, headers={"Retry-After": "3600"})}) as site, pytest.raises(Passing):
        PoliteClient(store, delay_s=0.0).fetch(f"{site.url}/b")
    assert len(site.seen) == 1


@pytest.mark.parametrize(
    ("error", "verdict"),
    [
        (Passing("x"), True),
        (Passing("x", 0.0), True),
        (Passing("x", 7.0), 7.0),
        (Passing("x", 61.0), False),
        (SourceUnavailable("x"), False),
        (OSError(), False),
    ],
)
def test_only_passing_faults_are_worth_another_try(error, verdict):
    assert worth_another_try(error) == verdict


def test_half_a_file_is_no_file(client, store):
    with (
        serving({"/b": Answer(body=BOOK[:500], promised=len(BOOK))}) as site,
        pytest.raises(Passing, match=r"could not be read: RemoteProtocolError"),
    ):
        client.fetch(f"{site.url}/b")
    assert stored_files(store) == []


def test_half_a_file_and_then_the_whole_is_the_whole(client, store):
    with serving({"/b": [Answer(body=BOOK[:500], promised=len(BOOK)), Answer(body=BOOK)]}) as site:
        assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK


@pytest.mark.parametrize(("size", "stored"), [(1000, True), (1001, False)])
def test_a_body_over_the_bound_is_refused_and_one_of_exactly_that_size_is_not(client, store, size, stored):
    client.max_bytes = 1000
    with serving({"/b": Answer(body=b"x" * size)}) as site:
        if stored:
            assert client.fetch(f"{site.url}/b").size == 1000
        else:
            with pytest.raises(SourceUnavailable, match=r"sent more than 1000 bytes"):
                client.fetch(f"{site.url}/b")
            assert len(site.seen) == 1
            assert stored_files(store) == []


def test_silence_ends_at_the_time_limit(client):
    client.timeout_s = 0.2
    client.attempts = 1
    start = time.monotonic()
    with serving({"/b": Answer(body=BOOK, pause_s=60.0)}) as site, pytest.raises(Passing, match=r"ReadTimeout"):
        client.fetch(f"{site.url}/b")
    assert time.monotonic() - start < 30


def test_a_port_where_nobody_listens_is_a_passing_fault(client):
    with serving({}) as site:
        pass
    with pytest.raises(Passing, match=r"ConnectError"):
        client.fetch(f"{site.url}/b")


def test_a_redirect_on_the_same_host_is_followed_and_kept_under_the_asked_url(client, store):
    with serving({"/a": Answer(302, headers={"Location": "/b"}), "/b": Answer(body=BOOK)}) as site:
        found = client.fetch(f"{site.url}/a")
    assert store.get(found.sha256) == BOOK
    assert store.latest(f"{site.url}/a") is not None


def test_a_redirect_to_another_host_is_not_followed(client):
    with serving({"/secret": Answer(body=b"metadata")}) as inside:
        target = inside.url.replace("127.0.0.1", "localhost") + "/secret"
        with (
            serving({"/a": Answer(302, headers={"Location": target})}) as site,
            pytest.raises(Refused, match=r"redirects to another host, localhost. If that is meant, list it"),
        ):
            client.fetch(f"{site.url}/a")
    assert inside.seen == []


def test_a_listed_host_may_be_redirected_to(client, store):
    client.hosts = frozenset({"localhost"})
    with serving({"/b": Answer(body=BOOK)}) as other:
        target = other.url.replace("127.0.0.1", "localhost") + "/b"
        with serving({"/a": Answer(302, headers={"Location": target})}) as site:
            assert store.get(client.fetch(f"{site.url}/a").sha256) == BOOK


def resolving(monkeypatch, addresses: dict[str, str]) -> None:
    """Host names that lead where the test says; numbers lead to themselves."""
    real = socket.getaddrinfo

    def lookup(host, *args, **kwargs):
        return real(addresses.get(host, host), *args, **kwargs)

    monkeypatch.setattr(socket, "getaddrinfo", lookup)


@pytest.mark.parametrize("address", ["127.0.0.1", "10.0.0.8", "169.254.169.254", "::1", "fd00::1"])
def test_a_name_that_leads_to_a_private_address_is_not_asked(client, monkeypatch, address):
    resolving(monkeypatch, {"books.example.org": address})
    with pytest.raises(network.NotPublic, match=rf"books.example.org leads to the private address {address}"):
        client.fetch("http://books.example.org/a")


def test_a_name_on_a_private_address_is_asked_where_the_source_says_private(client, store, monkeypatch):
    resolving(monkeypatch, {"books.example.org": "127.0.0.1"})
    client.private = True
    with serving({"/b": Answer(body=BOOK)}) as site:
        url = site.url.replace("127.0.0.1", "books.example.org") + "/b"
        assert store.get(client.fetch(url).sha256) == BOOK


def test_the_next_address_is_tried_where_the_first_leads_nowhere(client, store, monkeypatch):
    with serving({"/b": Answer(body=BOOK)}) as site:
        port = int(site.url.rpartition(":")[2])
        entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (host, port)) for host in ("127.0.0.9", "127.0.0.1")]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
        monkeypatch.setattr(network, "is_private", lambda address: False)
        address = site.url.replace("127.0.0.1", "books.example.org") + "/b"
        assert store.get(client.fetch(address).sha256) == BOOK


def test_a_name_with_many_addresses_that_all_hang_holds_nobody_longer_than_one_connection_may(monkeypatch):
    now, limits = [0.0], []
    entries = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (f"8.8.{n // 250}.{n % 250}", 443)) for n in range(500)]

    def hangs(_self, _address, _port, timeout, *_):
        limits.append(timeout)
        now[0] += timeout
        raise network.httpcore.ConnectTimeout

    monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: entries)
    monkeypatch.setattr(network.httpcore.SyncBackend, "connect_tcp", hangs)
    monkeypatch.setattr(network.time, "monotonic", lambda: now[0])
    with pytest.raises(network.httpcore.ConnectTimeout, match=r"no address of books.example.org answered within 100 s"):
        network.CheckedBackend(frozenset(), 100.0).connect_tcp("books.example.org", 443, timeout=30.0)
    assert limits == [30.0, 30.0, 30.0, 10.0]  # of 500 addresses: 15,000 s before


def test_a_downgrade_from_https_is_not_followed(client):
    with pytest.raises(Refused, match=r"is not encrypted"):
        client.permit("http://books.example.org/b", "https://books.example.org/a")


def test_the_pool_of_the_transport_is_ours():
    # httpx offers no public door for a network backend: if this fails, addresses are no longer checked
    made = network.transport(frozenset(), 1.0)
    assert isinstance(made._pool._network_backend, network.CheckedBackend)


def test_a_ring_of_redirects_ends(client):
    with (
        serving({"/a": Answer(302, headers={"Location": "/a"})}) as site,
        pytest.raises(Refused, match=r"TooManyRedirects"),
    ):
        client.fetch(f"{site.url}/a")
    assert len(site.seen) == 6  # one request and five redirects


def test_a_redirect_leaves_nothing_empty_in_the_store(client, store):
    with serving({"/a": Answer(301, headers={"Location": "/b"}), "/b": Answer(404)}) as site:
        with pytest.raises(Refused, match=r"/a answered 404"):
            client.fetch(f"{site.url}/a")
        assert store.latest(f"{site.url}/a") is None


def test_two_requests_to_one_host_lie_the_delay_apart_even_from_two_clients(store):
    with serving({"/a": Answer(body=b"a"), "/b": Answer(body=b"b")}) as site:
        start = time.monotonic()
        PoliteClient(store, delay_s=0.0).fetch(f"{site.url}/a")
        PoliteClient(store, delay_s=0.4).fetch(f"{site.url}/b")
        assert time.monotonic() - start >= 0.4


def test_two_requests_to_one_host_never_run_at_once(store):
    pages = {path: Answer(body=b"x", pause_s=0.3) for path in ("/a", "/b", "/c")}
    with serving(pages) as site:
        threads = [
            threading.Thread(target=PoliteClient(store, delay_s=0.0).fetch, args=(site.url + path,)) for path in pages
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(site.paths()) == ["/a", "/b", "/c"]
    assert site.busiest == 1


@pytest.mark.parametrize(
    ("address", "private"),
    [
        ("127.0.0.1", True), ("10.0.0.8", True), ("169.254.169.254", True), ("8.8.8.8", False), ("::1", True),
        ("::ffff:127.0.0.1", True), ("::ffff:8.8.8.8", False), ("2002:7f00:1::", True), ("0.0.0.0", True), ("100.64.0.1", True),
        ("2002:808:808::1", False), ("64:ff9b::7f00:1", True), ("64:ff9b::a00:8", True), ("64:ff9b::808:808", False),
        ("64:ff9b:1::", True), ("64:ff9b:1::808:808", True), ("fec0::1", True), ("fe80::1", True), ("fc00::1", True),
        ("ff02::1", True), ("ff0e::1", True), ("224.0.0.1", True), ("239.1.2.3", True), ("64:ff9b::e000:1", True),
        ("::ffff:224.0.0.1", True), ("240.0.0.1", True), ("255.255.255.255", True), ("::", True), ("::7f00:1", True),
        ("4000::1", True), ("2001:db8::1", True), ("2001:0:808:808::1", True), ("1.1.1.1", False), ("129.6.15.28", False),
        ("2001:4860:4860::8888", False), ("2606:4700::1111", False), ("2a00:1450:4001::1", False), ("2620:fe::fe", False),
    ],
)  # fmt: skip
def test_private_addresses_are_known(address, private):
    assert is_private(address) is private


@pytest.mark.parametrize(
    ("host", "literal"), [("127.0.0.1", True), ("[::1]", True), ("localhost", True), ("8.8.8.8", False), ("lan", False)]
)
def test_a_private_address_written_out_is_consent(host, literal):
    assert is_literal_private(host) is literal


# lifetimes


def test_an_answer_without_a_lifetime_is_asked_for_again_only_after_the_recheck_time(client, store):
    client.recheck_s = 300.0
    with serving({"/b": Answer(body=BOOK, headers={"Last-Modified": formatdate(0, usegmt=True)})}) as site:
        first = client.fetch(f"{site.url}/b")
        assert client.fetch(f"{site.url}/b") == first
        assert len(site.seen) == 1  # RFC 9111 would let a library guess a week from Last-Modified
        client.recheck_s = 0.0
    kept = next((store.root / "http").glob("*.json"))
    assert json.loads(kept.read_text())["headers"]["cache-control"] == "max-age=300"


def test_a_lifetime_that_the_server_names_is_kept_to(client):
    with serving({"/b": Answer(body=BOOK, headers={"Cache-Control": "max-age=3600"})}) as site:
        client.fetch(f"{site.url}/b")
        client.fetch(f"{site.url}/b")
        assert len(site.seen) == 1


def test_an_answer_that_may_not_be_cached_is_still_kept_as_evidence_and_asked_for_again(client, store):
    with serving({"/b": Answer(body=BOOK, headers={"Cache-Control": "no-store"})}) as site:
        assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK
        client.fetch(f"{site.url}/b")
        assert len(site.seen) == 2


def test_after_a_304_with_a_new_lifetime_nothing_is_asked(client):
    fresh = {"ETag": '"one"', "Cache-Control": "max-age=3600"}
    pages = [Answer(body=BOOK, headers={"ETag": '"one"'}), Answer(304, headers=fresh)]
    with serving({"/b": pages}) as site:
        for _ in range(3):
            client.fetch(f"{site.url}/b")
        assert [dict(headers).get("if-none-match") for _, headers in site.seen] == [None, '"one"']


# robots.txt


def test_a_page_that_robots_txt_bars_is_not_asked_for(client):
    rules = Answer(body=b"User-agent: *\nDisallow: /private\n")
    with serving({"/robots.txt": rules, "/private/b": Answer(body=BOOK), "/b": Answer(body=BOOK)}) as site:
        with pytest.raises(Barred, match=r"keeps TwainBot out of .*/private/b"):
            client.fetch(f"{site.url}/private/b")
        client.fetch(f"{site.url}/b")
    assert site.paths() == ["/robots.txt", "/b"]  # asked once, for a day


def test_a_group_of_our_own_name_outweighs_the_general_one(client):
    rules = Answer(body=b"User-agent: *\nDisallow: /\n\nUser-agent: twainbot\nAllow: /\n")
    with serving({"/robots.txt": rules, "/b": Answer(body=BOOK)}) as site:
        assert client.fetch(f"{site.url}/b").robots == "allowed"


@pytest.mark.parametrize("status", [401, 403, 404, 410])
def test_a_host_that_refuses_its_robots_txt_has_no_rules(client, status):
    with serving({"/robots.txt": Answer(status), "/b": Answer(body=BOOK)}) as site:
        client.fetch(f"{site.url}/b")


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_robots_txt_that_cannot_be_read_closes_the_host(client, status):
    with (
        serving({"/robots.txt": Answer(status), "/b": Answer(body=BOOK)}) as site,
        pytest.raises(Passing, match=r"robots.txt cannot be read, so nothing is fetched from there"),
    ):
        client.fetch(f"{site.url}/b")
    assert set(site.paths()) == {"/robots.txt"}


def test_a_documented_exception_is_logged_and_stands_in_the_sidecar(client, caplog):
    client.exempt = {"127.0.0.1": "documented API"}
    rules = Answer(body=b"User-agent: *\nDisallow: /\n")
    with serving({"/robots.txt": rules, "/b": Answer(body=BOOK)}) as site, caplog.at_level("INFO"):
        found = client.fetch(f"{site.url}/b")
    assert found.robots == "not applied: documented API"
    assert "robots.txt of 127.0.0.1 is not applied: documented API" in caplog.text
    assert site.paths() == ["/b"]


def test_robots_txt_counts_for_where_a_redirect_leads_too(client):
    rules = Answer(body=b"User-agent: *\nDisallow: /deep\n")
    pages = {"/robots.txt": rules, "/a": Answer(302, headers={"Location": "/deep/b"}), "/deep/b": Answer(body=BOOK)}
    with serving(pages) as site, pytest.raises(Barred):
        client.fetch(f"{site.url}/a")
    assert site.paths() == ["/robots.txt", "/a"]


@pytest.mark.slow
def test_a_crawl_delay_is_kept(client):
    rules = Answer(body=b"User-agent: *\nCrawl-delay: 1\n")
    with serving({"/robots.txt": rules, "/a": Answer(body=b"a"), "/b": Answer(body=b"b")}) as site:
        start = time.monotonic()
        client.fetch(f"{site.url}/a")
        client.fetch(f"{site.url}/b")
        assert time.monotonic() - start >= 1.0


def test_agents_of_model_builders_that_are_barred_reserve_a_page(client):
    rules = Answer(body=b"User-agent: GPTBot\nUser-agent: CCBot\nDisallow: /\n\nUser-agent: *\nDisallow: /api\n")
    with serving({"/robots.txt": rules}) as site:
        found = client.rules(site.url)
        assert found.reserved_for(f"{site.url}/feed") == ["GPTBot", "CCBot"]
        assert found.reserved_for(f"{site.url}/api") == []  # barred for everyone: no reservation, a bar
        assert not found.allows(f"{site.url}/api")


# bodies that lie


def test_a_gzipped_body_is_kept_unpacked(client, store):
    with serving({"/b": Answer(body=gzip.compress(BOOK), headers={"Content-Encoding": "gzip"})}) as site:
        assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK


def test_a_gzip_bomb_ends_at_the_bound(client, store):
    client.max_bytes = 10_000
    bomb = gzip.compress(b"0" * 50_000_000)  # 48 kB on the wire
    with (
        serving({"/b": Answer(body=bomb, headers={"Content-Encoding": "gzip"})}) as site,
        pytest.raises(network.TooMuch, match=r"sent more than 10000 bytes"),
    ):
        client.fetch(f"{site.url}/b")
    assert stored_files(store) == []


@pytest.mark.parametrize(
    ("packing", "body"),
    [
        ("br", b"x"),
        ("gzip, gzip", gzip.compress(gzip.compress(BOOK))),
        ("gzip", BOOK),
        ("gzip", gzip.compress(BOOK)[:40]),
    ],
    ids=["brotli", "twice", "not gzip", "half"],  # gzip writes the time into its bytes
)
def test_a_packing_that_was_not_asked_for_or_does_not_hold_is_refused(client, store, packing, body):
    with (
        serving({"/b": Answer(body=body, headers={"Content-Encoding": packing})}) as site,
        pytest.raises(Refused, match=r"DecodingError"),
    ):
        client.fetch(f"{site.url}/b")
    assert stored_files(store) == []


def test_deflate_is_understood_though_not_asked_for(client, store):
    with serving({"/b": Answer(body=zlib.compress(BOOK), headers={"Content-Encoding": "deflate"})}) as site:
        assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK


def test_a_stream_without_end_is_cut_at_the_bound_and_not_read_on(client, store):
    client.max_bytes = 1000
    with (
        serving({"/b": Answer(body=b"x" * 5_000_000, promised=10 * 2**30)}) as site,
        pytest.raises(network.TooMuch),
    ):
        client.fetch(f"{site.url}/b")
    assert stored_files(store) == []


@pytest.mark.parametrize(("cut", "whole"), [(False, True), (True, False)])
def test_a_chunked_body_counts_only_with_its_last_chunk(client, store, cut, whole):
    with serving({"/b": Answer(body=BOOK, chunked=True, cut=cut)}) as site:
        if whole:
            assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK
        else:
            with pytest.raises(Passing, match=r"RemoteProtocolError"):
                client.fetch(f"{site.url}/b")
            assert stored_files(store) == []


def test_a_body_that_drips_ends_at_the_limit_of_the_whole(client, store):
    client.limit_s, client.attempts = 0.5, 1  # each byte comes in time, the whole would take 65 s
    start = time.monotonic()
    with serving({"/b": Answer(body=BOOK, drip_s=0.05)}) as site, pytest.raises(Passing, match=r"ReadTimeout"):
        client.fetch(f"{site.url}/b")
    assert time.monotonic() - start < 30
    assert stored_files(store) == []


# hosts that have had enough


def test_a_host_that_wants_an_hour_is_left_alone_by_the_next_unit_too(store):
    with serving({"/a": Answer(429, headers={"Retry-After": "3600"}), "/b": Answer(body=BOOK)}) as site:
        with pytest.raises(Passing, match=r"/a answered 429"):
            PoliteClient(store, delay_s=0.0).fetch(f"{site.url}/a")
        with pytest.raises(Passing, match=r"/b is not asked for another 3[56]\d\d s, since .*/a answered 429"):
            PoliteClient(store, delay_s=0.0).fetch(f"{site.url}/b")
    assert site.paths() == ["/a"]


def test_a_fault_of_one_page_does_not_stop_the_others(client, store):
    with serving({"/a": Answer(500), "/b": Answer(body=BOOK)}) as site:
        with pytest.raises(Passing):
            client.fetch(f"{site.url}/a")
        assert store.get(client.fetch(f"{site.url}/b").sha256) == BOOK


def test_the_reason_of_a_fault_comes_along(client):
    body = b'{"type": "urn:noaa:nws:api:UnexpectedProblem"}'
    with serving({"/a": Answer(500, body), "/b": Answer(404, body)}) as site:
        with pytest.raises(Passing) as passing:
            client.fetch(f"{site.url}/a")
        with pytest.raises(Refused) as refused:
            client.fetch(f"{site.url}/b")
    assert (passing.value.status, passing.value.body) == (500, body)
    assert (refused.value.status, refused.value.body) == (404, body)


@pytest.mark.parametrize(("header", "wait_s"), [("7", 7.0), ("", None), ("soon", None), ("-3", None)])
def test_a_time_to_wait_is_a_number(header, wait_s):
    assert asked_wait_s(header) == wait_s


def test_a_time_to_wait_is_a_date_as_well():
    assert asked_wait_s(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=2)
    assert asked_wait_s(formatdate(time.time() - 100, usegmt=True)) == 0.0


# what a review found


def test_a_file_of_several_gzip_members_is_whole(client, store):
    body = gzip.compress(b"first half ", mtime=0) + gzip.compress(b"second half", mtime=0)
    with serving({"/b": Answer(body=body, headers={"Content-Encoding": "gzip"})}) as site:
        assert store.get(client.fetch(f"{site.url}/b").sha256) == b"first half second half"


@pytest.mark.parametrize(
    "answer", [Answer(501), Answer(520), Answer(302, headers={"Location": "http://elsewhere.example/"})]
)
def test_a_robots_txt_that_leads_nowhere_closes_the_host_with_a_sentence(client, answer):
    with (
        serving({"/robots.txt": answer, "/b": Answer(body=BOOK)}) as site,
        pytest.raises(SourceUnavailable, match=r"robots.txt cannot be read, so nothing is fetched from there"),
    ):
        client.fetch(f"{site.url}/b")


def test_a_robots_txt_with_a_byte_order_mark_counts(client):
    rules = Answer(body=b"\xef\xbb\xbfUser-agent: *\nDisallow: /\n")
    with serving({"/robots.txt": rules, "/b": Answer(body=BOOK)}) as site, pytest.raises(Barred):
        client.fetch(f"{site.url}/b")


@pytest.mark.parametrize(
    "url",
    [
        f"http://{'a' * 70}.example.org/", "http://a..b.example/", f"http://{'a.' * 140}example/", "http://xn--a.example/",
        "http://ex ample.org/", "http://example.org:abc/", "http://[x/",
    ],
)  # fmt: skip
def test_an_address_that_is_none_is_refused_with_a_sentence(client, url):
    with pytest.raises(SourceUnavailable):
        client.fetch(url)


@pytest.mark.parametrize("said", ["public", "private", "must-revalidate"])
def test_a_cache_control_without_a_lifetime_gets_ours(client, store, said):
    old = {"Last-Modified": formatdate(0, usegmt=True), "Cache-Control": said}
    with serving({"/b": [Answer(body=b"old", headers=old), Answer(body=b"new", headers=old)]}) as site:
        client.fetch(f"{site.url}/b")
        assert store.get(client.fetch(f"{site.url}/b").sha256) == b"new"


def test_an_answer_that_may_not_be_cached_is_not_asked_for_twice_in_one_run(client):
    client.recheck_s = 300.0
    with serving({"/b": Answer(body=BOOK, headers={"Cache-Control": "no-store"})}) as site:
        client.fetch(f"{site.url}/b")
        client.fetch(f"{site.url}/b")
        assert len(site.seen) == 1


def test_a_reservation_counts_for_where_a_redirect_leads(client):
    client.heed_reservations = True
    rules = Answer(body=b"User-agent: GPTBot\nDisallow: /articles\n\nUser-agent: *\nAllow: /\n")
    pages = {
        "/robots.txt": rules,
        "/p": Answer(302, headers={"Location": "/articles/p"}),
        "/articles/p": Answer(body=BOOK),
    }
    with serving(pages) as site, pytest.raises(Reserved, match=r"reserves .*/articles/p from GPTBot and so from us"):
        client.fetch(f"{site.url}/p")
    assert "/articles/p" not in site.paths()
