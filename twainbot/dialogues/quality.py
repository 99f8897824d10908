"""The gate of synthetic dialogues: what is wrong with one, which repeat another, and the decision on each row.

The rules read only the row: turns, the tools it offers, their results, the user's words. What a reply rests on is
grounds.py's, whether an argument was said said.py's, figures of variety variety.py's, copying from passages copying.py's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeAlias

import polars as pl

from twainbot.dedupe import pairs
from twainbot.dialogues import grounds, said
from twainbot.dialogues.rows import told_origin
from twainbot.dialogues.tool_results import closed, validator
from twainbot.dialogues.tools import SERVED_TO_STORED, call_arguments
from twainbot.dialogues.variety import words_of
from twainbot.errors import BadInput
from twainbot.records import DIALOGUE, SCREENED_DIALOGUE, conform, frame
from twainbot.screening import ToxicityScorer, lexical

COPY_MAX_WORDS = 30  # longest run shared with the user's quotation; lines are at most 26 words long, see transfer.py
NEAR_DUPLICATE = 0.7  # 3-gram Jaccard of two replies, above which the later one is rejected
TOXICITY_REJECT = 0.5  # the customary cut of Detoxify; synthetic text is gated, not only flagged

# The gates that a dialogue passes, and the kinds of reason that each gives
GATES: Mapping[str, tuple[str, ...]] = {
    "form": ("roles", "empty", "tools", "tool_result"),
    "tool calls": ("unknown_tool", "arguments", "argument_not_said"),
    "grounding": (
        "ungrounded_number", "wrong_role", "invented_alert", "ungrounded_claim", "no_call", "forecast_despite_failure",
    ),
    "voice": ("flat_voice", "raw_data"),
    "label": ("unlabelled",),
    "copying": ("copied",),
    "evaluation text": ("eval_text",),
    "parents": ("parent_not_curated",),
    "toxicity": ("toxicity",),
    "coarse words": ("lexical",),
    "near-duplicates": ("near_duplicate",),
}  # fmt: skip

_FLOW = {  # what may follow a turn; "" is the end
    "": ("user",),
    "system": ("user",),
    "user": ("assistant", "call"),
    "call": ("tool", "call"),
    "tool": ("assistant", "call", "tool"),
    "assistant": ("user", ""),
}

Row: TypeAlias = Mapping[str, Any]


def problems(row: Row, tool: Row | None = None) -> list[str]:
    """What is wrong with a DIALOGUE row, as `kind: detail`, in reading order; empty if it is sound.

    Calls are held to the schemas that the row offers; `tool`, a schema in the served form, stands in for them.
    """
    tools = json.dumps([tool]) if tool is not None else row["tools"]
    return list(_problems(json.dumps([row["kind"], tools, row["turns"]], ensure_ascii=False)))


@lru_cache(maxsize=1 << 13)
def _problems(judged: str) -> tuple[str, ...]:
    """The problems of a kind, tools and turns as JSON. A row passes four gates of a run: 4 ms the first time, then none."""
    kind, tools, turns = json.loads(judged)
    found = _flow_problems(turns)
    if found:
        return tuple(found)  # without a sound order, the rest would judge the wrong turns
    try:
        offered = _offered(tools or "[]")
    except BadInput as error:
        return (f"tools: {error}",)
    retold = kind == "style_transfer"  # somebody else's words: weather in them is no forecast of ours
    found = [problem for at in range(len(turns)) for problem in _turn_problems(turns, at, offered, retold=retold)]
    return (*found, *(_copy_problems(turns) if retold else ()))


def _kind_of(turn: Row) -> str:
    call = turn.get("tool_call")
    return "call" if call is not None and call.get("tool_name") else str(turn["role"])


def _flow_problems(turns: Sequence[Row]) -> list[str]:
    kinds = [_kind_of(turn) for turn in turns]
    if kinds[:1] == ["system"]:
        kinds = kinds[1:]
    pairs_of = zip(["", *kinds], [*kinds, ""], strict=True)
    wrong = [(before, after) for before, after in pairs_of if after not in _FLOW.get(before, ())]
    found = [f"roles: {after or 'end'} after {before or 'start'}" for before, after in wrong]
    found += [f"roles: {tools} results of {calls} calls" for calls, tools in _exchanges(kinds) if calls != tools]
    empty = [turn["role"] for turn in turns if _kind_of(turn) != "call" and not (turn["content"] or "").strip()]
    return found + [f"empty: {role} turn" for role in empty]


def _exchanges(kinds: Sequence[str]) -> Iterator[tuple[int, int]]:
    """(calls in a row, results in a row after them) for each such stretch."""
    for stretch in re.finditer(r"(c+)(t*)", "".join(kind[0] if kind in ("call", "tool") else "." for kind in kinds)):
        if stretch[2]:
            yield len(stretch[1]), len(stretch[2])


def _turn_problems(turns: Sequence[Row], at: int, offered: Mapping[str, _Schema], *, retold: bool) -> Iterator[str]:
    kind, content = _kind_of(turns[at]), turns[at]["content"] or ""
    if kind == "call":
        yield from _call_problems(turns, at, offered)
    elif kind == "tool" and _result(turns[at]) is None:
        yield "tool_result: not a JSON object"
    if kind == "assistant" or (kind == "call" and content.strip()):
        yield from grounds.faults(content, known_before(turns, at), retold=retold)


def known_before(turns: Sequence[Row], at: int) -> grounds.Known:
    """All that the turn may rest on. A call whose arguments cannot be read counts as one without any."""
    before = turns[:at]
    results = [_result(turn) for turn in before if turn["role"] == "tool"]
    return grounds.Known(
        results=[{} if result is None else result for result in results],
        calls=[_arguments(turn["tool_call"]) for turn in before if _kind_of(turn) == "call"],
        said=[turn["content"] for turn in before if turn["role"] == "user"],
        today=said.stated_today(turns),
        answers_tool=at > 0 and turns[at - 1]["role"] == "tool",
    )


def _result(turn: Row) -> dict[str, Any] | list[Any] | None:
    """A tool turn's JSON object or list of objects; None for anything else."""
    try:
        value = json.loads(turn["content"] or "")
    except (ValueError, RecursionError):
        return None
    if isinstance(value, list) and value and all(isinstance(item, dict) for item in value):
        return value
    return value if isinstance(value, dict) else None


def _arguments(call: Row) -> dict[str, Any]:
    try:
        return call_arguments(call)
    except BadInput:
        return {}


# --- calls ---------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Schema:
    """A tool's parameters with their compiled validator."""

    parameters: Row
    validator: Any


@lru_cache(maxsize=512)
def _offered(tools: str) -> dict[str, _Schema]:
    """Stored name to schema of the tools that a row offers. Raises BadInput where the list or a schema is none."""
    from jsonschema import Draft202012Validator, SchemaError

    found: dict[str, _Schema] = {}
    try:
        for tool in json.loads(tools):
            function = tool.get("function", tool)
            parameters = function.get("parameters") or {"type": "object", "properties": {}}
            Draft202012Validator.check_schema(parameters)
            checked = validator(closed(parameters)).evolve(format_checker=Draft202012Validator.FORMAT_CHECKER)
            name = SERVED_TO_STORED.get(function["name"], function["name"])  # no alias: a tool offered is that tool
            found.setdefault(name, _Schema(parameters, checked))
    except (ValueError, TypeError, KeyError, AttributeError, SchemaError, RecursionError) as error:
        reason = f"{type(error).__name__}: {str(error).splitlines()[0][:80]}"
        raise BadInput(f"no list of tool schemas ({reason}), found {tools[:60]!r}") from error
    return found


def _call_problems(turns: Sequence[Row], at: int, offered: Mapping[str, _Schema]) -> Iterator[str]:
    call = turns[at]["tool_call"]
    if call["tool_name"] not in offered:
        yield f"unknown_tool: {call['tool_name']}"
        return
    try:
        arguments = call_arguments(call)
    except BadInput as error:
        yield f"arguments: {error}"
        return
    schema = offered[call["tool_name"]]
    yield from _schema_problems(arguments, schema)
    words = [turn["content"] for turn in turns[:at] if turn["role"] == "user"]
    results = [turn["content"] for turn in turns[:at] if turn["role"] == "tool"]
    today = said.stated_today(turns)
    properties = schema.parameters.get("properties") or {}
    for name, value in arguments.items():
        if not said.is_said(value, properties.get(name, {}), words, results, today):
            yield f"argument_not_said: {name}={value!r} is not in the user's words"


def _schema_problems(arguments: Row, schema: _Schema) -> Iterator[str]:
    properties = schema.parameters.get("properties") or {}
    yield from (f"arguments: {name} is empty" for name, value in arguments.items() if _is_blank(value))
    try:
        errors = sorted(schema.validator.iter_errors(arguments), key=lambda error: (str(error.path), error.message))
    except Exception as error:  # a foreign server's schema may fail in any of jsonschema's and referencing's ways
        yield f"tools: the schema cannot be used ({type(error).__name__})"
        return
    for error in errors:
        where = ".".join(str(part) for part in error.path)
        if error.validator == "unevaluatedProperties" and not where:
            # JSON Schema allows more than it names, and MCP servers ignore it in silence
            yield from (f"arguments: {name} is not in the schema" for name in arguments if name not in properties)
        else:
            yield f"arguments: {where + ': ' if where else ''}{error.message}"


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


# --- copying and variety ---------------------------------------------------------------------------------------------------


def _copy_problems(turns: Sequence[Row]) -> Iterator[str]:
    run = longest_copied_run(turns[-1]["content"], [turn["content"] for turn in turns if turn["role"] == "user"])
    if run > COPY_MAX_WORDS:
        yield f"copied: {run} words in a row"


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


def questions(row: Row) -> list[str]:
    """The user's turns with words in them; none of a retelling: a line given to be retold is no question."""
    asked = [turn["content"] or "" for turn in row["turns"] if turn["role"] == "user"]
    return [] if row["kind"] == "style_transfer" else [text for text in asked if text.strip()]


def near_duplicates(texts: Sequence[str], threshold: float = NEAR_DUPLICATE) -> dict[int, int]:
    """Later text -> the earliest text that is kept and whose word 3-grams it shares by Jaccard >= threshold.

    The first of a family stays; so a text added at the end never changes what was said of those before it.
    """
    found: dict[int, int] = {}
    for first, second in pairs.near_duplicates(texts, threshold).select("a", "b").sort("b", "a").iter_rows():
        if second not in found and first not in found:
            found[second] = first
    return found


def unique_openings(texts: Sequence[str]) -> float:
    """Share of distinct first six words, 0..1; 0.0 of no texts."""
    return len({tuple(words_of(text)[:6]) for text in texts}) / max(1, len(texts))


def screen_dialogues(
    dialogues: pl.DataFrame,
    scorer: ToxicityScorer,
    *,
    lexical_flags: Callable[[str], Sequence[str]] = lambda text: lexical.find(text).flags,
    further: Callable[[Sequence[Row]], Mapping[str, Sequence[str]]] = lambda _rows: {},
) -> pl.DataFrame:
    """The dialogues as SCREENED_DIALOGUE, in their order: keep, review (lexical flags only) or reject, with all reasons.

    A row whose scorer did not run keeps a null toxicity and the backend's name; it is not taken for clean. `further`
    gives reasons by id that take knowledge of other tables. Near-duplicates are sought among what is else sound, so that
    a faulty dialogue never puts a sound one out; the first id stays.
    """
    listed = conform(dialogues, DIALOGUE, "dialogues").to_dicts()
    texts = ["\n".join(replies(row)) for row in listed]
    scores = scorer.score(texts)
    more = further(listed)
    reasons = [
        [*_given_up(row), *problems(row), *_unlabelled(row), *more.get(row["conversation_id"], ()), *_toxic(score)]
        for row, score in zip(listed, scores, strict=True)
    ]
    sound = [at for at in range(len(listed)) if not reasons[at]]
    for at, kept in near_duplicates([texts[at] for at in sound]).items():
        reasons[sound[at]].append(f"near_duplicate: {listed[sound[kept]]['conversation_id']}")
    flagged = [lexical_flags(text) for text in texts]
    decided = [
        {
            **row,
            "decision": "reject" if why else "review" if flags else "keep",
            "reasons": [*why, *(f"lexical: {flag}" for flag in flags)],
            "toxicity": score,
            "toxicity_backend": scorer.backend,
        }
        for row, why, flags, score in zip(listed, reasons, flagged, scores, strict=True)
    ]
    return frame(decided, SCREENED_DIALOGUE)


def _toxic(score: float | None) -> Iterator[str]:
    if score is not None and score >= TOXICITY_REJECT:
        yield f"toxicity: {score:.2f} >= {TOXICITY_REJECT}"


def _given_up(row: Row) -> list[str]:
    """Why its language model's answer was refused, where the origin says so."""
    return [str(reason) for reason in told_origin(row).get("rejected") or []]


def _unlabelled(row: Row) -> Iterator[str]:
    """A synthetic row must say that it is, and what wrote it."""
    if not (row["disclaimer"] or "").strip():
        yield "unlabelled: no disclaimer"
    if not told_origin(row).get("generator"):
        yield "unlabelled: no origin with a generator"
