"""Profiles: the shipped ones load, whatever contradicts itself is refused by name, the environment opens other doors."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import pytest
import yaml
from pydantic import ValidationError

from twainbot.errors import BadConfig, UnknownName
from twainbot_assets import partitions, sources
from twainbot_assets.profile import PROFILES, SOURCES, Profile, SourceSettings, load, parse, recipe_path

SHIPPED = sorted(path.stem for path in PROFILES.glob("*.yaml"))
PATH = Path("profiles/tiny.yaml")  # the name gives the profile, and with it the folder of its recipes


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("TWAINBOT_GUTENBERG_URL", "TWAINBOT_BASE_MODEL", "TWAINBOT_PROFILE", "TWAINBOT_RECIPES"):
        monkeypatch.delenv(name, raising=False)


def raw(**changes) -> str:
    """The tiny profile as text, changed."""
    return yaml.safe_dump({**yaml.safe_load((PROFILES / "tiny.yaml").read_text()), **changes})


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_loads_names_only_known_sources_and_has_all_recipes(name):
    profile = load(name)
    assert profile.name == name
    assert set(profile.sources) <= set(SOURCES)
    assert all(recipe_path(name, recipe).is_file() for recipe in profile.recipes)
    assert profile.volume.at_least < profile.volume.at_most
    assert "gutenberg.org" not in (profile.sources["gutenberg"].mirror or "")


def test_only_full_is_no_rehearsal():
    assert [name for name in SHIPPED if not load(name).rehearsal] == ["full"]


def test_an_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match=r"No profile 'huge'. Known profiles: full, laptop, sample, tiny"):
        load("huge")


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("name: [", "tiny.yaml is not YAML"),
        ("- a list", "tiny.yaml must hold a mapping"),
        ("", "tiny.yaml must hold a mapping"),
        (raw(sources={"podcasts": {}}), "unknown sources .'podcasts'.; known: gutenberg, satire"),
        (raw(sources=["local"]), "sources: Input should be a valid dictionary"),
        (raw(sources={"gutenberg": "everything"}), "sources.gutenberg: Input should be a valid dictionary"),
        (raw(recipes=["default", "bold"]), "recipes .'bold'. have no file in training/configs/tiny/"),
        (
            raw(sources={"gutenberg": {"folder": "books", "mirror": "file:///m"}}),
            "folder='books' and mirror='file:///mirror'",
        ),
        (raw(sources={"local": {"folder": "x", "colour": "red"}}), "sources.local.colour: Extra inputs"),
        (
            raw(sources={"local": {"folder": "x", "max_units": 100}}),
            "sources.local.max_units: .*less than or equal to 99",
        ),
        (raw(dialogues={"batches": 100}), "dialogues.batches: .*less than or equal to 99"),
        (raw(trainer="cloud"), "trainer: Input should be 'subprocess' or 'inline'"),
        (raw(max_rejected_share=1.5), "max_rejected_share: .*less than or equal to 1"),
        (raw(volume={"at_least": 3}), "volume.at_most: Field required"),
        (raw(volume={"at_least": 3, "at_most": 2}), "at_least=3 exceeds at_most=2"),
        (raw(surprise=1), "surprise: Extra inputs are not permitted"),
    ],
)
def test_a_profile_that_contradicts_itself_is_refused_with_file_and_field(text, sentence, monkeypatch):
    monkeypatch.setenv("TWAINBOT_GUTENBERG_URL", "file:///mirror")  # overrides must not stumble over odd forms either
    with pytest.raises(BadConfig, match=sentence):
        parse(text, PATH)


def test_a_profile_cannot_be_changed_once_it_is_loaded():
    with pytest.raises(ValidationError, match="frozen"):
        load("tiny").rehearsal = False  # type: ignore[misc]


def test_the_mirror_in_the_environment_replaces_the_profiles(monkeypatch):
    monkeypatch.setenv("TWAINBOT_GUTENBERG_URL", "file:///books")
    found = parse(raw(sources={"gutenberg": {"mirror": "https://m.example", "works": [76]}}), PATH)
    assert found.sources["gutenberg"] == SourceSettings(mirror="file:///books", works=(76,))


def test_a_profile_that_uses_no_mirror_is_not_given_one(monkeypatch):
    monkeypatch.setenv("TWAINBOT_GUTENBERG_URL", "file:///books")
    assert parse(raw(sources={"gutenberg": {}}), PATH).sources["gutenberg"].mirror is None
    assert parse(raw(sources={}), PATH).sources == {}


def test_the_base_model_in_the_environment_replaces_name_revision_and_template(monkeypatch):
    monkeypatch.setenv("TWAINBOT_BASE_MODEL", "/models/mine")
    text = raw(base={"name": "a/b", "revision": "main", "template": "smollm2"})
    assert parse(text, PATH).base.model_dump() == {"name": "/models/mine", "revision": None, "template": None}


def test_the_environment_replaces_the_recipes_and_a_mixing_one_is_told_from_those_that_train(monkeypatch):
    monkeypatch.setenv("TWAINBOT_RECIPES", "default, twain,franklin,mixed")
    found = parse(raw(), PATH)
    assert found.recipes == ("default", "twain", "franklin", "mixed")
    assert found.trained == ("default", "twain", "franklin")
    assert found.personas == ("twain", "franklin")
    assert found.mixtures["mixed"]["adapters"] == {"twain": 0.67, "franklin": 0.33}


@pytest.mark.parametrize("name", SHIPPED)
def test_a_shipped_profile_mixes_nothing_by_itself(name):
    profile: Profile = load(name)
    assert profile.mixtures == {}
    assert profile.trained == profile.recipes


@pytest.mark.parametrize(
    ("recipes", "fault"),
    [
        (["default", "twain", "mixed"], r"recipe 'mixed' mixes .'franklin'.; list these under `recipes:` too"),
        (["mixed"], "only mix adapters"),
    ],
)
def test_a_mixture_whose_parts_are_not_trained_here_is_refused(recipes, fault):
    with pytest.raises(BadConfig, match=fault):
        parse(raw(recipes=recipes), PATH)


def test_a_mixture_added_or_taken_away_is_a_change_of_the_set_of_recipes(monkeypatch):
    versions = []
    for listed in ("default,twain,franklin", "default,twain,franklin,mixed"):
        monkeypatch.setenv("TWAINBOT_RECIPES", listed)
        profile = parse(raw(), PATH)
        monkeypatch.setattr(sources, "current", lambda profile=profile: profile)
        versions.append(sources.plain_versions({})["recipes"])
    assert versions[0] != versions[1]


def test_one_batch_more_freezes_no_seed_again_and_is_a_change_of_the_set():
    one = load("tiny")
    more = one.model_copy(update={"dialogues": one.dialogues.model_copy(update={"batches": 3})})
    assert more.section_hash("dialogues") == one.section_hash("dialogues")
    assert partitions.batch_keys(more) == ["b000", "b001", "b002"]
    assert sources.set_version(partitions.batch_keys(more)) != sources.set_version(partitions.batch_keys(one))


def test_a_section_hash_changes_with_its_section_alone():
    one, other = parse(raw(), PATH), parse(raw(dedupe={"threshold": 0.8}), PATH)
    assert one.section_hash("dedupe") != other.section_hash("dedupe")
    for section in ("base", "chunking", "screening", "dialogues", "splits", "evaluation"):
        assert one.section_hash(section) == other.section_hash(section)


@pytest.mark.parametrize("name", SHIPPED)
def test_every_fixed_partition_set_stays_under_100_keys(name):
    profile: Profile = load(name)
    assert 1 <= len(partitions.batch_keys(profile)) < 100
    assert 1 <= len(profile.recipes) < 100
    assert len(set(partitions.batch_keys(profile))) == profile.dialogues.batches


def test_registering_makes_the_keys_equal_to_the_sources_and_tells_what_changed():
    with dg.DagsterInstance.ephemeral() as instance:
        assert partitions.register(instance, "local", ["a", "b"]) == (["a", "b"], [])
        assert partitions.register(instance, "local", ["b", "c"]) == (["c"], ["a"])
        assert partitions.register(instance, "local", ["b", "c"]) == ([], [])
        assert sorted(instance.get_dynamic_partitions("local_units")) == ["b", "c"]
        assert instance.get_dynamic_partitions("jokes_units") == []


def test_a_hundredth_unit_is_refused_before_dagster_stops_to_check_staleness():
    keys = [f"u{number:03d}" for number in range(100)]
    with dg.DagsterInstance.ephemeral() as instance:
        with pytest.raises(BadConfig, match="local has 100 units; at most 99 work"):
            partitions.register(instance, "local", keys)
        assert instance.get_dynamic_partitions("local_units") == []
        assert len(partitions.register(instance, "local", keys[:99])[0]) == 99


def generating(**changes) -> str:
    """The tiny profile as text, with a paid generator and a judge."""
    model = {"backend": "openai", "model": "m1", "budget_tokens": 1000}
    dialogues = yaml.safe_load((PROFILES / "tiny.yaml").read_text())["dialogues"]
    return raw(dialogues={**dialogues, "generator": {**model, **changes}, "judge": {**model, "model": ""}})


def test_the_environment_names_the_generators_model_and_the_judges_where_it_has_none(monkeypatch):
    with pytest.raises(BadConfig, match=r"dialogues.judge: .*needs a model"):
        parse(generating(), PATH)
    monkeypatch.setenv("TWAINBOT_LLM_MODEL", "m2")
    chosen = parse(generating(), PATH).dialogues
    assert (chosen.generator.model, chosen.judge.model) == ("m2", "m2")
    assert parse(raw(), PATH).dialogues.generator.model == "", "a door that is shut stays shut"


def test_a_local_judge_without_a_model_stays_the_profiles_own_base_whatever_model_the_environment_names(monkeypatch):
    monkeypatch.setenv("TWAINBOT_LLM_MODEL", "m2")
    dialogues = yaml.safe_load(generating())["dialogues"]
    chosen = parse(raw(dialogues={**dialogues, "judge": {"backend": "local"}}), PATH).dialogues
    assert (chosen.generator.model, chosen.judge.model) == ("m2", "")


def test_a_generators_settings_make_no_seed_stale_and_its_budget_makes_nothing_stale(monkeypatch):
    monkeypatch.setenv("TWAINBOT_LLM_MODEL", "m2")
    plain, model, dear = (
        parse(text, PATH) for text in (raw(), generating(), generating(budget_tokens=9, concurrency=2))
    )
    assert plain.section_hash("dialogues") == model.section_hash("dialogues")
    assert plain.section_hash("generator") != model.section_hash("generator") == dear.section_hash("generator")
    assert plain.section_hash("judge") != model.section_hash("judge")
    warm = parse(generating(temperature=1.0), PATH)
    assert warm.section_hash("generator") != model.section_hash("generator")


def test_a_paid_generator_without_a_budget_is_refused_by_name():
    with pytest.raises(BadConfig, match=r"dialogues.generator: .*needs budget_usd or budget_tokens"):
        parse(generating(budget_tokens=None), PATH)
