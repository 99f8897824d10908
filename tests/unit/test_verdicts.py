"""Each gate on rows that it must pass, fail, leave open, or call unmeasured."""

from __future__ import annotations

import math
from dataclasses import replace

import polars as pl
import pytest

from checks import evals as checked
from twainbot.errors import BadInput
from twainbot.evals import verdicts
from twainbot.evals.grounding import GroundingSummary
from twainbot.evals.measure import verdict_of, verdict_row
from twainbot.evals.statistics import Interval, PairedGain, clopper_pearson, upper_bound
from twainbot.evals.verdicts import TextLoss
from twainbot.release import figures
from twainbot.release.regressions import fallen_behind
from twainbot_assets.scorecards import GATES


def ratings(good, n):
    return [5.0 if i < good else 2.0 for i in range(n)]


def weather(errors, n, coverage=1.0):
    rate = errors / n if n else None
    return GroundingSummary(
        n,
        errors,
        rate,
        clopper_pearson(errors, n),
        upper_bound(errors, n),
        errors,
        rate,
        coverage if n else None,
        n,
        rate,
        {},
        {},
    )


def losses(ratio, n=40, spread=0.0):
    """Texts whose adapter loss is `ratio` times the base's 200 nats over 100 tokens, give or take the spread."""
    return [TextLoss(f"t{i}", 200.0, 200.0 * ratio * (1 + spread * (-1) ** i), 100) for i in range(n)]


@pytest.mark.parametrize(
    ("good", "n", "state"),
    [(47, 50, "pass"), (46, 50, "inconclusive"), (42, 50, "inconclusive"), (30, 50, "fail"), (20, 20, "inconclusive")],
)
def test_style_passes_only_when_the_lower_bound_clears_eighty_five_percent(good, n, state):
    verdict = verdicts.style(ratings(good, n))
    assert (verdict.state, verdict.n, verdict.value) == (state, n, good / n)
    assert verdict.interval.low <= verdict.value <= verdict.interval.high


def test_thirty_perfect_ratings_clear_the_bound_but_are_too_few():
    # 0.05^(1/30) = 0.905 > 0.85, yet fifty items are asked for
    verdict = verdicts.style(ratings(30, 30))
    assert verdict.state == "inconclusive"
    assert "At least 50" in verdict.why


def test_style_without_ratings_is_not_run():
    assert verdicts.style([]).state == "not_run"


@pytest.mark.parametrize(
    ("errors", "n", "state"),
    [(0, 59, "pass"), (0, 58, "inconclusive"), (8, 300, "pass"), (9, 300, "inconclusive"), (30, 300, "fail")],
)
def test_weather_passes_at_the_published_error_budgets(errors, n, state):
    assert verdicts.weather_errors(weather(errors, n)).state == state


def test_an_evasive_model_does_not_pass_on_silence():
    verdict = verdicts.weather_errors(weather(0, 300, coverage=0.4))
    assert verdict.state == "inconclusive"
    assert "silence is no accuracy" in verdict.why


def test_weather_without_replies_is_not_run():
    assert verdicts.weather_errors(weather(0, 0)).state == "not_run"


@pytest.mark.parametrize(
    ("base", "adapter", "state"),
    [
        ([False] * 40, [True] * 30 + [False] * 10, "pass"),
        ([True] * 30 + [False] * 10, [False] * 40, "fail"),
        ([True, False] * 20, [False, True] * 20, "inconclusive"),
        ([False] * 4, [True] * 2 + [False] * 2, "inconclusive"),
        ([True] * 40, [True] * 40, "not_measurable"),
        ([], [], "not_run"),
    ],
)
def test_tool_calls_must_improve_on_the_same_items(base, adapter, state):
    assert verdicts.tool_calls(base, adapter).state == state


def test_perplexity_ratio_is_the_exponential_of_the_loss_difference():
    # 2.0 nats a token down to 1.8: exp(-0.2) = 0.8187
    verdict = verdicts.perplexity(losses(0.9), seed=1)
    assert verdict.value == pytest.approx(math.exp(-0.2))
    assert verdict.state == "pass"


@pytest.mark.parametrize(
    ("ratio", "spread", "state"), [(1.1, 0.0, "fail"), (1.0, 0.1, "inconclusive"), (0.99, 0.001, "pass")]
)
def test_perplexity_must_fall_with_its_whole_interval(ratio, spread, state):
    assert verdicts.perplexity(losses(ratio, spread=spread), seed=1).state == state


def test_an_adapter_that_lost_more_than_a_float_can_hold_fails():
    # 802 nats a token against the base's 2: exp(800) is no float
    verdict = verdicts.perplexity(losses(401), seed=1)
    assert (verdict.state, verdict.value, verdict.interval) == ("fail", None, Interval(math.inf, math.inf))
    assert verdicts.forgetting(losses(401), seed=1).state == "fail"
    # 401 times the loss is a figure
    assert verdicts.code_loss(losses(401), seed=1).value == pytest.approx(401)


@pytest.mark.parametrize("endless", [math.inf, math.nan])
@pytest.mark.parametrize("judge", [verdicts.perplexity, verdicts.forgetting, verdicts.code_loss])
def test_a_diverged_adapter_fails_and_the_texts_are_counted(judge, endless):
    some = [replace(loss, adapter=endless) for loss in losses(0.9)[:3]]
    verdict = judge([*some, *losses(0.9)[3:]], seed=1)
    assert (verdict.state, verdict.n, verdict.value) == ("fail", 40, None)
    assert "the loss is not finite on 3 texts of 40" in verdict.why
    assert verdict_of(verdict_row(verdict)["payload"]) == verdict


@pytest.mark.parametrize("endless", [math.inf, math.nan])
@pytest.mark.parametrize("judge", [verdicts.perplexity, verdicts.forgetting, verdicts.code_loss])
def test_a_base_without_a_finite_loss_is_no_measure_and_the_repair_is_named(judge, endless):
    rows = [replace(losses(1.0)[0], base=endless), *losses(1.0)[1:]]
    with pytest.raises(BadInput, match=r"not finite on 1 texts of 40 \(first 't0'\).* Rematerialize base/model"):
        judge(rows, seed=1)


def test_a_loss_that_was_finite_in_the_release_and_is_no_more_has_fallen():
    finite = verdicts.perplexity([TextLoss(f"t{i}", 1.0, 1.1, 1) for i in range(40)], seed=1)
    diverged = verdicts.perplexity([TextLoss(f"t{i}", 1.0, math.inf, 1) for i in range(40)], seed=1)
    assert (finite.state, diverged.state, diverged.value) == ("fail", "fail", None)
    (before,), (after,) = (
        figures.record({"default": [found]}, profile="full", base="b", rehearsal=False)["recipes"]["default"]
        for found in (finite, diverged)
    )
    assert fallen_behind([before], [diverged]) == [
        f"perplexity was 1.105 in the release and is no number: {diverged.why}"
    ]
    assert fallen_behind([after], [diverged]) == []


def test_texts_of_one_work_are_one_source():
    rows = [TextLoss(loss.item, loss.base, loss.adapter, loss.size, "pg245") for loss in losses(0.5)]
    verdict = verdicts.perplexity(rows, seed=1)
    assert verdict.state == "inconclusive"
    assert "from 1 sources" in verdict.why


def test_a_text_of_no_size_is_refused():
    with pytest.raises(BadInput, match="size 0"):
        verdicts.perplexity([TextLoss("a", 1.0, 1.0, 0)], seed=1)


@pytest.mark.parametrize(("ratio", "state"), [(1.0, "pass"), (1.04, "pass"), (1.06, "fail"), (0.8, "pass")])
def test_code_loss_may_rise_by_less_than_five_percent(ratio, state):
    verdict = verdicts.code_loss(losses(ratio), seed=1)
    assert verdict.state == state
    assert verdict.value == pytest.approx(ratio)


@pytest.mark.parametrize(
    ("base", "adapter", "state"),
    [
        ([True] * 100 + [False] * 64, [True] * 100 + [False] * 64, "pass"),
        ([True] * 100 + [False] * 64, [False] * 40 + [True] * 60 + [False] * 64, "fail"),
        ([True] * 100 + [False] * 64, [False] * 6 + [True] * 94 + [False] * 64, "inconclusive"),
        ([True] * 20, [True] * 20, "inconclusive"),  # twenty problems cannot show five points
        ([False] * 164, [False] * 164, "not_measurable"),
        ([], [], "not_run"),
    ],
)
def test_coding_is_non_inferiority_by_interval(base, adapter, state):
    assert verdicts.coding(base, adapter).state == state


@pytest.mark.parametrize(("overlaps", "state"), [([3, 12], "pass"), ([3, 13], "fail"), ([], "not_run")])
def test_copying_is_decided_by_the_longest_run(overlaps, state):
    verdict = verdicts.copying(overlaps)
    assert verdict.state == state
    assert verdict.interval is None


def passing():
    return [verdicts.style(ratings(50, 50)), verdicts.weather_errors(weather(0, 59)), verdicts.copying([3])]


def test_only_passes_release():
    assert verdicts.blockers(passing()) == []
    for bad in (verdicts.style([]), verdicts.copying([40]), verdicts.weather_errors(weather(0, 58))):
        (sentence,) = verdicts.blockers([*passing(), bad])
        assert sentence.startswith(f"{bad.gate} is {bad.state.replace('_', ' ')}")


def test_nothing_measured_releases_nothing():
    assert verdicts.blockers([]) == ["No gate was evaluated."]


def test_code_loss_stands_in_for_a_base_too_small_to_code():
    small = verdicts.coding([False] * 164, [False] * 164)
    assert verdicts.blockers([*passing(), small, verdicts.code_loss(losses(1.0), seed=1)]) == []
    assert len(verdicts.blockers([*passing(), small])) == 1
    assert len(verdicts.blockers([*passing(), small, verdicts.code_loss(losses(1.2), seed=1)])) == 2


def test_a_rehearsal_is_marked_on_every_verdict():
    marked = verdicts.rehearsed(passing())
    assert [v.rehearsal for v in marked] == [True] * 3
    assert [v.state for v in marked] == ["pass"] * 3


def test_every_state_is_a_known_one():
    made = [
        *passing(),
        verdicts.style([]),
        verdicts.coding([False] * 9, [False] * 9),
        verdicts.copying([99]),
        verdicts.style(ratings(9, 9)),
    ]
    assert {v.state for v in made} == set(verdicts.STATES)


@pytest.mark.parametrize(
    ("good", "n", "state"), [(14, 14, "pass"), (13, 13, "inconclusive"), (40, 45, "inconclusive"), (0, 45, "fail")]
)
def test_calls_and_silence_need_four_rows_in_five(good, n, state):
    flags = [i < good for i in range(n)]
    assert verdicts.no_call(flags).state == verdicts.wanted_calls(flags).state == state


def test_two_rows_won_of_two_are_a_coin():
    # both heads: p = 0.5; six of six: p = 2 / 64
    assert verdicts.tool_calls([False] * 2, [True] * 2).state == "inconclusive"
    assert verdicts.tool_calls([False] * 6, [True] * 6).state == "pass"


@pytest.mark.parametrize(("invented", "state"), [(0, "pass"), (1, "inconclusive"), (5, "fail")])
def test_weather_told_after_a_failed_call_is_counted(invented, state):
    # the lower bound of 1 of 10 is 0.5 %, of 5 of 10 is 22 %
    assert verdicts.weather_errors(weather(0, 64), weather(invented, 10)).state == state


def test_evasion_fails_where_results_must_be_used():
    assert verdicts.result_used([False] * 64).state == "fail"
    assert verdicts.result_used([True] * 29).state == "pass"


def test_a_patchwork_is_copying():
    assert verdicts.copying([9, 9], [0.0, 0.2]).state == "fail"
    assert verdicts.copying([9, 9], [0.0, 0.04]).state == "pass"


@pytest.mark.parametrize(("ratio", "state"), [(1.02, "pass"), (1.3, "fail")])
def test_neutral_text_may_lose_a_tenth(ratio, state):
    # perplexity ratio: exp of the difference per token, 2 nats times (ratio - 1)
    assert verdicts.forgetting(losses(1 + (ratio - 1) / 2), seed=1).state == state


def test_the_classifier_stops_no_release():
    doubtful = verdicts.voice(PairedGain(0.1, Interval(0.0, 0.2), 50, 50))
    assert doubtful.state == "fail"
    assert verdicts.blockers([*passing(), doubtful]) == []
    assert len(verdicts.blockers([*passing(), verdicts.no_call([False] * 9)])) == 1


@pytest.mark.parametrize(("pairs", "state"), [(9, "inconclusive"), (10, "pass")])
def test_the_classifiers_voice_needs_ten_pairs(pairs, state):
    assert verdicts.voice(PairedGain(0.9, Interval(0.8, 1.0), pairs, pairs)).state == state


def test_no_way_at_all_is_told_without_a_sign():
    assert verdicts.voice(PairedGain(-0.0002, Interval(-0.1, 0.1), 52, 52)).why.startswith("0% of the way")


def test_goals_are_primary_and_their_guards_secondary():
    assert verdicts.role("style") == "primary"
    assert verdicts.role("no_call") == "secondary"


def test_the_page_lists_every_gate_that_some_evaluation_judges():
    assert set(GATES) == {gate for gates in checked.VERDICTS.values() for gate in gates}
    assert set(verdicts.SECONDARY) <= set(GATES)


def test_a_scorecard_without_the_verdict_of_a_gate_is_refused_with_what_to_make_again():
    (present,) = checked.SCORECARD
    assert present.blocking
    assert present.judge(pl.DataFrame({"gate": GATES})).passed
    found = present.judge(pl.DataFrame({"gate": [gate for gate in GATES if gate != "forgetting"]}))
    assert (found.passed, found.why) == (False, "forgetting has no verdict. Rematerialize evals/perplexity.")
