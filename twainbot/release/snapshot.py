"""A data bundle's tables out of the lake's: what is released, where each row comes from, and what is left out and why.

Text goes out only where the rights of every work behind it let it (`release_text` of corpora/rights.py): a permission to
train is none to publish. Everything that was taken and is not released stands in `left_out`, without its text.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from twainbot.corpora.rights import USES
from twainbot.curation import DECONTAMINATION_WORDS
from twainbot.dedupe import eval_overlaps
from twainbot.dialogues import gather
from twainbot.errors import BadInput
from twainbot.records import HELD_BACK, Schema, frame
from twainbot.release import chat
from twainbot.release.origins import (
    WORK_COLUMNS,
    Sources,
    home_of,
    origin_rows,
    origin_table,
    work_of,
    works_behind,
)

LEFT_OUT: Schema = {
    "sample_id": pl.String,  # of a passage, work, dialogue or pair
    "kind": pl.String,  # work | passage | dialogue | preference
    "source": pl.String,
    "unit": pl.String,
    "stage": pl.String,  # corpora | screened | dedupe | curated | dialogues | splits | release
    "decision": pl.String,  # reject | review | held_back | withheld
    "reasons": pl.List(pl.String),
}
SPLIT_CONFIGS = ("dapt", "sft", "preferences", "dialogues", "provenance")  # a file per split
WHOLE_CONFIGS = ("works", "left_out")  # one file
CONFIGS = (*SPLIT_CONFIGS, *WHOLE_CONFIGS)
ID_COLUMNS = {"dialogues": "conversation_id", "works": "work_id"}  # of the rest: sample_id
TIES = "would_tie_splits"
NO_DIALOGUE = "its_dialogue_is_left_out"


@dataclass(frozen=True)
class Material:
    """The lake's tables, whole. `works`: all rows of stage corpora; `seeds`: seed id to payload."""

    works: pl.DataFrame
    passages: pl.DataFrame
    rejects: pl.DataFrame
    dialogues: pl.DataFrame
    pairs: pl.DataFrame
    assignments: pl.DataFrame
    dapt: pl.DataFrame
    sft: pl.DataFrame
    preferences: pl.DataFrame
    seeds: Mapping[str, Mapping[str, Any]]


def snapshot(found: Material) -> dict[str, pl.DataFrame]:
    """The bundle's tables by config. Raises BadInput where a split's row has nothing behind it."""
    usable = found.works.filter(pl.col("reject_reason").is_null())
    known = Sources(
        works=by_id(usable, "work_id"), dialogues=by_id(found.dialogues, "conversation_id"), seeds=found.seeds,
        assigned=by_id(found.assignments, "sample_id"),
    )  # fmt: skip
    rows = origins(found, known)
    closed = {row["sample_id"]: forbidden(row) for row in rows if forbidden(row)}
    told = origin_table(row for row in rows if row["sample_id"] not in closed)
    out = pl.col("sample_id").is_in(told["sample_id"].implode())
    talks = found.dialogues.join(
        told.filter(kind="dialogue").select(conversation_id="sample_id", split="split"), on="conversation_id"
    ).sort("conversation_id")
    return {
        "dapt": found.dapt.filter(out),
        "sft": chat.with_messages(found.sft.filter(out), "messages"),
        "preferences": chat.with_messages(found.preferences.filter(out), "prompt"),
        "dialogues": talks.select("conversation_id", "split", pl.exclude("conversation_id", "split")),
        "provenance": told,
        "works": works_table(usable, told),
        "left_out": left_out(found, known, closed),
    }


def by_id(rows: pl.DataFrame, column: str) -> dict[str, dict[str, Any]]:
    """Rows by their id."""
    return {str(row[column]): row for row in rows.to_dicts()}


def origins(found: Material, known: Sources) -> list[dict[str, Any]]:
    """The origin of every row of the splits. Raises BadInput naming rows that nothing in the lake explains, or a row whose
    work is rejected or gone: without its rights the row would pass as free of any."""
    ids = {
        name: set(rows["sample_id"])
        for name, rows in {"dapt": found.dapt, "sft": found.sft, "preferences": found.preferences}.items()
    }
    passages = found.passages.filter(pl.col("chunk_id").is_in(list(ids["dapt"])))
    dialogues = found.dialogues.filter(pl.col("conversation_id").is_in(list(ids["sft"])))
    pairs = found.pairs.filter(pl.col("preference_id").is_in(list(ids["preferences"])))
    found_ids = {*passages["chunk_id"], *dialogues["conversation_id"], *pairs["preference_id"]}
    lost = sorted(set().union(*ids.values()) - found_ids)
    if lost:
        raise BadInput(
            f"{len(lost)} rows of the splits have no passage, dialogue or pair behind them (first {lost[0]!r}). "
            "Run `twainbot run --select splits`, then release again."
        )
    return origin_rows(passages, dialogues, pairs, known)


def forbidden(row: Mapping[str, Any]) -> list[str]:
    """Rights behind a row that do not let its text be released."""
    return [rights for rights in row["rights"] if USES[rights]["release_text"] == "no"]


def works_table(works: pl.DataFrame, told: pl.DataFrame) -> pl.DataFrame:
    """The works behind released rows, without their texts: terms, edition, hashes of the file and of the cleaned text."""
    parents = told["parents"].explode().drop_nulls().to_list()
    used = {*told["work_id"].drop_nulls(), *works_behind(parents)}
    kept = works.filter(pl.col("work_id").is_in(list(used)))
    hashes = [hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest() for text in kept["text"]]
    measured = kept.with_columns(
        characters=pl.col("text").str.len_chars().cast(pl.Int64), text_sha256=pl.Series(hashes, dtype=pl.String)
    )
    return measured.select(WORK_COLUMNS).sort("work_id")


def left_out(found: Material, known: Sources, closed: Mapping[str, list[str]]) -> pl.DataFrame:
    """Everything that was taken or written and is not released, with the stage and the reasons, sorted by both."""
    rows = [*rejected_texts(found), *rejected_talks(found, known), *held_back(found, known), *withheld(known, closed)]
    return frame(rows, LEFT_OUT).select(list(LEFT_OUT)).sort("stage", "sample_id")


def rejected_texts(found: Material) -> Iterator[dict[str, Any]]:
    """Works and passages that curation left out."""
    units = dict(found.works.select("work_id", "unit").iter_rows())
    for row in found.rejects.to_dicts():
        kind = "work" if row["sample_id"] == row["work_id"] else "passage"
        yield {**row, "kind": kind, "unit": units.get(row["work_id"])}


def rejected_talks(found: Material, known: Sources) -> Iterator[dict[str, Any]]:
    """Dialogues that the gates refused, and pairs whose dialogue is one of them."""
    kept = set(found.dialogues.filter(pl.col("decision") == "keep")["conversation_id"])
    for row in found.dialogues.filter(pl.col("decision") != "keep").to_dicts():
        name = row["conversation_id"]
        yield line(name, "dialogue", known, "dialogues", row["decision"], row["reasons"])
    for row in found.pairs.to_dicts():
        if row["seed_id"] not in kept:
            yield line(row["preference_id"], "preference", known, "dialogues", "reject", [NO_DIALOGUE])


def held_back(found: Material, known: Sources) -> Iterator[dict[str, Any]]:
    """Samples that would tie two splits together."""
    for row in found.assignments.filter(pl.col("split") == HELD_BACK).to_dicts():
        yield line(row["sample_id"], row["kind"], known, "splits", HELD_BACK, [TIES])


def withheld(known: Sources, closed: Mapping[str, list[str]]) -> Iterator[dict[str, Any]]:
    """Rows of the splits whose text may be trained on and not published."""
    for name, rights in closed.items():
        reasons = [f"rights_forbid_release:{each}" for each in rights]
        yield line(name, known.assigned[name]["kind"], known, "release", "withheld", reasons)


def line(name: str, kind: str, known: Sources, stage: str, decision: str, reasons: list[str]) -> dict[str, Any]:
    """One row of LEFT_OUT."""
    home = home_of_passage(name, known) if kind == "passage" else home_of(name, known)
    return {"sample_id": name, "kind": kind, **home, "stage": stage, "decision": decision, "reasons": reasons}


def home_of_passage(name: str, known: Sources) -> dict[str, Any]:
    """Source and unit of a passage, by its work."""
    work = known.works.get(work_of(name), {})
    return {"source": work.get("source"), "unit": work.get("unit")}


def checked(tables: Mapping[str, pl.DataFrame]) -> list[str]:
    """Ids of released rows that `provenance` does not explain, and of provenance that explains no row or names a work that
    `works` lacks; empty if whole."""
    told = set(tables["provenance"].select("sample_id", "split").iter_rows())
    rows = {
        pair
        for name in ("dapt", "sft", "preferences")
        for pair in tables[name].select("sample_id", "split").iter_rows()
    }
    homeless = tables["provenance"].drop_nulls("work_id").join(tables["works"], on="work_id", how="anti")
    return sorted({*(name for name, _ in told ^ rows), *homeless["sample_id"]})


def of_evals(tables: Mapping[str, pl.DataFrame], eval_texts: Mapping[str, str]) -> list[str]:
    """`<id>: <suite>/<item>` of released rows in which text of an evaluation stands, by the rules of curation and dialogues."""
    texts = dict(tables["dapt"].select("sample_id", "text").iter_rows())
    overlaps = eval_overlaps(texts.items(), eval_texts, n=DECONTAMINATION_WORDS)
    read = [f"{row['text_id']}: {row['suite']}/{row['item_id']}" for row in overlaps.to_dicts()]
    said = gather.of_evals(tables["dialogues"].to_dicts(), eval_texts)
    return [*read, *(f"{name}: {reason.removeprefix('eval_text: ')}" for name, reason in said)]
