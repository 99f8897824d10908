"""Gates of stage screened: every chunk has a decision and a reason, and a score that did not happen is no score."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from checks.gates import Finding, Gate, given, share

if TYPE_CHECKING:
    import polars as pl

    from twainbot.screening import ScreeningSettings

NOT_SCORED, NOT_DRAWN = "not_scored", "not_drawn"


def screen_gates(chunks: pl.DataFrame | None, max_rejected_share: float, weights_required: bool) -> list[Gate]:
    """The gates of one unit's decisions, given its chunks (None: names only) and the profile's bounds."""
    return [
        Gate("every_chunk_is_decided", "One decision of the closed set per chunk.", lambda rows: decided(rows, chunks)),
        Gate("every_row_scored_or_marked", "A toxicity between 0 and 1, or null and `not_scored`.", scored_or_marked),
        Gate(
            "untrainable_rights_never_pass",
            "Unknown or restricted rights are rejected.",
            lambda rows: rights_held(rows, chunks),
        ),
        Gate("reasons_are_given", "Whatever is not kept says why.", reasons_given),
        Gate(
            "toxicity_model_ran",
            "A toxicity model scored what the lexicon flagged and a sample of the rest. Without weights: not run.",
            model_ran,
            blocking=weights_required,
        ),
        Gate(
            "rejected_share_in_bounds",
            "Not more of a unit is rejected than the profile expects.",
            lambda rows: rejected_share(rows, max_rejected_share),
            blocking=False,
        ),
    ]


def decided(rows: pl.DataFrame, chunks: pl.DataFrame | None) -> Finding:
    """Chunks without a decision, decisions without a chunk, decisions outside the set."""
    chunks = given(chunks)
    from twainbot.records import DECISIONS

    have, want = rows["chunk_id"].to_list(), chunks["chunk_id"].to_list()
    odd = (
        sorted(set(have) ^ set(want))
        + rows.filter(~rows["decision"].is_in(list(DECISIONS), nulls_equal=True))["chunk_id"].to_list()
    )
    why = f"{len(have)} decisions for {len(want)} chunks, {len(odd)} at fault"
    return Finding(not odd and len(have) == len(want), why, len(odd), 0, odd)


def scored_or_marked(rows: pl.DataFrame) -> Finding:
    """A null score goes with `not_scored`, and only with it."""
    backend = rows["toxicity_backend"]
    marked = backend.eq_missing(NOT_SCORED)
    wrong = rows.filter(backend.is_null() | (marked != rows["toxicity"].is_null()))["chunk_id"].to_list()
    wrong += rows.filter((rows["toxicity"] < 0) | (rows["toxicity"] > 1))["chunk_id"].to_list()
    return Finding(
        not wrong, f"{len(wrong)} rows have a score without a scorer, or none in spite of one", len(wrong), 0, wrong
    )


def rights_held(rows: pl.DataFrame, chunks: pl.DataFrame | None) -> Finding:
    """Chunks that must not be trained on and were neither rejected nor left waiting for their rights alone."""
    chunks = given(chunks)
    from twainbot.records import TRAINABLE_RIGHTS

    barred = chunks.filter(~chunks["copyright_status"].is_in(list(TRAINABLE_RIGHTS), nulls_equal=True))[
        "chunk_id"
    ].to_list()
    # A review for want of rights is safe: no reviewer's word overrules that reason (twainbot/curation.py).
    waits = (rows["decision"] == "review") & rows["reasons"].list.contains("rights_unknown")
    held = (rows["decision"] == "reject") | waits
    passed = rows.filter(rows["chunk_id"].is_in(barred) & ~held.fill_null(value=False))["chunk_id"].to_list()
    return Finding(
        not passed, f"{len(barred)} chunks may not be trained on, {len(passed)} of them passed", len(passed), 0, passed
    )


def reasons_given(rows: pl.DataFrame) -> Finding:
    """Rows that are not kept and give no reason."""
    silent = rows.filter(rows["decision"].ne_missing("keep") & (rows["reasons"].list.len().fill_null(0) == 0))[
        "chunk_id"
    ].to_list()
    return Finding(not silent, f"{len(silent)} rows were not kept and give no reason", len(silent), 0, silent)


def model_ran(rows: pl.DataFrame) -> Finding:
    """Rows that no toxicity model scored though the cascade would have it so."""
    passed_over = rows["scored_because"].eq_missing(NOT_DRAWN)
    unscored = rows.filter((rows["toxicity_backend"] == NOT_SCORED) & ~passed_over).height
    if unscored:
        why = f"not run: {unscored} of {rows.height} chunks were not scored. Set TWAINBOT_TOXICITY_MODEL to a model folder"
        return Finding(False, why, unscored, 0)
    left = int(passed_over.sum())
    return Finding(True, f"{rows.height - left} of {rows.height} chunks scored, {left} not drawn by the cascade", 0, 0)


def rejected_share(rows: pl.DataFrame, bound: float) -> Finding:
    """Share of the unit's chunks that were rejected."""
    rejected = rows.filter(rows["decision"] == "reject")
    part = share(rejected.height, rows.height)
    return Finding(part <= bound, f"{rejected.height} of {rows.height} chunks rejected", part, bound)


def summary(rows: pl.DataFrame, bounds: ScreeningSettings | None = None) -> dict[str, Any]:
    """Counts by decision, and by reason; what the lexicon misses by the sample that the model scored.

    `bounds`: the profile's; without them the released ones. A miss is a score that they would send to review.
    """
    from twainbot.screening import ScreeningSettings
    from twainbot.screening.cascade import miss_rate

    bounds = bounds or ScreeningSettings()

    decisions = dict(rows["decision"].value_counts(sort=True).iter_rows())
    reasons = rows["reasons"].explode().drop_nulls().value_counts(sort=True).head(12).iter_rows()
    return {
        **{name: int(decisions.get(name, 0)) for name in ("keep", "review", "reject")},
        "reasons": ", ".join(f"{reason} {count}" for reason, count in reasons) or "none",
        "sensitive_topics": _counted(rows["sensitive_topics"].explode()),
        "languages": _counted(rows["language"]),
        "scored_because": _counted(rows["scored_because"]),
        "miss_rate": str(miss_rate(rows, bounds.toxicity_review)),
        "toxicity_backend": ", ".join(rows["toxicity_backend"].unique().sort().to_list()),
    }


def _counted(values: pl.Series) -> str:
    counts = values.drop_nulls().alias("value").value_counts(sort=True)
    return ", ".join(f"{value} {count}" for value, count in counts.head(12).iter_rows()) or "none"
