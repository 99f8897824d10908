"""Samples that touch what lies in another split, such as a dialogue that compares two towns. Tying every such pair would
glue all towns into one group (measured: docs/decisions/0017); so these few are held back instead, and train nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import polars as pl

from twainbot.records import HELD_BACK, SPLITS


def hold_back(assignments: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """The assignments, in which every sample that straddles has the split `held_back`."""
    ids = list(straddling(assignments, samples))
    held = pl.col("sample_id").is_in(ids)
    return assignments.with_columns(split=pl.when(held).then(pl.lit(HELD_BACK)).otherwise(pl.col("split")))


def straddling(assignments: pl.DataFrame, samples: pl.DataFrame) -> dict[str, str]:
    """Sample id to the touched thing that belongs to another split than its own.

    A place belongs to the split of the samples that have it as `place_id`; anything else, to the split that most samples
    which touch it have, of equals the first of train, validation, test.
    """
    touching = touches(assignments, samples)
    if touching.is_empty():
        return {}
    owners = owners_of(touching)
    pairs = touching.sort("sample_id", "touch").iter_rows(named=True)
    found: dict[str, str] = {}
    for row in pairs:
        if owners[row["touch"]] != row["split"]:
            found.setdefault(row["sample_id"], row["touch"])
    return found


def touches(assignments: pl.DataFrame, samples: pl.DataFrame) -> pl.DataFrame:
    """One row per sample and touched thing: sample_id, split, touch, and whether it is the sample's home."""
    if "touches" not in samples.columns:
        return pl.DataFrame(schema={"sample_id": pl.String, "split": pl.String, "touch": pl.String, "home": pl.Boolean})
    return (
        samples.select("sample_id", "touches", "place_id")
        .join(assignments.select("sample_id", "split"), on="sample_id")
        .explode("touches")
        .drop_nulls("touches")
        .select("sample_id", "split", touch="touches", home=pl.col("touches").eq_missing(pl.col("place_id")))
    )


def owners_of(touching: pl.DataFrame) -> Mapping[str, str]:
    """Touched thing to the split that it belongs to."""
    counted: dict[str, Counter[tuple[bool, str]]] = {}
    for row in touching.iter_rows(named=True):
        counted.setdefault(row["touch"], Counter())[row["home"], row["split"]] += 1

    def weight(counts: Counter[tuple[bool, str]], split: str) -> tuple[int, int, int]:
        return counts[True, split], counts[False, split], -SPLITS.index(split)

    return {touch: max(SPLITS, key=lambda split: weight(counts, split)) for touch, counts in counted.items()}
