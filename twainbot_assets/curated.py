"""Stage curated: what may be trained on, and everything that may not with its reason. The rules are twainbot/curation's."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import curated as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Lake, LakeResource, Table
from resources.suites import eval_texts
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.dedupe import CLUSTERS, all_chunks, registered
from twainbot_assets.profile import SOURCES
from twainbot_assets.publish import Published, bars, counts_table, publish

if TYPE_CHECKING:
    import polars as pl

    from twainbot.curation import Curated

PASSAGES, REJECTS = keys.key("curated/passages"), keys.key("curated/rejects")
INPUTS: dict[str, Any] = {
    "ins": {"clusters": dg.AssetIn(CLUSTERS)},
    "deps": [
        *keys.per_source("corpora"),
        *keys.per_source("chunks"),
        *keys.per_source("screened"),
        *(keys.source(name) for name in ("units", "suites", "reviews")),
    ],
    "group_name": "curated",
    "code_version": version_of("twainbot.curation"),
    "kinds": {"polars", "parquet"},
}


def decisions(path: Path) -> dict[str, str]:
    """The latest decision of a person on each chunk."""
    if not path.is_file():
        return {}
    lines = path.read_text(encoding="utf-8").splitlines()
    return {row["chunk_id"]: row["decision"] for row in map(json.loads, lines)}


def works_of(lake: Lake, instance: dg.DagsterInstance) -> "pl.DataFrame":
    """The last good works of every registered unit, texts left out."""
    import polars as pl

    return pl.concat([registered(lake, instance, "corpora", source).drop("text").collect() for source in SOURCES])


def curated_now(context: dg.AssetExecutionContext, lake: Lake, folders: Folders, clusters: "pl.DataFrame") -> "Curated":
    """Both tables of this stage, from the lake as it is."""
    import polars as pl

    from twainbot.curation import curate

    screened = [registered(lake, context.instance, "screened", source).collect() for source in SOURCES]
    return curate(
        works_of(lake, context.instance),
        all_chunks(lake, context.instance),
        pl.concat(screened, how="diagonal_relaxed"),
        clusters,
        eval_texts(),
        decisions(Path(folders.reviews)),
    )


@dg.asset(key=PASSAGES, check_specs=specs(PASSAGES, gates.PASSAGES), **INPUTS)
def passages(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, clusters: Table) -> Published:
    """Chunks that may be trained on: kept by the screen, best of their cluster, free of eval text, rights known."""
    opened, held = lake.open(), clusters.collect()
    yield from publish(
        context, lambda: curated_now(context, opened, folders, held).passages, gates.PASSAGES, passage_metadata
    )


def passage_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """Counts by style and source, with a plot."""
    styles = {style: float(count) for style, count in rows["style"].value_counts(sort=True).iter_rows()}
    return {
        "tokens": int(rows["token_count"].sum() or 0),
        "works": rows["work_id"].n_unique(),
        "by_style": bars(styles, "Passages by style"),
    }


@dg.asset(key=REJECTS, check_specs=specs(REJECTS, gates.REJECTS), **INPUTS)
def rejects(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, clusters: Table) -> Published:
    """Everything that did not become a passage, at which stage and why. The `review` rows wait for `twainbot decide`."""
    from twainbot.curation import funnel

    opened, held = lake.open(), clusters.collect()
    made: list[Curated] = []

    def make() -> "pl.DataFrame":
        made.append(curated_now(context, opened, folders, held))
        return made[0].rejects

    def metadata(rows: "pl.DataFrame") -> dict[str, Any]:
        works, chunks = works_of(opened, context.instance), all_chunks(opened, context.instance)
        by_stage = {stage: float(count) for stage, count in rows["stage"].value_counts(sort=True).iter_rows()}
        table = funnel(works, chunks, made[0])
        return {
            "funnel": counts_table(table.to_dicts()),
            "by_stage": bars(by_stage, "Rejected, by stage") if by_stage else "nothing rejected",
            "waiting_for_review": rows.filter(rows["decision"] == "review").height,
        }

    yield from publish(context, make, gates.REJECTS, metadata)


assets = [passages, rejects]
