"""Weather dialogues and small talk out of frozen seeds: who says what, in which order. The words come from the grammars.

Every question frame, forecast and random seed is in the seed row, so the same seeds give the same dialogues.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from typing import Any

import polars as pl

from twainbot.dialogues import grammar, rows, speech
from twainbot.dialogues.rows import Turn, turn
from twainbot.records import DIALOGUE, frame

Payload = Mapping[str, Any]


def tool_calls(seeds: pl.DataFrame) -> pl.DataFrame:
    """One DIALOGUE for each seed of kind "tool_calls", sorted by id; kind is tool_calls or, where no call is, no_tool."""
    made: list[dict[str, Any]] = []
    for seed in rows.of_kind(seeds, "tool_calls"):
        payload = json.loads(seed["payload"])
        scenario = payload["scenario"]
        turns = _SCENARIOS[scenario](payload, random.Random(payload["rng"]))
        kind = "no_tool" if scenario == "no_tool" else "tool_calls"
        tag = payload["topic"] if scenario == "no_tool" else payload["asks"][0]["intent"]
        made.append(rows.dialogue(seed, kind, scenario, turns, [tag]))
    return frame(made, DIALOGUE)


def question(ask: Payload, rng: random.Random) -> str:
    """The user's question for an ask: its place and day stand in it exactly as the call will copy them."""
    words = {"place": ask["location"], "when": speech.when_phrase(ask["datetime"]), "day": ask["datetime"]}
    asked = grammar.load("questions").expand(f"{ask['frames']}@{ask['intent']}", words, rng)
    return asked.lower() if ask["frames"] == "casual" else asked


def _said(rule: str, ask: Payload, rng: random.Random) -> Turn:
    words = {"place": ask["location"], "when": speech.when_phrase(ask["datetime"]), "day": ask["datetime"]}
    return turn("user", grammar.load("questions").expand(rule, words, rng))


def _answered(persona: str, ask: Payload, rng: random.Random) -> list[Turn]:
    """Call, tool result, and the persona's reply to it, be it a forecast or a failure."""
    result = ask["result"]
    if "error" in result:
        reply = speech.failure_reply(persona, result, ask["location"], rng)
    else:
        reply = speech.forecast_reply(persona, result, ask["intent"], rng)
    return [rows.call(ask["location"], ask["datetime"]), turn("tool", rows.compact(result)), turn("assistant", reply)]


def _single(payload: Payload, rng: random.Random) -> list[Turn]:
    ask = payload["asks"][0]
    return [turn("user", question(ask, rng)), *_answered(payload["persona"], ask, rng)]


def _second_call(rule: str) -> Callable[[Payload, random.Random], list[Turn]]:
    def turns(payload: Payload, rng: random.Random) -> list[Turn]:
        second = payload["asks"][1]
        return [*_single(payload, rng), _said(rule, second, rng), *_answered(payload["persona"], second, rng)]

    return turns


def _failure(payload: Payload, rng: random.Random) -> list[Turn]:
    return _second_call("correction")(payload, rng) if len(payload["asks"]) > 1 else _single(payload, rng)


def _follow_up(payload: Payload, rng: random.Random) -> list[Turn]:
    turns = _single(payload, rng)
    ask = payload["asks"][0]
    for topic in payload["topics"]:
        reply = speech.again_reply(payload["persona"], ask["result"], topic, rng)
        turns += [_said(f"again@{topic}", ask, rng), turn("assistant", reply)]
    return turns


def _thanks(payload: Payload, rng: random.Random) -> list[Turn]:
    reply = grammar.load(payload["persona"]).expand("thanks", {}, rng)
    return [*_single(payload, rng), _said("thanks", payload["asks"][0], rng), turn("assistant", reply)]


def _clarify(payload: Payload, rng: random.Random) -> list[Turn]:
    ask, persona = payload["asks"][0], payload["persona"]
    which = grammar.load(persona).expand("which_town", {}, rng)
    opening = [turn("user", question(ask, rng)), turn("assistant", which), _said("here", ask, rng)]
    return [*opening, *_answered(persona, ask, rng)]


def _no_tool(payload: Payload, rng: random.Random) -> list[Turn]:
    chat = grammar.load("chat")
    day = payload["datetime"]
    words = {
        **payload["slots"],
        "persona": payload["persona"],
        "topic": payload["topic"],
        "when": speech.when_phrase(day),
        "day": day,
    }
    asked = chat.expand(f"ask@{payload['topic']}", words, rng)
    return [turn("user", asked), turn("assistant", chat.expand("reply", words, rng))]


_SCENARIOS: Mapping[str, Callable[[Payload, random.Random], list[Turn]]] = {
    "single": _single,
    "two_days": _second_call("then_when"),
    "two_places": _second_call("then_place"),
    "failure": _failure,
    "follow_up": _follow_up,
    "thanks": _thanks,
    "clarify": _clarify,
    "no_tool": _no_tool,
}
