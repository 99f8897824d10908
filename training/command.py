"""The door that the three stage scripts share: arguments, where progress goes, exit codes. No training happens here."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from training import processes
from twainbot.errors import BadUse, Diverged, TwainBotError

FAILURE = "failure.json"  # of a run by hand: class, text and details of the error that ended it
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
    token: str | None = None  # under which it may publish, see fence.py; none: it orders one itself

    @property
    def failure(self) -> Path:
        """Where class and text of the error that ended the run are left. Each ordered run has its own."""
        return self.out / (f".failure-{self.token}.json" if self.token else FAILURE)


def parse(stage: str, argv: Sequence[str] | None = None) -> Arguments:
    """The command line of a stage script; exits with 2 and a usage line for a bad one."""
    example = f"example: python -m training.{stage} training/configs/sample/default.yaml --data D --base B --out O"
    parser = argparse.ArgumentParser(prog=f"python -m training.{stage}", epilog=example)
    parser.add_argument("config", type=Path, help="recipe, a YAML file")
    parser.add_argument("--data", type=Path, required=True, help="folder with the stage's Parquet file")
    parser.add_argument("--base", type=Path, required=True, help="base model folder")
    parser.add_argument("--out", type=Path, required=True, help="folder that gets adapter/ and record.json")
    parser.add_argument("--init-adapter", type=Path, help="adapter folder to continue, by default a new one")
    parser.add_argument("--token", help="what whoever starts trainings for others ordered this one under")
    found = parser.parse_args(argv)
    return Arguments(found.config, found.data, found.base, found.out, found.init_adapter, found.token)


def run(main: Main, arguments: Arguments) -> int:
    """Run a stage script's `main` as a process: 0 on success, 2 for bad use, 1 for any other error made on purpose.

    Progress goes to Dagster where Dagster started the process, to stderr elsewhere; of several processes the first one
    speaks. An error's class and sentence are left in the out folder, by whichever process met it, so that the process
    that waits can raise the same error. One that nobody foresaw is raised on.
    """
    if processes.count() == 1:  # of several a quick one may have failed before a slow one is here
        arguments.failure.unlink(missing_ok=True)
    warnings.filterwarnings("ignore", category=FutureWarning)  # peft uses names that transformers renames
    try:
        if not processes.first():
            main(arguments, _to_nobody)
        elif _PIPES in os.environ:
            _under_dagster(main, arguments)
        else:
            main(arguments, to_stderr)
    except TwainBotError as error:
        _written(error, arguments.failure).replace(arguments.failure)
        to_stderr(str(error))
        return 2 if isinstance(error, BadUse) else 1
    except Exception as error:  # a library's: the traceback goes to stderr, its sentence to whoever waits
        if arguments.token:
            _leave_second(error, arguments.failure)
        raise
    if processes.first():
        arguments.failure.unlink(missing_ok=True)
    processes.leave()
    return 0


def _leave_second(error: Exception, path: Path) -> None:
    """Leave it where nothing is left yet: the first to fail takes the others with it, and theirs says less."""
    beside = _written(error, path)
    with contextlib.suppress(OSError):  # it is there already, or this store has no hard links
        os.link(beside, path)
    beside.unlink()


def _written(error: Exception, path: Path) -> Path:
    """The error in a file beside `path`, of this process alone: several may fail at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    failure: dict[str, Any] = {"error": type(error).__name__, "text": str(error)}
    if isinstance(error, Diverged):
        failure["details"] = error.details
    beside.write_text(json.dumps(failure), encoding="utf-8")
    return beside


def _to_nobody(_line: str) -> None:
    """Progress that the first process already reports."""


def to_stderr(line: str) -> None:
    """One line of progress."""
    print(line, file=sys.stderr, flush=True)


def _under_dagster(main: Main, arguments: Arguments) -> None:
    from dagster_pipes import open_dagster_pipes

    with open_dagster_pipes() as pipes:
        main(arguments, pipes.log.info)
