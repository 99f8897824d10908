"""The whole corpora stage from a local server that speaks every source's form: once, again, after changes, after faults."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace

import polars as pl
import pytest

from tests import replay
from tests.e2e.conftest import Clone, rebuilt
from tests.fakes import Answer, FakeSite, serving

pytestmark = pytest.mark.xdist_group("harvest")

CALL = {"name": "get_forecast", "arguments": '{"location": "Hannibal, MO"}'}
LOG = {
    "messages": [
        {"role": "user", "content": "My mail is ann@example.org. Will it rain in Hannibal?"},
        {
            "role": "assistant", "content": None, "tool_calls": [{"id": "c1", "type": "function", "function": CALL}],
        },
        {"role": "tool", "tool_call_id": "c1", "content": '{"condition": "rain", "high_f": 61}'},
        {"role": "assistant", "content": "It will rain, at 61 degrees, and charge nothing for it."},
    ]
}  # fmt: skip
SIDECAR = "rights: cc0\nlicense: CC0-1.0\n"


@pytest.fixture(scope="module")
def world(
    new_clone: Callable[[str], Clone], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[Clone, FakeSite]]:
    """A clone with a profile that reads a replayed world, built once."""
    folder = tmp_path_factory.mktemp("drop")
    for name, file, text in (
        ("transcripts", "log.jsonl", json.dumps(LOG)),
        ("local", "notes.md", f"# Notes\n\n{replay.PROSE}"),
    ):
        (folder / name).mkdir()
        (folder / name / file).write_text(text)
        (folder / name / f"{file}.yaml").write_text(SIDECAR)
    clone = replace(new_clone("harvest"), profile="harvest")
    shutil.copytree(clone.root / "training/configs/tiny", clone.root / "training/configs/harvest")
    with serving({}) as site:
        replay.world(site)
        (clone.root / "profiles/harvest.yaml").write_text(replay.profile(site, str(folder)))
        (clone.home.parent / "first.txt").write_text(clone.run("run", "--select", "corpora"))
        yield clone, site


def works(clone: Clone, source: str) -> pl.DataFrame:
    """All works of a source in the lake."""
    return pl.concat([pl.read_parquet(path) for path in sorted((clone.lake / "corpora" / source).rglob("*.parquet"))])


def table(clone: Clone, name: str) -> pl.DataFrame:
    return pl.read_parquet(clone.lake / f"corpora/{name}/part-0.parquet")


def test_every_source_gives_its_works_with_rights_that_say_where_they_come_from(world):
    clone, _ = world
    units = {path.name.removeprefix("partition=") for path in (clone.lake / "corpora").rglob("partition=*")}
    assert units == {"pg245", "pg900", "gazette", "dry", f"OKX-{replay.YEAR}", "OKX-2024", "log", "notes"}
    matrix = {(row["source"], row["rights"], row["claim"]): row["works"] for row in table(clone, "rights").to_dicts()}
    assert matrix[("satire", "cc0", "licence")] == 2
    assert matrix[("jokes", "open_license", "licence")] == 3
    assert matrix[("local", "cc0", "declared")] == 1
    assert matrix[("transcripts", "cc0", "declared")] == 1
    assert {key[1:] for key in matrix if key[0] == "gutenberg"} == {("public_domain_us", "catalogue")}
    assert {rights for source, rights, _ in matrix if source == "weather"} == {"public_domain"}


def test_books_lose_their_wrapping_whether_they_came_as_text_or_as_html(world):
    texts = dict(works(world[0], "gutenberg").select("unit", "text").iter_rows())
    assert all("gutenberg" not in text.lower() for text in texts.values())
    assert all(text.count("The ferry was late") == replay.PARAGRAPHS for text in texts.values())


def test_an_item_is_completed_by_its_page_and_keeps_where_it_came_from(world):
    clone, site = world
    fog = works(clone, "satire").filter(pl.col("title") == "Fog Denies Everything").row(0, named=True)
    assert "paragraph 5" in fog["text"]
    assert fog["url"] == f"{site.url}/2026/07/fog/"
    assert fog["retrieved_at"]


def test_bulletins_forecast_and_alert_are_works_and_the_test_message_is_a_reject(world):
    rows = works(world[0], "weather")
    now = rows.filter(pl.col("unit") == f"OKX-{replay.YEAR}")
    usable = now.filter(pl.col("reject_reason").is_null())
    assert usable.height == 4  # two bulletins, a forecast, an alert
    assert now["reject_reason"].drop_nulls().to_list() == ["test_message"]
    facts = [fact for extra in usable["extra"] for fact in json.loads(extra)["facts"]]
    assert {fact["high_f"] for fact in facts if fact["high_f"]} == {78}
    assert rows.filter(pl.col("unit") == "OKX-2024").height == 2


def test_a_foreign_log_comes_in_our_schema_without_its_address(world):
    [row] = works(world[0], "transcripts").to_dicts()
    assert "ann@example.org" not in row["text"] + row["extra"]
    turns = json.loads(row["extra"])["turns"]
    assert [turn["role"] for turn in turns] == ["user", "assistant", "tool", "assistant"]
    assert turns[1]["tool_call"]["tool_name"] == "weather_api.get_forecast"  # the name that is stored


def test_the_audit_names_every_unit_and_what_was_not_taken(world):
    rows = {(row["source"], row["unit"]): row for row in table(world[0], "audit").to_dicts()}
    assert rows[("gutenberg", "pg901")]["state"] == "not taken"
    assert rows[("gutenberg", "pg900")]["state"] == "works"
    assert {row["state"] for row in rows.values()} == {"works", "not taken"}


def test_the_second_time_transfers_nothing_and_builds_nothing(world):
    clone, site = world
    before, sent = clone.versions(), site.sent
    assert "0 built" in clone.run("run", "--select", "corpora")
    assert clone.versions() == before
    assert site.sent == sent


def test_status_says_what_was_not_taken_and_asks_nobody(world):
    clone, site = world
    asked = len(site.seen)
    assert "gutenberg/pg901: its catalogue record says restricted" in clone.run("status")
    assert len(site.seen) == asked


def test_a_work_that_the_catalogue_adds_is_a_new_partition_and_rebuilds_no_other(world):
    clone, site = world
    before = clone.versions()
    rows = ((900, "Letters from the Upper Ferry"), (901, "Reserved"), (902, "More Letters"))
    site.pages |= {
        "/pg/feeds/pg_catalog.csv": [replay.tagged(replay.catalogue(*rows))],
        "/pg/cache/epub/902/pg902.rdf": [replay.tagged(replay.rdf(902, "More Letters"))],
        "/pg/cache/epub/902/pg902.txt": [replay.tagged(replay.book(902, "More Letters", "Mark Twain"))],
    }
    clone.run("run", "--select", "corpora")
    assert rebuilt(before, clone.versions()) == {"corpora/gutenberg/partition=pg902", "corpora/rights", "corpora/audit"}


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(body=b"<!DOCTYPE html><html><body><h1>Too many requests</h1></body></html>"), "feed"),
        (Answer(body=b"<?xml version='1.0'?><rss><channel><item>"), "cut short"),
    ],
)
def test_a_unit_that_turns_bad_fails_alone_with_its_reason_and_keeps_its_last_good_version(world, answer, reason):
    clone, site = world
    good = site.pages["/feed/"]
    before = clone.versions()
    site.pages["/feed/"] = [answer]
    try:
        output = clone.run("run", "--select", "corpora", code=None)
    finally:
        site.pages["/feed/"] = good
    assert "gazette" in output
    assert reason in output
    satire = {path: version for path, version in clone.versions().items() if "satire" in path}
    assert satire == {path: version for path, version in before.items() if "satire" in path}


def test_a_host_in_trouble_leaves_everything_as_it_was(world):
    clone, site = world
    before, pages = clone.versions(), dict(site.pages)
    site.pages = {path: [Answer(500)] for path in pages}
    try:
        output = clone.run("run", "--select", "corpora", code=None)
    finally:
        site.pages = pages
    assert clone.versions() == before, output[-2000:]
