"""Optional: chunks that are alike in meaning though not in words, to read. No decision of the graph depends on them.

Made on request only (`twainbot run --select dedupe/semantic`): MiniLM takes longer than everything else in this stage.
"""

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import semantic as gates
from checks.gates import specs
from resources.lake import LakeResource, Table
from twainbot.errors import MissingModel
from twainbot.provenance import version_of
from twainbot_assets import curation_reports as reports
from twainbot_assets import keys
from twainbot_assets.dedupe import CLUSTERS, all_chunks, settings
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

    from resources.embeddings import Embedder

SEMANTIC = keys.key("dedupe/semantic")


@dg.asset(
    key=SEMANTIC,
    group_name="dedupe",
    ins={"clusters": dg.AssetIn(CLUSTERS)},
    deps=[keys.source("units"), *keys.per_source("chunks")],
    check_specs=specs(SEMANTIC, gates.semantic_gates(None, "")),
    code_version=version_of("twainbot.dedupe.semantic", "resources.embeddings"),
    kinds={"polars", "parquet"},
)
def semantic(context: dg.AssetExecutionContext, lake: LakeResource, clusters: Table) -> Published:
    """Pairs of chunks of different works that are alike in meaning and no near-duplicates. Reported, never acted on."""
    from twainbot.dedupe.semantic import ALIKE

    kept = clusters.collect().filter("is_canonical").select("chunk_id")
    chunks, chosen = all_chunks(lake.open(), context.instance).join(kept, on="chunk_id", how="semi"), settings()
    embedder, why_not = found_embedder()

    def pair() -> "pl.DataFrame":
        import polars as pl

        from twainbot.dedupe.semantic import alike_in_meaning

        if embedder is None:
            return pl.DataFrame(schema=ALIKE)
        vectors = embedder.embed(chunks["text"].to_list())
        return alike_in_meaning(chunks, vectors, gates.COSINE, chosen.threshold, chosen.shingle)

    judged = gates.semantic_gates(chosen.threshold, why_not)
    yield from publish(context, pair, judged, described(chunks, embedder, why_not))


def found_embedder() -> "tuple[Embedder | None, str]":
    """The encoder, or None and why there is none."""
    from resources.embeddings import load_embedder

    try:
        return load_embedder(os.environ.get("TWAINBOT_EMBEDDING_MODEL")), ""
    except MissingModel as error:
        return None, str(error)


def described(
    chunks: "pl.DataFrame", embedder: "Embedder | None", why_not: str
) -> "Callable[[pl.DataFrame], dict[str, Any]]":
    """Metadata of the pairs: whether it ran, by which weights, and pairs to read."""

    def metadata(rows: "pl.DataFrame") -> dict[str, Any]:
        if embedder is None:
            return {"status": f"not run: {why_not}"}
        return {"status": "ran", "encoder": embedder.name, **reports.alike_side_by_side(rows, chunks)}

    return metadata


assets = [semantic]
