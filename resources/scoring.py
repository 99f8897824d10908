"""Likelihoods for the evaluations: which texts, and how likely base and adapter find each. Verdicts are twainbot/evals'."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from resources import suites
from resources.language_model import LanguageModel
from twainbot.evals.verdicts import TextLoss

if TYPE_CHECKING:
    import polars as pl


def held_out(rows: pl.DataFrame, tokens: int) -> dict[str, str]:
    """Held-out passages by id: validation and test in turn over the styles, up to so many tokens."""
    held = rows.filter(rows["split"] != "train").sort("sample_id")
    queues = [
        group.sort("sample_id").to_dicts() for _, group in sorted(held.group_by("style"), key=lambda pair: str(pair[0]))
    ]
    found: dict[str, str] = {}
    total = 0
    while total < tokens and any(queues):
        for queue in queues:
            if queue and total < tokens:
                row = queue.pop(0)
                found[row["sample_id"]] = row["text"]
                total += row["token_count"]
    return found


def places_of(rows: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Held-out passages by id: the sets that each belongs to besides, by split and by source (`of_local`, `in_test`)."""
    held = rows.filter(rows["split"] != "train")
    return {
        row["sample_id"]: (f"of_{row['sample_id'].split('/', 1)[0]}", f"in_{row['split']}") for row in held.to_dicts()
    }


def neutral() -> dict[str, str]:
    """Paragraphs of neutral prose by number."""
    paragraphs = [part for part in suites.neutral_text().split("\n\n") if part.strip()]
    return {f"neutral/{number}": part for number, part in enumerate(paragraphs)}


def losses(model: LanguageModel, texts: Mapping[str, str], bare: dict[str, float]) -> list[TextLoss]:
    """Summed nats of each text, adapter on and off. `bare` remembers the base's between adapters."""
    on = model.likelihoods(list(texts.values()))
    unknown = [item for item in texts if item not in bare]
    off = model.likelihoods([texts[item] for item in unknown], adapter=False)
    bare.update({item: part.nll for item, part in zip(unknown, off, strict=True)})
    return [
        TextLoss(item, bare[item], tuned.nll, tuned.tokens, item.rsplit(":", 1)[0], tuned.bytes)
        for item, tuned in zip(texts, on, strict=True)
        if tuned.tokens
    ]


def code_losses(model: LanguageModel, limit: int | None) -> list[TextLoss]:
    """Summed nats of each canonical solution after its prompt: the project's own problems, and HumanEval without a limit."""
    tasks = suites.coding(limit) + (suites.humaneval() if limit is None else [])
    prompts, solutions = [task["prompt"] for task in tasks], [task["canonical_solution"] for task in tasks]
    tuned = model.completion_nll(prompts, solutions, adapter=True)
    bare = model.completion_nll(prompts, solutions, adapter=False)
    return [
        TextLoss(task["task_id"], off.nll, on.nll, on.bytes)
        for task, on, off in zip(tasks, tuned, bare, strict=True)
        if on.bytes and not off.nll <= 0  # NaN passes: it is told, not dropped
    ]
