"""Gates of stage evals: three states, never blocking. Pass is passed; inconclusive, not run and not measurable warn; fail
is an error that only the release stage acts on. The verdicts themselves are twainbot/evals/verdicts'.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

from checks.gates import Finding, Gate

if TYPE_CHECKING:
    import polars as pl

VERDICTS = {
    "perplexity": ("perplexity", "forgetting"),
    "style": ("copying", "voice"),
    "tool_calls": ("tool_calls", "wanted_calls", "no_call"),
    "grounding": ("weather_errors", "result_used"),
    "coding": ("coding", "code_loss"),
    "ratings": ("style",),
}


def gates(evaluation: str) -> list[Gate]:
    """One check per verdict that an evaluation gives."""
    return [
        Gate(f"verdict_{name}", f"Verdict `{name}`: value, bound, interval, n.", partial(verdict, name=name), blocking=False)
        for name in VERDICTS.get(evaluation, ())
    ] + (RATED if evaluation == "ratings" else [])  # fmt: skip


def verdict(rows: pl.DataFrame, name: str) -> Finding:
    """A verdict as a finding."""
    from twainbot.evals.measure import verdict_of

    found = rows.filter((rows["kind"] == "verdict") & (rows["name"] == name))
    if found.is_empty():
        return Finding(False, f"not run: {name} gave no verdict")
    given = verdict_of(found["payload"][0])
    why = f"{given.state.replace('_', ' ')}, n={given.n}: {given.why}"
    return Finding(given.state == "pass", why, given.value, given.bound, error=given.state == "fail")


def all_count(rows: pl.DataFrame) -> Finding:
    """Ratings left out: of replies that have changed, by another rubric, or lines that cannot be read."""
    import json

    left = [json.loads(text) for text in rows.filter(rows["name"] == "ratings_not_counted")["payload"].to_list()]
    lost = {row["reason"]: row["lines"] for row in left if row["reason"] != "replaced"}
    counted = rows.filter(rows["name"] == "rating").height
    why = ", ".join(f"{reason.replace('_', ' ')} {n}" for reason, n in lost.items())
    return Finding(
        not lost,
        f"{counted} ratings count, {sum(lost.values())} do not{f': {why}' if why else ''}",
        sum(lost.values()),
        0,
    )


def spoke(rows: pl.DataFrame) -> Finding:
    """Cases without a reply row, or none at all."""
    silent = rows.filter(rows["reply"].is_null())["case_id"].to_list()
    return Finding(
        rows.height > 0 and not silent, f"{rows.height} replies, {len(silent)} missing", len(silent), 0, silent
    )


def has_rows(rows: pl.DataFrame) -> Finding:
    """At least one row."""
    return Finding(rows.height > 0, f"{rows.height} rows", rows.height, 1)


def unjudged(judged: Iterable[str]) -> list[str]:
    """A sentence for each gate without a verdict, such as one that is newer than the table that should hold it."""
    known = set(judged)
    return [
        f"{name} has no verdict. Rematerialize evals/{evaluation}."
        for evaluation, names in VERDICTS.items()
        for name in names
        if name not in known
    ]


def all_judged(rows: pl.DataFrame) -> Finding:
    """Gates that the scorecard lacks."""
    absent = unjudged(rows["gate"])
    return Finding(not absent, absent[0] if absent else f"{rows.height} verdicts", len(absent), 0, absent)


def no_regression(rows: pl.DataFrame) -> Finding:
    """Recipes whose exact calls fell behind the best of the board by more than ten points."""
    scored = rows.drop_nulls("exact_normalised")
    best = float(scored["exact_normalised"].max() or 0.0) if scored.height else 0.0  # type: ignore[arg-type]
    behind = scored.filter(scored["exact_normalised"] < best - 0.1)["recipe"].to_list()
    return Finding(
        not behind, f"best exact-call rate {best:.0%}, {len(behind)} recipes over 10 points behind", best, None, behind
    )


RATED = [
    Gate("every_rating_counts", "No rating is of a reply that has changed, or unreadable.", all_count, blocking=False)
]
GENERATIONS = [Gate("every_case_answered", "Each case has a reply.", spoke)]
SCORECARD = [Gate("verdicts_present", "The scorecard holds a verdict of every gate.", all_judged)]
LEADERBOARD = [Gate("no_regression", "No recipe fell behind the best.", no_regression, blocking=False)]
EVALUATED = [Gate("has_rows", "The evaluation measured something, or says that it did not run.", has_rows)]
