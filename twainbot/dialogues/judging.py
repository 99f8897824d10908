"""A judge model's ratings of dialogues: the sample, the question, what an answer counts for. Rules are feedback.py's."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import polars as pl

from twainbot.dialogues import asking, prompt_files, rewriting
from twainbot.dialogues.asking import Answer, Request
from twainbot.records import FEEDBACK, frame

RUBRICS = ("style", "humor", "factuality")
EXPECTED_TOKENS, MAX_TOKENS = 90, 400
SCALE: asking.Schema = {"type": "integer", "enum": [1, 2, 3, 4, 5]}
SCHEMA: asking.Schema = {
    "type": "object",
    "properties": {"rationale": {"type": "string"}, **dict.fromkeys(RUBRICS, SCALE)},
    "required": ["rationale", *RUBRICS],
    "additionalProperties": False,
}

Row: TypeAlias = Mapping[str, Any]


def rater(model: str) -> str:
    """The rater's name in a rating: model, prompt and its hash."""
    prompt = prompt_files.load("judge")
    return f"judge:{model}/{prompt.label}:{prompt.digest}"


def sample(dialogues: pl.DataFrame, count: int, seed: int) -> pl.DataFrame:
    """So many dialogues by the hash of seed and id, in order of id: a row added or taken away moves no other."""
    drawn = sorted(dialogues["conversation_id"].to_list(), key=lambda item: _draw(seed, item))[:count]
    return dialogues.filter(pl.col("conversation_id").is_in(drawn)).sort("conversation_id")


def _draw(seed: int, item: str) -> str:
    return hashlib.sha256(f"{seed}|{item}|judge".encode()).hexdigest()


def judge_request(row: Row) -> Request:
    """What the judge is asked about a dialogue."""
    persona = prompt_files.voice(row["style_tags"][0], row["turns"][0]["content"])
    messages = prompt_files.load("judge").messages(voice=persona, dialogue=rewriting.as_json(row))
    return Request(f"{row['conversation_id']}/judge", messages, SCHEMA, 0, EXPECTED_TOKENS, MAX_TOKENS)


def rating(row: Row, answer: Answer, model: str) -> tuple[dict[str, Any], str]:
    """A FEEDBACK row and an empty reason, or nothing and why the answer is no rating."""
    found, reason = asking.read(answer, SCHEMA)
    if not reason and not found["rationale"].strip():
        reason = "empty: no rationale"
    if reason:
        return {}, reason
    scores = {name: found[name] for name in RUBRICS}
    rationale = " ".join(found["rationale"].split())
    return {"conversation_id": row["conversation_id"], **scores, "rater": rater(model), "rationale": rationale}, ""


def judged(dialogues: pl.DataFrame, ask: rewriting.Ask, model: str) -> tuple[pl.DataFrame, dict[str, str]]:
    """FEEDBACK rows of the dialogues that got a rating, and the reason by id for those that did not."""
    rows: Sequence[Row] = dialogues.to_dicts()
    answers = ask([judge_request(row) for row in rows])
    results = [(row, *rating(row, answer, model)) for row, answer in zip(rows, answers, strict=True)]
    unusable = {row["conversation_id"]: reason for row, _, reason in results if reason}
    return frame((found for _, found, reason in results if not reason), FEEDBACK), unusable
