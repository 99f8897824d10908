"""Scoring tool calls: one item's verdict, precision and recall of a set. Reading them: call_parsing.py. Gates: verdicts.py.

`strict` follows the Berkeley function-calling leaderboard's Python checker rule by rule, so figures compare with
published ones. `normalised` forgives what a weather service would forgive: `Hannibal` for `Hannibal, MO`, `on Saturday`
for `Saturday`, an argument equal to the schema's default. Both are reported, never one alone.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date
from typing import Any

from twainbot.dialogues.tools import served_name, stored_name
from twainbot.errors import BadInput
from twainbot.evals.call_parsing import FormatError, parse_message
from twainbot.evals.call_parsing import parse_calls as parse_calls
from twainbot.evals.places_dates import read_place, same_day, same_place
from twainbot.evals.statistics import Interval, clopper_pearson

Call = Mapping[str, Any]  # {"name": str, "arguments": {...}}
Expected = Mapping[str, Mapping[str, Sequence[Any]]]  # {name: {parameter: [accepted values]}}; "" accepts absence

_IGNORED_IN_STRINGS = re.compile(r"[ ,./\-_*^]")  # what the leaderboard drops before it compares strings
_TYPES: Mapping[str, type] = {
    "string": str, "any": str, "integer": int, "float": float, "number": float, "boolean": bool,
    "array": list, "tuple": list, "dict": dict, "object": dict,
}  # fmt: skip
_PLACE_PARAMETER = re.compile(r"(?:^|_)(?:location|city|town|place|address)(?:$|_)", re.IGNORECASE)
_DAY_PARAMETER = re.compile(r"(?:^|_)(?:datetime|date|day|when)(?:$|_)", re.IGNORECASE)


@dataclass(frozen=True)
class CallScore:
    """Whether one reply's calls are right as a set; `errors` says why `strict` is not, in plain sentences."""

    strict: bool
    normalised: bool
    errors: list[str]


@dataclass(frozen=True)
class CallRow:
    """One item: what the model called, what was right ([] where no call is), and the tools that it was offered."""

    predicted: Sequence[Call]
    expected: Sequence[Expected]
    tools: Sequence[Mapping[str, Any]]
    format_errors: Sequence[FormatError] = ()
    prompt: str = ""  # the user's words; without them the copied-argument rate skips the row

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> CallRow:
        """A row from JSON: `expected` and `tools` with either `reply` (text to parse) or `predicted` (calls)."""
        expected = record.get("expected")
        if not isinstance(expected, list):
            raise BadInput("A tool-call row needs `expected`, a list: write [] where no call is right.")
        tools, prompt = record.get("tools") or [], str(record.get("prompt") or "")
        if "predicted" in record:
            return cls(list(record["predicted"]), expected, tools, prompt=prompt)
        written = record["message"] if isinstance(record.get("message"), Mapping) else record.get("reply")
        if not isinstance(written, (str, Mapping)):
            raise BadInput("A tool-call row needs `reply` (the model's text) or `predicted` (a list of calls).")
        calls, errors = parse_message(written, bare=record.get("bare") is True)
        return cls(calls, expected, tools, errors, prompt)


@dataclass(frozen=True)
class CallSummary:
    """Figures over a set of rows. A rate is None where nothing could be counted; intervals are exact, 95 %."""

    n: int
    positives: int  # rows that need a call
    negatives: int  # rows where any call is wrong
    predicted_calls: int  # attempts, calls lost to a format error included
    expected_calls: int
    precision: float | None
    recall: float | None
    precision_normalised: float | None
    recall_normalised: float | None
    no_call_accuracy: float | None
    exact_strict: float | None
    exact_strict_interval: Interval
    exact_normalised: float | None
    exact_normalised_interval: Interval
    format_error_rate: float | None  # replies with a format error
    unknown_tool_rate: float | None  # of predicted calls
    false_call_rate: float | None  # of negative rows
    argument_copied_from_prompt_rate: float | None  # of string arguments
    schema_valid_rate: float | None = None  # of predicted calls, the lost ones included


def score(
    predicted: Sequence[Call],
    expected: Sequence[Expected],
    tools: Sequence[Mapping[str, Any]],
    *,
    today: date | None = None,
) -> CallScore:
    """Whether the predicted calls are exactly the expected ones, in any order. `expected=[]`: only silence is right.

    `tools`: JSON schemas, bare or inside {"type": "function", "function": ...}. With `today`, `tomorrow` equals its date.
    """
    schemas = _by_name(tools)
    if len(predicted) != len(expected):
        return CallScore(False, False, [f"{len(predicted)} calls where {len(expected)} are right."])
    errors = _strict_errors(predicted, expected, schemas)
    if not errors:
        return CallScore(True, True, [])
    links = _links(predicted, expected, lambda call, gold: not _normalised_errors(call, gold, schemas, today))
    return CallScore(False, len(maximum_matching(links)) == len(expected), errors)


def summarise(rows: Sequence[CallRow], *, today: date | None = None) -> CallSummary:
    """Precision and recall count single calls by maximum bipartite matching; exact rates count whole rows."""
    tallies = [_tally(row, today) for row in rows]
    positives = [t for t in tallies if t.expected]
    negatives = [t for t in tallies if not t.expected]
    predicted, expected = sum(t.predicted for t in tallies), sum(t.expected for t in tallies)
    strict, loose = sum(t.exact_strict for t in tallies), sum(t.exact_normalised for t in tallies)
    silent = sum(t.predicted == 0 for t in negatives)
    return CallSummary(
        n=len(rows),
        positives=len(positives),
        negatives=len(negatives),
        predicted_calls=predicted,
        expected_calls=expected,
        precision=_rate(sum(t.matched_strict for t in tallies), predicted),
        recall=_rate(sum(t.matched_strict for t in tallies), expected),
        precision_normalised=_rate(sum(t.matched_normalised for t in tallies), predicted),
        recall_normalised=_rate(sum(t.matched_normalised for t in tallies), expected),
        no_call_accuracy=_rate(silent, len(negatives)),
        exact_strict=_rate(strict, len(rows)),
        exact_strict_interval=clopper_pearson(strict, len(rows)),
        exact_normalised=_rate(loose, len(rows)),
        exact_normalised_interval=clopper_pearson(loose, len(rows)),
        format_error_rate=_rate(sum(bool(row.format_errors) for row in rows), len(rows)),
        unknown_tool_rate=_rate(sum(t.unknown for t in tallies), predicted),
        false_call_rate=_rate(len(negatives) - silent, len(negatives)),
        argument_copied_from_prompt_rate=_rate(
            sum(t.copied for t in tallies), sum(t.string_arguments for t in tallies)
        ),
        schema_valid_rate=_rate(
            sum(schema_valid(call, row.tools) for row in rows for call in row.predicted), predicted
        ),
    )


def summarise_by_kind(rows: Sequence[CallRow], *, today: date | None = None) -> dict[str, CallSummary]:
    """The same figures for rows that want no call, one call, one of several tools offered, and several calls."""
    kinds: dict[str, list[CallRow]] = {}
    for row in rows:
        kinds.setdefault(kind_of(row), []).append(row)
    return {kind: summarise(found, today=today) for kind, found in sorted(kinds.items())}


def kind_of(row: CallRow) -> str:
    """`none`, `simple`, `multiple` (several tools offered) or `parallel` (several calls wanted)."""
    if not row.expected:
        return "none"
    if len(row.expected) > 1:
        return "parallel"
    return "multiple" if len(row.tools) > 1 else "simple"


def schema_valid(call: Call, tools: Sequence[Mapping[str, Any]]) -> bool:
    """Whether the call names an offered tool, gives all it requires and nothing else, each of its type and enum."""
    schema = _by_name(tools).get(str(call.get("name")))
    if schema is None:
        return False
    parameters = schema.get("parameters") or {}
    properties, arguments = parameters.get("properties") or {}, call.get("arguments") or {}
    if any(name not in arguments for name in parameters.get("required") or []):
        return False
    return all(name in properties and _has_type(value, properties[name]) for name, value in arguments.items())


def _has_type(value: Any, schema: Mapping[str, Any]) -> bool:
    declared = _type_of(schema)
    fits = declared is None or type(value) is declared or (declared is float and type(value) is int)
    return fits and ("enum" not in schema or value in schema["enum"])


def maximum_matching(links: Sequence[Sequence[int]]) -> dict[int, int]:
    """The largest one-to-one choice among `links[left] = rights it may take`, as {right: left} (augmenting paths)."""
    taken: dict[int, int] = {}

    def place(left: int, seen: set[int]) -> bool:
        for right in links[left]:
            if right in seen:
                continue
            seen.add(right)
            if right not in taken or place(taken[right], seen):
                taken[right] = left
                return True
        return False

    for left in range(len(links)):
        place(left, set())
    return taken


# --- the leaderboard's rules ------------------------------------------------------------------------------------------


def _strict_errors(
    predicted: Sequence[Call], expected: Sequence[Expected], schemas: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    """Empty where every expected call finds its own; greedy in the written order, as the leaderboard matches."""
    free = list(predicted)
    for gold in expected:
        attempts = [(call, _call_errors(call, gold, schemas)) for call in free]
        fitting = next((call for call, errors in attempts if not errors), None)
        if fitting is None:
            return [error for _, errors in attempts for error in errors]
        free = [call for call in free if call is not fitting]
    return []


def _call_errors(call: Call, gold: Expected, schemas: Mapping[str, Mapping[str, Any]]) -> list[str]:
    name, accepted = next(iter(gold.items()))
    if call.get("name") != name:
        return [f"Called {call.get('name')!r} where {name!r} is right."]
    if name not in schemas:
        return [f"The tool {name!r} was not offered."]
    arguments, parameters = call.get("arguments") or {}, schemas[name].get("parameters") or {}
    properties = parameters.get("properties") or {}
    missing = [p for p in parameters.get("required") or [] if p not in arguments]
    if missing:
        return [f"{name}: the required argument {missing[0]!r} is missing."]
    for parameter, value in arguments.items():
        if parameter not in properties or parameter not in accepted:
            return [f"{name}: unexpected argument {parameter!r}."]
        if not _accepts(value, accepted[parameter], properties[parameter]):
            return [f"{name}: {parameter}={value!r} is none of {list(accepted[parameter])!r}."]
    absent = [p for p, values in accepted.items() if p not in arguments and "" not in values]
    return [f"{name}: the argument {absent[0]!r} may not be left out here."] if absent else []


def _accepts(sent: Any, accepted: Sequence[Any], schema: Mapping[str, Any]) -> bool:
    """One argument against its accepted values: exact type (an int may stand for a float), then the type's equality."""
    declared = _type_of(schema)
    stands_for_float = declared is float and type(sent) is int and abs(sent) <= sys.float_info.max
    value: Any = float(sent) if stands_for_float else sent
    if schema.get("type") == "tuple" and isinstance(sent, tuple):
        value = list(sent)
    gold_type = next((type(v) for v in accepted if v != ""), None)
    inner = _type_of(schema.get("items") or {}) if declared is list else None
    actual: type = type(value)
    if actual is not declared:
        return gold_type is actual and value in accepted
    if inner is not None and not _inner_types_fit(value, accepted, inner):
        return False
    if gold_type is not None and gold_type is not declared:
        return value in accepted
    if declared is dict:
        return any(_same_object(value, gold) for gold in accepted if isinstance(gold, dict))
    if inner is dict:
        return any(_same_objects(value, gold) for gold in accepted)
    if declared in (str, list):
        return _standard(value) in [_standard(gold) for gold in accepted if type(gold) is declared]
    return value in accepted


def _inner_types_fit(value: Sequence[Any], accepted: Sequence[Any], inner: type) -> bool:
    """Each member has the declared inner type, or the type of some accepted list's first member; "" accepts any."""
    for gold in accepted:
        if not isinstance(gold, list):
            return True
        gold_inner = next((type(v) for v in gold if v != ""), None)
        if all(type(member) is inner or type(member) is gold_inner for member in value):
            return True
    return False


def _standard(value: Any) -> Any:
    """A string, or the strings directly inside a list, as the leaderboard compares them."""
    if isinstance(value, str):
        return _IGNORED_IN_STRINGS.sub("", value).lower().replace("'", '"')
    if isinstance(value, list):
        return [_standard(member) if isinstance(member, str) else member for member in value]
    return value


def _same_object(value: Mapping[str, Any], gold: Mapping[str, Sequence[Any]]) -> bool:
    """An object against {key: [accepted values]}; a key may be absent where "" is accepted."""
    if any(key not in gold or _standard(v) not in [_standard(g) for g in gold[key]] for key, v in value.items()):
        return False
    return all(key in value or "" in values for key, values in gold.items())


def _same_objects(values: Sequence[Any], golds: Any) -> bool:
    """Lists of objects, member by member in order."""
    if not isinstance(golds, list) or len(values) != len(golds):
        return False
    return all(isinstance(v, dict) and _same_object(v, g) for v, g in zip(values, golds, strict=True))


def _type_of(schema: Mapping[str, Any]) -> type | None:
    name = schema.get("type")
    if isinstance(name, list):  # JSON schema's ["string", "null"]
        name = next((n for n in name if n != "null"), None)
    return _TYPES.get(name) if isinstance(name, str) else None


def _by_name(tools: Sequence[Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    schemas: dict[str, Mapping[str, Any]] = {}
    for tool in tools:
        schema = tool.get("function", tool)
        schemas.setdefault(schema["name"], schema)  # the leaderboard takes the first of a name
    return schemas


# --- what a weather service would forgive ----------------------------------------------------------------------------


def _normalised_errors(
    call: Call, gold: Expected, schemas: Mapping[str, Mapping[str, Any]], today: date | None
) -> list[str]:
    name, accepted = next(iter(gold.items()))
    called = str(call.get("name"))
    if name not in schemas or (called != name and (called in schemas or _alias(called) != _alias(name))):
        return [f"Called {called!r} where {name!r} is right."]
    properties = (schemas[name].get("parameters") or {}).get("properties") or {}
    arguments = call.get("arguments") or {}
    unknown = [p for p in arguments if p not in properties]
    if unknown:
        return [f"{name}: unexpected argument {unknown[0]!r}."]
    return [
        f"{name}: {parameter} does not fit."
        for parameter, schema in properties.items()
        if not _forgives(parameter, arguments, accepted.get(parameter), schema, today)
    ]


def _alias(name: str) -> str:
    return served_name(stored_name(name))


def _forgives(
    parameter: str,
    arguments: Mapping[str, Any],
    accepted: Sequence[Any] | None,
    schema: Mapping[str, Any],
    today: date | None,
) -> bool:
    """One parameter: accepted as it stands, equal to the default that absence would give, or another way to write it."""
    default = schema.get("default")
    if parameter not in arguments:
        return accepted is None or "" in accepted or (default is not None and _accepts(default, accepted, schema))
    value = arguments[parameter]
    if accepted is None or "" in accepted:
        if default is not None and _standard(value) == _standard(default):
            return True
        if accepted is None:
            return False
    return _accepts(value, accepted, schema) or _same_meaning(parameter, value, accepted, today)


def _same_meaning(parameter: str, value: Any, accepted: Sequence[Any], today: date | None) -> bool:
    if isinstance(value, float) and value.is_integer():
        return any(type(gold) is int and gold == value for gold in accepted)
    golds = [gold for gold in accepted if isinstance(gold, str) and gold]
    if not isinstance(value, str):
        return False
    if _PLACE_PARAMETER.search(parameter):
        return any(same_place(value, gold) for gold in golds)
    if _DAY_PARAMETER.search(parameter):
        return any(same_day(value, gold, today) for gold in golds)
    return False


# --- sums over rows --------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Tally:
    predicted: int
    expected: int
    matched_strict: int
    matched_normalised: int
    exact_strict: bool
    exact_normalised: bool
    unknown: int
    copied: int
    string_arguments: int = field(default=0)


def _tally(row: CallRow, today: date | None) -> _Tally:
    schemas = _by_name(row.tools)
    lost = sum(error.lost for error in row.format_errors)
    whole = score(row.predicted, row.expected, row.tools, today=today)
    strict = _links(row.predicted, row.expected, lambda call, gold: not _call_errors(call, gold, schemas))
    loose = _links(row.predicted, row.expected, lambda call, gold: not _normalised_errors(call, gold, schemas, today))
    either = [sorted({*a, *b}) for a, b in zip(strict, loose, strict=True)]
    values = [v for call in row.predicted for v in (call.get("arguments") or {}).values() if isinstance(v, str) and v]
    return _Tally(
        predicted=len(row.predicted) + lost,
        expected=len(row.expected),
        matched_strict=len(maximum_matching(strict)),
        matched_normalised=len(maximum_matching(either)),
        exact_strict=whole.strict and not lost,
        exact_normalised=whole.normalised and not lost,
        unknown=sum(call.get("name") not in schemas for call in row.predicted),
        copied=sum(_in_prompt(value, row.prompt) for value in values) if row.prompt else 0,
        string_arguments=len(values) if row.prompt else 0,
    )


def _links(
    predicted: Sequence[Call], expected: Sequence[Expected], fits: Callable[[Call, Expected], bool]
) -> list[list[int]]:
    return [[j for j, gold in enumerate(expected) if fits(call, gold)] for call in predicted]


def _in_prompt(value: str, prompt: str) -> bool:
    """Whether the user wrote the value, or at least the town of it: an invented argument is written nowhere."""
    standing = f" {_words(prompt)} "
    return any(f" {_words(form)} " in standing for form in (value, value.split(",")[0], read_place(value).town) if form)


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _rate(count: int, of: int) -> float | None:
    return count / of if of else None
