"""Losses as rows: perplexity a token, bits a byte, by set, source and split."""

from __future__ import annotations

import math
from dataclasses import replace

import polars as pl
import pytest

from resources.scoring import places_of
from twainbot.evals import measure
from twainbot.evals.verdicts import TextLoss, Verdict
from twainbot.records import DAPT_ROW, frame

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
