"""Cutting keeps text tidy, keeps what is outside the spans, and knows where every hint stands afterwards."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot.corpora.normalize import tidy
from twainbot.corpora.page import MARKER_HINTS, NAME_HINTS, NOTE_HINTS, Page

HINTS = (*MARKER_HINTS, *NAME_HINTS, *NOTE_HINTS)
# halves of hints, so that a cut can join them, and the letters that a cut must not trip over
FRAGMENTS = st.sampled_from(
    ["tenb", "ten", "b", "START OF", " TH", "ranscri", "pgdp", ".net", "\n", "\n\n", " ", "é", "“", "𝔸", "x", "["]
)
TEXTS = st.lists(FRAGMENTS, max_size=30).map("".join).map(tidy)


def spans_in(data: st.DataObject, text: str) -> list[tuple[int, int]]:
    ends = st.integers(0, len(text))
    pairs = st.tuples(ends, ends).map(lambda pair: (min(pair), max(pair))).filter(lambda pair: pair[0] < pair[1])
    return data.draw(st.lists(pairs, max_size=5))


@settings(max_examples=examples(150), deadline=None)
@given(TEXTS, st.data())
def test_what_is_left_is_tidy_and_holds_exactly_what_was_outside_the_spans(text, data):
    spans = spans_in(data, text)
    left = Page(text).without(spans).text
    outside = "".join(c for at, c in enumerate(text) if not any(start <= at < end for start, end in spans))
    assert tidy(left) == left
    assert "".join(left.split()) == "".join(outside.split())


@settings(max_examples=examples(150), deadline=None)
@given(TEXTS, st.data())
def test_hints_are_known_after_a_cut_as_if_the_text_had_been_walked_again(text, data):
    left = Page(text).without(spans_in(data, text))
    expected = [at for at in range(len(left.text)) if left.text.startswith(HINTS, at)]
    assert left.places(HINTS) == Page(left.text).places(HINTS) == expected


def test_a_cut_that_joins_two_halves_of_a_hint_finds_it():
    assert Page("gu[Pg 9]tenberg").without([(2, 8)]).places(("tenb",)) == [2]
    assert Page("x ten[a]b y").without([(5, 8)]).places(("tenb",)) == [2]
    assert Page("tenbt[a]enb").without([(5, 8)]).places(("tenb",)) == [0, 4]  # one before the seam, one across it


def test_places_count_characters_and_not_bytes():
    assert Page("é“𝔸 tenb").places(("tenb",)) == [4]


def test_a_paragraph_that_goes_leaves_one_gap_between_its_neighbours():
    assert Page("a\n\nb\n\nc").without([(3, 4)]).text == "a\n\nc"
    assert Page("a\n\n\n\nb\n\n\n\nc").without([(5, 6)]).text == "a\n\n\n\nc"
