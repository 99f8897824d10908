"""The toxicity door: local weights only, the worst part of a long text counts, scores are remembered by text."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from resources.toxicity import LocalClassifier, load_scorer
from twainbot.errors import BadInput, MissingModel

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "river", "pilot", "fog", "vile"]
LIMIT = 16  # positions of the tiny model: 14 words and two special tokens


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A two-label classifier of a few hundred random weights, saved as `save_pretrained` does."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification, BertTokenizerFast

    path = tmp_path_factory.mktemp("models") / "tiny-toxic"
    path.mkdir()
    (path / "vocab.txt").write_text("\n".join(WORDS))
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(WORDS), hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=8,
        max_position_embeddings=LIMIT, initializer_range=1.0,
        id2label={0: "obscene", 1: "toxicity"}, label2id={"obscene": 0, "toxicity": 1},
    )  # fmt: skip
    model = BertForSequenceClassification(config)
    model.save_pretrained(path)
    BertTokenizerFast(str(path / "vocab.txt")).save_pretrained(path)
    return path


def direct(folder, text: str) -> float:
    """What transformers itself gives for a text that fits: the oracle."""
    import torch
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    model = AutoModelForSequenceClassification.from_pretrained(folder, local_files_only=True).eval()
    with torch.inference_mode():
        return float(model(**tokenizer(text, return_tensors="pt")).logits.sigmoid()[0, 1])


def test_no_folder_means_not_scored_and_no_number():
    scorer = load_scorer(None, None)
    assert scorer.backend == "not_scored"
    assert scorer.score(["a", "b"]) == [None, None]


def test_a_folder_without_weights_is_named_with_the_repair(tmp_path):
    with pytest.raises(MissingModel, match=r"config\.json.*TWAINBOT_TOXICITY_MODEL"):
        load_scorer(str(tmp_path), None)


def test_weights_that_are_none_are_refused(tmp_path, folder):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(BadInput, match="does not load"):
        load_scorer(str(tmp_path), None).score(["river"])


def test_a_pickle_that_holds_more_than_weights_is_refused(tmp_path, folder):
    (tmp_path / "config.json").write_text((folder / "config.json").read_text())
    (tmp_path / "tokenizer.json").write_bytes((folder / "tokenizer.json").read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(pickle.dumps(Path("not weights"), protocol=2))
    with pytest.raises(BadInput, match="does not load"):
        load_scorer(str(tmp_path), None).score(["river"])


def test_weights_in_torchs_own_format_give_the_same_scores(tmp_path, folder):
    import torch
    from safetensors.torch import load_file

    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    torch.save(load_file(folder / "model.safetensors"), tmp_path / "pytorch_model.bin")
    assert load_scorer(str(tmp_path), None).score(["vile"]) == pytest.approx([direct(folder, "vile")], abs=1e-5)


def test_scores_equal_the_models_own_in_the_order_of_texts(folder):
    texts = ["river fog", "vile", "pilot river pilot"]
    assert load_scorer(str(folder), None).score(texts) == pytest.approx(
        [direct(folder, text) for text in texts], abs=1e-5
    )


def test_a_long_text_gets_the_score_of_its_worst_part(folder):
    parts = [" ".join([word] * (LIMIT - 2)) for word in ("river", "vile", "fog")]
    expected = max(direct(folder, part) for part in parts)
    assert load_scorer(str(folder), None).score([" ".join(parts)]) == pytest.approx([expected], abs=1e-5)
    assert len({round(direct(folder, part), 3) for part in parts}) == 3, (
        "the parts differ, so the maximum means something"
    )


def test_the_backend_names_the_weights(folder, tmp_path):
    name = load_scorer(str(folder), None).backend
    assert name.startswith("tiny-toxic@sha256:")
    other = tmp_path / "tiny-toxic"
    other.mkdir()
    for file in folder.iterdir():
        (other / file.name).write_bytes(file.read_bytes())
    (other / "model.safetensors").write_bytes((folder / "model.safetensors").read_bytes() + b" ")
    assert load_scorer(str(other), None).backend != name


def test_a_known_text_is_not_scored_again(folder, tmp_path):
    first = load_scorer(str(folder), tmp_path).score(["river fog", "river fog"])
    entries = list(tmp_path.rglob("*.json"))
    assert len(entries) == 1
    assert json.loads(entries[0].read_text()) == first[0] == first[1]
    again = LocalClassifier(folder, tmp_path)
    assert again.score(["river fog"]) == first[:1]
    assert "_loaded" not in vars(again), "the model itself was not needed"


def test_a_torn_cache_file_is_scored_anew(folder, tmp_path):
    scorer = load_scorer(str(folder), tmp_path)
    expected = scorer.score(["river"])
    next(tmp_path.rglob("*.json")).write_text("")
    assert scorer.score(["river"]) == expected


def test_importing_the_door_loads_no_heavy_library(root):
    code = "import sys, resources.toxicity; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    ran = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
