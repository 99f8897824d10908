"""A work's text is put right once: what is counted is what was changed, and a second time nothing is."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.normalize import tidy
from twainbot.corpora.repairs import TEXT_VERSION, repaired, total
from twainbot.corpora.works import works_from_unit

RIGHT = "“Don’t,” said the pilot – he’d had a café’s worth of it."
PIECES = (
    *("the pilot", " ", "\n", "\r\n", "-\n", "some-\n thing", "something", "ﬁ", "ſo", "Ⅷ", "Ａ１", "10²", "½", "\u00ad"),
    *("\u200b", "â€™", "Ã©", "Ã ", "Â\xa0", "â\x80\x99", "\ufeff", "e\u0301", "河", "\U0001f600", "…", "\x85", "ﬀ-\nect"),
)  # fmt: skip
TEXTS = st.lists(st.one_of(st.sampled_from(PIECES), st.text(max_size=6)), max_size=30).map("".join)


@settings(max_examples=examples(100), deadline=None)
@given(TEXTS)
def test_repairing_twice_is_repairing_once_and_never_empties_a_text(text):
    once = repaired(text)
    again = repaired(once.text)
    assert (again.text, again.places) == (once.text, {})
    assert once.text == tidy(once.text)
    if any(letter.isascii() and letter.isalnum() for letter in text):
        assert once.text


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_printable_ascii_is_left_alone_but_for_its_ends(text):
    assert repaired(text).text == text.rstrip().strip("\n")
    assert repaired(text).places == {}


@pytest.mark.parametrize("read_as", ["cp1252", "latin-1"])
def test_utf_8_read_as_another_encoding_is_mended_line_by_line(read_as):
    # Windows-1252 has no character for five bytes; "”" holds one of them
    given_text = RIGHT.replace("”", "“") if read_as == "cp1252" else RIGHT
    broken = given_text.encode().decode(read_as)
    found = repaired(f"{broken}\nA line of plain words.\n{RIGHT}")
    assert found.text == f"{given_text}\nA line of plain words.\n{RIGHT}"
    assert found.places["mojibake_lines"] == 1


def test_text_misread_twice_is_mended_too():
    assert repaired("café".encode().decode("latin-1").encode().decode("latin-1")).text == "café"


@pytest.mark.parametrize(
    "good", ["Voilà l’été, « à bientôt »", "São Paulo, Ålesund, Ñandú", "naïve façade – Ærøskøbing", "£5 ½"]
)
def test_right_letters_with_accents_are_no_mojibake(good):
    assert repaired(good).text == good


def test_what_one_glyph_writes_for_several_letters_is_spelled_out_and_numbers_stay_what_they_are():
    found = repaired("The ﬁrst ﬂoor of Ⅷ. Bleﬀing, ſaid he. Ｂ２. 10² is 100, and 1½ or ¼. № 4 ™ ª")
    assert found.text == "The first floor of VIII. Bleffing, said he. B2. 10² is 100, and 1½ or ¼. № 4 ™ ª"
    assert found.places == {"glyphs": 7}  # ﬁ ﬂ Ⅷ ﬀ ſ Ｂ ２


def test_line_ends_and_invisible_characters_are_counted():
    found = repaired("one\r\ntwo\rthree\u2028four so\u00adft and\u200b \ufeffwide")
    assert found.text == "one\ntwo\nthree\nfour soft and wide"
    assert found.places == {"line_ends": 3, "invisible": 3}


def test_a_divided_word_is_made_whole_only_where_the_text_writes_it_so_elsewhere():
    known = "A steamboat came. The steam-\nboat left to-\nday, and the to-day of the pilot-\nhouse."
    found = repaired(known)
    assert found.text == "A steamboat came. The steamboat\nleft to-\nday, and the to-day of the pilot-\nhouse."
    assert found.places == {"divided_words": 1}


@pytest.mark.parametrize(
    "text",
    [
        "A steamboat, a steam-boat, a steam-\nboat",  # both spellings: the text itself is of two minds
        "Steamboat! steam-\nBoat",  # a capital begins another word
        "twenty-one-\ntwo and onetwo",  # part of a longer chain
        "-\nand",
        "steamboat steam--\nboat",  # a dash
        "12-\n34 and 1234",
    ],
)
def test_other_hyphens_at_a_lines_end_stay(text):
    assert repaired(text).text == text


def test_a_work_says_which_version_repaired_it_and_what(tmp_path):
    raw = "The ﬁrst pilot.\r\nThe second pilot.\r\n".encode()
    [row] = works_from_unit("local", "pilots", raw).iter_rows(named=True)
    assert row["text"] == "The first pilot.\nThe second pilot."
    assert row["normaliser_version"] == TEXT_VERSION
    assert json.loads(row["repairs"]) == {"glyphs": 1}  # the line ends were evened out when the file was read


def test_repairs_of_many_works_are_summed():
    assert total(['{"glyphs": 2}', None, "{}", '{"glyphs": 1, "invisible": 4}']) == {"glyphs": 3, "invisible": 4}


@pytest.mark.slow
@pytest.mark.shared
def test_real_books_lose_no_word_and_stay_as_they_are_the_second_time(shared_data):
    for file in sorted((shared_data / "gutenberg" / "old").glob("*.txt")):
        rows = works_from_unit("gutenberg", file.stem, file.read_bytes()).filter(pl.col("reject_reason").is_null())
        for text in rows["text"]:
            assert repaired(text).places == {}
            assert repaired(text).text == text
