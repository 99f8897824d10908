"""What happens in a dialogue with tools: scenario, questions, forecasts and offered tools, drawn for one seed.

The draw is frozen in the seed's payload; turning it into turns is talk.py's business, and no randomness of a batch lies
outside its own seeds: row n is the same however many rows follow.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import date, timedelta
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

import yaml

from twainbot.dialogues import grammar, speech, toolbox, weather
from twainbot.dialogues.observations import Observation
from twainbot.dialogues.toolbox import HOUSE, Offer

Payload: TypeAlias = dict[str, Any]
Ask: TypeAlias = dict[str, Any]

INTENTS = {"general": 40, "rain": 20, "temperature": 15, "wind": 8, "outing": 12, "alerts": 5}
# Of the dialogues that are about weather, in percent of about 108: with a no_tool_share of 0.3, a weight of 6 is 4 % of all.
SCENARIOS = {
    "single": 13,  # one question about a day, one call, one answer
    "other_tool": 5.5,  # this hour, a state's alerts, a day in parts, several days: a daily tool would be the wrong one
    "two_days": 4.5,  # a second question about another day: a second call
    "two_places": 4.5,  # ... about another place
    "parallel": 7,  # two places or two days in one question: two calls at once
    "follow_up": 5,  # a second question that the first result answers: no second call
    "thanks": 3,  # ... or only thanks
    "clarify": 6.5,  # no place named: ask before calling
    "ambiguous": 6,  # a town that several states have: ask which before calling
    "unknown_place": 6.5,  # the tool knows no such place: say so; half of the users then name another
    "tool_error": 6,  # the service is down: say so, no forecast
    "timeout": 6,  # ... or too slow
    "stale": 6.5,  # the result was issued days ago: give it and its age
    "missing": 6.5,  # a field is null: say what is not known
    "units": 6.5,  # Celsius and km/h asked: exact conversion, or the tool's own unit argument
    "dates": 6.5,  # a day worked out from the stated today: the call has the date
    "refusal": 6.5,  # beyond the horizon, certainty, or details that no tool gives: no figure
    "lacking": 2,  # none of the tools offered can tell: no call
}
REFUSALS = {"far_date": 30, "horizon": 30, "certainty": 20, "detail": 20}
# Scenarios whose only question a real bulletin's period can answer.
OBSERVABLE = frozenset({"single", "clarify", "missing", "follow_up", "thanks", "stale"})
# Scenarios that ask after some things only: two questions at once ask generally, and units need figures to be in.
_ONLY_ABOUT = {"parallel": {"general": 1}, "units": {"general": 4, "temperature": 5, "wind": 2}}
# how questions name the day: share, word. None: no day named, and the call says "today".
_DAY_WORDS: tuple[tuple[int, str | None], ...] = (
    (20, "tomorrow"), (20, "tonight"), (16, "today"), (7, "this weekend"), (2, "this afternoon"), (3, "this evening"),
    (3, "tomorrow morning"), (2, "tomorrow night"), (14, "weekday"), (5, "date"), (8, None),
)  # fmt: skip
# of the small talk: what small models took for a question to the tool comes more often than the rest (weight 1)
_TOPICS = {"past": 5, "travel": 3, "errand": 3, "capital": 2, "time": 2, "mood": 2, "rain_why": 2, "snow_why": 2}
_FIELDS = {"low": "low_f", "high": "high_f", "wind": "wind_mph", "rain": "precipitation_chance"}
_NEEDED = {"rain": ("precipitation_chance",), "temperature": ("high_f", "low_f"), "wind": ("wind_mph",)}
_CASUAL_SHARE = 0.08  # questions typed in a hurry
_TODAY_STATED = 0.12  # system prompts that state today though nothing hangs on it
_SPECIAL = {"get_current_conditions": 1, "get_alerts": 1, "get_day_parts": 1, "get_extended_forecast": 1}
_HOLIDAYS = {"Christmas Eve": (12, 24), "New Year's Eve": (12, 31), "the Fourth of July": (7, 4), "Halloween": (10, 31)}


def pick(rng: random.Random, weights: Mapping[str, Any]) -> str:
    """One key, by weight."""
    return rng.choices(list(weights), weights=[float(weight) for weight in weights.values()])[0]


def small_talk(rng: random.Random, today: date) -> Payload:
    """A dialogue without weather in it, or with weather that no tool need be asked about."""
    offered = toolbox.idle(rng)
    return {"scenario": "no_tool", "offers": offered, "says_today": rng.random() < _TODAY_STATED, **_chat(rng, today)}


def weather_talk(rng: random.Random, today: date, seen: Observation | None) -> Payload:
    """A dialogue about weather. `seen`: what a real bulletin said; it is taken where the scenario allows, and then today is
    the day of its issue. The payload has `observed` where it was."""
    scenario = pick(rng, SCENARIOS)
    if scenario == "refusal":
        return _refusal(rng, today)
    if scenario == "lacking":
        ask = _ask(rng, today, "q", word=rng.choice(("tomorrow", weather.WEEKDAYS[(today.weekday() + 3) % 7])))
        return {"scenario": scenario, "offers": toolbox.without_forecast(rng), "asks": [ask], "says_today": False}
    if scenario == "other_tool":
        return _special(rng, today)
    tool = _tool_for(scenario, rng)
    dated = "date" in toolbox.roles(tool).values()
    observed = seen if seen is not None and scenario in OBSERVABLE and not dated else None
    payload: Payload = {"scenario": scenario, "call": tool, "says_today": dated or rng.random() < _TODAY_STATED}
    if observed is not None:
        today = observed.issued
        payload |= {"observed": observed.chunk_id, "today": today.isoformat()}
    asks = _asks(rng, scenario, today, tool, observed)
    rivals = ["get_alerts"] if any(ask["intent"] == "alerts" for ask in asks) else []
    rivals += ["get_current_conditions"] if any(ask["frames"] == "now" for ask in asks) else []
    payload |= {"asks": asks, "offers": toolbox.offers(tool, rng, rivals=rivals)}
    return payload | _extras(rng, scenario, asks)


def _tool_for(scenario: str, rng: random.Random) -> Offer:
    """The tool of a scenario; what hangs on the house's own figures stays with the house's tool."""
    if scenario in ("two_days", "two_places", "follow_up", "stale") and rng.random() < 0.6:
        return HOUSE, 0
    if scenario == "units":
        return (HOUSE, 0) if rng.random() < 0.5 else toolbox.alone("get_weather", rng)
    return toolbox.daily(rng)


def _extras(rng: random.Random, scenario: str, asks: Sequence[Ask]) -> Payload:
    if scenario == "follow_up":
        known = [topic for topic, key in _FIELDS.items() if asks[0]["result"][key] is not None]
        if asks[0]["result"]["high_f"] is not None and asks[0]["result"]["low_f"] is not None:
            known.append("coat")
        return {"topics": rng.sample(known, min(len(known), rng.choice((1, 1, 2))))}
    return {"says_today": True} if scenario in ("dates", "stale") else {}


# --- questions -----------------------------------------------------------------------------------------------------------


def _asks(rng: random.Random, scenario: str, today: date, tool: Offer, observed: Observation | None) -> list[Ask]:
    """The questions of a scenario, each with the forecast that answers it."""
    first = _first_ask(rng, scenario, today, tool, observed)
    if scenario in ("tool_error", "timeout"):
        code = {"tool_error": "service_unavailable"}.get(scenario, scenario)
        return [{**first, "result": weather.failure(code, first["location"], first["datetime"])}]
    if scenario == "unknown_place":
        return _unknown(rng, today, first)
    if scenario == "two_days" or (scenario == "parallel" and rng.random() < 0.4):
        return [first, _again(rng, today, first, datetime=_other_day(rng, today, tool, first))]
    if scenario in ("two_places", "parallel"):
        return [first, _again(rng, today, first, location=_other_place(rng, first["location"]))]
    return [first]


def _first_ask(rng: random.Random, scenario: str, today: date, tool: Offer, observed: Observation | None) -> Ask:
    frames = {"clarify": "nowhere", "ambiguous": "q"}.get(scenario, "q")
    if observed is not None:
        ask = _observed_ask(rng, frames, observed)
    elif scenario == "dates":
        ask = _dated_ask(rng, today, alerts=tool[0] == HOUSE)
    else:
        asked = scenario in (
            "two_days",
            "clarify",
            "parallel",
            "unknown_place",
            "tool_error",
            "timeout",
            "missing",
            "units",
        )
        word = _word_for(rng, today, tool, named=asked or scenario == "stale")
        place = _ambiguous(rng) if scenario == "ambiguous" else None
        intent = pick(rng, _ONLY_ABOUT[scenario]) if scenario in _ONLY_ABOUT else ""
        ask = _ask(rng, today, frames, word=word, location=place, intent=intent, alerts=tool[0] == HOUSE)
    if scenario == "missing":
        ask["result"] = _with_gaps(rng, ask["result"], ask["intent"])
    if scenario == "units":
        ask["units"] = "celsius"
    if scenario == "stale":
        ask["issued_at"] = _issued(rng, today)
    if scenario == "ambiguous":
        ask["town"] = ask["location"].partition(",")[0]
    return ask


def _intents(frames: str, *, alerts: bool = True) -> dict[str, int]:
    """The intents that the questions of a family of frames have, with their weights."""
    known = grammar.load("questions").family(frames)
    return {name: weight for name, weight in INTENTS.items() if name in known and (alerts or name != "alerts")}


def _ask(
    rng: random.Random,
    today: date,
    frames: str,
    *,
    word: str | None,
    location: str | None = None,
    intent: str = "",
    alerts: bool = True,
) -> Ask:
    """A first question and its forecast. `frames`: q, now (no day named), casual or nowhere (no town named).

    `alerts`: whether the question may be about alerts, which only the house's tool tells of a day.
    """
    if word is None:
        frames = "now"
    elif frames == "q" and _may_be_casual(word, location, intent) and rng.random() < _CASUAL_SHARE:
        frames = "casual"
    ask = {
        "frames": frames,
        "intent": intent or pick(rng, _intents(frames, alerts=alerts)),
        "location": location or _spelling(rng),
        "datetime": word or "today",
    }
    if frames == "casual":
        ask |= {"location": ask["location"].lower(), "datetime": ask["datetime"].lower()}
    return _forecast(ask, today=today, rng=rng)


def _may_be_casual(word: str, location: str | None, intent: str) -> bool:
    """Whether a question can be typed in lower case: not with a date, a place that was chosen, or what nobody so asks."""
    return not word[:1].isdigit() and location is None and (not intent or intent in _intents("casual"))


def _forecast(ask: Ask, *, today: date, rng: random.Random, **changes: Any) -> Ask:
    """The question with some parts changed, and the forecast that answers it."""
    made = {**ask, **changes}
    made["result"] = weather.simulate(made["location"], made["datetime"], today, rng.randrange(2**31))
    made["date"] = made["result"].get("date", made["datetime"])
    return made


def _again(rng: random.Random, today: date, first: Ask, **changes: Any) -> Ask:
    asked = {key: first[key] for key in ("frames", "intent", "location", "datetime")}
    return _forecast(asked, today=today, rng=rng, **changes)


def _observed_ask(rng: random.Random, frames: str, seen: Observation) -> Ask:
    """A question that the bulletin's period answers; its intent is one for which a figure was given."""
    ahead = (seen.day - seen.issued).days
    weekday = weather.WEEKDAYS[seen.day.weekday()]
    if seen.is_night:
        word = {0: "tonight", 1: "tomorrow night"}.get(ahead, f"{weekday} night")
    else:
        word = {0: "today", 1: "tomorrow"}.get(ahead, weekday)
    result = {
        "location": seen.location, "datetime": word, "date": seen.day.isoformat(), "weekday": weekday,
        "condition": seen.condition, "high_f": seen.high_f, "low_f": seen.low_f,
        "precipitation_chance": seen.precipitation_chance, "wind_mph": seen.wind_mph,
        "wind_direction": seen.wind_direction if seen.wind_mph is not None else None, "alerts": None,
    }  # fmt: skip
    # the bulletin's own text says nothing of alerts in a form that a tool would give: neither some nor none
    known = _intents(frames, alerts=False)
    wanted = {
        name: known[name] for name in known if any(result[key] is not None for key in _NEEDED.get(name, ("date",)))
    }
    spellings = [seen.location, seen.location]
    if seen.state in weather.region_names():
        spellings.append(f"{seen.town}, {weather.region_names()[seen.state]}")
    ask = {"frames": frames, "intent": pick(rng, wanted), "location": rng.choice(spellings), "datetime": word}
    return {**ask, "result": result, "date": result["date"]}


def is_usable(seen: Observation) -> bool:
    """Whether an answer can be spoken about it: a plain sky, and a name that is no wind's."""
    aimed = seen.town.split()[0] in ("North", "South", "East", "West")
    return seen.condition in speech.CONDITIONS and not aimed


def _with_gaps(rng: random.Random, result: Mapping[str, Any], intent: str) -> dict[str, Any]:
    """The forecast without the field that was asked for, or any; at times without a second one. One figure always stays."""
    made = dict(result)
    known = [key for key in _FIELDS.values() if made[key] is not None]
    wanted = [key for key in _NEEDED.get(intent, tuple(_FIELDS.values())) if key in known and len(known) > 1]
    gone = [rng.choice(wanted)] if wanted else []
    rest = [key for key in known if key not in gone]
    if len(rest) > 2 and rng.random() < 0.35:
        gone.append(rng.choice(rest))
    made |= dict.fromkeys(gone)
    return {**made, "wind_direction": None if made["wind_mph"] is None else made["wind_direction"]}


def _issued(rng: random.Random, today: date) -> str:
    """When a stale result was issued, local time: one to four days ago."""
    return f"{(today - timedelta(days=rng.randrange(1, 5))).isoformat()} {rng.choice(('04:00', '05:30', '15:15', '21:00'))}"


def _unknown(rng: random.Random, today: date, first: Ask) -> list[Ask]:
    location = rng.choice(weather.unknown_places())
    frames = "q" if first["frames"] == "casual" else first["frames"]
    ask = {**first, "frames": frames, "location": location, "datetime": _capital_day(first["datetime"])}
    ask["result"] = weather.failure("unknown_location", location, ask["datetime"])
    if rng.random() < 0.5:
        return [ask, _forecast(ask, location=_spelling(rng), today=today, rng=rng)]
    return [ask]


def _capital_day(word: str) -> str:
    return word.capitalize() if word.capitalize() in weather.WEEKDAYS else word


# --- days ------------------------------------------------------------------------------------------------------------------


def _day_word(rng: random.Random, today: date) -> str | None:
    word = rng.choices([word for _, word in _DAY_WORDS], weights=[share for share, _ in _DAY_WORDS])[0]
    if word == "weekday":
        return weather.WEEKDAYS[(today.weekday() + rng.randrange(2, 7)) % 7]
    return (today + timedelta(days=rng.randrange(2, 10))).isoformat() if word == "date" else word


def _named_day(rng: random.Random, today: date, other_than: str = "") -> str:
    """A day word, drawn again until it names a day other than the given one."""
    while True:
        word = _day_word(rng, today)
        if word not in (None, other_than):
            return str(word)


def _word_for(rng: random.Random, today: date, tool: Offer, *, named: bool) -> str | None:
    """A day word that the tool's schema can carry: one that takes a calendar date needs a single, named day."""
    dated = "date" in toolbox.roles(tool).values()
    while True:
        word = _day_word(rng, today)
        if (word is None and (named or dated)) or (dated and word is not None and not _is_whole_day(word)):
            continue
        return word


def _is_whole_day(word: str) -> bool:
    return word in ("today", "tomorrow") or word in weather.WEEKDAYS or word[:1].isdigit()


def _other_day(rng: random.Random, today: date, tool: Offer, first: Ask) -> str:
    """A day word for a later date than the first question's."""
    before = weather.resolve(first["datetime"], today) or today
    for _ in range(20):
        word = str(_word_for(rng, today, tool, named=True))
        if (weather.resolve(word, today) or today) > before:
            return word.lower() if first["frames"] == "casual" else word
    return (before + timedelta(days=1)).isoformat()


def _dated_ask(rng: random.Random, today: date, *, alerts: bool) -> Ask:
    """A question whose day must be counted from today; the call has its date, the question the words."""
    while True:
        words, day = rng.choice(_spoken_dates(rng, today))
        if 0 < (day - today).days <= weather.HORIZON_DAYS:
            break
    ask = _ask(rng, today, "q", word=day.isoformat(), alerts=alerts)
    return {**ask, "when": words}


def _spoken_dates(rng: random.Random, today: date) -> list[tuple[str, date]]:
    """Ways to speak of a day, with what they mean. A "next Friday" on which people differ is left out."""
    ahead = rng.randrange(3, 7)
    weekday = today.weekday()
    later = today + timedelta(days=rng.randrange(2, 13))
    coming = [n for n in range(1, 8) if (weekday + n) >= 7]  # the next such day is also one of next week
    nearest = today + timedelta(days=rng.choice(coming))
    counted = ("three", "four", "five", "six")[ahead - 3]
    named = [(f"on {name}", date(today.year, *day)) for name, day in _HOLIDAYS.items()]
    return [
        ("the day after tomorrow", today + timedelta(days=2)),
        (f"in {counted} days", today + timedelta(days=ahead)),
        (f"{counted} days from now", today + timedelta(days=ahead)),
        (f"next {weather.WEEKDAYS[nearest.weekday()]}", nearest),
        (f"next {weather.WEEKDAYS[nearest.weekday()]}", nearest),
        (f"next {weather.WEEKDAYS[nearest.weekday()]}", nearest),
        ("a week from today", today + timedelta(days=7)),
        ("a week from tomorrow", today + timedelta(days=8)),
        (f"on the {speech.ordinal(later.day)}", later),
        (f"on {later:%B} {speech.ordinal(later.day)}", later),
        (f"on the {speech.ordinal(later.day)} of {later:%B}", later),
        *named,
    ]


# --- places ------------------------------------------------------------------------------------------------------------


def _spelling(rng: random.Random) -> str:
    """A place as a user writes it: most often with its full region, which a call must copy whole."""
    place = rng.choice(weather.places())
    written = weather.spellings(place)
    return rng.choices(written, weights=[5 if place.region in name else 3 for name in written])[0]


def _other_place(rng: random.Random, first: str) -> str:
    while True:
        place = _spelling(rng)
        if weather.find(place) != weather.find(first):
            return place


def _ambiguous(rng: random.Random) -> str:
    """A place whose town several regions have, as the user writes it when asked which."""
    towns = weather.ambiguous_towns()
    place = rng.choice(towns[rng.choice(sorted(towns))])
    return rng.choice(weather.spellings(place))


# --- tools that are not about one day --------------------------------------------------------------------------------


def _special(rng: random.Random, today: date) -> Payload:
    name = pick(rng, _SPECIAL)
    tool = toolbox.alone(name, rng)
    dated = "date" in toolbox.roles(tool).values()
    ask = _special_ask(rng, today, name, dated=dated)
    offered = toolbox.offers(tool, rng)  # the house's daily tool may be among them: it would be the wrong one
    return {"scenario": "other_tool", "call": tool, "offers": offered, "asks": [ask], "says_today": dated}


def _special_ask(rng: random.Random, today: date, name: str, *, dated: bool) -> Ask:
    if name == "get_alerts":
        return _alert_ask(rng, today)
    word = {"get_current_conditions": "today", "get_extended_forecast": "tomorrow"}.get(name, "")
    while not word:
        drawn = _named_day(rng, today)
        word = drawn if _is_whole_day(drawn) and (dated or not drawn[:1].isdigit()) else ""
    frames = {"get_current_conditions": "current", "get_extended_forecast": "several", "get_day_parts": "parts"}[name]
    ask = _ask(rng, today, frames, word=word, intent="general", location=_spelling(rng))
    return {**ask, **_special_result(rng, today, name, ask)}


def _special_result(rng: random.Random, today: date, name: str, ask: Ask) -> Payload:
    result = ask["result"]
    if name == "get_current_conditions":
        reading = rng.randint(result["low_f"], result["high_f"])
        wet = result["precipitation_chance"] >= 45 or result["condition"] == "fog"
        observed = f"{rng.randrange(7, 19):02d}:{rng.choice(('00', '15', '51', '53'))}"
        return {
            "extra": {
                "observed": observed,
                "temperature_f": reading,
                "humidity": rng.randrange(*((75, 99) if wet else (20, 75))),
            }
        }
    if name == "get_day_parts":
        high, low = result["high_f"], result["low_f"]
        skies = [rng.choice(speech.NEIGHBORS.get(result["condition"], (result["condition"],))) for _ in range(2)]
        temps = (low + (high - low) // 3, high, low + (high - low) // 2)
        conditions = (skies[0], result["condition"], skies[1])
        parts = [
            {"part": part, "condition": sky, "temp_f": temp}
            for part, sky, temp in zip(("morning", "afternoon", "evening"), conditions, temps, strict=True)
        ]
        return {"extra": {"parts": parts}}
    count = rng.choice((2, 3, 3, 4))
    days = [
        weather.simulate(ask["location"], (today + timedelta(days=n)).isoformat(), today, rng.randrange(2**31))
        for n in range(2, count + 1)
    ]
    return {"count": count, "extra": {"days": days}}


def _alert_ask(rng: random.Random, today: date) -> Ask:
    """A question about a state's alerts; the state is named as people do, the call has its letters."""
    place = rng.choice([place for place in weather.places() if place.abbreviation])
    ask = _ask(rng, today, "state", word="today", intent="general", location=f"{place.town}, {place.region}")
    posted = rng.sample(weather.alert_names(place, today), rng.choice((0, 1, 1, 2)))
    return {**ask, "state": place.abbreviation, "region": place.region, "extra": {"alerts": posted}}


# --- refusals and small talk ------------------------------------------------------------------------------------------


def _refusal(rng: random.Random, today: date) -> Payload:
    kind = pick(rng, REFUSALS)
    tool: Offer = (HOUSE, 0)
    payload: Payload = {"scenario": "refusal", "refuses": kind, "call": tool, "says_today": kind == "far_date"}
    if kind == "far_date":
        ask = _ask(rng, today, "q", word="tomorrow", location=_spelling(rng))
        far = today + timedelta(days=rng.randrange(weather.HORIZON_DAYS + 6, 200))
        ask |= {"datetime": far.isoformat(), "date": far.isoformat()}
        ask["result"] = weather.failure("no_data_for_date", ask["location"], far.isoformat())
    else:
        ask = _ask(rng, today, "q", word=_named_day(rng, today), location=_spelling(rng))
    return payload | {"asks": [ask], "offers": toolbox.offers(tool, rng)}


@cache
def _capitals() -> dict[str, str]:
    text = (resources.files("twainbot.dialogues") / "topics.yaml").read_text("utf-8")
    return yaml.safe_load(text)["capitals"]


def _chat(rng: random.Random, today: date) -> Payload:
    topics: Sequence[str] = grammar.load("chat").family("ask")
    topic = pick(rng, {topic: _TOPICS.get(topic, 1) for topic in topics})
    country = rng.choice(sorted(_capitals()))
    a, b = rng.randrange(2, 60), rng.randrange(2, 60)
    place = _spelling(rng)
    total = a + b + (rng.choice((-10, -2, -1, 1, 2, 10)) if topic == "sum_wrong" else 0)
    return {
        "topic": topic,
        "datetime": _day_word(rng, today) or "today",
        "slots": {
            "place": place,
            "other": _other_place(rng, place),
            "country": country,
            "capital": _capitals()[country],
            "a": str(a),
            "b": str(b),
            "c": str(total),
        },
    }
