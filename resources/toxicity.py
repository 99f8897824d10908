"""The door to a toxicity model: weights in a local folder, scores remembered by text. What a score leads to is decided
in twainbot/screening/decide.py. Nothing is ever downloaded, and no pickle is loaded.

A folder is what `save_pretrained` writes: config.json, tokenizer files, and model.safetensors or pytorch_model.bin (read
with `weights_only`). A checkpoint as Detoxify publishes it must first be saved in that form.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Sequence
from functools import cached_property
from itertools import islice
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from twainbot.errors import BadInput, MissingModel
from twainbot.screening import NotScored, ToxicityScorer

WEIGHT_FILES = ("model.safetensors", "pytorch_model.bin")  # the first that exists is loaded
MAX_TOKENS = 512  # what BERT-like models can see; a longer text is scored in parts, and its worst part counts
BATCH = 16  # parts at a time, sorted by length so that little is padding
TOXIC_LABELS = ("toxicity", "toxic")  # Detoxify's names for its overall label; without one the highest label counts


def load_scorer(folder: str | None, cache: Path | None) -> ToxicityScorer:
    """The scorer whose weights lie in the folder; NotScored where none is named.

    `cache` is a folder for scores by text hash. Raises MissingModel where the named folder holds no weights.
    """
    if not folder:
        return NotScored()
    path = Path(folder)
    if not (path / "config.json").is_file() or not _weights(path):
        found = f"No toxicity model in {path}: it needs config.json and one of {', '.join(WEIGHT_FILES)}."
        raise MissingModel(f"{found} Correct TWAINBOT_TOXICITY_MODEL, or unset it to screen without scores.")
    return LocalClassifier(path, cache)


class LocalClassifier:
    """Scores texts with a sequence classifier from a local folder; loads it when the first unknown text comes."""

    def __init__(self, folder: Path, cache: Path | None) -> None:
        """Hashes the weights, so that `backend` names exactly what scored. `cache` may be None: no memory."""
        weights = _weights(folder)
        if weights is None:
            raise MissingModel(f"No weights in {folder}: expected one of {', '.join(WEIGHT_FILES)}.")
        self._folder = folder
        self.backend = f"{folder.name}@sha256:{_file_digest(weights)[:16]}"
        self._cache = _ScoreCache(cache / f"toxicity-{_text_digest(self.backend)[:16]}") if cache else None

    def score(self, texts: list[str]) -> list[float | None]:
        """The highest toxicity (0..1) of any part of at most 512 tokens, per text in order."""
        known = {text: self._cache.read(text) if self._cache else None for text in set(texts)}
        unknown = sorted(text for text, score in known.items() if score is None)
        for text, score in zip(unknown, self._scored(unknown), strict=True):
            known[text] = score
            if self._cache:
                self._cache.write(text, score)
        return [known[text] for text in texts]

    def _scored(self, texts: Sequence[str]) -> list[float]:
        if not texts:
            return []
        parts = [self._parts(text) for text in texts]
        scores = iter(self._part_scores([part for listed in parts for part in listed]))
        return [max(islice(scores, len(listed))) for listed in parts]

    def _parts(self, text: str) -> list[list[int]]:
        """Token ids of the text in parts that fit the model, each with the model's special tokens around it."""
        tokenizer, model = self._loaded
        limit = min(MAX_TOKENS, getattr(model.config, "max_position_embeddings", MAX_TOKENS))
        return tokenizer(text, truncation=True, max_length=limit, return_overflowing_tokens=True)["input_ids"]

    def _part_scores(self, parts: Sequence[list[int]]) -> list[float]:
        import torch

        tokenizer, model = self._loaded
        order = sorted(range(len(parts)), key=lambda place: len(parts[place]))
        scores = [0.0] * len(parts)
        for start in range(0, len(order), BATCH):
            places = order[start : start + BATCH]
            batch = tokenizer.pad({"input_ids": [parts[place] for place in places]}, return_tensors="pt")
            with torch.inference_mode():
                logits = model(**batch).logits
            for place, value in zip(places, self._toxicity(logits), strict=True):
                scores[place] = value
        return scores

    def _toxicity(self, logits: Any) -> list[float]:
        """Multi-label sigmoid, as Detoxify is trained: the overall label's value, or the highest label's."""
        _, model = self._loaded
        names = {str(name).lower(): place for place, name in model.config.id2label.items()}
        overall = [names[label] for label in TOXIC_LABELS if label in names]
        values = logits.float().sigmoid()
        return (values[:, overall[0]] if overall else values.max(dim=1).values).tolist()

    @cached_property
    def _loaded(self) -> tuple[Any, Any]:
        from safetensors import SafetensorError
        from transformers import AutoModelForSequenceClassification, AutoTokenizer

        safe = _weights(self._folder) == self._folder / WEIGHT_FILES[0]
        try:
            tokenizer = AutoTokenizer.from_pretrained(self._folder, local_files_only=True)
            model = AutoModelForSequenceClassification.from_pretrained(
                self._folder, local_files_only=True, use_safetensors=safe, weights_only=True, dtype="float32"
            )
        except (OSError, ValueError, RuntimeError, SafetensorError, UnpicklingError) as error:
            raise BadInput(f"The toxicity model in {self._folder} does not load: {error}") from error
        return tokenizer, model.eval()


class _ScoreCache:
    """One small JSON file per text, named by the text's hash; written beside and renamed, so never seen half."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def read(self, text: str) -> float | None:
        try:
            return float(json.loads(self._path(text).read_text("utf-8")))
        except (FileNotFoundError, ValueError):
            return None

    def write(self, text: str, score: float) -> None:
        path = self._path(text)
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False, encoding="utf-8") as part:
            part.write(json.dumps(score))
        os.replace(part.name, path)  # noqa: PTH105 - the plainest name of the atomic step

    def _path(self, text: str) -> Path:
        digest = _text_digest(text)
        return self._folder / digest[:2] / f"{digest}.json"


def _weights(folder: Path) -> Path | None:
    return next((folder / name for name in WEIGHT_FILES if (folder / name).is_file()), None)


def _text_digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _file_digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
