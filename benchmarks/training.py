"""Training held to its bars: speed beside Hugging Face's Trainer and TRL, arithmetic, memory, exactness, start-up.

`twainbot run --profile sample` first, then `make bench-training PEERS=folder` with `pip install --no-deps --target folder trl`:
rows, base and finished adapters are that profile's. Each side trains the same rows in a process of its own, sides in turn,
`--rounds` times; figures are medians of a side, ratios medians of the rounds' ratios. Prints Markdown tables.
"""

from __future__ import annotations

import argparse
import json
import math
import os
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

import polars as pl  # noqa: E402

from benchmarks.lines import Line, as_table  # noqa: E402
from training.base_model import prepare  # noqa: E402

SIDES = {"block": ("stage", "trainer", "trl-plain"), "mix": ("stage", "trainer", "trl", "trl-plain", "trl-packed")}
GEMM_S = 1.0  # seconds of each shape
Found = dict[str, list[dict[str, Any]]]  # side to its cost of each round


def costs(shape: str, given: argparse.Namespace) -> Found:
    """Each side's cost per round; TRL's are left out where there is no TRL."""
    found: Found = {}
    for _ in range(given.rounds):
        for side in SIDES[shape]:
            if side.startswith("trl") and not given.peers:
                continue
            line = [sys.executable, str(ROOT / "benchmarks" / "training_sides.py"), side, shape]
            line += ["--base", str(given.base), "--data", str(given.data)]
            line += ["--steps", str(given.steps), "--rows", str(given.dialogues)]
            line += ["--peers", str(given.peers)] if given.peers else []
            done = subprocess.run(line, capture_output=True, text=True, env=environment())
            if done.returncode:
                sys.exit(f"{side} failed on {shape}:\n{done.stderr[-3000:]}")
            found.setdefault(side, []).append(json.loads(done.stdout.strip().splitlines()[-1]))
    return found


def environment() -> dict[str, str]:
    """As the trainer starts a stage: nobody asks a hub, and tokenizers start no threads."""
    return {**os.environ, "HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}


def speed(cost: dict[str, Any], clock: str) -> float:
    """Tokens of rows a second; clock: loop_s, wall_s or cpu_s."""
    return float(cost["tokens"]) / float(cost[clock])


def ratio(found: Found, side: str, other: str, clock: str) -> float:
    """Median over rounds of one side's speed over another's in the same round."""
    return statistics.median(
        speed(a, clock) / speed(b, clock) for a, b in zip(found[side], found[other], strict=True)
    )  # fmt: skip


def median(found: Found, side: str, value: Callable[[dict[str, Any]], float]) -> float:
    """Of a figure over the rounds."""
    return statistics.median(value(cost) for cost in found[side])


def side_table(shape: str, found: Found) -> str:
    """Every side's figures."""
    head = "| {} | tok/s | tok/CPU-s | with loading and saving, tok/s | through the model | peak GiB | last loss |"
    lines = [head.format(shape), "|---|---|---|---|---|---|---|"]
    for side in found:
        loop, cpu, wall = (
            median(found, side, lambda cost, c=clock: speed(cost, c)) for clock in ("loop_s", "cpu_s", "wall_s")
        )
        peak = median(found, side, lambda cost: cost["peak_bytes"] / 2**30)
        through = found[side][0]["computed"] / found[side][0]["tokens"]
        lines.append(
            f"| {side} | {loop:.1f} | {cpu:.1f} | {wall:.1f} | {through:.2f} | {peak:.2f} | {found[side][0]['last_loss']:.4f} |"
        )
    return "\n".join(lines) + "\n"


def speed_lines(block: Found, mix: Found) -> list[Line]:
    """The stage beside its peers."""
    lines = [beside(block, "stage", "trainer", "same shape, 4 x 256, all with loss: stage over HF Trainer", 0.95)]
    if "trl" in mix:
        fastest = max(("trl", "trl-plain"), key=lambda side: median(mix, side, lambda cost: speed(cost, "cpu_s")))
        lines += [
            beside(block, "trl-plain", "trainer", "same shape: TRL without checkpointing over HF Trainer", None),
            beside(mix, "stage", "trl", "dialogues: stage over TRL's padded default", 1.8),
            beside(mix, "stage", fastest, f"dialogues: stage over the faster padded TRL ({fastest})", 1.8),
            beside(mix, "stage", "trl-packed", "dialogues: stage over TRL packed", None),
        ]
        peaks = {side: median(mix, side, lambda cost: cost["peak_bytes"]) for side in ("stage", "trl")}
        lines.append(
            Line(
                "dialogues: peak memory, stage over TRL's default",
                f"{peaks['stage'] / peaks['trl']:.2f}",
                "<= 1",
                peaks["stage"] <= peaks["trl"],
            )
        )
    return [*lines, beside(mix, "stage", "trainer", "dialogues: stage over HF Trainer, padded", None)]


def beside(found: Found, side: str, other: str, what: str, bar: float | None) -> Line:
    """A ratio of speeds by the wall clock; CPU seconds, which other work on the machine moves less, in brackets."""
    wall, cpu = ratio(found, side, other, "loop_s"), ratio(found, side, other, "cpu_s")
    value = f"{wall:.2f} ({cpu:.2f} per CPU s)"
    return Line(what, value, f">= {bar}" if bar else "", None if bar is None else wall >= bar)


def model_flops(config: Any, lora: Any, block: float, tokens: float, trained: float) -> float:
    """Arithmetic of training an adapter on a frozen base, forward and backward to the activations.

    4 per weight of a linear and token, 6 per adapter weight, attention's products in a causal block, and 4 per weight of
    the head for each token with loss.
    """
    width, layers, inner = config.hidden_size, config.num_hidden_layers, config.intermediate_size
    head = getattr(config, "head_dim", None) or width // config.num_attention_heads
    asked, kept = head * config.num_attention_heads, head * config.num_key_value_heads
    shapes = {"q_proj": (width, asked), "k_proj": (width, kept), "v_proj": (width, kept), "o_proj": (asked, width),
              "gate_proj": (width, inner), "up_proj": (width, inner), "down_proj": (inner, width)}  # fmt: skip
    base = sum(rows * columns for rows, columns in shapes.values())
    adapter = sum(lora.r * sum(shapes[name]) for name in lora.target_modules)
    attention = 3 * 2 * 2 * asked * block / 2  # forward and twice backward, two products, half of the block on average
    return layers * tokens * (4 * base + 6 * adapter + attention) + trained * 4 * width * config.vocab_size


def gemm_ceiling(config: Any, tokens: int = 1024) -> float:
    """FLOP/s of products in the shapes of the model's linears, so many tokens at once, weighed by their work.

    In bf16 on a GPU, where there is one; in fp32 on a CPU.
    """
    import torch

    gpu = torch.cuda.is_available()
    how = {"device": "cuda", "dtype": torch.bfloat16} if gpu else {}
    at_once = 20 if gpu else 1  # between looks at the clock, each of which waits for the GPU
    width, inner, heads = config.hidden_size, config.intermediate_size, config.num_key_value_heads
    kept = heads * (width // config.num_attention_heads)
    shapes = [(width, width)] * 2 + [(width, kept)] * 2 + [(width, inner)] * 3
    took = done = 0.0
    for rows, columns in set(shapes):
        left, right = torch.randn(tokens, rows, **how), torch.randn(rows, columns, **how)
        started, count = 0.0, -at_once  # the first time warms up
        while count < 0 or time.perf_counter() - started < GEMM_S:
            for _ in range(at_once):
                left @ right
            if gpu:
                torch.cuda.synchronize()
            count += at_once
            started = started or time.perf_counter()
        each = (time.perf_counter() - started) / count
        took += each * shapes.count((rows, columns))
        done += 2 * tokens * rows * columns * shapes.count((rows, columns))
    return done / took


def arithmetic_lines(base: Path, block: Found, ceilings: Sequence[float]) -> list[Line]:
    """What of the machine's arithmetic the stage uses."""
    from transformers import AutoConfig

    from benchmarks.training_sides import BLOCK, RECIPE
    from training.config import load_recipe

    config = AutoConfig.from_pretrained(base, local_files_only=True)
    lora = load_recipe(RECIPE).lora
    ceiling = statistics.median(ceilings)
    shares = {}
    for side in ("stage", "trainer"):
        shares[side] = statistics.median(
            model_flops(config, lora, BLOCK, cost["computed"], cost["trained"]) / cost["loop_s"] / ceiling
            for cost in block[side]
        )
    return [
        Line("GEMM ceiling in the model's shapes, GFLOP/s", f"{ceiling / 1e9:.0f}"),
        Line("model FLOP/s over the ceiling, stage", f"{shares['stage']:.2f}", ">= 0.7", shares["stage"] >= 0.7),
        Line("model FLOP/s over the ceiling, HF Trainer", f"{shares['trainer']:.2f}"),
    ]


def exactness_lines(base: Path, data: Path) -> list[Line]:
    """Packed with shared prompts, padded and alone: the largest difference of a trained token's loss, per attention."""
    import torch

    from benchmarks.training_sides import RECIPE, rows_of
    from training import engine, losses, packing
    from training.base_model import describe
    from training.config import load_recipe

    recipe, pad_id = load_recipe(RECIPE), describe(base).pad_id
    rows = rows_of("mix", base, data, 0, 8)
    model = engine.with_adapter(engine.load_base(base, recipe.sft, 1), recipe.lora, recipe.sft, None).eval()
    lines = []
    for how in ("sdpa_by_row", "sdpa", "eager"):
        model.get_base_model().set_attn_implementation(how)
        with torch.no_grad():
            alone = torch.cat([losses.token_nll(model, packing.collate([[row]], pad_id))[0][0] for row in rows])
            ordered = [part.row for part in packing.parts(rows)]
            order = [rows.index(row) for row in ordered]
            sizes = torch.tensor([row.trained for row in rows])
            starts = torch.cat([torch.zeros(1, dtype=torch.long), sizes.cumsum(0)])
            wanted = torch.cat([alone[starts[place] : starts[place + 1]] for place in order])
            packed = losses.token_nll(model, packing.collate([rows], pad_id))[0][0]
            batch = packing.collate([[row] for row in rows], pad_id)
            padded = losses.token_nll(model, batch)[0].sum() / sizes.sum()
        apart = float((packed - wanted).abs().max())
        mean = float((packed.sum() / sizes.sum() - wanted.mean()).abs())
        lines += [
            Line(f"{how}: mean loss per token, packed against alone", f"{mean:.1e}", "<= 1e-5", mean <= 1e-5),
            Line(f"{how}: mean loss per token, padded against alone", f"{float((padded - wanted.mean()).abs()):.1e}", "<= 1e-5",
                 float((padded - wanted.mean()).abs()) <= 1e-5),
            Line(f"{how}: worst single token, packed against alone", f"{apart:.1e}"),
        ]  # fmt: skip
    return lines


def preference_line(base: Path, data: Path) -> Line:
    """The first loss of DPO is ln 2."""
    from benchmarks.training_sides import RECIPE
    from training import engine, preference, rows
    from training.base_model import describe, template_of
    from training.config import load_recipe
    from training.render import tokenizer_of

    recipe, pad_id = load_recipe(RECIPE), describe(base).pad_id
    settings = recipe.preference
    table = rows.of_split(rows.read_table("preference", data), "train").head(4)
    found = rows.pairs(table, tokenizer_of(base), template_of(base), settings.sequence_length).rows
    model = engine.with_adapter(engine.load_base(base, settings, 1), recipe.lora, settings, None)
    scored = preference.with_reference(model, [preference.fold(pair) for pair in found], pad_id)
    first = preference.evaluate(model, scored, settings, pad_id)["loss"]
    off = abs(first - math.log(2))
    return Line("first DPO loss less ln 2", f"{off:.1e}", "<= 1e-4", off <= 1e-4)


def start_lines(base: Path, data: Path) -> list[Line]:
    """From the start of a stage's process to its first step, and what preparing a base that is prepared costs."""
    from benchmarks.training_sides import RECIPE

    with tempfile.TemporaryDirectory() as folder:
        line = [
            sys.executable,
            "-m",
            "training.sft",
            str(RECIPE),
            "--data",
            str(data),
            "--base",
            str(base),
            "--out",
            folder,
        ]
        started = time.monotonic()
        running = subprocess.Popen(
            line, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, text=True, cwd=ROOT, env=environment()
        )
        seen: dict[str, float] = {}
        for said in running.stderr or []:
            for mark in ("steps on", "step 1/"):
                if mark in said and mark not in seen:
                    seen[mark] = time.monotonic() - started
            if "step 1/" in seen:
                break
        running.kill()
        running.wait()
        if running.stderr:
            running.stderr.close()
    started = time.monotonic()
    prepare(str(base), base.parent)
    again = time.monotonic() - started
    ready = seen.get("steps on", math.inf)
    return [
        Line("start of the process to the first step, validation before it included, s", f"{ready:.1f}", "<= 20", ready <= 20),
        Line("the first step itself, s", f"{seen.get('step 1/', math.inf) - ready:.1f}"),
        Line("preparing a base that is prepared, s", f"{again:.2f}"),
    ]  # fmt: skip


def profile_lines(home: Path) -> list[Line]:
    """What the sample profile's own finished adapters reached, by the tables of its lake."""
    lake = home / "sample" / "lake"
    made = record_of(lake, "sft")
    lines = (
        [Line("sample, SFT loop, s", f"{made['duration_s']:.0f}", "<= 180", made["duration_s"] <= 180)] if made else []
    )
    for metric, bar, most in (
        ("exact_normalised", 0.70, False), ("false_call_rate", 0.05, True), ("unknown_tool_rate", 0.05, True),
    ):  # fmt: skip
        lines.append(
            held(f"sample, tool calls after SFT: {metric}", figure(lake, "tool_calls", "sft", metric), bar, most)
        )
    for arm, name, bar in (("dapt", "passages", 0.93), ("preference", "neutral", 1.02)):
        base, tuned = (figure(lake, "perplexity", each, f"perplexity_{name}") for each in ("base", arm))
        ratio = (tuned[0] / base[0], None, None, tuned[3]) if base and tuned else None
        lines.append(held(f"sample, perplexity on {name}, {arm} over base", ratio, bar, True))
    return lines


def held(what: str, found: tuple[float, float | None, float | None, int] | None, bar: float, most: bool) -> Line:
    """A figure held to the most or the least that it may be."""
    if found is None:
        return Line(what, "not run")
    value, low, high, n = found
    interval = f" [{low:.2f}, {high:.2f}]" if low is not None and high is not None else ""
    sign = "<=" if most else ">="
    return Line(f"{what}, n={n}", f"{value:.3f}{interval}", f"{sign} {bar}", value <= bar if most else value >= bar)


def record_of(lake: Path, stage: str) -> dict[str, Any]:
    """The record of recipe `default`; empty where there is none."""
    for path in (lake / "adapters" / stage).rglob("part-0.parquet"):
        rows = pl.read_parquet(path, hive_partitioning=False).filter(pl.col("recipe") == "default")
        if rows.height:
            return dict(json.loads(rows["record"][0]))
    return {}


def figure(lake: Path, name: str, arm: str, metric: str) -> tuple[float, float | None, float | None, int] | None:
    """A metric's value, interval and n."""
    for path in (lake / "evals" / name).rglob("part-0.parquet"):
        if "default" not in str(path):
            continue
        rows = pl.read_parquet(path, hive_partitioning=False)
        rows = rows.filter((pl.col("kind") == "metric") & (pl.col("name") == metric) & (pl.col("arm") == arm))
        if rows.height and rows["value"][0] is not None:
            row = rows.row(0, named=True)
            return float(row["value"]), row["low"], row["high"], int(row["n"] or 0)
    return None


def machine() -> str:
    """Cores, threads and load."""
    import torch

    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    return f"{os.cpu_count()} cores, {torch.get_num_threads()} threads, torch {torch.__version__}, load {load:.1f}"


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument(
        "--home", type=Path, default=ROOT / "data", help="where `twainbot run --profile sample` left its data"
    )
    parser.add_argument("--peers", type=Path, help="folder with trl")
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--steps", type=int, default=8, help="of 4 x 256 tokens")
    parser.add_argument("--dialogues", type=int, default=32)
    given = parser.parse_args()
    given.base = next(iter(sorted((given.home / "models").glob("smollm2-*"))), None)
    if given.base is None:
        sys.exit(f"{given.home}/models holds no SmolLM2. Run `make run` first, or name the home with --home.")
    with tempfile.TemporaryDirectory() as folder:
        given.data = Path(folder)
        for table, name in (("dapt", "dapt"), ("sft", "sft"), ("preferences", "preferences")):
            found = sorted((given.home / "sample" / "lake" / "splits" / table).rglob("part-0.parquet"))
            pl.concat([pl.read_parquet(path, hive_partitioning=False) for path in found]).write_parquet(
                given.data / f"{name}.parquet"
            )
        print(f"Before: {machine()}.\n")
        report(given)
        print(f"\nAfter: {machine()}.")


def report(given: argparse.Namespace) -> None:
    """All tables, each as soon as it is measured."""
    from transformers import AutoConfig

    config = AutoConfig.from_pretrained(given.base, local_files_only=True)
    ceilings = [gemm_ceiling(config)]
    block = costs("block", given)
    ceilings.append(gemm_ceiling(config))
    print(side_table("block", block), flush=True)
    mix = costs("mix", given)
    print(side_table("mix", mix), flush=True)
    lines = [
        *speed_lines(block, mix),
        *arithmetic_lines(given.base, block, ceilings),
        *exactness_lines(given.base, given.data),
        preference_line(given.base, given.data),
        *start_lines(given.base, given.data),
        *profile_lines(given.home),
    ]
    print(as_table(lines), end="", flush=True)


if __name__ == "__main__":
    main()
