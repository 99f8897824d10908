"""Cards claim what the scorecard holds, and no more."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.unit.test_cards import MODEL
from twainbot.evals import verdicts
from twainbot.release import cards, figures

TWAIN = [
    verdicts.copying([3, 5], [0.01, 0.02]),
    verdicts.style([]),
    verdicts.tool_calls([True] * 3 + [False] * 61, [False] * 30 + [True] * 34),
    verdicts.no_call([True] * 4 + [False] * 20),
    verdicts.coding([False] * 4, [False] * 4),
]
FRANKLIN = [verdicts.wanted_calls([True] * 30 + [False] * 10)]
GIVEN = {"default": TWAIN, "franklin": FRANKLIN}
FACTS = replace(MODEL, verdicts=TWAIN, others={"franklin": FRANKLIN}, persona="Trained to speak as asked.")
RECORD = figures.record(GIVEN, profile="sample", base="some-base-135m", rehearsal=True)
CARD = cards.model_card(FACTS)


def test_a_card_written_from_its_scorecard_claims_nothing_more():
    assert figures.unsupported(CARD, RECORD) == []


def test_every_figure_of_every_verdict_is_printed():
    shown = {value for entries in RECORD["recipes"].values() for e in entries for value in e["shown"].values()}
    assert all(value in CARD for value in shown)


@pytest.mark.parametrize(
    ("old", "new", "extra"),
    [
        ("Trained to speak as asked.", "Trained to speak as asked, right 97% of the time.", ["97"]),
        ("## Limits\n", "## Limits\n\n- At most 3.7 of 1000 replies err.\n", ["3.7", "1000"]),
        ("| no_call | fail | 24 |", "| no_call | pass | 240 |", ["240"]),
        ("value: 0.1667", "value: 0.9667", ["0.9667"]),
        ("### franklin", "### franklin at 88", ["88"]),
    ],
)
def test_a_figure_that_the_scorecard_lacks_is_found(old, new, extra):
    assert old in CARD
    assert figures.unsupported(CARD.replace(old, new, 1), RECORD) == extra


def test_hashes_settings_and_code_are_no_claims():
    more = replace(FACTS, training={"seed": 4711, "rank": 16}, usage="```python\nmax_new_tokens=77\n```")
    assert figures.unsupported(cards.model_card(more), RECORD) == []


def test_a_scorecard_of_another_recipe_does_not_carry_the_card():
    other = figures.record({"franklin": FRANKLIN}, profile="sample", base="b", rehearsal=True)
    assert "64" in figures.unsupported(CARD, other)


@given(st.floats(min_value=0.0001, max_value=0.9999), st.integers(min_value=1, max_value=400))
def test_any_verdict_passes_into_a_card_and_back(value, n):
    verdict = verdicts.Verdict("no_call", "fail", n, value, 0.8, None, f"{n} rows.", better="higher")
    record = figures.record({"r": [verdict]}, profile="p", base="b", rehearsal=False)
    assert figures.unsupported(cards.model_card(replace(MODEL, verdicts=[verdict], limits=())), record) == []


def test_an_endless_interval_is_null_in_json():
    endless = verdicts.Verdict("x", "fail", 1, 2.0, 1.0, verdicts.Interval(0.0, float("inf")), "w", unit="ratio")
    entry = figures.record({"r": [endless]}, profile="p", base="b", rehearsal=False)["recipes"]["r"][0]
    assert (entry["low"], entry["high"], entry["shown"]["high"]) == (0.0, None, "inf")
