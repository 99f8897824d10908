"""Stage corpora: raw units to cleaned works, one partition a unit. Parsing and rights are twainbot/corpora's."""

from typing import TYPE_CHECKING

import dagster as dg

from checks import corpora as gates
from checks.gates import specs
from resources.sources import Harvest
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

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
        def read() -> "pl.DataFrame":
            from twainbot.corpora.works import works_from_unit

            raw, sidecar = harvest.fetch(source, context.partition_key)
            rows = works_from_unit(source, context.partition_key, raw, sidecar)
            limit = (current().sources[source]).max_passages
            return rows if limit is None else rows.head(limit)

        yield from publish(context, read, gates.gates(source), gates.summary)

    return works


assets = [corpus(source) for source in SOURCES]
