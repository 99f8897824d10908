"""Weather dialogues and small talk out of frozen seeds: who says what, in which order. The words come from the grammars.

Every question frame, forecast, offered tool and random seed is in the seed row, so the same seeds give the same dialogues.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any

import polars as pl

from twainbot.dialogues import grammar, rows, speech, toolbox
from twainbot.dialogues.rows import Turn, turn
from twainbot.dialogues.toolbox import Offer
from twainbot.dialogues.weather import WEEKDAYS
from twainbot.records import DIALOGUE, frame

Ask = Mapping[str, Any]


@dataclass(frozen=True)
class Talk:
    """A seed's payload while its dialogue is written. `tool`: the one that is called, if any."""

    payload: Mapping[str, Any]
    rng: random.Random

    @property
    def persona(self) -> str:
        """Who speaks."""
        return str(self.payload["persona"])

    @property
    def asks(self) -> list[Ask]:
        """The questions with their forecasts, in order."""
        return self.payload["asks"]

    @property
    def tool(self) -> Offer:
        """The tool that is called."""
        name, dialect = self.payload["call"]
        return str(name), int(dialect)

    @property
    def by_weekday(self) -> bool:
        """Whether the results name their days by weekday and date only, and the reply must too."""
        return "date" in toolbox.roles(self.tool).values()


def tool_calls(seeds: pl.DataFrame) -> pl.DataFrame:
    """One DIALOGUE for each seed of kind "tool_calls", sorted by id; kind is tool_calls or, where no call is, no_tool."""
    return frame([_row(seed) for seed in rows.of_kind(seeds, "tool_calls")], DIALOGUE)


def _row(seed: Mapping[str, Any]) -> dict[str, Any]:
    payload = json.loads(seed["payload"])
    scenario = payload["scenario"]
    turns = _SCENARIOS[scenario](Talk(payload, random.Random(payload["rng"])))
    called = any(item["tool_call"] for item in turns)
    tag = payload["topic"] if scenario == "no_tool" else payload.get("refuses") or payload["asks"][0]["intent"]
    today = speech.long_date(date.fromisoformat(payload["today"])) if payload["says_today"] else None
    offered = [toolbox.schema((str(name), int(dialect))) for name, dialect in payload["offers"]]
    return rows.dialogue(seed, "tool_calls" if called else "no_tool", scenario, turns, [tag], offered, today)


# --- what the user says ------------------------------------------------------------------------------------------------


def _words(ask: Ask) -> dict[str, str]:
    """The slots of questions.yaml: place and day stand in the question exactly as the call will copy them."""
    when = ask.get("when") or speech.when_phrase(ask["datetime"])
    words = {"place": ask.get("town") or ask["location"], "when": when, "day": when.removeprefix("on ")}
    return words | ({"region": str(ask["region"])} if "region" in ask else {})


def question(ask: Ask, rng: random.Random) -> str:
    """The user's question for an ask."""
    asked = grammar.load("questions").expand(f"{ask['frames']}@{ask['intent']}", _words(ask), rng)
    return asked.lower() if ask["frames"] == "casual" else asked


def _said(rule: str, ask: Ask, rng: random.Random, **more: str) -> Turn:
    return turn("user", grammar.load("questions").expand(rule, {**_words(ask), **more}, rng))


# --- what the assistant does -----------------------------------------------------------------------------------------


def _call(talk: Talk, ask: Ask) -> Turn:
    return rows.tool_call(toolbox.stored(talk.tool[0]), toolbox.arguments(talk.tool, ask))


def _result(talk: Talk, ask: Ask) -> Turn:
    return turn("tool", rows.compact(toolbox.result(talk.tool, ask)))


def _shown(talk: Talk, ask: Ask) -> dict[str, Any]:
    """The forecast as far as the tool's result shows it."""
    hidden: dict[str, dict[str, Any]] = {
        "daily_outlook": {"wind_direction": None, "alerts": []},
        "get_weather": {"alerts": []},
    }
    return {**ask["result"], **hidden.get(talk.tool[0], {})}


def _answered(talk: Talk, ask: Ask, **manner: Any) -> list[Turn]:
    """Call, tool result, and the persona's reply to it, be it a forecast or a failure."""
    if "error" in ask["result"]:
        reply = _failure_reply(talk, ask)
    else:
        manner = {"by_weekday": talk.by_weekday or "when" in ask, **manner}
        reply = speech.forecast_reply(talk.persona, _shown(talk, ask), ask["intent"], talk.rng, **manner)
    return [_call(talk, ask), _result(talk, ask), turn("assistant", reply)]


def _failure_reply(talk: Talk, ask: Ask) -> str:
    """At times out of the persona's own stock of failures, else out of the larger one in cases.yaml."""
    if talk.rng.random() < 0.25:
        return speech.failure_reply(talk.persona, ask["result"], ask["location"], talk.rng)
    return speech.case_reply(talk.persona, f"fail@{ask['result']['error']}", talk.rng, asked=ask["location"])


def _single(talk: Talk, **manner: Any) -> list[Turn]:
    ask = talk.asks[0]
    return [turn("user", question(ask, talk.rng)), *_answered(talk, ask, **manner)]


def _second_call(rule: str) -> Callable[[Talk], list[Turn]]:
    def turns(talk: Talk) -> list[Turn]:
        second = talk.asks[1]
        return [*_single(talk), _said(rule, second, talk.rng), *_answered(talk, second)]

    return turns


def _failure(talk: Talk) -> list[Turn]:
    return _second_call("correction")(talk) if len(talk.asks) > 1 else _single(talk)


def _parallel(talk: Talk) -> list[Turn]:
    """Two questions in one breath: two calls in a row, two results in their order, one reply."""
    first, second = talk.asks
    rule = "pair_places" if first["location"] != second["location"] else "pair_days"
    other = _words(second)
    asked = _said(rule, first, talk.rng, other=other["place"], later=other["when"])
    if first["frames"] == "casual":
        asked = turn("user", asked["content"].lower())
    shown = [_shown(talk, ask) for ask in talk.asks]
    reply = speech.pair_reply(talk.persona, shown, talk.rng, by_weekday=talk.by_weekday)
    calls = [_call(talk, ask) for ask in talk.asks]
    return [asked, *calls, *(_result(talk, ask) for ask in talk.asks), turn("assistant", reply)]


def _follow_up(talk: Talk) -> list[Turn]:
    turns, ask = _single(talk), talk.asks[0]
    for topic in talk.payload["topics"]:
        reply = speech.again_reply(talk.persona, _shown(talk, ask), topic, talk.rng, by_weekday=talk.by_weekday)
        turns += [_said(f"again@{topic}", ask, talk.rng), turn("assistant", reply)]
    return turns


def _thanks(talk: Talk) -> list[Turn]:
    reply = grammar.load(talk.persona).expand("thanks", {}, talk.rng)
    return [*_single(talk), _said("thanks", talk.asks[0], talk.rng), turn("assistant", reply)]


def _clarify(talk: Talk) -> list[Turn]:
    ask = talk.asks[0]
    which = grammar.load(talk.persona).expand("which_town", {}, talk.rng)
    opening = [turn("user", question(ask, talk.rng)), turn("assistant", which), _said("here", ask, talk.rng)]
    return [*opening, *_answered(talk, ask)]


def _ambiguous(talk: Talk) -> list[Turn]:
    """The town alone, then which one is meant; the call has the town as it was written last."""
    ask = talk.asks[0]
    which = speech.case_reply(talk.persona, "which_one", talk.rng, town=ask["town"])
    opening = [turn("user", question(ask, talk.rng)), turn("assistant", which)]
    full = {**ask, "town": ask["location"]}
    return [*opening, _said("this_one", full, talk.rng), *_answered(talk, ask)]


def _stale(talk: Talk) -> list[Turn]:
    issued = date.fromisoformat(talk.asks[0]["issued_at"][:10])
    days = (date.fromisoformat(talk.payload["today"]) - issued).days
    remark = "stale@yesterday" if days == 1 else "stale@older"
    return _single(talk, remark=remark, issued=WEEKDAYS[issued.weekday()])


def _missing(talk: Talk) -> list[Turn]:
    return _single(talk, says_gaps=True)


def _units(talk: Talk) -> list[Turn]:
    """Metric figures: worked out from the house's own, or asked of a tool that has a parameter for them."""
    ask = talk.asks[0]
    asked = f"{question(ask, talk.rng)} {grammar.load('questions').expand('metric', _words(ask), talk.rng)}"
    asked = asked.lower() if ask["frames"] == "casual" else asked
    remark = "converted" if talk.tool[0] != "get_weather" and talk.rng.random() < 0.6 else ""
    return [turn("user", asked), *_answered(talk, ask, metric=True, remark=remark)]


def _refusal(talk: Talk) -> list[Turn]:
    """What no forecast can give: beyond its reach, sworn to, or finer than it is. No figure is said that no tool gave."""
    ask, kind = talk.asks[0], talk.payload["refuses"]
    if kind == "far_date":
        return _single(talk)
    refused = turn("assistant", speech.case_reply(talk.persona, f"refuse@{kind}", talk.rng, asked=ask["location"]))
    asked = _said(f"beyond@{kind}", ask, talk.rng)
    return [asked, refused] if kind == "horizon" else [*_single(talk), asked, refused]


def _lacking(talk: Talk) -> list[Turn]:
    ask = talk.asks[0]
    reply = speech.case_reply(talk.persona, "no_such_tool", talk.rng, asked=ask["location"])
    return [turn("user", question(ask, talk.rng)), turn("assistant", reply)]


def _no_tool(talk: Talk) -> list[Turn]:
    chat, payload = grammar.load("chat"), talk.payload
    when = speech.when_phrase(payload["datetime"])
    words = {"persona": talk.persona, "topic": payload["topic"], "when": when, "day": payload["datetime"]}
    words |= payload["slots"]
    asked = chat.expand(f"ask@{payload['topic']}", words, talk.rng)
    return [turn("user", asked), turn("assistant", chat.expand("reply", words, talk.rng))]


# --- tools that are not about one day ----------------------------------------------------------------------------------


def _now(talk: Talk, ask: Ask) -> list[Turn]:
    shown = toolbox.result(talk.tool, ask)
    words = speech.slots(ask["result"], "general", talk.rng)
    words |= _reading(shown["temperature_f"]) | {"humidity": str(shown["humidity"])}
    return _with_reply(talk, ask, speech.case_reply(talk.persona, "current", talk.rng, **words))


def _alerts(talk: Talk, ask: Ask) -> list[Turn]:
    posted = ask["extra"]["alerts"]
    rule = f"state_alerts@{('none', 'one', 'two')[min(len(posted), 2)]}"
    names = {"alert": posted[0] if posted else "", "another": posted[1] if len(posted) > 1 else ""}
    reply = speech.case_reply(talk.persona, rule, talk.rng, region=ask["region"], **names)
    return _with_reply(talk, ask, reply)


def _parts(talk: Talk, ask: Ask) -> list[Turn]:
    cases = grammar.load("cases")
    lines = [
        cases.expand(f"part@{part['part']}", _part_words(part), talk.rng)
        for part in toolbox.result(talk.tool, ask)["parts"]
    ]
    words = speech.slots(ask["result"], "general", talk.rng, by_weekday=True)
    return _with_reply(talk, ask, speech.list_reply(talk.persona, "day_in_parts", lines, words, talk.rng))


def _part_words(part: Mapping[str, Any]) -> dict[str, str]:
    return {"sky": speech.sky_phrase(part["condition"]), **_reading(part["temp_f"])}


def _reading(degrees: int) -> dict[str, str]:
    return {"reading": str(degrees), "reading_deg": speech.degrees_phrase(str(degrees)), "sign": "°F"}


def _several(talk: Talk, ask: Ask) -> list[Turn]:
    days = [ask["result"], *ask["extra"]["days"]]
    words = [speech.slots(day, "general", talk.rng, by_weekday=True) for day in days]
    lines = [
        grammar.load("cases").expand("one_day", {**each, "day": str(day["weekday"])}, talk.rng)
        for each, day in zip(words, days, strict=True)
    ]
    return _with_reply(talk, ask, speech.list_reply(talk.persona, "several_days", lines, words[0], talk.rng))


def _with_reply(talk: Talk, ask: Ask, reply: str) -> list[Turn]:
    count = {2: "two", 3: "three", 4: "four"}.get(ask.get("count", 0), "")
    asked = _said(f"{ask['frames']}@{ask['intent']}", ask, talk.rng, count=count)
    return [asked, _call(talk, ask), _result(talk, ask), turn("assistant", reply)]


def _other_tool(talk: Talk) -> list[Turn]:
    return _SPECIAL[talk.tool[0]](talk, talk.asks[0])


_SPECIAL: Mapping[str, Callable[[Talk, Ask], list[Turn]]] = {
    "get_current_conditions": _now,
    "get_alerts": _alerts,
    "get_day_parts": _parts,
    "get_extended_forecast": _several,
}
_SCENARIOS: Mapping[str, Callable[[Talk], list[Turn]]] = {
    "single": _single,
    "other_tool": _other_tool,
    "two_days": _second_call("then_when"),
    "two_places": _second_call("then_place"),
    "parallel": _parallel,
    "follow_up": _follow_up,
    "thanks": _thanks,
    "clarify": _clarify,
    "ambiguous": _ambiguous,
    "unknown_place": _failure,
    "tool_error": _failure,
    "timeout": _failure,
    "stale": _stale,
    "missing": _missing,
    "units": _units,
    "dates": _single,
    "refusal": _refusal,
    "lacking": _lacking,
    "no_tool": _no_tool,
}
