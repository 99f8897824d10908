"""The words that the UI has for columns are those of columns that there are, and no code version holds them."""

from __future__ import annotations

import polars as pl

from twainbot import records
from twainbot.dedupe.semantic import ALIKE
from twainbot.dialogues.routing import Judged, row_of
from twainbot.evals.statistics import wilson
from twainbot.provenance import OWN_PACKAGES
from twainbot_assets import columns, scorecards
from twainbot_assets.columns import OWN_COLUMNS, meanings


def test_a_record_has_the_words_beside_its_columns_and_others_have_their_own():
    assert meanings("chunks/local")["end"] == "exclusive"
    assert meanings("adapters/sft")["base"] == "name of the base model"
    assert meanings("adapters/router")["right"].startswith("number of prompts")
    assert "stage" not in meanings("adapters/router")
    assert meanings("nobodys/table") == {}


def test_words_stand_for_every_column_that_a_maker_writes_and_for_no_other():
    router = {"prompts", *row_of(Judged(4, 3, 0.75, wilson(3, 4), 0.5, 0.25)), "personas", "file", "router"}
    assert OWN_COLUMNS["adapters/router"].keys() == router
    assert OWN_COLUMNS["dedupe/semantic"].keys() == set(ALIKE)
    assert OWN_COLUMNS["evals/leaderboard"].keys() == set(scorecards.board(pl.DataFrame()).columns)
    assert {"llm_tone", "llm_rater"} <= meanings("chunks/local").keys() - records.CHUNK.keys()


def test_other_words_are_no_reason_to_train_again():
    assert columns.__name__.partition(".")[0] not in OWN_PACKAGES
