"""Dagster's tables over connections that stay open: the same files, other processes, files that go away, forks, many runs."""

import json
import os
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.partition_status_cache import get_and_update_asset_status_cache_value
from dagster._core.storage.sqlite_storage import DagsterSqliteStorage

from resources import instance_storage, patience
from resources.instance_storage import (
    ENGINES,
    TEMPLATE,
    Engines,
    KeptEventLogStorage,
    KeptRunStorage,
    KeptScheduleStorage,
    KeptSqliteStorage,
)

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def none_open():
    yield
    ENGINES.close()


@dg.asset(check_specs=[dg.AssetCheckSpec("dry", asset="forecast")])
def forecast():
    yield dg.Output(1, metadata={"rain": 0})
    yield dg.AssetCheckResult(check_name="dry", passed=True)


def instance_of(tmp_path, storage=KeptSqliteStorage):
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    (home / "dagster.yaml").write_text(
        json.dumps(
            {
                "storage": {
                    "custom": {
                        "module": storage.__module__,
                        "class": storage.__name__,
                        "config": {"base_dir": str(tmp_path / "state")},
                    }
                },
                "telemetry": {"enabled": False},
            }
        )
    )
    return dg.DagsterInstance.from_config(str(home))


def run(instance):
    result = dg.materialize([forecast], instance=instance)
    assert result.success
    return result.run_id


def told(instance):
    """Everything that the tables say of the runs so far, of which nothing depends on the class of the storage."""
    key = dg.AssetKey("forecast")
    runs = sorted(record.dagster_run.run_id for record in instance.get_run_records())
    events = {run_id: [event.message for event in instance.all_logs(run_id)] for run_id in runs}
    made = [record.run_id for record in instance.fetch_materializations(key, limit=10).records]
    check = instance.event_log_storage.get_asset_check_execution_history(dg.AssetCheckKey(key, "dry"), limit=10)
    return events, made, [record.run_id for record in check]


def test_dagsters_own_storage_reads_what_was_written_and_the_other_way_round(tmp_path):
    first = run(instance_of(tmp_path))
    second = run(instance_of(tmp_path, DagsterSqliteStorage))
    third = run(instance_of(tmp_path))
    ours, theirs = told(instance_of(tmp_path)), told(instance_of(tmp_path, DagsterSqliteStorage))
    assert ours == theirs
    assert set(ours[0]) == {first, second, third}
    assert ours[1] == ours[2] == [third, second, first]


def test_the_file_of_a_run_has_the_form_that_dagster_gives_it(tmp_path):
    ours, theirs = run(instance_of(tmp_path)), run(instance_of(tmp_path, DagsterSqliteStorage))
    folder = tmp_path / "state" / "history" / "runs"
    assert (folder / TEMPLATE).is_file()
    forms = []
    for run_id in (ours, theirs):
        with sqlite3.connect(folder / f"{run_id}.db") as connection:
            tables = connection.execute("SELECT type, name, sql FROM sqlite_master ORDER BY name").fetchall()
            forms.append((tables, *connection.execute("PRAGMA journal_mode").fetchall(),
                          *connection.execute("SELECT version_num FROM alembic_version").fetchall()))  # fmt: skip
    assert forms[0] == forms[1]
    assert forms[0][1] == ("wal",)
    assert not [
        name for name in (path.name for path in folder.iterdir()) if name.startswith("shard-") and name != TEMPLATE
    ]


def test_the_number_of_a_deleted_last_event_is_not_given_again_so_the_unit_that_comes_next_is_seen(tmp_path):
    units = dg.StaticPartitionsDefinition(["hill", "mill", "river"])

    @dg.asset(partitions_def=units)
    def works() -> None:
        return

    def made(unit):
        """Its run, its event's number, and which units Dagster's summary, which the sensor asks, has for made."""
        run_id = dg.materialize([works], instance=instance, partition_key=unit).run_id
        [record] = instance.fetch_materializations(works.key, limit=1).records
        kept = get_and_update_asset_status_cache_value(instance, works.key, units)
        seen = kept.deserialize_materialized_partition_subsets(units)
        return run_id, record.storage_id, set(seen.get_partition_keys())

    instance = instance_of(tmp_path)
    made("hill")
    newest, number, seen = made("mill")
    assert seen == {"hill", "mill"}
    instance.delete_run(newest)
    _, next_number, seen = made("river")
    assert next_number > number
    assert "river" in seen
    instance.wipe()
    assert made("hill")[1] > next_number


def test_another_process_sees_each_event_as_soon_as_it_is_stored(tmp_path):
    instance = instance_of(tmp_path)
    for number in (1, 2):
        run(instance)
        code = (
            "import sys, dagster as dg; instance = dg.DagsterInstance.from_config(sys.argv[1]); "
            "print(len(instance.fetch_materializations(dg.AssetKey('forecast'), limit=9).records))"
        )
        seen = subprocess.run([sys.executable, "-c", code, str(tmp_path / "home")], capture_output=True, text=True)
        assert seen.stdout.split()[-1:] == [str(number)], seen.stderr


def test_a_process_that_is_killed_loses_no_event(tmp_path):
    instance_of(tmp_path)
    code = (
        "import os, signal, sys, dagster as dg; from tests.unit.test_instance_storage import forecast; "
        "dg.materialize([forecast], instance=dg.DagsterInstance.from_config(sys.argv[1])); os.kill(os.getpid(), signal.SIGKILL)"
    )
    killed = subprocess.run([sys.executable, "-c", code, str(tmp_path / "home")], capture_output=True, text=True)
    assert killed.returncode == -9, killed.stderr
    instance = instance_of(tmp_path)
    assert [record.dagster_run.status for record in instance.get_run_records()] == [dg.DagsterRunStatus.SUCCESS]
    assert len(told(instance)[1]) == 1


def test_events_of_a_run_whose_file_was_removed_are_gone_and_new_ones_are_stored(tmp_path):
    instance = instance_of(tmp_path)
    run_id = run(instance)
    assert len(instance.all_logs(run_id)) > 5
    for end in ("", "-wal", "-shm"):
        (tmp_path / "state" / "history" / "runs" / f"{run_id}.db{end}").unlink(missing_ok=True)
    assert instance.all_logs(run_id) == []
    instance.report_engine_event("after the clean-up", instance.get_run_by_id(run_id))
    assert [event.message for event in instance.all_logs(run_id)] == ["after the clean-up"]
    again = instance_of(tmp_path, DagsterSqliteStorage)
    assert [event.message for event in again.all_logs(run_id)] == ["after the clean-up"]


def test_a_child_of_fork_reads_and_writes_by_connections_of_its_own(tmp_path):
    instance = instance_of(tmp_path)
    first = run(instance)
    child = os.fork()
    if child == 0:  # whatever happens, it must not go on as a second pytest
        status = 1
        try:
            status = 0 if not ENGINES._kept and run(instance) and len(told(instance)[1]) == 2 else 2
        finally:
            os._exit(status)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert len(told(instance)[1]) == 2
    assert told(instance)[1][-1] == first


def test_a_child_of_fork_loses_nothing_when_its_parent_closes_the_files(tmp_path):
    instance = instance_of(tmp_path)
    run_id = dg.materialize([forecast], instance=instance).run_id
    found = instance.get_run_by_id(run_id)
    (ready, tell_ready), (go_on, tell_go_on) = os.pipe(), os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            instance.report_engine_event("before", found)
            os.write(tell_ready, b"x")
            os.read(go_on, 1)
            instance.report_engine_event("after", found)
            status = 0
        finally:
            os._exit(status)
    os.read(ready, 1)
    assert instance.all_logs(run_id)[-1].message == "before"
    ENGINES.close()  # were the child's locks its parent's, this would take the log away under it
    os.write(tell_go_on, b"x")
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
    assert [entry.message for entry in instance.all_logs(run_id)[-2:]] == ["before", "after"]
    for end in (ready, tell_ready, go_on, tell_go_on):
        os.close(end)


def test_a_locked_file_is_waited_for_as_long_as_patience_says(tmp_path):
    instance = instance_of(tmp_path)
    run_id = dg.materialize([forecast], instance=instance).run_id
    with instance.event_log_storage._connect(run_id) as connection:
        assert connection.exec_driver_sql("pragma busy_timeout").scalar() == patience.SECONDS * 1000


def test_a_template_that_cannot_be_read_leaves_a_run_dagsters_own_way(tmp_path, monkeypatch):
    instance = instance_of(tmp_path)
    dg.materialize([forecast], instance=instance)
    plain = sqlite3.connect

    def refused(path, **more):
        if Path(path).name == TEMPLATE:
            raise sqlite3.OperationalError("unable to open database file")
        return plain(path, **more)

    monkeypatch.setattr(instance_storage.sqlite3, "connect", refused)
    run_id = dg.materialize([forecast], instance=instance).run_id
    assert instance.get_run_by_id(run_id).is_success
    assert instance.all_logs(run_id)


def test_threads_share_the_files_and_no_connection(tmp_path):
    instance = instance_of(tmp_path)
    runs = [run(instance) for _ in range(6)]  # one for each thread: Dagster reads a run's tags and writes all of them
    faults = []

    def worker(run_id):
        try:
            for turn in range(20):
                instance.add_run_tags(run_id, {"turn": str(turn)})
                instance.report_engine_event(str(turn), instance.get_run_by_id(run_id))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=worker, args=(run_id,)) for run_id in runs]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert {instance.get_run_by_id(run_id).tags["turn"] for run_id in runs} == {"19"}
    for run_id in runs:
        assert [event.message for event in instance.all_logs(run_id)][-20:] == [str(turn) for turn in range(20)]


def test_only_so_many_files_stay_open(tmp_path, monkeypatch):
    monkeypatch.setattr(instance_storage, "MOST_FILES", 3)
    engines = Engines()
    paths = [tmp_path / f"{number}.db" for number in range(6)]
    for path in paths:
        sqlite3.connect(path).close()
        with engines.of(str(path)).connect() as connection:
            connection.exec_driver_sql("CREATE TABLE rain (inches REAL)")
    held = [path for path in paths if any(_open(path))]
    assert held == paths[-3:]
    assert engines.of(str(paths[-1])) is engines.of(str(paths[-1]))
    engines.close()
    assert not any(_open(path) for path in paths)


def _open(path):
    """Descriptors of this process that are this file."""
    found = []
    for descriptor in Path("/proc/self/fd").iterdir():
        try:
            found += [descriptor] if descriptor.readlink() == path else []
        except OSError:  # the listing's own
            continue
    return found


@pytest.mark.parametrize("content", [b"", b"no database" * 400], ids=["empty", "garbage"])
def test_a_template_that_a_power_cut_left_broken_is_made_anew(content, tmp_path):
    instance = instance_of(tmp_path)
    template = tmp_path / "state" / "history" / "runs" / TEMPLATE
    run(instance)
    whole = template.read_bytes()
    template.write_bytes(content)
    run(instance)
    assert len(told(instance)[1]) == 2
    assert len(template.read_bytes()) == len(whole)


def test_where_no_link_can_be_made_a_run_gets_its_file_dagsters_way(tmp_path, monkeypatch):
    def refused(*_):
        raise PermissionError("Operation not permitted")

    monkeypatch.setattr(instance_storage.os, "link", refused)
    instance = instance_of(tmp_path)
    run_id = run(instance)
    assert len(instance.all_logs(run_id)) > 5
    assert told(instance) == told(instance_of(tmp_path, DagsterSqliteStorage))


def test_a_file_of_an_older_dagster_goes_dagsters_own_way(tmp_path, monkeypatch):
    instance = instance_of(tmp_path)
    run_id = run(instance)
    path = tmp_path / "state" / "history" / "runs" / f"{run_id}.db"
    ENGINES.close()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    asked = []
    fresh = instance_of(tmp_path)
    monkeypatch.setattr(fresh.event_log_storage, "_initdb", lambda engine: asked.append(str(engine.url)))
    assert len(fresh.all_logs(run_id)) > 5
    assert asked == [f"sqlite:///{path}"]


def test_the_project_names_it(monkeypatch, tmp_path):
    monkeypatch.setenv("DAGSTER_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("DAGSTER_LOG_DIR", str(tmp_path / "logs"))
    instance = dg.DagsterInstance.from_config(str(Path(__file__).resolve().parents[2]))
    assert isinstance(instance.event_log_storage, KeptEventLogStorage)
    assert isinstance(instance.run_storage, KeptRunStorage)
    assert isinstance(instance.schedule_storage, KeptScheduleStorage)


WRITER = """
import os, sys
from pathlib import Path
import dagster as dg
instance = dg.DagsterInstance.from_config(sys.argv[1])
run = instance.get_run_by_id(sys.argv[2])
for number in range(3):
    instance.report_engine_event(f"event {number}", run)
if sys.argv[3] == "killed":
    os.kill(os.getpid(), 9)
"""


def written_elsewhere(tmp_path, run_id, end):
    words = [sys.executable, "-W", "ignore", "-c", WRITER, str(tmp_path / "home"), run_id, end]
    subprocess.run(words, capture_output=True, check=end != "killed", timeout=120)


@pytest.mark.parametrize("end", ["ended", "killed"])
def test_who_watches_a_run_is_told_of_what_another_process_stores(tmp_path, end):
    instance = instance_of(tmp_path)
    run_id = dg.materialize([forecast], instance=instance).run_id
    told, done = [], threading.Event()

    def callback(entry, cursor):
        told.append(entry.message)
        if len(told) == 3:
            done.set()

    instance.watch_event_logs(run_id, instance.get_records_for_run(run_id, limit=1000).cursor, callback)
    written_elsewhere(tmp_path, run_id, end)
    assert done.wait(60)
    assert told == ["event 0", "event 1", "event 2"]
    instance.end_watch_event_logs(run_id, callback)


def test_a_process_that_ends_leaves_no_log_beside_its_files(tmp_path):
    instance = instance_of(tmp_path)
    run_id = dg.materialize([forecast], instance=instance).run_id
    ENGINES.close()
    written_elsewhere(tmp_path, run_id, "ended")
    assert list((tmp_path / "state").rglob("*-wal")) == []
    assert [entry.message for entry in instance.all_logs(run_id)][-1] == "event 2"


def test_a_log_whose_file_was_removed_brings_no_event_back(tmp_path):
    instance = instance_of(tmp_path)
    run_id = dg.materialize([forecast], instance=instance).run_id
    ENGINES.close()
    written_elsewhere(tmp_path, run_id, "killed")
    (shard,) = (tmp_path / "state" / "history" / "runs").glob(f"{run_id}.db")
    assert shard.with_name(f"{shard.name}-wal").exists()
    shard.unlink()
    assert instance.all_logs(run_id) == []
