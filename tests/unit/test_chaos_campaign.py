"""What `make chaos` believes, on cases made for it: a judge that finds nothing must be one that would have found it."""

import json
import os
import random
import sys
from dataclasses import asdict
from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from benchmarks.chaos import truth
from benchmarks.chaos.campaign import Round, read, table_of
from benchmarks.chaos.truth import State, Witness
from benchmarks.chaos.victims import KINDS, is_code_server, is_step, is_training, schedule
from benchmarks.chaos.world import World
from benchmarks.waiting import within
from twainbot.records import content_hash
from twainbot_assets.freshness import Item

GOOD, OTHER = pl.DataFrame({"n": [1]}), pl.DataFrame({"n": [2]})
T = Item("things/t")


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        yield found


@pytest.fixture
def witness(instance, tmp_path) -> Witness:
    """A lake with one good table, whose version is recorded."""
    found = Witness(tmp_path / "lake", instance)
    found.lake.write(T.table, None, GOOD)
    tags = {"dagster/data_version": content_hash(GOOD)[:16]}
    instance.report_runless_asset_event(dg.AssetMaterialization(T.key, tags=tags))
    return found


def test_a_whole_table_of_either_edition_is_not_torn(witness):
    state = State("any", content_hash(GOOD))
    assert witness.states() == {T: State(content_hash(GOOD)[:16], content_hash(GOOD))}
    assert truth.torn(witness, [{T: state}, {T: State("any", content_hash(OTHER))}]) == []
    witness.lake.write(T.table, None, OTHER)
    assert truth.torn(witness, [{T: state}, {T: State("any", content_hash(OTHER))}]) == []


def test_a_cut_off_file_and_rows_of_no_edition_are_torn(witness):
    editions = [{T: State("any", content_hash(GOOD))}]
    witness.lake.write(T.table, None, OTHER)
    assert ["neither edition" in line for line in truth.torn(witness, editions)] == [True]
    path = Path(str(witness.lake.part(T.table)))
    path.write_bytes(path.read_bytes()[:-8])
    assert len(truth.torn(witness, editions)) == 1


def test_a_table_that_is_gone_or_forgotten_is_lost(witness):
    before, published = witness.states(), list(witness.stamps())
    assert truth.lost(witness, before, published) == []
    Path(str(witness.lake.part(T.table))).unlink()
    assert truth.lost(witness, before, published) == ["things/t/part-0.parquet is gone"]
    witness.instance.wipe_assets([T.key])
    assert truth.lost(witness, before, []) == ["things/t is recorded no more"]


def test_a_file_that_is_written_again_has_another_stamp(witness):
    before = witness.stamps()
    assert witness.stamps() == before
    witness.lake.write(T.table, None, GOOD)
    assert witness.stamps() != before


@pytest.mark.parametrize("late", [False, True])
def test_a_materialization_after_the_runs_end_is_an_orphans(instance, late):
    @dg.asset
    def made(context: dg.AssetExecutionContext) -> None:
        if late:
            context.instance.report_run_failed(context.run)

    done = dg.materialize([made], instance=instance, raise_on_error=False)
    assert bool(truth.late_events(instance, [done.run_id])) is late


def test_a_table_that_is_not_as_the_unbroken_run_left_it_is_named():
    wanted = {T: State("v", "r")}
    assert truth.unequal(wanted, wanted) == []
    assert len(truth.unequal({T: State("v", "other rows")}, wanted)) == 1
    assert len(truth.unequal({T: State("other version", "r")}, wanted)) == 1
    assert len(truth.unequal({}, wanted)) == 1


@pytest.mark.parametrize("kills", [6, 12, 50])
def test_a_schedule_has_every_victim_and_is_its_seeds_own(kills):
    planned = [kind.name for kind in schedule(kills, random.Random(1).random)]
    assert len(planned) == kills
    assert set(planned) == {kind.name for kind in KINDS}
    assert planned == [kind.name for kind in schedule(kills, random.Random(1).random)]


def test_fifty_kills_are_the_weights_themselves():
    assert sum(kind.weight for kind in KINDS) == 50
    planned = [kind.name for kind in schedule(50, random.Random(2).random)]
    assert {kind.name: planned.count(kind.name) for kind in KINDS} == {kind.name: kind.weight for kind in KINDS}


def test_victims_are_known_by_their_command_lines():
    assert is_step("python -c from multiprocessing.forkserver import main; main(5, 6)")
    assert is_training("python -m training.dapt recipe.yaml --data d")
    assert not is_training("python -m resources.with_parent python -m training.dapt recipe.yaml")
    assert is_code_server("python -m dagster api grpc --lazy-load-user-code --socket /tmp/x")
    assert not is_code_server("python -m dagster._daemon run -w workspace.yaml")


def test_the_summary_counts_rounds_and_names_no_fault_where_there_is_none(tmp_path):
    good = Round(0, "step", 7, recovered=True)
    bad = Round(1, "daemon", 7, torn=["a", "b"], orphans=["c"])
    assert (good.good, bad.good) == (True, False)
    lines = table_of([good, bad]).splitlines()
    assert lines[2:] == [
        "| step | 1 | 0 | 0 | 0 | 0 | 1 of 1 |",
        "| daemon | 1 | 1 | 0 | 1 | 0 | 0 of 1 |",
        "| all | 2 | 1 | 0 | 1 | 0 | 1 of 2 |",
    ]
    (tmp_path / "rounds.jsonl").write_text("".join(json.dumps(asdict(each)) + "\n" for each in (good, bad)))
    assert read(tmp_path / "rounds.jsonl") == [good, bad]
    assert read(tmp_path / "none") == []


@pytest.mark.skipif(sys.platform != "linux", reason="processes of a home are found in /proc")
def test_processes_of_a_home_are_found_however_they_were_started_and_ended_alone(tmp_path):
    world, neighbour = World(tmp_path / "one"), World(tmp_path / "two")
    for each in (world, neighbour):
        each.root.mkdir(parents=True)
    sleep = "import time; time.sleep(99)"
    script = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', '{sleep}']); {sleep}"
    mine, other = world.start(["-c", script]), neighbour.start(["-c", sleep])
    try:
        assert within(60, lambda: len(world.processes()) == 2)
        assert mine.pid in world.processes()
        assert os.getpid() not in world.processes()
        world.clear()
        assert mine.wait(10) == -9
        assert world.processes() == {}
        assert list(neighbour.processes()) == [other.pid]
    finally:
        world.clear()
        other.end()
    assert other.code in (-15, -9)
    other.end()  # what has ended is left alone


def test_the_two_editions_differ_and_the_first_comes_back(tmp_path):
    world = World(tmp_path)
    unit = world.root / "samples" / "local" / "river.md"
    unit.parent.mkdir(parents=True)
    (tmp_path / "first_edition.md").write_text("# River\n\nOne line.\n")
    world.edit("b")
    second = unit.read_text()
    world.edit("a")
    assert unit.read_text() == "# River\n\nOne line.\n"
    assert second.startswith(unit.read_text())
    assert len(second) > len(unit.read_text())
