"""Gates of stage curated: nothing of an evaluation, nothing without rights, every span traceable."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from checks.gates import Finding, Gate

if TYPE_CHECKING:
    import polars as pl

PROVENANCE = ("title", "author", "edition", "license", "raw_sha256")


def uncontaminated(rows: pl.DataFrame) -> Finding:
    """Passages that share a long run of words with an evaluation item."""
    from resources.suites import eval_texts
    from twainbot.curation import DECONTAMINATION_WORDS
    from twainbot.dedupe import contaminated

    texts = eval_texts()
    ids = rows["chunk_id"].to_list()
    hits = contaminated(rows["text"].to_list(), texts, n=DECONTAMINATION_WORDS)
    listed = [f"{ids[row]} holds {matched} words of {item}" for row, item, matched, _ in hits.iter_rows()]
    why = f"{hits.height} passages hold text of {len(texts)} eval items ({DECONTAMINATION_WORDS} words in a row)"
    return Finding(hits.is_empty(), why, hits.height, 0, listed)


def rights_allow(rows: pl.DataFrame) -> Finding:
    """Passages that may not be trained on."""
    from twainbot.records import TRAINABLE_RIGHTS

    barred = rows.filter(~rows["copyright_status"].is_in(list(TRAINABLE_RIGHTS), nulls_equal=True))[
        "chunk_id"
    ].to_list()
    return Finding(not barred, f"{len(barred)} passages whose rights do not allow training", len(barred), 0, barred)


def traceable(rows: pl.DataFrame) -> Finding:
    """Passages whose provenance lacks a field."""
    lacking = [
        chunk_id
        for chunk_id, provenance in rows.select("chunk_id", "provenance").iter_rows()
        if not {key for key, value in json.loads(provenance).items() if value} >= set(PROVENANCE)
    ]
    return Finding(
        not lacking, f"{len(lacking)} passages lack one of {', '.join(PROVENANCE)}", len(lacking), 0, lacking
    )


def some(rows: pl.DataFrame) -> Finding:
    """At least one passage."""
    return Finding(rows.height > 0, f"{rows.height} passages", rows.height, 1)


def reasons(rows: pl.DataFrame) -> Finding:
    """Rejects without a reason."""
    silent = rows.filter(rows["reasons"].list.len().fill_null(0) == 0)["sample_id"].to_list()
    return Finding(not silent, f"{len(silent)} rejects give no reason", len(silent), 0, silent)


PASSAGES = [
    Gate("has_passages", "At least one passage came through.", some),
    Gate("no_eval_text", "No passage holds text of an evaluation.", uncontaminated),
    Gate("rights_allow_training", "Every passage's rights are known and allow training.", rights_allow),
    Gate("provenance_complete", "Title, author, edition, licence and hash of each.", traceable),
]
REJECTS = [Gate("every_reject_has_a_reason", "Nothing is dropped in silence.", reasons)]
