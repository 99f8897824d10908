"""The tools that dialogues offer, their schemas and the shapes of their results. Names and messages are tools.py's.

A tool is named here by its served name and the number of its dialect, so that a seed can freeze it: ("get_weather", 1).
The house's get_forecast has one dialect only: it is what is served and evaluated.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any, TypeAlias

import yaml

from twainbot.dialogues import figures
from twainbot.dialogues.tools import FORECAST_TOOL, stored_name
from twainbot.errors import BadUse

HOUSE = "get_forecast"
Ask: TypeAlias = Mapping[str, Any]  # one question of a seed; see situations.py
Offer: TypeAlias = "tuple[str, int]"  # served name and dialect

# of the tools that answer a question about one day, which one a dialogue has
DAILY: Mapping[str, float] = {HOUSE: 74, "get_weather": 15, "daily_outlook": 11}
_HOUSE_ROLES = {"location": "place", "datetime": "day"}
_ONLY_HOUSE = 0.86  # of the dialogues whose daily tool is the house's, those that offer nothing beside it


@cache
def _data() -> dict[str, Any]:
    return yaml.safe_load((resources.files("twainbot.dialogues") / "toolbox.yaml").read_text("utf-8"))


def weather_tools() -> tuple[str, ...]:
    """Served names of all tools that say something about weather, the house's first."""
    return (HOUSE, *_data()["weather"])


def other_tools() -> tuple[str, ...]:
    """Served names of the tools of other trades."""
    return tuple(_data()["other"])


def dialects(name: str) -> int:
    """How many dialects a tool has."""
    return len(_data()["weather"][name]) if name in _data()["weather"] else 1


def _parameters(offer: Offer) -> Mapping[str, Mapping[str, Any]]:
    """The parameters of a tool as toolbox.yaml has them, in their order."""
    return _entry(offer)["parameters"]


def _entry(offer: Offer) -> Mapping[str, Any]:
    name, dialect = offer
    if name in _data()["weather"]:
        return _data()["weather"][name][dialect]
    if name in _data()["other"]:
        return _data()["other"][name]
    raise BadUse(f"No tool is called {name!r}; there are {[*weather_tools(), *other_tools()]}. Add it to toolbox.yaml.")


def roles(offer: Offer) -> dict[str, str]:
    """What each parameter of a tool is filled with, in the schema's order: place, day, date, units, state or count."""
    if offer[0] == HOUSE:
        return dict(_HOUSE_ROLES)
    return {name: str(made.get("role", "")) for name, made in _parameters(offer).items()}


def schema(offer: Offer) -> dict[str, Any]:
    """The tool as a model is offered it, in the served form."""
    if offer[0] == HOUSE:
        return FORECAST_TOOL
    parameters = _parameters(offer)
    properties = {
        name: {key: value for key, value in made.items() if key not in ("role", "optional")}
        for name, made in parameters.items()
    }
    required = [name for name, made in parameters.items() if not made.get("optional")]
    function = {
        "name": offer[0],
        "description": _entry(offer)["description"],
        "parameters": {"type": "object", "properties": properties, "required": required},
    }
    return {"type": "function", "function": function}


def stored(name: str) -> str:
    """The stored name of a tool: dotted where tools.py maps it, else as it is served."""
    return stored_name(name, offered=(name,))


def arguments(offer: Offer, ask: Ask) -> dict[str, Any]:
    """The arguments of the call that answers an ask, in the schema's order; optional ones that it does not need are left out.

    Raises BadUse where the ask lacks what the tool requires.
    """
    filled: dict[str, Any] = {}
    for name, role in roles(offer).items():
        made = _parameters(offer)[name] if offer[0] != HOUSE else {}
        value = _filled(role, ask, optional=bool(made.get("optional")))
        if value is not None:
            filled[name] = value
        elif not made.get("optional"):
            raise BadUse(f"The tool {offer[0]} requires {name!r} ({role}), which the ask does not say: {dict(ask)}.")
    return filled


def _filled(role: str, ask: Ask, *, optional: bool) -> Any:
    if role == "units":
        units = ask.get("units", "fahrenheit")
        return None if optional and units == "fahrenheit" else units
    return ask.get({"place": "location", "day": "datetime"}.get(role, role))


# --- what is offered ---------------------------------------------------------------------------------------------------


def alone(name: str, rng: random.Random) -> Offer:
    """The tool in one of its dialects."""
    return name, rng.randrange(dialects(name))


def offers(primary: Offer, rng: random.Random, *, rivals: Sequence[str] = ()) -> list[Offer]:
    """The tools of a dialogue that calls `primary`, in random order: mostly that one, else up to three beside it.

    `rivals`: served names that could answer as well, so that offering them would make the right call a matter of taste.
    """
    if primary[0] == HOUSE and rng.random() < _ONLY_HOUSE:
        return [primary]
    shut = {primary[0], *rivals, *(DAILY if primary[0] in DAILY else ())}
    pool = [name for name in (*weather_tools(), *other_tools()) if name not in shut]
    if primary[0] not in DAILY:  # a question about now, parts of a day or several days also has a daily tool beside it
        pool = [name for name in pool if name not in DAILY] + [HOUSE]
    beside = rng.sample(pool, rng.choices((0, 1, 2, 3), weights=(4, 5, 2, 1))[0])
    made = [primary, *(alone(name, rng) for name in beside)]
    rng.shuffle(made)
    return made


def idle(rng: random.Random) -> list[Offer]:
    """The tools of a dialogue that calls none: mostly the house's, else others beside it or in its place."""
    if rng.random() < 0.8:
        return [(HOUSE, 0)]
    pool = [name for name in (*weather_tools(), *other_tools()) if name not in DAILY]
    made = [alone(_drawn(DAILY, rng), rng), *(alone(name, rng) for name in rng.sample(pool, rng.choice((0, 1, 2))))]
    rng.shuffle(made)
    return made


def without_forecast(rng: random.Random) -> list[Offer]:
    """Tools of which none can tell the weather of a day to come."""
    made = [alone(name, rng) for name in rng.sample(other_tools(), rng.choice((1, 2)))]
    if rng.random() < 0.4:
        made.append(alone("get_current_conditions", rng))
    return made


def daily(rng: random.Random) -> Offer:
    """A tool that answers a question about one day."""
    return alone(_drawn(DAILY, rng), rng)


def _drawn(weights: Mapping[str, float], rng: random.Random) -> str:
    return rng.choices(list(weights), weights=list(weights.values()))[0]


# --- what comes back -----------------------------------------------------------------------------------------------------


def result(offer: Offer, ask: Ask) -> dict[str, Any]:
    """What the tool answers to an ask, out of the forecast that its seed holds; a failure is the same for all tools."""
    forecast = ask["result"]
    if "error" in forecast:
        return dict(forecast)
    made = _SHAPES.get(offer[0], _house)(forecast, ask)
    return {**made, "issued_at": ask["issued_at"]} if ask.get("issued_at") else made


def _house(forecast: Ask, _ask: Ask) -> dict[str, Any]:
    return dict(forecast)


def _city(forecast: Ask, ask: Ask) -> dict[str, Any]:
    metric = ask.get("units") == "celsius"
    degrees = figures.celsius if metric else round
    known = {name: None if forecast[name] is None else degrees(forecast[name]) for name in ("high_f", "low_f")}
    return {
        "city": forecast["location"],
        "date": forecast["date"],
        "conditions": forecast["condition"],
        "high": known["high_f"],
        "low": known["low_f"],
        "units": "celsius" if metric else "fahrenheit",
        "rain_chance": forecast["precipitation_chance"],
        "wind": wind_text(forecast, metric=metric),
    }


def wind_text(forecast: Ask, *, metric: bool = False) -> str | None:
    """ "12 mph SW" or "19 km/h SW"; the direction is left out where none is known."""
    if forecast["wind_mph"] is None:
        return None
    speed = f"{figures.kmh(forecast['wind_mph'])} km/h" if metric else f"{forecast['wind_mph']} mph"
    return f"{speed} {forecast['wind_direction'] or ''}".strip()


def _outlook(forecast: Ask, _ask: Ask) -> dict[str, Any]:
    return {
        "place": forecast["location"],
        "day": forecast["weekday"],
        "date": forecast["date"],
        "summary": forecast["condition"],
        "max_f": forecast["high_f"],
        "min_f": forecast["low_f"],
        "pop": forecast["precipitation_chance"],
        "wind_mph": forecast["wind_mph"],
    }


def _current(forecast: Ask, ask: Ask) -> dict[str, Any]:
    return {
        "location": forecast["location"],
        "observed": ask["extra"]["observed"],
        "condition": forecast["condition"],
        "temperature_f": ask["extra"]["temperature_f"],
        "humidity": ask["extra"]["humidity"],
        "wind_mph": forecast["wind_mph"],
        "wind_direction": forecast["wind_direction"],
    }


def _alerts(_forecast: Ask, ask: Ask) -> dict[str, Any]:
    return {"state": ask["state"], "alerts": ask["extra"]["alerts"]}


def _parts(forecast: Ask, ask: Ask) -> dict[str, Any]:
    return {"location": forecast["location"], "date": forecast["date"], "parts": ask["extra"]["parts"]}


def _extended(forecast: Ask, ask: Ask) -> dict[str, Any]:
    kept = {
        "day": "weekday",
        "condition": "condition",
        "high_f": "high_f",
        "low_f": "low_f",
        "pop": "precipitation_chance",
    }
    days = [{name: day[key] for name, key in kept.items()} for day in (forecast, *ask["extra"]["days"])]
    return {"location": forecast["location"], "days": days}


_SHAPES: Mapping[str, Callable[[Ask, Ask], dict[str, Any]]] = {
    "get_weather": _city,
    "daily_outlook": _outlook,
    "get_current_conditions": _current,
    "get_alerts": _alerts,
    "get_day_parts": _parts,
    "get_extended_forecast": _extended,
}
