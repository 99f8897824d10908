"""Callbacks of the training loop: progress for people, the model scored after each epoch, and the best adapter kept.

What the loop itself does is engine.py's business; where progress goes, the caller's (`report`). What ends a loop before
its time stands in divergence.py, what is asked after an epoch in epoch_scores.py.
"""

from __future__ import annotations

import hashlib
import json
import math
import shutil
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeAlias

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from training import fence, processes
from training.divergence import replace_json
from training.epoch_scores import Heard

Report: TypeAlias = Callable[[str], None]
SEAL = "sealed.json"  # in a checkpoint
_REPORT_EVERY_S = 5.0  # a line per step would flood the event log of a long run


class Progress(TrainerCallback):
    """Reports step, loss and speed: the first and the last step, and between them every few seconds."""

    def __init__(self, stage: str, tokens_per_step: float, report: Report) -> None:
        self.stage = stage
        self.tokens_per_step = tokens_per_step
        self.report = report
        self.started = self.spoken = time.monotonic()
        self.first_step = 0

    @override
    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Start the clock; a resumed run counts its speed from where it resumed."""
        self.started = time.monotonic()
        self.spoken = -math.inf
        self.first_step = state.global_step

    @override
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """One line: `sft step 5/20 loss 1.234 130 tok/s`."""
        now = time.monotonic()
        last = state.global_step >= state.max_steps
        if not logs or "loss" not in logs or (now - self.spoken < _REPORT_EVERY_S and not last):
            return
        self.spoken = now
        speed = (state.global_step - self.first_step) * self.tokens_per_step / max(now - self.started, 1e-9)
        where = f"{self.stage} step {state.global_step}/{state.max_steps}"
        self.report(f"{where} loss {logs['loss']:.3f} {speed:.0f} tok/s")


class StopSuperseded(TrainerCallback):
    """Ends a run before its next step once a newer training was ordered in its folder."""

    @override
    def on_step_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Raise Fenced where this one may no longer publish."""
        fence.check()


class Finished(Exception):
    """Every step is done: the run was cut off between its last checkpoint and what follows the loop."""


class TakeNoStepTwice(TrainerCallback):
    """Ends a run that goes on from its last step. The Trainer looks for the end only after a step, so it took one more.

    It stands after KeepBest, which makes up for an evaluation first.
    """

    @override
    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Raise Finished where no step is left."""
        if state.global_step >= state.max_steps:
            raise Finished


class KeepBest(TrainerCallback):
    """Scores the model after every epoch and keeps the adapter with the lowest validation loss in `folder`.

    Of several processes the first one does; the others wait for what divergence.RisingValidation then tells them. listen:
    what else is asked of the model then; it decides nothing.
    """

    def __init__(
        self, folder: Path, score: Callable[[], float], report: Report, listen: Callable[[], Heard] | None = None
    ) -> None:
        self.folder = folder
        self.score = score
        self.report = report
        self.listen = listen
        self.noted = folder.with_name("evaluations.json")  # a resumed run goes on with the list of the one before
        self.evaluations: list[dict[str, Any]] = json.loads(self.noted.read_text()) if self.noted.is_file() else []

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Make up for the evaluation of an epoch whose last checkpoint was written before the run was cut off."""
        if state.global_step and float(state.epoch or 0.0).is_integer():
            self.on_epoch_end(args, state, control, model=model)

    @override
    def on_epoch_end(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        **_: Any,
    ) -> None:
        """Evaluate; save where better than all epochs before. A second call at the same step does nothing."""
        known = any(entry["step"] == state.global_step for entry in self.evaluations)
        if model is None or known or not processes.first():
            return
        loss = self.score()
        heard = self.listen() if self.listen else None
        epoch = round(float(state.epoch or 0.0), 3)
        self.report(f"validation after epoch {epoch:g}: loss {loss:.4f}{heard.line() if heard else ''}")
        if loss < self.best_loss():
            self._keep(model, state.global_step, loss)
        entry = {"step": state.global_step, "epoch": epoch, "loss": loss, **(asdict(heard) if heard else {})}
        self.evaluations.append(entry)
        replace_json(self.noted, self.evaluations)

    def best_loss(self) -> float:
        """The lowest validation loss so far, also of a run that was cut off; infinity before the first."""
        noted = self.folder / "best.json"
        return float(json.loads(noted.read_text())["loss"]) if noted.is_file() else math.inf

    def _keep(self, model: Any, step: int, loss: float) -> None:
        """Written beside and renamed; best.json comes last, so a torn copy is never taken for the best."""
        beside = self.folder.with_name(f".{self.folder.name}")
        shutil.rmtree(beside, ignore_errors=True)
        model.save_pretrained(str(beside))
        (beside / "best.json").write_text(json.dumps({"step": step, "loss": loss}))
        shutil.rmtree(self.folder, ignore_errors=True)
        beside.rename(self.folder)


class SealCheckpoints(TrainerCallback):
    """Writes sealed.json into each checkpoint once all its files are there; an unsealed one is never resumed from."""

    @override
    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Note every file's sha256, once every process has written its own.

        Size alone would pass a file whose blocks never reached the disk. 60 MB, the sample's checkpoint, cost 60 ms; a step
        costs seconds.
        """
        processes.wait()
        if not processes.first():
            return
        folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
        # A seal of an earlier run may lie here: that of a corrupt checkpoint, now written anew.
        files = [path for path in sorted(folder.iterdir()) if path.is_file() and not path.name.endswith(SEAL)]
        hashes = {path.name: _sha256(path) for path in files}
        beside = folder / ".sealed.json"
        beside.write_text(json.dumps(hashes))
        beside.replace(folder / SEAL)


def last_sealed(folder: Path) -> Path | None:
    """The checkpoint with the highest step whose files are all there as they were written, or none."""
    found = sorted(folder.glob("checkpoint-*"), key=lambda path: int(path.name.split("-")[1]), reverse=True)
    return next((path for path in found if _is_whole(path)), None)


def _is_whole(checkpoint: Path) -> bool:
    seal = checkpoint / SEAL
    if not seal.is_file():
        return False
    try:
        hashes = json.loads(seal.read_text())
    except json.JSONDecodeError:
        return False
    files = {name: checkpoint / name for name in hashes}
    return all(path.is_file() and _sha256(path) == hashes[name] for name, path in files.items())


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
