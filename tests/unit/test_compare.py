"""Two data bundles against each other, in words: what was added, removed and changed, and why."""

from __future__ import annotations

import polars as pl
import pytest

from tests import builders as make
from tests import data_lake as small
from twainbot.release import compare
from twainbot.release.snapshot import snapshot


@pytest.fixture(scope="module")
def tables():
    return snapshot(small.material())


IDS = ("sample_id", "chunk_id", "conversation_id", "preference_id", "work_id")


def without(rows, *ids):
    """Rows less those of these ids, whatever their id column is called."""
    return [row for row in rows if not {row.get(name) for name in IDS} & set(ids)]


def told(old, new):
    return {(each.what, each.config, each.sample_id): each.reason for each in compare.changes(old, new)}


def test_equal_bundles_differ_in_nothing(tables):
    assert compare.changes(tables, tables) == []
    assert [row["before"] - row["after"] for row in compare.totals([], tables, tables)] == [0, 0, 0]


def test_a_row_that_is_now_a_copy_says_so_and_one_that_no_longer_is_says_that(tables):
    reject = {"sample_id": small.FLOOD_ID, "work_id": "tales/the-flood", "source": "local", "stage": "dedupe",
              "decision": "reject", "reasons": [f"duplicate_in:{small.LAMP_ID}"]}  # fmt: skip
    newer = snapshot(
        small.material(
            passages=without(small.passages(), small.FLOOD_ID), rejects=[*small.rejects(), reject],
            assignments=without(small.assignments(), small.FLOOD_ID),
        )
    )  # fmt: skip
    assert told(tables, newer) == {("removed", "dapt", small.FLOOD_ID): "now rejected as a near-duplicate"}
    assert told(newer, tables) == {("added", "dapt", small.FLOOD_ID): "no longer rejected as a near-duplicate"}


def test_a_dialogue_that_is_held_back_takes_its_pair_along_each_with_its_reason(tables):
    tied = (small.CALLING, small.PAIR)
    held = [{**row, "split": "held_back"} if row["sample_id"] in tied else row for row in small.assignments()]
    newer = snapshot(small.material(assignments=held))
    reason = "now held back, since it would tie two splits"
    assert told(tables, newer) == {
        ("removed", "sft", small.CALLING): reason, ("removed", "preferences", small.PAIR): reason,
    }  # fmt: skip


def test_a_work_that_was_rejected_whole_explains_its_passages(tables):
    reject = {"sample_id": "tales/the-flood", "work_id": "tales/the-flood", "source": "local", "stage": "corpora",
              "decision": "reject", "reasons": ["rights_unknown"]}  # fmt: skip
    newer = snapshot(
        small.material(
            passages=without(small.passages(), small.FLOOD_ID), rejects=[*small.rejects(), reject],
            assignments=without(small.assignments(), small.FLOOD_ID),
        )
    )  # fmt: skip
    assert told(tables, newer) == {("removed", "dapt", small.FLOOD_ID): "now rejected for unknown rights"}


def test_new_texts_and_new_batches_are_named_as_such(tables):
    fewer = snapshot(
        small.material(
            works=without(small.works(), "tales/the-flood"), passages=without(small.passages(), small.FLOOD_ID),
            dialogues=without(small.dialogues(), small.RETELLING),
            assignments=without(small.assignments(), small.FLOOD_ID, small.RETELLING),
        )
    )  # fmt: skip
    other_batch = {**fewer, "provenance": fewer["provenance"].with_columns(unit=pl.lit("b009"))}
    assert told(other_batch, tables) == {
        ("added", "dapt", small.FLOOD_ID): "its work is new", ("added", "sft", small.RETELLING): "batch b000 is new",
    }  # fmt: skip
    assert told(tables, other_batch)["removed", "sft", small.RETELLING] == "batch b000 is gone"
    assert told(fewer, tables)["added", "sft", small.RETELLING] == "written anew"


def test_a_changed_text_moves_its_passages_and_is_told_from_new_cuts(tables):
    longer = f"{make.TEXT} It stayed a week."
    works = [{**row, "text": longer} if row["work_id"] == "tales/the-flood" else row for row in small.works()]
    name = f"tales/the-flood:0-{len(longer)}"
    texts = [make.passage(text=longer), *without(small.passages(), small.FLOOD_ID)]
    assigned = [
        {**row, "sample_id": name} if row["sample_id"] == small.FLOOD_ID else row for row in small.assignments()
    ]
    newer = snapshot(small.material(works=works, passages=texts, assignments=assigned))
    reason = "its work's text changed"
    assert told(tables, newer) == {("removed", "dapt", small.FLOOD_ID): reason, ("added", "dapt", name): reason}
    cut = {**newer, "works": tables["works"]}
    assert set(told(tables, cut).values()) == {"its work was cut anew"}


def test_a_row_that_moved_or_reads_otherwise_is_changed(tables):
    moved = [
        {**row, "split": "validation"} if row["sample_id"] == small.FLOOD_ID else row for row in small.assignments()
    ]
    talks = [
        {**row, "scenario": "follow_up"} if row["conversation_id"] == small.CALLING else row
        for row in small.dialogues()
    ]
    newer = snapshot(small.material(assignments=moved, dialogues=talks))
    assert told(tables, newer) == {
        ("changed", "dapt", small.FLOOD_ID): "moved from train to validation",
        ("changed", "sft", small.CALLING): "other scenario",
    }


def test_groups_count_all_changes_and_show_one_id_each(tables):
    empty = {name: rows.clear() for name, rows in tables.items()}
    found = compare.changes(empty, tables)
    groups = compare.grouped(found)
    assert sum(group.rows for group in groups) == len(found) == 2 + 3 + 1
    assert all(group.first in {each.sample_id for each in found} for group in groups)


def test_a_reason_without_words_of_its_own_keeps_its_code(tables):
    row = {"reasons": ["profanity"], "stage": "screened", "decision": "review"}
    assert compare.left_words(row) == "waiting for a review: profanity"
    lost = {**row, "reasons": ["parent_not_curated: pg76:0-9"]}
    assert compare.left_words(lost) == "rejected with the passage that it was written from"
    assert compare.left_words({**row, "decision": "reject"}) == "rejected at screened: profanity"
