"""The profile's generator and judge at work for an asset, and what its metadata tells. The words are twainbot/dialogues'."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks.gates import Finding, Gate
from resources.generator_settings import GRAMMAR, LOCAL, GeneratorSettings
from resources.home import PROJECT
from twainbot.errors import GateFailed
from twainbot_assets.profile import Profile, current
from twainbot_assets.publish import counts_table

if TYPE_CHECKING:
    import polars as pl

    from resources.folders import Folders
    from resources.generators import Generator

MAX_GIVEN_UP = 0.5  # share of a batch's answers; past it the model or the prompt is wrong, not the answers


def pool(settings: GeneratorSettings) -> str | None:
    """The pool that a step must wait for: one process speaks to a service at a time, as its pace is the process's own."""
    return {GRAMMAR: None, LOCAL: "gpu"}.get(settings.backend, "llm")


def open_role(profile: Profile, role: str, folders: Folders) -> Generator | None:
    """The profile's `generator` or `judge`, with a budget of its own; None where nobody is asked."""
    from resources.generators import open_generator

    settings: GeneratorSettings = getattr(profile.dialogues, role)
    if settings.backend == GRAMMAR:
        return None
    local = local_model(settings, Path(folders.models)) if settings.backend == LOCAL else None
    return open_generator(settings, Path(folders.cache), f"{profile.name}-{role}", local)


def local_model(settings: GeneratorSettings, models: Path) -> Path:
    """The folder of the model that the settings name, or of the profile's own base."""
    from training import base_model
    from twainbot_assets.base import base_row

    if settings.model:
        return base_model.prepare(settings.model, models)
    return models / str(base_row(models)["folder"][0])


class Writing:
    """One asset's drafts on their way into a model's words. Without a generator the drafts are the dialogues."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.generator: Generator | None = None

    def rows(self, drafts: pl.DataFrame) -> pl.DataFrame:
        """The drafts reworded, or as they are. Raises GateFailed where more than half of the answers had to be refused."""
        self.generator = open_role(current(), "generator", self.folders)
        if self.generator is None:
            return drafts
        from twainbot.dialogues import quality, rewriting

        writer = rewriting.Writer(self.generator.settings.backend, self.generator.model)
        rows = rewriting.rewrite(drafts, self.generator.ask, quality.problems, writer)
        refuse_bad_batch(rows.height, rewriting.reject_counts(rows))
        return rows

    def metadata(self, rows: pl.DataFrame) -> dict[str, Any]:
        """Who wrote, what it took, what was refused and mended, and the prompts to read."""
        if self.generator is None:
            return {"generator": GRAMMAR}
        from twainbot.dialogues import prompt_files, rewriting

        counts = rewriting.reject_counts(rows)
        names = [*sorted(rows["kind"].unique().to_list()), "repair"]
        return {
            **asking_metadata(self.generator),
            "rejected": sum(counts.values()),
            "rejects_by_reason": counts_table([{"reason": reason, "rows": n} for reason, n in counts.items()]),
            "repaired": rewriting.repaired_count(rows),
            **prompt_links(prompt_files.load(name) for name in names),
        }


def refuse_bad_batch(height: int, rejects: Mapping[str, int]) -> None:
    """Raise GateFailed where so many answers were given up that the rest is no batch."""
    given_up = sum(rejects.values())
    if given_up > MAX_GIVEN_UP * height:
        why = ", ".join(f"{reason} {n}" for reason, n in list(rejects.items())[:4])
        raise GateFailed(
            f"{given_up} of {height} answers were refused even after repair ({why}). Take another model or mend the prompt; "
            "answers so far are kept."
        )


OF_EVERY_ROW = ("ids_are_unique", "labelled_synthetic")


def among_accepted(gates: Sequence[Gate]) -> list[Gate]:
    """The same gates over the rows that were not given up: a recorded reject is no fault of the table."""

    def over_accepted(gate: Gate) -> Gate:
        def judge(rows: pl.DataFrame) -> Finding:
            from twainbot.dialogues.rewriting import accepted

            return gate.judge(accepted(rows))

        return replace(gate, judge=judge)

    return [gate if gate.name in OF_EVERY_ROW else over_accepted(gate) for gate in gates]


def asking_metadata(generator: Generator) -> dict[str, Any]:
    """Backend, model, requests, cache hits, tokens and money, forecast and spent."""
    report, total = generator.report, generator.budget.spent()
    return {
        "generator": generator.settings.backend,
        "model": generator.model,
        "requests": report.requests,
        "cache_hits": report.cache_hits,
        "unanswered": report.unanswered,
        "tokens": report.spent.tokens,
        "cost_usd": round(report.spent.usd, 6),
        "forecast_tokens": report.forecast.tokens,
        "forecast_usd": round(report.forecast.usd, 6),
        "spent_so_far": str(total),
    }


def prompt_links(prompts: Any) -> dict[str, Any]:
    """One link for each prompt file, named by version and hash."""
    return {
        f"prompt_{prompt.name}": dg.MetadataValue.md(
            f"[{prompt.label}]({(PROJECT / prompt.path).as_uri()}) `{prompt.digest}`"
        )
        for prompt in prompts
    }


class Judging:
    """A judge model's ratings of a sample, beside the rules'."""

    def __init__(self, folders: Folders) -> None:
        self.folders = folders
        self.generator: Generator | None = None
        self.unusable: dict[str, str] = {}

    def rows(self, ratings: pl.DataFrame, dialogues: pl.DataFrame) -> pl.DataFrame:
        """The rules' ratings, and below them the judge's of so many dialogues as the profile says."""
        import polars as pl

        from twainbot.dialogues import judging

        chosen = current().dialogues
        self.generator = open_role(current(), "judge", self.folders) if chosen.judge_sample else None
        if self.generator is None:
            return ratings
        drawn = judging.sample(dialogues, chosen.judge_sample, chosen.seed)
        found, self.unusable = judging.judged(drawn, self.generator.ask, self.generator.model)
        return pl.concat([ratings, found])

    def metadata(self, rows: pl.DataFrame) -> dict[str, Any]:
        """Ratings by rater with their means; of the judge also what it took, and which answers were no rating."""
        import polars as pl

        from twainbot.dialogues.judging import RUBRICS

        means = [pl.len().alias("n"), *(pl.col(rubric).mean().round(2) for rubric in RUBRICS)]
        told: dict[str, Any] = {"by_rater": counts_table(rows.group_by("rater").agg(means).sort("rater").to_dicts())}
        if self.generator is None:
            return told
        from twainbot.dialogues import prompt_files

        listed = [{"dialogue": item, "reason": reason} for item, reason in self.unusable.items()]
        links = prompt_links([prompt_files.load("judge")])
        return {**told, **asking_metadata(self.generator), "no_rating": counts_table(listed), **links}
