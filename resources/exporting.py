"""The forms of an adapter that other programs load: a merged model in safetensors and GGUF, a LoRA in GGUF.

Merging is done in float32 and kept in float16, which the config says too, for loaders round to what it says: of the eight
bits that bfloat16 has, an adapter's small change would lose most. Smaller servers' formats are gguf_files.py's.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from twainbot.errors import BadInput

if TYPE_CHECKING:
    from torch import Tensor

DTYPE = "float16"  # of merged weights
TOKENIZER_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")


def merged_weights(base: Path, adapter: Path) -> dict[str, Tensor]:
    """The base's weights with the adapter in them, in float16, by transformers' names; tied ones once.

    Raises BadInput where a merged weight is too large for float16.
    """
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base, local_files_only=True, dtype=torch.float32)
    merged: Any = PeftModel.from_pretrained(model, str(adapter)).merge_and_unload()
    tied = {"lm_head.weight"} if merged.config.tie_word_embeddings else set()
    kept = {name: tensor.half().contiguous() for name, tensor in merged.state_dict().items() if name not in tied}
    endless = sorted(name for name, tensor in kept.items() if not torch.isfinite(tensor).all())
    if endless:
        raise BadInput(f"{endless[0]} holds values that float16 cannot; serve the adapter beside its base instead.")
    return kept


def write_merged(folder: Path, weights: dict[str, Tensor], base: Path, tokenizer: Path) -> None:
    """A folder that transformers loads by itself: weights, the base's config, tokenizer and template."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True)
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # safetensors writes 0600
    config = json.loads((base / "config.json").read_text(encoding="utf-8"))
    for name in ("_name_or_path", "torch_dtype"):  # the second is what `dtype` was called before transformers 5
        config.pop(name, None)
    config["dtype"] = DTYPE
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n", encoding="utf-8")
    for name in (*TOKENIZER_FILES, "generation_config.json"):
        shutil.copyfile(tokenizer / name, folder / name)
