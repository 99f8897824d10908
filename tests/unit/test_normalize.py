"""The stored and the compared form of a text."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.corpora.normalize import fold, newlines, tidy


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r\r\n", "\r", "\f", "\u2028"])
def test_every_line_end_becomes_a_line_feed(end):
    assert newlines(f"one{end}two") == "one\ntwo"


def test_trailing_spaces_go_and_indentation_stays():
    assert tidy("  a verse \t\n    indented  \nplain") == "  a verse\n    indented\nplain"


@pytest.mark.parametrize(("blank", "kept"), [(1, 1), (3, 3), (4, 3), (9, 3)])
def test_at_most_three_blank_lines_stay_in_a_row(blank, kept):
    assert tidy("a" + "\n" * (blank + 1) + "b") == "a" + "\n" * (kept + 1) + "b"


def test_lines_of_spaces_count_as_blank():
    assert tidy("a\n  \n \n\t\n   \n \nb") == "a\n\n\n\nb"


def test_invisible_characters_go_and_odd_spaces_become_spaces():
    assert tidy("\ufeffso\u00adft\u200b and\u00a0wide\u2003here\x00\x1e") == "soft and wide here"


def test_composed_and_decomposed_accents_are_stored_alike():
    assert tidy("cafe\u0301") == tidy("caf\u00e9") == "caf\u00e9"


@given(st.text(max_size=300))
def test_tidy_is_idempotent_and_nfc(text):
    once = tidy(text)
    assert tidy(once) == once
    assert unicodedata.is_normalized("NFC", once)
    assert "\n" * 5 not in once
    assert once == "\n".join(line.rstrip() for line in once.split("\n"))


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("“It’s a goose—run!”", '"IT\'S  A\nGOOSE--RUN!"'),
        ("ﬁne", "FINE"),
        ("Straße", "STRASSE"),
        ("a‑b – c", "A-B - C"),
        ("two\r\n  lines", "Two Lines"),
    ],
)
def test_typography_case_and_line_breaks_fold_away(one, other):
    assert fold(one) == fold(other)


def test_different_words_do_not_fold_together():
    assert fold("a goose") != fold("a moose")


@given(st.text(max_size=200))
def test_fold_is_idempotent(text):
    assert fold(fold(text)) == fold(text)
