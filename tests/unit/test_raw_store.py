"""Raw bytes are kept once, under their own hash, with what was first known of them."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources.raw_store import RawStore
from tests.examples import examples
from twainbot.errors import BadInput

URL = "https://mirror.example/pg76.txt"


@pytest.fixture
def store(tmp_path) -> RawStore:
    return RawStore(tmp_path / "raw")


def test_bytes_lie_under_their_hash_and_come_back(store):
    found = store.put(b"You don't know about me", URL, "Public domain", {"etag": '"1"'})
    assert found.sha256 == hashlib.sha256(b"You don't know about me").hexdigest()
    assert store.path(found.sha256).name == found.sha256
    assert store.path(found.sha256).parent.name == found.sha256[:2]
    assert store.get(found.sha256) == b"You don't know about me"
    assert (found.url, found.size, found.license, found.headers) == (URL, 23, "Public domain", {"etag": '"1"'})
    assert datetime.fromisoformat(found.retrieved_at).utcoffset().total_seconds() == 0


def test_known_bytes_keep_their_first_sidecar_and_a_second_url_finds_them_too(store):
    first = store.put(b"same", URL, "one")
    again = store.put(b"same", "https://other.example/76.txt", "two")
    assert again == first
    assert store.latest(URL) == store.latest("https://other.example/76.txt") == (first.sha256, {})
    assert len([path for path in store.root.rglob("*") if path.is_file() and "urls" not in path.parts]) == 2


def test_a_url_remembers_its_latest_answer_and_the_older_bytes_stay(store):
    old = store.put(b"first edition", URL, headers={"etag": '"1"'})
    new = store.put(b"second edition", URL, headers={"etag": '"2"'})
    assert store.latest(URL) == (new.sha256, {"etag": '"2"'})
    assert store.get(old.sha256) == b"first edition"


def test_an_unknown_url_has_no_latest_answer(store):
    assert store.latest(URL) is None


def test_an_answer_whose_bytes_are_gone_is_forgotten(store):
    found = store.put(b"gone", URL)
    store.path(found.sha256).unlink()
    assert store.latest(URL) is None
    assert store.put(b"gone", URL) == store.describe(found.sha256)
    assert store.get(found.sha256) == b"gone"


def test_damaged_bytes_are_refused_with_the_repair(store):
    found = store.put(b"whole", URL)
    store.path(found.sha256).write_bytes(b"wh")
    with pytest.raises(BadInput, match=r"is damaged. Delete it and observe the source again"):
        store.get(found.sha256)


def test_missing_bytes_are_refused_with_the_repair(store):
    with pytest.raises(BadInput, match=r"has no aaaaaaaaaaaa .*Observe the source again"):
        store.get("a" * 64)


def test_a_store_killed_between_bytes_and_sidecar_mends_itself(store):
    found = store.put(b"whole", URL)
    store.path(found.sha256).with_suffix(".json").unlink()
    assert store.put(b"whole", URL, "CC0-1.0").license == "CC0-1.0"


def test_a_sidecar_is_plain_json_for_people(store):
    found = store.put(b"x", URL, "CC0-1.0")
    kept = json.loads(store.path(found.sha256).with_suffix(".json").read_text())
    assert kept["url"] == URL
    assert kept["license"] == "CC0-1.0"


@settings(max_examples=examples(20), deadline=None)
@given(st.lists(st.binary(max_size=30), max_size=6))
def test_whatever_was_put_is_got(tmp_path_factory, contents):
    store = RawStore(tmp_path_factory.mktemp("raw"))
    hashes = [store.put(content, URL).sha256 for content in contents]
    assert [store.get(sha256) for sha256 in hashes] == contents
    assert len(set(hashes)) == len(set(contents))
