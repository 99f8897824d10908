"""Strict scoring beside the leaderboard's own checker on thousands of mutated calls: no disagreement is allowed.

What differs on purpose (schema defaults, `Hannibal` for `Hannibal, MO`, dates) is in `normalised` alone.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.bfcl_light import checker
from tests.builders import FLEXIBLE
from twainbot.evals.tool_calls import score

Calls = list[dict[str, Any]]
PLACES = {"name": "weather.at", "parameters": FLEXIBLE["parameters"]}
OWN = [
    ("simple_python", [FLEXIBLE], [{"look_up": {"location": ["Reno", "Reno, NV"], "days": [3], "unit": ["celsius", ""]}}]),
    ("simple_python", [FLEXIBLE], [{"look_up": {"location": ["O'Fallon"], "height": [5.5, 6.0], "alerts": [True, ""]}}]),
    ("simple_python", [FLEXIBLE], [{"look_up": {"location": ["Elko"], "coordinates": [[1.5, 2.0], [1.0, 2.0]]}}]),
    ("simple_python", [FLEXIBLE], [{"look_up": {"location": ["Ely"], "options": [{"wind": ["mph", "kn"], "x": [1, ""]}]}}]),
    ("simple_python", [FLEXIBLE], [{"look_up": {"location": ["Ely"], "stops": [[{"at": ["Ely"]}, {"at": ["Elko", "Reno"]}]]}}]),
    ("multiple", [FLEXIBLE, PLACES], [{"weather.at": {"location": ["Reno"], "days": [1, ""]}}]),
    ("parallel", [FLEXIBLE], [{"look_up": {"location": ["Reno"]}}, {"look_up": {"location": ["Elko", "Reno"]}}]),
    (
        "parallel_multiple",
        [FLEXIBLE, PLACES],
        [{"look_up": {"location": ["Reno"], "days": [2]}}, {"weather.at": {"location": ["Ely"], "height": [3.0, ""]}}],
    ),
]  # fmt: skip
MUTATIONS_AN_OWN_CASE = 100
MUTATIONS_AN_ITEM = 20


@pytest.mark.parametrize("number", range(len(OWN)))
def test_strict_agrees_with_the_leaderboard_on_mutations_of_our_own_cases(number: int) -> None:
    category, functions, gold = OWN[number]
    tried = list(compared(functions, gold, category, random.Random(number), MUTATIONS_AN_OWN_CASE))
    assert {ours for ours, _, _ in tried} == {True, False}  # both verdicts were tried
    assert [calls for ours, theirs, calls in tried if ours != theirs] == []


@pytest.mark.shared
def test_strict_agrees_with_the_leaderboard_on_two_thousand_mutations_of_its_weather_items(
    shared_data: Path,
) -> None:
    files = sorted((shared_data / "evals" / "bfcl_weather").glob("*.jsonl"))
    rows = [json.loads(line) for path in files for line in path.read_text(encoding="utf-8").splitlines()]
    tried = [
        (row["id"], *one)
        for number, row in enumerate(rows)
        if row["ground_truth"]
        for one in compared(row["function"], row["ground_truth"], category_of(row), random.Random(number), MUTATIONS_AN_ITEM)
    ]  # fmt: skip
    assert len(tried) >= 2000
    assert sum(ours for _, ours, _, _ in tried) >= 200  # a checker that refuses everything would agree too easily
    assert [(item, calls) for item, ours, theirs, calls in tried if ours != theirs] == []


def first_allowed(gold: dict[str, Any]) -> dict[str, Any]:
    """The call that takes the first accepted value of every parameter, nested objects too."""
    name, accepted = next(iter(gold.items()))
    return {"name": name, "arguments": {p: plain(pick(vs)) for p, vs in accepted.items() if any(v != "" for v in vs)}}


def pick(values: list[Any]) -> Any:
    """The first value that is not the sign for absence."""
    return next((value for value in values if value != ""), None)


def plain(value: Any) -> Any:
    """An accepted value with its own choices made."""
    if isinstance(value, dict):
        return {key: plain(pick(values)) for key, values in value.items()}
    return [plain(member) for member in value] if isinstance(value, list) else value


def category_of(row: dict[str, Any]) -> str:
    """`BFCL_v4_parallel_multiple.json` is the category `parallel_multiple`."""
    return str(row["source_file"]).removeprefix("BFCL_v4_").removesuffix(".json")


def compared(
    functions: list[dict[str, Any]], gold: list[dict[str, Any]], category: str, rng: random.Random, count: int
) -> Iterator[tuple[bool, bool, Calls]]:
    """(our verdict, the leaderboard's, calls) of the right calls and of `count` mutations of them."""
    check = checker()
    right = [first_allowed(one) for one in gold]
    for number in range(count + 1):
        calls = copy.deepcopy(right)
        for _ in range(min(number, rng.choice((1, 1, 1, 2)))):
            mutate(calls, gold, functions, rng)
        try:
            theirs = bool(check(functions, copy.deepcopy(calls), gold, category)["valid"])
        except (AttributeError, TypeError, KeyError, IndexError):
            theirs = False  # it falls over arguments of a form that it does not foresee, and never accepts them
        yield score(calls, gold, functions).strict, theirs, calls


def mutate(calls: Calls, gold: list[dict[str, Any]], functions: list[dict[str, Any]], rng: random.Random) -> None:
    """One change in place: of the list of calls, of a name, of which arguments there are, or of a value."""
    if not calls:
        return
    number = rng.randrange(len(calls))
    call, arguments = calls[number], calls[number]["arguments"]
    match rng.choice(("list", "name", "drop", "add", "value", "value", "value", "value", "accepted", "accepted")):
        case "list":
            rng.choice(
                (lambda: calls.pop(number), lambda: calls.append(copy.deepcopy(call)), lambda: rng.shuffle(calls))
            )()
        case "name":
            call["name"] = rng.choice([call["name"] + "s", *(function["name"] for function in functions)])
        case "drop" if arguments:
            del arguments[rng.choice(sorted(arguments))]
        case "add":
            known = [p for function in functions for p in function["parameters"]["properties"]]
            arguments[rng.choice([*known, "zz_unknown"])] = rng.choice(("", "Reno", 1, 1.0, True, None, [], {}))
        case "accepted":
            name, accepted = next(iter(gold[number % len(gold)].items()))
            if call["name"] == name and accepted:
                parameter = rng.choice(sorted(accepted))
                value = first_allowed({name: {parameter: rng.sample(accepted[parameter], len(accepted[parameter]))}})
                arguments.update(value["arguments"])
        case _ if arguments:
            parameter = rng.choice(sorted(arguments))
            arguments[parameter] = changed(arguments[parameter], rng)


def changed(value: Any, rng: random.Random) -> Any:
    """Another value: near enough to be right at times (case, punctuation, int for float), and of another type at times."""
    options: list[Any] = [None, str(value), [value], {"value": value}]
    if isinstance(value, str):
        options += [
            value.upper(),
            value.replace(" ", ""),
            f"{value}.",
            value.replace(",", " -"),
            f"{value}'",
            "",
            "Nowhere",
        ]
    elif isinstance(value, bool):
        options += [not value, int(value), "true"]
    elif isinstance(value, (int, float)):
        options += [float(value), int(value), value + 1, -value, bool(value)]
    elif isinstance(value, list):
        options += [value[::-1], value[1:], [*value, *value[:1]], [changed(v, rng) for v in value], tuple(value)]
    elif isinstance(value, dict):
        options += [{k: changed(v, rng) for k, v in value.items()}, dict(list(value.items())[1:]), {**value, "zz": 1}]
    return rng.choice(options)
