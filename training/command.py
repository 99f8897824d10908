"""The door that the three stage scripts share: arguments, where progress goes, exit codes. No training happens here."""

from __future__ import annotations

import argparse
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from twainbot.errors import BadUse, Diverged, TwainBotError

FAILURE = "failure.json"  # in the out folder: class, text and details of the error that ended a run
_PIPES = "DAGSTER_PIPES_CONTEXT"  # set by Dagster for a process that it started

Report: TypeAlias = Callable[[str], None]
Main: TypeAlias = Callable[["Arguments", Report], dict[str, Any]]


@dataclass(frozen=True)
class Arguments:
    """What a stage script is told."""

    config: Path  # recipe YAML
    data: Path  # folder with the stage's Parquet file
    base: Path  # base model folder, see base_model.py
    out: Path  # gets adapter/ and record.json
    init_adapter: Path | None = None  # the adapter to continue; none: a new one


def parse(stage: str, argv: Sequence[str] | None = None) -> Arguments:
    """The command line of a stage script; exits with 2 and a usage line for a bad one."""
    example = f"example: python -m training.{stage} training/configs/sample/default.yaml --data D --base B --out O"
    parser = argparse.ArgumentParser(prog=f"python -m training.{stage}", epilog=example)
    parser.add_argument("config", type=Path, help="recipe, a YAML file")
    parser.add_argument("--data", type=Path, required=True, help="folder with the stage's Parquet file")
    parser.add_argument("--base", type=Path, required=True, help="base model folder")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets adapter/ and record.json")
    parser.add_argument("--init-adapter", type=Path, help="adapter folder to continue, by default a new one")
    found = parser.parse_args(argv)
    return Arguments(found.config, found.data, found.base, found.out, found.init_adapter)


def run(main: Main, arguments: Arguments) -> int:
    """Run a stage script's `main` as a process: 0 on success, 2 for bad use, 1 for any other error made on purpose.

    Progress goes to Dagster where Dagster started the process, to stderr elsewhere. An error's class and sentence are
    left in `out/failure.json`, so that the process that waits can raise the same error.
    """
    (arguments.out / FAILURE).unlink(missing_ok=True)
    warnings.filterwarnings("ignore", category=FutureWarning)  # peft uses names that transformers renames
    try:
        if _PIPES in os.environ:
            _under_dagster(main, arguments)
        else:
            main(arguments, to_stderr)
    except TwainBotError as error:
        arguments.out.mkdir(parents=True, exist_ok=True)
        details = error.details if isinstance(error, Diverged) else {}
        failure = {"error": type(error).__name__, "text": str(error), "details": details}
        (arguments.out / FAILURE).write_text(json.dumps(failure), encoding="utf-8")
        to_stderr(str(error))
        return 2 if isinstance(error, BadUse) else 1
    return 0


def to_stderr(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def _under_dagster(main: Main, arguments: Arguments) -> None:
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        main(arguments, pipes.log.info)
