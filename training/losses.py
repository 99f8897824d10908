"""What a stage minimises on tokens: the words of assistant turns, whether a turn calls at all, and where it ends."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from training import attention
from training.packing import Batch
from training.render import IGNORED, TurnMarks

# Of a model, a batch, and the items of the whole step: trained tokens, or pairs.
LossOf: TypeAlias = Callable[[torch.nn.Module, Batch, Any], Tensor]


@dataclass(frozen=True)
class Weighing:
    """What counts in an assistant turn beside its words, each of which counts once."""

    marks: TurnMarks
    decision: float = 0.0  # weight of a line's mean loss on how a turn begins, beside its mean over tokens
    begin: float = 1.0  # weight of the token by which a turn begins as a call or as words
    end: float = 1.0  # weight of the token that ends a turn, without which a small model never stops talking


def predictions(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor, Tensor]:
    """Logits (B, K, V), wanted tokens (B, K), IGNORED where unlabelled, and the K positions of the predicted tokens.

    Logits are computed at those positions only: on short replies to long prompts that saves most of the LM head.
    """
    # use_cache=False is part of the packing: with a cache transformers does not look for rows in the position ids.
    targets = batch["labels"][:, 1:]
    kept = (targets != IGNORED).any(dim=0).nonzero().squeeze(1)
    inputs = {name: batch[name] for name in ("input_ids", "position_ids")}
    logits = model(
        **inputs, **attention.masks(model, batch["position_ids"]), use_cache=False, logits_to_keep=kept
    ).logits
    return logits.float(), targets[:, kept], kept + 1


def nll_of(logits: Tensor, wanted: Tensor) -> Tensor:
    """Negative log-likelihoods (B, K), 0 where unlabelled."""
    flat = functional.cross_entropy(logits.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED, reduction="none")
    return flat.view_as(wanted)


def token_nll(model: torch.nn.Module, batch: Batch) -> tuple[Tensor, Tensor]:
    """Negative log-likelihoods (B, K), 0 where unlabelled, and the K positions of the predicted tokens."""
    logits, wanted, positions = predictions(model, batch)
    return nll_of(logits, wanted), positions


def token_loss(weighing: Weighing | None = None) -> LossOf:
    """The mean cross entropy of the labelled tokens of an optimizer step, as a loss for `Objective`."""

    def loss_of(model: torch.nn.Module, batch: Batch, trained_tokens: Any) -> Tensor:
        logits, wanted, positions = predictions(model, batch)
        total = nll_of(logits, wanted)
        if weighing is None:
            return total.sum() / trained_tokens
        deciding, ending = turns(batch["labels"], weighing.marks)
        at, last = deciding[:, positions], ending[:, positions]
        counted = torch.where(last, weighing.end, torch.where(at, weighing.begin, 1.0))
        summed = (total * counted).sum()
        if weighing.decision and bool(at.any()):
            asked = decision_nll(logits[at], wanted[at], weighing.marks.call, weighing.marks.data)
            summed = summed + weighing.decision * by_line(asked, at, wanted != IGNORED)
        return summed / trained_tokens

    return loss_of


def by_line(asked: Tensor, at: Tensor, trained: Tensor) -> Tensor:
    """Sum over lines of the mean of a line's decisions, times its trained tokens, for a mean over tokens follows.

    So a line of short talk and a line of long calls pull equally; by tokens, talk pulled nine times as hard, and which
    lines came last settled whether the model called. asked (D,) at the places of `at` (B, K); trained (B, K).
    """
    line = at.nonzero()[:, 0]
    sums = asked.new_zeros(len(at)).index_add(0, line, asked)
    return (sums / at.sum(dim=1).clamp(min=1) * trained.sum(dim=1)).sum()


def turns(labels: Tensor, marks: TurnMarks) -> tuple[Tensor, Tensor]:
    """Where an assistant turn tells a call from words, and where one ends, both (B, T). A turn is a run of labels."""
    trained = labels != IGNORED
    begins = trained & ~functional.pad(trained[:, :-1], (1, 0))
    deciding = functional.pad(begins, (marks.offset, 0))[:, : labels.shape[1]] & trained
    last = trained & ~functional.pad(trained[:, 1:], (0, 1))
    return deciding, last & torch.isin(labels, torch.tensor(marks.ends, device=labels.device))


def decision_nll(logits: Tensor, wanted: Tensor, call: int, data: Sequence[int] = ()) -> Tensor:
    """What greedy decoding will do at the first token: (D,) logistic losses of the call against the likeliest word.

    Words begin in a thousand ways, each unlikely, so cross entropy alone leaves the call the likeliest single beginning
    even where it is well known to be wrong. So it does with the bracket by which a tool's answer is repeated: where words
    are wanted, the likeliest token of `data` has a loss of its own against the likeliest word. Only the logits of the call
    and of data are moved: with the likeliest word's, half of all replies soon began with that word, and ended as loops.
    A call is the token `call`; logits (D, V), wanted (D,).
    """
    calls = wanted == call
    fixed = logits.detach()
    others = fixed.index_fill(1, torch.tensor([call], device=logits.device), -torch.inf)
    lead = logits[:, call] - others.amax(dim=1)
    asked = functional.softplus(torch.where(calls, -lead, lead))
    if not data:
        return asked
    opens = torch.tensor(data, device=logits.device)
    words = others.index_fill(1, opens, -torch.inf).amax(dim=1)
    echoed = functional.softplus(logits[:, opens].amax(dim=1) - words)
    return asked + torch.where(calls | torch.isin(wanted, opens), 0.0, echoed)
