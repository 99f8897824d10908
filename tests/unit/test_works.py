"""The one door: raw bytes of any source to WORK rows, rejects included."""

from __future__ import annotations

import hashlib
import json

import polars as pl
import pytest
import yaml

from twainbot.corpora.material import Part
from twainbot.corpora.works import Sidecar, slug, works_from_unit
from twainbot.errors import BadUse, UnknownName, UnreadableSource
from twainbot.records import RIGHTS, STYLES, WORK, content_hash

STORY = (
    "It rained on Crow Bend for nine days, and on the tenth the river came up the street to see what was the matter."
)
BOOK = (
    "The Project Gutenberg eBook of Mud, by Amos Quill\n\nTitle: Mud\n\nAuthor: Amos Quill\n\n"
    "Release date: July 1, 2004 [eBook #99]\n\nLanguage: French\n\n*** START OF THE PROJECT GUTENBERG EBOOK MUD ***\n\n"
    f"{STORY}\n\n*** END OF THE PROJECT GUTENBERG EBOOK MUD ***\n"
)
FEED = (
    '<rss version="2.0"><channel><title>Messenger</title>'
    f"<item><title>Rain</title><link>https://example.org/r</link><description>{STORY}</description></item>"
    f"<item><title>Rain</title><link>https://example.org/s</link><description>{STORY} Again.</description></item>"
    "<item><title>Picture</title><link>https://example.org/p</link><description></description></item>"
    "</channel></rss>"
)
BULLETIN = (
    "\x01\n123\nFPUS53 KHNB 021745\nZFPHNB\n\nZone Forecast Product\nNational Weather Service Hannibal MO\n"
    "1145 AM CST Fri Jan 2 2026\n\nMOZ018-030545-\nMarion-\n1145 AM CST Fri Jan 2 2026\n\n"
    ".TONIGHT...Clear. Lows around 20.\n\n$$\n\x03"
)
TALK = json.dumps(
    {
        "conversation_id": "c 1",
        "turns": [{"role": "user", "content": "Rain?"}, {"role": "assistant", "content": "Ask."}],
    }
)
UNITS = {
    "gutenberg": ("pg99", BOOK, Sidecar()),
    "satire": ("messenger", FEED, Sidecar(license="CC0-1.0")),
    "jokes": (
        "dry",
        json.dumps({"id": "j1", "joke": STORY, "topic": "rain"}),
        Sidecar(filename="dry.jsonl", rights="cc0"),
    ),
    "weather": ("HNB-2026", BULLETIN, Sidecar()),
    "transcripts": ("log", TALK, Sidecar(rights="cc0")),
    "local": (
        "tales",
        f"# Tales\n\n## The Flood\n\n{STORY}\n",
        Sidecar(filename="tales.md", rights="cc0", style="twain"),
    ),
}


def works(source: str, **changes) -> pl.DataFrame:
    unit, text, sidecar = UNITS[source]
    return works_from_unit(source, unit, text.encode(), Sidecar(**{**sidecar.__dict__, **changes}))


def extra(frame: pl.DataFrame, row: int = 0) -> dict:
    return json.loads(frame["extra"][row])


@pytest.mark.parametrize("source", UNITS)
def test_every_source_gives_rows_of_the_work_schema(source):
    frame = works(source)
    assert dict(frame.schema) == dict(WORK)
    assert set(frame["source"]) == {source}
    assert set(frame["raw_sha256"]) == {hashlib.sha256(UNITS[source][1].encode()).hexdigest()}
    assert set(frame["rights"]) <= set(RIGHTS)
    assert set(frame["style"]) <= set(STYLES)
    assert frame.filter(pl.col("reject_reason").is_null())["text"].str.len_chars().min() > 10


@pytest.mark.parametrize("source", UNITS)
def test_the_same_bytes_give_the_same_rows(source):
    assert content_hash(works(source)) == content_hash(works(source))


@pytest.mark.parametrize("source", UNITS)
def test_the_time_of_retrieval_is_kept_but_is_no_content(source):
    later = works(source, retrieved_at="2026-11-01T00:00:00+00:00")
    assert set(later["retrieved_at"]) == {"2026-11-01T00:00:00+00:00"}
    assert content_hash(later) == content_hash(works(source))


@pytest.mark.parametrize("source", UNITS)
@pytest.mark.parametrize(
    "raw",
    [b"", b"\x00" * 64, b"\x89PNG\r\n\x1a\n" + bytes(range(256)), b"<!DOCTYPE html><html><body>404</body></html>"],
)
def test_unusable_bytes_raise_with_unit_and_source(source, raw):
    if source == "local" and b"html" in raw:
        return  # a drop folder may hold HTML
    with pytest.raises(UnreadableSource, match=source):
        works_from_unit(source, UNITS[source][0], raw, UNITS[source][2])


@pytest.mark.parametrize(
    ("source", "work_id"),
    [
        ("gutenberg", "gutenberg/pg99"),
        ("satire", "satire/messenger/rain-e81736"),  # sha256 of the item's link
        ("jokes", "jokes/dry/j1"),
        ("weather", "weather/HNB-2026/zfphnb-20260102-021745"),
        ("transcripts", "transcripts/log/c-1"),
        ("local", "local/tales/the-flood"),
    ],
)
def test_work_ids_name_source_unit_and_work(source, work_id):
    assert works(source)["work_id"][0] == work_id


def test_a_second_work_of_the_same_id_becomes_a_reject():
    jokes = [{"id": "j1", "joke": STORY}, {"id": "J1", "joke": f"{STORY} Again."}]
    frame = works_from_unit("jokes", "dry", json.dumps(jokes).encode(), Sidecar(filename="dry.json"))
    assert frame["work_id"].to_list() == ["jokes/dry/j1", "jokes/dry/j1~2"]
    assert frame["reject_reason"].to_list() == [None, "duplicate_work_id"]
    assert frame["text"].to_list()[1:] == [""]


def test_two_items_with_one_headline_and_two_links_stay_two_works():
    frame = works("satire")
    assert frame["work_id"].to_list() == [
        "satire/messenger/rain-e81736",
        "satire/messenger/rain-6b850f",
        "satire/messenger/picture-a88aad",
    ]
    assert frame["reject_reason"].to_list() == [None, None, "no_body"]


def test_a_later_state_of_a_feed_keeps_the_ids_of_its_items():
    older = (
        f"<item><title>Rain</title><link>https://example.org/q</link><description>{STORY} First.</description></item>"
    )
    later = FEED.replace("<item>", f"{older}<item>", 1)
    unit = (Part(FEED.encode()), Part(later.encode()))
    frame = works_from_unit("satire", "messenger", unit).filter(pl.col("reject_reason").is_null())
    assert set(works("satire")["work_id"][:2]) < set(frame["work_id"])
    assert frame.height == 3


def test_the_same_product_twice_in_a_unit_is_kept_once():
    frame = works_from_unit("weather", "HNB-2026", (BULLETIN * 2).encode(), Sidecar())
    assert frame["reject_reason"].to_list() == [None, "duplicate_work_id"]


def test_a_header_that_prints_another_number_is_warned_about():
    frame = works_from_unit("gutenberg", "pg245", BOOK.encode(), Sidecar())
    assert "header_prints_etext=99" in frame["warnings"].to_list()[0]
    assert extra(frame)["etext"] == 245


def test_a_second_edition_of_a_number_is_not_warned_about():
    frame = works_from_unit("gutenberg", "pg99-hfinn12", BOOK.encode(), Sidecar())
    assert not any(note.startswith("header_prints") for note in frame["warnings"].to_list()[0])


def test_what_a_sidecar_says_outweighs_the_header_except_on_restriction():
    frame = works("gutenberg", title="Mud, a Tale", author="A. Quill", rights="public_domain")
    assert frame.select("title", "author", "rights", "language").row(0) == (
        "Mud, a Tale",
        "A. Quill",
        "public_domain",
        "fr",
    )
    text = BOOK.replace("Title: Mud", "This is a COPYRIGHTED Project Gutenberg eBook\n\nTitle: Mud")
    assert (
        works_from_unit("gutenberg", "pg99", text.encode(), Sidecar(rights="public_domain_us"))["rights"][0]
        == "restricted"
    )


def test_a_book_with_no_header_and_no_catalogue_row_is_of_unknown_rights():
    frame = works_from_unit(
        "gutenberg", "pg99", f"{STORY}\n\nEnd of Project Gutenberg's Mud, by Amos Quill".encode(), Sidecar()
    )
    assert frame["rights"][0] == "unknown"
    assert frame["author"][0] == "Amos Quill"


def test_weather_is_public_domain_and_carries_its_facts():
    frame = works("weather")
    assert frame["rights"][0] == "public_domain"
    assert extra(frame)["facts"][0] | {"text": ""} == {
        "location": "Marion", "cities": [], "zones": ["MOZ018"], "period": "Tonight", "condition": "clear", "high_f": None,
        "low_f": 20, "precipitation_chance": None, "wind_mph": None, "wind_direction": None, "text": "",
    }  # fmt: skip
    assert extra(frame)["issued_at"] == "2026-01-02T11:45:00-06:00"


def test_transcripts_keep_their_turns():
    assert [turn["role"] for turn in extra(works("transcripts"))["turns"]] == ["user", "assistant"]


def test_overrides_change_one_heading_and_leave_the_others():
    text = f"## One\n\n{STORY}\n\n## Two\n\n{STORY}\n"
    sidecar = Sidecar(
        filename="a.md", rights="cc0", license="CC0-1.0", overrides={"Two": {"rights": "unknown", "license": "unknown"}}
    )
    frame = works_from_unit("local", "a", text.encode(), sidecar)
    assert frame.select("rights", "license").rows() == [("cc0", "CC0-1.0"), ("unknown", "unknown")]


def test_aphorisms_are_works_of_their_own():
    sidecar = Sidecar(filename="a.md", split="line", style="franklin", rights="cc0")
    frame = works_from_unit(
        "local", "a", b"# Sayings\n\n- Mud keeps what it is given.\n- Rain pays no rent.\n", sidecar
    )
    assert frame["work_id"].to_list() == ["local/a/0001", "local/a/0002"]
    assert frame["title"].to_list() == ["Mud keeps what it is given.", "Rain pays no rent."]


def test_jokes_without_a_file_name_are_read_by_their_first_character():
    for text in (json.dumps([{"joke": STORY}]), json.dumps({"joke": STORY}), f'id,joke\n1,"{STORY}"\n'):
        assert works_from_unit("jokes", "dry", text.encode(), Sidecar())["text"].to_list() == [STORY]


def test_a_sidecar_is_read_from_a_manifest_entry():
    entry = {
        "path": "local/a.md",
        "unit": "a",
        "title": "A",
        "rights": "cc0",
        "purpose": "x",
        "canaries": [],
        "url": None,
    }
    assert Sidecar.from_mapping(entry) == Sidecar(filename="a.md", title="A", rights="cc0")


@pytest.mark.parametrize("entry", [{"style": "epic"}, {"rights": "mine"}, {"overrides": {"One": {"rights": "mine"}}}])
def test_words_outside_the_vocabulary_are_bad_use(entry):
    with pytest.raises(BadUse, match="Use one of"):
        Sidecar.from_mapping(entry)


def test_an_unknown_source_is_answered_with_the_known_ones():
    with pytest.raises(UnknownName, match="gutenberg, jokes, local"):
        works_from_unit("novels", "x", b"text", Sidecar())


@pytest.mark.parametrize(
    ("text", "expected"),
    [("The Ferryman's Ledger", "the-ferrymans-ledger"), ("  A--B!  ", "a-b"), ("x" * 80, "x" * 60), ("éè", "")],
)
def test_slugs_are_short_and_plain(text, expected):
    assert slug(text) == expected


def test_every_sample_file_of_the_manifest_gives_usable_works(root):
    manifest = root / "samples" / "manifest.yaml"
    if not manifest.exists():
        pytest.skip("samples/manifest.yaml is not there")
    for entry in yaml.safe_load(manifest.read_text(encoding="utf-8"))["files"]:
        if entry["source"] not in UNITS:
            continue
        raw = (root / "samples" / entry["path"]).read_bytes()
        frame = works_from_unit(entry["source"], entry["unit"], raw, Sidecar.from_mapping(entry))
        assert frame["work_id"].is_unique().all(), entry["path"]
        kept = frame.filter(pl.col("reject_reason").is_null())
        assert len(kept) >= 0.9 * len(frame), entry["path"]


@pytest.mark.shared
def test_real_books_keep_their_unit_key_whatever_they_print(shared_data):
    frame = works_from_unit("gutenberg", "pg3189", (shared_data / "gutenberg" / "pg3189.txt").read_bytes(), Sidecar())
    assert frame["work_id"].to_list() == ["gutenberg/pg3189"]
    assert "header_prints_etext=3198" in frame["warnings"].to_list()[0]


def test_a_unit_of_several_documents_keeps_where_each_work_came_from():
    parts = (
        Part(BULLETIN.encode(), "https://example.org/one", "2026-07-04T00:00:00+00:00"),
        Part(b"", "https://example.org/two"),
        Part(BULLETIN.replace("092130", "092200").encode(), "https://example.org/three", "2026-07-05T00:00:00+00:00"),
    )
    rows = works_from_unit("weather", "HNB-2026", parts, Sidecar(url="https://example.org")).to_dicts()
    bad = [row for row in rows if row["reject_reason"]]
    assert [(row["url"], row["text"]) for row in bad] == [("https://example.org/two", "")]
    assert bad[0]["reject_reason"].startswith("unreadable: ")
    good = [row for row in rows if not row["reject_reason"]]
    assert {row["url"] for row in good} <= {"https://example.org/one", "https://example.org/three"}
    assert {row["raw_sha256"] for row in good} <= {hashlib.sha256(part.raw).hexdigest() for part in parts}
    assert all(row["retrieved_at"] for row in good)


def test_what_a_later_document_gives_again_is_taken_from_there_and_is_no_reject():
    parts = (Part(BULLETIN.encode(), "https://example.org/one"), Part(BULLETIN.encode(), "https://example.org/two"))
    rows = works_from_unit("weather", "HNB-2026", parts).to_dicts()
    assert {row["url"] for row in rows} == {"https://example.org/two"}
    assert all(row["reject_reason"] is None for row in rows)


def test_a_unit_of_unreadable_documents_only_is_refused_with_the_first_reason():
    with pytest.raises(UnreadableSource, match=r"Unit 'HNB-2026' of source 'weather'"):
        works_from_unit("weather", "HNB-2026", (Part(b""), Part(b"")))


def test_each_work_says_who_claims_its_rights_and_by_which_rule():
    [row] = works_from_unit("gutenberg", "pg245", BOOK.encode()).to_dicts()
    assert (row["rights"], row["rights_claim"], row["rights_rule"]) == ("public_domain_us", "header", "header_frees")
