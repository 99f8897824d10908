"""Data versions as the instance has them, and those of what a release was made from. What is fresh is freshness.py's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import dagster as dg
from dagster._core.definitions.data_version import extract_data_version_from_entry

from twainbot.errors import BadInput
from twainbot_assets.freshness import Item
from twainbot_assets.partitions import counted

if TYPE_CHECKING:
    from resources.lake import Lake
    from resources.views import Units

RELEASED = ("splits/dapt", "splits/sft", "splits/preferences", "dialogues/screened")  # their rows go into a bundle
SHOWN = 16  # hex digits of a data version: publish.py's


def recorded(instance: dg.DagsterInstance, item: Item, observed: bool = False) -> str | None:
    """The latest data version of an item; None where the instance never saw one. observed: of a source or a setting."""
    found = instance.get_latest_data_version_record(item.key, is_source=observed, partition_key=item.partition)
    version = extract_data_version_from_entry(found.event_log_entry) if found is not None else None
    return version.value if version is not None else None


def report_version(instance: dg.DagsterInstance, item: Item, version: str) -> None:
    """Record an observation of a source or a setting with this data version."""
    tags = {"dagster/data_version": version}
    instance.report_runless_asset_event(dg.AssetObservation(asset_key=item.key, partition=item.partition, tags=tags))


def parents(
    instance: dg.DagsterInstance, lake: Lake, tables: Iterable[str], settings: Iterable[str], units: Units | None = None
) -> dict[str, str]:
    """Data version by item, of tables (every partition that has a file and still is one) and of observed settings.

    units: those that count, by source; without, all do. A table that this instance did not make, such as one out of a lake
    that was copied, has the hash of its content. Raises BadInput where a file is not of the version that was recorded.
    """
    items = [Item(table, key) for table in tables for key in parts(lake, table, units)]
    found = {
        str(item): version_of_item(instance, lake, item) for item in items if lake.exists(item.table, item.partition)
    }
    seen = {f"sources/settings_{name}": recorded(instance, Item(f"sources/settings_{name}"), True) for name in settings}
    return {**found, **{name: version for name, version in seen.items() if version}}


def parts(lake: Lake, table: str, units: Units | None) -> list[str | None]:
    """The partitions of a table that have a file and still are units or batches; None stands for a table without any."""
    made, counts = lake.keys(table), counted(table, units)
    return [key for key in made if counts is None or key in counts] if made else [None]


def version_of_item(instance: dg.DagsterInstance, lake: Lake, item: Item) -> str:
    """The recorded version of an item, or its content's hash; for what is released the two must agree."""
    from twainbot.records import content_hash

    known = recorded(instance, item)
    if known is not None and item.table not in RELEASED:
        return known
    now = content_hash(lake.read(item.table, item.partition))[:SHOWN]
    if known not in (None, now):
        raise BadInput(
            f"{item} in the lake has the content {now}, but version {known} was recorded: the file was replaced by hand. "
            f"Run `twainbot run --force --select {item.table}`, then release again."
        )
    return now
