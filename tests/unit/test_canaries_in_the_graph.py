"""Planted faults on their way through the real assets: where the pipeline no longer sees one, its gate stops the commit."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest

from resources.folders import Folders
from resources.lake import Lake, LakeIOManager, LakeResource
from resources.sources import Harvest
from tests import builders as make
from twainbot.corpora.works import works_from_unit
from twainbot.dedupe import DedupeSettings, clusters, edges, signatures
from twainbot.records import EDGE, frame
from twainbot_assets import base, corpora, curated, dedupe, screened, sources
from twainbot_assets import chunks as chunk_stage
from twainbot_assets.partitions import UNITS
from twainbot_assets.profile import load

pytestmark = pytest.mark.slow

UNITS_READ = {"local": ["canaries", "river", "weather_plains"], "jokes": ["professions", "trades"]}
STAGES = (sources, base, corpora, chunk_stage, screened, dedupe, curated)


@dataclass
class Graph:
    """The dedupe and curated stages over a lake that holds the planted faults and what they copy."""

    lake: Lake
    instance: dg.DagsterInstance
    resources: dict[str, Any]

    def materialize(self, *keys: dg.AssetKey) -> dg.ExecuteInProcessResult:
        """Run these assets, as the runner does."""
        assets = [asset for stage in STAGES for asset in stage.assets]
        return dg.materialize(
            assets, selection=list(keys), resources=self.resources, instance=self.instance, raise_on_error=False
        )


def verdicts(result: dg.ExecuteInProcessResult) -> dict[str, tuple[bool, str]]:
    """Check name to (passed, what it says)."""
    found = result.get_asset_check_evaluations()
    return {one.check_name: (one.passed, one.description or "") for one in found}


@pytest.fixture
def graph(tmp_path: Path) -> Graph:
    """The sample's units with canaries: every work one chunk, all of it kept by the screen."""
    settings = {source: found.model_dump(exclude_none=True) for source, found in load("tiny").sources.items()}
    harvest = Harvest(settings=settings, raw=str(tmp_path / "raw"))
    lake, instance = Lake(str(tmp_path / "lake")), dg.DagsterInstance.ephemeral()
    for source, units in UNITS_READ.items():
        instance.add_dynamic_partitions(UNITS[source].name or source, units)
        for unit in units:
            works = works_from_unit(source, unit, *harvest.fetch(source, unit))
            rows = make.chunks(
                *(
                    make.chunk(row["work_id"], text=row["text"], source=source, unit=unit)
                    for row in works.filter(works["reject_reason"].is_null()).to_dicts()
                )
            )
            lake.write(f"corpora/{source}", unit, works)
            lake.write(f"chunks/{source}", unit, rows)
            lake.write(f"screened/{source}", unit, make.decisions(*map(make.screened, rows["chunk_id"])))
            lake.write(f"dedupe/signatures/{source}", unit, signatures(rows, DedupeSettings()))
    folders = Folders(**{name: str(tmp_path / name) for name in Folders.model_fields})
    base = str(tmp_path / "lake")
    resources = {
        "io_manager": LakeIOManager(base=base),
        "lake": LakeResource(base=base),
        "harvest": harvest,
        "folders": folders,
    }
    return Graph(lake, instance, resources)


def all_rows(lake: Lake, stage: str) -> pl.DataFrame:
    return pl.concat([lake.scan_all(f"{stage}/{source}").collect() for source in UNITS_READ], how="diagonal_relaxed")


def test_planted_copies_and_the_planted_problem_are_found_and_everything_is_committed(graph):
    done = graph.materialize(dedupe.EDGES, dedupe.CLUSTERS, curated.PASSAGES, curated.REJECTS)
    assert done.success
    found = verdicts(done)
    assert found["canaries_found"] == (True, "4 of 4 planted copies found")
    assert found["eval_canaries_found"] == (True, "1 of 1 planted evaluation problems found and kept out")
    rejects = graph.lake.read("curated/rejects")
    reasons = dict(rejects.filter(pl.col("stage") == "curated").select("work_id", "reasons").iter_rows())
    assert [reason.partition("/")[0] for reason in reasons["local/canaries/the-schoolmasters-problem"]] == [
        "eval_text:coding"
    ]


def test_a_threshold_of_one_misses_the_edited_copy_and_no_clusters_are_committed(graph, monkeypatch):
    monkeypatch.setattr(dedupe, "settings", lambda: DedupeSettings(threshold=1.0))
    done = graph.materialize(dedupe.EDGES, dedupe.CLUSTERS)
    passed, why = verdicts(done)["canaries_found"]
    assert (passed, why) == (False, "3 of 4 planted copies found")
    assert not done.success
    assert not graph.lake.exists("dedupe/clusters")


@pytest.mark.parametrize("copy", ["local/canaries/the-ferrymans-ledger-again", "jokes/professions/pro-036"])
def test_edges_that_lost_one_planted_copy_stop_the_clusters_and_the_last_good_ones_stay(graph, copy):
    rows = all_rows(graph.lake, "chunks")
    sound = edges(all_rows(graph.lake, "dedupe/signatures"), rows, DedupeSettings())
    doctored = sound.filter(~(pl.col("a").str.starts_with(copy) | pl.col("b").str.starts_with(copy)))
    assert doctored.height < sound.height
    graph.lake.write("dedupe/edges", None, doctored)
    good = clusters(rows, sound, dedupe.SOURCE_RANK)
    graph.lake.write("dedupe/clusters", None, good)
    done = graph.materialize(dedupe.CLUSTERS)
    assert verdicts(done)["canaries_found"] == (False, "3 of 4 planted copies found")
    assert not done.success
    assert graph.lake.read("dedupe/clusters").equals(good)


@pytest.mark.parametrize("blindness", ["only runs of 500 words count", "the suite has lost the planted problem"])
def test_a_search_that_is_blind_to_eval_text_commits_no_passages(graph, monkeypatch, blindness):
    if "500" in blindness:  # the problem is shorter
        monkeypatch.setattr("twainbot.curation.DECONTAMINATION_WORDS", 500)
    else:
        for reader in ("twainbot_assets.curated.eval_texts", "resources.suites.eval_texts"):
            monkeypatch.setattr(reader, lambda: {"coding/other": "an evaluation about something else than the weather"})
    rows = all_rows(graph.lake, "chunks")
    graph.lake.write("dedupe/clusters", None, clusters(rows, frame([], EDGE), dedupe.SOURCE_RANK))
    done = graph.materialize(curated.PASSAGES)
    found = verdicts(done)
    assert found["no_eval_text"][0]  # it looks with the same eyes, and sees as little
    assert found["eval_canaries_found"] == (
        False,
        "0 of 1 planted evaluation problems found and kept out: local/canaries/the-schoolmasters-problem: not found",
    )
    assert not done.success
    assert not graph.lake.exists("curated/passages")
