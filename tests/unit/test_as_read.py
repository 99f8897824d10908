"""A table counts as fresh only where it holds the edition of its source that is there now, whoever observed what before."""

from pathlib import Path

import dagster as dg
import polars as pl
import pytest

from resources.lake import LakeIOManager, LakeResource
from resources.sources import Harvest
from twainbot_assets import corpora, keys, sources
from twainbot_assets.data_versions import report_version
from twainbot_assets.freshness import Freshness, Item
from twainbot_assets.publish import publish

pytestmark = pytest.mark.slow

FIRST, SECOND = "The river was up, and so was the price of skiffs.\n", "The river had gone down again by supper.\n"
WORK, UNIT, SETTING = Item("corpora/local", "river"), Item("sources/local", "river"), Item("sources/settings_screening")


@dg.asset(key=keys.key("tests/plain"), deps=[keys.settings("screening")])
def plain(context: dg.AssetExecutionContext):
    """A table that reads one setting."""
    yield from publish(
        context, lambda: pl.DataFrame({"passage_id": [sources.plain_versions({})[SETTING.key.path[-1]]]})
    )


@pytest.fixture
def drop(tmp_path) -> Path:
    folder = tmp_path / "drop"
    folder.mkdir()
    (folder / "river.txt").write_text(FIRST)
    return folder


@pytest.fixture
def defs(tmp_path, drop) -> dg.Definitions:
    lake = str(tmp_path / "lake")
    return dg.Definitions(
        assets=[*sources.assets, corpora.corpus("local"), plain],
        resources={
            "harvest": Harvest(settings={"local": {"folder": str(drop)}}, raw=str(tmp_path / "raw")),
            "lake": LakeResource(base=lake), "io_manager": LakeIOManager(base=lake),
        },
    )  # fmt: skip


@pytest.fixture
def instance():
    with dg.DagsterInstance.ephemeral() as found:
        found.add_dynamic_partitions(sources.UNITS["local"].name, ["river"])
        yield found


def make(defs, instance, item: Item) -> None:
    job = defs.resolve_implicit_global_asset_job_def()
    assert job.execute_in_process(instance=instance, asset_selection=[item.key], partition_key=item.partition).success


def observe(defs, instance) -> None:
    """As `twainbot run` does before its work: what changed since it was last seen is recorded."""
    harvest = defs.resources["harvest"]
    report_version(instance, UNIT, sources.unit_versions(harvest, "local")["river"])


def observations(instance, item: Item) -> int:
    return len(instance.fetch_observations(dg.AssetRecordsFilter(item.key), limit=99).records)


def test_a_work_built_from_an_edit_that_nobody_observed_is_stale_once_the_edit_is_taken_back(defs, instance, drop):
    observe(defs, instance)
    make(defs, instance, WORK)
    assert Freshness(defs, instance).of(WORK).state == "fresh"
    (drop / "river.txt").write_text(SECOND)
    make(defs, instance, WORK)  # from the UI, say
    assert Freshness(defs, instance).of(WORK).state == "fresh"
    (drop / "river.txt").write_text(FIRST)
    observe(defs, instance)
    assert Freshness(defs, instance).of(WORK).state == "stale"
    make(defs, instance, WORK)
    assert Freshness(defs, instance).of(WORK).state == "fresh"


def test_a_table_built_under_a_setting_that_nobody_observed_is_stale_once_it_is_set_back(defs, instance, monkeypatch):
    table, now = Item("tests/plain"), {"settings_screening": "mild"}
    monkeypatch.setattr(sources, "plain_versions", lambda units: now)
    report_version(instance, SETTING, "mild")
    now["settings_screening"] = "strict"
    make(defs, instance, table)
    assert Freshness(defs, instance).of(table).state == "fresh"
    report_version(instance, SETTING, "mild")
    assert Freshness(defs, instance).of(table).state == "stale"


def test_a_source_that_is_as_it_was_last_seen_is_not_observed_again(defs, instance):
    observe(defs, instance)
    make(defs, instance, WORK)
    make(defs, instance, WORK)
    assert observations(instance, UNIT) == 1


def test_a_source_that_was_never_observed_is_by_the_first_step_that_reads_it(defs, instance):
    make(defs, instance, WORK)
    assert observations(instance, UNIT) == 1
    assert Freshness(defs, instance).of(WORK).state == "fresh"
