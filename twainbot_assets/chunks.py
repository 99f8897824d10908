"""Stage chunks: works to tagged token windows with exact spans. Cutting and tagging are twainbot/chunks'."""

from pathlib import Path
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
RATER_BUDGET = "rater_budget"  # passages of a unit that a language model may rate; 0 unless a profile says otherwise


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
        budget = int(settings.pop(RATER_BUDGET, 0))
        cleaned = works.collect()

        def cut() -> "pl.DataFrame":
            from resources.tokenizer import load_tokenizer
            from twainbot.chunks.windows import chunk_works

            folder = folders.model(tokenizer.collect()["folder"][0])
            return rated(chunk_works(cleaned, load_tokenizer(folder), **settings), Path(folders.cache), budget)

        yield from publish(context, cut, gates.chunk_gates(cleaned, settings["size"]), gates.summary)

    return chunks


def rated(rows: "pl.DataFrame", cache: Path, budget: int) -> "pl.DataFrame":
    """The rows, with a language model's ratings beside the rules' tags where one is named and the budget is not 0."""
    from resources.rater import load_rater

    rater = load_rater(cache / "ratings", budget)
    if rater is None:
        return rows
    import polars as pl

    asked = zip(rows["text"].to_list(), rows["style"].to_list(), strict=True)
    found = pl.DataFrame([rater.tag(text, style) for text, style in asked], infer_schema_length=None)
    return rows.hstack(found)


assets = [chunked(source) for source in SOURCES]
