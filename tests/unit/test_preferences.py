"""Preference pairs: each flaw is really there, the gate finds each, and the pair stays in its dialogue's split."""

from __future__ import annotations

import json
import random
from itertools import pairwise
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.examples import examples
from twainbot import personas
from twainbot.dialogues import grammar, preferences, quality, rows, seeds, talk
from twainbot.dialogues.tools import FORECAST_TOOL
from twainbot.evals.tool_calls import parse_calls, score
from twainbot.records import PREFERENCE

EXPECTED = {  # flaw -> problems, one of which the gate must name
    "wrong_number": {
        "ungrounded_number",
        "ungrounded_claim",
    },  # a figure that stands elsewhere in the result is a false claim
    "invented_alert": {"invented_alert"},
    "swapped_high_low": {"wrong_role"},
    "flat_voice": {"flat_voice"},
    "raw_data": {"raw_data"},
    "forecast_despite_failure": {"forecast_despite_failure"},
    "no_call": {"no_call"},
    "needless_call": {"argument_not_said"},
}
CHECKED = {  # flaw of a call -> what the checker of tool calls says of it
    "broken_json": "0 calls where 1 are right",
    "call_as_prose": "0 calls where 1 are right",
    "wrong_parameter": "get_forecast: ",
    "missing_argument": "is missing",
}
MEASURED = {"over_long", "off_persona"}  # no rule finds them
ANSWERED = [rows.turn("tool", '{"error":"timeout"}'), rows.turn("assistant", "It does not answer.")]
NO_PASSAGES = pl.DataFrame(schema={"chunk_id": pl.String, "style": pl.String, "text": pl.String})


def made(seed: int, pairs: int = 26) -> tuple[pl.DataFrame, pl.DataFrame]:
    wanted = seeds.DialogueSettings(tool_calls=120, no_tool_share=0.1, style_transfer=0, contrastive=pairs)
    frozen = seeds.make_seeds(NO_PASSAGES, "b0", wanted, seed)
    dialogues = talk.tool_calls(frozen)
    return dialogues, preferences.contrastive(frozen, dialogues)


def ending(pair: dict[str, Any], reply: str) -> dict[str, Any]:
    """The prompt and the reply as a dialogue; a reply that is a call becomes one, answered."""
    calls, _ = parse_calls(reply)
    last = [rows.call(*calls[0]["arguments"].values()), *ANSWERED] if calls else [rows.turn("assistant", reply)]
    return {"kind": "tool_calls", "turns": [*pair["prompt"], *last]}


@settings(max_examples=examples(6), deadline=None)
@given(st.integers(0, 2**31))
def test_the_gate_rejects_each_planted_flaw_and_passes_each_chosen_reply(seed):
    _, pairs = made(seed)
    assert set(pairs["flaw"]) == set(preferences.FLAWS)
    for pair in pairs.to_dicts():
        if pair["flaw"] in EXPECTED:
            found = [
                problem.partition(":")[0] for problem in quality.problems(ending(pair, pair["rejected"]), FORECAST_TOOL)
            ]
            assert EXPECTED[pair["flaw"]] & set(found), (pair["flaw"], pair["rejected"])
        if not parse_calls(pair["chosen"])[0]:
            assert quality.problems(ending(pair, pair["chosen"]), FORECAST_TOOL) == []


def test_every_flaw_is_found_by_a_rule_or_measured():
    assert {*EXPECTED, *CHECKED} | MEASURED == set(preferences.FLAWS)


def of(flaw: str, seed: int, pairs: int = 130) -> list[dict[str, Any]]:
    return [pair for pair in made(seed, pairs)[1].to_dicts() if pair["flaw"] == flaw]


@pytest.mark.parametrize("flaw", CHECKED)
def test_the_checker_of_tool_calls_passes_the_chosen_call_and_says_what_is_wrong_with_the_rejected_one(flaw):
    found = of(flaw, 11)
    assert len(found) >= 8
    for pair in found:
        (call,), faults = parse_calls(pair["chosen"])
        gold = [{call["name"]: {name: [value] for name, value in call["arguments"].items()}}]
        assert faults == []
        assert score([call], gold, [FORECAST_TOOL]).strict
        judged = score(parse_calls(pair["rejected"])[0], gold, [FORECAST_TOOL])
        assert not judged.strict
        assert CHECKED[flaw] in judged.errors[0], (judged.errors, pair["rejected"])


def test_broken_json_is_broken_in_several_ways_and_never_readable():
    kinds = [parse_calls(pair["rejected"])[1][0].kind for pair in of("broken_json", 12)]
    assert set(kinds) == {"invalid_json"}
    assert len({pair["rejected"][-16:] for pair in of("broken_json", 12)}) >= 3


def test_an_over_long_answer_holds_the_sound_one_and_two_and_a_half_times_its_words_and_breaks_no_rule():
    found = of("over_long", 13)
    assert len(found) >= 8
    for pair in found:
        assert pair["rejected"].startswith(pair["chosen"])
        assert len(pair["rejected"].split()) >= preferences.OVER_LONG * len(pair["chosen"].split())
        assert quality.problems(ending(pair, pair["rejected"]), FORECAST_TOOL) == []


@pytest.fixture
def brief():
    """A persona of one sentence, as a profile may bring it."""
    line = "That is all."
    told = json.dumps({"author": "Nobody Much", "style": "plain", "like": "twain", "system_prompt": "Speak plainly.",
                        "grammar": {"coda": line, "nod": line}})  # fmt: skip
    personas.use([personas.read(told, "brief", "personas/brief.yaml")], ("brief",))
    yield
    personas.use()


@pytest.mark.usefixtures("brief")
def test_a_persona_of_one_sentence_makes_no_over_long_answer_and_the_next_dialogue_serves():
    turns = [rows.turn("user", "Reno today?"), rows.call("Reno", "today"), *ANSWERED]
    sound = ANSWERED[1]["content"]
    spare, talkative = ({"turns": turns, "style_tags": [name, "single"]} for name in ("brief", "twain"))
    # "It does not answer." is 4 words, so 10 are wanted; the one sentence makes it 7
    assert preferences._MAKERS["over_long"](spare, random.Random(1)) is None
    assert len(preferences._MAKERS["over_long"](talkative, random.Random(1))[2].split()) >= 2.5 * len(sound.split())

    wanted = seeds.DialogueSettings(
        tool_calls=60, style_transfer=0, contrastive=len(preferences.FLAWS), personas={"brief": 0.9, "twain": 0.1}
    )
    frozen = seeds.make_seeds(NO_PASSAGES, "b0", wanted, 3)
    dialogues = talk.tool_calls(frozen)
    (pair,) = preferences.contrastive(frozen, dialogues).filter(flaw="over_long").to_dicts()
    assert dialogues.filter(conversation_id=pair["seed_id"])["style_tags"].item()[0] == "twain"


def literals(persona: str) -> set[tuple[str, str]]:
    """Every pair of neighboring words that stands in the lines of a persona's own grammar, slots and facts left out."""

    def strings(template: grammar.Template) -> list[str]:
        inner = [
            text for node in template if isinstance(node, grammar.Choice) for o in node.options for text in strings(o)
        ]
        return [*(node for node in template if isinstance(node, str)), *inner]

    own = grammar.load(persona).rules.keys() - grammar.load("facts").rules.keys()
    texts = [text for rule in own for line in grammar.load(persona).rules[rule] for text in strings(line.template)]
    return {pair for text in texts for pair in pairwise(quality.words_of(text))}


def test_an_off_persona_answer_has_fewer_of_its_personas_own_word_pairs_than_the_sound_one():
    own = {persona: literals(persona) for persona in ("twain", "franklin", "satirist")}

    def share(text: str, persona: str) -> float:
        words = quality.words_of(text)
        pairs = list(pairwise(words))
        return sum(pair in own[persona] for pair in pairs) / len(pairs)

    dialogues, pairs = made(14, 130)
    persona_of = {row["conversation_id"]: row["style_tags"][0] for row in dialogues.to_dicts()}
    gaps = [
        share(pair["chosen"], persona_of[pair["seed_id"]]) - share(pair["rejected"], persona_of[pair["seed_id"]])
        for pair in pairs.to_dicts()
        if pair["flaw"] == "off_persona"
    ]
    assert len(gaps) >= 8
    assert sum(gap > 0 for gap in gaps) >= 0.9 * len(gaps)
    assert sum(gaps) / len(gaps) > 0.1


def test_a_pair_reads_the_schema_that_its_dialogue_offers():
    tool = {
        "name": "day_report",
        "parameters": {
            "type": "object",
            "properties": {"town": {"type": "string"}, "scale": {"enum": ["F", "C"]}, "on": {"type": "string"}},
            "required": ["town"],
        },
    }
    call = {"tool_name": "day_report", "arguments": json.dumps({"town": "Reno", "scale": "F"})}
    turns = [
        rows.turn("user", "Reno, in Fahrenheit?"),
        {"role": "assistant", "content": "", "tool_call": call},
        *ANSWERED,
    ]
    row = {"turns": turns, "tools": json.dumps([{"type": "function", "function": tool}]), "style_tags": ["twain"]}
    rng = random.Random(3)
    renamed = parse_calls(preferences._MAKERS["wrong_parameter"](row, rng)[2])[0][0]["arguments"]
    assert "town" not in renamed
    assert set(renamed).isdisjoint({"on"})
    dropped = parse_calls(preferences._MAKERS["missing_argument"](row, rng)[2])[0][0]["arguments"]
    assert dropped == {"scale": "F"}
    small_talk = {**row, "turns": [rows.turn("user", "Good day."), rows.turn("assistant", "And to you.")]}
    needless = parse_calls(preferences._MAKERS["needless_call"](small_talk, rng)[2])[0][0]
    assert (needless["name"], needless["arguments"]["scale"]) == ("day_report", "F")


def test_two_calls_of_one_turn_are_not_taken_for_one():
    calls = [rows.call("Reno", "today"), rows.call("Elko", "today")]
    turns = [rows.turn("user", "Reno and Elko today?"), *calls, ANSWERED[0], ANSWERED[0], ANSWERED[1]]
    row = {"turns": turns, "tools": json.dumps([FORECAST_TOOL]), "style_tags": ["twain"]}
    rng = random.Random(1)
    for flaw in ("no_call", "broken_json", "wrong_number", "forecast_despite_failure"):
        assert preferences._MAKERS[flaw](row, rng) is None


def test_there_is_a_pair_for_each_seed_and_no_dialogue_serves_one_flaw_twice():
    _, pairs = made(1)
    assert pairs.schema == pl.Schema(PREFERENCE)
    assert len(pairs) == 26
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
