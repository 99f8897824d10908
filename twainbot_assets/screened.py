"""Stage screened: keep, review or reject every chunk, with reasons. The rules are twainbot/screening's."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import screened as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.curation_reports import works_by_screen
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import SOURCES, Profile, current
from twainbot_assets.publish import Published, publish

if TYPE_CHECKING:
    import polars as pl

    from checks.gates import Gate


def gates_of(profile: Profile, chunks: "pl.DataFrame | None") -> "list[Gate]":
    """The stage's gates with the profile's bounds: `full` needs toxicity weights, the others warn without."""
    return gates.screen_gates(chunks, profile.max_rejected_share, weights_required=profile.name == "full")


def screened_source(source: str) -> dg.AssetsDefinition:
    """The decisions on one source's chunks, one row per chunk."""
    key = keys.key(f"screened/{source}")

    @dg.asset(
        key=key,
        group_name="screened",
        ins={"chunks": dg.AssetIn(keys.key(f"chunks/{source}"))},
        deps=[keys.settings("screening"), keys.source("lexicon")],
        partitions_def=UNITS[source],
        check_specs=specs(key, gates_of(current(), None), UNITS[source]),
        code_version=version_of("twainbot.screening.decide"),
        kinds={"polars", "parquet"},
        description=f"Decision and reasons for every chunk of `chunks/{source}`.",
    )
    def screened(context: dg.AssetExecutionContext, folders: Folders, chunks: Table) -> Published:
        rows = chunks.collect()

        def decide() -> "pl.DataFrame":
            from resources.toxicity import load_scorer
            from twainbot.screening import ScreeningSettings, screen

            scorer = load_scorer(os.environ.get("TWAINBOT_TOXICITY_MODEL"), Path(folders.cache) / "toxicity")
            return screen(rows, scorer, ScreeningSettings(**current().screening))

        yield from publish(context, decide, gates_of(current(), rows), screen_metadata)

    return screened


def screen_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """The stage's numbers by the profile's own bounds, and the works of which least was kept."""
    from twainbot.screening import ScreeningSettings

    bounds = ScreeningSettings(**current().screening)
    return {**gates.summary(rows, bounds), "works_by_screen": works_by_screen(rows)}


assets = [screened_source(source) for source in SOURCES]
