"""What must stay together: samples that share a cluster, a work, a seed or a place, however indirectly. Where a group goes is
decided in assign.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import polars as pl

from twainbot.dedupe import cluster

# columns whose values tie samples; each a text, a list of texts, or null
TIES = ("cluster_id", "work_id", "seed_id", "place_id")


def tie_values(value: Any) -> Iterator[str]:
    """The values in one cell: none for null, one for a text, each of a list."""
    if isinstance(value, str):
        yield value
    elif value is not None:
        yield from (item for item in value if item is not None)


def group_labels(samples: pl.DataFrame) -> list[int]:
    """For each sample the smallest row number of its group. A missing column ties nothing, and neither does null."""
    first: dict[tuple[str, str], int] = {}
    pairs: list[tuple[int, int]] = []
    for column in TIES:
        if column in samples.columns:
            for row, cell in enumerate(samples[column].to_list()):
                pairs += [(first.setdefault((column, value), row), row) for value in tie_values(cell)]
    return cluster(len(samples), pairs)
