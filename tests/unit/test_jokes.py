"""Joke collections in each of their forms, and the reasons for which a joke is left out."""

from __future__ import annotations

import json

import pytest

from twainbot.corpora.jokes import parse_jokes, reject_reason
from twainbot.errors import UnreadableSource

ONE = "My barometer fell, and the landlord charged me for the floor."
TWO = "I bought a dry well; the agent said that it was waterproof."


def test_csv_with_the_usual_columns_reads_itself():
    raw = f'ID,Joke\n1,"{ONE}"\n2,"{TWO}"\n'.encode()
    assert [(row["id"], row["text"]) for row in parse_jokes(raw, "short.csv")] == [("1", ONE), ("2", TWO)]


def test_a_mapping_names_other_columns_and_the_rest_is_kept():
    raw = f"nr;witz;thema\n7;{ONE};weather\n".encode()
    (row,) = parse_jokes(raw, "w.csv", {"text": "witz", "id": "nr"})
    assert (row["id"], row["text"], row["extra"]) == ("7", ONE, {"thema": "weather"})


def test_a_joke_over_two_csv_lines_is_one_joke():
    (row,) = parse_jokes(b'id,joke\n1,"How deep is it?\nDeep enough for the hat."\n', "a.csv")
    assert row["text"] == "How deep is it?\nDeep enough for the hat."


def test_a_ragged_csv_row_is_recorded_with_its_line():
    rows = parse_jokes(f'id,joke\n1,"{ONE}"\n2\n3,a,b,c\n'.encode(), "a.csv")
    assert [row["reject_reason"] for row in rows] == [None, "malformed_row (line 3)", "malformed_row (line 4)"]


def test_set_up_and_punchline_stand_on_two_lines():
    raw = json.dumps(
        [{"type": "general", "setup": "Why did the river rise?", "punchline": "Nobody had told it to sit."}]
    ).encode()
    (row,) = parse_jokes(raw, "a.json")
    assert row["text"] == "Why did the river rise?\nNobody had told it to sit."


@pytest.mark.parametrize("wrap", [lambda jokes: jokes, lambda jokes: {"version": 1, "jokes": jokes}])
def test_json_lists_are_found_bare_or_inside_an_object(wrap):
    raw = json.dumps(wrap([{"body": ONE}, TWO, 5])).encode()
    rows = parse_jokes(raw, "a.json")
    assert [row["text"] for row in rows] == [ONE, TWO, ""]
    assert rows[2]["reject_reason"] == "not_an_object (entry 3)"


def test_a_broken_json_line_is_recorded_and_the_others_stay():
    raw = "\n".join([json.dumps({"joke": ONE}), '{"joke": "half', "[1]", json.dumps({"joke": TWO})]).encode()
    reasons = [row["reject_reason"] for row in parse_jokes(raw, "a.jsonl")]
    assert reasons == [None, "malformed_json (line 2)", "not_an_object (line 3)", None]


def test_a_repeated_joke_is_rejected_whatever_its_typography():
    raw = "\n".join(
        json.dumps({"joke": joke}) for joke in (ONE, ONE.upper().replace(",", "  ,").replace("  ,", ","), TWO)
    ).encode()
    assert [row["reject_reason"] for row in parse_jokes(raw, "a.jsonl")] == [None, "duplicate_text", None]


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ONE, None),
        ("", "empty"),
        ("[deleted]", "removed"),
        ("Dam.", "too_short"),
        ("word " * 500, "too_long"),
        ("<p>Two men walk into a well.</p>", "markup"),
        ("Read this at https://example.org now", "markup"),
        ("ha ha ha ha ha ha 1234567890 !!!!!!!!!!!!!!!!!!", "mostly_symbols"),
        ("A caf� with a view of the mud flats.", "undecodable"),
    ],
)
def test_each_rule_has_its_reason(text, reason):
    assert reject_reason(text) == reason


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (b"", "a.jsonl"),
        (b"not json\nat all", "a.jsonl"),
        (b"{oops", "a.json"),
        (b"[]", "a.json"),
        (b"id,joke\n", "a.csv"),
        (b"PK\x03\x04xx", "a.csv"),
    ],
)
def test_files_without_a_joke_are_refused(raw, name):
    with pytest.raises(UnreadableSource):
        parse_jokes(raw, name)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("name", "rows"),
    [
        ("official_joke_api.json", 300),
        ("one_liner_joke_clean.json", 1000),
        ("pyjokes_en_neutral.jsonl", 100),
        ("taivop_stupidstuff_sample.json", 150),
    ],
)
def test_real_collections_read_without_a_mapping(shared_data, name, rows):
    found = parse_jokes((shared_data / "jokes" / name).read_bytes(), name)
    assert len(found) >= rows
    kept = [row for row in found if row["reject_reason"] is None]
    assert len(kept) > 0.85 * len(found)
    assert {row["reject_reason"] for row in found} <= {
        None, "too_short", "too_long", "duplicate_text", "markup", "mostly_symbols", "empty",
    }  # fmt: skip
