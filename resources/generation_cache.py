"""Answers of language models, kept by what was asked: one small file each, whole or not there. Nothing secret is in them.

    <home>/cache/generations/answers/<first two digits>/<key>.json

The key is over all that shapes an answer (twainbot/dialogues/asking.py), and over nothing of the service that gives it.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

from resources.lake import replace_file
from twainbot.dialogues.asking import Answer


class GenerationCache:
    """A folder of answers. Reading a damaged file is as if it were not there."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "answers"

    def get(self, key: str) -> Answer | None:
        """The answer of this key, or None."""
        try:
            return Answer(**json.loads(self._path(key).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            return None

    def put(self, key: str, answer: Answer) -> None:
        """Keep an answer for good, at once: whoever is killed after this line has paid for it once."""
        text = json.dumps(asdict(answer), ensure_ascii=False)
        replace_file(self._path(key), lambda file: file.write_text(text, encoding="utf-8", errors="replace"))

    def _path(self, key: str) -> Path:
        return self.folder / key[:2] / f"{key}.json"
