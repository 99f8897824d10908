"""Stage splits: who trains, who validates, who tests, and the tables that training reads. Rules: twainbot/splits."""

from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import splits as gates
from checks.gates import specs
from resources.lake import Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.curated import PASSAGES
from twainbot_assets.dialogues import PAIRS
from twainbot_assets.dialogues import SCREENED as DIALOGUES
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, counts_table, publish

if TYPE_CHECKING:
    import polars as pl

ASSIGNMENTS, DAPT, SFT, PREFERENCES = (
    keys.key(f"splits/{name}") for name in ("assignments", "dapt", "sft", "preferences")
)
SHARED: dict[str, Any] = {"group_name": "splits", "kinds": {"polars", "parquet"}}
EXPORT = version_of("twainbot.splits.export")


@dg.asset(
    key=ASSIGNMENTS,
    ins={"passages": dg.AssetIn(PASSAGES), "dialogues": dg.AssetIn(DIALOGUES), "pairs": dg.AssetIn(PAIRS)},
    deps=[keys.settings("splits"), keys.source("batches")],
    check_specs=specs(ASSIGNMENTS, gates.assignment_gates(None, 0, 1)),
    code_version=version_of("twainbot.splits.assign", "twainbot.splits.straddling", "twainbot.splits.export"),
    **SHARED,
)
def assignments(context: dg.AssetExecutionContext, passages: Table, dialogues: Table, pairs: Table) -> Published:
    """The split of every sample; no cluster, work, dialogue seed, place or bulletin is in two."""
    from twainbot.splits.assign import assign
    from twainbot.splits.export import samples
    from twainbot.splits.straddling import hold_back

    profile = current()
    listed = samples(passages.collect(), dialogues.collect(), pairs.collect())
    judged = gates.assignment_gates(listed, profile.volume.at_least, profile.volume.at_most)
    yield from publish(context, lambda: hold_back(assign(listed, **profile.splits), listed), judged, split_counts)


def split_counts(rows: "pl.DataFrame") -> dict[str, Any]:
    """Samples by stratum and split."""
    table = rows.pivot("split", index="stratum", values="sample_id", aggregate_function="len").sort("stratum")
    return {"by_stratum": counts_table(table.to_dicts())}


@dg.asset(
    key=DAPT,
    ins={"passages": dg.AssetIn(PASSAGES), "assignments": dg.AssetIn(ASSIGNMENTS)},
    check_specs=specs(DAPT, gates.TABLES),
    code_version=EXPORT,
    **SHARED,
)
def dapt(context: dg.AssetExecutionContext, passages: Table, assignments: Table) -> Published:
    """Passages for domain-adaptive pretraining."""
    from twainbot.splits.export import dapt_rows

    yield from publish(context, lambda: dapt_rows(passages.collect(), assignments.collect()), gates.TABLES, by_split)


@dg.asset(
    key=SFT,
    ins={"dialogues": dg.AssetIn(DIALOGUES), "assignments": dg.AssetIn(ASSIGNMENTS)},
    check_specs=specs(SFT, gates.TABLES),
    code_version=EXPORT,
    **SHARED,
)
def sft(context: dg.AssetExecutionContext, dialogues: Table, assignments: Table) -> Published:
    """Dialogues for supervised fine-tuning, as chat messages with their tools."""
    from twainbot.splits.export import sft_rows

    yield from publish(context, lambda: sft_rows(dialogues.collect(), assignments.collect()), gates.TABLES, by_split)


@dg.asset(
    key=PREFERENCES,
    ins={"pairs": dg.AssetIn(PAIRS), "assignments": dg.AssetIn(ASSIGNMENTS)},
    deps=[keys.source("batches")],
    check_specs=specs(PREFERENCES, gates.TABLES),
    code_version=EXPORT,
    **SHARED,
)
def preferences(context: dg.AssetExecutionContext, pairs: Table, assignments: Table) -> Published:
    """Preference pairs for direct preference optimisation."""
    from twainbot.splits.export import preference_rows

    yield from publish(context, lambda: preference_rows(pairs.collect(), assignments.collect()), gates.TABLES, by_split)


def by_split(rows: "pl.DataFrame") -> dict[str, Any]:
    """Rows by split."""
    return {f"{split}_rows": int(count) for split, count in rows["split"].value_counts().iter_rows()}


assets = [assignments, dapt, sft, preferences]
