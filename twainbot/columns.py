"""What the columns of tables say that carry their own, for the UI; those of the record kinds stand in `records`."""

from __future__ import annotations

from collections.abc import Mapping

_FIGURES = {
    "exact_normalised": "share of tool calls that are exactly right, spelling and units set alike",
    "perplexity_passages": "of held-out passages; lower is better",
    "weather_error_rate": "share of replies with a wrong claim about the weather",
}
_ADAPTER = {
    "recipe": "the training YAML: a partition",
    "stage": "dapt | sft | preference | mixture",
    "folder": "in the lake: weights, configuration, training record",
    "adapter_sha256": "of the weights file",
    "fingerprint": "of what it was trained from: data, base, recipe, seed",
    "base": "name of the base model",
    "merge_difference": "largest difference of a logit between adapter and merged weights",
    "config": "adapter_config.json, as peft reads it",
    "tensors": "JSON: tensor name to shape",
    "record": "JSON: data, settings, losses, environment, time",
    "lost_share": "of the sum's squared norm: what the rank could not hold",
    "identity_difference": "of logits, as a share of the largest, where half of an adapter is added to half of it",
}
_RELEASE = {
    "version": "a partition; a version is cut once",
    "rehearsal": "made to try the way of a release, not to be used",
    "folder": "in the lake: all files of the bundle",
    "manifest_id": "hash of the manifest, which holds the hash of every file",
    "files": "listed in the manifest",
    "parents": "JSON: what it was made of, with data versions or hashes",
    "blockers": "JSON: why it may not be called a release; empty where nothing stands against it",
    "manifest_problems": "JSON: files that are not as listed",
}
OWN_COLUMNS: Mapping[str, Mapping[str, str]] = {
    "base/model": {
        "name": "of the base model",
        "source": "where its weights came from",
        "revision": "commit of its repository, or hash of the file",
        "license": "of the weights",
        "note": "what to know of these weights: quantised, random, ...",
        "folder": "below models/ of the home",
        "template": "name of the chat template",
        "template_sha256": "of the chat template",
        "eos_token": "that ends a turn",
        "files": "JSON: file to SHA-256",
    },
    "base/tokenizer": {
        "folder": "below models/ of the home",
        "tokenizer_sha256": "of tokenizer.json",
        "template": "name of the chat template",
        "template_sha256": "of the chat template",
        "vocabulary": "tokens",
        "rendered_probe": "a dialogue with a tool call, as the template renders it",
        "round_trip": "a text after encoding and decoding",
    },
    "adapters": _ADAPTER,
    "adapters/router": {
        "prompts": "held_out, of the splits, or other_words, of the suite",
        "n": "prompts judged",
        "right": "sent to the persona that they ask for",
        "accuracy": "right over n",
        "low": "95 % confidence interval",
        "high": "its upper end",
        "majority": "accuracy of always naming the most frequent persona",
        "chance": "accuracy of drawing lots",
        "personas": "that it chooses among",
        "file": "in the lake",
        "router": "JSON: the fitted model",
    },
    "dedupe/semantic": {
        "a": "chunk id, a < b",
        "b": "the other chunk id, of another work",
        "cosine": "of their sentence vectors",
        "jaccard": "of their sets of n-grams: too small to be near-duplicates",
    },
    "evals/scorecard": {
        "recipe": "the training YAML: a partition",
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
        "recipe": "the training YAML",
        **_FIGURES,
        "passed": "verdicts",
        "failed": "verdicts",
        "open": "verdicts that too few items leave open, or that did not run",
    },
    "release/dataset": {
        **_RELEASE,
        "rows": "of dapt, sft and preferences",
        "unexplained": "JSON: rows without a line of provenance",
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
        "files": "Parquet files below it",
        "rows": "that it answers with",
    },
    "warehouse/lineage": {
        "level": "adapters | rows | dialogues | passages | works | units",
        "total": "of the lake",
        "shown": "on the page",
        "faults": "what is not explained, or no longer where it was",
        "page": "the lineage page below reports/",
        "page_sha256": "of the page",
    },
}  # fmt: skip


def own_columns(table: str) -> Mapping[str, str]:
    """Column to words, of the table (`adapters/sft`) or of the stage that it belongs to; empty where nothing is said."""
    return OWN_COLUMNS.get(table) or OWN_COLUMNS.get(table.partition("/")[0]) or {}
