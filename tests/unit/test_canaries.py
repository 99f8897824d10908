"""Planted faults: the manifest's words become works that the gates look for, and the sample's all exist."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
import yaml

from resources.home import PROJECT
from resources.sources import Harvest
from tests import builders as make
from twainbot.corpora.works import works_from_unit
from twainbot_assets.canaries import COPIES, Canary, as_canary, copies, planted, planted_eval_text
from twainbot_assets.profile import load


def entry(kind: str, **fields: str) -> dict[str, str]:
    return {"kind": kind, "caught_by": "dedupe/clusters", **fields}


@pytest.fixture
def drop(tmp_path) -> Harvest:
    """Two units of jokes, the second with a copy out of the first."""
    folder = tmp_path / "jokes"
    folder.mkdir()
    for unit in ("one", "two"):
        (folder / f"{unit}.jsonl").write_text(f'{{"id": "{unit}-001", "joke": "It rained."}}\n')
    canaries = [entry("exact_duplicate", id="two-001", of="one/one-001"), entry("malformed", id="two-002", of="line 2")]
    listed = [{"path": "one.jsonl"}, {"path": "two.jsonl", "canaries": canaries}]
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"files": listed}))
    return Harvest(settings={"jokes": {"folder": str(folder)}}, raw=str(tmp_path / "raw"))


def chunks_of(*units: str, source: str = "jokes") -> pl.DataFrame:
    return pl.DataFrame(
        {"source": [source] * len(units), "unit": list(units)}, schema={"source": pl.String, "unit": pl.String}
    )


def test_a_copy_is_named_by_its_work_and_by_the_work_that_it_copies():
    made = as_canary(
        "local", "canaries", entry("near_duplicate", heading="Dry Season, Reprinted", of="plains/Dry Season")
    )
    assert made == Canary(
        "near_duplicate", "local/canaries/dry-season-reprinted", "local/plains/dry-season",
        "local", "canaries", "dedupe/clusters",
    )  # fmt: skip


def test_a_row_that_cannot_be_parsed_becomes_no_work():
    assert as_canary("jokes", "domestic", entry("malformed", id="dom-036", of="line 21")).work == ""


def test_what_is_no_copy_copies_nothing():
    made = as_canary("local", "canaries", entry("offensive", heading="The Quarrel"))
    assert (made.work, made.of) == ("local/canaries/the-quarrel", "")


def test_all_canaries_of_the_harvested_units_are_found(drop):
    assert [(canary.kind, canary.unit) for canary in planted(drop)] == [
        ("exact_duplicate", "two"),
        ("malformed", "two"),
    ]


def test_only_copies_are_looked_for_in_the_clusters(drop):
    assert copies(drop, chunks_of("one", "two")) == [("jokes/two/two-001", "jokes/one/one-001")]


@pytest.mark.parametrize("units", [("one",), ("two",), ()])
def test_a_copy_without_its_original_or_an_original_without_its_copy_is_not_looked_for(drop, units):
    assert copies(drop, chunks_of(*units)) == []


def test_a_unit_of_the_same_name_in_another_source_has_no_canaries(drop):
    assert copies(drop, chunks_of("one", "two", source="local")) == []


def test_a_source_without_a_folder_is_not_asked_for_its_units(drop, monkeypatch):
    asked = []
    monkeypatch.setattr(Harvest, "units", lambda self, source: asked.append(source) or ["two"])
    planted(drop)
    assert asked == ["jokes"]  # all others would be a mirror, feeds or nothing


def test_the_planted_problem_comes_with_the_chunks_of_its_work_and_a_lost_work_with_none(tmp_path):
    folder = tmp_path / "local"
    folder.mkdir()
    (folder / "odd.md").write_text("# Odd\n\n## A Sum\n\nAdd two and two.\n")
    canaries = [entry("eval_text", heading="A Sum"), entry("eval_text", heading="Gone")]
    (folder / "manifest.yaml").write_text(yaml.safe_dump({"files": [{"path": "odd.md", "canaries": canaries}]}))
    harvest = Harvest(settings={"local": {"folder": str(folder)}}, raw=str(tmp_path / "raw"))
    rows = make.chunks(make.chunk("local/odd/a-sum", text="Add two and two.", unit="odd"))
    assert planted_eval_text(harvest, rows) == {
        "local/odd/a-sum": {"local/odd/a-sum:0-16": "Add two and two."},
        "local/odd/gone": {},
    }
    assert planted_eval_text(harvest, rows.clear()) == {}  # the unit has no good version: not looked for


def test_a_profile_that_harvests_nothing_has_no_canaries(tmp_path):
    assert planted(Harvest(settings={"gutenberg": {}}, raw=str(tmp_path))) == []


@pytest.mark.parametrize("name", ["tiny", "sample"])
def test_every_planted_work_of_the_sample_and_whatever_it_copies_exists(name, tmp_path):
    settings = {source: found.model_dump(exclude_none=True) for source, found in load(name).sources.items()}
    harvest = Harvest(settings=settings, raw=str(tmp_path))
    found = planted(harvest)
    assert {canary.kind for canary in found} >= {"exact_duplicate", "near_duplicate", "malformed", "unknown_rights"}
    wanted = {work for canary in found for work in (canary.work, canary.of) if work}
    units = {canary.unit for canary in found} | {canary.of.split("/")[1] for canary in found if canary.kind in COPIES}
    works = {
        work_id
        for source in settings
        for unit in harvest.units(source)
        if unit in units
        for work_id in works_from_unit(source, unit, *harvest.fetch(source, unit))["work_id"]
    }
    assert wanted <= works


def test_the_manifest_lists_every_file_of_the_sample_and_no_other():
    folder = PROJECT / "samples"
    listed = [entry["path"] for entry in yaml.safe_load((folder / "manifest.yaml").read_text())["files"]]
    held = [path.relative_to(folder).as_posix() for path in folder.rglob("*") if is_sample(path, folder)]
    assert sorted(listed) == sorted(held)


def is_sample(path: Path, folder: Path) -> bool:
    """A file below samples/<source>/; README, licence and the manifest lie above."""
    return path.is_file() and path.parent != folder and not path.name.startswith(".")
