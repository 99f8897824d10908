"""Stage curated: what may be trained on, and everything that may not with its reason. The rules are twainbot/curation's."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import curated as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Lake, LakeResource, Table
from resources.sources import Harvest
from resources.suites import eval_texts
from twainbot.provenance import version_of
from twainbot_assets import curation_reports as reports
from twainbot_assets import keys
from twainbot_assets.canaries import planted_eval_text
from twainbot_assets.dedupe import CLUSTERS, all_chunks, registered
from twainbot_assets.json_lines import kept_objects
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.publish import Published, bars, publish

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


def reviews(path: Path) -> list[dict[str, Any]]:
    """What people decided, in the order in which they did."""
    return kept_objects(path)


def decisions(path: Path) -> dict[str, str]:
    """The latest decision of a person on each chunk."""
    return {row["chunk_id"]: row["decision"] for row in reviews(path)}


@dataclass(frozen=True)
class Material:
    """What this stage reads of the lake, whole: last good files of all registered units."""

    works: "pl.DataFrame"  # texts left out, their lengths as `characters`
    chunks: "pl.DataFrame"
    screened: "pl.DataFrame"


def material(lake: Lake, instance: dg.DagsterInstance) -> Material:
    """The lake as it is."""
    import polars as pl

    works = [registered(lake, instance, "corpora", source) for source in SOURCES]
    lengths = [table.with_columns(characters=pl.col("text").str.len_chars()).drop("text") for table in works]
    screened = [registered(lake, instance, "screened", source).collect() for source in SOURCES]
    return Material(
        pl.concat(lengths, how="diagonal_relaxed").collect(),
        all_chunks(lake, instance),
        pl.concat(screened, how="diagonal_relaxed"),
    )


def curated_now(found: Material, folders: Folders, clusters: "pl.DataFrame") -> "Curated":
    """Both tables of this stage."""
    from twainbot.curation import curate

    by_people = decisions(Path(folders.reviews))
    return curate(found.works, found.chunks, found.screened, clusters, eval_texts(), by_people)


@dg.asset(key=PASSAGES, check_specs=specs(PASSAGES, gates.passage_gates(None)), **INPUTS)
def passages(
    context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, harvest: Harvest, clusters: Table
) -> Published:
    """Chunks that may be trained on: kept by the screen, best of their cluster, free of eval text, rights known."""
    found, held = material(lake.open(), context.instance), clusters.collect()
    judged = gates.passage_gates(planted_eval_text(harvest, found.chunks))
    yield from publish(context, lambda: curated_now(found, folders, held).passages, judged, passage_metadata)


def passage_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """Counts by style, and the tags of each source, as plots."""
    styles = {style: float(count) for style, count in rows["style"].value_counts(sort=True).iter_rows()}
    return {
        "tokens": int(rows["token_count"].sum() or 0),
        "works": rows["work_id"].n_unique(),
        "by_style": bars(styles, "Passages by style"),
        "tags": reports.tag_report(rows),
    }


@dg.asset(key=REJECTS, check_specs=specs(REJECTS, gates.REJECTS), **INPUTS)
def rejects(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, clusters: Table) -> Published:
    """Everything that did not become a passage, at which stage and why. The `review` rows wait for `twainbot decide`."""
    found, held = material(lake.open(), context.instance), clusters.collect()
    made: list[Curated] = []

    def make() -> "pl.DataFrame":
        made.append(curated_now(found, folders, held))
        return made[0].rejects

    yield from publish(
        context, make, gates.REJECTS, lambda _: reject_metadata(found, made[0], reviews(Path(folders.reviews)))
    )


def reject_metadata(found: Material, made: "Curated", by_people: list[dict[str, Any]]) -> dict[str, Any]:
    """The funnel with its reasons, the works that the screen kept least of, eval text by item, and what people decided."""
    from twainbot.screening import ScreeningSettings
    from twainbot.screening.cascade import miss_rate

    threshold = ScreeningSettings(**current().screening).toxicity_review
    return {
        **reports.funnel_report(found.works, found.chunks, made),
        "works_by_screen": reports.works_by_screen(found.screened),
        "miss_rate": str(miss_rate(found.screened, threshold)),
        "eval_text": reports.contamination_table(made.overlaps),
        "waiting_for_review": made.rejects.filter(made.rejects["decision"] == "review").height,
        "reviews": reports.review_table(by_people, found.chunks["chunk_id"].to_list()),
    }


assets = [passages, rejects]
