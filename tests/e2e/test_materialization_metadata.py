"""What a run leaves to read at every asset: rows, bytes, columns, a sample; figures and plots where they say more."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.e2e.conftest import Clone

pytestmark = pytest.mark.xdist_group("tiny")

LOOK = """
import json
import os
import dagster as dg
from resources.home import current, export
export(current())
from twainbot_assets.automation import on_request
from twainbot_assets.definitions import defs
found = {}
with dg.DagsterInstance.from_config(os.environ["DAGSTER_HOME"]) as instance:
    for node in defs.resolve_asset_graph().asset_nodes:
        if node.is_materializable:
            event = instance.get_latest_materialization_event(node.key)
            made = event.asset_materialization if event else None
            kinds = made and {name: type(value).__name__ for name, value in made.metadata.items()}
            columns = made.metadata["dagster/column_schema"].value.columns if made else ()
            bare = [column.name for column in columns if not column.description]
            found["/".join(node.key.path)] = made and {"kinds": kinds, "bare": bare}
print(json.dumps(found))
"""
EVERYWHERE = {"dagster/row_count", "dagster/column_schema", "sample", "path", "bytes"}
# Where the picture says more than the figures: of these a plot or a table of their own is asked.
SHOWN = ("curated/passages", "curated/rejects", "dedupe/clusters", "splits/assignments", "dialogues/screened", "adapters/sft",
         "adapters/dapt", "evals/scorecard", "evals/leaderboard", "warehouse/lineage", "corpora/audit")  # fmt: skip


@pytest.fixture(scope="module")
def told(built: Clone) -> dict[str, dict[str, Any]]:
    """Table to the kinds of its last materialization's metadata and the unexplained columns, of all that the main job built."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", LOOK],
        cwd=built.root, env=built.environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout.splitlines()[-1])
    return {table: made for table, made in found.items() if made}


@pytest.fixture(scope="module")
def metadata(told) -> dict[str, dict[str, str]]:
    """Table to the kinds of its last materialization's metadata."""
    return {table: made["kinds"] for table, made in told.items()}


def test_every_materialization_tells_rows_bytes_columns_and_shows_a_sample(metadata):
    assert len(metadata) >= 50
    assert {table: EVERYWHERE - set(kinds) for table, kinds in metadata.items() if EVERYWHERE - set(kinds)} == {}


def test_every_column_says_what_it_holds(told):
    assert {table: made["bare"] for table, made in told.items() if made["bare"]} == {}


def test_what_is_better_seen_than_read_has_a_plot_or_a_table_of_its_own(metadata):
    for table in SHOWN:
        kinds = {kind for name, kind in metadata[table].items() if name not in EVERYWHERE}
        assert kinds & {"MarkdownMetadataValue", "TableMetadataValue"}, (table, metadata[table])
