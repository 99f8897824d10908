"""System prompts: short, one per persona, hashed."""

from __future__ import annotations

import pytest

from twainbot.dialogues import grammar, prompts
from twainbot.errors import UnknownName


@pytest.mark.parametrize("persona", prompts.personas())
def test_a_prompt_stays_within_forty_tokens(persona):
    # English runs at about 1.3 tokens a word: 30 words are 39 tokens
    assert len(prompts.system_prompt(persona).split()) <= 30


@pytest.mark.parametrize("persona", prompts.personas())
def test_a_prompt_names_the_program_and_demands_the_tool(persona):
    text = prompts.system_prompt(persona)
    assert "TwainBot" in text
    assert "weather tool before" in text


def test_every_persona_has_a_grammar_that_can_reply():
    assert all("reply" in grammar.load(persona).rules for persona in prompts.personas())
    assert prompts.personas()[0] == "twain"


def test_an_unknown_persona_is_refused_with_the_known_ones():
    with pytest.raises(UnknownName, match="twain"):
        prompts.system_prompt("shakespeare")


def test_the_hash_is_16_digits_differs_by_prompt_and_ignores_white_space_at_the_ends():
    hashes = {prompts.prompt_hash(text) for text in prompts.system_prompts().values()}
    assert len(hashes) == len(prompts.personas())
    assert {len(value) for value in hashes} == {16}
    assert prompts.prompt_hash(" a\n") == prompts.prompt_hash("a") != prompts.prompt_hash("b")


def test_the_disclaimer_says_synthetic_and_names_neither_author_as_writer():
    assert prompts.DISCLAIMER == "Synthetic: written by a grammar, not by Mark Twain or Benjamin Franklin."
