"""The page: what it says, what it hides, what it never does."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from twainbot.evals import scorecard, verdicts
from twainbot.evals.grounding import Claim, judge
from twainbot.evals.scorecard import Metric, SampleDialogue, ScorecardInput, Step

FORECAST = {"location": "Hannibal, MO", "datetime": "tomorrow", "condition": "sunny", "high_f": 71}
ATTACK = '<script>alert("x")</script><img src=http://evil.example/x.png>'


def a_card(**changed):
    reply = f"Sunny in Hannibal tomorrow, a high of 99. {ATTACK}"
    steps = [
        Step("assistant", call={"name": "get_forecast", "arguments": {"location": ATTACK}}),
        Step("tool", '{"condition": "sunny"}'),
        Step("assistant", reply, claims=judge(reply, [FORECAST])),
    ]
    card = ScorecardInput(
        title="Test card",
        recipe="r1",
        profile="sample",
        run_id="run-1",
        created_at="2026-05-01",
        verdicts=[verdicts.copying([3]), verdicts.style([])],
        metrics=[
            Metric("Exact calls", 0.1, 0.6, n=40),
            Metric("Wrong replies", 0.2, 0.3, better="lower"),
            Metric("Rated", None, None),
        ],
        perplexity={"passages": [("base", 30.0), ("dapt", 20.0)]},
        tool_calls=[("exact", (0.1, 0.0, 0.2), (0.6, 0.5, 0.7))],
        losses={"sft": ([(0, 2.0), (1, 1.0)], [(1, 1.1)])},
        funnel=[("chunks", 100), ("kept", 90)],
        splits={"train": {"passage": 80}, "test": {"passage": 10}},
        dialogues=[SampleDialogue("One", "Will it rain?", [], steps)],
        lineage={"data": "abc123"},
        versions={"torch": "2.13.0"},
        notes=["A limit."],
    )
    return replace(card, **changed)


@cache
def the_page() -> str:
    """The card's page, drawn once: its figures take a second."""
    return scorecard.render_html(a_card())


def test_the_page_states_each_gate_with_its_state_and_sentence():
    page = the_page()
    assert '<span class="pill pass"' in page
    assert '<span class="pill not_run"' in page
    assert "The longest shared run is 3 words" in page
    assert "Not to be released." in page


def test_a_page_of_passes_says_so():
    page = scorecard.render_html(a_card(verdicts=[verdicts.copying([3])]))
    assert "Every gate passes." in page
    assert "may be released" in page


def test_a_rehearsal_is_unmissable_and_a_real_run_has_no_banner():
    page = scorecard.render_html(a_card(rehearsal="Only a sample."))
    assert '<div class="rehearsal" role="alert">' in page
    assert page.count("ehearsal") >= 4
    assert "Only a sample." in page
    assert '<div class="rehearsal"' not in the_page()


def test_model_text_is_escaped_everywhere():
    page = scorecard.render_html(a_card(title=ATTACK, notes=[ATTACK], lineage={ATTACK: ATTACK}))
    assert "<script" not in page
    assert "<img src=http" not in page
    assert "&lt;script&gt;" in page


def test_the_page_asks_no_server_for_anything():
    page = the_page()
    addresses = re.findall(r'(?:src|href|srcset|action)="([^"]*)"', page)
    assert addresses
    assert all(address.startswith("data:image/svg+xml;base64,") for address in addresses)
    assert "@import" not in page
    assert "url(" not in page
    assert "default-src 'none'" in page


def test_claims_are_highlighted_by_verdict():
    page = the_page()
    assert re.search(r'<mark class="contradicted" title="contradicted [^"]*71 F">99</mark>', page)
    assert re.search(r'<mark class="supported"[^>]*>Sunny</mark>', page)


def test_each_figure_comes_for_light_and_dark_and_in_words():
    page = the_page()
    assert page.count("<picture>") == page.count('prefers-color-scheme: dark)">') == 4
    assert 'alt="From raw chunks to samples. chunks 100; kept 90."' in page


def test_change_is_coloured_by_what_is_better():
    page = the_page()
    assert re.search(r'class="num better">▲ 50\.0 pts', page)
    assert re.search(r'class="num worse">▲ 10\.0 pts', page)


def test_equal_input_gives_equal_bytes():
    assert scorecard.render_html(a_card()) == the_page()


def test_empty_parts_are_left_out():
    bare = ScorecardInput("T", "r", "p", "run", "now", [])
    page = scorecard.render_html(bare)
    assert "No gate was evaluated." in page
    for heading in ("Measured", "Dialogues", "Data", "Lineage", "Limits", "Base and adapter"):
        assert f"<h2>{heading}" not in page


@given(st.text(max_size=40), st.lists(st.tuples(st.integers(0, 45), st.integers(0, 45)), max_size=5))
def test_segments_join_to_the_text_whatever_the_claims(text, spans):
    claims = [Claim("day", "", "", None, a, b, "supported", "", "supported") for a, b in spans]
    assert "".join(part.text for part in scorecard.segments(text, claims)) == text


@pytest.mark.parametrize(
    ("verdict", "value", "shown"),
    [
        (verdicts.copying([3]), 3.0, "3 words"),
        (verdicts.style([]), 0.856, "85.6 %"),
        (verdicts.coding([], []), -0.05, "−5.0 pts"),
        (verdicts.perplexity([], seed=1), 0.8187, "0.819"),
        (verdicts.perplexity([], seed=1), float("inf"), "∞"),
        (verdicts.style([]), None, "–"),
    ],
)
def test_figures_carry_their_unit(verdict, value, shown):
    assert scorecard.figure(verdict, value) == shown


def test_a_gauge_keeps_order_and_stays_on_its_bar():
    verdict = verdicts.tool_calls([False] * 40, [True] * 30 + [False] * 10)
    gauge = scorecard.gauge(verdict)
    assert 0 <= gauge["bound"] < gauge["low"] < gauge["value"] < gauge["high"] <= 100
    assert scorecard.gauge(verdicts.style([])) is None


def test_an_infinite_interval_still_draws():
    rows = [verdicts.TextLoss("a", 2.0, 1.0, 1, "w"), verdicts.TextLoss("b", 2.0, 1.0, 1, "w")]
    assert "∞" in scorecard.render_html(a_card(verdicts=[verdicts.perplexity(rows, seed=1)]))
