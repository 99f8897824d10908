"""Preference pairs: a sound answer of a dialogue against one with a named flaw. Grading is feedback.py's.

Each flaw is made on purpose. What a rule can find, quality.py or the checker of tool calls must find, and a test plants
each and runs it; over_long and off_persona break no rule, and a test measures what is wrong with them instead.
"""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

import polars as pl

from twainbot.dialogues import grammar, prompts, rows, speech, weather
from twainbot.dialogues.rows import Turn
from twainbot.dialogues.tools import TOOLS, call_arguments, served_name
from twainbot.records import PREFERENCE, frame

FLAWS = (
    "wrong_number",
    "invented_alert",
    "swapped_high_low",
    "flat_voice",
    "raw_data",  # right in every figure: of all flaws the one that a small model falls into by itself
    "forecast_despite_failure",
    "no_call",
    "needless_call",  # as often as no_call: alone that one taught a small model to call for everything
    "over_long",
    "off_persona",
    "broken_json",
    "wrong_parameter",
    "missing_argument",
    "call_as_prose",
)
OVER_LONG = 2.5  # words of an over-long answer for each word of the sound one, at least
# Draws in a row without a new sentence, after which a persona counts as out of sentences. Of the shipped ones each has over
# 17,000 in `nod` alone, which every second draw asks for: 50 misses by chance come once in 10^15.
TRIES = 50
_OTHER_NAMES = {  # what a parameter gets called by who did not read the schema
    "place": ("city", "place", "town", "location", "where", "query"),
    "day": ("date", "day", "when", "datetime", "time", "for_date"),
}
_PLACE = re.compile(r"location|city|town|place")
_DAY = re.compile(r"date|day|when|time")
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


def _first_reply(turns: Sequence[Turn]) -> tuple[int, list[dict[str, Any]]] | None:
    """Place of the reply after the first tool results, and those results, in the order of their calls."""
    for at, item in enumerate(turns[:-1]):
        if item["role"] == "tool" and _is_words(turns[at + 1]):
            start = next(back for back in range(at, -1, -1) if turns[back - 1]["role"] != "tool")
            return at + 1, rows.tool_results(turns[start : at + 1])
    return None


def _is_words(turn: Mapping[str, Any]) -> bool:
    return turn["role"] == "assistant" and not (turn["tool_call"] and turn["tool_call"].get("tool_name"))


def _grounded(change: Callable[[str, dict[str, Any], random.Random], str | None]) -> Callable[..., Pair]:
    """A pair whose rejected reply is a change of the sound one; none where the tool failed or nothing changes.

    Only replies to one result of the house's tool, with no figure left out: elsewhere a moved number may still be true.
    """

    def make(row: Mapping[str, Any], rng: random.Random) -> Pair:
        found = _first_reply(row["turns"])
        if found is None or len(found[1]) != 1 or not _is_whole(found[1][0]):
            return None
        at, (result,) = found
        chosen = row["turns"][at]["content"]
        rejected = change(chosen, result, rng)
        return None if rejected in (None, chosen) else (row["turns"][:at], chosen, str(rejected))

    return make


def _is_whole(result: Mapping[str, Any]) -> bool:
    needed = ("location", "datetime", "condition", "wind_direction", *_FIGURES)
    return all(result.get(key) is not None for key in needed)


def _wrong_number(reply: str, result: dict[str, Any], rng: random.Random) -> str | None:
    """The high moved by 6 to 19 degrees: far enough that no rounding or unit explains it."""
    high = str(result["high_f"])
    wrong = result["high_f"] + rng.choice((-1, 1)) * rng.randrange(6, 20)
    if wrong in _values(result):
        return None
    return re.sub(rf"(?<![\d-]){re.escape(high)}(?=°| degrees)", str(wrong), reply, count=1)


def _values(result: Mapping[str, Any]) -> list[int]:
    return [result[key] for key in _FIGURES]


def _invented_alert(reply: str, result: dict[str, Any], rng: random.Random) -> str | None:
    if result.get("alerts") or "alert" in reply.lower():
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
    return None if result.get("alerts") else flat(result)


def _raw_data(_reply: str, result: dict[str, Any], _rng: random.Random) -> str | None:
    return json.dumps(result, ensure_ascii=False, separators=(",", ":"))


def _over_long(row: Mapping[str, Any], rng: random.Random) -> Pair:
    """The sound answer and, after it, every other thing that the persona could have said: true, and far too much. None where
    the persona has too little to say for that."""
    found = _first_reply(row["turns"])
    if found is None:
        return None
    at, persona = found[0], row["style_tags"][0]
    chosen = row["turns"][at]["content"]
    rambling, missed = [chosen], 0
    while sum(len(part.split()) for part in rambling) < OVER_LONG * len(chosen.split()):
        more = grammar.load(persona).expand(rng.choice(("coda", "nod")), {}, rng)
        missed = missed + 1 if more in rambling else 0
        if missed == TRIES:
            return None
        if not missed:
            rambling.append(more)
    return row["turns"][:at], chosen, " ".join(rambling)


def _off_persona(row: Mapping[str, Any], rng: random.Random) -> Pair:
    """The same facts in another persona's voice or, as often, in the voice of a help desk."""
    found = _first_reply(row["turns"])
    if found is None or len(found[1]) != 1 or not _is_whole(found[1][0]):
        return None
    at, (result,) = found
    others = [name for name in prompts.personas() if name != row["style_tags"][0]]
    if rng.random() < 0.5:
        rejected = speech.forecast_reply(rng.choice(others), result, "general", rng)
    else:
        rejected = grammar.load("helpdesk").expand("reply", {"facts": flat(result)}, rng)
    return row["turns"][:at], row["turns"][at]["content"], rejected


def _despite_failure(row: Mapping[str, Any], rng: random.Random) -> Pair:
    found = _first_reply(row["turns"])
    if found is None or len(found[1]) != 1 or "error" not in found[1][0]:
        return None
    at = found[0]
    invented = _invention(call_arguments(row["turns"][at - 2]["tool_call"]), rng)
    rejected = speech.forecast_reply(row["style_tags"][0], invented, "general", rng)
    return row["turns"][:at], row["turns"][at]["content"], rejected


def _first_call(turns: Sequence[Turn]) -> int | None:
    """Place of the first call, where it is the only one of its turn: of several, one alone would not be the right answer."""
    at = next((index for index, item in enumerate(turns) if item["tool_call"] and not _is_words(item)), None)
    return None if at is None or turns[at + 1]["role"] != "tool" else at


def _no_call(row: Mapping[str, Any], rng: random.Random) -> Pair:
    at = _first_call(row["turns"])
    if at is None:
        return None
    call = row["turns"][at]["tool_call"]
    rejected = speech.forecast_reply(row["style_tags"][0], _invention(call_arguments(call), rng), "general", rng)
    return row["turns"][:at], hermes(call), rejected


def _needless_call(row: Mapping[str, Any], rng: random.Random) -> Pair:
    """Where the sound first answer is words (small talk, or a question back), a call with a place nobody named."""
    turns = row["turns"]
    at = next(index for index, item in enumerate(turns) if item["role"] == "assistant")
    if not _is_words(turns[at]):
        return None
    said = " ".join(item["content"] or "" for item in turns[1:at])
    place = rng.choice([place for place in weather.places() if place.town not in said])
    day = rng.choice(("today", "tomorrow", "tonight"))
    called = next((made for tool in _offered(row) if (made := _made_up(tool, place.canonical, day))), None)
    return None if called is None else (turns[:at], turns[at]["content"], called)


def _offered(row: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The functions that the dialogue offers, served names and schemas."""
    return [tool.get("function", tool) for tool in json.loads(row["tools"])]


def _made_up(function: Mapping[str, Any], place: str, day: str) -> str | None:
    """A call of the tool with that place; None where the tool takes none."""
    arguments: dict[str, Any] = {}
    for name, schema in function["parameters"].get("properties", {}).items():
        if _PLACE.search(name):
            arguments[name] = place
        elif "enum" in schema:
            arguments[name] = schema["enum"][0]
        elif _DAY.search(name) and schema.get("type") == "string":
            arguments[name] = day
    fits = place in arguments.values() and set(function["parameters"].get("required", [])) <= set(arguments)
    return _tagged(json.dumps({"name": function["name"], "arguments": arguments}, ensure_ascii=False)) if fits else None


def _tagged(body: str) -> str:
    return f"<tool_call>\n{body}\n</tool_call>"


def _malformed(
    spoil: Callable[[str, dict[str, Any], Mapping[str, Any], random.Random], str | None],
) -> Callable[..., Pair]:
    """A pair of the sound first call and the same call spoiled; `spoil` gets name, arguments and schema."""

    def make(row: Mapping[str, Any], rng: random.Random) -> Pair:
        at = _first_call(row["turns"])
        if at is None:
            return None
        call = row["turns"][at]["tool_call"]
        name = served_name(call["tool_name"])
        schema = next((item["parameters"] for item in _offered(row) if item["name"] == name), None)
        rejected = None if schema is None else spoil(name, call_arguments(call), schema, rng)
        return None if rejected is None else (row["turns"][:at], hermes(call), rejected)

    return make


def _broken_json(name: str, arguments: dict[str, Any], _schema: Mapping[str, Any], rng: random.Random) -> str:
    """The slips of small models: a brace short, single quotes, a comma too many, a quote left out, cut off."""
    body = json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    slips = (
        body[:-1],
        str({"name": name, "arguments": arguments}),
        body.replace("}}", ",}}"),
        body.replace('": "', '": ', 1),
        body[: len(body) * 2 // 3],
    )
    return _tagged(rng.choice(slips))


def _wrong_parameter(name: str, arguments: dict[str, Any], schema: Mapping[str, Any], rng: random.Random) -> str | None:
    """One parameter under a name that another tool has for it."""
    renamable = [(key, role) for key in arguments for role, pattern in _ROLES.items() if pattern.search(key)]
    if not renamable:
        return None
    old, role = rng.choice(renamable)
    new = rng.choice([other for other in _OTHER_NAMES[role] if other not in schema["properties"]])
    renamed = {new if key == old else key: value for key, value in arguments.items()}
    return _tagged(json.dumps({"name": name, "arguments": renamed}, ensure_ascii=False))


def _missing_argument(
    name: str, arguments: dict[str, Any], schema: Mapping[str, Any], rng: random.Random
) -> str | None:
    needed = [key for key in arguments if key in schema.get("required", [])]
    if not needed:
        return None
    dropped = rng.choice(needed)
    rest = {key: value for key, value in arguments.items() if key != dropped}
    return _tagged(json.dumps({"name": name, "arguments": rest}, ensure_ascii=False))


def _call_as_prose(name: str, arguments: dict[str, Any], _schema: Mapping[str, Any], rng: random.Random) -> str:
    """The call told instead of made, with or without its JSON, but without the tags that make it one."""
    said = " and ".join(f"{key} {value}" for key, value in arguments.items())
    words = {"tool": name, "said": said, "python": ", ".join(f"{key}={value!r}" for key, value in arguments.items())}
    if rng.random() < 0.3:
        return json.dumps({"name": name, "arguments": arguments}, ensure_ascii=False)
    return grammar.load("helpdesk").expand("call", words, rng)


def _invention(arguments: Mapping[str, Any], rng: random.Random) -> dict[str, Any]:
    """A forecast out of thin air, as a model makes it up that never asked."""
    high = rng.randrange(35, 95)
    return {
        "location": _argument(arguments, _PLACE, "town"),
        "datetime": _argument(arguments, _DAY, "today"),
        "date": "",
        "weekday": "Saturday",
        "condition": rng.choice(("sunny", "partly cloudy", "overcast", "rain")),
        "high_f": high,
        "low_f": high - rng.randrange(8, 25),
        "precipitation_chance": rng.randrange(5, 95),
        "wind_mph": rng.randrange(3, 19),
        "wind_direction": rng.choice(("N", "SW", "W")),
        "alerts": [],
    }


def _argument(arguments: Mapping[str, Any], pattern: re.Pattern[str], otherwise: str) -> str:
    """The argument whose name has that meaning, whatever the schema calls it."""
    return next((str(value) for name, value in arguments.items() if pattern.search(name)), otherwise)


_FIGURES = ("high_f", "low_f", "precipitation_chance", "wind_mph")
_ROLES = {"place": _PLACE, "day": _DAY}
_MAKERS: Mapping[str, Callable[[Mapping[str, Any], random.Random], Pair]] = {
    "wrong_number": _grounded(_wrong_number),
    "invented_alert": _grounded(_invented_alert),
    "swapped_high_low": _grounded(_swapped),
    "flat_voice": _grounded(_flat_voice),
    "raw_data": _grounded(_raw_data),
    "forecast_despite_failure": _despite_failure,
    "no_call": _no_call,
    "needless_call": _needless_call,
    "over_long": _over_long,
    "off_persona": _off_persona,
    "broken_json": _malformed(_broken_json),
    "wrong_parameter": _malformed(_wrong_parameter),
    "missing_argument": _malformed(_missing_argument),
    "call_as_prose": _malformed(_call_as_prose),
}
