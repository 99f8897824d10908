"""What is fresh, stale or missing, and why: Dagster's own verdict, less the edges that are lineage only.

What Dagster recorded is missing all the same where its file has left the lake. Everything here reads the instance and the
names of the lake's files; runner.py acts on it.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias
from urllib.parse import unquote

import dagster as dg
from dagster._core.definitions.assets.graph.asset_graph import AssetGraph
from dagster._core.definitions.data_version import (
    CachingStaleStatusResolver,
    StaleCause,
    StaleStatus,
    extract_data_provenance_from_entry,
)
from dagster._core.event_api import PartitionKeyFilter
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import (
    AssetCheckExecutionRecord,
    AssetCheckExecutionRecordStatus,
)

from resources.lake import PART, Lake, LakeResource, reported
from twainbot.errors import UnknownName
from twainbot_assets import keys
from twainbot_assets.automation import ON_REQUEST, SLICES

# Seeds freeze what a batch is written from, so that new passages and bulletins never re-buy old dialogues: these edges
# are lineage only.
LINEAGE_ONLY = {(keys.key("dialogues/seeds"), keys.key(name)) for name in ("curated/passages", "corpora/weather")}

NEVER_MADE, FILE_GONE = "never materialized", "its file is gone"
PARTITION = "partition="  # in front of the key, in the name of a partition's folder

Blocking: TypeAlias = Mapping[dg.AssetKey, Sequence[dg.AssetCheckKey]]


@dataclass(frozen=True, order=True)
class Item:
    """One asset or one partition of it."""

    table: str
    partition: str | None = None

    def __str__(self) -> str:
        return self.table + (f" [{self.partition}]" if self.partition else "")

    @property
    def key(self) -> dg.AssetKey:
        """The asset's key."""
        return keys.key(self.table)


@dataclass(frozen=True)
class Verdict:
    """`missing`, `stale` or `fresh`; for stale the reasons, one plain line each."""

    state: str
    reasons: tuple[str, ...] = ()


class Files:
    """Which items have their file in the lake: one listing per table, kept. Where nobody names a lake, all have."""

    def __init__(self, lake: Lake | None) -> None:
        self.lake = lake
        self.listed: dict[str, set[str | None]] = {}

    def has(self, item: Item) -> bool:
        """Whether the item's file is there. One that a listing lacks is looked for itself: the UI may have made it since."""
        if self.lake is None:
            return True
        if item.table not in self.listed:
            self.listed[item.table] = files_of(self.lake, item.table)
        elif item.partition not in self.listed[item.table] and self.made_since(self.lake, item):
            self.add([item])
        return item.partition in self.listed[item.table]

    def made_since(self, lake: Lake, item: Item) -> bool:
        """Whether the file is there now."""
        with reported(lake.base):
            return lake.exists(item.table, item.partition)

    def add(self, items: Iterable[Item]) -> None:
        """Take note of items that were made since."""
        for item in items:
            self.listed.get(item.table, set()).add(item.partition)


def files_of(lake: Lake, table: str) -> set[str | None]:
    """The partition keys of a table that have a file; None stands for the file of a table without partitions."""
    with reported(lake.base):
        try:
            names = local_names(Path(lake.base, *table.split("/"))) if lake.is_local else store_names(lake, table)
        except FileNotFoundError:
            return set()
    return {None if name == PART else unquote(name.removeprefix(PARTITION)) for name in names}


def local_names(folder: Path) -> list[str]:
    """What a table's folder holds that is a part file, or a partition's folder with one in it."""
    with os.scandir(folder) as entries:
        listed = [entry.name for entry in entries if entry.name == PART or entry.name.startswith(PARTITION)]
    return [name for name in listed if name == PART or (folder / name / PART).is_file()]


def store_names(lake: Lake, table: str) -> list[str]:
    """The same in an object store, by one request: a prefix is there as long as an object is under it."""
    folder = lake.folder(table)
    names = (path.rstrip("/").rsplit("/", 1)[-1] for path in folder.fs.ls(folder.path, detail=False))
    return [name for name in names if name == PART or name.startswith(PARTITION)]


def lake_of(defs: dg.Definitions) -> Lake | None:
    """The lake that the assets read and write; None where they name none."""
    found = (defs.resources or {}).get("lake")
    return found.open() if isinstance(found, LakeResource) else None


class Freshness:
    """A view of the instance at one moment. Make a new one after every run. files: a listing of the lake to go on with."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance, files: Files | None = None) -> None:
        self.instance = instance
        self.files = files or Files(lake_of(defs))
        self.graph = defs.resolve_asset_graph()
        self.resolver = CachingStaleStatusResolver(instance, self.graph, LoadingContextForTest(instance))
        self.judged: dict[Item, list[str]] = {}  # what failed_checks found

    def of(self, item: Item) -> Verdict:
        """The verdict on one item."""
        status = self.resolver.get_status(item.key, item.partition)
        if status is StaleStatus.MISSING:
            return Verdict("missing", (NEVER_MADE,))
        if not self.files.has(item):
            return Verdict("missing", (FILE_GONE,))
        causes = [
            cause for cause in self.resolver.get_stale_causes(item.key, item.partition) if not lineage_only(cause)
        ]
        reasons = [*map(worded, causes), *self.made_of_none(item), *self.failed_checks(item)]
        return Verdict("stale", tuple(dict.fromkeys(reasons))) if reasons else Verdict("fresh")

    def made_of_none(self, item: Item) -> list[str]:
        """A line for each table that an item gathers and of which nothing was made yet when it did so.

        Dagster then keeps no place in its log to look on from, and takes whatever came since for known.
        """
        gathered = [key for key in self.gathered(item) if (item.key, key) not in LINEAGE_ONLY]
        if not gathered:
            return []
        record = self.instance.get_latest_data_version_record(item.key, partition_key=item.partition)
        provenance = extract_data_provenance_from_entry(record.event_log_entry) if record else None
        places = provenance.input_storage_ids if provenance else {}
        blind = [key for key in gathered if places.get(key, 0) is None and self.has_good(key)]
        return sorted(f"{keys.table(key)} was first made after it" for key in blind)

    def has_good(self, key: dg.AssetKey) -> bool:
        """Whether a registered partition of an asset was ever made."""
        made = self.instance.get_materialized_partitions(key)
        return any(item.partition in made for item in self.items(key))

    def failed_checks(self, item: Item) -> list[str]:
        """Blocking checks that failed or never ended: the item must be made again, and nothing is built on it until then.

        A partition's gates are not asked: what they refuse never reaches the lake, and its last good version stays.
        """
        if item not in self.judged:
            of_whole, of_partitions = blocking_checks(self.graph)
            listed = (of_whole if item.partition is None else of_partitions).get(item.key, ())
            self.judged[item] = self.trouble_with(item, listed) if listed else []
        return self.judged[item]

    def trouble_with(self, item: Item, listed: Sequence[dg.AssetCheckKey]) -> list[str]:
        """A line for each of these checks whose latest execution on the item was no good: one query for all."""
        only = None if item.partition is None else PartitionKeyFilter(key=item.partition)
        latest = self.instance.event_log_storage.get_latest_asset_check_execution_by_key(listed, only)
        found = {key.name: self.check_trouble(record) for key, record in latest.items()}
        return sorted(f"its check {name} {trouble}" for name, trouble in found.items() if trouble)

    def check_trouble(self, record: AssetCheckExecutionRecord) -> str:
        """What an execution of a check came to, where that was no good: "failed" as an error, or "never ended"."""
        if record.status is AssetCheckExecutionRecordStatus.PLANNED:
            run = self.instance.get_run_by_id(record.run_id)
            return "never ended" if run is None or run.is_finished else ""  # killed, or still at work
        evaluation = record.evaluation
        bad = evaluation is not None and not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR
        return "failed" if bad else ""

    def unsound_behind(self, key: dg.AssetKey) -> dict[Item, list[str]]:
        """All that an asset is made of, at whatever distance, whose blocking checks failed or never ended, in build order."""
        behind = self.graph.get_ancestor_asset_keys(key)
        listed = [item for each in self.ordered() if each in behind for item in self.items(each)]
        return {item: failed for item in listed if (failed := self.failed_checks(item))}

    def items(self, key: dg.AssetKey) -> list[Item]:
        """All partitions of an asset, or the asset itself."""
        node = self.graph.get(key)
        table = keys.table(key)
        if node.partitions_def is None:
            return [Item(table)]
        return [
            Item(table, part) for part in node.partitions_def.get_partition_keys(dynamic_partitions_store=self.instance)
        ]

    def parents(self, item: Item) -> Iterator[Item]:
        """The materializable items that an item reads: the same partition where the sets agree, else nothing partitioned.

        A fan-in reads whatever good files there are, so none of its upstream partitions is required.
        """
        node = self.graph.get(item.key)
        for key in node.parent_keys:
            parent = self.graph.get(key)
            if parent.is_external or not parent.is_materializable:
                continue
            if parent.partitions_def is None:
                yield Item(keys.table(key))
            elif parent.partitions_def == node.partitions_def:
                yield Item(keys.table(key), item.partition)

    def fan_in(self, item: Item) -> Iterator[Item]:
        """The registered partitions that an item reads of assets with other partition sets than its own."""
        for key in self.gathered(item):
            yield from self.items(key)

    def gathered(self, item: Item) -> Iterator[dg.AssetKey]:
        """The assets with other partition sets than its own that an item reads."""
        node = self.graph.get(item.key)
        for key in node.parent_keys:
            parent = self.graph.get(key)
            if parent.is_materializable and parent.partitions_def not in (None, node.partitions_def):
                yield key

    def materialized(self) -> tuple[set[Item], set[Item]]:
        """(Every item that has a good version, every one whose file is gone): a query and a listing per asset, where the
        resolver asks per item."""
        found = set()
        for key in self.ordered():
            table = keys.table(key)
            if self.graph.get(key).partitions_def is not None:
                found |= {Item(table, part) for part in self.instance.get_materialized_partitions(key)}
            elif self.instance.get_latest_materialization_event(key) is not None:
                found.add(Item(table))
        good = {item for item in found if self.files.has(item)}
        return good, found - good

    def ordered(self) -> list[dg.AssetKey]:
        """Materializable assets in the order of the stages, and inside a stage parents first."""
        rank = {stage: number for number, stage in enumerate(keys.STAGES)}
        listed = [key for key in self.graph.toposorted_asset_keys if self.graph.get(key).is_materializable]
        return sorted(listed, key=lambda key: rank.get(key.path[0], len(rank)))  # a stable sort keeps parents first


@lru_cache(maxsize=1)
def blocking_checks(graph: AssetGraph) -> tuple[Blocking, Blocking]:
    """The blocking checks of each asset without partitions, and those after the commit of each partition. Once a process."""
    of_whole: dict[dg.AssetKey, list[dg.AssetCheckKey]] = {}
    of_partitions: dict[dg.AssetKey, list[dg.AssetCheckKey]] = {}
    for key in graph.asset_check_keys:
        spec = graph.get_check_spec(key)
        if not spec.blocking:
            continue
        if graph.get(key.asset_key).partitions_def is None:
            of_whole.setdefault(key.asset_key, []).append(key)
        elif spec.partitions_def is not None and key not in graph.assets_def_for_key(key.asset_key).check_keys:
            of_partitions.setdefault(key.asset_key, []).append(key)
    return of_whole, of_partitions


def lineage_only(cause: StaleCause) -> bool:
    """Whether a cause comes over an edge that never makes its asset stale."""
    return (cause.asset_key, cause.dependency_asset_key) in LINEAGE_ONLY


def worded(cause: StaleCause) -> str:
    """A cause as a plain line."""
    dependency = cause.dependency
    if dependency is None:
        return f"it {cause.reason}"
    name = str(Item(keys.table(dependency.asset_key), dependency.partition_key))
    changes = {"has a new dependency data version": "changed", "has a new dependency materialization": "was made again"}
    if cause.reason in changes:
        return f"{name} {changes[cause.reason]}"
    return f"{cause.reason}" if dependency.asset_key.to_user_string() in cause.reason else f"{cause.reason}: {name}"


def selected(defs: dg.Definitions, selection: str | None) -> Sequence[dg.AssetKey] | None:
    """The assets that a selection names: stages, slices and tables, with Dagster's `+`, `and`, `or`, `not`; or its own syntax.

    Raises UnknownName where it names nothing.
    """
    if selection is None:
        return None
    graph = defs.resolve_asset_graph()
    tables = {keys.table(key) for key in graph.materializable_asset_keys}

    def named(match: re.Match[str]) -> str:
        word = match[0]
        groups = SLICES.get(word) or ((word,) if word in keys.STAGES else ())
        if word in tables or not groups:
            return f'key:"{word}"' if word in tables else word
        aside = [f' and not key:"{table}"' for table in ON_REQUEST if table in tables and table.split("/")[0] in groups]
        return f"(({' or '.join(f'group:{group}' for group in groups)}){''.join(aside)})"

    text = selection if ":" in selection else re.sub(r"[\w/]+", named, selection)
    known = f"stages ({', '.join(keys.STAGES[1:])}), slices ({', '.join(SLICES)}) and tables such as chunks/local"
    try:
        found = sorted(dg.AssetSelection.from_string(text).resolve(graph), key=keys.table)
    except dg.DagsterError as error:
        raise UnknownName(f"Nothing can be selected by {selection!r}. Known: {known}.") from error
    if not found:
        raise UnknownName(f"{selection!r} selects nothing. Known: {known}.")
    return found
