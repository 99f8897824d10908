"""Who speaks in `twainbot serve` and `twainbot chat`: recipes' adapters, a bundle, and clear words for what is wrong."""

from __future__ import annotations

import json
import re
import shutil

import polars as pl
import pytest
from click.testing import CliRunner

from resources.home import Home
from resources.lake import Lake
from resources.tool_loop import Conversation, Limits, Reply, Speaking, Trouble
from tests.unit import tiny_bundle
from tests.unit.tiny_training import base
from training.base_model import describe
from twainbot.dialogues import prompts
from twainbot.errors import BadInput, BadUse, MissingModel, UnknownName
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


def trained(home, recipe, tmp_path, stage=serving.FINAL):
    lake = Lake(home.lake)
    folder = lake.publish_folder(f"adapters/{stage}", adapter(tmp_path / stage / recipe), recipe)
    lake.write(f"adapters/{stage}", recipe, pl.DataFrame({"recipe": [recipe], "folder": [folder]}))


def bundle(folder, **changes):
    """A bundle of before bundle.json, sealed."""
    adapter(folder / "adapter", **changes)
    shutil.copy(base() / "chat_template.jinja", folder)
    tiny_bundle.seal(folder)
    return folder


def told(folder, **changes):
    """The bundle with other words in bundle.json, sealed again."""
    file = folder / "bundle.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **changes}))
    tiny_bundle.seal(folder)
    return folder


@pytest.fixture
def two(tmp_path):
    """A whole bundle of two personas; its base lies in it, since it can be had nowhere else."""
    return shutil.copytree(tiny_bundle.bundle(), tmp_path / "two")


def test_a_recipe_without_a_persona_speaks_as_the_default_one(home, tmp_path):
    trained(home, "default", tmp_path)
    cast = serving.of_recipe(home, load("tiny"), None)
    assert list(cast.adapters) == ["twain"]
    assert cast.voices == prompts.personas()  # it was trained on all of them
    assert (cast.adapters["twain"] / "adapter_config.json").is_file()
    assert (cast.base / "model.safetensors").is_file()
    assert cast.router is None


def test_of_a_recipe_the_last_trained_stage_speaks(home, tmp_path):
    for stage in ("dapt", "sft"):
        trained(home, "default", tmp_path, stage)
        (folder,) = serving.of_recipe(home, load("tiny"), None).adapters.values()
        assert f"adapters/{stage}" in Lake(home.lake).read(f"adapters/{stage}", "default")["folder"][0]
        kept = Lake(home.lake).read(f"adapters/{stage}", "default")["folder"][0]
        assert Lake(home.lake).fetch_folder(kept, home.cache) == folder


def test_all_personas_that_are_trained_speak_each_under_its_name(home, tmp_path):
    profile = load("tiny").model_copy(update={"recipes": ("default", "twain", "franklin")})
    for name in ("default", "twain", "franklin"):
        trained(home, name, tmp_path)
    both = serving.of_recipe(home, profile, None)
    assert (list(both.adapters), both.voices) == (["twain", "franklin"], ("twain", "franklin"))
    alone = serving.of_recipe(home, profile, "franklin")
    assert (list(alone.adapters), alone.voices) == (["franklin"], ("franklin",))


def test_an_unknown_recipe_and_one_that_was_not_trained_are_told_what_to_do(home):
    with pytest.raises(UnknownName, match="No recipe 'mencken'"):
        serving.of_recipe(home, load("tiny"), "mencken")
    with pytest.raises(MissingModel, match=r"trained are: none.*twainbot run --profile tiny"):
        serving.of_recipe(home, load("tiny"), None)
    shutil.rmtree(home.models / base().name)
    with pytest.raises(MissingModel, match="is not there"):
        serving.of_recipe(home, load("tiny"), None)


def test_two_models_at_once_no_base_and_a_folder_that_is_none_are_refused(tmp_path):
    bare = Home(tmp_path, "tiny")
    with pytest.raises(BadUse, match="both name a model"):
        serving.Asked("default", tmp_path).cast(bare, load("tiny"))
    with pytest.raises(MissingModel, match="has no base yet"):
        serving.Asked("default").cast(bare, load("tiny"))
    with pytest.raises(BadUse, match="is no base"):
        serving.Asked("default", base=tmp_path).cast(bare, load("tiny"))


def test_a_bundle_finds_its_base_among_the_homes_models_or_takes_the_one_that_is_given(home, tmp_path):
    made = bundle(tmp_path / "bundle")
    cast = serving.of_bundle(home, made)
    assert (cast.base, list(cast.adapters)) == (home.models / base().name, ["twain"])
    assert cast.about == "twainbot-lora-v0.1-rehearsal from bundle"
    assert serving.Asked(bundle=made, base=base()).cast(home, load("tiny")).base == base()
    with pytest.raises(MissingModel, match="--base DIR"):
        serving.of_bundle(Home(tmp_path / "elsewhere", "tiny"), made)


def test_a_bundle_is_checked_first_and_one_of_another_base_or_template_is_refused(home, tmp_path):
    changed = bundle(tmp_path / "changed")
    (changed / "chat_template.jinja").write_text("{{ messages }}")
    with pytest.raises(BadInput, match=r"chat_template\.jinja"):
        serving.of_bundle(home, changed)
    tiny_bundle.seal(changed)
    with pytest.raises(BadInput, match="not the one of its base"):
        serving.of_bundle(home, changed)
    (changed / "chat_template.jinja").unlink()
    tiny_bundle.seal(changed)
    with pytest.raises(BadInput, match="lost its chat_template"):
        serving.of_bundle(home, changed)
    other = bundle(tmp_path / "other", revision="other")
    with pytest.raises(MissingModel, match="revision other"):
        serving.of_bundle(home, other)
    with pytest.raises(BadInput, match="revision other"):
        serving.of_bundle(home, other, base())
    with pytest.raises(BadUse, match="no bundle"):
        serving.of_bundle(home, tmp_path)
    shutil.rmtree(other / "adapter")
    tiny_bundle.seal(other)
    with pytest.raises(BadInput, match=r"no adapter/adapter_config\.json"):
        serving.of_bundle(home, other)


def test_a_bundles_personas_speak_each_by_its_adapter_the_default_one_first(home, two):
    cast = serving.of_bundle(home, two)
    assert cast.adapters == {"twain": two / "adapter", "franklin": two / "personas" / "franklin"}
    assert (cast.base, cast.voices) == (two / "base", ("twain", "franklin"))
    changed = told(two, default_persona="franklin")
    assert list(serving.of_bundle(home, changed).adapters) == ["franklin", "twain"]


def test_an_only_adapter_of_no_persona_speaks_as_all_in_the_bundle_too(home, two):
    told(two, personas={"twain": {"recipe": "default", "adapter": "adapter"}})
    assert serving.of_bundle(home, two).voices == prompts.personas()
    told(two, personas={"franklin": {"recipe": "franklin", "adapter": "personas/franklin"}})
    assert serving.of_bundle(home, two).voices == ("franklin",)


@pytest.mark.parametrize(
    ("personas", "words"),
    [
        ([1], "does not list"), ("twain", "does not list"), ({"twain": "adapter"}, "does not list"),
        ({"twain": {"recipe": "default"}}, "does not list"), ({}, "no persona"),
        ({"mencken": {"adapter": "adapter"}}, "mencken"), ({"twain": {"adapter": "gone"}}, "no gone/adapter_config"),
        ({"twain": {"adapter": "../two/adapter/../../elsewhere"}}, "elsewhere/adapter_config"),
    ],
)  # fmt: skip
def test_a_bundle_that_lists_no_persona_with_an_adapter_inside_is_refused(home, two, tmp_path, personas, words):
    adapter(tmp_path / "elsewhere")
    with pytest.raises(BadInput, match=words):
        serving.of_bundle(home, told(two, personas=personas))


def test_one_cast_speaks_in_the_terminal_and_over_http_alike(home, two):
    """The loop's speaker is the server's: routed by the first words, stopped between pieces, and refused when it is full."""
    cast = serving.of_bundle(home, two)
    with serving.opened(cast, "none") as (speaker, tools):
        talk = Conversation(speaker, tools, limits=Limits(new_tokens=4), route=lambda text: "franklin")
        events = list(talk.say("Who are you?"))
        assert events[0] == Speaking("franklin")
        assert isinstance(events[-1], Reply)
        full = Conversation(speaker, tools, limits=Limits(new_tokens=speaker.window), persona="twain")
        (trouble,) = [event for event in full.say("Who are you?") if isinstance(event, Trouble)]
        assert re.search(rf"window of {speaker.window} must leave {speaker.window} tokens of room", trouble.why)
        assert chat_server.models(speaker) == ["auto", "twain", "franklin", "__base__"]


def test_an_only_adapter_speaks_as_each_of_its_voices_by_their_system_prompts(home, two):
    told(two, personas={"twain": {"recipe": "default", "adapter": "adapter"}})
    with serving.opened(serving.of_bundle(home, two), "none") as (speaker, _):
        asked = [{"role": "user", "content": "Who are you?"}]
        turns = {name: speaker.stream(asked, persona=name, max_new_tokens=4) for name in speaker.voices}
        read = {name: speaker.model.tokenizer.decode(speaker.prompt_ids(asked, None, name)) for name in turns}
    assert list(turns) == list(prompts.personas())
    assert all(prompts.system_prompt(name) in text for name, text in read.items())


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
    nowhere = run("--host", "", "--port", "0")  # an unset variable of a shell
    assert (nowhere.exit_code, "every address" in nowhere.output) == (2, True)
