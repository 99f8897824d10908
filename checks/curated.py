"""Gates of stage curated: nothing of an evaluation, nothing without rights, every span traceable."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING

from checks.gates import Finding, Gate, named

if TYPE_CHECKING:
    import polars as pl

PROVENANCE = ("title", "author", "edition", "license", "raw_sha256")


def uncontaminated(rows: pl.DataFrame) -> Finding:
    """Passages that share a long run of words with an evaluation item."""
    from resources.suites import eval_texts
    from twainbot.curation import DECONTAMINATION_WORDS
    from twainbot.dedupe import eval_overlaps

    texts = eval_texts()
    hits = eval_overlaps(rows.select("chunk_id", "text").iter_rows(), texts, n=DECONTAMINATION_WORDS)
    listed = [
        f"{row['text_id']} holds {row['words']} words of {row['suite']}/{row['item_id']}: {row['excerpt']}"
        for row in hits.iter_rows(named=True)
    ]
    count = hits["text_id"].n_unique()
    why = f"{count} passages hold text of {len(texts)} eval items ({DECONTAMINATION_WORDS} words in a row)"
    return Finding(not count, why, count, 0, listed)


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


def eval_canaries(rows: pl.DataFrame, planted: Mapping[str, Mapping[str, str]] | None) -> Finding:
    """Planted evaluation problems that the search for eval text does not find, or that became passages in spite of it."""
    from resources.suites import eval_texts
    from twainbot.curation import DECONTAMINATION_WORDS
    from twainbot.dedupe import contaminated

    if planted is None:
        raise ValueError("the planted evaluation problems were not given")
    if not planted:
        return Finding(True, "nothing to find: no evaluation problem is planted in this profile's sources", 0, 0)
    texts, passed = eval_texts(), set(rows["chunk_id"].to_list())
    missed = []
    for work, chunks in planted.items():
        ids = list(chunks)
        hits = {ids[row] for row in contaminated(list(chunks.values()), texts, n=DECONTAMINATION_WORDS)["row"]}
        if not hits or hits & passed:
            missed.append(f"{work}: {'became a passage' if hits else 'not found'}")
    why = f"{len(planted) - len(missed)} of {len(planted)} planted evaluation problems found and kept out"
    return Finding(not missed, f"{why}{': ' if missed else ''}{named(missed)}", len(missed), 0, missed)


def passage_gates(planted: Mapping[str, Mapping[str, str]] | None) -> list[Gate]:
    """The gates of all passages. `planted`: work id of each planted evaluation problem to its chunks, id and text."""
    return [
        Gate("has_passages", "At least one passage came through.", some),
        Gate("no_eval_text", "No passage holds text of an evaluation.", uncontaminated),
        Gate(
            "eval_canaries_found",
            "Evaluation problems planted in the sources are found, and no passage holds one.",
            lambda rows: eval_canaries(rows, planted),
        ),
        Gate("rights_allow_training", "Every passage's rights are known and allow training.", rights_allow),
        Gate("provenance_complete", "Title, author, edition, licence and hash of each.", traceable),
    ]


REJECTS = [Gate("every_reject_has_a_reason", "Nothing is dropped in silence.", reasons)]
