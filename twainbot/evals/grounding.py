"""Is what a reply says about the weather what the tool said? Finding claims is claims.py's, reading tool results facts.py's.

A claim is supported, contradicted or unsupported by the tool, or skipped where the sentence asserts nothing. A reply
with a contradicted or unsupported claim is an error. The skipped claims keep the verdict that they would have had, since
every scope rule is also a loophole: both rates are reported.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from typing import Any, TypeAlias

from twainbot.evals.claims import Assertion, assertions, sentence_spans
from twainbot.evals.facts import Range, Sheet, ToolFacts, read_result, to_fahrenheit, to_mph, with_call
from twainbot.evals.phrases import COMPARED_DAY, PARTS
from twainbot.evals.places_dates import STATES, plain, read_place, same_day, same_place
from twainbot.evals.sky import COVER, WET, covers, overlap
from twainbot.evals.statistics import Interval, clopper_pearson, rogan_gladen, upper_bound

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
_LITTLE_CHANCE = 35.0
_SNOW_COLD = 36.0  # degrees F; above it an unnamed precipitation is no snow
_OF_A_CHANCE = 26  # characters: " chance of measurable ", " at a "
_A_THIRD_OF_THE_RISK = 1 - 0.05 / 3
_WINDY, _BREEZY, _CALM = 15.0, 8.0, 7.0  # mph


@dataclass(frozen=True)
class Claim:
    """A statement of a reply with its verdict. `start`, `end`: characters of the reply, half-open.

    `strict`: the verdict without the scope rules; it differs from `verdict` only where that is `skipped`.
    """

    kind: str
    text: str
    value: Any
    unit: str | None
    start: int
    end: int
    verdict: Verdict
    reason: str
    strict: Verdict


@dataclass(frozen=True)
class GroundingSummary:
    """Figures over replies. Rates are None where nothing was counted; `interval` and `upper` are exact, 95 %."""

    replies: int
    error_replies: int
    error_rate: float | None
    interval: Interval
    upper: float  # one-sided
    strict_error_replies: int
    strict_error_rate: float | None
    coverage: float | None  # replies that state some weather: a place and a day alone are no forecast
    claims: int  # judged, skipped ones left out
    claim_error_rate: float | None
    verdicts: dict[str, int]
    errors_by_kind: dict[str, int]


@dataclass(frozen=True)
class Validation:
    """How the judge did on replies labelled by hand, held out from its tuning (docs/evaluation.md)."""

    false_positives: int  # faithful replies that it called errors
    faithful: int
    caught: int  # faulty replies that it called errors
    faulty: int

    @property
    def false_positive_rate(self) -> float:
        """Share of faithful replies that are called errors."""
        return self.false_positives / self.faithful

    @property
    def recall(self) -> float:
        """Share of faulty replies that are called errors."""
        return self.caught / self.faulty


# samples/evals/judge/heldout.jsonl, scored once. The bar of 2 % false positives was missed by far
VALIDATION = Validation(false_positives=32, faithful=302, caught=183, faulty=192)


def corrected(errors: int, replies: int, validation: Validation = VALIDATION) -> tuple[float, Interval] | None:
    """The true error rate behind the judge's (Rogan and Gladen), with a wide interval; None where nothing was judged.

    The interval takes the exact ends of all three rates at their worst, each at a third of the risk. The correction holds
    for replies like those of the validation; theirs were written to try the judge, so plainer replies are over-corrected.
    """
    if not replies:
        return None
    seen = clopper_pearson(errors, replies, _A_THIRD_OF_THE_RISK)
    wrong = clopper_pearson(validation.false_positives, validation.faithful, _A_THIRD_OF_THE_RISK)
    caught = clopper_pearson(validation.caught, validation.faulty, _A_THIRD_OF_THE_RISK)
    low = rogan_gladen(seen.low, wrong.high, caught.high)
    high = rogan_gladen(seen.high, wrong.low, caught.low)
    return rogan_gladen(errors / replies, validation.false_positive_rate, validation.recall), Interval(low, high)


def judge(
    reply: str,
    tool_results: Sequence[Mapping[str, Any] | str],
    *,
    calls: Sequence[Mapping[str, Any]] = (),
    today: date | None = None,
) -> list[Claim]:
    """Claims of the reply in order, each against the tool results (in the order received, the newest last).

    Statements without a place are held to the newest result's place; so a stale answer does not pass. `calls`, paired
    with the results, complete a missing place or day. With `today`, `tomorrow` and weekdays are compared as dates.
    """
    facts = [read_result(result) for result in tool_results]
    arguments = [call.get("arguments") or {} for call in calls]
    if len(arguments) == len(facts):
        facts = [with_call(fact, args) for fact, args in zip(facts, arguments, strict=True)]
    towns = {read_place(s.place).town for fact in facts for s in fact.sheets if s.place}
    towns |= {s.place.split(",")[0].strip() for fact in facts for s in fact.sheets if s.place}
    found = assertions(reply, sorted(towns))
    scopes = _Scopes(reply, found, _mentioned(reply, found, sorted(towns)), facts, today)
    return _chances_told_once([_claim(a, *_verdict(a, scopes, today)) for a in found])


def _mentioned(reply: str, found: Sequence[Assertion], towns: Sequence[str]) -> list[Assertion]:
    """The tool's towns in sentences that state no weather: `Choose Lexington. It is rainy there.`"""
    spans = [(lo, hi) for lo, hi in sentence_spans(reply) if not any(lo <= a.start < hi for a in found)]
    named = [m for town in towns for m in re.finditer(rf"\b{re.escape(town)}\b", reply, re.IGNORECASE)]
    return [
        Assertion("place", m[0], m.start(), m.end(), m[0])
        for m in named
        if any(lo <= m.start() < hi for lo, hi in spans)
    ]


def summarise(judged: Iterable[Sequence[Claim]]) -> GroundingSummary:
    """Error rate per reply and per claim; give the claims of each reply that followed a successful tool call."""
    replies = [list(claims) for claims in judged]
    n = len(replies)
    errors = sum(any(c.verdict in ERRORS for c in claims) for claims in replies)
    strict = sum(any(c.strict in ERRORS for c in claims) for claims in replies)
    covered = sum(states_weather(claims) for claims in replies)
    claims = [c for reply in replies for c in reply if c.verdict != SKIPPED]
    wrong = [c for c in claims if c.verdict in ERRORS]
    return GroundingSummary(
        replies=n,
        error_replies=errors,
        error_rate=errors / n if n else None,
        interval=clopper_pearson(errors, n),
        upper=upper_bound(errors, n),
        strict_error_replies=strict,
        strict_error_rate=strict / n if n else None,
        coverage=covered / n if n else None,
        claims=len(claims),
        claim_error_rate=len(wrong) / len(claims) if claims else None,
        verdicts=dict(sorted(Counter(c.verdict for reply in replies for c in reply).items())),
        errors_by_kind=dict(sorted(Counter(c.kind for c in wrong).items())),
    )


def states_weather(claims: Sequence[Claim]) -> bool:
    """Whether a judged claim is of weather, not only of where and when."""
    return any(c.verdict != SKIPPED and c.kind not in ("place", "day") for c in claims)


def uses_result(claims: Sequence[Claim]) -> bool:
    """Whether some weather in the reply is what the tool said."""
    return any(c.verdict == SUPPORTED and c.kind not in ("place", "day") for c in claims)


def _claim(a: Assertion, verdict: Verdict, reason: str) -> Claim:
    shown, why = (SKIPPED, f"{a.skip}: asserts nothing") if a.skip else (verdict, reason)
    return Claim(a.kind, a.text, a.value, a.unit, a.start, a.end, shown, why, verdict)


def _chances_told_once(claims: Sequence[Claim]) -> list[Claim]:
    """`a 0 % chance of rain` asserts no rain: the wet word beside a chance of 0 shares the verdict of the chance."""
    none = [c for c in claims if c.kind == "chance" and c.value == 0]
    return [
        replace(c, verdict=near.verdict, strict=near.strict, reason=near.reason)
        if c.kind == "condition" and c.value in WET and (near := next((n for n in none if _beside(n, c)), None))
        else c
        for c in claims
    ]


def _beside(chance: Claim, condition: Claim) -> bool:
    return 0 < condition.start - chance.end <= _OF_A_CHANCE or 0 < chance.start - condition.end <= _OF_A_CHANCE


# --- which result a statement speaks of -----------------------------------------------------------------------------------


class _Scopes:
    """The fact sheets that each statement is held to, by the places and days named around it."""

    def __init__(
        self,
        reply: str,
        found: Sequence[Assertion],
        mentioned: Sequence[Assertion],
        facts: Sequence[ToolFacts],
        today: date | None,
    ) -> None:
        self.sheets = [sheet for fact in facts for sheet in fact.sheets]
        self.called = bool(facts)
        newest = facts[-1].sheets if facts else ()
        place = newest[-1].place if newest else None
        self.default = [s for s in self.sheets if place and s.place and same_place(s.place, place)] or list(newest)
        self._today = today
        self._sentences = sentence_spans(reply)
        asserted = [
            a for a in found if a.skip not in ("anecdote", "simile")
        ]  # "Friday you would have drowned" still leads
        self._places = [a for a in (*asserted, *mentioned) if a.kind == "place" and self.at(a.text)]
        self._places.sort(key=lambda a: a.start)
        self._days = [a for a in asserted if a.kind == "day" and not COMPARED_DAY.search(reply[: a.start])]
        self._cuts = [m.start() for m in PARTS.finditer(reply)]
        self._values = [a.start for a in found if a.kind not in ("place", "day")]

    def at(self, place: str) -> list[Sheet]:
        """Sheets of the named place."""
        return [s for s in self.sheets if s.place and same_place(place, s.place)]

    def candidates(self, a: Assertion) -> list[Sheet]:
        """Sheets for the place and day that govern the statement; where its day is unknown, all of its place."""
        sheets = self.of_place(a)
        day = self._governing(a, self._days)
        on_day = [s for s in sheets if day and day_fits(day.value, s, self._today)]
        return on_day or sheets

    def of_place(self, a: Assertion) -> list[Sheet]:
        """Sheets for the place that governs the statement: without one, those of the newest result's place."""
        place = self._governing(a, self._places)
        return self.at(place.text) if place else self.default

    def _governing(self, a: Assertion, marks: Sequence[Assertion]) -> Assertion | None:
        """`Reno gets 55` is led by its place, `55 in Reno` trailed by it; without one the last sentence's place holds."""
        low, high = next(((lo, hi) for lo, hi in self._sentences if lo <= a.start < hi), (a.start, a.end))
        inside = [m for m in marks if low <= m.start < high]
        part = sum(cut < a.start for cut in self._cuts)
        beside = [m for m in inside if sum(cut < m.start for cut in self._cuts) == part]
        if beside:
            return min(beside, key=lambda m: abs(m.start - a.start))
        first_value = min((start for start in self._values if start >= low), default=high)
        if inside and first_value < inside[0].start:
            return next((m for m in inside if m.start >= a.start), inside[-1])
        before = [m for m in marks if m.start <= a.start]
        return before[-1] if before else None


def day_fits(word: str, sheet: Sheet, today: date | None = None) -> bool:
    """Whether a day named in a reply is a day of the sheet. A sheet without a day speaks of now."""
    bare = plain(word)
    if not sheet.days:
        return bare in ("today", "tonight", "now", "this evening")
    days = {plain(day) for day in sheet.days}
    if "weekend" in bare:
        return any("weekend" in day for day in days) or bool(days & {"saturday", "sunday"})
    if bare in ("saturday", "sunday") and any("weekend" in day for day in days):
        return not days & {"saturday", "sunday"} or bare in days
    forms = {bare, *({"today", "tonight", "now"} if bare in ("today", "tonight", "this evening") else ())}
    return any(same_day(form, day, today) or same_day(form, day.split()[0], today) for form in forms for day in days)


# --- verdicts -------------------------------------------------------------------------------------------------------------


def _verdict(a: Assertion, scopes: _Scopes, today: date | None) -> tuple[Verdict, str]:
    """(verdict, reason): supported by any candidate sheet, else contradicted by any, else unsupported."""
    if not scopes.sheets:
        return UNSUPPORTED, "the tool gave no forecast" if scopes.called else "no tool was called"
    if a.kind == "place":
        return _place_verdict(a, scopes)
    if a.kind == "day":
        return _day_verdict(a, scopes, today)
    sheets = scopes.candidates(a)
    if not sheets:
        return UNSUPPORTED, "the newest tool result holds no forecast"
    judged = [_JUDGES[a.kind](a, sheet) for sheet in sheets]
    return next((j for v in (SUPPORTED, CONTRADICTED, UNSUPPORTED) for j in judged if j[0] == v), judged[0])


def _place_verdict(a: Assertion, scopes: _Scopes) -> tuple[Verdict, str]:
    if scopes.at(a.text):
        return SUPPORTED, "the tool was asked about it"
    places = [s.place for s in scopes.sheets if s.place]
    if not places:
        return UNSUPPORTED, "the tool names no place"
    named = read_place(a.text).town
    regions = {region for place in places for region in read_place(place).qualifiers}
    if named in regions or STATES.get(named) in regions:
        return SUPPORTED, "the place lies in it"
    return CONTRADICTED, f"the forecast is for {places[-1]}"


def _day_verdict(a: Assertion, scopes: _Scopes, today: date | None) -> tuple[Verdict, str]:
    sheets = scopes.of_place(a) or scopes.sheets
    if any(day_fits(a.value, sheet, today) for sheet in sheets):
        return SUPPORTED, "the forecast's day"
    known = sorted({day for sheet in sheets for day in sheet.days})
    return (
        (CONTRADICTED, f"the forecast is for {', '.join(known)}") if known else (UNSUPPORTED, "the tool names no day")
    )


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
    issued = " | ".join(alert.lower() for alert in sheet.alerts)
    named = all(word in issued for word in str(a.value).split() if word != "alert")
    return _found(named != a.negated, "; ".join(sheet.alerts))


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
    other = a.value in ("snow", "sleet", "hail") or (a.value == "rain" and "snow" in sheet.conditions)
    if stated:
        return SUPPORTED, reason
    if chance is None or other:
        return CONTRADICTED, reason
    return _found(chance > 0 if a.hedge or a.numbered else chance >= _RAIN_LIKELY and a.value != "storm", reason)


_JUDGES = {
    "temperature": _temperature_verdict,
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
