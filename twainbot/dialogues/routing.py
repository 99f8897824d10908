"""Which persona a prompt asks for, by the look of its words. Switching adapters is resources/routing.py's.

The prompts of most dialogues ask for nobody: they were paired with a persona by lot, so there is nothing to learn from
that. They are examples of the default persona, who answers whoever asks for none.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from twainbot.dialogues import prompts
from twainbot.errors import BadInput
from twainbot.evals.statistics import Interval, wilson

ASKING = ("style_transfer",)  # kinds of dialogue whose prompts say who shall speak
_NGRAMS = (2, 4)  # characters within word bounds: names, and parts of names that a user shortens


@dataclass(frozen=True)
class Example:
    """A prompt and who should answer it. `asks`: whether the prompt itself says so."""

    prompt: str
    persona: str
    asks: bool


@dataclass(frozen=True)
class Route:
    """Who answers, and how sure that is (0..1)."""

    persona: str
    probability: float


@dataclass(frozen=True)
class Judged:
    """How a router did on prompts that it never saw. Rates in 0..1; `majority`: what always naming the commonest gives."""

    n: int
    right: int
    accuracy: float
    interval: Interval
    majority: float

    @property
    def beats_chance(self) -> bool:
        """Whether even the low end of the interval is above the majority's rate."""
        return self.interval.low > self.majority


class Router:
    """Prompt to persona: a logistic regression on character n-grams. Equal examples give equal routers."""

    def __init__(self, model: Any) -> None:
        self.model = model

    def route(self, prompt: str) -> Route:
        """Who should answer the prompt."""
        return self.routes([prompt])[0]

    def routes(self, asked: Sequence[str]) -> list[Route]:
        """Who should answer each prompt, in order."""
        if not asked:
            return []
        names = list(self.model.classes_)
        rows = self.model.predict_proba(list(asked))
        return [Route(str(names[int(row.argmax())]), float(row.max())) for row in rows]


def examples(dialogues: pl.DataFrame) -> list[Example]:
    """An example for each row of records.SFT_ROW: its first user turn, without the system prompt that names the persona."""
    default = prompts.personas()[0]
    found = []
    for row in dialogues.sort("sample_id").iter_rows(named=True):
        asked = first_prompt(json.loads(row["messages"]))
        asks = row["kind"] in ASKING
        if asked:
            found.append(Example(asked, row["persona"] if asks else default, asks))
    return found


def first_prompt(messages: Sequence[Mapping[str, Any]]) -> str:
    """The first thing that the user says; empty where no user speaks."""
    return next((str(message["content"]) for message in messages if message["role"] == "user"), "")


def fit(learned: Sequence[Example]) -> Router:
    """The router of these examples; BadInput where they show fewer than two personas."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # scikit-learn takes a second to import
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    personas = sorted({example.persona for example in learned})
    if len(personas) < 2:
        raise BadInput(
            f"A router chooses between personas, and these prompts show {', '.join(personas) or 'none'}. "
            "It learns from dialogues that ask for each: generate style_transfer dialogues of two personas at least."
        )
    model = make_pipeline(
        TfidfVectorizer(analyzer="char_wb", ngram_range=_NGRAMS, sublinear_tf=True, lowercase=True),
        LogisticRegression(C=30.0, max_iter=500, class_weight="balanced"),
    )
    model.fit([example.prompt for example in learned], [example.persona for example in learned])
    return Router(model)


def judge(router: Router, held_out: Sequence[Example]) -> Judged:
    """The router on prompts that it was not fitted on; BadInput without any."""
    if not held_out:
        raise BadInput("No prompt is left to judge the router on. Rematerialize splits/ with more dialogues.")
    routes = router.routes([example.prompt for example in held_out])
    right = sum(route.persona == example.persona for route, example in zip(routes, held_out, strict=True))
    names = [example.persona for example in held_out]
    n = len(held_out)
    commonest = max(names.count(name) for name in set(names)) / n
    return Judged(n, right, right / n, wilson(right, n), commonest)
