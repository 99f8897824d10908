"""Rubric scores for dialogues, from measurable properties only. People's ratings come through evals/ratings instead.

Style counts words of the persona's own manner (manner.yaml), less for another's voice, a help desk's, or length. Humour
counts comic turns for each sentence that is not a figure. Factuality is the gate's and the evaluator's finding.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from importlib import resources
from typing import Any

import polars as pl
import yaml

from twainbot import personas
from twainbot.dialogues import figures, prompts, quality, rows
from twainbot.evals import grounding
from twainbot.records import FEEDBACK, frame

RATER = "rubric-v2"

# share of manner words of the persona, and comic turns for each voiced sentence: near the quintiles of the shipped grammars
_STYLE_STEPS = (0.01, 0.03, 0.055, 0.085)
_HUMOR_STEPS = (0.0, 0.5, 1.0, 1.4)
_LONG_REPLY = 130  # words; the longest reply of the shipped grammars to one result has fewer
_UNFOUNDED = ("ungrounded", "wrong_role", "invented", "forecast_despite", "no_call")
_QUOTED = re.compile(r'"([^"]{20,})"')


def feedback(dialogues: pl.DataFrame) -> pl.DataFrame:
    """One FEEDBACK row per dialogue, in order: style, humour and factuality 1..5 by rule, the rationale naming why."""
    return frame([_rate(row) for row in dialogues.to_dicts()], FEEDBACK)


def _rate(row: Mapping[str, Any]) -> dict[str, Any]:
    replies = quality.replies(row)
    style, manner = _style(replies, str(row["style_tags"][0]) if row["style_tags"] else "")
    humor, turns = _humor(replies)
    factuality, found = _factuality(row)
    return {
        "conversation_id": row["conversation_id"],
        "style": style,
        "humor": humor,
        "factuality": factuality,
        "rater": RATER,
        "rationale": f"{manner}; {turns}; {found}",
    }


def _words(name: str) -> re.Pattern[str]:
    own = personas.known()[name].manner if name in personas.known() else ""
    return _pattern(own or _manner()[name if name in _manner() else personas.of(name).like])


@cache
def _manner() -> Mapping[str, str]:
    return yaml.safe_load((resources.files("twainbot.dialogues") / "manner.yaml").read_text("utf-8"))


@cache
def _pattern(words: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w)(?:{words.replace(' |', '|')})(?!\w)", re.IGNORECASE)


def _style(replies: Sequence[str], persona: str) -> tuple[int, str]:
    """1..5 and why. A persona without words of its own (a transcript's) is measured by all of them."""
    spoken = " ".join(replies)
    words = max(1, len(spoken.split()))
    counts = {name: len(_words(name).findall(spoken)) for name in prompts.personas()}
    own = counts.get(persona, max(counts.values()))
    score = 1 + sum(own / words > step for step in _STYLE_STEPS)
    faults = []
    if persona in counts and max(counts.values()) > max(2 * own, own + 2):
        score, faults = score - 1, [*faults, "another persona's words outweigh its own"]
    if desk := _words("helpdesk").search(spoken):
        score, faults = score - 2, [*faults, f"a help desk's voice ({desk[0]!r})"]
    if _is_long(replies):
        score, faults = score - 2, [*faults, f"a reply of more than {_LONG_REPLY} words"]
    return max(1, min(5, score)), ", ".join([f"{own} manner words in {words}", *faults])


def _is_long(replies: Sequence[str]) -> bool:
    return max((len(reply.split()) for reply in replies), default=0) > _LONG_REPLY


def _humor(replies: Sequence[str]) -> tuple[int, str]:
    """1..5 and why, by the turns of a joke in each sentence that states no figure, the long-winded a step down."""
    sentences = [part for reply in replies for part in re.split(r"(?<=[.!?])\s+", reply) if not figures.read(part)]
    turns = sum(len(_words("turns").findall(part)) for part in sentences)
    score = 1 + sum(turns / max(1, len(sentences)) > step for step in _HUMOR_STEPS)
    score = max(1, score - _is_long(replies))
    return score, f"{turns} comic turns in {len(sentences)} sentences beside the facts"


def _factuality(row: Mapping[str, Any]) -> tuple[int, str]:
    """5 without a problem, 4 where only a figure of speech strains a fact, 3 with problems of form, 1 where something
    stated has no ground: a number, a role, a claim that the evaluator reads."""
    found = quality.problems(row)
    if any(problem.startswith(_UNFOUNDED) for problem in found):
        return 1, "; ".join(found)
    if found:
        return 3, "; ".join(found)
    claims = [claim for reply, told in _answers(row) for claim in grounding.judge(reply, told)]
    strained = [
        f"figure of speech {claim.text!r}"
        for claim in claims
        if claim.verdict == grounding.SKIPPED and claim.strict in grounding.ERRORS and _is_told_of(row, claim)
    ]
    return (4, "; ".join(strained)) if strained else (5, "no problem found")


def _is_told_of(row: Mapping[str, Any], claim: grounding.Claim) -> bool:
    """Whether the source names what the claim is about: a bulletin quoted by a user names neither its day nor its town."""
    return row["kind"] != "style_transfer" or claim.kind not in ("place", "day")


def _answers(row: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """Each reply that a tool result or a quoted bulletin stands behind, with them."""
    turns, found = row["turns"], list[tuple[str, list[Any]]]()
    if row["kind"] == "style_transfer":
        quoted = _QUOTED.search(turns[-2]["content"] or "") if "bulletin" in row["style_tags"] else None
        said = quoted[1] if quoted else ""  # the evaluator reads no wind out of a bulletin in capitals
        return [(turns[-1]["content"], [said.lower() if said.isupper() else said])] if said else []
    replies = quality.replies(row)
    for at, turn in enumerate(turns):
        results = rows.tool_results(turns[:at])
        if results and turn["content"] in replies and "error" not in results[-1]:
            found.append((turn["content"], results))
    return found
