"""From screened chunks to curated passages: what passes, and a reason for all that does not. Judging text is screening's.

The order of reasons is the order of the funnel: the work, the screen (a person's review overrides it, rights excepted), a
copy of something better, text of an evaluation.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import polars as pl

from twainbot.dedupe import eval_overlaps
from twainbot.errors import BadInput
from twainbot.records import DECISIONS, PASSAGE, REJECT, conform, frame

NEVER_OVERRULED = ("rights_unknown", "rights_restricted")  # a reviewer cannot grant rights
DECONTAMINATION_WORDS = 8  # shared words in a row that count as eval text


@dataclass(frozen=True)
class Curated:
    """`passages`: rows of records.PASSAGE. `rejects`: rows of records.REJECT, sorted by stage and id.

    `overlaps`: rows of decontaminate.OVERLAP, what each chunk that holds eval text shares with which item.
    """

    passages: pl.DataFrame
    rejects: pl.DataFrame
    overlaps: pl.DataFrame


def curate(
    works: pl.DataFrame,
    chunks: pl.DataFrame,
    screened: pl.DataFrame,
    clusters: pl.DataFrame,
    eval_texts: Mapping[str, str],
    reviews: Mapping[str, str] | None = None,
) -> Curated:
    """Split all chunks into passages and rejects. Every chunk and every rejected work is in exactly one of the two."""
    decisions = reviewed(screened, reviews or {})
    rows = chunks.join(decisions, on="chunk_id", how="left").join(
        clusters.select("chunk_id", "cluster_id", "is_canonical"), on="chunk_id", how="left"
    )
    undecided = rows.filter(pl.col("decision").is_null() | pl.col("cluster_id").is_null())
    if undecided.height:
        found = (
            f"{undecided.height} chunks have no screening decision or no cluster (first {undecided['chunk_id'][0]!r})"
        )
        raise BadInput(f"{found}. Rematerialize screened/ and dedupe/clusters.")
    kept = rows.filter((pl.col("decision") == "keep") & pl.col("is_canonical"))
    overlaps = eval_overlaps(kept.select("chunk_id", "text").iter_rows(), eval_texts, n=DECONTAMINATION_WORDS)
    hits = eval_reasons(overlaps)
    clean = kept.filter(~pl.col("chunk_id").is_in(list(hits)))
    titles = works.select("work_id", "title", "author", "license")
    passages = clean.drop("decision", "reasons", "is_canonical").join(titles, on="work_id", how="left")
    whole = conform(passages.sort("chunk_id"), PASSAGE, "curated/passages")
    return Curated(whole, rejects(works, rows, hits), overlaps)


def reviewed(screened: pl.DataFrame, reviews: Mapping[str, str]) -> pl.DataFrame:
    """chunk_id, decision, reasons: the screen's, with people's decisions put in where they may overrule."""
    wrong = sorted({decision for decision in reviews.values() if decision not in DECISIONS})
    if wrong:
        raise BadInput(f"Reviews hold the decisions {wrong}; known: {', '.join(DECISIONS)}.")
    fixed = pl.col("reasons").list.eval(pl.element().is_in(list(NEVER_OVERRULED))).list.any()
    person = pl.col("chunk_id").replace_strict(dict(reviews), default=None, return_dtype=pl.String)
    by_person = person.is_not_null() & ~fixed
    return screened.select(
        "chunk_id",
        pl.when(by_person).then(person).otherwise(pl.col("decision")).alias("decision"),
        pl.when(by_person)
        .then(pl.concat_list("reasons", pl.lit("reviewed")))
        .otherwise(pl.col("reasons"))
        .alias("reasons"),
    )


def eval_reasons(overlaps: pl.DataFrame) -> dict[str, list[str]]:
    """Chunk id to its reasons, one for each evaluation item of which it holds text, the longest overlap first."""
    found: dict[str, list[str]] = {}
    worst_first = overlaps.sort("words", "suite", "item_id", descending=[True, False, False])
    for chunk_id, suite, item in worst_first.select("text_id", "suite", "item_id").iter_rows():
        found.setdefault(chunk_id, []).append(f"eval_text:{suite}/{item}" if suite else f"eval_text:{item}")
    return found


def rejects(works: pl.DataFrame, rows: pl.DataFrame, hits: Mapping[str, Sequence[str]]) -> pl.DataFrame:
    """One row per rejected work or chunk: at which stage, and why."""
    from_works = (
        {
            **row,
            "sample_id": row["work_id"],
            "stage": "corpora",
            "decision": "reject",
            "reasons": [row["reject_reason"]],
        }
        for row in works.filter(pl.col("reject_reason").is_not_null())
        .select("work_id", "source", "reject_reason")
        .iter_rows(named=True)
    )
    from_chunks = (
        {"sample_id": row["chunk_id"], "work_id": row["work_id"], "source": row["source"], **verdict}
        for row in rows.select(
            "chunk_id", "work_id", "source", "decision", "reasons", "is_canonical", "cluster_id"
        ).iter_rows(named=True)
        if (verdict := _verdict(row, hits))
    )
    listed = [{name: row[name] for name in REJECT} for row in (*from_works, *from_chunks)]
    return frame(listed, REJECT).sort("stage", "sample_id")


def _verdict(row: Mapping[str, object], hits: Mapping[str, Sequence[str]]) -> dict[str, object] | None:
    if row["decision"] != "keep":
        return {"stage": "screened", "decision": row["decision"], "reasons": row["reasons"]}
    if not row["is_canonical"]:
        return {"stage": "dedupe", "decision": "reject", "reasons": [f"duplicate_in:{row['cluster_id']}"]}
    found = hits.get(str(row["chunk_id"]))
    return {"stage": "curated", "decision": "reject", "reasons": list(found)} if found else None
