"""The door to training: starts a stage script and brings its record back. What a stage does is training/'s business.

By default a stage runs in a process of its own under Dagster Pipes, so that its memory is given back, its progress
reaches the event log and it dies with the run. `inline` runs the same script in this process: profile tiny.
`ray` runs it as a job of a Ray cluster (ray_trainer.py). Each training is ordered under a token (training/fence.py), so
that one that nobody waits for any more cannot publish, wherever it still runs.
"""

from __future__ import annotations

import importlib
import json
import os
import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import dagster as dg

from training import fence, trouble
from training.command import Arguments
from twainbot import errors

ROOT = Path(__file__).resolve().parent.parent  # holds the packages `training` and `resources`
MODES = ("subprocess", "inline", "ray")


class Trainer(dg.ConfigurableResource[None]):
    """Runs `training.<stage>`. mode: `subprocess` or `inline`.

    launcher: what stands before `training.<stage>`, by default this Python with `-m`; ["torchrun",
    "--nproc-per-node=4", "-m"] there trains on four GPUs. threads: CPU threads of a stage; 0 leaves it to torch.
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
        the error that the stage raised (BadInput, BadConfig, Diverged, Fenced, ...), or dg.Failure where it died without
        one. From here on no training ordered into `out_dir` before this one publishes there.
        """
        from training import record  # with it comes torch
        from training.config import STAGES

        if stage not in STAGES:
            raise errors.UnknownName(f"Unknown training stage {stage!r}. Stages are: {', '.join(STAGES)}.")
        start = init_adapter.resolve() if init_adapter else None
        out = out_dir.resolve()
        with trouble.alone(out):  # one that is on here is waited for, not superseded
            token = fence.order(out)
            for left in (*out.glob(".messages-*"), *out.glob(".failure-*")):  # by runs that were killed
                left.unlink(missing_ok=True)
        arguments = Arguments(recipe_path.resolve(), data_dir.resolve(), base_dir.resolve(), out, start, token)
        self._run(context, stage, arguments)
        found = record.read(out)
        fence.check_published(out, token)
        return found

    def _run(self, context: dg.AssetExecutionContext, stage: str, arguments: Arguments) -> None:
        if self.mode == "inline":
            importlib.import_module(f"training.{stage}").main(arguments, context.log.info)
            return
        try:
            self._outside(context, stage, arguments)
        except errors.TwainBotError:  # of this process: nothing was started
            raise
        except Exception as error:  # a bad exit code; its class is private to Dagster
            raise failure_of(stage, arguments, error) from error

    def command(self, stage: str, arguments: Arguments) -> list[str]:
        """The child's command line, wrapped so that it dies with this process."""
        guard = [sys.executable, "-m", "resources.with_parent", "--parent", str(os.getpid())]
        return [*guard, *self.stage_command(stage, arguments)]

    def stage_command(self, stage: str, arguments: Arguments) -> list[str]:
        """Launcher, stage and every path."""
        launcher = self.launcher or [sys.executable, "-m"]
        line = [*launcher, f"training.{stage}", str(arguments.config)]
        line += ["--data", str(arguments.data), "--base", str(arguments.base), "--out", str(arguments.out)]
        if arguments.init_adapter:
            line += ["--init-adapter", str(arguments.init_adapter)]
        return [*line, "--token", arguments.token] if arguments.token else line

    def _outside(self, context: dg.AssetExecutionContext, stage: str, arguments: Arguments) -> None:
        """Run the stage in a process that is not this one, to its end. Raises where that is a bad one."""
        # By environment and a file in the out folder: a launcher may run the stage where this machine's /tmp is not.
        pipes = dg.PipesSubprocessClient(
            env=self.environment(),
            context_injector=dg.PipesEnvContextInjector(),
            message_reader=dg.PipesFileMessageReader(str(arguments.out / f".messages-{arguments.token}")),
        )
        pipes.run(context=context, command=self.command(stage, arguments))

    def environment(self) -> dict[str, str]:
        """What the child needs beyond this process's environment: the packages from any folder, no Hub, its threads."""
        paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
        found = {
            "PYTHONPATH": os.pathsep.join(paths),
            "HF_HUB_OFFLINE": "1",
            "TOKENIZERS_PARALLELISM": "false",
        }
        return {**found, "OMP_NUM_THREADS": str(self.threads)} if self.threads else found


def trainer_of(mode: str, environment: Mapping[str, str] = os.environ) -> Trainer:
    """The trainer that the profile names, or TWAINBOT_TRAINER; its launcher from TWAINBOT_LAUNCHER, as in a shell.

    Raises UnknownName for another mode.
    """
    chosen = environment.get("TWAINBOT_TRAINER") or mode
    launcher = shlex.split(environment.get("TWAINBOT_LAUNCHER", ""))
    if chosen == "subprocess":
        return Trainer(launcher=launcher)
    if chosen == "inline":
        return Trainer(mode="inline")
    if chosen == "ray":
        from resources.ray_trainer import ray_trainer

        return ray_trainer(launcher, environment)
    raise errors.UnknownName(f"Unknown trainer {chosen!r}. TWAINBOT_TRAINER may be: {', '.join(MODES)}.")


def failure_of(stage: str, arguments: Arguments, ended: Exception) -> Exception:
    """The error that the stage left in its out folder; a dg.Failure where it is a library's, or none was left.

    ended: how the process did, as Dagster says it.
    """
    path = arguments.failure
    after = "Its output is in the run's stderr; materializing again goes on from the last checkpoint."
    if not path.is_file():
        return dg.Failure(
            f"Stage {stage} ended badly without an error of its own, as a killed process does (out of memory?): {ended}. "
            f"{after}"
        )
    failure = json.loads(path.read_text(encoding="utf-8"))
    path.unlink(missing_ok=True)
    kind = getattr(errors, failure["error"], None)
    if not (isinstance(kind, type) and issubclass(kind, errors.TwainBotError)):
        return dg.Failure(
            f"Stage {stage} met an error that was not foreseen, {failure['error']}: {failure['text']}. {after}"
        )
    found: Exception = kind(failure["text"], **failure.get("details", {}))
    return found
