"""What a stage starts from: an adapter goes on, or is stacked upon exactly; one of another base or shape is refused."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
import yaml
from tiny_training import TEXTS, base, write_data

from training import dapt, engine, packing, preference, record, rows, sft, start
from training.base_model import TINY, describe, prepare, template_of
from training.command import Arguments
from training.config import CONFIGS, load_recipe
from training.render import tokenizer_of
from twainbot.errors import BadConfig, BadInput
from twainbot.release.contract import problems

RECIPE = CONFIGS / "tiny" / "default.yaml"
SCRIPTS = {"dapt": dapt, "sft": sft, "preference": preference}


def recipe_with(folder, **values):
    """The tiny recipe with other values at its top or in its sections."""
    raw = yaml.safe_load(RECIPE.read_text())
    for name, value in values.items():
        raw[name] = {**raw[name], **value} if isinstance(value, dict) else value
    path = folder / "tiny" / "changed.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


@pytest.fixture(scope="module")
def stacked(tmp_path_factory):
    """All three stages by `merge_new`: folder of outputs and records by stage."""
    folder = tmp_path_factory.mktemp("stacked")
    recipe, before, records = recipe_with(folder, strategy="merge_new"), None, {}
    data = write_data(folder / "data")
    for stage, script in SCRIPTS.items():
        records[stage] = script.main(Arguments(recipe, data, base(), folder / stage, before), lambda _line: None)
        before = folder / stage / "adapter"
    return folder, records


def test_each_stage_adds_its_rank_and_says_how_it_started(stacked):
    folder, done = stacked
    ranks = [start.adapter_config(folder / stage / "adapter")["r"] for stage in SCRIPTS]
    assert ranks == [4, 8, 12]
    assert [done[stage]["strategy"] for stage in SCRIPTS] == [None, "merge_new", "merge_new"]


def test_what_is_published_does_on_the_unchanged_base_what_was_trained_on_the_merged_one(stacked):
    folder, done = stacked
    recipe = load_recipe(folder / "tiny" / "changed.yaml")
    table = rows.held_out(rows.read_table("sft", folder / "data"), recipe.seed, recipe.sft.validation_rows)
    loaded = rows.dialogues(table, tokenizer_of(base()), template_of(base()), recipe.sft.sequence_length)
    lines = packing.pack(loaded.rows, recipe.sft.sequence_length)
    model = start.PeftModel.from_pretrained(engine.load_base(base(), recipe.sft, 0), str(folder / "sft" / "adapter"))
    assert engine.mean_nll(model, lines, 2) == pytest.approx(done["sft"]["metrics"]["validation_loss_after"], abs=1e-5)


def test_a_stack_keeps_the_contract(stacked):
    from checks.adapters import tensor_shapes
    from resources.merging import merge_difference

    adapter = stacked[0] / "preference" / "adapter"
    config, info = start.adapter_config(adapter), describe(base())
    provenance = {
        "base_model_name_or_path": config["base_model_name_or_path"],
        "revision": config["revision"],
        "tokenizer_sha256": info.files["tokenizer.json"],
    }
    found = problems(
        config,
        tensor_shapes(adapter),
        provenance=provenance,
        merge_difference=merge_difference(base(), adapter),
    )
    assert found == []


def test_later_stages_of_a_stack_leave_earlier_weights_alone(stacked):
    folder, _ = stacked
    first, last = (start.load_file(folder / stage / "adapter" / start.WEIGHTS) for stage in ("dapt", "preference"))
    for name, weight in first.items():
        kept = last[name][:4] if ".lora_A." in name else last[name][:, :4] / 2  # alpha / r = 8 / 4 is folded into B
        assert torch.equal(kept, weight)


def test_continuing_records_itself_and_changes_the_fingerprint_against_stacking(stacked, tmp_path):
    folder, done = stacked
    arguments = Arguments(RECIPE, folder / "data", base(), tmp_path / "sft", folder / "dapt" / "adapter")
    continued = sft.main(arguments, lambda _line: None)
    assert continued["strategy"] == "continue"
    assert continued["fingerprint"] != done["sft"]["fingerprint"]
    assert start.adapter_config(tmp_path / "sft" / "adapter")["r"] == 4


def test_the_strategy_does_not_touch_the_first_stage(tmp_path):
    plain, stacks = load_recipe(RECIPE), load_recipe(recipe_with(tmp_path, strategy="merge_new"))
    same = {stage for stage in SCRIPTS if plain.stage_hash(stage) == stacks.stage_hash(stage)}
    assert same == {"dapt"}


# refusals


def refusal(arguments) -> str:
    with pytest.raises(BadInput) as caught:
        sft.main(arguments, lambda _line: None)
    assert not (arguments.out / "adapter").exists()
    return str(caught.value)


def test_an_adapter_of_another_base_is_refused_with_both_names(stacked, tmp_path):
    other = prepare(TINY, tmp_path / "models", texts=TEXTS, seed=1)
    before = stacked[0] / "dapt" / "adapter"
    found = refusal(Arguments(RECIPE, stacked[0] / "data", other, tmp_path / "out", before))
    assert "tiny-random at revision seed-0, and the base here is tiny-random at seed-1" in found
    assert "Point at that base" in found


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lora": {"r": 8}}, "has r=4, and the recipe says 8"),
        ({"lora": {"target_modules": ["q_proj"]}}, "has target_modules=['q_proj', 'v_proj'], and the recipe says"),
        ({"lora": {"target_modules": ["q_proj"]}, "strategy": "merge_new"}, "need the same lora.target_modules"),
    ],
)
def test_an_adapter_of_another_shape_is_refused(stacked, tmp_path, values, words):
    recipe = recipe_with(tmp_path, **values)
    found = refusal(Arguments(recipe, stacked[0] / "data", base(), tmp_path / "out", stacked[0] / "dapt" / "adapter"))
    assert words in found


def test_a_stack_above_the_rank_that_servers_take_is_refused(stacked, tmp_path):
    recipe = recipe_with(tmp_path, strategy="merge_new", lora={"r": 5, "alpha": 10})
    before = stacked[0] / "preference" / "adapter"  # 12, and 5 on top
    found = refusal(Arguments(recipe, stacked[0] / "data", base(), tmp_path / "out", before))
    assert "makes 17, above max_lora_rank=16. Lower lora.r." in found


def test_a_folder_without_an_adapter_is_refused(tmp_path):
    data = write_data(tmp_path / "data")
    (tmp_path / "empty").mkdir()
    assert "Train the stage before" in refusal(Arguments(RECIPE, data, base(), tmp_path / "out", tmp_path / "empty"))


def test_a_recipe_for_another_base_is_refused_with_the_variable_to_set(tmp_path):
    recipe = recipe_with(tmp_path)
    raw = yaml.safe_load(recipe.read_text())
    recipe.write_text(yaml.safe_dump({**raw, "base": {"name": "openai/gpt-oss-20b"}}))
    found = refusal(Arguments(recipe, write_data(tmp_path / "data"), base(), tmp_path / "out"))
    assert "made for openai/gpt-oss-20b, and the base here is tiny-random" in found
    assert "TWAINBOT_BASE_MODEL=openai/gpt-oss-20b" in found


def test_a_folder_of_the_base_may_be_spelt_as_on_the_hub_and_revision_and_template_must_be_those_named(tmp_path):
    recipe = load_recipe(CONFIGS / "full" / "qwen2.5-coder-1.5b-instruct.yaml")
    here = describe(base()).model_copy(update={"name": "Qwen2.5-Coder-1.5B-Instruct", "template": "hermes"})
    start._check_made_for(recipe, here)
    start._check_made_for(recipe.model_copy(update={"base": None}), describe(base()))
    with pytest.raises(
        BadInput, match=r"template hermes of Qwen/Qwen2.5-Coder-1.5B-Instruct, and the base here has smollm2"
    ):
        start._check_made_for(recipe, here.model_copy(update={"template": "smollm2"}))
    pinned = recipe.model_copy(update={"base": recipe.base.model_copy(update={"revision": "abc"})})
    with pytest.raises(BadInput, match=r"Set `revision: abc` under `base:` in the profile"):
        start._check_made_for(pinned, here)


@pytest.mark.parametrize(("key", "name"), [("use_dora", "DoRA"), ("use_rslora", "rank-stabilised scaling")])
def test_adapters_that_do_not_add_up_are_not_stacked(stacked, tmp_path, key, name):
    before = tmp_path / "odd"
    shutil.copytree(stacked[0] / "dapt" / "adapter", before)
    config = {**start.adapter_config(before), key: True}
    (before / start.CONFIG).write_text(json.dumps(config))
    recipe = recipe_with(tmp_path, strategy="merge_new")
    found = refusal(Arguments(recipe, stacked[0] / "data", base(), tmp_path / "out", before))
    assert name in found


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"lora": {"r": 8, "alpha": 16}}, ["strategy=merge_new", "lora.r=8", "rank 24", "r may be 5"]),
        ({"sft": {"quantization": "nf4"}}, ["strategy=merge_new", "sft.quantization=nf4", "rounded away"]),
    ],
)
def test_a_recipe_whose_stack_cannot_be_served_or_merged_is_refused(tmp_path, values, words):
    with pytest.raises(BadConfig) as caught:
        load_recipe(recipe_with(tmp_path, strategy="merge_new", **values))
    assert all(word in str(caught.value) for word in words)


def test_a_torn_stack_is_never_published(stacked, tmp_path, monkeypatch):
    def full(*_args, **_more):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(start, "save_file", full)
    recipe = recipe_with(tmp_path, strategy="merge_new")
    arguments = Arguments(recipe, stacked[0] / "data", base(), tmp_path / "out", stacked[0] / "dapt" / "adapter")
    with pytest.raises(Exception, match="space"):
        sft.main(arguments, lambda _line: None)
    with pytest.raises(BadInput, match="no training finished"):
        record.read(tmp_path / "out")
