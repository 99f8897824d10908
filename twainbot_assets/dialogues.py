"""Stage dialogues: synthetic dialogues in batches, every line with its origin. The grammar is twainbot/dialogues'."""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import dialogues as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource, Table
from twainbot.provenance import version_of
from twainbot_assets import dialogue_reports as reports
from twainbot_assets import keys
from twainbot_assets.curated import PASSAGES
from twainbot_assets.dedupe import registered
from twainbot_assets.partitions import BATCHES
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, bars, counts_table, publish
from twainbot_assets.writing import Judging, Writing, among_accepted, pool

if TYPE_CHECKING:
    import polars as pl

SEEDS, TRANSFER, CALLS, PAIRS, RATINGS, SCREENED = (
    keys.key(f"dialogues/{name}")
    for name in ("seeds", "style_transfer", "tool_calls", "contrastive", "feedback", "screened")
)
SHARED: dict[str, Any] = {"group_name": "dialogues", "kinds": {"polars", "parquet"}}
BATCHED: dict[str, Any] = {**SHARED, "partitions_def": BATCHES}
WORDED = [keys.source("prompts"), keys.source("generator_prompts"), keys.settings("generator")]


@dg.asset(
    key=SEEDS,
    ins={"passages": dg.AssetIn(PASSAGES)},
    deps=[
        keys.settings("dialogues"),
        keys.source("prompts"),
        dg.AssetDep(keys.key("corpora/weather"), partition_mapping=dg.AllPartitionMapping()),
    ],
    check_specs=specs(SEEDS, gates.SEEDS, BATCHES),
    code_version=version_of("twainbot.dialogues.seeds"),
    **BATCHED,
)
def seeds(context: dg.AssetExecutionContext, lake: LakeResource, passages: Table) -> Published:
    """What each dialogue of a batch is written from, frozen: new passages and bulletins make new batches and never re-buy
    old ones."""
    bulletins = registered(lake.open(), context.instance, "corpora", "weather")

    def freeze() -> "pl.DataFrame":
        from twainbot.dialogues.observations import observations
        from twainbot.dialogues.seeds import DialogueSettings, make_seeds

        chosen = current().dialogues
        rows = passages.collect().sort("chunk_id")
        seen = observations(bulletins.select("work_id", "extra").collect(), rows)
        settings = DialogueSettings(**chosen.settings)
        return make_seeds(rows, context.partition_key, settings, chosen.seed, seen)

    yield from publish(context, freeze, gates.SEEDS)


@dg.asset(
    key=TRANSFER,
    ins={"seeds": dg.AssetIn(SEEDS)},
    deps=WORDED,
    check_specs=specs(TRANSFER, gates.WRITTEN, BATCHES),
    code_version=version_of("twainbot.dialogues.transfer", "twainbot.dialogues.rewriting"),
    pool=pool(current().dialogues.generator),
    **BATCHED,
)
def style_transfer(context: dg.AssetExecutionContext, folders: Folders, seeds: Table) -> Published:
    """Jokes, sayings and plain statements of the corpus retold in a persona's manner."""
    from twainbot.dialogues.transfer import style_transfer as write

    yield from publish_written(context, folders, lambda: write(seeds.collect()))


@dg.asset(
    key=CALLS,
    ins={"seeds": dg.AssetIn(SEEDS)},
    deps=WORDED,
    check_specs=specs(CALLS, gates.WRITTEN, BATCHES),
    code_version=version_of("twainbot.dialogues.talk", "twainbot.dialogues.rewriting"),
    pool=pool(current().dialogues.generator),
    **BATCHED,
)
def tool_calls(context: dg.AssetExecutionContext, folders: Folders, seeds: Table) -> Published:
    """Weather talk with tool calls, tool failures, and talk that needs no tool."""
    from twainbot.dialogues.talk import tool_calls as write

    yield from publish_written(context, folders, lambda: write(seeds.collect()))


@dg.asset(
    key=PAIRS,
    ins={"seeds": dg.AssetIn(SEEDS), "dialogues": dg.AssetIn(CALLS)},
    check_specs=specs(PAIRS, gates.PAIRS, BATCHES),
    code_version=version_of("twainbot.dialogues.preferences"),
    **BATCHED,
)
def contrastive(context: dg.AssetExecutionContext, seeds: Table, dialogues: Table) -> Published:
    """Preference pairs: a grounded reply against one with a named flaw."""
    from twainbot.dialogues.preferences import contrastive as write
    from twainbot.dialogues.rewriting import accepted

    yield from publish(
        context,
        lambda: write(seeds.collect(), accepted(dialogues.collect())),
        gates.PAIRS,
        lambda rows: {
            "by_flaw": bars(
                {flaw: float(n) for flaw, n in rows["flaw"].value_counts().sort("flaw").iter_rows()}, "Pairs by flaw"
            )
        },
    )


@dg.asset(
    key=RATINGS,
    ins={"transfer": dg.AssetIn(TRANSFER), "calls": dg.AssetIn(CALLS)},
    deps=[keys.source("generator_prompts"), keys.settings("judge")],
    check_specs=specs(RATINGS, gates.RATINGS, BATCHES),
    code_version=version_of("twainbot.dialogues.feedback", "twainbot.dialogues.judging"),
    pool=pool(current().dialogues.judge),
    **BATCHED,
)
def feedback(context: dg.AssetExecutionContext, folders: Folders, transfer: Table, calls: Table) -> Published:
    """Rubric scores of each dialogue, 1 to 5, by rule, and of a sample by a judge model where the profile names one."""
    judging = Judging(folders)

    def rate() -> "pl.DataFrame":
        import polars as pl

        from twainbot.dialogues.feedback import feedback as write
        from twainbot.dialogues.rewriting import accepted

        dialogues = accepted(pl.concat([transfer.collect(), calls.collect()]))
        return judging.rows(write(dialogues), dialogues)

    yield from publish(context, rate, gates.RATINGS, judging.metadata)


@dg.asset(
    key=SCREENED,
    ins={"transfer": dg.AssetIn(TRANSFER), "calls": dg.AssetIn(CALLS), "passages": dg.AssetIn(PASSAGES)},
    deps=[
        keys.settings("screening"),
        *(keys.source(name) for name in ("lexicon", "units", "batches", "suites")),
        keys.key("corpora/transcripts"),
    ],
    check_specs=specs(SCREENED, gates.SCREENED),
    code_version=version_of("twainbot.dialogues.gather"),
    **SHARED,
)
def screened(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    folders: Folders,
    transfer: Table,
    calls: Table,
    passages: Table,
) -> Published:
    """All dialogues and curated transcripts with a decision: form, grounding, civility, nothing copied, parents curated."""
    import polars as pl

    works = registered(lake.open(), context.instance, "corpora", "transcripts").collect()
    written = pl.concat([transfer.collect(), calls.collect()], how="diagonal_relaxed")

    def gather() -> "pl.DataFrame":
        from resources.suites import eval_texts
        from resources.toxicity import load_scorer
        from twainbot.dialogues.gather import gather_and_screen

        scorer = load_scorer(os.environ.get("TWAINBOT_TOXICITY_MODEL"), Path(folders.cache) / "toxicity")
        return gather_and_screen(written, works, passages.collect(), scorer, eval_texts())

    yield from publish(context, gather, gates.SCREENED, screened_metadata)


def publish_written(
    context: dg.AssetExecutionContext, folders: Folders, draft: Callable[[], "pl.DataFrame"]
) -> Published:
    """Hand over a batch: the grammar's drafts, in the words of the profile's generator."""
    writing = Writing(folders)
    yield from publish(
        context,
        lambda: writing.rows(draft()),
        among_accepted(gates.WRITTEN),
        lambda rows: {**reports.written_report(rows), **writing.metadata(rows)},
    )


def screened_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """Counts by kind and decision, rejects per reason, variety, and some to read."""
    counts = rows.group_by("kind", "decision").len().sort("kind", "decision").to_dicts()
    generators = {json.loads(origin).get("generator", "?") for origin in rows["origin"].drop_nulls().unique().to_list()}
    return {
        "by_kind": counts_table(counts),
        "generators": ", ".join(sorted(generators)),
        **reports.screened_report(rows),
    }


assets = [seeds, style_transfer, tool_calls, contrastive, feedback, screened]
