"""Joke collections in each of their forms, and the reasons for which a joke is left out."""

from __future__ import annotations

import json
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.corpora.joke_quality import capital_share, is_english, kind, mend, quality_reason, split_riddle
from twainbot.corpora.jokes import MAX_RECORD_LINES, joke_text, json_lines, parse_jokes, reject_reason
from twainbot.corpora.works import Sidecar, works_from_unit
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
        None, "too_short", "too_long", "duplicate_text", "markup", "mostly_symbols", "empty", "too_many_capitals", "no_answer",
    }  # fmt: skip


def jsonl(*records) -> bytes:
    return "\n".join(json.dumps(record) for record in records).encode()


def reasons(rows) -> list:
    return [row["reject_reason"] for row in rows]


def mended(text: str) -> tuple[str, dict]:
    counts: dict[str, int] = {}
    return mend(text, counts), counts


def test_a_byte_order_mark_and_semicolons_are_no_part_of_the_first_column():
    (row,) = parse_jokes(f"\ufeffid;joke\n9;{TWO.replace(';', ',')}\n".encode(), "a.csv")
    assert row["id"] == "9"


def test_line_breaks_of_windows_inside_a_cell_are_kept_as_one():
    (row,) = parse_jokes(b'id,joke\r\n1,"How deep is it?\r\nDeep enough for the hat."\r\n', "a.csv")
    assert row["text"] == "How deep is it?\nDeep enough for the hat."


def test_a_quote_that_is_never_closed_costs_its_own_line_only():
    lines = [
        "id,joke",
        f'1,"{ONE}"',
        '2,"A quote that never',
        *(f'{n},"Joke number {n} about a well."' for n in range(3, 9)),
    ]
    rows = parse_jokes("\n".join(lines).encode(), "a.csv")
    assert reasons(rows) == [None, "unbalanced_quote (line 3)", *[None] * 6]
    assert rows[1]["id"] == "line-3"
    assert rows[-1]["id"] == "8"


def test_a_quote_open_over_more_lines_than_a_joke_has_is_reported_where_it_opens():
    filler = [f"{n},Plain joke number {n} about a barometer." for n in range(2, 2 + 2 * MAX_RECORD_LINES)]
    rows = parse_jokes("\n".join(["id,joke", '1,"open', *filler]).encode(), "a.csv")
    assert len(rows) == 1 + len(filler)
    assert reasons(rows) == ["unbalanced_quote (line 2)", *[None] * len(filler)]


def test_a_quote_on_every_line_costs_each_line_once():
    raw = b"id,joke\n" + b'1,"open\n' * 3000 + f'3,"{ONE}"\n'.encode()
    rows = parse_jokes(raw, "a.csv")
    assert len(rows) == 3001
    assert rows[-1]["text"] == ONE


def test_quotes_that_csv_would_join_into_one_joke_are_a_reject():
    rows = parse_jokes(
        f'id,joke\n1,"half a joke\n2,"{ONE}"\n3,"He said "wet" to me twice."\n4,"{TWO}"\n'.encode(), "a.csv"
    )
    assert reasons(rows) == ["unbalanced_quote (line 2)", None, "unbalanced_quote (line 4)", None]


def test_a_tab_separated_file_may_know_no_quoting():
    rows = parse_jokes(f'id\tjoke\n1\t"Wet," said the pump to the mayor.\n2\t{ONE}\n'.encode(), "a.tsv")
    assert [row["text"] for row in rows] == ['"Wet," said the pump to the mayor.', ONE]


def test_a_cell_longer_than_csv_takes_is_a_reject_and_no_traceback():
    raw = f"id,joke\n1,{'a ' * 70_000}\n2,{TWO}\n".encode()
    assert reasons(parse_jokes(raw, "a.csv")) == ["malformed_row (line 2)", None]


def test_a_file_without_a_joke_column_is_refused_naming_its_columns():
    with pytest.raises(UnreadableSource, match=r"columns nr, witz.*columns:"):
        parse_jokes(f"nr;witz\n7;{ONE}\n".encode(), "w.csv")


def test_a_mapping_to_a_column_that_is_not_there_is_refused():
    with pytest.raises(UnreadableSource, match="mapped columns Witz"):
        parse_jokes(f"nr;witz\n7;{ONE}\n".encode(), "w.csv", {"text": "Witz"})


def test_title_and_body_are_joined_as_reddit_tells_them():
    records = [
        {"id": "x", "title": "My boat has a leak.", "body": "I charge it rent like any lodger.", "score": 12},
        {"id": "y", "title": "My hat blew off.", "body": "My hat blew off. The river wears it now."},
    ]
    rows = parse_jokes(json.dumps(records).encode(), "reddit.json")
    assert [row["text"] for row in rows] == [
        "My boat has a leak.\nI charge it rent like any lodger.",
        "My hat blew off. The river wears it now.",
    ]
    assert (rows[0]["setup"], rows[0]["extra"]) == ("My boat has a leak.", {"score": 12})


def test_mapped_columns_beside_the_joke_keep_the_names_of_the_mapping():
    mapping = {"title": "h", "body": "t", "category": "c", "rating": "r", "id": "k"}
    (row,) = parse_jokes(
        jsonl({"k": 0, "h": "How wet?", "t": "Wet enough to vote.", "c": "rain", "r": "4.5"}), "a.jsonl", mapping
    )
    assert (row["id"], row["extra"]) == ("0", {"category": "rain", "rating": 4.5})


def test_two_jokes_of_one_id_stay_two():
    rows = parse_jokes(jsonl({"id": 1, "joke": ONE}, {"id": 1, "joke": TWO}), "a.jsonl")
    assert [row["id"] for row in rows] == ["1", "1~2"]
    assert reasons(rows) == [None, None]


def test_a_broken_line_does_not_take_the_id_of_a_joke():
    raw = jsonl({"id": 2, "joke": ONE}) + b"\n{broken\n" + jsonl({"joke": TWO})
    assert [row["id"] for row in parse_jokes(raw, "a.jsonl")] == ["2", "line-2", "3"]


def test_what_no_table_can_store_is_replaced():
    lone = '{"joke": "A lone half \\ud83d of a smile in a joke.", "score": NaN, "tags": ["\\udc00"]}'
    row = parse_jokes(lone.encode() + b"\n" + jsonl({"joke": ONE}), "a.jsonl")[0]
    assert row["reject_reason"] == "undecodable"
    assert row["extra"] == {"score": None, "tags": ["\ufffd"]}
    works_from_unit("jokes", "u", lone.encode(), Sidecar(filename="a.jsonl", rights="cc0"))


def test_json_nested_beyond_reason_is_refused_or_recorded():
    deep = b"[" * 100_000
    with pytest.raises(UnreadableSource, match="not JSON"):
        parse_jokes(deep, "a.json")
    assert [reason for _, _, reason in json_lines(deep.decode())] == ["malformed_json (line 1)"]


def test_what_a_collection_marks_as_unfit_is_left_out():
    records = [{"joke": ONE, "flags": {"nsfw": True}}, {"joke": TWO, "over_18": False}]
    assert reasons(parse_jokes(json.dumps({"error": False, "jokes": records}).encode(), "a.json")) == [
        "flagged_nsfw",
        None,
    ]


def test_a_single_object_is_a_collection_of_one():
    assert [row["text"] for row in parse_jokes(json.dumps({"id": 1, "joke": ONE}).encode(), "a.json")] == [ONE]


def test_a_copy_is_found_whatever_its_case_and_punctuation():
    rows = parse_jokes(jsonl({"joke": ONE}, {"joke": ONE.upper().replace(",", " --").replace(".", "!!")}), "a.jsonl")
    assert reasons(rows) == [None, "duplicate_text"]


def test_a_rejected_copy_does_not_shut_out_the_good_one():
    rows = parse_jokes(jsonl({"joke": ONE.upper()}, {"joke": ONE}), "a.jsonl")
    assert reasons(rows) == ["too_many_capitals", None]


@pytest.mark.parametrize(
    ("told", "text", "count"),
    [
        ("Salt &amp; mud &#39;twice&#39;", "Salt & mud 'twice'", {"html_entities": 3}),
        ("Salt &amp;amp; mud", "Salt & mud", {"html_entities": 2}),
        ("It rained. (via @somebody)", "It rained.", {"source_note": 1}),
        ("It rained. [source: my uncle]", "It rained.", {"source_note": 1}),
        ("It rained.\n\nEDIT: thanks for the gold, kind stranger!", "It rained.", {"forum_edit": 1}),
        ("It rained. Edit 2: front page!\nWow.", "It rained.", {"forum_edit": 1}),
        ("**Edit:** spelling", "", {"forum_edit": 1}),
        ("Score: 1,204 It rained.", "It rained.", {"score_mark": 1}),
        ("It rained. (123 points)", "It rained.", {"score_mark": 1}),
        ("It rained.\n1.2k upvotes", "It rained.", {"score_mark": 1}),
        ("The river won by 3 points", "The river won by 3 points", {}),
        ("Score: 3-2 for the river.", "Score: 3-2 for the river.", {}),
        ("I edit: it is my trade.", "I edit: it is my trade.", {}),
        ("I came home (from the war)", "I came home (from the war)", {}),
        ("It rained (so my uncle says).", "It rained (so my uncle says).", {}),
    ],
)
def test_what_is_no_part_of_the_joke_is_mended_and_counted(told, text, count):
    assert mended(told) == (text, count)


def test_sentences_that_a_collection_ran_together_are_parted():
    told = 'The farmer looked at the sky and at his hat."Will it rain?"he asked the pump.The pump said nothing for a while.'
    tail = ' "It told me so last year.""Then it lies," said the wife, who had never in all her days believed a pump about rain.'
    text, counts = mended(told + tail)
    assert "pump. The pump" in text
    assert 'last year." "Then' in text
    assert 'his hat. "Will' in text
    assert counts == {"glued_sentences": 3}


@given(st.text(max_size=300))
def test_mending_twice_changes_nothing_that_mending_once_left(text):
    once = mended(text)[0]
    again, counts = mended(once)
    assert again == once or counts  # an entity of an entity of an entity is decoded one step at a time, and counted


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"setup": "Why did the river rise?", "punchline": ""}, "no_answer"),
        ({"setup": "Why did the river rise?", "punchline": "..."}, "near_empty_punchline"),
        ({"setup": "Why did the river rise?", "punchline": "[removed]"}, "near_empty_punchline"),
        ({"setup": "", "punchline": "Nobody told it to sit down."}, "no_setup"),
        ({"setup": "How many hats has the river?", "punchline": "7"}, None),
        ({"joke": "Why did the hen cross the levee?"}, "no_answer"),
        ({"joke": "What do you call a wet almanac?"}, "no_answer"),
        ({"joke": "Can a ferryman drown his own sorrows?"}, None),
        ({"joke": "Why did the hen cross the levee? To see the mayor off."}, None),
    ],
)
def test_a_question_needs_its_answer(record, reason):
    assert reasons(parse_jokes(jsonl(record, {"joke": ONE}), "a.jsonl"))[0] == reason


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (ONE, None),
        (ONE.upper(), "too_many_capitals"),
        ("The NOAA office in OKX says: RAIN.", None),
        ("It rained soooooooooooooo much on us.", "repeated_characters"),
        ("It rained so much on us!!!!!!!!", "repeated_characters"),
        ("I said nooooo, and the river rose.", None),
        ("Time flies like an arrow; fruit flies ______ a banana.", None),
        ("As u/mudlark said, it rained on us.", "forum_reference"),
        ("Please upvote if it rained on you.", "forum_reference"),
        ("Thanks for the upvotes, it rained on us.", "forum_reference"),
        ("He forgot and/or lost his hat in the rain.", None),
        ("Warum hat der Fluss einen Hut? Weil er nicht ohne den Hut aus dem Haus geht.", "non_english"),
        ("Il pleut sur la ville, et le maire dit que ce n'est pas pour les pauvres.", "non_english"),
        ("Почему река поднялась? Никто не сказал ей сидеть.", "non_english"),
        ("The waiter said bon appétit, and I said the same to him.", None),
        ("Obfuscated Reality Mappers can be useful database tools.", None),
    ],
)
def test_each_rule_of_quality_has_its_reason(text, reason):
    assert quality_reason(text) == reason


def test_capitals_are_counted_among_letters_only():
    assert capital_share("ABCDEFGHIJ klmnopqrst 12345 !!!") == 10 / 20
    assert capital_share("ABC") == 0.0


@given(st.text(alphabet=string.ascii_letters + " ,.!?'", max_size=200))
def test_a_text_with_the_english_articles_all_through_is_english(text):
    assert is_english(" the a and ".join(text.split()) + " the a and of to" * (1 + len(text.split())))


@pytest.mark.parametrize(
    ("text", "parts", "named"),
    [
        ("Q: How deep is it?\nA: Deep enough.", ("How deep is it?", "Deep enough."), "qa"),
        (
            "Why did the river rise? Nobody had told it to sit.",
            ("Why did the river rise?", "Nobody had told it to sit."),
            "qa",
        ),
        (ONE, ("", ""), "one_liner"),
        ("The judge asked me why? I said so.", ("", ""), "one_liner"),
        ("The ferry was late. " * 16, ("", ""), "story"),  # 16 times 4 words is 64, above 60
        ("Did you hear of the flood? " + "It went on and on. " * 14, ("", ""), "story"),
    ],
)
def test_a_jokes_kind_follows_from_its_parts(text, parts, named):
    joke = split_riddle(text.strip())
    assert ((joke.setup, joke.punchline), kind(joke)) == (parts, named)


def test_a_work_keeps_parts_kind_and_what_was_mended():
    record = {"id": 1, "setup": "Why did the river rise?", "punchline": "It wasn&#39;t told to sit.", "type": "wet"}
    frame = works_from_unit(
        "jokes", "dry", jsonl(record, {"id": 2, "setup": "", "punchline": ""}), Sidecar(filename="a.jsonl")
    )
    assert json.loads(frame["extra"][0]) == {
        "kind": "qa", "punchline": "It wasn't told to sit.", "setup": "Why did the river rise?", "type": "wet",
    }  # fmt: skip
    assert frame["warnings"].to_list()[0] == ["html_entities=1"]
    assert (frame["reject_reason"][1], frame["text"][1]) == ("empty", "")


@pytest.mark.parametrize(
    ("raw", "first"),
    [
        (jsonl({"joke": ONE}, {"joke": TWO}), ONE),
        (json.dumps([{"joke": ONE}], indent=1).encode(), ONE),
        (json.dumps({"jokes": [{"joke": ONE}]}, indent=1).encode(), ONE),
        (json.dumps({"jokes": [{"joke": ONE}]}).encode(), ONE),
        (b"\xef\xbb\xbf" + f"id,joke\n1,{ONE.replace(',', ';')}\n".encode(), ONE.replace(",", ";")),
        (f"id\tjoke\n1\t{ONE}\n".encode(), ONE),
    ],
)
def test_a_collection_without_a_file_name_is_known_by_its_beginning(raw, first):
    assert works_from_unit("jokes", "u", raw)["text"][0] == first


def test_a_licence_that_is_not_known_leaves_the_rights_unknown():
    frame = works_from_unit(
        "jokes", "u", jsonl({"joke": ONE}), Sidecar(filename="a.jsonl", rights="unknown", license="MIT")
    )
    assert frame["rights"].to_list() == ["unknown"]


def test_joke_text_joins_what_a_mapping_names():
    assert joke_text({"h": "How?", "t": "So."}, {"setup": "h", "punchline": "t"}) == "How?\nSo."


@pytest.mark.shared
@pytest.mark.parametrize("name", ["official_joke_api.json", "taivop_stupidstuff_sample.json"])
def test_every_entry_of_a_real_collection_is_a_work_or_a_reject(shared_data, name):
    raw = (shared_data / "jokes" / name).read_bytes()
    frame = works_from_unit("jokes", "real", raw, Sidecar(filename=name))
    assert frame.height == len(json.loads(raw))
    assert frame["work_id"].n_unique() == frame.height
    kept = frame.filter(frame["reject_reason"].is_null())
    assert not kept["text"].str.contains(r"&(?:quot|amp|#\d+);").any()


@pytest.mark.parametrize("filler", ["\n", " ", "edit ", "(via ", "1,", "q: ", "&amp;", "?"])
def test_a_text_of_nothing_but_filler_is_too_long_or_no_joke_and_costs_no_time(filler):
    told = filler * (200_000 // len(filler))
    (row, _) = parse_jokes(jsonl({"joke": told}, {"joke": ONE}), "a.jsonl")
    assert row["reject_reason"] in ("empty", "too_short", "too_long", "mostly_symbols")
