"""What a reply rests on: numbers, roles, alerts and claims against tool results, the user's words and the stated today.

Two readings that watch each other: numbers must be exact, whatever the sentence says; claims are judged by the evaluator
(evals/grounding.py), which understands sentences and allows a degree. Order and form of a dialogue are quality.py's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from typing import Any, TypeAlias

from twainbot.dialogues import figures
from twainbot.evals import grounding
from twainbot.evals.claims import sentence_spans
from twainbot.evals.facts import Sheet, read_result
from twainbot.evals.raw_data import data_spans

Row: TypeAlias = Mapping[str, Any]

VOICE_MIN_WORDS = 6  # the shortest closing of the shipped grammars: "I add nothing; the parrot coughed."

_ALERT = re.compile(r"((?:[A-Z][a-z]+ )+(?:Warning|Watch|Advisory))\b")
# the role word that stands before a figure, a few plain words between: "the low in Reno tomorrow is 40"
_ROLE = re.compile(r"\b(high|low)\b(?:\s+[A-Za-z]+){0,6}\s+(?=[-−\d])", re.IGNORECASE)
_SKY = r"sun|sunny|rain|rainy|snow|showers?|cloudy|overcast|thunderstorms?|sleet|fog|drizzle|windy"
_FORECAST = re.compile(
    r"\b(?:will be|will have|expect|look for|promises?|calls? for|gets|brings|should see|down for)\b[^.?!]*"
    rf"\b(?:{_SKY})\b",
    re.IGNORECASE,
)
# A saying holds of all such days: "A cloudy sky makes a good curtain". "A cloudy sky is ahead" does not begin one.
_SAYING = re.compile(
    r"\s*An? (?P<what>(?:[\w-]+ ){1,3})(?:makes?|teaches|costs?|saves|keeps|never|asks|needs|wants|has no)\b"
)
_SHOUTED = re.compile(r"\b[A-Z]{3,}\b")  # as old bulletins are written: WEST WINDS 10 MPH
_NAME = re.compile(r"[A-Z]\w*(?: [A-Z]\w+)+")  # Ten Sleep, Snow Hill
_PLACE_OR_SKY = ("location", "city", "place", "town", "condition", "conditions", "sky", "summary", "shortForecast")


@dataclass(frozen=True)
class Known:
    """All that stands before a reply. `results`: JSON of the tool turns in order, {} for one that is none; `calls`: the
    arguments of the calls, in order."""

    results: Sequence[Any]
    calls: Sequence[Row]
    said: Sequence[str]  # the user's turns
    today: date | None = None
    answers_tool: bool = False  # the turn right before the reply is a tool's

    @property
    def forecasts(self) -> list[Any]:
        """The results that report no failure."""
        return [result for result in self.results if not _failed(result)]

    @property
    def figures(self) -> set[float]:
        """Numbers that the user wrote."""
        return {figure.value for words in self.said for figure in figures.read(words)}


def faults(reply: str, known: Known, *, retold: bool = False) -> Iterator[str]:
    """What in the reply has no ground, as `kind: detail`, each fault once.

    `retold`: somebody else's words, in which weather is no forecast of ours.
    """
    numbers = [*_number_faults(reply, known), *_role_faults(reply, known)]
    yield from (fault for _, fault in numbers)
    yield from _alert_faults(reply, known)
    if retold:
        yield from _retold_faults(reply, known, {start for start, _ in numbers})
        return
    manner = list(_manner_faults(reply, known))
    yield from manner
    if not any(fault.startswith(("no_call", "forecast_despite_failure")) for fault in manner):
        yield from _claim_faults(reply, known, {start for start, _ in numbers})


def _failed(result: Any) -> bool:
    return isinstance(result, Mapping) and bool(result.get("error"))


@lru_cache(maxsize=1 << 10)
def _sheets_of(text: str) -> tuple[Sheet, ...]:
    return read_result(text).sheets


def _sheets(known: Known) -> list[Sheet]:
    return [sheet for result in known.forecasts for sheet in _sheets_of(json.dumps(result, ensure_ascii=False))]


# --- numbers -------------------------------------------------------------------------------------------------------------


def _number_faults(reply: str, known: Known) -> Iterator[tuple[int, str]]:
    """(place of the figure, fault) of every number that nothing before it states."""
    said, by_unit = known.figures, _allowed(_sheets(known))
    anything = said | _written(known) | set[float]().union(*by_unit.values())
    for figure in figures.read(reply):
        fitting = by_unit.get(figure.unit, set()) | said if figure.unit and known.forecasts else anything
        if figure.value not in fitting:
            yield figure.start, f"ungrounded_number: {figure.value:g} {figure.unit}".rstrip()


def _written(known: Known) -> set[float]:
    """Numbers that stand in results and calls as they are written."""
    texts = [json.dumps(value, ensure_ascii=False) for value in (*known.forecasts, *known.calls)]
    return {figure.value for text in texts for figure in figures.read(text)}


def _allowed(sheets: Sequence[Sheet]) -> dict[str, set[float]]:
    """Per unit the values that may stand before it: the results' own, and exact conversions of them."""
    found: dict[str, set[float]] = {unit: set() for unit in ("degrees", "celsius", "percent", "mph", "kmh")}
    for sheet in sheets:
        for value in (*sheet.highs, *sheet.lows, *sheet.temperatures):
            found["degrees"] |= {value, float(round(value))}
            found["celsius"] |= _celsius(value)
            found["degrees"] |= _celsius(value) if sheet.unit == "C" else set()  # "21 degrees" of a metric tool
        found["percent"] |= {*sheet.chances, *sheet.humidities}
        for value in (end for wind in sheet.winds for end in wind):
            found["mph"] |= {value, float(round(value))}
            found["kmh"].add(float(figures.kmh(value)))
    return found


def _celsius(fahrenheit: float) -> set[float]:
    return {float(figures.celsius(fahrenheit)), round((fahrenheit - 32) * 5 / 9, 1)}


def _role_faults(reply: str, known: Known) -> Iterator[tuple[int, str]]:
    sheets, said = _sheets(known), known.figures
    by_place = {figure.start: figure for figure in figures.read(reply)}
    for match in _ROLE.finditer(_without_places(reply, sheets)) if sheets else ():
        figure = by_place.get(match.end())
        role = match[1].lower()
        if figure is None or figure.unit not in ("degrees", "celsius", "") or figure.value in said:
            continue
        values = [value for sheet in sheets for value in (sheet.highs if role == "high" else sheet.lows)]
        values = values or [value for sheet in sheets for value in sheet.temperatures]
        metric = figure.unit == "celsius" or any(sheet.unit == "C" for sheet in sheets)
        fitting = {form for value in values for form in (value, float(round(value)))}
        fitting |= {form for value in values for form in _celsius(value)} if metric else set()
        if figure.value not in fitting:
            yield figure.start, f"wrong_role: {figure.value:g} is not the {role}"


def _without_places(reply: str, sheets: Sequence[Sheet]) -> str:
    """The reply with the towns' names blanked, place by place: Show Low, AZ, has a high too."""
    for town in {(sheet.place or "").partition(",")[0] for sheet in sheets} - {""}:
        reply = re.sub(re.escape(town), lambda match: "_" * len(match[0]), reply, flags=re.IGNORECASE)
    return reply


# --- words ---------------------------------------------------------------------------------------------------------------


def _alert_faults(reply: str, known: Known) -> Iterator[str]:
    posted = {alert for result in known.forecasts for alert in _ALERT.findall(json.dumps(result))}
    for alert in _ALERT.findall(reply):
        if not any(alert.endswith(one) for one in posted) and not any(alert in words for words in known.said):
            yield f"invented_alert: {alert}"


def _manner_faults(reply: str, known: Known) -> Iterator[str]:
    """A forecast that no tool result stands behind, a result repeated as data, or facts without a voice."""
    if known.answers_tool and data_spans(reply):
        yield "raw_data: repeats the tool's answer as data"
    failed = known.answers_tool and _failed(known.results[-1])
    if not known.forecasts or failed:
        if any(figure.unit for figure in figures.read(reply)) or _FORECAST.search(reply):
            yield (
                "forecast_despite_failure: the tool gave none"
                if known.results
                else "no_call: weather stated without the tool"
            )
    elif known.answers_tool and _voice_words(reply, known.results[-1]) < VOICE_MIN_WORDS:
        yield "flat_voice: nothing but the facts"


def _voice_words(reply: str, result: Any) -> int:
    """Words in sentences that hold no figure and no place or sky of the result: what the persona adds."""
    # whole words: "Eau Claire, WI" is not in "the serial for Eau Claire, with the ending left open"
    held = [re.compile(rf"\b{re.escape(value)}\b", re.IGNORECASE) for value in _places_and_skies(result)]
    total = 0
    for sentence in re.split(r"(?<=[.!?:;])\s+", reply):
        if not re.search(r"\d", sentence) and not any(value.search(sentence) for value in held):
            total += len(sentence.split())
    return total


def _places_and_skies(result: Any) -> Iterator[str]:
    if isinstance(result, Mapping):
        for name, value in result.items():
            if isinstance(value, str) and name in _PLACE_OR_SKY and value:
                yield value
            elif not isinstance(value, str):
                yield from _places_and_skies(value)
    elif isinstance(result, list):
        for value in result:
            yield from _places_and_skies(value)


def _claim_faults(reply: str, known: Known, told: set[int]) -> Iterator[str]:
    """Claims that the evaluator finds contradicted or unsupported; `told`: places of figures at fault already."""
    calls = [{"arguments": arguments} for arguments in known.calls]
    claims = grounding.judge(reply, known.results, calls=calls, today=known.today)
    named = [claim for claim in claims if claim.kind in ("place", "day") and claim.verdict != grounding.SKIPPED]
    sentences = sentence_spans(reply)
    for claim in claims:
        if claim.verdict not in grounding.ERRORS or any(claim.start <= start < claim.end for start in told):
            continue
        general = not known.forecasts and not _is_of_somewhere(claim, named, sentences)
        if (
            general
            or _is_a_saying(reply, claim, sentences)
            or _is_name(reply, claim, known.said)
            or _is_the_users(claim, known.said)
        ):
            continue
        yield f"ungrounded_claim: {claim.kind} {claim.text}"


def _retold_faults(reply: str, known: Known, told: set[int]) -> Iterator[str]:
    """Of a bulletin retold: claims that its own words contradict or do not make. A joke about weather is no bulletin."""
    said = [_SHOUTED.sub(lambda word: word[0].lower(), words) for words in known.said]
    given = [words for words in said if any(_has_figures(sheet) for sheet in _sheets_of(words))]
    for claim in grounding.judge(reply, given[-1:], today=known.today) if given else ():
        at_fault = claim.verdict in grounding.ERRORS and claim.kind not in ("place", "day")
        if at_fault and not any(claim.start <= start < claim.end for start in told):
            yield f"ungrounded_claim: {claim.kind} {claim.text}"


def _has_figures(sheet: Sheet) -> bool:
    return bool(sheet.highs or sheet.lows or sheet.temperatures or sheet.chances or sheet.winds)


def _is_of_somewhere(
    claim: grounding.Claim, named: Sequence[grounding.Claim], sentences: Sequence[tuple[int, int]]
) -> bool:
    """Where no tool spoke, whether the claim is of a place or day: "the sun heats the ground" is of all of them."""
    if claim.kind in ("place", "day"):
        return False  # what is said of it is judged by itself
    inside = next(((low, high) for low, high in sentences if low <= claim.start < high), (claim.start, claim.end))
    elsewhere = [other for other in named if other.end <= claim.start or claim.end <= other.start]
    return claim.kind != "condition" or any(inside[0] <= other.start < inside[1] for other in elsewhere)


def _is_a_saying(reply: str, claim: grounding.Claim, sentences: Sequence[tuple[int, int]]) -> bool:
    saying = next((_SAYING.match(reply, low, high) for low, high in sentences if low <= claim.start < high), None)
    return claim.kind == "condition" and saying is not None and claim.start < saying.end("what")


def _is_name(reply: str, claim: grounding.Claim, said: Sequence[str]) -> bool:
    """Whether the words are part of a name that the user gave: Ten Sleep is no temperature."""
    name = _NAME.match(reply, claim.start)
    return name is not None and any(name[0] in words for words in said)


def _is_the_users(claim: grounding.Claim, said: Sequence[str]) -> bool:
    """Whether the user asserted it, and no result says otherwise: "sorry about your snow"."""
    if claim.verdict != grounding.UNSUPPORTED or claim.kind in ("place", "day"):
        return False
    told = [sentence for words in said for sentence in re.split(r"(?<=[.!?])\s+", words) if not sentence.endswith("?")]
    return any(other.verdict == grounding.SUPPORTED for text in told for other in _same(claim, text))


def _same(claim: grounding.Claim, told: str) -> list[grounding.Claim]:
    return [other for other in grounding.judge(claim.text, [told]) if other.kind == claim.kind]
