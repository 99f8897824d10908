"""What is fresh, stale or missing, and why: Dagster's own verdict, less the edges that are lineage only.

Everything here reads the instance; runner.py acts on it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import dagster as dg
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleCause, StaleStatus
from dagster._core.loader import LoadingContextForTest
from dagster._core.storage.asset_check_execution_record import AssetCheckExecutionRecordStatus

from twainbot.errors import UnknownName
from twainbot_assets import keys
from twainbot_assets.automation import ON_REQUEST, SLICES

# Seeds freeze what a batch is written from, so that new passages and bulletins never re-buy old dialogues: these edges
# are lineage only.
LINEAGE_ONLY = {(keys.key("dialogues/seeds"), keys.key(name)) for name in ("curated/passages", "corpora/weather")}


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


class Freshness:
    """A view of the instance at one moment. Make a new one after every run."""

    def __init__(self, defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
        self.instance = instance
        self.graph = defs.resolve_asset_graph()
        self.resolver = CachingStaleStatusResolver(instance, self.graph, LoadingContextForTest(instance))

    def of(self, item: Item) -> Verdict:
        """The verdict on one item."""
        status = self.resolver.get_status(item.key, item.partition)
        if status is StaleStatus.MISSING:
            return Verdict("missing", ("never materialized",))
        causes = [
            cause for cause in self.resolver.get_stale_causes(item.key, item.partition) if not lineage_only(cause)
        ]
        failed = self.failed_checks(item)
        if not causes and not failed:
            return Verdict("fresh")
        return Verdict("stale", tuple(dict.fromkeys([*map(worded, causes), *failed])))

    def failed_checks(self, item: Item) -> list[str]:
        """Blocking checks of an unpartitioned asset that failed or never ended: the asset must be made again."""
        if item.partition is not None:
            return []
        blocking = [
            key for key in self.graph.get_check_keys_for_assets({item.key}) if self.graph.get_check_spec(key).blocking
        ]
        found = {key.name: self.check_trouble(key) for key in blocking}
        return sorted(f"its check {name} {trouble}" for name, trouble in found.items() if trouble)

    def check_trouble(self, key: dg.AssetCheckKey) -> str:
        """What the latest execution of a check came to, where that was no good: "failed" as an error, or "never ended"."""
        record = self.instance.event_log_storage.get_latest_asset_check_execution_by_key([key]).get(key)
        if record is None:
            return ""
        if record.status is AssetCheckExecutionRecordStatus.PLANNED:
            run = self.instance.get_run_by_id(record.run_id)
            return "never ended" if run is None or run.is_finished else ""  # killed, or still at work
        evaluation = record.evaluation
        bad = evaluation is not None and not evaluation.passed and evaluation.severity is dg.AssetCheckSeverity.ERROR
        return "failed" if bad else ""

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

    def materialized(self) -> set[Item]:
        """Every item of which a good version was ever committed: a query per asset, where the resolver asks per item."""
        found = set()
        for key in self.ordered():
            table = keys.table(key)
            if self.graph.get(key).partitions_def is not None:
                found |= {Item(table, part) for part in self.instance.get_materialized_partitions(key)}
            elif self.instance.get_latest_materialization_event(key) is not None:
                found.add(Item(table))
        return found

    def ordered(self) -> list[dg.AssetKey]:
        """Materializable assets in the order of the stages, and inside a stage parents first."""
        rank = {stage: number for number, stage in enumerate(keys.STAGES)}
        listed = [key for key in self.graph.toposorted_asset_keys if self.graph.get(key).is_materializable]
        return sorted(listed, key=lambda key: rank.get(key.path[0], len(rank)))  # a stable sort keeps parents first


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
    try:
        return sorted(dg.AssetSelection.from_string(text).resolve(graph), key=keys.table)
    except dg.DagsterError as error:
        known = f"stages ({', '.join(keys.STAGES[1:])}), slices ({', '.join(SLICES)}) and tables such as chunks/local"
        raise UnknownName(f"Nothing can be selected by {selection!r}. Known: {known}.") from error
