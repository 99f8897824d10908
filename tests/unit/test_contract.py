"""The adapter contract: one adapter that keeps it, and one change for each way to break it."""

from __future__ import annotations

import pytest

from twainbot.release.contract import problems

CONFIG = {
    "peft_type": "LORA",
    "r": 8,
    "bias": "none",
    "target_modules": ["q_proj", "v_proj"],
    "modules_to_save": None,
    "use_dora": False,
}
PROVENANCE = {"base_model_name_or_path": "base", "revision": "abc", "tokenizer_sha256": "f" * 64}
LAYER = "base_model.model.model.layers.0.self_attn"
SHAPES = {
    f"{LAYER}.q_proj.lora_A.weight": [8, 64],
    f"{LAYER}.q_proj.lora_B.weight": [64, 8],
    f"{LAYER}.v_proj.lora_A.default.weight": [8, 64],
    f"{LAYER}.v_proj.lora_B.default.weight": [32, 8],
}


def check(config=None, shapes=None, provenance=None, difference=1e-6, **more):
    return problems(
        {**CONFIG, **(config or {})},
        SHAPES if shapes is None else shapes,
        provenance=PROVENANCE if provenance is None else provenance,
        merge_difference=difference,
        **more,
    )


def test_a_plain_adapter_keeps_the_contract():
    assert check() == []


@pytest.mark.parametrize(
    ("config", "word"),
    [
        ({"peft_type": "LOHA"}, "peft_type"),
        ({"r": 32}, "r is 32, 1 to 16"),
        ({"r": None}, "r is None"),
        ({"r": True}, "r is True"),
        ({"rank_pattern": {"q_proj": 64}}, "rank_pattern[q_proj] is 64"),
        ({"modules_to_save": ["lm_head"]}, "modules_to_save"),
        ({"use_dora": True}, "use_dora"),
        ({"trainable_token_indices": [1]}, "trainable_token_indices"),
        ({"bias": "all"}, "bias is 'all'"),
        ({"target_modules": ["q_proj", "v_proj", "lm_head"]}, "target_modules holds lm_head"),
        ({"target_modules": ["q_proj", "v_proj", "model.embed_tokens"]}, "target_modules holds embed_tokens"),
        ({"target_modules": []}, "target_modules is empty"),
        ({"target_modules": "all-linear"}, "the pattern 'all-linear'"),
        ({"target_modules": ["q_proj", "v_proj", "k_proj"]}, "lists k_proj, but no tensor"),
    ],
)
def test_each_forbidden_setting_is_named(config, word):
    assert any(word in problem for problem in check(config))


@pytest.mark.parametrize(
    ("change", "word"),
    [
        ({"base_model.model.lm_head.lora_A.weight": [8, 64]}, "lm_head"),
        ({"base_model.model.model.embed_tokens.weight": [100, 64]}, "no lora_A or lora_B weight"),
        ({"base_model.model.model.embed_tokens.lora_embedding_A": [8, 64]}, "no lora_A or lora_B weight"),
        ({f"{LAYER}.q_proj.lora_magnitude_vector.weight": [64]}, "no lora_A or lora_B weight"),
        ({f"{LAYER}.k_proj.lora_A.weight": [8, 64]}, "k_proj, which target_modules does not list"),
        ({f"{LAYER}.q_proj.lora_A.weight": [4, 64]}, "inner sizes 4 and 8, its declared rank is 8"),
        ({f"{LAYER}.q_proj.lora_A.weight": [8]}, "two dimensions"),
        ({"base_model.model.model.layers.1.self_attn.q_proj.lora_A.weight": [8, 64]}, "has only lora_A"),
    ],
)
def test_each_foreign_tensor_is_named(change, word):
    assert any(word in problem for problem in check(shapes={**SHAPES, **change}))


def test_an_empty_file_is_no_adapter():
    assert "The adapter file holds no tensors." in check(shapes={})


def test_a_rank_pattern_governs_its_own_modules():
    shapes = {**SHAPES, f"{LAYER}.q_proj.lora_A.weight": [4, 64], f"{LAYER}.q_proj.lora_B.weight": [64, 4]}
    assert check({"rank_pattern": {"q_proj": 4}}, shapes) == []
    assert check({}, shapes) != []


def test_a_larger_declared_rank_can_be_allowed():
    shapes = {name: [32 if size == 8 else size for size in shape] for name, shape in SHAPES.items()}
    assert check({"r": 32}, shapes, max_rank=32) == []


@pytest.mark.parametrize("key", sorted(PROVENANCE))
def test_each_missing_parent_is_named(key):
    assert check(provenance={**PROVENANCE, key: ""}) == [f"The bundle does not record {key}."]


@pytest.mark.parametrize(
    ("difference", "word"), [(None, "were not compared"), (0.5, "differ by 0.5"), (float("nan"), "differ by nan")]
)
def test_merge_must_be_measured_and_close(difference, word):
    (problem,) = check(difference=difference)
    assert word in problem
