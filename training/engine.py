"""The loop that all stages share: the model with its adapter, the loss, and Hugging Face's Trainer around it.

Rows come several to a line (packing.py), told apart by their position ids. Attention then stays inside a row, exactly,
as long as nobody passes an attention mask: a mask of ones would let rows leak.
Hugging Face's Trainer rather than TRL's: on a CPU TRL's reaches 0.69 of its speed.
"""

from __future__ import annotations

import gc
import importlib.util
import math
import shutil
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import accumulate, islice, pairwise
from pathlib import Path
from typing import Any

import torch
from accelerate.data_loader import SeedableRandomSampler
from peft import LoraConfig, PeftModel, get_peft_model, prepare_model_for_kbit_training
from torch import Tensor
from torch.utils.data import Dataset, Sampler
from transformers import BitsAndBytesConfig, PrinterCallback, Trainer, TrainerCallback, TrainingArguments
from transformers.utils import logging as transformers_logging
from typing_extensions import override

from training import attention, auto, averaging, divergence, machine, processes, trouble, watch
from training.config import Lora, Stage
from training.epoch_scores import Heard
from training.losses import LossOf, token_nll
from training.packing import Batch, Packed, collate, pack, parts
from training.preflight import Plan
from training.render import IGNORED
from training.rows import TokenRow
from training.usage import Usage, UsageWatch
from twainbot.errors import BadUse, Diverged

_SPARE = "spare"  # marks a micro batch that only fills a round of several processes
_KEPT_CHECKPOINTS = 2  # the newest may be torn by a kill during its writing; then the one before it serves


def trained_tokens(batch: Batch) -> int:
    """Tokens of a micro batch that are predicted and on which loss is taken."""
    return int((batch["labels"][..., 1:] != IGNORED).sum())


@dataclass(frozen=True)
class Objective:
    """What a stage optimises and how it is scored."""

    collate: Callable[[Sequence[Any]], Batch]  # micro batch of train lines to tensors
    loss_of: LossOf  # a micro batch's part of the mean over the step's items, however many micro batches it has
    score: Callable[[], float]  # validation loss, lower is better; called after each epoch
    listen: Callable[[], Heard] | None = None  # what else is asked of the model then, see epoch_scores.py
    items: Callable[[Batch], int] = trained_tokens  # of a micro batch; all of a step's count alike


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
    evaluations: list[dict[str, Any]]  # step, epoch, loss; scores, samples and watch_s where the recipe has them
    best_loss: float
    duration_s: float
    cpu_s: float
    tokens_per_s: float  # of all processes, evaluations after epochs included
    tokens_per_cpu_s: float
    processes: int
    resumed_from: int  # step; 0 for a run from the start
    averaged_steps: int  # the last, whose weights' mean the last epoch is; 0: none
    micro_batch: int  # rows at once; below the recipe's where memory ran out
    usage: Usage  # of the machine
    ended_early: dict[str, Any] | None  # why, step, loss, checkpoint: the validation loss kept rising
    lowered: divergence.Lowered | None  # a spike that was answered by a lower rate
    peak_memory_bytes: int  # allocated on the GPU, or held by the process on a CPU, since the base was loaded


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
        held = parts(line)
        starts = torch.tensor([0, *accumulate(len(part.ids) for part in held)])
        edges = torch.searchsorted(positions.cpu(), starts).tolist()
        for part, (begin, end) in zip(held, pairwise(edges), strict=True):
            found[id(part.row)] = float(nll[0, begin:end].sum())
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
    if settings.precision == "bf16" and not gpu and not machine.has_bf16():
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
    vars(model)["create_or_update_model_card"] = _no_card
    return model


def _no_card(_output_dir: str) -> None:
    """In place of peft's empty model card, at every checkpoint; it is never published, and costs 0.1 s."""


class Rounds(Dataset[Any]):
    """The train lines, and None behind them until every process has a whole micro batch in the last round."""

    def __init__(self, lines: Sequence[Any], a_round: int) -> None:
        self.lines = lines
        self.size = -(-len(lines) // a_round) * a_round

    def __len__(self) -> int:
        return self.size

    @override
    def __getitem__(self, index: int) -> Any:
        return self.lines[index] if index < len(self.lines) else None


class RoundsInOrder(Sampler[int]):
    """An epoch's lines in the order of a single process, and the empty places after them."""

    def __init__(self, rounds: Rounds, seed: int, epoch: Callable[[], int]) -> None:
        self.rounds = rounds
        self.seed = seed
        self.epoch = epoch  # asked, since accelerate does not pass it on to the sampler of a resumed epoch

    def __len__(self) -> int:
        return len(self.rounds)

    @override
    def __iter__(self) -> Iterator[int]:
        lines = len(self.rounds.lines)
        shuffled = SeedableRandomSampler(range(lines), data_seed=self.seed)
        shuffled.set_epoch(self.epoch())
        yield from shuffled
        yield from range(lines, len(self.rounds))


class Loop(Trainer):
    """Hugging Face's Trainer with the stage's own loss, the same on one process and on several.

    Several take turns in a step's micro batches. Their gradients are averaged, so each process's part is multiplied
    by their number; where an epoch ends within a round, what would repeat its first lines counts for nothing.
    """

    def __init__(self, objective: Objective, lines: Sequence[Any], **arguments: Any) -> None:
        self.several = processes.count() > 1
        self.collate = objective.collate
        args: TrainingArguments = arguments["args"]
        shown: Any = Rounds(lines, args.per_device_train_batch_size * processes.count()) if self.several else lines
        super().__init__(
            train_dataset=shown,
            data_collator=self._collated if self.several else objective.collate,
            **arguments,
        )
        self.lines = lines
        self.loss_of = objective.loss_of
        self.loss_is_scaled_for_ga = True  # by the step's items
        self.items = objective.items

    def _collated(self, found: Sequence[Any]) -> Batch:
        real = [line for line in found if line is not None]
        batch = self.collate(real or self.lines[:1])
        return batch if real else {**batch, _SPARE: torch.ones(1)}

    @override
    def _get_train_sampler(self, train_dataset: Any = None) -> Any:
        if not self.several:
            return super()._get_train_sampler(train_dataset)
        rounds: Any = self.train_dataset
        return RoundsInOrder(rounds, int(self.args.data_seed or 0), lambda: int(self.state.epoch or 0))

    @override
    def get_batch_samples(
        self, epoch_iterator: Any, num_batches: int, device: torch.device
    ) -> tuple[list[Any], Tensor | int | None]:
        """A step's micro batches of this process, and the items of all processes' together."""
        batches = list(islice(epoch_iterator, num_batches))
        own = sum(self.items(batch) for batch in batches if _SPARE not in batch)
        return batches, self.accelerator.gather(torch.tensor([own], device=device)).sum() / 1

    @override
    def compute_loss(
        self,
        model: Any,
        inputs: Batch,
        return_outputs: bool = False,
        num_items_in_batch: Any = None,
    ) -> Any:
        """The stage's loss of one micro batch."""
        if not self.several:
            return self.loss_of(model, inputs, num_items_in_batch)
        batch = {name: value for name, value in inputs.items() if name != _SPARE}
        return self.loss_of(model, batch, num_items_in_batch) * (0 if _SPARE in inputs else processes.count())


def fit(
    model: PeftModel, lines: Sequence[Any], settings: Stage, planned: Plan, objective: Objective, run: Run
) -> Fitted:
    """Train the adapter in place; afterwards the model holds the weights of the epoch with the best validation score.

    A sealed checkpoint in run.work is resumed from, and ends in the same weights as an uninterrupted run. Where memory
    runs out, half as many rows at once are tried, once, with as many rows a step; not by several processes, of which the
    others would wait. Raises Diverged with the step, the loss and the last good checkpoint, unless the recipe lowers the
    rate of a DAPT run that spikes.
    """
    begun = {name: weight.detach().clone() for name, weight in model.named_parameters() if weight.requires_grad}
    try:
        return _fit_or_lower(model, lines, settings, planned, objective, run, begun)
    except Exception as error:
        smaller = _smaller(settings) if processes.count() == 1 else None
        if smaller is None or not trouble.out_of_memory(error):
            raise
    # Outside the clause above, whose traceback would hold the tensors of the step that failed.
    run.report(f"memory ran out with micro_batch={settings.rows_at_once}; once more with {smaller.micro_batch}")
    auto.note(run.work, smaller)
    _start_over(model, begun)
    return _fit_or_lower(model, lines, smaller, planned, objective, run, begun)


def _fit_or_lower(
    model: PeftModel, lines: Sequence[Any], settings: Stage, planned: Plan, objective: Objective, run: Run,
    begun: dict[str, Tensor],
) -> Fitted:  # fmt: skip
    """Fit; a spike takes the run back to a checkpoint before it at a lower rate, once, where the recipe allows it.

    Several processes stop: they would have to agree on files that each of them has just read.
    """
    try:
        return _fit(model, lines, settings, planned, objective, run)
    except Diverged as error:
        lowered = divergence.lower_rate(settings, run.work, error) if processes.count() == 1 else None
        if lowered is None:
            raise
    run.report(f"{lowered.why} The recipe lowers the rate instead: {lowered.rate:.3g} from step {lowered.from_step} on")
    _start_over(model, begun)
    return _fit(model, lines, settings, planned, objective, run)


def _start_over(model: PeftModel, begun: dict[str, Tensor]) -> None:
    """The weights that the loop began with, and the memory of what followed."""
    model.load_state_dict(begun, strict=False)
    model.zero_grad(set_to_none=True)
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _smaller(settings: Stage) -> Stage | None:
    """The settings with at most half as many rows at once and as many a step; None where there is one already."""
    fitting = [size for size in range(1, settings.rows_at_once // 2 + 1) if settings.effective_batch % size == 0]
    return settings.model_copy(update={"micro_batch": fitting[-1]}) if fitting else None


def _fit(
    model: PeftModel, lines: Sequence[Any], settings: Stage, planned: Plan, objective: Objective, run: Run
) -> Fitted:
    best = watch.KeepBest(run.work / "best", objective.score, run.report, objective.listen)
    usage = UsageWatch()
    lowered = divergence.lowered(run.work)
    if lowered:
        settings = settings.model_copy(update={"learning_rate": lowered.rate})
    tokens_per_step = planned.tokens / planned.epoch_steps
    resumed = watch.last_sealed(run.work)
    average = averaging.AverageLast(settings.average_last, resumed)
    loop = Loop(
        objective,
        lines,
        model=model,
        args=_arguments(settings, planned.steps, run),
        callbacks=_watchers(settings, best, average, usage, watch.Progress(run.stage, tokens_per_step, run.report)),
    )
    if lowered:
        loop.add_callback(divergence.LowerRate(lowered.rate))
    loop.remove_callback(PrinterCallback)  # Progress speaks
    first_step = int(resumed.name.split("-")[1]) if resumed else 0
    started, cpu_started = time.monotonic(), time.process_time()
    ended_early = None
    try:
        loop.train(resume_from_checkpoint=str(resumed) if resumed else None)
    except watch.Finished:
        pass
    except divergence.Enough as enough:
        ended_early = enough.why
        run.report(ended_early["why"])
    average.settle(loop.state, model)
    best.on_epoch_end(loop.args, loop.state, loop.control, model=model)  # killed between last step and evaluation
    processes.wait()  # for what the first one keeps
    duration, cpu = time.monotonic() - started, processes.total(time.process_time() - cpu_started)
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
        processes=processes.count(),
        resumed_from=first_step,
        averaged_steps=average.steps,
        micro_batch=settings.rows_at_once,
        usage=usage.usage(),
        ended_early=ended_early,
        lowered=lowered,
        peak_memory_bytes=machine.peak(),
    )


def _watchers(
    settings: Stage, best: watch.KeepBest, average: averaging.AverageLast, usage: UsageWatch, progress: watch.Progress
) -> list[TrainerCallback]:
    """The loop's callbacks. The order counts: a mean is taken before checkpoints are sealed and before it is scored."""
    return [
        watch.StopSuperseded(),
        divergence.DivergenceWatch(settings.spike_factor, settings.spike_patience),
        average,
        watch.SealCheckpoints(),
        progress,
        usage,
        best,
        divergence.RisingValidation(settings, lambda: best.evaluations),
        watch.TakeNoStepTwice(),
    ]


def clear_other_runs(checkpoints: Path, fingerprint: str) -> Path:
    """The checkpoint folder of the run with that fingerprint; those of other data or recipes are removed."""
    mine = checkpoints / fingerprint[:16]
    if checkpoints.is_dir() and processes.first():  # which holds the folder
        for other in checkpoints.iterdir():
            if other != mine:
                shutil.rmtree(other, ignore_errors=True)
    mine.mkdir(parents=True, exist_ok=True)
    return mine


def _arguments(settings: Stage, steps: int, run: Run) -> TrainingArguments:
    gpu = torch.cuda.is_available()
    found = TrainingArguments(
        output_dir=str(run.work),
        max_steps=steps,
        per_device_train_batch_size=settings.rows_at_once,
        gradient_accumulation_steps=settings.accumulation // processes.count(),
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
        # weights that spike are saved too until it is divergence, and must not push out the last good ones
        save_total_limit=max(_KEPT_CHECKPOINTS, 1 + math.ceil(settings.spike_patience / settings.checkpoint_steps)),
        logging_steps=1,
        logging_nan_inf_filter=False,  # the default hides the very losses that DivergenceWatch looks for
        report_to="none",
        disable_tqdm=True,
        ddp_find_unused_parameters=False,  # a stage trains every weight of its adapter in every micro batch
    )
    found._n_gpu = min(found.n_gpu, 1)  # one process, one GPU: torch's DataParallel would split packed lines
    return found


def _load_best(model: PeftModel, folder: Path) -> None:
    from peft import load_peft_weights, set_peft_model_state_dict

    device = str(next(model.parameters()).device)
    set_peft_model_state_dict(model, load_peft_weights(str(folder), device=device))


def _curve_point(entry: dict[str, Any]) -> dict[str, float]:
    names = ("step", "loss", "learning_rate", "grad_norm")
    return {name: round(float(entry[name]), 8) for name in names if name in entry}
