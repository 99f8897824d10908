"""The warehouse's views: every table of a lake answers by name, and where the lake lies changes nothing that is recorded."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
import pytest

from resources.folders import Folders
from resources.lake import Lake, LakeIOManager, LakeResource
from resources.views import rebuild, registered
from tests import builders
from twainbot.corpora.inventory import audit
from twainbot.records import content_hash
from twainbot_assets import keys, partitions, warehouse
from twainbot_assets.profile import load


@pytest.mark.parametrize("place", ["lake", "o'lake"])
def test_views_answer_and_are_recorded_alike_wherever_the_lake_lies(tmp_path, place):
    found = []
    for name in ("elsewhere", place):
        lake = Lake(str(tmp_path / name))
        lake.write("base/model", None, pl.DataFrame({"text": ["a", "b"]}))
        lake.write("sources/jokes", "doctors", pl.DataFrame({"text": ["c"]}))
        with duckdb.connect() as connection:
            found.append(rebuild(connection, lake))
            assert connection.execute("select text from sources_jokes").fetchall() == [("c",)]
            assert connection.execute("select count(*) from base_model").fetchall() == [(2,)]
    assert found[0].sort("view").rows() == [
        ("base_model", "base/model/part-0.parquet", 2),
        ("sources_jokes", "sources/jokes/partition=*/part-0.parquet", 1),
    ]
    assert content_hash(found[0]) == content_hash(found[1])


def test_a_unit_that_was_taken_out_is_in_no_view_and_one_that_was_only_not_taken_is_no_unit(tmp_path):
    lake = Lake(str(tmp_path / "o'lake"))
    for unit in ("tales", "a/b's", "2026"):
        lake.write("corpora/local", unit, builders.works(builders.work(f"{unit}/one", unit=unit)))
    lake.write("base/model", "tales", pl.DataFrame({"text": ["no table of units"]}))
    assert registered(lake) is None
    with duckdb.connect() as connection:
        rebuild(connection, lake)
        assert connection.execute("select count(*) from corpora_local").fetchall() == [(3,)]  # nothing was audited yet
        rows = audit(
            lake.read("corpora/local", "tales"), {"local": ["tales", "2026"]}, {"local": {"a/b's": "no manifest"}}
        )
        lake.write("corpora/audit", None, rows)
        assert registered(lake) == {"local": {"tales", "2026"}}
        found = rebuild(connection, lake)
        seen = connection.execute("select work_id from corpora_local order by 1").fetchall()
    assert seen == [("2026/one",), ("tales/one",)]
    counts = dict(found.select("view", "rows").iter_rows())
    assert (counts["corpora_local"], counts["base_model"]) == (2, 1)


def test_a_batch_a_recipe_and_a_mixture_that_are_no_longer_listed_are_in_no_view(tmp_path, monkeypatch):
    profile = load("tiny").model_copy(update={"recipes": ("default", "twain")})
    monkeypatch.setattr(partitions, "current", lambda: profile)
    monkeypatch.setenv("TWAINBOT_HOME", str(tmp_path / "home"))
    place = str(tmp_path / "lake")
    listed = {"dialogues/tool_calls": ["b000"], "adapters/sft": ["default", "twain"], "evals/style": ["twain"],
              "adapters/mixture": []}  # fmt: skip
    for table, kept in listed.items():
        for key in [*kept, "b099" if table.startswith("dialogues/") else "franklin"]:
            path = Path(str(Lake(place).part(table, key)))
            path.parent.mkdir(parents=True)
            pl.DataFrame({"of": [key]}).write_parquet(path)
    folders = Folders(**{name: str(tmp_path / name) for name in Folders.model_fields})
    with dg.DagsterInstance.ephemeral() as instance:
        resources = {"lake": LakeResource(base=place), "io_manager": LakeIOManager(base=place), "folders": folders}
        assert dg.materialize([warehouse.warehouse], instance=instance, resources=resources).success
    with duckdb.connect(folders.warehouse, read_only=True) as connection:
        for table, kept in listed.items():
            rows = connection.execute(f'select "of" from {table.replace("/", "_")} order by 1').fetchall()
            assert rows == [(key,) for key in kept]


def test_the_warehouse_is_stale_when_the_set_of_batches_or_recipes_changes():
    read = warehouse.warehouse.asset_deps[warehouse.WAREHOUSE]
    assert {keys.source("batches"), keys.source("recipes")} <= read  # the set of units comes by corpora/audit
