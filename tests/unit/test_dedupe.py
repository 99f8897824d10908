"""Emitted pairs are exact and complete, against an all-pairs oracle that knows no hashing."""

from __future__ import annotations

import random
from itertools import combinations

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from twainbot.chunks import windows
from twainbot.corpora.boilerplate import strip_gutenberg
from twainbot.dedupe import DedupeSettings, edges, near_duplicates, signatures
from twainbot.dedupe.pairs import MAX_COPIES
from twainbot.dedupe.shingles import words
from twainbot.errors import BadInput, StaleSchema
from twainbot.records import EDGE, SIGNATURE

VOCABULARY = [f"word{number}" for number in range(4000)]


def oracle(texts: list[str], threshold: float = 0.7, length: int = 3) -> dict[tuple[int, int], tuple[float, float]]:
    """Jaccard and containment of all pairs at or above the threshold, on sets of word tuples."""
    sets = []
    for text in texts:
        found = words(text)
        size = min(length, len(found))
        sets.append({tuple(found[i : i + size]) for i in range(len(found) - size + 1)} if found else set())
    pairs = {}
    for a, b in combinations(range(len(texts)), 2):
        shared = len(sets[a] & sets[b])
        if shared and shared / len(sets[a] | sets[b]) >= threshold:
            pairs[a, b] = shared / len(sets[a] | sets[b]), shared / min(len(sets[a]), len(sets[b]))
    return pairs


def planted_corpus(seed: int = 0) -> list[str]:
    """300 texts of 20 to 200 words; two thirds are copies of earlier ones with 0 to 12 % of the words changed."""
    rng = random.Random(seed)
    texts: list[str] = []
    for row in range(300):
        if row < 100:
            texts.append(" ".join(rng.choices(VOCABULARY, k=rng.randint(20, 200))))
            continue
        share = rng.choice([0.0, 0.02, 0.05, 0.08, 0.12])
        original = texts[rng.randrange(100)].split()
        texts.append(" ".join(rng.choice(VOCABULARY) if rng.random() < share else word for word in original))
    return texts


def tokenizer() -> Tokenizer:
    """One token a byte: windows of 1,024 characters."""
    built = Tokenizer(models.BPE({letter: i for i, letter in enumerate(pre_tokenizers.ByteLevel.alphabet())}, []))
    built.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    return built


def found_pairs(rows: pl.DataFrame) -> dict[tuple[int, int], tuple[float, float]]:
    return {(a, b): (jaccard, containment) for a, b, jaccard, containment in rows.iter_rows()}


@pytest.mark.parametrize(("threshold", "length"), [(0.7, 3), (0.7, 5), (0.5, 3), (0.9, 3)])
def test_recall_is_99_percent_and_precision_is_exact_against_all_pairs(threshold, length):
    texts = planted_corpus()
    truth = oracle(texts, threshold, length)
    found = found_pairs(near_duplicates(texts, threshold, shingle=length))
    assert len(truth) >= 79
    assert len(truth.keys() & found.keys()) / len(truth) >= 0.99
    assert {pair: truth[pair] for pair in found} == found


def test_any_order_of_input_gives_the_same_pairs():
    texts = planted_corpus(1)
    order = list(range(len(texts)))
    random.Random(2).shuffle(order)
    shuffled = near_duplicates([texts[row] for row in order])
    back = {(*sorted((order[a], order[b])), jaccard) for a, b, jaccard, _ in shuffled.iter_rows()}
    assert back == {(a, b, jaccard) for a, b, jaccard, _ in near_duplicates(texts).iter_rows()}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.lists(st.sampled_from(["fog", "mud", "bell"]), max_size=6).map(" ".join), max_size=8))
def test_every_emitted_pair_is_true_and_every_exact_copy_is_emitted(texts):
    found, truth = found_pairs(near_duplicates(texts)), oracle(texts)
    assert found.keys() <= truth.keys()
    assert {pair for pair, (jaccard, _) in truth.items() if jaccard == 1.0} <= found.keys()


def test_short_texts_are_compared_whole():
    found = near_duplicates(["Fog!", "fog", "fog bell", "", "...", ""])
    assert found.rows() == [(0, 1, 1.0, 1.0)], "and texts without words are nobody's copies"


def test_no_texts_give_an_empty_frame():
    assert near_duplicates([]).schema == {
        "a": pl.Int64,
        "b": pl.Int64,
        "jaccard": pl.Float64,
        "containment": pl.Float64,
    }


def test_many_copies_are_linked_without_a_square_of_pairs():
    found = near_duplicates(["one and the same line of text"] * (MAX_COPIES + 6))
    assert len(found) == MAX_COPIES * (MAX_COPIES - 1) // 2 + 6


def chunk_rows(texts: dict[str, str], spans: dict[str, tuple[int, int]] | None = None) -> pl.DataFrame:
    spans = spans or {}
    rows = [
        {
            "chunk_id": chunk_id,
            "work_id": chunk_id.split(":")[0],
            "start": spans.get(chunk_id, (0, 1))[0],
            "end": spans.get(chunk_id, (0, 1))[1],
            "text": text,
        }
        for chunk_id, text in texts.items()
    ]
    return pl.DataFrame(rows)


def edges_of(chunks: pl.DataFrame, config: DedupeSettings | None = None) -> pl.DataFrame:
    config = config or DedupeSettings()
    return edges(signatures(chunks, config), chunks, config)


def test_stored_signatures_give_the_pairs_that_texts_give():
    texts = planted_corpus(3)
    ids = [f"w{row:03d}:0-1" for row in range(len(texts))]
    chunks = chunk_rows(dict(zip(ids, texts, strict=True)))
    made = edges_of(chunks)
    assert made.schema == pl.Schema(EDGE)
    expected = [(ids[a], ids[b], j, c) for a, b, j, c in near_duplicates(texts).iter_rows()]
    assert made.rows() == expected
    assert edges_of(chunks.sample(fraction=1, shuffle=True, seed=1)).rows() == expected


def test_signature_rows_keep_the_order_of_chunks_and_name_their_scheme():
    chunks = chunk_rows({"b:0-9": "fog and mud", "a:0-9": "..."})
    rows = signatures(chunks, DedupeSettings())
    assert rows.schema == pl.Schema(SIGNATURE)
    assert rows["chunk_id"].to_list() == ["b:0-9", "a:0-9"]
    assert rows["shingle_count"].to_list() == [1, 0]
    assert set(rows["scheme"]) == {DedupeSettings().scheme}


def test_overlapping_windows_of_one_work_are_no_duplicates():
    text = " ".join(VOCABULARY[:40])
    spans = {"w:0-90": (0, 90), "w:10-95": (10, 95), "w:100-190": (100, 190), "v:0-90": (0, 90)}
    made = edges_of(chunk_rows(dict.fromkeys(spans, text), spans))
    pairs = {(a, b) for a, b, *_ in made.iter_rows()}
    assert ("w:0-90", "w:10-95") not in pairs
    assert ("w:0-90", "w:100-190") in pairs, "the same text twice in a work is a duplicate"
    assert len(pairs) == 5


def test_signatures_of_another_scheme_are_refused_with_the_repair():
    chunks = chunk_rows({"a:0-9": "fog and mud"})
    old = signatures(chunks, DedupeSettings(shingle=5))
    with pytest.raises(StaleSchema, match=r"shingle5.*Rematerialize dedupe/signatures"):
        edges(old, chunks, DedupeSettings())


def test_a_signature_without_its_chunk_is_refused():
    chunks = chunk_rows({"a:0-9": "fog and mud", "b:0-9": "bell"})
    with pytest.raises(BadInput, match="'b:0-9'"):
        edges(signatures(chunks, DedupeSettings()), chunks.head(1), DedupeSettings())


def test_chunks_without_words_have_no_edges():
    assert edges_of(chunk_rows({"a:0-9": "...", "b:0-9": "!"})).is_empty()


@pytest.mark.shared
def test_most_passages_of_an_old_edition_are_found(shared_data):
    new, old = (
        strip_gutenberg((shared_data / "gutenberg" / name).read_bytes()).text
        for name in ("pg374.txt", "old/pg374-fanfb10.txt")
    )
    passages = [windows(text, tokenizer(), 1024, 64) for text in (new, old)]
    pairs = near_duplicates([chunk.text for edition in passages for chunk in edition])
    boundary = len(passages[0])
    found = {b for a, b in pairs.select("a", "b").iter_rows() if a < boundary <= b}
    assert len(found) / len(passages[1]) > 0.8
