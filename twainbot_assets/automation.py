"""Named jobs: slices of the graph that people launch from the UI, or select by name on the command line.

A Dagster job holds one partition set, so harvesting is a job per source. Releases are in none of them.
"""

from typing import Any, TypeAlias

import dagster as dg

from twainbot_assets import keys
from twainbot_assets.profile import SOURCES

Job: TypeAlias = Any  # dg.define_asset_job returns a private class

UNIT_STAGES = ("corpora", "chunks", "screened", "dedupe/signatures")  # one partition a unit
SLICES = {  # name of a slice -> Dagster selection
    "harvest": "group:corpora",
    "curate": "group:chunks or group:screened or group:dedupe or group:curated",
    "synthesize": "group:dialogues or group:splits",
    "train": "group:base or group:adapters",
    "evaluate": "group:evals or group:warehouse",
}


def harvest_job(source: str) -> Job:
    """Everything that one unit of a source goes through on its own."""
    chosen = dg.AssetSelection.assets(*(keys.key(f"{stage}/{source}") for stage in UNIT_STAGES))
    return dg.define_asset_job(
        f"harvest_{source}", chosen, description=f"Units of {source}: clean, cut, screen, sketch."
    )


def slice_job(name: str, description: str, selection: str) -> Job:
    """A slice whose assets share at most one partition set."""
    return dg.define_asset_job(name, dg.AssetSelection.from_string(selection), description=description)


jobs = [
    *(harvest_job(source) for source in SOURCES),
    slice_job("curate", "Near-duplicates over all sources, and what may be trained on.",
              'key:"dedupe/edges" or key:"dedupe/clusters" or group:curated'),
    slice_job("synthesize", "Dialogues, and who trains on what.", SLICES["synthesize"]),
    slice_job("train", "The adapters of a recipe.", SLICES["train"]),
    slice_job("evaluate", "Base against adapter, scorecard, leaderboard, warehouse.", SLICES["evaluate"]),
]  # fmt: skip
