"""What a text says by its words: profanity, abuse, threats, period terms, sensitive topics, personal data.

The words are data, in lexicon.yaml. This is a lexicon and no toxicity model: it misses what it does not list. What its
findings lead to is decided in decide.py.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any

import yaml

WEIGHED = ("profanity", "abuse", "threat")


@dataclass(frozen=True)
class Findings:
    """What the lexicon found. `weights` sums the hits of each weighed category; `flags` names all but topics, sorted.

    Flags: profanity, abuse, threat, period_term:<category>, personal_data:<kind>.
    """

    weights: Mapping[str, float]
    flags: tuple[str, ...]
    topics: tuple[str, ...]


def find(text: str) -> Findings:
    """Everything that the lexicon knows in one text."""
    lexicon = _lexicon()
    plain = text.replace("’", "'").lower()
    weights = {
        category: total
        for category in WEIGHED
        if (total := sum(weight * len(pattern.findall(plain)) for pattern, weight in lexicon.weighed[category])) > 0
    }
    named = [flag for flag, pattern in lexicon.named.items() if pattern.search(plain)]
    topics = [topic for topic, pattern in lexicon.topics.items() if pattern.search(plain)]
    return Findings(weights, tuple(sorted([*weights, *named])), tuple(sorted(topics)))


@dataclass(frozen=True)
class _Lexicon:
    weighed: Mapping[str, list[tuple[re.Pattern[str], float]]]
    named: Mapping[str, re.Pattern[str]]  # by flag
    topics: Mapping[str, re.Pattern[str]]


@cache
def _lexicon() -> _Lexicon:
    data: dict[str, Any] = yaml.safe_load(files("twainbot.screening").joinpath("lexicon.yaml").read_text("utf-8"))
    named = {f"period_term:{name}": _words("|".join(terms)) for name, terms in data["period_term"].items()}
    named |= {f"personal_data:{name}": re.compile(pattern) for name, pattern in data["personal_data"].items()}
    return _Lexicon(
        weighed={kind: [(_words(entry["pattern"]), entry["weight"]) for entry in data[kind]] for kind in WEIGHED},
        named=named,
        topics={topic: _words(pattern) for topic, pattern in data["sensitive_topic"].items()},
    )


def _words(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{pattern})(?!\w)")
