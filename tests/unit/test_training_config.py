"""Recipes: strict, frozen, and hashed section by section."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import yaml

from resources import merging
from training import command, config
from twainbot.errors import BadConfig, UnknownName

RECIPES = sorted(config.CONFIGS.glob("*/*.yaml"))
SAMPLE = config.CONFIGS / "sample" / "default.yaml"


def recipe_with(folder: Path, section: str, **values: object) -> Path:
    """The sample recipe with some values of one section changed."""
    raw = yaml.safe_load(SAMPLE.read_text())
    raw[section].update(values)
    path = folder / "sample" / "changed.yaml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(yaml.safe_dump(raw))
    return path


def test_every_profile_has_a_default_recipe():
    assert {path.parent.name for path in RECIPES if path.stem == "default"} == {"tiny", "sample", "laptop", "full"}


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_in_every_folder_validates(path):
    recipe = config.load_recipe(path)
    assert (recipe.profile, recipe.name) == (path.parent.name, path.stem)


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_starts_with_a_command_that_its_script_understands(path, root):
    words = path.read_text().splitlines()[0].removeprefix("# ").split()
    assert words[:2] == ["python", "-m"]
    mix = config.load_recipe(path).mix
    assert words[2] in (["resources.merging"] if mix else [f"training.{stage}" for stage in config.STAGES])
    arguments = merging.parse(words[3:]) if mix else command.parse(words[2].removeprefix("training."), words[3:])
    assert root / arguments.config == path


def test_no_recipe_lies_where_these_tests_do_not_look():
    assert sorted(config.CONFIGS.rglob("*.y*ml")) == RECIPES


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_every_recipe_tells_what_its_values_lead_to(path):
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    said = {line.split(":")[0].strip() for line in lines if "#" in line}
    keys = {line.split(":")[0].strip() for line in lines if ":" in line}
    weighty = {
        "learning_rate",
        "epochs",
        "r",
        "dropout",
        "strategy",
        "beta",
        "styles",
        "persona",
        "adapters",
        "combination",
    }
    assert path.parent.name == "tiny" or not (keys - said) & weighty


@pytest.mark.parametrize("profile", ["sample", "laptop", "full"])
def test_each_persona_has_a_recipe_that_reads_its_own_rows_and_not_the_others(profile):
    styles = {"twain": "twain", "franklin": "franklin", "satirist": "satire"}
    for persona, style in styles.items():
        recipe = config.load_recipe(config.recipe_path(profile, persona))
        assert {name for name, share in recipe.dapt.styles.items() if share == 0} == set(styles.values()) - {style}
        assert recipe.sft.weights.persona == dict.fromkeys(set(styles) - {persona}, 0.0)
        assert recipe.lora == config.load_recipe(config.recipe_path(profile, "default")).lora


def test_a_mixture_names_recipes_of_its_own_profile():
    for path in RECIPES:
        mix = config.load_recipe(path).mix
        for name in mix.adapters if mix else ():
            assert config.recipe_path(path.parent.name, name).is_file()


def test_the_qwen_recipe_is_the_briefs_to_the_letter_and_pins_its_base():
    recipe = config.load_recipe(config.recipe_path("full", "qwen2.5-coder-1.5b-instruct"))
    assert recipe.base.name == "Qwen/Qwen2.5-Coder-1.5B-Instruct"
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout) == (16, 32, 0.05)
    assert recipe.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert (recipe.dapt.learning_rate, recipe.sft.learning_rate) == (2e-4, 1e-4)
    assert recipe.dapt.epochs in (1, 2)
    assert recipe.sft.epochs in (2, 3)
    for stage in (recipe.dapt, recipe.sft):
        assert (stage.sequence_length, stage.effective_batch, stage.precision) == (1024, 128, "bf16")
        assert stage.gradient_checkpointing is True
        assert stage.quantization == "none"


def test_the_gpt_oss_recipe_fits_its_architecture():
    recipe = config.load_recipe(config.recipe_path("full", "gpt-oss-20b"))
    assert (recipe.base.name, recipe.base.template) == ("openai/gpt-oss-20b", "harmony")
    # its experts are three-dimensional weights: attention has the only linears that a LoRA here could serve
    assert set(recipe.lora.target_modules) <= {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert {
        (recipe.stage(stage).micro_batch, recipe.stage(stage).gradient_checkpointing) for stage in config.STAGES
    } == {(1, True)}
    assert {recipe.stage(stage).quantization for stage in config.STAGES} == {"none"}  # opened from its own 4 bits


def test_a_recipe_says_only_what_differs_from_the_one_that_it_extends(tmp_path):
    default, twain = (config.load_recipe(config.recipe_path("sample", name)) for name in ("default", "twain"))
    assert twain.preference == default.preference
    assert twain.sft.learning_rate == default.sft.learning_rate
    assert twain.stage_hash("preference") == default.stage_hash("preference")
    assert twain.stage_hash("dapt") != default.stage_hash("dapt")


def test_a_recipe_extends_one_file_that_stands_alone(tmp_path):
    folder = tmp_path / "sample"
    folder.mkdir()
    shutil.copy(SAMPLE, folder)
    (folder / "one.yaml").write_text("extends: default\nlora: {r: 8}\n")
    (folder / "none.yaml").write_text("extends: nowhere\n")
    one = config.load_recipe(folder / "one.yaml")
    assert (one.lora.r, one.lora.alpha) == (8, 32)
    for beside, further in {"one": "default", "sample/twain": "sample/default"}.items():
        (folder / "two.yaml").write_text(f"extends: {beside}\n")
        with pytest.raises(BadConfig, match=rf"two\.yaml extends {beside}, which .* that extends nothing: {further}\."):
            config.load_recipe(folder / "two.yaml")
    (folder / "three.yaml").write_text("extends: two\n")
    (folder / "four.yaml").write_text("extends: three\n")
    with pytest.raises(BadConfig, match=r"four\.yaml extends three, .* that extends nothing: sample/default\."):
        config.load_recipe(folder / "four.yaml")
    (folder / "round.yaml").write_text("extends: round\n")
    with pytest.raises(BadConfig, match=r"round\.yaml extends round, .* Extend one that extends nothing\.$"):
        config.load_recipe(folder / "round.yaml")
    with pytest.raises(BadConfig, match=r"No recipe at .*nowhere\.yaml"):
        config.load_recipe(folder / "none.yaml")


def test_a_style_that_no_passage_has_is_refused_with_those_there_are(tmp_path):
    with pytest.raises(BadConfig, match=r"dapt.styles: no passage is of style twian; styles are twain, franklin"):
        config.load_recipe(recipe_with(tmp_path, "dapt", styles={"twian": 0.5}))


def test_the_full_recipe_is_the_one_that_the_brief_asks_for():
    recipe = config.load_recipe(config.recipe_path("full", "default"))
    assert (recipe.lora.r, recipe.lora.alpha, recipe.lora.dropout) == (16, 32, 0.05)
    assert recipe.lora.target_modules == ("q_proj", "k_proj", "v_proj", "o_proj")
    assert (recipe.dapt.learning_rate, recipe.sft.learning_rate) == (2e-4, 1e-4)
    assert {(stage.sequence_length, stage.effective_batch, stage.precision) for stage in (recipe.dapt, recipe.sft)} == {
        (1024, 128, "bf16")
    }


def test_accumulation_times_micro_batch_is_the_effective_batch():
    for path in RECIPES:
        recipe = config.load_recipe(path)
        for stage in config.STAGES:
            section = recipe.stage(stage)
            # what `auto` may become divides the step too, see test_auto.py
            sizes = range(1, section.effective_batch + 1) if section.micro_batch == "auto" else [section.micro_batch]
            for size in (size for size in sizes if section.effective_batch % size == 0):
                chosen = section.model_copy(update={"micro_batch": size})
                assert chosen.accumulation * size == section.effective_batch


@pytest.mark.parametrize("edited", config.STAGES)
def test_editing_one_section_changes_only_that_sections_hash(tmp_path, edited):
    before, after = config.load_recipe(SAMPLE), config.load_recipe(recipe_with(tmp_path, edited, learning_rate=0.0123))
    changed = {part for part in config.STAGES if before.stage_hash(part) != after.stage_hash(part)}
    assert changed == {edited}


def test_editing_the_adapter_changes_every_training_stage(tmp_path):
    before, after = config.load_recipe(SAMPLE), config.load_recipe(recipe_with(tmp_path, "lora", r=8))
    assert all(before.stage_hash(stage) != after.stage_hash(stage) for stage in config.STAGES)


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("sft", {"warmup_steps": 10, "max_steps": 5}, ["warmup_steps=10", "max_steps=5"]),
        ("sft", {"micro_batch": 3, "effective_batch": 8}, ["effective_batch=8", "micro_batch=3"]),
        ("dapt", {"minimum_steps": 9, "max_steps": 5, "warmup_steps": 0}, ["minimum_steps=9", "max_steps=5"]),
        ("lora", {"r": 32}, ["r=32", "max_lora_rank=16"]),
    ],
)
def test_a_contradiction_names_both_fields(tmp_path, section, values, named):
    with pytest.raises(BadConfig) as caught:
        config.load_recipe(recipe_with(tmp_path, section, **values))
    assert all(name in str(caught.value) for name in [*named, section, "changed.yaml"])


@pytest.mark.parametrize(
    ("section", "values", "named"),
    [
        ("sft", {"learning_rat": 1e-3}, "sft.learning_rat"),
        ("lora", {"target_modules": ["lm_head"]}, "lora.target_modules"),
        ("dapt", {"learning_rate": 0}, "dapt.learning_rate"),
        ("sft", {"no_call_share": 1.2}, "sft.no_call_share"),
    ],
)
def test_an_unknown_key_or_a_value_out_of_range_is_named_with_its_section(tmp_path, section, values, named):
    with pytest.raises(BadConfig, match=named):
        config.load_recipe(recipe_with(tmp_path, section, **values))


def test_a_file_that_is_no_mapping_is_refused(tmp_path):
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(BadConfig, match="mapping"):
        config.load_recipe(tmp_path / "list.yaml")
    (tmp_path / "broken.yaml").write_text("a: [")
    with pytest.raises(BadConfig, match="not YAML"):
        config.load_recipe(tmp_path / "broken.yaml")


def test_a_missing_recipe_lists_the_known_ones(tmp_path):
    with pytest.raises(BadConfig, match="sample/default"):
        config.load_recipe(tmp_path / "none.yaml")
    with pytest.raises(UnknownName, match="sample/default"):
        config.recipe_path("sample", "none")


def test_a_recipe_cannot_be_changed_after_loading():
    recipe = config.load_recipe(SAMPLE)
    with pytest.raises(Exception, match="frozen"):
        recipe.sft.learning_rate = 1.0
    with pytest.raises(UnknownName, match="dapt, sft, preference"):
        recipe.stage("rlhf")
