"""What `twainbot clean` may delete, and above all what it may not."""

from __future__ import annotations

import json
import os
import time

import polars as pl
import pytest

from resources.home import Home
from resources.lake import Lake
from resources.raw_store import RawStore
from twainbot.errors import BadInput
from twainbot_assets import retention

TEMPORARY = f".part-0.parquet.{'0' * 32}.tmp"


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.delenv("TWAINBOT_LAKE", raising=False)
    return Home(tmp_path, "tiny").prepare()


def put(path, text="x" * 10):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def published(home, table, digest):
    put(home.root / "tiny" / "lake" / table / "files" / digest / "weights.bin")
    return home.root / "tiny" / "lake" / table / "files" / digest


def listed(home, after=3601.0):
    """What is unneeded when `after` seconds have passed since now."""
    return [path for path, _ in retention.unneeded(home, time.time() + after)]


def test_a_folder_that_a_row_names_stays_and_its_forerunner_goes(home):
    kept, old = published(home, "adapters/sft", "aaaa"), published(home, "adapters/sft", "bbbb")
    Lake(home.lake).write("adapters/sft", "default", pl.DataFrame([{"folder": "adapters/sft/files/aaaa"}]))
    assert listed(home) == [old]
    assert kept.is_dir()


def test_every_partition_of_a_table_counts_as_naming(home):
    published(home, "release/model", "aaaa")
    published(home, "release/model", "bbbb")
    for version, digest in (("v0.1", "aaaa"), ("v0.2", "bbbb")):
        Lake(home.lake).write("release/model", version, pl.DataFrame([{"folder": f"release/model/files/{digest}"}]))
    assert listed(home) == []


@pytest.mark.parametrize(
    "column",
    [
        {"record": json.dumps({"start": {"folder": "adapters/sft/files/aaaa"}})},
        {"record": json.dumps({"inner": json.dumps({"folder": "adapters/sft/files/aaaa"})})},
        {"notes": ["see adapters/sft/files/aaaa"]},
        {"where": {"folder": "/abs/lake/adapters/sft/files/aaaa/"}},
    ],
)
@pytest.mark.parametrize("table", ["adapters/preference", "release/model", "evals/scorecard"])
def test_a_folder_named_anywhere_in_a_row_of_another_table_stays(home, column, table):
    published(home, "adapters/sft", "aaaa")
    Lake(home.lake).write(table, None, pl.DataFrame([column]))
    assert listed(home) == []


def test_a_table_that_cannot_be_read_stops_the_cleaning(home):
    published(home, "adapters/sft", "aaaa")
    put(home.root / "tiny" / "lake" / "adapters" / "sft" / "partition=default" / "part-0.parquet")
    with pytest.raises(BadInput, match=r"part-0\.parquet cannot be read .* so what it needs is unknown"):
        listed(home)


def test_what_is_younger_than_an_hour_may_belong_to_a_run_and_stays(home):
    folder = published(home, "adapters/sft", "aaaa")
    os.utime(folder / "weights.bin", (0, 0))  # a copy sets mtime back, as copytree does
    os.utime(folder, (0, 0))
    assert listed(home, after=3500) == []
    assert listed(home, after=3700) == [folder]


def test_finished_work_goes_and_work_that_can_be_resumed_stays(home):
    done = put(home.work / "default" / "dapt" / "record.json").parent
    bundle = put(home.work / "release" / "v0.1" / "manifest.json").parent
    put(home.work / "default" / "sft" / "checkpoints" / "checkpoint-3" / "weights.bin")
    assert listed(home) == [done, bundle]


def test_nothing_inside_a_listed_folder_is_listed_again(home):
    done = put(home.work / "default" / "dapt" / "record.json").parent
    put(done / "adapter" / "record.json")
    put(done / TEMPORARY)
    assert listed(home) == [done]


def test_leftovers_of_killed_writes_go_and_other_hidden_files_stay(home):
    places = (home.own / "lake" / "chunks" / "local", home.own, home.raw, home.models, home.cache)
    left = {put(place / TEMPORARY) for place in places}
    put(home.own / ".reviews.jsonl.lock")
    put(home.own / ".notes.tmp")
    assert set(listed(home)) == left


def test_raw_files_cached_answers_models_tables_and_reviews_are_never_listed(home):
    for path in (home.raw / "ab" / "abcd", home.cache / "llm" / "abcd.json", home.models / "base" / "config.json",
                 home.own / "lake" / "chunks" / "local" / "partition=x" / "part-0.parquet", home.reviews):  # fmt: skip
        put(path)
    assert listed(home) == []


def test_sizes_are_the_bytes_of_all_files(home):
    done = put(home.work / "default" / "dapt" / "record.json", "12345").parent
    put(done / "adapter" / "weights.bin", "1234567")
    assert retention.unneeded(home, time.time() + 3601) == [(done, 12)]


def test_a_lake_in_an_object_store_is_left_alone(home, monkeypatch):
    published(home, "adapters/sft", "aaaa")
    monkeypatch.setenv("TWAINBOT_LAKE", "s3://bucket/lake")
    assert listed(home) == []


def test_a_home_that_was_never_used_has_nothing_to_clean(tmp_path, monkeypatch):
    monkeypatch.delenv("TWAINBOT_LAKE", raising=False)
    assert retention.unneeded(Home(tmp_path / "absent", "tiny")) == []


def test_deleting_takes_folders_files_and_links_but_not_what_a_link_shows(tmp_path):
    folder, file, target = tmp_path / "folder", put(tmp_path / "file"), put(tmp_path / "target" / "kept").parent
    put(folder / "inner" / "deep")
    link = tmp_path / "link"
    link.symlink_to(target)
    retention.delete([folder, file, link, tmp_path / "gone already"])
    assert sorted(path.name for path in tmp_path.iterdir()) == ["target"]
    assert (target / "kept").is_file()


# --- downloads --------------------------------------------------------------------------------------------------------


def stored(home, text):
    """A download that an index names, and its path."""
    store = RawStore(home.raw)
    return store.path(store.put(text.encode(), f"https://example.org/{text}").sha256)


def forgotten(home, text):
    """A download whose URL has given something else since, so that no index names it."""
    path = stored(home, text)
    RawStore(home.raw).put(b"newer", f"https://example.org/{text}")
    return path


def in_use(home, profile="tiny"):
    """A profile's home that was used: its state and its lake exist."""
    for name in ("dagster", "lake"):
        (home.root / profile / name).mkdir(parents=True, exist_ok=True)
    return Lake(str(home.root / profile / "lake"))


def test_a_download_that_nothing_names_any_more_goes_with_its_sidecar(home):
    kept, gone = stored(home, "current"), forgotten(home, "old")
    assert set(listed(home)) == {gone, gone.with_suffix(".json")}
    assert kept.is_file()


@pytest.mark.parametrize("index", ["good/x.json", "http/y.json", "gathered/satire/onion.json"])
def test_a_download_that_an_index_names_stays(home, index):
    path = forgotten(home, "old")
    put(home.raw / index, json.dumps({"seen": [{"sha256": path.name}]}))
    assert listed(home) == []


@pytest.mark.parametrize("profile", ["tiny", "laptop"])
@pytest.mark.parametrize("column", ["raw_sha256", "listed", "provenance"])
def test_a_download_that_a_row_of_any_profile_names_stays(home, profile, column):
    path = forgotten(home, "old")
    value = {"raw_sha256": path.name, "listed": [path.name], "provenance": json.dumps({"raw_sha256": [path.name]})}[
        column
    ]
    rows = pl.DataFrame([{"raw_sha256" if column == "listed" else column: value}])
    in_use(home, profile).write("evals/scorecard", None, rows)
    assert listed(home) == []


def test_a_download_that_a_bundles_file_names_stays(home):
    path = forgotten(home, "old")
    folder = published(home, "release/dataset", "aaaa")
    put(folder / "sources.jsonl", f'{{"raw_sha256": "{path.name}"}}\n')
    Lake(home.lake).write("release/dataset", "v1", pl.DataFrame([{"folder": "release/dataset/files/aaaa"}]))
    assert listed(home) == []


def test_no_download_goes_while_a_profile_keeps_its_lake_elsewhere(home, monkeypatch):
    forgotten(home, "old")
    (home.root / "full" / "dagster").mkdir(parents=True)  # its lake is in a bucket that nobody names here
    assert listed(home) == []


def test_a_download_that_came_again_within_the_hour_is_about_to_be_named_and_stays(home):
    path = forgotten(home, "old")
    assert set(listed(home, after=3700)) == {path, path.with_suffix(".json")}
    time.sleep(0.05)
    before = path.stat().st_ctime_ns
    RawStore(home.raw).put(b"old", "https://example.org/elsewhere")
    assert path.stat().st_ctime_ns > before  # which is what `settled` looks at


def test_a_table_that_cannot_be_read_keeps_all_downloads(home):
    forgotten(home, "old")
    put(home.own / "lake" / "splits" / "dapt" / "part-0.parquet")
    with pytest.raises(BadInput, match="what it needs is unknown"):
        listed(home)


# --- checkpoints ------------------------------------------------------------------------------------------------------


def checkpoint(home, order, step, sealed=True):
    """A checkpoint of an order of default/sft."""
    folder = home.work / "default" / "sft" / "checkpoints" / order / f"checkpoint-{step}"
    put(folder / "weights.bin")
    if sealed:
        put(folder / "sealed.json", "{}")
    return folder


def test_sealed_checkpoints_of_the_newest_order_stay_and_a_torn_one_goes(home):
    kept, torn = checkpoint(home, "f00d", 3), checkpoint(home, "f00d", 6, sealed=False)
    assert listed(home) == [torn]
    assert kept.is_dir()


def test_checkpoints_of_an_order_that_another_followed_go_with_their_folder(home):
    old = checkpoint(home, "beef", 3).parent
    os.utime(old, (1, 1))
    checkpoint(home, "f00d", 3)
    assert listed(home) == [old]


def test_the_seals_name_is_the_trainings_own(root):
    """The graph must not import the training loop, which imports torch."""
    assert f'SEAL = "{retention.SEAL}"' in (root / "training" / "watch.py").read_text()
