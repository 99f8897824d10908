"""Gates of the lineage page: every row is explained, every passage still is the text at its span."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks.gates import Finding, Gate, named

if TYPE_CHECKING:
    import polars as pl


def explained(rows: pl.DataFrame) -> Finding:
    """Training rows of which nothing is left that they were made of."""
    return without_faults(rows, "rows", "rows have nothing left that they were made of")


def in_place(rows: pl.DataFrame) -> Finding:
    """Passages that are not the text of their work at their span any more."""
    return without_faults(rows, "passages", "passages are not the text at their span")


def without_faults(rows: pl.DataFrame, level: str, what: str) -> Finding:
    """No fault at a level."""
    row = rows.filter(rows["level"] == level).row(0, named=True)
    faults = row["faults"] or []
    example = f" ({named(faults)})" if faults else ""
    return Finding(not faults, f"{len(faults)} of {row['shown']} {what}{example}", len(faults), 0, faults)


GATES = [
    Gate("every_row_is_explained", "Each row of a split has the sample that it is.", explained, blocking=False),
    Gate("spans_still_hold", "Each passage is the text of its work at its span.", in_place, blocking=False),
]
