"""One side of benchmarks/training.py, in a process of its own: trains a few steps and prints what they cost as JSON.

    python benchmarks/training_sides.py SIDE SHAPE --base DIR --data DIR [--steps 8] [--rows 32] [--peers DIR]

SIDE: `stage` is the project's own loop, `trainer` Hugging Face's Trainer with peft as its documentation has it, `trl` TRL's
SFTTrainer, `trl-plain` the same without gradient checkpointing, `trl-packed` with packing. SHAPE: `block` is rows of 256
tokens, all with loss, four at a time; `mix` the dialogues that the recipe draws. All sides train the same rows, with the
same adapter, in fp32 on a CPU. TRL's default of bf16 is left out: without bf16 arithmetic it takes fifteen times as long.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

RECIPE = ROOT / "training" / "configs" / "sample" / "default.yaml"
BLOCK, BLOCKS_AT_ONCE, PADDED_AT_ONCE = 256, 4, 8
WINDOW = 1024  # of TRL's default and of its packed lines


@dataclass(frozen=True)
class Cost:
    """What a side took. tokens: those of its rows, the same for all sides of a shape; padding is not counted."""

    side: str
    tokens: int
    computed: int  # tokens that went through the model, padding included, shared ones once
    trained: int
    wall_s: float  # loading, training, saving
    loop_s: float  # training alone
    cpu_s: float  # training alone
    peak_bytes: int
    last_loss: float


def rows_of(shape: str, base: Path, data: Path, steps: int, count: int) -> list[Any]:
    """TokenRows: passages cut to blocks, or dialogues as the recipe draws them."""
    from training import rows
    from training.base_model import template_of
    from training.config import load_recipe
    from training.render import tokenizer_of
    from training.rows import TokenRow

    recipe, tokenizer = load_recipe(RECIPE), tokenizer_of(base)
    if shape == "block":
        texts = rows.draw(rows.of_split(rows.read_table("dapt", data), "train"), recipe.seed)["text"]
        ids = [token for text in texts for token in tokenizer.encode(text, add_special_tokens=False).ids]
        wanted = steps * BLOCKS_AT_ONCE
        ids *= -(-wanted * BLOCK // len(ids))
        cut = [ids[start : start + BLOCK] for start in range(0, wanted * BLOCK, BLOCK)]
        return [TokenRow(piece, piece) for piece in cut]
    settings = recipe.sft
    chosen = rows.choose_for_sft(rows.of_split(rows.read_table("sft", data), "train"), recipe.seed, settings)
    chosen, length = chosen.head(count), settings.sequence_length
    return rows.dialogues(chosen, tokenizer, template_of(base), length, settings.opening_tokens).rows


def stage(shape: str, rows: Sequence[Any], base: Path, out: Path) -> tuple[int, float, float, float]:
    """The project's loop: engine.fit, nothing scored, one checkpoint at the end as the Trainer saves one."""
    from training import engine, losses, packing, preflight
    from training.base_model import describe
    from training.config import load_recipe
    from training.rows import Loaded

    recipe, pad_id = load_recipe(RECIPE), describe(base).pad_id
    at_once = BLOCKS_AT_ONCE if shape == "block" else 1
    settings = recipe.sft.model_copy(update={
        "micro_batch": at_once, "effective_batch": at_once, "minimum_steps": 1, "warmup_steps": 0,
        "checkpoint_steps": 1000, "epochs": 1,
    })  # fmt: skip
    lines = packing.pack(rows, BLOCK if shape == "block" else settings.line_length)
    planned = preflight.plan(settings, Loaded(list(rows)), rows, len(lines))
    model = engine.with_adapter(engine.load_base(base, settings, recipe.seed), recipe.lora, settings, None)
    objective = engine.Objective(
        collate=lambda batch: packing.collate(batch, pad_id), loss_of=losses.token_loss(), score=float
    )
    (out / "work").mkdir()
    fitted = engine.fit(model, lines, settings, planned, objective, engine.Run("sft", 1, out / "work", quiet))
    model.save_pretrained(str(out / "adapter"))
    return packing.computed(lines), fitted.duration_s, fitted.cpu_s, fitted.loss_curve[-1]["loss"]


def quiet(_line: str) -> None:
    """Reports go nowhere: stdout is the figures'."""


def tuned(base: Path) -> Any:
    """The base with the recipe's adapter, as peft's documentation makes it."""
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.manual_seed(1)
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    return get_peft_model(model, shape_of_adapter(LoraConfig))


def shape_of_adapter(kind: Callable[..., Any], recipe: Path = RECIPE) -> Any:
    """The recipe's LoRA as peft's config."""
    from training.config import load_recipe

    lora = load_recipe(recipe).lora
    return kind(
        r=lora.r, lora_alpha=lora.alpha, lora_dropout=lora.dropout, target_modules=list(lora.target_modules),
        task_type="CAUSAL_LM",
    )  # fmt: skip


def padded_batches(rows: Sequence[Any], at_once: int) -> int:
    """Tokens with padding of the batches in the order given."""
    batches = [rows[start : start + at_once] for start in range(0, len(rows), at_once)]
    return sum(len(batch) * max(len(row.ids) for row in batch) for batch in batches)


def trainer(shape: str, rows: Sequence[Any], base: Path, out: Path) -> tuple[int, float, float, float]:
    """Hugging Face's Trainer and peft, batches padded to their longest row."""
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    at_once = BLOCKS_AT_ONCE if shape == "block" else PADDED_AT_ONCE
    arguments = TrainingArguments(
        output_dir=str(out), per_device_train_batch_size=at_once, num_train_epochs=1, learning_rate=1.4e-3, use_cpu=True,
        report_to="none", disable_tqdm=True, logging_steps=1, save_strategy="no", remove_unused_columns=False,
    )  # fmt: skip
    data = [{"input_ids": row.ids, "labels": row.labels, "attention_mask": [1] * len(row.ids)} for row in rows]
    collator = DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(base, local_files_only=True))
    loop = Trainer(model=tuned(base), args=arguments, train_dataset=data, data_collator=collator)
    return (padded_batches(rows, at_once), *run(loop, out))


def trl(shape: str, rows: Sequence[Any], base: Path, out: Path, **changed: Any) -> tuple[int, float, float, float]:
    """TRL's SFTTrainer on the same tokens and labels, with its defaults but for bf16."""
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    at_once = BLOCKS_AT_ONCE if shape == "block" else PADDED_AT_ONCE
    given = {
        "output_dir": str(out), "per_device_train_batch_size": at_once, "num_train_epochs": 1, "learning_rate": 1.4e-3,
        "use_cpu": True, "bf16": False, "report_to": "none", "disable_tqdm": True, "logging_steps": 1,
        "save_strategy": "no", "max_length": WINDOW, **changed,
    }  # fmt: skip
    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    data = Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in rows])
    loop = SFTTrainer(
        model=model, args=SFTConfig(**given), train_dataset=data, peft_config=shape_of_adapter(LoraConfig),
        processing_class=AutoTokenizer.from_pretrained(base, local_files_only=True),
    )  # fmt: skip
    computed = sum(len(row.ids) for row in rows) if changed.get("packing") else padded_batches(rows, at_once)
    return (computed, *run(loop, out))


def run(loop: Any, out: Path) -> tuple[float, float, float]:
    """Wall seconds, CPU seconds and last loss of a Trainer's loop; the adapter is saved afterwards."""
    started, cpu = time.monotonic(), time.process_time()
    loop.train()
    took = time.monotonic() - started, time.process_time() - cpu
    loop.model.save_pretrained(str(out / "adapter"))
    losses = [entry["loss"] for entry in loop.state.log_history if "loss" in entry]
    return (*took, float(losses[-1]))


SIDES: dict[str, Callable[..., tuple[int, float, float, float]]] = {
    "stage": stage,
    "trainer": trainer,
    "trl": trl,
    "trl-plain": lambda *given: trl(*given, gradient_checkpointing=False),
    "trl-packed": lambda *given: trl(*given, gradient_checkpointing=False, packing=True, per_device_train_batch_size=1),
}


def main() -> None:
    """Train one side and print its cost."""
    parser = argparse.ArgumentParser()
    parser.add_argument("side", choices=sorted(SIDES))
    parser.add_argument("shape", choices=["block", "mix"])
    parser.add_argument("--base", type=Path, required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--peers", type=Path)
    given = parser.parse_args()
    if given.peers:
        sys.path.append(str(given.peers))
    rows = rows_of(given.shape, given.base, given.data, given.steps, given.rows)
    started = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        computed, loop_s, cpu_s, loss = SIDES[given.side](given.shape, rows, given.base, Path(folder))
    cost = Cost(
        given.side, sum(len(row.ids) for row in rows), computed, sum(row.trained for row in rows),
        round(time.monotonic() - started, 2), round(loop_s, 2), round(cpu_s, 2),
        resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, loss,
    )  # fmt: skip
    print(json.dumps(vars(cost)))


if __name__ == "__main__":
    main()
