"""Old runs go, and nothing that the graph says of itself changes: that is what is tested on a real SQLite instance."""

from __future__ import annotations

import os
import shutil
import sqlite3
import time
from typing import Any

import dagster as dg
import pytest
from dagster._core.definitions.data_version import CachingStaleStatusResolver
from dagster._core.loader import LoadingContextForTest

from resources.home import Home
from resources.instance_storage import ENGINES, TEMPLATE, KeptSqliteStorage
from twainbot.errors import BadUse
from twainbot_assets import cleaning, run_history
from twainbot_assets.cleaning import Bounds
from twainbot_assets.runner import HOST_TAG, PID_TAG, only_one

pytestmark = pytest.mark.slow

UNITS = dg.StaticPartitionsDefinition(["a", "b", "c"])
FAILS: set[str] = set()
LATER = 40 * run_history.DAY_S


@dg.observable_source_asset(partitions_def=UNITS)
def raw():
    return dg.DataVersionsByPartition({unit: f"v{unit}" for unit in "abc"})


@dg.asset(
    deps=[raw], partitions_def=UNITS, check_specs=[dg.AssetCheckSpec("holds", asset="work", partitions_def=UNITS)]
)
def work(context):
    unit = context.partition_key
    if unit in FAILS:
        raise dg.Failure(description="no")
    version = dg.DataVersion(unit)
    print("some output")
    yield dg.MaterializeResult(data_version=version, check_results=[dg.AssetCheckResult(passed=unit != "c")])


@dg.asset(deps=[work])
def merged():
    return dg.MaterializeResult(data_version=dg.DataVersion("m"))


@dg.asset_check(asset=merged, blocking=True)
def merged_holds():
    return dg.AssetCheckResult(passed=True)


DEFS = dg.Definitions(assets=[raw, work, merged], asset_checks=[merged_holds])
LOOK = dg.Definitions(assets=[raw], jobs=[dg.define_asset_job("look", [raw])]).resolve_job_def("look")
CHECKS = [dg.AssetCheckKey(dg.AssetKey("work"), "holds"), dg.AssetCheckKey(dg.AssetKey("merged"), "merged_holds")]


def opened(home: Home) -> dg.DagsterInstance:
    """The instance of a home, on the storage of `dagster.yaml`, with steps' output in files."""
    state = str(home.own / "dagster")
    manager = {"module": "dagster._core.storage.local_compute_log_manager", "class": "LocalComputeLogManager"}
    places = {
        "telemetry": {"enabled": False},
        "storage": {
            "custom": {
                "module": KeptSqliteStorage.__module__,
                "class": KeptSqliteStorage.__name__,
                "config": {"base_dir": state},
            }
        },
        "compute_logs": {**manager, "config": {"base_dir": f"{state}/logs"}},
    }
    return dg.DagsterInstance.local_temp(state, overrides=places)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> tuple[Home, dict[str, list[str]]]:
    """A home with two generations of everything, made once and copied for each test; run ids by what they made."""
    home = Home(tmp_path_factory.mktemp("template"), "tiny")
    (home.own / "dagster" / "logs").mkdir(parents=True)
    found: dict[str, list[str]] = {name: [] for name in ("a", "b", "c", "merged")}
    with opened(home) as instance:
        for _ in range(2):
            for unit in "abc":
                found[unit].append(run(instance, "work", unit=unit))
            found["merged"].append(run(instance, "merged"))
    ENGINES.close()  # as a process does that ends
    return home, found


@pytest.fixture
def home(tmp_path, template, monkeypatch):
    monkeypatch.delenv("TWAINBOT_LAKE", raising=False)
    monkeypatch.setattr(cleaning, "check_keys", lambda: CHECKS)
    FAILS.clear()
    shutil.copytree(template[0].own, tmp_path / "tiny")
    return Home(tmp_path, "tiny").prepare()


@pytest.fixture
def made(template):
    return template[1]


@pytest.fixture
def instance(home):
    with opened(home) as found:
        yield found


def run(instance, *names: str, unit: str | None = None) -> str:
    job = DEFS.resolve_implicit_global_asset_job_def()
    chosen = [dg.AssetKey(name) for name in names]
    done = job.execute_in_process(instance=instance, partition_key=unit, asset_selection=chosen, raise_on_error=False)
    return done.run_id


def state_of(instance) -> dict[str, Any]:
    """All that the graph and the UI say of the assets."""
    graph = DEFS.resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    items = [(dg.AssetKey("work"), unit) for unit in "abc"] + [(dg.AssetKey("merged"), None)]
    storage = instance.event_log_storage
    return {
        "stale": {str(item): (resolver.get_status(*item), resolver.get_stale_causes(*item)) for item in items},
        "versions": {str(item): resolver.get_current_data_version(*item).value for item in items},
        "made": {key.to_user_string(): sorted(instance.get_materialized_partitions(key)) for key, _ in items},
        "states": dict(instance.get_status_by_partition(dg.AssetKey("work"), list("abc"), UNITS) or {}),
        "checks": sorted((str(info.check_key), str(info.partition_key), str(info))
                         for info in storage.get_asset_check_partition_info(CHECKS)),
        "latest": {key.to_user_string(): event and event.run_id
                   for key, event in instance.get_latest_materialization_events([key for key, _ in items]).items()},
    }  # fmt: skip


def forgettable(instance, home, keep=1, days=30.0, now=None):
    found = run_history.forgettable(instance, home, CHECKS, now or time.time() + LATER, keep, days)
    return [one.run_id for one in found]


def clean(home, instance, ask=cleaning.always, keep=1, days=30.0) -> list[str]:
    lines: list[str] = []
    cleaning.clean(home, instance, Bounds(keep, days), ask, lines.append, time.time() + LATER)
    return lines


def test_deleting_its_runs_makes_a_partition_missing_which_is_why_some_runs_stay(instance, made):
    assert instance.get_materialized_partitions(dg.AssetKey("work")) == {"a", "b", "c"}
    for run_id in made["a"]:
        instance.delete_run(run_id)
    assert instance.get_materialized_partitions(dg.AssetKey("work")) == {"b", "c"}


def test_runs_that_were_followed_go_and_the_graph_says_the_same_as_before(home, instance, made):
    before = state_of(instance)
    first = [runs[0] for runs in made.values()]
    assert forgettable(instance, home) == first
    lines = clean(home, instance)
    assert [record.dagster_run.run_id for record in instance.get_run_records()] == [
        runs[1] for runs in reversed(made.values())
    ]
    assert state_of(instance) == before
    assert forgettable(instance, home) == []
    assert lines[-1].startswith("4 unneeded, ")
    assert lines[-1].endswith("4 runs, 0 files and folders.")


def test_what_was_made_or_looked_at_again_with_the_same_version_makes_nothing_stale_when_the_older_runs_go(
    home, instance
):
    def look() -> str:
        return LOOK.execute_in_process(instance=instance).run_id

    read = [look(), *(run(instance, "work", unit=unit) for unit in "abc")]
    run(instance, "merged")
    between = [look(), run(instance, "work", unit="a")]
    look()
    run(instance, "work", unit="a")
    before = state_of(instance)
    gone = forgettable(instance, home)
    assert not {read[0], read[1]} & set(gone)  # the looks that b and c were made by, and the edition of a in merged
    assert between[1] in gone
    clean(home, instance)
    assert state_of(instance) == before


def test_a_run_goes_with_its_events_its_shard_and_its_output(home, instance, made):
    old, new = made["a"]
    shards, logs = home.own / "dagster" / "history" / "runs", home.own / "dagster" / "logs"
    assert (shards / f"{old}.db").is_file()
    assert not (shards / f"{old}.db-wal").exists()  # SQLite makes it anew to delete from the file
    clean(home, instance)
    assert not list(shards.glob(f"{old}*"))
    assert not (logs / old).exists()
    assert (shards / f"{new}.db").is_file()
    assert (shards / "index.db").is_file()
    with sqlite3.connect(shards / "index.db") as index:
        assert index.execute("select count(*) from event_logs where run_id = ?", (old,)).fetchone() == (0,)


def test_the_failed_latest_attempt_of_a_partition_stays_so_that_it_still_shows_as_failed(home, instance):
    FAILS.add("a")
    failed = run(instance, "work", unit="a")
    run(instance, "merged")
    before = state_of(instance)
    assert failed not in forgettable(instance, home)
    clean(home, instance)
    assert state_of(instance) == before


def test_the_newest_runs_and_those_of_the_last_days_stay_whatever_they_hold(home, instance, made):
    assert forgettable(instance, home, keep=7) == [made["a"][0]]
    assert forgettable(instance, home, keep=8) == []
    assert forgettable(instance, home, days=50.0) == []


def test_a_run_at_work_stays_and_while_it_works_its_files_do_too(home, instance):
    job = DEFS.resolve_implicit_global_asset_job_def()
    tags = {PID_TAG: str(os.getpid()), HOST_TAG: "another-machine"}  # so that nobody can say that it is dead
    busy = instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    done = home.work / "default" / "dapt" / "record.json"
    done.parent.mkdir(parents=True)
    done.write_text("{}")
    lines = clean(home, instance)
    assert lines[0] == f"Runs at work: {busy.run_id}. Lake, work and downloads stay."
    assert done.is_file()
    assert instance.get_run_by_id(busy.run_id) is not None


def test_runs_of_a_backfill_that_goes_on_and_parents_of_a_retry_stay(home, instance, made, monkeypatch):
    job = DEFS.resolve_implicit_global_asset_job_def()
    tags = {"dagster/parent_run_id": made["a"][0], HOST_TAG: "another-machine"}
    instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED, tags=tags)
    instance.add_run_tags(made["b"][0], {"dagster/backfill": "bf"})
    going = type("Going", (), {"backfill_id": "bf", "status": type("Status", (), {"value": "REQUESTED"})})
    monkeypatch.setattr(type(instance), "get_backfills", lambda self: [going])
    assert forgettable(instance, home) == [made["c"][0], made["merged"][0]]


def test_files_of_runs_that_were_deleted_elsewhere_go_and_the_event_logs_own_do_not(home, instance, made):
    gone = made["a"][0]
    instance.delete_run(gone)  # as the UI does it: the shard stays
    runless = home.own / "dagster" / "history" / "runs" / ".db"
    instance.report_runless_asset_event(dg.AssetObservation("raw", partition="a"))
    assert runless.is_file()
    lines = clean(home, instance, days=1000.0)
    assert f"/history/runs/{gone}.db" in "".join(lines)
    assert not (runless.parent / f"{gone}.db").exists()
    assert runless.is_file()
    assert (runless.parent / "index.db").is_file()


def test_without_a_yes_and_in_a_dry_run_nothing_goes(home, instance):
    for ask in (None, lambda question: False):
        assert "4 runs" in clean(home, instance, ask=ask)[-1]
        assert len(instance.get_run_records()) == 8


def test_nothing_is_cleaned_while_another_command_holds_the_home(home, instance):
    with only_one(home), pytest.raises(BadUse, match="Another run"):
        clean(home, instance)


def test_asking_happens_once_with_the_number_of_all_that_goes(home, instance):
    asked: list[str] = []
    clean(home, instance, ask=lambda question: bool(asked.append(question)))
    assert asked == ["Delete these 4?"]


def test_what_an_interrupted_or_another_versions_storage_left_goes_and_todays_template_stays(home, instance):
    shards = home.own / "dagster" / "history" / "runs"
    left = {shards / "shard-ab12.new", shards / "shard-0.1.template", shards / "shard-cd34" / "empty.db"}
    for path in left:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(b"x")
    assert (shards / TEMPLATE).is_file()
    assert run_history.leftovers(instance, home, time.time()) == []  # somebody may be at it
    found = {path for path, _ in run_history.leftovers(instance, home, time.time() + LATER)}
    assert found == {shards / "shard-ab12.new", shards / "shard-0.1.template", shards / "shard-cd34"}
