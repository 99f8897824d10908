"""The door to training: starts a stage script and brings its record back. What a stage does is training/'s business.

By default a stage runs in a process of its own under Dagster Pipes, so that its memory is given back, its progress
reaches the event log and it dies with the run. `inline` runs the same script in this process: profile tiny.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from training.command import FAILURE, Arguments
from twainbot import errors

_ROOT = Path(__file__).resolve().parent.parent  # holds the packages `training` and `resources`


class Trainer(dg.ConfigurableResource[None]):
    """Runs `training.<stage>`. mode: `subprocess` or `inline`.

    launcher: what stands before `training.<stage>`, by default this Python with `-m`; ["accelerate", "launch", "-m"]
    there trains on several GPUs. threads: CPU threads of a stage; 0 leaves it to torch.
    """

    mode: Literal["subprocess", "inline"] = "subprocess"
    launcher: list[str] = []  # noqa: RUF012  (pydantic copies defaults)
    threads: int = 0

    def train(
        self,
        context: dg.AssetExecutionContext,
        stage: str,
        recipe_path: Path,
        data_dir: Path,
        base_dir: Path,
        out_dir: Path,
        init_adapter: Path | None = None,
    ) -> dict[str, Any]:
        """Train a stage; `out_dir` then holds adapter/ and record.json, whose content is returned.

        stage: dapt, sft or preference. A run that was killed goes on from its last checkpoint in `out_dir`. Raises
        the error that the stage raised (BadInput, BadConfig, Diverged, ...), or dg.Failure where it died without one.
        """
        from training import record
        from training.config import STAGES

        if stage not in STAGES:
            raise errors.UnknownName(f"Unknown training stage {stage!r}. Stages are: {', '.join(STAGES)}.")
        start = init_adapter.resolve() if init_adapter else None
        arguments = Arguments(recipe_path.resolve(), data_dir.resolve(), base_dir.resolve(), out_dir.resolve(), start)
        arguments.out.mkdir(parents=True, exist_ok=True)
        (arguments.out / FAILURE).unlink(missing_ok=True)
        if self.mode == "inline":
            importlib.import_module(f"training.{stage}").main(arguments, context.log.info)
        else:
            self._in_child(context, stage, arguments)
        return record.read(arguments.out)

    def command(self, stage: str, arguments: Arguments) -> list[str]:
        """The child's command line, wrapped so that it dies with this process."""
        launcher = self.launcher or [sys.executable, "-m"]
        line = [sys.executable, "-m", "resources.with_parent", *launcher, f"training.{stage}", str(arguments.config)]
        line += ["--data", str(arguments.data), "--base", str(arguments.base), "--out", str(arguments.out)]
        if arguments.init_adapter:
            line += ["--init-adapter", str(arguments.init_adapter)]
        return line

    def _in_child(self, context: dg.AssetExecutionContext, stage: str, arguments: Arguments) -> None:
        try:
            dg.PipesSubprocessClient(env=self.environment()).run(
                context=context, command=self.command(stage, arguments)
            )
        except Exception as error:  # a bad exit code; its class is private to Dagster
            raise _failure_of(stage, arguments.out) from error

    def environment(self) -> dict[str, str]:
        """What the child needs beyond this process's environment: the packages from any folder, no Hub, its threads."""
        paths = [str(_ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        found = {
            "PYTHONPATH": os.pathsep.join(paths),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        return {**found, "OMP_NUM_THREADS": str(self.threads)} if self.threads else found


def _failure_of(stage: str, out: Path) -> Exception:
    """The error that the stage left in its out folder, or a dg.Failure where it was killed before it could."""
    path = out / FAILURE
    if not path.is_file():
        return dg.Failure(
            f"Stage {stage} ended without a record and without an error of its own, as a killed process does (out of "
            "memory?). Its output is in the run's stderr; materializing again goes on from the last checkpoint."
        )
    failure = json.loads(path.read_text(encoding="utf-8"))
    kind = getattr(errors, failure["error"], errors.TwainBotError)
    found: Exception = kind(failure["text"], **failure.get("details", {}))
    return found
