"""Replies of two arms and ratings of them, for tests of the review."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import polars as pl

from twainbot.evals import pairs, rubric
from twainbot.evals.ratings import PERSON, Given
from twainbot.records import GENERATION, frame

RECIPE, FINAL = "default", "preference"
CALL = '<tool_call>{"name": "get_forecast", "arguments": {"location": "Crow Bend", "datetime": "tomorrow"}}</tool_call>'
RESULT = {"location": "Crow Bend", "high_f": 71, "precipitation_chance": 30, "alerts": []}


def generation(case: str, arm: str, text: str, suite: str = "chat", **changes: Any) -> dict[str, Any]:
    """A row of records.GENERATION whose only step is the reply."""
    steps = changes.pop("steps", [{"role": "assistant", "text": text, "call": None}])
    return {
        "case_id": case, "suite": suite, "arm": arm, "prompt": f"What of {case}?", "reply": text,
        "steps": json.dumps(steps), "expected": None, "result": None, **changes,
    }  # fmt: skip


def arms(count: int = 3, changed: str = "") -> tuple[pl.DataFrame, pl.DataFrame]:
    """Base and adapter on so many chats; `changed`: the case whose adapter reply is a new one."""
    names = [f"c{number:02d}" for number in range(count)]
    base = [generation(name, "base", f"A plain word on {name}.") for name in names]
    tuned = [
        generation(name, FINAL, f"The river told me of {name}{' twice' if name == changed else ''}.") for name in names
    ]
    return frame(base, GENERATION), frame(tuned, GENERATION)


def made(count: int = 3, changed: str = "") -> list[pairs.Pair]:
    """The pairs of `arms`."""
    return pairs.pairs(*arms(count, changed), FINAL)


def given(pair: pairs.Pair, rater: str = "Ann", arm: str = "adapter", score: float = 5, **changes: Any) -> Given:
    """One rating."""
    fields = {"kind": PERSON, "style": score, "humor": score, "factuality": score, "pair": pair.digest,
              "rubric": rubric.load().version, "place": "first", "rated_at": "2026-11-26T12:00:00+00:00"}  # fmt: skip
    return Given(RECIPE, pair.item, arm, rater, **{**fields, **changes})


def lines(count: int, good: int, *raters: str, base: float = 2, bad: float = 2, **changes: Any) -> list[dict[str, Any]]:
    """Lines of a file: each rater gives 5 to the first `good` of the adapter, `bad` to its others, `base` elsewhere."""
    rows = []
    for rater in raters:
        for number, pair in enumerate(made(count)):
            rows.append(asdict(given(pair, rater, "adapter", 5 if number < good else bad, **changes)))
            rows.append(asdict(given(pair, rater, "base", base, **changes)))
    return rows
