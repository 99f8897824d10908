"""Small valid records for tests: each takes the fields that the test is about and fills in the rest."""

from __future__ import annotations

import json
from typing import Any

import polars as pl

from twainbot.dialogues.rows import call, compact, turn
from twainbot.dialogues.tools import TOOLS
from twainbot.records import (
    CHUNK,
    CLUSTER,
    DIALOGUE,
    FEEDBACK,
    PASSAGE,
    PREFERENCE,
    SCREENED,
    SCREENED_DIALOGUE,
    SEED,
    WORK,
    frame,
)

TEXT = "It rained on Crow Bend for nine days, and on the tenth the river came up to see what was the matter."
PROVENANCE = {
    "title": "The Flood", "author": "Amos Quill", "edition": "tales", "license": "CC0-1.0", "raw_sha256": "ab" * 32
}  # fmt: skip
FORECAST = {
    "location": "Hannibal, MO", "datetime": "tomorrow", "date": "2026-05-02", "weekday": "Saturday",
    "condition": "partly cloudy", "high_f": 71, "low_f": 52, "precipitation_chance": 30, "wind_mph": 12,
    "wind_direction": "SW", "alerts": [],
}  # fmt: skip
REPLY = (
    "I put the matter to the weather office, who had plainly been waiting for somebody to ask. "
    "Hannibal, MO tomorrow: partly cloudy, a high of 71 degrees and a low of 52 degrees."
)
# A tool with a parameter of each type that the leaderboard knows.
FLEXIBLE = {
    "name": "look_up",
    "parameters": {
        "type": "dict",
        "required": ["location"],
        "properties": {
            "location": {"type": "string"},
            "unit": {"type": "string", "default": "fahrenheit"},
            "days": {"type": "integer"},
            "height": {"type": "float"},
            "coordinates": {"type": "array", "items": {"type": "float"}},
            "options": {"type": "dict"},
            "stops": {"type": "array", "items": {"type": "dict"}},
            "alerts": {"type": "boolean"},
        },
    },
}
ORIGIN = json.dumps({"generator": "grammar", "model": None, "parents": []})


def work(work_id: str = "tales/the-flood", **changes: Any) -> dict[str, Any]:
    """A usable work of the drop folder."""
    return {
        "work_id": work_id, "source": "local", "unit": work_id.split("/")[0], "title": "The Flood",
        "author": "Amos Quill", "style": "twain", "language": "en", "rights": "cc0", "license": "CC0-1.0",
        "rights_claim": "declared", "rights_rule": "declared_by_whoever_listed_it",
        "url": "samples/local/tales.md", "edition": "tales", "retrieved_at": "2026-01-02T03:04:05+00:00",
        "raw_sha256": "ab" * 32, "text": TEXT, "warnings": [], "reject_reason": None, "extra": "{}", **changes,
    }  # fmt: skip


def chunk(work_id: str = "tales/the-flood", start: int = 0, text: str = TEXT, **changes: Any) -> dict[str, Any]:
    """A chunk of a work, from `start` on."""
    end = start + len(text)
    return {
        "chunk_id": f"{work_id}:{start}-{end}", "work_id": work_id, "source": "local", "unit": work_id.split("/")[0],
        "start": start, "end": end, "text": text, "token_count": len(text.split()), "style": "twain",
        "tone": "neutral", "topic": "general", "copyright_status": "cc0", "is_satire": False,
        "weather_relevance": 0.5, "humor_density": 0.0, "heading": "", "provenance": json.dumps(PROVENANCE),
        "readability": 5.0, "era": "undated", "tagger": "rules-0", **changes,
    }  # fmt: skip


def passage(work_id: str = "tales/the-flood", **changes: Any) -> dict[str, Any]:
    """A curated chunk, alone in its cluster."""
    own = {name: changes.pop(name) for name in ("cluster_id", "title", "author", "license") if name in changes}
    made = chunk(work_id, **changes)
    known = {"cluster_id": made["chunk_id"], "title": "The Flood", "author": "Amos Quill", "license": "CC0-1.0"}
    return {**made, **known, **own}


def screened(chunk_id: str, decision: str = "keep", *reasons: str, **changes: Any) -> dict[str, Any]:
    """A screening decision without a toxicity model."""
    return {
        "chunk_id": chunk_id, "work_id": chunk_id.rsplit(":", 1)[0], "decision": decision, "reasons": list(reasons),
        "toxicity": None, "toxicity_backend": "not_scored", "lexical_flags": [], "sensitive_topics": [],
        "quality_flags": [], **changes,
    }  # fmt: skip


def cluster(chunk_id: str, cluster_id: str = "", *, canonical: bool = True, size: int = 1) -> dict[str, Any]:
    """A chunk's place in a cluster; its own by default."""
    return {"chunk_id": chunk_id, "cluster_id": cluster_id or chunk_id, "is_canonical": canonical, "size": size}


def talk_turns(reply: str = REPLY) -> list[dict[str, Any]]:
    """Question, tool call, tool result, reply."""
    return [
        turn("user", "What will it do in Hannibal, MO tomorrow?"),
        call("Hannibal, MO", "tomorrow"),
        turn("tool", compact(FORECAST)),
        turn("assistant", reply),
    ]


def dialogue(conversation_id: str = "b000-t-0000", **changes: Any) -> dict[str, Any]:
    """A sound weather dialogue with one tool call."""
    return {
        "conversation_id": conversation_id, "kind": "tool_calls", "scenario": "single", "tools": json.dumps(TOOLS),
        "turns": talk_turns(), "style_tags": ["twain"],
        "seed_id": conversation_id, "origin": ORIGIN, "disclaimer": "Synthetic.", **changes,
    }  # fmt: skip


def judged_dialogue(conversation_id: str = "b000-t-0000", **changes: Any) -> dict[str, Any]:
    """A dialogue that was kept."""
    verdict = {"decision": "keep", "reasons": [], "toxicity": None, "toxicity_backend": "not_scored"}
    return {**dialogue(conversation_id), **verdict, **changes}


def preference(preference_id: str = "b000-p-0000", **changes: Any) -> dict[str, Any]:
    """A pair over the first three turns of `dialogue`."""
    return {
        "preference_id": preference_id, "prompt": talk_turns()[:3], "chosen": REPLY,
        "rejected": REPLY.replace("71", "84"), "flaw": "wrong_number", "seed_id": "b000-t-0000", "origin": ORIGIN,
        **changes,
    }  # fmt: skip


def rating(conversation_id: str = "b000-t-0000", **changes: Any) -> dict[str, Any]:
    """Rubric scores in range."""
    scores = {"style": 4, "humor": 3, "factuality": 5, "rater": "rules", "rationale": "Figures match; one joke."}
    return {"conversation_id": conversation_id, **scores, **changes}


def seed(seed_id: str = "b000-t-0000", **changes: Any) -> dict[str, Any]:
    """A frozen seed of batch b000."""
    return {"seed_id": seed_id, "batch": "b000", "kind": "tool_calls", "chunk_ids": [], "payload": "{}", **changes}


def works(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `work` as a table; one default work where none is given."""
    return frame(rows or (work(),), WORK)


def chunks(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `chunk` as a table."""
    return frame(rows or (chunk(),), CHUNK)


def passages(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `passage` as a table."""
    return frame(rows or (passage(),), PASSAGE)


def decisions(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `screened` as a table; the decision on the default chunk where none is given."""
    return frame(rows or (screened(chunk()["chunk_id"]),), SCREENED)


def clusters(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `cluster` as a table; the default chunk's own where none is given."""
    return frame(rows or (cluster(chunk()["chunk_id"]),), CLUSTER)


def dialogues(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `dialogue` as a table."""
    return frame(rows or (dialogue(),), DIALOGUE)


def judged_dialogues(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `judged_dialogue` as a table."""
    return frame(rows or (judged_dialogue(),), SCREENED_DIALOGUE)


def preferences(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `preference` as a table."""
    return frame(rows or (preference(),), PREFERENCE)


def ratings(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `rating` as a table."""
    return frame(rows or (rating(),), FEEDBACK)


def seeds(*rows: dict[str, Any]) -> pl.DataFrame:
    """Rows of `seed` as a table."""
    return frame(rows or (seed(),), SEED)
