"""Stage evals: base against adapter on the same cases, never blocking. Scoring is twainbot/evals', speaking resources'."""

from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dagster as dg

from checks import evals as gates
from checks.gates import specs
from resources.folders import Folders
from resources.lake import LakeResource, Table
from twainbot.provenance import version_of
from twainbot_assets import keys
from twainbot_assets.adapters import adapter_folder
from twainbot_assets.base import MODEL, TOKENIZER
from twainbot_assets.partitions import RECIPES
from twainbot_assets.profile import current
from twainbot_assets.publish import Published, counts_table, publish

if TYPE_CHECKING:
    import polars as pl

    from resources.language_model import LanguageModel
    from twainbot.evals.verdicts import TextLoss

BASELINE, GENERATIONS, SCORECARD, LEADERBOARD = (
    keys.key(f"evals/{name}") for name in ("baseline", "generations", "scorecard", "leaderboard")
)
ADAPTERS = {stage: keys.key(f"adapters/{stage}") for stage in keys.TRAINING_STAGES}
FINAL = keys.TRAINING_STAGES[-1]  # the arm that would be released
SPOKEN_BY = {"sft": ("tool_calls",), FINAL: ("tool_calls", "grounding", "chat")}  # what each arm is asked
MEASURE = version_of("twainbot.evals.measure")
SPEAK = version_of("training.render", "training.decoding", "twainbot.dialogues.prompts", "twainbot.dialogues.weather")
SHARED: dict[str, Any] = {"group_name": "evals", "kinds": {"polars", "parquet"}}
CASES = [keys.source("suites"), keys.source("prompts"), keys.settings("evaluation"), TOKENIZER]
NO_GATES = gates.EVALUATED


def loaded(folders: Folders, model: "pl.DataFrame", adapter: Path | None, *, merged: bool = False) -> "LanguageModel":
    """The base, with an adapter if one is given, `merged` into it where it need not be switched off."""
    from resources.language_model import LanguageModel

    return LanguageModel.load(folders.model(model["folder"][0]), adapter, merged=merged)


def generated(model: "LanguageModel", arm: str, suites: Sequence[str]) -> list[dict[str, Any]]:
    """One arm's replies under the profile's limits."""
    from resources.speaking import Limits, speak

    chosen = current().evaluation
    limits = Limits(chosen.tool_calls, chosen.grounding, chosen.chat, chosen.max_new_tokens, chosen.batch_size)
    return speak(model, arm, limits, suites)


def what_can_pass() -> list[dict[str, Any]]:
    """The fewest replies or programs that can pass each gate on such, and how often a good adapter would with the profile's."""
    from twainbot.evals.outlook import outlooks
    from twainbot_assets.scorecards import counted

    return [asdict(each) for each in outlooks(counted(current()))]


@dg.asset(
    key=BASELINE, ins={"model": dg.AssetIn(MODEL)}, deps=CASES, check_specs=specs(BASELINE, gates.GENERATIONS),
    code_version=SPEAK, pool="gpu", **SHARED,
)  # fmt: skip
def baseline(context: dg.AssetExecutionContext, folders: Folders, model: Table) -> Published:
    """The bare base's replies to every suite: made once, compared with every recipe."""
    from twainbot.records import GENERATION, frame

    expected = what_can_pass()
    for line in expected:  # before an hour is spent on replies
        context.log.info(f"{line['gate']} ({line['role']}): {line['says']}")
    yield from publish(
        context,
        lambda: frame(generated(loaded(folders, model.collect(), None), "base", SPOKEN_BY[FINAL]), GENERATION),
        gates.GENERATIONS,
        lambda _: {"what_can_pass": counts_table(expected)},
    )


@dg.asset(
    key=GENERATIONS,
    ins={"model": dg.AssetIn(MODEL), **{stage: dg.AssetIn(ADAPTERS[stage]) for stage in SPOKEN_BY}},
    deps=CASES, partitions_def=RECIPES, check_specs=specs(GENERATIONS, gates.GENERATIONS, RECIPES),
    code_version=SPEAK, pool="gpu", **SHARED,
)  # fmt: skip
def generations(
    context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, model: Table, **adapters: Table
) -> Published:
    """The adapters' replies to the same suites, with the same prompts, tools and template as the base's."""
    from twainbot.records import GENERATION, frame

    def make() -> "pl.DataFrame":
        rows: list[dict[str, Any]] = []
        for stage, suites in SPOKEN_BY.items():
            folder = adapter_folder(lake.open(), folders, adapters[stage].collect())
            rows += generated(loaded(folders, model.collect(), folder, merged=True), stage, suites)
        return frame(rows, GENERATION)

    yield from publish(context, make, gates.GENERATIONS, dialogues_to_read)


def dialogues_to_read(rows: "pl.DataFrame") -> dict[str, Any]:
    """Chats and answers, to be read in the UI."""
    shown = rows.filter(rows["suite"].is_in(["chat", "grounding"])).gather_every(7).head(8)
    return {"to_read": counts_table(shown.select("suite", "prompt", "reply").to_dicts())}


def evaluation(
    name: str, about: str, extra: dict[str, dg.AssetIn], measure: Callable[..., "pl.DataFrame"]
) -> dg.AssetsDefinition:
    """An evaluation that reads both arms' generations and maybe more tables."""
    key, judged = keys.key(f"evals/{name}"), [*gates.EVALUATED, *gates.gates(name)]

    @dg.asset(
        key=key,
        ins={"base": dg.AssetIn(BASELINE), "tuned": dg.AssetIn(GENERATIONS), **extra},
        partitions_def=RECIPES, check_specs=specs(key, judged, RECIPES), code_version=MEASURE, description=about, **SHARED,
    )  # fmt: skip
    def evaluated(context: dg.AssetExecutionContext, **tables: Table) -> Published:
        yield from publish(
            context, lambda: measure(**{name: rows.collect() for name, rows in tables.items()}), judged, figures
        )

    return evaluated


def figures(rows: "pl.DataFrame") -> dict[str, Any]:
    """The metrics as a table."""
    listed = rows.filter(rows["kind"] == "metric").select("name", "arm", "value", "low", "high", "n").to_dicts()
    return {"figures": counts_table(listed)} if listed else {}


def measured_calls(base: "pl.DataFrame", tuned: "pl.DataFrame") -> "pl.DataFrame":
    """Tool-call scores."""
    from twainbot.dialogues.tools import TOOLS
    from twainbot.evals.measure import tool_calls

    return tool_calls(base, tuned, TOOLS, FINAL)


def measured_grounding(base: "pl.DataFrame", tuned: "pl.DataFrame") -> "pl.DataFrame":
    """Weather errors."""
    from twainbot.evals.measure import grounding

    return grounding(base, tuned, FINAL)


def measured_humor(base: "pl.DataFrame", tuned: "pl.DataFrame") -> "pl.DataFrame":
    """Humour cues."""
    from twainbot.evals.measure import humor

    return humor(base, tuned, FINAL)


def measured_style(base: "pl.DataFrame", tuned: "pl.DataFrame", passages: "pl.DataFrame") -> "pl.DataFrame":
    """Classifier rates and copying."""
    from twainbot.evals.measure import style

    return style(base, tuned, passages, FINAL)


PASSAGES = {"passages": dg.AssetIn(keys.key("splits/dapt"))}
tool_calls = evaluation(
    "tool_calls", "Tool calls: exact, precision, recall, no-call accuracy, by arm.", {}, measured_calls
)
grounding = evaluation("grounding", "Weather errors in replies to given tool results, by arm.", {}, measured_grounding)
humor = evaluation("humor", "Humour cues per 100 words, by arm: a count, no judgement.", {}, measured_humor)
style = evaluation(
    "style", "Style classifier beside its ceiling, and copying from the training text.", PASSAGES, measured_style
)

SCORED: dict[str, Any] = {
    "deps": CASES,
    "partitions_def": RECIPES,
    "code_version": MEASURE,
    "pool": "gpu",
    **SHARED,
}
PERPLEXITY, CODING, RATINGS = keys.key("evals/perplexity"), keys.key("evals/coding"), keys.key("evals/ratings")
JUDGED = {name: [*gates.EVALUATED, *gates.gates(name)] for name in ("perplexity", "coding", "ratings")}


@dg.asset(
    key=PERPLEXITY,
    ins={"model": dg.AssetIn(MODEL), **PASSAGES, **{stage: dg.AssetIn(key) for stage, key in ADAPTERS.items()}},
    check_specs=specs(PERPLEXITY, JUDGED["perplexity"], RECIPES), **SCORED,
)  # fmt: skip
def perplexity(
    context: dg.AssetExecutionContext,
    lake: LakeResource,
    folders: Folders,
    model: Table,
    passages: Table,
    **adapters: Table,
) -> Published:
    """Perplexity on held-out passages and on neutral text, base and every stage's adapter."""

    def make() -> "pl.DataFrame":
        from resources.scoring import held_out, losses, neutral, places_of
        from twainbot.evals.measure import perplexity as measure

        rows_held = passages.collect()
        texts = {"passages": held_out(rows_held, current().evaluation.perplexity_tokens), "neutral": neutral()}
        bare: dict[str, dict[str, float]] = {name: {} for name in texts}
        found: dict[str, dict[str, list[TextLoss]]] = {}
        for stage, rows in adapters.items():
            spoken = loaded(folders, model.collect(), adapter_folder(lake.open(), folders, rows.collect()))
            chosen = texts if stage == FINAL else {"passages": texts["passages"]}
            found[stage] = {name: losses(spoken, listed, bare[name]) for name, listed in chosen.items()}
        return measure(found, places_of(rows_held))

    yield from publish(context, make, JUDGED["perplexity"], figures)


@dg.asset(
    key=CODING, ins={"model": dg.AssetIn(MODEL), "final": dg.AssetIn(ADAPTERS[FINAL])},
    check_specs=specs(CODING, JUDGED["coding"], RECIPES), **SCORED,
)  # fmt: skip
def coding(
    context: dg.AssetExecutionContext, lake: LakeResource, folders: Folders, model: Table, final: Table
) -> Published:
    """Loss on canonical solutions, and pass@1 where the profile asks for it: base against the final adapter, in one model."""

    def make() -> "pl.DataFrame":
        from resources.scoring import code_losses
        from resources.solving import solve
        from twainbot.evals.measure import coding as measure

        chosen = current().evaluation
        tuned = loaded(folders, model.collect(), adapter_folder(lake.open(), folders, final.collect()))
        solved = solve(tuned, chosen.humaneval, chosen.code_tokens, Path(folders.cache))
        return measure(code_losses(tuned, chosen.coding), solved.answers, solved.why)

    yield from publish(context, make, JUDGED["coding"], figures)


@dg.asset(
    key=RATINGS, ins={"base": dg.AssetIn(BASELINE), "tuned": dg.AssetIn(GENERATIONS)}, deps=[keys.source("ratings")],
    partitions_def=RECIPES, check_specs=specs(RATINGS, JUDGED["ratings"], RECIPES), code_version=MEASURE, **SHARED,
)  # fmt: skip
def ratings(context: dg.AssetExecutionContext, folders: Folders, base: Table, tuned: Table) -> Published:
    """The style verdict over blind ratings, 1 to 5, adapter against base; not run while nobody has rated."""
    from twainbot_assets.rating import raters_table, stored

    def make() -> "pl.DataFrame":
        from twainbot.evals.measure import ratings as measure

        return measure(base.collect(), tuned.collect(), stored(Path(folders.ratings)), context.partition_key, FINAL)

    yield from publish(context, make, JUDGED["ratings"], lambda rows: {**figures(rows), **raters_table(rows)})


EVALUATIONS = ("perplexity", "style", "humor", "tool_calls", "grounding", "coding", "ratings")


@dg.asset(
    key=SCORECARD,
    ins={
        "base": dg.AssetIn(BASELINE), "tuned": dg.AssetIn(GENERATIONS), "model": dg.AssetIn(MODEL),
        **{f"eval_{name}": dg.AssetIn(keys.key(f"evals/{name}")) for name in EVALUATIONS},
        **{f"adapter_{stage}": dg.AssetIn(key) for stage, key in ADAPTERS.items()},
        "rejects": dg.AssetIn(keys.key("curated/rejects")), "passages": dg.AssetIn(keys.key("curated/passages")),
        "assignments": dg.AssetIn(keys.key("splits/assignments")),
    },
    partitions_def=RECIPES, check_specs=specs(SCORECARD, gates.SCORECARD, RECIPES),
    code_version=version_of("twainbot.evals.scorecard", "twainbot.evals.measure"), **SHARED,
)  # fmt: skip
def scorecard(context: dg.AssetExecutionContext, folders: Folders, **tables: Table) -> Published:
    """All verdicts of a recipe and a self-contained HTML page: figures, plots, sample dialogues, lineage."""
    from twainbot_assets.scorecards import page_of, verdict_table

    frames = {name: rows.collect() for name, rows in tables.items()}
    path = Path(folders.reports) / f"scorecard-{context.partition_key}.html"

    def make() -> "pl.DataFrame":
        from resources.lake import replace_file

        page = page_of(frames, current(), context.partition_key, context.run_id)
        replace_file(path, lambda file: file.write_text(page, encoding="utf-8"))
        return verdict_table(frames, context.partition_key, path.name)

    yield from publish(
        context, make, gates.SCORECARD, lambda rows: {"report": dg.MetadataValue.path(str(path)), **verdicts_of(rows)}
    )


def verdicts_of(rows: "pl.DataFrame") -> dict[str, Any]:
    """Gate, state and why, as a table."""
    return {"verdicts": counts_table(rows.select("gate", "state", "n", "value", "bound", "why").to_dicts())}


@dg.asset(
    key=LEADERBOARD, ins={"cards": dg.AssetIn(SCORECARD)}, deps=[keys.source("recipes")],
    check_specs=specs(LEADERBOARD, gates.LEADERBOARD), code_version=version_of("twainbot.evals.measure"), **SHARED,
)  # fmt: skip
def leaderboard(context: dg.AssetExecutionContext, cards: Table) -> Published:
    """One row per recipe: verdicts by state and the figures that recipes are compared by."""
    from twainbot_assets.scorecards import board

    yield from publish(
        context,
        lambda: board(cards.collect()),
        gates.LEADERBOARD,
        lambda rows: {"board": counts_table(rows.to_dicts())} if rows.height else {},
    )


assets = [
    baseline, generations, perplexity, style, humor, tool_calls, grounding, coding, ratings, scorecard, leaderboard,
]  # fmt: skip
