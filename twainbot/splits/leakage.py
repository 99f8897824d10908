"""Proof that no split knows another: whatever shares a cluster, a work, a seed, a place or a bulletin lies in one split.
Checked on the finished assignments and by plain grouping, not with the code that made them. What was held back is in none.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from twainbot.records import HELD_BACK, SPLITS
from twainbot.splits.groups import TIES

_NAMES = {
    "group_id": "Group", "cluster_id": "Cluster", "work_id": "Work", "seed_id": "Seed", "place_id": "Place",
    "touches": "What dialogues touch,",
}  # fmt: skip


def leaks(assignments: pl.DataFrame, samples: pl.DataFrame) -> list[str]:
    """One plain sentence per leak, sorted; none means that the split is tight.

    A leak is a cluster, work, seed, place, touched thing or group in two splits, a sample without exactly one assignment, or
    an unknown split.
    """
    joined = samples.join(assignments.select("sample_id", "group_id", "split"), on="sample_id", how="inner")
    joined = joined.filter(pl.col("split") != HELD_BACK)
    columns = [name for name in (*TIES, "touches", "group_id") if name in joined.columns]
    crossings = (sentence for column in columns for sentence in _crossings(joined, column))
    return sorted([*crossings, *_miscounted(assignments, samples), *_unknown(assignments)])


def _crossings(joined: pl.DataFrame, column: str) -> Iterator[str]:
    listed = joined.select("sample_id", "split", column)
    ties = listed.explode(column) if isinstance(listed.schema[column], pl.List) else listed
    firsts = ties.drop_nulls(column).group_by(column, "split").agg(pl.col("sample_id").min()).sort(column, "split")
    for (value,), rows in firsts.group_by(column, maintain_order=True):
        if len(rows) > 1:
            held = dict(rows.select("split", "sample_id").iter_rows())
            ordered = sorted(held, key=lambda split: (SPLITS.index(split) if split in SPLITS else len(SPLITS), split))
            places = " and in ".join(f"{split} (first {held[split]!r})" for split in ordered)
            repair = f"Split by {column}, then rematerialize splits/assignments."
            yield f"{_NAMES[column]} {value!r} is in {places}. {repair}"


def _miscounted(assignments: pl.DataFrame, samples: pl.DataFrame) -> Iterator[str]:
    repair = "Rematerialize splits/assignments."
    times: dict[str, int] = dict(assignments.group_by("sample_id").len().iter_rows())
    known: set[str] = set(samples["sample_id"])
    for sample_id in sorted(known - times.keys()):
        yield f"Sample {sample_id!r} has no split. {repair}"
    for sample_id in sorted(times.keys() - known):
        yield f"Assignment of {sample_id!r} belongs to no sample. {repair}"
    for sample_id in sorted(sample_id for sample_id, count in times.items() if count > 1):
        yield f"Sample {sample_id!r} is assigned {times[sample_id]} times. {repair}"


def _unknown(assignments: pl.DataFrame) -> Iterator[str]:
    for split in sorted(set(assignments["split"].unique()) - {*SPLITS, HELD_BACK}):
        first = assignments.filter(pl.col("split") == split)["sample_id"].min()
        yield f"Split {split!r} (first {first!r}) is none of {', '.join(SPLITS)}. Rematerialize splits/assignments."
