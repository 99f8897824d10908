"""A file that is newer than its record says is found by the next command, recorded as it is, and made again."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from resources.lake import Lake, LakeIOManager
from twainbot.records import content_hash
from twainbot_assets import unrecorded
from twainbot_assets.data_versions import recorded
from twainbot_assets.freshness import Freshness, Item

UNITS = dg.StaticPartitionsDefinition(["a/b", "c"])
UP, PART = Item("things/up"), Item("things/parts", "a/b")
GOOD, LATE = pl.DataFrame({"n": [1]}), pl.DataFrame({"n": [2]})


def made(rows: pl.DataFrame) -> dg.MaterializeResult:
    return dg.MaterializeResult(value=rows, data_version=dg.DataVersion(content_hash(rows)[:16]))


@dg.asset(key_prefix="things", code_version="1")
def up() -> dg.MaterializeResult:
    return made(GOOD)


@dg.asset(key_prefix="things", code_version="1", partitions_def=UNITS)
def parts() -> dg.MaterializeResult:
    return made(GOOD)


@pytest.fixture
def lake(tmp_path: Path) -> Lake:
    return Lake(str(tmp_path))


@pytest.fixture
def defs(lake) -> dg.Definitions:
    return dg.Definitions(assets=[up, parts], resources={"io_manager": LakeIOManager(base=lake.base)})


@pytest.fixture
def instance(defs):
    """An instance with both items materialized."""
    with dg.DagsterInstance.ephemeral() as found:
        run(defs, found)
        yield found


def run(defs: dg.Definitions, instance: dg.DagsterInstance) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[UP.key]).success
    assert job.execute_in_process(instance=instance, asset_selection=[PART.key], partition_key="a/b").success


def killed(lake: Lake, instance: dg.DagsterInstance, item: Item, status: dg.DagsterRunStatus) -> None:
    """What a run leaves that dies right after its commit."""
    dead = dg.DagsterRun(job_name="j", status=status)
    instance.add_run(dead)
    lake.write(item.table, item.partition, LATE, run=dead.run_id)


def test_each_file_names_the_run_that_wrote_it(lake, instance):
    assert instance.get_run_by_id(lake.writer("things/up")) is not None
    assert lake.writer("things/nothing") == ""
    lake.write("things/by_hand", None, GOOD)
    assert lake.writer("things/by_hand") == ""


@pytest.mark.parametrize("item", [UP, PART], ids=str)
def test_a_commit_without_a_record_is_recorded_as_it_is_and_made_again(lake, defs, instance, item):
    killed(lake, instance, item, dg.DagsterRunStatus.FAILURE)
    assert Freshness(defs, instance).of(item).state == "fresh"  # which is what the log alone would say
    assert unrecorded.settle(instance, lake) == [item]
    assert recorded(instance, item) == content_hash(LATE)[:16]
    assert Freshness(defs, instance).of(item).state == "stale"
    assert unrecorded.settle(instance, lake) == []
    run(defs, instance)
    assert Freshness(defs, instance).of(item).state == "fresh"
    assert lake.read(item.table, item.partition).equals(GOOD)


def test_what_is_as_recorded_or_still_at_work_or_unknown_here_is_left_alone(lake, instance):
    assert unrecorded.settle(instance, lake) == []
    killed(lake, instance, UP, dg.DagsterRunStatus.STARTED)
    assert unrecorded.settle(instance, lake) == []
    with dg.DagsterInstance.ephemeral() as another:
        assert unrecorded.settle(another, lake) == []


def test_a_failed_run_that_recorded_what_it_committed_is_no_fault(lake, instance):
    dead = dg.DagsterRun(job_name="j", status=dg.DagsterRunStatus.FAILURE)
    instance.add_run(dead)
    lake.write("things/up", None, GOOD, run=dead.run_id)  # the same rows as were recorded
    assert unrecorded.settle(instance, lake) == []


def test_an_adapter_is_known_by_its_fingerprint():
    assert unrecorded.version_of(pl.DataFrame({"fingerprint": ["f" * 64], "n": [1]})) == "f" * 16
    assert unrecorded.version_of(GOOD) == content_hash(GOOD)[:16]


def test_a_lake_in_an_object_store_is_not_walked():
    assert list(unrecorded.items(Lake("s3://bucket/prefix"))) == []
