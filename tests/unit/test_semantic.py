"""Alike in meaning, not in words: exact cosines over all pairs, reported only, and nothing at all without an encoder."""

from __future__ import annotations

import dagster as dg
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from checks import semantic as gates
from checks.gates import run_gate
from resources import embeddings
from resources.lake import Lake, LakeIOManager, LakeResource
from tests import builders as make
from twainbot.dedupe.semantic import ALIKE, alike_in_meaning, close_pairs, normalised
from twainbot.errors import BadInput, MissingModel
from twainbot_assets import curation_reports as reports
from twainbot_assets import dedupe, semantic

CHUNKS = make.chunks(
    make.chunk("a", text="The creek froze over on Tuesday."),
    make.chunk("b", text="Ice covered the brook in midweek."),
    make.chunk("c", text="The creek froze over on Tuesday, sir."),
    make.chunk("b", 40, text="Ice lay on the brook."),
)
A, B, C, B2 = CHUNKS["chunk_id"]
# angles in degrees from a: b 30, c 10, b's second window 35; cosines of their differences
VECTORS = np.array([(np.cos(np.radians(x)), np.sin(np.radians(x))) for x in (0, 30, 10, 35)], np.float32)


def test_pairs_of_different_works_above_the_bound_are_reported_the_most_alike_first():
    found = alike_in_meaning(CHUNKS, VECTORS, 0.85, 0.7, 3)
    # 20, 25 and 30 degrees: .9397, .9063, .8660; 35 degrees, .8192, is under the bound; a and c share 4 of 5 word triples
    assert found.select("a", "b", "cosine").rows() == [(B, C, 0.9397), (B2, C, 0.9063), (A, B, 0.866)]
    assert found["jaccard"].to_list() == [0.0, 0.0, 0.0]
    assert found.schema == pl.Schema(ALIKE)


def test_a_near_duplicate_is_no_finding_unless_its_threshold_lies_higher():
    found = alike_in_meaning(CHUNKS, VECTORS, 0.98, 0.9, 3)
    assert found.rows() == [(A, C, 0.9848, 0.8)]  # 10 degrees; 4 triples against 5, 4 shared


def test_windows_of_one_work_are_no_finding():
    assert alike_in_meaning(CHUNKS[[1, 3]], VECTORS[[1, 3]], 0.5, 0.7, 3).is_empty()


def test_no_chunks_give_no_pairs_and_vectors_of_other_chunks_are_refused():
    assert alike_in_meaning(CHUNKS.clear(), normalised([]), 0.8, 0.7, 3).is_empty()
    with pytest.raises(BadInput, match="3 vectors came for 4 chunks"):
        alike_in_meaning(CHUNKS, VECTORS[:3], 0.8, 0.7, 3)


@given(st.lists(st.tuples(st.floats(-1, 1, width=32), st.floats(-1, 1, width=32)), max_size=9), st.integers(1, 4))
def test_blocks_of_any_size_give_the_pairs_of_one_whole_product(points, block):
    vectors = normalised([np.array(point, np.float32) for point in points])
    whole = vectors @ vectors.T if len(points) else np.zeros((0, 0))
    wanted = {(i, j) for i in range(len(points)) for j in range(i + 1, len(points)) if whole[i, j] >= 0.5 + 1e-6}
    found = {(i, j) for cosine, i, j in close_pairs(vectors, 0.5, block)}
    assert wanted <= found
    assert all(whole[pair] >= 0.5 - 1e-6 for pair in found)


def test_a_text_without_words_has_no_direction_and_is_like_nothing():
    vectors = normalised([np.zeros(2, np.float32), np.array([3, 4], np.float32)])
    assert vectors.tolist() == [[0, 0], [np.float32(0.6), np.float32(0.8)]]


# gate -----------------------------------------------------------------------------------------------------------------


def judged(rows: pl.DataFrame, threshold: float | None = 0.7, not_run: str = "") -> tuple[bool, bool, str]:
    [gate] = gates.semantic_gates(threshold, not_run)
    assert not gate.blocking
    finding, ran = run_gate(gate, rows)
    return finding.passed, ran, finding.why


PAIR = pl.DataFrame([("a", "b", 0.9, 0.1)], schema=ALIKE, orient="row")


@pytest.mark.parametrize(
    "rows",
    [
        PAIR.rename({"a": "b", "b": "a"}),
        PAIR.with_columns(cosine=pl.lit(0.79)),
        PAIR.with_columns(cosine=pl.lit(None, pl.Float64)),
        PAIR.with_columns(jaccard=pl.lit(0.7)),
    ],
)
def test_a_pair_that_is_not_what_the_table_says_warns(rows):
    assert judged(PAIR)[0]
    assert judged(PAIR.clear())[0]
    assert not judged(rows)[0]


def test_without_an_encoder_the_gate_says_not_run_and_without_a_threshold_it_does_not_pass():
    assert judged(PAIR.clear(), not_run="no encoder") == (False, True, "not run: no encoder")
    assert judged(PAIR, threshold=None)[:2] == (False, False)


@pytest.mark.slow
def test_pairs_are_shown_side_by_side_with_their_numbers():
    found = alike_in_meaning(CHUNKS, VECTORS, 0.85, 0.7, 3)
    shown = reports.alike_side_by_side(found, CHUNKS)
    assert "**Cosine 0.940, Jaccard 0.000**" in shown["pairs_to_read"].value
    assert "No two works" in reports.alike_side_by_side(found.clear(), CHUNKS)["pairs_to_read"]


# door -----------------------------------------------------------------------------------------------------------------


def test_without_package_or_folder_the_repair_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(embeddings, "PACKAGE", "no_such_package_anywhere")
    with pytest.raises(MissingModel, match=r"extra `semantic`.*TWAINBOT_EMBEDDING_MODEL"):
        embeddings.load_embedder(None)
    with pytest.raises(MissingModel, match=r"needs config\.json and model\.safetensors"):
        embeddings.load_embedder(str(tmp_path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An encoder of a few hundred random weights that reads twelve tokens at a time."""
    import torch
    from transformers import BertConfig, BertModel, BertTokenizerFast

    path = tmp_path_factory.mktemp("models") / "tiny-encoder"
    path.mkdir()
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "river", "pilot", "fog"]
    (path / "vocab.txt").write_text("\n".join(words))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=12, initializer_range=1.0,
    )  # fmt: skip
    BertModel(config).save_pretrained(path)
    BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    return path


def test_vectors_have_length_one_whatever_the_batch_and_nothing_has_none(folder):
    door = embeddings.load_embedder(str(folder))
    assert door.name.startswith("tiny-encoder@sha256:")
    texts = ["river", "", "fog pilot", "river " * 40]
    vectors = door.embed(texts)
    assert np.linalg.norm(vectors, axis=1).round(5).tolist() == [1, 0, 1, 1]
    alone = np.concatenate([door.embed([text]) for text in texts])
    assert np.abs(vectors - alone).max() < 1e-5
    assert door.embed([]).shape == (0, 0)


def test_the_end_of_a_long_text_counts(folder):
    door = embeddings.load_embedder(str(folder))
    one, other = door.embed(["river " * 20 + "fog", "river " * 20 + "pilot"])
    assert float(one @ other) < 0.9999


# asset ----------------------------------------------------------------------------------------------------------------


class OneWay:
    """Points the same way whatever the text: a stand-in that needs no weights."""

    name = "one-way"

    def embed(self, texts):
        """(texts, 2)."""
        return normalised([np.array([1, 0], np.float32) for _ in texts])


def materialized(tmp_path) -> tuple[dg.ExecuteInProcessResult, Lake]:
    """The asset over a lake of four chunks."""
    lake, instance = Lake(str(tmp_path)), dg.DagsterInstance.ephemeral()
    instance.add_dynamic_partitions("local_units", ["tales"])
    lake.write("chunks/local", "tales", CHUNKS)
    lake.write("dedupe/clusters", None, make.clusters(*(make.cluster(name) for name in CHUNKS["chunk_id"])))
    resources = {"io_manager": LakeIOManager(base=str(tmp_path)), "lake": LakeResource(base=str(tmp_path))}
    assets = [dg.AssetSpec(dedupe.CLUSTERS).with_io_manager_key("io_manager"), *semantic.assets]
    return dg.materialize(assets, resources=resources, instance=instance), lake


def test_the_asset_without_an_encoder_says_not_run_and_stops_nothing(tmp_path, monkeypatch):
    monkeypatch.delenv("TWAINBOT_EMBEDDING_MODEL", raising=False)
    monkeypatch.setattr(embeddings, "PACKAGE", "no_such_package_anywhere")
    done, lake = materialized(tmp_path)
    [check] = done.get_asset_check_evaluations()
    assert done.success
    assert (check.passed, check.severity) == (False, dg.AssetCheckSeverity.WARN)
    assert (check.description or "").startswith("not run: No sentence encoder is installed")
    [event] = done.asset_materializations_for_node("dedupe__semantic")
    assert str(event.metadata["status"].value).startswith("not run: ")
    assert lake.read("dedupe/semantic").schema == pl.Schema(ALIKE)


def test_the_asset_with_an_encoder_reports_pairs_and_names_the_weights(tmp_path, monkeypatch):
    monkeypatch.setattr(semantic, "found_embedder", lambda: (OneWay(), ""))
    done, lake = materialized(tmp_path)
    [event] = done.asset_materializations_for_node("dedupe__semantic")
    assert event.metadata["encoder"].value == "one-way"
    # of six pairs a and c are near-duplicates (4 of 5 word triples), and two are windows of one work
    assert lake.read("dedupe/semantic").select("a", "b").rows() == [(A, B), (A, B2), (B, C), (B2, C)]
    assert all(check.passed for check in done.get_asset_check_evaluations())
