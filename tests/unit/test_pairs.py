"""Pairs for blind rating: what is shown, in which order, and that nothing shown tells whose reply it is."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import rated
from tests.examples import examples
from twainbot.evals import pairs
from twainbot.evals.pairs import ADAPTER, BASE, Step
from twainbot.records import GENERATION, frame


def test_only_talk_that_both_arms_answered_is_rated_and_of_the_final_arm_alone():
    base, tuned = rated.arms(3)
    more = [rated.generation("c09", "base", "Alone."), rated.generation("t1", "base", rated.CALL, "tool_calls")]
    other = [rated.generation("t1", rated.FINAL, rated.CALL, "tool_calls"), rated.generation("c00", "sft", "Earlier.")]
    found = pairs.pairs(
        pl.concat([base, frame(more, GENERATION)]), pl.concat([tuned, frame(other, GENERATION)]), rated.FINAL
    )
    assert sorted(pair.item for pair in found) == ["chat/c00", "chat/c01", "chat/c02"]
    assert all("river" in pair.adapter[0].text for pair in found)


def test_the_order_of_dialogues_is_drawn_and_a_further_case_moves_no_other():
    few, more = ([pair.item for pair in rated.made(count)] for count in (20, 21))
    assert few != sorted(few)
    assert [item for item in more if item in few] == few


def test_a_digest_is_of_all_that_a_rater_sees():
    same, changed = rated.made(3), rated.made(3, changed="c01")
    by_item = {pair.item: pair.digest for pair in same}
    differ = {pair.item for pair in changed if pair.digest != by_item[pair.item]}
    assert differ == {"chat/c01"}


@given(recipe=st.text(max_size=8), rater=st.text(max_size=8), item=st.text(max_size=8))
@settings(max_examples=examples(100), deadline=None)
def test_each_pair_shows_both_arms_once_and_the_same_way_each_time(recipe, rater, item):
    assert sorted(pairs.sides(recipe, item, rater)) == [ADAPTER, BASE]
    assert pairs.sides(recipe, item, rater) == pairs.sides(recipe, item, rater)


def test_the_adapter_stands_first_about_half_of_the_time_and_not_at_the_same_places_for_two_raters():
    items = [f"chat/c{number}" for number in range(400)]
    first = {rater: [pairs.sides("default", item, rater)[0] == ADAPTER for item in items] for rater in ("ann", "bo")}
    # 400 fair draws: sd 10, so 150 to 250 is five sd to each side
    assert all(150 < sum(found) < 250 for found in first.values())
    assert 150 < sum(a == b for a, b in zip(*first.values(), strict=True)) < 250


def test_calls_and_results_are_taken_apart_and_what_was_said_beside_them_stays():
    steps = [{"role": "assistant", "text": f"Let me look. {rated.CALL}"},
             {"role": "tool", "text": json.dumps(rated.RESULT)}, {"role": "assistant", "text": "Dry enough."}]  # fmt: skip
    assert pairs.shown(steps) == (
        Step("said", "Let me look."),
        Step("call", "get_forecast", (("location", "Crow Bend"), ("datetime", "tomorrow"))),
        Step("result", fields=(("location", "Crow Bend"), ("high (°F)", "71"), ("precipitation chance (%)", "30"))),
        Step("said", "Dry enough."),
    )


@pytest.mark.parametrize("text", ["<tool_call>{broken", '{"name": "get_forecast"}</tool_call>', "<b>&amp;", ""])
def test_what_is_no_sound_call_is_shown_as_it_was_written(text):
    assert pairs.shown([{"role": "assistant", "text": text}]) == (Step("said", text),)


@pytest.mark.parametrize("text", ["not json", "[1]"])
def test_a_tools_answer_that_is_no_object_is_shown_as_it_is(text):
    assert pairs.shown([{"role": "tool", "text": text}]) == (Step("result", text),)


def test_a_given_result_stands_before_both_replies():
    rows = [rated.generation("g1", arm, "Dry.", "grounding", result=json.dumps({"high_f": 71, "alerts": ["Flood", "Wind"]}))
            for arm in ("base", rated.FINAL)]  # fmt: skip
    (pair,) = pairs.pairs(frame(rows[:1], GENERATION), frame(rows[1:], GENERATION), rated.FINAL)
    assert pair.given == (Step("result", fields=(("high (°F)", "71"), ("alerts", "Flood, Wind"))),)
