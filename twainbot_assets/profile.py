"""A profile: what to harvest, how much to write, which base. One YAML file in profiles/, strict and frozen.

Sections that a pure package owns (chunking, screening, dedupe, dialogues, splits) are checked by that package's own
settings class when they are used; here they must only be known sections.
"""

from __future__ import annotations

import hashlib
import json
import os
from functools import cache
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resources.home import PROJECT
from twainbot.errors import BadConfig, UnknownName

SOURCES = ("gutenberg", "satire", "jokes", "weather", "transcripts", "local")
PROFILES = PROJECT / "profiles"


class Strict(BaseModel):
    """Frozen, and refuses keys that it does not know."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class SourceSettings(Strict):
    """Where one source's units come from. `folder`: one file a unit. `mirror`: Gutenberg, by pinned works and authors."""

    folder: str | None = None
    mirror: str | None = None
    works: tuple[int, ...] = ()
    authors: dict[str, str] = {}  # surname as a header prints it -> style
    only: tuple[str, ...] = ()  # unit keys; empty: all
    max_units: int = Field(default=99, ge=1, le=99)  # 100 keys and Dagster no longer checks fan-in staleness
    max_passages: int | None = Field(default=None, ge=1)  # per unit; None: all
    delay_s: float = Field(default=2.0, ge=0.0)

    @model_validator(mode="after")
    def one_place(self) -> SourceSettings:
        """A source is a folder or a mirror, never both."""
        if self.folder and self.mirror:
            raise ValueError(f"folder={self.folder!r} and mirror={self.mirror!r} cannot both hold one source's units")
        return self


class BaseSettings(Strict):
    """The base model: `tiny-random`, `smollm2-135m-instruct` (out of its wheel), a local folder, or a Hub model's name."""

    name: str
    revision: str | None = None
    template: str | None = None  # a file stem of training/templates/; None: the one that fits the base


class DialogueBatches(Strict):
    """How many batches to write, and what each holds."""

    batches: int = Field(ge=1, le=99)
    seed: int = 1835
    settings: dict[str, Any] = {}


class EvaluationSettings(Strict):
    """How many cases of each suite are generated for each arm; None takes all."""

    tool_calls: int | None = Field(default=None, ge=1)
    grounding: int | None = Field(default=None, ge=1)
    chat: int | None = Field(default=None, ge=1)
    coding: int | None = Field(default=None, ge=1)
    perplexity_tokens: int = Field(default=4096, ge=64)
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
    trainer: Literal["subprocess", "inline"] = "subprocess"
    volume: Volume
    max_rejected_share: float = Field(default=0.5, ge=0.0, le=1.0)

    @model_validator(mode="after")
    def known_names(self) -> Profile:
        """Sources are of the closed set; recipes have a file."""
        unknown = sorted(set(self.sources) - set(SOURCES))
        if unknown:
            raise ValueError(f"unknown sources {unknown}; known: {', '.join(SOURCES)}")
        absent = [name for name in self.recipes if not recipe_path(self.name, name).is_file()]
        if absent:
            raise ValueError(f"recipes {absent} have no file in training/configs/{self.name}/")
        return self

    def section_hash(self, name: str) -> str:
        """Data version of one section, as `sources/settings_<name>` reports it."""
        section = getattr(self, name)
        plain = section.model_dump(mode="json") if isinstance(section, BaseModel) else section
        return hashlib.sha256(json.dumps(plain, sort_keys=True, default=str).encode()).hexdigest()[:16]


def recipe_path(profile: str, recipe: str) -> Path:
    """The YAML file of a recipe."""
    return PROJECT / "training" / "configs" / profile / f"{recipe}.yaml"


@cache
def load(name: str) -> Profile:
    """The profile of this name. Raises UnknownName with the known ones, BadConfig with file and field."""
    path = PROFILES / f"{name}.yaml"
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in PROFILES.glob("*.yaml")))
        raise UnknownName(
            f"No profile {name!r}. Known profiles: {known}. Set TWAINBOT_PROFILE or --profile to one of them."
        )
    return parse(path.read_text(encoding="utf-8"), path)


def parse(text: str, path: Path) -> Profile:
    """A profile from YAML text, with the environment's overrides applied."""
    try:
        raw = yaml.load(text, yaml.CSafeLoader)  # a tenth of the pure parser's time
        if not isinstance(raw, dict):
            raise BadConfig(f"{path} must hold a mapping. See profiles/sample.yaml.")
        return Profile.model_validate(overridden({**raw, "name": path.stem}))
    except yaml.YAMLError as error:
        raise BadConfig(f"{path} is not YAML: {error}") from error
    except ValidationError as error:
        faults = "; ".join(
            f"{'.'.join(map(str, fault['loc'])) or 'profile'}: {fault['msg']}" for fault in error.errors()
        )
        raise BadConfig(f"{path} does not validate: {faults}.") from error


def overridden(raw: dict[str, Any]) -> dict[str, Any]:
    """The raw profile with TWAINBOT_GUTENBERG_URL and TWAINBOT_BASE_MODEL put in where the profile uses those doors."""
    changed = json.loads(json.dumps(raw, default=str))
    mirror = os.environ.get("TWAINBOT_GUTENBERG_URL")
    sources = changed.get("sources")
    gutenberg = sources.get("gutenberg") if isinstance(sources, dict) else None
    if mirror and isinstance(gutenberg, dict) and gutenberg.get("mirror"):
        gutenberg["mirror"] = mirror
    base = os.environ.get("TWAINBOT_BASE_MODEL")
    if base:
        changed["base"] = {"name": base}
    return changed


def current() -> Profile:
    """The profile that TWAINBOT_PROFILE names, `sample` where it is unset."""
    return load(os.environ.get("TWAINBOT_PROFILE") or "sample")
