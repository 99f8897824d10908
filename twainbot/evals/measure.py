"""From generations and losses to rows of records.EVAL: one function per evaluation. Scoring one reply is the siblings'.

A row is a metric of one arm, an item worth reading, or a verdict in full (its payload). Verdicts compare the released
arm with the base on the same cases.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from typing import Any, TypeAlias

import polars as pl

from twainbot.chunks.tags import tag
from twainbot.errors import BadInput
from twainbot.evals import pairs, rubric, verdicts
from twainbot.evals import ratings as rated
from twainbot.evals import style as styles
from twainbot.evals.coding import Answer
from twainbot.evals.grounding import GroundingSummary, corrected, judge, uses_result
from twainbot.evals.grounding import summarise as summarise_claims
from twainbot.evals.places_dates import after
from twainbot.evals.raw_data import data_spans, in_words
from twainbot.evals.statistics import Interval, clopper_pearson, paired_bootstrap
from twainbot.evals.tool_calls import CallRow, CallSummary
from twainbot.evals.tool_calls import score as score_calls
from twainbot.evals.tool_calls import summarise as summarise_calls
from twainbot.evals.verdicts import TextLoss, Verdict
from twainbot.personas import first
from twainbot.records import EVAL, frame

BASE = "base"
STAGES = ("dapt", "sft", "preference")  # in curriculum order; Dagster hands over an asset's inputs by alphabet
PASSED = "passed"  # the state of a program that passed its tests
SEED = 7  # of every bootstrap: equal rows give equal intervals

Row: TypeAlias = dict[str, Any]

CALL_RATES = (  # attribute of CallSummary, better
    ("exact_strict", "higher"), ("exact_normalised", "higher"), ("precision", "higher"), ("recall", "higher"),
    ("no_call_accuracy", "higher"), ("false_call_rate", "lower"), ("unknown_tool_rate", "lower"),
    ("format_error_rate", "lower"), ("argument_copied_from_prompt_rate", "higher"),
)  # fmt: skip


def metric(
    name: str, arm: str, value: float | None, n: int, unit: str = "share", better: str = "higher",
    interval: Interval | None = None,
) -> Row:  # fmt: skip
    """One measured figure of one arm."""
    low, high = (interval.low, interval.high) if interval else (None, None)
    return {"kind": "metric", "name": name, "arm": arm, "value": value, "low": low, "high": high, "n": n,
            "unit": unit, "better": better, "payload": None}  # fmt: skip


def item(name: str, arm: str, value: float | None, payload: Mapping[str, Any]) -> Row:
    """One case worth reading."""
    return {"kind": "item", "name": name, "arm": arm, "value": value, "low": None, "high": None, "n": 1,
            "unit": "number", "better": "neither", "payload": json.dumps(payload, ensure_ascii=False)}  # fmt: skip


def verdict_row(verdict: Verdict) -> Row:
    """A verdict, in full in its payload."""
    interval = verdict.interval
    return {"kind": "verdict", "name": verdict.gate, "arm": "adapter", "value": verdict.value,
            "low": interval.low if interval else None, "high": interval.high if interval else None, "n": verdict.n,
            "unit": verdict.unit, "better": verdict.better, "payload": json.dumps(asdict(verdict))}  # fmt: skip


def verdict_of(payload: str) -> Verdict:
    """A verdict back from its row's payload."""
    raw = json.loads(payload)
    interval = raw.pop("interval")
    return Verdict(**raw, interval=Interval(**interval) if interval else None)


def table(rows: Sequence[Row]) -> pl.DataFrame:
    """Rows of records.EVAL."""
    return frame(rows, EVAL)


def paired(base: pl.DataFrame, tuned: pl.DataFrame) -> tuple[list[Row], list[Row]]:
    """The rows of both arms for the cases that both have, in the same order."""
    ours = {row["case_id"]: row for row in tuned.to_dicts()}
    theirs = [row for row in base.sort("case_id").to_dicts() if row["case_id"] in ours]
    return theirs, [ours[row["case_id"]] for row in theirs]


def arms(base: pl.DataFrame, tuned: pl.DataFrame, suite: str) -> dict[str, pl.DataFrame]:
    """Rows of one suite by arm, the base first, then the training stages in curriculum order."""
    listed = tuned.filter(pl.col("suite") == suite)
    present = [arm for arm in STAGES if arm in listed["arm"].unique().to_list()]
    found = {BASE: base.filter(pl.col("suite") == suite)}
    return found | {arm: listed.filter(pl.col("arm") == arm) for arm in present}


def call_row(row: Mapping[str, Any], tools: Sequence[Mapping[str, Any]]) -> CallRow:
    """A generation as an item of the tool-call scores."""
    return CallRow.from_record(
        {"reply": row["reply"], "expected": json.loads(row["expected"]), "tools": tools, "prompt": row["prompt"]}
    )


def exact(row: CallRow) -> bool:
    """Whether the calls are exactly right, place and date normalised, and every one well formed."""
    return score_calls(row.predicted, row.expected, row.tools).normalised and not row.format_errors


def tool_calls(base: pl.DataFrame, tuned: pl.DataFrame, tools: Sequence[Mapping[str, Any]], final: str) -> pl.DataFrame:
    """Rates of every arm, and the verdict: the final arm against the base."""
    by_arm = arms(base, tuned, "tool_calls")
    rows: list[Row] = []
    for arm, generations in by_arm.items():
        summary = summarise_calls([call_row(row, tools) for row in generations.to_dicts()])
        rows += [metric(name, arm, getattr(summary, name), counted(summary, name), "share", better, bounds(summary, name))
                 for name, better in CALL_RATES]  # fmt: skip
    theirs, ours = paired(by_arm[BASE], by_arm[final])
    before, after = ([exact(call_row(row, tools)) for row in arm] for arm in (theirs, ours))
    wanted = [bool(json.loads(row["expected"])) for row in ours]
    rows += [
        verdict_row(verdicts.tool_calls(before, after)),
        verdict_row(verdicts.wanted_calls([right for right, calls in zip(after, wanted, strict=True) if calls])),
        verdict_row(verdicts.no_call([right for right, calls in zip(after, wanted, strict=True) if not calls])),
    ]
    rows += [item("wrong_call", final, 0.0, {"prompt": row["prompt"], "reply": row["reply"], "expected": row["expected"]})
             for row, right in zip(ours, after, strict=True) if not right]  # fmt: skip
    return table(rows)


def counted(summary: CallSummary, name: str) -> int:
    """How many things a rate of the summary was counted over."""
    if name in ("no_call_accuracy", "false_call_rate"):
        return summary.negatives
    if name in ("precision", "unknown_tool_rate"):
        return summary.predicted_calls
    return summary.expected_calls if name == "recall" else summary.n


def bounds(summary: CallSummary, name: str) -> Interval | None:
    """The exact interval of a rate, where the summary has one."""
    found: Interval | None = getattr(summary, f"{name}_interval", None)
    return found


def grounding(base: pl.DataFrame, tuned: pl.DataFrame, final: str) -> pl.DataFrame:
    """Weather errors per reply that followed a good tool result, invented weather after a failed one, the verdict."""
    rows: list[Row] = []
    for arm, generations in arms(base, tuned, "grounding").items():
        judged = [(row, claims_of(row)) for row in generations.to_dicts()]
        sides: dict[bool, list[tuple[str, list[Any]]]] = {True: [], False: []}  # whether the tool failed
        for row, claims in judged:
            sides["error" in json.loads(row["result"])].append((row["reply"], claims))
        summary, after_failure = (summarise_claims([claims for _, claims in sides[failed]]) for failed in (False, True))
        used = [uses_result(in_words(reply, claims)) for reply, claims in sides[False]]
        raw = [bool(data_spans(reply)) for reply, _ in sides[False]]
        rows += grounding_metrics(arm, summary, after_failure)
        rows.append(metric("raw_data_replies", arm, mean_of(raw), len(raw), "share", "lower", exact_interval(raw)))
        rows.append(metric("tool_result_used", arm, mean_of(used), len(used), interval=exact_interval(used)))
        if arm == final:
            rows.append(verdict_row(verdicts.weather_errors(summary, after_failure)))
            rows.append(verdict_row(verdicts.result_used(used, raw)))
            rows += [wrong for row, claims in judged for wrong in wrong_claims(arm, row, claims)]
    return table(rows)


def mean_of(flags: Sequence[bool]) -> float | None:
    """The share of what is true; None of nothing."""
    return sum(flags) / len(flags) if flags else None


def exact_interval(flags: Sequence[bool]) -> Interval:
    """The exact interval of that share."""
    return clopper_pearson(sum(flags), len(flags))


def claims_of(row: Mapping[str, Any]) -> list[Any]:
    """The judged claims of a reply."""
    result = json.loads(row["result"])
    return judge(row["reply"], [result], today=reference_day(result))


def reference_day(result: Mapping[str, Any]) -> date | None:
    """The day on which a result's `today`, `tonight` or `tomorrow` was said; None where it does not tell."""
    if not result.get("date"):
        return None
    day = date.fromisoformat(result["date"])
    word = str(result.get("datetime", "")).lower()
    if word in ("today", "tonight", "now"):
        return day
    return after(day, -1) if word == "tomorrow" else None


def grounding_metrics(arm: str, answered: GroundingSummary, failed: GroundingSummary) -> list[Row]:
    """Figures of one arm."""
    return [
        metric("weather_error_rate", arm, answered.error_rate, answered.replies, "share", "lower", answered.interval),
        *corrected_metric(arm, answered),
        metric("weather_error_rate_strict", arm, answered.strict_error_rate, answered.replies, "share", "lower"),
        metric("grounding_coverage", arm, answered.coverage, answered.replies, "share", "higher"),
        metric("claim_error_rate", arm, answered.claim_error_rate, answered.claims, "share", "lower"),
        metric(
            "weather_invented_after_failure", arm, failed.error_rate, failed.replies, "share", "lower", failed.interval
        ),
    ]


def corrected_metric(arm: str, answered: GroundingSummary) -> list[Row]:
    """The error rate that lies behind the judge's own errors, beside the raw one, which alone decides the verdict."""
    found = corrected(answered.error_replies, answered.replies)
    if found is None:
        return []
    return [metric("weather_error_rate_corrected", arm, found[0], answered.replies, "share", "lower", found[1])]


def wrong_claims(arm: str, row: Mapping[str, Any], claims: Sequence[Any]) -> list[Row]:
    """The contradicted and unsupported claims of a reply, to be read."""
    return [
        item(
            "wrong_claim",
            arm,
            0.0,
            {"case": row["case_id"], "reply": row["reply"], "claim": claim.text, "why": claim.reason},
        )
        for claim in claims
        if claim.verdict in ("contradicted", "unsupported")
    ]


def spoken(row: Mapping[str, Any]) -> str:
    """What the assistant says in an exchange, as raters read it: calls and tool results left out, the words beside a call
    and a call that cannot be read left in."""
    steps = pairs.shown(json.loads(row["steps"]))
    return "\n".join(step.text for step in steps if step.kind == "said" and step.text)


def humor(base: pl.DataFrame, tuned: pl.DataFrame, final: str) -> pl.DataFrame:
    """Humour cues per 100 words, and the paired gain. A count of cues, no judgement of wit: that is the ratings'."""
    theirs, ours = talk(base, tuned, final)
    if not theirs:
        return table([])
    before, after = ([float(tag(spoken(row), "dialogue")["humor_density"]) for row in rows] for rows in (theirs, ours))
    gain = paired_bootstrap(before, after, seed=SEED)
    count = len(theirs)
    return table([
        metric("humor_cues_per_100_words", BASE, sum(before) / count, count, "number", "neither"),
        metric("humor_cues_per_100_words", final, sum(after) / count, count, "number", "neither"),
        metric("humor_cues_gain", final, gain.mean, gain.n, "number", "neither", gain.interval),
    ])  # fmt: skip


def talk(base: pl.DataFrame, tuned: pl.DataFrame, final: str) -> tuple[list[Row], list[Row]]:
    """Paired replies that are talk: chat and answers after a tool result."""
    suites = pl.col("suite").is_in(["chat", "grounding"])
    return paired(base.filter(suites), tuned.filter(suites & (pl.col("arm") == final)))


def style(base: pl.DataFrame, tuned: pl.DataFrame, passages: pl.DataFrame, final: str) -> pl.DataFrame:
    """Classifier rates beside the ceiling of held-out works, and the copying verdict. Ratings are another table.

    `passages`: rows of records.DAPT_ROW; the classifier is fitted on those that no adapter trained on.
    """
    theirs, ours = talk(base, tuned, final)
    replies = [spoken(row) for row in ours]
    trained = passages.filter(pl.col("split") == "train")["text"].to_list()
    rows = copied(replies, trained, final)
    try:
        found = styles.report(held_out(passages), [spoken(row) for row in theirs], replies, seed=SEED)
    except BadInput as error:
        unfitted = item("classifier_not_fitted", final, None, {"why": str(error)})
        return table([*rows, verdict_row(verdicts.voice(None, str(error))), unfitted])
    return table([*rows, *classified(found, final)])


def copied(replies: Sequence[str], trained: Sequence[str], final: str) -> list[Row]:
    """The copying verdict, and what it rests on: longest runs and shares of runs of six words.

    Without a word on one of the sides nothing was compared, and the verdict is `not_run`.
    """
    if not (has_words(replies) and has_words(trained)):
        return [verdict_row(verdicts.copying([]))]
    overlaps = styles.longest_overlaps(replies, trained)
    shares = styles.shared_run_rates(replies, trained)
    longest = max(overlaps, key=lambda run: run.words)
    return [
        verdict_row(verdicts.copying([run.words for run in overlaps], shares)),
        metric("longest_shared_run", final, longest.words, len(replies), "words", "lower"),
        metric("shared_runs_of_six_words", final, sum(shares) / len(shares), len(replies), "share", "lower"),
        item("longest_shared_run", final, float(longest.words), {"text": longest.text}),
    ]


def has_words(texts: Sequence[str]) -> bool:
    """Whether a letter or figure stands in any of them."""
    return any(character.isalnum() for text in texts for character in text)


def held_out(passages: pl.DataFrame) -> list[styles.StyleExample]:
    """Passages that no adapter trained on, labelled for the classifier: the persona that was asked for, or another style."""
    target = first().style  # whose: whom the arms were asked to be
    return [
        styles.StyleExample(row["text"], row["style"] == target, row["sample_id"].rsplit(":", 1)[0], row["style"])
        for row in passages.filter(pl.col("split") != "train").to_dicts()
    ]


def classified(found: styles.StyleReport, final: str) -> list[Row]:
    """What the classifier is worth on unseen works, style by style, and what it says of both arms."""
    limit, gain, room, n = found.ceiling, found.probability_gain, found.share_of_headroom, found.n
    held, others = "held-out works", limit.works - limit.target_works
    confusion = [
        metric(f"classifier_takes_{author}", held, rate, count, "share", "neither",
               clopper_pearson(round(rate * count), count))
        for author, (rate, count) in limit.passes_by_author.items()
    ]  # fmt: skip
    return [
        verdict_row(verdicts.voice(room, "The classifier hardly tells the base from unseen passages of the author.")),
        metric(
            "classifier_ceiling", held, limit.target_rate, limit.target_works, "share", "neither", limit.target_interval
        ),
        metric("classifier_false_passes", held, limit.other_rate, others, "share", "lower"),
        metric("classifier_auc", held, limit.auc, limit.works, "number", "higher"),
        metric("classifier_calibration_error", held, limit.calibration_error, limit.works, "number", "lower"),
        *confusion,
        metric("classifier_rate", BASE, found.base_rate, n),
        metric("classifier_rate", final, found.adapter_rate, n),
        metric("classifier_gain", final, gain.mean, n, "number", "higher", gain.interval),
    ]


def perplexity(
    losses: Mapping[str, Mapping[str, Sequence[TextLoss]]], groups: Mapping[str, Sequence[str]] | None = None
) -> pl.DataFrame:
    """Perplexity and bits per byte by arm and set of texts, and two verdicts: held-out passages must be likelier after
    the first stage, neutral text not much less likely after the last.

    losses: {arm: {set: losses of its texts}}, arms in any order; each loss holds the base's and that arm's summed nats.
    groups: {item: names of further sets that it belongs to}, such as its split and its source.
    """
    rows: dict[tuple[str, str], Row] = {}
    present = [arm for arm in STAGES if arm in losses]
    for arm in present:
        sets = losses[arm]
        for name, texts in {**sets, **regrouped(sets, groups or {})}.items():
            for who, nats in ((BASE, [text.base for text in texts]), (arm, [text.adapter for text in texts])):
                rows |= {(who, row["name"]): row for row in likelihood_metrics(name, who, nats, texts)}
    first, last = (present[end] if present else "" for end in (0, -1))
    likelier = verdicts.perplexity(losses.get(first, {}).get("passages", []), seed=SEED, after=first)
    if last != first and losses[last].get("passages"):
        end = verdicts.perplexity(
            losses[last]["passages"], seed=SEED
        )  # the gate is the first stage's; people use the last
        ratio = "not finite" if end.value is None else f"{end.value:.3f}"
        likelier = replace(likelier, why=f"{likelier.why} After {last}, the last stage, it is {ratio}.")
    return table([
        *rows.values(),
        verdict_row(likelier),
        verdict_row(verdicts.forgetting(losses.get(last, {}).get("neutral", []), seed=SEED, after=last)),
    ])  # fmt: skip


def regrouped(sets: Mapping[str, Sequence[TextLoss]], groups: Mapping[str, Sequence[str]]) -> dict[str, list[TextLoss]]:
    """The same losses by the further names of their items, in order of name."""
    found: dict[str, list[TextLoss]] = {}
    for text in (text for texts in sets.values() for text in texts):
        for name in groups.get(text.item, ()):
            found.setdefault(name, []).append(text)
    return dict(sorted(found.items()))


def likelihood_metrics(name: str, who: str, nats: Sequence[float], texts: Sequence[TextLoss]) -> list[Row]:
    """Perplexity a token and bits a byte of one set. Tokens are the base's own; bytes compare between bases."""
    tokens, size = sum(text.size for text in texts), sum(text.bytes for text in texts)
    rows = []
    if tokens:
        rows.append(metric(f"perplexity_{name}", who, verdicts.exp(sum(nats) / tokens), len(texts), "number", "lower"))
    if size:
        bits = sum(nats) / math.log(2) / size
        rows.append(metric(f"bits_per_byte_{name}", who, bits, len(texts), "number", "lower"))
    return rows


def coding(
    losses: Sequence[TextLoss], answers: Sequence[Answer] = (), sandbox: str = "The coding problems were not run."
) -> pl.DataFrame:
    """Loss on canonical solutions, pass@1 of both arms on the same problems, and both verdicts.

    sandbox: how it proved itself, or why nothing was run; it ends the verdict's sentence.
    """
    base, adapter = ([getattr(answer, arm) == PASSED for answer in answers] for arm in (BASE, "adapter"))
    solved = verdicts.coding(base, adapter)
    solved = replace(solved, why=f"{solved.why} {sandbox}" if answers else sandbox)
    rows = [verdict_row(solved), verdict_row(verdicts.code_loss(losses, seed=SEED))]
    for arm, passed in ((BASE, base), ("adapter", adapter)) if answers else ():
        rate = clopper_pearson(sum(passed), len(passed))
        rows.append(metric("pass_at_1", arm, sum(passed) / len(passed), len(passed), interval=rate))
    rows += [item("coding_answer", "adapter", float(right), asdict(answer))
             for answer, right in zip(answers, adapter, strict=True)]  # fmt: skip
    size = sum(loss.size for loss in losses)
    if size:
        rows += [
            metric(
                "code_nats_per_byte", BASE, sum(loss.base for loss in losses) / size, len(losses), "number", "lower"
            ),
            metric(
                "code_nats_per_byte",
                "adapter",
                sum(loss.adapter for loss in losses) / size,
                len(losses),
                "number",
                "lower",
            ),
        ]
    return table(rows)


def ratings(
    base: pl.DataFrame, tuned: pl.DataFrame, lines: Sequence[Mapping[str, Any]], recipe: str, final: str
) -> pl.DataFrame:
    """The style verdict over blind ratings, scores of both arms, agreement, and every rating that counts, as an item.

    lines: of the ratings file. What does not count is an item too, by reason.
    """
    counted = rated.count(lines, recipe, pairs.pairs(base, tuned, final))
    used = rated.rated_twice(counted.given)
    rows = [verdict_row(rated.verdict(counted))]
    rows += [row for name in rubric.NAMES for row in rating_metrics(used, name)]
    rows += [item("rating", each.arm, each.style, asdict(each)) for each in counted.given]
    rows += [item("ratings_not_counted", "both", float(n), {"reason": reason, "lines": n})
             for reason, n in sorted(counted.left_out.items())]  # fmt: skip
    return table(rows)


def rating_metrics(given: Sequence[rated.Given], name: str) -> list[Row]:
    """Both arms' mean and share of 4 or better on one scale, the paired gain, and kappa of every two raters."""
    rows: list[Row] = []
    for arm in (pairs.BASE, pairs.ADAPTER):
        scores = rated.means(given, name, arm).values()
        if scores:
            good, n = sum(score >= verdicts.STYLE_GOOD for score in scores), len(scores)
            rows.append(metric(f"rated_{name}", arm, sum(scores) / n, n, "number"))
            rows.append(metric(f"rated_{name}_4_or_5", arm, good / n, n, interval=clopper_pearson(good, n)))
    gain = rated.gain(given, name)
    if gain.n:
        shown = gain.interval if gain.clusters > 1 else None
        rows.append(metric(f"rated_{name}_gain", pairs.ADAPTER, gain.mean, gain.n, "number", interval=shown))
    rows += [
        metric(
            f"rated_{name}_kappa", f"{each.first} / {each.second}", each.kappa, each.n, "number", interval=each.interval
        )
        for each in rated.agreed(given, name)
        if each.items > 1
    ]
    return rows
