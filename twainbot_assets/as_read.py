"""A step records the version of each source that it reads, as it reads it.

Dagster takes what was last observed for what a step has read. A file that was edited since, built from, and then put
back would leave a table that counts as fresh and holds the other edition.
"""

from __future__ import annotations

import dagster as dg

from twainbot_assets import keys, sources
from twainbot_assets.data_versions import recorded, report_version
from twainbot_assets.freshness import Item
from twainbot_assets.profile import SOURCES


def record_sources(context: dg.AssetExecutionContext) -> None:
    """Observe the sources of this step that differ from their last observation, and take these for the step's provenance."""
    step, instance = context.get_step_execution_context(), context.instance
    plain = sources.plain_versions(sources.registered(instance))
    for key in sorted(context.assets_def.asset_deps[context.asset_key]):
        if key.path[0] != sources.GROUP:
            continue
        name, partition = key.path[-1], None if key.path[-1] in plain else context.partition_key
        item = Item(keys.table(key), partition)
        version = plain[name] if partition is None else version_of_partition(context, name, partition)
        if version != recorded(instance, item, observed=True):
            report_version(instance, item, version)
        step.wipe_input_asset_version_info(key)
        step.maybe_fetch_and_get_input_asset_version_info(key)


def version_of_partition(context: dg.AssetExecutionContext, name: str, partition: str) -> str:
    """The version now of a raw unit, of a recipe's section or of a mixture. Raises TwainBotError on what cannot be read."""
    if name in SOURCES:
        return sources.version_or_fault(context.resources.harvest.opened(name), partition)
    stage = name.removeprefix("recipe_")
    return sources.mixture_version(partition) if stage == "mixture" else sources.recipe_version(stage, partition)
