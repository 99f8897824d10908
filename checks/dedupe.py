"""Gates of stage dedupe: sketches of one scheme, pairs that really are that similar, planted copies found."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from checks import thresholds
from checks.gates import Finding, Gate, given

if TYPE_CHECKING:
    import polars as pl

    from twainbot.dedupe import DedupeSettings


def signature_gates(chunks: pl.DataFrame | None, scheme: str) -> list[Gate]:
    """The gates of one unit's sketches."""
    return [
        Gate("one_signature_per_chunk", "Every chunk has its sketch.", lambda rows: one_each(rows, chunks)),
        Gate("one_scheme", "All sketches are of the profile's scheme.", lambda rows: of_scheme(rows, scheme)),
    ]


def edge_gates(chunks: pl.DataFrame | None, settings: DedupeSettings | None) -> list[Gate]:
    """The gates of all pairs."""
    return [
        Gate("pairs_are_ordered", "a < b, and no pair twice.", ordered),
        Gate(
            "pairs_verified_exactly",
            "Recomputed Jaccard equals the stored one.",
            lambda rows: verified(rows, chunks, settings),
        ),
    ]


def cluster_gates(
    chunk_ids: Sequence[str], edges: pl.DataFrame | None, canaries: Sequence[tuple[str, str]]
) -> list[Gate]:
    """The gates of all clusters. `canaries`: pairs of work ids that must lie in one cluster."""
    return [
        Gate("every_chunk_has_a_cluster", "Each chunk in exactly one.", lambda rows: one_cluster(rows, chunk_ids)),
        Gate("one_canonical_each", "One member of each cluster is kept.", one_canonical),
        Gate("edges_join_clusters", "No edge crosses clusters.", lambda rows: joined(rows, edges)),
        Gate(
            "canaries_found", "Planted copies share a cluster with what they copy.", lambda rows: found(rows, canaries)
        ),
    ]


def one_each(rows: pl.DataFrame, chunks: pl.DataFrame | None) -> Finding:
    """Chunk ids of both sides are the same."""
    chunks = given(chunks)
    odd = sorted(set(rows["chunk_id"].to_list()) ^ set(chunks["chunk_id"].to_list()))
    return Finding(
        not odd and rows.height == chunks.height, f"{rows.height} sketches for {chunks.height} chunks", len(odd), 0, odd
    )


def of_scheme(rows: pl.DataFrame, scheme: str) -> Finding:
    """No sketch of another scheme."""
    others = rows.filter(rows["scheme"] != scheme)["scheme"].unique().sort().to_list()
    return Finding(not others, f"{len(others)} other schemes beside {scheme}", len(others), 0, others)


def ordered(rows: pl.DataFrame) -> Finding:
    """Pairs out of order or repeated."""
    wrong = rows.filter(rows["a"] >= rows["b"]).height + rows.select("a", "b").is_duplicated().sum()
    return Finding(wrong == 0, f"{wrong} of {rows.height} pairs out of order or repeated", int(wrong), 0)


def verified(rows: pl.DataFrame, chunks: pl.DataFrame | None, settings: DedupeSettings | None) -> Finding:
    """Stored similarity against one recomputed from the texts, on evenly spread pairs."""
    from twainbot.dedupe.shingles import shingle_hashes, similarity, words

    if settings is None:
        raise ValueError("the settings were not given")
    step = max(1, rows.height // thresholds.EDGES_VERIFIED)
    drawn = rows.select("a", "b", "jaccard").gather_every(step)
    # of these alone: all texts of a million chunks as Python's would be a gigabyte more
    named = given(chunks).filter(given(chunks)["chunk_id"].is_in([*drawn["a"], *drawn["b"]]))
    texts = dict(named.select("chunk_id", "text").iter_rows())
    wrong: list[str] = []
    count = 0
    for a, b, jaccard in drawn.iter_rows():
        count += 1
        one, other = (shingle_hashes(words(texts[chunk_id]), settings.shingle) for chunk_id in (a, b))
        exact = similarity(one, other)[0]
        if abs(exact - jaccard) > 1e-9 or exact < settings.threshold:
            wrong.append(f"{a} ~ {b}: stored {jaccard:.4f}, exact {exact:.4f}")
    why = f"{count} of {rows.height} pairs recomputed, {len(wrong)} differ or lie under {settings.threshold}"
    return Finding(not wrong, why, len(wrong), 0, wrong)


def one_cluster(rows: pl.DataFrame, chunk_ids: Sequence[str]) -> Finding:
    """Every chunk once."""
    odd = sorted(set(rows["chunk_id"].to_list()) ^ set(chunk_ids))
    return Finding(
        not odd and rows.height == len(chunk_ids), f"{rows.height} rows for {len(chunk_ids)} chunks", len(odd), 0, odd
    )


def one_canonical(rows: pl.DataFrame) -> Finding:
    """Clusters with no or several kept members."""
    import polars as pl

    counts = rows.group_by("cluster_id").agg(pl.col("is_canonical").sum().alias("kept"))
    wrong = counts.filter(counts["kept"] != 1)["cluster_id"].sort().to_list()
    return Finding(
        not wrong, f"{len(wrong)} of {counts.height} clusters keep no or several members", len(wrong), 0, wrong
    )


def joined(rows: pl.DataFrame, edges: pl.DataFrame | None) -> Finding:
    """Edges whose ends lie in different clusters."""
    edges = given(edges)
    cluster = dict(rows.select("chunk_id", "cluster_id").iter_rows())
    wrong = [f"{a} ~ {b}" for a, b in edges.select("a", "b").iter_rows() if cluster.get(a) != cluster.get(b)]
    return Finding(not wrong, f"{len(wrong)} of {edges.height} edges cross clusters", len(wrong), 0, wrong)


def found(rows: pl.DataFrame, canaries: Sequence[tuple[str, str]]) -> Finding:
    """Planted copies that no cluster joins with their original."""
    by_work: dict[str, set[str]] = {}
    for chunk_id, cluster_id in rows.select("chunk_id", "cluster_id").iter_rows():
        by_work.setdefault(chunk_id.rsplit(":", 1)[0], set()).add(cluster_id)
    missed = [f"{copy} of {of}" for copy, of in canaries if not by_work.get(copy, set()) & by_work.get(of, set())]
    return Finding(
        not missed, f"{len(canaries) - len(missed)} of {len(canaries)} planted copies found", len(missed), 0, missed
    )
