"""Which persona a prompt asks for, by the look of its words. Switching adapters is resources/routing.py's.

The prompts of most dialogues ask for nobody: they were paired with a persona by lot, so there is nothing to learn from
that. They are examples of the default persona, who answers whoever asks for none.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from twainbot.dialogues import prompts
from twainbot.errors import BadInput
from twainbot.evals.statistics import Interval, wilson

ASKING = ("style_transfer",)  # kinds of dialogue whose prompts say who shall speak
FORM = "twainbot-router-1"  # what a stored router calls itself
_AGAIN = "Fit it again: `twainbot run --select adapters/router --force`."
_NONE_ASKS = "No held-out prompt asks for a persona. Rematerialize splits/ with more style_transfer dialogues."
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
    """How a router did on prompts that it never saw. Rates in 0..1; `majority`: what always naming the commonest gives.

    `chance`: what naming one of its personas by lot gives.
    """

    n: int
    right: int
    accuracy: float
    interval: Interval
    majority: float
    chance: float

    @property
    def beats_chance(self) -> bool:
        """Whether even the low end of the interval is above both rates that no prompt needs to be read for."""
        return self.interval.low > max(self.majority, self.chance)


class Router:
    """Prompt to persona: a logistic regression on character n-grams. Equal examples give equal routers.

    It is numbers only (`to_json`), so that whoever serves needs neither scikit-learn nor a pickle.
    """

    def __init__(
        self,
        personas: Sequence[str],
        ngrams: Sequence[str],
        idf: npt.NDArray[np.float64],
        weights: npt.NDArray[np.float64],
        bias: npt.NDArray[np.float64],
    ) -> None:
        """idf: (ngrams,). weights: (personas, ngrams). bias: (personas,)."""
        self.personas = tuple(personas)
        self.ngrams = {ngram: place for place, ngram in enumerate(ngrams)}
        self.idf, self.weights, self.bias = idf, weights, bias

    def route(self, prompt: str) -> Route:
        """Who should answer the prompt."""
        return self.routes([prompt])[0]

    def routes(self, asked: Sequence[str]) -> list[Route]:
        """Who should answer each prompt, in order."""
        found: list[Route] = []
        for prompt in asked:
            shares = self.shares(prompt)
            best = int(shares.argmax())
            found.append(Route(self.personas[best], float(shares[best])))
        return found

    def shares(self, prompt: str) -> npt.NDArray[np.float64]:
        """A probability per persona, (personas,)."""
        counts = Counter(self.ngrams[ngram] for ngram in ngrams_of(prompt) if ngram in self.ngrams)
        places = np.fromiter(counts, dtype=int, count=len(counts))
        values = (1 + np.log(np.fromiter(counts.values(), dtype=float, count=len(counts)))) * self.idf[places]
        length = float(np.sqrt((values**2).sum())) or 1.0
        scores = self.weights[:, places] @ (values / length) + self.bias
        shares = np.exp(scores - scores.max())
        return np.asarray(shares / shares.sum(), dtype=float)

    def to_json(self) -> str:
        """The router as JSON, seven digits a number: `from_json` gives one that chooses alike."""
        rounded = {name: [float(f"{value:.7g}") for value in getattr(self, name)] for name in ("idf", "bias")}
        weights = [[float(f"{value:.7g}") for value in row] for row in self.weights]
        return json.dumps(
            {"form": FORM, "personas": self.personas, "ngrams": list(self.ngrams), **rounded, "weights": weights},
            ensure_ascii=False,
        )

    @classmethod
    def from_json(cls, text: str) -> Router:
        """A router back from `to_json`; BadInput where the text is none."""
        try:
            raw = json.loads(text)
            if raw["form"] != FORM:
                raise BadInput(f"The router is of form {raw['form']!r}, and this code reads {FORM!r}. {_AGAIN}")
            idf, weights, bias = (np.array(raw[name], dtype=float) for name in ("idf", "weights", "bias"))
            names = all(isinstance(raw[name], list) and all(isinstance(each, str) for each in raw[name])
                        for name in ("personas", "ngrams"))  # fmt: skip
            if not names or not raw["personas"]:
                raise ValueError("personas or ngrams that are no names")
            wanted = (len(raw["personas"]), len(raw["ngrams"]))
            if weights.shape != wanted or idf.shape != wanted[1:] or bias.shape != wanted[:1]:
                raise ValueError(f"weights of shape {weights.shape}, idf {idf.shape}, bias {bias.shape}")
            if not all(np.isfinite(each).all() for each in (idf, weights, bias)):
                raise ValueError("weights that are no finite numbers")
            return cls(raw["personas"], raw["ngrams"], idf, weights, bias)
        except (ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
            raise BadInput(f"This is no router: {type(error).__name__}: {error}. {_AGAIN}") from error


def ngrams_of(text: str) -> list[str]:
    """The character n-grams of a text within word bounds, a space on both sides of a word; a short word counts once."""
    found: list[str] = []
    for word in text.lower().split():
        padded = f" {word} "
        for size in range(_NGRAMS[0], _NGRAMS[1] + 1):
            found += [padded[start : start + size] for start in range(max(1, len(padded) - size + 1))]
            if len(padded) <= size:
                break
    return found


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

    personas = sorted({example.persona for example in learned})
    if len(personas) < 2:
        raise BadInput(
            f"A router chooses between personas, and these prompts show {', '.join(personas) or 'none'}. "
            "It learns from dialogues that ask for each: generate style_transfer dialogues of two personas at least."
        )
    vectors = TfidfVectorizer(analyzer=ngrams_of, sublinear_tf=True)
    model = LogisticRegression(C=30.0, max_iter=500, class_weight="balanced")
    model.fit(vectors.fit_transform([example.prompt for example in learned]), [example.persona for example in learned])
    weights, bias = (np.asarray(part, dtype=float) for part in (model.coef_, model.intercept_))
    if len(personas) == 2:  # scikit-learn then keeps one row, of the second persona against the first
        weights, bias = np.vstack([0 * weights, weights]), np.concatenate([0 * bias, bias])
    return Router(personas, list(vectors.get_feature_names_out()), np.asarray(vectors.idf_, dtype=float), weights, bias)


def judge(router: Router, held_out: Sequence[Example]) -> Judged:
    """The router on prompts that it was not fitted on; BadInput without any."""
    if not held_out:
        raise BadInput("No prompt is left to judge the router on. Rematerialize splits/ with more dialogues.")
    routes = router.routes([example.prompt for example in held_out])
    right = sum(route.persona == example.persona for route, example in zip(routes, held_out, strict=True))
    names = [example.persona for example in held_out]
    n = len(held_out)
    commonest = max(names.count(name) for name in set(names)) / n
    return Judged(n, right, right / n, wilson(right, n), commonest, 1 / len(router.personas))


def fitted_and_judged(
    dialogues: pl.DataFrame, other_words: Sequence[Mapping[str, Any]]
) -> tuple[str, list[dict[str, Any]]]:
    """A router of the training prompts as JSON, and how it did, a row for each set of prompts that ask for somebody.

    dialogues: rows of records.SFT_ROW. other_words: requests that no grammar wrote, as `prompt` and `persona`.
    """
    fitted = fit(examples(dialogues.filter(pl.col("split") == "train")))
    held = examples(dialogues.filter(pl.col("split").is_in(["validation", "test"])))
    sets = {
        "held_out": [example for example in held if example.asks],
        "other_words": [Example(str(row["prompt"]), str(row["persona"]), True) for row in other_words],
    }
    text = fitted.to_json()
    stored = Router.from_json(text)
    rows: list[dict[str, Any]] = []
    for name, listed in sets.items():
        known = [example for example in listed if example.persona in stored.personas]
        if known:
            found = judge(stored, known)
            rows.append({"prompts": name, **row_of(found), "personas": ", ".join(stored.personas)})
    if not rows:
        raise BadInput(_NONE_ASKS)
    return text, rows


def row_of(found: Judged) -> dict[str, Any]:
    """A judgement as plain columns."""
    return {
        "n": found.n, "right": found.right, "accuracy": found.accuracy, "low": found.interval.low,
        "high": found.interval.high, "majority": found.majority, "chance": found.chance,
        "beats_chance": found.beats_chance,
    }  # fmt: skip
