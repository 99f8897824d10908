"""Preference pairs: each flaw is really there, the gate finds each, and the pair stays in its dialogue's split."""

from __future__ import annotations

import json
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from twainbot.dialogues import preferences, quality, rows, seeds, talk
from twainbot.dialogues.tools import FORECAST_TOOL
from twainbot.evals.tool_calls import parse_calls
from twainbot.records import PREFERENCE

EXPECTED = {  # flaw -> a problem that the gate must name
    "wrong_number": "ungrounded_number",
    "invented_alert": "invented_alert",
    "swapped_high_low": "wrong_role",
    "flat_voice": "flat_voice",
    "forecast_despite_failure": "forecast_despite_failure",
    "no_call": "no_call",
    "needless_call": "argument_not_said",
}
ANSWERED = [rows.turn("tool", '{"error":"timeout"}'), rows.turn("assistant", "It does not answer.")]
NO_PASSAGES = pl.DataFrame(schema={"chunk_id": pl.String, "style": pl.String, "text": pl.String})


def made(seed: int, pairs: int = 21) -> tuple[pl.DataFrame, pl.DataFrame]:
    wanted = seeds.DialogueSettings(tool_calls=120, no_tool_share=0.1, style_transfer=0, contrastive=pairs)
    frozen = seeds.make_seeds(NO_PASSAGES, "b0", wanted, seed)
    dialogues = talk.tool_calls(frozen)
    return dialogues, preferences.contrastive(frozen, dialogues)


def ending(pair: dict[str, Any], reply: str) -> dict[str, Any]:
    """The prompt and the reply as a dialogue; a reply that is a call becomes one, answered."""
    calls, _ = parse_calls(reply)
    last = [rows.call(*calls[0]["arguments"].values()), *ANSWERED] if calls else [rows.turn("assistant", reply)]
    return {"kind": "tool_calls", "turns": [*pair["prompt"], *last]}


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 2**31))
def test_the_gate_rejects_each_planted_flaw_and_passes_each_chosen_reply(seed):
    _, pairs = made(seed)
    assert set(pairs["flaw"]) == set(preferences.FLAWS)
    for pair in pairs.to_dicts():
        found = [
            problem.partition(":")[0] for problem in quality.problems(ending(pair, pair["rejected"]), FORECAST_TOOL)
        ]
        assert EXPECTED[pair["flaw"]] in found, (pair["flaw"], pair["rejected"])
        if not parse_calls(pair["chosen"])[0]:
            assert quality.problems(ending(pair, pair["chosen"]), FORECAST_TOOL) == []


def test_there_is_a_pair_for_each_seed_and_no_dialogue_serves_one_flaw_twice():
    _, pairs = made(1)
    assert pairs.schema == pl.Schema(PREFERENCE)
    assert len(pairs) == 21
    assert pairs.select("seed_id", "flaw").is_duplicated().any() is False
    assert pairs["preference_id"].is_sorted()


def test_equal_seeds_give_equal_pairs():
    assert made(2)[1].equals(made(2)[1])


def test_a_pair_keeps_its_dialogues_seed_and_names_it_as_parent():
    dialogues, pairs = made(3)
    assert set(pairs["seed_id"]) <= set(dialogues["seed_id"])
    for pair in pairs.to_dicts():
        assert json.loads(pair["origin"])["parents"][0] == pair["seed_id"]


def test_where_no_call_was_made_the_chosen_answer_is_the_call_itself():
    pair = next(pair for pair in made(4)[1].to_dicts() if pair["flaw"] == "no_call")
    body = json.loads(pair["chosen"].removeprefix("<tool_call>\n").removesuffix("\n</tool_call>"))
    assert body["name"] == "get_forecast"
    assert set(body["arguments"]) == {"location", "datetime"}
    assert pair["prompt"][-1]["role"] == "user"


def test_swapping_changes_the_two_temperatures_and_nothing_else():
    pair = next(pair for pair in made(5)[1].to_dicts() if pair["flaw"] == "swapped_high_low")
    assert pair["chosen"] != pair["rejected"]
    assert sorted(quality.words_of(pair["chosen"])) == sorted(quality.words_of(pair["rejected"]))


def test_without_a_dialogue_that_can_bear_the_flaw_there_is_no_pair():
    dialogues, _ = made(6)
    frozen = seeds.make_seeds(NO_PASSAGES, "b0", seeds.DialogueSettings(tool_calls=0, contrastive=6), 6)
    assert preferences.contrastive(frozen, dialogues.clear()).is_empty()


def test_a_needless_call_stands_against_words_and_asks_for_a_place_that_nobody_named():
    pairs = [pair for pair in made(7)[1].to_dicts() if pair["flaw"] == "needless_call"]
    for pair in pairs:
        call = parse_calls(pair["rejected"])[0][0]
        assert parse_calls(pair["chosen"]) == ([], [])
        assert call["arguments"]["location"] not in " ".join(turn["content"] or "" for turn in pair["prompt"])
