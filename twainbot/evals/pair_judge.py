"""A judge model's ratings of pairs: each pair is shown in both orders, and a reply's score is the mean of the two.

The sample and what a rating is worth are pairs.py's and ratings.py's; sending is resources/generators.py's.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

from twainbot.dialogues import asking
from twainbot.dialogues.asking import Answer, Request
from twainbot.evals import rubric
from twainbot.evals.pairs import ADAPTER, BASE, Pair
from twainbot.evals.ratings import JUDGE, Given

EXPECTED_TOKENS, MAX_TOKENS = 160, 600
ORDERS = ((BASE, ADAPTER), (ADAPTER, BASE))
_SCALE: asking.Schema = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
_SCORES: asking.Schema = {
    "type": "object",
    "properties": dict.fromkeys(rubric.NAMES, _SCALE),
    "required": list(rubric.NAMES),
    "additionalProperties": False,
}
SCHEMA: asking.Schema = {
    "type": "object",
    "properties": {"rationale": {"type": "string"}, "first": _SCORES, "second": _SCORES},
    "required": ["rationale", "first", "second"],
    "additionalProperties": False,
}
FORM = '{"rationale": "...", "first": {"style": 1, "humor": 1, "factuality": 1}, "second": {...}}'

Ask: TypeAlias = Callable[[Sequence[Request]], list[Answer]]


@dataclass(frozen=True)
class Judged:
    """Ratings, the reason by dialogue where an answer was none, and what the order of showing changed.

    swayed: dialogues where the judge's better reply in style was another one in the other order; of `pairs` rated ones.
    """

    given: tuple[Given, ...]
    unusable: Mapping[str, str]
    swayed: int
    pairs: int


def rater(model: str) -> str:
    """A judge model's name in a rating."""
    return f"judge:{model}"


def request(pair: Pair, order: tuple[str, str], voice: str) -> Request:
    """What the judge is asked about a pair, its replies in this order."""
    asked = rubric.load()
    system = f"{asked.judge}\n\n{asked.as_text()}\n\nThe form of the answer: {FORM}"
    shown = {
        "user": pair.prompt,
        "given": told(pair.given),
        "first": told(pair.reply(order[0])),
        "second": told(pair.reply(order[1])),
    }
    user = f"Voice: {voice}\n\nDialogue:\n{json.dumps(shown, ensure_ascii=False, indent=1)}"
    return Request(
        f"{pair.item}/{order[0]}-first", (("system", system), ("user", user)), SCHEMA, 0, EXPECTED_TOKENS, MAX_TOKENS
    )


def told(steps: Sequence[Any]) -> list[dict[str, Any]]:
    """Steps as JSON, what is empty left out."""
    rows = ({**asdict(step), "fields": dict(step.fields)} for step in steps)
    return [{name: value for name, value in row.items() if value} for row in rows]


def judged(pairs: Sequence[Pair], ask: Ask, model: str, voice: str, recipe: str, now: str) -> Judged:
    """Both orders of every pair asked at once. `now`: when, ISO 8601. A pair with one unusable answer gets no rating."""
    requests = [request(pair, order, voice) for pair in pairs for order in ORDERS]
    answers = [asking.read(answer, SCHEMA) for answer in ask(requests)]
    given: list[Given] = []
    unusable: dict[str, str] = {}
    swayed = 0
    for pair, (one, other) in zip(pairs, zip(answers[::2], answers[1::2], strict=True), strict=True):
        reason = one[1] or other[1]
        if reason:
            unusable[pair.item] = reason
            continue
        given += [mean_of(pair, arm, one[0], other[0], model, recipe, now) for arm in (BASE, ADAPTER)]
        swayed += lead(one[0]) * -lead(other[0]) < 0
    return Judged(tuple(given), unusable, swayed, len(pairs) - len(unusable))


def lead(answer: Mapping[str, Any]) -> int:
    """By how much the first reply leads the second in style."""
    lead_by: int = answer["first"]["style"] - answer["second"]["style"]
    return lead_by


def mean_of(
    pair: Pair, arm: str, base_first: Mapping[str, Any], adapter_first: Mapping[str, Any], model: str, recipe: str, now: str
) -> Given:  # fmt: skip
    """One reply's rating: the mean of both orders, what was said in each beside it."""
    in_one = base_first["first" if arm == BASE else "second"]
    in_other = adapter_first["first" if arm == ADAPTER else "second"]
    scores = {name: (in_one[name] + in_other[name]) / 2 for name in rubric.NAMES}
    origin = {
        "model": model, "rubric": rubric.load().label, "base_first": in_one, "adapter_first": in_other,
        "rationales": [" ".join(answer["rationale"].split()) for answer in (base_first, adapter_first)],
    }  # fmt: skip
    return Given(
        recipe, pair.item, arm, rater(model), JUDGE, **scores, pair=pair.digest, rubric=rubric.load().version,
        place="both", rated_at=now, origin=origin,
    )  # fmt: skip
