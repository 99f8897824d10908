"""Numbers as prose writes them, in letters and hyphens that only look like the ones of the patterns."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.evals.claims import assertions
from twainbot.evals.grounding import judge
from twainbot.evals.numerals import in_ascii, number_of, numerals

FORECAST = {"location": "Wilkes-Barre, PA", "weekday": "Saturday", "condition": "sunny", "high_f": 71, "low_f": -5}
NO_BREAK, HYPHEN, EN_DASH = "\u2011", "\u2010", "\u2013"


@pytest.mark.parametrize("letter", ["ſ", "ı", "İ", "\N{KELVIN SIGN}"])
def test_every_letter_that_a_pattern_takes_for_an_ascii_one_is_written_as_that_one(letter):
    (meant,) = in_ascii(letter)
    assert meant.isascii()
    assert re.fullmatch(meant, letter, re.IGNORECASE)


@pytest.mark.parametrize(
    ("reply", "value"),
    [
        ("a high of ſeventy degrees", 70.0),
        ("a high of sıxty degrees", 60.0),
        ("A HIGH OF SİXTY DEGREES", 60.0),
        ("the mıd-60s", (63.0, 67.0)),
        ("the ſeventieſ", (70.0, 79.0)),
    ],
)
def test_a_number_in_letters_that_look_alike_is_read_and_shown_as_it_is_written(reply, value):
    (found,) = [a for a in assertions(reply) if a.kind == "temperature"]
    assert found.value == value
    assert found.text == reply[found.start : found.end]
    assert list(numerals(reply))
    assert number_of("ſeventy-ſix") == 76


@pytest.mark.parametrize("join", ["-", HYPHEN, NO_BREAK, EN_DASH])
def test_tens_and_units_are_one_number_whichever_hyphen_joins_them(join):
    reply = f"Seventy{join}one degrees on Saturday."
    assert [n.value for n in numerals(reply)] == [71]
    (claim,) = [c for c in judge(reply, [FORECAST]) if c.kind == "temperature"]
    assert (claim.value, claim.verdict, claim.text) == (71, "supported", f"Seventy{join}one degrees")


@pytest.mark.parametrize("ends", [f"60{EN_DASH}70", f"sixty{EN_DASH}seventy", f"60{NO_BREAK}70", "sixty to seventy"])
def test_a_dash_between_two_ends_keeps_its_range(ends):
    assert [a.value for a in assertions(f"Highs of {ends} degrees.")] == [(60, 70)]


def test_a_hyphen_that_no_line_breaks_at_is_a_minus_and_joins_a_town():
    minus = judge(f"A low of {NO_BREAK}5 degrees.", [FORECAST])
    assert [(c.value, c.verdict) for c in minus] == [(-5, "supported")]
    town = judge(f"Wilkes{NO_BREAK}Barre on Saturday: sunny.", [FORECAST])
    assert (town[0].text, town[0].verdict) == (f"Wilkes{NO_BREAK}Barre", "supported")


@given(st.text(alphabet=f"ſıİK{HYPHEN}{NO_BREAK}{EN_DASH} 70sevntyomid-'fºC", max_size=60))
def test_any_text_in_such_letters_is_judged_and_its_spans_hold(text):
    assert len(in_ascii(text)) == len(text)
    for claim in judge(text, [FORECAST]):
        assert text[claim.start : claim.end] == claim.text
