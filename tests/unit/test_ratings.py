"""Ratings: which count, which are told as left out, what raters, dialogues and agreement do to the verdict."""

from __future__ import annotations

import json
from dataclasses import asdict

import pytest

from checks.evals import all_count
from checks.evals import verdict as as_finding
from resources.suites import cases, chat_prompts
from tests import rated
from twainbot.evals import measure, ratings
from twainbot.evals.ratings import JUDGE
from twainbot_assets.profile import load

PAIRS = rated.made(3)


def counted(*rows, pairs=PAIRS):
    return ratings.count(rows, rated.RECIPE, pairs)


def row(**changes):
    return {**asdict(rated.given(PAIRS[0])), **changes}


def judged(lines, count=50):
    return ratings.verdict(ratings.count(lines, rated.RECIPE, rated.made(count)))


# ---- which count


def test_a_sound_rating_counts_with_all_that_it_says():
    (found,) = counted(row()).given
    assert found == rated.given(PAIRS[0])


@pytest.mark.parametrize(
    ("change", "reason"),
    [({"rater": " "}, "no_rater"), ({"pair": None}, "no_pair"), ({"arm": "sft"}, "unknown_arm"),
     ({"kind": "cat"}, "unknown_kind"),
     ({"style": 6}, "score_out_of_range"), ({"style": 0}, "score_out_of_range"), ({"humor": True}, "score_out_of_range"),
     ({"humor": 3.5}, "score_out_of_range"), ({"factuality": None}, "score_out_of_range"),
     ({"style": float("nan")}, "score_out_of_range"),
     ({"rubric": "1"}, "no_rubric"),
     ({"rubric": True}, "no_rubric"), ({"pair": "0" * 16}, "reply_changed"), ({"rubric": 0}, "other_rubric"),
     ({"item": "chat/gone"}, "unknown_dialogue")],
)  # fmt: skip
def test_what_does_not_count_is_left_out_under_its_reason(change, reason):
    found = counted(row(**change))
    assert (found.given, found.left_out) == ((), {reason: 1})


def test_a_judge_may_give_halves():
    assert counted(row(kind=JUDGE, style=3.5)).given[0].style == 3.5
    assert counted(row(kind=JUDGE, style=3.4)).left_out == {"score_out_of_range": 1}


def test_the_latest_rating_of_a_rater_holds_and_case_and_spaces_make_no_second_rater():
    found = counted(row(style=2), row(style=4, rater=" ANN"), row(style=5, rater="Bo"))
    assert [(each.rater, each.style) for each in found.given] == [("Ann", 4), ("Bo", 5)]
    assert found.left_out == {"replaced": 1}


def test_a_stale_rating_never_replaces_one_that_counts():
    found = counted(row(style=2), row(style=4, pair="0" * 16))
    assert [each.style for each in found.given] == [2]


def test_other_recipes_are_neither_counted_nor_told():
    assert counted(row(recipe="mild")) == ratings.Counted((), {})


# ---- the verdict


def test_two_raters_who_agree_on_fifty_good_replies_pass():
    found = judged(rated.lines(50, 47, "Ann", "Bo"))
    assert (found.state, found.n, found.value) == ("pass", 50, 47 / 50)
    assert "Ann and Bo: kappa 1.00" in found.why
    # 47 gains of 3 points and 3 of none: a mean of 2.82
    assert "+2.82 points on 50 replies" in found.why
    assert "The gain's interval is +2." in found.why


def test_nobody_has_rated_means_not_run():
    assert judged([]).state == "not_run"
    base_alone = [row for row in rated.lines(50, 50, "Ann", "Bo") if row["arm"] == "base"]
    assert judged(base_alone).state == "not_run"


def test_two_raters_are_averaged_and_their_agreement_reported():
    found = judged([*rated.lines(50, 50, "Ann"), *rated.lines(50, 0, "Bo")])
    # 5 and 2 average to 3.5, below 4: nothing is good
    assert (found.value, found.state) == (0.0, "fail")
    # 2.25 of variance by Ann, none by Bo, means 3.5 and 2: kappa = 1 - 4.5 / (2.25 + 2.25) = 0
    assert "Ann and Bo: kappa 0.00" in found.why
    # the adapter's 3.5 less the base's 2
    assert "+1.50 points on 50 replies" in found.why


@pytest.mark.parametrize("good", [50, 0])
def test_one_rater_decides_nothing_either_way(good):
    found = judged(rated.lines(50, good, "Ann"))
    assert found.state == "inconclusive"
    assert "A second rater must rate both replies of the same dialogues." in found.why


def test_two_raters_who_find_the_voice_missing_fail_it():
    assert judged(rated.lines(50, 10, "Ann", "Bo")).state == "fail"


def test_forty_nine_dialogues_are_too_few_to_pass():
    found = judged(rated.lines(49, 49, "Ann", "Bo"), 49)
    assert found.state == "inconclusive"
    assert "At least 50" in found.why


def test_only_dialogues_that_two_raters_rated_count():
    found = judged([*rated.lines(50, 50, "Ann"), *rated.lines(50, 50, "Bo")[:20]])
    # twenty lines are ten pairs
    assert (found.state, found.n) == ("inconclusive", 10)


def test_two_raters_of_different_dialogues_are_one_rater_of_each_and_decide_nothing():
    ann, bo = rated.lines(60, 60, "Ann"), rated.lines(60, 60, "Bo")
    found = judged([*ann[:60], *bo[60:]], 60)
    assert found.state == "inconclusive"
    assert "A second rater must rate both replies of the same dialogues." in found.why


def of_arm(lines, arm):
    return [row for row in lines if row["arm"] == arm]


def test_two_raters_who_rated_no_reply_in_common_decide_nothing_though_both_saw_every_dialogue():
    ann, bo = rated.lines(60, 60, "Ann"), rated.lines(60, 60, "Bo")
    found = judged([*of_arm(ann, "adapter"), *of_arm(bo, "base")], 60)
    # 60 replies of 5 by Ann alone, 60 of 2 by Bo alone: a gain of 3 on which nobody agrees with anybody
    assert (found.state, found.value) == ("inconclusive", 1.0)
    assert "A second rater must rate both replies of the same dialogues." in found.why
    assert "Raters have no reply in common." in found.why
    assert "judge models" not in found.why


def test_a_dialogue_counts_only_where_the_second_rater_rated_both_of_its_replies():
    ann, bo = rated.lines(60, 60, "Ann"), rated.lines(60, 60, "Bo")
    # of twenty dialogues Bo rated both replies, of the other forty the adapter's alone
    found = judged([*ann, *of_arm(bo, "adapter"), *of_arm(bo[:40], "base")], 60)
    assert (found.state, found.n) == ("inconclusive", 20)
    # three raters: on every reply sit two, and yet only Ann rated both
    apart = judged([*ann, *of_arm(bo, "adapter"), *of_arm(rated.lines(60, 60, "Cy"), "base")], 60)
    assert apart.state == "inconclusive"
    assert "A second rater must rate both replies" in apart.why


def test_who_rated_one_reply_alone_moves_no_dialogue_that_others_rated_whole():
    # 3 points by Ann and by Bo: none is good. Cy and Di give the adapter 5 and leave the base out: the mean would be 4
    fair = rated.lines(60, 0, "Ann", "Bo", base=3, bad=3)
    keen = of_arm(rated.lines(60, 60, "Cy", "Di"), "adapter")
    assert judged([*fair, *keen], 60) == judged(fair, 60)
    assert judged(fair, 60).state == "fail"


def test_a_person_on_the_adapters_replies_alone_makes_no_persons_verdict_of_two_judges():
    judges = rated.lines(60, 60, "judge:m1", "judge:m2", kind=JUDGE)
    found = judged([*judges, *of_arm(rated.lines(60, 60, "Ann"), "adapter")], 60)
    assert found.state == "inconclusive"
    assert "a person must rate the same ones" in found.why


def test_a_person_on_one_dialogue_lends_nothing_to_those_that_only_judges_rated():
    judges = rated.lines(60, 60, "judge:m1", "judge:m2", kind=JUDGE)
    found = judged([*judges, *rated.lines(60, 60, "Ann")[:2]], 60)
    assert (found.state, found.n) == ("inconclusive", 1)
    apart = [row for row in judges if row["item"] != rated.made(60)[0].item]
    found = judged([*apart, *rated.lines(60, 60, "Ann")[:2]], 60)
    assert found.state == "inconclusive"
    assert "a person must rate the same ones" in found.why


def test_raters_who_do_not_agree_hold_a_pass_back():
    # all adapter replies get 4 or 5 and all base replies 3 or 4, each rater by a rule of its own
    pairs = rated.made(60)
    rows = []
    for number, pair in enumerate(pairs):
        for rater, bit in (("Ann", number % 2), ("Bo", number // 2 % 2)):
            rows += [asdict(rated.given(pair, rater, arm, low + bit)) for arm, low in (("adapter", 4), ("base", 3))]
    found = judged(rows, 60)
    # by arm 0.25 of variance each, 1 between the arms' halves: kappa = 1 - 0.5 / (0.5 + 0.5) = 0.5
    assert "kappa 0.50" in found.why
    assert found.state == "inconclusive"
    assert "a kappa of 0.6 or more" in found.why


def test_a_base_that_is_as_good_holds_a_pass_back():
    found = judged(rated.lines(50, 50, "Ann", "Bo", base=5))
    assert found.state == "inconclusive"
    assert "not certain that the replies beat the base's" in found.why


def test_two_judges_without_a_person_decide_nothing():
    found = judged(rated.lines(50, 50, "judge:m1", "judge:m2", kind=JUDGE))
    assert found.state == "inconclusive"
    assert "a person must rate" in found.why
    mixed = [*rated.lines(50, 50, "judge:m1", kind=JUDGE), *rated.lines(50, 50, "Ann")]
    assert judged(mixed).state == "pass"


def test_a_reply_that_changed_takes_its_ratings_out_of_the_verdict_and_says_so():
    lines = rated.lines(51, 51, "Ann", "Bo")
    found = ratings.verdict(ratings.count(lines, rated.RECIPE, rated.made(51, changed="c07")))
    # two raters, two replies each
    assert (found.n, found.state) == (50, "pass")
    assert "4 ratings of replies that have since changed do not count." in found.why


# ---- the table


def table(count, lines, changed=""):
    return measure.ratings(*rated.arms(count, changed), lines, rated.RECIPE, rated.FINAL)


def rows_of(found, name):
    return {row["arm"]: row for row in found.to_dicts() if row["name"] == name}


def test_the_table_holds_means_shares_gain_agreement_and_every_rating():
    found = table(50, rated.lines(50, 40, "Ann", "Bo"))
    assert rows_of(found, "rated_style")["adapter"]["value"] == pytest.approx((40 * 5 + 10 * 2) / 50)
    assert rows_of(found, "rated_humor_4_or_5")["adapter"]["value"] == 40 / 50
    gain = rows_of(found, "rated_style_gain")["adapter"]
    # 4.4 less the base's 2
    assert (gain["value"], gain["n"]) == (pytest.approx(2.4), 50)
    assert gain["low"] < gain["value"] < gain["high"]
    assert rows_of(found, "rated_factuality_kappa")["Ann / Bo"]["value"] == 1.0
    assert len(found.filter(found["name"] == "rating")) == 2 * 50 * 2


def test_a_rating_in_the_table_says_who_when_what_and_of_which_reply():
    found = table(3, rated.lines(3, 3, "Ann"))
    payload = json.loads(found.filter(found["name"] == "rating")["payload"][0])
    assert (payload["rater"], payload["rated_at"], payload["item"], payload["pair"]) == (
        "Ann", "2026-11-26T12:00:00+00:00", PAIRS[0].item, PAIRS[0].digest,
    )  # fmt: skip


def test_ratings_move_the_check_from_not_run_to_passed_and_a_new_adapter_moves_it_back():
    lines = rated.lines(50, 50, "Ann", "Bo")
    assert "not run" in as_finding(table(50, []), "style").why
    assert as_finding(table(50, lines), "style").passed
    other = rated.arms(50)[0], rated.arms(50)[1].with_columns(steps=rated.arms(50)[0]["steps"])
    moved = measure.ratings(*other, lines, rated.RECIPE, rated.FINAL)
    assert "not run" in as_finding(moved, "style").why
    assert json.loads(moved.filter(moved["name"] == "ratings_not_counted")["payload"][0]) == {
        "reason": "reply_changed",
        "lines": 200,
    }


def test_the_check_warns_of_ratings_that_no_longer_count_and_not_of_replaced_ones():
    lines = rated.lines(3, 3, "Ann")
    assert all_count(table(3, [*lines, *lines])).passed
    found = all_count(table(3, lines, changed="c01"))
    assert (found.passed, found.value) == (False, 2)
    assert found.why == "4 ratings count, 2 do not: reply changed 2"
    assert all_count(table(3, [])).passed


@pytest.mark.parametrize("name", ["sample", "laptop", "full"])
def test_every_profile_that_is_more_than_wiring_has_enough_dialogues_to_decide(name):
    chosen = load(name).evaluation
    assert len(chat_prompts(chosen.chat)) + len(cases("grounding", chosen.grounding)) >= ratings.ITEMS
