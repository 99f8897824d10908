"""What a pair costs under DPO, ORPO and KTO: plain functions of log-probabilities. Reading the pairs is preference.py's.

Sides of a pair stand in columns: chosen, rejected and, for KTO, a reply to another prompt that gauges how far the policy
has moved at all. logps, reference: (B, sides), summed over a reply's tokens; counts: (B, sides), those tokens.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

CHOSEN, REJECTED, OTHER = range(3)

LossOf: TypeAlias = Callable[[Tensor, Tensor, Tensor, float], Tensor]  # logps, reference, counts, beta -> (B,)


def dpo(logps: Tensor, reference: Tensor, _counts: Tensor, beta: float) -> Tensor:
    """Rafailov et al. 2023: -log sigmoid of the margin by which the chosen reply gained; ln 2 at the reference."""
    gained = beta * (logps - reference)
    return -functional.logsigmoid(gained[:, CHOSEN] - gained[:, REJECTED])


def orpo(logps: Tensor, _reference: Tensor, counts: Tensor, beta: float) -> Tensor:
    """Hong et al. 2024: the chosen reply's mean loss a token, and beta times -log sigmoid of the log odds ratio.

    Odds are of a reply's mean token probability, so they need no reference.
    """
    means = logps / counts
    log_odds = means - torch.log1p(-means.exp().clamp(max=1 - 1e-6))  # a certain reply has no finite odds
    return -means[:, CHOSEN] - beta * functional.logsigmoid(log_odds[:, CHOSEN] - log_odds[:, REJECTED])


def kto(logps: Tensor, reference: Tensor, _counts: Tensor, beta: float) -> Tensor:
    """Ethayarajh et al. 2024: each reply judged alone against a zero point that takes no gradient; 1/2 at the reference.

    The zero point is how much more than the reference the policy gives to replies of other prompts, 0 at least, as the mean
    of the B pairs: in training those of a micro batch, since all of a step would have to be scored before any is learnt from.
    Both kinds of reply weigh the same, as each pair brings one of each.
    """
    gained = beta * (logps - reference)
    zero = gained[:, OTHER].detach().mean().clamp(min=0)
    desirable, undesirable = gained[:, CHOSEN] - zero, zero - gained[:, REJECTED]
    return 1 - (torch.sigmoid(desirable) + torch.sigmoid(undesirable)) / 2


@dataclass(frozen=True)
class Objective:
    """One way to learn from pairs, and what it needs."""

    loss: LossOf
    sides: int  # columns that it reads
    has_reference: bool


OBJECTIVES: Mapping[str, Objective] = {
    "dpo": Objective(dpo, 2, True),
    "orpo": Objective(orpo, 2, False),
    "kto": Objective(kto, 3, True),
}
