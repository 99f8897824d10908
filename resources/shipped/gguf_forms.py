"""GGUF files read back into torch, and run in llama.cpp where its wheel is installed. verify.py uses this."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


class Unfit(ValueError):
    """A GGUF file does not hold what its place in the bundle wants."""


def read_model(path: Path, folder: Path) -> Any:
    """The model of a merged GGUF, read back into the class that the folder's config names."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    model = AutoModelForCausalLM.from_config(config).float()
    stored, names = tensors(path), gguf_names(config)
    weights = {}
    for key in model.state_dict():
        name = names(key)
        if name in stored:
            weights[key] = torch.from_numpy(rows_back(stored[name], key, config)).float()
    missing = set(model.load_state_dict(weights, strict=False).missing_keys)
    missing -= {"lm_head.weight"} if config.tie_word_embeddings else set()
    if missing:
        raise Unfit(f"{path.name} lacks {', '.join(sorted(missing)[:3])}.")
    model.tie_weights()
    return model.eval()


def add_lora(model: Any, path: Path) -> Any:
    """The model with a GGUF LoRA added to its weights, as llama.cpp adds it. Raises Unfit where it has no place for all."""
    import gguf
    import torch

    stored, names = tensors(path), gguf_names(model.config)
    alpha = float(gguf.GGUFReader(path).fields["adapter.lora.alpha"].contents())
    used = set()
    with torch.no_grad():
        for key, weight in model.state_dict().items():
            name = names(key)
            if f"{name}.lora_a" in stored:
                down, up = (stored[f"{name}.lora_{side}"].astype("float32") for side in "ab")
                up = rows_back(up, key, model.config)
                weight += torch.from_numpy(up @ down) * (alpha / up.shape[1])
                used |= {f"{name}.lora_a", f"{name}.lora_b"}
    if set(stored) - used:
        raise Unfit(
            f"{path.name} holds tensors that the base has no place for: {', '.join(sorted(set(stored) - used)[:3])}."
        )
    return model


def tensors(path: Path) -> dict[str, Any]:
    """A GGUF file's tensors by name, as float arrays of their shape. Raises Unfit where the file breaks off or is none."""
    import gguf

    try:
        return {
            tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).reshape(
                [*map(int, reversed(tensor.shape))]
            )
            for tensor in gguf.GGUFReader(path).tensors
        }
    except (IndexError, TypeError, ValueError, KeyError, NotImplementedError, MemoryError, OverflowError) as error:
        raise Unfit(f"{path.name} is no readable GGUF file ({type(error).__name__}: {error}).") from error


def gguf_names(config: Any) -> Callable[[str], str | None]:
    """From transformers' tensor names to GGUF's."""
    import gguf

    kind = next(key for key, name in gguf.MODEL_ARCH_NAMES.items() if name == config.model_type)
    known = gguf.get_tensor_name_map(kind, config.num_hidden_layers)
    return lambda key: known.get_name(key, try_suffixes=(".weight", ".bias"))


def rows_back(array: Any, key: str, config: Any) -> Any:
    """Rows of llama's query and key weights in transformers' order: GGUF has a head's halves interleaved."""
    heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(key.split(".")[-2])
    if config.model_type != "llama" or heads is None:
        return array
    return array.reshape(heads, array.shape[0] // heads // 2, 2, *array.shape[1:]).swapaxes(1, 2).reshape(array.shape)


class LlamaCpp:
    """A GGUF model in llama.cpp itself, through cyllama, whose wheel holds llama.cpp."""

    def __init__(self, model: Path) -> None:
        """Load a model. Raises Unfit where llama.cpp refuses it."""
        llama_cpp: Any = importlib.import_module("cyllama.llama.llama_cpp")
        llama_cpp.disable_logging()

        class Model(llama_cpp.LlamaModel):  # its contexts ask the model for a size that only its vocabulary has
            @property
            def n_vocab(self) -> int:
                return int(self.get_vocab().n_vocab)

        self._library: Any = llama_cpp
        settings = llama_cpp.LlamaModelParams()
        settings.n_gpu_layers = 0
        try:
            self.model: Any = Model(str(model), settings)
        except (ValueError, RuntimeError) as error:
            raise Unfit(f"llama.cpp does not load {model.name}: {error}") from error
        window = llama_cpp.LlamaContextParams()
        window.n_ctx = window.n_batch = 1024
        self.context: Any = llama_cpp.LlamaContext(self.model, window)

    def takes(self, lora: Path) -> None:
        """Load a LoRA for this model: names and shapes must be its own. Raises Unfit where llama.cpp refuses it."""
        try:
            self.model.lora_adapter_init(str(lora))
        except (ValueError, RuntimeError, OSError) as error:
            raise Unfit(f"llama.cpp does not load {lora.name}: {error}") from error

    def tokens(self, text: str) -> list[int]:
        """Token ids, special tokens read as such."""
        return list(self.model.get_vocab().tokenize(text, add_special=False, parse_special=True))

    def next_logits(self, ids: Sequence[int], after: int = 0) -> Any:
        """(vocabulary,) after these ids, of which the first follows `after` ids that were read before."""
        import torch

        if after == 0:
            self.context.kv_cache_clear()
        self.context.decode(self._library.llama_batch_get_one(list(ids), after))
        return torch.tensor(list(self.context.get_logits_ith(-1)))

    def greedy(self, prompt: Sequence[int], count: int) -> list[int]:
        """The next tokens, the likeliest each."""
        said, read = [int(self.next_logits(prompt).argmax())], len(prompt)
        while len(said) < count:
            said.append(int(self.next_logits(said[-1:], read).argmax()))
            read += 1
        return said
