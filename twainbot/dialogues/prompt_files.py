"""The versioned prompts in prompts/*.md and the controls beside them. System prompts of the personas are prompts.py's.

A file has front matter (name, version, kind), then a part headed `# system` and one headed `# user`. Its hash goes into
the origin of whatever is written from it.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from string import Template
from typing import Any

import yaml

from twainbot import personas, yaml_text
from twainbot.dialogues.prompts import prompt_hash
from twainbot.errors import BadConfig, UnknownName

FOLDER = "twainbot/dialogues/prompts"
_FORM = re.compile(r"---\n(?P<front>.*?)\n---\n(?:# system\n(?P<system>.*?))?# user\n(?P<user>.*)", re.DOTALL)


@dataclass(frozen=True)
class Prompt:
    """One prompt file. `rewrites`: the roles whose turns are written anew. `digest`: 16 hex digits of the file's text."""

    name: str
    version: int
    kind: str
    rewrites: tuple[str, ...]
    system: str
    user: str
    digest: str

    @property
    def label(self) -> str:
        """Name and version, as `style_transfer@1`."""
        return f"{self.name}@{self.version}"

    @property
    def path(self) -> str:
        """The file, from the project's root."""
        return f"{FOLDER}/{self.name}.md"

    def messages(self, **words: str) -> tuple[tuple[str, str], ...]:
        """The prompt as messages, the words filled in. Raises BadConfig where the file names one that is not given."""
        try:
            user = Template(self.user).substitute(words)
        except (KeyError, ValueError) as error:
            raise BadConfig(f"{self.path} has a blank that nothing fills: {error}. Known: {sorted(words)}.") from error
        return (*((("system", self.system),) if self.system else ()), ("user", user))


@dataclass(frozen=True)
class Controls:
    """How one reply is to sound."""

    tone: str
    length: str
    device: str


@cache
def load(name: str) -> Prompt:
    """The prompt of this name. Raises UnknownName with the known ones, BadConfig where the file has another form."""
    folder = resources.files("twainbot.dialogues") / "prompts"
    known = sorted(item.name.removesuffix(".md") for item in folder.iterdir() if item.name.endswith(".md"))
    if name not in known:
        raise UnknownName(f"No prompt is called {name!r}; there are {known}. Add {FOLDER}/{name}.md.")
    return parse((folder / f"{name}.md").read_text("utf-8"), name)


def parse(text: str, name: str) -> Prompt:
    """A prompt from its file's text."""
    match = _FORM.fullmatch(text)
    try:
        read = yaml_text.read(match["front"]) if match else None
    except yaml.YAMLError as error:
        raise BadConfig(f"The front matter of {FOLDER}/{name}.md is not YAML: {error}.") from error
    front: dict[str, Any] = read if isinstance(read, dict) else {}
    if match is None or not {"name", "version", "kind"} <= set(front) or type(front["version"]) is not int:
        raise BadConfig(
            f"{FOLDER}/{name}.md needs front matter with name, version and kind, then `# system` and `# user`. "
            f"See {FOLDER}/judge.md."
        )
    roles = tuple(role.strip() for role in str(front.get("rewrites", "")).split(",") if role.strip())
    system, user = (match["system"] or "").strip(), match["user"].strip()
    return Prompt(str(front["name"]), int(front["version"]), str(front["kind"]), roles, system, user, prompt_hash(text))


@cache
def _controls() -> Mapping[str, Any]:
    return yaml.safe_load((resources.files("twainbot.dialogues") / "prompts" / "controls.yaml").read_text("utf-8"))


def draw(rng: random.Random) -> Controls:
    """Tone, length and device by these random numbers, each value as likely as any other."""
    lists = _controls()
    return Controls(rng.choice(lists["tones"]), rng.choice(lists["lengths"]), rng.choice(lists["devices"]))


def voice(persona: str, system_prompt: str) -> str:
    """How a persona speaks; one without an entry in controls.yaml is described by its own system prompt."""
    own = personas.known()[persona].voice if persona in personas.known() else ""
    return own or _controls()["voices"].get(persona, system_prompt)
