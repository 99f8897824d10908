"""A tool result in words: fills the slots of the grammars. Which turn comes when is talk.py's business.

What is spoken is what the tool showed: a field that the result lacks is a gap here, and no figure of the seed's fuller
forecast gets past it.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from twainbot.dialogues import figures, grammar
from twainbot.dialogues.weather import DIRECTION_WORDS, WEEKDAYS, is_night, plain

Result = Mapping[str, Any]  # a forecast with the keys of tools.FORECAST_KEYS; None where the tool gave no value

# condition of the tool -> the kind that a persona has a remark on, and the noun phrase that a sentence needs
_KINDS = {
    "sunny": ("sunny", "sunny skies"),
    "mostly sunny": ("sunny", "mostly sunny skies"),
    "clear": ("clear", "clear skies"),
    "mostly clear": ("clear", "mostly clear skies"),
    "partly sunny": ("partly", "partly sunny skies"),
    "partly cloudy": ("partly", "partly cloudy skies"),
    "mostly cloudy": ("cloudy", "mostly cloudy skies"),
    "cloudy": ("cloudy", "cloudy skies"),
    "overcast": ("cloudy", "overcast skies"),
    "fog": ("fog", "fog"),
    "dense fog": ("fog", "dense fog"),
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
CONDITIONS = frozenset(_KINDS)  # those that can be spoken about
# what the sky may be some hours before or after, for a day in parts
NEIGHBORS: Mapping[str, tuple[str, ...]] = {
    "sunny": ("sunny", "mostly sunny"),
    "mostly sunny": ("sunny", "partly cloudy"),
    "partly cloudy": ("mostly sunny", "mostly cloudy"),
    "mostly cloudy": ("partly cloudy", "overcast"),
    "overcast": ("mostly cloudy", "overcast"),
    "fog": ("fog", "overcast"),
    "drizzle": ("overcast", "light rain"),
    "light rain": ("drizzle", "mostly cloudy"),
    "showers": ("partly cloudy", "light rain"),
    "rain": ("light rain", "overcast"),
    "heavy rain": ("rain", "showers"),
    "thunderstorms": ("showers", "mostly cloudy"),
    "light snow": ("snow", "overcast"),
    "snow": ("light snow", "heavy snow"),
    "heavy snow": ("snow", "light snow"),
}
# lowest high (degrees F) of each band; a person from anywhere would agree on these within a coat
_BANDS = ((90, "hot"), (74, "warm"), (58, "mild"), (42, "cool"), (-200, "cold"))
_LUCK = ((65, "likely"), (35, "even"), (15, "slim"), (0, "none"))  # lowest chance in percent
_GUSTS = ((20, "strong"), (9, "breezy"), (0, "calm"))  # lowest wind in mph
_FULL = ("high_f", "low_f", "precipitation_chance", "wind_mph")
_ASKED = {"rain": "chance", "temperature": "temps", "wind": "wind"}
_FORMAL = "°F"
_PARTS_OF_TODAY = (
    "this morning",
    "this afternoon",
    "this evening",
    "tonight",
    "today",
)  # beside another day, one names it


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, 11th, 22nd."""
    ending = "th" if 10 <= number % 100 <= 20 else {1: "st", 2: "nd", 3: "rd"}.get(number % 10, "th")
    return f"{number}{ending}"


def long_date(day: date) -> str:
    """ "Tuesday, 6 October 2026": how a system prompt states today."""
    return f"{WEEKDAYS[day.weekday()]}, {day.day} {day:%B %Y}"


def _step(value: float, steps: tuple[tuple[int, str], ...]) -> str:
    return next((name for least, name in steps if value >= least), steps[-1][1])


def when_phrase(datetime: str) -> str:
    """The datetime word inside a sentence: "on Saturday", "on 2026-07-04", "tomorrow"."""
    takes_on = datetime[:1].isdigit() or datetime.split()[0].capitalize() in WEEKDAYS
    return f"on {datetime}" if takes_on else datetime


def spoken_when(result: Result, rng: random.Random, *, by_weekday: bool = False) -> str:
    """Mostly the user's word, at times the result's weekday, for a date always; a weekend has its day named in half.

    `by_weekday`: the result knows its day by weekday and date only.
    """
    word = str(result["datetime"])
    share = {"tomorrow": 0.15, "this weekend": 0.5}.get(plain(word), 0.0)
    if by_weekday or word[:1].isdigit() or rng.random() < share:
        return f"on {result['weekday']}"
    named = word.split()[0].capitalize()
    return when_phrase(word[:1].upper() + word[1:] if named in WEEKDAYS else word)


def slots(
    result: Result, intent: str, rng: random.Random, *, metric: bool = False, by_weekday: bool = False
) -> dict[str, str]:
    """The slots of facts.yaml and the persona grammars for a successful forecast. `metric`: Celsius and km/h."""
    kind, sky = _KINDS[result["condition"]]
    night = is_night(str(result["datetime"]))
    band = _band(result, night=night)
    if night and kind in ("partly", "cloudy"):
        kind = "nightcloud"
    alerts = result["alerts"] or []
    chance, wind = result["precipitation_chance"], result["wind_mph"]
    degrees, speed = (figures.celsius, figures.kmh) if metric else (_as_is, _as_is)
    return {
        "town": str(result["location"]).rpartition(", ")[0] or str(result["location"]),
        "when": spoken_when(result, rng, by_weekday=by_weekday),
        "sky": sky,
        "precip": _precipitation(kind, result),
        "high": _spoken(result["high_f"], degrees),
        "low": _spoken(result["low_f"], degrees),
        "chance": _spoken(chance, _as_is),
        "wind": _spoken(wind, speed),
        "dir": DIRECTION_WORDS.get(result["wind_direction"] or "", ""),
        "sign": "°C" if metric else _FORMAL,
        "terse": "°C" if metric else "",
        "high_deg": degrees_phrase(_spoken(result["high_f"], degrees), metric=metric),
        "low_deg": degrees_phrase(_spoken(result["low_f"], degrees), metric=metric),
        "speed": "km/h" if metric else rng.choice(("mph", "mph", "miles an hour")),
        "kind": kind,
        "band": band,
        "feel": "night" if night else band,
        "luck": "none" if chance is None else _step(chance, _LUCK),
        "gust": "calm" if wind is None else _step(wind, _GUSTS),
        "fit": _fit(kind, band, result),
        "intent": intent,
        "warned": "yes" if alerts else "no",
        "noted": "yes" if alerts and intent != "alerts" else "no",
        "alert": " and ".join(alerts),
        "span": _span(result),
        "nil": "yes" if chance == 0 else "no",
        "aim": "yes" if result["wind_direction"] else "no",
    }


def degrees_phrase(figure: str, *, metric: bool = False) -> str:
    """ "71 degrees", "1 degree", "22 degrees Celsius"."""
    return f"{figure} degree{'' if figure in ('1', '-1') else 's'}{' Celsius' if metric else ''}"


def _as_is(value: float) -> int:
    return round(value)


def _spoken(value: Any, unit: Any) -> str:
    return "" if value is None else str(unit(value))


def _span(result: Result) -> str:
    known = [name for name in ("high", "low") if result[f"{name}_f"] is not None]
    return "both" if len(known) == 2 else (known or ["none"])[0]


def _band(result: Result, *, night: bool) -> str:
    first, second = ("low_f", "high_f") if night else ("high_f", "low_f")
    known = result[first] if result[first] is not None else result[second]
    return "mild" if known is None else _step(known, _BANDS)


def _precipitation(kind: str, result: Result) -> str:
    """What the chance is a chance of: on a cold day without a word of either, rain or snow would be a guess."""
    if kind == "snow":
        return "snow"
    warmest = result["high_f"] if result["high_f"] is not None else result["low_f"]
    unsure = kind == "sleet" or (kind not in ("rain", "storm") and (warmest is None or warmest <= 40))
    return "precipitation" if unsure else "rain"


def _fit(kind: str, band: str, result: Result) -> str:
    """Whether the day is fit for an outing: good, middling or poor."""
    windy = (result["wind_mph"] or 0) >= 24
    if kind in ("rain", "storm", "snow", "sleet") or band == "cold" or windy or result["alerts"]:
        return "poor"
    return "middling" if kind in ("cloudy", "nightcloud", "fog") or band in ("hot", "cool") else "good"


# --- one result -----------------------------------------------------------------------------------------------------------


def facts(words: Mapping[str, str], result: Result, intent: str, rng: random.Random, *, says_gaps: bool = False) -> str:
    """The plain middle of a reply: every figure that the result shows, by what was asked. `says_gaps`: and what it lacks."""
    spoken = grammar.load("facts")
    if all(result[key] is not None for key in _FULL):
        return spoken.expand(f"facts@{intent}", words, rng)
    given = _given(words, rng)
    gaps = _gaps(result)
    asked = _ASKED.get(intent, "")
    context = {**words, "given": given, "gap": gaps[0] if len(gaps) == 1 else _gap_of(asked, gaps)}
    context["verdict"] = "none" if asked in gaps or intent not in ("rain", "temperature", "wind", "outing") else intent
    return spoken.expand("facts@gaps" if says_gaps else "facts@partial", context, rng)


def _given(words: Mapping[str, str], rng: random.Random) -> str:
    """The known figures as a list: "a low of 41 degrees and a 30 percent chance of rain"."""
    known = [("temps", words["span"] != "none"), ("odds", words["chance"] != ""), ("breeze", words["wind"] != "")]
    said = [grammar.load("facts").phrase(rule, words, rng) for rule, is_known in known if is_known]
    return said[0] if len(said) == 1 else f"{', '.join(said[:-1])}, and {said[-1]}" if len(said) > 2 else _two(said)


def _two(said: Sequence[str]) -> str:
    comma = "," if " and " in said[0] else ""
    return f"{said[0]}{comma} and {said[1]}"


def _gaps(result: Result) -> list[str]:
    """What the result leaves out: temps, high, low, chance, wind."""
    found = {"both": [], "high": ["low"], "low": ["high"], "none": ["temps"]}[_span(result)]
    found += ["chance"] if result["precipitation_chance"] is None else []
    return found + (["wind"] if result["wind_mph"] is None else [])


def _gap_of(asked: str, gaps: Sequence[str]) -> str:
    """The name of two or more gaps together; of three, the one that was asked for, if it is among them."""
    if len(gaps) == 2:
        return "_".join(sorted(gaps))
    return asked if asked in gaps else "many"


# How a reply is put together, with weights: the persona's own way, or with an aside of devices.yaml in some place of it.
_ORDERS: Mapping[tuple[str, ...], int] = {
    ("reply",): 40,
    ("open", "told", "notice", "device"): 28,
    ("opener", "bridge", "told", "notice"): 8,
    ("opener", "bridge", "told", "notice", "close"): 6,
    ("told", "notice", "device"): 18,
}


def told(persona: str, words: Mapping[str, str], middle: str, rng: random.Random) -> str:
    """The persona's words around a middle that is already in words."""
    voice = grammar.load(persona)
    context = {**words, "persona": persona, "intent": "told", "told": middle}
    order = rng.choices(list(_ORDERS), weights=list(_ORDERS.values()))[0]
    said = {
        "reply": lambda: voice.expand("reply", context, rng),
        "open": lambda: voice.expand("open", context, rng),
        "close": lambda: voice.expand("close", context, rng),
        "told": lambda: middle,
        "notice": lambda: grammar.load("facts").expand("notice@" + words["noted"], context, rng),
        "device": lambda: grammar.load("voices").expand("device", context, rng),
        "opener": lambda: grammar.load("voices").expand("opener", context, rng),
        "bridge": lambda: grammar.load("voices").expand("bridge", context, rng),
    }
    return grammar.tidy(" ".join(said[part]() for part in order))


def forecast_reply(
    persona: str,
    result: Result,
    intent: str,
    rng: random.Random,
    *,
    metric: bool = False,
    by_weekday: bool = False,
    says_gaps: bool = False,
    remark: str = "",
    **more: str,
) -> str:
    """The persona's reply to a question of that intent, every figure out of the result.

    `remark`: a rule of facts.yaml whose words go with the facts (stale@..., converted); `more` are its slots.
    """
    words = slots(result, intent, rng, metric=metric, by_weekday=by_weekday)
    middle = facts(words, result, intent, rng, says_gaps=says_gaps)
    if remark:
        middle = grammar.load("facts").expand(remark, {**words, **more, "told": middle}, rng)
    return told(persona, words, middle, rng)


def again_reply(persona: str, result: Result, topic: str, rng: random.Random, *, by_weekday: bool = False) -> str:
    """A short answer out of a result given before; `topic`: low, high, wind, rain or coat."""
    words = slots(result, "general", rng, by_weekday=by_weekday)
    return grammar.load(persona).expand("again", {**words, "topic": topic}, rng)


# --- several results ------------------------------------------------------------------------------------------------------


def pair_reply(persona: str, results: Sequence[Result], rng: random.Random, *, by_weekday: bool = False) -> str:
    """One reply to two results: two places on a day, or two days at a place, each in a sentence of its own."""
    words = [slots(result, "general", rng, by_weekday=by_weekday) for result in results]
    apart = "places" if words[0]["town"] != words[1]["town"] else "days"
    if apart == "days" and any(result["datetime"] in _PARTS_OF_TODAY for result in results):
        words = [slots(result, "general", rng, by_weekday=True) for result in results]
    cases = grammar.load("cases")
    halves = [cases.expand(f"half_{apart}", part, rng) for part in words]
    context = {
        "persona": persona,
        "first": halves[0],
        "second": halves[1],
        "town": words[0]["town"],
        "other": words[1]["town"],
        **_compared(results, words, apart),
    }
    return cases.expand("pair", context, rng)


def _compared(results: Sequence[Result], words: Sequence[Mapping[str, str]], apart: str) -> dict[str, str]:
    """Which of the two is warmer, or that nobody could tell: 4 degrees is what a person notices."""
    highs = [result["high_f"] for result in results]
    if None in highs or abs(highs[0] - highs[1]) < 4:
        return {"edge": "even", "warmer": "", "cooler": ""}
    warm = int(highs[1] > highs[0])
    names = [part["town"] if apart == "places" else grammar.capital(part["when"].removeprefix("on ")) for part in words]
    return {"edge": apart, "warmer": names[warm], "cooler": names[1 - warm]}


def list_reply(persona: str, rule: str, lines: Sequence[str], words: Mapping[str, str], rng: random.Random) -> str:
    """A reply that holds a list of short sentences: the parts of a day, or several days."""
    return grammar.load("cases").expand(rule, {**words, "persona": persona, "listed": " ".join(lines)}, rng)


def case_reply(persona: str, rule: str, rng: random.Random, **words: str) -> str:
    """A reply of cases.yaml."""
    return grammar.load("cases").expand(rule, {**words, "persona": persona}, rng)


def sky_phrase(condition: str) -> str:
    """The condition as a noun phrase: "partly cloudy skies", "fog"."""
    return _KINDS[condition][1]


def failure_reply(persona: str, result: Mapping[str, Any], asked: str, rng: random.Random) -> str:
    """What the persona says when the tool reported a failure about the place `asked`: no forecast in it."""
    return grammar.load(persona).expand(f"failed@{result['error']}", {"asked": asked}, rng)
