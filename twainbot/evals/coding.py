"""Programming problems and what a model adds to them: parsing, and where a completion ends. Running is resources/sandbox's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from twainbot.errors import BadInput

# What a model writes after a function's body: the published list of the benchmark, and imports, decorators, asserts and
# the end of a fence, which begin no line of a body either.
_AFTER = re.compile(r"\n(?=class\b|def\b|#|if\b|print\b|assert\b|from\b|import\b|@|```)")
_FIELDS = ("task_id", "prompt", "test", "entry_point")


@dataclass(frozen=True)
class Problem:
    """A function to be completed. `test` defines `check(candidate)`, or asserts by the function's name."""

    task_id: str
    prompt: str
    test: str
    entry_point: str
    canonical_solution: str = ""


@dataclass(frozen=True)
class Answer:
    """What both arms made of one problem: the states in which their programs ended, and the bodies that they wrote."""

    task_id: str
    base: str
    adapter: str
    base_body: str = ""
    adapter_body: str = ""


def asked(one: Problem) -> str:
    """What a model is given to go on from: the prompt without its last line break, which tokenizers join to what follows.

    With the break a 135M base began a new function in 7 of 8 problems, and a body without it.
    """
    return one.prompt.rstrip()


def body(completion: str) -> str:
    """A completion up to the end of the function's body."""
    found = _AFTER.search(completion)
    return completion[: found.start() + 1] if found else completion


def ended(completion: str) -> bool:
    """Whether the function's body is over: whatever follows changes nothing."""
    return _AFTER.search(completion) is not None


def problems(lines: Sequence[str], name: str) -> list[Problem]:
    """Problems from JSON lines in HumanEval's form or in MBPP's. Raises BadInput naming file, line and field."""
    found: list[Problem] = []
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            raw = json.loads(line)
        except (ValueError, RecursionError) as error:  # a number of 5,000 digits is a ValueError only
            raise BadInput(f"{name}, line {number}: not JSON ({error}). Write one problem a line.") from error
        if not isinstance(raw, dict):
            raise BadInput(f"{name}, line {number}: a problem is an object, not {type(raw).__name__}.")
        found.append(problem(raw, f"{name}, line {number}"))
    ids = [one.task_id for one in found]
    twice = sorted({item for item in ids if ids.count(item) > 1})
    if twice:
        raise BadInput(f"{name}: task_id {twice[0]!r} stands twice; results are paired by it.")
    return found


def problem(raw: Mapping[str, Any], where: str) -> Problem:
    """One problem. Raises BadInput naming the field at fault."""
    if "test_list" in raw:
        raw = from_asserts(raw, where)
    for name in _FIELDS:
        if not isinstance(raw.get(name), str | int) or not str(raw[name]).strip():
            raise BadInput(
                f"{where}: {name} is missing. A problem has {', '.join(_FIELDS)} and maybe canonical_solution."
            )
    return Problem(
        str(raw["task_id"]), str(raw["prompt"]), str(raw["test"]), str(raw["entry_point"]),
        str(raw.get("canonical_solution") or ""),
    )  # fmt: skip


def from_asserts(raw: Mapping[str, Any], where: str) -> dict[str, Any]:
    """MBPP's form (text, code, test_list) as a function with a docstring: signature and name are those of the code."""
    tests, code = raw["test_list"], str(raw.get("code") or "")
    if not isinstance(tests, list) or not isinstance(raw.get("test_imports") or [], list):
        raise BadInput(f"{where}: test_list and test_imports are lists of lines, not {str(tests)[:40]!r}.")
    defined = set(re.findall(r"^def\s+(\w+)\s*\(", code, re.MULTILINE))
    called = re.findall(r"\b([A-Za-z_]\w*)\s*\(", " ".join(map(str, tests or ())))
    name = next((n for n in called if n in defined), None)  # the outermost: others may make its arguments
    signature = re.search(rf"^def\s+{name}\s*\(.*?\).*?:[ \t]*$", code, re.MULTILINE | re.DOTALL) if name else None
    if not tests or signature is None:
        raise BadInput(f"{where}: no function of code is called in test_list, so nothing can be asked for.")
    text = str(raw.get("text") or raw.get("prompt") or "").strip().replace('"""', "'''")
    prompt = f'{signature[0]}\n    """{text}\n\n    {tests[0]}\n    """\n'
    setup = "\n".join([str(raw.get("test_setup_code") or ""), *map(str, raw.get("test_imports") or [])])
    return {
        "task_id": raw.get("task_id"), "prompt": prompt, "entry_point": name, "canonical_solution": f"\n{code}\n",
        "test": f"{setup}\n" + "\n".join(map(str, tests)) + "\n",
    }  # fmt: skip
