"""The loop that all stages share: packing, the model with its adapter, the loss, and Hugging Face's Trainer around it.

Rows are packed several to a line and told apart by position ids that start again at 0. Attention then stays inside a
row, exactly (tests hold it to 1e-5), as long as nobody passes an attention mask: a mask of ones would let rows leak.
Hugging Face's Trainer rather than TRL's: on a CPU TRL's reaches 0.69 of its speed.
"""

from __future__ import annotations

import gc
import importlib.util
import shutil
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from pathlib import Path
from typing import Any, TypeAlias

import torch
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from torch import Tensor
from torch.nn import functional
from transformers import BitsAndBytesConfig, PrinterCallback, Trainer, TrainingArguments
from transformers.utils import logging as transformers_logging
from typing_extensions import override

from training import attention, auto, machine, trouble, watch
from training.config import Lora, Stage
from training.preflight import Plan
from training.render import IGNORED
from training.rows import TokenRow
from twainbot.errors import BadInput, BadUse

Packed: TypeAlias = list[TokenRow]  # rows that share a line
Batch: TypeAlias = dict[str, Tensor]
LossOf: TypeAlias = Callable[[PeftModel, Batch, Any], Tensor]  # model, batch, trained tokens of the whole step
_KEPT_CHECKPOINTS = 2  # the newest may be torn by a kill during its writing; then the one before it serves


@dataclass(frozen=True)
class Objective:
    """What a stage optimises and how it is scored."""

    collate: Callable[[Sequence[Any]], Batch]  # micro batch of train lines to tensors
    loss_of: LossOf
    scaled: bool  # True: the loss is already divided by the whole step's tokens; False: a mean per micro batch
    score: Callable[[], float]  # validation loss, lower is better; called after each epoch


@dataclass(frozen=True)
class Run:
    """Whose loop it is and where it leaves its traces."""

    stage: str
    seed: int
    work: Path  # checkpoints of exactly this run: same data, recipe, code and start
    report: watch.Report


@dataclass(frozen=True)
class Fitted:
    """What a loop did. Times cover the loop alone, not loading."""

    steps: int
    loss_curve: list[dict[str, float]]  # step, loss, learning_rate, grad_norm
    evaluations: list[dict[str, float]]  # step, epoch, loss
    best_loss: float
    duration_s: float
    cpu_s: float
    tokens_per_s: float  # of this process, evaluations after epochs included
    tokens_per_cpu_s: float
    resumed_from: int  # step; 0 for a run from the start
    micro_batch: int  # rows at once; below the recipe's where memory ran out
    peak_memory_bytes: int  # allocated on the GPU, or held by the process on a CPU, since the base was loaded


def pack(rows: Sequence[TokenRow], length: int) -> list[Packed]:
    """Rows put together into lines of at most `length` tokens: each, in the order given, where it leaves least room.

    Rows are not sorted by size first: that would fill whole lines with short rows of one kind, and make their losses
    jump. Hand them over shuffled. Raises BadInput for a row that is longer than a line.
    """
    lines: list[Packed] = []
    free: list[int] = []
    for row in rows:
        size = len(row.ids)
        if size > length:
            raise BadInput(f"A row of {size} tokens does not fit into {length}. Raise sequence_length.")
        fitting = [(room, line) for line, room in enumerate(free) if room >= size]
        if fitting:
            line = min(fitting)[1]
            lines[line].append(row)
            free[line] -= size
        else:
            lines.append([row])
            free.append(length - size)
    return lines


def collate(lines: Sequence[Packed], pad_id: int) -> Batch:
    """Lines as tensors `input_ids`, `labels`, `position_ids`, all (B, T) with T the longest line; no attention mask.

    Padding is a row of its own without labels. The first token of each row has no label: nothing before it is its own.
    """
    width = max(sum(len(row.ids) for row in line) for line in lines)
    batch: dict[str, list[list[int]]] = {"input_ids": [], "labels": [], "position_ids": []}
    for line in lines:
        short = width - sum(len(row.ids) for row in line)
        padded = [*line, TokenRow([pad_id] * short, [IGNORED] * short)] if short else line
        batch["input_ids"].append([token for row in padded for token in row.ids])
        batch["labels"].append([label for row in padded for label in [IGNORED, *row.labels[1:]]])
        batch["position_ids"].append([place for row in padded for place in range(len(row.ids))])
    return {name: torch.tensor(values) for name, values in batch.items()}


def token_nll(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Negative log-likelihoods (B, K), 0 where unlabelled, and the K positions of the predicted tokens.

    Logits are computed at those positions only: on short replies to long prompts that saves most of the LM head.
    """
    # use_cache=False is part of the packing: with a cache transformers does not look for rows in the position ids.
    targets = batch["labels"][:, 1:]
    kept = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
    inputs = {name: batch[name] for name in ("input_ids", "position_ids", "attention_mask") if name in batch}
    logits = model(**inputs, use_cache=False, logits_to_keep=kept).logits
    wanted = targets[:, kept]
    flat = functional.cross_entropy(
        logits.float().flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view_as(wanted), kept + 1


def token_loss(turn_edge_weight: float = 1.0) -> LossOf:
    """The mean cross entropy of the labelled tokens of an optimizer step, as a loss for `Objective`.

    turn_edge_weight: how much more a turn's first token counts, which decides between words and a tool call, and its
    last, without which a small model never stops talking.
    """

    def loss_of(model: PeftModel, batch: Batch, trained_tokens: Any) -> Tensor:
        nll, positions = token_nll(model, batch)
        edges = turn_edges(batch["labels"])[:, positions]
        return (nll * torch.where(edges, turn_edge_weight, 1.0)).sum() / trained_tokens

    return loss_of


def turn_edges(labels: Tensor) -> Tensor:
    """Whether a token is the first or the last of a run of labelled ones, both (B, T)."""
    trained = labels != IGNORED
    before, after = functional.pad(trained[:, :-1], (1, 0)), functional.pad(trained[:, 1:], (0, 1))
    return trained & ~(before & after)


@torch.no_grad()
def evaluate(model: torch.nn.Module, lines: Sequence[Packed], pad_id: int) -> tuple[float, int]:
    """Summed negative log-likelihood in nats and the number of labelled tokens; (0.0, 0) for no lines."""
    model.eval()
    total, count = 0.0, 0
    for line in lines:
        batch = on_device(collate([line], pad_id), model)
        total += float(token_nll(model, batch)[0].sum())
        count += int((batch["labels"] != IGNORED).sum())
    return total, count


@torch.no_grad()
def row_nll(model: torch.nn.Module, rows: Sequence[TokenRow], pad_id: int, length: int) -> list[float]:
    """Summed negative log-likelihood in nats of each row's labelled tokens, in order; rows share lines of `length` tokens."""
    model.eval()
    found = dict.fromkeys(map(id, rows), 0.0)
    for line in pack(rows, max(length, *(len(row.ids) for row in rows), 0)) if rows else []:
        nll, positions = token_nll(model, on_device(collate([line], pad_id), model))
        starts = torch.tensor([0, *accumulate(len(row.ids) for row in line)])
        edges = torch.searchsorted(positions.cpu(), starts).tolist()
        for row, (begin, end) in zip(line, pairwise(edges), strict=True):
            found[id(row)] = float(nll[0, begin:end].sum())
    return [found[id(row)] for row in rows]


def mean_nll(model: torch.nn.Module, lines: Sequence[Packed], pad_id: int) -> float:
    """Mean negative log-likelihood of a labelled token, in nats."""
    total, count = evaluate(model, lines, pad_id)
    return total / count


def on_device(batch: Batch, model: torch.nn.Module) -> Batch:
    """The batch where the model is."""
    device = next(model.parameters()).device
    return {name: value.to(device) for name, value in batch.items()}


def load_base(folder: Path, settings: Stage, seed: int) -> torch.nn.Module:
    """The frozen base in the settings' precision, on the GPU where there is one. Seeds torch, for the adapter's start.

    Raises BadUse for bf16 on a CPU without bf16 arithmetic, where it runs 15 times slower than fp32, and for a
    quantization whose library is missing.
    """
    torch.manual_seed(seed)
    transformers_logging.disable_progress_bar()
    machine.forget_peak()
    gpu = torch.cuda.is_available()
    if settings.precision == "bf16" and not gpu and not torch.cpu._is_avx512_bf16_supported():
        raise BadUse(
            "precision=bf16 runs 15 times slower than fp32 on this CPU, which has no bf16 arithmetic. "
            "Set `precision: fp32` or `precision: auto` in the recipe, or train on a GPU."
        )
    dtype = machine.DTYPES[settings.precision]
    more = quantized(settings)
    model = attention.load(folder, dtype, **more)
    for module in model.modules() if settings.quantization == "nf4" else ():
        # Else bitsandbytes repacks for bf16 whatever is scored on such a CPU, and passes no gradient on from then on.
        if hasattr(module, "support_avx512bf16_for_cpu"):
            module.support_avx512bf16_for_cpu = False
    return model.to("cuda") if gpu and not more else model


def quantized(settings: Stage) -> dict[str, Any]:
    """What loading a base in 4 or 8 bits wants to know beside its dtype; nothing for one as it is."""
    if settings.quantization == "none":
        return {}
    if importlib.util.find_spec("bitsandbytes") is None:
        raise BadUse(
            f"quantization={settings.quantization} packs weights with bitsandbytes, which is not installed. "
            "Run `pip install 'bitsandbytes>=0.50.2'`, or set `quantization: none` in the recipe."
        )
    # bitsandbytes says at every product that it rounds its inputs: that is what it is for.
    warnings.filterwarnings("ignore", message="MatMul8bitLt: inputs will be cast")
    if settings.quantization == "int8":
        return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}
    return {
        "quantization_config": BitsAndBytesConfig(
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=machine.DTYPES[settings.precision],
        )
    }


def with_adapter(base: Any, lora: Lora, settings: Stage, init_adapter: Path | None) -> PeftModel:
    """The base with a new adapter, or with the adapter of the stage before it, ready to be trained on."""
    if settings.quantization != "none":
        checkpointing = settings.gradient_checkpointing is True
        base = prepare_model_for_kbit_training(base, use_gradient_checkpointing=checkpointing)
    if init_adapter is not None:
        # The default of is_trainable would freeze every weight.
        model = PeftModel.from_pretrained(base, str(init_adapter), is_trainable=True)
        # The published adapter names its base; a folder here keeps peft from asking the Hub at every save.
        model.peft_config["default"].base_model_name_or_path = base.name_or_path
    else:
        shape = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=list(lora.target_modules),
            task_type="CAUSAL_LM",
        )
        model = get_peft_model(base, shape)
    if settings.gradient_checkpointing is True:
        model.enable_input_require_grads()
    return model


class Loop(Trainer):
    """Hugging Face's Trainer with the stage's own loss."""

    def __init__(self, objective: Objective, **arguments: Any) -> None:
        super().__init__(**arguments)
        self.loss_of = objective.loss_of
        self.loss_is_scaled_for_ga = objective.scaled

    @override
    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The stage's loss of one micro batch."""
        return self.loss_of(model, inputs, num_items_in_batch)


def fit(
    model: PeftModel, lines: Sequence[Any], settings: Stage, planned: Plan, objective: Objective, run: Run
) -> Fitted:
    """Train the adapter in place; afterwards the model holds the weights of the epoch with the best validation score.

    A sealed checkpoint in run.work is resumed from, and ends in the same weights as an uninterrupted run. Where memory
    runs out, half as many rows at once are tried, once, with as many rows a step. Raises Diverged with the step, the
    loss and the last good checkpoint.
    """
    begun = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    try:
        return _fit(model, lines, settings, planned, objective, run)
    except Exception as error:
        smaller = _smaller(settings)
        if smaller is None or not trouble.out_of_memory(error):
            raise
    # Outside the clause above, whose traceback would hold the tensors of the step that failed.
    run.report(f"memory ran out with micro_batch={settings.rows_at_once}; once more with {smaller.micro_batch}")
    auto.note(run.work, smaller)
    model.load_state_dict(begun, strict=False)
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
    return _fit(model, lines, smaller, planned, objective, run)


def _smaller(settings: Stage) -> Stage | None:
    """The settings with at most half as many rows at once and as many a step; None where there is one already."""
    fitting = [size for size in range(1, settings.rows_at_once // 2 + 1) if settings.effective_batch % size == 0]
    return settings.model_copy(update={"micro_batch": fitting[-1]}) if fitting else None


def _fit(
    model: PeftModel, lines: Sequence[Any], settings: Stage, planned: Plan, objective: Objective, run: Run
) -> Fitted:
    best = watch.KeepBest(run.work / "best", objective.score, run.report)
    tokens_per_step = planned.tokens / planned.epoch_steps
    loop = Loop(
        objective,
        model=model,
        args=_arguments(settings, planned.steps, run),
        train_dataset=lines,
        data_collator=objective.collate,
        callbacks=[
            watch.DivergenceWatch(settings.spike_factor, settings.spike_patience),
            watch.SealCheckpoints(),
            watch.Progress(run.stage, tokens_per_step, run.report),
            best,
        ],
    )
    loop.remove_callback(PrinterCallback)  # Progress speaks
    resumed = watch.last_sealed(run.work)
    first_step = int(resumed.name.split("-")[1]) if resumed else 0
    started, cpu_started = time.monotonic(), time.process_time()
    loop.train(resume_from_checkpoint=str(resumed) if resumed else None)
    best.on_epoch_end(loop.args, loop.state, loop.control, model=model)  # killed between last step and evaluation
    duration, cpu = time.monotonic() - started, time.process_time() - cpu_started
    _load_best(model, run.work / "best")
    seen = tokens_per_step * (loop.state.global_step - first_step)
    return Fitted(
        steps=loop.state.global_step,
        loss_curve=[_curve_point(entry) for entry in loop.state.log_history if "loss" in entry],
        evaluations=best.evaluations,
        best_loss=best.best_loss(),
        duration_s=round(duration, 3),
        cpu_s=round(cpu, 3),
        tokens_per_s=round(seen / duration, 2),
        tokens_per_cpu_s=round(seen / cpu, 2),
        resumed_from=first_step,
        micro_batch=settings.rows_at_once,
        peak_memory_bytes=machine.peak(),
    )


def clear_other_runs(checkpoints: Path, fingerprint: str) -> Path:
    """The checkpoint folder of the run with that fingerprint; those of other data or recipes are removed."""
    mine = checkpoints / fingerprint[:16]
    if checkpoints.is_dir():
        for other in checkpoints.iterdir():
            if other != mine:
                shutil.rmtree(other, ignore_errors=True)
    mine.mkdir(parents=True, exist_ok=True)
    return mine


def _arguments(settings: Stage, steps: int, run: Run) -> TrainingArguments:
    gpu = torch.cuda.is_available()
    return TrainingArguments(
        output_dir=str(run.work),
        max_steps=steps,
        per_device_train_batch_size=settings.rows_at_once,
        gradient_accumulation_steps=settings.accumulation,
        learning_rate=settings.learning_rate,
        lr_scheduler_type=settings.scheduler,
        warmup_steps=settings.warmup_steps,
        weight_decay=settings.weight_decay,
        max_grad_norm=settings.max_grad_norm,
        bf16=settings.precision == "bf16",
        activation_checkpointing=settings.gradient_checkpointing is True,
        seed=run.seed,
        data_seed=run.seed,
        use_cpu=not gpu,
        dataloader_pin_memory=gpu,
        remove_unused_columns=False,
        eval_strategy="no",  # KeepBest evaluates, weighted by tokens; the Trainer would average over batches
        save_strategy="steps",
        save_steps=settings.checkpoint_steps,
        save_total_limit=_KEPT_CHECKPOINTS,
        logging_steps=1,
        logging_nan_inf_filter=False,  # the default hides the very losses that DivergenceWatch looks for
        report_to="none",
        disable_tqdm=True,
    )


def _load_best(model: PeftModel, folder: Path) -> None:
    from peft import load_peft_weights, set_peft_model_state_dict

    device = str(next(model.parameters()).device)
    set_peft_model_state_dict(model, load_peft_weights(str(folder), device=device))


def _curve_point(entry: dict[str, Any]) -> dict[str, float]:
    names = ("step", "loss", "learning_rate", "grad_norm")
    return {name: round(float(entry[name]), 8) for name in names if name in entry}
