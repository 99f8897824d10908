"""Who speaks when `twainbot serve` is called: recipes' adapters, a bundle, and clear words for what is wrong."""

from __future__ import annotations

import json
import shutil

import polars as pl
import pytest
from click.testing import CliRunner
from tiny_training import base

from resources.home import Home
from resources.lake import Lake
from training.base_model import describe
from twainbot.errors import BadInput, MissingModel, UnknownName
from twainbot_assets import chat_server, cli, serving
from twainbot_assets.profile import load


@pytest.fixture
def home(tmp_path, monkeypatch):
    """A home with the tiny base and no adapter yet."""
    monkeypatch.delenv("TWAINBOT_LAKE", raising=False)
    made = Home(tmp_path / "home", "tiny").prepare()
    shutil.copytree(base(), made.models / base().name)
    Lake(made.lake).write("base/model", None, pl.DataFrame({"folder": [base().name]}))
    return made


def adapter(folder, revision=None):
    """An adapter's config alone: who speaks is decided by it."""
    info = describe(base())
    folder.mkdir(parents=True)
    config = {"base_model_name_or_path": info.name, "revision": revision or info.revision, "peft_type": "LORA"}
    (folder / "adapter_config.json").write_text(json.dumps(config))
    (folder / "adapter_model.safetensors").touch()
    return folder


def trained(home, recipe, tmp_path):
    lake = Lake(home.lake)
    folder = lake.publish_folder(f"adapters/{serving.FINAL}", adapter(tmp_path / recipe), recipe)
    lake.write(f"adapters/{serving.FINAL}", recipe, pl.DataFrame({"recipe": [recipe], "folder": [folder]}))


def bundle(folder, **changes):
    adapter(folder / "adapter", **changes)
    shutil.copy(base() / "chat_template.jinja", folder)
    return folder


def test_a_recipe_without_a_persona_speaks_as_the_default_one(home, tmp_path):
    trained(home, "default", tmp_path)
    cast = serving.of_recipe(home, load("tiny"), None)
    assert list(cast.adapters) == ["twain"]
    assert (cast.adapters["twain"] / "adapter_config.json").is_file()
    assert (cast.base / "model.safetensors").is_file()
    assert cast.router is None


def test_all_personas_that_are_trained_speak_each_under_its_name(home, tmp_path):
    profile = load("tiny").model_copy(update={"recipes": ("default", "twain", "franklin")})
    for name in ("default", "twain", "franklin"):
        trained(home, name, tmp_path)
    assert list(serving.of_recipe(home, profile, None).adapters) == ["twain", "franklin"]
    assert list(serving.of_recipe(home, profile, "franklin").adapters) == ["franklin"]


def test_an_unknown_recipe_and_one_that_was_not_trained_are_told_what_to_do(home):
    with pytest.raises(UnknownName, match="No recipe 'mencken'"):
        serving.of_recipe(home, load("tiny"), "mencken")
    with pytest.raises(MissingModel, match="twainbot run --profile tiny"):
        serving.of_recipe(home, load("tiny"), None)


def test_a_bundle_finds_its_base_among_the_homes_models(home, tmp_path):
    cast = serving.of_bundle(home, bundle(tmp_path / "bundle"))
    assert (cast.base, list(cast.adapters)) == (home.models / base().name, ["twain"])


def test_a_bundle_of_another_base_without_template_or_with_another_is_refused(home, tmp_path):
    with pytest.raises(MissingModel, match="revision other"):
        serving.of_bundle(home, bundle(tmp_path / "one", revision="other"))
    with pytest.raises(BadInput, match=r"no adapter/adapter_config\.json"):
        serving.of_bundle(home, tmp_path)
    lost = bundle(tmp_path / "lost")
    (lost / "chat_template.jinja").unlink()
    with pytest.raises(BadInput, match="lost its chat_template"):
        serving.of_bundle(home, lost)
    changed = bundle(tmp_path / "changed")
    (changed / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(BadInput, match="not the one of its base"):
        serving.of_bundle(home, changed)


def test_the_command_says_bad_use_in_one_sentence_before_it_loads_a_model(home, monkeypatch):
    monkeypatch.setenv("TWAINBOT_HOME", str(home.root))

    def run(*words):
        return CliRunner().invoke(cli.main, ["serve", "--profile", "tiny", *words])

    both = run("--recipe", "default", "--bundle", "x")
    assert (both.exit_code, "Give one of them" in both.output) == (2, True)
    with chat_server.bound("127.0.0.1", 0) as door:
        door.listen()
        taken = run("--port", str(door.getsockname()[1]))
    assert (taken.exit_code, "--port" in taken.output) == (2, True)
    assert run("--port", "0").exit_code == 1
