"""Greedy decoding of many prompts that begin alike, as evaluation prompts do: persona and tools come first in each.

Every choice is the one that `generate` of transformers makes; two things save time. The tokens that all prompts share go
through the model once, and a row that has ended leaves its batch, where `generate` would drag it to the batch's end.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from itertools import takewhile
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Tensor

Ids = list[int]


def greedy(
    model: Any,
    prompts: Sequence[Ids],
    *,
    eos_id: int,
    max_new_tokens: int,
    batch_size: int,
    ended: Callable[[Ids], bool] | None = None,
) -> list[Ids]:
    """The next tokens of each prompt, in order, without the end-of-turn token; at most `max_new_tokens` of them.

    Prompts are lists of at least one token id. Prompts of like length share a batch of `batch_size`. `ended`: whether
    what follows these new tokens will not be read, so that the row may leave its batch; they stay in the reply.
    """
    import torch

    if not prompts:
        return []
    shared = common_start([prompt[:-1] for prompt in prompts])  # each keeps a token of its own, to be predicted from
    order = sorted(range(len(prompts)), key=lambda number: (len(prompts[number]), number))
    replies: list[Ids] = [[] for _ in prompts]
    with torch.inference_mode():
        device = next(model.parameters()).device
        start = _read(model, torch.tensor([shared], device=device)) if shared else None
        for first in range(0, len(order), batch_size):
            chosen = order[first : first + batch_size]
            tails = [prompts[number][len(shared) :] for number in chosen]
            for number, reply in zip(chosen, _batch(model, start, tails, eos_id, max_new_tokens, ended), strict=True):
                replies[number] = reply
    return replies


def common_start(rows: Sequence[Ids]) -> Ids:
    """The tokens that all rows begin with."""
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))]


def _read(model: Any, ids: Tensor) -> Any:
    """What the model remembers of one row of tokens."""
    return model(input_ids=ids, use_cache=True, logits_to_keep=1).past_key_values


def _batch(
    model: Any, start: Any, tails: Sequence[Ids], eos_id: int, limit: int, ended: Callable[[Ids], bool] | None
) -> list[Ids]:
    """Replies of one batch: after `start`, tails padded on their left, so that each ends where its reply begins."""
    import torch

    device = next(model.parameters()).device
    before = start.get_seq_length() if start is not None else 0
    width = max(len(tail) for tail in tails)
    ids = torch.tensor([[eos_id] * (width - len(tail)) + tail for tail in tails], device=device)
    mask = torch.tensor([[1] * before + [0] * (width - len(tail)) + [1] * len(tail) for tail in tails], device=device)
    cache = copy.deepcopy(start)
    if cache is not None:
        cache.batch_repeat_interleave(len(tails))
    live = list(range(len(tails)))
    replies: list[Ids] = [[] for _ in tails]
    for _ in range(limit):
        places = (mask.cumsum(-1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        out = model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        cache = out.past_key_values
        chosen = out.logits[:, -1].argmax(-1)
        going = [row for row, token in enumerate(chosen.tolist()) if token != eos_id]
        for row in going:
            replies[live[row]].append(int(chosen[row]))
        if ended is not None:
            going = [row for row in going if not ended(replies[live[row]])]
        if not going:
            break
        if len(going) < len(live):
            kept = torch.tensor(going, device=device)
            cache.batch_select_indices(kept)
            mask, chosen = mask[kept], chosen[kept]
            live = [live[row] for row in going]
        ids = chosen[:, None]
        mask = torch.cat([mask, mask.new_ones(len(live), 1)], dim=1)
    return replies
