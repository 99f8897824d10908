"""Rubric scores for dialogues, from measurable properties only. People's ratings come through evals/ratings instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import polars as pl

from twainbot.dialogues import figures, quality
from twainbot.records import FEEDBACK, frame

RATER = "rubric-v1"

# words of a dry, talked manner; a form or a bulletin has none of them
_MANNER = re.compile(
    r"\b(?:reckon|judge|fellow|friend|gentlemen|confess|honest|liar|sin|deacon|mule|cat|pilot|hat|umbrella|neighbor|supper"
    r"|bless|thrift\w*|prudent|wise|fools?|apprentice|maxim|ledger|candle|coin|officials?|sources?|spokesman|committee"
    r"|experts?|paper|desk|editor|correction|my|I)\b"
)
# turns of a joke: comparison, contrast, a claim taken back
_TURNS = re.compile(
    r"\b(?:like an?|as an?|but|than|unless|except|until|though|never|nobody|nothing|if|which|so|provided|would|only)\b"
)

_STYLE_STEPS = (0.0, 0.02, 0.05, 0.08)  # manner words per word: near the quartiles of the shipped grammars' replies
_HUMOR_STEPS = (0, 1, 2, 3)  # turns of a joke in the sentences without figures


def feedback(dialogues: pl.DataFrame) -> pl.DataFrame:
    """One FEEDBACK row per dialogue, in order: style, humour and factuality 1..5 by rule, the rationale naming why."""
    return frame([_rate(row) for row in dialogues.to_dicts()], FEEDBACK)


def _rate(row: Mapping[str, Any]) -> dict[str, Any]:
    spoken = " ".join(quality.replies(row))
    voiced = " ".join(part for part in re.split(r"(?<=[.!?])\s+", spoken) if not figures.read(part))
    words = max(1, len(spoken.split()))
    manner, turns = len(_MANNER.findall(spoken)), len(_TURNS.findall(voiced))
    found = quality.problems(row)
    return {
        "conversation_id": row["conversation_id"],
        "style": 1 + sum(manner / words > step for step in _STYLE_STEPS),
        "humor": 1 + sum(turns > step for step in _HUMOR_STEPS),
        "factuality": _factuality(found),
        "rater": RATER,
        "rationale": f"{manner} manner words in {words}; {turns} comic turns beside the facts; "
        + ("no problem found" if not found else "; ".join(found)),
    }


def _factuality(found: list[str]) -> int:
    """5 without a problem, 3 with problems of form only, 1 where a stated fact has no ground."""
    unfounded = ("ungrounded", "wrong_role", "invented", "forecast_despite", "no_call")
    if any(problem.startswith(unfounded) for problem in found):
        return 1
    return 3 if found else 5
