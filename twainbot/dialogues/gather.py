"""All dialogues in one table with a decision: synthetic ones and transcripts. The rules for one dialogue are quality.py's."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from typing import Any

import polars as pl

from twainbot.dialogues import prompts
from twainbot.dialogues.quality import screen_dialogues
from twainbot.dialogues.tools import TOOLS
from twainbot.records import DIALOGUE, SCREENED_DIALOGUE, conform, frame
from twainbot.screening import ToxicityScorer

PERSONA = "twain"  # speaks where a transcript names no persona of ours


def gather_and_screen(
    written: pl.DataFrame, transcripts: pl.DataFrame, passages: pl.DataFrame, scorer: ToxicityScorer
) -> pl.DataFrame:
    """Rows of records.SCREENED_DIALOGUE, sorted by id.

    `written`: rows of records.DIALOGUE. `transcripts`: rows of records.WORK whose extra holds turns. `passages`: what is
    curated; a transcript that is not, and a dialogue one of whose parents no longer is, are rejected.
    """
    logged = frame((from_work(work) for work in usable(transcripts)), DIALOGUE)
    rows = pl.concat([conform(written, DIALOGUE, "dialogues").select(list(DIALOGUE)), logged]).sort("conversation_id")
    judged = screen_dialogues(rows, scorer)
    chunks, works = set(passages["chunk_id"].to_list()), set(passages["work_id"].to_list())
    listed = [with_parents(row, chunks, works) for row in judged.to_dicts()]
    return frame(listed, SCREENED_DIALOGUE)


def usable(transcripts: pl.DataFrame) -> Iterable[dict[str, Any]]:
    """Transcripts that were not rejected when they were read."""
    return transcripts.filter(pl.col("reject_reason").is_null()).to_dicts()


def from_work(work: Mapping[str, Any]) -> dict[str, Any]:
    """A transcript as a dialogue: its own turns, a system prompt in front where it has none."""
    extra = json.loads(work["extra"])
    turns, tags = extra["turns"], extra.get("style_tags") or []
    persona = next((tag for tag in tags if tag in prompts.personas()), PERSONA)
    if turns[0]["role"] != "system":
        turns = [{"role": "system", "content": prompts.system_prompt(persona), "tool_call": None}, *turns]
    return {
        "conversation_id": work["work_id"],
        "kind": "transcript",
        "scenario": "transcript",
        "tools": json.dumps(TOOLS),
        "turns": turns,
        "style_tags": tags,
        "seed_id": None,
        "origin": json.dumps({"generator": "transcript", "model": None, "parents": [work["work_id"]]}),
        "disclaimer": f"Transcript: {work['title']}, {work['license']}.",
    }


def with_parents(row: Mapping[str, Any], chunks: set[str], works: set[str]) -> dict[str, Any]:
    """The row, rejected where something that it was made from is not curated any more."""
    lost = [parent for parent in parents(row) if parent not in chunks and parent not in works]
    if not lost:
        return dict(row)
    return {**row, "decision": "reject", "reasons": [*row["reasons"], *(f"parent_not_curated: {p}" for p in lost)]}


def parents(row: Mapping[str, Any]) -> list[str]:
    """Ids of the chunks or works that a dialogue was made from."""
    found = json.loads(row["origin"]).get("parents") or []
    return [str(parent) for parent in found]
