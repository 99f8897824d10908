"""A tool result in words: fills the slots of the persona grammars. Which turn comes when is talk.py's business."""

from __future__ import annotations

import random
from collections.abc import Mapping
from typing import Any

from twainbot.dialogues import grammar
from twainbot.dialogues.weather import DIRECTION_WORDS, WEEKDAYS, plain

# condition of the tool -> the kind that a persona has a remark on, and the noun phrase that a sentence needs
_KINDS = {
    "sunny": ("sunny", "sunny skies"),
    "mostly sunny": ("sunny", "mostly sunny skies"),
    "clear": ("clear", "clear skies"),
    "mostly clear": ("clear", "mostly clear skies"),
    "partly cloudy": ("partly", "partly cloudy skies"),
    "mostly cloudy": ("cloudy", "mostly cloudy skies"),
    "overcast": ("cloudy", "overcast skies"),
    "fog": ("fog", "fog"),
    "windy": ("windy", "windy weather"),
    "drizzle": ("rain", "drizzle"),
    "light rain": ("rain", "light rain"),
    "showers": ("rain", "showers"),
    "rain": ("rain", "rain"),
    "heavy rain": ("rain", "heavy rain"),
    "thunderstorms": ("storm", "thunderstorms"),
    "sleet": ("sleet", "sleet"),
    "light snow": ("snow", "light snow"),
    "snow": ("snow", "snow"),
    "heavy snow": ("snow", "heavy snow"),
}
# lowest high (degrees F) of each band; a person from anywhere would agree on these within a coat
_BANDS = ((90, "hot"), (74, "warm"), (58, "mild"), (42, "cool"), (-200, "cold"))
_LUCK = ((65, "likely"), (35, "even"), (15, "slim"), (0, "none"))  # lowest chance in percent
_GUSTS = ((20, "strong"), (9, "breezy"), (0, "calm"))  # lowest wind in mph


def is_night(datetime: str) -> bool:
    """Whether the tool's datetime word means hours without sun."""
    return plain(datetime) in ("tonight", "this evening") or plain(datetime).endswith(" night")


def _step(value: float, steps: tuple[tuple[int, str], ...]) -> str:
    return next(name for least, name in steps if value >= least)


def when_phrase(datetime: str) -> str:
    """The datetime word inside a sentence: "on Saturday", "on 2026-07-04", "tomorrow"."""
    takes_on = datetime[:1].isdigit() or datetime.capitalize() in WEEKDAYS
    return f"on {datetime}" if takes_on else datetime


def _spoken_when(result: Mapping[str, Any], rng: random.Random) -> str:
    """Mostly the user's word, at times the result's weekday; a weekend always has its day named in half the replies."""
    word = str(result["datetime"])
    share = {"tomorrow": 0.15, "this weekend": 0.5}.get(plain(word), 0.5 if word[:1].isdigit() else 0.0)
    if rng.random() < share:
        return f"on {result['weekday']}"
    return when_phrase(str(result["weekday"]) if word.capitalize() in WEEKDAYS else word)


def slots(result: Mapping[str, Any], intent: str, rng: random.Random) -> dict[str, str]:
    """The slots of facts.yaml and the persona grammars for a successful forecast."""
    kind, sky = _KINDS[result["condition"]]
    night = is_night(str(result["datetime"]))
    band = _step(result["low_f"] if night else result["high_f"], _BANDS)
    if night and kind in ("partly", "cloudy"):
        kind = "nightcloud"
    alerts = result["alerts"]
    return {
        "town": str(result["location"]).rpartition(", ")[0] or str(result["location"]),
        "when": _spoken_when(result, rng),
        "sky": sky,
        "precip": _precipitation(kind, result["high_f"]),
        "high": str(result["high_f"]),
        "low": str(result["low_f"]),
        "chance": str(result["precipitation_chance"]),
        "wind": str(result["wind_mph"]),
        "dir": DIRECTION_WORDS[result["wind_direction"]],
        "kind": kind,
        "band": band,
        "feel": "night" if night else band,
        "luck": _step(result["precipitation_chance"], _LUCK),
        "gust": _step(result["wind_mph"], _GUSTS),
        "fit": _fit(kind, band, result),
        "intent": intent,
        "warned": "yes" if alerts else "no",
        "noted": "yes" if alerts and intent != "alerts" else "no",
        "alert": " and ".join(alerts),
    }


def _precipitation(kind: str, high_f: int) -> str:
    """What the chance is a chance of: on a cold day without a word of either, rain or snow would be a guess."""
    if kind == "snow":
        return "snow"
    return "precipitation" if kind == "sleet" or (kind not in ("rain", "storm") and high_f <= 40) else "rain"


def _fit(kind: str, band: str, result: Mapping[str, Any]) -> str:
    """Whether the day is fit for an outing: good, middling or poor."""
    if kind in ("rain", "storm", "snow", "sleet") or band == "cold" or result["wind_mph"] >= 24 or result["alerts"]:
        return "poor"
    return "middling" if kind in ("cloudy", "nightcloud", "fog") or band in ("hot", "cool") else "good"


def forecast_reply(persona: str, result: Mapping[str, Any], intent: str, rng: random.Random) -> str:
    """The persona's reply to a question of that intent, every figure out of the result."""
    return grammar.load(persona).expand("reply", slots(result, intent, rng), rng)


def again_reply(persona: str, result: Mapping[str, Any], topic: str, rng: random.Random) -> str:
    """A short answer out of a result given before; `topic`: low, high, wind, rain or coat."""
    return grammar.load(persona).expand("again", {**slots(result, "general", rng), "topic": topic}, rng)


def failure_reply(persona: str, result: Mapping[str, Any], asked: str, rng: random.Random) -> str:
    """What the persona says when the tool reported a failure about the place `asked`: no forecast in it."""
    return grammar.load(persona).expand(f"failed@{result['error']}", {"asked": asked}, rng)
