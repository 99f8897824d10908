"""Clusters of near-duplicates, and which member of one is kept. Pairs come from pairs.py; splits keep clusters whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import polars as pl

from twainbot.errors import BadInput
from twainbot.records import CLUSTER, RIGHTS, frame


def cluster(n: int, edges: Iterable[tuple[int, int]] | pl.DataFrame) -> list[int]:
    """The component of each of n rows under the given pairs, named by its smallest row number.

    `edges` are pairs of row numbers, or a frame with columns a and b. Raises BadInput where a number is not in 0..n-1.
    """
    pairs = edges.select("a", "b").iter_rows() if isinstance(edges, pl.DataFrame) else edges
    parent = list(range(n))
    for a, b in pairs:
        if not (0 <= a < n and 0 <= b < n):
            raise BadInput(f"Edge ({a}, {b}) names a row that does not exist: there are {n}, numbered from 0.")
        one, other = sorted((_root(parent, a), _root(parent, b)))
        parent[other] = one
    return [_root(parent, row) for row in range(n)]


def _root(parent: list[int], row: int) -> int:
    while parent[row] != row:
        parent[row] = parent[parent[row]]
        row = parent[row]
    return row


def clusters(chunks: pl.DataFrame, edges: pl.DataFrame, source_rank: Sequence[str] = ()) -> pl.DataFrame:
    """One row of records.CLUSTER per chunk, sorted by chunk id. A cluster is named by its smallest member's id.

    The canonical member has the freest rights, then the source that stands first in `source_rank` (unlisted ones come
    last), then the most tokens, then the smallest id. Needs chunk_id, source, copyright_status and token_count.
    Raises BadInput where an edge names an unknown chunk.
    """
    rows = chunks.select("chunk_id", "source", "copyright_status", "token_count").sort("chunk_id").rows(named=True)
    place = {row["chunk_id"]: number for number, row in enumerate(rows)}
    labels = cluster(len(rows), _numbered(edges, place))
    members: dict[int, list[int]] = {}
    for number, label in enumerate(labels):
        members.setdefault(label, []).append(number)
    kept = {min(group, key=lambda number: _priority(rows[number], source_rank)) for group in members.values()}
    return frame(
        (
            {
                "chunk_id": row["chunk_id"],
                "cluster_id": rows[label]["chunk_id"],
                "is_canonical": number in kept,
                "size": len(members[label]),
            }
            for number, (row, label) in enumerate(zip(rows, labels, strict=True))
        ),
        CLUSTER,
    )


def _numbered(edges: pl.DataFrame, place: dict[str, int]) -> Iterable[tuple[int, int]]:
    for a, b in edges.select("a", "b").iter_rows():
        unknown = [chunk_id for chunk_id in (a, b) if chunk_id not in place]
        if unknown:
            raise BadInput(f"Edge ({a!r}, {b!r}) names the unknown chunk {unknown[0]!r}. Rematerialize dedupe/edges.")
        yield place[a], place[b]


def _priority(row: dict[str, Any], source_rank: Sequence[str]) -> tuple[int, int, int, str]:
    rights, source = row["copyright_status"], row["source"]
    by_rights = RIGHTS.index(rights) if rights in RIGHTS else len(RIGHTS)
    by_source = source_rank.index(source) if source in source_rank else len(source_rank)
    return by_rights, by_source, -row["token_count"], row["chunk_id"]
