"""Domain-adaptive pretraining: a new adapter learns to predict the passages.

python -m training.dapt training/configs/sample/default.yaml --data DIR --base DIR --out DIR
"""

from __future__ import annotations

import math
import sys
from typing import Any

from training import auto, engine, losses, packing, preflight, record, rows, start
from training.base_model import describe
from training.command import Arguments, Report, parse, run
from training.config import load_recipe
from training.render import tokenizer_of
from training.trouble import guarded

STAGE = "dapt"


@guarded
def main(arguments: Arguments, report: Report) -> dict[str, Any]:
    """Train the stage and return its record. Raises BadInput from the preflight gate, Diverged from the loop."""
    recipe = load_recipe(arguments.config)
    settings = recipe.dapt

    # data
    table = rows.read_table(STAGE, arguments.data)
    tokenizer = tokenizer_of(arguments.base)
    base_info = describe(arguments.base)
    pad_id = base_info.pad_id
    chosen = rows.choose_passages(rows.of_split(table, "train"), recipe.seed, settings)
    train = rows.passages(chosen, tokenizer, settings.sequence_length)
    held_out = rows.held_out(table, recipe.seed, settings.validation_rows, settings)
    validation = rows.passages(held_out, tokenizer, settings.sequence_length)
    lines = packing.pack(train.rows, settings.line_length)
    checked = packing.pack(validation.rows, settings.line_length)
    planned = preflight.plan(settings, train, train.rows, len(lines))
    preflight.check(planned, settings, train)
    preflight.check_validation(checked)

    # model
    parents = record.parents(STAGE, recipe, table, arguments.base, arguments.init_adapter)
    work = engine.clear_other_runs(arguments.out / "checkpoints", parents["fingerprint"])
    laid, held = ([packing.parts(line) for line in found] for found in (lines, checked))
    box = auto.settle(STAGE, settings, recipe.lora, arguments.base, laid, held, planned, work, report)
    settings = box.settings
    base = engine.load_base(arguments.base, settings, recipe.seed)
    model = start.begin(base, recipe, settings, base_info, arguments.init_adapter)

    # loop
    before = engine.mean_nll(model, checked, pad_id)
    report(f"{STAGE}: {planned.steps} steps, validation perplexity {math.exp(before):.2f} before")
    objective = engine.Objective(
        collate=lambda batch: packing.collate(batch, pad_id),
        loss_of=losses.token_loss(),
        score=lambda: engine.mean_nll(model, checked, pad_id),
    )
    this_run = engine.Run(STAGE, recipe.seed, work, report)
    fitted = engine.fit(model, lines, settings, planned, objective, this_run)

    # record
    metrics = {
        "validation_loss_before": before,
        "validation_loss_after": fitted.best_loss,
        "validation_perplexity_before": math.exp(before),
        "validation_perplexity_after": math.exp(fitted.best_loss),
    }
    done = record.compose(parents, planned, fitted, metrics, box.record)
    report(f"{STAGE}: validation perplexity {metrics['validation_perplexity_after']:.2f} after")
    return record.publish(model, arguments.out, done, start.merged_before(recipe, arguments.init_adapter))


if __name__ == "__main__":
    sys.exit(run(main, parse(STAGE)))
