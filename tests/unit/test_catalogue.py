"""The pinned list and the Gutenberg feed's CSV."""

from __future__ import annotations

from collections import Counter

import pytest

from twainbot.corpora import catalogue
from twainbot.errors import BadConfig, UnreadableSource

HEAD = "Text#,Type,Issued,Title,Language,Authors,Subjects,LoCC,Bookshelves\n"


def test_the_pinned_list_holds_enough_of_each_voice():
    styles = Counter(row.style for row in catalogue.pinned())
    assert styles["twain"] >= 25
    assert styles["franklin"] >= 8
    assert styles["satire"] >= 5


def test_the_pinned_list_stays_under_a_hundred_units_and_names_each_once():
    units = [row.unit for row in catalogue.pinned()]
    assert len(units) == len(set(units)) < 100
    assert "pg245" in units


def test_pinned_rows_are_sorted_and_take_defaults():
    text = "works:\n  - {etext: 9, title: B, author: X, style: twain}\n  - {etext: 3, title: A, author: X, style: satire}\n"
    rows = catalogue.load_pinned(text)
    assert [row.etext for row in rows] == [3, 9]
    assert {(row.language, row.rights) for row in rows} == {("en", "public_domain_us")}


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "works"),
        ("works: []", "works"),
        ("works:\n  - {etext: 3, title: A, author: X, style: epic}\n", "style"),
        ("works:\n  - {etext: three, title: A, author: X, style: twain}\n", "etext"),
        ("works:\n  - {etext: 3, title: A, author: X, style: twain, rights: mine}\n", "rights"),
        ("works:\n  - {etext: 3, author: X, style: twain}\n", "title"),
        (
            "works:\n  - {etext: 3, title: A, author: X, style: twain}\n  - {etext: 3, title: B, author: X, style: twain}\n",
            "3",
        ),
    ],
)
def test_a_wrong_pinned_list_is_refused_by_name(text, named):
    with pytest.raises(BadConfig, match=named):
        catalogue.load_pinned(text)


def test_csv_titles_over_two_lines_and_doubled_quotes_are_one_line():
    raw = (HEAD + '63,Text,1993-04-01,"The Number ""e""\nand Others",en; fr,"Quill, Amos, 1835-1910",x,QA,\n').encode()
    (row,) = catalogue.read_pg_csv(raw)
    assert (row.title, row.language, row.author) == ('The Number "e" and Others', "en", "Amos Quill")


def test_csv_rights_are_unknown_since_the_feed_does_not_say():
    raw = (HEAD + '76,Text,1993-04-01,A Book,en,"Twain, Mark, 1835-1910",x,PS,\n').encode()
    assert [(row.style, row.rights) for row in catalogue.read_pg_csv(raw)] == [("twain", "unknown")]


def test_data_sets_and_sounds_are_left_out():
    raw = (HEAD + "65,Dataset,1993-05-01,Primes,en,Unknown,x,QA,\n66,Sound,1993-05-01,Song,en,Unknown,x,QA,\n").encode()
    assert catalogue.read_pg_csv(raw) == []


def test_other_columns_are_no_catalogue():
    with pytest.raises(UnreadableSource, match="Authors"):
        catalogue.read_pg_csv(b"Text#,Title\n1,A\n")


@pytest.mark.parametrize(
    ("authors", "name"),
    [
        ("Twain, Mark, 1835-1910", "Mark Twain"),
        ("Aesop, 621? BCE-565? BCE; Townsend, George Fyler, 1814-1900 [Translator]", "Aesop"),
        ("Raymond, Eric S., 1957- [Editor]; Steele, Guy L., 1954- [Editor]", "Eric S. Raymond"),
        ("Kemble, E. W. (Edward Windsor), 1861-1933 [Illustrator]; Twain, Mark, 1835-1910", "Mark Twain"),
        ("United States", "United States"),
        ("", ""),
    ],
)
def test_the_first_author_without_a_role_is_named_in_reading_order(authors, name):
    assert catalogue.first_author(authors) == name


@pytest.mark.shared
def test_the_real_catalogue_sample_agrees_with_the_pinned_list(shared_data):
    rows = {
        row.etext: row
        for row in catalogue.read_pg_csv((shared_data / "gutenberg" / "pg_catalog_sample.csv").read_bytes())
    }
    pinned = {row.etext: row for row in catalogue.pinned()}
    assert len(rows) == 14  # 15 records, one of them a data set
    shared = rows.keys() & pinned.keys()
    assert shared == {70, 74, 76, 86, 91, 93, 102}
    for number in shared:
        assert (rows[number].title, rows[number].author) == (pinned[number].title, pinned[number].author)


@pytest.mark.shared
def test_the_real_rdf_records_agree_with_the_pinned_list(shared_data):
    pinned = {row.etext: row for row in catalogue.pinned()}
    for path in sorted((shared_data / "gutenberg" / "rdf").glob("*.rdf")):
        row = pinned[int(path.stem.removeprefix("pg"))]
        record = path.read_text(encoding="utf-8")
        assert f"<dcterms:title>{row.title}</dcterms:title>" in record, path.name
        assert "Public domain in the USA." in record, path.name
        assert f"<pgterms:name>{row.author.split()[-1]}," in record, path.name
