"""Stage dedupe: sketches per unit, then verified pairs and clusters over all sources. The method is twainbot/dedupe's."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from checks import dedupe as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource, Table, gathered
from resources.pair_cache import PairCache
from resources.sources import Harvest
from twainbot.provenance import version_of
from twainbot_assets import curation_reports as reports
from twainbot_assets import keys
from twainbot_assets.canaries import copies
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from resources.lake import Lake
    from twainbot.dedupe import DedupeSettings, Known

EDGES, CLUSTERS = keys.key("dedupe/edges"), keys.key("dedupe/clusters")
FINDS_PAIRS = "twainbot.dedupe.chunk_pairs"
SOURCE_RANK = ("local", "gutenberg", "satire", "jokes", "transcripts", "weather")  # which copy of equals is kept


def settings() -> "DedupeSettings":
    """The profile's dedupe settings."""
    from twainbot.dedupe import DedupeSettings

    return DedupeSettings(**current().dedupe)


def sketched(source: str) -> dg.AssetsDefinition:
    """The MinHash sketches of one source's chunks."""
    key = keys.key(f"dedupe/signatures/{source}")

    @dg.asset(
        key=key,
        group_name="dedupe",
        ins={"chunks": dg.AssetIn(keys.key(f"chunks/{source}"))},
        deps=[keys.settings("dedupe")],
        partitions_def=UNITS[source],
        check_specs=specs(key, gates.signature_gates(None, ""), UNITS[source]),
        code_version=version_of(FINDS_PAIRS),
        kinds={"polars", "parquet"},
        description=f"MinHash sketch of every chunk of `chunks/{source}`, with its scheme.",
    )
    def signatures_of(context: dg.AssetExecutionContext, chunks: Table) -> Published:
        from twainbot.dedupe import signatures

        rows, chosen = chunks.collect(), settings()
        judged = gates.signature_gates(rows, chosen.scheme)
        yield from publish(context, lambda: signatures(rows, chosen), judged, lambda _: {"scheme": chosen.scheme})

    return signatures_of


def all_chunks(lake: "Lake", instance: dg.DagsterInstance) -> "pl.DataFrame":
    """The last good chunks of every registered unit of every source."""
    import polars as pl

    return pl.concat(
        [registered(lake, instance, "chunks", source).collect() for source in SOURCES], how="diagonal_relaxed"
    )


def registered(lake: "Lake", instance: dg.DagsterInstance, stage: str, source: str) -> "pl.LazyFrame":
    """The last good files of a source's registered units in one stage. Raises BadInput where one is gone."""
    return gathered(lake, instance, f"{stage}/{source}", instance.get_dynamic_partitions(UNITS[source].name or source))


@dg.asset(
    key=EDGES,
    group_name="dedupe",
    ins={source: dg.AssetIn(keys.key(f"dedupe/signatures/{source}")) for source in SOURCES},
    deps=[keys.settings("dedupe"), keys.source("units")],
    check_specs=specs(EDGES, gates.edge_gates(None, None)),
    code_version=version_of(FINDS_PAIRS),
    kinds={"polars", "parquet"},
)
def edges(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, **signatures: Table) -> Published:
    """Near-duplicate pairs over all sources, each with its exact Jaccard similarity and containment."""
    chunks, chosen = all_chunks(lake.open(), context.instance), settings()
    cache = PairCache(Path(folders.cache), chosen, version_of(FINDS_PAIRS), context.log.info)
    made = Pairing(cache, chosen)
    yield from publish(
        context,
        lambda: made.pair(list(signatures.values()), chunks),
        gates.edge_gates(chunks, chosen),
        lambda rows: {**made.counts, **reports.side_by_side(rows, chunks)},
    )
    made.keep()  # only now: pairs that no gate let pass teach the next run nothing


class Pairing:
    """One run's pairs: what the cache knows of its texts is taken over, the rest is joined and verified."""

    def __init__(self, cache: PairCache, chosen: "DedupeSettings") -> None:
        self._cache, self._chosen = cache, chosen
        self._established: Known | None = None
        self.counts: dict[str, int] = {}

    def pair(self, signatures: "Sequence[pl.LazyFrame]", chunks: "pl.DataFrame") -> "pl.DataFrame":
        """Rows of dedupe/edges, the same whatever the cache holds."""
        import polars as pl

        from twainbot.dedupe import text_names, to_join, update

        rows = to_join(pl.concat(signatures, how="diagonal_relaxed"), self._chosen)
        texts = text_names(rows)
        known = self._cache.nearest(texts)
        made, self._established = update(rows, chunks, self._chosen, known)
        shared = known.shared(texts) if known else 0
        crowded = self._established.crowded or (known is not None and known.crowded)
        joined = len(texts) if crowded else len(texts) - shared
        self.counts = {"texts_known": shared, "texts_new": len(texts) - shared, "texts_joined": joined}
        return made

    def keep(self) -> None:
        """Store what was established, for the next run."""
        if self._established is not None:
            self._cache.store(self._established)


@dg.asset(
    key=CLUSTERS,
    group_name="dedupe",
    ins={"edges": dg.AssetIn(EDGES)},
    deps=[keys.source("units"), *keys.per_source("chunks")],
    check_specs=specs(CLUSTERS, gates.cluster_gates((), None, ())),
    code_version=version_of("twainbot.dedupe.clusters"),
    kinds={"polars", "parquet"},
)
def clusters(context: dg.AssetExecutionContext, lake: LakeResource, harvest: Harvest, edges: Table) -> Published:
    """One row per chunk with its near-duplicate cluster, and which member is kept."""
    chunks, pairs = all_chunks(lake.open(), context.instance), edges.collect()

    def label() -> "pl.DataFrame":
        from twainbot.dedupe import clusters as components

        return components(chunks, pairs, SOURCE_RANK)

    judged = gates.cluster_gates(chunks["chunk_id"].to_list(), pairs, copies(harvest, chunks))
    yield from publish(context, label, judged, reports.cluster_sizes)


assets = [*(sketched(source) for source in SOURCES), edges, clusters]
