"""What the columns of tables hold, in words for the UI: of the record kinds from `twainbot.records`, of others from here.

No code version may reach this module: other words are no reason to train again.
"""

from __future__ import annotations

from collections.abc import Mapping

from twainbot import records
from twainbot.records import schema_of

_FIGURES = {
    "exact_normalised": "share of prompts answered by exactly the right calls, or by none; places and days set alike",
    "perplexity_passages": "of held-out passages, after the last stage; lower is better",
    "weather_error_rate": "share of the last stage's replies to a good result with a wrong claim about the weather",
}
_ADAPTER = {
    "recipe": "name of the recipe: a partition",
    "stage": "dapt | sft | preference | mixture",
    "folder": "path in the lake: weights, configuration, training record",
    "adapter_sha256": "hash of the weights file",
    "fingerprint": "hash of all that it is a function of: data, base, recipe, seed, code; of a mixture its parts",
    "base": "name of the base model",
    "merge_difference": "largest difference of a logit between adapter and merged weights",
    "config": "adapter_config.json, as peft reads it",
    "tensors": "JSON: tensor name to shape",
    "record": "JSON: data, settings, losses, environment, time; of a mixture its parts, weights and rank",
    "lost_share": "of the sum's squared norm: what the rank could not hold",
    "identity_difference": "of logits, as a share of the largest, where half of an adapter is added to half of it",
}
_RELEASE = {
    "version": "a partition; a version is cut once",
    "rehearsal": "made to try the way of a release, not to be used",
    "folder": "path in the lake: all files of the bundle",
    "manifest_id": "hash of the manifest, which holds the hash of every file",
    "files": "number of files listed in the manifest",
    "parents": "JSON: what it was made of, with data versions or hashes",
    "blockers": "JSON: why it may not be called a release; empty where nothing stands against it",
    "manifest_problems": "JSON: files that are not as listed",
}
OWN_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "base/model": {
        "name": "of the base model",
        "source": "where its weights came from",
        "revision": "the Hub's revision that was asked for, a hash of the file, or the seed",
        "license": "of the weights, or where it stands",
        "note": "what to know of these weights: quantised, random, ...",
        "folder": "path below models/ of the home",
        "template": "name of the chat template",
        "template_sha256": "hash of the chat template",
        "eos_token": "that ends a turn",
        "files": "JSON: file to SHA-256",
    },
    "base/tokenizer": {
        "folder": "path below models/ of the home",
        "tokenizer_sha256": "hash of tokenizer.json",
        "template": "name of the chat template",
        "template_sha256": "hash of the chat template",
        "vocabulary": "number of its tokens",
        "rendered_probe": "a dialogue with a tool call, as the template renders it",
        "round_trip": "a text after encoding and decoding",
    },
    "adapters": _ADAPTER,
    "adapters/router": {
        "prompts": "held_out, of the splits, or other_words, of the suite",
        "n": "number of prompts judged",
        "right": "number of prompts sent to the persona that they ask for",
        "accuracy": "right over n",
        "low": "lower end of the 95 % confidence interval",
        "high": "its upper end",
        "majority": "accuracy of always naming the persona that these prompts ask for most",
        "chance": "accuracy of drawing lots",
        "beats_chance": "whether both rates that need no prompt lie below the interval's lower end",
        "personas": "names that it chooses among",
        "file": "path of router.json in the lake",
        "router": "JSON: the fitted model",
    },
    "dedupe/semantic": {
        "a": "chunk id, a < b",
        "b": "the other chunk id, of another work",
        "cosine": "of their sentence vectors",
        "jaccard": "of their sets of n-grams: too small to be near-duplicates",
    },
    "evals/scorecard": {
        "recipe": "name of the recipe: a partition",
        "gate": "what is judged",
        "state": "pass | fail | inconclusive | not_run | not_measurable",
        "n": "items that it was judged on",
        "value": "what was measured",
        "bound": "what it is held against",
        "why": "the verdict in a sentence",
        **_FIGURES,
        "page": "the scorecard's page below reports/",
    },
    "evals/leaderboard": {
        "recipe": "name of the recipe",
        **_FIGURES,
        "passed": "number of verdicts that passed",
        "failed": "number of verdicts that failed",
        "open": "number of verdicts that neither passed nor failed",
    },
    "release/dataset": {
        **_RELEASE,
        "rows": "number of rows of dapt, sft and preferences",
        "unexplained": "JSON: ids of rows without provenance or a work of the bundle's, and of provenance without a row",
        "eval_text": "JSON: rows that hold text of an evaluation",
    },
    "release/model": {
        **_RELEASE,
        "merge_difference": "largest difference of a logit between the bundle's adapter and merged weights",
        "verified": "JSON: what verify-bundle found right",
        "verify_problems": "JSON: what it found wrong",
        "unsupported": "JSON: figures of the card that the scorecard does not hold",
    },
    "warehouse": {
        "view": "name in warehouse.duckdb",
        "files": "pattern of its Parquet files, relative to the lake",
        "rows": "number of rows that it answers with; null where it fails",
    },
    "warehouse/lineage": {
        "level": "adapters | rows | dialogues | passages | works | units",
        "total": "number in the lake",
        "shown": "number on the page",
        "faults": "ids of rows that nothing explains, or of passages that moved",
        "page": "the lineage page below reports/",
        "page_sha256": "hash of the page",
    },
}  # fmt: skip


# Columns that a table has beyond its schema, where a model rated passages too (resources/rater.py).
_RATED = {
    "llm_tone": "the rating model's word; null where it gave none",
    "llm_topic": "the rating model's word; null where it gave none",
    "llm_weather": "0 none, 1 present, 2 the subject; null where it gave none",
    "llm_is_satire": "by the rating model; null where it gave none",
    "llm_rater": "model and prompt that rated it; not_rated where it gave no answer",
}


def meanings(table: str) -> dict[str, str]:
    """Column to words, of the table (`adapters/sft`) or of the stage that it belongs to; empty where nothing is said."""
    stage = table.partition("/")[0]
    if schema_of(table) is None:
        return dict(OWN_COLUMNS.get(table) or OWN_COLUMNS.get(stage) or {})
    return records.meanings(table) | (_RATED if stage == "chunks" else {})
