"""A profile: what to harvest, how much to write, which base. One YAML file in profiles/, strict and frozen.

Sections that a pure package owns (chunking, screening, dedupe, dialogues, splits) are checked by that package's own
settings class when they are used; here they must only be known sections.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resources.generator_settings import GRAMMAR, LOCAL, MODEL, GeneratorSettings
from resources.home import PROJECT, is_file_name
from twainbot import paths, personas, yaml_text
from twainbot.errors import BadConfig, UnknownName
from twainbot.personas import Persona

SOURCES = ("gutenberg", "satire", "jokes", "weather", "transcripts", "local")
PROFILES = PROJECT / "profiles"
# Of `dialogues`, what no batch of seeds is frozen from. How many batches there are is `sources/batches`.
NOT_OF_A_SEED = {"generator", "judge", "judge_sample", "batches"}


class Strict(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class Remote(Strict):
    """One feed or collection by URL. `rights` and `license` are claims of whoever writes the profile."""

    name: str = Field(pattern=r"^[\w.-]+$")  # the unit's key
    url: str = Field(pattern=r"^https?://")
    enabled: bool = True
    license: str = ""
    rights: str = ""
    language: str = ""
    style: str = ""


class Feed(Remote):
    """An RSS, Atom or JSON feed. `articles`: fetch the items' pages too; `render`: in a browser where scripts build them."""

    articles: bool = False
    max_articles: int = Field(default=40, ge=1, le=200)
    render: bool = False
    headline_only: bool = False  # headline, link and date; nothing of it trains

    @model_validator(mode="after")
    def no_pages_of_headlines(self) -> Feed:
        """Headlines alone need no pages; a browser needs pages."""
        if self.headline_only and self.articles:
            raise ValueError(f"feed {self.name!r}: headline_only and articles contradict each other")
        if self.render and not self.articles:
            raise ValueError(f"feed {self.name!r}: render needs articles: true")
        return self


class Collection(Remote):
    """A joke file. `columns`: which column is what, as in a sidecar; `license_source`: where the licence was read."""

    filename: str = ""  # where the URL's last part does not end in .csv, .tsv, .json or .jsonl
    title: str = ""
    license_source: str = ""
    columns: dict[str, str] = {}


class Office(Strict):
    """What to gather of one forecast office, call sign of three letters."""

    products: tuple[str, ...] = ("AFD", "ZFP", "HWO")
    max_products: int = Field(default=10, ge=1, le=100)  # newest of each kind
    points: tuple[str, ...] = ()  # "40.71,-74.01": forecasts there, at most four decimals
    hourly: bool = False
    alerts_area: str | None = Field(default=None, pattern=r"^[A-Z]{2}$")
    years: tuple[int, ...] = ()  # past years, out of the archive
    max_archived: int = Field(default=200, ge=1, le=5000)

    @model_validator(mode="after")
    def points_are_short(self) -> Office:
        """The service redirects where a coordinate has more than four decimals."""
        for point in self.points:
            if not re.fullmatch(r"-?\d{1,2}(\.\d{1,4})?,-?\d{1,3}(\.\d{1,4})?", point):
                raise ValueError(f"point {point!r} must read latitude,longitude with at most four decimals")
        return self


class SourceSettings(Strict):
    """Where one source's units come from; a folder goes together with feeds, collections or offices.

    `folder`: one file a unit. `mirror`: Gutenberg, by pinned works and, through `catalogue`, by author and language.
    Paths of a profile outside the project are looked for beside it, then in the project.
    """

    folder: str | None = None
    mirror: str | None = None
    works: tuple[int, ...] = ()
    authors: dict[str, str] = {}  # surname as a header prints it -> style
    catalogue: str | None = None  # URL of pg_catalog.csv or its .gz
    pinned: str | None = (
        None  # a file in the form of twainbot/corpora/catalogue.yaml: works beside those, all of them wanted
    )
    languages: tuple[str, ...] = ("en",)
    feeds: tuple[Feed, ...] = ()
    collections: tuple[Collection, ...] = ()
    offices: dict[str, Office] = {}
    service: str | None = None  # api.weather.gov
    archive: str | None = None  # of its bulletins
    only: tuple[str, ...] = ()  # unit keys; empty: all
    max_units: int = Field(default=99, ge=1, le=99)  # 100 keys and Dagster no longer checks fan-in staleness
    max_passages: int | None = Field(default=None, ge=1)  # per unit; None: all
    delay_s: float = Field(default=2.0, ge=0.0)
    recheck_s: float = Field(default=300.0, ge=0.0)  # how long an answer without a lifetime is taken as fresh
    private: bool = False  # whether host names may lead to private addresses
    hosts: tuple[str, ...] = ()  # further hosts that may be asked and redirected to

    @model_validator(mode="after")
    def one_place(self) -> SourceSettings:
        """A source is a folder or a mirror, never both."""
        if self.folder and self.mirror:
            raise ValueError(f"folder={self.folder!r} and mirror={self.mirror!r} cannot both hold one source's units")
        return self

    @model_validator(mode="after")
    def names_differ(self) -> SourceSettings:
        """Each feed and collection has a name of its own."""
        names = [entry.name for entry in (*self.feeds, *self.collections)]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"the names {twice} stand twice; a name is a unit's key")
        return self


class BaseSettings(Strict):
    """The base model: `tiny-random`, `smollm2-135m-instruct` (out of its wheel), a local folder, or a Hub model's name."""

    name: str
    revision: str | None = None
    template: str | None = None  # a file stem of training/templates/; None: the one that fits the base


class DialogueBatches(Strict):
    """How many batches to write, what each holds, and who writes and judges."""

    batches: int = Field(ge=1, le=99)
    seed: int = 1835
    settings: dict[str, Any] = {}
    generator: GeneratorSettings = GeneratorSettings()  # who words the grammar's drafts
    judge: GeneratorSettings = GeneratorSettings()  # who rates a sample beside the rules; `grammar`: nobody
    judge_sample: int = Field(default=0, ge=0)  # dialogues of a batch that the judge rates


class EvaluationSettings(Strict):
    """How many cases of each suite are generated for each arm; None takes all."""

    tool_calls: int | None = Field(default=None, ge=1)
    grounding: int | None = Field(default=None, ge=1)
    chat: int | None = Field(default=None, ge=1)
    coding: int | None = Field(default=None, ge=1)  # problems whose canonical solutions' loss is measured
    humaneval: int = Field(default=0, ge=0)  # of its problems, solved by both arms in the sandbox; 0: no code is run
    code_tokens: int = Field(
        default=256, ge=16
    )  # of one solution; all but one of HumanEval's canonical ones are shorter
    perplexity_tokens: int = Field(default=4096, ge=64)
    personas: int = Field(
        default=40, ge=1
    )  # prompts of each kind, and replies and calls, that compare personas' adapters
    max_new_tokens: int = Field(default=96, ge=8)
    batch_size: int = Field(default=16, ge=1)


class Volume(Strict):
    """Bounds on the number of training samples; outside them a check warns."""

    at_least: int = Field(ge=0)
    at_most: int = Field(ge=1)

    @model_validator(mode="after")
    def in_order(self) -> Volume:
        """The bounds leave room."""
        if self.at_least > self.at_most:
            raise ValueError(f"at_least={self.at_least} exceeds at_most={self.at_most}")
        return self


class Profile(Strict):
    """Everything that makes one profile differ from another."""

    name: str
    description: str
    rehearsal: bool  # its scorecard proves nothing, and its releases are named so
    base: BaseSettings
    sources: dict[str, SourceSettings]
    chunking: dict[str, Any] = {}
    screening: dict[str, Any] = {}
    dedupe: dict[str, Any] = {}
    dialogues: DialogueBatches
    splits: dict[str, Any] = {}
    evaluation: EvaluationSettings
    recipes: tuple[str, ...]
    voices: tuple[str, ...] = ()  # personas that speak, the default one first; empty: the shipped ones
    brought: tuple[Persona, ...] = ()  # those of them that do not ship with the project; `parse` reads their files
    trainer: Literal["subprocess", "inline"] = "subprocess"
    volume: Volume
    max_rejected_share: float = Field(default=0.5, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def known_names(self) -> Profile:
        """Sources are of the closed set; recipes have a file; a mixture's adapters are trained here too."""
        unknown = sorted(set(self.sources) - set(SOURCES))
        if unknown:
            raise ValueError(f"unknown sources {unknown}; known: {', '.join(SOURCES)}")
        absent = [name for name in self.recipes if not paths.is_file(recipe_path(self.name, name))]
        if absent:
            folder = recipe_path(self.name, absent[0]).parent
            shown = folder.relative_to(PROJECT) if folder.is_relative_to(PROJECT) else folder
            raise ValueError(f"recipes {absent} have no file in {shown.as_posix()}/")
        if not self.trained:
            raise ValueError(f"recipes {list(self.recipes)} only mix adapters; list what they mix before them")
        for name, mix in self.mixtures.items():
            untrained = sorted(set(mix["adapters"]) - set(self.trained))
            if untrained:
                raise ValueError(f"recipe {name!r} mixes {untrained}; list these under `recipes:` too")
        return self

    @property
    def mixtures(self) -> dict[str, dict[str, Any]]:
        """Recipes that train nothing, and what each adds up: the `mix` section of its file."""
        found = {name: mix_of(self.name, name) for name in self.recipes}
        return {name: mix for name, mix in found.items() if mix}

    @property
    def trained(self) -> tuple[str, ...]:
        """Recipes that train, in the order of the profile: the partitions of adapters/ and evals/."""
        return tuple(name for name in self.recipes if not mix_of(self.name, name))

    @property
    def personas(self) -> tuple[str, ...]:
        """Recipes that are called as a persona, whose adapters a router can choose between."""
        return tuple(name for name in self.trained if name in {*personas.shipped(), *self.voices})

    def section_hash(self, name: str) -> str:
        """Data version of one section, as `sources/settings_<name>` reports it.

        Generator and judge are sections of their own: another model re-freezes no seed, another budget makes nothing stale.
        Nor does one batch more: an old batch is never written again.
        """
        plain = self._generation(name) if name in ("generator", "judge") else self._plain(name)
        return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:16]

    def _plain(self, name: str) -> Any:
        section = getattr(self, name)
        return section.model_dump(mode="json", exclude=NOT_OF_A_SEED) if isinstance(section, BaseModel) else section

    def _generation(self, name: str) -> dict[str, Any]:
        settings: GeneratorSettings = getattr(self.dialogues, name)
        own_base = settings.backend == LOCAL and not settings.model
        sample = {"sample": self.dialogues.judge_sample} if name == "judge" else {}
        return {**settings.shaping(), **sample, **({"base": self.base.name} if own_base else {})}


_OUTSIDE: dict[str, Path] = {}  # the folders of profiles that were loaded from outside the project, by their names


def recipe_path(profile: str, recipe: str) -> Path:
    """The YAML file of a recipe: in training/configs/<profile>/ or, of a profile outside, in recipes/<profile>/ beside it."""
    folder = _OUTSIDE[profile] / "recipes" if profile in _OUTSIDE else PROJECT / "training" / "configs"
    return folder / profile / f"{recipe}.yaml"


def mix_of(profile: str, recipe: str) -> dict[str, Any] | None:
    """What a recipe's file says under `mix`; None where it trains. Only the shape: training.config checks a recipe whole."""
    return _mix_in(recipe_path(profile, recipe))


@cache
def _mix_in(path: Path) -> dict[str, Any] | None:
    raw = yaml_text.read(path.read_text(encoding="utf-8"))
    found = raw.get("mix") if isinstance(raw, dict) else None
    return found if isinstance(found, dict) and isinstance(found.get("adapters"), dict) else None


@cache
def load(name: str) -> Profile:
    """The profile of this name, or in this file. Raises UnknownName with the known ones, BadConfig with file and field."""
    path = outside(name) if is_file_name(name) else PROFILES / f"{name}.yaml"
    if not paths.is_file(path):
        known = ", ".join(sorted(file.stem for file in PROFILES.glob("*.yaml")))
        raise UnknownName(
            f"No profile {name!r}. Known profiles: {known}. Set TWAINBOT_PROFILE or --profile to one of them, or to a file."
        )
    try:
        return parse(path.read_text(encoding="utf-8"), path)
    except UnicodeDecodeError as error:
        raise BadConfig(
            f"{path} is not UTF-8 text ({error.reason} at byte {error.start}). Save it as UTF-8."
        ) from error


def outside(name: str) -> Path:
    """The file of a profile that does not ship with the project; its folder is kept for its recipes."""
    path = Path(name).expanduser().resolve()
    if path.parent != PROFILES:
        if (PROFILES / f"{path.stem}.yaml").is_file() or not re.fullmatch(r"[a-z][\w-]*", path.stem):
            raise BadConfig(
                f"A profile cannot be called {path.stem!r}: its state lies in a folder of that name beside the project's own "
                f"profiles. Rename {path.name} in small letters, as no file of profiles/ is called."
            )
        _OUTSIDE[path.stem] = path.parent
    return path


def located(raw: dict[str, Any], place: Path) -> dict[str, Any]:
    """The raw profile with the paths of its sources looked for beside it; what is not there stays the project's."""
    sources = raw.get("sources")
    if not isinstance(sources, dict):
        return raw
    return {**raw, "sources": {name: _found(settings, place) for name, settings in sources.items()}}


def _found(settings: Any, place: Path) -> Any:
    if not isinstance(settings, dict):
        return settings
    found = {
        name: (place / value).resolve()
        for name in ("folder", "pinned", "mirror", "catalogue")
        if isinstance(value := settings.get(name), str) and "://" not in value and paths.exists(place / value)
    }
    urls = ("mirror", "catalogue")
    return {**settings, **{name: path.as_uri() if name in urls else str(path) for name, path in found.items()}}


def brought(raw: dict[str, Any], place: Path) -> dict[str, Any]:
    """The raw profile with the personas that its voices name, each read from personas/<name>.yaml beside it.

    Without weights of its own a batch of dialogues is spread evenly over the voices.
    """
    voices = raw.get("voices")
    if not isinstance(voices, list) or not all(isinstance(name, str) for name in voices):
        return raw
    own = [_persona(place / "personas" / f"{name}.yaml") for name in voices if name not in personas.shipped()]
    dialogues = raw.get("dialogues")
    if isinstance(dialogues, dict):
        settings = dialogues.get("settings") or {}
        raw = {**raw, "dialogues": {**dialogues, "settings": {"personas": dict.fromkeys(voices, 1.0), **settings}}}
    return {**raw, "brought": own}


def _persona(path: Path) -> Persona:
    if not paths.is_file(path):
        raise BadConfig(
            f"No persona is called {path.stem!r}: neither one of {', '.join(personas.shipped())} nor {path}. Write that "
            "file; docs/make-another-persona.md says how."
        )
    return personas.read(path.read_text(encoding="utf-8"), path.stem, str(path))


def parse(text: str, path: Path) -> Profile:
    """A profile from YAML text, with the environment's overrides applied."""
    try:
        raw = yaml_text.read(text)
        if not isinstance(raw, dict):
            raise BadConfig(f"{path} must hold a mapping. See profiles/sample.yaml.")
        placed = overridden(located({**raw, "name": path.stem, "brought": ()}, path.parent))
        return Profile.model_validate(brought(placed, path.parent))
    except yaml.YAMLError as error:
        raise BadConfig(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'profile'}: {fault['msg']}" for fault in error.errors()
        )
        raise BadConfig(f"{path} does not validate: {faults}.") from error


def overridden(raw: dict[str, Any]) -> dict[str, Any]:
    """The raw profile with what the environment replaces: mirror, weather service, feeds' URLs, base, recipes, generator.

    A door that the profile does not open stays shut, except that TWAINBOT_SATIRE_FEEDS may name further feeds.
    """
    changed = json.loads(json.dumps(raw, default=str))
    sources = changed.get("sources") if isinstance(changed.get("sources"), dict) else {}
    sources.update({name: {} for name, settings in sources.items() if settings is None})  # empty in YAML: off
    for variable, source, needs, setting in (
        ("TWAINBOT_GUTENBERG_URL", "gutenberg", "mirror", "mirror"),
        ("TWAINBOT_NWS_URL", "weather", "offices", "service"),
        ("TWAINBOT_NWS_ARCHIVE_URL", "weather", "offices", "archive"),
    ):
        door, value = sources.get(source), os.environ.get(variable)
        if value and isinstance(door, dict) and door.get(needs):
            door[setting] = value
    if os.environ.get("TWAINBOT_SATIRE_FEEDS"):
        satire = sources["satire"] = sources.get("satire") or {}
        satire["feeds"] = replaced_feeds(satire.get("feeds") or [], os.environ["TWAINBOT_SATIRE_FEEDS"])
    _name_model(changed.get("dialogues"), os.environ.get(MODEL))
    base, recipes = os.environ.get("TWAINBOT_BASE_MODEL"), os.environ.get("TWAINBOT_RECIPES")
    if base:
        changed["base"] = {"name": base}
    if recipes:
        changed["recipes"] = [name.strip() for name in recipes.split(",") if name.strip()]
    return changed


def _name_model(dialogues: Any, model: str | None) -> None:
    """TWAINBOT_LLM_MODEL replaces the generator's model, and is that of a judging service for which the profile names none."""
    if not model or not isinstance(dialogues, dict):
        return
    generator, judge = dialogues.get("generator"), dialogues.get("judge")
    if isinstance(generator, dict) and generator.get("backend", GRAMMAR) != GRAMMAR:
        generator["model"] = model
    # a local judge without a model is the profile's own base
    if isinstance(judge, dict) and judge.get("backend", GRAMMAR) not in (GRAMMAR, LOCAL):
        judge["model"] = judge.get("model") or model


def replaced_feeds(feeds: list[dict[str, Any]], named: str) -> list[dict[str, Any]]:
    """The profile's feeds with URLs from `name=url,name=url`. A name that the profile knows keeps its other settings."""
    known = {feed.get("name"): feed for feed in feeds if isinstance(feed, dict)}
    for pair in filter(None, (part.strip() for part in named.split(","))):
        name, equals, url = pair.partition("=")
        if not equals:
            raise BadConfig(f"TWAINBOT_SATIRE_FEEDS holds {pair!r}. Write name=url, separated by commas.")
        known[name] = {**known.get(name, {"name": name}), "url": url, "enabled": True}
    return list(known.values())


def current() -> Profile:
    """The profile that TWAINBOT_PROFILE names, `sample` where it is unset; its personas become the process's cast."""
    profile = load(os.environ.get("TWAINBOT_PROFILE") or "sample")
    personas.use(profile.brought, profile.voices)
    return profile
