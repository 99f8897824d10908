"""How far the taggers agree with labels that a reader gave to the same passages. The labels lie in samples/labels/."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from twainbot.errors import BadInput

LABELS = ("style", "tone", "topic", "weather", "satire")
# Relevance from which weather is present, and from which it is the subject: half a hit and two hits per 100 words,
# 1 - exp(-0.5 / 4) = 0.12 and 1 - exp(-2 / 4) = 0.39.
WEATHER_LEVELS = (0.118, 0.39)


def agreement(labels: pl.DataFrame, chunks: pl.DataFrame) -> pl.DataFrame:
    """Rows of (attribute, n, accuracy, kappa), one per attribute of LABELS, over the labelled chunks.

    `labels`: chunk_id and the LABELS; `chunks`: rows with the tag columns of records.CHUNK. kappa is Cohen's: 0 is what
    chance would give, 1 full agreement, null where both sides only ever say one thing. Raises BadInput where a labelled
    chunk is missing, since then the labels were made on another text.
    """
    tagged = chunks.select(
        "chunk_id",
        "style",
        "tone",
        "topic",
        weather=weather_level(pl.col("weather_relevance")),
        satire=pl.col("is_satire"),
    )
    rows = labels.join(tagged, on="chunk_id", how="left", suffix="_tagged", maintain_order="left")
    missing = rows.filter(rows["style_tagged"].is_null())["chunk_id"].to_list()
    if missing:
        found = f"{len(missing)} labelled chunks are not among the {chunks.height} given (first {missing[0]!r})."
        raise BadInput(f"{found} Label the chunks anew, or cut them as they were.")
    return pl.DataFrame(
        [
            {
                "attribute": name,
                "n": rows.height,
                "accuracy": (rows[name] == rows[f"{name}_tagged"]).mean(),
                "kappa": kappa(rows[name].to_list(), rows[f"{name}_tagged"].to_list()),
            }
            for name in LABELS
        ],
        schema={"attribute": pl.String, "n": pl.Int64, "accuracy": pl.Float64, "kappa": pl.Float64},
    )


def weather_level(relevance: pl.Expr) -> pl.Expr:
    """0 none or in passing, 1 present, 2 the subject."""
    present, subject = WEATHER_LEVELS
    return (relevance >= present).cast(pl.Int64) + (relevance >= subject).cast(pl.Int64)


def kappa(first: Sequence[object], second: Sequence[object]) -> float | None:
    """Cohen's kappa of two raters over the same items; None where chance alone would give full agreement."""
    n = len(first)
    observed = sum(a == b for a, b in zip(first, second, strict=True)) / n if n else 1.0
    expected = sum(first.count(value) * second.count(value) for value in set(first)) / n**2 if n else 1.0
    return (observed - expected) / (1 - expected) if expected < 1 else None
