"""Gates of the data bundle, beside those of every bundle (release.py): each row explained, none of it evaluation text."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from checks import release
from checks.gates import Finding, Gate

if TYPE_CHECKING:
    import polars as pl


def explained(rows: pl.DataFrame) -> Finding:
    """Released rows that provenance does not explain, or explains for another split."""
    lost = json.loads(rows["unexplained"][0])
    count = rows["rows"][0]
    why = (
        f"{len(lost)} of {count:,} rows have no origin or a work that is not among the bundle's (first {lost[0]!r})"
        if lost
        else f"all {count:,} rows have their origin"
    )
    return Finding(not lost, why, len(lost), 0, lost)


def free_of_evals(rows: pl.DataFrame) -> Finding:
    """Released rows that hold text of an evaluation suite."""
    hits = json.loads(rows["eval_text"][0])
    why = (
        f"{len(hits)} rows hold text of an evaluation (first {hits[0]})"
        if hits
        else "no row holds text of an evaluation"
    )
    return Finding(not hits, why, len(hits), 0, hits)


DATASET = [
    *release.DATASET,
    Gate("rows_explained", "Every row has its origin in `provenance`, in the same split.", explained),
    Gate("no_eval_text", "No row holds text of an evaluation suite.", free_of_evals),
]
