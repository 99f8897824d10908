"""`twainbot score`: the evaluators on anyone's transcripts. How a reply is judged is twainbot/evals' business.

The forms of a line stand here as models and, for people, in docs/scoring.md. Keys beyond them are ignored, so that a
file may carry its own ids and notes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from resources.home import PROJECT
from twainbot.errors import BadInput, UnknownName
from twainbot_assets.json_lines import read_objects

if TYPE_CHECKING:
    from twainbot.evals.grounding import Claim
    from twainbot.evals.statistics import Interval, PairedGain
    from twainbot.evals.style import Ceiling, Overlap, StyleExample, StyleReport
    from twainbot.evals.tool_calls import CallRow, CallScore, CallSummary

SAMPLES = PROJECT / "samples"
REFERENCE_SOURCES = ("local", "satire")  # prose; jokes are shorter than any reply
PIECE_WORDS = 80  # about a reply: the classifier is told of length by nothing else
SHORTEST_PIECE = 40  # words; a shorter tail says too little of a style
SEED = 7  # of the bootstrap: equal files give equal intervals
SHOWN = 10  # faults that people read; --json has them all

Line: TypeAlias = tuple[int, dict[str, Any]]


class Form(BaseModel):
    """A line's form: exact types, other keys ignored."""

    model_config = ConfigDict(strict=True, frozen=True, extra="ignore")


class Call(Form):
    """A call that was made."""

    name: str
    arguments: dict[str, Any] = Field(default_factory=dict)


class CallLine(Form):
    """A line of `tool-calls`: what was said or called, what was right, and what was offered."""

    reply: str | None = None
    predicted: list[Call] | None = None
    expected: list[dict[str, dict[str, list[Any]]]]
    tools: list[dict[str, Any]] = Field(default_factory=list)
    prompt: str = ""

    @model_validator(mode="after")
    def complete(self) -> CallLine:
        """Something to score, one tool name per expected call, and named tools where a call is right."""
        if self.reply is None and self.predicted is None:
            raise ValueError("give `reply` (the model's text) or `predicted` (a list of calls)")
        if any(len(call) != 1 for call in self.expected):
            raise ValueError("each expected call is an object with one tool name: {name: {parameter: [accepted]}}")
        if self.expected and not self.tools:
            raise ValueError("give `tools`, the JSON schemas that the model was offered")
        if not all(isinstance(named(tool), str) for tool in self.tools):
            raise ValueError("each of `tools` needs a name, bare or under `function`")
        if not all(map(is_schema, self.tools)):
            raise ValueError(
                "the `parameters` of each of `tools` are a JSON schema: `properties` of objects, `required` names"
            )
        return self


class GroundingLine(Form):
    """A line of `grounding`: a reply and the tool results before it, oldest first."""

    reply: str
    tool_results: list[dict[str, Any] | list[Any] | str]
    calls: list[Call] = Field(default_factory=list)
    today: date | None = Field(default=None, strict=False)

    @model_validator(mode="after")
    def paired(self) -> GroundingLine:
        """A call for each result, where calls are given at all."""
        if self.calls and len(self.calls) != len(self.tool_results):
            raise ValueError(f"{len(self.calls)} calls for {len(self.tool_results)} tool_results: give one a result")
        return self


class StyleLine(Form):
    """A line of `style`: a reply, and what the model without the adapter said to the same prompt."""

    reply: str
    baseline: str | None = None


AnyForm = TypeVar("AnyForm", bound=Form)


@dataclass(frozen=True)
class Scored:
    """A result for people and for machines."""

    text: list[str]
    data: dict[str, Any]


def score_file(what: str, file: Path, as_json: bool) -> str:
    """The score of a file of JSON lines. `what`: tool-calls, grounding or style.

    Raises BadInput naming the line that is malformed, UnknownName on another `what`.
    """
    scorer = SCORERS.get(what)
    if scorer is None:
        raise UnknownName(f"There is no score {what!r}. Known: {', '.join(SCORERS)}.")
    lines = read_objects(file)
    if not lines:
        raise BadInput(f"{file} holds no line to score. docs/scoring.md shows what a line holds.")
    scored = scorer(file, lines)
    if not as_json:
        return "\n".join(scored.text)
    return json.dumps(finite({"score": what, **scored.data}), indent=2, ensure_ascii=False)


# --- tool calls ------------------------------------------------------------------------------------------------------


def score_tool_calls(file: Path, lines: Sequence[Line]) -> Scored:
    """Rates as the function-calling leaderboard counts them, and normalised."""
    from twainbot.evals.tool_calls import CallRow, summarise, summarise_by_kind

    checked(CallLine, file, lines)
    rows = [CallRow.from_record(record) for _, record in lines]
    summary, by_kind = summarise(rows), summarise_by_kind(rows)
    verdicts = [verdict_on(row) for row in rows]
    judged = [{"line": number, **asdict(verdict)} for (number, _), verdict in zip(lines, verdicts, strict=True)]
    wrong = [
        f"line {number}: {'; '.join(verdict.errors)}"
        for (number, _), verdict in zip(lines, verdicts, strict=True)
        if verdict.errors
    ]
    head = f"{summary.n} replies: {summary.positives} need a call, {summary.negatives} need none."
    text = [head, *call_rates(summary), *kind_rates(by_kind), *shown("Not right as they stand", wrong)]
    of_kinds = {kind: asdict(found) for kind, found in by_kind.items()}
    return Scored(text, {"summary": asdict(summary), "by_kind": of_kinds, "rows": judged})


def verdict_on(row: CallRow) -> CallScore:
    """Whether one line's calls are right, faults of form included, and why not."""
    from twainbot.evals.tool_calls import CallScore, score

    lost = any(fault.lost for fault in row.format_errors)
    found = score(row.predicted, row.expected, row.tools)
    faults = [f"{fault.kind}: {fault.text!r}" for fault in row.format_errors]
    return CallScore(found.strict and not lost, found.normalised and not lost, [*faults, *found.errors])


def call_rates(summary: CallSummary) -> list[str]:
    """A line per rate."""
    n, predicted, expected = summary.n, summary.predicted_calls, summary.expected_calls
    return [
        share("exact, strict", summary.exact_strict, n),
        share("exact, normalised", summary.exact_normalised, n),
        share("precision, strict", summary.precision, predicted),
        share("precision, normalised", summary.precision_normalised, predicted),
        share("recall, strict", summary.recall, expected),
        share("recall, normalised", summary.recall_normalised, expected),
        share("silent where no call is right", summary.no_call_accuracy, summary.negatives),
        share("malformed calls, per reply", summary.format_error_rate, n),
        share("calls of a tool not offered", summary.unknown_tool_rate, predicted),
        share("calls that fit their schema", summary.schema_valid_rate, predicted),
    ]


def kind_rates(by_kind: Mapping[str, CallSummary]) -> list[str]:
    """Both exact rates of each kind of row, where there are several kinds; --json has all of their figures."""
    if len(by_kind) < 2:
        return []
    return [
        share(f"exact, {reading}, of `{kind}`", rate, found.n)
        for kind, found in by_kind.items()
        for reading, rate in (("strict", found.exact_strict), ("normalised", found.exact_normalised))
    ]


# --- grounding -------------------------------------------------------------------------------------------------------


def score_grounding(file: Path, lines: Sequence[Line]) -> Scored:
    """Weather errors, apart for replies that had a forecast to go by and for those that had none."""
    from twainbot.evals.grounding import summarise

    forms = checked(GroundingLine, file, lines)
    claims = [claims_of(form) for form in forms]
    leaning = [has_forecast(form) for form in forms]
    with_forecast = summarise([c for c, leans in zip(claims, leaning, strict=True) if leans])
    without = summarise([c for c, leans in zip(claims, leaning, strict=True) if not leans])
    words = [how_told(form.reply, found) for form, found in zip(forms, claims, strict=True)]
    judged = [
        {"line": number, "forecast": leans, **how, "claims": [asdict(claim) for claim in found]}
        for (number, _), how, found, leans in zip(lines, words, claims, leaning, strict=True)
    ]
    answers = [how for how, leans in zip(words, leaning, strict=True) if leans]
    told, raw = (sum(how[key] for how in answers) / len(answers) if answers else None for key in ("told", "raw_data"))
    upper = f"at most {with_forecast.upper:.1%} with 95% confidence"
    text = [
        f"{len(forms)} replies: {with_forecast.replies} had a forecast to go by, {without.replies} had none.",
        share("replies with a weather error", with_forecast.error_rate, with_forecast.replies) + f"; {upper}",
        share("the same, anecdotes and questions too", with_forecast.strict_error_rate, with_forecast.replies),
        share("replies that state any weather", with_forecast.coverage, with_forecast.replies),
        share("forecasts told in words", told, len(answers)),
        share("replies that hold raw data", raw, len(answers)),
        share("wrong claims", with_forecast.claim_error_rate, with_forecast.claims),
        share("weather invented without a forecast", without.error_rate, without.replies),
        *shown("Wrong claims", wrong_claims(lines, claims)),
    ]
    summary = {**asdict(with_forecast), "told_rate": told, "raw_data_rate": raw}
    return Scored(text, {"summary": summary, "without_forecast": asdict(without), "rows": judged})


def how_told(reply: str, claims: Sequence[Claim]) -> dict[str, bool]:
    """Whether a reply's words say some of the forecast rightly, and whether it holds data as a tool writes it."""
    from twainbot.evals.grounding import uses_result
    from twainbot.evals.raw_data import data_spans, in_words

    return {"told": uses_result(in_words(reply, claims)), "raw_data": bool(data_spans(reply))}


def claims_of(form: GroundingLine) -> list[Claim]:
    """The judged claims of one reply."""
    from twainbot.evals.grounding import judge

    calls = [{"name": call.name, "arguments": call.arguments} for call in form.calls]
    results: Sequence[Any] = form.tool_results
    return judge(form.reply, results, calls=calls, today=form.today)


def has_forecast(form: GroundingLine) -> bool:
    """Whether any tool result before the reply states weather."""
    from twainbot.evals.facts import read_result

    return any(read_result(result).sheets for result in form.tool_results)


def wrong_claims(lines: Sequence[Line], claims: Sequence[Sequence[Claim]]) -> list[str]:
    """Line, words and reason of every contradicted or unsupported claim."""
    from twainbot.evals.grounding import ERRORS

    return [
        f"line {number}: {claim.text!r} is {claim.verdict}: {claim.reason}"
        for (number, _), found in zip(lines, claims, strict=True)
        for claim in found
        if claim.verdict in ERRORS
    ]


# --- style -----------------------------------------------------------------------------------------------------------


def score_style(file: Path, lines: Sequence[Line]) -> Scored:
    """The share that a classifier fitted on the sample corpus takes for the default persona, and copying from it."""
    from twainbot.dialogues.prompts import personas
    from twainbot.evals.style import ceiling, fit, longest_overlaps, report

    forms = checked(StyleLine, file, lines)
    persona = personas()[0]
    texts, examples = reference_texts(persona)
    replies = [form.reply for form in forms]
    odds = [float(value) for value in fit(examples)(replies)]
    overlaps = longest_overlaps(replies, texts)
    pairs = [(form.baseline, form.reply) for form in forms if form.baseline is not None]
    gain = report(examples, [base for base, _ in pairs], [own for _, own in pairs], seed=SEED) if pairs else None
    limit = gain.ceiling if gain else ceiling(examples, seed=SEED)  # five fits: most of the command's time
    rows = [
        {"line": number, "probability": value, "longest_overlap": asdict(found)}
        for (number, _), value, found in zip(lines, odds, overlaps, strict=True)
    ]
    text = [
        *rate_lines(persona, odds, limit),
        *(baseline_lines(gain) if gain else ["  no line has a `baseline`, so there is no gain to report"]),
        *overlap_lines(overlaps),
        "A model that was trained on the sample corpus is flattered here; `evals/style` holds works out.",
    ]
    summary = {"persona": persona, "n": len(odds), "rate": passed(odds), "ceiling": asdict(limit)}
    return Scored(text, {"summary": summary, "gain": asdict(gain) if gain else None, "rows": rows})


def passed(odds: Sequence[float]) -> float:
    """The share of probabilities from one half on, 0..1."""
    return sum(value >= 0.5 for value in odds) / len(odds)


def rate_lines(persona: str, odds: Sequence[float], limit: Ceiling) -> list[str]:
    """The replies' rate, and beside it what unseen passages of the persona and of others reach."""
    others = limit.works - limit.target_works
    mine = f"{limit.target_rate:.1%} of unseen passages of `{persona}` pass, {limit.other_rate:.1%} of others'"
    return [
        f"{len(odds)} replies against {limit.target_works} sample works of `{persona}` and {others} others.",
        share(f"taken for `{persona}`", passed(odds), len(odds)),
        f"  {'beside it':<38} {mine}",
    ]


def overlap_lines(overlaps: Sequence[Overlap]) -> list[str]:
    """How many replies copy, and the longest run."""
    from twainbot.evals.verdicts import COPYING_BOUND

    over, longest = sum(found.words > COPYING_BOUND for found in overlaps), max(overlaps, key=lambda run: run.words)
    return [
        share(f"share over {COPYING_BOUND} words in a row", over / len(overlaps), len(overlaps)),
        f"  {'longest run':<38} {longest.words} words: {longest.text!r}",
    ]


def baseline_lines(found: StyleReport) -> list[str]:
    """The baseline's rate and the paired gains."""
    return [
        share("baseline taken for it", found.base_rate, found.n),
        gain_line("gain in that share", found.rate_gain),
        gain_line("gain in probability", found.probability_gain),
    ]


def gain_line(name: str, gain: PairedGain) -> str:
    """A paired difference with its interval; two pairs at least make one."""
    bounds = between(gain.interval) if math.isfinite(gain.interval.low) else "too few pairs for an interval"
    return f"  {name:<38} {gain.mean:+7.1%}  ({gain.n} pairs, {bounds})"


def reference_texts(persona: str) -> tuple[list[str], list[StyleExample]]:
    """(texts in the persona's style, pieces of these and of others' prose) out of the sample corpus.

    Files with planted copies are left out: a copy on both sides of a fold would raise the ceiling.
    """
    from twainbot.evals.style import StyleExample
    from twainbot.personas import of

    style = of(persona).style
    texts: list[str] = []
    examples: list[StyleExample] = []
    for work in sample_works():
        mine = work["style"] == style
        texts += [work["text"]] if mine else []
        examples += [StyleExample(piece, mine, work["work_id"]) for piece in pieces(work["text"])]
    return texts, examples


def sample_works() -> Iterator[dict[str, Any]]:
    """Usable prose works of the sample corpus."""
    from twainbot.corpora.works import Sidecar, works_from_unit

    for entry in yaml.safe_load((SAMPLES / "manifest.yaml").read_text(encoding="utf-8"))["files"]:
        if entry["source"] in REFERENCE_SOURCES and not entry.get("canaries"):
            raw = (SAMPLES / entry["path"]).read_bytes()
            works = works_from_unit(entry["source"], entry["unit"], raw, Sidecar.from_mapping(entry))
            yield from works.filter(works["reject_reason"].is_null()).iter_rows(named=True)


def pieces(text: str) -> list[str]:
    """Stretches of about PIECE_WORDS words, in order; a short tail is dropped, a short text kept whole."""
    words = text.split()
    cut = [words[start : start + PIECE_WORDS] for start in range(0, len(words), PIECE_WORDS)]
    return [" ".join(piece) for number, piece in enumerate(cut) if number == 0 or len(piece) >= SHORTEST_PIECE]


# --- lines in, words out ---------------------------------------------------------------------------------------------


def checked(form: type[AnyForm], file: Path, lines: Sequence[Line]) -> list[AnyForm]:
    """Every line in its form. Raises BadInput with the first line that is not, and which key is wrong."""
    found = []
    for number, record in lines:
        try:
            found.append(form.model_validate(record))
        except ValidationError as error:
            faults = "; ".join(fault_text(fault["loc"], fault["msg"]) for fault in error.errors())
            raise BadInput(f"{file} line {number}: {faults}. docs/scoring.md shows what a line holds.") from None
    return found


def fault_text(place: Sequence[int | str], message: str) -> str:
    """`expected.0.get_forecast: input should be a valid list`."""
    plain = message.removeprefix("Value error, ")
    return f"{'.'.join(map(str, place))}: {plain}" if place else plain


def named(tool: Mapping[str, Any]) -> Any:
    """A tool schema's name, bare or under `function`."""
    inner = tool.get("function", tool)
    return inner.get("name") if isinstance(inner, dict) else None


def is_schema(tool: Mapping[str, Any]) -> bool:
    """Whether a tool's parameters have the form in which they can be compared with a call."""
    parameters = tool.get("function", tool).get("parameters") or {}
    if not isinstance(parameters, dict):
        return False
    properties, required = parameters.get("properties") or {}, parameters.get("required") or []
    typed = isinstance(properties, dict) and all(isinstance(each, dict) for each in properties.values())
    return typed and isinstance(required, list) and all(isinstance(each, str) for each in required)


def share(name: str, rate: float | None, n: int) -> str:
    """`  name  75.0%  (90 of 120, 95% interval 66.3% to 82.5%)`; the interval is exact."""
    from twainbot.evals.statistics import clopper_pearson

    if rate is None:
        return f"  {name:<38} nothing to count"
    count = round(rate * n)
    return f"  {name:<38} {rate:7.1%}  ({count} of {n}, {between(clopper_pearson(count, n))})"


def between(interval: Interval) -> str:
    """An interval in words."""
    return f"{interval.confidence:.0%} interval {interval.low:.1%} to {interval.high:.1%}"


def shown(head: str, faults: Sequence[str]) -> list[str]:
    """The first faults under a heading, and how many more there are; nothing where there is none."""
    if not faults:
        return []
    more = [f"  and {len(faults) - SHOWN} more: --json lists all"] if len(faults) > SHOWN else []
    return [f"{head}:", *(f"  {fault}" for fault in faults[:SHOWN]), *more]


def finite(value: Any) -> Any:
    """The value with infinite and undefined numbers as null, which JSON can hold."""
    if isinstance(value, dict):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


SCORERS: dict[str, Callable[[Path, Sequence[Line]], Scored]] = {
    "tool-calls": score_tool_calls,
    "grounding": score_grounding,
    "style": score_style,
}
