"""Decoding of many prompts at once, in steps: rows join a batch, get their next tokens together, and leave it.

Every choice is the one that `generate` of transformers makes. Three things save time: tokens that rows share are read
once, a row that has ended leaves its batch, and a step writes its keys and values behind those that are there, where
transformers' cache copies all of them. Whose requests the rows are is resources/speaker.py's.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers.cache_utils import DynamicCache, DynamicLayer
from typing_extensions import override

from twainbot.errors import BadInput

SPARE = 64  # tokens of room that a batch takes ahead: it copies its keys and values once in so many steps
# Layers that remember keys and values and nothing else, by transformers' names.
_LAYERS = frozenset({"full_attention", "sliding_attention", "chunked_attention"})

Ids = list[int]


def check(model: Any, name: str) -> None:
    """Raise BadInput for a base that remembers something else of a row than keys and values, which alone are kept here."""
    config = model.config.get_text_config()
    other = sorted({*(getattr(config, "layer_types", None) or ())} - _LAYERS)
    if other or getattr(model, "_is_stateful", False):  # rwkv and xlstm name no kinds of layers
        kind = f"layers of the kind {other[0]!r}, whose" if other else "recurrent layers, whose"
        raise BadInput(
            f"{name} ({config.model_type}) has {kind} state TwainBot cannot keep. "
            "Choose a base that has attention in every layer, HuggingFaceTB/SmolLM2-135M-Instruct for one."
        )


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
    if not prompts:
        return []
    shared = common_start([prompt[:-1] for prompt in prompts])  # each keeps a token of its own, to be predicted from
    order = sorted(range(len(prompts)), key=lambda number: (len(prompts[number]), number))
    replies: list[Ids] = [[] for _ in prompts]
    start = read(model, shared) if shared else None
    for first in range(0, len(order), batch_size):
        chosen = order[first : first + batch_size]
        tails = [prompts[number][len(shared) :] for number in chosen]
        for number, reply in zip(chosen, _replies(model, start, tails, eos_id, max_new_tokens, ended), strict=True):
            replies[number] = reply
    return replies


def common_start(rows: Sequence[Sequence[int]]) -> Ids:
    """The tokens that all rows begin with."""
    return [column[0] for column in takewhile(lambda column: len(set(column)) == 1, zip(*rows, strict=False))]


def _replies(
    model: Any,
    start: Memory | None,
    tails: Sequence[Ids],
    eos_id: int,
    limit: int,
    ended: Callable[[Ids], bool] | None,
) -> list[Ids]:
    batch = Batch(model, eos_id)
    batch.join(tails, [start] * len(tails))
    live = list(range(len(tails)))
    replies: list[Ids] = [[] for _ in tails]
    for step in range(limit):
        chosen: list[int] = batch.logits.argmax(-1).tolist()
        going = [row for row, token in enumerate(chosen) if token != eos_id]
        for row in going:
            replies[live[row]].append(chosen[row])
        if ended is not None:
            going = [row for row in going if not ended(replies[live[row]])]
        if not going or step == limit - 1:
            break
        batch.keep(going)
        live = [live[row] for row in going]
        batch.step([chosen[row] for row in going])
    return replies


@dataclass(frozen=True)
class Memory:
    """What a model remembers of a row that begins with the tokens `ids`: keys and values (1, H, len(ids), D) a layer."""

    ids: tuple[int, ...]
    layers: tuple[tuple[Tensor, Tensor], ...]

    @property
    def bytes(self) -> int:
        """Room that it takes."""
        return sum(part.numel() * part.element_size() for layer in self.layers for part in layer)

    def first(self, count: int) -> Memory:
        """What it holds of the first `count` tokens, as a view."""
        if count == len(self.ids):
            return self
        return Memory(
            self.ids[:count], tuple((keys[:, :, :count], values[:, :, :count]) for keys, values in self.layers)
        )


def read(model: Any, ids: Ids, start: Memory | None = None) -> Memory:
    """What the model remembers of `start` and then `ids`, at least one token."""
    batch = Batch(model, ids[0])
    batch.join([ids], [start])
    return batch.memory(0, [*(start.ids if start else ()), *ids])


class Batch:
    """Rows that are decoded together. Between steps rows join and leave; what is theirs alone does not change by that.

    Rows stand padded on their left. A mask says which columns count, so a row may have padding inside it too: between
    what was remembered of it and what was read when it joined.
    """

    def __init__(self, model: Any, pad_id: int) -> None:
        self.model = model
        self.pad_id = pad_id
        self.device = next(model.parameters()).device
        self._clear()

    def _clear(self) -> None:
        self.cache = _cache()
        self.mask = torch.zeros(0, 0, dtype=torch.long, device=self.device)  # (rows, columns)
        self.lengths = torch.zeros(0, dtype=torch.long, device=self.device)  # (rows,) tokens read
        self.logits = torch.zeros(0, 0, device=self.device)  # (rows, vocabulary): what follows each row

    def __len__(self) -> int:
        return len(self.lengths)

    @property
    def columns(self) -> int:
        """How wide the batch is: tokens of its longest row and padding."""
        return self.mask.shape[1]

    @torch.inference_mode()
    def join(self, tails: Sequence[Ids], starts: Sequence[Memory | None]) -> None:
        """Add a row for each tail, at least one token, which is read behind what `starts` remembers of its beginning."""
        if not tails:
            return
        before = [len(start.ids) if start else 0 for start in starts]
        width, past = max(map(len, tails)), max(before)
        ids = [[self.pad_id] * (width - len(tail)) + list(tail) for tail in tails]
        mask = [
            [0] * (past - known) + [1] * known + [0] * (width - len(tail)) + [1] * len(tail)
            for known, tail in zip(before, tails, strict=True)
        ]
        counted = torch.tensor(mask, device=self.device)
        places = (counted.cumsum(-1) - 1).clamp(min=0)[:, -width:]
        cache = _cache([_stacked(starts, layer, past) for layer in range(_layers(starts))])
        padded = not all(all(row) for row in mask)
        logits = self._forward(torch.tensor(ids, device=self.device), counted if padded else None, places, cache)
        self._merge(cache, counted, counted.sum(-1), logits)

    @torch.inference_mode()
    def step(self, tokens: Sequence[int]) -> None:
        """Let every row read one token more, in the rows' order."""
        ids = torch.tensor(tokens, device=self.device)[:, None]
        self.mask = torch.cat([self.mask, self.mask.new_ones(len(self), 1)], dim=1)
        padded = self.columns > int(self.lengths.min()) + 1
        self.logits = self._forward(ids, self.mask if padded else None, self.lengths[:, None], self.cache)
        self.lengths = self.lengths + 1

    @torch.inference_mode()
    def keep(self, rows: Sequence[int]) -> None:
        """Leave only these rows, in this order, and no column that is padding in all of them."""
        if list(rows) == list(range(len(self))):
            return
        if not rows:
            self._clear()
            return
        kept = torch.tensor(rows, device=self.device)
        self.mask, self.lengths, self.logits = self.mask[kept], self.lengths[kept], self.logits[kept]
        lead = int(self.mask.argmax(-1).min())
        self.mask = self.mask[:, lead:]
        for layer in self.cache.layers:
            layer.hold(layer.keys[kept][:, :, lead:], layer.values[kept][:, :, lead:])

    @torch.inference_mode()
    def memory(self, row: int, ids: Sequence[int]) -> Memory:
        """What is remembered of a row that read `ids`, as a copy without padding."""
        columns = self.mask[row].nonzero().squeeze(1)
        layers = tuple(
            (layer.keys[row : row + 1, :, columns], layer.values[row : row + 1, :, columns])
            for layer in self.cache.layers
        )
        return Memory(tuple(ids), layers)

    def _forward(self, ids: Tensor, mask: Tensor | None, places: Tensor, cache: Any) -> Tensor:
        out = self.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=places,
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        )
        logits: Tensor = out.logits[:, -1]
        return logits

    def _merge(self, cache: Any, mask: Tensor, lengths: Tensor, logits: Tensor) -> None:
        """Take over rows that were read apart."""
        if not len(self):
            self.cache, self.mask, self.lengths, self.logits = cache, mask, lengths, logits
            return
        wide = max(self.columns, mask.shape[1])
        self.mask = torch.cat([_wider(self.mask, wide, 1), _wider(mask, wide, 1)])
        self.lengths, self.logits = torch.cat([self.lengths, lengths]), torch.cat([self.logits, logits])
        for own, new in zip(self.cache.layers, cache.layers, strict=True):
            keys, values = (
                torch.cat([_wider(one, wide, 2), _wider(other, wide, 2)])
                for one, other in ((own.keys, new.keys), (own.values, new.values))
            )
            own.hold(keys, values)


class _Layer(DynamicLayer):
    """Keys and values of one layer (B, H, T, D), in front of room for further tokens.

    Layers that see only their neighbourhood keep everything too: their mask hides it, and rows can be cut anywhere.
    """

    space: tuple[Tensor, Tensor] | None = None  # (B, H, more than T, D), of which keys and values are the beginning

    def hold(self, keys: Tensor, values: Tensor) -> None:
        """Have these in place of what is there."""
        if not self.is_initialized:
            self.lazy_initialization(keys, values)
        self.keys, self.values, self.space = keys, values, None

    @override
    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write further tokens behind the others; all keys and values."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        used, more = self.get_seq_length(), key_states.shape[-2]
        keys, values = self.space or (key_states[:, :, :0], value_states[:, :, :0])
        if used + more > keys.shape[-2]:
            if used and self.keys is not None and self.values is not None:
                keys, values = self.keys, self.values
            keys, values = (
                _roomy(old, new, used + more + SPARE) for old, new in ((keys, key_states), (values, value_states))
            )
            self.space = keys, values
        keys[:, :, used : used + more] = key_states
        values[:, :, used : used + more] = value_states
        self.keys, self.values = keys[:, :, : used + more], values[:, :, : used + more]
        return self.keys, self.values


def _roomy(old: Tensor, new: Tensor, room: int) -> Tensor:
    """Room for so many tokens, of which the old ones are the first."""
    whole = new.new_empty(*new.shape[:2], room, new.shape[3])
    whole[:, :, : old.shape[2]] = old
    return whole


def _cache(layers: Sequence[tuple[Tensor, Tensor]] = ()) -> Any:
    """A cache that begins with these keys and values."""
    made: Any = DynamicCache()
    made.layer_class_to_replicate = _Layer
    for keys, values in layers:
        layer = _Layer()
        layer.hold(keys, values)
        made.layers.append(layer)
    return made


def _layers(starts: Sequence[Memory | None]) -> int:
    return next((len(start.layers) for start in starts if start and start.ids), 0)


def _stacked(starts: Sequence[Memory | None], layer: int, past: int) -> tuple[Tensor, Tensor]:
    """What is remembered of all rows (B, H, past, D), each padded on its left, empty for rows without a memory."""
    shape = next(start.layers[layer][0] for start in starts if start and start.ids)
    empty = shape[:, :, :0]
    parts = [start.layers[layer] if start else (empty, empty) for start in starts]
    keys, values = (torch.cat([_wider(part[which], past, 2) for part in parts]) for which in (0, 1))
    return keys, values


def _wider(part: Tensor, wide: int, axis: int) -> Tensor:
    """Zeros in front, up to that width along axis 1 of a mask or axis 2 of keys and values."""
    lack = wide - part.shape[axis]
    if not lack:
        return part
    return functional.pad(part, (lack, 0) if axis == part.dim() - 1 else (0, 0, lack, 0))
