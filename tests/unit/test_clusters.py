"""Clusters are the components of the verified pairs, and the member kept is the one with the freest rights."""

from __future__ import annotations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from twainbot.dedupe import cluster, clusters
from twainbot.errors import BadInput
from twainbot.records import CLUSTER, EDGE, frame

SIZE = 8
PAIRS = st.lists(st.tuples(st.integers(0, SIZE - 1), st.integers(0, SIZE - 1)), max_size=14)


def reachable(pairs: list[tuple[int, int]], row: int) -> set[int]:
    """All rows that a walk over the pairs reaches: the oracle."""
    seen = {row}
    while True:
        more = {b for a, b in pairs if a in seen} | {a for a, b in pairs if b in seen}
        if more <= seen:
            return seen
        seen |= more


@settings(deadline=None)
@given(PAIRS)
def test_a_label_is_the_smallest_row_that_can_be_reached(pairs):
    assert cluster(SIZE, pairs) == [min(reachable(pairs, row)) for row in range(SIZE)]


@settings(deadline=None)
@given(PAIRS, st.randoms())
def test_neither_the_order_of_pairs_nor_their_direction_matters(pairs, rng):
    other = [pair[::-1] for pair in pairs]
    rng.shuffle(other)
    assert cluster(SIZE, other) == cluster(SIZE, pairs)


def test_a_frame_of_pairs_works_as_well_as_tuples():
    assert cluster(4, pl.DataFrame({"a": [1, 2], "b": [2, 3], "jaccard": [1.0, 1.0]})) == [0, 1, 1, 1]


def test_a_long_chain_is_one_cluster():
    assert set(cluster(5000, [(i, i + 1) for i in range(4999)])) == {0}


@pytest.mark.parametrize("pair", [(0, 3), (-1, 0)])
def test_a_pair_outside_the_rows_is_refused(pair):
    with pytest.raises(BadInput, match="there are 3"):
        cluster(3, [pair])


def chunk(chunk_id: str, rights: str = "cc0", source: str = "local", tokens: int = 10) -> dict[str, object]:
    return {"chunk_id": chunk_id, "source": source, "copyright_status": rights, "token_count": tokens}


def edge_frame(*pairs: tuple[str, str]) -> pl.DataFrame:
    return frame([{"a": a, "b": b, "jaccard": 0.9, "containment": 1.0} for a, b in pairs], EDGE)


@pytest.mark.parametrize(
    ("one", "other", "kept"),
    [
        (chunk("a", rights="restricted"), chunk("b", rights="public_domain"), "b"),
        (chunk("a", source="satire"), chunk("b", source="gutenberg"), "b"),
        (chunk("a", source="unlisted"), chunk("b", source="satire"), "b"),
        (chunk("a", tokens=10), chunk("b", tokens=11), "b"),
        (chunk("a"), chunk("b"), "a"),
        (chunk("a", rights="restricted", tokens=99), chunk("b", rights="cc0", source="satire"), "b"),
    ],
)
def test_the_keeper_has_freer_rights_then_the_better_source_then_more_text(one, other, kept):
    rows = clusters(pl.DataFrame([one, other]), edge_frame(("a", "b")), ["gutenberg", "local", "satire"])
    assert rows.filter("is_canonical")["chunk_id"].to_list() == [kept]


def test_every_cluster_is_named_by_its_smallest_id_and_keeps_one():
    rows = clusters(pl.DataFrame([chunk(name) for name in "dcba"]), edge_frame(("b", "d"), ("a", "b")))
    assert rows.schema == pl.Schema(CLUSTER)
    assert rows.rows() == [("a", "a", True, 3), ("b", "a", False, 3), ("c", "c", True, 1), ("d", "a", False, 3)]


def test_an_edge_of_an_unknown_chunk_is_refused_by_name():
    with pytest.raises(BadInput, match="'z'"):
        clusters(pl.DataFrame([chunk("a")]), edge_frame(("a", "z")))


def test_no_chunks_have_no_clusters():
    assert clusters(pl.DataFrame([chunk("a")]).clear(), edge_frame()).is_empty()
