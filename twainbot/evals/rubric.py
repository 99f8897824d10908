"""The rubric of rubric.yaml, by which people and judge models rate a reply: scales from 1 to 5 and what each step means."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources

import yaml

LOWEST, HIGHEST = 1, 5
NAMES = ("style", "humor", "factuality")  # the columns of dialogues/feedback too


@dataclass(frozen=True)
class Scale:
    """One question. `name`: the column of the rating; `title`: what people read; `anchors`: what each score means."""

    name: str
    title: str
    asks: str
    anchors: Mapping[int, str]


@dataclass(frozen=True)
class Rubric:
    """The whole rubric. `judge`: what a judge model is told above it; `digest`: 16 hex digits of the file."""

    version: int
    scales: tuple[Scale, ...]
    judge: str
    digest: str

    @property
    def label(self) -> str:
        """Version and hash, as a rating states what it was given by."""
        return f"rubric@{self.version}:{self.digest}"

    def as_text(self) -> str:
        """All scales in plain words, one a line."""
        return "\n".join(f"- {scale.name}: {scale.asks} {spelt(scale)}" for scale in self.scales)


def spelt(scale: Scale) -> str:
    """The anchors as one sentence each: `1: no trace of it. 2: ...`."""
    return " ".join(f"{score}: {meaning}." for score, meaning in scale.anchors.items())


@cache
def load() -> Rubric:
    """The rubric that ships with this version."""
    text = (resources.files("twainbot.evals") / "rubric.yaml").read_text("utf-8")
    raw = yaml.safe_load(text)
    scales = tuple(Scale(**scale) for scale in raw["scales"])
    return Rubric(raw["version"], scales, raw["judge"].strip(), hashlib.sha256(text.encode()).hexdigest()[:16])
