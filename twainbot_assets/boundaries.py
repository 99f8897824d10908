"""Checks that need the whole picture, at the unpartitioned boundaries: suites, planted canaries, units without a file."""

import json
from typing import TYPE_CHECKING

import dagster as dg

from checks.expectations import as_check, suites
from checks.gates import named, outcome
from resources.lake import LakeResource
from resources.sources import Harvest
from twainbot_assets import keys
from twainbot_assets.canaries import COPIES, Canary, planted
from twainbot_assets.curated import PASSAGES, REJECTS
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import SOURCES, current

if TYPE_CHECKING:
    import polars as pl

UNIT_TABLES = ("corpora", "chunks", "screened")  # stages that curation reads a unit of


@dg.asset_check(
    asset=REJECTS, blocking=True, description="Each planted fault was rejected where it should be, for its reason."
)
def canaries_caught(lake: LakeResource, harvest: Harvest) -> dg.AssetCheckResult:
    """Copies, unknown rights, offence, eval text and broken rows of the sample, each against the rejects table."""
    rows = lake.open().read(keys.table(REJECTS))
    wanted = [canary for canary in planted(harvest) if canary.kind not in COPIES or canary.of]
    missed = [f"{canary.kind} {canary.work or canary.unit}" for canary in wanted if not caught(canary, rows)]
    why = f"{len(wanted) - len(missed)} of {len(wanted)} planted faults caught" + (
        f"; missed: {named(missed)}" if missed else ""
    )
    return outcome(not missed, why, blocking=True, metadata={"planted": len(wanted), "missed": len(missed)})


REASONS = {
    "unknown_rights": ("screened", "rights_unknown"),
    "offensive": ("screened", ("profanity", "abuse")),
    "eval_text": ("curated", "eval_text:"),
    "malformed": ("corpora", "malformed"),
}


def caught(canary: Canary, rejects: "pl.DataFrame") -> bool:
    """Whether the rejects hold the canary at the right stage for the right reason; of two copies either may go."""
    if canary.kind in COPIES:
        pair = rejects.filter(rejects["work_id"].is_in([canary.work, canary.of]) & (rejects["stage"] == "dedupe"))
        return pair.height > 0
    stage, reason = REASONS[canary.kind]
    found = rejects.filter((rejects["stage"] == stage) & (rejects["source"] == canary.source))
    if canary.work:
        found = found.filter(found["work_id"] == canary.work)
    else:
        found = found.filter(found["work_id"].str.starts_with(f"{canary.source}/{canary.unit}/"))
    return any(text.startswith(reason) for reasons in found["reasons"].to_list() for text in reasons)


@dg.asset_check(
    asset=PASSAGES,
    description="Every registered unit has a good version at each stage; in `full` a missing one blocks.",
    blocking=current().name == "full",
)
def every_unit_present(context: dg.AssetCheckExecutionContext, lake: LakeResource) -> dg.AssetCheckResult:
    """Registered units without a file: fan-ins went on without them. Named by the first stage that has none."""
    opened, absent = lake.open(), list[str]()
    for source in SOURCES:
        have = {table: set(opened.keys(table)) for table in (f"{stage}/{source}" for stage in UNIT_TABLES)}
        for unit in context.instance.get_dynamic_partitions(UNITS[source].name or source):
            absent += [f"{table} [{unit}]" for table, units in have.items() if unit not in units][:1]
    why = f"{len(absent)} units have no good version: {named(absent)}" if absent else "every unit has a good version"
    return outcome(not absent, why, blocking=current().name == "full", metadata={"absent": json.dumps(absent)})


checks = [canaries_caught, every_unit_present, *(as_check(suite) for suite in suites())]
