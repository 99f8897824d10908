"""Named jobs: slices of the graph that people launch from the UI, or select by name on the command line.

A Dagster job holds one partition set, so harvesting is a job per source. Releases are in none of them.
"""

from typing import Any, TypeAlias

import dagster as dg

from twainbot_assets import keys
from twainbot_assets.profile import SOURCES, current

Job: TypeAlias = Any  # dg.define_asset_job returns a private class

UNIT_STAGES = ("corpora", "chunks", "screened", "dedupe/signatures")  # one partition a unit
SLICES = {  # name of a slice -> groups of assets
    "harvest": ("corpora",),
    "curate": ("chunks", "screened", "dedupe", "curated"),
    "synthesize": ("dialogues", "splits"),
    "train": ("base", "adapters"),
    "evaluate": ("evals", "warehouse"),
}
ACROSS = {
    "mix": "Adapters of other recipes, added up.",
    "personas": "The router, and the comparison of all personas' adapters that are there.",
}
# Built where somebody asks by name: no run of everything, no refresh and no slice does. A stage, and a table.
ON_REQUEST = ("release", "dedupe/semantic")


def on_request(key: dg.AssetKey) -> bool:
    """Whether this asset is built only where somebody asks for it."""
    return key.path[0] in ON_REQUEST or keys.table(key) in ON_REQUEST


def harvest_job(source: str) -> Job:
    """Everything that one unit of a source goes through on its own."""
    chosen = dg.AssetSelection.assets(*(keys.key(f"{stage}/{source}") for stage in UNIT_STAGES))
    return dg.define_asset_job(
        f"harvest_{source}", chosen, description=f"Units of {source}: clean, cut, screen, sketch."
    )


def observe_job(source: str) -> Job:
    """The observation of all units of a source: fetches what changed, records versions, builds nothing."""
    return dg.define_asset_job(
        f"observe_{source}",
        dg.AssetSelection.assets(keys.source(source)),
        description=f"Units of {source}: what is new, what changed.",
    )


def slice_job(name: str, description: str, *more: str) -> Job:
    """A slice whose assets share at most one partition set: its groups, or the named tables and groups in their stead."""
    chosen = selection_of(*(more or SLICES[name]))
    across = [table for tables in across_recipes().values() for table in tables]
    return dg.define_asset_job(name, chosen - selection_of(*across) if across else chosen, description=description)


def selection_of(*names: str) -> dg.AssetSelection:
    """Assets by table, where a name has a slash, and by group. Parsing a selection text costs 20 ms each, at every load."""
    tables = [keys.key(name) for name in names if "/" in name]
    groups = [name for name in names if "/" not in name]
    return dg.AssetSelection.groups(*groups) | dg.AssetSelection.assets(*tables)


def across_recipes() -> dict[str, list[str]]:
    """Jobs over the adapters of several recipes, where the profile lists such: their assets lack the recipes' partitions."""
    found = {}
    if current().mixtures:
        found["mix"] = ["adapters/mixture"]
    if len(current().personas) > 1:
        found["personas"] = ["adapters/router", "evals/personas"]
    return found


observe_jobs = {source: observe_job(source) for source in SOURCES}
jobs = [
    *observe_jobs.values(),
    *(harvest_job(source) for source in SOURCES),
    slice_job("curate", "Near-duplicates over all sources, and what may be trained on.",
              "dedupe/edges", "dedupe/clusters", "curated"),
    slice_job("synthesize", "Dialogues, and who trains on what."),
    slice_job("train", "The adapters of a recipe."),
    slice_job("evaluate", "Base against adapter, scorecard, leaderboard, warehouse."),
    *(dg.define_asset_job(name, selection_of(*tables), description=ACROSS[name]) for name, tables in across_recipes().items()),
]  # fmt: skip
