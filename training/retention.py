"""What an adapter still knows of the stages before the present one: their validation losses, measured again.

The same rows and the same loss as those stages used, so the figures compare with the ones in their records.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tokenizers import Tokenizer

from training import engine, packing, rows
from training.config import STAGES, Recipe
from training.render import Template

_TOKEN_STAGES = ("dapt", "sft")  # those whose loss is a mean over tokens


def earlier_losses(
    model: Any, stage: str, recipe: Recipe, data_dir: Path, tokenizer: Tokenizer, template: Template, pad_id: int
) -> dict[str, float]:
    """`<stage>_validation_loss_after` in nats per token for each stage before `stage` whose table lies in the folder."""
    found: dict[str, float] = {}
    for earlier in _TOKEN_STAGES[: STAGES.index(stage)]:
        if not (data_dir / rows.TABLES[earlier][0]).is_file():
            continue
        settings = recipe.dapt if earlier == "dapt" else recipe.sft
        held_out = rows.held_out(rows.read_table(earlier, data_dir), recipe.seed, settings.validation_rows, settings)
        if earlier == "dapt":
            loaded = rows.passages(held_out, tokenizer, settings.sequence_length)
        else:
            loaded = rows.dialogues(held_out, tokenizer, template, settings.sequence_length)
        lines = packing.pack(loaded.rows, settings.line_length)
        if lines:
            found[f"{earlier}_validation_loss_after"] = engine.mean_nll(model, lines, pad_id)
    return found
