"""Personas compared: what differs as expected passes, what does not fails or stays open, and what is missing never passes."""

from __future__ import annotations

import json
from functools import cache

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import personas as gates
from twainbot.evals.measure import verdict_of
from twainbot.evals.personas import (
    PIECE_WORDS,
    Arm,
    Material,
    Prompt,
    Routed,
    Text,
    between,
    cut,
    evaluate,
    leaning,
    names_somebody,
    parts,
)

WORDS = {
    "twain": "river raft mud pilot yonder reckon steamboat wheel",
    "franklin": "thrift penny early industry virtue frugal maxim almanack",
    "satirist": "sources officials announced committee confirmed statement reportedly spokesman",
}
OPENINGS = ["How does", "What makes", "Why is", "When did", "Who keeps", "Where goes", "Is there", "Can one", "Must we",
            "Does it", "Tell me", "Explain how"]  # fmt: skip
PROMPTS = [Prompt(f"p{n}", f"{opening} a kettle sing?") for n, opening in enumerate(OPENINGS)]


def voice(persona: str, seed: int, size: int = 14) -> str:
    """Words of a persona's own, in an order of its own, among words that all share."""
    own, rng = WORDS[persona].split(), np.random.default_rng(seed)
    return " ".join(rng.choice([*own, *own, "the", "and", "of", "a"], size=size))


TEXTS = [Text(f"{persona}/{n}", persona, voice(persona, 100 + n, 40), f"{persona}/{n}")
         for persona in WORDS for n in range(12)]  # fmt: skip


def arm(name: str, speaks: dict[str, str], better_at: str | None, calls: int = 3) -> Arm:
    """An arm that speaks so, and finds texts of one persona half a nat a token likelier than the base does."""
    losses = {text.id: 3.0 + 0.01 * n - (0.5 if text.persona == better_at else 0.0) for n, text in enumerate(TEXTS)}
    return Arm(name, speaks, {"passages": losses}, [True] * calls + [False] * (4 - calls))


def speech(persona: str | None, start: int = 0) -> dict[str, str]:
    return {p.id: voice(persona, start + n) if persona else "the and of a the and" for n, p in enumerate(PROMPTS)}


def half_way() -> Arm:
    """A mixture: a voice of both, and halfway between both in loss."""
    mixed = {p.id: f"{voice('twain', n, 7)} {voice('franklin', n, 7)}" for n, p in enumerate(PROMPTS)}
    losses = {
        text.id: 3.0 + 0.01 * n - (0.25 if text.persona in ("twain", "franklin") else 0.0)
        for n, text in enumerate(TEXTS)
    }
    return Arm("mixed", mixed, {"passages": losses})


def compared(
    arms: list[Arm], missing: dict[str, str] | None = None, routed: list[Routed] | None = None
) -> pl.DataFrame:
    mixtures = {"mixed": {"twain": 0.67, "franklin": 0.33}}
    return evaluate(arms, Material(PROMPTS, {"passages": TEXTS}, mixtures, missing or {}), routed or [])


def states(rows: pl.DataFrame) -> dict[str, str]:
    found = [verdict_of(text) for text in rows.filter(pl.col("kind") == "verdict")["payload"]]
    return {verdict.gate: verdict.state for verdict in found}


def all_arms() -> list[Arm]:
    personas = [arm(name, speech(name), name) for name in WORDS]
    return [arm("base", speech(None), None, calls=0), *personas, half_way()]


@cache
def all_good() -> pl.DataFrame:
    return compared(all_arms())


def test_adapters_that_speak_and_read_as_they_should_pass_every_comparison_and_a_mixture_stands_between():
    found = states(all_good())
    over = {gate: state for gate, state in found.items() if "_over_" in gate}
    assert len(over) == 2 * (3 * 2 + 3)  # style and loss: each persona over two others, and over the base
    assert set(over.values()) == {"pass"}
    assert (found["style_passages_mixed_between"], found["loss_passages_mixed_between"]) == ("pass", "pass")


def test_swapped_adapters_fail():
    base, twain, franklin, satirist, mixed = all_arms()
    twain.name, franklin.name = "franklin", "twain"
    rows = compared([base, twain, franklin, satirist, mixed])
    found = states(rows)
    for measure in ("style", "loss"):
        assert found[f"{measure}_passages_twain_over_franklin"] == "fail"
        assert found[f"{measure}_passages_franklin_over_twain"] == "fail"
        assert found[f"{measure}_passages_mixed_between"] == "fail"
        assert found[f"{measure}_passages_satirist_over_base"] == "pass"
    payloads = rows.filter(kind="verdict", name="loss_passages_mixed_between")["payload"]
    assert verdict_of(payloads.item()).why.startswith(
        "mixed has no place, as franklin leans to twain no less than twain: "
    )


def test_equal_adapters_are_inconclusive_and_never_pass():
    same = [arm(name, speech("twain"), "twain") for name in WORDS]
    found = states(compared([arm("base", speech("twain"), "twain"), *same]))
    assert {state for gate, state in found.items() if "_over_" in gate} == {"inconclusive"}


def test_what_was_never_trained_is_not_run_with_its_reason_and_no_gate_passes_on_it():
    base, twain, *_ = all_arms()
    why = {name: f"adapters/preference [{name}] was never materialized." for name in ("franklin", "satirist", "mixed")}
    rows = compared([base, twain], why)
    found = states(rows)
    assert found["loss_passages_twain_over_base"] == "pass"
    assert found["loss_passages_twain_over_franklin"] == found["style_passages_mixed_between"] == "not_run"
    verdict = next(json.loads(text) for text in rows["payload"] if text and "style_passages_franklin_over_base" in text)
    assert verdict["why"].startswith("adapters/preference [franklin] was never materialized.")
    judged = {gate.name: gate.judge(rows) for gate in gates.PERSONAS}
    assert not any(finding.passed or finding.error for finding in judged.values())
    assert "9 comparisons: 1 pass, 8 not run" in judged["personas_differ_in_style"].why


def test_fewer_than_ten_groups_decide_nothing_however_clear_the_difference():
    texts = [text for text in TEXTS if text.persona != "satirist" or int(text.id.split("/")[1]) < 9]
    found = states(evaluate(all_arms(), Material(PROMPTS, {"passages": texts}, {}, {}), []))
    assert found["loss_passages_satirist_over_twain"] == "inconclusive"
    assert found["loss_passages_twain_over_satirist"] == "pass"


def test_a_fail_among_the_comparisons_is_an_error_and_all_passes_pass():
    good, bad = all_good(), all_arms()
    bad[1].losses["passages"] = {text.id: 9.0 for text in TEXTS}
    found = {gate.name: (gate.judge(good), gate.judge(compared(bad))) for gate in gates.PERSONAS}
    assert found["personas_differ_in_loss"][0].passed
    assert found["personas_differ_in_loss"][1].error
    assert "loss_passages_twain_over_base: fail" in found["personas_differ_in_loss"][1].rows
    assert found["mixtures_stand_between"][0].passed
    assert not found["routed_replies_gain_style"][0].passed  # nothing was routed: not run


def routed(voices: dict[str, str]) -> list[Routed]:
    """Prompts that ask for two personas, answered by whom the mapping says, beside a base that talks like Twain."""
    return [
        Routed(Prompt(f"r{n}", f"{opening} like {asks}", asks), voices[asks], voice(voices[asks], n), voice("twain", n))
        for n, opening in enumerate(OPENINGS)
        for asks in ("franklin", "satirist")
    ]


def test_a_routed_reply_in_the_voice_asked_for_gains_and_one_in_another_does_not():
    rows = compared(all_arms(), routed=routed({name: name for name in WORDS}))
    assert states(rows)["routed_style_passages"] == "pass"
    assert rows.filter(pl.col("name") == "routed_to_the_one_asked").select("value", "n").row(0) == (1.0, 24)
    lost = compared(all_arms(), routed=routed(dict.fromkeys(WORDS, "twain")))
    assert states(lost)["routed_style_passages"] != "pass"
    assert lost.filter(pl.col("name") == "routed_to_the_one_asked")["value"][0] == 0.0


def test_calls_stand_beside_the_voices():
    calls = all_good().filter(pl.col("name") == "exact_calls")
    assert dict(calls.select("arm", "value").iter_rows()) == {"base": 0.0, **dict.fromkeys(WORDS, 0.75)}


def test_both_styles_weigh_the_same_however_many_texts_each_has():
    texts = [Text("a", "twain", "", "a"), *(Text(f"b{n}", "franklin", "", f"b{n}") for n in range(9))]
    values = leaning({"a": 2.0, **{f"b{n}": 3.0 for n in range(9)}}, texts, "twain")
    assert np.mean(values) == pytest.approx((3.0 - 2.0) / 2)


def test_the_two_heaviest_parts_are_the_ends_of_the_axis():
    assert parts({"franklin": 0.3, "satirist": 0.1, "twain": 0.6}) == ("twain", "franklin")


@given(st.integers(0, 400))
def test_pieces_are_the_text_in_order_less_a_tail_under_half_a_piece(count):
    words = [f"w{n}" for n in range(count)]
    pieces = cut(" ".join(words))
    kept = " ".join(pieces).split()
    assert kept == words[: len(kept)]
    assert len(words) - len(kept) < PIECE_WORDS / 2
    assert all(len(piece.split()) <= PIECE_WORDS for piece in pieces)


@pytest.mark.parametrize(
    "prompt", ["What would Twain say?", "as a SATIRIST", "Poor Richard on ladders", "Ask Franklin."]
)
def test_prompts_that_name_somebody_are_not_neutral(prompt):
    assert names_somebody(prompt)
    assert not names_somebody("If you had to run a newspaper, what would go on the front page?")


# mixtures and the router, as their gates see them


def mixture(**changes) -> pl.DataFrame:
    record = {**dict.fromkeys(gates.PARENTS, "abc"), "parents": {"twain": "1", "franklin": "2"}, "rank": 16}
    row = {"record": json.dumps(record), "identity_difference": 2e-7, "lost_share": 0.006, **changes}
    return pl.DataFrame([row])


def test_gates_of_a_mixture_pass_a_good_one_and_name_what_is_wrong_with_others():
    judge = {gate.name: gate.judge for gate in gates.MIXTURE}
    assert judge["half_and_half_is_the_whole"](mixture()).passed
    assert not judge["half_and_half_is_the_whole"](mixture(identity_difference=2e-6)).passed
    assert judge["mixture_loses_little"](mixture()).passed
    assert not judge["mixture_loses_little"](mixture(lost_share=0.2)).passed
    assert judge["parents_recorded"](mixture()).passed
    orphan = json.dumps({**dict.fromkeys(gates.PARENTS, "abc"), "parents": {}})
    assert judge["parents_recorded"](mixture(record=orphan)).rows == ["parents"]


def test_gates_of_the_router_want_it_readable_and_above_chance():
    from twainbot.dialogues.routing import Example, fit, judge, row_of

    router = fit([Example("twain, a word", "twain", True), Example("franklin, a word", "franklin", True)])
    asked = [Example(f"{name}, number {n}", name, True) for n in range(12) for name in ("twain", "franklin")]
    good = pl.DataFrame([{"prompts": "held_out", **row_of(judge(router, asked)), "router": router.to_json()}])
    swapped = [Example(one.prompt, "twain" if one.persona == "franklin" else "franklin", True) for one in asked]
    bad = pl.DataFrame([{"prompts": "held_out", **row_of(judge(router, swapped)), "router": "{}"}])
    by_name = {gate.name: gate.judge for gate in gates.ROUTER}
    assert by_name["router_reads_back"](good).passed
    assert by_name["router_beats_chance"](good).passed
    assert "24 of 24 right" in by_name["router_beats_chance"](good).why
    assert not by_name["router_reads_back"](bad).passed
    assert not by_name["router_beats_chance"](bad).passed


def test_parts_that_lean_alike_give_a_mixture_no_place_between_them():
    alike = [0.1 * number for number in range(12)]
    axis = {"twain": alike, "mixed": alike, "franklin": alike}
    found = between("gate", axis, [str(number) for number in range(12)], "twain", "mixed", "franklin")
    told = json.loads(found["payload"])
    assert "mixed has no place, as franklin leans to twain no less than twain" in told["why"]
    assert told["state"] == "inconclusive"
