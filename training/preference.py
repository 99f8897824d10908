"""Direct preference optimisation (Rafailov et al. 2023): chosen replies gain on rejected ones, measured against a reference.

    python -m training.preference training/configs/sample/default.yaml --data DIR --base DIR --out DIR --init-adapter DIR

The reference is the policy that the stage starts from, so the first loss is ln 2. Its log-probabilities do not change
and are computed once, which is why this runs on engine.py and not on TRL, which computes them at every step.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training import engine, preflight, record, rows
from training.base_model import describe, template_of
from training.command import Arguments, Report, parse, run
from training.config import load_recipe
from training.render import tokenizer_of
from training.rows import PairRow

STAGE = "preference"


@dataclass(frozen=True)
class ScoredPair:
    """A pair with the reference's summed log-probabilities, in nats, of its two replies."""

    pair: PairRow
    chosen: float
    rejected: float


def collate(pairs: Sequence[ScoredPair], pad_id: int) -> engine.Batch:
    """A line per pair, chosen reply first, and `reference` (B, 2): log-probabilities of chosen and rejected."""
    batch = engine.collate([[scored.pair.chosen, scored.pair.rejected] for scored in pairs], pad_id)
    batch["reference"] = torch.tensor([[scored.chosen, scored.rejected] for scored in pairs])
    return batch


def reply_logps(model: torch.nn.Module, batch: engine.Batch) -> Tensor:
    """Summed log-probabilities (B, 2) of the chosen and the rejected reply of each line."""
    nll, positions = engine.token_nll(model, batch)
    row_number = (batch["position_ids"] == 0).cumsum(dim=1)[:, positions]  # 1 chosen, 2 rejected, 3 padding
    return -torch.stack([(nll * (row_number == side)).sum(dim=1) for side in (1, 2)], dim=1)


def margins(model: torch.nn.Module, batch: engine.Batch, beta: float) -> Tensor:
    """Reward margins (B,): beta times how much more than the reference the model prefers the chosen reply."""
    gained = reply_logps(model, batch) - batch["reference"]
    return beta * (gained[:, 0] - gained[:, 1])


def dpo_loss(margin: Tensor) -> Tensor:
    """-log sigmoid of the margins, averaged: ln 2 where the model equals its reference."""
    return -functional.logsigmoid(margin).mean()


@torch.no_grad()
def with_reference(model: torch.nn.Module, pairs: Sequence[PairRow], pad_id: int) -> list[ScoredPair]:
    """The pairs with the present model's log-probabilities as reference."""
    model.eval()
    scored = []
    for pair in pairs:
        batch = engine.on_device(collate([ScoredPair(pair, 0.0, 0.0)], pad_id), model)
        chosen, rejected = reply_logps(model, batch)[0].tolist()
        scored.append(ScoredPair(pair, chosen, rejected))
    return scored


@torch.no_grad()
def evaluate(model: torch.nn.Module, pairs: Sequence[ScoredPair], beta: float, pad_id: int) -> dict[str, float]:
    """Mean loss, mean margin and the share of pairs (0..1) whose chosen reply gained on the rejected one."""
    model.eval()
    batches = [engine.on_device(collate([pair], pad_id), model) for pair in pairs]
    found = torch.cat([margins(model, batch, beta) for batch in batches])
    return {
        "loss": float(dpo_loss(found)),
        "margin": float(found.mean()),
        "accuracy": float((found > 0).float().mean()),
    }


def main(arguments: Arguments, report: Report) -> dict[str, Any]:
    """Train the stage and return its record. Raises BadInput from the preflight gate, Diverged from the loop."""
    recipe = load_recipe(arguments.config)
    settings = recipe.preference

    # data
    table = rows.read_table(STAGE, arguments.data)
    tokenizer, template = tokenizer_of(arguments.base), template_of(arguments.base)
    base_info = describe(arguments.base)
    pad_id = base_info.pad_id
    drawn = rows.draw(rows.of_split(table, "train"), recipe.seed)
    drawn = drawn.head(settings.max_rows or drawn.height)
    train = rows.pairs(drawn, tokenizer, template, settings.sequence_length)
    held_out = rows.held_out(table, recipe.seed, settings.validation_rows)
    validation = rows.pairs(held_out, tokenizer, template, settings.sequence_length)
    sides = [side for pair in train.rows for side in (pair.chosen, pair.rejected)]
    planned = preflight.plan(settings, train, sides, len(train.rows))
    preflight.check(planned, settings, train)
    preflight.check_end_of_turn(sides, base_info.eos_id)
    preflight.check_validation(validation.rows)

    # model and reference
    parents = record.parents(STAGE, recipe, table, arguments.base, arguments.init_adapter)
    work = engine.clear_other_runs(arguments.out / "checkpoints", parents["fingerprint"])
    base = engine.load_base(arguments.base, settings, recipe.seed)
    model = engine.with_adapter(base, recipe.lora, settings, arguments.init_adapter)
    train_pairs = with_reference(model, train.rows, pad_id)
    checked = with_reference(model, validation.rows, pad_id)

    # loop
    report(f"{STAGE}: {planned.steps} steps on {planned.rows} pairs, reference scored")
    objective = engine.Objective(
        collate=lambda batch: collate(batch, pad_id),
        loss_of=lambda policy, batch, _: dpo_loss(margins(policy, batch, settings.beta)),
        scaled=False,
        score=lambda: evaluate(model, checked, settings.beta, pad_id)["loss"],
    )
    this_run = engine.Run(STAGE, recipe.seed, work, report)
    fitted = engine.fit(model, train_pairs, settings, planned, objective, this_run)

    # record
    after = evaluate(model, checked, settings.beta, pad_id)
    metrics = {
        "validation_loss_before": float(dpo_loss(torch.zeros(1))),
        "validation_loss_after": after["loss"],
        "validation_margin_after": after["margin"],
        "validation_accuracy_after": after["accuracy"],
    }
    return record.publish(model, arguments.out, record.compose(parents, planned, fitted, metrics))


if __name__ == "__main__":
    sys.exit(run(main, parse(STAGE)))
