"""What the bot says itself where the model has said nothing that may stand: a persona's plain sentence, every figure a tool's.

The words are data: honest.yaml, and the grammars that dialogues are written with. When to say it is resources/tool_loop.py's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib import resources
from types import NoneType
from typing import Any

import yaml

from twainbot import personas
from twainbot.dialogues import prompts, speech
from twainbot.dialogues.tool_results import DIED, REFUSED, TIMEOUT, TOOL_ERROR, WITHHELD, Outcome
from twainbot.dialogues.tools import FORECAST_KEYS
from twainbot.dialogues.weather import DIRECTION_WORDS
from twainbot.evals import grounding
from twainbot.evals.facts import alert_names

TRIES = 6  # wordings of one result before the barest: the judge refuses about one faithful reply in ten
_NOWHERE = "that place"
_INTENTS = (
    ("temperature", r"temperature|degrees|hot|cold|warm|cool|freez\w*|high|low"),
    ("rain", r"rain|wet|umbrella|dry|snow|shower\w*"),
    ("wind", r"wind\w*|breez\w*|gust\w*"),
    ("alerts", r"alerts?|warnings?|advisor\w*|watch"),
)
# what an honest reply to a failure holds one of
_ADMITS = re.compile(
    r"\b(?:no|not|nothing|never|nobody|none|cannot|can't|couldn't|won't|isn't|unable|fail\w*|unknown|without|sorry|down|silent"
    r"|empty|out of|refus\w*|did ?n.t|does ?n.t|has ?n.t|have ?n.t|again|later|which|nearest)\b",
    re.IGNORECASE,
)


@cache
def _lines() -> dict[str, Any]:
    return yaml.safe_load((resources.files("twainbot.dialogues") / "honest.yaml").read_text("utf-8"))


def guardrails() -> str:
    """What is added to every persona's system prompt in a chat."""
    return str(_lines()["guardrails"])


def said(rule: str, persona: str, rng: random.Random, **slots: str) -> str:
    """A line of honest.yaml; a persona without lines of its own speaks as the default one."""
    own = personas.known()[persona].honest.get(rule) if persona in personas.known() else None
    line: str = rng.choice(own or personas.said_for(_lines()[rule], persona))
    return line.format(**slots)


def failed(outcome: Outcome, arguments: Mapping[str, Any], persona: str, rng: random.Random) -> str:
    """The persona's admission that a call gave nothing: no figure, no sky."""
    asked = place_of(arguments)
    if outcome.fault == DIED:
        return said("died", persona, rng, asked=asked)
    if outcome.fault == REFUSED:
        return said("bad_call", persona, rng)
    if outcome.fault in (TIMEOUT, TOOL_ERROR):
        voice = persona if persona in prompts.personas() else prompts.personas()[0]
        return speech.failure_reply(voice, {"error": outcome.code}, asked, rng)
    return said("fault", persona, rng, asked=asked)


def admits(reply: str) -> bool:
    """Whether a reply to a failure says in some way that there is no answer, or asks back."""
    return bool(_ADMITS.search(reply)) or "?" in reply


def answer(
    results: Sequence[Mapping[str, Any]],
    calls: Sequence[Mapping[str, Any]],
    question: str,
    persona: str,
    rng: random.Random,
) -> str:
    """The results in the persona's words, held to the same judge as a model's; the barest wording where all else fails."""
    bare = " ".join(plainly(result) for result in results)
    for wording in _wordings(results, bare, question, persona, rng):
        claims = grounding.judge(wording, results, calls=calls)
        if not any(claim.verdict in grounding.ERRORS for claim in claims):
            return wording
    return bare


def _wordings(
    results: Sequence[Mapping[str, Any]], bare: str, question: str, persona: str, rng: random.Random
) -> Iterator[str]:
    spoken = len(results) == 1 and str(results[0].get("condition")) in speech.CONDITIONS and _is_forecast(results[0])
    if spoken and persona in prompts.personas():
        for _ in range(TRIES):
            yield speech.forecast_reply(persona, results[0], intent_of(question, results[0]), rng)
    for _ in range(2):
        yield said("told", persona, rng, facts=bare)


def _is_forecast(result: Mapping[str, Any]) -> bool:
    """Whether a result is of the house's form, whoever's tool it is from: only that one can the grammars tell."""
    figures = [result.get(name) for name in ("high_f", "low_f", "precipitation_chance", "wind_mph")]
    return (
        set(FORECAST_KEYS) <= result.keys()
        and all(str(result[name] or "").strip() for name in ("location", "datetime", "weekday"))
        and all(isinstance(figure, (int, float, NoneType)) for figure in figures)
        and any(figure is not None for figure in figures)
        and isinstance(result["wind_direction"], (str, NoneType))
        and isinstance(result["alerts"], (list, NoneType))
    )


def intent_of(question: str, result: Mapping[str, Any]) -> str:
    """What a question is about: temperature, rain, wind, alerts or general. Alerts only where the tool spoke of them."""
    asked = next(
        (name for name, words in _INTENTS if re.search(rf"\b(?:{words})\b", question, re.IGNORECASE)), "general"
    )
    return "general" if asked == "alerts" and result.get("alerts") is None else asked


def plainly(result: Mapping[str, Any]) -> str:
    """A result in bare words, as a clerk would read it off: whatever figures it has, and a flat list of the rest."""
    if "state" in result and (alerts_of(result) or result.get("alerts") == []):
        return _alert_words(alerts_of(result), str(result["state"]))
    if "temperature_f" in result:
        parts = [
            _sky(result),
            _figure(result, "temperature_f", "{} degrees"),
            _figure(result, "humidity", "humidity {} percent"),
        ]
        return f"{result.get('location', '')} now: {_listed([*parts, _wind(result)])}."
    if "high_f" in result or "condition" in result:
        return _forecast_words(result)
    listed = (one for value in result.values() if isinstance(value, list) for one in value if isinstance(one, Mapping))
    rows = [texts for one in (result, *listed) if (texts := _texts(one))]
    return f"{'; '.join(_listed(texts[:8]) for texts in rows[:4]) or _listed([])}."


def _texts(result: Mapping[str, Any]) -> list[str]:
    texts = [
        f"{key.replace('_', ' ')} {value}" for key, value in result.items() if isinstance(value, str | int | float)
    ]
    return [text for text in texts if WITHHELD not in text]


def _forecast_words(result: Mapping[str, Any]) -> str:
    day = " on ".join(str(result[name]) for name in ("location", "weekday") if result.get(name))
    wet = "snow" if "snow" in str(result.get("condition")) else "precipitation"
    parts = [
        _sky(result),
        _figure(result, "high_f", "a high of {}"),
        _figure(result, "low_f", "a low of {}"),
        _figure(result, "precipitation_chance", f"chance of {wet} {{}} percent"),
        _wind(result),
    ]
    alerts = alerts_of(result)
    warned = f" In force: {' and '.join(alerts)}." if alerts else ""
    return f"{day}: {_listed(parts)}.{warned}"


def _alert_words(alerts: Sequence[str], state: str) -> str:
    return f"In force in {state}: {' and '.join(alerts)}." if alerts else f"There are no alerts in force in {state}."


def _sky(result: Mapping[str, Any]) -> str:
    return str(result.get("condition") or "")


def _figure(result: Mapping[str, Any], name: str, form: str) -> str:
    value = result.get(name)
    return form.format(value) if value is not None else ""


def _wind(result: Mapping[str, Any]) -> str:
    if result.get("wind_mph") is None:
        return ""
    direction = str(result.get("wind_direction") or "")
    named = f"{DIRECTION_WORDS.get(direction, direction)} " if direction else ""
    return f"{named}wind at {result['wind_mph']} mph"


def _listed(parts: Sequence[str]) -> str:
    return ", ".join(part for part in parts if part) or "nothing that can be read off"


def alerts_of(result: Mapping[str, Any]) -> list[str]:
    """Names of the alerts that a result posts, less what was withheld."""
    return [name for name in alert_names(result.get("alerts")) if WITHHELD not in name]


def unnamed_alerts(reply: str, results: Sequence[Mapping[str, Any]]) -> list[str]:
    """Alerts of the results that a reply does not name: the one thing that a joke may not drop."""
    posted = [name for result in results for name in alerts_of(result)]
    return [name for name in dict.fromkeys(posted) if name.casefold() not in reply.casefold()]


def warning(alerts: Sequence[str], arguments: Mapping[str, Any]) -> str:
    """The plain sentence that names alerts."""
    named = f"{' and '.join(alerts)} {'is' if len(alerts) == 1 else 'are'}"
    line: str = _lines()["danger"]["all"][0]
    return line.format(alerts=named, asked=place_of(arguments))


def place_of(arguments: Mapping[str, Any]) -> str:
    """The place of a call's arguments, as it was written there."""
    named = ("location", "city", "place", "town", "station_town", "state", "state_code")
    found = next((arguments[name] for name in named if isinstance(arguments.get(name), str)), "")
    return " ".join(found.split())[:60] or _NOWHERE
