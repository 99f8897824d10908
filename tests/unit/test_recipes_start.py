"""Every recipe's first line is a command that starts, up to the weights; slow: every stage of every recipe trains.

Only what a tiny base and a few rows cannot carry is reduced: steps, batch, precision, the name of the base.
"""

from __future__ import annotations

import importlib
import json

import pytest
import yaml
from peft import LoraConfig, get_peft_model
from tiny_training import TEXTS, base, small_talk, weather_talk

from resources import merging
from training import command, engine, record
from training.config import CONFIGS, STAGES, Recipe, load_recipe
from twainbot import records
from twainbot.dialogues.tools import TOOLS
from twainbot.errors import TwainBotError

RECIPES = sorted(CONFIGS.glob("*/*.yaml"))
TRAINING = [path for path in RECIPES if load_recipe(path).mix is None]
MIXING = [path for path in RECIPES if load_recipe(path).mix is not None]
STYLES = ("twain", "franklin", "satire", "joke", "weather_fact", "dialogue")
PERSONAS = ("twain", "franklin", "satirist")
FEW = {
    "max_steps": 2, "epochs": 1, "minimum_steps": 1, "warmup_steps": 0, "effective_batch": 2, "micro_batch": 1,
    "checkpoint_steps": 2, "sequence_length": 1024, "truncation_limit": 0.9, "validation_rows": 2, "precision": "fp32",
}  # fmt: skip


def named(path) -> str:
    return f"{path.parent.name}/{path.stem}"


def reduced(path, folder):
    """The recipe, resolved and reduced, as a file of the same name."""
    raw = load_recipe(path).model_dump(mode="json", exclude={"name", "profile", "base"}, exclude_none=True)
    for stage in STAGES:
        raw[stage].update(FEW)
    raw["sft"]["no_call_share"] = None  # of the few rows here a share could leave none
    target = folder / path.parent.name / path.name
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(yaml.safe_dump(raw))
    return target


def write_rows(folder, recipe: Recipe):
    """Rows of every style, persona, kind and scenario that the recipe weighs, so that each of its weights means something."""
    folder.mkdir(parents=True, exist_ok=True)
    scenarios = [*recipe.sft.weights.scenario, "plain"]
    split = ["train", "train", "validation"]
    passages = [
        {"sample_id": f"p{n:03d}", "split": split[n % 3], "style": style, "text": TEXTS[n % 3], "token_count": 20}
        for n, style in enumerate(STYLES * 9)
    ]
    dialogues = [
        {
            "sample_id": f"d{n:03d}", "split": split[n % 3], "tools": json.dumps(TOOLS),
            "kind": "style_transfer" if n % 2 else "tool_calls",
            "persona": PERSONAS[n // 3 % 3], "scenario": scenarios[n // 9 % len(scenarios)],
            "messages": json.dumps(small_talk(n) if n % 2 else weather_talk(f"Town {n}")),
        }
        for n in range(9 * max(6, len(scenarios)))
    ]  # fmt: skip
    pairs = [
        {
            "sample_id": f"f{n:02d}", "split": split[n % 3], "chosen": "A school that never closes.", "rejected": "Wet.",
            "prompt": json.dumps([{"role": "user", "content": f"What is a river? ({n})"}]),
        }
        for n in range(12)
    ]  # fmt: skip
    for rows, schema, name in (
        (passages, records.DAPT_ROW, "dapt"),
        (dialogues, records.SFT_ROW, "sft"),
        (pairs, records.PREFERENCE_ROW, "preferences"),
    ):
        records.frame(rows, schema).write_parquet(folder / f"{name}.parquet")
    return folder


def words_of(path, config, data, out, before) -> list[str]:
    """The command of a recipe's first line with its placeholders filled."""
    words = path.read_text().splitlines()[0].removeprefix("# ").split()
    places = {"--data": data, "--base": base(), "--out": out, "--init-adapter": before}
    filled = [
        str(places.get(flag, word)) if word == "DIR" else word for flag, word in zip(["", *words], words, strict=False)
    ]
    return [str(config) if word.startswith("training/configs/") else word for word in filled]


class Reached(TwainBotError):
    """The weights were about to be loaded."""


@pytest.mark.slow
@pytest.mark.parametrize("path", TRAINING, ids=named)
def test_every_recipes_command_starts_and_comes_as_far_as_the_weights(path, tmp_path, monkeypatch):
    def reached(*_args):
        raise Reached("here")

    monkeypatch.setattr(engine, "load_base", reached)
    monkeypatch.setattr(
        record, "weights_of", lambda _folder: base() / "base.json"
    )  # the adapter before is a later matter
    config = reduced(path, tmp_path)
    data = write_rows(tmp_path / "data", load_recipe(path))
    words = words_of(path, config, data, tmp_path / "out", tmp_path / "before")
    assert words[:2] == ["python", "-m"]
    script = importlib.import_module(words[2])
    with pytest.raises(Reached):
        script.main(command.parse(words[2].removeprefix("training."), words[3:]), lambda _line: None)


@pytest.mark.slow
@pytest.mark.parametrize("path", MIXING, ids=named)
def test_every_mixing_recipes_command_makes_the_mixture(path, tmp_path, capsys):
    recipe = load_recipe(path)
    words = path.read_text().splitlines()[0].removeprefix("# ").split()
    assert words[2] == "resources.merging"
    lora = recipe.lora
    for name in recipe.mix.adapters:
        shape = LoraConfig(r=lora.r, lora_alpha=lora.alpha, target_modules=list(lora.target_modules))
        model = get_peft_model(engine.load_base(base(), recipe.dapt, 1), shape)
        model.save_pretrained(str(tmp_path / name))
        record._name_base(tmp_path / name / "adapter_config.json", _parents())
    filled = [word.replace("=DIR", f"={tmp_path}/{word.partition('=')[0]}") for word in words]
    places = {"--base": base(), "--out": tmp_path / "out"}
    pairs = zip(["", *filled], filled, strict=False)
    filled = [str(places.get(flag, word)) if word == "DIR" else word for flag, word in pairs]
    assert merging.main(filled[3:]) == 0, capsys.readouterr().err
    assert (tmp_path / "out" / "record.json").is_file()


def _parents() -> dict[str, str]:
    from training.base_model import describe

    info = describe(base())
    return {"base": info.name, "base_revision": info.revision}


@pytest.mark.slow
@pytest.mark.parametrize("path", TRAINING, ids=named)
def test_every_stage_of_every_recipe_trains(path, tmp_path):
    config, before = reduced(path, tmp_path), None
    data = write_rows(tmp_path / "data", load_recipe(path))
    for stage in STAGES:
        script = importlib.import_module(f"training.{stage}")
        arguments = command.Arguments(config, data, base(), tmp_path / stage, before)
        done = script.main(arguments, lambda _line: None)
        assert 1 <= done["steps"] <= 2
        assert done["recipe"] == named(path)
        before = tmp_path / stage / "adapter"
