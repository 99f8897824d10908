"""The review queue: what waits for a person, and what people decided. What a decision changes is twainbot/curation's.

Decisions are JSON lines of chunk_id, decision, reviewer, decided_at and note in the profile's reviews.jsonl, one line
each, added at the end: the latest on a chunk holds. The graph sees the file as `sources/reviews`.
"""

from __future__ import annotations

import difflib
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from resources.lake import Lake
from twainbot.errors import BadInput, BadUse
from twainbot_assets.append_lines import append
from twainbot_assets.json_lines import read_objects
from twainbot_assets.profile import SOURCES

if TYPE_CHECKING:
    from resources.home import Home

DECISIONS = ("keep", "reject")  # `review` is what a person ends
SHOWN = 5  # faults of a file, named at once

Reasons: TypeAlias = Mapping[str, Sequence[str]]  # the screen's, by chunk id


@dataclass(frozen=True)
class Review:
    """One decision of a person. `decided_at`: ISO 8601, UTC."""

    chunk_id: str
    decision: str
    reviewer: str
    decided_at: str
    note: str = ""


def open_queue(lake: Lake) -> str:
    """JSON lines of the passages that wait for a person: chunk_id, decision null, note, reasons, evidence and the text.

    Evidence: the terms that the screen stopped at, each with its surroundings. Empty where nothing waits. Raises
    BadInput where curated/rejects was never built.
    """
    import polars as pl

    waiting = lake.scan("curated/rejects").filter(pl.col("decision") == "review").collect().sort("sample_id")
    ids = waiting["sample_id"].to_list()
    texts, evidence = column_of(lake, "chunks", "text", ids), column_of(lake, "screened", "evidence", ids)
    rows = (
        {"chunk_id": row["sample_id"], "decision": None, "note": "", "reasons": row["reasons"],
         "evidence": list(evidence.get(row["sample_id"]) or ()), "text": texts.get(row["sample_id"])}
        for row in waiting.iter_rows(named=True)
    )  # fmt: skip
    return "\n".join(json.dumps(row, ensure_ascii=False) for row in rows)


def column_of(lake: Lake, stage: str, column: str, chunk_ids: Sequence[str]) -> dict[str, Any]:
    """One column of a stage's tables by chunk id; files of before that column existed give nothing."""
    import polars as pl

    found: dict[str, Any] = {}
    for source in SOURCES:
        rows = lake.scan_all(f"{stage}/{source}").filter(pl.col("chunk_id").is_in(list(chunk_ids)))
        if column in rows.collect_schema().names():
            found |= dict(rows.select("chunk_id", column).collect().iter_rows())
    return found


def bring_back(file: Path, reviewer: str, home: Home) -> str:
    """Add a file's decisions to the home's reviews, all or none; returns what was done and the next command.

    A line whose decision is null was left undecided and is skipped. Raises BadInput naming the lines that are wrong, BadUse
    where the reviews may not be written.
    """
    if not reviewer.strip():
        raise BadUse("Decisions need a reviewer. Say who decided with --by.")
    if not is_whole(reviewer):
        raise BadUse(f"The reviewer {reviewer!r} is not UTF-8 text. Write the name in whole characters.")
    lines = read_objects(file)
    require_sound(file, lines, screening_reasons(Lake(home.lake)))
    made = reviews_of(lines, reviewer.strip())
    if not made:
        raise BadInput(f"{file} holds no decision. Write keep or reject for some of its {len(lines)} lines.")
    try:
        append(home.reviews, [asdict(review) for review in made])
    except OSError as error:
        why = f"{home.reviews} cannot be written: {error.strerror}. Nothing was added."
        raise BadUse(f"{why} Check the permissions of the folder, which lies under TWAINBOT_HOME.") from error
    counts = Counter(review.decision for review in made)
    told = ", ".join(f"{counts[decision]} {decision}" for decision in DECISIONS)
    left = f", {len(lines) - len(made)} left undecided" if len(made) < len(lines) else ""
    return f"Decisions by {reviewer.strip()} added to {home.reviews}: {told}{left}. Next: `twainbot refresh`."


def require_sound(file: Path, lines: Sequence[tuple[int, Mapping[str, Any]]], reasons: Reasons) -> None:
    """Raise BadInput naming the lines that cannot be taken."""
    faults = [f"line {number}: {fault}" for number, row in lines if (fault := fault_of(row, reasons))]
    if faults:
        more = f" And {len(faults) - SHOWN} more lines." if len(faults) > SHOWN else ""
        raise BadInput(f"{file} was not taken, nothing is written. {' '.join(map(sentence, faults[:SHOWN]))}{more}")


def reviews_of(lines: Sequence[tuple[int, Mapping[str, Any]]], reviewer: str) -> list[Review]:
    """The decisions of sound lines, in order, those left open skipped."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    return [
        Review(row["chunk_id"], row["decision"], reviewer, now, row.get("note") or "")
        for _, row in lines
        if row["decision"] is not None
    ]


def screening_reasons(lake: Lake) -> Reasons:
    """The screen's reasons by chunk id, of every chunk that was screened."""
    found: dict[str, list[str]] = {}
    for source in SOURCES:
        rows = lake.scan_all(f"screened/{source}").select("chunk_id", "reasons").collect()
        found |= {chunk_id: list(reasons or []) for chunk_id, reasons in rows.iter_rows()}
    return found


def fault_of(row: Mapping[str, Any], reasons: Reasons) -> str:
    """What is wrong with one line and how to mend it; empty where it can be taken."""
    from twainbot.curation import NEVER_OVERRULED

    chunk_id, decision, note = row.get("chunk_id"), row.get("decision"), row.get("note")
    if not isinstance(chunk_id, str) or not chunk_id:
        return "it has no chunk_id; copy it from the queue that `twainbot decide` writes"
    if "decision" not in row:
        return "it has no decision; write keep or reject, or null to leave it open"
    if decision not in (*DECISIONS, None):
        return f"decision {decision!r} is neither keep nor reject; write one of them, or null to leave it open"
    if not isinstance(note, str | None):
        return "its note is not text; write it as a string"
    if note and not is_whole(note):
        return "its note holds half of a surrogate pair, which no file can hold; write it in whole characters"
    if chunk_id not in reasons:
        near = difflib.get_close_matches(chunk_id, reasons, n=1)
        return f"no screened passage is called {chunk_id!r}" + (f"; did you mean {near[0]!r}?" if near else "")
    barred = [reason for reason in reasons[chunk_id] if reason in NEVER_OVERRULED]
    if decision == "keep" and barred:
        return (
            f"{chunk_id!r} has {barred[0]}, and a reviewer cannot grant rights; "
            "take the line out, or state the work's rights in its sidecar or manifest"
        )
    return ""


def is_whole(text: str) -> bool:
    """Whether a file can hold a text: JSON may write half of a surrogate pair, a shell bytes that are no UTF-8."""
    return text.encode("utf-8", "replace").decode() == text


def sentence(fault: str) -> str:
    """A fault with a full stop or its question mark."""
    return fault if fault.endswith("?") else f"{fault}."
