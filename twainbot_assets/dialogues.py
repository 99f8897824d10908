"""Stage dialogues: synthetic dialogues in batches, every line with its origin. The grammar is twainbot/dialogues'."""

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import dialogues as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource, Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.curated import PASSAGES
from twainbot_assets.dedupe import registered
from twainbot_assets.partitions import BATCHES
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, bars, counts_table, publish

if TYPE_CHECKING:
    import polars as pl

SEEDS, TRANSFER, CALLS, PAIRS, RATINGS, SCREENED = (
    keys.key(f"dialogues/{name}")
    for name in ("seeds", "style_transfer", "tool_calls", "contrastive", "feedback", "screened")
)
SHARED: dict[str, Any] = {"group_name": "dialogues", "kinds": {"polars", "parquet"}}
BATCHED: dict[str, Any] = {**SHARED, "partitions_def": BATCHES}


@dg.asset(
    key=SEEDS,
    ins={"passages": dg.AssetIn(PASSAGES)},
    deps=[
        keys.settings("dialogues"),
        keys.source("prompts"),
        keys.source("units"),
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
    deps=[keys.source("prompts")],
    check_specs=specs(TRANSFER, gates.WRITTEN, BATCHES),
    code_version=version_of("twainbot.dialogues.transfer"),
    **BATCHED,
)
def style_transfer(context: dg.AssetExecutionContext, seeds: Table) -> Published:
    """Jokes, sayings and plain statements of the corpus retold in a persona's manner."""
    from twainbot.dialogues.transfer import style_transfer as write

    yield from publish(context, lambda: write(seeds.collect()), gates.WRITTEN, samples)


@dg.asset(
    key=CALLS,
    ins={"seeds": dg.AssetIn(SEEDS)},
    deps=[keys.source("prompts")],
    check_specs=specs(CALLS, gates.WRITTEN, BATCHES),
    code_version=version_of("twainbot.dialogues.talk"),
    **BATCHED,
)
def tool_calls(context: dg.AssetExecutionContext, seeds: Table) -> Published:
    """Weather talk with tool calls, tool failures, and talk that needs no tool."""
    from twainbot.dialogues.talk import tool_calls as write

    yield from publish(context, lambda: write(seeds.collect()), gates.WRITTEN, samples)


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

    yield from publish(
        context,
        lambda: write(seeds.collect(), dialogues.collect()),
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
    check_specs=specs(RATINGS, gates.RATINGS, BATCHES),
    code_version=version_of("twainbot.dialogues.feedback"),
    **BATCHED,
)
def feedback(context: dg.AssetExecutionContext, transfer: Table, calls: Table) -> Published:
    """Rubric scores of each dialogue, 1 to 5, by rule, with the rationale."""

    def rate() -> "pl.DataFrame":
        import polars as pl

        from twainbot.dialogues.feedback import feedback as write

        return write(pl.concat([transfer.collect(), calls.collect()]))

    yield from publish(context, rate, gates.RATINGS)


@dg.asset(
    key=SCREENED,
    ins={"transfer": dg.AssetIn(TRANSFER), "calls": dg.AssetIn(CALLS), "passages": dg.AssetIn(PASSAGES)},
    deps=[keys.settings("screening"), keys.source("lexicon"), keys.key("corpora/transcripts"), keys.source("units")],
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
    """All dialogues and curated transcripts with a decision: form, grounding, civility, and parents still curated."""
    import polars as pl

    works = registered(lake.open(), context.instance, "corpora", "transcripts").collect()
    written = pl.concat([transfer.collect(), calls.collect()], how="diagonal_relaxed")

    def gather() -> "pl.DataFrame":
        from resources.toxicity import load_scorer
        from twainbot.dialogues.gather import gather_and_screen

        scorer = load_scorer(os.environ.get("TWAINBOT_TOXICITY_MODEL"), Path(folders.cache) / "toxicity")
        return gather_and_screen(written, works, passages.collect(), scorer)

    yield from publish(context, gather, gates.SCREENED, screened_metadata)


def samples(rows: "pl.DataFrame") -> dict[str, Any]:
    """Some dialogues to read, and how varied the batch is."""
    from twainbot.dialogues.quality import variety

    shown = rows.gather_every(max(1, rows.height // 4)).head(4)
    return {
        "to_read": "\n\n".join(as_text(row) for row in shown.to_dicts()),
        **{name: round(value, 4) for name, value in variety(rows).items()},
    }


def as_text(row: dict[str, Any]) -> str:
    """A dialogue as lines of `role: words`."""
    lines = []
    for turn in row["turns"]:
        call = turn["tool_call"]
        said = turn["content"] if not (call and call["tool_name"]) else f"-> {call['tool_name']} {call['arguments']}"
        lines.append(f"{turn['role']}: {said}")
    return "\n".join(lines)


def screened_metadata(rows: "pl.DataFrame") -> dict[str, Any]:
    """Counts by kind and decision."""
    counts = rows.group_by("kind", "decision").len().sort("kind", "decision").to_dicts()
    generators = {json.loads(origin).get("generator", "?") for origin in rows["origin"].drop_nulls().unique().to_list()}
    return {"by_kind": counts_table(counts), "generators": ", ".join(sorted(generators))}


assets = [seeds, style_transfer, tool_calls, contrastive, feedback, screened]
