"""GGUF for llama.cpp and Ollama: a LoRA, or a model with its tokenizer. Reading the base's own GGUF is base_model.py's.

llama.cpp turns the halves of a head's dimensions as pairs (2i, 2i+1) for architecture llama, where transformers has
(i, i + d/2); so the rows of its query and key weights are reordered. For qwen2 both agree.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

ARCHITECTURES = {"llama": "llama", "qwen2": "qwen2"}  # transformers' model_type -> GGUF's architecture
PERMUTED = ("llama",)
_SUFFIXES = (".weight", ".bias")
_NORMAL, _CONTROL, _USER, _UNUSED = 1, 3, 4, 5  # GGUF's token types
_QWEN_SPLIT = r"\p{N}|"  # Qwen2's pattern takes digits one by one; Llama 3's takes up to three
_F32, _F16 = 0, 1  # llama.cpp's file types


def write_model(
    path: Path, weights: Mapping[str, Tensor], folder: Path, *, template: str, name: str, eos_id: int
) -> None:
    """A model as one GGUF in float16, norms and biases in float32, with tokenizer and chat template.

    weights: transformers' names. folder: holds config.json and tokenizer.json. eos_id: ends a turn. Raises BadInput for an
    architecture, rope scaling or tokenizer that this writer does not know, so that nothing wrong is written.
    """
    import gguf
    import numpy as np

    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, architecture(config))
    writer.add_type("model")
    writer.add_name(name)
    writer.add_file_type(_F16)
    _add_shape(writer, config)
    _add_tokenizer(writer, json.loads((folder / "tokenizer.json").read_text(encoding="utf-8")), config)
    writer.add_eos_token_id(eos_id)
    writer.add_chat_template(template)
    names = _names(config)
    for key, tensor in weights.items():
        if key == "lm_head.weight" and config.get("tie_word_embeddings"):
            continue
        array = permuted(tensor, key, config).float().numpy()
        writer.add_tensor(names(key), array.astype(np.float16) if array.ndim > 1 else array)
    _write(writer)


def write_lora(path: Path, adapter: Path, config: Mapping[str, Any], name: str) -> None:
    """A PEFT adapter folder as a GGUF LoRA in float32. config: the base's config.json. Raises BadInput as write_model."""
    import gguf
    from safetensors.torch import load_file

    settings = json.loads((adapter / "adapter_config.json").read_text(encoding="utf-8"))
    writer = gguf.GGUFWriter(path, architecture(config))
    writer.add_type("adapter")
    writer.add_name(name)
    writer.add_string("adapter.type", "lora")
    alpha = float(settings["lora_alpha"])
    writer.add_float32("adapter.lora.alpha", alpha)
    names = _names(config)
    tensors = load_file(adapter / "adapter_model.safetensors")
    for key in sorted(tensors):
        module, _, side = key.removeprefix("base_model.model.").removesuffix(".weight").rpartition(".lora_")
        tensor = tensors[key].float()
        if side == "B":
            tensor = permuted(tensor, f"{module}.weight", config)
            tensor = tensor * (scaling(module, settings) * tensor.shape[1] / alpha)  # llama.cpp's is alpha / rank
        writer.add_tensor(f"{names(f'{module}.weight')}.lora_{side.lower()}", tensor.numpy())
    _write(writer)


def architecture(config: Mapping[str, Any]) -> str:
    """GGUF's name for a base's architecture. Raises BadInput for one that is not written here, or scaled rope."""
    kind = str(config.get("model_type"))
    if kind not in ARCHITECTURES:
        raise BadInput(
            f"No GGUF is written for architecture {kind!r}; known: {', '.join(ARCHITECTURES)}. Convert with llama.cpp."
        )
    rope = config.get("rope_parameters") or config.get("rope_scaling") or {}
    if rope.get("rope_type", "default") != "default":
        raise BadInput(f"No GGUF is written for rope type {rope['rope_type']!r}. Convert with llama.cpp.")
    return ARCHITECTURES[kind]


def scaling(module: str, settings: Mapping[str, Any]) -> float:
    """What peft multiplies a module's B A with: alpha over the rank, or over its root."""
    rank = _of(module, settings.get("rank_pattern"), settings["r"])
    alpha = _of(module, settings.get("alpha_pattern"), settings["lora_alpha"])
    return float(alpha / (math.sqrt(rank) if settings.get("use_rslora") else rank))


def permuted(tensor: Tensor, key: str, config: Mapping[str, Any]) -> Tensor:
    """The tensor with its rows in GGUF's order; columns and other tensors stay."""
    heads = {"q_proj": "num_attention_heads", "k_proj": "num_key_value_heads"}.get(key.split(".")[-2])
    if heads is None or config["model_type"] not in PERMUTED:
        return tensor
    count = config.get(heads) or config["num_attention_heads"]
    rows = tensor.shape[0]
    return tensor.reshape(count, 2, rows // count // 2, *tensor.shape[1:]).swapaxes(1, 2).reshape(tensor.shape)


def pre_tokenizer(tokenizer: Mapping[str, Any]) -> str:
    """llama.cpp's name for how a tokenizer.json cuts text before merging. Raises BadInput for one unknown here."""
    found = tokenizer.get("pre_tokenizer") or {}
    steps = found.get("pretokenizers", [found])
    kinds = [step.get("type") for step in steps]
    if kinds == ["ByteLevel"] and steps[0].get("use_regex"):
        return "gpt-2"
    if kinds == ["Digits", "ByteLevel"] and steps[0].get("individual_digits") and steps[1].get("use_regex"):
        return "smollm"
    if kinds == ["Split", "ByteLevel"] and _QWEN_SPLIT in str(steps[0].get("pattern")):
        return "qwen2"
    raise BadInput(f"No GGUF is written for a tokenizer that cuts text by {kinds}. Convert with llama.cpp.")


def _of(module: str, pattern: Mapping[str, Any] | None, default: Any) -> Any:
    import re

    fitting = [value for key, value in (pattern or {}).items() if re.search(rf"(?:^|\.){key}$", module)]
    return fitting[0] if fitting else default


def _names(config: Mapping[str, Any]) -> Any:
    """From transformers' tensor names to GGUF's."""
    import gguf

    kind = next(key for key, value in gguf.MODEL_ARCH_NAMES.items() if value == architecture(config))
    known = gguf.get_tensor_name_map(kind, config["num_hidden_layers"])

    def name(key: str) -> str:
        found = known.get_name(key, try_suffixes=_SUFFIXES)
        if found is None:
            raise BadInput(f"Tensor {key} has no name in GGUF. Convert with llama.cpp.")
        return found

    return name


def _add_shape(writer: Any, config: Mapping[str, Any]) -> None:
    heads = config["num_attention_heads"]
    width = config.get("head_dim") or config["hidden_size"] // heads
    rope = config.get("rope_parameters") or config
    writer.add_block_count(config["num_hidden_layers"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config.get("num_key_value_heads") or heads)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(float(rope.get("rope_theta", 10_000.0)))
    writer.add_rope_dimension_count(width)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_vocab_size(config["vocab_size"])


def _add_tokenizer(writer: Any, tokenizer: Mapping[str, Any], config: Mapping[str, Any]) -> None:
    by_id = {number: token for token, number in tokenizer["model"]["vocab"].items()}
    types = dict.fromkeys(by_id, _NORMAL)
    for added in tokenizer.get("added_tokens", []):
        by_id[added["id"]] = added["content"]
        types[added["id"]] = _CONTROL if added["special"] else _USER
    size = config["vocab_size"]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre_tokenizer(tokenizer))
    writer.add_token_list([by_id.get(number, f"[PAD{number}]") for number in range(size)])
    writer.add_token_types([types.get(number, _UNUSED) for number in range(size)])
    merges = tokenizer["model"]["merges"]
    writer.add_token_merges([" ".join(pair) if isinstance(pair, list) else pair for pair in merges])
    writer.add_add_bos_token(False)
    for special, add in (("bos", writer.add_bos_token_id), ("pad", writer.add_pad_token_id)):
        number = config.get(f"{special}_token_id")
        if isinstance(number, int):
            add(number)


def _write(writer: Any) -> None:
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
