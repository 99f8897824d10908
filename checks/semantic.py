"""Gate of dedupe/semantic: what is reported is what it says. It never blocks, and without an encoder it did not run."""

from __future__ import annotations

from typing import TYPE_CHECKING

from checks.gates import Finding, Gate

if TYPE_CHECKING:
    import polars as pl

# Of MiniLM vectors. In the sample, whose works were all written apart, the most alike two have 0.71; three passages retold in
# other words for a trial had 0.76, 0.48 and 0.43. So what stands above is worth reading, and most retellings stand below:
# this layer proves no absence, which is why it decides nothing.
COSINE = 0.8


def semantic_gates(threshold: float | None, not_run: str) -> list[Gate]:
    """The stage's gate. `threshold`: Jaccard of near-duplicates (None: names only). `not_run`: why there is no encoder."""
    return [
        Gate(
            "pairs_are_alike_in_meaning_only",
            "a < b, a cosine within bounds, and no near-duplicate. Reported only; without an encoder: not run.",
            lambda rows: alike_only(rows, threshold, not_run),
            blocking=False,
        )
    ]


def alike_only(rows: pl.DataFrame, threshold: float | None, not_run: str) -> Finding:
    """Pairs out of order, under the cosine, or alike in words too."""
    if not_run:
        return Finding(False, f"not run: {not_run}")
    if threshold is None:
        raise ValueError("the threshold was not given")
    cosines, jaccards = rows["cosine"], rows["jaccard"]
    wrong = rows.filter(
        (rows["a"] >= rows["b"]) | ~cosines.is_between(COSINE, 1.001).fill_null(False) | (jaccards >= threshold)
    )
    listed = [f"{a} ~ {b}" for a, b in wrong.select("a", "b").iter_rows()]
    return Finding(not listed, f"{rows.height} pairs, {len(listed)} of them not as reported", len(listed), 0, listed)
