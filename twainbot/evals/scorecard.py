"""The scorecard page: one self-contained HTML file from measured figures. Deciding pass or fail is verdicts.py's.

The page asks no server for anything: styles are inline, figures are data URIs, there is no script. All text from models
and tools is escaped by the template. Equal input gives equal bytes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from twainbot.evals import plots
from twainbot.evals.grounding import Claim
from twainbot.evals.verdicts import Verdict, blockers, role

STATE_MARKS = {"pass": "✓", "fail": "✗", "inconclusive": "?", "not_run": "–", "not_measurable": "∅"}
GATE_TITLES = {
    "style": "Style", "weather_errors": "Weather errors", "tool_calls": "Tool calls", "perplexity": "Perplexity",
    "coding": "Coding", "code_loss": "Code loss", "copying": "Copying", "wanted_calls": "Wanted calls",
    "no_call": "Restraint", "result_used": "Result used", "forgetting": "Forgetting", "voice": "Voice (classifier)",
}  # fmt: skip


@dataclass(frozen=True)
class Metric:
    """One line of the comparison. `unit`: share (0..1, shown in percent), number or words. None: not measured."""

    name: str
    base: float | None
    adapter: float | None
    unit: str = "share"
    better: str = "higher"  # higher | lower | neither
    n: int | None = None
    note: str = ""


@dataclass(frozen=True)
class Step:
    """One turn of a reply: text of the assistant, a call with its arguments, or what the tool answered.

    claims: judged claims of `text`, with spans into it; they are highlighted by verdict.
    """

    role: str  # assistant | tool
    text: str = ""
    call: Mapping[str, Any] | None = None  # {"name", "arguments"}
    claims: Sequence[Claim] = ()


@dataclass(frozen=True)
class SampleDialogue:
    """A user's question answered by both arms, step by step."""

    title: str
    question: str
    base: Sequence[Step]
    adapter: Sequence[Step]


@dataclass(frozen=True)
class Segment:
    """A stretch of a reply; `verdict` is empty outside of claims."""

    text: str
    verdict: str = ""
    reason: str = ""


@dataclass(frozen=True)
class ScorecardInput:
    """Everything the page shows. Empty parts are left out of it; mappings and sequences keep their order.

    perplexity: {held-out set: [(stage, perplexity)]}, the base first. tool_calls: (measure, base, adapter), each
    (value, low, high) in 0..1 or None. losses: {stage: (training, validation)} as (step, loss) pairs. funnel: (stage,
    rows). splits: {split: {kind: rows}}. lineage and versions: {what: hash, id or version}. rehearsal: why this run is
    only a rehearsal; empty where it is the real thing.
    """

    title: str
    recipe: str
    profile: str
    run_id: str
    created_at: str  # as it shall be printed; the page has no clock
    verdicts: Sequence[Verdict]
    rehearsal: str = ""
    summary: str = ""
    metrics: Sequence[Metric] = ()
    classifier: Sequence[Metric] = ()  # the style classifier on works it had not seen; `adapter` holds the value
    perplexity: Mapping[str, Sequence[tuple[str, float]]] = field(default_factory=dict)
    tool_calls: Sequence[tuple[str, plots.Rate | None, plots.Rate | None]] = ()
    losses: Mapping[str, tuple[Sequence[tuple[float, float]], Sequence[tuple[float, float]]]] = field(
        default_factory=dict
    )
    funnel: Sequence[tuple[str, int]] = ()
    splits: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    dialogues: Sequence[SampleDialogue] = ()
    lineage: Mapping[str, str] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    notes: Sequence[str] = ()


def render_html(card: ScorecardInput) -> str:
    """The whole page. Figures are drawn only for parts that hold data."""
    from jinja2 import Environment, StrictUndefined

    source = resources.files("twainbot.evals").joinpath("scorecard.html.j2").read_text(encoding="utf-8")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    filters: dict[str, Any] = {"figure": figure, "metric": metric_figure, "segments": segments, "pretty": pretty}
    environment.filters.update(filters)
    return environment.from_string(source).render(
        card=card,
        figures=_figures(card),
        gauges={verdict.gate: gauge(verdict) for verdict in card.verdicts},
        blockers=blockers(card.verdicts),
        marks=STATE_MARKS,
        titles=GATE_TITLES,
        role=role,
        kinds=sorted({kind for counts in card.splits.values() for kind in counts}),
    )


def segments(text: str, claims: Sequence[Claim]) -> list[Segment]:
    """The text cut at its claims; their texts joined give the text again. Of overlapping claims the first is shown.

    Skipped claims are shown too, faintly: a reader should see what the scope rules let pass.
    """
    cut: list[Segment] = []
    position = 0
    for claim in sorted(claims, key=lambda c: (c.start, -c.end)):
        if claim.start < position or not claim.start < claim.end <= len(text):
            continue
        if claim.start > position:
            cut.append(Segment(text[position : claim.start]))
        cut.append(Segment(text[claim.start : claim.end], claim.verdict, f"{claim.verdict} — {claim.reason}"))
        position = claim.end
    return [*cut, Segment(text[position:])] if position < len(text) else cut


def figure(verdict: Verdict, value: float | None) -> str:
    """A value in the verdict's unit; an infinite end of an interval is written as such."""
    if value is None:
        return "–"
    if value in (float("inf"), float("-inf")):
        return "∞" if value > 0 else "−∞"
    if verdict.unit == "share":
        return f"{100 * value:.1f} %"
    if verdict.unit == "gain":
        return f"{100 * value:+.1f} pts".replace("-", "−")
    return f"{value:.0f} words" if verdict.unit == "words" else f"{value:.3f}"


def metric_figure(value: float | None, unit: str) -> str:
    """A metric's value as its unit wants it; `points` is the difference of two shares."""
    if value is None:
        return "–"
    if unit in ("share", "points"):
        return f"{100 * value:.1f} {'%' if unit == 'share' else 'pts'}"
    return f"{value:.0f}" if unit == "words" else f"{value:,.3g}" if abs(value) < 1000 else f"{value:,.0f}"


def interval_words(low: float | None, high: float | None, unit: str) -> str:
    """An interval as a note; empty where there is none."""
    if low is None or high is None:
        return ""
    return f"95 %: {metric_figure(low, unit)} to {metric_figure(high, unit)}"


def gauge(verdict: Verdict) -> dict[str, float] | None:
    """Positions in percent of a small bar: `value`, `bound`, `low` and `high`; None where nothing was measured."""
    if verdict.value is None:
        return None
    ends = (verdict.interval.low, verdict.interval.high) if verdict.interval else (verdict.value, verdict.value)
    finite = [x for x in (verdict.value, verdict.bound, *ends) if abs(x) != float("inf")]
    low, high = min(finite), max(finite)
    margin = 0.12 * (high - low) or 0.5
    low, high = low - margin, high + margin

    def place(x: float) -> float:
        return round(100 * (min(max(x, low), high) - low) / (high - low), 2)

    return {"value": place(verdict.value), "bound": place(verdict.bound), "low": place(ends[0]), "high": place(ends[1])}


def pretty(value: Any) -> str:
    """A call's arguments or a tool's answer on few lines; text that is not JSON stays as it is."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return str(value)
    if isinstance(value, Mapping):
        return ", ".join(f"{key}: {json.dumps(item, ensure_ascii=False)}" for key, item in value.items())
    return json.dumps(value, ensure_ascii=False)


def _figures(card: ScorecardInput) -> dict[str, plots.Figure]:
    drawn: dict[str, plots.Figure] = {}
    if any(card.perplexity.values()):
        drawn["perplexity"] = plots.perplexity(card.perplexity)
    if card.tool_calls:
        drawn["tool_calls"] = plots.rates(card.tool_calls)
    if any(train or validation for train, validation in card.losses.values()):
        drawn["losses"] = plots.losses(card.losses)
    if card.funnel:
        drawn["funnel"] = plots.funnel(card.funnel)
    return drawn
