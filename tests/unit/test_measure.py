"""Losses as rows: perplexity a token, bits a byte, by set, source and split."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import polars as pl
import pytest

from resources.scoring import places_of
from twainbot.evals import measure, pairs
from twainbot.evals.verdicts import TextLoss, Verdict
from twainbot.records import DAPT_ROW, frame
from twainbot_assets.scorecards import perplexities

# 100 tokens in 400 bytes; the adapter takes a tenth off the base's 200 nats
LOSSES = [TextLoss(f"local/river/{n}:0", 200.0, 180.0, 100, f"local/river/{n}", 400) for n in range(12)]
NEUTRAL = [TextLoss(f"neutral/{n}", 200.0, 202.0, 100, f"neutral/{n}", 400) for n in range(12)]
GROUPS = {loss.item: ("of_local", "in_test" if n % 2 else "in_validation") for n, loss in enumerate(LOSSES)}


def value(rows: pl.DataFrame, name: str, arm: str) -> float:
    """One metric."""
    return rows.filter((pl.col("name") == name) & (pl.col("arm") == arm))["value"].item()


def given(rows: pl.DataFrame) -> dict[str, Verdict]:
    """The verdicts by gate."""
    return {row["name"]: measure.verdict_of(row["payload"]) for row in rows.filter(kind="verdict").to_dicts()}


def test_bits_per_byte_are_nats_over_ln_two_and_bytes() -> None:
    rows = measure.perplexity({"dapt": {"passages": LOSSES}})
    assert value(rows, "perplexity_passages", "base") == pytest.approx(math.exp(200 / 100))
    assert value(rows, "bits_per_byte_passages", "base") == pytest.approx(200 / math.log(2) / 400)
    assert value(rows, "bits_per_byte_passages", "dapt") == pytest.approx(180 / math.log(2) / 400)


def test_a_set_without_bytes_has_no_bits() -> None:
    uncounted = [TextLoss("a", 2.0, 1.0, 1)]
    assert "bits_per_byte_passages" not in measure.perplexity({"dapt": {"passages": uncounted}})["name"].to_list()


def test_losses_are_told_by_source_and_by_split() -> None:
    rows = measure.perplexity({"dapt": {"passages": LOSSES}}, GROUPS)
    counts = {row["name"]: row["n"] for row in rows.filter(pl.col("arm") == "dapt").to_dicts()}
    assert [counts[f"bits_per_byte_{name}"] for name in ("of_local", "in_test", "in_validation")] == [12, 6, 6]


def test_forgetting_is_the_last_stages_and_learning_the_first_ones() -> None:
    rows = measure.perplexity({"dapt": {"passages": LOSSES}, "preference": {"passages": LOSSES, "neutral": NEUTRAL}})
    said = given(rows)
    assert said["perplexity"].value == pytest.approx(math.exp(-20 / 100))
    assert said["forgetting"].value == pytest.approx(math.exp(2 / 100))
    assert (said["perplexity"].state, said["forgetting"].state) == ("pass", "pass")


def test_the_perplexity_gate_says_whose_figure_it_is_and_what_became_of_it_at_the_end() -> None:
    """A scorecard once showed 0.797 as "adapter to base" beside a table whose adapter, the last one, was at 0.974."""
    worse = [replace(loss, adapter=loss.base * 1.5) for loss in LOSSES]
    rows = measure.perplexity({"dapt": {"passages": LOSSES}, "preference": {"passages": worse, "neutral": NEUTRAL}})
    alone = given(measure.perplexity({"dapt": {"passages": LOSSES}}))
    said = given(rows)
    end = math.exp(sum((loss.adapter - loss.base) / loss.size for loss in worse) / len(worse))
    assert said["perplexity"].value == alone["perplexity"].value
    assert said["perplexity"].why.startswith("Perplexity on held-out text after dapt: adapter to base is ")
    assert said["perplexity"].why.endswith(f"After preference, the last stage, it is {end:.3f}.")
    assert "last stage" not in alone["perplexity"].why
    assert said["forgetting"].why.startswith("Perplexity on neutral text after preference: ")


@pytest.mark.parametrize("nats", [80_200.0, math.inf])
def test_a_diverged_last_stage_is_told_in_figures_sentences_and_the_pages_plot(nats: float) -> None:
    """802 nats a token are e to the 802nd, which no float holds; the table has it as infinite, and no bar is drawn."""
    lost = [replace(loss, adapter=nats) for loss in LOSSES]
    ended = {"passages": lost, "neutral": [replace(loss, adapter=nats) for loss in NEUTRAL]}
    rows = measure.perplexity({"dapt": {"passages": LOSSES}, "preference": ended})
    assert value(rows, "perplexity_passages", "preference") == math.inf
    said = given(rows)
    assert (said["perplexity"].state, said["forgetting"].state) == ("pass", "fail")
    assert said["perplexity"].why.endswith("After preference, the last stage, it is not finite.")
    drawn = perplexities(rows)["passages"]
    assert [stage for stage, _ in drawn] == ["base", "dapt"]


def test_stages_that_come_in_alphabetical_order_as_dagster_hands_them_over_are_judged_in_the_curriculums() -> None:
    tuned = {"passages": LOSSES, "neutral": NEUTRAL}
    losses = {"dapt": {"passages": LOSSES}, "preference": tuned, "sft": {"passages": NEUTRAL}}
    rows = measure.perplexity(dict(sorted(losses.items())))
    given = {row["name"]: row["n"] for row in rows.filter(kind="verdict").to_dicts()}
    assert given == {"perplexity": len(LOSSES), "forgetting": len(NEUTRAL)}


def test_a_passage_belongs_to_its_source_and_its_split() -> None:
    rows = [
        {"sample_id": "jokes/one/3:0-9", "split": "test", "style": "joke", "text": "x", "token_count": 1},
        {"sample_id": "local/river/a:0-9", "split": "train", "style": "twain", "text": "x", "token_count": 1},
    ]
    assert places_of(frame(rows, DAPT_ROW)) == {"jokes/one/3:0-9": ("of_jokes", "in_test")}


# ---- what is said, and what of it was copied

TRAINED = "The river rose on the tenth and took the lower landing with it, and nobody would own that he had seen it go."
CALL = '<tool_call>{"name": "get_forecast", "arguments": {"location": "Reno"}}</tool_call>'


def exchange(*replies: str) -> dict[str, str]:
    """A generation in which a tool answers between the assistant's turns."""
    result = {"role": "tool", "text": '{"high_f": 71}'}
    steps = [step for text in replies for step in ({"role": "assistant", "text": text, "call": None}, result)]
    return {"steps": json.dumps(steps[:-1])}


def test_the_words_beside_a_call_are_spoken_and_the_call_and_its_result_are_not() -> None:
    assert measure.spoken(exchange(f"Let me ask. {CALL} A moment.", "Sunny, friend.")) == (
        "Let me ask.  A moment.\nSunny, friend."
    )
    assert measure.spoken(exchange(CALL, "Sunny, friend.")) == "Sunny, friend."


@pytest.mark.parametrize(
    "text", ["Let me ask.", f"Let me ask. {CALL}", f"{CALL[:-14]} Let me ask.", f"{CALL} {{not a call}}"]
)
def test_whatever_raters_read_the_gate_on_copying_reads(text: str) -> None:
    row = exchange(text, "Sunny, friend.")
    read = [step.text for step in pairs.shown(json.loads(row["steps"])) if step.kind == "said"]
    assert measure.spoken(row) == "\n".join(read)


def copying(replies: list[str], trained: list[str]) -> Verdict:
    """The verdict on copying."""
    return given(measure.table(measure.copied(replies, trained, "preference")))["copying"]


def test_what_was_copied_before_a_call_fails_the_gate_on_copying() -> None:
    row = exchange(f"{TRAINED} {CALL}", "Sunny, friend.")
    found = copying([measure.spoken(row)], [TRAINED])
    assert (found.state, found.value) == ("fail", float(len(TRAINED.split())))


@pytest.mark.parametrize(
    ("replies", "trained"),
    [([TRAINED], []), ([TRAINED], ["", " \n"]), (["", ""], [TRAINED]), (["...", " — "], [TRAINED]), ([], [TRAINED])],
)
def test_where_one_side_has_no_word_nothing_was_compared(replies: list[str], trained: list[str]) -> None:
    found = copying(replies, trained)
    assert (found.state, found.n) == ("not_run", 0)
    assert found.why == "No reply was compared with the training text."


def test_one_reply_with_words_is_compared() -> None:
    assert copying(["", "Sunny, friend."], [TRAINED]).state == "pass"
