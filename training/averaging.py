"""The mean of the adapter's weights over the last steps, which a stage may publish in place of those of the last step.

Steps of few rows overshoot, and the last lines settle what the adapter does; over many steps that evens out (Izmailov and
others, Averaging Weights Leads to Wider Optima and Better Generalization, 2018). It costs no step. The mean takes its
place after the last step, before that epoch is scored; epochs before are scored as they stand.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
from typing_extensions import override

from training import processes

MEAN = "mean.safetensors"  # in a checkpoint


class AverageLast(TrainerCallback):
    """Means the trained weights over the last `share` of the steps. It stands before KeepBest and SealCheckpoints.

    resumed: the checkpoint that the loop goes on from; its mean goes on too, so that a killed run ends in the same weights.
    """

    def __init__(self, share: float, resumed: Path | None) -> None:
        self.share = share
        self.steps = 0
        self.mean: dict[str, Tensor] = {}
        if resumed is not None and (resumed / MEAN).is_file():
            with safe_open(resumed / MEAN, "pt") as file:
                self.steps = int(file.metadata()["steps"])
                self.mean = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  no mapping

    @override
    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Take the mean's place before KeepBest makes up for an evaluation, where every step is done."""
        self.settle(state, model)

    @override
    @torch.no_grad()
    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Take one step's weights into the mean."""
        if state.global_step <= state.max_steps * (1 - self.share):
            return
        self.steps += 1
        for name, weight in _trained(model):
            now = weight.detach().float()
            if name in self.mean:
                self.mean[name] = self.mean[name].to(now.device)
                self.mean[name] += (now - self.mean[name]) / self.steps
            else:
                self.mean[name] = now.clone()

    @override
    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Lay the mean into the checkpoint."""
        if self.mean and processes.first():
            folder = Path(str(args.output_dir)) / f"checkpoint-{state.global_step}"
            tensors = {name: tensor.contiguous() for name, tensor in self.mean.items()}
            save_file(tensors, folder / MEAN, metadata={"steps": str(self.steps)})

    @override
    def on_epoch_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Take the mean's place once every step is done."""
        self.settle(state, model)

    @torch.no_grad()
    def settle(self, state: TrainerState, model: Any) -> None:
        """Give the model the mean of the steps so far if there is no step left; a second call changes nothing."""
        if not self.mean or state.global_step < state.max_steps:
            return
        for name, weight in _trained(model):
            weight.copy_(self.mean[name])


def _trained(model: Any) -> list[tuple[str, torch.nn.Parameter]]:
    return [(name, weight) for name, weight in model.named_parameters() if weight.requires_grad]
