"""Stage chunks: works to tagged token windows with exact spans. Cutting and tagging are twainbot/chunks'."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import chunks as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.base import TOKENIZER
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import SOURCES, current
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

DEFAULTS: dict[str, Any] = {"size": 512, "overlap": 64, "min_tokens": 0}


def chunked(source: str) -> dg.AssetsDefinition:
    """The chunks of one source, one row per window of a work."""
    key = keys.key(f"chunks/{source}")

    @dg.asset(
        key=key,
        group_name="chunks",
        ins={"works": dg.AssetIn(keys.key(f"corpora/{source}")), "tokenizer": dg.AssetIn(TOKENIZER)},
        deps=[keys.settings("chunking")],
        partitions_def=UNITS[source],
        check_specs=specs(key, gates.chunk_gates(None, 0), UNITS[source]),
        code_version=version_of("twainbot.chunks.windows"),
        kinds={"polars", "parquet"},
        description=f"Token windows over `corpora/{source}`: exact spans, exact counts, tags with their vocabulary.",
    )
    def chunks(context: dg.AssetExecutionContext, folders: Folders, works: Table, tokenizer: Table) -> Published:
        settings = {**DEFAULTS, **current().chunking}
        cleaned = works.collect()

        def cut() -> "pl.DataFrame":
            from resources.tokenizer import load_tokenizer
            from twainbot.chunks.windows import chunk_works

            folder = folders.model(tokenizer.collect()["folder"][0])
            return chunk_works(cleaned, load_tokenizer(folder), **settings)

        yield from publish(context, cut, gates.chunk_gates(cleaned, settings["size"]), gates.summary)

    return chunks


assets = [chunked(source) for source in SOURCES]
