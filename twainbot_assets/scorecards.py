"""The scorecard page and the leaderboard, put together from the stage's tables. Layout is twainbot/evals/scorecard's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from twainbot.records import SPLITS
from twainbot_assets import keys

if TYPE_CHECKING:
    import polars as pl

    from twainbot.evals.scorecard import Metric, SampleDialogue, Step
    from twainbot.evals.verdicts import Verdict
    from twainbot_assets.profile import Profile

FINAL = keys.TRAINING_STAGES[-1]
GATES = (
    "tool_calls",
    "perplexity",
    "weather_errors",
    "coding",
    "style",
    "wanted_calls",
    "no_call",
    "result_used",
    "copying",
    "code_loss",
    "forgetting",
    "voice",
)  # as the page lists them, the primary ones first
RATES_SHOWN = ("exact_normalised", "exact_strict", "precision", "recall", "no_call_accuracy")
REHEARSAL = (
    "A {base} on profile {profile} shows that the pipeline works from text to release. Its figures say nothing about what"
    " the method reaches on a real base; profile full does."
)


def verdicts(frames: Mapping[str, pl.DataFrame]) -> list[Verdict]:
    """All verdicts of a recipe, in the page's order."""
    from twainbot.evals.measure import verdict_of

    rows = [row for name, rows in frames.items() if name.startswith("eval_") for row in rows.to_dicts()]
    found = {row["name"]: verdict_of(row["payload"]) for row in rows if row["kind"] == "verdict"}
    return [found[gate] for gate in GATES if gate in found]


def verdict_table(frames: Mapping[str, pl.DataFrame], recipe: str, page: str) -> pl.DataFrame:
    """One row per verdict, with what the leaderboard compares and the page's file name."""
    import polars as pl

    given = verdicts(frames)
    compared = {
        "exact_normalised": value_of(frames["eval_tool_calls"], "exact_normalised", FINAL),
        "perplexity_passages": value_of(frames["eval_perplexity"], "perplexity_passages", FINAL),
        "weather_error_rate": value_of(frames["eval_grounding"], "weather_error_rate", FINAL),
    }
    return pl.DataFrame(
        [
            {
                "recipe": recipe,
                "gate": verdict.gate,
                "state": verdict.state,
                "n": verdict.n,
                "value": verdict.value,
                "bound": verdict.bound,
                "why": verdict.why,
                **compared,
                "page": page,
            }
            for verdict in given
        ],
        schema_overrides={"value": pl.Float64, **dict.fromkeys(compared, pl.Float64)},
    )


def value_of(rows: pl.DataFrame, name: str, arm: str) -> float | None:
    """A metric's value for one arm; None where it was not measured."""
    found = rows.filter((rows["name"] == name) & (rows["arm"] == arm) & (rows["kind"] == "metric"))
    return None if found.is_empty() else found["value"][0]


def board(cards: pl.DataFrame) -> pl.DataFrame:
    """One row per recipe, best exact-call rate first."""
    import polars as pl

    schema = {"recipe": pl.String, "exact_normalised": pl.Float64, "perplexity_passages": pl.Float64,
              "weather_error_rate": pl.Float64, "passed": pl.UInt32, "failed": pl.UInt32, "open": pl.UInt32}  # fmt: skip
    if cards.is_empty():
        return pl.DataFrame(schema=schema)
    state = pl.col("state")
    return (
        cards.group_by("recipe")
        .agg(
            *(pl.col(name).first() for name in ("exact_normalised", "perplexity_passages", "weather_error_rate")),
            passed=(state == "pass").sum(),
            failed=(state == "fail").sum(),
            open=(~state.is_in(["pass", "fail"])).sum(),
        )
        .sort("exact_normalised", "recipe", descending=[True, False], nulls_last=True)
    )


def page_of(frames: Mapping[str, pl.DataFrame], profile: Profile, recipe: str, run_id: str) -> str:
    """The HTML page of one recipe."""
    from twainbot.evals.scorecard import ScorecardInput, render_html
    from twainbot.evals.verdicts import rehearsed

    base = frames["model"].row(0, named=True)
    given = verdicts(frames)
    states = [verdict.state for verdict in given]
    counts = ", ".join(f"{states.count(state)} {state.replace('_', ' ')}" for state in dict.fromkeys(states))
    return render_html(
        ScorecardInput(
            title=f"TwainBot scorecard: {recipe}",
            recipe=recipe,
            profile=profile.name,
            run_id=run_id,
            created_at=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
            verdicts=rehearsed(given) if profile.rehearsal else given,
            rehearsal=REHEARSAL.format(base=base["name"], profile=profile.name) if profile.rehearsal else "",
            summary=f"Base {base['name']} against the adapter after {', '.join(keys.TRAINING_STAGES)}: {counts}.",
            metrics=metrics(frames),
            classifier=classifier(frames["eval_style"]),
            perplexity=perplexities(frames["eval_perplexity"]),
            tool_calls=[rate_row(frames["eval_tool_calls"], name) for name in RATES_SHOWN],
            losses=losses(frames),
            funnel=funnel(frames),
            splits=split_counts(frames["assignments"]),
            dialogues=sample_dialogues(frames["base"], frames["tuned"]),
            lineage=lineage(frames),
            versions=versions(frames),
            notes=notes(base, frames, profile),
        )
    )


def metrics(frames: Mapping[str, pl.DataFrame]) -> list[Metric]:
    """Base and final arm side by side; what only the final arm has (gains, copying) stands without a base."""
    from twainbot.evals.scorecard import Metric, interval_words

    listed: list[Metric] = []
    for name, rows in frames.items():
        if not name.startswith("eval_"):
            continue
        measured = rows.filter(rows["kind"] == "metric")
        for metric in measured["name"].unique(maintain_order=True).to_list():
            own = {row["arm"]: row for row in measured.filter(measured["name"] == metric).to_dicts()}
            tuned = own.get(FINAL) or own.get("adapter")
            if tuned:
                base = own["base"]["value"] if "base" in own else None
                note = interval_words(tuned["low"], tuned["high"], tuned["unit"])
                words = metric.replace("_", " ")
                listed.append(Metric(words, base, tuned["value"], tuned["unit"], tuned["better"], tuned["n"], note))
    return listed


def classifier(rows: pl.DataFrame) -> list[Metric]:
    """What the style classifier does on works that it had not seen, style by style."""
    from twainbot.evals.scorecard import Metric, interval_words

    held = rows.filter((rows["kind"] == "metric") & (rows["arm"] == "held-out works"))
    return [
        Metric(row["name"].replace("_", " "), None, row["value"], row["unit"], row["better"], row["n"],
               interval_words(row["low"], row["high"], row["unit"]))
        for row in held.to_dicts()
    ]  # fmt: skip


def perplexities(rows: pl.DataFrame) -> dict[str, list[tuple[str, float]]]:
    """Perplexity by held-out set, stage by stage; no bar is drawn of a loss that is not finite."""
    found: dict[str, list[tuple[str, float]]] = {}
    measured = rows.filter((rows["kind"] == "metric") & rows["value"].is_finite())
    for name in ("passages", "neutral"):
        listed = measured.filter(measured["name"] == f"perplexity_{name}").to_dicts()
        if listed:
            found[name] = [(row["arm"], row["value"]) for row in listed]
    order = ["base", *keys.TRAINING_STAGES]
    return {name: sorted(points, key=lambda point: order.index(point[0])) for name, points in found.items()}


def rate_row(rows: pl.DataFrame, name: str) -> tuple[str, Any, Any]:
    """A rate of both arms with its interval, for the plot."""
    return name.replace("_", " "), rate(rows, name, "base"), rate(rows, name, FINAL)


def rate(rows: pl.DataFrame, name: str, arm: str) -> tuple[float, float, float] | None:
    """Value and interval of one arm's rate; the exact interval of a share where the table gives none."""
    from twainbot.evals.statistics import clopper_pearson

    found = rows.filter((rows["kind"] == "metric") & (rows["name"] == name) & (rows["arm"] == arm)).to_dicts()
    if not found or found[0]["value"] is None:
        return None
    row = found[0]
    interval = clopper_pearson(round(row["value"] * row["n"]), row["n"])
    return row["value"], interval.low, interval.high


def losses(
    frames: Mapping[str, pl.DataFrame],
) -> dict[str, tuple[list[tuple[float, float]], list[tuple[float, float]]]]:
    """Training and validation losses by stage."""
    found = {}
    for stage in keys.TRAINING_STAGES:
        record = json.loads(frames[f"adapter_{stage}"]["record"][0])
        train = [(point["step"], point["loss"]) for point in record["loss_curve"]]
        found[stage] = (train, [(point["step"], point["loss"]) for point in record["evaluations"]])
    return found


def funnel(frames: Mapping[str, pl.DataFrame]) -> list[tuple[str, int]]:
    """Chunks left after each stage of curation."""
    rejects, passages = frames["rejects"], frames["passages"].height
    lost = {stage: rejects.filter(rejects["stage"] == stage).height for stage in ("screened", "dedupe", "curated")}
    after_dedupe = passages + lost["curated"]
    after_screen = after_dedupe + lost["dedupe"]
    chunks = after_screen + lost["screened"]
    return [("chunks", chunks), ("screened", after_screen), ("deduplicated", after_dedupe), ("curated", passages)]


def split_counts(rows: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Samples by split and kind; what is held back comes last, where something is."""
    found: dict[str, dict[str, int]] = {split: {} for split in SPLITS}
    for row in rows.group_by("split", "kind").len().sort("split", "kind").to_dicts():
        found.setdefault(row["split"], {})[row["kind"]] = row["len"]
    return found


def sample_dialogues(base: pl.DataFrame, tuned: pl.DataFrame, answers: int = 4) -> list[SampleDialogue]:
    """Every chat and some answers to given tool results, base beside adapter."""
    from twainbot.evals.measure import paired
    from twainbot.evals.scorecard import SampleDialogue

    final = tuned.filter(tuned["arm"] == FINAL)
    found: list[SampleDialogue] = []
    for suite, limit in (("chat", None), ("grounding", answers)):
        theirs, ours = paired(base.filter(base["suite"] == suite), final.filter(final["suite"] == suite))
        pairs = list(zip(theirs, ours, strict=True))
        step = max(1, len(pairs) // limit) if limit else 1
        for one, other in pairs[::step][:limit]:
            title = f"{suite} · {one['case_id']}"
            found.append(SampleDialogue(title, one["prompt"], steps(one), steps(other)))
    return found


def steps(row: Mapping[str, Any]) -> list[Step]:
    """An exchange as the page shows it: a given tool result first, claims of the last reply judged."""
    from twainbot.evals.grounding import judge
    from twainbot.evals.measure import reference_day
    from twainbot.evals.scorecard import Step

    raw = json.loads(row["steps"])
    result = json.loads(row["result"]) if row["result"] else None
    shown = [Step("tool", json.dumps(result, ensure_ascii=False))] if row["suite"] == "grounding" and result else []
    for number, step in enumerate(raw):
        last = number == len(raw) - 1
        claims = judge(step["text"], [result], today=reference_day(result)) if last and result else []
        text = "" if step.get("call") else step["text"]
        shown.append(Step(step["role"], text, step.get("call"), claims))
    return shown


def lineage(frames: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Hashes that name what this page was measured on."""
    base = frames["model"].row(0, named=True)
    found = {"base model": base["folder"], "chat template": base["template_sha256"][:16]}
    for stage in keys.TRAINING_STAGES:
        record = json.loads(frames[f"adapter_{stage}"]["record"][0])
        found[f"{stage} adapter"] = record["adapter_sha256"][:16]
        found[f"{stage} data"] = record["data_sha256"][:16]
        found[f"{stage} recipe"] = record["config_sha256"][:16]
    return found


def versions(frames: Mapping[str, pl.DataFrame]) -> dict[str, str]:
    """Packages and device of the last training."""
    environment = json.loads(frames[f"adapter_{FINAL}"]["record"][0])["environment"]
    return {**environment["packages"], "python": environment["python"], "device": environment["device"]}


def counted(profile: Profile) -> dict[str, int]:
    """How many items each gate will have under the profile's limits."""
    from resources.suites import planned

    chosen = profile.evaluation
    return planned(chosen.tool_calls, chosen.grounding, chosen.chat, chosen.humaneval)


def notes(base: Mapping[str, Any], frames: Mapping[str, pl.DataFrame], profile: Profile) -> list[str]:
    """What a reader must know before quoting a figure."""
    from twainbot.evals.grounding import VALIDATION as JUDGE
    from twainbot.evals.outlook import out_of_reach

    found = [base["note"]] if base["note"] else []
    found += [f"On profile {profile.name} {sentence}" for sentence in out_of_reach(counted(profile))]
    found.append(
        "Weather claims are read from replies by rules. On replies in persona voice that were held out from its tuning the"
        f" judge called {JUDGE.false_positives} of {JUDGE.faithful} faithful replies errors and caught {JUDGE.caught} of"
        f" {JUDGE.faulty} faulty ones; so a raw error rate of 5 to 15 % tells nothing until the wrong claims have been read."
    )
    found.append(
        "Primary gates are the project's goals, secondary ones guard them against tricks. A release needs them all but the"
        " classifier's voice, so many gates make no false release likelier."
    )
    unfitted = frames["eval_style"].filter(frames["eval_style"]["name"] == "classifier_not_fitted")
    found += [json.loads(payload)["why"] for payload in unfitted["payload"].to_list()]
    return found
