"""From screened chunks to passages: every chunk ends as a passage or as a reject with its reason, never as neither."""

from __future__ import annotations

import json

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests import builders as make
from tests.examples import examples
from twainbot.curation import NEVER_OVERRULED, curate, reviewed
from twainbot.errors import BadInput
from twainbot.records import DECISIONS, PASSAGE, REJECT

EVAL = {"suite/1": "when the packet boat comes round the bend tomorrow at noon"}
EIGHT = "Hark: when the packet boat comes round the bend!"  # its first eight words, ours before them
SEVEN = "Hark: when the packet boat comes round the river."


def material(*entries: tuple[str, str, bool], texts: dict[str, str] | None = None):
    """Works, chunks, decisions and clusters from (work, decision, is canonical)."""
    ids = [name for name, _, _ in entries]
    rows = [make.chunk(name, text=(texts or {}).get(name, f"Text of {name}.")) for name in ids]
    verdicts = [
        make.screened(row["chunk_id"], decision, *([] if decision == "keep" else ["profanity"]))
        for row, (_, decision, _) in zip(rows, entries, strict=True)
    ]
    found = [
        make.cluster(row["chunk_id"], canonical=canonical) for row, (_, _, canonical) in zip(rows, entries, strict=True)
    ]
    return (
        make.works(*(make.work(name) for name in ids)),
        make.chunks(*rows),
        make.decisions(*verdicts),
        make.clusters(*found),
    )


def stages(rejects: pl.DataFrame) -> list[tuple[str, str, list[str]]]:
    return [(row["work_id"], row["stage"], row["reasons"]) for row in rejects.sort("work_id").to_dicts()]


def test_a_kept_canonical_chunk_becomes_a_passage_with_title_author_and_licence():
    done = curate(*material(("t/1", "keep", True)), {})
    [row] = done.passages.to_dicts()
    assert (row["title"], row["author"], row["license"]) == ("The Flood", "Amos Quill", "CC0-1.0")
    assert row["cluster_id"] == row["chunk_id"]
    assert done.passages.columns == list(PASSAGE)
    assert done.rejects.is_empty()


def test_each_reason_names_the_stage_at_which_the_chunk_was_lost():
    works, chunks, screened, clusters = material(
        ("t/1", "keep", True), ("t/2", "reject", True), ("t/3", "review", True), ("t/4", "keep", False), ("t/5", "keep", True),
        texts={"t/5": EIGHT},
    )  # fmt: skip
    works = make.works(*works.to_dicts(), make.work("t/6", reject_reason="header only", text=""))
    done = curate(works, chunks, screened, clusters, EVAL)
    assert done.passages["work_id"].to_list() == ["t/1"]
    assert stages(done.rejects) == [
        ("t/2", "screened", ["profanity"]),
        ("t/3", "screened", ["profanity"]),
        ("t/4", "dedupe", ["duplicate_in:t/4:0-12"]),
        ("t/5", "curated", ["eval_text:suite/1"]),
        ("t/6", "corpora", ["header only"]),
    ]
    assert done.rejects.schema == pl.Schema(REJECT)
    assert done.rejects.filter(pl.col("work_id") == "t/3")["decision"].to_list() == ["review"]
    assert done.rejects.filter(pl.col("work_id") == "t/6")["sample_id"].to_list() == ["t/6"]


def test_seven_words_of_an_evaluation_are_no_theft_and_eight_are():
    kept, lost = (
        curate(*material(("t/1", "keep", True), texts={"t/1": text}), EVAL).passages.height for text in (SEVEN, EIGHT)
    )
    assert (kept, lost) == (1, 0)


def test_every_evaluation_item_in_a_chunk_is_a_reason_and_a_row_of_the_report_the_longest_first():
    other = "nobody on the levee had ever seen the like of it before"
    held = f"{EIGHT} {other}!"
    done = curate(*material(("t/1", "keep", True), texts={"t/1": held}), {**EVAL, "suite/0": other})
    assert stages(done.rejects) == [("t/1", "curated", ["eval_text:suite/0", "eval_text:suite/1"])]  # 12 words, 8 words
    assert done.overlaps.select("suite", "item_id", "words").rows() == [("suite", "0", 12), ("suite", "1", 8)]


def test_a_copy_that_is_rejected_for_its_words_is_not_called_a_duplicate():
    done = curate(*material(("t/1", "reject", False)), {})
    assert stages(done.rejects) == [("t/1", "screened", ["profanity"])]


@pytest.mark.parametrize("absent", ["decision", "cluster"])
def test_a_chunk_without_decision_or_cluster_stops_everything(absent):
    works, chunks, screened, clusters = material(("t/1", "keep", True), ("t/2", "keep", True))
    short = (screened[:1], clusters) if absent == "decision" else (screened, clusters[:1])
    with pytest.raises(BadInput, match=r"1 chunks have no screening decision or no cluster \(first 't/2:0-12'\)"):
        curate(works, chunks, *short, {})


def test_a_reviewer_lets_a_chunk_in_and_another_one_out_and_is_named_for_it():
    given_ = material(("t/1", "review", True), ("t/2", "keep", True))
    done = curate(*given_, {}, {"t/1:0-12": "keep", "t/2:0-12": "reject", "t/9:0-12": "keep"})
    assert done.passages["work_id"].to_list() == ["t/1"]
    assert stages(done.rejects) == [("t/2", "screened", ["reviewed"])]


@pytest.mark.parametrize("reason", NEVER_OVERRULED)
def test_no_reviewer_can_grant_rights(reason):
    held = make.decisions(make.screened("t/1:0-9", "reject", "profanity", reason))
    assert reviewed(held, {"t/1:0-9": "keep"}).row(0) == ("t/1:0-9", "reject", ["profanity", reason])


def test_a_review_of_an_unknown_kind_is_refused_with_the_known_ones():
    with pytest.raises(BadInput, match=r"Reviews hold the decisions \['perhaps'\]; known: keep, review, reject"):
        reviewed(make.decisions(), {"t/1:0-9": "perhaps"})


def test_reviewing_an_empty_table_gives_an_empty_table():
    assert reviewed(make.decisions().clear(), {"t/1:0-9": "keep"}).is_empty()


ENTRIES = st.lists(
    st.tuples(st.sampled_from(DECISIONS), st.booleans(), st.booleans(), st.sampled_from([None, *DECISIONS])), max_size=8
)


@settings(max_examples=examples(60), deadline=None)
@given(ENTRIES)
def test_every_chunk_is_a_passage_or_a_reject_and_none_is_both(entries):
    names = [f"t/{number}" for number in range(len(entries))]
    texts = {name: EIGHT for name, (_, _, stolen, _) in zip(names, entries, strict=True) if stolen}
    listed = [(name, verdict, canonical) for name, (verdict, canonical, _, _) in zip(names, entries, strict=True)]
    works, chunks, screened, clusters = (
        table if entries else table.clear() for table in material(*(listed or [("t/0", "keep", True)]), texts=texts)
    )
    reviews = {
        chunk_id: entry[3] for chunk_id, entry in zip(chunks["chunk_id"], entries, strict=True) if entry[3] is not None
    }
    done = curate(works, chunks, screened, clusters, EVAL, reviews)
    assert sorted([*done.passages["chunk_id"], *done.rejects["sample_id"]]) == sorted(chunks["chunk_id"])
    assert (done.rejects["reasons"].list.len() > 0).all()
    assert not set(done.passages["text"]) & {EIGHT}


def test_the_provenance_of_a_passage_is_its_chunks():
    done = curate(*material(("t/1", "keep", True)), {})
    assert json.loads(done.passages["provenance"][0]) == make.PROVENANCE
