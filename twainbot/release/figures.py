"""The scorecard as a record that programs read, and whether a card says more than it. Pages are evals/scorecard's work.

A card may print only figures that stand in the record: `unsupported` lists the others.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from twainbot.evals.verdicts import Verdict

RECORD_VERSION = 1
_STATE_WORDS = {"not_run": "not run", "not_measurable": "not measurable"}
_NUMBER = re.compile(r"(?<![\w.])[-+−]?\d+(?:[.,]\d+)*")
_FENCED = re.compile(r"```.*?```|`[^`\n]*`", re.DOTALL)
CLAIMING = ("What was measured", "Limits")  # sections of a model card whose figures are about the model


def figure(verdict: Verdict, value: float | None) -> str:
    """A value in the verdict's unit: shares in percent, gains in points, ratios and words as they are."""
    if value is None:
        return "-"
    if verdict.unit == "share":
        return f"{value:.1%}"
    if verdict.unit == "gain":
        return f"{100 * value:+.1f} points"
    return f"{value:.0f} words" if verdict.unit == "words" else f"{value:.3f}"


def state_words(state: str) -> str:
    """A verdict's state as prose has it."""
    return _STATE_WORDS.get(state, state)


def record(given: Mapping[str, Sequence[Verdict]], *, profile: str, base: str, rehearsal: bool) -> dict[str, Any]:
    """scorecard.json: verdicts by recipe, each figure raw and as it is shown."""
    return {
        "scorecard_version": RECORD_VERSION,
        "profile": profile,
        "base": base,
        "rehearsal": rehearsal,
        "recipes": {recipe: [_entry(verdict) for verdict in verdicts] for recipe, verdicts in given.items()},
    }


def _entry(verdict: Verdict) -> dict[str, Any]:
    """One verdict; an infinite end of an interval is null, as JSON has no such number."""
    ends = (verdict.interval.low, verdict.interval.high) if verdict.interval else (None, None)
    low, high = (None if end is None or abs(end) == float("inf") else end for end in ends)
    shown = {"value": verdict.value, "low": ends[0], "high": ends[1], "bound": verdict.bound}
    return {
        "gate": verdict.gate,
        "state": verdict.state,
        "n": verdict.n,
        "value": verdict.value,
        "rounded": None if verdict.value is None else round(float(verdict.value), 4),  # as a model index has it
        "low": low,
        "high": high,
        "bound": verdict.bound,
        "better": verdict.better,
        "unit": verdict.unit,
        "why": verdict.why,
        "shown": {name: figure(verdict, value) for name, value in shown.items()},
    }


def unsupported(card: str, scorecard: Mapping[str, Any]) -> list[str]:
    """Figures of a card's claims that the scorecard's record does not hold, in the card's order, each once.

    Read are the front matter's metrics, everything above the first heading of a section, and the sections in CLAIMING.
    Code and backticks are left out: there stand names and revisions.
    """
    known = set(numbers(json.dumps(scorecard, ensure_ascii=False))) | {"95"}  # the intervals' level
    claimed = numbers(_claims(card))
    return list(dict.fromkeys(figure for figure in claimed if figure not in known and _trimmed(figure) not in known))


def numbers(text: str) -> list[str]:
    """The numbers of a text, signs as ASCII, a leading plus left out."""
    return [found.replace("−", "-").removeprefix("+").rstrip(".,") for found in _NUMBER.findall(_FENCED.sub(" ", text))]


def _claims(card: str) -> str:
    front, _, body = card.removeprefix("---\n").partition("\n---\n")
    metrics = re.findall(r"^ *(?:- )?(?:value|name): (?P<said>.*\(n=.*|-?[\d.e+-]+)$", front, re.MULTILINE)
    opening, *sections = re.split(r"^## ", body, flags=re.MULTILINE)
    prose = "\n".join(line for line in opening.splitlines() if not line.startswith("# "))
    return "\n".join([*metrics, prose, *(part for part in sections if part.startswith(CLAIMING))])


def _plain(value: str) -> bool:
    try:
        float(value)
    except ValueError:
        return False
    return True


def _trimmed(value: str) -> str:
    return f"{float(value):g}" if _plain(value) else value
