"""System prompts by persona, their hashes, and the disclaimer. The words themselves are data: prompts.yaml."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from importlib import resources

import yaml

from twainbot.errors import UnknownName

DISCLAIMER = "Synthetic: written by a grammar, not by Mark Twain or Benjamin Franklin."


@cache
def system_prompts() -> dict[str, str]:
    """The shipped system prompts by persona, in the file's order; the first persona is the default one."""
    return yaml.safe_load((resources.files("twainbot.dialogues") / "prompts.yaml").read_text("utf-8"))


def personas() -> tuple[str, ...]:
    """The personas that a grammar exists for, the default one first."""
    return tuple(system_prompts())


def persona_of(tags: Sequence[str]) -> str:
    """The persona among a dialogue's tags; the default one where none is of ours."""
    return next((tag for tag in tags if tag in personas()), personas()[0])


def system_prompt(persona: str) -> str:
    """The system prompt of a persona. Raises UnknownName listing the known ones."""
    prompts = system_prompts()
    if persona not in prompts:
        raise UnknownName(f"No persona is called {persona!r}; there are {list(prompts)}. Add it to prompts.yaml.")
    return prompts[persona]


def prompt_hash(text: str) -> str:
    """16 hex digits of the prompt's SHA-256, white space at its ends aside."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]
