"""Commits whose record a kill cut off. Between the rename of a table and Dagster's record of it lie milliseconds; a run that
dies there leaves a newer file than the log names, and a source that is then changed back would make it look fresh.

So each file names the run that wrote it, and where that run did not succeed, the file is compared with the record. What
differs is recorded as what it is, under a code version that no asset has: stale by Dagster's own verdict, and made again.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote

import dagster as dg

from resources.lake import PART, Lake
from twainbot_assets.data_versions import SHOWN, recorded
from twainbot_assets.freshness import Item

if TYPE_CHECKING:
    import polars as pl

CUT_OFF = "cut off between commit and record"


def settle(instance: dg.DagsterInstance, lake: Lake) -> list[Item]:
    """Record every table of a local lake that is another one than its record says; those, which are stale from now on."""
    writers = {item: run for item in items(lake) if (run := lake.writer(item.table, item.partition))}
    if not writers:
        return []
    runs = instance.get_runs(dg.RunsFilter(run_ids=sorted(set(writers.values()))))
    failed = {run.run_id for run in runs if run.is_failure_or_canceled}
    found = [item for item, run in writers.items() if run in failed and differs(instance, lake, item)]
    for item in found:
        tags = {
            "dagster/data_version": version_of(lake.read(item.table, item.partition)),
            "dagster/code_version": CUT_OFF,
        }
        text = f"Its run was {CUT_OFF}. The next run makes it again."
        instance.report_runless_asset_event(
            dg.AssetMaterialization(item.key, partition=item.partition, tags=tags, description=text)
        )
    return found


def items(lake: Lake) -> Iterator[Item]:
    """Everything that has a file; nothing in an object store, where each look would be a request."""
    if not lake.is_local:
        return
    root = Path(lake.base)
    for path in sorted(root.glob(f"**/{PART}")):
        *table, last = path.relative_to(root).parts[:-1]
        if last.startswith("partition="):
            yield Item("/".join(table), unquote(last.removeprefix("partition=")))
        else:
            yield Item("/".join([*table, last]))


def differs(instance: dg.DagsterInstance, lake: Lake, item: Item) -> bool:
    """Whether an item that was recorded once is another one now."""
    known = recorded(instance, item)
    return known is not None and version_of(lake.read(item.table, item.partition)) != known


def version_of(rows: pl.DataFrame) -> str:
    """The data version that publish.py gives these rows: an adapter's fingerprint, else the hash of the content."""
    from twainbot.records import content_hash

    return str(rows["fingerprint"][0] if "fingerprint" in rows.columns and rows.height == 1 else content_hash(rows))[
        :SHOWN
    ]
