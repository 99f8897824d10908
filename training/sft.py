"""Supervised fine-tuning: the adapter learns to answer, and when to call the tool, from dialogues.

python -m training.sft training/configs/sample/default.yaml --data DIR --base DIR --out DIR --init-adapter DIR
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from typing import Any

from training import auto, engine, epoch_scores, losses, packing, preflight, record, retention, rows, start
from training.base_model import describe, template_of
from training.command import Arguments, Report, parse, run
from training.config import load_recipe
from training.render import tokenizer_of, turn_marks
from training.trouble import guarded

STAGE = "sft"


@guarded
def main(arguments: Arguments, report: Report) -> dict[str, Any]:
    """Train the stage and return its record. Raises BadInput from the preflight gate, Diverged from the loop."""
    recipe = load_recipe(arguments.config)
    settings = recipe.sft

    # data
    table = rows.read_table(STAGE, arguments.data)
    tokenizer, template = tokenizer_of(arguments.base), template_of(arguments.base)
    base_info = describe(arguments.base)
    pad_id = base_info.pad_id
    chosen = rows.choose_for_sft(rows.of_split(table, "train"), recipe.seed, settings)
    train = rows.dialogues(chosen, tokenizer, template, settings.sequence_length, settings.opening_tokens)
    held_out = rows.held_out(table, recipe.seed, settings.validation_rows, settings)
    validation = rows.dialogues(held_out, tokenizer, template, settings.sequence_length)
    lines = packing.pack(train.rows, settings.line_length)
    checked = packing.pack(validation.rows, settings.line_length)
    planned = preflight.plan(settings, train, train.rows, len(lines))
    preflight.check(planned, settings, train)
    preflight.check_end_of_turn(train.whole, base_info.eos_id)
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
    report(f"{STAGE}: {planned.steps} steps on {planned.rows} dialogues, validation loss {before:.4f} before")
    weighing = losses.Weighing(
        turn_marks(tokenizer, template), settings.decision_weight, settings.begin_weight, settings.end_weight
    )
    listen = epoch_scores.listener(model, STAGE, recipe, arguments.data, tokenizer, template, base_info.eos_id)
    objective = engine.Objective(
        collate=lambda batch: packing.collate(batch, pad_id),
        loss_of=losses.token_loss(weighing),
        score=lambda: engine.mean_nll(model, checked, pad_id),
        listen=listen,
    )
    this_run = engine.Run(STAGE, recipe.seed, work, report)
    fitted = engine.fit(model, lines, settings, planned, objective, this_run)

    # record
    metrics = {
        "validation_loss_before": before,
        "validation_loss_after": fitted.best_loss,
        **retention.earlier_losses(model, STAGE, recipe, arguments.data, tokenizer, template, pad_id),
    }
    made = record.compose(parents, planned, fitted, metrics, box.record)
    sees = {"passes": planned.steps / planned.epoch_steps, "rows": [asdict(part) for part in rows.seen(chosen, train)]}
    under = start.merged_before(recipe, arguments.init_adapter)
    return record.publish(model, arguments.out, {**made, "seen": sees}, under)


if __name__ == "__main__":
    sys.exit(run(main, parse(STAGE)))
