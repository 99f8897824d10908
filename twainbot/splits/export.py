"""Training tables: samples of each split in the form that the training scripts read. Who is in which split is assign.py's."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl

from twainbot.dialogues import weather
from twainbot.dialogues.prompts import persona_of
from twainbot.dialogues.tools import call_arguments, to_messages
from twainbot.evals.places_dates import read_place
from twainbot.records import DAPT_ROW, HELD_BACK, PREFERENCE_ROW, SFT_ROW, conform, frame

PLACE_PARAMETER = re.compile(r"(?:^|_)(?:location|city|town|place)(?:$|_)|^(?:from|to)_")
BY_TEXT = ("transcript", "style_transfer")  # they belong to the text that they are or retell, whatever they ask about
NOT_PROSE = ("dialogue",)  # transcripts are trained as dialogues, not read as text


def samples(passages: pl.DataFrame, dialogues: pl.DataFrame, pairs: pl.DataFrame) -> pl.DataFrame:
    """What is to be split: (sample_id, kind, cluster_id, work_id, seed_id, stratum, place_id, touches), a row per sample.

    A style transfer belongs to the cluster and work of the passage that it retells; a dialogue with calls to the first
    place that it asks about, and it touches its other places and its bulletins; a pair to its dialogue.
    """
    home = {row["chunk_id"]: row for row in passages.select("chunk_id", "cluster_id", "work_id").to_dicts()}
    prose = passages.filter(~pl.col("style").is_in(NOT_PROSE)).select(
        sample_id="chunk_id", kind=pl.lit("passage"), cluster_id="cluster_id", work_id="work_id",
        seed_id=pl.lit(None, pl.String), stratum=pl.concat_str(pl.lit("passage/"), "style"),
        place_id=pl.lit(None, pl.String), touches=pl.lit(None, pl.List(pl.String)),
    )  # fmt: skip
    kept = dialogues.filter(pl.col("decision") == "keep").to_dicts()
    spoken = {row["conversation_id"]: dialogue_sample(row, home) for row in kept}
    contrasted = [
        {
            **spoken[row["seed_id"]], "sample_id": row["preference_id"], "kind": "preference", "cluster_id": None,
            "work_id": None, "seed_id": row["seed_id"], "stratum": "preference",
        }
        for row in pairs.to_dicts()
        if row["seed_id"] in spoken
    ]  # fmt: skip
    made = pl.DataFrame([*spoken.values(), *contrasted], schema=prose.schema, infer_schema_length=None)
    return pl.concat([prose, made])


def dialogue_sample(row: Mapping[str, Any], home: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """One dialogue as a sample. Where it asks about no place, its first curated parent gives cluster and work."""
    found = json.loads(row["origin"]).get("parents") or []
    known = [home[chunk_id] for chunk_id in found if chunk_id in home]
    places = places_of(row["turns"]) if row["kind"] not in BY_TEXT else list[str]()
    nowhere: Mapping[str, Any] = dict[str, Any]()
    parent = known[0] if known and not places else nowhere
    work = row["conversation_id"] if row["kind"] == "transcript" else parent.get("work_id")
    touched = [*places, *(f"bulletin {each['work_id']}" for each in known)] if places else []
    return {
        "sample_id": row["conversation_id"],
        "kind": "dialogue",
        "cluster_id": parent.get("cluster_id"),
        "work_id": work,
        "seed_id": row["seed_id"],
        "stratum": f"dialogue/{row['kind']}",
        "place_id": places[0] if places else None,
        "touches": list(dict.fromkeys(touched)) or None,
    }


def places_of(turns: Sequence[Mapping[str, Any]]) -> list[str]:
    """The places that the calls ask about, in order, each as "reno, nevada" however it was written."""
    found: list[str] = []
    for turn in turns:
        call = turn["tool_call"]
        if call is not None and call["tool_name"]:
            values = call_arguments(call).items()
            found += [place_name(str(value)) for name, value in values if value and PLACE_PARAMETER.search(name)]
    return list(dict.fromkeys(found))


def place_name(written: str) -> str:
    """Town and region in plain lower case; a bare town of the simulation's list takes its region from there."""
    known = weather.find(written)
    place = read_place(known.canonical if known else written)
    return ", ".join([place.town, *sorted(place.qualifiers)])


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
                "persona": persona_of(row["style_tags"] or []),
                "scenario": row["scenario"] or row["kind"],
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
    """sample_id and split, less what is held back."""
    return assignments.filter(pl.col("split") != HELD_BACK).select("sample_id", "split")
