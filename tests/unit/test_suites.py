"""Evaluation suites: whole, evenly thinned, and every item known to the gate that keeps them out of training."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resources import suites
from tests.examples import examples
from twainbot.errors import BadConfig


@pytest.mark.parametrize("suite", ["tool_calls", "grounding"])
def test_a_suite_has_cases_with_ids_of_their_own_and_prompts(suite):
    found = suites.cases(suite)
    assert len({case["id"] for case in found}) == len(found) >= 59
    assert all(case["prompt"].strip() for case in found)


def test_a_limit_takes_cases_evenly_over_the_file():
    everything = suites.cases("tool_calls")
    some = suites.cases("tool_calls", 8)
    places = [everything.index(case) for case in some]
    assert places == [number * len(everything) // 8 for number in range(8)]


@settings(max_examples=examples(50), deadline=None)
@given(st.lists(st.integers(), max_size=30), st.integers(0, 40) | st.none())
def test_thinning_keeps_order_and_never_exceeds_the_limit(items, limit):
    found = suites.spread(items, limit)
    assert len(found) == min(len(items), len(items) if limit is None else limit)
    remaining = iter(items)
    assert all(any(item == other for other in remaining) for item in found)


def test_no_item_of_any_suite_is_missing_from_the_texts_that_never_train():
    texts = suites.eval_texts()
    wanted = {case["prompt"] for suite in ("tool_calls", "grounding") for case in suites.cases(suite)}
    wanted |= {suites.as_prompt(prompt) for prompt in suites.chat_prompts()}
    assert wanted <= set(texts.values())
    held = "\n".join(texts.values())
    assert all(task["statement"] in held and task["canonical_solution"] in held for task in suites.coding())
    assert all(paragraph in held for paragraph in suites.neutral_text().split("\n\n"))


def test_humaneval_counts_where_it_is_installed():
    texts = suites.eval_texts()
    assert sum(item.startswith("humaneval/") for item in texts) == len(suites.humaneval())


@pytest.mark.parametrize("entry", ["Will it rain?", {"prompt": "Will it rain?", "tags": []}])
def test_a_chat_prompt_is_its_words(entry):
    assert suites.as_prompt(entry) == "Will it rain?"


@pytest.mark.parametrize(
    ("text", "sentence"), [(None, "cannot be read"), ("cases: [", "cannot be read"), ("- a", "must hold a mapping")]
)
def test_a_suite_that_is_missing_or_broken_is_named(text, sentence, tmp_path, monkeypatch):
    monkeypatch.setattr(suites, "FOLDER", tmp_path)
    if text is not None:
        (tmp_path / "tool_calls.yaml").write_text(text)
    with pytest.raises(BadConfig, match=rf"tool_calls.yaml {sentence}"):
        suites.cases("tool_calls")
