"""Attention over packed rows on a CPU, one row at a time: what two rows of a line have to say to each other is nothing.

Transformers' own way computes the whole line against itself under a mask. A line of 640 tokens with three dialogues
costs five times the attention that its dialogues need. The results are the same (tests hold them to 1e-5).
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from torch.nn.functional import scaled_dot_product_attention
from transformers import (
    MODEL_FOR_CAUSAL_LM_MAPPING,
    AttentionInterface,
    AttentionMaskInterface,
    AutoConfig,
    AutoModelForCausalLM,
    PretrainedConfig,
)
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import sdpa_mask
from transformers.utils.quantization_config import Mxfp4Config

NAME = "sdpa_by_row"


def load(folder: Path, dtype: torch.dtype, **more: Any) -> Any:
    """A causal language model from a local folder, with the attention that suits it and this machine."""
    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if (getattr(config, "quantization_config", None) or {}).get("quant_method") == "mxfp4":
        more["quantization_config"] = Mxfp4Config(dequantize=True)  # gpt-oss: its 4-bit experts pass no gradient on
    chosen = implementation(config)
    model = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=dtype, attn_implementation=chosen, **more
    )
    if chosen == "eager":
        model.model.register_forward_pre_hook(with_row_masks, with_kwargs=True)
    return model


def implementation(config: PretrainedConfig) -> str:
    """The attention to load a model with: by row on a CPU where all its layers attend to everything before, else SDPA.

    A GPU has kernels for packed rows, and reading row boundaries there would stall it at every layer. Eager for a model
    that SDPA cannot compute: gpt-oss, whose heads have a sink beside the tokens.
    """
    architecture: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if architecture is not None and not architecture._supports_sdpa:
        return "eager"
    kinds = set(getattr(config, "layer_types", None) or ["full_attention"])
    plain = kinds == {"full_attention"} and not getattr(config, "attn_logit_softcapping", None)
    return NAME if plain and not torch.cuda.is_available() else "sdpa"


def by_row(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """Causal attention inside each row of a packed line; with a mask or a cache, plain SDPA.

    query (B, H, T, D), key and value (B, H_kv, T, D), `position_ids` (B, T) that start again with each row.
    Returns (B, T, H, D).
    """
    positions = more.get("position_ids")
    if attention_mask is not None or positions is None or query.shape[2] != key.shape[2] or more.get("dropout"):
        return sdpa_attention_forward(module, query, key, value, attention_mask, **more)
    grouped, scaling = query.shape[1] != key.shape[1], more.get("scaling")
    lines = positions.expand(len(query), -1)
    parts = []
    for line in range(len(lines)):
        rows = [
            scaled_dot_product_attention(
                query[line : line + 1, :, begin:end],
                key[line : line + 1, :, begin:end],
                value[line : line + 1, :, begin:end],
                is_causal=True,
                scale=scaling,
                enable_gqa=grouped,
            )
            for begin, end in spans(lines[line])
        ]
        parts.append(torch.cat(rows, dim=2))
    return torch.cat(parts).transpose(1, 2).contiguous(), None


def spans(positions: Tensor) -> list[tuple[int, int]]:
    """Begin and end of each row of a line by its position ids (T,): a row begins where they do not go up by one."""
    inner = (positions.diff() != 1).nonzero().squeeze(1) + 1
    edges = [0, *inner.tolist(), len(positions)]
    return list(pairwise(edges))


def mask(*, q_length: int, kv_length: int, attention_mask: Tensor | None = None, **more: Any) -> Tensor | None:
    """None where `by_row` needs no mask: packed or single rows from their beginning; else SDPA's (B, 1, T, T_kv)."""
    if attention_mask is None and q_length == kv_length:
        return None
    return sdpa_mask(q_length=q_length, kv_length=kv_length, attention_mask=attention_mask, **more)


def with_row_masks(model: Any, arguments: tuple[Any, ...], inputs: dict[str, Any]) -> tuple[Any, dict[str, Any]] | None:
    """The inputs of a model with eager attention, with masks that keep the rows of a packed line apart.

    gpt-oss in transformers 5.23 does not look at position ids for its masks, so packed rows would read each other
    (logits off by 0.14 on two random layers), and eager attention adds a mask of True and False up as 1 and 0. Masks of
    padding and steps with a cache are left as they are.
    """
    positions, seen = inputs.get("position_ids"), inputs.get("attention_mask")
    whole = isinstance(seen, Tensor) and seen.dim() == 4
    if positions is None or inputs.get("past_key_values") is not None or not (whole or seen is None):
        return None
    if not isinstance(seen, Tensor):  # (B, 1, T, T): those before in the same row
        rows = functional.pad((positions.diff(dim=1) != 1).cumsum(1), (1, 0))
        seen = ((rows[:, :, None] == rows[:, None, :]) & _before(positions.shape[1], positions.device))[:, None]
    near = (positions[:, :, None] - positions[:, None, :] < model.config.sliding_window)[:, None]
    masks = {
        kind: torch.zeros(allowed.shape, dtype=model.dtype, device=allowed.device).masked_fill(
            ~allowed, torch.finfo(model.dtype).min
        )
        for kind, allowed in (("full_attention", seen), ("sliding_attention", seen & near))
    }
    return arguments, {**inputs, "attention_mask": masks}


def _before(size: int, device: torch.device) -> Tensor:
    return torch.ones(size, size, dtype=torch.bool, device=device).tril()


AttentionInterface.register(NAME, by_row)
AttentionMaskInterface.register(NAME, mask)
