"""A step records the version of each source that it reads, as it reads it.

Dagster takes what was last observed for what a step has read. A file that was edited since, built from, and then put
back would leave a table that counts as fresh and holds the other edition.
"""

from __future__ import annotations

import dagster as dg

from twainbot_assets import sources
from twainbot_assets.data_versions import recorded, report_version
from twainbot_assets.freshness import Item
from twainbot_assets.keys import TRAINING_STAGES
from twainbot_assets.profile import SOURCES


def record_sources(context: dg.AssetExecutionContext) -> None:
    """Observe the sources of this step that differ from their last observation, and take these for the step's provenance."""
    step = context.get_step_execution_context()
    for key in sorted(context.assets_def.asset_deps[context.asset_key]):
        if key.path[0] != sources.GROUP:
            continue
        item, version = version_read(context, key)
        if version != recorded(context.instance, item, observed=True):
            report_version(context.instance, item, version)
        step.wipe_input_asset_version_info(key)
        step.maybe_fetch_and_get_input_asset_version_info(key)


def version_read(context: dg.AssetExecutionContext, key: dg.AssetKey) -> tuple[Item, str]:
    """The item of a source that this step reads, and its version now. Raises TwainBotError on a unit at fault."""
    name = key.path[-1]
    table, stage = "/".join(key.path), name.removeprefix("recipe_")
    if name in SOURCES:
        door = context.resources.harvest.opened(name)
        return Item(table, context.partition_key), sources.version_or_fault(door, context.partition_key)
    if stage in TRAINING_STAGES:
        return Item(table, context.partition_key), sources.recipe_versions(stage)[context.partition_key]
    if stage == "mixture":
        return Item(table, context.partition_key), sources.mixture_versions()[context.partition_key]
    return Item(table), sources.plain_versions(sources.registered(context.instance))[name]
