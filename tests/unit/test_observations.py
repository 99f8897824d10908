"""Bulletins as observations: which periods are taken, and what day they mean."""

from __future__ import annotations

import json
from datetime import date

import polars as pl
import pytest

from twainbot.dialogues.observations import day_of, observations
from twainbot.errors import BadInput

FACT = {
    "period": "Wednesday Night", "location": "Lewis, Marion", "cities": ["CANTON", "Hannibal"], "condition": "Clear",
    "high_f": None, "low_f": 41, "precipitation_chance": None, "wind_mph": None, "wind_direction": None,
    "text": "Clear. Lows around 41.", "zones": ["MOZ018", "MOZ019"],
}  # fmt: skip
PASSAGES = pl.DataFrame({"chunk_id": ["w/1:0-90", "w/1:80-170"], "work_id": ["w/1", "w/1"]})


def works(
    *facts: dict[str, object], issued_at: str = "2026-10-06T15:15:00-05:00", work_id: str = "w/1"
) -> pl.DataFrame:
    return pl.DataFrame({"work_id": [work_id], "extra": [json.dumps({"issued_at": issued_at, "facts": facts})]})


def test_a_period_is_an_observation_for_each_of_its_towns():
    canton, hannibal = observations(works(FACT), PASSAGES)
    assert (canton.location, hannibal.location) == ("Canton, MO", "Hannibal, MO")
    assert (hannibal.day, hannibal.is_night, hannibal.condition) == (date(2026, 10, 7), True, "clear")
    assert (hannibal.low_f, hannibal.high_f, hannibal.chunk_id) == (41, None, "w/1:0-90")


@pytest.mark.parametrize(
    "changes",
    [{"cities": []}, {"zones": []}, {"condition": None}, {"low_f": None}, {"period": "Independence Day"}],
    ids=lambda changes: next(iter(changes)),
)
def test_a_period_that_leaves_out_what_an_answer_needs_gives_nothing(changes: dict[str, object]):
    assert observations(works({**FACT, **changes}), PASSAGES) == []


def test_bulletins_that_are_not_curated_or_not_dated_give_nothing():
    assert observations(works(FACT, work_id="w/2"), PASSAGES) == []
    assert observations(works(FACT, issued_at=""), PASSAGES) == []


@pytest.mark.parametrize(
    ("period", "day"),
    [("Today", 6), ("Tonight", 6), ("Tomorrow", 7), ("Wednesday", 7), ("Monday Night", 12), ("Tuesday", 13)],
)
def test_a_weekday_is_the_next_one_after_the_day_of_issue(period: str, day: int):
    tuesday = date(2026, 10, 6)
    assert day_of(period, tuesday) == date(2026, 10, day)


def test_missing_columns_are_named():
    with pytest.raises(BadInput, match="extra"):
        observations(pl.DataFrame({"work_id": ["w/1"]}), PASSAGES)
