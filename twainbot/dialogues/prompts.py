"""System prompts by persona, their hashes, and the disclaimer. The words are data: prompts.yaml, and a profile's personas."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from twainbot import personas as cast

DISCLAIMER = "Synthetic: written by a grammar, not by Mark Twain or Benjamin Franklin."


def system_prompts() -> dict[str, str]:
    """The system prompts by persona; the first persona is the default one."""
    return {name: each.system_prompt for name, each in cast.known().items()}


def personas() -> tuple[str, ...]:
    """The personas that a grammar exists for, the default one first."""
    return tuple(cast.known())


def persona_of(tags: Sequence[str]) -> str:
    """The persona among a dialogue's tags; the default one where none is of ours."""
    return next((tag for tag in tags if tag in personas()), personas()[0])


def system_prompt(persona: str) -> str:
    """The system prompt of a persona. Raises UnknownName listing the known ones."""
    return cast.of(persona).system_prompt


def disclaimer() -> str:
    """What stands in every row that the grammar wrote: whose words they are not."""
    return cast.disclaimed(DISCLAIMER)


def prompt_hash(text: str) -> str:
    """16 hex digits of the prompt's SHA-256, white space at its ends aside."""
    return hashlib.sha256(text.strip().encode()).hexdigest()[:16]
