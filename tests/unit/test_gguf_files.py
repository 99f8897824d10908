"""GGUF files: read back by another reader they hold the same model, and what is not known is not written."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("gguf")
import torch
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

from resources import gguf_files
from resources.shipped import gguf_forms, verify
from tests.unit import tiny_bundle
from tests.unit.tiny_training import base
from twainbot.errors import BadInput

IDS = torch.tensor([[3, 40, 7, 99, 12, 5]])
TEXT = 'Will it rain in Hannibal tomorrow? 71 degrees, said the pilot\'s almanac; "never", said I.\n\n  Two  spaces.'


def test_the_reader_of_transformers_finds_the_merged_model_in_its_gguf():
    bundle = tiny_bundle.bundle()
    merged = AutoModelForCausalLM.from_pretrained(bundle / "merged", dtype=torch.float32)
    read = AutoModelForCausalLM.from_pretrained(
        str(bundle / "gguf"), gguf_file="twain-merged-f16.gguf", dtype=torch.float32
    )
    with torch.inference_mode():
        difference = (merged(IDS).logits - read(IDS).logits).abs().max()
    assert float(difference) < 1e-5


@pytest.mark.parametrize("make", [LlamaConfig, Qwen2Config])
def test_a_model_of_each_known_architecture_comes_back_with_its_logits(tmp_path, make):
    config = make(
        vocab_size=1024, hidden_size=48, intermediate_size=64, num_hidden_layers=2, num_attention_heads=6,
        num_key_value_heads=2, tie_word_embeddings=make is Qwen2Config, max_position_embeddings=64,
    )  # fmt: skip
    torch.manual_seed(5)
    model = AutoModelForCausalLM.from_config(config).half().float().eval()  # what float16 holds, so nothing rounds
    model.config.save_pretrained(tmp_path)
    (tmp_path / "tokenizer.json").write_text((base() / "tokenizer.json").read_text())
    path = tmp_path / "model.gguf"
    gguf_files.write_model(path, model.state_dict(), tmp_path, template="{{ messages }}", name="t", eos_id=2)
    read = gguf_forms.read_model(path, tmp_path)
    with torch.inference_mode():
        assert float((model(IDS).logits - read(IDS).logits).abs().max()) < 1e-6


def test_rows_are_reordered_and_back():
    config = LlamaConfig(hidden_size=12, num_attention_heads=3, num_key_value_heads=3)
    rows = torch.arange(12.0).reshape(12, 1)  # three heads of four: halves 0 1 and 2 3 become pairs 0 2 and 1 3
    there = gguf_files.permuted(rows, "model.layers.0.self_attn.q_proj.weight", config.to_dict())
    assert there[:4, 0].tolist() == [0, 2, 1, 3]
    back = gguf_forms.rows_back(there, "model.layers.0.self_attn.q_proj.weight", config)
    assert torch.equal(back, rows)


@pytest.mark.parametrize(
    ("settings", "scaling"),
    [
        ({"r": 4, "lora_alpha": 8}, 2.0),
        ({"r": 4, "lora_alpha": 8, "use_rslora": True}, 4.0),
        ({"r": 4, "lora_alpha": 8, "alpha_pattern": {"q_proj": 16}}, 4.0),
        ({"r": 4, "lora_alpha": 8, "rank_pattern": {"q_proj": 2}}, 4.0),
    ],
)
def test_a_lora_keeps_pefts_strength(settings, scaling):
    assert gguf_files.scaling("model.layers.0.self_attn.q_proj", settings) == scaling


@pytest.mark.parametrize("more", [{}, {"use_rslora": True}, {"alpha_pattern": {"q_proj": 16, "down_proj": 2}}])
def test_a_gguf_lora_over_the_base_gives_the_adapters_logits(tmp_path, more):
    adapter = tiny_bundle.adapter(tmp_path / "adapter", 3, **more)
    config = json.loads((base() / "config.json").read_text())
    gguf_files.write_lora(tmp_path / "lora.gguf", adapter, config, "t")
    wanted = verify.logits(verify.with_adapter(base(), adapter), IDS)
    found = verify.logits(gguf_forms.add_lora(verify.load(base()), tmp_path / "lora.gguf"), IDS)
    assert float((wanted - found).abs().max()) < 1e-4
    assert float((wanted - verify.logits(verify.load(base()), IDS)).abs().max()) > 0.1


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"model_type": "gpt_oss"}, "architecture 'gpt_oss'; known: llama, qwen2"),
        ({"model_type": "llama", "rope_parameters": {"rope_type": "yarn"}}, "rope type 'yarn'"),
        ({"model_type": "llama", "rope_scaling": {"rope_type": "linear"}}, "rope type 'linear'"),
    ],
)
def test_what_would_come_out_wrong_is_not_written(config, says):
    with pytest.raises(BadInput, match=says):
        gguf_files.architecture(config)


BYTES = {"type": "ByteLevel", "use_regex": True}


@pytest.mark.parametrize(
    ("steps", "name"),
    [
        (BYTES, "gpt-2"),
        ({"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, BYTES]}, "smollm"),
        ({"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": r"\p{L}+|\p{N}| ?"}}, {"type": "ByteLevel", "use_regex": False}]}, "qwen2"),
    ],
)  # fmt: skip
def test_llama_cpp_is_told_how_text_is_cut(steps, name):
    assert gguf_files.pre_tokenizer({"pre_tokenizer": steps}) == name


@pytest.mark.parametrize(
    "steps", [None, {"type": "Metaspace"}, {"type": "Sequence", "pretokenizers": [
        {"type": "Split", "pattern": {"Regex": r"\p{L}+|\p{N}{1,3}| ?"}}, {"type": "ByteLevel"}]}]
)  # fmt: skip
def test_a_tokenizer_that_is_not_known_is_refused(steps):
    with pytest.raises(BadInput, match="cuts text by"):
        gguf_files.pre_tokenizer({"pre_tokenizer": steps})


def test_llama_cpp_itself_gives_tokens_and_logits_as_torch_does():
    pytest.importorskip("cyllama", reason="llama.cpp's wheel is not installed")
    bundle = tiny_bundle.bundle()
    from tokenizers import Tokenizer

    merged = gguf_forms.LlamaCpp(bundle / "gguf" / "twain-merged-f16.gguf")
    assert merged.tokens(TEXT) == Tokenizer.from_file(str(base() / "tokenizer.json")).encode(TEXT).ids
    wanted = verify.logits(verify.load(bundle / "merged"), IDS)[-1]
    assert float((merged.next_logits(IDS[0].tolist()) - wanted).abs().max()) < 0.02  # its cache is float16


def test_llama_cpp_takes_each_lora_and_refuses_one_of_another_shape(tmp_path):
    pytest.importorskip("cyllama", reason="llama.cpp's wheel is not installed")
    bundle = tiny_bundle.bundle()
    model = gguf_forms.LlamaCpp(bundle / "gguf" / "twain-merged-f16.gguf")
    model.takes(bundle / "gguf" / "franklin-lora-f32.gguf")
    with pytest.raises(gguf_forms.Unfit, match=r"does not load twain-merged-f16\.gguf"):
        model.takes(bundle / "gguf" / "twain-merged-f16.gguf")  # no LoRA
    (tmp_path / "noise.gguf").write_bytes(b"GGUF" + bytes(64))
    with pytest.raises(gguf_forms.Unfit, match=r"does not load noise\.gguf"):
        gguf_forms.LlamaCpp(tmp_path / "noise.gguf")
