"""Old and new editions of the same real works, through chunks, pairs, clusters and splits: what holds of them together."""

from __future__ import annotations

import polars as pl
import pytest

from tests.unit.test_windows import tokenizer
from twainbot import dedupe
from twainbot.chunks.windows import chunk_works
from twainbot.corpora.works import Sidecar, works_from_unit
from twainbot.splits.assign import assign
from twainbot.splits.leakage import leaks

pytestmark = [pytest.mark.shared, pytest.mark.slow]

# ebook number: its old edition. Of 119 the old file stops in the middle; 148 has two.
EDITIONS = {"pg76": ["pg76-hfinn12"], "pg102": ["pg102-puddn10"], "pg119": ["pg119-20040619"],
            "pg148": ["pg148-bfaut10", "pg148-bfaut11"], "pg245": ["pg245-lmiss12"], "pg972": ["pg972-dvldc10"]}  # fmt: skip


@pytest.fixture(scope="module")
def chunks(shared_data):
    folder = shared_data / "gutenberg"
    files = {unit: folder / f"{unit}.txt" for unit in EDITIONS if (folder / f"{unit}.txt").is_file()}
    files |= {old: folder / "old" / f"{old}.txt" for unit in files for old in EDITIONS[unit]}
    assert len(files) >= 8
    cut = tokenizer()
    works = [
        works_from_unit("gutenberg", unit, path.read_bytes(), Sidecar(url=str(path))) for unit, path in files.items()
    ]
    return pl.concat(
        [chunk_works(made, cut, size=1024, overlap=64, min_tokens=0) for made in works], how="diagonal_relaxed"
    )


@pytest.fixture(scope="module")
def clusters(chunks):
    chosen = dedupe.DedupeSettings()
    edges = dedupe.edges(dedupe.signatures(chunks, chosen), chunks, chosen)
    return dedupe.clusters(chunks, edges, ("gutenberg",)).join(
        chunks.select("chunk_id", "work_id", "unit"), on="chunk_id"
    )


def test_most_of_an_old_edition_lies_in_clusters_with_the_new_one(clusters):
    units_of = clusters.group_by("cluster_id").agg(pl.col("unit").unique()).rows_by_key("cluster_id", unique=True)
    for new, olds in EDITIONS.items():
        for old in olds:
            mine = clusters.filter(pl.col("unit") == old)["cluster_id"].to_list()
            shared = sum(new in units_of[cluster][0] for cluster in mine)
            assert shared / len(mine) > 0.6, (old, shared, len(mine))


def test_no_cluster_holds_two_works_of_different_numbers(clusters):
    numbers = clusters.with_columns(number=pl.col("unit").str.split("-").list.first())
    mixed = numbers.group_by("cluster_id").agg(pl.col("number").n_unique()).filter(pl.col("number") > 1)
    assert mixed.is_empty()


def test_no_cluster_and_no_work_crosses_the_splits(clusters):
    listed = clusters.select(
        "cluster_id", "work_id", sample_id="chunk_id", kind=pl.lit("passage"), stratum=pl.lit("passage/twain"),
        seed_id=pl.lit(None, pl.String),
    )  # fmt: skip
    assignments = assign(listed)
    assert leaks(assignments, listed) == []
    assert assignments["split"].n_unique() > 1
