"""The warehouse's views: every table of a lake answers by name, and where the lake lies changes nothing that is recorded."""

from __future__ import annotations

import duckdb
import polars as pl
import pytest

from resources.lake import Lake
from resources.views import rebuild
from twainbot.records import content_hash


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
