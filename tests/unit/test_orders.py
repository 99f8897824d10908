"""Of two runs at work on the same partition the one that began later wins, whoever ends last; no clock is asked."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dagster as dg
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from resources import orders
from resources.lake import Lake, LakeIOManager
from twainbot.errors import Fenced
from twainbot_assets.runner import failure_text


def numbers(*values: int) -> pl.DataFrame:
    return pl.DataFrame({"n": list(values)})


def test_numbers_are_given_once_and_rise_and_a_torn_counter_begins_again(tmp_path):
    assert [orders.begin(tmp_path) for _ in range(3)] == [1, 2, 3]
    (tmp_path / orders.COUNTER).write_text("1x")
    assert orders.begin(tmp_path) == 1


def test_an_older_order_never_overwrites_a_newer_one(tmp_path):
    lake = Lake(str(tmp_path))
    older, newer = lake.begin(), lake.begin()
    lake.write("things/t", "a", numbers(2), order=newer)
    with pytest.raises(Fenced, match=r"began later has already committed things/t \[a\]"):
        lake.write("things/t", "a", numbers(1), order=older)
    assert lake.read("things/t", "a")["n"].to_list() == [2]
    lake.write("things/t", "b", numbers(1), order=older)  # of another partition nothing is newer
    assert [path.name for path in tmp_path.rglob(".*.tmp")] == []


def test_a_commit_that_was_stopped_leaves_the_mark_as_it_was(tmp_path):
    lake = Lake(str(tmp_path))
    older, newer = lake.begin(), lake.begin()

    def stop() -> None:
        raise Fenced("stopped")

    with pytest.raises(Fenced, match="stopped"):
        lake.write("t", None, numbers(2), stop, newer)
    lake.write("t", None, numbers(1), order=older)
    assert lake.read("t")["n"].to_list() == [1]


@given(st.permutations(range(1, 6)))
def test_in_any_order_of_commits_what_stands_was_begun_last_of_those_that_came(tmp_path_factory, ends):
    lake = Lake(str(tmp_path_factory.mktemp("lake")))
    begun = {name: lake.begin() for name in range(1, 6)}
    for count, name in enumerate(ends, start=1):
        try:
            lake.write("t", None, numbers(name), order=begun[name])
        except Fenced:
            assert name < max(ends[:count])
        assert lake.read("t")["n"].to_list() == [max(ends[:count])]


def test_a_lake_in_an_object_store_gives_no_numbers():
    assert Lake("s3://bucket/prefix").begin() is None


def test_a_step_that_began_first_and_ends_last_fails_in_plain_words(tmp_path):
    lake = Lake(str(tmp_path))

    @dg.asset
    def slow() -> pl.DataFrame:
        lake.write("slow", None, numbers(2), order=lake.begin())  # what another run does meanwhile
        return numbers(1)

    done = dg.materialize([slow], resources={"io_manager": LakeIOManager(base=str(tmp_path))}, raise_on_error=False)
    assert not done.success
    assert lake.read("slow")["n"].to_list() == [2]
    [failure] = done.get_step_failure_events()
    assert failure_text(failure).startswith("A run that began later has already committed slow, so the result")


OPERATOR = """
import sys, time
from pathlib import Path
import dagster as dg, polars as pl
from resources.lake import LakeIOManager

folder, name = Path(sys.argv[1]), sys.argv[2]

@dg.asset
def shared() -> pl.DataFrame:
    read = (folder / "source").read_text()
    (folder / f"{name}.read").touch()
    while not (folder / f"{name}.go").exists():
        time.sleep(0.02)
    return pl.DataFrame({"edition": [read] * 1000})

with dg.DagsterInstance.local_temp(str(folder / "instance")) as instance:
    done = dg.materialize([shared], instance=instance, raise_on_error=False,
                          resources={"io_manager": LakeIOManager(base=str(folder / "lake"))})
sys.exit(not done.success)
"""


def appears(path: Path, process: subprocess.Popen[bytes], seconds: float = 500) -> None:
    deadline = time.monotonic() + seconds
    while not path.exists():
        assert process.poll() is None, f"the operator ended with {process.poll()} before {path.name} came"
        assert time.monotonic() < deadline, f"{path.name} never came"
        time.sleep(0.05)


@pytest.mark.slow
@pytest.mark.timeout(1500)
def test_two_operators_on_one_partition_leave_the_newer_result_whole(tmp_path, root):
    def operator(name: str) -> subprocess.Popen[bytes]:
        return subprocess.Popen([sys.executable, "-W", "ignore", "-c", OPERATOR, str(tmp_path), name], cwd=root,
                                start_new_session=True)  # fmt: skip

    (tmp_path / "instance").mkdir()
    (tmp_path / "source").write_text("old")
    first = operator("first")
    started = [first]
    try:
        appears(tmp_path / "first.read", first)
        (tmp_path / "source").write_text("new")
        second = operator("second")
        started.append(second)
        appears(tmp_path / "second.read", second)
        (tmp_path / "second.go").touch()
        assert second.wait(300) == 0
        (tmp_path / "first.go").touch()
        assert first.wait(300) == 1
    finally:
        for process in started:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
    assert Lake(str(tmp_path / "lake")).read("shared")["edition"].unique().to_list() == ["new"]
