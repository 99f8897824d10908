"""Doors to live sources: what they ask for, what they keep when a host forgets or falls silent, what they leave alone."""

from __future__ import annotations

import dataclasses
import gzip
import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
import stamina

from resources.folder_source import FolderSource
from resources.gathering import Gathering
from resources.gutenberg import MirrorSource
from resources.joke_collections import CollectionSource
from resources.polite_client import PoliteClient, Refused
from resources.raw_store import UNAVAILABLE, RawStore
from resources.robots import Barred
from resources.satire_feeds import FeedSource
from resources.sources import Joined, open_source
from resources.weather_service import WHY_NO_ROBOTS, WeatherSource
from tests.fakes import Answer, FakeSite, serving
from twainbot.corpora.works import works_from_unit
from twainbot.errors import BadConfig, BadInput, SourceUnavailable, UnknownName, UnreadableSource

NOW = datetime(2026, 7, 4, 12, tzinfo=UTC)


@pytest.fixture
def store(tmp_path) -> RawStore:
    return RawStore(tmp_path / "raw")


@pytest.fixture(autouse=True)
def _quick():
    with stamina.set_testing(True, attempts=2, cap=True):
        yield


def client(store: RawStore, **manners) -> PoliteClient:
    return PoliteClient(store, delay_s=0.0, recheck_s=0.0, **manners)


# what was gathered


def test_states_are_remembered_in_order_and_one_that_comes_back_is_the_newest_again(store):
    gathering = Gathering(store, "weather", "OKX-2026")
    versions = []
    for text in (b"one", b"two", b"two", b"one"):
        gathering.add(store.put(text, "http://x/a"), "http://x/a")
        versions.append(gathering.version())
    gathering.keep()
    again = Gathering(store, "weather", "OKX-2026")
    assert [part.raw for part in again.parts()] == [b"one", b"two", b"one"]
    assert versions[1] == versions[2]
    assert len(set(versions)) == 3
    assert again.has("http://x/a")
    assert not again.has("http://x/b")


def test_the_version_follows_the_documents_and_what_is_known(store):
    gathering = Gathering(store, "weather", "OKX-2026")
    versions = {gathering.version(), gathering.version(b"known")}
    gathering.add(store.put(b"one", "http://x/a"), "http://x/a")
    versions |= {gathering.version(), gathering.version(b"known")}
    assert len(versions) == 4


def test_the_oldest_states_leave_first_and_what_never_changes_stays(store, caplog):
    gathering = Gathering(store, "satire", "gazette", most=2)
    gathering.add(store.put(b"page", "http://x/p"), "http://x/p", "page")
    for text in (b"one", b"two", b"three"):
        gathering.add(store.put(text, "http://x/a"), "http://x/a", state=text.decode())
    gathering.keep()
    assert [part.raw for part in Gathering(store, "satire", "gazette").parts()] == [b"page", b"two", b"three"]
    assert "is let go" in caplog.text


def test_a_state_that_a_parser_sees_alike_is_no_new_document(store):
    gathering = Gathering(store, "satire", "gazette")
    for text in (b"built at noon", b"built at one"):
        gathering.add(store.put(text, "http://x/a"), "http://x/a", state="same")
    assert [part.raw for part in gathering.parts()] == [b"built at noon"]


def test_headers_of_this_answer_count_though_the_bytes_were_known_before(store):
    gathering = Gathering(store, "satire", "gazette")
    store.put(b"page", "http://elsewhere/p")
    with serving({"/p": Answer(body=b"page", headers={"X-Robots-Tag": "noai"})}) as site:
        gathering.add(client(store).fetch(f"{site.url}/p"), f"{site.url}/p", "page")
    assert [part.headers for part in gathering.parts()] == ["x-robots-tag: noai"]


def test_two_processes_that_gather_for_one_unit_lose_nothing(store):
    one, other = (Gathering(store, "weather", "OKX-2026") for _ in range(2))
    one.add(store.put(b"one", "http://x/1"), "http://x/1")
    other.add(store.put(b"two", "http://x/2"), "http://x/2")
    one.keep()
    other.keep()
    assert {part.raw for part in Gathering(store, "weather", "OKX-2026").parts()} == {b"one", b"two"}


def test_bytes_that_were_deleted_leave_the_unit_and_the_version_says_so(store):
    gathering = Gathering(store, "weather", "OKX-2026")
    found = store.put(b"one", "http://x/1")
    gathering.add(found, "http://x/1")
    before = gathering.version()
    store.path(found.sha256).unlink()
    assert gathering.parts() == ()
    assert gathering.version() != before
    assert not gathering.has("http://x/1")


def test_what_could_not_be_had_is_left_alone_for_a_day_and_then_asked_for_again(store):
    gathering = Gathering(store, "satire", "gazette")
    gathering.refuse("http://x/p", "answered 404")
    assert gathering.has("http://x/p")
    assert gathering.why_not() == {"http://x/p": "answered 404"}
    assert gathering.parts() == ()
    gathering.seen = [dataclasses.replace(gathering.seen[0], retrieved_at="2020-01-01T00:00:00+00:00")]
    assert not gathering.has("http://x/p")


def test_a_damaged_list_is_named_with_the_repair(store):
    path = Gathering(store, "satire", "gazette").path
    path.parent.mkdir(parents=True)
    path.write_text("[{")
    with pytest.raises(BadInput, match=r"gazette.json is damaged .* Delete it"):
        Gathering(store, "satire", "gazette")


# feeds

ITEM = """<item><title>{title}</title><link>{url}{path}</link><guid>{path}</guid>
<description>&lt;p&gt;{text}&lt;/p&gt;</description></item>"""
BODY = (
    "The council met on Tuesday to decide whether it was Tuesday, and adjourned until the almanac could be heard. " * 2
)


def feed(site: FakeSite, *paths: str) -> bytes:
    items = "".join(ITEM.format(title=f"Item {path}", url=site.url, path=path, text=BODY) for path in paths)
    return f'<?xml version="1.0"?><rss version="2.0"><channel><title>Gazette</title>{items}</channel></rss>'.encode()


def page(text: str) -> bytes:
    return f"<html><head><title>T</title></head><body><article><h1>T</h1><p>{text}</p></article></body></html>".encode()


def feeds(store: RawStore, site: FakeSite, **settings) -> FeedSource:
    entry = {"name": "gazette", "url": f"{site.url}/feed", "license": "CC0-1.0", **settings}
    return FeedSource({"gazette": entry}, store, client(store, configured=(entry["url"],)))


def test_a_feed_is_a_unit_with_all_its_states(store):
    with serving({}) as site:
        site.pages["/feed"] = [Answer(body=feed(site, "/a")), Answer(body=feed(site, "/b"))]
        first, _ = feeds(store, site).fetch("gazette")
        second, sidecar = feeds(store, site).fetch("gazette")
    assert first == second[:1]  # what the feed has forgotten is still there
    assert [b"/a" in part.raw for part in second] == [True, False]
    assert (sidecar.license, sidecar.style, sidecar.edition) == ("CC0-1.0", "satire", "gazette")


def test_pages_of_articles_are_fetched_once_and_a_missing_one_is_told(store):
    with serving({}) as site:
        site.pages |= {"/feed": [Answer(body=feed(site, "/a", "/b"))], "/a": [Answer(body=page(BODY))]}
        door = feeds(store, site, articles=True)
        parts, _ = door.fetch("gazette")
        assert [part.url.removeprefix(site.url) for part in parts] == ["/feed", "/a"]
        assert list(door.skipped) == [f"{site.url}/b"]
        assert "answered 404" in door.skipped[f"{site.url}/b"]
        feeds(store, site, articles=True).fetch("gazette")
        assert site.paths().count("/a") == 1


def test_links_to_other_hosts_are_not_followed(store):
    with serving({}) as site:
        elsewhere = feed(site, "/a").replace(site.url.encode(), b"http://169.254.169.254")
        site.pages["/feed"] = [Answer(body=elsewhere)]
        door = feeds(store, site, articles=True)
        parts, _ = door.fetch("gazette")
        assert len(parts) == 1
        assert "leads to another host" in next(iter(door.skipped.values()))


def test_a_link_to_a_private_address_is_no_configuration_of_ours(store):
    asking = client(store, configured=("https://paper.example.org/feed",))
    assert asking.private_hosts("http://192.168.1.1/admin") == frozenset()
    assert asking.private_hosts("http://169.254.169.254/latest") == frozenset()
    named = client(store, configured=("http://127.0.0.1:8000/feed",))
    assert named.private_hosts("http://127.0.0.1:8000/feed") == {("127.0.0.1", 8000)}
    assert named.private_hosts("http://127.0.0.1:9000/other") == frozenset()


@pytest.mark.parametrize(
    ("url", "related"),
    [
        ("https://example.org/a", True), ("https://www.example.org/a", True), ("https://m.example.org/a", True),
        ("https://org/a", False), ("https://example.org.evil.net/a", False), ("https://cdn.net/a", True), ("http://[x", False),
    ],
)  # fmt: skip
def test_a_host_is_related_to_itself_its_subdomains_and_what_the_profile_lists(store, url, related):
    asking = client(store, hosts=frozenset({"cdn.net"}))
    assert asking.related(url, "https://example.org/feed") is related


def test_an_article_that_is_reserved_leaves_its_item_a_headline(store):
    rules = Answer(body=b"User-agent: GPTBot\nDisallow: /a\n\nUser-agent: *\nAllow: /\n")
    with serving({"/robots.txt": rules}) as site:
        site.pages |= {"/feed": [Answer(body=feed(site, "/a"))], "/a": [Answer(body=page(BODY))]}
        parts, sidecar = feeds(store, site, articles=True).fetch("gazette")
        assert "/a" not in site.paths()
    [row] = works_from_unit("satire", "gazette", parts, sidecar).to_dicts()
    assert (row["text"], row["rights"]) == ("Item /a", "restricted")


def test_a_build_date_that_moves_is_no_new_state_of_a_feed(store):
    with serving({}) as site:
        dates = (
            b"<lastBuildDate>one</lastBuildDate><title>Gazette",
            b"<lastBuildDate>two</lastBuildDate><title>Gazette",
        )
        site.pages["/feed"] = [Answer(body=feed(site, "/a").replace(b"<title>Gazette", date)) for date in dates]
        assert feeds(store, site).version("gazette") == feeds(store, site).version("gazette")


def test_a_feed_that_turns_into_a_page_fails_its_unit_and_is_not_kept(store):
    with serving({}) as site:
        site.pages["/feed"] = [Answer(body=feed(site, "/a")), Answer(body=page("Sorry"))]
        before = feeds(store, site).version("gazette")
        assert feeds(store, site).version("gazette") not in (before, UNAVAILABLE)
        with pytest.raises(UnreadableSource):
            feeds(store, site).fetch("gazette")
        assert len(Gathering(store, "satire", "gazette").parts()) == 1


def test_a_host_that_reserves_its_pages_from_model_builders_is_not_read(store):
    with serving({"/robots.txt": Answer(body=b"User-agent: GPTBot\nDisallow: /\n\nUser-agent: *\nAllow: /\n")}) as site:
        site.pages["/feed"] = [Answer(body=feed(site, "/a"))]
        for settings in ({}, {"headline_only": True}):
            with pytest.raises(Barred, match=r"reserves .*/feed from GPTBot and so from us"):
                feeds(store, site, **settings).fetch("gazette")
        assert site.paths() == ["/robots.txt"]
        assert feeds(store, site).version("gazette") == UNAVAILABLE


def test_a_feed_is_closed_while_its_robots_txt_cannot_be_read(store):
    with serving({"/robots.txt": Answer(503)}) as site:
        site.pages["/feed"] = [Answer(body=feed(site, "/a"))]
        with pytest.raises(SourceUnavailable, match=r"robots.txt cannot be read"):
            feeds(store, site).fetch("gazette")
        assert "/feed" not in site.paths()


def test_a_feed_of_headlines_brings_restricted_rights_and_asks_for_no_page(store):
    with serving({}) as site:
        site.pages |= {"/feed": [Answer(body=feed(site, "/a"))], "/a": [Answer(body=page(BODY))]}
        _, sidecar = feeds(store, site, headline_only=True, articles=True).fetch("gazette")
        assert (sidecar.rights, sidecar.split) == ("restricted", "headline")
        assert site.paths() == ["/feed"]


def test_a_feed_that_falls_silent_keeps_its_version_and_one_that_is_off_is_no_unit(store):
    with serving({}) as site:
        site.pages["/feed"] = [Answer(body=feed(site, "/a")), Answer(500)]
        before = feeds(store, site).version("gazette")
        door = feeds(store, site)
        assert door.version("gazette") == before
        assert "answered 500" in door.skipped["gazette"]
        off = feeds(store, site, enabled=False)
        assert (off.units(), off.skipped) == ([], {"gazette": "switched off in this profile"})
        with pytest.raises(UnknownName, match=r"satire has no feed 'herald'. Feeds: gazette"):
            door.fetch("herald")


# joke collections

JOKES = json.dumps([{"setup": "Why did the river run?", "punchline": "It had a mouth to feed."}]).encode()


def collections(store: RawStore, site: FakeSite, **settings) -> CollectionSource:
    entry = {"name": "dry", "url": f"{site.url}/data/dry.json", "license": "MIT", **settings}
    return CollectionSource({"dry": entry}, store, client(store))


def test_a_collection_brings_its_file_name_licence_and_columns(store):
    with serving({"/data/dry.json": Answer(body=JOKES)}) as site:
        raw, sidecar = collections(store, site, columns={"setup": "setup"}).fetch("dry")
    assert raw == JOKES
    assert (sidecar.filename, sidecar.license, sidecar.columns) == ("dry.json", "MIT", {"setup": "setup"})


def test_a_collection_whose_host_is_gone_is_read_as_it_was_and_its_version_stays(store):
    with serving({"/data/dry.json": [Answer(body=JOKES), Answer(404)]}) as site:
        before = collections(store, site).version("dry")
        assert collections(store, site).version("dry") == before
        assert collections(store, site).fetch("dry")[0] == JOKES


def test_a_collection_that_never_answered_has_no_version_and_names_the_fault(store):
    with serving({}) as site:
        door = collections(store, site)
        assert door.version("dry") == UNAVAILABLE
        assert "answered 404" in door.skipped["dry"]
        with pytest.raises(Refused):
            door.fetch("dry")
        with pytest.raises(UnknownName, match=r"jokes has no collection 'wet'. Collections: dry"):
            door.fetch("wet")


# the weather service

LIST = "/products/types/AFD/locations/OKX"


def listing(*ids: str, year: int = 2026) -> Answer:
    graph = [{"id": name, "issuanceTime": f"{year}-07-04T10:00:00+00:00"} for name in ids]
    return Answer(body=json.dumps({"@graph": graph}).encode())


def product(name: str) -> Answer:
    return Answer(body=json.dumps({"id": name, "productText": f"bulletin {name}"}).encode())


def weather(store: RawStore, site: FakeSite, **settings) -> WeatherSource:
    office = {"products": ("AFD",), **settings}
    asking = client(store, exempt={"127.0.0.1": WHY_NO_ROBOTS})
    return WeatherSource({"OKX": office}, store, asking, site.url, f"{site.url}/archive", today=NOW)


def test_bulletins_of_this_year_are_gathered_and_those_that_the_service_forgets_stay(store):
    lists = [listing("one", "two"), listing("three")]
    pages = {LIST: lists, **{f"/products/{name}": product(name) for name in ("one", "two", "three")}}
    with serving(pages) as site:
        assert weather(store, site).units() == ["OKX-2026"]
        weather(store, site).version("OKX-2026")
        parts, sidecar = weather(store, site).fetch("OKX-2026")
        assert [json.loads(part.raw)["id"] for part in parts] == ["one", "two", "three"]
        assert site.paths().count("/products/one") == 1  # a bulletin never changes
    assert (sidecar.rights, sidecar.license) == ("public_domain", "Public domain (US Government work)")


def test_robots_txt_of_the_documented_service_is_not_applied_and_the_sidecar_says_so(store):
    rules = Answer(body=b"User-agent: *\nDisallow: /\n")
    with serving({"/robots.txt": rules, LIST: listing("one"), "/products/one": product("one")}) as site:
        weather(store, site).fetch("OKX-2026")
        kept = store.describe(store.latest(f"{site.url}/products/one")[0])
    assert kept.robots == f"not applied: {WHY_NO_ROBOTS}"
    assert "/robots.txt" not in site.paths()


def test_forecasts_are_asked_for_at_the_configured_service_whatever_host_the_answer_names(store):
    point = {"properties": {"forecast": "https://api.weather.gov/gridpoints/OKX/33,35/forecast?units=us"}}
    pages = {
        LIST: listing(), "/points/40.71,-74.01": Answer(body=json.dumps(point).encode()),
        "/gridpoints/OKX/33,35/forecast?units=us": Answer(body=b'{"properties": {"periods": []}}'),
        "/alerts/active?area=NY": Answer(body=b'{"features": []}'),
    }  # fmt: skip
    with serving(pages) as site:
        parts, _ = weather(store, site, points=("40.71,-74.01",), alerts_area="NY").fetch("OKX-2026")
        asked = {path: headers.get("accept") for path, headers in site.seen}
    assert [part.url.removeprefix(site.url) for part in parts] == [
        "/gridpoints/OKX/33,35/forecast?units=us", "/alerts/active?area=NY",
    ]  # fmt: skip
    assert asked["/points/40.71,-74.01"] == "application/geo+json"


def test_a_forecast_that_fails_is_told_with_the_services_reason_and_the_bulletins_stay(store):
    problem = b'{"type": "https://api.weather.gov/problems/ForecastGridExpired", "detail": "expired", "status": 503}'
    point = {"properties": {"forecast": "https://api.weather.gov/f"}}
    pages = {LIST: listing("one"), "/products/one": product("one"), "/f": Answer(503, problem),
             "/points/40.71,-74.01": Answer(body=json.dumps(point).encode())}  # fmt: skip
    with serving(pages) as site:
        door = weather(store, site, points=("40.71,-74.01",))
        parts, _ = door.fetch("OKX-2026")
    assert len(parts) == 1
    assert "ForecastGridExpired" in " ".join(door.skipped.values())


OLD = (
    b"000\nFXUS61 KOKX 041000\nAFDOKX\n\nArea Forecast Discussion\nNational Weather Service New York NY\n\n"
    b"It will be dry, and then it will be dry again.\n\n$$\n"
)


def test_an_archive_that_finds_nothing_is_told_and_asked_again_another_day(store):
    path = "/archive/cgi-bin/afos/retrieve.py?pil=AFDOKX&fmt=text&sdate=2024-01-01&edate=2025-01-01&limit=200"
    with serving({path: Answer(body=b"ERROR: Could not Find: AFDOKX")}) as site:
        for _ in range(2):  # the second time nobody is asked, and the reason is the same
            with pytest.raises(SourceUnavailable, match=r"holds no document but b'ERROR: Could not Find"):
                weather(store, site, years=(2024,)).fetch("OKX-2024")
        assert len(site.seen) == 1
        assert not Gathering(store, "weather", "OKX-2024").held()


def test_a_past_year_comes_out_of_the_archive_once(store):
    path = "/archive/cgi-bin/afos/retrieve.py?pil=AFDOKX&fmt=text&sdate=2024-01-01&edate=2025-01-01&limit=200"
    with serving({path: Answer(body=OLD)}) as site:
        door = weather(store, site, years=(2024,))
        assert door.units() == ["OKX-2024", "OKX-2026"]
        for _ in range(2):
            parts, _ = weather(store, site, years=(2024,)).fetch("OKX-2024")
        assert [part.raw for part in parts] == [OLD]
        assert site.paths().count(path) == 1


def test_last_years_unit_stays_when_the_year_turns(store):
    with serving({LIST: listing("one"), "/products/one": product("one")}) as site:
        weather(store, site).fetch("OKX-2026")
        before = weather(store, site).version("OKX-2026")
        later = weather(store, site)
        later.today = datetime(2027, 1, 1, tzinfo=UTC)
        assert later.units() == ["OKX-2026", "OKX-2027"]
        asked = len(site.seen)
        assert later.version("OKX-2026") == before  # what was gathered, and nobody is asked
        assert len(site.seen) == asked


@pytest.mark.parametrize("answer", [Answer(500), Answer(body=b"<html>busy</html>"), Answer(body=b'{"@graph": null}')])
def test_a_service_without_a_document_fails_its_unit_with_the_reason(store, answer):
    with serving({LIST: answer}) as site:
        door = weather(store, site)
        assert door.version("OKX-2026") == UNAVAILABLE
        with pytest.raises(SourceUnavailable, match=r"OKX-2026 has no document: "):
            door.fetch("OKX-2026")
        with pytest.raises(UnknownName, match=r"weather has no unit 'BOX-2026'"):
            door.fetch("BOX-2026")


# the catalogue of Gutenberg

CSV = """Text#,Type,Issued,Title,Language,Authors,Subjects,LoCC,Bookshelves
76,Text,2004-06-29,Huck,en,"Twain, Mark, 1835-1910",,,
900,Text,2004-06-29,"New, and found",en,"Twain, Mark, 1835-1910",,,
901,Text,2004-06-29,Reserved,en,"Twain, Mark, 1835-1910",,,
902,Text,2004-06-29,En français,fr,"Twain, Mark, 1835-1910",,,
903,Text,2004-06-29,Emma,en,"Austen, Jane, 1775-1817",,,
"""


def rdf(number: int, rights: str) -> bytes:
    return f"""<?xml version="1.0"?><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"
 xmlns:dcterms="http://purl.org/dc/terms/" xmlns:pgterms="http://www.gutenberg.org/2009/pgterms/">
<pgterms:ebook rdf:about="ebooks/{number}"><dcterms:title>T</dcterms:title><dcterms:rights>{rights}</dcterms:rights>
<dcterms:creator><pgterms:agent rdf:about="2009/agents/53"><pgterms:name>Twain, Mark</pgterms:name></pgterms:agent>
</dcterms:creator></pgterms:ebook></rdf:RDF>""".encode()


@pytest.mark.parametrize("zipped", [False, True])
def test_a_work_of_the_catalogue_becomes_a_unit_if_its_record_frees_it(store, zipped):
    raw = gzip.compress(CSV.encode()) if zipped else CSV.encode()
    free, reserved = "Public domain in the USA.", "Copyrighted. Read the copyright notice inside this book for details."
    pages = {
        "/feed.csv": Answer(body=raw), "/cache/epub/900/pg900.rdf": Answer(body=rdf(900, free)),
        "/cache/epub/901/pg901.rdf": Answer(body=rdf(901, reserved)), "/cache/epub/76/pg76.rdf": Answer(body=rdf(76, free)),
    }  # fmt: skip
    with serving(pages) as site:
        door = MirrorSource(site.url, store, (245,), {"Twain": "twain"}, client(store), f"{site.url}/feed.csv")
        assert door.units() == ["pg245", "pg76", "pg900"]
        assert "restricted" in door.skipped["pg901"] or "unknown" in door.skipped["pg901"]
        assert door.style_of("pg900", "") == "twain"
        again = MirrorSource(site.url, store, (245,), {"Twain": "twain"}, client(store), f"{site.url}/feed.csv")
        assert again.units() == door.units()
        assert site.paths().count("/cache/epub/900/pg900.rdf") == 1


def test_a_catalogue_that_is_away_takes_no_partition_away(store):
    pages = {"/feed.csv": [Answer(body=CSV.encode()), Answer(500)],
             "/cache/epub/900/pg900.rdf": Answer(body=rdf(900, "Public domain in the USA."))}  # fmt: skip
    with serving(pages) as site:
        made = [MirrorSource(site.url, store, (), {"Twain": "twain"}, client(store), f"{site.url}/feed.csv").units()
                for _ in range(2)]  # fmt: skip
    assert made == [["pg76", "pg900"], ["pg76", "pg900"]]  # 76 is pinned, so its record need not be asked for


def looked_up_twice(store: RawStore, pages: dict) -> list[list[str]]:
    with serving(pages) as site:
        return [MirrorSource(site.url, store, (), {"Twain": "twain"}, client(store), f"{site.url}/feed.csv").units()
                for _ in range(2)]  # fmt: skip


def test_a_catalogue_that_answers_with_a_page_takes_no_partition_away_either(store):
    pages = {"/feed.csv": [Answer(body=CSV.encode()), Answer(body=b"<html><body>busy</body></html>")],
             "/cache/epub/900/pg900.rdf": Answer(body=rdf(900, "Public domain in the USA."))}  # fmt: skip
    first, second = looked_up_twice(store, pages)
    assert first == second == ["pg76", "pg900"]


def test_a_record_that_could_not_be_read_once_is_asked_for_again(store):
    good = Answer(body=rdf(900, "Public domain in the USA."))
    pages = {
        "/feed.csv": Answer(body=CSV.encode()),
        "/cache/epub/900/pg900.rdf": [Answer(body=b"<html>busy</html>"), good],
    }
    assert looked_up_twice(store, pages) == [["pg76"], ["pg76", "pg900"]]


@pytest.mark.parametrize("raw", [b"a,b\n1,2\n", b"\x1f\x8bbroken", b""])
def test_a_catalogue_that_is_none_leaves_the_pinned_works(store, raw):
    with serving({"/feed.csv": Answer(body=raw)}) as site:
        door = MirrorSource(site.url, store, (245,), {"Twain": "twain"}, client(store), f"{site.url}/feed.csv")
        assert door.units() == ["pg245"]
        assert door.skipped["catalogue"]


# several doors of one source


def folder(tmp_path: Path, store: RawStore, *names: str) -> FolderSource:
    place = tmp_path / "drop"
    place.mkdir()
    for name in names:
        (place / name).write_text("x")
    return FolderSource("satire", place, store)


def test_a_source_of_several_doors_hands_each_unit_to_its_own(tmp_path, store):
    with serving({}) as site:
        site.pages["/feed"] = [Answer(body=feed(site, "/a"))]
        door = Joined("satire", [folder(tmp_path, store, "herald.xml"), feeds(store, site)])
        assert door.units() == ["gazette", "herald"]
        assert door.fetch("herald")[0] == b"x"
        assert door.fetch("gazette")[0][0].url == f"{site.url}/feed"
        assert door.version("herald") != door.version("gazette")
        with pytest.raises(UnknownName, match=r"satire has no unit 'sun'. Units: gazette, herald"):
            door.fetch("sun")


def test_a_unit_that_two_doors_claim_is_refused(tmp_path, store):
    with serving({}) as site:
        door = Joined("satire", [folder(tmp_path, store, "gazette.xml"), feeds(store, site)])
        with pytest.raises(BadConfig, match=r"Two doors of satire claim the unit 'gazette'"):
            door.units()


def test_the_doors_of_a_profile_share_its_manners(store):
    settings = {"folder": "samples/jokes", "collections": [{"name": "dry", "url": "https://example.org/dry.json"}],
                "delay_s": 7, "recheck_s": 60, "private": True, "hosts": ["cdn.example.org"]}  # fmt: skip
    door = open_source("jokes", settings, store)
    asking = door.doors[1].client
    assert (asking.delay_s, asking.recheck_s, asking.private) == (7.0, 60.0, True)
    assert (asking.hosts, asking.configured) == ({"cdn.example.org"}, ("https://example.org/dry.json",))
    assert "dry" in door.units()


def test_the_weather_door_names_the_service_alone_as_exempt(store):
    door = open_source("weather", {"offices": {"OKX": {}}}, store)
    assert dict(door.client.exempt) == {"api.weather.gov": WHY_NO_ROBOTS}


@pytest.mark.parametrize(
    ("source", "settings", "live"),
    [
        ("local", {"folder": "samples/local"}, False),
        ("gutenberg", {"mirror": "https://example.org"}, True),
        ("gutenberg", {"mirror": "file:///nowhere"}, False),
        ("gutenberg", {"mirror": "file:///nowhere", "catalogue": "https://example.org/c.csv"}, True),
        ("weather", {"folder": "samples/weather", "offices": {"OKX": {}}}, True),
        ("satire", {"feeds": [{"name": "a", "url": "https://example.org/feed"}]}, True),
        ("jokes", {"collections": [{"name": "a", "url": "https://example.org/a.json"}]}, True),
    ],
)
def test_a_look_at_the_state_knows_which_sources_it_must_not_wait_for(store, source, settings, live):
    assert open_source(source, settings, store).is_live is live
