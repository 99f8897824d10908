"""Preference pairs: a sound reply of a dialogue against the same reply with one named flaw. Grading is feedback.py's.

Each flaw is made on purpose and is one that quality.py must find; a test plants each and runs the gate on it.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import polars as pl

from twainbot.dialogues import rows, speech, weather
from twainbot.dialogues.rows import Turn
from twainbot.dialogues.tools import TOOLS, call_arguments, served_name
from twainbot.records import PREFERENCE, frame

FLAWS = (
    "wrong_number",
    "invented_alert",
    "swapped_high_low",
    "flat_voice",
    "forecast_despite_failure",
    "no_call",
    "needless_call",  # as often as no_call: alone that one taught a small model to call for everything
)
_ALERTS = ("Tornado Warning", "Blizzard Warning", "Flash Flood Warning", "Hurricane Watch", "Red Flag Warning")

Pair: TypeAlias = "tuple[list[Turn], str, str] | None"  # prompt turns, chosen, rejected; None where the flaw cannot be


def hermes(call: Mapping[str, Any]) -> str:
    """A stored tool call as the text that a model writes: Hermes tags, served name, arguments as an object."""
    body = {"name": served_name(call["tool_name"]), "arguments": call_arguments(call)}
    return f"<tool_call>\n{json.dumps(body, ensure_ascii=False)}\n</tool_call>"


def contrastive(seeds: pl.DataFrame, dialogues: pl.DataFrame) -> pl.DataFrame:
    """One PREFERENCE for each contrastive seed whose flaw some dialogue can bear, sorted by id.

    The pair keeps the dialogue's seed_id, so both fall into one split. No dialogue serves one flaw twice.
    """
    talks = dialogues.filter(pl.col("kind").is_in(["tool_calls", "no_tool"])).sort("conversation_id").to_dicts()
    pool = [row for row in talks if _is_plain(row)]
    used: set[tuple[str, str]] = set()
    made: list[dict[str, Any]] = []
    for seed in rows.of_kind(seeds, "contrastive"):
        payload = json.loads(seed["payload"])
        start = int(payload["pick"] * len(pool))
        for row in pool[start:] + pool[:start]:
            if (row["conversation_id"], payload["flaw"]) in used:
                continue
            pair = _MAKERS[payload["flaw"]](row, random.Random(payload["rng"]))
            if pair is not None:
                used.add((row["conversation_id"], payload["flaw"]))
                made.append(_preference(seed, payload, row, pair))
                break
    return frame(made, PREFERENCE)


def _is_plain(row: Mapping[str, Any]) -> bool:
    """Whether the house's tool alone is offered, as a pair's training takes for granted, each call has its own answer, and
    no result lacks a figure: elsewhere a moved number may still be true."""
    results = rows.tool_results(row["turns"])
    whole = all("error" in result or None not in result.values() for result in results)
    return whole and row["scenario"] != "parallel" and row["tools"] == json.dumps(TOOLS)


def _preference(
    seed: Mapping[str, Any], payload: Mapping[str, Any], row: Mapping[str, Any], pair: Any
) -> dict[str, Any]:
    prompt, chosen, rejected = pair
    parents = [row["conversation_id"], *json.loads(row["origin"])["parents"]]
    return {
        "preference_id": seed["seed_id"],
        "prompt": prompt,
        "chosen": chosen,
        "rejected": rejected,
        "flaw": payload["flaw"],
        "seed_id": row["seed_id"],
        "origin": rows.origin(row["style_tags"][0], payload["rng"], parents),
    }


def _first_reply(turns: Sequence[Turn]) -> tuple[int, dict[str, Any]] | None:
    """Place of the reply after the first tool result, and that result."""
    for at, item in enumerate(turns[:-1]):
        if item["role"] == "tool" and turns[at + 1]["role"] == "assistant":
            return at + 1, rows.tool_results([item])[0]
    return None


def _grounded(change: Callable[[str, dict[str, Any], random.Random], str | None]) -> Callable[..., Pair]:
    """A pair whose rejected reply is a change of the sound one; none where the tool failed or nothing changes."""

    def make(row: Mapping[str, Any], rng: random.Random) -> Pair:
        found = _first_reply(row["turns"])
        if found is None or "error" in found[1]:
            return None
        at, result = found
        chosen = row["turns"][at]["content"]
        rejected = change(chosen, result, rng)
        return None if rejected in (None, chosen) else (row["turns"][:at], chosen, str(rejected))

    return make


def _wrong_number(reply: str, result: dict[str, Any], rng: random.Random) -> str | None:
    """The high moved by 6 to 19 degrees: far enough that no rounding or unit explains it."""
    high = str(result["high_f"])
    wrong = result["high_f"] + rng.choice((-1, 1)) * rng.randrange(6, 20)
    if wrong in _values(result):
        return None
    return re.sub(rf"(?<![\d-]){re.escape(high)}(?=°| degrees)", str(wrong), reply, count=1)


def _values(result: Mapping[str, Any]) -> list[int]:
    return [result[key] for key in ("high_f", "low_f", "precipitation_chance", "wind_mph")]


def _invented_alert(reply: str, result: dict[str, Any], rng: random.Random) -> str | None:
    if result["alerts"] or "alert" in reply.lower():
        return None
    return f"{reply} The weather office has posted a {rng.choice(_ALERTS)}."


def _swapped(reply: str, result: dict[str, Any], _rng: random.Random) -> str | None:
    high, low = str(result["high_f"]), str(result["low_f"])
    pattern = re.compile(rf"(?<![\d-])({re.escape(high)}|{re.escape(low)})(?=°| degrees)")
    if len(pattern.findall(reply)) != 2:
        return None
    return pattern.sub(lambda match: low if match[1] == high else high, reply)


def flat(result: Mapping[str, Any]) -> str:
    """The forecast as a form fills it in: every figure, nobody's voice."""
    wind = f"Wind {result['wind_direction']} {result['wind_mph']} mph."
    temps = f"High {result['high_f']}°F, low {result['low_f']}°F."
    chance = f"Precipitation {result['precipitation_chance']}%."
    return f"{result['location']}, {result['datetime']}: {result['condition']}. {temps} {chance} {wind}"


def _flat_voice(_reply: str, result: dict[str, Any], _rng: random.Random) -> str | None:
    return None if result["alerts"] else flat(result)


def _despite_failure(row: Mapping[str, Any], rng: random.Random) -> Pair:
    found = _first_reply(row["turns"])
    if found is None or "error" not in found[1]:
        return None
    at = found[0]
    invented = _invention(call_arguments(row["turns"][at - 2]["tool_call"]), rng)
    rejected = speech.forecast_reply(row["style_tags"][0], invented, "general", rng)
    return row["turns"][:at], row["turns"][at]["content"], rejected


def _no_call(row: Mapping[str, Any], rng: random.Random) -> Pair:
    at = next((index for index, item in enumerate(row["turns"]) if item["tool_call"] is not None), None)
    if at is None:
        return None
    call = row["turns"][at]["tool_call"]
    rejected = speech.forecast_reply(row["style_tags"][0], _invention(call_arguments(call), rng), "general", rng)
    return row["turns"][:at], hermes(call), rejected


def _needless_call(row: Mapping[str, Any], rng: random.Random) -> Pair:
    """Where the sound first answer is words (small talk, or a question back), a call with a place nobody named."""
    turns = row["turns"]
    at = next(index for index, item in enumerate(turns) if item["role"] == "assistant")
    if turns[at]["tool_call"] is not None:
        return None
    said = " ".join(item["content"] or "" for item in turns[1:at])
    place = rng.choice([place for place in weather.places() if place.town not in said])
    day = rng.choice(("today", "tomorrow", "tonight"))
    return turns[:at], turns[at]["content"], hermes(rows.call(place.canonical, day)["tool_call"])


def _invention(arguments: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """A forecast out of thin air, as a model makes it up that never asked."""
    high = rng.randrange(35, 95)
    return {
        "location": arguments["location"],
        "datetime": arguments["datetime"],
        "weekday": "Saturday",
        "condition": rng.choice(("sunny", "partly cloudy", "overcast", "rain")),
        "high_f": high,
        "low_f": high - rng.randrange(8, 25),
        "precipitation_chance": rng.randrange(5, 95),
        "wind_mph": rng.randrange(3, 19),
        "wind_direction": rng.choice(("N", "SW", "W")),
        "alerts": [],
    }


_MAKERS: Mapping[str, Callable[[Mapping[str, Any], random.Random], Pair]] = {
    "wrong_number": _grounded(_wrong_number),
    "invented_alert": _grounded(_invented_alert),
    "swapped_high_low": _grounded(_swapped),
    "flat_voice": _grounded(_flat_voice),
    "forecast_despite_failure": _despite_failure,
    "no_call": _no_call,
    "needless_call": _needless_call,
}
