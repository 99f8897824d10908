"""Lets a model answer the evaluation suites: the same prompts, tools and template for every arm. Scoring is twainbot/evals'.

After a well-formed call in a chat, the simulated weather tool answers and the model speaks again, as it would in use.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from resources import suites
from resources.language_model import LanguageModel
from twainbot.dialogues import prompts, weather
from twainbot.dialogues.tools import TOOLS
from twainbot.evals.tool_calls import parse_calls

TODAY = date(2026, 5, 1)  # the simulated tool's day: chats must not change with the calendar
CLIMATE = "oceanic"  # of places that the simulator does not list: eval places are kept out of it on purpose


@dataclass(frozen=True)
class Limits:
    """How many cases of each suite, how long a reply, how many at once."""

    tool_calls: int | None
    grounding: int | None
    chat: int | None
    max_new_tokens: int
    batch_size: int


def speak(model: LanguageModel, arm: str, limits: Limits, wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Rows of records.GENERATION for the wanted suites."""
    makers = {"tool_calls": calls, "grounding": grounded, "chat": chats}
    return [row for suite in wanted for row in makers[suite](model, arm, limits)]


def system() -> dict[str, Any]:
    """The default persona's system prompt as a message: all arms and recipes are asked as one."""
    return {"role": "system", "content": prompts.system_prompt(prompts.personas()[0])}


def user(text: str) -> dict[str, Any]:
    """A user's message."""
    return {"role": "user", "content": text}


def called(call: Mapping[str, Any]) -> dict[str, Any]:
    """An assistant's message that makes a call."""
    return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": dict(call)}]}


def answered(call: Mapping[str, Any], result: Mapping[str, Any]) -> dict[str, Any]:
    """A tool's message."""
    return {
        "role": "tool",
        "name": call["name"],
        "content": json.dumps(result, ensure_ascii=False, separators=(",", ":")),
    }


def row(
    case_id: str, suite: str, arm: str, prompt: str, reply: str, steps: Sequence[Mapping[str, Any]], **more: Any
) -> dict[str, Any]:
    """One row of records.GENERATION."""
    extra = {name: json.dumps(value, ensure_ascii=False) for name, value in more.items()}
    return {
        "case_id": case_id, "suite": suite, "arm": arm, "prompt": prompt, "reply": reply,
        "steps": json.dumps(list(steps), ensure_ascii=False), "expected": None, "result": None, **extra,
    }  # fmt: skip


def said(reply: str) -> list[dict[str, Any]]:
    """A reply as the only step of an exchange."""
    return [{"role": "assistant", "text": reply}]


def calls(model: LanguageModel, arm: str, limits: Limits) -> list[dict[str, Any]]:
    """First turns after prompts that do or do not need the tool."""
    cases = suites.cases("tool_calls", limits.tool_calls)
    replies = generate(model, [[system(), user(case["prompt"])] for case in cases], limits)
    return [
        row(case["id"], "tool_calls", arm, case["prompt"], reply, said(reply), expected=case["expected"])
        for case, reply in zip(cases, replies, strict=True)
    ]  # fmt: skip


def grounded(model: LanguageModel, arm: str, limits: Limits) -> list[dict[str, Any]]:
    """Answers after a given call and its given result."""
    cases = suites.cases("grounding", limits.grounding)
    contexts = []
    for case in cases:
        call = {"name": "get_forecast", "arguments": case["call"]}
        contexts.append([system(), user(case["prompt"]), called(call), answered(call, case["result"])])
    replies = generate(model, contexts, limits)
    return [
        row(case["id"], "grounding", arm, case["prompt"], reply, said(reply), result=case["result"])
        for case, reply in zip(cases, replies, strict=True)
    ]  # fmt: skip


def chats(model: LanguageModel, arm: str, limits: Limits) -> list[dict[str, Any]]:
    """Sample dialogues: a reply, and after a well-formed call the tool's answer and a second reply."""
    entries = suites.chat_prompts(limits.chat)
    opened = [[system(), user(suites.as_prompt(entry))] for entry in entries]
    first = generate(model, opened, limits)
    found = [next(iter(parse_calls(reply)[0]), None) for reply in first]
    usable = {n: call for n, call in enumerate(found) if call and call.get("name") == "get_forecast"}
    results = {n: forecast(call) for n, call in usable.items()}
    contexts = [[*opened[n], called(call), answered(call, results[n])] for n, call in usable.items()]
    second = dict(zip(usable, generate(model, contexts, limits), strict=True)) if contexts else {}
    rows = []
    for n, (entry, reply) in enumerate(zip(entries, first, strict=True)):
        steps: list[dict[str, Any]] = [{"role": "assistant", "text": reply, "call": usable.get(n)}]
        if n in usable:
            steps += [{"role": "tool", "text": json.dumps(results[n])}, {"role": "assistant", "text": second[n]}]
        name = entry["id"] if isinstance(entry, dict) else f"chat-{n:02d}"
        rows.append(row(name, "chat", arm, suites.as_prompt(entry), second.get(n, reply), steps, result=results.get(n)))
    return rows


def forecast(call: Mapping[str, Any]) -> dict[str, Any]:
    """What the simulated tool answers to a call; a failure object where the call makes no sense."""
    arguments = call.get("arguments") or {}
    location, when = str(arguments.get("location", "")), str(arguments.get("datetime", ""))
    if not location or not when:
        return weather.failure("unknown_location", location or "nowhere", when or "no day")
    return weather.simulate(location, when, TODAY, seed=1835, climate_elsewhere=CLIMATE)


def generate(model: LanguageModel, contexts: Sequence[Sequence[Mapping[str, Any]]], limits: Limits) -> list[str]:
    """Greedy replies, in order."""
    return model.generate(contexts, TOOLS, max_new_tokens=limits.max_new_tokens, batch_size=limits.batch_size)
