"""Training tables: samples of each split in the form that the training scripts read. Who is in which split is assign.py's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import polars as pl

from twainbot.dialogues.tools import to_messages
from twainbot.records import DAPT_ROW, PREFERENCE_ROW, SFT_ROW, conform, frame

NOT_PROSE = ("dialogue",)  # transcripts are trained as dialogues, not read as text


def samples(passages: pl.DataFrame, dialogues: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """What is to be split: (sample_id, kind, cluster_id, work_id, seed_id, stratum), one row per training sample.

    A style transfer belongs to the cluster and work of the passage that it retells; a pair to its dialogue's seed.
    """
    home = {row["chunk_id"]: row for row in passages.select("chunk_id", "cluster_id", "work_id").to_dicts()}
    prose = passages.filter(~pl.col("style").is_in(NOT_PROSE)).select(
        sample_id="chunk_id", kind=pl.lit("passage"), cluster_id="cluster_id", work_id="work_id",
        seed_id=pl.lit(None, pl.String), stratum=pl.concat_str(pl.lit("passage/"), "style"),
    )  # fmt: skip
    kept = dialogues.filter(pl.col("decision") == "keep").to_dicts()
    spoken = [dialogue_sample(row, home) for row in kept]
    ids = {row["conversation_id"] for row in kept}
    contrasted = [
        {
            "sample_id": row["preference_id"], "kind": "preference", "cluster_id": None, "work_id": None,
            "seed_id": row["seed_id"], "stratum": "preference",
        }
        for row in pairs.to_dicts()
        if row["seed_id"] in ids
    ]  # fmt: skip
    return pl.concat([prose, pl.DataFrame([*spoken, *contrasted], schema=prose.schema, infer_schema_length=None)])


def dialogue_sample(row: Mapping[str, Any], home: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One dialogue as a sample; its first curated parent gives cluster and work."""
    found = json.loads(row["origin"]).get("parents") or []
    nowhere: Mapping[str, Any] = dict[str, Any]()
    parent = next((home[chunk_id] for chunk_id in found if chunk_id in home), nowhere)
    work = row["conversation_id"] if row["kind"] == "transcript" else parent.get("work_id")
    return {
        "sample_id": row["conversation_id"],
        "kind": "dialogue",
        "cluster_id": parent.get("cluster_id"),
        "work_id": work,
        "seed_id": row["seed_id"],
        "stratum": f"dialogue/{row['kind']}",
    }


def dapt_rows(passages: pl.DataFrame, assignments: pl.DataFrame) -> pl.DataFrame:
    """Rows of records.DAPT_ROW, sorted by sample id."""
    return conform(
        split_of(assignments)
        .join(passages, left_on="sample_id", right_on="chunk_id")
        .select("sample_id", "split", "style", "text", "token_count")
        .sort("sample_id"),
        DAPT_ROW,
        "splits/dapt",
    )


def sft_rows(dialogues: pl.DataFrame, assignments: pl.DataFrame) -> pl.DataFrame:
    """Rows of records.SFT_ROW, sorted by sample id: served tool names, and the tools that each dialogue offers."""
    rows = split_of(assignments).join(dialogues, left_on="sample_id", right_on="conversation_id").sort("sample_id")
    return frame(
        (
            {
                "sample_id": row["sample_id"],
                "split": row["split"],
                "kind": row["kind"],
                "messages": json.dumps(to_messages(row["turns"]), ensure_ascii=False),
                "tools": row["tools"],
            }
            for row in rows.to_dicts()
        ),
        SFT_ROW,
    )


def preference_rows(pairs: pl.DataFrame, assignments: pl.DataFrame) -> pl.DataFrame:
    """Rows of records.PREFERENCE_ROW, sorted by sample id."""
    rows = split_of(assignments).join(pairs, left_on="sample_id", right_on="preference_id").sort("sample_id")
    return frame(
        (
            {
                "sample_id": row["sample_id"],
                "split": row["split"],
                "prompt": json.dumps(to_messages(row["prompt"]), ensure_ascii=False),
                "chosen": row["chosen"],
                "rejected": row["rejected"],
            }
            for row in rows.to_dicts()
        ),
        PREFERENCE_ROW,
    )


def split_of(assignments: pl.DataFrame) -> pl.DataFrame:
    """sample_id and split."""
    return assignments.select("sample_id", "split")
