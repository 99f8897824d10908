"""What an adapter must be for vLLM, llama.cpp and Ollama to load it, checked on its config and tensor names alone.

Comparing logits of the adapter and its merged copy needs the model; that measurement comes in as a number.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

MAX_LORA_RANK = 16  # vLLM's default --max-lora-rank
LINEARS = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
# Largest absolute logit difference, adapter on against merged, in float32. Rounding came to 2e-5, 8.4e-5, 8.9e-5 and
# 1.02e-4 on four adapters of the 135M base, whose logits reach 30; a wrong way of merging came to 0.45 and more.
MERGE_TOLERANCE = 1e-3
_TENSOR = re.compile(
    r"^base_model\.model\.(?P<module>.*?\.(?P<linear>[A-Za-z0-9_]+))\.lora_(?P<side>[AB])(?:\.[A-Za-z0-9_-]+)?\.weight$"
)
_NAME = re.compile(r"[\w.]+")
_NEEDED = ("base_model_name_or_path", "revision", "tokenizer_sha256")


def problems(
    config: Mapping[str, Any],
    shapes: Mapping[str, Sequence[int]],
    *,
    provenance: Mapping[str, str],
    merge_difference: float | None = None,
    max_rank: int = MAX_LORA_RANK,
) -> list[str]:
    """What breaks the contract, one plain sentence each; empty where the adapter keeps it.

    config: adapter_config.json. shapes: {tensor name: shape} of the safetensors file, A as (r, in), B as (out, r).
    provenance: `base_model_name_or_path`, `revision`, `tokenizer_sha256`. merge_difference: largest absolute logit
    difference to the merged model; None means that nobody measured it, which is a problem of its own.
    """
    found = [*_config_problems(config, max_rank), *_target_problems(config), *_tensor_problems(config, shapes)]
    found += [f"The bundle does not record {key}." for key in _NEEDED if not provenance.get(key)]
    if merge_difference is None:
        found.append("Adapter and merged model were not compared.")
    elif not merge_difference <= MERGE_TOLERANCE:  # so that NaN fails
        found.append(f"Adapter and merged logits differ by {merge_difference:.2g}, {MERGE_TOLERANCE:g} is allowed.")
    return found


def _config_problems(config: Mapping[str, Any], max_rank: int) -> list[str]:
    found = (
        [] if config.get("peft_type") == "LORA" else [f"peft_type is {config.get('peft_type')!r}, 'LORA' is required."]
    )
    pattern = _pattern(config)
    if pattern is None or not all(map(_NAME.fullmatch, pattern)):
        found.append(
            "rank_pattern must be a mapping of module names to ranks; patterns beyond a name cannot be checked."
        )
    ranks = {"r": config.get("r"), **{f"rank_pattern[{k}]": v for k, v in (pattern or {}).items()}}
    for name, rank in ranks.items():
        if not isinstance(rank, int) or isinstance(rank, bool) or not 1 <= rank <= max_rank:
            found.append(f"{name} is {rank!r}, 1 to {max_rank} can be served.")
    forbidden = {
        "modules_to_save": "whole modules in an adapter cannot be served",
        "use_dora": "DoRA cannot be served",
        "trainable_token_indices": "added tokens change the embedding",
        "layer_replication": "replicated layers cannot be served",
    }
    found += [f"{key} is set: {why}." for key, why in forbidden.items() if config.get(key)]
    if config.get("bias", "none") != "none":
        found.append(f"bias is {config['bias']!r}, 'none' is required.")
    return found


def _target_problems(config: Mapping[str, Any]) -> list[str]:
    targets = config.get("target_modules")
    if isinstance(targets, str):
        return [f"target_modules is the pattern {targets!r}: list the linears by name, so that it can be checked."]
    if not targets:
        return ["target_modules is empty: the adapter changes nothing."]
    if not _listed(targets):
        return [f"target_modules is {str(targets)[:40]!r}: list the linears by name."]
    foreign = sorted({str(target).rsplit(".", 1)[-1] for target in targets} - set(LINEARS))
    return [f"target_modules holds {', '.join(foreign)}; only {', '.join(LINEARS)} can be served."] if foreign else []


def _tensor_problems(config: Mapping[str, Any], shapes: Mapping[str, Sequence[int]]) -> list[str]:
    """Every tensor is one side of a pair on a target, and the pair's inner size is its rank."""
    found: list[str] = []
    pairs: dict[str, dict[str, Sequence[int]]] = {}
    targets = {str(target).rsplit(".", 1)[-1] for target in _listed(config.get("target_modules"))}
    for name in sorted(shapes):
        match = _TENSOR.match(name)
        if match is None:
            found.append(f"Tensor {name} is no lora_A or lora_B weight of a linear.")
        elif match["linear"] not in targets or match["linear"] not in LINEARS:
            found.append(f"Tensor {name} belongs to {match['linear']}, which target_modules does not list.")
        else:
            pairs.setdefault(match["module"], {})[match["side"]] = shapes[name]
    if not shapes:
        found.append("The adapter file holds no tensors.")
    for module, pair in sorted(pairs.items()):
        found += _pair_problems(module, pair, config)
    touched = {module.rsplit(".", 1)[-1] for module in pairs}
    found += (
        [f"target_modules lists {name}, but no tensor trains it." for name in sorted(targets - touched)]
        if pairs
        else []
    )
    return found


def _pair_problems(module: str, pair: Mapping[str, Sequence[int]], config: Mapping[str, Any]) -> list[str]:
    if set(pair) != {"A", "B"}:
        return [f"{module} has only lora_{next(iter(pair))}."]
    if any(len(shape) != 2 for shape in pair.values()):
        return [f"{module} has shapes {list(pair['A'])} and {list(pair['B'])}; two dimensions are expected."]
    rank = _rank_of(module, config)
    if pair["A"][0] != rank or pair["B"][1] != rank:
        return [f"{module} has inner sizes {pair['A'][0]} and {pair['B'][1]}, its declared rank is {rank}."]
    return []


def _rank_of(module: str, config: Mapping[str, Any]) -> Any:
    fitting = [rank for key, rank in (_pattern(config) or {}).items() if f".{module}".endswith(f".{key}")]
    return fitting[0] if fitting else config.get("r")


def _pattern(config: Mapping[str, Any]) -> Mapping[str, Any] | None:
    """The rank of single modules by the ends of their names; None where the config has something else there."""
    pattern = config.get("rank_pattern") or {}
    return pattern if isinstance(pattern, Mapping) else None


def _listed(targets: Any) -> Sequence[Any]:
    return sorted(targets, key=str) if isinstance(targets, (list, tuple, set, frozenset)) else []
