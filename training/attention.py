"""Attention over packed lines (packing.py): on a CPU one row at a time, elsewhere under a mask that says the same.

Transformers' own way computes the whole line against itself under a mask. A line of 640 tokens with three dialogues
costs five times the attention that its dialogues need. The results are the same (tests hold them to 1e-5). A base that
reads one row from another whatever the mask says, as convolutions and recurrent states do, is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
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

from twainbot.errors import BadInput, BadUse

NAME = "sdpa_by_row"
# What a model is tried on, by position ids: a line of two rows, and a row with a branch that goes on from its first three.
_TRIED = ((*range(2), *range(6)), (*range(5), *range(3, 6)))
# Logits of a row in its line and alone differ by this at most, in their standard deviations, where all is fp32. SmolLM2's
# differ by 3e-5, those of 26 random architectures by 2e-6; in bf16 rounding alone made 1.6 on SmolLM2, in int8 5.3.
_ROUNDING = 1e-3


def load(folder: Path, dtype: torch.dtype, **more: Any) -> Any:
    """A causal language model from a local folder, with the attention that suits it and this machine.

    Raises BadUse where weights that come in mxfp4 are to be packed in another way; the model raises BadInput at its first
    packed line where it cannot keep rows apart.
    """
    config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    if comes_packed(config):
        if "quantization_config" in more:
            raise BadUse(
                f"{folder.name} comes in 4 bits of its own kind (mxfp4), which are opened to train on them and cannot be "
                "packed anew. Set `quantization: none` in the recipe, or choose a base that comes in bf16."
            )
        more["quantization_config"] = Mxfp4Config(dequantize=True)  # gpt-oss: its 4-bit experts pass no gradient on
    chosen = implementation(config)
    model = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, dtype=dtype, attn_implementation=chosen, use_safetensors=True, **more
    )
    if chosen == "eager":
        model.base_model.register_forward_pre_hook(with_row_masks, with_kwargs=True)
    model.register_forward_pre_hook(RowsApart(folder.name), with_kwargs=True)
    return model


def comes_packed(config: Any) -> bool:
    """Whether a base's weights come in mxfp4, which no recipe's `quantization` can pack anew."""
    return (getattr(config, "quantization_config", None) or {}).get("quant_method") == "mxfp4"


class RowsApart:
    """A hook that tries a model before its first packed line, on the device where it is then; once, and never without one.

    Raises BadInput where a row reads another's tokens, or has other logits in a line than alone.
    """

    def __init__(self, name: str) -> None:
        self.name = name  # of the base, as its folder says
        self.done = False

    def __call__(self, model: Any, _arguments: tuple[Any, ...], inputs: dict[str, Any]) -> None:
        """Try the model, if rows are packed and it has not been tried."""
        positions = inputs.get("position_ids")
        if self.done or positions is None or inputs.get("past_key_values") is not None:
            return
        if bool((positions.diff(dim=-1) == 1).all()):
            return
        self.done = True  # or the lines that it is tried on would be tried first
        fault = row_fault(model)
        self.done = fault is None
        if fault:
            raise BadInput(
                f"{self.name} ({model.config.model_type}) {fault}. TwainBot trains only models whose attention can be "
                "masked: convolutions and recurrent states cannot. Choose a base of the Llama, Qwen2, Qwen3 or Gemma 3 kind, "
                "HuggingFaceTB/SmolLM2-135M-Instruct for one."
            )


def row_fault(model: Any) -> str | None:
    """What is wrong with a model's rows in packed lines; None where nothing is. Six passes of at most eight tokens.

    Tried in train mode where the base drops attention, which may take another way then. Weights, mode and torch's random
    numbers stay as they were.
    """
    training, drops = model.training, bool(getattr(model.config, "attention_dropout", 0))
    with torch.random.fork_rng([model.device] if model.device.type == "cuda" else []), torch.enable_grad():
        model.train(drops)
        found = [_last_row(model, places) for places in _TRIED]
        model.train(training)
    if not all(apart for apart, _ in found):
        return "reads one row of a line from another"
    exact = model.dtype == torch.float32 and not drops and not getattr(model, "is_quantized", False)
    if exact and max(off for _, off in found) > _ROUNDING:
        return "gives a row of a line other logits than alone"
    return None


def _last_row(model: Any, places: tuple[int, ...]) -> tuple[bool, float]:
    """Whether a line's last row reads what it should and no more, and how far its logits are from those that it has alone.

    A gradient says exactly who is read, in any precision and under dropout: it is 0 to what a mask hides, and nothing else.
    """
    positions = torch.tensor([places], device=model.device)
    vocabulary = model.get_input_embeddings().weight.shape[0]
    ids = (torch.arange(len(places), device=model.device) + vocabulary // 2) % vocabulary  # the first ones are special
    row = spans(positions[0])[-1]
    logits, embedded = _heard(model, ids[None], position_ids=positions, **masks(model, positions))
    own = logits[0, row.begin :]
    (pull,) = torch.autograd.grad(own.logsumexp(-1).sum(), embedded)
    apart = torch.equal(pull[0].abs().amax(-1) > 0, seen(positions)[0, 0, row.begin :].any(0))
    alone, _ = _heard(model, torch.cat([ids[: row.shared], ids[row.begin :]])[None])
    wanted = alone[0, row.shared :]
    return apart, float((own - wanted).detach().abs().max() / wanted.detach().std())


def _heard(model: Any, ids: Tensor, **more: Any) -> tuple[Tensor, Tensor]:
    """Logits (B, T, V) of ids (B, T), and the embeddings (B, T, D) that their gradients lead to."""
    kept: list[Tensor] = []

    def keep(_module: torch.nn.Module, _arguments: tuple[Any, ...], output: Tensor) -> Tensor:
        kept.append(output.detach().requires_grad_())
        return kept[-1]

    with model.get_input_embeddings().register_forward_hook(keep):
        logits = model(input_ids=ids, use_cache=False, **more).logits
    return logits.float(), kept[-1]


def implementation(config: PretrainedConfig) -> str:
    """The attention to load a model with: by row on a CPU where all its layers attend to everything before, else SDPA.

    A GPU has kernels for packed rows, and reading row boundaries there would stall it at every layer. Eager for a model
    that SDPA cannot compute: gpt-oss, whose heads have a sink beside the tokens.
    """
    architecture: Any = MODEL_FOR_CAUSAL_LM_MAPPING.get(type(config), None)
    if architecture is not None and not architecture._supports_sdpa:
        return "eager"
    plain = _kinds(config) == {"full_attention"} and not getattr(config, "attn_logit_softcapping", None)
    return NAME if plain and not torch.cuda.is_available() else "sdpa"


def _kinds(config: Any) -> set[str]:
    """What its layers attend to. A base that names no kinds has one: Mistral's and Phi-3's layers all see a window."""
    one = "sliding_attention" if getattr(config, "sliding_window", None) else "full_attention"
    return set(getattr(config, "layer_types", None) or [one])


def by_row(
    module: torch.nn.Module, query: Tensor, key: Tensor, value: Tensor, attention_mask: Tensor | None, **more: Any
) -> tuple[Tensor, None]:
    """Causal attention inside each row of a packed line and to what a branch shares; with a mask or a cache, plain SDPA.

    query (B, H, T, D), key and value (B, H_kv, T, D), `position_ids` (B, T) as packing.py makes them.
    Returns (B, T, H, D).
    """
    positions = more.get("position_ids")
    if attention_mask is not None or positions is None or query.shape[2] != key.shape[2]:
        return sdpa_attention_forward(module, query, key, value, attention_mask, **more)
    how = {
        "scale": more.get("scaling"),
        "enable_gqa": query.shape[1] != key.shape[1],
        "dropout_p": more.get("dropout") or 0.0,
    }
    lines = positions.expand(len(query), -1)
    done = []
    for line in range(len(lines)):
        asking, keys, values = (tensor[line : line + 1] for tensor in (query, key, value))
        rows = [_row(asking, keys, values, span, how) for span in spans(lines[line])]
        done.append(torch.cat(rows, dim=2))
    return torch.cat(done).transpose(1, 2).contiguous(), None


@dataclass(frozen=True)
class Span:
    """A row of a line: its tokens begin:end, and those that it shares, root:root + shared."""

    begin: int
    end: int
    root: int
    shared: int


def _row(query: Tensor, key: Tensor, value: Tensor, span: Span, how: dict[str, Any]) -> Tensor:
    """Attention of one row's tokens (1, H, end - begin, D)."""
    begin, end = span.begin, span.end
    own_query, own_key, own_value = query[:, :, begin:end], key[:, :, begin:end], value[:, :, begin:end]
    if not span.shared:
        return scaled_dot_product_attention(own_query, own_key, own_value, is_causal=True, **how)
    shared = slice(span.root, span.root + span.shared)
    seen = torch.ones(end - begin, span.shared + end - begin, dtype=torch.bool, device=query.device).tril(span.shared)
    return scaled_dot_product_attention(
        own_query,
        torch.cat([key[:, :, shared], own_key], dim=2),
        torch.cat([value[:, :, shared], own_value], dim=2),
        attn_mask=seen,
        **how,
    )


def spans(positions: Tensor) -> list[Span]:
    """The rows of a line by its position ids (T,): one begins where they do not go up by one, a branch above 0."""
    inner = (positions.diff() != 1).nonzero().squeeze(1) + 1
    edges = [0, *inner.tolist(), len(positions)]
    firsts = positions[edges[:-1]].tolist()
    found: list[Span] = []
    root = 0
    for (begin, end), first in zip(pairwise(edges), firsts, strict=True):
        root = begin if first == 0 else root
        found.append(Span(begin, end, root, first if root != begin else 0))
    return found


def seen(positions: Tensor) -> Tensor:
    """Who sees whom (B, 1, T, T), by position ids (B, T): those before in the same row, and what a branch shares."""
    places = torch.arange(positions.shape[1], device=positions.device)
    begins = functional.pad(positions.diff(dim=1) != 1, (1, 0), value=True)
    row = begins.cumsum(1)
    began = torch.where(begins, places, 0).cummax(1).values
    root = row.gather(1, torch.where(begins & (positions == 0), places, 0).cummax(1).values)
    shared = positions - (places - began)
    before = places[:, None] >= places[None, :]
    own = (row[:, :, None] == row[:, None, :]) & before
    stem = (root[:, :, None] == row[:, None, :]) & (positions[:, None, :] < shared[:, :, None]) & before
    return (own | stem)[:, None]


def masks(model: torch.nn.Module, positions: Tensor) -> dict[str, Tensor]:
    """The `attention_mask` that the model needs to understand branches: none by row, nor for lines without branches.

    Transformers reads rows from position ids, but would take a branch for a row of its own.
    """
    inner = getattr(model, "module", model)  # under DistributedDataParallel
    config: Any = getattr(inner, "config", None)
    how = getattr(config, "_attn_implementation", NAME)
    if how == NAME or not bool(((positions[:, 1:] != 0) & (positions.diff(dim=1) != 1)).any()):
        return {}
    return {
        "attention_mask": _by_kind(config, positions, seen(positions), how == "eager", next(model.parameters()).dtype)
    }


def _by_kind(config: Any, positions: Tensor, allowed: Tensor, added: bool, dtype: torch.dtype) -> Any:
    """The mask of all layers, or where some see only their neighbourhood, one for each kind of layer, by its name."""
    found = {"full_attention": allowed}
    if "sliding_attention" in _kinds(config):
        near = positions[:, :, None] - positions[:, None, :] < config.sliding_window
        found["sliding_attention"] = allowed & near[:, None]
    if added:  # eager attention adds its mask to the scores
        found = {kind: _added(seen, dtype) for kind, seen in found.items()}
    return found if getattr(config, "layer_types", None) and len(found) > 1 else [*found.values()][-1]


def _added(seen: Tensor, dtype: torch.dtype) -> Tensor:
    """Zero where a token is seen, and the lowest number elsewhere."""
    return torch.zeros(seen.shape, dtype=dtype, device=seen.device).masked_fill(~seen, torch.finfo(dtype).min)


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
    positions, given = inputs.get("position_ids"), inputs.get("attention_mask")
    whole = isinstance(given, Tensor) and given.dim() == 4
    if positions is None or inputs.get("past_key_values") is not None or not (whole or given is None):
        return None
    allowed = given if isinstance(given, Tensor) else seen(positions)
    return arguments, {**inputs, "attention_mask": _by_kind(model.config, positions, allowed, True, model.dtype)}


AttentionInterface.register(NAME, by_row)
AttentionMaskInterface.register(NAME, mask)
