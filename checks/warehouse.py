"""Gate of the warehouse: every view answers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks.gates import Finding, Gate

if TYPE_CHECKING:
    import polars as pl


def answers(rows: pl.DataFrame) -> Finding:
    """Views that did not answer a count."""
    silent = rows.filter(rows["rows"].is_null())["view"].to_list()
    return Finding(
        rows.height > 0 and not silent, f"{rows.height} views, {len(silent)} do not answer", len(silent), 0, silent
    )


GATES = [Gate("every_view_answers", "A count over each view comes back.", answers)]
