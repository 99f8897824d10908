"""Who may speak. The shipped personas are personas.yaml's; a profile may bring further ones, each a file of data.

What a persona of a profile does not say itself it takes from the shipped one that it is `like`. A process has one cast,
which `use` sets before anything is written: the default persona first. Nothing here reads a profile; twainbot_assets does.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from twainbot import yaml_text
from twainbot.errors import BadConfig, UnknownName
from twainbot.styles import STYLES

DEVICES = ("tall_tale", "understatement", "aphorism", "mock_news")
SHIPPED_AUTHORS = "Mark Twain or Benjamin Franklin"  # as the disclaimers name them
HOUSE_STYLE = STYLES[0]  # of passages that nobody gave a style: the default persona's

Entry = TypeVar("Entry")


class Persona(BaseModel):
    """One persona. Rules of the grammars are blocks of lines, as twainbot/dialogues/grammar.py reads them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = Field(pattern=r"^[a-z][a-z_]*$")
    system_prompt: str = Field(min_length=1)
    author: str = ""  # whose manner it is; the disclaimers say that this person wrote nothing here
    master: str = ""  # how a request names whoever is imitated; empty: the author
    style: str = Field(pattern=r"^[a-z][a-z_]*$")
    names: tuple[str, ...] = ()
    like: str = ""  # the shipped persona whose words fill in; of a shipped one, itself
    numbers_in_words: bool = True
    devices: dict[str, int] = {}
    voice: str = ""  # for language models that write or judge; empty: the system prompt
    manner: str = ""  # words of its manner, a regular expression as in dialogues/manner.yaml
    swaps: dict[str, str] = {}  # words for words, as in dialogues/swaps.yaml
    honest: dict[str, tuple[str, ...]] = {}  # lines by rule, as in dialogues/honest.yaml
    grammar: dict[str, str] = {}  # rules of dialogues/grammars/<like>.yaml that it words itself
    pieces: dict[str, str] = {}  # the same of piece_<like>.yaml
    lines: dict[str, str] = {}  # rules `<rule>@<like>` of the grammars that all share, under the bare name

    @field_validator("manner")
    @classmethod
    def _is_a_pattern(cls, manner: str) -> str:
        try:
            re.compile(manner)
        except re.error as error:
            raise ValueError(f"{manner[:60]!r} is no regular expression: {error}") from error
        return manner

    @model_validator(mode="after")
    def _is_whole(self) -> Persona:
        if not (self.author or self.master):
            raise ValueError("author or master must say whose manner it is")
        unknown = sorted(set(self.devices) - set(DEVICES))
        if unknown or not any(weight > 0 for weight in (self.devices or {"": 1}).values()):
            raise ValueError(f"devices={self.devices}: weigh at least one of {', '.join(DEVICES)}, no others")
        return self

    @property
    def called(self) -> str:
        """How a request names whoever is imitated."""
        return self.master or self.author

    @property
    def digest(self) -> str:
        """12 hex digits over everything that it says."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:12]


@cache
def shipped() -> Mapping[str, Persona]:
    """The personas of the project by name, the default one first."""
    facts = yaml.safe_load((resources.files("twainbot") / "personas.yaml").read_text("utf-8"))
    said = yaml.safe_load((resources.files("twainbot.dialogues") / "prompts.yaml").read_text("utf-8"))
    return {name: Persona(name=name, like=name, system_prompt=prompt, **facts[name]) for name, prompt in said.items()}


def read(text: str, name: str, where: str) -> Persona:
    """A persona of a profile from its YAML text. Raises BadConfig naming the file, the fields and what is wrong."""
    try:
        raw = yaml_text.read(text)
    except yaml.YAMLError as error:
        raise BadConfig(f"{where} is not YAML: {error}") from error
    if not isinstance(raw, dict):
        raise BadConfig(f"{where} must hold a mapping. See docs/make-another-persona.md.")
    if name in shipped():
        raise BadConfig(f"{where} has the name of a persona that ships with the project. Call the file otherwise.")
    if (like := raw.get("like")) not in shipped():
        raise BadConfig(f"{where} is like {like!r}. Say which of {', '.join(shipped())} fills in what it does not say.")
    try:
        made = Persona.model_validate({"names": [name], **raw, "name": name})
    except ValidationError as error:
        faults = [f"{'.'.join(map(str, fault['loc'])) or 'persona'}: {fault['msg']}" for fault in error.errors()]
        raise BadConfig(f"{where} does not validate: {'; '.join(faults)}.") from error
    return made if made.devices else made.model_copy(update={"devices": shipped()[made.like].devices})


class _Cast:
    """The personas of this process."""

    def __init__(self) -> None:
        self.own: tuple[Persona, ...] = ()
        self.voices: tuple[str, ...] = ()
        self.known: Mapping[str, Persona] | None = None
        self.stamp = ""


_CAST = _Cast()


def use(own: Iterable[Persona] = (), voices: Sequence[str] = ()) -> None:
    """Set the cast: `own` beside the shipped ones. `voices`: who speaks, the default one first; empty: the shipped cast."""
    brought, wanted = tuple(own), tuple(voices)
    if (brought, wanted) == (_CAST.own, _CAST.voices):
        return
    everybody = {**shipped(), **{each.name: each for each in brought}}
    unknown = sorted(set(wanted) - set(everybody))
    if unknown:
        raise UnknownName(f"No persona is called {', '.join(unknown)}; there are {', '.join(everybody)}.")
    order = dict.fromkeys((*wanted, *(each.name for each in brought), *everybody)) if wanted else everybody
    _CAST.own, _CAST.voices = brought, wanted
    _CAST.known = {name: everybody[name] for name in order}
    _CAST.stamp = "|".join((*(each.digest for each in brought), *wanted))


def join(more: Iterable[Persona]) -> None:
    """Add personas that are not known yet, as a released bundle brings them. The default one stays."""
    new = [each for each in more if each.name not in known()]
    use((*_CAST.own, *new), _CAST.voices)


def known() -> Mapping[str, Persona]:
    """Everybody by name, the default persona first."""
    return shipped() if _CAST.known is None else _CAST.known


def own() -> tuple[Persona, ...]:
    """Those that do not ship with the project."""
    return _CAST.own


def stamp() -> str:
    """Names the cast; empty for the shipped one. What is kept of personas is kept by it."""
    return _CAST.stamp


def first() -> Persona:
    """The default persona."""
    return next(iter(known().values()))


def of(name: str) -> Persona:
    """The persona of this name. Raises UnknownName listing the known ones."""
    if name not in known():
        raise UnknownName(f"No persona is called {name!r}; there are {list(known())}. Add it to prompts.yaml.")
    return known()[name]


def said_for(table: Mapping[str, Entry], name: str) -> Entry:
    """What a table by persona holds for this one, else for the shipped one that it is like, else for the default one."""
    like = known()[name].like if name in known() else ""
    found = next((each for each in (name, like, first().name, first().like) if each in table), None)
    return table[found if found is not None else next(iter(shipped()))]


def speaking() -> list[Persona]:
    """Those that the profile lets speak; without a choice the shipped ones."""
    return [known()[name] for name in _CAST.voices or shipped()]


def styles() -> tuple[str, ...]:
    """The closed vocabulary of styles: the project's, and those that further personas bring."""
    return tuple(dict.fromkeys((*STYLES, *(each.style for each in own()))))


def house_style(style: str) -> str:
    """The style of a source's passages where nobody says otherwise: the default persona's in place of the house's own."""
    return first().style if style == HOUSE_STYLE else style


def authors() -> list[str]:
    """Who wrote nothing of what is synthetic here, though it is in their manner."""
    return [each.author for each in speaking() if each.author]


def disclaimed(sentence: str) -> str:
    """A disclaimer that names the authors of this cast in place of the shipped ones."""
    return sentence.replace(SHIPPED_AUTHORS, " or ".join(authors()) or "any person") if _CAST.voices else sentence


def naming() -> re.Pattern[str]:
    """What finds the words by which a prompt names a persona."""
    return _naming(tuple(name for each in known().values() for name in each.names))


@cache
def _naming(names: tuple[str, ...]) -> re.Pattern[str]:
    words = "|".join(re.escape(name).replace(r"\*", r"\w*") for name in names)
    return re.compile(rf"\b(?:{words})\b", re.IGNORECASE)


def as_data(persona: Persona) -> dict[str, Any]:
    """A persona as JSON values, without what it does not say."""
    return persona.model_dump(mode="json", exclude_defaults=True)
