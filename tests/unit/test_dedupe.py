"""Emitted pairs are exact and complete, against an all-pairs oracle that knows no hashing."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from itertools import combinations
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, models, pre_tokenizers

from tests.examples import examples
from twainbot.chunks import windows
from twainbot.corpora.boilerplate import strip_gutenberg
from twainbot.dedupe import (
    ENGINES,
    DedupeSettings,
    Known,
    buckets,
    chunk_pairs,
    cluster,
    edges,
    near_duplicates,
    signatures,
    to_join,
    update,
)
from twainbot.dedupe.groups import MAX_COPIES
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
@pytest.mark.parametrize("engine", ["minhash", "fracminhash"])
def test_recall_and_precision_are_whole_against_all_pairs(engine, threshold, length):
    texts = planted_corpus()
    truth = oracle(texts, threshold, length)
    found = found_pairs(near_duplicates(texts, threshold, shingle=length, engine=engine))
    assert len(truth) >= 79
    assert found == truth


def test_the_reference_engine_misses_at_most_one_in_a_hundred():
    texts = planted_corpus()
    truth, found = oracle(texts), found_pairs(near_duplicates(texts, engine="datasketch"))
    assert {pair: truth[pair] for pair in found} == found
    assert len(found) / len(truth) >= 0.99


def test_simhash_finds_some_pairs_and_no_false_one():
    texts = planted_corpus()
    truth, found = oracle(texts), found_pairs(near_duplicates(texts, engine="simhash"))
    assert {pair: truth[pair] for pair in found} == found
    assert {pair for pair, (jaccard, _) in truth.items() if jaccard == 1.0} <= found.keys()


def test_a_sample_of_a_long_text_is_enough_to_meet():
    # 1 n-gram in 16: 94 of each text, of which a copy with 5 % edits shares some 80
    rng = random.Random(5)
    text = rng.choices(VOCABULARY, k=1500)
    copy = [rng.choice(VOCABULARY) if rng.random() < 0.05 else word for word in text]
    found = found_pairs(near_duplicates([" ".join(text), " ".join(copy)], engine="fracminhash"))
    assert found == oracle([" ".join(text), " ".join(copy)])
    assert len(found) == 1


@settings(max_examples=examples(60), deadline=None, derandomize=True)
@given(
    st.lists(st.lists(st.sampled_from(["fog", "mud", "bell", "rain", "pilot"]), max_size=9).map(" ".join), max_size=9),
    st.sampled_from(["minhash", "fracminhash"]),
)
def test_clusters_of_random_small_sets_are_the_oracles(texts, engine):
    made = cluster(len(texts), near_duplicates(texts, engine=engine))
    assert made == cluster(len(texts), list(oracle(texts)))


def test_any_order_of_input_gives_the_same_pairs():
    texts = planted_corpus(1)
    order = list(range(len(texts)))
    random.Random(2).shuffle(order)
    shuffled = near_duplicates([texts[row] for row in order])
    back = {(*sorted((order[a], order[b])), jaccard) for a, b, jaccard, _ in shuffled.iter_rows()}
    assert back == {(a, b, jaccard) for a, b, jaccard, _ in near_duplicates(texts).iter_rows()}


@settings(max_examples=examples(60), deadline=None)
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


# --- what an earlier run established ---------------------------------------------------------------------------------


def corpus_of(rows: dict[int, str]) -> pl.DataFrame:
    return (
        chunk_rows({f"w{row}:0-1": text for row, text in rows.items()}) if rows else chunk_rows({"w:0-1": ""}).clear()
    )


def in_steps(steps: list[dict[int, str]], config: DedupeSettings) -> list[pl.DataFrame]:
    """Edges after each step, every step given what the one before it established, through a file's rows."""
    known, made = None, []
    for rows in steps:
        chunks = corpus_of(rows)
        edge_rows, found = update(signatures(chunks, config), chunks, config, known)
        known = Known.of(found.frame())
        made.append(edge_rows)
    return made


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_that_come_change_and_go_leave_what_a_full_run_finds(engine):
    texts = planted_corpus(7)
    config = DedupeSettings(engine=engine)
    first = dict(enumerate(texts[:280]))
    second = {row: text for row, text in enumerate(texts) if row % 9}  # every ninth goes, the last twenty come
    third = {**second, **{row: texts[row + 1] for row in range(1, 290, 30)}}  # ten change
    made = in_steps([first, second, third, {}, third], config)
    assert [
        rows.equals(edges_of(corpus_of(step), config))
        for rows, step in zip(made, [first, second, third, {}, third], strict=True)
    ] == [True] * 5
    assert made[2].height > 50 or engine == "simhash"


@settings(max_examples=examples(40), deadline=None)
@given(
    st.lists(
        st.dictionaries(
            st.integers(0, 6),
            st.lists(st.sampled_from(["fog", "mud", "bell", "rain"]), max_size=8).map(" ".join),
            max_size=7,
        ),
        min_size=2,
        max_size=4,
    ),
    st.sampled_from(["minhash", "fracminhash"]),
    st.sampled_from([2, 1024]),
)
def test_incremental_equals_full_whatever_comes_and_goes(steps, engine, crowd):
    config = DedupeSettings(engine=engine)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(buckets, "CROWD", crowd)
        made = in_steps(steps, config)
        full = [edges_of(corpus_of(step), config) for step in steps]
    assert [rows.rows() for rows in made] == [rows.rows() for rows in full]


def test_only_new_texts_are_verified(monkeypatch):
    texts = planted_corpus(8)
    config = DedupeSettings()
    chunks = corpus_of(dict(enumerate(texts)))
    signed = signatures(chunks, config)
    _, known = update(signed.head(290), chunks.head(290), config)
    read: list[int] = []
    plain = chunk_pairs.gram_sets
    monkeypatch.setattr(chunk_pairs, "gram_sets", lambda texts, length: read.append(len(texts)) or plain(texts, length))
    update(signed, chunks, config, known)
    # ten new texts and the few that each of them is like; 300 texts are there
    assert 10 <= sum(read) <= 60


def test_what_was_established_under_other_settings_is_refused():
    chunks = corpus_of({0: "fog and mud", 1: "fog and mud again"})
    _, known = update(signatures(chunks, DedupeSettings()), chunks, DedupeSettings())
    for other in (DedupeSettings(0.8), DedupeSettings(shingle=2)):
        with pytest.raises(StaleSchema, match=r"Known pairs were made as.*shingle3.*at0\.7"):
            update(signatures(chunks, other), chunks, other, known)


def test_known_texts_need_no_signature_and_a_new_one_needs_keys_or_a_signature():
    config = DedupeSettings()
    chunks = corpus_of(dict(enumerate(planted_corpus(8)[:150])))
    signed = signatures(chunks, config)
    whole, known = update(signed, chunks, config)
    unsigned = signed.with_columns(signature=pl.lit(None, pl.List(pl.UInt32)))
    bare = unsigned.with_columns(keys=pl.lit(None, pl.Binary))
    assert update(bare, chunks, config, known)[0].equals(whole)
    _, known = update(signed.head(140), chunks.head(140), config)
    assert update(unsigned, chunks, config, known)[0].equals(whole)
    with pytest.raises(BadInput, match=r"texts have neither a signature nor keys made as .*bands32x4"):
        update(bare, chunks, config, known)


# --- stored keys -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_stored_keys_give_the_pairs_that_signatures_give(engine):
    config = DedupeSettings(engine=engine)
    chunks = corpus_of(dict(enumerate(planted_corpus(11)[:150])))
    signed = signatures(chunks, config)
    whole = edges(signed.drop("keys", "key_scheme"), chunks, config)
    assert edges(signed.drop("signature"), chunks, config).equals(whole)
    assert edges(signed, chunks, config).equals(whole)
    assert whole.height > 10


def test_only_keys_are_read_where_every_row_has_them(tmp_path):
    config = DedupeSettings()
    chunks = corpus_of(dict(enumerate(planted_corpus(11)[:90])))
    signed = signatures(chunks, config)
    old = signed.head(40).drop("keys", "key_scheme")  # of a file from before keys were stored
    signed.write_parquet(tmp_path / "keys.parquet")
    assert "signature" not in to_join(pl.scan_parquet(tmp_path / "keys.parquet"), config).columns
    mixed = pl.concat([old, signed.tail(50)], how="diagonal").lazy()
    assert "signature" in to_join(mixed, config).columns
    assert edges(to_join(mixed, config), chunks, config).equals(edges(signed, chunks, config))


def test_another_threshold_makes_its_own_keys_from_the_signatures():
    chunks = corpus_of(dict(enumerate(planted_corpus(11)[:90])))
    signed = signatures(chunks, DedupeSettings(0.7))
    strict = DedupeSettings(0.9)
    assert strict.key_scheme != DedupeSettings(0.7).key_scheme
    assert "signature" in to_join(signed.lazy(), strict).columns
    assert edges(signed, chunks, strict).equals(edges_of(chunks, strict))


def test_a_partition_of_another_scheme_is_named_with_the_command_that_repairs_it():
    chunks = corpus_of({0: "fog and mud", 1: "a bell in the fog"})
    chunks = chunks.with_columns(source=pl.lit("gutenberg"), unit=pl.Series(["pg74", "pg245"]))
    signed = [signatures(chunks.head(1), DedupeSettings()), signatures(chunks.tail(1), DedupeSettings(seed=2))]
    wanted = r"gutenberg \[pg245\] were made as .*1 of 2 rows.*--select dedupe/signatures/gutenberg --partition pg245"
    with pytest.raises(StaleSchema, match=wanted):
        edges(pl.concat(signed), chunks, DedupeSettings())


@pytest.mark.parametrize(
    "other",
    [
        DedupeSettings(shingle=2),
        DedupeSettings(seed=2),
        DedupeSettings(permutations=64),
        DedupeSettings(engine="simhash"),
    ],
)
def test_unlike_schemes_never_share_the_name_of_a_scheme(other):
    assert other.scheme != DedupeSettings().scheme
    assert other.key_scheme.startswith(other.scheme)


def test_nothing_established_is_nothing_known():
    assert (
        Known.of(update(signatures(corpus_of({}), DedupeSettings()), corpus_of({}), DedupeSettings())[1].frame())
        is None
    )


# --- orders, partitions, bad input -----------------------------------------------------------------------------------


@pytest.mark.parametrize("engine", ENGINES)
def test_order_and_partitions_do_not_show_in_edges(engine):
    config = DedupeSettings(engine=engine)
    chunks = corpus_of(dict(enumerate(planted_corpus(9)[:150])))
    whole = edges_of(chunks, config)
    shuffled = chunks.sample(fraction=1, shuffle=True, seed=3)
    parts = pl.concat([signatures(shuffled[at : at + 40], config) for at in range(0, 150, 40)])
    assert edges(parts.reverse(), shuffled, config).write_csv() == whole.write_csv()


ALONE = """
import hashlib, sys
import polars as pl
from twainbot.dedupe import DedupeSettings, clusters, edges, signatures
parts, order = int(sys.argv[1]), int(sys.argv[2])
texts = [" ".join(f"w{row % 60 + place * place % 41}" for place in range(40 + row % 7)) for row in range(150)]
ids = [f"w{row}:0-1" for row in range(150)]
chunks = pl.DataFrame({"chunk_id": ids, "work_id": ids, "text": texts}).with_columns(start=0, end=1)
chunks = chunks.sample(fraction=1, shuffle=True, seed=order)
step = -(-150 // parts)
signed = pl.concat([signatures(chunks[at : at + step], DedupeSettings()) for at in range(0, 150, step)])
made = edges(signed, chunks, DedupeSettings())
named = chunks.with_columns(source=pl.lit("x"), copyright_status=pl.lit("cc0"), token_count=1)
for rows in (made, clusters(named, made)):
    print(hashlib.sha256(rows.write_csv().encode()).hexdigest())
"""


def test_other_processes_hash_seeds_orders_and_partitions_give_the_same_bytes():
    def digests(seed: str, parts: str, order: str) -> list[str]:
        env = {**os.environ, "PYTHONHASHSEED": seed}
        call = [sys.executable, "-c", ALONE, parts, order]
        ran = subprocess.run(call, env=env, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
        return ran.stdout.split()

    one = digests("0", "1", "1")
    assert len(one) == 2
    assert one == digests("7", "6", "2")


HOSTILE = [
    None, "", " \n", "word", "word", "\ud800 lone \udfff surrogates", "🙂 👍🏽 👩‍👩‍👧", "дождь и туман над рекой снова",
    "Дождь, и туман над рекой — снова!", "霧 と 雨 の 川", "霧 と 雨 の 川。",
    "Fog الضباب 霧 туман", "_" * 50, "\x00\x01", "e\u0301" * 9,
]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_hostile_texts_are_compared_by_their_words(engine):
    found = found_pairs(near_duplicates(HOSTILE, engine=engine))
    assert found == dict.fromkeys([(3, 4), (7, 8), (9, 10)], (1.0, 1.0))


def test_many_identical_texts_make_a_line_of_pairs_each_and_one_sketch():
    rows = 20_000
    found = near_duplicates(["It rained."] * rows + ["It did not rain."])
    assert found.height == MAX_COPIES * (MAX_COPIES - 1) // 2 + rows - MAX_COPIES
    assert set(cluster(rows + 1, found)) == {0, rows}


def test_a_template_with_one_word_changed_is_one_cluster_of_few_pairs(monkeypatch):
    monkeypatch.setattr(buckets, "CROWD", 32)
    monkeypatch.setattr(buckets, "PIVOT_PAIRS", 1 << 12)
    line = "the office at {} reports that rain fell over all of the county from the early morning until late at night"
    rows = 1_500
    found = near_duplicates([line.format(f"station{row}") for row in range(rows)])
    assert set(cluster(rows, found)) == {0}
    # 1,124,250 pairs in all, most of them above the threshold
    assert found.height < 200_000
    assert found["jaccard"].min() >= 0.7


def test_a_long_line_is_compared_like_any_other():
    rng = random.Random(6)
    line = rng.choices(VOCABULARY, k=300_000)  # 2.5 MB, in pieces
    other = [rng.choice(VOCABULARY) if rng.random() < 0.02 else word for word in line]
    found = near_duplicates([" ".join(line), "fog", " ".join(other)])
    assert found.select("a", "b").rows() == [(0, 2)]
    assert 0.85 < found["jaccard"][0] < 0.92, "2 % edits leave 0.89"


def test_an_id_that_stands_twice_is_refused():
    chunks = chunk_rows({"a:0-9": "fog and mud", "b:0-9": "bell"})
    twice = pl.concat([chunks, chunks.head(1)])
    with pytest.raises(BadInput, match="The id 'a:0-9' stands twice among the chunks"):
        edges(signatures(chunks, DedupeSettings()), twice, DedupeSettings())
    with pytest.raises(BadInput, match="stands twice among the signatures"):
        edges(signatures(twice, DedupeSettings()), chunks, DedupeSettings())


def test_a_null_text_has_an_empty_signature():
    chunks = chunk_rows({"a:0-9": "fog and mud", "b:0-9": "x"}).with_columns(text=pl.lit(None, pl.String))
    rows = signatures(chunks, DedupeSettings())
    assert rows["shingle_count"].to_list() == [0, 0]
    assert edges(rows, chunks, DedupeSettings()).is_empty()


@pytest.mark.shared
def test_most_passages_of_an_old_edition_are_found(shared_data):
    new, old = (
        strip_gutenberg((shared_data / "gutenberg" / name).read_bytes()).text
        for name in ("pg374.txt", "old/pg374-fanfb10.txt")
    )
    passages = [windows(text, tokenizer(), 1024, 64) for text in (new, old)]
    close = near_duplicates([chunk.text for edition in passages for chunk in edition])
    boundary = len(passages[0])
    found = {b for a, b in close.select("a", "b").iter_rows() if a < boundary <= b}
    assert len(found) / len(passages[1]) > 0.8
