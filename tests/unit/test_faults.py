"""Disk full, store unreachable, database locked, clock set: each is a plain sentence or waited for, and nothing is lost."""

import contextlib
import os
import resource
import socket
import sqlite3
import subprocess
import sys
import time

import click
import dagster as dg
import polars as pl
import pytest
from click.testing import CliRunner

from resources import patience
from resources.lake import Lake, LakeIOManager, trouble_of
from tests.builders import chunks
from tests.conftest import ROOT
from twainbot_assets import runner
from twainbot_assets.cli import Plain
from twainbot_assets.data_versions import recorded
from twainbot_assets.freshness import Freshness, Item

HOUR = 3600.0


@contextlib.contextmanager
def no_file_longer_than(size: int):
    """What a full disk does to a write, by the kernel's own limit: the bytes up to it, then an error."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def materialized(asset: dg.AssetsDefinition, base: str, **options: object) -> dg.ExecuteInProcessResult:
    manager = LakeIOManager(base=base, **options)  # type: ignore[arg-type]
    return dg.materialize([asset], resources={"io_manager": manager}, raise_on_error=False)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels end the process instead")
def test_a_disk_that_fills_up_in_a_write_keeps_the_last_version_and_names_the_repair(tmp_path):
    lake = Lake(str(tmp_path))
    lake.write("big", None, pl.DataFrame({"n": [1]}))
    rows = pl.DataFrame({"n": [(n * 2654435761) % 2**32 for n in range(50_000)]})  # 200 kB that nothing compresses

    @dg.asset
    def big() -> pl.DataFrame:
        stack.enter_context(no_file_longer_than(65_536))
        return rows

    with contextlib.ExitStack() as stack:
        done = materialized(big, str(tmp_path))
    assert not done.success
    said = runner.failure_text(done.get_step_failure_events()[0])
    assert said.startswith(f"The disk of the lake {tmp_path} is full (")
    assert said.endswith(
        "big was not written and its last good version stays. Make room, for example by `twainbot clean`, then run again."
    )
    assert lake.read("big")["n"].to_list() == [1]
    assert [path.name for path in tmp_path.rglob("*.tmp")] == []
    assert materialized(big_of(rows), str(tmp_path)).success  # once there is room
    assert lake.read("big").equals(rows)


def big_of(rows: pl.DataFrame) -> dg.AssetsDefinition:
    @dg.asset
    def big() -> pl.DataFrame:
        return rows

    return big


class Silent:
    """Progress that nobody watches."""

    def started(self, items):
        """Nothing."""

    def event(self, message):
        """Nothing."""

    def finished(self, items, seconds, faults):
        """Nothing."""


def test_a_lake_whose_disk_is_not_there_is_a_fault_of_the_item_that_needed_it(tmp_path):
    (tmp_path / "lake").write_text("a file, where a folder is expected")
    manager = LakeIOManager(base=str(tmp_path / "lake"))
    defs = dg.Definitions(assets=[big_of(chunks())], resources={"io_manager": manager})
    with dg.DagsterInstance.ephemeral() as instance:
        work = runner.Runner(defs, instance, Silent())
        work.execute([Item("big")])
    [fault] = work.report.faults
    assert fault.item == Item("big")
    assert fault.why.startswith(f"The lake {tmp_path}/lake cannot be used (")
    assert fault.why.endswith("Check that the disk is there and can be written, then run again.")
    assert (work.report.made, work.report.skipped) == ([], [])


@pytest.mark.slow  # the store's client tries again for some seconds
def test_a_store_that_refuses_connections_is_named_with_the_repair():
    pytest.importorskip("s3fs")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{probe.getsockname()[1]}"  # bound and never listened on
        options = {"aws_endpoint_url": address, "aws_access_key_id": "t", "aws_secret_access_key": "t",
                   "aws_region": "us-east-1", "aws_allow_http": "true"}  # fmt: skip
        done = materialized(big_of(chunks()), "s3://bucket/lake", storage_options=options)
    assert not done.success
    said = runner.failure_text(done.get_step_failure_events()[0])
    assert said.startswith("The lake s3://bucket/lake cannot be reached (")
    assert "big was not written and its last good version stays. Check the store, AWS_ENDPOINT_URL and" in said


def test_what_polars_says_of_a_store_is_told_apart_from_what_it_says_of_the_rows():
    refused = "Generic S3 error: Error performing PUT http://127.0.0.1:9/x in 1s - HTTP error: error sending request"
    assert "cannot be reached" in str(trouble_of("s3://bucket", pl.exceptions.ComputeError(refused)))
    assert trouble_of("s3://bucket", pl.exceptions.SchemaError("expected i64")) is None


def test_other_errors_are_not_taken_for_faults_of_the_lake():
    assert trouble_of("/lake", ValueError("no such type")) is None
    assert trouble_of("s3://bucket", ValueError("no such type")) is None


def test_a_database_that_another_program_has_locked_is_waited_for(tmp_path):
    patience.wait_for_locks()
    patience.wait_for_locks()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        with instance.run_storage.connect() as connection:  # type: ignore[attr-defined]
            waits = connection.exec_driver_sql("PRAGMA busy_timeout").scalar()
        assert waits == patience.SECONDS * 1000 == 60_000


LOADED = """
import gc, sys
import twainbot_assets.definitions
assert "sqlalchemy" not in sys.modules, "loading the graph imports sqlalchemy"
assert gc.isenabled()
import dagster as dg
with dg.DagsterInstance.local_temp(sys.argv[1]) as instance, instance.run_storage.connect() as connection:
    print(connection.exec_driver_sql("PRAGMA busy_timeout").scalar())
"""


@pytest.mark.slow
def test_loading_the_graph_leaves_the_database_library_alone_and_its_connections_still_wait(tmp_path):
    environment = {**os.environ, "TWAINBOT_PROFILE": "tiny", "TWAINBOT_HOME": str(tmp_path / "home")}
    line = [sys.executable, "-c", LOADED, str(tmp_path)]
    told = subprocess.run(line, env=environment, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert told.returncode == 0, told.stderr[-2000:]
    assert told.stdout.split() == [str(patience.SECONDS * 1000)]


LOCKER = """
import sqlite3, sys, time
connection = sqlite3.connect(sys.argv[1], isolation_level=None)
connection.execute("BEGIN IMMEDIATE")
print("locked", flush=True)
time.sleep(float(sys.argv[2]))
connection.execute("ROLLBACK")
"""


@pytest.mark.slow
def test_a_run_outlives_a_lock_of_twenty_seconds_on_the_table_of_runs(tmp_path):
    patience.wait_for_locks()
    with dg.DagsterInstance.local_temp(str(tmp_path)) as instance:
        database = tmp_path / "history" / "runs.db"
        assert database.exists()
        locker = subprocess.Popen([sys.executable, "-c", LOCKER, str(database), "20"], stdout=subprocess.PIPE)
        try:
            assert locker.stdout is not None
            assert locker.stdout.readline() == b"locked\n"
            done = dg.materialize(
                [big_of(chunks())],
                instance=instance,
                resources={"io_manager": LakeIOManager(base=str(tmp_path / "lake"))},
            )
            assert locker.wait(60) == 0
        finally:
            locker.kill()
            locker.communicate()
        assert done.success
        run = instance.get_run_by_id(done.run_id)
        assert run is not None
        assert run.status is dg.DagsterRunStatus.SUCCESS


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "database is locked",
            "locked by another program (database is locked), for more than 60 s. What was committed",
        ),
        (
            "database or disk is full",
            "cannot be written (database or disk is full). What was committed stays. Make room",
        ),
        ("disk I/O error", "cannot be written (disk I/O error). What was committed stays. Make room"),
        (
            "attempt to write a readonly database",
            "cannot be opened for writing (attempt to write a readonly database). What was committed stays. Give this user",
        ),
        (
            "unable to open database file",
            "cannot be opened for writing (unable to open database file). What was committed stays. Give this user",
        ),
    ],
)
def test_a_database_of_no_use_is_one_sentence_on_the_command_line(text, said):
    @click.group(cls=Plain)
    def main() -> None:
        """Nothing."""

    @main.command()
    def run() -> None:
        try:
            raise sqlite3.OperationalError(text)
        except sqlite3.OperationalError as error:
            raise RuntimeError("(sqlite3.OperationalError) and a page of SQL") from error

    done = CliRunner().invoke(main, ["run"])
    assert done.exit_code == 1
    assert done.output.startswith(f"twainbot: Dagster's database {'is ' if 'locked' in text else ''}{said}")
    assert len(done.output.splitlines()) == 1


def test_an_error_of_the_code_itself_keeps_its_traceback():
    @click.group(cls=Plain)
    def main() -> None:
        """Nothing."""

    @main.command()
    def run() -> None:
        raise ZeroDivisionError

    assert isinstance(CliRunner().invoke(main, ["run"]).exception, ZeroDivisionError)
    assert patience.trouble_of(sqlite3.OperationalError("no such table: runs")) is None


def graph() -> dg.Definitions:
    @dg.asset
    def up() -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion("first"))

    @dg.asset(deps=[up])
    def down() -> dg.MaterializeResult:
        return dg.MaterializeResult(data_version=dg.DataVersion("made of first"))

    return dg.Definitions(assets=[up, down])


@pytest.mark.parametrize("jump_s", [-24 * HOUR, 24 * HOUR])
def test_the_later_version_is_the_one_recorded_later_whatever_the_clock_says(monkeypatch, jump_s):
    defs, now = graph(), time.time
    with dg.DagsterInstance.ephemeral() as instance:
        assert defs.resolve_implicit_global_asset_job_def().execute_in_process(instance=instance).success
        monkeypatch.setattr(time, "time", lambda: now() + jump_s)
        assert Freshness(defs, instance).of(Item("down")).state == "fresh"
        event = dg.AssetMaterialization("up", tags={"dagster/data_version": "second"})
        instance.report_runless_asset_event(event)
        assert recorded(instance, Item("up")) == "second"
        assert Freshness(defs, instance).of(Item("down")).state == "stale"
        monkeypatch.setattr(time, "time", now)
        assert recorded(instance, Item("up")) == "second"
        assert Freshness(defs, instance).of(Item("down")).state == "stale"


@pytest.mark.parametrize("jump_s", [-24 * HOUR, 24 * HOUR])
def test_a_run_at_work_is_not_taken_for_dead_when_the_clock_is_set(monkeypatch, jump_s):
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + jump_s)
    assert runner.alive(os.getpid(), started=now, born=runner.birth(os.getpid()))


@pytest.mark.skipif(not runner.birth(os.getpid()), reason="no /proc here")
def test_a_later_process_with_the_number_of_a_dead_run_is_not_that_run():
    boot, ticks = runner.birth(os.getpid()).split("/")
    assert not runner.alive(os.getpid(), time.time(), f"{boot}/{int(ticks) - 1}")  # same number, born another time
    assert not runner.alive(os.getpid(), time.time(), f"another-boot/{ticks}")
    assert not runner.alive(os.getpid(), started=time.time() - 365 * 24 * HOUR)  # without a birth the clock decides


def test_dead_runs_are_failed_by_their_birth_and_live_ones_left_alone():
    with dg.DagsterInstance.ephemeral() as instance:
        mine = {**runner.signature()}
        other = {**mine, runner.BORN_TAG: "another-boot/1"}
        for name, tags in (("alive", mine), ("dead", other)):
            instance.add_run(dg.DagsterRun(job_name=name, status=dg.DagsterRunStatus.STARTED, tags=tags))
        assert len(runner.reconcile(instance)) == 1
        states = {run.job_name: run.status for run in instance.get_runs()}
    assert states == {"alive": dg.DagsterRunStatus.STARTED, "dead": dg.DagsterRunStatus.FAILURE}
