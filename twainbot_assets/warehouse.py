"""The warehouse: a DuckDB catalogue with a view per table of the lake, for people and SQL. It holds no data of its own."""

from pathlib import Path
from typing import TYPE_CHECKING

import dagster as dg

from checks import warehouse as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.partitions import counted
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

WAREHOUSE = keys.key("warehouse")
READS = [
    keys.key("corpora/audit"),  # by these three views leave out what is no unit, batch or recipe any more
    keys.source("batches"),
    keys.source("recipes"),
    *(key for stage in ("corpora", "chunks", "screened") for key in keys.per_source(stage)),
    *(keys.key(f"curated/{name}") for name in ("passages", "rejects")),
    *(keys.key(f"dedupe/{name}") for name in ("edges", "clusters")),
    *(keys.key(f"dialogues/{name}") for name in ("screened",)),
    *(keys.key(f"splits/{name}") for name in ("assignments", "dapt", "sft", "preferences")),
    *(keys.key(f"adapters/{stage}") for stage in keys.TRAINING_STAGES),
    *(keys.key(f"evals/{name}") for name in ("baseline", "generations", "scorecard", "leaderboard")),
]


@dg.asset(
    key=WAREHOUSE, group_name="warehouse", deps=READS, check_specs=specs(WAREHOUSE, gates.GATES),
    code_version=version_of("twainbot.records"), kinds={"duckdb"}, pool="duckdb",
)  # fmt: skip
def warehouse(context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders) -> Published:
    """One row per view: its name, the files behind it, and how many rows it answered with."""
    from dagster_duckdb import DuckDBResource  # imported here: it brings DuckDB, a third of Dagster's own loading time

    from resources.views import rebuild

    opened = lake.open()

    def make() -> "pl.DataFrame":
        Path(folders.warehouse).parent.mkdir(parents=True, exist_ok=True)
        with DuckDBResource(database=folders.warehouse).get_connection() as connection:
            return rebuild(connection, opened, counted)

    yield from publish(context, make, gates.GATES, lambda _: {"database": dg.MetadataValue.path(folders.warehouse)})


assets = [warehouse]
