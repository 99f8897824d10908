"""The lake keeps whole partitions or none, refuses other schemas, and lets no dead run commit. Same suite on S3."""

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources import lake as lake_module
from resources.lake import SCHEMA_KEY, Lake, LakeIOManager, LakeResource, fence, repair, replace_file
from resources.orders import COMMITTED, COUNTER
from tests import builders as make
from tests.examples import examples
from twainbot.errors import BadInput, Fenced, LakeUnavailable, StaleSchema
from twainbot.records import CHUNK, SCHEMA_VERSION
from twainbot_assets.freshness import files_of

ODD_KEYS = ["a/b", "..", "50%", "rain[1]", "what?", "pg76-hfinn12", "Crow Bend", "ü=1", "s3://x*", "a+b"]
BUCKET = "lake"


@pytest.fixture(scope="module")
def s3():
    """Storage options of an S3 server on 127.0.0.1 with an empty bucket."""
    moto = pytest.importorskip("moto.server")
    s3fs = pytest.importorskip("s3fs")
    server = moto.ThreadedMotoServer("127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    options = {
        "aws_endpoint_url": f"http://{host}:{port}",
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "aws_region": "us-east-1",
        "aws_allow_http": "true",
    }
    client = s3fs.S3FileSystem(key="test", secret="test", endpoint_url=options["aws_endpoint_url"])
    client.mkdir(BUCKET)
    yield options
    server.stop()


@pytest.fixture(params=["folder", "s3"])
def lake(request, tmp_path) -> Lake:
    """An empty lake, in a folder and on S3."""
    if request.param == "folder":
        return Lake(str(tmp_path / "lake"))
    return Lake(f"s3://{BUCKET}/{tmp_path.name}", request.getfixturevalue("s3"))


@pytest.fixture
def folder(tmp_path) -> Lake:
    return Lake(str(tmp_path / "lake"))


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"n": list(values)})


def files(lake: Lake) -> list[str]:
    """Every file, rests of writes too, but for the numbers of resources/orders.py."""
    found = (path for path in Path(lake.base).rglob("*") if path.is_file())
    return sorted(path.relative_to(lake.base).as_posix() for path in found if path.name not in (COUNTER, COMMITTED))


def test_what_was_written_is_read_back_and_a_second_write_replaces_it(lake):
    assert not lake.exists("things/t")
    lake.write("things/t", None, numbers(1, 2))
    assert lake.read("things/t")["n"].to_list() == [1, 2]
    lake.write("things/t", None, numbers(3))
    assert lake.exists("things/t")
    assert lake.read("things/t")["n"].to_list() == [3]


def test_keys_that_no_path_can_hold_come_back_as_they_were(lake):
    assert lake.keys("things/odd") == []
    for number, key in enumerate(ODD_KEYS):
        lake.write("things/odd", key, numbers(number))
    assert lake.keys("things/odd") == sorted(ODD_KEYS)
    assert [lake.read("things/odd", key)["n"].to_list() for key in ODD_KEYS] == [[n] for n in range(len(ODD_KEYS))]
    assert lake.scan_all("things/odd").collect()["n"].sort().to_list() == list(range(len(ODD_KEYS)))


def test_one_listing_of_a_table_names_what_has_a_file_by_its_own_key_and_sees_what_went(lake):
    assert files_of(lake, "things/odd") == set()
    for key in ODD_KEYS:
        lake.write("things/odd", key, numbers(1))
    lake.write("things/odd/inner", None, numbers(1))
    assert files_of(lake, "things/odd") == set(ODD_KEYS)
    assert files_of(lake, "things/odd/inner") == {None}
    lake.part("things/odd", ODD_KEYS[0]).unlink()
    assert files_of(lake, "things/odd") == set(ODD_KEYS[1:])


def test_a_partition_that_another_process_wrote_is_seen_at_once(lake):
    assert lake.keys("things/t") == []
    other = Lake(lake.base, lake.options)
    other.write("things/t", "a", numbers(1))
    assert lake.keys("things/t") == ["a"]
    assert lake.read("things/t", "a")["n"].to_list() == [1]


def test_a_fan_in_stacks_the_keys_that_have_a_file_in_order_of_their_names(lake):
    lake.write("things/t", "b", numbers(2))
    lake.write("things/t", "a", numbers(1).with_columns(more=pl.lit("x")))
    found = lake.scan_all("things/t", ["b", "a", "never"]).collect()
    assert found.rows() == [(1, "x"), (2, None)]
    assert lake.scan_all("things/t", ["b"]).collect()["n"].to_list() == [2]


def test_a_fan_in_of_nothing_has_the_tables_columns(lake):
    assert lake.scan_all("chunks/local").collect().schema == pl.Schema(CHUNK)
    assert lake.scan_all("chunks/local", ["never"]).collect().is_empty()


def test_a_partition_that_was_never_made_is_named_with_the_command_that_makes_it(lake):
    with pytest.raises(
        BadInput, match=r"chunks/local \[river\] was never materialized.*twainbot run --select chunks/local"
    ):
        lake.scan("chunks/local", "river")


def test_a_file_of_another_schema_version_is_refused_with_the_repair(lake):
    path = lake.write("things/t", "k", numbers(1))
    numbers(1).write_parquet(str(path), metadata={SCHEMA_KEY: "0"}, storage_options=lake.options)
    with pytest.raises(
        StaleSchema, match=rf"schema version 0, .* version {SCHEMA_VERSION}.*--select things/t --partition k"
    ):
        lake.scan("things/t", "k")


def test_a_file_that_is_no_parquet_is_refused_with_the_repair(lake):
    path = lake.write("things/t", None, numbers(1))
    path.write_bytes(b"half a fi")
    with pytest.raises(BadInput, match=r"not a readable Parquet file.*twainbot run --force --select things/t"):
        lake.scan("things/t")


@pytest.mark.parametrize(
    "error",
    [pl.exceptions.ComputeError("Generic S3 error: error sending request for url"), OSError(5, "Input/output error")],
    ids=["S3", "disk"],
)
def test_a_fault_of_net_or_disk_while_reading_is_no_damaged_file_and_advises_no_rebuilding(lake, monkeypatch, error):
    lake.write("things/t", None, numbers(1))

    def fail(*_, **__):
        raise error

    with monkeypatch.context() as broken:
        broken.setattr(pl, "read_parquet_metadata", fail)
        broken.setattr(lake, "base", "s3://bucket/x" if isinstance(error, pl.exceptions.ComputeError) else "/disk")
        with pytest.raises(LakeUnavailable, match="then run again") as told:
            lake._check_version("part-0.parquet", "things/t", None)
    assert "--force" not in str(told.value)


def test_rows_that_break_their_tables_schema_are_not_written(lake):
    with pytest.raises(BadInput, match=r"chunks/local lacks the columns"):
        lake.write("chunks/local", "river", numbers(1))
    assert lake.keys("chunks/local") == []


def test_a_commit_that_is_stopped_at_the_last_moment_leaves_the_old_rows(lake):
    lake.write("things/t", None, numbers(1))

    def stop() -> None:
        raise Fenced("too late")

    with pytest.raises(Fenced):
        lake.write("things/t", None, numbers(2), before_commit=stop)
    assert lake.read("things/t")["n"].to_list() == [1]


def test_a_published_folder_comes_back_whole_and_is_named_by_its_digest(lake, tmp_path):
    source = tmp_path / "adapter"
    (source / "deep").mkdir(parents=True)
    (source / "config.json").write_text("{}")
    (source / "deep" / "weights.bin").write_bytes(bytes(range(256)))
    relative = lake.publish_folder("adapters/sft", source, "abc123")
    assert relative == "adapters/sft/files/abc123"
    assert lake.publish_folder("adapters/sft", source, "abc123") == relative
    got = lake.fetch_folder(relative, tmp_path / "cache")
    assert {path.relative_to(got).as_posix(): path.read_bytes() for path in got.rglob("*") if path.is_file()} == {
        "config.json": b"{}",
        "deep/weights.bin": bytes(range(256)),
    }
    assert lake.keys("adapters/sft") == []


def test_a_folder_that_was_never_published_is_refused(lake, tmp_path):
    with pytest.raises(
        BadInput, match=r"no folder adapters/sft/files/none.*`twainbot run --force --select adapters/sft`"
    ):
        lake.fetch_folder("adapters/sft/files/none", tmp_path / "cache")
    with pytest.raises(BadInput, match=r"no folder release/model/files/none.*cut the next version"):
        lake.fetch_folder("release/model/files/none", tmp_path / "cache")


def test_the_layout_is_one_file_a_partition(folder):
    folder.write("things/t", "a/b", numbers(1))
    folder.write("things/u", None, numbers(1))
    assert files(folder) == ["things/t/partition=a%2Fb/part-0.parquet", "things/u/part-0.parquet"]


@settings(max_examples=examples(100), deadline=None)
@given(st.text(st.characters(codec="utf-8", exclude_characters="\0"), min_size=1, max_size=40), st.data())
def test_no_two_keys_share_a_file_and_no_key_leaves_the_table(key, data):
    lake = Lake("/lake")
    other = data.draw(st.text(st.characters(codec="utf-8"), min_size=1, max_size=40))
    path = str(lake.part("t", key))
    assert path.startswith("/lake/t/partition=")
    assert path.count("/") == 4
    assert (path == str(lake.part("t", other))) == (key == other)


def test_a_home_with_wildcards_in_its_name_is_a_home_like_any_other(tmp_path):
    lake = Lake(str(tmp_path / "run[1] *?"))
    lake.write("things/t", "k", numbers(1))
    assert lake.scan_all("things/t").collect()["n"].to_list() == [1]


def test_a_file_url_is_the_folder_that_it_names(tmp_path):
    lake = Lake((tmp_path / "with space").as_uri())
    lake.write("things/t", None, numbers(1))
    assert lake.is_local
    assert (tmp_path / "with space/things/t/part-0.parquet").is_file()


def fail_while_writing(monkeypatch, error: Exception) -> None:
    def torn(_self, file, **_options) -> None:
        Path(file).write_bytes(b"PAR1 half a fi")
        raise error

    monkeypatch.setattr(pl.DataFrame, "write_parquet", torn)


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), ValueError("no such type")])
def test_a_fault_in_the_middle_of_a_write_leaves_the_old_file_and_no_rest(folder, monkeypatch, error):
    folder.write("things/t", None, numbers(1))
    with monkeypatch.context() as patch:
        fail_while_writing(patch, error)
        with pytest.raises(type(error)):
            folder.write("things/t", None, numbers(2))
    assert folder.read("things/t")["n"].to_list() == [1]
    assert files(folder) == ["things/t/part-0.parquet"]


def test_a_disk_that_is_full_at_the_fsync_leaves_the_old_file_and_no_rest(folder, monkeypatch):
    folder.write("things/t", None, numbers(1))

    def full(_descriptor: int) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lake_module.os, "fsync", full)
        with pytest.raises(OSError, match=r"No space left"):
            folder.write("things/t", None, numbers(2))
    assert folder.read("things/t")["n"].to_list() == [1]
    assert files(folder) == ["things/t/part-0.parquet"]


def test_what_a_killed_writer_left_behind_is_invisible(folder):
    folder.write("things/t", "a", numbers(1))
    left = folder.part("things/t", "b").with_name(".part-0.parquet.0123.tmp")
    left.parent.mkdir(parents=True)
    left.write_bytes(b"PAR1 half a fi")
    assert folder.keys("things/t") == ["a"]
    assert folder.scan_all("things/t").collect()["n"].to_list() == [1]
    folder.write("things/t", "b", numbers(2))
    assert folder.keys("things/t") == ["a", "b"]


def test_a_half_copied_folder_is_not_published(folder, tmp_path, monkeypatch):
    source = tmp_path / "adapter"
    source.mkdir()
    (source / "config.json").write_text("{}")

    def torn(_source, target) -> None:
        Path(target).mkdir()
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(lake_module.shutil, "copytree", torn)
        with pytest.raises(OSError, match=r"No space left"):
            folder.publish_folder("adapters/sft", source, "abc")
    assert files(folder) == []
    with pytest.raises(BadInput):
        folder.fetch_folder("adapters/sft/files/abc", tmp_path / "cache")


WRITER = """
import sys
import polars as pl
from resources.lake import Lake
lake = Lake(sys.argv[1])
for number in range(1, 1_000_000):
    lake.write("things/t", None, pl.DataFrame({"n": [number] * 20_000}))
    print(number, flush=True)
"""


@pytest.mark.slow
def test_a_writer_killed_at_any_moment_leaves_the_old_rows_or_the_new_ones(folder, root):
    writer = subprocess.Popen([sys.executable, "-c", WRITER, folder.base], cwd=root, stdout=subprocess.PIPE, text=True)
    assert writer.stdout is not None
    before = int(writer.stdout.readline())
    time.sleep(0.21)  # somewhere in the middle of a later write
    os.kill(writer.pid, signal.SIGKILL)
    rest = writer.communicate()[0].split()
    last = int(rest[-1]) if rest else before
    found = folder.read("things/t")["n"]
    assert found.len() == 20_000
    assert found.unique().to_list() in ([last], [last + 1])
    folder.write("things/t", None, numbers(0))
    assert folder.read("things/t")["n"].to_list() == [0]


def test_replace_file_makes_its_folder_and_hands_on_what_the_writer_raises(tmp_path):
    path = tmp_path / "deep" / "file.txt"
    replace_file(path, lambda file: file.write_text("one"))
    with pytest.raises(KeyError):
        replace_file(path, lambda _file: {}["no"])
    assert path.read_text() == "one"
    assert [item.name for item in path.parent.iterdir()] == ["file.txt"]


def test_the_repair_names_table_and_partition():
    assert repair("chunks/local", "river") == "`twainbot run --force --select chunks/local --partition river`"
    assert repair("splits/dapt", None) == "`twainbot run --force --select splits/dapt`"


def test_the_io_manager_stores_what_an_asset_returns_and_hands_it_to_the_next(tmp_path):
    units = dg.StaticPartitionsDefinition(["a", "b", "c"])

    @dg.asset(partitions_def=units)
    def raw(context: dg.AssetExecutionContext) -> Any:
        return numbers(ord(context.partition_key))

    @dg.asset(partitions_def=units)
    def twice(raw: Any) -> Any:
        return raw.collect() * 2

    @dg.asset
    def total(context: dg.AssetExecutionContext, twice: Any) -> Any:
        return twice.collect().sum()

    @dg.asset
    def last(total: Any) -> Any:
        assert isinstance(total, pl.LazyFrame)
        return total.collect() + 1

    resources = {"io_manager": LakeIOManager(base=str(tmp_path))}
    with dg.DagsterInstance.ephemeral() as instance:
        for key in ("a", "b"):
            assert dg.materialize([raw, twice], partition_key=key, instance=instance, resources=resources).success
        done = dg.materialize(
            [raw, twice, total, last], selection=[total, last], instance=instance, resources=resources
        )
    # c was never made: the fan-in takes the two that were, (97 + 98) * 2 = 390
    assert LakeResource(base=str(tmp_path)).open().read("last")["n"].to_list() == [391]
    stored = done.asset_materializations_for_node("total")[0].metadata["path"].value
    assert Path(str(stored)).is_file()


def test_a_fan_in_names_the_keys_that_have_no_good_version(tmp_path):
    units = dg.StaticPartitionsDefinition(["a", "b"])
    lake = Lake(str(tmp_path))
    lake.write("raw", "a", numbers(1))
    said: list[str] = []
    context = dg.build_input_context(
        asset_key=dg.AssetKey("raw"),
        asset_partitions_def=units,
        asset_partition_key_range=dg.PartitionKeyRange("a", "b"),
        upstream_output=dg.build_output_context(asset_key=dg.AssetKey("raw")),
    )
    context.log.warning = said.append  # type: ignore[method-assign]
    assert LakeIOManager(base=str(tmp_path)).load_input(context).collect()["n"].to_list() == [1]
    assert said == ["raw has no good version of 1 registered partitions: b"]


def test_a_single_partition_that_is_not_there_is_an_error_and_not_an_empty_table(tmp_path):
    units = dg.StaticPartitionsDefinition(["a", "b"])
    context = dg.build_input_context(
        asset_key=dg.AssetKey("raw"),
        partition_key="b",
        asset_partitions_def=units,
        asset_partition_key_range=dg.PartitionKeyRange("b", "b"),
    )
    with pytest.raises(BadInput, match=r"raw \[b\] was never materialized"):
        LakeIOManager(base=str(tmp_path)).load_input(context)


def test_a_run_that_was_given_up_meanwhile_commits_nothing(tmp_path):
    @dg.asset
    def late(context: dg.AssetExecutionContext) -> Any:
        context.instance.report_run_failed(context.run)
        return numbers(2)

    lake = Lake(str(tmp_path))
    lake.write("late", None, numbers(1))
    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize(
            [late], instance=instance, resources={"io_manager": LakeIOManager(base=str(tmp_path))}, raise_on_error=False
        )
    assert not done.success
    assert lake.read("late")["n"].to_list() == [1]
    assert files(lake) == ["late/part-0.parquet"]


class StepOf:
    """What `fence` reads of an output context."""

    def __init__(self, instance: dg.DagsterInstance, run_id: str) -> None:
        self.instance, self.run_id, self.step_context = instance, run_id, self


@pytest.mark.parametrize("status", sorted(set(dg.DagsterRunStatus) - {dg.DagsterRunStatus.QUEUED}, key=str))
def test_only_a_run_that_is_starting_or_started_may_commit(status):
    with dg.DagsterInstance.ephemeral() as instance:
        run = dg.DagsterRun(job_name="j", status=status)
        instance.add_run(run)
        if status in (dg.DagsterRunStatus.STARTING, dg.DagsterRunStatus.STARTED):
            fence(StepOf(instance, run.run_id))  # type: ignore[arg-type]
        else:
            with pytest.raises(Fenced, match=f"is {status.value}, so its late result was not committed"):
                fence(StepOf(instance, run.run_id))  # type: ignore[arg-type]


def test_a_run_that_nobody_knows_may_not_commit():
    with dg.DagsterInstance.ephemeral() as instance, pytest.raises(Fenced, match=r"is gone"):
        fence(StepOf(instance, "0000"))  # type: ignore[arg-type]


def test_a_context_without_a_run_is_not_fenced():
    fence(dg.build_output_context(asset_key=dg.AssetKey("t")))


def test_real_records_survive_the_lake(lake):
    rows = make.chunks()
    lake.write("chunks/local", "tales", rows)
    assert lake.read("chunks/local", "tales").equals(rows)
