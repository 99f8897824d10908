"""Turns and rows of dialogues: their shape, identity and origin. What is said in them is talk.py's and transfer.py's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import polars as pl

from twainbot.dialogues import prompts
from twainbot.dialogues.grammar import data_hash
from twainbot.dialogues.tools import STORED_TO_SERVED, TOOLS
from twainbot.errors import BadInput

GENERATOR = "grammar-v1"
TOOL_NAME = next(iter(STORED_TO_SERVED))

Turn: TypeAlias = dict[str, Any]


def compact(value: Mapping[str, Any]) -> str:
    """JSON without spaces after commas and colons: every tool result is read by a small model, token by token."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def turn(role: str, content: str) -> Turn:
    """A turn without a call. `role`: system, user, assistant or tool."""
    return {"role": role, "content": content, "tool_call": None}


def call(location: str, datetime: str) -> Turn:
    """An assistant turn that asks the house's tool for a forecast, the arguments in the schema's order."""
    return tool_call(TOOL_NAME, {"location": location, "datetime": datetime})


def tool_call(name: str, arguments: Mapping[str, Any]) -> Turn:
    """An assistant turn that calls the tool of that stored name."""
    text = json.dumps(dict(arguments), ensure_ascii=False)
    return {"role": "assistant", "content": "", "tool_call": {"tool_name": name, "arguments": text}}


def system(persona: str, today: str | None = None) -> Turn:
    """The persona's system prompt, with today in it where the dialogue states one ("Tuesday, 6 October 2026")."""
    prompt = prompts.system_prompt(persona)
    return turn("system", f"{prompt} Today is {today}." if today else prompt)


def origin(persona: str, seed: int, parents: Sequence[str]) -> str:
    """The origin of a synthetic row as JSON: generator and its data, no model, prompt hash, seed, parent ids."""
    return json.dumps(
        {
            "generator": GENERATOR,
            "data": data_hash(),
            "model": None,
            "prompt_hash": prompts.prompt_hash(prompts.system_prompt(persona)),
            "seed": seed,
            "parents": list(parents),
        }
    )


def told_origin(row: Mapping[str, Any]) -> dict[str, Any]:
    """What the row's origin says; {} where it has none that can be read."""
    try:
        told = json.loads(row["origin"] or "{}")
    except ValueError:
        return {}
    return told if isinstance(told, dict) else {}


def dialogue(
    seed: Mapping[str, Any],
    kind: str,
    scenario: str,
    turns: Iterable[Turn],
    tags: Sequence[str],
    tools: Sequence[Mapping[str, Any]] = TOOLS,
    today: str | None = None,
) -> dict[str, Any]:
    """One DIALOGUE row of a seed row: the persona's system prompt first, then the turns; persona and scenario lead the tags.

    `tools`: the schemas that the assistant was offered. `today`: the day that its system prompt states, if any.
    """
    payload = json.loads(seed["payload"])
    persona = payload["persona"]
    return {
        "conversation_id": seed["seed_id"],
        "kind": kind,
        "scenario": scenario,
        "tools": json.dumps(tools, ensure_ascii=False),
        "turns": [system(persona, today), *turns],
        "style_tags": [persona, scenario, *tags],
        "seed_id": seed["seed_id"],
        "origin": origin(persona, payload["rng"], seed["chunk_ids"]),
        "disclaimer": prompts.disclaimer(),
    }


def of_kind(seeds: pl.DataFrame, kind: str) -> list[dict[str, Any]]:
    """The seed rows of one kind, sorted by id. Raises BadInput where a column is missing."""
    missing = {"seed_id", "kind", "chunk_ids", "payload"} - set(seeds.columns)
    if missing:
        raise BadInput(f"Seeds lack the columns {sorted(missing)}. Build them with seeds.make_seeds.")
    return seeds.filter(pl.col("kind") == kind).sort("seed_id").to_dicts()


def tool_results(turns: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The results of all tool turns, in order; one that is no JSON object counts as {}."""
    found: list[dict[str, Any]] = []
    for item in turns:
        if item["role"] == "tool":
            try:
                value = json.loads(item["content"] or "")
            except (ValueError, RecursionError):
                value = None
            found.append(value if isinstance(value, dict) else {})
    return found
