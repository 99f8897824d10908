"""Adapters added up: half and half of one adapter is that adapter, and ways of mixing that fail this are refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml
from peft import LoraConfig, get_peft_model
from tiny_training import base, write_data

from checks.adapters import tensor_shapes
from resources import merging
from training import attention, record, sft, start
from training.base_model import describe
from training.command import Arguments
from training.config import CONFIGS, load_recipe
from twainbot.errors import BadConfig, BadInput, BadUse
from twainbot.release.contract import problems


def adapter(folder, seed: int, r: int = 4):
    """A random adapter whose effect is not small, published as a stage publishes it."""
    torch.manual_seed(seed)
    shape = LoraConfig(r=r, lora_alpha=2 * r, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM")
    model = get_peft_model(attention.load(base(), torch.float32), shape)
    for name, weight in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(weight, std=0.2)
    info = describe(base())
    record.publish(model, folder, {"base": info.name, "base_revision": info.revision})
    return folder / "adapter"


@pytest.fixture(scope="module")
def adapters(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapters")
    return {"twain": adapter(folder / "twain", 1), "franklin": adapter(folder / "franklin", 2)}


def recipe_with(folder, weights, combination="svd", r=4, **more):
    raw = yaml.safe_load((CONFIGS / "tiny" / "default.yaml").read_text())
    raw["lora"]["r"] = r
    path = folder / "tiny" / "mixed.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump({**raw, "mix": {"adapters": weights, "combination": combination, **more}}))
    return path


def logits(*folders, weights=None) -> torch.Tensor:
    """Of the base with the adapters' effects added up in the weights, on a fixed line; without any: of the base."""
    model = attention.load(base(), torch.float32).eval()
    for folder, weight in zip(folders, weights or [1.0] * len(folders), strict=True):
        tensors, config = start.load_file(folder / start.WEIGHTS), start.adapter_config(folder)
        for name in tensors:
            if ".lora_A." in name:
                module = model.get_submodule(name.removeprefix("base_model.model.").split(".lora_A.")[0])
                delta = tensors[name.replace(".lora_A.", ".lora_B.")] @ tensors[name]
                module.weight.data += weight * config["lora_alpha"] / config["r"] * delta
    with torch.no_grad():
        return model(input_ids=torch.arange(5, 37)[None], use_cache=False).logits


def difference(first: torch.Tensor, second: torch.Tensor) -> float:
    return float((first - second).abs().max())


@pytest.mark.parametrize("combination", ["svd", "cat"])
def test_half_and_half_of_one_adapter_is_that_adapter(adapters, tmp_path, combination):
    recipe = load_recipe(recipe_with(tmp_path, {"one": 0.5, "same": 0.5}, combination))
    same = {"one": adapters["twain"], "same": adapters["twain"]}
    done = merging.mix(base(), same, tmp_path / "out", recipe)
    expected = logits(adapters["twain"])
    assert difference(logits(tmp_path / "out" / "adapter"), expected) < 1e-5
    assert difference(logits(), expected) > 0.1  # the adapter does something
    assert done["rank"] == {"svd": 4, "cat": 8}[combination]
    assert done["lost_share"] < 1e-9


@pytest.mark.parametrize("combination", ["linear", "ties"])
def test_the_ways_that_are_refused_do_fail_the_identity(adapters, combination):
    model = merging._with_all(base(), {"one": adapters["twain"], "same": adapters["twain"]})
    more = {"density": 1.0} if combination == "ties" else {}
    model.add_weighted_adapter(["one", "same"], [0.5, 0.5], "default", combination_type=combination, **more)
    model.set_adapter("default")
    with torch.no_grad():
        found = model(input_ids=torch.arange(5, 37)[None], use_cache=False).logits
    effect = difference(logits(), logits(adapters["twain"]))
    assert difference(found, logits(adapters["twain"])) > 0.1 * effect


@pytest.mark.parametrize("combination", ["linear", "ties", "dare_linear"])
def test_other_ways_are_refused_with_the_measured_reason(tmp_path, combination):
    with pytest.raises(BadConfig, match=r"mix.combination: .* none of svd, cat: half and half .* 0\.52 and 0\.45"):
        load_recipe(recipe_with(tmp_path, {"twain": 0.5, "franklin": 0.5}, combination))


def test_cat_is_the_weighted_sum_exactly(adapters, tmp_path):
    recipe = load_recipe(recipe_with(tmp_path, {"twain": 0.67, "franklin": 0.33}, "cat"))
    merging.mix(base(), adapters, tmp_path / "out", recipe)
    expected = logits(adapters["twain"], adapters["franklin"], weights=[0.67, 0.33])
    assert difference(logits(tmp_path / "out" / "adapter"), expected) < 1e-5


@pytest.mark.parametrize("rank", [3, 8, 20])
def test_the_factors_own_svd_is_the_products(rank):
    torch.manual_seed(4)
    up, down = torch.randn(30, 8), torch.randn(8, 12)
    mixed_up, mixed_down = merging.best_factors(up, down, rank)
    u, s, v = torch.linalg.svd(up @ down, full_matrices=False)
    assert (mixed_up.shape, mixed_down.shape) == ((30, rank), (rank, 12))
    assert torch.allclose(mixed_up @ mixed_down, (u[:, :rank] * s[:rank]) @ v[:rank], atol=1e-4)


@pytest.mark.parametrize("combination", ["svd", "cat"])
def test_the_identity_that_the_gate_asks_for_holds(adapters, combination):
    assert merging.identity_difference(base(), adapters["twain"], combination) < 1e-6


def test_svd_says_what_its_rank_loses_and_loses_nothing_at_the_summed_rank(adapters, tmp_path):
    weights = {"twain": 0.5, "franklin": 0.5}
    half = merging.mix(base(), adapters, tmp_path / "a", load_recipe(recipe_with(tmp_path, weights)))
    whole = merging.mix(base(), adapters, tmp_path / "b", load_recipe(recipe_with(tmp_path, weights, r=8)))
    assert 0.05 < half["lost_share"] < 0.5  # at the rank of one of two unlike adapters of equal weight
    assert whole["lost_share"] < 1e-9


def test_a_mixture_keeps_the_contract_and_its_record_names_its_parents(adapters, tmp_path):
    recipe = load_recipe(recipe_with(tmp_path, {"twain": 0.67, "franklin": 0.33}))
    done = merging.mix(base(), adapters, tmp_path, recipe)
    assert record.read(tmp_path) == done
    assert all(len(done[name]) == 64 for name in ("config_sha256", "code_sha256", "base_sha256", "fingerprint"))
    assert done["parents"] == {name: record.file_sha256(path / start.WEIGHTS) for name, path in adapters.items()}
    config = start.adapter_config(tmp_path / "adapter")
    provenance = {**{key: config[key] for key in ("base_model_name_or_path", "revision")},
                  "tokenizer_sha256": done["tokenizer_sha256"]}  # fmt: skip
    found = problems(
        config,
        tensor_shapes(tmp_path / "adapter"),
        provenance=provenance,
        merge_difference=merging.merge_difference(base(), tmp_path / "adapter"),
    )
    assert found == []


def test_cat_above_the_rank_that_servers_take_is_refused(adapters, tmp_path):
    wide = {"twain": adapter(tmp_path / "wide", 3, r=13), "franklin": adapters["franklin"]}
    recipe = load_recipe(recipe_with(tmp_path, {"twain": 0.5, "franklin": 0.5}, "cat"))
    with pytest.raises(BadInput, match=r"franklin \(r=4\), twain \(r=13\) has rank 17, above max_lora_rank=16. Use"):
        merging.mix(base(), wide, tmp_path / "out", recipe)


def test_an_adapter_of_another_base_or_kind_is_refused(adapters, tmp_path):
    recipe = load_recipe(recipe_with(tmp_path, {"twain": 0.5, "franklin": 0.5}))
    for key, value, words in (("revision", "seed-9", "trained on"), ("use_rslora", True, "rank-stabilised scaling")):
        odd = tmp_path / key
        shutil.copytree(adapters["franklin"], odd)
        (odd / start.CONFIG).write_text(json.dumps({**start.adapter_config(odd), key: value}))
        with pytest.raises(BadInput, match=words):
            merging.mix(base(), {**adapters, "franklin": odd}, tmp_path / "out", recipe)
    assert not (tmp_path / "out").exists()


def test_the_adapters_given_are_those_that_the_recipe_names(adapters, tmp_path):
    recipe = load_recipe(recipe_with(tmp_path, {"twain": 0.5, "satirist": 0.5}))
    with pytest.raises(BadUse, match="mixes satirist, twain, and the adapters given are franklin, twain"):
        merging.mix(base(), adapters, tmp_path / "out", recipe)


def test_a_stage_does_not_train_a_mixture(tmp_path):
    recipe = recipe_with(tmp_path, {"twain": 0.5, "franklin": 0.5})
    with pytest.raises(BadInput, match=r"trains none. Make it with python -m resources.merging"):
        sft.main(Arguments(recipe, write_data(tmp_path / "data"), base(), tmp_path / "out"), lambda _line: None)


def test_the_command_line_mixes_and_refuses(adapters, tmp_path, capsys):
    recipe = recipe_with(tmp_path, {"twain": 0.5, "franklin": 0.5})
    line = [str(recipe), "--base", str(base()), "--out", str(tmp_path / "out")]
    given = [word for name, folder in adapters.items() for word in ("--adapter", f"{name}={folder}")]
    assert merging.main([*line, *given]) == 0
    assert json.loads(capsys.readouterr().out)["stage"] == "mix"
    assert merging.main([*line, *given[:2]]) == 2
    assert "the adapters given are twain" in capsys.readouterr().err
