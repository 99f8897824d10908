"""A bulletin's period as a short piece in a persona's manner: what of it may be said, and the frame that says it.

Every figure stands in the bulletin's own words: a midpoint that a reader computed ("upper 30s" as 38) is never spoken.
The jokes are data (grammars/piece_*.yaml), keyed by the kind of sky. Retelling jokes and sayings is transfer.py's.
"""

from __future__ import annotations

import random
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from datetime import date
from typing import Any

from twainbot import personas
from twainbot.dialogues import figures, grammar
from twainbot.dialogues.observations import FIGURES, Observation
from twainbot.dialogues.weather import DIRECTION_WORDS, WEEKDAYS
from twainbot.evals import grounding

TONES = ("dry", "warm", "grave")
LENGTHS = {"line": 3, "short": 4, "full": 3}  # one or two sentences, about three, four or five
DRAFTS = 6  # one in 300 first drafts over the sample corpus is drawn again
MAX_WORDS = 60  # longer bulletins cost more tokens than the lesson is worth

_KINDS = (  # looked for in this order; a period of several skies has several kinds
    ("storm", r"thunder\w*|storms?"),
    ("sleet", r"sleet|freezing (?:rain|drizzle)|wintry mix|ice pellets"),
    ("snow", r"snow|flurries|blizzard"),
    ("rain", r"(?<!freezing )(?:rain|drizzle)|showers?"),
    ("fog", r"fog|mist|haze"),
    ("windy", r"wind|windy|breezy|brisk|blustery|blowing"),
    ("partly", r"part(?:ly|ial)\b|clouds and sun|mixed|becoming partly"),
    ("sunny", r"(?<!partly )(?:sunny|sunshine|clear|fair)"),
    ("cloudy", r"(?<!partly )cloudy|overcast|clouds"),
)
_AT_NIGHT = {"sunny": "clear", "cloudy": "nightcloud", "partly": "nightcloud"}
_HOT_F, _COLD_F = 88, 34  # highs from and up to which the thermometer is worth a joke of its own
_COLD_NIGHT_F = 25
_SIMPLE = re.compile(
    r"(?:(?:mostly|partly|mainly) )?(?:sunny|clear|cloudy|overcast|fair)"
    r"(?:(?:,| and) (?:breezy|windy|warm|mild|cool|cold|hot|pleasant|muggy|dry|comfortable|very warm|a little cooler))*"
)
_THING = re.compile(
    r"(?:(?:light|heavy|scattered|dense|patchy|freezing|rain|snow|occasional) )*"
    r"(?:rain|drizzle|fog|snow|showers|flurries|thunderstorms|haze|sleet)"
)


def frozen(seen: Observation) -> dict[str, Any]:
    """The observation as JSON values, as a seed keeps it."""
    return {name: value.isoformat() if isinstance(value, date) else value for name, value in asdict(seen).items()}


def thawed(kept: Mapping[str, Any]) -> Observation:
    """The observation that a seed kept."""
    values: dict[str, Any] = {
        **kept,
        "issued": date.fromisoformat(kept["issued"]),
        "day": date.fromisoformat(kept["day"]),
    }
    return Observation(**values)


def fit(seen: Observation) -> bool:
    """Whether a piece can be made of it: a sky that has jokes, some figure in its own words, and no long read."""
    return (
        bool(kinds(seen))
        and len(seen.text.split()) <= MAX_WORDS
        and any(stated(seen, name) is not None or decade(seen, name) for name in FIGURES)
    )


def stated(seen: Observation, name: str) -> int | None:
    """The figure of that name where the bulletin's words hold it as a number, else None."""
    value = getattr(seen, name)
    if value is None or abs(value) not in {abs(figure.value) for figure in figures.read(seen.text)}:
        return None
    return int(value)


def decade(seen: Observation, name: str) -> str:
    """The decade in which the bulletin puts a temperature that it gives no figure for ("mid 70s"), else ""."""
    word = {"high_f": "highs?", "low_f": "lows?"}.get(name)
    if word is None or stated(seen, name) is not None:
        return ""
    found = re.search(rf"\b{word} in the ((?:lower|mid|middle|upper) \d0s)\b", seen.text, re.IGNORECASE)
    return found[1].lower() if found else ""


def as_result(seen: Observation) -> dict[str, Any]:
    """The observation as a tool could have answered it, the bulletin's words beside its fields; what is null is absent."""
    told = {
        "location": seen.location,
        "datetime": "today" if seen.period == "Rest Of Today" else seen.period,
        "date": seen.day.isoformat(),
        "weekday": WEEKDAYS[seen.day.weekday()],
        "condition": seen.condition,
        "text": seen.text,
    }
    named = ("high_f", "low_f", "precipitation_chance", "wind_mph", "wind_direction")
    return told | {name: getattr(seen, name) for name in named if getattr(seen, name) is not None}


def kinds(seen: Observation) -> list[str]:
    """The kinds of sky that the period has, as the grammars key their jokes; heat and cold count as kinds."""
    found = [kind for kind, pattern in _KINDS if re.search(rf"\b(?:{pattern})\b", seen.condition)]
    if seen.is_night:
        found = [_AT_NIGHT.get(kind, kind) for kind in found]
    if not found:
        return []
    high, low = stated(seen, "high_f"), stated(seen, "low_f")
    hot = high is not None and high >= _HOT_F
    cold = (high is not None and high <= _COLD_F) or (low is not None and low <= _COLD_NIGHT_F)
    return list(dict.fromkeys([*found, *(["hot"] if hot else []), *(["cold"] if cold else [])]))


def request(seen: Observation, controls: Mapping[str, str], rng: random.Random) -> str:
    """The user's words: the bulletin quoted, the manner, device and length asked for."""
    said = " ".join(seen.text.split()).replace('"', "'")
    words = {**controls, "place": seen.location, "period": _shown(seen.period), "bulletin": said}
    return grammar.load("bulletin").expand("ask", words, rng)


def piece(seen: Observation, controls: Mapping[str, str], rng: random.Random) -> str:
    """The persona's piece. `controls`: persona, device, tone and length.

    A draft in which the evaluator finds a claim that the bulletin does not bear out is drawn again: a joke about rain
    may say "dry", and bulletins yet to come have skies that nobody here has read.
    """
    rule = "news" if controls["device"] == "mock_news" else "piece"
    told = as_result(seen)
    draft = ""
    for _ in range(DRAFTS):
        words = {**slots(seen, controls, rng), **controls}
        draft = grammar.load(f"piece_{controls['persona']}").expand(f"{rule}@{controls['length']}", words, rng)
        if not any(claim.verdict in grounding.ERRORS for claim in grounding.judge(draft, [told])):
            break
    return draft


def slots(seen: Observation, controls: Mapping[str, str], rng: random.Random) -> dict[str, str]:
    """What the grammars say of the period; figures in digits or, outside a newspaper, at times in words."""
    in_words = personas.of(controls["persona"]).numbers_in_words and rng.random() < 0.45
    parts = _parts(seen, in_words, rng)
    if controls["length"] == "short" and rng.random() < 0.5:
        parts = parts[:2]
    sky = sky_words(seen.condition)
    return {
        "town": seen.town,
        "when": when(seen.period),
        "on_day": when(seen.period).removesuffix(" night"),
        "sky": sky,
        "form": _form(sky),
        "figure": parts[0],
        "figures": _listed(parts),
        "kind": rng.choice(kinds(seen)),
        "hours": "night" if seen.is_night else "day",
    }


def _shown(period: str) -> str:
    return period.replace("Night", "night").replace("Of Today", "of today")


def when(period: str) -> str:
    """The period inside a sentence: "on Tuesday night", "for the rest of today", "tonight"."""
    if period == "Rest Of Today":
        return "for the rest of today"
    if period.removesuffix(" Night") in WEEKDAYS:
        return f"on {period.replace('Night', 'night')}"
    return period.lower()


def sky_words(condition: str) -> str:
    """The condition without a dangling end ("sunny, then"), a first clause where the whole is long."""
    whole = re.sub(r"[,;]?\s+(?:then|and|with|becoming|or)$", "", re.sub(r"\s*\.\.\.\s*", ", ", condition.strip(" .,")))
    return whole if len(whole.split()) <= 9 else whole.partition(",")[0]


def _form(sky: str) -> str:
    """How a sentence can take the sky: adj ("mostly sunny and hot"), noun ("patchy fog"), else only as a quotation."""
    if _SIMPLE.fullmatch(sky):
        return "adj"
    return "noun" if _THING.fullmatch(sky) else "quoted"


def _parts(seen: Observation, in_words: bool, rng: random.Random) -> list[str]:
    """The figures as phrases, in the bulletin's order or, in some pieces, in another."""
    said = {
        "high": _degrees(stated(seen, "high_f"), in_words, rng),
        "low": _degrees(stated(seen, "low_f"), in_words, rng),
        "chance": _percent(stated(seen, "precipitation_chance"), in_words),
        "wind": _speed(seen, in_words, rng) if stated(seen, "wind_mph") is not None else "",
    }
    words = {"wet": chance_of(seen), "way": DIRECTION_WORDS.get(seen.wind_direction or "", "")}
    decades = {"high": decade(seen, "high_f"), "low": decade(seen, "low_f")}
    made = [_phrase(f"{name}_decade", {**words, "value": value}, rng) for name, value in decades.items() if value]
    made += [_phrase(name, {**words, "value": value}, rng) for name, value in said.items() if value]
    if len(made) > 1 and rng.random() < 0.4:
        rng.shuffle(made)
    return made


def _phrase(name: str, words: Mapping[str, str], rng: random.Random) -> str:
    rule = f"part@{name}" if name != "wind" or words["way"] else "part@wind_alone"
    phrase = grammar.load("figures").expand(rule, words, rng)
    return phrase[:1].lower() + phrase[1:]


_WET = (
    r"((?:light |heavy |freezing )?(?:rain showers|snow showers|rain|snow|showers|thunderstorms|drizzle|sleet)"
    r"(?: (?:or|and) (?:rain|snow|sleet|freezing rain|thunderstorms))?)"
)


def chance_of(seen: Observation) -> str:
    """What the figure is a chance of, in the bulletin's word beside that figure; precipitation where it names none.

    "A slight chance of thunderstorms. Chance of rain 20 percent." says 20 of the rain, and none of the thunderstorms.
    """
    text, figure = seen.text.lower(), seen.precipitation_chance
    before = re.search(rf"\b{figure} percent chance of {_WET}", text)
    after = re.search(rf"chance of {_WET} (?:near |around |about )?{figure} percent", text)
    found = before or after
    return found[1] if found else "precipitation"


def _speed(seen: Observation, in_words: bool, rng: random.Random) -> str:
    """The wind as the bulletin has it, a range where it gives one."""
    wind = int(seen.wind_mph or 0)
    span = re.search(rf"\b(\d+) to {wind} mph", seen.text, re.IGNORECASE)
    speed = _number(wind, in_words)
    unit = "miles an hour" if in_words or rng.random() < 0.3 else "mph"
    return f"{_number(int(span[1]), in_words)} to {speed} {unit}" if span else f"{speed} {unit}"


def _degrees(value: int | None, in_words: bool, rng: random.Random) -> str:
    if value is None:
        return ""
    if value < 0:
        return f"{_number(-value, in_words)} below zero"
    if in_words:
        return f"{spelled_out(value)} degrees"
    return rng.choice((f"{value}°F", f"{value} degrees", f"{value} degrees"))


def _percent(value: int | None, in_words: bool) -> str:
    return "" if value is None else f"{_number(value, in_words)} percent"


def _number(value: int, in_words: bool) -> str:
    return spelled_out(value) if in_words and value <= 120 else str(value)


def spelled_out(value: int) -> str:
    """0 to 120 in words: eighty-two, a hundred, one hundred and four."""
    if value >= 100:
        return "one hundred" + (f" and {spelled_out(value - 100)}" if value > 100 else "")
    if value < 20:
        return figures.SMALL[value]
    return figures.TENS[value // 10 - 2] + (f"-{figures.SMALL[value % 10]}" if value % 10 else "")


def _listed(parts: Sequence[str]) -> str:
    if len(parts) < 3:
        return " and ".join(parts)
    return f"{', '.join(parts[:-1])}, and {parts[-1]}"
