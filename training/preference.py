"""Direct preference optimisation (Rafailov et al. 2023): chosen replies gain on rejected ones, measured against a reference.

    python -m training.preference training/configs/sample/default.yaml --data DIR --base DIR --out DIR --init-adapter DIR

The reference is the policy that the stage starts from, so the first loss is ln 2. Its log-probabilities do not change
and are computed once, and prompt tokens once for both replies: this is why it runs on engine.py and not on TRL, which does
either anew.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from training import engine, preflight, record, retention, rows
from training.base_model import describe, template_of
from training.command import Arguments, Report, parse, run
from training.config import load_recipe
from training.render import IGNORED, tokenizer_of
from training.rows import PairRow

STAGE = "preference"


PREFIX, CHOSEN, REJECTED, PADDING = range(4)  # segments of a folded pair


@dataclass(frozen=True)
class FoldedPair:
    """A pair as one row: the tokens that both sides share once, then how each side goes on.

    Both continuations begin with the last shared token, so that their first own token is predicted from it.
    """

    ids: list[int]
    labels: list[int]
    positions: list[int]
    segments: list[int]  # PREFIX, CHOSEN or REJECTED for each token
    reference: tuple[float, float] = (0.0, 0.0)  # the reference's summed log-probabilities of chosen and rejected

    @property
    def trained(self) -> int:
        """Tokens on which loss is taken."""
        return sum(label != IGNORED for label in self.labels)


def fold(pair: PairRow) -> FoldedPair:
    """The pair as one row: for short replies to long prompts little more than half of the tokens."""
    both = zip(pair.chosen.ids, pair.rejected.ids, pair.chosen.labels, strict=False)
    shared = sum(1 for _ in takewhile(lambda item: item[0] == item[1] and item[2] == IGNORED, both)) - 1
    sides = (pair.chosen, pair.rejected)
    return FoldedPair(
        ids=pair.chosen.ids[:shared] + [token for side in sides for token in side.ids[shared:]],
        labels=[IGNORED] * shared + [label for side in sides for label in [IGNORED, *side.labels[shared + 1 :]]],
        positions=[*range(shared), *(place for side in sides for place in range(shared, len(side.ids)))],
        segments=[PREFIX] * shared + [name for name, side in enumerate(sides, CHOSEN) for _ in side.ids[shared:]],
    )


def collate(pairs: Sequence[FoldedPair], pad_id: int) -> engine.Batch:
    """`input_ids`, `labels`, `position_ids`, `segments` (B, T), `attention_mask` (B, 1, T, T) and `reference` (B, 2).

    A token sees those before it in its own segment and in the prefix. This mask is whole, unlike one of padding only.
    """
    width = max(len(pair.ids) for pair in pairs)

    def padded(values: Callable[[FoldedPair], list[int]], fill: int) -> Tensor:
        return torch.tensor([values(pair) + [fill] * (width - len(pair.ids)) for pair in pairs])

    segments = padded(lambda pair: pair.segments, PADDING)
    seen = (segments[:, :, None] == segments[:, None, :]) | (segments[:, None, :] == PREFIX)
    return {
        "input_ids": padded(lambda pair: pair.ids, pad_id),
        "labels": padded(lambda pair: pair.labels, IGNORED),
        "position_ids": padded(lambda pair: pair.positions, 0),
        "segments": segments,
        "attention_mask": (seen & torch.ones(width, width, dtype=torch.bool).tril())[:, None],
        "reference": torch.tensor([pair.reference for pair in pairs]),
    }


def reply_logps(model: torch.nn.Module, batch: engine.Batch) -> Tensor:
    """Summed log-probabilities (B, 2) of the chosen and the rejected reply of each pair."""
    nll, positions = engine.token_nll(model, batch)
    segments = batch["segments"][:, positions]
    return -torch.stack([(nll * (segments == side)).sum(dim=1) for side in (CHOSEN, REJECTED)], dim=1)


def margins(model: torch.nn.Module, batch: engine.Batch, beta: float) -> Tensor:
    """Reward margins (B,): beta times how much more than the reference the model prefers the chosen reply."""
    gained = reply_logps(model, batch) - batch["reference"]
    return beta * (gained[:, 0] - gained[:, 1])


def dpo_loss(margin: Tensor) -> Tensor:
    """-log sigmoid of the margins, averaged: ln 2 where the model equals its reference."""
    return -functional.logsigmoid(margin).mean()


@torch.no_grad()
def with_reference(model: torch.nn.Module, pairs: Sequence[FoldedPair], pad_id: int) -> list[FoldedPair]:
    """The pairs with the present model's log-probabilities as reference."""
    model.eval()
    scored = []
    for pair in pairs:
        chosen, rejected = reply_logps(model, engine.on_device(collate([pair], pad_id), model))[0].tolist()
        scored.append(replace(pair, reference=(chosen, rejected)))
    return scored


@torch.no_grad()
def evaluate(model: torch.nn.Module, pairs: Sequence[FoldedPair], beta: float, pad_id: int) -> dict[str, float]:
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
    folded = [fold(pair) for pair in train.rows]
    planned = preflight.plan(settings, train, folded, len(folded))
    preflight.check(planned, settings, train)
    preflight.check_end_of_turn(sides, base_info.eos_id)
    preflight.check_validation(validation.rows)

    # model and reference
    parents = record.parents(STAGE, recipe, table, arguments.base, arguments.init_adapter)
    work = engine.clear_other_runs(arguments.out / "checkpoints", parents["fingerprint"])
    base = engine.load_base(arguments.base, settings, recipe.seed)
    model = engine.with_adapter(base, recipe.lora, settings, arguments.init_adapter)
    train_pairs = with_reference(model, folded, pad_id)
    checked = with_reference(model, [fold(pair) for pair in validation.rows], pad_id)

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
        **retention.earlier_losses(model, STAGE, recipe, arguments.data, tokenizer, template, pad_id),
    }
    return record.publish(model, arguments.out, record.compose(parents, planned, fitted, metrics))


if __name__ == "__main__":
    sys.exit(run(main, parse(STAGE)))
