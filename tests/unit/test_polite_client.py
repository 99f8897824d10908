"""The client is named, slow, conditional and bounded, and no half answer reaches the store."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest
import stamina

from resources.polite_client import USER_AGENT, Passing, PoliteClient, is_private, request_headers, worth_another_try
from resources.raw_store import RawStore
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
        yield PoliteClient(store, delay_s=0.0, timeout_s=5.0)


def stored_files(store: RawStore) -> list[str]:
    return [path.name for path in store.root.rglob("*") if path.is_file() and path.parent.name != "hosts"]


def test_an_answer_is_stored_with_its_url_licence_and_validators(client, store):
    headers = {"ETag": '"one"', "Last-Modified": "Thu, 01 Jan 2026 00:00:00 GMT", "X-Other": "no"}
    with serving({"/pg76.txt": Answer(body=BOOK, headers=headers)}) as site:
        found = client.fetch(f"{site.url}/pg76.txt", "Public domain")
    assert store.get(found.sha256) == BOOK
    assert (found.url, found.license) == (f"{site.url}/pg76.txt", "Public domain")
    assert found.headers == {"etag": '"one"', "last-modified": "Thu, 01 Jan 2026 00:00:00 GMT"}
    assert site.seen[0][1]["user-agent"] == USER_AGENT


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
    with serving({"/b": Answer(body=BOOK, pause_s=5.0)}) as site, pytest.raises(Passing, match=r"ReadTimeout"):
        client.fetch(f"{site.url}/b")
    assert time.monotonic() - start < 3


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


def test_a_redirect_to_a_private_address_of_another_host_is_not_followed(client):
    with serving({"/secret": Answer(body=b"metadata")}) as inside:
        target = inside.url.replace("127.0.0.1", "localhost") + "/secret"
        with (
            serving({"/a": Answer(302, headers={"Location": target})}) as site,
            pytest.raises(SourceUnavailable, match=r"redirects to the private address localhost"),
        ):
            client.fetch(f"{site.url}/a")
    assert inside.seen == []


def test_a_ring_of_redirects_ends(client):
    with (
        serving({"/a": Answer(302, headers={"Location": "/a"})}) as site,
        pytest.raises(Passing, match=r"TooManyRedirects"),
    ):
        client.fetch(f"{site.url}/a")
    assert len(site.seen) <= 2 * 6  # two attempts of one request and five redirects


def test_two_requests_to_one_host_lie_the_delay_apart_even_from_two_clients(store):
    with serving({"/a": Answer(body=b"a"), "/b": Answer(body=b"b")}) as site:
        start = time.monotonic()
        PoliteClient(store, delay_s=0.4).fetch(f"{site.url}/a")
        assert time.monotonic() - start < 0.35  # nobody waits before the first
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
    ("host", "private"),
    [("127.0.0.1", True), ("localhost", True), ("10.0.0.8", True), ("169.254.169.254", True), ("8.8.8.8", False)],
)
def test_private_addresses_are_known(host, private):
    assert is_private(host) is private


def test_a_first_request_is_named_and_unconditional():
    assert request_headers(None) == {"User-Agent": USER_AGENT}
    assert request_headers(("ab", {})) == {"User-Agent": USER_AGENT}
    assert request_headers(("ab", {"last-modified": "x"}))["If-Modified-Since"] == "x"
