"""From measured rows to verdicts: pass, fail, inconclusive, not run or not measurable. Measuring is the siblings' work.

A gate passes only when its whole interval lies on the good side of its bound, and fails only when it lies on the bad
side; between the two the sample is too small, and the verdict says how large it was. Defaults of the bounds are the
project's release criteria; checks/thresholds.py owns any other value.
"""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, replace

from twainbot.errors import BadInput
from twainbot.evals.grounding import GroundingSummary
from twainbot.evals.statistics import (
    Interval,
    PairedGain,
    clopper_pearson,
    discordant,
    lower_bound,
    mcnemar_exact,
    paired_bootstrap,
    paired_share_gain,
    upper_bound,
)

STATES = ("pass", "fail", "inconclusive", "not_run", "not_measurable")

STYLE_BOUND = 0.85  # share of replies rated 4 or 5
STYLE_GOOD = 4.0  # mean over an item's raters
STYLE_ITEMS = 50  # below this the mean of 1-5 ratings is known to no better than a quarter point
WEATHER_BOUND = 0.05  # share of replies with a wrong claim; 0 of 59 is the smallest sample that can pass
COVERAGE_BOUND = 0.90  # replies with a judged claim; below it evasion would score as truth
CODING_MARGIN = 0.05  # absolute pass@1 that the adapter may lose
CODING_FLOOR = 0.10  # a base that solves less cannot show a loss of five points with 164 problems
CODE_LOSS_MARGIN = 0.05  # relative rise of the loss on canonical solutions
COPYING_BOUND = 12  # words; common phrases and quoted tool fields stay below
SHARED_BOUND = 0.10  # of a reply's runs of six words; unseen passages of an author stay below (docs/decisions/0023)
MCNEMAR_BOUND = 0.05  # the score interval alone lets 2 rows won of 2 pass; a fair coin wins 6 of 6 in 3 % of draws
CALLS_BOUND = 0.80  # of the rows that want a call, and of those that want none; 14 of 14 is the smallest pass
USED_BOUND = 0.90  # of replies to a forecast that say some of it; 29 of 29 is the smallest pass
VOICE_BOUND = 0.50  # of the way from the base to unseen passages of the author; keyword stuffing makes a third of it
FORGETTING_MARGIN = 0.10  # relative rise of perplexity on neutral text
# What keeps a primary gate from being met by a trick, or tells how it was met. A release needs them all but `voice`, and
# but `code_loss` where `coding` passed, whose stand-in it is; so many gates do not make a false release likelier: each
# alone must let it pass.
SECONDARY = ("wanted_calls", "no_call", "result_used", "copying", "code_loss", "forgetting", "voice")
_PAIRS_FOR_AN_INTERVAL = 10  # a bootstrap over fewer items has too few distinct resamples for its tails


@dataclass(frozen=True)
class Verdict:
    """One gate's answer. `value`, `bound` and `interval` share a unit; `why` is a plain sentence with the numbers.

    value: None where nothing was measured, and where what was is not finite, for which JSON has no number.
    rehearsal: measured on a profile whose model is too small to be released as the real thing.
    """

    gate: str
    state: str
    n: int
    value: float | None
    bound: float
    interval: Interval | None
    why: str
    better: str = "lower"  # lower | higher
    unit: str = "share"  # share | gain | ratio | words
    rehearsal: bool = False


@dataclass(frozen=True)
class TextLoss:
    """Summed negative log-likelihood of one text under both models, in nats, over the same number of bytes or tokens."""

    item: str
    base: float
    adapter: float
    size: int
    cluster: Hashable = None  # work or dialogue; None: the item itself
    bytes: int = 0  # UTF-8; 0: not counted


def role(gate: str) -> str:
    """primary: one of the project's goals; secondary: what guards or explains one."""
    return "secondary" if gate in SECONDARY else "primary"


def style(means: Sequence[float]) -> Verdict:
    """Share of the adapter's replies rated 4 or better, by exact one-sided bounds. means: over raters, one a reply.

    Who must have rated, and what else a pass takes, is ratings.py's.
    """
    n, good = len(means), sum(mean >= STYLE_GOOD for mean in means)
    if n == 0:
        return _not_run("style", STYLE_BOUND, "Nobody has rated the sample dialogues blind yet.", better="higher")
    state = _state(lower_bound(good, n) > STYLE_BOUND, upper_bound(good, n) < STYLE_BOUND)
    why = f"{good} of {n} replies rated {STYLE_GOOD:g} or better."
    if n < STYLE_ITEMS and state == "pass":
        state, why = "inconclusive", f"{why} At least {STYLE_ITEMS} rated replies are needed."
    return Verdict("style", state, n, good / n, STYLE_BOUND, clopper_pearson(good, n), why, better="higher")


def weather_errors(summary: GroundingSummary, failed: GroundingSummary | None = None) -> Verdict:
    """Replies with a contradicted or unsupported claim, of those that followed a successful tool call.

    failed: of the replies that followed a failed call, where any weather is invented. They are few, so they are not
    counted in, but one of them leaves the verdict open, and as many as show a rate above the bound fail it.
    """
    n, errors, coverage = summary.replies, summary.error_replies, summary.coverage
    if n == 0 or coverage is None:
        return _not_run("weather_errors", WEATHER_BOUND, "No reply followed a successful tool call.")
    state = _state(upper_bound(errors, n) < WEATHER_BOUND, lower_bound(errors, n) > WEATHER_BOUND)
    why = (
        f"{errors} of {n} replies hold a wrong claim, so the rate is below {upper_bound(errors, n):.1%} with 95 % confidence; "
        f"{coverage:.0%} of the replies state some weather."
    )
    if state == "pass" and coverage < COVERAGE_BOUND:
        state, why = "inconclusive", f"{why} Coverage must reach {COVERAGE_BOUND:.0%}: silence is no accuracy."
    if failed and failed.error_replies:
        why = f"{why} After a failed call {failed.error_replies} of {failed.replies} replies invent weather."
        shown = lower_bound(failed.error_replies, failed.replies) > WEATHER_BOUND
        state = "fail" if shown or state == "fail" else "inconclusive"
    return Verdict("weather_errors", state, n, errors / n, WEATHER_BOUND, summary.interval, why)


def result_used(used: Sequence[bool], raw: Sequence[bool] = ()) -> Verdict:
    """Of the replies that followed a forecast, those whose words tell some of it: neither evasion nor an echo is an answer.

    raw: of the same replies, those that hold data as a tool writes it (raw_data.py); the verdict says how many.
    """
    what = "replies tell in words some of the weather that the tool gave"
    verdict = _share_above("result_used", used, USED_BOUND, what, "No reply followed a successful tool call.")
    return replace(verdict, why=f"{verdict.why} {sum(raw)} repeat its data as it stands.") if any(raw) else verdict


def wanted_calls(right: Sequence[bool]) -> Verdict:
    """Of the rows that want calls, those with exactly these: a model that never calls fails here."""
    return _share_above(
        "wanted_calls", right, CALLS_BOUND, "rows that want a call got exactly it", "No row wants a call."
    )


def no_call(silent: Sequence[bool]) -> Verdict:
    """Of the rows that want no call, those without one: a model that always calls fails here."""
    return _share_above("no_call", silent, CALLS_BOUND, "rows that want no call got none", "Every row wants a call.")


def _share_above(gate: str, flags: Sequence[bool], bound: float, what: str, none: str) -> Verdict:
    """A share that must lie above its bound, by exact one-sided bounds."""
    n, good = len(flags), sum(flags)
    if n == 0:
        return _not_run(gate, bound, none, better="higher")
    state = _state(lower_bound(good, n) > bound, upper_bound(good, n) < bound)
    why = f"{good} of {n} {what}; at least {lower_bound(good, n):.0%} with 95 % confidence."
    return Verdict(gate, state, n, good / n, bound, clopper_pearson(good, n), why, better="higher")


def tool_calls(base: Sequence[bool], adapter: Sequence[bool]) -> Verdict:
    """The adapter's exact-call rate must beat the base's on the same items: paired interval above zero."""
    gain = paired_share_gain(base, adapter)
    if gain.n == 0:
        return _not_run("tool_calls", 0.0, "No tool-call items were scored.", better="higher", unit="gain")
    lost, won = discordant(base, adapter)
    why = (
        f"Exact calls went from {sum(base)} to {sum(adapter)} of {gain.n}: {won} items won, {lost} lost "
        f"(McNemar p = {mcnemar_exact(lost, won):.2g})."
    )
    if all(base) and all(adapter):
        return Verdict(
            "tool_calls",
            "not_measurable",
            gain.n,
            0.0,
            0.0,
            gain.interval,
            f"{why} The base leaves no room.",
            "higher",
            "gain",
        )
    clear = mcnemar_exact(lost, won) < MCNEMAR_BOUND
    state = _state(gain.interval.low > 0 and clear, gain.interval.high <= 0)
    return Verdict("tool_calls", state, gain.n, gain.mean, 0.0, gain.interval, why, better="higher", unit="gain")


def perplexity(losses: Sequence[TextLoss], *, seed: int, after: str = "") -> Verdict:
    """Held-out perplexity must fall: ratio adapter to base, interval over works or dialogues, wholly below 1.

    after: the stage whose adapter it is, which the sentence names.
    """
    what = "Perplexity on held-out text" + (f" after {after}" if after else "")
    return _loss_ratio("perplexity", losses, bound=1.0, seed=seed, what=what, per_size=True)


def forgetting(losses: Sequence[TextLoss], *, seed: int, after: str = "") -> Verdict:
    """Perplexity on neutral text that nobody trained on may rise by a tenth at most. after: as for perplexity."""
    what = "Perplexity on neutral text" + (f" after {after}" if after else "")
    return _loss_ratio("forgetting", losses, bound=1 + FORGETTING_MARGIN, seed=seed, what=what, per_size=True)


def code_loss(losses: Sequence[TextLoss], *, seed: int) -> Verdict:
    """Loss on canonical solutions may rise by 5 % at most: the gate where a base is too small to solve problems."""
    return _loss_ratio(
        "code_loss", losses, bound=1 + CODE_LOSS_MARGIN, seed=seed, what="Loss on canonical solutions", per_size=False
    )


def coding(base: Sequence[bool], adapter: Sequence[bool]) -> Verdict:
    """pass@1 non-inferiority on the same problems: the paired interval may not reach five points down.

    A base that solves under a tenth cannot lose five points visibly: not measurable, and `code_loss` is the gate.
    """
    gain = paired_share_gain(base, adapter)
    if gain.n == 0:
        return _not_run("coding", -CODING_MARGIN, "The coding problems were not run.", better="higher", unit="gain")
    lost, won = discordant(base, adapter)
    why = f"pass@1 went from {sum(base)} to {sum(adapter)} of {gain.n} problems ({won} won, {lost} lost)."
    state = _state(gain.interval.low > -CODING_MARGIN, gain.interval.high < -CODING_MARGIN)
    if sum(base) / gain.n < CODING_FLOOR:
        state, why = (
            "not_measurable",
            f"{why} The base solves too few to show a loss; loss on canonical solutions decides.",
        )
    return Verdict("coding", state, gain.n, gain.mean, -CODING_MARGIN, gain.interval, why, better="higher", unit="gain")


def copying(overlaps: Sequence[int], shares: Sequence[float] = (), *, bound: int = COPYING_BOUND) -> Verdict:
    """The longest run of words that any reply shares with the training text; it is a maximum, so it has no interval.

    shares: of each reply's runs of six words, the share that stands in the training text, for a patchwork of short runs.
    """
    if not overlaps:
        return _not_run("copying", float(bound), "No reply was compared with the training text.", unit="words")
    longest, over = max(overlaps), sum(words > bound for words in overlaps)
    patched = sum(share > SHARED_BOUND for share in shares)
    why = f"The longest shared run is {longest} words; {over} of {len(overlaps)} replies exceed {bound}."
    if shares:
        why = (
            f"{why} In {patched} more than {SHARED_BOUND:.0%} of the runs of six words are shared"
            f" (at most {max(shares):.0%})."
        )
    state = "fail" if over or patched else "pass"
    return Verdict("copying", state, len(overlaps), float(longest), float(bound), None, why, unit="words")


def voice(gain: PairedGain | None, why_not: str = "") -> Verdict:
    """How far the replies have come from the base towards unseen passages of the author, by the classifier.

    It releases nothing and stops no release: people decide on style, and this is what is known before they have.
    """
    if gain is None:
        return _not_run("voice", VOICE_BOUND, why_not, better="higher")
    state = _state(gain.interval.low > VOICE_BOUND, gain.interval.high < VOICE_BOUND)
    why = f"{round(gain.mean, 2) + 0.0:.0%} of the way from the base to unseen passages of the author, over {gain.n} pairs."
    if gain.clusters < _PAIRS_FOR_AN_INTERVAL and state != "fail":
        state, why = "inconclusive", f"{why} At least {_PAIRS_FOR_AN_INTERVAL} pairs are needed."
    return Verdict("voice", state, gain.n, gain.mean, VOICE_BOUND, gain.interval, why, better="higher")


def rehearsed(verdicts: Sequence[Verdict]) -> list[Verdict]:
    """The same verdicts, marked as a rehearsal."""
    return [replace(verdict, rehearsal=True) for verdict in verdicts]


def blockers(verdicts: Sequence[Verdict]) -> list[str]:
    """Why a release may not be cut, one sentence a gate; empty where it may.

    Only a pass releases. `coding: not_measurable` is let through when `code_loss` passed, as its stand-in. `voice` is
    the classifier's word, and style is for people to judge.
    """
    states = {verdict.gate: verdict.state for verdict in verdicts}
    stand_in = states.get("coding") == "not_measurable" and states.get("code_loss") == "pass"
    sentences = [
        f"{v.gate} is {v.state.replace('_', ' ')}: {v.why}"
        for v in verdicts
        if v.state != "pass"
        and not (v.gate == "coding" and stand_in)
        and not (v.gate == "code_loss" and states.get("coding") == "pass")
        and v.gate != "voice"
    ]
    return sentences or ([] if verdicts else ["No gate was evaluated."])


def _state(good: bool, bad: bool) -> str:
    return "pass" if good else "fail" if bad else "inconclusive"


def _not_run(gate: str, bound: float, why: str, better: str = "lower", unit: str = "share") -> Verdict:
    return Verdict(gate, "not_run", 0, None, bound, None, why, better=better, unit=unit)


def _loss_ratio(
    gate: str, losses: Sequence[TextLoss], *, bound: float, seed: int, what: str, per_size: bool
) -> Verdict:
    """Ratio of the arms' mean losses a text: exp of the difference per token (perplexity), or the losses' own ratio."""
    if not losses:
        return _not_run(gate, bound, f"{what} was not measured.", unit="ratio")
    _refuse_incomparable(gate, losses)
    diverged = sum(not math.isfinite(loss.adapter) for loss in losses)
    if diverged:
        why = f"{what}: the loss is not finite on {diverged} texts of {len(losses)}."
        return Verdict(gate, "fail", len(losses), None, bound, None, why, unit="ratio")
    clusters = [loss.cluster if loss.cluster is not None else loss.item for loss in losses]
    if per_size:
        pairs = [(loss.base / loss.size, loss.adapter / loss.size) for loss in losses]
    else:
        pairs = [(0.0, math.log(max(loss.adapter, 1e-12) / loss.base)) for loss in losses]
    gain = paired_bootstrap([a for a, _ in pairs], [b for _, b in pairs], seed=seed, clusters=clusters)
    ratio, interval = exp(gain.mean), Interval(exp(gain.interval.low), exp(gain.interval.high))
    state = _state(interval.high < bound, interval.low >= bound)
    why = f"{what}: adapter to base is {ratio:.3f} over {len(losses)} texts from {gain.clusters} sources."
    if gain.clusters < _PAIRS_FOR_AN_INTERVAL and state != "fail":
        state, why = "inconclusive", f"{why} At least {_PAIRS_FOR_AN_INTERVAL} sources are needed."
    known = ratio if math.isfinite(ratio) else None
    return Verdict(gate, state, len(losses), known, bound, interval, why, unit="ratio")


def _refuse_incomparable(gate: str, losses: Sequence[TextLoss]) -> None:
    """Raise BadInput where the base gives nothing to compare an adapter with."""
    if any(loss.size <= 0 or loss.base <= 0 for loss in losses):
        raise BadInput(f"{gate}: a text of size 0 or without loss cannot be compared; drop it and say so.")
    endless = [loss.item for loss in losses if not math.isfinite(loss.base)]
    if endless:
        raise BadInput(
            f"{gate}: the base's own loss is not finite on {len(endless)} texts of {len(losses)} (first {endless[0]!r}), so no "
            "adapter can be compared with it. Rematerialize base/model, then this evaluation."
        )


def exp(value: float) -> float:
    """The exponential; infinite from 700 on, shortly before a float overflows (709.8)."""
    return math.inf if value > 700 else math.exp(value)
