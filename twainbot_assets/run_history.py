"""Old runs: which the graph can forget, and how. Files are retention.py's.

`delete_run` takes a run's events with it, and with them the materializations that they are: an asset whose latest one is
deleted is missing. So every run stays that holds the latest materialization, observation or attempt of any asset or
partition, what the latest one was made of, or the latest result of any check; whatever has not ended; and the newest ones.
Then nothing that the graph says of itself changes.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg
from dagster._core.definitions.data_version import extract_data_provenance_from_entry

from twainbot_assets.retention import settled, size_of

if TYPE_CHECKING:
    from resources.home import Home

KEEP_RUNS, OLDER_THAN_DAYS = 200, 30.0
EVENTS = (
    dg.DagsterEventType.ASSET_MATERIALIZATION, dg.DagsterEventType.ASSET_OBSERVATION,
    dg.DagsterEventType.ASSET_MATERIALIZATION_PLANNED,  # the latest attempt: that it failed is part of the asset's state
)  # fmt: skip
READ = EVENTS[:2]  # what a materialization is made of
ENDS = (dg.DagsterEventType.RUN_SUCCESS, dg.DagsterEventType.RUN_FAILURE, dg.DagsterEventType.RUN_CANCELED)
GOING = ("REQUESTED", "CANCELING", "FAILING")  # states of a backfill that has not ended
DAY_S = 86_400.0
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_BATCH = 500  # ids in one query; SQLite takes 32,766


@dataclass(frozen=True)
class OldRun:
    """A run that can be forgotten, the bytes of its own files (SQLite's event log and what its steps printed), and where they
    may lie, though not each is there: to delete a run's events makes SQLite write a log beside them."""

    run_id: str
    said: str
    size: int
    paths: tuple[Path, ...] = ()


def at_work(instance: dg.DagsterInstance) -> list[str]:
    """Ids of runs that have not ended: their files are not to be touched."""
    return [record.dagster_run.run_id for record in instance.get_run_records() if not record.dagster_run.is_finished]


def forgettable(
    instance: dg.DagsterInstance, home: Home, checks: Iterable[dg.AssetCheckKey], now: float,
    keep_runs: int = KEEP_RUNS, older_than_days: float = OLDER_THAN_DAYS,
) -> list[OldRun]:  # fmt: skip
    """Ended runs beyond the newest `keep_runs` that ended so many days ago and hold nothing that counts, oldest first."""
    records = instance.get_run_records()  # newest first
    kept = {record.dagster_run.run_id for record in records[:keep_runs]} | held(instance, checks)
    kept |= needed_by_others(instance, [record.dagster_run for record in records])
    old = [
        record for record in records
        if record.dagster_run.is_finished and record.dagster_run.run_id not in kept
        and now - (record.end_time or record.update_timestamp.timestamp()) > older_than_days * DAY_S
    ]  # fmt: skip
    return [one_run(record, home) for record in reversed(old)]


def needed_by_others(instance: dg.DagsterInstance, runs: Sequence[dg.DagsterRun]) -> set[str]:
    """Runs that one at work repeats, and those of a backfill that has not ended: Dagster still counts them."""
    named = {"dagster/parent_run_id", "dagster/root_run_id"}
    found = {name for run in runs if not run.is_finished for tag, name in run.tags.items() if tag in named}
    going = {each.backfill_id for each in instance.get_backfills() if each.status.value in GOING}
    return found | {run.run_id for run in runs if run.tags.get("dagster/backfill") in going}


def one_run(record: Any, home: Home) -> OldRun:
    """A run with what lies on disk of it."""
    run: dg.DagsterRun = record.dagster_run
    made = [key.to_user_string() for key in sorted(run.asset_selection or ())]
    what = ", ".join(made[:2]) + (f" and {len(made) - 2} more" if len(made) > 2 else "") or run.job_name
    partition = run.tags.get("dagster/partition")
    said = f"{what}{f' [{partition}]' if partition else ''}, {run.status.value}, {record.create_timestamp:%Y-%m-%d}"
    paths = tuple(files_of(home, run.run_id))
    return OldRun(run.run_id, said, sum(size_of(path) for path in paths if path.exists()), paths)


def files_of(home: Home, run_id: str) -> Iterator[Path]:
    """Where a run's own files lie: its shard of the event log on SQLite, and its steps' output."""
    state = home.own / "dagster"
    for end in ("", "-wal", "-shm"):
        yield state / "history" / "runs" / f"{run_id}.db{end}"
    yield state / "logs" / run_id
    yield state / "storage" / run_id


def held(instance: dg.DagsterInstance, checks: Iterable[dg.AssetCheckKey]) -> set[str]:
    """Runs that hold the latest of something: an event of an asset or partition, a check's result, the event log's end."""
    found = set[str]()
    for key in instance.all_asset_keys():
        for kind in EVENTS:
            found |= latest_of(instance, key, kind)
    found |= read_by_latest(instance)
    listed = list(checks)
    storage = instance.event_log_storage
    found |= {record.run_id for record in storage.get_latest_asset_check_execution_by_key(listed).values()}
    found |= {info.latest_planned_run_id for info in storage.get_asset_check_partition_info(listed)}
    for kind in ENDS:  # cursors of sensors stand on ids, and Dagster's own SQLite storage gives a last one again
        found |= {record.run_id for record in instance.fetch_run_status_changes(kind, limit=1).records}
    return found


def latest_of(instance: dg.DagsterInstance, key: dg.AssetKey, kind: dg.DagsterEventType) -> set[str]:
    """Runs of the latest events of one kind of an asset, one for each partition that it ever had."""
    storage: Any = instance.event_log_storage
    ids = list(storage.get_latest_storage_id_by_partition(key, kind).values())
    found = {record.run_id for record in storage.get_asset_event_summary_records(kind, asset_key=key, limit=1)}
    for start in range(0, len(ids), _BATCH):
        records = storage.get_asset_event_summary_records(kind, asset_key=key, storage_ids=ids[start : start + _BATCH])
        found |= {record.run_id for record in records}
    return found


def read_by_latest(instance: dg.DagsterInstance) -> set[str]:
    """Runs of what the latest materializations read of partitions that had an event since. Dagster compares the two, and
    where the older one is gone takes the newer for a change, though a unit was merely looked at again."""
    storage: Any = instance.event_log_storage
    every = list(instance.all_asset_keys())
    newest = {(key, kind): storage.get_latest_storage_id_by_partition(key, kind) for key in every for kind in READ}
    found = set[str]()
    for dep, kind, name, place in {each for key in every for each in followed(instance, key, newest)}:
        fetch = instance.fetch_observations if kind is READ[1] else instance.fetch_materializations
        wanted = dg.AssetRecordsFilter(asset_key=dep, asset_partitions=[name], before_storage_id=place + 1)
        found |= {record.run_id for record in fetch(wanted, limit=1).records}
    return found


def followed(
    instance: dg.DagsterInstance, key: dg.AssetKey, newest: Mapping[tuple[dg.AssetKey, dg.DagsterEventType], Any]
) -> Iterator[tuple[dg.AssetKey, dg.DagsterEventType, str, int]]:
    """(asset, kind, partition, place in the log) of what the latest materializations of a key read and is not the newest."""
    ids = list(newest[key, READ[0]].values())
    filters: list[Any] = [
        dg.AssetRecordsFilter(asset_key=key, storage_ids=ids[at : at + _BATCH]) for at in range(0, len(ids), _BATCH)
    ]
    for wanted in filters or [key]:
        for record in instance.fetch_materializations(wanted, limit=_BATCH if filters else 1).records:
            provenance = extract_data_provenance_from_entry(record.event_log_entry)
            for dep, place in (provenance.input_storage_ids if provenance else {}).items():
                for kind in READ:
                    known, own = newest.get((dep, kind), {}), record.partition_key
                    names = [own] if own is not None and own in known else list(known)
                    yield from ((dep, kind, name, place) for name in names if place and known[name] > place)


def forget(instance: dg.DagsterInstance, runs: Sequence[OldRun]) -> None:
    """Delete runs with their events and files. Killed between two, the next call goes on."""
    for run in runs:
        instance.delete_run(run.run_id)
        instance.compute_log_manager.delete_logs(prefix=[run.run_id])
        for path in run.paths:
            shutil.rmtree(path, ignore_errors=True) if path.is_dir() else path.unlink(missing_ok=True)


def leftovers(instance: dg.DagsterInstance, home: Home, now: float) -> list[tuple[Path, int]]:
    """Files of runs that no longer exist, such as those deleted in the UI, which leaves them, and what an interrupted or
    another version's storage left beside them. Of SQLite and this disk only."""
    from resources.instance_storage import TEMPLATE

    known = {record.dagster_run.run_id for record in instance.get_run_records()}
    state, shards = home.own / "dagster", home.own / "dagster" / "history" / "runs"
    candidates = [
        *shards.glob("*.db*"), *(state / "logs").glob("*"), *(state / "storage").glob("*"),
    ]  # fmt: skip
    gone = [path for path in candidates if (name := path.name.split(".")[0]) not in known and _RUN_ID.match(name)]
    gone += [path for path in shards.glob("shard-*") if not path.name.startswith(TEMPLATE)]
    return [(path, size_of(path)) for path in sorted(gone) if settled(path, now)]
