"""Stage corpora: raw units to cleaned works, one partition a unit, and two tables over all of them.

Parsing, rights and the tables are twainbot/corpora's; fetching is resources'.
"""

from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import corpora as gates
from checks.gates import specs
from resources.lake import Lake, LakeResource, gathered
from resources.sources import Harvest
from twainbot.markdown import fenced
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.publish import Published, counts_table, publish

if TYPE_CHECKING:
    import polars as pl

PREVIEW_CHARACTERS = 700
ABOUT = {
    "gutenberg": "Books through a Project Gutenberg mirror, header and footer gone.",
    "satire": "Newspaper satire from RSS and Atom feeds.",
    "jokes": "Joke collections, CSV or JSON lines.",
    "weather": "National Weather Service text bulletins, with their facts.",
    "transcripts": "Tool-call transcripts in the dialogue schema.",
    "local": "Drop folder: passages, essays, aphorisms with a manifest for rights.",
}


def corpus(source: str) -> dg.AssetsDefinition:
    """The works of one source, one row per work; a row that could not be used keeps its reason."""
    key = keys.key(f"corpora/{source}")

    @dg.asset(
        key=key,
        group_name="corpora",
        deps=[keys.source(source)],
        partitions_def=UNITS[source],
        check_specs=specs(key, gates.gates(source), UNITS[source]),
        code_version=version_of("twainbot.corpora.works", "twainbot.records"),
        kinds={"polars", "parquet"},
        description=ABOUT[source],
    )
    def works(context: dg.AssetExecutionContext, harvest: Harvest) -> Published:
        not_taken: dict[str, str] = {}

        def read() -> "pl.DataFrame":
            from twainbot.corpora.works import works_from_unit

            door = harvest.opened(source)
            raw, sidecar = door.fetch(context.partition_key)
            not_taken.update(door.skipped)
            rows = works_from_unit(source, context.partition_key, raw, sidecar)
            limit = (current().sources[source]).max_passages
            return rows if limit is None else rows.head(limit)

        def metadata(rows: "pl.DataFrame") -> dict[str, Any]:
            listed = [{"what": what, "why": why} for what, why in sorted(not_taken.items())]
            from twainbot.corpora.repairs import TEXT_VERSION, total

            shown = {"preview": preview(rows), "listed": counts_table(gates.listing(rows))}
            shown["normaliser_version"] = TEXT_VERSION
            if mended := [{"repair": name, "places": places} for name, places in total(rows["repairs"]).items()]:
                shown["repairs"] = counts_table(mended)
            return {**gates.summary(rows), **shown, **({"not_taken": counts_table(listed)} if listed else {})}

        yield from publish(context, read, gates.gates(source), metadata)

    return works


def preview(rows: "pl.DataFrame") -> Any:
    """How the unit's first work begins and how its last one ends, for a reader's eye."""
    texts = gates.usable(rows)["text"].to_list()
    if not texts:
        return "no usable work"
    begins, ends = texts[0][:PREVIEW_CHARACTERS], texts[-1][-PREVIEW_CHARACTERS:]
    return dg.MetadataValue.md(f"begins\n\n{fenced(begins)}\n\nends\n\n{fenced(ends)}")


RIGHTS, AUDIT = keys.key("corpora/rights"), keys.key("corpora/audit")
OVERALL: dict[str, Any] = {
    "deps": [*keys.per_source("corpora"), keys.source("units")],
    "group_name": "corpora",
    "code_version": version_of("twainbot.corpora.inventory"),
    "kinds": {"polars", "parquet"},
}


def all_works(lake: Lake, instance: dg.DagsterInstance) -> "pl.DataFrame":
    """The last good works of every registered unit, rejects among them. Raises BadInput where a unit's file is gone."""
    import polars as pl

    found = [gathered(lake, instance, f"corpora/{source}", registered_units(instance, source)) for source in SOURCES]
    return pl.concat(found, how="diagonal_relaxed").collect()


def registered_units(instance: dg.DagsterInstance, source: str) -> list[str]:
    """A source's unit keys as the instance knows them."""
    return sorted(instance.get_dynamic_partitions(UNITS[source].name or source))


@dg.asset(key=RIGHTS, check_specs=specs(RIGHTS, gates.RIGHTS), **OVERALL)
def rights(context: dg.AssetExecutionContext, lake: LakeResource) -> Published:
    """The licence matrix: source x rights x licence, who claims it under which rule, and which uses it allows."""
    from twainbot.corpora.inventory import matrix

    opened = lake.open()
    yield from publish(
        context,
        lambda: matrix(all_works(opened, context.instance)),
        gates.RIGHTS,
        lambda rows: {"matrix": counts_table(rows.to_dicts())} if rows.height else {},
    )


@dg.asset(key=AUDIT, check_specs=specs(AUDIT, gates.AUDIT), **OVERALL)
def audit(context: dg.AssetExecutionContext, lake: LakeResource, harvest: Harvest) -> Published:
    """What became of every unit: works, rejects with their reasons, no good version, or not taken at all and why."""
    from twainbot.corpora.inventory import audit as audited

    opened = lake.open()
    registered = {source: registered_units(context.instance, source) for source in SOURCES}
    not_taken = {source: harvest.told(source) for source in SOURCES}
    yield from publish(
        context,
        lambda: audited(all_works(opened, context.instance), registered, not_taken),
        gates.AUDIT,
        lambda rows: {"states": counts_table(rows["state"].value_counts(sort=True).to_dicts())} if rows.height else {},
    )


assets = [*(corpus(source) for source in SOURCES), rights, audit]
