"""The gate of synthetic dialogues: what is wrong with one, how varied a batch is, and the decision on each row.

The rules read only the row: turns, tool results, the user's words. Whether a claim in prose (a condition, a day, a town)
agrees with the result is judged once more, and more finely, by evals/grounding.py.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias

import polars as pl

from twainbot.dialogues import figures, rows
from twainbot.dialogues.tools import FORECAST_TOOL, call_arguments, stored_name
from twainbot.errors import BadInput
from twainbot.records import DIALOGUE, SCREENED_DIALOGUE, conform, frame
from twainbot.screening import ToxicityScorer, lexical

VOICE_MIN_WORDS = 7  # the shortest opening or closing of the shipped grammars holds 7 words beside the facts
COPY_MAX_WORDS = 30  # longest run shared with the user's quotation; lines are at most 26 words long, see transfer.py
NEAR_DUPLICATE = 0.7  # 3-gram Jaccard of two replies, above which the later one is rejected
TOXICITY_REJECT = 0.5  # the customary cut of Detoxify; synthetic text is gated, not only flagged

_FLOW = {  # what may follow a turn; "" is the end
    "": ("user",),
    "system": ("user",),
    "user": ("assistant", "call"),
    "call": ("tool",),
    "tool": ("assistant", "call"),
    "assistant": ("user", ""),
}
_DAY = re.compile(
    r"\b(?:today|tonight|tomorrow|weekend|this (?:morning|afternoon|evening)|(?:mon|tues|wednes|thurs|fri|satur|sun)day"
    r"|\d{4}-\d\d-\d\d)\b",
    re.IGNORECASE,
)
_ALERT = re.compile(r"((?:[A-Z][a-z]+ )+(?:Warning|Watch|Advisory))\b")
# the role word that stands before a figure, a few plain words between: "the low in Reno tomorrow is 40"
_ROLE = re.compile(r"\b(high|low)\b(?:\s+[A-Za-z]+){0,6}\s+(?=[-−\d])", re.IGNORECASE)
_SKY = r"sun|sunny|rain|rainy|snow|showers?|cloudy|overcast|thunderstorms?|sleet|fog|drizzle|windy"
_FORECAST = re.compile(
    r"\b(?:will be|will have|expect|look for|promises?|calls? for|gets|brings|should see|down for)\b[^.?!]*"
    rf"\b(?:{_SKY})\b",
    re.IGNORECASE,
)

Row: TypeAlias = Mapping[str, Any]


def problems(row: Row, tool: Mapping[str, Any]) -> list[str]:
    """What is wrong with a DIALOGUE row, as `kind: detail`, in reading order; empty if it is sound.

    `tool` is the JSON schema of the tool, in the served form (dialogues/tools.py).
    """
    turns = row["turns"]
    found = _flow_problems(turns)
    if found:
        return found  # without a sound order, the rest would judge the wrong turns
    retold = row["kind"] == "style_transfer"  # somebody else's words: weather in them is no forecast of ours
    found = [problem for at in range(len(turns)) for problem in _turn_problems(turns, at, tool, retold=retold)]
    return found + (list(_copy_problems(turns)) if retold else [])


def _kind_of(turn: Row) -> str:
    call = turn.get("tool_call")
    return "call" if call is not None and call.get("tool_name") else str(turn["role"])


def _flow_problems(turns: Sequence[Row]) -> list[str]:
    kinds = [_kind_of(turn) for turn in turns]
    if kinds[:1] == ["system"]:
        kinds = kinds[1:]
    pairs = zip(["", *kinds], [*kinds, ""], strict=True)
    wrong = [(before, after) for before, after in pairs if after not in _FLOW.get(before, ())]
    found = [f"roles: {after or 'end'} after {before or 'start'}" for before, after in wrong]
    empty = [turn["role"] for turn in turns if _kind_of(turn) != "call" and not (turn["content"] or "").strip()]
    return found + [f"empty: {role} turn" for role in empty]


def _turn_problems(turns: Sequence[Row], at: int, tool: Mapping[str, Any], *, retold: bool) -> Iterator[str]:
    kind = _kind_of(turns[at])
    if kind == "call":
        yield from _call_problems(turns, at, tool)
    elif kind == "tool":
        if rows.tool_results([turns[at]]) == [{}]:
            yield "tool_result: not a JSON object"
    elif kind == "assistant":
        yield from _reply_problems(turns, at)
        if not retold:
            yield from _manner_problems(turns, at)


def _call_problems(turns: Sequence[Row], at: int, tool: Mapping[str, Any]) -> Iterator[str]:
    call, function = turns[at]["tool_call"], tool["function"]
    if call["tool_name"] != stored_name(function["name"]):
        yield f"unknown_tool: {call['tool_name']}"
        return
    try:
        arguments = call_arguments(call)
    except BadInput as error:
        yield f"arguments: {error}"
        return
    yield from _schema_problems(arguments, function["parameters"])
    said = _user_words(turns[:at])
    for name, value in arguments.items():
        if isinstance(value, str) and not _is_said(name, value, said):
            yield f"argument_not_said: {name}={value!r} is not in the user's words"


def _schema_problems(arguments: Mapping[str, Any], parameters: Mapping[str, Any]) -> Iterator[str]:
    known = parameters["properties"]
    for name in parameters.get("required", []):
        if name not in arguments:
            yield f"arguments: {name} is missing"
    for name, value in arguments.items():
        if name not in known:
            yield f"arguments: {name} is not in the schema"
        elif known[name].get("type") == "string" and not (isinstance(value, str) and value.strip()):
            yield f"arguments: {name} must be a text, got {value!r}"
        elif "enum" in known[name] and value not in known[name]["enum"]:
            yield f"arguments: {name}={value!r} is none of {known[name]['enum']}"


def _user_words(turns: Sequence[Row]) -> list[str]:
    return [turn["content"] for turn in turns if turn["role"] == "user"]


def _is_said(name: str, value: str, said: Sequence[str]) -> bool:
    """Whether the user wrote the value, or named no day at all where the call says "today"."""
    if any(value.casefold() in words.casefold() for words in said):
        return True
    return name == "datetime" and value == "today" and not any(_DAY.search(words) for words in said)


def _reply_problems(turns: Sequence[Row], at: int) -> Iterator[str]:
    reply = turns[at]["content"]
    results = rows.tool_results(turns[:at])
    forecasts = [result for result in results if "error" not in result]
    said = [figure.value for words in _user_words(turns[:at]) for figure in figures.read(words)]
    yield from _number_problems(reply, forecasts, said, turns[:at])
    posted = {alert for result in forecasts for alert in result.get("alerts") or []}
    for alert in _ALERT.findall(reply):
        if not any(alert.endswith(known) for known in posted) and not any(
            alert in words for words in _user_words(turns)
        ):
            yield f"invented_alert: {alert}"


def _manner_problems(turns: Sequence[Row], at: int) -> Iterator[str]:
    """A forecast that no tool result stands behind, or facts without a voice."""
    reply = turns[at]["content"]
    results = rows.tool_results(turns[:at])
    forecasts = [result for result in results if "error" not in result]
    answers_tool = _kind_of(turns[at - 1]) == "tool"
    if not forecasts or (answers_tool and "error" in results[-1]):
        figured = any(figure.unit for figure in figures.read(reply))
        if figured or _FORECAST.search(reply):
            yield (
                "forecast_despite_failure: the tool gave none"
                if results
                else "no_call: weather stated without the tool"
            )
    elif answers_tool and _voice_words(reply, results[-1]) < VOICE_MIN_WORDS:
        yield "flat_voice: nothing but the facts"


def _number_problems(
    reply: str, forecasts: Sequence[Row], said: Sequence[float], before: Sequence[Row]
) -> Iterator[str]:
    texts = [json.dumps(result, ensure_ascii=False) for result in forecasts]
    texts += [turn["tool_call"]["arguments"] for turn in before if _kind_of(turn) == "call"]
    known = {*said, *(figure.value for text in texts for figure in figures.read(text))}
    known |= {float(result[key]) for result in forecasts for key in ("high_f", "low_f") if key in result}
    for figure in figures.read(reply):
        allowed = _allowed(figure.unit, forecasts, said) if forecasts else known
        if figure.value not in (allowed if figure.unit else known):
            yield f"ungrounded_number: {figure.value:g} {figure.unit}".rstrip()
    if forecasts:
        yield from _role_problems(reply, forecasts, said)


def _allowed(unit: str, forecasts: Sequence[Row], said: Sequence[float]) -> set[float]:
    """The values that may stand before a unit: the results' own, the user's, and exact conversions of the results'."""
    degrees = [result[key] for result in forecasts for key in ("high_f", "low_f")]
    winds = [result["wind_mph"] for result in forecasts]
    values: dict[str, list[Any]] = {
        "degrees": degrees,
        "celsius": [figures.celsius(value) for value in degrees],
        "percent": [result["precipitation_chance"] for result in forecasts],
        "mph": winds,
        "kmh": [figures.kmh(value) for value in winds],
    }
    return {float(value) for value in [*values.get(unit, []), *said]}


def _role_problems(reply: str, forecasts: Sequence[Row], said: Sequence[float]) -> Iterator[str]:
    by_place = {figure.start: figure for figure in figures.read(reply)}
    for match in _ROLE.finditer(_without_places(reply, forecasts)):
        figure = by_place.get(match.end())
        role = match[1].lower()
        if figure is None or figure.unit not in ("degrees", "celsius", "") or figure.value in said:
            continue
        values = {float(result[f"{role}_f"]) for result in forecasts}
        values |= {float(figures.celsius(value)) for value in values} if figure.unit == "celsius" else set()
        if figure.value not in values:
            yield f"wrong_role: {figure.value:g} is not the {role}"


def _without_places(reply: str, forecasts: Sequence[Row]) -> str:
    """The reply with the towns' names blanked, place by place: Show Low, AZ, has a high too."""
    for town in {str(result.get("location") or "").partition(",")[0] for result in forecasts} - {""}:
        reply = re.sub(re.escape(town), lambda match: "_" * len(match[0]), reply, flags=re.IGNORECASE)
    return reply


def _voice_words(reply: str, result: Row) -> int:
    """Words in sentences that hold no figure and no value of the result: what the persona adds."""
    values = {str(result.get(key) or "").casefold() for key in ("location", "condition")} - {""}
    total = 0
    for sentence in re.split(r"(?<=[.!?:;])\s+", reply):
        if not re.search(r"\d", sentence) and not any(value in sentence.casefold() for value in values):
            total += len(sentence.split())
    return total


def _copy_problems(turns: Sequence[Row]) -> Iterator[str]:
    run = longest_copied_run(turns[-1]["content"], _user_words(turns))
    if run > COPY_MAX_WORDS:
        yield f"copied: {run} words in a row"


def words_of(text: str) -> list[str]:
    """The text's words in lower case, marks gone."""
    return re.findall(r"[\w']+", text.lower())


def longest_copied_run(text: str, sources: Iterable[str]) -> int:
    """Length in words of the longest run that the text shares with any source."""
    mine = words_of(text)
    best = 0
    for source in sources:
        theirs = f" {' '.join(words_of(source))} "
        start = 0
        while start + best < len(mine):
            if f" {' '.join(mine[start : start + best + 1])} " in theirs:
                best += 1
            else:
                start += 1
    return best


def replies(row: Row) -> list[str]:
    """The assistant's spoken turns, calls left out."""
    return [turn["content"] for turn in row["turns"] if _kind_of(turn) == "assistant"]


def _grams(text: str, size: int) -> set[tuple[str, ...]]:
    words = words_of(text)
    return {tuple(words[at : at + size]) for at in range(max(1, len(words) - size + 1))}


def near_duplicates(texts: Sequence[str], threshold: float = NEAR_DUPLICATE) -> dict[int, int]:
    """Later text -> the earliest text whose word 3-grams it shares by Jaccard >= threshold (exact, no sketch)."""
    grams = [_grams(text, 3) for text in texts]
    holders: dict[tuple[str, ...], list[int]] = {}
    found: dict[int, int] = {}
    for at, mine in enumerate(grams):
        shared = Counter(other for gram in mine for other in holders.get(gram, ()))
        close = [other for other, n in shared.items() if n >= threshold * (len(mine) + len(grams[other]) - n)]
        if close:
            found[at] = min(close)
        for gram in mine:
            holders.setdefault(gram, []).append(at)
    return found


def variety(dialogues: pl.DataFrame, seed_texts: Sequence[str] = ()) -> dict[str, float]:
    """How varied the replies of a batch are, and how long the longest run copied from a seed passage is.

    distinct_1, distinct_2: distinct word n-grams / all; unique_openings: share of distinct first six words;
    near_duplicate_share: replies that repeat an earlier one (3-gram Jaccard >= 0.7).
    """
    spoken = [reply for row in dialogues.to_dicts() for reply in replies(row)]
    if not spoken:
        return dict.fromkeys(("replies", "distinct_1", "distinct_2", "unique_openings", "near_duplicate_share"), 0.0)
    words = [words_of(reply) for reply in spoken]
    openings = {tuple(reply[:6]) for reply in words}
    measures = {
        "replies": float(len(spoken)),
        "distinct_1": _distinct(words, 1),
        "distinct_2": _distinct(words, 2),
        "unique_openings": len(openings) / len(spoken),
        "near_duplicate_share": len(near_duplicates(spoken)) / len(spoken),
        "mean_words": sum(map(len, words)) / len(words),
    }
    if seed_texts:
        measures["longest_copied_run"] = float(max(longest_copied_run(reply, seed_texts) for reply in spoken))
    return measures


def _distinct(texts: Sequence[Sequence[str]], size: int) -> float:
    grams = [tuple(words[at : at + size]) for words in texts for at in range(len(words) - size + 1)]
    return len(set(grams)) / max(1, len(grams))


def screen_dialogues(
    dialogues: pl.DataFrame,
    scorer: ToxicityScorer,
    *,
    tool: Mapping[str, Any] = FORECAST_TOOL,
    lexical_flags: Callable[[str], Sequence[str]] = lambda text: lexical.find(text).flags,
) -> pl.DataFrame:
    """The dialogues as SCREENED_DIALOGUE, in their order: keep, review (lexical flags only) or reject, with all reasons.

    A row whose scorer did not run keeps a null toxicity and the backend's name; it is not taken for clean.
    """
    listed = conform(dialogues, DIALOGUE, "dialogues").to_dicts()
    texts = ["\n".join(replies(row)) for row in listed]
    scores = scorer.score(texts)
    repeated = near_duplicates(texts)
    screened: list[dict[str, Any]] = []
    for at, (row, score) in enumerate(zip(listed, scores, strict=True)):
        reasons = problems(row, tool)
        if at in repeated:
            reasons.append(f"near_duplicate: {listed[repeated[at]]['conversation_id']}")
        if score is not None and score >= TOXICITY_REJECT:
            reasons.append(f"toxicity: {score:.2f} >= {TOXICITY_REJECT}")
        flags = lexical_flags(texts[at])
        decision = "reject" if reasons else "review" if flags else "keep"
        reasons += [f"lexical: {flag}" for flag in flags]
        screened.append(
            {**row, "decision": decision, "reasons": reasons, "toxicity": score, "toxicity_backend": scorer.backend}
        )
    return frame(screened, SCREENED_DIALOGUE)
