"""The base model's tokenizer for the graph's stages that only count tokens. Needs neither torch nor transformers."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tokenizers import Tokenizer


@lru_cache(maxsize=2)
def load_tokenizer(base: Path) -> Tokenizer:
    """The tokenizer of a base folder, read once per process (0.1 s). MissingModel where the folder has none."""
    from training.render import tokenizer_of

    return tokenizer_of(base)
