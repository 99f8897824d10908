"""When a training ends before its steps are done: a loss that left the road, or a validation loss that keeps rising.

A loss that is no number or that stays high raises Diverged. In DAPT the recipe may answer it once by a lower rate from
a checkpoint before it (`lower_rate`); what was done then lies in the run's folder, so a killed run goes on the same
way. A rising validation loss ends the stage, with its best epoch or as Diverged, as the recipe says.
"""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from training import processes
from training.config import Dapt, Stage
from twainbot.errors import Diverged

NOTE = "lowered.json"  # in the run's folder: the rate was lowered, where, and by how much
NONE_YET = "none yet"  # what is said where no checkpoint was good


class DivergenceWatch(TrainerCallback):
    """Stops a run whose loss is no number, or stays for `patience` steps above `factor` times the running median, the loss
    it started from and the highest of the last steps that a lower one followed.

    The last two keep quiet where a loss near 0 meets a harder batch: lines of calls alone, then lines of much talk.
    """

    WINDOW = 20  # steps behind the running median
    START = 3  # steps whose highest loss counts as where the run started

    def __init__(self, factor: float, patience: int) -> None:
        self.factor = factor
        self.patience = patience
        self.losses: list[float] = []
        self.high: list[float] = []  # losses above the bound, one after the other up to now
        self.checkpoint = NONE_YET

    @override
    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A resumed run judges its next loss by those before it was cut off, as an unbroken one would."""
        for entry in state.log_history or []:
            if "loss" in entry:
                self.judge(int(entry["step"]), float(entry["loss"]))
                if (Path(str(args.output_dir)) / f"checkpoint-{entry['step']}").is_dir() and not self.high:
                    self.checkpoint = f"checkpoint-{entry['step']}"

    @override
    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Remember the checkpoint, unless the loss is already suspicious."""
        if not self.high:
            self.checkpoint = f"checkpoint-{state.global_step}"

    @override
    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Judge the step's loss and gradient norm."""
        if logs and "loss" in logs:
            self.judge(state.global_step, float(logs["loss"]), float(logs.get("grad_norm") or 0.0))

    def judge(self, step: int, loss: float, grad_norm: float = 0.0) -> None:
        """Raise Diverged with step, loss and the last good checkpoint, or remember the loss."""
        if not math.isfinite(loss) or not math.isfinite(grad_norm):
            raise self._diverged(step, loss, f"gradient norm {grad_norm:.3g}, which is no number to learn by")
        past = self.losses[-self.WINDOW :]
        median = statistics.median(past) if past else loss
        bound = max(self.factor * median, *self.losses[: self.START], *past, 0.0)
        if loss <= bound:
            self.losses += [*self.high, loss]
            self.high = []
            return
        self.high.append(loss)
        if len(self.high) >= self.patience:
            found = (
                f"above {self.factor} times the running median {median:.4g} and all before for {len(self.high)} steps"
            )
            raise self._diverged(step, loss, found)

    def _diverged(self, step: int, loss: float, why: str) -> Diverged:
        repair = "Lower learning_rate or raise warmup_steps in the recipe, then rerun."
        text = f"Training diverged at step {step}: loss {loss:.4g}, {why}. Last good checkpoint: {self.checkpoint}. {repair}"
        return Diverged(text, step=step, loss=loss, checkpoint=self.checkpoint, since=step - max(len(self.high) - 1, 0))


class Enough(Exception):
    """Ends a loop whose best epoch is behind it. engine.py catches it; `why` goes into the record."""

    def __init__(self, why: dict[str, Any]) -> None:
        super().__init__(str(why["why"]))
        self.why = why


class RisingValidation(TrainerCallback):
    """Ends the stage once the validation loss rose `patience` evaluations in a row. It stands after watch.KeepBest.

    evaluations: asked anew after each epoch, so that a resumed run also counts those of the run before.
    """

    def __init__(self, settings: Stage, evaluations: Callable[[], Sequence[dict[str, Any]]]) -> None:
        self.patience = settings.rising_patience
        self.fails = settings.on_rising == "stop"
        self.evaluations = evaluations

    @override
    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """A run that was cut off between an epoch's evaluation and this judgement."""
        if state.global_step:
            self.judge(state.global_step)

    @override
    def on_epoch_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Judge the epochs so far."""
        self.judge(state.global_step)

    def judge(self, step: int) -> None:
        """Raise Enough or Diverged where the last evaluation up to `step`, made there, completes the row.

        The first of several processes, which alone validates, tells the others.
        """
        past = processes.told_by_first([entry for entry in self.evaluations() if entry["step"] <= step])
        if not past or past[-1]["step"] != step or not rising([entry["loss"] for entry in past], self.patience):
            return
        best = min(past, key=lambda entry: float(entry["loss"]))
        found = (
            f"the validation loss rose {self.patience} evaluations in a row, to {past[-1]['loss']:.4g} at step {step}; "
            f"its lowest was {best['loss']:.4g} at step {best['step']}"
        )
        loss, checkpoint = float(past[-1]["loss"]), f"best (step {best['step']})"
        if self.fails:
            raise Diverged(
                f"Training diverged at step {step}: {found}. Last good checkpoint: {checkpoint}. Lower learning_rate or "
                "epochs in the recipe, or set `on_rising: keep_best` to end there with the best epoch.",
                step=step, loss=loss, checkpoint=checkpoint,
            )  # fmt: skip
        raise Enough(
            {"why": f"Ended early: {found}, which is kept.", "step": step, "loss": loss, "checkpoint": checkpoint}
        )


def rising(losses: Sequence[float], patience: int) -> bool:
    """Whether each of the last `patience` losses is above the one before it; never for a patience of 0."""
    return 0 < patience < len(losses) and all(later > earlier for earlier, later in pairwise(losses[-patience - 1 :]))


@dataclass(frozen=True)
class Lowered:
    """A spike that was answered by a lower rate."""

    step: int  # where the loss left the road
    loss: float
    why: str
    from_step: int  # the checkpoint that training went on from; 0: from the start
    rate: float  # from there on, before warm-up and schedule
    evaluations: list[dict[str, Any]]  # of the steps that were taken back


def lowered(work: Path) -> Lowered | None:
    """What was done to this run's rate, by this process or one before it."""
    path = work / NOTE
    return Lowered(**json.loads(path.read_text(encoding="utf-8"))) if path.is_file() else None


def lower_rate(settings: Stage, work: Path, error: Diverged) -> Lowered | None:
    """Take the run in `work` back to a checkpoint before the spike, at a lower rate; None where the recipe forbids it,
    or for the second time.

    Steps since that checkpoint are forgotten, their evaluations kept in the note. Written last, so a kill before it
    leaves a run that reaches the same spike again.
    """
    if not isinstance(settings, Dapt) or settings.on_spike == "stop":
        return None
    if lowered(work) or error.step is None or error.since is None:
        return None
    # A step's loss is that of the weights which the step before left: the checkpoint right before the spike has it in it.
    steps = {int(path.name.removeprefix("checkpoint-")): path for path in work.glob("checkpoint-*")}
    start = max((step for step in steps if step < error.since - 1), default=0)
    for step, folder in steps.items():
        if step > start:
            shutil.rmtree(folder)
    rate = settings.learning_rate * settings.spike_rate_factor
    loss = error.loss if error.loss is not None else math.nan
    found = Lowered(error.step, loss, str(error), start, rate, [])
    noted = work / "evaluations.json"
    past = json.loads(noted.read_text(encoding="utf-8")) if noted.is_file() else []
    found = replace(found, evaluations=[entry for entry in past if entry["step"] > start])
    if past:
        replace_json(noted, [entry for entry in past if entry["step"] <= start])
    replace_json(work / NOTE, asdict(found))
    return found


class LowerRate(TrainerCallback):
    """Puts the lower rate under a resumed schedule, which comes back with the rate that its checkpoint was saved at."""

    def __init__(self, rate: float) -> None:
        self.rate = rate

    @override
    def on_train_begin(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        optimizer: Any = None,
        lr_scheduler: Any = None,
        **_: Any,
    ) -> None:
        """Scale the present rate as the base rate; nothing changes where the checkpoint has the lower rate already."""
        # accelerate wraps both; what is set here must be the inner ones'.
        schedule = getattr(lr_scheduler, "scheduler", lr_scheduler)
        for number, group in enumerate(optimizer.param_groups):
            group["lr"] *= self.rate / schedule.base_lrs[number]
            group["initial_lr"] = self.rate
        schedule.base_lrs = [self.rate] * len(schedule.base_lrs)
        schedule._last_lr = [group["lr"] for group in optimizer.param_groups]


def replace_json(path: Path, value: Any) -> None:
    """Write a JSON file beside and rename it, so that a kill leaves the old one or the new one."""
    beside = path.with_name(f".{path.name}")
    beside.write_text(json.dumps(value), encoding="utf-8")
    beside.replace(path)
