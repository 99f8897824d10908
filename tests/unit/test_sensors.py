"""The watcher of sources: new units become partitions, each source gets a run that observes, one at fault stops no other."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest

from resources.sources import Harvest
from twainbot_assets import sensors, sources
from twainbot_assets.automation import observe_jobs
from twainbot_assets.partitions import UNITS
from twainbot_assets.sensors import source_watcher


@pytest.fixture
def drop(tmp_path: Path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "river.md").write_text("It rained.")
    return folder


def harvest(tmp_path: Path, **settings: dict) -> Harvest:
    return Harvest(settings=settings, raw=str(tmp_path / "raw"))


def tick(instance: dg.DagsterInstance, resource: Harvest) -> list[dg.RunRequest]:
    """What a tick requests, as the daemon evaluates it."""
    context = dg.build_sensor_context(instance=instance, resources={"harvest": resource})
    return list(source_watcher.evaluate_tick(context).run_requests or ())


def test_a_new_file_becomes_a_partition_and_a_vanished_one_leaves(tmp_path, drop):
    with dg.DagsterInstance.ephemeral() as instance:
        tick(instance, harvest(tmp_path, local={"folder": str(drop)}))
        assert instance.get_dynamic_partitions(UNITS["local"].name) == ["river"]
        (drop / "almanack.md").write_text("It did not.")
        (drop / "river.md").unlink()
        tick(instance, harvest(tmp_path, local={"folder": str(drop)}))
        assert instance.get_dynamic_partitions(UNITS["local"].name) == ["almanack"]


def test_each_source_that_is_on_gets_one_run_an_hour(tmp_path, drop):
    with dg.DagsterInstance.ephemeral() as instance:
        resource = harvest(tmp_path, local={"folder": str(drop)}, jokes={})
        first, again = tick(instance, resource), tick(instance, resource)
    assert [request.job_name for request in first] == ["observe_local"]
    assert first[0].run_key == again[0].run_key  # Dagster runs a key once


def test_units_of_a_source_that_was_switched_off_leave(tmp_path, drop):
    with dg.DagsterInstance.ephemeral() as instance:
        tick(instance, harvest(tmp_path, local={"folder": str(drop)}))
        assert tick(instance, harvest(tmp_path, local={})) == []
        assert instance.get_dynamic_partitions(UNITS["local"].name) == []


def test_a_source_at_fault_is_told_and_stops_no_other(tmp_path, drop, capfd):
    (drop / "river.txt").write_text("the same key")
    other = tmp_path / "jokes"
    other.mkdir()
    with dg.DagsterInstance.ephemeral() as instance:
        found = tick(instance, harvest(tmp_path, local={"folder": str(drop)}, jokes={"folder": str(other)}))
    assert [request.job_name for request in found] == ["observe_jokes"]
    assert "both claim the unit 'river'" in capfd.readouterr().err


def test_the_run_that_it_starts_records_a_version_per_unit(tmp_path, drop):
    defs = dg.Definitions(
        assets=sources.assets,
        jobs=[observe_jobs["local"]],
        resources={"harvest": harvest(tmp_path, local={"folder": str(drop)})},
    )
    with dg.DagsterInstance.ephemeral() as instance:
        tick(instance, harvest(tmp_path, local={"folder": str(drop)}))
        done = defs.resolve_job_def("observe_local").execute_in_process(instance=instance)
        observed = done.get_asset_observation_events()
    assert done.success
    assert [event.asset_observation_data.asset_observation.partition for event in observed] == ["river"]


def test_a_source_that_a_schedule_looks_at_is_left_to_it(tmp_path, drop, monkeypatch):
    monkeypatch.setattr(sensors, "live_sources", lambda profile: ["local"])
    with dg.DagsterInstance.ephemeral() as instance:
        assert tick(instance, harvest(tmp_path, local={"folder": str(drop)})) == []
        assert instance.get_dynamic_partitions(UNITS["local"].name) == []
