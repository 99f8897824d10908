"""A persona that a profile brings as data: it loads, it speaks, its style is known, and the shipped cast stays as it was."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from checks.chunks import closed_tags
from resources import home
from resources.raw_store import RawStore
from resources.sources import open_source
from tests import builders as make
from tests import guides
from training.config import load_recipe
from twainbot import personas
from twainbot.corpora.works import Sidecar, works_from_unit
from twainbot.dialogues import (
    feedback,
    grammar,
    honest,
    pieces,
    preferences,
    prompt_files,
    prompts,
    quality,
    rows,
    seeds,
    speech,
    talk,
    transfer,
)  # fmt: skip
from twainbot.errors import BadConfig, BadInput, UnknownName
from twainbot.evals.personas import names_somebody
from twainbot.records import STYLES
from twainbot_assets import profile, serving

RESULT = {
    "location": "Reno, NV", "datetime": "tomorrow", "weekday": "Tuesday", "date": "2026-10-06", "condition": "sunny",
    "high_f": 71, "low_f": 44, "precipitation_chance": 10, "wind_mph": 5, "wind_direction": "NW", "alerts": [],
}  # fmt: skip
LEAST = {"author": "Nobody Much", "style": "plain", "like": "twain", "system_prompt": "Speak plainly."}


@pytest.fixture(autouse=True)
def shipped_again():
    """The cast is the process's: whoever changes it puts it back."""
    yield
    personas.use()


@pytest.fixture
def folder(tmp_path):
    """What the guide has a reader write."""
    guides.written("make-another-persona.md", tmp_path)
    (tmp_path / "bierce" / "books").mkdir()
    return tmp_path / "bierce"


@pytest.fixture
def bierce(folder, monkeypatch):
    """The profile of the guide as this process's own."""
    monkeypatch.setenv("TWAINBOT_PROFILE", str(folder / "bierce.yaml"))
    return profile.current()


def replies(persona: str, count: int = 300) -> list[str]:
    rng = random.Random(7)
    return [speech.forecast_reply(persona, RESULT, "general", rng) for _ in range(count)]


def persona_file(folder: Path, **changes: object) -> Path:
    path = folder / "personas" / "bierce.yaml"
    path.write_text(json.dumps({**LEAST, **changes}), encoding="utf-8")
    return path


# --- the profile -------------------------------------------------------------------------------------------------------


def test_a_profile_outside_the_project_loads_with_its_voice_its_recipe_and_its_folders(bierce, folder):
    assert (bierce.name, bierce.voices, bierce.personas) == ("bierce", ("bierce",), ("bierce",))
    assert bierce.dialogues.settings["personas"] == {"bierce": 1.0}
    assert Path(bierce.sources["local"].folder or "") == folder / "texts"
    assert bierce.sources["gutenberg"].mirror == (folder / "books").as_uri()
    assert bierce.sources["weather"].folder == "samples/weather"  # not beside the profile, so the project's
    recipe = load_recipe(profile.recipe_path("bierce", "bierce"))
    assert (recipe.profile, recipe.name, recipe.sft.max_steps) == ("bierce", "bierce", 4)  # as tiny/default says


def test_its_home_is_named_by_the_files_stem_and_hands_on_the_path(folder, monkeypatch):
    named = home.current(str(folder / "bierce.yaml"))
    environment = dict[str, str]()
    home.export(named, environment)
    assert (named.own.name, environment["TWAINBOT_PROFILE"]) == ("bierce", str(folder / "bierce.yaml"))
    monkeypatch.chdir(folder)
    assert home.current("./bierce.yaml").named == named.named
    assert home.current("tiny").named == "tiny"


def test_its_catalogue_says_which_works_are_wanted_and_in_which_style(bierce, folder, tmp_path):
    (folder / "books" / "pg374.txt").write_text("A fable of a fox who was consulted.", encoding="utf-8")
    settings = bierce.sources["gutenberg"].model_dump(mode="json", exclude_none=True)
    door = open_source("gutenberg", settings, RawStore(tmp_path / "raw"))
    assert door is not None
    assert door.units() == ["pg374"]
    assert "pg972" in door.skipped
    assert door.fetch("pg374")[1].style == "bierce"


def test_the_definitions_of_such_a_profile_have_its_assets_and_its_recipe(folder, tmp_path):
    look = (
        "from twainbot_assets.definitions import defs, profile\n"
        "from twainbot_assets.partitions import RECIPES\n"
        "names = sorted('/'.join(node.key.path) for node in defs.resolve_asset_graph().asset_nodes)\n"
        "print(profile.name, RECIPES.get_partition_keys(), 'adapters/sft' in names, 'evals/style' in names)"
    )
    own = {"TWAINBOT_PROFILE": str(folder / "bierce.yaml"), "TWAINBOT_HOME": str(tmp_path / "home")}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", look],
        cwd=guides.ROOT, env={**os.environ, **own}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.strip() == "bierce ['bierce'] True True", done.stderr[-2000:]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ("voices: [nobody]", "No persona is called 'nobody'"),
        ("voices: [bierce, twain, bierce_again]", "bierce_again"),
        ("recipes: [elsewhere]", "have no file in .*recipes/bierce"),
    ],
)
def test_what_a_profile_names_and_nobody_wrote_is_said_with_its_place(folder, change, says):
    path, key = folder / "bierce.yaml", change.split(":")[0]
    path.write_text(re.sub(rf"^{key}: .*$", change, path.read_text(), flags=re.MULTILINE), encoding="utf-8")
    with pytest.raises(BadConfig, match=says):
        profile.parse(path.read_text(), profile.outside(str(path)))


@pytest.mark.parametrize("stem", ["tiny", "Loud"])
def test_a_profile_outside_may_not_take_a_name_whose_folder_is_anothers(folder, stem):
    with pytest.raises(BadConfig, match="cannot be called"):
        profile.outside(str((folder / "bierce.yaml").rename(folder / f"{stem}.yaml")))


def test_a_profile_file_that_is_not_there_is_unknown(tmp_path):
    with pytest.raises(UnknownName, match="or to a file"):
        profile.load(str(tmp_path / "none.yaml"))


# --- the persona -------------------------------------------------------------------------------------------------------


def test_it_is_the_default_persona_and_the_shipped_ones_stand_behind_it(bierce):
    assert prompts.personas() == ("bierce", "twain", "franklin", "satirist")
    assert "Ambrose Bierce" in prompts.system_prompt("bierce")
    assert prompts.persona_of(["no_tool"]) == "bierce"
    assert prompts.disclaimer() == "Synthetic: written by a grammar, not by Ambrose Bierce."
    assert "illusions" in prompt_files.voice("bierce", "")
    assert names_somebody("What does the Devil's Dictionary say of rain?")


def test_its_lines_are_spoken_where_it_has_some_and_the_satirists_where_it_has_none(bierce):
    said = " ".join(replies("bierce"))
    assert "Certainty, n. What is left of a forecast" in said  # grammar: coda
    assert "Residents of Reno" in said  # the satirist's opening, which the file does not replace
    asked = [grammar.load("voices").expand("lead@bierce", {"persona": "bierce"}, random.Random(n))
             for n in range(40)]  # fmt: skip
    assert set(asked) == {
        "Question, n. A door that is knocked upon from the wrong side. It opens thus:",
        "Answer, n. That which is given to one who wanted agreement.",
        "The lexicographer replies:",
        "Opinion, n. A guest who is never asked his name. Here is mine:",
    }
    assert "Certainty" not in " ".join(replies("satirist"))
    assert honest.said("silent", "bierce", random.Random(1)).startswith("Silence, n.")
    assert "committee" in honest.said("too_many", "bierce", random.Random(1))  # the satirist's


def test_every_way_of_a_piece_is_worded_for_it(bierce):
    rules = grammar.load("piece_bierce")
    assert set(rules.family("tall")) == set(grammar.load("piece_satirist").family("tall"))
    assert personas.of("bierce").devices == {"aphorism": 6, "understatement": 3, "mock_news": 1}
    assert transfer.restyle("I think so", "bierce") == transfer.restyle("I think so", "satirist")
    settings = seeds.DialogueSettings(personas={"bierce": 1.0})
    assert settings.personas == {"bierce": 1.0}
    assert set(pieces.TONES) <= set(rules.family("open"))


def test_whole_dialogues_and_pairs_are_written_in_its_name_without_a_fault(bierce, folder):
    entries = (folder / "texts" / "entries.md").read_text().split("\n\n")
    passages = pl.DataFrame(
        [{"chunk_id": f"t:{n}-{n + 1}", "style": "bierce", "text": text} for n, text in enumerate(entries)]
    )
    settings = seeds.DialogueSettings(personas={"bierce": 1.0}, tool_calls=40, style_transfer=6, contrastive=12)
    frozen = seeds.make_seeds(passages, "b000", settings, 1842)
    made = pl.concat([transfer.style_transfer(frozen), talk.tool_calls(frozen)])
    assert {row["style_tags"][0] for row in made.to_dicts()} == {"bierce"}
    assert [found for row in made.to_dicts() if (found := quality.problems(row))] == []
    assert preferences.contrastive(frozen, made).height > 0
    said = " ".join(text for row in made.to_dicts() for text in quality.replies(row))
    assert re.search(r"\b(?:Certainty|Truth|Wisdom|Question|Opinion|Hope), n\.", said)
    assert feedback.feedback(made)["style"].mean() > 1


def test_its_manner_is_what_feedback_counts(bierce):
    assert feedback._words("bierce").findall("Hope, n. One who is mistaken for a friend.") == [
        "n.",
        "One who",
        "mistaken for",
    ]
    assert feedback._words("satirist") == feedback._words("satirist")


def test_its_style_is_a_word_of_the_vocabulary_and_the_style_of_texts_that_say_none(bierce):
    assert personas.styles() == (*STYLES, "bierce")
    text = b"# Hope\n\nA coat that is worn by those who left the other one at home, and praised by those who did not.\n"
    works = works_from_unit("local", "hope", text, Sidecar(filename="hope.md", rights="cc0", split="heading"))
    assert works["style"].to_list() == ["bierce"]
    personas.use()
    works = works_from_unit("local", "hope", text, Sidecar(filename="hope.md", rights="cc0", split="heading"))
    assert works["style"].to_list() == ["twain"]


def test_the_gate_of_tags_knows_its_style_and_no_other(bierce):
    own, odd = make.chunks(make.chunk("t/1", style="bierce")), make.chunks(make.chunk("t/1", style="homer"))
    assert closed_tags(own).passed
    assert not closed_tags(odd).passed
    personas.use()
    assert not closed_tags(own).passed


def test_its_dialogues_say_of_which_data_they_are_made(bierce):
    own, before = rows.data_hash(), personas.stamp()
    personas.use()
    assert own != rows.data_hash()
    assert personas.stamp() == "" != before


def test_the_shipped_cast_is_back_when_a_shipped_profile_is_current(bierce, monkeypatch):
    monkeypatch.setenv("TWAINBOT_PROFILE", "tiny")
    profile.current()
    assert prompts.personas() == ("twain", "franklin", "satirist")
    assert prompts.disclaimer() == prompts.DISCLAIMER
    with pytest.raises(BadConfig, match="no grammar"):
        grammar.load("bierce")


def test_a_bundle_may_bring_a_persona_that_the_profile_does_not_know(bierce):
    carried = json.loads(json.dumps(personas.as_data(personas.of("bierce"))))
    personas.use()
    personas.join([personas.Persona.model_validate(carried)])
    assert prompts.personas() == ("twain", "franklin", "satirist", "bierce")
    assert "Certainty" in " ".join(replies("bierce"))


def bundle_of(folder: Path, own: list[dict[str, object]]) -> Path:
    (folder / "adapter").mkdir(parents=True)
    (folder / "adapter" / "adapter_config.json").write_text("{}")
    told = {"default_persona": "bierce", "personas": {"bierce": {"adapter": "adapter", "recipe": "bierce"}}}
    (folder / "bundle.json").write_text(json.dumps({**told, "own_personas": own}))
    return folder


def test_who_opens_a_bundle_knows_the_persona_that_it_carries_and_refuses_a_broken_one(bierce, tmp_path):
    carried = personas.as_data(personas.of("bierce"))
    personas.use()
    adapters, recipes = serving.adapters_in(bundle_of(tmp_path / "sound", [carried]))
    assert (list(adapters), recipes) == (["bierce"], ["bierce"])
    assert serving.voices_of(recipes) == ("bierce",)
    assert "Ambrose Bierce" in prompts.system_prompt("bierce")
    personas.use()
    with pytest.raises(BadInput, match="does not list personas"):
        serving.adapters_in(bundle_of(tmp_path / "broken", [{**carried, "style": "Two Words"}]))
    with pytest.raises(BadInput, match="known are twain"):
        serving.adapters_in(bundle_of(tmp_path / "bare", []))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"like": "homer"}, "is like 'homer'"),
        ({"author": ""}, "author or master"),
        ({"devices": {"sonnet": 1}}, "sonnet"),
        ({"devices": {"aphorism": 0}}, "weigh at least one"),
        ({"manner": "(unclosed"}, "no regular expression"),
        ({"style": "Two Words"}, "style"),
        ({"humour": "dry"}, "humour"),
    ],
)
def test_a_persona_file_at_fault_is_named_with_its_field(folder, changes, says):
    path = persona_file(folder, **changes)
    with pytest.raises(BadConfig, match=says) as fault:
        personas.read(path.read_text(), "bierce", str(path))
    assert str(path) in str(fault.value)


@pytest.mark.parametrize(
    ("name", "changes", "says"),
    [
        ("bierce", {"lines": {"leed": "Well:"}}, "no rule of the lines"),
        ("cases", {}, "ships with the project"),
        ("bierce", {"grammar": {"coda": "{no_such_rule}"}}, "mentions 'no_such_rule'"),
    ],
)
def test_lines_that_no_grammar_can_use_are_refused_when_it_speaks(name, changes, says):
    personas.use([personas.read(json.dumps({**LEAST, **changes}), name, "personas/x.yaml")], (name,))
    with pytest.raises(BadConfig, match=says):
        replies(name, 1)


def test_a_persona_may_not_take_a_shipped_name():
    with pytest.raises(BadConfig, match="ships with the project"):
        personas.read(json.dumps(LEAST), "twain", "personas/twain.yaml")


def test_a_persona_without_words_of_its_own_speaks_as_the_one_that_it_is_like():
    personas.use([personas.read(json.dumps(LEAST), "plain", "personas/plain.yaml")], ("plain",))
    assert replies("plain", 30) == replies("twain", 30)
