"""Leaks are found and named, whatever made the assignments."""

from __future__ import annotations

import polars as pl
import pytest

from twainbot.splits import leaks

SAMPLES = pl.DataFrame(
    {
        "sample_id": ["pg74:10-900", "pg76:0-900", "pg80:0-900"],
        "cluster_id": ["c17", "c17", "c18"],
        "work_id": ["pg74", "pg76", "pg80"],
        "seed_id": [None, "s1", "s1"],
    }
)


def assignments(*splits: str, samples: pl.DataFrame = SAMPLES) -> pl.DataFrame:
    ids = samples["sample_id"]
    return pl.DataFrame({"sample_id": ids, "group_id": ids, "split": list(splits)})


def test_a_tight_split_has_no_leaks():
    assert leaks(assignments("train", "train", "train"), SAMPLES) == []


def test_a_cluster_in_two_splits_is_one_sentence_with_the_first_sample_of_each():
    (sentence,) = leaks(assignments("validation", "train", "train"), SAMPLES)
    assert sentence == (
        "Cluster 'c17' is in train (first 'pg76:0-900') and in validation (first 'pg74:10-900'). "
        "Split by cluster_id, then rematerialize splits/assignments."
    )


def test_a_seed_in_two_splits_is_a_leak_and_a_null_seed_ties_nothing():
    (sentence,) = leaks(assignments("train", "train", "test"), SAMPLES)
    assert sentence.startswith("Seed 's1' is in train (first 'pg76:0-900') and in test (first 'pg80:0-900').")


def test_a_work_in_three_splits_names_all_three_in_order():
    one_work = SAMPLES.with_columns(work_id=pl.lit("pg1"), cluster_id=pl.lit(None), seed_id=pl.lit(None))
    (sentence,) = leaks(assignments("test", "validation", "train"), one_work)
    places = [sentence.index(name) for name in ("train (", "validation (", "test (")]
    assert sentence.startswith("Work 'pg1'")
    assert places == sorted(places)


def test_parent_works_in_a_list_are_checked_one_by_one():
    listed = pl.DataFrame({"sample_id": ["d1", "p1"], "work_id": [["w1", "w2"], ["w2"]]})
    (sentence,) = leaks(assignments("train", "test", samples=listed), listed)
    assert sentence.startswith("Work 'w2'")


def test_a_group_in_two_splits_is_a_leak():
    loose = SAMPLES.select("sample_id")
    parted = assignments("train", "test", "train").with_columns(group_id=pl.lit("g"))
    assert leaks(parted, loose)[0].startswith("Group 'g'")


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        (assignments("train", "train", "train").head(2), "Sample 'pg80:0-900' has no split."),
        (pl.concat([assignments("train", "train", "train")] * 2), "Sample 'pg74:10-900' is assigned 2 times."),
        (
            assignments("train", "train", "held"),
            "Split 'held' (first 'pg80:0-900') is none of train, validation, test.",
        ),
    ],
)
def test_missing_doubled_and_unknown_assignments_are_told(changed, sentence):
    assert any(found.startswith(sentence) for found in leaks(changed, SAMPLES))


def test_an_assignment_without_its_sample_is_told():
    found = leaks(assignments("train", "train", "train"), SAMPLES.head(2))
    assert found == ["Assignment of 'pg80:0-900' belongs to no sample. Rematerialize splits/assignments."]
