"""Where each row of a data bundle comes from: its characters of a work, or what wrote it from which seed and parents.

`twainbot trace` tells one sample's story over a lake; this is the same for all rows at once, for whoever has the bundle
alone.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from twainbot.errors import BadInput
from twainbot.provenance import SPAN, chunk_span, standing
from twainbot.records import Schema, frame

ORIGIN: Schema = {
    "sample_id": pl.String,
    "split": pl.String,
    "kind": pl.String,  # passage | dialogue | preference
    "source": pl.String,  # of the passage or transcript; `dialogues` for what was written here
    "unit": pl.String,  # file, book, feed or office of the source; a generation batch for what was written here
    "work_id": pl.String,  # the work whose characters these are, or that was retold; null where no text stands behind it
    "start": pl.Int64,  # characters in the cleaned work, 0-based, inclusive
    "end": pl.Int64,  # exclusive
    "span": pl.String,  # what the characters are: passage | retold words | source passage | whole work
    "parents": pl.List(pl.String),  # ids that it was made from, nearest first
    "bulletins": pl.List(pl.String),  # weather bulletins among them, by work id
    "seed_id": pl.String,
    "generator": pl.String,
    "model": pl.String,
    "prompt_hash": pl.String,
    "seed": pl.Int64,
    "disclaimer": pl.String,
    "group_id": pl.String,  # rows of one group are never in two splits
    "cluster_id": pl.String,
    "stratum": pl.String,
    "rights": pl.List(pl.String),  # of all works behind it
    "license": pl.List(pl.String),
    "origin": pl.String,  # JSON: all that the generator recorded; null for passages
}
WORK_COLUMNS = (
    "work_id", "source", "unit", "title", "author", "style", "language", "rights", "license", "rights_claim",
    "rights_rule", "url", "edition", "retrieved_at", "raw_sha256", "characters", "text_sha256",
)  # fmt: skip
WEATHER = "weather"
WRITTEN_HERE = "dialogues"


@dataclass(frozen=True)
class Sources:
    """What rows may come from, by id."""

    works: Mapping[str, Mapping[str, Any]]  # those that are not rejected, with their texts
    dialogues: Mapping[str, Mapping[str, Any]]
    seeds: Mapping[str, Mapping[str, Any]]  # seed id -> payload
    assigned: Mapping[str, Mapping[str, Any]]


def passage_origin(row: Mapping[str, Any], known: Sources) -> dict[str, Any]:
    """Where a passage stands in its work. `row`: of curated/passages."""
    place = {name: row[name] for name in ("source", "unit", "work_id", "start", "end")}
    return {**common(row["chunk_id"], "passage", [row["work_id"]], known), **place, "span": "passage", "parents": []}


def dialogue_origin(row: Mapping[str, Any], known: Sources) -> dict[str, Any]:
    """What wrote a dialogue and from what. `row`: of dialogues/screened."""
    name = row["conversation_id"]
    found = parents_of(row)
    made = {**written(row), "parents": found, **place_of(row, found, known)}
    return {**common(name, "dialogue", works_behind(found), known), **made}


def preference_origin(row: Mapping[str, Any], known: Sources) -> dict[str, Any]:
    """What wrote a pair, and what stands behind its dialogue. `row`: of dialogues/contrastive."""
    behind = known.dialogues[row["seed_id"]]
    found = list(dict.fromkeys([row["seed_id"], *parents_of(row), *parents_of(behind)]))
    inherited = parents_of(behind)
    # the pair's own parents too: its dialogue may have been written anew since
    texts = [parent for parent in found if parent != row["seed_id"]]
    made = {**written(row), "disclaimer": behind["disclaimer"], "parents": found, **place_of(behind, inherited, known)}
    return {**common(row["preference_id"], "preference", works_behind(texts), known), **made,
            **home_of(row["preference_id"], known)}  # fmt: skip


def common(name: str, kind: str, works: Sequence[str], known: Sources) -> dict[str, Any]:
    """What every row has: its split and group, and the terms and bulletins behind it."""
    assigned = known.assigned[name]
    terms = [usable(work, name, known) for work in works]
    return {
        "sample_id": name,
        "kind": kind,
        **{column: assigned[column] for column in ("split", "group_id", "cluster_id", "stratum")},
        "rights": sorted({work["rights"] for work in terms}),
        "license": sorted({work["license"] for work in terms if work["license"]}),
        "bulletins": [work["work_id"] for work in terms if work["source"] == WEATHER],
    }


def usable(work: str, name: str, known: Sources) -> Mapping[str, Any]:
    """A work behind a row. Raises BadInput where it is rejected or gone: nobody knows then whether its text may go out."""
    if work not in known.works:
        raise BadInput(
            f"{name!r} is made from the work {work!r}, which is now rejected or no longer in the lake, and the splits still "
            "hold the row. Run `twainbot refresh`, then release again."
        )
    return known.works[work]


def written(row: Mapping[str, Any]) -> dict[str, Any]:
    """What a synthetic row's origin says of its writer."""
    origin = json.loads(row["origin"] or "{}")
    told = {name: origin.get(name) for name in ("generator", "model", "prompt_hash", "seed")}
    return {**told, "seed_id": row["seed_id"], "disclaimer": row.get("disclaimer"), "origin": row["origin"]}


def parents_of(row: Mapping[str, Any]) -> list[str]:
    """Ids that a synthetic row names as its parents, in order."""
    return [str(parent) for parent in json.loads(row["origin"] or "{}").get("parents") or []]


def works_behind(parents: Iterable[str]) -> list[str]:
    """The works of these passages, or the works themselves, in order."""
    return list(dict.fromkeys(work_of(parent) for parent in parents))


def work_of(parent: str) -> str:
    """The work that a passage id names; a work's own id as it is."""
    return chunk_span(parent)[0] if SPAN.search(parent) else parent


def home_of(name: str, known: Sources) -> dict[str, Any]:
    """Source and unit of a row: those of the transcript that it is, else the batch that it was written in."""
    work = known.works.get(name)
    if work is not None:
        return {"source": work["source"], "unit": work["unit"]}
    return {"source": WRITTEN_HERE, "unit": name.split("/", 1)[0]}


def place_of(row: Mapping[str, Any], parents: Sequence[str], known: Sources) -> dict[str, Any]:
    """The characters that a dialogue retells or is: the very words where they are found, else the passage, else nothing."""
    home = home_of(row["conversation_id"], known)
    first = next((parent for parent in parents if work_of(parent) in known.works), None)
    if first is None:
        return home
    work = known.works[work_of(first)]
    if not SPAN.search(first):
        return {**home, "work_id": first, "start": 0, "end": len(work["text"]), "span": "whole work"}
    work_id, start, end = chunk_span(first)
    words = retold(known.seeds.get(row["seed_id"] or "", {}))
    exact = standing(words, work["text"], start, end) if words else None
    said = "retold words" if exact else "source passage"
    start, end = exact or (start, end)
    return {**home, "work_id": work_id, "start": start, "end": end, "span": said}


def retold(payload: Mapping[str, Any]) -> str:
    """The words that a seed froze to be retold; empty where it froze none."""
    seen = payload.get("seen")
    return str(payload.get("text") or (seen.get("text") if isinstance(seen, dict) else "") or "")


def origin_rows(
    passages: pl.DataFrame, dialogues: pl.DataFrame, pairs: pl.DataFrame, known: Sources
) -> list[dict[str, Any]]:
    """One row of ORIGIN for each row given, in order of kind and id."""

    def all_of() -> Iterator[dict[str, Any]]:
        yield from (passage_origin(row, known) for row in passages.sort("chunk_id").to_dicts())
        yield from (dialogue_origin(row, known) for row in dialogues.sort("conversation_id").to_dicts())
        yield from (preference_origin(row, known) for row in pairs.sort("preference_id").to_dicts())

    return list(all_of())


def origin_table(rows: Iterable[Mapping[str, Any]]) -> pl.DataFrame:
    """Rows as a table of ORIGIN."""
    return frame(rows, ORIGIN).select(list(ORIGIN))
