"""The sample dialogues that are rated: the base's reply beside the adapter's, in an order that tells nobody which is which.

What a rating is worth is ratings.py's; showing pairs to people is twainbot_assets/review_server's.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, TypeAlias

import polars as pl

from twainbot.evals.tool_calls import parse_calls

BASE, ADAPTER = "base", "adapter"
SUITES = ("chat", "grounding")  # what is talk; a bare tool call has no voice to rate
UNITS = {"f": "°F", "c": "°C", "mph": "mph", "kph": "km/h"}
_CALL = re.compile(r"<tool_call>.*?(?:</tool_call>|\Z)", re.DOTALL)

Field: TypeAlias = tuple[str, str]


@dataclass(frozen=True)
class Step:
    """One thing that happens in an exchange.

    `kind`: said (text), call (name and arguments) or result (fields of the tool's answer).
    """

    kind: str
    text: str = ""
    fields: tuple[Field, ...] = ()


@dataclass(frozen=True)
class Pair:
    """Two replies to the same words. `item`: suite and case; `given`: what the model was handed before it spoke."""

    item: str
    prompt: str
    given: tuple[Step, ...]
    base: tuple[Step, ...]
    adapter: tuple[Step, ...]

    @property
    def digest(self) -> str:
        """16 hex digits over all that a rater sees of the pair: another reply is another pair."""
        text = json.dumps(asdict(self), sort_keys=True, ensure_ascii=False)
        return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]

    def reply(self, arm: str) -> tuple[Step, ...]:
        """One arm's reply."""
        return self.adapter if arm == ADAPTER else self.base


def pairs(base: pl.DataFrame, tuned: pl.DataFrame, final: str) -> list[Pair]:
    """All dialogues that both arms answered, in the order in which every rater meets them.

    The order is drawn by the case alone, so that two raters who stop early have rated the same ones.
    """
    ours = {key_of(row): row for row in tuned.filter(pl.col("arm") == final).to_dicts()}
    theirs = {key_of(row): row for row in base.to_dicts() if row["suite"] in SUITES}
    found = [pair_of(item, theirs[item], ours[item]) for item in theirs if item in ours]
    return sorted(found, key=lambda pair: draw(pair.item))


def key_of(row: Mapping[str, Any]) -> str:
    """Suite and case, as a rating names its dialogue."""
    return f"{row['suite']}/{row['case_id']}"


def pair_of(item: str, base: Mapping[str, Any], adapter: Mapping[str, Any]) -> Pair:
    """A pair from both arms' rows of records.GENERATION."""
    result = json.loads(base["result"]) if base["result"] and base["suite"] == "grounding" else None
    given = (Step("result", fields=fields_of(result)),) if result else ()
    return Pair(item, base["prompt"], given, shown(json.loads(base["steps"])), shown(json.loads(adapter["steps"])))


def shown(steps: Sequence[Mapping[str, Any]]) -> tuple[Step, ...]:
    """An exchange as people read it: calls and results taken apart, whatever cannot be read left as it was written."""
    found: list[Step] = []
    for step in steps:
        text = str(step["text"] or "")
        if step["role"] == "tool":
            found.append(result_step(text))
            continue
        calls, errors = parse_calls(text)
        if not calls or errors:
            found.append(Step("said", text.strip()))
            continue
        spoken = _CALL.sub("", text).strip()
        found += [Step("said", spoken)] if spoken else []
        found += [Step("call", str(call.get("name", "")), fields_of(call.get("arguments"))) for call in calls]
    return tuple(found)


def result_step(text: str) -> Step:
    """A tool's answer, taken apart where it is a JSON object."""
    try:
        value = json.loads(text)
    except ValueError:
        return Step("result", text)
    return Step("result", fields=fields_of(value)) if isinstance(value, dict) else Step("result", text)


def fields_of(value: Any) -> tuple[Field, ...]:
    """Names and values of an object in plain words, in order; what is empty is left out."""
    if not isinstance(value, Mapping):
        return ()
    filled = ((str(name), entry) for name, entry in value.items() if entry not in ("", [], {}, None))
    return tuple((spelt(name), plain(entry)) for name, entry in filled)


def spelt(name: str) -> str:
    """A field's name as people read it: `high_f` is `high (°F)`, a chance is in percent."""
    words = name.split("_")
    unit = UNITS.get(words[-1]) if len(words) > 1 else None
    if words[-1] == "chance":
        return f"{' '.join(words)} (%)"
    return f"{' '.join(words[:-1])} ({unit})" if unit else " ".join(words)


def plain(value: Any) -> str:
    """A value as it is, a list of texts with commas, anything else as JSON."""
    if isinstance(value, list) and all(isinstance(entry, str) for entry in value):
        return ", ".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def adapter_first(recipe: str, item: str, rater: str) -> bool:
    """Whether this rater sees the adapter's reply first: a fair draw, the same one each time that the page is opened."""
    return int(draw(recipe, item, rater), 16) % 2 == 0


def sides(recipe: str, item: str, rater: str) -> tuple[str, str]:
    """(arm shown first, arm shown second)."""
    return (ADAPTER, BASE) if adapter_first(recipe, item, rater) else (BASE, ADAPTER)


def draw(*words: str) -> str:
    """A number in hex that looks drawn and never changes."""
    return hashlib.sha256("|".join(("pairs", *words)).encode("utf-8", "surrogatepass")).hexdigest()
