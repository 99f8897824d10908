"""Whether one statement of a reply fits one fact sheet. Which sheet it is held to is grounding.py's."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TypeAlias

from twainbot.evals.facts import Range, Sheet, figures, to_fahrenheit, to_mph
from twainbot.evals.scope import Assertion
from twainbot.evals.sky import COVER, WET, covers, overlap

Verdict: TypeAlias = str  # supported | contradicted | unsupported | skipped
SUPPORTED, CONTRADICTED, UNSUPPORTED, SKIPPED = "supported", "contradicted", "unsupported", "skipped"
ERRORS = (CONTRADICTED, UNSUPPORTED)

_DEGREE = 1.0  # "about seventy" for 71
_DEGREE_ACROSS_UNITS = 1.6  # 71 F is 21.7 C: rounding to a whole degree C moves up to 0.9 F, and the 1.0 partly adds
_PERCENT = 5.0
_MPH = 1.9  # 3 km/h
_COMPASS_POINT = 22.5  # one step of the 16-point rose
_NARROW_RANGE = 10.0  # degrees F; a wider range around one value says too little to be called supported
_RAIN_LIKELY = 50.0  # percent from which "it will rain" without a hedge is no overstatement
_RAIN_UNLIKELY = 20.0  # percent up to which "dry" is fair
_CERTAIN = 80.0  # percent from which words of certainty ("no doubt") are let pass
_LITTLE_CHANCE = 35.0
_SNOW_COLD = 36.0  # degrees F; above it an unnamed precipitation is no snow
_WINDY, _BREEZY, _CALM = 15.0, 8.0, 7.0  # mph
_ALERT_TYPES = {"warning": "warnings?", "watch": "watch(?:es)?", "advisory": "advisor(?:y|ies)"}
_ANY_ALERT = "|".join((*_ALERT_TYPES.values(), "alerts?", "statements?", "outlooks?", "emergenc(?:y|ies)"))
_WORDS = re.compile(r"[^\W_]+")


def fit(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    """(verdict, reason) of a statement about the weather against one sheet; places and days are not for it."""
    return _JUDGES[a.kind](a, sheet)


def _temperature_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    readings = {"high": sheet.highs, "low": sheet.lows}.get(
        a.role or "", (*sheet.highs, *sheet.lows)
    ) or sheet.temperatures
    if a.role is None:
        readings = (*readings, *sheet.temperatures)
    if not readings:
        return UNSUPPORTED, f"the tool gives no {a.role or 'temperature'}"
    units = ("F", "C") if a.loose_unit else (a.unit or sheet.unit,)
    found = [_reading_verdict(a, unit, sheet, readings) for unit in units]
    return next((one for one in found if one[0] == SUPPORTED), found[0])


def _reading_verdict(a: Assertion, unit: str, sheet: Sheet, readings: Sequence[float]) -> tuple[Verdict, str]:
    slack = _DEGREE if unit == sheet.unit == "F" else _DEGREE * 1.8 if unit == sheet.unit else _DEGREE_ACROSS_UNITS
    given = _shown(readings, "F")
    if not isinstance(a.value, tuple):
        value = to_fahrenheit(a.value, unit)
        return _found(any(abs(value - r) <= slack for r in readings), given)
    low, high = (to_fahrenheit(end, unit) for end in a.value)
    ends_met = all(any(abs(end - r) <= slack for r in readings) for end in (low, high))
    open_ended = abs(low) >= 100 or high >= 150  # "below freezing"
    inside = any(low - slack <= r <= high + slack for r in readings) and (high - low <= _NARROW_RANGE or open_ended)
    return _found(ends_met or inside, given)


def _chance_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    if not sheet.chances:
        return UNSUPPORTED, "the tool gives no chance of rain"
    return _found(_near(_ends(a.value), sheet.chances, _PERCENT), _shown(sheet.chances, "%"))


def _humidity_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    if not sheet.humidities:
        return UNSUPPORTED, "the tool gives no humidity"
    return _found(_near(_ends(a.value), sheet.humidities, _PERCENT), _shown(sheet.humidities, "%"))


def _wind_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    if not sheet.winds:
        return UNSUPPORTED, "the tool gives no wind"
    low, high = (to_mph(end, a.unit) for end in _ends(a.value))
    fits = any(low >= wind[0] - _MPH and high <= wind[1] + _MPH for wind in sheet.winds)
    return _found(fits, _shown([end for wind in sheet.winds for end in wind], "mph"))


def _direction_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    if not sheet.directions:
        return UNSUPPORTED, "the tool gives no wind direction"
    apart = [abs((a.value - d + 180) % 360 - 180) for d in sheet.directions]
    return _found(min(apart) <= _COMPASS_POINT, _shown(sheet.directions, "degrees"))


def _alert_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    if sheet.alerts is None:
        return UNSUPPORTED, "the tool says nothing of alerts"
    if not sheet.alerts:
        return (SUPPORTED if a.negated else CONTRADICTED), "the tool lists no alert"
    named = any(_bears(alert, str(a.value)) for alert in sheet.alerts)
    return _found(named != a.negated, "; ".join(sheet.alerts))


def _bears(alert: str, name: str) -> bool:
    """Whether the alert goes by the name: its words stand side by side in this one alert, the type of the alert last.

    First words are often left off (`flood watch` for a Flash Flood Watch, `fog advisory` for a Dense Fog Advisory), the
    word beside the type never is: a Wind Chill Advisory is no `wind advisory`. A `heat alert` may be of any type.
    """
    *hazard, kind = name.split()
    if kind == "alert" and not hazard:
        return True
    named = " ".join((*hazard, f"(?:{_ALERT_TYPES.get(kind, _ANY_ALERT)})"))
    return bool(re.search(rf"\b{named}\b", " ".join(_WORDS.findall(alert)), re.IGNORECASE))


def _condition_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    name = str(a.value)
    if name in COVER:
        return _cover_verdict(a, sheet)
    if name in ("windy", "breezy", "calm"):
        return _windiness_verdict(a, sheet)
    if name == "fog":
        if not sheet.conditions:
            return UNSUPPORTED, "the tool gives no condition"
        return _found(("fog" in sheet.conditions) != a.negated, _said(sheet))
    return _wetness_verdict(a, sheet)


def _cover_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    stretches = covers(sheet.conditions)
    if not stretches and "fog" in sheet.conditions and a.negated and a.value in ("sun", "sunshine", "clear"):
        return SUPPORTED, _said(sheet)
    if not stretches:
        return UNSUPPORTED, "the tool says nothing of the sky"
    fits = any(overlap(COVER[str(a.value)], stretch) for stretch in stretches)
    if a.negated and a.value in ("clouds", "cloudy"):
        return _found(any(overlap(COVER["clear"], stretch) for stretch in stretches), _said(sheet))
    if a.negated and a.value in ("sun", "sunshine"):
        return _found(any(overlap(COVER["cloudy"], stretch) for stretch in stretches), _said(sheet))
    return _found(fits != a.negated, _said(sheet))


def _windiness_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    if a.value in sheet.conditions and not a.negated:
        return SUPPORTED, _said(sheet)
    if not sheet.winds:
        return UNSUPPORTED, "the tool gives no wind"
    strongest = max(high for _, high in sheet.winds)
    fits = {"windy": strongest >= _WINDY, "breezy": strongest >= _BREEZY, "calm": strongest <= _CALM}[str(a.value)]
    return _found(fits != a.negated, _shown([strongest], "mph"))


def _wetness_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    """Rain, snow and the rest against both the condition's words and the chance; `dry` is the negation of all of them."""
    any_kind = "precipitation" in a.text.lower()  # snow is precipitation too
    kinds = WET if any_kind else {"rain": ("rain", "storm"), "wet": WET, "dry": WET}.get(str(a.value), (str(a.value),))
    stated = bool(sheet.conditions.intersection(kinds))
    chance = max(sheet.chances) if sheet.chances else None
    if chance is None and not sheet.conditions:
        return UNSUPPORTED, "the tool gives neither condition nor chance"
    reason = f"{_said(sheet)}, chance {'unknown' if chance is None else f'{chance:g} %'}"
    if a.negated and a.value in ("snow", "sleet", "hail", "storm"):
        cold = min((*sheet.lows, *sheet.temperatures), default=_SNOW_COLD) <= _SNOW_COLD
        return _found(
            not stated and (a.value in ("hail", "storm") or not cold or (chance or 0) <= _RAIN_UNLIKELY), reason
        )
    frozen = sheet.conditions.intersection(("snow", "sleet")) and not sheet.conditions.intersection(("rain", "storm"))
    if a.negated and a.value == "rain" and frozen and not any_kind:
        return SUPPORTED, reason  # "it isn't going to rain, it is going to snow"
    if a.value == "dry" and a.hedge == "possible" and chance is not None:
        return _found(chance < 100 - _RAIN_UNLIKELY, reason)
    if a.negated != (a.value == "dry"):
        least = _LITTLE_CHANCE if a.numbered else _RAIN_UNLIKELY
        return _found((chance is None or chance <= least) and (not stated or chance is not None), reason)
    if a.hedge == "unlikely":
        return _found(chance <= _LITTLE_CHANCE if chance is not None else not stated, reason)
    if a.hedge == "certain" and not a.numbered and chance is not None and chance < _CERTAIN:
        return CONTRADICTED, reason
    other = a.value in ("snow", "sleet", "hail") or (a.value == "rain" and "snow" in sheet.conditions)
    if stated:
        return SUPPORTED, reason
    if chance is None or other:
        return CONTRADICTED, reason
    return _found(chance > 0 if a.hedge or a.numbered else chance >= _RAIN_LIKELY and a.value != "storm", reason)


def _figure_verdict(a: Assertion, sheet: Sheet) -> tuple[Verdict, str]:
    """A number whose meaning the words leave open: any figure of the sheet will do, in either unit."""
    given = figures(sheet)
    if not given:
        return UNSUPPORTED, "the tool gives no figure"
    return _found(
        any(abs(end - figure) <= _DEGREE for figure in given for end in _ends(a.value)), _shown(given, "in all")
    )


_JUDGES = {
    "temperature": _temperature_verdict,
    "figure": _figure_verdict,
    "chance": _chance_verdict,
    "humidity": _humidity_verdict,
    "wind": _wind_verdict,
    "wind_direction": _direction_verdict,
    "alert": _alert_verdict,
    "condition": _condition_verdict,
}


def _found(fits: bool, given: str) -> tuple[Verdict, str]:
    return (SUPPORTED if fits else CONTRADICTED), f"tool: {given}"


def _ends(value: float | Range) -> Range:
    return value if isinstance(value, tuple) else (value, value)


def _near(ends: Range, readings: Sequence[float], slack: float) -> bool:
    return all(any(abs(end - reading) <= slack for reading in readings) for end in ends)


def _shown(readings: Sequence[float], unit: str) -> str:
    return f"{', '.join(f'{round(r, 1):g}' for r in readings)} {unit}"


def _said(sheet: Sheet) -> str:
    return ", ".join(sorted(sheet.conditions)) or "no condition"
