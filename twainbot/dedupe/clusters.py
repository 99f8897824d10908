"""Clusters of near-duplicates, and which member of one is kept. Pairs come from pairs.py; splits keep clusters whole."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
import polars as pl

from twainbot.dedupe.flat import Numbers
from twainbot.errors import BadInput
from twainbot.records import CLUSTER, RIGHTS, conform


def cluster(n: int, edges: Iterable[tuple[int, int]] | pl.DataFrame) -> list[int]:
    """The component of each of n rows under the given pairs, named by its smallest row number.

    `edges` are pairs of row numbers, or a frame with columns a and b. Raises BadInput where a number is not in 0..n-1.
    """
    if isinstance(edges, pl.DataFrame):
        a, b = (edges[name].to_numpy().astype(np.int64) for name in ("a", "b"))
    else:
        a, b = np.array(list(edges), np.int64).reshape(-1, 2).T
    wrong = np.flatnonzero((np.minimum(a, b) < 0) | (np.maximum(a, b) >= n))
    if len(wrong):
        found = f"Edge ({a[wrong[0]]}, {b[wrong[0]]}) names a row that does not exist"
        raise BadInput(f"{found}: there are {n}, numbered from 0.")
    return components(n, a, b).tolist()


def components(n: int, a: Numbers, b: Numbers) -> Numbers:
    """The smallest row number that each row is linked to, over any number of pairs.

    Each round hangs the larger of two unlike labels under the smaller one and shortens the chains: a chain of a million
    rows takes some twenty rounds.
    """
    label = np.arange(n, dtype=np.int64)
    while True:
        one, other = label[a], label[b]
        unlike = one != other
        if not unlike.any():
            return label
        a, b, one, other = a[unlike], b[unlike], one[unlike], other[unlike]
        np.minimum.at(label, np.maximum(one, other), np.minimum(one, other))
        while (label[label] != label).any():
            label = label[label]


def clusters(chunks: pl.DataFrame, edges: pl.DataFrame, source_rank: Sequence[str] = ()) -> pl.DataFrame:
    """One row of records.CLUSTER per chunk, sorted by chunk id. A cluster is named by its smallest member's id.

    The canonical member has the freest rights, then the source that stands first in `source_rank` (unlisted ones come
    last), then the most tokens, then the smallest id. Needs chunk_id, source, copyright_status and token_count.
    Raises BadInput where an edge names an unknown chunk.
    """
    rows = chunks.select("chunk_id", "source", "copyright_status", "token_count").sort("chunk_id")
    ids = rows["chunk_id"]
    if ids.n_unique() < len(ids):
        twice = ids.filter(ids.is_duplicated())[0]
        raise BadInput(f"The chunk {twice!r} stands twice. Rematerialize the asset of its source in chunks/.")
    label = components(len(ids), *(_numbered(edges[name], ids) for name in ("a", "b")))
    ranked = rows.select(
        "chunk_id",
        pl.Series("cluster_id", ids.gather(label)),
        *_priority(source_rank),
    ).sort("cluster_id", "by_rights", "by_source", "by_tokens", "chunk_id")
    named = ranked.select(
        "chunk_id",
        "cluster_id",
        pl.col("cluster_id").is_first_distinct().alias("is_canonical"),
        pl.len().over("cluster_id").cast(pl.Int64).alias("size"),
    )
    return conform(named.sort("chunk_id"), CLUSTER, "dedupe/clusters")


def _numbered(names: pl.Series, ids: pl.Series) -> Numbers:
    """The place of each name among the sorted ids."""
    unknown = names.filter(~names.is_in(ids.implode()))
    if len(unknown):
        raise BadInput(f"An edge names the unknown chunk {unknown[0]!r}. Rematerialize dedupe/edges.")
    return ids.search_sorted(names).to_numpy().astype(np.int64)


def _priority(source_rank: Sequence[str]) -> tuple[pl.Expr, pl.Expr, pl.Expr]:
    """What decides between members, least first."""
    rights = {name: place for place, name in enumerate(RIGHTS)}
    sources = {name: place for place, name in enumerate(source_rank)}
    return (
        pl.col("copyright_status")
        .replace_strict(rights, default=len(RIGHTS), return_dtype=pl.Int64)
        .alias("by_rights"),
        pl.col("source").replace_strict(sources, default=len(sources), return_dtype=pl.Int64).alias("by_source"),
        (-pl.col("token_count")).alias("by_tokens"),
    )
