"""Preference optimisation: chosen replies gain on rejected ones, by DPO, ORPO or KTO as the recipe says.

    python -m training.preference training/configs/sample/default.yaml --data DIR --base DIR --out DIR --init-adapter DIR

The reference of DPO and KTO is the policy that the stage starts from, so DPO's first loss is ln 2. Its log-probabilities
do not change and are computed once, and prompt tokens once for all replies: this is why it runs on engine.py and not on
TRL, which does either anew. Nothing is dropped: a policy with dropout is another one than its reference from the start.
What a pair costs stands in preference_loss.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import takewhile
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from training import (
    auto,
    engine,
    epoch_scores,
    losses,
    packing,
    preference_loss,
    preflight,
    record,
    retention,
    rows,
    start,
)
from training.base_model import describe, template_of
from training.command import Arguments, Report, parse, run
from training.config import Preference, load_recipe
from training.preference_loss import OBJECTIVES
from training.render import IGNORED, tokenizer_of
from training.rows import PairRow
from training.trouble import guarded

STAGE = "preference"

# segments of a folded pair: what its sides share, and the sides; SIDES[n] is column n of preference_loss.py
PREFIX, CHOSEN, REJECTED, OTHER, PADDING = range(5)
SIDES = (CHOSEN, REJECTED, OTHER)


@dataclass(frozen=True)
class FoldedPair:
    """A pair as one row: the tokens that its sides share once, then how each side goes on.

    All continuations begin with the last shared token, so that their first own token is predicted from it.
    """

    ids: list[int]
    labels: list[int]
    positions: list[int]
    segments: list[int]  # PREFIX, CHOSEN, REJECTED or OTHER for each token
    reference: tuple[float, ...]  # the reference's summed log-probabilities of each side, 0 before it is scored

    @property
    def trained(self) -> int:
        """Tokens on which loss is taken."""
        return sum(label != IGNORED for label in self.labels)


def fold(pair: PairRow) -> FoldedPair:
    """The pair as one row: for short replies to long prompts little more than half of the tokens."""
    sides = pair.sides
    together = zip(pair.chosen.labels, *(side.ids for side in sides), strict=False)
    shared = sum(1 for _ in takewhile(lambda item: item[0] == IGNORED and len(set(item[1:])) == 1, together)) - 1
    return FoldedPair(
        ids=pair.chosen.ids[:shared] + [token for side in sides for token in side.ids[shared:]],
        labels=[IGNORED] * shared + [label for side in sides for label in [IGNORED, *side.labels[shared + 1 :]]],
        positions=[*range(shared), *(place for side in sides for place in range(shared, len(side.ids)))],
        segments=[PREFIX] * shared
        + [name for name, side in zip(SIDES, sides, strict=False) for _ in side.ids[shared:]],
        reference=(0.0,) * len(sides),
    )


def collate(pairs: Sequence[FoldedPair], pad_id: int) -> packing.Batch:
    """`input_ids`, `labels`, `position_ids`, `segments` (B, T) and `reference` (B, sides).

    By its position ids each side but the first is a branch of the line, as packing.py has them.
    """
    width = max(len(pair.ids) for pair in pairs)

    def padded(values: Callable[[FoldedPair], list[int]], fill: int) -> Tensor:
        return torch.tensor([values(pair) + [fill] * (width - len(pair.ids)) for pair in pairs])

    return {
        "input_ids": padded(lambda pair: pair.ids, pad_id),
        "labels": padded(lambda pair: pair.labels, IGNORED),
        "position_ids": torch.tensor([[*pair.positions, *range(width - len(pair.ids))] for pair in pairs]),
        "segments": padded(lambda pair: pair.segments, PADDING),
        "reference": torch.tensor([pair.reference for pair in pairs]),
    }


def reply_logps(model: torch.nn.Module, batch: packing.Batch) -> tuple[Tensor, Tensor]:
    """Summed log-probabilities of each pair's replies and their numbers of tokens, both (B, sides)."""
    nll, positions = losses.token_nll(model, batch)
    segments, trained = batch["segments"][:, positions], batch["labels"][:, positions] != IGNORED
    sides = SIDES[: batch["reference"].shape[1]]
    logps = -torch.stack([(nll * (segments == side)).sum(dim=1) for side in sides], dim=1)
    return logps, torch.stack([(trained & (segments == side)).sum(dim=1) for side in sides], dim=1)


def pairs_of(batch: packing.Batch) -> int:
    """Pairs of a micro batch."""
    return len(batch["reference"])


def loss(model: torch.nn.Module, batch: packing.Batch, settings: Preference, pairs: Tensor | int) -> Tensor:
    """The micro batch's part of the recipe's objective, whose mean over the step's pairs all parts together are."""
    logps, counts = reply_logps(model, batch)
    return OBJECTIVES[settings.objective].loss(logps, batch["reference"], counts, settings.beta).sum() / pairs


def without_dropout(model: PeftModel) -> PeftModel:
    """The model, which now computes in training what it computes as its own reference. What its config says is kept."""
    modules: Iterator[Any] = model.modules()
    for module in modules:
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
        elif "attention_dropout" in vars(module):  # a number, handed to the attention's function
            module.attention_dropout = 0.0
    return model


@torch.no_grad()
def with_reference(model: torch.nn.Module, pairs: Sequence[FoldedPair], pad_id: int) -> list[FoldedPair]:
    """The pairs with the present model's log-probabilities as reference."""
    model.eval()
    scored = []
    for pair in pairs:
        logps, _ = reply_logps(model, engine.on_device(collate([pair], pad_id), model))
        scored.append(replace(pair, reference=tuple(logps[0].tolist())))
    return scored


@torch.no_grad()
def evaluate(
    model: torch.nn.Module, pairs: Sequence[FoldedPair], settings: Preference, pad_id: int
) -> dict[str, float]:
    """Mean loss; mean margin, in nats times beta, and share of pairs (0..1) by which chosen gained on rejected replies.

    Gains count from the policy that the stage starts from, also where the objective itself has no reference.
    """
    model.eval()
    batches = [engine.on_device(collate([pair], pad_id), model) for pair in pairs]
    scored = [reply_logps(model, batch) for batch in batches]
    logps, counts = torch.cat([found for found, _ in scored]), torch.cat([found for _, found in scored])
    reference = torch.cat([batch["reference"] for batch in batches])
    gained = settings.beta * (logps - reference)
    margin = gained[:, preference_loss.CHOSEN] - gained[:, preference_loss.REJECTED]
    return {
        "loss": float(OBJECTIVES[settings.objective].loss(logps, reference, counts, settings.beta).mean()),
        "margin": float(margin.mean()),
        "accuracy": float((margin > 0).float().mean()),
    }


@guarded
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
    sides = OBJECTIVES[settings.objective].sides
    train = rows.pairs(drawn, tokenizer, template, settings.sequence_length, sides)
    held_out = rows.held_out(table, recipe.seed, settings.validation_rows)
    validation = rows.pairs(held_out, tokenizer, template, settings.sequence_length, sides)
    replies = [side for pair in train.rows for side in pair.sides]
    folded = [fold(pair) for pair in train.rows]
    planned = preflight.plan(settings, train, folded, len(folded))
    preflight.check(planned, settings, train)
    preflight.check_end_of_turn(replies, base_info.eos_id)
    preflight.check_validation(validation.rows)

    # model and reference
    parents = record.parents(STAGE, recipe, table, arguments.base, arguments.init_adapter)
    work = engine.clear_other_runs(arguments.out / "checkpoints", parents["fingerprint"])
    unscored = [fold(pair) for pair in validation.rows]
    each, checks = ([[pair] for pair in found] for found in (folded, unscored))  # a line holds one pair
    undropped = recipe.lora.model_copy(update={"dropout": 0.0})
    box = auto.settle(STAGE, settings, undropped, arguments.base, each, checks, planned, work, report)
    settings = box.settings
    base = engine.load_base(arguments.base, settings, recipe.seed)
    model = without_dropout(start.begin(base, recipe, settings, base_info, arguments.init_adapter))
    train_pairs = with_reference(model, folded, pad_id) if OBJECTIVES[settings.objective].has_reference else folded
    checked = with_reference(model, unscored, pad_id)

    # loop
    before = evaluate(model, checked, settings, pad_id)
    report(f"{STAGE}: {planned.steps} steps of {settings.objective} on {planned.rows} pairs")
    listen = epoch_scores.listener(model, STAGE, recipe, arguments.data, tokenizer, template, base_info.eos_id)
    objective = engine.Objective(
        collate=lambda batch: collate(batch, pad_id),
        loss_of=lambda policy, batch, pairs: loss(policy, batch, settings, pairs),
        score=lambda: evaluate(model, checked, settings, pad_id)["loss"],
        listen=listen,
        items=pairs_of,
    )
    this_run = engine.Run(STAGE, recipe.seed, work, report)
    fitted = engine.fit(model, train_pairs, settings, planned, objective, this_run)

    # record
    after = evaluate(model, checked, settings, pad_id)
    metrics = {
        "validation_loss_before": before["loss"],
        "validation_loss_after": after["loss"],
        "validation_margin_after": after["margin"],
        "validation_accuracy_after": after["accuracy"],
        **retention.earlier_losses(model, STAGE, recipe, arguments.data, tokenizer, template, pad_id),
    }
    done = {**record.compose(parents, planned, fitted, metrics, box.record), "dropout": undropped.dropout}
    return record.publish(model, arguments.out, done, start.merged_before(recipe, arguments.init_adapter))


if __name__ == "__main__":
    sys.exit(run(main, parse(STAGE)))
