"""Every real file of the corpora stage gives works, or rejects with a reason of the closed list. Skips without the files."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

from checks.corpora import unwrapped
from resources.robots import Rules
from twainbot.corpora.works import Sidecar, works_from_unit
from twainbot.errors import UnreadableSource

pytestmark = pytest.mark.shared

JOKE_REASONS = {
    "duplicate_text", "too_many_capitals", "no_answer", "no_setup", "near_empty_punchline", "repeated_characters",
    "too_short", "too_long", "markup", "mostly_symbols", "removed", "non_english", "forum_reference",
}  # fmt: skip
SERVICE_REASONS = {"test_message", "no_periods", "no_prose", "index_only", "duplicate_work_id"}
WEATHER_REASONS = {"test_message", "tabular", "no_text", "no_wmo_heading", "no_prose", "index_only", "not_weather"}


def read(source: str, path: Path, **known: object) -> pl.DataFrame:
    return works_from_unit(source, path.stem, path.read_bytes(), Sidecar(filename=path.name, **known))


def reasons(rows: pl.DataFrame) -> set[str]:
    """The reject reasons without what stands in brackets behind them."""
    return {re.sub(r"[ (:=].*", "", reason) for reason in rows["reject_reason"].drop_nulls()}


@pytest.mark.slow
def test_every_real_book_is_a_work_without_wrapping(shared_data):
    books = sorted([*(shared_data / "gutenberg").rglob("*.txt"), *(shared_data / "satire").glob("pg*.txt")])
    assert len(books) >= 27
    for path in books:
        rows = read("gutenberg", path)
        assert rows.height == 1, path.name
        assert rows["reject_reason"].is_null().all(), path.name
        assert unwrapped(rows).passed, (path.name, unwrapped(rows).why)
        assert rows["text"].str.len_chars()[0] > 10_000, path.name


def test_every_real_joke_file_gives_jokes_and_reasons_of_the_list(shared_data):
    for path in sorted((shared_data / "jokes").iterdir()):
        rows = read("jokes", path)
        assert reasons(rows) <= JOKE_REASONS, path.name
        assert rows.filter(pl.col("reject_reason").is_null()).height > 0.9 * rows.height, path.name
        assert set(rows["rights"]) == {"unknown"}  # nothing is said of them here, so they wait for review


def test_every_real_bulletin_gives_a_work_or_a_reason_of_the_list(shared_data):
    paths = sorted((shared_data / "nws" / "products").iterdir())
    assert len(paths) >= 290
    refused = {}
    for path in paths:
        try:
            rows = read("weather", path)
        except UnreadableSource as refusal:
            refused[path.name] = str(refusal)
            continue
        assert reasons(rows) <= WEATHER_REASONS, path.name
        assert rows.height > 0, path.name
        assert set(rows["rights"]) == {"public_domain"}, path.name
    # alone in their files, tables and test messages give no text to read: the unit says so by its reason
    assert all(re.search(r"tabular|test_message", why) for why in refused.values()), refused
    assert len(refused) < 40


def test_every_real_answer_of_the_service_gives_works_or_a_reason(shared_data):
    refused: list[str] = []
    for path in sorted((shared_data / "nws" / "api").rglob("*.json")):
        try:
            rows = read("weather", path)
        except UnreadableSource as refusal:
            refused.append(str(refusal))
        else:
            assert reasons(rows) <= SERVICE_REASONS, (path.name, reasons(rows))  # templates repeat their ids
    assert all(sentence.endswith(".") for sentence in refused)  # each names its repair


@pytest.mark.parametrize("rights", ["", "restricted"])
def test_both_layouts_of_the_onions_feed_are_read_and_restricted_ones_keep_headlines(shared_data, rights):
    for path in sorted((shared_data / "satire" / "feeds").iterdir()):
        rows = read("satire", path, rights=rights)
        assert rows.height > 0
        if rights == "restricted":
            kept = rows.filter(pl.col("reject_reason").is_null())
            assert (kept["text"] == kept["title"]).all()
            assert set(kept["rights"]) == {"restricted"}


@pytest.mark.parametrize(
    ("file", "url", "allowed", "reserved"),
    [
        ("www.gutenberg.org.robots.txt", "https://www.gutenberg.org/cache/epub/76/pg76.txt", True, False),
        ("www.gutenberg.org.robots.txt", "https://www.gutenberg.org/ebooks/search/?query=twain", False, False),
        ("api.weather.gov.robots.txt", "https://api.weather.gov/points/40.71,-74.01", False, False),
        ("theonion.com.robots.reconstructed.txt", "https://theonion.com/feed/", True, True),
        ("theonion.com.robots.reconstructed.txt", "https://theonion.com/wp-json/x", False, False),
    ],
)
def test_the_real_robots_files_say_what_was_found_in_them(shared_data, file, url, allowed, reserved):
    rules = Rules("host", (shared_data / "robots" / file).read_text(), 200)
    assert rules.allows(url) is allowed
    assert bool(rules.reserved_for(url)) is reserved
