"""Records: rows become tables of exactly the schema, and a table's hash depends on its content alone."""

from __future__ import annotations

import hashlib
import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders as make
from tests.examples import examples
from twainbot import records
from twainbot.errors import BadInput
from twainbot.records import CHUNK, EDGE, TABLES, TURN, WORK, conform, content_hash, empty, frame, schema_of

ROWS = st.lists(
    st.fixed_dictionaries(
        {"a": st.text(max_size=8), "b": st.integers(-9, 9) | st.none(), "c": st.lists(st.text(max_size=3))}
    )
)
SCHEMA = {"a": pl.String, "b": pl.Int64, "c": pl.List(pl.String)}


@pytest.mark.parametrize("table", TABLES)
def test_an_empty_table_has_its_columns_and_conforms(table):
    assert empty(TABLES[table]).schema == pl.Schema(dict(TABLES[table]))
    assert frame([], TABLES[table]).equals(conform(empty(TABLES[table]), TABLES[table], table))


def test_a_missing_key_becomes_null_and_further_keys_become_columns_behind():
    rows = frame([{"b": "y", "a": "x", "more": 1}, {"a": "z", "b": "w"}], EDGE)
    assert rows.columns == [*EDGE, "more"]
    assert rows.rows() == [("x", "y", None, None, 1), ("z", "w", None, None, None)]


def test_a_key_that_only_a_later_row_has_is_not_lost():
    rows = frame([{"a": "x"}, {"a": "y", "late": "kept"}], {"a": pl.String})
    assert rows.rows(named=True) == [{"a": "x", "late": None}, {"a": "y", "late": "kept"}]


def test_tool_calls_keep_their_arguments_as_text_and_gain_no_nulls():
    [row] = make.dialogues().to_dicts()
    assert row["turns"] == make.talk_turns()
    assert make.dialogues().schema["turns"] == pl.List(TURN)


def test_columns_are_put_in_order_and_cast():
    rows = pl.DataFrame({"extra": [1], "jaccard": [1], "b": ["y"], "a": ["x"], "containment": [0.5]})
    made = conform(rows, EDGE, "dedupe/edges")
    assert made.columns == ["a", "b", "jaccard", "containment", "extra"]
    assert made.schema["jaccard"] == pl.Float64


def test_a_table_that_lacks_columns_is_refused_by_name():
    with pytest.raises(
        BadInput, match=r"Table dedupe/edges lacks the columns \['b', 'containment'\].*Rebuild the asset"
    ):
        conform(pl.DataFrame({"a": ["x"], "jaccard": [1.0]}), EDGE, "dedupe/edges")


def test_a_column_that_does_not_cast_is_refused_by_table():
    rows = pl.DataFrame({"a": ["x"], "b": ["y"], "jaccard": ["high"], "containment": [1.0]})
    with pytest.raises(BadInput, match="Table dedupe/edges has a column of the wrong type"):
        conform(rows, EDGE, "dedupe/edges")


@settings(max_examples=examples(50), deadline=None)
@given(ROWS, st.randoms())
def test_the_hash_does_not_depend_on_the_order_of_rows_or_columns(rows, rng):
    shuffled = rng.sample(rows, len(rows))
    names = rng.sample(list(SCHEMA), 3)
    assert content_hash(frame(shuffled, SCHEMA).select(names)) == content_hash(frame(rows, SCHEMA))


@settings(max_examples=examples(50), deadline=None)
@given(ROWS, ROWS)
def test_two_tables_hash_alike_exactly_where_they_hold_the_same_rows(one, other):
    listed, others = (sorted(repr([row[name] for name in SCHEMA]) for row in rows) for rows in (one, other))
    assert (content_hash(frame(one, SCHEMA)) == content_hash(frame(other, SCHEMA))) == (listed == others)


def test_the_hash_is_that_of_the_sorted_lines_however_many_are_taken_at_once(monkeypatch):
    works = make.works(
        *(make.work(text=text) for text in ("b\U0001f600", "b\ufb01", "b\u00e9", "B", "b\ue000", 'a"\n', "b"))
    )
    columns = sorted(set(works.columns) - set(records.VOLATILE))
    lines = sorted(
        json.dumps(row, sort_keys=True, ensure_ascii=False, default=str) for row in works.select(columns).to_dicts()
    )
    digest = hashlib.sha256(json.dumps([records.SCHEMA_VERSION, columns]).encode())
    digest.update("".join(f"{line}\n" for line in lines).encode())
    for at_once in (1, 2, 100):
        monkeypatch.setattr(records, "_LINES", at_once)
        assert content_hash(works) == digest.hexdigest()


def test_a_row_that_stands_twice_counts_twice():
    assert content_hash(make.works(make.work(), make.work())) != content_hash(make.works())


def test_the_time_of_retrieval_does_not_count_and_the_text_does():
    later = make.works(make.work(retrieved_at="2027-01-01T00:00:00+00:00"))
    assert content_hash(later) == content_hash(make.works())
    assert content_hash(later, volatile=()) != content_hash(make.works(), volatile=())
    assert content_hash(make.works(make.work(text="Otherwise."))) != content_hash(make.works())


def test_an_empty_table_of_other_columns_hashes_otherwise():
    assert content_hash(empty(CHUNK)) != content_hash(empty(WORK))


def test_a_new_schema_version_changes_every_hash(monkeypatch):
    before = content_hash(make.works())
    monkeypatch.setattr(records, "SCHEMA_VERSION", records.SCHEMA_VERSION + 1)
    assert content_hash(make.works()) != before


@pytest.mark.parametrize(
    ("table", "schema"),
    [
        ("chunks/local", CHUNK),
        ("corpora/gutenberg", WORK),
        ("dedupe/edges", EDGE),
        ("dedupe/signatures/jokes", records.SIGNATURE),
    ],
)
def test_a_table_is_bound_by_its_own_schema_or_its_stages(table, schema):
    assert schema_of(table) is schema


@pytest.mark.parametrize("table", ["base/model", "dedupe", "chunks2/local", ""])
def test_a_table_of_its_own_kind_is_bound_by_none(table):
    assert schema_of(table) is None


def test_a_column_means_what_the_comment_beside_it_says_in_its_own_table():
    assert records.meanings("chunks/local")["token_count"] == "exact, base tokenizer, no special tokens"
    assert records.meanings("curated/passages")["token_count"] == records.meanings("chunks/local")["token_count"]
    assert records.meanings("curated/rejects")["decision"] == "review | reject"
    assert records.meanings("screened/local")["decision"] == "one of DECISIONS"
    assert records.meanings("base/model") == {}


@pytest.mark.parametrize("table", TABLES)
def test_every_column_of_a_record_is_explained_and_no_other(table):
    assert records.meanings(table).keys() == TABLES[table].keys()
