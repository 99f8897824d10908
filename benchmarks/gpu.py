"""Training on a GPU: the 1.5B recipe's shape with random weights, beside Hugging Face's Trainer and TRL.

    python benchmarks/gpu.py [--rounds 2] [--peers DIR] [--out FILE]      (DIR: pip install --no-deps --target DIR trl)

No weights are fetched: the base is Qwen2.5-Coder-1.5B's published shape with random weights. `block` is rows of 1,024
tokens, all with loss, 32 a step; `mix` rows of 24 to 465 tokens, of which the last third has loss, about as many tokens a
step. All sides train the same rows with the same adapter in bf16, at most eight rows at once, each in a process of its own.
Every side runs a step before its clock starts. `stage-nf4` is the project's loop on a base in 4 bits; TRL runs with its
defaults (checkpointing, padding), without checkpointing, and packed. Without a GPU: `--small`, to see that it works.
"""

from __future__ import annotations

import argparse
import json
import random
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.lines import Line, as_table  # noqa: E402
from benchmarks.training import gemm_ceiling, model_flops  # noqa: E402
from benchmarks.training_sides import shape_of_adapter  # noqa: E402

RECIPE = ROOT / "training" / "configs" / "full" / "qwen2.5-coder-1.5b-instruct.yaml"
QWEN = {
    "vocab_size": 151936, "hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28,
    "num_attention_heads": 12, "num_key_value_heads": 2, "tie_word_embeddings": True,
}  # fmt: skip
SMALL = {
    **QWEN,
    "vocab_size": 256,
    "hidden_size": 48,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
}
WINDOW, A_STEP, AT_ONCE, STEPS = 1024, 32, 8, 6  # tokens; windows a step and at once; steps that count
SHAPES = {
    "block": ("stage", "stage-nf4", "trainer", "trl", "trl-plain"),
    "mix": ("stage", "trainer", "trl", "trl-plain", "trl-packed"),
}


def make_base(folder: Path, config: Any) -> None:
    """A base with random weights in bf16, and a tokenizer that TRL can ask for its padding."""
    import torch
    from tokenizers import Tokenizer, models
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast

    torch.manual_seed(0)
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    words = Tokenizer(models.WordLevel({"<pad>": 0, "<eos>": 1, "<unk>": 2}, unk_token="<unk>"))
    PreTrainedTokenizerFast(
        tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>"
    ).save_pretrained(folder)  # fmt: skip


def rows_of(shape: str, vocabulary: int) -> list[Any]:
    """TokenRows of random tokens, the same for every side: STEPS + 1 steps of them, the first to warm up."""
    from training.rows import TokenRow

    rng, rows, left = random.Random(1910), [], (STEPS + 1) * A_STEP * WINDOW
    while left >= WINDOW:
        size = WINDOW if shape == "block" else min(WINDOW, int(24 + 441 * rng.random() ** 2))
        ids = [rng.randrange(3, vocabulary) for _ in range(size)]
        silent = 0 if shape == "block" else 2 * size // 3
        rows.append(TokenRow(ids, [-100] * silent + ids[silent:]))
        left -= size
    return rows


class Clock:
    """A Trainer callback's part: seconds and tokens after the first step."""

    def __init__(self) -> None:
        self.marks: list[float] = []

    def mark(self) -> None:
        """A step ended, on the GPU too."""
        import torch

        if torch.cuda.is_available():
            torch.cuda.synchronize()
        self.marks.append(time.monotonic())

    def seconds(self) -> float:
        """Of all steps but the first."""
        return self.marks[-1] - self.marks[0]

    def share(self) -> float:
        """Of the work that the seconds are of."""
        return (len(self.marks) - 1) / len(self.marks)


def listening(clock: Clock) -> Any:
    """The clock as a callback."""
    from transformers import TrainerCallback

    class Steps(TrainerCallback):
        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.mark()

    return Steps()


def stage(rows: Sequence[Any], base: Path, out: Path, clock: Clock, quantization: str = "none") -> float:
    """The project's loop. Returns the last loss."""
    from training import engine, losses, packing, preflight
    from training.config import load_recipe
    from training.rows import Loaded

    recipe = load_recipe(RECIPE)
    settings = recipe.sft.model_copy(update={
        "micro_batch": AT_ONCE, "effective_batch": A_STEP, "minimum_steps": 1, "warmup_steps": 0, "precision": _precision(),
        "checkpoint_steps": 1000, "epochs": 1, "gradient_checkpointing": False, "quantization": quantization,
    })  # fmt: skip
    lines = packing.pack(rows, WINDOW)
    planned = preflight.plan(settings, Loaded(list(rows)), rows, len(lines))
    model = engine.with_adapter(engine.load_base(base, settings, recipe.seed), recipe.lora, settings, None)
    objective = engine.Objective(
        collate=lambda batch: packing.collate(batch, 0), loss_of=losses.token_loss(), score=lambda: 0.0
    )
    watchers = engine._watchers
    engine._watchers = lambda *given: [listening(clock), *watchers(*given)]
    fitted = engine.fit(model, lines, settings, planned, objective, engine.Run("sft", 1, out, lambda _line: None))
    return float(fitted.loss_curve[-1]["loss"])


def _precision() -> str:
    import torch

    return "bf16" if torch.cuda.is_available() else "fp32"


def _given(rows: Sequence[Any], out: Path) -> dict[str, Any]:
    """Arguments that all Trainers share. A step has as many rows as makes the stage's tokens."""
    import torch

    gpu = torch.cuda.is_available()
    each = sum(len(row.ids) for row in rows) / len(rows)
    steps_rows = max(AT_ONCE, round(A_STEP * WINDOW / each / AT_ONCE) * AT_ONCE)
    return {
        "output_dir": str(out), "per_device_train_batch_size": AT_ONCE, "num_train_epochs": 1, "learning_rate": 1e-4,
        "gradient_accumulation_steps": steps_rows // AT_ONCE, "use_cpu": not gpu, "bf16": gpu, "report_to": "none",
        "disable_tqdm": True, "logging_steps": 1, "save_strategy": "no",
    }  # fmt: skip


def _base(base: Path) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    dtype = torch.bfloat16 if torch.cuda.is_available() else torch.float32
    return AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=dtype)


def trainer(rows: Sequence[Any], base: Path, out: Path, clock: Clock) -> float:
    """Hugging Face's Trainer and peft as their documentation has it, batches padded to their longest row."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoTokenizer, DataCollatorForSeq2Seq, Trainer, TrainingArguments

    data = [{"input_ids": row.ids, "labels": row.labels, "attention_mask": [1] * len(row.ids)} for row in rows]
    loop = Trainer(
        model=get_peft_model(_base(base), shape_of_adapter(LoraConfig, RECIPE)),
        args=TrainingArguments(remove_unused_columns=False, **_given(rows, out)),
        train_dataset=data, data_collator=DataCollatorForSeq2Seq(AutoTokenizer.from_pretrained(base)),
        callbacks=[listening(clock)],
    )  # fmt: skip
    return _run(loop)


def trl(rows: Sequence[Any], base: Path, out: Path, clock: Clock, **changed: Any) -> float:
    """TRL's SFTTrainer on the same tokens and labels."""
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    given = {**_given(rows, out), "max_length": WINDOW, **changed}
    if given.get("packing"):
        given["gradient_accumulation_steps"] = A_STEP // AT_ONCE
    loop = SFTTrainer(
        model=_base(base), args=SFTConfig(**given), peft_config=shape_of_adapter(LoraConfig, RECIPE),
        processing_class=AutoTokenizer.from_pretrained(base),
        train_dataset=Dataset.from_list([{"input_ids": row.ids, "labels": row.labels} for row in rows]),
        callbacks=[listening(clock)],
    )  # fmt: skip
    return _run(loop)


def _run(loop: Any) -> float:
    loop.train()
    return float([entry["loss"] for entry in loop.state.log_history if "loss" in entry][-1])


SIDES: dict[str, Callable[..., float]] = {
    "stage": stage,
    "stage-nf4": lambda *given: stage(*given, quantization="nf4"),
    "trainer": trainer,
    "trl": trl,
    "trl-plain": lambda *given: trl(*given, gradient_checkpointing=False),
    "trl-packed": lambda *given: trl(*given, gradient_checkpointing=False, packing=True),
}


def side(name: str, shape: str, base: Path) -> dict[str, Any]:
    """One side's cost: tokens a second after the first step, peak memory, last loss."""
    import torch
    from transformers import AutoConfig

    rows, clock = rows_of(shape, AutoConfig.from_pretrained(base).vocab_size), Clock()
    with tempfile.TemporaryDirectory() as folder:
        loss = SIDES[name](rows, base, Path(folder), clock)
    tokens = sum(len(row.ids) for row in rows) * clock.share()
    trained = sum(row.trained for row in rows) * clock.share()
    peak = torch.cuda.max_memory_allocated() if torch.cuda.is_available() else 0
    return {
        "side": name, "shape": shape, "tokens": tokens, "trained": trained, "seconds": clock.seconds(),
        "steps": len(clock.marks), "tokens_a_row": sum(len(row.ids) for row in rows) / len(rows),
        "peak_bytes": peak, "last_loss": loss,
    }  # fmt: skip


def flops(cost: dict[str, Any], config: Any) -> float:
    """Arithmetic a second that a side's rows need; padding and what checkpointing repeats are no use of the machine."""
    from training.config import load_recipe

    lora = load_recipe(RECIPE).lora
    return model_flops(config, lora, cost["tokens_a_row"], cost["tokens"], cost["trained"]) / float(cost["seconds"])


def table(shape: str, found: list[dict[str, Any]], config: Any, ceiling: float) -> str:
    """Medians of each side's rounds."""
    lines = [f"| {shape} | tok/s | FLOP/s over the ceiling | peak GiB | last loss |", "|---|---|---|---|---|"]
    for name in SHAPES[shape]:
        mine = [cost for cost in found if cost["side"] == name and cost["shape"] == shape]
        if not mine:
            continue
        rate = statistics.median(cost["tokens"] / cost["seconds"] for cost in mine)
        use = statistics.median(flops(cost, config) / ceiling for cost in mine)
        lines.append(
            f"| {name} | {rate:,.0f} | {use:.2f} | {mine[0]['peak_bytes'] / 2**30:.1f} | {mine[0]['last_loss']:.3f} |"
        )
    return "\n".join(lines) + "\n"


def beside(found: list[dict[str, Any]], shape: str, other: str, bar: float | None) -> list[Line]:
    """The stage's speed over another side's, round by round."""
    speeds = [
        [cost["tokens"] / cost["seconds"] for cost in found if (cost["side"], cost["shape"]) == (name, shape)]
        for name in ("stage", other)
    ]
    ratios = [mine / theirs for mine, theirs in zip(*speeds, strict=False)]
    if not ratios:
        return []
    middle = statistics.median(ratios)
    words = f"{middle:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    return [
        Line(f"{shape}: stage over {other}", words, f">= {bar}" if bar else "", None if bar is None else middle >= bar)
    ]


def main(words: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--side", nargs=2, metavar=("SIDE", "SHAPE"), help="this one alone, in this process")
    parser.add_argument("--base", type=Path)
    parser.add_argument("--peers", type=Path, help="folder with trl")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--sides", nargs="*", help="these alone")
    parser.add_argument("--small", action="store_true", help="a tiny model, for a machine without a GPU")
    parser.add_argument("--out", type=Path, help="also write every figure here, as JSON lines")
    given = parser.parse_args(words)
    if given.peers:
        sys.path.append(str(given.peers))
    if given.side:
        print(json.dumps(side(*given.side, given.base)))
        return
    import torch

    if not torch.cuda.is_available() and not given.small:
        sys.exit("No GPU here: nothing to measure. `--small` tries the benchmark itself on this CPU.")
    from transformers import Qwen2Config

    config = Qwen2Config(**(SMALL if given.small else QWEN))
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder)
        make_base(base, config)
        ceiling = gemm_ceiling(config, AT_ONCE * WINDOW)
        found = rounds_of(given, base)
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "this CPU"
    print(f"{card}, torch {torch.__version__}; products in the model's shapes: {ceiling / 1e12:.3g} TFLOP/s.\n")
    for shape in SHAPES:
        print(table(shape, found, config, ceiling))
    lines = [
        *beside(found, "block", "trainer", 0.95),
        *beside(found, "block", "trl", None),
        *beside(found, "mix", "trainer", None),
    ]
    lines += [
        *beside(found, "mix", "trl", 1.8),
        *beside(found, "mix", "trl-packed", None),
        *beside(found, "block", "stage-nf4", None),
    ]
    print(as_table(lines), end="")


def rounds_of(given: argparse.Namespace, base: Path) -> list[dict[str, Any]]:
    """Every side's cost in every round; one that fails is told and left out."""
    found = []
    for _ in range(given.rounds):
        for shape, names in SHAPES.items():
            for name in names:
                if (name.startswith("trl") and not given.peers) or (given.sides and name not in given.sides):
                    continue
                line = [sys.executable, __file__, "--side", name, shape, "--base", str(base)]
                line += ["--peers", str(given.peers)] if given.peers else []
                done = subprocess.run(line, capture_output=True, text=True)
                if done.returncode:
                    print(f"{name} failed on {shape}: {done.stderr[-1500:]}", file=sys.stderr, flush=True)
                    continue
                found.append(json.loads(done.stdout.strip().splitlines()[-1]))
                print(json.dumps(found[-1]), file=sys.stderr, flush=True)
                if given.out:
                    with given.out.open("a") as file:
                        file.write(json.dumps(found[-1]) + "\n")
    return found


if __name__ == "__main__":
    main()
